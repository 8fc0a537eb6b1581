"""The compiled kernels against the NumPy reference, through `Network`: both passes, and whole training runs."""

import warnings
from functools import partial

import numpy as np
import pytest

import fastprop
from fastprop import reference

from .cases import (
    HIDDEN,
    LOSSES,
    OUTPUTS,
    TOLERANCE,
    Case,
    assert_close,
    assert_same_passes,
    make_case,
    smooth_case,
    stacked,
    targets,
)
from .worked_examples import EXAMPLES, VANISHING, XOR, sigmoid_chain

DTYPES = ("float64", "float32")
WIDTHS = (1, 3, 15, 16, 17, 33, 100, 127, 128, 129, 300)
exact = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)


# Worked examples


def network_of(example, output="sigmoid") -> fastprop.Network:
    sizes = [len(example.weights[0]), *(len(b) for b in example.biases)]
    net = fastprop.Network(sizes, example.activations[:-1], output, loss=example.loss, dtype="float64")
    for ours, theirs in zip(net.weights + net.biases, example.weights + example.biases, strict=True):
        ours[...] = theirs
    return net


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_example(name):
    example = EXAMPLES[name]
    net = network_of(example)
    net.forward(example.x)
    exact(net.backward(example.target), example.C)
    exact(net.activations[0], example.x)
    for m, expected in example.a.items():
        exact(net.activations[m], [expected])
    for m, (z, delta) in enumerate(zip(example.z, example.deltas, strict=True)):
        exact(net.pre_activations[m], [z])
        exact(net.deltas[m], [delta])
        exact(net.bias_gradients[m], delta)
    for (m, j, k), expected in example.weight_gradients.items():
        exact(net.weight_gradients[m - 1][j, k], expected)


@pytest.mark.parametrize("how", ["step", "train_step", "fit"])
def test_worked_update(how):
    net, sgd = network_of(XOR), fastprop.SGD(XOR.learning_rate)
    if how == "step":
        net.forward(XOR.x)
        C = net.backward(XOR.target)
        net.step(sgd)
    elif how == "train_step":
        C = net.train_step(XOR.x, XOR.target, sgd)
    else:
        C = net.fit(XOR.x, XOR.target, optimizer=sgd).loss[0]
    exact(C, XOR.C)
    for ours, theirs in zip(net.weights + net.biases, XOR.weights_after + XOR.biases_after, strict=True):
        exact(ours, theirs)
    exact(net.predict(XOR.x), [[XOR.output_after]])
    exact(net.evaluate(XOR.x, XOR.target), XOR.C_after)


@pytest.mark.parametrize("n_layers", VANISHING)
def test_error_signal_vanishes_along_a_sigmoid_chain(n_layers):
    """And a relu chain, in its active region, passes it on whole."""
    weights, biases, x = sigmoid_chain(n_layers)
    for activation, expected in [("sigmoid", VANISHING[n_layers]), ("relu", 1.0)]:
        net = fastprop.Network([1] * (n_layers + 1), activation, activation, loss="mse", dtype="float64")
        for W, b, weight, bias in zip(net.weights, net.biases, weights, biases, strict=True):
            W[...], b[...] = weight, bias if activation == "sigmoid" else 0
        net.forward(x if activation == "sigmoid" else x + 1)
        net.backward_from([[1.0]])
        assert net.deltas[0].item() == expected


# Both passes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_output_and_loss(output, loss, dtype):
    for width in (1, 3, 17):
        if output == "softmax" and width == 1:
            continue
        for rows in (1, 7, 33):
            case = smooth_case([4, 6, width], "tanh", output, loss, rows=rows, dtype=dtype)
            assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_and_loss(hidden, loss, dtype):
    for n_layers in range(1, 7):
        case = smooth_case([5] * n_layers + [2], hidden, "sigmoid", loss, rows=2 * n_layers - 1, dtype=dtype)
        assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width, dtype):
    for next_width in WIDTHS:
        for rows in (1, 13, 65):
            case = make_case([width, next_width, width], "tanh", "identity", "mse", rows=rows, dtype=dtype)
            assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [[1030, 5, 1], [3, 1030, 3], [2, 5, 1030], [520, 600, 10]])
def test_deep_sums(sizes, dtype):
    for rows in (1, 2, 129):
        case = make_case(sizes, "relu", "softmax" if sizes[-1] > 1 else "sigmoid", "squared_error",
                         rows=rows, dtype=dtype)  # fmt: skip
        assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_different_activations_in_each_layer(dtype):
    case = make_case([4, 5, 6, 7, 3], "tanh", "softmax", "cross_entropy", rows=9, dtype=dtype)
    hidden = ["relu", fastprop.LeakyReLU(0.3), "gelu"]
    net = fastprop.Network([4, 5, 6, 7, 3], hidden, "softmax", dtype=dtype, seed=1)
    mixed = Case(net, case.X, case.y, ["relu", ("leaky_relu", 0.3), "gelu", "softmax"], "cross_entropy")
    assert_same_passes(mixed, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "softplus"])
