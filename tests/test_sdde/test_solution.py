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
