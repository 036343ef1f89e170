"""The event loop: workers read, compute and push; the server applies; every event in exact order.

Each worker has at most one event ahead: the end of its computation, or of its transfer on a shared
link. A tournament over workers (a binary tree of earliest times) gives the next event; the server's
own work is one more contestant. Random numbers have addresses (run, worker, job), so a run is the
same bits whatever other runs, threads or records there are. Arrays in, arrays out; which objective
is minimised is decided by the type of `objective` (see `gradients`).

Ties: events at the same time are taken in the order of the workers' numbers, the server last; a
gradient that arrives at the very end of a run still counts, and a record shows the state after the
events of its instant.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sdde.cluster.gradients import gradient, loss
from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DONE, REACHED, DIVERGED = 0, 1, 2
LARGEST = 1e12  # a run whose parameters pass this times the start (at least 1) has diverged
COMPUTING, SENDING = 0, 1
_PULSE = 255  # updates between two looks at the stop flag, a mask

_OPTIONS = {"error_model": "numpy", "fastmath": False, "nogil": True}
_inline = njit(forceinline=True, **_OPTIONS)


class Machines(NamedTuple):
    """Laws as tables end to end in `tables`; a span is (first, last + 1), (0, 0) where there is
    none.
    """

    tables: Floats
    compute: Integers  # (workers, 2)
    communication: Integers  # (workers, 2): links of the workers' own
    link: Integers  # (2,): the shared link
    capacity: int
    update: Integers  # (2,)
    stationary: bool
    biased_compute: Integers  # (workers, 2): laws weighted by length, for jobs already under way
    biased_communication: Integers
    compute_share: Floats  # (workers,): mean computation over mean cycle


class Plan(NamedTuple):
    """When to stop, when to record, and the key of the random numbers."""

    learning_rate: float
    updates: int
    time: float
    until_loss: float
    loss_interval: int
    by_time: bool
    grid: Floats  # times, or numbers of updates
    k0: int
    k1: int


class Records(NamedTuple):
    """What the loop fills, a row for each run; `progress` counts finished runs and parts."""

    at: Floats  # (runs, records): update numbers if recorded by time, else times
    loss: Floats  # (runs, records)
    status: Integers
    end_time: Floats
    updates: Integers
    counts: Integers  # (runs, workers)
    progress: Floats  # (blocks,)
    stop: NDArray[np.bool_]  # (1,): set by the caller to abandon the rest


@_inline
def _draw(machines, span, u):
    return quantile(machines.tables[span[0] : span[1]], u)


@_inline
def _job_time(machines, plan, run, worker, job, spare):
    """Return the time of a job: computation, then the worker's own link if it has one."""
    if job & 1:  # two jobs share one counter of the generator
        u = spare[worker]
    else:
        pair = job >> 1
        u, spare[worker] = streams.uniform_pair(
            plan.k0, plan.k1, run, pair, worker, streams.COMPUTE
        )
    time = _draw(machines, machines.compute[worker], u)
    if machines.communication[worker, 1] > 0:
        v = streams.uniform(plan.k0, plan.k1, run, job, worker, streams.COMMUNICATION)
        time += _draw(machines, machines.communication[worker], v)
    return time


@_inline
def _residual_time(machines, plan, run, worker, spare):
    """Return what is left of a job met at a random instant of a long run.

    The job met is drawn with probability proportional to its length, and the instant is uniform in
    it. The length of a sum is weighted by weighting one part, chosen in proportion to its mean.
    """
    u, spare[worker] = streams.uniform_pair(plan.k0, plan.k1, run, 0, worker, streams.COMPUTE)
    part, left = streams.uniform_pair(plan.k0, plan.k1, run, 0, worker, streams.DECISIONS)
    in_compute = part < machines.compute_share[worker]
    span = machines.biased_compute if in_compute else machines.compute
    time = _draw(machines, span[worker], u)
    if machines.communication[worker, 1] > 0:
        v = streams.uniform(plan.k0, plan.k1, run, 0, worker, streams.COMMUNICATION)
        other = machines.communication if in_compute else machines.biased_communication
        time += _draw(machines, other[worker], v)
    return left * time


@_inline
def _schedule(key, owner, leaf, time):
    """Enter the next event of a contestant and replay its matches up to the root."""
    node = key.shape[0] // 2 + leaf
    best, who = time, owner[node]
    key[node] = best
    while node > 1:
        rival, other = key[node ^ 1], owner[node ^ 1]
        lost = rival < best or (rival == best and other < who)
        best = rival if lost else best
        who = other if lost else who
        node >>= 1
        key[node] = best
        owner[node] = who


