"""Activations: σ beside σ′, each formula once, applied to a block of a layer at a time.

A block has ``rows`` observations and ``columns`` neurons; its first z, a and δ stand at ``z``, ``a`` and ``delta`` in
``units``, ``stride`` elements from row to row. The last vector of a row may reach into the padding: a of the padding is
of no consequence, and δ there is 0 before and after.
"""

import math

import numpy as np

from .jit import njit
from .simd import call_block, first_lanes, fma, lanes, load, max_lanes, maximum, select, splat, store, sum_lanes
from .vecmath import exp, expm1, gelu, gelu_and_slope, sigmoid, silu, silu_and_slope, softplus, tanh

IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU, SOFTMAX, CUSTOM = range(11)
#: From here on a code is the address of a block (see ``custom.py``), which takes this for δ where it is to map.
_MAP = np.int64(-1)

# σ(z) beside σ′(z), which may use a = σ(z); p is the activation's parameter.


@njit(inline=True)
def _sigmoid(z, p):
    return sigmoid(z)


@njit(inline=True)
def _sigmoid_slope(z, a, p):
    return a * (1.0 - a)


@njit(inline=True)
def _tanh(z, p):
    return tanh(z)


@njit(inline=True)
def _tanh_slope(z, a, p):
    return fma(-a, a, 1.0)


@njit(inline=True)
def _relu(z, p):
    return maximum(0.0, z)


@njit(inline=True)
def _relu_slope(z, a, p):
    return select(z > 0.0, splat(z, 1.0), 0.0)


@njit(inline=True)
def _leaky_relu(z, p):
    return select(z > 0.0, z, z * p)


@njit(inline=True)
def _leaky_relu_slope(z, a, p):
    return select(z > 0.0, splat(z, 1.0), p)


@njit(inline=True)
def _elu(z, p):
    return select(z > 0.0, z, expm1(z) * p)


@njit(inline=True)
def _elu_slope(z, a, p):
    return select(z > 0.0, splat(z, 1.0), a + p)


@njit(inline=True)
def _softplus(z, p):
    return softplus(z)


@njit(inline=True)
def _softplus_slope(z, a, p):
    return sigmoid(z)


@njit(inline=True)
def _silu(z, p):
    return silu(z)


@njit(inline=True)
def _silu_slope(z, a, p):
    return silu_and_slope(z)[1]


@njit(inline=True)
def _gelu(z, p):
    return gelu(z)


@njit(inline=True)
def _gelu_slope(z, a, p):
    return gelu_and_slope(z)[1]


def _map(value):
    @njit
    def block(p, units, z, a, stride, rows, columns):
        """a = σ(z), overwriting."""
        for i in range(rows):
            for j in range(i * stride, i * stride + columns, lanes(units)):
                store(units, a + j, value(load(units, z + j), p))

    return block


def _multiply(slope):
    @njit
    def block(p, units, z, a, delta, stride, rows, columns):
        """δ ← δ ⊙ σ′(z), in place."""
        for i in range(rows):
            for j in range(i * stride, i * stride + columns, lanes(units)):
                store(units, delta + j, load(units, delta + j) * slope(load(units, z + j), load(units, a + j), p))

    return block


_map_sigmoid, _multiply_sigmoid = _map(_sigmoid), _multiply(_sigmoid_slope)
_map_tanh, _multiply_tanh = _map(_tanh), _multiply(_tanh_slope)
_map_relu, _multiply_relu = _map(_relu), _multiply(_relu_slope)
_map_leaky_relu, _multiply_leaky_relu = _map(_leaky_relu), _multiply(_leaky_relu_slope)
_map_elu, _multiply_elu = _map(_elu), _multiply(_elu_slope)
_map_softplus, _multiply_softplus = _map(_softplus), _multiply(_softplus_slope)
_map_silu, _multiply_silu = _map(_silu), _multiply(_silu_slope)
_map_gelu, _multiply_gelu = _map(_gelu), _multiply(_gelu_slope)


