"""The expected loss of plain asynchronous SGD by simulation, without the randomness of the noise.

It is the sum of two parts. One is the way down from the start without gradient noise. The other is
what the noise of all gradients adds up to: gradients arrive at a steady rate, each gives an
independent kick, and the mean square after a kick, integrated over the time since, is what the
kicks so far leave behind. Only arrival times are random in either, so a few hundred runs do what
millions with drawn noise would. Derived in this project.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.cluster import Quadratic
from sdde.cluster.linear_runs import LinearRuns

Floats = NDArray[np.float64]


def expected_losses(
    objective: Quadratic, runs: LinearRuns, learning_rate: float, times: Floats, count: int,
    executor: Any = None,
) -> tuple[Floats, int]:  # fmt: skip
    """Return the mean excess loss of groups of runs (groups, times), and the gradients it took.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
    runs : LinearRuns
        The machines.
    learning_rate : float
    times : array
    count : int
        Runs, of each part.
    executor : object, optional
        Where they are simulated.
    """
    values, noise = objective.eigenvalues, objective.noise
    alpha = learning_rate * values
    down = runs.squares(alpha, times, count, kicked=False, executor=executor)
    with np.errstate(all="ignore"):  # of what diverges
        losses = down.values @ (0.5 * values * objective.start**2)
    heard = noise > 0.0
    taken = down.gradients
    if runs.queues:  # and while it settled
        parts, cycles = 1 + heard.any(), float(runs.warm.mean()) / runs.cycle
        taken += round(parts * count * runs.workers * cycles)
    if not heard.any():
        return losses, taken
    flow = runs.workers / runs.cycle
    if runs.queues:
        flow = down.gradients / (count * times[-1])
    kicks = runs.squares(alpha[heard], times, count, kicked=True, executor=executor)
    weights = 0.5 * values[heard] * (learning_rate * noise[heard]) ** 2
    with np.errstate(all="ignore"):
        losses = losses + flow * (kicks.values @ weights)
    return losses, taken + kicks.gradients
