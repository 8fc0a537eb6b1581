"""The estimators against scikit-learn's own, its checks and its tools."""

import collections
import copy
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import check_estimator

import fastprop
from fastprop.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def iris(seed=0):
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return scale(X)[order], y[order]


def diabetes():
    """400 rows: two whole batches."""
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:400], scale(y)[:400]


def targets(kind):
    """X with targets of a kind, and the estimators for them."""
    if kind.startswith("regression"):
        X, y = diabetes()
        return X, {"regression": y, "regressions": np.stack([y, y**2], axis=1)}[kind], "MLPRegressor"
    X, y = iris()
    labels = {
        "binary": np.array(["other", "setosa"])[(y == 0).astype(int)],
        "multiclass": y,
        "multilabel": np.stack([y == 0, y == 1, X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int),
    }
    return X, labels[kind], "MLPClassifier"


KINDS = ("binary", "multiclass", "multilabel", "regression", "regressions")


def ours(name):
    return {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name]


def parameters(model):
    return np.concatenate(
        [array.ravel() for pair in zip(model.coefs_, model.intercepts_, strict=True) for array in pair]
    )


# What scikit-learn checks.


@pytest.mark.parametrize(("estimator", "passed", "skipped"), [
    (MLPClassifier(), 66, {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}),
    (MLPRegressor(), 60, {"check_array_api_input"}),
])  # fmt: skip
def test_every_check_of_scikit_learn_passes(estimator, passed, skipped):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
        own = check_estimator(
            getattr(neural_network, type(estimator).__name__)(max_iter=20), on_skip=None, on_fail=None
        )
    by_status = collections.defaultdict(list)
    for result in results:
        by_status[result["status"]].append(result["check_name"])
        assert not result["expected_to_fail"]
    assert not by_status["failed"], by_status["failed"]
    # What is skipped is what scikit-learn skips for its own MLPs: it needs array API, or a decision_function.
    assert set(by_status["skipped"]) == skipped == {r["check_name"] for r in own if r["status"] == "skipped"}
    assert {r["check_name"] for r in own} <= {r["check_name"] for r in results}
    assert len(by_status["passed"]) >= passed
    assert set(by_status) <= {"passed", "skipped", "failed"}


# The same numbers as scikit-learn.

#: With shuffle=False the order of rows is the same, and with a tiny ε the two places of Adam's ε are too.
SAME = {"random_state": 3, "shuffle": False, "max_iter": 40, "hidden_layer_sizes": (12, 5), "epsilon": 1e-30}
SGD = {"solver": "sgd", "learning_rate_init": 0.1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [
    {},
    {"alpha": 0.5, "activation": "tanh"},
    {"beta_2": 0.0, "epsilon": 0.1},  # β₂ = 0 makes both places of ε one
    {"activation": "logistic", "batch_size": 50, "alpha": 0},
    SGD,
    dict(SGD, nesterovs_momentum=False, batch_size=50, alpha=0),
    dict(SGD, momentum=0, learning_rate="invscaling", power_t=0.2),
    dict(SGD, momentum=0, learning_rate="adaptive", tol=0.1, n_iter_no_change=1),
    {"solver": "lbfgs", "max_iter": 8, "alpha": 0.1},
    {"tol": 0.02, "n_iter_no_change": 2, "max_iter": 300},
], ids=lambda options: " ".join(f"{k}={v}" for k, v in options.items()) or "default")  # fmt: skip
def test_the_same_course_as_scikit_learns(kind, options):
    X, y, name = targets(kind)
    theirs = getattr(neural_network, name)(**SAME | options).fit(X, y)
    model = ours(name)(**SAME | options).fit(X, y)
    np.testing.assert_allclose(parameters(model), parameters(theirs), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.predict(X[:5]), theirs.predict(X[:5]), rtol=1e-5, atol=1e-7) if (
        name == "MLPRegressor"
    ) else np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    for attribute in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(model, attribute) == getattr(theirs, attribute), attribute
    if model.loss_curve_:  # its penalty is of the weights before the epoch, scikit-learn's of those before each batch
        one_batch = len(X) <= 200 or model.alpha == 0
        np.testing.assert_allclose(model.loss_curve_, theirs.loss_curve_, rtol=1e-6 if one_batch else 0.01)
        assert model.best_loss_ == min(model.loss_curve_)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_early_stopping_as_scikit_learns(kind):
    X, y, name = targets(kind)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X)) if kind in ("binary", "regression") else None
    options = SAME | {
        "early_stopping": True,
        "validation_fraction": 0.25,
        "tol": 1e-3,
        "n_iter_no_change": 4,
        "max_iter": 200,
    }
    if kind == "multiclass":  # which scikit-learn, unlike its documentation, does not stratify
        y, options = (y > 0).astype(int), options | {"activation": "tanh"}
    if name == "MLPRegressor":
        options |= {"batch_size": 300}
    theirs = getattr(neural_network, name)(**options).fit(X, y, weights)
    model = ours(name)(**options).fit(X, y, weights)
    np.testing.assert_allclose(model.validation_scores_, theirs.validation_scores_, rtol=1e-6)
    assert model.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert model.best_loss_ is None
    assert model.n_iter_ == theirs.n_iter_
    assert model.converged_ == (model.n_iter_ < 200)
    # The mean weight of the held-in rows stands for that of each batch, so penalties differ a little.
    np.testing.assert_allclose(parameters(model), parameters(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_sample_weights_as_in_scikit_learn(kind, solver):
    X, y, name = targets(kind)
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    options = SAME | {"solver": solver, "max_iter": 10, "batch_size": len(X), "activation": "tanh", "alpha": 0.3}
    theirs = getattr(neural_network, name)(**options).fit(X, y, weights)
    model = ours(name)(**options).fit(X, y, weights)
    again = (
        ours(name)(**options)
        .set_params(batch_size=weights.sum())
        .fit(np.repeat(X, weights, 0), np.repeat(y, weights, 0))
    )
    np.testing.assert_allclose(parameters(model), parameters(theirs), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(parameters(model), parameters(again), rtol=1e-5, atol=1e-7)


# What they take and give.


@pytest.mark.parametrize("kind", KINDS)
def test_predictions(kind):
    X, y, name = targets(kind)
    model = ours(name)(random_state=0, hidden_layer_sizes=20, learning_rate_init=0.02, max_iter=100).fit(X, y)
    prediction = model.predict(X)
    assert prediction.shape == y.shape
    assert model.score(X, y) > {"regression": 0.5, "regressions": 0.4, "multilabel": 0.9}.get(kind, 0.97)
    if name == "MLPRegressor":
        return
    assert prediction.dtype.kind == y.dtype.kind
    p = model.predict_proba(X)
    assert p.shape == (len(X), len(model.classes_))
    if kind != "multilabel":
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], prediction)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p))


