"""Delays that change: equality with the slow twin, exact solutions, promises, faults."""

import math
import sys

import numpy as np
import pytest
import scipy.special
import scipy.stats

import sdde
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law
from tests import reference_delays as slow

LAW = scipy.stats.uniform(0.05, 0.4)
GAMMA = scipy.stats.gamma(3, scale=0.1)


def drawn(law):
    table = as_law(law, "law", minimum=None).table()
    return lambda u: quantile(table, u)


def swing(t, a):
    return 0.2 + 0.1 * t * a


def slower(t, x, a):
    return 0.3 + 0.1 * a * x * x / (1.0 + x * x)


def slowest(t, x, a):
    """A branch on the state: the function is called, not read."""
    return 0.3 if x > 0.5 else 0.05 * a


WINDOW = sdde.DistributedDelay(lambda s: 1.0 + s, longest=0.33)
KINDS = {
    "time": (sdde.TimeDelay(swing, longest=0.7), slow.Time(swing)),
    "state": (
        sdde.StateDelay(slower, longest=0.6),
        slow.State(lambda t, x, a: slower(t, x[0], a)),
    ),
    "called": (
        sdde.StateDelay(slowest, longest=0.6),
        slow.State(lambda t, x, a: slowest(t, x[0], a)),
    ),
    "random": (sdde.RandomDelay(LAW), slow.Drawn(drawn(LAW))),
    "sum": (WINDOW, slow.Sum(WINDOW.weights(0.02))),
    "short": (sdde.TimeDelay(lambda t, a: 0.011, longest=1.0), slow.Time(lambda t, a: 0.011)),
}


@pytest.mark.parametrize(
    ("kind", "paths"),
    [*((kind, 1) for kind in KINDS), *((kind, 40) for kind in KINDS), ("state", 3)],
)
def test_a_scalar_path_equals_its_plain_python_twin(kind, paths):
    """The twin is written from the formula, so the compiled loop is that formula."""
    delay, twin_delay = KINDS[kind]

    def drift(t, x, delayed, a):
        return -a * delayed[0] + 0.3 * delayed[1]

    def history(t):
        return 1.0 + t * t

    problem = sdde.Problem(
        drift, lambda t, x, d, a: 0.1 + 0.2 * d[0], delays=(delay, 0.25), history=history,
        args=(1.5,),
    )  # fmt: skip
    solution = sdde.solve(problem, (0.5, 1.7), dt=0.02, paths=paths, rng=3)
    twin = slow.Twin(
        lambda t, x, d, a: [drift(t, x[0], [v[0] for v in d], a)],
        lambda t, x, d, a: [0.1 + 0.2 * d[0][0]],
        (twin_delay, slow.Fixed(0.25)), lambda t: [history(t)], 0.5, 0.02, 3, paths - 1,
        args=(1.5,),
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[-1], np.array(twin.run(60))[:, 0])


def _turn(t, x, delayed):
    return (-delayed[0][1] + delayed[2][0], delayed[1][0] - delayed[3][1])


def _far(t, x):
    return 0.1 + 0.2 * x[0] * x[0] / (1.0 + x[1] * x[1] + x[0] * x[0])


def _branching(t, x):
    return 0.3 if x[1] > 0.5 else 0.02


@pytest.mark.parametrize(("paths", "far"), [(1, _far), (70, _far), (3, _branching)])
def test_a_system_with_delays_of_all_kinds_equals_its_plain_python_twin(paths, far):
    """Components, delays and lanes must not be mixed up."""
    delays = (
        sdde.StateDelay(far, longest=0.4), sdde.RandomDelay(LAW), WINDOW,
        sdde.TimeDelay(lambda t: 0.3 * t, longest=0.31),
    )  # fmt: skip
    problem = sdde.Problem(_turn, (0.2, 0.1), delays=delays, history=[1.0, 0.5])
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=paths, rng=4)
    twin = slow.Twin(
        _turn, lambda t, x, d: (0.2, 0.1),
        (
            slow.State(far), slow.Drawn(drawn(LAW)), slow.Sum(WINDOW.weights(0.02)),
            slow.Time(lambda t: 0.3 * t),
        ),
        lambda t: [1.0, 0.5], 0.0, 0.02, 4, paths - 1,
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[-1], twin.run(50))


