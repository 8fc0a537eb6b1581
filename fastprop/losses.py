"""The losses a user can name, make with a parameter, or make of functions of their own.

The formulas of the built-in ones are in the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import number, one_of
from .kernels import losses as codes


class Loss:
    """A loss C of targets t and outputs a: one of `LOSSES`, `Huber`, `CrossEntropy`, or one's own, from two functions.

    Parameters
    ----------
    name : str
        What to call it; none of the built-in names.
    f, derivative : callable
        f(a, t), what one output a with its target t adds, and ∂f/∂a, both functions of two numbers: plain Python, which
        is compiled, or Numba-jitted. The loss of an observation is the mean of f over the outputs, as in mse.

    Raises
    ------
    TypeError
        If an argument is not what it should be, or the functions cannot be compiled.
    ValueError
        If the name is taken, or ``derivative`` is not that of ``f``: it is compared with finite differences at some
        900 points, and the message names the worst of them. At a kink it may be anything between the slopes on either
        side; where f is not finite nothing is compared.

    Notes
    -----
    What `Activation` says of the functions holds here too.

    Examples
    --------
    >>> from fastprop.math import log, exp, tanh
    >>> def f(a, t):
    ...     return log((exp(a - t) + exp(t - a)) / 2)
    >>> log_cosh = fastprop.Loss("log_cosh", f, lambda a, t: tanh(a - t))
    >>> round(fastprop.Network([1, 1], init="zeros", loss=log_cosh).evaluate([[0.0]], [1.0]), 6)
    0.433781
    """

    name: str
    _parameter: float = 0.0
    _domain: tuple[float, float] = (-math.inf, math.inf)  # where targets must lie
    _identity: tuple[Any, Any]  # two with the same are equal

    def __init__(
        self, name: str, f: Callable[[float, float], float], derivative: Callable[[float, float], float]
    ) -> None:
        from .custom import loss_block

        self._block = loss_block(name, f, derivative, LOSSES)
        self.name, self._identity = name, (f, derivative)

    def _code(self, dtype: np.dtype) -> int:
        """What stands for it in the kernels of a network of this dtype."""
        return self._block[dtype]

    def _arguments(self) -> dict[str, float]:
        """The numbers that tell it from others of its name."""
        return {}

    def __repr__(self) -> str:
        return f"Loss({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


class _BuiltIn(Loss):
    """A loss that the kernels have a code for."""

    def __init__(
        self, name: str, code: int, domain: tuple[float, float] = (-math.inf, math.inf), parameter: float = 0.0
    ) -> None:
        self.name, self._domain, self._parameter = name, domain, parameter
        self._identity = (code, parameter)

    def _code(self, dtype: np.dtype) -> int:
        return self._identity[0]


class Huber(_BuiltIn):
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


class CrossEntropy(_BuiltIn):
    """−Σ_k t_k log a_k, where t becomes (1 − ε) t + ε / D^(L) first: label smoothing.

    C. Szegedy et al., "Rethinking the Inception architecture for computer vision" (CVPR 2016), section 7. It is part of
    the loss, in `Network.evaluate` as in training.

    Parameters
    ----------
    label_smoothing : float
        ε in [0, 1).

    Raises
    ------
    TypeError, ValueError
        If it is not such a number.

    Examples
    --------
    >>> net = fastprop.Network([4, 8, 3], output="softmax", loss=fastprop.CrossEntropy(label_smoothing=0.1))
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        smoothing = number("label_smoothing", label_smoothing, at_least=0, below=1)
        super().__init__("cross_entropy", codes.CROSS_ENTROPY, (0.0, 1.0), smoothing)

    def _arguments(self) -> dict[str, float]:
        return {"label_smoothing": self._parameter}

    def __repr__(self) -> str:
        return f"CrossEntropy(label_smoothing={self._parameter!r})"


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        _BuiltIn("squared_error", codes.SQUARED_ERROR),
        _BuiltIn("mse", codes.MSE),
        _BuiltIn("mae", codes.MAE),
        Huber(),
        _BuiltIn("binary_cross_entropy", codes.BINARY_CROSS_ENTROPY, (0.0, 1.0)),
        CrossEntropy(),
        _BuiltIn("poisson", codes.POISSON, (0.0, math.inf)),
    )
}

#: The loss that goes with an output activation when none is named.
DEFAULTS = {"identity": "squared_error", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}


def loss(argument: str, value: str | Loss) -> Loss:
    """The loss that ``value`` names or is."""
    return value if isinstance(value, Loss) else one_of(argument, value, LOSSES, "a Loss")
