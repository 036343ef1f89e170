"""Quantiles of more numbers than are kept, with a bound on the error of their ranks.

Numbers come in order, many cells at once. `SIZE` of them make a sorted buffer in which each stands
for itself. Five buffers of a kind are merged into one: of the sorted union every fifth number is
kept, the middle of five, and stands for all five. Such a merge moves the rank of no value by more
than twice the number that each stood for, so the sum of these is a bound on the error; it depends
on the number of paths alone. Fewer than ``5 * SIZE`` numbers are all kept. The scheme of merged
buffers is that of Manku, Rajagopalan and Lindsay (1998); this bound is derived here.

Which buffers are merged is decided by where they stand among all numbers, so a part of the stream
may be sketched elsewhere and sent as `pieces`: the result is the same.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SIZE = 2048
FAN = 5  # buffers merged into one, an odd number


class Buffer(NamedTuple):
    """Sorted numbers that stand for those from ``place * SIZE * 5**level`` on."""

    level: int
    place: int
    rows: Floats


class Pieces(NamedTuple):
    """What a part of a stream leaves: numbers before, between and after the whole buffers."""

    before: Floats
    buffers: list[Buffer]
    after: Floats
    has_nan: NDArray[np.bool_]


class Sketch:
    """Sorted samples of a stream of numbers, for many cells at once.

    Parameters
    ----------
    cells : int
        How many streams run side by side.
    begin : int, optional
        Numbers of the stream that stand before the first one given here.
    """

    def __init__(self, cells: int, begin: int = 0) -> None:
        self.rows = np.empty((SIZE, cells))
        self.filled = 0
        self.begin = begin
        self.before: list[Floats] = []  # numbers of a buffer that began before
        self.buffers: list[Buffer] = []
        self.count = 0
        self.has_nan = np.zeros(cells, dtype=np.bool_)

    def add(self, numbers: Floats) -> None:
        """Take further numbers, shape (paths, cells), in order."""
        self.has_nan |= np.isnan(numbers).any(axis=0)
        early = min(max(0, -self.begin % SIZE - self.count), len(numbers))
        if early:
            self.before.append(numbers[:early].copy())
            self.count += early
            numbers = numbers[early:]
        while len(numbers):
            taken = numbers[: SIZE - self.filled]
            self.rows[self.filled : self.filled + len(taken)] = taken
            self.filled += len(taken)
            self.count += len(taken)
            numbers = numbers[len(taken) :]
            if self.filled == SIZE:
                place = (self.begin + self.count) // SIZE - 1
                self._put(Buffer(0, place, np.sort(self.rows, axis=0)))
                self.filled = 0

    def take(self, pieces: Pieces) -> None:
        """Take the part of the stream that follows, as it was sketched elsewhere."""
        self.add(pieces.before)
        for buffer in pieces.buffers:
            self.count += SIZE * FAN**buffer.level
            self._put(buffer)
        self.add(pieces.after)
        self.has_nan |= pieces.has_nan

    def pieces(self) -> Pieces:
        """Return what stands for the numbers given here."""
        early = [np.empty((0, self.rows.shape[1])), *self.before]
        return Pieces(
            np.concatenate(early), self.buffers, self.rows[: self.filled].copy(), self.has_nan
        )

    def _put(self, buffer: Buffer) -> None:
        self.buffers.append(buffer)
        while (last := self.buffers[-1]).place % FAN == FAN - 1:
            family = self.buffers[-FAN:]
            if len(family) < FAN or any(other.level != last.level for other in family):
                return  # the first of them came before
            union = np.sort(np.concatenate([other.rows for other in family]), axis=0)
            del self.buffers[-FAN:]
            merged = union[FAN // 2 :: FAN].copy()
            self.buffers.append(Buffer(last.level + 1, last.place // FAN, merged))

    @property
    def rank_error(self) -> float:
        """How far the rank of a quantile may be off, as a share of the count."""
        if self.count == 0:
            return 0.0
        moved, level, whole = 0, 0, self.count // (SIZE * FAN)
        while whole:  # merges of buffers of each level
            moved += whole * (FAN // 2) * FAN**level
            whole, level = whole // FAN, level + 1
        heaviest = max((buffer.level for buffer in self.buffers), default=0)
        between = 0.5 * (FAN**heaviest - 1)  # inside what one number stands for
        return (moved + between) / self.count

    def quantile(self, q: Floats) -> Floats:
        """Return quantiles, shape (len(q), cells); nan where a number was nan."""
        parts = [(self.rows[: self.filled], 1)]
        parts += [(buffer.rows, FAN**buffer.level) for buffer in reversed(self.buffers)]
        numbers = np.concatenate([part for part, _ in parts])
        weights = np.concatenate([np.full(len(part), float(weight)) for part, weight in parts])
        result = np.full((len(q), numbers.shape[1]), np.nan)
        for cell in np.flatnonzero(~self.has_nan) if self.count else ():
            order = np.argsort(numbers[:, cell], kind="stable")
            heavy = weights[order]
            ranks = np.cumsum(heavy) - 0.5 * (heavy + 1.0)  # of the middle of what each stands for
            result[:, cell] = np.interp(q * (self.count - 1), ranks, numbers[order, cell])
        return result
