"""A plan as one HTML page that a person can act on. Formats numbers, decides none."""

import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sdde
from sdde import report, report_figures
from sdde.cluster import SharedLink
from sdde.equation.laws import as_law
from sdde.errors import ArgumentError

from .async_sgd import AsyncSGD
from .plan_models import model_for, neighbours
from .renewal_counts import staleness_of
from .stability_map import stability_map

if TYPE_CHECKING:
    from .planning import Plan

_LIMIT_NAMES = {
    "max_workers": ("most workers with bounded expected loss", "at this learning rate"),
    "safe_workers": ("most workers that keep the margin from divergence", "of those considered"),
    "lowest_floor": ("lowest noise floor", "excess loss that remains, of those considered"),
    "max_learning_rate": ("largest learning rate", "beyond it the expected loss grows"),
    "learning_rate_for_target": (
        "learning rate that puts the floor at half the target", "with one worker"
    ),
    "link_saturation": ("workers that fill the shared link", "more only queue"),
}  # fmt: skip
_POINTS = 121  # of a loss curve
_FRONT = 8  # rows of time against cost


def page(plan: "Plan", *, name: str = "", command: str = "") -> str:
    """Return a plan as one self-contained page."""
    blocks = [
        *opening(plan),
        report.figures(
            [
                *([times_figure(plan)] if plan.workers is not None else []),
                stability_figure(plan),
                *([_losses(plan), *_staleness(plan)] if plan.workers is not None else []),
            ]
        ),
        *details(plan),
        *provenance(command, {}),
    ]
    return report.page(title(name), blocks, source=f"sdde {sdde.__version__} · plan")


def write(path: str | Path, text: str) -> Path:
    """Write a page and return its path.

    Raises
    ------
    sdde.ArgumentError
        If the file cannot be written.
    """
    target = Path(path)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{path} cannot be written: {error}.") from None
    return target.resolve()


def title(name: str) -> str:
    """Return the title of a page."""
    return f"How many workers? {name}".strip()


def opening(plan: "Plan", remarks: tuple[str, ...] = ()) -> list[str]:
    """Return the answer in one sentence, the figures to act on, and the reasons."""
    others = tuple(repr(row["method"]) for row in plan.methods if row["method"] != plan.method)
    said = plan.explain().split("\n\n")[0].splitlines()
    said = [line for line in said if not (others and line.startswith(others))]
    style = "answer" if plan.workers is not None else "answer warning"
    blocks = [report.paragraph(said[0], style=style)]
    if plan.workers is not None:
        low, high = plan.range or (plan.workers, plan.workers)
        near = f"{low} to {high} are nearly as fast" if high > low else ""
        first, last = plan.time_range or (plan.time_to_target, plan.time_to_target)
        spread = f"{number(first)} to {number(last)} by other treatments" if last > first else ""
        limits = dict(plan.limits)
        if plan.checked is not None and plan.checked.limits:  # for the choice that was made
            limits.pop("max_workers", None)
            found = plan.checked.limits.items()
            limits |= {key: one.simulated for key, one in found if math.isfinite(one.simulated)}
        most = limits.get("max_workers", math.inf)
        cards = [
            ("workers", str(plan.workers), near),
            ("learning rate", number(plan.learning_rate),
             f"diverges from {number(limits['max_learning_rate'])}"),
            ("method", method_text(plan.method), ""),
            (f"time to excess loss {number(plan.target_loss)}", number(plan.time_to_target),
             spread),
        ]  # fmt: skip
        if math.isfinite(most):
            first = math.floor(most) + 1
            cards.append(("diverges from", f"{first} workers", "at this learning rate"))
        blocks.append(report.facts(cards))
    blocks.append(report.bullets([*said[1:], *remarks]))
    if plan.warnings:
        blocks += [
            report.paragraph("Where this leaves what is known:", style="caution"),
            report.bullets(plan.warnings),
        ]
    return blocks


def times_figure(plan: "Plan", rows: Any = (), live: Any = None) -> str:
    """Return time against workers as a figure."""
    caption = f"Time until the expected excess loss stays below {number(plan.target_loss)}"
    caption += ", predicted, and as simulated (bars: two standard errors)." if rows else "."
    return report.figure(
        lambda axes: report_figures.draw_times(axes, plan, rows, live), key="times", caption=caption
    )


def stability_figure(plan: "Plan", rows: Any = ()) -> str:
    """Return the stability map as a figure."""
    stability = stability_map(plan)
    caption = "Which learning rates are possible with how many workers"
    caption += "; points are where the loss of simulated runs begins to grow." if rows else "."
    return report.figure(
        lambda axes: report_figures.draw_stability(axes, plan, stability, rows),
        key="stability", caption=caption,
    )  # fmt: skip


