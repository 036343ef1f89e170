"""Sine, cosine, tangent and arctangent that vectorise.

The argument is reduced by multiples of pi/2 held in three doubles, which is exact enough up to
2**47 (there neighbouring floats are 1/32 apart). Beyond, `sin_near`, `cos_near` and `tan_near` give
nan; `sin`, `cos` and `tan` go on with Payne and Hanek's method [1]_, at the price of a branch that
keeps a loop scalar. Below, both give the same bits. Accuracy and special values are described in
`elementary.py`.

Coefficients are minimax fits (Remez exchange in 60 digits, relative error), rounded to double.

References
----------
.. [1] M. Payne, R. Hanek, "Radian reduction for trigonometric functions", ACM SIGNUM Newsletter
       18 (1983).
"""

import numpy as np
from numba import njit

from sdde.engine.kernels.exponential import inline
from sdde.engine.kernels.vectorir import bits_of, float_of, fma, horner

LARGEST_NEAR = 140737488355328.0  # 2**47

_U = np.uint64
_1, _2, _3, _32, _52, _62, _63 = _U(1), _U(2), _U(3), _U(32), _U(52), _U(62), _U(63)
_LOW = _U(0xFFFFFFFF)
_SIGN = _U(1 << 63)
_ROUND = 6755399441055744.0  # 1.5 * 2**52 rounds what it joins
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI, _HALF_PI_2, _HALF_PI_3 = (
    1.5707963267948966,
    6.123233995736766e-17,
    -1.4973849048591833e-33,
)

# 64 zeros and the first 1216 binary digits of 2 / pi
_DIGITS = (
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424d"
    "d2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639"
    "835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f46"
    "3f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab"
)
_WORDS = np.array([0, *(int(_DIGITS[i : i + 16], 16) for i in range(0, 304, 16))], np.uint64)

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
def _high_product(m, n):
    """Return the upper 64 bits of a product of 64-bit numbers, the first below 2**53."""
    low = (m & _LOW) * (n & _LOW)
    cross = (m & _LOW) * (n >> _32) + (low >> _32)
    middle = (m >> _32) * (n & _LOW) + (cross & _LOW)
    return (m >> _32) * (n >> _32) + (cross >> _32) + (middle >> _32)


@inline
def _digits_from(place):
    """Return 64 digits of `_WORDS`."""
    word, shift = place >> 6, _U(place & 63)
    return (_WORDS[word] << shift) | ((_WORDS[word + 1] >> _1) >> (_63 - shift))


@njit(error_model="numpy", fastmath=False)
def _reduced_far(x):
    """Return what `_reduced` does for a finite x beyond `LARGEST_NEAR`."""
    bits = bits_of(x)
    m = (bits & _U(0x000FFFFFFFFFFFFF)) | _U(0x0010000000000000)
    # x = m 2**e; digits of 2**e (2 / pi) that stand for multiples of 4 do not matter.
    place = int((bits >> _52) & _U(0x7FF)) - 1075 + 62
    middle = _digits_from(place + 64)
    low = m * middle
    rest = low + _high_product(m, _digits_from(place + 128))
    turns = m * _digits_from(place) + _high_product(m, middle) + _U(rest < low)
    # turns and rest: 2 digits before the point, 126 behind it, in units of pi/2; nearest k off
    k = (turns + _U(1 << 61)) >> _62
    turns -= k << _62
    negative = turns >= _SIGN
    if negative:
        turns, rest = ~turns + _U(rest == _U(0)), ~rest + _1
    high = turns & ~_U(0x7FF)  # 51 bits at most, hence exact
    share = float(high) * 2.0**-62
    share_low = float(turns - high) * 2.0**-62 + float(rest) * 2.0**-126
    r = share * _HALF_PI
    r_low = fma(share, _HALF_PI, -r) + (share * _HALF_PI_2 + share_low * _HALF_PI)
    r, r_low = r + r_low, (r - (r + r_low)) + r_low
    if negative != (x < 0.0):
        r, r_low = -r, -r_low
    return k if x > 0.0 else _U(4) - k, r, r_low


@inline
def _reduced_any(x):
    """Return what `_reduced` does for every x; nan if it is not finite."""
    if abs(x) <= LARGEST_NEAR:
        return _reduced(x)
    if abs(x) < np.inf:
        return _reduced_far(x)
    return _U(0), np.nan, np.nan


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
def _periodic(k, r, r_low):
    """Return sin(k pi/2 + r + r_low)."""
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    value = c + c_low if (k & _1) != _U(0) else s + s_low
    return float_of(bits_of(value) ^ ((k & _2) << _62))


@inline
def _tangent(k, r, r_low):
    """Return tan(k pi/2 + r + r_low)."""
    s, s_low, c, c_low = _sine_and_cosine(r, r_low)
    sine, cosine = s + s_low, c + c_low
    s_low, c_low = (s - sine) + s_low, (c - cosine) + c_low
    odd = (k & _1) != _U(0)
    top, top_low = -cosine if odd else sine, -c_low if odd else s_low
    bottom, bottom_low = sine if odd else cosine, s_low if odd else c_low
    inverse = 1.0 / bottom
    value = top * inverse
    return fma((fma(-value, bottom, top) + top_low) - value * bottom_low, inverse, value)


@inline
def sin_near(x):
    """Return the sine; nan for abs(x) > 2**47."""
    k, r, r_low = _reduced(x)
    value = _periodic(k, r, r_low) if abs(x) <= LARGEST_NEAR else np.nan
    return x if x == 0.0 else value  # keeps the sign of zero


@inline
def cos_near(x):
    """Return the cosine; nan for abs(x) > 2**47."""
    k, r, r_low = _reduced(x)
    return _periodic(k + _1, r, r_low) if abs(x) <= LARGEST_NEAR else np.nan


@inline
def tan_near(x):
    """Return the tangent; nan for abs(x) > 2**47."""
    k, r, r_low = _reduced(x)
    value = _tangent(k, r, r_low) if abs(x) <= LARGEST_NEAR else np.nan
    return x if x == 0.0 else value


@inline
def sin(x):
    """Return the sine."""
    k, r, r_low = _reduced_any(x)
    value = _periodic(k, r, r_low)
    return x if x == 0.0 else value


@inline
def cos(x):
    """Return the cosine."""
    k, r, r_low = _reduced_any(x)
    return _periodic(k + _1, r, r_low)


@inline
def tan(x):
    """Return the tangent."""
    k, r, r_low = _reduced_any(x)
    value = _tangent(k, r, r_low)
    return x if x == 0.0 else value


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
