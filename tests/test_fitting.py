"""What ``fit`` does beside training: weights of classes, validation, metrics, early stopping, callbacks, histories."""

import csv
import re

import numpy as np
import pytest

import fastprop
from fastprop import Adam, Callback, CSVLog, EarlyStopping, History, Network

same = np.testing.assert_array_equal
SIZES = [4, 16, 3]


def data(rows=90, seed=0):
    """Three classes of points, one of them rare; many labels are wrong, so that validation has its turn."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, 4)).astype(np.float32)
    labels = np.where(X[:, 0] > 1, 2, (X[:, 1] > 0).astype(int))
    wrong = rng.random(rows) < 0.2
    labels[wrong] = rng.integers(0, 3, wrong.sum())
    return X, labels


def make(seed=1, **options):
    return Network(SIZES, "tanh", "softmax", seed=seed, **options)


# Weights


def test_balanced_classes_weigh_as_scikit_learn_says():
    weights = pytest.importorskip("sklearn.utils.class_weight").compute_sample_weight
    X, y = data()
    by_class, by_row = make(), make()
    history = by_class.fit(X, y, epochs=3, class_weight="balanced")
    assert history.loss == by_row.fit(X, y, epochs=3, sample_weight=weights("balanced", y)).loss
    same(by_class.get_parameters(), by_row.get_parameters())


@pytest.mark.parametrize("form", ["labels", "one-hot", "one output"])
def test_class_weights_multiply_sample_weights(form):
    X, y = data()
    w = np.linspace(0, 2, len(y))
    if form == "one output":
        y = (y > 0).astype(int)
    nets = [Network([4, 1], output="sigmoid", seed=1) if form == "one output" else make() for _ in range(3)]
    given = np.eye(3)[y] if form == "one-hot" else y
    nets[0].fit(X, given, epochs=2, sample_weight=w, class_weight={1: 3.0})
    nets[1].fit(X, given, epochs=2, sample_weight=w * np.where(y == 1, 3, 1))
    np.testing.assert_allclose(nets[0].get_parameters(), nets[1].get_parameters(), rtol=1e-4, atol=1e-6)
    # "balanced" gives all classes the same sum of weights.
    nets[2].fit(X, given, epochs=2, sample_weight=w, class_weight="balanced")
    balanced = w / np.bincount(y, w)[y]
    nets[1] = (
        type(nets[1])(nets[1].sizes, "tanh", nets[1].output_activation, seed=1) if form == "one output" else make()
    )
    nets[1].fit(X, given, epochs=2, sample_weight=balanced)
    np.testing.assert_allclose(nets[2].get_parameters(), nets[1].get_parameters(), rtol=1e-4, atol=1e-6)


# Validation


def test_a_split_depends_on_the_seed_and_the_rows_alone():
    """What is trained on and what is set aside, found by the losses of a network that does not learn."""
    X = np.zeros((10, 1))
    y = np.sqrt(2.0 ** np.arange(1, 11))  # ½ y² are powers of 2: a sum tells which rows were in it

    def halves(net, **options):
        history = net.fit(X, y, optimizer=fastprop.SGD(0), validation_split=0.3, **options)
        return round(history.loss[0] * 7), round(history.validation_loss[0] * 3)

    net = Network([1, 1], init="zeros", dtype="float64", seed=0)
    training, validation = halves(net)
    assert training + validation == 2**10 - 1
    assert (training.bit_count(), validation.bit_count()) == (7, 3)
    net.fit(X, y, optimizer=fastprop.SGD(0))
    assert halves(net, shuffle=False, batch_size=2)[1] == validation
    others = {halves(Network([1, 1], init="zeros", dtype="float64", seed=k))[1] for k in range(1, 5)}
    assert len(others - {validation}) > 1


def test_a_split_takes_weights_along():
    X, y = data()
    w = np.r_[np.ones(45), np.full(45, 1e-6)]
    net = make()
    with_weights = net.fit(X, y, validation_split=0.5, sample_weight=w).validation_loss
    assert with_weights != make().fit(X, y, validation_split=0.5).validation_loss


# Metrics


def test_metrics_of_both_sets_after_each_epoch():
    X, y = data()
    V, v = data(30, seed=1)
    net, twin, rule, twins = make(), make(), Adam(), Adam()

    def mean_of_first(y_true, outputs):
        assert y_true.shape == outputs.shape[:1]
        assert not outputs.flags.writeable
        return outputs[:, 0].mean()

    history = net.fit(X, y, optimizer=rule, epochs=3, validation_data=(V, v), metrics=["accuracy", mean_of_first])
    assert list(history.metrics) == [
        "accuracy", "mean_of_first", "validation_accuracy", "validation_mean_of_first"
    ]  # fmt: skip
    for epoch in range(3):
        twin.fit(X, y, optimizer=twins)
        assert history.validation_loss[epoch] == twin.evaluate(V, v)
        for prefix, inputs, labels in (("", X, y), ("validation_", V, v)):
            outputs = twin.predict(inputs)
            assert history.metrics[f"{prefix}accuracy"][epoch] == np.mean(outputs.argmax(axis=1) == labels)
            assert history[f"{prefix}mean_of_first"][epoch] == outputs[:, 0].mean()
    same(net.get_parameters(), twin.get_parameters())  # measuring changes nothing


# Freezing


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 20, 600])
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.01}])
def test_frozen_layers_stay_and_the_others_train_as_the_reference_says(rows, threads, clip):
    """Without decay and clipping the others' first update is the one they would have made anyway."""
    X, y = np.random.default_rng(0).standard_normal((2, rows, 4)).astype(np.float32)
    net, free = (Network([4, 7, 9, 3], "tanh", seed=0, threads=threads) for _ in range(2))
    net.frozen = [1, 3]
    assert (net.frozen, free.frozen) == ((1, 3), ())
    first = net.weights[1].copy()
    before = [p.copy() for p in (net.weights[0], net.biases[0], net.weights[2], net.biases[2])]
    rule = Adam(0.01, weight_decay=0.1, **clip)
    net.fit(X, y[:, :3], optimizer=rule, epochs=1, batch_size=rows)
    if not clip:
        free.fit(X, y[:, :3], optimizer=Adam(0.01, weight_decay=0.1), epochs=1, batch_size=rows)
        np.testing.assert_allclose(net.weights[1], free.weights[1], rtol=1e-6)
    net.forward(X)
    net.backward(y[:, :3])
    assert net.weight_gradients[0].any()
    net.step(rule)
    for now, then in zip((net.weights[0], net.biases[0], net.weights[2], net.biases[2]), before, strict=True):
        same(now, then)
    assert (net.weights[1] != first).any()
    net.frozen = ()
    net.fit(X, y[:, :3], optimizer=rule)
    assert (net.weights[0] != before[0]).any()


