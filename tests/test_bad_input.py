"""Bad input: the right exception, a message with the argument, what was expected and what came, and no trace left.

"No trace" is checked by going on: after the refused call a network trains to the same bits as its twin that never
saw it, so parameters, optimizer and generator are as they were.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import fastprop
from fastprop import SGD, Adagrad, Adam, AdamW, Network, RMSprop

nan, inf = np.nan, np.inf
HIDDEN = "identity, sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu, softmax"
LOSSES = "squared_error, mse, mae, huber, binary_cross_entropy, cross_entropy, poisson"


def message_of(call, error, *fragments):
    """Call, and check the exception's exact type and that its message holds all fragments, in this order."""
    with pytest.raises(error, match=".*".join(map(re.escape, fragments))) as caught:
        call()
    assert caught.type is error
    return str(caught.value)


# Making a network, an optimizer, an activation or a loss

CONSTRUCTIONS = [
    (partial(Network, [3]), ValueError, "sizes", "two", "[3]"),
    (partial(Network, []), ValueError, "sizes", "two", "[]"),
    (partial(Network, [3, 0]), ValueError, "sizes[1]", "integer ≥ 1", "0"),
    (partial(Network, [3, -2, 1]), ValueError, "sizes[1]", "integer ≥ 1", "-2"),
    (partial(Network, [3, 2.0]), TypeError, "sizes[1]", "integer ≥ 1", "2.0"),
    (partial(Network, [3, True]), TypeError, "sizes[1]", "integer ≥ 1", "True"),
    (partial(Network, [3, None]), TypeError, "sizes[1]", "integer ≥ 1", "None"),
    (partial(Network, [3, "4"]), TypeError, "sizes[1]", "integer ≥ 1", "'4'"),
    (partial(Network, "34"), TypeError, "sizes", "sequence", "'34'"),
    (partial(Network, 34), TypeError, "sizes", "sequence", "34"),
    (partial(Network, None), TypeError, "sizes", "sequence", "None"),
    (partial(Network, [[3, 4], [5, 6]]), TypeError, "sizes[0]", "integer ≥ 1", "[3, 4]"),
    (partial(Network, [3, 4, 1], "rleu"), ValueError, "hidden", HIDDEN, "'rleu'"),
    (partial(Network, [3, 4, 1], ["tanh", "relu"]), ValueError, "hidden", "1", "2"),
    (partial(Network, [3, 4, 1], []), ValueError, "hidden", "1", "0"),
    (partial(Network, [3, 4, 5, 1], ["tanh", "rleu"]), ValueError, "hidden[1]", HIDDEN, "'rleu'"),
    (partial(Network, [3, 4, 1], 7), TypeError, "hidden", "7"),
    (partial(Network, [3, 4, 1], None), TypeError, "hidden", "None"),
    (partial(Network, [3, 4, 1], [np.tanh]), TypeError, "hidden[0]", "tanh"),
    (partial(Network, [3, 4, 2], "softmax"), ValueError, "hidden", "softmax", "output"),
    (partial(Network, [3, 4, 2], ["softmax"]), ValueError, "hidden", "softmax", "output"),
    (partial(Network, [3, 2], output="Sigmoid"), ValueError, "output", HIDDEN, "'Sigmoid'"),
    (partial(Network, [3, 2], output=1), TypeError, "output", "name", "1"),
    (partial(Network, [3, 1], output="softmax"), ValueError, "softmax", "at least 2", "[3, 1]"),
    (partial(Network, [3, 1], loss="l2"), ValueError, "loss", LOSSES, "'l2'"),
    (partial(Network, [3, 1], loss=0), TypeError, "loss", "name", "0"),
    (partial(Network, [3, 1], dtype="float16"), ValueError, "dtype", "float32, float64", "'float16'"),
    (partial(Network, [3, 1], dtype=int), ValueError, "dtype", "float32, float64", "int"),
    (partial(Network, [3, 1], dtype=None), ValueError, "dtype", "float32, float64", "None"),
    (partial(Network, [3, 1], init="xavier"), ValueError, "init", "he_uniform", "'xavier'"),
    (partial(Network, [3, 1], init=0.1), TypeError, "init", "name", "0.1"),
    (partial(Network, [3, 1], seed=-1), ValueError, "seed", "≥ 0", "-1"),
    (partial(Network, [3, 1], seed=1.5), TypeError, "seed", "integer", "1.5"),
    (partial(Network, [3, 1], seed=2**64), ValueError, "seed", "2**64", str(2**64)),
    (partial(Network, [3, 1], threads=0), ValueError, "threads", "≥ 1", "0"),
    (partial(Network, [3, 1], threads=-4), ValueError, "threads", "≥ 1", "-4"),
    (partial(Network, [3, 1], threads=1.5), TypeError, "threads", "≥ 1", "1.5"),
    (partial(Network, [3, 1], threads="all"), TypeError, "threads", "≥ 1", "'all'"),
    (partial(Network, [3, 1], threads=None), TypeError, "threads", "≥ 1", "None"),
    (partial(SGD, -0.1), ValueError, "learning_rate", "≥ 0", "-0.1"),
    (partial(SGD, nan), ValueError, "learning_rate", "finite", "nan"),
    (partial(SGD, inf), ValueError, "learning_rate", "finite", "inf"),
    (partial(SGD, "0.1"), TypeError, "learning_rate", "number", "'0.1'"),
    (partial(SGD, None), TypeError, "learning_rate", "number", "None"),
    (partial(SGD, True), TypeError, "learning_rate", "number", "True"),
    (partial(SGD, 1j), TypeError, "learning_rate", "number", "1j"),
    (partial(SGD, [0.1, 0.2]), TypeError, "learning_rate", "number", "[0.1, 0.2]"),
    (partial(SGD, 0.1, momentum=1.0), ValueError, "momentum", "< 1", "1.0"),
    (partial(SGD, 0.1, momentum=-0.1), ValueError, "momentum", "≥ 0", "-0.1"),
    (partial(SGD, 0.1, momentum=nan), ValueError, "momentum", "finite", "nan"),
    (partial(SGD, 0.1, nesterov=True), ValueError, "nesterov", "momentum > 0", "0"),
    (partial(SGD, 0.1, momentum=0.9, nesterov="yes"), TypeError, "nesterov", "True or False", "'yes'"),
    (partial(SGD, 0.1, weight_decay=-1), ValueError, "weight_decay", "≥ 0", "-1"),
    (partial(SGD, 0.1, weight_decay=inf), ValueError, "weight_decay", "finite", "inf"),
    (partial(Adam, -1), ValueError, "learning_rate", "≥ 0", "-1"),
    (partial(Adam, nan), ValueError, "learning_rate", "finite", "nan"),
    (partial(Adam, beta1=1), ValueError, "beta1", "< 1", "1"),
    (partial(Adam, beta1=-0.5), ValueError, "beta1", "≥ 0", "-0.5"),
    (partial(Adam, beta2=1.5), ValueError, "beta2", "< 1", "1.5"),
    (partial(Adam, epsilon=0), ValueError, "epsilon", "> 0", "0"),
    (partial(Adam, epsilon=inf), ValueError, "epsilon", "finite", "inf"),
    (partial(Adam, weight_decay=nan), ValueError, "weight_decay", "finite", "nan"),
    (partial(RMSprop, -1), ValueError, "learning_rate", "≥ 0", "-1"),
    (partial(RMSprop, rho=1), ValueError, "rho", "< 1", "1"),
    (partial(RMSprop, momentum=1.0), ValueError, "momentum", "< 1", "1.0"),
    (partial(RMSprop, centered=1), TypeError, "centered", "True or False", "1"),
    (partial(RMSprop, epsilon=0), ValueError, "epsilon", "> 0", "0"),
    (partial(RMSprop, weight_decay=-1), ValueError, "weight_decay", "≥ 0", "-1"),
    (partial(Adagrad, nan), ValueError, "learning_rate", "finite", "nan"),
    (partial(Adagrad, learning_rate_decay=-1), ValueError, "learning_rate_decay", "≥ 0", "-1"),
    (partial(Adagrad, initial_accumulator=-0.5), ValueError, "initial_accumulator", "≥ 0", "-0.5"),
    (partial(Adagrad, epsilon=0.0), ValueError, "epsilon", "> 0", "0.0"),
    (partial(AdamW, weight_decay=-1), ValueError, "weight_decay", "≥ 0", "-1"),
    (partial(AdamW, beta2=1), ValueError, "beta2", "< 1", "1"),
    *(
        (partial(rule, **{name: value}), error, name, expected, getattr(value, "__name__", repr(value)))
        for rule in (SGD, RMSprop, Adagrad, Adam, AdamW)
        for name, value, error, expected in (
            ("l1", -0.1, ValueError, "≥ 0"),
            ("l1", inf, ValueError, "finite"),
            ("l1", None, TypeError, "number"),
            ("clip_norm", 0, ValueError, "> 0"),
            ("clip_norm", -1.0, ValueError, "> 0"),
            ("clip_norm", "1", TypeError, "> 0"),
            ("clip_value", 0, ValueError, "> 0"),
            ("clip_value", inf, ValueError, "finite"),
            ("learning_rate", np.sqrt, TypeError, "number"),
            ("learning_rate", "cosine", TypeError, "number"),
        )
    ),
    (partial(fastprop.ConstantRate, -1), ValueError, "learning_rate", "≥ 0", "-1"),
    (partial(fastprop.StepDecay, nan, 10), ValueError, "learning_rate", "finite", "nan"),
    (partial(fastprop.StepDecay, 0.1, 0), ValueError, "every", "≥ 1", "0"),
    (partial(fastprop.StepDecay, 0.1, 2.5), TypeError, "every", "≥ 1", "2.5"),
    (partial(fastprop.StepDecay, 0.1, 10, 0), ValueError, "factor", "> 0", "0"),
    (partial(fastprop.ExponentialDecay, 0.1, -0.5), ValueError, "factor", "> 0", "-0.5"),
    (partial(fastprop.ExponentialDecay, 0.1, 0.5, every=0), ValueError, "every", "≥ 1", "0"),
    (partial(fastprop.CosineDecay, 0.1, 0), ValueError, "steps", "≥ 1", "0"),
    (partial(fastprop.CosineDecay, 0.1, 100, warmup=-1), ValueError, "warmup", "≥ 0", "-1"),
    (partial(fastprop.CosineDecay, 0.1, 100, warmup=100), ValueError, "steps", "> warmup=100", "100"),
    (partial(fastprop.CosineDecay, 0.1, 100, final=-1), ValueError, "final", "≥ 0", "-1"),
    (partial(fastprop.OneCycle, 0.1, 10.0), TypeError, "steps", "≥ 1", "10.0"),
    (partial(fastprop.OneCycle, 0.1, 10, rise=1), ValueError, "rise", "< 1", "1"),
    (partial(fastprop.OneCycle, 0.1, 10, divide=0), ValueError, "divide", "> 0", "0"),
    (partial(fastprop.OneCycle, 0.1, 10, divide_final=0), ValueError, "divide_final", "> 0", "0"),
    (partial(fastprop.ReduceOnPlateau, 0.1, factor=1), ValueError, "factor", "< 1", "1"),
    (partial(fastprop.ReduceOnPlateau, 0.1, patience=-1), ValueError, "patience", "≥ 0", "-1"),
    (partial(fastprop.ReduceOnPlateau, 0.1, tolerance=-1), ValueError, "tolerance", "≥ 0", "-1"),
    (partial(fastprop.ReduceOnPlateau, 0.1, minimum=0.2), ValueError, "minimum", "at most learning_rate=0.1", "0.2"),
    (partial(fastprop.ConstantRate(0.1).rates, -1), ValueError, "steps", "≥ 0", "-1"),
    (partial(SGD().watch, "low"), TypeError, "loss", "number", "'low'"),
    (partial(SGD().watch, nan), ValueError, "loss", "finite", "nan"),
    (partial(fastprop.CrossEntropy, 1), ValueError, "label_smoothing", "< 1", "1"),
    (partial(fastprop.CrossEntropy, -0.1), ValueError, "label_smoothing", "≥ 0", "-0.1"),
    (partial(setattr, SGD(0.1), "learning_rate", -1), ValueError, "learning_rate", "≥ 0", "-1"),
    (partial(fastprop.LeakyReLU, nan), ValueError, "slope", "finite", "nan"),
    (partial(fastprop.LeakyReLU, -1), ValueError, "slope", "≥ 0", "-1"),
    (partial(fastprop.ELU, inf), ValueError, "alpha", "finite", "inf"),
    (partial(fastprop.ELU, "1"), TypeError, "alpha", "number", "'1'"),
    (partial(fastprop.Huber, 0), ValueError, "delta", "> 0", "0"),
    (partial(fastprop.Huber, delta=nan), ValueError, "delta", "finite", "nan"),
]


