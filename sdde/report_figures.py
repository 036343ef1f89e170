"""The figures of pages: functions that draw into axes, in colours that a page replaces.

Each takes plain arrays and results of the theory and the simulator; nothing is computed but what
is needed to place ink.
"""

import math
from typing import Any

import numpy as np

from sdde.report_style import INK

_SHOWN = 0.999  # of a law of whole numbers
_TALL = 1e6  # targets that a loss may be above and still be shown
_NARROW = 8.0  # axes over less than this factor get labels between powers of ten
_STYLES = {
    "theory": ("theory", {"color": INK["ink"], "linewidth": 1.8, "zorder": 4}),
    "runs": ("simulated runs", {"color": INK["orange"], "linewidth": 1.4}),
    "paths": ("SDDE paths", {
        "color": INK["blue"], "linestyle": "", "marker": "o", "markersize": 3.2, "markevery": 4,
    }),
    "objective": ("real objective, simulated", {
        "color": INK["violet"], "linewidth": 1.5, "linestyle": "--",
    }),
}  # fmt: skip
_LIVE = (
    ("plan", {"color": INK["ink"], "linewidth": 1.8}),
    ("theory, own cycles", {"color": INK["blue"], "linewidth": 1.5}),
    ("objective, own law",
     {"color": INK["violet"], "linewidth": 1.5, "linestyle": "--"}),
    ("objective, own order",
     {"color": INK["orange"], "linewidth": 1.5, "linestyle": ":"}),
    ("real run", {"color": INK["green"], "linewidth": 2.0}),
)  # fmt: skip


def draw_times(axes: Any, plan: Any, rows: Any = (), live: Any = None) -> None:
    """Draw predicted time to the target against workers, and what was simulated or seen."""
    axes.set(xscale="log", yscale="log")
    good = [row for row in plan.table if math.isfinite(row.time_to_target)]
    axes.plot(
        [row.workers for row in good], [row.time_to_target for row in good], ".-",
        color=INK["ink"], linewidth=1.6, markersize=4, label="predicted",
    )  # fmt: skip
    most = max((row.workers for row in good), default=1)
    never = [row.workers for row in plan.table if row.workers > most]
    right = 1.15 * most
    if never:
        first = min(min(never), plan.limits.get("max_workers", math.inf) + 1)
        right = 2.5 * most
        axes.axvspan(first, right, color=INK["red"], alpha=0.13, linewidth=0, label="never")
    if plan.range is not None and plan.range[1] > plan.range[0]:
        axes.axvspan(*plan.range, color=INK["green"], alpha=0.15, linewidth=0, label="near-optimal")
    for row in rows:
        for found, color, marker, label, shift in (
            (row.paths, INK["blue"], "s", "SDDE paths", 0.97),
            (row.runs, INK["orange"], "o", "simulated runs", 1.03),
        ):
            if found is not None and math.isfinite(found.value):
                axes.errorbar(
                    row.workers * shift, found.value, 2.0 * found.error, fmt=marker, color=color,
                    markersize=5, capsize=3, label=_once(axes, label), zorder=5,
                )  # fmt: skip
    if plan.checked is not None:
        made = [one for one in plan.checked.table if one.method == plan.method]
        made = [one for one in made if math.isfinite(one.time_to_target)]
        axes.plot(
            [one.workers for one in made], [one.time_to_target for one in made], "x",
            color=INK["blue"], markersize=5, label="simulated choices",
        )  # fmt: skip
    if live is not None and math.isfinite(live.steps[-1].needed.value):
        axes.plot(
            live.run.workers, live.steps[-1].needed.value, "*", color=INK["green"], markersize=11,
            label="real run", zorder=6,
        )  # fmt: skip
    if plan.workers is not None:
        axes.plot(
            plan.workers, plan.time_to_target, "o", color=INK["green"], markersize=9,
            markerfacecolor="none", markeredgewidth=1.8, label="the plan", zorder=6,
        )  # fmt: skip
    axes.set(xlabel="workers", ylabel=f"time to excess loss {plan.target_loss:.3g}")
    axes.set_xlim(0.9 * min(row.workers for row in plan.table), right)
    _label_powers(axes, "x", whole=True)
    _label_powers(axes, "y")


def draw_stability(axes: Any, plan: Any, stability: Any, rows: Any = ()) -> None:
    """Draw which learning rates are possible with how many workers."""
    axes.set(xscale="log", yscale="log")
    workers, limit, floor = stability.workers, stability.divergence, stability.floor
    chosen = [(row.workers, row.learning_rate) for row in plan.table]
    inside = [rate for count, rate in chosen if workers[0] <= count <= workers[-1]]
    low = 0.5 * min([*floor, *inside, plan.learning_rate])
    high = 3.0 * float(limit.max())
    axes.fill_between(
        workers, limit, high, color=INK["red"], alpha=0.16, linewidth=0, label="diverges"
    )
    if (floor < limit).any():
        axes.fill_between(
            workers, floor, limit, color=INK["orange"], alpha=0.16, linewidth=0,
            label="settles above the target",
        )  # fmt: skip
    axes.plot(workers, limit, color=INK["red"], linewidth=1.6, label="predicted limit")
    for row in rows:
        if math.isfinite(row.runs.value):
            axes.errorbar(
                row.workers, row.runs.value, 2.0 * row.runs.error, fmt="o", color=INK["orange"],
                markersize=5, capsize=3, label=_once(axes, "simulated limit"), zorder=5,
            )  # fmt: skip
    known = [(count, rate) for count, rate in chosen if workers[0] <= count <= workers[-1]]
    if known:
        axes.plot(
            *zip(*known, strict=True), color=INK["ink"], linewidth=1.2, linestyle="--",
            label="learning rate of the plan",
        )  # fmt: skip
    if plan.workers is not None:
        axes.plot(
            plan.workers, plan.learning_rate, "o", color=INK["green"], markersize=9,
            markerfacecolor="none", markeredgewidth=1.8, label="the plan", zorder=6,
        )  # fmt: skip
    axes.set(xlabel="workers", ylabel="learning rate", ylim=(low, high))
    axes.set_xlim(workers[0], 1.08 * max(workers[-1], workers[0] + 1.0))
    _label_powers(axes, "x", whole=True)
    _label_powers(axes, "y")


