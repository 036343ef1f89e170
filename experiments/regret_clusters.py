"""Mean squares of parameters on simulated clusters, many learning rates at once. Compiled.

Gradients arrive when they do whatever the learning rate is, so one simulated schedule serves every
product of learning rate and eigenvalue. Runs begin in the stationary state of the machines. Two
ensembles make an expected loss: one starts away from the minimum and has no noise; one starts there
and gets one unit kick with a gradient, whose mean square, integrated over time, is the variance
that noise of all gradients adds up to. A third routine follows a population that is cloned in
proportion to its squares: the growth of a second moment whose mean rare runs decide. Knows laws by
their tables only; shares with the simulator of the package nothing but the quantiles.
"""

import math

import numpy as np
from numba import njit

from sdde.engine.kernels.quantile import quantile

_options = {"nogil": True, "error_model": "numpy", "cache": True}
_U = np.uint64
_GOLDEN, _A, _B = _U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)
_C, _D = _U(0xD6E8FEB86659FD93), _U(0xA0761D6478BD642F)
_30, _27, _31, _11 = _U(30), _U(27), _U(31), _U(11)
THINK, SEND, FIRST, WHERE = 0, 1, 2, 3  # streams of random numbers


@njit(**_options)
def mixed(z):
    """Return 64 bits that depend on all bits of `z` (the finaliser of SplitMix64)."""
    z = (z ^ (z >> _30)) * _A
    z = (z ^ (z >> _27)) * _B
    return z ^ (z >> _31)


@njit(**_options)
def uniform(key, worker, job, stream):
    """Return the uniform number at an address of a run."""
    z = key + _U(worker) * _GOLDEN + _U(job) * _C + _U(stream) * _D
    return (float(mixed(mixed(z) + _GOLDEN) >> _11) + 0.5) * 2.0**-53


@njit(**_options)
def enter(tree, owner, who, time):
    """Put a worker's next event into the tournament."""
    node = tree.size // 2 + who
    tree[node] = time
    owner[node] = who
    while node > 1:
        other = node ^ 1
        if tree[other] < time or (tree[other] == time and owner[other] < who):
            time, who = tree[other], owner[other]
        node >>= 1
        tree[node], owner[node] = time, who


