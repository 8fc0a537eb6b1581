"""Optimizers: their numbers and their state. Their formulas are in the kernels."""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import flag, number, one_of
from .kernels import schedules as rates
from .kernels import updates as codes
from .schedules import ConstantRate, Schedule


class Optimizer:
    """What all optimizers share: learning rate, penalties, clipping, and a state that belongs to one network.

    The same object used again continues exactly where it stopped; on a second network it is refused.

    Notes
    -----
    An update first clips the gradient g of C: its norm over all parameters to ``clip_norm`` (R. Pascanu, T. Mikolov and
    Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1), then each entry to
    ±``clip_value``. To the g of weights, not of biases, it then adds λW for the penalty λ/2 · ‖W‖² (``weight_decay``)
    and λ₁ sign W for λ₁ · Σ|W| (``l1``). What comes of this is the g of the optimizer's own formula.
    """

    _code: int
    _moment_count: int
    _first_moment = 0.0
    _decay = codes.WEIGHT_DECAY  # or SHRINKAGE
    _owner: weakref.ref | None
    _layout: tuple[tuple[int, ...], str] | None  # sizes and dtype of the network that the moments are for

    def __init__(
        self,
        learning_rate: float | Schedule,
        weight_decay: float,
        l1: float,
        clip_norm: float | None,
        clip_value: float | None,
        own: tuple[float, ...],
    ) -> None:
        self._hyper = np.zeros(codes.HYPER)  # in the order that kernels/schedules.py and kernels/updates.py name
        self._steps = 0
        self._schedule: Schedule | None = None
        self.learning_rate = learning_rate  # type: ignore[assignment]
        hyper = self._hyper
        hyper[codes.L1] = number("l1", l1, at_least=0)
        hyper[codes.CLIP_NORM] = math.inf if clip_norm is None else number("clip_norm", clip_norm, above=0)
        self._stores_gradients = clip_norm is not None  # before the first of them is used
        hyper[codes.CLIP_VALUE] = math.inf if clip_value is None else number("clip_value", clip_value, above=0)
        self.weight_decay = weight_decay
        hyper[codes.OWN : codes.OWN + len(own)] = own
        self._release()

    def _arguments(self) -> dict[str, Any]:
        """What the constructor takes, as it is now, but for penalties and clipping that are off: by this an optimizer
        is printed, copied and saved."""
        parameters = inspect.signature(type(self)).parameters
        values = {name: getattr(self, name) for name in parameters} | {"learning_rate": self._rate()}
        off = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and values[name] == p.default]
        return {name: value for name, value in values.items() if name not in off}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    @property
    def learning_rate(self) -> float:
        """The step size α of the next update. Set it to a number or a `Schedule`, which begins then."""
        return float(rates.learning_rate.py_func(self._hyper, self._steps + 1))

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        _schedule(value)._write(self._hyper, self._steps)
        self._schedule = value if isinstance(value, Schedule) else None

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the learning rate, or None where it is a number."""
        return self._schedule

    @property
    def weight_decay(self) -> float:
        """λ of the L2 penalty λ/2 · ‖W‖², or of AdamW's decay; it can be set between two calls."""
        return float(self._hyper[self._decay])

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self._hyper[self._decay] = number("weight_decay", value, at_least=0)
        self._hyper[codes.REGULARIZED] = self.weight_decay > 0 or self.l1 > 0 or self.clip_value is not None

    @property
    def l1(self) -> float:
        """λ₁ of the penalty λ₁ · Σ|W|."""
        return float(self._hyper[codes.L1])

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of the gradient of C; None where there is no limit."""
        return _limit(self._hyper[codes.CLIP_NORM])

    @property
    def clip_value(self) -> float | None:
        """The largest entry of the gradient of C, in absolute value; None where there is no limit."""
        return _limit(self._hyper[codes.CLIP_VALUE])

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return self._steps

    def watch(self, loss: float) -> None:
        """Tell a `ReduceOnPlateau` the loss of an epoch: ``fit`` does, but a loop of one's own has to.

        Parameters
        ----------
        loss : float
            Finite.

        Raises
        ------
        TypeError, ValueError
            If it is not.

        Examples
        --------
        >>> sgd = fastprop.SGD(fastprop.ReduceOnPlateau(1.0, patience=0))
        >>> sgd.watch(2.0), sgd.learning_rate
        (None, 1.0)
        >>> sgd.watch(2.0), sgd.learning_rate
        (None, 0.1)
        """
        rates.watch.py_func(self._hyper, number("loss", loss))

    @property
    def _changes_gradients(self) -> bool:
        """Whether an update overwrites the gradients it is given."""
        return bool(self._hyper[codes.REGULARIZED]) or self.clip_norm is not None

    def _rate(self) -> float | Schedule:
        """The learning rate as it was given."""
        return self._schedule or self.learning_rate

    @property
    def _course(self) -> np.ndarray:
        """A view of how the schedule stands; with these numbers it stands so again."""
        return self._hyper[: rates.WATCHING]

    def _check(self, network: Any) -> None:
        """Refuse a second network; a copy, which has a state but no network yet, takes one of the same layout."""
        if self._owner is not None and self._owner() is not network:
            raise ValueError(
                "optimizer must be a new one, or one that this network was trained with; got one that holds the "
                "state of another network"
            )
        if self._layout is not None and self._layout is not network._layout and self._layout != network._layout:
            raise ValueError(
                "optimizer must be a new one, or the copy of one whose network had the same sizes and dtype; "
                f"got the copy of one for {list(self._layout[0])}, {self._layout[1]}"
            )

    def _bind(self, network: Any, parameters: np.ndarray) -> None:
        """Make ``network`` the owner, with moments as they are at first, laid out as its ``parameters``."""
        if self._layout is None:
            self._moments = np.full(self._moment_count * parameters.size, self._first_moment, parameters.dtype)
            self._layout = network._layout
        if self._owner is None:
            self._owner = weakref.ref(network)

    def _release(self) -> None:
        """Belong to no network again."""
        self._owner = self._layout = None
        self._moments, self._steps = np.empty(0), 0
        _schedule(self._rate())._write(self._hyper, 0)

    def __reduce__(self) -> tuple:
        state = self._layout, self._moments.copy(), self._steps, self._course.copy()
        return _again, (type(self), self._arguments(), *state)


def _again(
    kind: type[Optimizer], arguments: dict[str, Any], layout: tuple | None, moments: np.ndarray, steps: int,
    course: np.ndarray,
) -> Optimizer:  # fmt: skip
    """The copy of an optimizer: it goes on from the same state with the first network that it is used for."""
    rule = kind(**arguments)
    rule._layout, rule._moments, rule._steps = layout, moments, steps
    rule._course[...] = course
    return rule


class SGD(Optimizer):
    """Gradient descent: v ← μv + g; θ ← θ − αv, or θ − α(g + μv) with Nesterov's look ahead.

    As PyTorch defines it, after Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
    in deep learning" (ICML 2013). For penalties and clipping see `Optimizer`.

    Parameters
    ----------
    learning_rate : float or Schedule
        α, finite and at least 0.
    momentum : float
        μ in [0, 1).
    nesterov : bool
        Needs a momentum above 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.
    l1 : float
        λ₁ ≥ 0, for weights alone.
    clip_norm, clip_value : float, optional
        Above 0.

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
        self,
        learning_rate: float | Schedule = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        momentum = number("momentum", momentum, at_least=0, below=1)
        if flag("nesterov", nesterov) and momentum == 0:
            raise ValueError("nesterov must go with a momentum > 0, got momentum=0.0")
        super().__init__(learning_rate, weight_decay, l1, clip_norm, clip_value, (momentum, nesterov))
        self._moment_count = 1 if momentum else 0

    @property
    def momentum(self) -> float:
        """μ."""
        return float(self._hyper[codes.MOMENTUM])

    @property
    def nesterov(self) -> bool:
        """Whether it looks ahead."""
        return bool(self._hyper[codes.NESTEROV])


