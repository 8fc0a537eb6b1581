"""How a trace is written: the symbol of each quantity, the formula of each step, and the numbers put in.

A formula exists as text and in LaTeX, with {0}, {1}, … where symbols or numbers go. As text it is written so that
Python computes the same once ``·`` is ``*``, ``²`` is ``**2``, ``³`` is ``**3`` and ``½`` is ``0.5``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .activations import Activation
from .losses import Loss

#: Terms of a sum that are written out; a longer one has an ellipsis before its last.
TERMS = 8


class Quantity(NamedTuple):
    """A number of a trace: its name ("z", "a", "W", …), its layer, and at which index, counted from 0.

    x[j] is ("a", 0, (j,)), and σ′(z^(m)[k]) is ("slope", m, (k,)); the other names are b, dC_da, delta, dC_dW, dC_db,
    t, C and alpha, and new_ or change_ before a, W, b, C after an update.
    """

    name: str
    layer: int = 0
    at: tuple[int, ...] = ()

    def text(self) -> str:
        """As it is printed: z^(1)[0]."""
        name, m, at = self
        if name.startswith("new_"):
            return f"new {self._replace(name=name[4:]).text()}"
        if name.startswith("change_"):
            return f"Δ{self._replace(name=name[7:]).text()}"
        if name.startswith("dC_d"):
            return f"∂C/∂{self._replace(name=name[4:]).text()}"
        if name == "slope" and len(at) == 2:  # of softmax
            return f"∂{Quantity('a', m, at[1:]).text()}/∂{Quantity('z', m, at[:1]).text()}"
        if name == "slope":
            return f"σ′({Quantity('z', m, at).text()})"
        if name == "a" and m == 0:
            name = "x"
        layer = "" if name in ("x", "t", "C", "alpha") else f"^({m})"
        return _TEXT_NAMES.get(name, name) + layer + (f"[{','.join(map(str, at))}]" if at else "")

    def latex(self) -> str:
        """In LaTeX: z^{(1)}_{0}."""
        name, m, at = self
        if name.startswith("new_"):
            return rf"{{{self._replace(name=name[4:]).latex()}}}_{{\text{{new}}}}"
        if name.startswith("change_"):
            return rf"\Delta {self._replace(name=name[7:]).latex()}"
        if name.startswith("dC_d"):
            return rf"\frac{{\partial C}}{{\partial {self._replace(name=name[4:]).latex()}}}"
        if name == "slope" and len(at) == 2:
            a, z = Quantity("a", m, at[1:]), Quantity("z", m, at[:1])
            return rf"\frac{{\partial {a.latex()}}}{{\partial {z.latex()}}}"
        if name == "slope":
            return rf"\sigma'({Quantity('z', m, at).latex()})"
        if name == "a" and m == 0:
            name = "x"
        layer = "" if name in ("x", "t", "C", "alpha") else f"^{{({m})}}"
        return _LATEX_NAMES.get(name, name) + layer + (f"_{{{','.join(map(str, at))}}}" if at else "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "layer": self.layer, "at": list(self.at)}


_TEXT_NAMES = {"delta": "δ", "alpha": "α"}
_LATEX_NAMES = {"delta": r"\delta", "alpha": r"\alpha"}


class Term(NamedTuple):
    """A formula as text and in LaTeX, with {0}, {1}, … for the numbers of ``uses``."""

    text: str
    latex: str
    uses: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class Step:
    """One line of a trace: how ``quantity`` follows from others.

    Attributes
    ----------
    phase : str
        "forward", "loss", "backward" or "update".
    quantity : Quantity
        What is computed.
    formula : Term
        {sum} in it stands for the sum of ``terms``.
    terms : tuple of Term
    """

    phase: str
    quantity: Quantity
    formula: Term
    terms: tuple[Term, ...] = ()

    @property
    def uses(self) -> tuple[Quantity, ...]:
        """The numbers that go into it, each once."""
        return tuple(dict.fromkeys(use for term in (*self.terms, self.formula) for use in term.uses))

    def write(self, language: str, value: Callable[[Quantity], float], digits: int) -> dict[str, str]:
        """In "text" or "latex": the left side, the formula, the same with the numbers that ``value`` gives, the result.

        The keys are name, formula, numbers and result.
        """

        def number(quantity: Quantity) -> str:
            return number_in_formula(value(quantity), digits, language)

        symbol = Quantity.text if language == "text" else Quantity.latex
        result = number_text(value(self.quantity), digits, language)
        numbers = self._filled(language, number)
        return {
            "name": symbol(self.quantity),
            "formula": self._filled(language, symbol),
            "numbers": result if numbers == f"({result})" else numbers,
            "result": result,
        }

    def _filled(self, language: str, put: Callable[[Quantity], str]) -> str:
        def filled(term: Term, **more: str) -> str:
            return getattr(term, language).format(*map(put, term.uses), **more)

        if len(self.terms) <= TERMS:
            terms = [filled(term) for term in self.terms]
        else:
            dots = "…" if language == "text" else r"\dots"
            terms = [*map(filled, self.terms[: TERMS - 2]), dots, filled(self.terms[-1])]
        return filled(self.formula, sum=" + ".join(terms))


# Formulas of the built-in activations and losses, whose names are theirs alone. {p} is the parameter.

#: σ(z), {0} = z; softmax is apart.
_ACTIVATIONS = {
    "identity": ("{0}", "{0}"),
    "sigmoid": ("1 / (1 + exp(-{0}))", r"\frac{{1}}{{1 + e^{{-{0}}}}}"),
    "tanh": ("tanh({0})", r"\tanh {0}"),
    "relu": ("max(0, {0})", r"\max(0, {0})"),
    "leaky_relu": ("{0} if {0} > 0 else {p}·{0}", r"\max(0, {0}) + {p} \min(0, {0})"),
    "elu": ("{0} if {0} > 0 else {p}·(exp({0}) - 1)", r"\max(0, {0}) + {p} (e^{{\min(0, {0})}} - 1)"),
    "softplus": ("log(1 + exp({0}))", r"\log(1 + e^{{{0}}})"),
    "silu": ("{0} / (1 + exp(-{0}))", r"\frac{{{0}}}{{1 + e^{{-{0}}}}}"),
    "gelu": (
        "½·{0}·(1 + tanh(sqrt(2/pi)·({0} + 0.044715·{0}³)))",
        r"\tfrac{{1}}{{2}} {0} \left(1 + \tanh\left(\sqrt{{2/\pi}} ({0} + 0.044715 \cdot {{{0}}}^3)\right)\right)",
    ),
}

#: σ′(z): what {0} and {1} are, z or a, then the formula.
_SLOPES = {
    "identity": ("z", "1", "1"),
    "sigmoid": ("a", "{0}·(1 - {0})", "{0} (1 - {0})"),
    "tanh": ("a", "1 - {0}²", "1 - {{{0}}}^2"),
    "relu": ("z", "1 if {0} > 0 else 0", "[{0} > 0]"),
    "leaky_relu": ("z", "1 if {0} > 0 else {p}", r"[{0} > 0] + {p} [{0} \leq 0]"),
    "elu": ("z", "1 if {0} > 0 else {p}·exp({0})", r"[{0} > 0] + {p} e^{{{0}}} [{0} \leq 0]"),
    "softplus": ("z", "1 / (1 + exp(-{0}))", r"\frac{{1}}{{1 + e^{{-{0}}}}}"),
    "silu": (
        "za",
        "(1 + {1}·exp(-{0})) / (1 + exp(-{0}))",
        r"\frac{{1 + {1} e^{{-{0}}}}}{{1 + e^{{-{0}}}}}",
    ),
}

#: What one output adds to the loss, {0} = t and {1} = a.
_LOSSES = {
    "squared_error": ("({0} - {1})²", "({0} - {1})^2"),
    "mse": ("({0} - {1})²", "({0} - {1})^2"),
    "mae": ("abs({0} - {1})", "|{0} - {1}|"),
    "huber": (
        "(½·({0} - {1})² if abs({0} - {1}) <= {p} else {p}·(abs({0} - {1}) - ½·{p}))",
        r"\mathrm{{Huber}}_{{{p}}}({0} - {1})",
    ),
    "binary_cross_entropy": (
        "(-{0}·log({1}) - (1 - {0})·log(1 - {1}))",
        r"\left(-{0} \log {1} - (1 - {0}) \log(1 - {1})\right)",
    ),
    "cross_entropy": ("(-{0}·log({1}))", r"(-{0} \log {1})"),
    "poisson": ("({1} - {0}·log({1}))", r"({1} - {0} \log {1})"),
}

#: The derivative of that with respect to a (of squared_error, with its ½).
_LOSS_SLOPES = {
    "squared_error": ("{1} - {0}", "{1} - {0}"),
    "mse": ("2·({1} - {0})", "2 ({1} - {0})"),
    "mae": ("sign({1} - {0})", r"\mathrm{{sign}}({1} - {0})"),
    "huber": ("max(-{p}, min({p}, {1} - {0}))", r"\max(-{p}, \min({p}, {1} - {0}))"),
    "binary_cross_entropy": (
        "(1 - {0}) / (1 - {1}) - {0} / {1}",
        r"\frac{{1 - {0}}}{{1 - {1}}} - \frac{{{0}}}{{{1}}}",
    ),
    "cross_entropy": ("-{0} / {1}", r"-\frac{{{0}}}{{{1}}}"),
    "poisson": ("1 - {0} / {1}", r"1 - \frac{{{0}}}{{{1}}}"),
}

_SUMMED = ("squared_error", "cross_entropy")  # over the outputs; of the others it is the mean


def product(*uses: Quantity) -> Term:
    """u·v."""
    return Term("{0}·{1}", r"{0} \cdot {1}", uses)


def total(terms: tuple[Term, ...]) -> tuple[Term, tuple[Term, ...]]:
    """Formula and terms of a plain sum."""
    return Term("{sum}", "{sum}"), terms


def activation(function: Activation, z: Quantity, row: tuple[Quantity, ...]) -> tuple[Term, tuple[Term, ...]]:
    """Formula and terms of σ(z); ``row`` is the whole layer's z, which softmax needs."""
    if function.name == "softmax":
        formula = Term("exp({0}) / ({sum})", r"\frac{{e^{{{0}}}}}{{{sum}}}", (z,))
        return formula, tuple(Term("exp({0})", "e^{{{0}}}", (each,)) for each in row)
    formulas = _ACTIVATIONS.get(function.name) or _called(function.name)
    return _term(function, *formulas, uses=(z,)), ()


