"""Compiled mini-batch gradients and losses of the objectives on labelled samples.

The numbers of an objective are laid end to end: a header, the training rows and their labels, the
test rows and theirs, who holds which row, and what the model adds (the widths of a network). A loss
leaves accuracy, test loss and test accuracy in the first places of the scratch, from where the
event loop takes them. Samples are processed in chunks small enough that BLAS stays on one thread,
so that the bits do not depend on the machine's number of processors.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sdde.cluster.logistic import Logistic
from sdde.cluster.network import Network
from sdde.cluster.objective_kinds import MEASURES
from sdde.cluster.samples import Samples
from sdde.cluster.softmax import Softmax
from sdde.engine import streams
from sdde.engine.kernels.exponential import exp
from sdde.engine.kernels.normals import store_uniforms

Floats = NDArray[np.float64]

SOURCE = Path(__file__).read_bytes()
_BLAS_SERIAL = 200_000  # multiply-adds below which OpenBLAS stays on one thread
_HEADER = 10  # numbers before the data:
_SAMPLES, _FEATURES, _CLASSES, _BATCH, _CHUNK = range(5)
_PENALTY, _LOWEST, _TESTS, _OWNERS, _MODEL = range(5, _HEADER)
_TANH, _RELU = range(2)
_U = np.uint64
_inline = njit(forceinline=True, error_model="numpy", fastmath=False)


def softmax_numbers(objective: Softmax) -> tuple[Floats, int]:
    """Return the numbers of a softmax regression, and the size of its scratch."""
    features, classes = objective.inputs.shape[1], objective.classes
    chunk = _chunk(features * classes)
    numbers = _numbers(
        objective.samples, objective.batch, chunk, objective.regularisation,
        objective.optimum()[1], [],
    )  # fmt: skip
    return numbers, len(MEASURES) + chunk * (features + classes + 1) + features * classes


def network_numbers(objective: Network) -> tuple[Floats, int]:
    """Return the numbers of a network, and the size of its scratch."""
    widths = objective.widths
    largest = max(a * b for a, b in pairwise(widths))
    chunk = _chunk(largest)
    kind = _TANH if objective.activation == "tanh" else _RELU
    numbers = _numbers(
        objective.samples, objective.batch, chunk, objective.regularisation, 0.0,
        [len(widths) - 1, kind, *widths],
    )  # fmt: skip
    return numbers, len(MEASURES) + chunk * (sum(widths) + max(widths) + 1) + largest


def _chunk(products: int) -> int:
    return int(np.clip(_BLAS_SERIAL // products, 1, 64))


def _numbers(
    samples: Samples, batch: int, chunk: int, penalty: float, lowest: float, model: list[int]
) -> Floats:
    workers = samples.workers or 0
    held: list[Any] = [samples.rows_of(worker) for worker in range(workers)]
    bounds = np.cumsum([0, *map(len, held)]) if workers else np.empty(0)
    rows, features = samples.inputs.shape
    tests = len(samples.test_inputs)
    size = _HEADER + (rows + tests) * (features + 1) + len(bounds) + sum(map(len, held))
    header = [
        rows, features, samples.classes, batch, chunk, penalty, lowest, tests, workers, size,
    ]  # fmt: skip
    parts = [
        header, samples.inputs.ravel(), samples.labels, samples.test_inputs.ravel(),
        samples.test_labels, bounds, *held, model,
    ]  # fmt: skip
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


@_inline
def _drawn(numbers, u, worker):
    """Return the row that a uniform number means to a worker."""
    samples, owners = int(numbers[_SAMPLES]), int(numbers[_OWNERS])
    if owners == 0:
        return int(u * samples)
    rows = samples + int(numbers[_TESTS])
    bounds = _HEADER + rows * (int(numbers[_FEATURES]) + 1)
    first, last = int(numbers[bounds + worker]), int(numbers[bounds + worker + 1])
    return int(numbers[bounds + owners + 1 + first + int(u * (last - first))])


@_inline
def _fetch(numbers, drawn, target, count, first, k0, k1, run, worker, job):
    """Copy the rows that a gradient draws, from its sample `first` on, and their labels."""
    samples, features, batch = (
        int(numbers[_SAMPLES]), int(numbers[_FEATURES]), int(numbers[_BATCH]),
    )  # fmt: skip
    step = job * batch + first
    together = 0 if step & 1 else count // 16 * 16  # drawn sixteen at a time, in lanes
    for s in range(0, together, 16):
        store_uniforms(
            target, s, _U(k0), _U(k1), _U(run), _U((step + s) >> 1), _U(worker),
            _U(streams.SAMPLING),
        )  # fmt: skip
    for s in range(together, count):
        target[s] = streams.uniform(k0, k1, run, step + s, worker, streams.SAMPLING)
    for s in range(count):
        sample = _drawn(numbers, target[s], worker)
        target[s] = numbers[_HEADER + samples * features + sample]
        at = _HEADER + sample * features
        for f in range(features):
            drawn[s, f] = numbers[at + f]


@_inline
def _shares(logits, count):
    """Turn logits into probabilities in place; return the sum of their log-normalisers."""
    classes = logits.shape[1]
    total = 0.0
    for s in range(count):
        top = logits[s, 0]
        for c in range(1, classes):
            top = max(top, logits[s, c])
        for c in range(classes):
            logits[s, c] -= top
        total += top
    flat = logits.reshape(logits.size)
    for i in range(count * classes):  # all at once: vector code
        flat[i] = exp(flat[i])
    for s in range(count):
        mass = 0.0
        for c in range(classes):
            mass += logits[s, c]
        for c in range(classes):
            logits[s, c] /= mass
        total += math.log(mass)
    return total


@_inline
def _judge(logits, labels, first, count):
    """Return the sum of the right logits, and how many of them are the largest (the first if
    several are).
    """
    total, right = 0.0, 0
    for s in range(count):
        label = int(labels[first + s])
        total += logits[s, label]
        best = 0
        for c in range(1, logits.shape[1]):
            if logits[s, c] > logits[s, best]:
                best = c
        right += best == label
    return total, right


def softmax_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of softmax regression on the rows that this job draws."""
    features, classes = int(numbers[_FEATURES]), int(numbers[_CLASSES])
    batch, chunk = int(numbers[_BATCH]), int(numbers[_CHUNK])
    used = 3
    drawn = scratch[used : used + chunk * features].reshape((chunk, features))
    used += chunk * features
    probabilities = scratch[used : used + chunk * classes].reshape((chunk, classes))
    used += chunk * classes
    target = scratch[used : used + chunk]
    slope = scratch[used + chunk : used + chunk + features * classes].reshape((features, classes))
    weights = reads[row].reshape((features, classes))
    for i in range(reads.shape[1]):
        out[i] = numbers[_PENALTY] * reads[row, i]
    share = 1.0 / batch
    for first in range(0, batch, chunk):
        count = min(chunk, batch - first)
        _fetch(numbers, drawn, target, count, first, k0, k1, run, worker, job)
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


