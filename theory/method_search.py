"""Searching one method: workers, learning rate and the method's own number that reach a target
soonest.

Times are smooth in the logarithms of all three, with steps where the loss overshoots, so searches
start from coarse grids and move while anything gets better. Every point that was tried is kept.
Nothing here writes words or judges conditions.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import as_law
from sdde.errors import ArgumentError

from .async_sgd import AsyncSGD
from .plan_methods import is_compensated, is_synchronous, least_workers
from .plan_search import PlanRow, compensated_of, model_of, rounds_of
from .side_by_side import times_to
from .synchronous import SynchronousSGD
from .worker_limits import divergence_index, largest_count

NEAR = 1.05  # times the best time that still counts as good
_CLIFF = 1.15  # ratio of times at neighbouring learning rates that no smooth curve shows
_BEFORE = 0.01  # how far from such a jump a learning rate stays, relative to it
_WINDOW = (0.5, 0.7, 1.0, 1.4, 2.0)  # of the learning rate that should be best
_POLISHED = 5  # numbers of workers whose learning rates are looked at closely
_BEATEN = 1.5  # times the best time known, from which a table stays coarse


@dataclass(frozen=True)
class Limits:
    """What a user allows.

    Attributes
    ----------
    most : int
        Workers.
    margin : float
        Distance from divergence: the learning rate is at most ``1 - margin`` times the largest.
    transfer_rate : float
        Gradients sent to the server per unit of time.
    price : float
        Cost of one worker for one unit of time.
    cost : float
        Cost until the target is reached.
    """

    most: int
    margin: float = 0.1
    transfer_rate: float = math.inf
    price: float = 1.0
    cost: float = math.inf


class Point(NamedTuple):
    """One choice and its time, ``inf`` where it never gets there or is not allowed."""

    time: float
    workers: int
    learning_rate: float
    method: Any
    cost: float


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be planned, with laws in place of numbers, and what was tried.

    Attributes
    ----------
    objective : Quadratic
    system : System
    target : float
    eta : float or None
        Learning rate, if it is given.
    limits : Limits
    """

    objective: Quadratic
    system: System
    target: float
    eta: float | None
    limits: Limits
    tried: dict[Any, Point] = field(default_factory=dict, repr=False)
    models: dict[Any, Any] = field(default_factory=dict, repr=False)
    edges: dict[Any, tuple[float, float]] = field(default_factory=dict, repr=False)
    safe: dict[str, int] = field(default_factory=dict, repr=False)

    def model(self, method: Any, workers: int, eta: float, arrivals: Any = None) -> Any:
        """Return the model of a choice."""
        key = (repr(method), workers, arrivals)
        known = self.models.get(key)
        if known is not None:
            return known.replace(learning_rate=eta)
        build: Any = model_of
        if is_synchronous(method):
            build = rounds_of
        elif is_compensated(method):
            build = compensated_of
        more = {"arrivals": arrivals} if build is model_of else {}
        model = build(
            self.objective, self.system, workers=workers, learning_rate=eta, method=method, **more
        )
        self.models[key] = model
        return model

    def try_one(self, method: Any, workers: int, eta: float) -> Point:
        """Return the time of a choice; ``inf`` where it is not allowed or never gets there."""
        return self.try_rates(method, workers, [eta])[eta]

    def try_rates(self, method: Any, workers: int, rates: Any) -> dict[float, Point]:
        """Return the same for several learning rates, which are solved side by side."""
        name = repr(method)
        allowed = []
        for eta in sorted({float(eta) for eta in rates}, reverse=True):
            if (name, workers, eta) in self.tried:
                continue
            if self.refusal(self.model(method, workers, eta), eta):
                cost = self.limits.price * workers * math.inf
                self.tried[name, workers, eta] = Point(math.inf, workers, eta, method, cost)
            else:
                allowed.append(eta)
        if allowed:
            model = self.model(method, workers, allowed[0])
            times = times_to(model, np.array(allowed), self.target, self.objective.start)
            for eta, time in zip(allowed, times.tolist(), strict=True):
                cost = self.limits.price * workers * time
                kept = time if cost <= self.limits.cost else math.inf
                self.tried[name, workers, eta] = Point(kept, workers, eta, method, cost)
        return {float(eta): self.tried[name, workers, float(eta)] for eta in rates}

    def refusal(self, model: Any, eta: float) -> str:
        """Return the limit that a choice breaks whatever its time, or an empty text."""
        if transfer_rate(model) > self.limits.transfer_rate * (1.0 + 1e-12):
            return "transfer rate"
        return "" if self.keeps_margin(model, eta) else "margin"

    def keeps_margin(self, model: Any, eta: float) -> bool:
        """Return whether the learning rate stays away from divergence."""
        name = repr(model.method)
        if eta == self.eta and name in self.safe:  # more workers allow smaller rates only
            return model.workers <= self.safe[name]
        key = (name, model.workers)
        sure, lost = self.edges.get(key, (0.0, math.inf))
        if sure < eta < lost:  # what is stable at one learning rate is so at smaller ones
            if _is_bounded(model, eta / (1.0 - self.limits.margin)):
                sure = eta
            else:
                lost = eta
            self.edges[key] = sure, lost
        return eta <= sure

    def guess(self, method: Any, workers: int) -> float:
        """Return a learning rate of the right size: a damping of a third."""
        eta = 0.3 / float(self.objective.eigenvalues.max())
        damping = float(self.model(method, workers, eta).damping.max())
        return eta * min(1.0, 0.35 / damping) if damping > 0.0 else eta

    def best_rate(self, method: Any, workers: int, near: float | None = None) -> Point:
        """Return the point with the best learning rate; `near` is one that should be close."""
        if self.eta is not None:
            return self.try_one(method, workers, self.eta)
        middle = self.guess(method, workers) if near is None else near
        factors = np.geomspace(1e-3, 4.0, 14) if near is None else np.array(_WINDOW)
        points = self.try_rates(method, workers, middle * factors[::-1])
        best = min(points.values(), key=lambda p: (p.time, -p.learning_rate))
        if not math.isfinite(best.time):
            return best if near is None else self.best_rate(method, workers)
        for _ in range(12):  # until the best has tried neighbours on both sides
            edges = min(points), max(points)
            if best.learning_rate not in edges:
                break
            step = 1.5 if best.learning_rate == edges[1] else 1.0 / 1.5
            eta = best.learning_rate * step
            points[eta] = self.try_one(method, workers, eta)
            best = min(points.values(), key=lambda p: p.time)
        return self._narrowed(points, best)

    def scan(self, method: Any, workers: int, near: float) -> Point:
        """Return the best of a fine grid of learning rates."""
        points = self.try_rates(method, workers, near * np.geomspace(2.0, 0.5, 17))
        return self._narrowed(points, min(points.values(), key=lambda p: p.time))

    def _narrowed(self, points: dict[float, Point], best: Point) -> Point:
        """Return the best of the points, of some on the way to their neighbours, and of a parabola.

        All are solved side by side: one call costs little more than one point.
        """
        known = sorted(points)
        at = known.index(best.learning_rate)
        sides = [known[i] for i in (at - 1, at + 1) if 0 <= i < len(known)]
        trials = _lowest(points, sides, best)
        for side in sides:
            ratio = side / best.learning_rate
            trials += [best.learning_rate * ratio**share for share in (0.2, 0.4, 0.65)]
        points |= self.try_rates(best.method, best.workers, trials)
        best = min(points.values(), key=lambda p: p.time)
        return self._at_cliff(points, best)

    def _at_cliff(self, points: dict[float, Point], best: Point) -> Point:
        """Return the best point a little before a jump of the time, if there is one."""
        known, who = sorted(points), (best.method, best.workers)
        at = known.index(best.learning_rate)
        for i in (at - 1, at + 1):
            if not 0 <= i < len(known) or points[known[i]].time < _CLIFF * best.time:
                continue
            side = known[i]
            while abs(math.log(side / best.learning_rate)) > _BEFORE:
                trial = self.try_one(*who, math.sqrt(side * best.learning_rate))
                better = trial.time < best.time
                best, side = (trial, side) if better else (best, trial.learning_rate)
            away = math.copysign(_BEFORE, best.learning_rate - side)
            before = self.try_one(*who, best.learning_rate * math.exp(away))
            best = before if before.time < _CLIFF * best.time else best
        return best