def slope(function: Activation, z: Quantity, a: Quantity) -> Term:
    """σ′(z) where σ is elementwise."""
    names, *formulas = _SLOPES.get(function.name) or ("z", *_called(function.name, "′"))
    return _term(function, *formulas, uses=tuple({"z": z, "a": a}[name] for name in names))


def loss(function: Loss, t: tuple[Quantity, ...], a: tuple[Quantity, ...]) -> tuple[Term, tuple[Term, ...]]:
    """Formula and terms of C."""
    formulas = _LOSSES.get(function.name)
    if formulas is None:
        text, latex = (side.format("t, a") for side in _called(function.name))
        return Term(text, latex), ()
    terms = tuple(_term(function, *formulas, uses=pair) for pair in zip(t, a, strict=True))
    if function.name != "squared_error":
        return _mean(function, Term("{sum}", "{sum}"), len(terms)), terms
    if len(terms) == 1:
        return Term("½·{sum}", r"\tfrac{{1}}{{2}} {sum}"), terms
    return Term("½·({sum})", r"\tfrac{{1}}{{2}} \left({sum}\right)"), terms


def loss_slope(function: Loss, t: Quantity, a: Quantity, width: int) -> Term:
    """∂C/∂a[k], of ``width`` outputs."""
    formulas = _LOSS_SLOPES.get(function.name) or _called(function.name, "′")
    return _mean(function, _term(function, *formulas, uses=(t, a)), width)


