"""What every export needs of a network: its layers as plain arrays and formulas that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import checks
from .activations import ACTIVATIONS

if TYPE_CHECKING:
    from .network import Network


class Layer(NamedTuple):
    """a^(m) = σ^(m)(a^(m-1) W + b)."""

    weights: np.ndarray  # W^(m), (D^(m-1), D^(m)), in C order without padding
    biases: np.ndarray  # b^(m), (D^(m),)
    activation: str  # a name in ACTIVATIONS
    parameter: float  # its slope or alpha


def layers_of(net: Network, where: str) -> list[Layer]:
    """Copies of the layers m = 1..L of ``net``, to be written down for ``where``.

    Raises
    ------
    ValueError
        If a parameter is not finite, or an activation is the user's own, whose formula is known to the compiler alone.
    """
    layers = []
    functions = (*net.hidden_activations, net.output_activation)
    for m, (w, b, function) in enumerate(zip(net.weights, net.biases, functions, strict=True), start=1):
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise ValueError(f"weights and biases must be finite, got NaN or infinity in layer {m}")
        if function.name not in ACTIVATIONS:
            raise ValueError(
                f"activations must be built in for {where}, got {function!r} in layer {m}, whose formula is unknown"
            )
        layers.append(Layer(np.array(w, order="C"), np.array(b), function.name, function._parameter))
    return layers


def class_labels(classes: Any, width: int, output: str) -> np.ndarray:
    """Labels, all different, of the classes that ``width`` outputs stand for: two where it is a single sigmoid."""
    array = checks.any_array("classes", classes)
    if width == 1 and output != "sigmoid":
        raise ValueError(f"classes must be left out: a single output of {output!r} stands for no class")
    count = max(width, 2)
    if array.shape != (count,):
        raise ValueError(f"classes must have shape ({count},), one label for each class, got {array.shape}")
    if len(set(array.tolist())) < count:
        raise ValueError(f"classes must be different from each other, got {array.tolist()}")
    return array
