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
