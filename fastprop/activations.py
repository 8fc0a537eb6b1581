"""The activations a user can name, make with a parameter, or make of functions of their own.

The formulas of the built-in ones are in the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import number, one_of
from .kernels import activations as codes


class Activation:
    """An activation σ with its slope σ′: one of `ACTIVATIONS`, `LeakyReLU`, `ELU`, or one's own, from two functions.

    Parameters
    ----------
    name : str
        What to call it; none of the built-in names.
    f, derivative : callable
        σ(z), and σ′(z) or σ′(z, a) with a = σ(z), functions of numbers: plain Python, which is compiled, or
        Numba-jitted. Branches and whatever Numba compiles are welcome; formulas without branches, made with
        `fastprop.math`, are the fast ones.

    Raises
    ------
    TypeError
        If an argument is not what it should be, or the functions cannot be compiled.
    ValueError
        If the name is taken, or ``derivative`` is not that of ``f``: it is compared with finite differences at some
        600 points, from −50 to 50, and the message names the worst of them. At a kink it may be anything between the
        slopes on either side.

    Notes
    -----
    The functions are compiled here and, for float32, in the first network that needs them: for a fraction of a second
    each, after which nothing that takes any other activation is compiled anew. The values of variables that they refer
    to are those of that time. They are called for whole layers at once, from several threads.

    Examples
    --------
    >>> from fastprop.math import sigmoid, softplus, tanh
    >>> def f(z):
    ...     return z * tanh(softplus(z))
    >>> def derivative(z):
    ...     return tanh(softplus(z)) + z * (1 - tanh(softplus(z)) ** 2) * sigmoid(z)
    >>> mish = fastprop.Activation("mish", f, derivative)
    >>> fastprop.Network([4, 8, 1], hidden=mish, seed=0)
    Network([4, 8, 1], hidden=['mish'], output='identity', loss='squared_error', dtype='float32', seed=0)
    """

    name: str
    _parameter: float = 0.0
    _family: str = "glorot"  # the initialisation that goes with it
    _identity: tuple[Any, Any]  # two with the same are equal

    def __init__(self, name: str, f: Callable[[float], float], derivative: Callable[..., float]) -> None:
        from .custom import activation_block

        self._block = activation_block(name, f, derivative, ACTIVATIONS)
        self.name, self._identity = name, (f, derivative)

    def _code(self, dtype: np.dtype) -> int:
        """What stands for it in the layer table of a network of this dtype."""
        return self._block[dtype]

    def _arguments(self) -> dict[str, float]:
        """The numbers that tell it from others of its name."""
        return {}

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


class _BuiltIn(Activation):
    """An activation that the kernels have a code for."""

    def __init__(self, name: str, code: int, family: str, parameter: float = 0.0) -> None:
        self.name, self._family, self._parameter = name, family, parameter
        self._identity = (code, parameter)

    def _code(self, dtype: np.dtype) -> int:
        return self._identity[0]


class LeakyReLU(_BuiltIn):
    """σ(z) = z for z > 0, else ``slope`` · z (Maas, Hannun and Ng, 2013).

    Parameters
    ----------
    slope : float
        Finite and at least 0.

    Raises
    ------
    TypeError, ValueError
        If ``slope`` is not such a number.

    Examples
    --------
    >>> fastprop.Network([4, 8, 1], hidden=fastprop.LeakyReLU(0.1)).sizes
    (4, 8, 1)
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__("leaky_relu", codes.LEAKY_RELU, "he", number("slope", slope, at_least=0))

    def _arguments(self) -> dict[str, float]:
        return {"slope": self._parameter}

    def __repr__(self) -> str:
        return f"LeakyReLU(slope={self._parameter!r})"


class ELU(_BuiltIn):
    """σ(z) = z for z > 0, else ``alpha`` · (exp z − 1) (Clevert, Unterthiner and Hochreiter, 2016).

    Parameters
    ----------
    alpha : float
        Finite and at least 0.

    Raises
    ------
    TypeError, ValueError
        If ``alpha`` is not such a number.

    Examples
    --------
    >>> fastprop.Network([4, 8, 1], hidden=fastprop.ELU(0.5)).sizes
    (4, 8, 1)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__("elu", codes.ELU, "he", number("alpha", alpha, at_least=0))

    def _arguments(self) -> dict[str, float]:
        return {"alpha": self._parameter}

    def __repr__(self) -> str:
        return f"ELU(alpha={self._parameter!r})"


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        _BuiltIn("identity", codes.IDENTITY, "glorot"),
        _BuiltIn("sigmoid", codes.SIGMOID, "glorot"),
        _BuiltIn("tanh", codes.TANH, "glorot"),
        _BuiltIn("relu", codes.RELU, "he"),
        LeakyReLU(),
        ELU(),
        _BuiltIn("softplus", codes.SOFTPLUS, "he"),
        _BuiltIn("silu", codes.SILU, "he"),
        _BuiltIn("gelu", codes.GELU, "he"),
        _BuiltIn("softmax", codes.SOFTMAX, "glorot"),
    )
}


def activation(argument: str, value: str | Activation) -> Activation:
    """The activation that ``value`` names or is."""
    return value if isinstance(value, Activation) else one_of(argument, value, ACTIVATIONS, "an Activation")
