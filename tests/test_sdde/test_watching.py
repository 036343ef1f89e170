"""Hits and functionals: the twin's numbers, exact laws, and nothing else changes."""

import math

import numpy as np
import pytest

import sdde
from tests import reference_solution as reference

SPAN, DT, DELAY = (0.5, 4.235), 0.01, 0.337  # the end and the delay lie between grid times


def wave(**changes):
    problem = sdde.Problem(
        lambda t, x, d: 0.5 - 1.8 * d[0] + 0.1 * t, 0.6, delays=DELAY,
        history=lambda t: 1.0 - 0.3 * t,
    )  # fmt: skip
    return problem.replace(**changes)


def level(t, x, d):
    return x - 0.25 * d[0] - 0.4 * t


def square(t, x, d):
    return x * x + d[0]


@pytest.fixture(scope="module")
def free():
    """Paths that nothing stops, one grid time beyond the end, and their values."""
    states = sdde.solve(wave(), (0.5, 4.24), dt=DT, paths=40, rng=3).x
    return [
        (
            x,
            reference.values(level, x, [DELAY], lambda t: 1.0 - 0.3 * t, 0.5, DT),
            reference.values(square, x, [DELAY], lambda t: 1.0 - 0.3 * t, 0.5, DT),
        )
        for x in states
    ]


@pytest.mark.parametrize("paths", [1, 5, 40])
@pytest.mark.parametrize("direction", [0, 1, -1])
def test_hits_are_those_of_the_plain_python_twin(free, direction, paths):
    """Time, state, status, and the states before and after, bit for bit in any width."""
    times = [0.5, 1.0, 1.2345, 2.0, 2.718, 3.1415, 4.235]
    solution = sdde.solve(
        wave(), SPAN, dt=DT, paths=paths, rng=3, save=times, until=sdde.Hit(level, direction)
    )
    for i in range(paths):
        x, g, _ = free[i]
        stop = reference.hit(g, direction, *SPAN, DT)
        assert solution.status[i] == ("done" if stop is None else "hit")
        expected = [reference.state_at(x, stop, 0.5, DT, t) for t in times]
        np.testing.assert_array_equal(solution.x[i], expected)
        end = SPAN[1] if stop is None else stop[2]
        assert solution.end_time[i] == end
        assert np.array_equal(solution.hit_time[i], math.nan if stop is None else end, True)
    if paths == 40:
        assert "hit" in solution.status


@pytest.mark.parametrize("paths", [1, 40])
@pytest.mark.parametrize("kind", ["integral", "maximum", "minimum", "last"])
@pytest.mark.parametrize("until", [None, sdde.Hit(level, -1)])
def test_functionals_are_those_of_the_plain_python_twin(free, kind, until, paths):
    """Up to the hit or the end of the span, both between grid times."""
    solution = sdde.solve(
        wave(), SPAN, dt=DT, paths=paths, rng=3, save="final", until=until,
        functionals={"f": sdde.Functional(square, kind)},
    )  # fmt: skip
    for i in range(paths):
        _, g, f = free[i]
        stop = None if until is None else reference.hit(g, -1, *SPAN, DT)
        expected = reference.functional(kind, f, stop, *SPAN, DT)
        assert solution.functionals["f"][i] == expected


def test_watching_changes_no_bit_and_not_what_is_saved_either():
    """Functions are looked at; the paths and each other's values do not know it."""
    plain = sdde.solve(wave(), SPAN, dt=DT, paths=70, rng=5)
    f = {"a": sdde.Functional(square, "integral"), "b": sdde.Functional(level, "minimum")}
    watched = sdde.solve(wave(), SPAN, dt=DT, paths=70, rng=5, functionals=f, threads=1)
    np.testing.assert_array_equal(watched.x, plain.x)
    for save in ("final", 7, sdde.Moments([1.0])):
        other = sdde.solve(
            wave(), SPAN, dt=DT, paths=70, rng=5, functionals={"a": f["a"]}, save=save, threads=2
        )
        np.testing.assert_array_equal(other.functionals["a"], watched.functionals["a"])


