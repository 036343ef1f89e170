r"""A link that all workers share: throughput, cycle and waiting, by queueing theory.

Workers think (compute) on their own, then queue for the link in order of arrival. With exponential
transfers the stationary numbers at the link have a product form for any law of thinking, and an
arriving worker sees the link as if it were not there itself. Nothing here knows gradients or
learning rates.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from sdde import checks
from sdde.equation.laws import Law, as_law

from .cycle import total

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinkUse:
    """What a shared link does to the workers.

    Attributes
    ----------
    throughput : float
        Transfers per unit of time, all workers together.
    cycle_time : float
        Mean time from one fetch of a worker to its next; ``workers / throughput``.
    waiting_time : float
        Mean time at the link, queue and transfer.
    utilisation : float
        Share of the link's capacity in use.
    saturation : float
        Number of workers at which the link would be full if nobody ever waited.
    exact : bool
        Whether the numbers are exact, or an approximation.
    """

    throughput: float
    cycle_time: float
    waiting_time: float
    utilisation: float
    saturation: float
    exact: bool


def shared_link(workers: int, think_time: Any, link_time: Any, *, capacity: int = 1) -> LinkUse:
    r"""Throughput and mean cycle of workers that share one link.

    For an exponential transfer of mean *D* and thinking of mean *Z* the number at the link has the
    probabilities

    .. math:: p_j \propto \frac{n!}{(n-j)!}\, Z^{n-j} \prod_{i \le j} \frac{D}{\min(i, c)},

    *c* the capacity; for one transfer at a time the same numbers follow from mean-value analysis,
    :math:`R_k = D(1 + Q_{k-1})`, :math:`X_k = k/(Z + R_k)`, :math:`Q_k = X_k R_k`.

    Parameters
    ----------
    workers : int
        Number of workers *n*.
    think_time : law
        Time that a worker computes between two transfers.
    link_time : law
        Time of one transfer alone on the link, in the same unit.
    capacity : int
        Transfers at once.

    Returns
    -------
    LinkUse
        Exact for exponential transfers and for constant times on both sides; otherwise the
        mean-value recursion with the residual time of the transfer in progress, an approximation
        for one transfer at a time, and refused for more.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not usable, or transfers are not exponential on a link of capacity above
        one.

    Notes
    -----
    Little's law makes throughput times cycle time equal to `workers` whatever the queue, so the
    stability of asynchronous SGD depends on the number of workers and not on the bandwidth.

    References
    ----------
    .. [1] M. Reiser, S. S. Lavenberg, "Mean-value analysis of closed multichain queuing networks",
           Journal of the ACM 27 (1980).

    Examples
    --------
    >>> import scipy.stats
    >>> use = shared_link(5, scipy.stats.expon(), scipy.stats.expon(scale=0.1))
    >>> round(use.throughput, 5)
    4.36048
    """
    count = checks.integer("workers", workers, lowest=1)
    think, link = as_law(think_time, "think_time"), as_law(link_time, "link_time")
    slots = checks.integer("capacity", capacity, lowest=1)
    if link.mean <= 0:
        raise checks.fail("link_time", link_time, "has mean zero", remedy="link_time = 0.1")
    saturation = slots * (think.mean + link.mean) / link.mean
    if link.kind == "exponential":
        apart, probability = thinking(count, think.mean, link.mean, slots)
        busy = float(probability @ np.minimum(count - apart, slots))
        throughput, exact = busy / link.mean, True
    elif link.kind == "constant" and think.kind == "constant":
        # Phases settle so that nobody waits, or the link never rests.
        throughput = min(count / (think.mean + link.mean), slots / link.mean)
        exact = True
    elif slots > 1:
        raise checks.fail(
            "capacity", capacity, "needs exponential transfer times",
            why="With other transfer times a queue of several at once has no closed form.",
            remedy="Give link_time = scipy.stats.expon(scale=...), capacity = 1, or simulate.",
        )  # fmt: skip
    else:
        throughput, exact = _approximate_throughput(count, think.mean, link), False
    cycle = count / throughput
    return LinkUse(
        throughput, cycle, cycle - think.mean, throughput * link.mean / slots, saturation, exact
    )


def thinking(workers: int, think: float, link: float, capacity: int) -> tuple[Floats, Floats]:
    """Return numbers of workers that think, and their probabilities, at an exponential link.

    Where nearly all queue, the number that thinks is nearly a Poisson number; what lies in its
    remote tail, less than 1e-20, is left out, so the cost does not grow with the workers.
    """
    mean = capacity * think / link  # of those that think if the link never rests
    most = min(workers, math.ceil(mean + 12.0 * math.sqrt(mean)) + 60)
    m = np.arange(most + 1.0)
    if think == 0.0:
        return m, (m == 0.0).astype(float)
    queued = workers - m
    full = np.minimum(queued, capacity)
    logs = m * math.log(think / link) - gammaln(m + 1.0) - gammaln(full + 1.0)
    logs -= (queued - full) * math.log(capacity)
    return m, np.exp(logs - logsumexp(logs))


def _approximate_throughput(workers: int, think: float, link: Law) -> float:
    """Return the throughput where an arrival first waits out the transfer under way."""
    residual = link.mean * (1.0 + link.squared_variation) / 2.0
    queue = use = throughput = 0.0
    for k in range(1, workers + 1):
        wait = link.mean + max(queue - use, 0.0) * link.mean + use * residual
        throughput = min(k / (think + wait), 1.0 / link.mean)
        queue, use = throughput * wait, throughput * link.mean
        if use >= 1.0:  # from here on more workers only queue
            return 1.0 / link.mean
    return throughput


def link_cycle(workers: int, think: Law, link: Law, capacity: int) -> tuple[Law, LinkUse]:
    """Return the law of a cycle over a shared link, and the use of the link.

    The time at the link is taken as independent of the computation before it. For exponential
    transfers on a link of capacity one it is a gamma law with the exact mean and variance: an
    arriving worker finds *j* others with the probabilities of a system with one worker less, and
    stays for *j* + 1 transfers. It is constant where transfers and computations are, and otherwise
    exponential.
    """
    use = shared_link(workers, think, link, capacity=capacity)
    if link.kind == "constant" and think.kind == "constant":
        return as_law(use.cycle_time, "cycle"), use
    shape = 1.0
    if link.kind == "exponential" and capacity == 1:
        apart, found = thinking(workers - 1, think.mean, link.mean, 1)
        others = float(found @ apart)
        mean = workers - others
        shape = mean**2 / (mean + float(found @ (apart - others) ** 2))
    return total(think, _gamma(shape, max(use.waiting_time, 1e-12 * use.cycle_time))), use


def _gamma(shape: float, mean: float) -> Law:
    from scipy import stats

    law = stats.expon(scale=mean) if shape == 1.0 else stats.gamma(shape, scale=mean / shape)
    return as_law(law, "link")
