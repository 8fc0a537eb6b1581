"""The safetensors format: eight bytes with the length of a header, the header in JSON, and the numbers.

https://huggingface.co/docs/safetensors describes it, and anybody's safetensors reads these files. Two entries stand
first in our headers, where they are found without parsing anything: the version of what fastprop keeps in a file, and
a SHA-256 of every byte of the file, taken with zeros in its own place. So a damaged file is known before any of it
is believed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np

VERSION = 1
DTYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
#: How our headers begin. The checksum's 64 digits end the match.
BEGINNING = re.compile(rb'\{"__metadata__":\{"fastprop":"([1-9][0-9]{0,8})","checksum":"([0-9a-f]{64})"')
LONGEST_HEADER = 1 << 24  # bytes: some hundred thousand tensors
CHUNK = 1 << 20  # bytes hashed at a time


def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file whole, or leave what was there.

    Parameters
    ----------
    path : path-like
        Written beside and renamed into place, with everything on disk before and after the renaming.
    tensors : mapping of str to ndarray
        Float32 or float64, of any strides: copied one at a time.
    metadata : mapping of str to str

    Raises
    ------
    ValueError
        If ``path`` is there but is no regular file, or the header would be too long to be read.
    OSError
        If it cannot be written; what was there is unchanged.
    """
    entries: dict[str, Any] = {"__metadata__": {"fastprop": str(VERSION), "checksum": "0" * 64, **metadata}}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        kind = next(kind for kind, dtype in DTYPES.items() if dtype == array.dtype)
        entries[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (start, end)}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the numbers begin on a multiple of eight bytes
    if len(header) > LONGEST_HEADER:
        raise ValueError(f"the header of a file must have at most {LONGEST_HEADER} bytes, got {len(header)}")

    with renamed_into(path) as file:
        digest = hashlib.sha256()

        def put(data: Any) -> None:
            digest.update(data)
            file.write(data)

        put(len(header).to_bytes(8, "little"))
        put(header)
        for array in tensors.values():
            put(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        file.seek(8 + BEGINNING.match(header).start(2))  # type: ignore[union-attr]
        file.write(digest.hexdigest().encode())


class Reader:
    """A file whose every byte is as it was written; or a `ValueError`, before memory is taken for what is in it.

    Attributes
    ----------
    metadata : dict of str to str
    tensors : dict of str to (dtype, shape)

    Raises
    ------
    ValueError
        If the file is damaged, not fastprop's, or a later version's.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fsdecode(path)
        if not stat.S_ISREG(os.stat(self.path).st_mode):  # opening a pipe would wait for its writer
            raise self.refusal("is not a regular file")
        self._file = open(self.path, "rb")  # noqa: SIM115
        try:
            self._offsets: dict[str, int] = {}
            self.metadata, self.tensors = self._header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def refusal(self, why: str) -> ValueError:
        """The error that says ``why`` this file is not read."""
        return ValueError(f"{self.path!r} {why}")

    def read(self, name: str) -> np.ndarray:
        """The numbers of a tensor, in an array of their own."""
        dtype, shape = self.tensors[name]
        array = np.empty(shape, dtype)
        self._file.seek(self._offsets[name])
        self._fill(array.reshape(-1).view(np.uint8).data)
        return array

    def _fill(self, place: memoryview) -> None:
        if self._file.readinto(place) < len(place):
            raise self.refusal("was shortened while it was read")

    def _header(self) -> tuple[dict[str, str], dict[str, tuple[np.dtype, tuple[int, ...]]]]:
        size = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._file.read(8), "little")
        if not 2 <= length <= min(size - 8, LONGEST_HEADER):
            raise self.refusal("is damaged, or no safetensors file: no header could be that long")
        beginning = BEGINNING.match(self._file.read(min(length, 256)))
        if beginning is None:
            raise self.refusal("is not a file of fastprop's")
        if int(beginning[1]) > VERSION:
            raise self.refusal(
                f"was written by a later fastprop, in version {int(beginning[1])}; this one reads up to {VERSION}"
            )
        if self._checksum(8 + beginning.start(2)) != beginning[2]:
            raise self.refusal("is damaged: its checksum is not that of its bytes")
        self._file.seek(8)
        raw = bytearray(length)
        self._fill(memoryview(raw))
        try:
            entries = json.loads(raw)
            metadata = entries.pop("__metadata__")
            if not all(isinstance(text, str) for text in metadata.values()):
                raise ValueError("__metadata__")
            tensors, end = {}, 0
            for name, entry in entries.items():
                dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
                if len(shape) > 2 or not all(type(d) is int and d >= 0 for d in shape):
                    raise ValueError(name)
                start, end = end, end + math.prod(shape) * dtype.itemsize
                if entry["data_offsets"] != [start, end]:
                    raise ValueError(name)
                tensors[name] = dtype, shape
                self._offsets[name] = 8 + length + start
            if 8 + length + end != size:
                raise ValueError(end)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self.refusal("is not a safetensors file: its header does not describe its numbers") from None
        return metadata, tensors

    def _checksum(self, place: int) -> bytes:
        """The digits of the SHA-256 of all bytes, with zeros for the 64 at ``place``."""
        digest, chunk = hashlib.sha256(), bytearray(CHUNK)
        self._file.seek(0)
        first = self._file.readinto(chunk)
        chunk[place : place + 64] = b"0" * 64
        digest.update(memoryview(chunk)[:first])
        while count := self._file.readinto(chunk):
            digest.update(memoryview(chunk)[:count])
        return digest.hexdigest().encode()


@contextmanager
def renamed_into(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its place once it is whole and on disk: a kill leaves the old or the new."""
    path = os.path.realpath(os.fsdecode(path))  # through a symbolic link, rather than over it
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"path must be a regular file, or one to be made, got {path!r}")
    beside = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):
            os.remove(beside)
        if isinstance(error, OSError):
            error.filename = path  # rather than the name beside
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