def _is_bounded(model: Any, eta: float) -> bool:
    """Return whether the expected loss stays bounded at a learning rate."""
    if isinstance(model, AsyncSGD) and model.stream.kind == "renewal":  # the largest decides
        return divergence_index(model.stream, eta * float(model.eigenvalues.max())) < 1.0
    return bool(model.replace(learning_rate=eta).is_mean_square_stable())


def _lowest(points: dict[float, Point], sides: list[float], best: Point) -> list[float]:
    """Return where a parabola through the best point and its neighbours is lowest."""
    if len(sides) < 2 or not all(math.isfinite(points[eta].time) for eta in sides):
        return []
    x = np.log(np.array(sides) / best.learning_rate)
    y = np.array([points[side].time for side in sides]) - best.time
    slope, bend = np.linalg.solve(np.stack([x, x**2], axis=1), y)
    at = float(np.clip(-0.5 * slope / bend, 0.9 * x[0], 0.9 * x[1])) if bend > 0.0 else 0.0
    return [best.learning_rate * math.exp(at)] if abs(at) > 2e-3 else []


def transfer_rate(model: Any) -> float:
    """Return the gradients sent to the server per unit of time; those thinned out are not sent."""
    if not isinstance(model, AsyncSGD):
        return model.group * model.update_rate
    rules = getattr(model.method, "composed", None)
    thinned = getattr(rules, "admission", None)
    if hasattr(thinned, "keep"):
        return model.stream.rate
    return max(model.stream.rate, model.stream.workers / model.stream.cycles[0].mean
               if len(model.stream.cycles) == 1 and model.stream.group == 1 else 0.0)  # fmt: skip


