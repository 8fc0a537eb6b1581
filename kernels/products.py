"""The three matrix products of backpropagation, from one family of register tiles.

Each is C ← init + A·B with a sum over ``depth``: a tile of C stays in registers while one row of B at a time (vectors)
meets one column of A (scalars, broadcast). A is addressed by two strides, ``a_row`` and ``a_step``, so that

    forward          z^(m) = b^(m) + a^(m-1) W^(m)         A = a^(m-1)     B = W^(m)
    delta            ∂C/∂a^(m) = δ^(m+1) W^(m+1)ᵀ          A = δ^(m+1)     B = W^(m+1)ᵀ, transposed a panel at a time
    weight gradient  ∂C/∂W^(m) = a^(m-1)ᵀ δ^(m)            A = a^(m-1)ᵀ    B = δ^(m)

differ in addresses only. What follows each product element by element is applied while its result is in the cache: σ
and ⊙ σ′ to a panel of C, the update to a strip of rows.

Every element of C is one chain of fused products in the order of the summed index, and a chain that is interrupted
between two blocks goes on from what it stored: so its bits depend neither on the blocking nor on the tile it falls
into, and a row's outputs are the same at any position and batch size.
"""

import numpy as np

from .activations import SOFTMAX, activate, multiply_by_slope, softmax
from .jit import njit
from .layers import ACTIVATION, BIASES, DELTA, OUT, SCRATCH, STRIDE, WEIGHTS, WIDTH, A, Z
from .simd import (
    TILE_ROWS,
    TILE_VECTORS,
    fma,
    itemsize,
    lanes,
    load,
    load_tile,
    prefetch_l2,
    splat,
    store,
    store_tile,
    sum_lanes,
    tile_fma,
    tile_fma_packed,
    transpose_block,
    transpose_block_partial,
    with_lane,
)
from .simd import WIDTH as VECTOR_BYTES
from .updates import update

#: Blocking. A's block of so many bytes, as many terms and (at four bytes) as many rows, stays in the second-level
#: cache while all panels of B meet it; the TERMS rows of a panel of B that are worked on at a time, in the first-level
#: one.
BLOCK_BYTES, DEPTH_BLOCK, TERMS = 1 << 20, 512, 128
#: Terms of a packed tile between two jumps.
UNROLLED = 4
#: A's block is copied into the order in which tiles read it if so many panels of B will meet it.
PACK_PANELS, PACK_PANELS_COLUMNS = 8, 3
#: Rows of B that are so many bytes apart are copied together first, if so many rows of A meet them.
PACK_BYTES, PACK_ROWS = 1024, 48
#: The update: a strip of a^(m-1)ᵀ of so many bytes stays in the first-level cache while the columns of δ^(m), at most
#: so many bytes or columns of them, come by from the second-level one. The strip has from 2 to 10 tiles of rows, and 10
#: where more than TERMS observations are summed.
STRIP_BYTES, COLUMNS_BYTES, COLUMNS = 1 << 14, 1 << 18, 512
UPDATE_ROWS = 10 * TILE_ROWS
#: Matrices of so many bytes do not stay in the second-level cache from one pass to the next: the next rows of them are
#: fetched ahead.
LARGE = 1 << 19
#: Strides. Numba would compile a function anew for each literal integer it is called with, so these are int64.
NONE, ONE = np.int64(0), np.int64(1)
#: Sums that have not begun, for the same reason.
FRESH = np.bool_(False)
#: The sum of z^(1) over so many inputs is taken in two halves, which two threads can take side by side.
HALVES = 256
#: Scratch of the products, in bytes from its beginning: zeros; a panel of biases; a packed panel or block of columns of
#: B; gradients with their biases; A's block, or a strip of it, with the tile that its last rows leave unfilled.
SCRATCH_BIASES = TILE_VECTORS * VECTOR_BYTES
SCRATCH_PANEL = 2 * SCRATCH_BIASES
SCRATCH_GRADIENT = SCRATCH_PANEL + COLUMNS_BYTES
SCRATCH_BLOCK = SCRATCH_GRADIENT + (UPDATE_ROWS + 1) * (COLUMNS * 4 + VECTOR_BYTES)
SCRATCH_BYTES = SCRATCH_BLOCK + BLOCK_BYTES + (TILE_ROWS + 2) * DEPTH_BLOCK * 8


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


