"""The arguments of a user's function: which are parameters, and the traced values in their place.

Numbers, truth values and arrays of them occupy the parameter vector in order, so its layout depends
on the arguments alone, not on what a function does with them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.engine.tracing.scalars import TracedScalar, as_traced
from sdde.engine.tracing.tape import Label, Tape

LARGEST_ARGUMENT = 4096  # numbers in one array argument; a larger one is a table


def is_numeric(value: Any) -> bool:
    """Return whether an argument occupies the parameter vector."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
    return isinstance(value, bool | int | float)


def is_whole(value: Any) -> bool:
    """Return whether an argument holds whole numbers, which may be meant as counts or indices."""
    return is_numeric(value) and np.asarray(value).dtype.kind in "iu"


def is_logical(value: Any) -> bool:
    """Return whether an argument holds truth values, on which functions branch."""
    return is_numeric(value) and np.asarray(value).dtype.kind == "b"


def parameters(args: Sequence[Any]) -> NDArray[np.float64]:
    """Return the numbers and arrays among `args` as one vector, the `p` of traced functions.

    Parameters
    ----------
    args : sequence
        The user's extra arguments; what is neither a number nor an array of numbers is passed over.

    Returns
    -------
    numpy.ndarray
        Float64 vector: arguments in order, arrays in C order.
    """
    parts = [np.ravel(np.asarray(value, dtype=float)) for value in args if is_numeric(value)]
    return np.concatenate(parts) if parts else np.empty(0)


def traced_input(tape: Tape, shape: tuple[int, ...], labels: Iterable[Label]) -> Any:
    """Return a read-only traced array of inputs, or one scalar for the shape ()."""
    scalars = [TracedScalar(tape, tape.input(*label)) for label in labels]
    if shape == ():
        return scalars[0]
    array = np.empty(shape, dtype=object)
    for index, scalar in zip(np.ndindex(*shape), scalars, strict=True):
        array[index] = scalar
    traced = as_traced(tape, array)
    traced.flags.writeable = False
    return traced


def traced_args(tape: Tape, args: Sequence[Any], fixed: Sequence[int]) -> list[Any]:
    """Return the arguments with numbers and arrays replaced by parameters, those in `fixed` not."""
    result: list[Any] = []
    start = 0
    for place, value in enumerate(args):
        if not is_numeric(value):
            result.append(value)
            continue
        count = int(np.size(value))
        if place in fixed:
            result.append(value)
        else:
            if count > LARGEST_ARGUMENT:
                tape.refuse(f"takes {count} numbers in args[{place}]; at most {LARGEST_ARGUMENT}")
            labels = [("p", k) for k in range(start, start + count)]
            result.append(traced_input(tape, np.shape(value), labels))
        start += count
    return result
