"""Training under the microscope: what goes on in each layer while ``fit`` runs, and a warning where it goes wrong."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .activations import Activation
from .callbacks import Callback

if TYPE_CHECKING:
    from .fitting import Run
    from .network import Network

#: Share of a hidden layer's units that may be idle, and the range of error signals relative to the output's, unwarned.
IDLE_SHARE, VANISHED, EXPLODED = 0.5, 1e-3, 1e3
#: A sigmoid or tanh unit is saturated where its slope is below this part of the steepest, on this part of the rows.
FLAT, MOSTLY = 0.05, 0.9


@dataclass(frozen=True)
class Record:
    """One look at a network: arrays of shape (L,), layers 1..L.

    Attributes
    ----------
    step : int
        Updates made so far by the optimizer.
    rows : int
        On how many rows gradients, error signals and idle units were measured.
    weights, gradients : ndarray
        ‖W^(m)‖ and ‖∂C/∂W^(m)‖, the roots of sums of squares.
    updates : ndarray
        ‖ΔW^(m)‖ of a step: the way since the last record, divided by the steps; NaN in the first record.
    deltas : ndarray
        Root mean square, over rows and units, of n δ^(m): the error signal of one observation at one unit.
    idle : ndarray
        Share of units that are dead (relu: z ≤ 0 on every row) or saturated (sigmoid, tanh: slope below 5 % of the
        steepest on 9 rows of 10); NaN for other activations.
    """

    step: int
    rows: int
    weights: np.ndarray
    gradients: np.ndarray
    updates: np.ndarray
    deltas: np.ndarray
    idle: np.ndarray


class Microscope(Callback):
    """A callback that records, layer by layer, norms of weights, gradients, updates and δ, and the share of idle units.

    It looks before the first step and after each epoch, or each ``every``-th step, at the last rows that were trained
    on, with a network of its own: training goes on with the same bits. Where error signals vanish or explode on their
    way down, or half the units of a hidden layer are idle, it says so in a `RuntimeWarning`, once for each layer.

    Parameters
    ----------
    every : int
        Steps between two records; 0 for one after each epoch.
    rows : int
        How many rows to look at.

    Attributes
    ----------
    records : list of Record
        Of the last ``fit``.
    warnings : list of str
        What was warned of.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0]]), [0.0, 1.0]
    >>> net = fastprop.Network([1, 4, 1], hidden="tanh", seed=0)
    >>> microscope = fastprop.Microscope(every=5)
    >>> history = net.fit(X, y, epochs=10, callbacks=[microscope])
    >>> [record.step for record in microscope.records]
    [0, 5, 10]
    >>> microscope.series("weights").shape
    (3, 2)
    """

    def __init__(self, every: int = 0, rows: int = 1000) -> None:
        self.every = checks.whole("every", every, 0)
        self.rows = checks.whole("rows", rows, 1)
        self.records: list[Record] = []
        self.warnings: list[str] = []
        self._names: list[str] = []
        self._twin: Network | None = None  # with the weights of the last record

    def on_start(self, run: Run) -> None:
        self.records, self.warnings, self._warned = [], [], set[tuple[int, str]]()
        self._names = [f.name for f in (*run.network.hidden_activations, run.network.output_activation)]
        self._twin = copy.copy(run.network)
        self._look(run)

    def on_step(self, run: Run) -> None:
        if self.every:
            self._look(run)

    def on_epoch_end(self, run: Run) -> None:
        if not self.every:
            self._look(run)

    def on_end(self, run: Run) -> None:
        self._twin = None

    def series(self, name: str) -> np.ndarray:
        """One quantity of all records.

        Parameters
        ----------
        name : {"weights", "gradients", "updates", "deltas", "idle"}

        Returns
        -------
        ndarray, shape (records, L)
        """
        checks.one_of("name", name, dict.fromkeys(_TITLES), "nothing else")
        return np.array([getattr(record, name) for record in self.records])

    def __str__(self) -> str:
        """The last record as a table, and what was warned of."""
        if not self.records:
            return "nothing recorded yet"
        last = self.records[-1]
        table = [["layer", "activation", "‖W‖", "‖∂C/∂W‖", "‖ΔW‖ a step", "error signal", "idle"]]
        for m, name in enumerate(self._names):
            numbers = (getattr(last, kind)[m] for kind in ("weights", "gradients", "updates", "deltas"))
            idle = "" if np.isnan(last.idle[m]) else f"{100 * last.idle[m]:.0f} %"
            table.append([str(m + 1), name, *(f"{number:.3g}" for number in numbers), idle])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([f"step {last.step:,}, {last.rows:,} rows", *lines, *self.warnings])

    def plot(self) -> Any:
        """The course of all quantities, a line for each layer.

        Returns
        -------
        matplotlib.figure.Figure
            Save it with ``savefig``.

        Raises
        ------
        ImportError
            Without Matplotlib (in the extra ``plot``).
        ValueError
            If nothing has been recorded yet.
        """
        if not self.records:
            raise ValueError("plot must come after a fit with this callback; nothing is recorded yet")
        try:
            from matplotlib import colormaps
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("plot needs Matplotlib: pip install 'fastprop-numba[plot]'") from error
        figure = Figure(figsize=(12, 6.5), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True).ravel()
        steps = [record.step for record in self.records]
        colors = colormaps["viridis"](np.linspace(0, 0.9, len(self._names)))
        for axes, (name, title) in zip(panels, _TITLES.items(), strict=False):
            series = self.series(name)
            for m, color in enumerate(colors):
                y = 100 * series[:, m] if name == "idle" else np.where(series[:, m] > 0, series[:, m], np.nan)
                marker = "." if len(steps) < 40 else ""
                axes.plot(steps, y, color=color, marker=marker, label=f"{m + 1}: {self._names[m]}")
            axes.set_title(title)
            axes.grid(alpha=0.3)
            if name == "idle":
                axes.set_ylim(-3, 103)
            else:
                axes.set_yscale("log")
        for axes in panels[2:5]:
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)
        panels[5].axis("off")
        handles, labels = panels[0].get_legend_handles_labels()
        panels[5].legend(handles, labels, title="layer", loc="upper left", frameon=False, ncols=1 + len(labels) // 11)
        return figure

    def _look(self, run: Run) -> None:
        network, twin = run.network, self._twin
        assert twin is not None
        step, before = run.optimizer.steps, self.records[-1].step if self.records else 0
        moved = [np.linalg.norm(w - old) for w, old in zip(network.weights, twin.weights, strict=True)]
        twin.set_parameters(network.get_parameters())
        inputs, targets, labels, weights, _ = run.last_rows(self.rows)
        twin.forward(inputs)
        twin.backward(labels if len(labels) else targets, weights if weights.any() else None)
        n, functions = len(inputs), (*network.hidden_activations, network.output_activation)
        record = Record(
            step=step,
            rows=n,
            weights=np.array([np.linalg.norm(w) for w in twin.weights]),
            gradients=np.array([np.linalg.norm(g) for g in twin.weight_gradients]),
            updates=np.array(moved) / (step - before) if step > before else np.full(len(moved), np.nan),
            deltas=np.array([n * np.sqrt(np.mean(np.square(delta, dtype=np.float64))) for delta in twin.deltas]),
            idle=np.array([_idle(*layer) for layer in zip(functions, twin.activations[1:], strict=True)]),
        )
        self.records.append(record)
        for layer, kind, message in self._troubles(record):
            if (layer, kind) not in self._warned:
                self._warned.add((layer, kind))
                self.warnings.append(f"layer {layer}: {message}")
                warnings.warn(self.warnings[-1], RuntimeWarning, stacklevel=2)

    def _troubles(self, record: Record) -> list[tuple[int, str, str]]:
        """Layer, kind and words of what is wrong."""
        found: list[tuple[int, str, str]] = []
        idle = np.append(record.idle[:-1] >= IDLE_SHARE, False)  # hidden layers alone: an output may well be sure
        for m in np.flatnonzero(idle).tolist():
            state, remedy = _IDLE[self._names[m]]
            share = f"{100 * record.idle[m]:.0f} % of {self._names[m]} units {state}"
            found.append((m + 1, "idle", f"{share} on the last {record.rows:,} rows; {remedy}"))
        deltas, first = record.deltas, self.records[0].gradients
        if deltas[-1] > 0:
            ratios = deltas / deltas[-1]
            low, high = int(np.argmin(ratios)), int(np.argmax(ratios))
            if ratios[low] < VANISHED and not idle[low:].any():  # idle units above would be the reason
                words = f"error signals are {ratios[low]:.1e} of the output layer's; {_VANISH}"
                found.append((low + 1, "vanish", f"gradients vanish: {words}"))
            if ratios[high] > EXPLODED:
                words = f"error signals are {ratios[high]:,.0f} times the output layer's; {_EXPLODE}"
                found.append((high + 1, "explode", f"gradients explode: {words}"))
        for m in np.flatnonzero(record.gradients > EXPLODED * np.where(first > 0, first, np.inf)).tolist():
            words = f"∂C/∂W has grown {record.gradients[m] / first[m]:,.0f}-fold; {_EXPLODE}"
            found.append((m + 1, "explode", f"gradients explode: {words}"))
        return found


_TITLES = {
    "weights": "weights ‖W‖",
    "gradients": "gradients ‖∂C/∂W‖",
    "updates": "updates ‖ΔW‖ of a step",
    "deltas": "error signals, rms of n δ",
    "idle": "idle units, %",
}

_IDLE = {
    "relu": ("inactive", "a smaller learning rate or leaky_relu may help"),
    "sigmoid": ("saturated", "smaller first weights or scaled inputs may help"),
    "tanh": ("saturated", "smaller first weights or scaled inputs may help"),
}
_VANISH = "relu, fewer layers or larger first weights may help"
_EXPLODE = "a smaller learning rate, smaller first weights or clipping may help"


def _idle(function: Activation, a: np.ndarray) -> float:
    """The share of dead or saturated units; relu is 0 exactly where its slope is."""
    if function.name == "relu":
        return float(np.mean((a <= 0).all(axis=0)))
    if function.name == "sigmoid":
        slope = 4 * a * (1 - a)
    elif function.name == "tanh":
        slope = 1 - a * a
    else:
        return np.nan
    return float(np.mean((slope < FLAT).mean(axis=0) >= MOSTLY))
