"""The public workloads: training configurations in which fastprop and its peers do the same work.

A step gathers a shuffled mini-batch and does forward pass, backward pass and update; an epoch is ``steps``
of them. The file needs NumPy alone, so that `fastprop bench` can hand it to any interpreter; another file of
the same form, with ``WORKLOADS`` and ``LEARNING_RATE``, can take its place.
"""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """One training configuration.

    Attributes
    ----------
    sizes : tuple of int
        D^(0)..D^(L).
    hidden : str
        Activation of the hidden layers: sigmoid, tanh or relu.
    output : str
        Activation of the output layer: identity, sigmoid, or softmax, which goes with cross_entropy.
    loss : str
        mse, or cross_entropy with integer labels.
    batch, samples : int
        Rows of a mini-batch, and of the data.
    optimizer : str
        sgd, momentum (SGD with momentum 0.9) or adam.
    networks : int
        So many networks are trained at once, each with shuffles of its own; a step is one of each.

    Examples
    --------
    >>> w = Workload((8, 32, 1), "tanh", "identity", "mse", 32, 1000, "adam")
    >>> w.steps, flops_per_step(w)
    (31, 38912)
    """

    sizes: tuple[int, ...]
    hidden: str
    output: str
    loss: str
    batch: int
    samples: int
    optimizer: str
    networks: int = 1

    @property
    def steps(self) -> int:
        """Whole mini-batches in an epoch."""
        return self.samples // self.batch

    def data(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """X (samples, D^(0)) float32, and y: (samples,) int64 labels or (samples, D^(L)) float32."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.samples, self.sizes[0])).astype(np.float32)
        if self.loss == "cross_entropy":
            return x, rng.integers(0, self.sizes[-1], self.samples)
        return x, rng.standard_normal((self.samples, self.sizes[-1])).astype(np.float32)


def _regressor(sizes: tuple[int, ...], hidden: str, batch: int, samples: int, optimizer: str) -> Workload:
    return Workload(sizes, hidden, "identity", "mse", batch, samples, optimizer)


def _classifier(sizes: tuple[int, ...], hidden: str, batch: int, samples: int, optimizer: str) -> Workload:
    return Workload(sizes, hidden, "softmax", "cross_entropy", batch, samples, optimizer)


WORKLOADS = {
    "xor-b1": Workload((2, 2, 1), "sigmoid", "sigmoid", "mse", 1, 4096, "sgd"),
    "tabular-8-32-32-1-b32": _regressor((8, 32, 32, 1), "tanh", 32, 8192, "adam"),
    "digits-64-128-10-b32": _classifier((64, 128, 10), "relu", 32, 8192, "momentum"),
    "mnist-784-128-10-b64": _classifier((784, 128, 10), "relu", 64, 16384, "adam"),
    "lecun-784-300-100-10-b128": _classifier((784, 300, 100, 10), "relu", 128, 16384, "adam"),
    "rl-17-256-256-6-b256": _regressor((17, 256, 256, 6), "tanh", 256, 16384, "adam"),
    "wide-1024x4-b256": _regressor((1024, 1024, 1024, 1024), "relu", 256, 4096, "sgd"),
    "huge-4096x3-b512": _regressor((4096, 4096, 4096), "relu", 512, 1024, "sgd"),
    "many-64x8-32-1-b32": Workload((8, 32, 1), "tanh", "identity", "mse", 32, 8192, "adam", networks=64),
}


def flops_per_step(workload: Any) -> int:
    """Multiplications and additions of the three products; the first layer needs no delta."""
    sizes = workload.sizes
    products = [fan_in * fan_out for fan_in, fan_out in pairwise(sizes)]
    return 2 * getattr(workload, "networks", 1) * workload.batch * (3 * sum(products) - products[0])


def load(path: str = __file__) -> dict[str, Any]:
    """The ``WORKLOADS`` of this file, or of another one of the same form."""
    return runpy.run_path(path)["WORKLOADS"]
