"""Activations: σ beside σ′, each formula once, applied to a whole layer at a time.

``activate`` and ``multiply_by_slope`` choose the formula outside their loops.
"""

import math

from .jit import njit
from .layers import A, ACTIVATION, DELTA, STRIDE, WIDTH, Z

IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU, SOFTMAX = range(10)

_GELU_C = math.sqrt(2 / math.pi)
_GELU_D = 0.044715


@njit
def sigmoid(z):
    e = math.exp(-abs(z))
    return (1.0 if z >= 0 else e) / (1.0 + e)


@njit
def softplus(z):
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


@njit
def _value(code, parameter, z):
    """σ(z)."""
    if code == SIGMOID:
        return sigmoid(z)
    if code == TANH:
        return math.tanh(z)
    if code == RELU:
        return z if z > 0 else z * 0
    if code == LEAKY_RELU:
        return z if z > 0 else parameter * z
    if code == ELU:
        return z if z > 0 else parameter * math.expm1(z)
    if code == SOFTPLUS:
        return softplus(z)
    if code == SILU:
        return z * sigmoid(z)
    if code == GELU:
        return 0.5 * z * (1.0 + math.tanh(_GELU_C * (z + _GELU_D * z * z * z)))
    return z


@njit
def _slope(code, parameter, z, a):
    """σ′(z), from z and a = σ(z)."""
    if code == SIGMOID:
        return a * (1.0 - a)
    if code == TANH:
        return 1.0 - a * a
    if code == RELU:
        return 1.0 if z > 0 else 0.0
    if code == LEAKY_RELU:
        return 1.0 if z > 0 else parameter
    if code == ELU:
        return 1.0 if z > 0 else a + parameter
    if code == SOFTPLUS:
        return sigmoid(z)
    if code == SILU:
        s = sigmoid(z)
        return s * (1.0 + z * (1.0 - s))
    if code == GELU:
        t = math.tanh(_GELU_C * (z + _GELU_D * z * z * z))
        return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * _GELU_C * (1.0 + 3.0 * _GELU_D * z * z)
    return 1.0


@njit
def activate(layers, m, parameter, units, rows):
    """a^(m) = σ^(m)(z^(m)); softmax over each row."""
    z, a, stride, code = layers[m, Z], layers[m, A], layers[m, STRIDE], layers[m, ACTIVATION]
    if code == SOFTMAX:
        _softmax(layers, m, units, rows)
        return
    for i in range(rows * stride):
        units[a + i] = _value(code, parameter, units[z + i])


@njit
def multiply_by_slope(layers, m, parameter, units, rows):
    """δ^(m) = ∂C/∂a^(m) ⊙ σ^(m)′(z^(m)), in place; for softmax the Jacobian-vector product of each row."""
    z, a, delta, stride = layers[m, Z], layers[m, A], layers[m, DELTA], layers[m, STRIDE]
    code = layers[m, ACTIVATION]
    if code == SOFTMAX:
        _softmax_jacobian_product(layers, m, units, rows)
        return
    for i in range(rows * stride):
        units[delta + i] *= _slope(code, parameter, units[z + i], units[a + i])


@njit
def _softmax(layers, m, units, rows):
    """a_k = exp(z_k − max z) / Σ_l exp(z_l − max z); the padding becomes 0."""
    z, a, stride, width = layers[m, Z], layers[m, A], layers[m, STRIDE], layers[m, WIDTH]
    for i in range(rows):
        zi, ai = z + i * stride, a + i * stride
        largest = units[zi]
        for k in range(width):
            largest = max(largest, units[zi + k])
        total = 0.0
        for k in range(width):
            units[ai + k] = math.exp(units[zi + k] - largest)
            total += units[ai + k]
        for k in range(width):
            units[ai + k] /= total
        for k in range(width, stride):
            units[ai + k] = 0


@njit
def _softmax_jacobian_product(layers, m, units, rows):
    """δ_k = a_k (g_k − Σ_l g_l a_l), with g = ∂C/∂a."""
    a, delta, stride, width = layers[m, A], layers[m, DELTA], layers[m, STRIDE], layers[m, WIDTH]
    for i in range(rows):
        ai, di = a + i * stride, delta + i * stride
        total = 0.0
        for k in range(width):
            total += units[di + k] * units[ai + k]
        for k in range(width):
            units[di + k] = units[ai + k] * (units[di + k] - total)