class RMSprop(Optimizer):
    """v ← ρv + (1−ρ)g²; θ ← θ − αg / (√v + ε); with momentum u ← μu + g / (√v + ε), θ ← θ − αu.

    T. Tieleman and G. Hinton, lecture 6.5 of *Neural networks for machine learning* (2012), as PyTorch defines it.
    ``centered``, as A. Graves, "Generating sequences with recurrent neural networks" (2013), has it, takes the square
    of ḡ ← ρḡ + (1−ρ)g from v. For penalties and clipping see `Optimizer`.

    Parameters
    ----------
    learning_rate : float or Schedule
        α, finite and at least 0.
    rho : float
        ρ in [0, 1) (PyTorch: alpha).
    epsilon : float
        ε > 0.
    momentum : float
        μ in [0, 1).
    centered : bool
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.
    l1 : float
        λ₁ ≥ 0, for weights alone.
    clip_norm, clip_value : float, optional
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.RMSprop(0.001).rho
    0.99
    """

    _code = codes.RMS

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-2,
        rho: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        rho = number("rho", rho, at_least=0, below=1)
        epsilon = number("epsilon", epsilon, above=0)
        momentum = number("momentum", momentum, at_least=0, below=1)
        own = (rho, 1 - rho, epsilon, flag("centered", centered), momentum, 0.0)
        super().__init__(learning_rate, weight_decay, l1, clip_norm, clip_value, own)
        self._moment_count = 1 + (momentum > 0) + self.centered

    @property
    def rho(self) -> float:
        """ρ."""
        return float(self._hyper[codes.KEPT])

    @property
    def epsilon(self) -> float:
        """ε."""
        return float(self._hyper[codes.EPSILON])

    @property
    def momentum(self) -> float:
        """μ."""
        return float(self._hyper[codes.RMS_MOMENTUM])

    @property
    def centered(self) -> bool:
        """Whether the square of the mean gradient is taken from the mean square."""
        return bool(self._hyper[codes.CENTERED])


