r"""What a bound on staleness by discarding does to the results: how many are lost, and which.

Long generations are overtaken by more updates, so they are dropped more often: what the learner
sees is not what the generators make. Here this is a formula for a learner that needs no time.
Nothing here knows objectives.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import pdtr

from sdde import checks
from sdde.cluster.pipeline_methods import ActorLearner
from sdde.equation.laws import as_law

from .bracket import root_between

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DiscardingBias:
    r"""Which results a pipeline uses that discards those beyond its budget of staleness.

    A result that took the time *x* is used iff the results used since the publication of its
    parameters make at most `budget` updates. With *J* of them at the read already, uniform on
    :math:`0,\dots,kp-1`, and Poisson arrivals of rate :math:`\lambda` from the other generators,

    .. math:: a(x) = P\{J + \mathrm{Poisson}(\lambda x) < k(b+1)\}, \qquad
              \lambda = \frac{N-1}{N}\Lambda, \qquad \Lambda = N\,\frac{E\,a(S)}{E\,S} ,

    *k* results in an update, *b* the budget, *p* updates from one publication to the next, *N*
    generators. The right side falls with :math:`\Lambda`, so there is one solution.

    Parameters
    ----------
    generation_time : law
        Time of one result, with its transfer.
    generators : int
        Number of generators *N*.
    method : sdde.cluster.ActorLearner
        Gives *k*, *b* and *p*; its `keep` does not count.

    Attributes
    ----------
    throughput : float
        Results used per unit of time, all generators together.
    discarded : float
        Share of the finished results that are dropped.
    mean_ratio : float
        Mean generation time of the used results over that of all; below 1.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable.

    Notes
    -----
    Assumes a learner that needs no time, and that results used from the others form a Poisson
    process: right for many generators or variable times. Derived in this project; tested against a
    timetable of drawn results and against `sdde.cluster.simulate`.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import cluster, theory
    >>> method = cluster.ActorLearner(4, budget=2)
    >>> bias = theory.DiscardingBias(scipy.stats.lognorm(1.0), 16, method)
    >>> round(bias.discarded, 3), round(bias.mean_ratio, 3)
    (0.324, 0.461)
    >>> bias.share_used([0.5, 2.0]).round(3)
    array([0.998, 0.274])
    """

    generation_time: Any
    generators: int
    method: ActorLearner
    throughput: float = field(init=False)
    discarded: float = field(init=False)
    mean_ratio: float = field(init=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        law = as_law(self.generation_time, "generation_time")
        count = checks.integer("generators", self.generators, lowest=1)
        check_pipeline(self.method)
        if law.mean <= 0.0:
            raise checks.fail(
                "generation_time", self.generation_time, "has mean zero",
                remedy="For example generation_time = 1.0.",
            )  # fmt: skip
        store(self, "generation_time", law)
        points, weights = law.nodes()
        most = count / law.mean

        def used(rate: float) -> float:
            return most * float(weights @ self._used(points, rate))

        rate = most
        if used(most) < most:
            rate = most * root_between(lambda share: used(share * most) / most - share, 0.0, 1.0)
        store(self, "throughput", rate)
        share = weights * self._used(points, rate)
        store(self, "discarded", 1.0 - float(share.sum()))
        store(self, "mean_ratio", float(share @ points / share.sum()) / law.mean)

    def _used(self, lengths: Floats, rate: float) -> Floats:
        method = self.method
        since = np.arange(method.k * method.publish)
        room = method.k * (method.budget + 1) - 1 - since
        others = rate * (self.generators - 1.0) / self.generators * lengths
        shares = pdtr(np.maximum(room, 0)[:, None], others.ravel())
        return np.where(room[:, None] >= 0, shares, 0.0).mean(axis=0).reshape(lengths.shape)

    def share_used(self, lengths: ArrayLike) -> Floats:
        """Return the probability that a result of each generation time is used.

        Parameters
        ----------
        lengths : float or array
            Generation times, in the unit of the law.
        """
        return self._used(checks.array("lengths", lengths), self.throughput)

    def staleness(self) -> Floats:
        """Return the probabilities of staleness 0, 1, ..., budget of the used results."""
        points, weights = self.generation_time.nodes()
        method = self.method
        since = np.arange(method.k * method.publish)
        others = self.throughput * (self.generators - 1.0) / self.generators * points
        below = []
        for updates in range(method.budget + 1):
            room = method.k * (updates + 1) - 1 - since
            shares = np.where(room[:, None] >= 0, pdtr(np.maximum(room, 0)[:, None], others), 0.0)
            below.append(float(weights @ shares.mean(axis=0)))
        return np.diff([0.0, *below]) / below[-1]


def check_pipeline(method: Any) -> None:
    """Raise unless this is a pipeline in which results can be used for ever."""
    if not isinstance(method, ActorLearner):
        raise checks.fail(
            "method", method, "is not a pipeline",
            remedy="For example method = sdde.cluster.ActorLearner(4, budget=2).",
        )  # fmt: skip
    if method.budget < method.publish - 1:
        raise checks.fail(
            "method", method, f"has a budget below publish - 1 = {method.publish - 1}",
            why="Before parameters are published again every result would be too stale.",
            remedy=f"For example budget = {method.publish - 1}, or publish = {method.budget + 1}.",
        )  # fmt: skip
