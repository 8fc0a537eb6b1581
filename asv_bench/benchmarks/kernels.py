"""Single kernels, on the buffers of a network that has been through a forward and a backward pass.

Kernels take what the compiled training loop gives them, so that these calls change with them; the names and
the meaning of the benchmarks do not.
"""

import math
from functools import partial

import numpy as np
from fastprop.kernels import activations, batches, jit, losses, products, training, updates
from fastprop.kernels.peak import fma_peak

import fastprop
from fastprop import math as fm
from fastprop.activations import ACTIVATIONS

from .timing import seconds_in_turn


def _entry(kernel):
    """A kernel as Python can call it, compiled and cached as the entry points of fastprop are."""

    def call(*arguments):
        return kernel(*arguments)

    call.__qualname__ = f"benchmark_{kernel.py_func.__name__}"  # its name in the cache of compiled kernels
    entry = jit.standalone(call)
    entry._cache = jit.KernelCache(call)
    return entry


activate, multiply_by_slope = _entry(activations.activate), _entry(activations.multiply_by_slope)
forward_product, delta_product = _entry(products.forward_product), _entry(products.delta_product)
weight_gradient, output_error = _entry(products.weight_gradient), _entry(losses.output_error)
rates_of_step, update_layer = _entry(updates.rates_of_step), _entry(training.update_layer)
gather_inputs = _entry(batches.gather_inputs)


def _network(sizes, rows, **settings):
    """A network after a forward and a backward pass of random data."""
    net = fastprop.Network(sizes, seed=0, **settings)
    a = net.forward(np.random.default_rng(0).standard_normal((rows, sizes[0])))
    net.backward(np.full_like(a, 1 / sizes[-1]))
    return net


class Product:
    """The three products for a layer of rows × fan_in by fan_in × fan_out."""

    param_names = ("product", "rows_fan_in_fan_out", "dtype")
    params = (
        ["forward", "weight_gradient", "delta"],
        [(1, 2, 2), (32, 64, 128), (64, 784, 128), (255, 333, 77), (256, 1024, 1024)],
        ["float32", "float64"],
    )

    def setup(self, product, shape, dtype):
        rows, fan_in, fan_out = shape
        net = _network((1, fan_in, fan_out), rows, hidden="identity", dtype=dtype)
        layers, units, parameters = net._units.layers, net._units.data, net._store.data
        self.call = {
            "forward": lambda: forward_product(layers, 2, 0, fan_in, 0.0, parameters, units, rows),
            "weight_gradient": lambda: weight_gradient(layers, 2, 0, fan_in, net._store.gradients, units, rows, False),
            "delta": lambda: delta_product(layers, 1, 0.0, parameters, units, rows, rows),
        }[product]
        self.call()

    def time_product(self, product, shape, dtype):
        self.call()

    def track_share_of_peak(self, product, shape, dtype):
        """Of the multiply-add rate that a loop in registers reaches, measured in turn."""
        peaks = []
        seconds, _ = seconds_in_turn(self.call, lambda: peaks.append(fma_peak(dtype, repeats=20_000)))
        return 2 * np.prod(shape) / seconds / 1e9 / max(peaks)

    track_share_of_peak.unit = "of peak"


class ActivationKernel:
    """A layer of 256 × 256 in place: σ, and the product with σ′."""

    param_names = ("activation", "dtype")
    params = (
        ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softmax"],
        ["float32", "float64"],
    )

    def setup(self, activation, dtype):
        units = np.random.default_rng(0).standard_normal(3 * 256 * 256).astype(dtype)
        z, a, delta = 0, 256 * 256, 2 * 256 * 256
        rule = ACTIVATIONS[activation]
        self.head, self.tail = (rule._code(units.dtype), rule._parameter, units), (256, 256, 256)
        self.z_a, self.z_a_delta = (z, a), (z, a, delta)
        self.time_activate(activation, dtype)
        self.time_multiply_by_slope(activation, dtype)

    def time_activate(self, activation, dtype):
        activate(*self.head, *self.z_a, *self.tail)

    def time_multiply_by_slope(self, activation, dtype):
        multiply_by_slope(*self.head, *self.z_a_delta, *self.tail)


def _elu(z):
    return z if z > 0 else math.expm1(z)


def _elu_derivative(z):
    return 1.0 if z > 0 else math.exp(z)


