"""Compiled gradients and losses of the objectives that are given by a matrix.

Plain loops in a fixed order, so that the bits are the same everywhere.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.engine import streams

Floats = NDArray[np.float64]

SOURCE = Path(__file__).read_bytes()
_ROWS, _COLUMNS, _RANK, _BATCH, _LOWEST = range(5)
_HEADER = 5


def dense_numbers(objective: DenseQuadratic) -> tuple[Floats, int]:
    """Return Hessian and noise factor, and the size of the scratch."""
    factor = objective.noise_factor
    noisy = np.array([float(objective.covariance.any())])
    return np.concatenate([noisy, objective.hessian.ravel(), factor.T.ravel()]), 0


def dense_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of a quadratic with a full Hessian, and normal noise of any covariance."""
    # Normal i of job j is that of step j * width + i; width is dim, made even beyond 1.
    dim = reads.shape[1]
    for i in range(dim):
        out[i] = 0.0
    for j in range(dim):  # column by column: the Hessian is symmetric
        value = reads[row, j]
        for i in range(dim):
            out[i] += numbers[1 + j * dim + i] * value
    if numbers[0] > 0.0:
        width = dim if dim == 1 else dim + dim % 2
        for j in range(dim):
            z = streams.normal(k0, k1, run, job * width + j, worker, streams.GRADIENT)
            at = 1 + dim * dim + j * dim
            for i in range(dim):
                out[i] += numbers[at + i] * z


def dense_loss(x, numbers, scratch):
    """Excess loss of a quadratic with a full Hessian."""
    dim = x.shape[0]
    total = 0.0
    for j in range(dim):
        slope = 0.0
        for i in range(dim):
            slope += numbers[1 + j * dim + i] * x[i]
        total += x[j] * slope
    return 0.5 * total


def factorisation_numbers(objective: MatrixFactorisation) -> tuple[Floats, int]:
    """Return shape, batch, minimum and target, and the size of the scratch."""
    rows, columns = objective.target.shape
    header = [rows, columns, objective.rank, objective.batch, objective.lowest]
    return np.concatenate([header, objective.target.ravel()]), 0


def factorisation_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of a matrix factorisation on the entries that this job draws."""
    rows, columns = int(numbers[_ROWS]), int(numbers[_COLUMNS])
    rank, batch = int(numbers[_RANK]), int(numbers[_BATCH])
    for i in range(reads.shape[1]):
        out[i] = 0.0
    for s in range(batch):
        u = streams.uniform(k0, k1, run, job * batch + s, worker, streams.SAMPLING)
        entry = int(u * (rows * columns))
        left = entry // columns * rank
        right = (rows + entry % columns) * rank
        error = -numbers[_HEADER + entry]
        for r in range(rank):
            error += reads[row, left + r] * reads[row, right + r]
        error /= batch
        for r in range(rank):
            out[left + r] += error * reads[row, right + r]
            out[right + r] += error * reads[row, left + r]


def factorisation_loss(x, numbers, scratch):
    """Excess loss of a matrix factorisation."""
    rows, columns, rank = int(numbers[_ROWS]), int(numbers[_COLUMNS]), int(numbers[_RANK])
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            error = -numbers[_HEADER + i * columns + j]
            for r in range(rank):
                error += x[i * rank + r] * x[(rows + j) * rank + r]
            total += error * error
    return 0.5 * total / (rows * columns) - numbers[_LOWEST]
