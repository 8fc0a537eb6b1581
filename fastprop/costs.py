"""What backpropagation saves: the same gradient by methods that share less of their work, counted and timed.

`measure` takes one network, `growth` a row of ever larger ones, `table` and `plot` show what either found. The loops
are in ``fastprop.kernels.costs``.
"""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import checks
from .buffers import aligned_zeros
from .kernels import costs as kernels

if TYPE_CHECKING:
    from .network import Network

#: The four ways to ∂C/∂θ, and the two to ∂C/∂x, in the order of the kernels' codes.
GRADIENT = ("finite differences", "chain by chain", "forward mode", "backpropagation")
INPUT_GRADIENT = ("Jacobians from the input", "Jacobians from the loss")
METHODS = GRADIENT + INPUT_GRADIENT
#: How far a method's gradient may be from that of `Network.backward`, relative to its largest entry, in float64 and
#: away from kinks: a central difference has two errors of about ε^(2/3); the others round a little differently.
TOLERANCE = {method: 1e-6 if method == "finite differences" else 1e-10 for method in METHODS}


class Cost(NamedTuple):
    """What one method took for one network and one observation.

    ``seconds`` and ``error`` are NaN where the method was not run, because it would have taken too many
    multiplications.
    """

    sizes: tuple[int, ...]
    parameters: int
    method: str
    multiplications: int  # of weights, activations, slopes and error signals; not those within σ, σ′ and the loss
    seconds: float  # of one gradient, the fastest of some
    error: float  # largest difference from `Network.backward`, relative to the largest entry


def multiplications(sizes: Iterable[int], method: str) -> int:
    """How many multiplications a method takes, by formula.

    With P_W weights, P parameters and layers of D^(0)..D^(L) neurons: a forward pass takes P_W, so finite differences
    take 2 P · P_W, and backpropagation about 3 P_W: one for each weight forward, one backward, one for its gradient.

    Parameters
    ----------
    sizes : sequence of int
        D^(0)..D^(L).
    method : str
        One of `METHODS`.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        If there is no such network or method.

    Examples
    --------
    >>> from fastprop import costs
    >>> [costs.multiplications([10, 10, 10, 10], method) for method in costs.GRADIENT]
    [198000, 58710, 39900, 820]
    """
    from .network import _sizes

    D = _sizes(sizes)
    checks.one_of("method", method, dict.fromkeys(METHODS), "one of METHODS")
    last = len(D) - 1
    layers = range(1, last + 1)
    weights = sum(D[m - 1] * D[m] for m in layers)
    parameters = [(D[m - 1] + 1) * D[m] for m in layers]  # of layer m at index m − 1
    if method == "finite differences":
        return 2 * sum(parameters) * weights
    if method == "chain by chain":  # of a path 2(L − m) + 1: a slope and a weight for each layer above, and δ^(L)
        paths = [math.prod(D[m + 1 :]) for m in layers]
        return weights + sum(parameters[m - 1] * paths[m - 1] * (2 * (last - m) + 1) for m in layers)
    onwards = [D[m] + D[m] * D[m + 1] for m in range(1, last)]  # through the slopes and weights above layer m
    if method == "forward mode":
        return weights + sum(parameters[m - 1] * (sum(onwards[m - 1 :]) + D[last]) for m in layers)
    if method == "backpropagation":
        return 2 * weights + sum(onwards)
    if method == "Jacobians from the input":
        return D[0] * (sum(onwards) + D[last])
    return D[0] * D[1] + sum(onwards)


