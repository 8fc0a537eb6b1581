"""One epoch of a workload in each library: the script that `fastprop bench` runs once for each of them.

    python peers.py torch workloads.py float32 1

The arguments are library, file of workloads, dtype and number of threads, 0 for fastprop's own choice. The
script needs NumPy and the library, not fastprop, so that any interpreter can run it. It says in a line of
JSON which version it found, and answers each line of its input, ``[workload, seconds]``, with the times of
epochs that took so many seconds altogether.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from itertools import pairwise

import numpy as np

# Each function returns what runs an epoch, from a workload w, its data x and y, the learning rate and the
# number of threads; or None where the library cannot express the workload. ``threads`` is 0 for fastprop's "auto".


def _networks(w):
    """How many networks there are; files of workloads from before there were many do not say."""
    return getattr(w, "networks", 1)


def _fastprop(w, x, y, rate, threads):
    import fastprop

    threads = threads or "auto"
    nets = [
        fastprop.Network(w.sizes, w.hidden, w.output, loss=w.loss, dtype=x.dtype.name, seed=seed, threads=threads)
        for seed in range(_networks(w))
    ]
    optimizer = {
        "sgd": lambda: fastprop.SGD(rate),
        "momentum": lambda: fastprop.SGD(rate, momentum=0.9),
        "adam": lambda: fastprop.Adam(rate),
    }[w.optimizer]
    each = [{"optimizer": optimizer()} for _ in nets]
    if len(nets) == 1:
        return lambda: nets[0].fit(x, y, batch_size=w.batch, **each[0])
    return lambda: fastprop.fit_many(nets, x, y, batch_size=w.batch, each=each, threads=threads)


def _numpy(w, x, y, rate, threads):
    if _networks(w) > 1:
        return None
    from functools import partial

    from fastprop import reference

    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal(shape) / shape[0] ** 0.5).astype(x.dtype) for shape in pairwise(w.sizes)]
    biases = [np.zeros(size, x.dtype) for size in w.sizes[1:]]
    activations = [w.hidden] * (len(w.sizes) - 2) + [w.output]
    optimizer = {
        "sgd": partial(reference.sgd, learning_rate=rate),
        "momentum": partial(reference.sgd, learning_rate=rate, momentum=0.9),
        "adam": partial(reference.adam, learning_rate=rate),
    }[w.optimizer]
    return lambda: reference.train(
        x, y, weights, biases, activations, w.loss, optimizer, w.batch, orders=[rng.permutation(len(x))]
    )


def _sklearn(w, x, y, rate, threads):
    """A pass of ``partial_fit``. It has no sigmoid output for regression, and one output for two classes."""
    if _networks(w) > 1:
        return None
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    settings = {
        "hidden_layer_sizes": w.sizes[1:-1],
        "activation": {"sigmoid": "logistic"}.get(w.hidden, w.hidden),
        "solver": "adam" if w.optimizer == "adam" else "sgd",
        "momentum": 0.9 if w.optimizer == "momentum" else 0.0,
        "nesterovs_momentum": False,
        "learning_rate_init": rate,
        "alpha": 0.0,
        "batch_size": w.batch,
        "random_state": 0,
    }
    if w.loss == "cross_entropy" and w.sizes[-1] > 2:
        classifier, classes = MLPClassifier(**settings), np.arange(w.sizes[-1])
        return lambda: classifier.partial_fit(x, y, classes=classes)
    if w.loss == "mse" and w.output == "identity":
        regressor, targets = MLPRegressor(**settings), y[:, 0] if w.sizes[-1] == 1 else y
        return lambda: regressor.partial_fit(x, targets)
    return None


def _torch(w, x, y, rate, threads):
    """Eager, with fused optimizers: the loop that its users write."""
    if _networks(w) > 1:
        return None
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    activation = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    layers = []
    for fan_in, fan_out in pairwise(w.sizes):
        layers += [nn.Linear(fan_in, fan_out), activation[w.hidden]()]
    layers[-1:] = [nn.Sigmoid()] if w.output == "sigmoid" else []
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    model = nn.Sequential(*layers).to(x.dtype)
    loss = nn.functional.cross_entropy if w.loss == "cross_entropy" else nn.functional.mse_loss
    optimizer = {
        "sgd": lambda p: torch.optim.SGD(p, rate, fused=True),
        "momentum": lambda p: torch.optim.SGD(p, rate, momentum=0.9, fused=True),
        "adam": lambda p: torch.optim.Adam(p, rate, fused=True),
    }[w.optimizer](model.parameters())

    def epoch():
        for rows in torch.randperm(len(x)).split(w.batch):
            optimizer.zero_grad(set_to_none=True)
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def _jax(w, x, y, rate, threads):
    """The whole epoch, shuffle included, in one jitted scan; of many networks, all side by side by ``vmap``."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", x.dtype == np.float64)
    key = jax.random.PRNGKey(0)

    def first(key):
        return [
            (jax.random.normal(key, shape, x.dtype) / shape[0] ** 0.5, jnp.zeros(shape[1], x.dtype))
            for shape in pairwise(w.sizes)
        ]

    x, y = jnp.asarray(x), jnp.asarray(y)
    activation = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}[w.hidden]
    optimizer = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=0.9),
        "adam": lambda: optax.adam(rate),
    }[w.optimizer]()

    def loss(parameters, a, target):
        for weight, bias in parameters[:-1]:
            a = activation(a @ weight + bias)
        z = a @ parameters[-1][0] + parameters[-1][1]
        if w.loss == "cross_entropy":
            return optax.softmax_cross_entropy_with_integer_labels(z, target).mean()
        return (((jax.nn.sigmoid(z) if w.output == "sigmoid" else z) - target) ** 2).mean()

    def step(carry, rows):
        parameters, state = carry
        gradients = jax.grad(loss)(parameters, x[rows], y[rows])
        updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    def scan(carry, key):
        return jax.lax.scan(step, carry, jax.random.permutation(key, len(x)).reshape(w.steps, w.batch))[0]

    def begin(key):
        parameters = first(key)
        return parameters, optimizer.init(parameters)

    if _networks(w) > 1:
        key = jax.random.split(key, _networks(w))
        begin, scan = jax.vmap(begin), jax.vmap(scan)
    run, carry = jax.jit(scan, donate_argnums=0), begin(key)

    def epoch():
        nonlocal carry
        carry = jax.block_until_ready(run(carry, key))

    return epoch


