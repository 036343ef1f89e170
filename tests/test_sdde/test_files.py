"""Solutions in files: what is written comes back, and nothing is executed."""

import pickle

import numpy as np
import pytest

import sdde


@pytest.fixture(scope="module")
def solution():
    problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.3, delays=[1.0], history=1.0)
    return sdde.solve(problem, (0, 3), dt=0.1, paths=4, rng=1)


def test_an_archive_returns_the_numbers_and_how_they_were_made(solution, tmp_path):
    """A result that cannot be kept was not worth computing."""
    solution.save(tmp_path / "a.npz")
    again = sdde.Solution.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.x, solution.x)
    np.testing.assert_array_equal(again.status, solution.status)
    assert (again.dt, again.seed, again.method) == (solution.dt, solution.seed, solution.method)
    assert again.problem is None
    np.testing.assert_array_equal(again([0.5, 2.0]), solution([0.5, 2.0]))
    with pytest.raises(sdde.ArgumentError, match=r"t = -0.5 is not covered"):
        again(-0.5)


def test_netcdf_is_read_by_xarray(solution, tmp_path):
    """Labelled files for other programs."""
    import xarray

    solution.save(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc") as data:
        np.testing.assert_array_equal(data["x"].values, solution.x)
        assert data.attrs["seed"] == str(solution.seed)


def test_a_pickle_is_never_opened(tmp_path):
    """A file from elsewhere must not run code."""

    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    (tmp_path / "a.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(sdde.ArgumentError, match="is not a solution"):
        sdde.Solution.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", header=np.array([Bomb()], dtype=object))
    with pytest.raises(sdde.ArgumentError, match="is not a solution"):
        sdde.Solution.load(tmp_path / "b.npz")


def test_bad_paths_are_named(solution, tmp_path):
    """One clear line."""
    with pytest.raises(sdde.ArgumentError, match="no known suffix"):
        solution.save(tmp_path / "a.pkl")
    with pytest.raises(sdde.ArgumentError, match="cannot be written"):
        solution.save(tmp_path / "no" / "a.npz")
    with pytest.raises(sdde.ArgumentError, match="is not a file"):
        sdde.Solution.load(tmp_path / "gone.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.nc"])
@pytest.mark.parametrize("streams", [False, True])
def test_everything_but_functions_comes_back(tmp_path, name, streams):
    """Statistics, hits, functionals, recorded noise, and what a longer run begins with."""
    problem = sdde.Problem(
        lambda t, x, d: -d[0], 0.3, delays=[0.4], history=[1.0, 2.0],
        jumps=sdde.Jump(1.0, lambda t, x, d, mark: 0.1 * x),
    )  # fmt: skip
    increments = np.random.default_rng(1).normal(0.0, 0.1, (7, 300, 2))
    kept = sdde.Moments([0.5, 1.0], quantiles=[0.5], covariance=True, lags=[0.25])
    solution = sdde.solve(
        problem, (0, 2), dt=0.01, paths=7, rng=2, save=kept if streams else "final",
        noise=sdde.Brownian.from_increments(increments, 0.01),
        until=sdde.Hit(lambda t, x, d: x[0] - 0.5),
        functionals={"most": sdde.Functional(lambda t, x, d: x, "maximum")},
    )  # fmt: skip
    solution.save(tmp_path / name)
    again = sdde.Solution.load(tmp_path / name)
    for part in ("t", "x", "status", "end_time", "hit_time"):
        np.testing.assert_array_equal(getattr(again, part), getattr(solution, part))
    np.testing.assert_array_equal(again.functionals["most"], solution.functionals["most"])
    np.testing.assert_array_equal(again.noise.recorded, solution.noise.recorded)
    for part in ("tail", "marks", "numbers"):
        expected = getattr(solution.checkpoint, part)
        np.testing.assert_array_equal(getattr(again.checkpoint, part), expected)
    if streams:
        for part in ("mean", "var", "covariance", "quantiles", "autocovariance", "rank_error"):
            np.testing.assert_array_equal(
                getattr(again.moments, part), getattr(solution.moments, part)
            )
        np.testing.assert_array_equal(again.quantile(0.5), solution.quantile(0.5))


def test_a_problem_of_another_state_is_refused(solution, tmp_path):
    """It cannot be the equation that the file is a solution of."""
    solution.save(tmp_path / "a.npz")
    other = sdde.Problem(lambda t, x, delayed: -x, history=[1.0, 1.0])
    with pytest.raises(sdde.ArgumentError, match="has a state of shape"):
        sdde.Solution.load(tmp_path / "a.npz", problem=other)
