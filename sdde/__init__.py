"""Stochastic delay differential equations and asynchronous SGD: solve, plan, compare.

Public names are loaded when first used, so that ``import sdde`` is quick and compiles nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sdde.errors import ArgumentError, CompileError, Error, SolutionWarning, StoreError

if TYPE_CHECKING:
    from sdde import cluster, models, theory
    from sdde.engine.storage import cache_info, clear_cache
    from sdde.equation.delays import DistributedDelay, RandomDelay, StateDelay, TimeDelay
    from sdde.equation.jumps import Jump
    from sdde.equation.problem import Problem
    from sdde.solving.adaptive import solve_adaptively
    from sdde.solving.brownian import Brownian
    from sdde.solving.levels import Level, Multilevel, multilevel
    from sdde.solving.moments import Moments
    from sdde.solving.orders import Convergence, MeasuredOrder, convergence
    from sdde.solving.reading_stores import open_store
    from sdde.solving.solution import Solution
    from sdde.solving.solve import solve
    from sdde.solving.sweeping import sweep
    from sdde.solving.watching import Functional, Hit
    from sdde.symbolic.to_expressions import Equations
    from sdde.theory import compare

__version__ = "0.1.0"

_HOMES = {
    "Brownian": "sdde.solving.brownian",
    "cache_info": "sdde.engine.storage",
    "clear_cache": "sdde.engine.storage",
    "DistributedDelay": "sdde.equation.delays",
    "Functional": "sdde.solving.watching",
    "Hit": "sdde.solving.watching",
    "Jump": "sdde.equation.jumps",
    "RandomDelay": "sdde.equation.delays",
    "StateDelay": "sdde.equation.delays",
    "TimeDelay": "sdde.equation.delays",
    "Convergence": "sdde.solving.orders",
    "MeasuredOrder": "sdde.solving.orders",
    "convergence": "sdde.solving.orders",
    "Level": "sdde.solving.levels",
    "Multilevel": "sdde.solving.levels",
    "multilevel": "sdde.solving.levels",
    "Moments": "sdde.solving.moments",
    "open_store": "sdde.solving.reading_stores",
    "Problem": "sdde.equation.problem",
    "Solution": "sdde.solving.solution",
    "solve": "sdde.solving.solve",
    "sweep": "sdde.solving.sweeping",
    "solve_adaptively": "sdde.solving.adaptive",
    "Equations": "sdde.symbolic.to_expressions",
    "compare": "sdde.theory",
}
_PACKAGES = ("cluster", "models", "theory")

__all__ = [
    "Problem", "Equations", "TimeDelay", "StateDelay", "RandomDelay", "DistributedDelay", "Jump",
    "solve", "solve_adaptively", "sweep", "Solution", "Moments", "Functional", "Hit", "Brownian",
    "open_store", "convergence", "Convergence", "MeasuredOrder",
    "multilevel", "Multilevel", "Level",
    "compare", "cluster", "models", "theory", "cache_info", "clear_cache",
    "Error", "ArgumentError", "CompileError", "StoreError", "SolutionWarning",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"sdde.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