def name_of(row) -> str:
    """An id for a row whose first entry is a partial."""
    call = row[0]
    arguments = [*map(repr, call.args), *(f"{k}={v!r}" for k, v in call.keywords.items())]
    return f"{call.func.__name__}({', '.join(arguments)})"


@pytest.mark.parametrize(("call", "error", "fragments"), [(c, e, f) for c, e, *f in CONSTRUCTIONS],
                         ids=map(name_of, CONSTRUCTIONS))  # fmt: skip
def test_construction(call, error, fragments):
    message_of(call, error, *fragments)


# Data

N = 10
X = np.random.default_rng(0).standard_normal((N, 3))
T = np.random.default_rng(1).uniform(0.1, 0.9, (N, 2))
LABELS = np.arange(N) % 3
ROWS = np.array([[0.2, 0.3, 0.5]] * N)


def put(array, index, value, dtype=None):
    """A copy of ``array`` with one entry changed."""
    result = np.array(array, dtype=dtype)
    result[index] = value
    return result


@dataclass
class Bad:
    """One argument of a call that is otherwise good."""

    argument: str
    value: Any
    error: type
    fragments: tuple = ()
    loss: str = "squared_error"

    def __str__(self):
        return f"{self.argument}={str(self.value).splitlines()[0]:.40}, {self.loss}, {self.fragments[-1]}"


