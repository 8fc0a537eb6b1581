"""The NumPy reference against worked examples, finite differences, forward mode and published formulas."""

import ast
import doctest
import math
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from fastprop import reference
from fastprop.reference import ACTIVATIONS, LOSSES, adam, backward, forward, loss, sgd, softmax, train

from .worked_examples import EXAMPLES, PATHS, SLIDE, TWO_PASSES, TWO_PATHS, VANISHING, XOR, sigmoid_chain

OUTPUTS = [*ACTIVATIONS, "softmax"]
LOG_LOSSES = ("binary_cross_entropy", "cross_entropy", "poisson")  # those that need a > 0
exact = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12, strict=False)


def test_imports_numpy_alone():
    tree = ast.parse(Path(reference.__file__).read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"numpy", "collections.abc"}


def test_examples_in_docstrings():
    failed, attempted = doctest.testmod(reference)
    assert attempted > 0
    assert failed == 0


# Worked examples


def run(example):
    """z, a, C, deltas and gradients of a worked example."""
    z, a = forward(example.x, example.weights, example.biases, example.activations)
    return z, a, *backward(example.target, example.weights, z, a, example.activations, example.loss)


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_example(name):
    example = EXAMPLES[name]
    z, a, C, deltas, weight_gradients, bias_gradients = run(example)
    exact(C, example.C)
    exact(loss(example.target, z[-1], a[-1], example.activations[-1], example.loss), example.C)
    for m, expected in example.a.items():
        exact(a[m], [expected])
    for m, (z_m, delta) in enumerate(zip(example.z, example.deltas, strict=True), start=1):
        exact(z[m - 1], [z_m])
        exact(deltas[m - 1], [delta])
        exact(bias_gradients[m - 1], delta)
    for (m, j, k), expected in example.weight_gradients.items():
        exact(weight_gradients[m - 1][j, k], expected)


def test_xor_update():
    weights, biases = [W.copy() for W in XOR.weights], [b.copy() for b in XOR.biases]
    step = partial(sgd, learning_rate=XOR.learning_rate)
    losses = train(XOR.x, XOR.target, weights, biases, XOR.activations, XOR.loss, step, batch_size=1)
    exact(losses, [XOR.C])
    for new, expected in zip(weights + biases, XOR.weights_after + XOR.biases_after, strict=True):
        exact(new, expected)
    z, a = forward(XOR.x, weights, biases, XOR.activations)
    exact(a[-1], [[XOR.output_after]])
    exact(loss(XOR.target, z[-1], a[-1], "sigmoid", XOR.loss), XOR.C_after)


def test_xor_from_the_output_that_the_slide_prints():
    """To the printed digits, ±1 in the last."""
    z, _ = forward(XOR.x, XOR.weights, XOR.biases, XOR.activations)
    a = [XOR.x, SLIDE["a1"], SLIDE["a2"]]
    C, deltas, (dC_dW1, dC_dW2), bias_gradients = backward(XOR.target, XOR.weights, z, a, XOR.activations, XOR.loss)
    theta = [p.copy() for p in (XOR.weights[0], XOR.biases[0], XOR.weights[1], XOR.biases[1])]
    sgd(theta, [dC_dW1, bias_gradients[0], dC_dW2, bias_gradients[1]], {}, learning_rate=XOR.learning_rate)
    W1, b1, W2, b2 = theta
    for ours, printed in [
        (C, SLIDE["C"]),
        (deltas[1][0, 0], SLIDE["delta2"]),
        (dC_dW2[0, 0], SLIDE["W2_gradient_first"]),
        (deltas[0][0, 0], SLIDE["delta1_first"]),
        (dC_dW1[0, 0], SLIDE["delta1_first"]),
        (W2[:, 0], SLIDE["W2_after"]),
        (W1[0], SLIDE["W1_row1_after"]),
        (b1, SLIDE["b1_after"]),
        (b2, SLIDE["b2_after"]),
    ]:
        assert np.all(np.abs(np.round(ours, 4) - np.round(printed, 4)) < 1.01e-4)


def test_two_paths_add_up():
    """∂C/∂W^(1)[2, 1] = x_2 σ′(z^(1)_1) Σ_k W^(2)[1, k] δ^(2)_k: one term for each path."""
    _, a, _, deltas, weight_gradients, _ = run(TWO_PATHS)
    paths = TWO_PATHS.x[0, 2] * (1 - a[1][0, 1] ** 2) * TWO_PATHS.weights[1][1] * deltas[1][0]
    exact(paths, PATHS)
    exact(weight_gradients[0][2, 1], sum(PATHS))


def test_two_passes_hidden_signals_are_seven_and_ten_times_smaller():
    deltas = run(TWO_PASSES)[3]
    np.testing.assert_array_equal(np.abs(deltas[1] / deltas[0]).round(), [[7, 10]])


@pytest.mark.parametrize("n_layers", VANISHING)
def test_error_signal_vanishes_along_a_sigmoid_chain(n_layers):
    weights, biases, x = sigmoid_chain(n_layers)
    z, a = forward(x, weights, biases, ["sigmoid"] * n_layers)
    assert not np.any(z)
    target = np.array([-0.5])  # so that ∂C/∂a^(L) = a − t = 1
    deltas = backward(target, weights, z, a, ["sigmoid"] * n_layers, "squared_error")[1]
    assert [delta.item() for delta in deltas] == [0.25**m for m in range(n_layers, 0, -1)]
    assert deltas[0].item() == VANISHING[n_layers]


