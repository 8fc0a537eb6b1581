"""The three matrix products of backpropagation, from one family of register tiles.

Each is C ← init + A·B with a sum over ``depth``: a tile of C stays in registers while one row of B at a time (vectors)
meets one column of A (scalars, broadcast). A is addressed by two strides, ``a_row`` and ``a_step``, so that

    forward          z^(m) = b^(m) + a^(m-1) W^(m)         A = a^(m-1)     B = W^(m)
    delta            ∂C/∂a^(m) = δ^(m+1) W^(m+1)ᵀ          A = δ^(m+1)     B = W^(m+1)ᵀ, transposed a panel at a time
    weight gradient  ∂C/∂W^(m) = a^(m-1)ᵀ δ^(m)            A = a^(m-1)ᵀ    B = δ^(m)

differ in addresses only. What follows each product element by element (σ, ⊙ σ′, the update) is applied to a panel of C
while it is in the cache.

Every element of C is one chain of fused products in the order of the summed index, and a chain that is interrupted
between two blocks goes on from what it stored: so its bits depend neither on the blocking nor on the tile it falls
into, and a row's outputs are the same at any position and batch size.
"""

import numpy as np

from .activations import SOFTMAX, activate, multiply_by_slope
from .jit import njit
from .layers import ACTIVATION, BIASES, DELTA, SCRATCH, STRIDE, WEIGHTS, WIDTH, A, Z
from .simd import (
    TILE_ROWS,
    TILE_VECTORS,
    fma,
    lanes,
    load,
    load_tile,
    prefetch_l2,
    splat,
    store,
    store_tile,
    sum_lanes,
    tile_fma,
    transpose_block,
    transpose_block_partial,
)
from .updates import update

#: Terms of a sum that are worked on at a time, and rows of C: A's block of them stays in the second-level cache.
DEPTH_BLOCK = 512
ROW_BLOCK = 512
#: From so many rows of C and terms of the sum on, packing B's panel into consecutive memory pays.
PACK_ROWS, PACK_DEPTH = 48, 64
#: Terms of a sum for each row that is fetched ahead.
HINT_TERMS = 8
#: Rows of a panel of ∂C/∂W that are updated at a time: with their gradients they fit in the first-level cache.
UPDATE_ROWS = 120
#: Strides. Numba would compile a function anew for each literal integer it is called with, so these are int64.
NONE, ONE = np.int64(0), np.int64(1)
#: Scratch of the products, in vectors: zeros, a packed panel of B, and a panel of gradients.
SCRATCH_ZEROS = 0
SCRATCH_PANEL = TILE_VECTORS
SCRATCH_GRADIENT = SCRATCH_PANEL + (DEPTH_BLOCK + 64) * TILE_VECTORS
SCRATCH_VECTORS = SCRATCH_GRADIENT + UPDATE_ROWS * TILE_VECTORS


def _tile_product(rows, vectors):
    @njit(inline=True)
    def product(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, depth):
        """C ← init + A·B for one tile; overwrites."""
        tile = load_tile(init, init_at, init_row, rows, vectors)
        for _ in range(depth):
            tile = tile_fma(tile, a, a_at, a_row, b, b_at)
            a_at += a_step
            b_at += b_step
        store_tile(c, c_at, c_row, tile)

    return product


