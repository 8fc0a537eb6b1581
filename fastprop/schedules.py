"""Learning rates that change as training goes on. A schedule goes wherever a learning rate does.

Its formula is in the kernels, where α is worked out before each update. Time is counted in updates: an epoch of n rows
in batches of B has ⌈n / B⌉ of them.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .checks import number, whole
from .kernels import schedules as codes


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate as a function of t = 0, 1, 2, …, the number of updates made since it was set.

    An optimizer takes one wherever it takes a learning rate, counts the updates, and goes on with them from one ``fit``
    to the next; the same schedule may serve several optimizers.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        number("learning_rate", self.learning_rate, at_least=0)

    @abstractmethod
    def _numbers(self) -> tuple[int, Sequence[float]]:
        """Its code, and its numbers in the order that kernels/schedules.py names."""

    def _write(self, hyper: np.ndarray, steps: int) -> None:
        """Begin after so many updates of the optimizer whose numbers these are."""
        code, numbers = self._numbers()
        hyper[codes.NUMBERS : codes.WATCHING] = 0
        hyper[codes.LEARNING_RATE], hyper[codes.SCHEDULE], hyper[codes.SINCE] = self.learning_rate, code, steps
        hyper[codes.NUMBERS : codes.NUMBERS + len(numbers)] = numbers

    def rates(self, steps: int) -> np.ndarray:
        """The rates of the first updates, to look at or to plot.

        Parameters
        ----------
        steps : int
            How many, at least 0.

        Returns
        -------
        ndarray, shape (steps,), float64

        Examples
        --------
        >>> fastprop.StepDecay(1.0, every=2, factor=0.5).rates(5)
        array([1.  , 1.  , 0.5 , 0.5 , 0.25])
        """
        hyper = np.empty(codes.OTHERS)
        self._write(hyper, 0)
        steps = whole("steps", steps, 0)
        return np.array([codes.learning_rate.py_func(hyper, t) for t in range(1, steps + 1)], np.float64)


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """α, always: what a plain number stands for.

    Parameters
    ----------
    learning_rate : float
        α, finite and at least 0.

    Raises
    ------
    TypeError, ValueError
        If it is not.

    Examples
    --------
    >>> optimizer = fastprop.SGD(fastprop.ConstantRate(0.1))
    """

    def _numbers(self) -> tuple[int, Sequence[float]]:
        return codes.CONSTANT, ()


@dataclass(frozen=True)
class StepDecay(Schedule):
    """α γ^⌊t / every⌋: after each ``every`` updates the rate is multiplied by ``factor``.

    PyTorch's StepLR.

    Parameters
    ----------
    learning_rate : float
        α, finite and at least 0.
    every : int
        Updates, at least 1.
    factor : float
        γ > 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> optimizer = fastprop.SGD(fastprop.StepDecay(0.1, every=1000, factor=0.5), momentum=0.9)
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("every", self.every, 1)
        number("factor", self.factor, above=0)

    def _numbers(self) -> tuple[int, Sequence[float]]:
        return codes.DECAY, (self.factor, self.every, False)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """α γ^(t / every): like `StepDecay`, but a little with each update.

    PyTorch's ExponentialLR where ``every`` is 1.

    Parameters
    ----------
    learning_rate : float
        α, finite and at least 0.
    factor : float
        γ > 0.
    every : int
        Updates in which the rate is multiplied by γ, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.ExponentialDecay(1.0, factor=0.25, every=2).rates(4)
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0)
        whole("every", self.every, 1)

    def _numbers(self) -> tuple[int, Sequence[float]]:
        return codes.DECAY, (self.factor, self.every, True)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Down to ``final`` on half a cosine, after a straight rise: with w = ``warmup`` and T = ``steps``,

    α (t + 1) / (w + 1) where t < w, then final + ½ (α − final) (1 + cos(π (t − w) / (T − w))), and final from T on.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (ICLR 2017), equation 5, once
    and without a restart; the rise after P. Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2.

    Parameters
    ----------
    learning_rate : float
        α, the highest rate, finite and at least 0.
    steps : int
        T, in updates, the warm-up included; above ``warmup``.
    warmup : int
        w, in updates, at least 0.
    final : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.CosineDecay(1.0, steps=6, warmup=3).rates(7).round(3)
    array([0.25, 0.5 , 0.75, 1.  , 0.75, 0.25, 0.  ])
    """

    steps: int
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("warmup", self.warmup, 0)
        whole("steps", self.steps, 1)
        if self.steps <= self.warmup:
            raise ValueError(f"steps must be an integer > warmup={self.warmup}, got {self.steps!r}")
        number("final", self.final, at_least=0)

    def _numbers(self) -> tuple[int, Sequence[float]]:
        begin = self.learning_rate / (self.warmup + 1)
        return codes.ANNEAL, (begin, self.final, self.warmup, self.steps, False)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from α / ``divide`` to α and down to α / (``divide`` · ``divide_final``), on half a cosine each.

    The rate rises until t = ``rise`` · T − 1 and falls until t = T − 1, the last of T = ``steps`` updates; there it
    stays. L. N. Smith and N. Topin, "Super-convergence" (2017), with the numbers of PyTorch's OneCycleLR, but for the
    momentum, which is left as it is (PyTorch: cycle_momentum=False).

    Parameters
    ----------
    learning_rate : float
        α, the highest rate, finite and at least 0.
    steps : int
        T, in updates, at least 1.
    rise : float
        The part of the updates before the highest rate, in [0, 1).
    divide, divide_final : float
        Finite and above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.OneCycle(1.0, steps=10).rates(10).round(2)
    array([0.04, 0.52, 1.  , 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.  ])
    """

    steps: int
    rise: float = 0.3
    divide: float = 25.0
    divide_final: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("steps", self.steps, 1)
        number("rise", self.rise, at_least=0, below=1)
        number("divide", self.divide, above=0)
        number("divide_final", self.divide_final, above=0)

    def _numbers(self) -> tuple[int, Sequence[float]]:
        begin, top = self.learning_rate / self.divide, max(self.rise * self.steps - 1, 0)
        return codes.ANNEAL, (begin, begin / self.divide_final, top, self.steps - 1, True)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """α, multiplied by ``factor`` when the loss has not become less for more than ``patience`` epochs.

    Less means: by more than ``tolerance`` times the least loss so far. ``fit`` watches the validation loss where there
    is one, else the training loss; with `Network.train_step`, call the optimizer's ``watch(loss)`` at the end of what
    you take for an epoch. PyTorch's ReduceLROnPlateau.

    Parameters
    ----------
    learning_rate : float
        α to begin with, finite and at least 0.
    factor : float
        Above 0 and below 1.
    patience : int
        Epochs, at least 0.
    tolerance : float
        At least 0.
    minimum : float
        The rate never falls below it; at least 0 and at most ``learning_rate``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> adam = fastprop.Adam(fastprop.ReduceOnPlateau(0.01, factor=0.5, patience=1))
    >>> for loss in [1.0, 0.9, 0.9, 0.95]:
    ...     adam.watch(loss)
    >>> adam.learning_rate
    0.005
    """

    factor: float = 0.1
    patience: int = 10
    tolerance: float = 1e-4
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0, below=1)
        whole("patience", self.patience, 0)
        number("tolerance", self.tolerance, at_least=0)
        if number("minimum", self.minimum, at_least=0) > self.learning_rate:
            raise ValueError(f"minimum must be at most learning_rate={self.learning_rate}, got {self.minimum!r}")

    def _numbers(self) -> tuple[int, Sequence[float]]:
        return codes.PLATEAU, (self.factor, self.patience, self.tolerance, self.minimum, sys.float_info.max, 0)


#: The schedules by the names of their classes.
SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (ConstantRate, StepDecay, ExponentialDecay, CosineDecay, OneCycle, ReduceOnPlateau)
}