def error_at_once(function: Loss, t: Quantity, a: Quantity, width: int) -> Term:
    """δ^(L) = ∂C/∂z of sigmoid with binary_cross_entropy, and of softmax with cross_entropy."""
    return _mean(function, Term("{0} - {1}", "{0} - {1}", (a, t)), width)


def _mean(function: Loss, term: Term, width: int) -> Term:
    if width == 1 or function.name in _SUMMED or function.name not in _LOSSES:
        return term
    return Term(f"({term.text}) / {width}", rf"\tfrac{{{{1}}}}{{{{{width}}}}} \left({term.latex}\right)", term.uses)


def _term(function: Activation | Loss, *formulas: str, uses: tuple[Quantity, ...]) -> Term:
    """The formula with the function's parameter put in."""
    text, latex = (formula.replace("{p}", f"{function._parameter:g}") for formula in formulas)
    return Term(text, latex, uses)


def _called(name: str, mark: str = "") -> tuple[str, str]:
    """The formula of a function of which only the name is known."""
    plain = re.sub(r"[{}\\]", "", name)
    escaped = plain.replace("_", r"\_")
    return f"{plain}{mark}({{0}})", rf"\mathrm{{{{{escaped}}}}}{mark and chr(39)}({{0}})"


# Numbers.


def number_text(value: float, digits: int, language: str) -> str:
    """A number with so many decimals, in powers of ten where it is small or large.

    Zeros at the end say that there is more behind them: 0.5 is 0.5, and 0.50001 is 0.5000.
    """
    if not math.isfinite(value):
        return str(value) if language == "text" else rf"\text{{{value}}}"
    small_or_large = value != 0 and not 1e-3 <= abs(value) < 1e6
    written = f"{value:.{digits}{'e' if small_or_large else 'f'}}"
    mantissa, _, exponent = written.partition("e")
    if "." in mantissa and abs(float(written) - value) <= 1e-7 * abs(value):  # float32 has no more
        mantissa = mantissa.rstrip("0").rstrip(".")
    if not exponent:
        return mantissa
    return f"{mantissa}e{int(exponent)}" if language == "text" else rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def number_in_formula(value: float, digits: int, language: str) -> str:
    """The same within a formula: negative numbers and powers of ten have parentheses."""
    number = number_text(value, digits, language)
    return f"({number})" if value < 0 or r"\cdot" in number else number


def json_numbers(value: Any) -> Any:
    """A float, or lists of them as deep as ``value``; None for what is not finite."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [json_numbers(item) for item in value]
    return value if value is not None and math.isfinite(value) else None
