"""Figures of simulated runs: axes in, artists drawn, axes out; never shows anything."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sdde.cluster.runs import Runs

_NAMES = {
    "test_loss": "test loss", "test_accuracy": "test accuracy", "test_error": "test error",
}  # fmt: skip
_CROWD = 20  # runs from which on a band says more than lines
_BARS = 30  # gradients of each worker that are drawn by default
_APPLIED, _DROPPED, _STOPPED = 0.0, 1.0, 2.0
_KINDS = (
    (_APPLIED, "applied", "C0"), (_DROPPED, "dropped", "C1"), (_STOPPED, "stopped", "0.6"),
)  # fmt: skip


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")[1]


def plot_curve(runs: "Runs", ax: "Axes | None" = None, *, of: str, against: str) -> "Axes":
    """Draw the mean of a quantity over the runs, and each run or the middle 90 % of many.

    Parameters
    ----------
    runs : Runs
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    of, against : str
        As for `Runs.curve`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    curve = runs.curve(of, against)
    axes = _axes(ax)
    finite, shown = np.isfinite(curve.mean), np.isfinite(curve.median)
    if len(runs.loss) >= _CROWD:
        top = np.where(np.isfinite(curve.high), curve.high, np.nan)
        axes.fill_between(
            curve.at[shown], curve.low[shown], top[shown], color="C0", alpha=0.2, linewidth=0,
            label="middle 90 % of runs",
        )  # fmt: skip
        axes.plot(curve.at[shown], curve.median[shown], color="C0", label="median")
    else:
        places, values = runs.records(of, against)
        for place, value in zip(places, values, strict=True):
            axes.plot(place, value, color="0.75", linewidth=0.7)
    axes.plot(curve.at[finite], curve.mean[finite], color="C1", linewidth=1.8, label="mean")
    if of.endswith("loss"):
        axes.set_yscale("log")
    lost = int(np.sum(runs.status == "diverged"))
    if lost:
        axes.set_title(f"{lost} of {len(runs.loss)} runs diverged", fontsize="medium")
    axes.set_xlabel(against)
    axes.set_ylabel(_label(runs, of))
    axes.legend(frameon=False)
    return axes


def _label(runs: "Runs", of: str) -> str:
    """Return what a curve shows; the minimum of a network is not known, so its loss is as it is."""
    from sdde.cluster.network import Network

    if of == "loss" and not isinstance(runs.objective, Network):
        return "loss above the minimum"
    return _NAMES.get(of, of)


def plot_run_staleness(runs: "Runs", ax: "Axes | None" = None) -> "Axes":
    """Draw the share of the gradients with each staleness, up to its 99.9 % quantile, and the mean.

    Parameters
    ----------
    runs : Runs
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not runs.staleness.counts.sum():
        raise checks.fail("runs", repr(runs), "applied no gradients")
    axes = _axes(ax)
    pmf = runs.staleness.pmf[: runs.staleness.quantile(0.999) + 1]
    axes.bar(np.arange(len(pmf)), pmf, width=0.8, color="C0")
    mean = runs.staleness.mean
    axes.axvline(mean, color="0.3", linewidth=1.0, linestyle="--", label=f"mean {mean:.3g}")
    axes.set(xlabel="staleness (updates)", ylabel="share of gradients")
    axes.legend(frameon=False)
    return axes


def plot_workers(
    runs: "Runs", ax: "Axes | None" = None, *, run: int = 0, until: float | None = None
) -> "Axes":
    """Draw what each worker does over time: a bar from each read to the gradient's arrival.

    Parameters
    ----------
    runs : Runs
        Simulated with ``trace=True``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    run : int
        Which run.
    until : float, optional
        End of the axis; by default where each worker has delivered about 30 gradients.

    Returns
    -------
    matplotlib.axes.Axes
    """
    number = checks.integer("run", run, highest=len(runs.loss) - 1)
    if not len(runs.log):
        raise checks.fail(
            "run", run, "has no trace", why="The runs were simulated without one.",
            remedy="simulate(..., trace=True)",
        )  # fmt: skip
    rows = runs.log[runs.log[:, 0] == number]
    if until is None:
        last = float(np.sort(rows[:, 3])[min(len(rows), _BARS * runs.workers) - 1])
    else:
        last = checks.positive("until", until, example=10.0)
    rows = rows[rows[:, 2] < last]
    axes = _axes(ax)
    for kind, label, color in _KINDS:
        part = rows[rows[:, 6] == kind]
        for worker in np.unique(part[:, 1]).astype(int):
            own = part[part[:, 1] == worker]
            axes.broken_barh(
                list(zip(own[:, 2], own[:, 3] - own[:, 2], strict=True)), (worker - 0.4, 0.8),
                facecolor=color, edgecolor="white", linewidth=0.3, label=label,
            )  # fmt: skip
            label = None
    axes.set(xlabel="time", ylabel="worker", xlim=(0.0, last), ylim=(-0.6, runs.workers - 0.4))
    axes.set_yticks(_ticks(runs.workers))
    axes.invert_yaxis()
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return axes


def _ticks(workers: int) -> Any:
    step = max(1, -(-workers // 16))
    return np.arange(0, workers, step)