@pytest.mark.parametrize("n_layers", [1, 3, 6, 12])
def test_error_signal_survives_along_an_active_relu_chain(n_layers):
    weights, relu = [np.ones((1, 1))] * n_layers, ["relu"] * n_layers
    z, a = forward(np.ones((1, 1)), weights, [np.zeros(1)] * n_layers, relu)
    deltas = backward(np.zeros(1), weights, z, a, relu, "squared_error")[1]
    assert [delta.item() for delta in deltas] == [1.0] * n_layers


# Activations and losses as functions

GELU = math.sqrt(2 / math.pi)
SCALARS = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": lambda z: math.sinh(z) / math.cosh(z),
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "softplus": lambda z: math.log(1 + math.exp(z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "gelu": lambda z: 0.5 * z * (1 + math.tanh(GELU * (z + 0.044715 * z**3))),
}
SLOPES = {  # at −∞, 0 and +∞
    "identity": (1, 1, 1),
    "sigmoid": (0, 0.25, 0),
    "tanh": (0, 1, 0),
    "relu": (0, 0, 1),
    "leaky_relu": (0.01, 0.01, 1),
    "elu": (0, 1, 1),
    "softplus": (0, 0.5, 1),
    "silu": (0, 0.5, 1),
    "gelu": (0, 0.5, 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_its_formula(name):
    z = np.linspace(-6, 6, 49)
    expected = [SCALARS[name](value) for value in z.tolist()]
    np.testing.assert_allclose(ACTIVATIONS[name][0](z), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_derivative(name):
    """Central differences of fourth order, away from the kink at 0."""
    f, derivative = ACTIVATIONS[name]
    z, h = np.linspace(-6, 6, 48), 1e-3
    numeric = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)
    np.testing.assert_allclose(derivative(z, f(z)), numeric, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e30])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_far_out(name, size, dtype):
    f, derivative = ACTIVATIONS[name]
    z = np.array([-size, 0, size], dtype)
    a = f(z)
    slopes = derivative(z, a)
    assert a.dtype == slopes.dtype == dtype
    assert np.all(np.isfinite(a))
    np.testing.assert_allclose(slopes, SLOPES[name], rtol=1e-6)


def test_parameters():
    z = np.array([[-2.0, 3.0]])
    W, b = [np.eye(2)], [np.zeros(2)]
    for activation, a, slope in [
        (("leaky_relu", 0.2), [-0.4, 3], [0.2, 1]),
        (("elu", 0.5), [0.5 * math.expm1(-2), 3], [0.5 * math.exp(-2), 1]),
    ]:
        exact(forward(z, W, b, [activation])[1][1], [a])
        exact(
            backward(np.zeros((1, 2)), W, [z], [z, np.ones((1, 2))], [activation], "squared_error")[1],
            [[slope]],
        )
    # |r| = 2 and 3, each above 1.5: 1.5 (2 − 0.75) and 1.5 (3 − 0.75); δ = ±1.5 / 2
    C, deltas, *_ = backward(np.zeros((1, 2)), W, [z], [z, z], ["identity"], ("huber", 1.5))
    exact(C, (1.875 + 3.375) / 2)
    exact(deltas[0], [[-0.75, 0.75]])


@pytest.mark.parametrize(
    ("name", "t", "a", "expected", "slopes"),
    [
        # ½ (0.5² + 2²)
        ("squared_error", [1, 0], [0.5, 2], 2.125, [-0.5, 2]),
        # (0.5² + 2²) / 2
        ("mse", [1, 0], [0.5, 2], 2.125, [-0.5, 2]),
        # (0.5² + 2² + 0) / 3: where it is not squared_error
        ("mse", [1, 0, 7], [0.5, 2, 7], 4.25 / 3, [-1 / 3, 4 / 3, 0]),
        # (0.5 + 2 + 0) / 3, subgradient 0 at 0
        ("mae", [1, 0, 7], [0.5, 2, 7], 2.5 / 3, [-1 / 3, 1 / 3, 0]),
        # (½ 0.5² + (2 − ½) + 0) / 3
        ("huber", [1, 0, 7], [0.5, 2, 7], 1.625 / 3, [-0.5 / 3, 1 / 3, 0]),
        # −(log ½ + log ¾) / 2; −1/½ / 2 and 1/¾ / 2
        ("binary_cross_entropy", [1, 0], [0.5, 0.25], math.log(8 / 3) / 2, [-1, 2 / 3]),
        # −(¼ log ½ + ¾ log ¼); −¼/½ and −¾/¼
        ("cross_entropy", [0.25, 0.75], [0.5, 0.25], 1.75 * math.log(2), [-0.5, -3]),
        # ((½ − 3 log ½) + (2 − 0)) / 2; (1 − 3/½) / 2 and 1/2
        ("poisson", [3, 0], [0.5, 2], (2.5 + 3 * math.log(2)) / 2, [-2.5, 0.5]),
    ],
)
def test_loss_by_hand(name, t, a, expected, slopes):
    t, a = np.array([t], float), np.array([a], float)
    value, slope = LOSSES[name]
    exact(value(t, a), [expected])
    exact(slope(t, a), [slopes])
    exact(loss(t, a, a, "identity", name), expected)


def test_loss_is_the_mean_over_the_batch():
    a = np.array([[1.0], [2.0], [6.0]])
    exact(loss(np.zeros(3), a, a, "identity", "squared_error"), (0.5 + 2 + 18) / 3)
    exact(loss(np.zeros(3), a, a, "identity", "squared_error", [1, 0, 3]), (0.5 + 54) / 4)


def test_labels_are_one_hot_rows():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    for activation, a in ("softmax", softmax(z)), ("sigmoid", ACTIVATIONS["sigmoid"][0](z)):
        by_row = backward(np.eye(4)[labels], [np.eye(4)], [z], [z, a], [activation], "cross_entropy")
        for kind in int, np.uint8, np.float32:
            by_label = backward(labels.astype(kind), [np.eye(4)], [z], [z, a], [activation], "cross_entropy")
            assert by_label[0] == by_row[0]
            np.testing.assert_array_equal(by_label[1], by_row[1])


def test_column_targets_may_be_one_dimensional():
    a = np.array([[0.2], [0.7]])
    for name in set(LOSSES) - {"cross_entropy"}:
        assert loss([0, 1], a, a, "identity", name) == loss([[0], [1]], a, a, "identity", name)
    with pytest.raises(ValueError, match="reshape"):
        loss([0, 1], np.ones((2, 3)), np.ones((2, 3)), "identity", "mse")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipped_logarithms(dtype):
    """log max(a, tiny) where a comes from an activation; the derivative is 0 below tiny, not at it."""
    tiny = np.finfo(dtype).tiny
    cut = math.log(tiny)
    t = np.ones((1, 4), dtype)
    a = np.array([[tiny, tiny / 2, 0, -1]], dtype)
    close = partial(np.testing.assert_allclose, rtol=1e-6)
    close(LOSSES["cross_entropy"][0](t, a), [-4 * cut])
    close(LOSSES["cross_entropy"][1](t, a), [[-1 / tiny, 0, 0, 0]])
    close(LOSSES["poisson"][0](t, a), [(-1 - 4 * cut) / 4])
    close(LOSSES["poisson"][1](t, a), [[-1 / tiny / 4, 0.25, 0.25, 0.25]])
    close(LOSSES["binary_cross_entropy"][0](t, a), [-cut])
    close(LOSSES["binary_cross_entropy"][1](t, a), [[-1 / tiny / 4, 0, 0, 0]])
    # The two logarithms are clipped apart: at a = 2 only log(1 − a) is, at a = −1 only log a.
    half, a = np.full((1, 4), 0.5, dtype), np.array([[1, 0, 2, -1]], dtype)
    close(LOSSES["binary_cross_entropy"][0](half, a), [-(2 * cut + math.log(2)) / 4])
    close(LOSSES["binary_cross_entropy"][1](half, a), np.array([[-0.5, 0.5, -0.25, 0.25]]) / 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("activation", OUTPUTS)
def test_extreme_pre_activations(activation, loss_name, dtype):
    """z = ±1000 and 0 in output and hidden layer: finite, in the dtype, and without a warning."""
    z = 1000 * np.array([[1, -1, 0], [-1, -1, 1], [0, 0, 0], [1, 1, 1], [-1, -1, -1], [0, 1, -1]], dtype)
    t = np.eye(3, dtype=dtype)[[0, 0, 1, 2, 1, 2]]
    hidden = "identity" if activation == "softmax" else activation
    for activations in [activation], [hidden, activation]:
        n_layers = len(activations)
        weights, biases = [np.eye(3, dtype=dtype)] * n_layers, [np.zeros(3, dtype)] * n_layers
        zs, a = forward(z, weights, biases, activations)
        C, *results = backward(t, weights, zs, a, activations, loss_name)
        assert np.isfinite(C)
        assert C.dtype == dtype
        for array in [*zs, *a, *chain(*results)]:
            assert np.all(np.isfinite(array))
            assert array.dtype == dtype


def test_losses_from_z_are_exact_where_a_saturates():
    z = np.array([[-1000.0]])
    C, (delta,), *_ = backward([1], [z], [z], [z, np.zeros((1, 1))], ["sigmoid"], "binary_cross_entropy")
    assert (C, delta.item()) == (1000, -1)
    z = np.array([[0.0, -1000.0]])
    C, (delta,), *_ = backward([1], [z], [z], [z, softmax(z)], ["softmax"], "cross_entropy")
    assert (C, delta.tolist()) == (1000, [[1, -1]])
    z = np.array([[40.0]])  # a is 1 to the last bit, and the loss is exp(−40) all the same
    np.testing.assert_allclose(loss([1], z, z, "sigmoid", "binary_cross_entropy"), math.exp(-40), rtol=1e-15)


@pytest.mark.parametrize(("activation", "name"), reference._FROM_Z)
def test_shortcuts_equal_the_general_way(activation, name, monkeypatch):
    z = np.random.default_rng(1).normal(size=(5, 3))
    t = softmax(2 * z[::-1])
    a = reference.activate(z, activation)
    C, (delta,), *_ = backward(t, [z], [z], [z, a], [activation], name)
    exact(delta, (a - t) / (5 if activation == "softmax" else 5 * 3))
    monkeypatch.setattr(reference, "_FROM_Z", {})
    general_C, (general_delta,), *_ = backward(t, [z], [z], [z, a], [activation], name)
    exact(C, general_C)
    exact(delta, general_delta)


# Gradients

KINKED = ("relu", "leaky_relu", "elu")
MARGIN = 1e-4  # from kinks, much more than the steps of the finite differences move anything


def plain(choice):
    return choice if isinstance(choice, str) else choice[0]


def random_problem(rng, sizes, n, activations, loss_choice):
    """A network, input and target away from every kink, with outputs that the loss's logarithms admit."""
    name = plain(loss_choice)
    for _ in range(200):
        weights = [rng.normal(size=shape) / math.sqrt(shape[0]) for shape in pairwise(sizes)]
        biases = [rng.normal(size=width) / 2 for width in sizes[1:]]
        x = rng.normal(size=(n, sizes[0]))
        if name in LOG_LOSSES and activations[-1] not in ("sigmoid", "softmax"):  # make 0 < a < 1
            _, a = forward(x, weights, biases, activations)
            weights[-1] *= 0.25 / np.abs(a[-2] @ weights[-1]).max(initial=0.25)
            biases[-1][:] = -0.5 if activations[-1] == "softplus" else 0.45
        z, a = forward(x, weights, biases, activations)
        if name == "cross_entropy":
            t = softmax(rng.normal(size=a[-1].shape))
        elif name == "binary_cross_entropy":
            t = rng.uniform(size=a[-1].shape)
        elif name == "poisson":
            t = rng.poisson(2.0, size=a[-1].shape).astype(float)
        else:
            t = rng.normal(size=a[-1].shape)
        r = np.abs(t - a[-1])
        clear = [np.abs(z_m) for z_m, choice in zip(z, activations, strict=True) if plain(choice) in KINKED]
        clear += [r] if name == "mae" else []
        clear += [np.abs(r - (1 if loss_choice == "huber" else loss_choice[1]))] if name == "huber" else []
        gradient = flat(backward(t, weights, z, a, activations, loss_choice))
        if all(distance.min() > MARGIN for distance in clear) and np.linalg.norm(gradient) > 1e-3:
            return x, t, weights, biases
    raise AssertionError("no problem found away from kinks")


def flat(result):
    """The whole gradient as one vector: W1, b1, W2, b2, …"""
    _, _, weight_gradients, bias_gradients = result
    return np.concatenate([g.ravel() for layer in zip(weight_gradients, bias_gradients, strict=True) for g in layer])


def central_differences(x, t, weights, biases, activations, loss_choice, sample_weight=None, h=1e-5):
    numeric = []
    for parameter in (p for layer in zip(weights, biases, strict=True) for p in layer):
        for index in np.ndindex(parameter.shape):
            old, C = parameter[index], []
            for parameter[index] in old + h, old - h:
                z, a = forward(x, weights, biases, activations)
                C.append(loss(t, z[-1], a[-1], activations[-1], loss_choice, sample_weight))
            parameter[index] = old
            numeric.append((C[0] - C[1]) / (2 * h))
    return np.array(numeric)


def check_gradient(problem, activations, loss_choice, sample_weight=None):
    x, t, weights, biases = problem
    z, a = forward(x, weights, biases, activations)
    result = backward(t, weights, z, a, activations, loss_choice, sample_weight)
    assert result[0] == loss(t, z[-1], a[-1], activations[-1], loss_choice, sample_weight)
    analytic = flat(result)
    numeric = central_differences(*problem, activations, loss_choice, sample_weight)
    assert np.linalg.norm(analytic - numeric) < 1e-7 * np.linalg.norm(numeric)
    # and entry by entry, as one layer's gradient may be small beside another's
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-9 * max(1, result[0]))


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_gradient_of_every_activation_and_loss(hidden, output, loss_name):
    activations = [hidden, output]
    check_gradient(
        random_problem(np.random.default_rng(3), (2, 3, 2), 3, activations, loss_name), activations, loss_name
    )


@pytest.mark.parametrize("loss_choice", [("huber", 0.5), ("huber", 2.0)])
@pytest.mark.parametrize("activation", [("leaky_relu", 0.2), ("elu", 0.5), ("elu", 2.0)])
def test_gradient_with_parameters(activation, loss_choice):
    activations = [activation] * 2
    problem = random_problem(np.random.default_rng(4), (2, 3, 2), 7, activations, loss_choice)
    check_gradient(problem, activations, loss_choice)


@pytest.mark.parametrize("n_layers", range(1, 7))
@pytest.mark.parametrize("n", [1, 5, 32])
@pytest.mark.parametrize(
    ("output", "loss_name", "width"),
    [
        ("sigmoid", "binary_cross_entropy", 1),
        ("softmax", "cross_entropy", 3),
        ("identity", "mse", 1),
        ("tanh", "huber", 4),
    ],
)
def test_gradient_of_every_shape(n_layers, n, output, loss_name, width):
    hidden = ["tanh", "leaky_relu", "silu", "sigmoid", "gelu"]
    activations = [*hidden[: n_layers - 1], output]
    sizes = [*[3, 4, 2, 5, 3, 1][:n_layers], width]
    rng = np.random.default_rng(5)
    problem = random_problem(rng, sizes, n, activations, loss_name)
    check_gradient(problem, activations, loss_name)
    check_gradient(problem, activations, loss_name, sample_weight=rng.uniform(0.1, 3, n))


@pytest.mark.parametrize("loss_name", LOG_LOSSES)
@pytest.mark.parametrize("output", ["identity", "tanh", "elu", "silu"])
def test_gradient_where_some_logarithms_are_clipped(output, loss_name):
    rng = np.random.default_rng(6)
    x, W, b = rng.normal(size=(9, 2)), rng.normal(size=(2, 3)), rng.normal(size=3)
    t = rng.uniform(size=(9, 3))
    _, (_, a) = forward(x, [W], [b], [output])
    assert min(np.abs(a).min(), np.abs(1 - a).min()) > 1e-3
    assert (a < 0).any()
    assert ((a > 0) & (a < 1)).any()
    check_gradient((x, t, [W], [b]), [output], loss_name)


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("output", ["tanh", "sigmoid", "softmax"])
def test_reverse_mode_equals_forward_mode(output, loss_name):
    """One Jacobian-vector product for each parameter gives the gradient that one backward pass gives."""
    activations = ["gelu", "elu", output]
    rng = np.random.default_rng(7)
    x, t, weights, biases = random_problem(rng, (3, 4, 3, 2), 5, activations, loss_name)
    z, a = forward(x, weights, biases, activations)
    theta = [p for layer in zip(weights, biases, strict=True) for p in layer]
    derivatives = []
    for i, parameter in enumerate(theta):
        for index in np.ndindex(parameter.shape):
            tangents = [np.zeros_like(p) for p in theta]
            tangents[i][index] = 1
            da = np.zeros_like(x)
            for m, activation in enumerate(activations):
                dz = da @ weights[m] + a[m] @ tangents[2 * m] + tangents[2 * m + 1]
                if activation == "softmax":
                    da = a[m + 1] * (dz - (a[m + 1] * dz).sum(axis=1, keepdims=True))
                else:
                    da = ACTIVATIONS[activation][1](z[m], a[m + 1]) * dz
            derivatives.append((LOSSES[loss_name][1](t, a[-1]) * da).sum(axis=1).mean())
    assert len(derivatives) == sum(p.size for p in theta)
    exact(flat(backward(t, weights, z, a, activations, loss_name)), derivatives)


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_float32(output, loss_name):
    """All arrays are float32 whatever the target and the weights are, and equal float64 to its accuracy."""
    activations = ["silu", "leaky_relu", output]
    rng = np.random.default_rng(8)
    x, t, weights, biases = random_problem(rng, (4, 5, 3, 2), 7, activations, loss_name)
    w = rng.integers(0, 4, 7)
    results = []
    for dtype in np.float32, np.float64:
        cast = [[p.astype(dtype) for p in group] for group in (weights, biases)]
        z, a = forward(x.astype(dtype), *cast, activations)
        C, *lists = backward(t, cast[0], z, a, activations, loss_name, w)
        results.append([C, *z, *a, *chain(*lists)])
        assert {array.dtype for array in results[-1]} == {np.dtype(dtype)}
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=0, atol=2e-5 * np.abs(double).max())


# Sample weights


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_integer_weights_repeat_rows(output, loss_name):
    activations = ["tanh", output]
    x, t, weights, biases = random_problem(np.random.default_rng(9), (3, 4, 2), 6, activations, loss_name)
    w = np.array([2, 0, 1, 3, 1, 0])
    z, a = forward(x, weights, biases, activations)
    C, deltas, *gradients = backward(t, weights, z, a, activations, loss_name, w)
    scaled = backward(t, weights, z, a, activations, loss_name, 0.125 * w)
    z, a = forward(np.repeat(x, w, axis=0), weights, biases, activations)
    repeated = backward(np.repeat(t, w, axis=0), weights, z, a, activations, loss_name)
    for other in repeated, scaled:
        exact(C, other[0])
        for ours, theirs in zip(chain(*gradients), chain(*other[2:]), strict=True):
            exact(ours, theirs)
    assert not deltas[0][w == 0].any()
    assert not deltas[1][w == 0].any()


def test_equal_weights_are_no_weights():
    x, t, weights, biases = random_problem(np.random.default_rng(10), (3, 2), 5, ["tanh"], "mse")
    z, a = forward(x, weights, biases, ["tanh"])
    for ours, theirs in zip(
        backward(t, weights, z, a, ["tanh"], "mse", np.full(5, 3)),
        backward(t, weights, z, a, ["tanh"], "mse"),
        strict=True,
    ):
        exact(ours, theirs)


@pytest.mark.parametrize(("output", "loss_name"), [("identity", "mse"), *reference._FROM_Z])
def test_weights_that_sum_to_zero(output, loss_name):
    activations = ["tanh", output]
    x, t, weights, biases = random_problem(np.random.default_rng(11), (3, 4, 2), 5, activations, loss_name)
    z, a = forward(x, weights, biases, activations)
    assert loss(t, z[-1], a[-1], output, loss_name, np.zeros(5)) == 0
    C, *lists = backward(t, weights, z, a, activations, loss_name, np.zeros(5))
    assert C == 0
    assert not any(array.any() for array in chain(*lists))


# Optimizers, against scalar recurrences on f(p) = ½ c (p − q)², as W (decayed) and as b (not)

CURVES = [(1.5, 0.7, -0.3), (0.2, -1.0, 2.0)]  # c, q and where p begins, of W and of b


def trajectory(optimizer, steps=40, dtype=np.float64):
    """The steps that the optimizer makes: (steps, 2)."""
    theta = [np.array([[CURVES[0][2]]], dtype), np.array([CURVES[1][2]], dtype)]
    state, path = {}, []
    for _ in range(steps):
        gradients = [c * (p - q) for p, (c, q, _) in zip(theta, CURVES, strict=True)]
        optimizer(theta, gradients, state)
        path.append([p.item() for p in theta])
    assert {p.dtype for p in theta} == {np.dtype(dtype)}
    return path


def scalar_trajectory(rule, weight_decay, steps=40):
    """The same with `rule(p, gradient, steps)`, a generator of points, for each parameter on its own."""
    paths = []
    for (c, q, p), decay in zip(CURVES, (weight_decay, 0.0), strict=True):
        paths.append(list(rule(p, lambda p, c=c, q=q, decay=decay: c * (p - q) + decay * p, steps)))
    return np.transpose(paths)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_its_recurrence(momentum, weight_decay):
    def rule(p, gradient, steps):
        v = 0.0
        for _ in range(steps):
            v = momentum * v + gradient(p)
            p = p - 0.05 * v
            yield p

    ours = trajectory(partial(sgd, learning_rate=0.05, momentum=momentum, weight_decay=weight_decay))
    exact(ours, scalar_trajectory(rule, weight_decay))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_nesterov_is_sutskevers_look_ahead(weight_decay):
    """v ← μ v − α ∇f(θ + μ v), θ ← θ + v (Sutskever et al. 2013, eqs. 3 and 4): we keep the point θ + μ v."""

    def rule(p, gradient, steps):
        v, α, μ = 0.0, 0.05, 0.9
        for _ in range(steps):
            v = μ * v - α * gradient(p + μ * v)
            p = p + v
            yield p + μ * v

    ours = trajectory(partial(sgd, learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=weight_decay))
    exact(ours, scalar_trajectory(rule, weight_decay))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("constants", [(1e-3, 0.9, 0.999, 1e-8), (0.1, 0.8, 0.9, 1e-2)])
def test_adam_is_algorithm_1(constants, weight_decay):
    """Kingma and Ba 2015, Algorithm 1, line by line."""
    α, β1, β2, ε = constants

    def rule(θ, gradient, steps):
        m = v = 0.0
        for t in range(1, steps + 1):
            g = gradient(θ)
            m = β1 * m + (1 - β1) * g
            v = β2 * v + (1 - β2) * g * g
            m_hat = m / (1 - β1**t)
            v_hat = v / (1 - β2**t)
            θ = θ - α * m_hat / (math.sqrt(v_hat) + ε)
            yield θ

    ours = trajectory(partial(adam, learning_rate=α, beta1=β1, beta2=β2, epsilon=ε, weight_decay=weight_decay))
    exact(ours, scalar_trajectory(rule, weight_decay))


def test_adam_defaults():
    np.testing.assert_array_equal(
        trajectory(adam), trajectory(partial(adam, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8))
    )


def test_first_steps():
    """Before any average has built up: Nesterov's step is (1 + μ) g long, Adam's α g / (|g| + ε)."""
    for optimizer, length in [
        (sgd, [-0.3e-3, 2e-3]),
        (partial(sgd, learning_rate=0.1, momentum=0.5), [-0.03, 0.2]),
        (partial(sgd, learning_rate=0.1, momentum=0.5, nesterov=True), [-0.045, 0.3]),
        (partial(adam, learning_rate=0.1, epsilon=0.1), [-0.3 / 4, 0.2 / 2.1]),
    ]:
        theta = [np.ones((1, 1)), np.ones(1)]
        optimizer(theta, [np.array([[-0.3]]), np.array([2.0])], {})
        exact([1 - p.item() for p in theta], length)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_is_its_recurrence(momentum, centered, weight_decay):
    """Tieleman and Hinton 2012; centered and with momentum after Graves 2013, equations 38 to 41, as PyTorch has it."""
    α, ρ, ε = 0.05, 0.9, 1e-4

    def rule(θ, gradient, steps):
        n = mean = u = 0.0
        for _ in range(steps):
            g = gradient(θ)
            n = ρ * n + (1 - ρ) * g * g
            mean = ρ * mean + (1 - ρ) * g
            u = momentum * u + g / (math.sqrt(n - mean * mean if centered else n) + ε)
            θ = θ - α * u
            yield θ

    ours = partial(reference.rmsprop, learning_rate=α, rho=ρ, epsilon=ε, momentum=momentum, centered=centered)
    exact(trajectory(partial(ours, weight_decay=weight_decay)), scalar_trajectory(rule, weight_decay))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("decay", "initial"), [(0.0, 0.0), (0.1, 0.5)])
