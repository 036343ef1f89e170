"""Refining a plan by simulation: the best choices of theory and their neighbours, event by event.

Theory narrows thousands of choices down to a neighbourhood in milliseconds; where arrivals are
neither regular nor Poisson it may be a few per cent off. Here that neighbourhood is searched again
with simulated times: a compass search in workers and learning rate, in steps that shrink while the
numbers of runs grow, every choice on the same random numbers. How a time is simulated is in
`simulated_times`, how near to divergence a choice may be in `simulated_bounds`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sdde.cluster.linear_runs import serves
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from .accounts import Estimate
from .method_search import transfer_rate
from .noisy_roots import EVALUATIONS
from .plan_methods import least_workers
from .simulated_bounds import Grown, Told
from .simulated_limits import Growth
from .simulated_times import SimulatedTime, Trial, reach, with_laws

if TYPE_CHECKING:
    from .method_choice import Found
    from .plan_question import Question
    from .planning import Plan

NEAR_METHODS = 1.2  # times the best time of theory: methods that are simulated too
MANY = 300  # workers up to which divergence is looked for in their number
_STEPS = (2.0, 1.4, 1.18, 1.09, 1.04, 1.02)  # ratios of neighbouring choices
_PRECISION = (0.03, 0.015, 0.008, 0.005, 0.003, 0.002)  # relative standard errors wanted of them
_LAST = 0.002  # and of the answer
_PILOT = 2  # doublings of the number of runs at first
_LOOK = 0.003  # nominal seconds that any look takes
_EXCESS = 1e3  # of a standard error, beyond which it says only that it is not known
_SEARCHED, _LIMITS = 0.4, 0.4  # of the budget; what is left judges
_FRESH = 1  # part of the random numbers that the search has not seen
_LOWER = 0.75  # ratio by which a choice that does not settle is lowered


class Start(NamedTuple):
    """Where theory says that a method is best, and what it may be given.

    Attributes
    ----------
    method : object
    workers : int
    learning_rate : float
    time_to_target : float
        By theory.
    bounds : Told or Grown
        What choices may be.
    """

    method: Any
    workers: int
    learning_rate: float
    time_to_target: float
    bounds: Told | Grown


class CheckedLimit(NamedTuple):
    """A divergence limit by theory and by simulation.

    Attributes
    ----------
    theory : float
    simulated : float
        Where the mean square of cloned clusters neither grows nor falls. A number of workers is a
        broken one here: the last whole one below it does not diverge.
    standard_error : float
    """

    theory: float
    simulated: float
    standard_error: float


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
    limits : dict of str to CheckedLimit
        Where training diverges, of plain asynchronous SGD on steady machines:
        ``max_learning_rate`` with the chosen workers, and ``max_workers`` where the learning rate
        was given and theory puts that at 300 or less.
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
    limits: dict[str, CheckedLimit]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, text and lists, for JSON; ``None`` for infinity."""
        names = ("workers", "learning_rate", "time_to_target", "standard_error")
        return {
            "method": repr(self.method), **{name: _plain(getattr(self, name)) for name in names},
            "theory": _record(self.theory), "predicted": _plain(self.predicted),
            "start": self.start, "table": [_record(row) for row in self.table],
            "limits": {name: _record(limit) for name, limit in self.limits.items()},
        }  # fmt: skip


def _record(row: SimulatedTime | CheckedLimit) -> dict[str, Any]:
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
    from sdde.engine import streams

    seed = streams.seed_of(rng)
    starts = []
    for item in found:
        point = item.point
        if point is not None:
            bounds = _bounds(question, item, seed, budget)
            starts.append(
                Start(point.method, point.workers, point.learning_rate, point.time, bounds)
            )
    price, most = question.limits.price, question.limits.cost
    checked = check_starts(
        answer.objective, answer.system, answer.target_loss, starts, rng=seed, budget=budget,
        affordable=most / price if price > 0.0 else math.inf, executor=executor,
    )  # fmt: skip
    limits = _limits(question, answer, checked, seed, budget)
    return replace(
        answer, workers=checked.workers, learning_rate=checked.learning_rate,
        method=checked.method, time_to_target=checked.time_to_target,
        cost=price * checked.workers * checked.time_to_target,
        checked=replace(checked, limits=limits),
    )  # fmt: skip


def _growth(question: "Question", seed: int, part: int, budget: float, limits: int) -> Growth:
    """Return growth rates that cost as much as a number of limits may."""
    growth = Growth(
        with_laws(question.system), float(question.objective.eigenvalues.max()),
        np.random.SeedSequence(seed, spawn_key=(part,)),
    )  # fmt: skip
    seconds = _LIMITS * budget / limits
    return replace(growth, gradients=round(seconds / (EVALUATIONS * growth.price)))


