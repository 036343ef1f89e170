"""Compiled mini-batch gradients and losses of the objectives, all with the same two signatures.

The event loop is compiled once and calls these through function pointers; the numbers of an
objective travel in one flat array. A gradient is a function of the parameters read and of an
address (run, worker, job): whoever asks, and however often, gets the same bits. Nothing here knows
about time, staleness or methods.
"""

from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import float64, int64, njit, void
from numpy.typing import NDArray

from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.cluster.logistic import Logistic
from sdde.cluster.network import Network
from sdde.cluster.objective import Objective
from sdde.cluster.objective_kinds import measures_of
from sdde.cluster.quadratic import Quadratic
from sdde.engine import storage, streams
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.errors import CompileError

Floats = NDArray[np.float64]

# A loss may leave further measures of the same parameters at the beginning of its scratch.
# reads, row of reads, out, numbers, scratch, key (two), run, worker, job
GRADIENT = void(
    float64[:, ::1], int64, float64[::1], float64[::1], float64[::1],
    int64, int64, int64, int64, int64,
)  # fmt: skip
LOSS = float64(float64[::1], float64[::1], float64[::1])  # x, numbers, scratch


class Compiled(NamedTuple):
    """An objective as the event loop takes it."""

    gradient: Any
    loss: Any
    numbers: Floats
    scratch: int  # floats that one thread needs
    start: Floats
    loss_interval: int  # updates between two looks at the loss of a run that stops on it
    diagonal: bool = False  # a quadratic, whose gradient the loop knows
    measures: tuple[str, ...] = ()  # what the loss leaves at the beginning of the scratch
    callbacks: Any = None  # plain Python functions, kept alive, and the exceptions they raised


def compiled(objective: Any) -> Compiled:
    """Return an objective's functions and numbers.

    The loss of a quadratic costs as little as its gradient, so a run that stops on its loss looks
    after each update; that of a data set needs all the data, so every 100.
    """
    if isinstance(objective, Quadratic):
        numbers = np.concatenate([objective.eigenvalues, objective.noise])
        functions = _function(diagonal_gradient, GRADIENT), _function(diagonal_loss, LOSS)
        return Compiled(*functions, numbers, 0, np.array(objective.start), 1, diagonal=True)
    if isinstance(objective, Objective):
        return _of_functions(objective)
    from sdde.cluster import data_gradients as data
    from sdde.cluster import matrix_gradients as matrix

    module, interval = data, 100
    match objective:
        case Network():
            numbers, scratch = data.network_numbers(objective)
            pair = data.network_gradient, data.network_loss
        case Logistic():
            numbers, scratch = data.logistic_numbers(objective)
            pair = data.logistic_gradient, data.logistic_loss
        case DenseQuadratic():
            numbers, scratch = matrix.dense_numbers(objective)
            pair, module, interval = (matrix.dense_gradient, matrix.dense_loss), matrix, 1
        case MatrixFactorisation():
            numbers, scratch = matrix.factorisation_numbers(objective)
            pair, module = (matrix.factorisation_gradient, matrix.factorisation_loss), matrix
        case _:
            numbers, scratch = data.softmax_numbers(objective)
            pair = data.softmax_gradient, data.softmax_loss
    return Compiled(
        _function(pair[0], GRADIENT, module.SOURCE), _function(pair[1], LOSS, module.SOURCE),
        numbers, scratch, np.array(objective.start), interval, measures=measures_of(objective),
    )  # fmt: skip


def _of_functions(objective: Objective) -> Compiled:
    """Return the functions of a user's own, compiled or called back."""
    start, interval = np.array(objective.start), 100 if objective.samples else 1
    if not objective.compiled:
        from sdde.cluster import python_gradients as python

        callbacks = python.Callbacks(objective)
        numbers, scratch = python.python_numbers(objective, callbacks)
        return Compiled(
            _function(python.python_gradient, GRADIENT, python.SOURCE),
            _function(python.python_loss, LOSS, python.SOURCE),
            numbers, scratch, start, interval, measures=measures_of(objective),
            callbacks=callbacks,
        )  # fmt: skip
    header = [objective.samples, objective.batch, objective.lowest]
    numbers = np.concatenate([header, objective.noise])
    template = _noisy_gradient
    if objective.samples:
        template = _batch_gradient if objective.whole_batches else _sampled_gradient
    pair = (
        _user(template, objective.gradient_function, GRADIENT, "gradient"),
        _user(_excess_loss, objective.loss_function, LOSS, "loss"),
    )
    scratch = objective.batch if objective.whole_batches else 0
    return Compiled(*pair, numbers, scratch, start, interval)


@cache
def _function(function: FunctionType, signature: Any, source: bytes = b"") -> Any:
    source = source or Path(__file__).read_bytes()
    key = storage.key_of(source, function.__name__.encode())
    return storage.compiled(function, signature, key)


def _user(template: FunctionType, function: Any, signature: Any, name: str) -> Any:
    inner = function if hasattr(function, "py_func") else njit(error_model="numpy")(function)
    # The template finds the function among its globals, which storage keeps.
    outer = FunctionType(
        template.__code__, {**template.__globals__, "_function_of_user": inner}, template.__name__
    )
    try:
        try:
            key = storage.key_of(
                Path(__file__).read_bytes(), fingerprint(function), template.__name__.encode()
            )
        except Unhashable:
            return njit(signature, nogil=True, error_model="numpy", fastmath=False)(outer)
        return storage.compiled(outer, signature, key)
    except Exception as error:  # numba lets errors of its own parts through
        cause = str(error).strip().splitlines()[-1]
        raise CompileError(
            f"{name} could not be compiled by numba: {cause}\n"
            "  It gets x as a float64 array (and a sample's number) and must return an array.\n"
            "  from_callables(..., compile=False) calls it as plain Python instead."
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


def _batch_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    dim, samples, batch = reads.shape[1], int(numbers[0]), int(numbers[1])
    rows = scratch[:batch].view(np.int64)
    for s in range(batch):
        u = streams.uniform(k0, k1, run, job * batch + s, worker, streams.SAMPLING)
        rows[s] = int(u * samples)
    slope = _function_of_user(reads[row].copy(), rows.copy())
    width = dim + dim % 2
    for i in range(dim):
        out[i] = slope[i]
        if numbers[3 + i] > 0.0:
            z = streams.normal(k0, k1, run, job * width + i, worker, streams.GRADIENT)
            out[i] += numbers[3 + i] * z


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
