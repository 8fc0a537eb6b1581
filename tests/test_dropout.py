"""Dropout: the kernels' masks against the generator in NumPy, both passes against the reference, statistics."""

import copy
import math
from functools import partial

import numpy as np
import pytest
from fastprop.kernels.random import random_bits

import fastprop
from fastprop import network, reference

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


def masks_of(net, rows, *, first=0, number=None):
    """masks[m] for observations first..first+rows of an epoch whose random numbers begin at ``number``."""
    number = net._counter if number is None else number
    widths = [width if p else 0 for width, p in zip(net.sizes, net.dropout, strict=False)]
    masks, start = [], 0
    for width, p in zip(net.sizes, net.dropout, strict=False):
        if not p:
            masks.append(1)
            continue
        row, unit = np.arange(first, first + rows)[:, None], np.arange(width)
        at = (number + row * sum(widths) + start + unit).astype(np.uint64)
        threshold = round(p * 2**32)  # p is a multiple of 2^-32 to the kernels
        kept = random_bits.py_func(np.uint64(net._key), at) >> np.uint64(32) >= threshold
        masks.append((kept / (1 - threshold / 2**32)).astype(net.dtype))
        start += width
    return masks


def step_of_reference(net, X, y, masks, update):
    """One update of copies of the network's parameters; returns the loss and them."""
    weights, biases = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    activations = [a.name for a in (*net.hidden_activations, net.output_activation)]
    z, a = reference.forward(X, weights, biases, activations, masks)
    C, _, dW, db = reference.backward(y, weights, z, a, activations, net.loss.name, masks=masks)
    theta = [p for pair in zip(weights, biases, strict=True) for p in pair]
    update(theta, [g for pair in zip(dW, db, strict=True) for g in pair], {})
    return float(C), np.concatenate([p.ravel() for p in theta])


