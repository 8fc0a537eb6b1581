"""One's own activations and losses: against the built-in ones, against the NumPy reference, and what is refused."""

import copy
import math
import pickle
import re
import threading

import numba
import numpy as np
import pytest
from fastprop.kernels import training

import fastprop
from fastprop import reference
from fastprop.math import exp, gelu, log, sigmoid, softplus, tanh, where

from .cases import TOLERANCE, Case, assert_same_passes

DTYPES = ("float32", "float64")


def mish(z):
    return z * tanh(softplus(z))


def mish_slope(z):
    t = tanh(softplus(z))
    return t + z * (1 - t**2) * sigmoid(z)


@numba.njit
def bent(z):  # three pieces, of which the last is a formula of libm's
    if z > 1:
        return 1 + math.log(z)
    if z > -1:
        return z
    return -1 + 0.1 * (z + 1)


@numba.njit
def bent_slope(z):
    return 1 / z if z > 1 else 1.0 if z > -1 else 0.1


def softsign(z):
    return z / (1 + abs(z))


def softsign_slope(z):
    return (1 + abs(z)) ** -2


def log_cosh(a, t):
    return log((exp(a - t) + exp(t - a)) / 2)


def pinball(a, t):
    return max(0.9 * (t - a), 0.1 * (a - t))


def pinball_slope(a, t):
    return 0.1 if a > t else -0.9


#: name: (activation, the same in NumPy)
ACTIVATIONS = {
    "mish": (mish, mish_slope, lambda z: z * np.tanh(np.log1p(np.exp(z)))),
    "bent": (
        bent,
        bent_slope,
        lambda z: np.where(z > 1, 1 + np.log(np.maximum(z, 1)), np.maximum(z, (z - 9) / 10)),
    ),
    "sine": (math.sin, math.cos, np.sin),
    "softsign": (softsign, softsign_slope, softsign),
}
LOSSES = {
    "log_cosh": (log_cosh, lambda a, t: tanh(a - t), lambda t, a: np.log(np.cosh(a - t))),
    "pinball": (pinball, pinball_slope, lambda t, a: np.maximum(0.9 * (t - a), 0.1 * (a - t))),
}


@pytest.fixture(scope="module", params=ACTIVATIONS)
def activation(request):
    f, derivative, _ = ACTIVATIONS[request.param]
    return fastprop.Activation(request.param, f, derivative)


@pytest.fixture(scope="module", params=LOSSES)
def loss(request):
    f, derivative, _ = LOSSES[request.param]
    return fastprop.Loss(request.param, f, derivative)


@pytest.fixture(autouse=True)
def _in_the_reference(monkeypatch):
    """The same in plain NumPy, with slopes from central differences."""

    def slope(f, x):
        h = 1e-6
        return (f(x + h) - f(x - h)) / (2 * h)

    for name, (_, _, f) in ACTIVATIONS.items():
        monkeypatch.setitem(reference.ACTIVATIONS, name, (f, lambda z, a, f=f: slope(f, z)))
    for name, (_, _, f) in LOSSES.items():
        mean = lambda t, a, f=f: f(t, a).mean(axis=1)  # noqa: E731
        both = lambda t, a, f=f: slope(lambda b: f(t, b), a) / a.shape[1]  # noqa: E731
        monkeypatch.setitem(reference.LOSSES, name, (mean, both))


