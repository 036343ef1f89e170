"""Machines that change: speeds that drift, recorded times, outages. Plain values.

A `System` takes them where it takes laws; the event loop gives them their meaning. Theory has no
formulas for them. Nothing here computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.equation.laws import Law, as_law, as_laws


@dataclass(frozen=True, slots=True, eq=False)
class Drifting:
    """A compute time whose law is stretched as time goes on.

    A job that begins at time `t` takes ``factor(t)`` times a draw of the law.

    Parameters
    ----------
    law : float, scipy.stats law, or array of measurements
        The law where the factor is 1.
    times : array (points,)
        Increasing times >= 0, in the unit of the law.
    factors : array (points,) or callable
        Factor > 0 at those times, or a function that gives it; straight lines between them, and
        constant before the first and after the last.

    Examples
    --------
    >>> Drifting(1.0, [0.0, 100.0], [1.0, 3.0]).factors.tolist()
    [1.0, 3.0]
    """

    law: Any
    times: Any
    factors: Any

    def __post_init__(self) -> None:
        as_law(self.law, "law")
        times = _times("times", self.times)
        if callable(self.factors):
            said = [
                checks.answer("factors", self.factors, t, signature="(t)") for t in times.tolist()
            ]
            factors = np.array([checks.positive("factors", factor) for factor in said])
        else:
            factors = checks.vector("factors", self.factors)
        if len(factors) != len(times):
            raise checks.fail(
                "factors", self.factors, f"has {len(factors)} entries for {len(times)} times"
            )
        if factors.min() <= 0:
            raise checks.fail(
                "factors", self.factors, "holds a value that is not positive",
                remedy="For example factors = [1.0, 2.0].",
            )  # fmt: skip
        _keep(self, times=times, factors=factors)


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Recorded times of a worker's jobs, used in their order.

    Parameters
    ----------
    durations : array (jobs,)
        Times >= 0, for example ``trace.compute_time(worker)``.
    then : {"repeat", "stop"}
        What follows the last one: the first again, or nothing more from this worker.

    Examples
    --------
    >>> Replay([0.9, 1.1, 1.0], then="stop").then
    'stop'
    """

    durations: Any
    then: str = field(default="repeat", kw_only=True)

    def __post_init__(self) -> None:
        durations = checks.vector("durations", self.durations)
        if durations.min() < 0:
            raise checks.fail("durations", self.durations, "holds a negative time")
        if durations.max() <= 0:
            raise checks.fail(
                "durations", self.durations, "holds nothing but zeros",
                why="Such a worker would deliver infinitely many gradients at once.",
            )  # fmt: skip
        checks.choice("then", self.then, ("repeat", "stop"))
        _keep(self, durations=durations)


@dataclass(frozen=True, slots=True)
class Outages:
    """Workers that fail and come back at random times.

    Times up and times down alternate, the first time up from time 0; what a worker was computing
    when it failed is lost, and when it is back it reads the parameters and begins a new job.

    Parameters
    ----------
    up, down : law, or list of laws (one per worker)
        Time until a worker fails, and until it is back.

    Examples
    --------
    >>> import scipy.stats
    >>> Outages(scipy.stats.expon(scale=100.0), 5.0).down
    5.0
    """

    up: Any
    down: Any

    def __post_init__(self) -> None:
        for name in ("up", "down"):
            value = getattr(self, name)
            listed = len(value) if isinstance(value, list | tuple) else 1
            laws = as_laws(value, listed, name)
            if name == "up" and any(law.mean <= 0 for law in laws):
                raise checks.fail("up", value, "has mean zero", remedy="For example up = 100.0.")

    def laws(self, workers: int) -> tuple[tuple[Law, Law], ...]:
        """Return for each worker the laws of its times up and down."""
        pair = []
        for name in ("up", "down"):
            laws = as_laws(getattr(self, name), workers, name)
            pair.append(laws * workers if len(laws) == 1 else laws)
        return tuple(zip(*pair, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class PlannedOutages:
    """Workers that are down at given times.

    Parameters
    ----------
    intervals : sequence of arrays (outages, 2)
        For each worker the times when its outages begin and end, in order and apart; an empty one
        for a worker that never fails.

    Examples
    --------
    >>> PlannedOutages([[], [(10.0, 20.0), (50.0, 51.0)]]).intervals[1].shape
    (2, 2)
    """

    intervals: Sequence[ArrayLike]

    def __post_init__(self) -> None:
        if not isinstance(self.intervals, list | tuple) or not self.intervals:
            raise checks.fail(
                "intervals", self.intervals, "is not a list with one entry per worker",
                remedy="For example intervals = [[], [(10.0, 20.0)]].",
            )  # fmt: skip
        kept = []
        for w, given in enumerate(self.intervals):
            name = f"intervals[{w}]"
            pairs = checks.array(name, given) if np.size(given) else np.zeros((0, 2))
            if pairs.ndim != 2 or pairs.shape[1] != 2:
                raise checks.fail(name, given, "does not hold pairs (begin, end)")
            edges = pairs.ravel()
            if edges.size and (edges[0] < 0 or np.any(np.diff(edges) <= 0)):
                raise checks.fail(
                    name, given, "is negative, overlaps or is out of order",
                    remedy="For example [(10.0, 20.0), (50.0, 51.0)].",
                )  # fmt: skip
            pairs.setflags(write=False)
            kept.append(pairs)
        object.__setattr__(self, "intervals", tuple(kept))


def base_law(value: Any, name: str) -> Law:
    """Return the law behind a compute time: what it is before it drifts, or what was recorded."""
    if isinstance(value, Drifting):
        return as_law(value.law, name)
    return as_law(value.durations if isinstance(value, Replay) else value, name)


def _times(name: str, value: Any) -> np.ndarray:
    times = checks.vector(name, value)
    if times[0] < 0 or np.any(np.diff(times) <= 0):
        raise checks.fail(name, value, "is negative or does not increase", remedy="[0.0, 100.0]")
    return times


def _keep(value: Any, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        array.setflags(write=False)
        object.__setattr__(value, name, array)