def test_adagrad_sums_all_squares(decay, initial, weight_decay):
    """Duchi, Hazan and Singer 2011, section 1.1, with the diagonal: α over √(Σ g²)."""
    α, ε = 0.1, 1e-3

    def rule(θ, gradient, steps):
        past = []
        for t in range(steps):
            past.append(gradient(θ))
            θ = θ - α / (1 + t * decay) * past[-1] / (math.sqrt(initial + sum(g * g for g in past)) + ε)
            yield θ

    ours = partial(reference.adagrad, learning_rate=α, learning_rate_decay=decay, initial_accumulator=initial)
    exact(trajectory(partial(ours, epsilon=ε, weight_decay=weight_decay)), scalar_trajectory(rule, weight_decay))


def test_adamw_is_algorithm_2():
    """Loshchilov and Hutter 2019, Algorithm 2, with η = 1 and λ the product of their α and λ, which is PyTorch's."""
    α, β1, β2, ε, λ = 0.1, 0.8, 0.9, 1e-2, 0.3

    def rule(θ, gradient, steps, λ):
        m = v = 0.0
        for t in range(1, steps + 1):
            g = gradient(θ)
            m = β1 * m + (1 - β1) * g
            v = β2 * v + (1 - β2) * g * g
            θ = θ - (α * (m / (1 - β1**t)) / (math.sqrt(v / (1 - β2**t)) + ε) + α * λ * θ)
            yield θ

    ours = trajectory(partial(reference.adamw, learning_rate=α, beta1=β1, beta2=β2, epsilon=ε, weight_decay=λ))
    for k, decay in enumerate((λ, 0.0)):  # W, and b, which does not decay
        exact(np.array(ours)[:, k], scalar_trajectory(partial(rule, λ=decay), 0.0)[:, k])