@njit(inline=False)
def _call(code, p, units, z, a, delta, stride, rows, columns):
    """A block of one's own: its arguments would take the registers of those who never call it."""
    call_block(code, units, (z, a, delta, stride, rows, columns), p)


@njit
def activate(code, p, units, z, a, stride, rows, columns):
    """a = σ(z) for a block; softmax takes whole rows, and identity nothing: its z and a are one."""
    if code == RELU:
        _map_relu(p, units, z, a, stride, rows, columns)
    elif code == TANH:
        _map_tanh(p, units, z, a, stride, rows, columns)
    elif code == SIGMOID:
        _map_sigmoid(p, units, z, a, stride, rows, columns)
    elif code == SOFTMAX:
        softmax(units, z, a, stride, rows, columns)
    elif code == LEAKY_RELU:
        _map_leaky_relu(p, units, z, a, stride, rows, columns)
    elif code == ELU:
        _map_elu(p, units, z, a, stride, rows, columns)
    elif code == SOFTPLUS:
        _map_softplus(p, units, z, a, stride, rows, columns)
    elif code == SILU:
        _map_silu(p, units, z, a, stride, rows, columns)
    elif code == GELU:
        _map_gelu(p, units, z, a, stride, rows, columns)
    elif code >= CUSTOM:
        _call(code, p, units, z, a, _MAP, stride, rows, columns)


@njit
def multiply_by_slope(code, p, units, z, a, delta, stride, rows, columns):
    """δ = ∂C/∂a ⊙ σ′(z) for a block, in place of ∂C/∂a; softmax takes whole rows."""
    if code == RELU:
        _multiply_relu(p, units, z, a, delta, stride, rows, columns)
    elif code == TANH:
        _multiply_tanh(p, units, z, a, delta, stride, rows, columns)
    elif code == SIGMOID:
        _multiply_sigmoid(p, units, z, a, delta, stride, rows, columns)
    elif code == SOFTMAX:
        _softmax_jacobian_product(units, a, delta, stride, rows, columns)
    elif code == LEAKY_RELU:
        _multiply_leaky_relu(p, units, z, a, delta, stride, rows, columns)
    elif code == ELU:
        _multiply_elu(p, units, z, a, delta, stride, rows, columns)
    elif code == SOFTPLUS:
        _multiply_softplus(p, units, z, a, delta, stride, rows, columns)
    elif code == SILU:
        _multiply_silu(p, units, z, a, delta, stride, rows, columns)
    elif code == GELU:
        _multiply_gelu(p, units, z, a, delta, stride, rows, columns)
    elif code >= CUSTOM:
        _call(code, p, units, z, a, delta, stride, rows, columns)


@njit
def softmax(units, z, a, stride, rows, columns):
    """a_k = exp(z_k − max z) / Σ_l exp(z_l − max z), each row for itself; the padding becomes 0."""
    for i in range(rows):
        z_i, a_i = z + i * stride, a + i * stride
        peak = splat(units, -math.inf)
        for k in range(0, columns, lanes(units)):
            peak = maximum(peak, select(first_lanes(units, columns - k), load(units, z_i + k), -math.inf))
        largest = max_lanes(peak)
        total = splat(units, 0.0)
        for k in range(0, columns, lanes(units)):
            e = select(first_lanes(units, columns - k), exp(load(units, z_i + k) - largest), 0.0)
            store(units, a_i + k, e)
            total += e
        norm = splat(units, 1.0) / sum_lanes(total)
        for k in range(0, columns, lanes(units)):
            store(units, a_i + k, load(units, a_i + k) * norm)


@njit
def _softmax_jacobian_product(units, a, delta, stride, rows, columns):
    """δ_k = a_k (g_k − Σ_l g_l a_l), with g = ∂C/∂a in place of δ."""
    for i in range(rows):
        a_i, d_i = a + i * stride, delta + i * stride
        total = splat(units, 0.0)
        for k in range(0, columns, lanes(units)):
            total = fma(load(units, d_i + k), load(units, a_i + k), total)
        mean = sum_lanes(total)
        for k in range(0, columns, lanes(units)):
            store(units, d_i + k, load(units, a_i + k) * (load(units, d_i + k) - mean))
