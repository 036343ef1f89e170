"""What run this is: all that decides its numbers, as plain values and hashes that can be compared.

Two runs with the same identity have the same numbers, so one may go on with what the other stored.
Of functions the content counts, not the name; of laws, delays and histories the numbers that the
engine runs on. Nothing here knows where it is kept.
"""

import hashlib
import importlib.metadata
import platform
from dataclasses import fields
from typing import Any

import numpy as np

import sdde
from sdde import checks
from sdde.engine import machine
from sdde.engine.compile import describe
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.storage import engine_stamp
from sdde.solving.moments import Moments
from sdde.solving.running import Run
from sdde.solving.saving import SavedTimes


def identity_of(run: Run) -> dict[str, Any]:
    """Return what decides the numbers of a run; hashes begin with ``sha256:``.

    Raises
    ------
    sdde.ArgumentError
        If the content of a function cannot be seen.
    """
    plan, noise = run.plan, run.noise
    layout, coefficients = describe(run.problem, plan.state_shape, plan.channels, run.method, 1)
    equation = [getattr(layout, f.name) for f in fields(layout) if f.name != "method"]
    if run.content is None:
        raise _unseen("problem", run.problem)
    kept: dict[str, Any] = {
        "paths": run.paths, "t_span": list(run.times[:2]), "dt": run.times[2],
        "method": run.method.name, "seed": str(run.seed), "save": _save(run.saves),
        "moments": None if run.request is None else moments_as_values(run.request),
        "noise": None if noise is None else {
            "seed": str(noise.seed), "finest": noise.finest, "antithetic": bool(noise.antithetic),
            "recorded": None if noise.recorded is None else hash_of(noise.recorded),
        },
        "until": None, "functionals": {},
        "state_shape": list(plan.state_shape),
        "functions of the problem": _hash(run.content + repr(equation).encode()),
        "parameters of the problem": hash_of(coefficients),
        "delays, jumps or laws of the problem": hash_of(
            plan.delays, plan.lags, plan.shares, plan.rates, plan.tables, plan.starts
        ),
        "history of the problem": hash_of(plan.past),
    }  # fmt: skip
    if (until := run.watched.until) is not None:
        kept["until"] = _hash(_content("until", until.function, until.direction))
    for name, functional in run.watched.functionals.items():
        content = _content(f"functionals[{name!r}]", functional.function)
        kept["functionals"][name] = [functional.kind, _hash(content)]
    return kept


def versions() -> dict[str, str]:
    """Return what else the last bits may depend on."""
    return {
        "sdde": sdde.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "numba": importlib.metadata.version("numba"),
        "engine": engine_stamp().hex()[:16],
        "processor": machine.processor_stamp(),
    }


def moments_as_values(request: Moments) -> dict[str, Any]:
    """Return a request without its times."""
    return {
        "quantiles": request.quantiles.tolist(), "covariance": bool(request.covariance),
        "lags": request.lags.tolist(),
    }  # fmt: skip


def hash_of(*arrays: Any) -> str:
    """Return the hash of arrays: types, shapes and numbers."""
    parts = []
    for array in map(np.ascontiguousarray, arrays):
        parts += [f"{array.dtype.str} {array.shape} ".encode(), array.tobytes()]
    return _hash(b"".join(parts))


def _save(saves: SavedTimes) -> Any:
    return saves.rule if saves.rule is not None else hash_of(saves.t)


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _content(name: str, function: Any, *further: Any) -> bytes:
    try:
        return fingerprint(function, *further)
    except Unhashable:
        raise _unseen(name, function) from None


def _unseen(name: str, value: Any) -> Exception:
    return checks.fail(
        name, value, "cannot be stored: the content of a function cannot be seen",
        why="A store must know its run again, and refuse any other.",
        remedy="Use plain functions of numbers and arrays, without open files, locks or pointers.",
    )  # fmt: skip