@_inline
def _replay_all(key, owner):
    for node in range(key.shape[0] // 2 - 1, 0, -1):
        first = 2 * node if key[2 * node] <= key[2 * node + 1] else 2 * node + 1
        key[node] = key[first]
        owner[node] = owner[first]


@_inline
def _transfer_end(now, free, duration):
    """Take the link that is free first, from now or when it is free; return when the transfer
    ends.
    """
    first = 0
    for i in range(1, free.shape[0]):
        if free[i] < free[first]:
            first = i
    free[first] = max(now, free[first]) + duration
    return free[first]


@njit(cache=True, **_OPTIONS)
def run_block(objective, machines, plan, records, first, last, block):
    """Simulate runs `first` to `last` - 1; return how often each staleness occurred."""
    workers = machines.compute.shape[0]
    dim = objective.start.shape[0]
    points = plan.grid.shape[0]
    served = machines.update[1] > 0  # updates take time
    linked = machines.link[1] > 0
    leaves = 1
    while leaves < workers + (1 if served else 0):
        leaves *= 2
    key = np.empty(2 * leaves)
    owner = np.empty(2 * leaves, np.int64)
    x, step = np.empty(dim), np.empty(dim)
    reads = np.empty((workers, dim))
    versions, jobs = np.empty(workers, np.int64), np.empty(workers, np.int64)
    activity = np.empty(workers, np.int64)
    spare = np.empty(workers)
    queue = np.empty(workers, np.int64)
    free = np.empty(machines.capacity)
    histogram = np.zeros(4 * workers + 16, np.int64)
    limit = 1.0
    for i in range(dim):
        limit = max(limit, abs(objective.start[i]))
    limit *= LARGEST

    for run in range(first, last):
        if records.stop[0]:
            break
        key[:] = math.inf
        for i in range(leaves):
            owner[leaves + i] = i
        x[:] = objective.start
        free[:] = 0.0
        for w in range(workers):
            reads[w] = x
            versions[w] = 0
            jobs[w] = 0
            activity[w] = COMPUTING
            if machines.stationary:
                key[leaves + w] = _residual_time(machines, plan, run, w, spare)
            else:
                key[leaves + w] = _job_time(machines, plan, run, w, 0, spare)
        _replay_all(key, owner)
        version, cursor, waiting, head, serving = 0, 0, 0, 0, -1
        end, status = 0.0, DONE
        if not plan.by_time:
            records.at[run, 0] = 0.0
            records.loss[run, 0] = loss(objective, x)
            cursor = 1
        if loss(objective, x) <= plan.until_loss:
            status = REACHED

        while status == DONE and version < plan.updates:
            now, w = key[1], owner[1]
            if plan.by_time:
                while cursor < points and plan.grid[cursor] < now:
                    records.at[run, cursor] = version
                    records.loss[run, cursor] = loss(objective, x)
                    cursor += 1
            if now > plan.time:
                end = plan.time
                break
            if w < workers:
                if linked and activity[w] == COMPUTING:
                    activity[w] = SENDING
                    v = streams.uniform(plan.k0, plan.k1, run, jobs[w], w, streams.COMMUNICATION)
                    sent = _transfer_end(now, free, _draw(machines, machines.link, v))
                    _schedule(key, owner, w, sent)
                    continue
                if served:
                    _schedule(key, owner, w, math.inf)
                    queue[(head + waiting) % workers] = w
                    waiting += 1
                    if serving < 0:
                        serving = w
                        v = streams.uniform(plan.k0, plan.k1, run, version, 0, streams.SERVER)
                        _schedule(key, owner, workers, now + _draw(machines, machines.update, v))
                    continue
            else:
                w = serving

            # Apply the gradient of worker w, which then fetches the parameters and starts again.
            gradient(objective, reads[w], step, plan.k0, plan.k1, run, w, jobs[w])
            sound = True
            for i in range(dim):
                x[i] -= plan.learning_rate * step[i]
                reads[w, i] = x[i]
                sound &= abs(x[i]) <= limit
            staleness = version - versions[w]
            if staleness >= histogram.shape[0]:
                grown = np.zeros(2 * staleness, np.int64)
                grown[: histogram.shape[0]] = histogram
                histogram = grown
            histogram[staleness] += 1
            version += 1
            versions[w] = version
            records.counts[run, w] += 1
            jobs[w] += 1
            activity[w] = COMPUTING
            end = now
            _schedule(key, owner, w, now + _job_time(machines, plan, run, w, jobs[w], spare))
            if served:
                head = (head + 1) % workers
                waiting -= 1
                serving = -1
                upcoming = math.inf
                if waiting > 0:
                    serving = queue[head]
                    v = streams.uniform(plan.k0, plan.k1, run, version, 0, streams.SERVER)
                    upcoming = now + _draw(machines, machines.update, v)
                _schedule(key, owner, workers, upcoming)

            if not sound:
                status = DIVERGED
            elif (
                plan.until_loss > -math.inf
                and version % plan.loss_interval == 0
                and loss(objective, x) <= plan.until_loss
            ):
                status = REACHED
            if not plan.by_time and cursor < points and plan.grid[cursor] == version:
                records.at[run, cursor] = now
                records.loss[run, cursor] = loss(objective, x) if sound else math.inf
                cursor += 1
            if version & _PULSE == 0:
                if records.stop[0]:
                    break
                done = version / plan.updates
                if plan.by_time:
                    done = now / plan.time
                records.progress[block] = run - first + done

        if plan.by_time:
            while cursor < points and plan.grid[cursor] <= end:
                records.at[run, cursor] = version
                records.loss[run, cursor] = math.inf if status == DIVERGED else loss(objective, x)
                cursor += 1
        records.status[run] = status
        records.end_time[run] = end
        records.updates[run] = version
        records.progress[block] = run - first + 1
    return histogram
