"""The elementary functions: units in the last place against mpmath, special values, vector code."""

import itertools
import math
import platform
import re

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
from numba import njit

from sdde.engine.kernels import elementary, exponential, trigonometric
from tests import reference_streams as reference

INF, NAN = math.inf, math.nan
TINY, LEAST, HUGE = 2.2250738585072014e-308, 5e-324, 1.7976931348623157e308
POINTS = 1500


def loop_over(function):
    @njit(error_model="numpy")
    def run(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    return run


LOOPS = {
    name: loop_over(getattr(elementary, name)) for name in elementary.__all__ if name != "power"
}


@njit(error_model="numpy")
def power_loop(x, y, out):
    for i in range(len(x)):
        out[i] = elementary.power(x[i], y[i])


def apply(name, x):
    x = np.asarray(x, dtype=float)
    out = np.empty(len(x))
    LOOPS[name](x, out)
    return out


def errors(values, exact):
    """Distances from exact numbers (mpmath) in units of the last place of the nearest double."""
    result = []
    for value, number in zip(values, exact, strict=True):
        nearest = float(number)
        if math.isinf(nearest) or math.isinf(value):
            result.append(0.0 if value == nearest else INF)
        else:
            rest = float(number - mpmath.mpf(nearest))
            result.append(abs((value - nearest) - rest) / math.ulp(nearest))
    return np.array(result)


def uniform(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, POINTS)


def decades(low, high):
    return 10.0 ** uniform(low, high)


def both(x):
    return np.concatenate([x, -x])


QUARTERS = np.round(uniform(1, 2e3)) * (np.pi / 4)
FAR_QUARTERS = np.round(decades(3, 13.9)) * (np.pi / 2)
ANGLES = [
    both(uniform(0, 20)),
    uniform(-0.8, 0.8),
    both(decades(-300, 14.1)),
    QUARTERS,
    FAR_QUARTERS,
]

# name: (exact function, where)
RANGES = {
    "exp": (mpmath.exp, [uniform(-745.1, 709.7), uniform(-1, 1), decades(-20, 0)]),
    "exp2": (lambda x: mpmath.mpf(2) ** x, [uniform(-1074.9, 1023.9), uniform(-1, 1)]),
    "expm1": (
        mpmath.expm1,
        [uniform(-60, 709.7), uniform(-1.2, 1.2), both(decades(-300, 0)), uniform(0.34, 0.42)],
    ),
    "log": (
        mpmath.log,
        [decades(-307.6, 308), uniform(0.5, 2), 1 + uniform(-1e-6, 1e-6), decades(-323, -308)],
    ),
    "log1p": (
        mpmath.log1p,
        [decades(-307, 308), uniform(-0.5, 1), -decades(-300, 0), decades(-16, 0) - 1],
    ),
    "log2": (
        lambda x: mpmath.log(x) / mpmath.log(2),
        [decades(-323, 308), uniform(0.5, 2), 1 + uniform(-1e-6, 1e-6)],
    ),
    "log10": (mpmath.log10, [decades(-323, 308), uniform(0.5, 2), 1 + uniform(-1e-6, 1e-6)]),
    "sqrt": (mpmath.sqrt, [decades(-323, 308)]),
    "sinh": (mpmath.sinh, [both(uniform(0, 710.4)), uniform(-1.5, 1.5), both(decades(-300, 0))]),
    "cosh": (mpmath.cosh, [both(uniform(0, 710.4)), uniform(-1.5, 1.5), both(decades(-300, 0))]),
    "tanh": (mpmath.tanh, [both(uniform(0, 20)), uniform(-1.5, 1.5), both(decades(-300, 0))]),
    "sin": (mpmath.sin, ANGLES),
    "cos": (mpmath.cos, ANGLES),
    "tan": (mpmath.tan, ANGLES),
    "arctan": (
        mpmath.atan,
        [both(uniform(0, 4)), both(decades(-300, 300)), uniform(0.4, 0.5), uniform(2.3, 2.5)],
    ),
}


@pytest.mark.parametrize("name", sorted(RANGES))
def test_errors_stay_within_two_units_in_the_last_place(name):
    """Over the whole range, and densely where the reduction of the argument changes."""
    function, ranges = RANGES[name]
    with mpmath.workprec(240):
        for x in ranges:
            exact = [function(mpmath.mpf(float(value))) for value in x]
            worst = errors(apply(name, x), exact)
            assert worst.max() <= 2.0, (x[worst.argmax()], worst.max())


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (uniform(0.1, 10), uniform(-30, 30, 1)),
        (decades(-300, 300), uniform(-1, 1, 1)),
        (1 + uniform(-1e-6, 1e-6), uniform(-6e8, 6e8, 1)),
        (-uniform(0.1, 10), np.round(uniform(-30, 30, 1))),
        (uniform(0.5, 2), uniform(-700, 700, 1)),
        (decades(-323, -308), uniform(-0.9, 2, 1)),
    ],
)
def test_powers_err_by_at_most_two_units_in_the_last_place(x, y):
    """A product y log(x) of up to 700 magnifies each error of the logarithm."""
    out = np.empty(len(x))
    power_loop(x, y, out)
    with mpmath.workprec(240):
        exact = [mpmath.power(mpmath.mpf(float(a)), float(b)) for a, b in zip(x, y, strict=True)]
        worst = errors(out, exact)
    assert worst.max() <= 2.0, (x[worst.argmax()], y[worst.argmax()], worst.max())


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_without_limit_are_right_outside_lanes(name):
    """Beyond 2**47 too, incl. the double that comes closest to a multiple of pi/2."""
    x = [*both(decades(14.2, 308)), 1e22, HUGE, -6381956970095103.0 * 2.0**797]
    function = getattr(trigonometric, name)
    with mpmath.workprec(1300):
        exact = [getattr(mpmath, name)(mpmath.mpf(float(value))) for value in x]
        assert errors([function(float(value)) for value in x], exact).max() <= 2.0


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_beyond_the_limit_are_nan_in_lanes_and_equal_below(name):
    """A value there would be noise; nan is seen. Below, both forms must agree to the bit."""
    limit = trigonometric.LARGEST_NEAR
    assert np.isnan(apply(name, [np.nextafter(limit, INF), -1e300, INF, NAN])).all()
    x = [0.0, -0.5, 3.0, -1e5, 1e13, limit, -limit]
    everywhere = getattr(trigonometric, name)
    np.testing.assert_array_equal(apply(name, x), [everywhere(value) for value in x])


