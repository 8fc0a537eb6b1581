"""The vector maths against references of twice the precision, over the whole range of each element type."""

import numpy as np
import pytest
from fastprop.kernels import vecmath
from fastprop.kernels.jit import standalone as compiled
from fastprop.kernels.simd import lanes, load, store

DTYPES = [np.float32, np.float64]
#: precise enough to be the truth for an element type
WIDE = {np.float32: np.float64, np.float64: np.longdouble}

#: as the kernels are compiled, but callable from Python and not cached on disk

KERNELS = {}


def apply(name, x):
    """The function of `vecmath` on an array; a pair of arrays where it gives a pair."""
    if name not in KERNELS:
        function = getattr(vecmath, name)

        @compiled
        def one(x, y, _):
            for i in range(0, x.size, lanes(x)):
                store(y, i, function(load(x, i)))

        @compiled
        def two(x, y, slope):
            for i in range(0, x.size, lanes(x)):
                value, derivative = function(load(x, i))
                store(y, i, value)
                store(slope, i, derivative)

        KERNELS[name] = two if name.endswith("slope") else one
    padded = np.concatenate([x, np.ones(-x.size % 16, x.dtype)])
    y, slope = np.empty_like(padded), np.empty_like(padded)
    KERNELS[name](padded, y, slope)
    return (y[: x.size], slope[: x.size]) if name.endswith("slope") else y[: x.size]


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def silu(x):
    return np.where(x == -np.inf, -0.0, x * sigmoid(x))


def gelu(x):
    u = np.sqrt(2 / np.acos(x.dtype.type(-1))) * (x + x.dtype.type("0.044715") * x**3)
    return np.where(x == -np.inf, -0.0, x * sigmoid(2 * u))


REFERENCES = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "silu": silu,
    "gelu": gelu,
}
#: as the docstring of vecmath states them
ULPS = {
    "exp": 1, "expm1": 2, "log": 1, "log1p": 2, "sigmoid": 3, "tanh": 3, "softplus": 3, "silu": 4, "gelu": 3,
}  # fmt: skip


def sample(dtype, count=100_000):
    """Numbers of every exponent and kind, and those beside the points where a function changes course."""
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    bits = f"u{info.dtype.itemsize}"
    largest = 1.2 * np.log(float(info.max))
    parts = [
        rng.integers(0, np.iinfo(bits).max, 2 * count, bits).view(dtype),
        rng.uniform(-1, 1, count),
        rng.uniform(-20, 20, 2 * count),
        rng.uniform(-largest, largest, 2 * count),
        1 + rng.uniform(-0.8, 0.8, count) ** 3,
        rng.choice([-1, 1], 2 * count) * np.exp(rng.uniform(-20, 5, 2 * count)),
        info.smallest_subnormal * np.arange(1, 500, dtype=dtype),
        [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, -info.tiny],
    ]
    log2 = np.log(2.0)
    kinks = [
        log2 / 2,
        -log2 / 2,
        1.5 * log2,
        1,
        -1,
        2,
        -10,
        -18,
        -20,
        -38,
        -60,
        20,
        1e3,
        -120,
        -760,
        1e4,
        -1e4,
    ]
    kinks += [88.7228, -87.3365, -103.972, -104, 89, 709.7827, -708.396, -745.133, -746, 710]
    kinks += [0.5**0.5, 2**0.5, 0.5**0.5 - 1, 2**0.5 - 1]
    for kink in kinks:
        parts.append(dtype(kink) + np.arange(-100, 101) * np.spacing(dtype(kink)))
    return np.concatenate([np.asarray(part, dtype) for part in parts])


def error_in_ulps(value, reference, unit):
    """|value − reference| in units of the last place of `unit`; inf where one is finite and the other not."""
    rounded = reference.astype(value.dtype)
    same = (rounded == value) | (np.isnan(rounded) & np.isnan(value))
    comparable = np.isfinite(rounded) & np.isfinite(value)
    error = np.abs(value.astype(reference.dtype) - reference) / np.spacing(np.abs(unit)).astype(reference.dtype)
    return np.where(comparable, error, np.where(same, 0, np.inf))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REFERENCES)
def test_error_in_ulps_over_the_whole_range(name, dtype):
    if np.finfo(WIDE[dtype]).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("no wider float here")
    x = sample(dtype)
    with np.errstate(all="ignore"):
        value, reference = apply(name, x), REFERENCES[name](x.astype(WIDE[dtype]))
        unit = np.where(np.isinf(x), 1, x) if name == "gelu" else reference.astype(dtype)
        error = error_in_ulps(value, reference, unit)
    worst = np.argmax(error)
    assert error[worst] <= ULPS[name], f"{name}({x[worst]!r}) = {value[worst]!r}, off by {error[worst]:.3f} ULP"


ZERO, INF, NAN = 0.0, np.inf, np.nan


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("exp", {ZERO: 1, -ZERO: 1, INF: INF, -INF: 0}),
        ("expm1", {INF: INF, -INF: -1}),
        ("log", {ZERO: -INF, 1.0: 0, INF: INF, -INF: NAN, -1.0: NAN}),
        ("log1p", {-1.0: -INF, INF: INF, -INF: NAN, -2.0: NAN}),
        ("tanh", {INF: 1, -INF: -1}),
        ("sigmoid", {ZERO: 0.5, INF: 1, -INF: 0}),
        ("softplus", {INF: INF, -INF: 0}),
        ("silu", {INF: INF, -INF: -0.0}),
        ("gelu", {INF: INF, -INF: -0.0}),
    ],
)
def test_special_values(name, at, dtype):
    x = np.array([*at, NAN], dtype)
    np.testing.assert_array_equal(apply(name, x), np.array([*at.values(), NAN], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "silu", "gelu"])
def test_odd_functions_keep_the_sign_of_zero(name, dtype):
    np.testing.assert_array_equal(np.signbit(apply(name, np.array([0.0, -0.0], dtype))), [False, True])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_subnormals_are_their_own_image(name, dtype):
    x = np.finfo(dtype).smallest_subnormal * np.arange(-50, 51, dtype=dtype)
    np.testing.assert_array_equal(apply(name, x), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu"])
def test_slopes_against_central_differences(name, dtype):
    x = np.concatenate([np.random.default_rng(3).uniform(-9, 9, 500), [-80.0, 80.0]]).astype(dtype)
    value, slope = apply(f"{name}_and_slope", x)
    h = 1e-5
    numeric = (REFERENCES[name](x.astype(float) + h) - REFERENCES[name](x.astype(float) - h)) / (2 * h)
    np.testing.assert_allclose(value, apply(name, x), rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-6 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu"])
def test_slopes_at_the_ends(name, dtype):
    x = np.array([INF, -INF, 1e30, -1e30, NAN], dtype)
    value, slope = apply(f"{name}_and_slope", x)
    np.testing.assert_array_equal(value, apply(name, x))
    right = 0 if name == "sigmoid" else 1
    np.testing.assert_array_equal(slope, np.array([right, 0, right, 0, NAN], dtype))
