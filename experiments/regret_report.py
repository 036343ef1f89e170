"""What the planner's regret study found: a line a system, distributions, worst cases, the page."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reporting import COLOURS, save_figure, style

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "trust.md"
FIGURE = ROOT / "docs" / "_static" / "planner_regret.png"
# Targets of the study: median and worst, in per cent.
TARGETS = {
    "regret, theory alone": (1.0, 5.0),
    "regret, checked": (1.0, 5.0),
    "prediction, theory alone": (2.0, 8.0),
    "prediction, checked": (2.0, 8.0),
    "loss curve, theory alone": (3.0, math.inf),
    "divergence limit, theory alone": (2.0, 2.0),
    "divergence limit, checked": (2.0, 2.0),
}

# Theory alone stands beside what the check makes of it, which is what has to meet the targets.
BESIDE = {
    name for name in TARGETS
    if name.endswith("theory alone") and name.replace("theory alone", "checked") in TARGETS
}  # fmt: skip


def measures(row: dict[str, Any]) -> dict[str, float]:
    """Return the figures of one system, in per cent; nan where there is none."""
    answer = row["answer"]
    if answer["workers"] is None:
        return {name: math.inf for name in TARGETS}
    best, own, checked = (answer[name]["time"] for name in ("best", "theory", "checked"))
    return {
        "regret, theory alone": 100.0 * (own / best - 1.0),
        "regret, checked": 100.0 * (checked / best - 1.0),
        "prediction, theory alone": 100.0 * abs(answer["predicted"] / own - 1.0),
        "prediction, checked": 100.0 * abs(answer["checked_predicted"] / checked - 1.0),
        "loss curve, theory alone": 100.0 * answer["curve"],
        "divergence limit, theory alone": limit_error(
            answer, answer["limit_predicted"], answer["limit_simulated"]
        ),
        "divergence limit, checked": limit_error(
            answer, answer["checked_limit"], answer["checked_limit_simulated"]
        ),
    }


def limit_error(answer: dict[str, Any], told: float, simulated: float) -> float:
    """Return the relative error of a divergence limit in per cent; 0 within one worker.

    A simulated limit is where growth begins, a broken number; that of theory is the last whole
    number of workers below it.
    """
    if not math.isfinite(told) or not math.isfinite(simulated):
        return math.inf
    if answer["limit"] == "workers":
        told, simulated = math.floor(told), math.floor(simulated)
        if abs(told - simulated) <= 1.0:
            return 0.0
    return 100.0 * abs(told / simulated - 1.0)


def line(row: dict[str, Any]) -> str:
    """Return one line about a system."""
    found, answer = measures(row), row["answer"]
    if answer["workers"] is None:
        return f"{row['name']}: no plan; best {row['search']['best'][0]}"
    shown = ", ".join(f"{name} {value:.2f} %" for name, value in found.items())
    choices = ", ".join(
        f"{name} {answer[name]['workers']} at {answer[name]['learning_rate']:.4g}"
        for name in ("theory", "checked", "best")
    )
    return f"{row['name']}: {choices}; {shown}"


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians, quantiles and worst cases of every figure, and whether targets are met."""
    all_measures = [measures(row) for row in rows]
    found: dict[str, Any] = {"systems": len(rows), "figures": {}}
    met = bool(rows)
    for name, (median, worst) in TARGETS.items():
        pairs = [
            (values[name], row["name"])
            for values, row in zip(all_measures, rows, strict=True)
            if not math.isnan(values[name])
        ]
        if not pairs:
            continue
        values = np.array([value for value, _ in pairs])
        within = float(np.median(values)) <= median and float(values.max()) <= worst
        met &= within or name in BESIDE
        found["figures"][name] = {
            "median": float(np.median(values)), "p90": float(np.quantile(values, 0.9)),
            "worst": float(values.max()), "count": len(values),
            "above": int((values > worst).sum()), "met": within,
            "worst cases": [[label, value] for value, label in sorted(pairs, reverse=True)[:3]],
        }  # fmt: skip
    bests = [row["answer"]["best"] for row in rows if row["answer"]["workers"] is not None]
    errors = [100.0 * best["error"] / best["time"] for best in bests]
    found["own error"] = {"median": float(np.median(errors)), "worst": float(np.max(errors))}
    seconds = [row["answer"]["plan_seconds"] for row in rows]
    found["seconds"] = {"median": float(np.median(seconds)), "worst": float(np.max(seconds))}
    found["met"] = met
    return found


