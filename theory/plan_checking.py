"""Refining a plan by simulation: the best choices of theory and their neighbours, event by event.

Theory narrows thousands of choices down to a neighbourhood in milliseconds; where arrivals are
neither regular nor Poisson it may be a few per cent off. Here that neighbourhood is searched again
with simulated times: a compass search in workers and learning rate, in steps that shrink while the
numbers of runs grow, every choice on the same random numbers. How a time is simulated is in
`simulated_times`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from .plan_methods import least_workers
from .simulated_times import SimulatedTime, Trial, reach

if TYPE_CHECKING:
    from .method_choice import Found
    from .method_search import Question
    from .planning import Plan

NEAR_METHODS = 1.2  # times the best time of theory: methods that are simulated too
_STEPS = (1.4, 1.18, 1.09, 1.04)  # ratios of neighbouring choices
_PRECISION = (0.02, 0.01, 0.006, 0.004)  # relative standard errors wanted of them
_LAST = 0.003  # and of the answer
_PILOT = 0  # doublings of the number of runs at first
_EXCESS = 1e3  # of a standard error, beyond which it says only that it is not known
_SEARCHED = 0.7  # of the budget; the rest judges
_FRESH = 1  # part of the random numbers that the search has not seen


class Start(NamedTuple):
    """Where theory says that a method is best, and what it may be given.

    Attributes
    ----------
    method : object
    workers : int
    learning_rate : float
    time_to_target : float
        By theory.
    least, most : int
        Numbers of workers that may be chosen.
    largest_rate : callable
        Largest learning rate allowed at a number of workers; None if the rate is given.
    """

    method: Any
    workers: int
    learning_rate: float
    time_to_target: float
    least: int
    most: int
    largest_rate: Callable[[int], float] | None


@dataclass(frozen=True, eq=False)
class Checked:
    """What simulation made of a plan.

    Attributes
    ----------
    method, workers, learning_rate
        The best choice of those simulated.
    time_to_target, standard_error : float
        Its simulated time, from runs that the search had not seen.
    theory : SimulatedTime
        The choice of theory alone, simulated with the same random numbers.
    predicted : float
        The time that theory alone gives for its own choice.
    start : str
        How the simulated clusters began: ``"stationary"`` or ``"together"``.
    table : tuple of SimulatedTime
        All choices that were simulated in the search, each with its best error.
    """

    method: Any
    workers: int
    learning_rate: float
    time_to_target: float
    standard_error: float
    theory: SimulatedTime
    predicted: float
    start: str
    table: tuple[SimulatedTime, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, text and lists, for JSON; ``None`` for infinity."""
        names = ("workers", "learning_rate", "time_to_target", "standard_error")
        return {
            "method": repr(self.method), **{name: _plain(getattr(self, name)) for name in names},
            "theory": _record(self.theory), "predicted": _plain(self.predicted),
            "start": self.start, "table": [_record(row) for row in self.table],
        }  # fmt: skip


