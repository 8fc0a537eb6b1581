"""Metrics against scikit-learn's, and against numbers worked out by hand."""

import math
import re

import numpy as np
import pytest

from fastprop import metrics
from fastprop.metrics import TopK, accuracy, auc, balanced_accuracy, mae, r2, rmse

sk = pytest.importorskip("sklearn.metrics")


def classes(rng, rows=200, D=4):
    """Labels that the outputs know something of; class 0 is rare; outputs in steps, so that some are equal."""
    labels = rng.choice(D, rows, p=np.r_[0.05, np.full(D - 1, 0.95 / (D - 1))])
    outputs = np.exp(np.eye(D)[labels] + rng.standard_normal((rows, D)))
    return labels, np.round(outputs / outputs.sum(axis=1, keepdims=True), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_several_classes(rng, dtype, one_hot):
    labels, a = classes(rng)
    a, y = a.astype(dtype), np.eye(4)[labels] if one_hot else labels
    predicted = a.argmax(axis=1)
    assert accuracy(y, a) == pytest.approx(sk.accuracy_score(labels, predicted), rel=1e-12)
    assert balanced_accuracy(y, a) == pytest.approx(sk.balanced_accuracy_score(labels, predicted), rel=1e-12)
    each = [sk.roc_auc_score(labels == k, a[:, k]) for k in range(4)]
    assert auc(y, a) == pytest.approx(np.mean(each), rel=1e-12)
    assert TopK(1)(y, a) == accuracy(y, a)
    distinct = a + rng.uniform(0, 1e-3, a.shape)
    for k in (1, 2, 3):
        assert TopK(k)(y, distinct) == pytest.approx(sk.top_k_accuracy_score(labels, distinct, k=k), rel=1e-12)


def test_of_equal_outputs_the_first_is_the_largest():
    a = np.ones((3, 3))
    assert [TopK(k)([0, 1, 2], a) for k in (1, 2)] == [1 / 3, 2 / 3]


@pytest.mark.parametrize("column", [False, True])
def test_one_output_is_two_classes(rng, column):
    y = rng.integers(0, 2, 100)
    a = np.round(0.5 * y + rng.uniform(0, 0.6, 100), 2)[:, None]
    given = y[:, None].astype(float) if column else y
    assert accuracy(given, a) == sk.accuracy_score(y, a[:, 0] > 0.5)
    assert balanced_accuracy(given, a) == pytest.approx(sk.balanced_accuracy_score(y, a[:, 0] > 0.5), rel=1e-12)
    assert auc(given, a) == pytest.approx(sk.roc_auc_score(y, a[:, 0]), rel=1e-12)
    assert auc(y, np.hstack([1 - a, a])) == pytest.approx(sk.roc_auc_score(y, a[:, 0]), rel=1e-12)


def test_auc_of_several_labels_a_row(rng):
    y = rng.integers(0, 2, (60, 3))
    a = rng.standard_normal((60, 3)) + y
    assert auc(y, a) == pytest.approx(sk.roc_auc_score(y, a), rel=1e-12)


def test_auc_leaves_out_what_has_no_area():
    assert math.isnan(auc([1, 1], [[0.2], [0.3]]))
    a = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    assert auc([0, 0, 1], a) == 1.0  # no row is of class 2


@pytest.mark.parametrize("D", [1, 3])
def test_numbers(rng, D):
    y = rng.standard_normal((50, D)) * np.arange(1, D + 1)
    a = (y + rng.standard_normal((50, D))).astype(np.float32)
    assert r2(y, a) == pytest.approx(sk.r2_score(y, a), rel=1e-12)
    assert mae(y, a) == pytest.approx(sk.mean_absolute_error(y, a), rel=1e-12)
    assert rmse(y, a) == pytest.approx(sk.root_mean_squared_error(y, a), rel=1e-12)
    if D == 1:
        assert (r2(y[:, 0], a), mae(y[:, 0], a), rmse(y[:, 0], a)) == (r2(y, a), mae(y, a), rmse(y, a))


def test_r2_of_constant_targets():
    for a in ([[2.0], [2.0]], [[2.0], [3.0]]):
        assert r2([2.0, 2.0], a) == sk.r2_score([2.0, 2.0], a)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: accuracy([0, 1], [0.1, 0.9]), ValueError, "outputs must have shape (n, outputs), got (2,)"),
        (lambda: accuracy([0, 1, 1], [[0.1], [0.9]]), ValueError, "y_true must have shape (2, 1) or (2,)"),
        (lambda: accuracy([0, -1], [[0.1], [0.9]]), ValueError, "y_true must be 0 or 1"),
        (lambda: accuracy([0, 2], [[0.1, 0.9]] * 2), ValueError, "from 0 to 1, got 2 at row 1"),
        (lambda: accuracy([0.5, 1], [[0.1, 0.9]] * 2), ValueError, "integer labels, got 0.5"),
        (lambda: balanced_accuracy([[1, 1], [0, 1]], [[0.1, 0.9]] * 2), ValueError, "sum to 1"),
        (lambda: auc([[0.5, 0.5]], [[0.1, 0.9]]), ValueError, "0 or 1, for auc, got 0.5 at row 0, column 0"),
        (lambda: TopK(2)([0], [[0.1, 0.9]]), ValueError, "top_2 must have more than 2 outputs, got 2"),
        (lambda: TopK(0), ValueError, "k must be an integer ≥ 1, got 0"),
        (lambda: r2([0, 1], [[0.1, 0.9]] * 2), ValueError, "a number for each output, got (2,)"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_every_metric_has_a_direction():
    assert [metrics.direction(name, metric) for name, metric in metrics.METRICS.items()] == [1, 1, 1, 1, 1, -1, -1]
    assert metrics.direction("top_3", TopK(3)) == 1
    assert metrics.direction("mine", len) is None
