"""The event loop of workers on shared memory: parameters are read and written piece by piece.

A job reads the parameters block by block, computes, and subtracts its gradient block by block,
while others do the same; so a read may hold blocks of different ages. Each component is changed by
one worker at a time, and no change is lost. Pieces of a job at the same instant belong together.
Everything else is as in `server`.
"""

import math

from numba import int64

from sdde.cluster import encoding as code
from sdde.cluster.compiling import compiled
from sdde.cluster.grouping import clear_groups
from sdde.cluster.recording import (
    DONE,
    bound_of,
    close_run,
    note,
    open_run,
    status_of,
    write_before,
    write_update,
)
from sdde.cluster.timing import AHEAD, clear, draw, enter, times_ahead
from sdde.cluster.weighing import clip, schedule_factor, weigh
from sdde.engine import streams

_PULSE = 255  # updates between two looks at the stop flag, a mask


@compiled
def _begin(work, machines, k0, k1, run, worker, now, version):
    """Let a worker begin a job: draw its times; nothing has been read yet."""
    work.jobs[worker] += 1
    job = work.jobs[worker]
    work.read_time[worker], work.versions[worker] = now, version
    work.members[worker], work.more[worker] = 0, -1  # blocks read and written
    if job % AHEAD == 0:
        times_ahead(
            machines.tables, machines.compute, machines.late_link, work.times, work.spare, k0, k1,
            run, worker, job,
        )  # fmt: skip
    link = machines.communication[worker]
    work.access[worker] = 0.0
    if link >= 0:
        work.access[worker] = draw(
            machines.tables, link, k0, k1, run, job, worker, streams.COMMUNICATION
        )


def run_shared(
    gradient, loss, numbers, scratch, start, machines, rules, plan, records, work, histogram, log,
    block,
):  # fmt: skip
    """Simulate the runs of a block as `server.run_block` does."""
    k0, k1, grid, by_time = plan.k0, plan.k1, plan.grid, plan.by_time
    x, reads, slopes, read_time = work.x, work.reads, work.sums, work.read_time
    blocks, share = rules.blocks, rules.share
    workers, dim = machines.compute.shape[0], start.shape[0]
    limit = bound_of(start)
    zero = int64(0)  # typed: for a literal every helper would be compiled twice
    logged = zero

    for run in range(block[0], block[1]):
        row = run - block[0]
        clear(work.key, work.owner)
        clear_groups(work)
        for i in range(dim):
            x[i] = start[i]
        now, end, version, taken, sound = 0.0, 0.0, zero, zero, True
        cursor, status = open_run(loss, x, numbers, scratch, plan, records, row)
        for w in range(workers):
            records.applied[row, w], records.discarded[row, w] = 0, 0
            records.cancelled[row, w] = 0
            records.idle[row, w], records.down[row, w] = 0.0, 0.0
            work.jobs[w] = -1
            _begin(work, machines, k0, k1, run, w, 0.0, zero)
            enter(work.key, work.owner, w, 0.0)

        while status == DONE and version < plan.updates:
            if by_time:
                cursor = write_before(
                    loss, x, numbers, scratch, plan, records, row, cursor, work.key[1], version
                )
            if work.key[1] > plan.time:
                end = plan.time
                break
            now, w = work.key[1], work.owner[1]
            when = now
            while when == now and status == DONE and version < plan.updates:
                access = work.access[w]
                if work.members[w] < blocks:
                    piece = work.members[w]
                    for i in range(dim * piece // blocks, dim * (piece + 1) // blocks):
                        reads[w, i] = x[i]
                    work.members[w] = piece + 1
                    when = read_time[w] + share * access * (piece + 1) / blocks
                    if piece + 1 == blocks:
                        when += work.times[AHEAD * w + work.jobs[w] % AHEAD]
                elif work.more[w] < 0:
                    slope = slopes[w]
                    gradient(reads, w, slope, numbers, scratch, k0, k1, run, w, work.jobs[w])
                    if rules.clip < math.inf:
                        clip(slope, rules.clip)
                    late = version - work.versions[w]
                    work.scale[w] = weigh(rules, x, reads, w, work.tail, taken, late)
                    taken += 1
                    work.more[w] = 0
                    work.paused[w] = now
                    when = now + (1.0 - share) * access / blocks
                else:
                    piece = work.more[w]
                    factor = plan.learning_rate
                    if rules.schedule != code.STEADY:
                        factor *= schedule_factor(
                            rules.schedule, rules.power, rules.offset, rules.breaks, version
                        )
                    factor *= work.scale[w]
                    for i in range(dim * piece // blocks, dim * (piece + 1) // blocks):
                        x[i] -= factor * slopes[w, i]
                        sound &= abs(x[i]) <= limit
                    work.more[w] = piece + 1
                    when = work.paused[w] + (1.0 - share) * access * (piece + 2) / blocks
                    if piece + 1 == blocks:  # the update is complete
                        late = version - work.versions[w]
                        histogram[min(late, histogram.shape[0] - 1)] += 1
                        records.applied[row, w] += 1
                        version += 1
                        end = when = now
                        logged = note(log, logged, plan, run, w, read_time[w], now,
                                      work.versions[w], version, zero)  # fmt: skip
                        status = status_of(loss, x, numbers, scratch, plan, version, sound)
                        if not by_time and cursor < grid.shape[0] and grid[cursor] == version:
                            cursor = write_update(
                                loss, x, numbers, scratch, plan, records, row, cursor, now, sound
                            )
                        if version & _PULSE == 0:
                            if records.stop[0]:
                                return logged
                            done = now / plan.time if by_time else version / plan.updates
                            records.progress[0] = row + done
                        _begin(work, machines, k0, k1, run, w, now, version)
            enter(work.key, work.owner, w, when)

        close_run(loss, x, numbers, scratch, plan, records, row, cursor, end, version, status)
        records.progress[0] = row + 1
    return logged
