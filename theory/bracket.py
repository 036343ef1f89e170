"""One root of a function of one number, in an interval where it changes sign."""

from collections.abc import Callable
from typing import Any

from scipy.optimize import brentq


def root_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Return a root between `low` and `high`, to about thirteen digits."""
    precision: Any = 1e-13
    found: Any = brentq(function, low, high, xtol=1e-13 * max(abs(low), abs(high)), rtol=precision)
    return float(found)
