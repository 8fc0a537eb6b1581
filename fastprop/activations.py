"""The activations a user can name, or make with a parameter of their own. Their formulas are in the kernels."""

from __future__ import annotations

from .checks import number, one_of
from .kernels import activations as codes


class Activation:
    """An activation σ and its slope σ′: one of `ACTIVATIONS`, `LeakyReLU` or `ELU`."""

    name: str
    _code: int
    _parameter: float
    _family: str  # the initialisation that goes with it

    def __init__(self, name: str, code: int, family: str, parameter: float = 0.0) -> None:
        self.name, self._code, self._family, self._parameter = name, code, family, parameter

    def _arguments(self) -> dict[str, float]:
        """The numbers that tell it from others of its name."""
        return {}

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and (self._code, self._parameter) == (other._code, other._parameter)

    def __hash__(self) -> int:
        return hash((self._code, self._parameter))


class LeakyReLU(Activation):
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


class ELU(Activation):
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
        Activation("identity", codes.IDENTITY, "glorot"),
        Activation("sigmoid", codes.SIGMOID, "glorot"),
        Activation("tanh", codes.TANH, "glorot"),
        Activation("relu", codes.RELU, "he"),
        LeakyReLU(),
        ELU(),
        Activation("softplus", codes.SOFTPLUS, "he"),
        Activation("silu", codes.SILU, "he"),
        Activation("gelu", codes.GELU, "he"),
        Activation("softmax", codes.SOFTMAX, "glorot"),
    )
}


def activation(argument: str, value: str | Activation) -> Activation:
    """The activation that ``value`` names or is."""
    return value if isinstance(value, Activation) else one_of(argument, value, ACTIVATIONS, "an Activation")
