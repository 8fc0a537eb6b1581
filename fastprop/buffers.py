"""The buffers: where each number of a network lies. Offsets are computed here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from .kernels import layers as column
from .kernels.activations import ELU, IDENTITY, LEAKY_RELU, RELU, SIGMOID, TANH
from .kernels.products import SCRATCH_BYTES

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
#: Activations of which a = σ(z) alone gives the slope: while training, z^(m) of a hidden layer is overwritten by a^(m).
KNOWN_BY_A = (SIGMOID, TANH, RELU, LEAKY_RELU, ELU)
#: The numbers of a part of a batch take about so many bytes, which stay in the second-level cache; but it has at least
#: so many rows, more where the parameters do not stay there with them.
PART_BYTES, PART_ROWS, PART_ROWS_OF_MANY = 1 << 20, 64, 512


def aligned_zeros(count: int, dtype: np.dtype) -> np.ndarray:
    """A flat array of zeros that starts on a cache line."""
    raw = np.zeros(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)


def on_its_own_lines(table: np.ndarray) -> np.ndarray:
    """A copy that shares no cache line with anything else: what a thread writes next to it would slow down others."""
    line = ALIGNMENT // table.itemsize
    copy = aligned_zeros(-(-table.size // line) * line, table.dtype)[: table.size].reshape(table.shape)
    copy[...] = table
    return copy


def stride_of(width: int, dtype: np.dtype) -> int:
    """Elements from one row to the next: whole cache lines, and no multiple of 4 KiB, whose rows share one L1 set."""
    per_line = ALIGNMENT // dtype.itemsize
    lines = -(-width // per_line)
    return (lines + (lines * ALIGNMENT % 4096 == 0)) * per_line


class Units:
    """z, a, δ, targets and row weights of a batch, in one flat array ``data`` that ``layers`` describes.

    Grows when a batch is larger than any before it. ``dropout`` has the probability p of each layer 0..L−1: where it is
    not 0 ``tables`` have a place for out^(m), and elsewhere that is a^(m), as it is everywhere in ``layers``.
    """

    def __init__(self, layers: np.ndarray, dtype: np.dtype, dropout: Sequence[float] = ()) -> None:
        self.layers = layers.copy()
        self.dtype = dtype
        self._dropped = [m for m, p in enumerate(dropout) if p]
        #: random numbers that an observation takes
        self.numbers = 0
        for m, p in enumerate(dropout):
            self.layers[m, column.DROPOUT] = min(round(p * 2**32), 2**32 - 1)
            self.layers[m, column.NUMBERS] = self.numbers
            self.numbers += int(layers[m, column.WIDTH]) if p else 0
        self.layers[-1, column.NUMBERS] = self.numbers
        self.capacity = self.threads = 0
        self._shared, self._part = (0, 0), 0
        self.tables: list[tuple[np.ndarray, np.ndarray]] = []
        self.data = aligned_zeros(0, dtype)

    def reserve(self, rows: int, threads: int = 1) -> None:
        """Make room for ``rows`` observations, and for so many threads to work on them.

        Each thread has ``tables`` of its own: ``layers`` with its own scratch and a^(0), and one for its share of a
        batch, which the kernel fills.
        """
        if rows <= self.capacity and threads <= self.threads:
            return
        rows, threads = max(rows, self.capacity), max(threads, self.threads)
        table, end = self.layers.copy(), 0

        def place(layer: int, name: int, size: int) -> None:
            nonlocal end
            table[layer, name] = end
            end += stride_of(size, self.dtype)

        for m in range(1, len(table)):
            block = rows * int(table[m, column.STRIDE])
            place(m, column.A, block)
            place(m, column.DELTA, block)
            if table[m, column.ACTIVATION] == IDENTITY:
                table[m, column.Z] = table[m, column.A]
            else:
                place(m, column.Z, block)
            if m in self._dropped:
                place(m, column.OUT, block)
            else:
                table[m, column.OUT] = table[m, column.A]
        table[-1, column.TARGET] = table[-1, column.DELTA]  # read where the error signal is written right after
        place(len(table) - 1, column.ROW_WEIGHT, rows)
        place(len(table) - 1, column.ROW_LOSS, rows)
        inputs = rows * int(table[0, column.STRIDE])
        scratch = stride_of(SCRATCH_BYTES // self.dtype.itemsize, self.dtype)
        self.tables = []
        for _ in range(threads):
            place(0, column.A, inputs)
            table[0, column.OUT] = table[0, column.A]
            if 0 in self._dropped:
                place(0, column.OUT, inputs)
            place(0, column.SCRATCH, scratch)
            own = on_its_own_lines(table)
            for m in range(1, len(table) - 1):
                if table[m, column.ACTIVATION] in KNOWN_BY_A:
                    own[m, column.Z] = own[m, column.A]
            self.tables.append((own, on_its_own_lines(own)))
        self.data = aligned_zeros(end, self.dtype)
        self.layers[...] = table
        for name in (column.A, column.SCRATCH):
            self.layers[0, name] = self.tables[0][0][0, name]
        self.layers[:, column.OUT] = self.layers[:, column.A]
        self.capacity, self.threads, self._shared = rows, threads, (0, 0)

    def share_out(self, batch: int, parameters: int, threads: int) -> int:
        """How many rows of a batch go through the network together, so that their numbers stay in the caches."""
        if (batch, threads) == self._shared:
            return self._part
        strides, size = self.layers[:, column.STRIDE], self.dtype.itemsize
        row = int(2 * strides.sum() - strides[0]) * size
        least = PART_ROWS if parameters * size <= PART_BYTES else PART_ROWS_OF_MANY
        most = max(least, PART_BYTES // row) * threads
        part = batch if batch <= 2 * most else -(-batch // (-(-batch // most)))
        self.reserve(part, threads)
        for table in chain(*self.tables):
            table[0, column.PART] = part
        self._shared, self._part = (batch, threads), part
        return part

    def view(self, layer: int, name: int, rows: int) -> np.ndarray:
        """Rows of z, a or δ of a layer, (rows, D^(layer)), without the padding."""
        return _matrix(self.data, self.layers[layer], int(self.layers[layer, name]), rows)


class Parameters:
    """θ = W^(1), b^(1), W^(2), b^(2), … in one flat padded array ``data``.

    ``gradients``, laid out alike, is empty until ``reserve_gradients``: small batches are trained without it. A number
    for each of its rows follows, for clipping by norm.
    """

    def __init__(self, sizes: tuple[int, ...], activations: list[int], dtype: np.dtype) -> None:
        self.layers = np.zeros((len(sizes), column.COLUMNS), np.int64)
        end = 0
        for m, width in enumerate(sizes):
            row = self.layers[m]
            row[column.WIDTH], row[column.STRIDE] = width, stride_of(width, dtype)
            if m > 0:
                row[column.ACTIVATION] = activations[m - 1]
                row[column.WEIGHTS] = end
                row[column.BIASES] = end + sizes[m - 1] * row[column.STRIDE]
                end = int(row[column.BIASES] + row[column.STRIDE])
        self.data = aligned_zeros(end, dtype)
        self.gradients = aligned_zeros(0, dtype)

    def reserve_gradients(self) -> np.ndarray:
        """Make room for the gradients."""
        if self.gradients.size == 0:
            rows = int((self.layers[:-1, column.WIDTH] + 1).sum())
            self.gradients = aligned_zeros(self.data.size + rows, self.data.dtype)
        return self.gradients

    def weights(self, data: np.ndarray) -> list[np.ndarray]:
        """Views (D^(m-1), D^(m)), m = 1..L, of ``data`` laid out as the parameters are."""
        widths = self.layers[:, column.WIDTH]
        return [
            _matrix(data, row, int(row[column.WEIGHTS]), int(fan_in))
            for row, fan_in in zip(self.layers[1:], widths, strict=False)
        ]

    def biases(self, data: np.ndarray) -> list[np.ndarray]:
        """Views (D^(m),), m = 1..L, of ``data`` laid out as the parameters are."""
        return [_matrix(data, row, int(row[column.BIASES]), 1)[0] for row in self.layers[1:]]

    def vector(self, data: np.ndarray) -> np.ndarray:
        """A copy of ``data`` without the padding: W^(1) in C order, b^(1), W^(2), b^(2), …"""
        return np.concatenate([view.ravel() for view in self._views(data)])

    def assign(self, data: np.ndarray, vector: np.ndarray) -> None:
        """Overwrite ``data`` by such a vector."""
        start = 0
        for view in self._views(data):
            view[...] = vector[start : start + view.size].reshape(view.shape)
            start += view.size

    def _views(self, data: np.ndarray) -> Iterator[np.ndarray]:
        return chain(*zip(self.weights(data), self.biases(data), strict=True))


def _matrix(data: np.ndarray, row: np.ndarray, start: int, rows: int) -> np.ndarray:
    stride = int(row[column.STRIDE])
    return data[start : start + rows * stride].reshape(rows, stride)[:, : int(row[column.WIDTH])]
