"""Methods and plans as numbers: what the event loop reads instead of Python values.

Rules become codes with parameters, to which the event loop in `server` gives their meaning; systems
are written by `machine_tables`. Nothing here runs or draws anything.
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

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL, FRESH, YOUNG, CHANCE, LARGE, NEAR = range(6)
EVEN, INVERSE, ADAPTIVE, CAPPED, POWER, DECAY, TAIL, TABLE, INVERSE_DISTANCE = range(9)
STEADY, POWER_LAW, LOG, LOGLOG, STEPS, COSINE = range(6)
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
    buffer: int  # finished work that may wait without its worker; -1: none, and workers wait
    drift: Integers  # (workers,): factors by time
    late_link: Integers  # (workers,): own links of workers whose computations drift
    failing: bool
    planned: Integers  # (workers,): given outages
    up: Integers  # (workers,): laws of times up and down
    down: Integers
    fixed: bool  # nothing drifts, fails, is replayed or waits in a buffer


class Rules(NamedTuple):
    """A method as numbers."""

    size: int  # gradients in one update
    balanced: bool
    idle: bool
    cancel: bool
    rounds: bool
    budget: int  # of staleness, kept by holding workers back; -1: none
    blocks: int  # of shared memory; 0: everything is read and written at one instant
    share: float
    publish: int  # updates from one version that workers can read to the next
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
    breaks: Integers  # numbers of updates
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
    measures: Floats  # (runs, records * (measures + 1)): accuracy and the like, gradients arrived
    status: Integers
    end_time: Floats
    updates: Integers
    applied: Integers  # (runs, workers)
    discarded: Integers
    cancelled: Integers
    idle: Floats  # (runs, workers): time without work
    down: Floats  # (runs, workers): time in outages that have ended
    progress: Floats  # (blocks,)
    stop: NDArray[np.bool_]  # (1,): set by the caller to abandon the rest


def empty_records(
    runs: int, points: int, workers: int, blocks: int, *, measures: int = 0
) -> Records:
    """Return records that nobody has filled."""
    return Records(
        at=np.full((runs, points), np.nan),
        loss=np.full((runs, points), np.nan),
        measures=np.full((runs, points * (measures + 1)), np.nan),
        status=np.zeros(runs, np.int64),
        end_time=np.zeros(runs),
        updates=np.zeros(runs, np.int64),
        applied=np.zeros((runs, workers), np.int64),
        discarded=np.zeros((runs, workers), np.int64),
        cancelled=np.zeros((runs, workers), np.int64),
        idle=np.zeros((runs, workers)),
        down=np.zeros((runs, workers)),
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
    plan, power, offset, breaks = _schedule(schedule)
    written = Rules(
        size=size, balanced=balanced, idle=group.idle, cancel=group.cancel or balanced,
        blocks=0 if method.memory is None else min(method.memory.blocks, dim),
        share=0.0 if method.memory is None else float(method.memory.share),
        rounds=isinstance(waiting, rule.GradientTable),
        budget=-1 if method.budget is None else method.budget, publish=method.publish,
        lead=waiting.most if isinstance(waiting, rule.Lead) else -1,
        admission=admission, limit=limit, stop=bool(getattr(method.admission, "stop", False)),
        rate=rate, a=a, b=b, table=table,
        schedule=plan, power=power, offset=offset, breaks=breaks,
        strength=0.0 if fix is None else float(fix.strength),
        decay=-1.0 if fix is None or fix.decay is None else float(fix.decay),
        momentum=float(method.momentum), by_weight=method.by_weight, summed=method.summed,
        projection=kind, lazy=method.projection is not None and method.projection.lazy,
        low=low, high=high, clip=math.inf if method.clip is None else float(method.clip),
    )  # fmt: skip
    # One type for each number: compiled code is chosen by types, and NumPy has many.
    plain: list[Any] = [
        kind(value) if kind in (int, float, bool) else value
        for kind, value in zip(Rules.__annotations__.values(), written, strict=True)
    ]
    return Rules(*plain)


def _schedule(value: weight.AnySchedule | None) -> tuple[int, float, int, Integers]:
    """Return code, a float and a whole parameter, and numbers of updates."""
    kinds = {"power": POWER_LAW, "log": LOG, "loglog": LOGLOG}
    none = np.zeros(1, np.int64)
    if isinstance(value, weight.Steps):
        return STEPS, float(value.factor), 1, np.array(value.at, np.int64)
    if isinstance(value, weight.Cosine):
        return COSINE, float(value.lowest), int(value.updates), none
    if value is None:
        return STEADY, 1.0, 1, none
    return kinds[value.kind], float(value.power), int(value.first or 1), none


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
            product = 4.0 * value.smoothness * learning_rate
            most = 1.0 / product if product else math.inf  # too small for the numbers there are
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
