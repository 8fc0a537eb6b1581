"""Traces: the worked examples, every formula computed anew by Python, chains against the stored gradients."""

import json
import math
import re

import numpy as np
import pytest

import fastprop
from fastprop import reference

from .cases import HIDDEN, LOG_LOSSES, LOSSES, OUTPUTS, smooth_case
from .worked_examples import EXAMPLES, PATHS, TWO_PATHS, XOR


def network_of(example) -> fastprop.Network:
    sizes = [len(w) for w in example.weights] + [example.weights[-1].shape[1]]
    net = fastprop.Network(
        sizes, example.activations[:-1], example.activations[-1], loss=example.loss, dtype="float64", seed=0
    )
    net.set_parameters(np.concatenate([np.append(w, b) for w, b in zip(example.weights, example.biases, strict=True)]))
    return net


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name):
    example = EXAMPLES[name]
    trace = network_of(example).trace(example.x[0], example.target)
    close = {"rtol": 1e-13, "atol": 1e-16}
    np.testing.assert_allclose(trace.loss, example.C, **close)
    for m, z in enumerate(example.z):
        np.testing.assert_allclose(trace.pre_activations[m], z, **close)
        np.testing.assert_allclose(trace.deltas[m], example.deltas[m], **close)
        np.testing.assert_allclose(trace.bias_gradients[m], example.deltas[m], **close)
    for m, a in example.a.items():
        np.testing.assert_allclose(trace.activations[m], a, **close)
    for (m, j, k), gradient in example.weight_gradients.items():
        np.testing.assert_allclose(trace.weight_gradients[m - 1][j, k], gradient, **close)
        np.testing.assert_allclose(trace.chain(m, j, k).sum, gradient, **close)


def test_update_of_the_worked_example():
    net = network_of(XOR)
    trace = net.trace(XOR.x[0], XOR.target, fastprop.SGD(XOR.learning_rate))
    for m in range(2):
        np.testing.assert_array_equal(trace.weights[m], XOR.weights[m])
        np.testing.assert_array_equal(trace.biases[m], XOR.biases[m])
        np.testing.assert_allclose(trace.new_weights[m], XOR.weights_after[m], rtol=1e-13)
        np.testing.assert_allclose(trace.new_biases[m], XOR.biases_after[m], rtol=1e-13)
        np.testing.assert_array_equal(trace.new_weights[m], net.weights[m])
    np.testing.assert_allclose(trace.new_output, [XOR.output_after], rtol=1e-13)
    np.testing.assert_allclose(trace.new_loss, XOR.C_after, rtol=1e-13)
    assert trace.learning_rate == 0.5
    text = trace.text()
    for line in (
        "         = 1·(-0.07) + 0·0.22 + (-0.46)\n         = -0.53",
        "  = ½·(1 - 0.7553)²\n  = 0.0299",
        "               = 0.3705·(-0.0452)\n               = -0.0168",
        "new W^(2)[1,0] = W^(2)[1,0] - α·∂C/∂W^(2)[1,0]\n               = 0.58 - 0.5·(-0.0334)\n",
        "      = 0.0299 + (-0.0017)\n      = 0.0282",
    ):
        assert line in text


def test_two_paths():
    chain = network_of(TWO_PATHS).trace([1, -1, 0.5], 1).chain(1, 2, 1)
    assert [path.neurons for path in chain.paths] == [(1, 0, 0), (1, 1, 0)]
    np.testing.assert_allclose([path.product for path in chain.paths], PATHS, rtol=1e-13)
    np.testing.assert_allclose(chain.sum, chain.stored, rtol=1e-13)
    assert [name for name, _ in chain.paths[1].factors] == [
        "∂C/∂a^(3)[0]", "∂a^(3)[0]/∂z^(3)[0]", "∂z^(3)[0]/∂a^(2)[1]", "∂a^(2)[1]/∂z^(2)[1]", "∂z^(2)[1]/∂a^(1)[1]",
        "∂a^(1)[1]/∂z^(1)[1]", "∂z^(1)[1]/∂W^(1)[2,1]",
    ]  # fmt: skip
    assert str(chain).endswith("sum over the paths: 0.0080\nstored gradient:    0.0080")


