"""Many networks at once: each trained by one thread, as many at a time as there are cores."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import checks
from .errors import DivergenceError
from .fitting import Run
from .history import History
from .network import Network
from .threads import together, usable

_FIT = inspect.signature(Network.fit)


def fit_many(
    networks: Iterable[Network],
    X: Any = None,
    y: Any = None,
    *,
    each: Sequence[Mapping[str, Any]] | None = None,
    threads: int | str = "auto",
    diverged: str = "raise",
    **settings: Any,
) -> list[History]:
    """Train many networks at once, each as its own ``fit`` would: with the same bits.

    Parameters
    ----------
    networks : iterable of Network
        Of any sizes, activations, losses, dtypes and seeds; each once.
    X, y : array_like
        The data of all networks, cast once for each dtype.
    each : sequence of dict, optional
        For each network what is its own among the arguments of ``fit``, X and y included:
        ``each=[{"optimizer": fastprop.Adam(rate)} for rate in rates]``.
    threads : int or "auto"
        At most so many threads; "auto" means one for each core.
    diverged : {"raise", "keep"}
        What to do about a network whose loss or parameters become NaN or infinite, once the others are trained: raise
        its `DivergenceError`, or return its history up to the last good epoch.
    **settings
        Arguments of `Network.fit` for all networks. A callback or an optimizer object belongs to one network, and so
        into ``each``.

    Returns
    -------
    list of History
        In the order of the networks.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, with the number of the network; nothing is changed then.
    DivergenceError
        With diverged="raise".
    RuntimeError
        If another thread is using one of the networks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3), dtype=np.float32)
    >>> y = X @ [1.0, -2.0, 0.5]
    >>> networks = [fastprop.Network([3, 1], seed=k) for k in range(3)]
    >>> rates = [0.3, 0.1, 0.03]
    >>> histories = fastprop.fit_many(
    ...     networks, X, y, epochs=5, each=[{"optimizer": fastprop.SGD(rate)} for rate in rates]
    ... )
    >>> [len(history) for history in histories]
    [5, 5, 5]
    """
    nets = list(networks)
    for number, net in enumerate(nets):
        if not isinstance(net, Network):
            raise TypeError(f"networks[{number}] must be a Network, got {net!r} ({type(net).__name__})")
    _refuse_twice(nets, "networks")
    most = usable() if threads == "auto" else checks.whole("threads", threads, 1)
    checks.one_of("diverged", diverged, {"raise": True, "keep": False}, "one")
    own = [{}] * len(nets) if each is None else list(each)
    if len(own) != len(nets):
        raise ValueError(f"each must have one entry for each of the {len(nets)} networks, got {len(own)}")
    cast = _Cast()
    runs = []
    for number, (net, mine) in enumerate(zip(nets, own, strict=True)):
        try:
            bound = _FIT.bind(net, **{"X": X, "y": y, **settings, **mine})
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            del arguments["self"]
            arguments["X"], arguments["y"] = cast(arguments["X"], net), cast(arguments["y"], net)
            runs.append(net._plan(**arguments))
        except (TypeError, ValueError) as error:
            raise type(error)(f"networks[{number}]: {error}") from error
    _refuse_twice([run.optimizer for run in runs], "optimizers")
    _refuse_twice([callback for run in runs for callback in run._callbacks], "callbacks")
    errors = _train(runs, min(most, max(len(runs), 1)))
    for failure in errors:
        if failure is not None and not (diverged == "keep" and isinstance(failure, DivergenceError)):
            raise failure
    return [run.history for run in runs]


def _train(runs: list[Run], threads: int) -> list[BaseException | None]:
    """Train each by one thread; what went wrong with each."""
    errors: list[BaseException | None] = [None] * len(runs)
    waiting = iter(range(len(runs)))
    turn = threading.Lock()

    def work(thread: int, threads: int) -> None:
        while True:
            with turn:
                number = next(waiting, None)
            if number is None:
                return
            try:
                runs[number].threads = 1
                runs[number].train()
            except Exception as error:
                errors[number] = error

    def give_up() -> None:
        for _ in waiting:
            pass
        for run in runs:
            run.stop()

    together(threads, work, give_up)
    return errors


class _Cast:
    """Arrays in a network's dtype, made once for all networks of the dtype."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, np.dtype], tuple[Any, Any]] = {}

    def __call__(self, data: Any, net: Network) -> Any:
        key = id(data), net.dtype
        if key not in self._made:
            array = data
            if type(data) is np.ndarray and data.dtype.kind == "f" and data.dtype != net.dtype:
                with np.errstate(over="ignore"):  # ``fit`` refuses the infinity
                    array = data.astype(net.dtype, order="C")
            self._made[key] = data, array  # data is kept, so that its id stays its own
        return self._made[key][1]


