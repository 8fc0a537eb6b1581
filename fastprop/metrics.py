"""Metrics: how good outputs are, in terms that people use. Plain NumPy; each row counts once.

A metric is a function of ``y_true`` (n,) or (n, D^(L)), and ``outputs`` (n, D^(L)), as `Network.predict` returns them.
Those for classes take labels 0..D^(L)−1, or rows of which the largest entry names the class; for a single output
targets 0 or 1, and the class is 1 where the output is above 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import checks

Metric = Callable[[Any, Any], float]


def accuracy(y_true: Any, outputs: Any) -> float:
    """Share of rows whose class is right.

    Examples
    --------
    >>> fastprop.metrics.accuracy([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """
    true, predicted, _ = _classes(y_true, outputs)
    return float(np.mean(true == predicted))


def balanced_accuracy(y_true: Any, outputs: Any) -> float:
    """Mean over the classes in ``y_true`` of the share of their rows that is right.

    Examples
    --------
    >>> fastprop.metrics.balanced_accuracy([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.75
    """
    true, predicted, _ = _classes(y_true, outputs)
    rows = np.bincount(true)
    right = np.bincount(true[true == predicted], minlength=len(rows))
    return float(np.mean(right[rows > 0] / rows[rows > 0]))


class TopK:
    """Share of rows whose class is among the ``k`` largest outputs; of equal outputs the first is the larger.

    Parameters
    ----------
    k : int
        At least 1, and below D^(L).

    Raises
    ------
    TypeError, ValueError
        If k is not such a number.

    Examples
    --------
    >>> fastprop.metrics.TopK(2)([0, 1], [[0.3, 0.5, 0.2], [0.4, 0.1, 0.5]])
    0.5
    """

    def __init__(self, k: int = 5) -> None:
        self.k = checks.whole("k", k, 1)
        self.__name__ = f"top_{self.k}"

    def __call__(self, y_true: Any, outputs: Any) -> float:
        true, _, outputs = _classes(y_true, outputs)
        if self.k >= outputs.shape[1]:
            raise ValueError(f"{self.__name__} must have more than {self.k} outputs, got {outputs.shape[1]}")
        own = np.take_along_axis(outputs, true[:, None], axis=1)
        ahead = (outputs > own) | ((outputs == own) & (np.arange(outputs.shape[1]) < true[:, None]))
        return float(np.mean(ahead.sum(axis=1) < self.k))

    def __repr__(self) -> str:
        return f"TopK({self.k})"


def auc(y_true: Any, outputs: Any) -> float:
    """Area under the ROC curve: how often a row of the class has a larger output than a row of another, ties half.

    With more than two classes the mean over the classes, each against the rest; so too for rows of several labels 0 or
    1. Classes that no row or every row is of are left out; NaN where none is left. J. A. Hanley and B. J. McNeil, "The
    meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143 (1982).

    Examples
    --------
    >>> fastprop.metrics.auc([0, 0, 1, 1], [[0.1], [0.4], [0.35], [0.8]])
    0.75
    """
    y, outputs = _arrays(y_true, outputs)
    if y.ndim == 2 and outputs.shape[1] > 1:
        _refuse(~np.isin(y, (0, 1)), "y_true must hold labels, or be 0 or 1, for auc", y)
        positive = y == 1
        exclusive = bool((positive.sum(axis=1) == 1).all())
    else:
        true, _, _ = _classes(y, outputs)
        positive = true[:, None] == np.arange(max(2, outputs.shape[1]))
        exclusive = True
    if exclusive and positive.shape[1] == 2:
        positive, outputs = positive[:, 1:], outputs[:, -1:]
    areas = [_area(of_class, a) for of_class, a in zip(positive.T, outputs.T, strict=True) if 0 < of_class.mean() < 1]
    return float(np.mean(areas)) if areas else float("nan")


def r2(y_true: Any, outputs: Any) -> float:
    """R² = 1 − Σ(t − a)² / Σ(t − t̄)², the mean over the outputs; of constant targets 1 where all are met, else 0.

    Examples
    --------
    >>> fastprop.metrics.r2([1.0, 2.0, 3.0], [[1.0], [2.0], [2.0]])
    0.5
    """
    t, a = _numbers(y_true, outputs)
    residual, total = ((t - a) ** 2).sum(axis=0), ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    constant = np.where(residual == 0, 1.0, 0.0)
    return float(np.mean(np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), constant)))


def mae(y_true: Any, outputs: Any) -> float:
    """Mean of abs(t − a).

    Examples
    --------
    >>> fastprop.metrics.mae([1.0, 2.0], [[1.0], [4.0]])
    1.0
    """
    t, a = _numbers(y_true, outputs)
    return float(np.abs(t - a).mean())


def rmse(y_true: Any, outputs: Any) -> float:
    """Square root of the mean of (t − a)² over the rows; the mean of it over the outputs.

    Examples
    --------
    >>> fastprop.metrics.rmse([1.0, 2.0], [[1.0], [4.0]])
    1.4142135623730951
    """
    t, a = _numbers(y_true, outputs)
    return float(np.sqrt(((t - a) ** 2).mean(axis=0)).mean())


METRICS: dict[str, Metric] = {
    "accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "top_5": TopK(5), "auc": auc, "r2": r2, "mae": mae,
    "rmse": rmse,
}  # fmt: skip


def metrics(argument: str, value: Any) -> dict[str, Metric]:
    """``value``, names and callables, by the names under which a history has them."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{argument} must be a list of names and callables, got {value!r} ({type(value).__name__})")
    result: dict[str, Metric] = {}
    for i, metric in enumerate(value):
        if callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__)
        else:
            name, metric = metric, checks.one_of(f"{argument}[{i}]", metric, METRICS, "a callable(y_true, outputs)")
        if name in result or name == "loss":
            raise ValueError(
                f"{argument} must have names of their own, got {name!r} again; a callable has its __name__"
            )
        result[name] = metric
    return result


def direction(name: str, metric: Metric | None) -> int | None:
    """1 where larger is better, −1 where smaller is, for a loss or a built-in metric; None for one of the user's."""
    if name in ("loss", "mae", "rmse"):
        return -1
    return 1 if isinstance(metric, TopK) or metric is METRICS.get(name) else None


def built_in(metric: Metric) -> bool:
    """Whether it is one of this module's."""
    return isinstance(metric, TopK) or metric in METRICS.values()


def _arrays(y_true: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    y, a = checks.any_array("y_true", y_true), checks.any_array("outputs", outputs)
    if a.ndim != 2 or len(a) == 0:
        raise ValueError(f"outputs must have shape (n, outputs), got {a.shape}")
    if y.shape not in (a.shape, a.shape[:1]):
        raise ValueError(
            f"y_true must have shape {a.shape} or {a.shape[:1]}, one row for each of outputs, got {y.shape}"
        )
    return y, a


def _classes(y_true: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True and predicted classes, (n,), and the outputs."""
    y, a = _arrays(y_true, outputs)
    if a.shape[1] == 1:
        y = y.reshape(-1)
        _refuse(~np.isin(y, (0, 1)), "y_true must be 0 or 1 where there is one output", y)
        return y.astype(np.int64), (a[:, 0] > 0.5).astype(np.int64), a
    if y.ndim == 1:
        true = checks.labels("y_true", y, len(a))
        _refuse((true < 0) | (true >= a.shape[1]), f"y_true must hold labels from 0 to {a.shape[1] - 1}", true)
    else:
        sums = y.sum(axis=1, dtype=np.float64)
        _refuse(~(np.abs(sums - 1) <= 1e-3), "y_true must have rows that sum to 1, of one class each", sums)
        true = y.argmax(axis=1)
    return true, a.argmax(axis=1), a


def _numbers(y_true: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets and outputs (n, D^(L)) in float64."""
    y, a = _arrays(y_true, outputs)
    if y.ndim == 1 and a.shape[1] > 1:
        raise ValueError(f"y_true must have shape {a.shape}, a number for each output, got {y.shape}")
    return y.reshape(a.shape).astype(np.float64), a.astype(np.float64)


def _area(positive: np.ndarray, score: np.ndarray) -> float:
    """From the sum of the ranks of the positive rows; equal scores share the mean of their ranks."""
    ordered = np.sort(score)
    rank = (np.searchsorted(ordered, score, "left") + np.searchsorted(ordered, score, "right") + 1) / 2
    p, n = positive.sum(), len(score)
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * (n - p)))


def _refuse(bad: np.ndarray, message: str, values: np.ndarray) -> None:
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise ValueError(f"{message}, got {values[where]} at {checks.place(where)}")
