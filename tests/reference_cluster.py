"""Slow twins of the cluster: the event loop in plain Python, and asynchronous SGD in simpy.

`events` repeats the event loop from its description with a heap and lists; only the random numbers
are shared, so results must agree bit for bit. `simpy_async_sgd` shares nothing, not even the
numbers, so its results must agree in law.
"""

import heapq
import math

import numpy as np
import simpy

from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law, as_laws


def events(
    eigenvalues, noise, start, *, compute, workers, learning_rate, seed, run=0, communication=None,
    link=None, capacity=1, update=None, updates=math.inf, time=math.inf,
):  # fmt: skip
    """Return one row (time, worker, staleness, loss after) for each applied gradient."""
    key = streams.key_of(seed)
    eigenvalues = [float(v) for v in np.atleast_1d(eigenvalues)]
    dim = len(eigenvalues)
    noise = [float(v) for v in np.broadcast_to(noise, dim)]
    x = [float(v) for v in np.broadcast_to(start, dim)]

    def per_worker(value, name):
        laws = as_laws(value, workers, name)
        return laws * workers if len(laws) == 1 else laws

    compute = per_worker(compute, "compute")
    own = None if communication is None else per_worker(communication, "communication")
    link = None if link is None else as_law(link, "link")
    update = None if update is None else as_law(update, "update")

    def duration(worker, job):
        u = streams.uniform(*key, run, job, worker, streams.COMPUTE)
        total = quantile(compute[worker].table(), u)
        if own is not None:
            v = streams.uniform(*key, run, job, worker, streams.COMMUNICATION)
            total += quantile(own[worker].table(), v)
        return total

    def gradient(at, worker, job):
        width = dim + dim % 2 if dim > 1 else 1
        out = []
        for i in range(dim):
            g = eigenvalues[i] * at[i]
            if noise[i] > 0.0:
                step = job * width + i
                g += noise[i] * streams.normal(*key, run, step, worker, streams.GRADIENT)
            out.append(g)
        return out

    jobs = [0] * workers
    reads = [list(x) for _ in range(workers)]
    versions = [0] * workers
    computing, sending, serving = "computing", "sending", "serving"
    heap = [(duration(w, 0), w, computing) for w in range(workers)]
    heapq.heapify(heap)
    free = [0.0] * capacity
    queue = []
    rows = []

    def serve(now):
        u = streams.uniform(*key, run, len(rows), 0, streams.SERVER)
        heapq.heappush(heap, (now + quantile(update.table(), u), workers, serving))

    while len(rows) < updates:
        now, w, what = heapq.heappop(heap)
        if now > time:
            break
        if what == computing and link is not None:
            u = streams.uniform(*key, run, jobs[w], w, streams.COMMUNICATION)
            channel = min(range(capacity), key=free.__getitem__)
            free[channel] = max(now, free[channel]) + quantile(link.table(), u)
            heapq.heappush(heap, (free[channel], w, sending))
            continue
        if what != serving and update is not None:
            queue.append(w)
            if len(queue) == 1:
                serve(now)
            continue
        if what == serving:
            w = queue.pop(0)
        g = gradient(reads[w], w, jobs[w])
        x = [a - learning_rate * b for a, b in zip(x, g, strict=True)]
        staleness = len(rows) - versions[w]
        loss = 0.0
        for curvature, value in zip(eigenvalues, x, strict=True):
            loss += curvature * value * value
        rows.append((now, w, staleness, 0.5 * loss))
        versions[w] = len(rows)
        reads[w] = list(x)
        jobs[w] += 1
        heapq.heappush(heap, (now + duration(w, jobs[w]), w, computing))
        if queue:
            serve(now)
    return rows


def simpy_sgd(*, workers, draw, alpha, noise, time, rng, k=1, idle=False, threshold=math.inf):
    """Return x(time) and the staleness of every applied gradient, for curvature 1.

    An update is made by the mean of `k` gradients; with `idle` those who gave them wait for it.
    Gradients of staleness `threshold` or more are dropped.
    """
    state = {"x": 1.0, "version": 0, "group": []}
    staleness = []
    environment = simpy.Environment()
    updated = {"event": environment.event()}

    def worker():
        while True:
            read, version = state["x"], state["version"]
            yield environment.timeout(draw(rng))
            late = state["version"] - version
            if late >= threshold:
                continue
            staleness.append(late)
            state["group"].append(read + noise * rng.standard_normal())
            if len(state["group"]) == k:
                state["x"] -= alpha * sum(state["group"]) / k
                state["version"] += 1
                state["group"] = []
                done, updated["event"] = updated["event"], environment.event()
                done.succeed()
            elif idle:
                yield updated["event"]

    for _ in range(workers):
        environment.process(worker())
    environment.run(until=time)
    return state["x"], staleness
