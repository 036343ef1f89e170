"""A content hash of any callable: it changes when the code or anything the code uses changes.

The hash covers bytecode, constants, defaults, closure values and, recursively, the globals that the
bytecode names; installed modules count by name and version, the user's own modules by the
attributes that are read. It is the same in every process of one Python version, whatever the hash
seed, and does not depend on where the source stands. A value whose content cannot be seen (an open
file, a lock, a C pointer) raises `Unhashable`, so that the caller can do without a disk cache.
"""

import dis
import functools
import hashlib
import struct
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

_SIMPLE = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_DESCRIPTORS = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ClassMethodDescriptorType,
)
_GLOBAL_NUMBERS = getattr(np.random.mtrand, "_rand", None)
_LRU_CACHE = type(functools.lru_cache(lambda: None))
_LIBRARIES = frozenset({"numpy", "scipy", "numba", "sympy", "mpmath"})
_NOT_CONTENT = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__annotations__"}
    | {"__static_attributes__", "__annotate_func__", "__annotations_cache__", "__qualname__"}
    | {"__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__"}
)


class Unhashable(TypeError):
    """A value whose content cannot be hashed faithfully."""


def fingerprint(*values: object, itself: bool = False) -> bytes:
    """Return the content hash of functions and other values.

    Parameters
    ----------
    *values : object
        Callables of any kind (functions, lambdas, closures, methods, partials, callable objects,
        numba dispatchers), and plain data.
    itself : bool, optional
        Whether this package counts by its version, like others; by its content if not.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    Unhashable
        If the content of a value cannot be seen.
    """
    python = ".".join(map(str, sys.version_info[:2])).encode()  # bytecode differs between versions
    reader = _Reader(itself)
    return _joined(b"fingerprint", python, *(reader.digest(value) for value in values))


def _joined(tag: bytes, *parts: bytes) -> bytes:
    every = (tag, *parts)
    lengths = struct.pack(f"<{len(every) + 1}q", len(every), *map(len, every))
    return hashlib.sha256(b"".join((lengths, *every))).digest()


