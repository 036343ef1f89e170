"""Exact moments of asynchronous SGD with Erlang cycles: workers' stages and reads as a chain.

Slow and only for a few workers; written from the model, not from the theory that it judges.
"""

import itertools

import numpy as np
import scipy.linalg


def erlang_moments(alpha, workers, stages):
    """Return the matrix and the forcing of second moments in every joint stage.

    The mean cycle is 1. For each joint stage the unknowns are E[z_a z_b; stage] with z = (x, y_1,
    ..., y_n), x the state and y_i what worker i read; the forcing is for unit noise. `alpha` 0
    gives the chain of stages alone.
    """
    size = workers + 1
    pairs = [(a, b) for a in range(size) for b in range(a, size)]
    where = {pair: k for k, pair in enumerate(pairs)}
    joint = list(itertools.product(range(stages), repeat=workers))
    place = {state: k for k, state in enumerate(joint)}
    count = len(pairs)
    matrix = np.zeros((len(joint) * count, len(joint) * count))
    force = np.zeros(len(joint) * count)
    stationary = 1.0 / len(joint)
    for state in joint:
        here = place[state] * count
        for i in range(workers):
            after = list(state)
            after[i] = (state[i] + 1) % stages
            there = place[tuple(after)] * count
            for k in range(count):
                matrix[here + k, here + k] -= stages
            if state[i] < stages - 1:
                for k in range(count):
                    matrix[there + k, here + k] += stages
                continue
            # An arrival: x and y_i become x - alpha y_i - noise.
            move = np.eye(size)
            move[0, 1 + i] -= alpha
            move[1 + i] = move[0]
            for (a, b), k in where.items():
                for c in range(size):
                    for d in range(size):
                        weight = move[a, c] * move[b, d]
                        if weight:
                            matrix[there + k, here + where[min(c, d), max(c, d)]] += stages * weight
                if a in (0, 1 + i) and b in (0, 1 + i):
                    force[there + k] += stages * stationary
    return matrix, force, joint, count


def erlang_squares(alpha, workers, stages, times):
    """Return E x^2 at even times, from a start at 1 and from unit noise, shape (2, times)."""
    matrix, force, joint, count = erlang_moments(alpha, workers, stages)
    size = matrix.shape[0]
    augmented = np.zeros((size + 1, size + 1))
    augmented[:size, :size], augmented[:size, size] = matrix, force
    state = np.zeros((size + 1, 2))
    state[:size, 0] = 1.0 / len(joint)
    state[size, 1] = 1.0
    step = scipy.linalg.expm(augmented * (times[1] - times[0]))
    out = []
    for _ in times:
        out.append(state[:size].reshape(len(joint), count, 2)[:, 0].sum(axis=0))
        state = step @ state
    return np.array(out).T


def erlang_limit(workers, stages, low, high):
    """Return the learning rate times eigenvalue at which second moments stop being bounded."""
    for _ in range(30):
        middle = 0.5 * (low + high)
        growth = np.linalg.eigvals(erlang_moments(middle, workers, stages)[0]).real.max()
        low, high = (middle, high) if growth < 0.0 else (low, middle)
    return 0.5 * (low + high)


def erlang_floor(alpha, workers, stages):
    """Return the stationary E x^2 under unit noise."""
    matrix, force, joint, count = erlang_moments(alpha, workers, stages)
    moments = np.linalg.solve(matrix, -force)
    return moments.reshape(len(joint), count)[:, 0].sum()
