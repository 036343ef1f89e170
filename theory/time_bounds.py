r"""Time bounds of methods that choose which gradients to wait for: Rennala, Malenia, Ringmaster.

Worker *i* needs :math:`h_i` seconds per gradient. The bounds count :math:`L\Delta/\varepsilon`
noise-free steps and :math:`\sigma^2 L \Delta / (m \varepsilon^2)` steps of averaging for the
squared gradient norm ε of an *L*-smooth loss that starts Δ above its infimum; σ² bounds the
variance of one gradient. Nothing here simulates; ratios of bounds overstate ratios of times.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimeBound:
    """An order-optimal time and the workers that it uses.

    Attributes
    ----------
    time : float
        Up to a constant factor, in the unit of the times per gradient.
    workers : int
        The fastest workers that enter the bound; more of them do not lower it.
    """

    time: float
    workers: int


def _speeds(times: Any) -> Floats:
    h = np.sort(checks.vector("times", times))
    if h[0] <= 0.0:
        raise checks.fail(
            "times", times, "holds a time that is not positive", remedy="times = [1.0, 2.0]"
        )
    return h


def _harmonic(h: Floats) -> Floats:
    """Return the harmonic means of the 1, 2, ... fastest."""
    return np.arange(1, h.size + 1) / np.cumsum(1.0 / h)


def optimal_time(
    times: Any, *, smoothness: float, initial_loss: float, variance: float, target: float
) -> TimeBound:
    r"""Return the order-optimal time for workers that share one data set.

    .. math:: \min_{m \le n} \left(\tfrac1m\sum_{i\le m}\tfrac1{h_i}\right)^{-1}
              \left(\frac{L\Delta}{\varepsilon} + \frac{\sigma^2 L \Delta}{m\varepsilon^2}\right)

    Parameters
    ----------
    times : array
        Time per gradient of each worker.
    smoothness, initial_loss : float
        *L* and Δ.
    variance : float
        σ² >= 0, of one gradient.
    target : float
        ε, the expected squared gradient norm to reach.

    Returns
    -------
    TimeBound
        Upper and lower bound agree up to constants, which are left out.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not positive (the variance may be zero).

    References
    ----------
    .. [1] A. Tyurin, "Bridging the gap between homogeneous and heterogeneous asynchronous
           optimization is surprisingly difficult".

    Examples
    --------
    >>> optimal_time([1.0] * 4, smoothness=1.0, initial_loss=1.0, variance=1.0, target=0.5)
    TimeBound(time=3.0, workers=4)
    """
    h = _speeds(times)
    steps, noise = _steps(smoothness, initial_loss, variance, target)
    bound = _harmonic(h) * (steps + noise / np.arange(1, h.size + 1))
    best = int(np.argmin(bound))
    return TimeBound(float(bound[best]), best + 1)


def minibatch_time(
    times: Any, *, smoothness: float, initial_loss: float, variance: float, target: float
) -> TimeBound:
    r"""Return the time of synchronous SGD that waits for every worker, :math:`h_n
    (L\Delta/\varepsilon + \dots)`.

    Errors and reference as in `optimal_time`.

    Parameters
    ----------
    times : array of float
        Times of one gradient, one for each worker, > 0.
    smoothness : float
        Lipschitz constant of the gradient, > 0.
    initial_loss : float
        Loss at the start above its minimum, > 0.
    variance : float
        Variance bound of one stochastic gradient, >= 0.
    target : float
        Squared gradient norm to reach, > 0.

    Examples
    --------
    >>> minibatch_time([1.0, 9.0], smoothness=1.0, initial_loss=1.0, variance=1.0, target=1.0).time
    13.5
    """
    h = _speeds(times)
    steps, noise = _steps(smoothness, initial_loss, variance, target)
    return TimeBound(float(h[-1] * (steps + noise / h.size)), h.size)


def heterogeneous_time(
    times: Any, *, smoothness: float, initial_loss: float, variance: float, target: float
) -> TimeBound:
    r"""Order-optimal time when each worker owns its data, :math:`h_n\frac{L\Delta}\varepsilon +
    \bar h\dots`.

    Errors and reference as in `optimal_time`; every worker is needed, and similarity of
    the data does not improve the bound.

    Parameters
    ----------
    times : array of float
        Times of one gradient, one for each worker, > 0.
    smoothness : float
        Lipschitz constant of the gradient, > 0.
    initial_loss : float
        Loss at the start above its minimum, > 0.
    variance : float
        Variance bound of one stochastic gradient, >= 0.
    target : float
        Squared gradient norm to reach, > 0.

    Examples
    --------
    >>> times = [1.0, 9.0]
    >>> heterogeneous_time(times, smoothness=1.0, initial_loss=1.0, variance=1.0, target=1.0).time
    11.5
    """
    h = _speeds(times)
    steps, noise = _steps(smoothness, initial_loss, variance, target)
    return TimeBound(float(h[-1] * steps + h.mean() * noise / h.size), h.size)


def _steps(smoothness: Any, initial_loss: Any, variance: Any, target: Any) -> tuple[float, float]:
    size = checks.positive("smoothness", smoothness)
    gap = checks.positive("initial_loss", initial_loss)
    noise = checks.nonnegative("variance", variance)
    epsilon = checks.positive("target", target, example=1e-2)
    steps = size * gap / epsilon
    return steps, noise / epsilon * steps


def rennala_batch(variance: float, target: float) -> int:
    r"""Return how many gradients Rennala collects at one point, :math:`S =
    \max\{\lceil\sigma^2/\varepsilon\rceil, 1\}`.

    Parameters
    ----------
    variance : float
        σ² >= 0, of one gradient.
    target : float
        ε, the expected squared gradient norm to reach.

    References
    ----------
    .. [1] A. Tyurin, as in `optimal_time`.

    Examples
    --------
    >>> rennala_batch(1.0, 0.01)
    100
    """
    noise = checks.nonnegative("variance", variance)
    ratio = noise / checks.positive("target", target, example=1e-2)
    if ratio > checks.HIGHEST:
        raise checks.fail(
            "target", target, f"asks for {ratio:.3g} gradients in a batch",
            remedy="For example target = 1e-2 * variance.",
        )  # fmt: skip
    return max(1, math.ceil(ratio * (1.0 - 1e-12)))


@dataclass(frozen=True, slots=True)
class Threshold:
    """A staleness threshold and the workers that matter for it.

    Attributes
    ----------
    limit : int
        Gradients with this staleness or more are dropped.
    workers : int
        The fastest workers that enter the choice.
    """

    limit: int
    workers: int


def ringmaster_limit(times: Any, *, variance: float, target: float) -> Threshold:
    r"""Return the staleness threshold that minimises a bound on the time of Ringmaster.

    .. math:: R^* = \sigma\sqrt{2 m^*/\varepsilon}, \qquad
              m^* = \arg\min_m \bar h_m \left(1 + \sigma\sqrt{\tfrac{2}{m\varepsilon}}\right)^2

    with :math:`\bar h_m` the harmonic mean of the *m* fastest times.

    Parameters
    ----------
    times : array
        Time per gradient of each worker.
    variance : float
        σ² >= 0, of one gradient.
    target : float
        ε, the expected squared gradient norm to reach.

    Returns
    -------
    Threshold

    Raises
    ------
    sdde.ArgumentError
        If a time or `target` is not positive, or `variance` is negative.

    Notes
    -----
    Derived in this project from a bound on the time of *R* consecutive updates. The bound is flat
    around its optimum and overstates the cost of no threshold: in an event simulation with 32
    unequal workers the best threshold was 2.2 times faster than none, not 20 times.

    Examples
    --------
    >>> ringmaster_limit([1.0] * 64, variance=1.0, target=0.01)
    Threshold(limit=113, workers=64)
    """
    h = _speeds(times)
    sigma = math.sqrt(checks.nonnegative("variance", variance))
    epsilon = checks.positive("target", target, example=1e-2)
    m = np.arange(1, h.size + 1)
    best = int(np.argmin(_harmonic(h) * (1.0 + sigma * np.sqrt(2.0 / (m * epsilon))) ** 2)) + 1
    return Threshold(max(1, round(sigma * math.sqrt(2.0 * best / epsilon))), best)