def _tile_product_with_hints(rows, vectors):
    @njit(inline=True)
    def product(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, depth,
                hint, hint_at, hint_step):  # fmt: skip
        """The same, while a row of what will be needed next is fetched for every HINT_TERMS terms of the sum."""
        tile = load_tile(init, init_at, init_row, rows, vectors)
        for _ in range(depth // HINT_TERMS):
            for v in range(vectors):
                prefetch_l2(hint, hint_at + v * lanes(b))
            hint_at += hint_step
            for _ in range(HINT_TERMS):
                tile = tile_fma(tile, a, a_at, a_row, b, b_at)
                a_at += a_step
                b_at += b_step
        for _ in range(depth % HINT_TERMS):
            tile = tile_fma(tile, a, a_at, a_row, b, b_at)
            a_at += a_step
            b_at += b_step
        store_tile(c, c_at, c_row, tile)

    return product


def _panel_product(vectors):
    full = _tile_product_with_hints(TILE_ROWS, vectors)
    eight, four, two, one = (_tile_product(rows, vectors) for rows in (8, 4, 2, 1))

    @njit
    def product(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth,
                hint, hint_at, hint_step, hint_rows):  # fmt: skip
        """C ← init + A·B for a panel of C, ``vectors`` wide, in tiles of as many rows as registers hold."""
        i = 0
        while i + TILE_ROWS <= rows:
            full(init, init_at + i * init_row, init_row, a, a_at + i * a_row, a_row, a_step, b, b_at, b_step,
                 c, c_at + i * c_row, c_row, depth, hint, hint_at, hint_step)  # fmt: skip
            i += TILE_ROWS
            hint_rows -= depth // HINT_TERMS
            if hint_rows > 0:
                hint_at += hint_step * (depth // HINT_TERMS)
            else:
                hint_step = 0
        if TILE_ROWS > 8 and i + 8 <= rows:
            eight(init, init_at + i * init_row, init_row, a, a_at + i * a_row, a_row, a_step, b, b_at, b_step,
                  c, c_at + i * c_row, c_row, depth)  # fmt: skip
            i += 8
        if i + 4 <= rows:
            four(init, init_at + i * init_row, init_row, a, a_at + i * a_row, a_row, a_step, b, b_at, b_step,
                 c, c_at + i * c_row, c_row, depth)  # fmt: skip
            i += 4
        if i + 2 <= rows:
            two(init, init_at + i * init_row, init_row, a, a_at + i * a_row, a_row, a_step, b, b_at, b_step,
                c, c_at + i * c_row, c_row, depth)  # fmt: skip
            i += 2
        if i < rows:
            one(init, init_at + i * init_row, init_row, a, a_at + i * a_row, a_row, a_step, b, b_at, b_step,
                c, c_at + i * c_row, c_row, depth)  # fmt: skip

    return product


panel1, panel2 = _panel_product(1), _panel_product(2)


@njit
def panel(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth, vectors,
          hint, hint_at, hint_step, hint_rows):  # fmt: skip
    """C ← init + A·B for a panel of C one or two vectors wide; the next ``hint_rows`` rows of ``hint`` are fetched
    meanwhile, as far as there is time."""
    if vectors == 2:
        panel2(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth,
               hint, hint_at, hint_step, hint_rows)  # fmt: skip
    else:
        panel1(init, init_at, init_row, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth,
               hint, hint_at, hint_step, hint_rows)  # fmt: skip


@njit
def copy_panel(b, b_at, b_step, packed, p_at, depth, vectors):
    """packed ← the panel of B that starts at ``b_at``, rows one after the other."""
    width = vectors * lanes(b)
    for _ in range(depth):
        for j in range(0, width, lanes(b)):
            store(packed, p_at + j, load(b, b_at + j))
        b_at += b_step
        p_at += width


@njit
def transpose_panel(w, w_at, w_row, rows, packed, p_at, depth, vectors):
    """packed[k, j] ← W[j, k], for the ``rows`` rows of W from ``w_at``; columns beyond them are zero.

    ``depth`` is rounded up to whole vectors: W's padding is read, and the last rows of ``packed`` are its zeros.
    """
    width = vectors * lanes(w)
    for v in range(vectors):
        first = v * lanes(w)
        for k in range(0, depth, lanes(w)):
            if rows - first >= lanes(w):
                transpose_block(w, w_at + first * w_row + k, w_row, packed, p_at + k * width + first, width)
            else:
                transpose_block_partial(
                    w, w_at + first * w_row + k, w_row, packed, p_at + k * width + first, width, rows - first
                )


@njit
def forward_product(layers, m, p, parameters, units, rows):
    """z^(m) = a^(m-1) W^(m) + b^(m) and a^(m) = σ^(m)(z^(m)); overwrites both. p is the activation's parameter."""
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, A]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    z, a_out, code = layers[m, Z], layers[m, A], layers[m, ACTIVATION]
    packed = layers[0, SCRATCH] + SCRATCH_PANEL * lanes(units)
    for i in range(0, rows, ROW_BLOCK):
        block = min(ROW_BLOCK, rows - i)
        for k in range(0, depth, DEPTH_BLOCK):
            terms = min(DEPTH_BLOCK, depth - k)
            a_at = a + i * a_stride + k
            for j in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - j) // lanes(units)))
                c, w_at = z + i * stride + j, w + k * stride + j
                next_w = w_at + vectors * lanes(units)
                if block >= PACK_ROWS and terms >= PACK_DEPTH:
                    step = vectors * lanes(units)
                    copy_panel(parameters, w_at, stride, units, packed, terms, vectors)
                    if k == 0:
                        panel(parameters, b + j, NONE, units, a_at, a_stride, ONE, units, packed, step,
                              units, c, stride, block, terms, vectors,
                              parameters, next_w, stride, terms)  # fmt: skip
                    else:
                        panel(units, c, stride, units, a_at, a_stride, ONE, units, packed, step,
                              units, c, stride, block, terms, vectors,
                              parameters, next_w, stride, terms)  # fmt: skip
                elif k == 0:
                    panel(parameters, b + j, NONE, units, a_at, a_stride, ONE, parameters, w_at, stride,
                          units, c, stride, block, terms, vectors, parameters, next_w, stride, terms)  # fmt: skip
                else:
                    panel(units, c, stride, units, a_at, a_stride, ONE, parameters, w_at, stride,
                          units, c, stride, block, terms, vectors, parameters, next_w, stride, terms)  # fmt: skip
                if k + terms == depth and code != SOFTMAX:
                    columns = min(vectors * lanes(units), width - j)
                    activate(code, p, units, c, a_out + i * stride + j, stride, block, columns)
    if code == SOFTMAX:
        activate(code, p, units, z, a_out, stride, rows, width)


