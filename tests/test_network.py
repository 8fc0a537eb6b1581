"""What `Network` promises: views, generator, optimizers' state, histories, and what is left after a failure."""

import math
import signal
import threading
import time

import numpy as np
import pytest

import fastprop
from fastprop import SGD, Adam, DivergenceError, Network

from .cases import HIDDEN, make_case

SIZES = [5, 7, 33, 3]
RULES = {
    "sgd": lambda: SGD(0.05),
    "nesterov": lambda: SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: Adam(0.01),
}
same = np.testing.assert_array_equal  # bit for bit, but for the sign of 0


def data(rows=50, sizes=SIZES, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, sizes[0])).astype(dtype), rng.standard_normal((rows, sizes[-1])).astype(dtype)


def make(dtype="float32", seed=1, sizes=SIZES, **options):
    return Network(sizes, "tanh", dtype=dtype, seed=seed, **options)


def padded(net) -> np.ndarray:
    """The whole buffer that holds the parameters."""
    array = net.weights[0]
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


# What it is


def test_attributes():
    net = Network((5, 7, 2), ["relu"], "sigmoid", dtype=np.float64, seed=3, threads=2)
    assert net.sizes == (5, 7, 2)
    assert net.dtype == np.float64
    assert net.num_parameters == 5 * 7 + 7 + 7 * 2 + 2
    assert (net.seed, net.threads) == (3, 2)
    assert [f.name for f in net.hidden_activations] == ["relu"]
    assert repr(net).startswith("Network([5, 7, 2], hidden=['relu'], output='sigmoid', loss='binary_cross_entropy'")