def _bounds(question: "Question", item: "Found", seed: int, budget: float) -> Told | Grown:
    """Return what choices of a method may be."""
    method, margin, least = item.method, question.limits.margin, least_workers(item.method)
    safe = question.limits.most if item.search is None else item.search.safe
    most = _most_sending(question, method, least)
    free = question.eta is None
    told = Told(least, min(safe, most), _limit_of(question, method) if free else None)
    if not serves(method, question.system):
        return told
    return Grown(most, told, margin, _growth(question, seed, 2, budget, 3))


def _most_sending(question: "Question", method: Any, least: int) -> int:
    """Return the most workers that send no more gradients than the user allows."""
    limits, low, high = question.limits, least, question.limits.most
    if math.isinf(limits.transfer_rate):
        return high
    eta = question.guess(method, least)
    while low < high:  # the rate grows with the workers
        middle = (low + high + 1) // 2
        sent = transfer_rate(question.model(method, middle, eta))
        kept = sent <= limits.transfer_rate * (1.0 + 1e-12)
        low, high = (middle, high) if kept else (low, middle - 1)
    return low


def _limit_of(question: "Question", method: Any) -> Any:
    @cache
    def largest_rate(workers: int) -> float:
        model = question.model(method, workers, 1.0 / float(question.objective.eigenvalues.max()))
        return (1.0 - question.limits.margin) * float(model.max_learning_rate())

    return largest_rate


def _limits(
    question: "Question", answer: "Plan", checked: Checked, seed: int, budget: float
) -> dict[str, CheckedLimit]:
    """Return where the chosen method diverges, by theory and by simulation."""
    if not serves(checked.method, question.system):
        return {}
    told = answer.limits.get("max_workers", math.inf)
    in_workers = question.eta is not None and 1 <= told <= MANY
    growth = _growth(question, seed, 3, budget, 1 + in_workers)
    rate, workers = checked.learning_rate, checked.workers
    by_theory = float(question.model(checked.method, workers, rate).max_learning_rate())
    found: dict[str, tuple[float, Estimate]] = {
        "max_learning_rate": (by_theory, growth.largest_rate(workers, by_theory))
    }
    if in_workers:
        found["max_workers"] = told, growth.most_workers(rate, int(told), 2 * MANY)
    return {
        name: CheckedLimit(value, made.value, made.error) for name, (value, made) in found.items()
    }