def data(net, rows, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (rows, net.sizes[0]), (rows, net.sizes[-1])
    return tuple(rng.standard_normal(shape).astype(net.dtype) for shape in shapes)


@pytest.mark.parametrize("rows", [1, 9, 65])
@pytest.mark.parametrize("sizes", [[3, 5, 2], [4, 17, 33, 1]])
def test_passes_against_the_reference(activation, loss, sizes, rows):
    net = fastprop.Network(sizes, activation, activation, loss=loss, dtype="float64", seed=3)
    X, y = data(net, rows)
    case = Case(net, X, y, [activation.name] * (len(sizes) - 1), loss.name)
    assert_same_passes(case, 1e-7)  # of the differences in the reference


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (7, 1), (64, 2)])
@pytest.mark.parametrize("sizes", [[3, 5, 2], [40, 130, 70, 1]])
def test_training_with_tanh_of_ones_own_is_training_with_tanh(sizes, batch, threads, dtype):
    own = fastprop.Activation("own_tanh", tanh, lambda z, a: 1 - a**2)
    squares = fastprop.Loss("squares", lambda a, t: (a - t) ** 2, lambda a, t: 2 * (a - t))
    results = []
    for function, loss in (("tanh", "mse"), (own, squares)):
        net = fastprop.Network(sizes, function, function, loss=loss, dtype=dtype, seed=1, threads=threads)
        X, y = data(net, 90)
        history = net.fit(X, y, epochs=3, batch_size=batch)
        results.append((net.get_parameters(), history.loss, net.predict(X), net.evaluate(X, y)))
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * np.abs(theirs).max())


def test_nothing_is_compiled_anew_for_it(activation, loss):
    before = [len(entry.signatures) for entry in (training.train, training.infer)]
    net = fastprop.Network([2, 3, 1], activation, loss=loss)
    net.fit(*data(net, 8), epochs=2)
    net.predict(data(net, 8)[0])
    assert [len(entry.signatures) for entry in (training.train, training.infer)] == [max(n, 1) for n in before]


def test_several_threads_at_once(activation):
    def work(k):
        net = fastprop.Network([3, 16, 1], activation, seed=k)
        net.fit(*data(net, 100), epochs=20)
        results[k] = net.get_parameters()

    results = {}
    for k in range(4):
        work(k)
    expected, results = results, {}
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(results[k], expected[k])


@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_stays_out_of_it(dtype):
    """Where z = 0 stands in the padding, f and f′ are infinite."""
    own = fastprop.Activation("reciprocal", lambda z: 1 / z, lambda z: -1 / z**2)
    net = fastprop.Network([3, 5, 7, 1], own, dtype=dtype, seed=0)
    for b in net.biases:
        b[...] = 5
    X, y = data(net, 20)
    assert np.isfinite(net.fit(X, y, epochs=3, batch_size=8).loss).all()


def test_a_formula_becomes_one_of_vectors_and_branches_do_not():
    def of_vectors(f, derivative):
        own = fastprop.Activation("own", f, derivative)
        assert own._block[np.dtype(np.float32)]
        return own._block.vectors.values()

    assert all(of_vectors(mish, mish_slope))
    assert all(of_vectors(lambda z: z * math.tanh(np.log1p(math.exp(z))), mish_slope))
    assert all(of_vectors(lambda z: min(max(z, 0), 6), lambda z: where((z > 0) & (z < 6), 1, 0)))
    assert not any(of_vectors(lambda z: z if z > 0 else 0.1 * z, lambda z: 1.0 if z > 0 else 0.1))


def machine_code(own, dtype=np.float32):
    own._block[np.dtype(dtype)]
    return own._block.compiled[np.dtype(dtype)]._library.get_asm_str()


def test_machine_code_uses_whole_registers():
    from fastprop.kernels.simd import CHECKED, LEVEL

    if CHECKED or LEVEL != "avx512":
        pytest.skip("vectors by the names of AVX-512's registers; the checked build has none in its loops")
    formula = machine_code(fastprop.Activation("mish", mish, mish_slope))
    branches = machine_code(fastprop.Activation("bent", bent, bent_slope))
    for code in (formula, branches):
        assert code.count("zmm") > 50
    assert "vfmadd" in formula
    assert "callq" not in formula.replace("callq\t*", "").split("cfunc")[0]