def points(optimizer, gradients, start=1.0):
    """W and b after each step with these gradients, both beginning at `start`."""
    theta, state, path = [np.full((1, 1), start), np.full(1, start)], {}, []
    for g in gradients:
        optimizer(theta, [np.full((1, 1), float(g)), np.full(1, float(g))], state)
        path.append([p.item() for p in theta])
    return path


def test_two_steps_by_hand():
    rms = partial(reference.rmsprop, learning_rate=0.5, rho=0.75, epsilon=2.0)
    # v = ¼·16 = 4: 1 − ½·4/(2 + 2) = ½;  v = ¾·4 + ¼·4 = 4: ½ − ½·2/4 = ¼
    exact(points(rms, [4, 2]), [[0.5, 0.5], [0.25, 0.25]])
    # u = 1, then ½·1 + ½ = 1
    exact(points(partial(rms, momentum=0.5), [4, 2]), [[0.5, 0.5], [0.0, 0.0]])
    # v = ½·4 = 2, ḡ = 1, v − ḡ² = 1: 1 − ½·2/2 = ½;  v = 1 + ½ = 3/2, ḡ = ½ + ½ = 1: ½ − ½·1/(√½ + 1)
    centered = partial(reference.rmsprop, learning_rate=0.5, rho=0.5, epsilon=1.0, centered=True)
    second = 0.5 - 0.5 / (math.sqrt(0.5) + 1)
    exact(points(centered, [2, 1]), [[0.5, 0.5], [second, second]])
    # v = 9: 1 − 3/(3 + 1) = ¼;  v = 25, α = 1/2: ¼ − ½·4/(5 + 1) = −1/12
    adagrad = partial(reference.adagrad, learning_rate=1.0, learning_rate_decay=1.0, epsilon=1.0)
    exact(points(adagrad, [3, 4]), [[0.25, 0.25], [-1 / 12, -1 / 12]])
    # v = 16 + 9 to begin with: 1 − 3/(5 + 1) = ½
    exact(points(partial(adagrad, initial_accumulator=16.0), [3]), [[0.5, 0.5]])
    # Adam's first step is α g / (|g| + ε) = ½·3/4; W shrinks by 1 − ½·0.2 before it
    adamw = partial(reference.adamw, learning_rate=0.5, epsilon=1.0, weight_decay=0.2)
    exact(points(adamw, [3], start=2.0), [[2 * 0.9 - 0.375, 2 - 0.375]])


