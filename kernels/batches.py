"""Gathering a mini-batch into the buffers, where it is also checked: the numbers pass by here anyway.

``order`` names the rows to take; an empty one stands for 0, 1, 2, … . The gathering functions return whether all they
read was as it must be; the caller looks for the culprit.
"""

from .jit import njit
from .layers import ROW_WEIGHT, STRIDE, TARGET, WIDTH, A
from .simd import any_lanes, first_lanes, fma, lanes, load, load_partial, select, splat, store


@njit(inline=False)
def gather_inputs(layers, X, order, start, rows, first, end, units):
    """a^(0) = the chosen rows of X (n, D^(0)), columns first..end-1, all finite; overwrites, with zeros in the rest of
    the last vector."""
    width, stride, a = layers[0, WIDTH], layers[0, STRIDE], layers[0, A]
    nothing = splat(units, 0.0)  # gains x · 0: 0, or NaN where x is NaN or infinite
    whole = end - (end - first) % lanes(units)
    for i in range(rows):
        source = (order[start + i] if len(order) > 0 else start + i) * width
        row = a + i * stride
        for k in range(first, whole, lanes(units)):
            x = load(X, source + k)
            nothing = fma(x, 0.0, nothing)
            store(units, row + k, x)
        if whole < end:
            x = load_partial(X, source + whole, end - whole)
            nothing = fma(x, 0.0, nothing)
            store(units, row + whole, x)
    return not any_lanes(nothing != 0.0)


@njit(inline=False)
def gather_targets(layers, targets, labels, low, high, order, start, rows, units):
    """t = the chosen rows of ``targets`` (n, D^(L)), all within low..high, or one-hot rows made of ``labels`` (n,)."""
    last = len(layers) - 1
    width, stride, t = layers[last, WIDTH], layers[last, STRIDE], layers[last, TARGET]
    zero, one, least, most = splat(units, 0.0), splat(units, 1.0), splat(units, low), splat(units, high)
    good = True
    for i in range(rows):
        source = order[start + i] if len(order) > 0 else start + i
        row = t + i * stride
        if len(labels) > 0:
            label = labels[source]
            good &= 0 <= label < width
            for k in range(0, width, lanes(units)):
                before, until = first_lanes(units, label - k), first_lanes(units, label - k + 1)
                store(units, row + k, select(until, select(before, zero, one), zero))
        else:
            for k in range(0, width, lanes(units)):
                value = load_partial(targets, source * width + k, width - k)
                store(units, row + k, value)
                inside = (least <= value) & (value <= most)
                good &= not any_lanes(first_lanes(units, width - k) & ~inside)
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


@njit
def all_finite(values, first, end):
    """Whether no entry of ``values[first:end]``, whole vectors, is NaN or infinite."""
    nothing = splat(values, 0.0)
    for i in range(first, end, lanes(values)):
        nothing = fma(load(values, i), 0.0, nothing)
    return not any_lanes(nothing != 0.0)