def test_a_stopped_path_is_the_free_path_until_then():
    """Hits on the grid values do not disturb other paths of a block."""
    plain = sdde.solve(wave(), SPAN, dt=DT, paths=70, rng=5)
    stopped = sdde.solve(wave(), SPAN, dt=DT, paths=70, rng=5, until=sdde.Hit(level))
    for i in range(70):
        before = plain.t <= stopped.end_time[i]
        np.testing.assert_array_equal(stopped.x[i, before], plain.x[i, before])
        assert len(set(stopped.x[i, ~before])) <= 1


def test_the_hitting_time_of_a_smooth_path_is_right_to_the_order_of_the_step():
    """exp(-t) falls to 1/2 at log 2; Euler's error is of order dt and halves with it."""
    problem = sdde.Problem(lambda t, x, d: -x, history=1.0)
    half = sdde.Hit(lambda t, x, d: x - 0.5)
    errors = [
        sdde.solve(problem, (0, 2), dt=dt, until=half).hit_time[0] - math.log(2.0)
        for dt in (0.02, 0.01, 0.005)
    ]
    ratios = np.divide(errors[:-1], errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.05)


def test_brownian_motion_leaves_an_interval_as_it_should():
    """Exit of (-1, 2) from 0: probability 1/3 above, mean time 2; and x(t and T) stays a
    martingale.

    The grid sees an exit late; its effect on the place is that of an interval longer by 0.5826
    sqrt(dt) at both ends (Broadie, Glasserman and Kou). False alarms: below 1e-5 each.
    """
    dt, paths = 0.0025, 20_000
    problem = sdde.Problem(lambda t, x, d: 0.0, 1.0, history=0.0)
    leave = sdde.Hit(lambda t, x, d: (x + 1.0) * (2.0 - x))
    one = {"time": sdde.Functional(lambda t, x, d: 1.0, "integral")}
    solution = sdde.solve(
        problem, (0, 60), dt=dt, paths=paths, rng=8, save="final", until=leave, functionals=one
    )
    assert (solution.status == "hit").all()
    low, high = 1.0 + 0.5826 * math.sqrt(dt), 2.0 + 0.5826 * math.sqrt(dt)
    end = solution.x[:, 0]
    share = low / (low + high)
    assert abs(np.mean(end > 0.0) - share) < 4.5 * math.sqrt(share * (1 - share) / paths)
    spread = solution.hit_time.std() / math.sqrt(paths)
    assert abs(solution.hit_time.mean() - low * high) < 4.5 * spread
    np.testing.assert_allclose(solution.functionals["time"], solution.hit_time, rtol=1e-10)
    # Optional stopping holds exactly for grid states; the interpolated end adds less than a step.
    assert abs(end.mean()) < 4.5 * end.std() / math.sqrt(paths) + math.sqrt(dt)


def test_a_function_that_cannot_be_read_is_called():
    """Branches on the state compile as they stand, in scalar equations and systems."""

    def branch(t, x, d):
        return d[0] if x > 0.5 else -1.0

    def branch_of_system(t, x, d):
        return np.array([d[0, 1], 1.0]) if x[0] > 0.5 else np.array([-1.0, t])

    def plain(t, x, d):
        return np.where(x > 0.5, d[0], -1.0)

    def solved(problem, f):
        return sdde.solve(
            problem, (0, 2), dt=0.01, paths=6, rng=2, save="final",
            functionals={"f": sdde.Functional(f, "integral")},
        ).functionals["f"]  # fmt: skip

    one = sdde.Problem(lambda t, x, d: -d[0], 0.5, delays=0.5, history=1.0)
    np.testing.assert_array_equal(solved(one, branch), solved(one, plain))
    two = sdde.Problem(lambda t, x, d: -d[0], 0.5, delays=0.5, history=[1.0, 2.0])
    assert solved(two, branch_of_system).shape == (6, 2)