EPOCHS = {"fastprop": _fastprop, "numpy": _numpy, "sklearn": _sklearn, "torch": _torch, "jax": _jax}


def _time(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _times(epoch, seconds: float) -> list[float]:
    """Times of single epochs, one at least, for about so many seconds."""
    times = [_time(epoch)]
    while sum(times) < seconds:
        times.append(_time(epoch))
    return times


def _peak(dtype: str) -> float:
    from fastprop.kernels.peak import fma_peak

    return fma_peak(dtype)


def main(library: str, path: str, dtype: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")  # a library that prints must not disturb them
    os.dup2(2, 1)

    def answer(value) -> None:
        print(json.dumps(value), file=answers, flush=True)

    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        answer({"version": __import__(library).__version__})
    except ModuleNotFoundError as error:
        return answer({"error": str(error)})
    namespace = runpy.run_path(path)
    name, epoch = None, None
    for line in sys.stdin:
        wanted, seconds = json.loads(line)
        try:
            reply: dict = {}
            if wanted != name:
                name, epoch = wanted, None  # frees the previous workload's memory
                w = namespace["WORKLOADS"][name]
                x, y = (array[: w.steps * w.batch] for array in w.data())
                x, y = x.astype(dtype), y.astype(dtype if y.dtype.kind == "f" else np.int64)
                epoch = EPOCHS[library](w, x, y, namespace["LEARNING_RATE"], threads)
                if epoch is not None:
                    reply["first"] = _time(epoch)  # with all that is compiled
                    epoch()
            if epoch is not None:
                reply["times"] = _times(epoch, seconds)
                if library == "fastprop":
                    reply["peak"] = _peak(dtype)
            answer(reply)
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
