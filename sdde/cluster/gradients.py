"""Compiled mini-batch gradients and losses, one pair for each objective.

The event loop calls `gradient` and `loss` on a named tuple of arrays; numba picks the pair that
belongs to the tuple's class while it compiles, so the loop holds no branch on the objective and no
call. A gradient is a function of the parameters read and of an address (run, worker, job): whoever
asks, and however often, gets the same bits. Nothing here knows about time, staleness or methods.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.softmax import Softmax
from sdde.engine import streams

Floats = NDArray[np.float64]

_OPTIONS = {"error_model": "numpy", "fastmath": False, "nogil": True}
_BLAS_SERIAL = 200_000  # multiply-adds below which OpenBLAS stays on one thread


class QuadraticData(NamedTuple):
    """Numbers of a diagonal quadratic: curvatures, gradient noise, start."""

    eigenvalues: Floats
    noise: Floats
    start: Floats


class SoftmaxData(NamedTuple):
    """Numbers of a softmax regression; `rows`, `logits`, `slope` are scratch of one thread."""

    inputs: Floats
    labels: NDArray[np.int64]
    batch: int
    regularisation: float
    lowest: float
    start: Floats
    rows: Floats
    logits: Floats
    slope: Floats


def data_of(objective: Any) -> Any:
    """Return the named tuple that the event loop runs on, with scratch of its own."""
    if isinstance(objective, Quadratic):
        noise = np.broadcast_to(np.asarray(objective.noise, dtype=float), (objective.dim,))
        return QuadraticData(objective.eigenvalues, np.array(noise), np.array(objective.start))
    if isinstance(objective, Softmax):
        features, classes = objective.inputs.shape[1], objective.classes
        chunk = int(np.clip(_BLAS_SERIAL // (features * classes), 1, 64))
        return SoftmaxData(
            objective.inputs,
            objective.labels,
            objective.batch,
            objective.regularisation,
            objective.optimum()[1],
            objective.start,
            np.empty((chunk, features)),
            np.empty((chunk, classes)),
            np.empty((features, classes)),
        )
    raise TypeError(type(objective).__name__)


def loss_interval(objective: Any) -> int:
    """Return the number of updates between two looks at the loss of a run that stops on it.

    The loss of a quadratic costs as little as its gradient; that of a data set needs all the data.
    """
    return 1 if isinstance(objective, Quadratic) else 100


def gradient(data, x, out, k0, k1, run, worker, job):
    """Write into `out` the mini-batch gradient at `x` of a worker's job."""
    raise NotImplementedError


def loss(data, x):
    """Return the loss at `x` above its minimum."""
    raise NotImplementedError


def _is(data: Any, kind: type) -> bool:
    return isinstance(data, types.BaseNamedTuple) and data.instance_class is kind


@overload(gradient, jit_options=_OPTIONS)
def _gradient(data, x, out, k0, k1, run, worker, job):
    if _is(data, QuadraticData):
        return _quadratic_gradient
    if _is(data, SoftmaxData):
        return _softmax_gradient
    return None


@overload(loss, jit_options=_OPTIONS)
def _loss(data, x):
    if _is(data, QuadraticData):
        return _quadratic_loss
    if _is(data, SoftmaxData):
        return _softmax_loss
    return None


def _quadratic_gradient(data, x, out, k0, k1, run, worker, job):
    # Component i of job j has the normal of step j * width + i; width is dim, made even beyond 1.
    dim = x.shape[0]
    if dim == 1:
        g = data.eigenvalues[0] * x[0]
        if data.noise[0] > 0.0:
            g += data.noise[0] * streams.normal(k0, k1, run, job, worker, streams.GRADIENT)
        out[0] = g
        return
    first = job * ((dim + 1) // 2)
    for i in range(0, dim, 2):
        out[i] = data.eigenvalues[i] * x[i]
        if i + 1 < dim:
            out[i + 1] = data.eigenvalues[i + 1] * x[i + 1]
            if data.noise[i] > 0.0 or data.noise[i + 1] > 0.0:
                a, b = streams.normal_pair(k0, k1, run, first + i // 2, worker, streams.GRADIENT)
                out[i] += data.noise[i] * a
                out[i + 1] += data.noise[i + 1] * b
        elif data.noise[i] > 0.0:
            a, b = streams.normal_pair(k0, k1, run, first + i // 2, worker, streams.GRADIENT)
            out[i] += data.noise[i] * a


def _quadratic_loss(data, x):
    total = 0.0
    for i in range(x.shape[0]):
        total += data.eigenvalues[i] * x[i] * x[i]
    return 0.5 * total


@njit(**_OPTIONS)
def _log_likelihoods(logits, count):
    """Turn rows of logits into probabilities in place; return the sum of their log-normalisers."""
    classes = logits.shape[1]
    total = 0.0
    for s in range(count):
        top = logits[s, 0]
        for c in range(1, classes):
            top = max(top, logits[s, c])
        mass = 0.0
        for c in range(classes):
            logits[s, c] = math.exp(logits[s, c] - top)
            mass += logits[s, c]
        for c in range(classes):
            logits[s, c] /= mass
        total += top + math.log(mass)
    return total


def _softmax_gradient(data, x, out, k0, k1, run, worker, job):
    samples, features = data.inputs.shape
    classes = data.logits.shape[1]
    weights = x.reshape((features, classes))
    share = 1.0 / data.batch
    for i in range(x.shape[0]):
        out[i] = data.regularisation * x[i]
    label = np.empty(data.rows.shape[0], np.int64)
    for start in range(0, data.batch, data.rows.shape[0]):
        count = min(data.rows.shape[0], data.batch - start)
        for s in range(count):
            u = streams.uniform(k0, k1, run, job * data.batch + start + s, worker, streams.SAMPLING)
            row = int(u * samples)
            label[s] = data.labels[row]
            for f in range(features):
                data.rows[s, f] = data.inputs[row, f]
        rows, logits = data.rows[:count], data.logits[:count]
        np.dot(rows, weights, logits)
        _log_likelihoods(logits, count)
        for s in range(count):
            logits[s, label[s]] -= 1.0
        np.dot(rows.T, logits, data.slope)
        i = 0
        for f in range(features):
            for c in range(classes):
                out[i] += share * data.slope[f, c]
                i += 1


def _softmax_loss(data, x):
    samples, features = data.inputs.shape
    chunk, classes = data.logits.shape
    weights = x.reshape((features, classes))
    total = 0.0
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        logits = data.logits[:count]
        np.dot(data.inputs[start : start + count], weights, logits)
        for s in range(count):
            total -= logits[s, data.labels[start + s]]
        total += _log_likelihoods(logits, count)
    square = 0.0
    for i in range(x.shape[0]):
        square += x[i] * x[i]
    return total / samples + 0.5 * data.regularisation * square - data.lowest
