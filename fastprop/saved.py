"""What the command line does with a network in a file: inspect it, predict with it, check its gradient, export it."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from . import files


def inspect(options: Namespace) -> int:
    """Print what is in a file; return the exit code."""
    net, optimizer, epoch = files.contents(options.model)
    print(f"{options.model}: {os.path.getsize(options.model):,} bytes, {net.num_parameters:,} parameters")
    print(net)
    headings = ("layer", "weights", "activation", "parameters", "norm of W", "max |W|", "norm of b")
    table: list[tuple[str, ...]] = [headings]
    for m, (w, b, activation) in enumerate(zip(net.weights, net.biases, net._functions, strict=True), 1):
        norms = (np.linalg.norm(w), np.abs(w).max(), np.linalg.norm(b))
        numbers = ", ".join(f"{name}={value:g}" for name, value in activation._arguments().items())
        name = activation.name + (f"({numbers})" if numbers else "")
        shape = f"{w.shape[0]} x {w.shape[1]}"
        table.append((f"{m}", shape, name, f"{w.size + b.size:,}", *(f"{norm:.4g}" for norm in norms)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    layout = "  ".join(f"{{:{side}{width}}}" for side, width in zip("><<>>>>", widths, strict=True))
    for line in table:
        print(layout.format(*line))
    if optimizer is not None:
        print(f"a checkpoint after {epoch} epochs, {optimizer.steps} updates by {optimizer}")
    return 0


def predict(options: Namespace) -> int:
    """Write the outputs for the rows of a file; return the exit code."""
    net = files.load(options.model)
    X = _rows(options.data)
    try:
        outputs = net.predict(X[:, None] if X.ndim == 1 and net.sizes[0] == 1 else X)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{options.data}: {error}") from error
    if options.labels:
        outputs = outputs.argmax(axis=1) if net.sizes[-1] > 1 else (outputs[:, 0] > 0.5).astype(np.int64)
    if options.output and Path(options.output).suffix == ".npy":
        np.save(options.output, outputs)
    else:  # as many digits as it takes to read the same bits back
        digits = "%d" if options.labels else "%.9g" if net.dtype == np.float32 else "%.17g"
        np.savetxt(options.output or sys.stdout, outputs, digits, ",")
    return 0


def gradcheck(options: Namespace) -> int:
    """Compare the gradient of a model with differences on the rows of a file; return the exit code."""
    net = files.load(options.model)
    rows, inputs = _rows(options.data), net.sizes[0]
    if rows.ndim != 2 or rows.shape[1] <= inputs:
        raise ValueError(f"{options.data}: each row must have {inputs} inputs and then its target, got {rows.shape}")
    X, y = rows[:, :inputs], rows[:, inputs:]
    try:
        check = net.gradcheck(X, y[:, 0] if y.shape[1] == 1 else y, entries=options.entries, seed=options.seed)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{options.data}: {error}") from error
    print(check)
    return 0 if check.passed else 1


def export(options: Namespace) -> int:
    """Write a model for another runtime; return the exit code."""
    net = files.load(options.model)
    path = options.output or Path(options.model).with_suffix("." + options.to)
    if Path(path) == Path(options.model):
        raise ValueError(f"--output must be another file than the model, got {options.output!r}")
    if options.to == "onnx":
        net.to_onnx(path)
    else:
        net.to_c(path)
    print(f"{path}: {os.path.getsize(path):,} bytes")
    return 0


def _rows(path: str) -> np.ndarray:
    """The numbers in a file: of NumPy's, or comma-separated with or without a line of names; - is standard input."""
    try:
        if Path(path).suffix == ".npy":
            return np.lib.format.open_memmap(path, "r")
        with nullcontext(sys.stdin) if path == "-" else open(path, encoding="utf-8-sig") as lines:
            return _table(lines)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: neither a .npy file nor text") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _table(lines: Iterable[str]) -> np.ndarray:
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = np.array(line.split(","), np.float64)
        except ValueError as error:
            if number == 1 and not any(map(_is_number, line.split(","))):  # the names of the columns
                continue
            raise ValueError(f"line {number} must be numbers between commas, got {line.strip()[:60]!r}") from error
        if rows and len(row) != len(rows[0]):
            raise ValueError(f"line {number} must have {len(rows[0])} numbers as those before it, got {len(row)}")
        rows.append(row)
    if not rows:
        raise ValueError("there are no rows of numbers")
    return np.stack(rows)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