def softmax_loss(x, numbers, scratch):
    """Excess loss of softmax regression over all rows; measures go into the scratch."""
    features, classes = int(numbers[_FEATURES]), int(numbers[_CLASSES])
    chunk = int(numbers[_CHUNK])
    probabilities = scratch[3 : 3 + chunk * classes].reshape((chunk, classes))
    weights = x.reshape((features, classes))
    fit, at = 0.0, _HEADER
    for part in range(2):  # training rows, then test rows
        rows = int(numbers[_SAMPLES if part == 0 else _TESTS])
        inputs = numbers[at : at + rows * features].reshape((rows, features))
        labels = numbers[at + rows * features : at + rows * (features + 1)]
        at += rows * (features + 1)
        total, right = 0.0, 0
        for first in range(0, rows, chunk):
            count = min(chunk, rows - first)
            logits = probabilities[:count]
            np.dot(inputs[first : first + count], weights, logits)
            high, hits = _judge(logits, labels, first, count)
            total += _shares(logits, count) - high
            right += hits
        if part == 0:
            fit = total / rows
            scratch[0] = right / rows
        else:
            scratch[1], scratch[2] = total / rows, right / rows
    return fit + 0.5 * numbers[_PENALTY] * _square(x) - numbers[_LOWEST]


@_inline
def _square(x):
    square = 0.0
    for i in range(x.shape[0]):
        square += x[i] * x[i]
    return square


