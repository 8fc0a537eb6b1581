"""Backpropagation in a page of plain NumPy: what the compiled kernels must equal, and what to read first.

Layers are counted m = 1..L: ``weights[m-1]`` is W^(m), (D^(m-1), D^(m)), row j, column k from neuron j to
neuron k; ``biases[m-1]`` is b^(m), (D^(m),); ``z[m-1]`` is z^(m) and ``a[m]`` is a^(m), both (n, D^(m)),
where ``a[0]`` is the input x. An activation or a loss is a name, or a pair of name and parameter such as
``("leaky_relu", 0.2)``; that of cross_entropy is its label smoothing. All is computed in the dtype of the arrays,
float32 or float64, and nothing is checked beyond what Python and NumPy check: an unknown name is a KeyError,
shapes that do not fit are a ValueError.

>>> W, b = [np.array([[0.5, -0.4], [0.3, 0.8]]), np.array([[0.6], [-0.4]])], [np.zeros(2), np.array([0.1])]
>>> activations = ["sigmoid", "sigmoid"]
>>> z, a = forward(np.array([[1.0, 0.5]]), W, b, activations)
>>> C, deltas, dC_dW, dC_db = backward(np.array([0.0]), W, z, a, activations, "squared_error")
>>> print(a[2].round(4), C.round(4), deltas[1].round(4), deltas[0].round(4))
[[0.573]] 0.1642 [[0.1402]] [[ 0.019 -0.014]]
"""

from collections.abc import Callable

import numpy as np

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "adagrad",
    "adam",
    "adamw",
    "backward",
    "cosine_decay",
    "exponential_decay",
    "forward",
    "loss",
    "one_cycle",
    "reduce_on_plateau",
    "regularize",
    "rmsprop",
    "scheduled",
    "sgd",
    "softmax",
    "step_decay",
    "train",
]

Function = Callable[..., np.ndarray]

# Activations: σ(z) beside σ′(z), which may use a = σ(z).
# No exp sees a positive argument, so none overflows.


def sigmoid(z):
    """1 / (1 + exp(−z)), written exp(z) / (1 + exp(z)) where z < 0."""
    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))


def softplus(z):
    """log(1 + exp(z))."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def gelu_gate(z):
    """½ (1 + tanh u) = sigmoid(2u), u = √(2/π) (z + 0.044715 z³), and du/dz; past ±100 the gate is 0 or 1."""
    z = np.clip(z, -100, 100)  # so that no power of z overflows
    c = (2 / np.pi) ** 0.5
    return sigmoid(2 * c * (z + 0.044715 * z**3)), c * (1 + 3 * 0.044715 * z**2)


def gelu_derivative(z, a):
    """gate + z gate′, where gate′ = gate (1 − gate) 2 du/dz and a = z gate."""
    gate, du_dz = gelu_gate(z)
    return gate + a * (1 - gate) * 2 * du_dz


#: name: (σ(z, *parameter), σ′(z, a, *parameter)), elementwise; softmax, which is not, is apart
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "identity": (lambda z: +z, lambda z, a: np.ones_like(z)),
    "sigmoid": (sigmoid, lambda z, a: a * (1 - a)),
    "tanh": (np.tanh, lambda z, a: 1 - a**2),
    "relu": (lambda z: np.maximum(z, 0), lambda z, a: (z > 0).astype(z.dtype)),
    "leaky_relu": (
        lambda z, slope=0.01: np.where(z > 0, z, slope * z),
        lambda z, a, slope=0.01: np.where(z > 0, np.ones_like(z), slope),
    ),
    "elu": (
        lambda z, alpha=1.0: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
        lambda z, a, alpha=1.0: np.where(z > 0, np.ones_like(z), alpha * np.exp(np.minimum(z, 0))),
    ),
    "softplus": (softplus, lambda z, a: sigmoid(z)),
    "silu": (lambda z: z * sigmoid(z), lambda z, a: sigmoid(z) + a * sigmoid(-z)),
    "gelu": (lambda z: z * gelu_gate(z)[0], gelu_derivative),
}


def log_softmax(z):
    """z_k − log Σ_j exp(z_j) for each row."""
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def softmax(z):
    """exp(z_k) / Σ_j exp(z_j) for each row; for the output only, as each value depends on its whole row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def activate(z, activation):
    """a = σ(z)."""
    name, parameter = _parts(activation)
    return softmax(z) if name == "softmax" else ACTIVATIONS[name][0](z, *parameter)


