r"""How long a round takes: the wait for the k-th gradient of workers that begin together.

Workers may be unequal, and may deliver once (they then wait) or again and again. With
:math:`N(t)` the gradients delivered until *t*, the mean wait is :math:`\int_0^\infty P(N(t) <
k)\,dt`; the law of *N* is a product of generating functions, one for each worker. Nothing here
knows losses. Derived in this project.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.laws import Law

from .runtimes import order_statistic_mean

Floats = NDArray[np.float64]

_POINTS = 600  # of the lattice of times
_LOST = 1e-9  # chance of a round beyond the last lattice time


def wait_for(cycles: Sequence[Law], workers: int, k: int, *, again: bool) -> float:
    """Return the mean time until `k` gradients are there.

    Parameters
    ----------
    cycles : sequence of Law
        One law for all workers, or one each.
    workers : int
        Number of workers.
    k : int
        Gradients waited for; at most `workers` unless workers deliver `again`.
    again : bool
        Whether a worker that has delivered begins another gradient at once.
    """
    if len(cycles) == 1:
        checks.integer("workers", workers, lowest=1, highest=10**6)
    laws = tuple(cycles) * workers if len(cycles) == 1 else tuple(cycles)
    return _wait(laws, k, again)


@lru_cache(maxsize=4096)
def _wait(laws: tuple[Law, ...], k: int, again: bool) -> float:
    workers, first = len(laws), laws[0]
    equal = all(law is first for law in laws)
    if again and workers == 1:
        return k * first.mean
    if equal and again and first.kind == "exponential":
        return k * first.mean / workers
    if equal and not again:
        return order_statistic_mean(first, k, workers)
    if all(law.kind == "constant" for law in laws):
        times = np.array([law.mean for law in laws])
        if again:
            # By this time the fastest worker alone has delivered them all.
            most = np.floor(times.min() * k / times).astype(int) + 1
            runs = [t * np.arange(1, m + 1) for t, m in zip(times, most, strict=True)]
            times = np.concatenate(runs)
        return float(np.sort(times)[k - 1])
    end = max(law.mean for law in laws) * (2.0 * math.ceil(k / workers) + 2.0)
    for _ in range(60):
        few = _chance_of_few(laws, k, again, end, 64)
        if few[-1] < _LOST:
            last = int(np.argmax(few < _LOST))
            end *= min(1.0, (last + 1) / 64)
            break
        end *= 2.0
    few = _chance_of_few(laws, k, again, end, _POINTS)
    # Masses sit at lattice times, so the integral of the step function is exact for the lattice.
    return float(few[:-1].sum() * end / _POINTS)


def _chance_of_few(laws: tuple[Law, ...], k: int, again: bool, end: float, points: int) -> Floats:
    """Return the chance that fewer than `k` gradients are there, at lattice times up to `end`."""
    total = np.zeros((points + 1, k))
    total[:, 0] = 1.0
    for law, count in Counter(laws).items():
        total = _times(total, _power(_delivered(law, k, again, end, points), count))
    return np.clip(total.sum(axis=1), 0.0, 1.0)


def lattice_law(law: Law, end: float, points: int) -> Floats:
    """Return the masses at ``end / points`` times 0, 1, ..., `points`, shared linearly.

    Mass beyond `end` is left out; elsewhere the mean is kept.
    """
    values, weights = law.nodes()
    at = values * (points / end)
    weights = weights / weights.sum()
    keep = at < points
    at, weights = at[keep], weights[keep]
    at = np.where(np.abs(at - np.round(at)) < 1e-9, np.round(at), at)
    low = np.floor(at).astype(int)
    share = at - low
    masses: Any = np.bincount(low, weights * (1.0 - share), points + 1) + np.bincount(
        np.minimum(low + 1, points), weights * share, points + 1
    )
    return masses


def _delivered(law: Law, k: int, again: bool, end: float, points: int) -> Floats:
    """Return the chances of 0, 1, ..., k - 1 gradients of one worker, for each lattice time."""
    mass = lattice_law(law, end, points)
    chances = np.zeros((points + 1, k))
    before = np.ones(points + 1)
    sums, transform = mass, np.fft.rfft(mass, 2 * points + 2)
    for j in range(k):
        after = np.minimum(np.cumsum(sums), 1.0)
        chances[:, j] = before - after
        if not again:
            if k > 1:
                chances[:, 1] = after
            break
        before = after
        if after[-1] < 1e-14:
            break
        sums = np.fft.irfft(np.fft.rfft(sums, 2 * points + 2) * transform, 2 * points + 2)
        sums = np.maximum(sums[: points + 1], 0.0)
    return chances


def _times(first: Floats, second: Floats) -> Floats:
    """Return the products of power series in each row, cut at their length."""
    size = first.shape[1]
    length = 2 * size
    both = np.fft.rfft(first, length) * np.fft.rfft(second, length)
    return np.fft.irfft(both, length)[:, :size]


def _power(series: Floats, count: int) -> Floats:
    """Return the `count`-th powers of power series in each row, cut at their length."""
    result: Floats | None = None
    while True:
        if count & 1:
            result = series if result is None else _times(result, series)
        count >>= 1
        if not count:
            assert result is not None
            return result
        series = _times(series, series)
