"""Elementary functions of SIMD vectors, float32 and float64, without branches.

Each takes a vector (see `simd`) and gives one. Largest error over the whole range, in units in the last place
(ULP) of the result, subnormal results included, as the tests enforce it:

================  =======  =======  =========================================================
function          float32  float64
================  =======  =======  =========================================================
exp                   1        1
expm1                 2        2
log                   1        1
log1p                 2        2
sigmoid               3        3    1 / (1 + e⁻ˣ)
tanh                  3        3
softplus              3        3    log(1 + eˣ)
silu                  4        4    x·sigmoid(x)
gelu                  3        3    of \\|x\\|: ½x(1 + tanh(√(2/π)(x + 0.044715x³)))
================  =======  =======  =========================================================

NaN gives NaN; ±0, ±inf and subnormals give what the function's limits are. ``sigmoid_and_slope``,
``silu_and_slope`` and ``gelu_and_slope`` also give the derivative, from the same exponential.

The methods are those of fdlibm (https://www.netlib.org/fdlibm): exp reduces its argument to eʳ·2ⁿ with
|r| ≤ ½ log 2, log to log(1 + f) + k·log 2 with 1 + f in [√½, √2], and a polynomial does the rest. Its
coefficients come from ``tools/derive_coefficients.py``. Products that are summed are written as `fma`: then
no compiler chooses what is rounded, and the bits are the same wherever a function is inlined.
"""

from .jit import njit
from .simd import (
    absolute,
    as_floats,
    as_integers,
    by_dtype,
    copysign,
    divide,
    fma,
    maximum,
    minimum,
    polynomial,
    scale_by_power,
    select,
    splat,
)

# fmt: off
EXPM1_32 = (
    0.5, 0.1666666567325592, 0.041666362434625626, 0.008333389647305012, 0.0013940626522526145,
    0.00019845887436531484,
)
EXPM1_64 = (
    0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321691, 0.0013888888888962346,
    0.00019841269885966274, 2.4801587172582964e-05, 2.7557244373687627e-06, 2.755740260589715e-07,
    2.51089790796737e-08, 2.087534114978651e-09,
)
LOG_32 = (0.6666676998138428, 0.3997819125652313, 0.2985699772834778)
LOG_64 = (
    0.6666666666666712, 0.3999999999953859, 0.2857142871844205, 0.2222220077718127, 0.18183459476670652,
    0.1531654090416975, 0.14772577078323693,
)
# log 2 as a head whose product with an exponent is exact, and the rest
LOG2_32_HEAD, LOG2_32_TAIL = 0.693145751953125, 1.4286068203094173e-06
LOG2_64_HEAD, LOG2_64_TAIL = 0.693147180559663, 2.8235290563031577e-13
# fmt: on

INVERSE_LOG2 = 1.4426950408889634
# Adding 1.5·2^(mantissa bits) rounds to an integer, and leaves that integer in the low bits of the sum.
ROUND_32, ROUND_64 = 1.5 * 2.0**23, 1.5 * 2.0**52
ROUND_BITS_32, ROUND_BITS_64 = 0x4B400000, 0x4338000000000000
TWO_BITS_32, TWO_BITS_64 = 0x40000000, 0x4000000000000000
SQRT_HALF_BITS_32, SQRT_HALF_BITS_64 = 0x3F3504F3, 0x3FE6A09E667F3BCD
# The least normal number.
TINY_32, TINY_64 = 2.0**-126, 2.0**-1022

GELU_LINEAR = 1.5957691216057308  # 2·√(2/π): gelu(x) = x·sigmoid(linear·x + cubic·x³)
GELU_CUBIC = GELU_LINEAR * 0.044715

INF, NAN = float("inf"), float("nan")


