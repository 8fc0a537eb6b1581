"""The passes over a network, and the entry points that Python calls.

An entry gets plain arrays and numbers: ``layers`` (the layer table), ``slopes`` (float64, the parameter of each
layer's activation), ``parameters``, ``gradients``, ``moments`` and ``units`` as ``layers.py`` describes them,
``X`` (n, D^(0)), ``targets`` (n, D^(L)) or ``labels`` (n,), the other one being empty, ``weights`` (n,) or empty, and
``order``, the order in which rows are taken (empty: as they stand).
"""

import math

import numpy as np
from numba import types

from .activations import multiply_by_slope
from .batches import all_finite, gather_inputs, gather_targets, total_weight, weigh_rows
from .jit import njit
from .layers import ACTIVATION, BIASES, DELTA, STRIDE, WEIGHTS, WIDTH, A, Z
from .losses import output_error
from .online import delta_row, forward_row, update_row
from .products import DEPTH_BLOCK, delta_product, forward_product, weight_gradient, weight_update
from .random import permute
from .simd import lanes, load, store
from .updates import WEIGHT_DECAY, rates_of_step, update

# What ``train`` keeps in ``progress`` (int64) from one call to the next.
EPOCH = 0  # epochs ended in this fit
POSITION = 1  # observations seen in the current epoch
STEPS = 2  # updates of this optimizer so far
GOOD_STEPS = 3  # the same at the end of the last good epoch
COUNTER = 4  # the generator's position
STATUS = 5  # one of the following
GOOD, BAD_PARAMETERS, BAD_INPUT, BAD_TARGET, DIVERGED = range(5)
PROGRESS = 6


def _array(dimensions, dtype=None, readonly=False):
    return lambda number: types.Array(dtype or number, dimensions, "C", readonly=readonly)


#: The types of the entries' arguments, T being the network's dtype. Data may be read-only.
TYPES = {
    **dict.fromkeys(("parameters", "gradients", "moments", "snapshot", "units"), _array(1)),
    **dict.fromkeys(("slopes", "hyper", "losses"), _array(1, types.float64)),
    **dict.fromkeys(("order", "progress"), _array(1, types.int64)),
    **dict.fromkeys(("X", "targets"), _array(2, readonly=True)),
    **dict.fromkeys(
        ("rows", "capacity", "batch", "loss", "optimizer", "number", "epochs", "steps"), lambda number: types.int64
    ),
    **dict.fromkeys(("low", "high", "total", "loss_parameter"), lambda number: types.float64),
    "layers": _array(2, types.int64),
    "labels": _array(1, types.int64, readonly=True),
    "weights": _array(1, readonly=True),
    "outputs": _array(2),
    "key": lambda number: types.uint64,
}


@njit
def forward_pass(layers, slopes, parameters, units, rows):
    """z^(m) = a^(m-1) W^(m) + b^(m), a^(m) = σ^(m)(z^(m)) for m = 1..L."""
    for m in range(1, len(layers)):
        if rows == 1:
            forward_row(layers, m, slopes[m], parameters, units)
        else:
            forward_product(layers, m, slopes[m], parameters, units, rows)


@njit
def backward_pass(layers, slopes, parameters, gradients, units, rows):
    """From δ^(L): every ∂C/∂W^(m), ∂C/∂b^(m) and δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m))."""
    for m in range(len(layers) - 1, 0, -1):
        weight_gradient(layers, m, gradients, units, rows)
        if m > 1:
            delta_product(layers, m - 1, slopes[m - 1], parameters, units, rows)


@njit
def descend(layers, slopes, optimizer, rates, decay, parameters, gradients, moments, units, rows):
    """The backward pass and the update of every layer from its gradient, once δ of the layer before it is known.

    Many rows are summed up in ``gradients``; of few, a layer's gradient never exists as a whole.
    """
    if rows == 1:
        for m in range(len(layers) - 1, 0, -1):
            if m > 1:
                delta_row(layers, m - 1, slopes[m - 1], parameters, units)
            update_row(layers, m, optimizer, rates, decay, parameters, moments, units)
        return
    for m in range(len(layers) - 1, 0, -1):
        if m > 1:
            delta_product(layers, m - 1, slopes[m - 1], parameters, units, rows)
        if rows > DEPTH_BLOCK:
            weight_gradient(layers, m, gradients, units, rows)
            update_layer(layers, m, optimizer, rates, decay, parameters, gradients, moments)
        else:
            weight_update(layers, m, optimizer, rates, decay, parameters, moments, units, rows)


