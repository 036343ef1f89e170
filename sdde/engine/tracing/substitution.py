"""Putting traceable stand-ins where a user's function looks up NumPy, math and built-ins.

Most of NumPy hands traced values over by itself. What does not: functions that make arrays
(``np.zeros(3)`` is float64 and cannot hold a traced scalar), Python's ``math``, and ``max``,
``min``, ``float`` and ``isinstance``. The user's function, and every function of the user's that it
reaches, is therefore rebuilt with the same code and other globals. The originals are not touched.
Random numbers and clocks are refused; so is a function that stores something (a global, a
nonlocal, an attribute), because that is hidden state.
"""

import builtins
import functools
import math
import sys
import types
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

_LIBRARIES = frozenset({"numpy", "scipy", "numba", "sympy", "mpmath", "llvmlite"})
_UNREPEATABLE = frozenset({"random", "secrets", "time", "uuid", "numpy.random"})
_GENERATORS = (np.random.Generator, np.random.RandomState)
_DISPATCHER = type(np.sum)  # NumPy functions that look for __array_function__
_PLAIN_CALLABLES = (types.BuiltinFunctionType, types.FunctionType, type, _DISPATCHER)
_LRU_CACHE = type(functools.lru_cache(lambda: None))

_MATH_NAMES = (
    "exp expm1 exp2 log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh fabs floor ceil trunc "
    "fmod copysign isnan isinf isfinite degrees radians hypot"
)
_MATH = {
    **{
        name: getattr(np, name)
        for name in _MATH_NAMES.split()
        if hasattr(math, name)
    },
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
}  # fmt: skip


class _FloatType(type):
    def __call__(cls, value: Any = 0.0) -> Any:
        if isinstance(value, TracedArray) and value.size == 1 and value.ndim == 0:
            value = value.item()
        if isinstance(value, TracedScalar):
            return TracedScalar(value.tape, value.tape.as_float(value.node))
        return float(value)


class _Float(float, metaclass=_FloatType):
    """What ``float`` and ``np.float64`` are while tracing: a conversion, and a dtype."""

    dtype = np.dtype(float)


class _Face(types.ModuleType):
    """A module whose attributes are looked up by a function."""

    def __init__(self, name: str, look_up: Callable[[str], Any]) -> None:
        super().__init__(name)
        self._look_up = look_up

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._look_up(name)


class _Refusing:
    """In place of a source of numbers that differ from call to call."""

    def __init__(self, tape: Tape, name: str) -> None:
        self._tape, self._name = tape, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._refuse()

    def _refuse(self) -> Any:
        self._tape.refuse(
            f"uses {self._name}: a drift, diffusion, rate or effect must return the same for the "
            "same arguments; the solver draws the noise"
        )


def _is_library(module: str | None) -> bool:
    root = (module or "").partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


