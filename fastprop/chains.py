"""The chain rule written out: a gradient as the sum over the paths that lead from its weight to the loss."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from . import checks
from .formulas import Quantity, json_numbers, number_in_formula, number_text

if TYPE_CHECKING:
    from .trace import Trace

#: Paths that a chain may have.
PATHS = 100_000


class Factor(NamedTuple):
    """A local derivative ∂above/∂below, and the stored quantity that it equals."""

    above: Quantity
    below: Quantity
    equals: Quantity

    def text(self) -> str:
        """As it is printed: ∂z^(2)[0]/∂a^(1)[1]."""
        return f"∂{self.above.text()}/∂{self.below.text()}"

    def latex(self) -> str:
        """In LaTeX."""
        return rf"\frac{{\partial {self.above.latex()}}}{{\partial {self.below.latex()}}}"


@dataclass(frozen=True)
class Path:
    """One way from a weight to the loss.

    Attributes
    ----------
    neurons : tuple of int
        The neurons it goes through, from the weight's own layer upwards, counted from 0.
    derivatives : tuple of Factor
        The local derivatives along it, from the loss down to the weight.
    values : tuple of float
        What they are.
    """

    neurons: tuple[int, ...]
    derivatives: tuple[Factor, ...]
    values: tuple[float, ...]

    @property
    def factors(self) -> list[tuple[str, float]]:
        """Name and value of each local derivative."""
        return [(factor.text(), value) for factor, value in zip(self.derivatives, self.values, strict=True)]

    @property
    def product(self) -> float:
        """What this path adds to the gradient."""
        return math.prod(self.values)


@dataclass(frozen=True)
class Chain:
    """∂C/∂W as the sum over paths of products of local derivatives: what `Trace.chain` returns.

    Attributes
    ----------
    weight : Quantity
    paths : list of Path
    stored : float
        The gradient that backpropagation computed.
    """

    weight: Quantity
    paths: list[Path]
    stored: float

    @property
    def sum(self) -> float:
        """The sum over the paths, which is the gradient."""
        return math.fsum(path.product for path in self.paths)

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 4, most: int = 24) -> str:
        """The local derivatives along each path, the numbers put in, their product, and the sum.

        Parameters
        ----------
        digits : int
            Decimals, as for `Trace.text`.
        most : int
            At most so many paths.

        Returns
        -------
        str
        """
        name = Quantity("dC_dW", *self.weight[1:]).text()
        lines = [f"{name}: {len(self.paths):,} path" + "s" * (len(self.paths) != 1)]
        for path in self.paths[:most]:
            lines.append("through " + " → ".join(map(str, path.neurons)))
            lines.append("    " + " · ".join(factor.text() for factor in path.derivatives))
            lines.append("  = " + " · ".join(number_in_formula(value, digits, "text") for value in path.values))
            lines.append("  = " + number_text(path.product, digits, "text"))
        if len(self.paths) > most:
            lines.append(f"… and {len(self.paths) - most:,} more paths")
        lines.append(f"sum over the paths: {number_text(self.sum, digits, 'text')}")
        lines.append(f"stored gradient:    {number_text(self.stored, digits, 'text')}")
        return "\n".join(lines)

    def latex(self, digits: int = 4, most: int = 24) -> str:
        """The same in LaTeX: one ``align*`` environment (package amsmath).

        Parameters
        ----------
        digits, most : int
            As for `text`.

        Returns
        -------
        str
        """
        shown = self.paths[:most]
        rest = r" + \dots" if len(self.paths) > most else ""
        symbols = [" ".join(factor.latex() for factor in path.derivatives) for path in shown]
        numbers = [
            r" \cdot ".join(number_in_formula(value, digits, "latex") for value in path.values) for path in shown
        ]
        products = [number_in_formula(path.product, digits, "latex") for path in shown]
        rows = [r" \\ &\quad + ".join(symbols), r" \\ &\quad + ".join(numbers), " + ".join(products)]
        sides = [row + rest for row in rows] + [number_text(self.sum, digits, "latex")]
        name = Quantity("dC_dW", *self.weight[1:]).latex()
        return "\\begin{align*}\n" + name + " &= " + " \\\\\n&= ".join(sides) + "\n\\end{align*}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers, strings, lists and dicts; ``docs/trace.md`` describes them."""
        return {
            "weight": self.weight.to_dict(),
            "paths": [
                {
                    "neurons": list(path.neurons),
                    "factors": [
                        {"text": factor.text(), "latex": factor.latex(), "value": json_numbers(value),
                         "equals": factor.equals.to_dict()}
                        for factor, value in zip(path.derivatives, path.values, strict=True)
                    ],
                    "product": json_numbers(path.product),
                }
                for path in self.paths
            ],
            "sum": json_numbers(self.sum),
            "stored": json_numbers(self.stored),
        }  # fmt: skip

    def json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)


def chain(trace: Trace, layer: int, j: int, k: int) -> Chain:
    """What `Trace.chain` does."""
    n_layers = len(trace.weights)
    layer = _between("layer", layer, 1, n_layers)
    j = _between("j", j, 0, trace.sizes[layer - 1] - 1)
    k = _between("k", k, 0, trace.sizes[layer] - 1)
    above = [range(width) for width in trace.sizes[layer + 1 :]]
    # A softmax couples its neurons: the path goes on from z[k] to every a[l]. Where δ^(L) is computed at once, it
    # is taken as it stands.
    coupled, at_once = trace.slopes[-1].ndim == 2, trace._at_once
    if coupled and not at_once:
        above.append(range(trace.sizes[-1]))
    count = math.prod(map(len, above))
    if count > PATHS:
        raise ValueError(
            f"layer must be one with at most {PATHS:,} paths to the loss, got layer {layer} with {count:,}; the "
            "sum over all of them is trace.weight_gradients"
        )
    weight = Quantity("W", layer, (j, k))
    paths = []
    for way in product(*above):
        neurons = (k, *way)
        last = neurons[n_layers - layer]  # of layer L
        end = neurons[-1]  # the same, except through a softmax
        if at_once:
            factors = [Factor(Quantity("C"), Quantity("z", n_layers, (last,)), Quantity("delta", n_layers, (last,)))]
        else:
            a, z = Quantity("a", n_layers, (end,)), Quantity("z", n_layers, (last,))
            slope = Quantity("slope", n_layers, (last, end) if coupled else (last,))
            factors = [Factor(Quantity("C"), a, Quantity("dC_da", n_layers, (end,))), Factor(a, z, slope)]
        for m in range(n_layers - 1, layer - 1, -1):
            here, there = neurons[m - layer], neurons[m - layer + 1]
            a, z = Quantity("a", m, (here,)), Quantity("z", m, (here,))
            factors.append(Factor(Quantity("z", m + 1, (there,)), a, Quantity("W", m + 1, (here, there))))
            factors.append(Factor(a, z, Quantity("slope", m, (here,))))
        factors.append(Factor(Quantity("z", layer, (k,)), weight, Quantity("a", layer - 1, (j,))))
        paths.append(Path(neurons, tuple(factors), tuple(trace.value(f.equals) for f in factors)))
    return Chain(weight, paths, trace.value(Quantity("dC_dW", layer, (j, k))))


def _between(argument: str, value: Any, low: int, high: int) -> int:
    index = checks.whole(argument, value, low)
    if index > high:
        raise ValueError(f"{argument} must be an integer from {low} to {high}, got {value!r}")
    return index