def measure(net: Network, x: Any, t: Any, *, methods: Sequence[str] = METHODS, most: float = 1e8) -> list[Cost]:
    """The gradient of one observation's loss by each method: whether it is the same, and what it cost.

    Everything is computed in float64, in a copy of the network, one multiplication after the other in plain compiled
    loops: the methods are compared, not how well each could be tuned.

    Parameters
    ----------
    net : Network
    x : array_like, shape (D^(0),) or (1, D^(0))
    t : array_like, shape (D^(L),) or (1, D^(L)), or a class label for cross_entropy
        Targets as in `Network.backward`, of the one observation.
    methods : sequence of str
        Some of `METHODS`.
    most : float
        A method that would take more multiplications is not run; what it would take is known by formula.

    Returns
    -------
    list of Cost

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from fastprop import costs
    >>> net = fastprop.Network([3, 8, 8, 2], hidden="tanh", seed=0)
    >>> found = costs.measure(net, [1.0, -1.0, 0.5], [1.0, 0.0])
    >>> all(cost.error < costs.TOLERANCE[cost.method] for cost in found)
    True
    >>> found[0].multiplications // found[3].multiplications
    83
    """
    for i, method in enumerate(methods):
        checks.one_of(f"methods[{i}]", method, dict.fromkeys(METHODS), "one of METHODS")
    most = checks.number("most", most, at_least=0)
    work = _Workspace(net, x, t)
    costs = []
    for method in methods:
        count, seconds, error = multiplications(net.sizes, method), math.nan, math.nan
        if count <= most:
            result, count = work.run(method)
            exact = work.gradient if method in GRADIENT else work.input_gradient
            error = float(np.abs(result - exact).max() / (np.abs(exact).max() or 1))
            seconds = _seconds(partial(work.again, method))
        costs.append(Cost(net.sizes, net.num_parameters, method, count, seconds, error))
    return costs


def growth(by: str = "width", *, most: float = 1e8, largest: int | None = None, seed: int = 0) -> list[Cost]:
    """`measure` for ever larger tanh networks of random parameters.

    Parameters
    ----------
    by : {"width", "depth"}
        Three layers of weights between four layers of 2, 3, 4, 6, 8, … neurons; or ever more layers of four neurons.
    most : float
        As in `measure`; a method that has come to it is not run on what is larger.
    largest : int, optional
        The last width (64 by default), or the last number of layers of weights (12 by default).
    seed : int
        Of the parameters, the observation and its target.

    Returns
    -------
    list of Cost

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from fastprop import costs
    >>> found = costs.growth("depth", largest=3)
    >>> [cost.parameters for cost in found if cost.method == "backpropagation"]
    [20, 40, 60]
    """
    from .network import Network

    checks.one_of("by", by, {"width": 64, "depth": 12}, "one of width and depth")
    largest = {"width": 64, "depth": 12}[by] if largest is None else checks.whole("largest", largest, 1)
    seed = checks.whole("seed", seed, 0)
    rng = np.random.default_rng(seed)
    if by == "width":
        all_sizes = [[w] * 4 for w in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) if w <= largest]
    else:
        all_sizes = [[4] * (layers + 1) for layers in range(1, largest + 1)]
    costs = []
    for sizes in all_sizes:
        net = Network(sizes, hidden="tanh", dtype="float64", seed=seed)
        costs += measure(net, rng.standard_normal(sizes[0]), rng.standard_normal(sizes[-1]), most=most)
    return costs


