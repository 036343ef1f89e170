"""What a trace holds, in a few lines of text."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sdde.errors import ArgumentError

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace


def describe(trace: "Trace") -> str:
    """Return the columns, the summary of every quantity that the log can tell, and its header."""
    lines = [f"Trace: {len(trace)} gradients, columns {', '.join(trace.data)}"]
    if "worker" in trace:
        lines.append(f"  workers        {trace.workers}")
    if "apply_time" in trace and len(trace) > 1:
        span = float(trace.data["apply_time"][-1] - trace.data["apply_time"][0])
        rate = f", {trace.updates / span:.4g} per unit of time" if span > 0 else ""
        lines.append(f"  updates        {trace.updates} in {span:.6g}{rate}")
    for label, quantity in (
        ("compute time", trace.compute_time),
        ("cycle time", trace.cycle_time),
        ("staleness", trace.staleness),
    ):
        values = _or_none(quantity)
        if values is not None and values.size:
            lines.append(f"  {label:<14} {_summary(values)}")
    lines += [f"  # {key}: {value}" for key, value in list(trace.header.items())[:8]]
    return "\n".join(lines)


def _or_none(quantity: Callable[[], Any]) -> Any:
    try:
        return quantity()
    except ArgumentError:
        return None


def _summary(values: ArrayLike) -> str:
    array = np.asarray(values, dtype=float)
    low, middle, high = np.quantile(array, [0.05, 0.5, 0.95])
    return (
        f"mean {array.mean():.4g}, standard deviation {array.std():.4g}, "
        f"5 % {low:.4g}, median {middle:.4g}, 95 % {high:.4g}"
    )
