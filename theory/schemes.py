"""Time-stepping schemes of a `DelaySystem` as exactly solved recursions, and the largest safe step.

The functions are methods of `DelaySystem`; the recursions themselves are in `recursion`.
"""

from typing import TYPE_CHECKING

import numpy as np

from sdde import checks

from . import recursion
from .numerics import Floats
from .recursion import Recursion

if TYPE_CHECKING:
    from .delay_system import DelaySystem


def euler_maruyama(self: "DelaySystem", dt: float) -> Recursion:
    """Return the recursion that Euler-Maruyama makes of the system, to be asked for exact answers.

    Parameters
    ----------
    dt : float
        Time step, in the unit of the delays. Delays off the grid are read by linear
        interpolation.

    Returns
    -------
    Recursion
        With ``covariance(lag)``, ``mean_square_index()``, ``is_stable()`` and
        ``is_mean_square_stable()``. The step is in the bias, so a simulation at the same step
        must agree up to statistics.

    Raises
    ------
    sdde.ArgumentError
        If `dt` is not positive or a delay is random.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> round(DelaySystem(0.0, -1.0, 1.0, noise=1.0).euler_maruyama(1 / 16).covariance(), 6)
    1.809702
    """
    return recursion.euler_maruyama(self.coefficients, checks.positive("dt", dt), _rest(self))


def heun(self: "DelaySystem", dt: float) -> Recursion:
    """Return the recursion of the scheme with trapezoidal drift, for additive noise.

    Parameters
    ----------
    dt : float
        Time step, at most the shortest delay.

    Returns
    -------
    Recursion
        As `euler_maruyama` returns it.

    Raises
    ------
    sdde.ArgumentError
        If noise depends on the state, a delay is random, or `dt` exceeds a delay.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> round(DelaySystem(0.0, -1.0, 1.0, noise=1.0).heun(1 / 16).covariance(), 6)
    1.703086
    """
    return recursion.heun(self.coefficients, checks.positive("dt", dt), _rest(self))


def largest_dt(self: "DelaySystem") -> float:
    """Return the time step below which Euler-Maruyama is mean-square stable.

    Steps are searched from coarse to fine on the divisors of the shortest delay (without delay:
    halvings of one over the size of the coefficients), and the answer is the largest step from
    which all finer ones down to an eighth of it are stable.

    Returns
    -------
    float
        In units of time; 0 if the system itself is not mean-square stable.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> DelaySystem(-4.0, -2.0, 1.0, multiplicative=(-1.3, -1.2)).largest_dt()
    0.2
    """
    if not self.is_mean_square_stable():
        return 0.0
    delays = [law.mean for law in self.coefficients.laws]
    unit = min(delays) if delays else 4.0 / self.spectrum.radius(0.0)
    first = None
    divisor = 1
    while first is None or divisor <= 8 * first:
        if not self.euler_maruyama(unit / divisor).is_mean_square_stable():
            first = None
        elif first is None:
            first = divisor
        divisor += max(1, divisor // 16) if first is None else 1 + divisor // 8
    return unit / first


def _rest(system: "DelaySystem") -> Floats:
    """Return the stationary mean as a column; zeros where there is none."""
    if not system.is_stable():
        return np.zeros((system.dim, 1))
    return np.reshape(system.stationary_mean(), (system.dim, 1))