BAD_X = [
    Bad("X", X[0], ValueError, ("(n, 3)", "(3,)", "X[None, :]")),
    Bad("X", X[:, :2], ValueError, ("(n, 3)", "(10, 2)")),
    Bad("X", X[:0], ValueError, ("at least one row", "(0, 3)")),
    Bad("X", X[None], ValueError, ("(n, 3)", "(1, 10, 3)")),
    Bad("X", 1.0, ValueError, ("(n, 3)", "()")),
    Bad("X", None, TypeError, ("real numbers", "object")),
    Bad("X", X + 1j, TypeError, ("real numbers", "complex128")),
    Bad("X", X.astype(object), TypeError, ("real numbers", "object")),
    Bad("X", X.astype(str), TypeError, ("real numbers", "text")),
    Bad("X", X.astype("datetime64[s]"), TypeError, ("real numbers", "datetime64")),
    Bad("X", [[1, 2, 3], [4, 5]], ValueError, ("real numbers", "inhomogeneous")),
    Bad("X", put(X, (4, 1), nan), ValueError, ("finite", "nan", "row 4, column 1")),
    Bad("X", put(X, (9, 2), -inf), ValueError, ("finite", "-inf", "row 9, column 2")),
    Bad("X", put(X, (6, 1), 1e300), ValueError, ("float32", "1e+300", "row 6, column 1")),
    Bad("X", np.ma.masked_array(X, X > 0), ValueError, ("masked",)),
]
BAD_Y = [
    Bad("y", T[:, 0], ValueError, ("(10, 2)", "(10,)")),
    Bad("y", T[:5], ValueError, ("(10, 2)", "(5, 2)")),
    Bad("y", np.ones((N, 3)), ValueError, ("(10, 2)", "(10, 3)")),
    Bad("y", 0.5, ValueError, ("(10, 2)", "()")),
    Bad("y", None, TypeError, ("real numbers", "object")),
    Bad("y", T + 0j, TypeError, ("real numbers", "complex128")),
    Bad("y", [[1, 2], [3]], ValueError, ("real numbers", "inhomogeneous")),
    Bad("y", [[1, 2], 3], ValueError, ("real numbers", "inhomogeneous"), "cross_entropy"),
    Bad("y", np.ma.masked_array(LABELS, LABELS > 1), ValueError, ("masked",), "cross_entropy"),
    Bad("y", T.astype(object), TypeError, ("real numbers", "object")),
    Bad("y", T.astype(str), TypeError, ("real numbers", "text")),
    Bad("y", put(T, (3, 1), nan), ValueError, ("finite", "nan", "row 3, column 1")),
    Bad("y", put(T, (3, 1), inf), ValueError, ("finite", "inf", "row 3, column 1")),
    Bad("y", put(T, (3, 1), 1e39), ValueError, ("float32", "1e+39", "row 3, column 1")),
    Bad("y", put(T, (3, 1), 1.5), ValueError, ("[0, 1]", "1.5", "row 3, column 1"), "binary_cross_entropy"),
    Bad("y", put(T, (3, 1), -0.5), ValueError, ("[0, 1]", "-0.5", "row 3, column 1"), "binary_cross_entropy"),
    Bad("y", put(T, (3, 1), nan), ValueError, ("finite", "nan", "row 3, column 1"), "binary_cross_entropy"),
    Bad("y", put(T, (3, 1), -1), ValueError, ("[0, inf]", "-1", "row 3, column 1"), "poisson"),
    Bad("y", put(T, (3, 1), inf), ValueError, ("finite", "inf", "row 3, column 1"), "poisson"),
    Bad("y", put(LABELS, 7, 3), ValueError, ("0 to 2", "3", "row 7"), "cross_entropy"),
    Bad("y", put(LABELS, 7, -1), ValueError, ("0 to 2", "-1", "row 7"), "cross_entropy"),
    Bad("y", put(LABELS, 7, 1.5, float), ValueError, ("integer labels", "1.5", "row 7"), "cross_entropy"),
    Bad("y", put(LABELS, 7, nan, float), ValueError, ("nan", "row 7"), "cross_entropy"),
    Bad("y", put(LABELS, 7, inf, float), ValueError, ("inf", "row 7"), "cross_entropy"),
    Bad("y", put(LABELS, 7, 1e300, float), ValueError, ("1e+300",), "cross_entropy"),
    Bad("y", put(LABELS, 7, 2**64 - 1, np.uint64), ValueError, (str(2**64 - 1),), "cross_entropy"),
    Bad("y", LABELS.astype(str), TypeError, ("integer labels", "<U"), "cross_entropy"),
    Bad("y", LABELS.astype(object), TypeError, ("integer labels", "object"), "cross_entropy"),
    Bad("y", LABELS + 0j, TypeError, ("integer labels", "complex128"), "cross_entropy"),
    Bad("y", LABELS[:5], ValueError, ("(10,)", "(5,)"), "cross_entropy"),
    Bad("y", ROWS[:, :2], ValueError, ("(10, 3)", "(10, 2)"), "cross_entropy"),
    Bad("y", LABELS[:, None], ValueError, ("(10, 3)", "(10, 1)"), "cross_entropy"),
    Bad("y", put(ROWS, (2, 0), 0.9), ValueError, ("sum to 1", "row 2"), "cross_entropy"),
    Bad("y", put(ROWS, 2, [1.5, -0.5, 0]), ValueError, ("[0, 1]", "1.5", "row 2, column 0"), "cross_entropy"),
    Bad("y", put(ROWS, (2, 1), nan), ValueError, ("finite", "nan", "row 2, column 1"), "cross_entropy"),
]
BAD_WEIGHTS = [
    Bad("sample_weight", put(np.ones(N), 5, -1.0), ValueError, ("≥ 0", "-1", "row 5")),
    Bad("sample_weight", put(np.ones(N), 5, nan), ValueError, ("finite", "nan", "row 5")),
    Bad("sample_weight", put(np.ones(N), 5, inf), ValueError, ("finite", "inf", "row 5")),
    Bad("sample_weight", put(np.ones(N), 5, 1e200), ValueError, ("float32", "1e+200", "row 5")),
    Bad("sample_weight", np.zeros(N), ValueError, ("not be all zero",)),
    Bad("sample_weight", np.ones(N - 1), ValueError, ("(10,)", "(9,)")),
    Bad("sample_weight", np.ones((N, 1)), ValueError, ("(10,)", "(10, 1)")),
    Bad("sample_weight", 1.0, ValueError, ("(10,)", "()")),
    Bad("sample_weight", ["a"] * N, TypeError, ("real numbers", "text")),
    Bad("sample_weight", "balanced", TypeError, ("real numbers", "text")),
    Bad("sample_weight", np.ones(N, complex), TypeError, ("real numbers", "complex128")),
]
BAD_FIT = [
    Bad("optimizer", "adamm", ValueError, ("sgd", "adam", "'adamm'")),
    Bad("optimizer", None, TypeError, ("name", "None")),
    Bad("optimizer", SGD, TypeError, ("name", "SGD")),
    Bad("epochs", -1, ValueError, ("≥ 0", "-1")),
    Bad("epochs", 1.0, TypeError, ("≥ 0", "1.0")),
    Bad("epochs", True, TypeError, ("≥ 0", "True")),
    Bad("batch_size", 0, ValueError, ("≥ 1", "0")),
    Bad("batch_size", -3, ValueError, ("≥ 1", "-3")),
    Bad("batch_size", 2.5, TypeError, ("≥ 1", "2.5")),
    Bad("batch_size", 4.0, TypeError, ("≥ 1", "4.0")),
    Bad("batch_size", "all", TypeError, ("≥ 1", "'all'")),
    Bad("batch_size", 11, ValueError, ("10", "11")),
    Bad("shuffle", "yes", TypeError, ("True or False", "'yes'")),
    Bad("shuffle", None, TypeError, ("True or False", "None")),
    Bad("progress", 1, TypeError, ("True or False", "1")),
    Bad("validation_data", X, TypeError, ("(X, y)", "ndarray")),
    Bad("validation_data", (X,), TypeError, ("(X, y)", "tuple")),
    Bad("validation_data", (X[:, :1], T), ValueError, ("(n, 3)", "(10, 1)")),
    Bad("validation_data", (X, T[:3]), ValueError, ("(10, 2)", "(3, 2)")),
    Bad("validation_data", (put(X, (1, 0), nan), T), ValueError, ("finite", "nan", "row 1, column 0")),
    Bad("validation_data", (X, put(T, (1, 0), nan)), ValueError, ("finite", "nan", "row 1, column 0")),
    Bad("validation_data", (X, T, np.zeros(N)), ValueError, ("not be all zero",)),
]