@njit(inline=True)
def _reduce(x):
    """n = x / log 2 rounded, and eʳ − 1 for r = x − n·log 2: then eˣ = 2ⁿ·(1 + (eʳ − 1))."""
    rounder = by_dtype(x, ROUND_32, ROUND_64)
    n = fma(x, INVERSE_LOG2, rounder) - rounder
    head = fma(n, -by_dtype(x, LOG2_32_HEAD, LOG2_64_HEAD), x)  # exact
    tail = -by_dtype(x, LOG2_32_TAIL, LOG2_64_TAIL)
    r = fma(n, tail, head)
    # Adding the head last keeps the rounding of r out of the result.
    return n, head + fma(r * r, polynomial(r, by_dtype(r, EXPM1_32, EXPM1_64)), n * tail)


@njit(inline=True)
def _power_of_two(n):
    """2ⁿ for integers n whose power is a normal number."""
    biased = n + by_dtype(n, ROUND_32 + 127, ROUND_64 + 1023)
    return as_floats(as_integers(biased) << by_dtype(n, 23, 52))


@njit(inline=True)
def exp(x):
    """eˣ within 1 ULP."""
    n, p = _reduce(x)
    y = scale_by_power(p + 1.0, n)
    # Beyond the limits y is meaningless; to choose last keeps the comparisons off the critical path.
    y = select(x > by_dtype(x, 89.0, 710.0), INF, y)
    return select(x < by_dtype(x, -104.0, -746.0), 0.0, y)


@njit(inline=True)
def expm1(x):
    """eˣ − 1 within 2 ULP."""
    # The second operand's NaN survives; the limits give −1 and inf.
    n, p = _reduce(minimum(by_dtype(x, 89.0, 710.0), maximum(by_dtype(x, -18.0, -38.0), x)))
    half = _power_of_two(n - 1.0)  # of 2ⁿ, which may itself overflow where eˣ does not
    y = fma(half, p, half - 0.5)
    return select(absolute(x) < by_dtype(x, TINY_32, TINY_64), x, y + y)


@njit(inline=True)
def tanh(x):
    """tanh x within 3 ULP: −t / (t + 2) with t = e^(−2|x|) − 1."""
    magnitude = absolute(x)
    n, p = _reduce(magnitude * -2.0)
    power = _power_of_two(n)
    y = divide(fma(-power, p, 1.0 - power), fma(power, p, power + 1.0))
    return copysign(select(magnitude > 20.0, 1.0, y), x)


@njit(inline=True)
def _sigmoid_parts(x):
    """e^(−|x|) = p·2ⁿ as p and n, and the sum 1 + e^(−|x|)."""
    n, p = _reduce(maximum(by_dtype(x, -120.0, -760.0), -absolute(x)))
    power = _power_of_two(maximum(-60.0, n))  # a lesser one is lost in the sum
    return p + 1.0, n, fma(power, p, power + 1.0)


@njit(inline=True)
def sigmoid(x):
    """1 / (1 + e⁻ˣ) within 3 ULP."""
    p, n, total = _sigmoid_parts(x)
    return divide(select(x < 0.0, scale_by_power(p, n), 1.0), total)


@njit(inline=True)
def sigmoid_and_slope(x):
    """σ(x), and σ′(x) = σ(x)·σ(−x) without cancellation."""
    p, n, total = _sigmoid_parts(x)
    e = scale_by_power(p, n)
    large, small = divide(1.0, total), divide(e, total)
    return select(x < 0.0, small, large), large * small


@njit(inline=True)
def silu(x):
    """x·sigmoid(x) within 4 ULP."""
    x = maximum(by_dtype(x, -120.0, -760.0), x)  # the result is −0 there already, and −inf·0 would be NaN
    p, n, total = _sigmoid_parts(x)
    # The power comes last, so that a subnormal result is rounded once.
    negative = x < 0.0
    y = scale_by_power(divide(x * select(negative, p, 1.0), total), select(negative, n, 0.0))
    return select(x > 1e3, x, y)  # inf among them, which `divide` makes NaN


