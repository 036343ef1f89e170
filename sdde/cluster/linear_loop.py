"""Plain asynchronous SGD on a quadratic as what it is: a linear recursion along given arrivals.

When gradients arrive depends on no parameter and no learning rate, so one simulated schedule serves
every product of learning rate and eigenvalue, and the two parts of an expected loss can be
simulated each without the randomness of the other: the way down from a start without noise, and the
response to one kick of a gradient. A second routine follows clusters that are cloned in proportion
to their squares: the growth of a second moment whose mean is decided by runs so rare that plain
runs never meet them. Clusters begin in the long-run state of their machines. Times are those of the
event loop in `plain_loop`, to the bit, where nothing queues. Compiled; nothing here allocates.
"""

import math
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import boolean, float64, int64

from sdde.cluster.compiling import compiled
from sdde.cluster.encoding import Machines
from sdde.cluster.timing import AHEAD, clear, draw, enter, residual_time, times_ahead, transfer_end
from sdde.cluster.workspace import type_of
from sdde.engine import storage, streams


@compiled
def _begin(machines, key, owner, sending, free, times, jobs, spare, k0, k1, run):
    """Let all workers compute, each somewhere in its job."""
    clear(key, owner)
    free[:] = 0.0
    for w in range(jobs.shape[0]):
        jobs[w], sending[w] = 0, 0
        times_ahead(
            machines.tables, machines.compute, machines.communication, times, spare, k0, k1, run, w,
            0,
        )  # fmt: skip
        left = residual_time(
            machines.tables, machines.compute, machines.communication, machines.biased_compute,
            machines.biased_communication, machines.compute_share, k0, k1, run, w,
        )  # fmt: skip
        enter(key, owner, w, left)


@compiled
def _arrives(machines, key, owner, sending, free, jobs, k0, k1, run):
    """Return whether the next event is a gradient that arrives; else its worker joins the queue."""
    w = owner[1]
    if machines.link < 0 or sending[w] == 1:
        return True
    time = draw(machines.tables, machines.link, k0, k1, run, jobs[w], w, streams.COMMUNICATION)
    sending[w] = 1
    enter(key, owner, w, transfer_end(key[1], free, time))
    return False


@compiled
def _goes_on(machines, key, owner, sending, times, jobs, spare, k0, k1, run):
    """Let the worker whose gradient has arrived begin its next job."""
    w = owner[1]
    jobs[w] += 1
    sending[w] = 0
    place = jobs[w] % AHEAD
    if place == 0:
        times_ahead(
            machines.tables, machines.compute, machines.communication, times, spare, k0, k1, run, w,
            jobs[w],
        )  # fmt: skip
    enter(key, owner, w, key[1] + times[AHEAD * w + place])


@compiled
def _settled(
    machines, key, owner, sending, free, times, jobs, spare, warm, kicked, k0, k1, run
):  # fmt: skip
    """Let a queue settle; return the time from which the clock counts.

    That is a random time, or for a kick that of a gradient some arrivals later: the first one
    after a random time would follow a gap that is longer than others.
    """
    workers = jobs.shape[0]
    when, which = streams.uniform_pair(k0, k1, run, 0, workers, streams.SERVER)
    origin = warm[0] + (warm[1] - warm[0]) * when
    more = workers + int(which * workers) if kicked else 0
    while key[1] <= origin or more > 0:
        if _arrives(machines, key, owner, sending, free, jobs, k0, k1, run):
            if key[1] > origin:
                more -= 1
                if more == 0:
                    return key[1]
            _goes_on(machines, key, owner, sending, times, jobs, spare, k0, k1, run)
    return origin


def mean_squares(
    machines, alpha, grid, shares, kicked, warm, k0, k1, first, end, key, owner, sending, free,
    times, spare, jobs, x, total, reads, out,
):  # fmt: skip
    """Add the squares of the runs from `first` to `end` at the times of `grid` to `out` (times,
    alphas), for kicks their integrals until then; return the number of gradients.

    `alpha` holds products of learning rate and eigenvalue, `shares` the cumulative shares of the
    workers in the gradients, `warm` the shortest and longest time for which a queue settles.
    """
    workers, points, size = jobs.shape[0], grid.shape[0], alpha.shape[0]
    gradients = int64(0)
    for run in range(first, end):
        _begin(machines, key, owner, sending, free, times, jobs, spare, k0, k1, run)
        origin = 0.0
        if machines.link >= 0:
            origin = _settled(
                machines, key, owner, sending, free, times, jobs, spare, warm, kicked, k0, k1, run
            )
        for i in range(size):
            x[i], total[i] = 1.0, 0.0
            for w in range(workers):
                reads[w, i] = 0.0 if kicked else 1.0
        if kicked:
            w = owner[1]
            if machines.link >= 0:
                _goes_on(machines, key, owner, sending, times, jobs, spare, k0, k1, run)
            else:  # any worker as often as its gradients come; the others are somewhere
                _, which = streams.uniform_pair(k0, k1, run, 0, workers, streams.SERVER)
                w = int64(0)
                while w < workers - 1 and shares[w] < which:
                    w += 1
                enter(key, owner, w, times[AHEAD * w])
            for i in range(size):
                reads[w, i] = 1.0
        cursor, since = 0, 0.0
        while True:
            if not _arrives(machines, key, owner, sending, free, jobs, k0, k1, run):
                continue
            now = key[1] - origin
            while cursor < points and grid[cursor] < now:
                passed = grid[cursor] - since
                for i in range(size):
                    square = x[i] * x[i]
                    out[cursor, i] += total[i] + passed * square if kicked else square
                cursor += 1
            if cursor == points:
                break
            w = owner[1]
            if kicked:
                for i in range(size):
                    total[i] += (now - since) * (x[i] * x[i])
                since = now
            for i in range(size):
                value = x[i] - alpha[i] * reads[w, i]
                x[i] = value
                reads[w, i] = value
            gradients += 1
            _goes_on(machines, key, owner, sending, times, jobs, spare, k0, k1, run)
    return gradients


