"""What a solve keeps: all grid times, every n-th, the last, or times that the user lists.

Each saved time is a grid index and a share of the step beyond it: times between grid points are
read by linear interpolation, so saving never moves a step. Nothing here knows how states are
computed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import ArgumentError

Floats = NDArray[np.float64]
_WHOLE = 1e-9  # a ratio this close (relatively) to a whole number is that number, written in floats


def steps_between(start: float, end: float, dt: float) -> tuple[int, float]:
    """Return how many whole steps of `dt` lie between two times, and the share of one step beyond.

    Examples
    --------
    >>> steps_between(0.0, 0.3, 0.1), steps_between(0.0, 1.0, 0.4)
    ((3, 0.0), (2, 0.5))
    """
    ratio = (end - start) / dt
    nearest = round(ratio)
    if abs(ratio - nearest) <= _WHOLE * max(1.0, abs(ratio)):
        return nearest, 0.0
    whole = math.floor(ratio)
    return whole, ratio - whole


@dataclass(frozen=True, eq=False, slots=True)
class SavePlan:
    """Times to keep, with the grid index at or before each and the share of a step beyond it."""

    t: Floats
    steps: NDArray[np.int64]
    shares: Floats


def plan_saves(save: Any, t0: float, t1: float, dt: float) -> SavePlan:
    """Turn the argument `save` of `solve` into times on [t0, t1]."""
    if isinstance(save, str):
        checks.choice("save", save, ("all", "final"))
        return _grid(t0, t1, dt, 1) if save == "all" else _listed(np.array([t1]), t0, t1, dt)
    if isinstance(save, int | np.integer) and not isinstance(save, bool):
        return _grid(t0, t1, dt, checks.integer("save", save, lowest=1))
    try:
        times = checks.vector("save", save)
    except ArgumentError:
        raise checks.fail(
            "save", save, "is not a way to save",
            remedy='Known: "all", "final", a whole number n (every n steps), or an array of times.',
        ) from None  # fmt: skip
    if np.any(np.diff(times) <= 0):
        raise checks.fail("save", save, "does not increase", why="These are the times to keep.")
    if times[0] < t0 or times[-1] > t1:
        raise checks.fail(
            "save", save, f"leaves t_span = ({t0:g}, {t1:g})",
            remedy=f"Give times from {t0:g} to {t1:g}.",
        )  # fmt: skip
    return _listed(times, t0, t1, dt)


def _grid(t0: float, t1: float, dt: float, every: int) -> SavePlan:
    """Every n-th grid time from t0, and t1."""
    last, beyond = steps_between(t0, t1, dt)
    steps = np.arange(0, last + 1, every)
    t, shares = t0 + steps.astype(np.float64) * dt, np.zeros(len(steps))
    if beyond or steps[-1] != last:
        t, steps = np.append(t, t1), np.append(steps, last)
        shares = np.append(shares, beyond)
    else:
        t[-1] = t1
    return SavePlan(t, steps.astype(np.int64), shares)


def _listed(times: Floats, t0: float, t1: float, dt: float) -> SavePlan:
    places = [steps_between(t0, float(t), dt) for t in times]
    steps = np.array([place[0] for place in places], dtype=np.int64)
    return SavePlan(times, steps, np.array([place[1] for place in places]))
