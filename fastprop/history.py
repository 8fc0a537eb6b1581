"""What ``fit`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .checks import whole


@dataclass
class History:
    """The course of one ``fit``, an entry for each epoch.

    Attributes
    ----------
    loss : list of float
        Mean of the batch losses before each update, weighted by the batches' rows; penalties excluded.
    validation_loss : list of float
        Loss of the validation data after each epoch; empty without validation data.
    metrics : dict of str to list of float
        Metrics after each epoch by name, those of the validation data by "validation\\_" and the name; empty where none
        were asked for.
    seconds : list of float
        Wall time of each epoch's training, without validation, metrics and callbacks. Epochs that one compiled call ran
        share its time equally.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    def __getitem__(self, name: str) -> list[float]:
        """A column by name: loss, validation_loss, seconds, or a metric's."""
        if name in ("loss", "validation_loss", "seconds"):
            return getattr(self, name)
        return self.metrics[name]

    def names(self) -> list[str]:
        """The names of the columns that have entries.

        Examples
        --------
        >>> fastprop.History(loss=[0.5], seconds=[0.1]).names()
        ['loss', 'seconds']
        """
        return [name for name in ("loss", "validation_loss", *self.metrics, "seconds") if self[name]]

    def table(self, rows: int = 20) -> str:
        """The history as text: a line for each epoch, or for ``rows`` of them, first and last included.

        Parameters
        ----------
        rows : int
            At least 2.

        Returns
        -------
        str

        Raises
        ------
        TypeError, ValueError
            If ``rows`` is not such a number.

        Examples
        --------
        >>> print(fastprop.History(loss=[0.5, 0.25], metrics={"r2": [0.1, 0.7]}, seconds=[0.001, 0.001]).table())
        epoch    loss      r2  seconds
            1     0.5     0.1    0.001
            2    0.25     0.7    0.001
        """
        rows, n = whole("rows", rows, 2), len(self)
        chosen = range(n) if n <= rows else [round(i * (n - 1) / (rows - 1)) for i in range(rows)]
        columns = {"epoch": [str(i + 1) for i in chosen]}
        for name in self.names():
            columns[name] = [f"{self[name][i]:.4g}" for i in chosen]
        widths = [max(len(name), name != "epoch" and 6, *map(len, cells)) for name, cells in columns.items()]
        lines = [columns, *zip(*columns.values(), strict=True)]
        return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)

    def plot(self, axes: Any = None) -> Any:
        """Learning curves: the losses of both sets, and beside them metrics (needs matplotlib, in the extra ``plot``).

        Parameters
        ----------
        axes : matplotlib Axes or sequence of Axes, optional
            Where to draw: one for the losses and, where there are metrics, one for them. By default a new figure's.

        Returns
        -------
        list of matplotlib Axes
            Their ``figure`` can be shown or saved.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there are fewer axes than needed.

        Examples
        --------
        >>> axes = fastprop.History(loss=[0.5, 0.25]).plot()  # doctest: +SKIP
        >>> axes[0].figure.savefig("curves.png")  # doctest: +SKIP
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'fastprop-numba[plot]'") from error
        panels = [["loss", "validation_loss"], list(self.metrics)]
        panels = [kept for panel in panels if (kept := [name for name in panel if self[name]])]
        if axes is None:
            _, axes = plt.subplots(1, max(1, len(panels)), figsize=(5 * max(1, len(panels)), 3.5), layout="constrained")
        axes = list(np.atleast_1d(axes))
        if len(axes) < len(panels):
            raise ValueError(f"axes must be {len(panels)}, for losses and metrics, got {len(axes)}")
        for ax, panel in zip(axes, panels, strict=False):
            colours: dict[str, Any] = {}
            for name in panel:
                base = name.removeprefix("validation_")
                style = "-" if name == base else "--"
                (line,) = ax.plot(
                    range(1, len(self) + 1), self[name], style, label=name.replace("_", " "), color=colours.get(base)
                )
                colours[base] = line.get_color()
            ax.set_xlabel("epoch")
            ax.legend()
            ax.xaxis.get_major_locator().set_params(integer=True)
        return axes
