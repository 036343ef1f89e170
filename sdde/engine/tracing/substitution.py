"""Rebuilding a user's function so that it looks up stand-ins for NumPy, math and built-ins.

The function, and every function of the user's that it reaches through globals, closures, defaults,
attributes and modules, is rebuilt with the same code and other globals; the originals are not
touched. Random numbers and clocks are refused; so is a function that stores something (a global, a
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

from sdde.engine.tracing.stand_ins import numpy_function, stand_ins
from sdde.engine.tracing.tape import Tape

_LIBRARIES = frozenset({"numpy", "scipy", "numba", "sympy", "mpmath", "llvmlite"})
_UNREPEATABLE = frozenset({"random", "secrets", "time", "uuid", "numpy.random"})
_GENERATORS = (np.random.Generator, np.random.RandomState)
_DISPATCHER = type(np.sum)  # NumPy functions that look for __array_function__
_LRU_CACHE = type(functools.lru_cache(lambda: None))
_PLAIN = (types.BuiltinFunctionType, types.FunctionType, type, _DISPATCHER)


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
        return self()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._tape.refuse(
            f"uses {self._name}: the function must return the same for the same arguments; the "
            "solver draws the noise"
        )


class Substitution:
    """Rebuilds functions so that they look up stand-ins; one for each reading of a function."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._done: dict[int, tuple[Any, Any]] = {}  # id -> (original, kept alive; stand-in)
        self._globals: dict[int, tuple[dict, dict]] = {}  # id -> (in use; as it should stay)
        self._cells: list[tuple[str, types.CellType, Any]] = []
        self._stand_ins = stand_ins(tape)
        named = {name: getattr(builtins, name) for name in dir(builtins)}
        self._builtins = {
            name: self._stand_ins.get(value, value) if isinstance(value, _PLAIN) else value
            for name, value in named.items()
        }
        self._builtins["__import__"] = self._import

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
        for used, right in self._globals.values():
            for name, value in used.items():
                if name not in right or right[name] is not value:
                    self._tape.refuse(f"stores the global {name}: hidden state")
        for name, cell, content in self._cells:
            if cell.cell_contents is not content:
                self._tape.refuse(f"stores the nonlocal {name}: hidden state")

    def _made(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, _PLAIN):
            return self._callable(value)
        if isinstance(getattr(value, "py_func", None), types.FunctionType):  # a numba dispatcher
            return self.of(value.py_func)
        if isinstance(value, _LRU_CACHE):
            return self.of(value.__wrapped__)
        if isinstance(value, functools.partial):
            args, keywords = self.of(value.args), self.of(value.keywords)
            return functools.partial(self.of(value.func), *args, **keywords)
        if isinstance(value, np.vectorize):
            inner = self.of(value.pyfunc)
            return np.vectorize(inner, excluded=value.excluded, signature=value.signature)
        if isinstance(value, types.MethodType):
            return types.MethodType(self.of(value.__func__), self.of(value.__self__))
        if _is_generator(value):
            return _Refusing(self._tape, f"random numbers ({type(value).__name__})")
        if type(value) in (list, tuple):
            items = [self.of(item) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if type(value) is dict:
            items = {key: self.of(item) for key, item in value.items()}
            return value if all(items[key] is value[key] for key in value) else items
        return self._instance(value)

    def _callable(self, value: Any) -> Any:
        known = self._stand_ins.get(value)
        if known is not None:
            return known
        if isinstance(value, _DISPATCHER):
            return numpy_function(self._tape, value)
        if isinstance(value, types.FunctionType) and not _is_library(value.__module__):
            return self._function(value)
        if _is_generator(getattr(value, "__self__", None)):
            return _Refusing(self._tape, f"random numbers ({value.__name__})")
        return value

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        original = function.__globals__
        if id(original) not in self._globals:
            used = {**original, "__builtins__": self._builtins}
            self._globals[id(original)] = (used, dict(used))
        used, right = self._globals[id(original)]
        old_cells = function.__closure__ or ()
        cells = tuple(types.CellType() for _ in old_cells)
        closure = cells if function.__closure__ is not None else None
        new = types.FunctionType(function.__code__, used, function.__name__, None, closure)
        self._done[id(function)] = (function, new)
        new.__defaults__ = self.of(function.__defaults__)
        new.__kwdefaults__ = self.of(function.__kwdefaults__)
        new.__dict__.update(function.__dict__)
        names = function.__code__.co_freevars
        for name, cell, old in zip(names, cells, old_cells, strict=True):
            try:
                cell.cell_contents = self.of(old.cell_contents)
            except ValueError:  # not yet bound, as a recursive inner function may be
                continue
            self._cells.append((name, cell, cell.cell_contents))
        for name in _names(function.__code__) & original.keys():
            used[name] = right[name] = self.of(original[name])
        return new

    def _instance(self, value: Any) -> Any:
        """Return an unchangeable copy of a user's object with its methods rebuilt."""
        kind = type(value)
        if _is_library(kind.__module__) or kind.__new__ is not object.__new__:
            return value
        members = {"__setattr__": self._no_store, "__slots__": ()}
        for base in reversed(kind.__mro__[:-1]):
            for name, member in vars(base).items():
                if isinstance(member, types.FunctionType) and name not in (
                    "__init__",
                    "__setattr__",
                ):
                    members[name] = self.of(member)
                elif isinstance(member, staticmethod | classmethod):
                    members[name] = type(member)(self.of(member.__func__))
                elif isinstance(member, property) and member.fget is not None:
                    members[name] = property(self.of(member.fget))
        try:
            made = types.new_class(kind.__name__, (kind,), {}, lambda body: body.update(members))
            clone = object.__new__(made)
        except TypeError:  # a class that allows no subclass
            return value
        self._done[id(value)] = (value, clone)
        for name, item in _state(value).items():
            object.__setattr__(clone, name, self.of(item))
        return clone

    def _no_store(self, name: str, value: Any) -> None:
        self._tape.refuse(f"stores the attribute {name}: hidden state")

    def _module(self, module: types.ModuleType) -> Any:
        if module.__name__ in _UNREPEATABLE:
            return _Refusing(self._tape, module.__name__)
        if module not in (np, math) and _is_library(module.__name__):
            return module
        return _Face(module.__name__, lambda name: self._attribute(getattr(module, name)))

    def _attribute(self, value: Any) -> Any:
        return value if isinstance(value, int | float | np.ndarray) else self.of(value)

    def _import(self, *args: Any, **kwargs: Any) -> Any:
        return self.of(builtins.__import__(*args, **kwargs))


def _is_library(module: str | None) -> bool:
    root = (module or "").partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names


def _is_generator(value: Any) -> bool:
    return isinstance(value, _GENERATORS) or type(value).__module__ == "random"


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots too."""
    state: dict[str, Any] = {}
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                state[name] = getattr(value, name)
    return {**state, **getattr(value, "__dict__", {})}
