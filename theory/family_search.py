"""Searching a family of methods: workers, learning rate and the family's number, together.

Nothing here knows how times are found or writes words.
"""

import math
from typing import Any

from .plan_methods import Family
from .plan_question import Point, Question

_HOPELESS = 3.0  # times the best time known, from which a family is given up early


def search_family(
    question: Question, family: Family, known: Point | None, rival: float = math.inf
) -> Point | None:
    """Return the best point of a family.

    Workers, the family's number and the learning rate are moved by factors, one at a time, as long
    as the time gets shorter; the factors shrink until they do not matter. `known` is a good point
    of another method, from which to begin; `rival` the best time of any method.
    """
    most = question.limits.most
    counts = {most, max(1, most // 4)} if known is None else {known.workers, most}
    best: Point | None = None
    value = math.nan
    for count in sorted(counts):
        for start in family.starts:
            size = count if family.whole else 1.0
            if family.scale is not None:
                size = family.scale(question.objective)
            method, number = family.at(start * size, count)
            near = None if known is None else _scaled_rate(question, method, count, known)
            point = question.try_one(method, count, near) if near and question.eta is None else None
            if point is None or not math.isfinite(point.time):
                point = question.best_rate(method, count)
            if best is None or point.time < best.time:
                best, value = point, number
    if best is None or not math.isfinite(best.time):
        return None
    steps = [2.0, 2.0 if family.whole else 1.6, 1.5 if question.eta is None else 1.0]
    while max(steps) > 1.04:
        if max(steps) < 1.5 and best.time > _HOPELESS * rival:
            return best
        better = False
        for which, step in enumerate(steps):
            for factor in (step, 1.0 / step) if step > 1.0 else ():
                point, number = _moved(question, family, best, value, which, factor)
                if point.time < best.time:
                    best, value, better = point, number, True
                    break
        if not better:
            steps = [math.sqrt(step) for step in steps]
    return best


def _scaled_rate(question: Question, method: Any, workers: int, known: Point) -> float:
    """Return the learning rate with the damping of a known point."""
    there = question.model(known.method, known.workers, known.learning_rate)
    here = question.model(method, workers, known.learning_rate)
    ratio = float(there.damping.max()) / float(here.damping.max())
    return known.learning_rate * min(max(ratio, 0.1), 10.0)


def _moved(
    question: Question, family: Family, best: Point, value: float, which: int, factor: float
) -> tuple[Point, float]:
    """Return the point with one of its three numbers moved by a factor."""
    workers, eta = best.workers, best.learning_rate
    if which == 0:
        step = factor * workers
        workers = int(max(step, workers + 1) if factor > 1.0 else min(step, workers - 1))
        workers = min(max(workers, 1), question.limits.most)
    if which == 1:
        step = value * factor
        if family.whole:
            step = max(step, value + 1) if factor > 1.0 else min(step, value - 1)
        value = step
    if which == 2:
        eta = best.learning_rate * factor
    method, value = family.at(value, workers)
    if which != 2 and question.eta is None and workers != best.workers:
        eta = _scaled_rate(question, method, workers, best)
    return question.try_one(method, workers, eta), value
