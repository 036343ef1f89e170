"""Where something ends: divergence, the noise floor, a full link, and what a user's limits allow.

Reads the searches of a plan; nothing here chooses.
"""

from typing import Any

from .async_sgd import AsyncSGD
from .method_search import MethodSearch, system_limits
from .plan_search import PlanRow
from .worker_limits import max_workers


def limits_of(search: MethodSearch, shown: PlanRow) -> dict[str, float]:
    """Return the numbers where something ends, at the row that is recommended.

    Parameters
    ----------
    search : MethodSearch
        Of the recommended method.
    shown : PlanRow
        The recommended row, or the first where none is good.
    """
    question = search.question
    model = question.model(search.method, shown.workers, shown.learning_rate)
    floors = [row.floor for row in search.rows.values()]
    found = {
        "safe_workers": search.safe,
        "lowest_floor": min(floors),
        "max_learning_rate": float(model.max_learning_rate()),
    }
    listed = isinstance(question.system.compute_time, list) or isinstance(
        question.system.communication, list
    )
    if isinstance(model, AsyncSGD) and not listed:
        beyond = round(search.safe / (1.0 - question.limits.margin))
        found["max_workers"] = max_workers(model, beyond if 0 < search.safe < search.most else None)
    if question.objective.noise.any() and not min(floors) < question.target:
        found["learning_rate_for_target"] = rate_for_target(search)
    if question.limits.transfer_rate < float("inf"):
        rates = {n: row.transfer_rate for n, row in search.rows.items()}
        allowed = [n for n, rate in rates.items() if rate <= question.limits.transfer_rate]
        found["transfer_limited_workers"] = max(allowed, default=0)
    return found | system_limits(question.system)


def rate_for_target(search: MethodSearch) -> float:
    """Return the learning rate at which the fewest workers' noise floor is half the target."""
    question, least = search.question, search.least

    def model(eta: float) -> Any:
        return question.model(search.method, least, eta)

    low, high = 0.0, float(model(1.0).max_learning_rate())
    for _ in range(60):  # the floor rises with the learning rate
        middle = 0.5 * (low + high)
        reached = model(middle).loss_floor() < 0.5 * question.target
        low, high = (middle, high) if reached else (low, middle)
    return low
