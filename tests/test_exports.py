"""Networks written for other runtimes compute what `predict` computes there: ONNX Runtime, and C compiled by gcc."""

import ctypes
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import fastprop
from fastprop.export_c import TAKEN

from .cases import HIDDEN, OUTPUTS

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="gcc is not installed")
needs_onnx = pytest.mark.skipif(
    not (find_spec("onnx") and find_spec("onnxruntime")), reason="onnx or onnxruntime is not installed"
)
#: What is asked of an export: within these of predict, number by number.
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wdouble-promotion", "-Wshadow",
         "-Wmissing-prototypes", "-Wcast-qual"]  # fmt: skip


def networks(dtype):
    """A network for each hidden activation with the same output, and with softmax."""
    rng = np.random.default_rng(1)
    for hidden, (function, _) in HIDDEN.items():
        for output in (function, "softmax"):
            net = fastprop.Network([5, 17, 9, 3], function, output, dtype=dtype, seed=1, loss="mse")
            for b in net.biases:
                b[...] = rng.uniform(-0.5, 0.5, b.shape)
            yield f"{hidden}-{output if output == 'softmax' else hidden}", net


def inputs(dtype, width=5):
    """Rows of all sizes; much larger ones would cancel, and then the order of a sum shows."""
    X = np.random.default_rng(2).standard_normal((40, width))
    return (X * np.geomspace(1e-3, 5, 40)[:, None]).astype(dtype)


