"""Slow twins of the compiled routines of the regret study, from their words, in plain Python."""

import heapq
import math

import numpy as np

from sdde.engine.kernels.quantile import quantile

MASK = (1 << 64) - 1
THINK, SEND, FIRST, WHERE = 0, 1, 2, 3


def mixed(z):
    """The finaliser of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(key, worker, job, stream):
    """The uniform number at an address."""
    golden = 0x9E3779B97F4A7C15
    z = key + worker * golden + job * 0xD6E8FEB86659FD93 + stream * 0xA0761D6478BD642F
    z = mixed((mixed(z & MASK) + golden) & MASK)
    return ((z >> 11) + 0.5) * 2.0**-53


def arrivals(tables, think, biased, link, key, kicked, shares):
    """Yield (time, worker) of the gradients of one run without a warm-up, for ever."""
    jobs = [0] * len(think)
    events = []
    for w in range(len(think)):
        time = quantile(tables, uniform(key, w, 0, FIRST), biased[w]) * uniform(key, w, 1, FIRST)
        events.append((time, w, False))
    if kicked:
        w = int(np.searchsorted(shares, uniform(key, 0, 1, WHERE)))
        events[w] = (quantile(tables, uniform(key, w, 0, THINK), think[w]), w, False)
    heapq.heapify(events)
    free = 0.0
    while True:
        time, w, sending = heapq.heappop(events)
        if link >= 0 and not sending:
            free = max(time, free) + quantile(tables, uniform(key, w, jobs[w], SEND), link)
            heapq.heappush(events, (free, w, True))
            continue
        yield time, w
        jobs[w] += 1
        later = time + quantile(tables, uniform(key, w, jobs[w], THINK), think[w])
        heapq.heappush(events, (later, w, False))


def moments(tables, think, biased, link, shares, alpha, grid, kicked, seed, runs):
    """Mean squares at the times of `grid`, or their integrals after a kick, of each run."""
    found = np.zeros((runs, len(grid), len(alpha)))
    for run in range(runs):
        key = mixed((mixed(seed) + run * 0x9E3779B97F4A7C15) & MASK)
        x = np.ones(len(alpha))
        reads = [np.ones(len(alpha)) * (not kicked) for _ in think]
        if kicked:
            first = int(np.searchsorted(shares, uniform(key, 0, 1, WHERE)))
            reads[first] = x.copy()
        path = [(0.0, x.copy())]  # when the state changed, and to what
        for time, w in arrivals(tables, think, biased, link, key, kicked, shares):
            if time > grid[-1]:
                break
            x = x - alpha * reads[w]
            reads[w] = x.copy()
            path.append((time, x.copy()))
        times = np.array([time for time, _ in path])
        squares = np.array([state**2 for _, state in path])
        for i, at in enumerate(grid):
            last = int(np.searchsorted(times, at, side="right")) - 1
            if kicked:
                passed = np.diff(np.append(times[: last + 1], at))
                found[run, i] = passed @ squares[: last + 1]
            else:
                found[run, i] = squares[last]
    return found


def growth_of_fixed_staleness(alpha, workers, updates=20_000):
    """Growth of the square per cycle of workers in step, from the recursion itself."""
    states = [1.0] * workers
    total = 0.0
    for _ in range(updates):
        states.append(states[-1] - alpha * states[-workers])
        states.pop(0)
        size = max(map(abs, states))
        if size > 1e100 or size < 1e-100:
            total += math.log(size)
            states = [value / size for value in states]
    return 2.0 * (total + math.log(max(map(abs, states)))) / updates * workers
