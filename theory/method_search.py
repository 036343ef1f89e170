"""Searching one method: workers and learning rates that reach a target soonest.

Times are smooth in the logarithms of both, with steps where the loss overshoots, so a search starts
from a coarse grid and moves while anything gets better. Nothing here writes words or judges
conditions.
"""

import math
from typing import Any

import numpy as np

from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import as_law

from .async_sgd import AsyncSGD
from .loss_curve import Dips
from .plan_methods import least_workers
from .plan_question import Point, Question, transfer_rate
from .plan_search import PlanRow
from .synchronous import SynchronousSGD
from .valleys import Valleys
from .whole_roots import largest_count
from .worker_limits import divergence_index

NEAR = 1.05  # times the best time that still counts as good
_ALL = 16  # numbers of workers of which every one is tried, at a given learning rate
_POLISHED = 5  # numbers of workers whose learning rates are looked at closely
_BEATEN = 1.5  # times the best time known, from which a table stays coarse


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
        start = max(round(min(start, self.most)), self.least)
        model = self.question.model(self.method, start, self.question.eta)
        found = largest_count(
            self._nearness, start, least=self.least, most=self.most, smooth=is_linked(model)
        )
        return int(found) if found >= self.least else 0

    def run(self, seeds: tuple[int, ...] = (), rival: float = math.inf) -> None:
        """Try a coarse grid, then fill in around the best until its neighbours are known.

        Where a rival is much faster, the coarse grid is all.
        """
        points = 14 if self.question.eta is not None else 9
        counts = np.geomspace(self.least, self.most, points).round().astype(int)
        if self.question.eta is not None and self.most - self.least < _ALL:
            counts = np.arange(self.least, self.most + 1)
        safe, beyond = np.split(counts, [np.searchsorted(counts, self.safe, side="right")])
        counts = np.concatenate([safe, beyond[:2], beyond[-1:]])  # enough to show where it ends
        extra = [n for n in seeds if self.least <= n <= self.most]
        self._try_all(np.unique([*counts, max(self.least, self.safe), *extra]))
        coarse = self.best()
        if coarse is None or coarse.time_to_target > _BEATEN * rival:
            return
        if self.question.eta is None:
            self._fill_in()
            self._polish()
            self._confirm()
        else:
            Valleys(self.rows, self.safe, self._time, self._dips).search()
        self._find_edges()

    def _time(self, workers: int) -> float:
        """Return the time at the given learning rate; ``inf`` where it breaks a limit."""
        self._try_all([workers])
        row = self.rows[workers]
        return row.time_to_target if is_good(row) else math.inf

    def _dips(self, workers: int) -> Dips:
        """Return the dips of the loss before it settles, at the given learning rate."""
        return self.question.dips.get((repr(self.method), workers, self.question.eta), Dips())

    def _fill_in(self) -> None:
        """Try numbers around the best until its neighbours are close."""
        while (best := self.best()) is not None:
            known = sorted(self.rows)
            at = known.index(best.workers)
            low, high = known[max(at - 1, 0)], known[min(at + 1, len(known) - 1)]
            new = np.unique(np.linspace(low, high, 5).round().astype(int))
            # A flat optimum: neighbours closer than 2 % say nothing.
            new = [n for n in new if abs(n - best.workers) > 0.02 * best.workers]
            if all(int(n) in self.rows for n in new):
                return
            self._try_all(new)

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

    def _confirm(self) -> None:
        """Solve the best learning rate alone, within the limit of its own workers, so that neither
        a grid around it nor limits of other numbers are in its time.
        """
        done: set[int] = set()
        while (best := self.best()) is not None and best.workers not in done:
            done.add(best.workers)
            if self.question.settle(self.method, best.workers, best.learning_rate):
                best = self.rows[best.workers] = self._row(best.workers)
                if not is_good(best):
                    continue
            point = self.question.solve_alone(self.method, best.workers, best.learning_rate)
            self.rows[best.workers] = row_of(self.question, point)

    def _find_edges(self) -> None:
        """Try numbers between the last good one and the next, so that the range is known."""
        best = self.best()
        assert best is not None
        least = 0.02 if self.question.eta is not None else 0.1
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
        fewer = [row for row in self.rows.values() if row.workers <= workers]
        if question.eta is not None and any(math.isinf(row.floor) for row in fewer):
            # What diverges with fewer workers does with more, at the same rate.
            question.floors[repr(self.method), workers, question.eta] = math.inf
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
    floor = question.floors.get((repr(point.method), point.workers, point.learning_rate))
    floor = model.loss_floor() if floor is None else floor
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


def is_linked(model: Any) -> bool:
    """Return whether divergence limits take long, since workers share a link."""
    return isinstance(model, AsyncSGD) and model.stream.queue is not None


def system_limits(system: System) -> dict[str, float]:
    """Return what the machines alone limit: the workers at which a shared link is full."""
    link = system.communication
    if not isinstance(link, SharedLink):
        return {}
    think = as_law(system.compute_time, "compute_time")
    transfer = as_law(link.law, "communication")
    return {"link_saturation": link.capacity * (1.0 + think.mean / transfer.mean)}