@pytest.mark.parametrize("label_type", [np.int64, np.uint8, np.float32, bool])
def test_labels(output, label_type, dtype, rng):
    case = make_case([4, 6, 5], "tanh", output, "cross_entropy", rows=11, dtype=dtype)
    case.y = rng.integers(0, 2 if label_type is bool else 5, 11).astype(label_type)
    assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax", "relu"])
def test_sample_weights(output, loss, dtype, rng):
    weights = rng.uniform(0, 3, 13).astype(dtype)
    weights[4] = 0
    case = make_case([3, 5, 2], "tanh", output, loss, rows=13, dtype=dtype)
    assert_same_passes(case, TOLERANCE[dtype], weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy", "poisson"])
def test_clipped_logarithms(loss, dtype):
    """Outputs outside (0, 1): the logarithm's argument is raised to the smallest normal number, its slope is 0."""
    for seed in range(100):
        case = make_case([3, 5, 4], "tanh", "identity", loss, rows=20, dtype=dtype, seed=seed)
        case.network.weights[-1][...] *= 100
        a = case.network.predict(case.X)
        if min(np.abs(a).min(), np.abs(1 - a).min()) > 0.02:
            break
    assert (a < 0).any()
    assert (a > 1).any()
    assert_same_passes(case, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_large_pre_activations(output, dtype):
    """|z| up to 1e4: nothing overflows, in the activation, its slope, or a loss taken from z."""
    losses = {"sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}
    case = make_case([3, 4, 3], "identity", output, losses.get(output, "mae"), rows=30, dtype=dtype)
    case.network.weights[-1][...] *= 3000
    case.network.biases[0][...] = 0
    case.X[::2] *= 1e-4  # and some moderate ones, as slopes that are all nearly 0 have no relative accuracy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about underflow to 0
        assert_same_passes(case, 1e-10 if dtype == "float64" else 1e-4)
    assert np.isfinite(case.network.get_gradient()).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_backward_from(output, dtype, rng):
    """From ∂C/∂a^(L) of squared_error, handed in, what `backward` finds with that loss."""
    case = make_case([3, 4, 3], "tanh", output, "squared_error", rows=7, dtype=dtype)
    expected = case.reference()
    a = case.network.forward(case.X)
    case.network.backward_from((a - case.y) / 7)
    net = case.network
    assert_close(net.deltas, expected[3], TOLERANCE[dtype])
    assert_close(stacked(net.weight_gradients, net.bias_gradients), stacked(*expected[4:]), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate(loss, weighted, dtype, rng):
    """More rows than are taken at a time."""
    case = make_case([3, 5, 2], "tanh", "sigmoid", loss, rows=1000, dtype=dtype)
    weights = rng.uniform(0, 2, 1000).astype(dtype) if weighted else None
    C = case.network.evaluate(case.X, case.y, weights)
    np.testing.assert_allclose(C, case.reference(weights)[2], rtol=TOLERANCE[dtype])
    assert_close(case.network.predict(case.X), case.reference()[1][-1], TOLERANCE[dtype])


# Training

OPTIMIZERS = {
    "sgd": (fastprop.SGD, reference.sgd, {"learning_rate": 0.05}),
    "sgd, decay": (fastprop.SGD, reference.sgd, {"learning_rate": 0.05, "weight_decay": 0.1}),
    "momentum": (fastprop.SGD, reference.sgd, {"learning_rate": 0.02, "momentum": 0.9}),
    "momentum, decay": (
        fastprop.SGD, reference.sgd, {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    ),
    "nesterov": (fastprop.SGD, reference.sgd, {"learning_rate": 0.02, "momentum": 0.8, "nesterov": True}),
    "nesterov, decay": (
        fastprop.SGD,
        reference.sgd,
        {"learning_rate": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ),
    "adam": (fastprop.Adam, reference.adam, {}),
    "adam, decay": (fastprop.Adam, reference.adam, {"weight_decay": 0.1}),
    "adam, others": (
        fastprop.Adam,
        reference.adam,
        {"learning_rate": 0.005, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.01},
    ),
}  # fmt: skip

#: name: sizes, hidden, output, loss, rows, batch size; 100 steps are 4 or 5 or 100 epochs
PROBLEMS = {
    "regression": ([4, 9, 2], "tanh", "identity", "squared_error", 97, 4),
    "two classes": ([3, 17, 5, 1], "silu", "sigmoid", "binary_cross_entropy", 100, 5),
    "full batch": ([6, 20, 4], "softplus", "softmax", "cross_entropy", 33, 33),
}


def permutations(net, rows, epochs) -> list[np.ndarray]:
    """The orders in which the next epochs of ``net`` take the rows, in plain integers.

    SplitMix64 at ``rows`` positions an epoch, and Fisher and Yates' shuffle inside out.
    """
    orders, word = [], 2**64 - 1
    position = int(net._counter)
    for _ in range(epochs):
        order: list[int] = []
        for i in range(rows):
            bits = (int(net._key) + position * 0x9E3779B97F4A7C15) & word
            bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & word
            bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & word
            j = int(((bits ^ (bits >> 31)) >> 11) * 2.0**-53 * (i + 1))
            order.append(i)
            order[i], order[j] = order[j], i
            position += 1
        orders.append(np.array(order))
    return orders


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_trajectory(problem, optimizer, dtype):
    sizes, hidden, output, loss, rows, batch = PROBLEMS[problem]
    ours, theirs, numbers = OPTIMIZERS[optimizer]
    case = make_case(sizes, hidden, output, loss, rows=rows, dtype=dtype)
    net = case.network
    epochs = 100 // -(-rows // batch)
    # The reference in float64 for both: in float32 its own rounding errors would be the larger ones.
    weights, biases = [W.astype(float) for W in net.weights], [b.astype(float) for b in net.biases]
    orders = permutations(net, rows, epochs)
    losses = reference.train(
        case.X.astype(float), case.y.astype(float), weights, biases, case.activations, case.loss,
        partial(theirs, **numbers), batch, epochs, orders,
    )  # fmt: skip
    history = net.fit(case.X, case.y, optimizer=ours(**numbers), epochs=epochs, batch_size=batch)
    tolerance = {"float64": 1e-10, "float32": 1e-3}[dtype]  # rounding errors grow from step to step
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance)
    ours = [p.astype(float) for p in stacked(net.weights, net.biases)]
    assert_close(ours, stacked(weights, biases), tolerance)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_fit(optimizer):
    """The same 100 steps one call at a time, and by forward, backward and step, each against the reference."""
    ours, theirs, numbers = OPTIMIZERS[optimizer]
    sizes, hidden, output, loss, rows, _ = PROBLEMS["full batch"]
    case = make_case(sizes, hidden, output, loss, rows=rows)
    weights, biases = [W.copy() for W in case.network.weights], [b.copy() for b in case.network.biases]
    losses = reference.train(case.X, case.y, weights, biases, case.activations, case.loss,
                             partial(theirs, **numbers), rows, 100)  # fmt: skip
    for how in ("train_step", "step"):
        net, rule = make_case(sizes, hidden, output, loss, rows=rows).network, ours(**numbers)
        for expected in losses:
            if how == "train_step":
                C = net.train_step(case.X, case.y, rule)
            else:
                net.forward(case.X)
                C = net.backward(case.y)
                net.step(rule)
            np.testing.assert_allclose(C, expected, rtol=1e-10)
        assert_close(stacked(net.weights, net.biases), stacked(weights, biases), 1e-10, how)


@pytest.mark.parametrize("batch_size", [1, 5, 32, 33])
def test_rows_in_their_own_order(batch_size):
    case = make_case([3, 4, 2], "tanh", "identity", "mse", rows=33)
    weights, biases = [W.copy() for W in case.network.weights], [b.copy() for b in case.network.biases]
    losses = reference.train(
        case.X, case.y, weights, biases, case.activations, case.loss, reference.adam, batch_size, 3
    )
    history = case.network.fit(case.X, case.y, epochs=3, batch_size=batch_size, shuffle=False)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    assert_close(case.network.weights, weights, 1e-11)


def test_default_batch_is_32(rng):
    X, y = rng.standard_normal((70, 3)), rng.standard_normal(70)
    results = []
    for batch_size in (None, 32):
        net = fastprop.Network([3, 4, 1], seed=3)
        net.fit(X, y, batch_size=batch_size)
        results.append(net.get_parameters())
    np.testing.assert_array_equal(*results)
    net.fit(X[:5], y[:5])  # min(32, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_training(dtype, rng):
    """Each batch's loss is Σ w·loss / Σ w over that batch."""
    case = make_case([3, 4, 1], "tanh", "identity", "mse", rows=21, dtype=dtype)
    w = rng.uniform(0, 2, 21).astype(dtype)
    theta = [p.copy() for pair in zip(case.network.weights, case.network.biases, strict=True) for p in pair]
    state: dict = {}
    total = 0.0
    for start in (0, 8, 16):
        rows = slice(start, start + 8)
        z, a = reference.forward(case.X[rows], theta[::2], theta[1::2], case.activations)
        C, _, dW, db = reference.backward(case.y[rows], theta[::2], z, a, case.activations, case.loss, w[rows])
        reference.adam(theta, [g for pair in zip(dW, db, strict=True) for g in pair], state)
        total += float(C) * len(a[0])
    history = case.network.fit(case.X, case.y, batch_size=8, shuffle=False, sample_weight=w)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(history.loss, [total / 21], rtol=tolerance)
    assert_close(case.network.weights, theta[::2], 10 * tolerance)


def test_targets_of_one_column_may_be_flat(rng):
    X, t = rng.standard_normal((9, 3)), targets("mse", 9, 1, rng)
    a, b = (fastprop.Network([3, 4, 1], seed=3, dtype="float64") for _ in range(2))
    assert a.fit(X, t).loss == b.fit(X, t[:, 0]).loss
    np.testing.assert_array_equal(a.get_parameters(), b.get_parameters())