def _refuse_twice(things: Sequence[object], what: str) -> None:
    if len({id(thing) for thing in things}) < len(things):
        raise ValueError(f"{what} must differ: each belongs to one network, got one of them twice")


class Ensemble:
    """Networks that are asked together: the mean and the spread of their predictions.

    B. Lakshminarayanan, A. Pritzel and C. Blundell, "Simple and scalable predictive uncertainty estimation using deep
    ensembles" (NIPS 2017), section 2.4: networks that differ in their first weights and shuffles alone.

    Parameters
    ----------
    networks : iterable of Network
        At least one, all with the same number of inputs and of outputs.

    Raises
    ------
    TypeError, ValueError
        If they are not such networks.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 100, dtype=np.float32).reshape(-1, 1)
    >>> ensemble = fastprop.Ensemble(fastprop.Network([1, 16, 1], hidden="tanh", seed=k) for k in range(5))
    >>> histories = ensemble.fit(X, np.sin(3 * X), optimizer="adam", epochs=20)
    >>> mean, spread = ensemble.predict([[0.0], [5.0]], return_std=True)
    >>> bool(spread[1, 0] > spread[0, 0])  # far from the data the networks differ
    True
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self.networks = list(networks)
        if not self.networks:
            raise ValueError("networks must hold at least one Network, got none")
        for number, net in enumerate(self.networks):
            if not isinstance(net, Network):
                raise TypeError(f"networks[{number}] must be a Network, got {net!r} ({type(net).__name__})")
            first = self.networks[0]
            if (net.sizes[0], net.sizes[-1]) != (first.sizes[0], first.sizes[-1]):
                raise ValueError(
                    f"networks must all have {first.sizes[0]} inputs and {first.sizes[-1]} outputs, as networks[0], "
                    f"got {net.sizes[0]} and {net.sizes[-1]} in networks[{number}]"
                )

    def fit(self, X: Any, y: Any, **settings: Any) -> list[History]:
        """Train all of them on the same data: `fit_many`, whose arguments it takes.

        Parameters
        ----------
        X, y : array_like
        **settings
            As for `fit_many`.

        Returns
        -------
        list of History

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError
            As `fit_many` does.

        Examples
        --------
        >>> ensemble = fastprop.Ensemble([fastprop.Network([2, 1], seed=k) for k in range(2)])
        >>> len(ensemble.fit([[0.0, 1.0]], [1.0], epochs=3))
        2
        """
        return fit_many(self.networks, X, y, **settings)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the networks' outputs.

        Parameters
        ----------
        X : array_like, shape (n, D^(0))
        return_std : bool
            Return the outputs' standard deviation over the networks as well.

        Returns
        -------
        ndarray, shape (n, D^(L)), or two of them

        Raises
        ------
        TypeError, ValueError
            If X has another shape, or is not finite.
        RuntimeError
            If another thread is using one of the networks.

        Examples
        --------
        >>> ensemble = fastprop.Ensemble([fastprop.Network([2, 1], init="zeros") for _ in range(3)])
        >>> ensemble.predict([[1.0, 2.0]], return_std=True)
        (array([[0.]], dtype=float32), array([[0.]], dtype=float32))
        """
        spread = checks.flag("return_std", return_std)
        outputs = np.stack([net.predict(X) for net in self.networks])
        mean = outputs.mean(axis=0)
        return (mean, outputs.std(axis=0)) if spread else mean
