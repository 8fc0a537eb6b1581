"""One's own activations and losses: how the two functions of one are checked when it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from . import math as _for_formulas  # noqa: F401  what a formula may have of Python's and NumPy's functions
from .kernels import custom

_FLOAT64 = np.dtype(np.float64)
#: Room for a vector of any width.
_LANES = 16
#: The step of the finite differences.
_STEP = 2.0**-17
#: A derivative may be off by this part of itself, and this part of f, whose rounding errors are divided by the step.
_RELATIVE, _OF_VALUE = 1e-6, 1e-8


def activation_block(name: Any, f: Any, derivative: Any, taken: Collection[str]) -> custom.Block:
    """The loops of an activation, compiled for float64 and checked."""
    block = _block("Activation", custom.ACTIVATION, name, taken, (f, "z"), (derivative, "z", "z, a"))

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = -(-len(z) // _LANES) * _LANES
        units = np.zeros((3, count))
        units[0, : len(z)], units[2] = z, 1
        for delta in (-1, 2 * count):
            _call(block, units, 0, count, delta, count, 1, len(z), 0.0)
        return units[1, : len(z)], units[2, : len(z)]

    rng = np.random.default_rng(0)
    z = np.concatenate([np.linspace(-10, 10, 401), rng.normal(0, 3, 200), [-50, -30, -20, 20, 30, 50]])
    _check(f"Activation {name!r}", evaluate, z, lambda i: f"z = {z[i]:g}")
    return block


def loss_block(name: Any, f: Any, derivative: Any, taken: Collection[str]) -> custom.Block:
    """The loops of a loss, compiled for float64 and checked."""
    block = _block("Loss", custom.LOSS, name, taken, (f, "a, t"), (derivative, "a, t"))
    rng = np.random.default_rng(0)
    line, share = np.linspace(-3, 3, 25), np.array([0, 0.01, 0.2, 0.5, 0.9, 0.99, 1])
    pairs = [np.stack(np.meshgrid(side, side)).reshape(2, -1) for side in (line, share)]
    a, t = np.concatenate([*pairs, rng.normal(0, 3, (2, 200))], axis=1)

    def evaluate(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(a)
        units = np.zeros((3 * _LANES + 2, n))  # t, a, δ, each in rows of a vector; row weights, row losses
        rows = units[: 3 * _LANES].reshape(3, n, _LANES)
        rows[0, :, 0], rows[1, :, 0], units[-2] = t, a, 1
        size = n * _LANES
        _call(block, units, 0, size, 2 * size, 3 * size, 3 * size + n, _LANES, n, 1, 1.0)
        return units[-1], rows[2, :, 0]

    _check(f"Loss {name!r}", evaluate, a, lambda i: f"a = {a[i]:g}, t = {t[i]:g}")
    return block


def _block(kind, loops, name, taken, f, derivative) -> custom.Block:
    """Each function comes with the arguments it may have."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} ({type(name).__name__})")
    if not name or name in taken:
        raise ValueError(f"name must be one of its own, not empty and none of {', '.join(taken)}; got {name!r}")
    for argument, (function, *choices) in (("f", f), ("derivative", derivative)):
        expected = " or ".join(f"{argument}({arguments})" for arguments in choices)
        if not callable(function):
            raise TypeError(f"{argument} must be a function {expected}, got {function!r} ({type(function).__name__})")
        if not any(_takes(function, len(arguments.split(", "))) for arguments in choices):
            raise TypeError(f"{argument} must be a function {expected}, got one of {inspect.signature(function)}")
    block = custom.Block(loops, f[0], derivative[0])
    try:
        block[_FLOAT64]
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in")]
        raise TypeError(
            f"f and derivative of {kind} {name!r} must be functions of numbers that Numba can compile, and those they "
            f"call compiled already (@numba.njit); got: {lines[0]}"
        ) from error
    return block


def _takes(function: Callable, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except ValueError:  # a ufunc has no signature; the compiler will see
        return True
    except TypeError:
        return False
    return True


def _call(block: custom.Block, units: np.ndarray, *arguments: Any) -> float:
    function = block.compiled[_FLOAT64].ctypes
    return function(units.ctypes.data_as(function.argtypes[0]), units.size, *arguments)


def _check(what: str, evaluate: Callable, x: np.ndarray, place: Callable[[int], str]) -> None:
    """Refuse a derivative that is not f's, naming the worst of the points x.

    It must lie between f's slopes to the left and to the right, from three points each: (4 f(x + h/2) − f(x + h) −
    3 f(x)) / h, h of either sign. Where f is smooth the two are nearly one; at a kink anything between them will do.
    Where f is not finite there is nothing to compare with.
    """
    with np.errstate(all="ignore"):
        value, slope = evaluate(x)
        left, right = ((4 * evaluate(x + h / 2)[0] - evaluate(x + h)[0] - 3 * value) / h for h in (-_STEP, _STEP))
        low, high = np.minimum(left, right), np.maximum(left, right)
        excess = np.maximum(np.maximum(low - slope, slope - high), 0)
        size = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.abs(slope))
        error = excess / (_RELATIVE * size + _OF_VALUE * np.maximum(1, np.abs(value)))
    known = np.isfinite(left) & np.isfinite(right)
    if not known.any():
        raise ValueError(f"f of {what} must be finite somewhere, got NaN or infinity at every point tried")
    error = np.where(known, np.where(np.isfinite(slope), error, np.inf), 0)
    worst = int(np.argmax(error))
    if error[worst] > 1:
        near = high[worst] - low[worst] <= 1e-3 * max(1, abs(high[worst]))
        low, high = low + 0.0, high + 0.0  # 0, not −0
        expected = f"{(low[worst] + high[worst]) / 2:g}" if near else f"{low[worst]:g} to {high[worst]:g}"
        raise ValueError(
            f"derivative of {what} must be that of f: at {place(worst)} expected {expected}, got {slope[worst]:g}"
        )
