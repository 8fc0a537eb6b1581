"""What ``fastprop train`` trains: a network, its data, and what is said about it."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from . import machine
from .checks import one_of, whole
from .errors import DivergenceError
from .network import Network
from .optimizers import OPTIMIZERS, Optimizer

INSTALL = "python3 -m pip install 'fastprop-numba[cli]'"

#: Seeds 0 to 19 of which `fastprop train xor` with its defaults gets stuck.
STUCK = (1, 9, 12)


def digits(options: Namespace) -> int:
    """Train on scikit-learn's digits; return the exit code."""
    network, optimizer = _network(options), _optimizer(options)
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError(f"the digits come with scikit-learn, which is missing: {INSTALL}") from error
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(network.dtype)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    targets = y if network.loss.name == "cross_entropy" else np.eye(10)[y]

    def correct() -> int:
        return int((network.predict(X_test).argmax(axis=1) == y_test).sum())

    def line() -> str:
        return f"test accuracy {100 * correct() / len(y_test):6.2f} %"

    what = f"digits: {len(X)} images to train on, {len(X_test)} to test on, 8 x 8 pixels, 10 classes"
    seconds = _train(options, network, optimizer, X, targets, what, 1, line)
    right = correct()
    print(
        f"test accuracy {100 * right / len(y_test):.2f} % ({right} of {len(y_test)}) "
        f"after {options.epochs} epochs, {seconds:.2f} s of training"
    )
    return 0


def xor(options: Namespace) -> int:
    """Train on XOR and print its truth table; return the exit code."""
    network, optimizer = _network(options), _optimizer(options)
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], network.dtype)
    y = np.array([0, 1, 1, 0], network.dtype)

    def outputs() -> np.ndarray:
        return network.predict(X)[:, 0]

    def line() -> str:
        return f"accuracy {100 * np.mean((outputs() > 0.5) == y):6.2f} %"

    what = "XOR: four rows, all of them to train on and to test on"
    _train(options, network, optimizer, X, y, what, max(1, options.epochs // 10), line)
    print("x1 x2  target  output")
    for (x1, x2), target, output in zip(X, y, outputs(), strict=True):
        print(f"{x1:2.0f} {x2:2.0f}  {target:6.0f}  {output:6.3f}")
    *some, last = map(str, STUCK)
    stuck = f"{', '.join(some)} and {last}"
    if np.array_equal(outputs() > 0.5, y):
        print(f"Seed {network.seed} reaches XOR. Others may get stuck: of seeds 0 to 19, {stuck} do by default.")
    else:
        print(
            f"Seed {network.seed} does not reach XOR with these options: it is stuck, or needs more epochs. "
            f"Of seeds 0 to 19, all but {stuck} reach it by default."
        )
    return 0


def _network(options: Namespace) -> Network:
    inputs, *between, outputs = options.default_sizes
    if options.sizes is not None:
        sizes = list(chain(*options.sizes))
        if len(sizes) < 2 or (sizes[0], sizes[-1]) != (inputs, outputs):
            raise ValueError(f"--sizes must go from {inputs} inputs to {outputs} outputs, got {sizes}")
    else:
        hidden_sizes = between if options.hidden_sizes is None else chain(*options.hidden_sizes)
        sizes = [inputs, *hidden_sizes, outputs]
    names = [name for word in options.hidden for name in word.split(",")]
    return Network(
        sizes, names[0] if len(names) == 1 else names, options.output,
        loss=options.loss, dtype=options.dtype, seed=options.seed,
    )  # fmt: skip


def _optimizer(options: Namespace) -> Optimizer:
    name = options.optimizer
    rule = one_of("optimizer", name, OPTIMIZERS, "an Optimizer")
    numbers: dict[str, Any] = {}
    rate = options.rates.get(name) if options.learning_rate is None else options.learning_rate
    if rate is not None:
        numbers["learning_rate"] = rate
    if options.momentum is not None:
        if "momentum" not in inspect.signature(rule).parameters:
            raise ValueError(f"--momentum must go with an optimizer that has one, such as sgd; got {name}")
        numbers["momentum"] = options.momentum
    return rule(**numbers)


def _train(
    options: Namespace, network: Network, optimizer: Optimizer, X: np.ndarray, y: np.ndarray, what: str,
    every: int, report: Callable[[], str],
) -> float:  # fmt: skip
    """Train on ``what`` X, y are, with a line after ``every`` so many epochs; return the seconds it took."""
    epochs = whole("epochs", options.epochs, 0)
    if options.save and (os.path.isdir(options.save) or not os.path.isdir(os.path.dirname(options.save) or ".")):
        raise ValueError(f"--save must be a file in a folder that exists, got {options.save!r}")
    # Refuses what it must before anything is compiled.
    network.fit(X, y, optimizer=optimizer, epochs=0, batch_size=options.batch_size)
    if options.progress:
        print(what)
        print(network)
        print(f"{optimizer}, {epochs} epochs, batches of {options.batch_size}", flush=True)
    _compile(network.dtype.name)

    width, seconds = len(str(epochs)), 0.0
    for say, chunk in _bar(options, epochs, every):
        done = chunk.stop
        try:
            history = network.fit(X, y, optimizer=optimizer, epochs=len(chunk), batch_size=options.batch_size)
        except DivergenceError as error:
            epoch = chunk.start + error.epoch + 1
            raise ArithmeticError(
                f"training diverged in epoch {epoch}, step {error.step}: the loss or a parameter of layer "
                f"{error.layer} became NaN or infinite; a smaller --learning-rate may help"
            ) from error
        seconds += sum(history.seconds)
        say(f"epoch {done:{width}}/{epochs}   loss {history.loss[-1]:.4f}   {report()}")
    if options.save:
        network.save(options.save)
    return seconds


def _compile(dtype: str) -> None:
    """Have the kernels ready, and say so where that takes its time."""
    if not machine.is_cached():
        print("compiling the kernels, once ...", file=sys.stderr, flush=True)
    seconds = sum(call.seconds for call in machine.load(dtype, ("fit", "predict")) if call.compiled)
    if seconds:
        print(f"compiled the kernels for {dtype} in {seconds:.1f} s", file=sys.stderr, flush=True)


def _bar(options: Namespace, epochs: int, every: int) -> Iterator[tuple[Callable[[str], None], range]]:
    """The epochs, ``every`` so many at a time, with a function that says a line above the progress bar."""
    chunks = [range(start, min(start + every, epochs)) for start in range(0, epochs, every)]
    tqdm: Any = None
    if options.progress and sys.stderr.isatty():
        try:
            tqdm = importlib.import_module("tqdm").tqdm
        except ImportError:
            print(f"no progress bar, for want of tqdm: {INSTALL}", file=sys.stderr)
    if tqdm is None:
        for chunk in chunks:
            yield (lambda text: print(text, flush=True)) if options.progress else (lambda text: None), chunk
        return
    with tqdm(total=epochs, unit="epoch", leave=False) as bar:

        def say(text: str) -> None:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

        for chunk in chunks:
            yield say, chunk
            bar.update(len(chunk))