@pytest.mark.parametrize("output", [*HIDDEN, "softmax"])
def test_default_loss(output):
    expected = {"sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}.get(output, "squared_error")
    assert Network([3, 2], output=HIDDEN.get(output, (output,))[0]).loss.name == expected


def test_no_hidden_layer_and_integers_of_all_kinds():
    assert Network(np.array([3, 2]), []).sizes == (3, 2)
    assert Network(iter([3, np.uint8(4), 2])).sizes == (3, 4, 2)
    assert all(type(size) is int for size in Network(np.array([3, 2])).sizes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_views(dtype):
    """Same memory each time, no padding, writable; rows on cache lines, never 4 KiB apart."""
    net = Network([3, 1024, 17, 1], dtype=dtype)
    net.forward(np.ones((6, 3)))
    net.backward(np.ones(6))
    shapes = {
        "weights": [(3, 1024), (1024, 17), (17, 1)],
        "weight_gradients": [(3, 1024), (1024, 17), (17, 1)],
        "biases": [(1024,), (17,), (1,)],
        "bias_gradients": [(1024,), (17,), (1,)],
        "pre_activations": [(6, 1024), (6, 17), (6, 1)],
        "deltas": [(6, 1024), (6, 17), (6, 1)],
        "activations": [(6, 3), (6, 1024), (6, 17), (6, 1)],
    }
    for name, expected in shapes.items():
        first, again = getattr(net, name), getattr(net, name)
        assert isinstance(first, list)
        assert [view.shape for view in first] == expected
        for view, other in zip(first, again, strict=True):
            assert view.dtype == dtype
            assert view.flags.writeable
            assert view.ctypes.data == other.ctypes.data
            assert view.ctypes.data % 64 == 0
            assert view.strides[-1] == view.itemsize
            if view.ndim == 2:
                assert view.strides[0] % 64 == 0
                assert view.strides[0] % 4096 != 0
            view[...] = 3
            same(other, 3)
    assert net.get_parameters().tolist() == [3] * net.num_parameters == net.get_gradient().tolist()


def test_parameters_as_one_vector():
    net = make("float64")
    v = np.arange(net.num_parameters, dtype=float)
    net.set_parameters(v)
    same(net.get_parameters(), v)
    same(np.concatenate([p.ravel() for pair in zip(net.weights, net.biases, strict=True) for p in pair]), v)
    same(net.weights[0], v[:35].reshape(5, 7))
    same(net.biases[0], v[35:42])
    net.get_parameters()[:] = 0  # a copy
    same(net.get_parameters(), v)
    X, y = data()
    net.forward(X)
    net.backward(y)
    gradient = net.get_gradient()
    same(gradient[:35], net.weight_gradients[0].ravel())
    same(gradient[-3:], net.bias_gradients[-1])
    gradient[:] = 0
    assert net.get_gradient().any()


def test_what_is_written_through_views_counts():
    """At once, in every call: nothing derived from the parameters outlives a call."""
    X, y = data()
    new = make(seed=2).get_parameters()
    for use in (lambda net: net.predict(X), lambda net: net.forward(X).copy(),
                lambda net: net.fit(X, y).loss, lambda net: net.train_step(X, y, SGD(0.1))):  # fmt: skip
        net, twin = make(), make(seed=1)
        net.fit(X, y)
        net.predict(X)
        twin.fit(X, y)
        source = make(seed=2)
        for view, value in zip(net.weights + net.biases, source.weights + source.biases, strict=True):
            view[...] = value
        twin.set_parameters(new)
        same(use(net), use(twin))
        same(net.get_parameters(), twin.get_parameters())


def test_padding_stays_zero():
    """Whatever is trained."""
    X, y = data()
    for rule in RULES.values():
        net = make()
        net.fit(X, y, optimizer=rule(), epochs=3)
        assert np.count_nonzero(padded(net).view(np.float32)) <= net.num_parameters


def test_forward_returns_the_buffer_and_predict_a_copy():
    net = make()
    X, _ = data()
    outputs = net.forward(X)
    assert np.shares_memory(outputs, net.activations[-1])
    first, second = net.predict(X), net.predict(X)
    assert not np.shares_memory(first, second)
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert first.dtype == np.float32


def test_a_larger_batch_reallocates_and_a_smaller_does_not():
    net = make()
    X, _ = data(90)
    net.forward(X[:40])
    where = net.activations[0].ctypes.data
    kept = net.activations[-1]
    net.forward(X[:7])
    assert net.activations[0].ctypes.data == where
    assert net.activations[0].shape == (7, 5)
    outputs = net.forward(X).copy()
    assert kept.shape == (40, 3)  # the old view is whole, if out of date
    same(outputs[:7], net.forward(X[:7]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[5, 7, 33, 3], [1, 1], [17, 130, 1], [600, 20, 64]])
def test_a_row_has_the_same_bits_anywhere(sizes, dtype):
    """At any position, in any number of rows, by `predict` and by `forward`."""
    net = Network(sizes, "gelu", "softmax" if sizes[-1] > 1 else "identity", dtype=dtype, seed=1)
    X, _ = data(300, sizes, dtype=dtype)
    whole = net.predict(X)
    for rows in (1, 2, 5, 6, 7, 11, 12, 13, 64, 65, 257):
        for start in (0, 1, 43):
            some = slice(start, start + rows)
            assert net.predict(X[some]).tobytes() == whole[some].tobytes()
            assert np.ascontiguousarray(net.forward(X[some])).tobytes() == whole[some].tobytes()


@pytest.mark.parametrize("method", ["predict", "evaluate"])
def test_predict_and_evaluate_leave_the_training_buffers_alone(method):
    net = make()
    X, y = data(500)
    net.forward(X[:20])
    net.backward(y[:20])
    names = ("weights", "biases", "pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients")
    before = [[view.copy() for view in getattr(net, name)] for name in names]
    net.predict(X) if method == "predict" else net.evaluate(X, y)
    for name, kept in zip(names, before, strict=True):
        for view, copy in zip(getattr(net, name), kept, strict=True):
            same(view, copy)
    net.step(SGD(0.1))


def test_backward_from_flat_slopes():
    net = make(sizes=[5, 7, 1])
    X, _ = data(9)
    net.forward(X)
    net.backward_from(np.ones((9, 1)))
    expected = net.get_gradient()
    net.forward(X)
    net.backward_from(np.ones(9))
    same(net.get_gradient(), expected)


def test_train_step_is_forward_backward_step():
    X, y = data()
    for rule in RULES.values():
        one, three = make(), make()
        first, second = rule(), rule()
        for _ in range(5):
            C = one.train_step(X, y, first)
            three.forward(X)
            np.testing.assert_allclose(three.backward(y), C, rtol=1e-6)
            three.step(second)
        np.testing.assert_allclose(one.get_parameters(), three.get_parameters(), rtol=1e-5, atol=1e-6)
        assert first.steps == second.steps == 5


# First weights


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**64 - 1])
def test_seed(seed):
    """Same seed, same bits; a float32 network has the float64 network's weights, rounded; another seed others."""
    a, b, wide = make(seed=seed), make(seed=seed), make("float64", seed=seed)
    same(a.get_parameters(), b.get_parameters())
    same(a.get_parameters(), wide.get_parameters().astype(np.float32))
    assert not np.isclose(a.get_parameters(), make(seed=seed - 1 if seed else 7).get_parameters()).all()
    X, y = data()
    a.fit(X, y, epochs=3)
    b.fit(X, y, epochs=3)
    same(a.get_parameters(), b.get_parameters())