@pytest.mark.parametrize("paths", [1, 9])
def test_heun_reads_every_kind_of_delay_at_the_end_of_the_step(paths):
    """Delays shorter than the step read the prediction, draws are those of the step's start."""
    delays = (
        sdde.StateDelay(_far, longest=0.4), sdde.RandomDelay(LAW), WINDOW,
        sdde.TimeDelay(lambda t: 0.3 * t, longest=0.31), sdde.DistributedDelay(GAMMA), 0.05,
    )  # fmt: skip

    def drift(t, x, d):
        return (
            -d[0][1] + d[2][0] - d[4][1] * x[0] + 0.1 * d[5][1],
            d[1][0] - d[3][1] + d[4][0] + 0.1 * t,
        )

    problem = sdde.Problem(drift, (0.2, 0.1), delays=delays, history=[1.0, 0.5])
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.04, paths=paths, rng=4, method="heun")
    twin = slow.Twin(
        drift, lambda t, x, d: (0.2, 0.1),
        (
            slow.State(_far), slow.Drawn(drawn(LAW)), slow.Sum(WINDOW.weights(0.04)),
            slow.Time(lambda t: 0.3 * t), slow.Chain(3, 10.0, [[1.0, 0.5]] * 3), slow.Fixed(0.05),
        ),
        lambda t: [1.0, 0.5], 0.0, 0.04, 4, paths - 1, heun=True,
    )  # fmt: skip
    np.testing.assert_allclose(solution.x[-1], twin.run(25), rtol=1e-12)


@pytest.mark.parametrize("dim", [3, 20])
@pytest.mark.parametrize("method", ["euler-maruyama", "heun"])
def test_a_large_system_reads_its_delays_like_a_small_one(dim, method):
    """Independent copies of a scalar equation, in lanes of arrays or written out, are the same."""
    delays = (
        sdde.StateDelay(lambda t, x: 0.1 + 0.2 / (1.0 + x[0] * x[0]), longest=0.4),
        sdde.RandomDelay(LAW), WINDOW, sdde.TimeDelay(lambda t: 0.3 * t, longest=0.31),
        sdde.DistributedDelay(GAMMA),
    )  # fmt: skip
    weights = np.array([0.5, -0.7, 0.9, -1.0, 0.4])

    def drift(t, x, d):
        return weights[0] * d[0] + weights[1] * d[1] + weights[2] * d[2] + weights[3] * d[3] + (
            weights[4] * d[4]
        )  # fmt: skip

    problem = sdde.Problem(drift, delays=delays, history=np.ones(dim))
    small = sdde.Problem(drift, delays=delays, history=np.ones(1))
    x = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=20, rng=4, method=method).x
    one = sdde.solve(small, (0.0, 1.0), dt=0.02, paths=20, rng=4, method=method).x
    np.testing.assert_allclose(x, np.broadcast_to(one, x.shape), rtol=1e-12)


def test_a_delay_that_does_not_change_is_that_number():
    """Every kind contains the fixed delay; on the grid bit for bit."""
    kinds = [
        0.5, sdde.TimeDelay(lambda t: 0.5, longest=0.8), sdde.RandomDelay(0.5),
        sdde.StateDelay(lambda t, x: 0.5, longest=0.5), sdde.DistributedDelay(0.5),
    ]  # fmt: skip
    paths = []
    for kind in kinds:
        problem = sdde.Problem(lambda t, x, d: -d[0], 0.3, delays=kind, history=1.0)
        paths.append(sdde.solve(problem, (0.0, 2.0), dt=0.125, paths=5, rng=1).x)
    for x in paths[1:]:
        np.testing.assert_array_equal(x, paths[0])


@pytest.mark.parametrize("stages", [1, 2, 5])
@pytest.mark.parametrize("history", [2.0, lambda t: math.cos(t)])
def test_the_chain_of_a_gamma_law_is_its_sum_over_the_past(stages, history):
    """Two derivations of one integral: a sum over grid states, and averages of averages."""
    law = scipy.stats.gamma(stages, scale=0.2)
    chain = sdde.DistributedDelay(law)
    total = sdde.DistributedDelay(law, longest=float(law.isf(1e-13)))
    assert chain.chain == (stages, 5.0)
    assert total.chain is None
    x = []
    for delay in (chain, total):
        problem = sdde.Problem(
            lambda t, x, d: -2.0 * d[0] - 0.5 * x, 0.3, delays=delay, history=history
        )
        x.append(sdde.solve(problem, (0.0, 3.0), dt=0.05, paths=9, rng=1).x)
    np.testing.assert_allclose(x[0], x[1], rtol=0.0, atol=1e-10)


