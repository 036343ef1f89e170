"""Asynchronous SGD with a staleness budget, and pipelines of actors and a learner, as plain values.

A budget is kept by pacing, which holds workers back, or by discarding, which wastes their work and
counts fast workers more. Like all methods they say by `composed` which rules they are made of.
Nothing here computes.
"""

from dataclasses import dataclass, field

from sdde import checks
from sdde.cluster.rules import Composed, Fresh, Group


@dataclass(frozen=True, slots=True)
class StalenessBudget:
    """Asynchronous SGD in which workers pause while the staleness budget is spent.

    A worker begins only if its gradient and all that are under way can still be taken within the
    budget; whoever has paused longest begins first. Nothing is dropped.

    Parameters
    ----------
    budget : int
        Largest staleness, >= 0.

    Examples
    --------
    >>> StalenessBudget(4).budget
    4
    """

    budget: int

    def __post_init__(self) -> None:
        checks.integer("budget", self.budget, lowest=0)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(budget=self.budget)


@dataclass(frozen=True, slots=True)
class ActorLearner:
    """Actors produce results with the parameters published last; a learner consumes `k` of them in
    each update.

    This is how asynchronous reinforcement learning runs: generators with durations of heavy tails,
    a buffer of finished results (the system's), and a bound on their staleness.

    Parameters
    ----------
    k : int
        Results in one update, which takes their mean.
    budget : int
        Largest staleness of a result when it is used, >= 0, counted in updates from the parameters
        that it was made with.
    keep : {"pacing", "discarding"}
        The budget is kept by holding actors back, or by dropping results that are too stale.
    publish : int
        Updates from one publication of parameters to the next; with pacing at most ``budget + 1``.

    Examples
    --------
    >>> ActorLearner(16, budget=2).keep
    'pacing'
    """

    k: int
    budget: int = field(kw_only=True)
    keep: str = field(default="pacing", kw_only=True)
    publish: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)
        checks.integer("budget", self.budget, lowest=0)
        checks.choice("keep", self.keep, ("pacing", "discarding"))
        checks.integer("publish", self.publish, lowest=1)
        _ = self.composed

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        if self.keep == "pacing":
            return Composed(Group(self.k), budget=self.budget, publish=self.publish)
        return Composed(Group(self.k), admission=Fresh(self.budget + 1), publish=self.publish)
