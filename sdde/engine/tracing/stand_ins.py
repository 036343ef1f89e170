"""Stand-ins for the parts of NumPy, math and Python that do not hand traced values over.

Most of NumPy does, by its protocols. What does not: functions that make arrays (``np.zeros(3)`` is
float64 and cannot hold a traced scalar), Python's ``math``, and the built-ins ``float``, ``max``,
``min`` and ``isinstance``. Each stand-in does what the original does to numbers. Where they are put
is the business of `substitution`.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sdde.engine.tracing.functions import array_of, blank, filled, full, is_float
from sdde.engine.tracing.scalars import (
    TracedArray,
    TracedScalar,
    as_traced,
    demote,
    is_symbolic,
    promote,
)
from sdde.engine.tracing.tape import Tape

_MATH_NAMES = (
    "exp expm1 exp2 log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh fabs floor ceil trunc "
    "fmod copysign isnan isinf isfinite degrees radians"
)
_MATH = {
    **{name: getattr(np, name) for name in _MATH_NAMES.split() if hasattr(math, name)},
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
}  # fmt: skip
_CONSTANT = (np.eye, np.identity, np.linspace, np.arange, np.logspace, np.geomspace, np.tri)
_CONVERTERS = (np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray)


class _FloatType(type):
    plain: Any

    def __call__(cls, value: Any = 0.0) -> Any:
        if isinstance(value, TracedScalar):
            return TracedScalar(value.tape, value.tape.as_float(value.node))
        return cls.plain(value)


class Float(float, metaclass=_FloatType):
    """What ``float`` is while tracing: a conversion, and a dtype."""

    dtype = np.dtype(float)
    plain = float


class Float64(Float):
    """The same for ``np.float64``, whose comparisons NumPy makes: ~ of Python's True is -2."""

    plain = np.float64


def stand_ins(tape: Tape) -> dict[Any, Callable[..., Any]]:
    """Return the stand-ins for one reading, by the original."""
    made: dict[Any, Any] = {float: Float, np.float64: Float64, isinstance: _isinstance}
    made |= {max: _extreme(max, np.greater), min: _extreme(min, np.less)}
    made |= {getattr(math, name): _of_math(name, ufunc) for name, ufunc in _MATH.items()}
    made |= {math.log: _logarithm, math.hypot: _hypotenuse}
    made[np.array] = functools.partial(_array, tape)
    made |= {function: _converter(tape, function) for function in _CONVERTERS}
    made |= {function: _constant(tape, function) for function in _CONSTANT}
    made |= {
        np.zeros: _maker(np.zeros, lambda shape: filled(tape, shape, 0.0)),
        np.ones: _maker(np.ones, lambda shape: filled(tape, shape, 1.0)),
        np.empty: _maker(np.empty, lambda shape: blank(tape, shape)),
        np.full: _maker(np.full, lambda shape, value: full(tape, shape, value)),
        np.zeros_like: _maker(np.zeros_like, lambda a: filled(tape, np.shape(a), 0.0)),
        np.ones_like: _maker(np.ones_like, lambda a: filled(tape, np.shape(a), 1.0)),
        np.empty_like: _maker(np.empty_like, lambda a: blank(tape, np.shape(a))),
        np.full_like: _maker(np.full_like, lambda a, value: full(tape, np.shape(a), value)),
    }
    return made


