"""The largest whole number at which a rising index is below one.

Nothing here knows what the index is of.
"""

import math
from collections.abc import Callable

MOST_WORKERS = 1_000_000_000
_ALL = 16  # numbers up to which every one is looked at
_CLOSE = 0.05  # distance from a known index, in the logarithm of the number
_NEXT = 0.02  # the same where one index will do


def largest_count(
    index: Callable[[int], float], start: int, *, least: int = 1, most: float = math.inf,
    smooth: bool = False,
) -> float:  # fmt: skip
    """Return the largest whole number with an index below one.

    Parameters
    ----------
    index : callable
        Rises with the number; smooth where it is positive and finite.
    start : int
        Where to begin.
    least, most : int
        Range of the search; up to a billion, beyond which the answer is ``inf``.
    smooth : bool
        Whether the index is so nearly a power of the number that one or two values near one are as
        good as all between, for an index that takes long and numbers above a few.

    Returns
    -------
    float
        A whole number; ``least - 1`` if there is none, `most` if all will do.
    """
    top = min(most, MOST_WORKERS)
    low, at_low = least - 1, 0.0
    high, at_high = math.inf, math.inf
    number, before = int(min(max(start, least), top)), (0, 0.0)
    for step in range(200):
        value = index(number)
        if smooth and number > _ALL and (at := _close_root(number, value, *before)):
            return min(max(math.ceil(at) - 1, least - 1), most)
        before = number, value
        if value < 1.0:
            low, at_low = number, value
        else:
            high, at_high = number, value
        if high - low <= 1.0:
            return low
        if low >= top:
            return most
        if not math.isfinite(high):  # in proportion, but for an index that begins small
            ahead = math.ceil(low / at_low) if at_low > 0.25 else 4 * low
            number = int(min(max(ahead, low + 1), top))
            continue
        number = (low + int(high)) // 2
        if low < least and 1.0 < at_high < 100.0 and step < 3:
            number = min(max(math.floor(high / at_high), low + 1), int(high) - 1)
        if 0.0 < at_low < 1.0 <= at_high < math.inf and step % 4 != 3:  # a power law in between
            share = -math.log(at_low) / math.log(at_high / at_low)
            number = math.floor(low * (high / low) ** share)
            number = min(max(number, low + 1), int(high) - 1)
    return low


def _close_root(number: int, value: float, other: int, at_other: float) -> float:
    """Return where an index is one if that is close, else 0: in proportion to one index that is
    nearly one, or by a power law through two.
    """
    if not 0.0 < value < math.inf:
        return 0.0
    if abs(math.log(value)) < _NEXT:
        return number / value
    if not 0.0 < at_other < math.inf or at_other == value:
        return 0.0
    power = math.log(value / at_other) / math.log(number / other)
    away = -math.log(value) / power if power > 0.2 else math.inf
    return number * math.exp(away) if abs(away) < _CLOSE else 0.0
