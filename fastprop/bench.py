"""`fastprop bench`: the public workloads in fastprop and in its peers, measured in turn."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import workloads
from .threads import usable

OWN = "fastprop"
PEERS = ("numpy", "sklearn", "torch", "jax")

_DESCRIPTION = """\
Trains the public workloads with fastprop and with each peer that is installed: the NumPy reference,
scikit-learn, PyTorch and JAX. Each runs in a process of its own, and they take turns, several rounds of
them. The table shows microseconds a step (gather a shuffled mini-batch, forward pass, backward pass,
update), how many times the speed of the best peer that is, and the share of the multiply-add rate that
a loop in registers reached in the same run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fastprop bench`."""
    parser.description = _DESCRIPTION
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these workloads; all of them by default")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="these; all of them by default")
    parser.add_argument("--rounds", type=_positive(int), default=5, help="turns of each (%(default)s)")
    parser.add_argument(
        "--seconds", type=_positive(float), default=1.0, help="of a turn, at least one epoch (%(default)s)"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=1,
        metavar="N|auto",
        help="1, pinned to one core, by default; auto: fastprop's own choice against the better of one thread and one "
        "for each core of each peer",
    )
    parser.add_argument(
        "--dtype", choices=["float32", "float64"], default="float32", help="of all numbers (%(default)s)"
    )
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="PEER=PYTHON",
        type=_peer_python,
        help="the interpreter that has this peer, where it is another one",
    )
    parser.add_argument("--workloads", metavar="FILE", help="others, in the form of fastprop/workloads.py")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured to this file")


def run(options: argparse.Namespace) -> int:
    """Measure, print the table, and return the exit status: 1 where fastprop failed on a workload."""
    path = str(Path(options.workloads or workloads.__file__).resolve())
    table = workloads.load(path)
    if unknown := set(options.only or ()) - set(table):
        raise ValueError(f"no workload is called {', '.join(sorted(unknown))}; known: {', '.join(table)}")
    table = {name: w for name, w in table.items() if not options.only or name in options.only}

    pythons = dict(options.peer_python)
    report: dict[str, Any] = {"machine": _machine(), "dtype": options.dtype, "threads": options.threads}
    with contextlib.ExitStack() as stack:
        libraries = []
        for name in (OWN, *options.peers):
            for threads in _counts(name, options.threads):
                library = _Library(name, pythons.get(name, sys.executable), path, options.dtype, threads)
                stack.enter_context(library)
                if not library.version:
                    print(f"{name} is left out: {library.missing}", file=sys.stderr)
                    break
                libraries.append(library)
        report["versions"] = {library.name: library.version for library in libraries}
        layout = _Table(list(report["versions"]), max(map(len, table)), options.threads == "auto")
        print(_heading(report), layout.heading(), sep="\n\n", flush=True)
        rows = []
        for name, workload in table.items():
            rows.append(_measure(name, workload, libraries, options))
            print(layout.row(rows[-1]), flush=True)

    report["workloads"] = rows
    report["peak_gflops"] = max((row["peak_gflops"] for row in rows if row["peak_gflops"]), default=None)
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    report["geometric_mean"] = statistics.geometric_mean(ratios) if ratios else None
    print("\n" + _summary(report))
    for row in rows:
        for name, error in row["errors"].items():
            print(f"{row['workload']}: {name} failed: {error}", file=sys.stderr)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(OWN in row["errors"] for row in rows))


class _Library:
    """One library in a process of its own, which waits while others are measured (see ``peers.py``)."""

    def __init__(self, name: str, python: str, path: str, dtype: str, threads: int) -> None:
        count = str(threads or usable())
        several = "true" if int(count) > 1 else "false"
        environment = {
            **os.environ,
            "PYTHONSAFEPATH": "1",  # the script's neighbours have names that a library might import
            "OMP_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={several}",
        }
        command = [python, str(Path(__file__).with_name("peers.py")), name, path, dtype, str(threads)]
        self.name, self.threads = name, threads
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        except OSError as error:
            raise ValueError(f"{python} cannot run {name}: {error.strerror}") from error
        hello = self._answer()
        self.version, self.missing = hello.get("version"), hello.get("error")

    def ask(self, workload: str, seconds: float) -> dict[str, Any]:
        """Times of epochs; of the first one, too, when the workload is a new one."""
        try:
            print(json.dumps([workload, seconds]), file=self._process.stdin, flush=True)
        except OSError:
            return {"error": "its process has ended"}
        return self._answer()

    def __enter__(self) -> _Library:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, at which it ends

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        return json.loads(line) if line else {"error": f"its process ended with status {self._process.wait()}"}


def _measure(name: str, workload: Any, libraries: list[_Library], options: argparse.Namespace) -> dict[str, Any]:
    """Rounds in which the libraries take turns at one workload. A library's result is its median epoch, with the number
    of threads that was best for it."""
    first: dict[str, float] = {}
    times: dict[tuple[str, int], list[list[float]]] = {}
    errors: dict[str, str] = {}
    peaks: list[float] = []
    for turn in range(options.rounds + 1):
        for library in libraries:
            key = library.name, library.threads
            if library.name in errors or (turn and key not in times):
                continue
            # Turn 0 compiles and warms up, so that nobody else's compilation falls between two measurements.
            answer = library.ask(name, options.seconds if turn else 0)
            if "error" in answer:
                errors[library.name] = answer["error"]
            elif turn == 0 and "first" in answer:
                first[library.name], times[key] = answer["first"], []
            elif turn:
                times[key].append(answer["times"])
            peaks += [answer["peak"]] if "peak" in answer else []

    found = {
        key: statistics.median(map(statistics.median, rounds)) / workload.steps * 1e6
        for key, rounds in times.items()
        if key[0] not in errors
    }
    us = {library: min(found[key] for key in found if key[0] == library) for library, _ in found}
    alone = found.get((OWN, 1))
    if options.threads == "auto" and OWN in us:
        us[OWN] = found[OWN, 0]
    cores = {1: 1, "auto": usable()}.get(options.threads, options.threads)
    best = min((library for library in us if library != OWN), key=us.__getitem__, default=None)
    gflops = workloads.flops_per_step(workload) / us[OWN] / 1e3 if OWN in us else None
    peak = max(peaks, default=None)
    return {
        "workload": name,
        "us_per_step": us,
        "best_peer": best,
        "ratio": us[best] / us[OWN] if best and OWN in us else None,
        "gflops": gflops,
        "peak_gflops": peak,
        "share_of_peak": gflops / (peak * cores) if gflops and peak else None,
        "threads_us": {f"{library}, {threads or 'auto'}": value for (library, threads), value in found.items()},
        "speed_up": alone / us[OWN] if options.threads == "auto" and alone else None,
        "first_epoch_s": first,
        "epochs_s": {f"{library}, {threads or 'auto'}": rounds for (library, threads), rounds in times.items()},
        "errors": errors,
    }


class _Table:
    """The text table: a row for each workload, a column for each library."""

    def __init__(self, libraries: list[str], width: int, threads: bool) -> None:
        self.libraries, self.width, self.threads = libraries, width, threads

    def heading(self) -> str:
        return self._line("µs a step", self.libraries, "vs best peer", "GFLOP/s", "peak", "vs 1 thread")

    def row(self, row: dict[str, Any]) -> str:
        times = [_short(row["us_per_step"].get(library)) for library in self.libraries]
        ratio = f"{row['ratio']:.2f} {row['best_peer']:<7}" if row["ratio"] else "-       "
        share = f"{row['share_of_peak']:.0%}" if row["share_of_peak"] else "-"
        gain = f"{row['speed_up']:.2f}" if row["speed_up"] else "-"
        return self._line(row["workload"], times, ratio, _short(row["gflops"]), share, gain)

    def _line(self, name: str, times: list[str], ratio: str, gflops: str, share: str, gain: str) -> str:
        columns = "".join(f" {time:>8}" for time in times)
        threads = f" {gain:>11}" if self.threads else ""
        return f"{name:<{self.width}}{columns} {ratio:>13} {gflops:>7} {share:>4}{threads}".rstrip()


def _short(number: float | None) -> str:
    """Three digits or more, of which at most three are decimals."""
    if number is None:
        return "-"
    return f"{number:.{sum(number < limit for limit in (1, 10, 100))}f}"


def _heading(report: dict[str, Any]) -> str:
    threads = {1: "1 thread", "auto": "threads as each likes best"}.get(
        report["threads"], f"{report['threads']} threads"
    )
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return f"{report['machine']}, {threads}, {report['dtype']}\n{versions}"


def _summary(report: dict[str, Any]) -> str:
    lines = []
    if report["geometric_mean"]:
        lost = [row["workload"] for row in report["workloads"] if (row["ratio"] or 1) < 1]
        lines.append(f"geometric mean: {report['geometric_mean']:.2f} times the speed of the best peer")
        lines.append(f"slower than the best peer on: {', '.join(lost) or 'none'}")
    if report["peak_gflops"]:
        lines.append(f"peak of multiply-adds in registers: {report['peak_gflops']:.0f} GFLOP/s a core")
    return "\n".join(lines)


def _machine() -> str:
    """Processor, width of its vectors and cores."""
    from .kernels.simd import LEVEL
    from .machine import cpu_name

    return f"{cpu_name()}, {LEVEL}, {os.cpu_count()} cores"


def _counts(name: str, threads: int | str) -> list[int]:
    """The numbers of threads with which a library is measured, 0 for fastprop's own choice."""
    if threads != "auto":
        return [int(threads)]
    return [1, 0] if name == OWN else sorted({1, usable()})


def _threads(text: str) -> int | str:
    if text == "auto":
        return text
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_threads.__name__ = "positive int, or auto"


def _positive(kind: type) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def _peer_python(text: str) -> tuple[str, str]:
    name, separator, python = text.partition("=")
    if name not in PEERS or not (separator and python):
        raise argparse.ArgumentTypeError(f"must be PEER=PYTHON, with one of {', '.join(PEERS)}; got {text!r}")
    return name, python