def test_a_chain_equals_its_plain_python_twin():
    """The chain's own recursion, whose incomplete gamma functions come from another series."""
    problem = sdde.Problem(
        lambda t, x, d: -2.0 * d[0], 0.3, delays=sdde.DistributedDelay(GAMMA), history=1.0
    )
    x = sdde.solve(problem, (0.0, 2.0), dt=0.05, paths=3, rng=5).x[2]
    twin = slow.Twin(
        lambda t, x, d: [-2.0 * d[0][0]], lambda t, x, d: [0.3],
        (slow.Chain(3, 10.0, [[1.0]] * 3),), lambda t: [1.0], 0.0, 0.05, 5, 2,
    )  # fmt: skip
    np.testing.assert_allclose(x, np.array(twin.run(40))[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("delay", "mean"),
    [
        (sdde.DistributedDelay(scipy.stats.lognorm(0.5)), math.exp(0.125)),
        (sdde.DistributedDelay(scipy.stats.gamma(0.5)), 0.5),
        (sdde.DistributedDelay(np.array([0.1, 0.25, 0.31])), 0.22),
        (sdde.DistributedDelay(scipy.stats.poisson(2.0)), 2.0),
    ],
)
def test_the_weights_of_a_law_have_its_mass_and_mean(delay, mean):
    """Hat functions sum to 1 and to the identity, so both are kept exactly."""
    weights = delay.weights(0.07)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights @ (0.07 * np.arange(len(weights))) == pytest.approx(mean, abs=1e-9)
    assert (weights > -1e-12).all()


def test_the_weights_of_a_kernel_integrate_straight_lines_exactly():
    """Whatever the sign of the kernel, and where the last cell is cut short."""
    weights = sdde.DistributedDelay(np.cos, longest=2.03).weights(0.07)
    ages = 0.07 * np.arange(len(weights))
    assert weights.sum() == pytest.approx(math.sin(2.03), abs=1e-13)
    exact = 2.03 * math.sin(2.03) + math.cos(2.03) - 1.0
    assert weights @ ages == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize(
    ("drift", "delay", "history", "span", "exact"),
    [
        # The pantograph equation: a power series.
        (
            lambda t, x, d: -d[0], sdde.TimeDelay(lambda t: 0.5 * t, longest=1.0), 1.0, (0.0, 2.0),
            sum((-2.0) ** k * 0.5 ** (k * (k - 1) / 2) / math.factorial(k) for k in range(30)),
        ),
        # x' = -x(t / 2 - 1): the history 1 alone is read up to t = 2, then 1 - t.
        (
            lambda t, x, d: -d[0], sdde.TimeDelay(lambda t: 1.0 + 0.5 * t, longest=3.0),
            lambda t: 1.0, (0.0, 4.0), -2.0,
        ),
        # x' = x x(ln x) / t: x = t up to e, then exp(t / e), then (e / (3 - ln t))^e.
        (
            lambda t, x, d: x * d[0] / t,
            sdde.StateDelay(lambda t, x: t - np.log(np.maximum(x, 1.0)), longest=4.0), 1.0,
            (1.0, 5.0), math.exp(5.0 / math.e),
        ),
        # Feldstein and Neves: x = sqrt(t), then t / 4 + 1 / 2 + (1 - sqrt(2) / 2) sqrt(t).
        (
            lambda t, x, d: 0.5 * d[0] / np.sqrt(t),
            sdde.StateDelay(lambda t, x: t - x + math.sqrt(2.0) - 1.0, longest=2.5), 1.0,
            (1.0, 3.0), 0.75 + 0.5 + (1.0 - math.sqrt(0.5)) * math.sqrt(3.0),
        ),
        # Memory of two exponential stages: x'' and so on, a linear system solved by its matrix.
        (
            lambda t, x, d: -d[0], sdde.DistributedDelay(scipy.stats.gamma(2, scale=0.5)), 1.0,
            (0.0, 2.0),
            float(
                (scipy.linalg.expm(
                    2.0 * np.array([[0.0, 0.0, -1.0], [2.0, -2.0, 0.0], [0.0, 2.0, -2.0]])
                ) @ np.ones(3))[0]
            ),
        ),
    ],
)  # fmt: skip
def test_deterministic_equations_converge_to_their_exact_solutions(
    drift, delay, history, span, exact
):
    """Order 1, with errors that halve: closed forms for delays that change with time and state."""
    problem = sdde.Problem(drift, delays=delay, history=history)
    errors = np.array(
        [
            sdde.solve(problem, span, dt=dt, save="final").x[0, 0] - exact
            for dt in (1.0 / 256, 1.0 / 512, 1.0 / 1024)
        ]
    )
    assert abs(errors[-1]) < 0.01
    np.testing.assert_allclose(errors[:-1] / errors[1:], 2.0, atol=0.2)


def test_an_average_with_exponential_memory_has_its_exact_variance():
    """A two-dimensional linear equation: its Euler-Maruyama covariance solves a linear system."""
    dt, paths, b, c = 1.0 / 32.0, 20_000, 1.5, 2.0
    memory = sdde.DistributedDelay(scipy.stats.expon(scale=1.0 / c))
    problem = sdde.Problem(lambda t, x, d: -b * d[0], 0.7, delays=memory, history=0.0)
    # x' = x - b dt y + noise, y' = kept y + early x + late x': one step is a matrix.
    kept = math.exp(-c * dt)
    early = scipy.special.gammainc(2, c * dt) / (c * dt)
    late = 1.0 - kept - early
    step = np.array([[1.0, -b * dt], [early + late, kept - late * b * dt]])
    kick = 0.7 * math.sqrt(dt) * np.array([[1.0], [late]])
    exact = scipy.linalg.solve_discrete_lyapunov(step, kick @ kick.T)[0, 0]
    x = sdde.solve(problem, (0.0, 20.0), dt=dt, paths=paths, rng=2, save="final").x[:, 0]
    z = 5.0  # false alarm 6e-7
    assert abs(x.var() - exact) < z * exact * math.sqrt(2.0 / paths)


def test_a_delay_drawn_at_each_step_has_its_exact_mean_and_variance():
    """Steps draw independently, so moments of the scheme obey a linear recursion; exact in dt."""
    dt, paths, atoms = 0.25, 40_000, np.array([0.25, 0.75])
    problem = sdde.Problem(
        lambda t, x, d: -d[0], delays=sdde.RandomDelay(atoms), history=1.0
    )  # fmt: skip
    mean = np.ones(4)  # x_n, x_{n-1}, ...
    second = np.ones((4, 4))
    shift = np.eye(4, k=-1)
    for _ in range(12):
        step = [shift.copy(), shift.copy()]
        for matrix, lag in zip(step, (1, 3), strict=True):
            matrix[0] = 0.0
            matrix[0, 0] = 1.0
            matrix[0, lag] -= dt
        mean = sum(matrix @ mean for matrix in step) / 2.0
        second = sum(matrix @ second @ matrix.T for matrix in step) / 2.0
    x = sdde.solve(problem, (0.0, 3.0), dt=dt, paths=paths, rng=8, save="final").x[:, 0]
    variance = second[0, 0] - mean[0] ** 2
    kurtosis = float(((x - x.mean()) ** 4).mean() / x.var() ** 2)
    z = 5.0  # false alarm 6e-7
    assert abs(x.mean() - mean[0]) < z * math.sqrt(variance / paths)
    assert abs(x.var() - variance) < z * variance * math.sqrt((kurtosis - 1.0) / paths)


def test_new_values_of_delays_do_not_recompile(monkeypatch):
    """Arguments, bounds, laws and kernels are values."""
    from sdde.engine import compile as compiling

    def f(t, a):
        return a * t

    def solve(longest, a, law, kernel):
        delays = (
            sdde.TimeDelay(f, longest=longest), sdde.RandomDelay(law),
            sdde.DistributedDelay(kernel, longest=0.5),
        )  # fmt: skip
        problem = sdde.Problem(
            lambda t, x, d, a: -d[0] - d[1] + d[2], delays=delays, history=1.0, args=(a,)
        )
        sdde.solve(problem, (0.0, 1.0), dt=0.1, paths=3, rng=1)

    solve(1.0, 0.5, LAW, np.cos)
    monkeypatch.setattr(compiling, "_chunk", None)
    solve(2.0, 0.7, scipy.stats.expon(), lambda s: 1.0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("delay", "match"),
    [
        (
            sdde.TimeDelay(lambda t: t, longest=1.0),
            r"delays\[1\] = TimeDelay\(.* was 1\.\d* at t = 1\.\d* in path \d+, above longest = 1",
        ),
        (
            sdde.TimeDelay(lambda t: 1.0 - t, longest=1.0),
            r"was -0\.0\d* at t = 1\.0\d* in path \d+, which is negative",
        ),
        (
            sdde.StateDelay(lambda t, x: 0.1 + x * x, longest=1.5),
            r"delays\[1\] = StateDelay\(.* above longest = 1.5\.\n.*\n.* longest = ",
        ),
        (
            sdde.StateDelay(lambda t, x: np.sqrt(1.1 - t), longest=1.5),
            r"was not a number at t = 1\.1\d* in path \d+",
        ),
        (
            sdde.RandomDelay(np.append(np.full(1_999_999, 0.1), 0.5), longest=0.3),
            r"was 0\.5 at t = .*, above longest = 0\.3",
        ),
    ],
)
def test_a_delay_out_of_its_bounds_ends_the_run_with_an_error(delay, match, threads):
    """A state that is no longer kept cannot be read, and must not be read wrongly."""
    problem = sdde.Problem(lambda t, x, d: 0.0, 1.0, delays=(0.5, delay), history=0.0)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(problem, (0.0, 3.0), dt=0.01, paths=20_000, rng=1, threads=threads, save="final")


def test_functions_may_return_whole_numbers():
    """Branches on the time make them functions that are called; 1 is a delay like 1.0."""
    whole, real = (
        sdde.Problem(
            lambda t, x, d: -d[0], 0.1, delays=sdde.TimeDelay(function, 2.0), history=1.0,
            jumps=sdde.Jump(rate, lambda t, x, d, mark: 0.1, longest_rate=2.0),
        )
        for function, rate in (
            (lambda t: 1 if t < 1.0 else 2, lambda t, x, d: 1 if x < 0.5 else 2),
            (lambda t: 1.0 if t < 1.0 else 2.0, lambda t, x, d: 1.0 if x < 0.5 else 2.0),
        )
    )  # fmt: skip
    x, y = (sdde.solve(p, (0.0, 3.0), dt=0.1, rng=1, paths=3).x for p in (whole, real))
    np.testing.assert_array_equal(x, y)


def test_a_diverging_path_does_not_break_the_bounds_of_its_delay():
    """Divergence is data, also where the delay is a function of the state."""
    delay = sdde.StateDelay(lambda t, x: 0.1 * abs(x) ** 0.05, longest=1.0)
    problem = sdde.Problem(lambda t, x, d: x * x * x, 0.5, delays=delay, history=0.0)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        solution = sdde.solve(problem, (0.0, 9.0), dt=0.01, paths=50, rng=4)
    assert "done" in solution.status
    assert "diverged" in solution.status


def test_lanes_that_no_path_uses_have_no_bounds():
    """Three paths run in a block of eight, whose other lanes stand at 0."""
    delay = sdde.StateDelay(lambda t, x: 1.0 / x, longest=2.0)
    problem = sdde.Problem(lambda t, x, d: 0.0 * d[0], delays=delay, history=1.0)
    assert (sdde.solve(problem, (0.0, 3.0), dt=0.1, paths=3).x == 1.0).all()


def test_memory_is_set_by_the_longest_delay():
    """A chain of averages keeps none, whatever its mean."""
    from sdde.solving.plan import plan

    def deepest(delay):
        problem = sdde.Problem(lambda t, x, d: -d[0], delays=delay, history=1.0)
        return plan(problem, 0.0, 1e6, 0.1).deepest

    assert deepest(sdde.TimeDelay(lambda t: 1.0, longest=5.0)) == 51
    assert deepest(sdde.DistributedDelay(scipy.stats.uniform(0.0, 5.0))) == 51
    assert deepest(sdde.DistributedDelay(scipy.stats.gamma(4, scale=100.0))) <= 1


def test_a_growing_delay_needs_no_history_that_it_never_reads():
    """x(t / 2) starts at t = 0: samples of one earlier time suffice, whatever `longest` is."""
    delay = sdde.TimeDelay(lambda t: 0.5 * t, longest=1.0)
    samples = (np.array([-0.1, 0.0]), np.array([1.0, 1.0]))
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=delay, history=samples)
    constant = problem.replace(history=1.0)
    x, y = (sdde.solve(p, (0.0, 2.0), dt=0.1).x for p in (problem, constant))
    np.testing.assert_array_equal(x, y)
    late = problem.replace(delays=sdde.TimeDelay(lambda t: 1.0 + 0.0 * t, longest=2.0))
    with pytest.raises(sdde.ArgumentError, match=r"begins at t = -0\.1, but states are read back"):
        sdde.solve(late, (0.0, 2.0), dt=0.1)


