r"""When asynchronous SGD first comes near the minimum: mean hitting time of its slowest coordinate.

The slowest coordinate is written as a delay equation with Wiener noise of the strength of the
gradient noise, and `hitting` replaces its slowest mode by an Ornstein-Uhlenbeck process. Derived in
this project and approximate; oscillating or diverging training is refused.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.cluster.quadratic import per_axis

from .arrivals import exact_kind, half_step
from .delay_system import DelaySystem
from .hitting import mean_hitting_time

if TYPE_CHECKING:
    from .async_sgd import AsyncSGD

OVERSHOOT = 0.5825971579  # -zeta(1/2) / sqrt(2 pi): mean overshoot of small normal steps, in steps


def slowest_coordinate(model: "AsyncSGD") -> tuple[int, DelaySystem]:
    """Return the number of the slowest decaying coordinate, and its delay equation."""
    which = int(np.argmin(model.rates))
    stream, delay = model.stream, model.stream.delay
    in_step = stream.kind == "exact" and exact_kind(stream) == "in step"
    if stream.kind == "regular" or in_step:
        delay = half_step(delay, 1.0 / stream.pace)
    # A group of K gradients makes one update of variance 1/K: rate / group updates of it.
    gain = model.learning_rate / stream.group
    system = DelaySystem(
        0.0, -gain * float(model.eigenvalues[which]) * stream.rate, delay,
        noise=gain * float(model.gradient_noise[which]) * math.sqrt(stream.rate),
    )  # fmt: skip
    return which, system


def mean_hitting_time_of_slowest(self: "AsyncSGD", level: float, start: ArrayLike = 1.0) -> float:
    r"""Return the mean time until the slowest coordinate first comes within `level` of the minimum.

    Along the eigenvalue λ of slowest decay, with :math:`a = \eta\lambda\Lambda` and
    :math:`\sigma = \eta\sigma_g\sqrt\Lambda`, the coordinate obeys :math:`dx = -a\,x(t-S)\,dt +
    \sigma\,dW`; its slowest mode is taken for an Ornstein-Uhlenbeck process of decay rate r, as in
    `mean_hitting_time`.

    Parameters
    ----------
    level : float
        Distance from the minimum, > 0 and below the start of that coordinate.
    start : float or array
        Distance from the minimum along each eigenvector at time zero and before.

    Returns
    -------
    float
        Time in the unit of the laws. Without gradient noise the noise-free hitting time of the
        delay equation.

    Raises
    ------
    sdde.ArgumentError
        If `level` is not between zero and the start, or, with noise, the slowest coordinate
        oscillates or diverges, or its delay has a tail heavier than exponential.

    Notes
    -----
    The replacement by one mode is derived in this project and approximate: against simulations of
    10 and 100 workers in step, with :math:`\eta\lambda n` up to 0.3 and the level at a tenth of the
    start, it was at most 3 % off. The randomness of the arrivals themselves is left out. This is a
    *first* hit; noise may carry the coordinate out again. For memoryless workers with exact
    arrivals the delay equation of Poisson arrivals is used.

    References
    ----------
    .. [1] D. Siegmund, "Corrected diffusion approximations in certain random walk problems",
           Advances in Applied Probability 11 (1979), 701-719.

    Examples
    --------
    >>> from sdde import theory
    >>> model = theory.AsyncSGD(
    ...     1.0, learning_rate=0.02, workers=10, compute_time=1.0, gradient_noise=1.5
    ... )
    >>> round(model.mean_hitting_time(0.1), 3)
    8.029
    """
    level = checks.positive("level", level, example=0.1)
    which, system = slowest_coordinate(self)
    point = abs(float(per_axis("start", start, self.eigenvalues.size)[which]))
    if level >= point:
        raise checks.fail(
            "level", level, f"is not below start = {point:g} of the slowest coordinate",
            remedy=f"For example level = {0.1 * point or 0.1:g}.",
        )  # fmt: skip
    if not self.gradient_noise[which]:
        return system.hitting_time(level, point)
    roots = system.roots(1)
    if not system.is_stable() or not len(roots) or roots[0].imag != 0.0:
        raise checks.fail(
            "learning_rate", self.learning_rate, "leaves the slowest coordinate no real slow mode",
            why="It oscillates or diverges, or the delay has a tail heavier than exponential.",
            remedy="Use a smaller learning rate or fewer workers, or simulate problem(start) with"
            " until=sdde.Hit(...).",
        )  # fmt: skip
    kick = self.learning_rate * float(self.gradient_noise[which]) / math.sqrt(self.stream.group)
    return mean_hitting_time(system, level - OVERSHOOT * kick, point)
