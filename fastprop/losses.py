"""The losses a user can name, or make with a parameter of their own. Their formulas are in the kernels."""

from __future__ import annotations

import math

from .checks import number, one_of
from .kernels import losses as codes


class Loss:
    """A loss C of targets t and outputs a: one of `LOSSES`, or `Huber` with its own ``delta``."""

    name: str
    _code: int
    _parameter: float
    _domain: tuple[float, float]  # where targets must lie

    def __init__(
        self, name: str, code: int, domain: tuple[float, float] = (-math.inf, math.inf), parameter: float = 0.0
    ) -> None:
        self.name, self._code, self._domain, self._parameter = name, code, domain, parameter

    def _arguments(self) -> dict[str, float]:
        """The numbers that tell it from others of its name."""
        return {}

    def __repr__(self) -> str:
        return f"Loss({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and (self._code, self._parameter) == (other._code, other._parameter)

    def __hash__(self) -> int:
        return hash((self._code, self._parameter))


class Huber(Loss):
    """Mean over the outputs of ½ e² where abs(e) ≤ ``delta``, else ``delta`` (abs(e) − ½ ``delta``), e = t − a.

    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

    Parameters
    ----------
    delta : float
        Finite and above 0.

    Raises
    ------
    TypeError, ValueError
        If ``delta`` is not such a number.

    Examples
    --------
    >>> net = fastprop.Network([4, 8, 1], loss=fastprop.Huber(delta=0.5))
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__("huber", codes.HUBER, parameter=number("delta", delta, above=0))

    def _arguments(self) -> dict[str, float]:
        return {"delta": self._parameter}

    def __repr__(self) -> str:
        return f"Huber(delta={self._parameter!r})"


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("squared_error", codes.SQUARED_ERROR),
        Loss("mse", codes.MSE),
        Loss("mae", codes.MAE),
        Huber(),
        Loss("binary_cross_entropy", codes.BINARY_CROSS_ENTROPY, (0.0, 1.0)),
        Loss("cross_entropy", codes.CROSS_ENTROPY, (0.0, 1.0)),
        Loss("poisson", codes.POISSON, (0.0, math.inf)),
    )
}

#: The loss that goes with an output activation when none is named.
DEFAULTS = {"identity": "squared_error", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}


def loss(argument: str, value: str | Loss) -> Loss:
    """The loss that ``value`` names or is."""
    return value if isinstance(value, Loss) else one_of(argument, value, LOSSES, "a Loss")