def _packed_product(vectors):
    @njit(inline=True)
    def product(init, init_at, init_row, a, a_at, b, b_at, b_step, c, c_at, c_row, depth):
        """C ← init + A·B for one tile, whose columns of A follow one another; overwrites."""
        tile = load_tile(init, init_at, init_row, TILE_ROWS, vectors)
        for _ in range(depth // UNROLLED):
            tile = tile_fma_packed(tile, a, a_at, b, b_at, b_step, UNROLLED)
            a_at += UNROLLED * TILE_ROWS
            b_at += UNROLLED * b_step
        for _ in range(depth % UNROLLED):
            tile = tile_fma_packed(tile, a, a_at, b, b_at, b_step, 1)
            a_at += TILE_ROWS
            b_at += b_step
        store_tile(c, c_at, c_row, tile)

    return product


def _panel_product(vectors):
    packed = _packed_product(vectors)
    full, eight, four, two, one = (_tile_product(rows, vectors) for rows in (TILE_ROWS, 8, 4, 2, 1))

    @njit(inline=False)
    def product(init, init_at, init_row, a, a_at, a_tile, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth):
        """C ← init + A·B for a panel of C, ``vectors`` wide, in tiles of as many rows as registers hold."""
        i = 0
        if a_step == TILE_ROWS:  # a packed block: no other step is, all being 1 or whole cache lines
            while i + TILE_ROWS <= rows:
                packed(init, init_at + i * init_row, init_row, a, a_at + i * a_tile, b, b_at, b_step,
                       c, c_at + i * c_row, c_row, depth)  # fmt: skip
                i += TILE_ROWS
        while i + TILE_ROWS <= rows:
            full(init, init_at + i * init_row, init_row, a, a_at + i * a_tile, a_row, a_step, b, b_at, b_step,
                 c, c_at + i * c_row, c_row, depth)  # fmt: skip
            i += TILE_ROWS
        a_at += i * (a_tile - a_row)  # to the last tile, whose rows are a_row apart
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
def panel(init, init_at, init_row, a, a_at, a_tile, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth,
          vectors):  # fmt: skip
    """C ← init + A·B for a panel of C one or two vectors wide. Row i of A begins at a_at + i·a_tile if a tile begins
    there, and the rows of a tile are a_row apart."""
    if vectors == 2:
        panel2(init, init_at, init_row, a, a_at, a_tile, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth)
    else:
        panel1(init, init_at, init_row, a, a_at, a_tile, a_row, a_step, b, b_at, b_step, c, c_at, c_row, rows, depth)


@njit
def fetch(b, b_at, b_step, rows, vectors):
    """Have so many rows of a panel brought into the second-level cache."""
    for _ in range(rows):
        for j in range(vectors):
            prefetch_l2(b, b_at + j * lanes(b))
        b_at += b_step


@njit
def copy_panel(b, b_at, b_step, packed, p_at, depth, vectors):
    """packed ← the panel of B that starts at ``b_at``, rows one after the other."""
    width = vectors * lanes(b)
    for _ in range(depth):
        for j in range(0, width, lanes(b)):
            store(packed, p_at + j, load(b, b_at + j))
        b_at += b_step
        p_at += width


@njit(inline=False)
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


@njit(inline=False)
def pack_rows(units, a, a_row, rows, terms, packed):
    """packed[tile, k, r] ← A[tile · TILE_ROWS + r, k], for A's block of ``rows`` rows from ``a``.

    A square of vectors is transposed at a time. What it writes beyond the rows of its tile is overwritten by what
    follows, which is why the last rows of a tile come first.
    """
    for i in range(0, rows, TILE_ROWS):
        for r in range((TILE_ROWS - 1) // lanes(units) * lanes(units), -1, -lanes(units)):
            if i + r < rows:
                for k in range(0, terms, lanes(units)):
                    source, target = a + (i + r) * a_row + k, packed + i * terms + k * TILE_ROWS + r
                    if i + r + lanes(units) <= rows:
                        transpose_block(units, source, a_row, units, target, TILE_ROWS)
                    else:
                        transpose_block_partial(units, source, a_row, units, target, TILE_ROWS, rows - i - r)


@njit
def block_of_rows(units, a, a_row, rows, terms, width, layers):
    """Where A's block at ``a`` is read, copied first if that pays for a C so wide: a_at, a_tile, a_row and a_step of
    ``panel``."""
    if rows < PACK_ROWS or width <= (PACK_PANELS - 1) * TILE_VECTORS * lanes(units):
        return a, a_row, a_row, ONE
    packed = layers[0, SCRATCH] + SCRATCH_BLOCK // itemsize(units)
    pack_rows(units, a, a_row, rows, terms, packed)
    return packed, terms, ONE, TILE_ROWS * ONE


@njit(inline=False)
def pack_columns(units, a, a_step, rows, terms, packed):
    """The same for the transpose of what stands in memory: packed[tile, k, r] ← A[k, tile · TILE_ROWS + r]."""
    for i in range(0, rows, TILE_ROWS):
        source, target = a + i, packed + i * terms
        for _ in range(terms):
            for r in range(0, TILE_ROWS, lanes(units)):
                store(units, target + r, load(units, source + r))
            source += a_step
            target += TILE_ROWS


@njit
def middle(layers, m):
    """Where the second half of the sum z^(m) = b + Σ_j a_j W[j] begins: half-way for layer 1 of many inputs, which two
    threads can then begin side by side; else at the end."""
    depth = layers[m - 1, WIDTH]
    return -(-depth // TILE_ROWS) // 2 * TILE_ROWS if m == 1 and depth >= HALVES else depth


@njit(apart=True)
def forward_product(layers, m, first, end, p, parameters, units, rows):
    """z^(m) = a^(m-1) W^(m) + b^(m) and a^(m) = σ^(m)(z^(m)); overwrites both. p is the activation's parameter.

    The second half of the sum is taken in the place of δ^(m). A half alone, terms first..end-1, stays as it is.
    """
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, OUT]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    z, delta, a_out = layers[m, Z], layers[m, DELTA], layers[m, A]
    code, half = layers[m, ACTIVATION], middle(layers, m)
    zeros, biases = layers[0, SCRATCH], layers[0, SCRATCH] + SCRATCH_BIASES // itemsize(units)
    packed = layers[0, SCRATCH] + SCRATCH_PANEL // itemsize(units)
    row_block = BLOCK_BYTES // (DEPTH_BLOCK * itemsize(units))
    far, large = stride * itemsize(units) >= PACK_BYTES, depth * stride * itemsize(units) >= LARGE
    whole = end - first == depth
    for i in range(0, rows, row_block):
        block = min(row_block, rows - i)
        for k in range(first, end, DEPTH_BLOCK):
            k_end = min(k + DEPTH_BLOCK, end)
            a_at, a_tile, a_row, a_step = block_of_rows(
                units, a + i * a_stride + k, a_stride, block, k_end - k, width, layers
            )
            for j in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - j) // lanes(units)))
                at, t = i * stride + j, k
                while t < k_end:
                    terms = min(TERMS, min(half if t < half else k_end, k_end) - t)
                    a_t, w_at, c = a_at + (t - k) * a_step, w + t * stride + j, (z if t < half else delta) + at
                    if large:  # the same rows of the next panel
                        fetch(parameters, w_at + vectors * lanes(units), stride, terms, vectors)
                    begin, begin_row = c, stride
                    if t == 0:
                        copy_panel(parameters, b + j, stride, units, biases, ONE, vectors)
                        begin, begin_row = biases, NONE
                    elif t == half:
                        begin, begin_row = zeros, NONE
                    if far and block >= PACK_ROWS:
                        step = vectors * lanes(units)
                        copy_panel(parameters, w_at, stride, units, packed, terms, vectors)
                        panel(units, begin, begin_row, units, a_t, a_tile, a_row, a_step, units, packed, step,
                              units, c, stride, block, terms, vectors)  # fmt: skip
                    else:
                        panel(units, begin, begin_row, units, a_t, a_tile, a_row, a_step, parameters, w_at, stride,
                              units, c, stride, block, terms, vectors)  # fmt: skip
                    t += terms
                if whole and k_end == depth and code != SOFTMAX:
                    columns = min(vectors * lanes(units), width - j)
                    if half < depth:
                        add(units, z + at, delta + at, stride, block, columns)
                    activate(code, p, units, z + at, a_out + at, stride, block, columns)
    if whole and code == SOFTMAX:
        if half < depth:
            add(units, z, delta, stride, rows, width)
        softmax(units, z, a_out, stride, rows, width)


@njit(apart=True)
def finish(layers, m, p, units, rows):
    """z^(m) and a^(m) from both halves of the sum."""
    z, delta, stride, width = layers[m, Z], layers[m, DELTA], layers[m, STRIDE], layers[m, WIDTH]
    add(units, z, delta, stride, rows, width)
    activate(layers[m, ACTIVATION], p, units, z, layers[m, A], stride, rows, width)


@njit
def add(units, z, delta, stride, rows, columns):
    """z ← z + its second half, which stands in the place of δ."""
    for i in range(rows):
        for j in range(i * stride, i * stride + columns, lanes(units)):
            store(units, z + j, load(units, z + j) + load(units, delta + j))


@njit(apart=True)
def delta_product(layers, m, p, parameters, units, rows, batch):
    """δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m)) for rows of a batch; overwrites. p is the activation's parameter."""
    width, stride, code = layers[m, WIDTH], layers[m, STRIDE], layers[m, ACTIVATION]
    depth, a_stride, a = layers[m + 1, WIDTH], layers[m + 1, STRIDE], layers[m + 1, DELTA]
    z, a_out, delta, w = layers[m, Z], layers[m, A], layers[m, DELTA], layers[m + 1, WEIGHTS]
    zeros = layers[0, SCRATCH]
    packed = layers[0, SCRATCH] + SCRATCH_PANEL // itemsize(units)
    row_block = BLOCK_BYTES // (DEPTH_BLOCK * itemsize(units))
    if batch == 1 or batch * width < 4 * lanes(units):  # the same way of summing for all rows of a batch
        few_deltas(w, a_stride, depth, parameters, a, delta, stride, width, units, rows)
        multiply_by_slope(code, p, units, z, a_out, delta, stride, rows, width)
        return
    for i in range(0, rows, row_block):
        block = min(row_block, rows - i)
        for k in range(0, depth, DEPTH_BLOCK):
            end = min(k + DEPTH_BLOCK, depth)
            a_at, a_tile, a_row, a_step = block_of_rows(
                units, a + i * a_stride + k, a_stride, block, end - k, width, layers
            )
            for j in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - j) // lanes(units)))
                step, at = vectors * lanes(units), i * stride + j
                for t in range(k, end, TERMS):
                    terms, a_t = min(TERMS, end - t), a_at + (t - k) * a_step
                    transpose_panel(
                        parameters, w + j * a_stride + t, a_stride, width - j, units, packed, terms, vectors
                    )
                    if t == 0:
                        panel(units, zeros, NONE, units, a_t, a_tile, a_row, a_step, units, packed, step,
                              units, delta + at, stride, block, terms, vectors)  # fmt: skip
                    else:
                        panel(units, delta + at, stride, units, a_t, a_tile, a_row, a_step, units, packed, step,
                              units, delta + at, stride, block, terms, vectors)  # fmt: skip
                if end == depth:
                    columns = min(step, width - j)
                    multiply_by_slope(code, p, units, z + at, a_out + at, delta + at, stride, block, columns)


