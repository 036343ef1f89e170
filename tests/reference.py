"""Slow twins of the solver's loops: plain Python, written from the formulas, one path at a time.

They share the random numbers of `sdde.engine.streams` with the kernels, and nothing else.
"""

import math

import numpy as np

from sdde.engine import streams


def normals(seed, path, steps, channels):
    """The standard normals of one path, shape (steps, channels)."""
    k0, k1 = streams.key_of(seed)
    return np.array(
        [
            [streams.normal(k0, k1, path, n, c, streams.NOISE) for c in range(channels)]
            for n in range(steps)
        ]
    ).reshape(steps, channels)


def _whole(ratio):
    """A ratio as whole steps and the share of a further step."""
    if abs(ratio - round(ratio)) < 1e-9 * max(1.0, ratio):
        return round(ratio), 0.0
    return math.floor(ratio), ratio - math.floor(ratio)


class Arrival:
    """What an arrival process needs: numbers, and functions of one uniform for delays and marks."""

    def __init__(self, rate, effect, delays=None, marks=(), mark_vector=False, longest_rate=None):
        self.rate, self.effect, self.delays, self.marks = rate, effect, delays, marks
        self.mark_vector, self.highest = mark_vector, longest_rate or rate


def euler_maruyama(
    drift, diffusion, delays, history, t0, dt, steps, seed, path, *,
    args=(), noise="diagonal", arrivals=(),
):  # fmt: skip
    """All grid states of one path, shape (steps + 1, dim).

    `drift` and `diffusion` take and return lists of floats; `history(t)` is a list.
    """
    k0, k1 = streams.key_of(seed)
    lags = [_whole(delay / dt) for delay in delays]
    states = {0: list(history(t0))}
    dim = len(states[0])
    channels = 0 if diffusion is None else 1 if noise == "scalar" else dim
    z = normals(seed, path, steps, channels)

    def grid(n):
        return states[n] if n >= 0 else list(history(t0 - dt * -n))

    def uniform(k, channel, stream):
        return streams.uniform(k0, k1, path, k, channel, stream)

    def gap(q, k):
        return streams.exponential(k0, k1, path, k, q, streams.ARRIVALS) / arrivals[q].highest

    upcoming = [t0 + gap(q, 0) for q in range(len(arrivals))]
    counts = [0] * len(arrivals)

    def state_before(s, delay, n, t, before):
        """The state at s - delay, where s is in step n, which begins at t."""
        r = s - delay
        if r >= s:
            return list(before)
        if r >= t:
            return [a + (r - t) / (s - t) * (b - a) for a, b in zip(states[n], before, strict=True)]
        position = (r - t0) / dt
        index = min(math.floor(position), n - 1)
        share = min(position - index, 1.0)
        return [a + share * (b - a) for a, b in zip(grid(index), grid(index + 1), strict=True)]

    for n in range(steps):
        t, end, x = t0 + n * dt, t0 + (n + 1) * dt, states[n]
        delayed = []
        for whole, share in lags:
            newer, older = grid(n - whole), grid(n - whole - 1)
            delayed.append([a + share * (b - a) for a, b in zip(newer, older, strict=True)])
        f = drift(t, x, delayed, *args)
        if diffusion is None:
            new = [x[i] + f[i] * dt for i in range(dim)]
        else:
            g = diffusion(t, x, delayed, *args)
            w = [g[i] * math.sqrt(dt) * z[n, i if channels > 1 else 0] for i in range(dim)]
            new = [x[i] + (f[i] * dt + w[i]) for i in range(dim)]
        total = [0.0] * dim
        while arrivals and min(upcoming) <= end:
            s = min(upcoming)
            q = upcoming.index(s)
            share = (s - t) / dt
            before = [x[i] + share * (new[i] - x[i]) + total[i] for i in range(dim)]
            k, arrival = counts[q], arrivals[q]
            counts[q] += 1
            upcoming[q] = s + gap(q, k + 1)
            if callable(arrival.rate):
                late = [state_before(s, delay, n, t, before) for delay in delays]
                rate = arrival.rate(s, before, late, *args)
                if not uniform(k, q, streams.DECISIONS) * arrival.highest < rate:
                    continue
            times = delays
            if arrival.delays is not None:
                before_q = sum(
                    len(delays) if a.delays is None else len(a.delays) for a in arrivals[:q]
                )
                times = [
                    law(uniform(k, before_q + j, streams.ARRIVAL_DELAYS))
                    for j, law in enumerate(arrival.delays)
                ]
            late = [state_before(s, delay, n, t, before) for delay in times]
            before_q = sum(len(a.marks) for a in arrivals[:q])
            marks = [
                law(uniform(k, before_q + j, streams.MARKS)) for j, law in enumerate(arrival.marks)
            ]
            mark = marks if arrival.mark_vector else marks[0] if marks else 0.0
            effect = arrival.effect(s, before, late, mark, *args)
            total = [total[i] + effect[i] for i in range(dim)]
        states[n + 1] = [new[i] + total[i] for i in range(dim)] if arrivals else new
    return np.array([states[n] for n in range(steps + 1)])
