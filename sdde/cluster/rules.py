"""Rules of which methods are composed: waiting and admission. Plain values.

A method of distributed SGD answers four questions. When does the server update, and who waits for
it? Which gradients does it take? How much does each count? Is a stale gradient corrected? The rules
here answer the first two, those in `weights` the others; `Composed` holds one answer to each.
Nothing here computes.
"""

from dataclasses import dataclass, field

from sdde import checks
from sdde.cluster.projections import Projection
from sdde.cluster.weights import AnySchedule, Compensation, Rate


@dataclass(frozen=True, slots=True)
class Group:
    """Update once `size` gradients have arrived, by their mean.

    Parameters
    ----------
    size : int or None
        Gradients in one update; None means as many as there are workers.
    idle : bool
        A worker whose gradient has arrived waits for the update (so gradients come from different
        workers); otherwise it begins its next gradient at once.
    cancel : bool
        At an update all unfinished work is thrown away and every worker begins again.

    Examples
    --------
    >>> Group(4, idle=True, cancel=True).size
    4
    """

    size: int | None = 1
    idle: bool = field(default=False, kw_only=True)
    cancel: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.size is not None:
            checks.integer("size", self.size, lowest=1, highest=2**32)
        checks.flag("idle", self.idle)
        checks.flag("cancel", self.cancel)


@dataclass(frozen=True, slots=True)
class BalancedGroup:
    """Update once every worker has delivered enough that the harmonic mean of their counts is
    large.

    With counts :math:`B_i` of `n` workers the update comes when the harmonic mean is at least
    ``size / n``; it is the mean over the workers of their own mean gradients. Then all unfinished
    work is thrown away. Every worker's data counts equally, however fast it is.

    Parameters
    ----------
    size : int
        Gradients that an update would need from equally fast workers, >= 1.

    Examples
    --------
    >>> BalancedGroup(16).size
    16
    """

    size: int

    def __post_init__(self) -> None:
        checks.integer("size", self.size, lowest=1, highest=2**32)


@dataclass(frozen=True, slots=True)
class GradientTable:
    """Update by a table that holds the mean gradient of every worker, refreshed one by one.

    A round first collects until every worker has an entry. Then each worker in turn, as its next
    gradient arrives, refreshes its entry, and the mean over all entries makes an update, one for
    each worker; it is then that this worker reads new parameters. All its gradients until its next
    update are computed at them, and what it delivers beyond its turn counts for the next round.

    Examples
    --------
    >>> GradientTable()
    GradientTable()
    """


