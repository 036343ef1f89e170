"""Ways to run distributed SGD, as plain values that the simulator runs and the theory reads.

Each method says by its `composed` property which rules it is made of (see `rules` and `weights`);
a new method is a few lines, or no class at all: `Composed(Group(4), rate=Inverse(),
momentum=0.9)`. Nothing here computes.
"""

from dataclasses import dataclass, field

from sdde import checks
from sdde.cluster import rules, weights
from sdde.cluster.rules import Composed, Group


@dataclass(frozen=True, slots=True)
class AsyncSGD:
    """Every gradient is applied as soon as it arrives; its worker at once fetches the parameters.

    The update is ``x <- x - learning_rate * gradient(x_read)``, where ``x_read`` is what the worker
    fetched when it began. Nobody waits, nothing is dropped.

    Examples
    --------
    >>> AsyncSGD()
    AsyncSGD()
    """

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed()


@dataclass(frozen=True, slots=True)
class SequentialSGD:
    """One worker at a time computes at the newest parameters; several take turns.

    Examples
    --------
    >>> SequentialSGD().composed.budget
    0
    """

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(budget=0)


@dataclass(frozen=True, slots=True)
class Hogwild:
    """Workers on shared memory that read and write without locks, block by block.

    What a worker reads may mix blocks of different ages; changes of a component are never lost.
    Reading and writing take the system's time of communication.

    Parameters
    ----------
    blocks : int
        Blocks of consecutive parameters that are read and written one after the other.
    share : float
        Part of the time of communication that reading takes, in [0, 1].

    References
    ----------
    .. [1] F. Niu, B. Recht, C. Ré, S. Wright, "Hogwild!: a lock-free approach to parallelizing
           stochastic gradient descent", NIPS 2011 (arXiv:1106.5730).

    Examples
    --------
    >>> Hogwild(16).composed.memory
    Piecewise(blocks=16, share=0.5)
    """

    blocks: int = 16
    share: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        rules.Piecewise(self.blocks, share=self.share)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(memory=rules.Piecewise(self.blocks, share=self.share))


@dataclass(frozen=True, slots=True)
class Synchronous:
    """One update by the mean of one gradient of each worker; everybody waits for the slowest.

    Examples
    --------
    >>> Synchronous()
    Synchronous()
    """

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(None, idle=True, cancel=True))


@dataclass(frozen=True, slots=True)
class KSync:
    """One update by the mean of the gradients of the first `k` workers; the others start afresh.

    Parameters
    ----------
    k : int
        Workers waited for, at most all.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018 (PMLR 84).

    Examples
    --------
    >>> KSync(4).k
    4
    """

    k: int

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.k, idle=True, cancel=True))


@dataclass(frozen=True, slots=True)
class KBatchSync:
    """One update by the mean of the first `k` gradients at the same parameters, from any workers.

    A worker that has delivered computes another gradient at the same parameters; at the update all
    unfinished work is thrown away.

    Parameters
    ----------
    k : int
        Gradients waited for.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018 (PMLR 84).

    Examples
    --------
    >>> KBatchSync(4).k
    4
    """

    k: int

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.k, cancel=True))


@dataclass(frozen=True, slots=True)
class KAsync:
    """One update by the mean of gradients of the first `k` workers, which wait; others go on.

    Parameters
    ----------
    k : int
        Workers in one update, at most all.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018 (PMLR 84).

    Examples
    --------
    >>> KAsync(4).k
    4
    """

    k: int

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.k, idle=True))


@dataclass(frozen=True, slots=True)
class KBatchAsync:
    """One update by the mean of the next `k` gradients to arrive; nobody waits.

    Parameters
    ----------
    k : int
        Gradients in one update.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018 (PMLR 84).

    Examples
    --------
    >>> KBatchAsync(4).k
    4
    """

    k: int

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.k))


