"""The compiled recursion of delayed SGD with a prescribed staleness; see `prescribed`.

All parameters of a run lie in `history`, one row for each update, and a gradient reads one of the
rows. Arrays in, arrays out.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import float64, int64, types

from sdde.cluster.encoding import FREE, STEADY
from sdde.cluster.gradients import GRADIENT, LOSS
from sdde.cluster.weighing import project, schedule_factor
from sdde.engine import storage, streams
from sdde.engine.kernels.quantile import quantile

BOUNDED, SUBLINEAR, LINEAR, POLYNOMIAL, LAW = range(5)


def run_updates(
    gradient, loss, numbers, scratch, start, updates, rate, schedule, power, offset, breaks,
    projection, lazy, low, high, kind, amount, table, grid, losses, counts, history, k0, k1, run,
):  # fmt: skip
    """Fill the losses of one run and count staleness; return the updates made while finite."""
    dim = start.shape[0]
    step, behind, limit = np.empty(dim), np.empty(dim), 1e12
    for i in range(dim):
        history[0, i] = start[i]
        behind[i] = start[i]
        limit = max(limit, 1e12 * abs(start[i]))
    losses[0] = loss(history[0], numbers, scratch)
    cursor = 1
    for k in range(updates):
        late = k
        if kind == BOUNDED:
            late = int(amount)
        elif kind == SUBLINEAR:
            late = int(float(k) ** amount)
        elif kind == LINEAR:
            late = int(amount * k)
        elif kind == POLYNOMIAL:
            late = k - int(float(k) ** (1.0 / amount))
        else:
            late = int(quantile(table, streams.uniform(k0, k1, run, k, 0, streams.DECISIONS)))
        late = min(late, k)
        counts[late] += 1
        gradient(history, k - late, step, numbers, scratch, k0, k1, run, 0, k)
        factor = rate
        if schedule != STEADY:
            factor *= schedule_factor(schedule, power, offset, breaks, k)
        sound = True
        for i in range(dim):
            behind[i] -= factor * step[i]
            sound &= abs(behind[i]) <= limit
            history[k + 1, i] = behind[i]
        if projection != FREE:
            project(behind, history[k + 1], projection, lazy, low, high)
        if not sound:
            while cursor < grid.shape[0]:
                losses[cursor] = math.inf
                cursor += 1
            return k + 1
        if cursor < grid.shape[0] and grid[cursor] == k + 1:
            losses[cursor] = loss(history[k + 1], numbers, scratch)
            cursor += 1
    return updates


@cache
def recursion() -> Any:
    """Return `run_updates` compiled, from the cache on disk if it was compiled before."""
    vector = float64[::1]
    signature = int64(
        types.FunctionType(GRADIENT), types.FunctionType(LOSS), vector, vector, vector,
        int64, float64, int64, float64, int64, int64[::1], int64, types.boolean, vector, vector,
        int64, float64, vector, int64[::1], vector, int64[::1], float64[:, ::1],
        int64, int64, int64,
    )  # fmt: skip
    here = Path(__file__).parent
    files = ("recursion", "weighing", "gradients", "encoding")
    key = storage.key_of(*((here / f"{name}.py").read_bytes() for name in files))
    return storage.compiled(run_updates, signature, key)
