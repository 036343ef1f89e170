"""What a pipeline of generators and a learner does: throughput, staleness, who waits, what is lost.

Numbers read off a timetable, and the stream of results as the loss theory wants it. Nothing here
knows objectives.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.pipeline_methods import ActorLearner
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import as_law, as_laws

from .arrivals import Arrivals
from .cycle import weighted
from .pipeline_bias import check_pipeline
from .pipeline_schedule import Machines, Timetable, largest_alpha, timetable

Floats = NDArray[np.float64]

_FULL = 0.9  # share of its time from which somebody is the bottleneck
_EVEN = 0.05  # size of Poisson updates below which updates count as evenly spaced
_SHORTEST = 0.05  # least delay, in updates
RESULTS = 40_000  # drawn for one pipeline


@dataclass(frozen=True, eq=False)
class PipelineFlow:
    """What a pipeline does, whatever it learns.

    Attributes
    ----------
    method : sdde.cluster.ActorLearner
    generators : int
    throughput : float
        Results used per unit of time.
    update_rate : float
        Updates per unit of time.
    rate_error : float
        Relative standard error of both.
    bottleneck : str
        ``"learner"``, ``"generators"`` or ``"budget"``: who limits the throughput.
    learner_busy : float
        Share of the learner's time.
    working, held, waiting : float
        Shares of the generators' time: at work, held back by the budget, waiting for the learner.
    staleness : numpy.ndarray
        Probability of staleness 0, 1, 2, ... of a result when the learner takes it, in updates.
    mean_age : float
        Mean time from the publication of parameters to the end of an update made with them.
    discarded : float
        Share of the finished results that are dropped.
    mean_ratio : float
        Mean generation time of the used results over that of all; 1 where nothing is dropped.
    discarded_by_length : tuple of float
        Share dropped in each tenth of the generation times, shortest first.
    largest_alpha : float
        Learning rate times curvature from which training diverges along the drawn timetable.
    """

    method: ActorLearner
    generators: int
    throughput: float
    update_rate: float
    rate_error: float
    bottleneck: str
    learner_busy: float
    working: float
    held: float
    waiting: float
    staleness: Floats
    mean_age: float
    discarded: float
    mean_ratio: float
    discarded_by_length: tuple[float, ...]
    largest_alpha: float
    stream: Arrivals = field(repr=False)
    noise_share: float = field(repr=False)

    @property
    def mean_staleness(self) -> float:
        """Mean number of updates between the parameters' publication and the use of a result."""
        return float(self.staleness @ np.arange(self.staleness.size))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values, for JSON."""
        names = ("throughput", "update_rate", "rate_error", "bottleneck", "learner_busy", "working",
                 "held", "waiting", "mean_age", "discarded", "mean_ratio",
                 "largest_alpha")  # fmt: skip
        return {
            "method": asdict(self.method), "generators": self.generators,
            **{name: getattr(self, name) for name in names},
            "staleness": self.staleness.tolist(), "mean_staleness": self.mean_staleness,
            "discarded_by_length": list(self.discarded_by_length),
        }  # fmt: skip


def pipeline_flow(
    system: System, method: ActorLearner, *, generators: int | None = None,
    results: int = RESULTS, seed: int = 0,
) -> PipelineFlow:  # fmt: skip
    """Return what a pipeline of generators and a learner does.

    Parameters
    ----------
    system : sdde.cluster.System
        ``compute_time`` is the law of the time of one result (or a list, one law per generator),
        ``communication`` that of its transfer, ``update_time`` that of one update of the learner,
        ``buffer`` the room for finished results before it.
    method : sdde.cluster.ActorLearner
        Results in an update, budget of staleness, how it is kept, how often parameters are
        published.
    generators : int, optional
        By default the workers of the system.
    results : int
        Finished results to draw, at least 1,000.
    seed : int
        Of the drawn times.

    Returns
    -------
    PipelineFlow

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, the system has a shared link, outages or laws that change, or
        the budget is below what late publication alone makes results stale.

    Notes
    -----
    A hard budget has no closed form for general generation times. The timetable of the machines is
    therefore drawn, with one time from each slice of probability, and followed by the rules of
    `sdde.cluster.ActorLearner`; `rate_error` says how well it is known. Where the learner needs no
    time and results are discarded, `DiscardingBias` is a formula for the same. Derived in this
    project.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import cluster, theory
    >>> system = cluster.System(scipy.stats.lognorm(1.0), workers=16, update_time=0.5, buffer=8)
    >>> flow = theory.pipeline_flow(system, cluster.ActorLearner(4, budget=8))
    >>> flow.bottleneck, round(flow.learner_busy, 1)
    ('budget', 0.4)
    """
    machines, count = machines_of(system, generators)
    check_pipeline(method)
    wanted = checks.integer("results", results, lowest=1000, highest=10**8)
    drawn = checks.integer("seed", seed, lowest=0)
    return flow_of(machines, count, method, results=wanted, seed=drawn)


def flow_of(
    machines: Machines, generators: int, method: ActorLearner, *, results: int, seed: int = 0
) -> PipelineFlow:
    """Return the same for laws."""
    updates = max(200, results // method.k)
    table = timetable(machines, generators, method, updates=updates, seed=seed)
    rate = table.updates / table.duration
    counts = np.bincount(table.staleness)
    lost, ratio, shares = _bias(table)
    stream, spread = _stream(generators, rate, table)
    return PipelineFlow(
        method, generators, rate * method.k, rate, table.rate_error, _bottleneck(table),
        table.learner_busy, table.working, table.held, table.waiting, counts / counts.sum(),
        float(table.ages.mean()), lost, ratio, shares, largest_alpha(table), stream, spread,
    )  # fmt: skip


def _stream(generators: int, rate: float, table: Timetable) -> tuple[Arrivals, float]:
    r"""Return the updates as the stream of the loss theory, and what it does to noise variance.

    The clock of training is the number of updates *U*, and after it the delay is the staleness. How
    unevenly that clock goes matters too: with dispersion *I* of *U* the mean of
    :math:`(1-\alpha)^{2U}` falls at :math:`2\alpha - (2I-1)\alpha^2` for each update, as under
    a Poisson process of updates :math:`2I-1` times larger and rarer. Below half a Poisson process'
    dispersion updates count as evenly spaced.
    """
    size = max(1, min(50, table.gaps.size // 40))
    sums = table.gaps[: table.gaps.size // size * size].reshape(-1, size).sum(axis=1)
    times = 2.0 * float(sums.var(ddof=1) / size / table.gaps.mean() ** 2) - 1.0
    counts = np.bincount(table.staleness)
    steps: Any = np.arange(counts.size)[counts > 0].astype(float)
    shares: Any = counts[counts > 0] / counts.sum()
    if times < _EVEN:
        law = weighted((steps + 1.0) / rate, shares, "staleness")
        return Arrivals(generators, "regular", rate, law, (law,), pace=rate), 1.0
    delays = np.maximum(steps + max(0.5 - 0.5 * times, 0.0), _SHORTEST) / rate
    law = weighted(delays, shares, "staleness")
    group: Any = 1.0 / times
    return Arrivals(generators, "poisson", rate / times, law, (law,), group=group), 1.0 / times


def _bias(table: Timetable) -> tuple[float, float, tuple[float, ...]]:
    used = table.used
    if used.all():
        return 0.0, 1.0, (0.0,) * 10
    order = np.argsort(table.lengths, kind="stable")
    shares = [1.0 - float(part.mean()) for part in np.array_split(used[order], 10)]
    ratio = table.lengths[used].mean() / table.lengths.mean()
    return 1.0 - float(used.mean()), float(ratio), tuple(shares)


def _bottleneck(table: Timetable) -> str:
    if table.learner_busy >= _FULL:
        return "learner"
    if table.held > max(table.waiting, 1.0 - _FULL):
        return "budget"
    return "learner" if table.learner_busy > table.working else "generators"


def machines_of(system: Any, generators: int | None) -> tuple[Machines, int]:
    """Return the laws of a pipeline and its number of generators."""
    if not isinstance(system, System):
        raise checks.fail(
            "system", system, "is not a system",
            remedy="For example system = sdde.cluster.System(1.0, workers=8, update_time=0.1).",
        )  # fmt: skip
    if isinstance(system.communication, SharedLink | list | tuple):
        raise checks.fail(
            "communication", system.communication, "is not one law for all generators",
            why="Timetables of pipelines have a link of its own for each generator.",
            remedy="Give one law, or simulate with sdde.cluster.simulate.",
        )  # fmt: skip
    if system.outages is not None:
        raise checks.fail(
            "outages", system.outages, "cannot be planned for",
            remedy="Leave them out, or simulate with sdde.cluster.simulate.",
        )  # fmt: skip
    count = system.workers if generators is None else generators
    if count is None:
        raise checks.fail(
            "generators", generators, "is not known", why="The system does not say how many.",
            remedy="For example generators = 16.",
        )  # fmt: skip
    count = checks.integer("generators", count, lowest=1)
    laws = as_laws(system.compute_time, count, "compute_time")
    link = system.communication
    learning = system.update_time
    return Machines(
        laws, None if link is None else as_law(link, "communication"),
        None if learning is None else as_law(learning, "update_time"),
        -1 if system.buffer is None else system.buffer,
    ), count  # fmt: skip
