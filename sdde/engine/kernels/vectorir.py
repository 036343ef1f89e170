"""LLVM vector code: primitives that numba lacks, and eight or more lanes of a scalar function.

The primitives are single LLVM instructions: a loop over scalar functions made of them vectorises,
and each gives the same bits for one value or many. `lanes` reads a scalar function (a numba
function that consists of arithmetic and these primitives only) with `Lanes` for arguments and so
writes it as vector code directly, without trusting the loop vectoriser. Nothing here knows what the
numbers mean.
"""

import types as python_types
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

_I64, _F64, _I32 = ir.IntType(64), ir.DoubleType(), ir.IntType(32)
_BITS = (1 << 64) - 1


def _llvm(builder: Any, name: str, kind: Any, *values: Any) -> Any:
    """Call a floating-point LLVM intrinsic on one value or on a vector."""
    suffix = "f64" if kind is _F64 else f"v{kind.count}f64"
    full = f"llvm.{name}.{suffix}"
    function = builder.module.globals.get(full)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(values)), full)
    return builder.call(function, values)


def _primitive(signature: Any, emit: Callable[[Any, Any], Any]) -> Any:
    """Return numba's (signature, code generator) for an instruction on scalars."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, arguments)

    return signature, codegen


def _fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z rounded once (`llvm.fma`, which is never split in two)."""
    return _primitive(
        types.float64(types.float64, types.float64, types.float64),
        lambda builder, values: _llvm(builder, "fma", _F64, *values),
    )


def _horner(typingctx: Any, x: Any, coefficients: Any) -> Any:
    """Return c[0] + x * (c[1] + x * (...)) by fused multiply-adds; `coefficients` is a tuple."""

    def emit(builder: Any, values: Any) -> Any:
        x, packed = values
        terms = [builder.extract_value(packed, i) for i in range(coefficients.count)]
        total = terms.pop()
        while terms:
            total = _llvm(builder, "fma", _F64, total, x, terms.pop())
        return total

    return _primitive(types.float64(types.float64, coefficients), emit)


def _sqrt(typingctx: Any, x: Any) -> Any:
    """Return the square root, correctly rounded; nan below zero."""
    return _primitive(
        types.float64(types.float64),
        lambda builder, values: _llvm(builder, "sqrt", _F64, *values),
    )


def _floor(typingctx: Any, x: Any) -> Any:
    """Return the largest whole number <= x, as a float."""
    return _primitive(
        types.float64(types.float64),
        lambda builder, values: _llvm(builder, "floor", _F64, *values),
    )


def _bits_of(typingctx: Any, x: Any) -> Any:
    """Return the 64 bits of a float as an unsigned integer."""
    return _primitive(
        types.uint64(types.float64), lambda builder, values: builder.bitcast(values[0], _I64)
    )


def _float_of(typingctx: Any, bits: Any) -> Any:
    """Return the float with the given 64 bits."""
    return _primitive(
        types.float64(types.uint64), lambda builder, values: builder.bitcast(values[0], _F64)
    )


def _upper(typingctx: Any, x: Any) -> Any:
    """Return the upper 32 bits of a word in the lower half; what is above them is of no meaning."""
    return _primitive(
        types.uint64(types.uint64),
        lambda builder, values: builder.lshr(values[0], ir.Constant(_I64, 32)),
    )


# Typed as Any: a type checker would ask callers for the typing context that numba supplies.
fma: Any = intrinsic(_fma)
horner: Any = intrinsic(_horner)
sqrt: Any = intrinsic(_sqrt)
floor: Any = intrinsic(_floor)
bits_of: Any = intrinsic(_bits_of)
float_of: Any = intrinsic(_float_of)
upper: Any = intrinsic(_upper)


