"""``sdde trace``: what the log of a real run says."""

import argparse
import math
from typing import Any

from sdde.commands import parsing


def add(commands: Any) -> None:
    """Add the command."""
    trace = parsing.command(commands, "trace", "tell what the log of a real run says", run)
    trace.add_argument(
        "source", nargs="?", metavar="LOG", help="a trace (default: the packaged run)"
    )
    parsing.add_json(trace)
    trace.add_argument("--plot", metavar="FILE", help="draw it to this file")


def run(options: argparse.Namespace) -> int:
    """Read, judge, print, draw."""
    from sdde.cluster import Trace, packaged_trace

    trace = packaged_trace() if options.source is None else Trace.read(options.source)
    parsing.show(options, lambda: f"{trace}\n{trace.check()}", lambda: _content(trace))
    if options.plot:
        parsing.save_figure(options, trace.plot().flat[0].figure, options.plot)
    return 0


def _content(trace: Any) -> dict[str, Any]:
    """Return the log's quantities and findings as plain values; None where the log cannot tell."""
    questions = {
        "workers": lambda: trace.workers,
        "updates": lambda: trace.updates,
        "update_rate": trace.update_rate,
        "compute_time": lambda: _summary(trace.compute_time()),
        "cycle_time": lambda: _summary(trace.cycle_time()),
        "staleness": lambda: _summary(trace.staleness()),
    }
    findings = [
        {
            "claim": finding.claim, "holds": finding.holds, "value": _plain(finding.value),
            "accepted": [_plain(bound) for bound in finding.accepted],
            "p_value": _plain(finding.p_value), "expected": _plain(finding.expected),
            "meaning": finding.meaning,
        }
        for finding in trace.check().findings
    ]  # fmt: skip
    return {
        "gradients": len(trace),
        "columns": list(trace.data),
        **{name: _or_none(question) for name, question in questions.items()},
        "findings": findings,
        "header": dict(trace.header),
    }


def _summary(values: Any) -> dict[str, float]:
    import numpy as np

    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {
        "mean": float(np.mean(values)), "standard_deviation": float(np.std(values)),
        "quantile_5": float(low), "median": float(middle), "quantile_95": float(high),
    }  # fmt: skip


def _or_none(question: Any) -> Any:
    from sdde.errors import ArgumentError

    try:
        return question()
    except ArgumentError:
        return None


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
