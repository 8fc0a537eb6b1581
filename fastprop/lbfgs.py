"""L-BFGS for small data sets: SciPy's, over the network's own parameters and gradient."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .checks import matrix, number, whole
from .errors import DivergenceError
from .history import History
from .network import Network


def fit_lbfgs(
    network: Network,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    weight_decay: float = 0.0,
    iterations: int = 200,
    tolerance: float = 1e-5,
) -> History:
    """Minimise the loss of all rows by limited-memory BFGS, which has no learning rate to choose.

    D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming
    45 (1989), as SciPy has it (``scipy.optimize.minimize``, "L-BFGS-B"). Each iteration takes the gradient of all rows,
    mostly once: for some thousands of rows and smooth activations, in float64, it finds in seconds what stochastic
    methods only come near to.

    Parameters
    ----------
    network : Network
        Trained from the parameters it has, and left with those of the last iteration.
    X : array_like, shape (n, D^(0))
    y : array_like, shape (n, D^(L)), or (n,) when D^(L) = 1
        Targets as in `Network.backward`.
    sample_weight : array_like, shape (n,), optional
        Weights w ≥ 0; the loss is Σ w·loss / Σ w.
    weight_decay : float
        λ ≥ 0 of the penalty λ/2 · ‖W‖², of weights and not of biases.
    iterations : int
        At most so many, at least 0.
    tolerance : float
        It ends when no entry of the gradient is larger, at least 0.

    Returns
    -------
    History
        ``loss`` has an entry for each iteration, penalty excluded, after its step.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; the network is as before the call.
    DivergenceError
        If the loss or its gradient becomes NaN or infinite; the network is as after the last iteration.
    RuntimeError
        If another thread is using the network.
    ImportError
        Without SciPy, which is in the extra ``scipy``.

    Examples
    --------
    >>> X = np.linspace(-2, 2, 50)[:, None]
    >>> net = fastprop.Network([1, 10, 1], hidden="tanh", dtype="float64", seed=0)
    >>> history = fastprop.fit_lbfgs(net, X, np.sin(2 * X))
    >>> history.loss[-1] < 1e-3
    True
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError("fit_lbfgs needs SciPy: pip install 'fastprop-numba[scipy]'") from error
    decay = number("weight_decay", weight_decay, at_least=0)
    options = {"maxiter": whole("iterations", iterations, 0), "gtol": number("tolerance", tolerance, at_least=0)}
    inputs = matrix("X", X, network.sizes[0], network.dtype)
    pairs = zip(network.weights, network.biases, strict=True)
    penalty = np.concatenate([np.repeat([decay, 0.0], [w.size, b.size]) for w, b in pairs])  # λ of each parameter
    history, best = History(), network.get_parameters()
    began = time.perf_counter()

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        network.set_parameters(theta)
        network.forward(inputs)
        cost = network.backward(y, sample_weight)
        gradient = network.get_gradient()
        if not (np.isfinite(cost) and np.isfinite(gradient).all()):
            raise DivergenceError(
                f"the loss became {cost}, or its gradient NaN or infinite, after iteration {len(history)}; scaled "
                "inputs may help",
                epoch=len(history), step=0, layer=len(network.sizes) - 1, history=history,
            )  # fmt: skip
        return cost + 0.5 * penalty @ theta**2, gradient + penalty * theta

    def note(intermediate_result: Any) -> None:
        nonlocal best, began
        best = intermediate_result.x.copy()
        now = time.perf_counter()
        history.loss.append(float(intermediate_result.fun - 0.5 * penalty @ best**2))
        history.seconds.append(now - began)
        began = now

    try:
        minimize(objective, best.astype(np.float64), method="L-BFGS-B", jac=True, callback=note,
                 options={**options, "maxfun": 20 * (options["maxiter"] + 1), "ftol": 0.0})  # fmt: skip
    finally:
        network.set_parameters(best)
    return history
