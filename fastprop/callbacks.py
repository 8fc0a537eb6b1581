"""What may be called while a ``fit`` runs: one small protocol, and callbacks that are ready to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import checks

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


def callbacks(argument: str, value: Any) -> list[Callback]:
    """``value`` as a list of callbacks."""
    if isinstance(value, Callback) or not isinstance(value, (list, tuple)):
        raise TypeError(f"{argument} must be a list of Callback objects, got {value!r} ({type(value).__name__})")
    for i, callback in enumerate(value):
        if not isinstance(callback, Callback):
            raise TypeError(f"{argument}[{i}] must be a Callback object, got {callback!r} ({type(callback).__name__})")
        checks.whole(f"{argument}[{i}].every", callback.every, 0)
    return list(value)
