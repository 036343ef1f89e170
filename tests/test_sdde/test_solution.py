"""Solution: moments, evaluation, labels, figures and repetition."""

import matplotlib as mpl
import numpy as np
import pytest

import sdde

mpl.use("Agg")


@pytest.fixture(scope="module")
def solution():
    problem = sdde.Problem(
        lambda t, x, d: -d[0], (0.3, 0.1), delays=1.0, history=lambda t: [1.0 + t, 2.0]
    )
    return sdde.solve(problem, (0.0, 2.0), dt=0.1, paths=40, rng=12)


def test_axes_are_paths_times_components(solution):
    """One order of axes everywhere."""
    assert solution.x.shape == (40, 21, 2)
    assert solution.t.shape == (21,)
    assert solution.mean().shape == solution.var().shape == (21, 2)
    assert solution.quantile(0.5).shape == (21, 2)
    assert solution.quantile([0.1, 0.5, 0.9]).shape == (3, 21, 2)
    np.testing.assert_array_equal(solution.path(-1), solution.x[39])


def test_it_carries_what_repeats_it(solution):
    """A result must be reproducible from itself."""
    again = sdde.solve(
        solution.problem, solution.t_span, dt=solution.dt, paths=solution.paths,
        rng=solution.seed, method=solution.method,
    )  # fmt: skip
    np.testing.assert_array_equal(again.x, solution.x)


def test_an_unseeded_solution_can_be_repeated():
    """Fresh randomness is recorded as well."""
    problem = sdde.Problem(lambda t, x, d: -x, 1.0, history=0.0)
    first, other = (sdde.solve(problem, (0.0, 1.0), dt=0.1) for _ in range(2))
    assert first.seed != other.seed
    again = sdde.solve(problem, (0.0, 1.0), dt=0.1, rng=first.seed)
    np.testing.assert_array_equal(again.x, first.x)


def test_it_can_be_evaluated_between_saved_times_and_before_the_start(solution):
    """A solution is a path in continuous time: straight lines, and the history before."""
    values = solution([[-0.5, 0.0], [0.05, 2.0]])
    assert values.shape == (40, 2, 2, 2)
    np.testing.assert_allclose(values[:, 0, 0], np.tile([0.5, 2.0], (40, 1)))
    np.testing.assert_array_equal(values[:, 0, 1], solution.x[:, 0])
    np.testing.assert_allclose(values[:, 1, 0], solution.x[:, :2].mean(axis=1))
    np.testing.assert_array_equal(values[:, 1, 1], solution.x[:, -1])
    assert solution(1.0).shape == (40, 2)


def test_times_it_does_not_cover_are_refused(solution):
    """Extrapolation would invent states."""
    with pytest.raises(sdde.ArgumentError, match=r"t = 2.5 is not covered"):
        solution(2.5)
    end = sdde.solve(solution.problem, (0.0, 2.0), dt=0.1, rng=1, save="final")
    with pytest.raises(sdde.ArgumentError, match=r"t = 1 is not covered"):
        end(1.0)


def test_misuse_is_refused(solution):
    """Wrong quantiles and path numbers have clear messages."""
    with pytest.raises(sdde.ArgumentError, match="is not between 0 and 1"):
        solution.quantile(1.5)
    with pytest.raises(sdde.ArgumentError, match="i = 40 is above 39"):
        solution.path(40)


def test_labels_survive_the_export(solution):
    """Axes by name, and how the numbers were made."""
    data = solution.to_xarray()
    assert data["x"].dims == ("path", "time", "component")
    np.testing.assert_array_equal(data["x"].mean("path"), solution.mean())
    assert data.attrs["seed"] == "12"
    assert (data["status"] == "done").all()


