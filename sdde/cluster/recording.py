"""What a run leaves behind: losses at times or at numbers of updates, and how it ended. Compiled.

Both event loops write their records here. Nothing here knows about workers or events.
"""

import math

from sdde.cluster.compiling import compiled

DONE, REACHED, DIVERGED, STALLED = 0, 1, 2, 3
LARGEST = 1e12  # a run whose parameters pass this times the start (at least 1) has diverged


@compiled
def bound_of(start):
    """Return the largest parameter, in size, of a run that has not diverged."""
    limit = LARGEST
    for value in start:
        limit = max(limit, LARGEST * abs(value))
    return limit


@compiled
def write(loss, x, numbers, scratch, plan, records, row, cursor, at):
    """Fill record number `cursor` with the state now."""
    records.at[row, cursor] = at
    records.loss[row, cursor] = loss(x, numbers, scratch)
    first = cursor * (plan.measures + 1)
    for i in range(plan.measures):
        records.measures[row, first + i] = scratch[i]
    arrived = 0  # the plain loop counts at the end: there every update is one gradient
    for w in range(records.applied.shape[1]):
        arrived += records.applied[row, w] + records.discarded[row, w]
    records.measures[row, first + plan.measures] = arrived


@compiled
def open_run(loss, x, numbers, scratch, plan, records, row):
    """Write what is known at time 0; return the number of the next record and the status."""
    cursor, status = 0, DONE
    if not plan.by_time:
        write(loss, x, numbers, scratch, plan, records, row, row - row, 0.0)
        cursor = 1
    if plan.until_loss > -math.inf and loss(x, numbers, scratch) <= plan.until_loss:
        status = REACHED
    return cursor, status


@compiled
def write_before(loss, x, numbers, scratch, plan, records, row, cursor, now, version):
    """Write the records of times before `now`; return the number of the next."""
    while cursor < plan.grid.shape[0] and plan.grid[cursor] < now:
        write(loss, x, numbers, scratch, plan, records, row, cursor, float(version))
        cursor += 1
    return cursor


@compiled
def status_of(loss, x, numbers, scratch, plan, version, sound):
    """Return the status of a run after an update."""
    if not sound:
        return DIVERGED
    if plan.until_loss == -math.inf or version % plan.loss_interval != 0:
        return DONE
    return REACHED if loss(x, numbers, scratch) <= plan.until_loss else DONE


@compiled
def write_update(loss, x, numbers, scratch, plan, records, row, cursor, now, sound):
    """Write the record of an update; return the number of the next."""
    if sound:
        write(loss, x, numbers, scratch, plan, records, row, cursor, now)
    else:
        records.at[row, cursor] = now
        records.loss[row, cursor] = math.inf
    return cursor + 1


@compiled
def close_run(loss, x, numbers, scratch, plan, records, row, cursor, end, version, status):
    """Write the records of times up to the end of a run, and how it ended."""
    if plan.by_time:
        while cursor < plan.grid.shape[0] and plan.grid[cursor] <= end:
            if status == DIVERGED:
                records.at[row, cursor] = version
                records.loss[row, cursor] = math.inf
            else:
                write(loss, x, numbers, scratch, plan, records, row, cursor, float(version))
            cursor += 1
    records.status[row] = status
    records.end_time[row] = end
    records.updates[row] = version


@compiled
def note(log, logged, plan, run, worker, read_time, now, read, made, outcome):
    """Add a computation to the log, if one is kept; return its length."""
    if not plan.log:
        return logged
    if logged < log.shape[0]:
        log[logged, 0], log[logged, 1], log[logged, 2] = run, worker, read_time
        log[logged, 3], log[logged, 4], log[logged, 5] = now, read, made
        log[logged, 6] = outcome
    return logged + 1
