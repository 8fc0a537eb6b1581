"""Each SIMD operation against NumPy for both dtypes; checked and narrower builds in their own processes."""

import math
import os
import pickle
import platform
import re
import subprocess
import sys

import numpy as np
import pytest
from fastprop.kernels import simd
from fastprop.kernels.jit import block
from fastprop.kernels.jit import standalone as compiled
from fastprop.kernels.simd import *  # noqa: F403
from numba import types
from numba.core.errors import TypingError

# ruff: noqa: F405

DTYPES = [np.float32, np.float64]


def width(dtype):
    return simd.WIDTH // np.dtype(dtype).itemsize


def vectors(dtype, count=1, low=-5.0, high=5.0, seed=0):
    """`count` vectors of random numbers, as one flat array."""
    return np.random.default_rng(seed).uniform(low, high, count * width(dtype)).astype(dtype)


def rows_of(kernel, rows, *inputs):
    """What a kernel stores into the rows of its last argument."""
    out = np.full((rows, width(inputs[0].dtype)), np.nan, inputs[0].dtype)
    kernel(*inputs, out)
    return out


# The host --------------------------------------------------------------------------------------------------

AVX2 = {"sse2", "avx", "avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("features", "forced", "level"),
    [
        (AVX512, None, "avx512"),
        (AVX512, "avx2", "avx2"),
        (AVX512, "portable", "portable"),
        (AVX2, None, "avx2"),
        (AVX2, "", "avx2"),
        (AVX2 - {"fma"}, None, "portable"),
        (AVX512 - {"avx512dq"}, None, "avx2"),
        ({"neon"}, None, "portable"),
    ],
)
def test_level_for_the_host(features, forced, level):
    assert simd._choose_level(features, forced) == level


