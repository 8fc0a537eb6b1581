"""Losses: C beside ∂C/∂a, each formula once, and the output error signal δ^(L).

An observation counts with its row weight r: 1/n in a batch of n, or w/Σw with sample weights; so that C is the sum
of r · loss and δ carries every averaging factor.
"""

import math

from .activations import SIGMOID, SOFTMAX, multiply_by_slope
from .jit import njit
from .layers import ACTIVATION, DELTA, ROW_LOSS, ROW_WEIGHT, STRIDE, TARGET, WIDTH, A, Z
from .simd import (
    absolute,
    by_dtype,
    call_block,
    first_lanes,
    fma,
    lanes,
    load,
    max_lanes,
    maximum,
    minimum,
    select,
    splat,
    store,
    sum_lanes,
)
from .vecmath import log, softplus

SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, CROSS_ENTROPY, POISSON = range(7)
BINARY_OF_SIGMOID = 7  # binary_cross_entropy computed from z, so that nothing is clipped
CUSTOM = 8  # from here on a code is the address of a block: see ``custom.py``

_TINY32, _TINY64 = 2.0**-126, 2.0**-1022  # the smallest normal numbers

# For each loss: what one output adds to the loss of its observation, before any mean over the outputs, beside its
# derivative with respect to a. A logarithm's argument is clipped at the smallest normal number, and its derivative is 0
# where it was.


@njit(inline=True)
def _log_and_ratio(t, a):
    """t log a beside its derivative t / a."""
    tiny = by_dtype(a, _TINY32, _TINY64)
    return t * log(maximum(tiny, a)), select(a > tiny, t / a, 0.0)


@njit(inline=True)
def _huber(t, a, p):
    e = absolute(t - a)
    return select(e <= p, e * e * 0.5, (e - p * 0.5) * p), minimum(p, maximum(-p, a - t))


@njit(inline=True)
def _binary_cross_entropy(t, a):
    one, one_slope = _log_and_ratio(t, a)
    zero, zero_slope = _log_and_ratio(1.0 - t, 1.0 - a)
    return -one - zero, zero_slope - one_slope


@njit(inline=True)
def _cross_entropy(t, a):
    gain, slope = _log_and_ratio(t, a)
    return select(t > 0.0, -gain, 0.0), -slope


@njit(inline=True)
def _poisson(t, a):
    gain, slope = _log_and_ratio(t, a)
    return a - gain, 1.0 - slope


@njit(inline=True)
def _loss_and_slope(code, t, a, z, p):
    """The pair of formulas of a loss; for BINARY_OF_SIGMOID in z: −t log a − (1−t) log(1−a) and ∂C/∂z = a − t."""
    e = a - t
    if code == MSE:
        return e * e, e * 2.0
    if code == MAE:
        return absolute(e), select(e > 0.0, splat(e, 1.0), select(e < 0.0, splat(e, -1.0), 0.0))
    if code == HUBER:
        return _huber(t, a, p)
    if code == BINARY_CROSS_ENTROPY:
        return _binary_cross_entropy(t, a)
    if code == BINARY_OF_SIGMOID:
        return softplus(z) - t * z, e
    if code == CROSS_ENTROPY:
        return _cross_entropy(t, a)
    if code == POISSON:
        return _poisson(t, a)
    return e * e * 0.5, e


@njit
def _sum_over_outputs(code, parameter, factor, units, z, a, t, delta, r, c, stride, rows, columns):
    """Overwrite c by r · factor · Σ loss of each row, and δ by r · factor · slope, 0 in the padding."""
    p = splat(units, parameter)
    for i in range(rows):
        weight = splat(units, units[r + i] * factor)
        total = splat(units, 0.0)
        for k in range(0, columns, lanes(units)):
            at = i * stride + k
            inside = first_lanes(units, columns - k)
            loss, slope = _loss_and_slope(code, load(units, t + at), load(units, a + at), load(units, z + at), p)
            total += select(inside, loss, 0.0)
            store(units, delta + at, select(inside, slope * weight, 0.0))
        units[c + i] = sum_lanes(total * weight)


@njit
def _cross_entropy_of_softmax(units, z, a, t, delta, r, c, stride, rows, columns):
    """−Σ t log a = Σ t (log Σ exp(z − max z) − (z − max z)), and δ = r (a − t): nothing overflows.

    The largest a is 1 / Σ exp(z − max z).
    """
    for i in range(rows):
        z_i, a_i, t_i, d_i = z + i * stride, a + i * stride, t + i * stride, delta + i * stride
        weight = splat(units, units[r + i])
        top_z, top_a = splat(units, -math.inf), splat(units, 0.0)
        for k in range(0, columns, lanes(units)):
            top_z = maximum(top_z, select(first_lanes(units, columns - k), load(units, z_i + k), -math.inf))
            top_a = maximum(top_a, load(units, a_i + k))
        shift = max_lanes(top_z) - log(splat(units, max_lanes(top_a)))
        total = splat(units, 0.0)
        for k in range(0, columns, lanes(units)):
            t_k = load(units, t_i + k)
            total += select(t_k > 0.0, t_k * (shift - load(units, z_i + k)), 0.0)
            store(units, d_i + k, (load(units, a_i + k) - t_k) * weight)
        units[c + i] = sum_lanes(total * weight)


@njit(inline=False)
def smooth_targets(smoothing, units, t, stride, rows, columns):
    """t ← (1 − ε) t + ε / D^(L), in place."""
    kept, share = splat(units, 1.0 - smoothing), splat(units, smoothing / columns)
    for i in range(rows):
        for k in range(0, columns, lanes(units)):
            at = t + i * stride + k
            store(units, at, select(first_lanes(units, columns - k), fma(kept, load(units, at), share), 0.0))


@njit(apart=True)
def output_error(layers, loss, parameter, slope_parameter, units, rows):
    """Overwrite δ^(L) from t and z^(L), a^(L), and write down what each observation adds to C."""
    last = len(layers) - 1
    z, a, t, delta = layers[last, Z], layers[last, A], layers[last, TARGET], layers[last, DELTA]
    r, c, stride, columns = layers[last, ROW_WEIGHT], layers[last, ROW_LOSS], layers[last, STRIDE], layers[last, WIDTH]
    activation = layers[last, ACTIVATION]
    factor = 1.0 / columns if loss != SQUARED_ERROR and loss != CROSS_ENTROPY else 1.0
    if loss == CROSS_ENTROPY and parameter > 0:
        smooth_targets(parameter, units, t, stride, rows, columns)
    if loss == CROSS_ENTROPY and activation == SOFTMAX:
        _cross_entropy_of_softmax(units, z, a, t, delta, r, c, stride, rows, columns)
        return
    shortcut = loss == BINARY_CROSS_ENTROPY and activation == SIGMOID
    code = BINARY_OF_SIGMOID if shortcut else loss
    if code >= CUSTOM:
        call_block(code, units, (t, a, delta, r, c, stride, rows, columns), factor)
    else:
        _sum_over_outputs(code, parameter, factor, units, z, a, t, delta, r, c, stride, rows, columns)
    if not shortcut:
        multiply_by_slope(activation, slope_parameter, units, z, a, delta, stride, rows, columns)


@njit
def total_loss(layers, units, rows, cost):
    """C of these rows and of those before them, ``cost``: summed in the order of the rows, whoever computed them."""
    c = layers[len(layers) - 1, ROW_LOSS]
    for i in range(rows):
        cost += units[c + i]
    return cost
