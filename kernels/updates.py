"""Updates: θ ← θ − α · (what the optimizer makes of ∇C), as PyTorch defines each optimizer.

``hyper`` holds the optimizer's numbers in the order named here and in ``schedules.py``. Moment number k of the
parameters stands at ``moments[k * len(parameters):]``.
"""

import math

from .jit import njit
from .schedules import OTHERS, learning_rate
from .simd import (
    copysign,
    fma,
    lanes,
    load,
    maximum,
    minimum,
    reciprocal,
    reciprocal_sqrt,
    select,
    splat,
    store,
    sum_lanes,
)

SGD, ADAM, RMS = range(3)  # RMS: RMSprop and Adagrad
WEIGHT_DECAY = OTHERS  # λ of the penalty λ/2 · ‖W‖²
SHRINKAGE = OTHERS + 1  # λ of AdamW's decay, which no gradient and no moment sees
L1 = OTHERS + 2  # λ₁ of the penalty λ₁ · Σ|W|
CLIP_VALUE = OTHERS + 3  # the largest |g|
CLIP_NORM = OTHERS + 4  # the largest ‖g‖
REGULARIZED = OTHERS + 5  # not 0: any of these but CLIP_NORM is on
OWN = OTHERS + 6
MOMENTUM, NESTEROV = OWN, OWN + 1
BETA1, BETA2, EPSILON = OWN, OWN + 1, OWN + 2
KEPT, GAIN, CENTERED, RMS_MOMENTUM, RATE_DECAY = OWN, OWN + 1, OWN + 3, OWN + 4, OWN + 5  # beside EPSILON
HYPER = OWN + 6

_TINIEST = 1e-37  # keeps ε + √v from being 0 in float32, where a smaller ε is


@njit
def rates_of_step(optimizer, hyper, step):
    """What all parameters share in update number ``step``, from 1.

    1 − αλ of decoupled decay, α corrected, and of SGD (μ, Nesterov), of ADAM (β₁, β₂, 1/√(1−β₂ᵗ), ε), of RMS (ρ and
    what multiplies g², ε, centered or not, μ).
    """
    rate = learning_rate(hyper, step)
    keep = 1.0 - rate * hyper[SHRINKAGE]
    if optimizer == SGD:
        return keep, rate, hyper[MOMENTUM], hyper[NESTEROV], 0.0, 0.0, 0.0
    if optimizer == RMS:
        rate /= 1.0 + (step - 1.0) * hyper[RATE_DECAY]
        return keep, rate, hyper[KEPT], hyper[GAIN], hyper[EPSILON], hyper[CENTERED], hyper[RMS_MOMENTUM]
    t = float(step)
    rate /= 1.0 - math.pow(hyper[BETA1], t)
    root = 1.0 / math.sqrt(1.0 - math.pow(hyper[BETA2], t))
    return keep, rate, hyper[BETA1], hyper[BETA2], hyper[EPSILON], root, 0.0


@njit(inline=True)
def update(optimizer, rates, hyper, gradients, g, g_row, parameters, at, stride, moments, weights, rows, columns):
    """Update a block of parameters in place from its gradient, which penalties and clipping may overwrite.

    The block's first parameter stands at ``at``, ``stride`` elements from row to row, as its moments do; its gradient
    at ``gradients[g:]``, ``g_row`` from row to row. The first ``weights`` of its ``rows`` are weights; a row of biases
    may follow.
    """
    if hyper[REGULARIZED] != 0:
        regularize(hyper, rates[0], gradients, g, g_row, parameters, at, stride, weights, rows, columns)
    if g_row == columns and stride == columns:  # nothing between the rows: as good as one
        rows, columns = 1, rows * columns
    if optimizer == ADAM:
        _adam(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns)
    elif optimizer == RMS:
        _rms(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns)
    elif rates[2] != 0:
        _momentum(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns)
    else:
        _sgd(rates, gradients, g, g_row, parameters, at, stride, rows, columns)


@njit(apart=True)
def regularize(hyper, keep, gradients, g, g_row, parameters, at, stride, weights, rows, columns):
    """g ← clip(g) + λθ + λ₁ sign θ, then θ ← (1 − αλ)θ where decay is decoupled; biases are clipped and no more."""
    limit, nothing = splat(parameters, hyper[CLIP_VALUE]), splat(parameters, 0.0)
    l2, l1, keep = splat(parameters, hyper[WEIGHT_DECAY]), splat(parameters, hyper[L1]), splat(parameters, keep)
    for i in range(rows):
        if i == weights:
            l2, l1, keep = nothing, nothing, splat(parameters, 1.0)
        for k in range(0, columns, lanes(parameters)):
            theta = load(parameters, at + k)
            slope = fma(l2, theta, minimum(limit, maximum(-limit, load(gradients, g + k))))  # NaN stays
            store(gradients, g + k, slope + copysign(select(theta != 0.0, l1, nothing), theta))
            store(parameters, at + k, keep * theta)
        at, g = at + stride, g + g_row


