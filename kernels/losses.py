"""Losses: C beside ∂C/∂a, each formula once, and the output error signal δ^(L).

An observation counts with its row weight r: 1/n in a batch of n, or w/Σw with sample weights; so that C is the sum
of r · loss and δ carries every averaging factor.
"""

import math

from .activations import SIGMOID, SOFTMAX, multiply_by_slope
from .jit import njit
from .layers import ACTIVATION, DELTA, ROW_WEIGHT, STRIDE, TARGET, WIDTH, A, Z
from .simd import (
    absolute,
    by_dtype,
    first_lanes,
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

_TINY32, _TINY64 = 2.0**-126, 2.0**-1022  # the smallest normal numbers

# What one output adds to the loss of its observation, before any mean over the outputs, beside its derivative with
# respect to a. A logarithm's argument is clipped at the smallest normal number; there its derivative is 0.


@njit(inline=True)
def _clip(a):
    return maximum(by_dtype(a, _TINY32, _TINY64), a)


@njit(inline=True)
def _ratio(t, a):
    """t / a, the derivative of t log a; 0 where a was clipped."""
    return select(a > by_dtype(a, _TINY32, _TINY64), t / a, 0.0)


@njit(inline=True)
def _half_square(t, a, z, p):
    return (t - a) * (t - a) * 0.5


@njit(inline=True)
def _half_square_slope(t, a, p):
    return a - t


@njit(inline=True)
def _square(t, a, z, p):
    return (t - a) * (t - a)


@njit(inline=True)
def _square_slope(t, a, p):
    return (a - t) * 2.0


@njit(inline=True)
def _absolute(t, a, z, p):
    return absolute(t - a)


@njit(inline=True)
def _absolute_slope(t, a, p):
    return select(a > t, splat(a, 1.0), select(a < t, splat(a, -1.0), 0.0))


@njit(inline=True)
def _huber(t, a, z, p):
    e = absolute(t - a)
    return select(e <= p, e * e * 0.5, (e - 0.5 * p) * p)


@njit(inline=True)
def _huber_slope(t, a, p):
    return minimum(p, maximum(-p, a - t))


@njit(inline=True)
def _binary(t, a, z, p):
    return -t * log(_clip(a)) - (1.0 - t) * log(_clip(1.0 - a))


@njit(inline=True)
def _binary_slope(t, a, p):
    return _ratio(1.0 - t, 1.0 - a) - _ratio(t, a)


@njit(inline=True)
def _binary_of_sigmoid(t, a, z, p):
    """−t log a − (1−t) log(1−a) with a = sigmoid(z): nothing is clipped."""
    return softplus(z) - t * z


@njit(inline=True)
def _difference(t, a, p):
    """∂C/∂z itself, of cross entropies in z."""
    return a - t


@njit(inline=True)
def _cross(t, a, z, p):
    return select(t > 0.0, -t * log(_clip(a)), 0.0)


@njit(inline=True)
def _cross_slope(t, a, p):
    return -_ratio(t, a)


@njit(inline=True)
def _poisson(t, a, z, p):
    return a - t * log(_clip(a))


@njit(inline=True)
def _poisson_slope(t, a, p):
    return 1.0 - _ratio(t, a)


def _sum(loss, slope):
    @njit
    def over_outputs(units, z, a, t, delta, r, stride, rows, columns, factor, parameter):
        """Return Σ r · factor · loss, and overwrite δ by r · factor · slope, 0 in the padding."""
        p = splat(units, parameter)
        cost = 0.0
        for i in range(rows):
            weight = splat(units, units[r + i] * factor)
            total = splat(units, 0.0)
            for k in range(0, columns, lanes(units)):
                at = i * stride + k
                inside = first_lanes(units, columns - k)
                t_k, a_k = load(units, t + at), load(units, a + at)
                total += select(inside, loss(t_k, a_k, load(units, z + at), p), 0.0)
                store(units, delta + at, select(inside, slope(t_k, a_k, p) * weight, 0.0))
            cost += sum_lanes(total * weight)
        return cost

    return over_outputs


_sum_half_square = _sum(_half_square, _half_square_slope)
_sum_square = _sum(_square, _square_slope)
_sum_absolute = _sum(_absolute, _absolute_slope)
_sum_huber = _sum(_huber, _huber_slope)
_sum_binary = _sum(_binary, _binary_slope)
_sum_binary_of_sigmoid = _sum(_binary_of_sigmoid, _difference)
_sum_cross = _sum(_cross, _cross_slope)
_sum_poisson = _sum(_poisson, _poisson_slope)


@njit
def _cross_entropy_of_softmax(units, z, a, t, delta, r, stride, rows, columns):
    """−Σ t log a = Σ t (log Σ exp(z − max z) − (z − max z)), and δ = r (a − t): nothing overflows.

    The largest a is 1 / Σ exp(z − max z).
    """
    cost = 0.0
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
        cost += sum_lanes(total * weight)
    return cost


@njit(inline=False)
def output_error(layers, loss, parameter, slope_parameter, units, rows):
    """Overwrite δ^(L) from t and z^(L), a^(L); return C."""
    last = len(layers) - 1
    z, a, t, delta = layers[last, Z], layers[last, A], layers[last, TARGET], layers[last, DELTA]
    r, stride, columns = layers[last, ROW_WEIGHT], layers[last, STRIDE], layers[last, WIDTH]
    activation = layers[last, ACTIVATION]
    mean = 1.0 / columns
    if loss == CROSS_ENTROPY and activation == SOFTMAX:
        return _cross_entropy_of_softmax(units, z, a, t, delta, r, stride, rows, columns)
    if loss == BINARY_CROSS_ENTROPY and activation == SIGMOID:
        return _sum_binary_of_sigmoid(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    if loss == SQUARED_ERROR:
        cost = _sum_half_square(units, z, a, t, delta, r, stride, rows, columns, 1.0, parameter)
    elif loss == MSE:
        cost = _sum_square(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    elif loss == MAE:
        cost = _sum_absolute(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    elif loss == HUBER:
        cost = _sum_huber(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    elif loss == BINARY_CROSS_ENTROPY:
        cost = _sum_binary(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    elif loss == CROSS_ENTROPY:
        cost = _sum_cross(units, z, a, t, delta, r, stride, rows, columns, 1.0, parameter)
    else:
        cost = _sum_poisson(units, z, a, t, delta, r, stride, rows, columns, mean, parameter)
    multiply_by_slope(activation, slope_parameter, units, z, a, delta, stride, rows, columns)
    return cost