def _record(row: SimulatedTime) -> dict[str, Any]:
    return {
        name: repr(value) if name == "method" else _plain(value)
        for name, value in row._asdict().items()
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def refined(
    answer: "Plan", question: "Question", found: "Sequence[Found]", *, rng: Any, budget: float,
    executor: Any = None,
) -> "Plan":  # fmt: skip
    """Return a plan whose choice is the best simulated one near those of theory."""
    if answer.time_to_target == 0.0:  # the start is good enough already
        return answer
    starts = []
    for item in found:
        point = item.point
        if point is not None:
            free = question.eta is None
            most = question.limits.most if item.search is None else item.search.safe
            starts.append(
                Start(
                    point.method, point.workers, point.learning_rate, point.time,
                    least_workers(point.method), most,
                    _limit_of(question, point.method) if free else None,
                )
            )  # fmt: skip
    checked = check_starts(
        answer.objective, answer.system, answer.target_loss, starts, rng=rng, budget=budget,
        executor=executor,
    )  # fmt: skip
    return replace(
        answer, workers=checked.workers, learning_rate=checked.learning_rate,
        method=checked.method, time_to_target=checked.time_to_target, checked=checked,
    )  # fmt: skip


def _limit_of(question: "Question", method: Any) -> Callable[[int], float]:
    @cache
    def largest_rate(workers: int) -> float:
        model = question.model(method, workers, 1.0 / float(question.objective.eigenvalues.max()))
        return (1.0 - question.limits.margin) * float(model.max_learning_rate())

    return largest_rate


def check_starts(
    objective: Quadratic, system: System, target: float, starts: Sequence[Start],
    *, rng: Any, budget: float, executor: Any = None,
) -> Checked:  # fmt: skip
    """Return the best choice around those of theory, by simulation.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
    system : sdde.cluster.System
    target : float
        Expected excess loss.
    starts : sequence of Start
        The best choice of each method, by theory; those within 20 % of the best are simulated.
    rng : None, int, SeedSequence or Generator
        Seed.
    budget : float
        About how many seconds of one processor the simulations may take. Prices are fixed, so the
        result depends on the seed and on this number alone.
    executor : Executor or dask Client, optional
        Where the simulations run.

    Returns
    -------
    Checked
    """
    from sdde.engine import streams

    seed = streams.seed_of(rng)
    fastest = min(start.time_to_target for start in starts)
    near = [start for start in starts if start.time_to_target <= NEAR_METHODS * fastest]
    searches = [
        _Search(
            start, Trial(objective, system, start.method, target, seed, executor),
            budget / len(near),
        )
        for start in near
    ]  # fmt: skip
    times = [search.descend() for search in searches]
    theory = searches[int(np.argmin([start.time_to_target for start in near]))]
    best = searches[int(np.argmin(times))]
    alone = theory.judged(theory.at_start)
    found = alone if best.at is theory.at_start else best.judged(best.at)
    if not _surely_below(found, alone):
        found, best = alone, theory
    table = [row for search in searches for row in search.found.values()]
    return Checked(
        found.method, found.workers, found.learning_rate, found.time_to_target,
        found.standard_error, alone, theory.start.time_to_target, best.trial.start,
        tuple(sorted(table, key=lambda row: (repr(row.method), row.workers, row.learning_rate))),
    )  # fmt: skip


def _surely_below(one: SimulatedTime, other: SimulatedTime) -> bool:
    """Return whether a time is shorter by two standard errors: chance overrules no theory.

    The error of a difference is taken from the time that would win; beside a jump of the time the
    error of the other says nothing.
    """
    if not math.isfinite(one.time_to_target):
        return False
    return one.time_to_target + 2.0 * math.sqrt(2.0) * one.standard_error < other.time_to_target


class _Search:
    """The search around the best choice of one method."""

    def __init__(self, start: Start, trial: Trial, budget: float) -> None:
        self.start, self.trial, self.budget = start, trial, budget
        self.spent, self.level = 0.0, _PILOT
        self.found: dict[tuple[int, float], SimulatedTime] = {}
        self.gradients = 0.0  # of 32 runs
        self.at_start = (start.workers, start.learning_rate)
        self.at = self.at_start

    def descend(self) -> float:
        """Move to better neighbours until there are none at the smallest step; return the time."""
        horizon = reach(self.start.time_to_target)
        here = self.look(self.at, horizon)
        for _ in range(3):
            if math.isfinite(here.time_to_target):
                break
            horizon *= 2.0
            here = self.look(self.at, horizon)
        for ratio, precision in zip(_STEPS, _PRECISION, strict=True):
            self.level = self.affordable(precision, looks=10)
            while self.step(ratio):
                if self.spent > _SEARCHED * self.budget:
                    return self.found[self.at].time_to_target
        return self.found[self.at].time_to_target

    def step(self, ratio: float) -> bool:
        """Look at all neighbours at a ratio; move to the best of them if it is better."""
        here = self.found[self.at]
        horizon = reach(min(here.time_to_target, 8.0 * self.start.time_to_target))
        if here.runs < self.runs:
            here = self.look(self.at, horizon)
        best = min(
            (self.look(at, horizon) for at in self.neighbours(ratio)),
            key=lambda row: row.time_to_target, default=here,
        )  # fmt: skip
        if not best.time_to_target < here.time_to_target:
            return False
        self.at = best.workers, best.learning_rate
        return True

    def neighbours(self, ratio: float) -> list[tuple[int, float]]:
        """Return the neighbours of the present choice that are allowed."""
        workers, rate = self.at
        counts = {_moved(workers, ratio), workers, _moved(workers, 1.0 / ratio)}
        counts = {min(max(count, self.start.least), self.start.most) for count in counts}
        if self.start.largest_rate is None:
            return [(count, rate) for count in sorted(counts) if count != workers]
        pairs = []
        for count in sorted(counts):
            limit = self.start.largest_rate(count)
            rates = {min(rate * ratio**power, limit) for power in (-1, 0, 1)}
            pairs += [(count, one) for one in sorted(rates) if (count, one) != self.at]
        return pairs

    @property
    def runs(self) -> int:
        return 32 << self.level

    def look(self, at: tuple[int, float], horizon: float) -> SimulatedTime:
        """Return the simulated time of a choice at the present number of runs."""
        known = self.found.get(at)
        if known is None or known.runs < self.runs or math.isinf(known.time_to_target):
            known, gradients = self.trial.time_at(*at, level=self.level, horizon=horizon)
            self.spent += gradients * self.trial.price
            self.gradients = gradients / (1 << self.level)
            self.found[at] = known
        return known

    def affordable(self, precision: float, looks: int) -> int:
        """Return the number of doublings that a precision needs and the budget allows."""
        here = self.found[self.at]
        wanted = self.level
        if here.standard_error > precision * here.time_to_target:
            excess = here.standard_error / (precision * here.time_to_target)
            wanted += math.ceil(2.0 * math.log2(min(excess, _EXCESS)))
        room = (_SEARCHED * self.budget - self.spent) / looks
        one = self.gradients * self.trial.price
        most = math.floor(math.log2(max(room / max(one, 1e-300), 1.0)))
        return max(min(wanted, most), self.level)

    def judged(self, at: tuple[int, float]) -> SimulatedTime:
        """Return the time of a choice from runs that the search has not seen."""
        here = self.found[at]
        self.level = self.affordable(_LAST, looks=2)
        horizon = reach(min(here.time_to_target, 4.0 * self.start.time_to_target))
        return self.trial.time_at(*at, level=self.level, horizon=horizon, part=_FRESH)[0]


def _moved(workers: int, ratio: float) -> int:
    """Return a number times a ratio, but at least one away."""
    moved = round(workers * ratio)
    if moved == workers:
        moved += 1 if ratio > 1.0 else -1
    return moved
