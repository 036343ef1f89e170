"""The discrete system that the SDDE approximates: workers, a server, staleness, event by event.

Public names are loaded when first used, so that plain values can be read without numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdde.cluster.live_run import LiveRun, live
    from sdde.cluster.methods import AsyncSGD
    from sdde.cluster.quadratic import Quadratic
    from sdde.cluster.runs import Runs
    from sdde.cluster.simulation import simulate
    from sdde.cluster.softmax import Softmax
    from sdde.cluster.system import SharedLink, System
    from sdde.cluster.trace_log import Trace
    from sdde.cluster.trace_reading import packaged_trace
    from sdde.cluster.trace_writing import TraceWriter

_HOMES = {
    "AsyncSGD": "methods",
    "Quadratic": "quadratic",
    "Runs": "runs",
    "SharedLink": "system",
    "Softmax": "softmax",
    "System": "system",
    "Trace": "trace_log",
    "TraceWriter": "trace_writing",
    "LiveRun": "live_run",
    "live": "live_run",
    "packaged_trace": "trace_reading",
    "simulate": "simulation",
}

__all__ = [
    "System", "SharedLink", "AsyncSGD", "Quadratic", "Softmax", "simulate", "Runs",
    "Trace", "TraceWriter", "packaged_trace", "live", "LiveRun",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"sdde.cluster.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde.cluster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
