"""Where simulated training diverges: the learning rate or number of workers from which the mean
square grows.

Only the steepest direction matters, and noise that adds to gradients moves no limit, so clusters
have one parameter and no noise. Near its limit the second moment of a linear recursion is decided
by runs so rare that a plain mean never meets them. Where workers wait for nobody, clusters are
therefore cloned after every mean cycle in proportion to their squares, and the growth of the mean
square is measured before each cloning (where only phases are random, see `LinearRuns.growth`).
Under all other methods plain runs have to do.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import cluster
from sdde.cluster.linear_runs import LinearRuns, serves
from sdde.engine.seeds import seed_of

from .accounts import Estimate
from .growth_of_runs import limit_of_plain_runs
from .noisy_roots import ROUGH, NoisyRoot
from .simulated_times import fastest, with_laws

Floats = NDArray[np.float64]

GRADIENTS = 1_000_000  # of one growth rate that decides
BURN, PERIODS = 32, 128  # mean cycles until growth is that of the dominant mode, and measured
_BLOCKS = 8  # of the periods, for standard errors
_OF_SLOPES = 1.2  # variance of the slope of a line through a random walk, over that of the mean
_FEWEST, _MOST = 32, 1024  # particles
# Nominal processor time of one gradient, in seconds, as measured; and of one that passes a queue.
_PRICE, _PASSING = 45e-9, 60e-9


def simulated_limit(
    largest: float, method: Any, system: Any, *, workers: int, cycle: float, near: float,
    rng: np.random.SeedSequence, start: str, gradients: int = GRADIENTS,
) -> Estimate:  # fmt: skip
    """Return the learning rate from which the mean loss of runs grows, with its standard error.

    Parameters
    ----------
    largest : float
        Largest eigenvalue.
    method, system
        As for `sdde.cluster.simulate`.
    workers : int
    cycle : float
        Mean cycle time of a worker.
    near : float
        Where to look first.
    rng : SeedSequence
    start : {"stationary", "together"}
        Of plain runs; clones begin stationary.
    gradients : int
        About how many are computed for one growth rate.

    Returns
    -------
    Estimate
        ``nan`` if none was found near enough.
    """
    if serves(method, system):
        growth = Growth(with_laws(system), largest, rng, gradients)
        return growth.largest_rate(workers, near)
    return limit_of_plain_runs(
        largest, method, system, workers=workers, cycle=cycle, near=near, rng=rng, start=start,
        runs=int(np.clip(gradients / (60 * workers), 200, 4000)),
    )  # fmt: skip


@dataclass(eq=False)
class Growth:
    """Growth of the second moment of plain asynchronous SGD, by cloning.

    Attributes
    ----------
    system : sdde.cluster.System
        Of steady machines, the fastest workers first.
    largest : float
        Largest eigenvalue.
    rng : SeedSequence
        Every growth rate has random numbers of its own, so that their errors are independent.
    gradients : int
        About how many are computed for one growth rate that decides.
    spent : int
        Gradients computed so far.
    """

    system: cluster.System
    largest: float
    rng: np.random.SeedSequence
    gradients: int = GRADIENTS
    spent: int = 0

    @property
    def price(self) -> float:
        """Nominal processor time of one gradient, in seconds."""
        shared = isinstance(self.system.communication, cluster.SharedLink)
        return _PRICE + _PASSING * (shared or self.system.update_time is not None)

    @property
    def seconds(self) -> float:
        """Nominal processor time of all growth rates so far."""
        return self.price * self.spent

    def rate(self, workers: int, learning_rate: float, *, rough: bool = False) -> Estimate:
        """Return the growth of the mean square per mean cycle, and its standard error.

        It is the slope of a line: waves at both ends count less than in the mean. So are those of
        blocks, from which the error is taken. The product of the growths of all periods is an
        unbiased estimate of that of the second moment, so its logarithm is too small by half its
        variance, which is added.
        """
        wanted = self.gradients / (ROUGH if rough else 1)
        particles = int(np.clip(wanted / ((BURN + PERIODS) * workers), _FEWEST, _MOST))
        runs = LinearRuns(fastest(self.system, workers), workers, seed_of(self.rng.spawn(1)[0]))
        alpha = learning_rate * self.largest
        logs, made = runs.growth(alpha, particles=particles, burn=BURN, periods=PERIODS)
        self.spent += made
        whole = _slopes(logs[None])[0]
        variance = float(_slopes(logs.reshape(_BLOCKS, -1)).var(ddof=1))
        bias = 0.5 * variance / _OF_SLOPES * PERIODS / _BLOCKS if runs.is_random else 0.0
        return Estimate(float(whole) + bias, math.sqrt(variance / _BLOCKS))

    def largest_rate(self, workers: int, near: float, *, rough: bool = False) -> Estimate:
        """Return the learning rate from which the mean square grows; exact for one worker."""
        if workers == 1:  # x <- (1 - alpha) x, whatever the times
            return Estimate(2.0 / self.largest)
        root = NoisyRoot(lambda rate, quick: self.rate(workers, rate, rough=quick or rough))
        return root.find(near)

    def most_workers(self, learning_rate: float, near: int, most: int) -> Estimate:
        """Return the number of workers from which the mean square grows, a broken number.

        ``inf`` where it falls with up to `most` workers.
        """

        def growth(workers: float, quick: bool) -> Estimate:
            return self.rate(round(workers), learning_rate, rough=quick)

        return NoisyRoot(growth, whole=True, most=most).find(near)


def _slopes(logs: Floats) -> Floats:
    """Return the slopes of lines through the sums of steps so far, for each row."""
    size = logs.shape[1]
    return np.polynomial.polynomial.polyfit(np.arange(size), np.cumsum(logs, axis=1).T, 1)[1]