OWN = {
    "sigmoid": ("sigmoid", fm.sigmoid, lambda z, a: a * (1 - a)),
    "tanh": ("tanh", fm.tanh, lambda z, a: 1 - a**2),
    "tanh, σ′ of z alone": ("tanh", fm.tanh, lambda z: 1 - fm.tanh(z) ** 2),
    "silu": ("silu", lambda z: z * fm.sigmoid(z), lambda z: fm.sigmoid(z) * (1 + z * (1 - fm.sigmoid(z)))),
    "softplus": ("softplus", fm.softplus, fm.sigmoid),
    "leaky relu, branches": ("leaky_relu", lambda z: z if z > 0 else 0.01 * z, lambda z: 1.0 if z > 0 else 0.01),
    "elu, branches and math": ("elu", _elu, _elu_derivative),
}


class OwnActivation:
    """One's own activation beside the built-in one it equals: σ, and ⊙ σ′, of 64 × 64 numbers in the nearest cache."""

    param_names = ("activation",)
    params = (list(OWN),)
    unit = "own seconds / built-in seconds"

    def setup(self, activation):
        name, *functions = OWN[activation]
        units = np.random.default_rng(0).standard_normal(3 * 64 * 64).astype("float32")
        z, a, delta = 0, 64 * 64, 2 * 64 * 64
        units[delta:] = 0  # a product repeated for ever has no other value that stays
        rules = fastprop.Activation("own", *functions), ACTIVATIONS[name]
        heads = [(rule._code(units.dtype), rule._parameter, units) for rule in rules]
        self.activate = [partial(activate, *head, z, a, 64, 64, 64) for head in heads]
        self.slope = [partial(multiply_by_slope, *head, z, a, delta, 64, 64, 64) for head in heads]
        for call in (*self.activate, *self.slope):
            call()  # compiled before it is timed

    def track_ratio_of_activate(self, activation):
        own, built_in = seconds_in_turn(*self.activate)
        return own / built_in

    def track_ratio_of_multiply_by_slope(self, activation):
        own, built_in = seconds_in_turn(*self.slope)
        return own / built_in


class LossKernel:
    """Loss and δ of 256 observations with 10 outputs."""

    param_names = ("loss", "output")
    params = (
        ["squared_error", "mse", "mae", "huber", "binary_cross_entropy", "cross_entropy", "poisson"],
        ["sigmoid", "softmax"],
    )

    def setup(self, loss, output):
        net = _network((1, 10), 256, output=output, loss=loss)
        self.arguments = net._units.layers, *net._loss_numbers, net._slopes[-1], net._units.data, 256
        output_error(*self.arguments)

    def time_output_error(self, loss, output):
        output_error(*self.arguments)


class UpdateKernel:
    """One update of all parameters."""

    param_names = ("optimizer", "sizes")
    params = (
        ["sgd", "momentum", "nesterov", "adam", "rmsprop", "adagrad", "adamw", "adam, penalties"],
        [(8, 32, 32, 1), (784, 128, 10), (1024, 1024)],
    )

    def setup(self, optimizer, sizes):
        net = _network(sizes, 1)
        rule = {
            "sgd": lambda: fastprop.SGD(1e-6),
            "momentum": lambda: fastprop.SGD(1e-6, momentum=0.9),
            "nesterov": lambda: fastprop.SGD(1e-6, momentum=0.9, nesterov=True),
            "adam": lambda: fastprop.Adam(1e-6),
            "rmsprop": lambda: fastprop.RMSprop(1e-6),
            "adagrad": lambda: fastprop.Adagrad(1e-6),
            "adamw": lambda: fastprop.AdamW(1e-6),
            "adam, penalties": lambda: fastprop.Adam(1e-6, weight_decay=1e-3, l1=1e-3, clip_value=1.0),
        }[optimizer]()
        net.step(rule)
        store, rates = net._store, rates_of_step(rule._code, rule._hyper, 2)
        self.layers, self.sizes = range(1, len(sizes)), sizes
        self.head = store.layers
        self.tail = rule._code, rates, rule._hyper, store.data, store.gradients, rule._moments
        self.time_update(optimizer, sizes)

    def time_update(self, optimizer, sizes):
        for m in self.layers:
            update_layer(self.head, m, 0, self.sizes[m - 1], *self.tail)


class GatherKernel:
    """A mini-batch of 128 shuffled rows of the inputs."""

    param_names = ("width",)
    params = ([8, 64, 784],)

    def setup(self, width):
        rng = np.random.default_rng(0)
        net = _network((width, 1), 128)
        X = rng.standard_normal((16384, width), dtype=np.float32)
        self.arguments = net._units.layers, X, rng.permutation(len(X)), 0, 128, 0, width, net._units.data
        gather_inputs(*self.arguments)

    def time_gather_inputs(self, width):
        gather_inputs(*self.arguments)