def test_clipping_looks_at_what_is_trained():
    """The norm is that of the gradients of layers that are not frozen: a rate of 1 shows them."""
    X, y = np.random.default_rng(0).standard_normal((2, 20, 4))
    net = Network([4, 7, 3], "tanh", dtype="float64", seed=0)
    net.fit(X, y[:, :3], optimizer=fastprop.SGD(0.0, clip_norm=0.01))  # leaves sums of all layers behind
    net.frozen = [1]
    before = np.r_[net.weights[1].ravel(), net.biases[1]]
    net.train_step(X, y[:, :3], fastprop.SGD(1.0, clip_norm=0.01))
    assert np.linalg.norm(np.r_[net.weights[1].ravel(), net.biases[1]] - before) == pytest.approx(0.01)


@pytest.mark.parametrize(("value", "error"), [([0], ValueError), ([4], ValueError), ("1", TypeError), (1, TypeError)])
def test_bad_layers(value, error):
    net = make()
    with pytest.raises(error, match="frozen"):
        net.frozen = value
    assert net.frozen == ()


# First weights


def test_the_user_s_arrays_and_names_for_each_layer():
    other = Network(SIZES, "tanh", seed=5)
    other.biases[0][...] = 1
    copy = Network(SIZES, "tanh", init=list(zip(other.weights, other.biases, strict=True)))
    same(copy.get_parameters(), other.get_parameters())
    net = Network(SIZES, "tanh", init=[other.weights[0].tolist(), "zeros"])
    same(net.weights[0], other.weights[0])
    assert not any(p.any() for p in (net.biases[0], net.weights[1]))
    net.weights[0][...] = 0  # a copy
    assert other.weights[0].any()


