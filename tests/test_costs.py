"""What backpropagation saves: every method gives the gradient, and takes the multiplications counted by hand."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest

import fastprop
from fastprop import costs

from .cases import HIDDEN, smooth_case

RUNS = {"squared_error": "identity", "binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "mae": "tanh"}


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("loss", "output"), RUNS.items())
def test_every_method_gives_the_gradient(hidden, loss, output):
    """And not only that of `Network.backward`, to which they are compared, but the NumPy reference's."""
    case = smooth_case([3, 5, 4, 3], hidden, output, loss, rows=1)
    found = costs.measure(case.network, case.X, case.y)
    assert [cost.method for cost in found] == list(costs.METHODS)
    for cost in found:
        assert cost.error <= costs.TOLERANCE[cost.method], cost
    _, _, _, deltas, weights, biases = case.reference()
    work = costs._Workspace(case.network, case.X[0], case.y[0])
    for method in costs.METHODS:
        result, _ = work.run(method)
        if method in costs.GRADIENT:
            expected = np.concatenate([g.ravel() for pair in zip(weights, biases, strict=True) for g in pair])
        else:
            expected = deltas[0][0] @ case.network.weights[0].T
        assert np.abs(result - expected).max() <= costs.TOLERANCE[method] * np.abs(expected).max(), method


def test_the_two_paths_of_the_lecture():
    """∂C/∂W of the first layer's weight to unit 2 from input 3 is a sum of two chains: worked example 3."""
    net = fastprop.Network([3, 2, 2, 1], "tanh", "sigmoid", loss="squared_error", dtype="float64")
    net.set_parameters([0.1, -0.2, 0.4, 0.3, -0.5, 0.6, 0.05, -0.05, 0.7, -0.1, 0.2, 0.5, 0.1, -0.1, 0.8, -0.6, 0.2])
    work = costs._Workspace(net, [1.0, -1.0, 0.5], 1.0)
    for method in ("chain by chain", "forward mode", "backpropagation"):
        gradient, _ = work.run(method)
        assert gradient[5] == pytest.approx(-0.008316603763457926 + 0.016269557712366677, rel=1e-12)
        assert gradient[10] == pytest.approx(0.021668715893947785, rel=1e-12)


# By hand, for 2-2-1: 6 weights, 9 parameters, 6 of them in the first layer.
BY_HAND = {
    "finite differences": 2 * 9 * 6,  # two forward passes for each parameter
    "chain by chain": 6 + 6 * 3 + 3 * 1,  # forward; a·σ′·W·δ and a·δ along the one path from each parameter
    "forward mode": 6 + 6 * (2 + 2 + 1) + 3 * 1,  # forward; ⊙ σ′, times W, times δ
    "backpropagation": 6 + 6 + (2 + 2),  # forward; a·δ for each weight; W δ ⊙ σ′
    "Jacobians from the input": 2 * (2 + 2 + 1),  # for each row of the matrix ⊙ σ′, times W, times δ
    "Jacobians from the loss": (2 + 2) + 4,  # W δ ⊙ σ′, then W δ
}


def test_multiplications_counted_by_hand():
    assert {method: costs.multiplications([2, 2, 1], method) for method in costs.METHODS} == BY_HAND


@pytest.mark.parametrize("sizes", [[2, 2, 1], [1, 1], [4, 3], [1, 5, 1], [3, 2, 4, 2], [2, 3, 1, 2, 3]])
def test_the_formulas_are_what_the_loops_count(sizes):
    net = fastprop.Network(sizes, hidden="tanh", seed=1)
    work = costs._Workspace(net, np.ones(sizes[0]), np.zeros(sizes[-1]))
    for method in costs.METHODS:
        gradient, count = work.run(method)
        assert count == costs.multiplications(sizes, method), method
        again, count = work.run(method)  # nothing is left over from the first time
        assert count == costs.multiplications(sizes, method), method
        assert (again == gradient).all(), method


def test_how_the_costs_grow():
    wide = costs.growth("width", largest=256, most=0)
    powers = {method: costs.exponent(wide, method) for method in costs.METHODS}
    assert powers == pytest.approx(
        {
            "finite differences": 2, "chain by chain": 2, "forward mode": 2, "backpropagation": 1,
            "Jacobians from the input": 1.5, "Jacobians from the loss": 1,
        },
        abs=0.03,
    )  # fmt: skip
    deep = [cost.multiplications for cost in costs.growth("depth", most=0) if cost.method == "chain by chain"]
    ratios = [after / before for before, after in pairwise(deep[6:])]
    assert all(4 < ratio < 5.2 for ratio in ratios)  # four times as many paths a layer, which are longer


