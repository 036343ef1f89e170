"""A plan in words: the answer first, then why, then what it rests on.

Reads a finished `Plan` and writes plain text; decides and computes nothing.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan_search import PlanRow
    from .planning import Plan


def explain(plan: "Plan") -> str:
    """Return the text of a plan."""
    lines = _infeasible(plan) if plan.workers is None else _answer(plan)
    lines += [_other(row) for row in plan.methods if row["method"] != plan.method]
    lines += ["", _table(plan)]
    if len(plan.pareto) > 1:
        lines += ["", *_front(plan)]
    if plan.warnings:
        lines += ["", "Where this leaves what is known:"]
        lines += [f"  {warning}" for warning in plan.warnings]
    lines += ["", "What this rests on:"]
    lines += [f"  {condition}" for condition in plan.conditions]
    how = (
        "Rounds take their mean time"
        if plan.arrivals == "rounds"
        else (f"Arrivals are treated as {plan.arrivals!r}")
    )
    lines.append(f"  {how}; the loss is taken as quadratic all the way.")
    return "\n".join(lines)


def _other(row: dict[str, Any]) -> str:
    if row["workers"] is None:
        return f"{row['method']!r}: {row['note'].splitlines()[0]}"
    return (
        f"{row['method']!r} needs {row['time_to_target']:.4g} with {row['workers']} workers and "
        f"learning rate {row['learning_rate']:.4g}."
    )


def _answer(plan: "Plan") -> list[str]:
    assert plan.range is not None
    assert plan.time_range is not None
    low, high = plan.range
    checked = plan.checked
    if checked is not None:
        alone = checked.theory
        begun = "with all workers beginning together" if checked.start == "together" else ""
        return [
            f"Use {plan.workers} workers and {plan.method!r} with learning rate "
            f"{plan.learning_rate:.4g}: in simulation the expected excess loss stays at or below "
            f"{plan.target_loss:.4g} after time {plan.time_to_target:.4g} "
            f"(standard error {checked.standard_error:.2g}{begun and ', ' + begun}).",
            f"Theory alone: {alone.workers} workers and {alone.method!r} with learning rate "
            f"{alone.learning_rate:.4g}, predicted {checked.predicted:.4g}, "
            f"in simulation {alone.time_to_target:.4g}.",
            *_simulated_limits(plan),
            *_beyond(plan),
        ]
    lines = [
        f"Use {plan.workers} workers and {plan.method!r} with learning rate "
        f"{plan.learning_rate:.4g}: the expected "
        f"excess loss stays at or below {plan.target_loss:.4g} after time "
        f"{plan.time_to_target:.4g}.",
        f"Between {low} and {high} workers the time is within 5 % of that."
        if low < high
        else "No other number of workers comes within 5 % of that.",
    ]
    if plan.learning_rate_range is not None:
        slow, fast = plan.learning_rate_range
        lines.append(
            f"So it is with {plan.workers} workers and learning rates {slow:.3g} to {fast:.3g}."
        )
    first, last = plan.time_range
    if last > first * (1.0 + 1e-3):
        shown = f"{last:.4g}" if math.isfinite(last) else "never"
        lines.append(f"Other treatments of the arrivals say {first:.4g} to {shown}.")
    lines += plan.verdict
    return lines + _beyond(plan)


def _simulated_limits(plan: "Plan") -> list[str]:
    """Say where simulated training diverges, and where theory puts that."""
    assert plan.checked is not None
    ends = {
        "max_learning_rate": f"with {plan.workers} workers from learning rate",
        "max_workers": "at this learning rate with more workers than",
    }
    return [
        f"In simulation training diverges {ends[name]} {limit.simulated:.4g} (standard error "
        f"{limit.standard_error:.2g}; theory says {limit.theory:.4g})."
        for name, limit in plan.checked.limits.items()
        if math.isfinite(limit.simulated)
    ]


def _beyond(plan: "Plan") -> list[str]:
    assert plan.workers is not None
    lines = []
    saturation = plan.limits.get("link_saturation", math.inf)
    if plan.workers > saturation:
        lines.append(
            f"The link is full from {saturation:.3g} workers on; beyond, more of them only act "
            "like momentum and raise the noise floor."
        )
    most = plan.limits.get("max_workers", math.inf)
    simulated = plan.checked is not None and plan.checked.limits  # which are told instead
    if math.isfinite(most) and not simulated:
        lines.append(f"From {most + 1:.0f} workers on training diverges at this learning rate.")
    return lines


def _front(plan: "Plan") -> list[str]:
    rows = list(plan.pareto)
    if len(rows) > 6:
        rows = [rows[round(i * (len(rows) - 1) / 5)] for i in range(6)]
    lines = ["Time against cost (nothing is both faster and cheaper):"]
    lines += [
        f"  time {row.time_to_target:.4g}, cost {row.cost:.4g}: {row.workers} workers, "
        f"{row.method!r}, learning rate {row.learning_rate:.3g}"
        for row in rows
    ]
    return lines


def _infeasible(plan: "Plan") -> list[str]:
    lines = [f"No number of workers reaches the target loss {plan.target_loss:.4g}."]
    lowest = plan.limits["lowest_floor"]
    if math.isinf(lowest) or plan.limits["safe_workers"] == 0:
        limit = plan.limits["max_learning_rate"]
        lines.append(
            f"Learning rate {plan.learning_rate:.4g} diverges, or nearly so, even with "
            f"{plan.table[0].workers} worker(s); the limit there is {limit:.4g}."
        )
        return lines
    lines.append(
        f"The target is below the noise floor: gradient noise keeps the expected loss above "
        f"{lowest:.4g} at learning rate {plan.learning_rate:.4g}, whatever the number of workers."
    )
    rate = plan.limits.get("learning_rate_for_target")
    if rate is not None:
        lines.append(
            f"A learning rate of {rate:.3g} puts the floor of one worker at half the target."
        )
    return lines


def _table(plan: "Plan") -> str:
    names = ("workers", "learning rate", "damping", "staleness", "floor", "time")
    widths = (8, 14, 9, 10, 10, 10)
    head = " ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    return "\n".join([head, *(_line(row, plan) for row in _shown(plan))])


def _shown(plan: "Plan") -> list["PlanRow"]:
    """Return at most about fifteen rows: the best, its neighbours, and a spread of others."""
    rows = list(plan.table)
    if len(rows) <= 15:
        return rows
    best = next((i for i, row in enumerate(rows) if row.workers == plan.workers), 0)
    keep = {round(i * (len(rows) - 1) / 11) for i in range(12)} | {best - 1, best, best + 1}
    return [row for i, row in enumerate(rows) if i in keep]


def _line(row: "PlanRow", plan: "Plan") -> str:
    def shown(value: float, infinite: str) -> str:
        return f"{value:.4g}" if math.isfinite(value) else infinite

    mark = " <-" if row.workers == plan.workers else ""
    return (
        f"{row.workers:>8} {row.learning_rate:>14.4g} {row.damping:>9.3g} {row.staleness:>10.4g} "
        f"{shown(row.floor, 'diverges'):>10} {shown(row.time_to_target, 'never'):>10}{mark}"
    )
