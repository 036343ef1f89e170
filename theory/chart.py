"""Stability charts: where in the plane of two parameters a delay system is stable.

The rate is computed on the grid that is given; wherever it changes sign along a grid line the
boundary is solved for on that line. Between two such points it is continued: the middle of the
chord predicts a point, and a search across the chord corrects it, until the curve is smooth. So
every point is exact, and a coarse grid is enough. Knows nothing about what the parameters mean.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks

from .delay_system import DelaySystem
from .numerics import Floats, bracketed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
BEND = 1e-3  # distance of a curve from its chord, over the width of the chart, that is left alone
HALVINGS = 3


@dataclass(frozen=True, eq=False, slots=True)
class StabilityChart:
    """Rates over two parameters, and the boundary between stable and unstable.

    Attributes
    ----------
    x_values, y_values : ndarray
        The parameters.
    rate : ndarray, shape (len(y_values), len(x_values))
        Long-run growth rate, in 1/time; negative where stable.
    boundary : tuple of ndarray, each (points, 2)
        Curves of (x, y) on which the rate is 0.
    """

    x_values: Floats
    y_values: Floats
    rate: Floats
    boundary: tuple[Floats, ...]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the chart: rates as colours, the boundary as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from sdde.plots import plot_stability_chart

        return plot_stability_chart(self, ax)


def stability_chart(
    system_of: Callable[[float, float], DelaySystem],
    x_values: ArrayLike,
    y_values: ArrayLike,
    *,
    of: str = "mean",
) -> StabilityChart:
    """Return where a family of delay systems is stable.

    Parameters
    ----------
    system_of : callable
        ``system_of(x, y)`` returns a `DelaySystem`.
    x_values, y_values : array_like
        Increasing values of the two parameters.
    of : {"mean", "mean_square"}
        Whose growth rate: of the mean (the abscissa) or of second moments (the mean-square
        exponent).

    Returns
    -------
    StabilityChart

    Raises
    ------
    sdde.ArgumentError
        If the values do not increase, or there are fewer than two.

    Notes
    -----
    Has no formula of its own: rates are those of the systems. A stable island smaller than a grid
    cell is missed.

    Examples
    --------
    The boundary of x' = a x + b x(t - 1) crosses a = 0 at b = -pi/2:

    >>> import numpy as np
    >>> from sdde.theory import DelaySystem, stability_chart
    >>> def hayes(a, b):
    ...     return DelaySystem(a, b, 1.0)
    >>> chart = stability_chart(hayes, [-1.0, 0.0, 0.5], np.linspace(-4.0, 0.9, 6))
    >>> on_axis = [y for curve in chart.boundary for x, y in curve.tolist() if x == 0.0]
    >>> sorted(round(y, 6) + 0.0 for y in on_axis)
    [-1.570796, 0.0]
    """
    xs, ys = _increasing("x_values", x_values), _increasing("y_values", y_values)
    checks.choice("of", of, ("mean", "mean_square"))
    checks.function("system_of", system_of, signature="(x, y)")

    def rate(x: float, y: float) -> float:
        found = checks.answer("system_of", system_of, x, y, signature="(x, y)")
        system = checks.instance(
            f"system_of({x:g}, {y:g})", found, DelaySystem, "a delay system",
            remedy="For example system_of = lambda x, y: theory.DelaySystem(x, y, 1.0).",
        )  # fmt: skip
        return system.abscissa() if of == "mean" else system.mean_square_exponent()

    grid = np.array([[rate(float(x), float(y)) for x in xs] for y in ys])
    unstable = grid >= 0.0
    across: dict[Any, Point] = {}  # a crossing for each grid edge that has one
    for j, i in np.argwhere(unstable[:, 1:] != unstable[:, :-1]):
        y = float(ys[j])
        x = _crossing(lambda x, y=y: rate(x, y), xs[i : i + 2], grid[j, i : i + 2])
        across["x", int(j), int(i)] = (x, y)
    for j, i in np.argwhere(unstable[1:] != unstable[:-1]):
        x = float(xs[i])
        y = _crossing(lambda y, x=x: rate(x, y), ys[j : j + 2], grid[j : j + 2, i])
        across["y", int(j), int(i)] = (x, y)
    span = np.array([xs[-1] - xs[0], ys[-1] - ys[0]])
    smooth = [_continued(rate, curve, span) for curve in _curves(across, unstable)]
    return StabilityChart(xs, ys, grid, tuple(smooth))


def _continued(rate: Callable[[float, float], float], curve: Floats, span: Floats) -> Floats:
    """Insert points where the curve bends away from its chords by more than a thousandth."""
    for _ in range(HALVINGS):
        points, added = [curve[0]], False
        for start, end in pairwise(curve):
            middle, chord = (start + end) / 2.0, (end - start) / span
            across = np.array([-chord[1], chord[0]]) * span / 2.0
            low, high = middle - across, middle + across
            if rate(*low.tolist()) * rate(*high.tolist()) < 0.0:

                def along(s: float, middle: Floats = middle, across: Floats = across) -> float:
                    return rate(*(middle + s * across).tolist())

                s = bracketed(along, -1.0, 1.0)
                if abs(s) * np.linalg.norm(chord) / 2.0 > BEND:
                    points.append(middle + s * across)
                    added = True
            points.append(end)
        curve = np.array(points)
        if not added:
            break
    return curve


def _crossing(rate: Callable[[float], float], ends: Floats, rates: Floats) -> float:
    for end, value in zip(ends, rates, strict=True):
        if value == 0.0:
            return float(end)
    return bracketed(rate, float(ends[0]), float(ends[1]))


def _curves(across: dict[Any, Point], unstable: Any) -> tuple[Floats, ...]:
    """Join the crossings on the edges of each cell, then the pieces into curves."""
    links: dict[Any, list[Any]] = {edge: [] for edge in across}
    for j in range(unstable.shape[0] - 1):
        for i in range(unstable.shape[1] - 1):
            around = [("x", j, i), ("y", j, i + 1), ("x", j + 1, i), ("y", j, i)]
            hit = [edge for edge in around if edge in across]
            for a, b in zip(hit[::2], hit[1::2], strict=True):
                links[a].append(b)
                links[b].append(a)
    curves, left = [], set(across)
    while left:
        ends = [edge for edge in left if len(links[edge]) < 2]
        edge = min(ends or left)
        curve: list[Point] = []
        while edge is not None:
            left.discard(edge)
            curve.append(across[edge])
            edge = next((other for other in links[edge] if other in left), None)
        curves.append(np.array(curve))
    return tuple(curves)


def _increasing(name: str, value: ArrayLike) -> Floats:
    array = checks.vector(name, value)
    if array.size < 2 or np.any(np.diff(array) <= 0.0):
        raise checks.fail(
            name, value, "does not increase over at least two values",
            remedy=f"For example {name} = np.linspace(0.0, 1.0, 30).",
        )  # fmt: skip
    return array
