"""What every paper experiment shares: committed numbers, verdicts, figures, the last line.

A study returns tables of numbers and claims with verdicts. They are compared with those committed
in a JSON file beside the experiment: text must be the same, a number may differ by `Z` standard
errors of the difference of two independent runs, so that other random numbers pass too (about one
false alarm in a thousand experiments). PASS means that numbers and verdicts are those committed;
whether a claim of the paper holds here is said by its own verdict.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
Z = 5.0  # standard errors; two-sided normal tail 6e-7 for each number
SAME = 1e-6  # relative rounding allowed to numbers without randomness

COLOURS = ("#2a5fa5", "#d1622b", "#4b8f5a", "#8a5aa8", "#7a7a7a")


@dataclass(frozen=True, slots=True)
class Number:
    """A measured value and its standard error; error 0 says that no randomness is in it.

    A text given as `shown` is displayed instead and never compared.
    """

    value: float
    error: float = 0.0
    shown: str = ""

    def __str__(self) -> str:
        if self.shown:
            return self.shown
        if not math.isfinite(self.value):
            return "∞"
        if not self.error > 0.0:
            return f"{self.value:.4g}"
        digits = 1 - math.floor(math.log10(self.error))
        scale = max(abs(self.value), self.error)
        if scale >= 1e5 or scale < 1e-3:
            power = math.floor(math.log10(scale))
            small = max(digits + power, 0)
            shown = f"({self.value / 10.0**power:.{small}f} ± {self.error / 10.0**power:.{small}f})"
            return f"{shown}e{power}"
        digits = max(digits, 0)
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"

    def agrees(self, other: "Number") -> bool:
        """Return whether two independent measurements may be of the same quantity."""
        if not math.isfinite(self.value) or not math.isfinite(other.value):
            return math.isfinite(self.value) == math.isfinite(other.value)
        room = Z * math.hypot(self.error, other.error) + SAME * abs(other.value)
        return abs(self.value - other.value) <= room


Cell = str | Number


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; the first cell of a row names it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        """Return the table with columns that also line up as plain text."""
        rows = [[str(cell) for cell in row] for row in self.rows]
        widths = [max(len(row[i]) for row in [self.head, *rows]) for i in range(len(self.head))]

        def line(cells: Sequence[str]) -> str:
            pairs = zip(cells, widths, strict=True)
            return "| " + " | ".join(cell.ljust(width) for cell, width in pairs) + " |"

        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return f"**{self.title}**\n\n" + "\n".join([line(self.head), rule, *map(line, rows)])


@dataclass(frozen=True, slots=True)
class Claim:
    """What a paper states, whether that was seen here, and the numbers that say so."""

    text: str
    verdict: str
    evidence: str

    def __post_init__(self) -> None:
        if self.verdict not in ("reproduced", "partly reproduced", "not reproduced", "not tested"):
            raise ValueError(self.verdict)


@dataclass(frozen=True, slots=True)
class Result:
    """All that a study found, and what its figure is drawn from."""

    tables: Sequence[Table]
    claims: Sequence[Claim]
    drawing: Any = field(default=None)

    def markdown(self) -> str:
        """Return the tables, and verdicts if there are any, as the documentation shows them."""
        if not self.claims:
            return "\n\n".join(table.markdown() for table in self.tables)
        verdicts = Table(
            "Verdicts",
            ["the paper states", "here", "evidence"],
            [[claim.text, claim.verdict, claim.evidence] for claim in self.claims],
        )
        return "\n\n".join([*(table.markdown() for table in self.tables), verdicts.markdown()])

    def plain(self) -> dict[str, Any]:
        """Return tables and claims as values for JSON."""

        def cell(value: Cell) -> Any:
            if isinstance(value, str):
                return value
            return [_rounded(value.value), _rounded(value.error, 3), value.shown]

        return {
            "tables": [
                {
                    "title": t.title,
                    "head": list(t.head),
                    "rows": [list(map(cell, r)) for r in t.rows],
                }
                for t in self.tables
            ],
            "claims": [
                {"text": c.text, "verdict": c.verdict, "evidence": c.evidence} for c in self.claims
            ],
        }

    @staticmethod
    def read(plain: dict[str, Any]) -> "Result":
        """Return what `plain` wrote."""

        def cell(value: Any) -> Cell:
            if isinstance(value, str):
                return value
            size, error = (math.nan if part is None else float(part) for part in value[:2])
            return Number(size, error, value[2])

        tables = [
            Table(t["title"], t["head"], [list(map(cell, r)) for r in t["rows"]])
            for t in plain["tables"]
        ]
        return Result(tables, [Claim(**claim) for claim in plain["claims"]])


def _rounded(value: float, digits: int = 9) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def differences(new: Result, committed: Result) -> Iterator[str]:
    """Say where a result differs from the committed one by more than chance."""
    if [t.title for t in new.tables] != [t.title for t in committed.tables]:
        yield "the tables are not those committed"
        return
    for table, old in zip(new.tables, committed.tables, strict=True):
        if list(table.head) != list(old.head) or len(table.rows) != len(old.rows):
            yield f"{table.title}: the table has another shape"
            continue
        for row, known in zip(table.rows, old.rows, strict=True):
            for name, cell, before in zip(table.head, row, known, strict=True):
                if isinstance(cell, Number) and isinstance(before, Number):
                    same = cell.agrees(before)
                else:
                    same = cell == before
                if not same:
                    yield f"{table.title}, {row[0]}, {name}: {cell}, committed {before}"
    for claim, known in zip(new.claims, committed.claims, strict=True):
        if claim.verdict != known.verdict:
            yield f"claim {claim.text!r}: {claim.verdict}, committed {known.verdict}"


def mean(values: Any, axis: int = 0) -> Number:
    """Return the mean of independent values with its standard error."""
    data = np.asarray(values, dtype=float)
    return Number(float(data.mean()), float(data.std(ddof=1) / math.sqrt(data.shape[axis])))


def share(hits: Any) -> Number:
    """Return a share of independent trials; its error counts half a trial more on either side."""
    data = np.asarray(hits, dtype=bool)
    p = (data.sum() + 0.5) / (data.size + 1.0)
    return Number(float(data.mean()), float(math.sqrt(p * (1.0 - p) / data.size)))


def time_to(out: Any, target: float, budget: float, clock: Any = None) -> tuple[Number, Any]:
    """Return the mean first time at a loss, `budget` for runs that never get there, and all times.

    Shown as "never" if no run gets there, with the share of those that do if some do not. `clock`
    replaces the times of the records, for example by their numbers of updates.
    """
    hit, clock = out.loss <= target, out.t if clock is None else clock
    first = np.take_along_axis(np.broadcast_to(clock, hit.shape), hit.argmax(axis=1)[:, None], 1)
    times = np.where(hit.any(axis=1), first[:, 0], budget)
    number, reached = mean(times), int(hit.any(axis=1).sum())
    if not reached:
        return Number(number.value, number.error, "never"), times
    if reached < len(hit):
        return Number(number.value, number.error, f"> {number} ({reached} of {len(hit)})"), times
    return number, times


def jackknife(statistic: Callable[[Any], float], runs: Any) -> Number:
    """Return a statistic of independent runs (first axis) with its jackknife standard error."""
    data = np.asarray(runs)
    count = len(data)
    parts = np.array([statistic(np.delete(data, i, axis=0)) for i in range(count)])
    spread = math.sqrt((count - 1.0) / count * float(np.sum((parts - parts.mean()) ** 2)))
    return Number(float(statistic(data)), spread)


def save_figure(path: Path, draw: Callable[[Any], Any], drawing: Any) -> None:
    """Draw and write a figure; the look that it sets ends with it."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    with mpl.rc_context():
        drawn = draw(drawing)
        drawn.savefig(path)
        plt.close(drawn)


