"""Slow twin of the solver with delays of every kind: plain Python, one path, from the formulas.

It shares the random numbers of `sdde.engine.streams` with the engine, the tables of laws (through
functions of a uniform number) and the weights of averages, and nothing else.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from sdde.engine import streams
from tests.reference import normals


@dataclass
class Fixed:
    delay: float


@dataclass
class Time:
    function: Any


@dataclass
class State:
    function: Any


@dataclass
class Drawn:
    law: Any  # a function of a uniform number


@dataclass
class Sum:
    weights: Any


@dataclass
class Chain:
    """Averages of gamma laws; `values[i]` is that with shape i + 1, of all components."""

    stages: int
    rate: float
    values: list = field(default_factory=list)

    def led(self, dt, begin, end):
        """The stages after a step in which the state goes from `begin` to `end`."""
        b = self.rate * dt
        kept = [math.exp(-b) * b**m / math.factorial(m) for m in range(self.stages)]
        out = []
        for i in range(self.stages):
            shape = i + 1
            # P(shape, b), the incomplete gamma function, from the tail of a Poisson law
            full = _incomplete(shape, b)
            early = shape / b * _incomplete(shape + 1, b)
            out.append(
                [
                    early * x
                    + (full - early) * y
                    + sum(kept[i - j] * self.values[j][c] for j in range(i + 1))
                    for c, (x, y) in enumerate(zip(begin, end, strict=True))
                ]
            )
        return out


def _incomplete(shape, b):
    term, total, k = math.exp(-b) * b**shape / math.factorial(shape), 0.0, shape
    while term > 1e-20 * (total + 1e-300):
        total += term
        k += 1
        term *= b / k
    return total


@dataclass
class Arrival:
    rate: Any
    effect: Any
    delays: Any = None
    marks: tuple = ()
    mark_vector: bool = False
    longest_rate: float | None = None
    leaping: bool = False

    @property
    def highest(self):
        return self.longest_rate or self.rate


class Twin:
    """One path; `run` returns all grid states, shape (steps + 1, dim).

    Functions take and return lists of floats; `history(t)` is a list.
    """

    def __init__(
        self, drift, diffusion, delays, history, t0, dt, seed, path, *, args=(), arrivals=(),
        heun=False,
    ):  # fmt: skip
        self.drift, self.diffusion, self.delays, self.history = drift, diffusion, delays, history
        self.t0, self.dt, self.seed, self.path, self.args = t0, dt, seed, path, args
        self.arrivals, self.heun = arrivals, heun
        self.key = streams.key_of(seed)
        self.states = [list(history(t0))]

    def grid(self, n):
        return self.states[n] if n >= 0 else list(self.history(self.t0 - self.dt * -n))

    def uniform(self, k, channel, stream):
        return streams.uniform(*self.key, self.path, k, channel, stream)

    def lagged(self, n, delay):
        """The state at a delay before grid time n, on the line between two grid states."""
        position = delay / self.dt
        if abs(position - round(position)) < 1e-9 * max(1.0, position):
            position = round(position)
        whole = math.floor(position)
        newer, older = self.grid(n - whole), self.grid(n - whole - 1)
        return [a + (position - whole) * (b - a) for a, b in zip(newer, older, strict=True)]

    def at_step(self, n, j):
        delay, t, x = self.delays[j], self.t0 + n * self.dt, self.states[n]
        if isinstance(delay, Fixed):
            return self.lagged(n, delay.delay)
        if isinstance(delay, Time | State):
            lag = delay.function(*((t,) if isinstance(delay, Time) else (t, x)), *self.args)
            whole = math.floor(lag / self.dt)
            newer, older = self.grid(n - whole), self.grid(n - whole - 1)
            return [
                a + (lag / self.dt - whole) * (b - a) for a, b in zip(newer, older, strict=True)
            ]
        if isinstance(delay, Drawn):
            lag = delay.law(self.uniform(n, j, streams.STEP_DELAYS))
            whole = math.floor(lag / self.dt)
            newer, older = self.grid(n - whole), self.grid(n - whole - 1)
            return [
                a + (lag / self.dt - whole) * (b - a) for a, b in zip(newer, older, strict=True)
            ]
        if isinstance(delay, Sum):
            total = [0.0] * len(x)
            for m, weight in enumerate(delay.weights):
                total = [a + weight * b for a, b in zip(total, self.grid(n - m), strict=True)]
            return total
        return delay.values[-1]

    def at_end(self, n, j):
        """The state at delay j at the end of step n, whose prediction is the last state."""
        delay = self.delays[j]
        if isinstance(delay, Chain):
            return delay.led(self.dt, self.states[n], self.states[n + 1])[-1]
        if isinstance(delay, Drawn):  # the step's own draw
            lag = delay.law(self.uniform(n, j, streams.STEP_DELAYS))
            whole = math.floor(lag / self.dt)
            newer, older = self.grid(n + 1 - whole), self.grid(n - whole)
            share = lag / self.dt - whole
            return [a + share * (b - a) for a, b in zip(newer, older, strict=True)]
        if isinstance(delay, Sum):
            total = [0.0] * len(self.states[n])
            for m, weight in enumerate(delay.weights[1:]):
                total = [a + weight * b for a, b in zip(total, self.grid(n - m), strict=True)]
            now = self.states[n + 1]
            return [a + delay.weights[0] * b for a, b in zip(total, now, strict=True)]
        return self.at_step(n + 1, j)

    def before(self, r, n):
        """The state at time r before grid time n."""
        position = (r - self.t0) / self.dt
        index = min(math.floor(position), n - 1)
        share = min(position - index, 1.0)
        first, last = self.grid(index), self.grid(index + 1)
        return [a + share * (b - a) for a, b in zip(first, last, strict=True)]

    def at_arrival(self, delays, s, n, present, base, k, channel):
        """The states that an arrival sees; `present` is the state at s, `base` the step's end."""
        t, out = self.t0 + n * self.dt, []
        for j, delay in enumerate(delays):
            if isinstance(delay, Sum):
                total = [delay.weights[0] * v for v in present]
                for m, weight in enumerate(delay.weights[1:], start=1):
                    r = s - m * self.dt
                    seen = self.before(r, n) if r < t else self.states[n]
                    total = [a + weight * b for a, b in zip(total, seen, strict=True)]
                out.append(total)
                continue
            if isinstance(delay, Chain):
                end = delay.led(self.dt, self.states[n], base)[-1]
                share = (s - t) / self.dt
                out.append(
                    [a + share * (b - a) for a, b in zip(delay.values[-1], end, strict=True)]
                )
                continue
            if isinstance(delay, Fixed):
                lag = delay.delay
            elif isinstance(delay, Time):
                lag = delay.function(s, *self.args)
            elif isinstance(delay, State):
                lag = delay.function(s, present, *self.args)
            else:
                lag = delay.law(self.uniform(k, channel + j, streams.ARRIVAL_DELAYS))
            r = s - lag
            if r >= s:
                out.append(list(present))
            elif r >= t:
                share = (r - t) / (s - t)
                pairs = zip(self.states[n], present, strict=True)
                out.append([a + share * (b - a) for a, b in pairs])
            else:
                out.append(self.before(r, n))
        return out

    def gap(self, q, k):
        number = streams.exponential(*self.key, self.path, k, q, streams.ARRIVALS)
        return number / self.arrivals[q].highest

    def effect(self, q, s, n, present, base, k):
        arrival = self.arrivals[q]
        seen = [self.delays if a.delays is None else a.delays for a in self.arrivals]
        channel = sum(len(delays) for delays in seen[:q])
        late = self.at_arrival(seen[q], s, n, present, base, k, channel)
        first = sum(len(a.marks) for a in self.arrivals[:q])
        marks = [
            law(self.uniform(k, first + j, streams.MARKS)) for j, law in enumerate(arrival.marks)
        ]
        mark = marks if arrival.mark_vector else marks[0] if marks else 0.0
        return arrival.effect(s, present, late, mark, *self.args)

    def rate(self, q, s, n, present, base, k):
        rate = self.arrivals[q].rate
        if not callable(rate):
            return rate
        seen = [self.delays if a.delays is None else a.delays for a in self.arrivals]
        channel = sum(len(delays) for delays in seen) + q * len(self.delays)
        late = self.at_arrival(self.delays, s, n, present, base, k, channel)
        return rate(s, present, late, *self.args)

    def run(self, steps):
        dim, dt = len(self.states[0]), self.dt
        z = normals(self.seed, self.path, steps, dim)
        counts = [0] * len(self.arrivals)
        upcoming = [
            math.inf if a.leaping else self.t0 + self.gap(q, 0) for q, a in enumerate(self.arrivals)
        ]
        for n in range(steps):
            t, end, x = self.t0 + n * dt, self.t0 + (n + 1) * dt, self.states[n]
            late = [self.at_step(n, j) for j in range(len(self.delays))]
            f = self.drift(t, x, late, *self.args)
            new = [x[i] + f[i] * dt for i in range(dim)]
            if self.diffusion is not None:
                g = self.diffusion(t, x, late, *self.args)
                w = [g[i] * math.sqrt(dt) * z[n, i] for i in range(dim)]
                new = [x[i] + (f[i] * dt + w[i]) for i in range(dim)]
                if self.heun:
                    self.states.append(new)
                    late = [self.at_end(n, j) for j in range(len(self.delays))]
                    later = self.drift(end, new, late, *self.args)
                    self.states.pop()
                    new = [x[i] + (0.5 * (f[i] + later[i]) * dt + w[i]) for i in range(dim)]
            new = self.leaped(t, n, x, new, counts)
            total = [0.0] * dim
            while upcoming and min(upcoming) <= end:
                s = min(upcoming)
                q = upcoming.index(s)
                share = (s - t) / dt
                present = [x[i] + share * (new[i] - x[i]) + total[i] for i in range(dim)]
                k = counts[q]
                counts[q] += 1
                upcoming[q] = s + self.gap(q, k + 1)
                arrival = self.arrivals[q]
                if callable(arrival.rate):
                    rate = self.rate(q, s, n, present, new, k)
                    if not self.uniform(k, q, streams.DECISIONS) * arrival.highest < rate:
                        continue
                effect = self.effect(q, s, n, present, new, k)
                total = [total[i] + effect[i] for i in range(dim)]
            final = [new[i] + total[i] for i in range(dim)]
            for delay in self.delays:
                if isinstance(delay, Chain):
                    delay.values = delay.led(dt, x, final)
            self.states.append(final)
        return self.states

    def leaped(self, t, n, x, new, counts):
        """The end of the step after jumps that leap, all seen from its beginning."""
        leaps = [q for q, a in enumerate(self.arrivals) if a.leaping]
        total = [0.0] * len(x)
        for q in leaps:
            k, arrival = counts[q], self.arrivals[q]
            mean = self.rate(q, t, n, x, new, k) * self.dt
            arrived = streams.poisson(*self.key, self.path, n, q, streams.ARRIVALS, mean)
            counts[q] = k + arrived
            delays = self.delays if arrival.delays is None else arrival.delays
            if arrival.marks or any(isinstance(delay, Drawn) for delay in delays):
                for each in range(k, counts[q]):
                    effect = self.effect(q, t, n, x, new, each)
                    total = [a + b for a, b in zip(total, effect, strict=True)]
            elif arrived:
                effect = self.effect(q, t, n, x, new, k)
                total = [a + arrived * b for a, b in zip(total, effect, strict=True)]
        return [a + b for a, b in zip(new, total, strict=True)] if leaps else new