class MethodSearch:
    """One method with its number fixed: a table over numbers of workers."""

    def __init__(self, question: Question, method: Any) -> None:
        self.question, self.method = question, method
        self.least = least_workers(method)
        self.most = max(question.limits.most, self.least)
        self.rows: dict[int, PlanRow] = {}
        self.safe = self._most_safe()
        if question.eta is not None:
            question.safe[repr(method)] = self.safe

    def _nearness(self, workers: int) -> float:
        """Return a number below one iff the learning rate keeps its margin."""
        eta = self.question.eta
        assert eta is not None
        model = self.question.model(self.method, workers, eta)
        beyond = eta / (1.0 - self.question.limits.margin) * float(model.eigenvalues.max())
        if isinstance(model, AsyncSGD):
            return divergence_index(model.stream, beyond)
        return beyond / float(model.max_learning_rate() * model.eigenvalues.max())

    def _most_safe(self) -> int:
        """Return the most workers for which the learning rate keeps its margin; 0 if none."""
        if self.question.eta is None:
            return self.most
        # A damping of one is stable under every law.
        start = 1.0 / (self.question.eta * float(self.question.objective.eigenvalues.max()))
        start = min(max(round(start), self.least), self.most)
        found = largest_count(self._nearness, start, least=self.least, most=self.most)
        return int(found) if found >= self.least else 0

    def run(self, seeds: tuple[int, ...] = (), rival: float = math.inf) -> None:
        """Try a coarse grid, then fill in around the best until its neighbours are known.

        Where a rival is much faster, the coarse grid is all.
        """
        points = 20 if self.question.eta is not None else 9
        counts = np.geomspace(self.least, self.most, points).round().astype(int)
        safe, beyond = np.split(counts, [np.searchsorted(counts, self.safe, side="right")])
        counts = np.concatenate([safe, beyond[:2], beyond[-1:]])  # enough to show where it ends
        extra = [n for n in seeds if self.least <= n <= self.most]
        self._try_all(np.unique([*counts, max(self.least, self.safe), *extra]))
        coarse = self.best()
        if coarse is not None and coarse.time_to_target > _BEATEN * rival:
            return
        while True:
            best = self.best()
            if best is None:
                return
            known = sorted(self.rows)
            at = known.index(best.workers)
            low, high = known[max(at - 1, 0)], known[min(at + 1, len(known) - 1)]
            inner = 9 if self.question.eta is not None else 5
            if low < self.safe < high:
                inner = 2 + (inner - 2) * (self.safe - low) // (high - low)
                high = self.safe
            grid = np.unique(np.linspace(low, high, inner).round().astype(int))
            new = [int(n) for n in grid if n not in self.rows]
            if self.question.eta is None:  # a flat optimum: neighbours closer than 2 % say nothing
                new = [n for n in new if abs(n - best.workers) > 0.02 * best.workers]
            if not new:
                break
            self._try_all(new)
        if self.question.eta is None:
            self._polish()
        self._find_edges()

    def _polish(self) -> None:
        """Look closely at learning rates of the best numbers of workers and of their neighbours.

        Settling times jump where the loss overshoots, so that parabolas may miss the best.
        """
        done: set[int] = set()
        for _ in range(_POLISHED):
            best = self.best()
            assert best is not None
            rows = sorted(self.rows.values(), key=lambda row: row.time_to_target)
            near = [row.workers for row in rows if is_good(row)][:3]
            step = max(1, round(0.03 * best.workers))
            near += [best.workers - step, best.workers + step]
            left = [n for n in near if n not in done and self.least <= n <= self.most]
            if not left:
                return
            done.add(left[0])
            middle = self.rows[left[0]] if left[0] in self.rows else self._row(left[0])
            point = self.question.scan(self.method, left[0], middle.learning_rate)
            row = row_of(self.question, point)
            self.rows[left[0]] = min(middle, row, key=lambda r: (r.breaks, r.time_to_target))

    def _find_edges(self) -> None:
        """Try numbers between the last good one and the next, so that the range is known."""
        best = self.best()
        assert best is not None
        least = 0.0 if self.question.eta is not None else 0.1
        for side in (-1, 1):
            before = 0
            for _ in range(12):
                known = sorted(self.rows)
                good = [row.workers for row in self.near()]
                edge = good[0] if side < 0 else good[-1]
                at = known.index(edge) + side
                if not 0 <= at < len(known) or edge == self.safe < known[at]:
                    break
                gap = abs(known[at] - edge)
                if gap <= max(1, least * edge):
                    break
                slow = before > 0 and gap > 0.6 * before
                self._try_all([self._edge_between(edge, known[at], halfway=slow)])
                before = gap

    def _edge_between(self, good: int, bad: int, *, halfway: bool) -> int:
        """Return where the time should pass its limit, between a good number and one that is not.

        Interpolates logarithms of the time, or takes the middle.
        """
        best = self.best()
        assert best is not None
        times = [self.rows[n].time_to_target for n in (good, bad)]
        middle = (good + bad) // 2
        if (
            halfway
            or not math.isfinite(times[1])
            or not times[0] < times[1]
            or self.rows[bad].breaks
        ):
            return middle
        limit = max(NEAR * best.time_to_target, times[0])
        share = math.log(limit / times[0]) / math.log(times[1] / times[0])
        at = round(good + share * (bad - good))
        return min(max(at, min(good, bad) + 1), max(good, bad) - 1)

    def _try_all(self, counts: Any) -> None:
        for count in counts:
            if int(count) not in self.rows:
                self.rows[int(count)] = self._row(int(count))

    def _row(self, workers: int) -> PlanRow:
        """Return what theory says of one number of workers."""
        question = self.question
        near = None
        good = [r for r in self.rows.values() if is_good(r)]
        if question.eta is None and good:
            close = min(good, key=lambda r: abs(math.log(r.workers / workers)))
            model = question.model(self.method, workers, close.learning_rate)
            near = close.learning_rate * close.damping / float(model.damping.max())
            near = max(min(near, close.learning_rate * 4.0), close.learning_rate / 4.0)
        point = question.best_rate(self.method, workers, near)
        return row_of(question, point)

    def best(self) -> PlanRow | None:
        """Return the row with the shortest time; of equal ones the fewest workers."""
        rows = [r for r in self.rows.values() if is_good(r)]
        return min(rows, key=lambda r: (r.time_to_target, r.workers)) if rows else None

    def near(self) -> list[PlanRow]:
        """Return the rows that need at most 5 % longer than the best, fewest workers first."""
        best = self.best()
        if best is None:
            return []
        rows = [self.rows[n] for n in sorted(self.rows)]
        return [r for r in rows if is_good(r) and r.time_to_target <= NEAR * best.time_to_target]


