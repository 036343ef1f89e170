"""Beside a plan's own answer: models of other choices, and the numbers of workers near it."""

from typing import TYPE_CHECKING, Any

from .async_sgd import AsyncSGD
from .plan_methods import is_synchronous
from .plan_search import model_of, rounds_of
from .synchronous import SynchronousSGD

if TYPE_CHECKING:
    from .planning import Plan

FEWER, MORE = 0.5, 1.5  # of the workers, about: the neighbours


def model_for(
    objective: Any, system: Any, method: Any, *, workers: int, learning_rate: float,
    arrivals: Any = None,
) -> AsyncSGD | SynchronousSGD:  # fmt: skip
    """Return the model of a choice, as a plan treats it."""
    chosen = {"workers": workers, "learning_rate": learning_rate, "method": method}
    if is_synchronous(method):
        return rounds_of(objective, system, **chosen)
    return model_of(objective, system, arrivals=arrivals, **chosen)


def neighbours(subject: "Plan", workers: int) -> list[int]:
    """Return a smaller and a larger number of workers that a plan considered, where it did."""
    known = [row.workers for row in subject.table]
    below = [count for count in known if count < workers]
    above = [count for count in known if count > workers]
    found = [min(below, key=lambda count: abs(count - FEWER * workers))] if below else []
    return found + ([min(above, key=lambda count: abs(count - MORE * workers))] if above else [])
