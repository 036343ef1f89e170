"""Exponentials, logarithms, powers and hyperbolic functions that vectorise.

Each is a polynomial after a reduction of the argument, written without branches, so that a loop
over it becomes vector code. Accuracy and special values are described in `elementary.py`, through
which the rest of the engine sees them.

Coefficients are minimax fits (Remez exchange in 60 digits, relative error), rounded to double.
"""

from typing import Any

import numpy as np
from numba import njit

from sdde.engine.kernels.vectorir import bits_of, float_of, floor, fma, horner
from sdde.engine.kernels.vectorir import sqrt as _sqrt

inline: Any = njit(forceinline=True, error_model="numpy", fastmath=False)
_U = np.uint64

_INF = np.inf
_NAN = np.nan
_SIGN, _MAGNITUDE = _U(1 << 63), _U((1 << 63) - 1)
_1, _52 = _U(1), _U(52)
_ONE = _U(0x3FF0000000000000)  # the bits of 1.0
_ROUND, _ROUND_BITS = 6755399441055744.0, _U(0x4338000000000000)  # 1.5 * 2**52 rounds what it joins
_SMALLEST_NORMAL = 2.2250738585072014e-308

_LOG2_E = 1.4426950408889634
_LN2, _LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
_LOG10_2, _LOG10_2_LOW = 0.3010299956639812, -2.8037281277851704e-18
_INV_LN2, _INV_LN2_LOW = 2.8853900817779268, 4.0710547481862066e-17  # 2 / ln 2
_THIRD_LOW = 1.850371707708594e-17

# (exp(r) - 1 - r) / r**2 on |r| <= ln(2) / 2
_EXP = (
    0.5, 0.16666666666666677, 0.041666666666666505, 0.00833333333332168, 0.001388888888896379,
    0.00019841269885999407, 2.4801587169424842e-05, 2.7557244336788623e-06,
    2.7557405559977087e-07, 2.510899309132408e-08, 2.087435203729074e-09,
)  # fmt: skip
# (2**r - 1 - r ln 2) / r**2 on |r| <= 1/2
_EXP2 = (
    0.2402265069591012, 0.055504108664821604, 0.009618129107594974, 0.0013333558146411896,
    0.00015403530458896417, 1.525273383738189e-05, 1.321543343355459e-06, 1.017805833895363e-07,
    7.074213768034278e-09, 4.455699624360819e-10,
)  # fmt: skip
# (2 artanh(s) - 2 s) / s**3 in s**2, for fractions between sqrt(1/2) and sqrt(2)
_LOG = (
    0.666666666666671, 0.3999999999952006, 0.2857142872922034, 0.22222199098481807,
    0.18183571106980856, 0.1531317629704944, 0.14810394110014136,
)  # fmt: skip
# (artanh(s) - s - s**3 / 3) / s**5 in s**2
_ARTANH = (
    0.19999999999999998, 0.1428571428571645, 0.11111111110179416, 0.09090909270190308,
    0.07692288757023924, 0.06667790520639534, 0.0584432344794852, 0.059412869179780935,
)  # fmt: skip
# The same as _EXP, and (sinh(r) - r) / r**3 and (cosh(r) - 1 - r**2 / 2) / r**4 in r**2, for
# -0.14 <= r <= 0.56: rounding k towards smaller values keeps sums that cancel at k = 1 away.
_EXP_UP = (
    0.5, 0.16666666666666674, 0.04166666666666971, 0.008333333333312118, 0.0013888888886924005,
    0.00019841270038953554, 2.4801586431580906e-05, 2.7556858642339637e-06,
    2.757905034007383e-07, 2.4606099678272926e-08, 2.527323077914323e-09,
)  # fmt: skip
_SINH = (
    0.16666666666666666, 0.008333333333333639, 0.00019841269840568693, 2.755731992642784e-06,
    2.5051762134652598e-08, 1.6141747040171403e-10,
)  # fmt: skip
_COSH = (
    0.041666666666667296, 0.001388888888854374, 2.48015878494872e-05, 2.755695702663029e-07,
    2.098309037517865e-09,
)  # fmt: skip


@inline
def log_of_normal(x):
    """Return log(x) for a positive normal number: no special cases."""
    bits = bits_of(x)
    # x = 2**e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); the addend moves the seam to sqrt(2).
    biased = (bits + _U(0x00095F619980C433)) >> _52
    e = float_of(_U(0x4330000000000000) | biased) - 4503599627371519.0  # 2**52 + 1023
    f = float_of(bits - (biased << _52) + _ONE) - 1.0
    return _log1p_of_fraction(f, e)