@njit
def delta_product(layers, m, p, parameters, units, rows):
    """δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m)); overwrites. p is the activation's parameter."""
    width, stride, code = layers[m, WIDTH], layers[m, STRIDE], layers[m, ACTIVATION]
    depth, a_stride, a = layers[m + 1, WIDTH], layers[m + 1, STRIDE], layers[m + 1, DELTA]
    z, a_out, delta, w = layers[m, Z], layers[m, A], layers[m, DELTA], layers[m + 1, WEIGHTS]
    zeros = layers[0, SCRATCH] + SCRATCH_ZEROS * lanes(units)
    packed = layers[0, SCRATCH] + SCRATCH_PANEL * lanes(units)
    if rows * width < 4 * lanes(units):
        few_deltas(w, a_stride, depth, parameters, a, delta, stride, width, units, rows)
        multiply_by_slope(code, p, units, z, a_out, delta, stride, rows, width)
        return
    for i in range(0, rows, ROW_BLOCK):
        block = min(ROW_BLOCK, rows - i)
        for k in range(0, depth, DEPTH_BLOCK):
            terms = min(DEPTH_BLOCK, depth - k)
            a_at = a + i * a_stride + k
            for j in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - j) // lanes(units)))
                step, at = vectors * lanes(units), i * stride + j
                transpose_panel(parameters, w + j * a_stride + k, a_stride, width - j, units, packed, terms, vectors)
                if k == 0:
                    panel(units, zeros, NONE, units, a_at, a_stride, ONE, units, packed, step,
                          units, delta + at, stride, block, terms, vectors, units, z + at, stride, block)  # fmt: skip
                else:
                    panel(units, delta + at, stride, units, a_at, a_stride, ONE, units, packed, step,
                          units, delta + at, stride, block, terms, vectors, units, z + at, stride, block)  # fmt: skip
                if k + terms == depth:
                    columns = min(step, width - j)
                    multiply_by_slope(code, p, units, z + at, a_out + at, delta + at, stride, block, columns)


@njit
def few_deltas(w, w_row, depth, parameters, a, delta, stride, width, units, rows):
    """δ^(m+1) W^(m+1)ᵀ for few rows, as scalar products of rows of W^(m+1) with δ^(m+1): nothing is transposed."""
    for i in range(rows):
        for j in range(width, stride):
            units[delta + i * stride + j] = 0
        for j in range(width):
            total = splat(units, 0.0)
            for k in range(0, depth, lanes(units)):
                total = fma(load(units, a + i * w_row + k), load(parameters, w + j * w_row + k), total)
            units[delta + i * stride + j] = sum_lanes(total)


