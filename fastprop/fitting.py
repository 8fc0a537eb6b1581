"""The Python side of ``fit``: slices of compiled work, and what is measured and called between two of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from .callbacks import Callback
from .data import Data
from .history import History
from .kernels import schedules, training
from .metrics import Metric
from .optimizers import Optimizer

if TYPE_CHECKING:
    from .network import Network

#: Seconds of work after which a running ``fit`` comes back to Python, for Ctrl-C and the progress bar.
PATIENCE = 0.05


class Run:
    """A ``fit`` under way, as its callbacks see it.

    Attributes
    ----------
    network : Network
        Callbacks may read and write its parameters, ``predict`` and ``evaluate``, but not train it.
    optimizer : Optimizer
        Its ``learning_rate`` can be set, and counts from the next step on; ``optimizer.steps`` is up to date.
    history : History
        What this ``fit`` will return, up to the last epoch that ended.
    epoch, epochs : int
        Epochs that have ended in this ``fit``, and how many there are to be.
    part : float
        Part of the current epoch that is done, from 0 to below 1.
    threads : int
        How many threads there may be.
    stopped : bool
        Whether a callback has called `stop`.
    names : tuple of str
        What ``history`` records of each epoch beside its seconds: loss, validation_loss and metrics.
    metrics : dict of str to callable
        The metrics by name.
    error : BaseException or None
        In ``on_end``, what ended the training early.
    """

    def __init__(
        self, network: Network, optimizer: Optimizer, epochs: int, batch: int, shuffle: bool, data: Data,
        validation: Data | None, metrics: dict[str, Metric], callbacks: Sequence[Callback],
    ) -> None:  # fmt: skip
        self.network, self.optimizer, self.epochs, self.metrics = network, optimizer, epochs, metrics
        self.epoch, self.part, self.stopped = 0, 0.0, False
        self.threads = network._most
        self.error: BaseException | None = None
        prefixes = ("",) if validation is None else ("", "validation_")
        self.history = History(metrics={prefix + name: [] for prefix in prefixes for name in metrics})
        self.names = (*(prefix + "loss" for prefix in prefixes), *self.history.metrics)
        self._batch, self._data, self._validation, self._callbacks = batch, data, validation, callbacks
        self._order = np.empty(len(data.inputs) if shuffle else 0, np.int64)
        self._losses = np.zeros(epochs)
        self._at_steps = [callback for callback in callbacks if _overrides(callback, "on_step")]
        self._at_epochs = [callback for callback in callbacks if _overrides(callback, "on_epoch_end")]
        self._periods = [callback.every for callback in self._at_steps if callback.every]
        self._one_by_one = validation is not None or bool(metrics or self._at_epochs)
        # How many steps surely take less than PATIENCE, from their multiplications; after them it is measured.
        self._steps = max(1, int(PATIENCE * 2e8 / (network._store.data.size * batch + 1000)))
        self._spent = 0.0  # seconds since an epoch last ended

    def stop(self) -> None:
        """End the training before its next step."""
        self.stopped = True

    def last_rows(self, count: int) -> Data:
        """Copies of the ``count`` rows that were trained on last, in this epoch or the one that has just ended.

        Early in an epoch the rows that come next are among them; before the first step they are the last of X.
        """
        n = len(self._data.inputs)
        start = max(0, (round(self.part * n) or n) - count)
        rows = np.arange(start, min(n, start + count))
        if len(self._order) and (self.epoch > 0 or self.part > 0):
            rows = self._order[rows]
        return self._data.take(rows)

    def train(self) -> History:
        """Train to the end, or until it is stopped."""
        if self.epochs == 0:
            return self.history
        started: list[Callback] = []
        with self.network._alone, ExitStack() as ends:
            try:
                for callback in self._callbacks:
                    callback.on_start(self)
                    started.append(callback)
                self._train()
            except BaseException as error:
                self.error = error
                raise
            finally:  # in their order, every one of them, whatever another raises
                for callback in reversed(started):
                    ends.callback(callback.on_end, self)
        return self.history

    def _train(self) -> None:
        network, state = self.network, self.network._progress
        counter = network._counter
        fresh = network._begin(self.optimizer, self._batch, self.threads)
        batches = self.epochs * -(-len(self._data.inputs) // self._batch)
        self._pace = network._pace(self._batch, min(self._steps, batches), self.threads)
        self.optimizer._hyper[schedules.WATCHING] = self._validation is None  # else this is done by _measure
        try:
            while self.epoch < self.epochs and not self.stopped:
                self._slice(counter, fresh)
        except BaseException:
            if state[training.STATUS] == training.GOOD:  # Ctrl-C: between two steps
                network._end(self.optimizer)
            raise
        finally:
            self.optimizer._hyper[schedules.WATCHING] = 0

    def _slice(self, counter: int, fresh: bool) -> None:
        """One compiled call, and what is to be done after it."""
        network, rule, history, state = self.network, self.optimizer, self.history, self.network._progress
        inputs, targets, labels, weights, _ = self._data
        n, batch, done, before = len(inputs), self._batch, self.epoch, rule.steps
        position = state[training.POSITION]
        steps = -(-self._steps // 4) if self._pace.trying else self._steps
        began = time.perf_counter()
        cost = network._train(
            inputs, targets, labels, weights, self._order, batch, self._losses,
            done + 1 if self._one_by_one else self.epochs, min([steps, *(k - before % k for k in self._periods)]),
            self._pace.threads,
        )  # fmt: skip
        took = time.perf_counter() - began
        self._spent += took
        self.epoch, rows = int(state[training.EPOCH]), state[training.POSITION]
        self.part = rows / n
        if (ended := self.epoch - done) > 0:
            history.loss.extend(self._losses[done : self.epoch].tolist())
            history.seconds.extend([self._spent / ended] * ended)
            self._spent = 0.0
        if state[training.STATUS] != training.GOOD:
            network._counter = counter + self.epoch * (len(self._order) + n * network._units.numbers)
            raise network._failure(rule, fresh, cost, inputs, targets, labels, self._order, batch, self.epoch, history)
        network._end(rule)
        trained = ended * n + rows - position
        self._steps = max(1, int(trained / batch * PATIENCE / max(took, 1e-6)))
        self._pace.saw(took, trained)
        for callback in self._at_steps:
            if callback.every == 0 or (rule.steps % callback.every == 0 and rule.steps > before):
                callback.on_step(self)
        if ended and self._one_by_one:
            self._measure("", self._data)
            if self._validation is not None:
                self._measure("validation_", self._validation)
            for callback in self._at_epochs:
                callback.on_epoch_end(self)

    def _measure(self, prefix: str, data: Data) -> None:
        """Metrics, and the loss of validation data, after an epoch."""
        network, (inputs, targets, labels, weights, y) = self.network, data
        outputs = np.empty((len(inputs) if self.metrics else 0, network.sizes[-1]), network.dtype)
        if prefix:
            loss = network._loss_of(inputs, outputs, targets, labels, weights)
            self.history.validation_loss.append(loss)
            schedules.watch.py_func(self.optimizer._hyper, loss)
        elif self.metrics:
            network._infer(inputs, outputs, network._no_goals, 1.0, network._no_costs)
        outputs.flags.writeable = False  # one metric must not spoil the others
        for name, metric in self.metrics.items():
            self.history.metrics[prefix + name].append(float(metric(y, outputs)))


def _overrides(callback: Callback, method: str) -> bool:
    return getattr(type(callback), method) is not getattr(Callback, method)