@inline
def _log1p_of_fraction(f, e):
    """Return e ln(2) + log(1 + f), 1 + f between sqrt(1/2) and sqrt(2)."""
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    log1p = f - (half - s * (half + z * horner(z, _LOG)))
    return fma(e, _LN2, fma(e, _LN2_LOW, log1p))


@inline
def _of_logarithm(x, value):
    """Put the values at zero, below it, at infinity and at nan into a logarithm."""
    value = value if x > 0.0 else (-_INF if x == 0.0 else _NAN)
    return value if x != _INF else _INF


@inline
def log(x):
    """Return the natural logarithm."""
    tiny = x < _SMALLEST_NORMAL
    value = log_of_normal(x * 18014398509481984.0 if tiny else x)
    # Subnormal numbers were scaled by 2**54.
    value = value - 37.42994775023705 if tiny else value
    return _of_logarithm(x, value)


@inline
def log1p(x):
    """Return log(1 + x), accurate near zero."""
    sum_ = 1.0 + x
    bits = bits_of(sum_)
    biased = (bits + _U(0x00095F619980C433)) >> _52
    e = float_of(_U(0x4330000000000000) | biased) - 4503599627371519.0
    # f = (1 + x) / 2**e - 1 from x itself, as the sum has lost its last bits.
    scale = float_of((_U(2046) - biased) << _52)
    near = fma(scale, x, scale - 1.0)
    f = near if x < 1e16 else float_of(bits - (biased << _52) + _ONE) - 1.0
    value = _of_logarithm(sum_, _log1p_of_fraction(f, e))
    return x if abs(x) < 1e-17 else value


@inline
def _two_powers(k_bits):
    """Return two factors of 2**k, -1076 <= k <= 1025, so that neither overflows."""
    k = k_bits - _ROUND_BITS + _U(2048)
    half = k >> _1
    return float_of((half - _1) << _52), float_of((k - half - _1) << _52)


@inline
def _between(x, low, high):
    """Return x, or the end of [low, high] that it passed; nan stays nan."""
    x = low if x < low else x
    return high if x > high else x


@inline
def _expm1_reduced(x):
    """Return k as the low bits of a float, and exp(x - k ln 2) - 1, for a moderate x."""
    shifted = fma(x, _LOG2_E, _ROUND)
    k = shifted - _ROUND
    r = fma(-k, _LN2_LOW, fma(-k, _LN2, x))
    return bits_of(shifted), fma(r * r, horner(r, _EXP), r)


@inline
def exp(x):
    """Return the exponential."""
    k, p = _expm1_reduced(_between(x, -746.0, 710.0))
    first, second = _two_powers(k)
    return (1.0 + p) * first * second


@inline
def exp2(x):
    """Return 2**x, exact for whole x."""
    x = _between(x, -1080.0, 1025.0)
    shifted = x + _ROUND
    first, second = _two_powers(bits_of(shifted))
    return _exp2_fraction(x - (shifted - _ROUND)) * first * second


@inline
def _exp2_fraction(r):
    """Return 2**r for |r| <= 1/2 (and a little beyond)."""
    return 1.0 + fma(r, _LN2, r * r * horner(r, _EXP2))


@inline
def expm1(x):
    """Return exp(x) - 1, accurate near zero."""
    k, p = _expm1_reduced(_between(x, -60.0, 710.0))
    half = float_of((k - _ROUND_BITS + _U(1022)) << _52)  # 2**(k - 1)
    value = 2.0 * fma(half, p, half - 0.5)
    return x if abs(x) < 1e-17 else value


@inline
def _reduced_up(a):
    """Return k as an integer and r = a - k ln(2) in [-0.14, 0.56], for 0 <= a <= 711."""
    shifted = fma(a, _LOG2_E, -0.3) + _ROUND
    k = shifted - _ROUND
    return bits_of(shifted) - _ROUND_BITS, fma(-k, _LN2_LOW, fma(-k, _LN2, a))


@inline
def _hyperbolic(a):
    """Return quarter parts A, B and S, C with sinh(a) = 2 (A (1 + C) + B S), 0 <= a <= 711.

    With a = k ln(2) + r: 2 A = sinh(k ln 2), 2 B = cosh(k ln 2), S = sinh(r), C = cosh(r) - 1.
    """
    k_bits, r = _reduced_up(a)
    up = float_of((k_bits + _U(1021)) << _52)
    down = float_of((_U(1021) - (k_bits if k_bits < _U(1021) else _U(1021))) << _52)
    z = r * r
    sine, cosine = fma(r * z, horner(z, _SINH), r), fma(z * z, horner(z, _COSH), 0.5 * z)
    return up - down, up + down, sine, cosine


@inline
def sinh(x):
    """Return the hyperbolic sine."""
    a = abs(x)
    sine, cosine, s, c = _hyperbolic(711.0 if a > 711.0 else a)
    value = 2.0 * (sine + fma(sine, c, cosine * s))
    return x if a < 1e-9 else float_of(bits_of(value) | (bits_of(x) & _SIGN))


