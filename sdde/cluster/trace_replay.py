"""A log as machines that repeat it: every worker takes the recorded times, in their order."""

from typing import TYPE_CHECKING

import numpy as np

from sdde.cluster.changing import Replay
from sdde.cluster.system import System

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace


def replay_of(trace: "Trace") -> System:
    """Return machines whose workers replay their cycles; see `Trace.system`."""
    cycles = trace.cycles_by_worker()
    if "read_time" in trace and "apply_time" in trace:
        # The last gradient's cycle has no end in the log; it lasts at least until its arrival.
        for code, lengths in cycles.items():
            cycles[code] = np.append(lengths, trace.delay(code)[-1])
    return System([Replay(lengths, then="stop") for lengths in cycles.values()])