def test_large_systems_delays_that_change_and_jumps_are_watched_too():
    """The observer reads states as the drift does; a function of the state alone is the check."""
    matrix = -np.eye(20)
    cases = [
        sdde.Problem(lambda t, x, d: matrix @ d[0], 0.3, delays=0.5, history=np.ones(20)),
        sdde.Problem(
            lambda t, x, d: -d[0], 0.3, history=np.ones(2),
            delays=sdde.StateDelay(lambda t, x: 0.3 + 0.1 * np.tanh(x[0]), 0.5),
        ),
        sdde.Problem(
            lambda t, x, d: -d[0], 0.3, delays=0.4, history=np.ones(2),
            jumps=sdde.Jump(2.0, lambda t, x, d, mark: 0.2 * x),
        ),
    ]  # fmt: skip
    for problem in cases:
        solution = sdde.solve(
            problem, (0, 1), dt=0.01, paths=9, rng=4,
            functionals={
                "last": sdde.Functional(lambda t, x, d: d[0, 0] + 0.0 * x[1], "last"),
                "most": sdde.Functional(lambda t, x, d: x[0] + t, "maximum"),
            },
        )  # fmt: skip
        most = (solution.x[:, :, 0] + solution.t).max(axis=1)
        np.testing.assert_allclose(solution.functionals["most"], most, rtol=1e-13)
        if isinstance(problem.delays[0], float):
            late = solution(1.0 - problem.delays[0])[:, 0]
            np.testing.assert_allclose(solution.functionals["last"], late, rtol=1e-10)


def test_divergence_before_a_hit_is_divergence_and_after_it_is_a_hit():
    """What ended a path first is its end; an infinite path has no functionals."""
    problem = sdde.Problem(lambda t, x, d: x * x, history=[1.0])
    f = {"f": sdde.Functional(lambda t, x, d: x[0], "maximum")}
    for place, status in ((1e3, "hit"), (1e200, "diverged")):
        until = sdde.Hit(lambda t, x, d, place=place: x[0] - place)
        if status == "diverged":
            with pytest.warns(sdde.SolutionWarning, match="diverged"):
                end = sdde.solve(problem, (0, 3), dt=0.01, until=until, functionals=f)
            assert np.isnan(end.functionals["f"]).all()
            assert np.isnan(end.hit_time).all()
            continue
        end = sdde.solve(problem, (0, 3), dt=0.01, until=until, functionals=f)
        np.testing.assert_allclose(end.functionals["f"], place)
        np.testing.assert_allclose(end.x[0, -1], place)
        assert end.status[0] == status


def test_a_path_that_starts_on_the_level_has_not_hit_it():
    """Only a change of sign counts."""
    problem = sdde.Problem(lambda t, x, d: 1.0, history=0.0)
    solution = sdde.solve(problem, (0, 1), dt=0.1, until=sdde.Hit(lambda t, x, d: x))
    assert solution.status[0] == "done"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"until": lambda t, x, d: x}, "until = .* is not an sdde.Hit"),
        ({"until": "level"}, "until = 'level' is not an sdde.Hit"),
        ({"functionals": [sdde.Functional(level, "last")]}, "is not a dictionary"),
        ({"functionals": {"a": level}}, r"functionals\['a'\] = .* is not an sdde.Functional"),
        ({"functionals": {"a b": sdde.Functional(level, "last")}}, "is not a name"),
        ({"until": sdde.Hit(lambda t, x, d: (x, x))}, "until.function = .* returned"),
        ({"until": sdde.Hit(lambda t, x: x)}, "until.function failed"),
        (
            {"functionals": {"a": sdde.Functional(lambda t, x, d: [[x]], "last")}},
            r"functionals\['a'\] = .* returned",
        ),
    ],
)
def test_misuse_is_refused_before_anything_is_compiled(changes, match, monkeypatch):
    """One clear message."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(wave(), SPAN, dt=DT, **changes)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sdde.Hit(1.0), "function = 1.0 cannot be called"),
        (lambda: sdde.Hit(level, 2), "direction = 2 is above 1"),
        (lambda: sdde.Hit(level, 0.5), "direction = 0.5 is not a whole number"),
        (lambda: sdde.Functional(level, "mean"), "kind = 'mean' is not known"),
        (lambda: sdde.Functional(None, "last"), "function = None cannot be called"),
    ],
)
def test_values_that_mean_nothing_are_refused(make, match):
    """Where they are written."""
    with pytest.raises(sdde.ArgumentError, match=match):
        make()
