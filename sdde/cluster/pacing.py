"""When workers may compute: outages, staleness budgets, shelves for finished work. Compiled.

What a worker does is a number in `Workspace.activity`. Nothing here knows about gradients.
"""

import math

from sdde.cluster.compiling import compiled
from sdde.cluster.timing import draw, enter
from sdde.engine import streams

# Busy up to LOST (whose work an outage will end), idle from QUEUED on.
COMPUTING, SENDING, GIVING_UP, LOST, DOWN, GONE, QUEUED, WAITING, HELD = range(9)


@compiled
def pause(work, worker, now):
    """Let a worker be idle, the caller says how; time counts from when it stopped working."""
    if work.activity[worker] < QUEUED:
        work.paused[worker] = now
        enter(work.key, work.owner, worker, math.inf)


@compiled
def next_outage(work, machines, k0, k1, run, worker, now):
    """Find the first outage of a worker that is not over; return when it begins."""
    begins, ends, number = work.down_from, work.down_until, work.outages
    while ends[worker] <= now:
        step = number[worker]
        number[worker] = step + 1
        if machines.planned[worker] >= 0:
            first = machines.planned[worker]
            if step >= int(machines.tables[first]):
                begins[worker], ends[worker] = math.inf, math.inf
            else:
                begins[worker] = machines.tables[first + 1 + 2 * step]
                ends[worker] = machines.tables[first + 2 + 2 * step]
        elif machines.up[worker] >= 0:
            tables, stream = machines.tables, streams.OUTAGES
            up = draw(tables, machines.up[worker], k0, k1, run, 2 * step, worker, stream)
            down = draw(tables, machines.down[worker], k0, k1, run, 2 * step + 1, worker, stream)
            begins[worker] = ends[worker] + up
            ends[worker] = begins[worker] + down
        else:
            begins[worker], ends[worker] = math.inf, math.inf
    return begins[worker]


@compiled
def next_held(work, size, budget, taken, outstanding, head, waiting, version):
    """Return the worker that has been held longest, -1 if there is none or it must wait.

    With everything begun so far and one more, the oldest gradient under way (or the new one, of
    parameters `version`) must still be within the budget when it is taken last: then `taken` and
    all others have become updates, `size` to each.
    """
    activity, versions, queue = work.activity, work.versions, work.queue
    oldest = version
    first = -1
    for w in range(activity.shape[0]):
        if activity[w] <= LOST:
            oldest = min(oldest, versions[w])
        if activity[w] == HELD and (first < 0 or work.paused[w] < work.paused[first]):
            first = w
    for i in range(waiting):
        oldest = min(oldest, versions[queue[(head + i) % queue.shape[0]]])
    return first if taken + outstanding < size * (oldest + budget + 1) else -1


@compiled
def shelve(work, worker, slot):
    """Move the finished work of a worker to a slot, so that the worker can go on."""
    work.whose[slot] = worker
    work.jobs[slot] = work.jobs[worker]
    work.versions[slot] = work.versions[worker]
    work.read_time[slot] = work.read_time[worker]
    for i in range(work.reads.shape[1]):
        work.reads[slot, i] = work.reads[worker, i]


@compiled
def first_blocked(work, workers, head, waiting):
    """Return the place in the queue of the first worker that waits for a shelf, -1 if none does."""
    for i in range(waiting):
        place = (head + i) % work.queue.shape[0]
        if work.queue[place] < workers:
            return place
    return -1
