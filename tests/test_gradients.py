"""Gradients against central differences of the loss, through `Network` in float64, away from every kink."""

import numpy as np
import pytest

from .cases import HIDDEN, LOG_LOSSES, LOSSES, OUTPUTS, smooth_case

STEP = 1e-5  # the truncation, O(h²), and the rounding, O(eps/h), are both near 1e-11


def numeric_gradient(net, loss_of) -> np.ndarray:
    """(C(θ + h e_i) − C(θ − h e_i)) / 2h for each parameter θ_i."""
    theta = net.get_parameters()
    gradient = np.empty_like(theta)
    for i, value in enumerate(theta):
        sides = []
        for h in (STEP, -STEP):
            theta[i] = value + h
            net.set_parameters(theta)
            sides.append(loss_of())
        theta[i] = value
        gradient[i] = (sides[0] - sides[1]) / (2 * STEP)
    net.set_parameters(theta)
    return gradient


def check(sizes, hidden, output, loss, rows, sample_weight=None):
    case = smooth_case(sizes, hidden, output, loss, rows=rows)
    net = case.network
    net.forward(case.X)
    C = net.backward(case.y, sample_weight)
    analytic = net.get_gradient()
    numeric = numeric_gradient(net, lambda: net.evaluate(case.X, case.y, sample_weight))
    np.testing.assert_allclose(C, net.evaluate(case.X, case.y, sample_weight), rtol=1e-12)
    error = np.linalg.norm(analytic - numeric) / np.linalg.norm(numeric)
    assert error < 1e-7, f"{sizes}, {rows} rows: {error:.2g}"


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_output_and_loss(output, loss):
    for width in (1, 3):
        if output == "softmax" and width == 1:
            continue
        for rows in (1, 7, 33):
            check([3, 4, width], "tanh", output, loss, rows)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_and_loss(hidden, loss):
    output = "sigmoid" if loss in LOG_LOSSES else "identity"
    for n_layers in range(2, 7):
        check([3] * n_layers + [2], hidden, output, loss, 5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_one_layer(output):
    for loss in LOSSES:
        check([4, 2], "identity", output, loss, 5)


@pytest.mark.parametrize("loss", LOSSES)
def test_sample_weights(loss):
    check([3, 4, 2], "gelu", "sigmoid", loss, 5, [0.5, 2.0, 0.0, 1.0, 3.0])


def test_backward_from():
    """C = Σ c ⊙ a³ for a fixed c: a loss of the user's own."""
    case = smooth_case([3, 5, 2], "silu", "softmax", "squared_error", rows=6)
    net, c = case.network, case.y
    net.backward_from(3 * c * net.forward(case.X) ** 2)
    numeric = numeric_gradient(net, lambda: float((c * net.predict(case.X) ** 3).sum()))
    assert np.linalg.norm(net.get_gradient() - numeric) < 1e-7 * np.linalg.norm(numeric)