@njit(**_options)
def begin(tree, owner, sending, free, tables, think, biased, key, together):
    """Let all workers compute, each somewhere in its computation, or at its beginning."""
    tree[:] = math.inf
    for i in range(tree.size // 2):
        owner[tree.size // 2 + i] = i
    for node in range(tree.size // 2 - 1, 0, -1):
        owner[node] = owner[2 * node]
    free[:] = 0.0
    for w in range(think.size):
        sending[w] = False
        if together:
            time = quantile(tables, uniform(key, w, 0, THINK), think[w])
        else:
            time = quantile(tables, uniform(key, w, 0, FIRST), biased[w])
            time *= uniform(key, w, 1, FIRST)
        enter(tree, owner, w, time)


@njit(**_options)
def queue_up(tree, owner, sending, free, tables, link, key, jobs):
    """Give the earliest worker its place at the link, if it has one to pass; else say that a
    gradient arrives.
    """
    w = owner[1]
    if link < 0 or sending[w]:
        return True
    first = 0
    for i in range(1, free.size):
        if free[i] < free[first]:
            first = i
    free[first] = max(tree[1], free[first])
    free[first] += quantile(tables, uniform(key, w, jobs[w], SEND), link)
    sending[w] = True
    enter(tree, owner, w, free[first])
    return False


@njit(**_options)
def think_again(tree, owner, sending, tables, think, key, jobs):
    """Let the worker whose gradient has arrived begin the next one."""
    w = owner[1]
    jobs[w] += 1
    sending[w] = False
    enter(tree, owner, w, tree[1] + quantile(tables, uniform(key, w, jobs[w], THINK), think[w]))


@njit(**_options)
def moments(
    tables, think, biased, link, capacity, warm, together, shares, alpha, grid, kicked, seed, runs,
    squares,
):  # fmt: skip
    """Add the squares at the times of `grid` to `squares` (groups, times, alphas); for kicks their
    integrals until then. Return the number of events and of gradients until the last time.

    `runs` are the first and last of the block, `shares` the cumulative shares of the workers in the
    gradients, `warm` the time (lowest, highest) for which a queue settles before the clock begins.
    """
    workers, points, size = think.size, grid.size, alpha.size
    leaves = 1
    while leaves < workers:
        leaves *= 2
    tree, owner = np.empty(2 * leaves), np.zeros(2 * leaves, np.int64)
    sending, free = np.zeros(workers, np.bool_), np.zeros(capacity)
    jobs = np.zeros(workers, np.int64)
    x, total, reads = np.empty(size), np.empty(size), np.empty((workers, size))
    events = gradients = 0
    for run in range(runs[0], runs[1]):
        key = mixed(mixed(_U(seed)) + _U(run) * _GOLDEN)
        group = run % squares.shape[0]
        jobs[:] = 0
        begin(tree, owner, sending, free, tables, think, biased, key, together)
        origin = 0.0
        if warm[1] > 0.0:
            origin = warm[0] + (warm[1] - warm[0]) * uniform(key, 0, 0, WHERE)
            more = 0
            if kicked:
                more = workers + int(uniform(key, 0, 1, WHERE) * workers)
            while tree[1] <= origin or more > 0:
                if queue_up(tree, owner, sending, free, tables, link, key, jobs):
                    if tree[1] > origin:
                        more -= 1
                        if more == 0:
                            break
                    think_again(tree, owner, sending, tables, think, key, jobs)
                events += 1
        x[:], total[:] = 1.0, 0.0
        reads[:, :] = 0.0 if kicked else 1.0
        if kicked:
            if warm[1] > 0.0:
                w = owner[1]
                origin = tree[1]
                think_again(tree, owner, sending, tables, think, key, jobs)
            else:
                w = min(np.searchsorted(shares, uniform(key, 0, 1, WHERE)), workers - 1)
                enter(tree, owner, w, quantile(tables, uniform(key, w, 0, THINK), think[w]))
            reads[w, :] = 1.0
        cursor, since = 0, 0.0
        while cursor < points:
            events += 1
            if not queue_up(tree, owner, sending, free, tables, link, key, jobs):
                continue
            now = tree[1] - origin
            while cursor < points and grid[cursor] < now:
                out = squares[group, cursor]
                if kicked:
                    passed = grid[cursor] - since
                    for i in range(size):
                        out[i] += total[i] + passed * x[i] * x[i]
                else:
                    for i in range(size):
                        out[i] += x[i] * x[i]
                cursor += 1
            if cursor == points:
                break
            read = reads[owner[1]]
            if kicked:
                passed = now - since
                since = now
                for i in range(size):
                    total[i] += passed * x[i] * x[i]
            for i in range(size):
                value = x[i] - alpha[i] * read[i]
                x[i] = value
                read[i] = value
            gradients += 1
            think_again(tree, owner, sending, tables, think, key, jobs)
    return events, gradients


@njit(**_options)
def growth(
    tables, think, biased, link, capacity, warm, alpha, period, burn, periods, particles, seed,
    cloned,
):  # fmt: skip
    """Return the logarithm of the growth of the mean square in each of some periods.

    Particles are whole clusters with one parameter. After each period they are cloned in
    proportion to the square of the parameter plus the mean square of what the workers hold, and
    scaled to one; the logarithm of the mean square before cloning is the growth. The first `burn`
    periods are left out. Without cloning it is the mean of the logarithms.
    """
    workers = think.size
    leaves = 1
    while leaves < workers:
        leaves *= 2
    tree = np.empty((particles, 2 * leaves))
    owner = np.zeros((particles, 2 * leaves), np.int64)
    sending = np.zeros((particles, workers), np.bool_)
    free = np.zeros((particles, capacity))
    x, reads = np.ones(particles), np.ones((particles, workers))
    jobs = np.zeros((particles, workers), np.int64)  # of a place, not of its history: clones differ
    keys = np.empty(particles, np.uint64)
    weight, source = np.empty(particles), np.empty(particles, np.int64)
    start = np.zeros(particles)
    for p in range(particles):
        keys[p] = mixed(mixed(_U(seed)) + _U(p) * _GOLDEN)
        begin(tree[p], owner[p], sending[p], free[p], tables, think, biased, keys[p], False)
        if warm[1] > 0.0:
            start[p] = warm[0] + (warm[1] - warm[0]) * uniform(keys[p], 0, 0, WHERE)
            while tree[p, 1] <= start[p]:
                if queue_up(tree[p], owner[p], sending[p], free[p], tables, link, keys[p], jobs[p]):
                    think_again(tree[p], owner[p], sending[p], tables, think, keys[p], jobs[p])
    logs = np.zeros(periods)
    for turn in range(burn + periods):
        for p in range(particles):
            until = start[p] + (turn + 1) * period
            while tree[p, 1] <= until:
                if queue_up(tree[p], owner[p], sending[p], free[p], tables, link, keys[p], jobs[p]):
                    w = owner[p, 1]
                    x[p] -= alpha * reads[p, w]
                    reads[p, w] = x[p]
                    think_again(tree[p], owner[p], sending[p], tables, think, keys[p], jobs[p])
            held = 0.0
            for w in range(workers):
                held += reads[p, w] * reads[p, w]
            weight[p] = x[p] * x[p] + held / workers
        whole = weight.sum()
        if turn >= burn and cloned:
            logs[turn - burn] = math.log(whole / particles)
        elif turn >= burn:
            logs[turn - burn] = np.log(weight).mean()
        if not cloned:
            for p in range(particles):
                x[p] /= math.sqrt(weight[p])
                reads[p] /= math.sqrt(weight[p])
            continue
        # Systematic resampling; a particle that is drawn keeps its place.
        copies = np.zeros(particles, np.int64)
        reached, p = weight[0], 0
        place = uniform(_U(seed), turn, 0, WHERE) * whole / particles
        for _ in range(particles):
            while reached < place and p < particles - 1:
                p += 1
                reached += weight[p]
            copies[p] += 1
            place += whole / particles
        empty = 0
        for p in range(particles):
            source[p] = p
        for p in range(particles):
            while copies[p] > 1:
                while copies[empty] > 0:
                    empty += 1
                source[empty] = p
                copies[empty] = 1
                copies[p] -= 1
        for p in range(particles):
            scale = 1.0 / math.sqrt(weight[source[p]])
            if source[p] != p:
                q = source[p]
                shift = start[p] - start[q]
                for i in range(tree.shape[1]):
                    tree[p, i] = tree[q, i] + shift
                    owner[p, i] = owner[q, i]
                for i in range(capacity):
                    free[p, i] = free[q, i] + shift
                for w in range(workers):
                    sending[p, w] = sending[q, w]
                    reads[p, w] = reads[q, w] * scale
                    jobs[p, w] += 1  # a number that a lost run has used is not drawn again
                x[p] = x[q] * scale
        for p in range(particles):
            if source[p] == p:
                scale = 1.0 / math.sqrt(weight[p])
                x[p] *= scale
                for w in range(workers):
                    reads[p, w] *= scale
    return logs
