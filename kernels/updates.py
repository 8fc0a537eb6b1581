"""Updates: θ ← θ − α · (what the optimizer makes of ∇C), as PyTorch defines each optimizer.

``hyper`` holds the optimizer's numbers in the order named below. Moment number k of the parameters stands at
``moments[k * len(parameters):]``.
"""

import math

from .jit import njit
from .simd import fma, lanes, load, reciprocal, reciprocal_sqrt, splat, store

SGD, ADAM = range(2)
LEARNING_RATE, WEIGHT_DECAY, MOMENTUM, NESTEROV = 0, 1, 2, 3
BETA1, BETA2, EPSILON = 2, 3, 4

_TINIEST = 1e-37  # keeps ε + √v from being 0 in float32, where a smaller ε is


@njit
def rates_of_step(optimizer, hyper, step):
    """What all parameters share in update number ``step`` (from 1): (α, μ or β₁, Nesterov or β₂, 1/√(1−β₂ᵗ), ε)."""
    if optimizer == SGD:
        return hyper[LEARNING_RATE], hyper[MOMENTUM], hyper[NESTEROV], 0.0, 0.0
    rate = hyper[LEARNING_RATE] / (1.0 - math.pow(hyper[BETA1], step))
    root = 1.0 / math.sqrt(1.0 - math.pow(hyper[BETA2], step))
    return rate, hyper[BETA1], hyper[BETA2], root, hyper[EPSILON]


@njit
def update(optimizer, rates, decay, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """Update a block of parameters in place from its gradient.

    The block's first parameter stands at ``at``, ``stride`` elements from row to row, as its moments do; its gradient
    at ``gradients[g:]``, ``g_row`` from row to row.
    """
    if optimizer == SGD:
        if rates[1] == 0:
            _sgd(rates, decay, gradients, g, g_row, parameters, at, stride, rows, columns)
        else:
            _momentum(rates, decay, gradients, g, g_row, parameters, at, stride, moments, rows, columns)
    else:
        _adam(rates, decay, gradients, g, g_row, parameters, at, stride, moments, rows, columns)


@njit
def _sgd(rates, decay, gradients, g, g_row, parameters, at, stride, rows, columns):
    """θ ← θ − α (g + λθ)."""
    rate, decay = splat(parameters, -rates[0]), splat(parameters, decay)
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            theta = load(parameters, at + k)
            store(parameters, at + k, fma(rate, fma(decay, theta, load(gradients, g + k)), theta))
        at, g = at + stride, g + g_row


@njit(inline=False)
def _momentum(rates, decay, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """v ← μv + g + λθ; θ ← θ − αv, or θ − α(g + λθ + μv) with Nesterov's look ahead."""
    rate, mu, decay = splat(parameters, -rates[0]), splat(parameters, rates[1]), splat(parameters, decay)
    # Both forms are θ − α (u (g + λθ) + s v) with these u and s.
    nesterov = rates[2] != 0
    now, past = splat(parameters, 1.0 if nesterov else 0.0), splat(parameters, rates[1] if nesterov else 1.0)
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            p = at + k
            theta = load(parameters, p)
            slope = fma(decay, theta, load(gradients, g + k))
            v = fma(mu, load(moments, p), slope)
            store(moments, p, v)
            store(parameters, p, fma(rate, fma(past, v, now * slope), theta))
        at, g = at + stride, g + g_row


@njit(inline=False)
def _adam(rates, decay, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """Kingma and Ba, "Adam" (ICLR 2015), algorithm 1, with ε beside the corrected √v̂."""
    second = len(parameters)
    rate, decay = splat(parameters, -rates[0]), splat(parameters, decay)
    b1, c1 = splat(parameters, rates[1]), splat(parameters, 1.0 - rates[1])
    b2, c2 = splat(parameters, rates[2]), splat(parameters, 1.0 - rates[2])
    root, epsilon = splat(parameters, rates[3]), splat(parameters, max(rates[4], _TINIEST))
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            p = at + k
            theta = load(parameters, p)
            slope = fma(decay, theta, load(gradients, g + k))
            m = fma(b1, load(moments, p), c1 * slope)
            v = fma(b2, load(moments, second + p), c2 * slope * slope)
            store(moments, p, m)
            store(moments, second + p, v)
            store(parameters, p, fma(rate * m, reciprocal(fma(v * reciprocal_sqrt(v), root, epsilon)), theta))
        at, g = at + stride, g + g_row
