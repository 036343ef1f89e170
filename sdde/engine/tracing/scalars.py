"""Tracing scalars and arrays: what a user's function computes with while it is being read.

A `TracedScalar` stands for a float64 (or for a truth value, after a comparison) and records on its
tape what is done to it. A `TracedArray` is a NumPy object array of such scalars, so that indexing,
slicing, views and broadcasting are NumPy's own; its arithmetic arrives through NumPy's protocols
and is carried out element by element (`ufuncs`, `functions`). Whatever needs the number itself is
refused.
"""

import numbers
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from sdde.engine.tracing.operations import OPERATIONS
from sdde.engine.tracing.tape import Tape

_BRANCH = (
    "branches on a traced value; write np.where(condition, a, b), np.maximum, np.minimum or np.clip"
)


class TracedScalar:
    """One scalar value of the user's function while it is being read."""

    __slots__ = ("node", "tape")
    __hash__ = None  # type: ignore[assignment]

    shape = ()
    ndim = 0
    size = 1

    def __init__(self, tape: Tape, node: int) -> None:
        self.tape, self.node = tape, node

    @property
    def dtype(self) -> np.dtype:
        """Type of the number that this stands for: float64, or bool after a comparison."""
        return np.dtype(bool if self.tape.is_bool(self.node) else float)

    @property
    def real(self) -> "TracedScalar":
        """The value itself."""
        return self

    def item(self) -> "TracedScalar":
        """Return the value itself."""
        return self

    def copy(self) -> "TracedScalar":
        """Return the value itself."""
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from sdde.engine.tracing.ufuncs import call_ufunc

        return call_ufunc(self.tape, ufunc, method, inputs, options)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple, kwargs: dict
    ) -> Any:
        from sdde.engine.tracing.functions import call_function

        return call_function(self.tape, function, args, kwargs)

    def _number(self, want: str) -> float | bool:
        value = self.tape.value(self.node)
        return self.tape.refuse(want) if value is None else value

    def __bool__(self) -> bool:
        return bool(self._number(_BRANCH))

    def __float__(self) -> float:
        return float(self._number("needs the number itself (float() of a traced value)"))

    def __int__(self) -> int:
        return int(self._number("needs the number itself (int() of a traced value)"))

    def __complex__(self) -> complex:
        return complex(self._number("computes with complex numbers"))

    def __index__(self) -> NoReturn:
        self.tape.refuse("uses a traced value as an index or a count")

    def __round__(self, digits: int | None = None) -> NoReturn:
        self.tape.refuse("rounds to a Python number; write np.rint")

    def __str__(self) -> NoReturn:
        self.tape.refuse("turns a traced value into text")

    def __format__(self, specification: str) -> NoReturn:
        self.tape.refuse("turns a traced value into text")

    def __repr__(self) -> str:
        return f"<traced value {self.node}>"

    def __reduce__(self) -> NoReturn:
        self.tape.refuse("copies or stores a traced value outside the function")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and hasattr(np.float64, name):
            self.tape.refuse(f"uses .{name} of a traced number")
        raise AttributeError(name)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        return NotImplemented if modulus is not None else _binary(np.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary(np.power, other, self)


# np.float64 is registered as a real number, and code asks isinstance(x, numbers.Number)
numbers.Real.register(TracedScalar)

_NUMERIC = (numbers.Number, np.ndarray, np.generic, list, tuple, TracedScalar)


def _binary(ufunc: np.ufunc, left: Any, right: Any) -> Any:
    for operand in (left, right):
        if not isinstance(operand, _NUMERIC):
            return NotImplemented
    return ufunc(left, right)


def _install_operators() -> None:
    """Give `TracedScalar` Python's operators and the methods that NumPy's object loops call."""

    def forward(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
        return lambda self, other: _binary(ufunc, self, other)

    def backward(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
        return lambda self, other: _binary(ufunc, other, self)

    def alone(ufunc: np.ufunc) -> Callable[[Any], Any]:
        return lambda self: ufunc(self)

    both = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
        "floordiv": np.floor_divide, "mod": np.remainder, "matmul": np.matmul,
        "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
        "lshift": np.left_shift, "rshift": np.right_shift,
    }  # fmt: skip
    for name, ufunc in both.items():
        setattr(TracedScalar, f"__{name}__", forward(ufunc))
        setattr(TracedScalar, f"__r{name}__", backward(ufunc))
    compared = {
        "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
        "eq": np.equal, "ne": np.not_equal,
    }  # fmt: skip
    for name, ufunc in compared.items():
        setattr(TracedScalar, f"__{name}__", forward(ufunc))
    single = {
        "neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert,
        "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    }  # fmt: skip
    for name, ufunc in single.items():
        setattr(TracedScalar, f"__{name}__", alone(ufunc))
    methods = {*OPERATIONS, "deg2rad", "rad2deg", "radians", "degrees", "square", "conjugate"}
    for name in methods:  # np.sin of a plain object array calls .sin() of each element
        ufunc = getattr(np, name, None)
        if isinstance(ufunc, np.ufunc) and not hasattr(TracedScalar, name):
            setattr(TracedScalar, name, alone(ufunc) if ufunc.nin == 1 else forward(ufunc))


_install_operators()


class TracedArray(np.ndarray):
    """A NumPy array whose elements are traced scalars, or numbers not yet needed by the tape."""

    tape: Tape

    def __array_finalize__(self, parent: Any) -> None:
        tape = getattr(parent, "tape", None)
        if tape is not None:
            self.tape = tape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """What the user's function would see: bool after a comparison, else float64."""
        return np.dtype(bool if holds_bools(self.tape, self) else float)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from sdde.engine.tracing.ufuncs import call_ufunc

        return call_ufunc(self.tape, ufunc, method, inputs, options)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        from sdde.engine.tracing.functions import call_function

        return call_function(self.tape, function, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(plain_key(self.tape, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        tape = self.tape
        if isinstance(key, TracedArray) and is_symbolic(key):
            if key.shape != self.shape or np.ndim(value) != 0:
                tape.refuse("assigns to elements chosen by value; write np.where(mask, new, old)")
            value, key = np.where(key, value, self), ...
        key = plain_key(tape, key)
        as_kind = tape.as_bool if holds_bools(tape, self) else tape.as_float
        base = self.view(np.ndarray)
        target = base[key]
        new = elements(tape, value)
        if isinstance(new, np.ndarray) and not isinstance(target, np.ndarray):
            tape.refuse(f"assigns an array of shape {new.shape} to one element")
        base[key] = each(tape, as_kind, new)

    def __reduce__(self) -> NoReturn:
        self.tape.refuse("copies or stores a traced value outside the function")

    def fill(self, value: Any) -> None:
        """Assign one value to all elements."""
        self[...] = value

    def tobytes(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the bytes are those of Python objects."""
        self.tape.refuse("needs the bytes of a traced array")

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return a copy as float64 or bool; other types are refused."""
        kind = np.dtype(dtype)
        if kind == np.dtype(float):
            return as_traced(self.tape, each(self.tape, self.tape.as_float, self))
        if kind == np.dtype(bool):
            return as_traced(self.tape, each(self.tape, self.tape.as_bool, self))
        return self.tape.refuse(f"converts to {kind.name}; traced values are float64")


def _install_methods() -> None:
    """Send the methods that NumPy would carry out on objects to the functions of that name."""

    def method(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: function(self, *args, **kwargs)

    for name in ("dot", "mean", "var", "std", "clip", "round", "cumsum", "cumprod"):
        setattr(TracedArray, name, method(getattr(np, name)))


_install_methods()


def lift(tape: Tape, value: Any) -> int:
    """Return the node of a scalar; anything but a real number is refused."""
    if isinstance(value, TracedScalar):
        if value.tape is not tape:
            tape.refuse("uses a value kept from an earlier call")
        return value.node
    if isinstance(value, bool | np.bool_):
        return tape.constant(bool(value))
    if isinstance(value, complex | np.generic) and (
        np.iscomplexobj(value) or np.dtype(type(value)).itemsize > 8
    ):
        tape.refuse(f"computes with numbers of type {type(value).__name__}")
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(
        value, np.timedelta64
    ):
        try:
            return tape.constant(float(value))
        except OverflowError:
            tape.refuse("uses a whole number too large for float64")
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return lift(tape, value.view(np.ndarray)[()])
    return tape.refuse(f"computes with {type(value).__name__}, not a real number")


def elements(tape: Tape, value: Any) -> Any:
    """Return an array-like as a plain object array in its own memory layout, or a scalar as is."""
    if isinstance(value, TracedArray):
        value = value.view(np.ndarray)
    elif isinstance(value, list | tuple):
        try:
            value = np.array(value, dtype=object)
        except ValueError:
            tape.refuse("builds an array from rows of different lengths")
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim == 0:
        return value[()]
    if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return value.astype(object)
    if value.dtype.kind != "O":
        tape.refuse(f"computes with an array of type {value.dtype.name}")
    return value


def each(tape: Tape, function: Callable[..., int], *operands: Any) -> Any:
    """Apply a function of nodes elementwise; NumPy broadcasts and chooses the layout."""

    def one(*values: Any) -> TracedScalar:
        return TracedScalar(tape, function(*(lift(tape, value) for value in values)))

    plain = [elements(tape, operand) for operand in operands]
    if not any(isinstance(operand, np.ndarray) for operand in plain):
        return one(*plain)
    return np.frompyfunc(one, len(plain), 1)(*(boxed(operand) for operand in plain))


def boxed(value: Any) -> np.ndarray:
    """Return a scalar as an array without dimensions, which hides it from NumPy's protocols."""
    if isinstance(value, np.ndarray):
        return value
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def as_traced(tape: Tape, value: Any) -> Any:
    """Return results of NumPy's own object code as traced arrays; other values as they are."""
    if isinstance(value, tuple | list):
        return type(value)(as_traced(tape, item) for item in value)
    if isinstance(value, np.ndarray) and value.view(np.ndarray).dtype.kind == "O":
        if value.ndim == 0:
            return value.view(np.ndarray)[()]
        traced = value.view(TracedArray)
        traced.tape = tape
        return traced
    return value


def promote(tape: Tape, value: Any) -> Any:
    """Return a float64 array as a traced array of constants, so that it may be assigned to."""
    if isinstance(value, tuple | list):
        return type(value)(promote(tape, item) for item in value)
    if type(value) is np.ndarray and value.dtype == np.dtype(float) and value.ndim > 0:
        return as_traced(tape, each(tape, tape.as_float, value))
    return as_traced(tape, value)


def is_symbolic(value: Any) -> bool:
    """Return whether a value, or anything in it, depends on the inputs of the function."""
    if isinstance(value, TracedScalar):
        return value.tape.value(value.node) is None
    if isinstance(value, np.ndarray):
        plain = value.view(np.ndarray)
        return plain.dtype.kind == "O" and any(is_symbolic(item) for item in plain.flat)
    if isinstance(value, list | tuple):
        return any(is_symbolic(item) for item in value)
    if isinstance(value, dict):
        return any(is_symbolic(item) for item in value.values())
    return False


def holds_bools(tape: Tape, array: np.ndarray) -> bool:
    """Return whether a traced array is one of truth values."""
    plain = array.view(np.ndarray)
    return plain.size > 0 and all(
        isinstance(item, bool | np.bool_)
        or (isinstance(item, TracedScalar) and tape.is_bool(item.node))
        for item in plain.flat
    )


def demote(value: Any) -> Any:
    """Return constants as the ordinary NumPy values that they stand for."""
    if isinstance(value, TracedScalar):
        number = value.tape.value(value.node)
        return np.bool_(number) if isinstance(number, bool) else np.float64(float(value))
    if isinstance(value, TracedArray):
        kind = value.dtype
        return value.view(np.ndarray).astype(kind)
    if isinstance(value, list | tuple):
        return type(value)(demote(item) for item in value)
    if isinstance(value, dict):
        return {key: demote(item) for key, item in value.items()}
    return value


def plain_key(tape: Tape, key: Any) -> Any:
    """Return an index without traced constants; an index that depends on values is refused."""
    if is_symbolic(key):
        tape.refuse("chooses elements by value; write np.where(condition, a, b)")
    return demote(key)