@_inline
def _forward(inputs, count, x, numbers, values, chunk):
    """Compute the outputs of all layers for some rows; return where the last ones begin.

    `values` holds ``chunk`` rows for each layer behind the inputs, end to end.
    """
    model = int(numbers[_MODEL])
    depth, kind = int(numbers[model]), int(numbers[model + 1])
    read, at, place = inputs, 0, 0
    begin = 0
    for layer in range(depth):
        rows, columns = int(numbers[model + 2 + layer]), int(numbers[model + 3 + layer])
        weights = x[at : at + rows * columns].reshape((rows, columns))
        bias = x[at + rows * columns : at + (rows + 1) * columns]
        at += (rows + 1) * columns
        begin = place
        out = values[place : place + count * columns].reshape((count, columns))
        place += chunk * columns
        np.dot(read, weights, out)
        for s in range(count):
            for c in range(columns):
                out[s, c] += bias[c]
                if layer < depth - 1:
                    out[s, c] = math.tanh(out[s, c]) if kind == 0 else max(out[s, c], 0.0)
        read = out
    return begin


def network_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of a network on the rows that this job draws, by backpropagation."""
    features, classes = int(numbers[_FEATURES]), int(numbers[_CLASSES])
    batch, chunk, model = int(numbers[_BATCH]), int(numbers[_CHUNK]), int(numbers[_MODEL])
    depth, kind = int(numbers[model]), int(numbers[model + 1])
    total, widest = 0, features
    for layer in range(1, depth + 1):
        total += int(numbers[model + 2 + layer])
        widest = max(widest, int(numbers[model + 2 + layer]))
    used = 3
    drawn = scratch[used : used + chunk * features].reshape((chunk, features))
    used += chunk * features
    target = scratch[used : used + chunk]
    used += chunk
    values = scratch[used : used + chunk * total]
    used += chunk * total
    spare = scratch[used : used + chunk * widest]
    used += chunk * widest
    slopes = scratch[used:]
    x = reads[row]
    for i in range(reads.shape[1]):
        out[i] = numbers[_PENALTY] * x[i]
    share = 1.0 / batch
    for first in range(0, batch, chunk):
        count = min(chunk, batch - first)
        _fetch(numbers, drawn, target, count, first, k0, k1, run, worker, job)
        place = _forward(drawn[:count], count, x, numbers, values, chunk)
        late = values[place : place + count * classes].reshape((count, classes))
        _shares(late, count)
        for s in range(count):
            late[s, int(target[s])] -= 1.0
        at = reads.shape[1]
        for layer in range(depth - 1, -1, -1):
            rows, columns = int(numbers[model + 2 + layer]), int(numbers[model + 3 + layer])
            at -= (rows + 1) * columns
            read = drawn[:count]
            if layer > 0:
                place -= chunk * rows
                read = values[place : place + count * rows].reshape((count, rows))
            slope = slopes[: rows * columns].reshape((rows, columns))
            np.dot(read.T, late, slope)
            i = at
            for r in range(rows):
                for c in range(columns):
                    out[i] += share * slope[r, c]
                    i += 1
            for s in range(count):
                for c in range(columns):
                    out[i + c] += share * late[s, c]
            if layer > 0:
                weights = x[at : at + rows * columns].reshape((rows, columns))
                back = spare[: count * rows].reshape((count, rows))
                np.dot(late, weights.T, back)
                for s in range(count):
                    for r in range(rows):
                        a = read[s, r]
                        rise = 1.0 - a * a if kind == 0 else (1.0 if a > 0.0 else 0.0)
                        read[s, r] = back[s, r] * rise
                late = read


def network_loss(x, numbers, scratch):
    """Loss of a network over all rows; measures go into the scratch."""
    features, classes = int(numbers[_FEATURES]), int(numbers[_CLASSES])
    chunk = int(numbers[_CHUNK])
    values = scratch[3:]
    fit, at = 0.0, _HEADER
    for part in range(2):  # training rows, then test rows
        rows = int(numbers[_SAMPLES if part == 0 else _TESTS])
        inputs = numbers[at : at + rows * features].reshape((rows, features))
        labels = numbers[at + rows * features : at + rows * (features + 1)]
        at += rows * (features + 1)
        total, right = 0.0, 0
        for first in range(0, rows, chunk):
            count = min(chunk, rows - first)
            place = _forward(inputs[first : first + count], count, x, numbers, values, chunk)
            logits = values[place : place + count * classes].reshape((count, classes))
            high, hits = _judge(logits, labels, first, count)
            total += _shares(logits, count) - high
            right += hits
        if part == 0:
            fit = total / rows
            scratch[0] = right / rows
        else:
            scratch[1], scratch[2] = total / rows, right / rows
    return fit + 0.5 * numbers[_PENALTY] * _square(x) - numbers[_LOWEST]


def logistic_numbers(objective: Logistic) -> tuple[Floats, int]:
    """Return the numbers of a logistic regression, and the size of its scratch."""
    features = objective.inputs.shape[1]
    chunk = _chunk(features)
    numbers = _numbers(
        objective.samples, objective.batch, chunk, objective.regularisation,
        objective.optimum()[1], [],
    )  # fmt: skip
    return numbers, len(MEASURES) + chunk * (features + 1)


def logistic_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient of logistic regression on the rows that this job draws."""
    features, batch, chunk = (
        int(numbers[_FEATURES]), int(numbers[_BATCH]), int(numbers[_CHUNK]),
    )  # fmt: skip
    drawn = scratch[3 : 3 + chunk * features].reshape((chunk, features))
    target = scratch[3 + chunk * features : 3 + chunk * (features + 1)]
    for i in range(features):
        out[i] = numbers[_PENALTY] * reads[row, i]
    share = 1.0 / batch
    for first in range(0, batch, chunk):
        count = min(chunk, batch - first)
        _fetch(numbers, drawn, target, count, first, k0, k1, run, worker, job)
        for s in range(count):
            logit = 0.0
            for f in range(features):
                logit += drawn[s, f] * reads[row, f]
            residual = share * (0.5 * (1.0 + math.tanh(0.5 * logit)) - target[s])
            for f in range(features):
                out[f] += residual * drawn[s, f]


def logistic_loss(x, numbers, scratch):
    """Excess loss of logistic regression over all rows; measures go into the scratch."""
    features = int(numbers[_FEATURES])
    fit, at = 0.0, _HEADER
    for part in range(2):  # training rows, then test rows
        rows = int(numbers[_SAMPLES if part == 0 else _TESTS])
        labels = numbers[at + rows * features : at + rows * (features + 1)]
        total, right = 0.0, 0
        for s in range(rows):
            logit = 0.0
            for f in range(features):
                logit += numbers[at + s * features + f] * x[f]
            total += max(logit, 0.0) + math.log1p(math.exp(-abs(logit))) - labels[s] * logit
            right += (1.0 if logit > 0.0 else 0.0) == labels[s]
        at += rows * (features + 1)
        if part == 0:
            fit = total / rows
            scratch[0] = right / rows
        else:
            scratch[1], scratch[2] = total / rows, right / rows
    return fit + 0.5 * numbers[_PENALTY] * _square(x) - numbers[_LOWEST]
