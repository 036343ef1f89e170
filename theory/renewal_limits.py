r"""From which learning rate workers as renewal processes diverge.

Mean squares are solved at a few learning rates side by side, and again between the last that stays
bounded and the first that does not: around the place where the index passes one, or where the mean
stops decaying. Nothing here knows eigenvalues or losses.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .worker_renewals import Crew
from .worker_squares import WorkerSquares, squares_of

Floats = NDArray[np.float64]

_RESOLVED = 1e-3  # relative width of an interval that holds a limit, then its middle is taken
_TRIED = 6  # learning rates that are looked at together
_AROUND = (-0.05, -0.01, -0.0004, 0.0004, 0.01, 0.05)  # the same around a guess, relative to it
_NEARBY = (-0.3, -0.06, -0.012, 0.012, 0.06, 0.35)  # the same around the first guess


@lru_cache(maxsize=256)
def largest_by_grids(crew: Crew, near: float = math.nan) -> float:
    """Return the learning rate times eigenvalue from which mean squares grow without bound.

    Parameters
    ----------
    crew : Crew
    near : float
        A guess.
    """
    low, high = 0.0, 2.0  # alone, every worker diverges from 2 on; others make it no better
    while high - low > _RESOLVED * high:
        least = max(low, 0.4 / crew.workers)  # a damping near one is where trouble begins
        space = np.geomspace if high > 2.0 * least else np.linspace
        grid = space(least, high, _TRIED + 2)[1 if low else 0 : -1][:_TRIED]
        if low < near < high:
            around = near * (1.0 + np.array(_AROUND if low else _NEARBY))
            grid = around[(around > low) & (around < high)]
        squares = squares_of(crew, grid)
        kept = squares.bounded
        first = grid.size if kept.all() else int(np.argmin(kept))
        if first == 0 and low == 0.0:
            low = 1e-3 * float(grid[0])
            high = float(grid[0])
            continue
        near = _edge_guess(grid, squares, first) if 0 < first < grid.size else math.nan
        low = float(grid[first - 1]) if first else low
        high = float(grid[first]) if first < grid.size else high
    return 0.5 * (low + high)


def _edge_guess(grid: Floats, squares: WorkerSquares, first: int) -> float:
    """Return where the index passes one, or the mean's decay zero, before the first that fails."""
    low, high = float(grid[first - 1]), float(grid[first])
    before, after = squares.means.roots.real[first - 1 : first + 1]
    if after >= 0.0:
        wild = bool(squares.means.wild[first])
        return math.nan if wild else low + (high - low) * before / (before - after)
    below, above = squares.index[first - 1 : first + 1]
    if not 0.0 < below < 1.0 < above < math.inf:
        return math.nan
    return low * (high / low) ** (-math.log(below) / math.log(above / below))