NAMES = {name: getattr(np, name) for name in ("exp", "log", "tanh", "abs", "sign", "sqrt", "pi")} | {
    "max": max,
    "min": min,
}


def by_python(written: str) -> float:
    """What a formula with numbers in it comes to."""
    for sign, meaning in (("·", "*"), ("²", "**2"), ("³", "**3"), ("½", "0.5")):
        written = written.replace(sign, meaning)
    return float(eval(written, {"__builtins__": {}}, NAMES))


def assert_formulas_hold(trace):
    size = max(np.abs(array).max() for array in trace.pre_activations + trace.activation_gradients)
    for step in trace.steps():
        written = step.write("text", trace.value, 20)
        value = trace.value(step.quantity)
        assert math.isclose(float(written["result"]), value, rel_tol=1e-15)
        if not written["numbers"].startswith("gelu′("):  # which is known by its name alone
            assert math.isclose(by_python(written["numbers"]), value, rel_tol=1e-11, abs_tol=1e-13 * size), written


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_formulas_hold_and_paths_add_up(output, loss):
    hidden = list(HIDDEN)[sum(map(ord, output + loss)) % len(HIDDEN)]
    for width in (1, 3):
        if output == "softmax" and width == 1:
            continue
        case = smooth_case([3, 2, 4, width], hidden, output, loss, rows=1)
        trace = case.network.trace(case.X[0], case.y, fastprop.SGD(0.1))
        assert trace.learning_rate == 0.1
        assert_formulas_hold(trace)
        for m, gradient in enumerate(trace.weight_gradients, start=1):
            for j, k in np.ndindex(gradient.shape):
                assert math.isclose(trace.chain(m, j, k).sum, gradient[j, k], rel_tol=1e-9, abs_tol=1e-14)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_slopes_and_gradients_of_activations(hidden):
    """σ′ against the reference; ∂C/∂a against differences of the loss over what the reference makes of a."""
    loss = "binary_cross_entropy"
    case = smooth_case([3, 4, 3], hidden, "sigmoid", loss, rows=1)
    net = case.network
    trace = net.trace(case.X[0], case.y[0])
    name, *parameter = (case.activations[0],) if isinstance(case.activations[0], str) else case.activations[0]
    slope = reference.ACTIVATIONS[name][1](trace.pre_activations[0], trace.activations[1], *parameter)
    np.testing.assert_allclose(trace.slopes[0], slope, rtol=1e-12, atol=1e-15)

    def loss_of(a, m):
        for W, b, activation in list(zip(net.weights, net.biases, case.activations, strict=True))[m:]:
            a = reference.activate(a @ W + b, activation)
        return reference.LOSSES[loss][0](case.y, a)[0]

    for m in (1, 2):
        for k, gradient in enumerate(trace.activation_gradients[m - 1]):
            h = 1e-6 * np.eye(net.sizes[m])[k]
            numeric = (loss_of(trace.activations[m][None] + h, m) - loss_of(trace.activations[m][None] - h, m)) / 2e-6
            assert math.isclose(gradient, numeric, rel_tol=1e-7, abs_tol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_those_of_the_buffers(dtype, rng):
    net = fastprop.Network([5, 7, 3], "gelu", "softmax", dtype=dtype, seed=2)
    x, label = rng.standard_normal(5).astype(dtype), 2
    trace = net.trace(x, label)
    net.forward(x[None])
    assert trace.loss == net.backward([label])
    for m in range(2):
        for ours, theirs in (
            (trace.pre_activations[m], net.pre_activations[m][0]),
            (trace.activations[m + 1], net.activations[m + 1][0]),
            (trace.deltas[m], net.deltas[m][0]),
            (trace.weight_gradients[m], net.weight_gradients[m]),
            (trace.bias_gradients[m], net.bias_gradients[m]),
        ):
            np.testing.assert_array_equal(ours, theirs, strict=True)
            assert not np.shares_memory(ours, theirs)
    assert trace.t.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(trace.x, x, strict=True)


def test_other_optimizers_show_the_change(rng):
    net = fastprop.Network([2, 3, 1], dtype="float64", seed=0)
    trace = net.trace([1.0, 2.0], 1.0, "adam")
    assert trace.learning_rate is None
    assert "new b^(2)[0] = b^(2)[0] + Δb^(2)[0]" in trace.text()
    assert_formulas_hold(trace)
    assert net.trace([1.0, 2.0], 1.0, fastprop.SGD(0.1, weight_decay=0.1)).learning_rate is None


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("t", [1, [0.2, 0.5, 0.3]])
def test_label_smoothing(output, t, rng):
    loss = fastprop.CrossEntropy(label_smoothing=0.2)
    net = fastprop.Network([2, 3, 3], "tanh", output, loss=loss, dtype="float64", seed=0)
    trace = net.trace(rng.standard_normal(2), t)
    one_hot = [0, 1, 0] if t == 1 else t
    np.testing.assert_allclose(trace.t, 0.8 * np.array(one_hot) + 0.2 / 3, rtol=1e-14)
    assert_formulas_hold(trace)
    assert math.isclose(trace.chain(1, 1, 2).sum, trace.weight_gradients[0][1, 2], rel_tol=1e-12)


def test_rate_of_a_schedule_is_that_of_the_step():
    sgd = fastprop.SGD(fastprop.StepDecay(0.5, every=1, factor=0.5))
    net = network_of(XOR)
    rates = [net.trace([1, 0], 1, sgd).learning_rate for _ in range(2)]
    assert rates == [0.5, 0.25]


def test_functions_of_ones_own(rng):
    """Their names stand for them, and their slopes come from the kernels as all others do."""
    cube = fastprop.Activation("cube", lambda z: z**3 + z, lambda z: 3 * z**2 + 1)
    fourth = fastprop.Loss("fourth_power", lambda a, t: (a - t) ** 4, lambda a, t: 4 * (a - t) ** 3)
    net = fastprop.Network([2, 3, 2], cube, loss=fourth, dtype="float64", seed=0)
    trace = net.trace(rng.standard_normal(2), [0.5, 2])
    np.testing.assert_allclose(trace.slopes[0], 3 * trace.pre_activations[0] ** 2 + 1, rtol=1e-12)
    np.testing.assert_allclose(trace.activation_gradients[1], 2 * (trace.activations[2] - trace.t) ** 3, rtol=1e-12)
    assert math.isclose(trace.chain(1, 1, 2).sum, trace.weight_gradients[0][1, 2], rel_tol=1e-12)
    assert "σ′(z^(1)[0]) = cube′(z^(1)[0])" in trace.text()
    assert "C = fourth_power(t, a)" in trace.text()


def test_json():
    trace = network_of(XOR).trace([1, 0], 1, fastprop.SGD(0.5))
    read = json.loads(trace.json())
    assert read == trace.to_dict()
    assert read["sizes"] == [2, 2, 1]
    assert read["layers"][1]["deltas"] == trace.deltas[1].tolist()
    assert read["layers"][0]["activations"] == trace.activations[1].tolist()
    assert read["update"]["loss"] == trace.new_loss
    step = read["steps"][0]
    assert step["text"] == {
        "name": "z^(1)[0]",
        "formula": "x[0]·W^(1)[0,0] + x[1]·W^(1)[1,0] + b^(1)[0]",
        "numbers": "1·(-0.07) + 0·0.22 + (-0.46)",
        "result": "-0.53",
    }
    assert step["uses"][1] == {"name": "W", "layer": 1, "at": [0, 0]}
    phases = [step["phase"] for step in read["steps"]]
    assert list(dict.fromkeys(phases)) == ["forward", "loss", "backward", "update"]
    assert "steps" not in json.loads(trace.json(steps=False))
    assert json.loads(trace.chain(1, 0, 1).json())["stored"] == trace.weight_gradients[0][0, 1]


def test_every_number_has_a_step():
    trace = fastprop.Network([2, 3, 2], "tanh", "softmax", loss="mse", seed=0).trace([1, 2], [0, 1], "sgd")
    computed = [step.quantity for step in trace.steps()]
    assert len(set(computed)) == len(computed)
    given = {("a", 0), ("t", 2), ("alpha", 0), *((name, m) for name in "Wb" for m in (1, 2))}
    known: set = set()
    for step in trace.steps():
        for use in step.uses:
            assert use in known or use[:2] in given or use.name.startswith("change_") or use.name == "slope", use
        known.add(step.quantity)
    count = {name: sum(q.name == name for q in computed) for name in ("z", "a", "delta", "dC_dW", "dC_db", "new_W")}
    assert count == {"z": 5, "a": 5, "delta": 5, "dC_dW": 12, "dC_db": 5, "new_W": 12}


def test_numbers_that_are_not_finite():
    net = fastprop.Network([1, 1, 1], "identity", seed=0)
    for w in net.weights:
        w[...] = 1e30
    trace = net.trace([1e10], 0)
    assert math.isinf(trace.activations[2][0])
    assert json.loads(trace.json())["layers"][1]["activations"] == [None]
    assert "= inf" in trace.text()
    assert r"\text{inf}" in trace.latex()


def test_wide_layers_are_cut_short():
    trace = fastprop.Network([784, 128, 10], output="softmax", seed=0).trace(np.linspace(0, 1, 784), 3)
    text = trace.text()
    assert len(text.splitlines()) < 1000
    assert "… and 104 more like these" in text
    assert "x[5]·W^(1)[5,0] + … + x[783]·W^(1)[783,0] + b^(1)[0]" in text
    assert "more like these" in trace.latex()


def test_latex_can_be_set():
    mathtext = pytest.importorskip("matplotlib.mathtext")
    lines = set()
    for hidden, loss in zip(HIDDEN, [*LOSSES] * 2, strict=False):
        output = "softmax" if loss in LOG_LOSSES else "identity"
        trace = fastprop.Network([1, 1, 2], HIDDEN[hidden][0], output, loss=LOSSES[loss][0], seed=0).trace(
            -1, [0, 1], "sgd"
        )
        for text in (trace.latex(), trace.chain(1, 0, 0).latex()):
            assert text.count(r"\begin{align*}") == text.count(r"\end{align*}") > 0
            body = re.sub(r"\\paragraph\{.*\}|\\(begin|end)\{align\*\}|&", "", text)
            lines |= {re.sub(r"[\d.]+", "1", line).strip() for line in re.split(r"\\\\|\n", body)}
    parse = mathtext.MathTextParser("path").parse
    for line in lines - {""}:
        parse(f"${line}$".replace(r"\tfrac", r"\frac"))  # which Matplotlib does not know


def test_refusals():
    net = fastprop.Network([2, 2, 1], "tanh", seed=0)
    before = net.get_parameters()
    for x, t, message in (
        ([1.0], 0, r"x must be one row of shape \(2,\), got shape \(1,\)"),
        ([[1, 2], [3, 4]], 0, r"x must be one row of shape \(2,\), got shape \(2, 2\)"),
        ([1, np.nan], 0, "x must be finite, got nan at index 1"),
        ([1, 2], [0, 1], r"t must be one row of shape \(1,\), got shape \(2,\)"),
        ([1, 2], np.inf, "t must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            net.trace(x, t, "sgd")
    with pytest.raises(TypeError, match="x must be an array of real numbers"):
        net.trace(["a", "b"], 0)
    with pytest.raises(ValueError, match="optimizer must be one of"):
        net.trace([1, 2], 0, "newton")
    np.testing.assert_array_equal(net.get_parameters(), before)
    with pytest.raises(ValueError, match="t must hold labels from 0 to 2, got 3"):
        fastprop.Network([2, 3], output="softmax").trace([1, 2], 3)
    trace = net.trace([[1, 2]], [[0]])
    for arguments, message in (
        ((3, 0, 0), "layer must be an integer from 1 to 2, got 3"),
        ((0, 0, 0), "layer must be an integer ≥ 1, got 0"),
        ((1, 2, 0), "j must be an integer from 0 to 1, got 2"),
        ((2, 0, 1), "k must be an integer from 0 to 0, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            trace.chain(*arguments)
    with pytest.raises(ValueError, match=r"layer must be one with at most 100,000 paths to the loss, got layer 1"):
        fastprop.Network([1, 1, 400, 400, 1], seed=0).trace(1.0, 1.0).chain(1, 0, 0)
