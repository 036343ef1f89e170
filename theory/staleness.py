r"""How stale gradients are, and how often they arrive, for any law of the workers' cycles.

Each of *n* workers repeats: fetch the parameters, compute, send. The server's updates between a
fetch and the matching arrival are the gradient's staleness. Seen from one worker, the others
together are nearly a Poisson stream, so the staleness is a Poisson count over the worker's own
cycle. The mean *n* - 1 is exact for every law. Nothing here knows the objective.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from sdde import checks
from sdde.equation.laws import Law, as_law

Floats = NDArray[np.float64]

_MOST_WORKERS = 10**7  # a law is a number for each staleness


@dataclass(frozen=True, eq=False)
class Staleness:
    """The law of a gradient's staleness, in updates.

    Attributes
    ----------
    pmf : numpy.ndarray
        ``pmf[k]`` is the probability that `k` updates happen between read and use.
    mean, var : float
        Mean and variance; they are the law's own and not sums over a cut `pmf`.
    exact : bool
        Whether the law is exact, or the Poisson approximation of the other workers.
    """

    pmf: Floats
    mean: float
    var: float
    exact: bool

    def quantile(self, share: float) -> int:
        """Return the smallest staleness that a `share` of the gradients does not exceed."""
        share = checks.number("share", share, example=0.99)
        if not 0.0 < share < 1.0:
            raise checks.fail("share", share, "is not between 0 and 1", remedy="share = 0.99")
        return int(min(np.searchsorted(np.cumsum(self.pmf), share), self.pmf.size - 1))


def staleness_law(law: Any, workers: int) -> Staleness:
    r"""Law of the number of updates between a worker's fetch and its push.

    Given a cycle of length *S*, the other workers contribute about
    :math:`\mathrm{Poisson}((n-1) S / T)` updates, so

    .. math:: P(k) = E\left[e^{-m S/T} \frac{(m S/T)^k}{k!}\right],\quad m = n - 1,

    with mean *n* - 1 and variance :math:`m + m^2 c_2`, :math:`c_2` the squared coefficient of
    variation.

    Parameters
    ----------
    law : float, scipy.stats law, or array of measurements
        One worker's cycle time.
    workers : int
        Number of workers *n*, each with a gradient always in flight.

    Returns
    -------
    Staleness
        Exact for exponential cycles (geometric law) and for constant ones (always *n* - 1);
        otherwise the approximation above, which overstates the variance where cycles vary little.

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times or `workers` is below one.

    Notes
    -----
    Derived in this project. The mean is exact for every law, by counting: in each cycle of a worker
    every other worker contributes its updates once. Constant cycles are taken with distinct phases.

    Examples
    --------
    >>> import scipy.stats
    >>> staleness_law(scipy.stats.expon(), 8).pmf[:2]
    array([0.125   , 0.109375])
    """
    cycle = as_law(law, "law")
    others = checks.integer("workers", workers, lowest=1, highest=_MOST_WORKERS) - 1
    if others == 0:
        return Staleness(np.ones(1), 0.0, 0.0, exact=True)
    if cycle.kind == "constant":
        pmf = np.zeros(others + 1)
        pmf[others] = 1.0
        return Staleness(pmf, float(others), 0.0, exact=True)
    return Staleness(
        poisson_mixture(cycle, float(others)),
        float(others),
        others + others**2 * cycle.squared_variation,
        exact=cycle.kind == "exponential",
    )


def poisson_mixture(cycle: Law, mean: float) -> Floats:
    """Return the law of a Poisson count over one cycle, with the given mean count.

    It is cut where less than 1e-12 of the probability is left, or at 100,000.
    """
    if cycle.kind == "exponential":
        longest = min(int(28.0 / math.log1p(1.0 / mean)) + 2, 100_000)
        return np.exp(np.arange(longest) * math.log(mean / (mean + 1.0))) / (mean + 1.0)
    points, weights = cycle.nodes()
    counts = mean * points / cycle.mean
    top = float(counts[np.searchsorted(np.cumsum(weights), 1.0 - 1e-13).clip(max=points.size - 1)])
    longest = int(min(top + 8.0 * math.sqrt(top) + 30.0, 100_000))
    pmf = np.zeros(longest + 1)
    k = np.arange(longest + 1.0)
    log_factorial = gammaln(k + 1.0)
    for start in range(0, points.size, 256):  # bounds the temporary
        part = counts[start : start + 256, None]
        pmf += weights[start : start + 256] @ np.exp(xlogy(k, part) - part - log_factorial)
    keep = np.cumsum(pmf[::-1])[::-1] > 1e-13
    return pmf[: max(1, int(keep.sum()))]


def update_rate(cycles: tuple[Law, ...], workers: int) -> float:
    r"""Return the rate of arriving gradients, the sum of the workers' :math:`1/T_i`."""
    if len(cycles) == 1:
        return workers / cycles[0].mean
    return float(sum(1.0 / law.mean for law in cycles))


def poisson_error(law: Any, workers: int) -> float:
    r"""Largest error of the Poisson approximation of the arrivals, over windows of any length.

    For *n* stationary workers with cycle law *G* of mean *T* the chance of no arrival in a window
    *t* is exactly :math:`(1-G_e(t))^n` with :math:`G_e(t) = \frac1T\int_0^t (1-G)`; the
    approximation says :math:`e^{-nt/T}`. The result is the largest absolute difference,

    .. math:: \sup_x \left|(1-G_e(xT/n))^n - e^{-x}\right|
              = \frac{2e^{-2}}{n}\,|T g(0^+) - 1| + O(n^{-2}),

    with *g* the density of the cycle time.

    Parameters
    ----------
    law : float, scipy.stats law, or array of measurements
        One worker's cycle time.
    workers : int
        Number of workers.

    Returns
    -------
    float
        Between 0 and 1; zero for exponential cycles.

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times or `workers` is below one.

    Notes
    -----
    Derived in this project. It measures gaps between arrivals, hence short windows. Over windows
    much longer than *T* the variance of the number of arrivals is :math:`c_2` times that of a
    Poisson count whatever *n*.

    Examples
    --------
    >>> round(poisson_error(1.0, 16), 6)
    0.017277
    """
    cycle = as_law(law, "law")
    count = checks.integer("workers", workers, lowest=1)
    if cycle.kind == "exponential":
        return 0.0
    if cycle.mean <= 0:
        raise checks.fail("law", law, "has mean zero", remedy="For example law = 1.0.")

    def difference(x: Floats) -> Floats:
        free = 1.0 - equilibrium_cdf(cycle, x * cycle.mean / count)
        return np.abs(np.exp(count * np.log(np.maximum(free, 1e-300))) - np.exp(-x))

    grid = np.linspace(0.0, 12.0, 481)
    largest = 0.0
    for _ in range(6):  # each pass narrows the bracket twelvefold around the best point
        values = difference(grid)
        best = int(np.argmax(values))
        largest = float(values[best])
        grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)], 25)
    return largest


def equilibrium_cdf(law: Law, time: Floats) -> Floats:
    r"""Return :math:`\frac1T\int_0^t (1-G)`, the law of the time left at an arbitrary instant."""
    points, weights = law.nodes()
    # E min(S, t) / T, from running sums over the sorted values.
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    moment = np.concatenate([[0.0], np.cumsum(weights * points)])
    below = np.searchsorted(points, time, side="right")
    return np.minimum((moment[below] + time * (mass[-1] - mass[below])) / law.mean, 1.0)
