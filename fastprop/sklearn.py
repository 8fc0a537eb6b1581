"""Estimators for scikit-learn: drop-in for its own `MLPClassifier` and `MLPRegressor`, trained by fastprop.

What both share is in `_Perceptron`; a subclass says what targets, outputs and predictions are.
"""

from __future__ import annotations

import copy
import math
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from . import checks
from .activations import Activation, activation
from .callbacks import Callback
from .fitting import Run
from .losses import LOSSES, Loss
from .losses import loss as loss_of
from .network import Network, _dtype
from .optimizers import SGD, Adam, Optimizer

try:
    from scipy.optimize import minimize
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import check_scoring
    from sklearn.model_selection import train_test_split
    from sklearn.utils import _safe_indexing, check_random_state, column_or_1d
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import type_of_target
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("fastprop.sklearn needs scikit-learn ≥ 1.6: pip install 'fastprop-numba[sklearn]'") from error

__all__ = ["MLPClassifier", "MLPRegressor"]

#: What scikit-learn calls by another name.
_SIGMOID = "logistic"


def _goes_by_steps(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs a solver that goes by steps, got solver='lbfgs'")
    return True


def _dense(X: Any) -> np.ndarray:
    return X.toarray(order="C") if issparse(X) else X


@dataclass(eq=False, repr=False)
class _Perceptron(BaseEstimator, ABC):
    """What classifier and regressor share; their docstrings say what the parameters mean."""

    loss: str | Loss = field(default="", kw_only=True)
    hidden_layer_sizes: int | Iterable[int] = (100,)
    activation: str | Activation = "relu"
    _: KW_ONLY
    solver: str | Optimizer = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: int | float = 10
    max_fun: int = 15000
    scoring: str | Callable | None = None
    init: str | None = None
    dropout: float | Sequence[float] = 0.0
    dtype: Any = None
    threads: int | str = 1

    # Here a subclass differs.

    @abstractmethod
    def _encode(self, y: np.ndarray, first: bool, classes: Any) -> np.ndarray:
        """y in numbers; where ``first``, what turns them back is learned."""

    @abstractmethod
    def _arrange(self, y: np.ndarray) -> tuple[np.ndarray, int, str, str | Loss]:
        """From such numbers the network's targets, the width and activation of its output layer, and its loss."""

    @abstractmethod
    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions from the network's outputs."""

    @abstractmethod
    def _rate(self, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None) -> float:
        """What ``score`` returns for such predictions."""

    def _weigh_classes(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Sample weights times class weights."""
        return weights

    # Training.

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train until the loss, or with ``early_stopping`` the score of held-out rows, no longer improves.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)
            Class labels, a 0/1 matrix of several labels a row, or real numbers.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; a batch's loss is Σ w·loss / Σ w.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is out of its range.
        DivergenceError
            If the loss or a parameter becomes NaN or infinite.
        """
        return self._fit(X, y, sample_weight, first=not (self.warm_start and self.__sklearn_is_fitted__()))

    def _fit(self, X: Any, y: Any, sample_weight: Any, first: bool, classes: Any = None, partial: bool = False) -> Any:
        self._check_parameters()
        rows = X
        X, y = validate_data(
            self, X, y, reset=first, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=not self._classifies,
            dtype=self._data_dtype(first), order="C",
        )  # fmt: skip
        X = _dense(X)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        numbers = self._encode(y, first, classes)
        given = None if sample_weight is None else checks.weights("sample_weight", sample_weight, len(X), X.dtype)
        weights = self._weigh_classes(numbers, given)
        targets, width, output, loss = self._arrange(numbers)
        if output != "softmax" or targets.ndim == 2:  # labels stay what they are
            targets = np.ascontiguousarray(targets, X.dtype)

        sizes = self._sizes(X.shape[1], width)
        generator = check_random_state(self.random_state)
        parameters = self._first_parameters(generator, sizes) if first and self.init is None else None
        if first:
            self._split_state = generator.get_state()
        elif self.network_.sizes != sizes:
            raise ValueError(f"layers must stay as in the previous fit, {self.network_.sizes}, got {sizes}")
        score = None
        if self.early_stopping and self.solver != "lbfgs":
            train, score = self._hold_out(rows, X, y, given)
            X, targets, weights = X[train], targets[train], None if weights is None else weights[train]
        if first:
            self._begin(sizes, output, loss, X.dtype, parameters, generator)
        self.network_.threads = self.threads

        if self.solver == "lbfgs":
            self._minimize(X, targets, weights)
        else:
            self._descend(X, targets, weights, score, partial)
        return self

    def _check_parameters(self) -> None:
        """Refuse what neither the network nor its optimizer would, or would under another name."""
        self._hidden()
        if not isinstance(self.solver, Optimizer):
            checks.one_of("solver", self.solver, dict.fromkeys(("adam", "sgd", "lbfgs")), "an Optimizer")
        if self.learning_rate not in ("constant", "invscaling", "adaptive"):
            raise ValueError(
                "learning_rate must be one of constant, invscaling, adaptive (numbers go to learning_rate_init); "
                f"got {self.learning_rate!r}"
            )
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
            checks.flag(name, getattr(self, name))
        for name in ("alpha", "power_t", "tol"):
            checks.number(name, getattr(self, name), at_least=0)
        checks.number("learning_rate_init", self.learning_rate_init, above=0)
        checks.number("validation_fraction", self.validation_fraction, above=0, below=1)
        for name in ("beta_1", "beta_2"):
            checks.number(name, getattr(self, name), at_least=0, below=1)
        for name in ("max_iter", "max_fun"):
            checks.whole(name, getattr(self, name), 1)
        if self.solver == "lbfgs" and self.dropout != 0:
            raise ValueError(
                f"dropout must be 0 with lbfgs, which needs one loss for all its steps, got {self.dropout!r}"
            )
        if self.n_iter_no_change != math.inf:
            checks.whole("n_iter_no_change", self.n_iter_no_change, 1)
        if self.batch_size != "auto":
            checks.whole("batch_size", self.batch_size, 1)

    @property
    def _classifies(self) -> bool:
        return isinstance(self, ClassifierMixin)

    def _data_dtype(self, first: bool) -> Any:
        if not first:
            return self.network_.dtype
        return (np.float64, np.float32) if self.dtype is None else _dtype(self.dtype)

    def _sizes(self, inputs: int, outputs: int) -> tuple[int, ...]:
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if isinstance(hidden, Iterable) else [hidden]
        widths = (checks.whole(f"hidden_layer_sizes[{i}]", width, 1) for i, width in enumerate(hidden))
        return (inputs, *widths, outputs)

    def _hidden(self) -> Activation:
        function = activation("activation", "sigmoid" if self.activation == _SIGMOID else self.activation)
        if function.name == "softmax":
            raise ValueError("activation must not be 'softmax', which is for the output only")
        return function

    def _first_parameters(self, generator: np.random.RandomState, sizes: tuple[int, ...]) -> np.ndarray:
        """Weights and biases as scikit-learn draws them, after Glorot and Bengio (2010); hence the same ones."""
        factor = 2 if self.activation == _SIGMOID else 6
        drawn = []
        for fan_in, fan_out in pairwise(sizes):
            bound = math.sqrt(factor / (fan_in + fan_out))
            drawn += [generator.uniform(-bound, bound, fan_in * fan_out), generator.uniform(-bound, bound, fan_out)]
        return np.concatenate(drawn)

    def _begin(self, sizes, output, loss, dtype, parameters, generator) -> None:
        """A new network, and nothing learned yet."""
        self.network_ = Network(
            sizes, self._hidden(), output, loss=loss, dtype=dtype, init=self.init,
            dropout=self.dropout, seed=int(generator.randint(2**31 - 1)),
        )  # fmt: skip
        if parameters is not None:
            self.network_.set_parameters(parameters)
        self.n_layers_, self.n_outputs_ = len(sizes), sizes[-1]
        self.out_activation_ = _SIGMOID if output == "sigmoid" else output
        self.t_ = 0
        self.converged_ = False
        self._lock = threading.Lock()
        self._optimizer: Any = None
        self._start_curves()

    def _start_curves(self) -> None:
        self._idle_epochs = 0
        self.loss_curve_: list[float] = []
        self.best_loss_: Any = None if self.early_stopping else math.inf
        self.validation_scores_: Any = [] if self.early_stopping else None
        self.best_validation_score_: Any = -math.inf if self.early_stopping else None
        self._best_parameters: Any = None

    def _hold_out(self, rows, X, y, weights) -> tuple[np.ndarray, Callable[[], float]]:
        """The rows to train with, and the score of the others.

        The generator begins where it stood at the first fit: data that comes again is split the same way, and no row
        held out is ever trained with.
        """
        if self.validation_fraction * len(X) <= 1:
            raise ValueError(
                f"validation_fraction must leave at least 2 of {len(X)} rows, got {self.validation_fraction}"
            )
        stratify = y if self._classifies and y.ndim == 1 else None
        generator = np.random.RandomState()
        generator.set_state(self._split_state)
        train, test = train_test_split(
            np.arange(len(X)), test_size=self.validation_fraction, random_state=generator, stratify=stratify
        )
        truth = _dense(y[test])
        weights = None if weights is None else weights[test]
        if self.scoring is None:  # as scikit-learn's own scores, without the checks that cost more than an epoch
            held_out = X[test]
            return train, lambda: self._rate(truth, self._decide(self.network_.predict(held_out)), weights)
        scorer = check_scoring(self, self.scoring)
        held_out = _safe_indexing(rows, test)  # as they came, so that a DataFrame keeps its names
        given = {} if weights is None else {"sample_weight": weights}
        return train, lambda: scorer(self, held_out, truth, **given)

    def _scale(self) -> float:
        """What scikit-learn's gradient is in multiples of the network's.

        Its log-loss of several labels is their sum, binary_cross_entropy their mean.
        """
        differs = (
            self.loss == "log_loss" and self.out_activation_ == _SIGMOID and not isinstance(self.solver, Optimizer)
        )
        return self.n_outputs_ if differs else 1

    def _new_optimizer(self, scale: float, decay: float) -> Optimizer:
        """An optimizer whose steps are those that scikit-learn makes from a gradient ``scale`` times as large."""
        if isinstance(self.solver, Optimizer):
            return copy.deepcopy(self.solver)
        if self.solver == "sgd":
            nesterov = self.nesterovs_momentum and self.momentum > 0
            return SGD(self.learning_rate_init * scale, self.momentum, nesterov, weight_decay=decay / scale)
        return Adam(self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon / scale, weight_decay=decay / scale)

    def _descend(self, X, targets, weights, score, partial: bool) -> None:
        """Epoch by epoch, until it converges or for ``max_iter`` epochs; one where this is but a partial fit."""
        n, scale, network = len(X), self._scale(), self.network_
        batch = min(200, n) if self.batch_size == "auto" else int(self.batch_size)
        if batch > n:
            warnings.warn(f"batch_size={batch} is clipped to the number of rows, {n}", stacklevel=4)
            batch = n
        # scikit-learn divides α by the weight of each batch; here it is the mean weight of a whole one.
        decay = self.alpha / (batch * (1.0 if weights is None else float(weights.mean())))
        if isinstance(self.solver, Optimizer):
            decay = 0.0  # it has its own
        if self._optimizer is None or not partial:
            self._optimizer = self._new_optimizer(scale, decay)
        elif not isinstance(self.solver, Optimizer):
            self._optimizer.weight_decay = decay / scale  # batches may have another size now
        if (self.validation_scores_ is None) == self.early_stopping:  # set since the previous fit
            self._start_curves()
        self.n_iter_ = 0
        try:
            network.fit(
                X, targets, optimizer=self._optimizer, epochs=1 if partial else self.max_iter, batch_size=batch,
                shuffle=self.shuffle, sample_weight=weights, callbacks=[_Watch(self, n, scale, decay, score)],
            )  # fmt: skip
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if not self.converged_ and not partial and self.n_iter_ == self.max_iter:
            warnings.warn(f"no convergence within max_iter={self.max_iter} epochs", ConvergenceWarning, stacklevel=4)
        if self._best_parameters is not None and (self.converged_ or not partial):
            network.set_parameters(self._best_parameters)

    def _report(self, line: str) -> None:
        if self.verbose:
            print(line)

    def _minimize(self, X, targets, weights) -> None:
        """All rows at once by SciPy's L-BFGS-B, which ends by scikit-learn's rules rather than by `fit_lbfgs`'s."""
        network, scale = self.network_, self._scale()
        of_weight = np.concatenate(
            [np.repeat([1.0, 0.0], [w.size, b.size]) for w, b in zip(network.weights, network.biases, strict=True)]
        )
        decay = self.alpha / (len(X) if weights is None else float(weights.sum())) * of_weight

        def cost_and_gradient(v: np.ndarray) -> tuple[float, np.ndarray]:
            network.set_parameters(v)
            network.forward(X)
            cost = scale * network.backward(targets, weights)
            return cost + float(decay @ (v * v)) / 2, scale * network.get_gradient() + decay * v

        found = minimize(
            cost_and_gradient, network.get_parameters().astype(np.float64), method="L-BFGS-B", jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
        )  # fmt: skip
        network.set_parameters(found.x)
        self.n_iter_, self.loss_, self.converged_ = int(found.nit), float(found.fun), bool(found.success)
        self._report(f"{self.n_iter_} iterations, loss = {self.loss_:.8f}")
        if not self.converged_:
            warnings.warn(f"no convergence of lbfgs: {found.message}", ConvergenceWarning, stacklevel=4)

    # Using what was learned.

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for the user's X; several threads may ask at once."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse=["csr", "csc"], dtype=self.network_.dtype, order="C")
        with self._lock:
            return self.network_.predict(_dense(X))

    @property
    def coefs_(self) -> list[np.ndarray]:
        """W^(1)..W^(L), views of the network's own: what is written to them counts."""
        return self._fitted_network("coefs_").weights

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """b^(1)..b^(L), views of the network's own."""
        return self._fitted_network("intercepts_").biases

    def _fitted_network(self, name: str) -> Network:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{type(self).__name__} has no {name} before fit")
        return self.network_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict:
        return {name: value for name, value in super().__getstate__().items() if name != "_lock"}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._lock = threading.Lock()


class _Watch(Callback):
    """What scikit-learn does after each epoch: note its loss, score held-out rows, and end what no longer improves."""

    def __init__(
        self, estimator: _Perceptron, rows: int, scale: float, decay: float, score: Callable[[], float] | None
    ) -> None:
        self._estimator, self._rows, self._scale, self._decay, self._score = estimator, rows, scale, decay, score
        # scikit-learn shows the mean of the squared errors of several outputs, and descends along that of their sum.
        mean = not estimator._classifies and estimator.loss == "squared_error"
        self._loss_scale = 1 / estimator.n_outputs_ if mean else scale
        self._weights = estimator.network_.weights
        self._penalty = self._l2()

    def _l2(self) -> float:
        return self._decay / 2 * sum(float(np.vdot(w, w)) for w in self._weights) if self._decay else 0.0

    def on_epoch_end(self, run: Run) -> None:
        mlp, rule = self._estimator, run.optimizer
        mlp.n_iter_ += 1
        mlp.t_ += self._rows
        mlp.loss_ = run.history.loss[-1] * self._loss_scale + self._penalty
        mlp.loss_curve_.append(mlp.loss_)
        mlp._report(f"Iteration {mlp.n_iter_}, loss = {mlp.loss_:.8f}")
        self._penalty = self._l2()
        better = self._loss_improved() if self._score is None else self._score_improved(float(self._score()))
        mlp._idle_epochs = 0 if better else mlp._idle_epochs + 1
        descending = mlp.solver == "sgd"
        if descending and mlp.learning_rate == "invscaling":
            rule.learning_rate = mlp.learning_rate_init * self._scale / (mlp.t_ + 1) ** mlp.power_t
        mlp.converged_ = mlp._idle_epochs > mlp.n_iter_no_change
        if not mlp.converged_:
            return
        mlp._report(f"No improvement by more than tol={mlp.tol:f} in {mlp.n_iter_no_change} epochs.")
        if descending and mlp.learning_rate == "adaptive" and rule.learning_rate > 1e-6 * self._scale:
            rule.learning_rate /= 5
            mlp._idle_epochs, mlp.converged_ = 0, False
            mlp._report(f"Learning rate = {rule.learning_rate / self._scale:g}")
        else:
            run.stop()

    def _loss_improved(self) -> bool:
        mlp = self._estimator
        best, mlp.best_loss_ = mlp.best_loss_, min(mlp.best_loss_, mlp.loss_)
        return mlp.loss_ <= best - mlp.tol

    def _score_improved(self, value: float) -> bool:
        mlp = self._estimator
        mlp.validation_scores_.append(value)
        mlp._report(f"Validation score: {value:f}")
        best = mlp.best_validation_score_
        if value > best:
            mlp.best_validation_score_ = value
            mlp._best_parameters = mlp.network_.get_parameters()
        return value >= best + mlp.tol


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, _Perceptron):
    """A classifier: scikit-learn's `MLPClassifier`, trained by fastprop.

    Two classes get one sigmoid output, more a softmax, and a 0/1 matrix of several labels a row a sigmoid for each.
    The same parameters mean the same: with the same ``random_state`` both begin with the same weights, and with
    ``shuffle=False`` too they stay the same up to rounding, but for what docs/sklearn.md lists.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Neurons of each hidden layer.
    activation : str or Activation
        identity, logistic, tanh, relu, or any other that `Network` knows.
    loss : str or Loss
        log_loss is cross-entropy. Any other of fastprop's losses compares the probabilities with 0 and 1.
    solver : {"adam", "sgd", "lbfgs"} or Optimizer
        Of an `Optimizer` each fit uses a copy; the parameters here that say how to descend, ``alpha`` too, are not
        used then.
    alpha : float
        L2 penalty α/2 · ‖W‖², divided by the rows of a batch (by their total weight, where rows are weighted).
    batch_size : int or "auto"
        "auto" is min(200, n). Not for lbfgs, as all down to ``momentum`` but ``max_iter``, ``tol`` and ``alpha``.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For sgd: as it is; ``learning_rate_init / t**power_t`` after t rows; or divided by 5 whenever training would
        otherwise end.
    learning_rate_init, power_t : float
    max_iter : int
        At most so many epochs (iterations of lbfgs).
    shuffle : bool
        Take the rows in a new random order each epoch.
    random_state : int, RandomState or None
        For first weights, shuffles and the rows held out.
    tol : float
        What counts as an improvement of the training loss, or of the score where ``early_stopping``.
    verbose : bool or int
        Print a line for each epoch.
    warm_start : bool
        Let ``fit`` go on from the weights it finds.
    momentum, nesterovs_momentum : float, bool
        For sgd.
    early_stopping : bool
        Score held-out rows after each epoch, and keep the parameters that scored best. In `partial_fit` too.
    validation_fraction : float
        How much to hold out, stratified by class unless rows have several labels.
    beta_1, beta_2, epsilon : float
        For adam.
    n_iter_no_change : int or inf
        End after more than so many epochs in a row without improvement.
    max_fun : int
        At most so many evaluations of lbfgs.
    scoring : str, callable or None
        What scores the held-out rows: anything that scikit-learn takes as a scorer. By default accuracy.
    init : str, optional
        An initialisation of `Network`; by default the one of scikit-learn (Glorot's, of biases too).
    dropout : float or sequence of float
        Probability to leave out a neuron in training: one for all hidden layers, or a list for the input and each of
        them. Not for lbfgs.
    dtype : {None, "float32", "float64"}
        None computes float32 data in float32 and all other data in float64.
    threads : int or "auto"
        At most so many threads for one fit.
    class_weight : dict, "balanced" or None
        Factors of the sample weights by class, 1 for a class not named; "balanced" gives each class the same weight
        in all. For several labels a row what `sklearn.utils.class_weight.compute_sample_weight` takes.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    network_ : Network
        The network itself.
    coefs_, intercepts_ : list of ndarray
        Its weights and biases, as views that can be written to.
    loss_, best_loss_ : float
        Loss of the last epoch, and the least of all (None with ``early_stopping``).
    loss_curve_ : list of float
        Loss of each epoch: mean of the batches' before each update, and the penalty as it was before the epoch.
    validation_scores_, best_validation_score_ : list of float, float
        None without ``early_stopping``.
    n_iter_, t_ : int
        Epochs of the last fit; rows trained with in all.
    converged_ : bool
        Whether training ended for want of improvement.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastprop.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=0)).fit(X, y)
    >>> model.predict(X[[0, 50, 100]])
    array([0, 1, 2])
    >>> model.score(X, y) > 0.97
    True
    """

    loss: str | Loss = field(default="log_loss", kw_only=True)
    _: KW_ONLY
    class_weight: Any = None

    @available_if(_goes_by_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """One epoch more over the given data.

        With ``early_stopping`` each call holds out ``validation_fraction`` of its rows, the same ones when the same
        data comes again. Once their score has not improved for ``n_iter_no_change`` calls, the best parameters come
        back, ``converged_`` is True, and later calls change nothing.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)
        sample_weight : array_like, shape (n,), optional
        classes : array_like, shape (n_classes,), optional
            All labels that will ever come. Needed in the first call, unless y is a 0/1 matrix.

        Returns
        -------
        self
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight must be None or weights by class in partial_fit, which sees a part of the data; "
                f"got {self.class_weight!r}"
            )
        first = not self.__sklearn_is_fitted__()
        if first and classes is None and type_of_target(y) != "multilabel-indicator":
            raise ValueError("classes must be passed on the first call to partial_fit: later data may have others")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must stay as in the first call, {self.classes_}, got {classes!r}")
        if not first and self.early_stopping and self.converged_:
            return self
        return self._fit(X, y, sample_weight, first, classes, partial=True)

    def _encode(self, y: np.ndarray, first: bool, classes: Any) -> np.ndarray:
        """Positions in ``classes_``, (n,), or a 0/1 matrix."""
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            raise ValueError(f"Unknown label type: y must be a column of labels or a 0/1 matrix, got {kind} values")
        several = kind == "multilabel-indicator"
        if first:
            self._several = several
            self.classes_ = np.arange(y.shape[1]) if several else np.unique(y if classes is None else classes)
        elif several != self._several:
            raise ValueError(f"y must be of the same kind as in the previous fit, got {kind} values")
        if several:
            return _dense(y)
        positions = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (unseen := self.classes_[positions] != y).any():
            raise ValueError(f"y must hold labels of {self.classes_.tolist()}, got {y[unseen][0]!r}")
        return positions

    def _arrange(self, y: np.ndarray) -> tuple[np.ndarray, int, str, str | Loss]:
        """Sigmoids for two classes and for several labels a row, else a softmax, as the cross-entropy always needs."""
        several = y.ndim == 2
        if self.loss == "log_loss":
            loss = LOSSES["binary_cross_entropy" if several or len(self.classes_) <= 2 else "cross_entropy"]
        else:
            loss = loss_of("loss", self.loss)
        takes_labels = loss.name == "cross_entropy"
        if several and takes_labels:
            raise ValueError(f"loss must be log_loss or another one for several labels a row, got {self.loss!r}")
        if several or (len(self.classes_) <= 2 and not takes_labels):
            return y, y.shape[1] if several else 1, "sigmoid", loss
        width = max(2, len(self.classes_))
        return y if takes_labels else np.eye(width)[y], width, "softmax", loss

    def _weigh_classes(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        if y.ndim == 2:
            by_row = compute_sample_weight(self.class_weight, y)
        elif isinstance(self.class_weight, Mapping):
            known = self.classes_.tolist()
            if unknown := [label for label in self.class_weight if label not in known]:
                raise ValueError(f"class_weight must name classes of y, {known}, got {unknown}")
            by_row = np.array([float(self.class_weight.get(label, 1)) for label in known])[y]
        else:
            checks.one_of("class_weight", self.class_weight, {"balanced": None}, "weights by class")
            totals = np.bincount(y, weights, minlength=len(self.classes_))
            by_row = (totals.sum() / (len(totals) * np.where(totals > 0, totals, 1)))[y]
        return by_row if weights is None else weights * by_row

    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        if self._several:
            return (outputs > 0.5).astype(np.int64)
        return self.classes_[self._of_classes(outputs).argmax(axis=1)]

    def _rate(self, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None) -> float:
        right = truth == prediction
        return float(np.average(right.all(axis=1) if self._several else right, weights=weights))

    def _of_classes(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities, a column for each class: the sigmoid of a network with one output is of the second of two."""
        if len(self.classes_) == 1 and not self._several:
            return np.ones_like(outputs[:, :1])
        if outputs.shape[1] == len(self.classes_):
            return outputs
        return np.hstack([1 - outputs, outputs])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row; of several labels a row, those with a probability above 0.5.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) or (n, n_outputs)
        """
        return self._decide(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes)
            In the order of ``classes_``. Of several labels a row, each one's own probability.
        """
        return self._of_classes(self._outputs(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`; of 0 that of the smallest normal number.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes)
        """
        p = self.predict_proba(X)
        return np.log(np.maximum(p, np.finfo(p.dtype).tiny))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, _Perceptron):
    """A regressor: scikit-learn's `MLPRegressor`, trained by fastprop.

    Parameters and attributes are those of `MLPClassifier` but for ``class_weight`` and ``classes_``, and for:

    Parameters
    ----------
    loss : str or Loss
        squared_error, poisson (softplus output, for y ≥ 0), mse, mae, huber, `Huber`; binary_cross_entropy (sigmoid
        output, for y from 0 to 1); cross_entropy (softmax output, for rows that sum to 1).
    scoring : str, callable or None
        By default R².

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastprop.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> X = (X - X.mean(axis=0)) / X.std(axis=0)
    >>> model = MLPRegressor(hidden_layer_sizes=20, learning_rate_init=0.01, max_iter=500, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.5
    True
    """

    loss: str | Loss = "squared_error"

    #: The output that goes with a loss that is not for any number.
    _OUTPUTS: ClassVar = {"poisson": "softplus", "binary_cross_entropy": "sigmoid", "cross_entropy": "softmax"}

    @available_if(_goes_by_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """One epoch more over the given data.

        With ``early_stopping`` each call holds out ``validation_fraction`` of its rows, the same ones when the same
        data comes again. Once their score has not improved for ``n_iter_no_change`` calls, the best parameters come
        back, ``converged_`` is True, and later calls change nothing.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        self
        """
        first = not self.__sklearn_is_fitted__()
        if not first and self.early_stopping and self.converged_:
            return self
        return self._fit(X, y, sample_weight, first, partial=True)

    def _encode(self, y: np.ndarray, first: bool, classes: Any) -> np.ndarray:
        return y

    def _arrange(self, y: np.ndarray) -> tuple[np.ndarray, int, str, str | Loss]:
        loss = loss_of("loss", self.loss)
        return y, 1 if y.ndim == 1 else y.shape[1], self._OUTPUTS.get(loss.name, "identity"), loss

    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _rate(self, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None) -> float:
        unexplained = np.average((truth - prediction) ** 2, axis=0, weights=weights)
        variance = np.average((truth - np.average(truth, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
        varies = variance > 0
        return float(np.mean(np.where(varies, 1 - unexplained / np.where(varies, variance, 1), unexplained == 0)))

    def predict(self, X: Any) -> np.ndarray:
        """The network's outputs.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) or (n, n_outputs)
        """
        return self._decide(self._outputs(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
