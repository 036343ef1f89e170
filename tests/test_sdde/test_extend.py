"""extend: a run that was split is the run that was not, bit for bit."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdde
from sdde.engine.methods import METHODS

DT = 0.01


def problem(kind):
    history = lambda t: 1.0 - 0.3 * t  # noqa: E731
    f = lambda t, x, d: 0.5 - 1.8 * d[0] + 0.1 * t  # noqa: E731
    if kind == "plain":
        return sdde.Problem(f, lambda t, x, d: 0.4 + 0.1 * x, delays=0.337, history=history)
    if kind == "system":
        return sdde.Problem(lambda t, x, d: -d[0], 0.3, delays=[0.337, 1.0], history=[1.0, 2.0])
    if kind == "arrivals":
        jumps = [
            sdde.Jump(3.0, lambda t, x, d, mark: -0.2 * d[0], delays=np.array([0.1, 0.5, 0.9])),
            sdde.Jump(
                lambda t, x, d: 1.0 + 0.5 * np.tanh(x), lambda t, x, d, mark: 0.3, longest_rate=2.0
            ),
        ]
        return sdde.Problem(f, 0.4, delays=0.337, history=history, jumps=jumps)
    if kind == "state delay":
        late = sdde.StateDelay(lambda t, x: 0.3 + 0.2 * np.tanh(x), 0.5)
        return sdde.Problem(f, 0.4, delays=late, history=history)
    if kind == "chain":
        import scipy.stats

        spread = sdde.DistributedDelay(scipy.stats.gamma(3, scale=0.1))
        return sdde.Problem(f, 0.4, delays=spread, history=1.0)
    return sdde.Problem(
        f, 0.4, history=history, delays=sdde.RandomDelay(np.array([0.1, 0.35, 0.7]))
    )


def same(one, other):
    assert one.paths == other.paths
    for name in ("t", "x", "status", "end_time", "hit_time"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert list(one.functionals) == list(other.functionals)
    for name, values in one.functionals.items():
        np.testing.assert_array_equal(values, other.functionals[name])
    assert (one.t_span, one.seed, one.dt) == (other.t_span, other.seed, other.dt)


WATCHED = {
    "until": sdde.Hit(lambda t, x, d: x - 1.4),
    "functionals": {
        "area": sdde.Functional(lambda t, x, d: x * d[0], "integral"),
        "least": sdde.Functional(lambda t, x, d: (x, d[0]), "minimum"),
    },
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    paths=st.sampled_from([1, 5, 70]),
    steps=st.lists(st.floats(0.004, 2.3), min_size=1, max_size=3),
    save=st.sampled_from(["all", "final", 7]),
    is_watched=st.booleans(),
)
def test_splitting_a_run_changes_no_bit(paths, steps, save, is_watched):
    """Wherever it is split, on the grid or off it, however often, whatever is saved or watched."""
    more = WATCHED if is_watched else {}
    end = 0.5 + 0.31
    split = sdde.solve(problem("plain"), (0.5, end), dt=DT, paths=paths, rng=3, save=save, **more)
    for step in steps:
        end += step
        split = split.extend(end)
    whole = sdde.solve(problem("plain"), (0.5, end), dt=DT, paths=paths, rng=3, save=save, **more)
    same(split, whole)


@pytest.mark.parametrize("kind", ["system", "arrivals", "state delay", "chain", "random delay"])
@pytest.mark.parametrize("paths", [1, 9])
def test_every_kind_of_equation_goes_on(kind, paths):
    """Counters of arrivals and hidden components are part of what is kept."""
    first = sdde.solve(problem(kind), (0.0, 1.237), dt=DT, paths=paths, rng=3, save="final")
    assert first.checkpoint is not None
    same(
        first.extend(3.0),
        sdde.solve(problem(kind), (0, 3), dt=DT, paths=paths, rng=3, save="final"),
    )


def test_without_a_checkpoint_the_run_starts_again(monkeypatch):
    """What would be too large to keep is computed again: the same bits."""
    monkeypatch.setattr("sdde.solving.checkpoint.MOST", 0)
    first = sdde.solve(problem("plain"), (0, 1), dt=DT, paths=9, rng=3, save="final")
    assert first.checkpoint is None
    same(
        first.extend(2.0), sdde.solve(problem("plain"), (0, 2), dt=DT, paths=9, rng=3, save="final")
    )


@pytest.mark.parametrize("lags", [(), (0.25, 0.7)])
def test_streamed_statistics_go_on(lags):
    """Those of earlier times are kept, with lags computed again: the same bits."""
    kept = sdde.Moments(20, quantiles=[0.1, 0.9], lags=lags)
    whole = sdde.solve(problem("plain"), (0, 3), dt=DT, paths=200, rng=3, save=kept)
    split = sdde.solve(problem("plain"), (0, 1.235), dt=DT, paths=200, rng=3, save=kept).extend(3)
    for name in ("mean", "var", "quantiles", "autocovariance"):
        np.testing.assert_array_equal(getattr(split.moments, name), getattr(whole.moments, name))
    np.testing.assert_array_equal(split.t, whole.t)


def test_listed_times_are_continued_by_others():
    """A list has no rule, so later times are given; by default the new end."""
    first = sdde.solve(problem("plain"), (0, 1), dt=DT, paths=3, rng=3, save=[0.2, 0.955])
    longer = first.extend(2.0, save=[1.5, 1.733])
    whole = sdde.solve(
        problem("plain"), (0, 2), dt=DT, paths=3, rng=3, save=[0.2, 0.955, 1.5, 1.733]
    )
    same(longer, whole)
    assert first.extend(2.0).t.tolist() == [0.2, 0.955, 2.0]


def test_the_same_brownian_path_goes_on():
    """Mirrored paths on a finer grid as well."""
    noise = sdde.Brownian(4, finest=DT / 4, antithetic=True)
    first = sdde.solve(problem("plain"), (0, 1), dt=DT, paths=6, noise=noise)
    same(first.extend(2.0), sdde.solve(problem("plain"), (0, 2), dt=DT, paths=6, noise=noise))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_every_method_goes_on(method):
    """Schemes that keep more than states must find it again."""
    late = sdde.Problem(
        lambda t, x, d: -d[0], lambda t, x, d: 0.2 * d[0] + 0.1 * x, delays=0.5, history=1.0,
        calculus=method.calculi[0],
    )  # fmt: skip
    for equation in (late, late.replace(diffusion=0.3)):
        settings = {"dt": DT, "paths": 5, "rng": 3, "method": method.name}
        try:
            first = sdde.solve(equation, (0, 1.1), **settings)
        except sdde.ArgumentError:  # the method is not for this noise
            assert equation is late
            continue
        same(first.extend(2.5), sdde.solve(equation, (0, 2.5), **settings))


def test_diverged_paths_stay_so():
    """And one that was beyond the bounds at the split only, goes on as if there had been none."""
    grows = sdde.Problem(lambda t, x, d: x * x, 0.3, history=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdde.SolutionWarning)
        split = sdde.solve(grows, (0, 1.5), dt=DT, paths=30, rng=3).extend(4.0)
        same(split, sdde.solve(grows, (0, 4), dt=DT, paths=30, rng=3))
        assert set(split.status) == {"done", "diverged"}
    peak = sdde.Problem(lambda t, x, d: 4e14 * (t > 0.295) * (t < 0.305) - 100 * x, history=1.0)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        first = sdde.solve(peak, (0, 0.31), dt=DT, rng=1)
    whole = sdde.solve(peak, (0, 1), dt=DT, rng=1)
    assert whole.status[0] == "done"
    same(first.extend(1.0), whole)


def test_a_file_can_be_continued_with_its_functions(tmp_path):
    """Functions are not in files; everything else is."""
    first = sdde.solve(problem("plain"), (0, 1.23), dt=DT, paths=9, rng=3, **WATCHED)
    whole = sdde.solve(problem("plain"), (0, 2), dt=DT, paths=9, rng=3, **WATCHED)
    for name in ("a.npz", "a.nc"):
        first.save(tmp_path / name)
        loaded = sdde.Solution.load(tmp_path / name, problem=problem("plain"), **WATCHED)
        same(loaded, first)
        same(loaded.extend(2.0), whole)
        with pytest.raises(sdde.ArgumentError, match="needs the functions that were watched"):
            sdde.Solution.load(tmp_path / name, problem=problem("plain")).extend(2.0)
        with pytest.raises(sdde.ArgumentError, match="needs the problem"):
            sdde.Solution.load(tmp_path / name).extend(2.0)


@pytest.mark.parametrize(
    ("t1", "save", "match"),
    [
        (1.0, None, "t1 = 1.0 is not after the end"),
        (0.5, None, "t1 = 0.5 is not after the end"),
        ("later", None, "t1 = 'later' is not a number"),
        (2.0, [1.5], "save = .* adds to the rule"),
    ],
)
def test_misuse_is_refused(t1, save, match):
    """Before anything runs."""
    first = sdde.solve(problem("plain"), (0, 1), dt=DT)
    with pytest.raises(sdde.ArgumentError, match=match):
        first.extend(t1, save=save)


def test_listed_times_before_the_old_end_are_refused():
    """They are past."""
    first = sdde.solve(problem("plain"), (0, 1), dt=DT, save=[0.5])
    with pytest.raises(sdde.ArgumentError, match="begins before the end"):
        first.extend(2.0, save=[0.7])