CALLS = {
    "forward": ("X",),
    "predict": ("X",),
    "backward": ("y", "sample_weight"),
    "evaluate": ("X", "y", "sample_weight"),
    "train_step": ("X", "y", "sample_weight"),  # and optimizer, see test_train_step_takes_no_name
    "fit": ("X", "y", "sample_weight", "optimizer", "epochs", "batch_size", "shuffle", "progress",
            "validation_data"),
}  # fmt: skip


def make(loss):
    """A network in the midst of training, and its optimizer."""
    if loss == "cross_entropy":
        net, y = Network([3, 4, 3], output="softmax", seed=4), LABELS
    else:
        net, y = Network([3, 4, 2], output="sigmoid", loss=loss, seed=4), T
    rule = Adam(0.01)
    net.fit(X, y, optimizer=rule, epochs=2, batch_size=4)
    return net, rule, y


def traces(net, rule) -> list:
    """What may not change, as it shows after two more epochs."""
    found = [rule.steps, net.get_parameters()]
    y = LABELS if net.sizes[-1] == 3 else T
    history = net.fit(X, y, optimizer=rule, epochs=2, batch_size=4)
    return [*found, rule.steps, net.get_parameters(), history.loss]


def assert_untouched(net, rule, loss) -> None:
    twin, twin_rule, _ = make(loss)
    for ours, theirs in zip(traces(net, rule), traces(twin, twin_rule), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        pytest.param(method, bad, id=f"{method}, {bad}")
        for method, arguments in CALLS.items()
        for bad in [*BAD_X, *BAD_Y, *BAD_WEIGHTS, *BAD_FIT]
        if bad.argument in arguments
    ],
)
def test_data(method, bad):
    net, rule, y = make(bad.loss)
    good = {"X": X, "y": y} | ({"optimizer": rule} if method in ("fit", "train_step") else {})
    arguments = {k: v for k, v in good.items() if k in (*CALLS[method], "optimizer")} | {bad.argument: bad.value}
    if method == "backward":
        net.forward(X)
    message = message_of(lambda: getattr(net, method)(**arguments), bad.error, *bad.fragments)
    assert bad.argument in message
    assert_untouched(net, rule, bad.loss)


