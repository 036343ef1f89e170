"""When things happen: the tournament of next events, times of jobs, the shared link. Compiled.

A tournament is a binary tree of times over the contestants (workers, and the server last); the
winner is the earliest, and among equals the one with the lowest number. Entering a new time
replays only the matches on the way to the root. Nothing here knows about gradients.
"""

import math

from numba import njit

from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile

# Without reference counts: numba counts at each entry and exit of a function that holds a loop or a
# branch, which costs more than an event. Nothing here allocates, and the caller keeps the arrays.
_options = {"error_model": "numpy", "fastmath": False, "_nrt": False}
_inline = njit(forceinline=True, **_options)
_quantile = njit(**_options)(getattr(quantile, "py_func", quantile))


@njit(**_options)
def clear(key, owner):
    """Let no contestant have an event ahead."""
    leaves = key.shape[0] // 2
    key[:] = math.inf
    for i in range(leaves):
        owner[leaves + i] = i
    for node in range(leaves - 1, 0, -1):
        owner[node] = owner[2 * node]


@_inline
def enter(key, owner, who, time):
    """Enter the next event of a contestant and replay its matches up to the root."""
    node = key.shape[0] // 2 + who
    best = time
    key[node] = best
    while node > 1:
        rival, other = key[node ^ 1], owner[node ^ 1]
        lost = (rival < best) | ((rival <= best) & (other < who))  # no branch: it would be a guess
        best = rival if lost else best
        who = other if lost else who
        node >>= 1
        key[node] = best
        owner[node] = who


@njit(**_options)
def draw(tables, first, k0, k1, run, step, channel, stream):
    """Return a draw of the law whose table begins at `first`."""
    return _quantile(tables, streams.uniform(k0, k1, run, step, channel, stream), first)


@njit(**_options)
def chance(k0, k1, run, job, worker):
    """Return the uniform number that decides about a job."""
    return streams.uniform(k0, k1, run, 2 * job, worker, streams.DECISIONS)


@_inline
def job_time(tables, compute, communication, k0, k1, run, worker, job, spare):
    """Return the time of a job: computation, then the worker's own link if it has one."""
    if job & 1:  # two jobs share one counter of the generator
        u = spare[worker]
    else:
        u, spare[worker] = streams.uniform_pair(k0, k1, run, job >> 1, worker, streams.COMPUTE)
    time = _quantile(tables, u, compute[worker])
    if communication[worker] >= 0:
        first = communication[worker]
        time += draw(tables, first, k0, k1, run, job, worker, streams.COMMUNICATION)
    return time


@njit(**_options)
def residual_time(
    tables, compute, communication, long_compute, long_communication, share, k0, k1, run, worker
):
    """Return what is left of a job met at a random instant of a long run.

    The job met is drawn with probability proportional to its length, and the instant is uniform in
    it. The length of a sum is weighted by weighting one part, chosen in proportion to its mean.
    """
    u = streams.uniform(k0, k1, run, 0, worker, streams.COMPUTE)
    part, left = streams.uniform_pair(k0, k1, run, 0, worker, streams.DECISIONS)
    in_compute = part < share[worker]
    first = long_compute[worker] if in_compute else compute[worker]
    time = _quantile(tables, u, first)
    if communication[worker] >= 0:
        v = streams.uniform(k0, k1, run, 0, worker, streams.COMMUNICATION)
        first = communication[worker] if in_compute else long_communication[worker]
        time += _quantile(tables, v, first)
    return left * time


@njit(**_options)
def transfer_end(now, free, duration):
    """Take the channel that is free first, from now or when it is; return when it has sent."""
    first = 0
    for i in range(1, free.shape[0]):
        if free[i] < free[first]:
            first = i
    free[first] = max(now, free[first]) + duration
    return free[first]
