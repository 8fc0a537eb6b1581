"""The border: what a user hands in is checked and converted here, once.

Each function returns what the kernels can take, or raises `ValueError` or `TypeError` naming the argument, what was
expected and what came.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def whole(argument: str, value: Any, at_least: int) -> int:
    """An integer ≥ ``at_least``; bools and floats are refused."""
    try:
        result = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        result = None
    if result is None:
        raise TypeError(f"{argument} must be an integer ≥ {at_least}, got {value!r} ({type(value).__name__})")
    if result < at_least:
        raise ValueError(f"{argument} must be an integer ≥ {at_least}, got {value!r}")
    return result


def number(
    argument: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """A finite real number in the given range."""
    expected = "a finite number"
    if at_least != -math.inf:
        expected += f" ≥ {at_least:g}"
    if above != -math.inf:
        expected += f" > {above:g}"
    if below != math.inf:
        expected += f" and < {below:g}"
    try:
        result = None if isinstance(value, (bool, np.bool_, str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = None
    if result is None:
        raise TypeError(f"{argument} must be {expected}, got {value!r} ({type(value).__name__})")
    if not (math.isfinite(result) and result >= at_least and result > above and result < below):
        raise ValueError(f"{argument} must be {expected}, got {value!r}")
    return result


def flag(argument: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument} must be True or False, got {value!r} ({type(value).__name__})")
    return bool(value)


def one_of(argument: str, value: Any, known: Mapping[str, T], kind: str) -> T:
    """The entry of ``known`` that ``value`` names; ``kind`` says what else it might have been."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a name or {kind}, got {value!r} ({type(value).__name__})")
    if value not in known:
        raise ValueError(f"{argument} must be one of {', '.join(known)}; got {value!r}")
    return known[value]


def any_array(argument: str, value: Any) -> np.ndarray:
    """``value`` as an array of whatever it holds, none of it masked."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{argument} must have no masked entries, got a masked array")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument} must be an array of real numbers, got what makes none: {error}") from None


def real_array(argument: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """``value`` as a C-ordered array of ``dtype``: itself where it is one, else cast once."""
    if type(value) is np.ndarray and value.dtype is dtype:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value  # at once, for online learning
    array = any_array(argument, value)
    if array.dtype.kind not in "biuf":
        what = "text" if array.dtype.kind in "US" else f"dtype {array.dtype}"
        raise TypeError(f"{argument} must be an array of real numbers, got {what}")
    with np.errstate(over="ignore"):
        result = np.require(array, dtype, ["C", "A"])
    if array.dtype.kind == "f" and array.dtype.itemsize > dtype.itemsize:
        lost = np.isinf(result) & np.isfinite(array)
        if lost.any():
            where = np.unravel_index(int(np.argmax(lost)), array.shape)
            raise ValueError(f"{argument} must fit in {dtype}, got {array[where]} at {place(where)}")
    return result


def place(where: tuple) -> str:
    """Row and column of an array's index, in words."""
    return ", ".join(f"{name} {int(i)}" for name, i in zip(("row", "column", "axis 2"), where, strict=False))


def matrix(argument: str, value: Any, width: int, dtype: np.dtype) -> np.ndarray:
    """Observations: at least one row of ``width`` numbers."""
    array = real_array(argument, value, dtype)
    shape = array.shape
    if len(shape) != 2 or shape[1] != width:
        hint = f"; for one observation pass {argument}[None, :]" if shape == (width,) else ""
        raise ValueError(f"{argument} must have shape (n, {width}), got {shape}{hint}")
    if shape[0] == 0:
        raise ValueError(f"{argument} must have at least one row, got shape {shape}")
    return array


def targets(argument: str, value: Any, rows: int, width: int, dtype: np.dtype) -> np.ndarray:
    """Targets of shape (rows, width), or (rows,) when the width is 1."""
    array = real_array(argument, value, dtype)
    if array.shape == (rows, width):
        return array
    if array.shape != (rows,) or width != 1:
        raise ValueError(
            f"{argument} must have shape ({rows}, {width})"
            + (f" or ({rows},)" if width == 1 else "")
            + f", one row for each of X, got {array.shape}"
        )
    return array.reshape(rows, 1)


def labels(argument: str, value: np.ndarray, rows: int) -> np.ndarray:
    """Class labels, shape (rows,), as int64; integral floats are labels too."""
    if value.shape != (rows,):
        raise ValueError(f"{argument} must have shape ({rows},), one label for each row of X, got {value.shape}")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{argument} must hold integer labels, got dtype {value.dtype}")
    if value.dtype.kind == "f":
        bad = ~(np.floor(value) == value) | np.isinf(value)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"{argument} must hold integer labels, got {value[row]} at row {row}")
        bad = np.abs(value) >= 2.0**63
        if bad.any():
            raise ValueError(f"{argument} must hold integer labels, got {value[int(np.argmax(bad))]}")
    if value.dtype.kind == "u" and value.dtype.itemsize == 8 and (value >> 63).any():
        raise ValueError(f"{argument} must hold integer labels, got {value.max()}")
    return np.ascontiguousarray(value, dtype=np.int64)


def weights(argument: str, value: Any, rows: int, dtype: np.dtype) -> np.ndarray:
    """Sample weights, shape (rows,): finite, at least 0, not all 0."""
    array = real_array(argument, value, dtype)
    if array.shape != (rows,):
        raise ValueError(f"{argument} must have shape ({rows},), one weight for each row of X, got {array.shape}")
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{argument} must be finite and ≥ 0, got {array[row]!s} at row {row}")
    if not array.any():
        raise ValueError(f"{argument} must not be all zero")
    return array