def test_log_of_a_probability_that_is_zero():
    model = MLPClassifier(random_state=0).fit([[0.0], [1.0]], [0, 1])
    model.coefs_[0][...] = model.coefs_[1][...] = 30.0  # views: what is written to them counts
    assert model.predict_proba([[100.0]])[0].tolist() == [0.0, 1.0]
    assert model.predict_log_proba([[100.0]])[0] == pytest.approx([np.log(np.finfo(float).tiny), 0.0])


@pytest.mark.parametrize(("data", "asked", "computed"), [
    ("float32", None, "float32"), ("float64", None, "float64"), ("int64", None, "float64"),
    ("float16", None, "float64"),    ("float64", "float32", "float32"), ("float32", np.float64, "float64"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_dtype(data, asked, computed, name):
    X, y, _ = targets("binary" if name == "MLPClassifier" else "regression")
    X = (10 * X).astype(data)
    model = ours(name)(max_iter=2, dtype=asked).fit(X, y)
    assert model.network_.dtype == computed
    assert all(array.dtype == computed for array in model.coefs_ + model.intercepts_)
    outputs = model.predict(X) if name == "MLPRegressor" else model.predict_proba(X)
    assert outputs.dtype == computed


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_give_the_same_bits(solver):
    X, y = iris()
    options = {"random_state": 0, "max_iter": 5, "solver": solver, "hidden_layer_sizes": (200, 200)}
    one, two = MLPClassifier(**options).fit(X, y), MLPClassifier(**options, threads=2).fit(X, y)
    assert two.network_.threads == 2
    assert pickle.loads(pickle.dumps(two)).network_.threads == 2
    assert two.set_params(warm_start=True, threads=1).fit(X, y).network_.threads == 1
    one.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(parameters(one), parameters(two))


def test_dropout():
    X, y = iris()
    options = {"random_state": 0, "max_iter": 30, "hidden_layer_sizes": (50, 50), "learning_rate_init": 0.01}
    plain, dropped = MLPClassifier(**options).fit(X, y), MLPClassifier(**options, dropout=0.5).fit(X, y)
    assert dropped.network_.dropout == (0.0, 0.5, 0.5)
    assert dropped.loss_ > plain.loss_
    assert dropped.score(X, y) > 0.9
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    assert MLPClassifier(**options, dropout=[0.1, 0, 0.2]).fit(X, y).network_.dropout == (0.1, 0.0, 0.2)


def test_one_class():
    model = MLPClassifier(max_iter=3).fit([[0.0], [1.0]], ["a", "a"])
    assert model.predict([[5.0]]).tolist() == ["a"]
    assert model.predict_proba([[5.0]]).tolist() == [[1.0]]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_sparse_input_gives_what_dense_gives(container, name):
    X, y, _ = targets("multiclass" if name == "MLPClassifier" else "regression")
    X = np.where(X > 0.5, X, 0)
    options = {"random_state": 0, "max_iter": 5, "early_stopping": True}
    dense, thin = ours(name)(**options).fit(X, y), ours(name)(**options, scoring=None).fit(container(X), y)
    np.testing.assert_array_equal(parameters(dense), parameters(thin))
    np.testing.assert_array_equal(dense.predict(X), thin.predict(container(X)))
    scored = ours(name)(**options, scoring=lambda model, A, t: model.score(A, t)).fit(container(X), y)
    assert scored.validation_scores_ == pytest.approx(dense.validation_scores_, rel=1e-12)


def test_sparse_labels():
    X, y, _ = targets("multilabel")
    options = {"random_state": 0, "max_iter": 20, "early_stopping": True}
    dense, thin = MLPClassifier(**options).fit(X, y), MLPClassifier(**options).fit(X, sparse.csr_matrix(y))
    np.testing.assert_array_equal(dense.predict(X), thin.predict(X))
    assert dense.validation_scores_ == thin.validation_scores_


def test_data_frames():
    X, y = iris()
    frame, names = pd.DataFrame(X, columns=list("abcd")), pd.Series(np.array(["x", "y", "z"])[y])
    model = MLPClassifier(random_state=0, early_stopping=True, scoring="neg_log_loss").fit(frame, names)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.predict(frame[:3]).tolist() == names[:3].tolist()
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "other"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


@pytest.mark.parametrize(("loss", "output"), [
    ("squared_error", "identity"), ("mse", "identity"), ("mae", "identity"), (fastprop.Huber(0.5), "identity"),
    ("poisson", "softplus"), ("binary_cross_entropy", "logistic"),
])  # fmt: skip
def test_losses_of_the_regressor(loss, output):
    X, y = diabetes()
    y = 1 / (1 + np.exp(-y))
    model = MLPRegressor(loss, 20, "silu", random_state=0, max_iter=300, learning_rate_init=0.01).fit(X, y)
    assert model.out_activation_ == output
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize(
    "loss",
    ["log_loss", "cross_entropy", "mse", "huber", "binary_cross_entropy", fastprop.CrossEntropy(label_smoothing=0.1)],
    ids=str,
)
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_losses_of_the_classifier(kind, loss):
    X, y, _ = targets(kind)
    model = MLPClassifier(20, random_state=0, loss=loss, learning_rate_init=0.02)
    if kind == "multilabel" and (loss == "cross_entropy" or isinstance(loss, fastprop.CrossEntropy)):
        with pytest.raises(ValueError, match="loss must"):
            model.fit(X, y)
    else:
        assert model.fit(X, y).score(X, y) > 0.9
        assert model.predict_proba(X).shape == (len(X), len(model.classes_))


# Weights of classes.


@pytest.mark.parametrize("labels", ["abc", (0, 1, 2), (False, True)])
def test_class_weights_are_sample_weights(labels):
    X, y = iris()
    codes = np.minimum(y, len(labels) - 1)
    y, given = np.array(list(labels))[codes], np.random.default_rng(0).uniform(0.5, 2, len(y))
    options = {"random_state": 0, "max_iter": 5, "shuffle": False}
    factors = np.array([0.5, 2.0, 1.0])
    by_class = MLPClassifier(**options, class_weight={y.dtype.type(labels[0]): 0.5, labels[1]: 2}).fit(X, y, given)
    by_row = MLPClassifier(**options).fit(X, y, given * factors[codes])
    np.testing.assert_allclose(parameters(by_class), parameters(by_row), rtol=1e-12)

    keep = (codes > 0) | (np.arange(len(y)) % 3 == 0)
    X, y, codes, given = X[keep], y[keep], codes[keep], given[keep]
    totals = np.bincount(codes, given)
    balanced = MLPClassifier(**options, class_weight="balanced").fit(X, y, given)
    by_row = MLPClassifier(**options).fit(X, y, given * (given.sum() / len(totals) / totals)[codes])
    np.testing.assert_allclose(parameters(balanced), parameters(by_row), rtol=1e-12)


def test_class_weights_of_several_labels():
    X, y, _ = targets("multilabel")
    assert MLPClassifier(class_weight="balanced", learning_rate_init=0.02).fit(X, y).score(X, y) > 0.9


# From one call to the next.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_are_the_epochs_of_a_fit(kind, solver):
    X, y, name = targets(kind)
    options = {"random_state": 0, "solver": solver, "max_iter": 6, "batch_size": 30, "learning_rate_init": 0.01}
    whole = ours(name)(**options).fit(X, y)
    parts = ours(name)(**options)
    for _ in range(3):
        parts.partial_fit(X, y, **{"classes": np.unique(y)} if kind in ("binary", "multiclass") else {})
    parts = pickle.loads(pickle.dumps(parts))
    for _ in range(3):
        parts.partial_fit(X, y)
    np.testing.assert_array_equal(parameters(parts), parameters(whole))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.t_ == whole.t_ == 6 * len(X)


@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_with_early_stopping_is_fit_with_early_stopping(kind):
    X, y, name = targets(kind)
    options = {
        "random_state": 0,
        "early_stopping": True,
        "n_iter_no_change": 3,
        "tol": 1e-3,
        "learning_rate_init": 0.01,
    }
    whole = ours(name)(**options, max_iter=1000).fit(X, y)
    parts = ours(name)(**options).partial_fit(X, y, **{} if name == "MLPRegressor" else {"classes": np.unique(y)})
    calls = 1
    while not parts.converged_:
        last = parameters(parts)
        parts.partial_fit(X, y)
        calls += 1
    assert calls == whole.n_iter_
    assert parts.validation_scores_ == whole.validation_scores_
    np.testing.assert_array_equal(parameters(parts), parameters(whole))  # the best ones
    assert not np.array_equal(parameters(parts), last)
    parts.partial_fit(X, y)
    assert len(parts.loss_curve_) == calls
    np.testing.assert_array_equal(parameters(parts), parameters(whole))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_score_of_early_stopping_is_the_estimators_own(kind, weighted):
    X, y, name = targets(kind)
    y = np.column_stack([y, np.ones(len(y))]) if kind == "regressions" else y  # constant: a score of 0
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    options = {"random_state": 0, "early_stopping": True, "max_iter": 5}
    default = ours(name)(**options).fit(X, y, weights)
    scored = ours(name)(**options, scoring=lambda model, *data, **weight: model.score(*data, **weight)).fit(
        X, y, weights
    )
    np.testing.assert_allclose(default.validation_scores_, scored.validation_scores_, rtol=1e-12)


def test_rows_held_out_are_never_trained_with():
    X, y = diabetes()
    seen = []

    def score(model, held_out, truth):
        seen.append(held_out)
        return -len(seen)

    model = MLPRegressor(early_stopping=True, scoring=score, warm_start=True, max_iter=2).fit(X, y).fit(X, y)
    model.partial_fit(X, y)
    assert len(seen) == 5
    for held_out in seen:
        np.testing.assert_array_equal(held_out, seen[0])
    # Nothing of them in the weights either: the same course where they are changed.
    random_state = np.random.RandomState(7)
    plain = MLPRegressor(early_stopping=True, random_state=copy.deepcopy(random_state), max_iter=3, tol=0).fit(X, y)
    changed = X.copy()
    probe = MLPRegressor(early_stopping=True, random_state=copy.deepcopy(random_state), max_iter=1, scoring=score)
    probe.fit(X, y)
    changed[(X[:, None] == seen[-1]).all(axis=2).any(axis=1)] *= 1.5
    other = MLPRegressor(early_stopping=True, random_state=random_state, max_iter=3, tol=0).fit(changed, y)
    assert plain.loss_curve_ == other.loss_curve_
    assert plain.validation_scores_ != other.validation_scores_


def test_the_penalty_follows_the_size_of_the_batch():
    """α/2 · ‖W‖² over the rows of each partial fit, as scikit-learn does it."""
    X, y = diabetes()
    options = SAME | SGD | {"alpha": 5.0, "learning_rate_init": 0.01}
    ours, theirs = MLPRegressor(**options), neural_network.MLPRegressor(**options)
    for rows in (slice(150), slice(30), slice(100)):
        ours.partial_fit(X[rows], y[rows])
        theirs.partial_fit(X[rows], y[rows])
    np.testing.assert_allclose(parameters(ours), parameters(theirs), rtol=1e-10)
    ours.set_params(alpha=0).partial_fit(X[:30], y[:30])
    theirs.set_params(alpha=0).partial_fit(X[:30], y[:30])
    np.testing.assert_allclose(parameters(ours), parameters(theirs), rtol=1e-10)


def test_warm_start_goes_on():
    X, y = iris()
    model = MLPClassifier(random_state=0, max_iter=4, warm_start=True, solver="sgd", momentum=0.0, batch_size=30)
    once = clone(model).set_params(max_iter=8).fit(X, y)
    twice = model.fit(X, y).fit(X, y)
    np.testing.assert_array_equal(parameters(once), parameters(twice))
    assert twice.n_iter_ == 4
    assert len(twice.loss_curve_) == 8
    with pytest.raises(ValueError, match="y must hold labels of"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="layers must stay"):
        model.set_params(hidden_layer_sizes=3).fit(X, y)
    model.set_params(hidden_layer_sizes=100, early_stopping=True).fit(X, y)
    assert len(model.validation_scores_) == 4


def test_a_generator_of_the_users_own_is_not_turned_back():
    X, y = diabetes()
    generator = np.random.RandomState(0)
    model = MLPRegressor(early_stopping=True, random_state=generator, max_iter=1, warm_start=True).fit(X, y)
    before = generator.get_state()[2]
    model.fit(X, y)
    assert generator.get_state()[2] == before


# Scorers.


@pytest.mark.parametrize("scoring", [
    "neg_mean_absolute_error", make_scorer(mean_absolute_error, greater_is_better=False),
    lambda model, X, y, sample_weight: -np.average(np.abs(model.predict(X) - y), weights=sample_weight),
], ids=["name", "scorer", "callable"])  # fmt: skip
def test_early_stopping_with_any_scorer(scoring):
    X, y = diabetes()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    options = {"random_state": 0, "early_stopping": True, "learning_rate_init": 0.01, "max_iter": 500}
    model = MLPRegressor(**options, scoring=scoring).fit(X, y, weights)
    expected = MLPRegressor(**options, scoring="neg_mean_absolute_error").fit(X, y, weights)
    np.testing.assert_allclose(model.validation_scores_, expected.validation_scores_)
    assert model.n_iter_ < 500
    assert model.best_validation_score_ == max(model.validation_scores_) > -0.8


def test_the_best_parameters_come_back():
    X, y = diabetes()
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])
    kept = []

    def score(model, held_out, truth):
        kept.append(parameters(model))
        return next(scores)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MLPRegressor(early_stopping=True, scoring=score, n_iter_no_change=3).fit(X, y)
    assert model.n_iter_ == 6
    np.testing.assert_array_equal(parameters(model), kept[1])
    assert model.best_validation_score_ == 0.9


def test_an_optimizer_as_solver():
    X, y = diabetes()
    sgd = fastprop.SGD(0.05, momentum=0.8, weight_decay=0.01)
    model = MLPRegressor(solver=sgd, random_state=0, max_iter=20).fit(X, y)
    named = MLPRegressor(
        solver="sgd", learning_rate_init=0.05, momentum=0.8, nesterovs_momentum=False, alpha=0.01 * 200, random_state=0,
        max_iter=20,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(parameters(model), parameters(named), rtol=1e-12)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(parameters(model), parameters(again))
    assert sgd.steps == 0
    assert model.partial_fit(X, y).t_ == 21 * len(X)


@pytest.mark.parametrize("solver", [
    fastprop.RMSprop(0.01), fastprop.Adagrad(0.1), fastprop.AdamW(fastprop.CosineDecay(0.02, 100)),
    fastprop.SGD(0.1, momentum=0.9, clip_norm=1.0),
], ids=lambda solver: type(solver).__name__)  # fmt: skip
def test_other_optimizers_as_solvers(solver):
    X, y = iris()
    model = MLPClassifier(20, solver=solver, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    np.testing.assert_array_equal(parameters(pickle.loads(pickle.dumps(model))), parameters(model))


def test_interrupted():
    X, y = diabetes()

    def score(model, held_out, truth):
        if len(model.validation_scores_) == 2:
            raise KeyboardInterrupt
        return -len(model.validation_scores_)

    with pytest.warns(UserWarning, match="interrupted"):
        model = MLPRegressor(early_stopping=True, scoring=score, random_state=0).fit(X, y)
    assert model.n_iter_ == 3
    assert np.isfinite(model.predict(X)).all()


# The tools of scikit-learn.


@pytest.mark.parametrize("kind", KINDS)
def test_clones_pickles_and_copies(kind):
    X, y, name = targets(kind)
    model = ours(name)(random_state=0, max_iter=3, early_stopping=True).fit(X, y)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "coefs_")
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        other.coefs_[0][...] = 0
        assert model.coefs_[0].any()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_grid_search_in_a_pipeline(backend):
    import joblib

    X, y = iris()
    model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=100, learning_rate_init=0.01))
    search = GridSearchCV(model, {"mlpclassifier__hidden_layer_sizes": [(1,), (20, 10)]}, n_jobs=2, cv=3)
    with joblib.parallel_backend(backend):
        search.fit(X, y)
    assert search.best_params_ == {"mlpclassifier__hidden_layer_sizes": (20, 10)}
    alone = cross_val_score(model.set_params(**search.best_params_), X, y, cv=3)
    assert search.best_score_ == pytest.approx(alone.mean(), abs=1e-12)


