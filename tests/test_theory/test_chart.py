"""Stability charts: every boundary point is critical, and curves follow known formulas."""

import matplotlib as mpl
import numpy as np
import pytest

from sdde.errors import ArgumentError
from sdde.theory import DelaySystem, stability_chart

mpl.use("Agg")


def hayes(a, b):
    return DelaySystem(a, b, 1.0)


def test_the_boundary_of_the_scalar_equation_is_the_hayes_curve():
    """a = w cot w, b = -w / sin w above, a + b = 0 below."""
    chart = stability_chart(hayes, np.linspace(-3.05, 0.9, 14), np.linspace(-4.0, 2.9, 15))
    points = np.concatenate(chart.boundary)
    assert len(points) > 20
    for a, b in points:
        if abs(a + b) < 1e-9:
            continue
        w = np.sqrt(b * b - a * a)
        assert a == pytest.approx(w / np.tan(w), abs=1e-9)
        assert b == pytest.approx(-w / np.sin(w), abs=1e-9)
    assert np.array_equal(chart.rate < 0.0, [[hayes(a, b).is_stable() for a in chart.x_values]
                                             for b in chart.y_values])  # fmt: skip


def test_curves_are_continuous():
    """Neighbours on a curve are at most one grid cell apart."""
    chart = stability_chart(hayes, np.linspace(-3.05, 0.9, 14), np.linspace(-4.0, 2.9, 15))
    cell = np.hypot(np.diff(chart.x_values)[0], np.diff(chart.y_values)[0])
    for curve in chart.boundary:
        assert np.hypot(*np.diff(curve, axis=0).T).max() <= cell * 1.0001


def test_a_coarse_grid_gives_a_smooth_curve():
    """Points are continued between grid lines, so a curve bends little at each of them."""
    chart = stability_chart(hayes, [-3.0, -1.5, -0.1], [-4.0, -2.6, -1.1])
    curve = max(chart.boundary, key=len)
    assert len(curve) > 5
    middle = (curve[1:] + curve[:-1]) / 2.0
    rates = [hayes(a, b).abscissa() for a, b in middle]
    assert np.abs(rates).max() < 0.02


def test_mean_square_charts_use_the_second_moments():
    """For dx = -a x dt + c x dW the boundary is c^2 = 2 a."""

    def geometric(a, c):
        return DelaySystem(-a, [], [], multiplicative=(c,))

    chart = stability_chart(
        geometric, np.linspace(0.2, 2.0, 5), np.linspace(0.05, 2.5, 5), of="mean_square"
    )
    for a, c in np.concatenate(chart.boundary):
        assert c * c == pytest.approx(2.0 * a, rel=1e-8)


def test_a_chart_draws_itself():
    """One line for each curve, on the axes that are given."""
    from matplotlib import pyplot

    chart = stability_chart(hayes, [-1.0, 0.0, 0.5], np.linspace(-3.0, 0.9, 5))
    figure, axes = pyplot.subplots()
    assert chart.plot(axes) is axes
    assert len(axes.lines) == len(chart.boundary)
    pyplot.close(figure)


def test_misuse_is_named():
    """Values must increase."""
    with pytest.raises(ArgumentError, match="x_values"):
        stability_chart(hayes, [1.0, 0.0], [0.0, 1.0])
    with pytest.raises(ArgumentError, match="of = 'median' is not known"):
        stability_chart(hayes, [0.0, 1.0], [0.0, 1.0], of="median")
