"""The event loop: workers read, compute and push; the server waits, admits, weighs and updates.

Each worker has at most one event ahead: the end of its computation, or of its transfer on a shared
link. A tournament over workers (a binary tree of earliest times) gives the next event; the server's
own work is one more contestant. Random numbers have addresses (run, worker, job), so a run is the
same bits whatever other runs, threads or records there are. What the numbers in `Machines` and
`Rules` mean is said in `encoding`; the objective is two function pointers.

Ties: events at the same time are taken in the order of the workers' numbers, the server last; a
gradient that arrives at the very end of a run still counts, and a record shows the state after the
events of its instant.
"""

import math
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import float64, int64, njit, types

from sdde.cluster import encoding as code
from sdde.cluster.encoding import Machines, Plan, Records, Rules, rules_of
from sdde.cluster.gradients import GRADIENT, LOSS, diagonal_gradient
from sdde.cluster.plain_loop import run_plain
from sdde.cluster.recording import (
    DONE,
    STALLED,
    bound_of,
    close_run,
    open_run,
    status_of,
    write_before,
    write_update,
)
from sdde.cluster.rules import Composed
from sdde.cluster.timing import (
    AHEAD,
    chance,
    clear,
    draw,
    enter,
    residual_time,
    times_ahead,
    transfer_end,
)
from sdde.cluster.weighing import (
    clip,
    compensate,
    distance_squared,
    is_balanced,
    join_balanced,
    norm_squared,
    project,
    schedule_factor,
    tail_weight,
    weight_of,
)
from sdde.cluster.workspace import Workspace, type_of
from sdde.engine import storage, streams

PATIENCE = 10_000  # gradients per worker dropped in a row before a run counts as stalled

# What a worker does; from QUEUED on it is idle.
COMPUTING, SENDING, GIVING_UP, QUEUED, WAITING, HELD = range(6)

_PULSE = 255  # updates between two looks at the stop flag, a mask
_options: dict[str, Any] = {
    "forceinline": True, "error_model": "numpy", "fastmath": False, "_nrt": False,
}  # fmt: skip
_diagonal_gradient = njit(**_options)(diagonal_gradient)


