r"""K-async: updates by the first k workers, which then wait for the update; the others go on.

At an update *k* workers begin a gradient together and the others are somewhere in theirs. With the
remaining times taken as independent and alike in law (mean field), the next update comes at the
*k*-th smallest of *n* of them, and a worker's own remaining time competes with those of the *n - 1*
others; the law that one round hands on to the next is a fixed point, found on a lattice. It is
exact for exponential times (remaining times are then as good as new) and for k = n; equal constant
times are followed one by one instead, whose staleness depends on how they began unless k divides n.
Derived in this project; nothing here knows losses.
"""

import heapq
import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from sdde.equation.laws import Law

from .round_times import lattice_law
from .runtimes import order_statistic_mean

Floats = NDArray[np.float64]

_POINTS = 1023  # of the lattice of times; twice as many and two are a power of two
_FEWEST = 4.0  # lattice times in a round, below which waiting is negligible
_ROUNDS = 400  # at most, until the law of the remaining times has settled


class IdleRounds(NamedTuple):
    """Rounds of workers that wait for each other k at a time.

    Attributes
    ----------
    time : float
        Mean time of a round.
    spread : float
        Squared coefficient of variation of a round.
    staleness : numpy.ndarray
        Chances of 0, 1, ... updates between the read of a gradient and its use.
    exact : bool
        Whether both are exact.
    """

    time: float
    spread: float
    staleness: Floats
    exact: bool


@lru_cache(maxsize=1024)
def idle_rounds(law: Law, workers: int, k: int) -> IdleRounds:
    """Return the rounds of `workers` equal workers with `k` gradients in an update.

    Parameters
    ----------
    law : Law
        Time of one cycle of a worker, without its wait for the update.
    workers, k : int
        With 1 <= k <= workers.
    """
    if law.kind == "constant":
        return _in_turn(law.mean, workers, k)
    mean = order_statistic_mean(law, k, workers)
    if law.kind == "exponential":
        spread = sum(1.0 / i**2 for i in range(workers - k + 1, workers + 1))
        spread *= (law.mean / mean) ** 2
        if k == workers:
            return IdleRounds(mean, spread, np.ones(1), True)
        leave = k / workers
        longest = math.ceil(-28.0 / math.log1p(-leave)) + 1
        chances: Any = leave * (1.0 - leave) ** np.arange(longest)
        return IdleRounds(mean, spread, chances, True)
    if k == workers:
        return IdleRounds(mean, 0.0, np.ones(1), True)
    return _mean_field(law, workers, k)


def _in_turn(cycle: float, workers: int, k: int) -> IdleRounds:
    """Follow equal constant cycles from evenly spread phases until their pattern repeats."""
    queue = [(cycle * (i + 1) / workers, 0) for i in range(workers)]
    heapq.heapify(queue)
    total = 200 * math.ceil(workers / k)
    ends, counts = np.empty(total), np.zeros(4 * math.ceil(workers / k) + 4)
    for update in range(total):
        first = [heapq.heappop(queue) for _ in range(k)]
        ends[update] = first[-1][0]
        for _, read in first:
            if 2 * update >= total:
                counts[min(update - read, counts.size - 1)] += 1.0
            heapq.heappush(queue, (ends[update] + cycle, update + 1))
    half = total // 2
    time = float(ends[-1] - ends[half - 1]) / (total - half)
    return IdleRounds(time, 0.0, np.trim_zeros(counts / counts.sum(), "b"), workers % k == 0)


def _mean_field(law: Law, workers: int, k: int) -> IdleRounds:
    share = k / workers
    end = float(law.quantile(np.array([1.0 - 1e-5])).item())
    end = max(min(end, 40.0 * law.mean), 4.0 * law.mean)
    step = end / _POINTS
    if share * law.mean < _FEWEST * step:
        return _without_waiting(law, workers, k)
    fresh = lattice_law(law, end, _POINTS)
    fresh[-1] += max(0.0, 1.0 - fresh.sum())  # what is longer still counts as the longest
    remaining = fresh.copy()
    size = 2 * _POINTS + 2
    round_law = np.zeros(_POINTS + 1)
    for _ in range(_ROUNDS):
        below = np.clip(np.cumsum(remaining), 0.0, 1.0)
        # The round as a worker sees it that is not among the first: k-th of the others.
        others = betainc(k, workers - k, below)
        round_law = np.diff(others, prepend=0.0)
        left = _after(remaining, round_law, size)
        new = share * fresh + (1.0 - share) * left / left.sum()
        change = float(np.abs(new - remaining).sum())
        remaining = 0.5 * (remaining + new)
        if change < 1e-6:
            break
    below = np.clip(np.cumsum(remaining), 0.0, 1.0)
    later = 1.0 - betainc(k, workers - k + 1.0, below)
    time = step * float(np.sum(later))
    square = step**2 * float(np.sum(later * (2.0 * np.arange(_POINTS + 1) + 1.0)))
    # A class of workers that began together loses those that are among the first, round by round.
    staying, chances = share * fresh, [share]
    while chances[-1] > 1e-7 * share and len(chances) < 1000:
        staying = _after(staying, round_law, size)
        chances.append(float(staying.sum()))
    kept = np.array(chances)
    staleness = -np.diff(np.append(kept, 0.0))
    chances_of = np.maximum(staleness, 0.0) / staleness.sum()
    return IdleRounds(time, square / time**2 - 1.0, chances_of, False)


def _after(remaining: Floats, round_law: Floats, size: int) -> Floats:
    """Return the masses of what remains after a round of those whom it did not suffice.

    Of remaining times equal to the round, half are taken to be among the first.
    """
    reversed_round = np.fft.rfft(round_law[::-1], size)
    both = np.fft.irfft(np.fft.rfft(remaining, size) * reversed_round, size)
    left = np.maximum(both[_POINTS : 2 * _POINTS + 1], 0.0)
    left[0] *= 0.5
    return left


def _without_waiting(law: Law, workers: int, k: int) -> IdleRounds:
    """Return rounds so short beside a cycle that a worker's wait is random within one.

    A worker waits for (k - 1) / 2 of the k gaps between gradients in a round.
    """
    time = law.mean / (workers / k - 0.5 * (k - 1) / k)
    points, weights = law.nodes()
    whole = np.floor(points / time - 0.5 / k).astype(int)
    chances: Any = np.bincount(np.maximum(whole, 0), weights / weights.sum())
    return IdleRounds(time, 1.0 / k, chances, False)
