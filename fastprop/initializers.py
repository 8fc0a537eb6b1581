"""First weights, drawn in float64 from the network's generator. Biases begin at 0."""

from __future__ import annotations

import math

import numpy as np

from .kernels.random import random_bits

#: Name → (distribution, variance of a weight from fan-in and fan-out).
INITIALIZERS = {
    "he_uniform": ("uniform", lambda fan_in, fan_out: 2 / fan_in),
    "he_normal": ("normal", lambda fan_in, fan_out: 2 / fan_in),
    "glorot_uniform": ("uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "glorot_normal": ("normal", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "zeros": ("zeros", lambda fan_in, fan_out: 0.0),
}

_BLOCK = 1 << 16  # numbers drawn at a time, so that a large matrix needs no large scratch


def fill(weight: np.ndarray, name: str, key: int, counter: int) -> int:
    """Overwrite ``weight`` (fan_in, fan_out) and return the generator's new position.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10; Glorot and Bengio, "Understanding the
    difficulty of training deep feedforward neural networks" (2010), equation 16. A uniform distribution of variance
    s² has its limits at ±√3 s; normal numbers are made by Box and Muller's transform.
    """
    distribution, variance = INITIALIZERS[name]
    fan_in, fan_out = weight.shape
    scale = math.sqrt(variance(fan_in, fan_out))
    if distribution == "zeros":
        weight[...] = 0
        return counter
    rows = max(1, _BLOCK // fan_out)
    for start in range(0, fan_in, rows):
        block = weight[start : start + rows]
        u = _uniform(key, counter, block.size)
        counter += block.size
        if distribution == "uniform":
            values = (2 * u - 1) * (math.sqrt(3) * scale)
        else:
            values = np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * math.pi * _uniform(key, counter, block.size)) * scale
            counter += block.size
        block[...] = values.reshape(block.shape)
    return counter


def _uniform(key: int, counter: int, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1) from position ``counter`` of stream ``key``."""
    positions = np.arange(count, dtype=np.uint64) + np.uint64(counter)
    return (random_bits.py_func(np.uint64(key), positions) >> np.uint64(11)) * 2.0**-53
