"""Gathering a mini-batch into the buffers, where it is also checked: the numbers pass by here anyway.

``order`` names the rows to take; an empty one stands for 0, 1, 2, … . Each function returns whether all it read was
as it must be; the caller looks for the culprit.
"""

from .jit import njit
from .layers import A, ROW_WEIGHT, STRIDE, TARGET, WIDTH


@njit
def gather_inputs(layers, X, order, start, rows, units):
    """a^(0) = the chosen rows of X (n, D^(0)), all finite."""
    width, stride, a = layers[0, WIDTH], layers[0, STRIDE], layers[0, A]
    nothing = units[a] * 0
    for i in range(rows):
        source = order[start + i] if len(order) > 0 else start + i
        row = a + i * stride
        for k in range(width):
            units[row + k] = X[source, k]
            nothing += X[source, k] * 0  # 0, or NaN where X is NaN or infinite
        for k in range(width, stride):
            units[row + k] = 0
    return nothing == 0


@njit
def gather_targets(layers, targets, labels, low, high, order, start, rows, units):
    """t = the chosen rows of ``targets`` (n, D^(L)), all within low..high, or one-hot rows made of ``labels`` (n,)."""
    last = len(layers) - 1
    width, stride, t = layers[last, WIDTH], layers[last, STRIDE], layers[last, TARGET]
    good = True
    for i in range(rows):
        source = order[start + i] if len(order) > 0 else start + i
        row = t + i * stride
        for k in range(stride):
            units[row + k] = 0
        if len(labels) > 0:
            label = labels[source]
            if 0 <= label < width:
                units[row + label] = 1
            else:
                good = False
        else:
            for k in range(width):
                value = targets[source, k]
                units[row + k] = value
                good &= low <= value <= high
    return good


@njit
def weigh_rows(layers, weights, total, order, start, rows, units):
    """r = w/total for each chosen row; without weights 1/total. A total of 0 makes all r 0."""
    r = layers[len(layers) - 1, ROW_WEIGHT]
    factor = 1.0 / total if total > 0 else 0.0
    for i in range(rows):
        if len(weights) > 0:
            source = order[start + i] if len(order) > 0 else start + i
            units[r + i] = weights[source] * factor
        else:
            units[r + i] = factor


@njit
def total_weight(weights, order, start, rows):
    """Σ w over the chosen rows; without weights their number."""
    if len(weights) == 0:
        return float(rows)
    total = 0.0
    for i in range(start, start + rows):
        total += weights[order[i] if len(order) > 0 else i]
    return total