@njit
def update_layer(layers, m, optimizer, rates, decay, parameters, gradients, moments):
    """Update W^(m) and b^(m) from the stored gradients."""
    w, b, stride, width = layers[m, WEIGHTS], layers[m, BIASES], layers[m, STRIDE], layers[m, WIDTH]
    update(optimizer, rates, decay, gradients, w, stride, parameters, w, stride, moments, layers[m - 1, WIDTH], width)
    update(optimizer, rates, 0.0, gradients, b, stride, parameters, b, stride, moments, np.int64(1), width)


@njit(inline=False)
def keep(parameters, moments, snapshot):
    """Copy θ and the moments, in this order, to ``snapshot``; if θ is not finite, copy nothing and return False."""
    if not all_finite(parameters):
        return False
    for i in range(0, len(parameters), lanes(parameters)):
        store(snapshot, i, load(parameters, i))
    for i in range(0, len(moments), lanes(moments)):
        store(snapshot, len(parameters) + i, load(moments, i))
    return True


@njit(entry=TYPES)
def forward(layers, slopes, parameters, units, X, order):
    """Fill z and a of every layer for the rows of X; return whether X was finite."""
    good = gather_inputs(layers, X, order, 0, len(X), units)
    if good:
        forward_pass(layers, slopes, parameters, units, len(X))
    return good


@njit(entry=TYPES)
def backward(layers, slopes, parameters, gradients, units, rows, targets, labels, low, high, weights, order, loss,
             loss_parameter):  # fmt: skip
    """Fill δ and the gradients of the last ``forward``; return C, NaN where the targets are bad."""
    if not gather_targets(layers, targets, labels, low, high, order, 0, rows, units):
        return np.nan
    weigh_rows(layers, weights, total_weight(weights, order, 0, rows), order, 0, rows, units)
    cost = output_error(layers, loss, loss_parameter, slopes[len(slopes) - 1], units, rows)
    backward_pass(layers, slopes, parameters, gradients, units, rows)
    return cost


@njit(entry=TYPES)
def backward_from_delta(layers, slopes, parameters, gradients, units, rows):
    """The same from ∂C/∂a^(L), which stands where δ^(L) will be."""
    last = len(layers) - 1
    z, a, delta, stride = layers[last, Z], layers[last, A], layers[last, DELTA], layers[last, STRIDE]
    width = layers[last, WIDTH]
    multiply_by_slope(layers[last, ACTIVATION], slopes[last], units, z, a, delta, stride, rows, width)
    backward_pass(layers, slopes, parameters, gradients, units, rows)


@njit(entry=TYPES)
def step(layers, optimizer, hyper, number, parameters, gradients, moments, snapshot):
    """Update number ``number`` from the stored gradients; return whether all parameters are finite after it."""
    good = keep(parameters, moments, snapshot)
    rates = rates_of_step(optimizer, hyper, number)
    for m in range(1, len(layers)):
        update_layer(layers, m, optimizer, rates, hyper[WEIGHT_DECAY], parameters, gradients, moments)
    return good and all_finite(parameters)


@njit(entry=TYPES)
def infer(layers, slopes, parameters, units, capacity, X, outputs, targets, labels, low, high, weights, total, order,
          loss, loss_parameter):  # fmt: skip
    """Outputs of X into ``outputs`` (unless it is empty), the loss where targets are given, ``capacity`` rows a time.

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
            cost += output_error(layers, loss, loss_parameter, slopes[last], units, rows)
    return cost, GOOD


@njit(entry=TYPES)
def train(layers, slopes, parameters, gradients, moments, snapshot, units, X, targets, labels, low, high, weights,
          order, batch, key, loss, loss_parameter, optimizer, hyper, progress, losses, epochs, steps):  # fmt: skip
    """Train until ``epochs`` epochs are done, or for ``steps`` steps, whichever comes first; return the last loss.

    ``progress`` says where to go on and is brought up to date; ``losses[e]`` gathers the loss of epoch e, and an empty
    ``order`` stands for rows in their own order. On a status other than GOOD the step that failed has updated nothing,
    and ``snapshot`` holds the state at the end of the last good epoch.
    """
    n, last, decay = len(X), len(layers) - 1, hyper[WEIGHT_DECAY]
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
        cost = output_error(layers, loss, loss_parameter, slopes[last], units, rows)
        if not math.isfinite(cost):
            progress[STATUS] = DIVERGED
            break
        if total > 0:
            progress[STEPS] += 1
            rates = rates_of_step(optimizer, hyper, progress[STEPS])
            descend(layers, slopes, optimizer, rates, decay, parameters, gradients, moments, units, rows)
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