@inline
def cosh(x):
    """Return the hyperbolic cosine."""
    a = abs(x)
    sine, cosine, s, c = _hyperbolic(711.0 if a > 711.0 else a)
    return 2.0 * (cosine + fma(cosine, c, sine * s))


@inline
def tanh(x):
    """Return the hyperbolic tangent."""
    twice = 2.0 * abs(x)
    k, r = _reduced_up(40.0 if twice > 40.0 else twice)
    scale = float_of((k + _U(1023)) << _52)
    t = fma(scale, fma(r * r, horner(r, _EXP_UP), r), scale - 1.0)  # exp(2 |x|) - 1
    small = t < 2.0
    top, bottom = t if small else 2.0, t + 2.0
    inverse = 1.0 / bottom
    quotient = top * inverse
    rest = fma(-quotient, bottom, top) - quotient * (t - (bottom - 2.0))
    quotient = fma(rest, inverse, quotient)
    value = quotient if small else 1.0 - quotient
    return float_of(bits_of(value) | (bits_of(x) & _SIGN))


@inline
def _log2_parts(x):
    """Return log2(x) of a positive number as a sum of two, good to about 66 bits."""
    tiny = x < _SMALLEST_NORMAL
    bits = bits_of(x * 18014398509481984.0 if tiny else x)
    biased = (bits + _U(0x00095F619980C433)) >> _52
    e = float_of(_U(0x4330000000000000) | biased) - 4503599627371519.0
    e = e - 54.0 if tiny else e
    m = float_of(bits - (biased << _52) + _ONE)
    # s = (m - 1) / (m + 1) in two parts
    top, bottom = m - 1.0, m + 1.0
    inverse = 1.0 / bottom
    s = top * inverse
    s_low = (fma(-s, bottom, top) - s * (m - (bottom - 1.0))) * inverse
    # artanh(s) = s (1 + z (1/3 + z ...)), z = s**2
    z = s * s
    z_low = fma(s, s, -z) + 2.0 * s * s_low
    tail = z * horner(z, _ARTANH)
    third = 0.3333333333333333 + tail
    third_low = ((0.3333333333333333 - third) + tail) + _THIRD_LOW
    u = z * third
    u_low = fma(z, third, -u) + (z * third_low + z_low * third)
    v = s * u
    v_low = fma(s, u, -v) + (s * u_low + s_low * u)
    a = s + v
    a_low = ((s - a) + v) + (s_low + v_low)
    # times 2 / ln(2), plus e
    b = a * _INV_LN2
    b_low = fma(a, _INV_LN2, -b) + (a * _INV_LN2_LOW + a_low * _INV_LN2)
    high = e + b
    return high, ((e - high) + b) + b_low


@inline
def log2(x):
    """Return the logarithm to base 2, exact at powers of 2."""
    high, low = _log2_parts(x)
    return _of_logarithm(x, high + low)


@inline
def log10(x):
    """Return the logarithm to base 10, exact at powers of 10."""
    high, low = _log2_parts(x)
    value = high * _LOG10_2
    rest = fma(high, _LOG10_2, -value) + (high * _LOG10_2_LOW + low * _LOG10_2)
    return _of_logarithm(x, value + rest)


@inline
def power(x, y):
    """Return x**y as IEEE 754's pow: nan for a negative x unless y is whole."""
    a = abs(x)
    high, low = _log2_parts(a)
    p = y * high
    p_low = fma(y, high, -p) + y * low
    q = _between(p, -1080.0, 1025.0)
    shifted = q + _ROUND
    first, second = _two_powers(bits_of(shifted))
    value = _exp2_fraction((q - (shifted - _ROUND)) + (p_low if q == p else 0.0)) * first * second
    # Zero or infinity to a power, and 1 to an infinite one.
    extreme = 0.0 if (a < 1.0) == (y > 0.0) else _INF
    value = extreme if (a == 0.0) | (a == _INF) | (abs(y) == _INF) else value
    value = 1.0 if a == 1.0 else value
    # A whole y gives a negative x a sign; any other y nan.
    whole = floor(y) == y
    odd = whole & (floor(0.5 * y) != 0.5 * y)
    value = -value if odd & ((bits_of(x) & _SIGN) != _U(0)) else value
    value = _NAN if (x < 0.0) & (not whole) & (a != _INF) else value
    value = _NAN if (x != x) | (y != y) else value
    return 1.0 if (x == 1.0) | (y == 0.0) else value


@inline
def sqrt(x):
    """Return the square root, correctly rounded; nan below zero."""
    return _sqrt(x)