def _losses(plan: "Plan") -> str:
    """Return predicted losses at the planned number of workers and its neighbours."""
    assert plan.workers is not None
    counts = sorted({plan.workers, *neighbours(plan, plan.workers)})
    rows = {row.workers: row for row in plan.table}
    ends = [rows[count].time_to_target for count in counts]
    end = 1.5 * max(time for time in ends if math.isfinite(time))
    times = np.linspace(0.0, end, _POINTS)
    curves = []
    for count in counts:
        model = model_for(
            plan.objective, plan.system, plan.method, workers=count,
            learning_rate=rows[count].learning_rate,
        )  # fmt: skip
        loss = np.asarray(model.loss(times, plan.objective.start))
        curves.append((f"{count} workers", times, loss))
    return report.figure(
        lambda axes: report_figures.draw_predicted_losses(axes, curves, plan.target_loss),
        key="losses",
        caption="Expected excess loss at the planned number of workers and beside it.",
    )  # fmt: skip


def _staleness(plan: "Plan") -> list[str]:
    assert plan.workers is not None
    model = model_for(
        plan.objective, plan.system, plan.method, workers=plan.workers,
        learning_rate=plan.learning_rate,
    )  # fmt: skip
    if not isinstance(model, AsyncSGD):
        return []
    law = np.asarray(staleness_of(model)[0].pmf)
    return [
        report.figure(
            lambda axes: report_figures.draw_staleness(axes, law),
            key="staleness",
            caption=f"Predicted staleness of gradients with {plan.workers} workers.",
        )
    ]


def details(plan: "Plan") -> list[str]:
    """Return methods, limits, conditions, the table and the inputs."""
    return [
        *_methods(plan),
        *_front(plan),
        report.heading("Limits"),
        report.table(
            ("limit", "value", "meaning"),
            [
                (*_limit_name(key)[:1], number(value, "none"), *_limit_name(key)[1:])
                for key, value in plan.limits.items()
            ],
        ),
        *_checked_limits(plan),
        report.heading("What this rests on"),
        report.table(
            ("holds", "margin", "claim", "assumes", "source"),
            [
                ("yes" if item.holds else "no",
                 "-" if math.isnan(item.margin) else f"{item.margin:.2g}",
                 item.claim, item.assumptions, f"{item.reference} ({item.status})")
                for item in plan.conditions
            ],
            verdict=0,
        ),
        report.paragraph(
            "The loss is taken as quadratic around one minimum all the way, and cycle times as "
            "unchanged when workers are added; both are assumptions, not measurements.",
            style="small",
        ),
        *_sensitivity(plan),
        report.heading("Inputs"),
        report.table(("input", "value"), inputs(plan)),
        report.folded("All numbers of workers that were considered", [_considered(plan)]),
    ]  # fmt: skip


def _methods(plan: "Plan") -> list[str]:
    rows = []
    for row in plan.methods:
        time, workers = row["time_to_target"], row["workers"]
        known = workers is not None
        rows.append((
            method_text(row["method"]),
            workers if known else "-",
            number(row["learning_rate"]) if known else "-",
            number(time),
            f"{time / plan.time_to_target:.3g}" if known and plan.workers is not None else "-",
            number(row["cost"]) if known else "-",
            row["note"] or "-",
        ))  # fmt: skip
    names = ("method", "workers", "learning rate", "time", "against the plan", "cost", "note")
    drop = [i for i in range(len(names)) if all(row[i] == "-" for row in rows)]
    keep = [i for i in range(len(names)) if i not in drop]
    return [
        report.heading("Methods"),
        report.table([names[i] for i in keep], [[row[i] for i in keep] for row in rows]),
    ]


def _checked_limits(plan: "Plan") -> list[str]:
    """Return where simulated training diverges, if that was simulated."""
    if plan.checked is None or not plan.checked.limits:
        return []
    return [
        report.table(
            ("limit in simulation", "theory", "simulated", "standard error"),
            [
                (_limit_name(key)[0], number(limit.theory, "none"),
                 number(limit.simulated, "none"), number(limit.standard_error, "-"))
                for key, limit in plan.checked.limits.items()
            ],
        ),
        report.paragraph(
            f"With the {plan.workers} workers and the learning rate of the plan. A second moment "
            "that neither grows nor falls, in a population of clusters that are cloned in "
            "proportion to their squares.",
            style="small",
        ),
    ]  # fmt: skip


