"""Networks from and to scikit-learn's multilayer perceptrons and PyTorch's sequences of modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .activations import ELU, Activation, LeakyReLU
from .exports import class_labels, layers_of

if TYPE_CHECKING:
    from .network import Network

#: scikit-learn's names of activations, and ours.
FROM_SKLEARN = {
    "identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu", "softmax": "softmax"
}  # fmt: skip
TO_SKLEARN = {ours: theirs for theirs, ours in FROM_SKLEARN.items()}


def from_sklearn(estimator: Any, **options: Any) -> Network:
    """The network of a fitted ``MLPClassifier`` or ``MLPRegressor`` of scikit-learn.

    Its outputs are those of ``predict`` for a regressor, and for a classifier those of ``predict_proba``; of a binary
    classifier the second column, the probability of ``classes_[1]``, alone.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted. Its parameters are copied, in their dtype.
    **options
        ``loss``, ``seed`` and ``threads`` as for `Network`. The optimizer's state stays behind.

    Returns
    -------
    Network

    Raises
    ------
    ImportError
        Without scikit-learn (extra ``sklearn``).
    TypeError, ValueError
        If ``estimator`` is something else, is not fitted, or has an output that fastprop has not: the exponential of
        ``MLPRegressor(loss="poisson")``.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> regressor = MLPRegressor(hidden_layer_sizes=[8], solver="lbfgs", max_iter=9999, random_state=0)
    >>> regressor = regressor.fit(X, X[:, 0] ** 2)
    >>> net = fastprop.from_sklearn(regressor)
    >>> np.allclose(net.predict(X)[:, 0], regressor.predict(X))
    True
    """
    from .network import Network

    regressor, classifier = _sklearn("from_sklearn")
    if not isinstance(estimator, (regressor, classifier)):
        raise TypeError(
            "estimator must be an MLPClassifier or MLPRegressor of scikit-learn, got "
            f"{type(estimator).__module__}.{type(estimator).__name__}; of a pipeline or a search take the step or the "
            "estimator within, of an estimator of fastprop's its network_"
        )
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator must be fitted, got {estimator!r}")
    if estimator.out_activation_ not in FROM_SKLEARN:
        raise ValueError(f"estimator must have an output that fastprop knows, got {estimator.out_activation_!r}")
    weights, biases = estimator.coefs_, estimator.intercepts_
    net = Network(
        [weights[0].shape[0], *(len(b) for b in biases)],
        FROM_SKLEARN[estimator.activation],
        FROM_SKLEARN[estimator.out_activation_],
        **{"dtype": weights[0].dtype, "init": "zeros", **options},
    )
    net.set_parameters(np.concatenate([p.ravel() for layer in zip(weights, biases, strict=True) for p in layer]))
    return net


def to_sklearn(net: Network, *, classes: Sequence | np.ndarray | None = None) -> Any:
    """A fitted ``MLPRegressor`` or ``MLPClassifier`` of scikit-learn with the network's parameters.

    An identity output makes a regressor. A classifier's ``predict_proba`` is `predict`: of softmax, of a single
    sigmoid output (as probability of the second class), and of several sigmoid outputs (a multilabel classifier).
    Softmax of two outputs becomes the sigmoid of their difference, which is scikit-learn's form of the same.

    Parameters
    ----------
    classes : array_like, optional
        Labels of the classes in ascending order, as scikit-learn keeps them; by default 0, 1, 2, …

    Returns
    -------
    MLPRegressor or MLPClassifier
        In the network's dtype. ``partial_fit`` goes on from here with a fresh optimizer and scikit-learn's loss.

    Raises
    ------
    ImportError
        Without scikit-learn (extra ``sklearn``).
    TypeError, ValueError
        If scikit-learn has no such activations (it has identity, sigmoid, tanh and relu, one for all hidden layers), a
        parameter is not finite, or ``classes`` does not fit the outputs.

    Examples
    --------
    >>> net = fastprop.Network([4, 8, 3], hidden="tanh", output="softmax", seed=0)
    >>> classifier = net.to_sklearn(classes=["red", "green", "yellow"][::-1])
    Traceback (most recent call last):
    ValueError: classes must be in ascending order, got ['yellow', 'green', 'red']
    >>> classifier = net.to_sklearn(classes=["green", "red", "yellow"])
    >>> X = np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)
    >>> np.allclose(classifier.predict_proba(X), net.predict(X))
    True
    """
    MLPRegressor, MLPClassifier = _sklearn("to_sklearn")
    layers = layers_of(net, "scikit-learn")
    *hidden, output = (layer.activation for layer in layers)
    if len(set(hidden)) > 1 or not {*hidden} <= {"identity", "sigmoid", "tanh", "relu"}:
        raise ValueError(
            "hidden layers must all have the same one of identity, sigmoid, tanh and relu for scikit-learn, got "
            + ", ".join(hidden)
        )
    if output not in ("identity", "sigmoid", "softmax"):
        raise ValueError(f"the output must be identity, sigmoid or softmax for scikit-learn, got {output!r}")
    weights, biases = [layer.weights for layer in layers], [layer.biases for layer in layers]
    width = net.sizes[-1]
    options = {"hidden_layer_sizes": net.sizes[1:-1], "activation": TO_SKLEARN[hidden[0]] if hidden else "identity"}
    X = np.zeros((2, net.sizes[0]), net.dtype)
    if output == "identity":
        if classes is not None:
            raise ValueError("classes must be left out: an identity output makes a regressor")
        # One pass over two rows of zeros makes all the attributes of a fitted estimator, of any version.
        estimator = MLPRegressor(**options).partial_fit(X, np.zeros((2, width) if width > 1 else 2))
    else:
        labels = class_labels(np.arange(max(width, 2)) if classes is None else classes, width, output)
        if (np.sort(labels) != labels).any():
            raise ValueError(f"classes must be in ascending order, got {labels.tolist()}")
        several = output == "sigmoid" and width > 1
        y = np.eye(2, width, dtype=int) if several else labels[:2]
        estimator = MLPClassifier(**options).partial_fit(X, y, classes=labels)
        if output == "softmax" and width == 2:
            weights[-1], biases[-1] = np.diff(weights[-1]), np.diff(biases[-1])
    for ours, theirs in zip(weights + biases, estimator.coefs_ + estimator.intercepts_, strict=True):
        theirs[...] = ours
    estimator.n_iter_ = estimator.t_ = 0
    estimator.loss_curve_ = []
    estimator.best_loss_ = np.inf
    del estimator._optimizer  # which the next partial_fit makes anew
    return estimator


def _sklearn(function: str) -> tuple[Any, Any]:
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
    except ImportError as error:
        raise ImportError(f"{function} needs scikit-learn: pip install 'fastprop-numba[sklearn]'") from error
    return MLPRegressor, MLPClassifier


def from_torch(module: Any, **options: Any) -> Network:
    """The network of a ``torch.nn.Sequential`` of linear layers and activations.

    Parameters
    ----------
    module : torch.nn.Sequential
        ``Linear`` layers, each alone (identity) or with an activation after it: ``Identity``, ``Sigmoid``, ``Tanh``,
        ``ReLU``, ``LeakyReLU``, ``ELU``, ``Softplus(beta=1, threshold=20)``, ``SiLU``, ``GELU(approximate="tanh")``,
        and, at the end, ``Softmax(dim=1)``; ``Dropout`` of the inputs or after an activation; also sequences of these
        within it. Its parameters, all float32 or all
        float64, are copied; a layer without bias gets one of zeros.
    **options
        ``loss``, ``seed``, ``threads`` and ``dropout`` as for `Network`.

    Returns
    -------
    Network
        Its `predict` is what the module computes in ``eval`` mode. (PyTorch's softplus is z itself above its
        threshold, which makes a difference of 2·10⁻⁹ at 20.)

    Raises
    ------
    ImportError
        Without PyTorch (extra ``torch``).
    TypeError, ValueError
        If ``module`` is something else, or has a module that is not among these: it is named.

    Examples
    --------
    See docs/runtimes.md.
    """
    from .network import Network

    torch = _torch("from_torch")
    nn = torch.nn
    if not _is_sequence(module, nn):
        raise TypeError(f"module must be a torch.nn.Sequential, got {type(module).__name__}")
    sizes: list[int] = []
    functions: list[str | Activation] = []  # one fewer than linear layers while the activation is awaited
    dropout: dict[int, float] = {}  # by layer, the input being 0
    parameters = []
    for where, part in _parts(module, nn):
        if type(part) is nn.Linear:
            if sizes and part.in_features != sizes[-1]:
                raise ValueError(f"{where} must take {sizes[-1]} inputs, the outputs before it, got {part}")
            if sizes and len(functions) < len(sizes) - 1:
                functions.append("identity")
            sizes += [part.out_features] if sizes else [part.in_features, part.out_features]
            bias = torch.zeros_like(part.weight[:, 0]) if part.bias is None else part.bias
            parameters += [part.weight.T, bias]
        elif type(part) is nn.Dropout:
            layer = max(len(sizes) - 1, 0)
            if layer in dropout:
                raise ValueError(f"{where} must be the only Dropout after its layer, got {part}")
            dropout[layer] = part.p
            if len(functions) < layer:
                functions.append("identity")
        elif type(part) is not nn.Identity:
            function = _activation_of(part, where, nn)
            if not sizes or len(functions) == len(sizes) - 1:
                raise ValueError(f"{where} must follow a linear layer, got {part}")
            functions.append(function)
    if not sizes:
        raise ValueError("module must have a Linear layer, got none")
    if len(sizes) - 1 in dropout:
        raise ValueError("module must not end with Dropout: outputs are never dropped")
    dtypes = {p.dtype for p in parameters}
    if dtypes not in ({torch.float32}, {torch.float64}):
        raise ValueError(f"module must be float32 or float64 throughout, got {', '.join(sorted(map(str, dtypes)))}")
    if len(functions) < len(sizes) - 1:
        functions.append("identity")
    vector = torch.cat([p.detach().cpu().reshape(-1) for p in parameters]).numpy()
    rates = [dropout.get(layer, 0.0) for layer in range(len(sizes) - 1)]
    options = {"dtype": vector.dtype, "init": "zeros", "dropout": rates, **options}
    net = Network(sizes, functions[:-1], functions[-1], **options)
    net.set_parameters(vector)
    return net


def to_torch(net: Network) -> Any:
    """A ``torch.nn.Sequential`` of ``Linear`` layers, each with its activation after it, that computes `predict`.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, in the network's dtype. Layer m is module 2(m − 1), with a copy of W^(m), transposed, as ``weight``
        and of b^(m) as ``bias``, and its activation (``Identity`` too) is the module after it. Dropout stays behind.

    Raises
    ------
    ImportError
        Without PyTorch (extra ``torch``).
    ValueError
        If an activation is the user's own, or a parameter is not finite.

    Examples
    --------
    See docs/runtimes.md.
    """
    torch = _torch("to_torch")
    nn = torch.nn
    modules = {
        "identity": lambda p: nn.Identity(),
        "sigmoid": lambda p: nn.Sigmoid(),
        "tanh": lambda p: nn.Tanh(),
        "relu": lambda p: nn.ReLU(),
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "softplus": lambda p: nn.Softplus(threshold=20 if net.dtype == np.float32 else 40),
        "silu": lambda p: nn.SiLU(),
        "gelu": lambda p: nn.GELU(approximate="tanh"),
        "softmax": lambda p: nn.Softmax(dim=1),
    }
    sequence = nn.Sequential()
    for layer in layers_of(net, "PyTorch"):
        # Without first weights, which would be drawn from the user's generator.
        linear = nn.utils.skip_init(nn.Linear, *layer.weights.shape, dtype=getattr(torch, net.dtype.name))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weights.T))
            linear.bias.copy_(torch.from_numpy(layer.biases))
        sequence.extend([linear, modules[layer.activation](layer.parameter)])
    return sequence


def _torch(function: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{function} needs PyTorch: pip install 'fastprop-numba[torch]'") from error
    return torch


def _is_sequence(module: Any, nn: Any) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _parts(sequence: Any, nn: Any, where: str = "module") -> Iterator[tuple[str, Any]]:
    """The modules of a sequence and of the sequences within it, with their places."""
    if sequence._forward_hooks or sequence._forward_pre_hooks:
        raise ValueError(f"{where} must have no forward hooks, which may change what it computes, got {sequence}")
    if _is_sequence(sequence, nn):
        for i, part in enumerate(sequence):
            yield from _parts(part, nn, f"{where}[{i}]")
    else:
        yield where, sequence


def _activation_of(part: Any, where: str, nn: Any) -> str | Activation:
    """Our activation that is the same function as the module."""
    same = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu", nn.SiLU: "silu"}
    kind = type(part)
    if kind in same:
        return same[kind]
    if kind is nn.LeakyReLU:
        return LeakyReLU(part.negative_slope)
    if kind is nn.ELU:
        return ELU(part.alpha)
    if kind is nn.GELU:
        if part.approximate != "tanh":
            raise ValueError(f"{where} must be GELU(approximate='tanh'), the form that fastprop has, got {part}")
        return "gelu"
    if kind is nn.Softplus:
        if part.beta != 1 or part.threshold < 20:
            raise ValueError(f"{where} must be Softplus with beta=1 and a threshold of 20 or more, got {part}")
        return "softplus"
    if kind is nn.Softmax:
        if part.dim not in (1, -1):
            raise ValueError(f"{where} must be Softmax(dim=1), over the outputs, got {part}")
        return "softmax"
    raise ValueError(
        f"{where} must be one of Linear, Identity, Sigmoid, Tanh, ReLU, LeakyReLU, ELU, Softplus, SiLU, GELU, "
        f"Softmax and Dropout of torch.nn, got {part}"
    )
