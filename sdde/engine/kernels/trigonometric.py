"""Sine, cosine, tangent and arctangent that vectorise.

The argument is reduced by multiples of pi/2 held in three doubles, which is exact enough up to
2**47 (there neighbouring floats are 1/32 apart). `sin`, `cos` and `tan` leave larger arguments to
the C library, a branch that keeps a loop scalar; `sin_near`, `cos_near` and `tan_near` give nan
there and vectorise. Below, both give the same bits. Accuracy and special values are described in
`elementary.py`.

Coefficients are minimax fits (Remez exchange in 60 digits, relative error), rounded to double.
"""

import math

import numpy as np

from sdde.engine.kernels.exponential import inline
from sdde.engine.kernels.vectorir import bits_of, float_of, fma, horner

LARGEST_NEAR = 140737488355328.0  # 2**47

_U = np.uint64
_1, _2, _62 = _U(1), _U(2), _U(62)
_SIGN = _U(1 << 63)
_ROUND = 6755399441055744.0  # 1.5 * 2**52 rounds what it joins
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI, _HALF_PI_2, _HALF_PI_3 = (
    1.5707963267948966,
    6.123233995736766e-17,
    -1.4973849048591833e-33,
)

# (sin(r) - r) / r**3 and (cos(r) - 1 + r**2 / 2) / r**4 in r**2, |r| <= pi / 4
_SIN = (
    -0.1666666666666664, 0.008333333333323662, -0.00019841269830144393, 2.755731365185318e-06,
    -2.505073457106949e-08, 1.589471058163447e-10,
)  # fmt: skip
_COS = (
    0.04166666666666665, -0.001388888888888284, 2.4801587294628004e-05, -2.7557315738613277e-07,
    2.0875897738682843e-09, -1.1367981880469044e-11,
)  # fmt: skip
# (arctan(z) - z) / z**3 in z**2, |z| <= tan(pi / 8)
_ARCTAN = (
    -0.3333333333333333, 0.19999999999998538, -0.14285714285468804, 0.11111111091850318,
    -0.09090908238360673, 0.07692284184907427, -0.06666239573276297, 0.05877081923671773,
    -0.05218448246981295, 0.04502582535462942, -0.033429946026637666, 0.015131423926270102,
)  # fmt: skip


@inline
def _reduced(x):
    """Return k (in the low bits) and x - k pi/2 in two parts, the first at most pi/4."""
    shifted = fma(x, _TWO_OVER_PI, _ROUND)
    k = shifted - _ROUND
    a = fma(-k, _HALF_PI, x)  # exact: the bits that cancel make room
    b = k * _HALF_PI_2
    b_low = fma(k, _HALF_PI_2, -b)
    r = a - b
    back = r - a
    low = ((a - (r - back)) - (b + back)) - b_low - k * _HALF_PI_3
    high = r + low
    return bits_of(shifted), high, (r - high) + low


@inline
def _sine_and_cosine(r, r_low):
    """Return the large and the small part of sin(r + r_low), and of cos(r + r_low)."""
    z = r * r
    half = 0.5 * z
    cosine = 1.0 - half
    return (
        r,
        fma(z * r, horner(z, _SIN), r_low),
        cosine,
        ((1.0 - cosine) - half) + fma(z * z, horner(z, _COS), -r * r_low),
    )


@inline
def _periodic(x, quarter):
    """Return sin(x + quarter pi/2)."""
    k, r, r_low = _reduced(x)
    k = k + quarter
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    value = c + c_low if (k & _1) != _U(0) else s + s_low
    return float_of(bits_of(value) ^ ((k & _2) << _62))


@inline
def sin_near(x):
    """Return the sine; nan for abs(x) > 2**47."""
    value = _periodic(x, _U(0))
    value = value if abs(x) <= LARGEST_NEAR else np.nan
    return x if x == 0.0 else value  # keeps the sign of zero


@inline
def cos_near(x):
    """Return the cosine; nan for abs(x) > 2**47."""
    value = _periodic(x, _1)
    return value if abs(x) <= LARGEST_NEAR else np.nan


@inline
def tan_near(x):
    """Return the tangent; nan for abs(x) > 2**47."""
    k, r, r_low = _reduced(x)
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    sine, cosine = s + s_low, c + c_low
    s_low, c_low = (s - sine) + s_low, (c - cosine) + c_low
    odd = (k & _1) != _U(0)
    top, top_low = -cosine if odd else sine, -c_low if odd else s_low
    bottom, bottom_low = sine if odd else cosine, s_low if odd else c_low
    inverse = 1.0 / bottom
    value = top * inverse
    value = fma((fma(-value, bottom, top) + top_low) - value * bottom_low, inverse, value)
    value = value if abs(x) <= LARGEST_NEAR else np.nan
    return x if x == 0.0 else value


@inline
def sin(x):
    """Return the sine."""
    return sin_near(x) if abs(x) <= LARGEST_NEAR else math.sin(x)


@inline
def cos(x):
    """Return the cosine."""
    return cos_near(x) if abs(x) <= LARGEST_NEAR else math.cos(x)


@inline
def tan(x):
    """Return the tangent."""
    return tan_near(x) if abs(x) <= LARGEST_NEAR else math.tan(x)


@inline
def arctan(x):
    """Return the arctangent."""
    a = abs(x)
    far, middle = a > 2.414213562373095, a > 0.41421356237309503  # tan(3 pi/8), tan(pi/8)
    top = -1.0 if far else (a - 1.0 if middle else a)
    bottom = a if far else (a + 1.0 if middle else 1.0)
    base = _HALF_PI if far else (0.5 * _HALF_PI if middle else 0.0)
    base_low = _HALF_PI_2 if far else (0.5 * _HALF_PI_2 if middle else 0.0)
    t = top / bottom
    z = t * t
    value = base + (t + fma(t * z, horner(z, _ARCTAN), base_low))
    return float_of(bits_of(value) | (bits_of(x) & _SIGN))