def test_calibration_and_permutation_importance():
    import joblib

    X, y = iris()
    X = np.column_stack([X[:, 2:], np.random.default_rng(0).standard_normal(len(X))])
    model = CalibratedClassifierCV(MLPClassifier(random_state=0, max_iter=50, learning_rate_init=0.01), cv=3).fit(X, y)
    assert log_loss(y, model.predict_proba(X)) < 0.3
    fitted = MLPClassifier(random_state=0, max_iter=50, learning_rate_init=0.01).fit(X, y)
    with joblib.parallel_backend("threading"):
        importance = permutation_importance(fitted, X, y, n_jobs=2, random_state=0).importances_mean
    assert importance[2] < 0.1 < importance[:2].max()


def test_several_threads_may_predict_at_once():
    X, y = diabetes()
    model = MLPRegressor(max_iter=1).fit(X, y)
    expected, wrong = model.predict(X), []

    def work():
        for _ in range(50):
            try:
                if not np.array_equal(model.predict(X), expected):
                    wrong.append("other numbers")
            except RuntimeError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# What is refused, and what is warned of.


@pytest.mark.parametrize("options", [
    {"hidden_layer_sizes": 0}, {"hidden_layer_sizes": (3, -1)}, {"hidden_layer_sizes": 2.5}, {"activation": "step"},
    {"solver": "newton"}, {"alpha": -1}, {"alpha": "0.1"}, {"batch_size": 0}, {"batch_size": 1.5},
    {"learning_rate": "fast"}, {"learning_rate": 0.1}, {"solver": None},
    {"learning_rate_init": 0}, {"power_t": -1}, {"max_iter": 0}, {"shuffle": 1},
    {"tol": -1}, {"warm_start": "no"}, {"momentum": 1.5, "solver": "sgd"}, {"nesterovs_momentum": 1},
    {"early_stopping": None}, {"validation_fraction": 1}, {"validation_fraction": 0.001, "early_stopping": True},
    {"beta_1": 1}, {"beta_2": -0.1}, {"epsilon": 0}, {"n_iter_no_change": 0}, {"max_fun": 0}, {"init": "he"},
    {"dtype": "int32"}, {"threads": 0}, {"dropout": 1}, {"dropout": 0.5, "solver": "lbfgs"}, {"loss": "hinge"},
    {"scoring": "no such", "early_stopping": True},
    {"random_state": "x"}, {"class_weight": "even"}, {"class_weight": {7: 2.0}}, {"class_weight": {0: -1.0}},
], ids=str)  # fmt: skip
def test_bad_parameters_are_named(options):
    X, y = iris()
    name = next(iter(options))
    match = {"random_state": "cannot be used to seed", "class_weight": "weight"}.get(name, name)
    with pytest.raises((ValueError, TypeError), match=match):
        MLPClassifier(**options).fit(X, y)


def test_partial_fit_refuses():
    X, y = iris()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight must"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    model = MLPClassifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must stay"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="y must hold labels of"):
        model.partial_fit(X, y + 1)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="a column of labels"):
        MLPClassifier().fit(X, np.stack([y, y], axis=1))


@pytest.mark.filterwarnings("error")
def test_warnings():
    X, y = iris()
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        MLPClassifier(max_iter=2).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs"):
        MLPClassifier(max_iter=2, solver="lbfgs").fit(X, y)
    with pytest.warns(UserWarning, match="batch_size=1000 is clipped to the number of rows, 150"):
        MLPClassifier(batch_size=1000, tol=1e9).fit(X, y)
    MLPClassifier(tol=1e9).fit(X, y)


def test_verbose_prints_a_line_an_epoch(capsys):
    X, y = iris()
    MLPClassifier(verbose=True, max_iter=3, early_stopping=True).fit(X, y)
    assert capsys.readouterr().out.count("Iteration") == 3


def test_without_scikit_learn_the_extra_is_named():
    code = "import sys; sys.modules['sklearn'] = None\ntry: import fastprop.sklearn\nexcept ImportError as e: print(e)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'fastprop-numba[sklearn]'" in out
