"""The network: shapes, storage and the user's calls. The numbers are worked on in ``fastprop.kernels.training``."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, initializers, optimizers
from .activations import Activation, activation
from .buffers import Parameters, Units, aligned_zeros
from .callbacks import Callback, EarlyStopping, ProgressBar
from .callbacks import callbacks as callbacks_of
from .data import Data, split, weigh_classes
from .errors import DivergenceError
from .export_c import to_c
from .export_onnx import to_onnx
from .files import save
from .fitting import PATIENCE, Run
from .history import History
from .interchange import to_sklearn, to_torch
from .kernels import barrier, training
from .kernels import layers as column
from .kernels import losses as loss_codes
from .kernels.products import DEPTH_BLOCK
from .kernels.random import random_bits
from .losses import DEFAULTS, Loss
from .losses import loss as loss_of
from .metrics import Metric, built_in
from .metrics import metrics as metrics_of
from .optimizers import Optimizer
from .threads import TINY, Pace, microseconds, together, usable, worth

if TYPE_CHECKING:
    from .gradcheck import GradientCheck
    from .trace import Trace

DTYPES: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}

#: Rows that ``predict`` and ``evaluate`` take at a time, and the bytes of scratch that may lower their number to 64.
INFERENCE_ROWS, INFERENCE_BYTES = 256, 1 << 20


class Network:
    """A multilayer perceptron: a^(m) = σ^(m)(a^(m-1) W^(m) + b^(m)), m = 1..L, trained by backpropagation.

    Parameters
    ----------
    sizes : sequence of int
        D^(0)..D^(L): inputs, hidden widths, outputs; at least two integers ≥ 1.
    hidden : str, Activation, or a list of L−1 of them
        Activation of the hidden layers: identity, sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu.
    output : str or Activation
        Activation of the output layer; softmax too, which needs D^(L) ≥ 2.
    loss : str or Loss, optional
        By default squared_error, binary_cross_entropy for a sigmoid output, cross_entropy for softmax. Also mse, mae,
        huber, poisson.
    dtype : {"float32", "float64"}
        Type of all numbers of the network.
    init : str, or list with an entry for each layer, optional
        he_uniform, he_normal, glorot_uniform, glorot_normal, lecun_uniform, lecun_normal, orthogonal or zeros. In a
        list also arrays: W^(m), or a tuple (W^(m), b^(m)). By default he_uniform for layers of the relu family,
        silu, gelu, softplus and elu, and glorot_uniform for the others. Biases begin at 0.
    dropout : float or sequence of float
        Probability p in [0, 1) with which each unit of the hidden layers is dropped in training (Srivastava and others,
        2014): what the next layer reads of it is 0, and that of the others is divided by 1 − p. A sequence has one for
        each of the layers 0..L−1, the input first. Only ``fit`` and ``train_step`` drop units; all else, ``forward``
        and ``backward`` too, is of the whole network.
    seed : int, optional
        Seed ≥ 0 of the generator of first weights, shuffles and dropout. Without it, one is drawn and kept in ``seed``.
    threads : int or "auto"
        At most so many threads.

    Attributes
    ----------
    sizes : tuple of int
    dtype : numpy.dtype
    num_parameters : int
        Weights and biases, padding not counted.
    weights, biases, pre_activations, activations, deltas, weight_gradients, bias_gradients : list of ndarray
        Views of the buffers, layers 1..L at index 0..L−1; ``activations`` has a^(0) first. Writable between calls.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    The equations are those of the lectures named in the README. A network may be used from one thread at a time; a
    second one gets a `RuntimeError`.

    Examples
    --------
    >>> net = fastprop.Network([2, 8, 1], hidden="tanh", output="sigmoid", seed=1)
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    >>> y = np.array([0, 1, 1, 0])
    >>> history = net.fit(X, y, optimizer=fastprop.Adam(0.05), epochs=500)
    >>> (net.predict(X)[:, 0] > 0.5).astype(int).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self,
        sizes: Iterable[int],
        hidden: str | Activation | Sequence[str | Activation] = "relu",
        output: str | Activation = "identity",
        *,
        loss: str | Loss | None = None,
        dtype: Any = "float32",
        init: str | Sequence[Any] | None = None,
        dropout: float | Sequence[float] = 0.0,
        seed: int | None = None,
        threads: int | str = 1,
    ) -> None:
        self._sizes = _sizes(sizes)
        functions = _hidden(hidden, len(self._sizes) - 2)
        functions.append(activation("output", output))
        if functions[-1].name == "softmax" and self._sizes[-1] < 2:
            raise ValueError(f"output='softmax' must have at least 2 outputs, got sizes={list(self._sizes)}")
        self._functions = tuple(functions)
        default = DEFAULTS.get(functions[-1].name, "squared_error")
        self._loss = loss_of("loss", default if loss is None else loss)
        self._dtype = _dtype(dtype)
        self._dropout = _rates(dropout, len(self._sizes) - 1)
        first = initializers.starts("init", init, self._sizes, self._dtype)
        self._seed = secrets.randbits(63) if seed is None else checks.whole("seed", seed, 0)
        if self._seed >= 2**64:
            raise ValueError(f"seed must be below 2**64, got {seed!r}")
        self.threads = threads

        # The generator: stream _key, position _counter. Hashed, so that neighbouring seeds have nothing in common.
        self._key = random_bits.py_func(np.array([self._seed], np.uint64), np.uint64(1))[0]  # uint64 for the kernels
        self._counter = 0
        self._store = Parameters(self._sizes, [f._code(self._dtype) for f in functions], self._dtype)
        self._layout = self._sizes, self._dtype.name  # what an optimizer's moments are laid out for
        self._units = Units(self._store.layers, self._dtype, self._dropout)
        self._inference: dict[int, tuple[Units, tuple]] = {}  # for each thread, and what it hands to the kernel
        self._paces: dict[tuple[int, int], Pace] = {}
        self._slopes = np.array([0.0] + [f._parameter for f in functions])
        self._weights = self._store.weights(self._store.data)
        self._biases = self._store.biases(self._store.data)
        for start, function, weight, bias in zip(first, functions, self._weights, self._biases, strict=True):
            if isinstance(start, tuple):
                weight[...], bias[...] = start
            else:
                name = start or f"{function._family}_uniform"
                self._counter = initializers.fill(weight, name, self._key, self._counter)

        bytes_of_row = 3 * int(self._store.layers[:, column.STRIDE].sum()) * self._dtype.itemsize
        self._inference_rows = max(64, min(INFERENCE_ROWS, INFERENCE_BYTES // bytes_of_row))
        # Ctrl-C is seen between two compiled calls, and each takes as many rows as surely last less than ``PATIENCE``.
        calls = max(1, int(PATIENCE * 5e9 / (self._store.data.size * self._inference_rows)))
        self._inference_span = calls * self._inference_rows
        self._snapshot = aligned_zeros(0, self._dtype)
        self._progress = memoryview(np.zeros(training.PROGRESS, np.int64))  # twice as fast as the array, by the number
        self._kept: tuple[Any, tuple] = None, ()  # the kernel of training, and what stays the same from step to step
        self._sync = aligned_zeros(barrier.SPEEDS + barrier.LINE, np.dtype(np.int64))
        self._step_loss = np.zeros(1)
        self._no_costs = np.empty(0)
        self._no_order = np.empty(0, np.int64)
        self._no_labels = np.empty(0, np.int64)
        self._no_targets = np.empty((0, self._sizes[-1]), self._dtype)
        self._no_weights = np.empty(0, self._dtype)
        self._no_goals = self._no_targets, self._no_labels, self._no_weights
        low, high = self._loss._domain
        largest = float(np.finfo(self._dtype).max)
        self._domain = (max(low, -largest), min(high, largest))
        self._loss_numbers = (self._loss._code(self._dtype), self._loss._parameter)
        self._rows = 0  # observations of the last forward; 0 before it, and after training has used the buffers
        self._has_gradients = False
        self._alone = _Alone()

    def __repr__(self) -> str:
        hidden = [f.name for f in self._functions[:-1]]
        dropout = f"dropout={list(self._dropout)}, " if any(self._dropout) else ""
        return (
            f"Network({list(self._sizes)}, hidden={hidden}, output={self._functions[-1].name!r}, "
            f"loss={self._loss.name!r}, {dropout}dtype={self._dtype.name!r}, seed={self._seed})"
        )

    def _arguments(self) -> dict[str, Any]:
        """What the constructor takes to make such a network."""
        return {
            "sizes": self._sizes,
            "hidden": self._functions[:-1],
            "output": self._functions[-1],
            "loss": self._loss,
            "dropout": self._dropout,
            "dtype": self._dtype.name,
            "seed": self._seed,
            "threads": self._threads,
        }

    def __reduce__(self) -> tuple:
        with self._alone.or_within():
            return _again, (type(self), self._arguments(), self.frozen, self._counter, self.get_parameters())

    # What a network is.

    @property
    def sizes(self) -> tuple[int, ...]:
        """D^(0)..D^(L)."""
        return self._sizes

    @property
    def dtype(self) -> np.dtype:
        """Type of all numbers of the network."""
        return self._dtype

    @property
    def seed(self) -> int:
        """The seed that gives this network again."""
        return self._seed

    @property
    def threads(self) -> int | str:
        """At most so many threads, or "auto"; it can be set between two calls."""
        return self._threads

    @threads.setter
    def threads(self, value: int | str) -> None:
        self._threads: int | str = value if value == "auto" else checks.whole("threads", value, 1)

    @property
    def dropout(self) -> tuple[float, ...]:
        """The probability with which a unit of layer 0..L−1 is dropped in training."""
        return self._dropout

    @property
    def loss(self) -> Loss:
        """The loss C."""
        return self._loss

    @property
    def hidden_activations(self) -> tuple[Activation, ...]:
        """σ^(1)..σ^(L−1)."""
        return self._functions[:-1]

    @property
    def output_activation(self) -> Activation:
        """σ^(L)."""
        return self._functions[-1]

    @property
    def num_parameters(self) -> int:
        """Weights and biases, padding not counted."""
        return sum(w.size + b.size for w, b in zip(self._weights, self._biases, strict=True))

    # The buffers, as views.

    @property
    def weights(self) -> list[np.ndarray]:
        """W^(1)..W^(L): views (D^(m-1), D^(m))."""
        return list(self._weights)

    @property
    def biases(self) -> list[np.ndarray]:
        """b^(1)..b^(L): views (D^(m),)."""
        return list(self._biases)

    @property
    def weight_gradients(self) -> list[np.ndarray]:
        """∂C/∂W^(1)..∂C/∂W^(L): views (D^(m-1), D^(m)). Exact after ``backward``."""
        return self._store.weights(self._store.reserve_gradients())

    @property
    def bias_gradients(self) -> list[np.ndarray]:
        """∂C/∂b^(1)..∂C/∂b^(L): views (D^(m),). Exact after ``backward``."""
        return self._store.biases(self._store.reserve_gradients())

    @property
    def pre_activations(self) -> list[np.ndarray]:
        """z^(1)..z^(L): views (n, D^(m)). Exact after ``forward``."""
        return self._unit_views(column.Z, 1)

    @property
    def activations(self) -> list[np.ndarray]:
        """a^(0) = x, a^(1)..a^(L): views (n, D^(m)). Exact after ``forward``."""
        return self._unit_views(column.A, 0)

    @property
    def deltas(self) -> list[np.ndarray]:
        """δ^(1)..δ^(L): views (n, D^(m)). Exact after ``backward``."""
        return self._unit_views(column.DELTA, 1)

    def _unit_views(self, name: int, first: int) -> list[np.ndarray]:
        return [self._units.view(m, name, self._rows) for m in range(first, len(self._sizes))]

    # Parameters as one vector.

    def get_parameters(self) -> np.ndarray:
        """A copy of all parameters as one vector: W^(1) in C order, b^(1), W^(2), b^(2), …

        Returns
        -------
        ndarray, shape (num_parameters,)

        Examples
        --------
        >>> fastprop.Network([1, 1], init="zeros").get_parameters()
        array([0., 0.], dtype=float32)
        """
        return self._store.vector(self._store.data)

    @property
    def frozen(self) -> tuple[int, ...]:
        """The layers m that training leaves alone; set it to other layers, or to () for none.

        W^(m) and b^(m) of a frozen layer, and the optimizer's moments for them, stay as they are in ``fit``,
        ``train_step`` and ``step``; ``backward`` computes all gradients as ever. Below the first layer that is not
        frozen no error signal is computed.

        Examples
        --------
        >>> net = fastprop.Network([2, 3, 1], hidden="tanh", seed=0)
        >>> net.frozen = [1]
        >>> before = net.get_parameters()
        >>> history = net.fit([[1.0, 2.0]], [3.0])
        >>> (net.get_parameters() == before).astype(int).tolist()
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
        """
        return tuple(int(m) for m in np.flatnonzero(self._store.layers[1:, column.FROZEN]) + 1)

    @frozen.setter
    def frozen(self, value: Iterable[int]) -> None:
        last = len(self._sizes) - 1
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise TypeError(f"frozen must be a sequence of layers from 1 to {last}, got {value!r}")
        chosen = {checks.whole(f"frozen[{i}]", m, 1) for i, m in enumerate(value)}
        if chosen and max(chosen) > last:
            raise ValueError(f"frozen must name layers from 1 to {last}, got {max(chosen)}")
        flags = np.array([0] + [m in chosen for m in range(1, last + 1)])
        flags[0] = next((m - 1 for m in range(1, last + 1) if m not in chosen), last)
        with self._alone:
            for table in (self._store.layers, self._units.layers, *chain(*self._units.tables)):
                table[:, column.FROZEN] = flags

    def set_parameters(self, v: Any) -> None:
        """Overwrite all parameters by a vector in the order of `get_parameters`.

        Parameters
        ----------
        v : array_like, shape (num_parameters,)
            Finite real numbers.

        Raises
        ------
        TypeError, ValueError
            If the shape is another or a number is not finite; nothing is changed then.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> net = fastprop.Network([1, 1])
        >>> net.set_parameters([2.0, -1.0])
        >>> net.predict([[3.0]])
        array([[5.]], dtype=float32)
        """
        vector = checks.real_array("v", v, self._dtype)
        if vector.shape != (self.num_parameters,):
            raise ValueError(f"v must have shape ({self.num_parameters},), got {vector.shape}")
        bad = ~np.isfinite(vector)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(f"v must be finite, got {vector[at]} at index {at}")
        with self._alone.or_within():
            self._store.assign(self._store.data, vector)

    def get_gradient(self) -> np.ndarray:
        """A copy of the gradient of the last ``backward``, in the order of `get_parameters`.

        Returns
        -------
        ndarray, shape (num_parameters,)

        Raises
        ------
        ValueError
            If there is none: ``backward`` comes first.

        Examples
        --------
        >>> net = fastprop.Network([1, 1], init="zeros")
        >>> output = net.forward([[2.0]])
        >>> net.backward([[1.0]])
        0.5
        >>> net.get_gradient()
        array([-2., -1.], dtype=float32)
        """
        if not self._has_gradients:
            raise ValueError("get_gradient must come after backward; there is no gradient yet")
        return self._store.vector(self._store.gradients)

    # The two passes, one at a time.

    def forward(self, X: Any) -> np.ndarray:
        """Forward pass, storing z^(m) and a^(m) of every layer.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
            A batch larger than any before it reallocates the buffers.

        Returns
        -------
        ndarray, shape (n, D^(L))
            The outputs a^(L): a view of the buffer, which the next ``forward`` overwrites.

        Raises
        ------
        TypeError, ValueError
            If X has another shape, or is not finite.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> net = fastprop.Network([3, 2], seed=0)
        >>> net.forward(np.ones((5, 3))).shape
        (5, 2)
        """
        inputs = checks.matrix("X", X, self._sizes[0], self._dtype)
        with self._alone:
            self._rows, self._has_gradients = 0, False
            self._units.reserve(len(inputs))
            units = self._units
            if not training.forward[self._dtype](
                units.layers, self._slopes, self._store.data, units.data, inputs, self._no_order
            ):
                raise _not_finite("X", inputs)
            self._rows = len(inputs)
            return units.view(len(self._sizes) - 1, column.A, self._rows)

    def backward(self, y: Any, sample_weight: Any = None) -> float:
        """Backward pass of the last ``forward``: fill ``deltas`` and the gradients.

        Parameters
        ----------
        y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
            Targets. For cross_entropy 1-D integers are labels, and rows are distributions.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; the loss is Σ w·loss / Σ w.

        Returns
        -------
        float
            The loss C.

        Raises
        ------
        TypeError, ValueError
            If y or sample_weight has another shape, or values outside the loss's domain; before a ``forward``.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> net = fastprop.Network([1, 1], init="zeros", dtype="float64")
        >>> output = net.forward([[2.0]])
        >>> net.backward([[1.0]])
        0.5
        >>> net.deltas
        [array([[-1.]])]
        """
        self._after_forward("backward")
        targets, labels = self._targets("y", y, self._rows)
        weights = self._weights_of(sample_weight, self._rows)
        with self._alone:
            self._has_gradients = False
            cost = training.backward[self._dtype](
                self._units.layers, self._slopes, self._store.data, self._store.reserve_gradients(), self._units.data,
                self._rows, targets, labels, *self._domain, weights, self._no_order, *self._loss_numbers,
            )  # fmt: skip
            if math.isnan(cost) and self._bad_targets(targets, labels).any():
                self._blame_targets("y", targets, labels)
            self._has_gradients = True
            return cost

    def backward_from(self, dC_da: Any) -> None:
        """Backward pass of the last ``forward`` from the user's own ∂C/∂a^(L), every mean already taken.

        Parameters
        ----------
        dC_da : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1

        Raises
        ------
        TypeError, ValueError
            If dC_da has another shape, or is not finite; before a ``forward``.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> net = fastprop.Network([1, 1], init="zeros", dtype="float64")
        >>> output = net.forward([[2.0]])
        >>> net.backward_from([[3.0]])
        >>> net.weight_gradients
        [array([[6.]])]
        """
        self._after_forward("backward_from")
        slope = checks.targets("dC_da", dC_da, self._rows, self._sizes[-1], self._dtype)
        if not np.isfinite(slope).all():
            raise _not_finite("dC_da", slope)
        with self._alone:
            self._units.view(len(self._sizes) - 1, column.DELTA, self._rows)[...] = slope
            training.backward_from_delta[self._dtype](
                self._units.layers, self._slopes, self._store.data, self._store.reserve_gradients(), self._units.data,
                self._rows,
            )  # fmt: skip
            self._has_gradients = True

    def step(self, optimizer: str | Optimizer) -> None:
        """One update θ ← θ − α∇C of the parameters, from the stored gradients.

        Parameters
        ----------
        optimizer : Optimizer or str
            A name means a fresh optimizer with its defaults.

        Raises
        ------
        TypeError, ValueError
            If there is no such optimizer, or it belongs to another network; before a ``backward``.
        RuntimeError
            If another thread is using the network.
        DivergenceError
            If a gradient or an updated parameter is NaN or infinite; nothing is changed then.

        Examples
        --------
        >>> net = fastprop.Network([1, 1], init="zeros", dtype="float64")
        >>> output = net.forward([[2.0]])
        >>> C = net.backward([[1.0]])
        >>> net.step(fastprop.SGD(0.5))
        >>> net.weights, net.biases
        ([array([[1.]])], [array([0.5])])
        """
        rule = self._optimizer(optimizer)
        if not self._has_gradients:
            raise ValueError("step must come after backward; there are no gradients yet")
        with self._alone:
            fresh = self._prepare(rule)
            gradients = self._store.gradients
            status = training.step[self._dtype](
                self._store.layers, rule._code, rule._hyper, rule._steps + 1, self._store.data,
                gradients.copy() if rule._changes_gradients else gradients, rule._moments, self._snapshot, self._sync,
            )  # fmt: skip
            if status == training.GOOD:
                rule._steps += 1
                return
            self._sync[: barrier.SPEEDS] = 0
            if status == training.BAD_PARAMETERS:
                raise self._bad_parameters(rule, fresh)
            layer = self._layer_at_fault()
            self._restore(rule, fresh)
            raise DivergenceError(
                f"the update would make a parameter of layer {layer} NaN or infinite; nothing was changed",
                epoch=0, step=0, layer=layer, history=History(),
            )  # fmt: skip

    # Training.

    def train_step(self, X: Any, y: Any, optimizer: Optimizer, sample_weight: Any = None) -> float:
        """Forward pass, backward pass and update in one compiled call, with all rows of X as the batch.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
        y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
            Targets as in `backward`.
        optimizer : Optimizer
            Its state goes on from step to step.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; the loss is Σ w·loss / Σ w.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range; nothing is changed then.
        DivergenceError
            If the loss or a parameter becomes NaN or infinite; nothing is changed then.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> net = fastprop.Network([1, 1], init="zeros")
        >>> sgd = fastprop.SGD(0.1)
        >>> [round(net.train_step([[2.0]], [[1.0]], sgd), 6) for _ in range(3)]
        [0.5, 0.125, 0.03125]
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, whose state goes on from step to step, got {optimizer!r}")
        optimizer._check(self)
        inputs = checks.matrix("X", X, self._sizes[0], self._dtype)
        n = len(inputs)
        targets, labels = self._targets("y", y, n)
        weights = self._no_weights if sample_weight is None else self._weights_of(sample_weight, n)
        alone = self._alone  # without a "with", whose calls would take a tenth of the time of a small step
        if not alone.acquire(False):
            alone.refuse()
        try:
            threads = 1 if self._threads == 1 else self._worthwhile(n, 1, self._most)
            fresh = self._begin(optimizer, n, threads)
            cost = self._train(inputs, targets, labels, weights, self._no_order, n, self._step_loss, 1, 1, threads)
            if self._progress[training.STATUS] == training.GOOD:
                self._end(optimizer)
                return cost
            raise self._failure(optimizer, fresh, cost, inputs, targets, labels, self._no_order, n, 0, History())
        finally:
            alone.release()

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        optimizer: str | Optimizer = "adam",
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | str | None = None,
        validation_data: tuple | None = None,
        validation_split: float = 0.0,
        metrics: Sequence[str | Metric] = (),
        early_stopping: EarlyStopping | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
    ) -> History:
        """Train for some epochs over mini-batches, in compiled calls that last about 50 ms each.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
            In the network's dtype and C order it is never copied; it may be read-only or memory-mapped.
        y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
            Targets as in `backward`.
        optimizer : Optimizer or str
            The same object again continues exactly; a name ("adam", "sgd") means a fresh one with its defaults.
        epochs : int
            At least 0.
        batch_size : int, optional
            From 1 to n; min(32, n) by default. A smaller last batch is trained too.
        shuffle : bool
            Take the rows in a new random order each epoch.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; a batch's loss is Σ w·loss / Σ w.
        class_weight : "balanced" or mapping of class to weight ≥ 0, optional
            Multiplied with the sample weights, in training alone. "balanced": Σw / (K · Σ of w over the class's rows),
            with K classes that have any. Classes that a mapping leaves out weigh 1.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Evaluated after each epoch.
        validation_split : float
            In [0, 1). Without validation data: the part of the rows that is set aside for it, ``round(part · n)``, at
            least one. The network's seed and n alone choose which, so a second ``fit`` on the same data sets the same
            aside. Training and validation rows are copied.
        metrics : list of str and callables
            accuracy, balanced_accuracy, top_5, auc, r2, mae, rmse (of `fastprop.metrics`), or a callable that takes
            y as given here and the outputs (n, D^(L)): of all training and validation data after each epoch.
        early_stopping : EarlyStopping, optional
            When to stop before the last epoch, and whether the best parameters come back.
        callbacks : list of Callback
            Called at the start, after steps, after each epoch and at the end.
        progress : bool
            Short for a `ProgressBar` among the callbacks.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range; network, optimizer and generator are as before the call.
        DivergenceError
            If a loss or a parameter becomes NaN or infinite; the network is as after its last good epoch.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((200, 3), dtype=np.float32)
        >>> y = X @ [1.0, -2.0, 0.5]
        >>> net = fastprop.Network([3, 1], seed=0)
        >>> history = net.fit(X, y, optimizer=fastprop.SGD(0.1), epochs=20)
        >>> net.weights[0].round(3).ravel().tolist()
        [1.0, -2.0, 0.5]
        """
        return self._plan(
            X, y, optimizer=optimizer, epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            sample_weight=sample_weight, class_weight=class_weight, validation_data=validation_data,
            validation_split=validation_split, metrics=metrics, early_stopping=early_stopping, callbacks=callbacks,
            progress=progress,
        ).train()  # fmt: skip

    def _plan(
        self, X, y, *, optimizer, epochs, batch_size, shuffle, sample_weight, class_weight, validation_data,
        validation_split, metrics, early_stopping, callbacks, progress,
    ) -> Run:  # fmt: skip
        """A ``fit`` that can begin: all arguments are checked, and nothing is changed."""
        rule = self._optimizer(optimizer)
        epochs = checks.whole("epochs", epochs, 0)
        shuffle = checks.flag("shuffle", shuffle)
        data = self._rows_of(("X", "y", "sample_weight"), X, y, sample_weight)
        validation = None if validation_data is None else self._validation(validation_data)
        part = checks.number("validation_split", validation_split, at_least=0, below=1)
        if part and validation is not None:
            raise ValueError("validation_split must be 0 where there is validation_data")
        if part or class_weight is not None:
            self._check_values("X", "y", data)
        if part:
            # A stream of its own: the network's own positions in the generator begin at 0.
            stream = random_bits.py_func(self._key, np.array([2**64 - 1], np.uint64))[0]
            data, validation = split(data, part, stream)
        if class_weight is not None:
            data = weigh_classes("class_weight", class_weight, data, max(2, self._sizes[-1]))
        n = len(data.inputs)
        batch = min(32, n) if batch_size is None else checks.whole("batch_size", batch_size, 1)
        if batch > n:
            raise ValueError(f"batch_size must be at most the number of rows to train on, {n}, got {batch_size!r}")
        measured = metrics_of("metrics", metrics)
        for metric in filter(built_in, measured.values()):  # refuses targets that it cannot take
            for rows in (data,) if validation is None else (data, validation):
                metric(rows.y, np.broadcast_to(self._dtype.type(0), (len(rows.inputs), self._sizes[-1])))
        called = callbacks_of("callbacks", callbacks)
        if early_stopping is not None:
            if not isinstance(early_stopping, EarlyStopping):
                raise TypeError(f"early_stopping must be an EarlyStopping or None, got {early_stopping!r}")
            called.insert(0, early_stopping)  # so that the others know whether it stops, and meet the best parameters
        if checks.flag("progress", progress):
            called.append(ProgressBar())
        return Run(self, rule, epochs, batch, shuffle, data, validation, measured, called)

    # Looking into it.

    def trace(self, x: Any, t: Any, optimizer: str | Optimizer | None = None) -> Trace:
        """One observation's forward and backward pass as data, with the formula of every number.

        The passes are those of `forward` and `backward`, so that the buffers hold them afterwards.

        Parameters
        ----------
        x : array_like, shape (D^(0),)
            One observation; (1, D^(0)) is taken too.
        t : array_like, shape (D^(L),), or a number when D^(L) = 1
            Its target; for cross_entropy a label, or a distribution.
        optimizer : Optimizer or str, optional
            Update the parameters by it, as `step` does, and have the old and the new ones in the trace.

        Returns
        -------
        Trace
            ``print`` it to see each formula, the numbers put in and the result.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range; nothing is changed then.
        RuntimeError
            If another thread is using the network.
        DivergenceError
            If the update would make a parameter NaN or infinite.

        Examples
        --------
        >>> net = fastprop.Network([2, 1], init="zeros", dtype="float64")
        >>> print(net.trace([1.0, 3.0], 0.5).text())  # doctest: +ELLIPSIS
        Forward, layer 1: identity
        --------------------------
        z^(1)[0] = x[0]·W^(1)[0,0] + x[1]·W^(1)[1,0] + b^(1)[0]
                 = 1·0 + 3·0 + 0
                 = 0
        ...
        """
        from .trace import trace

        return trace(self, x, t, optimizer)

    def gradcheck(
        self, X: Any, y: Any, sample_weight: Any = None, *, entries: int = 1000, seed: int = 0
    ) -> GradientCheck:
        """Compare the gradient that `backward` computes with central differences of the loss.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
            A few rows say as much as many, and are faster: the loss is computed twice for each parameter.
        y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
            Targets as in `backward`.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; the loss is Σ w·loss / Σ w.
        entries : int
            Of a larger network at most so many parameters are compared, chosen at random from each W and b.
        seed : int
            Of that choice.

        Returns
        -------
        GradientCheck
            ``print`` it, or ask for ``passed``, ``error`` and ``entries``.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range, or the loss is not finite.
        RuntimeError
            If another thread is using the network.

        Notes
        -----
        The differences are taken in float64, with steps for float64, whatever the network's dtype: those of a float32
        network are its float64 twin's. An error is relative to the largest gradient of the same W or b, and passes up
        to 1e-6 in float64, up to 1e-4 in float32. At a kink, such as that of relu, any slope between those on either
        side passes.

        Examples
        --------
        >>> net = fastprop.Network([2, 3, 1], hidden="tanh", dtype="float64", seed=0)
        >>> net.gradcheck([[1.0, 2.0], [0.5, -1.0]], [1.0, 0.0]).passed
        True
        """
        from .gradcheck import gradcheck

        return gradcheck(self, X, y, sample_weight, entries=entries, seed=seed)

    # Using what was learned.

    def predict(self, X: Any) -> np.ndarray:
        """The outputs for the rows of X, leaving the training buffers alone.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))

        Returns
        -------
        ndarray, shape (n, D^(L))
            A new array. A row's outputs have the same bits at any position and in any number of rows.

        Raises
        ------
        TypeError, ValueError
            If X has another shape, or is not finite.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> fastprop.Network([2, 3], init="zeros").predict([[1.0, 2.0]])
        array([[0., 0., 0.]], dtype=float32)
        """
        inputs = checks.matrix("X", X, self._sizes[0], self._dtype)
        outputs = np.empty((len(inputs), self._sizes[-1]), self._dtype)
        alone = self._alone  # as in ``train_step``
        taken = alone.acquire(False) or alone.within()
        try:
            self._infer(inputs, outputs, self._no_goals, 1.0, self._no_costs)
        finally:
            if taken:
                alone.release()
        return outputs

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The loss on X, y, leaving the training buffers alone.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
        y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
            Targets as in `backward`.
        sample_weight : array_like, shape (n,), optional
            Weights w ≥ 0; the loss is Σ w·loss / Σ w.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range.
        RuntimeError
            If another thread is using the network.

        Examples
        --------
        >>> fastprop.Network([2, 1], init="zeros").evaluate([[1.0, 2.0]], [3.0])
        4.5
        """
        inputs, targets, labels = self._data("X", X, "y", y)
        weights = self._weights_of(sample_weight, len(inputs))
        with self._alone.or_within():
            return self._loss_of(inputs, self._no_targets, targets, labels, weights)

    # Elsewhere.

    save = save
    to_onnx = to_onnx
    to_c = to_c
    to_sklearn = to_sklearn
    to_torch = to_torch

    # How it is done.

    def _optimizer(self, value: str | Optimizer) -> Optimizer:
        rule = optimizers.optimizer("optimizer", value)
        rule._check(self)
        return rule

    def _data(self, name_X: str, X: Any, name_y: str, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs = checks.matrix(name_X, X, self._sizes[0], self._dtype)
        return (inputs, *self._targets(name_y, y, len(inputs)))

    def _targets(self, name: str, y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Targets and labels, one of them empty."""
        if self._loss_numbers[0] == loss_codes.CROSS_ENTROPY:
            array = checks.any_array(name, y)
            if array.ndim == 1:
                return self._no_targets, checks.labels(name, array, rows)
            targets = checks.targets(name, array, rows, self._sizes[-1], self._dtype)
            sums = targets.sum(axis=1, dtype=np.float64)
            wrong = np.abs(sums - 1) > 1e-3
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(f"{name} must have rows that sum to 1 for cross_entropy, got {sums[row]} at row {row}")
            return targets, self._no_labels
        return checks.targets(name, y, rows, self._sizes[-1], self._dtype), self._no_labels

    def _weights_of(self, sample_weight: Any, rows: int, name: str = "sample_weight") -> np.ndarray:
        if sample_weight is None:
            return self._no_weights
        return checks.weights(name, sample_weight, rows, self._dtype)

    def _rows_of(self, names: tuple[str, str, str], X: Any, y: Any, sample_weight: Any) -> Data:
        inputs, targets, labels = self._data(names[0], X, names[1], y)
        weights = self._weights_of(sample_weight, len(inputs), names[2])
        return Data(inputs, targets, labels, weights, checks.any_array(names[1], y))

    def _validation(self, data: Any) -> Data:
        name = "validation_data"
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise TypeError(f"{name} must be a tuple (X, y) or (X, y, sample_weight), got {type(data).__name__}")
        X, y, sample_weight = (*data, None)[:3]
        rows = self._rows_of((f"{name}[0]", f"{name}[1]", f"{name}[2]"), X, y, sample_weight)
        self._check_values(f"{name}[0]", f"{name}[1]", rows)
        return rows

    def _check_values(self, name_X: str, name_y: str, rows: Data) -> None:
        """What the kernels find out about the training data as they go over it."""
        if not np.isfinite(rows.inputs).all():
            raise _not_finite(name_X, rows.inputs)
        if self._bad_targets(rows.targets, rows.labels).any():
            self._blame_targets(name_y, rows.targets, rows.labels)

    def _after_forward(self, name: str) -> None:
        if self._rows == 0:
            raise ValueError(f"{name} must come after forward; there is no forward pass to go back over")

    def _exchange(self, parameters: np.ndarray) -> None:
        """Exchange all parameters with others, by way of the snapshot, which means nothing after a fit.

        Ctrl-C can come between two of the three copies only, when the network has either the ones or the others.
        """
        scratch = self._snapshot[: parameters.size]
        scratch[...] = self._store.data
        self._store.data[...] = parameters
        parameters[...] = scratch

    def _prepare(self, rule: Optimizer) -> bool:
        """Give the optimizer its moments and both their snapshot; return whether the optimizer was a fresh one."""
        fresh = rule._layout is None
        if fresh or rule._owner is None:
            rule._bind(self, self._store.data)
        size = self._store.data.size + rule._moments.size
        if self._snapshot.size != size:
            self._snapshot = aligned_zeros(size, self._dtype)
        return fresh

    @property
    def _most(self) -> int:
        """Threads at most."""
        return usable() if self._threads == "auto" else int(self._threads)

    def _worthwhile(self, rows: int, steps: int, most: int) -> int:
        """How many threads to take, at most ``most``, for so many passes over so many rows."""
        return 1 if most == 1 else worth(most, 3.0 * self._store.data.size * rows, steps)

    def _pace(self, rows: int, steps: int, most: int) -> Pace:
        """What is known of how many threads are best for batches of so many rows."""
        if (rows, most) not in self._paces:
            first = self._worthwhile(rows, steps, most)
            tiny = first == 1 and microseconds(3.0 * self._store.data.size * rows) < TINY
            self._paces[rows, most] = Pace(1 if tiny else most, first)
        return self._paces[rows, most]

    def _begin(self, rule: Optimizer, batch: int, threads: int) -> bool:
        """Make ready for training; return whether the optimizer was a fresh one.

        The kernel and those of its arguments that stay the same from step to step are kept, for one row at a time.
        """
        self._rows, self._has_gradients = 0, False
        part = self._units.share_out(batch, self._store.data.size, threads)
        if threads > 1 and len(self._sync) < barrier.SPEEDS + barrier.LINE * threads:
            self._sync = aligned_zeros(barrier.SPEEDS + barrier.LINE * threads, self._sync.dtype)
        if batch > min(part, DEPTH_BLOCK) or rule._stores_gradients:
            self._store.reserve_gradients()
        state, head, fresh = self._progress, self._kept[1], False
        state[training.EPOCH] = state[training.POSITION] = 0
        state[training.STEPS], state[training.COUNTER] = rule._steps, self._counter
        if not (
            head
            and head[7] is self._units.data
            and head[5] is rule._moments
            and head[4] is self._store.gradients
            and head[6] is self._snapshot
            and head[14] is rule._hyper
        ):
            fresh = self._prepare(rule)
            head = (
                *self._units.tables[0], self._slopes, self._store.data, self._store.gradients, rule._moments,
                self._snapshot, self._units.data, *self._domain, self._key, *self._loss_numbers, rule._code,
                rule._hyper, state.obj,
            )  # fmt: skip
            self._kept = training.train[self._dtype], head
        return fresh

    def _end(self, rule: Optimizer) -> None:
        """Take over how far the kernel came."""
        rule._steps = self._progress[training.STEPS]
        self._counter = self._progress[training.COUNTER]

    def _train(self, inputs, targets, labels, weights, order, batch, losses, epochs, steps, threads) -> float:
        """One compiled call on each of the threads, after ``_begin``; the last loss."""
        entry, head = self._kept
        if threads == 1:
            return entry(*head, inputs, targets, labels, weights, order, batch, losses, epochs, steps, 0, 1, self._sync)
        costs = {}

        def work(thread: int, threads: int) -> None:
            costs[thread] = entry(
                *self._units.tables[thread], *head[2:], inputs, targets, labels, weights, order, batch, losses, epochs,
                steps, thread, threads, self._sync,
            )  # fmt: skip

        self._sync[: barrier.SPEEDS] = 0
        together(threads, work, self._give_up)
        return costs[0]

    def _give_up(self) -> None:
        """Let the threads that wait for one that failed return."""
        self._sync[barrier.FAILED] = 1

    def _loss_of(self, inputs, outputs, targets, labels, weights) -> float:
        """The loss, filling ``outputs`` unless they are empty."""
        total = float(weights.sum(dtype=np.float64)) if len(weights) else float(len(inputs))
        costs = np.zeros(-(-len(inputs) // self._inference_rows))
        self._infer(inputs, outputs, (targets, labels, weights), total, costs)
        return float(costs.sum())

    def _infer(self, inputs, outputs, goals, total, costs) -> None:
        """Fill ``outputs`` and, from ``goals`` (targets, labels, weights), ``costs``, except those that are empty."""
        n, capacity, span = len(inputs), self._inference_rows, self._inference_span
        if n <= capacity:  # at once, for one row at a time
            entry, head = self._inferred_by(0, n)
            states = {entry(*head, inputs, outputs, *goals, total, costs, 0, 1)}
        else:
            states = set()
            for start in range(0, n, span):
                part = (array[start : start + span] for array in (inputs, outputs, *goals))
                states |= self._infer_rows(*part, total, costs[start // capacity :])
        if training.BAD_INPUT in states:
            raise _not_finite("X", inputs)
        if training.BAD_TARGET in states:
            self._blame_targets("y", *goals[:2])

    def _infer_rows(self, inputs, *others) -> set[int]:
        """One compiled call on each of some threads; what they found."""
        n, states = len(inputs), set()
        threads = min(self._worthwhile(n, 1, self._most), -(-n // self._inference_rows))

        def work(thread: int, threads: int) -> None:
            entry, head = self._inferred_by(thread, n)
            states.add(entry(*head, inputs, *others, thread, threads))

        together(threads, work, _nothing)
        return states

    def _inferred_by(self, thread: int, n: int) -> tuple[Callable[..., int], tuple]:
        """The kernel and those of its arguments that are a thread's own or the same for every call."""
        units, head = self._inference.get(thread) or (Units(self._store.layers, self._dtype), ())
        if n > units.capacity or not head:
            units.reserve(min(self._inference_rows, n))
            head = (
                units.layers, self._slopes, self._store.data, units.data, self._inference_rows, *self._domain,
                self._no_order, *self._loss_numbers,
            )  # fmt: skip
            self._inference[thread] = units, head
        return training.infer[self._dtype], head

    def _failure(self, rule, fresh, cost, inputs, targets, labels, order, batch, epochs, history) -> Exception:
        """Put everything back to the end of the last good epoch, and return what to raise."""
        state, n = self._progress, len(inputs)
        status = state[training.STATUS]
        self._sync[: barrier.SPEEDS] = 0
        step, layer = min(state[training.POSITION], n - 1) // batch, 0
        if status == training.BAD_PARAMETERS:
            return self._bad_parameters(rule, fresh)
        if status == training.DIVERGED:
            rows = slice(step * batch, step * batch + batch)
            layer = self._layer_at_fault(inputs[order[rows] if len(order) else rows])
        self._restore(rule, fresh and epochs == 0)
        rule._steps = state[training.GOOD_STEPS]
        if status == training.BAD_INPUT:
            return _not_finite("X", inputs)
        if status == training.BAD_TARGET:
            self._blame_targets("y", targets, labels)
        when = f"after epoch {epochs - 1}" if epochs else "before"
        what = f"the loss became {cost}" if not math.isfinite(cost) else "a parameter became NaN or infinite"
        return DivergenceError(
            f"{what} in epoch {epochs}, step {step}, layer {layer}; the network is as it was {when}. A smaller "
            "learning rate or scaled inputs may help",
            epoch=epochs, step=step, layer=layer, history=history,
        )  # fmt: skip

    def _bad_parameters(self, rule: Optimizer, fresh: bool) -> Exception:
        """What to raise before the first step, when there is nothing to put back."""
        if fresh:
            rule._release()
        layer = self._layer_at_fault()
        return ValueError(f"weights and biases must be finite, got NaN or infinity in layer {layer}")

    def _restore(self, rule: Optimizer, fresh: bool) -> None:
        n = self._store.data.size
        self._store.data[...] = self._snapshot[:n]
        rule._moments[...] = self._snapshot[n:]
        if fresh:
            rule._release()

    def _layer_at_fault(self, inputs: np.ndarray | None = None) -> int:
        """The first layer with a parameter, or else with a z of these inputs, that is not finite; else L."""
        for m, (w, b) in enumerate(zip(self._weights, self._biases, strict=True), start=1):
            if not (np.isfinite(w).all() and np.isfinite(b).all()):
                return m
        layer, most = len(self._sizes) - 1, self._inference_rows
        if inputs is None:
            return layer
        units = Units(self._store.layers, self._dtype)
        for start in range(0, len(inputs), most):
            some = inputs[start : start + most]
            units.reserve(len(some))
            training.forward[self._dtype](
                units.layers, self._slopes, self._store.data, units.data, some, self._no_order
            )
            wrong = (m for m in range(1, layer) if not np.isfinite(units.view(m, column.Z, len(some))).all())
            layer = next(wrong, layer)
        return layer

    def _bad_targets(self, targets: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if len(labels):
            return (labels < 0) | (labels >= self._sizes[-1])
        return ~((targets >= self._domain[0]) & (targets <= self._domain[1]))

    def _blame_targets(self, name: str, targets: np.ndarray, labels: np.ndarray) -> None:
        """Raise for the first target that the kernels refused."""
        bad = self._bad_targets(targets, labels)
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        if len(labels):
            raise ValueError(
                f"{name} must hold labels from 0 to {self._sizes[-1] - 1}, got {labels[where]} at {checks.place(where)}"
            )
        if not np.isfinite(targets[where]):
            raise _not_finite(name, targets)
        low, high = self._loss._domain
        raise ValueError(
            f"{name} must lie in [{low:g}, {high:g}] for {self._loss.name}, "
            f"got {targets[where]} at {checks.place(where)}"
        )


def _again(
    kind: type[Network], arguments: dict[str, Any], frozen: tuple[int, ...], counter: int, parameters: np.ndarray
) -> Network:
    """The copy of a network: parameters, generator and settings, but not what a ``forward`` left in the buffers."""
    net = kind(**arguments, init="zeros")
    net._store.assign(net._store.data, parameters)
    net.frozen, net._counter = frozen, counter
    return net


class _Alone:
    """The right to use a network, which one thread has at a time and no thread waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._holder: int | None = None

    def refuse(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError(
                "this network is being trained; a callback may use predict, evaluate, set_parameters and save alone"
            )
        raise RuntimeError("this network is in use by another thread; use one network from one thread at a time")

    def __enter__(self) -> None:
        if not self.acquire(False):
            self.refuse()
        self._holder = threading.get_ident()

    def __exit__(self, *exception: object) -> None:
        self._holder = None
        self.release()

    def or_within(self) -> AbstractContextManager[None]:
        """The same for what the callbacks of a ``fit`` may do, whose thread has the right already."""
        return nullcontext() if self._holder == threading.get_ident() else self

    def within(self) -> bool:
        """False in a callback, which has the right but does not give it back; refuse everybody else."""
        if self._holder != threading.get_ident():
            self.refuse()
        return False


def _sizes(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Iterable):
        raise TypeError(f"sizes must be a sequence of at least two integers ≥ 1, got {sizes!r}")
    values = tuple(sizes)
    result = tuple(checks.whole(f"sizes[{i}]", value, 1) for i, value in enumerate(values))
    if len(result) < 2:
        raise ValueError(f"sizes must have at least two entries, inputs and outputs, got {list(values)!r}")
    return result


def _hidden(hidden: Any, count: int) -> list[Activation]:
    if isinstance(hidden, (str, Activation)):
        functions = [activation("hidden", hidden)] * count
    elif isinstance(hidden, Iterable):
        functions = [activation(f"hidden[{i}]", value) for i, value in enumerate(hidden)]
        if len(functions) != count:
            raise ValueError(f"hidden must name {count} activations, one for each hidden layer, got {len(functions)}")
    else:
        raise TypeError(f"hidden must be an activation or a list of them, got {hidden!r} ({type(hidden).__name__})")
    for function in functions:
        if function.name == "softmax":
            raise ValueError("hidden must not be 'softmax', which is for the output only")
    return functions


def _rates(dropout: Any, count: int) -> tuple[float, ...]:
    """The probability of each layer 0..L−1."""
    if isinstance(dropout, (str, bytes)) or not isinstance(dropout, Iterable):
        return 0.0, *[checks.number("dropout", dropout, at_least=0, below=1)] * (count - 1)
    rates = tuple(checks.number(f"dropout[{m}]", p, at_least=0, below=1) for m, p in enumerate(dropout))
    if len(rates) != count:
        raise ValueError(
            f"dropout must have {count} probabilities, one for the input and each hidden layer, got {len(rates)}"
        )
    return rates


def _dtype(dtype: Any) -> np.dtype:
    for name, known in DTYPES.items():
        if isinstance(dtype, str):
            if dtype == name:
                return known
        elif isinstance(dtype, (type, np.dtype)) and np.dtype(dtype) == known:
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")


def _nothing() -> None:
    """There is nothing to give up where no thread waits for another."""


def _not_finite(name: str, array: np.ndarray) -> ValueError:
    where = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
    return ValueError(f"{name} must be finite, got {array[where]} at {checks.place(where)}")
