"""Time against cost: the choices that nothing else beats in both.

Reads what a search has tried; nothing here computes a time.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from .plan_question import Point

_MOST = 24  # choices shown


class ParetoRow(NamedTuple):
    """A choice that is the cheapest of all that are as fast, and the fastest of all as cheap.

    Attributes
    ----------
    time_to_target : float
    cost : float
        Workers times time times the cost of a worker per unit of time.
    workers : int
    learning_rate : float
    method : method value
    """

    time_to_target: float
    cost: float
    workers: int
    learning_rate: float
    method: Any


def pareto_front(points: Iterable[Point]) -> tuple[ParetoRow, ...]:
    """Return the choices that no other beats in time and cost, fastest first.

    Of choices whose costs differ by less than half a per cent the fastest is kept, and of long
    fronts a spread of two dozen.
    """
    rows: list[ParetoRow] = []
    lowest = math.inf
    for point in sorted(points, key=lambda p: (p.time, p.cost)):
        if math.isfinite(point.time) and point.cost < 0.995 * lowest:
            lowest = point.cost
            rows.append(
                ParetoRow(point.time, point.cost, point.workers, point.learning_rate, point.method)
            )
    if len(rows) > _MOST:
        keep = {round(i * (len(rows) - 1) / (_MOST - 1)) for i in range(_MOST)}
        rows = [row for i, row in enumerate(rows) if i in keep]
    return tuple(rows)