def check_starts(
    objective: Quadratic, system: System, target: float, starts: Sequence[Start],
    *, rng: Any, budget: float, affordable: float = math.inf, executor: Any = None,
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
    affordable : float
        Most time to the target times workers.
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
            budget / len(near), affordable,
        )
        for start in near
    ]  # fmt: skip
    times = [search.descend() for search in searches]
    theory = searches[int(np.argmin([start.time_to_target for start in near]))]
    best = searches[int(np.argmin(times))]
    same = best is theory and best.at == theory.at_start
    alone = theory.judged(theory.at_start, looks=1 if same else 2)
    found = alone if same else best.judged(best.at, looks=2)
    if theory.is_admitted(theory.at_start) and not _surely_below(found, alone):
        found, best = alone, theory
    table = [row for search in searches for row in search.found.values()]
    return Checked(
        found.method, found.workers, found.learning_rate, found.time_to_target,
        found.standard_error, alone, theory.start.time_to_target, best.trial.start,
        tuple(sorted(table, key=lambda row: (repr(row.method), row.workers, row.learning_rate))),
        {},
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

    def __init__(
        self, start: Start, trial: Trial, budget: float, affordable: float = math.inf
    ) -> None:
        self.start, self.trial, self.budget, self.most = start, trial, budget, affordable
        self.looked, self.level = 0.0, _PILOT
        self.found: dict[tuple[int, float], SimulatedTime] = {}
        self.prices: dict[tuple[int, float], float] = {}  # of 32 runs
        self.at_start = (start.workers, start.learning_rate)
        self.at = self.at_start

    @property
    def spent(self) -> float:
        """Nominal processor time so far."""
        return self.looked + self.start.bounds.seconds

    def is_admitted(self, at: tuple[int, float]) -> bool:
        """Return whether a choice keeps its bounds."""
        return self.start.bounds.admitted(*at) == at[1]

    def descend(self) -> float:
        """Move to better neighbours until there are none at the smallest step; return the time."""
        if not self.begin():
            return math.inf
        for ratio, precision in zip(_STEPS, _PRECISION, strict=True):
            self.level = self.affordable(precision, looks=10)
            while self.step(ratio):
                if self.spent > _SEARCHED * self.budget:
                    return self.value(self.at)
        return self.value(self.at)

    def begin(self) -> bool:
        """Go to the start, or as far below it as bounds and divergence ask; False if nowhere."""
        workers, rate = self.at_start
        while True:
            admitted = self.start.bounds.admitted(workers, rate)
            if admitted is not None:
                self.at = workers, admitted
                horizon = reach(self.start.time_to_target)
                for _ in range(3):
                    if math.isfinite(self.look(self.at, horizon).time_to_target):
                        return True
                    horizon *= 2.0
                rate = admitted * _LOWER if self.start.bounds.is_free else rate
                if rate < self.at_start[1] / 10.0:
                    return False
            if admitted is None or not self.start.bounds.is_free:
                if workers <= self.start.bounds.least:
                    return False
                workers = max(min(round(_LOWER * workers), workers - 1), self.start.bounds.least)

    def step(self, ratio: float) -> bool:
        """Look at all neighbours at a ratio; move to the best of them if it is better."""
        here = self.found[self.at]
        horizon = reach(min(here.time_to_target, 8.0 * self.start.time_to_target))
        if here.runs < self.runs:
            self.look(self.at, horizon)
        around = self.neighbours(ratio)
        for at in around:
            self.look(at, horizon)
        best = min(around, key=self.value, default=self.at)
        if not self.value(best) < self.value(self.at):
            return False
        self.at = best
        return True

    def neighbours(self, ratio: float) -> list[tuple[int, float]]:
        """Return the neighbours of the present choice that are admitted."""
        workers, rate = self.at
        bounds = self.start.bounds
        counts = {_moved(workers, ratio), workers, _moved(workers, 1.0 / ratio)}
        counts = {min(max(count, bounds.least), bounds.most) for count in counts}
        powers = (-1, 0, 1) if bounds.is_free else (0,)
        pairs = set()
        for count in counts:
            for power in powers:
                admitted = bounds.admitted(count, rate * ratio**power)
                if admitted is not None:
                    pairs.add((count, admitted))
        return sorted(pairs - {self.at})

    @property
    def runs(self) -> int:
        return 32 << self.level

    def value(self, at: tuple[int, float]) -> float:
        """Return the time of a choice that was looked at; ``inf`` if it costs too much."""
        time = self.found[at].time_to_target
        return time if time * at[0] <= self.most else math.inf

    def look(self, at: tuple[int, float], horizon: float) -> SimulatedTime:
        """Return the simulated time of a choice at the present number of runs."""
        known = self.found.get(at)
        if known is None or known.runs < self.runs or math.isinf(known.time_to_target):
            known, gradients = self.trial.time_at(*at, level=self.level, horizon=horizon)
            price = gradients * self.trial.price
            self.looked += price + _LOOK
            self.prices[at] = price / (1 << self.level)
            self.found[at] = known
        return known

    def affordable(self, precision: float, looks: int) -> int:
        """Return the number of doublings that a precision needs and the search can pay."""
        room = (_SEARCHED * self.budget - self.spent) / looks
        return max(self._doublings(self.at, precision, room), self.level)

    def _doublings(self, at: tuple[int, float], precision: float, room: float) -> int:
        here = self.found[at]
        wanted = round(math.log2(here.runs / 32))
        if here.standard_error > precision * here.time_to_target:
            excess = here.standard_error / (precision * here.time_to_target)
            wanted += math.ceil(2.0 * math.log2(min(excess, _EXCESS)))
        most = math.floor(math.log2(max(room / max(self.prices[at], 1e-300), 1.0)))
        return min(wanted, most)

    def judged(self, at: tuple[int, float], looks: int) -> SimulatedTime:
        """Return the time of a choice from runs that the search has not seen.

        They take what the search has left, divided by the number of such looks.
        """
        self.level = _PILOT  # what was looked at closely is known closely
        horizon = reach(self.start.time_to_target)
        known = self.look(at, horizon)
        for _ in range(2):
            if math.isinf(known.time_to_target):
                horizon *= 2.0
                known = self.look(at, horizon)
        if math.isinf(known.time_to_target):
            return known
        room = ((1.0 - _LIMITS) * self.budget - self.spent) / looks
        level = max(self._doublings(at, _LAST, room), _PILOT)
        horizon = reach(known.time_to_target)
        return self.trial.time_at(*at, level=level, horizon=horizon, part=_FRESH)[0]


def _moved(workers: int, ratio: float) -> int:
    """Return a number times a ratio, but at least one away."""
    moved = round(workers * ratio)
    if moved == workers:
        moved += 1 if ratio > 1.0 else -1
    return moved
