"""Analytic gradients against central differences of the loss, for a user's own network and data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import checks
from .formulas import Quantity
from .network import Network

#: Largest error that passes, by the dtype in which the analytic gradient is computed.
TOLERANCE = {"float32": 1e-4, "float64": 1e-6}
#: Steps in float64, in units of max(1, |θ|): the first has truncation O(h²) and rounding O(ε/h) of equal size; the
#: others are for entries whose loss bends sharply or has a kink nearby.
STEPS = (6e-6, 6e-7, 6e-8)
EPSILON, TINY = 2.0**-52, 2.0**-1022  # of float64


class Entry(NamedTuple):
    """One parameter and its two gradients.

    ``error`` is their distance relative to the largest gradient of the same W or b, and ``kink`` whether the loss has a
    kink there: the analytic gradient was then compared with all slopes between those on either side.
    """

    parameter: Quantity
    analytic: float
    numeric: float
    error: float
    kink: bool


@dataclass(frozen=True)
class GradientCheck:
    """What `Network.gradcheck` found; ``print`` it.

    Attributes
    ----------
    entries : list of Entry
        What was compared, the worst first.
    num_parameters : int
        How many parameters the network has.
    tolerance : float
        The largest error that passes.
    dtype : str
        The network's.
    """

    entries: list[Entry]
    num_parameters: int
    tolerance: float
    dtype: str

    @property
    def passed(self) -> bool:
        """Whether no error is above the tolerance."""
        return self.error <= self.tolerance

    @property
    def error(self) -> float:
        """The largest error."""
        return self.entries[0].error

    def __str__(self) -> str:
        return self.text()

    def text(self, most: int = 5) -> str:
        """The verdict in words, and a table of the ``most`` worst entries."""
        count, kinks = len(self.entries), sum(entry.kink for entry in self.entries)
        whole = "all" if count == self.num_parameters else f"{count:,} of"
        lines = [
            f"{'passed' if self.passed else 'FAILED'}: {whole} {self.num_parameters:,} parameters compared, "
            f"largest error {self.error:.2g}, tolerance {self.tolerance:g} for {self.dtype}"
        ]
        if kinks:
            lines.append(f"{kinks:,} at a kink of the loss, compared with the slopes on either side")
        table = [("parameter", "analytic", "numeric", "error")]
        for entry in self.entries[:most]:
            numbers = (f"{entry.analytic:.9g}", f"{entry.numeric:.9g}", f"{entry.error:.2g}{' kink' * entry.kink}")
            table.append((entry.parameter.text(), *numbers))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join(lines)


def gradcheck(
    network: Network, X: Any, y: Any, sample_weight: Any = None, *, entries: int = 1000, seed: int = 0
) -> GradientCheck:
    """What `Network.gradcheck` does."""
    entries, seed = checks.whole("entries", entries, 1), checks.whole("seed", seed, 0)
    inputs, targets, labels = network._data("X", X, "y", y)
    weights = network._weights_of(sample_weight, len(inputs))
    network.forward(inputs)
    network.backward(y, sample_weight)

    # The differences are those of a twin in float64, with the same parameters and the data as the network sees them.
    twin = Network(**{**network._arguments(), "dtype": "float64", "threads": 1}, init="zeros")
    twin.set_parameters(network.get_parameters())
    data = (
        inputs.astype(np.float64), labels if len(labels) else targets.astype(np.float64),
        weights.astype(np.float64) if len(weights) else None,
    )  # fmt: skip

    def loss() -> float:
        return twin.evaluate(*data)

    here = loss()
    if not math.isfinite(here):
        raise ValueError(f"X and y must give a finite loss for a gradient check, got {here}")
    rng = np.random.default_rng(seed)
    found: list[Entry] = []
    share = max(1, entries // (2 * len(twin.weights)))  # of each W and b
    for m in range(len(twin.weights)):
        for name, values, analytic in (
            ("W", twin.weights[m], network.weight_gradients[m]),
            ("b", twin.biases[m], network.bias_gradients[m]),
        ):
            chosen = np.arange(values.size)
            if twin.num_parameters > entries and values.size > share:
                chosen = np.sort(rng.choice(values.size, share, replace=False))
            places = [tuple(map(int, np.unravel_index(i, values.shape))) for i in chosen]
            found += _compare(name, m + 1, values, analytic, places, loss, here, TOLERANCE[network.dtype.name])
    found.sort(key=lambda entry: -entry.error if math.isfinite(entry.error) else -math.inf)
    return GradientCheck(found, network.num_parameters, TOLERANCE[network.dtype.name], network.dtype.name)


def _compare(name, layer, values, analytic, places, loss, here, tolerance) -> list[Entry]:
    """The entries of one W or b."""
    slopes = [_slopes(values, place, STEPS[0], loss, here) for place in places]
    # What an error is measured by; and what rounding may make of a difference, where the gradient is all but zero.
    largest = max(float(np.abs(analytic).max()), *(abs(left + right) / 2 for left, right in slopes))
    scale = max(largest, abs(here) * EPSILON / (STEPS[0] * tolerance), TINY)
    found = []
    for place, first in zip(places, slopes, strict=True):
        value, sides = float(analytic[place]), [first]
        numeric, error, kink = sum(first) / 2, abs(value - sum(first) / 2) / scale, False
        for h in STEPS[1:] if not error <= tolerance else ():
            sides.append(_slopes(values, place, h, loss, here))
            if (closer := abs(value - sum(sides[-1]) / 2) / scale) < error:
                numeric, error = sum(sides[-1]) / 2, closer
        if not error <= tolerance:
            gaps = [abs(right - left) for left, right in sides]
            for (left, right), gap, next_gap in zip(sides, gaps, gaps[1:], strict=False):
                # On a smooth curve the gap shrinks with the step; where it stays, or goes at once, there is a kink.
                if gap > tolerance * scale and not 3 * next_gap < gap < 30 * next_gap:
                    outside = max(min(left, right) - value, value - max(left, right), 0.0) / scale
                    if outside < error:
                        error, kink, numeric = outside, True, (left + right) / 2
        found.append(Entry(Quantity(name, layer, place), value, numeric, error, kink))
    return found


def _slopes(values: np.ndarray, place: tuple[int, ...], h: float, loss, here: float) -> tuple[float, float]:
    """The slopes of the loss to the left and to the right of a parameter; their mean is the central difference."""
    value = float(values[place])
    step = h * max(1.0, abs(value))
    below, above = value - step, value + step
    values[place] = below
    left = (here - loss()) / (value - below)
    values[place] = above
    right = (loss() - here) / (above - value)
    values[place] = value
    return left, right
