"""Figures: axes in, artists drawn, axes out; never shows anything.

Matplotlib is imported when a figure is drawn, not before.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sdde.cluster.trace_log import Trace
    from sdde.solving.orders import Convergence


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")[1]


def plot_convergence(convergence: "Convergence", ax: "Axes | None" = None) -> "Axes":
    """Draw strong and weak errors against the time step, with lines of order 1/2, 1 and 2.

    Parameters
    ----------
    convergence : Convergence
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(ax)
    dts = convergence.dts
    for k, order in enumerate(convergence.orders):
        both = (
            (
                "strong",
                "o-",
                order.strong,
                convergence.strong_errors,
                convergence.strong_deviations,
            ),
            ("weak", "s--", order.weak, convergence.weak_errors, convergence.weak_deviations),
        )
        for kind, style, slope, errors, deviations in both:
            size = np.abs(errors[k])
            if not np.any(size > 0.0):
                continue
            label = f"{order.method}, {kind}" + ("" if math.isnan(slope) else f": {slope:.2f}")
            low = np.minimum(2.0 * deviations[k], 0.9 * size)  # stays visible on a log scale
            axes.errorbar(
                dts, size, yerr=[low, 2.0 * deviations[k]], fmt=style, color=f"C{k}",
                markersize=4, linewidth=1.0, capsize=2, label=label,
                markerfacecolor="white" if kind == "weak" else None,
            )  # fmt: skip
    _draw_slopes(axes, dts, convergence)
    axes.set(xscale="log", yscale="log", xlabel="dt", ylabel="error at the end")
    axes.legend(loc="best", frameon=False, fontsize="small")
    return axes


def _draw_slopes(axes: "Axes", dts: Any, convergence: "Convergence") -> None:
    """Draw reference lines through the largest error at the coarsest time step."""
    errors = np.abs(np.concatenate([convergence.strong_errors, convergence.weak_errors]))
    errors = errors[np.isfinite(errors) & (errors > 0.0)]
    if errors.size == 0:
        return
    top = 2.0 * errors.max()
    for order, style in ((0.5, ":"), (1.0, "-."), (2.0, "--")):
        line = top * (dts / dts[0]) ** order
        axes.plot(dts, line, "0.6", linestyle=style, linewidth=0.8)
        axes.annotate(
            f"{order:g}", (dts[-1], line[-1]), color="0.4", fontsize="small",
            xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
        )  # fmt: skip