@pytest.mark.parametrize("bad", [b for b in [*BAD_X, *BAD_Y, *BAD_WEIGHTS] if b.error is ValueError], ids=str)
def test_a_fresh_optimizer_stays_free(bad):
    """Refused with a network, it may still go to another."""
    net, _, y = make(bad.loss)
    rule = SGD(0.1, momentum=0.9)
    arguments = {"X": X, "y": y, bad.argument: bad.value}
    for call in (net.fit, net.train_step):
        with pytest.raises(ValueError, match=re.escape(bad.argument)):
            call(optimizer=rule, **arguments)
    other, _, _ = make(bad.loss)
    other.fit(X, y, optimizer=rule)
    assert rule.steps == 1


@pytest.mark.parametrize("value", ["adam", "sgd", None, 1, Adam])
def test_train_step_takes_no_name(value):
    """Its state would be lost from step to step."""
    net, rule, y = make("mse")
    message_of(lambda: net.train_step(X, y, value), TypeError, "optimizer", "Optimizer", repr(value))
    assert_untouched(net, rule, "mse")


@pytest.mark.parametrize("method", ["fit", "train_step", "step"])
def test_optimizer_of_another_network(method):
    net, rule, y = make("mse")
    other, others_rule, _ = make("mse")
    net.forward(X)
    net.backward(y)
    calls = {
        "fit": lambda: net.fit(X, y, optimizer=others_rule),
        "train_step": lambda: net.train_step(X, y, others_rule),
        "step": lambda: net.step(others_rule),
    }
    message_of(calls[method], ValueError, "optimizer", "new", "another network")
    assert_untouched(net, rule, "mse")
    assert_untouched(other, others_rule, "mse")


