"""NumPy's array functions on traced values.

Three kinds: functions that only move elements run as NumPy wrote them, on object arrays; functions
that compute are written here with the same operations in the same order; every other function runs
if nothing it is given depends on the inputs, and is refused if something does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sdde.engine.tracing.scalars import (
    TracedArray,
    TracedScalar,
    as_traced,
    demote,
    each,
    elements,
    holds_bools,
    is_symbolic,
    lift,
    promote,
)
from sdde.engine.tracing.tape import Tape
from sdde.engine.tracing.ufuncs import COMPOUND, accumulate, contract, reduce, scalar_operation

# They move elements, or compute only through ufuncs and functions that come back here.
_AS_WRITTEN_NAMES = (
    "reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis "
    "concatenate concat stack vstack hstack dstack column_stack block broadcast_to "
    "broadcast_arrays atleast_1d atleast_2d atleast_3d expand_dims squeeze roll flip fliplr "
    "flipud rot90 tile repeat diag diagonal diagflat split array_split hsplit vsplit append "
    "insert delete take fill_diagonal tril triu resize ndim shape size isscalar iscomplexobj "
    "isrealobj real outer diff trapezoid polyval tensordot einsum trace sinc isclose "
    "nan_to_num take_along_axis trim_zeros broadcast_shapes astype unstack"
)
_AS_WRITTEN = frozenset(_AS_WRITTEN_NAMES.split())

Handler = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def call_function(tape: Tape, function: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
    """Carry out a NumPy function some of whose arguments are traced."""
    name = function.__name__
    if function is np.linalg.norm:
        return _norm(tape, *args, **kwargs)
    if function is getattr(np, name, None):
        if name in HANDLERS:
            return HANDLERS[name](tape, *args, **kwargs)
        if name in _AS_WRITTEN:
            return as_traced(tape, _as_numpy_wrote_it(function, args, kwargs))
    if not is_symbolic(args) and not is_symbolic(kwargs):
        return promote(tape, function(*demote(args), **demote(kwargs)))
    return tape.refuse(f"{function.__module__}.{name} has no straight-line form here")


def _as_numpy_wrote_it(function: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
    plain = np.empty(0, dtype=object)
    return np.ndarray.__array_function__(plain, function, (np.ndarray,), args, kwargs)


# ---- reductions


def _plain_options(tape: Tape, options: dict[str, Any]) -> None:
    if options.pop("where", True) not in (True, np._NoValue):
        tape.refuse("where= of a reduction has no straight-line form; write np.where")
    if options.pop("initial", None) not in (None, np._NoValue):
        tape.refuse("initial= of a reduction has no straight-line form here")
    if options.pop("out", None) is not None:
        tape.refuse("out= of a reduction has no straight-line form; assign the result")
    dtype = options.pop("dtype", None)
    if dtype is not None and np.dtype(dtype) != np.dtype(float):
        tape.refuse(f"computes in {np.dtype(dtype).name}; traced values are float64")
    if options.get("keepdims") is np._NoValue:
        options.pop("keepdims")


def _register_reductions() -> None:
    ufuncs = {
        "sum": "add", "prod": "multiply", "max": "maximum", "amax": "maximum",
        "min": "minimum", "amin": "minimum", "any": "logical_or", "all": "logical_and",
    }  # fmt: skip
    for name, ufunc in ufuncs.items():

        def handler(
            tape: Tape, a: Any, axis: Any = None, *rest: Any, _ufunc: str = ufunc, **options: Any
        ) -> Any:
            if rest:
                tape.refuse("positional options of a reduction; name them")
            _plain_options(tape, options)
            return as_traced(tape, reduce(tape, _ufunc, a, axis, **options))

        HANDLERS[name] = handler
    for name, ufunc in {"cumsum": "add", "cumprod": "multiply"}.items():

        def running(tape: Tape, a: Any, axis: Any = None, *, _ufunc: str = ufunc) -> Any:
            flat = axis is None
            array = np.ravel(elements(tape, a)) if flat else a
            return as_traced(tape, accumulate(tape, _ufunc, array, 0 if flat else axis))

        HANDLERS[name] = running


_register_reductions()


def _count(array: Any, axis: Any) -> float:
    shape = np.shape(array)
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return float(np.prod([shape[k] for k in axes], dtype=int))


@_handles("mean")
def _mean(tape: Tape, a: Any, axis: Any = None, **options: Any) -> Any:
    _plain_options(tape, options)
    total = as_traced(tape, reduce(tape, "add", a, axis, **options))
    return total / _count(elements(tape, a), axis)


@_handles("var")
def _variance(
    tape: Tape, a: Any, axis: Any = None, *, ddof: float = 0, correction: Any = None, **options: Any
) -> Any:
    _plain_options(tape, options)
    if correction not in (None, np._NoValue):
        ddof = correction
    count = _count(elements(tape, a), axis)
    apart = a - as_traced(tape, reduce(tape, "add", a, axis, keepdims=True)) / count
    total = as_traced(tape, reduce(tape, "add", apart * apart, axis, **options))
    return total / max(count - ddof, 0.0)


@_handles("std")
def _deviation(tape: Tape, *args: Any, **options: Any) -> Any:
    return np.sqrt(_variance(tape, *args, **options))


@_handles("count_nonzero")
def _count_nonzero(tape: Tape, a: Any, axis: Any = None) -> Any:
    return as_traced(tape, reduce(tape, "add", each(tape, tape.as_bool, a), axis))


def _norm(tape: Tape, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    plain = np.asarray(elements(tape, x), dtype=object)
    if ord not in (None, 2) or (ord == 2 and axis is None and plain.ndim != 1):
        tape.refuse("numpy.linalg.norm has a straight-line form for the Euclidean norm only")
    if axis is None and not keepdims:
        flat = plain.ravel(order="K")
        return np.sqrt(as_traced(tape, contract(tape, flat, flat)))
    squares = np.square(as_traced(tape, plain))
    return np.sqrt(as_traced(tape, reduce(tape, "add", squares, axis, keepdims=keepdims)))


# ---- products


@_handles("dot")
def _dot(tape: Tape, a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        tape.refuse("out= of np.dot has no straight-line form; assign the result")
    left, right = elements(tape, a), elements(tape, b)
    if np.ndim(left) == 0 or np.ndim(right) == 0:
        return as_traced(tape, each(tape, scalar_operation(tape, "multiply"), left, right))
    if right.ndim > 1:
        right = np.moveaxis(right, -2, 0)
    return as_traced(tape, contract(tape, left, right))


@_handles("inner")
def _inner(tape: Tape, a: Any, b: Any) -> Any:
    left, right = elements(tape, a), elements(tape, b)
    if np.ndim(left) == 0 or np.ndim(right) == 0:
        return as_traced(tape, each(tape, scalar_operation(tape, "multiply"), left, right))
    return as_traced(tape, contract(tape, left, np.moveaxis(right, -1, 0)))


@_handles("vdot")
def _vdot(tape: Tape, a: Any, b: Any) -> Any:
    return _dot(tape, np.ravel(elements(tape, a)), np.ravel(elements(tape, b)))


@_handles("cross")
def _cross(tape: Tape, a: Any, b: Any) -> Any:
    u, v = as_traced(tape, elements(tape, a)), as_traced(tape, elements(tape, b))
    if np.shape(u) != (3,) or np.shape(v) != (3,):
        tape.refuse("numpy.cross has a straight-line form for two vectors of length 3 only")
    parts = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    return array_of(tape, parts)


# ---- choices


@_handles("where")
def _where(tape: Tape, condition: Any, *branches: Any) -> Any:
    if len(branches) != 2:
        tape.refuse("np.where(condition) alone finds positions, which depend on values")

    def choose(*nodes: int) -> int:
        return tape.apply("where", *nodes)

    return as_traced(tape, each(tape, choose, condition, *branches))


@_handles("select")
def _select(tape: Tape, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = _where(tape, condition, choice, result)
    return result


@_handles("clip")
def _clip(
    tape: Tape, a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **options: Any
) -> Any:
    low = options.pop("min", None) if a_min is None or a_min is np._NoValue else a_min
    high = options.pop("max", None) if a_max is None or a_max is np._NoValue else a_max
    if out is not None or options:
        tape.refuse("options of np.clip have no straight-line form; assign the result")
    if low is None and high is None:
        return np.positive(a)
    if low is None:
        return np.minimum(a, high)
    if high is None:
        return np.maximum(a, low)
    return as_traced(tape, each(tape, lambda *v: COMPOUND["clip"](tape, *v), a, low, high))


@_handles("round", "around")
def _round(tape: Tape, a: Any, decimals: int = 0) -> Any:
    if decimals != 0:
        tape.refuse("np.round to decimals has no straight-line form; write np.rint")
    return np.rint(a)


# ---- creation


def filled(tape: Tape, shape: Any, value: Any) -> Any:
    """Return a traced array of float64 constants, to be assigned to."""
    return promote(tape, np.full(shape, value, dtype=float))


def blank(tape: Tape, shape: Any) -> Any:
    """Return a traced array whose elements must be assigned before they are read."""
    result = np.empty(shape, dtype=object)
    result[...] = TracedScalar(tape, tape.unassigned())
    return as_traced(tape, result) if result.ndim else result[()]


def is_float(dtype: Any) -> bool:
    """Return whether a dtype argument asks for float64."""
    return dtype is None or np.dtype(dtype) == np.dtype(float)


def full(tape: Tape, shape: Any, value: Any) -> Any:
    """Return ``np.full(shape, value)`` of a traced value."""
    result = blank(tape, shape)
    result[...] = value
    return result


def array_of(tape: Tape, value: Any) -> Any:
    """Return ``np.array(value)`` of nested sequences that hold traced scalars."""
    plain = elements(tape, value)
    if not isinstance(plain, np.ndarray):
        return TracedScalar(tape, lift(tape, plain))
    lifted = each(tape, lambda node: node, plain)
    if not holds_bools(tape, lifted):
        lifted = each(tape, tape.as_float, lifted)
    return as_traced(tape, lifted)


def _register_like() -> None:
    def like(fill: Callable[..., Any], given: int) -> Handler:
        def handler(tape: Tape, prototype: Any, *args: Any, **options: Any) -> Any:
            values, rest = args[:given], args[given:]
            dtype = options.get("dtype", rest[0] if rest else None)
            if not is_float(dtype):
                tape.refuse("makes an array that is not float64 from a traced one")
            shape = options.get("shape")
            return fill(tape, np.shape(prototype) if shape is None else shape, *values)

        return handler

    HANDLERS["zeros_like"] = like(lambda tape, shape: filled(tape, shape, 0.0), 0)
    HANDLERS["ones_like"] = like(lambda tape, shape: filled(tape, shape, 1.0), 0)
    HANDLERS["empty_like"] = like(blank, 0)
    HANDLERS["full_like"] = like(full, 1)


_register_like()


@_handles("copy")
def _copy(tape: Tape, a: Any, *args: Any, **options: Any) -> Any:
    return a.copy()


@_handles("copyto")
def _copyto(tape: Tape, dst: Any, src: Any, casting: Any = None, where: Any = True) -> None:
    if not isinstance(dst, TracedArray):
        tape.refuse("writes into an array made outside the function (np.copyto)")
    dst[...] = src if where is True else np.where(where, src, dst)