class _Reader:
    """Digests of values by identity, with the values now being read, which end cycles."""

    def __init__(self, itself: bool = False) -> None:
        self._itself = itself
        self._open: dict[int, int] = {}  # id -> depth
        self._done: dict[int, tuple[object, bytes]] = {}
        self._lowest = sys.maxsize  # depth of the outermost open value referred to

    def digest(self, value: Any) -> bytes:
        """Return the digest of one value."""
        if isinstance(value, _SIMPLE) and type(value) in _SIMPLE:
            return _simple(value)
        key = id(value)
        if key in self._done:
            return self._done[key][1]
        depth = len(self._open)
        if key in self._open:
            self._lowest = min(self._lowest, self._open[key])
            return _joined(b"cycle", str(depth - self._open[key]).encode())
        outside, self._lowest = self._lowest, sys.maxsize
        self._open[key] = depth
        try:
            result = _joined(*self._content(value))
        except RecursionError:
            raise Unhashable(f"{type(value).__name__} is nested too deeply to be hashed") from None
        finally:
            del self._open[key]
        if self._lowest >= depth:  # a part of a larger cycle means something else elsewhere
            self._done[key] = (value, result)
            self._lowest = outside
        else:
            self._lowest = min(self._lowest, outside)
        return result

    def _all(self, values: Any) -> list[bytes]:
        return [self.digest(value) for value in values]

    def _content(self, value: Any) -> Iterator[bytes] | list[bytes]:
        """Return a tag and the digests of all parts of a value."""
        kind = type(value)
        if value is _GLOBAL_NUMBERS:  # scipy's laws carry it; its state is nobody's content
            return [b"the global random numbers"]
        if kind in (tuple, list):
            return [kind.__name__.encode(), *self._all(value)]
        if kind is dict:
            return [b"dict", *(self.digest(part) for item in value.items() for part in item)]
        if kind in (set, frozenset):
            return [kind.__name__.encode(), *sorted(self._all(value))]
        if isinstance(value, np.ndarray) and kind is np.ndarray:
            return self._array(value)
        if isinstance(value, np.generic):
            return [b"scalar", value.dtype.str.encode(), value.tobytes()]
        if isinstance(value, np.dtype):
            return [b"dtype", repr(value).encode()]
        if isinstance(value, np.ufunc):
            return [b"ufunc", value.__name__.encode()]
        if isinstance(value, types.ModuleType):
            return [b"module", value.__name__.encode(), self._version(value).encode()]
        if isinstance(value, types.CodeType):
            return [b"code", *_code(value, self._itself)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return [b"method", self.digest(value.__func__), self.digest(value.__self__)]
        compiled: Any = value
        if isinstance(getattr(compiled, "py_func", None), types.FunctionType):
            options = getattr(compiled, "targetoptions", {})
            return [b"jit", self.digest(compiled.py_func), repr(sorted(options.items())).encode()]
        if isinstance(value, functools.partial):
            return [b"partial", *self._all([value.func, value.args, value.keywords])]
        if isinstance(value, _LRU_CACHE):
            return [b"cached", self.digest(value.__wrapped__)]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, staticmethod | classmethod):
            return [kind.__name__.encode(), self.digest(value.__func__)]
        if isinstance(value, property):
            return [b"property", *self._all([value.fget, value.fset, value.fdel])]
        if isinstance(value, functools.cached_property):
            return [b"cached_property", self.digest(value.func)]
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            named = owner is None or isinstance(owner, types.ModuleType | type)
            own = b"" if named else self.digest(owner)
            module = getattr(owner, "__name__", value.__module__ or "")
            return [b"built-in", module.encode(), value.__qualname__.encode(), own]
        if isinstance(value, _DESCRIPTORS):
            return [b"descriptor", self.digest(value.__objclass__), value.__name__.encode()]
        return self._object(value)

    def _array(self, value: np.ndarray) -> list[bytes]:
        layout = f"{value.shape} {value.flags.c_contiguous} {value.flags.f_contiguous}".encode()
        if value.dtype.hasobject:
            return [b"objects", layout, *self._all(value.ravel().tolist())]
        return [b"array", repr(value.dtype.descr).encode(), layout, value.tobytes()]

    def _function(self, function: types.FunctionType) -> list[bytes]:
        module = sys.modules.get(function.__module__ or "")
        if module is not None and (_is_library(module) or self._is_itself(module)):
            return [b"known function", self.digest(module), function.__qualname__.encode()]
        parts = list(_code(function.__code__, self._itself))
        parts += self._all([function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            try:
                parts.append(self.digest(cell.cell_contents))
            except ValueError:
                parts.append(b"unbound")
        for name, attributes in _globals_in_order(function.__code__):
            parts.append(name.encode())
            if name in function.__globals__:
                value = function.__globals__[name]
                parts.append(self._reached(value, attributes))
            else:
                parts.append(b"built-in or missing")
        return [b"function", *parts]

    def _reached(self, value: Any, attributes: tuple[str, ...]) -> bytes:
        """Return the digest of ``value.a.b``: for a module without a version, of what is read."""
        while isinstance(value, types.ModuleType) and not self._version(value):
            if not attributes:
                raise Unhashable(f"module {value.__name__} has no version, and is used as a value")
            if not hasattr(value, attributes[0]):
                return _joined(b"missing", attributes[0].encode())
            value, attributes = getattr(value, attributes[0]), attributes[1:]
        return self.digest(value)

    def _is_itself(self, module: types.ModuleType) -> bool:
        return self._itself and module.__name__.partition(".")[0] == "sdde"

    def _version(self, module: types.ModuleType) -> str:
        return sys.modules["sdde"].__version__ if self._is_itself(module) else _version(module)

    def _class(self, kind: type) -> list[bytes]:
        name = f"{kind.__module__}.{kind.__qualname__}".encode()
        module = sys.modules.get(kind.__module__)
        if kind.__module__ == "builtins" or (module is not None and self._version(module)):
            version = "" if module is None else self._version(module)
            return [b"known class", name, version.encode()]
        members = {k: v for k, v in vars(kind).items() if k not in _NOT_CONTENT}
        return [b"class", *self._all(kind.__bases__), *self._all(
            part for item in sorted(members.items(), key=lambda item: item[0]) for part in item
        )]  # fmt: skip

    def _object(self, value: Any) -> list[bytes]:
        """Return the content of an object as it would be pickled, read recursively."""
        name = type(value).__name__
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise Unhashable(f"{name} cannot be hashed: {error}") from None
        if isinstance(reduced, str):  # the name of a global, not a content
            module = sys.modules.get(getattr(value, "__module__", None) or "")
            if module is None or not self._version(module):
                raise Unhashable(f"{name} {reduced} cannot be hashed: its content is not visible")
            return [b"global", self.digest(module), reduced.encode()]
        maker, args, *rest = reduced
        state, *items = (*rest, None, None, None)[:3]
        return [b"object", *self._all([maker, args, state, *(list(part or ()) for part in items)])]


@functools.lru_cache(1024)
def _code(code: types.CodeType, itself: bool) -> tuple[bytes, ...]:
    """Return the digests of the parts of bytecode, which never change."""
    _refuse_unknown_imports(code, itself)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    digest = _Reader(itself).digest
    return (
        code.co_code,
        code.co_exceptiontable,
        repr(counts).encode(),
        *map(digest, names),
        *map(digest, code.co_consts),
    )


@functools.lru_cache(1024)
def _globals_in_order(code: types.CodeType) -> list[tuple[str, tuple[str, ...]]]:
    return sorted(_globals_read(code))


def _simple(value: Any) -> bytes:
    text = value.hex() if isinstance(value, float | bytes) else repr(value)
    return _joined(b"simple", type(value).__name__.encode(), text.encode("utf-8", "surrogatepass"))


def _is_library(module: types.ModuleType) -> bool:
    root = module.__name__.partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names


def _version(module: types.ModuleType) -> str:
    """Return the version that stands for a module's content, or an empty string."""
    root = module.__name__.partition(".")[0]
    if root in sys.stdlib_module_names:
        return "python"
    if root == "sdde":  # read by content: its version stays the same while it is being edited
        return ""
    version = getattr(module, "__version__", None) or getattr(
        sys.modules.get(root), "__version__", None
    )
    return version if isinstance(version, str) else ""


def _refuse_unknown_imports(code: types.CodeType, itself: bool) -> None:
    """Refuse bytecode that imports a module whose content no version stands for."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            module = sys.modules.get(instruction.argval)
            root = str(instruction.argval).partition(".")[0]
            known = root in _LIBRARIES or root in sys.stdlib_module_names
            known |= itself and root == "sdde"
            if not known and (module is None or not _version(module)):
                raise Unhashable(f"the function imports {instruction.argval}, which has no version")


def _globals_read(code: types.CodeType) -> set[tuple[str, tuple[str, ...]]]:
    """Return the globals that bytecode names, each with the attributes then read from it."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    name: str | None = None
    attributes: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "EXTENDED_ARG":
            continue
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and name is not None:
            attributes.append(instruction.argval)
            continue
        if name is not None:
            found.add((name, tuple(attributes)))
        name, attributes = None, []
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            name = instruction.argval
    if name is not None:
        found.add((name, tuple(attributes)))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _globals_read(constant)
    return found
