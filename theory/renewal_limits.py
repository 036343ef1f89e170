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
_SMOOTH = 0.03  # the same where the limit follows from what is known at both ends
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
        if low < near < high < low * (1.0 + _SMOOTH):
            return near
    return 0.5 * (low + high)


def _edge_guess(grid: Floats, squares: WorkerSquares, first: int) -> float:
    """Return where the index passes one, before the first that is not bounded.

    One over the index is interpolated between up to four values around there: it falls as a nearly
    straight line and is zero where the mean stops decaying, beyond which it is continued in
    proportion to that decay.
    """
    decay = -squares.means.roots.real
    known = ~squares.means.wild & ((decay <= 0.0) | (squares.index > 0.0))
    if not (known[first - 1] and known[first] and decay[first - 1] > 0.0):
        return math.nan
    slope = 1.0 / (squares.index[first - 1] * decay[first - 1])
    with np.errstate(divide="ignore"):
        values = np.where(decay > 0.0, 1.0 / squares.index, slope * decay) - 1.0
    near = [i for i in range(first - 2, first + 2) if 0 <= i < grid.size and known[i]]
    x, y = np.log(grid[near]), values[near]
    if np.any(np.diff(y) >= 0.0):
        x, y = np.log(grid[first - 1 : first + 1]), values[first - 1 : first + 1]
    if not y[-1] < 0.0 < y[0]:
        return math.nan
    # Lagrange's interpolation of the place by the value, at zero.
    weights = [np.prod([b / (b - a) for b in y if b != a]) for a in y]
    return float(np.exp(np.dot(weights, x)))
