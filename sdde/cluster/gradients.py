"""Compiled mini-batch gradients and losses of the objectives, all with the same two signatures.

The event loop is compiled once and calls these through function pointers; the numbers of an
objective travel in one flat array. A gradient is a function of the parameters read and of an
address (run, worker, job): whoever asks, and however often, gets the same bits. Nothing here knows
about time, staleness or methods.
"""

import math
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import float64, int64, njit, void
from numpy.typing import NDArray

from sdde.cluster.objective import Objective
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.softmax import Softmax
from sdde.engine import storage, streams
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.errors import CompileError

Floats = NDArray[np.float64]

# reads, row of reads, out, numbers, scratch, key (two), run, worker, job
GRADIENT = void(
    float64[:, ::1], int64, float64[::1], float64[::1], float64[::1],
    int64, int64, int64, int64, int64,
)  # fmt: skip
LOSS = float64(float64[::1], float64[::1], float64[::1])  # x, numbers, scratch

_BLAS_SERIAL = 200_000  # multiply-adds below which OpenBLAS stays on one thread
_HEADER = 7  # numbers of a softmax before its data
_inline = njit(forceinline=True, error_model="numpy", fastmath=False)


class Compiled(NamedTuple):
    """An objective as the event loop takes it."""

    gradient: Any
    loss: Any
    numbers: Floats
    scratch: int  # floats that one thread needs
    start: Floats
    loss_interval: int  # updates between two looks at the loss of a run that stops on it
    diagonal: bool  # a quadratic, whose gradient the loop knows


