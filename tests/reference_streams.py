"""Slow twins of `sdde.engine.streams`: plain Python, whole numbers and exact arithmetic.

Philox, the counter and the uniforms are written again from their definitions; normals and
exponentials are given exactly, by mpmath. `in_python` runs a numba function as Python with
fused multiply-adds done in rational numbers, to see that no compiler rearranged it.
"""

import math
import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numba.core.dispatcher import Dispatcher

from sdde.engine.kernels import vectorir

_MASK = 0xFFFFFFFF


def philox4x32(counter: tuple[int, ...], key: tuple[int, int], rounds: int = 10) -> tuple[int, ...]:
    """Philox4x32 as in Salmon et al. (2011), figure 2: four 32-bit words in, four out."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        high0, low0 = divmod(0xD2511F53 * c0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def words(key: tuple[int, int], path: int, step: int, channel: int, stream: int) -> tuple[int, int]:
    """The two 64-bit words shared by a step and its neighbour."""
    pair = step // 2
    assert pair < 1 << 60
    assert path < 1 << 44
    assert channel < 1 << 20
    assert stream < 1 << 4
    counter = (
        pair % (1 << 32),
        path % (1 << 32),
        pair // (1 << 32) + stream * (1 << 28),
        path // (1 << 32) + channel * (1 << 12),
    )
    a, b, c, d = philox4x32(counter, key)
    return a * (1 << 32) + b, c * (1 << 32) + d


def uniform(key: tuple[int, int], path: int, step: int, channel: int, stream: int) -> Fraction:
    """The uniform at an address: the middle of one of 2**52 equal cells."""
    word = words(key, path, step, channel, stream)[step % 2]
    return Fraction(2 * (word >> 12) + 1, 1 << 53)


def exponential(key: tuple[int, int], path: int, step: int, channel: int, stream: int) -> Any:
    """The exponential at an address, to 40 digits."""
    u = uniform(key, path, step, channel, stream)
    with mpmath.workdps(40):
        return -mpmath.log(mpmath.mpf(u.numerator) / u.denominator)


def normal(key: tuple[int, int], path: int, step: int, channel: int, stream: int) -> tuple:
    """The normal at an address, to 40 digits, and its Box-Muller radius."""
    _, second = words(key, path, step, channel, stream)
    with mpmath.workdps(40):
        radius = mpmath.sqrt(2 * exponential(key, path, step - step % 2, channel, stream))
        half_turns = mpmath.mpf((second % (1 << 63)) >> 11) / (1 << 52) - mpmath.mpf(1) / 2
        if step % 2:
            return radius * mpmath.sinpi(half_turns), radius
        sign = -1 if second >> 63 else 1
        return sign * radius * mpmath.cospi(half_turns), radius


def _exact_fma(x: Any, y: Any, z: Any) -> np.float64:
    x, y, z = float(x), float(y), float(z)
    if not all(map(math.isfinite, (x, y, z))) or not (x and y):
        with np.errstate(all="ignore"):
            return np.float64(x) * np.float64(y) + np.float64(z)
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if not exact:
        return np.float64(x * y + z)
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.inf if exact > 0 else -math.inf)


def _horner(x: Any, coefficients: tuple[float, ...]) -> np.float64:
    total = np.float64(coefficients[-1])
    for term in coefficients[-2::-1]:
        total = _exact_fma(total, x, term)
    return total


_PRIMITIVES: dict[Any, Callable[..., Any]] = {
    vectorir.fma: _exact_fma,
    vectorir.horner: _horner,
    vectorir.sqrt: np.sqrt,
    vectorir.floor: np.floor,
    vectorir.bits_of: lambda x: np.float64(x).view(np.uint64),
    vectorir.float_of: lambda bits: np.uint64(bits).view(np.float64),
}


def in_python(function: Any) -> Callable[..., Any]:
    """A numba function, and what it calls, as ordinary Python on NumPy scalars."""

    def bound(function: Any) -> Callable[..., Any]:
        plain = function.py_func
        scope = dict(plain.__globals__)
        for name in plain.__code__.co_names:
            value = scope.get(name)
            if isinstance(value, Dispatcher):
                scope[name] = bound(value)
            elif type(value) is type(vectorir.fma):
                scope[name] = _PRIMITIVES[value]
        return types.FunctionType(plain.__code__, scope)

    run = bound(function)

    def call(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return run(*arguments)

    return call
