"""When things happen: the tournament of next events, times of jobs, the shared link. Compiled.

A tournament is a binary tree of times over the contestants (workers, and the server last); the
winner is the earliest, and among equals the one with the lowest number. Entering a new time
replays only the matches on the way to the root. Nothing here knows about gradients.
"""

import math

import numpy as np
from numba import njit

from sdde.engine import streams
from sdde.engine.kernels.exponential import log_of_normal
from sdde.engine.kernels.normals import store_normals, store_uniforms
from sdde.engine.kernels.quantile import quantile

AHEAD = 16  # jobs of a worker whose numbers are drawn together, in the lanes of the processor

# Without reference counts: numba counts at each entry and exit of a function that holds a loop or a
# branch, which costs more than an event. Nothing here allocates, and the caller keeps the arrays.
_options = {"error_model": "numpy", "fastmath": False, "_nrt": False}
_inline = njit(forceinline=True, **_options)
_quantile = njit(**_options)(getattr(quantile, "py_func", quantile))
_U = np.uint64
_1 = _U(1)


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
    node = _U(key.shape[0] // 2 + who)  # unsigned: nobody need ask whether it counts from the end
    best = time
    key[node] = best
    while node > _1:
        rival, other = key[node ^ _1], owner[node ^ _1]
        lost = (rival < best) | ((rival <= best) & (other < who))  # no branch: it would be a guess
        best = rival if lost else best
        who = other if lost else who
        node >>= _1
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


@njit(**_options)
def draw_ahead(tables, first, out, place, k0, k1, run, job, worker, stream):
    """Put the draws for jobs `job`, an even number, to `job` + 15 at `place`."""
    store_uniforms(
        out, place, _U(k0), _U(k1), _U(run), _U(job >> 1), _U(worker), _U(stream)
    )  # fmt: skip
    part = out[place : place + AHEAD]
    if tables[first] == 1.0:  # exponential: apart, as such a loop becomes vector code
        shift, mean = tables[first + 1], tables[first + 2]
        for i in range(AHEAD):
            part[i] = shift - mean * log_of_normal(1.0 - part[i])
    elif tables[first] == 5.0:  # recorded times, by the number of the job
        size = int(tables[first + 1])
        for i in range(AHEAD):
            number = job + i
            ended = number >= size and tables[first + 2] == 0.0
            part[i] = math.inf if ended else tables[first + 3 + number % size]
    else:
        for i in range(AHEAD):
            part[i] = _quantile(tables, part[i], first)


@njit(**_options)
def times_ahead(tables, compute, communication, times, spare, k0, k1, run, worker, job):
    """Put the times of a worker's jobs `job` to `job` + 15 in its part of `times`.

    A job is a computation, and then the worker's own link if it has one.
    """
    place = AHEAD * worker
    draw_ahead(tables, compute[worker], times, place, k0, k1, run, job, worker, streams.COMPUTE)
    if communication[worker] >= 0:
        first = communication[worker]
        draw_ahead(
            tables, first, spare, worker - worker, k0, k1, run, job, worker, streams.COMMUNICATION
        )
        for i in range(AHEAD):
            times[place + i] += spare[i]


@njit(**_options)
def factor_at(tables, first, now):
    """Return the factor of a drifting speed: straight lines between the points of its table."""
    points = int(tables[first])
    times = tables[first + 1 : first + 1 + points]
    factors = tables[first + 1 + points : first + 1 + 2 * points]
    if now <= times[0]:
        return factors[0]
    low, high = 0, points
    while high - low > 1:  # times[low] <= now < times[high]
        middle = (low + high) // 2
        if times[middle] <= now:
            low = middle
        else:
            high = middle
    if high == points:
        return factors[points - 1]
    share = (now - times[low]) / (times[high] - times[low])
    return factors[low] + share * (factors[high] - factors[low])


@njit(**_options)
def noise_ahead(noise, k0, k1, run, worker, job):
    """Put the normal numbers of a worker's jobs `job` to `job` + 15 in its part of `noise`."""
    store_normals(
        noise, AHEAD * worker, _U(k0), _U(k1), _U(run), _U(job >> 1), _U(worker),
        _U(streams.GRADIENT),
    )  # fmt: skip


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
