"""The event loop of plain asynchronous SGD, without whatever such runs never need.

Every gradient is applied as it arrives and its worker begins again at once; job times have fixed
laws, on links of the workers' own if on any. So nothing ever waits, is dropped or is stopped, and
each worker always has one event ahead. Runs are the same bits as those of the loop in `server`,
which explains the rest.
"""

import math
from typing import Any

import numpy as np
from numba import int64, njit

from sdde.cluster.gradients import diagonal_gradient
from sdde.cluster.recording import (
    DONE,
    bound_of,
    close_run,
    open_run,
    status_of,
    write_before,
    write_update,
)
from sdde.cluster.timing import AHEAD, clear, enter, noise_ahead, residual_time, times_ahead

SCALAR = False  # one parameter with a curvature of its own: set in the copy that is compiled for it
_PULSE = 255  # updates between two looks at the stop flag, a mask
_options: dict[str, Any] = {
    "forceinline": True, "error_model": "numpy", "fastmath": False, "_nrt": False,
}  # fmt: skip
_diagonal_gradient = njit(**_options)(diagonal_gradient)
_U, _LATE = np.uint64, AHEAD - 1


def run_plain(
    gradient, loss, numbers, scratch, start, machines, rules, plan, records, work, histogram, log,
    block,
):  # fmt: skip
    """Simulate the runs of a block as `server.run_block` does."""
    tables, compute, links = machines.tables, machines.compute, machines.communication
    k0, k1, grid, by_time = plan.k0, plan.k1, plan.grid, plan.by_time
    key, owner, x, step, reads = work.key, work.owner, work.x, work.step, work.reads
    times, noise, versions, jobs = work.times, work.noise, work.versions, work.jobs
    workers, dim, points = compute.shape[0], start.shape[0], grid.shape[0]
    if SCALAR:
        dim = 1
    noisy = SCALAR and numbers[1] > 0.0
    rate, most, horizon = plan.learning_rate, plan.updates, plan.time
    late_end = histogram.shape[0] - 1
    bound = bound_of(start)
    watched = plan.until_loss > -math.inf

    for run in range(block[0], block[1]):
        row = run - block[0]
        clear(key, owner)
        for i in range(dim):
            x[i] = start[i]
        now, end, version = 0.0, 0.0, int64(0)  # typed: a literal would be compiled for, too
        cursor, status = open_run(loss, x, numbers, scratch, plan, records, row)
        due = grid[cursor] if cursor < points else math.inf
        for w in range(workers):
            records.discarded[row, w], records.cancelled[row, w] = 0, 0
            records.idle[row, w], records.down[row, w] = 0.0, 0.0
            versions[w], jobs[w] = 0, 0
            for i in range(dim):
                reads[w, i] = x[i]
            times_ahead(tables, compute, links, times, work.spare, k0, k1, run, w, version)
            if noisy:
                noise_ahead(noise, k0, k1, run, w, version)
            time = times[AHEAD * w]
            if machines.stationary:
                time = residual_time(
                    tables, compute, links, machines.biased_compute,
                    machines.biased_communication, machines.compute_share, k0, k1, run, w,
                )  # fmt: skip
            enter(key, owner, w, time)

        while status == DONE and version < most:
            now = key[1]
            who = owner[1]
            w = _U(who)  # unsigned: nobody need ask whether it counts from the end
            if by_time and due < now:
                cursor = write_before(
                    loss, x, numbers, scratch, plan, records, row, cursor, now, version
                )
                due = grid[cursor] if cursor < points else math.inf
            if now > horizon:
                end = horizon
                break
            job = jobs[w]
            if SCALAR:
                slope = numbers[0] * reads[w, 0]
                if noisy:
                    slope += numbers[1] * noise[AHEAD * w + _U(job & _LATE)]
                value = x[0] - rate * slope
                x[0] = value
                reads[w, 0] = value
                sound = abs(value) <= bound
            else:
                if plan.diagonal:
                    _diagonal_gradient(reads, w, step, numbers, scratch, k0, k1, run, w, job)
                else:
                    gradient(reads, who, step, numbers, scratch, k0, k1, run, who, job)
                sound = True
                for i in range(dim):
                    value = x[i] - rate * step[i]
                    x[i] = value
                    reads[w, i] = value
                    sound &= abs(value) <= bound
            late = version - versions[w]
            histogram[late if late < late_end else late_end] += 1
            version += 1
            versions[w] = version
            job += 1
            jobs[w] = job
            if job & _LATE == 0:
                times_ahead(tables, compute, links, times, work.spare, k0, k1, run, who, job)
                if noisy:
                    noise_ahead(noise, k0, k1, run, who, job)
            enter(key, owner, who, now + times[AHEAD * w + _U(job & _LATE)])

            end = now
            if watched or not sound:
                status = status_of(loss, x, numbers, scratch, plan, version, sound)
            if not by_time and due == version:
                cursor = write_update(
                    loss, x, numbers, scratch, plan, records, row, cursor, now, sound
                )
                due = grid[cursor] if cursor < points else math.inf
            if version & _PULSE == 0:
                if records.stop[0]:
                    return 0
                done = now / horizon if by_time else version / most
                records.progress[0] = row + done

        for w in range(workers):
            records.applied[row, w] = jobs[w]
        close_run(loss, x, numbers, scratch, plan, records, row, cursor, end, version, status)
        records.progress[0] = row + 1
    return 0
