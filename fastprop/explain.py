"""Backpropagation on a page of its own: one observation's two passes as HTML that loads nothing, to step through.

The numbers are those the kernels computed; `explain.html` draws them, and computes them anew when a reader edits one.
"""

from __future__ import annotations

import html
import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from . import checks, files, machine
from .activations import ACTIVATIONS
from .losses import LOSSES
from .network import Network
from .trace import Trace

#: Neurons of a layer that are shown one by one, as in the page's script; a wider layer is summarised.
MOST = 12
#: Parameters that fit on a page, some 20 bytes each.
LARGEST = 500_000

#: The worked examples: arguments of `Network`, parameters, x and t. XOR is the LMU lecture's, with the weights on its
#: slides; two-paths is a network of CSC311's, two-passes one of an online course's, with numbers of our own.
EXAMPLES: dict[str, tuple[dict[str, Any], list[float], list[float], list[float]]] = {
    "xor": (
        {"sizes": [2, 2, 1], "hidden": "sigmoid", "output": "sigmoid", "loss": "squared_error"},
        [-0.07, 0.94, 0.22, 0.46, -0.46, 0.10, -0.22, 0.58, 0.78],
        [1, 0],
        [1],
    ),
    "two-paths": (
        {"sizes": [3, 2, 2, 1], "hidden": "tanh", "output": "sigmoid", "loss": "squared_error"},
        [0.1, -0.2, 0.4, 0.3, -0.5, 0.6, 0.05, -0.05, 0.7, -0.1, 0.2, 0.5, 0.1, -0.1, 0.8, -0.6, 0.2],
        [1, -1, 0.5],
        [1],
    ),
    "two-passes": (
        {"sizes": [2, 2, 1], "hidden": "sigmoid", "output": "sigmoid", "loss": "squared_error"},
        [0.5, -0.4, 0.3, 0.8, 0, 0, 0.6, -0.4, 0.1],
        [1, 0.5],
        [0],
    ),
}


