"""Gradient checks: right gradients pass in both dtypes and at kinks, and each kind of wrong one is found and named."""

import numpy as np
import pytest

import fastprop

from .cases import HIDDEN, LOSSES, OUTPUTS, make_case


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_right_gradients_pass(loss, dtype):
    for i, hidden in enumerate(HIDDEN):
        output = [*OUTPUTS][i % len(OUTPUTS)]
        case = make_case([3, 4, 2], hidden, output, loss, rows=6, dtype=dtype, seed=i)
        check = case.network.gradcheck(case.X, case.y, [1, 2, 0, 1, 0.5, 3] if i % 2 else None)
        assert check.passed, f"{hidden}, {output}: {check}"
        assert len(check.entries) == check.num_parameters == 26


def spoil(monkeypatch, net, change):
    """Have the network's backward pass compute wrong gradients."""
    right = net.backward

    def wrong(*arguments):
        loss = right(*arguments)
        change(net)
        return loss

    monkeypatch.setattr(net, "backward", wrong)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_wrong_entry_is_named(monkeypatch, dtype, rng):
    net = fastprop.Network([3, 5, 2], "relu", "softmax", dtype=dtype, seed=3)
    X, y = rng.standard_normal((8, 3)), rng.integers(0, 2, 8)
    spoil(
        monkeypatch, net, lambda net: net.weight_gradients[0].__setitem__((2, 1), net.weight_gradients[0][2, 1] + 0.01)
    )
    check = net.gradcheck(X, y)
    assert not check.passed
    assert check.entries[0].parameter == ("W", 1, (2, 1))
    assert abs(check.entries[0].analytic - check.entries[0].numeric - 0.01) < 1e-5
    assert sum(entry.error > check.tolerance for entry in check.entries) == 1
    assert str(check).startswith("FAILED: all 32 parameters compared")
    assert "W^(1)[2,1]" in str(check).splitlines()[2]


@pytest.mark.parametrize("hidden", ["tanh", "relu"])
@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.bias_gradients[1].__imul__(-1),
        lambda net: net.weight_gradients[0].__imul__(1.001),
        lambda net: net.weight_gradients[1].fill(0),
        lambda net: net.bias_gradients[0].fill(np.nan),
    ],
    ids=["sign", "a thousandth", "zero", "nan"],
)
def test_wrong_gradients_fail(monkeypatch, hidden, change, rng):
    for dtype in ("float32", "float64"):
        net = fastprop.Network([3, 5, 1], hidden, dtype=dtype, seed=0)
        with monkeypatch.context() as patch:
            spoil(patch, net, change)
            assert not net.gradcheck(rng.standard_normal((8, 3)), rng.standard_normal(8)).passed


def test_kinks():
    """relu at z = 0 exactly, and mae at a = t: the slopes left and right of them are not the same."""
    net = fastprop.Network([2, 3, 1], "relu", loss="mae", dtype="float64", seed=0)
    net.biases[1][0] = 0.25
    X = np.zeros((1, 2))  # all z^(1) are 0, and a^(2) is 0.25
    check = net.gradcheck(X, [1.0])
    assert check.passed
    kinked = {entry.parameter for entry in check.entries if entry.kink}
    assert kinked == {("b", 1, (k,)) for k in range(3)}
    assert "3 at a kink of the loss" in str(check)
    assert net.gradcheck(X, [0.25]).passed

    steep = fastprop.Network([1, 1, 1], "relu", dtype="float64", init="zeros", seed=0)
    steep.set_parameters([1.0, 1e-7, 1.0, 0.0])  # z^(1) = 1e-7: the kink is within the first step
    check = steep.gradcheck([[0.0]], [1.0])
    assert check.passed
    assert not any(entry.kink for entry in check.entries)


def test_wrong_gradient_at_a_kink_fails(monkeypatch):
    net = fastprop.Network([1, 1, 1], "relu", dtype="float64", init="zeros", seed=0)
    net.weights[1][...] = 1.0  # z^(1) = 0, and the slopes with respect to b^(1) are 0 and −1
    assert net.gradcheck([[0.0]], [1.0]).passed
    for wrong in (0.5, -1.5):
        with monkeypatch.context() as patch:
            spoil(patch, net, lambda net, wrong=wrong: net.bias_gradients[0].fill(wrong))
            check = net.gradcheck([[0.0]], [1.0])
            assert not check.passed
            assert check.entries[0].parameter == ("b", 1, (0,))


def test_sharp_bends_need_smaller_steps():
    net = fastprop.Network([1, 1], "identity", "tanh", dtype="float64", init="zeros", seed=0)
    assert net.gradcheck([[1e4]], [0.5]).passed


def test_large_networks_are_sampled(monkeypatch, rng):
    net = fastprop.Network([40, 60, 60, 3], seed=0)
    X, y = rng.standard_normal((4, 40)), rng.standard_normal((4, 3))
    check = net.gradcheck(X, y, entries=120)
    places = [entry.parameter for entry in check.entries]
    assert check.passed
    assert len(places) == len(set(places)) == 5 * 20 + 3
    assert {place[:2] for place in places} == {(name, m) for name in "Wb" for m in (1, 2, 3)}
    assert [entry.parameter for entry in net.gradcheck(X, y, entries=120).entries] == places
    assert {entry.parameter for entry in net.gradcheck(X, y, entries=120, seed=1).entries} != set(places)
    assert "103 of 6,303 parameters compared" in str(check)


def test_network_is_as_it_was(rng):
    net = fastprop.Network([3, 4, 1], "silu", seed=0)
    before, X, y = net.get_parameters(), rng.standard_normal((4, 3)), rng.standard_normal(4)
    net.gradcheck(X, y)
    np.testing.assert_array_equal(net.get_parameters(), before)


def test_functions_of_ones_own(rng):
    cube = fastprop.Activation("cube", lambda z: z**3 + z, lambda z: 3 * z**2 + 1)
    for dtype in ("float32", "float64"):
        net = fastprop.Network([2, 3, 1], cube, dtype=dtype, seed=0)
        assert net.gradcheck(rng.standard_normal((5, 2)), rng.standard_normal(5)).passed


def test_refusals():
    net = fastprop.Network([2, 1], seed=0)
    with pytest.raises(ValueError, match=r"X must have shape \(n, 2\)"):
        net.gradcheck([[1.0]], [1.0])
    with pytest.raises(ValueError, match="entries must be an integer ≥ 1, got 0"):
        net.gradcheck([[1.0, 2.0]], [1.0], entries=0)
    with pytest.raises(ValueError, match="y must be finite"):
        net.gradcheck([[1.0, 2.0]], [np.nan])