def test_defaults_are_those_of_pytorch():
    for rule, numbers in [
        (reference.rmsprop, {"learning_rate": 1e-2, "rho": 0.99, "epsilon": 1e-8, "momentum": 0.0, "centered": False}),
        (reference.adagrad, {"learning_rate": 1e-2, "learning_rate_decay": 0.0, "epsilon": 1e-10}),
        (reference.adamw, {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
                           "weight_decay": 1e-2}),
    ]:  # fmt: skip
        np.testing.assert_array_equal(trajectory(rule), trajectory(partial(rule, **numbers)))


@pytest.mark.parametrize(
    "optimizer",
    [
        sgd,
        partial(sgd, momentum=0.9, nesterov=True, weight_decay=0.1),
        partial(adam, weight_decay=0.1),
        partial(reference.rmsprop, momentum=0.5, weight_decay=0.1),
        partial(reference.adagrad, weight_decay=0.1),
        reference.adamw,
    ],
)
def test_optimizers_update_in_place_and_in_float32(optimizer):
    np.testing.assert_allclose(trajectory(optimizer, dtype=np.float32), trajectory(optimizer), rtol=1e-4)
    theta, gradients = [np.ones((2, 2)), np.ones(2)], [np.ones((2, 2)), np.ones(2)]
    kept = list(theta)
    assert optimizer(theta, gradients, {}) is None
    assert all(p is q for p, q in zip(theta, kept, strict=True))
    assert all(np.all(p < 1) for p in theta)
    assert all(np.all(g == 1) for g in gradients)