def page(net: Network, x: Any, t: Any, *, learning_rate: float = 0.5, title: str | None = None) -> str:
    """One observation's forward and backward pass as a self-contained HTML page.

    The passes are computed in float64 from the network's parameters, whatever its dtype, in buffers of their own. The
    page's script has the same formulas, so that input, target and weights can be edited and updated there.

    Parameters
    ----------
    net : Network
        At most 500,000 parameters. A layer of more than 12 neurons is summarised rather than drawn neuron by neuron.
    x : array_like, shape (D^(0),)
        The observation.
    t : array_like, shape (D^(L),), or a number
        Its target; for cross_entropy a number is a label.
    learning_rate : float
        α of the page's slider, ≥ 0.
    title : str, optional
        By default the network's sizes.

    Returns
    -------
    str
        HTML, to be written as UTF-8. Without JavaScript it still shows every number to four decimals.

    Raises
    ------
    TypeError, ValueError
        If x, t or the learning rate is not such a thing, or the page has no formula for an activation or the loss.

    Examples
    --------
    >>> net = fastprop.Network([2, 3, 1], hidden="tanh", seed=0)
    >>> text = fastprop.explain.page(net, [1.0, 0.0], 1.0)
    >>> text.startswith("<!doctype html>"), "https://" in text
    (True, False)
    """
    rate = checks.number("learning_rate", learning_rate, at_least=0)
    trace = _twin(net).trace(x, t)
    arrays = (np.array(trace.loss), *trace.pre_activations, *trace.activations, *trace.deltas)
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("net, x and t must give finite numbers, got some that overflow")
    from . import __version__

    title = html.escape(title or "-".join(map(str, net.sizes)))
    opening = {**trace.to_dict(steps=False), "learning_rate": rate}
    parts = {
        "title": title,
        "description": _description(title, trace),
        "numbers": "\n".join(_numbers(trace)),
        "network": json.dumps(opening, allow_nan=False).replace("<", "\\u003c"),  # "</script>" would end it
        "version": __version__,
    }
    template = resources.files(__package__).joinpath("explain.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda name: parts[name[1]], template)


def write(options: Namespace) -> int:
    """What ``fastprop explain`` does: write the page; return the exit code."""
    own = ("hidden", "output", "loss", "seed", "parameters")
    given = [f"--{name}" for name in own if getattr(options, name) is not None]
    if options.sizes and options.what:
        raise ValueError(f"--sizes must come without WHAT, since it makes a network of its own; got {options.what!r}")
    if given and not options.sizes:
        raise ValueError(f"{given[0]} must come with --sizes")
    what = options.what or ("" if options.sizes else "xor")
    x, t = options.input and list(chain(*options.input)), options.target and list(chain(*options.target))
    if what in EXAMPLES:
        arguments, parameters, *observation = EXAMPLES[what]
        net = Network(**arguments, dtype="float64", init="zeros", seed=0)
        net.set_parameters(parameters)
        x, t = x or observation[0], t or observation[1]
    elif what:
        if not Path(what).exists():
            raise ValueError(f"WHAT must be {', '.join(EXAMPLES)} or the file of a saved network, got {what!r}")
        net = files.load(what)
    else:
        names = [name for word in options.hidden or ["tanh"] for name in word.split(",")]
        net = Network(
            list(chain(*options.sizes)), names[0] if len(names) == 1 else names, options.output or "identity",
            loss=options.loss, dtype="float64", seed=options.seed or 0,
        )  # fmt: skip
        if options.parameters:
            net.set_parameters(list(chain(*options.parameters)))
    if not machine.is_cached("backward"):
        print("compiling the kernels, once ...", file=sys.stderr, flush=True)
    text = page(
        net,
        np.linspace(1, -1, net.sizes[0]) if x is None else x,
        np.eye(net.sizes[-1])[0] if t is None else t,
        learning_rate=options.learning_rate,
        title={"xor": "XOR"}.get(what, Path(what).name),
    )
    Path(options.html).write_text(text, encoding="utf-8")
    print(f"{options.html}: {len(text.encode()) / 1000:.0f} kB, to be opened in a browser")
    return 0


def _twin(net: Network) -> Network:
    """The same network in float64, with buffers of its own."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, got {net!r} ({type(net).__name__})")
    if net.num_parameters > LARGEST:
        raise ValueError(f"net must have at most {LARGEST:,} parameters to fit on a page, got {net.num_parameters:,}")
    for f in (*net.hidden_activations, net.output_activation):
        if f.name not in ACTIVATIONS:
            raise ValueError(f"net must have activations that the page can compute ({', '.join(ACTIVATIONS)}), got {f}")
    if net.loss.name not in LOSSES:
        raise ValueError(f"net must have a loss that the page can compute ({', '.join(LOSSES)}), got {net.loss}")
    hidden, output = list(net.hidden_activations), net.output_activation
    twin = Network(net.sizes, hidden, output, loss=net.loss, dtype="float64", init="zeros", seed=0)
    twin.set_parameters(net.get_parameters())
    return twin


def _description(title: str, trace: Trace) -> str:
    widths, names = " → ".join(map(str, trace.sizes)), ", ".join(f.name for f in trace.functions)
    parameters = sum(w.size + b.size for w, b in zip(trace.weights, trace.biases, strict=True))
    return (
        f"<strong>{title}</strong>: {widths} neurons, {names}; {trace.loss_function.name}; {parameters:,} parameters."
    )


# The tables. A cell's data-at is the key by which the script knows a quantity: name, layer and indices from 0. Inputs
# are what a reader can edit.


def _numbers(trace: Trace) -> Iterator[str]:
    """All that the two passes computed, layer by layer."""
    yield '<div class="numbers"><div>'
    yield from _table("Input", [("x", _vector("a 0", trace.x, edit=True))], len(trace.x))
    yield "</div><div>"
    yield from _table("Target", [("t", _vector("t 0", trace.t, edit=True))], len(trace.t))
    yield "</div><div>"
    yield from _table(f"Loss: {trace.loss_function.name}", [("C", [_cell("C 0", trace.loss)])], 1)
    yield '</div></div>\n<div class="numbers">'
    for i, function in enumerate(trace.functions):
        m, z, a, delta = i + 1, trace.pre_activations[i], trace.activations[i + 1], trace.deltas[i]
        slope = trace.slopes[i]  # of softmax a matrix, which is left out
        rows = [
            ("z", _vector(f"z {m}", z)),
            ("a", _vector(f"a {m}", a)),
            ("∂C/∂a", _vector(f"g {m}", trace.activation_gradients[i])),
            *([("σ′(z)", _vector(f"s {m}", slope))] if slope.ndim == 1 else []),
            ("δ = ∂C/∂z", _vector(f"d {m}", delta)),
            *_matrix("W", f"W {m}", trace.weights[i], edit=True),
            ("b", _vector(f"b {m}", trace.biases[i], edit=True)),
            *_matrix("∂C/∂W", f"gW {m}", trace.weight_gradients[i]),
            ("∂C/∂b", _vector(f"gb {m}", trace.bias_gradients[i])),
        ]
        yield "<div>"
        yield from _table(f"Layer {m}: {function.name}", rows, len(z))
        if len(z) > MOST:
            yield "<details><summary>Each neuron of this layer</summary>"
            for name, key, values in (("z", "z", z), ("a", "a", a), ("δ", "d", delta)):
                text = ", ".join(map(fixed, values.tolist()))
                yield f'<p class="values"><strong>{name}</strong>: <span data-all="{key} {m}">{text}</span></p>'
            yield "</details>"
        yield "</div>"
    yield "</div>"


def _table(caption: str, rows: list[tuple[str, list[str]]], width: int) -> Iterator[str]:
    yield f'<div class="scroll"><table><caption>{caption}</caption>'
    if 1 < width <= MOST:
        yield f"<thead><tr><th></th>{''.join(f'<th>{k}</th>' for k in range(1, width + 1))}</tr></thead>"
    for name, cells in rows:
        yield f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'
    yield "</table></div>"


def _vector(key: str, values: np.ndarray, edit: bool = False) -> list[str]:
    """A cell for each neuron, or one for a layer that is too wide."""
    if len(values) <= MOST:
        return [_cell(f"{key} {k}", value, edit) for k, value in enumerate(values.tolist())]
    if not edit:
        return [f'<td data-at="{key}">{_summary(values)}</td>']
    text = ", ".join(map(_typed, values.tolist()))
    area = f'<textarea rows="3" cols="44" aria-label="{_label(key)}">{text}</textarea>'
    return [f'<td data-at="{key}">{area}</td>']


def _matrix(name: str, key: str, values: np.ndarray, edit: bool = False) -> list[tuple[str, list[str]]]:
    """A row for each neuron below, or one for a layer that is too wide."""
    if max(values.shape) > MOST:
        width = 1 if values.shape[1] > MOST else values.shape[1]
        return [(name, [f'<td data-at="{key}" colspan="{width}">{_summary(values)}</td>'])]
    return [(f"{name}, from {j + 1}", _vector(f"{key} {j}", row, edit)) for j, row in enumerate(values)]


def _cell(key: str, value: float, edit: bool = False) -> str:
    text = fixed(value)
    if edit:
        text = f'<input type="number" step="any" aria-label="{_label(key)}" value="{_typed(value)}">'
    return f'<td data-at="{key}">{text}</td>'


def _typed(value: float) -> str:
    """As few digits as four decimals need; the script has the number itself."""
    text = fixed(value).replace("−", "-")
    return text if "e" in text else text.rstrip("0").rstrip(".")


def _label(key: str) -> str:
    """A key in words: W, layer 1, from 1, to 2."""
    name, m, *index = key.split()
    words = ("from", "to") if len(index) == 2 else ("neuron",) * len(index)
    layer = {"a": "x", "t": "t"}.get(name, f"{name}, layer {m}")
    return ", ".join([layer, *(f"{word} {int(i) + 1}" for word, i in zip(words, index, strict=True))])


def _summary(values: np.ndarray) -> str:
    low, high, norm = float(values.min()), float(values.max()), float(np.linalg.norm(values))
    return f"{fixed(low)} to {fixed(high)}, norm {fixed(norm)}"


def fixed(value: float) -> str:
    """A number to four decimals, or in powers of ten where these would say nothing; the script has its twin.

    Examples
    --------
    >>> fixed(-0.04522951), fixed(3.2e-7), fixed(0.0)
    ('−0.0452', '3.2000e−7', '0.0000')
    """
    size = abs(value)
    if size == 0 or 5e-5 <= size < 1e6:
        text = f"{size:.4f}"
    else:
        digits, power = f"{size:.4e}".split("e")
        text = f"{digits}e{int(power):+d}"
    return ("-" * (value < 0) + text).replace("-", "−")
