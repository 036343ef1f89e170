"""The discrete system that the SDDE approximates: workers, a server, staleness, event by event.

Public names are loaded when first used, so that plain values can be read without numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdde.cluster.methods import AsyncSGD
    from sdde.cluster.objectives import Quadratic, Softmax
    from sdde.cluster.runs import Runs
    from sdde.cluster.simulation import simulate
    from sdde.cluster.system import SharedLink, System
    from sdde.cluster.trace_log import Trace, TraceWriter

_HOMES = {
    "AsyncSGD": "methods",
    "Quadratic": "objectives",
    "Runs": "runs",
    "SharedLink": "system",
    "Softmax": "objectives",
    "System": "system",
    "Trace": "trace_log",
    "TraceWriter": "trace_log",
    "simulate": "simulation",
}

__all__ = [
    "System", "SharedLink", "AsyncSGD", "Quadratic", "Softmax", "simulate", "Runs",
    "Trace", "TraceWriter",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"sdde.cluster.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde.cluster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
