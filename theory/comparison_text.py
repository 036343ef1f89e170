"""A comparison in words and aligned columns, for terminals and pages. Computes no numbers."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .accounts import Estimate, Row, Verdict
    from .comparison import Comparison
    from .live_account import LiveAccount

COLUMNS = (
    "workers", "quantity", "SDDE theory", "SDDE paths", "theory", "discrete runs", "runs - theory",
    "agrees",
)  # fmt: skip
VERDICT_COLUMNS = ("quantity", "agrees", "beyond chance", "allowed", "because")
LIVE_COLUMNS = (
    "account", "no longer assumed", "updates per unit time", "mean staleness", "time to target",
)  # fmt: skip


def number(value: float) -> str:
    """Return a number with four digits, or a word for what is not finite."""
    if not math.isfinite(value):
        return "never" if math.isnan(value) or value > 0 else "-inf"
    return f"{value:.4g}"


def estimate(found: "Estimate | None") -> str:
    """Return a simulated number with its standard error."""
    if found is None:
        return "-"
    if found.error == 0.0 or not math.isfinite(found.value):
        return number(found.value)
    return f"{found.value:.4g} ± {found.error:.1g}"


def cells(row: "Row") -> list[str]:
    """Return one row as text."""
    return [
        str(row.workers),
        row.quantity,
        "-" if row.paths is None else number(row.sdde),
        estimate(row.paths),
        number(row.theory),
        estimate(row.runs),
        "-"
        if math.isnan(row.difference)
        else f"{100 * row.difference:+.1f} %".replace("-0.0", "0.0"),
        "yes" if row.agrees else "NO",
    ]


def verdict_cells(verdict: "Verdict") -> list[str]:
    """Return one verdict as text."""
    left = verdict.beyond_chance
    return [
        verdict.quantity,
        "yes" if verdict.agrees else "NO",
        "-" if math.isnan(left) else "never" if math.isinf(left) else f"{100 * left:.1f} %",
        " or ".join(f"{100 * share:g} %" for share in verdict.allowed),
        verdict.meaning,
    ]


def live_cells(account: "LiveAccount") -> list[list[str]]:
    """Return the steps from the plan to the real run as text."""
    return [
        [
            step.name, step.dropped or "-", number(step.update_rate), number(step.staleness),
            estimate(step.needed),
        ]
        for step in account.steps
    ]  # fmt: skip


def aligned(rows: list[list[str]], left: tuple[int, ...]) -> list[str]:
    """Return rows with columns of equal width; those numbered in `left` begin at the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def terminal(comparison: "Comparison") -> str:
    """Return the comparison as text for a terminal."""
    lines = aligned([list(COLUMNS), *map(cells, comparison.rows)], (1, 7))
    rule = "-" * max(map(len, lines))
    text = [f"sdde compare: {comparison.name}"] if comparison.name else []
    text += [comparison.plan.explain(), ""]
    if comparison.trace is not None:
        text += [str(comparison.trace.check()), ""]
    text += [lines[0], rule, *lines[1:], rule, columns_mean(comparison), ""]
    shown = [verdict_cells(verdict)[:4] for verdict in comparison.verdicts]
    text += aligned([list(VERDICT_COLUMNS[:4]), *shown], (0, 1))
    text += ["", agreement(comparison)]
    if comparison.live is not None:
        text += [
            "",
            "Real run:",
            *aligned([list(LIVE_COLUMNS), *live_cells(comparison.live)], (0, 1)),
        ]
        text += [f"  {words}" for words in comparison.live.words]
    return "\n".join(text)


def agreement(comparison: "Comparison") -> str:
    """Say in one sentence what agrees."""
    failed = [
        f"{row.quantity} ({row.workers} workers)" for row in comparison.rows if not row.agrees
    ]
    count = len(comparison.rows)
    if not failed:
        return f"{count} of {count} quantities agree within their tolerance."
    return f"{count - len(failed)} of {count} quantities agree; not: {'; '.join(failed)}."


def columns_mean(comparison: "Comparison") -> str:
    """Say what the columns are and what agreement means."""
    from .accounts import STEP, Z

    return (
        "'SDDE theory' is the closed form of the SDDE with Poisson arrivals, 'theory' the "
        "treatment of arrivals that fits these machines best; '±' is one standard error. A row "
        f"agrees if the runs lie within {Z:g} standard errors (a false alarm once in 150,000 "
        "statements) plus a share of the prediction that the model may be wrong by, and paths "
        "likewise with "
        f"{100 * STEP:g} % for their time step."
    )
