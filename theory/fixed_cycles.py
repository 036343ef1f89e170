r"""Divergence of unequal workers whose cycles never vary.

Only the phases in which such workers start are random; from then on the order of arrivals is fixed,
and so is the product of matrices that takes :math:`(x, y_1, \dots, y_n)`, the parameter and what
the workers hold, from one arrival to the next: :math:`x \leftarrow x - \alpha y_i`, :math:`y_i
\leftarrow x`. Two cases differ.

Where the cycles have a common multiple of some arrivals, the order repeats and each start has a
matrix of its own for one period. Expected squares over all starts stay bounded iff the largest
eigenvalue of each of them is inside the unit circle.

Otherwise phases run through all values evenly, whatever the start, and the growth over long times
is the same for almost every start: the Lyapunov exponent. It is found as the mean growth over
starts on a lattice of phases; each is followed for hundreds of cycles, together they see tens of
thousands. Expected squares over all starts grow with the same exponent in the end, as the starts
that grow faster for a time become ever fewer. Nothing here knows eigenvalues or losses. Derived
in this project.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_STARTS = 128  # phases that are followed, of few workers
_MANY = 64  # workers, from which on fewer starts will do
_CYCLES, _FEWEST = 300, 30  # arrivals of a worker that are followed, and of one among very many
_ARRIVALS = 12_000  # arrivals of a start that are enough
_BEFORE = 5  # a fifth of the arrivals go by before growth counts
_PERIOD = 400  # arrivals in a period at most, for starts to be told apart
_RESCALED = 200  # arrivals between two rescalings of the state
_TRIED = 6  # values of alpha that are tried together


@lru_cache(maxsize=64)
def largest_alpha(cycles: tuple[float, ...]) -> float:
    """Return the learning rate times eigenvalue from which expected squares grow.

    Parameters
    ----------
    cycles : tuple of float
        Cycle times of the workers.
    """
    times = np.array(cycles)
    flow = float(np.sum(1.0 / times))
    period = _period(cycles)
    if period is not None:
        order = _order(times, round(period * flow), _STARTS)
        return _root(lambda alpha: _radius(order, times.size, alpha), times.size)
    length = max(min(_CYCLES * times.size, _ARRIVALS), _FEWEST * times.size)
    order = _order(times, length, max(min(_STARTS, _STARTS * _MANY // times.size), 8))
    return _root(lambda alpha: _exponent(order, times.size, alpha), times.size)


def longest_reach(cycles: tuple[float, ...]) -> float:
    """Return a bound on the arrivals within a cycle of the slowest worker, its own among them."""
    return sum(max(cycles) / cycle + 1.0 for cycle in cycles)


def _period(cycles: tuple[float, ...]) -> float | None:
    """Return the time after which arrivals repeat, or None if that is too long."""
    least = min(cycles)
    whole = 1
    for cycle in cycles:
        ratio = Fraction(cycle / least).limit_denominator(60)
        if abs(float(ratio) * least - cycle) > 1e-9 * cycle:
            return None
        whole = math.lcm(whole, ratio.numerator)
        if whole * least * sum(1.0 / each for each in cycles) > _PERIOD:
            return None
    return whole * least


def _order(cycles: Floats, arrivals: int, starts: int) -> Integers:
    """Return who arrives when, shape (arrivals, starts), from phases on a Kronecker lattice."""
    n = cycles.size
    # The root above one of g^(n+1) = g + 1; its inverse powers fill the cube evenly.
    g = 2.0
    for _ in range(60):
        g = (1.0 + g) ** (1.0 / (n + 1.0))
    phases = (0.5 + np.multiply.outer(np.arange(1, starts + 1), g ** -np.arange(1.0, n + 1))) % 1.0
    when = phases * cycles
    row, order = np.arange(starts), np.empty((arrivals, starts), dtype=np.int64)
    for k in range(arrivals):
        who = when.argmin(axis=1)
        order[k] = who
        when[row, who] += cycles[who]
    return order


def _exponent(order: Integers, workers: int, alpha: Floats) -> Floats:
    """Return the mean growth of the logarithm of the state, for each alpha."""
    settled, starts = len(order) // _BEFORE, order.shape[1]
    x = np.ones((alpha.size, starts))
    held = np.ones((alpha.size, starts, workers))
    flat = held.reshape(alpha.size, -1)
    grown = np.zeros_like(x)
    for k, at in enumerate(order + workers * np.arange(starts)):
        if k == settled or k % _RESCALED == 0:
            size = np.maximum(np.sqrt((held**2).mean(axis=2)), 1e-300)
            grown = np.zeros_like(x) if k <= settled else grown + np.log(size)
            x /= size
            held /= size[..., None]
        x = x - alpha[:, None] * flat[:, at]
        flat[:, at] = x
    return np.asarray((grown + 0.5 * np.log((held**2).mean(axis=2) + 1e-300)).mean(axis=1))


def _radius(order: Integers, workers: int, alpha: Floats) -> Floats:
    """Return the logarithm of the largest eigenvalue of all starts over a period."""
    starts, row = order.shape[1], np.arange(order.shape[1])
    out = np.empty(alpha.size)
    for i, value in enumerate(alpha):
        state = np.tile(np.eye(workers + 1), (starts, 1, 1))
        for who in order:
            state[:, 0] -= value * state[row, 1 + who]
            state[row, 1 + who] = state[:, 0]
        out[i] = np.abs(np.linalg.eigvals(state)).max()
    return np.log(out)


def _root(growth: Any, workers: int) -> float:
    """Return where growth begins, first looked for around workers that take turns."""
    low, high = 0.5 / workers, min(2.1, 6.0 / workers**0.5)
    while True:
        grid = np.geomspace(low, high, _TRIED)
        values = growth(grid)
        above = values > 0.0
        if above[0]:
            low, high = 0.5 * low, low
            continue
        if not above.any():
            low, high = high, 2.0 * high
            continue
        first = int(np.argmax(above))
        low, high = float(grid[first - 1]), float(grid[first])
        if high < 1.04 * low:  # nearly straight in between
            share = -values[first - 1] / (values[first] - values[first - 1])
            return float(low + share * (high - low))
