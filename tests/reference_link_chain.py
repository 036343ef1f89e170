"""Workers behind a shared link in plain Python: a chain of labelled places, and a word of arrivals.

Slow; written from the model, not from the theory that it judges.
"""

import heapq

import numpy as np
import scipy.stats


def update_map(alpha, workers, link):
    """Return the map of second moments from one update to the next, thinking times exponential.

    The mean of a computation is 1. For each number at the link just after an update all products of
    (x, places in the queue, those that compute) are kept, each worker by its own label; those that
    compute are then shuffled. `link` is a frozen SciPy law or a number.
    """
    size = workers + 1

    def joined(others):
        if isinstance(link, float):
            times, weights = np.array([link]), np.ones(1)
        else:
            level, weights = np.polynomial.legendre.leggauss(200)
            times, weights = link.ppf(0.5 * (level + 1.0)), 0.5 * weights
        chance = 1.0 - np.exp(-times)
        return [scipy.stats.binom.pmf(j, others, chance) @ weights for j in range(others + 1)]

    def shuffled(matrix, queue):
        apart = list(range(1 + queue, size))
        if len(apart) < 2:
            return matrix
        out = np.zeros_like(matrix)
        for turn in range(len(apart)):  # turns and swaps of a pair make all averages equal
            order = list(range(1 + queue)) + apart[turn:] + apart[:turn]
            out += matrix[np.ix_(order, order)] / len(apart)
        block = out[1 + queue :, 1 + queue :]
        count = len(apart)
        off = (block.sum() - np.trace(block)) / (count * (count - 1))
        block[...] = off
        np.fill_diagonal(block, np.trace(matrix[1 + queue :, 1 + queue :]) / count)
        return out

    whole = np.zeros((workers, size * size, workers, size * size))
    for queue in range(workers):
        for unit in range(size * size):
            matrix = np.zeros(size * size)
            matrix[unit] = 1.0
            matrix = matrix.reshape(size, size)
            matrix = shuffled(0.5 * (matrix + matrix.T), queue)
            first = max(queue, 1)
            move = np.eye(size)
            move[0, 1] -= alpha
            move[1] = move[0]
            after = move @ matrix @ move.T
            order = [0, *range(2, size), 1]
            after = after[np.ix_(order, order)]
            for more, chance in enumerate(joined(workers - first)):
                whole[first - 1 + more, :, queue, unit] += chance * after.ravel()
    return whole.reshape(workers * size * size, -1)


def order_of_arrivals(think, link, workers, arrivals, seed):
    """Return who arrives, by events; times are drawn from frozen SciPy laws or are numbers."""
    rng = np.random.default_rng(seed)

    def drawn(law, count):
        if isinstance(law, float):
            return np.full(count, law)
        return law.ppf(rng.random(count))

    thinking, sending = drawn(think, arrivals + workers), drawn(link, arrivals)
    events = [(time, i) for i, time in enumerate(thinking[arrivals:])]
    heapq.heapify(events)
    order, free = [], 0.0
    for k in range(arrivals):
        time, i = heapq.heappop(events)
        free = max(free, time) + sending[k]
        order.append(i)
        heapq.heappush(events, (free + thinking[k], i))
    return np.array(order)


def staleness_of(order, workers):
    """Return the staleness of each arrival after all have arrived some times."""
    last, found = [0] * workers, []
    for k, i in enumerate(order):
        found.append(k - last[i] - 1)
        last[i] = k
    return np.array(found[20 * workers :])
