"""The microscope: what it records, what it warns of, and that it leaves the training alone."""

import warnings

import numpy as np
import pytest

import fastprop
from fastprop import reference

from .worked_examples import VANISHING, sigmoid_chain


def data(rng, n=120, inputs=3):
    X = rng.standard_normal((n, inputs))
    return X, X[:, 0] * X[:, 1]


@pytest.mark.parametrize("every", [0, 7])
def test_training_has_the_same_bits(every, rng):
    X, y = data(rng)
    nets = [fastprop.Network([3, 8, 1], "tanh", seed=1) for _ in range(2)]
    microscope = fastprop.Microscope(every)
    for net, callbacks in zip(nets, ([], [microscope]), strict=True):
        net.fit(X, y, epochs=5, batch_size=11, callbacks=callbacks)
    np.testing.assert_array_equal(nets[0].get_parameters(), nets[1].get_parameters())
    steps = [record.step for record in microscope.records]
    assert steps == ([0, 11, 22, 33, 44, 55] if every == 0 else list(range(0, 56, 7)))


def test_records_against_the_reference(rng):
    """Full batches in their own order: every number follows from the weights of that time."""
    X, y = data(rng)
    net = fastprop.Network([3, 5, 4, 1], ["relu", "tanh"], dtype="float64", seed=1)
    weights, expected = [], []

    class Keep(fastprop.Callback):
        def on_start(self, run):
            self.on_epoch_end(run)

        def on_epoch_end(self, run):
            weights.append([w.copy() for w in run.network.weights])
            z, a = reference.forward(X[-50:], run.network.weights, run.network.biases, ["relu", "tanh", "identity"])
            _, deltas, gradients, _ = reference.backward(
                y[-50:], run.network.weights, z, a, ["relu", "tanh", "identity"], "squared_error"
            )
            expected.append((deltas, gradients, np.mean((z[0] <= 0).all(axis=0))))

    microscope = fastprop.Microscope(rows=50)
    net.fit(X, y, optimizer=fastprop.SGD(0.01), epochs=3, batch_size=30, shuffle=False, callbacks=[Keep(), microscope])
    assert len(microscope.records) == 4
    for i, (record, (deltas, gradients, dead)) in enumerate(zip(microscope.records, expected, strict=True)):
        np.testing.assert_allclose(record.weights, [np.linalg.norm(w) for w in weights[i]], rtol=1e-12)
        np.testing.assert_allclose(record.gradients, [np.linalg.norm(g) for g in gradients], rtol=1e-12)
        np.testing.assert_allclose(record.deltas, [50 * np.sqrt((d**2).mean()) for d in deltas], rtol=1e-12)
        assert record.idle[0] == dead
        assert np.isnan(record.idle[2])
        if i:
            moved = [np.linalg.norm(w - old) / 4 for w, old in zip(weights[i], weights[i - 1], strict=True)]
            np.testing.assert_allclose(record.updates, moved, rtol=1e-12)
    assert np.isnan(microscope.records[0].updates).all()
    np.testing.assert_array_equal(microscope.series("deltas")[2], microscope.records[2].deltas)


def test_last_rows_are_those_last_trained_on():
    """Row i has input i: after a shuffled epoch its last rows, within one the rows up to there."""
    X = np.arange(40.0)[:, None]
    net = fastprop.Network([1, 1], seed=0)
    seen = []

    class Look(fastprop.Callback):
        every = 3

        def on_step(self, run):
            seen.append([*run._order, None, *run.last_rows(12).inputs[:, 0]])

    net.fit(X, X[:, 0], epochs=2, optimizer=fastprop.SGD(1e-9), batch_size=4, callbacks=[Look()])
    ends = [12, 24, 36, 8, 20, 32]
    for rows, end in zip(seen, ends, strict=True):
        cut = rows.index(None)
        order, last = rows[:cut], rows[cut + 1 :]
        assert last == order[max(0, end - 12) : max(12, end)]


def warned(net, X, y, **options) -> list[str]:
    microscope = fastprop.Microscope()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y, callbacks=[microscope], **options)
    assert [str(warning.message) for warning in caught] == microscope.warnings
    assert all(warning.category is RuntimeWarning for warning in caught)
    return microscope.warnings