def plot_comparison(comparison: Any) -> Any:
    """Draw a comparison: loss against time, time against workers, staleness; return the figure.

    Parameters
    ----------
    comparison : sdde.theory.comparison.Comparison

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13.5, 4.0), layout="constrained")
    _draw_losses(axes[0], comparison)
    _draw_times(axes[1], comparison)
    _draw_staleness_of(axes[2], comparison)
    return figure


def _draw_staleness_of(axes: "Axes", comparison: Any) -> None:
    """Draw the staleness of the traced number of workers, or else of the planned one."""
    trace: Any = comparison.trace
    case = comparison.cases[-1]
    if trace is not None and "worker" in trace:
        case = next((one for one in comparison.cases if one.workers == trace.workers), case)
    axes.bar(range(len(case.staleness)), case.staleness, color="C1", alpha=0.5, label="runs")
    if case.predicted_staleness is not None:
        axes.plot(case.predicted_staleness, "k.-", linewidth=1.0, label="theory")
    logged = trace is not None and ("staleness" in trace or "read_version" in trace)
    if trace is not None and logged and "worker" in trace and trace.workers == case.workers:
        counts = np.bincount(trace.staleness())
        axes.plot(counts / counts.sum(), "C2s", markersize=4, label="real run")
    ends = np.flatnonzero(np.cumsum(case.staleness) > 0.999)
    shown = max(int(ends[0]) if ends.size else len(case.staleness), case.workers) + 2
    axes.set(
        xlim=(-0.6, shown), xlabel="staleness (updates)", ylabel="share of gradients",
        title=f"{case.workers} workers",
    )  # fmt: skip
    axes.legend(frameon=False)


def _draw_losses(axes: "Axes", comparison: Any) -> None:
    """Draw the mean loss of each account for the planned number of workers and one other."""
    styles = {
        "sdde": ("SDDE, closed form", "k:"), "paths": ("SDDE paths", "C0o"),
        "theory": ("theory", "k-"), "runs": ("discrete runs", "C1-"),
        "objective": ("real objective", "C2:"),
    }  # fmt: skip
    shown: set[str] = set()
    starts = [float(case.accounts["theory"].loss[0]) for case in comparison.cases]
    highest = 30.0 * max(*starts, float(comparison.plan.target_loss))
    for case in comparison.cases:
        for key, account in case.accounts.items():
            name, style = styles[key]
            label = name if name not in shown else None
            shown.add(name)
            width = 1.6 if case.workers == comparison.plan.workers else 0.9
            axes.plot(
                case.times[1:], account.loss[1:], style, linewidth=width, label=label,
                markersize=3.5, markevery=4,
            )  # fmt: skip
            low = np.maximum(account.loss - 2 * account.error, 1e-300)
            if account.error.any():
                axes.fill_between(
                    case.times, low, account.loss + 2 * account.error,
                    color=style[:2], alpha=0.2, linewidth=0,
                )  # fmt: skip
        loss = case.accounts["theory"].loss
        at = int(np.flatnonzero(loss <= highest)[-1])
        rising = loss[at] > loss[0]
        axes.annotate(
            str(case.workers), (case.times[at], loss[at]), xytext=(0, 4 if rising else -6),
            textcoords="offset points", fontsize=9, fontweight="bold", ha="center",
            va="bottom" if rising else "top",
        )  # fmt: skip
    axes.axhline(comparison.plan.target_loss, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="time", ylabel="mean excess loss")
    axes.set_ylim(0.4 * axes.get_ylim()[0], 3.0 * highest)
    axes.legend(frameon=False, fontsize=9, loc="lower left", title="numbers: workers")


def _draw_times(axes: "Axes", comparison: Any) -> None:
    """Draw predicted time to the target against workers, and what paths and runs took."""
    plot_plan(comparison.plan, axes)
    for row in comparison.rows:
        if not row.quantity.startswith("time to"):
            continue
        for estimate, color, shift in ((row.paths, "C0", -0.06), (row.runs, "C1", 0.06)):
            if estimate is None:
                continue
            axes.errorbar(
                row.workers + shift, estimate.value, 2 * estimate.error,
                fmt="o", color=color, markersize=5, capsize=3,
            )  # fmt: skip


def plot_trace(trace: "Trace", axes: Any = None) -> Any:
    """Draw what a log of a real run says: arrivals, staleness, compute times, workers.

    Parameters
    ----------
    trace : sdde.cluster.Trace
    axes : array or sequence of four matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    array of matplotlib.axes.Axes
        The four axes; one whose quantity the log does not hold says so.
    """
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(2, 2, figsize=(9.0, 6.5), layout="constrained")[1]
    four = np.asarray(axes, dtype=object).ravel()
    if four.size != 4:
        raise checks.fail("axes", four.size, "is not the number of axes", remedy="Give 4 axes.")
    drawings = (_draw_arrivals, _draw_staleness, _draw_compute_time, _draw_workers)
    titles = ("arrivals", "staleness", "compute time", "cycle time by worker")
    for ax, draw, title in zip(four, drawings, titles, strict=True):
        ax.set_title(title)
        try:
            draw(ax, trace)
        except ArgumentError:
            ax.text(0.5, 0.5, "not in this log", ha="center", va="center", transform=ax.transAxes)
    return np.asarray(axes, dtype=object)


def _draw_arrivals(ax: "Axes", trace: "Trace") -> None:
    """Draw the rate of arrivals along the run, and its mean."""
    rate, times = trace.update_rate(), trace["apply_time"]
    counts, edges = np.histogram(times, bins=min(200, max(1, len(times) // 20)))
    ax.stairs(counts / np.diff(edges), edges, color="C0")
    ax.axhline(rate, color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xlabel="time", ylabel="gradients per unit of time", ylim=(0.0, None))


def _draw_staleness(ax: "Axes", trace: "Trace") -> None:
    """Draw the shares of staleness 0, 1, ... and the mean."""
    stale = trace.staleness()
    shares = np.bincount(stale) / len(stale)
    ax.bar(np.arange(len(shares)), shares, width=0.8, color="C0")
    ax.axvline(float(stale.mean()), color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xlabel="updates of others", ylabel="share of gradients")


def _draw_compute_time(ax: "Axes", trace: "Trace") -> None:
    """Draw the density of compute times up to their 99.5 % quantile, and the mean."""
    values = trace.compute_time()
    kept = values[values <= np.quantile(values, 0.995)]
    ax.hist(kept, bins=60, density=True, color="C0")
    ax.axvline(float(values.mean()), color="0.4", linewidth=0.8, linestyle="--")
    ax.set(xlabel="compute time", ylabel="density")


def _draw_workers(ax: "Axes", trace: "Trace") -> None:
    """Draw the middle half and the 5 and 95 % quantiles of the cycles of each worker."""
    cycles = {code: part for code, part in trace.cycles_by_worker().items() if part.size}
    for place, part in enumerate(cycles.values()):
        low, first, middle, third, high = np.quantile(part, [0.05, 0.25, 0.5, 0.75, 0.95])
        ax.plot([place, place], [low, high], color="C0", linewidth=1.0)
        ax.plot([place, place], [first, third], color="C0", linewidth=5.0, solid_capstyle="butt")
        ax.plot(place, middle, "o", color="white", markersize=3)
    labels = [trace.worker_names[code] if trace.worker_names else str(code) for code in cycles]
    ax.set_xticks(range(len(labels)), labels=labels, rotation=90 if len(labels) > 12 else 0)
    ax.set(xlabel="worker", ylabel="cycle time", ylim=(0.0, None))


def plot_plan(plan: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw the time to the target against the number of workers, and what is impossible.

    Parameters
    ----------
    plan : sdde.theory.Plan
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(ax)
    rows = [row for row in plan.table if np.isfinite(row.time_to_target)]
    if rows:
        axes.plot(
            [row.workers for row in rows], [row.time_to_target for row in rows],
            "k.-", linewidth=1.2, markersize=4, label="predicted",
        )  # fmt: skip
    never = [row.workers for row in plan.table if not np.isfinite(row.time_to_target)]
    most = max((row.workers for row in rows), default=1)
    beyond = [workers for workers in never if workers > most]
    if beyond:
        first = min(min(beyond), plan.limits.get("max_workers", np.inf) + 1)
        axes.axvspan(first, 3 * most + 3, color="C3", alpha=0.15, linewidth=0, label="never")
        axes.set_xlim(0.9, 3 * most + 3)
    if plan.workers is not None:
        axes.plot(
            plan.workers, plan.time_to_target, "o", color="C2", label=f"{plan.workers} workers"
        )
        axes.axvspan(*plan.range, color="C2", alpha=0.12, linewidth=0)
        axes.legend(frameon=False)
    axes.set(xscale="log", xlabel="workers", ylabel=f"time to excess loss {plan.target_loss:.3g}")
    if rows:
        axes.set_yscale("log")
    return axes


def plot_stability_chart(chart: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw where two parameters make a delay system stable, and how fast it decays there.

    Parameters
    ----------
    chart : sdde.theory.StabilityChart
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(ax)
    decay = np.where(chart.rate < 0.0, -chart.rate, np.nan)
    mesh = axes.pcolormesh(chart.x_values, chart.y_values, decay, cmap="Blues", shading="nearest")
    axes.figure.colorbar(mesh, ax=axes, label="decay rate")
    for curve in chart.boundary:
        axes.plot(curve[:, 0], curve[:, 1], color="C3", linewidth=1.5)
    return axes
