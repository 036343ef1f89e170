"""Checkpoint: what a run leaves for the next one to begin with.

The rows of the ring that later steps read, and the counters of each path, at the last grid index
that is a multiple of the steps between two looks for divergence. Noise is addressed by step, so
nothing else is needed to go on as if the run had not stopped. Nothing here runs paths.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdde.engine.kernels.signatures import WATCH

Floats = NDArray[np.float64]
MOST = 4_000_000  # numbers kept without being asked for (32 MB), unless what is saved is larger


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """The end of a run, as its next run needs it.

    Attributes
    ----------
    step : int
        Grid index.
    tail : array, shape (blocks, rows, columns)
        Rows of the ring, the present first; no blocks if nothing is kept.
    marks : array of int, shape (paths, 2 + jumps)
        Steps of divergence and hit (-1: none), counts of arrivals.
    numbers : array, shape (paths, 1 + jumps + functionals)
        Share of the step before a hit, arrivals to come, reductions so far.
    """

    step: int
    tail: Floats
    marks: NDArray[np.int64]
    numbers: Floats

    @classmethod
    def nowhere(cls) -> "Checkpoint":
        """Return the checkpoint that keeps nothing."""
        none = np.empty((0, 0), dtype=np.int64)
        return cls(-1, np.empty((0, 0, 0)), none, np.empty((0, 0)))

    @classmethod
    def empty(
        cls, step: int, paths: int, blocks: int, rows: int, columns: int, jumps: int, values: int
    ) -> "Checkpoint":
        """Return room for a checkpoint at grid index `step`; `nowhere` if that is negative."""
        if step < 0:
            return cls.nowhere()
        return cls(
            step, np.empty((blocks, rows, columns)), np.empty((paths, 2 + jumps), dtype=np.int64),
            np.empty((paths, 1 + jumps + values)),
        )  # fmt: skip

    @property
    def is_kept(self) -> bool:
        """Whether a run can begin here."""
        return self.step >= 0

    def continues(self, other: "Checkpoint") -> bool:
        """Return whether a run that keeps `self` can begin at `other`."""
        pairs = (
            (self.tail, other.tail), (self.marks, other.marks), (self.numbers, other.numbers)
        )  # fmt: skip
        return other.step > 0 and all(mine.shape == given.shape for mine, given in pairs)


def kept_step(
    steps: int, paths: int, blocks: int, rows: int, columns: int, jumps: int, values: int, *,
    most: int,
) -> int:  # fmt: skip
    """Return where a run of `steps` steps is kept, -1 if that took more than `most` numbers."""
    size = blocks * rows * columns + paths * (3 + 2 * jumps + values)
    return steps - steps % WATCH if size <= max(most, MOST) else -1
