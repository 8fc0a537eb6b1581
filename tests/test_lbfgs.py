"""L-BFGS over a network: where the minimum is known, what the history says, and what is left when it fails."""

import subprocess
import sys

import numpy as np
import pytest

import fastprop
from fastprop import Network, fit_lbfgs


@pytest.fixture
def line(rng):
    """A noisy plane."""
    X = rng.normal(size=(40, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * rng.normal(size=40)


def normal_equations(X, y, decay=0.0, weight=None):
    """The minimum of Σ w ½ (y − Xw − b)² / Σ w + λ/2 ‖w‖², b not penalised."""
    A, share = np.column_stack([X, np.ones(len(X))]), np.ones(len(X)) if weight is None else weight
    share = share / share.sum()
    return np.linalg.solve(A.T * share @ A + decay * np.diag([1.0, 1, 1, 0]), A.T * share @ y)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_plane(line, rng, decay, weighted):
    X, y = line
    weight = rng.uniform(size=40) if weighted else None
    net = Network([3, 1], dtype="float64", seed=0)
    history = fit_lbfgs(net, X, y, sample_weight=weight, weight_decay=decay, tolerance=1e-10)
    np.testing.assert_allclose(net.get_parameters(), normal_equations(X, y, decay, weight), rtol=1e-7)
    assert history.loss[-1] == pytest.approx(net.evaluate(X, y, weight), rel=1e-12)
    assert len(history.seconds) == len(history)


def test_float32(line):
    X, y = line
    net = Network([3, 1], seed=0)
    fit_lbfgs(net, X, y)
    np.testing.assert_allclose(net.get_parameters(), normal_equations(X, y), atol=1e-3)


def test_it_classifies(rng):
    X = rng.normal(size=(150, 2))
    labels = (np.hypot(*X.T) > 1).astype(int)
    net = Network([2, 12, 2], "tanh", "softmax", dtype="float64", seed=0)
    history = fit_lbfgs(net, X, labels, weight_decay=1e-4)
    assert history.loss[0] > history.loss[-1]
    assert (net.predict(X).argmax(axis=1) == labels).mean() > 0.98


def test_no_more_iterations_than_asked_for(line):
    net = Network([3, 4, 1], "tanh", dtype="float64", seed=0)
    before = net.get_parameters()
    assert len(fit_lbfgs(net, *line, iterations=0)) <= 1
    net.set_parameters(before)
    assert len(fit_lbfgs(net, *line, iterations=5)) == 5


BAD = [
    ({"iterations": -1}, ValueError, "iterations"),
    ({"iterations": 1.5}, TypeError, "iterations"),
    ({"tolerance": -1}, ValueError, "tolerance"),
    ({"weight_decay": np.nan}, ValueError, "weight_decay"),
    ({"X": np.ones((40, 2))}, ValueError, "X"),
    ({"X": np.full((40, 3), np.nan)}, ValueError, "X"),
    ({"y": np.ones(39)}, ValueError, "y"),
    ({"sample_weight": -np.ones(40)}, ValueError, "sample_weight"),
]


@pytest.mark.parametrize(("bad", "error", "name"), BAD, ids=[str(list(bad)) for bad, *_ in BAD])
def test_bad_input(line, bad, error, name):
    net = Network([3, 1], seed=0)
    before = net.get_parameters()
    with pytest.raises(error, match=rf"^{name} must"):
        fit_lbfgs(net, **{"X": line[0], "y": line[1], **bad})
    np.testing.assert_array_equal(net.get_parameters(), before)


def test_a_loss_that_overflows(line):
    X, y = line
    net = Network([3, 1], dtype="float64", seed=0)
    before = net.get_parameters()
    with pytest.raises(fastprop.DivergenceError, match="after iteration 0"):
        fit_lbfgs(net, X * 1e200, y)
    np.testing.assert_array_equal(net.get_parameters(), before)


def test_without_scipy():
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "import fastprop\n"
        "try:\n    fastprop.fit_lbfgs(fastprop.Network([1, 1]), [[1.0]], [1.0])\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "fit_lbfgs needs SciPy: pip install 'fastprop-numba[scipy]'\n"
