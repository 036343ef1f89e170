"""Searching all methods that were asked for: fixed ones, then families of them.

Families begin at the best choice of the fixed methods of their kind; what is much slower than the
best known is not refined, and only the winner needs a fine table. Nothing here writes words.
"""

import math
from dataclasses import dataclass
from typing import Any

from sdde.errors import ArgumentError

from .family_search import search_family
from .method_search import MethodSearch
from .plan_methods import Family, is_synchronous
from .plan_question import Point, Question

_CLEARLY = 1.01  # times the time of a fixed method


@dataclass(slots=True)
class Found:
    """What the search of one method or family gave.

    Attributes
    ----------
    wanted : method or Family
    method : method
        The best of the family, or any one of it where none reaches the target.
    search : MethodSearch or None
        Its table, if it was made.
    point : Point or None
        Its best choice.
    note : str
        Why there is none.
    refused : bool
        Whether the method has no model on these machines.
    """

    wanted: Any
    method: Any
    search: MethodSearch | None = None
    point: Point | None = None
    note: str = ""
    refused: bool = False

    @property
    def time(self) -> float:
        """Time of the best choice."""
        return math.inf if self.point is None else self.point.time

    @property
    def rank(self) -> float:
        """Time by which methods compete: what is modelled approximately has to win clearly."""
        return self.time * (_CLEARLY if isinstance(self.wanted, Family) else 1.0)

    def tabulate(self, question: Question, rival: float = math.inf) -> None:
        """Make the table over numbers of workers; coarse where a rival is much faster."""
        self.search = MethodSearch(question, self.method)
        self.search.run(() if self.point is None else (self.point.workers,), rival)
        row = self.search.best()
        if row is not None:
            self.point = Point(
                row.time_to_target, row.workers, row.learning_rate, self.method, row.cost
            )


def search_all(question: Question, wanted: tuple[Any, ...]) -> list[Found]:
    """Return what each method or family that was asked for gave, in their order.

    Raises
    ------
    sdde.ArgumentError
        If the only method asked for has no model on these machines.
    """
    found = [
        Found(item, item.at(1.0, 1)[0] if isinstance(item, Family) else item) for item in wanted
    ]
    known: dict[bool, Point] = {}  # best choices of synchronous methods and of the others
    fastest = math.inf
    for item in sorted(found, key=_order):
        kind = is_synchronous(item.method)
        try:
            if isinstance(item.wanted, Family):
                item.point = search_family(question, item.wanted, known.get(kind), fastest)
                item.method = item.method if item.point is None else item.point.method
            else:
                item.tabulate(question, fastest)
        except ArgumentError as error:
            if len(wanted) == 1:
                raise
            item.refused, item.note = True, str(error)
            continue
        if item.point is None:
            item.note = "does not reach the target within the limits"
            continue
        fastest = min(fastest, item.time)
        if kind not in known or item.time < known[kind].time:
            known[kind] = item.point
    best = min(found, key=lambda item: item.rank)
    if best.point is None:
        usable = [item for item in found if not item.refused]
        if usable and not any(item.search for item in usable):
            usable[0].tabulate(question)
    elif best.search is None:
        best.tabulate(question)
    return found


def _order(item: Found) -> tuple[bool, bool]:
    """Return what puts cheap synchronous methods first, and fixed ones before families."""
    return not is_synchronous(item.method), isinstance(item.wanted, Family)