def run_block(
    gradient, loss, numbers, scratch, start, machines, rules, plan, records, work, histogram, log,
    block,
):  # fmt: skip
    """Simulate the runs of a block; count each staleness; return the length of the log.

    `block` is (first run, last run + 1, number of the block). A row of the log is one gradient:
    run, worker, read time, time at the server, version read, version made, whether it was dropped;
    what is beyond its end is lost. The last entry of the histogram counts that staleness and more.
    """
    tables, compute, communication = machines.tables, machines.compute, machines.communication
    link, served = machines.link, machines.update >= 0
    k0, k1, grid, by_time = plan.k0, plan.k1, plan.grid, plan.by_time
    applied, discarded, cancelled = records.applied, records.discarded, records.cancelled
    idle = records.idle
    key, owner, x, step, total = work.key, work.owner, work.x, work.step, work.total
    velocity, behind, reads, sums = work.velocity, work.behind, work.reads, work.sums
    squares, tail, free, times = work.squares, work.tail, work.free, work.times
    read_time, paused, versions, jobs = work.read_time, work.paused, work.versions, work.jobs
    activity, members, queue, ready = work.activity, work.members, work.queue, work.ready
    admission, rate = rules.admission, rules.rate
    giving_up = rules.stop and admission == code.YOUNG
    overtaken = rules.stop and admission == code.FRESH
    workers, dim, points = compute.shape[0], start.shape[0], grid.shape[0]
    diagonal = plan.diagonal
    logged = 0
    limit = bound_of(start)

    for run in range(block[0], block[1]):
        clear(key, owner)
        for w in range(workers):
            applied[run, w], discarded[run, w], cancelled[run, w] = 0, 0, 0
            idle[run, w] = 0.0
        for i in range(dim):  # numba compiles x[:] = start, with its checks, for seconds
            x[i] = start[i]
            velocity[i] = 0.0
            behind[i] = start[i]
        for array in (tail, free, sums.reshape(sums.size), squares.reshape(squares.size)):
            array[:] = 0.0
        for w in range(workers):
            ready[w], members[w], jobs[w], activity[w] = w, 0, -1, COMPUTING
        beginning = workers  # how many of `ready` begin now
        now, end = 0.0, 0.0
        version, taken, collected, refused = 0, 0, 0, 0
        weights = 0.0
        head, waiting, serving = 0, 0, -1
        cursor, status = open_run(loss, x, numbers, scratch, plan, records, run)

        while True:
            for j in range(beginning):
                w = ready[j]
                if activity[w] >= QUEUED:
                    idle[run, w] += now - paused[w]
                for i in range(dim):
                    reads[w, i] = x[i]
                versions[w] = version
                read_time[w] = now
                jobs[w] += 1
                activity[w] = COMPUTING
                place = jobs[w] % AHEAD
                if place == 0:
                    times_ahead(
                        tables, compute, communication, times, work.spare, k0, k1, run, w, jobs[w]
                    )
                time = times[AHEAD * w + place]
                if giving_up and time > rules.limit:
                    time = rules.limit
                    activity[w] = GIVING_UP
                if machines.stationary and jobs[w] == 0:
                    time = residual_time(
                        tables, compute, communication, machines.biased_compute,
                        machines.biased_communication, machines.compute_share, k0, k1, run, w,
                    )  # fmt: skip
                enter(key, owner, w, now + time)
            beginning = 0
            if status != DONE or version >= plan.updates:
                break

            now, w = key[1], owner[1]
            if by_time:
                cursor = write_before(
                    loss, x, numbers, scratch, plan, records, run, cursor, now, version
                )
            if now > plan.time:
                end = plan.time
                break
            complete = w == workers  # the server has finished an update
            if not complete:
                if activity[w] == GIVING_UP:
                    cancelled[run, w] += 1
                    ready[0] = w
                    beginning = 1
                    continue
                if link >= 0 and activity[w] == COMPUTING:
                    activity[w] = SENDING
                    duration = draw(tables, link, k0, k1, run, jobs[w], w, streams.COMMUNICATION)
                    enter(key, owner, w, transfer_end(now, free, duration))
                    continue
                if serving >= 0:
                    activity[w] = QUEUED
                    paused[w] = now
                    enter(key, owner, w, math.inf)
                    queue[(head + waiting) % workers] = w
                    waiting += 1
                    continue

            while True:  # until the server is busy, or nobody is in its queue
                if not complete:
                    # The server looks at the gradient of worker w: take it or leave it.
                    staleness = version - versions[w]
                    keep = True
                    if admission != code.ALL:
                        if admission == code.FRESH:
                            keep = staleness < rules.limit
                        elif admission == code.YOUNG:
                            keep = now - read_time[w] <= rules.limit
                        elif admission == code.CHANCE:
                            keep = chance(k0, k1, run, jobs[w], w) < rules.limit
                        elif admission == code.NEAR:
                            keep = distance_squared(x, reads, w) <= rules.limit * rules.limit
                    if keep:
                        if diagonal:
                            _diagonal_gradient(
                                reads, w, step, numbers, scratch, k0, k1, run, w, jobs[w]
                            )
                        else:
                            gradient(reads, w, step, numbers, scratch, k0, k1, run, w, jobs[w])
                        if admission == code.LARGE:
                            keep = norm_squared(step) >= rules.limit * rules.limit
                    if plan.log:
                        if logged < log.shape[0]:
                            log[logged, 0], log[logged, 1] = run, w
                            log[logged, 2], log[logged, 3] = read_time[w], now
                            log[logged, 4] = versions[w]
                            log[logged, 5] = version + 1 if keep else version
                            log[logged, 6] = 0.0 if keep else 1.0
                        logged += 1
                    if not keep:
                        discarded[run, w] += 1
                        refused += 1
                        if refused > PATIENCE * workers:
                            status = STALLED
                            end = now
                            break
                        ready[beginning] = w
                        beginning += 1
                    else:
                        refused = 0
                        histogram[min(staleness, histogram.shape[0] - 1)] += 1
                        applied[run, w] += 1
                        if rules.clip < math.inf:
                            clip(step, rules.clip)
                        if rules.strength > 0.0:
                            compensate(step, x, reads, w, rules.strength, rules.decay, squares)
                        weight = 1.0
                        if rate != code.EVEN:
                            if rate == code.TAIL:
                                weight = tail_weight(tail, rules.a, rules.b, taken, staleness)
                            elif rate == code.INVERSE_DISTANCE:
                                square = distance_squared(x, reads, w)
                                weight = 1.0 if square <= rules.a else rules.a / square
                            else:
                                weight = weight_of(rate, rules.a, rules.b, rules.table, staleness)
                        taken += 1
                        collected += 1
                        if rules.balanced:
                            members[w] += 1
                            for i in range(dim):
                                sums[w, i] += weight * step[i]
                            complete = is_balanced(rules.size, members)
                        else:
                            if collected == 1:
                                weights = weight
                                for i in range(dim):
                                    total[i] = weight * step[i]
                            else:
                                weights += weight
                                for i in range(dim):
                                    total[i] += weight * step[i]
                            complete = collected == rules.size
                        if complete:
                            serving = w
                            if served:
                                if activity[w] < QUEUED:
                                    activity[w] = QUEUED
                                    paused[w] = now
                                    enter(key, owner, w, math.inf)
                                duration = draw(
                                    tables, machines.update, k0, k1, run, version, 0, streams.SERVER
                                )
                                enter(key, owner, workers, now + duration)
                                break
                        elif rules.idle:
                            if activity[w] < QUEUED:
                                paused[w] = now
                                enter(key, owner, w, math.inf)
                            activity[w] = WAITING
                        else:
                            ready[beginning] = w
                            beginning += 1
                if complete:
                    # The server updates the parameters and lets workers go on.
                    w = serving
                    serving = -1
                    complete = False
                    if served:
                        enter(key, owner, workers, math.inf)
                    divisor = float(rules.size)
                    if rules.balanced:
                        join_balanced(total, sums, members)
                        divisor = float(workers)
                    elif rules.summed:
                        divisor = 1.0
                    elif rules.by_weight:
                        divisor = max(weights, 1e-300)
                    factor = plan.learning_rate / divisor
                    if rules.schedule != code.STEADY:
                        factor *= schedule_factor(
                            rules.schedule, rules.power, rules.offset, version
                        )
                    if rules.momentum > 0.0:
                        for i in range(dim):
                            velocity[i] = rules.momentum * velocity[i] + total[i]
                            total[i] = velocity[i]
                    sound = True
                    for i in range(dim):
                        x[i] -= factor * total[i]
                        sound &= abs(x[i]) <= limit
                    if rules.projection != code.FREE:
                        for i in range(dim):
                            behind[i] -= factor * total[i]
                            sound &= abs(behind[i]) <= limit
                        project(behind, x, rules.projection, rules.lazy, rules.low, rules.high)
                    version += 1
                    collected = 0
                    end = now

                    if rules.cancel:
                        waiting = 0
                        beginning = workers
                        for j in range(workers):
                            ready[j] = j
                            if j != w and activity[j] != WAITING:
                                cancelled[run, j] += 1
                    elif rules.lead >= 0:
                        if activity[w] < QUEUED:
                            paused[w] = now
                            enter(key, owner, w, math.inf)
                        activity[w] = HELD
                        slowest = applied[run, 0]
                        for j in range(workers):
                            slowest = min(slowest, applied[run, j])
                        for j in range(workers):
                            if activity[j] == HELD and applied[run, j] - slowest <= rules.lead:
                                ready[beginning] = j
                                beginning += 1
                    else:
                        ready[beginning] = w
                        beginning += 1
                        if rules.idle or overtaken:
                            for j in range(workers):
                                late = version - versions[j] >= rules.limit
                                if activity[j] == WAITING:
                                    ready[beginning] = j
                                    beginning += 1
                                elif overtaken and activity[j] < QUEUED and j != w and late:
                                    cancelled[run, j] += 1
                                    ready[beginning] = j
                                    beginning += 1

                    status = status_of(loss, x, numbers, scratch, plan, version, sound)
                    if not by_time and cursor < points and grid[cursor] == version:
                        cursor = write_update(
                            loss, x, numbers, scratch, plan, records, run, cursor, now, sound
                        )
                    if version & _PULSE == 0:
                        if records.stop[0]:
                            return logged
                        done = now / plan.time if by_time else version / plan.updates
                        records.progress[block[2]] = run - block[0] + done
                if waiting == 0 or status != DONE or version >= plan.updates:
                    break
                w = queue[head]
                head = (head + 1) % workers
                waiting -= 1

        close_run(loss, x, numbers, scratch, plan, records, run, cursor, end, version, status)
        records.progress[block[2]] = run - block[0] + 1
    return logged


