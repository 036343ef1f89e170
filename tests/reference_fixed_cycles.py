"""Workers with constant unequal cycles, one arrival after the other, in plain Python."""

import math

import numpy as np


def spectral_radius(cycles, start, period, alpha):
    """Return the spectral radius of the product of all arrivals within one period."""
    when, workers = list(start), len(cycles)
    matrix = np.eye(workers + 1)
    while min(when) < period:
        i = when.index(min(when))
        move = np.eye(workers + 1)
        move[0, 1 + i] = -alpha
        move[1 + i] = move[0]
        matrix = move @ matrix
        when[i] += cycles[i]
    return np.abs(np.linalg.eigvals(matrix)).max()


def growth(cycles, start, arrivals, alpha):
    """Return the growth of the logarithm of what workers hold, per arrival, after a tenth."""
    when, x, held, logs = list(start), 1.0, [1.0] * len(cycles), []
    for k in range(arrivals):
        i = when.index(min(when))
        x -= alpha * held[i]
        held[i] = x
        when[i] += cycles[i]
        if k % 500 == 0:
            size = math.sqrt(sum(value * value for value in held))
            logs.append(math.log(size))
            x, held = x / size, [value / size for value in held]
    return float(np.mean(logs[len(logs) // 10 :])) / 500.0