def test_the_figure_shows_mean_and_band_of_each_component(solution):
    """A caller's axes are used and returned, and nothing is shown."""
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    assert solution.plot(ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mean of x[0]", "mean of x[1]"]
    assert len(ax.collections) == 2
    pyplot.close(figure)


def test_the_text_form_fits_one_screen(solution):
    """People print results."""
    text = repr(solution)
    assert "40 paths of a 2-component equation" in text
    assert "40 done" in text
    assert len(text.splitlines()) < 10
    assert solution.message == "All 40 paths reached t = 2."


def test_histograms_and_portraits_are_drawn(solution):
    """Each shows the numbers that it names."""
    from matplotlib import pyplot

    histogram = solution.plot(kind="histogram", t=1.0)
    assert histogram.get_xlabel() == "x at t = 1"
    for line, mean in zip(histogram.lines, solution(1.0).mean(axis=0), strict=True):
        np.testing.assert_allclose(line.get_xdata()[0], mean, rtol=1e-14)
    phase = solution.plot(kind="phase", components=(1, 0))
    np.testing.assert_array_equal(phase.lines[0].get_xdata(), solution.x[0, :, 1])
    np.testing.assert_array_equal(phase.lines[0].get_ydata(), solution.x[0, :, 0])
    portrait = solution.plot(kind="delay", components=(1,))
    assert portrait.get_xlabel() == "x[1] at t - 1"
    np.testing.assert_allclose(portrait.lines[0].get_xdata(), solution.x[0, :11, 1])
    np.testing.assert_array_equal(portrait.lines[0].get_ydata(), solution.x[0, 10:, 1])
    pyplot.close("all")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "pie"}, "kind = 'pie' is not known"),
        ({"kind": "phase", "components": (0, 2)}, r"components\[1\] = 2 is above 1"),
        ({"kind": "phase", "components": (0,)}, r"components = \(0,\) are not two"),
        ({"kind": "phase", "t": 1.0}, "t = 1.0 means nothing"),
        ({"kind": "paths", "delay": 1.0}, "delay = 1.0 means nothing"),
        ({"kind": "delay", "delay": 5.0}, "delay = 5.0 is as long as the times saved"),
        ({"kind": "delay", "delay": 0.0}, "delay = 0.0 is not positive"),
        ({"kind": "histogram", "t": 9.0}, "t = 9 is not covered"),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused(solution, changes, match):
    """Before a figure is opened."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    with pytest.raises(sdde.ArgumentError, match=match):
        solution.plot(**changes)
    assert pyplot.get_fignums() == before


def test_figures_of_moments_show_the_band_that_was_kept():
    """Quantiles if there are some; no paths are drawn."""
    from matplotlib import pyplot

    problem = sdde.Problem(lambda t, x, d: -d[0], 0.3, delays=1.0, history=1.0)
    kept = sdde.Moments(10, quantiles=[0.1, 0.9])
    streamed = sdde.solve(problem, (0, 2), dt=0.1, paths=50, rng=1, save=kept)
    axes = streamed.plot()
    assert axes.get_legend().get_texts()[0].get_text() == "mean of x, 10 % to 90 %"
    with pytest.raises(sdde.ArgumentError, match="kind = 'histogram' needs paths"):
        streamed.plot(kind="histogram")
    scalar = sdde.solve(problem, (0, 2), dt=0.1, rng=1)
    with pytest.raises(sdde.ArgumentError, match="needs a system"):
        scalar.plot(kind="phase")
    pyplot.close("all")


def test_tables_hold_one_row_for_each_path_and_time(solution):
    """pandas is for those who group and filter."""
    table = solution.to_dataframe()
    assert list(table.columns) == ["path", "t", "x[0]", "x[1]"]
    assert len(table) == 40 * 21
    row = table[(table["path"] == 7) & (np.isclose(table["t"], 1.0))].iloc[0]
    assert (row["x[0]"], row["x[1]"]) == tuple(solution.x[7, 10])


def test_hits_and_functionals_are_exported():
    """By name, along the paths."""
    problem = sdde.Problem(lambda t, x, d: -d[0], 0.3, delays=1.0, history=1.0)
    kept = sdde.Moments([1.0, 2.0], quantiles=[0.1, 0.9], lags=[0.5])
    streamed = sdde.solve(
        problem, (0, 2), dt=0.1, paths=50, rng=1, save=kept, until=sdde.Hit(lambda t, x, d: x),
        functionals={"most": sdde.Functional(lambda t, x, d: (x, -x), "maximum")},
    )  # fmt: skip
    data = streamed.to_xarray()
    np.testing.assert_array_equal(data["hit_time"], streamed.hit_time)
    assert data["functional_most"].dims == ("path", "most_component")
    assert data["quantile"].sel(probability=0.9, time=2.0) == streamed.quantile(0.9)[1]
    assert data["autocovariance"].dims == ("lag", "time")
    table = streamed.to_dataframe()
    assert list(table.columns) == [
        "t", "mean", "var", "quantile 0.1", "quantile 0.9", "autocovariance 0.5"
    ]  # fmt: skip
    text = repr(streamed)
    assert "statistics streamed" in text
    assert "most" in text
    assert "hit" in streamed.message
