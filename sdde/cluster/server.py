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

import numpy as np
from numba import float64, int64, njit, types

from sdde.cluster import encoding as code
from sdde.cluster.encoding import Machines, Plan, Records, Rules, rules_of
from sdde.cluster.gradients import GRADIENT, LOSS, diagonal_gradient
from sdde.cluster.grouping import clear_groups, collect, update
from sdde.cluster.pacing import (
    COMPUTING,
    DOWN,
    GIVING_UP,
    GONE,
    HELD,
    LOST,
    QUEUED,
    SENDING,
    WAITING,
    first_blocked,
    next_held,
    next_outage,
    pause,
    shelve,
)
from sdde.cluster.plain_loop import run_plain
from sdde.cluster.recording import (
    DONE,
    STALLED,
    bound_of,
    close_run,
    note,
    open_run,
    status_of,
    write_before,
    write_update,
)
from sdde.cluster.rules import Composed
from sdde.cluster.shared_memory_loop import run_shared
from sdde.cluster.timing import (
    AHEAD,
    chance,
    clear,
    draw,
    enter,
    factor_at,
    residual_time,
    times_ahead,
    transfer_end,
)
from sdde.cluster.weighing import admitted, clip, compensate, norm_squared, weigh
from sdde.cluster.workspace import Workspace, type_of
from sdde.engine import storage, streams