VECTORS = [
    (np.ones(25), ValueError, "(26,)", "(25,)"),
    (np.ones((26, 1)), ValueError, "(26,)", "(26, 1)"),
    (1.0, ValueError, "(26,)", "()"),
    (put(np.ones(26), 3, nan), ValueError, "finite", "nan", "3"),
    (put(np.ones(26), 25, inf), ValueError, "finite", "inf", "25"),
    (put(np.ones(26), 7, 1e39), ValueError, "float32", "1e+39", "7"),
    (np.ones(26, complex), TypeError, "real numbers", "complex128"),
    (np.ones(26, object), TypeError, "real numbers", "object"),
    (["a"] * 26, TypeError, "real numbers", "text"),
    (None, TypeError, "real numbers", "object"),
]


@pytest.mark.parametrize(("value", "error", "fragments"), [(v, e, f) for v, e, *f in VECTORS])
def test_set_parameters(value, error, fragments):
    net, rule, _ = make("mse")
    message = message_of(lambda: net.set_parameters(value), error, *fragments)
    assert message.startswith("v ")
    assert_untouched(net, rule, "mse")


SLOPES = [
    (np.ones((N, 3)), ValueError, "(10, 2)", "(10, 3)"),
    (np.ones(N), ValueError, "(10, 2)", "(10,)"),
    (put(T, (2, 1), nan), ValueError, "finite", "nan", "row 2, column 1"),
    (T * 1j, TypeError, "real numbers", "complex128"),
    ("slope", TypeError, "real numbers", "text"),
]