@dataclass(frozen=True, slots=True)
class APSGD:
    r"""One update by the sum of the next `batch` gradients to arrive; nobody waits.

    .. math:: x_{k+1} = x_k - \eta \sum_{m=1}^{M} g(x_{k-\tau_{k,m}};\xi_{k,m})

    Reads are consistent: each gradient was computed at the parameters of one past update. It is
    `KBatchAsync` with the sum in place of the mean.

    Parameters
    ----------
    batch : int
        Gradients `M` in one update.

    References
    ----------
    .. [1] L. Wang, B. Shen, N. Zhao, "Second-order convergence of asynchronous parallel stochastic
           gradient descent: when is the linear speedup achieved?", arXiv:1910.06000.

    Examples
    --------
    >>> APSGD(32).composed.summed
    True
    """

    batch: int

    def __post_init__(self) -> None:
        checks.integer("batch", self.batch, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.batch), summed=True)


@dataclass(frozen=True, slots=True)
class Rennala:
    """One update by the mean of `batch` gradients at the same parameters, as in `KBatchSync`.

    Parameters
    ----------
    batch : int
        Gradients in one update.

    Examples
    --------
    >>> Rennala(8).composed == KBatchSync(8).composed
    True
    """

    batch: int

    def __post_init__(self) -> None:
        checks.integer("batch", self.batch, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(Group(self.batch, cancel=True))


@dataclass(frozen=True, slots=True)
class Malenia:
    """Like `Rennala`, but each worker's data counts equally: the mean over workers of their means.

    Parameters
    ----------
    batch : int
        The update comes when the harmonic mean of the workers' counts is at least ``batch /
        workers``.

    Examples
    --------
    >>> Malenia(8).batch
    8
    """

    batch: int

    def __post_init__(self) -> None:
        checks.integer("batch", self.batch, lowest=1, highest=2**32)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rules.BalancedGroup(self.batch))


@dataclass(frozen=True, slots=True)
class Ringleader:
    """Updates by the mean over the workers of their mean gradients, one update for each worker in
    every round.

    Every worker's data counts equally, nobody waits, nothing is dropped, and with `n` workers no
    gradient is staler than ``2 n - 2`` when it is last used. See `GradientTable`.

    References
    ----------
    .. [1] A. Maranjyan, P. Richtárik, "Ringleader ASGD: the first asynchronous SGD with optimal
           time complexity under data heterogeneity", arXiv:2509.22860.

    Examples
    --------
    >>> Ringleader().composed.waiting
    GradientTable()
    """

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rules.GradientTable())


@dataclass(frozen=True, slots=True)
class FedBuff:
    """One update by `k` gradients, each weighed by ``(1 + staleness) ** -power``; nobody waits.

    Parameters
    ----------
    k : int
        Gradients in one update.
    power : float
        Exponent of the weight, >= 0.
    by_weight : bool
        Divide by the sum of the weights instead of by `k`; public codes differ here.

    References
    ----------
    .. [1] J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba, "Federated
           learning with buffered asynchronous aggregation", AISTATS 2022 (arXiv:2106.06639).

    Examples
    --------
    >>> FedBuff(10).power
    0.5
    """

    k: int = 10
    power: float = field(default=0.5, kw_only=True)
    by_weight: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("k", self.k, lowest=1, highest=2**32)
        checks.nonnegative("power", self.power, example=0.5)
        checks.flag("by_weight", self.by_weight)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        rate = weights.Power(self.power)
        return Composed(Group(self.k), rate=rate, by_weight=self.by_weight)


@dataclass(frozen=True, slots=True)
class StaleSynchronous:
    """Asynchronous SGD in which nobody may be too far ahead of the slowest worker.

    Parameters
    ----------
    lead : int
        Applied gradients by which a worker that begins may be ahead of the slowest, >= 0.

    Examples
    --------
    >>> StaleSynchronous(3).lead
    3
    """

    lead: int

    def __post_init__(self) -> None:
        checks.integer("lead", self.lead, lowest=0)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rules.Lead(self.lead))
