"""A network as an ONNX model, https://onnx.ai: the graph of its forward pass, for ONNX Runtime and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .exports import class_labels, layers_of
from .kernels.vecmath import GELU_CUBIC, GELU_LINEAR
from .safetensors import renamed_into

if TYPE_CHECKING:
    from .network import Network

#: Version 17 of the operators, in version 8 of the format: those of ONNX 1.12 (2022).
OPSET, FORMAT = 17, 8
#: A model is one protocol buffer, which ends at 2 GiB.
LARGEST = 2**31 - 2**20

#: Adds a node of the named operator to the graph and returns the name of its result.
Node = Callable[..., str]


def to_onnx(net: Network, path: str | PathLike, *, classes: Sequence | np.ndarray | None = None) -> None:
    """Write the network as an ONNX model, which ONNX Runtime and others run without fastprop.

    The model's input ``X`` (n, D^(0)) and output ``output`` (n, D^(L)) are of the network's dtype, with any number of
    rows n.

    Parameters
    ----------
    path : str or PathLike
        Replaced at once when the new file is whole and on disk; until then it is as it was.
    classes : array_like, optional
        Labels of the classes: integers, numbers or strings. The model gets a second output ``label``: for softmax, or
        any output of D^(L) ≥ 2 classes but sigmoid, the class of the largest output, (n,); for a single sigmoid output
        ``classes[1]`` where it is above ½, else ``classes[0]``, (n,); for several sigmoid outputs, which are labels
        that do not exclude each other, 1 where an output is above ½, else 0, (n, D^(L)).

    Raises
    ------
    ImportError
        Without the package onnx (extra ``onnx``).
    TypeError, ValueError
        If ``classes`` does not fit the outputs, ``path`` is no regular file, an activation is the user's own, a
        parameter is not finite, or the model would be larger than 2 GiB. Nothing is written then.

    Examples
    --------
    >>> import onnxruntime, tempfile
    >>> net = fastprop.Network([4, 8, 3], output="softmax", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.to_onnx(f"{folder}/net.onnx", classes=["setosa", "versicolor", "virginica"])
    ...     session = onnxruntime.InferenceSession(f"{folder}/net.onnx")
    >>> X = np.ones((2, 4), np.float32)
    >>> output, label = session.run(None, {"X": X})
    >>> np.allclose(output, net.predict(X), rtol=1e-5, atol=1e-6)
    True
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install 'fastprop-numba[onnx]'") from error

    size = net.num_parameters * net.dtype.itemsize
    if size > LARGEST:
        raise ValueError(f"an ONNX model holds at most {LARGEST} bytes, got a network of {size}")
    layers = layers_of(net, "ONNX")
    several = layers[-1].activation == "sigmoid" and net.sizes[-1] > 1
    labels = None if classes is None else _labels(classes, net.sizes[-1], layers[-1].activation)
    number = helper.np_dtype_to_tensor_dtype(net.dtype)
    nodes: list[Any] = []
    constants: list[Any] = []

    def node(operator: str, *inputs: Any, **attributes: Any) -> str:
        """Inputs are names of results, arrays, or numbers, which become arrays of the network's dtype."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                array = value if isinstance(value, np.ndarray) else np.array(value, net.dtype)
                value = f"constant_{len(constants)}"
                constants.append(numpy_helper.from_array(array, value))
            names.append(value)
        nodes.append(helper.make_node(operator, names, [f"{operator}_{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    a = "X"
    for m, layer in enumerate(layers, start=1):
        for name, array in ((f"W{m}", layer.weights), (f"b{m}", layer.biases)):
            constants.append(numpy_helper.from_array(array, name))
        a = _activate(node, node("Gemm", a, f"W{m}", f"b{m}"), layer.activation, layer.parameter)
    nodes[-1].output[0] = "output"
    outputs = [helper.make_tensor_value_info("output", number, ["n", net.sizes[-1]])]
    if labels is not None:
        if several:
            node("Cast", node("Greater", "output", 0.5), to=TensorProto.INT64)
        elif net.sizes[-1] > 1:
            node("Gather", labels, node("ArgMax", "output", axis=1, keepdims=0))
        else:
            above = node("Squeeze", node("Greater", "output", 0.5), np.array([1]))
            node("Gather", labels, node("Cast", above, to=TensorProto.INT64))
        nodes[-1].output[0] = "label"
        kind = TensorProto.INT64 if several else helper.np_dtype_to_tensor_dtype(labels.dtype)
        outputs.append(helper.make_tensor_value_info("label", kind, ["n", net.sizes[-1]] if several else ["n"]))

    inputs = [helper.make_tensor_value_info("X", number, ["n", net.sizes[0]])]
    model = helper.make_model(
        helper.make_graph(nodes, "fastprop", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT, producer_name="fastprop",
    )  # fmt: skip
    checker.check_model(model)
    with renamed_into(path) as file:
        file.write(model.SerializeToString(deterministic=True))


def _activate(node: Node, z: str, activation: str, p: float) -> str:
    """a = σ(z) in ONNX's operators.

    LeakyRelu, Elu and Softplus are not among them: ONNX Runtime has them for float32 alone, and their attributes are
    float32. Its Sigmoid stops falling at −18, so what multiplies by z divides by 1 + exp(−z) instead, where infinity
    gives the limit.
    """
    if activation in ("relu", "sigmoid", "tanh"):
        return node(activation.capitalize(), z)
    if activation == "softmax":
        return node("Softmax", z, axis=1)
    if activation == "leaky_relu":
        return node("Where", node("Greater", z, 0), z, node("Mul", z, p))
    if activation == "elu":
        return node("Where", node("Greater", z, 0), z, node("Mul", node("Sub", node("Exp", z), 1), p))
    if activation == "softplus":  # max(0, z) + log(1 + exp(−|z|)), where nothing overflows
        log = node("Log", node("Add", node("Exp", node("Neg", node("Abs", z))), 1))
        return node("Add", node("Max", z, 0), log)
    if activation == "silu":
        return node("Div", z, node("Add", node("Exp", node("Neg", z)), 1))
    if activation == "gelu":  # z sigmoid(2u), u = √(2/π) (z + 0.044715 z³)
        factor = node("Add", node("Mul", node("Mul", z, z), -GELU_CUBIC), -GELU_LINEAR)
        return node("Div", z, node("Add", node("Exp", node("Mul", z, factor)), 1))
    return z  # identity


def _labels(classes: Sequence | np.ndarray, width: int, output: str) -> np.ndarray:
    """Labels of the classes as ONNX keeps them: int64, float32, float64, bool or strings."""
    array = class_labels(classes, width, output)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "U" or all(isinstance(label, str) for label in array.tolist()):
        return array.astype(object)
    if array.dtype.kind != "b" and array.dtype not in (np.float32, np.float64):
        raise TypeError(f"classes must be integers, numbers or strings, got dtype {array.dtype}")
    return array
