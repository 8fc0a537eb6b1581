"""The counter-based generator: number k of stream ``key`` is a hash of (key, k), so nothing depends on who draws first.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter stepped by
the golden ratio, and a 64-bit finaliser.
"""

import numpy as np

from .jit import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31, _11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_ULP = 2.0**-53


@njit
def random_bits(key, counter):
    """64 random bits; key and counter are uint64, also in vectors (or in NumPy arrays: ``random_bits.py_func``)."""
    z = key + counter * _GOLDEN
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@njit
def permute(order, key, counter):
    """Overwrite ``order`` by a random permutation of 0..n-1 that takes the n numbers from ``counter`` on.

    The inside-out form of Fisher and Yates' shuffle.
    """
    for i in range(len(order)):
        bits = random_bits(key, counter + np.uint64(i))
        j = np.int64(np.float64(bits >> _11) * _ULP * (i + 1))
        order[i] = order[j]
        order[j] = i
