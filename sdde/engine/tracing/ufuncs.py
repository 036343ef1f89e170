"""NumPy's universal functions on traced values: elementwise calls, reductions, products.

A sum adds in the order in which NumPy adds float64 (pairwise along the innermost run of memory, in
blocks of eight), so its bits are NumPy's; a cumulative sum or a product of many factors goes left
to right, as NumPy's does. Matrix products add left to right, which agrees with BLAS to rounding
only.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sdde.engine.tracing.operations import OPERATIONS
from sdde.engine.tracing.scalars import (
    TracedArray,
    TracedScalar,
    as_traced,
    boxed,
    demote,
    each,
    elements,
    is_symbolic,
    lift,
    promote,
)
from sdde.engine.tracing.tape import Tape

_DEGREE = np.pi / 180.0


def _clip(tape: Tape, x: int, low: int, high: int) -> int:
    """np.clip keeps the sign of a zero that maximum and minimum may change."""
    for name, bound in (("less", low), ("greater", high)):
        outside = tape.apply(name, x, bound)
        beyond = tape.apply("logical_or", outside, tape.apply("isnan", bound))
        x = tape.apply("where", beyond, bound, x)
    return x


def _signbit(tape: Tape, x: int) -> int:
    return tape.apply("less", tape.apply("copysign", tape.constant(1.0), x), tape.constant(0.0))


def _of_bools(name: str) -> Callable[..., int]:
    def operation(tape: Tape, *nodes: int) -> int:
        if not all(tape.is_bool(node) for node in nodes):
            tape.refuse("computes on the bits of a traced number")
        return tape.apply(name, *nodes)

    return operation


COMPOUND: dict[str, Callable[..., int]] = {
    "positive": lambda tape, x: x,
    "conjugate": lambda tape, x: x,
    "fabs": lambda tape, x: tape.apply("absolute", x),
    "square": lambda tape, x: tape.apply("multiply", x, x),
    "reciprocal": lambda tape, x: tape.apply("divide", tape.constant(1.0), x),
    "deg2rad": lambda tape, x: tape.apply("multiply", x, tape.constant(_DEGREE)),
    "radians": lambda tape, x: tape.apply("multiply", x, tape.constant(_DEGREE)),
    "rad2deg": lambda tape, x: tape.apply("multiply", x, tape.constant(180.0 / np.pi)),
    "degrees": lambda tape, x: tape.apply("multiply", x, tape.constant(180.0 / np.pi)),
    "float_power": lambda tape, x, y: tape.apply("power", x, y),
    "signbit": _signbit,
    "clip": _clip,
    "bitwise_and": _of_bools("logical_and"),
    "bitwise_or": _of_bools("logical_or"),
    "bitwise_xor": _of_bools("logical_xor"),
    "invert": _of_bools("logical_not"),
}
_REDUCED = ("add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or")
_PRODUCTS = ("matmul", "vecdot", "matvec", "vecmat")


def scalar_operation(tape: Tape, name: str) -> Callable[..., int]:
    """Return what a ufunc does to nodes."""
    if name in COMPOUND:
        return lambda *nodes: COMPOUND[name](tape, *nodes)
    if name in OPERATIONS and name not in ("where", "as_float"):
        return lambda *nodes: tape.apply(name, *nodes)
    return tape.refuse(f"the function {name} has no straight-line form here")


def call_ufunc(
    tape: Tape, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Carry out a ufunc, or one of its methods, on traced values."""
    out = options.pop("out", None)
    if not is_symbolic(inputs):
        result = promote(tape, getattr(ufunc, method)(*demote(inputs), **options))
        return _stored(tape, result, out)
    _check_options(tape, options)
    name = ufunc.__name__
    if method == "reduce":
        result = reduce(tape, name, *inputs, **options)
    elif method == "accumulate":
        result = accumulate(tape, name, *inputs, **options)
    elif method == "outer":
        left, right = (np.asarray(elements(tape, value), dtype=object) for value in inputs)
        left = left.reshape(left.shape + (1,) * right.ndim)
        result = each(tape, scalar_operation(tape, name), left, right)
    elif method != "__call__":
        tape.refuse(f"the function {name}.{method} has no straight-line form here")
    elif name.endswith(" (vectorized)"):  # made by np.vectorize or np.frompyfunc
        result = ufunc(*(boxed(elements(tape, value)) for value in inputs))
    elif name in _PRODUCTS:
        result = _product(tape, name, *inputs)
    elif name == "divmod":
        result = tuple(
            as_traced(tape, each(tape, scalar_operation(tape, part), *inputs))
            for part in ("floor_divide", "remainder")
        )
    else:
        result = each(tape, scalar_operation(tape, name), *inputs)
    return _stored(tape, as_traced(tape, result), out)


def _check_options(tape: Tape, options: dict[str, Any]) -> None:
    if options.pop("where", True) is not True:
        tape.refuse("where= of a ufunc has no straight-line form; write np.where")
    if options.get("initial") in (None, np._NoValue):
        options.pop("initial", None)
    else:
        tape.refuse("initial= of a reduction has no straight-line form here")
    dtype = options.pop("dtype", None)
    if dtype is not None and np.dtype(dtype) != np.dtype(float):
        tape.refuse(f"computes in {np.dtype(dtype).name}; traced values are float64")
    for harmless in ("subok", "casting", "order"):
        options.pop(harmless, None)


def _stored(tape: Tape, result: Any, out: Any) -> Any:
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        return result
    if not isinstance(target, TracedArray):
        tape.refuse("writes into an array made outside the function (out= or an in-place operator)")
    if target.shape != np.shape(result):
        raise ValueError(f"non-broadcastable output operand with shape {target.shape}")
    target[...] = result
    return target


# ---- reductions


