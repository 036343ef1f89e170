"""Figures of solutions: axes in, artists drawn, axes out; never shows anything."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sdde.solving.solution import Solution

_FAN = 30  # paths drawn; more make a blot
_FEW = 4  # paths of a portrait
_COLORS = 10  # and components with a place in the legend


def draw_solution(
    solution: "Solution", ax: "Axes | None", kind: str, t: Any, delay: Any, components: Any
) -> "Axes":
    """Draw a solution; the arguments are those of `Solution.plot`."""
    checks.choice("kind", kind, ("paths", "histogram", "phase", "delay"))
    for name, value, of in (("t", t, "histogram"), ("delay", delay, "delay")):
        if value is not None and kind != of:
            raise checks.fail(
                name, value, f"means nothing to kind = {kind!r}", remedy=f'kind = "{of}" takes it.'
            )
    draw: Callable[[Axes], None]
    if kind == "paths":
        draw = _paths(solution)
    elif kind == "histogram":
        draw = _histogram(solution, t)
    else:
        pair = _components(solution, components, 2 if kind == "phase" else 1)
        draw = _phase(solution, *pair) if kind == "phase" else _delay(solution, delay, pair[0])
    axes = ax
    if axes is None:
        from matplotlib import pyplot

        size = (7.0, 4.0) if kind in ("paths", "histogram") else (5.0, 5.0)
        axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    draw(axes)
    return axes


def _states(solution: "Solution") -> np.ndarray:
    return solution.x.reshape(*solution.x.shape[:2], math.prod(solution.state_shape))


def _label(solution: "Solution", i: int) -> str:
    return f"x[{i}]" if solution.state_shape else "x"


def _needs_paths(solution: "Solution", kind: str) -> None:
    if solution.moments is not None:
        raise ArgumentError(
            f"kind = {kind!r} needs paths, and only moments were kept.\n"
            "  Solve again with save= a number of steps or times, and fewer paths."
        )


def _components(solution: "Solution", components: Any, count: int) -> tuple[int, ...]:
    dim = math.prod(solution.state_shape)
    try:
        pair = tuple(components)
    except TypeError:
        pair = (components,)
    if count == 2 and dim < 2:
        raise checks.fail(
            "kind", "phase", "needs a system, and the equation is scalar",
            remedy='kind = "delay" draws x(t) against x(t - delay).',
        )  # fmt: skip
    if len(pair) < count:
        raise checks.fail("components", components, "are not two", remedy="components = (0, 1).")
    return tuple(
        checks.integer(f"components[{k}]", i, highest=dim - 1) for k, i in enumerate(pair[:count])
    )


def _paths(solution: "Solution") -> Callable[["Axes"], None]:
    states, times = _states(solution), solution.t

    def draw(axes: "Axes") -> None:
        for i in range(states.shape[2]):
            label, color = _label(solution, i), f"C{i % _COLORS}"
            if solution.moments is not None:
                _draw_moments(axes, solution, i, label, color)
                continue
            if solution.paths == 1:
                axes.plot(times, states[0, :, i], color=color, linewidth=1.0, label=label)
                continue
            axes.plot(times, states[:_FAN, :, i].T, color=color, alpha=0.25, linewidth=0.6)
            finite = states[np.isfinite(states[:, :, i]).all(axis=1), :, i]
            if len(finite):
                low, high = np.quantile(finite, [0.05, 0.95], axis=0)
                axes.fill_between(times, low, high, color=color, alpha=0.15, linewidth=0)
                axes.plot(times, finite.mean(axis=0), color=color, label=f"mean of {label}")
        axes.set(xlabel="t", ylabel="x")
        if 1 < states.shape[2] <= _COLORS or solution.paths > 1:
            axes.legend(loc="best", frameon=False)

    return draw


def _draw_moments(axes: "Axes", solution: "Solution", i: int, label: str, color: str) -> None:
    """Draw the mean and the widest band of the quantiles kept, or else of two deviations."""
    kept = solution.moments
    if kept is None:
        return
    times = solution.t
    mean, var = (values.reshape(len(times), -1)[:, i] for values in (kept.mean, kept.var))
    low, high, band = mean - 2.0 * np.sqrt(var), mean + 2.0 * np.sqrt(var), "± 2 deviations"
    shares = kept.request.quantiles
    if len(shares) and shares.min() < 0.5 < shares.max():
        rows = kept.quantiles.reshape(len(shares), len(times), -1)[:, :, i]
        low, high = rows[shares.argmin()], rows[shares.argmax()]
        band = f"{100 * shares.min():g} % to {100 * shares.max():g} %"
    axes.plot(times, mean, color=color, label=f"mean of {label}, {band}")
    axes.fill_between(times, low, high, color=color, alpha=0.15, linewidth=0)


def _histogram(solution: "Solution", t: Any) -> Callable[["Axes"], None]:
    _needs_paths(solution, "histogram")
    at = float(solution.t[-1]) if t is None else checks.number("t", t)
    states = solution(at).reshape(solution.paths, -1)

    def draw(axes: "Axes") -> None:
        for i, values in enumerate(states.T):
            finite = values[np.isfinite(values)]
            bins = np.histogram_bin_edges(finite, "auto" if len(finite) > 1 else 1)
            bins = np.linspace(bins[0], bins[-1], min(len(bins), 101))
            color, label = f"C{i % _COLORS}", _label(solution, i)
            axes.hist(finite, bins, density=True, color=color, alpha=0.35, label=label)
            axes.axvline(finite.mean(), color=color, linewidth=1.2)
        axes.set(xlabel=f"x at t = {at:g}", ylabel="density")
        if 1 < states.shape[1] <= _COLORS:
            axes.legend(loc="best", frameon=False)

    return draw


def _phase(solution: "Solution", i: int, j: int) -> Callable[["Axes"], None]:
    _needs_paths(solution, "phase")
    states = _states(solution)

    def draw(axes: "Axes") -> None:
        _draw_orbits(axes, states[:_FEW, :, i], states[:_FEW, :, j])
        axes.set(xlabel=_label(solution, i), ylabel=_label(solution, j))

    return draw


def _delay(solution: "Solution", delay: Any, i: int) -> Callable[["Axes"], None]:
    _needs_paths(solution, "delay")
    problem = solution.problem
    lag = delay
    if lag is None and problem is not None:
        lag = next((one for one in problem.delays if isinstance(one, float) and one > 0.0), None)
    if lag is None:
        raise checks.fail(
            "delay", delay, "is missing, and the problem has no constant one",
            remedy="For example delay = 1.0.",
        )  # fmt: skip
    lag = checks.positive("delay", lag)
    late = solution.t - lag >= solution.t[0] - 1e-9
    if late.sum() < 2:
        raise checks.fail(
            "delay", lag, f"is as long as the times saved, {solution.t[-1] - solution.t[0]:g}",
            remedy="Save more times, or give a shorter delay.",
        )  # fmt: skip
    before = solution(np.maximum(solution.t[late] - lag, solution.t[0]))
    now, then = _states(solution)[:_FEW, late, i], before.reshape(solution.paths, late.sum(), -1)

    def draw(axes: "Axes") -> None:
        _draw_orbits(axes, then[:_FEW, :, i], now)
        name = _label(solution, i)
        axes.set(xlabel=f"{name} at t - {lag:g}", ylabel=f"{name} at t")

    return draw


def _draw_orbits(axes: "Axes", horizontal: np.ndarray, vertical: np.ndarray) -> None:
    """Draw each path as a line from its start (ring) to its end (dot)."""
    for k, (x, y) in enumerate(zip(horizontal, vertical, strict=True)):
        color = f"C{k}"
        axes.plot(x, y, color=color, linewidth=0.8, alpha=0.8)
        start = {"markerfacecolor": "white", "markeredgewidth": 1.5, "markersize": 7}
        axes.plot(x[0], y[0], "o", color=color, zorder=3, **start)
        axes.plot(x[-1], y[-1], "o", color=color, zorder=3, markersize=6)