@njit(inline=False)
def sum_of_squares(values, first, end):
    """Σ v² over whole vectors."""
    total = splat(values, 0.0)
    for i in range(first, end, lanes(values)):
        value = load(values, i)
        total = fma(value, value, total)
    return sum_lanes(total)


@njit(inline=False)
def scale(values, factor, first, end):
    """v ← factor · v over whole vectors."""
    factor = splat(values, factor)
    for i in range(first, end, lanes(values)):
        store(values, i, factor * load(values, i))


@njit
def _sgd(rates, gradients, g, g_row, parameters, at, stride, rows, columns):
    """θ ← θ − αg."""
    rate = splat(parameters, -rates[1])
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            store(parameters, at + k, fma(rate, load(gradients, g + k), load(parameters, at + k)))
        at, g = at + stride, g + g_row


@njit(apart=True)
def _momentum(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """v ← μv + g; θ ← θ − αv, or θ − α(g + μv) with Nesterov's look ahead."""
    rate, mu = splat(parameters, -rates[1]), splat(parameters, rates[2])
    # Both forms are θ − α (u g + s v) with these u and s.
    nesterov = rates[3] != 0
    now, past = splat(parameters, 1.0 if nesterov else 0.0), splat(parameters, rates[2] if nesterov else 1.0)
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            p = at + k
            slope = load(gradients, g + k)
            v = fma(mu, load(moments, p), slope)
            store(moments, p, v)
            store(parameters, p, fma(rate, fma(past, v, now * slope), load(parameters, p)))
        at, g = at + stride, g + g_row


@njit(apart="unrolled")
def _adam(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """Kingma and Ba, "Adam" (ICLR 2015), algorithm 1, with ε beside the corrected √v̂."""
    second = len(parameters)
    rate = splat(parameters, -rates[1])
    b1, c1 = splat(parameters, rates[2]), splat(parameters, 1.0 - rates[2])
    b2, c2 = splat(parameters, rates[3]), splat(parameters, 1.0 - rates[3])
    epsilon, root = splat(parameters, max(rates[4], _TINIEST)), splat(parameters, rates[5])
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            p = at + k
            slope = load(gradients, g + k)
            m = fma(b1, load(moments, p), c1 * slope)
            v = fma(b2, load(moments, second + p), c2 * slope * slope)
            store(moments, p, m)
            store(moments, second + p, v)
            scale = reciprocal(fma(v * reciprocal_sqrt(v), root, epsilon))
            store(parameters, p, fma(rate * m, scale, load(parameters, p)))
        at, g = at + stride, g + g_row


@njit(apart=True)
def _rms(rates, gradients, g, g_row, parameters, at, stride, moments, rows, columns):
    """v ← ρv + κg²; θ ← θ − αg / (√v + ε): RMSprop with κ = 1 − ρ, Adagrad with ρ = κ = 1.

    Centered, the square of ḡ ← ρḡ + κg is taken from v. With momentum u ← μu + g / (√v + ε), θ ← θ − αu.
    """
    rate, kept, gain = splat(parameters, -rates[1]), splat(parameters, rates[2]), splat(parameters, rates[3])
    epsilon, centered, mu = splat(parameters, max(rates[4], _TINIEST)), rates[5] != 0, splat(parameters, rates[6])
    mean_at = len(parameters)
    past_at = 2 * mean_at if centered else mean_at
    for _ in range(rows):
        for k in range(0, columns, lanes(parameters)):
            p = at + k
            slope = load(gradients, g + k)
            v = fma(kept, load(moments, p), gain * slope * slope)
            store(moments, p, v)
            if centered:
                mean = fma(kept, load(moments, mean_at + p), gain * slope)
                store(moments, mean_at + p, mean)
                v = maximum(0.0, fma(-mean, mean, v))
            change = slope * reciprocal(fma(v, reciprocal_sqrt(v), epsilon))
            if rates[6] != 0:
                change = fma(mu, load(moments, past_at + p), change)
                store(moments, past_at + p, change)
            store(parameters, p, fma(rate, change, load(parameters, p)))
        at, g = at + stride, g + g_row
