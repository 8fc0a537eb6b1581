"""`fastprop.math`: of numbers within the error it states, in compiled code and in Python; of vectors as vecmath is."""

import math

import numba
import numpy as np
import pytest
from fastprop.kernels.jit import standalone
from fastprop.kernels.simd import lanes, load, store

import fastprop

from .test_vecmath import DTYPES, REFERENCES, ULPS, WIDE, apply, error_in_ulps, sample


def of_numbers(function):
    """A loop of calls with numbers, which LLVM may make one over vectors of."""

    @numba.njit
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REFERENCES)
def test_error_of_numbers_in_ulps_over_the_whole_range(name, dtype):
    if np.finfo(WIDE[dtype]).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("no wider float here")
    x = sample(dtype, 20_000)
    value = np.empty_like(x)
    of_numbers(getattr(fastprop.math, name))(x, value)
    with np.errstate(all="ignore"):
        reference = REFERENCES[name](x.astype(WIDE[dtype]))
        unit = np.where(np.isinf(x), 1, x) if name == "gelu" else reference.astype(dtype)
        error = error_in_ulps(value, reference, unit)
    worst = np.argmax(error)
    assert error[worst] <= ULPS[name], f"{name}({x[worst]!r}) = {value[worst]!r}, off by {error[worst]:.3f} ULP"


@pytest.mark.parametrize("name", REFERENCES)
def test_from_python(name):
    function = getattr(fastprop.math, name)
    for x in (0.5, 1, np.float32(0.5)):
        assert math.isclose(function(x), REFERENCES[name](np.float64(x)), rel_tol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_vectors_it_is_vecmath(dtype):
    function = fastprop.math.tanh

    @standalone
    def loop(x, y):
        for i in range(0, x.size, lanes(x)):
            store(y, i, function(load(x, i)))

    x = np.linspace(-9, 9, 256).astype(dtype)
    y = np.empty_like(x)
    loop(x, y)
    np.testing.assert_array_equal(y, apply("tanh", x))


def test_where():
    assert fastprop.math.where(True, 1.5, 2) == 1.5
    assert fastprop.math.where(False, 1.5, 2) == 2


@pytest.mark.parametrize("function", [math.exp, math.tanh, math.sqrt, np.exp, np.log1p, np.tanh, max, min, abs])
def test_numba_still_has_its_own_for_numbers_and_arrays(function):
    if function in (max, min):
        assert numba.njit(lambda x: function(x, 1.0))(2.0) == function(2.0, 1.0)
    else:
        assert math.isclose(numba.njit(lambda x: function(x))(2.0), function(2.0), rel_tol=1e-15)
    if isinstance(function, np.ufunc):
        x = np.linspace(0, 3, 7)
        np.testing.assert_allclose(numba.njit(lambda x: function(x))(x), function(x), rtol=1e-15)
