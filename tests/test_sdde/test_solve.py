"""solve(): equality with the slow twin, what must not change a path, statistics, faults."""

import math
import warnings

import numpy as np
import pytest

import sdde
from tests import reference


def _lorenz(t, x, delayed, a, b):
    return (
        a * (delayed[0][1] - x[0]),
        x[0] * (b - x[2]) - delayed[1][1] + 0.1 * t,
        x[0] * x[1] - 2.5 * x[2],
    )


def _mixed_noise(t, x, delayed, a, b):
    return (0.1 * x[0], 0.2 + 0.01 * t, 0.1 * delayed[0][2])


@pytest.mark.parametrize("delays", [(), (0.5,), (0.0,), (0.37,), (0.004, 0.33, 0.5)])
@pytest.mark.parametrize("paths", [1, 3])
def test_a_scalar_path_equals_its_plain_python_twin(delays, paths):
    """The twin is written from the formula, so the compiled loop is that formula."""

    def drift(t, x, delayed, a):
        return -a * x + sum(late / (1.0 + late * late) for late in delayed) + 0.1 * t

    def diffusion(t, x, delayed, a):
        return 0.1 + 0.2 * x

    problem = sdde.Problem(
        drift, diffusion, delays=delays, history=lambda t: 1.0 - t * t, args=(1.5,)
    )
    solution = sdde.solve(problem, (0.5, 2.0), dt=0.01, paths=paths, rng=3)
    twin = reference.euler_maruyama(
        lambda t, x, d, a: [drift(t, x[0], [late[0] for late in d], a)],
        lambda t, x, d, a: [diffusion(t, x[0], d, a)],
        delays, lambda t: [1.0 - t * t], 0.5, 0.01, 150, 3, paths - 1, args=(1.5,),
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[-1], twin[:, 0])


@pytest.mark.parametrize("noise", ["diagonal", "scalar"])
def test_a_system_path_equals_its_plain_python_twin(noise):
    """Components, delays and noise channels must not be mixed up."""
    problem = sdde.Problem(
        _lorenz, _mixed_noise, delays=(0.2, 0.033), history=[1.0, 2.0, 3.0], args=(10.0, 28.0),
        noise=noise,
    )  # fmt: skip
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.01, paths=5, rng=8)
    twin = reference.euler_maruyama(
        _lorenz, _mixed_noise, (0.2, 0.033), lambda t: [1.0, 2.0, 3.0], 0.0, 0.01, 100, 8, 4,
        args=(10.0, 28.0), noise=noise,
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[4], twin)


def test_a_delay_of_zero_is_the_equation_without_delay():
    """At delay zero the scheme must be Euler-Maruyama of the plain SDE, bit for bit."""
    late = sdde.Problem(lambda t, x, d: -2.0 * d[0], 0.3, delays=0.0, history=1.0)
    plain = sdde.Problem(lambda t, x, d: -2.0 * x, 0.3, history=1.0)
    one, other = (sdde.solve(p, (0.0, 3.0), dt=0.01, paths=4, rng=5).x for p in (late, plain))
    np.testing.assert_array_equal(one, other)


def _network(dim):
    weights = np.random.default_rng(dim).normal(size=(dim, dim)) / math.sqrt(dim)

    def drift(t, x, delayed):
        return -x + weights @ np.tanh(delayed[0])

    history = 0.5 if dim == 1 else np.linspace(0.1, 1.0, dim)
    if dim == 1:
        return sdde.Problem(lambda t, x, d: -x + np.tanh(d[0]), 0.3, delays=0.1, history=history)
    return sdde.Problem(drift, 0.3, delays=0.1, history=history)


@pytest.mark.parametrize("dim", [1, 3, 8, 40])
def test_a_path_does_not_depend_on_what_else_is_computed(dim):
    """Number of paths, threads, saved times and the end of the run leave a path's bits."""
    problem = _network(dim)
    full = sdde.solve(problem, (0.0, 1.3), dt=0.01, paths=150, rng=11, threads=1)
    for other in (
        sdde.solve(problem, (0.0, 1.3), dt=0.01, paths=70, rng=11, threads=2),
        sdde.solve(problem, (0.0, 1.3), dt=0.01, paths=1, rng=11),
        sdde.solve(problem, (0.0, 2.0), dt=0.01, paths=3, rng=11),
    ):
        np.testing.assert_array_equal(other.x[:, :131], full.x[: other.paths])
    final = sdde.solve(problem, (0.0, 1.3), dt=0.01, paths=150, rng=11, save="final")
    np.testing.assert_array_equal(final.x[:, 0], full.x[:, -1])
    every = sdde.solve(problem, (0.0, 1.3), dt=0.01, paths=150, rng=11, save=50)
    np.testing.assert_array_equal(every.x, full.x[:, [0, 50, 100, 130]])


