"""The three products of one observation: vectors instead of matrices, and nothing to block or pack.

What a step of a small network costs is not its arithmetic but the way there, so these loops are as plain as they can
be. Each output is the same chain of fused products as in ``products.py``: the same bits.
"""

import numpy as np

from .activations import activate, multiply_by_slope
from .jit import njit
from .layers import ACTIVATION, BIASES, DELTA, OUT, SCRATCH, STRIDE, WEIGHTS, WIDTH, A, Z
from .products import NONE, ONE, SCRATCH_GRADIENT, few_deltas, middle
from .simd import broadcast, fma, itemsize, lanes, load, load_tile, splat, store, store_tile, tile_fma
from .updates import REGULARIZED, SGD, update

#: Vectors of z that are summed up side by side: more chains of products than one to keep the processor busy.
CHAINS = 4
#: Gradients of so many rows and columns are written down at a time, in the first-level cache.
PIECE_ROWS, PIECE_COLUMNS = 8, 512


@njit
def forward_row(layers, m, p, parameters, units):
    """z^(m) = a^(m-1) W^(m) + b^(m) and a^(m) = σ^(m)(z^(m)); overwrites both."""
    depth, half, a = layers[m - 1, WIDTH], middle(layers, m), layers[m - 1, OUT]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    z, k = layers[m, Z], 0
    while k + CHAINS * lanes(units) <= stride:
        tile = load_tile(parameters, b + k, NONE, 1, CHAINS)
        for j in range(half):
            tile = tile_fma(tile, units, a + j, NONE, parameters, w + j * stride + k)
        store_tile(units, z + k, NONE, tile)
        k += CHAINS * lanes(units)
    for i in range(k, width, lanes(units)):
        total = load(parameters, b + i)
        for j in range(half):
            total = fma(broadcast(units, a + j), load(parameters, w + j * stride + i), total)
        store(units, z + i, total)
    if half < depth:
        for i in range(0, width, lanes(units)):
            total = splat(units, 0.0)
            for j in range(half, depth):
                total = fma(broadcast(units, a + j), load(parameters, w + j * stride + i), total)
            store(units, z + i, load(units, z + i) + total)
    activate(layers[m, ACTIVATION], p, units, z, layers[m, A], stride, ONE, width)


@njit
def delta_row(layers, m, p, parameters, units):
    """δ^(m) = (W^(m+1) δ^(m+1)) ⊙ σ^(m)′(z^(m)): scalar products with the rows of W^(m+1); overwrites."""
    width, stride, delta = layers[m, WIDTH], layers[m, STRIDE], layers[m, DELTA]
    depth, row, next_delta = layers[m + 1, WIDTH], layers[m + 1, STRIDE], layers[m + 1, DELTA]
    w = layers[m + 1, WEIGHTS]
    few_deltas(w, row, depth, parameters, next_delta, delta, stride, width, units, ONE)
    multiply_by_slope(layers[m, ACTIVATION], p, units, layers[m, Z], layers[m, A], delta, stride, ONE, width)


@njit
def update_row(layers, m, optimizer, rates, hyper, parameters, moments, units):
    """Update W^(m) from ∂C/∂W^(m) = a^(m-1) δ^(m)ᵀ and b^(m) from ∂C/∂b^(m) = δ^(m), a piece at a time."""
    depth, a, g = layers[m - 1, WIDTH], layers[m - 1, OUT], layers[0, SCRATCH] + SCRATCH_GRADIENT // itemsize(units)
    stride, delta, w = layers[m, STRIDE], layers[m, DELTA], layers[m, WEIGHTS]
    if optimizer == SGD and rates[2] == 0 and hyper[REGULARIZED] == 0:
        descend(rates[1], units, a, delta, parameters, w, stride, depth)
        return
    for k in range(0, stride, PIECE_COLUMNS):
        columns = min(PIECE_COLUMNS, stride - k)
        for j in range(0, depth, PIECE_ROWS):
            rows = min(PIECE_ROWS, depth - j)
            row = g
            for i in range(j, j + rows):
                outer(units, delta + k, broadcast(units, a + i), row, columns)
                row += columns
            last = np.int64(j + rows == depth)
            if last:  # b^(m) is the row after the last one of W^(m)
                outer(units, delta + k, splat(units, 1.0), row, columns)
            update(optimizer, rates, hyper, units, g, columns, parameters, w + j * stride + k, stride, moments,
                   rows, rows + last, columns)  # fmt: skip


@njit(inline=True)
def descend(rate, units, a, delta, parameters, w, stride, depth):
    """The update of plain gradient descent, the smallest step there is: its gradients stay in registers."""
    rate, k, vector = splat(parameters, -rate), 0, lanes(units)
    while k + 4 * vector <= stride:
        d0, d1 = load(units, delta + k), load(units, delta + k + vector)
        d2, d3 = load(units, delta + k + 2 * vector), load(units, delta + k + 3 * vector)
        at = w + k
        for j in range(depth + 1):  # b^(m) is the row after the last one of W^(m), and its a is 1
            factor = broadcast(units, a + j) if j < depth else splat(units, 1.0)
            store(parameters, at, fma(rate, d0 * factor, load(parameters, at)))
            store(parameters, at + vector, fma(rate, d1 * factor, load(parameters, at + vector)))
            store(parameters, at + 2 * vector, fma(rate, d2 * factor, load(parameters, at + 2 * vector)))
            store(parameters, at + 3 * vector, fma(rate, d3 * factor, load(parameters, at + 3 * vector)))
            at += stride
        k += 4 * vector
    for i in range(k, stride, vector):
        slope, at = load(units, delta + i), w + i
        for j in range(depth):
            store(parameters, at, fma(rate, slope * broadcast(units, a + j), load(parameters, at)))
            at += stride
        store(parameters, at, fma(rate, slope, load(parameters, at)))


@njit(inline=True)
def outer(units, delta, factor, row, columns):
    """row ← factor · δ."""
    for k in range(0, columns, lanes(units)):
        store(units, row + k, factor * load(units, delta + k))
