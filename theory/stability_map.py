"""Which learning rates are possible with how many workers: a map for plans.

For each number of workers the largest learning rate with bounded expected loss, and the largest
one whose noise floor is below the target. Between the two training converges but settles too high.
Theory only.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar

from .plan_models import model_for

if TYPE_CHECKING:
    from .planning import Plan

Floats = NDArray[np.float64]

POINTS = 16  # numbers of workers
ACCURACY = 0.01  # relative, of the learning rate at which the floor meets the target
WIDE = 1e-9  # smallest learning rate looked at, relative to the limit
NEARLY = 0.97  # of the limit: a target that is met there is taken to be met up to it


@dataclass(frozen=True, slots=True, eq=False)
class StabilityMap:
    """Learning rates against workers.

    Attributes
    ----------
    workers : array (points,)
    divergence : array (points,)
        From this learning rate on the expected loss grows without bound.
    floor : array (points,)
        From this learning rate on the noise floor is above the target loss; the divergence limit
        where that is so only within 3 % of it.
    """

    workers: Floats
    divergence: Floats
    floor: Floats


def stability_map(plan: "Plan") -> StabilityMap:
    """Return the map of a plan's system, objective and method, over the workers it considered."""
    counts = _counts(plan)
    limits, floors = [], []
    for count in counts:
        model = model_for(
            plan.objective, plan.system, plan.method, workers=int(count),
            learning_rate=plan.learning_rate,
        )  # fmt: skip
        limit = model.max_learning_rate()
        limits.append(limit)
        floors.append(_floor_limit(model, limit, plan.target_loss))
    return StabilityMap(counts.astype(float), np.array(limits), np.array(floors))


def _counts(plan: "Plan") -> NDArray[np.int64]:
    """Return numbers of workers from the fewest to some beyond the last that is any good."""
    known = [row.workers for row in plan.table]
    useful = [row.workers for row in plan.table if math.isfinite(row.time_to_target)]
    most = min(max(known), 4 * max(useful, default=max(known)))
    spread = np.geomspace(min(known), max(most, min(known)), POINTS).round().astype(int)
    return np.unique([*spread, *([] if plan.workers is None else [plan.workers])])


def _floor_limit(model: Any, limit: float, target: float) -> float:
    """Return the largest learning rate below a limit whose noise floor is below the target."""

    def excess(log_rate: float) -> float:
        floor = model.replace(learning_rate=math.exp(log_rate)).loss_floor()
        return math.log(max(floor, 1e-300) / target) if math.isfinite(floor) else 700.0

    low, high = math.log(WIDE * limit), math.log(NEARLY * limit)
    if excess(high) <= 0.0:
        return limit
    if excess(low) >= 0.0:
        return WIDE * limit
    return math.exp(root_scalar(excess, bracket=(low, high), xtol=ACCURACY).root)