def style() -> Any:
    """Set the look of every figure and return pyplot."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import pyplot as plt

    mpl.rcParams.update({
        "axes.prop_cycle": cycler(color=COLOURS), "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlesize": 10, "axes.labelsize": 9.5,
        "axes.titlelocation": "left", "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
        "legend.frameon": False, "legend.fontsize": 8.5, "lines.linewidth": 1.5,
        "lines.markersize": 4.5, "savefig.dpi": 110, "figure.constrained_layout.use": True,
    })  # fmt: skip
    return plt


def main(
    file: str,
    study: Callable[[bool, int], Result],
    draw: Callable[[Any], Any],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a study, compare it with its committed numbers, print the verdict; 0 means PASS."""
    source = Path(file)
    name = source.stem
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}")
    parser.add_argument("--quick", action="store_true", help="a smaller study, under a minute")
    parser.add_argument("--seed", type=int, default=1, help="another seed passes too (default 1)")
    parser.add_argument("--figure", type=Path, help="write the figure to this file")
    parser.add_argument(
        "--commit", action="store_true", help="make these numbers, page and figure the committed"
    )
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    result = study(options.quick, options.seed)
    print(f"\n{result.markdown()}\n\n{time.perf_counter() - began:.0f} s", flush=True)
    numbers = source.with_suffix(".json")
    known = json.loads(numbers.read_text(encoding="utf-8")) if numbers.exists() else {}
    size = "quick" if options.quick else "full"
    if options.commit:
        known[size] = result.plain()
        numbers.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if not options.quick:
            write_page(page_of(name), Result.read(known[size]))
    figure = figure_of(name) if options.commit and not options.quick else options.figure
    if figure is not None:
        save_figure(figure, draw, result.drawing)
    if size not in known:
        print(f"FAIL: no committed numbers for the {size} study")
        return 1
    faults = list(differences(result, Result.read(known[size])))
    for fault in faults:
        print(f"differs: {fault}")
    count = sum(isinstance(cell, Number) for t in result.tables for row in t.rows for cell in row)
    held = sum(claim.verdict == "reproduced" for claim in result.claims)
    print(f"claims of the paper reproduced here: {held} of {len(result.claims)}")
    word = "FAIL" if faults else "PASS"
    print(
        f"{word}: {count} numbers and {len(result.claims)} verdicts against those committed, "
        f"{len(faults)} differ"
    )
    return 1 if faults else 0


def page_of(name: str) -> Path:
    """Return the documentation page of an experiment."""
    return ROOT / "docs" / "papers" / f"{name.removeprefix('paper_')}.md"


def figure_of(name: str) -> Path:
    """Return the committed figure of an experiment."""
    return ROOT / "docs" / "_static" / f"{name}.png"


def write_page(page: Path, result: Result) -> None:
    """Replace what stands between the marks of a page by the result's tables and verdicts."""
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{result.markdown()}\n\n{end}{after}", encoding="utf-8")
