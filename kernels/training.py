"""The passes over a network, and the entry points that Python calls.

An entry gets plain arrays and numbers: ``layers`` (the layer table), ``slopes`` (float64, the parameter of each
layer's activation), ``parameters``, ``gradients``, ``moments`` and ``units`` as ``layers.py`` describes them,
``X`` (n, D^(0)), ``targets`` (n, D^(L)) or ``labels`` (n,), the other one being empty, ``weights`` (n,) or empty, and ``order``, the
order in which rows are taken (empty: as they stand).
"""

import math

import numpy as np

from .activations import activate, multiply_by_slope
from .batches import gather_inputs, gather_targets, total_weight, weigh_rows
from .jit import njit
from .layers import A, STRIDE, WIDTH
from .losses import output_error
from .products import delta_product, forward_product, weight_gradient
from .random import permute
from .updates import update

# What ``train`` keeps in ``progress`` (int64) from one call to the next.
EPOCH = 0  # epochs ended in this fit
POSITION = 1  # observations seen in the current epoch
STEPS = 2  # updates of this optimizer so far
GOOD_STEPS = 3  # the same at the end of the last good epoch
COUNTER = 4  # the generator's position
STATUS = 5  # one of the following
GOOD, BAD_PARAMETERS, BAD_INPUT, BAD_TARGET, DIVERGED = range(5)
PROGRESS = 6


@njit
def forward_pass(layers, slopes, parameters, units, rows):
    """z^(m) = a^(m-1) W^(m) + b^(m), a^(m) = σ^(m)(z^(m)) for m = 1..L."""
    for m in range(1, len(layers)):
        forward_product(layers, m, parameters, units, rows)
        activate(layers, m, slopes[m], units, rows)


@njit
def backward_pass(layers, slopes, parameters, gradients, units, rows):
    """From δ^(L): every ∂C/∂W^(m), ∂C/∂b^(m) and δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m))."""
    for m in range(len(layers) - 1, 0, -1):
        weight_gradient(layers, m, gradients, units, rows)
        if m > 1:
            delta_product(layers, m - 1, parameters, units, rows)
            multiply_by_slope(layers, m - 1, slopes[m - 1], units, rows)


@njit
def keep(parameters, moments, snapshot):
    """Copy θ and the moments, in this order, to ``snapshot``; if θ is not finite, copy nothing and return False."""
    n = len(parameters)
    if not all_finite(parameters):
        return False
    snapshot[:n] = parameters
    snapshot[n:] = moments
    return True


@njit
def all_finite(parameters):
    """Whether no parameter is NaN or infinite."""
    nothing = parameters[0] * 0
    for i in range(len(parameters)):
        nothing += parameters[i] * 0
    return nothing == 0


@njit(entry=True)
def forward(layers, slopes, parameters, units, X, order):
    """Fill z and a of every layer for the rows of X; return whether X was finite."""
    good = gather_inputs(layers, X, order, 0, len(X), units)
    if good:
        forward_pass(layers, slopes, parameters, units, len(X))
    return good


@njit(entry=True)
def backward(layers, slopes, parameters, gradients, units, rows, targets, labels, low, high, weights, order, loss,
             loss_parameter, tiny):  # fmt: skip
    """Fill δ and the gradients of the last ``forward``; return C, NaN where the targets are bad."""
    if not gather_targets(layers, targets, labels, low, high, order, 0, rows, units):
        return np.nan
    weigh_rows(layers, weights, total_weight(weights, order, 0, rows), order, 0, rows, units)
    cost = output_error(layers, loss, loss_parameter, slopes[len(slopes) - 1], tiny, units, rows)
    backward_pass(layers, slopes, parameters, gradients, units, rows)
    return cost


@njit(entry=True)
def backward_from_delta(layers, slopes, parameters, gradients, units, rows):
    """The same from ∂C/∂a^(L), which stands where δ^(L) will be."""
    multiply_by_slope(layers, len(layers) - 1, slopes[len(slopes) - 1], units, rows)
    backward_pass(layers, slopes, parameters, gradients, units, rows)


