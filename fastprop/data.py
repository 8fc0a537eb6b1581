"""A data set on its way to the kernels: its parts together, some of its rows, weights for its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from . import checks
from .kernels.random import random_bits


class Data(NamedTuple):
    """Rows as the kernels take them, ``targets`` or ``labels`` being empty, and ``y`` as the user gave it."""

    inputs: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    y: np.ndarray

    def take(self, rows: np.ndarray) -> Data:
        """A copy of some rows."""
        return Data(*(part[rows] if len(part) else part for part in self))


def split(data: Data, part: float, key: int) -> tuple[Data, Data]:
    """Training and validation rows: ``round(part · n)`` rows, at least one, that ``key`` chooses are for validation.

    Both keep their rows in the order in which they were.
    """
    n = len(data.inputs)
    count = max(1, round(part * n))
    if count >= n:
        raise ValueError(f"validation_split must leave rows to train on, got {part!r} of {n} rows")
    chance = random_bits.py_func(np.uint64(key), np.arange(n, dtype=np.uint64))
    chosen = np.zeros(n, bool)
    chosen[np.argsort(chance, kind="stable")[:count]] = True
    both = data.take(np.flatnonzero(~chosen)), data.take(np.flatnonzero(chosen))
    for what, rows in zip(("training", "validation"), both, strict=True):
        if len(rows.weights) and not rows.weights.any():
            raise ValueError(f"sample_weight must not be all zero on the {what} rows of validation_split")
    return both


def weigh_classes(argument: str, value: Any, data: Data, classes: int) -> Data:
    """``data`` with the weight of each row's class multiplied in.

    "balanced" gives a class the weight Σw / (K · Σ of w over its rows), K being the number of classes that have any.
    """
    labels = data.labels if len(data.labels) else _labels(argument, data.targets)
    weights = data.weights if len(data.weights) else np.ones(len(labels), data.inputs.dtype)
    if isinstance(value, str):
        checks.one_of(argument, value, {"balanced": None}, "a mapping of class to weight")
        sums = np.bincount(labels, weights, classes)
        of_class = sums.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, np.inf))
    elif isinstance(value, Mapping):
        of_class = np.ones(classes)
        for label, weight in value.items():
            if (index := checks.whole(f"{argument}'s classes", label, 0)) >= classes:
                raise ValueError(f"{argument} must be for classes 0 to {classes - 1}, got {label!r}")
            of_class[index] = checks.number(f"{argument}[{label}]", weight, at_least=0)
    else:
        raise TypeError(f"{argument} must be 'balanced' or a mapping of class to weight, got {value!r}")
    weights = weights * of_class[labels]
    if not weights.any():
        raise ValueError(f"{argument} must leave some rows a weight above 0, got {value!r}")
    return data._replace(weights=checks.real_array(argument, weights, data.inputs.dtype))


def _labels(argument: str, targets: np.ndarray) -> np.ndarray:
    """The class of each row of ``targets``: 0 or 1, or rows with a single 1."""
    bad = ~np.isin(targets, (0, 1)).all(axis=1)
    if targets.shape[1] > 1:
        bad |= targets.sum(axis=1) != 1
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{argument} must go with one class a row, labels or 0 and 1, got y {targets[row]} at row {row}"
        )
    return targets[:, 0].astype(np.int64) if targets.shape[1] == 1 else targets.argmax(axis=1)