SPECIAL = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (709.8, INF), (-745.2, 0.0)],
    "exp2": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (1024.0, INF), (-1075.1, 0.0), (-1074.0, LEAST)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST), (709.8, INF)],
    "log": [(INF, INF), (0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (-INF, NAN)],
    "log1p": [(INF, INF), (-1.0, -INF), (0.0, 0.0), (-0.0, -0.0), (-1.5, NAN), (-LEAST, -LEAST)],
    "log2": [(INF, INF), (0.0, -INF), (1.0, 0.0), (-1.0, NAN), (LEAST, -1074.0), (8.0, 3.0)],
    "log10": [(INF, INF), (0.0, -INF), (1.0, 0.0), (-1.0, NAN), (1e22, 22.0), (1e-5, -5.0)],
    "sqrt": [(INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, NAN), (4.0, 2.0)],
    "sinh": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST), (-711.0, -INF)],
    "cosh": [(INF, INF), (-INF, INF), (0.0, 1.0), (LEAST, 1.0), (711.0, INF)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (-LEAST, -LEAST), (HUGE, 1.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST), (INF, NAN), (-INF, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (LEAST, 1.0), (INF, NAN)],
    "tan": [(0.0, 0.0), (-0.0, -0.0), (-LEAST, -LEAST), (INF, NAN)],
    "arctan": [(INF, math.pi / 2), (-INF, -math.pi / 2), (0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST)],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_values_are_those_of_ieee_754(name):
    """Zeros keep their sign, infinities their limit, nan goes through."""
    for x, expected in [*SPECIAL[name], (NAN, NAN)]:
        value = apply(name, [x])[0]
        np.testing.assert_array_equal(value, expected, err_msg=f"{name}({x})")
        assert math.copysign(1.0, value) == math.copysign(1.0, expected) or math.isnan(expected)


def test_special_powers_are_those_of_the_c_library():
    """Every pairing of zeros, infinities, nan, whole, odd, huge and fractional arguments."""
    values = [0.0, 1.0, 2.0, 3.0, 0.5, 2.5, 1e-200, 1e300, TINY, LEAST, HUGE, INF, NAN]
    values += [2.0**53 - 1.0, 2.0**53 + 2.0, 1.0 / 3.0]
    for x, y in itertools.product(both(np.array(values)).tolist(), repeat=2):
        try:
            expected = math.pow(x, y)
        except OverflowError:
            odd = abs(y) < 2.0**53 and y % 2.0 == 1.0
            expected = math.copysign(INF, x) if odd else INF
        except ValueError:  # a pole, or a negative number to a fraction
            odd = abs(y) < 2.0**53 and y % 2.0 == 1.0
            expected = (math.copysign(INF, x) if odd else INF) if x == 0.0 else NAN
        value = elementary.power(x, y)
        if math.isfinite(expected) and expected:
            assert abs(value - expected) <= 3.0 * math.ulp(expected), (x, y)
        else:
            np.testing.assert_array_equal(value, expected, err_msg=f"power({x}, {y})")
            assert math.copysign(1.0, value) == math.copysign(1.0, expected) or math.isnan(value)


def test_powers_of_two_and_ten_are_exact():
    """Orders of magnitude are read off with these."""
    k = np.arange(-1074, 1024)
    two = np.array([math.ldexp(1.0, int(i)) for i in k])
    np.testing.assert_array_equal(apply("exp2", k), two)
    np.testing.assert_array_equal(apply("log2", two), k)
    k = np.arange(-307, 309)
    np.testing.assert_array_equal(apply("log10", [float(f"1e{i}") for i in k]), k)


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_vector_scalar_and_exact_arithmetic_give_the_same_bits(name):
    """A path must not depend on its place in a block, nor on the compiler."""
    special = [x for x, _ in SPECIAL[name]]
    x = np.array([*special, NAN, *uniform(-8, 8)[:40], *both(decades(-300, 300))[:20]])
    x = x[: len(x) // 8 * 8 + 3]  # and a remainder after the last full vector
    function = getattr(elementary, name)
    in_loop = apply(name, x)
    np.testing.assert_array_equal(in_loop, [function(value) for value in x])
    exactly = reference.in_python(function)
    np.testing.assert_array_equal(in_loop, [exactly(np.float64(value)) for value in x])


def test_powers_have_the_same_bits_in_vectors_scalars_and_exact_arithmetic():
    """The same for the one function of two arguments."""
    x, y = np.abs(uniform(-8, 8)[:43]), uniform(-50, 50, 1)[:43]
    out = np.empty(43)
    power_loop(x, y, out)
    exactly = reference.in_python(elementary.power)
    pairs = list(zip(x, y, strict=True))
    np.testing.assert_array_equal(out, [elementary.power(a, b) for a, b in pairs])
    np.testing.assert_array_equal(out, [exactly(a, b) for a, b in pairs])


@pytest.mark.skipif(
    platform.machine() in ("x86_64", "AMD64") and not llvm.get_host_cpu_features().get("fma"),
    reason="without fused multiply-add in hardware LLVM keeps these loops scalar",
)
@pytest.mark.parametrize("name", [*sorted(set(LOOPS) - {"sqrt"}), "power"])
def test_loops_become_vector_code(name):
    """One call left in the loop would make a model many times slower."""
    if name == "power":
        power_loop(np.ones(1), np.ones(1), np.empty(1))
        dispatcher = power_loop
    else:
        apply(name, [0.5])
        dispatcher = LOOPS[name]
    (text,) = dispatcher.inspect_llvm().values()
    assert re.search(r"call .*<\d+ x double> @llvm\.fma\.v", text)


def test_the_logarithm_of_uniforms_is_the_logarithm():
    """The random numbers use a form without special cases; it must not differ elsewhere."""
    x = uniform(0.0, 1.0)
    values = [exponential.log_of_normal(value) for value in x]
    np.testing.assert_array_equal(values, apply("log", x))
