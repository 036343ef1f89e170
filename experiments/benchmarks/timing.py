"""Measuring side by side, judging against targets, and writing tables.

Contenders take turns, round after round, so that a processor that slows down slows all of them; a
ratio is taken within a round, and its median over rounds counts. Nothing here knows what is timed.
"""

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
SHORTEST = 0.02  # seconds: shorter runs are repeated within a round until they last that long


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds per run in each round, and processors kept busy meanwhile."""

    seconds: np.ndarray
    processors: float

    def over(self, other: "Times") -> tuple[float, float, float]:
        """Return median, smallest and largest ratio to `other`, round by round."""
        ratio = self.seconds / other.seconds
        return float(np.median(ratio)), float(ratio.min()), float(ratio.max())


def side_by_side(
    runs: Mapping[str, Callable[[int], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Time each run once per round, taking turns; runs are functions of a seed."""
    repeats: dict[str, int] = {}
    for name, run in runs.items():
        run(0)  # compiles
        began = time.perf_counter()
        run(0)
        repeats[name] = max(1, min(200, int(SHORTEST / (time.perf_counter() - began))))
    seconds = {name: np.empty(rounds) for name in runs}
    busy, elapsed = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0.0)
    for round_ in range(rounds):
        for name, run in runs.items():
            began, used, read = time.perf_counter(), time.process_time(), clock()
            for _ in range(repeats[name]):
                run(round_ + 1)
            seconds[name][round_] = clock() - read
            elapsed[name] += time.perf_counter() - began
            busy[name] += time.process_time() - used
    return {name: Times(seconds[name] / repeats[name], busy[name] / elapsed[name]) for name in runs}


@dataclass(frozen=True, slots=True)
class Target:
    """A measured value and its limit; None: it could not be measured here."""

    claim: str
    value: float | None
    limit: float
    at_least: bool = False
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the value was measured and is on the right side of the limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def verdict(targets: Sequence[Target]) -> tuple[bool, str]:
    """Return whether all measured targets are met, and a PASS or FAIL line with the numbers."""
    measured = [target for target in targets if target.value is not None]
    missed = [target for target in measured if not target.met]
    passed = bool(measured) and not missed
    text = "PASS" if passed else "FAIL"
    text += f": {len(measured) - len(missed)} of {len(measured)} targets met"
    if len(measured) < len(targets):
        names = ", ".join(target.claim for target in targets if target.value is None)
        text += f"; not measured: {names}"
    return passed, text


def targets_table(targets: Sequence[Target]) -> str:
    """Return the targets and what was measured as a Markdown table."""
    rows = []
    for target in targets:
        sign = "≥" if target.at_least else "≤"
        measured, met = "not measured", ""
        if target.value is not None:
            measured, met = f"{target.value:.2f} {target.unit}", "yes" if target.met else "**no**"
        rows.append([target.claim, f"{sign} {target.limit:g} {target.unit}", measured, met])
    return table(["target", "limit", "measured", "met"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up as plain text."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, strict=True)
        return "| " + " | ".join(cell.ljust(width) for cell, width in pairs) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def machine() -> str:
    """Return one sentence about where and when the numbers were taken."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((row.split(": ")[1] for row in lines if row.startswith("model name")), name)
        name += ", AVX-512" if any("avx512f" in row for row in lines) else ""
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {name}, {processors()} processors, Python"
        f" {platform.python_version()}, NumPy {np.__version__}, numba {metadata.version('numba')}."
    )


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write_section(name: str, text: str) -> None:
    """Replace what stands between the marks of `name` in docs/benchmarks.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = DOCS.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    DOCS.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
