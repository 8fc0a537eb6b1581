"""First weights, drawn in float64 from the network's generator, or the user's. Biases begin at 0 but for the user's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import checks
from .kernels.random import random_bits

#: Name → (distribution, variance of a weight from fan-in and fan-out).
INITIALIZERS = {
    "he_uniform": ("uniform", lambda fan_in, fan_out: 2 / fan_in),
    "he_normal": ("normal", lambda fan_in, fan_out: 2 / fan_in),
    "glorot_uniform": ("uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "glorot_normal": ("normal", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    "lecun_uniform": ("uniform", lambda fan_in, fan_out: 1 / fan_in),
    "lecun_normal": ("normal", lambda fan_in, fan_out: 1 / fan_in),
    "orthogonal": ("orthogonal", lambda fan_in, fan_out: 1.0),
    "zeros": ("zeros", lambda fan_in, fan_out: 0.0),
}

_BLOCK = 1 << 16  # numbers drawn at a time, so that a large matrix needs no large scratch


def fill(weight: np.ndarray, name: str, key: int, counter: int) -> int:
    """Overwrite ``weight`` (fan_in, fan_out) and return the generator's new position.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10; Glorot and Bengio, "Understanding the
    difficulty of training deep feedforward neural networks" (2010), equation 16. A uniform distribution of variance
    s² has its limits at ±√3 s; normal numbers are made by Box and Muller's transform. LeCun, Bottou, Orr and Müller,
    "Efficient BackProp" (1998), equation 16. Orthogonal: columns of length 1 at right angles, or rows where there are
    fewer of them: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks" (2014), made of normal numbers by a QR decomposition whose R has a positive diagonal.
    """
    distribution, variance = INITIALIZERS[name]
    fan_in, fan_out = weight.shape
    scale = math.sqrt(variance(fan_in, fan_out))
    if distribution == "zeros":
        weight[...] = 0
        return counter
    if distribution == "orthogonal":
        normal = np.empty((max(fan_in, fan_out), min(fan_in, fan_out)))
        counter = fill(normal, "lecun_normal", key, counter)
        q, r = np.linalg.qr(normal)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        weight[...] = q if fan_in >= fan_out else q.T
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


def starts(argument: str, value: Any, sizes: tuple[int, ...], dtype: np.dtype) -> list[Any]:
    """How each layer starts: a name, None for its default, or (W, b)."""
    layers = len(sizes) - 1
    if value is None or isinstance(value, str):
        if value is not None:
            checks.one_of(argument, value, INITIALIZERS, "a list with an entry for each layer")
        return [value] * layers
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{argument} must be a name, a list with an entry for each layer, or None, got {value!r}")
    if len(value) != layers:
        raise ValueError(f"{argument} must have {layers} entries, one for each layer, got {len(value)}")
    return [_start(f"{argument}[{m}]", one, sizes[m : m + 2], dtype) for m, one in enumerate(value)]


def _start(argument: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    if value is None or isinstance(value, str):
        return value if value is None else (checks.one_of(argument, value, INITIALIZERS, "arrays"), value)[1]
    both = isinstance(value, tuple)
    if both and len(value) != 2:
        raise ValueError(f"{argument} must be a name, an array W or a tuple (W, b), got a tuple of {len(value)}")
    names = (f"{argument}[0]", f"{argument}[1]") if both else (argument, "")
    parts = [
        checks.real_array(name, part, dtype)
        for name, part in zip(names, value if both else (value, np.zeros(shape[1])), strict=True)
    ]
    for name, part, expected in zip(names, parts, (shape, shape[1:]), strict=True):
        if part.shape != expected:
            raise ValueError(f"{name} must have shape {expected}, got {part.shape}")
        if not np.isfinite(part).all():
            raise ValueError(f"{name} must be finite")
    return tuple(parts)


def _uniform(key: int, counter: int, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1) from position ``counter`` of stream ``key``."""
    positions = np.arange(count, dtype=np.uint64) + np.uint64(counter)
    return (random_bits.py_func(np.uint64(key), positions) >> np.uint64(11)) * 2.0**-53