def activate_backward(dC_da, z, a, activation):
    """δ = ∂C/∂a ⊙ σ′(z); for softmax ∂C/∂a times each row's Jacobian diag(a) − a aᵀ."""
    name, parameter = _parts(activation)
    if name == "softmax":
        return a * (dC_da - (dC_da * a).sum(axis=1, keepdims=True))
    return dC_da * ACTIVATIONS[name][1](z, a, *parameter)


# Losses: the loss of each observation, (n,), beside ∂loss/∂a, (n, D). The target t is (n, D) as well.


def log(p):
    """log p, with p raised to the smallest normal number of its dtype where it is less."""
    return np.log(np.maximum(p, np.finfo(p.dtype).tiny))


def log_derivative(p):
    """1/p, but 0 where p was raised."""
    tiny = np.finfo(p.dtype).tiny
    return (p >= tiny) / np.maximum(p, tiny)


def huber(t, a, delta=1.0):
    """Mean over k of ½ r² where |r| ≤ delta, else delta (|r| − ½ delta); r = t − a."""
    r = np.abs(t - a)
    inner = np.minimum(r, delta)
    return (inner * (r - inner / 2)).mean(axis=1)


#: name: (loss(t, a, *parameter), ∂loss/∂a(t, a, *parameter))
LOSSES: dict[str, tuple[Function, Function]] = {
    "squared_error": (lambda t, a: ((t - a) ** 2).sum(axis=1) / 2, lambda t, a: a - t),
    "mse": (lambda t, a: ((t - a) ** 2).mean(axis=1), lambda t, a: 2 * (a - t) / a.shape[1]),
    "mae": (lambda t, a: np.abs(t - a).mean(axis=1), lambda t, a: np.sign(a - t) / a.shape[1]),
    "huber": (huber, lambda t, a, delta=1.0: np.clip(a - t, -delta, delta) / a.shape[1]),
    "binary_cross_entropy": (
        lambda t, a: -(t * log(a) + (1 - t) * log(1 - a)).mean(axis=1),
        lambda t, a: -(t * log_derivative(a) - (1 - t) * log_derivative(1 - a)) / a.shape[1],
    ),
    "cross_entropy": (lambda t, a: -(t * log(a)).sum(axis=1), lambda t, a: -t * log_derivative(a)),
    "poisson": (
        lambda t, a: (a - t * log(a)).mean(axis=1),
        lambda t, a: (1 - t * log_derivative(a)) / a.shape[1],
    ),
}

#: (output activation, loss): (loss(t, z), of which no log is clipped; ∂loss/∂z(t, a))
_FROM_Z: dict[tuple[str, str], tuple[Function, Function]] = {
    ("sigmoid", "binary_cross_entropy"): (
        lambda t, z: (t * softplus(-z) + (1 - t) * softplus(z)).mean(axis=1),
        lambda t, a: (a - t) / a.shape[1],
    ),
    ("softmax", "cross_entropy"): (lambda t, z: -(t * log_softmax(z)).sum(axis=1), lambda t, a: a - t),
}


def forward(x, weights, biases, activations, masks=None):
    """z^(m) = a^(m−1) W^(m) + b^(m), a^(m) = σ^(m)(z^(m)) for m = 1..L, from x (n, D^(0)); returns (z, a).

    Dropout: layer m+1 reads a^(m) ⊙ masks[m], m = 0..L−1, each an array like a^(m) of 0 and 1 / (1 − p), or 1.

    >>> z, a = forward(np.ones((1, 2)), [np.eye(2)], [np.zeros(2)], ["identity"], masks=[np.array([[0.0, 2.0]])])
    >>> print(z[0])
    [[0. 2.]]
    """
    z, a = [], [x]
    for W, b, activation, mask in zip(weights, biases, activations, masks or [1] * len(weights), strict=True):
        z.append((a[-1] * mask) @ W + b)
        a.append(activate(z[-1], activation))
    return z, a


