"""Slow twins of the linear recursions along arrivals, from their words, in plain Python."""

import heapq
import math

import numpy as np

from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile


class Cluster:
    """One cluster: a heap of events, and what its workers have read."""

    def __init__(self, machines, key, run):
        self.machines, self.key, self.run = machines, key, run
        self.jobs = [0] * len(machines.compute)
        self.free = [0.0] * machines.capacity
        self.events = []
        for w in range(len(self.jobs)):
            at = self.uniform(0, w, streams.COMPUTE)
            part = self.uniform(0, w, streams.DECISIONS)
            left = self.uniform(1, w, streams.DECISIONS)
            in_compute = part < machines.compute_share[w]
            first = machines.biased_compute[w] if in_compute else machines.compute[w]
            time = quantile(machines.tables, at, first)
            if machines.communication[w] >= 0:
                first = machines.biased_communication[w]
                first = machines.communication[w] if in_compute else first
                at = self.uniform(0, w, streams.COMMUNICATION)
                time += quantile(machines.tables, at, first)
            self.events.append((left * time, w, False))
        heapq.heapify(self.events)

    def uniform(self, step, worker, stream):
        return streams.uniform(*self.key, self.run, step, worker, stream)

    def length(self, w):
        """How long the present job of a worker takes by itself."""
        machines, job = self.machines, self.jobs[w]
        time = quantile(machines.tables, self.uniform(job, w, streams.COMPUTE), machines.compute[w])
        if machines.communication[w] >= 0:
            at = self.uniform(job, w, streams.COMMUNICATION)
            time += quantile(machines.tables, at, machines.communication[w])
        return time

    def next(self):
        """When the next event is."""
        return self.events[0][0]

    def step(self):
        """Do the next event; return (time, worker) if a gradient arrives, and let it go on."""
        time, w, sending = heapq.heappop(self.events)
        if self.machines.link >= 0 and not sending:
            channel = min(range(len(self.free)), key=self.free.__getitem__)
            at = self.uniform(self.jobs[w], w, streams.COMMUNICATION)
            taken = quantile(self.machines.tables, at, self.machines.link)
            self.free[channel] = max(time, self.free[channel]) + taken
            heapq.heappush(self.events, (self.free[channel], w, True))
            return None
        self.jobs[w] += 1
        heapq.heappush(self.events, (time + self.length(w), w, False))
        return time, w

    def arrivals(self):
        """Yield (time, worker) of gradients, for ever."""
        while True:
            found = self.step()
            if found is not None:
                yield found

    def settle(self, warm, kicked):
        """Let a queue settle; return the origin of the clock, and whose kick it is."""
        workers = len(self.jobs)
        which = self.uniform(1, workers, streams.SERVER)
        origin = warm[0] + (warm[1] - warm[0]) * self.uniform(0, workers, streams.SERVER)
        while self.next() <= origin:
            self.step()
        if not kicked:
            return origin, None
        arrivals = self.arrivals()
        for _ in range(workers + int(which * workers) - 1):
            next(arrivals)
        return next(arrivals)


def mean_squares(machines, alpha, grid, shares, kicked, warm, key, runs):
    """Squares at the times of `grid`, or their integrals after a kick, of each run."""
    workers = len(machines.compute)
    found = np.zeros((runs, len(grid), len(alpha)))
    for run in range(runs):
        made = Cluster(machines, key, run)
        origin, who = 0.0, None
        if machines.link >= 0:
            origin, who = made.settle(warm, kicked)
        elif kicked:
            which = made.uniform(1, workers, streams.SERVER)
            who = int(np.searchsorted(shares[:-1], which, side="right"))
            made.events = [event for event in made.events if event[1] != who]
            made.events.append((made.length(who), who, False))
            heapq.heapify(made.events)
        x = np.ones(len(alpha))
        reads = [np.ones(len(alpha)) * (not kicked) for _ in range(workers)]
        if kicked:
            reads[who] = x
        path = [(0.0, x)]
        for time, w in made.arrivals():
            if time - origin > grid[-1]:
                break
            x = x - alpha * reads[w]
            reads[w] = x
            path.append((time - origin, x))
        times = np.array([time for time, _ in path])
        squares = np.array([state**2 for _, state in path])
        for i, at in enumerate(grid):
            last = int(np.searchsorted(times, at, side="right")) - 1
            found[run, i] = squares[last]
            if kicked:
                found[run, i] = np.diff(np.append(times[: last + 1], at)) @ squares[: last + 1]
    return found


def clone_growth(machines, alpha, period, warm, key, particles, turns, cloned):
    """Logarithm of the growth of the mean square in each period, by cloning, or its mean."""
    made = [Cluster(machines, key, p) for p in range(particles)]
    start = [c.settle(warm, False)[0] if machines.link >= 0 else 0.0 for c in made]
    x = [1.0] * particles
    reads = [[1.0] * len(machines.compute) for _ in range(particles)]
    logs = []
    for turn in range(turns):
        weight = []
        for p, one in enumerate(made):
            while one.next() <= start[p] + (turn + 1) * period:
                found = one.step()
                if found is not None:
                    x[p] -= alpha * reads[p][found[1]]
                    reads[p][found[1]] = x[p]
            weight.append(x[p] ** 2 + sum(r * r for r in reads[p]) / len(reads[p]))
        whole = sum(weight)
        logs.append(math.log(whole / particles) if cloned else np.log(weight).mean())
        place = streams.uniform(*key, particles, turn, 0, streams.SERVER)
        marks = (place + np.arange(particles)) * whole / particles
        chosen = np.searchsorted(np.cumsum(weight), marks)
        copies = [int((chosen == p).sum()) if cloned else 1 for p in range(particles)]
        empty = iter([p for p in range(particles) if copies[p] == 0])
        before = [(one.events, one.free) for one in made]
        x = [value / math.sqrt(w) for value, w in zip(x, weight, strict=True)]
        reads = [[r / math.sqrt(w) for r in row] for row, w in zip(reads, weight, strict=True)]
        for q in range(particles):
            for _ in range(copies[q] - 1):
                p = next(empty)
                shift = start[p] - start[q]
                made[p].events = [(t + shift, w, s) for t, w, s in before[q][0]]
                made[p].free = [t + shift for t in before[q][1]]
                made[p].jobs = [job + 1 for job in made[p].jobs]
                heapq.heapify(made[p].events)
                x[p], reads[p] = x[q], list(reads[q])
    return np.array(logs)