def test_times_between_grid_times_are_read_on_straight_lines():
    """One rule for saved times, delays and evaluation, and no influence on the path."""
    problem = sdde.Problem(lambda t, x, d: -d[0], 0.5, delays=0.35, history=1.0)
    grid = sdde.solve(problem, (0.0, 2.1), dt=0.1, paths=6, rng=2)
    listed = sdde.solve(problem, (0.0, 2.05), dt=0.1, paths=6, rng=2, save=[0.0, 0.25, 2.0, 2.05])
    np.testing.assert_allclose(listed.x, grid([0.0, 0.25, 2.0, 2.05]), rtol=1e-12)
    assert listed.t[-1] == 2.05
    np.testing.assert_array_equal(listed.x[:, 2], grid.x[:, 20])


@pytest.mark.parametrize("threads", [1, 2])
def test_variance_settles_at_the_exact_euler_maruyama_value(threads):
    """The recursion's own variance has no time-step bias: the tolerance is statistical."""
    dt, paths = 1.0 / 16.0, 20_000
    problem = sdde.models.delayed_ornstein_uhlenbeck(rate=1.0, delay=1.0, noise=1.0)
    end = sdde.solve(problem, (0.0, 60.0), dt=dt, paths=paths, rng=7, save="final", threads=threads)
    impulse = np.zeros(4000)
    impulse[0] = 1.0
    for n in range(1, len(impulse)):
        impulse[n] = impulse[n - 1] - dt * (impulse[n - 17] if n >= 17 else 0.0)
    exact = dt * float(impulse @ impulse)
    assert exact == pytest.approx(1.8097021666076687, abs=1e-9)
    z = 5.0  # false alarm 6e-7 for a normal deviate
    assert abs(end.x[:, 0].var() - exact) < z * exact * math.sqrt(2.0 / paths)
    assert abs(end.x[:, 0].mean()) < z * math.sqrt(exact / paths)


def test_history_functions_samples_and_constants_agree():
    """Three ways to say the same past must give the same path."""
    times = np.linspace(-2.0, 0.0, 21)

    def solve(history):
        problem = sdde.Problem(
            lambda t, x, d: -d[0] + d[1], 0.1, delays=(1.0, 1.96), history=history
        )
        return sdde.solve(problem, (0.0, 3.0), dt=0.1, paths=3, rng=1).x

    np.testing.assert_allclose(solve(lambda t: 2.0 + t), solve((times, 2.0 + times)), rtol=1e-12)
    np.testing.assert_array_equal(solve(2.0), solve(lambda t: 2.0))


def test_an_earlier_solution_is_continued_path_by_path():
    """Each path goes on from its own past; without noise this equals one long run."""
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=1.0, history=lambda t: 1.0 + t)
    whole = sdde.solve(problem, (0.0, 4.0), dt=0.01)
    first = sdde.solve(problem, (0.0, 2.0), dt=0.01)
    second = sdde.solve(problem.replace(history=first), (2.0, 4.0), dt=0.01)
    np.testing.assert_allclose(second.x[0], whole.x[0, 200:], rtol=1e-11, atol=1e-12)
    noisy = sdde.solve(problem.replace(diffusion=0.3), (0.0, 2.0), dt=0.01, paths=5, rng=1)
    onward = sdde.solve(problem.replace(history=noisy), (2.0, 3.0), dt=0.01, paths=5, rng=2)
    np.testing.assert_allclose(onward.x[:, 0], noisy.x[:, -1])
    np.testing.assert_allclose(onward([1.5])[:, 0], noisy([1.5])[:, 0])


def test_a_diverging_path_is_reported_and_the_others_go_on():
    """Divergence is data: a status, a time, nan from then on, and one warning."""
    problem = sdde.Problem(lambda t, x, d: x * x * x - x, 0.8, history=0.0)
    with pytest.warns(sdde.SolutionWarning, match=r"\d+ of 100 paths diverged \(first at t = "):
        solution = sdde.solve(problem, (0.0, 6.0), dt=0.01, paths=100, rng=4)
    lost = solution.status == "diverged"
    assert 0 < lost.sum() < 100
    assert set(solution.status) == {"done", "diverged"}
    assert np.isfinite(solution.x[~lost]).all()
    for path in np.flatnonzero(lost):
        after = solution.t >= solution.end_time[path] - 1e-9
        assert np.isnan(solution.x[path, after]).all()
        assert np.isfinite(solution.x[path, ~after]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdde.SolutionWarning)
        again = sdde.solve(problem, (0.0, 6.0), dt=0.01, paths=30, rng=4, save="final")
    np.testing.assert_array_equal(again.end_time, solution.end_time[:30])


def test_new_parameters_delays_and_time_steps_do_not_recompile(monkeypatch):
    """A sweep must cost no compilation."""
    from sdde.engine import compile as compiling

    problem = sdde.Problem(
        lambda t, x, d, a, b: -a * d[0] + b[1], 0.3, delays=1.0, history=1.0,
        args=(0.5, np.array([1.0, 2.0])),
    )  # fmt: skip
    sdde.solve(problem, (0.0, 1.0), dt=0.1, paths=100, rng=1)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(compiling, "_chunk", refuse)
    for changed in (
        problem.replace(args=(0.7, np.array([3.0, 4.0]))),
        problem.replace(delays=0.777),
        problem.replace(diffusion=0.4),
        problem.replace(history=lambda t: t),
    ):
        sdde.solve(changed, (0.0, 1.0), dt=0.03, paths=200, rng=2, save="final")


