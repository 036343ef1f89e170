"""Machine code kept on disk, loaded without the compiler that made it, and called.

An entry of the cache is one file: a digest of the rest, the name of the function, the functions of
other libraries that it calls, and an object file. Loading takes LLVM's linker alone, about a
millisecond; the compiler, whose import is most of the start of a process, is asked only for what
was never compiled on this kind of processor. An entry that is cut short or altered is no entry.
"""

import builtins
import ctypes
import hashlib
import io
import json
import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from sdde.engine import storage
from sdde.engine.kernels.signatures import Packer

_MAGIC = b"sdde object 1\n"
_DIGEST = 32
_SUFFIX = ".obj"
_RUNTIME = ("NRT_", "numba_", "_numba")
_GIVE_BACK = "NRT_MemInfo_call_dtor"
_CHOICES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_LOOP_VECTORIZE")


class Code(NamedTuple):
    """Machine code in memory: where it begins, and what must live as long as it is used."""

    address: int
    keep: Any


def key_of(*parts: bytes) -> str:
    """Return the key of machine code that depends on `parts`, the engine and the processor."""
    return storage.key_of(_processor(), *parts)


@cache
def _processor() -> bytes:
    features = sorted(name for name, has in llvm.get_host_cpu_features().items() if has)
    chosen = [os.environ.get(name, "") for name in _CHOICES]
    return repr((llvm.get_host_cpu_name(), features, chosen)).encode()


def processor_stamp() -> str:
    """Return a short name of the instructions that code is made for."""
    return f"{llvm.get_host_cpu_name()} {hashlib.sha256(_processor()).hexdigest()[:8]}"


# ---- files


def _name(key: str) -> str:
    return f"m_{key}{_SUFFIX}"


def save(key: str, name: str, imports: Sequence[str], image: bytes) -> None:
    """Keep an object file under `key`; a folder that cannot be written costs time only."""
    head = json.dumps({"name": name, "imports": list(imports)}).encode()
    content = len(head).to_bytes(4, "little") + head + image
    home = storage.private_folder(make=True)
    if home is None:
        return
    try:
        with tempfile.NamedTemporaryFile(
            dir=home, prefix="new", suffix=".tmp", delete=False
        ) as file:
            file.write(_MAGIC + hashlib.sha256(content).digest() + content)
        Path(file.name).replace(home / _name(key))
    except OSError:
        return


def load(key: str) -> Code | None:
    """Return the machine code kept under `key`, or None if there is none that can be used."""
    home = storage.private_folder()
    if home is None:
        return None
    try:
        data = (home / _name(key)).read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST
    content = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(content).digest():
        return None
    size = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + size])
    try:
        return _link(key, head["name"], head["imports"], content[4 + size :])
    except RuntimeError:  # it needs something that this process does not have
        return None


# ---- linking


@cache
def _linker() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler(suppress_errors=True)


_linked = 0


def _link(key: str, name: str, imports: Sequence[str], image: bytes) -> Code:
    global _linked
    _linked += 1  # a library's name is not free again when the library has gone
    library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
    for symbol, address in _addresses(imports).items():
        library.import_symbol(symbol, address)
    kept = library.export_symbol(name).link(_linker(), f"{key}_{_linked}")
    return Code(kept[name], kept)


def _addresses(imports: Sequence[str]) -> dict[str, int]:
    """Return where the functions of the compiler's runtime begin, which the process lacks."""
    wanted = [symbol for symbol in imports if symbol.startswith(_RUNTIME)]
    if wanted == [_GIVE_BACK]:  # what allocates nothing has nothing to give back, and never calls
        never = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value
        return {_GIVE_BACK: never or 0}
    if wanted:
        from numba.core.registry import cpu_target

        _ = cpu_target.target_context  # registers its functions
    found = {symbol: llvm.address_of_symbol(symbol) for symbol in imports}
    return {symbol: address for symbol, address in found.items() if address is not None}


# ---- calling

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


class _Raised(ctypes.Structure):
    """What numba's functions leave about an exception: its pickled description first."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int32))


class _Nothing:
    """Stands for whatever a description holds besides plain values and built-in exceptions."""

    def __new__(cls, *args: Any, **named: Any) -> "_Nothing":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


class _Description(pickle.Unpickler):
    """Reads the description of an exception, which came with the machine code from a file."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a built-in exception; nothing else is looked up, so nothing else can be called."""
        found = getattr(builtins, name, None) if module == "builtins" else None
        return found if isinstance(found, type) and issubclass(found, Exception) else _Nothing


class Entry:
    """Machine code that Python can call, without the interpreter's lock.

    Parameters
    ----------
    code : Code
        A function made by `kernels.calling.entry`.
    kinds : mapping
        Its arguments, as in `kernels.signatures`.
    """

    def __init__(self, code: Code, kinds: Mapping[str, str]) -> None:
        self.code, self.pack = code, Packer(kinds)
        self.enter = _PROTOTYPE(code.address)

    def __call__(self, **values: Any) -> None:
        """Run with these arguments."""
        raised = ctypes.c_void_p()
        unused = ctypes.c_void_p()
        status = self.enter(ctypes.byref(unused), ctypes.byref(raised), self.pack(values))
        if status not in (0, -2):
            raise _exception(status, raised.value)


def _exception(status: int, address: int | None) -> BaseException:
    """Return the exception that a compiled function raised."""
    if status > 0 and address:
        raised = _Raised.from_address(address)
        try:
            text = io.BytesIO(ctypes.string_at(raised.data, raised.size))
            kind, args = _Description(text).load()[:2]
            # Values of the run are not in the description, something else stands for them.
            error = kind(*(arg for arg in args or () if isinstance(arg, str | int | float)))
            if isinstance(error, Exception):
                return error
        except Exception:  # of a kind that cannot be made from this
            pass
    return RuntimeError("a function of the problem raised an exception")
