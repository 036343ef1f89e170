"""What the server sees of the workers: how often gradients arrive, and how old they are.

A system of machines, a number of workers and a method become three things: the rate of updates, the
law of the delay of the gradients in them, and how the arrivals behave (Poisson-like, evenly spaced,
or exactly known). Everything that theory says about a cluster starts here; nothing here knows the
objective.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.system import SharedLink
from sdde.equation.laws import Law, as_law, as_laws

from .cycle import cycle_law, mixture, scaled, shifted, weighted
from .links import LinkUse, link_cycle
from .mean_curves import LONGEST
from .staleness import Staleness, poisson_mixture, staleness_law, update_rate

Floats = NDArray[np.float64]
ArrivalKind = Literal["poisson", "regular", "renewal", "exact"]
KINDS = ("poisson", "regular", "renewal", "exact")


@dataclass(frozen=True, eq=False)
class Arrivals:
    """The stream of gradients at the server.

    Attributes
    ----------
    workers : int
    kind : str
        ``"poisson"``, ``"regular"``, ``"renewal"`` or ``"exact"``.
    rate : float
        Applied gradients per unit of time.
    delay : Law
        Law of the age of a gradient when it is applied.
    cycles : tuple of Law
        Cycle law of each worker, or one for all.
    link : LinkUse or None
        Use of a shared link.
    group : int
        Gradients in one update, each of which then counts ``1 / group``.
    pace : float
        Arriving gradients per unit of time, applied or not.
    square : float
        Mean square over mean of the weights that a method gives to gradients; 1 without weights.
        The mean weight itself is part of `rate`.
    lag : float
        Time by which updates are late, for methods whose workers can only begin together.
    jitter : float
        Variance per time of the time that a number of evenly spaced updates takes.
    queue : tuple of Law or None
        Laws of computing and of a transfer, where a shared link passes one gradient at a time.
    """

    workers: int
    kind: ArrivalKind
    rate: float
    delay: Law
    cycles: tuple[Law, ...]
    link: LinkUse | None = field(default=None)
    group: int = field(default=1)
    pace: float = field(default=math.nan)
    square: float = field(default=1.0)
    lag: float = field(default=0.0)
    jitter: float = field(default=0.0)
    queue: tuple[Law, Law] | None = field(default=None)

    def __post_init__(self) -> None:
        if math.isnan(self.pace):
            object.__setattr__(self, "pace", self.rate)

    def rates(self) -> tuple[Floats, Floats]:
        """Return the different rates of single workers, and how many workers have each."""
        if len(self.cycles) == 1:
            return np.array([1.0 / self.cycles[0].mean]), np.array([float(self.workers)])
        rates, counts = np.unique([1.0 / law.mean for law in self.cycles], return_counts=True)
        return rates, counts.astype(float)

    def staleness(self) -> Staleness:
        """Return the law of the staleness over all gradients."""
        if len(self.cycles) == 1:
            return staleness_law(self.cycles[0], self.workers)
        if all(law.kind == "constant" for law in self.cycles):
            exact = len({law.mean for law in self.cycles}) == 1
            if exact:
                return staleness_law(self.cycles[0], self.workers)
        whole = sum(1.0 / law.mean for law in self.cycles)
        shares = np.array([1.0 / law.mean for law in self.cycles]) / whole
        means = np.array([whole * law.mean - 1.0 for law in self.cycles])
        laws = [poisson_mixture(law, mean) for law, mean in zip(self.cycles, means, strict=True)]
        pmf = np.zeros(max(part.size for part in laws))
        for share, part in zip(shares, laws, strict=True):
            pmf[: part.size] += share * part
        spread = np.array([law.squared_variation for law in self.cycles])
        mean = self.workers - 1.0
        second = float(shares @ (means + means**2 * (1.0 + spread)))
        return Staleness(pmf, mean, second - mean**2, exact=False)


def arrivals(workers: int, compute_time: Any, communication: Any, kind: ArrivalKind) -> Arrivals:
    """Return the arrivals of a cluster.

    Parameters
    ----------
    workers : int
    compute_time : law, or list of laws
    communication : law, list of laws, SharedLink or None
    kind : {"poisson", "regular", "renewal", "exact"}
        ``"exact"`` needs memoryless workers, or equal constant cycles, without a shared link.

    Raises
    ------
    sdde.ArgumentError
        If a law is unusable, counts disagree, or the exact treatment does not exist.
    """
    count = checks.integer("workers", workers, lowest=1)
    checks.choice("arrivals", kind, KINDS)
    computes = as_laws(compute_time, count, "compute_time")
    for law in computes:
        if law.mean <= 0.0:
            raise checks.fail(
                "compute_time", law.source, "has mean zero",
                why="Workers that need no time would deliver infinitely many gradients at once.",
                remedy="For example compute_time = 1.0.",
            )  # fmt: skip
    link, cycles, queue = None, computes, None
    if isinstance(communication, SharedLink):
        if len(computes) > 1:
            raise checks.fail(
                "communication", communication, "shares a link among unequal workers",
                why="The queue at a shared link is solved for equal workers only.",
                remedy="Give one law for compute_time, or simulate.",
            )  # fmt: skip
        transfer = as_law(communication.law, "communication")
        think = next(iter(computes))
        cycle, link = _linked(count, think, transfer, communication.capacity)
        cycles = (cycle,)
        queue = (think, transfer) if communication.capacity == 1 else None
    elif communication is not None:
        links = as_laws(communication, count, "communication")
        pairs = max(len(computes), len(links))
        cycles = tuple(
            _cycle(computes[i % len(computes)], links[i % len(links)]) for i in range(pairs)
        )
    rate = update_rate(cycles, count) if link is None else link.throughput
    stream = Arrivals(count, kind, rate, _delay(cycles), cycles, link, queue=queue)
    if kind == "exact" and exact_kind(stream) is None:
        raise checks.fail(
            "arrivals", kind, "has no closed system for these laws",
            why="Exact moments exist when every cycle is exponential (at most 15 different rates),"
            " or all cycles are the same constant, and no link is shared.",
            remedy='Use arrivals = "renewal", or sdde.cluster.simulate.',
        )  # fmt: skip
    return stream


@lru_cache(maxsize=256)
def _linked(workers: int, think: Law, link: Law, capacity: int) -> tuple[Law, LinkUse]:
    return link_cycle(workers, think, link, capacity)


@lru_cache(maxsize=64)
def _cycle(compute: Law, transfer: Law) -> Law:
    return cycle_law(compute, transfer)


@lru_cache(maxsize=64)
def _delay(cycles: tuple[Law, ...]) -> Law:
    return mixture(cycles, [1.0 / law.mean for law in cycles])


@lru_cache(maxsize=256)
def half_step(law: Law, gap: float) -> Law:
    """Return the delay law shortened by half the time between two updates."""
    return shifted(law, -0.5 * gap)


def exact_kind(stream: Arrivals) -> Literal["memoryless", "in step"] | None:
    """Return which exact treatment exists, or None."""
    if stream.link is not None:
        return None
    if all(law.kind == "exponential" for law in stream.cycles):
        return "memoryless" if len({law.mean for law in stream.cycles}) <= 15 else None
    if all(law.kind == "constant" for law in stream.cycles):
        means = [law.mean for law in stream.cycles]
        return "in step" if math.isclose(min(means), max(means), rel_tol=1e-12) else None
    return None


@dataclass(frozen=True, eq=False, slots=True)
class Scales:
    """A stream in units of its mean delay.

    Attributes
    ----------
    law : Law
        Law of the delay, scaled to mean one.
    time : float
        The mean delay. For evenly spaced arrivals it is shorter by half the time between two
        gradients.
    flow : float
        Gradients per mean delay; the number of workers for plain asynchronous SGD.
    gain : float
        Share of a gradient in an update.
    square : float
        Mean square over mean of the weights of gradients.
    """

    law: Law
    time: float
    flow: float
    gain: float
    square: float = 1.0

    def damping(self, alpha: Any) -> Any:
        """Return the damping of learning rate times eigenvalue `alpha`."""
        return alpha * self.gain * self.flow

    def strength(self, alpha: Any) -> Any:
        """Return the strength of the arrival noise."""
        return (alpha * self.gain) ** 2 * self.flow * self.square

    @property
    def kicks(self) -> float:
        """Variance per mean delay that gradient noise of variance one adds at learning rate one."""
        return self.gain**2 * self.flow * self.square


def scales(stream: Arrivals) -> Scales:
    """Return a stream in units of its mean delay."""
    law = stream.delay
    if stream.kind == "regular":
        law = half_step(law, 1.0 / stream.pace)
    return Scales(_unit(law), law.mean, stream.rate * law.mean, 1.0 / stream.group, stream.square)


@lru_cache(maxsize=128)
def _unit(law: Law) -> Law:
    """Return the law scaled to mean one, its tail cut where it is heavier than exponential."""
    unit = scaled(law, 1.0 / law.mean)
    if unit.convergence_abscissa < 0.0 and not LONGEST < unit.highest < math.inf:
        return unit
    points, weights = unit.nodes()
    return weighted(np.minimum(points, LONGEST), weights, law)
