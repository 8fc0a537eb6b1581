"""The command line: what it prints, what it refuses, and how it stops."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastprop
from fastprop import Network, cli
from fastprop.activations import ACTIVATIONS
from fastprop.losses import LOSSES
from fastprop.optimizers import OPTIMIZERS


@pytest.fixture
def run(capsys):
    """Run a command line; return its exit code and what it printed on stdout and stderr."""

    def run(line):
        try:
            code = cli.main(line.split())
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def python(*arguments, **environment):
    """A Python process of its own."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True, text=True, timeout=400, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_works_from_a_clone():
    root = Path(__file__).parents[1]
    code = "import fastprop, fastprop.kernels.jit; print(fastprop.Network([2, 1], seed=0).num_parameters)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=400, check=False
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_help_and_version_import_nothing_heavy():
    heavy = "{'numba', 'numpy', 'sklearn'} & {*sys.modules}"
    code = f"import sys, fastprop.cli as cli; cli.build_parser(); print({heavy})"
    assert python("-c", code).stdout == "set()\n"
    done = python("-m", "fastprop", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"fastprop \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("line", ["", "--help", "train --help", "train digits --help", "train xor --help",
                                  "warmup --help", "doctor --help", "costs --help"])  # fmt: skip
def test_help(run, line):
    code, out, err = run(line)
    assert (code, err) == (0, "")
    assert "usage: fastprop" in out
    assert max(map(len, out.splitlines())) <= 110


def test_help_names_every_choice():
    assert cli.ACTIVATIONS.split(", ") == [name for name in ACTIVATIONS if name != "softmax"]
    assert cli.LOSSES.split(", ") == list(LOSSES)
    assert cli.OPTIMIZERS.split(", ") == list(OPTIMIZERS)


def test_digits(run):
    code, out, _ = run("train digits")
    assert code == 0
    epochs = re.findall(r"^epoch +(\d+)/30   loss (\d+\.\d+)   test accuracy +(\d+\.\d+) %$", out, re.MULTILINE)
    assert [int(number) for number, *_ in epochs] == list(range(1, 31))
    losses = [float(loss) for _, loss, _ in epochs]
    assert losses[-1] < 0.05 < 0.5 < losses[0]
    final = re.search(r"^test accuracy (\d+\.\d+) % \((\d+) of 450\) after 30 epochs", out, re.MULTILINE)
    assert float(final[1]) >= 97
    assert float(final[1]) == pytest.approx(100 * int(final[2]) / 450, abs=0.005)
    assert float(final[1]) == float(epochs[-1][2])


@pytest.mark.parametrize(
    "options",
    [
        "--sizes 64 32 16 10 --hidden tanh gelu",
        "--sizes 64,32,10 --hidden elu --dtype float64",
        "--hidden-sizes",
        "--hidden-sizes 20 20 --hidden silu,relu --batch-size 100",
        "--output sigmoid",
        "--output identity --loss huber",
        "--loss mse",
        "--optimizer sgd --learning-rate 0.05 --momentum 0.9 --seed 7",
    ],
)
def test_digits_with_options(run, options):
    code, out, _ = run(f"train digits --epochs 8 --no-progress {options}")
    assert code == 0
    assert out.count("\n") == 1
    assert float(re.match(r"test accuracy (\d+\.\d+) %", out)[1]) > 80


def test_no_epochs(run):
    code, out, _ = run("train digits --epochs 0 --no-progress")
    assert code == 0
    assert "after 0 epochs" in out


def test_xor(run):
    code, out, _ = run("train xor")
    assert code == 0
    assert len(re.findall(r"^epoch", out, re.MULTILINE)) == 10
    table = np.array(re.findall(r"^ (\d)  (\d) +(\d) +(\d\.\d+)$", out, re.MULTILINE), dtype=float)
    assert table[:, :3].tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    np.testing.assert_allclose(table[:, 3], table[:, 2], atol=0.05)
    assert "Seed 0 reaches XOR. Others may get stuck" in out


