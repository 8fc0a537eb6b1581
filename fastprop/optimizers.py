"""Optimizers: their numbers and their state. Their formulas are in the kernels."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import flag, number, one_of
from .kernels import updates as codes


class Optimizer:
    """What all optimizers share: numbers for the kernels, and a state that belongs to one network.

    The same object used again continues exactly where it stopped; on a second network it is refused.
    """

    _code: int
    _hyper: np.ndarray  # float64, in the order that kernels/updates.py names
    _moment_count: int
    _owner: weakref.ref | None
    _layout: tuple[tuple[int, ...], str] | None  # sizes and dtype of the network that the moments are for

    def __init__(self, learning_rate: float, weight_decay: float, *others: float) -> None:
        self._hyper = np.array(
            [
                number("learning_rate", learning_rate, at_least=0),
                number("weight_decay", weight_decay, at_least=0),
                *others,
            ]
        )
        self._release()

    def _arguments(self) -> dict[str, Any]:
        """What the constructor takes, as it is now: by this an optimizer is printed, copied and saved."""
        raise NotImplementedError

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    @property
    def learning_rate(self) -> float:
        """The step size α; it can be set between two calls."""
        return float(self._hyper[codes.LEARNING_RATE])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._hyper[codes.LEARNING_RATE] = number("learning_rate", value, at_least=0)

    @property
    def weight_decay(self) -> float:
        """λ of the L2 penalty λ/2 · ‖W‖²; it can be set between two calls."""
        return float(self._hyper[codes.WEIGHT_DECAY])

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self._hyper[codes.WEIGHT_DECAY] = number("weight_decay", value, at_least=0)

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return self._steps

    def _check(self, network: Any) -> None:
        """Refuse a second network; a copy, which has a state but no network yet, takes one of the same layout."""
        if self._owner is not None and self._owner() is not network:
            raise ValueError(
                "optimizer must be a new one, or one that this network was trained with; got one that holds the "
                "state of another network"
            )
        if self._layout is not None and self._layout != (network.sizes, network.dtype.name):
            raise ValueError(
                "optimizer must be a new one, or the copy of one whose network had the same sizes and dtype; "
                f"got the copy of one for {list(self._layout[0])}, {self._layout[1]}"
            )

    def _bind(self, network: Any, parameters: np.ndarray) -> None:
        """Make ``network`` the owner, with zero moments laid out as its ``parameters``."""
        if self._layout is None:
            self._moments = np.zeros(self._moment_count * parameters.size, parameters.dtype)
            self._layout = network.sizes, network.dtype.name
        if self._owner is None:
            self._owner = weakref.ref(network)

    def _release(self) -> None:
        """Belong to no network again."""
        self._owner = self._layout = None
        self._moments, self._steps = np.empty(0), 0

    def __reduce__(self) -> tuple:
        return _again, (type(self), self._arguments(), self._layout, self._moments.copy(), self._steps)


def _again(
    kind: type[Optimizer], arguments: dict[str, Any], layout: tuple | None, moments: np.ndarray, steps: int
) -> Optimizer:
    """The copy of an optimizer: it goes on from the same state with the first network that it is used for."""
    rule = kind(**arguments)
    rule._layout, rule._moments, rule._steps = layout, moments, steps
    return rule


class SGD(Optimizer):
    """Gradient descent: g ← ∂C/∂θ + λθ; v ← μv + g; θ ← θ − αv, or θ − α(g + μv) with Nesterov's look ahead.

    As PyTorch defines it, after Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
    in deep learning" (ICML 2013).

    Parameters
    ----------
    learning_rate : float
        α, finite and at least 0.
    momentum : float
        μ in [0, 1).
    nesterov : bool
        Needs a momentum above 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    _code = codes.SGD

    def __init__(
        self, learning_rate: float = 1e-3, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        momentum = number("momentum", momentum, at_least=0, below=1)
        if flag("nesterov", nesterov) and momentum == 0:
            raise ValueError("nesterov must go with a momentum > 0, got momentum=0.0")
        super().__init__(learning_rate, weight_decay, momentum, float(nesterov))
        self._moment_count = 1 if momentum else 0

    def _arguments(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "momentum": float(self._hyper[codes.MOMENTUM]),
            "nesterov": bool(self._hyper[codes.NESTEROV]),
            "weight_decay": self.weight_decay,
        }


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ ← θ − α m̂ / (√v̂ + ε), with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1; weight decay is
    added to the gradient g, as PyTorch does.

    Parameters
    ----------
    learning_rate : float
        α, finite and at least 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        ε > 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.Adam(learning_rate=0.01).learning_rate
    0.01
    """

    _code = codes.ADAM
    _moment_count = 2

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            number("beta1", beta1, at_least=0, below=1),
            number("beta2", beta2, at_least=0, below=1),
            number("epsilon", epsilon, above=0),
        )

    def _arguments(self) -> dict[str, Any]:
        beta1, beta2, epsilon = (float(h) for h in self._hyper[codes.BETA1 : codes.EPSILON + 1])
        return {
            "learning_rate": self.learning_rate,
            "beta1": beta1,
            "beta2": beta2,
            "epsilon": epsilon,
            "weight_decay": self.weight_decay,
        }


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "adam": Adam}


def optimizer(argument: str, value: str | Optimizer) -> Optimizer:
    """``value`` itself, or a fresh optimizer of that name with its defaults."""
    if isinstance(value, Optimizer):
        return value
    return one_of(argument, value, OPTIMIZERS, "an Optimizer")()