@pytest.mark.parametrize(("value", "error", "fragments"), [(v, e, f) for v, e, *f in SLOPES])
def test_backward_from(value, error, fragments):
    net, rule, _ = make("mse")
    net.forward(X)
    assert "dC_da" in message_of(lambda: net.backward_from(value), error, *fragments)
    assert_untouched(net, rule, "mse")


@pytest.mark.parametrize("trained", [False, True])
def test_out_of_order(trained):
    """`backward` before `forward`, `step` before `backward`; training and a refused X leave no forward pass."""
    for refused in (False, True):
        net, rule, y = make("mse") if trained else (Network([3, 4, 2], loss="mse", seed=4), Adam(), T)
        before = net.get_parameters()
        if refused:
            with pytest.raises(ValueError, match="finite"):
                net.forward(put(X, 0, nan))
        message_of(lambda net=net, y=y: net.backward(y), ValueError, "backward", "after forward")
        message_of(lambda net=net: net.backward_from(T), ValueError, "backward_from", "after forward")
        message_of(lambda net=net, rule=rule: net.step(rule), ValueError, "step", "after backward")
        message_of(net.get_gradient, ValueError, "get_gradient", "after backward")
        net.forward(X)
        message_of(lambda net=net, rule=rule: net.step(rule), ValueError, "step", "after backward")
        np.testing.assert_array_equal(net.get_parameters(), before)
        assert rule.steps == (6 if trained else 0)