def run_onnx(path, X):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"X": X}), strict=True))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def compiled(paths, library):
    subprocess.run([GCC, *FLAGS, "-O1", "-shared", "-fPIC", "-o", library, *paths, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def run_c(function, X, width):
    y = np.full((len(X), width), np.nan, X.dtype)
    function(pointer(X), pointer(y), ctypes.c_size_t(len(X)))
    return y


# ONNX


@needs_onnx
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_onnx_computes_what_predict_does(tmp_path, dtype):
    import onnx

    X = inputs(dtype)
    for name, net in networks(dtype):
        net.to_onnx(tmp_path / "net.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)
        for rows in (40, 1):  # any number of rows
            output = run_onnx(tmp_path / "net.onnx", X[:rows])["output"]
            assert output.dtype == dtype
            np.testing.assert_allclose(output, net.predict(X[:rows]), **TOLERANCE[dtype], err_msg=name)


@needs_onnx
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_activations_in_onnx_at_every_magnitude(tmp_path, hidden, dtype):
    net = fastprop.Network([1, 1], output=OUTPUTS[hidden][0], dtype=dtype, loss="mse")
    net.set_parameters([1.0, 0.0])
    z = np.array([0.0, *np.geomspace(1e-30, 1e30, 241)], dtype)
    z = np.concatenate([-z, z])[:, None]
    net.to_onnx(tmp_path / "net.onnx")
    np.testing.assert_allclose(run_onnx(tmp_path / "net.onnx", z)["output"], net.predict(z), **TOLERANCE[dtype])


@needs_onnx
def test_onnx_labels_of_softmax(tmp_path, rng):
    X = rng.standard_normal((30, 4), dtype=np.float32)
    net = fastprop.Network([4, 8, 3], output="softmax", seed=0)
    for classes in (["a", "b", "ccc"], [7, -1, 5], np.array([0.5, 1.5, 2.5]), np.array(["x", "y", "z"], object)):
        net.to_onnx(tmp_path / "net.onnx", classes=classes)
        label = run_onnx(tmp_path / "net.onnx", X)["label"]
        expected = np.asarray(classes)[net.predict(X).argmax(axis=1)]
        assert label.shape == (30,)
        assert label.tolist() == expected.tolist()
        assert len(set(label.tolist())) > 1


@needs_onnx
def test_onnx_labels_of_one_and_of_several_sigmoids(tmp_path, rng):
    X = rng.standard_normal((30, 4), dtype=np.float32)
    net = fastprop.Network([4, 8, 1], output="sigmoid", seed=0)
    net.to_onnx(tmp_path / "net.onnx", classes=[False, True])
    label = run_onnx(tmp_path / "net.onnx", X)["label"]
    assert label.dtype == bool
    assert label.tolist() == (net.predict(X)[:, 0] > 0.5).tolist()
    assert 0 < label.sum() < 30
    net = fastprop.Network([4, 8, 3], output="sigmoid", seed=0)
    net.to_onnx(tmp_path / "net.onnx", classes=[0, 1, 2])
    assert run_onnx(tmp_path / "net.onnx", X)["label"].tolist() == (net.predict(X) > 0.5).astype(int).tolist()


@needs_onnx
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_onnx_labels_are_what_an_estimator_predicts(tmp_path, rng, kind):
    estimators = pytest.importorskip("fastprop.sklearn")
    X = rng.standard_normal((60, 4), dtype=np.float32)
    scores = X @ rng.standard_normal((4, 3))
    y = {
        "binary": np.where(scores[:, 0] > 0, "yes", "no"),
        "multiclass": np.array([5, 7, 9])[scores.argmax(axis=1)],
        "multilabel": (scores > 0).astype(int),
    }[kind]
    estimator = estimators.MLPClassifier(learning_rate_init=0.02, tol=0.01, random_state=0).fit(X, y)
    estimator.network_.to_onnx(tmp_path / "net.onnx", classes=estimator.classes_)
    assert run_onnx(tmp_path / "net.onnx", X)["label"].tolist() == estimator.predict(X).tolist()


@needs_onnx
def test_onnx_labels_of_a_tie_are_the_first_as_argmax_says(tmp_path):
    net = fastprop.Network([2, 3], output="softmax", init="zeros")
    net.to_onnx(tmp_path / "net.onnx", classes=["a", "b", "c"])
    assert run_onnx(tmp_path / "net.onnx", np.ones((1, 2), np.float32))["label"].tolist() == ["a"]


@needs_onnx
@pytest.mark.parametrize(
    ("sizes", "output", "classes", "error", "message"),
    [
        ([2, 3], "softmax", [0, 1], ValueError, r"classes must have shape \(3,\).*got \(2,\)"),
        ([2, 1], "sigmoid", [0], ValueError, r"classes must have shape \(2,\)"),
        ([2, 1], "identity", [0, 1], ValueError, "classes must be left out: a single output of 'identity'"),
        ([2, 3], "softmax", ["a", "b", "a"], ValueError, "classes must be different from each other"),
        ([2, 2], "softmax", [1j, 2j], TypeError, "classes must be integers, numbers or strings, got dtype complex128"),
        ([2, 2], "softmax", [None, "a"], TypeError, "classes must be .*got dtype object"),
    ],
)
def test_bad_classes_are_refused(tmp_path, sizes, output, classes, error, message):
    with pytest.raises(error, match=message):
        fastprop.Network(sizes, output=output).to_onnx(tmp_path / "net.onnx", classes=classes)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_model_that_no_protocol_buffer_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fastprop.export_onnx.LARGEST", 4 * 9)
    fastprop.Network([2, 3]).to_onnx(tmp_path / "net.onnx")  # 9 parameters
    with pytest.raises(ValueError, match="an ONNX model holds at most 36 bytes, got a network of 40"):
        fastprop.Network([9, 1]).to_onnx(tmp_path / "net.onnx")


# C


@needs_gcc
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_c_computes_what_predict_does(tmp_path, dtype):
    X = inputs(dtype)
    nets = dict(networks(dtype))
    for i, net in enumerate(nets.values()):
        net.to_c(tmp_path / f"net{i}.c", name=f"net{i}")
    library = compiled([tmp_path / f"net{i}.c" for i in range(len(nets))], tmp_path / "nets.so")
    for i, (name, net) in enumerate(nets.items()):
        y = run_c(getattr(library, f"net{i}_rows"), X, 3)
        np.testing.assert_allclose(y, net.predict(X), **TOLERANCE[dtype], err_msg=name)
        one = np.empty(3, dtype)
        getattr(library, f"net{i}")(pointer(X[7]), pointer(one))
        assert one.tobytes() == y[7].tobytes()


@needs_gcc
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_activations_in_c_at_every_magnitude(tmp_path, dtype):
    z = np.array([0.0, *np.geomspace(1e-30, 1e30, 241)], dtype)
    z = np.concatenate([-z, z])[:, None]
    nets = [fastprop.Network([1, 1], output=OUTPUTS[name][0], dtype=dtype, loss="mse") for name in HIDDEN]
    for i, net in enumerate(nets):
        net.set_parameters([1.0, 0.0])
        net.to_c(tmp_path / f"net{i}.c", name=f"net{i}")
    library = compiled([tmp_path / f"net{i}.c" for i in range(len(nets))], tmp_path / "nets.so")
    for i, net in enumerate(nets):
        y = run_c(getattr(library, f"net{i}_rows"), z, 1)
        tolerance = TOLERANCE[dtype]
        if net.output_activation.name != "gelu":  # whose relative error is ours where it vanishes, far below 0
            tolerance = tolerance | {"atol": np.finfo(dtype).tiny}
        np.testing.assert_allclose(y, net.predict(z), **tolerance, err_msg=repr(net))


@needs_gcc
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_c_has_the_parameters_to_the_last_bit(tmp_path, dtype, rng):
    """A linear layer of unit vectors gives back the rows of W, and of zeros b."""
    net = fastprop.Network([40, 30], dtype=dtype)
    bits = rng.integers(0, 2**32 if dtype == "float32" else 2**64, net.num_parameters, dtype=np.uint64)
    values = bits.astype(np.uint32).view(np.float32) if dtype == "float32" else bits.view(np.float64)
    values = np.where(np.isfinite(values), values, 0)  # of any magnitude, subnormal numbers among them
    values[:4] = [np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, -1, 1e-5]
    values[-30:] = 0
    net.set_parameters(values)
    net.to_c(tmp_path / "net.c")
    library = compiled([tmp_path / "net.c"], tmp_path / "net.so")
    y = run_c(library.predict_rows, np.eye(40, dtype=dtype), 30)
    assert (y == net.weights[0]).all()
    assert ((values != 0) & (np.abs(values) < np.finfo(dtype).tiny)).any()
    net.set_parameters(np.roll(values, 30))
    net.weights[0][...] = 0
    net.to_c(tmp_path / "bias.c")
    library = compiled([tmp_path / "bias.c"], tmp_path / "bias.so")
    assert (run_c(library.predict_rows, np.zeros((1, 40), dtype), 30)[0] == net.biases[0]).all()


@needs_gcc
def test_the_header_comment_says_how_to_use_the_file(tmp_path):
    """A program made of what the comment says prints what predict gives."""
    net = fastprop.Network([3, 4, 2], "tanh", "softmax", seed=0)
    net.to_c(tmp_path / "digits.c", name="digits")
    comment = (tmp_path / "digits.c").read_text().split("*/")[0]
    assert "3-4-2 neurons, tanh, softmax" in comment
    prototypes = re.findall(r"void .*;", comment)
    main = f"""
    #include <stddef.h>
    #include <stdio.h>
    {"".join(prototypes)}
    int main(void)
    {{
        const float x[3] = {{1, 2, 3}};
        float y[2];
        digits(x, y);
        printf("%.9g %.9g", y[0], y[1]);
    }}
    """
    (tmp_path / "main.c").write_text(main)
    command = re.search(r"cc (-std=c99 -O2 main.c digits.c -lm)", comment)[1]
    subprocess.run([GCC, *command.split(), "-Wall", "-Werror", "-o", "program"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(np.array(printed.split(), float), net.predict([[1, 2, 3]])[0], rtol=1e-5)


@needs_gcc
def test_c_calls_nothing_but_mathematics(tmp_path):
    fastprop.Network([3, 4, 2], "gelu", "softmax", seed=0).to_c(tmp_path / "net.c")
    subprocess.run([GCC, *FLAGS, "-O1", "-c", "-o", tmp_path / "net.o", tmp_path / "net.c"], check=True)
    names = subprocess.run(["nm", "-u", tmp_path / "net.o"], capture_output=True, text=True, check=True).stdout
    assert set(names.split()) - {"U"} <= {"expf", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


@needs_onnx
def test_the_same_network_is_the_same_file(tmp_path):
    for path in (tmp_path / "a", tmp_path / "b"):
        net = fastprop.Network([3, 4, 2], seed=0)
        net.to_c(path)
        net.to_onnx(path.with_suffix(".onnx"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "1st",
        "_net",
        "a__b",
        "é",
        "while",
        "class",
        "exp",
        "tanhf",
        "malloc",
        "main",
        "size_t",
        "net\n",
        "x",
        "rows",
        "NAN",
    ],
)
def test_names_that_c_keeps_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name must be a name that C leaves to users"):
        fastprop.Network([1, 1]).to_c(tmp_path / "net.c", name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_none_is_refused(tmp_path):
    with pytest.raises(TypeError, match="name must be a string, got None"):
        fastprop.Network([1, 1]).to_c(tmp_path / "net.c", name=None)


@needs_gcc
def test_every_function_of_the_c_library_is_refused():
    headers = (
        "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef "
        "stdint stdio stdlib string time wchar wctype"
    )
    text = re.sub(r"(\w+) ?", r"#include <\1.h>\n", headers)
    run = subprocess.run([GCC, "-std=c99", "-E", "-P", "-"], input=text, capture_output=True, text=True, check=True)
    declared = set(re.findall(r"\b([a-z][a-z0-9]*) ?\(", run.stdout)) - {"void", "int", "double", "float", "complex"}
    assert {"printf", "tanhf", "csqrtl", "strlen", "wcstod", "malloc"} <= declared
    assert declared - TAKEN == set()
    text = "#include <math.h>\n#include <stddef.h>\n"
    for standard in ("c99", "gnu17"):  # all macros of the former, all that no header defines of the latter
        run = subprocess.run(
            [GCC, f"-std={standard}", "-dM", "-E", "-"], input=text * (standard == "c99"),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert set(re.findall(r"#define ([A-Za-z]\w*)", run.stdout)) - TAKEN == set()


@needs_gcc
def test_names_that_the_functions_use_inside_may_be_theirs(tmp_path):
    names = ["a", "b", "k", "z", "W", "a1", "top", "total", "inputs", "outputs", "dense", "j"]
    net = fastprop.Network([2, 3, 2], "tanh", "softmax", seed=0)
    for name in names:
        net.to_c(tmp_path / f"{name}.c", name=name)
    library = compiled([tmp_path / f"{name}.c" for name in names], tmp_path / "nets.so")
    X = np.ones((2, 2), np.float32)
    for name in names:
        np.testing.assert_allclose(run_c(getattr(library, f"{name}_rows"), X, 2), net.predict(X), rtol=1e-5)


# Both


@pytest.mark.parametrize("method", [pytest.param("to_onnx", marks=needs_onnx), "to_c"])
def test_parameters_that_are_not_finite_are_refused(tmp_path, method):
    net = fastprop.Network([2, 3, 1])
    net.weights[1][2, 0] = np.inf
    with pytest.raises(ValueError, match="weights and biases must be finite, got NaN or infinity in layer 2"):
        getattr(net, method)(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_ones_own_activations_are_refused(tmp_path):
    square = fastprop.Activation("square", lambda z: z * z, lambda z: 2.0 * z)
    net = fastprop.Network([2, 3, 3, 1], ["tanh", square])
    for method, where in (("to_onnx", "ONNX"), ("to_c", "C")):
        with pytest.raises(
            ValueError, match=rf"activations must be built in for {where}, got Activation\('square'\) in layer 2"
        ):
            getattr(net, method)(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [pytest.param("to_onnx", marks=needs_onnx), "to_c"])
def test_a_folder_that_is_not_there_is_an_oserror(tmp_path, method):
    with pytest.raises(FileNotFoundError):
        getattr(fastprop.Network([2, 1]), method)(tmp_path / "none" / "net")


def test_without_onnx_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ImportError, match=re.escape("to_onnx needs the package onnx: pip install 'fastprop-numba[onnx]'")
    ):
        fastprop.Network([2, 1]).to_onnx(tmp_path / "net.onnx")
