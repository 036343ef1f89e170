"""The C reference: `reference.c` compiled with gcc at run time, and called with a workload.

Needs gcc; without it `available` says so and the benchmark leaves it out. Threads share the paths
out in Python, since a ctypes call lets other threads run.
"""

import ctypes
import functools
import importlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from experiments.benchmarks.workloads import BOUND, DENSE, Workload
from sdde.engine.streams import key_of

_FUNCTIONS = {
    "W1": "linear_path",
    "W1L": "linear_path",
    "W2": "linear",
    "W3": "mackey_glass",
    "W4": "dense",
    "W5": "kicks",
    "N3": "lorenz",
    "T3": "network",
    "G3": "mixed",
    "D1": "swinging",
    "D2": "stretching",
    "J1": "thinned",
}


class Run(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("first", "paths", "steps", "lag", "every")),
        ("dt", ctypes.c_double),
        ("start", ctypes.c_double),
        ("key", ctypes.c_uint32 * 2),
    ]


def available() -> bool:
    """Return whether there is a gcc."""
    return shutil.which("gcc") is not None


@functools.cache
def library() -> ctypes.CDLL:
    """Compile and load the reference; gcc may fuse a * b + c, which rounds once."""
    flags = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"]
    flags.append("-ffp-contract=fast")
    if platform.machine() in ("x86_64", "AMD64"):
        flags.append("-mprefer-vector-width=512")
    source = Path(__file__).with_name("reference.c")
    with tempfile.TemporaryDirectory() as folder:  # a loaded library outlives its file
        target = Path(folder) / "reference.so"
        command = ["gcc", *flags, "-shared", "-fPIC", str(source), "-o", str(target), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(target))


@functools.cache
def _blas_product() -> ctypes.c_void_p:
    """Return the address of the dgemm that SciPy carries."""
    capsule = importlib.import_module("scipy.linalg.cython_blas").__pyx_capi__["dgemm"]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(pointer(capsule, name(capsule)))


def keeps_times(work: Workload) -> bool:
    """Return whether the C function saves states on the way, or only the last."""
    return not work.rate and work.name not in ("W4", "D1", "D2", "J1")


def prepare(work: Workload, *, threads: int = 1, blas: bool = False) -> Callable[[int], np.ndarray]:
    """Return a function of the seed that runs `work` and gives the saved states.

    Axes are (times, components, paths), without the times or components that a workload lacks.
    """
    function = getattr(library(), _FUNCTIONS[work.name])
    more: list[ctypes.c_void_p | ctypes.c_double | None] = []
    if work.name == "W4":
        more = [ctypes.c_void_p(DENSE.ctypes.data), _blas_product() if blas else None]
    elif work.name == "W5":
        more = [ctypes.c_double(work.rate), ctypes.c_double(work.kick)]
    elif work.name == "J1":
        more = [ctypes.c_double(BOUND), ctypes.c_double(work.kick)]
    shape = (work.dim,) if work.dim else ()
    if keeps_times(work):
        shape = (work.steps // work.every + 1, *shape)

    def part(seed: int, first: int, paths: int) -> np.ndarray:
        saved = np.empty((*shape, paths))
        key = (ctypes.c_uint32 * 2)(*key_of(seed))
        run = Run(first, paths, work.steps, work.lag, work.every, work.dt, work.start, key)
        function(ctypes.byref(run), ctypes.c_void_p(saved.ctypes.data), *more)
        return saved

    if threads == 1:
        return lambda seed: part(seed, 0, work.paths)
    edges = np.linspace(0, work.paths // 64, threads + 1).astype(int) * 64  # whole blocks of lanes
    edges[-1] = work.paths

    def shared(seed: int) -> np.ndarray:
        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda a, b: part(seed, int(a), int(b - a)), edges[:-1], edges[1:])
            return np.concatenate(list(parts), axis=-1)

    return shared


def final(work: Workload, saved: np.ndarray) -> np.ndarray:
    """Return the last state of each path from what a run saved: (components, paths) or (paths,)."""
    return saved[-1] if keeps_times(work) else saved