def test_xor_gets_stuck_from_the_seeds_it_names(run):
    from fastprop.tasks import STUCK

    for seed in range(20):
        _, out, _ = run(f"train xor --no-progress --seed {seed}")
        assert (f"Seed {seed} does not reach XOR" in out) == (seed in STUCK), seed


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "choose from '?train'?, .*'?bench'?"),
        ("train", "digits,xor"),
        ("train mnist", "choose from '?digits'?, '?xor'?"),
        ("train digits --hidden rel", "hidden must be one of identity, .*; got 'rel'"),
        ("train digits --hidden relu tanh", "hidden must name 1 activation"),
        ("train digits --hidden softmax", "for the output only"),
        ("train digits --output nope", "output must be one of identity, .*softmax; got 'nope'"),
        ("train digits --loss nope", "loss must be one of squared_error, .*; got 'nope'"),
        ("train digits --optimizer nope", "optimizer must be one of sgd, rmsprop, .*; got 'nope'"),
        ("train digits --learning-rate -1", "learning_rate must be a finite number ≥ 0, got -1.0"),
        ("train digits --learning-rate nan", "learning_rate must be a finite number"),
        ("train digits --learning-rate fast", "--learning-rate: invalid float value: 'fast'"),
        ("train digits --momentum 0.9", "--momentum must go with an optimizer that has one"),
        ("train digits --optimizer sgd --momentum 1", "momentum must be .* < 1, got 1.0"),
        ("train digits --epochs -1", "epochs must be an integer ≥ 0, got -1"),
        ("train digits --epochs 1.5", "--epochs: invalid int value: '1.5'"),
        ("train digits --batch-size 0", "batch_size must be an integer ≥ 1, got 0"),
        ("train digits --batch-size 1348", "batch_size must be at most the number of rows to train on, 1347"),
        ("train digits --dtype float16", "dtype must be one of float32, float64; got 'float16'"),
        ("train digits --seed -1", "seed must be an integer ≥ 0, got -1"),
        ("train digits --sizes 64 32", "--sizes must go from 64 inputs to 10 outputs, got"),
        ("train digits --sizes 64 x 10", "--sizes: expected integers such as 64 128 10, got 'x'"),
        ("train digits --sizes 64 0 10", "must be an integer ≥ 1, got 0"),
        ("train digits --hidden-sizes 8 --sizes 64 10", "not allowed with"),
        ("train digits --epoch 3", "unrecognized arguments: --epoch 3"),
        ("train xor --output softmax", "output='softmax' must have at least 2 outputs"),
        ("warmup --dtype int8", "choose from '?float32'?, '?float64'?, '?all'?"),
    ],
)
def test_refusals_are_one_line(run, line, says):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("fastprop")
    assert err.count("\n") == 1
    assert re.search(says, err)


def test_divergence_is_one_line(run):
    code, _, err = run("train digits --optimizer sgd --learning-rate 1e30 --no-progress")
    assert code == 1
    assert err.splitlines()[-1].startswith("fastprop train digits: training diverged in epoch 1, step ")


def test_ctrl_c_is_one_line(run, monkeypatch):
    from fastprop.network import Network

    def interrupted(*_, **options):
        if options["epochs"]:
            raise KeyboardInterrupt

    monkeypatch.setattr("fastprop.machine.load", lambda *_: [])
    monkeypatch.setattr(Network, "fit", interrupted)
    code, _, err = run("train xor --no-progress")
    assert (code, err.splitlines()[-1]) == (130, "fastprop train xor: interrupted")


def test_a_reader_that_leaves_early(monkeypatch, run):
    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr("fastprop.machine.doctor", gone)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert run("doctor")[::2] == (1, "")


