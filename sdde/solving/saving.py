"""What a solve keeps: all grid times, every n-th, the last, or times that the user lists.

Each saved time is a grid index and a share of the step beyond it: times between grid points are
read by linear interpolation, so saving never moves a step. Nothing here knows how states are
computed.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine.seeds import MAX_STEPS
from sdde.errors import ArgumentError
from sdde.solving.memory import require_memory

Floats = NDArray[np.float64]
_MANY = 10_000_000  # times, of which one looks whether there is room for them
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


@dataclass(eq=False)
class SavedTimes:
    """Times to keep, and where they lie on the grid.

    Attributes
    ----------
    t0, t1, dt : float
        The grid.
    spans : array of int, shape (spans, 3)
        Grid indices ``step, step + every, ...``, `count` of them, as rows (step, every, count).
    shares : array, shape (spans,)
        The share of a step by which the times of a span lie beyond their grid indices.
    listed : array or None
        The times as the user listed them.
    rule : str, int or None
        ``"all"``, ``"final"`` or every how many steps; None if the user listed times.
    """

    t0: float
    t1: float
    dt: float
    spans: NDArray[np.int64]
    shares: Floats
    listed: Floats | None = None
    rule: str | int | None = None

    @classmethod
    def of(cls, t: Floats, t0: float, t1: float, dt: float, rule: str | int | None) -> "SavedTimes":
        """Return times that are known, their places on the grid left out."""
        return cls(t0, t1, dt, np.empty((0, 3), dtype=np.int64), np.empty(0), t, rule)

    def __len__(self) -> int:
        return int(self.spans[:, 2].sum()) if self.listed is None else len(self.listed)

    @cached_property
    def t(self) -> Floats:
        """The times; made when first asked for, since a long run may keep millions."""
        if self.listed is not None:
            return self.listed
        steps = [np.arange(start, start + every * n, every) for start, every, n in self.spans]
        times = np.concatenate(steps) * self.dt
        times += self.t0
        times[-1] = self.t1
        return times

    def place_after(self, n: int) -> tuple[int, int, int]:
        """Return the first place (span, index in it, column) that needs steps beyond index `n`."""
        column = 0
        for span, (step, every, count) in enumerate(self.spans.tolist()):
            known = max(0, min(count, (n - step - int(self.shares[span] > 0.0)) // every + 1))
            column += known
            if known < count:
                return span, known, column
        return len(self.spans), 0, column


def plan_saves(save: Any, t0: float, t1: float, dt: float) -> SavedTimes:
    """Turn the argument `save` of `solve` into times on [t0, t1]."""
    saves = _planned(save, t0, t1, dt)
    if len(saves) > _MANY:
        require_memory(
            {"the times": 8 * len(saves)}, f"save = {checks.shown(save)} with {len(saves)} times",
            {"the times": 'Save fewer, for example save="final" or save = a number of steps.'},
        )  # fmt: skip
    return saves


def _planned(save: Any, t0: float, t1: float, dt: float) -> SavedTimes:
    if not (t1 - t0) / dt < MAX_STEPS:
        raise checks.fail(
            "dt", dt, f"is too small for t_span = ({t0:g}, {t1:g})",
            why=f"A run has at most {MAX_STEPS:.2g} steps.",
            remedy=f"For example dt = {(t1 - t0) / 1000.0:.2g}.",
        )  # fmt: skip
    if isinstance(save, str):
        checks.choice("save", save, ("all", "final"))
        if save == "all":
            return _grid(t0, t1, dt, 1, save)
        return replace(_listed(np.array([t1]), t0, t1, dt), rule=save)
    if isinstance(save, int | np.integer) and not isinstance(save, bool):
        every = checks.integer("save", save, lowest=1)
        return _grid(t0, t1, dt, every, every)
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


def continue_saves(saves: SavedTimes, t1: float, save: Any) -> SavedTimes:
    """Return what a longer run keeps: by the same rule, or the listed times and some later ones."""
    t0, before, dt = saves.t0, saves.t1, saves.dt
    if saves.rule is not None:
        if save is not None:
            raise checks.fail(
                "save", save, f"adds to the rule save = {saves.rule!r}",
                why="A longer run keeps what one run to its end would have kept.",
                remedy="Leave save out; only listed times can be continued by others.",
            )  # fmt: skip
        return plan_saves(saves.rule, t0, t1, dt)
    later = np.array([t1]) if save is None else checks.vector("save", save)
    if later[0] <= before:
        raise checks.fail(
            "save", save, f"begins before the end at t = {before:g}",
            remedy=f"Give times after {before:g}, up to {t1:g}.",
        )  # fmt: skip
    return plan_saves(np.concatenate([saves.t, later]), t0, t1, dt)


def _grid(t0: float, t1: float, dt: float, every: int, rule: str | int) -> SavedTimes:
    """Every n-th grid time from t0, and t1."""
    last, beyond = steps_between(t0, t1, dt)
    spans, shares = [(0, every, last // every + 1)], [0.0]
    if beyond > 0.0 or last % every > 0:
        spans.append((last, 1, 1))
        shares.append(beyond)
    return SavedTimes(t0, t1, dt, np.array(spans, dtype=np.int64), np.array(shares), rule=rule)


def _listed(times: Floats, t0: float, t1: float, dt: float) -> SavedTimes:
    places = [steps_between(t0, float(t), dt) for t in times]
    spans = np.array([(step, 1, 1) for step, _ in places], dtype=np.int64)
    return SavedTimes(t0, t1, dt, spans, np.array([share for _, share in places]), times)


def room_for(paths: int, times: int, dim: int) -> Floats:
    """Return an array for the states at the saved times, or refuse what memory cannot hold."""
    try:
        return np.empty((paths, times, dim))
    except (MemoryError, ValueError):
        raise ArgumentError(
            f"paths = {paths} with {times} saved times of {dim} components needs"
            f" {8e-9 * paths * times * dim:.3g} GB, more than there is.\n"
            '  Save fewer times, for example save="final" or save=100 (every 100 steps).'
        ) from None
