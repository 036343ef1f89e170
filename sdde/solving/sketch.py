"""Quantiles of more numbers than are kept, with a bound on the error of their ranks.

Numbers come in order, many cells at once. `SIZE` of them make a sorted buffer in which each stands
for itself. Five buffers of a kind are merged into one: of the sorted union every fifth number is
kept, the middle of five, and stands for all five. Such a merge moves the rank of no value by more
than twice the number that each stood for, so the sum of these is a bound on the error; it depends
on the number of paths alone. Fewer than ``5 * SIZE`` numbers are all kept. The scheme of merged
buffers is that of Manku, Rajagopalan and Lindsay (1998); this bound is derived here.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SIZE = 2048
_FAN = 5  # buffers merged into one, an odd number


class Sketch:
    """Sorted samples of a stream of numbers, for many cells at once.

    Parameters
    ----------
    cells : int
        How many streams run side by side.
    """

    def __init__(self, cells: int) -> None:
        self.rows = np.empty((SIZE, cells))
        self.filled = 0
        self.levels: list[list[Floats]] = []
        self.count = 0
        self.moved = 0  # a bound on how far ranks have moved
        self.has_nan = np.zeros(cells, dtype=np.bool_)

    def add(self, numbers: Floats) -> None:
        """Take further numbers, shape (paths, cells), in order."""
        self.count += len(numbers)
        self.has_nan |= np.isnan(numbers).any(axis=0)
        while len(numbers):
            taken = numbers[: SIZE - self.filled]
            self.rows[self.filled : self.filled + len(taken)] = taken
            self.filled += len(taken)
            numbers = numbers[len(taken) :]
            if self.filled == SIZE:
                self._put(0, np.sort(self.rows, axis=0))
                self.filled = 0

    def _put(self, level: int, buffer: Floats) -> None:
        if level == len(self.levels):
            self.levels.append([])
        self.levels[level].append(buffer)
        if len(self.levels[level]) == _FAN:
            union = np.sort(np.concatenate(self.levels[level]), axis=0)
            self.levels[level] = []
            self.moved += _FAN // 2 * _FAN**level
            self._put(level + 1, union[_FAN // 2 :: _FAN].copy())

    @property
    def rank_error(self) -> float:
        """How far the rank of a quantile may be off, as a share of the count."""
        if self.count == 0:
            return 0.0
        heaviest = max((level for level, kept in enumerate(self.levels) if kept), default=0)
        between = 0.5 * (_FAN**heaviest - 1)  # inside what one number stands for
        return (self.moved + between) / self.count

    def quantile(self, q: Floats) -> Floats:
        """Return quantiles, shape (len(q), cells); nan where a number was nan."""
        parts = [(self.rows[: self.filled], 1)]
        parts += [
            (kept, _FAN**level) for level, all_of in enumerate(self.levels) for kept in all_of
        ]
        numbers = np.concatenate([part for part, _ in parts])
        weights = np.concatenate([np.full(len(part), float(weight)) for part, weight in parts])
        result = np.full((len(q), numbers.shape[1]), np.nan)
        for cell in np.flatnonzero(~self.has_nan) if self.count else ():
            order = np.argsort(numbers[:, cell], kind="stable")
            heavy = weights[order]
            ranks = np.cumsum(heavy) - 0.5 * (heavy + 1.0)  # of the middle of what each stands for
            result[:, cell] = np.interp(q * (self.count - 1), ranks, numbers[order, cell])
        return result