def compiled(objective: Quadratic | Softmax | Objective) -> Compiled:
    """Return an objective's functions and numbers.

    The loss of a quadratic costs as little as its gradient, so a run that stops on its loss looks
    after each update; that of a data set needs all the data, so every 100.
    """
    if isinstance(objective, Quadratic):
        numbers = np.concatenate([objective.eigenvalues, objective.noise])
        functions = _function(diagonal_gradient, GRADIENT), _function(diagonal_loss, LOSS)
        return Compiled(*functions, numbers, 0, np.array(objective.start), 1, diagonal=True)
    if isinstance(objective, Objective):
        header = [objective.samples, objective.batch, objective.lowest]
        numbers = np.concatenate([header, objective.noise])
        functions = _users(objective.gradient_function, objective.loss_function, objective.samples)
        start = np.array(objective.start)
        return Compiled(*functions, numbers, 0, start, 100 if objective.samples else 1, False)
    samples, features = objective.inputs.shape
    classes = objective.classes
    chunk = int(np.clip(_BLAS_SERIAL // (features * classes), 1, 64))
    header = [
        samples, features, classes, objective.batch, chunk, objective.regularisation,
        objective.optimum()[1],
    ]  # fmt: skip
    numbers = np.concatenate([header, objective.inputs.ravel(), objective.labels.astype(float)])
    scratch = chunk * (features + classes + 1) + features * classes
    functions = _function(_softmax_gradient, GRADIENT), _function(_softmax_loss, LOSS)
    return Compiled(*functions, numbers, scratch, np.array(objective.start), 100, diagonal=False)


@cache
def _function(function: FunctionType, signature: Any) -> Any:
    source = Path(__file__).read_bytes()
    key = storage.key_of(source, function.__name__.encode())
    return storage.compiled(function, signature, key)


def _users(gradient: Any, loss: Any, samples: int) -> tuple[Any, Any]:
    """Compile functions of the user's own."""
    template = _sampled_gradient if samples else _noisy_gradient
    return (
        _user(template, gradient, GRADIENT, "gradient"),
        _user(_excess_loss, loss, LOSS, "loss"),
    )


def _user(template: FunctionType, function: Any, signature: Any, name: str) -> Any:
    inner = function if hasattr(function, "py_func") else njit(error_model="numpy")(function)
    # The template finds the function among its globals, which storage keeps.
    outer = FunctionType(
        template.__code__, {**template.__globals__, "_function_of_user": inner}, template.__name__
    )
    try:
        try:
            key = storage.key_of(Path(__file__).read_bytes(), fingerprint(function), name.encode())
        except Unhashable:
            return njit(signature, nogil=True, error_model="numpy", fastmath=False)(outer)
        return storage.compiled(outer, signature, key)
    except Exception as error:  # numba lets errors of its own parts through
        cause = str(error).strip().splitlines()[-1]
        raise CompileError(
            f"{name} could not be compiled by numba: {cause}\n"
            "  It gets x as a float64 array (and a sample's number) and must return an array."
        ) from None


def _function_of_user(x: Any, sample: int = 0) -> Any:
    """Stand for the user's function, which takes this name in a copy of the functions below."""
    raise NotImplementedError


def _noisy_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    dim = reads.shape[1]
    slope = _function_of_user(reads[row].copy())
    width = dim + dim % 2
    for i in range(dim):
        out[i] = slope[i]
        if numbers[3 + i] > 0.0:
            z = streams.normal(k0, k1, run, job * width + i, worker, streams.GRADIENT)
            out[i] += numbers[3 + i] * z


def _sampled_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    dim, samples, batch = reads.shape[1], int(numbers[0]), int(numbers[1])
    x = reads[row].copy()
    width = dim + dim % 2
    for i in range(dim):
        out[i] = 0.0
        if numbers[3 + i] > 0.0:
            z = streams.normal(k0, k1, run, job * width + i, worker, streams.GRADIENT)
            out[i] = numbers[3 + i] * z
    for s in range(batch):
        u = streams.uniform(k0, k1, run, job * batch + s, worker, streams.SAMPLING)
        slope = _function_of_user(x, int(u * samples))
        for i in range(dim):
            out[i] += slope[i] / batch


def _excess_loss(x, numbers, scratch):
    return _function_of_user(x.copy()) - numbers[2]


def diagonal_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of a quadratic in its own axes, with independent normal noise."""
    # Component i of job j has the normal of step j * width + i; width is dim, made even beyond 1.
    dim = reads.shape[1]
    if dim == 1:
        g = numbers[0] * reads[row, 0]
        if numbers[1] > 0.0:
            g += numbers[1] * streams.normal(k0, k1, run, job, worker, streams.GRADIENT)
        out[0] = g
        return
    first = job * ((dim + 1) // 2)
    for i in range(0, dim, 2):
        out[i] = numbers[i] * reads[row, i]
        if i + 1 < dim:
            out[i + 1] = numbers[i + 1] * reads[row, i + 1]
            if numbers[dim + i] > 0.0 or numbers[dim + i + 1] > 0.0:
                a, b = streams.normal_pair(k0, k1, run, first + i // 2, worker, streams.GRADIENT)
                out[i] += numbers[dim + i] * a
                out[i + 1] += numbers[dim + i + 1] * b
        elif numbers[dim + i] > 0.0:
            a, b = streams.normal_pair(k0, k1, run, first + i // 2, worker, streams.GRADIENT)
            out[i] += numbers[dim + i] * a


def diagonal_loss(x, numbers, scratch):
    """Excess loss of a quadratic in its own axes."""
    total = 0.0
    for i in range(x.shape[0]):
        total += numbers[i] * x[i] * x[i]
    return 0.5 * total


@_inline
def _shares(logits, count):
    """Turn logits into probabilities in place; return the sum of their log-normalisers."""
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


def _softmax_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    samples, features, classes = int(numbers[0]), int(numbers[1]), int(numbers[2])
    batch, chunk = int(numbers[3]), int(numbers[4])
    inputs = numbers[_HEADER : _HEADER + samples * features].reshape((samples, features))
    labels = numbers[_HEADER + samples * features :]
    drawn = scratch[: chunk * features].reshape((chunk, features))
    used = chunk * features
    probabilities = scratch[used : used + chunk * classes].reshape((chunk, classes))
    used += chunk * classes
    target = scratch[used : used + chunk]
    slope = scratch[used + chunk : used + chunk + features * classes].reshape((features, classes))
    weights = reads[row].reshape((features, classes))
    for i in range(reads.shape[1]):
        out[i] = numbers[5] * reads[row, i]
    share = 1.0 / batch
    for start in range(0, batch, chunk):
        count = min(chunk, batch - start)
        for s in range(count):
            u = streams.uniform(k0, k1, run, job * batch + start + s, worker, streams.SAMPLING)
            sample = int(u * samples)
            target[s] = labels[sample]
            for f in range(features):
                drawn[s, f] = inputs[sample, f]
        logits = probabilities[:count]
        np.dot(drawn[:count], weights, logits)
        _shares(logits, count)
        for s in range(count):
            logits[s, int(target[s])] -= 1.0
        np.dot(drawn[:count].T, logits, slope)
        i = 0
        for f in range(features):
            for c in range(classes):
                out[i] += share * slope[f, c]
                i += 1


def _softmax_loss(x, numbers, scratch):
    samples, features, classes = int(numbers[0]), int(numbers[1]), int(numbers[2])
    chunk = int(numbers[4])
    inputs = numbers[_HEADER : _HEADER + samples * features].reshape((samples, features))
    labels = numbers[_HEADER + samples * features :]
    probabilities = scratch[: chunk * classes].reshape((chunk, classes))
    weights = x.reshape((features, classes))
    total = 0.0
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        logits = probabilities[:count]
        np.dot(inputs[start : start + count], weights, logits)
        for s in range(count):
            total -= logits[s, int(labels[start + s])]
        total += _shares(logits, count)
    square = 0.0
    for i in range(x.shape[0]):
        square += x[i] * x[i]
    return total / samples + 0.5 * numbers[5] * square - numbers[6]
