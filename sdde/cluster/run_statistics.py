"""Statistics over runs: staleness, times to a target with intervals, values held between records.

Arrays and small results; nothing here knows how runs were made.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_RESAMPLES = 400  # of the bootstrap: its intervals are good to a few per cent of their length
_LEVEL = 0.95


class TimeTo(NamedTuple):
    """A time and its 95 % interval; ``nan`` where the target is never reached or runs are too few.

    The unit is that of the axis asked for: time, updates or gradients.
    """

    value: float
    low: float
    high: float


class Curve(NamedTuple):
    """A recorded quantity over the runs, along time, updates or gradients.

    Attributes
    ----------
    at : array (points,)
        Times, or numbers of updates or gradients.
    mean, error : arrays (points,)
        Mean over the runs and its standard error (``nan`` for one run); ``nan`` where a run has
        ended, ``inf`` where the loss of one has diverged.
    low, median, high : arrays (points,)
        5, 50 and 95 % quantiles over the runs that still go on there.
    """

    at: Floats
    mean: Floats
    error: Floats
    low: Floats
    median: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Staleness:
    """How many updates happened between a gradient's read and its use, over all runs.

    Attributes
    ----------
    counts : array of int
        Gradients with staleness 0, 1, 2, ...
    """

    counts: Integers

    @property
    def pmf(self) -> Floats:
        """Share of the gradients with staleness 0, 1, 2, ..."""
        return self.counts / max(int(self.counts.sum()), 1)

    @property
    def mean(self) -> float:
        """Mean staleness, in updates."""
        return float(self.pmf @ np.arange(len(self.counts)))

    @property
    def var(self) -> float:
        """Variance of the staleness, in updates squared."""
        return float(self.pmf @ (np.arange(len(self.counts)) - self.mean) ** 2)

    @property
    def fresh(self) -> float:
        """Share of the gradients that nothing overtook."""
        return float(self.pmf[0]) if len(self.counts) else math.nan

    def quantile(self, q: float) -> int:
        """Return the least staleness that a share `q` of the gradients does not exceed.

        Parameters
        ----------
        q : float
            In [0, 1].

        Returns
        -------
        int

        Examples
        --------
        >>> Staleness(np.array([1, 2, 1])).quantile(0.5)
        1
        """
        if checks.nonnegative("q", q, example=0.5) > 1:
            raise checks.fail("q", q, "is above 1", remedy="For example q = 0.5.")
        cumulative = np.cumsum(self.counts)
        return int(np.searchsorted(cumulative, q * cumulative[-1]))


def held(places: Floats, values: Floats, asked: Floats, end: float, after: float) -> Floats:
    """Return the last values recorded at or before the places asked for; `after` beyond the end."""
    known = np.isfinite(places) & ~np.isnan(values)
    index = np.searchsorted(places[known], asked, side="right") - 1
    found = values[known][np.maximum(index, 0)]
    return np.where(asked > end, after, found)


def summary(at: Floats, values: Floats) -> Curve:
    """Return mean and quantiles of values (runs, points) over the runs."""
    with np.errstate(invalid="ignore"):
        mean = values.mean(axis=0)
        error = np.full_like(mean, np.nan)
        if len(values) > 1:
            error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
        quantiles = np.full((3, len(at)), np.nan)
        for i, column in enumerate(values.T):
            going = column[~np.isnan(column)]
            if going.size:
                quantiles[:, i] = np.quantile(going, [0.05, 0.5, 0.95], method="nearest")
    return Curve(at, mean, error, *quantiles)


def time_of_median(own: Floats, rng: np.random.Generator) -> TimeTo:
    """Return the median of the times of the runs (inf: never) and a bootstrap interval."""
    count = len(own)
    picks = rng.integers(count, size=(_RESAMPLES if count > 1 else 0, count))
    return _interval(float(np.median(own)), np.array([np.median(own[pick]) for pick in picks]))


def time_of_mean(
    places: Floats, values: Floats, target: float, settle: bool, rng: np.random.Generator
) -> TimeTo:
    """Return when the mean over the runs is at or below a target, and a bootstrap interval."""
    count = len(values)
    picks = rng.integers(count, size=(_RESAMPLES if count > 1 else 0, count))
    value = crossing(places, values.mean(axis=0), target, settle)
    samples = np.array([crossing(places, values[p].mean(axis=0), target, settle) for p in picks])
    return _interval(value, np.where(np.isnan(samples), np.inf, samples))


def _interval(value: float, samples: Floats) -> TimeTo:
    if not len(samples):
        return TimeTo(_finite(value), math.nan, math.nan)
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail], method="nearest")
    return TimeTo(_finite(value), _finite(low), _finite(high))


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan


def first_index(below: NDArray[np.bool_], settle: bool) -> int | None:
    """Return the first index that is below, or from which on all are."""
    if not below.any():
        return None
    if not settle:
        return int(np.argmax(below))
    if not below[-1]:
        return None
    return len(below) - int(np.argmin(below[::-1])) if not below.all() else 0


def crossing(places: Floats, mean: Floats, target: float, settle: bool) -> float:
    """Return where a mean falls to a target, its logarithm linear between records."""
    known = ~np.isnan(mean)
    t, value = places[known], mean[known]
    index = first_index(value <= target, settle)
    if index is None:
        return math.nan
    if index == 0 or not math.isfinite(value[index - 1]) or value[index] <= 0:
        return float(t[index])
    above, below = math.log(value[index - 1]), math.log(value[index])
    share = (above - math.log(target)) / (above - below) if above > below else 1.0
    return float(t[index - 1] + share * (t[index] - t[index - 1]))