_SOURCES = (
    "server", "plain_loop", "timing", "weighing", "gradients", "encoding", "workspace", "recording",
)  # fmt: skip


def event_loop(rules: Rules, machines: Machines, plan: Plan, dim: int) -> Any:
    """Return the loop for such runs, compiled, from the cache on disk if it was compiled before."""
    queues = machines.link >= 0 or machines.update >= 0
    if queues or plan.log or rules._replace(table=0, low=0, high=0) != _PLAIN:
        return _compiled("general")
    return _compiled("scalar" if plan.diagonal and dim == 1 else "plain")


_PLAIN = rules_of(Composed(), 1, 1.0, 1)._replace(table=0, low=0, high=0)


@cache
def _compiled(kind: str) -> Any:
    vector = float64[::1]
    signature = int64(
        types.FunctionType(GRADIENT), types.FunctionType(LOSS), vector, vector, vector,
        type_of(Machines), type_of(Rules), type_of(Plan),
        type_of(Records, ("at", "loss", "measures", "applied", "discarded", "cancelled", "idle")),
        type_of(Workspace), int64[::1], float64[:, ::1], types.UniTuple(int64, 3),
    )  # fmt: skip
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in _SOURCES]
    loop = run_block
    if kind != "general":
        given = {**run_plain.__globals__, "SCALAR": kind == "scalar"}
        loop = FunctionType(run_plain.__code__, given, run_plain.__name__)
    key = storage.key_of(kind.encode(), *sources)
    return storage.compiled(loop, signature, key, _nrt=False)
