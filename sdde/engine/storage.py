"""Where compiled code is kept between processes, and how a function gets there.

Every compiled function has a key, a hash of all that its machine code depends on. It is compiled
under the name of a file called after its key in the cache folder, so that numba finds it again,
also when the function came from a lambda or from generated text. Entries are never updated, only
added; a broken one is removed and made again. They are code that will be run, so the folder must be
private to the user (`trust`); one that is not is left alone. Nothing here knows what is compiled.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import llvmlite
import numpy as np

from sdde.engine.trust import distrust

_ENGINE = Path(__file__).resolve().parent
_STAMP = 1_000_000_000  # numba distrusts an entry whose file has changed its time; this never does


class CacheInfo(NamedTuple):
    """What the cache on disk holds.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    entries : int
        Number of compiled functions.
    size : int
        Bytes of all files.
    """

    path: Path
    entries: int
    size: int


def folder() -> Path:
    """Return the cache folder: ``SDDE_CACHE_DIR``, or the user's cache folder for this package."""
    chosen = os.environ.get("SDDE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "sdde"


def private_folder(*, make: bool = False) -> Path | None:
    """Return the cache folder, if it is there (made for `make`) and nobody else can write to it."""
    path = folder()
    try:
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        return path if path.exists() and _is_private(path) else None
    except OSError:
        return None


@cache
def _is_private(path: Path) -> bool:
    fault = distrust(path)
    if fault:
        warnings.warn(
            f"the cache of compiled models, {str(path)!r}, {fault}, and is not used.\n"
            "  What lies there is run as machine code, so nobody else may write to it. Every start"
            " compiles anew until\n  it is mended (chmod go-w), or SDDE_CACHE_DIR names a folder of"
            " your own.",
            RuntimeWarning,
            stacklevel=2,
        )
    return not fault


def cache_info() -> CacheInfo:
    """Say where compiled models are kept, and how many there are.

    Returns
    -------
    CacheInfo
        A named tuple ``(path, entries, size)``, with the size in bytes.

    Examples
    --------
    >>> import sdde
    >>> sdde.cache_info().entries >= 0
    True
    """
    path = folder()
    files = _files(path)
    size = sum(file.stat().st_size for file in files)
    return CacheInfo(path, len({file.name.partition(".")[0] for file in files}), size)


def clear_cache() -> CacheInfo:
    """Remove all compiled models from disk; they are made again when needed.

    Returns
    -------
    CacheInfo
        What was there before.

    Examples
    --------
    >>> import sdde
    >>> _ = sdde.clear_cache()
    >>> sdde.cache_info().entries
    0
    """
    before = cache_info()
    for file in _files(before.path):
        file.unlink(missing_ok=True)
    return before


def _files(path: Path, name: str = "m_*") -> list[Path]:
    """Return the files of entries: one for each key, and numba's beside it."""
    beside = path.glob(f"__pycache__/{name}.*")
    return [*path.glob(f"{name}.obj"), *path.glob(f"{name}.py"), *beside]


@cache
def engine_stamp() -> bytes:
    """Return a hash of the engine's own sources and of the compilers' versions."""
    digest = hashlib.sha256()
    for file in sorted(_ENGINE.rglob("*.py")):
        digest.update(file.read_bytes())
    for version in (llvmlite.__version__, np.__version__, sys.version):
        digest.update(version.encode())
    digest.update(_compiler_version())
    return digest.digest()


def _compiler_version() -> bytes:
    """Return numba's version as its package states it, without the cost of importing it."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        return b""
    return Path(found.origin).with_name("_version.py").read_bytes()


def key_of(*parts: bytes) -> str:
    """Return the cache key of code that depends on `parts` and on the engine."""
    digest = hashlib.sha256(engine_stamp())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def compiled(function: FunctionType, signature: Any, key: str | None, **options: Any) -> Any:
    """Compile `function` for `signature`, or load it if `key` was compiled before.

    Without a key nothing is kept. A cache that cannot be read or written costs time, never the
    result. `options` go to numba.
    """
    path = None if key is None else _entry(key)
    if key is None or path is None:
        return _jit(function, signature, cached=False, **options)
    code = function.__code__.replace(co_filename=str(path))
    placed = FunctionType(code, function.__globals__, function.__name__)
    from numba.core.errors import NumbaError

    try:
        return _jit(placed, signature, cached=True, **options)
    except NumbaError:
        raise
    except Exception:
        _remove(key)  # unreadable, cut short, or written by something else: make it again
    if _entry(key) is None:
        return _jit(function, signature, cached=False, **options)
    try:
        return _jit(placed, signature, cached=True, **options)
    except OSError:
        return _jit(function, signature, cached=False, **options)


@cache
def start_numba() -> None:
    """Let numba set itself up without SciPy's linear algebra: a quarter of a warm start.

    Its array functions import that merely to learn whether it exists. SciPy is installed with this
    package, and compiled code that multiplies matrices imports it when it does.
    """
    wanted, asking = "scipy.linalg.cython_blas", "numba.np.arraymath"
    if wanted in sys.modules or asking in sys.modules:
        return
    sys.modules[wanted] = None  # type: ignore[assignment]
    try:
        arrays: Any = importlib.import_module(asking)
    finally:
        del sys.modules[wanted]
    arrays._HAVE_BLAS = True


def _jit(function: Callable[..., Any], signature: Any, *, cached: bool, **options: Any) -> Any:
    start_numba()
    import numba

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, about its own business
        return numba.njit(
            signature, nogil=True, error_model="numpy", fastmath=False, cache=cached, **options
        )(function)


def _entry(key: str) -> Path | None:
    """Return the file that stands for `key`, made if need be; None without a writable folder."""
    home = private_folder(make=True)
    if home is None:
        return None
    path = home / f"m_{key}.py"
    if path.exists():
        return path
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix="new", suffix=".tmp", delete=False
        ) as file:
            file.write(f'"""Names the compiled code {key}."""\n')
        os.utime(file.name, (_STAMP, _STAMP))
        Path(file.name).replace(path)
    except OSError:
        return None
    return path


def _remove(key: str) -> None:
    for file in _files(folder(), f"m_{key}"):
        file.unlink(missing_ok=True)
