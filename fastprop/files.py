"""Networks and their optimizers in files: what is kept of them, and how it becomes a network again.

The numbers are named and laid out as PyTorch has them in a ``Sequential`` of (Linear, activation) pairs; everything
else is JSON in the metadata. Reading looks names up in tables and calls constructors that check what they get: it
runs nothing that a file could bring along.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import safetensors
from .activations import ACTIVATIONS, Activation
from .callbacks import Callback, EarlyStopping
from .checks import flag, number, whole
from .kernels import schedules as rates
from .losses import LOSSES, Loss
from .optimizers import OPTIMIZERS, Optimizer
from .schedules import SCHEDULES, Schedule

if TYPE_CHECKING:
    from .fitting import Run
    from .network import Network

#: The optimizers by the names of their classes.
KEPT = "best."  # before the names of the tensors that an early stopping keeps
RULES = {type(make()).__name__: make for make in OPTIMIZERS.values()}


class Resumed(NamedTuple):
    """What `resume` returns: a network, its optimizer, and the epochs they had been trained for."""

    network: Network
    optimizer: Optimizer
    epoch: int


def save(
    net: Network, path: str | os.PathLike, *, optimizer: Optimizer | None = None, epoch: int = 0,
    early_stopping: EarlyStopping | None = None,
) -> None:  # fmt: skip
    """Write the network to a safetensors file, which `fastprop.load` reads, and PyTorch too.

    Parameters
    ----------
    path : path-like
        Replaced at once when the new file is whole and on disk; until then it is as it was.
    optimizer : Optimizer, optional
        Write its moments, numbers and steps too: a checkpoint, for `fastprop.resume`.
    epoch : int
        How many epochs they were trained for, as `fastprop.resume` will say.
    early_stopping : EarlyStopping, optional
        Write with the optimizer what this has seen of their training, and the best parameters.

    Raises
    ------
    TypeError, ValueError
        If ``path`` is no regular file, the optimizer is another network's, ``early_stopping`` has not watched both, or
        the network has a function of one's own, of which a file can keep no code.
    OSError
        If the file cannot be written.
    RuntimeError
        If another thread is using the network.

    Notes
    -----
    The tensors load by ``load_state_dict`` into a ``torch.nn.Sequential`` of (Linear, activation) pairs:
    ``0.weight`` of shape (D^(1), D^(0)), ``0.bias``, ``2.weight``, …

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fastprop.Network([2, 1], seed=7).save(os.path.join(folder, "model.safetensors"))
    ...     fastprop.load(os.path.join(folder, "model.safetensors")).seed
    7
    """
    with net._alone.or_within():
        arguments = net._arguments()
        del arguments["threads"]  # what is good on one machine may be bad on the next
        metadata = {"network": _json({**arguments, "frozen": net.frozen, "position": net._counter})}
        tensors = dict(_tensors(net, net._store.data))
        if early_stopping is not None and optimizer is None:
            raise ValueError("early_stopping must go with the optimizer that it watched; got none")
        if optimizer is not None:
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"optimizer must be an Optimizer, got {optimizer!r}")
            optimizer._check(net)
            if optimizer._owner is None:  # and remains without one
                optimizer = copy(optimizer)
                optimizer._bind(net, net._store.data)
            course = {"course": optimizer._course.tolist()} if optimizer.schedule else {}
            metadata["optimizer"] = _json({"class": type(optimizer).__name__, **optimizer._arguments(), **course})
            metadata["steps"] = str(optimizer.steps)
            metadata["epoch"] = str(whole("epoch", epoch, 0))
            tensors |= _moments(net, optimizer)
            if early_stopping is not None:
                early_stopping._check(net, optimizer)
                metadata["early_stopping"] = json.dumps(early_stopping._state())
                if early_stopping.restore_best:
                    tensors |= {KEPT + name: view for name, view in _tensors(net, early_stopping._kept)}
        safetensors.write(path, tensors, metadata)


def load(path: str | os.PathLike) -> Network:
    """The network in a file of `Network.save`, whether or not an optimizer is there too.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Network
        With the same parameters, generator and settings: it predicts and trains the same bits. Of the settings
        ``threads`` alone, which says nothing about results, is not in the file: set it.

    Raises
    ------
    ValueError
        If the file is damaged, not fastprop's, or a later version's. No memory is taken for what it claims to hold,
        and nothing in it is ever run.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> net = fastprop.Network([2, 3, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "model.safetensors"))
    ...     again = fastprop.load(os.path.join(folder, "model.safetensors"))
    >>> bool((again.predict([[1, 2]]) == net.predict([[1, 2]])).all())
    True
    """
    return contents(path)[0]


def resume(path: str | os.PathLike, *, early_stopping: EarlyStopping | None = None) -> Resumed:
    """The network, the optimizer and the epoch in a checkpoint: trained on, they give the bits they would have given.

    Parameters
    ----------
    path : path-like
        A file of `Checkpoint`, or of `Network.save` with an optimizer.
    early_stopping : EarlyStopping, optional
        A new one, with the numbers of that which watched the training: it goes on from there too.

    Returns
    -------
    Resumed
        A tuple (network, optimizer, epoch).

    Raises
    ------
    ValueError
        As `load`, and if the file holds no optimizer, or not what ``early_stopping`` could go on from.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> net, adam = fastprop.Network([2, 3, 1], seed=0), fastprop.Adam(0.01)
    >>> cost = net.train_step([[1, 2]], [3], adam)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "run.safetensors"), optimizer=adam)
    ...     net, adam, epoch = fastprop.resume(os.path.join(folder, "run.safetensors"))
    >>> adam, adam.steps
    (Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.0), 1)
    """
    net, rule, epoch = contents(path, early_stopping)
    if rule is None:
        raise ValueError(f"{path!r} holds a network without an optimizer to go on with; fastprop.load reads it")
    return Resumed(net, rule, epoch)


class Checkpoint(Callback):
    """Write a file for `resume` after an epoch: a run that is killed at any moment goes on from there.

    The file is replaced at once when the next is whole and on disk. What is done once again after a kill is at most
    ``epochs`` epochs, and it comes to the same bits.

    Parameters
    ----------
    path : path-like
    epochs : int
        How many epochs from one file to the next; the last one of a ``fit`` is written too.
    start : int
        Epochs that were done before this ``fit``, as `resume` tells; the file counts on from there.

    Raises
    ------
    TypeError, ValueError
        If ``epochs`` is no integer ≥ 1, or ``start`` none ≥ 0.

    Examples
    --------
    >>> import os, tempfile
    >>> net = fastprop.Network([2, 3, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = fastprop.Checkpoint(os.path.join(folder, "run.safetensors"), epochs=2)
    ...     history = net.fit([[1, 2], [3, 4]], [5, 6], epochs=5, callbacks=[checkpoint])
    ...     fastprop.resume(checkpoint.path).epoch
    5
    """

    def __init__(self, path: str | os.PathLike, epochs: int = 1, start: int = 0) -> None:
        self.path, self.epochs, self.start = path, whole("epochs", epochs, 1), whole("start", start, 0)

    def on_start(self, run: Run) -> None:
        self._written = 0
        self._stopping = next((one for one in run._callbacks if isinstance(one, EarlyStopping)), None)

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.epochs == 0:
            self._write(run)

    def on_end(self, run: Run) -> None:
        # An early stopping has put the best parameters back meanwhile.
        if run.error is None and run.part == 0 and run.epoch > 0 and (self._stopping or run.epoch > self._written):
            self._write(run)

    def _write(self, run: Run) -> None:
        epoch = self.start + run.epoch
        run.network.save(self.path, optimizer=run.optimizer, epoch=epoch, early_stopping=self._stopping)
        self._written = run.epoch


def contents(
    path: str | os.PathLike, early_stopping: EarlyStopping | None = None
) -> tuple[Network, Optimizer | None, int]:
    """Network, optimizer and epoch in a file; what ``early_stopping`` had seen it goes on from."""
    from .network import Network

    with safetensors.Reader(path) as file:
        try:
            arguments, rule, epoch = json.loads(file.metadata["network"]), None, 0
            shapes = dict(_shapes(arguments["sizes"]))
            expected = {**shapes}
            if "optimizer" in file.metadata:
                rule = _optimizer(json.loads(file.metadata["optimizer"]))
                for k in range(rule._moment_count):
                    expected |= {_moment(k, name): shape for name, shape in shapes.items()}
                rule._steps = _count("steps", int(file.metadata["steps"]))
                epoch = _count("epoch", int(file.metadata["epoch"]))
            seen = _seen(file.metadata.get("early_stopping"))
            if seen and seen["kept"]:
                expected |= {KEPT + name: shape for name, shape in shapes.items()}
            dtype = safetensors.DTYPES[{"float32": "F32", "float64": "F64"}[arguments["dtype"]]]
            # The numbers that such a network needs, and no others: what is allocated next is in proportion to the file.
            if file.tensors != {name: (dtype, shape) for name, shape in expected.items()}:
                raise ValueError("its numbers are not those of such a network")
            frozen, position = arguments.pop("frozen"), _count("position", arguments.pop("position"))
            for name, known in (("output", ACTIVATIONS), ("loss", LOSSES)):
                arguments[name] = _named(arguments[name], known)
            arguments["hidden"] = [_named(one, ACTIVATIONS) for one in arguments["hidden"]]
            net = Network(**arguments, threads=1, init="zeros")
            net.frozen = frozen
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            raise file.refusal(f"does not describe a network that this fastprop knows: {error}") from error
        net._counter = position
        for name, view in _tensors(net, net._store.data):
            view[...] = file.read(name)
        if rule is not None:
            rule._bind(net, net._store.data)
            for name, view in _moments(net, rule):
                view[...] = file.read(name)
        if early_stopping is not None:
            if rule is None or seen is None or seen["kept"] != early_stopping.restore_best:
                raise file.refusal("holds nothing that such an early_stopping could go on from")
            kept = np.zeros_like(net._store.data if seen["kept"] else net._store.data[:0])
            for name, view in _tensors(net, kept) if seen["kept"] else ():
                view[...] = file.read(KEPT + name)
            early_stopping._resume(net, rule, seen, kept)
    return net, rule, epoch


def _seen(text: str | None) -> dict[str, Any] | None:
    """What an early stopping had seen."""
    if text is None:
        return None
    seen = json.loads(text)
    if not isinstance(seen["best"], (float, int, type(None))):
        raise ValueError(f"best must be a number, got {seen['best']!r}")
    if seen["best_epoch"] is not None:
        _count("best_epoch", seen["best_epoch"])
    for name in ("stopped", "kept", "exchanged"):
        flag(name, seen[name])
    _count("epochs", seen["epochs"])
    return seen


def _count(what: str, value: Any) -> int:
    """A number that the kernels can count on from."""
    if whole(what, value, 0) >= 2**62:
        raise ValueError(f"{what} must be below 2**62, got {value}")
    return value


def _shapes(sizes: list[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of a network."""
    for m in range(len(sizes) - 1):
        yield f"{2 * m}.weight", (sizes[m + 1], sizes[m])
        yield f"{2 * m}.bias", (sizes[m + 1],)


def _tensors(net: Network, data: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Views of ``data``, laid out as the parameters are, by the names and in the shapes of `_shapes`."""
    for m, (w, b) in enumerate(zip(net._store.weights(data), net._store.biases(data), strict=True)):
        yield f"{2 * m}.weight", w.T
        yield f"{2 * m}.bias", b


def _moments(net: Network, rule: Optimizer) -> Iterator[tuple[str, np.ndarray]]:
    """Views of the moments that ``rule`` keeps for the network."""
    for k, data in enumerate(rule._moments.reshape(rule._moment_count, net._store.data.size)):
        for name, view in _tensors(net, data):
            yield _moment(k, name), view


def _moment(k: int, name: str) -> str:
    return f"moments.{k}.{name}"


def _json(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, default=_by_name, allow_nan=False)


def _by_name(one: Activation | Loss | Schedule) -> dict[str, Any]:
    """An activation, a loss or a schedule as its name and numbers."""
    if isinstance(one, Schedule):
        return {"schedule": type(one).__name__, **dataclasses.asdict(one)}
    if type({**ACTIVATIONS, **LOSSES}.get(one.name)) is not type(one):
        raise ValueError(
            f"a network with functions of one's own cannot be saved: {one!r} has code, and a file keeps none. "
            "Save net.get_parameters() instead, and build the network again"
        )
    return {"name": one.name, **one._arguments()}


def _named(described: Any, known: Mapping[str, Any]) -> Any:
    """The activation or loss that `_by_name` described."""
    one = known[described["name"]]
    arguments = {name: described[name] for name in one._arguments()}
    if len(described) != 1 + len(arguments):
        raise ValueError(f"{described} is not known")
    return type(one)(**arguments) if arguments else one


def _optimizer(described: dict[str, Any]) -> Optimizer:
    """The optimizer that these numbers describe; ``course`` is where its schedule stood."""
    make, course, rate = RULES[described.pop("class")], described.pop("course", []), described["learning_rate"]
    if isinstance(rate, dict):
        described["learning_rate"] = SCHEDULES[rate.pop("schedule")](**rate)
    rule = make(**described)
    if rule.schedule is not None:
        if len(course) != rule._course.size or course[rates.SCHEDULE] != rule._course[rates.SCHEDULE]:
            raise ValueError("its learning rate cannot have stood where it says")
        number("learning_rate", course[rates.LEARNING_RATE], at_least=0)
        rule._course[...] = [number("course", value) for value in course]
    return rule
