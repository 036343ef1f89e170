"""What a user gives to a plan: an objective, machines or a log of them, and limits.

Nothing here computes.
"""

import math
from typing import Any

from sdde import checks
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from .plan_question import Limits

MOST_WORKERS = 1000  # tried when nobody says how many there are


def as_system(system: Any) -> tuple[System, int | None]:
    """Return the machines of a system or of the log of a run, and the workers that it logged."""
    if isinstance(system, System):
        return system, None
    if callable(getattr(system, "system", None)):
        machines = system.system()
        if isinstance(machines, System):
            return machines, machines.workers
    raise checks.fail(
        "system", system, "is not a system",
        remedy="For example system = sdde.cluster.System(1.0), or a Trace.",
    )  # fmt: skip


def as_quadratic(objective: Any) -> Quadratic:
    """Return the quadratic of an objective."""
    found = objective if isinstance(objective, Quadratic) else None
    if found is None and callable(getattr(objective, "quadratic", None)):
        found = objective.quadratic()
        found = found[0] if isinstance(found, tuple) else found
    if not isinstance(found, Quadratic):
        raise checks.fail(
            "objective", objective, "is not an objective with a quadratic",
            remedy="For example objective = sdde.cluster.Quadratic([1.0, 0.1], noise=0.1).",
        )  # fmt: skip
    return found


def limits_from(
    system: System, max_workers: Any, margin: Any, transfer_rate: Any, price: Any, cost: Any
) -> Limits:
    """Return a user's limits, checked; those not given do not bind."""
    away = checks.nonnegative("margin", margin, example=0.1)
    if away >= 1.0:
        raise checks.fail("margin", margin, "leaves no learning rate", remedy="margin = 0.1.")
    most = system.workers or MOST_WORKERS
    if max_workers is not None:
        wanted = checks.integer("max_workers", max_workers, lowest=1)
        listed = isinstance(system.compute_time, list | tuple)
        most = min(wanted, most) if listed else wanted
    return Limits(
        most, away,
        math.inf if transfer_rate is None
        else checks.positive("max_transfer_rate", transfer_rate, example=100.0),
        checks.positive("cost_per_worker_time", price, example=1.0),
        math.inf if cost is None else checks.positive("max_cost", cost, example=100.0),
    )  # fmt: skip
