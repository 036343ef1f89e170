"""Ready non-convex functions: a curved valley, a saddle, and two that point home from everywhere.

Each is an `Objective` whose functions numba compiles. Nothing here knows about workers or time.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.cluster.objective import Objective


def rosenbrock(dim: int = 2, *, noise: float = 0.0) -> Objective:
    r"""Return the Rosenbrock function scaled by 1/100: a curved valley with its minimum at ones.

    .. math:: f(x) = \sum_i (x_{i+1} - x_i^2)^2 + \tfrac1{100} (1 - x_i)^2

    Parameters
    ----------
    dim : int
        Number of parameters, at least 2.
    noise : float
        Standard deviation of the noise on each gradient component.

    Returns
    -------
    Objective
        Starting at 0 in every coordinate.

    Raises
    ------
    sdde.ArgumentError
        If `dim` is below 2 or `noise` negative.

    Examples
    --------
    >>> rosenbrock(3).loss([1.0, 1.0, 1.0])
    0.0
    """
    checks.integer("dim", dim, lowest=2, highest=2**32)
    return Objective.from_callables(
        _rosenbrock_gradient, _rosenbrock_loss, dim, start=0.0, noise=noise
    )


def _rosenbrock_gradient(x):
    out = np.zeros(len(x))
    for i in range(len(x) - 1):
        gap = x[i + 1] - x[i] * x[i]
        out[i] += -4.0 * x[i] * gap - 0.02 * (1.0 - x[i])
        out[i + 1] += 2.0 * gap
    return out


def _rosenbrock_loss(x):
    total = 0.0
    for i in range(len(x) - 1):
        gap = x[i + 1] - x[i] * x[i]
        total += gap * gap + 0.01 * (1.0 - x[i]) * (1.0 - x[i])
    return total


def strict_saddle(dim: int = 2, *, noise: float = 0.0) -> Objective:
    r"""Return a double well that starts exactly at its saddle.

    .. math:: f(x) = \tfrac14 (x_1^2 - 1)^2 + \tfrac12 \sum_{i>1} x_i^2

    The saddle at 0 has curvature -1 along the first axis; the minima are at :math:`x_1 = \pm 1`.

    Parameters
    ----------
    dim : int
        Number of parameters, at least 1.
    noise : float
        Standard deviation of the noise on each gradient component; without noise nothing moves.

    Returns
    -------
    Objective

    Raises
    ------
    sdde.ArgumentError
        If `dim` is below 1 or `noise` negative.

    Examples
    --------
    >>> strict_saddle(2).loss([0.0, 0.0]), strict_saddle(2).loss([-1.0, 0.0])
    (0.25, 0.0)
    """
    return Objective.from_callables(_saddle_gradient, _saddle_loss, dim, start=0.0, noise=noise)


def _saddle_gradient(x):
    out = x.copy()
    out[0] = x[0] * (x[0] * x[0] - 1.0)
    return out


def _saddle_loss(x):
    total = 0.25 * (x[0] * x[0] - 1.0) ** 2
    for i in range(1, len(x)):
        total += 0.5 * x[i] * x[i]
    return total


def log_well(
    dim: int = 2, *, noise: float | ArrayLike = 0.0, start: float | ArrayLike = 3.0
) -> Objective:
    r"""Return a well that flattens outward: not convex, yet variationally coherent.

    .. math:: f(x) = \tfrac12 \sum_i \log(1 + x_i^2), \qquad
              \langle\nabla f(x), x\rangle = \sum_i \frac{x_i^2}{1 + x_i^2} > 0

    The gradient points away from the minimum at 0 everywhere; beyond :math:`|x_i| = 1` the
    curvature is negative. Curvature 1 at the minimum.

    Parameters
    ----------
    dim : int
        Number of parameters, at least 1.
    noise : float or array (dim,)
        Standard deviation of the noise on each gradient component.
    start : float or array (dim,)
        Parameters before the first update.

    Returns
    -------
    Objective

    Raises
    ------
    sdde.ArgumentError
        If `dim` is below 1 or `noise` negative.

    Examples
    --------
    >>> log_well(2).loss([0.0, 0.0])
    0.0
    """
    return Objective.from_callables(
        _log_well_gradient, _log_well_loss, dim, start=start, noise=noise
    )


def _log_well_gradient(x):
    return x / (1.0 + x * x)


def _log_well_loss(x):
    return 0.5 * np.log(1.0 + x * x).sum()


def star_well(
    points: int = 5, *, noise: float | ArrayLike = 0.0, start: float | ArrayLike = 1.0
) -> Objective:
    r"""Return a well in the plane whose level lines are stars: not convex, variationally coherent.

    In polar coordinates, with `p` points,

    .. math:: f = \tfrac12 r^2 (2 + \sin p\theta), \qquad \langle\nabla f(x), x\rangle = 2 f .

    The gradient points away from the minimum at 0 everywhere, but sideways too; it is continuous
    with bounded slope.

    Parameters
    ----------
    points : int
        Points of the star, at least 1; convex up to 2, ever less for more.
    noise : float or array (2,)
        Standard deviation of the noise on each gradient component.
    start : float or array (2,)
        Parameters before the first update.

    Returns
    -------
    Objective

    Raises
    ------
    sdde.ArgumentError
        If `points` is below 1 or `noise` negative.

    Examples
    --------
    >>> star_well(4).loss([1.0, 0.0])
    1.0
    """
    count = float(checks.integer("points", points, lowest=1))

    def gradient(x):
        angle = count * math.atan2(x[1], x[0])
        along = 2.0 + math.sin(angle)
        across = 0.5 * count * math.cos(angle)
        out = np.empty(2)
        out[0] = along * x[0] - across * x[1]
        out[1] = along * x[1] + across * x[0]
        return out

    def loss(x):
        angle = count * math.atan2(x[1], x[0])
        return 0.5 * (x[0] * x[0] + x[1] * x[1]) * (2.0 + math.sin(angle))

    return Objective.from_callables(gradient, loss, 2, start=start, noise=noise)
