"""What may be called while a ``fit`` runs: one small protocol, and callbacks that are ready to use."""

from __future__ import annotations

import csv
import math
import os
import weakref
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .metrics import direction

if TYPE_CHECKING:
    from .fitting import Run


class Callback:
    """Something to be called while a ``fit`` runs. Override what you need; what nobody overrides costs nothing.

    Each method gets the `Run`: ``run.network``, ``run.optimizer`` (its ``learning_rate`` can be set), ``run.history``,
    ``run.epoch`` epochs ended of ``run.epochs``, and ``run.stop()``. The network is between two steps: its
    parameters may be read and written, and ``predict`` and ``evaluate`` called; to train it is refused.

    Attributes
    ----------
    every : int
        Steps between two calls of ``on_step``, counted by ``run.optimizer.steps``; 0 for about every 50 ms.

    Examples
    --------
    >>> class Halve(fastprop.Callback):
    ...     '''Halve the learning rate after each epoch, and stop when it is small.'''
    ...     def on_epoch_end(self, run):
    ...         run.optimizer.learning_rate /= 2
    ...         if run.optimizer.learning_rate < 0.01:
    ...             run.stop()
    >>> net = fastprop.Network([1, 1], seed=0)
    >>> len(net.fit([[1.0]], [2.0], optimizer=fastprop.SGD(0.1), epochs=100, callbacks=[Halve()]))
    4
    """

    every: int = 0

    def on_start(self, run: Run) -> None:
        """Before the first step."""

    def on_step(self, run: Run) -> None:
        """After every ``every``-th step."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch, when its losses and metrics are in ``run.history``."""

    def on_end(self, run: Run) -> None:
        """After the last step, whatever ended the training: if it was an exception, it is in ``run.error``."""


class ProgressBar(Callback):
    """A progress bar over the epochs, by tqdm (in the extra ``cli``). ``progress=True`` is short for it.

    Raises
    ------
    ImportError
        Without tqdm.

    Examples
    --------
    >>> net = fastprop.Network([1, 1], seed=0)
    >>> history = net.fit([[1.0]], [2.0], epochs=100, callbacks=[fastprop.ProgressBar()])
    """

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("a progress bar needs tqdm: pip install 'fastprop-numba[cli]'") from error
        self._tqdm: Any = tqdm

    def on_start(self, run: Run) -> None:
        self._bar = self._tqdm(total=run.epochs, unit="epoch", leave=True)

    def on_step(self, run: Run) -> None:
        self._bar.n = run.epoch + (round(run.part, 2) or 0)
        losses = {"loss": run.history.loss, "validation": run.history.validation_loss}
        self._bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in losses.items() if values})

    def on_end(self, run: Run) -> None:
        self._bar.close()


