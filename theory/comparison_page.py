"""A comparison as a table for the terminal and as one HTML page. Formats numbers, computes none."""

import math
from typing import TYPE_CHECKING, Any

import sdde

if TYPE_CHECKING:
    from .accounts import Estimate, Row
    from .comparison import Comparison


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never" if math.isnan(value) or value > 0 else "-inf"
    return f"{value:.4g}"


def _estimate(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "-"
    if estimate.error == 0.0 or not math.isfinite(estimate.value):
        return _number(estimate.value)
    return f"{estimate.value:.4g} ± {estimate.error:.1g}"


def _cells(row: "Row") -> list[str]:
    return [
        str(row.workers),
        row.quantity,
        "-" if row.paths is None else _number(row.sdde),
        _estimate(row.paths),
        _number(row.theory),
        _estimate(row.runs),
        "-" if math.isnan(row.difference) else f"{100 * row.difference:+.1f} %",
        "yes" if row.agrees else "NO",
    ]


COLUMNS = (
    "workers", "quantity", "SDDE theory", "SDDE paths", "theory", "discrete runs", "runs - theory",
    "agrees",
)  # fmt: skip


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i in (1, 7) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def terminal(comparison: "Comparison") -> str:
    """Return the comparison as text for a terminal."""
    lines = _aligned([list(COLUMNS), *(_cells(row) for row in comparison.rows)])
    rule = "-" * max(map(len, lines))
    count = sum(row.agrees for row in comparison.rows)
    text = [f"sdde compare: {comparison.name}"] if comparison.name else []
    text += [comparison.plan.explain(), ""]
    if comparison.trace is not None:
        text += [str(comparison.trace.check()), ""]
    text += [lines[0], rule, *lines[1:], rule]
    text.append(f"{count} of {len(comparison.rows)} quantities agree. {tolerance(comparison)}")
    return "\n".join(text)


def tolerance(comparison: "Comparison") -> str:
    """Say what the columns are and what agreement means."""
    from .accounts import EXACT, MODEL, STEP, Z

    treatment = {
        "poisson": "is the same closed form",
        "regular": "corrects it for arrivals that are more regular than a Poisson process",
        "exact": "is exact for these workers",
    }[comparison.plan.arrivals]
    return (
        f"'SDDE theory' is the closed form of the SDDE with Poisson arrivals, 'theory' "
        f"{treatment}. "
        f"Paths must lie within {Z:g} standard errors (a false alarm once in 150,000 statements) "
        f"plus "
        f"{100 * STEP:g} % of the one, runs within {Z:g} standard errors plus {100 * MODEL:g} % "
        f"of the other "
        f"({100 * EXACT:g} % for the update rate and the staleness)."
    )


def page(comparison: "Comparison") -> str:
    """Return the comparison as one self-contained HTML page."""
    from matplotlib import pyplot

    from sdde import report

    drawing = comparison.figure()
    blocks = [
        report.paragraph(_answer(comparison), style="answer"),
        report.paragraph(_agreement(comparison)),
        report.figure(drawing, caption=_caption(comparison)),
        report.heading("Closed form, SDDE paths and discrete runs"),
        report.table(COLUMNS, [_cells(row) for row in comparison.rows], verdict=7),
        report.paragraph(tolerance(comparison), style="small"),
        report.heading("The plan"),
        report.preformatted(comparison.plan.explain()),
    ]
    pyplot.close(drawing)
    if comparison.trace is not None:
        blocks += _trace_blocks(comparison.trace)
    blocks += [
        report.heading("How to make this page again"),
        report.paragraph(_provenance(comparison), style="small"),
    ]
    title = f"How many workers? {comparison.name}".strip()
    return report.page(title, blocks)


def _answer(comparison: "Comparison") -> str:
    plan = comparison.plan
    if plan.workers is None:
        return "No number of workers reaches the target loss at this learning rate."
    return (
        f"Use {plan.workers} workers: at learning rate {plan.learning_rate:.4g} the excess loss "
        f"is expected "
        f"to settle below {plan.target_loss:.4g} after {_number(plan.time_to_target)} time units."
    )


def _agreement(comparison: "Comparison") -> str:
    failed = [
        f"{row.quantity} ({row.workers} workers)" for row in comparison.rows if not row.agrees
    ]
    if not failed:
        return f"All {len(comparison.rows)} quantities below agree within their tolerance."
    return f"Outside their tolerance: {'; '.join(failed)}."


def _caption(comparison: "Comparison") -> str:
    text = (
        "Left: mean excess loss against time; bands are two standard errors. Middle: predicted "
        "time to the "
        "target against the number of workers, with simulated times. Right: staleness of the "
        "gradients."
    )
    if any(len(case.accounts) > 4 for case in comparison.cases):
        text += (
            " The dotted line is the real, non-quadratic objective, trained on the same machines."
        )
    return text


def _trace_blocks(trace: Any) -> list[str]:
    from sdde import report

    rows = [
        (
            finding.claim,
            _number(finding.value) if finding.holds is not None else "-",
            f"{finding.accepted[0]:.3g} to {finding.accepted[1]:.3g}",
            {True: "yes", False: "no", None: "?"}[finding.holds],
            finding.meaning,
        )
        for finding in trace.check().findings
    ]
    return [
        report.heading("What the log of the real run says"),
        report.preformatted(str(trace)),
        report.table(("claim", "measured", "accepted", "holds", "meaning"), rows, verdict=3),
    ]


def _provenance(comparison: "Comparison") -> str:
    settings = ", ".join(f"{key} = {value}" for key, value in comparison.settings.items())
    return f"sdde {sdde.__version__}; {settings}."
