"""Optimizers, learning rates, penalties and clipping: `Network` against the reference over 200 steps, and the course of
each schedule. The reference's own formulas are checked in test_reference.py."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import fastprop
from fastprop import SGD, Adagrad, Adam, AdamW, Network, RMSprop, reference

exact = partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-15)

# Problems: sizes, hidden, output, loss, rows, batch size

PROBLEMS = {
    "regression": ([3, 17, 2], "tanh", "identity", "mse", 40, 8),
    "classification": ([5, 20, 9, 4], "gelu", "softmax", "cross_entropy", 30, 7),
    "online": ([2, 33, 1], "softplus", "sigmoid", "binary_cross_entropy", 10, 1),
}
STEPS = 200


def problem(name, dtype="float64"):
    """A network, its data, and a batch size."""
    sizes, hidden, output, loss, rows, batch = PROBLEMS[name]
    rng = np.random.default_rng(len(name))
    net = Network(sizes, hidden, output, loss=loss, dtype=dtype, seed=3)
    X = rng.normal(size=(rows, sizes[0])).astype(dtype)
    if loss == "cross_entropy":
        return net, X, rng.integers(sizes[-1], size=rows), batch
    y = rng.uniform(size=(rows, sizes[-1])) if output == "sigmoid" else rng.normal(size=(rows, sizes[-1]))
    return net, X, y.astype(dtype), batch


def train_reference(net, X, y, batch, steps, rule, penalties=None, loss=None):
    """W1, b1, W2, b2, … after so many steps of `rule`(theta, gradients, state) from the network's parameters."""
    weights, biases = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    theta, state = [p for pair in zip(weights, biases, strict=True) for p in pair], {}
    activations = [f.name for f in net.hidden_activations] + [net.output_activation.name]
    starts = [start for _ in range(steps) for start in range(0, len(X), batch)][:steps]
    for start in starts:
        rows = slice(start, start + batch)
        z, a = reference.forward(X[rows], weights, biases, activations)
        _, _, *gradients = reference.backward(y[rows], weights, z, a, activations, loss or net.loss.name)
        gradients = [g for pair in zip(*gradients, strict=True) for g in pair]
        rule(theta, reference.regularize(theta, gradients, **penalties) if penalties else gradients, state)
    return np.concatenate([p.ravel() for p in theta])


