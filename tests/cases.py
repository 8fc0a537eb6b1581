"""Networks and data for the tests, and the comparison with the NumPy reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastprop
from fastprop import reference

#: name: (what `Network` takes, what `fastprop.reference` takes)
HIDDEN: dict[str, tuple[Any, Any]] = {
    **{name: (name, name) for name in reference.ACTIVATIONS},
    "LeakyReLU(0.2)": (fastprop.LeakyReLU(0.2), ("leaky_relu", 0.2)),
    "ELU(0.5)": (fastprop.ELU(0.5), ("elu", 0.5)),
}
OUTPUTS = HIDDEN | {"softmax": ("softmax", "softmax")}
LOSSES: dict[str, tuple[Any, Any]] = {
    **{name: (name, name) for name in reference.LOSSES},
    "Huber(0.3)": (fastprop.Huber(0.3), ("huber", 0.3)),
}
LOG_LOSSES = ("binary_cross_entropy", "cross_entropy", "poisson")  # of outputs in (0, 1), here
HUBER_DELTA = {"huber": 1.0, "Huber(0.3)": 0.3}
KINKED = ("relu", "leaky_relu", "LeakyReLU(0.2)", "ELU(0.5)")  # σ′ jumps at 0

#: Largest error relative to the largest entry of an array.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


@dataclass
class Case:
    """A network with its data, and how the reference calls the same."""

    network: fastprop.Network
    X: np.ndarray
    y: np.ndarray
    activations: list
    loss: Any

    def reference(self, sample_weight=None):
        """z, a, C, deltas, weight and bias gradients, lists by layer."""
        weights, biases = self.network.weights, self.network.biases
        z, a = reference.forward(self.X, weights, biases, self.activations)
        return (
            z,
            a,
            *reference.backward(self.y, weights, z, a, self.activations, self.loss, sample_weight=sample_weight),
        )

    def run(self, sample_weight=None):
        """The same from the network."""
        net = self.network
        net.forward(self.X)
        C = net.backward(self.y, sample_weight)
        return (
            net.pre_activations, net.activations, C, net.deltas, net.weight_gradients, net.bias_gradients
        )  # fmt: skip

    def kink_distance(self, hidden, output, loss) -> float:
        """How far z, a and t are from where a derivative jumps."""
        z, a, *_ = self.reference()
        kinked = [z_m for z_m, name in zip(z, [hidden] * (len(z) - 1) + [output], strict=True) if name in KINKED]
        distances = [np.abs(z_m).min() for z_m in kinked]
        if loss == "mae":
            distances.append(np.abs(a[-1] - self.y).min())
        if loss in HUBER_DELTA:
            distances.append(np.abs(np.abs(a[-1] - self.y) - HUBER_DELTA[loss]).min())
        if loss in ("binary_cross_entropy", "poisson", "cross_entropy"):
            distances.append(a[-1].min())
        if loss == "binary_cross_entropy":
            distances.append((1 - a[-1]).min())
        return min(distances, default=np.inf)


def make_case(sizes, hidden, output, loss, *, rows, dtype="float64", seed=0) -> Case:
    """Random parameters, inputs and targets; the outputs of a logarithm's loss stay well within (0, 1)."""
    rng = np.random.default_rng(seed)
    net = fastprop.Network(sizes, HIDDEN[hidden][0], OUTPUTS[output][0], loss=LOSSES[loss][0], dtype=dtype, seed=seed)
    for b in net.biases:
        b[...] = rng.uniform(-0.5, 0.5, b.shape)
    if loss in LOG_LOSSES and output not in ("sigmoid", "softmax"):
        net.weights[-1][...] *= 0.1
        net.biases[-1][...] = 0.0 if output == "softplus" else 0.5
    X = rng.standard_normal((rows, sizes[0])).astype(dtype)
    y = targets(loss, rows, sizes[-1], rng).astype(dtype)
    activations = [HIDDEN[hidden][1]] * (len(sizes) - 2) + [OUTPUTS[output][1]]
    return Case(net, X, y, activations, LOSSES[loss][1])


def smooth_case(sizes, hidden, output, loss, *, rows, dtype="float64", margin=1e-4) -> Case:
    """The first case of `make_case` away from every kink and with a gradient to speak of."""
    for seed in range(200):
        case = make_case(sizes, hidden, output, loss, rows=rows, dtype=dtype, seed=seed)
        if case.kink_distance(hidden, output, loss) > margin:
            deltas = case.reference()[3]
            if all(np.abs(delta).max() > 1e-6 / rows for delta in deltas):
                return case
    raise AssertionError("no case away from all kinks")


def targets(loss, rows, width, rng) -> np.ndarray:
    """Targets (rows, width) in the domain of a loss."""
    if loss == "binary_cross_entropy":
        return rng.uniform(size=(rows, width))
    if loss == "cross_entropy":
        return rng.dirichlet(np.ones(width), rows)
    if loss == "poisson":
        return rng.poisson(2.0, (rows, width)).astype(float)
    return rng.standard_normal((rows, width))


def relative_error(actual, expected) -> float:
    """Largest error relative to the largest entry; shapes and dtypes must be the same."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if not np.isfinite(actual).all():
        return np.inf
    error, size = float(np.abs(actual - expected).max(initial=0)), float(np.abs(expected).max(initial=0))
    return error / size if size else error and np.inf


def assert_close(actual, expected, tolerance, what="") -> None:
    """Lists of arrays, array by array; see `relative_error`."""
    if not isinstance(expected, list):
        actual, expected = [actual], [expected]
    assert len(actual) == len(expected), what
    for m, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        error = relative_error(ours, theirs)
        assert error <= tolerance, f"{what}[{m}]: error {error:.2g} of the largest entry"


def assert_same_passes(case: Case, tolerance: float, sample_weight=None) -> None:
    """Every buffer of the network's two passes against the reference."""
    z, a, C, deltas, *gradients = case.run(sample_weight)
    z_ref, a_ref, C_ref, deltas_ref, *gradients_ref = case.reference(sample_weight)
    assert_close(z, z_ref, tolerance, "pre_activations")
    assert_close(a, a_ref, tolerance, "activations")
    assert type(C) is float
    assert abs(C - float(C_ref)) <= tolerance * abs(float(C_ref)), "loss"
    assert_close(deltas, deltas_ref, tolerance, "deltas")
    assert_close(stacked(*gradients), stacked(*gradients_ref), tolerance, "gradients")


def stacked(weights, biases) -> list[np.ndarray]:
    """W^(m) and b^(m) as one array: a sum that nearly cancels, alone in ∂C/∂b, says nothing by its relative error."""
    return [np.vstack(pair) for pair in zip(weights, biases, strict=True)]
