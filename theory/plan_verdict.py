"""What a plan says in a sentence each: whether to go asynchronous, whether more workers help.

Compares times that are already known; nothing here computes one.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .method_search import NEAR
from .plan_methods import is_synchronous
from .plan_question import Point

if TYPE_CHECKING:
    from .planning import Plan


def verdict_of(plan: "Plan", points: Sequence[Point]) -> tuple[str, ...]:
    """Return the plain answers to what users ask.

    Parameters
    ----------
    plan : Plan
    points : sequence of Point
        The best one of each method that was considered, and single workers.
    """
    if plan.workers is None:
        return ("No choice that was considered reaches the target.",)
    best = plan.time_to_target
    if plan.workers == 1:
        more = _more(plan)
        alone = "One worker is the fastest: do not go asynchronous, others only add staleness."
        return (alone, more) if more else (alone,)
    return tuple(
        sentence
        for sentence in (_asynchronous(plan, points, best), _alone(plan, points, best), _more(plan))
        if sentence
    )


def _asynchronous(plan: "Plan", points: Sequence[Point], best: float) -> str:
    waiting = [p for p in points if is_synchronous(p.method) and math.isfinite(p.time)]
    rushing = [p for p in points if not is_synchronous(p.method) and math.isfinite(p.time)]
    if is_synchronous(plan.method):
        if not rushing:
            if any(not is_synchronous(p.method) for p in points):
                return "Do not go asynchronous: no asynchronous choice reaches the target."
            return ""
        other = min(rushing, key=lambda p: p.time)
        ratio = other.time / best
        if ratio <= NEAR:
            return (
                f"Do not go asynchronous: {plan.method!r} is as fast as the best asynchronous "
                f"choice, {other.method!r} (within {100.0 * (NEAR - 1.0):.0f} %)."
            )
        return (
            f"Do not go asynchronous: {plan.method!r} is {ratio:.3g} times as fast as the best "
            f"asynchronous choice, {other.method!r} with {other.workers} workers."
        )
    if not waiting:
        if any(is_synchronous(p.method) for p in points):
            return "Go asynchronous: no synchronous choice reaches the target."
        return ""
    other = min(waiting, key=lambda p: p.time)
    ratio = other.time / best
    if ratio <= NEAR:
        return (
            f"Do not go asynchronous: {other.method!r} with {other.workers} workers, without any "
            f"staleness, needs only {100.0 * (ratio - 1.0):.2g} % longer."
        )
    return (
        f"Go asynchronous: {ratio:.3g} times as fast as the best synchronous choice, "
        f"{other.method!r} with {other.workers} workers."
    )


def _alone(plan: "Plan", points: Sequence[Point], best: float) -> str:
    single = [p for p in points if p.workers == 1 and p.time <= NEAR * best]
    if not single:
        return ""
    ratio = min(p.time for p in single) / best
    return f"One worker is as good: it needs only {100.0 * (ratio - 1.0):.2g} % longer."


def _more(plan: "Plan") -> str:
    assert plan.workers is not None
    rows = {row.workers: row for row in plan.table}
    saturation = plan.limits.get("link_saturation", math.inf)
    if plan.workers == plan.limits["safe_workers"] < max(rows):
        return "More are faster still, but come closer to divergence than the margin allows."
    more = [count for count in sorted(rows) if count >= 1.5 * plan.workers]
    if not more:
        if plan.workers == max(rows) and len(rows) > 1:
            return "More workers than were considered might help still."
        return ""
    row = rows[more[0]]
    if row.breaks and row.time_to_target < plan.time_to_target:
        return {
            "margin": "More are faster, but come closer to divergence than the margin allows.",
            "transfer rate": "More workers would send more than the transfer rate allows.",
            "cost": "More workers would be faster, but cost more than is allowed.",
        }[row.breaks]
    if math.isinf(row.time_to_target):
        what = "diverges" if math.isinf(row.floor) else "settles above the target"
        return f"More workers will not help: with {row.workers} training {what}."
    if plan.time_to_target == 0.0:
        return "More workers will not help: the target is met from the start."
    ratio = row.time_to_target / plan.time_to_target
    full = " (the link is full)" if row.workers > saturation else ""
    return f"More workers will not help: {row.workers} need {ratio:.3g} times as long{full}."
