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
        header = [objective.samples, objective.batch, objective.lowest]
        numbers = np.concatenate([header, objective.noise])
        functions = _users(objective.gradient_function, objective.loss_function, objective.samples)
        start = np.array(objective.start)
        return Compiled(*functions, numbers, 0, start, 100 if objective.samples else 1)
    from sdde.cluster import data_gradients as data

    if isinstance(objective, Network):
        numbers, scratch = data.network_numbers(objective)
        pair = data.network_gradient, data.network_loss
    else:
        numbers, scratch = data.softmax_numbers(objective)
        pair = data.softmax_gradient, data.softmax_loss
    functions = (
        _function(pair[0], GRADIENT, data.SOURCE), _function(pair[1], LOSS, data.SOURCE),
    )  # fmt: skip
    return Compiled(
        *functions, numbers, scratch, np.array(objective.start), 100,
        measures=measures_of(objective),
    )  # fmt: skip


@cache
def _function(function: FunctionType, signature: Any, source: bytes = b"") -> Any:
    source = source or Path(__file__).read_bytes()
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
