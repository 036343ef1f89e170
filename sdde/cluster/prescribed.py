"""SGD whose staleness is prescribed, not made by machines: delay rules and laws as theorems state
them.

Update number k uses the gradient at the parameters after update k - staleness(k), so all parameters
of a run are kept: memory grows with the number of updates. There is no clock; the time of a record
is its number of updates. Nothing here knows about workers.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.encoding import rules_of
from sdde.cluster.objective_kinds import check_objective, check_owners
from sdde.cluster.projections import Projection
from sdde.cluster.rules import Composed
from sdde.cluster.run_statistics import Staleness
from sdde.cluster.runs import MOST_RECORDS, STATUS, Runs
from sdde.cluster.weights import AnySchedule, whole_law
from sdde.equation.laws import as_law

_KINDS = ("bounded", "sublinear", "linear", "polynomial", "law")


@dataclass(frozen=True, slots=True, eq=False)
class PrescribedStaleness:
    r"""How stale the gradient of each update is, by its number `k` (from 0).

    ``"bounded"``: `amount`, a whole number, or `k` if that is less. ``"sublinear"``: :math:`\lfloor
    k^a\rfloor`, 0 < a < 1. ``"linear"``: :math:`\lfloor a k\rfloor`, 0 < a < 1. ``"polynomial"``:
    the gradient is from update :math:`\lfloor k^{1/a}\rfloor`, a >= 1. ``"law"``: independent
    draws of a law of whole numbers, or `k` if that is less.

    Parameters
    ----------
    kind : {"bounded", "sublinear", "linear", "polynomial", "law"}
        Which rule.
    amount : int, float or law
        Its parameter `a`, or the law.

    Examples
    --------
    >>> PrescribedStaleness("linear", 0.5).kind
    'linear'
    """

    kind: str
    amount: Any = field(default=1)

    def __post_init__(self) -> None:
        checks.choice("kind", self.kind, _KINDS)
        if self.kind == "law":
            whole_law("amount", self.amount)
        elif self.kind == "bounded":
            checks.integer("amount", self.amount, lowest=0)
        else:
            value = checks.positive("amount", self.amount, example=0.5)
            if self.kind == "polynomial" and value < 1:
                raise checks.fail("amount", self.amount, "is below 1", remedy="amount = 2.0")
            if self.kind != "polynomial" and value >= 1:
                raise checks.fail("amount", self.amount, "is not below 1", remedy="amount = 0.5")


def simulate_staleness(
    objective: Any,
    staleness: PrescribedStaleness,
    *,
    learning_rate: float,
    updates: int,
    schedule: AnySchedule | None = None,
    projection: Projection | None = None,
    runs: int = 1,
    rng: Any = None,
    records: int = 200,
    threads: int | None = None,
) -> Runs:
    r"""Simulate delayed SGD with a prescribed staleness.

    .. math:: x_{k+1} = x_k - \eta_k\, g(x_{k-\tau_k})

    Parameters
    ----------
    objective : Quadratic, Softmax, Network or Objective
        What is minimised.
    staleness : PrescribedStaleness
        The rule or law of :math:`\tau_k`.
    learning_rate : float
        :math:`\eta_0` > 0.
    updates : int
        Number of updates.
    schedule : Schedule, Steps or Cosine, optional
        How the learning rate falls with `k`.
    projection : Ball or Box, optional
        Set that the parameters are projected onto after each update; with ``lazy=True`` as in
        dual averaging.
    runs : int
        Number of independent runs.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Seed; recorded in the result.
    records : int
        Recorded points, equally spaced over the updates.
    threads : int, optional
        Threads to use; all processors if not given. The result does not depend on it.

    Returns
    -------
    Runs
        With times that are numbers of updates.

    Raises
    ------
    sdde.ArgumentError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> from sdde.cluster import Quadratic
    >>> late = PrescribedStaleness("bounded", 1)
    >>> runs = simulate_staleness(Quadratic(1.0), late, learning_rate=0.25, updates=20)
    >>> bool(runs.loss[0, -1] < 1e-6)
    True
    """
    check_objective(objective)
    check_owners(objective, 1)
    if not isinstance(staleness, PrescribedStaleness):
        raise checks.fail(
            "staleness", staleness, "is not a prescribed staleness",
            remedy='For example PrescribedStaleness("bounded", 3).',
        )  # fmt: skip
    if schedule is not None and not isinstance(schedule, AnySchedule):
        raise checks.fail("schedule", schedule, "is not a Schedule", remedy='Schedule("power")')
    if projection is not None and not isinstance(projection, Projection):
        raise checks.fail("projection", projection, "is not a Ball or Box", remedy="Ball(10.0)")
    rate = checks.positive("learning_rate", learning_rate, example=0.05)
    most = checks.integer("updates", updates, lowest=1)
    count = checks.integer("runs", runs, lowest=1)
    points = checks.integer("records", records, lowest=2, highest=MOST_RECORDS)
    crew = checks.integer("threads", os.cpu_count() or 1 if threads is None else threads, lowest=1)

    from sdde.cluster.gradients import compiled
    from sdde.cluster.recursion import recursion
    from sdde.engine import streams

    seed = streams.seed_of(rng)
    grid = np.unique(np.linspace(0, most, points).round()).astype(np.int64)
    target, loop = compiled(objective), recursion()
    table = as_law(staleness.amount, "amount").table() if staleness.kind == "law" else np.zeros(1)
    amount = 0.0 if staleness.kind == "law" else float(staleness.amount)
    rules = rules_of(Composed(schedule=schedule, projection=projection), 1, rate, objective.dim)
    losses = np.full((count, grid.size), np.nan)
    done = np.zeros(count, np.int64)
    key = streams.key_of(seed)

    def work(run: int) -> NDArray[np.int64]:
        counts = np.zeros(most, np.int64)
        done[run] = loop(
            target.gradient, target.loss, target.numbers, np.empty(target.scratch), target.start,
            most, rate, rules.schedule, rules.power, rules.offset, rules.breaks,
            rules.projection, rules.lazy, rules.low, rules.high,
            _KINDS.index(staleness.kind), amount, table, grid, losses[run], counts,
            np.empty((most + 1, objective.dim)), key[0], key[1], run,
        )  # fmt: skip
        return np.trim_zeros(counts, "b")

    total = np.zeros(most, np.int64)
    with ThreadPoolExecutor(min(crew, count)) as pool:
        for part in pool.map(work, range(count)):
            total[: len(part)] += part
    if target.callbacks is not None:
        target.callbacks.raise_failure()
    none = np.zeros((count, 1), np.int64)
    return Runs(
        objective=objective, method=staleness, system=None, workers=1, learning_rate=rate,
        start="together", seed=seed, t=np.where(np.isnan(losses), np.nan, grid.astype(float)),
        updates_at=grid, loss=losses, end_time=done.astype(float),
        status=STATUS[np.where(np.isinf(losses[:, -1]), 2, 0)],
        updates=done, staleness=Staleness(np.trim_zeros(total, "b")), worker_counts=done[:, None],
        discarded=none, cancelled=none, idle_time=np.zeros((count, 1)), log=np.empty((0, 7)),
        gradients_at=np.where(np.isnan(losses), np.nan, grid.astype(float)),
    )  # fmt: skip
