"""The event loop's own memory: arrays that Python makes and compiled code fills.

A loop that allocates nothing needs no counting of references, which would cost more than an event.
Each thread has a workspace of its own. Nothing here computes.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import boolean, float64, int64, types

from sdde.cluster.encoding import Floats, Integers, Machines, Rules
from sdde.cluster.timing import AHEAD


class Workspace(NamedTuple):
    """Arrays for one run at a time."""

    key: Floats  # the tournament: times of its nodes, and whose they are
    owner: Integers
    x: Floats
    step: Floats  # a gradient
    total: Floats  # of a group of gradients
    velocity: Floats
    behind: Floats  # parameters before projection
    reads: Floats  # (workers, dim): what each worker has read
    sums: Floats  # (workers, dim): gradients of a balanced group
    squares: Floats  # (workers, dim): running means of the compensation
    tail: Floats  # counts of staleness
    free: Floats  # when the channels of the shared link are free
    times: Floats  # compute times of each worker's next jobs, drawn ahead
    noise: Floats  # normals of the same jobs
    spare: Floats
    access: Floats  # (workers,): time to read and write shared memory
    scale: Floats  # (workers,): weights of gradients that are being written
    shown: Floats  # parameters that workers can read
    surplus: Floats  # (workers, dim): gradients of the next round
    weights: Floats  # of the group so far
    down_from: Floats  # (workers,): the outage that is not yet over
    down_until: Floats
    read_time: Floats  # (workers,)
    paused: Floats  # when each worker became idle
    versions: Integers  # (workers,): which parameters were read
    jobs: Integers
    activity: Integers
    members: Integers  # gradients of each worker in a balanced group
    more: Integers  # and for the next round
    again: Integers  # whether a worker keeps what it has read
    done: Integers  # whether the round has served it
    counts: Integers  # see `grouping`
    outages: Integers  # of each worker so far
    whose: Integers  # (slots,): workers first, then shelves for finished work
    shelves: Integers  # those that are empty
    queue: Integers  # slots that wait at a busy server
    ready: Integers  # who begins now


_TABLES = ("reads", "sums", "squares", "surplus")


def empty_workspace(machines: Machines, rules: Rules, dim: int) -> Workspace:
    """Return a workspace for these machines and rules."""
    workers = len(machines.compute)
    slots = workers + max(machines.buffer, 0)
    table = workers if rules.balanced or rules.rounds or rules.blocks else 0
    leaves = 1
    while leaves < workers + (machines.update >= 0):
        leaves *= 2

    def floats(*shape: int) -> Floats:
        return np.zeros(shape)

    def integers(size: int) -> Integers:
        return np.zeros(size, np.int64)

    return Workspace(
        key=floats(2 * leaves), owner=integers(2 * leaves), x=floats(dim), step=floats(dim),
        total=floats(dim), velocity=floats(dim), behind=floats(dim), reads=floats(slots, dim),
        sums=floats(table, dim), surplus=floats(workers if rules.rounds else 0, dim),
        access=floats(workers), scale=floats(workers), shown=floats(dim),
        weights=floats(1), down_from=floats(workers), down_until=floats(workers),
        squares=floats(workers if rules.decay >= 0.0 else 0, dim),
        tail=floats(len(rules.table)), free=floats(machines.capacity),
        times=floats(AHEAD * workers), noise=floats(AHEAD * workers), spare=floats(AHEAD),
        read_time=floats(slots), paused=floats(workers), versions=integers(slots),
        jobs=integers(slots), activity=integers(workers), members=integers(workers),
        more=integers(workers), again=integers(workers), done=integers(workers), counts=integers(2),
        outages=integers(workers), whose=integers(slots), shelves=integers(slots - workers),
        queue=integers(slots), ready=integers(workers),
    )  # fmt: skip


def type_of(kind: Any, tables: tuple[str, ...] = _TABLES) -> Any:
    """Return the numba type of a named tuple, read from its annotations; `tables` have two axes."""
    kinds = {int: int64, float: float64, bool: boolean, Floats: float64, Integers: int64}
    fields = []
    for name, annotation in kind.__annotations__.items():
        item = kinds.get(annotation, boolean)
        if annotation in (int, float, bool):
            fields.append(item)
        else:
            fields.append(item[:, ::1] if name in tables else item[::1])
    return types.NamedTuple(fields, kind)