def test_progress_is_told_how_many_paths_are_finished():
    """A caller's bar must end at the total."""
    seen = []
    problem = sdde.Problem(lambda t, x, d: -x, 1.0, history=0.0)
    sdde.solve(
        problem, (0.0, 1.0), dt=0.1, paths=1000, rng=1, threads=2,
        progress=lambda finished, total: seen.append((finished, total)),
    )  # fmt: skip
    assert seen[-1] == (1000, 1000)
    assert seen == sorted(seen)


def test_an_interrupt_returns_what_was_finished(monkeypatch):
    """Ctrl-C must not throw away hours of work."""
    problem = sdde.Problem(lambda t, x, d: -x, 1.0, history=0.0)

    def interrupt(finished, total):
        raise KeyboardInterrupt

    with pytest.warns(sdde.SolutionWarning, match="interrupted"):
        solution = sdde.solve(
            problem, (0.0, 300.0), dt=0.001, paths=1000, rng=1, threads=1, save=30_000,
            progress=interrupt,
        )  # fmt: skip
    done = solution.status == "done"
    assert 0 < done.sum() < 1000
    assert set(solution.status) == {"done", "interrupted"}
    assert np.isfinite(solution.x[done]).all()
    assert np.isnan(solution.x[~done, -1]).all()


def _good(**changes):
    return {"drift": lambda t, x, d: -x, "history": 1.0} | changes


@pytest.mark.parametrize(
    ("changes", "solve_changes", "match"),
    [
        ({}, {"dt": 0.0}, "dt = 0.0 is not positive"),
        ({}, {"dt": -0.1}, "dt = -0.1 is not positive"),
        ({}, {"paths": 0}, "paths = 0 is below 1"),
        ({}, {"paths": 2.0}, "paths = 2.0 is not a whole number"),
        ({}, {"t_span": (1.0, 1.0)}, "does not go forward"),
        ({}, {"t_span": 1.0}, "is not a pair"),
        ({}, {"method": "rk4"}, "method = 'rk4' is not known"),
        ({}, {"save": "some"}, "save = 'some' is not known"),
        ({}, {"save": [0.5, 0.2]}, "does not increase"),
        ({}, {"save": [0.5, 2.0]}, "leaves t_span"),
        ({}, {"rng": "seven"}, "rng = 'seven' is not a seed"),
        ({}, {"threads": 0}, "threads = 0 is below 1"),
        ({"drift": lambda x, t: -x}, {}, r"drift\(x, t\) cannot be called with 3 arguments"),
        ({"drift": lambda t, x, d, a: -x}, {}, r"\(t, x, delayed, \*args\)"),
        ({"drift": lambda t, x, d: [1.0, 2.0]}, {}, r"drift returned shape \(2,\) at t = 0"),
        ({"drift": lambda t, x, d: 1.0 / (x - 1.0)}, {}, "drift failed at t = 0: ZeroDivision"),
        ({"drift": lambda t, x, d: np.log(x - 1.0)}, {}, "is not finite"),
        ({"drift": lambda t, x, d: None}, {}, "expected numbers"),
        ({"drift": lambda t, x, d: d[0]}, {}, "drift failed at t = 0: IndexError"),
        ({"diffusion": lambda t, x, d: [x, x]}, {}, r"diffusion returned shape \(2,\)"),
        ({"diffusion": [0.1, 0.2]}, {}, r"diffusion = .* has shape \(2,\), expected \(\)"),
        ({"history": ([-1.0, 0.0], [1.0, 1.0]), "delays": 2.0}, {}, "begins at t = -1"),
        ({"history": ([-2.0, -1.0], [1.0, 1.0])}, {}, "ends at t = -1, before the start"),
    ],
)
def test_misuse_is_refused_before_anything_is_compiled(changes, solve_changes, match, monkeypatch):
    """Each fault has one clear message; compiling first would waste the user's time."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    arguments = {"t_span": (0.0, 1.0), "dt": 0.1} | solve_changes
    problem = sdde.Problem(**_good(**changes))
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(problem, **arguments)


def test_what_an_earlier_solve_found_counts_only_while_the_functions_are_the_same():
    """A value that a function refers to may change between two solves of one problem."""
    state = {"gain": 1.0}

    def drift(t, x, delayed):
        return -state["gain"] * x

    problem = sdde.Problem(drift, history=1.0)

    def last(t1=1.0):
        return sdde.solve(problem, (0.0, t1), dt=0.5, save="final").x[0, 0]

    assert [last(), last(), last(2.0), last()] == [0.25, 0.25, 0.0625, 0.25]
    state["gain"] = 2.0
    assert last() == 0.0
    state["gain"] = "none"
    with pytest.raises(sdde.ArgumentError, match="drift"):
        last()
