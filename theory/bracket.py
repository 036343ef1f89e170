"""Roots of functions of one number, in intervals where they change sign."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Floats = NDArray[np.float64]
_PRECISION: Any = 1e-13


def root_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Return a root between `low` and `high`, to about 13 digits."""
    span = max(abs(low), abs(high))
    found: Any = brentq(function, low, high, xtol=_PRECISION * span, rtol=_PRECISION)
    return float(found)


def rising_zeros(
    function: Callable[[Floats], Floats], low: Floats, high: Floats, *, near: float = 1e-12
) -> Floats:
    """Return where functions rise through zero, each between its `low` and `high`.

    Right to `near`, relative; `low` where a function is positive there already. All are evaluated
    together, by inverse quadratic interpolation where that is safe, and bisection elsewhere [1]_.

    References
    ----------
    .. [1] T. R. Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a
           nonlinear function without using derivatives", Advances in Engineering Software 28
           (1997).
    """
    a, b = np.array(high), np.array(low)
    at_a, at_b = function(a), function(b)
    none = at_b > 0.0
    best, share = np.where(np.abs(at_a) < np.abs(at_b), a, b), np.full(a.size, 0.5)
    done = none | (at_a == 0.0) | (at_b == 0.0)
    for _ in range(100):
        if done.all():
            break
        new = a + share * (b - a)
        at_new = function(new)
        same = (at_new > 0.0) == (at_a > 0.0)
        c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
        b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
        a, at_a = new, at_new
        nearer = np.abs(at_a) < np.abs(at_b)
        best = np.where(done, best, np.where(nearer, a, b))
        with np.errstate(all="ignore"):
            least = near * np.abs(best) / np.abs(b - a)
            done |= (least > 0.5) | (np.where(nearer, at_a, at_b) == 0.0)
            x, y = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            share = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            share += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
            share = np.where((y**2 < x) & ((1.0 - y) ** 2 < 1.0 - x), share, 0.5)
            share = np.clip(share, np.minimum(least, 0.5), np.maximum(1.0 - least, 0.5))
    return np.where(none, low, best)