def numpy_function(tape: Tape, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a NumPy function that also sees traced scalars inside lists."""

    def call(*args: Any, **kwargs: Any) -> Any:
        seen = tuple(array_of(tape, item) if _is_list_of_scalars(item) else item for item in args)
        return as_traced(tape, function(*seen, **kwargs))

    return functools.wraps(function)(call)


def _is_list_of_scalars(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(v, TracedScalar | int | float | np.generic) for v in value)
        and any(isinstance(v, TracedScalar) for v in value)
    )


# ---- arrays


def _real(dtype: Any) -> Any:
    return float if dtype in (Float, Float64) else dtype


def _array(tape: Tape, value: Any, dtype: Any = None, *, ndmin: int = 0, **options: Any) -> Any:
    if not is_symbolic(value):
        made = np.array(demote(value), _real(dtype), ndmin=ndmin, **options)
        return promote(tape, made)
    if not is_float(_real(dtype)):
        tape.refuse("makes an array that is not float64 from traced values")
    result = array_of(tape, value)
    for _ in range(ndmin - np.ndim(result)):
        result = np.expand_dims(result, 0)
    return result


def _converter(tape: Tape, function: Callable[..., Any]) -> Callable[..., Any]:
    def convert(value: Any, dtype: Any = None, **options: Any) -> Any:
        kind = _real(dtype)
        if isinstance(value, TracedArray):
            return value if kind is None or value.dtype == np.dtype(kind) else value.astype(kind)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return function(value, kind, **options)
        return _array(tape, value, kind)

    return convert


def _constant(tape: Tape, function: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: Any, **options: Any) -> Any:
        if is_symbolic(args) or is_symbolic(options):
            tape.refuse(f"np.{function.__name__} of traced values has no straight-line form here")
        options = {name: _real(value) for name, value in options.items()}
        return promote(tape, function(*demote(tuple(map(_real, args))), **demote(options)))

    return make


def _maker(real: Callable[..., Any], maker: Callable[..., Any]) -> Callable[..., Any]:
    """Return a stand-in of np.zeros and its kin, whose float64 arrays can hold traced values."""
    named = list(inspect.signature(maker).parameters)

    def make(*args: Any, dtype: Any = None, **options: Any) -> Any:
        given = list(args[: len(named)])
        for name in named[len(given) :]:
            given.append(options.pop("fill_value" if name == "value" else name))
        kind = _real(args[len(named)] if len(args) > len(named) else dtype)
        shape = options.pop("shape", None)
        if kind is None and real.__name__.endswith("_like"):
            kind = np.result_type(demote(given[0])) if not is_symbolic(given[0]) else float
        elif kind is None and real is np.full and not is_symbolic(given[1]):
            kind = np.result_type(demote(given[1]))
        if shape is not None:
            given[0] = np.empty(shape)
        return maker(*given) if is_float(kind) else real(*demote(given), dtype=kind, **options)

    return make


# ---- math and built-ins


def _of_math(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    real = getattr(math, name)

    def function(*args: Any) -> Any:
        return ufunc(*args) if is_symbolic(args) else real(*args)

    return function


def _logarithm(value: Any, *base: Any) -> Any:
    if not is_symbolic((value, *base)):
        return math.log(value, *base)
    return np.log(value) / np.log(base[0]) if base else np.log(value)


def _hypotenuse(*values: Any) -> Any:
    if is_symbolic(values) and len(values) == 2:
        return np.hypot(*values)
    return math.hypot(*values)


def _isinstance(value: Any, kinds: Any) -> bool:
    kinds = _without_stand_ins(kinds)
    if isinstance(value, TracedScalar):
        return issubclass(value.dtype.type, kinds)
    return isinstance(value, kinds)


def _without_stand_ins(kinds: Any) -> Any:
    if isinstance(kinds, tuple):
        return tuple(_without_stand_ins(kind) for kind in kinds)
    return float if kinds in (Float, Float64) else kinds


def _extreme(real: Callable[..., Any], beats: np.ufunc) -> Callable[..., Any]:
    """Return a stand-in of max or min: the first of the best, as Python keeps it."""

    def choose(*args: Any, **options: Any) -> Any:
        values = list(args[0]) if len(args) == 1 else list(args)
        if options or not is_symbolic(values) or any(np.ndim(value) for value in values):
            return real(values, **options)
        best = values[0]
        for value in values[1:]:
            best = np.where(beats(value, best), value, best)
        return best

    return choose
