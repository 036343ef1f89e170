"""Objectives whose functions stay plain Python: compiled code calls back into the interpreter.

The event loop sees the same two signatures as ever. Samples and noise are drawn here, by address,
so a run has the same events and the same randomness as with compiled functions; only the numbers
that the functions return are Python's. Calls take the interpreter's lock, so threads do not help.
An exception ends the runs as diverged, and is kept for the caller to raise.
"""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, int64
from numba.extending import intrinsic
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.objective import Objective
from sdde.engine import streams

Floats = NDArray[np.float64]

SOURCE = Path(__file__).read_bytes()
_GRADIENT = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_LOSS = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_int64)
_SAMPLES, _BATCH, _LOWEST, _MEASURES, _GRADIENT_AT, _LOSS_AT = range(6)
_HEADER = 6


class Callbacks:
    """C functions that call the Python functions of an objective."""

    def __init__(self, objective: Objective) -> None:
        self.failures: list[BaseException] = []
        gradient, loss = objective.gradient_function, objective.loss_function
        measures = tuple(objective.measures.values())
        vector, numbers = ctypes.c_double * objective.dim, ctypes.c_int64 * objective.batch
        beside = ctypes.c_double * len(measures)

        def mean_gradient(x: Floats, rows: int) -> Any:
            if not objective.samples:
                return gradient(x)
            drawn = _at(numbers, rows, np.int64).copy()
            if objective.whole_batches:
                return gradient(x, drawn)
            total = np.zeros(objective.dim)
            for sample in drawn.tolist():
                total += np.asarray(gradient(x, sample)) / len(drawn)
            return total

        def gradient_at(x: int, out: int, rows: int) -> None:
            target = _at(vector, out)
            try:
                target[:] = mean_gradient(_at(vector, x).copy(), rows)
            except BaseException as error:  # nothing may pass through compiled code
                self.failures.append(error)
                target[:] = np.nan

        def loss_at(x: int, results: int) -> float:
            try:
                read = _at(vector, x).copy()
                if measures:
                    others = _at(beside, results)
                    others[:] = [measure(read) for measure in measures]
                return _number(loss(read))
            except BaseException as error:
                self.failures.append(error)
                return np.nan

        self._keep = _GRADIENT(gradient_at), _LOSS(loss_at)
        self.addresses = [ctypes.cast(f, ctypes.c_void_p).value or 0 for f in self._keep]

    def raise_failure(self) -> None:
        """Raise the first exception that a function raised, if any did."""
        if self.failures:
            raise self.failures[0]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise checks.fail(
            "loss", value, "was returned, which is no number",
            remedy="For example loss = lambda x: float(x @ x).",
        ) from None  # fmt: skip


def _at(kind: Any, address: int, dtype: Any = np.float64) -> NDArray[Any]:
    """Return the array of a ctypes kind at an address, which it does not own."""
    return np.frombuffer(kind.from_address(address), dtype)


def python_numbers(objective: Objective, callbacks: Callbacks) -> tuple[Floats, int]:
    """Return the numbers of an objective of plain Python functions, and the size of its scratch."""
    addresses = np.array(callbacks.addresses, dtype=np.int64).view(np.float64)
    header = [
        objective.samples, objective.batch, objective.lowest, len(objective.measures), *addresses,
    ]  # fmt: skip
    rows = objective.batch if objective.samples else 0
    return np.concatenate([header, objective.noise]), len(objective.measures) + rows


@intrinsic
def _call_gradient(typingctx, address, x, out, rows):
    """Call a C function of three addresses that returns nothing."""

    def generate(context, builder, signature, values):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 3).as_pointer()
        builder.call(builder.inttoptr(values[0], kind), values[1:])
        return ir.Constant(word, 0)

    return int64(int64, int64, int64, int64), generate


@intrinsic
def _call_loss(typingctx, address, x, results):
    """Call a C function of two addresses that returns a number."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)] * 2).as_pointer()
        return builder.call(builder.inttoptr(values[0], kind), values[1:])

    return float64(int64, int64, int64), generate


def python_gradient(reads, row, out, numbers, scratch, k0, k1, run, worker, job):
    """Gradient by a call into Python, on the rows that this job draws, plus normal noise."""
    dim, samples, batch = reads.shape[1], int(numbers[_SAMPLES]), int(numbers[_BATCH])
    rows = scratch[int(numbers[_MEASURES]) :].view(np.int64)
    if samples > 0:
        for s in range(batch):
            u = streams.uniform(k0, k1, run, job * batch + s, worker, streams.SAMPLING)
            rows[s] = int(u * samples)
    address = numbers.view(np.int64)[_GRADIENT_AT]
    _call_gradient(  # pyright: ignore[reportCallIssue]
        address, int64(reads[row].ctypes.data), int64(out.ctypes.data), int64(rows.ctypes.data)
    )
    width = dim + dim % 2
    for i in range(dim):
        if numbers[_HEADER + i] > 0.0:
            z = streams.normal(k0, k1, run, job * width + i, worker, streams.GRADIENT)
            out[i] += numbers[_HEADER + i] * z


def python_loss(x, numbers, scratch):
    """Excess loss by a call into Python; measures go into the scratch."""
    address = numbers.view(np.int64)[_LOSS_AT]
    value = _call_loss(  # pyright: ignore[reportCallIssue]
        address, int64(x.ctypes.data), int64(scratch.ctypes.data)
    )
    return value - numbers[_LOWEST]
