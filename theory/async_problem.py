"""The cluster as an `sdde.Problem`: gradients arrive at Poisson times, each computed some time ago.

Few coordinates get their gradient noise at the arrivals, as marks; many get it as a Wiener process
of the same strength, which changes neither mean nor mean square and needs no draw per coordinate
and arrival. The functions below are what the solver compiles; they are plain and do not depend on
the number of coordinates. Nothing here knows what theory predicts.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .async_sgd import AsyncSGD

_MARKED = 8  # coordinates whose noise comes with the arrivals


def problem_of(model: "AsyncSGD", start: NDArray[np.float64]) -> Any:
    """Return the problem of a model from a start at distance `start` from the minimum."""
    from scipy import stats

    from sdde.equation.jumps import Jump
    from sdde.equation.problem import Problem

    step = model.learning_rate * model.eigenvalues
    if not model.gradient_noise.any():
        arrival = Jump(model.update_rate, _exact_gradient, delays=(model.stream.delay,))
        return Problem(_no_drift, history=start, jumps=(arrival,), args=(step,))
    if step.size > _MARKED:
        arrival = Jump(model.update_rate, _exact_gradient, delays=(model.stream.delay,))
        spread = model.learning_rate * model.gradient_noise * math.sqrt(model.update_rate)
        return Problem(_no_drift, spread, history=start, jumps=(arrival,), args=(step,))
    normal = stats.norm()
    arrival = Jump(
        model.update_rate, _noisy_gradient,
        delays=(model.stream.delay,), mark=(normal,) * step.size,
    )  # fmt: skip
    kick = model.learning_rate * model.gradient_noise
    return Problem(_still, history=start, jumps=(arrival,), args=(step, kick))


def _no_drift(t: float, x: Any, delayed: Any, step: Any) -> Any:
    return 0.0 * x


def _exact_gradient(t: float, x: Any, delayed: Any, mark: float, step: Any) -> Any:
    return -step * delayed[0]


def _still(t: float, x: Any, delayed: Any, step: Any, kick: Any) -> Any:
    return 0.0 * x


def _noisy_gradient(t: float, x: Any, delayed: Any, mark: Any, step: Any, kick: Any) -> Any:
    return -step * delayed[0] - kick * mark