def loss(target, z, a, activation, loss, sample_weight=None):
    """C: the mean over the batch of the loss of one observation; with sample weights Σ w·loss / Σ w.

    z, a and activation are the output layer's: z^(L) and a^(L), both (n, D), and σ^(L). The target is (n, D),
    or (n,) where D is 1, or for cross_entropy labels 0..D−1, (n,). Sample weights are (n,), none negative; C
    is 0 if they sum to 0.

    >>> a = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> print(loss(np.zeros((2, 2)), a, a, "identity", "mse"))
    9.75
    """
    return _loss_and_delta(target, z, a, activation, loss, sample_weight)[0]


def backward(target, weights, z, a, activations, loss, sample_weight=None, masks=None):
    """C, and as lists for m = 1..L δ^(m) = ∂C/∂z^(m), ∂C/∂W^(m) and ∂C/∂b^(m), from what `forward` returned.

    δ^(L) = ∂C/∂a^(L) ⊙ σ^(L)′(z^(L)); for m = L−1..1, δ^(m) = (δ^(m+1) W^(m+1)ᵀ) ⊙ σ^(m)′(z^(m));
    ∂C/∂W^(m) = a^(m−1)ᵀ δ^(m); ∂C/∂b^(m) = Σ over the batch of δ^(m). δ carries every averaging factor of C.
    Target and sample weights are those of `loss`; where the weights sum to 0 so is every gradient. With the masks of
    `forward`, σ^(m)′ is multiplied by masks[m], and a^(m) in the gradient of the next weights.
    """
    masks = masks or [1] * len(weights)
    C, delta = _loss_and_delta(target, z[-1], a[-1], activations[-1], loss, sample_weight)
    deltas = [delta]
    for m in range(len(weights) - 1, 0, -1):
        dC_da = deltas[0] @ weights[m].T * masks[m]  # deltas[0] is δ^(m+1) here, weights[m] is W^(m+1)
        deltas.insert(0, activate_backward(dC_da, z[m - 1], a[m], activations[m - 1]))
    read = [below * mask for below, mask in zip(a[:-1], masks, strict=True)]
    weight_gradients = [below.T @ delta for below, delta in zip(read, deltas, strict=True)]
    return C, deltas, weight_gradients, [delta.sum(axis=0) for delta in deltas]


def _loss_and_delta(target, z, a, activation, loss, sample_weight):
    """C and δ^(L), from what `loss` takes."""
    name, parameter = _parts(loss)
    t = np.asarray(target)
    if t.ndim == 1 and name == "cross_entropy":
        t = t[:, None] == np.arange(a.shape[1])
    t = t.astype(a.dtype, copy=False).reshape(a.shape)
    if name == "cross_entropy" and parameter:  # label smoothing ε: t ← (1 − ε) t + ε / D (Szegedy et al. 2016)
        t, parameter = (1 - parameter[0]) * t + parameter[0] / a.shape[1], ()
    w = np.ones(len(a), a.dtype) if sample_weight is None else np.asarray(sample_weight, a.dtype)
    share = w / (w.sum() or 1)  # of each observation in C

    if from_z := _FROM_Z.get((_parts(activation)[0], name)):
        return share @ from_z[0](t, z), share[:, None] * from_z[1](t, a)
    dC_da = share[:, None] * LOSSES[name][1](t, a, *parameter)
    return share @ LOSSES[name][0](t, a, *parameter), activate_backward(dC_da, z, a, activation)


def _parts(choice):
    """Name and parameters of an activation or loss; a Python float leaves a float32 array float32."""
    return (choice, ()) if isinstance(choice, str) else (choice[0], (float(choice[1]),))


# Optimizers, as PyTorch defines them: theta = [W1, b1, W2, b2, ...] is updated in place from its gradients;
# `state` is a dict that the caller keeps, {} before the first step. Penalties are for the weights alone.