def test_lecun_and_orthogonal():
    for name, fourth in (("lecun_uniform", 1.8), ("lecun_normal", 3)):
        W = Network([400, 100], init=name, seed=5, dtype="float64").weights[0]
        np.testing.assert_allclose(W.var(), 1 / 400, rtol=0.03)
        np.testing.assert_allclose((W**4).mean() * 400**2, fourth, rtol=0.05)
    options = {"init": "orthogonal", "seed": 5, "dtype": "float64"}
    tall, wide = (Network(sizes, **options).weights[0] for sizes in ([40, 30], [30, 40]))
    np.testing.assert_allclose(tall.T @ tall, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(wide @ wide.T, np.eye(30), atol=1e-12)
    corners = [Network([2, 2], init="orthogonal", seed=k, dtype="float64").weights[0][0, 0] for k in range(400)]
    assert abs(np.mean(corners)) < 4 * np.sqrt(0.5 / 400)  # cos φ of all angles alike: variance ½
    np.testing.assert_allclose(np.var(corners), 0.5, rtol=0.15)


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        (["zeros"], ValueError, "init must have 2 entries"),
        (["zeros", "best"], ValueError, "init[1] must be one of he_uniform"),
        ([np.ones((4, 3)), "zeros"], ValueError, "init[0] must have shape (4, 16), got (4, 3)"),
        ([(np.ones((4, 16)), np.ones(3)), None], ValueError, "init[0][1] must have shape (16,), got (3,)"),
        ([(np.ones((4, 16)),), None], ValueError, "init[0] must be a name, an array W or a tuple (W, b)"),
        ([np.full((4, 16), np.nan), None], ValueError, "init[0] must be finite"),
    ],
)
def test_bad_first_weights(init, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Network(SIZES, init=init)


# Early stopping


def test_early_stopping_restores_the_best():
    X, y = data()
    net, stopping = make(), EarlyStopping(patience=4)
    history = net.fit(X, y, optimizer=Adam(0.05), epochs=200, validation_split=0.4, early_stopping=stopping)
    losses = history.validation_loss
    best = int(np.argmin(losses))
    assert (stopping.stopped, stopping.best_epoch, stopping.best) == (True, best, losses[best])
    assert len(history) == best + 1 + 4 < 200
    twin = make()
    twin.fit(X, y, optimizer=Adam(0.05), epochs=best + 1, validation_split=0.4)
    same(net.get_parameters(), twin.get_parameters())
    last = make()
    kept = EarlyStopping(patience=4, restore_best=False)
    assert len(last.fit(X, y, optimizer=Adam(0.05), epochs=200, validation_split=0.4, early_stopping=kept)) == len(
        history
    )
    twin = make()
    twin.fit(X, y, optimizer=Adam(0.05), epochs=len(history), validation_split=0.4)
    same(last.get_parameters(), twin.get_parameters())


class Script(Callback):
    """Puts the given values where the validation loss should be."""

    def __init__(self, values):
        self.values = values

    def __call__(self, y_true, outputs):
        return self.values.pop(0)

    __name__ = "script"


@pytest.mark.parametrize(
    ("options", "values", "epochs", "best"),
    [
        ({"mode": "min", "patience": 2}, [5, 4, 4, 4, 1], 4, 1),
        ({"mode": "min", "patience": 2}, [5, 4, 4.5, 3.9, 4, 4], 6, 3),
        ({"mode": "max", "patience": 2}, [5, 6, 6, 5, 9], 4, 1),
        ({"mode": "min", "patience": 2, "min_delta": 1}, [5, 4.5, 3.9, 3.5, 3, 0], 5, 2),
        ({"mode": "min", "patience": 2, "min_delta": 1}, [5, 4.5, 4, 0], 3, 0),
        ({"mode": "min", "patience": 2}, [np.nan, 5, 6, np.nan, 0], 4, 1),
        ({"mode": "min", "patience": 1}, [np.nan, 0], 1, None),
        ({"mode": "min", "patience": 9}, [1, 2, 3], 3, 0),
    ],
)
def test_patience_tolerance_and_mode(options, values, epochs, best):
    X, y = data()
    stopping = EarlyStopping("script", **options)
    given = list(values) + [0] * 10
    history = make().fit(X, y, epochs=len(values), metrics=[Script(given)], early_stopping=stopping)
    assert len(history) == epochs
    assert stopping.best_epoch == best


@pytest.mark.parametrize("parts", [[1] * 60, [3, 4, 53], [7, 53]])
def test_going_on_is_exact_with_everything(parts):
    """Validation, metrics, early stopping with its best parameters, callbacks: cut anywhere, the same bits."""
    X, y = data()

    def train(parts):
        net, rule, stopping, seen = make(), Adam(0.05), EarlyStopping(patience=5), []

        class Count(Callback):
            every = 5

            def on_step(self, run):
                seen.append((run.optimizer.steps, *run.network.weights[0][0]))

        columns = []
        for epochs in parts:
            history = net.fit(
                X, y, optimizer=rule, epochs=epochs, batch_size=7, validation_split=0.4, class_weight="balanced",
                metrics=["accuracy"], early_stopping=stopping, callbacks=[Count()],
            )  # fmt: skip
            columns += zip(history.loss, history.validation_loss, history["validation_accuracy"], strict=True)
            if stopping.stopped:
                break
        return net.get_parameters(), columns, seen, stopping.best_epoch, rule.steps

    for expected, found in zip(train([60]), train(parts), strict=True):
        same(found, expected)


def test_early_stopping_begins_anew_where_it_cannot_go_on():
    X, y = data()
    net, rule, stopping = make(), Adam(0.05), EarlyStopping(patience=5)
    options = {"validation_split": 0.4, "early_stopping": stopping}
    net.fit(X, y, optimizer=rule, epochs=40, **options)
    assert stopping.stopped
    net.fit(X, y, optimizer=rule, epochs=2, **options)  # after a stop
    assert (stopping.stopped, stopping._epochs) == (False, 2)
    net.fit(X, y, optimizer=Adam(), epochs=3, **options)  # another optimizer
    assert stopping._epochs == 3
    make().fit(X, y, optimizer=Adam(), epochs=1, **options)  # another network
    assert stopping._epochs == 1


def test_a_memory_of_one_more_copy():
    X, y = data()
    net, stopping = make(), EarlyStopping()
    net.fit(X, y, epochs=2, early_stopping=stopping)
    assert stopping._kept.nbytes == net._store.data.nbytes
    assert not EarlyStopping(restore_best=False).restore_best


# Callbacks


class Recorder(Callback):
    def __init__(self, log, name="", every=0):
        self.log, self.name, self.every = log, name, every

    def on_start(self, run):
        self.log.append((self.name, "start", run.epoch, run.optimizer.steps))

    def on_step(self, run):
        self.log.append((self.name, "step", run.epoch, run.optimizer.steps))

    def on_epoch_end(self, run):
        self.log.append((self.name, "epoch", run.epoch, run.optimizer.steps, len(run.history)))

    def on_end(self, run):
        self.log.append((self.name, "end", run.epoch, run.optimizer.steps, run.error))


def test_divergence_after_a_callback_has_changed_the_network():
    """The last good epoch ends with what its callbacks do."""

    class Spoil(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                run.network.set_parameters(np.full(run.network.get_parameters().size, 1e30, np.float32))

    X, labels = data()
    net = Network([4, 16, 1], "identity", seed=1)
    with pytest.raises(fastprop.DivergenceError, match="as it was after epoch 1") as caught:
        net.fit(X, labels.astype(np.float32), epochs=5, callbacks=[Spoil()])
    assert (caught.value.epoch, len(caught.value.history)) == (2, 2)
    same(net.get_parameters(), np.float32(1e30))


def test_the_protocol():
    X, y = data(20)
    log = []
    make().fit(X, y, epochs=2, batch_size=5, callbacks=[Recorder(log, every=3)])
    assert log == [
        ("", "start", 0, 0), ("", "step", 0, 3), ("", "epoch", 1, 4, 1), ("", "step", 1, 6), ("", "epoch", 2, 8, 2),
        ("", "end", 2, 8, None),
    ]  # fmt: skip


def test_callbacks_change_nothing_by_being_there():
    X, y = data()
    net, twin = make(), make()
    with_them = net.fit(X, y, epochs=5, callbacks=[Recorder([], every=1), Callback()])
    assert with_them.loss == twin.fit(X, y, epochs=5).loss
    same(net.get_parameters(), twin.get_parameters())


@pytest.mark.parametrize("method", ["on_start", "on_step", "on_epoch_end"])
def test_stop(method):
    X, y = data(20)
    stopper = type("Stopper", (Callback,), {"every": 6, method: lambda self, run: run.stop()})()
    net, rule = make(), Adam()
    history = net.fit(X, y, optimizer=rule, epochs=9, batch_size=5, callbacks=[stopper])
    assert (len(history), rule.steps) == {"on_start": (0, 0), "on_step": (1, 6), "on_epoch_end": (1, 4)}[method]
    net.fit(X, y, optimizer=rule)


def test_the_learning_rate_counts_from_the_next_step():
    X, y = data(20)

    class Freeze(Callback):
        every = 6

        def on_step(self, run):
            self.before = run.network.get_parameters()
            run.optimizer.learning_rate = 0.0

    net, freeze = make(), Freeze()
    net.fit(X, y, optimizer=fastprop.SGD(0.1), epochs=2, batch_size=5, callbacks=[freeze])
    same(net.get_parameters(), freeze.before)


def test_what_a_callback_may_do_with_the_network():
    X, y = data()

    class Use(Callback):
        def on_epoch_end(self, run):
            net = run.network
            self.loss = net.evaluate(X, y)
            net.set_parameters(net.get_parameters())
            net.predict(X)
            for call in (lambda: net.fit(X, y), lambda: net.train_step(X, y, Adam()), lambda: net.forward(X)):
                with pytest.raises(RuntimeError, match="being trained"):
                    call()

    net, use = make(), Use()
    net.fit(X, y, epochs=2, callbacks=[use])
    assert use.loss == net.evaluate(X, y)
    net.forward(X)


def test_every_end_is_called_whatever_happened():
    X, y = data()
    log = []

    class Fails(Recorder):
        def on_epoch_end(self, run):
            raise LookupError("mine")

        def on_end(self, run):
            super().on_end(run)
            raise OSError("at the end")

    net, rule, stopping = make(), Adam(), EarlyStopping(patience=1)
    with pytest.raises(OSError, match="at the end") as caught:
        net.fit(
            X, y, optimizer=rule, epochs=3, early_stopping=stopping, callbacks=[Fails(log, "a"), Recorder(log, "b")]
        )
    ends = [entry for entry in log if entry[1] == "end"]
    assert [entry[0] for entry in ends] == ["a", "b"]
    assert all(isinstance(entry[-1], LookupError) for entry in ends)
    assert isinstance(caught.value.__context__, LookupError)
    assert rule.steps == 3
    net.fit(X, y, optimizer=rule)


def test_a_start_that_fails_leaves_all_as_it_was():
    X, y = data()

    class Fails(Callback):
        def on_start(self, run):
            raise OSError("no")

    net, twin, rule, log = make(), make(), Adam(), []
    with pytest.raises(OSError, match="no"):
        net.fit(X, y, optimizer=rule, callbacks=[Recorder(log, "a"), Fails(), Recorder(log, "b")])
    assert [entry[:2] for entry in log] == [("a", "start"), ("a", "end")]
    assert make().fit(X, y, optimizer=rule).loss == twin.fit(X, y, optimizer=Adam()).loss  # it is still free


def test_divergence_reaches_the_callbacks():
    log = []
    net = Network([1, 1], seed=0)
    with pytest.raises(fastprop.DivergenceError) as caught:
        net.fit([[1.0], [2.0]], [1e3, 2e3], optimizer=fastprop.SGD(1e6), epochs=100, callbacks=[Recorder(log)])
    assert log[-1][-1] is caught.value
    assert sum(entry[1] == "epoch" for entry in log) == caught.value.epoch


def test_csv_log(tmp_path):
    X, y = data()
    path = tmp_path / "log.csv"
    net, rule = make(), Adam(0.01)
    options = {"optimizer": rule, "validation_split": 0.2, "metrics": ["accuracy"]}
    first = net.fit(X, y, epochs=2, callbacks=[CSVLog(path)], **options)
    second = net.fit(X, y, epochs=1, callbacks=[CSVLog(path, append=True)], **options)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "loss", "validation_loss", "accuracy", "validation_accuracy", "seconds", "learning_rate",
    ]  # fmt: skip
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "seconds"):
        assert [float(row[name]) for row in rows] == first[name] + second[name]
    assert {row["learning_rate"] for row in rows} == {"0.01"}
    with pytest.raises(ValueError, match="columns epoch,loss,seconds,learning_rate to append to, got epoch,loss,val"):
        net.fit(X, y, optimizer=rule, callbacks=[CSVLog(path, append=True)])
    net.fit(X, y, optimizer=rule, callbacks=[CSVLog(path)])
    assert len(path.read_text().splitlines()) == 2