class Adagrad(Optimizer):
    """v ← v + g²; θ ← θ − α / (1 + (t−1) η) · g / (√v + ε) at update number t.

    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    JMLR 12 (2011), with a diagonal matrix, as PyTorch defines it. For penalties and clipping see `Optimizer`.

    Parameters
    ----------
    learning_rate : float or Schedule
        α, finite and at least 0.
    learning_rate_decay : float
        η ≥ 0 (PyTorch: lr_decay).
    initial_accumulator : float
        v at first, at least 0.
    epsilon : float
        ε > 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.
    l1 : float
        λ₁ ≥ 0, for weights alone.
    clip_norm, clip_value : float, optional
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.Adagrad(0.1).epsilon
    1e-10
    """

    _code = codes.RMS
    _moment_count = 1

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-2,
        learning_rate_decay: float = 0.0,
        initial_accumulator: float = 0.0,
        epsilon: float = 1e-10,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        decay = number("learning_rate_decay", learning_rate_decay, at_least=0)
        self._first_moment = number("initial_accumulator", initial_accumulator, at_least=0)
        own = (1.0, 1.0, number("epsilon", epsilon, above=0), 0.0, 0.0, decay)
        super().__init__(learning_rate, weight_decay, l1, clip_norm, clip_value, own)

    @property
    def initial_accumulator(self) -> float:
        """v at first."""
        return self._first_moment

    @property
    def learning_rate_decay(self) -> float:
        """η."""
        return float(self._hyper[codes.RATE_DECAY])

    @property
    def epsilon(self) -> float:
        """ε."""
        return float(self._hyper[codes.EPSILON])


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; θ ← θ − α m̂ / (√v̂ + ε), with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1; weight decay is
    added to the gradient g, as PyTorch does. For penalties and clipping see `Optimizer`.

    Parameters
    ----------
    learning_rate : float or Schedule
        α, finite and at least 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        ε > 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.
    l1 : float
        λ₁ ≥ 0, for weights alone.
    clip_norm, clip_value : float, optional
        Above 0.

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
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        beta1 = number("beta1", beta1, at_least=0, below=1)
        beta2 = number("beta2", beta2, at_least=0, below=1)
        own = (beta1, beta2, number("epsilon", epsilon, above=0))
        super().__init__(learning_rate, weight_decay, l1, clip_norm, clip_value, own)

    @property
    def beta1(self) -> float:
        """β₁."""
        return float(self._hyper[codes.BETA1])

    @property
    def beta2(self) -> float:
        """β₂."""
        return float(self._hyper[codes.BETA2])

    @property
    def epsilon(self) -> float:
        """ε."""
        return float(self._hyper[codes.EPSILON])


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 − αλ)θ before Adam's update, whose g has nothing of it.

    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (ICLR 2019), algorithm 2, as PyTorch has it:
    with α in place of the schedule multiplier. For ``l1`` and clipping see `Optimizer`.

    Parameters
    ----------
    learning_rate : float or Schedule
        α, finite and at least 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        ε > 0.
    weight_decay : float
        λ ≥ 0, for weights alone, not for biases.
    l1 : float
        λ₁ ≥ 0, for weights alone; part of the gradient.
    clip_norm, clip_value : float, optional
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> fastprop.AdamW(learning_rate=0.01).weight_decay
    0.01
    """

    _decay = codes.SHRINKAGE

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        l1: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon, weight_decay, l1=l1, clip_norm=clip_norm, clip_value=clip_value
        )


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
}


def optimizer(argument: str, value: str | Optimizer) -> Optimizer:
    """``value`` itself, or a fresh optimizer of that name with its defaults."""
    if isinstance(value, Optimizer):
        return value
    return one_of(argument, value, OPTIMIZERS, "an Optimizer")()


def _schedule(value: float | Schedule) -> Schedule:
    if isinstance(value, Schedule):
        return value
    try:
        return ConstantRate(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"learning_rate must be a finite number ≥ 0 or a Schedule, got {value!r} ({kind})") from None


def _limit(value: float) -> float | None:
    return None if value == math.inf else float(value)