def regularize(theta, gradients, weight_decay=0.0, l1=0.0, clip_norm=np.inf, clip_value=np.inf):
    """clip(∇C) + weight_decay·W + l1·sign W for weights, clip(∇C) for biases, in new arrays.

    Clipped are first ‖∇C‖ over all parameters, then each entry.

    >>> W, b = np.array([[2.0, -1.0]]), np.array([0.0, 5.0])
    >>> regularize([W, b], [np.array([[0.0, 6.0]]), np.array([8.0, 0.0])], weight_decay=0.5, l1=0.25, clip_norm=5)
    [array([[1.25, 2.25]]), array([4., 0.])]
    """
    norm = float(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients)))
    scale = clip_norm / norm if norm > clip_norm else 1.0
    clipped = [np.clip(g * scale, -clip_value, clip_value) for g in gradients]
    return [g + weight_decay * p + l1 * np.sign(p) if p.ndim == 2 else g for p, g in zip(theta, clipped, strict=True)]


def _moments(state, name, theta, initial=0.0):
    """The running sums or averages of this name, an array for each parameter."""
    if name not in state:
        state[name] = [np.full_like(p, initial) for p in theta]
    return state[name]


def sgd(theta, gradients, state, learning_rate=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0):
    """v ← momentum·v + g, θ ← θ − α v; Nesterov: θ ← θ − α (g + momentum·v).

    Sutskever et al. 2013, with α outside v. Without momentum v is g, and `state` stays empty.
    """
    gradients = regularize(theta, gradients, weight_decay)
    if momentum:
        velocities = _moments(state, "velocity", theta)
        for v, g in zip(velocities, gradients, strict=True):
            v *= momentum
            v += g
        gradients = [g + momentum * v if nesterov else v for g, v in zip(gradients, velocities, strict=True)]
    for p, g in zip(theta, gradients, strict=True):
        p -= learning_rate * g


def adam(theta, gradients, state, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0):
    """m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g², θ ← θ − α m̂ / (√v̂ + ε).

    Kingma and Ba 2015, Algorithm 1: m̂ = m / (1−β₁ᵗ), v̂ = v / (1−β₂ᵗ) at step t, which `state` counts.
    """
    state["step"] = t = state.get("step", 0) + 1
    first, second = _moments(state, "first", theta), _moments(state, "second", theta)
    gradients = regularize(theta, gradients, weight_decay)
    for p, g, m, v in zip(theta, gradients, first, second, strict=True):
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g**2
        p -= learning_rate / (1 - beta1**t) * m / (np.sqrt(v) / (1 - beta2**t) ** 0.5 + epsilon)


def adamw(theta, gradients, state, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=1e-2):
    """W ← (1 − α weight_decay) W, then Adam without decay (Loshchilov and Hutter 2019, Algorithm 2)."""
    for p in theta:
        if p.ndim == 2:
            p *= 1 - learning_rate * weight_decay
    adam(theta, gradients, state, learning_rate, beta1, beta2, epsilon)


def rmsprop(
    theta, gradients, state, learning_rate=1e-2, rho=0.99, epsilon=1e-8, momentum=0.0, centered=False, weight_decay=0.0
):
    """v ← ρ v + (1−ρ) g², u ← momentum·u + g / (√v + ε), θ ← θ − α u.

    Tieleman and Hinton 2012. Centered (Graves 2013): √(v − ḡ²) in place of √v, where ḡ ← ρ ḡ + (1−ρ) g.
    """
    squares, means = _moments(state, "squares", theta), _moments(state, "means", theta)
    pasts = _moments(state, "past", theta)
    gradients = regularize(theta, gradients, weight_decay)
    for p, g, v, mean, u in zip(theta, gradients, squares, means, pasts, strict=True):
        v *= rho
        v += (1 - rho) * g**2
        mean *= rho
        mean += (1 - rho) * g
        u *= momentum
        u += g / (np.sqrt(np.maximum(v - mean**2, 0) if centered else v) + epsilon)
        p -= learning_rate * u


