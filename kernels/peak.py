"""The processor's limit, to measure the products against: multiply-adds that touch nothing but registers."""

import time

import numpy as np
from numba import types

from .jit import njit
from .simd import TILE_ROWS, TILE_VECTORS, View, lanes, load_tile, store_tile, tile_fma


@njit(entry={"a": View, "b": View, "parameters": View, "repeats": lambda number: types.int64})
def _multiply_add(a, b, parameters, repeats):
    """A tile of parameters += a·b, ``repeats`` times. The loop stores nothing, so its operands are loaded before it."""
    stride = TILE_VECTORS * lanes(parameters)
    c = load_tile(parameters, 0, stride, TILE_ROWS, TILE_VECTORS)
    for _ in range(repeats):
        c = tile_fma(c, a, 0, 0, b, 0)
    store_tile(parameters, 0, stride, c)
    return TILE_ROWS * stride


def fma_peak(dtype="float32", repeats=200_000):
    """GFLOP/s of one core in a loop of multiply-adds over one register tile: the best of ten runs.

    Examples
    --------
    >>> from fastprop.kernels.peak import fma_peak
    >>> fma_peak("float64", repeats=1000) > 0.01
    True
    """
    a = np.full(1, 1e-3, dtype)
    b, tile = np.ones(1024, dtype), np.ones(1024, dtype)
    size = _multiply_add(a, b, tile, 1)
    best = np.inf
    for _ in range(10):
        start = time.perf_counter()
        _multiply_add(a, b, tile, repeats)
        best = min(best, time.perf_counter() - start)
    return 2 * size * repeats / best / 1e9