@pytest.mark.parametrize(
    ("features", "forced", "message"),
    [
        (AVX512, "sse9", "one of avx512, avx2, portable; got 'sse9'"),
        (AVX2, "avx512", "more than this CPU has: portable, avx2"),
        (set(), "avx2", "more than this CPU has: portable"),
    ],
)
def test_level_refused(features, forced, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        simd._choose_level(features, forced)


# Loads and stores ------------------------------------------------------------------------------------------


@compiled
def copy_vector(source, i, target, j):
    store(target, j, load(source, i))


@compiled
def copy_partial(source, i, target, j, count):
    store_partial(target, j, load_partial(source, i, count) + 100, count)


@compiled
def load_some(source, i, count, target):
    store(target, 0, load_partial(source, i, count))


@pytest.mark.parametrize("dtype", [*DTYPES, np.int32, np.int64])
def test_load_and_store_at_any_element(dtype):
    n = width(dtype)
    source = np.arange(3 * n, dtype=dtype)
    source.flags.writeable = False
    for i in range(n):
        target = np.zeros(2 * n, dtype)
        copy_vector(source, i, target, n - i)
        expected = np.zeros(2 * n, dtype)
        expected[n - i : 2 * n - i] = source[i : i + n]
        np.testing.assert_array_equal(target, expected)


def test_arrays_of_two_dimensions_are_indexed_flat():
    source = vectors(np.float32, 6).reshape(3, -1)
    target = np.zeros((2, width(np.float32)), np.float32)
    copy_vector(source, 3, target, width(np.float32))
    np.testing.assert_array_equal(target[1], source.ravel()[3 : 3 + width(np.float32)])


@pytest.mark.parametrize("dtype", [*DTYPES, np.int32])
def test_partial_loads_and_stores(dtype):
    n = width(dtype)
    source = np.arange(1, n + 1, dtype=dtype)
    for count in range(-2, n + 3):
        inside = min(max(count, 0), n)
        out = np.full(n, 7, dtype)
        load_some(source, n - inside, count, out)
        np.testing.assert_array_equal(out, [*source[n - inside :], *[0] * (n - inside)])
        target = np.full(n + 4, 7, dtype)
        copy_partial(source, n - inside, target, 2, count)
        expected = np.full(n + 4, 7, dtype)
        expected[2 : 2 + inside] = source[n - inside :] + 100
        np.testing.assert_array_equal(target, expected)


def test_an_empty_partial_load_reads_nothing():
    target = np.ones(width(np.float32), np.float32)
    load_some(np.zeros(0, np.float32), 0, 0, target)
    np.testing.assert_array_equal(target, 0)


@compiled
def broadcast_and_insert(source, i, lane, target):
    store(target, 0, broadcast(source, i))
    store(target, lanes(source), with_lane(load(source, 0), lane, 100))
    target[2 * lanes(source)] = itemsize(source)


@pytest.mark.parametrize("dtype", DTYPES)
def test_single_numbers_in_and_out_of_vectors(dtype):
    n = width(dtype)
    source = vectors(dtype)
    source.flags.writeable = False
    for i in range(n):
        target = np.zeros(2 * n + 1, dtype)
        broadcast_and_insert(source, i, n - 1 - i, target)
        np.testing.assert_array_equal(target[:n], source[i])
        expected = source.copy()
        expected[n - 1 - i] = 100
        np.testing.assert_array_equal(target[n : 2 * n], expected)
        assert target[-1] == source.itemsize


@compiled
def halved_twice(x, out):
    before = flush_subnormals()
    store(out, 0, load(x, 0) * 0.5)
    store(out, lanes(x), load(x, lanes(x)) + load(x, lanes(x)))
    restore_subnormals(before)
    store(out, 2 * lanes(x), load(x, 0) * 0.5)


@pytest.mark.skipif(not (simd._X86 or simd._ARM), reason="it is not known how this processor flushes them")
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_numbers_count_as_zero_until_they_are_restored(dtype):
    n, tiny = width(dtype), np.finfo(dtype).tiny
    out = np.full(3 * n, np.nan, dtype)
    halved_twice(np.repeat(np.array([tiny, tiny / 2], dtype), n), out)
    np.testing.assert_array_equal(out, np.repeat(np.array([0, 0, tiny / 2], dtype), n))


@compiled
def ticks_over(n):
    start, x = ticks(), 1.0
    for _ in range(n):
        x = math.sqrt(x + n)
    return ticks() - start, x


@pytest.mark.skipif(not (simd._X86 or simd._ARM), reason="no clock of this processor's is known")
def test_ticks_go_on():
    times = [min(ticks_over(n)[0] for _ in range(20)) for n in (1000, 100_000)]
    assert 0 < 20 * times[0] < times[1]


@compiled
def prefetch_anything(x):
    prefetch(x, -1000)
    prefetch_l2(x, 10**9)


def test_prefetch_of_any_index():
    prefetch_anything(np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((64, 64), np.float32)[:, ::2], 0, np.zeros(64, np.float32), 0), "C-contiguous"),
        ((np.ones(64, np.float32), 0, np.zeros(64, np.float64), 0), "vectors of one type"),
        ((np.ones(64, np.complex64), 0, np.zeros(64, np.complex64), 0), "array of numbers"),
    ],
)
def test_wrong_arrays_are_refused_at_compile_time(arguments, message):
    with pytest.raises(TypingError, match=message):
        copy_vector(*arguments)


def test_stores_into_read_only_arrays_are_refused_at_compile_time():
    target = np.zeros(64, np.float32)
    target.flags.writeable = False
    with pytest.raises(TypingError, match="writable"):
        copy_vector(np.ones(64, np.float32), 0, target, 0)


def test_types_survive_pickling():
    vector = Vector(types.float32, 8)
    assert pickle.loads(pickle.dumps(vector)) == vector
    assert pickle.loads(pickle.dumps(Tile(vector, 6, 2))) == Tile(vector, 6, 2)


# Views ------------------------------------------------------------------------------------------------------


