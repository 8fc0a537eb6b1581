"""One observation's forward and backward pass laid open: every number of it, and the formula it comes from.

The numbers are copies of what the kernels computed. Two of them are not kept in a network's buffers, since the backward
pass goes over them: σ′ and ∂C/∂a^(L). They come from the same kernels on a network of one layer (`_slope` and
`_loss_gradient`); ∂C/∂a^(m) below the output is the sum that it is, Σ_k W^(m+1)[j,k] δ^(m+1)[k].
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from . import checks, formulas
from .activations import Activation
from .chains import Chain, chain
from .formulas import Quantity, Step, Term, json_numbers
from .losses import Loss
from .network import Network
from .optimizers import Optimizer


@dataclass
class Trace:
    """The forward and the backward pass of one observation as data: what `Network.trace` returns.

    Lists are by layer, 1..L at index 0..L−1; ``activations`` has a^(0) = x first. Arrays are copies in the network's
    dtype. ``str(trace)`` is `text`.

    Attributes
    ----------
    sizes : tuple of int
        D^(0)..D^(L).
    functions : list of Activation
        σ^(1)..σ^(L).
    loss_function : Loss
    x, t : ndarray, shapes (D^(0),) and (D^(L),)
        A class label is the row with a 1 in its place; with label smoothing t is what it becomes.
    loss : float
        C.
    weights, biases : list of ndarray, shapes (D^(m-1), D^(m)) and (D^(m),)
        W^(m) and b^(m) before the update.
    pre_activations, activations : list of ndarray, shape (D^(m),)
        z^(m) and a^(m).
    activation_gradients : list of ndarray, shape (D^(m),)
        ∂C/∂a^(m).
    slopes : list of ndarray, shape (D^(m),)
        σ^(m)′(z^(m)); for softmax (D^(L), D^(L)): ∂a[l]/∂z[k] at [k, l].
    deltas : list of ndarray, shape (D^(m),)
        δ^(m) = ∂C/∂z^(m).
    weight_gradients, bias_gradients : list of ndarray
        ∂C/∂W^(m) and ∂C/∂b^(m).
    optimizer : str
        What made the update; empty where there was none.
    learning_rate : float or None
        α, where the update was plain gradient descent, θ − α ∂C/∂θ.
    new_weights, new_biases, new_output, new_loss
        After the update; None without one. ``new_output`` is a^(L) for the same x.

    Examples
    --------
    >>> net = fastprop.Network([1, 1], init="zeros", dtype="float64")
    >>> trace = net.trace([2.0], 1.0, fastprop.SGD(0.1))
    >>> trace.deltas, trace.weight_gradients, trace.new_weights
    ([array([-1.])], [array([[-2.]])], [array([[0.2]])])
    """

    sizes: tuple[int, ...]
    functions: list[Activation]
    loss_function: Loss
    x: np.ndarray
    t: np.ndarray
    loss: float
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    pre_activations: list[np.ndarray]
    activations: list[np.ndarray]
    activation_gradients: list[np.ndarray]
    slopes: list[np.ndarray]
    deltas: list[np.ndarray]
    weight_gradients: list[np.ndarray]
    bias_gradients: list[np.ndarray]
    optimizer: str = ""
    learning_rate: float | None = None
    new_weights: list[np.ndarray] | None = None
    new_biases: list[np.ndarray] | None = None
    new_output: np.ndarray | None = None
    new_loss: float | None = None

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        update = f", updated by {self.optimizer}" if self.optimizer else ""
        return f"<Trace of {list(self.sizes)}, loss {self.loss:.4g}{update}>"

    def value(self, quantity: Quantity) -> float:
        """The number that ``quantity`` stands for.

        Parameters
        ----------
        quantity : Quantity

        Returns
        -------
        float
        """
        name, m, at = quantity
        if name.startswith("change_"):
            new, old = (self.value(Quantity(kind + name[-1], m, at)) for kind in ("new_", ""))
            return new - old
        if not at:
            number = {"C": self.loss, "new_C": self.new_loss, "alpha": self.learning_rate}[name]
            assert number is not None
            return number
        if name in ("t", "new_a"):
            array = self.t if name == "t" else self.new_output
        else:
            array = getattr(self, _ATTRIBUTES[name])[m if name == "a" else m - 1]
        assert array is not None
        return float(array[at])

    def steps(self) -> Iterator[Step]:
        """Every formula, in the order in which it is computed: forward, loss, backward, and the update if any.

        Yields
        ------
        Step
        """
        for _, _, steps in self._groups():
            yield from steps

    def chain(self, layer: int, j: int, k: int) -> Chain:
        """∂C/∂W^(layer)[j, k] as the sum over all paths from that weight to the loss.

        Parameters
        ----------
        layer : int
            1..L.
        j, k : int
            The weight from neuron j of layer−1 to neuron k of ``layer``, counted from 0.

        Returns
        -------
        Chain

        Raises
        ------
        TypeError, ValueError
            If there is no such weight, or more than 100,000 paths lead from it to the loss.

        Examples
        --------
        >>> net = fastprop.Network([1, 2, 1], init="zeros", dtype="float64")
        >>> net.set_parameters([1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0])
        >>> net.trace([1.0], 10.0).chain(1, 0, 1).paths[0].factors
        [('∂C/∂a^(2)[0]', 1.0), ('∂a^(2)[0]/∂z^(2)[0]', 1.0), ('∂z^(2)[0]/∂a^(1)[1]', 4.0), \
('∂a^(1)[1]/∂z^(1)[1]', 1.0), ('∂z^(1)[1]/∂W^(1)[0,1]', 1.0)]
        """
        return chain(self, layer, j, k)

    def text(self, digits: int = 4, most: int = 24) -> str:
        """Each formula, the numbers put in, and the result, as plain text.

        Parameters
        ----------
        digits : int
            Decimals. Numbers that have fewer are written with fewer, small and large ones in powers of ten.
        most : int
            At most so many formulas of one kind in a layer; of the others it says how many there are.

        Returns
        -------
        str
        """
        lines = []
        for title, lines_of, left_out in self._written("text", digits, most):
            lines += [title, "-" * len(title)] if title else []
            for name, *sides in lines_of:
                lines.append(f"{name} = {sides[0]}")
                lines += [f"{'':{len(name)}} = {side}" for side in sides[1:]]
            if left_out:
                lines.append(f"… and {left_out:,} more like these")
            lines.append("")
        return "\n".join(lines[:-1])

    def latex(self, digits: int = 4, most: int = 24) -> str:
        """The same in LaTeX: an ``align*`` environment (package amsmath) under each heading.

        Parameters
        ----------
        digits, most : int
            As for `text`.

        Returns
        -------
        str
        """
        lines = []
        for title, lines_of, left_out in self._written("latex", digits, most):
            lines += [rf"\paragraph{{{title}}}"] if title else []
            rows = [f"{name} &= " + r" \\ &= ".join(sides) for name, *sides in lines_of]
            rows += [rf"& \text{{\dots\ and {left_out:,} more like these}}"] if left_out else []
            lines += [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]
        return "\n".join(lines)

    def to_dict(self, steps: bool = True, digits: int = 4) -> dict[str, Any]:
        """All of it as numbers, strings, lists and dicts; ``docs/trace.md`` describes them.

        Parameters
        ----------
        steps : bool
            Whether to have every formula in it: there is one for each parameter, and more.
        digits : int
            Decimals of the numbers within formulas; all others are exact.

        Returns
        -------
        dict
        """
        layers = []
        for m in range(len(self.weights)):
            layer: dict[str, Any] = {"layer": m + 1, "activation": _described(self.functions[m])}
            for name in _BY_LAYER:
                layer[name] = json_numbers(getattr(self, name)[m + (name == "activations")])
            if self.new_weights is not None and self.new_biases is not None:
                layer["new_weights"] = json_numbers(self.new_weights[m])
                layer["new_biases"] = json_numbers(self.new_biases[m])
            layers.append(layer)
        result: dict[str, Any] = {
            "format": "fastprop trace",
            "version": 1,
            "sizes": list(self.sizes),
            "dtype": self.x.dtype.name,
            "loss_function": _described(self.loss_function),
            "x": json_numbers(self.x),
            "t": json_numbers(self.t),
            "loss": json_numbers(self.loss),
            "layers": layers,
        }
        if self.optimizer:
            result["update"] = {
                "optimizer": self.optimizer,
                "learning_rate": self.learning_rate,
                "output": json_numbers(self.new_output),
                "loss": json_numbers(self.new_loss),
            }
        if steps:
            result["steps"] = [self._step_to_dict(step, digits) for step in self.steps()]
        return result

    def json(self, steps: bool = True, digits: int = 4, indent: int | None = None) -> str:
        """`to_dict` as JSON; NaN and infinity, which JSON has not, are null.

        Parameters
        ----------
        steps, digits
            As for `to_dict`.
        indent : int, optional
            Spaces for each level; by default everything is on one line.

        Returns
        -------
        str

        Examples
        --------
        >>> import json
        >>> trace = fastprop.Network([1, 1], init="zeros").trace([2.0], 1.0)
        >>> json.loads(trace.json())["layers"][0]["deltas"]
        [-1.0]
        """
        return json.dumps(self.to_dict(steps, digits), ensure_ascii=False, allow_nan=False, indent=indent)

    # How it is written.

    @property
    def _at_once(self) -> bool:
        """Whether δ^(L) is computed as a − t, with no ∂C/∂a on the way."""
        pair = (self.functions[-1].name, self.loss_function.name)
        return pair in (("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy"))

    def _written(self, language: str, digits: int, most: int) -> Iterator[tuple[str, list[list[str]], int]]:
        """The groups of formulas: a title or "", left and right sides of each, and how many were left out."""
        title = ""
        for heading, count, steps in self._groups():
            written = [step.write(language, self.value, digits) for step in islice(steps, most)]
            yield (
                heading if heading != title else "",
                [list(dict.fromkeys(sides.values())) for sides in written],
                max(0, count - most),
            )
            title = heading

    def _step_to_dict(self, step: Step, digits: int) -> dict[str, Any]:
        return {
            "phase": step.phase,
            **step.quantity.to_dict(),
            "value": json_numbers(self.value(step.quantity)),
            "uses": [use.to_dict() for use in step.uses],
            "text": step.write("text", self.value, digits),
            "latex": step.write("latex", self.value, digits),
        }

    # The formulas, group by group: heading, number of steps, the steps.

    def _groups(self) -> Iterator[tuple[str, int, Iterator[Step]]]:
        n_layers, sizes = len(self.weights), self.sizes
        for m in range(1, n_layers + 1):
            heading = f"Forward, layer {m}: {self.functions[m - 1].name}"
            yield heading, sizes[m], (self._z(m, k) for k in range(sizes[m]))
            yield heading, sizes[m], (self._a(m, k) for k in range(sizes[m]))
        yield f"Loss: {self.loss_function.name}", 1, iter([self._loss()])
        for m in range(n_layers, 0, -1):
            heading, width, weights = f"Backward, layer {m}", sizes[m], sizes[m - 1] * sizes[m]
            if not (m == n_layers and self._at_once):
                yield heading, width, (self._dC_da(m, k) for k in range(width))
                if self.slopes[m - 1].ndim == 1:
                    yield heading, width, (self._slope(m, k) for k in range(width))
            yield heading, width, (self._delta(m, k) for k in range(width))
            yield heading, weights, (self._dC_dW(m, *jk) for jk in np.ndindex(sizes[m - 1], width))
            yield heading, width, (self._dC_db(m, k) for k in range(width))
        if self.optimizer:
            heading = f"Update: {self.optimizer}"
            for m in range(1, n_layers + 1):
                weights = sizes[m - 1] * sizes[m]
                yield heading, weights, (self._new("W", m, jk) for jk in np.ndindex(sizes[m - 1], sizes[m]))
                yield heading, sizes[m], (self._new("b", m, (k,)) for k in range(sizes[m]))
            after = "After the update, for the same x"
            yield after, sizes[-1], (self._new("a", n_layers, (k,)) for k in range(sizes[-1]))
            yield after, 1, iter([self._new("C", 0, ())])

    def _row(self, name: str, m: int) -> tuple[Quantity, ...]:
        return tuple(Quantity(name, m, (k,)) for k in range(self.sizes[m]))

    def _z(self, m: int, k: int) -> Step:
        below = self._row("a", m - 1)
        terms = tuple(formulas.product(a, Quantity("W", m, (j, k))) for j, a in enumerate(below))
        plus_bias = Term("{sum} + {0}", "{sum} + {0}", (Quantity("b", m, (k,)),))
        return Step("forward", Quantity("z", m, (k,)), plus_bias, terms)

    def _a(self, m: int, k: int) -> Step:
        row = self._row("z", m)
        return Step("forward", Quantity("a", m, (k,)), *formulas.activation(self.functions[m - 1], row[k], row))

    def _loss(self) -> Step:
        last = len(self.weights)
        return Step(
            "loss", Quantity("C"), *formulas.loss(self.loss_function, self._row("t", last), self._row("a", last))
        )

    def _dC_da(self, m: int, k: int) -> Step:
        quantity = Quantity("dC_da", m, (k,))
        if m == len(self.weights):
            t, a = Quantity("t", m, (k,)), Quantity("a", m, (k,))
            return Step("backward", quantity, formulas.loss_slope(self.loss_function, t, a, self.sizes[m]))
        above = self._row("delta", m + 1)
        terms = tuple(formulas.product(Quantity("W", m + 1, (k, i)), delta) for i, delta in enumerate(above))
        return Step("backward", quantity, *formulas.total(terms))

    def _slope(self, m: int, k: int) -> Step:
        z, a = Quantity("z", m, (k,)), Quantity("a", m, (k,))
        return Step("backward", Quantity("slope", m, (k,)), formulas.slope(self.functions[m - 1], z, a))

    def _delta(self, m: int, k: int) -> Step:
        quantity = Quantity("delta", m, (k,))
        if m == len(self.weights) and self._at_once:
            t, a = Quantity("t", m, (k,)), Quantity("a", m, (k,))
            return Step("backward", quantity, formulas.error_at_once(self.loss_function, t, a, self.sizes[m]))
        gradients = self._row("dC_da", m)
        if self.slopes[m - 1].ndim == 2:
            terms = tuple(formulas.product(g, Quantity("slope", m, (k, i))) for i, g in enumerate(gradients))
            return Step("backward", quantity, *formulas.total(terms))
        return Step("backward", quantity, formulas.product(gradients[k], Quantity("slope", m, (k,))))

    def _dC_dW(self, m: int, j: int, k: int) -> Step:
        formula = formulas.product(Quantity("a", m - 1, (j,)), Quantity("delta", m, (k,)))
        return Step("backward", Quantity("dC_dW", m, (j, k)), formula)

    def _dC_db(self, m: int, k: int) -> Step:
        return Step("backward", Quantity("dC_db", m, (k,)), Term("{0}", "{0}", (Quantity("delta", m, (k,)),)))

    def _new(self, name: str, m: int, index: tuple[int, ...]) -> Step:
        old = Quantity(name, m, index)
        if name not in "Wb" or self.learning_rate is None:
            formula = Term("{0} + {1}", "{0} + {1}", (old, Quantity(f"change_{name}", m, index)))
        else:
            uses = (old, Quantity("alpha"), Quantity(f"dC_d{name}", m, index))
            formula = Term("{0} - {1}·{2}", r"{0} - {1} \cdot {2}", uses)
        return Step("update", Quantity(f"new_{name}", m, index), formula)


def trace(network: Network, x: Any, t: Any, optimizer: str | Optimizer | None = None) -> Trace:
    """What `Network.trace` does."""
    width = network.sizes[-1]
    inputs = _row("x", x, network.sizes[0], network.dtype)
    if not np.isfinite(inputs).all():
        j = int(np.argmin(np.isfinite(inputs[0])))
        raise ValueError(f"x must be finite, got {inputs[0, j]} at index {j}")
    if network.loss.name == "cross_entropy" and np.ndim(t) < 2 and np.size(t) == 1:
        y = checks.any_array("t", t).reshape(1)  # a label
    else:
        y = _row("t", t, width, network.dtype)
    targets, labels = network._targets("t", y, 1)
    if network._bad_targets(targets, labels).any():
        network._blame_targets("t", targets, labels)
    target = np.eye(width, dtype=network.dtype)[labels[0]] if len(labels) else targets[0].copy()
    if smoothing := network.loss._arguments().get("label_smoothing"):
        target = (1 - smoothing) * target + smoothing / width
    rule = None if optimizer is None else network._optimizer(optimizer)

    network.forward(inputs)
    loss = network.backward(y)
    functions = [*network.hidden_activations, network.output_activation]
    z, a, deltas = ([array[0].copy() for array in getattr(network, name)] for name in _ROWS)
    weights, biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
    result = Trace(
        sizes=network.sizes,
        functions=functions,
        loss_function=network.loss,
        x=a[0],
        t=target,
        loss=loss,
        weights=weights,
        biases=biases,
        pre_activations=z,
        activations=a,
        activation_gradients=[w @ delta for w, delta in zip(weights[1:], deltas[1:], strict=True)]
        + [_loss_gradient(network.loss, a[-1], y)],
        slopes=[_slope(function, *za) for function, *za in zip(functions, z, a[1:], strict=True)],
        deltas=deltas,
        weight_gradients=[w.copy() for w in network.weight_gradients],
        bias_gradients=[b.copy() for b in network.bias_gradients],
    )
    if rule is not None:
        rate = rule.learning_rate  # of this step: a schedule's is another after it
        network.step(rule)
        result.optimizer = repr(rule)
        result.new_weights = [w.copy() for w in network.weights]
        result.new_biases = [b.copy() for b in network.biases]
        result.new_output = network.predict(inputs)[0]
        result.new_loss = network.evaluate(inputs, y)
        result.learning_rate = rate if _is_plain_descent(result, rate) else None
    return result


def _slope(function: Activation, z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """σ′(z) by the kernels: δ of a neuron with weight 1 and bias 0, on z as the observations, from ∂C/∂a = 1.

    For softmax the Jacobian diag(a) − a aᵀ.
    """
    if function.name == "softmax":
        return np.diag(a) - np.outer(a, a)
    neuron = Network([1, 1], output=function, loss="mse", dtype=z.dtype, init="zeros", seed=0)
    neuron.weights[0][...] = 1
    finite = np.isfinite(z)
    neuron.forward(np.where(finite, z, 0)[:, None])
    neuron.backward_from(np.ones((len(z), 1), z.dtype))
    return np.where(finite, neuron.deltas[0][:, 0], np.nan).astype(z.dtype)


def _loss_gradient(loss: Loss, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """∂C/∂a^(L) by the kernels: δ of an identity layer that hands on a."""
    if not np.isfinite(a).all():
        return np.full_like(a, np.nan)
    layer = Network([len(a), len(a)], output="identity", loss=loss, dtype=a.dtype, init="zeros", seed=0)
    np.fill_diagonal(layer.weights[0], 1)
    layer.forward(a[None])
    layer.backward(y)
    return layer.deltas[0][0].copy()


def _is_plain_descent(trace: Trace, rate: float) -> bool:
    """Whether the update was θ − α ∂C/∂θ and nothing else, to a few units in the last place."""
    assert trace.new_weights is not None
    assert trace.new_biases is not None
    close = 4 * np.finfo(trace.x.dtype).eps
    return all(
        (np.abs(new - (old - rate * gradient)) <= close * (np.abs(old) + np.abs(new))).all()
        for old, new, gradient in zip(
            [*trace.weights, *trace.biases],
            [*trace.new_weights, *trace.new_biases],
            [*trace.weight_gradients, *trace.bias_gradients],
            strict=True,
        )
    )


def _row(argument: str, value: Any, width: int, dtype: np.dtype) -> np.ndarray:
    """One observation or target as a row, (1, width)."""
    array = checks.real_array(argument, value, dtype)
    if array.shape not in ((width,), (1, width)) and not (width == 1 and array.ndim == 0):
        raise ValueError(f"{argument} must be one row of shape ({width},), got shape {array.shape}")
    return array.reshape(1, width)


# What is where.

#: What of the buffers is copied row by row.
_ROWS = ("pre_activations", "activations", "deltas")

_ATTRIBUTES = {
    "z": "pre_activations",
    "a": "activations",
    "W": "weights",
    "b": "biases",
    "slope": "slopes",
    "dC_da": "activation_gradients",
    "delta": "deltas",
    "dC_dW": "weight_gradients",
    "dC_db": "bias_gradients",
    "new_W": "new_weights",
    "new_b": "new_biases",
}

_BY_LAYER = (
    "weights", "biases", "pre_activations", "activations", "activation_gradients", "slopes", "deltas",
    "weight_gradients", "bias_gradients",
)  # fmt: skip


def _described(function: Activation | Loss) -> dict[str, Any]:
    return {"name": function.name, "parameter": function._parameter}