def _pairwise(tape: Tape, add: Callable[[int, int], int], run: list[int]) -> int:
    """Add a run in NumPy's order: eight partial sums in blocks of at most 128, halves beyond."""
    count = len(run)
    if count > 128:
        half = count // 2
        half -= half % 8
        return add(_pairwise(tape, add, run[:half]), _pairwise(tape, add, run[half:]))
    whole = count - count % 8
    if whole == 0:
        return _left_to_right(add, run)
    parts = run[:8]
    for start in range(8, whole, 8):
        parts = [add(part, run[start + k]) for k, part in enumerate(parts)]
    while len(parts) > 1:
        parts = [add(parts[k], parts[k + 1]) for k in range(0, len(parts), 2)]
    return _left_to_right(add, [*parts, *run[whole:]])


def _left_to_right(add: Callable[[int, int], int], run: list[int]) -> int:
    total = run[0]
    for item in run[1:]:
        total = add(total, item)
    return total


def _memory_order(array: np.ndarray) -> list[int]:
    """Return the axes longer than 1, outermost first, as NumPy's iterator walks them.

    It sorts by stride from the innermost axis of C order outwards; a broadcast axis (stride 0)
    compares with nothing and keeps its place.
    """
    order: list[int] = []  # innermost first
    for axis in reversed([k for k in range(array.ndim) if array.shape[k] > 1]):
        place, own = len(order), abs(array.strides[axis])
        for k in reversed(range(len(order))):
            other = abs(array.strides[order[k]])
            if other and own:
                if other <= own:
                    break
                place = k
        order.insert(place, axis)
    return order[::-1]


def _runs(array: np.ndarray, axes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
    """Yield (index of the result, elements added in one run) in NumPy's order."""
    order = _memory_order(array)
    inner: list[int] = []
    for axis in reversed(order):
        if axis not in axes:
            break
        inner.insert(0, axis)
    outer = [axis for axis in range(array.ndim) if axis not in order]
    outer += [axis for axis in order if axis not in inner]
    walked = array.transpose(outer + inner)
    kept = [outer.index(axis) for axis in range(array.ndim) if axis not in axes]
    for index in np.ndindex(*walked.shape[: len(outer)]):
        rest = walked[index]
        yield tuple(index[k] for k in kept), list(np.asarray(rest, dtype=object).flat)


def reduce(tape: Tape, name: str, array: Any, axis: Any = 0, **options: Any) -> Any:
    """Return ``ufunc.reduce`` with NumPy's order of operations."""
    if name not in _REDUCED:
        tape.refuse(f"the function {name}.reduce has no straight-line form here")
    keepdims = bool(options.pop("keepdims", False))
    plain = elements(tape, array)
    if not isinstance(plain, np.ndarray):
        return plain
    if axis is None:
        axes = tuple(range(plain.ndim))
    else:
        axes = tuple(a % plain.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    numeric = name not in ("logical_and", "logical_or")
    convert = tape.as_float if numeric else tape.as_bool

    def join(left: int, right: int) -> int:
        return tape.apply(name, left, right)

    identity = {"add": tape.constant(0.0), "multiply": tape.constant(1.0)}.get(name)
    shape = tuple(plain.shape[k] for k in range(plain.ndim) if k not in axes)
    totals: dict[tuple[int, ...], int] = {}
    for index, run in _runs(plain, axes):
        nodes = [convert(lift(tape, item)) for item in run]
        if name == "add":
            nodes = [_pairwise(tape, join, nodes)]
        start = totals.get(index, identity)
        totals[index] = _left_to_right(join, nodes if start is None else [start, *nodes])
    result = np.empty(shape, dtype=object)
    for index, node in totals.items():
        result[index] = TracedScalar(tape, node)
    return np.expand_dims(result, axes) if keepdims else result


def accumulate(tape: Tape, name: str, array: Any, axis: int = 0) -> Any:
    """Return ``ufunc.accumulate``, left to right."""
    operation = scalar_operation(tape, name)
    plain = np.moveaxis(np.asarray(elements(tape, array), dtype=object), axis, 0)
    rows = [each(tape, tape.as_float, plain[0])] if len(plain) else []
    for row in plain[1:]:
        rows.append(each(tape, operation, rows[-1], row))
    result = np.empty(plain.shape, dtype=object)
    for k, row in enumerate(rows):
        result[k] = row
    return np.moveaxis(result, 0, axis)


# ---- products


def contract(tape: Tape, left: Any, right: Any) -> Any:
    """Return the sum of products over the last axis of `left` and the first of `right`."""
    a = np.asarray(elements(tape, left), dtype=object)
    b = np.asarray(elements(tape, right), dtype=object)
    count = a.shape[-1]
    if count != b.shape[0]:
        raise ValueError(f"shapes {a.shape} and {b.shape} not aligned")
    multiply, add = scalar_operation(tape, "multiply"), scalar_operation(tape, "add")
    a = a.reshape(a.shape[:-1] + (1,) * (b.ndim - 1) + (count,))
    total = each(tape, multiply, a[..., 0], b[0])
    for k in range(1, count):
        total = each(tape, add, total, each(tape, multiply, a[..., k], b[k]))
    return total


def _product(tape: Tape, name: str, left: Any, right: Any) -> Any:
    a = np.asarray(elements(tape, left), dtype=object)
    b = np.asarray(elements(tape, right), dtype=object)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"{name} of a scalar")
    if a.ndim > 2 or b.ndim > 2 or (name != "matmul" and a.ndim + b.ndim > 3):
        tape.refuse("multiplies stacks of matrices")
    if name == "vecdot" and a.ndim + b.ndim == 3:
        a, b = (a, b) if b.ndim == 1 else (b, a)
    return contract(tape, a, b)