def adagrad(
    theta,
    gradients,
    state,
    learning_rate=1e-2,
    learning_rate_decay=0.0,
    initial_accumulator=0.0,
    epsilon=1e-10,
    weight_decay=0.0,
):
    """v ← v + g², θ ← θ − α / (1 + (t−1) learning_rate_decay) · g / (√v + ε) at step t (Duchi et al. 2011)."""
    state["step"] = t = state.get("step", 0) + 1
    squares = _moments(state, "squares", theta, initial_accumulator)
    for p, g, v in zip(theta, regularize(theta, gradients, weight_decay), squares, strict=True):
        v += g**2
        p -= learning_rate / (1 + (t - 1) * learning_rate_decay) * g / (np.sqrt(v) + epsilon)


# Learning rates, after t = 0, 1, 2, ... updates.


def step_decay(t, learning_rate, every, factor=0.1):
    """α γ^⌊t / every⌋."""
    return learning_rate * factor ** (t // every)


def exponential_decay(t, learning_rate, factor, every=1):
    """α γ^(t / every)."""
    return learning_rate * factor ** (t / every)


def cosine_decay(t, learning_rate, steps, warmup=0, final=0.0):
    """A straight rise for `warmup` updates, then half a cosine (Loshchilov and Hutter 2017, equation 5)."""
    if t < warmup:
        return learning_rate * (t + 1) / (warmup + 1)
    part = min((t - warmup) / (steps - warmup), 1)
    return final + (learning_rate - final) / 2 * (1 + np.cos(np.pi * part))


def one_cycle(t, learning_rate, steps, rise=0.3, divide=25.0, divide_final=1e4):
    """Half a cosine up until rise·steps − 1 and one down until steps − 1 (Smith and Topin 2017)."""
    first, last, top = learning_rate / divide, learning_rate / divide / divide_final, max(rise * steps - 1, 0)
    if t < top:
        return first + (learning_rate - first) / 2 * (1 - np.cos(np.pi * t / top))
    part = min((t - top) / (steps - 1 - top), 1) if steps - 1 > top else 1
    return last + (learning_rate - last) / 2 * (1 + np.cos(np.pi * part))


def reduce_on_plateau(losses, learning_rate, factor=0.1, patience=10, tolerance=1e-4, minimum=0.0):
    """The rate after epochs of these losses: reduced when more than `patience` of them have not bettered the least."""
    least, waited = np.inf, 0
    for loss in losses:
        if least == np.inf or loss < least - tolerance * abs(least):
            least, waited = loss, 0
        elif waited == patience:
            learning_rate, waited = max(learning_rate * factor, minimum), 0
        else:
            waited += 1
    return learning_rate


def scheduled(optimizer, rate):
    """The optimizer with learning rate `rate`(t) after t updates, which `state` counts."""

    def step(theta, gradients, state):
        t = state["updates"] = state.get("updates", -1) + 1
        optimizer(theta, gradients, state, learning_rate=rate(t))

    return step


def train(x, target, weights, biases, activations, loss, optimizer=adam, batch_size=32, epochs=1, orders=None):
    """Train by mini-batches, updating weights and biases in place; returns each epoch's loss.

    That is the mean over its rows of the batch losses before each update. The optimizer is called with
    (theta, gradients, state). `orders` yields a permutation of the n rows for each epoch; None keeps the
    order they are in. A smaller last batch is trained too.

    >>> from functools import partial
    >>> x, target, W, b = np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), np.zeros((1, 1)), np.zeros(1)
    >>> losses = train(x, target, [W], [b], ["identity"], "mse", partial(sgd, learning_rate=0.5), epochs=50)
    >>> print(losses[0], W.round(4), b.round(4))
    5.0 [[2.]] [1.]
    """
    theta = [p for layer in zip(weights, biases, strict=True) for p in layer]
    state, losses = {}, []
    orders = iter([None] * epochs if orders is None else orders)
    for _ in range(epochs):
        order, total = next(orders), 0.0
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            rows = rows if order is None else order[rows]
            z, a = forward(x[rows], weights, biases, activations)
            C, _, *gradients = backward(target[rows], weights, z, a, activations, loss)
            optimizer(theta, [g for layer in zip(*gradients, strict=True) for g in layer], state)
            total += float(C) * len(a[0])
        losses.append(total / len(x))
    return losses