@njit(entry=True)
def step(layers, optimizer, hyper, number, parameters, gradients, moments, snapshot):
    """Update number ``number`` from the stored gradients; return whether all parameters are finite after it."""
    good = keep(parameters, moments, snapshot)
    update(layers, optimizer, hyper, number, parameters, gradients, moments)
    return good and all_finite(parameters)


@njit(entry=True)
def infer(layers, slopes, parameters, units, capacity, X, outputs, targets, labels, low, high, weights, total, order,
          loss, loss_parameter, tiny):  # fmt: skip
    """Outputs of X into ``outputs`` (unless it is empty) and the loss where targets are given, ``capacity`` rows a time.

    Returns the loss (0 without targets) and GOOD, BAD_INPUT or BAD_TARGET.
    """
    last = len(layers) - 1
    width, stride, a = layers[last, WIDTH], layers[last, STRIDE], layers[last, A]
    cost = 0.0
    for start in range(0, len(X), capacity):
        rows = min(capacity, len(X) - start)
        if not gather_inputs(layers, X, order, start, rows, units):
            return cost, BAD_INPUT
        forward_pass(layers, slopes, parameters, units, rows)
        if len(outputs) > 0:
            for i in range(rows):
                for k in range(width):
                    outputs[start + i, k] = units[a + i * stride + k]
        if len(targets) > 0 or len(labels) > 0:
            if not gather_targets(layers, targets, labels, low, high, order, start, rows, units):
                return cost, BAD_TARGET
            weigh_rows(layers, weights, total, order, start, rows, units)
            cost += output_error(layers, loss, loss_parameter, slopes[last], tiny, units, rows)
    return cost, GOOD


@njit(entry=True)
def train(layers, slopes, parameters, gradients, moments, snapshot, units, X, targets, labels, low, high, weights, order,
          batch, key, loss, loss_parameter, tiny, optimizer, hyper, progress, losses, epochs, steps):  # fmt: skip
    """Train until ``epochs`` epochs are done, or for ``steps`` steps, whichever comes first; return the last loss.

    ``progress`` says where to go on and is brought up to date; ``losses[e]`` gathers the loss of epoch e, and an empty
    ``order`` stands for rows in their own order. On a status other than GOOD the step that failed has updated nothing,
    and ``snapshot`` holds the state at the end of the last good epoch.
    """
    n, last = len(X), len(layers) - 1
    cost = 0.0
    progress[STATUS] = GOOD
    if progress[EPOCH] == 0 and progress[POSITION] == 0 and not keep(parameters, moments, snapshot):
        progress[STATUS] = BAD_PARAMETERS
        return cost
    while progress[EPOCH] < epochs and steps > 0:
        start = progress[POSITION]
        if start == 0 and len(order) > 0:
            permute(order, key, np.uint64(progress[COUNTER]))
            progress[COUNTER] += n
        rows = min(batch, n - start)
        if not gather_inputs(layers, X, order, start, rows, units):
            progress[STATUS] = BAD_INPUT
            break
        if not gather_targets(layers, targets, labels, low, high, order, start, rows, units):
            progress[STATUS] = BAD_TARGET
            break
        total = total_weight(weights, order, start, rows)
        weigh_rows(layers, weights, total, order, start, rows, units)
        forward_pass(layers, slopes, parameters, units, rows)
        cost = output_error(layers, loss, loss_parameter, slopes[last], tiny, units, rows)
        if not math.isfinite(cost):
            progress[STATUS] = DIVERGED
            break
        if total > 0:
            backward_pass(layers, slopes, parameters, gradients, units, rows)
            progress[STEPS] += 1
            update(layers, optimizer, hyper, progress[STEPS], parameters, gradients, moments)
        losses[progress[EPOCH]] += cost * rows / n
        steps -= 1
        progress[POSITION] += rows
        if progress[POSITION] == n:
            if not keep(parameters, moments, snapshot):
                progress[STATUS] = DIVERGED
                break
            progress[POSITION] = 0
            progress[EPOCH] += 1
            progress[GOOD_STEPS] = progress[STEPS]
    return cost