@njit(inline=True)
def silu_and_slope(x):
    """x·σ(x), and its derivative σ(x) + x·σ′(x)."""
    s, slope = sigmoid_and_slope(x)
    inside = minimum(1e4, maximum(-1e4, x))  # beyond, σ′ = 0, and inf·0 would be NaN
    return silu(x), fma(inside, slope, s)


@njit(inline=True)
def gelu(x):
    """½x(1 + tanh(√(2/π)(x + 0.044715x³))) = x·sigmoid(2√(2/π)(x + 0.044715x³)) within 3 ULP of \\|x\\|."""
    x = maximum(-1e4, x)
    return x * sigmoid(x * fma(GELU_CUBIC * x, x, GELU_LINEAR))


@njit(inline=True)
def gelu_and_slope(x):
    """gelu(x), and its derivative σ(u) + x·σ′(u)·u′ with u = 2√(2/π)(x + 0.044715x³)."""
    inside = minimum(1e4, maximum(-1e4, x))
    s, slope = sigmoid_and_slope(inside * fma(GELU_CUBIC * inside, inside, GELU_LINEAR))
    inner = fma(3.0 * GELU_CUBIC * inside, inside, GELU_LINEAR)
    return maximum(-1e4, x) * s, fma(inside * inner, slope, s)


@njit(inline=True)
def _log(x, lift, rest):
    """log((x + rest)·2^(−lift)) for positive normal x, and a rest below its last place."""
    bits, places = as_integers(x), by_dtype(x, 23, 52)
    k = (bits - by_dtype(x, SQRT_HALF_BITS_32, SQRT_HALF_BITS_64)) >> places
    f = as_floats(bits - (k << places)) - 1.0  # x = 2ᵏ(1 + f), 1 + f in [√½, √2]
    # rest·2^(−k) in two factors, because 2^(−k) may be subnormal
    rest = rest * as_floats(by_dtype(x, TWO_BITS_32, TWO_BITS_64) - (k << places)) * 0.5
    k = as_floats(k + by_dtype(x, ROUND_BITS_32, ROUND_BITS_64)) - (lift + by_dtype(x, ROUND_32, ROUND_64))
    # log(1 + f) = f − ½f² + s·(½f² + s²·R(s²)) with s = f / (2 + f)
    s = divide(f, f + 2.0)
    z = s * s
    half = 0.5 * f
    tail = fma(k, by_dtype(x, LOG2_32_TAIL, LOG2_64_TAIL), rest)
    tail = fma(s, fma(z, polynomial(z, by_dtype(x, LOG_32, LOG_64)), half * f), tail)
    return fma(k, by_dtype(x, LOG2_32_HEAD, LOG2_64_HEAD), f + fma(-half, f, tail))


@njit(inline=True)
def log(x):
    """log x within 1 ULP; −inf at 0, NaN below."""
    subnormal = x < by_dtype(x, TINY_32, TINY_64)
    lifted = select(subnormal, x * by_dtype(x, 2.0**24, 2.0**54), x)
    y = _log(lifted, select(subnormal, by_dtype(x, 24.0, 54.0), splat(x, 0.0)), splat(x, 0.0))
    special = select(x == 0.0, -INF, select(x < 0.0, NAN, x))
    return select((x > 0.0) & (x < INF), y, special)


@njit(inline=True)
def log1p(x):
    """log(1 + x) within 2 ULP; −inf at −1, NaN below."""
    u = x + 1.0
    v = u - 1.0
    rest = (1.0 - (u - v)) + (x - v)  # u + rest = 1 + x exactly
    special = select(x == -1.0, -INF, select(x < -1.0, NAN, x))
    return select((x > -1.0) & (x < INF) & (x != 0.0), _log(u, splat(x, 0.0), rest), special)


@njit(inline=True)
def softplus(x):
    """log(1 + eˣ) = max(0, x) + log(1 + e^(−|x|)) within 3 ULP."""
    e = exp(-absolute(x))
    u = e + 1.0
    return maximum(0.0, x) + _log(u, splat(x, 0.0), e - (u - 1.0))
