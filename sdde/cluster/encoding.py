"""Systems and methods as numbers: what the event loop reads instead of Python values.

Laws become tables of quantiles laid end to end, rules become codes with parameters. The event loop
in `server` gives the codes their meaning. Nothing here runs or draws anything.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster import rules as rule
from sdde.cluster import weights as weight
from sdde.cluster.projections import Ball, Box, Projection
from sdde.cluster.quadratic import per_axis
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import WEIGHTED, Law, as_law

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL, FRESH, YOUNG, CHANCE, LARGE, NEAR = range(6)
EVEN, INVERSE, ADAPTIVE, CAPPED, POWER, DECAY, TAIL, TABLE, INVERSE_DISTANCE = range(9)
STEADY, POWER_LAW, LOG, LOGLOG = range(4)
FREE, BALL, BOX = range(3)


class Machines(NamedTuple):
    """Laws as tables end to end in `tables`, told by where they begin; -1 where there is none."""

    tables: Floats
    compute: Integers  # (workers,)
    communication: Integers  # (workers,): links of the workers' own
    link: int  # the shared link
    capacity: int
    update: int
    stationary: bool
    biased_compute: Integers  # (workers,): laws weighted by length, for jobs already under way
    biased_communication: Integers
    compute_share: Floats  # (workers,): mean computation over mean cycle


class Rules(NamedTuple):
    """A method as numbers."""

    size: int  # gradients in one update
    balanced: bool
    idle: bool
    cancel: bool
    lead: int  # -1: nobody waits for the slowest
    admission: int
    limit: float  # of staleness, age, probability, norm or distance
    stop: bool
    rate: int
    a: float  # parameters of the rate
    b: float
    table: Floats
    schedule: int
    power: float
    offset: int
    strength: float  # of the compensation; 0: none
    decay: float  # -1: constant strength
    momentum: float
    clip: float  # inf: none
    by_weight: bool
    summed: bool
    projection: int
    lazy: bool
    low: Floats  # of a box, or the centre of a ball
    high: Floats  # of a box, or the radius of a ball


class Plan(NamedTuple):
    """When to stop, when to record, and the key of the random numbers."""

    learning_rate: float
    updates: int
    time: float
    until_loss: float
    loss_interval: int
    by_time: bool
    diagonal: bool  # the objective is a quadratic, whose gradient the loop knows
    log: bool
    measures: int  # numbers that the loss leaves at the beginning of the scratch
    grid: Floats  # times, or numbers of updates
    k0: int
    k1: int


class Records(NamedTuple):
    """What the loop fills, a row for each run; `progress` counts finished runs and parts."""

    at: Floats  # (runs, records): update numbers if recorded by time, else times
    loss: Floats  # (runs, records)
    measures: Floats  # (runs, records * measures): accuracy and the like
    status: Integers
    end_time: Floats
    updates: Integers
    applied: Integers  # (runs, workers)
    discarded: Integers
    cancelled: Integers
    idle: Floats  # (runs, workers): time without work
    progress: Floats  # (blocks,)
    stop: NDArray[np.bool_]  # (1,): set by the caller to abandon the rest


def empty_records(
    runs: int, points: int, workers: int, blocks: int, *, measures: int = 0
) -> Records:
    """Return records that nobody has filled."""
    return Records(
        at=np.full((runs, points), np.nan),
        loss=np.full((runs, points), np.nan),
        measures=np.full((runs, points * measures), np.nan),
        status=np.zeros(runs, np.int64),
        end_time=np.zeros(runs),
        updates=np.zeros(runs, np.int64),
        applied=np.zeros((runs, workers), np.int64),
        discarded=np.zeros((runs, workers), np.int64),
        cancelled=np.zeros((runs, workers), np.int64),
        idle=np.zeros((runs, workers)),
        progress=np.zeros(blocks),
        stop=np.zeros(1, np.bool_),
    )


def rules_of(method: rule.Composed, workers: int, learning_rate: float, dim: int) -> Rules:
    """Write a composed method as numbers.

    Parameters
    ----------
    method : Composed
        The method.
    workers : int
        Number of workers, for rules that depend on it.
    learning_rate : float
        Full learning rate.
    dim : int
        Number of parameters.

    Returns
    -------
    Rules

    Raises
    ------
    sdde.ArgumentError
        If the method waits for more workers than there are, or projects onto another space.
    """
    waiting = method.waiting
    group = waiting if isinstance(waiting, rule.Group) else rule.Group()
    size = workers if group.size is None else group.size
    if isinstance(waiting, rule.BalancedGroup):
        size = waiting.size
    if group.idle and size > workers:
        raise checks.fail(
            "method", method, f"waits for {size} of {workers} workers",
            why="Workers that wait for an update would wait for ever.",
            remedy=f"Give at most {workers}.",
        )  # fmt: skip
    balanced = isinstance(waiting, rule.BalancedGroup)
    admission, limit = _admission(method.admission)
    rate, a, b, table = _rate(method.rate, workers, learning_rate)
    schedule, fix = method.schedule, method.compensation
    kind, low, high = _projection(method.projection, dim)
    kinds = {"power": POWER_LAW, "log": LOG, "loglog": LOGLOG}
    return Rules(
        size=size, balanced=balanced, idle=group.idle, cancel=group.cancel or balanced,
        lead=waiting.most if isinstance(waiting, rule.Lead) else -1,
        admission=admission, limit=limit, stop=bool(getattr(method.admission, "stop", False)),
        rate=rate, a=a, b=b, table=table,
        schedule=STEADY if schedule is None else kinds[schedule.kind],
        power=1.0 if schedule is None else float(schedule.power),
        offset=1 if schedule is None else int(schedule.first or 1),
        strength=0.0 if fix is None else float(fix.strength),
        decay=-1.0 if fix is None or fix.decay is None else float(fix.decay),
        momentum=float(method.momentum), by_weight=method.by_weight, summed=method.summed,
        projection=kind, lazy=method.projection is not None and method.projection.lazy,
        low=low, high=high, clip=math.inf if method.clip is None else float(method.clip),
    )  # fmt: skip


def _projection(value: Projection | None, dim: int) -> tuple[int, Floats, Floats]:
    if isinstance(value, Ball):
        return BALL, per_axis("centre", value.centre, dim), np.array([float(value.radius)])
    if isinstance(value, Box):
        low, high = (per_axis(name, getattr(value, name), dim) for name in ("lowest", "highest"))
        return BOX, low, high
    return FREE, np.zeros(1), np.zeros(1)


def _admission(value: rule.Admission | None) -> tuple[int, float]:
    if isinstance(value, rule.Fresh):
        return FRESH, float(value.limit)
    if isinstance(value, rule.Young):
        return YOUNG, float(value.age)
    if isinstance(value, rule.Chance):
        return CHANCE, float(value.keep)
    if isinstance(value, rule.Large):
        return LARGE, float(value.norm)
    if isinstance(value, rule.Near):
        return NEAR, float(value.distance)
    return ALL, 0.0


def _rate(value: Any, workers: int, learning_rate: float) -> tuple[int, float, float, Floats]:
    """Return code, two parameters and a table of weights."""
    none = np.zeros(1)
    match value:
        case weight.Inverse():
            return INVERSE, 0.0, 0.0, none
        case weight.Adaptive():
            return ADAPTIVE, float(value.full or workers), 0.0, none
        case weight.Capped():
            most = 1.0 / (4.0 * value.smoothness * learning_rate)
            return CAPPED, float(value.full or workers), most, none
        case weight.Power():
            return POWER, float(value.power), 0.0, none
        case weight.Decay():
            t = workers + 1
            rate = 2.0 / t * math.log1p(t / 2.0) if value.rate is None else value.rate
            return DECAY, float(rate), 0.0, none
        case weight.Tail():
            first, last = (float(workers * edge) for edge in value.window)
            # Room for the staleness that the window can show: nothing in it is staler than its end.
            return TAIL, float(value.amplitude), first, np.zeros(int(last) + 1)
        case weight.Table():
            return TABLE, 0.0, 0.0, np.array(value.weights)
        case weight.ImplicitMomentum():
            return TABLE, 0.0, 0.0, value.table(workers)
        case weight.InverseDistance():
            return INVERSE_DISTANCE, value.constant / learning_rate, 0.0, none
    return EVEN, 0.0, 0.0, none


def machines_of(system: System, workers: int, *, stationary: bool) -> Machines:
    """Write the laws of a system as tables.

    Parameters
    ----------
    system : System
        The machines.
    workers : int
        How many of them work.
    stationary : bool
        Whether first jobs are already under way.

    Returns
    -------
    Machines

    Raises
    ------
    sdde.ArgumentError
        If laws and workers disagree, or the system has no simple long-run state to start from.
    """
    compute = _one_each(system.compute_laws(workers), workers)
    own = system.communication_laws(workers)
    links = None if own is None else _one_each(own, workers)
    shared = system.communication if isinstance(system.communication, SharedLink) else None
    update = None if system.update_time is None else as_law(system.update_time, "update_time")
    if stationary and (shared is not None or update is not None):
        raise checks.fail(
            "start", "stationary", "is not possible with a shared link or a server that needs time",
            why="Workers then queue, and the long-run state of the queue has no simple law.",
            remedy='Use start = "together", and leave out the beginning of the records.',
        )  # fmt: skip
    tables = _Tables()
    none = np.full(workers, -1)
    biased, link_biased, share = none, none, np.ones(workers)
    if stationary:
        biased = np.array([tables.add(law, biased=True) for law in compute])
        if links is not None:
            link_biased = np.array([tables.add(law, biased=True) for law in links])
            pairs = zip(compute, links, strict=True)
            share = np.array([c.mean / (c.mean + u.mean) for c, u in pairs])
    return Machines(
        compute=np.array([tables.add(law) for law in compute]),
        communication=none if links is None else np.array([tables.add(law) for law in links]),
        link=-1 if shared is None else tables.add(as_law(shared.law, "law")),
        capacity=1 if shared is None else shared.capacity,
        update=-1 if update is None else tables.add(update), stationary=stationary,
        biased_compute=biased, biased_communication=link_biased, compute_share=share,
        tables=tables.joined(),
    )  # fmt: skip


def _one_each(laws: tuple[Law, ...], workers: int) -> tuple[Law, ...]:
    return laws * workers if len(laws) == 1 else laws


class _Tables:
    """Quantile tables end to end, each law once."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []
        self._laws: list[Law] = []  # kept, so that no other source can get the same id
        self._starts: dict[tuple[int, bool], int] = {}
        self._size = 0

    def add(self, law: Law, *, biased: bool = False) -> int:
        """Return where the table of a law begins, or of the same law weighted by length."""
        name = (id(law.source), biased)
        if name not in self._starts:
            part = _biased_table(law) if biased else law.table()
            self._parts.append(part)
            self._laws.append(law)
            self._starts[name] = self._size
            self._size += len(part)
        return self._starts[name]

    def joined(self) -> Floats:
        """Return all tables in one array."""
        return np.concatenate(self._parts)


def _biased_table(law: Law) -> Floats:
    """Return the table of the law weighted by length, as weighted points.

    The points are the quadrature nodes of the law: exact for constants and measurements, and for
    smooth laws the uniform position within the job makes the residual time smooth again.
    """
    values, weights = law.nodes()
    mass = values * weights
    keep = mass > 0
    if not keep.any():
        return law.table()
    cumulative = np.cumsum(mass[keep]) / mass[keep].sum()
    cumulative[-1] = 1.0
    return np.concatenate([[WEIGHTED, float(len(cumulative))], cumulative, values[keep]])
