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
    read_time: Floats  # (workers,)
    paused: Floats  # when each worker became idle
    versions: Integers  # (workers,): which parameters were read
    jobs: Integers
    activity: Integers
    members: Integers  # gradients of each worker in a balanced group
    queue: Integers  # who waits at a busy server
    ready: Integers  # who begins now


_TABLES = ("reads", "sums", "squares")


def empty_workspace(machines: Machines, rules: Rules, dim: int) -> Workspace:
    """Return a workspace for these machines and rules."""
    workers = len(machines.compute)
    leaves = 1
    while leaves < workers + (machines.update >= 0):
        leaves *= 2

    def floats(*shape: int) -> Floats:
        return np.zeros(shape)

    def integers(size: int) -> Integers:
        return np.zeros(size, np.int64)

    return Workspace(
        key=floats(2 * leaves), owner=integers(2 * leaves), x=floats(dim), step=floats(dim),
        total=floats(dim), velocity=floats(dim), behind=floats(dim), reads=floats(workers, dim),
        sums=floats(workers if rules.balanced else 0, dim),
        squares=floats(workers if rules.decay >= 0.0 else 0, dim),
        tail=floats(len(rules.table)), free=floats(machines.capacity),
        times=floats(AHEAD * workers), noise=floats(AHEAD * workers), spare=floats(AHEAD),
        read_time=floats(workers), paused=floats(workers), versions=integers(workers),
        jobs=integers(workers), activity=integers(workers), members=integers(workers),
        queue=integers(workers), ready=integers(workers),
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