@dataclass(frozen=True, slots=True)
class Lead:
    """Update at each gradient; a worker waits while it is too many gradients ahead of the slowest.

    Parameters
    ----------
    most : int
        Applied gradients by which a worker that begins may be ahead of the slowest worker, >= 0.

    Examples
    --------
    >>> Lead(3).most
    3
    """

    most: int

    def __post_init__(self) -> None:
        checks.integer("most", self.most, lowest=0)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Take a gradient if fewer than `limit` updates happened since its read.

    Parameters
    ----------
    limit : int
        Staleness from which a gradient is dropped, >= 1.
    stop : bool
        Stop a computation as soon as its staleness reaches the limit, instead of dropping its
        result.

    Examples
    --------
    >>> Fresh(8, stop=True).limit
    8
    """

    limit: int
    stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("limit", self.limit, lowest=1)
        checks.flag("stop", self.stop)


@dataclass(frozen=True, slots=True)
class Young:
    """Take a gradient if it arrives within `age` of its read.

    Parameters
    ----------
    age : float
        Longest time from read to arrival, > 0, in the unit of the system's laws.
    stop : bool
        The worker gives up at that age and reads again, instead of delivering what will be dropped.

    Examples
    --------
    >>> Young(2.0).age
    2.0
    """

    age: float
    stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.positive("age", self.age, example=2.0)
        checks.flag("stop", self.stop)


@dataclass(frozen=True, slots=True)
class Chance:
    """Take each gradient with a probability, independently of everything.

    Parameters
    ----------
    keep : float
        Probability, in (0, 1].

    Examples
    --------
    >>> Chance(0.5).keep
    0.5
    """

    keep: float

    def __post_init__(self) -> None:
        if checks.positive("keep", self.keep, example=0.5) > 1.0:
            raise checks.fail("keep", self.keep, "is above 1", remedy="For example keep = 0.5.")


@dataclass(frozen=True, slots=True)
class Large:
    """Take a gradient if its norm is at least a threshold.

    Parameters
    ----------
    norm : float
        Smallest Euclidean norm that is sent, >= 0.

    Examples
    --------
    >>> Large(0.1).norm
    0.1
    """

    norm: float

    def __post_init__(self) -> None:
        checks.nonnegative("norm", self.norm, example=0.1)


@dataclass(frozen=True, slots=True)
class Near:
    """Take a gradient if the parameters are still near those at which it was computed.

    Parameters
    ----------
    distance : float
        Largest Euclidean distance, > 0.

    Examples
    --------
    >>> Near(0.1).distance
    0.1
    """

    distance: float

    def __post_init__(self) -> None:
        checks.positive("distance", self.distance, example=0.1)


@dataclass(frozen=True, slots=True)
class Piecewise:
    """Read and write the parameters in blocks, one after the other, while others do the same.

    A job takes the system's time of communication to read all blocks and to write them, in equal
    steps; between lies its computation. The first block is read at once.

    Parameters
    ----------
    blocks : int
        Blocks of consecutive parameters, >= 1; at most all are single parameters.
    share : float
        Part of the time of communication that reading takes, in [0, 1].

    Examples
    --------
    >>> Piecewise(16).share
    0.5
    """

    blocks: int
    share: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("blocks", self.blocks, lowest=1)
        if checks.nonnegative("share", self.share, example=0.5) > 1:
            raise checks.fail("share", self.share, "is above 1", remedy="share = 0.5")


Waiting = Group | BalancedGroup | GradientTable | Lead
Admission = Fresh | Young | Chance | Large | Near


@dataclass(frozen=True, slots=True)
class Composed:
    """A method as one answer to each question.

    Parameters
    ----------
    waiting : Group, BalancedGroup, GradientTable or Lead
        When the server updates, and who waits.
    admission : Fresh, Young, Chance, Large, Near or None
        Which gradients are taken; None takes all. A worker whose gradient is dropped reads again.
    rate : rule or None
        Weight of each gradient: Inverse, Adaptive, Capped, Power, Decay, Tail, Table,
        InverseDistance or ImplicitMomentum; None weighs all alike.
    schedule : Schedule, Steps, Cosine or None
        How the learning rate falls with the number of updates.
    compensation : Compensation or None
        Correction of stale gradients.
    momentum : float
        Heavy-ball momentum of the server, in [0, 1).
    clip : float or None
        Longest gradient; longer ones are shortened to this Euclidean norm.
    by_weight : bool
        Divide the sum over a group by the sum of the weights instead of by their number.
    summed : bool
        Do not divide the sum over a group at all.
    budget : int or None
        Staleness that no gradient may exceed, kept by holding workers back: one begins only if its
        gradient and all that are under way can still be taken within the budget.
    publish : int
        Workers read parameters that are renewed only every so many updates.
    memory : Piecewise or None
        How workers on shared memory read and write; None: all parameters at one instant.
    projection : Ball, Box or None
        Set that the parameters are projected onto after each update.

    Examples
    --------
    >>> from sdde.cluster import Inverse
    >>> Composed(Group(2), rate=Inverse(), momentum=0.9).momentum
    0.9
    """

    waiting: Waiting = field(default_factory=Group)
    admission: Admission | None = field(default=None, kw_only=True)
    rate: Rate | None = field(default=None, kw_only=True)
    schedule: AnySchedule | None = field(default=None, kw_only=True)
    compensation: Compensation | None = field(default=None, kw_only=True)
    momentum: float = field(default=0.0, kw_only=True)
    clip: float | None = field(default=None, kw_only=True)
    by_weight: bool = field(default=False, kw_only=True)
    summed: bool = field(default=False, kw_only=True)
    projection: Projection | None = field(default=None, kw_only=True)
    budget: int | None = field(default=None, kw_only=True)
    publish: int = field(default=1, kw_only=True)
    memory: Piecewise | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("waiting", Waiting), ("admission", Admission | None), ("rate", Rate | None),
            ("schedule", AnySchedule | None), ("compensation", Compensation | None),
            ("projection", Projection | None), ("memory", Piecewise | None),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, allowed):
                raise checks.fail(name, value, f"is not a rule for {name}")
        if checks.nonnegative("momentum", self.momentum) >= 1:
            raise checks.fail("momentum", self.momentum, "is not below 1", remedy="momentum = 0.9")
        if self.clip is not None:
            checks.positive("clip", self.clip)
        checks.flag("by_weight", self.by_weight)
        if checks.flag("summed", self.summed) and (
            self.by_weight or isinstance(self.waiting, BalancedGroup | GradientTable)
        ):
            raise checks.fail(
                "summed", True, "contradicts by_weight and BalancedGroup", why="Both are means."
            )
        if isinstance(self.waiting, GradientTable) and self.admission is not None:
            raise checks.fail(
                "admission", self.admission, "does not go with GradientTable",
                why="It takes every gradient.",
            )  # fmt: skip
        if self.memory is not None:
            self._check_memory(self.memory)
        checks.integer("publish", self.publish, lowest=1)
        if self.budget is not None:
            self._check_budget(self.budget)

    def _check_memory(self, memory: Piecewise) -> None:
        plain = Composed(
            rate=self.rate, schedule=self.schedule, clip=self.clip, memory=None
        )  # fmt: skip
        for name in self.__slots__:
            if name != "memory" and getattr(self, name) != getattr(plain, name):
                raise checks.fail(
                    "memory", memory, f"does not go with {name} = {getattr(self, name)!r}",
                    why="No server looks at gradients: workers write them themselves.",
                    remedy="Only rate, schedule and clip go with it.",
                )  # fmt: skip

    def _check_budget(self, budget: int) -> None:
        checks.integer("budget", budget, lowest=0)
        if not isinstance(self.waiting, Group) or self.waiting.cancel:
            raise checks.fail(
                "budget", budget, f"does not go with {self.waiting!r}",
                why="It counts on a fixed number of gradients in every update.",
                remedy="waiting = Group(k)",
            )  # fmt: skip
        if budget < self.publish - 1:
            raise checks.fail(
                "budget", budget, f"is spent before the next of every {self.publish} updates",
                why="Nobody could begin any more.", remedy=f"budget = {self.publish - 1}",
            )  # fmt: skip

    @property
    def composed(self) -> "Composed":
        """The method itself."""
        return self
