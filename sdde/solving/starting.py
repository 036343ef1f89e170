"""What the start of a run means for the accuracy of a method.

The state at the start may differ from the history just before it. A method of order 1 or less does
not mind: it takes the drift at the beginning of each step, and the states that it reads there are
those of the right side. A method of higher order also takes the drift at the end of a step, where a
delayed state from the start is that of the wrong side: an error of the size of ``dt`` once for each
delay. Nothing here steps or compiles.
"""

import warnings

import numpy as np

from sdde import checks
from sdde.engine.methods import Method
from sdde.engine.noise_classes import noise_class
from sdde.equation.delays import Delay, DistributedDelay, longest_of
from sdde.equation.problem import Problem
from sdde.errors import SolutionWarning


def warn_of_lost_order(problem: Problem, method: Method, t0: float, dt: float) -> None:
    """Warn where the history jumps at the start and the method loses order by it."""
    jump = problem.past.jump_at(t0, dt)
    if jump is None or not any(_reads_back(delay) for delay in problem.delays):
        return
    orders = method.orders.get(noise_class(problem, problem.past.state_shape(t0)))
    if orders is None or max(orders) <= 1.0:
        return
    size = float(np.max(np.abs(jump)))
    warnings.warn(
        f"history = {checks.shown(problem.history)} jumps by {size:.3g} at the start t = {t0:g}, so"
        f" {method.name} is of order 1 here, not {max(orders):g}.\n"
        "  A step that ends one delay after the start reads the wrong side of the jump.\n"
        "  Use a smaller dt, or a history that ends at the state of the start.",
        SolutionWarning,
        stacklevel=3,
    )


def _reads_back(delay: Delay) -> bool:
    return isinstance(delay, DistributedDelay) or longest_of(delay) > 0.0