def clone_growth(
    machines, alpha, period, warm, burn, k0, k1, key, owner, sending, free, times, spare, jobs, x,
    reads, start, weight, copies, source, cloned, logs,
):  # fmt: skip
    """Put the logarithm of the growth of the mean square in each period into `logs`; return the
    number of gradients.

    Each particle, a row of the tables, is a whole cluster with one parameter. After each period
    they are cloned in proportion to the square of the parameter plus the mean square of what the
    workers hold, and scaled to one; the logarithm of the mean square before is the growth. The
    first `burn` periods are left out. Without cloning it is the mean of the logarithms.
    """
    particles, workers = reads.shape
    gradients = int64(0)
    for p in range(particles):
        _begin(machines, key[p], owner[p], sending[p], free[p], times[p], jobs[p], spare, k0, k1, p)
        start[p] = 0.0
        if machines.link >= 0:
            start[p] = _settled(
                machines, key[p], owner[p], sending[p], free[p], times[p], jobs[p], spare, warm,
                False, k0, k1, p,
            )  # fmt: skip
        x[p] = 1.0
        for w in range(workers):
            reads[p, w] = 1.0
    for turn in range(burn + logs.shape[0]):
        whole = grown = 0.0
        for p in range(particles):
            until = start[p] + (turn + 1) * period
            keys, owners, sends, frees, ours = key[p], owner[p], sending[p], free[p], jobs[p]
            while keys[1] <= until:
                if not _arrives(machines, keys, owners, sends, frees, ours, k0, k1, p):
                    continue
                w = owners[1]
                x[p] -= alpha * reads[p, w]
                reads[p, w] = x[p]
                gradients += 1
                _goes_on(machines, keys, owners, sends, times[p], ours, spare, k0, k1, p)
            held = 0.0
            for w in range(workers):
                held += reads[p, w] * reads[p, w]
            weight[p] = x[p] * x[p] + held / workers
            whole += weight[p]
            grown += math.log(weight[p])
            source[p] = p
        if turn >= burn:
            logs[turn - burn] = math.log(whole / particles) if cloned else grown / particles
        if cloned:
            place = streams.uniform(k0, k1, particles, turn, 0, streams.SERVER)
            _choose(weight, whole, place, copies, source)
        for p in range(particles):
            q = source[p]
            if q != p:  # what lies ahead of the copy is drawn anew: its jobs are numbered by place
                shift = start[p] - start[q]
                for i in range(key.shape[1]):
                    key[p, i] = key[q, i] + shift
                    owner[p, i] = owner[q, i]
                for i in range(free.shape[1]):
                    free[p, i] = free[q, i] + shift
                for w in range(workers):
                    sending[p, w], reads[p, w] = sending[q, w], reads[q, w]
                    # A transfer that a lost run has drawn is what it was lost for: no second use.
                    jobs[p, w] += 1
                    if jobs[p, w] % AHEAD == 0:
                        times_ahead(
                            machines.tables, machines.compute, machines.communication, times[p],
                            spare, k0, k1, p, w, jobs[p, w],
                        )  # fmt: skip
                x[p] = x[q]
        for p in range(particles):
            scale = 1.0 / math.sqrt(weight[source[p]])
            x[p] *= scale
            for w in range(workers):
                reads[p, w] *= scale
    return gradients


@compiled
def _choose(weight, whole, place, copies, source):
    """Choose whom each place copies, in proportion to the weights: systematic resampling.

    A particle that is chosen keeps its place, and so is never written over before it is copied.
    """
    particles = weight.shape[0]
    step = whole / particles
    for p in range(particles):
        copies[p], source[p] = 0, p
    at, reached, p = place * step, weight[0], 0
    for _ in range(particles):
        while reached < at and p < particles - 1:
            p += 1
            reached += weight[p]
        copies[p] += 1
        at += step
    empty = 0
    for p in range(particles):
        while copies[p] > 1:
            while copies[empty] > 0:
                empty += 1
            source[empty] = p
            copies[empty] = 1
            copies[p] -= 1


_SOURCES = ("linear_loop", "timing", "encoding", "workspace")
_V, _T, _I, _J = float64[::1], float64[:, ::1], int64[::1], int64[:, ::1]
_SIGNATURES = {
    "mean_squares": (
        type_of(Machines), _V, _V, _V, boolean, _V, int64, int64, int64, int64, _V, _I, _I, _V, _V,
        _V, _I, _V, _V, _T, _T,
    ),
    "clone_growth": (
        type_of(Machines), float64, float64, _V, int64, int64, int64, _T, _J, _J, _T, _T, _V, _J,
        _V, _T, _V, _V, _I, _I, boolean, _V,
    ),
}  # fmt: skip


@cache
def loop(routine: FunctionType) -> Any:
    """Return a routine of this file compiled, from the cache on disk if it was compiled before."""
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in _SOURCES]
    name = routine.__name__
    key = storage.key_of(name.encode(), *sources)
    return storage.compiled(routine, int64(*_SIGNATURES[name]), key, _nrt=False)
