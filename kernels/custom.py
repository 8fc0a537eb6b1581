"""One's own activations and losses: scalar functions, compiled into loops that the kernels call by their address.

A block is a C function of the address and size of ``units``, of integers and of a number, compiled on its own: so
``train`` keeps its one signature, and nothing of it is compiled anew. Where the layer table has the code of an
activation, it has the block's address instead, and so has the loss; no code is as large.

A formula is compiled for whole vectors, or for one number at a time where that fails: where it has branches, say.
"""

import inspect
from types import FunctionType

from numba import uint64

from .jit import block, njit
from .simd import first_lanes, lanes, load, select, splat, store, sum_lanes, view_at


class Block(dict):
    """``block[dtype]`` is an address, compiled when it is first asked for.

    ``loops`` makes it of the two functions: `ACTIVATION` or `LOSS`.
    """

    def __init__(self, loops, f, derivative):
        super().__init__()
        self._loops, self._functions = loops, (f, derivative)
        self.compiled = {}  # machine code lives as long as these
        self.vectors = {}  # whether it is of vectors

    def __reduce__(self):
        return Block, (self._loops, *self._functions)  # addresses are of this process

    def __missing__(self, dtype):
        f, derivative = map(_kernel, self._functions)
        of_vectors, of_numbers = self._loops
        try:
            self.compiled[dtype] = block(of_vectors(f, derivative), dtype)
            self.vectors[dtype] = True
        except Exception:  # whatever Numba has against vectors, numbers may do
            self.compiled[dtype] = block(of_numbers(f, derivative), dtype)
            self.vectors[dtype] = False
        self[dtype] = self.compiled[dtype].address
        return self[dtype]


def _kernel(function):
    """A user's function as a kernel; one that Numba knows by itself, such as ``math.sin``, stays as it is."""
    function = getattr(function, "py_func", function)
    return njit(function, inline=True) if isinstance(function, FunctionType) else function


def _of_both(derivative):
    """derivative(z, a) with a = f(z), from that or from derivative(z)."""
    parameters = inspect.signature(getattr(derivative, "py_func", derivative)).parameters.values()
    if sum(parameter.default is parameter.empty for parameter in parameters) == 2:
        return derivative

    @njit(inline=True)
    def slope(z, a):
        return derivative(z)

    return slope


def activation_of_vectors(f, derivative):
    """a = f(z), overwriting; where ``delta`` is not negative, δ ← δ ⊙ f′(z) instead."""
    slope = _of_both(derivative)

    def activation(data, size, z, a, delta, stride, rows, columns, _):
        units = view_at(data, size)
        for i in range(rows):
            for j in range(0, columns, lanes(units)):
                at, inside = i * stride + j, first_lanes(units, columns - j)
                z_j = load(units, z + at)
                if delta < 0:
                    store(units, a + at, select(inside, splat(units, f(z_j)), 0.0))
                else:  # in the padding f′ may be infinite
                    d_j = load(units, delta + at) * slope(z_j, load(units, a + at))
                    store(units, delta + at, select(inside, d_j, 0.0))
        return 0.0

    return activation


def activation_of_numbers(f, derivative):
    """The same. An unsigned index is not looked at for being negative, so that LLVM may make vectors of the loop."""
    slope = _of_both(derivative)

    def activation(data, size, z, a, delta, stride, rows, columns, _):
        units = view_at(data, size)
        for i in range(rows):
            if delta < 0:
                for at in range(i * stride, i * stride + columns):
                    units[uint64(a + at)] = f(units[uint64(z + at)])
            else:
                for at in range(i * stride, i * stride + columns):
                    units[uint64(delta + at)] *= slope(units[uint64(z + at)], units[uint64(a + at)])
        return 0.0

    return activation


def loss_of_vectors(f, derivative):
    """Overwrite c by r · factor · Σ f(a, t) of each row, and δ by r · factor · derivative(a, t), 0 in the padding."""

    def loss(data, size, t, a, delta, r, c, stride, rows, columns, factor):
        units = view_at(data, size)
        for i in range(rows):
            weight = splat(units, units[r + i] * factor)
            total = splat(units, 0.0)
            for k in range(0, columns, lanes(units)):
                at, inside = i * stride + k, first_lanes(units, columns - k)
                a_k, t_k = load(units, a + at), load(units, t + at)
                total += select(inside, splat(units, f(a_k, t_k)), 0.0)
                store(units, delta + at, select(inside, splat(units, derivative(a_k, t_k)) * weight, 0.0))
            units[c + i] = sum_lanes(total * weight)
        return 0.0

    return loss


def loss_of_numbers(f, derivative):
    """The same."""

    def loss(data, size, t, a, delta, r, c, stride, rows, columns, factor):
        units = view_at(data, size)
        for i in range(rows):
            weight, cost = units[r + i] * factor, 0.0
            for at in range(i * stride, i * stride + columns):
                a_k, t_k = units[uint64(a + at)], units[uint64(t + at)]
                cost += f(a_k, t_k) * weight
                units[uint64(delta + at)] = derivative(a_k, t_k) * weight
            units[c + i] = cost
        return 0.0

    return loss


ACTIVATION = activation_of_vectors, activation_of_numbers
LOSS = loss_of_vectors, loss_of_numbers