class Lanes:
    """Several float64 or uint64 values in one LLVM vector, with the arithmetic of one of them."""

    __slots__ = ("builder", "value")
    __array_ufunc__ = None  # NumPy's scalars leave mixed operations to this class

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @classmethod
    def of_scalar(cls, builder: Any, scalar: Any, count: int) -> "Lanes":
        """Return `count` copies of one 64-bit integer."""
        kind = ir.VectorType(_I64, count)
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        order = ir.Constant(ir.VectorType(_I32, count), [0] * count)
        return cls(builder, builder.shuffle_vector(first, undefined, order))

    @property
    def count(self) -> int:
        """Number of lanes."""
        return self.value.type.count

    @property
    def is_float(self) -> bool:
        """Whether the lanes hold float64 rather than uint64."""
        return self.value.type.element == _F64

    def like(self, other: Any) -> Any:
        """Return the LLVM value of `other`, a constant being repeated in every lane."""
        if isinstance(other, Lanes):
            return other.value
        number = float(other) if self.is_float else int(other) & _BITS
        return ir.Constant(self.value.type, [number] * self.count)

    def cast(self, element: Any) -> "Lanes":
        """Return the same bits as another element type."""
        kind = ir.VectorType(element, self.count)
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))

    def call(self, name: str, *others: Any) -> "Lanes":
        """Apply an LLVM floating-point intrinsic."""
        values = [self.value, *(self.like(other) for other in others)]
        return Lanes(self.builder, _llvm(self.builder, name, self.value.type, *values))

    def ramp(self, start: int) -> "Lanes":
        """Return lane i plus start + i."""
        steps = ir.Constant(self.value.type, list(range(start, start + self.count)))
        return Lanes(self.builder, self.builder.add(self.value, steps))

    def __neg__(self) -> "Lanes":
        return Lanes(self.builder, self.builder.fneg(self.value))


def _operators(integer: str, floating: str) -> tuple[Any, Any]:
    """Return the forward and the reflected operator for two builder methods."""

    def combine(lanes: Lanes, left: Any, right: Any) -> Lanes:
        method = floating if lanes.is_float else integer
        return Lanes(lanes.builder, getattr(lanes.builder, method)(left, right))

    return (
        lambda self, other: combine(self, self.value, self.like(other)),
        lambda self, other: combine(self, self.like(other), self.value),
    )


for _name, _integer, _floating in (
    ("add", "add", "fadd"),
    ("sub", "sub", "fsub"),
    ("mul", "mul", "fmul"),
    ("truediv", "", "fdiv"),
    ("and", "and_", ""),
    ("or", "or_", ""),
    ("xor", "xor", ""),
    ("lshift", "shl", ""),
    ("rshift", "lshr", ""),
):
    _forward, _reflected = _operators(_integer, _floating)
    setattr(Lanes, f"__{_name}__", _forward)
    setattr(Lanes, f"__r{_name}__", _reflected)


def _lanes_fma(x: Any, y: Any, z: Any) -> Lanes:
    some = next(value for value in (x, y, z) if isinstance(value, Lanes))
    values = [some.like(value) for value in (x, y, z)]
    return Lanes(some.builder, _llvm(some.builder, "fma", some.value.type, *values))


def _lanes_horner(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    total: Any = coefficients[-1]
    for term in coefficients[-2::-1]:
        total = _lanes_fma(total, x, term)
    return total


def _lanes_upper(x: Lanes) -> Lanes:
    """Move the upper halves by a shuffle: its unit idles while multiplications keep the others."""
    kind = ir.VectorType(_I32, 2 * x.count)
    halves = x.builder.bitcast(x.value, kind)
    order = ir.Constant(kind, [i | 1 for i in range(2 * x.count)])
    moved = x.builder.shuffle_vector(halves, ir.Constant(kind, ir.Undefined), order)
    return Lanes(x.builder, x.builder.bitcast(moved, x.value.type))


_ON_LANES: dict[Any, Callable[..., Any]] = {
    fma: _lanes_fma,
    horner: _lanes_horner,
    sqrt: lambda x: x.call("sqrt"),
    floor: lambda x: x.call("floor"),
    bits_of: lambda x: x.cast(_I64),
    float_of: lambda x: x.cast(_F64),
    upper: _lanes_upper,
}


def lanes(function: Any) -> Callable[..., Any]:
    """Return a numba function as a Python function of `Lanes`, its callees likewise."""
    plain = function.py_func
    scope = dict(plain.__globals__)
    for name in plain.__code__.co_names:
        value = scope.get(name)
        if isinstance(value, Dispatcher):
            scope[name] = lanes(value)
        elif type(value) is type(fma) and value in _ON_LANES:
            scope[name] = _ON_LANES[value]
    return python_types.FunctionType(plain.__code__, scope)
