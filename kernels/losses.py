"""Losses: C beside ∂C/∂a, each formula once, and the output error signal δ^(L).

An observation counts with its row weight r: 1/n in a batch of n, or w/Σw with sample weights; so that C is the sum
of r · loss and δ carries every averaging factor.
"""

import math

from .activations import SIGMOID, SOFTMAX, multiply_by_slope, softplus
from .jit import njit
from .layers import A, ACTIVATION, DELTA, ROW_WEIGHT, STRIDE, TARGET, WIDTH, Z

SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, CROSS_ENTROPY, POISSON = range(7)


@njit
def _loss(code, parameter, tiny, t, a):
    """What one output adds to the loss of its observation, before any mean over the outputs."""
    if code == SQUARED_ERROR:
        return 0.5 * (t - a) * (t - a)
    if code == MSE:
        return (t - a) * (t - a)
    if code == MAE:
        return abs(t - a)
    if code == HUBER:
        e = abs(t - a)
        return 0.5 * e * e if e <= parameter else parameter * (e - 0.5 * parameter)
    if code == BINARY_CROSS_ENTROPY:
        return -t * math.log(max(a, tiny)) - (1.0 - t) * math.log(max(1.0 - a, tiny))
    if code == CROSS_ENTROPY:
        return -t * math.log(max(a, tiny)) if t > 0 else 0.0 * a
    return a - t * math.log(max(a, tiny))


@njit
def _loss_slope(code, parameter, tiny, t, a):
    """The derivative of ``_loss`` with respect to a; 0 where a logarithm's argument was clipped at ``tiny``."""
    if code == SQUARED_ERROR:
        return a - t
    if code == MSE:
        return 2.0 * (a - t)
    if code == MAE:
        return 1.0 if a > t else (-1.0 if a < t else 0.0)
    if code == HUBER:
        return min(max(a - t, -parameter), parameter)
    if code == BINARY_CROSS_ENTROPY:
        return (-t / a if a > tiny else 0.0) + ((1.0 - t) / (1.0 - a) if 1.0 - a > tiny else 0.0)
    if code == CROSS_ENTROPY:
        return -t / a if a > tiny else 0.0
    return 1.0 - (t / a if a > tiny else 0.0)


@njit
def _mean_factor(code, width):
    """1/D^(L) for the losses that are a mean over the outputs, 1 for those that are a sum."""
    return 1.0 if code == SQUARED_ERROR or code == CROSS_ENTROPY else 1.0 / width


@njit
def output_error(layers, loss, loss_parameter, slope_parameter, tiny, units, rows):
    """Overwrite δ^(L) from t and z^(L), a^(L); return C."""
    last = len(layers) - 1
    z, a, t, delta = layers[last, Z], layers[last, A], layers[last, TARGET], layers[last, DELTA]
    r, stride, width = layers[last, ROW_WEIGHT], layers[last, STRIDE], layers[last, WIDTH]
    activation = layers[last, ACTIVATION]
    factor = _mean_factor(loss, width)
    cost = 0.0
    if loss == CROSS_ENTROPY and activation == SOFTMAX:
        # −Σ t log a = Σ t (log Σ exp z − z), and δ = a Σt − t: nothing overflows.
        for i in range(rows):
            row, weight = i * stride, units[r + i]
            largest = units[z + row]
            for k in range(width):
                largest = max(largest, units[z + row + k])
            total = 0.0
            for k in range(width):
                total += math.exp(units[z + row + k] - largest)
            log_total = math.log(total)
            loss_of_row = 0.0
            for k in range(width):
                if units[t + row + k] > 0:
                    loss_of_row += units[t + row + k] * (log_total - (units[z + row + k] - largest))
                units[delta + row + k] = weight * (units[a + row + k] - units[t + row + k])
            for k in range(width, stride):
                units[delta + row + k] = 0
            cost += weight * loss_of_row
        return cost
    if loss == BINARY_CROSS_ENTROPY and activation == SIGMOID:
        # −t log a − (1−t) log(1−a) = softplus(z) − t z.
        for i in range(rows):
            row, weight = i * stride, units[r + i] * factor
            loss_of_row = 0.0
            for k in range(width):
                loss_of_row += softplus(units[z + row + k]) - units[t + row + k] * units[z + row + k]
                units[delta + row + k] = weight * (units[a + row + k] - units[t + row + k])
            for k in range(width, stride):
                units[delta + row + k] = 0
            cost += weight * loss_of_row
        return cost
    for i in range(rows):
        row, weight = i * stride, units[r + i] * factor
        loss_of_row = 0.0
        for k in range(width):
            t_k, a_k = units[t + row + k], units[a + row + k]
            loss_of_row += _loss(loss, loss_parameter, tiny, t_k, a_k)
            units[delta + row + k] = weight * _loss_slope(loss, loss_parameter, tiny, t_k, a_k)
        for k in range(width, stride):
            units[delta + row + k] = 0
        cost += weight * loss_of_row
    multiply_by_slope(layers, last, slope_parameter, units, rows)
    return cost