def test_measured_time_follows_the_counts():
    net = fastprop.Network([32] * 4, hidden="tanh", seed=0)
    found = {cost.method: cost for cost in costs.measure(net, np.ones(32), np.zeros(32))}
    backpropagation = found["backpropagation"]
    for method in ("finite differences", "chain by chain", "forward mode"):
        assert found[method].multiplications > 400 * backpropagation.multiplications
        assert found[method].seconds > 40 * backpropagation.seconds


def test_beyond_the_limit_the_formula_alone():
    net = fastprop.Network([3, 4, 2], seed=0)
    found = costs.measure(net, [1.0, 2.0, 3.0], [0.0, 1.0], most=100)
    for cost in found:
        assert cost.multiplications == costs.multiplications(net.sizes, cost.method)
        assert math.isnan(cost.seconds) == math.isnan(cost.error) == (cost.multiplications > 100)
    assert [cost.method for cost in found if math.isnan(cost.seconds)] == list(costs.GRADIENT[:3])


def test_the_network_is_left_alone():
    net = fastprop.Network([3, 4, 2], hidden="gelu", seed=0)  # float32, measured in float64
    net.forward([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
    net.backward([[0.0, 1.0], [1.0, 0.0]])
    before = [net.get_parameters(), net.get_gradient(), *(d.copy() for d in net.deltas)]
    found = costs.measure(net, [3.0, 2.0, 1.0], [0.0, 1.0])
    assert all(cost.error <= costs.TOLERANCE[cost.method] for cost in found)
    after = [net.get_parameters(), net.get_gradient(), *net.deltas]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_targets_of_every_kind():
    net = fastprop.Network([2, 3, 3], output="softmax", dtype="float64", seed=0)
    label = costs._Workspace(net, [1.0, -1.0], 2)
    row = costs._Workspace(net, [[1.0, -1.0]], [0.0, 0.0, 1.0])
    rows = costs._Workspace(net, [1.0, -1.0], [[0.0, 0.0, 1.0]])
    for method in costs.METHODS:
        assert (label.run(method)[0] == row.run(method)[0]).all()
        assert (label.run(method)[0] == rows.run(method)[0]).all()
    single = fastprop.Network([2, 3, 1], seed=0)
    for t in (1.0, [1.0], [[1.0]]):
        assert costs.measure(single, [1.0, 2.0], t)[3].error <= 1e-10


def test_ones_own_functions():
    square = fastprop.Activation("square", lambda z: z * z, lambda z: 2.0 * z)
    net = fastprop.Network([2, 3, 2, 1], [square, "tanh"], dtype="float64", seed=0)
    assert all(cost.error <= costs.TOLERANCE[cost.method] for cost in costs.measure(net, [0.3, 0.4], 1.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: costs.measure(net, [1.0], [0.0]), ValueError, r"x must have shape \(n, 2\), got \(1, 1\)"),
        (lambda net: costs.measure(net, np.ones((3, 2)), [0.0]), ValueError, "x must be one observation, got 3"),
        (lambda net: costs.measure(net, [1.0, 2.0], [0.0, 1.0]), ValueError, r"t must have shape \(1, 1\)"),
        (
            lambda net: costs.measure(net, [1.0, 2.0], 0, methods=["magic"]),
            ValueError,
            r"methods\[0\] must be one",
        ),
        (lambda net: costs.measure(net, [1.0, 2.0], 0, most=-1), ValueError, "most must be a finite number ≥ 0"),
        (lambda net: costs.multiplications([2, 2], "magic"), ValueError, "method must be one of finite differences, "),
        (lambda net: costs.multiplications([2], "forward mode"), ValueError, "sizes must have at least two entries"),
        (lambda net: costs.growth("girth"), ValueError, "by must be one of width, depth"),
        (lambda net: costs.growth(largest=1.5), TypeError, "largest must be an integer"),
        (lambda net: costs.table([], "money"), ValueError, "what must be one of multiplications, seconds"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(fastprop.Network([2, 1]))


def test_the_plot_has_every_point(tmp_path):
    pytest.importorskip("matplotlib")
    wide, deep = costs.growth("width", largest=4), costs.growth("depth", largest=4, most=2000)
    figure = costs.plot(wide, deep)
    figure.savefig(tmp_path / "costs.png")
    assert len(figure.axes) == 4
    for axes, found in zip(figure.axes, (wide, deep, wide, deep), strict=True):
        assert [line.get_label() for line in axes.lines] == list(costs.METHODS)
        for line in axes.lines:
            assert len(line.get_xdata()) == sum(cost.method == line.get_label() for cost in found)
    drawn = {axes: axes.lines[1].get_ydata() for axes in figure.axes}
    assert list(drawn[figure.axes[1]]) == [cost.multiplications for cost in deep if cost.method == "chain by chain"]
    assert np.isnan(drawn[figure.axes[3]][-1])  # not run: a gap


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"the plot needs matplotlib: pip install 'fastprop-numba\[plot\]'"):
        costs.plot([], [])
