"""Machine code of entry points on disk.

Numba's own cache looks at the file in which a function is defined, and at nothing that function calls. Here the key
of a cached entry holds the text of every kernel file, the settings of the build, the versions and the processor, and
each key has a file of its own, written beside and renamed into place: two processes that fill the cache at once
write the same bytes to the same name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import platform
import sys
import tempfile
import uuid
import warnings
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import compiler
from numba.core.caching import _Cache
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from .compiler import CHECKED, SETTINGS, load


class KernelCache(_Cache):
    """Machine code of one entry point and its kernels, a file for each key. The protocol is Numba's ``_Cache``."""

    def __init__(self, function):
        self._name = function.__qualname__
        self._enabled = True

    @property
    def cache_path(self):
        return None if FOLDER is None else str(FOLDER)

    def enable(self):
        self._enabled = True

    def disable(self):
        self._enabled = False

    def flush(self):
        for path in self._files():
            path.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        if FOLDER is None or not self._enabled:
            return None
        if CHECKED:
            target_context.refresh()
        try:
            data = self._path(sig, target_context).read_bytes()
        except OSError:
            return None
        digest, payload = data[:32], data[32:]
        if hashlib.sha256(payload).digest() != digest:
            return None  # cut short or damaged: compile again, and write it anew
        kernels, entry = pickle.loads(payload)
        load(kernels, target_context.codegen())
        return compiler.CompileResult._rebuild(target_context, *entry)

    def save_overload(self, sig, data):
        if FOLDER is None or not self._enabled:
            return
        payload = dumps((data.library.kernels, data._reduce()))
        path = self._path(sig, data.target_context)
        # A full disk or a folder that vanished costs the next process a compilation, not this one its training.
        with contextlib.suppress(OSError):
            if path.parent.name == "__pycache__":  # beside the kernels: nobody else's, so old versions can go
                for old in self._files():
                    if FINGERPRINT not in old.name:
                        old.unlink(missing_ok=True)
            temporary = path.with_suffix(f".{uuid.uuid4().hex[:12]}.tmp")
            try:
                temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def _files(self):
        return [] if FOLDER is None else list(FOLDER.glob(f"fastprop-{self._name}-*.nbc"))

    def _path(self, sig, target_context) -> Path:
        key = (
            str(sig),
            target_context.codegen().magic_tuple(),
            platform.python_implementation(),
            sys.version_info[:2],
            numba.__version__,
            llvmlite.__version__,
            np.__version__,
            tuple(os.environ.get(name, "") for name in SETTINGS),
        )
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:20]
        assert FOLDER is not None  # its callers have looked
        return FOLDER / f"fastprop-{self._name}-{FINGERPRINT}-{digest}.nbc"


def _fingerprint() -> str:
    """Digest of the text of all kernel files: a change in any of them changes every key."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _folder() -> Path | None:
    """NUMBA_CACHE_DIR if it is set; else beside the kernels; else the user's cache folder; else none."""
    chosen = getattr(numba.config, "CACHE_DIR", "")
    if chosen:
        candidates = [Path(chosen)]
    else:
        candidates = [
            Path(__file__).parent / "__pycache__",
            Path(AppDirs("fastprop", appauthor=False).user_cache_dir),
        ]
    for folder in candidates:
        if _writable(folder):
            return folder
    warnings.warn(
        "fastprop: none of the folders for compiled kernels can be written "
        f"({', '.join(map(str, candidates))}), so each process compiles them anew; "
        "set NUMBA_CACHE_DIR to a writable folder",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


FINGERPRINT = _fingerprint()
FOLDER = _folder()