def train(net, X, y, batch, steps, rule, how):
    """The same by the network, in compiled epochs or a step at a time."""
    if how == "fit":
        epochs, rest = divmod(steps, -(-len(X) // batch))
        net.fit(X, y, optimizer=rule, epochs=epochs, batch_size=batch, shuffle=False)
    else:
        rest = steps
    for i in range(rest):
        rows = slice((start := i * batch % (-(-len(X) // batch) * batch)), start + batch)
        if how == "step":
            net.forward(X[rows])
            net.backward(y[rows])
            net.step(rule)
        else:
            net.train_step(X[rows], y[rows], rule)
    return net.get_parameters()


def assert_same_course(name, rule, rule_of_reference, *, penalties=None, how="fit", steps=STEPS, change=None):
    """Entry by entry, to 1e-9 of it or of the mean change of a parameter."""
    net, X, y, batch = problem(name)
    if change:
        X, y, batch = change(X, y, batch)
    first = net.get_parameters()
    expected = train_reference(net, X, y, batch, steps, rule_of_reference, penalties)
    found = train(net, X, y, batch, steps, rule, how)
    moved = np.abs(expected - first).mean()
    assert moved > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * moved)


# name: (fastprop's, the reference's)
RULES = {
    "sgd": (SGD(0.05), partial(reference.sgd, learning_rate=0.05)),
    "momentum": (SGD(0.05, 0.9), partial(reference.sgd, learning_rate=0.05, momentum=0.9)),
    "nesterov": (SGD(0.05, 0.9, True), partial(reference.sgd, learning_rate=0.05, momentum=0.9, nesterov=True)),
    "rmsprop": (RMSprop(0.001), partial(reference.rmsprop, learning_rate=0.001)),
    "rmsprop's momentum": (
        RMSprop(0.001, 0.9, 1e-4, momentum=0.8),
        partial(reference.rmsprop, learning_rate=0.001, rho=0.9, epsilon=1e-4, momentum=0.8),
    ),
    "rmsprop, centered": (
        RMSprop(0.001, epsilon=1e-3, centered=True, momentum=0.5),
        partial(reference.rmsprop, learning_rate=0.001, epsilon=1e-3, centered=True, momentum=0.5),
    ),
    "rmsprop, centered, no momentum": (
        RMSprop(0.001, epsilon=1e-3, centered=True),
        partial(reference.rmsprop, learning_rate=0.001, epsilon=1e-3, centered=True),
    ),
    "adagrad": (Adagrad(), reference.adagrad),
    "adagrad's decay": (
        Adagrad(0.1, learning_rate_decay=0.01, initial_accumulator=0.1, epsilon=1e-6),
        partial(reference.adagrad, learning_rate=0.1, learning_rate_decay=0.01, initial_accumulator=0.1, epsilon=1e-6),
    ),
    "adam": (Adam(), reference.adam),
    "adamw": (AdamW(weight_decay=0.1), partial(reference.adamw, weight_decay=0.1)),
    "adamw's rate": (AdamW(0.01), partial(reference.adamw, learning_rate=0.01)),
}


def anew(rule):
    """An optimizer like this one, without its state."""
    return eval(repr(rule), vars(fastprop) | {name: getattr(fastprop, name) for name in fastprop.__all__})


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("rule", RULES)
def test_200_steps(rule, name):
    ours, theirs = RULES[rule]
    assert_same_course(name, anew(ours), theirs)


@pytest.mark.parametrize("how", ["train_step", "step"])
@pytest.mark.parametrize("rule", RULES)
def test_step_by_step(rule, how):
    ours, theirs = RULES[rule]
    assert_same_course("regression", anew(ours), theirs, how=how, steps=50)


@pytest.mark.parametrize("rule", RULES)
def test_float32(rule):
    """The compiled arithmetic in single precision stays near the double one."""
    ours, theirs = RULES[rule]
    net, X, y, batch = problem("regression", "float32")
    double, *_ = problem("regression")
    double.set_parameters(net.get_parameters())
    expected = train_reference(double, X.astype(float), y.astype(float), batch, 50, theirs)
    np.testing.assert_allclose(train(net, X, y, batch, 50, anew(ours), "fit"), expected, atol=2e-4)


@pytest.mark.parametrize("rule", ["rmsprop, centered", "adagrad", "adamw"])
def test_more_rows_than_are_summed_at_once(rule):
    """Above 512 rows the gradient is stored before the update."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(600, 3)), rng.normal(size=(600, 2))
    ours, theirs = RULES[rule]
    assert_same_course("regression", anew(ours), theirs, steps=20, change=lambda *_: (X, y, 600))


# Penalties and clipping

PENALTIES = [
    {"weight_decay": 0.1},
    {"l1": 0.05},
    {"clip_value": 0.01},
    {"clip_norm": 0.05},
    {"weight_decay": 0.1, "l1": 0.05, "clip_norm": 0.2, "clip_value": 0.02},
]
PENALISED = {
    "sgd": (partial(SGD, 0.05), partial(reference.sgd, learning_rate=0.05)),
    "momentum": (partial(SGD, 0.02, 0.9), partial(reference.sgd, learning_rate=0.02, momentum=0.9)),
    "rmsprop": (partial(RMSprop, 0.002, epsilon=1e-3), partial(reference.rmsprop, learning_rate=0.002, epsilon=1e-3)),
    "adagrad": (partial(Adagrad, epsilon=1e-3), partial(reference.adagrad, epsilon=1e-3)),
    "adam": (partial(Adam, epsilon=1e-3), partial(reference.adam, epsilon=1e-3)),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("penalties", PENALTIES, ids=" ".join)
@pytest.mark.parametrize("rule", PENALISED)
def test_penalties_and_clipping(rule, penalties, name):
    ours, theirs = PENALISED[rule]
    assert_same_course(name, ours(**penalties), theirs, penalties=penalties)


@pytest.mark.parametrize("how", ["train_step", "step"])
@pytest.mark.parametrize("penalties", PENALTIES, ids=" ".join)
def test_penalties_and_clipping_step_by_step(penalties, how):
    ours, theirs = PENALISED["momentum"]
    assert_same_course("regression", ours(**penalties), theirs, penalties=penalties, how=how, steps=50)


@pytest.mark.parametrize("penalties", [PENALTIES[3], PENALTIES[4]], ids=" ".join)
def test_penalties_and_clipping_of_many_rows(penalties):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(600, 3)), rng.normal(size=(600, 2))
    ours, theirs = PENALISED["adam"]
    assert_same_course(
        "regression", ours(**penalties), theirs, penalties=penalties, steps=20, change=lambda *_: (X, y, 600)
    )


def test_adamw_with_l1_and_clipping():
    """Its decay is of W before the update, and no part of what l1 and clipping see."""
    penalties = {"l1": 0.05, "clip_norm": 0.2, "clip_value": 0.02}
    theirs = partial(reference.adamw, epsilon=1e-3, weight_decay=0.1)
    assert_same_course("regression", AdamW(epsilon=1e-3, weight_decay=0.1, **penalties), theirs, penalties=penalties)


def test_step_leaves_the_gradients_alone():
    net, X, y, _ = problem("regression")
    net.forward(X)
    net.backward(y)
    before = net.get_gradient()
    net.step(SGD(0.1, weight_decay=0.1, l1=0.1, clip_norm=0.01, clip_value=0.001))
    np.testing.assert_array_equal(net.get_gradient(), before)


@pytest.mark.parametrize("penalty", [{"weight_decay": 0.5}, {"l1": 0.5}])
@pytest.mark.parametrize("rule", [SGD, RMSprop, Adagrad, Adam, AdamW])
def test_biases_are_not_penalised(rule, penalty):
    """With a gradient of 0, weights shrink and biases stay."""
    net = Network([1, 1], loss="mse", dtype="float64", seed=0)
    net.set_parameters([0.5, -0.5])
    net.fit([[1.0]], [0.0], optimizer=rule(0.01, **penalty), epochs=1)
    assert net.weights[0][0, 0] < 0.5
    assert net.biases[0][0] == -0.5


def test_l1_keeps_a_zero():
    net = Network([1, 1], init="zeros", dtype="float64")
    net.fit([[0.0]], [0.0], optimizer=SGD(0.1, l1=1.0))
    assert net.get_parameters().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("how", ["fit", "step"])
@pytest.mark.parametrize("rows", [1, 5, 600])
def test_clipped_norm_by_hand(rows, how):
    """z = W x with x = 3, t = −4 … : ∂C/∂W = 12, ∂C/∂b = 4 and ‖g‖ = √160; clipped to 1, times α = 1."""
    net = Network([1, 1], init="zeros", dtype="float64")
    train(net, np.full((rows, 1), 3.0), np.full((rows, 1), -4.0), rows, 1, SGD(1.0, clip_norm=1.0), how)
    exact(net.get_parameters(), [-12 / math.sqrt(160), -4 / math.sqrt(160)])


def test_a_gradient_within_the_norm_is_left_alone():
    courses = []
    for clip_norm in (None, 1e6):
        net, X, y, batch = problem("regression")
        courses.append(train(net, X, y, batch, 20, Adam(clip_norm=clip_norm), "step"))
    np.testing.assert_array_equal(*courses)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 20, 600])
def test_the_same_bits_on_several_threads(rows, dtype, monkeypatch, rng):
    """What all threads share: the norm, the schedule, and the plateau's memory, which one of them keeps."""
    monkeypatch.setattr(
        "fastprop.network.Pace",
        lambda most, first: SimpleNamespace(threads=most, trying=False, saw=lambda *arguments: None),
    )
    X, y = rng.normal(size=(1200 if rows == 600 else 60, 40)), rng.integers(4, size=1200)
    X = X.astype(dtype)
    results = {}
    for threads in (1, 2, 3, 4):
        for rate in (fastprop.OneCycle(0.01, 100), fastprop.ReduceOnPlateau(0.05, patience=0, tolerance=0.2)):
            for clip_norm in (None, 0.1):
                net = Network([40, 33, 20, 4], output="softmax", dtype=dtype, seed=0, threads=threads)
                rule = AdamW(rate, l1=1e-3, clip_value=0.05, clip_norm=clip_norm)
                net.fit(X, y[: len(X)], optimizer=rule, epochs=4, batch_size=rows)
                found = np.append(net.get_parameters(), rule.learning_rate)
                np.testing.assert_array_equal(found, results.setdefault((rate, clip_norm), found))


def test_clipping_lets_no_nan_pass_as_a_number():
    net = Network([1, 1], init="zeros")
    for clipping in ({"clip_value": 1.0}, {"clip_norm": 1.0}, {"l1": 0.1}):
        net.forward([[1.0]])
        net.backward([1.0])
        net.weight_gradients[0][...] = np.nan
        with pytest.raises(fastprop.DivergenceError):
            net.step(SGD(0.1, **clipping))


# Learning rates

SCHEDULES = {
    "constant": (fastprop.ConstantRate(0.05), lambda t: 0.05),
    "step": (fastprop.StepDecay(0.05, 7, 0.5), partial(reference.step_decay, learning_rate=0.05, every=7, factor=0.5)),
    "exponential": (
        fastprop.ExponentialDecay(0.05, 0.5, every=30),
        partial(reference.exponential_decay, learning_rate=0.05, factor=0.5, every=30),
    ),
    "cosine": (fastprop.CosineDecay(0.05, 150), partial(reference.cosine_decay, learning_rate=0.05, steps=150)),
    "cosine with warm-up": (
        fastprop.CosineDecay(0.05, 150, warmup=20, final=0.001),
        partial(reference.cosine_decay, learning_rate=0.05, steps=150, warmup=20, final=0.001),
    ),
    "one-cycle": (fastprop.OneCycle(0.05, 170), partial(reference.one_cycle, learning_rate=0.05, steps=170)),
    "one-cycle, no rise": (
        fastprop.OneCycle(0.05, 170, rise=0.0, divide=3.0, divide_final=10.0),
        partial(reference.one_cycle, learning_rate=0.05, steps=170, rise=0.0, divide=3.0, divide_final=10.0),
    ),
    "one step": (fastprop.OneCycle(0.05, 1), partial(reference.one_cycle, learning_rate=0.05, steps=1)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name):
    schedule, rate = SCHEDULES[name]
    exact(schedule.rates(200), [rate(t) for t in range(200)])


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_200_steps_of_a_schedule(schedule, name):
    ours, rate = SCHEDULES[schedule]
    if schedule == "one step":
        ours, rate = fastprop.OneCycle(50.0, 1, divide=10, divide_final=100), lambda t: 0.05
    assert_same_course(name, SGD(ours, 0.5), reference.scheduled(partial(reference.sgd, momentum=0.5), rate))


@pytest.mark.parametrize("how", ["train_step", "step"])
@pytest.mark.parametrize(("ours", "theirs"), [(Adam, reference.adam), (AdamW, reference.adamw),
                                              (Adagrad, reference.adagrad)])  # fmt: skip
def test_a_schedule_goes_with_every_optimizer(ours, theirs, how):
    schedule, rate = SCHEDULES["cosine with warm-up"]
    assert_same_course("regression", ours(schedule), reference.scheduled(theirs, rate), how=how, steps=100)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_from_fit_to_fit(name):
    courses = []
    for parts in ([7], [3, 4], [1] * 7):
        net, X, y, batch = problem("regression")
        rule = SGD(SCHEDULES[name][0], 0.9)
        for epochs in parts:
            net.fit(X, y, optimizer=rule, epochs=epochs, batch_size=batch)
        courses.append(net.get_parameters())
        exact(rule.learning_rate, SCHEDULES[name][1](rule.steps))
    for course in courses[1:]:
        np.testing.assert_array_equal(course, courses[0])


def test_a_schedule_begins_when_it_is_set():
    net, X, y, batch = problem("regression")
    rule = SGD(0.1)
    net.fit(X, y, optimizer=rule, batch_size=batch)
    assert (rule.steps, rule.schedule) == (5, None)
    schedule = fastprop.StepDecay(0.4, every=5, factor=0.5)
    rule.learning_rate = schedule
    assert rule.schedule == schedule
    assert rule.learning_rate == 0.4
    net.fit(X, y, optimizer=rule, batch_size=batch)
    assert rule.learning_rate == 0.2
    rule.learning_rate = 0.3
    net.fit(X, y, optimizer=rule, batch_size=batch)
    assert (rule.learning_rate, rule.schedule) == (0.3, None)


def test_one_schedule_for_two_optimizers():
    schedule = fastprop.ReduceOnPlateau(1.0, patience=0)
    rules = SGD(schedule), SGD(schedule)
    for _ in range(3):
        rules[0].watch(1.0)
    assert [rule.learning_rate for rule in rules] == [pytest.approx(0.01), 1.0]


# Reduced on a plateau

LOSSES = [3.0, 2.0, 2.0, 1.9999, 1.0, 1.5, 1.5, 1.0, 0.99995, 0.5, 0.5, 0.5, 0.5, 0.5, -1.0, -1.00001, -1.5, -1.5]


@pytest.mark.parametrize("patience", [0, 1, 2, 5])
def test_plateau_by_hand(patience):
    numbers = {"learning_rate": 1.0, "factor": 0.5, "patience": patience, "minimum": 0.05}
    rule = SGD(fastprop.ReduceOnPlateau(**numbers))
    course = []
    for loss in LOSSES:
        rule.watch(loss)
        course.append(rule.learning_rate)
    assert course == [reference.reduce_on_plateau(LOSSES[: k + 1], **numbers) for k in range(len(LOSSES))]
    by_hand = {0: [1, 1, 0.5, 0.25, 0.25, 0.125], 1: [1, 1, 1, 0.5, 0.5, 0.5, 0.25], 2: [1] * 7 + [0.5]}
    for found, expected in zip(course, by_hand.get(patience, []), strict=False):
        assert found == expected


@pytest.mark.parametrize("validated", [False, True])
def test_plateau_in_fit(validated):
    """What is watched is the loss that the history tells; the course is the same in one fit and in many."""
    courses = []
    for parts in ([60], [1] * 60, [7, 20, 33]):
        net, X, y, batch = problem("regression")
        numbers = {"learning_rate": 0.5, "factor": 0.5, "patience": 2, "tolerance": 0.05}
        rule = SGD(fastprop.ReduceOnPlateau(**numbers))
        validation = (X[30:] + 1, y[30:]) if validated else None
        losses = []
        for epochs in parts:
            history = net.fit(
                X[:30], y[:30], optimizer=rule, epochs=epochs, batch_size=batch, validation_data=validation
            )
            losses += history.validation_loss if validated else history.loss
            assert rule.learning_rate == reference.reduce_on_plateau(losses, **numbers)
        assert rule.learning_rate < 0.1
        courses.append(net.get_parameters())
    for course in courses[1:]:
        np.testing.assert_array_equal(course, courses[0])


def test_plateau_set_by_a_callback():
    class Set(fastprop.Callback):
        def on_start(self, run):
            run.optimizer.learning_rate = fastprop.ReduceOnPlateau(1e-9, factor=0.5, patience=0)

    net, X, y, _ = problem("regression")
    rule = SGD(0.1)
    net.fit(X, y, optimizer=rule, epochs=3, callbacks=[Set()])
    assert rule.learning_rate == 0.25e-9


def test_plateau_counts_no_train_step():
    net, X, y, _ = problem("regression")
    rule = SGD(fastprop.ReduceOnPlateau(0.01, patience=0))
    net.fit(X, y, optimizer=rule, epochs=2, batch_size=40)
    for _ in range(5):
        net.train_step(X, y, rule)
    assert rule.learning_rate == 0.01


def test_a_released_optimizer_begins_anew():
    """A first fit that is refused leaves nothing behind, not even when a schedule began."""

    class Set(fastprop.Callback):
        every = 3

        def on_step(self, run):
            run.optimizer.learning_rate = fastprop.ExponentialDecay(1e-3, 0.5)

    net, X, y, batch = problem("regression")
    rule = SGD(1e-3)
    bad = X.copy()
    bad[-1, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        net.fit(bad, y, optimizer=rule, batch_size=batch, shuffle=False, callbacks=[Set()])
    assert (rule.steps, rule.learning_rate) == (0, 1e-3)
    other = Network([3, 2], dtype="float64")
    other.fit(X, y, optimizer=rule, batch_size=batch)
    assert rule.learning_rate == 1e-3 / 2**5


# Label smoothing


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("as_labels", [True, False])
@pytest.mark.parametrize("classes", [2, 3, 17])
def test_label_smoothing(classes, as_labels, output):
    rng = np.random.default_rng(2)
    net = Network([3, classes], output=output, loss=fastprop.CrossEntropy(label_smoothing=0.3), dtype="float64", seed=1)
    X, labels = rng.normal(size=(6, 3)), rng.integers(classes, size=6)
    y = labels if as_labels else rng.dirichlet(np.ones(classes), size=6)
    z, a = reference.forward(X, net.weights, net.biases, [output])
    C, deltas, dW, db = reference.backward(y, net.weights, z, a, [output], ("cross_entropy", 0.3))
    net.forward(X)
    exact(net.backward(y), C)
    exact(net.evaluate(X, y), C)
    for ours, theirs in zip(net.deltas + net.weight_gradients + net.bias_gradients, deltas + dW + db, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-14)


def test_label_smoothing_by_hand():
    """Three classes, ε = 0.3, label 0: t = (0.8, 0.1, 0.1); with a = (½, ¼, ¼), C = 0.8 log 2 + 0.2 log 4."""
    net = Network([1, 3], output="softmax", loss=fastprop.CrossEntropy(0.3), init="zeros", dtype="float64")
    net.biases[0][...] = np.log([2, 1, 1])
    net.forward([[0.0]])
    exact(net.backward([0]), 1.2 * math.log(2))
    exact(net.deltas[0], [[-0.3, 0.15, 0.15]])


# Averages that fade out


@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", [Adam(), SGD(momentum=0.9), RMSprop(rho=0.9)], ids=["adam", "momentum", "rmsprop"])
def test_fading_averages_end_as_zeros(rule, dtype, by_step):
    """0.9 times the least subnormal number, rounded, is itself again, and computing with it takes a hundred times as
    long."""
    net, rule = Network([2, 1], dtype=dtype, seed=0), anew(rule)
    X = np.array([[1.0, 1.0]] + [[1.0, 0.0]] * 4000 * (1 if dtype == "float32" else 3), dtype)
    if by_step:
        for x in X:
            net.forward(x[None])
            net.backward([[0.5]])
            net.step(rule)
    else:
        net.fit(X, np.full(len(X), 0.5), optimizer=rule, batch_size=1, shuffle=False)
    tiny = np.finfo(dtype).tiny
    assert not ((rule._moments != 0) & (np.abs(rule._moments) < tiny)).any()
    assert np.dtype(dtype).type(tiny) / 2 > 0  # as it was, for everybody else


# What they say


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES.values()], ids=RULES)
def test_repr_makes_the_same_again(rule):
    assert repr(anew(rule)) == repr(rule)
    np.testing.assert_array_equal(anew(rule)._hyper, rule._hyper)


def test_repr_tells_penalties_where_there_are_any():
    assert repr(Adam(fastprop.ConstantRate(0.1), l1=0.5, clip_value=2)) == (
        "Adam(learning_rate=ConstantRate(learning_rate=0.1), beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.0, "
        "l1=0.5, clip_value=2.0)"
    )