def draw_staleness(axes: Any, predicted: Any, measured: Any = None, real: Any = None) -> None:
    """Draw the law of the staleness as predicted, as simulated, and in a real run."""
    laws = [np.asarray(law) for law in (predicted, measured, real) if law is not None]
    ends = [int(np.searchsorted(np.cumsum(law), _SHOWN * law.sum())) for law in laws]
    right = max(ends) + 1
    if measured is not None:
        axes.bar(
            np.arange(len(measured)), measured, width=0.85, color=INK["orange"], alpha=0.5,
            linewidth=0, label="simulated runs",
        )  # fmt: skip
    if real is not None:
        axes.plot(
            np.arange(len(real)), real, "D", color=INK["green"], markersize=3.8, label="real run"
        )
    if predicted is not None:
        axes.plot(
            np.arange(len(predicted)), predicted, ".-", color=INK["ink"], linewidth=1.2,
            markersize=4, label="theory",
        )  # fmt: skip
    axes.set(xlim=(-0.6, right), xlabel="staleness (updates)", ylabel="share of gradients")
    axes.set_ylim(0.0, None)


def draw_losses(axes: Any, case: Any, target: float) -> None:
    """Draw the mean loss of each account at one number of workers; bands are two errors."""
    for key, (label, style) in _STYLES.items():
        account = case.accounts.get(key)
        if account is None:
            continue
        loss = np.where(np.isfinite(account.loss), account.loss, np.nan)
        axes.plot(case.times, loss, label=label, **style)
        _band(axes, case.times, account, style["color"])
    axes.axhline(target, color=INK["green"], linewidth=1.0, linestyle="--", label="target")
    axes.set(xlabel="time", ylabel="mean excess loss")
    axes.set_xlim(0.0, float(case.times[-1]))
    _loss_axis(axes, [account.loss for account in case.accounts.values()], target)


def draw_predicted_losses(axes: Any, curves: Any, target: float) -> None:
    """Draw predicted losses at several numbers of workers: (label, times, losses) each."""
    colors = (INK["blue"], INK["ink"], INK["orange"])
    for (label, times, loss), color in zip(curves, colors, strict=False):
        axes.plot(times, np.where(np.isfinite(loss), loss, np.nan), color=color, label=label)
    axes.axhline(target, color=INK["green"], linewidth=1.0, linestyle="--", label="target")
    axes.set(xlabel="time", ylabel="expected excess loss")
    axes.set_xlim(0.0, None)
    _loss_axis(axes, [loss for _, _, loss in curves], target)


def draw_live(axes: Any, account: Any, target: float) -> None:
    """Draw the loss of a real run among the accounts that lead to it."""
    for name, style in _LIVE:
        curve = account.curves[name]
        axes.plot(account.times, curve.loss, label=name, **style)
        _band(axes, account.times, curve, style["color"])
    axes.axhline(target, color=INK["green"], linewidth=1.0, linestyle="--")
    axes.set(xlabel="time", ylabel="excess loss")
    axes.set_xlim(0.0, float(account.times[-1]))
    _loss_axis(axes, [curve.loss for curve in account.curves.values()], target)


def _band(axes: Any, times: Any, account: Any, color: str) -> None:
    known = np.isfinite(account.loss) & np.isfinite(account.error) & (account.error > 0.0)
    if known.any():
        loss, error = account.loss[known], 2.0 * account.error[known]
        axes.fill_between(
            times[known], np.maximum(loss - error, 0.02 * loss), loss + error, color=color,
            alpha=0.2, linewidth=0,
        )  # fmt: skip


def _loss_axis(axes: Any, losses: Any, target: float) -> None:
    values = np.concatenate([np.asarray(loss) for loss in losses])
    values = values[np.isfinite(values) & (values > 0.0)]
    low = min(target, float(values.min(initial=target)))
    high = max(target, min(float(values.max(initial=target)), _TALL * target))
    axes.set_yscale("log")
    axes.set_ylim(0.6 * low, 1.8 * high)
    _label_powers(axes, "y")


def _once(axes: Any, label: str) -> str | None:
    """Return a label for the first artist that has it only."""
    return None if label in axes.get_legend_handles_labels()[1] else label


def _label_powers(axes: Any, name: str, *, whole: bool = False) -> None:
    """Give a logarithmic axis plain labels: text of figures is not typeset."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = getattr(axes, f"{name}axis")
    low, high = getattr(axes, f"get_{name}lim")()
    decades = math.log10(high / low)
    if whole:
        subs = (1.0, 2.0, 5.0) if decades > 1.0 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    elif decades < math.log10(_NARROW):
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    else:
        subs = (1.0, 2.0, 5.0) if decades < 1.8 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _label(value)))
    axis.set_minor_formatter(NullFormatter())


def _label(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    lead = value / 10.0**exponent
    power = "10" + f"{exponent}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if abs(lead - 1.0) < 1e-6 else f"{lead:.3g}·{power}"