def data(net, rows, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (rows, net.sizes[0]), (rows, net.sizes[-1])
    return tuple(rng.standard_normal(shape).astype(net.dtype) for shape in shapes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("rows", [1, 7, 65, 600])
@pytest.mark.parametrize(
    ("sizes", "dropout"),
    [([3, 5, 2], 0.5), ([20, 33, 17, 1], [0.2, 0.5, 0.0]), ([4, 6, 5, 3], [0.0, 0.9, 0.1]), ([40, 1], [0.3])],
)
def test_a_step_against_the_reference(sizes, dropout, rows, hidden, dtype):
    net = fastprop.Network(sizes, hidden, loss="mse", dropout=dropout, dtype=dtype, seed=5)
    X, y = data(net, rows)
    C, expected = step_of_reference(net, X, y, masks_of(net, rows), partial(reference.sgd, learning_rate=0.1))
    assert math.isclose(net.train_step(X, y, fastprop.SGD(0.1)), C, rel_tol=TOLERANCE[dtype])
    np.testing.assert_allclose(net.get_parameters(), expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


def test_the_reference_against_finite_differences():
    rng = np.random.default_rng(1)
    weights, biases = [rng.standard_normal(s) for s in ((3, 4), (4, 2))], [rng.standard_normal(k) for k in (4, 2)]
    masks = [rng.integers(0, 2, (5, 3)) * 2.0, rng.integers(0, 2, (5, 4)) * 2.0]
    x, y, activations = rng.standard_normal((5, 3)), rng.standard_normal((5, 2)), ["tanh", "sigmoid"]

    def loss():
        z, a = reference.forward(x, weights, biases, activations, masks)
        return reference.backward(y, weights, z, a, activations, "mse", masks=masks)

    for theta, gradient in zip((*weights, *biases), (*loss()[2], *loss()[3]), strict=True):
        for i in np.ndindex(theta.shape):
            theta[i] += 1e-6
            above = loss()[0]
            theta[i] -= 2e-6
            below = loss()[0]
            theta[i] += 1e-6
            assert abs((above - below) / 2e-6 - gradient[i]) < 1e-8


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_row_has_its_masks_however_an_epoch_is_split(shuffle):
    """With a learning rate of 0 the losses of the batches add up to the same, whatever the batches."""
    losses = []
    for batch in (1, 4, 7, 60):
        net = fastprop.Network([3, 8, 5, 1], dropout=[0.1, 0.5, 0.5], dtype="float64", seed=2)
        losses.append(
            net.fit(*data(net, 60), optimizer=fastprop.SGD(0.0), epochs=3, batch_size=batch, shuffle=shuffle).loss
        )
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-12)
    assert len(set(losses[0])) == 3  # new masks in each epoch


@pytest.mark.parametrize("shuffle", [True, False])
def test_continuing_is_exact(shuffle):
    def train(*epochs):
        net = fastprop.Network([3, 20, 1], dropout=0.3, seed=4)
        optimizer = fastprop.Adam(0.01)
        losses = []
        for count in epochs:
            losses += net.fit(*data(net, 50), optimizer=optimizer, epochs=count, batch_size=8, shuffle=shuffle).loss
        return losses, net.get_parameters()

    whole, parts = train(5), train(2, 0, 3)
    assert whole[0] == parts[0]
    np.testing.assert_array_equal(whole[1], parts[1])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("sizes", [[30, 200, 100, 2], [700, 64, 2]])  # the second shares out W^(1) by its halves
def test_threads_do_not_matter(sizes, threads, monkeypatch):
    monkeypatch.setattr(network, "worth", lambda threads, *_: threads)
    monkeypatch.setattr(fastprop.Network, "_most", property(lambda net: net.threads))
    results = []
    for count in (1, threads):
        net = fastprop.Network(sizes, dropout=[0.1] + [0.5] * (len(sizes) - 2), seed=4, threads=count)
        net.fit(*data(net, 300), epochs=3, batch_size=100)
        results.append(net.get_parameters())
    np.testing.assert_array_equal(*results)


def test_the_generator_goes_back_after_a_divergence():
    net = fastprop.Network([3, 20, 1], dropout=0.5, seed=4)
    X, y = data(net, 40)
    net.fit(X, y, epochs=1)
    before = net._counter
    with pytest.raises(fastprop.DivergenceError) as caught:
        net.fit(X, y, optimizer=fastprop.SGD(1e18), epochs=5, batch_size=10)
    assert net._counter == before + len(caught.value.history) * (40 + 40 * 20)
    with pytest.raises(ValueError, match="must be finite"):
        net.fit(X * np.inf, y)
    assert net._counter == before + len(caught.value.history) * (40 + 40 * 20)


def test_statistics_of_the_masks():
    """What a layer of ones lets through: its mean over many rows is 1 for each unit, its variance p / (1 − p)."""
    n = 20_000
    for p in (0.1, 0.5, 0.8):
        net = fastprop.Network([30, 1], dropout=[p], dtype="float64", seed=1)
        (mask,) = masks_of(net, n)
        deviation = math.sqrt(p / (1 - p))
        assert np.abs(mask.mean(axis=0) - 1).max() < 4.5 * deviation / math.sqrt(n)
        assert np.abs(mask.mean(axis=1) - 1).mean() < 1.2 * deviation / math.sqrt(30)
        assert abs(mask.std() / deviation - 1) < 0.01
        correlations = np.corrcoef(mask.T) - np.eye(30)
        assert np.abs(correlations).max() < 5 / math.sqrt(n)
        assert abs(np.corrcoef(mask[:-1].ravel(), mask[1:].ravel())[0, 1]) < 5 / math.sqrt(30 * n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernels_drop_that_many(dtype):
    """The weight gradient of a layer of ones that passes its inputs on: each entry a share of the kept rows."""
    n, p = 5000, 0.25
    net = fastprop.Network([50, 1], dropout=[p], dtype=dtype, init="zeros", seed=3)
    kept = masks_of(net, n)[0].sum(axis=0) * (1 - p)
    net.train_step(np.ones((n, 50)), np.ones(n), fastprop.SGD(1.0))
    np.testing.assert_allclose(net.weights[0][:, 0] * (1 - p) * n, kept, rtol=1e-4)
    assert abs(kept.mean() / n - (1 - p)) < 5 * math.sqrt(p * (1 - p) / (50 * n))


def test_only_training_drops():
    nets = [fastprop.Network([3, 9, 2], "tanh", dropout=p, seed=1) for p in (0.0, [0.5, 0.5])]
    X, y = data(nets[0], 12)
    results = []
    for net in nets:
        out = net.forward(X).copy()
        results.append([out, net.backward(y), net.get_gradient(), net.predict(X), net.evaluate(X, y)])
    for without, with_dropout in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_dropout)
    assert nets[0].train_step(X, y, fastprop.SGD(0.1)) != nets[1].train_step(X, y, fastprop.SGD(0.1))


def test_an_activation_of_zero_is_no_dropped_unit():
    """tanh(0) = 0 where a unit is kept: its δ goes on."""
    net = fastprop.Network([1, 64, 1], "tanh", dropout=0.5, dtype="float64", seed=0)
    net.weights[0][...] = net.weights[1][...] = 0
    net.weights[1][...] = 1
    mask = masks_of(net, 1)[1]
    for sign in (1.0, -1.0):
        before = net.biases[0].copy()
        mask = masks_of(net, 1)[1]
        net.train_step([[sign * 0.0]], [1.0], fastprop.SGD(1e-9))
        np.testing.assert_array_equal(net.biases[0] != before, mask[0] > 0)
        net.biases[0][...] = -0.0


def test_dropout_learns():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    net = fastprop.Network([2, 64, 2], output="softmax", dropout=0.2, seed=0)
    labels = (X[:, 0] * X[:, 1] > 0).astype(int)
    net.fit(X, labels, optimizer=fastprop.Adam(0.01), epochs=60)
    assert (net.predict(X).argmax(axis=1) == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("dropout", "error", "message"),
    [
        (1.0, ValueError, "dropout must be a finite number ≥ 0 and < 1, got 1.0"),
        (-0.1, ValueError, "dropout must be"),
        (math.nan, ValueError, "dropout must be"),
        ("0.5", TypeError, "dropout must be a finite number ≥ 0 and < 1, got '0.5'"),
        ([0.5], ValueError, "dropout must have 2 probabilities, one for the input and each hidden layer, got 1"),
        ([0.5, 2.0], ValueError, r"dropout\[1\] must be"),
    ],
)
def test_bad_arguments(dropout, error, message):
    with pytest.raises(error, match=message):
        fastprop.Network([2, 3, 1], dropout=dropout)


def test_it_is_told():
    assert fastprop.Network([2, 3, 4, 1], dropout=0.5).dropout == (0.0, 0.5, 0.5)
    assert fastprop.Network([2, 3, 1], dropout=[0.1, 0]).dropout == (0.1, 0.0)
    assert "dropout=[0.0, 0.5]" in repr(fastprop.Network([2, 3, 1], dropout=0.5))
    assert "dropout" not in repr(fastprop.Network([2, 3, 1]))


def test_it_goes_into_files_and_copies(tmp_path):
    net = fastprop.Network([2, 3, 1], dropout=[0.1, 0.5], seed=0)
    net.save(tmp_path / "net.safetensors")
    for twin in (fastprop.load(tmp_path / "net.safetensors"), copy.copy(net)):
        assert twin.dropout == (0.1, 0.5)
        X, y = data(net, 20)
        assert copy.copy(net).fit(X, y, epochs=2).loss == twin.fit(X, y, epochs=2).loss
