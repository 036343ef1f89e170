"""Asynchronous SGD that does not take every gradient, as plain values.

These methods drop gradients that are too stale, too old, too short or unlucky; the worker whose
gradient is dropped reads the parameters again. Like all methods they say by `composed` which rules
they are made of. Nothing here computes.
"""

from dataclasses import dataclass, field

from sdde import checks
from sdde.cluster import rules
from sdde.cluster.rules import Composed


@dataclass(frozen=True, slots=True)
class StalenessThreshold:
    """Asynchronous SGD that drops gradients of too great a staleness; their worker reads again.

    Parameters
    ----------
    limit : int
        A gradient is applied if fewer than this many updates happened since its read, >= 1.
    stop : bool
        Stop a computation as soon as its staleness reaches the limit.

    Examples
    --------
    >>> StalenessThreshold(8).limit
    8
    """

    limit: int
    stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("limit", self.limit, lowest=1)
        checks.flag("stop", self.stop)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Fresh(self.limit, stop=self.stop))


@dataclass(frozen=True, slots=True)
class Ringmaster:
    """Asynchronous SGD that applies a gradient if and only if its staleness is below a limit.

    Parameters
    ----------
    limit : int
        Staleness from which a gradient is useless, >= 1.
    stop : bool
        Stop a computation as soon as its staleness reaches the limit, and start it afresh.

    References
    ----------
    .. [1] A. Maranjyan, A. Tyurin, P. Richtárik, "Ringmaster ASGD: the first asynchronous SGD with
           optimal time complexity", ICML 2025 (arXiv:2501.16168).

    Examples
    --------
    >>> Ringmaster(8).composed == StalenessThreshold(8).composed
    True
    """

    limit: int
    stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("limit", self.limit, lowest=1)
        checks.flag("stop", self.stop)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Fresh(self.limit, stop=self.stop))


@dataclass(frozen=True, slots=True)
class AgeThreshold:
    """Asynchronous SGD that drops gradients that took too long.

    Parameters
    ----------
    age : float
        Longest time from read to arrival, > 0, in the unit of the system's laws.
    stop : bool
        The worker gives up at that age and reads again, instead of delivering what is dropped.

    Examples
    --------
    >>> AgeThreshold(2.0).age
    2.0
    """

    age: float
    stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.positive("age", self.age, example=2.0)
        checks.flag("stop", self.stop)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Young(self.age, stop=self.stop))


@dataclass(frozen=True, slots=True)
class RandomThinning:
    """Asynchronous SGD that applies each gradient only with some probability.

    Parameters
    ----------
    keep : float
        Probability in (0, 1].

    Examples
    --------
    >>> RandomThinning(0.5).keep
    0.5
    """

    keep: float

    def __post_init__(self) -> None:
        rules.Chance(self.keep)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Chance(self.keep))


@dataclass(frozen=True, slots=True)
class EventTriggered:
    """Asynchronous SGD whose workers send only gradients that are long enough to matter.

    Parameters
    ----------
    norm : float
        Smallest Euclidean norm of a gradient that is applied, >= 0.

    Examples
    --------
    >>> EventTriggered(0.1).norm
    0.1
    """

    norm: float

    def __post_init__(self) -> None:
        checks.nonnegative("norm", self.norm, example=0.1)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Large(self.norm))


@dataclass(frozen=True, slots=True)
class Picky:
    """Asynchronous SGD that applies a gradient only if the parameters are still near its read.

    Parameters
    ----------
    distance : float
        Largest Euclidean distance moved since the read, > 0.

    Examples
    --------
    >>> Picky(0.1).distance
    0.1
    """

    distance: float

    def __post_init__(self) -> None:
        checks.positive("distance", self.distance, example=0.1)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(admission=rules.Near(self.distance))
