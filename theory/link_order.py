r"""Divergence of workers that share a link, by the order in which their gradients pass it.

A link that passes one gradient at a time in order of arrival leaves workers neither independent nor
in turn: behind a full link with constant transfers the order is nearly that of a queue, and what
computing times there are decide how often it changes. The law of the staleness is found by
following many copies of the machines, with computing and transfer times whose probabilities are the
points of a Korobov lattice, :math:`r\,a^k \bmod P` over a prime *P* for time *k* of copy *r*,
shifted by multiples of the golden ratio: an integration rule over all times. It decides the
edge of stability by `arrival_order`.

What that leaves out, the memory of pairs that stay long, is taken from workers that share nothing
and have the same cycles, computing plus the mean time at the link: for those both the order alone
and their renewals (`worker_squares`) give an edge, and their quotient corrects that of the link.
It is near one where cycles hardly vary against their mean, thus behind a full link. Derived in this
project. Nothing here knows losses.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law, as_law

from . import arrival_order
from .cycle import shifted

Floats = NDArray[np.float64]

# Up to so many workers: P, a, arrivals of a worker until the queue has settled, and then counted.
_RULES = ((16, 509, 10, 12, 30), (64, 127, 29, 10, 10), (math.inf, 61, 10, 8, 6))
_EVEN = 0.05  # squared variation of a cycle below which nothing is left out
_LONGEST = 10  # arrivals of all workers after which a gradient counts as just arriving
MANY = 48  # workers that stand for more
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


def largest_alpha(
    workers: int, think: Law, link: Law, wait: float, alone: Callable[[Law, int, float], float]
) -> float:
    """Return the learning rate times eigenvalue from which expected squares grow.

    Parameters
    ----------
    workers : int
        At most `MANY`, for the cost.
    think, link : Law
        Times of computing and of a transfer; one transfer at a time.
    wait : float
        Mean time at the link, queue and transfer.
    alone : callable
        The same for workers that share nothing, given the law of their cycles, their number and a
        guess.
    """
    edge = _by_order(workers, think, link)
    cycle = shifted(think, wait)
    if workers == 1 or cycle.squared_variation < _EVEN:
        return edge
    by_order = _by_order(workers, cycle, as_law(0.0, "link"))
    return edge * alone(cycle, workers, by_order) / by_order


@lru_cache(maxsize=128)
def _by_order(workers: int, think: Law, link: Law) -> float:
    return arrival_order.largest_alpha(staleness(workers, think, link), workers)


def staleness(workers: int, think: Law, link: Law) -> Floats:
    """Return the probabilities of the staleness 0, 1, ... of workers behind a link."""
    _, copies, factor, settle, count = next(rule for rule in _RULES if workers <= rule[0])
    arrivals = (settle + count) * workers
    level = _lattice(workers + 2 * arrivals, copies, factor)

    def times(law: Law, levels: Floats) -> Floats:
        if law.kind == "constant":
            return np.full(levels.shape, law.mean)
        if law.kind == "continuous":
            return np.interp(levels, *_table(law))
        return np.asarray(law.quantile(levels))

    when = level[:workers].T * think.mean  # at first all compute, anywhere in their computation
    thinking, sending = times(think, level[workers::2]), times(link, level[workers + 1 :: 2])
    free, last = np.zeros(copies), np.zeros((copies, workers), dtype=np.int64)
    row, found = np.arange(copies), []
    for k in range(arrivals):
        who = when.argmin(axis=1)
        free = np.maximum(free, when[row, who]) + sending[k]
        when[row, who] = free + thinking[k]
        found.append(k - last[row, who] - 1)
        last[row, who] = k
    ages = np.minimum(np.concatenate(found[settle * workers :]), _LONGEST * workers)
    counts = np.bincount(ages).astype(float)
    return _of_mean(counts / counts.sum(), workers - 1.0)


@lru_cache(maxsize=16)
def _table(law: Law) -> tuple[Floats, Floats]:
    """Return levels, dense towards both ends, and the quantiles there."""
    tail = 0.5 ** np.arange(31.0, 6.0, -0.125)
    levels = np.concatenate([tail, np.linspace(2.0**-6, 1.0 - 2.0**-6, 500), 1.0 - tail[::-1]])
    return levels, np.asarray(law.quantile(levels))


@lru_cache(maxsize=4)
def _lattice(length: int, copies: int, factor: int) -> Floats:
    """Return the points of the lattice, shape (length, copies)."""
    powers = [1]
    while len(powers) < length:
        powers.append(powers[-1] * factor % copies)
    points = np.multiply.outer(np.array(powers), np.arange(copies)) % copies / copies
    level = (points + _GOLDEN * np.arange(1, length + 1)[:, None]) % 1.0
    return np.clip(level, 1e-9, 1.0 - 1e-9)


def _of_mean(chances: Floats, mean: float) -> Floats:
    """Return probabilities that are tilted a little so that they have a mean."""
    at = np.arange(chances.size) - mean
    tilt, weights = 0.0, chances
    for _ in range(20):
        excess = weights @ at
        variance = weights @ at**2 - excess**2
        if variance < 1e-9:
            break
        tilt -= excess / variance
        weights = chances * np.exp(tilt * at)
        weights /= weights.sum()
    return weights
