"""What is to be planned, and the times of single choices of method, workers and learning rate.

Every point that was tried is kept. Times are smooth in the logarithm of the learning rate, with
steps where the loss overshoots. Nothing here chooses workers, writes words or judges conditions.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from .async_sgd import AsyncSGD
from .loss_curve import Dips
from .plan_methods import is_compensated, is_synchronous
from .plan_search import compensated_of, model_of, rounds_of
from .renewal_limits import largest_by_grids
from .side_by_side import RateCurves
from .worker_limits import largest_alpha
from .worker_renewals import crew_of

_CLIFF = 1.15  # ratio of times at neighbouring learning rates that no smooth curve shows
_BEFORE = 0.01  # how far from such a jump a learning rate stays, relative to it
_WINDOW = (0.5, 0.7, 1.0, 1.4, 2.0)  # of the learning rate that should be best
_APART = 1.1  # in the logarithm of the workers, between limits behind a link that are found
_SETTLED = 2e-3  # relative change of such a limit that does not matter
_KEPT = 16  # choices of method and workers whose solutions are kept


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
    floors: dict[Any, float] = field(default_factory=dict, repr=False)
    dips: dict[Any, Dips] = field(default_factory=dict, repr=False)
    models: dict[Any, Any] = field(default_factory=dict, repr=False)
    curves: dict[Any, RateCurves] = field(default_factory=dict, repr=False)
    edges: dict[Any, tuple[float, float]] = field(default_factory=dict, repr=False)
    highest: dict[str, dict[int, float]] = field(default_factory=dict, repr=False)
    alone: dict[int, float] = field(default_factory=dict, repr=False)
    quotients: dict[int, float] = field(default_factory=dict, repr=False)
    safe: dict[str, int] = field(default_factory=dict, repr=False)

    def model(self, method: Any, workers: int, eta: float, arrivals: Any = None) -> Any:
        """Return the model of a choice."""
        key = (repr(method), workers, arrivals)
        known = self.models.get(key)
        if known is not None:
            return known if known.learning_rate == eta else known.replace(learning_rate=eta)
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
        new = [eta for eta in sorted(map(float, rates), reverse=True)
               if (name, workers, eta) not in self.tried]  # fmt: skip
        allowed = []
        for eta in dict.fromkeys(new):
            if self.refusal(self.model(method, workers, new[0]), eta):
                cost = self.limits.price * workers * math.inf
                self.tried[name, workers, eta] = Point(math.inf, workers, eta, method, cost)
            else:
                allowed.append(eta)
        if allowed:
            curves = self._curves_of(method, workers, allowed[0])
            found = curves.reached(np.array(allowed), self.target)
            for eta, (time, floor, dips) in zip(allowed, found, strict=True):
                cost = self.limits.price * workers * time
                kept = time if cost <= self.limits.cost else math.inf
                self.tried[name, workers, eta] = Point(kept, workers, eta, method, cost)
                self.floors[name, workers, eta] = floor
                self.dips[name, workers, eta] = dips
        return {float(eta): self.tried[name, workers, float(eta)] for eta in rates}

    def solve_alone(self, method: Any, workers: int, eta: float) -> Point:
        """Return the point of a choice that is allowed, from its own solution."""
        model = self.model(method, workers, eta)
        time = float(model.time_to(self.target, self.objective.start))
        name, cost = repr(method), self.limits.price * workers * time
        kept = time if cost <= self.limits.cost else math.inf
        self.tried[name, workers, eta] = Point(kept, workers, eta, method, cost)
        self.floors[name, workers, eta] = model.loss_floor()
        return self.tried[name, workers, eta]

    def _curves_of(self, method: Any, workers: int, eta: float) -> RateCurves:
        key = (repr(method), workers)
        if key not in self.curves:
            while len(self.curves) >= _KEPT:
                del self.curves[next(iter(self.curves))]
            model = self.model(method, workers, eta)
            highest = self._highest(model) if self.eta is None and _is_renewal(model) else None
            self.curves[key] = RateCurves(model, self.objective.start, highest=highest)
        return self.curves[key]

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
        if _is_renewal(model):
            return eta <= self._highest(model)
        key = (name, model.workers)
        sure, lost = self.edges.get(key, (0.0, math.inf))
        if sure < eta < lost:  # what is stable at one learning rate is so at smaller ones
            beyond = eta / (1.0 - self.limits.margin)
            if model.replace(learning_rate=beyond).is_mean_square_stable():
                sure = eta
            else:
                lost = eta
            self.edges[key] = sure, lost
        return eta <= sure

    def _highest(self, model: AsyncSGD) -> float:
        """Return the largest learning rate that keeps its margin, for workers as renewals.

        Behind a link a limit takes long. There it is that of workers that share nothing and have
        the same cycles, times a quotient that changes slowly with the workers and is found for some
        numbers of them; `settle` finds it for one more.
        """
        known = self.highest.setdefault(repr(model.method), {})
        if model.workers not in known:
            if model.stream.queue is None:
                known[model.workers] = largest_alpha(model.stream, self._near(known, model.workers))
            else:
                known[model.workers] = self._alone(model) * self._quotient(model)
        return (1.0 - self.limits.margin) * known[model.workers] / float(model.eigenvalues.max())

    def settle(self, method: Any, workers: int, eta: float) -> bool:
        """Make sure that the limit of a number of workers is its own; return whether it changed."""
        model = self.model(method, workers, eta)
        if not _is_renewal(model) or model.stream.queue is None or workers in self.quotients:
            return False
        name = repr(method)
        limit = largest_alpha(model.stream)
        self.quotients[workers] = limit / self._alone(model)
        change = limit / self.highest[name][workers]
        if abs(change - 1.0) < _SETTLED:
            return False
        self.highest[name][workers] = limit
        self.curves.pop((name, workers), None)
        for key in [key for key in self.tried if key[:2] == (name, workers)]:
            del self.tried[key]
        return True

    def _alone(self, model: AsyncSGD) -> float:
        """Return the limit of workers that share nothing and have the cycles of these."""
        if model.workers not in self.alone:
            near = self._near(self.alone, model.workers)
            self.alone[model.workers] = largest_by_grids(crew_of(model.stream), near)
        return self.alone[model.workers]

    def _quotient(self, model: AsyncSGD) -> float:
        counts = np.array(sorted(self.quotients), dtype=float)
        at = math.log(model.workers)
        if not counts.size or np.abs(np.log(counts) - at).min() > _APART:
            self.quotients[model.workers] = largest_alpha(model.stream) / self._alone(model)
            return self.quotients[model.workers]
        return float(np.interp(at, np.log(counts), [self.quotients[int(n)] for n in counts]))

    @staticmethod
    def _near(known: dict[int, float], workers: int) -> float:
        """Return a guess: the damping at the limit hardly depends on the workers."""
        if not known:
            return math.nan
        counts = sorted(known)
        dampings = [math.log(known[n] * n) for n in counts]
        return math.exp(np.interp(math.log(workers), np.log(counts), dampings)) / workers

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


def _is_renewal(model: Any) -> bool:
    """Return whether workers are renewal processes, whose limits are found once and kept."""
    return isinstance(model, AsyncSGD) and model.stream.kind == "renewal"


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