class Substitution:
    """Rebuilds functions so that they look up stand-ins; one for each reading of a function."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._done: dict[int, tuple[Any, Any]] = {}  # id -> (original, kept alive; stand-in)
        self._globals: dict[int, tuple[dict, dict]] = {}  # id -> (stand-in globals, as given)
        self._cells: list[tuple[str, types.CellType, Any]] = []
        self._faces = self._stand_ins()

    def of(self, value: Any) -> Any:
        """Return the stand-in of a value: itself unless it leads to NumPy, math or built-ins."""
        known = self._done.get(id(value))
        if known is not None:
            return known[1]
        self._done[id(value)] = (value, value)  # a cycle of containers ends here
        result = self._made(value)
        self._done[id(value)] = (value, result)
        return result

    def refuse_stores(self) -> None:
        """Refuse a function that stored something where a later call finds it."""
        for changed, given in self._globals.values():
            for name, value in changed.items():
                if name not in given or given[name] is not value:
                    self._tape.refuse(f"stores the global {name}: hidden state")
        for name, cell, content in self._cells:
            if cell.cell_contents is not content:
                self._tape.refuse(f"stores the nonlocal {name}: hidden state")

    def _made(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, _PLAIN_CALLABLES):
            face = self._faces.get(value)
            if face is not None:
                return face
            if isinstance(value, _DISPATCHER):
                return self._numpy_function(value)
            if isinstance(getattr(value, "__self__", None), _GENERATORS) or (
                getattr(value, "__self__", None).__class__.__module__ == "random"
            ):
                return _Refusing(self._tape, f"random numbers ({value.__name__})")
        if isinstance(value, types.BuiltinFunctionType | type):
            return value
        if isinstance(value, types.FunctionType):
            return value if _is_library(value.__module__) else self._function(value)
        if isinstance(getattr(value, "py_func", None), types.FunctionType):  # a numba dispatcher
            return self.of(value.py_func)
        if isinstance(value, _LRU_CACHE):
            return self.of(value.__wrapped__)
        if isinstance(value, functools.partial):
            parts = (self.of(value.func), *self.of(value.args))
            return functools.partial(*parts, **self.of(value.keywords))
        if isinstance(value, types.MethodType):
            return types.MethodType(self.of(value.__func__), self.of(value.__self__))
        if isinstance(value, _GENERATORS) or type(value).__module__ == "random":
            return _Refusing(self._tape, f"random numbers ({type(value).__name__})")
        if type(value) in (list, tuple):
            items = [self.of(item) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if type(value) is dict:
            items = {key: self.of(item) for key, item in value.items()}
            return value if all(items[key] is value[key] for key in value) else items
        return self._instance(value)

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        original = function.__globals__
        entry = self._globals.get(id(original))
        if entry is None:
            entry = self._globals[id(original)] = (dict(original), dict(original))
        stand_in, given = entry
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        closure = cells if function.__closure__ is not None else None
        new = types.FunctionType(function.__code__, stand_in, function.__name__, None, closure)
        self._done[id(function)] = (function, new)
        new.__defaults__ = self.of(function.__defaults__)
        new.__kwdefaults__ = self.of(function.__kwdefaults__)
        new.__dict__.update(function.__dict__)
        names = function.__code__.co_freevars
        for name, cell, old in zip(names, cells, function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.of(old.cell_contents)
            except ValueError:  # not yet bound, as a recursive inner function may be
                continue
            self._cells.append((name, cell, cell.cell_contents))
        for name in _names(function.__code__):
            if name in original:
                stand_in[name] = given[name] = self.of(original[name])
            elif (face := self._faces.get(getattr(builtins, name, None))) is not None:
                stand_in[name] = given[name] = face
        return new

    def _instance(self, value: Any) -> Any:
        """Return an unchangeable copy of a user's object with its methods rebuilt."""
        kind = type(value)
        if _is_library(kind.__module__) or kind.__new__ is not object.__new__:
            return value
        members: dict[str, Any] = {"__setattr__": self._no_store, "__slots__": ()}
        for base in reversed(kind.__mro__[:-1]):
            for name, member in vars(base).items():
                if isinstance(member, types.FunctionType) and name not in ("__init__", "__new__"):
                    members[name] = self.of(member)
                elif isinstance(member, staticmethod):
                    members[name] = staticmethod(self.of(member.__func__))
                elif isinstance(member, classmethod):
                    members[name] = classmethod(self.of(member.__func__))
                elif isinstance(member, property) and member.fget is not None:
                    members[name] = property(self.of(member.fget))
        members["__setattr__"] = self._no_store
        try:
            clone = object.__new__(
                types.new_class(kind.__name__, (kind,), {}, lambda ns: ns.update(members))
            )
        except TypeError:  # a class that does not allow subclasses
            return value
        self._done[id(value)] = (value, clone)
        slots = (s for base in kind.__mro__ for s in _as_tuple(vars(base).get("__slots__", ())))
        state = {s: getattr(value, s) for s in slots if s != "__dict__" and hasattr(value, s)}
        for name, item in {**state, **getattr(value, "__dict__", {})}.items():
            object.__setattr__(clone, name, self.of(item))
        return clone

    def _no_store(self, instance: Any, name: str, value: Any) -> None:
        self._tape.refuse(f"stores the attribute {name}: hidden state")

    # ---- modules and functions with stand-ins

    def _module(self, module: types.ModuleType) -> Any:
        if module is np:
            return _Face("numpy", self._of_numpy)
        if module is math:
            return _Face("math", lambda name: self.of(getattr(math, name)))
        if module.__name__ in _UNREPEATABLE:
            return _Refusing(self._tape, module.__name__)
        if _is_library(module.__name__):
            return module
        return _Face(module.__name__, lambda name: self.of(getattr(module, name)))

    def _of_numpy(self, name: str) -> Any:
        value = getattr(np, name)
        return self.of(value) if callable(value) or name == "random" else value

    def _numpy_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        tape = self._tape

        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(
                array_of(tape, item) if _is_list_of_scalars(item) else item for item in args
            )
            return as_traced(tape, function(*args, **kwargs))

        return functools.wraps(function)(call)

    def _stand_ins(self) -> dict[Any, Any]:
        tape = self._tape
        made: dict[Any, Any] = {
            float: _Float, np.float64: _Float, isinstance: _isinstance,
            max: _extreme(max, np.greater), min: _extreme(min, np.less),
            np.array: self._array, math.log: _logarithm,
        }  # fmt: skip
        for name, ufunc in _MATH.items():
            made[getattr(math, name)] = _of_math(getattr(math, name), ufunc)
        for function in (np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray):
            made[function] = self._as_array(function)
        for function in (np.eye, np.identity, np.linspace, np.arange, np.logspace, np.geomspace):
            made[function] = self._constant(function)
        makers: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {
            np.zeros: (np.zeros, lambda shape: filled(tape, shape, 0.0)),
            np.ones: (np.ones, lambda shape: filled(tape, shape, 1.0)),
            np.empty: (np.empty, lambda shape: blank(tape, shape)),
            np.full: (np.full, lambda shape, value: full(tape, shape, value)),
            np.zeros_like: (np.zeros_like, lambda a: filled(tape, np.shape(a), 0.0)),
            np.ones_like: (np.ones_like, lambda a: filled(tape, np.shape(a), 1.0)),
            np.empty_like: (np.empty_like, lambda a: blank(tape, np.shape(a))),
            np.full_like: (np.full_like, lambda a, value: full(tape, np.shape(a), value)),
        }
        for function, (real, maker) in makers.items():
            made[function] = _maker(real, maker)
        return made

    def _array(self, value: Any, dtype: Any = None, **options: Any) -> Any:
        if not is_symbolic(value):
            return promote(self._tape, np.array(demote(value), _real_dtype(dtype), **options))
        if not is_float(_real_dtype(dtype)):
            self._tape.refuse("makes an array that is not float64 from traced values")
        result = array_of(self._tape, value)
        if result is value or isinstance(value, TracedArray):
            result = result.copy()
        for _ in range(options.get("ndmin", 0) - np.ndim(result)):
            result = np.expand_dims(result, 0)
        return result

    def _as_array(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def convert(value: Any, dtype: Any = None, **options: Any) -> Any:
            if isinstance(value, TracedArray):
                return value if is_float(_real_dtype(dtype)) else value.astype(_real_dtype(dtype))
            if isinstance(value, np.ndarray) and value.dtype.kind != "O":
                return function(value, _real_dtype(dtype), **options)
            return self._array(value, dtype)

        return convert

    def _constant(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **options: Any) -> Any:
            if is_symbolic(args) or is_symbolic(options):
                self._tape.refuse(f"np.{function.__name__} of traced values")
            if "dtype" in options:
                options["dtype"] = _real_dtype(options["dtype"])
            return promote(self._tape, function(*demote(args), **demote(options)))

        return make


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _real_dtype(dtype: Any) -> Any:
    return float if dtype is _Float else dtype


def _is_list_of_scalars(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(
        isinstance(item, TracedScalar) or _is_list_of_scalars(item) for item in value
    )


def _maker(real: Callable[..., Any], maker: Callable[..., Any]) -> Callable[..., Any]:
    """Return a stand-in of np.zeros and its kin: float64 arrays can hold traced values."""
    count = 2 if real in (np.full, np.full_like) else 1

    def make(*args: Any, dtype: Any = None, **options: Any) -> Any:
        first = [
            *args,
            *(options.pop(k) for k in ("shape", "a", "prototype", "fill_value") if k in options),
        ]
        given, rest = first[:count], first[count:]
        kind = _real_dtype(rest[0] if rest else dtype)
        source = given[0]
        if real.__name__.endswith("_like"):
            own = getattr(source, "dtype", np.asarray(demote(source)).dtype)
            kind = own if kind is None else kind
        elif real is np.full and kind is None and not is_symbolic(given[1]):
            kind = np.asarray(demote(given[1])).dtype
        if not is_float(kind):
            return real(*demote(given), dtype=kind, **options)
        return maker(*given)

    return make


def _of_math(real: Callable[..., Any], ufunc: np.ufunc) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        return ufunc(*args) if is_symbolic(args) else real(*args)

    return function


def _logarithm(value: Any, *base: Any) -> Any:
    if not is_symbolic((value, *base)):
        return math.log(value, *base)
    return np.log(value) / np.log(base[0]) if base else np.log(value)


def _isinstance(value: Any, kinds: Any) -> bool:
    kinds = _without_stand_ins(kinds)
    if isinstance(value, TracedScalar):
        return issubclass(value.dtype.type, kinds)
    return isinstance(value, kinds)


def _without_stand_ins(kinds: Any) -> Any:
    if isinstance(kinds, tuple):
        return tuple(_without_stand_ins(kind) for kind in kinds)
    return float if kinds is _Float else kinds


def _extreme(real: Callable[..., Any], beats: np.ufunc) -> Callable[..., Any]:
    """Return a stand-in of max or min: the first of the best, as Python keeps it."""

    def choose(*args: Any, **options: Any) -> Any:
        values = list(args[0]) if len(args) == 1 else list(args)
        if options or not any(is_symbolic(value) for value in values):
            return real(values, **options)
        best = values[0]
        for value in values[1:]:
            best = np.where(beats(value, best), value, best)
        return best

    return choose