def _front(plan: "Plan") -> list[str]:
    rows = list(plan.pareto)
    if len(rows) < 2:
        return []
    if len(rows) > _FRONT:
        rows = [rows[round(i * (len(rows) - 1) / (_FRONT - 1))] for i in range(_FRONT)]
    return [
        report.heading("Time against cost"),
        report.table(
            ("time", "cost", "workers", "learning rate", "method"),
            [
                (number(row.time_to_target), number(row.cost), row.workers,
                 number(row.learning_rate), method_text(row.method))
                for row in rows
            ],
        ),
        report.paragraph(
            "Nothing that was tried is both faster and cheaper than one of these. Cost is workers "
            "times time times the price of a worker.",
            style="small",
        ),
    ]  # fmt: skip


def _sensitivity(plan: "Plan") -> list[str]:
    rows = plan.sensitivity
    if not rows:
        return []
    return [
        report.heading("What the answer depends on"),
        report.table(
            ("input", "time changes by", "workers if a fifth lower", "workers if a quarter higher"),
            [
                (row.input,
                 "from or to never" if math.isinf(row.time_elasticity)
                 else f"{row.time_elasticity:+.2g} %",
                 "none" if row.workers_if_lower is None else row.workers_if_lower,
                 "none" if row.workers_if_higher is None else row.workers_if_higher)
                for row in rows
            ],
        ),
        report.paragraph(
            "Time changes by so much for one per cent more of the input, all else as planned.",
            style="small",
        ),
    ]  # fmt: skip


def _limit_name(key: str) -> tuple[str, str]:
    return _LIMIT_NAMES.get(key, (key.replace("_", " "), ""))


def _considered(plan: "Plan") -> str:
    return report.table(
        ("workers", "learning rate", "damping", "updates per time", "staleness", "floor", "time"),
        [
            (row.workers, number(row.learning_rate), number(row.damping), number(row.update_rate),
             number(row.staleness), number(row.floor, "diverges"), number(row.time_to_target))
            for row in plan.table
        ],
    )  # fmt: skip


def inputs(plan: "Plan") -> list[tuple[str, str]]:
    """Return what a plan was asked, in words."""
    objective, system = plan.objective, plan.system
    values, noise = objective.eigenvalues, objective.noise
    rates = {row.learning_rate for row in plan.table}
    found = [
        ("target",
         f"excess loss {number(plan.target_loss)}, from {number(objective.initial_loss)}"),
        ("learning rate", f"{number(plan.learning_rate)}, given" if len(rates) == 1
         else "chosen for each number of workers"),
        ("eigenvalues", f"{values.size}, from {number(values.min())} to {number(values.max())} "
         f"(condition number {number(values.max() / values.min())})"),
        ("gradient noise", f"trace of the covariance {number(float(np.sum(noise**2)))}"),
        ("compute time", law_text(system.compute_time)),
    ]  # fmt: skip
    if system.communication is not None:
        found.append(("communication", law_text(system.communication)))
    if system.update_time is not None:
        found.append(("server's time for an update", law_text(system.update_time)))
    if system.workers is not None:
        found.append(("workers there are", str(system.workers)))
    return found


def law_text(value: Any) -> str:
    """Return a law, a list of laws or a link in words."""
    if isinstance(value, SharedLink):
        return f"{law_text(value.law)} on a link that all share, {value.capacity} at a time"
    if isinstance(value, list | tuple):
        laws = [as_law(item, "law") for item in value]
        low, high = min(law.mean for law in laws), max(law.mean for law in laws)
        return f"{len(laws)} laws, one per worker, with means from {number(low)} to {number(high)}"
    law = as_law(value, "law")
    frozen = getattr(value, "dist", None)
    words = {"measured": "measurements", "constant": "constant"}.get(law.kind, law.kind)
    if law.kind == "measured":
        words = f"{np.size(law.points)} measurements"
    if frozen is not None:
        parts = [*map(str, value.args), *(f"{key} = {one:g}" for key, one in value.kwds.items())]
        words = f"{frozen.name}({', '.join(parts)})"
    spread = math.sqrt(law.squared_variation)
    return f"{words}: mean {number(law.mean)}, coefficient of variation {number(spread)}"


def provenance(command: str, settings: dict[str, Any]) -> list[str]:
    """Return how to make a page again."""
    said = [f"sdde {sdde.__version__}, Python {platform.python_version()}, NumPy {np.__version__}."]
    if settings:
        said += [", ".join(f"{key} = {value}" for key, value in settings.items()) + "."]
    return [
        report.heading("How to make this page again"),
        *([report.preformatted(command)] if command else []),
        *(report.paragraph(line, style="small") for line in said),
    ]


def method_text(method: Any) -> str:
    """Return a method as it is written in Python, without empty brackets."""
    return repr(method).removesuffix("()")


def number(value: float, infinite: str = "never") -> str:
    """Return a number with four digits, or a word."""
    return f"{value:.4g}" if math.isfinite(value) else infinite