class CSVLog(Callback):
    """A line for each epoch in a file of comma-separated values, written at once.

    The columns: epoch (from 1), loss, validation_loss and metrics where there are any, seconds, learning_rate.

    Parameters
    ----------
    path : str or path-like
    append : bool
        Go on where the file ends, which must have the same columns; otherwise it is overwritten.

    Raises
    ------
    TypeError
        If ``append`` is not a bool.
    OSError, ValueError
        When the ``fit`` begins: if the file cannot be written, or has other columns.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> net = fastprop.Network([1, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "log.csv")
    ...     history = net.fit([[1.0]], [2.0], epochs=3, callbacks=[fastprop.CSVLog(path)])
    ...     path.read_text().splitlines()[0]
    'epoch,loss,seconds,learning_rate'
    """

    def __init__(self, path: Any, append: bool = False) -> None:
        self.path, self.append = os.fspath(path), checks.flag("append", append)

    def on_start(self, run: Run) -> None:
        columns = ["epoch", *run.names, "seconds", "learning_rate"]
        old: list[list[str]] = []
        if self.append and os.path.exists(self.path):
            with open(self.path, newline="", encoding="utf-8") as file:
                old = list(csv.reader(file))
        if old and old[0] != columns:
            raise ValueError(
                f"{self.path} must have the columns {','.join(columns)} to append to, got {','.join(old[0])}"
            )
        self._epoch = int(old[-1][0]) if len(old) > 1 else 0
        self._file = open(self.path, "a" if old else "w", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._writer = csv.writer(self._file, lineterminator="\n")
        if not old:
            self._writer.writerow(columns)

    def on_epoch_end(self, run: Run) -> None:
        self._epoch += 1
        values = [run.history[name][-1] for name in (*run.names, "seconds")]
        self._writer.writerow([self._epoch, *values, run.optimizer.learning_rate])

    def on_end(self, run: Run) -> None:
        self._file.close()


class EarlyStopping(Callback):
    """Stop when what is watched has not improved for some epochs, and go back to the best parameters.

    L. Prechelt, "Early stopping - but when?", Neural Networks: Tricks of the Trade (1998). The best parameters take the
    memory of one more copy of them. With the same network, optimizer object and `EarlyStopping`, and the parameters
    untouched in between, a second ``fit`` goes on exactly where the first one's epochs ended, its last parameters
    included; after a stop, and with anything else, it begins anew from the parameters of the network.

    Parameters
    ----------
    monitor : str, optional
        "loss" or a metric's name, with "validation\\_" before it for that of the validation data. By default
        validation_loss where there is such data, else loss.
    patience : int
        Epochs without improvement after which to stop, at least 1.
    min_delta : float
        What counts as an improvement must be better than the best so far by more than this tolerance, at least 0.
    mode : {"min", "max"}, optional
        Whether to look for the smallest or the largest; known for losses and built-in metrics.
    restore_best : bool
        Put the best parameters back at the end of each ``fit``, also when its epochs ran out first. After an
        exception the network is as the exception left it.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int or None
        Its epoch, counted from 0 since the object began.
    stopped : bool
        Whether it stopped the training.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; when the ``fit`` begins, if there is nothing of the monitor's name.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 5)).astype(np.float32)
    >>> y = X[:, 0] + rng.standard_normal(60)
    >>> net = fastprop.Network([5, 64, 1], seed=0)
    >>> stopping = fastprop.EarlyStopping(patience=5)
    >>> history = net.fit(X[:30], y[:30], epochs=1000, validation_data=(X[30:], y[30:]), early_stopping=stopping)
    >>> len(history) == stopping.best_epoch + 6 and net.evaluate(X[30:], y[30:]) == min(history.validation_loss)
    True
    """

    def __init__(
        self, monitor: str | None = None, patience: int = 10, min_delta: float = 0.0, mode: str | None = None,
        restore_best: bool = True,
    ) -> None:  # fmt: skip
        if not (monitor is None or isinstance(monitor, str)):
            raise TypeError(f"monitor must be a name or None, got {monitor!r} ({type(monitor).__name__})")
        self.monitor = monitor
        self.patience = checks.whole("patience", patience, 1)
        self.min_delta = checks.number("min_delta", min_delta, at_least=0)
        self._sign = None if mode is None else checks.one_of("mode", mode, {"min": -1, "max": 1}, "None")
        self.restore_best = checks.flag("restore_best", restore_best)
        self._users: tuple[Any, ...] = ()
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped = False
        self._epochs = 0
        self._checksum: int | None = None  # of the best parameters, while they are in the network and the last are kept

    def on_start(self, run: Run) -> None:
        name = self.monitor or ("validation_loss" if "validation_loss" in run.names else "loss")
        if name not in run.names:
            raise ValueError(
                f"early_stopping's monitor must be one of {', '.join(run.names)} in this fit; got {name!r}"
            )
        metric = name.removeprefix("validation_")
        sign = self._sign or direction(metric, run.metrics.get(metric))
        if sign is None:
            raise ValueError(
                f"early_stopping's mode must be 'min' or 'max' for {name}, a metric of one's own; got None"
            )
        self._name, self._better = name, sign

        theta, users = run.network._store.data, (weakref.ref(run.network), weakref.ref(run.optimizer))
        restored = self._checksum is not None
        if self.stopped or users != self._users or (restored and zlib.crc32(theta) != self._checksum):
            self._begin()
            self._users = users
            self._kept = np.empty_like(theta if self.restore_best else theta[:0])
        elif restored:
            run.network._exchange(self._kept)
            self._checksum = None

    def on_epoch_end(self, run: Run) -> None:
        value = run.history[self._name][-1]
        gain = self._better * (value - self.best) if self.best is not None else math.inf
        if gain > self.min_delta and not math.isnan(value):
            self.best, self.best_epoch = value, self._epochs
            if self.restore_best:
                self._kept[...] = run.network._store.data
        self._epochs += 1
        since = self._epochs - (0 if self.best_epoch is None else self.best_epoch + 1)
        if since >= self.patience:
            self.stopped = True
            run.stop()

    def on_end(self, run: Run) -> None:
        if self.restore_best and run.error is None and self.best_epoch not in (None, self._epochs - 1):
            run.network._exchange(self._kept)
            self._checksum = zlib.crc32(run.network._store.data)

    def _check(self, network: Any, optimizer: Any) -> None:
        """Refuse others than those it has watched."""
        if self._users != (weakref.ref(network), weakref.ref(optimizer)):
            raise ValueError("early_stopping must be the one that watched this network and optimizer")

    def _state(self) -> dict[str, Any]:
        """What there is to go on from, beside the parameters that are kept."""
        return {
            "best": self.best, "best_epoch": self.best_epoch, "stopped": self.stopped, "epochs": self._epochs,
            "kept": self.restore_best, "exchanged": self._checksum is not None,
        }  # fmt: skip

    def _resume(self, network: Any, optimizer: Any, state: dict[str, Any], kept: np.ndarray) -> None:
        """Go on with this network and this optimizer as if it had watched them all along."""
        network._prepare(optimizer)  # the snapshot, by way of which parameters are exchanged
        self._users = weakref.ref(network), weakref.ref(optimizer)
        self.best, self.best_epoch, self.stopped = state["best"], state["best_epoch"], state["stopped"]
        self._epochs, self._kept = state["epochs"], kept
        self._checksum = zlib.crc32(network._store.data) if state["exchanged"] else None


def callbacks(argument: str, value: Any) -> list[Callback]:
    """``value`` as a list of callbacks."""
    if isinstance(value, Callback) or not isinstance(value, (list, tuple)):
        raise TypeError(f"{argument} must be a list of Callback objects, got {value!r} ({type(value).__name__})")
    for i, callback in enumerate(value):
        if not isinstance(callback, Callback):
            raise TypeError(f"{argument}[{i}] must be a Callback object, got {callback!r} ({type(callback).__name__})")
        checks.whole(f"{argument}[{i}].every", callback.every, 0)
    return list(value)
