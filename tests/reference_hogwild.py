"""Slow twin of workers on shared memory: plain Python lists and one heap of pieces of jobs.

Written from the description of the rule. Only the random numbers are shared with the package.
"""

import heapq

from sdde.engine import streams
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law


def hogwild(
    curvatures, noise, start, *, compute, access, workers, blocks, share, learning_rate, seed,
    updates, weight=lambda late: 1.0,
):  # fmt: skip
    """Return a row (time, worker, staleness, loss, ages of the blocks read) for each update."""
    key = streams.key_of(seed)
    compute, access = as_law(compute, "compute").table(), as_law(access, "access").table()
    x, dim = list(start), len(start)
    edges = [dim * b // blocks for b in range(blocks + 1)]
    rows, heap, jobs = [], [], [-1] * workers
    reads, slopes, state = [[0.0] * dim for _ in range(workers)], [None] * workers, [None] * workers

    def begin(w, now):
        jobs[w] += 1
        u = streams.uniform(*key, 0, jobs[w], w, streams.COMMUNICATION)
        state[w] = {
            "began": now, "version": len(rows), "access": quantile(access, u), "read": 0,
            "written": None, "ages": [],
        }  # fmt: skip

    def piece(w, now):
        """Do what worker `w` has to do now; return when it acts again, and whether it is done."""
        mine = state[w]
        if mine["read"] < blocks:
            b = mine["read"]
            reads[w][edges[b] : edges[b + 1]] = x[edges[b] : edges[b + 1]]
            mine["ages"].append(len(rows))
            mine["read"] += 1
            when = mine["began"] + share * mine["access"] * (b + 1) / blocks
            if mine["read"] == blocks:
                u = streams.uniform(*key, 0, jobs[w], w, streams.COMPUTE)
                when += quantile(compute, u)
            return when, False
        if mine["written"] is None:
            width = dim + dim % 2
            slopes[w] = []
            for i in range(dim):
                z = streams.normal(*key, 0, jobs[w] * width + i, w, streams.GRADIENT)
                slopes[w].append(curvatures[i] * reads[w][i] + noise[i] * z)
            mine["factor"] = learning_rate * weight(len(rows) - mine["version"])
            mine["written"], mine["ended"] = 0, now
            return now + (1.0 - share) * mine["access"] / blocks, False
        b = mine["written"]
        for i in range(edges[b], edges[b + 1]):
            x[i] -= mine["factor"] * slopes[w][i]
        mine["written"] += 1
        if mine["written"] < blocks:
            return mine["ended"] + (1.0 - share) * mine["access"] * (b + 2) / blocks, False
        loss = 0.0
        for curvature, value in zip(curvatures, x, strict=True):
            loss += curvature * value * value
        rows.append((now, w, len(rows) - mine["version"], 0.5 * loss, mine["ages"]))
        begin(w, now)
        return now, True

    for w in range(workers):
        begin(w, 0.0)
        heapq.heappush(heap, (0.0, w))
    while len(rows) < updates:
        now, w = heapq.heappop(heap)
        when = now
        while when == now and len(rows) < updates:
            when, _ = piece(w, now)
        heapq.heappush(heap, (when, w))
    return rows