# Penalties, clipping


def test_regularize_by_hand():
    """‖(3, 0, 4)‖ = 5 is clipped to 1: (0.6, 0, 0.8), then to ±0.7; and 0.1 W + 0.5 sign W of the weights."""
    theta, gradients = [np.array([[2.0, -1.0]]), np.array([3.0])], [np.array([[3.0, 0.0]]), np.array([4.0])]
    W, b = reference.regularize(theta, gradients, weight_decay=0.1, l1=0.5, clip_norm=1.0, clip_value=0.7)
    exact(W, [[0.6 + 0.2 + 0.5, -0.1 - 0.5]])
    exact(b, [0.7])
    for unchanged in reference.regularize(theta, gradients), reference.regularize(theta, gradients, clip_norm=5.1):
        exact(unchanged[0], gradients[0])
        exact(unchanged[1], gradients[1])


def test_penalties_are_gradients_of_what_they_say():
    """λ/2 ‖W‖² + λ₁ Σ|W|, by central differences."""
    W, b, h = np.array([[1.5, -0.25], [0.5, -2.0]]), np.ones(2), 1e-6

    def penalty(W):
        return 0.3 / 2 * (W**2).sum() + 0.7 * np.abs(W).sum()

    slope = reference.regularize([W, b], [np.zeros((2, 2)), np.zeros(2)], weight_decay=0.3, l1=0.7)
    for index in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[index] = h
        assert slope[0][index] == pytest.approx((penalty(W + step) - penalty(W - step)) / (2 * h), rel=1e-8)
    assert not slope[1].any()


