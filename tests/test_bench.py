"""`fastprop bench` measures what it says, and asv finds each benchmark of the suite."""

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastprop import cli
from fastprop.peers import EPOCHS
from fastprop.workloads import LEARNING_RATE, WORKLOADS, Workload, flops_per_step, load

BENCHMARKS = Path(__file__).parents[1] / "asv_bench" / "benchmarks"
SMALL = {
    "sgd": Workload((3, 4, 2), "sigmoid", "identity", "mse", 4, 10, "sgd"),
    "momentum": Workload((3, 4, 3), "relu", "softmax", "cross_entropy", 4, 10, "momentum"),
    "adam": Workload((3, 4, 4, 1), "tanh", "identity", "mse", 5, 10, "adam"),
}


@pytest.fixture
def small_file(tmp_path):
    """A file of workloads as a user writes one."""
    path = tmp_path / "small.py"
    lines = ["from fastprop.workloads import LEARNING_RATE, Workload", f"WORKLOADS = {SMALL!r}"]
    path.write_text("\n".join(lines))
    return str(path)


def bench(*options):
    return cli.main(["bench", "--rounds", "2", "--seconds", "0.001", *options])


def test_workloads():
    assert [w.networks for w in WORKLOADS.values()] == [1] * 8 + [64]
    assert list(load()) == list(WORKLOADS)
    assert all(w.samples == w.steps * w.batch for w in WORKLOADS.values())
    x, labels = SMALL["momentum"].data()
    assert (x.shape, x.dtype) == ((10, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((10,), np.int64)
    x, y = SMALL["sgd"].data()
    assert (y.shape, y.dtype) == ((10, 2), np.float32)
    # 2 · 64 · (784·128 + 128·10 forward, as much for the gradients of W, 128·10 for δ of the hidden layer)
    assert flops_per_step(WORKLOADS["mnist-784-128-10-b64"]) == 2 * 64 * (2 * (100_352 + 1_280) + 1_280)


@pytest.mark.parametrize("library", ["fastprop", "numpy", "sklearn"])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_epoch_trains(library, name, dtype):
    if library == "sklearn":
        pytest.importorskip("sklearn")
    w = SMALL[name]
    x, y = w.data()
    y = y if w.loss == "cross_entropy" else y.astype(dtype)
    epoch = EPOCHS[library](w, x.astype(dtype), y, LEARNING_RATE, 1)
    result = [epoch(), epoch()]
    if library == "fastprop":
        assert result[1].loss[0] < result[0].loss[0]
    elif library == "numpy":
        assert result[1][0] < result[0][0]
    else:
        assert result[1].t_ == 2 * w.samples


def test_what_scikit_learn_cannot_express_is_left_out():
    pytest.importorskip("sklearn")
    w = WORKLOADS["xor-b1"]
    assert EPOCHS["sklearn"](w, *w.data(), LEARNING_RATE, 1) is None


def test_table_and_json_agree(small_file, tmp_path, capsys):
    file = tmp_path / "report.json"
    assert bench("--workloads", small_file, "--peers", "numpy", "--json", str(file)) == 0
    out, report = capsys.readouterr().out, json.loads(file.read_text())
    assert set(report["versions"]) == {"fastprop", "numpy"}
    assert [row["workload"] for row in report["workloads"]] == list(SMALL)
    for row in report["workloads"]:
        ours, theirs = row["us_per_step"]["fastprop"], row["us_per_step"]["numpy"]
        assert row["ratio"] == pytest.approx(theirs / ours)
        assert row["gflops"] == pytest.approx(flops_per_step(SMALL[row["workload"]]) / ours / 1e3)
        assert 0 < row["share_of_peak"] < 1
        assert [len(turns) for turns in row["epochs_s"].values()] == [2, 2]
        line = next(line for line in out.splitlines() if line.startswith(row["workload"]))
        assert f"{row['ratio']:.2f} numpy" in line
    ratios = [row["ratio"] for row in report["workloads"]]
    assert f"geometric mean: {np.prod(ratios) ** (1 / 3):.2f} times" in out
    lost = [row["workload"] for row in report["workloads"] if row["ratio"] < 1]
    assert f"slower than the best peer on: {', '.join(lost) or 'none'}\n" in out


def test_without_peers_there_is_no_ratio(small_file, capsys):
    assert bench("--workloads", small_file, "--only", "adam", "--peers", "--dtype", "float64") == 0
    out = capsys.readouterr().out
    assert re.search(r"^adam +[\d.]+ +- ", out, re.MULTILINE)
    assert "geometric mean" not in out


def test_a_peer_that_cannot_start_is_left_out(small_file, tmp_path, capfd):
    empty = tmp_path / "venv"  # an interpreter without packages
    empty.mkdir()
    python = empty / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    code = bench("--workloads", small_file, "--only", "sgd", "--peers", "jax", "--peer-python", f"jax={python}")
    captured = capfd.readouterr()
    assert code == 0
    assert captured.err.splitlines()[-1].startswith("jax is left out: ")
    assert "vs best peer" in captured.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "xor"], "no workload is called xor; known: xor-b1, tabular-8-32-32-1-b32"),
        (["--peers", "jax", "--peer-python", "jax=/no/such/python"], "/no/such/python cannot run jax"),
    ],
)
def test_refusals(options, words, capsys):
    assert bench(*options) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--rounds", "0"], ["--seconds", "-1"], ["--peer-python", "mxnet=python"]])
def test_options_out_of_range(options):
    with pytest.raises(SystemExit):
        bench(*options)


def test_asv_collects_each_benchmark():
    """asv runs methods and functions with these names, and silently none with others."""
    collected = re.compile(r"(time|timeraw|mem|peakmem|track)_.+|setup|setup_cache|teardown|_.*")
    found = 0
    for path in BENCHMARKS.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        if path.name == "timing.py":
            assert not classes
            continue
        for function in functions + [node for c in classes for node in c.body if isinstance(node, ast.FunctionDef)]:
            assert collected.fullmatch(function.name), f"{path.name}: {function.name}"
            found += not re.fullmatch("setup|setup_cache|teardown|_.*", function.name)
    assert found > 15
