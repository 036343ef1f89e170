"""Where simulated training diverges: the learning rate or number of workers from which the mean
square grows.

Only the steepest direction matters, and noise that adds to gradients moves no limit, so clusters
have one parameter and no noise. Near its limit the second moment of a linear recursion is decided
by runs so rare that a plain mean never meets them. Where workers wait for nobody, clusters are
therefore cloned after every mean cycle in proportion to their squares, and the growth of the mean
square is measured before each cloning. Under all other methods plain runs have to do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import cluster
from sdde.cluster.linear_runs import LinearRuns, serves
from sdde.engine.seeds import seed_of

from .accounts import Estimate
from .growth_of_runs import limit_of_plain_runs
from .simulated_times import fastest, with_laws

Floats = NDArray[np.float64]

GRADIENTS = 1_000_000  # of one growth rate that decides
_ROUGH = 4  # times fewer while a bracket is closed
BURN, PERIODS = 32, 128  # mean cycles until growth is that of the dominant mode, and measured
_BLOCKS = 8  # of the periods, for standard errors
_FEWEST, _MOST = 32, 1024  # particles
_STEP = 1.12  # ratio of neighbours while a bracket is looked for
_CLOSE = 1.06  # ratio of its ends when it is closed
_AROUND = (0.965, 0.98, 0.993, 1.007, 1.02, 1.035)  # of the root: places that decide
_TRIES = 24
# Nominal processor time of one gradient, in seconds, as measured; and of one that passes a queue.
_PRICE, _PASSING = 45e-9, 60e-9
EVALUATIONS = 9.0  # of growth that decide, in a limit: those of the bracket weigh less


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
        blocks, from which the error is taken.
        """
        wanted = self.gradients / (_ROUGH if rough else 1)
        particles = int(np.clip(wanted / ((BURN + PERIODS) * workers), _FEWEST, _MOST))
        runs = LinearRuns(fastest(self.system, workers), workers, seed_of(self.rng.spawn(1)[0]))
        alpha = learning_rate * self.largest
        logs, made = runs.growth(alpha, particles=particles, burn=BURN, periods=PERIODS)
        self.spent += made
        whole = _slopes(logs[None])[0]
        blocks = _slopes(logs.reshape(_BLOCKS, -1))
        return Estimate(float(whole), float(blocks.std(ddof=1)) / math.sqrt(_BLOCKS))

    def largest_rate(self, workers: int, near: float, *, rough: bool = False) -> Estimate:
        """Return the learning rate from which the mean square grows; exact for one worker."""
        if workers == 1:  # x <- (1 - alpha) x, whatever the times
            return Estimate(2.0 / self.largest)
        bracket = _bracketed(lambda rate: self.rate(workers, rate, rough=True).value > 0.0, near)
        if bracket is None:
            return Estimate(math.nan, math.nan)
        places = math.sqrt(bracket[0] * bracket[1]) * np.array(_AROUND)
        values = [self.rate(workers, float(place), rough=rough) for place in places]
        return root_of(places, values)

    def most_workers(self, learning_rate: float, near: int, most: int) -> Estimate:
        """Return the number of workers from which the mean square grows, a broken number.

        ``inf`` where it falls with up to `most` workers.
        """

        def grows(workers: float) -> bool:
            return self.rate(max(round(workers), 1), learning_rate, rough=True).value > 0.0

        bracket = _bracketed(grows, float(near), whole=True, most=most)
        if bracket is None:
            return Estimate(math.inf if not grows(most) else math.nan, math.nan)
        low, high = round(bracket[0]), round(bracket[1])
        reach = max(2, round(0.03 * high))
        places = np.unique(np.linspace(max(low - reach, 1), high + reach, 7).round())
        return root_of(places, [self.rate(int(place), learning_rate) for place in places])


def _slopes(logs: Floats) -> Floats:
    """Return the slopes of lines through the sums of steps so far, for each row."""
    size = logs.shape[1]
    return np.polynomial.polynomial.polyfit(np.arange(size), np.cumsum(logs, axis=1).T, 1)[1]


def _bracketed(
    grows: Callable[[float], bool], near: float, *, whole: bool = False, most: float = math.inf
) -> tuple[float, float] | None:
    """Return two places close to each other, with growth at the second only; None without."""
    ratio = max(_STEP, (near + 1.0) / near) if whole else _STEP
    place, growing = near, grows(near)
    for _ in range(_TRIES):
        before = place
        place = place / ratio if growing else place * ratio
        if whole:
            place = float(max(min(round(place), most), 1))
            if place == before:
                return None
        if grows(place) != growing:
            break
        ratio = min(ratio**1.3, 2.0)
    else:
        return None
    low, high = min(before, place), max(before, place)
    while high > _CLOSE * low and not (whole and high - low <= 1.0):
        middle = math.sqrt(low * high)
        middle = float(np.clip(round(middle), low + 1.0, high - 1.0)) if whole else middle
        low, high = (low, middle) if grows(middle) else (middle, high)
    return low, high


def root_of(places: Floats, values: list[Estimate]) -> Estimate:
    """Return where a line through independent values crosses zero, and the error of that."""
    found = np.array([value.value for value in values])
    error = np.maximum([value.error for value in values], 1e-9)
    if len(places) < 2 or not np.isfinite(found).all():
        return Estimate(math.nan, math.nan)
    error = np.maximum(error, np.median(error))  # of few blocks: too small a one counts too much
    weight = 1.0 / error**2
    centre = float(weight @ places / weight.sum())
    moment = float(weight @ (places - centre) ** 2)
    slope = float(weight @ ((places - centre) * found) / moment)
    if not slope > 0.0:
        return Estimate(math.nan, math.nan)
    root = centre - float(weight @ found / weight.sum()) / slope
    variance = 1.0 / weight.sum() + (root - centre) ** 2 / moment
    return Estimate(root, math.sqrt(variance) / slope)