# Label smoothing


def test_label_smoothing_by_hand():
    """Three classes, ε = 0.3, label 0: t = (0.8, 0.1, 0.1); with a = (½, ¼, ¼), C = 0.8 log 2 + 0.2 log 4."""
    z = np.log([[2.0, 1.0, 1.0]])
    a = softmax(z)
    W = [np.zeros((1, 3))]
    for target in np.array([0]), np.array([[1.0, 0.0, 0.0]]):
        C, deltas, *_ = backward(target, W, [z], [np.zeros((1, 1)), a], ["softmax"], ("cross_entropy", 0.3))
        exact(C, 1.2 * math.log(2))
        exact(deltas[0], [[-0.3, 0.15, 0.15]])
    exact(loss(np.array([0]), a, a, "identity", ("cross_entropy", 0.3)), 1.2 * math.log(2))


# Learning rates


def test_rates_by_hand():
    step = [reference.step_decay(t, 1.0, every=2, factor=0.5) for t in range(5)]
    exact(step, [1, 1, 0.5, 0.5, 0.25])
    exact([reference.exponential_decay(t, 3.0, 0.25, every=2) for t in range(4)], [3, 1.5, 0.75, 0.375])
    cosine = [reference.cosine_decay(t, 2.0, steps=7, warmup=3, final=1.0) for t in range(9)]
    c = math.cos(math.pi / 4)
    exact(cosine, [0.5, 1, 1.5, 2, 1.5 + c / 2, 1.5, 1.5 - c / 2, 1, 1])
    # Up to t = 0.4·10 − 1 = 3, down to t = 9
    cycle = [reference.one_cycle(t, 1.0, steps=10, rise=0.4, divide=4.0, divide_final=10.0) for t in range(11)]
    third = 0.025 + 0.975 * 0.75  # a third of the way down, where cos(π/3) = ½
    exact([cycle[t] for t in (0, 1, 3, 5, 6, 9, 10)], [0.25, 0.25 + 0.75 / 4, 1, third, 0.5125, 0.025, 0.025])