def test_samples_that_begin_exactly_one_delay_before_the_start_suffice():
    """The row before them only serves to interpolate, and is not read."""
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=1.0, history=([-1.0, 0.0], [1.0, 1.0]))
    x = sdde.solve(problem, (0.0, 2.0), dt=0.1).x
    np.testing.assert_array_equal(x, sdde.solve(problem.replace(history=1.0), (0.0, 2.0), dt=0.1).x)


BAD = {
    "longest = 0": lambda: sdde.TimeDelay(lambda t: t, longest=0.0),
    "longest = -1": lambda: sdde.StateDelay(lambda t, x: x, longest=-1.0),
    "longest = inf": lambda: sdde.TimeDelay(lambda t: t, longest=math.inf),
    "function = 2.0 cannot be called": lambda: sdde.TimeDelay(2.0, longest=1.0),
    "function = None cannot be called": lambda: sdde.StateDelay(None, longest=1.0),
    "law = 'late' is not a law": lambda: sdde.RandomDelay("late"),
    "law = .* can take values below 0": lambda: sdde.RandomDelay(scipy.stats.norm()),
    "longest = 1.0 is exceeded by a share 0.37": lambda: sdde.RandomDelay(
        scipy.stats.expon(), longest=1.0
    ),
    "longest = None is missing, and kernel is a function": lambda: sdde.DistributedDelay(np.cos),
    "kernel = 'late' is not a law": lambda: sdde.DistributedDelay("late"),
    "kernel = .* can take values below 0": lambda: sdde.DistributedDelay(scipy.stats.norm()),
    "delays = .* is a law, which may mean two things": lambda: _solve(scipy.stats.expon()),
    r"delays\[0\] = .* is a function without a bound": lambda: _solve([lambda t: 1.0]),
    r"delays\[0\].function\(x, y\) cannot be called with 1 arg": lambda: _solve(
        [sdde.TimeDelay(lambda x, y: 1.0, longest=1.0)]
    ),
    r"delays\[0\].function returned shape \(2,\)": lambda: _solve(
        [sdde.TimeDelay(lambda t: [1.0, 2.0], longest=1.0)]
    ),
    r"delays\[0\] is 3 at t = 0, expected between 0 and longest = 2": lambda: _solve(
        [sdde.StateDelay(lambda t, x: 3.0, longest=2.0)]
    ),
    r"delays\[0\] is -1 at t = 0": lambda: _solve([sdde.TimeDelay(lambda t: -1.0, longest=2.0)]),
    "kernel = .* failed .ZeroDivisionError": lambda: _solve(
        sdde.DistributedDelay(lambda s: 1.0 / 0.0, longest=1.0)
    ),
    "kernel = .* is not finite at age": lambda: _solve(
        sdde.DistributedDelay(lambda s: np.log(-s), longest=1.0)
    ),
}


def _solve(delays):
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=delays, history=1.0)
    return sdde.solve(problem, (0.0, 1.0), dt=0.1)


@pytest.mark.parametrize("match", BAD)
def test_misuse_of_a_delay_is_refused_before_anything_is_compiled(match, monkeypatch):
    """Each fault has one clear message."""
    monkeypatch.setattr(sys.modules["sdde.solving.running"], "compile_model", None)
    with pytest.raises(sdde.ArgumentError, match=f"^{match}"), np.errstate(all="ignore"):
        BAD[match]()