PATIENCE = 10_000  # gradients per worker dropped in a row before a run counts as stalled

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

    `block` is (first run, last run + 1), and `records` begin with the first. A row of the log is
    one computation: run, worker, read time, when it ended, version read, version made, and what
    became of it (0 applied, 1 dropped, 2 stopped or lost); what is beyond its end is lost. The last
    entry of the histogram counts that staleness and more.
    """
    tables, compute, communication = machines.tables, machines.compute, machines.communication
    link, served, buffer = machines.link, machines.update >= 0, machines.buffer
    k0, k1, grid, by_time = plan.k0, plan.k1, plan.grid, plan.by_time
    applied, discarded, cancelled = records.applied, records.discarded, records.cancelled
    idle, down = records.idle, records.down
    key, owner, x, step, reads = work.key, work.owner, work.x, work.step, work.reads
    read_time, paused, versions, jobs = work.read_time, work.paused, work.versions, work.jobs
    activity, queue, ready, whose = work.activity, work.queue, work.ready, work.whose
    shown = x if rules.publish == 1 else work.shown
    giving_up = rules.stop and rules.admission == code.YOUNG
    overtaken = rules.stop and rules.admission == code.FRESH
    paced = rules.budget >= 0
    workers, dim, points = compute.shape[0], start.shape[0], grid.shape[0]
    room = queue.shape[0]
    zero = int64(0)  # typed: for a literal every helper would be compiled twice
    logged = zero
    limit = bound_of(start)

    for run in range(block[0], block[1]):
        row = run - block[0]
        clear(key, owner)
        clear_groups(work)
        for i in range(dim):  # numba compiles x[:] = start, with its checks, for seconds
            x[i], work.behind[i], work.shown[i] = start[i], start[i], start[i]
        for w in range(workers):
            applied[row, w], discarded[row, w], cancelled[row, w] = 0, 0, 0
            idle[row, w], down[row, w] = 0.0, 0.0
            ready[w], whose[w], jobs[w], activity[w] = w, w, -1, COMPUTING
            work.down_until[w], work.outages[w] = 0.0, 0
            paused[w] = 0.0
        for i in range(work.shelves.shape[0]):
            work.shelves[i] = workers + i
        beginning = workers  # how many of `ready` begin now
        now, end = 0.0, 0.0
        version, public, taken, refused, outstanding = zero, zero, zero, zero, zero
        head, waiting, stored, slot = zero, zero, zero, zero
        busy, last, author = (
            False,
            zero - 1,
            zero,
        )  # the server; the worker that goes on after its update
        cursor, status = open_run(loss, x, numbers, scratch, plan, records, row)

        while True:
            if paced:  # whoever is free queues up
                for j in range(beginning):
                    pause(work, ready[j], now)
                    activity[ready[j]] = HELD
            j = 0
            while True:
                if paced:
                    w = next_held(
                        work, rules.size, rules.budget, taken, outstanding, head, waiting, public
                    )
                    if w < 0:
                        break
                elif j < beginning:
                    w = ready[j]
                    j += 1
                else:
                    break
                if activity[w] >= QUEUED:
                    idle[row, w] += now - paused[w]
                elif activity[w] == DOWN:
                    down[row, w] += now - paused[w]
                begins = math.inf
                if machines.failing:
                    begins = next_outage(work, machines, k0, k1, run, w, now)
                    if begins <= now:
                        activity[w] = DOWN
                        paused[w] = now
                        enter(key, owner, w, work.down_until[w])
                        continue
                if not rules.rounds or work.again[w] == 0:
                    for i in range(dim):
                        reads[w, i] = shown[i]
                    versions[w] = public
                read_time[w] = now
                jobs[w] += 1
                activity[w] = COMPUTING
                outstanding += 1
                place = jobs[w] % AHEAD
                if place == 0:
                    times_ahead(
                        tables, compute, communication, work.times, work.spare, k0, k1, run, w,
                        jobs[w],
                    )  # fmt: skip
                time = work.times[AHEAD * w + place]
                if machines.drift[w] >= 0:
                    time *= factor_at(tables, machines.drift[w], now)
                    if machines.late_link[w] >= 0:
                        time += draw(
                            tables, machines.late_link[w], k0, k1, run, jobs[w], w,
                            streams.COMMUNICATION,
                        )  # fmt: skip
                if giving_up and time > rules.limit:
                    time = rules.limit
                    activity[w] = GIVING_UP
                if machines.stationary and jobs[w] == 0:
                    time = residual_time(
                        tables, compute, communication, machines.biased_compute,
                        machines.biased_communication, machines.compute_share, k0, k1, run, w,
                    )  # fmt: skip
                time += now
                if time == math.inf:  # its recorded times have come to an end
                    activity[w] = GONE
                    outstanding -= 1
                elif begins < time:
                    time = begins
                    activity[w] = LOST
                enter(key, owner, w, time)
            beginning = 0
            if status != DONE or version >= plan.updates:
                break

            next_time, w = key[1], owner[1]
            if by_time:
                cursor = write_before(
                    loss, x, numbers, scratch, plan, records, row, cursor, next_time, version
                )
            if next_time > plan.time:
                end = plan.time
                break
            if next_time == math.inf:
                status = STALLED
                end = now
                break
            now = next_time
            complete = w == workers  # the server has finished an update
            if not complete:
                if activity[w] == DOWN:
                    down[row, w] += now - paused[w]
                    activity[w] = COMPUTING
                    ready[0], beginning = w, 1
                    continue
                if activity[w] == GIVING_UP or activity[w] == LOST:
                    logged = note(log, logged, plan, run, w, read_time[w], now, versions[w],
                                  version, zero + 2)  # fmt: skip
                    cancelled[row, w] += 1
                    outstanding -= 1
                    work.again[w] = 1
                    ready[0], beginning = w, 1
                    continue
                if link >= 0 and activity[w] == COMPUTING:
                    activity[w] = SENDING
                    time = draw(tables, link, k0, k1, run, jobs[w], w, streams.COMMUNICATION)
                    enter(key, owner, w, transfer_end(now, work.free, time))
                    continue
                slot = w
                if busy:
                    if stored < buffer:
                        slot = work.shelves[stored]
                        stored += 1
                        shelve(work, w, slot)
                        ready[0], beginning = w, 1
                    else:
                        pause(work, w, now)
                        activity[w] = QUEUED
                    queue[(head + waiting) % room] = slot
                    waiting += 1
                    continue

            while True:  # until the server is busy, or nobody is in its queue
                if not complete:
                    # The server looks at a gradient: take it or leave it.
                    w = whose[slot]
                    outstanding -= 1
                    staleness = version - versions[slot]
                    u = 0.0
                    if rules.admission == code.CHANCE:
                        u = chance(k0, k1, run, jobs[slot], w)
                    keep = admitted(rules, x, reads, slot, staleness, now - read_time[slot], u)
                    if keep:
                        if plan.diagonal:
                            _diagonal_gradient(
                                reads, slot, step, numbers, scratch, k0, k1, run, w, jobs[slot]
                            )
                        else:
                            gradient(
                                reads, slot, step, numbers, scratch, k0, k1, run, w, jobs[slot]
                            )
                        if rules.admission == code.LARGE:
                            keep = norm_squared(step) >= rules.limit * rules.limit
                    logged = note(
                        log, logged, plan, run, w, read_time[slot], now, versions[slot],
                        version + 1 if keep else version, zero if keep else zero + 1,
                    )  # fmt: skip
                    if not keep:
                        discarded[row, w] += 1
                        refused += 1
                        if refused > PATIENCE * workers:
                            status = STALLED
                            end = now
                            break
                    else:
                        refused = 0
                        histogram[min(staleness, histogram.shape[0] - 1)] += 1
                        applied[row, w] += 1
                        if rules.clip < math.inf:
                            clip(step, rules.clip)
                        if rules.strength > 0.0:
                            compensate(
                                step, x, reads, slot, w, rules.strength, rules.decay, work.squares
                            )
                        weight = weigh(rules, x, reads, slot, work.tail, taken, staleness)
                        taken += 1
                        complete = collect(work, rules, w, weight)
                    goes_on = slot < workers  # else it did when its work was shelved
                    if complete:
                        last, author = -1, w
                        busy = served
                        if served:
                            time = draw(
                                tables, machines.update, k0, k1, run, version, zero, streams.SERVER
                            )
                            enter(key, owner, workers, now + time)
                        if goes_on and (not served or buffer < 0):
                            last = w
                            goes_on = False
                            if served:
                                pause(work, w, now)
                                activity[w] = QUEUED
                    elif keep and rules.idle:
                        pause(work, w, now)
                        activity[w] = WAITING
                        goes_on = False
                    if goes_on:
                        ready[beginning] = w
                        beginning += 1
                    if slot >= workers:  # there is a shelf again
                        stored -= 1
                        work.shelves[stored] = slot
                        place = first_blocked(work, workers, head, waiting)
                        if place >= 0:
                            w = queue[place]
                            shelve(work, w, slot)
                            queue[place] = slot
                            stored += 1
                            ready[beginning] = w
                            beginning += 1
                    if busy:
                        break
                if complete:
                    # The server updates the parameters and lets workers go on.
                    busy = complete = False
                    if served:
                        enter(key, owner, workers, math.inf)
                    sound = update(work, rules, plan.learning_rate, version, author, limit)
                    version += 1
                    end = now
                    if version % rules.publish == 0:
                        public = version
                        if rules.publish > 1:
                            for i in range(dim):
                                shown[i] = x[i]

                    if rules.cancel:
                        waiting, beginning, outstanding = 0, workers, 0
                        for j in range(workers):
                            ready[j] = j
                            if j != last and (activity[j] <= LOST or activity[j] == QUEUED):
                                logged = note(log, logged, plan, run, j, read_time[j], now,
                                              versions[j], version, zero + 2)  # fmt: skip
                                cancelled[row, j] += 1
                    elif rules.lead >= 0:
                        pause(work, last, now)
                        activity[last] = HELD
                        slowest = applied[row, 0]
                        for j in range(workers):
                            slowest = min(slowest, applied[row, j])
                        for j in range(workers):
                            if activity[j] == HELD and applied[row, j] - slowest <= rules.lead:
                                ready[beginning] = j
                                beginning += 1
                    else:
                        if last >= 0:
                            ready[beginning] = last
                            beginning += 1
                        if rules.idle or overtaken:
                            for j in range(workers):
                                late = version - versions[j] >= rules.limit
                                if activity[j] == WAITING:
                                    ready[beginning] = j
                                    beginning += 1
                                elif overtaken and activity[j] <= LOST and j != last and late:
                                    logged = note(log, logged, plan, run, j, read_time[j], now,
                                                  versions[j], version, zero + 2)  # fmt: skip
                                    cancelled[row, j] += 1
                                    outstanding -= 1
                                    ready[beginning] = j
                                    beginning += 1

                    status = status_of(loss, x, numbers, scratch, plan, version, sound)
                    if not by_time and cursor < points and grid[cursor] == version:
                        cursor = write_update(
                            loss, x, numbers, scratch, plan, records, row, cursor, now, sound
                        )
                    if version & _PULSE == 0:
                        if records.stop[0]:
                            return logged
                        done = now / plan.time if by_time else version / plan.updates
                        records.progress[0] = row + done
                if waiting == 0 or status != DONE or version >= plan.updates:
                    break
                slot = queue[head]
                head = (head + 1) % room
                waiting -= 1

        close_run(loss, x, numbers, scratch, plan, records, row, cursor, end, version, status)
        records.progress[0] = row + 1
    return logged


_SOURCES = (
    "server", "plain_loop", "timing", "weighing", "gradients", "encoding", "workspace", "recording",
    "grouping", "pacing", "shared_memory_loop",
)  # fmt: skip


def event_loop(rules: Rules, machines: Machines, plan: Plan, dim: int) -> Any:
    """Return the loop for such runs, compiled, from the cache on disk if it was compiled before."""
    queues = machines.link >= 0 or machines.update >= 0 or not machines.fixed
    if rules.blocks:
        return _compiled("shared")
    if queues or plan.log or _numbers(rules) != _PLAIN:
        return _compiled("general")
    return _compiled("scalar" if plan.diagonal and dim == 1 else "plain")


def _numbers(rules: Rules) -> tuple[Any, ...]:
    return tuple(value for value in rules if not isinstance(value, np.ndarray))


_PLAIN = _numbers(rules_of(Composed(), 1, 1.0, 1))


_RECORD_TABLES = (
    "at", "loss", "measures", "applied", "discarded", "cancelled", "idle", "down",
)  # fmt: skip


@cache
def _compiled(kind: str) -> Any:
    vector = float64[::1]
    signature = int64(
        types.FunctionType(GRADIENT), types.FunctionType(LOSS), vector, vector, vector,
        type_of(Machines), type_of(Rules), type_of(Plan),
        type_of(Records, _RECORD_TABLES),
        type_of(Workspace), int64[::1], float64[:, ::1], types.UniTuple(int64, 2),
    )  # fmt: skip
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in _SOURCES]
    loop = run_block
    if kind == "shared":
        loop = run_shared
    elif kind != "general":
        given = {**run_plain.__globals__, "SCALAR": kind == "scalar"}
        loop = FunctionType(run_plain.__code__, given, run_plain.__name__)
    key = storage.key_of(kind.encode(), *sources)
    return storage.compiled(loop, signature, key, _nrt=False)