def exponent(costs: Iterable[Cost], method: str, what: str = "multiplications") -> float:
    """p of the law P^p by which a method's cost grows with the number of parameters, over the upper half of the sizes.

    The slope of the line through the points in logarithms.

    Parameters
    ----------
    costs : iterable of Cost
        What `growth` returned.
    method : str
    what : {"multiplications", "seconds"}

    Returns
    -------
    float
        NaN where there are fewer than two sizes.

    Examples
    --------
    >>> from fastprop import costs
    >>> found = costs.growth("width", largest=16, most=0)  # counted by formula alone
    >>> print(round(costs.exponent(found, "finite differences"), 1), round(costs.exponent(found, "backpropagation"), 1))
    2.0 1.0
    """
    points = [(cost.parameters, getattr(cost, what)) for cost in costs if cost.method == method]
    points = [point for point in points if point[1] > 0]
    points = points[len(points) // 2 :]
    if len({P for P, _ in points}) < 2:
        return math.nan
    P, cost = np.log(np.array(points, float)).T
    return float(np.polyfit(P, cost, 1)[0])


def table(costs: Iterable[Cost], what: str | None = None) -> str:
    """The costs in columns.

    Parameters
    ----------
    costs : iterable of Cost
    what : {"multiplications", "seconds"}, optional
        With it there is a line for each network and a column for each method, and at the end how each method grows
        with the number of parameters P. Without it, a line for each method and network, with all numbers.

    Returns
    -------
    str

    Examples
    --------
    >>> from fastprop import costs
    >>> print(costs.table(costs.growth("depth", largest=1, most=0)[:2]))
    network  parameters  method              multiplications  seconds  error
    4-4              20  finite differences              640        -      -
    4-4              20  chain by chain                   36        -      -
    """
    costs = list(costs)
    lines: list[tuple[str, ...]]
    if what is None:
        lines = [("network", "parameters", "method", "multiplications", "seconds", "error")]
        for cost in costs:
            counts = f"{cost.parameters:,}", cost.method, f"{cost.multiplications:,}"
            lines.append((_name(cost.sizes), *counts, _number(cost.seconds), _number(cost.error)))
        return _aligned(lines, "<><>>>")
    checks.one_of("what", what, _FORMATS, "None")
    methods = list(dict.fromkeys(cost.method for cost in costs))
    found = {(cost.sizes, cost.method): getattr(cost, what) for cost in costs}
    lines = [("network", "parameters", *methods)]
    for sizes, parameters in dict.fromkeys((cost.sizes, cost.parameters) for cost in costs):
        cells = (_FORMATS[what](found[sizes, method]) if (sizes, method) in found else "" for method in methods)
        lines.append((_name(sizes), f"{parameters:,}", *cells))
    growing = (exponent(costs, method, what) for method in methods)
    lines.append(("grows as", "P", *("-" if math.isnan(p) else f"P^{p:.1f}" for p in growing)))
    return _aligned(lines, "<" + ">" * (len(methods) + 1))


def plot(by_width: Iterable[Cost], by_depth: Iterable[Cost]) -> Any:
    """Draw how the costs grow with the number of parameters: multiplications above, seconds below.

    Parameters
    ----------
    by_width, by_depth : iterable of Cost
        What `growth` returned for each.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib (extra ``plot``).

    Examples
    --------
    >>> from fastprop import costs
    >>> figure = costs.plot(costs.growth("width", largest=4), costs.growth("depth", largest=3))
    >>> [axes.get_title() for axes in figure.axes]
    ['ever wider: w-w-w-w', 'ever deeper: 4-4-…-4', '', '']
    """
    figure = _figure(figsize=(11, 8), layout="constrained")
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    styles = dict(zip(METHODS, ("C0o-", "C1s-", "C2^-", "C3D-", "C4v:", "C5*:"), strict=True))
    for column, costs in enumerate((list(by_width), list(by_depth))):
        for axes, what in zip(grid[:, column], _FORMATS, strict=True):
            for method, style in styles.items():
                points = [(cost.parameters, getattr(cost, what)) for cost in costs if cost.method == method]
                axes.plot(*zip(*points, strict=True), style, markersize=4, linewidth=1.2, label=method)
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
        grid[1, column].set_xlabel("parameters P")
    grid[0, 0].set(title="ever wider: w-w-w-w", xscale="log", ylabel="multiplications for a gradient")
    grid[1, 0].set(ylabel="seconds for a gradient")
    grid[0, 1].set(title="ever deeper: 4-4-…-4")
    grid[0, 0].legend()
    return figure


def _figure(**options: Any) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the plot needs matplotlib: pip install 'fastprop-numba[plot]'") from error
    return Figure(**options)


def command(options: Namespace) -> int:
    """What ``fastprop costs`` does; return the exit code."""
    from .network import Network

    if options.plot:
        _figure().savefig(options.plot)  # so that a wrong name is refused before everything is measured
        figure = plot(*(growth(by, most=options.most, seed=options.seed) for by in ("width", "depth")))
        figure.savefig(options.plot, dpi=120)
        print(f"written to {options.plot}")
    elif options.grow:
        found = growth(options.grow, most=options.most, seed=options.seed)
        for what in _FORMATS:
            print(f"{what}\n{table(found, what)}\n")
    else:
        net = Network(options.sizes, options.hidden, dtype="float64", seed=options.seed)
        rng = np.random.default_rng(options.seed)
        x, t = rng.standard_normal(net.sizes[0]), rng.standard_normal(net.sizes[-1])
        print(table(measure(net, x, t, most=options.most)))
    return 0


class _Workspace:
    """A float64 copy of a network with one observation, its exact gradients, and room for every method."""

    def __init__(self, net: Network, x: Any, t: Any) -> None:
        from .network import Network

        hidden, output = list(net.hidden_activations), net.output_activation
        self.twin = twin = Network(net.sizes, hidden, output, loss=net.loss, dtype="float64", init="zeros", seed=0)
        twin.set_parameters(net.get_parameters())
        X = checks.real_array("x", x, twin.dtype)
        X = checks.matrix("x", X[None] if X.ndim == 1 else X, net.sizes[0], twin.dtype)
        if len(X) > 1:
            raise ValueError(f"x must be one observation, got {len(X)}")
        y = checks.any_array("t", t)
        y = y[None] if y.ndim == 0 or (y.ndim == 1 and len(y) == net.sizes[-1] > 1) else y
        targets, labels = twin._targets("t", y, 1)
        twin.forward(X)
        twin.backward(y)
        self.gradient = twin.get_gradient()
        self.input_gradient = twin.deltas[0][0] @ twin.weights[0].T
        self._x, self._target = X[0], targets[0] if len(targets) else np.eye(net.sizes[-1])[labels[0]]
        widest = max(net.sizes)
        self._delta = aligned_zeros(widest, twin.dtype)
        self._vectors = aligned_zeros(2 * net.sizes[0] * widest, twin.dtype)
        self._path = np.zeros(len(net.sizes), np.int64)
        self._dC_dx = np.zeros(net.sizes[0])

    def run(self, method: str) -> tuple[np.ndarray, int]:
        """The gradient by a method, and its multiplications; leaves what `again` needs."""
        if method in GRADIENT:
            count = self.again(method)
            return self.twin.get_gradient(), count
        self._gradient(kernels.LOCAL_DERIVATIVES)
        count = self.again(method)
        return self._dC_dx.copy(), count

    def again(self, method: str) -> int:
        """What is timed."""
        if method in GRADIENT:
            return self._gradient(GRADIENT.index(method))
        twin = self.twin
        return kernels.input_gradient[twin.dtype](
            twin._units.layers, twin._store.data, twin._units.data, self._delta, self._vectors, self._dC_dx,
            INPUT_GRADIENT.index(method),
        )  # fmt: skip

    def _gradient(self, method: int) -> int:
        twin = self.twin
        return kernels.gradient[twin.dtype](
            twin._units.layers, twin._slopes, twin._store.data, twin._store.gradients, twin._units.data, self._x,
            self._target, *twin._loss_numbers, self._delta, self._vectors, self._path, method,
        )  # fmt: skip


def _seconds(function: Callable[[], Any]) -> float:
    """Of one call: in the fastest of five turns that last some milliseconds each, or of one call that takes longer."""
    start = time.perf_counter()
    function()
    once = time.perf_counter() - start
    if once > 0.05:
        return once
    calls, turns = max(1, int(0.005 / once)), []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        turns.append((time.perf_counter() - start) / calls)
    return min(turns)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2g}"


_FORMATS: dict[str, Callable[[Any], str]] = {"multiplications": "{:,}".format, "seconds": _number}


def _aligned(lines: list[tuple[str, ...]], sides: str) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(layout.format(*line).rstrip() for line in lines)


def _name(sizes: tuple[int, ...]) -> str:
    """3-8-8-2, or 4-4-…-4 (12 layers) where that would be long."""
    text = "-".join(map(str, sizes))
    return text if len(sizes) < 7 else f"{sizes[0]}-{sizes[1]}-…-{sizes[-1]} ({len(sizes)} layers)"