def text(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the distributions and the worst cases as Markdown."""
    head = "| in % | systems | median | 90 % of them below | worst | target | met |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, part in found["figures"].items():
        median, worst = TARGETS[name]
        ends = f"{median:g}" + (f" / {worst:g}" if math.isfinite(worst) else "")
        lines.append(
            f"| {name} | {part['count']} | {part['median']:.2f} | {part['p90']:.2f} | "
            f"{part['worst']:.2f} | {ends} | {'yes' if part['met'] else 'no'} |"
        )
    lines.append("")
    for name, part in found["figures"].items():
        cases = ", ".join(f"{label} ({value:.1f} %)" for label, value in part["worst cases"])
        lines.append(f"* Worst of {name}: {cases}.")
    own = found["own error"]
    lines += [
        "",
        f"Standard error of the best simulated time: {own['median']:.2f} % in the median, "
        f"{own['worst']:.2f} % at most. Processor time of a checked plan: "
        f"{found['seconds']['median']:.1f} s in the median, {found['seconds']['worst']:.1f} s at "
        "most.",
    ]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Return all systems as a table."""
    head = (
        "| system | times | link | modes | condition | learning rate | noise | best | theory | "
        "checked | regret, theory | regret, checked | prediction | prediction, checked | curve | "
        "limit | limit, checked |"
    )
    lines = [head, "|" + "---|" * 17]
    for row in rows:
        facts, answer, found = row["facts"], row["answer"], measures(row)
        if answer["workers"] is None:
            continue
        rate = "free" if facts["free"] else f"{facts['alpha']:.3f}"
        cells = [
            row["name"], facts["times"], "shared" if facts["link"] else "", facts["eigenvalues"],
            f"{facts['condition']:.3g}", rate, facts["noise"],
            *(answer[name]["workers"] for name in ("best", "theory", "checked")),
            *(
                f"{found[name]:.2f}"
                for name in (
                    "regret, theory alone", "regret, checked", "prediction, theory alone",
                    "prediction, checked", "loss curve, theory alone",
                    "divergence limit, theory alone", "divergence limit, checked",
                )
            ),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw the distributions of regret and of errors of the predicted times."""
    plt = style()
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.0))
    found = [measures(row) for row in rows]
    for ax, kind in zip(axes, ("regret", "prediction"), strict=True):
        for colour, who in zip(COLOURS, ("theory alone", "checked"), strict=False):
            values = np.array([values[f"{kind}, {who}"] for values in found])
            values = np.sort(np.clip(values[~np.isnan(values)], 0.02, 1e6))
            share = np.arange(1, values.size + 1) / values.size
            ax.step(values, 100.0 * share, where="post", color=colour, label=who)
        median, worst = TARGETS[f"{kind}, theory alone"]
        ax.plot([median, worst], [50.0, 100.0], "k+", markersize=9, label="wanted")
        ax.set(xscale="log", xlabel="%", ylim=(0, 103), xlim=(0.02, 100.0))
        ax.set_xticks([0.1, 1.0, 10.0, 100.0], ["0.1", "1", "10", "100"])
    axes[0].set(title="regret at most", ylabel="% of the systems")
    axes[1].set(title="error of the predicted time at most")
    axes[0].legend(loc="lower right")
    return figure


def commit(numbers: Path, found: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write the results, the page and the figure of the documentation."""
    plain = {"summary": found, "systems": rows}
    numbers.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    body = f"{text(found, rows)}\n\n{table(rows)}"
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")
    save_figure(FIGURE, draw, rows)