def is_good(row: PlanRow) -> bool:
    """Return whether a row reaches the target within the limits."""
    return math.isfinite(row.time_to_target) and not row.breaks


def row_of(question: Question, point: Point) -> PlanRow:
    """Return the row of the table for a point."""
    model = question.model(point.method, point.workers, point.learning_rate)
    breaks, time = question.refusal(model, point.learning_rate), point.time
    floor = model.loss_floor()
    if math.isinf(time) and floor < question.target:
        time = float(model.time_to(question.target, question.objective.start))
    cost = question.limits.price * point.workers * time
    if not breaks and math.isfinite(cost) and cost > question.limits.cost:
        breaks = "cost"
    return PlanRow(
        point.workers, point.learning_rate, float(model.damping.max()), model.update_rate,
        mean_staleness(model), model.rate(), floor, time, cost, transfer_rate(model), breaks,
    )  # fmt: skip


def mean_staleness(model: Any) -> float:
    """Return the mean number of updates between the read of a gradient and its use."""
    if isinstance(model, SynchronousSGD):
        return 0.0
    stream = model.stream
    if stream.group > 1:
        return (stream.workers - 1.0) / stream.group
    share = (stream.workers - 1.0) / stream.workers
    return share * stream.rate * stream.delay.mean


def system_limits(system: System) -> dict[str, float]:
    """Return what the machines alone limit: the workers at which a shared link is full."""
    link = system.communication
    if not isinstance(link, SharedLink):
        return {}
    think = as_law(system.compute_time, "compute_time")
    transfer = as_law(link.law, "communication")
    return {"link_saturation": link.capacity * (1.0 + think.mean / transfer.mean)}


def is_plannable(question: Question, method: Any, workers: int) -> str:
    """Return why a method has no model on these machines, or an empty text."""
    try:
        question.model(method, workers, question.eta or 1e-3)
    except ArgumentError as error:
        return str(error)
    return ""
