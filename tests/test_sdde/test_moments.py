"""Streamed moments: the same numbers as from stored paths, for any number of threads."""

import numpy as np
import pytest

import sdde

TIMES = [0.5, 1.0, 3.0]


def problem(dim=1):
    history = 1.0 if dim == 1 else np.linspace(0.5, 1.5, dim)
    return sdde.Problem(lambda t, x, delayed: -delayed[0], 0.4, delays=[0.7], history=history)


@pytest.mark.parametrize(("dim", "paths"), [(1, 1), (1, 10), (1, 1000), (3, 777), (40, 130)])
def test_streamed_moments_are_those_of_the_paths(dim, paths):
    """Streaming keeps numbers, not paths; the numbers must not change."""
    stored = sdde.solve(problem(dim), (0, 3), dt=0.01, paths=paths, rng=5, save=TIMES)
    kept = sdde.solve(problem(dim), (0, 3), dt=0.01, paths=paths, rng=5, save=sdde.Moments(TIMES))
    np.testing.assert_allclose(kept.mean(), stored.mean(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(kept.var(), stored.var(), rtol=1e-11, atol=1e-15)
    assert kept.x.shape == (0, *stored.x.shape[1:])
    assert kept.paths == paths
    np.testing.assert_array_equal(kept.status, stored.status)


def test_moments_do_not_depend_on_threads_bit_for_bit():
    """Jobs end in any order; they are merged in the order of the paths."""
    runs = [
        sdde.solve(
            problem(), (0, 3), dt=2e-4, paths=3000, rng=5, save=sdde.Moments(TIMES), threads=n
        )
        for n in (1, 2, 3)
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(other.mean(), runs[0].mean())
        np.testing.assert_array_equal(other.var(), runs[0].var())


def test_moments_can_be_drawn_exported_and_kept(tmp_path):
    """They are results like others; only paths cannot be had."""
    kept = sdde.solve(problem(3), (0, 3), dt=0.1, paths=100, rng=5, save=sdde.Moments(TIMES))
    assert len(kept.plot().lines) == 3
    np.testing.assert_array_equal(kept.to_xarray()["mean"].values, kept.mean())
    kept.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(sdde.Solution.load(tmp_path / "m.npz").var(), kept.var())
    for question in (lambda: kept.path(0), lambda: kept.quantile(0.5), lambda: kept(1.0)):
        with pytest.raises(sdde.ArgumentError, match="only moments were kept"):
            question()


def test_moments_at_bad_times_are_refused():
    """As `save=` itself."""
    for times in ([2.0, 1.0], [5.0], "never", -1):
        with pytest.raises(sdde.ArgumentError, match="save ="):
            sdde.solve(problem(), (0, 3), dt=0.1, save=sdde.Moments(times))


def test_streamed_covariances_and_autocovariances_are_those_of_the_paths():
    """Against stored paths and against numpy, with lags on the grid and off it."""
    times, lags = [0.5, 1.0, 2.2], [0.3, 0.777, 1.5]
    kept = sdde.Moments(times, covariance=True, lags=lags)
    streamed = sdde.solve(problem(3), (0, 3), dt=0.01, paths=777, rng=5, save=kept)
    stored = sdde.solve(problem(3), (0, 3), dt=0.01, paths=777, rng=5)
    x = np.moveaxis(stored([*times]), 1, 0)
    for k, states in enumerate(x):
        expected = np.cov(states.T, bias=True)
        np.testing.assert_allclose(streamed.covariance()[k], expected, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(
            stored.covariance()[int(100 * times[k])], expected, rtol=1e-10, atol=1e-14
        )
    for lag in lags:
        found = streamed.autocovariance(lag)
        inside = [t + lag <= 3.0 for t in times]
        assert np.isnan(found[~np.array(inside)]).all()
        for k in np.flatnonzero(inside):
            later = stored(times[k] + lag)
            expected = [np.cov(x[k][:, i], later[:, i], bias=True)[0, 1] for i in range(3)]
            np.testing.assert_allclose(found[k], expected, rtol=1e-9, atol=1e-14)
            np.testing.assert_allclose(
                stored.autocovariance(lag)[int(100 * times[k])], expected, rtol=1e-9, atol=1e-14
            )
    np.testing.assert_array_equal(streamed.mean(), kept_mean(times))
    np.testing.assert_array_equal(streamed.autocovariance(0.0), streamed.var())


def kept_mean(times):
    """The mean where nothing else is asked for: the same bits."""
    plain = sdde.Moments(times)
    return sdde.solve(problem(3), (0, 3), dt=0.01, paths=777, rng=5, save=plain).mean()


def test_a_stationary_autocovariance_is_the_exact_one():
    """Delayed Ornstein-Uhlenbeck, its Euler-Maruyama recursion solved exactly; false alarms below
    1e-5."""
    equation = sdde.models.delayed_ornstein_uhlenbeck(rate=1.0, delay=0.5, noise=1.0)
    paths, lag = 20_000, 1.0
    kept = sdde.Moments([25.0], lags=lag)
    found = sdde.solve(equation, (0, 26), dt=0.05, paths=paths, rng=6, save=kept)
    recursion = sdde.theory.DelaySystem(0.0, -1.0, [0.5], noise=1.0).euler_maruyama(0.05)
    variance, exact = recursion.covariance(0.0), recursion.covariance(lag)
    spread = np.sqrt((variance**2 + exact**2) / paths)
    assert abs(found.autocovariance(lag)[0] - exact) < 4.5 * spread


def test_what_was_not_kept_is_not_answered():
    """The message says what to ask for."""
    kept = sdde.solve(
        problem(3), (0, 3), dt=0.1, rng=5, save=sdde.Moments(TIMES, quantiles=0.5, lags=0.5)
    )
    for question in (
        lambda: kept.quantile(0.9),
        lambda: kept.autocovariance(0.7),
        kept.covariance,
        lambda: kept.autocovariance(-1.0),
    ):
        with pytest.raises(sdde.ArgumentError):
            question()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"quantiles": 1.5}, "quantiles = 1.5 are not probabilities"),
        ({"quantiles": [[0.5]]}, "quantiles = .* are not probabilities"),
        ({"quantiles": "median"}, "quantiles = 'median' is not an array"),
        ({"lags": [0.5, 0.0]}, "lags = .* are not positive"),
        ({"lags": -1.0}, "lags = -1.0 are not positive"),
        ({"covariance": 1}, "covariance = 1 is neither True nor False"),
    ],
)
def test_statistics_that_mean_nothing_are_refused(changes, match):
    """Where they are written."""
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.Moments(TIMES, **changes)


def test_lags_that_leave_the_span_are_refused():
    """All of them; some give nan."""
    with pytest.raises(sdde.ArgumentError, match="lead from every time beyond the end"):
        sdde.solve(problem(), (0, 3), dt=0.1, save=sdde.Moments("final", lags=0.5))
