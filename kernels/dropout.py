"""Dropout, inverted: in training, what layer m+1 reads of layer m is out^(m) = a^(m) ⊙ r^(m) / (1 − p), r being 0 or 1.

Srivastava and others, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014), section 10
for the division. Each r is one number of the generator, which observation and unit alone decide: so it does not matter
who draws first. A unit that is dropped is −0 in out^(m), and one that is kept never: that tells the backward pass.
"""

from numba import uint64

from .jit import njit
from .layers import DELTA, DROPOUT, NUMBERS, OUT, STRIDE, WIDTH, A
from .random import random_bits
from .simd import as_floats, as_integers, by_dtype, lanes, load, numbers_from, select, splat, store

_BITS = 2.0**32
_MINUS_0_32, _MINUS_0_64 = -(2**31), -(2**63)


@njit
def _scale(layers, m):
    """1 / (1 − p)."""
    return _BITS / (_BITS - layers[m, DROPOUT])


@njit(apart=True)
def drop(layers, m, key, number, units, rows):
    """Overwrite out^(m); the numbers of the first observation begin with ``number``."""
    a, out, stride, scale = layers[m, A], layers[m, OUT], layers[m, STRIDE], _scale(layers, m)
    per_row = layers[len(layers) - 1, NUMBERS]
    for i in range(rows):
        first = number + uint64(i * per_row + layers[m, NUMBERS])
        for k in range(0, layers[m, WIDTH], lanes(units)):
            bits = random_bits(key, numbers_from(units, first + uint64(k)))
            kept = as_integers(load(units, a + i * stride + k) * scale)
            kept = select(kept << 1 == 0, 0, kept)
            dropped = bits >> 32 < layers[m, DROPOUT]
            store(
                units, out + i * stride + k, as_floats(select(dropped, by_dtype(units, _MINUS_0_32, _MINUS_0_64), kept))
            )


@njit(apart=True)
def drop_deltas(layers, m, units, rows):
    """δ^(m) ← δ^(m) ⊙ r^(m) / (1 − p), in place."""
    out, delta, stride, scale = layers[m, OUT], layers[m, DELTA], layers[m, STRIDE], _scale(layers, m)
    for i in range(rows):
        for k in range(i * stride, i * stride + layers[m, WIDTH], lanes(units)):
            dropped = as_integers(load(units, out + k)) == by_dtype(units, _MINUS_0_32, _MINUS_0_64)
            store(units, delta + k, select(dropped, splat(units, 0.0), load(units, delta + k) * scale))
