"""Elementary functions for one's own activations and losses, of numbers and of whole vectors alike.

A formula made of these, of arithmetic, ``abs``, ``min``, ``max`` and powers by a constant integer is compiled for
whole vectors, as the built-in activations are. Each function takes and gives a number, in compiled code as in Python,
and float32 stays float32. ``math.exp``, ``expm1``, ``log``, ``log1p`` and ``tanh``, and NumPy's, become these in such
a formula; ``math.sqrt``, ``fabs`` and ``floor`` have their instructions. Errors are in units in the last place (ULP),
over the whole range.

Examples
--------
>>> def mish(z):
...     return z * fastprop.math.tanh(fastprop.math.softplus(z))
>>> round(mish(1.0), 6)
0.865098
"""

from __future__ import annotations

import math as _math

import numpy as _np

from .kernels import vecmath
from .kernels.jit import formula as _formula
from .kernels.simd import as_given, as_vector, on_vectors, select

__all__ = ["exp", "expm1", "gelu", "log", "log1p", "sigmoid", "silu", "softplus", "tanh", "where"]


@_formula
def exp(x):
    """eˣ within 1 ULP."""
    return as_given(x, vecmath.exp(as_vector(x)))


@_formula
def expm1(x):
    """eˣ − 1 within 2 ULP."""
    return as_given(x, vecmath.expm1(as_vector(x)))


@_formula
def log(x):
    """log x within 1 ULP; −inf at 0, NaN below."""
    return as_given(x, vecmath.log(as_vector(x)))


@_formula
def log1p(x):
    """log(1 + x) within 2 ULP; −inf at −1, NaN below."""
    return as_given(x, vecmath.log1p(as_vector(x)))


@_formula
def sigmoid(x):
    """1 / (1 + e⁻ˣ) within 3 ULP."""
    return as_given(x, vecmath.sigmoid(as_vector(x)))


@_formula
def tanh(x):
    """tanh x within 3 ULP."""
    return as_given(x, vecmath.tanh(as_vector(x)))


@_formula
def softplus(x):
    """log(1 + eˣ) within 3 ULP."""
    return as_given(x, vecmath.softplus(as_vector(x)))


@_formula
def silu(x):
    """x·sigmoid(x) within 4 ULP."""
    return as_given(x, vecmath.silu(as_vector(x)))


@_formula
def gelu(x):
    """½x(1 + tanh(√(2/π)(x + 0.044715x³))) within 3 ULP of \\|x\\|."""
    return as_given(x, vecmath.gelu(as_vector(x)))


@_formula
def where(condition, a, b):
    """a where the condition holds, else b: a branch that a formula for vectors may have. Both are computed."""
    return select(condition, a, b)


for _function in (exp, expm1, log, log1p, tanh):
    for _module in (_math, _np):
        on_vectors(getattr(_module, _function.__name__), _function)