def test_no_step_from_the_gradients_of_a_refused_backward():
    net, rule, y = make("binary_cross_entropy")
    net.forward(X)
    net.backward(y)
    with pytest.raises(ValueError, match="y must"):
        net.backward(y + 10)
    message_of(lambda: net.step(rule), ValueError, "step", "after backward")


def test_zero_epochs():
    net, rule, y = make("mse")
    history = net.fit(X, y, optimizer=rule, epochs=0)
    assert (history.loss, history.validation_loss, history.metrics, history.seconds) == ([], [], {}, [])
    assert_untouched(net, rule, "mse")


@pytest.mark.parametrize("where", ["weights", "biases"])
def test_parameters_made_infinite_through_a_view(where):
    """Found before the first step."""
    net, _, y = make("mse")
    rule = Adam()
    getattr(net, where)[1][..., 0] = inf
    before = net.get_parameters()
    for call in (partial(net.fit, optimizer=rule), partial(net.train_step, optimizer=rule)):
        message_of(lambda call=call: call(X, y), ValueError, "weights and biases", "finite", "layer 2")
        np.testing.assert_array_equal(net.get_parameters(), before)
        assert rule.steps == 0
    make("mse")[0].fit(X, y, optimizer=rule)  # still nobody's


def test_attributes_cannot_be_rebound():
    """The buffers stay the ones the kernels know."""
    net, _, _ = make("mse")
    for name in ("sizes", "dtype", "weights", "biases", "activations", "deltas", "num_parameters"):
        with pytest.raises(AttributeError):
            setattr(net, name, None)
