"""A comparison as one HTML page that a person can act on. Formats numbers, computes none."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import sdde
from sdde import report, report_figures
from sdde.errors import ArgumentError

from . import plan_page
from .accounts import LIMIT, TIME
from .comparison_text import (
    COLUMNS,
    LIVE_COLUMNS,
    VERDICT_COLUMNS,
    agreement,
    cells,
    columns_mean,
    live_cells,
    verdict_cells,
)

if TYPE_CHECKING:
    from .comparison import Comparison


def page(comparison: "Comparison") -> str:
    """Return the comparison as one self-contained HTML page."""
    plan, rows = comparison.plan, comparison.rows
    times = [row for row in rows if row.tolerance == TIME]
    limits = [row for row in rows if row.tolerance == LIMIT]
    planned = [case for case in comparison.cases if case.workers == plan.workers]
    others = [case for case in comparison.cases if case.workers != plan.workers]
    blocks = [
        *plan_page.opening(plan, (agreement(comparison),)),
        report.figures(
            [
                plan_page.times_figure(plan, times, comparison.live),
                plan_page.stability_figure(plan, limits),
                *_staleness(comparison),
                *(_losses(comparison, case) for case in planned),
            ]
        ),
        report.heading("Does theory hold here?"),
        report.table(
            VERDICT_COLUMNS, [verdict_cells(verdict) for verdict in comparison.verdicts], verdict=1
        ),
        report.paragraph(columns_mean(comparison), style="small"),
        report.folded(
            f"All {len(rows)} quantities",
            [report.table(COLUMNS, [*map(cells, rows)], verdict=7, group=0)],
        ),
        report.heading("Fewer and more workers"),
        report.figures([_losses(comparison, case) for case in others]),
        *_live(comparison),
        *plan_page.details(plan),
        *_trace(comparison),
        *plan_page.provenance(
            str(comparison.settings.get("command", "")),
            {key: value for key, value in comparison.settings.items() if key != "command"},
        ),
    ]
    return report.page(
        plan_page.title(comparison.name), blocks, source=f"sdde {sdde.__version__} · compare"
    )


def _losses(comparison: "Comparison", case: Any) -> str:
    caption = (
        f"{case.workers} workers, learning rate {plan_page.number(case.learning_rate)}: mean "
        "excess loss; bands are two standard errors."
    )
    return report.figure(
        lambda axes: report_figures.draw_losses(axes, case, comparison.plan.target_loss),
        key=f"loss{case.workers}", caption=caption,
    )  # fmt: skip


def _staleness(comparison: "Comparison") -> list[str]:
    """Return the law of the staleness at the planned workers, and at those of a real run."""
    real = {}
    if comparison.trace is not None:
        try:
            counts = np.bincount(comparison.trace.staleness())
            real[comparison.trace.workers] = counts / counts.sum()
        except ArgumentError:  # the log holds no versions or no workers
            pass
    if comparison.live is not None:
        real[comparison.live.run.workers] = comparison.live.staleness
    drawn = []
    for case in comparison.cases:
        if case.workers != comparison.plan.workers and case.workers not in real:
            continue
        drawn.append(
            report.figure(
                lambda axes, case=case: report_figures.draw_staleness(
                    axes, case.predicted_staleness, case.staleness, real.get(case.workers)
                ),
                key=f"staleness{case.workers}",
                caption=f"Staleness of gradients with {case.workers} workers: predicted, simulated"
                + (" and in a real run." if case.workers in real else "."),
            )
        )
    return drawn


def _live(comparison: "Comparison") -> list[str]:
    account = comparison.live
    if account is None:
        return []
    target = comparison.plan.target_loss
    return [
        report.heading("A real run, and why it differs"),
        report.bullets(account.words),
        report.table(LIVE_COLUMNS, live_cells(account)),
        report.paragraph(
            f"Each line drops one assumption of the line above. The law of the staleness in the "
            f"real run shares {100.0 * account.overlap:.0f} % with the predicted one. "
            f"{account.run.workers} worker processes, {account.run.updates[-1]} updates, status: "
            f"{account.run.status}.",
            style="small",
        ),
        report.figures(
            [
                report.figure(
                    lambda axes: report_figures.draw_live(axes, account, target),
                    key="live",
                    caption="Excess loss of the real run, and of the accounts that lead from the "
                    "plan to it.",
                )
            ]
        ),
    ]


def _trace(comparison: "Comparison") -> list[str]:
    trace = comparison.trace
    if trace is None:
        return []
    rows = [
        (
            finding.claim,
            {True: "yes", False: "no", None: "?"}[finding.holds],
            "-" if math.isnan(finding.value) else plan_page.number(finding.value),
            f"{finding.accepted[0]:.3g} to {finding.accepted[1]:.3g}",
            finding.meaning,
        )
        for finding in trace.check().findings
    ]
    return [
        report.heading("What the log of the real run says"),
        report.table(("claim", "holds", "measured", "accepted", "meaning"), rows, verdict=1),
        report.folded("The log", [report.preformatted(str(trace))]),
    ]