@njit
def few_deltas(w, w_row, depth, parameters, a, delta, stride, width, units, rows):
    """δ^(m+1) W^(m+1)ᵀ for few rows, as scalar products of rows of W^(m+1) with δ^(m+1): nothing is transposed.

    A vector of sums is put together in a register: where scalars were stored, a vector could be loaded only after all
    of them had reached the cache.
    """
    for i in range(rows):
        for v in range(0, stride, lanes(units)):
            sums, first = splat(units, 0.0), w + v * w_row
            for j in range(min(lanes(units), width - v)):
                total = splat(units, 0.0)
                for k in range(0, depth, lanes(units)):
                    total = fma(load(units, a + i * w_row + k), load(parameters, first + j * w_row + k), total)
                sums = with_lane(sums, j, sum_lanes(total))
            store(units, delta + i * stride + v, sums)


@njit(apart=True)
def weight_gradient(layers, m, first, end, gradients, units, rows, begun):
    """∂C/∂W^(m) = a^(m-1)ᵀ δ^(m), its rows first..end-1, and with the last one ∂C/∂b^(m) = Σ_i δ^(m).

    Overwrites, or where the sums are ``begun`` goes on with them.
    """
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, OUT]
    width, stride, w, b = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, BIASES]
    delta, zeros = layers[m, DELTA], layers[0, SCRATCH]
    packed = layers[0, SCRATCH] + SCRATCH_PANEL // itemsize(units)
    packed_a = layers[0, SCRATCH] + SCRATCH_BLOCK // itemsize(units)
    row_block = BLOCK_BYTES // (DEPTH_BLOCK * itemsize(units))
    many = width > (PACK_PANELS_COLUMNS - 1) * TILE_VECTORS * lanes(units)
    for j in range(first, end, row_block):
        block = min(row_block, end - j)
        for i in range(0, rows, DEPTH_BLOCK):
            observations = min(DEPTH_BLOCK, rows - i)
            a_at, a_tile, a_step = a + i * a_stride + j, ONE, a_stride
            if many and observations >= PACK_ROWS:
                pack_columns(units, a_at, a_stride, block, observations, packed_a)
                a_at, a_tile, a_step = packed_a, observations, TILE_ROWS * ONE
            for k in range(0, width, TILE_VECTORS * lanes(units)):
                vectors = min(TILE_VECTORS, -(-(width - k) // lanes(units)))
                step, c = vectors * lanes(units), w + j * stride + k
                copy_panel(units, delta + i * stride + k, stride, units, packed, observations, vectors)
                for t in range(0, observations, TERMS):
                    terms, a_t = min(TERMS, observations - t), a_at + t * a_step
                    if i + t == 0 and not begun:
                        panel(units, zeros, NONE, units, a_t, a_tile, ONE, a_step, units, packed + t * step, step,
                              gradients, c, stride, block, terms, vectors)  # fmt: skip
                    else:
                        panel(gradients, c, stride, units, a_t, a_tile, ONE, a_step, units, packed + t * step, step,
                              gradients, c, stride, block, terms, vectors)  # fmt: skip
    if end == depth:
        sum_rows(units, delta, stride, rows, width, gradients, b, begun)


@njit(apart=True)
def weight_update(layers, m, first, end, optimizer, rates, hyper, parameters, moments, units, rows):
    """Update rows first..end-1 of W^(m), and with the last one b^(m), from the gradients of at most DEPTH_BLOCK
    observations, which are not kept.

    A few rows of ∂C/∂W at a time are summed into scratch, and their parameters updated while they are in the cache.
    """
    depth, a_stride, a = layers[m - 1, WIDTH], layers[m - 1, STRIDE], layers[m - 1, OUT]
    width, stride, w, delta = layers[m, WIDTH], layers[m, STRIDE], layers[m, WEIGHTS], layers[m, DELTA]
    zeros, size = layers[0, SCRATCH], rows * itemsize(units)
    packed = layers[0, SCRATCH] + SCRATCH_PANEL // itemsize(units)
    strip = layers[0, SCRATCH] + SCRATCH_BLOCK // itemsize(units)
    g = layers[0, SCRATCH] + SCRATCH_GRADIENT // itemsize(units)
    panel_width = TILE_VECTORS * lanes(units)
    most = max(1, min(COLUMNS * 4 // itemsize(units), COLUMNS_BYTES // size) // panel_width) * panel_width
    tall = max(2, min(UPDATE_ROWS // TILE_ROWS, STRIP_BYTES // (size * TILE_ROWS))) * TILE_ROWS
    if rows > TERMS:  # a strip stays in the second-level cache then, and the panel of δ^(m) in the first
        tall = UPDATE_ROWS * ONE
    for k in range(0, width, most):
        columns = min(most, width - k)
        g_row = -(-columns // panel_width) * panel_width + lanes(units)  # an odd number of vectors: all L1 sets
        copied = end - first >= PACK_ROWS and columns > lanes(units)
        if copied:
            for c in range(0, columns, panel_width):
                vectors = min(TILE_VECTORS, -(-(columns - c) // lanes(units)))
                copy_panel(units, delta + k + c, stride, units, packed + c * rows, rows, vectors)
        for j in range(first, end, tall):
            piece, at = min(tall, end - j), w + j * stride + k
            a_at, a_tile, a_step = a + j, ONE, a_stride
            if columns > (PACK_PANELS_COLUMNS - 1) * panel_width and rows >= PACK_ROWS:
                pack_columns(units, a_at, a_stride, piece, rows, strip)
                a_at, a_tile, a_step = strip, rows, TILE_ROWS * ONE
            for c in range(0, columns, panel_width):
                vectors = min(TILE_VECTORS, -(-(columns - c) // lanes(units)))
                if copied:
                    b_at, b_step = packed + c * rows, vectors * lanes(units)
                else:
                    b_at, b_step = delta + k + c, stride
                for t in range(0, rows, TERMS):
                    terms, begin, begin_row = min(TERMS, rows - t), g + c, g_row
                    if t == 0:
                        begin, begin_row = zeros, NONE
                    panel(units, begin, begin_row, units, a_at + t * a_step, a_tile, ONE, a_step, units,
                          b_at + t * b_step, b_step, units, g + c, g_row, piece, terms, vectors)  # fmt: skip
            last = np.int64(j + piece == depth)
            if last:  # b^(m) is the row after the last one of W^(m)
                sum_rows(units, delta + k, stride, rows, columns, units, g + piece * g_row, FRESH)
            update(optimizer, rates, hyper, units, g, g_row, parameters, at, stride, moments,
                   piece, piece + last, columns)  # fmt: skip


@njit
def sum_rows(units, delta, stride, rows, columns, sums, at, begun):
    """sums[k] ← Σ_i δ[i, k], added to what is there if ``begun``."""
    for k in range(0, columns, lanes(units)):
        total = load(sums, at + k) if begun else splat(units, 0.0)
        for i in range(rows):
            total = total + load(units, delta + i * stride + k)
        store(sums, at + k, total)