@pytest.mark.parametrize("missing", ["sklearn.datasets", "tqdm"])
def test_missing_extras_say_what_to_install(run, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run("train digits --epochs 1")
    assert "python3 -m pip install 'fastprop-numba[cli]'" in err
    if missing == "sklearn.datasets":
        assert (code, out, err.count("\n")) == (2, "", 1)
    else:  # a bar is no reason not to train
        assert code == 0
        assert "epoch 1/1" in out


def test_progress_bar_is_for_terminals(run, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run("train digits --epochs 3")
    assert code == 0
    assert len(re.findall(r"^epoch \d/3   loss", out, re.MULTILINE)) == 3
    assert "/3 [" in err
    code, out, err = run("train digits --epochs 3 --no-progress")
    assert (code, out.count("\n"), err) == (0, 1, "")


def test_warmup(run):
    code, out, err = run("warmup --dtype all")
    assert (code, err) == (0, "")
    assert "folder:" in out
    assert re.search(r"entry points ready, \d+ of them compiled now, in \d+\.\d s\n$", out)


def test_warmup_calls_every_entry_point():
    code = (
        "from fastprop import machine\n"
        "loaded = [entry for call in machine.load('float32') for entry in call.entries]\n"
        "assert sorted(loaded) == sorted(machine._entries()), loaded\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_doctor(run):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    for finding in (
        *("fastprop", "versions", "processor", "cores", "SIMD", "FMA", "tile", "checked build", "settings"),
        "cache folder",
    ):
        assert re.search(rf"^{finding} +\S", out, re.MULTILINE), finding


def test_a_wrong_setting_is_one_line():
    done = python("-m", "fastprop", "doctor", FASTPROP_SIMD="mmx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fastprop doctor: FASTPROP_SIMD must be one of avx512, avx2, portable; got 'mmx'")


def test_bench_options_are_the_modules_own():
    parser = cli.build_parser(with_bench=True)
    assert callable(parser.parse_args(["bench"]).run)


# What is done with a saved model.


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A network, saved as model.safetensors in the current folder."""
    monkeypatch.chdir(tmp_path)
    network = Network([3, 4, 2], fastprop.LeakyReLU(0.1), seed=0)
    network.save("model.safetensors")
    return network


ROWS = np.array([[1.0, 2.0, 3.0], [-0.5, 0.25, 1e-3]], np.float32)
TABLE = "1,2,3\n-0.5,0.25,1e-3\n"


def test_train_saves(run, tmp_path):
    path = tmp_path / "xor.safetensors"
    assert run(f"train xor --epochs 3000 --no-progress --save {path}")[::2] == (0, "")
    assert fastprop.load(path).predict([[0, 1]])[0, 0] > 0.5


def test_inspect(run, model):
    code, out, err = run("inspect model.safetensors")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith(" bytes, 26 parameters")
    assert out.splitlines()[1] == repr(model)
    norm = f"{np.linalg.norm(model.weights[0]):.4g}"
    assert re.search(rf"^ +1  3 x 4    leaky_relu\(slope=0\.1\) +16 +{norm} +\d\.\d+ +0$", out, re.MULTILINE)
    assert "checkpoint" not in out
    model.train_step([[1, 2, 3]], [[1, 2]], adam := fastprop.Adam(0.01))
    model.save("model.safetensors", optimizer=adam, epoch=7)
    out = run("inspect model.safetensors")[1]
    assert out.splitlines()[-1] == f"a checkpoint after 7 epochs, 1 updates by {adam}"


@pytest.mark.parametrize("names", ["", "height, width, weight\n", "\ufeffa,b,c\n\n"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_reads_and_writes_every_digit(run, model, names, dtype):
    model = Network([3, 4, 2], dtype=dtype, seed=0)
    model.save("model.safetensors")
    Path("rows.csv").write_text(names + TABLE, encoding="utf-8")
    code, out, err = run("predict model.safetensors rows.csv")
    assert (code, err) == (0, "")
    rows = ROWS if dtype == "float32" else [[1, 2, 3], [-0.5, 0.25, 1e-3]]
    read = np.array([line.split(",") for line in out.splitlines()], dtype)
    np.testing.assert_array_equal(read, model.predict(rows))


def test_predict_from_and_to_npy(run, model):
    np.save("rows.npy", ROWS)
    assert run("predict model.safetensors rows.npy -o outputs.npy") == (0, "", "")
    np.testing.assert_array_equal(np.load("outputs.npy"), model.predict(ROWS))
    assert run("predict model.safetensors rows.npy --labels --output labels.csv") == (0, "", "")
    labels = model.predict(ROWS).argmax(axis=1)
    assert Path("labels.csv").read_text() == "".join(f"{label}\n" for label in labels)


def test_gradcheck(run, model, monkeypatch):
    np.savetxt("rows.csv", np.hstack([ROWS, [[0.0, 1.0]] * len(ROWS)]), delimiter=",")
    code, out, err = run("gradcheck model.safetensors rows.csv --entries 20 --seed 3")
    assert (code, err) == (0, "")
    assert out.startswith("passed: 16 of 26 parameters compared")
    monkeypatch.setattr("fastprop.gradcheck.TOLERANCE", {"float32": 1e-30})
    assert run("gradcheck model.safetensors rows.csv")[0] == 1
    np.save("rows.npy", ROWS)
    code, out, err = run("gradcheck model.safetensors rows.npy")
    assert (code, out) == (2, "")
    assert "each row must have 3 inputs and then its target" in err
    Network([3, 2], output="softmax").save("model.safetensors")
    np.save("rows.npy", np.hstack([ROWS, [[5.0]] * len(ROWS)]))
    assert "rows.npy: y must hold labels from 0 to 1, got 5" in run("gradcheck model.safetensors rows.npy")[2]


def test_predict_from_standard_input(run, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(TABLE))
    code, out, err = run("predict model.safetensors -")
    assert (code, out.count("\n"), err) == (0, 2, "")


def test_labels_of_a_single_output(run, model):
    network = Network([1, 1], output="sigmoid", init="zeros")
    network.set_parameters([1, 0])
    network.save("model.safetensors")
    np.save("rows.npy", np.array([-2.0, 3.0, 0.0]))
    assert run("predict model.safetensors rows.npy --labels") == (0, "0\n1\n0\n", "")


def test_export_c(run, model):
    code, out, err = run("export model.safetensors --to c")
    assert (code, err) == (0, "")
    text = Path("model.c").read_text(encoding="utf-8")
    assert out == f"model.c: {len(text.encode()):,} bytes\n"
    assert "void predict(const float *x, float *y)" in text
    assert run("export model.safetensors --to c -o other.c")[0] == 0
    assert Path("other.c").read_text(encoding="utf-8") == text


def test_export_onnx(run, model):
    runtime = pytest.importorskip("onnxruntime")
    assert run("export model.safetensors --to onnx")[::2] == (0, "")
    outputs = runtime.InferenceSession("model.onnx").run(None, {"X": ROWS})
    np.testing.assert_allclose(outputs[0], model.predict(ROWS), rtol=1e-5, atol=1e-6)


def test_export_without_onnx_says_what_to_install(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, out, err = run("export model.safetensors --to onnx")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "fastprop-numba[onnx]" in err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("export model.safetensors", "the following arguments are required: --to"),
        ("export model.safetensors --to tflite", "choose from '?onnx'?, '?c'?"),
        ("export missing --to c", "missing: No such file"),
        ("export cut --to c", "'cut' is damaged"),
        ("export model.safetensors --to c -o none/model.c", "none/model.c: No such file"),
        ("export model.safetensors --to c -o model.safetensors", "--output must be another file than the model"),
        ("inspect", "the following arguments are required: MODEL"),
        ("inspect missing", "missing: No such file or directory"),
        ("inspect .", "'.' is not a regular file"),
        ("inspect cut", "'cut' is damaged"),
        ("predict missing good.csv", "missing: No such file"),
        ("predict model.safetensors missing.csv", "missing.csv: No such file"),
        ("predict model.safetensors missing.npy", "missing.npy: No such file"),
        ("predict model.safetensors .", ".: Is a directory"),
        ("predict model.safetensors narrow.csv", r"narrow.csv: X must have shape \(n, 3\), got \(1, 2\)"),
        ("predict model.safetensors words.csv", "words.csv: line 2 must be numbers between commas, got '1,two,3'"),
        ("predict model.safetensors first.csv", "first.csv: line 1 must be numbers between commas, got '1,,3'"),
        ("predict model.safetensors uneven.csv", "uneven.csv: line 3 must have 3 numbers as those before it, got 2"),
        ("predict model.safetensors nan.csv", "nan.csv: X must be finite, got nan at row 0, column 1"),
        ("predict model.safetensors empty.csv", "empty.csv: there are no rows"),
        ("predict model.safetensors names.csv", "names.csv: there are no rows"),
        ("predict model.safetensors bytes.csv", "bytes.csv: neither a .npy file nor text"),
        ("predict model.safetensors empty.npy", "empty.npy: EOF"),
        ("predict model.safetensors good.csv.npy", "good.csv.npy: the magic string is not correct"),
        ("predict model.safetensors objects.npy", "objects.npy: Array can't be memory-mapped"),
        ("predict model.safetensors text.npy", "text.npy: X must be an array of real numbers, got text"),
        ("predict model.safetensors good.csv -o none/out.npy", "none/out.npy: No such file"),
        ("predict model.safetensors good.csv -o none/out.csv", "none/out.csv: No such file|none/out.csv not found"),
        ("predict model.safetensors good.csv --quiet", "unrecognized arguments: --quiet"),
        ("train xor --save none/model", "--save must be a file in a folder that exists, got 'none/model'"),
        ("train xor --save .", "--save must be a file in a folder that exists, got '.'"),
    ],
)
def test_bad_files_are_one_line(run, model, line, says):
    Path("cut").write_bytes(Path("model.safetensors").read_bytes()[:-1])
    for name, text in {
        "good.csv": TABLE, "good.csv.npy": TABLE, "narrow.csv": "1,2\n", "words.csv": "1,2,3\n1,two,3\n",
        "first.csv": "1,,3\n1,2,3\n", "uneven.csv": "1,2,3\n\n1,2\n", "nan.csv": "1,nan,3\n", "empty.csv": "",
        "names.csv": "a,b,c\n", "empty.npy": "",
    }.items():  # fmt: skip
        Path(name).write_text(text)
    Path("bytes.csv").write_bytes(b"\x80\xff\x00")
    np.save("objects.npy", np.array([[1, "a", None]], object))
    np.save("text.npy", np.array([["1", "2", "3"]]))
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("fastprop")
    assert err.count("\n") == 1
    assert re.search(says, err)


def test_costs(run, tmp_path):
    code, out, err = run("costs --sizes 3 4 2 --hidden gelu --seed 3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["network", *["3-4-2"] * 6]
    assert "finite differences" in lines[1]
    code, out, err = run("costs --grow depth --most 100")
    assert (code, err) == (0, "")
    assert out.startswith("multiplications\nnetwork")
    assert "\nseconds\nnetwork" in out
    code, out, err = run(f"costs --most 1000 --plot {tmp_path / 'costs.png'}")
    assert (code, out, err) == (0, f"written to {tmp_path / 'costs.png'}\n", "")
    assert (tmp_path / "costs.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("costs --sizes 3", "sizes must have at least two entries"),
        ("costs --hidden swish", "hidden must be one of"),
        ("costs --most -1", "most must be a finite number ≥ 0"),
        ("costs --grow girth", "--grow: invalid choice"),
        ("costs --plot none/costs.png", "No such file or directory"),
        ("costs --plot costs.xyz", "is not supported"),
    ],
)
def test_costs_refuses(run, line, message):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
