"""The number of workers that reaches a target soonest at a given learning rate, from a few tries.

The more workers the sooner, until the loss begins to overshoot: then it settles a wave later, and
the time jumps up. So the best number often lies just before a jump, in a valley that is narrow. A
jump is foretold by the dips of the loss before it settles. Nothing here knows how times are found.
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from .loss_curve import Dips

_INNER = 5  # numbers between the neighbours of the best, these among them, that are tried first
_NEAR = 1.5  # times the best time, up to which valleys are followed
_STEEPEST = 12.0  # power of the workers with which a dip of the loss changes
_CLOSE = 0.1  # distance between numbers of workers, over them, where a smooth time is a parabola
_FLAT = 1e-4  # relative change of a time that does not matter


class Valleys:
    """Times of some numbers of workers, and more where the best may be.

    Parameters
    ----------
    counts : iterable of int
        Numbers of workers that span the range.
    safe : int
        The most workers that are allowed.
    time : callable
        Time for a number of workers; ``inf`` where it is not allowed or never gets there.
    dips : callable
        Dips of the loss for a number of workers whose time is known.
    """

    def __init__(
        self, counts: Iterable[int], safe: int, time: Callable[[int], float],
        dips: Callable[[int], Dips],
    ) -> None:  # fmt: skip
        self._time, self._dips, self.safe = time, dips, safe
        self.times = {n: time(n) for n in sorted(counts)}

    @property
    def best(self) -> int:
        """The number with the shortest time; of equal ones the fewest workers."""
        return min(self.times, key=self._rank)

    def search(self) -> None:
        """Look between the neighbours of the best, for jumps, and at the bottom of each valley."""
        low, high = self._around(self.best)
        inner = _INNER
        if low < self.safe < high:
            inner = 2 + (inner - 2) * (self.safe - low) // (high - low)
            high = self.safe
        self._try(np.linspace(low, high, inner).round().astype(int).tolist())
        for low, high in pairwise(sorted(self.times)):
            self._find_jump(low, high)
        for bottom in self._bottoms():
            self._descend(bottom)

    def _try(self, counts: Iterable[int]) -> list[int]:
        """Find the times of those that are new, and return these."""
        new = [n for n in sorted(set(counts)) if n not in self.times]
        self.times |= {n: self._time(n) for n in new}
        return new

    def _around(self, count: int) -> tuple[int, int]:
        """Return the neighbours of a number whose time is known, or at the ends itself."""
        known = sorted(self.times)
        at = known.index(count)
        return known[max(at - 1, 0)], known[min(at + 1, len(known) - 1)]

    def _find_jump(self, low: int, high: int) -> None:
        """Halve an interval around the number from which on the loss settles in a later wave."""
        while high - low > 1 and self._may_jump(low, high):
            middle = (low + high) // 2
            self._try([middle])
            later = self._dips(middle).number > self._dips(low).number
            low, high = (low, middle) if later else (middle, high)

    def _may_jump(self, low: int, high: int) -> bool:
        """Return whether a time between these may be the best, just before it jumps."""
        if not math.isfinite(max(self.times[low], self.times[high])):
            return False
        dips = self._dips(high)
        return (
            self._dips(low).number < dips.number
            and dips.falls < self.times[self.best]
            and dips.missing < (high / low) ** _STEEPEST
        )

    def _bottoms(self) -> list[int]:
        """Return numbers that beat their neighbours and are not far from the best."""
        known = sorted(self.times)
        times = [math.inf, *(self.times[n] for n in known), math.inf]
        near = _NEAR * min(times)
        return [n for i, n in enumerate(known) if times[i + 1] <= min(*times[i : i + 3], near)]

    def _descend(self, bottom: int) -> None:
        """Follow a valley to its bottom, by parabolas where it is smooth and by halving elsewhere.

        Ends at a number whose neighbours are next to it, or where no parabola is lower by what
        matters.
        """
        while True:
            low, high = self._around(bottom)
            self._find_jump(bottom, high)
            after = self._around(bottom)[1]
            if after != high:  # a jump was found: the bottom may be just before it
                bottom = min((n for n in self.times if bottom <= n <= high), key=self._rank)
                continue
            lower = self._around(low)[0]
            if self._is_smooth(low, bottom, high):
                new = self._lowest((low, bottom, high))
            elif high == bottom + 1 and self._is_smooth(lower, low, bottom):
                new = self._lowest((lower, low, bottom))
            else:
                high = min(high, max(self.safe, bottom))
                new = [(low + bottom) // 2, (bottom + high + 1) // 2]
            new = self._try(new)
            if not new:
                return
            bottom = min(*new, bottom, key=self._rank)

    def _rank(self, count: int) -> tuple[float, int]:
        return self.times[count], count

    def _is_smooth(self, low: int, middle: int, high: int) -> bool:
        """Return whether three numbers are close, with no jump between them."""
        return (
            low < middle < high <= low + _CLOSE * middle
            and math.isfinite(max(self.times[low], self.times[high]))
            and not self._may_jump(low, middle)
            and not self._may_jump(middle, high)
        )

    def _lowest(self, counts: tuple[int, int, int]) -> list[int]:
        """Return where a parabola through three logarithms of times is lowest, if that is between
        them and lower by what matters.
        """
        low, middle, high = counts
        x = np.log(np.array([low, high]) / middle)
        y = np.log(np.array([self.times[low], self.times[high]]) / self.times[middle])
        slope, bend = np.linalg.solve(np.stack([x, x**2], axis=1), y)
        at = -0.5 * slope / bend if bend > 0.0 else math.inf
        lowest = min(0.0, *y)
        if not x[0] < at < x[1] or lowest + 0.25 * slope**2 / bend < _FLAT:
            return []
        return [round(middle * math.exp(at))]