@njit
def weight_gradient(layers, m, gradients, units, rows):
    """∂C/∂W^(m) = a^(m-1)ᵀ δ^(m) and ∂C/∂b^(m) = Σ_i δ^(m); overwrites."""
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, A]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    delta, zeros = layers[m, DELTA], layers[0, SCRATCH] + SCRATCH_ZEROS * lanes(units)
    for j in range(0, depth, ROW_BLOCK):
        block = min(ROW_BLOCK, depth - j)
        for i in range(0, rows, DEPTH_BLOCK):
            terms = min(DEPTH_BLOCK, rows - i)
            for k in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - k) // lanes(units)))
                c, a_at = w + j * stride + k, a + i * a_stride + j
                b_at, step = pack(units, delta + i * stride + k, stride, layers, terms, vectors, block)
                if i == 0:
                    panel(units, zeros, NONE, units, a_at, ONE, a_stride, units, b_at, step,
                          gradients, c, stride, block, terms, vectors, gradients, c, stride, block)  # fmt: skip
                else:
                    panel(gradients, c, stride, units, a_at, ONE, a_stride, units, b_at, step,
                          gradients, c, stride, block, terms, vectors, gradients, c, stride, block)  # fmt: skip
    sum_rows(units, delta, stride, rows, width, gradients, b)


@njit
def weight_update(layers, m, optimizer, rates, decay, parameters, moments, units, rows):
    """Update W^(m) and b^(m) from the gradients of at most DEPTH_BLOCK rows, which are not kept: a piece of a panel is
    summed into scratch, and its parameters updated while it is in the cache."""
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, A]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    delta, zeros = layers[m, DELTA], layers[0, SCRATCH] + SCRATCH_ZEROS * lanes(units)
    g = layers[0, SCRATCH] + SCRATCH_GRADIENT * lanes(units)
    for j in range(0, depth, ROW_BLOCK):
        block = min(ROW_BLOCK, depth - j)
        for k in range(0, width, TILE_VECTORS * lanes(units)):
            vectors = min(TILE_VECTORS, -(-(width - k) // lanes(units)))
            columns = vectors * lanes(units)
            b_at, step = pack(units, delta + k, stride, layers, rows, vectors, block)
            for i in range(j, j + block, UPDATE_ROWS):
                piece, at = min(UPDATE_ROWS, j + block - i), w + i * stride + k
                # A third of the piece's product at a time: while it runs, what the update needs of θ, then of the
                # first and the second moments, is fetched.
                third = -(-piece // (3 * TILE_ROWS)) * TILE_ROWS
                for part in range(3):
                    first = part * third
                    moment = min(part - 1, len(moments) // len(parameters) - 1)
                    hint = parameters if moment < 0 else moments
                    panel(units, zeros, NONE, units, a + i + first, ONE, a_stride, units, b_at, step,
                          units, g + first * columns, columns, min(third, piece - first), rows, vectors,
                          hint, at + max(moment, 0) * len(parameters), stride, piece)  # fmt: skip
                update(optimizer, rates, decay, units, g, columns, parameters, at, stride, moments,
                       piece, columns)  # fmt: skip
    for k in range(0, width, TILE_VECTORS * lanes(units)):
        columns = min(TILE_VECTORS * lanes(units), width - k)
        sum_rows(units, delta + k, stride, rows, columns, units, g)
        update(optimizer, rates, 0.0, units, g, columns, parameters, b + k, stride, moments, ONE, columns)


@njit
def pack(b, b_at, b_step, layers, depth, vectors, rows):
    """Where the panel of B at ``b_at`` is to be read, and from row to row: a packed copy in scratch if that pays."""
    if rows < PACK_ROWS or depth < PACK_DEPTH:
        return b_at, b_step
    packed = layers[0, SCRATCH] + SCRATCH_PANEL * lanes(b)
    copy_panel(b, b_at, b_step, b, packed, depth, vectors)
    return packed, vectors * lanes(b)


@njit
def sum_rows(units, delta, stride, rows, columns, sums, at):
    """sums[k] ← Σ_i δ[i, k]."""
    for k in range(0, columns, lanes(units)):
        total = splat(units, 0.0)
        for i in range(rows):
            total = total + load(units, delta + i * stride + k)
        store(sums, at + k, total)
