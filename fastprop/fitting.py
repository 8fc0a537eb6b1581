"""The Python side of ``fit``: slices of compiled work, and what is measured and called between two of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .callbacks import Callback
from .history import History
from .kernels import schedules, training
from .optimizers import Optimizer

if TYPE_CHECKING:
    from .network import Network

#: Seconds of work after which a running ``fit`` comes back to Python, for Ctrl-C and the progress bar.
PATIENCE = 0.05


class Data(NamedTuple):
    """A data set as the kernels take it, targets or labels being empty."""

    inputs: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


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
    error : BaseException or None
        In ``on_end``, what ended the training early.
    """

    def __init__(
        self, network: Network, optimizer: Optimizer, epochs: int, batch: int, shuffle: bool, data: Data,
        validation: Data | None, callbacks: Sequence[Callback],
    ) -> None:  # fmt: skip
        self.network, self.optimizer, self.epochs = network, optimizer, epochs
        self.history = History()
        self.epoch, self.part, self.stopped = 0, 0.0, False
        self.threads = network._most
        self.error: BaseException | None = None
        self._batch, self._data, self._validation = batch, data, validation
        self._order = np.empty(len(data.inputs) if shuffle else 0, np.int64)
        self._losses = np.zeros(epochs)
        self._callbacks = callbacks
        self._at_steps = [callback for callback in callbacks if _overrides(callback, "on_step")]
        self._at_epochs = [callback for callback in callbacks if _overrides(callback, "on_epoch_end")]
        self._periods = [callback.every for callback in self._at_steps if callback.every]

    def stop(self) -> None:
        """End the training before its next step."""
        self.stopped = True

    def last_rows(self, count: int) -> Data:
        """Copies of the ``count`` rows that were trained on last, in this epoch or the one that has just ended.

        Early in an epoch the rows that come next are among them; before the first step they are the last of X.
        """
        n = len(self._data.inputs)
        start = max(0, (int(self.network._progress[training.POSITION]) or n) - count)
        rows = np.arange(start, min(n, start + count))
        if len(self._order) and (self.epoch > 0 or self.part > 0):
            rows = self._order[rows]
        return Data(*(array[rows] if len(array) else array for array in self._data))

    def train(self) -> History:
        """Train to the end, or until it is stopped."""
        if self.epochs == 0:
            return self.history
        network, state = self.network, self.network._progress
        with network._alone, ExitStack() as stack:
            counter, fresh = network._counter, network._begin(self.optimizer, self._batch, self.threads)
            self.optimizer._hyper[schedules.WATCHING] = self._validation is None  # else this is done by _measure
            try:
                for callback in self._callbacks:
                    callback.on_start(self)
                    stack.callback(callback.on_end, self)
                self._loop(counter, fresh)
            except BaseException as error:
                if state[training.STATUS] == training.GOOD:  # Ctrl-C: between two steps
                    network._end(self.optimizer)
                self.error = error
                raise
            finally:
                self.optimizer._hyper[schedules.WATCHING] = 0
        return self.history

    def _loop(self, counter: int, fresh: bool) -> None:
        network, rule, history, state = self.network, self.optimizer, self.history, self.network._progress
        inputs, targets, labels, weights = self._data
        n, batch, order = len(inputs), self._batch, self._order
        one_by_one = self._validation is not None or self._at_epochs
        steps, spent = self._steps_to_begin_with(), 0.0
        pace = network._pace(batch, min(steps, self.epochs * -(-n // batch)), self.threads)
        while self.epoch < self.epochs and not self.stopped:
            done, position, before = self.epoch, int(state[training.POSITION]), rule.steps
            began = time.perf_counter()
            cost = network._train(
                rule, inputs, targets, labels, weights, order, batch, self._losses,
                done + 1 if one_by_one else self.epochs, min([steps, *(k - before % k for k in self._periods)]),
                pace.threads,
            )  # fmt: skip
            took = time.perf_counter() - began
            spent += took
            self.epoch, rows = int(state[training.EPOCH]), int(state[training.POSITION])
            self.part = rows / n
            if (ended := self.epoch - done) > 0:
                history.loss.extend(self._losses[done : self.epoch].tolist())
                history.seconds.extend([spent / ended] * ended)
                spent = 0.0
            if state[training.STATUS] != training.GOOD:
                network._counter = counter + self.epoch * len(order)
                raise network._failure(rule, fresh, cost, inputs, targets, labels, batch, self.epoch, history)
            network._end(rule)
            trained = ended * n + rows - position
            steps = max(1, int(trained / batch * PATIENCE / max(took, 1e-6)))
            pace.saw(took, trained)
            for callback in self._at_steps:
                if callback.every == 0 or (rule.steps % callback.every == 0 and rule.steps > before):
                    callback.on_step(self)
            if ended and one_by_one:
                self._measure()
                for callback in self._at_epochs:
                    callback.on_epoch_end(self)

    def _steps_to_begin_with(self) -> int:
        """How many steps surely take less than ``PATIENCE``, from their multiplications; after them it is measured."""
        return max(1, int(PATIENCE * 2e8 / (self.network._store.data.size * self._batch + 1000)))

    def _measure(self) -> None:
        """Validation loss after an epoch."""
        if self._validation is not None:
            loss = self.network._infer(*self._validation)
            self.history.validation_loss.append(loss)
            schedules.watch.py_func(self.optimizer._hyper, loss)


def _overrides(callback: Callback, method: str) -> bool:
    return getattr(type(callback), method) is not getattr(Callback, method)