def test_dead_units_are_named(rng):
    X, y = data(rng)
    net = fastprop.Network([3, 5, 8, 1], seed=0)
    net.biases[1][:7] = -100
    net.biases[1][7] = 100
    messages = warned(net, X, y, optimizer=fastprop.SGD(1e-6), epochs=3)
    assert messages == [
        "layer 2: 88 % of relu units inactive on the last 120 rows; a smaller learning rate or leaky_relu may help"
    ]
    net.biases[1][...] = -100
    (message,) = warned(net, X, y, epochs=1)  # of vanishing gradients nothing: this is why
    assert message.startswith("layer 2: 100 % of relu units inactive")


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh"])
def test_saturated_units_are_named(hidden, rng):
    X, y = data(rng)
    net = fastprop.Network([3, 4, 1], hidden, seed=0)
    net.biases[0][...] = [100, -100, 0, 0]
    (message,) = warned(net, X, y, epochs=1)
    assert message.startswith(f"layer 1: 50 % of {hidden} units saturated on the last 120 rows; ")


def test_vanishing_gradients_are_named():
    """The chain of the worked example: σ′(0) = 0.25 a layer."""
    weights, biases, x = sigmoid_chain(6)
    net = fastprop.Network([1] * 7, "sigmoid", "sigmoid", loss="squared_error", dtype="float64", seed=0)
    for ours, theirs in zip([*net.weights, *net.biases], [*weights, *biases], strict=True):
        ours[...] = theirs
    (message,) = warned(net, x, [1.0], epochs=1)
    assert message.startswith(f"layer 1: gradients vanish: error signals are {VANISHING[6] / 0.25:.1e} of the output")
    microscope = fastprop.Microscope()
    relu = fastprop.Network([1] * 7, "relu", dtype="float64", init="zeros", seed=0)
    for w in relu.weights:
        w[...] = 1
    relu.fit([[1.0]], [2.0], optimizer=fastprop.SGD(0.0), callbacks=[microscope])
    np.testing.assert_array_equal(microscope.records[0].deltas, np.ones(6))
    assert microscope.warnings == []


def test_exploding_gradients_are_named(rng):
    X, y = data(rng)
    steep = fastprop.Network([3, 4, 4, 1], "identity", dtype="float64", seed=0)
    for w in steep.weights:
        w[...] = 40
    (message,) = warned(steep, X, y, optimizer=fastprop.SGD(0.0), epochs=1)
    assert message.startswith("layer 1: gradients explode: error signals are 6,400 times the output layer's; ")
    growing = fastprop.Network([3, 1], dtype="float64", seed=0)
    message, *others = warned(growing, X, y, optimizer=fastprop.SGD(3.0), epochs=4)
    assert message.startswith("layer 1: gradients explode: ∂C/∂W has grown ")
    assert others == []


def test_table_and_plot(rng):
    X, y = data(rng)
    net = fastprop.Network([3, 6, 4, 1], ["relu", "gelu"], seed=0)
    microscope = fastprop.Microscope()
    assert str(microscope) == "nothing recorded yet"
    with pytest.raises(ValueError, match="plot must come after a fit"):
        microscope.plot()
    net.fit(X, y, epochs=3, callbacks=[microscope])
    lines = str(microscope).splitlines()
    assert lines[0] == "step 12, 120 rows"
    assert lines[1].split()[:2] == ["layer", "activation"]
    assert [line.split()[:2] for line in lines[2:]] == [["1", "relu"], ["2", "gelu"], ["3", "identity"]]
    pytest.importorskip("matplotlib")
    figure = microscope.plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["weights ‖W‖", "gradients ‖∂C/∂W‖"]
    np.testing.assert_allclose(figure.axes[3].lines[1].get_ydata(), microscope.series("deltas")[:, 1])
    assert [text.get_text() for text in figure.axes[5].get_legend().get_texts()] == [
        "1: relu",
        "2: gelu",
        "3: identity",
    ]


@pytest.mark.parametrize("output", ["softmax", "identity"])
def test_labels_weights_and_copies(output, rng):
    """Labels, sample weights of which some are 0, and a second fit with the same object."""
    X = rng.standard_normal((50, 3))
    y = rng.integers(0, 2, 50) if output == "softmax" else rng.standard_normal((50, 2))
    microscope = fastprop.Microscope(rows=20)
    net = fastprop.Network([3, 4, 2], "tanh", output, seed=0)
    for epochs in (2, 3):
        net.fit(X, y, epochs=epochs, sample_weight=np.arange(50.0), callbacks=[microscope])
        assert len(microscope.records) == epochs + 1
    assert microscope.records[-1].rows == 20


def test_refusals():
    for arguments, message in (({"every": -1}, "every must be"), ({"rows": 0}, "rows must be")):
        with pytest.raises(ValueError, match=message):
            fastprop.Microscope(**arguments)
    with pytest.raises(ValueError, match="name must be one of weights, gradients"):
        fastprop.Microscope().series("biases")
