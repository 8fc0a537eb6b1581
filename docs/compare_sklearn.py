"""The table of docs/sklearn.md: fastprop's estimators beside scikit-learn's, same settings, same data, in turn.

python docs/compare_sklearn.py          prints it
python docs/compare_sklearn.py --write  puts it into docs/sklearn.md
"""

import os
import sys

# One thread each, which has to be said before NumPy loads its BLAS.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import re
import time
import warnings
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
import sklearn
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastprop
from fastprop.machine import cpu_name
from fastprop.sklearn import MLPClassifier

SEEDS = range(10)
#: All else by default: 100 relu, adam, batches of 200, until the loss stays. α is for data that is few and noisy.
SETTINGS = {"MLPClassifier": {"max_iter": 1000}, "MLPRegressor": {"max_iter": 1000, "alpha": 10.0}}
PAGE = Path(__file__).with_name("sklearn.md")
PLACE = re.compile(r"(<!-- table -->\n).*(<!-- end -->)", re.DOTALL)


def problem(name, seed):
    """Train and test parts, standardised by the former: X, X_test, y, y_test."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    labels = y if y.ndim == 1 and y.dtype.kind == "i" else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=labels)
    scaler = StandardScaler().fit(X)
    if labels is None:
        columns = StandardScaler().fit(y.reshape(len(y), -1))
        y, y_test = (np.squeeze(columns.transform(t.reshape(len(t), -1))) for t in (y, y_test))
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def fit_and_score(estimator, X, X_test, y, y_test):
    """Score on the test part, and seconds of ``fit``."""
    began = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - began, estimator.score(X_test, y_test)


def row(name):
    """A line of the table."""
    runs = []
    for seed in SEEDS:
        data = problem(name, seed)
        kind = "MLPClassifier" if data[2].dtype.kind == "i" else "MLPRegressor"
        settings = {"random_state": seed, **SETTINGS[kind]}
        mine, theirs = getattr(fastprop.sklearn, kind), getattr(neural_network, kind)
        estimators = mine(**settings), theirs(**settings), mine(**settings, dtype="float32")
        runs.append([fit_and_score(estimator, *data) for estimator in estimators])
    times, scores = zip(*(zip(*run, strict=True) for run in runs), strict=True)
    ours, theirs, single = (list(column) for column in zip(*scores, strict=True))
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    seconds = [median(column) for column in zip(*times, strict=True)]
    faster = [median(t[1] / t[i] for t in times) for i in (0, 2)]
    return (
        f"| {name} | {len(data[0])} × {data[0].shape[1]} | {mean(ours):.3f} | {mean(theirs):.3f} "
        f"| {mean(gains):+.3f} ± {stdev(gains) / len(gains) ** 0.5:.3f} "
        f"| {1e3 * seconds[0]:.0f} | {1e3 * seconds[1]:.0f} | {faster[0]:.1f} "
        f"| {mean(single):.3f} | {1e3 * seconds[2]:.0f} | {faster[1]:.1f} |"
    )


def table():
    """All lines, and below them where they were measured."""
    for dtype in ("float32", "float64"):  # compile, which is not what is compared
        MLPClassifier(max_iter=1, dtype=dtype).fit([[0.0], [1.0]], [0, 1])
    heads = (
        "score | scikit-learn's | difference | ms | scikit-learn's | times faster | float32: score | ms | times faster"
    )
    return "\n".join([
        f"| data | rows × features | {heads} |",
        "| --- " * 11 + "|",
        *map(row, ("iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud")),
        "",
        f"fastprop {fastprop.__version__}, scikit-learn {sklearn.__version__}, one thread of {cpu_name()}.\n",
    ])  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    text = table()
    print(text)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(PLACE.sub(lambda found: found[1] + text + found[2], PAGE.read_text(encoding="utf-8")), "utf-8")