def test_without_a_seed_one_is_drawn():
    net = Network([3, 1])
    assert net.seed != Network([3, 1]).seed
    same(net.get_parameters(), Network([3, 1], seed=net.seed).get_parameters())


@pytest.mark.parametrize("activation", list(HIDDEN))
def test_default_init(activation):
    """He for the relu family, silu, gelu, softplus, elu: variance 2/fan_in. Glorot for the rest: 2/(in + out)."""
    function, _ = HIDDEN[activation]
    net = Network([400, 100, 1], function, seed=5)
    glorot = activation in ("identity", "sigmoid", "tanh")
    W = net.weights[0].astype(float)
    np.testing.assert_allclose(W.var(), 2 / 500 if glorot else 2 / 400, rtol=0.03)
    np.testing.assert_allclose(net.weights[1].astype(float).var(), 2 / 101, rtol=0.3)  # the output is identity
    assert abs(W.mean()) < 4 * W.std() / 200
    assert not any(b.any() for b in net.biases)


@pytest.mark.parametrize("init", ["he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "zeros"])
def test_named_init(init):
    W = Network([400, 100, 1], init=init, seed=5).weights[0].astype(float)
    if init == "zeros":
        assert not W.any()
        return
    variance = 2 / 400 if init.startswith("he") else 2 / 500
    np.testing.assert_allclose(W.var(), variance, rtol=0.03)
    fourth = (W**4).mean() / variance**2  # 9/5 for a uniform, 3 for a normal distribution
    np.testing.assert_allclose(fourth, 1.8 if init.endswith("uniform") else 3, rtol=0.05)
    correlation = np.corrcoef(W[:, 1:].ravel(), W[:, :-1].ravel())[0, 1]
    assert abs(correlation) < 4 / 200


# The course of training


def test_history():
    net, twin = make(), make()
    X, y = data(50)
    history = net.fit(X, y, epochs=4, batch_size=7)
    assert len(history) == len(history.loss) == len(history.seconds) == 4
    assert all(type(value) is float for value in history.loss + history.seconds)
    assert all(0 < seconds < 60 for seconds in history.seconds)
    assert (history.validation_loss, history.metrics) == ([], {})
    assert history.loss[-1] < history.loss[0]
    rates_of_nothing = twin.fit(X, y, optimizer=SGD(0), epochs=1, batch_size=7)  # 50 = 7·7 + 1
    np.testing.assert_allclose(rates_of_nothing.loss, [twin.evaluate(X, y)], rtol=1e-5)


def test_penalties_are_not_in_the_loss():
    X, y = data()
    losses = [make().fit(X, y, optimizer=SGD(0, weight_decay=w)).loss for w in (0.0, 10.0)]
    assert losses[0] == losses[1]


def test_weight_decay_leaves_biases_alone():
    for rule in (SGD(0.1, weight_decay=0.5), Adam(0.1, weight_decay=0.5)):
        net = make()
        for b in net.biases:
            b[...] = 1
        before = [w.copy() for w in net.weights]
        net.forward(data()[0])
        net.backward_from(np.zeros((50, 3)))
        net.step(rule)
        assert all((b == 1).all() for b in net.biases)
        for w, old in zip(net.weights, before, strict=True):
            assert (np.sign(w - old) == -np.sign(old)).all()


def test_validation_loss():
    """That of the network after each epoch, which it does not disturb."""
    X, y = data(50)
    V, v = data(30, seed=1)
    net, twin = make(), make()
    rule = Adam()
    losses = []
    for _ in range(3):
        twin.fit(X, y, optimizer=rule)
        losses.append(twin.evaluate(V, v))
    history = net.fit(X, y, epochs=3, validation_data=(V, v))
    assert history.validation_loss == losses
    same(net.get_parameters(), twin.get_parameters())
    w = np.arange(30.0)
    weighted = make().fit(X, y, epochs=3, validation_data=(V, v, w)).validation_loss
    np.testing.assert_allclose(weighted[-1], twin.evaluate(V, v, w), rtol=1e-6)
    assert weighted != losses


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_the_same_optimizer_goes_on_exactly(rule, shuffle):
    """Epochs 1 to 4, then 5 to 10, are epochs 1 to 10; so are ten single epochs."""
    X, y = data(50)
    results, losses = [], []
    for parts in ([10], [4, 6], [1] * 10, [4, 0, 6]):
        net, optimizer = make(), RULES[rule]()
        losses.append(
            [
                loss
                for epochs in parts
                for loss in net.fit(X, y, optimizer=optimizer, epochs=epochs, batch_size=8, shuffle=shuffle).loss
            ]
        )
        results.append(net.get_parameters())
        assert optimizer.steps == 70
    for result, loss in zip(results[1:], losses[1:], strict=True):
        same(result, results[0])
        assert loss == losses[0]


@pytest.mark.parametrize("patience", [0.0, 1e-4, 1e9])
def test_pauses_do_not_show(monkeypatch, patience):
    """However many steps a compiled call makes."""
    X, y = data(50)
    net, twin = make(), make()
    expected = twin.fit(X, y, epochs=5, batch_size=8)
    monkeypatch.setattr("fastprop.fitting.PATIENCE", patience)
    history = net.fit(X, y, epochs=5, batch_size=8)
    assert history.loss == expected.loss
    assert len(history.seconds) == 5
    same(net.get_parameters(), twin.get_parameters())


def test_each_fit_shuffles_anew():
    """The generator advances, by a `fit` that shuffles alone."""
    X, y = data(50)
    orders = []
    for before in (0, 1, 2):
        net = make()
        start = net.get_parameters()
        for _ in range(before):
            net.fit(X, y, epochs=1)
        net.train_step(X, y, SGD(0.1))
        net.fit(X, y, shuffle=False)
        net.set_parameters(start)
        orders.append(net.fit(X, y, batch_size=3).loss[0])
    assert len(set(orders)) == 3
    net = make()
    net.train_step(X, y, SGD(0.1))
    net.fit(X, y, shuffle=False)
    net.predict(X)
    net.set_parameters(make().get_parameters())
    assert net.fit(X, y, batch_size=3).loss[0] == orders[0]


def test_every_row_once_each_epoch():
    """With a rate of 0 an epoch's loss is the mean over all rows, in any order."""
    net = Network([1, 1], init="zeros", dtype="float64", seed=0)
    X, y = np.zeros((33, 1)), np.sqrt(2.0 ** np.arange(33))  # losses are powers of 2: sums tell which rows were there
    history = net.fit(X, y, optimizer=SGD(0), epochs=20, batch_size=1)
    np.testing.assert_allclose(np.array(history.loss) * 33, 2.0**32 - 0.5, rtol=1e-13)


def test_an_optimizer_by_name_is_a_fresh_one():
    X, y = data()
    by_name, by_object = make(), make()
    for _ in range(3):
        by_name.fit(X, y, optimizer="adam")
        by_object.fit(X, y, optimizer=Adam())
    same(by_name.get_parameters(), by_object.get_parameters())
    by_name.fit(X, y, optimizer="sgd")
    by_object.fit(X, y, optimizer=SGD())
    same(by_name.get_parameters(), by_object.get_parameters())


def test_learning_rate_between_calls():
    X, y = data()
    net, rule = make(), SGD(0.1)
    net.fit(X, y, optimizer=rule)
    before = net.get_parameters()
    rule.learning_rate = 0
    net.fit(X, y, optimizer=rule)
    same(net.get_parameters(), before)
    assert repr(rule) == "SGD(learning_rate=0.0, momentum=0.0, nesterov=False, weight_decay=0.0)"


@pytest.mark.parametrize("threads", [2, 3, "auto"])
def test_any_number_of_threads_gives_the_same_bits(threads):
    X, y = data(400)
    one, many = make(), make(threads=threads)
    assert one.fit(X, y, epochs=3).loss == many.fit(X, y, epochs=3).loss
    same(one.get_parameters(), many.get_parameters())
    same(one.predict(X), many.predict(X))


def test_progress_bar(capsys):
    X, y = data()
    make().fit(X, y, epochs=3, progress=True)
    assert "3/3" in capsys.readouterr().err
    make().fit(X, y, epochs=3)
    assert capsys.readouterr().err == ""


# Sample weights


@pytest.mark.parametrize("loss", ["squared_error", "mae", "huber", "binary_cross_entropy", "cross_entropy", "poisson"])
def test_integer_weights_are_repetitions(loss, rng):
    """For the full batch."""
    case = make_case([3, 4, 2], "tanh", "sigmoid", loss, rows=12)
    net, w = case.network, rng.integers(0, 4, 12)
    net.forward(case.X)
    C = net.backward(case.y, w)
    gradient = net.get_gradient()
    net.forward(np.repeat(case.X, w, axis=0))
    np.testing.assert_allclose(C, net.backward(np.repeat(case.y, w, axis=0)), rtol=1e-13)
    np.testing.assert_allclose(gradient, net.get_gradient(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(net.evaluate(case.X, case.y, w), C, rtol=1e-13)
    np.testing.assert_allclose(net.evaluate(case.X, case.y, 1e-3 * w), C, rtol=1e-13)


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_without_weight_makes_no_update(rule):
    X, y = data(32)
    w = np.repeat([1.0, 0.0, 2.0, 0.0], 8)
    net, optimizer = make(), RULES[rule]()
    history = net.fit(X, y, optimizer=optimizer, batch_size=8, shuffle=False, sample_weight=w)
    twin, twins = make(), RULES[rule]()
    kept = np.r_[0:8, 16:24]
    expected = twin.fit(X[kept], y[kept], optimizer=twins, batch_size=8, shuffle=False, sample_weight=w[kept])
    assert optimizer.steps == twins.steps == 2
    same(net.get_parameters(), twin.get_parameters())
    np.testing.assert_allclose(history.loss[0], expected.loss[0] / 2, rtol=1e-12)


# Data as it comes


def variants(array, folder):
    """The same numbers in other clothes."""
    frozen = array.copy()
    frozen.flags.writeable = False
    path = folder / f"{array.ndim}-{array.size}.npy"
    np.save(path, array)
    wide = np.zeros((2 * array.shape[0], *array.shape[1:]), array.dtype)
    wide[::2] = array
    return {
        "read-only": frozen,
        "Fortran-ordered": np.asfortranarray(array),
        "memory-mapped": np.load(path, mmap_mode="r"),
        "float64": array.astype(np.float64),
        "every second row": wide[::2],
        "backwards": array[::-1].copy()[::-1],
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "list": array.tolist(),
        "unaligned": np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape),
        "matrix of a subclass": array.view(type("Tagged", (np.ndarray,), {})),
    }


FORMS = (
    "read-only", "Fortran-ordered", "memory-mapped", "float64", "every second row", "backwards", "big-endian", "list",
    "unaligned", "matrix of a subclass",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_data_in_any_form(name, tmp_path):
    X, y = data(50)
    w = np.linspace(0, 1, 50, dtype=np.float32)
    X2, y2, w2 = (variants(array, tmp_path)[name] for array in (X, y, w))
    results = []
    for inputs, targets, weights in ((X, y, w), (X2, y2, w2)):
        net, rule = make(), Adam(0.01)
        history = net.fit(inputs, targets, optimizer=rule, epochs=2, sample_weight=weights)
        C = net.train_step(inputs, targets, rule, weights)
        net.forward(inputs)
        results.append([
            history.loss, C, net.predict(inputs), net.evaluate(inputs, targets, weights),
            net.backward(targets, weights), net.get_gradient(), net.get_parameters(),
        ])  # fmt: skip
    for expected, found in zip(*results, strict=True):
        same(found, expected)
    same(X, data(50)[0])
    same(y, data(50)[1])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.longdouble])
def test_other_real_dtypes(dtype):
    X, y = (np.abs(a * 3).astype(dtype) for a in data())
    net = make("float64")
    same(net.predict(X), net.predict(X.astype(float)))
    assert net.evaluate(X, y) == net.evaluate(X.astype(float), y.astype(float))


def test_the_user_s_data_may_change_between_calls():
    """It is read in each call anew, and never written."""
    X, y = data()
    net, rule = make(), SGD(0.1)
    first = net.train_step(X, y, rule)
    y[...] = 0
    assert net.train_step(X, y, rule) != first
    assert not y.any()


@pytest.mark.parametrize("patience", [0.0, 1e9])
@pytest.mark.parametrize("where", ["X", "y"])
def test_nan_in_the_data(monkeypatch, where, patience):
    """Named by its first row and column, whichever a shuffle finds; all is as before the fit."""
    monkeypatch.setattr("fastprop.fitting.PATIENCE", patience)
    X, y = data(50)
    broken = {"X": X.copy(), "y": y.copy()}
    for row in (49, 31, 30, 41):
        broken[where][row, 2] = np.nan
    broken[where][30, 1] = -np.inf
    for rule in (lambda: SGD(0.05, momentum=0.9), Adam):
        net, optimizer, twin, twins = make(), rule(), make(), rule()
        for a, b in ((net, optimizer), (twin, twins)):
            a.fit(X, y, optimizer=b, epochs=2)
        for shuffle in (True, False):
            with pytest.raises(ValueError, match=rf"^{where} must be finite, got -inf at row 30, column 1$"):
                net.fit(**broken, optimizer=optimizer, epochs=3, batch_size=4, shuffle=shuffle)
        same(net.get_parameters(), twin.get_parameters())
        assert optimizer.steps == twins.steps
        assert net.fit(X, y, optimizer=optimizer, epochs=2).loss == twin.fit(X, y, optimizer=twins, epochs=2).loss
        same(net.get_parameters(), twin.get_parameters())


# Divergence


def growing(rule, seed=1):
    """A linear problem that a rate of 2 blows up over some epochs, and a network trained on it for two good ones."""
    X, y = data(40, [3, 1])
    net = Network([3, 1], seed=seed)
    rule.learning_rate, keep = 0.01, rule.learning_rate
    net.fit(X, y[:, :1], optimizer=rule, epochs=2, batch_size=8)
    rule.learning_rate = keep
    return net, X, y[:, :1]


@pytest.mark.parametrize("patience", [0.0, 1e9])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_divergence(monkeypatch, momentum, patience):
    """Network and optimizer go back to the end of the last good epoch; what was good is in the history."""
    monkeypatch.setattr("fastprop.fitting.PATIENCE", patience)
    rule, twins = SGD(2.0, momentum=momentum), SGD(2.0, momentum=momentum)
    (net, X, y), (twin, _, _) = growing(rule), growing(twins)
    with pytest.raises(DivergenceError, match="smaller learning rate") as caught:
        net.fit(X, y, optimizer=rule, epochs=1000, batch_size=8)
    error = caught.value
    assert isinstance(error, ArithmeticError)
    assert 0 < error.epoch < 1000
    assert 0 <= error.step < 5
    assert error.layer == 1
    assert len(error.history.loss) == len(error.history.seconds) == error.epoch
    assert np.isfinite(error.history.loss).all()
    assert np.isfinite(net.get_parameters()).all()
    for text in (f"epoch {error.epoch}", f"step {error.step}", "layer 1", f"after epoch {error.epoch - 1}"):
        assert text in str(error)
    expected = twin.fit(X, y, optimizer=twins, epochs=error.epoch, batch_size=8)
    assert expected.loss == error.history.loss
    same(net.get_parameters(), twin.get_parameters())
    assert rule.steps == twins.steps
    # Parameters, moments, steps and generator: both go on alike.
    for a, b in ((net, rule), (twin, twins)):
        a.set_parameters(np.zeros(4))
        b.learning_rate = 1e-30
        a.fit(X, y, optimizer=b, epochs=2, batch_size=8)
    same(net.get_parameters(), twin.get_parameters())


def test_divergence_in_the_first_epoch():
    """All is as before the fit; a fresh optimizer is free again."""
    X, y = data()
    net, twin = make(), make()
    rule = SGD(1e30, momentum=0.9)
    with pytest.raises(DivergenceError, match="as it was before") as caught:
        net.fit(X, y, optimizer=rule, epochs=5)
    assert (caught.value.epoch, caught.value.history.loss) == (0, [])
    same(net.get_parameters(), twin.get_parameters())
    assert rule.steps == 0
    assert net.fit(X, y, epochs=3).loss == twin.fit(X, y, epochs=3).loss
    rule.learning_rate = 0.01
    make().fit(X, y, optimizer=rule)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_layer_where_it_began(layer):
    X, y = data()
    net = Network(SIZES, "identity", seed=1)
    net.weights[layer - 1][...] = 3e38
    before = net.get_parameters()
    with pytest.raises(DivergenceError) as caught:
        net.fit(X, y, epochs=2)
    assert (caught.value.epoch, caught.value.step, caught.value.layer) == (0, 0, layer)
    same(net.get_parameters(), before)


def test_a_loss_alone_that_overflows():
    X, y = data()
    net = make("float64")
    with pytest.raises(DivergenceError) as caught:
        net.train_step(X, y.astype(float) * 1e200, SGD(0.1))
    assert caught.value.layer == 3
    assert "loss" in str(caught.value)


def test_a_parameter_that_overflows_in_the_last_step():
    """The loss before it was fine."""
    X, y = data()
    for call in ("fit", "train_step"):
        net, rule = make(), SGD(1e38)
        before = net.get_parameters()
        run = {"fit": lambda net=net, rule=rule: net.fit(X, y * 1000, optimizer=rule, batch_size=50),
               "train_step": lambda net=net, rule=rule: net.train_step(X, y * 1000, rule)}  # fmt: skip
        with pytest.raises(DivergenceError, match="parameter became NaN or infinite") as caught:
            run[call]()
        assert (caught.value.epoch, caught.value.step) == (0, 0)
        same(net.get_parameters(), before)
        assert rule.steps == 0


@pytest.mark.parametrize("rule", RULES)
def test_step_that_diverges(rule):
    X, y = data()
    net, optimizer, twin, twins = make(), RULES[rule](), make(), RULES[rule]()
    for a, b in ((net, optimizer), (twin, twins)):
        a.train_step(X, y, b)
        a.forward(X)
        a.backward(y)
    net.weight_gradients[1][3, 4] = np.nan
    with pytest.raises(DivergenceError) as caught:
        net.step(optimizer)
    assert caught.value.layer == 2
    same(net.get_parameters(), twin.get_parameters())
    net.weight_gradients[1][3, 4] = twin.weight_gradients[1][3, 4]
    net.step(optimizer)
    twin.step(twins)
    assert optimizer.steps == twins.steps == 2
    same(net.get_parameters(), twin.get_parameters())


@pytest.mark.parametrize("fresh", [True, False])
def test_step_from_bad_parameters(fresh):
    X, y = data()
    net, optimizer = make(), Adam(0.01)
    if not fresh:
        net.train_step(X, y, optimizer)
    net.forward(X)
    net.backward(y)
    steps, moments = optimizer.steps, optimizer._moments.copy()
    net.weights[1][3, 4] = np.nan
    before = net.get_parameters()
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity in layer 2"):
        net.step(optimizer)
    same(net.get_parameters(), before)
    assert optimizer.steps == steps
    same(optimizer._moments, moments)
    if fresh:
        make().train_step(X, y, optimizer)  # it belongs to nobody yet


# Interruptions


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
@pytest.mark.parametrize("rule", RULES)
def test_ctrl_c(rule):
    """Within 0.2 s, between two steps: at the very state that so many steps lead to."""
    sizes, batch = [64, 128, 128, 10], 64
    X, y = data(4 * batch + 10, sizes)
    net, optimizer = make(sizes=sizes), RULES[rule]()
    net.fit(X, y, optimizer=optimizer, batch_size=batch, shuffle=False)  # compiled, and timed once
    net, optimizer = make(sizes=sizes), RULES[rule]()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, y, optimizer=optimizer, batch_size=batch, shuffle=False, epochs=10**6)
        took = time.perf_counter() - began
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert took < 0.15 + 0.2 + 0.3  # the last for a busy machine
    twin, twins = make(sizes=sizes), RULES[rule]()
    starts = list(range(0, len(X), batch))
    for i in range(optimizer.steps):
        rows = slice(starts[i % 5], starts[i % 5] + batch)
        twin.train_step(X[rows], y[rows], twins)
    assert optimizer.steps > 0
    same(net.get_parameters(), twin.get_parameters())
    net.fit(X, y, optimizer=optimizer)  # neither locked nor broken


def test_a_second_thread_is_refused():
    X, y = data(1000)
    net, twin, done = make(), make(), []
    for either in (net, twin):
        seconds = either.fit(X, y, epochs=2).seconds[-1]
    epochs = max(2, int(0.5 / seconds))
    worker = threading.Thread(target=lambda: done.append(net.fit(X, y, epochs=epochs)))
    worker.start()
    deadline = time.monotonic() + 10
    while not net._alone._lock.locked():
        assert time.monotonic() < deadline
    calls = [
        lambda: net.forward(X), lambda: net.predict(X), lambda: net.evaluate(X, y), lambda: net.fit(X, y),
        lambda: net.train_step(X, y, SGD(0.1)), lambda: net.set_parameters(np.zeros(net.num_parameters)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="another thread"):
            call()
    assert worker.is_alive()
    worker.join()
    expected = twin.fit(X, y, epochs=epochs)  # the worker noticed nothing
    assert done[0].loss == expected.loss
    net.predict(X)


def test_an_optimizer_outlives_its_network():
    """Its state is of no use to another one, even when the first is gone."""
    X, y = data()
    rule = Adam()
    make().fit(X, y, optimizer=rule)
    with pytest.raises(ValueError, match="another network"):
        make().fit(X, y, optimizer=rule)


def test_backward_again_after_one_forward():
    """`backward` does not use up what it needs."""
    X, y = data()
    net = make()
    net.forward(X)
    C = net.backward(y)
    gradient = net.get_gradient()
    assert math.isfinite(C)
    net.backward_from(np.ones_like(y))
    assert net.backward(y) == C
    same(net.get_gradient(), gradient)


def test_fastprop_names():
    assert set(fastprop.__all__) <= set(dir(fastprop))
    for name in fastprop.__all__:
        assert getattr(fastprop, name) is not None
    with pytest.raises(AttributeError, match="Netwrok"):
        _ = fastprop.Netwrok