# Kinks


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (lambda z: max(z, 0.0), lambda z: where(z > 0, 1.0, 0.0)),
        (lambda z: max(z, 0.0), lambda z: 1.0 if z >= 0 else 0.0),
        (lambda z: abs(z), lambda z: math.copysign(1, z)),
        (lambda z: abs(z), lambda z: 0.0 if z == 0 else math.copysign(1, z)),
        (lambda z: max(min(z, 1), -1), lambda z: 1.0 if abs(z) < 1 else 0.0),
        (lambda z: max(0, min(1, z / 6 + 0.5)), lambda z: where(abs(z) <= 3, 1 / 6, 0)),
        (lambda z: math.sqrt(z), lambda z: 0.5 / math.sqrt(z)),  # half of it is NaN
        (lambda z: z**3 / 10 - 2 * z, lambda z: 0.3 * z**2 - 2),
        (lambda z: math.exp(z * z), lambda z: 2 * z * math.exp(z * z)),
        (lambda z: math.log(1 + math.exp(z)), lambda z: 1 / (1 + math.exp(-z))),
    ],
)
def test_kinks_and_poles_are_not_refused(f, derivative):
    fastprop.Activation("own", f, derivative)


# Refused


@pytest.mark.parametrize(
    ("f", "derivative", "message"),
    [
        (lambda z: z * z, lambda z: 2.001 * z, r"at z = -?\d+.* expected (-?[\d.]+), got (-?[\d.]+)"),
        (lambda z: max(z, 0.0), lambda z: where(z > 0, 1.0, where(z < 0, 0.0, 5.0)), "at z = 0 expected 0 to 1, got 5"),
        (math.sin, math.sin, "got"),
        (gelu, lambda z: 0.5 * (1 + math.erf(z / 2**0.5)) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), "z = "),
        (lambda z: z, lambda z: where(z > 2, math.nan, 1.0), r"expected 1, got nan"),
        (lambda z: z * math.nan, lambda z: 1.0, "must be finite somewhere"),
    ],
)
def test_a_wrong_derivative_is_refused_naming_the_worst_point(f, derivative, message):
    with pytest.raises(ValueError, match=message):
        fastprop.Activation("own", f, derivative)


def test_a_wrong_derivative_of_a_loss_is_refused():
    with pytest.raises(ValueError, match=re.escape("derivative of Loss 'own' must be that of f: at a = ")):
        fastprop.Loss("own", lambda a, t: (a - t) ** 2, lambda a, t: 2 * (t - a))


def helper(z):
    return z


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("relu", math.sin, math.cos), ValueError, "name must be one of its own"),
        (("", math.sin, math.cos), ValueError, "name must be one of its own"),
        ((3, math.sin, math.cos), TypeError, "name must be a string, got 3"),
        (("own", 3, math.cos), TypeError, "f must be a function f(z), got 3 (int)"),
        (("own", lambda a, b: a, math.cos), TypeError, "f must be a function f(z), got one of (a, b)"),
        (("own", math.sin, lambda a, b, c: a), TypeError, "derivative(z) or derivative(z, a), got one of (a, b, c)"),
        (("own", math.sin, lambda z: helper(z)), TypeError, "compiled already (@numba.njit); got: Untyped global name"),
        (("own", lambda z: str(z), math.cos), TypeError, "that Numba can compile"),
        (("own", lambda z: unheard_of(z), math.cos), TypeError, "name 'unheard_of' is not defined"),  # noqa: F821
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fastprop.Activation(*arguments)


def test_equality_and_repr():
    def slope(z):
        return 2 * z

    def square(z):
        return z**2

    one, same, other = (fastprop.Activation("square", f, slope) for f in (square, square, lambda z: z**2))
    assert one == same != other
    assert hash(one) == hash(same)
    assert one != fastprop.activations.ACTIVATIONS["relu"]
    assert repr(one) == "Activation('square')"
    net = fastprop.Network([2, 3, 1], [one], one)
    assert net.hidden_activations == (one,) == (net.output_activation,)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(activation, copied):
    net = fastprop.Network([3, 5, 1], copied(activation), seed=0)
    X, y = data(net, 9)
    twin = copied(net)
    assert net.fit(X, y).loss == twin.fit(X, y).loss
    assert net.hidden_activations == twin.hidden_activations == (activation,)


def test_functions_that_cannot_be_pickled_say_so():
    own = fastprop.Activation("square", lambda z: z**2, lambda z: 2 * z)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(fastprop.Network([1, 1], output=own))
