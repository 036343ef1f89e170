"""Slow twin of machines that change: plain Python objects and one heap, no arrays.

It adds to the twin of the methods drifting speeds, recorded times, outages, links of the workers'
own, a server that takes time, and a buffer of finished work. Only the random numbers are shared
with the package. Methods in which workers wait for updates are left to the other twin.
"""

import heapq
import itertools
import math
from types import SimpleNamespace

from sdde.cluster import Drifting, Outages, PlannedOutages, Replay
from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law
from tests.reference_methods import Cluster


class Machines(Cluster):
    """One run of a method of groups on machines that change."""

    def __init__(self, method, *, system, workers, **options):
        self.system, self.serving, self.queue = system, False, []
        self.sources = system.compute_sources(workers)
        self.tables = {}
        super().__init__(method, law=1.0, workers=workers, **options)

    def start(self):
        for worker in self.workers:
            worker.until, worker.outages, worker.down = 0.0, 0, 0.0
        super().start()

    def draw(self, law, step, worker, stream):
        if id(law) not in self.tables:
            self.tables[id(law)] = as_law(law, "law").table()
        return quantile(self.tables[id(law)], self.uniform(step, worker, stream))

    def duration(self, worker):
        source, job = self.sources[worker.number], worker.job
        if isinstance(source, Replay):
            if source.then == "stop" and job >= len(source.durations):
                return math.inf
            time = source.durations[job % len(source.durations)]
        elif isinstance(source, Drifting):
            time = self.draw(source.law, job, worker, streams.COMPUTE) * self.factor(source)
        else:
            time = self.draw(source, job, worker, streams.COMPUTE)
        if self.system.communication is not None:
            time += self.draw(self.system.communication, job, worker, streams.COMMUNICATION)
        return time

    def factor(self, source):
        points = list(zip(source.times, source.factors, strict=True))
        if self.now <= points[0][0]:
            return points[0][1]
        for (t0, f0), (t1, f1) in itertools.pairwise(points):
            if t0 <= self.now < t1:
                return f0 + (self.now - t0) / (t1 - t0) * (f1 - f0)
        return points[-1][1]

    def next_outage(self, worker):
        rule = self.system.outages
        while worker.until <= self.now:
            step = worker.outages
            worker.outages += 1
            if isinstance(rule, PlannedOutages) and step < len(rule.intervals[worker.number]):
                worker.fails, worker.until = rule.intervals[worker.number][step]
            elif isinstance(rule, Outages):
                worker.fails = worker.until + self.draw(rule.up, 2 * step, worker, streams.OUTAGES)
                worker.until = worker.fails + self.draw(
                    rule.down, 2 * step + 1, worker, streams.OUTAGES
                )
            else:
                worker.fails = worker.until = math.inf
        return worker.fails

    def work(self, worker, again=False):
        if worker.state in ("idle", "held"):
            worker.idle += self.now - worker.since
        fails = self.next_outage(worker)
        if fails <= self.now:
            worker.state, worker.since = "down", self.now
            heapq.heappush(self.heap, (worker.until, worker.number, worker.job, "up"))
            return
        worker.state, worker.job = "busy", worker.job + 1
        worker.read_time = self.now
        worker.read, worker.version = list(self.shown), self.public
        when, what = self.now + self.duration(worker), "done"
        if when == math.inf:
            worker.state = "gone"
            return
        if fails < when:
            when, what = fails, "lost"
        heapq.heappush(self.heap, (when, worker.number, worker.job, what))

    def under_way(self):
        return super().under_way() + [item.version for item in self.queue]

    def release(self, worker):
        if worker is not None:
            self.begin(worker)

    def next_group(self, worker):
        self.group, self.weights = [], []

    def rest(self, worker):
        if worker.state != "idle":
            super().rest(worker)

    def look(self, item):
        worker = self.workers[item.number]
        g = self.gradient(item)
        goes_on = not item.shelved
        if not self.admits(item, g):
            worker.discarded += 1
        else:
            late = self.version - item.version
            self.staleness.append(late)
            worker.applied += 1
            weight = self.weight(item, late)
            self.taken += 1
            self.group.append((worker, [weight * v for v in g]))
            self.weights.append(weight)
            if self.is_complete():
                law = self.system.update_time
                last = worker if goes_on and (law is None or self.system.buffer is None) else None
                goes_on = goes_on and last is None
                if law is None:
                    self.update(last)
                else:
                    self.serving, self.last = True, last
                    if last is not None:
                        self.rest(last)
                    first = SimpleNamespace(number=0)
                    time = self.draw(law, self.version, first, streams.SERVER)
                    heapq.heappush(self.heap, (self.now + time, len(self.workers), 0, "updated"))
        if goes_on:
            self.begin(worker)
        if item.shelved:
            for other in self.queue:
                if not other.shelved:
                    other.shelved = True
                    self.begin(self.workers[other.number])
                    break

    def run(self, updates):
        while self.version < updates:
            self.let_begin()
            if not self.heap:
                return self
            self.now, number, job, what = heapq.heappop(self.heap)
            if what == "updated":
                self.serving = False
                self.update(self.last)
            else:
                worker = self.workers[number]
                if what in ("up", "lost"):
                    if what == "up":
                        worker.down += self.now - worker.since
                    worker.cancelled += what == "lost"
                    worker.state = "free"
                    self.begin(worker)
                    continue
                worker.state = "free"
                item = SimpleNamespace(
                    number=number, job=job, read=worker.read, version=worker.version,
                    read_time=worker.read_time, shelved=False,
                )  # fmt: skip
                if self.serving:
                    self.queue.append(item)
                    shelved = sum(other.shelved for other in self.queue)
                    if shelved < (self.system.buffer or 0):
                        item.shelved = True
                        self.begin(worker)
                    else:
                        self.rest(worker)
                    continue
                self.look(item)
            while self.queue and not self.serving and self.version < updates:
                self.look(self.queue.pop(0))
        self.let_begin()
        return self