def with_views(function, *types_of_arguments):
    """An entry point that takes arrays as views."""
    return compiled(function).compile(types_of_arguments)


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_of_views(dtype):
    number = types.float32 if dtype == np.float32 else types.float64

    def shift(x, table, column):
        """x_i += the row's entries in a fixed column and in a given one, which it swaps."""
        for i in range(len(table)):
            x[i] += table[i, 0] + table[i, column]
            table[i, 0], table[i, column] = table[i, column], table[i, 0]
        x[len(x) - 1] = 7
        return len(x)

    shift = with_views(shift, View(number), View(types.int64, 2), types.int64)
    x, table = np.arange(6, dtype=dtype), np.arange(12).reshape(4, 3)
    assert shift(x, table, 2) == 6
    np.testing.assert_array_equal(x, [2, 9, 16, 23, 4, 7])
    np.testing.assert_array_equal(table, np.arange(12).reshape(4, 3)[:, ::-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_of_views(dtype):
    number = types.float32 if dtype == np.float32 else types.float64

    def double(source, target):
        for i in range(0, len(target), lanes(source)):
            store_partial(target, i, load_partial(source, i, len(target) - i) * 2.0, len(target) - i)

    double = with_views(double, View(number, 2, mutable=False), View(number))
    source = np.arange(4.0 * width(dtype)).astype(dtype).reshape(4, -1)
    source.flags.writeable = False
    target = np.zeros(3 * width(dtype) + 1, dtype)
    double(source, target)
    np.testing.assert_array_equal(target, 2 * source.ravel()[: len(target)])


def test_what_views_refuse():
    def write(x):
        x[0] = 1.0

    def read(x):
        return x[0]

    def write_vector(x):
        store(x, 0, load(x, 0))

    single, table = View(types.float32, mutable=False), View(types.float32, 2)
    for function, view in (write, single), (write_vector, single), (write, table), (read, table):
        with pytest.raises(TypingError):
            with_views(function, view)
    with pytest.raises(TypeError, match="different type"):
        with_views(read, View(types.float32))(np.zeros(3))
    with pytest.raises(TypeError):
        with_views(read, View(types.float32))([1.0])


# Arithmetic ------------------------------------------------------------------------------------------------


@compiled
def arithmetic(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    c = a
    c += b
    c *= 2
    store(out, 0 * n, a + b)
    store(out, 1 * n, a - b)
    store(out, 2 * n, a * b)
    store(out, 3 * n, a / b)
    store(out, 4 * n, -a)
    store(out, 5 * n, 1 - a * 0.5)
    store(out, 6 * n, 2 / b)
    store(out, 7 * n, c)
    store(out, 8 * n, splat(x, 3) + splat(a, x[1]))
    store(out, 9 * n, lane_index(x))
    store(out, 10 * n, by_dtype(x, 32, 64) + 0.0 * a)
    store(out, 11 * n, splat(x, lanes(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic(dtype):
    x, y = vectors(dtype), vectors(dtype, seed=1)
    n, one = width(dtype), np.ones(width(dtype))
    bits = np.dtype(dtype).itemsize * 8
    expected = [x + y, x - y, x * y, x / y, -x, 1 - x / 2, 2 / y, 2 * (x + y), (3 + x[1]) * one, np.arange(n)]
    expected += [bits * one, n * one]
    np.testing.assert_allclose(rows_of(arithmetic, 12, x, y), expected, rtol=2 * np.finfo(dtype).eps)


@compiled
def functions(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, absolute(a))
    store(out, 1 * n, sqrt(absolute(a)))
    store(out, 2 * n, floor(a))
    store(out, 3 * n, round_even(a))
    store(out, 4 * n, copysign(a, b))
    store(out, 5 * n, minimum(a, b))
    store(out, 6 * n, maximum(a, 0))
    store(out, 7 * n, as_floats(as_integers(a) ^ as_integers(b)))
    store(out, 8 * n, to_floats(to_integers(a)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_exact(dtype):
    x, y = vectors(dtype), vectors(dtype, seed=1)
    halves = [0.5, 1.5, -0.5, -2.5][: x.size]
    x[: len(halves)] = halves
    bits = f"i{np.dtype(dtype).itemsize}"
    expected = [np.abs(x), np.sqrt(np.abs(x)), np.floor(x), np.rint(x), np.copysign(x, y), np.minimum(x, y)]
    expected += [np.maximum(x, 0), (x.view(bits) ^ y.view(bits)).view(dtype), np.trunc(x)]
    np.testing.assert_array_equal(rows_of(functions, 9, x, y), expected)


@compiled
def extremes(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, minimum(a, b))
    store(out, 1 * n, maximum(a, b))
    store(out, 2 * n, maximum(0.0, a))


@pytest.mark.parametrize("dtype", DTYPES)
def test_minimum_and_maximum_take_the_second_operand_beside_nan(dtype):
    x, y = vectors(dtype), vectors(dtype, seed=1)
    x[0], y[1] = np.nan, np.nan
    lower, upper, relu = rows_of(extremes, 3, x, y)
    for out in (lower, upper):
        assert out[0] == y[0]
        assert np.isnan(out[1])
    np.testing.assert_array_equal(relu, np.maximum(0, x))  # NaN among them


@compiled
def fused(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, fma(a, b, 1.5))
    store(out, 1 * n, polynomial(a, (1.0, -2.0, 3.0, 0.5, -0.25)))
    store(out, 2 * n, polynomial(b, (7.0,)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_and_polynomial(dtype):
    x, y = vectors(dtype), vectors(dtype, seed=1)
    wide = x.astype(float)
    expected = [wide * y + 1.5, np.polyval([-0.25, 0.5, 3, -2, 1], wide), np.full(width(dtype), 7)]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(rows_of(fused, 3, x, y), expected, rtol=4 * eps, atol=300 * eps)


@compiled
def approximations(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, divide(b, a))
    store(out, 1 * n, reciprocal(a))
    store(out, 2 * n, reciprocal_sqrt(a))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fast_division_and_square_root_in_ulps(dtype):
    limit = np.log2(float(np.finfo(dtype).max)) - 2
    worst = np.zeros(3)
    for seed in range(300):
        x, y = np.exp2(vectors(dtype, 1, -limit / 2, limit / 2, seed)), vectors(dtype, 1, 1, 2, seed)
        wide = x.astype(np.longdouble)
        truth = np.array([y / wide, 1 / wide, 1 / np.sqrt(wide)])
        error = np.abs(rows_of(approximations, 3, x, y) - truth) / np.spacing(truth.astype(dtype))
        worst = np.maximum(worst, error.max(1).astype(float))
    assert np.all(worst <= [2, 2, 4]), worst


@pytest.mark.parametrize("dtype", DTYPES)
def test_reciprocal_sqrt_of_zero_gives_the_square_root_of_zero(dtype):
    x = np.zeros(width(dtype), dtype)
    y = rows_of(approximations, 3, x, x)[2]
    assert np.all(np.isfinite(y))
    np.testing.assert_array_equal(x * y, 0)


@compiled
def scaled(x, y, out):
    store(out, 0, scale_by_power(load(x, 0), load(y, 0)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_by_power_underflows_gradually(dtype):
    info = np.finfo(dtype)
    x = vectors(dtype, 1, 0.5, 2)
    for n in (
        0,
        3,
        -7,
        info.minexp - 1,
        info.minexp - 5,
        info.minexp - info.nmant,
        -2 * info.maxexp + 2,
        info.maxexp + 1,
    ):
        with np.errstate(over="ignore", under="ignore"):
            expected = np.ldexp(x, n)
        np.testing.assert_array_equal(rows_of(scaled, 1, x, np.full_like(x, n))[0], expected)


# Masks and integers ----------------------------------------------------------------------------------------


@compiled
def comparisons(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, select(a < b, 1.0, splat(a, 0)))
    store(out, 1 * n, select(a <= b, 1.0, splat(a, 0)))
    store(out, 2 * n, select(a > b, 1.0, splat(a, 0)))
    store(out, 3 * n, select(a >= b, 1.0, splat(a, 0)))
    store(out, 4 * n, select(a == b, 1.0, splat(a, 0)))
    store(out, 5 * n, select(a != b, 1.0, splat(a, 0)))
    store(out, 6 * n, select((a < 0) & (b < 0), a, b))
    store(out, 7 * n, select((a < 0) | ~(b < 0), a, b))
    store(out, 8 * n, select((a < 0) ^ (b < 0), a, b))
    store(out, 9 * n, select(first_lanes(x, 3), a, 0))
    store(out, 10 * n, select(first_lanes(x, -3), a, 0))
    store(out, 11 * n, select(first_lanes(x, 300), a, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_comparisons_and_masks(dtype):
    x, y = vectors(dtype, 1, -2, 2).round(), vectors(dtype, 1, -2, 2, seed=1).round()
    x[0] = np.nan
    y[1] = np.nan
    i = np.arange(width(dtype))
    expected = [x < y, x <= y, x > y, x >= y, x == y, x != y]
    expected += [np.where((x < 0) & (y < 0), x, y), np.where((x < 0) | ~(y < 0), x, y)]
    expected += [np.where((x < 0) ^ (y < 0), x, y), np.where(i < 3, x, 0), 0 * i, x]
    np.testing.assert_array_equal(rows_of(comparisons, 12, x, y), expected)


@compiled
def integer_functions(x, y, out):
    n, a, b = lanes(x), load(x, 0), load(y, 0)
    store(out, 0 * n, a + b)
    store(out, 1 * n, a - b)
    store(out, 2 * n, a * b)
    store(out, 3 * n, a & b)
    store(out, 4 * n, a | b)
    store(out, 5 * n, a ^ b)
    store(out, 6 * n, ~a)
    store(out, 7 * n, -a)
    store(out, 8 * n, a << 3)
    store(out, 9 * n, a >> 2)
    store(out, 10 * n, select(a < b, a, b))
    store(out, 11 * n, lane_index(x) + 1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers(dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-1000, 1000, width(dtype)).astype(dtype) for _ in range(2))
    out = np.zeros((12, x.size), dtype)
    integer_functions(x, y, out)
    expected = [x + y, x - y, x * y, x & y, x | y, x ^ y, ~x, -x, x << 3, x >> 2, np.minimum(x, y)]
    np.testing.assert_array_equal(out, [*expected, np.arange(1, x.size + 1)])


def test_mixed_types_are_refused_at_compile_time():
    with pytest.raises(TypingError, match="vectors of one type"):
        fused(vectors(np.float32), vectors(np.float64), vectors(np.float32))
    with pytest.raises(TypingError):
        arithmetic(*[np.ones(64, np.int32)] * 3)  # integers have no division


# Across lanes ----------------------------------------------------------------------------------------------


@compiled
def reductions(x, out):
    v = load(x, 0)
    out[0] = sum_lanes(v)
    out[1] = max_lanes(v)
    out[2] = any_lanes(v > 100)
    out[3] = any_lanes(v == x[x.size - 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions_by_halves(dtype):
    x = vectors(dtype, 1, -1, 1)
    out = np.zeros(4, dtype)
    reductions(x, out)
    halves = x.copy()
    while halves.size > 1:
        halves = halves[: halves.size // 2] + halves[halves.size // 2 :]
    np.testing.assert_array_equal(out, [halves[0], x.max(), 0, 1])


# Tiles -----------------------------------------------------------------------------------------------------


def product_kernel(rows, vectors):
    """C ← A·B + bias, and once more on top of what is in C, for one tile of C."""

    @compiled
    def product(a, row_stride, column_stride, b, bias, c, depth):
        ldb = vectors * lanes(b)
        tile = splat_row_tile(bias, 0, rows, vectors)
        again = zero_tile(b, rows, vectors)
        for k in range(depth):
            tile = tile_fma(tile, a, k * column_stride, row_stride, b, k * ldb)
        for k in range(depth):
            again = tile_fma(again, a, k * column_stride, row_stride, b, k * ldb)
        store_tile(c, 0, ldb, tile)
        store_tile(c, 0, ldb, add_tile(load_tile(c, 0, ldb, rows, vectors), again))

    return product


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 4), (simd.TILE_ROWS, simd.TILE_VECTORS)])
def test_tiles_sum_matrix_products(shape):
    rows, count = shape
    product = product_kernel(rows, count)
    for dtype in DTYPES:
        for depth in (0, 1, 37):
            a = vectors(dtype, rows * depth)[: rows * depth].reshape(rows, depth)
            b = vectors(dtype, count * depth, seed=1).reshape(depth, count * width(dtype))
            bias = vectors(dtype, count, seed=2)
            expected = 2 * (a.astype(float) @ b) + bias
            for addressed, strides in ((a, (depth, 1)), (np.ascontiguousarray(a.T), (1, rows))):
                c = np.full((rows, bias.size), np.nan, dtype)
                product(addressed, *strides, b, bias, c, depth)
                eps = np.finfo(dtype).eps
                np.testing.assert_allclose(c, expected, rtol=40 * eps, atol=40 * 25 * eps)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 4), (simd.TILE_ROWS, simd.TILE_VECTORS)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_columns_give_the_same_bits(shape, dtype):
    rows, count = shape

    @compiled
    def packed(a, b, c, pairs):
        tile, ldb = zero_tile(b, rows, count), count * lanes(b)
        for k in range(pairs):
            tile = tile_fma_packed(tile, a, 2 * k * rows, b, 2 * k * ldb, ldb, 2)
        store_tile(c, 0, ldb, tile_fma_packed(tile, a, 2 * pairs * rows, b, 2 * pairs * ldb, ldb, 1))

    a = vectors(dtype, 37 * rows)[: 37 * rows].reshape(37, rows)
    b = vectors(dtype, 37 * count, seed=1)
    c, expected = (np.full((rows, count * width(dtype)), np.nan, dtype) for _ in range(2))
    packed(a, b, c, 18)
    product_kernel(rows, count)(a, 1, rows, b, np.zeros(count * width(dtype), dtype), expected, 37)
    np.testing.assert_array_equal(2 * c, expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.skipif(simd.CHECKED, reason="the checked build has more to keep in registers")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_largest_tile_stays_in_registers(dtype, packed):
    rows, count = simd.TILE_ROWS, simd.TILE_VECTORS

    @compiled
    def strided(a, lda, b, c, depth):
        tile = zero_tile(b, rows, count)
        for k in range(depth):
            tile = tile_fma(tile, a, k, lda, b, k * count * lanes(b))
        store_tile(c, 0, count * lanes(b), tile)

    @compiled
    def consecutive(a, ldb, b, c, depth):
        tile = zero_tile(b, rows, count)
        for k in range(depth):
            tile = tile_fma_packed(tile, a, 2 * k * rows, b, 2 * k * ldb, ldb, 2)
        store_tile(c, 0, count * lanes(b), tile)

    product = consecutive if packed else strided
    product(vectors(dtype), 0, vectors(dtype, count), vectors(dtype, rows * count), 0)
    (assembly,) = product.inspect_asm().values()
    lines = assembly.splitlines()
    sums = [i for i, line in enumerate(lines) if re.search(r"fmadd|mulp[sd]", line)]
    assert len(sums) >= rows * count
    loop = lines[sums[0] : sums[-1]]
    assert not [line for line in loop if re.search(r"[xyz]mm", line) and re.search(r"\(%r[sb]p\)", line)]
    loads = [line for line in loop if re.search(r"fmadd.*\(%r.*\{1to", line)]
    assert len(loads) == (2 * count * (rows // 3) if packed and simd.LEVEL == "avx512" else 0)


def test_tile_shapes_must_be_known_to_the_compiler():
    @compiled
    def kernel(x, rows):
        store_tile(x, 0, 0, zero_tile(x, rows, 1))

    with pytest.raises(TypingError, match="rows must be a compile-time integer"):
        kernel(vectors(np.float32), 2)


@compiled
def transpose(source, i, s_stride, target, j, d_stride):
    transpose_block(source, i, s_stride, target, j, d_stride)


@compiled
def transpose_some(source, i, s_stride, target, j, d_stride, rows):
    transpose_block_partial(source, i, s_stride, target, j, d_stride, rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposes(dtype):
    n = width(dtype)
    source, target = vectors(dtype, n + 5).reshape(-1, n + 5), np.zeros((n + 1, n + 3), dtype)
    transpose(source, 2, n + 5, target, 1, n + 3)
    expected = np.zeros_like(target)
    expected[:n, 1 : n + 1] = source[:n, 2 : n + 2].T
    np.testing.assert_array_equal(target, expected)
    for rows in (-1, 0, 1, n // 2 + 1, n, n + 2):
        transpose_some(source, 2, n + 5, target, 1, n + 3, rows)
        expected[:n, 1 : n + 1] = np.where(np.arange(n)[:, None] < rows, source[:n, 2 : n + 2], 0).T
        np.testing.assert_array_equal(target, expected)


# Builds in processes of their own --------------------------------------------------------------------------


def run(code_or_arguments, **environment):
    """A fresh interpreter with these environment variables."""
    environment = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *code_or_arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


CHECKED_BUILD = """
import numba
import numpy as np
from numba import types
from fastprop.kernels.simd import *

@numba.njit(nogil=True)
def read(x, i):
    return load(x, i)

@numba.njit(nogil=True)
def outer(x, y, i, j, count):
    store_partial(y, j, read(x, i), count)

assert CHECKED
n = WIDTH // 4
x, y = np.zeros(2 * n + 1, np.float32), np.zeros(n, np.float32)
for arguments in (0, 0, n), (n + 1, 0, n + 9), (0, n - 2, 2), (0, 10**6, 0):
    outer(x, y, *arguments)
for i, j, count, kernel, access, index, size in [
    (n + 2, 0, n, "read", "load", n + 2, x.size),
    (-1, 0, n, "read", "load", -1, x.size),
    (2**63 - 1, 0, n, "read", "load", 2**63 - 1, x.size),
    (0, n - 2, 3, "outer", "store", n - 2, y.size),
    (0, -1, 1, "outer", "store", -1, y.size),
]:
    try:
        outer(x, y, i, j, count)
    except AccessError as error:
        assert isinstance(error, IndexError)
        assert error.kernel == kernel and error.access == access + " of float32", error
        assert error.index == index and error.size == size, error
        assert all(str(part) in str(error) for part in (kernel, access, index, size)), error
    else:
        raise AssertionError((i, j, count))

def number(x, i, k):
    x[i, k] += 1
    return x[i, k]

number = numba.njit(number).compile((View(types.int64, 2), types.int64, types.int64))
table = np.zeros((3, 4), np.int64)
assert number(table, 2, 3) == 1
for i, k, index in (3, 0, 12), (0, -1, -1), (-1, 3, -1):
    try:
        number(table, i, k)
    except AccessError as error:
        assert error.kernel == "number" and error.index == index and error.size == 12, error
    else:
        raise AssertionError((i, k))
assert table.sum() == 1
"""


def test_the_checked_build_reports_kernel_index_and_size():
    result = run(["-c", CHECKED_BUILD], FASTPROP_CHECKED="1")
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(simd.CHECKED, reason="this is the checked build")
def test_an_unchecked_build_has_no_branches():
    @compiled
    def copy(source, i, target, j):
        store(target, j, load(source, i))

    copy(vectors(np.float32), 0, vectors(np.float32), 0)
    (llvm,) = copy.inspect_llvm().values()
    body = llvm[llvm.index("define") :]
    assert "br i1" not in body[: body.index("\n}")]


@pytest.mark.parametrize("level", ["avx2", "portable"])
def test_the_arithmetic_of_a_narrower_build(level):
    if os.environ.get("FASTPROP_SIMD") or level == simd.LEVEL or simd.LEVEL == "portable":
        pytest.skip("no narrower width, or one that is forced already")
    chosen = "arithmetic or functions or partial or scale or ulps or comparisons or tiles or transposes or halves"
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"({chosen}) and not build", __file__]
    result = run(arguments, FASTPROP_SIMD=level)
    assert result.returncode == 0, result.stdout[-3000:]


def test_an_unknown_width_is_refused():
    result = run(["-c", "import fastprop.kernels.simd"], FASTPROP_SIMD="mmx")
    assert result.returncode != 0
    assert "FASTPROP_SIMD must be one of avx512, avx2, portable; got 'mmx'" in result.stderr


# Formulas written for numbers, and calls by address -----------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_formulas_for_numbers_take_vectors(dtype):
    @compiled
    def kernel(x, out):
        v = load(x, 0)
        store(out, 0 * lanes(x), abs(v) + math.fabs(v))
        store(out, 1 * lanes(x), min(v, 1) - max(-2, v))
        store(out, 2 * lanes(x), math.sqrt(v**2) + math.floor(v))
        store(out, 3 * lanes(x), +(v**-3))
        store(out, 4 * lanes(x), v**0 + v**1 - v**5)
        store(out, 5 * lanes(x), select(v > 0, 1, 0.25))

    x = vectors(dtype)
    expected = [
        2 * np.abs(x),
        np.minimum(x, 1) - np.maximum(x, -2),
        np.abs(x) + np.floor(x),
        x**-3,
        1 + x - x**5,
        np.where(x > 0, 1, 0.25),
    ]
    np.testing.assert_allclose(rows_of(kernel, 6, x), expected, rtol=10 * np.finfo(dtype).eps)


def test_a_number_is_a_vector_of_one_lane():
    @compiled
    def kernel(x):
        return as_given(x, fma(as_vector(x), 0.5, 0.1))

    assert kernel(np.float32(3)) == float(np.float32(1.6))
    assert kernel(3.0) == 1.6
    assert kernel(3) == 1.6


@pytest.mark.parametrize("dtype", DTYPES)
def test_call_by_address(dtype):
    def scale(data, size, first, count, factor):
        array = view_at(data, size)
        for i in range(first, first + count):
            array[i] *= factor
        return float(size)

    @compiled
    def kernel(address, x):
        return call_block(address, x, (1, 2), 0.5)

    compiled_block = block(scale, np.dtype(dtype))
    x = np.full(5, 8, dtype)
    assert kernel(compiled_block.address, x) == 5
    np.testing.assert_array_equal(x, [8, 4, 4, 8, 8])