def test_plateau_by_hand():
    """The third loss is no less than the second, the fourth too little: after one such epoch the second counts."""
    rate = partial(reference.reduce_on_plateau, learning_rate=1.0, factor=0.5, patience=1, tolerance=0.01)
    assert [rate([3.0, 2.0, 2.0, 1.99, 1.0, 1.0, 1.0][:k]) for k in range(8)] == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert rate([1.0] * 20, minimum=0.3) == 0.3
    assert rate([-1.0, -1.005, -1.005]) == 0.5
    assert rate([-1.0, -1.02, -1.03]) == 1.0


def test_a_scheduled_optimizer_counts_its_updates():
    rule = reference.scheduled(sgd, lambda t: [1.0, 0.1][t])
    exact(points(rule, [1, 1]), [[0, 0], [-0.1, -0.1]])


# Training


def training_problem():
    rng = np.random.default_rng(12)
    x, t = rng.normal(size=(11, 2)), rng.normal(size=(11, 1))
    return rng, x, t, [rng.normal(size=(2, 3)), rng.normal(size=(3, 1))], [np.zeros(3), np.zeros(1)]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("optimizer", [partial(sgd, learning_rate=0.1, momentum=0.9), adam])
@pytest.mark.parametrize("batch_size", [1, 4, 11, 32])
def test_train_is_its_loop(batch_size, optimizer, shuffled):
    """The loop written out: smaller last batch, losses before the update, state kept between epochs."""
    rng, x, t, weights, biases = training_problem()
    activations = ["tanh", "identity"]
    orders = [rng.permutation(11) for _ in range(3)] if shuffled else None
    theta = [p.copy() for p in (weights[0], biases[0], weights[1], biases[1])]
    state, expected = {}, []
    for epoch in range(3):
        order = orders[epoch] if shuffled else np.arange(11)
        total = 0.0
        for rows in np.split(order, range(batch_size, 11, batch_size)):
            z, a = forward(x[rows], theta[::2], theta[1::2], activations)
            C, _, (dW1, dW2), (db1, db2) = backward(t[rows], theta[::2], z, a, activations, "mse")
            optimizer(theta, [dW1, db1, dW2, db2], state)
            total += C * len(rows)
        expected.append(total / 11)
    kept = [*weights, *biases]
    losses = train(
        x,
        t[:, 0],
        weights,
        biases,
        activations,
        "mse",
        optimizer,
        batch_size,
        3,
        iter(orders) if shuffled else None,
    )
    assert all(isinstance(value, float) for value in losses)
    exact(losses, expected)
    for ours, theirs in zip(kept, [*theta[::2], *theta[1::2]], strict=True):
        exact(ours, theirs)


def test_train_uses_no_more_orders_than_epochs():
    rng, x, t, weights, biases = training_problem()
    orders = iter([rng.permutation(11) for _ in range(3)])
    assert len(train(x, t, weights, biases, ["tanh", "identity"], "mse", sgd, 4, epochs=2, orders=orders)) == 2
    assert len(list(orders)) == 1
    assert train(x, t, weights, biases, ["tanh", "identity"], "mse", epochs=0) == []


def test_train_learns_xor():
    rng = np.random.default_rng(0)
    x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([0, 1, 1, 0])
    weights, biases = [rng.normal(size=(2, 4)), rng.normal(size=(4, 1))], [np.zeros(4), np.zeros(1)]
    activations = ["tanh", "sigmoid"]
    optimizer = partial(adam, learning_rate=0.1)
    losses = train(x, t, weights, biases, activations, "binary_cross_entropy", optimizer, epochs=100)
    assert losses[-1] < 0.05 < losses[0]
    assert np.array_equal(forward(x, weights, biases, activations)[1][-1][:, 0] > 0.5, t)