# Histories


def test_table():
    history = History(loss=[1 / k for k in range(1, 101)], metrics={"accuracy": [0.5] * 100}, seconds=[1e-3] * 100)
    lines = history.table(rows=5).splitlines()
    assert lines[0].split() == ["epoch", "loss", "accuracy", "seconds"]
    assert [int(line.split()[0]) for line in lines[1:]] == [1, 26, 51, 75, 100]
    assert lines[-1].split() == ["100", "0.01", "0.5", "0.001"]
    assert len({len(line) for line in lines}) == 1
    assert History().table().split() == ["epoch"]
    with pytest.raises(ValueError, match="rows must be an integer ≥ 2, got 1"):
        history.table(rows=1)


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    X, y = data()
    history = make().fit(X, y, epochs=5, validation_split=0.3, metrics=["accuracy", "auc"])
    losses, metrics = history.plot()
    assert [line.get_label() for line in losses.get_lines()] == ["loss", "validation loss"]
    same(losses.get_lines()[1].get_ydata(), history.validation_loss)
    same(losses.get_lines()[0].get_xdata(), [1, 2, 3, 4, 5])
    assert len(metrics.get_lines()) == 4
    plt.close("all")
    _, axes = plt.subplots()
    assert History(loss=[2.0, 1.0]).plot(axes) == [axes]
    with pytest.raises(ValueError, match="axes must be 2"):
        history.plot(axes)
    plt.close("all")


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_weight": "equal"}, ValueError, "class_weight must be one of balanced"),
        ({"class_weight": [1, 2, 3]}, TypeError, "class_weight must be 'balanced' or a mapping"),
        ({"class_weight": {3: 1.0}}, ValueError, "class_weight must be for classes 0 to 2, got 3"),
        ({"class_weight": {"0": 1.0}}, TypeError, "class_weight's classes must be an integer ≥ 0, got '0'"),
        ({"class_weight": {0: -1.0}}, ValueError, "class_weight[0] must be a finite number ≥ 0, got -1.0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "class_weight must leave some rows a weight above 0"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be a finite number ≥ 0 and < 1"),
        ({"validation_split": 0.999}, ValueError, "validation_split must leave rows to train on"),
        ({"validation_split": "0.1"}, TypeError, "validation_split must be a finite number"),
        ({"validation_split": 0.5, "validation_data": data()}, ValueError, "validation_split must be 0 where"),
        ({"validation_split": 0.5, "batch_size": 60}, ValueError, "rows to train on, 45, got 60"),
        ({"metrics": "accuracy"}, TypeError, "metrics must be a list of names and callables, got 'accuracy'"),
        ({"metrics": ["f1"]}, ValueError, "metrics[0] must be one of accuracy"),
        ({"metrics": [1]}, TypeError, "metrics[0] must be a name or a callable"),
        ({"metrics": ["auc", "auc"]}, ValueError, "metrics must have names of their own, got 'auc' again"),
        ({"metrics": ["top_5"]}, ValueError, "top_5 must have more than 5 outputs, got 3"),
        ({"metrics": ["mae"]}, ValueError, "y_true must have shape"),
        ({"early_stopping": True}, TypeError, "early_stopping must be an EarlyStopping or None, got True"),
        ({"early_stopping": EarlyStopping("validation_loss")}, ValueError, "monitor must be one of loss"),
        ({"early_stopping": EarlyStopping("accuracy")}, ValueError, "monitor must be one of loss"),
        ({"early_stopping": EarlyStopping("len"), "metrics": [len]}, ValueError, "mode must be 'min' or 'max'"),
        ({"callbacks": Callback()}, TypeError, "callbacks must be a list of Callback objects"),
        ({"callbacks": [Callback]}, TypeError, "callbacks[0] must be a Callback object"),
    ],
)
def test_bad_arguments(options, error, message):
    """Nothing is changed by them."""
    X, y = data()
    net, twin, rule = make(), make(), Adam()
    with pytest.raises(error, match=re.escape(message)):
        net.fit(X, y, optimizer=rule, **options)
    assert net.fit(X, y, optimizer=rule).loss == twin.fit(X, y).loss
    same(net.get_parameters(), twin.get_parameters())


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.r_[data()[1][:-1], 3], {"class_weight": "balanced"}, "y must hold labels from 0 to 2, got 3 at row 89"),
        (np.full((90, 3), 1 / 3), {"class_weight": "balanced"}, "class_weight must go with one class a row"),
        (np.r_[data()[1][:-1], -1], {"validation_split": 0.1}, "y must hold labels from 0 to 2, got -1 at row 89"),
    ],
)
def test_rows_are_named_as_the_user_has_them(y, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make().fit(data()[0], y, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"monitor": 1}, TypeError, "monitor must be a name or None, got 1"),
        ({"patience": 0}, ValueError, "patience must be an integer ≥ 1, got 0"),
        ({"patience": 1.5}, TypeError, "patience"),
        ({"min_delta": -1}, ValueError, "min_delta must be a finite number ≥ 0, got -1"),
        ({"mode": "least"}, ValueError, "mode must be one of min, max; got 'least'"),
        ({"restore_best": 1}, TypeError, "restore_best must be True or False, got 1"),
    ],
)
def test_bad_early_stopping(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        EarlyStopping(**options)
