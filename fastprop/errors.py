"""The one exception of fastprop's own."""

from __future__ import annotations

from typing import Any

from .history import History


class DivergenceError(ArithmeticError):
    """A loss or a parameter became NaN or infinite while training.

    The network and the optimizer are as they were at the end of the last good epoch, or before the fit.

    Attributes
    ----------
    epoch, step : int
        Where it was noticed, both counted from 0: the epoch of this fit, and the step within that epoch.
    layer : int
        The first layer (1..L) with a parameter, or else a pre-activation, that is not finite; L where only the loss
        overflowed.
    history : History
        The good epochs.
    """

    def __init__(self, message: str, *, epoch: int, step: int, layer: int, history: History) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer, self.history = epoch, step, layer, history

    def __reduce__(self) -> tuple:
        return _again, (str(self), {**vars(self)})


def _again(message: str, attributes: dict[str, Any]) -> DivergenceError:
    """The copy of an error, as one that comes from another process is."""
    return DivergenceError(message, **attributes)
