"""Derive the polynomial coefficients of ``kernels/vecmath.py``, and print them as they stand there.

Usage: ``python tools/derive_coefficients.py``; it needs mpmath, and takes some seconds. Nothing imports it.

Each table is a minimax polynomial of the relative error of the function that it serves, by Remez' exchange in
60 digits, then rounded to the element type, lowest coefficient first. The errors that it prints are those of
the rounded polynomial, in exact arithmetic, in units of 2^-24 (float32) or 2^-53 (float64).
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def remez(target, weight, low, high, degree):
    """Coefficients of the polynomial p of `degree` that minimises max |weight·(p − target)|."""
    count = degree + 2
    middle, radius = (low + high) / 2, (high - low) / 2
    points = [middle - radius * mp.cos(mp.pi * k / (count - 1)) for k in range(count)]
    grid = [middle - radius * mp.cos(mp.pi * (k + mp.mpf("0.5")) / (60 * count)) for k in range(60 * count)]
    targets, weights = [target(x) for x in grid], [weight(x) for x in grid]
    for _ in range(30):
        # The error alternates: weight(x_k)·p(x_k) + (−1)^k E = weight(x_k)·target(x_k), linear in p and E.
        system = mp.matrix(count, count)
        for k, x in enumerate(points):
            for j in range(degree + 1):
                system[k, j] = weight(x) * x**j
            system[k, degree + 1] = (-1) ** k
        solution = mp.lu_solve(system, mp.matrix([weight(x) * target(x) for x in points]))
        coefficients, level = list(solution)[:-1], abs(solution[degree + 1])
        errors = [w * (horner(coefficients, x) - t) for x, t, w in zip(grid, targets, weights, strict=True)]
        # The new points: the largest error between each two changes of its sign.
        extremes = []
        for x, error in zip(grid, errors, strict=True):
            if extremes and (error > 0) == (extremes[-1][1] > 0):
                if abs(error) > abs(extremes[-1][1]):
                    extremes[-1] = (x, error)
            else:
                extremes.append((x, error))
        while len(extremes) > count:
            extremes.pop(0 if abs(extremes[0][1]) < abs(extremes[-1][1]) else -1)
        assert len(extremes) == count, "the error does not alternate often enough"
        points = [x for x, _ in extremes]
        if max(abs(error) for _, error in extremes) < level * mp.mpf("1.0001"):
            return coefficients
    raise ArithmeticError("no convergence")


def horner(coefficients, x):
    value = mp.mpf(0)
    for c in reversed(coefficients):
        value = value * x + c
    return value


def rounded(coefficients, dtype):
    """The coefficients as `dtype` holds them, exactly."""
    return [mp.mpf(float(dtype(mp.nstr(c, 30)))) for c in coefficients]


def expm1_tail(r):
    """(eʳ − 1 − r) / r², by its series near 0."""
    if abs(r) > mp.mpf("1e-4"):
        return (mp.expm1(r) - r) / r**2
    return mp.fsum(r**k / mp.factorial(k + 2) for k in range(14))


def log_tail(z):
    """(log((1+s)/(1−s)) − 2s) / (s·z) with z = s², by its series: Σ 2/(2k+3)·zᵏ."""
    return mp.fsum(2 * z**k / (2 * k + 3) for k in range(40))


def print_table(name, target, weight, low, high, degrees):
    for dtype, degree in zip((np.float32, np.float64), degrees, strict=True):
        table = rounded(remez(target, weight, low, high, degree), dtype)
        points = [low + (high - low) * k / 4000 for k in range(4001)]
        error = max(abs(weight(x) * (horner(table, x) - target(x))) for x in points)
        bits = np.finfo(dtype).nmant + 1
        print(f"\n# largest relative error {mp.nstr(error * mp.mpf(2) ** bits, 2)} · 2^-{bits}")
        print(f"{name}_{bits + 8 if bits == 24 else 64} = (")
        for c in table:
            print(f"    {float(c)!r},")
        print(")")


def print_split(name, value, bits):
    """`value` as a head of so few bits that its product with a small integer is exact, and the rest."""
    scale = mp.mpf(2) ** (bits - 1 - int(mp.floor(mp.log(value, 2))))
    head = mp.floor(value * scale) / scale
    print(f"{name}_HEAD, {name}_TAIL = {float(head)!r}, {float(value - head)!r}  # {bits} bits, and the rest")


if __name__ == "__main__":
    half = mp.log(2) / 2 * mp.mpf("1.0001")  # r is reduced by a rounded multiple of log 2
    # A weight that vanishes inside the interval would leave the exchange without its alternating points.
    least = mp.mpf("0.01")
    # eʳ − 1 = r + r²·q(r): q's error counts relative to eʳ − 1
    relative = lambda r: max(abs(r**2 / mp.expm1(r)), least) if r else least  # noqa: E731
    print_table("EXPM1", expm1_tail, relative, -half, half, (5, 10))
    # log(1+f) = 2s + s·z·R(z), s = f / (2 + f), z = s², 1 + f in [√½, √2]: relative to log(1+f)
    largest = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
    print_table("LOG", log_tail, lambda z: z / 2 + least * largest, mp.mpf(0), largest, (2, 6))
    print()
    print_split("LOG2_32", mp.log(2), 15)
    print_split("LOG2_64", mp.log(2), 41)
