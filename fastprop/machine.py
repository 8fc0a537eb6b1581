"""What was found on this machine, and the kernels it keeps: ``fastprop doctor`` and ``fastprop warmup``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .kernels import cache, compiler, jit, simd, training
from .network import DTYPES, Network
from .optimizers import SGD

#: Environment variables that change what is compiled or where it is kept.
SETTINGS = (
    *compiler.SETTINGS,
    "NUMBA_CACHE_DIR",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_DISABLE_JIT",
    "NUMBA_OPT",
)


@dataclass
class Call:
    """One call of a tiny network, and what it made ready."""

    entries: list[str]  # the entry points that it brought into this process
    compiled: bool  # rather than found on disk
    seconds: float


def load(dtype: str, names: Iterable[str] | None = None) -> Iterator[Call]:
    """Call a tiny network's methods, all or the named ones, so that what they need is compiled or loaded."""
    network, optimizer = Network([2, 2, 1], dtype=dtype, seed=0), SGD()
    X, y = np.zeros((1, 2), dtype), np.zeros((1, 1), dtype)
    calls = {
        "fit": lambda: network.fit(X, y, optimizer=optimizer),
        "predict": lambda: network.predict(X),
        "forward": lambda: network.forward(X),
        "backward": lambda: network.backward(y),
        "backward_from": lambda: network.backward_from(y),
        "step": lambda: network.step(optimizer),
    }
    for name in calls if names is None else names:
        before = _entries()
        began = time.perf_counter()
        calls[name]()
        seconds = time.perf_counter() - began
        after = _entries()
        loaded = [entry for entry, counts in after.items() if counts != before[entry]]
        yield Call(loaded, any(after[entry][1] > before[entry][1] for entry in loaded), seconds)


def is_cached(entry: str = "train") -> bool:
    """Whether an entry point of this build is on disk, for one dtype at least."""
    return cache.FOLDER is not None and any(cache.FOLDER.glob(f"fastprop-{entry}-{cache.FINGERPRINT}-*.nbc"))


def warmup(dtype: str) -> int:
    """Fill the cache for a dtype, or for ``all``; return the exit code."""
    print(f"kernels: {_simd()}")
    print(f"folder:  {cache.FOLDER or 'none can be written'}", flush=True)
    count, compiled, seconds = 0, 0, 0.0
    for name in DTYPES if dtype == "all" else (dtype,):
        for call in load(name):
            count, compiled = count + len(call.entries), compiled + call.compiled * len(call.entries)
            seconds += call.seconds
            what = "compiled" if call.compiled else "found"
            for entry in call.entries:
                print(f"{name}  {entry:20}  {what:8}  {call.seconds:6.2f} s", flush=True)
    print(f"{count} entry points ready, {compiled} of them compiled now, in {seconds:.1f} s")
    if cache.FOLDER is None:
        print("nothing was kept: set NUMBA_CACHE_DIR to a writable folder", file=sys.stderr)
        return 1
    return 0


def doctor() -> int:
    """Print what was found; return the exit code."""
    import llvmlite
    import numba

    from . import __version__

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lanes = simd.TILE_VECTORS * simd.WIDTH
    findings = {
        "fastprop": f"{__version__}, {Path(__file__).parent}",
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}, "
        f"llvmlite {llvmlite.__version__}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu_name(),
        "cores": f"{usable} usable of {os.cpu_count()}; a network uses one thread",
        "SIMD": _simd(),
        "FMA": "yes" if simd.FMA == "llvm.fma" else "no: a product and its sum are rounded apart",
        "tile": f"{simd.TILE_ROWS} x {simd.TILE_VECTORS} vectors: "
        f"{simd.TILE_ROWS} x {lanes // 4} float32, {simd.TILE_ROWS} x {lanes // 8} float64",
        "checked build": "on: every load and store is verified" if compiler.CHECKED else "off",
        "settings": ", ".join(f"{key}={os.environ[key]}" for key in SETTINGS if key in os.environ) or "none",
        **_cache(),
    }
    for name, finding in findings.items():
        print(f"{name:14} {finding}")
    return 0


def cpu_name() -> str:
    """The processor as its maker calls it, or else as LLVM does."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if found:
            return found
    from llvmlite.binding import get_host_cpu_name

    return platform.processor() or get_host_cpu_name()


def _simd() -> str:
    forced = ", forced" if os.environ.get("FASTPROP_SIMD") else ""
    width = simd.WIDTH
    return f"{simd.LEVEL}{forced}: vectors of {width} bytes, {width // 4} float32 or {width // 8} float64"


def _cache() -> dict[str, str]:
    if cache.FOLDER is None:
        return {"cache folder": "none can be written: each process compiles anew; set NUMBA_CACHE_DIR"}
    files = list(cache.FOLDER.glob("fastprop-*.nbc"))
    ours = [path for path in files if f"-{cache.FINGERPRINT}-" in path.name]
    size = sum(path.stat().st_size for path in ours)
    state = f"{len(ours)} files, {size / 1e6:.1f} MB" if ours else "empty: fastprop warmup fills it"
    if len(files) > len(ours):
        state += f"; {len(files) - len(ours)} files of other versions"
    return {"cache folder": f"{cache.FOLDER} (writable)", "cache": state}


def _entries() -> dict[str, tuple[int, int]]:
    """The entry points: how often each was found on disk, and how often it was not."""
    counts = {}
    for name, value in vars(training).items():
        if isinstance(value, jit.Entry):
            stats: Any = value.dispatcher.stats
            counts[name] = (sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
    return counts
