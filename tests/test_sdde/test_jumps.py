"""Jumps: equality with the slow twin, exact laws of asynchronous SGD, thinning, faults."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import sdde
from tests import reference


def _law(law, name):
    from sdde.engine.kernels.quantile import quantile
    from sdde.equation.laws import as_law

    table = as_law(law, name, minimum=None).table()
    return lambda u: quantile(table, u)


GAMMA = scipy.stats.gamma(4, scale=0.1)
MEASURED = np.array([0.05, 0.2, 0.21, 0.4])


@pytest.mark.parametrize("history", [1.0, lambda t: 1.0 + 0.5 * t])
def test_a_scalar_path_with_delayed_jumps_equals_its_plain_python_twin(history):
    """Order of events, their delays, marks and reads within a step are all in the twin."""

    def effect(t, x, delayed, mark, eta):
        return -eta * (delayed[0] + 0.5 * delayed[1] * x + mark)

    def kick(t, x, delayed, mark, eta):
        return 0.1 * mark[0] - 0.05 * mark[1] * delayed[0]

    jumps = (
        sdde.Jump(9.0, effect, delays=(GAMMA, MEASURED), mark=scipy.stats.norm(0, 0.3)),
        sdde.Jump(3.0, kick, delays=0.0, mark=(scipy.stats.uniform(), np.array([1.0, 2.0]))),
    )
    problem = sdde.Problem(
        lambda t, x, d, eta: -0.2 * d[0],
        0.1,
        delays=0.15,
        history=history,
        args=(0.3,),
        jumps=jumps,
    )
    solution = sdde.solve(problem, (0.0, 3.0), dt=0.1, paths=4, rng=6)
    start = history if callable(history) else lambda t: history
    arrivals = [
        reference.Arrival(
            9.0, lambda t, x, d, m, eta: [effect(t, x[0], [v[0] for v in d], m, eta)],
            delays=[_law(GAMMA, "d"), _law(MEASURED, "d")],
            marks=[_law(scipy.stats.norm(0, 0.3), "m")],
        ),
        reference.Arrival(
            3.0, lambda t, x, d, m, eta: [kick(t, x[0], [v[0] for v in d], m, eta)],
            delays=[lambda u: 0.0], mark_vector=True,
            marks=[_law(scipy.stats.uniform(), "m"), _law(np.array([1.0, 2.0]), "m")],
        ),
    ]  # fmt: skip
    for path in range(4):
        twin = reference.euler_maruyama(
            lambda t, x, d, eta: [-0.2 * d[0][0]], lambda t, x, d, eta: [0.1], (0.15,),
            lambda t: [start(t)], 0.0, 0.1, 30, 6, path, args=(0.3,), arrivals=arrivals,
        )  # fmt: skip
        np.testing.assert_array_equal(solution.x[path], twin[:, 0])
    alone = sdde.solve(problem, (0.0, 3.0), dt=0.1, rng=6)
    np.testing.assert_array_equal(alone.x[0], solution.x[0])


def test_a_system_with_a_varying_rate_equals_its_plain_python_twin():
    """Thinning reads the state and the problem's delays at the exact time of the candidate."""

    def rate(t, x, delayed):
        return 2.0 + 3.0 * delayed[0][0] ** 2 / (1.0 + x[1] * x[1])

    def effect(t, x, delayed, mark):
        return (-0.2 * delayed[0][1], 0.1 * x[0] + 0.0 * mark)

    problem = sdde.Problem(
        lambda t, x, d: (-x[0], -x[1] + d[0][0]), (0.2, 0.1), delays=0.25, history=[0.6, 0.2],
        jumps=sdde.Jump(rate, effect, longest_rate=20.0),
    )  # fmt: skip
    solution = sdde.solve(problem, (0.0, 2.0), dt=0.05, paths=3, rng=9)
    twin = reference.euler_maruyama(
        lambda t, x, d: (-x[0], -x[1] + d[0][0]), lambda t, x, d: (0.2, 0.1), (0.25,),
        lambda t: [0.6, 0.2], 0.0, 0.05, 40, 9, 2,
        arrivals=[reference.Arrival(rate, effect, longest_rate=20.0)],
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[2], twin)


def _fundamental_square(rate, law):
    """The integral of the squared fundamental solution of x' = -rate E x(t - T), in frequency."""
    transform = sdde.Jump(1.0, lambda *a: 0.0, delays=law).delay_laws[0].laplace

    def density(w):
        return 1.0 / abs(1j * w + rate * complex(transform(1j * w))) ** 2

    parts = [(0.0, 1.0), (1.0, 4.0), (4.0, 30.0), (30.0, 2000.0)]
    values = [scipy.integrate.quad(density, *part, limit=400)[0] for part in parts]
    return (sum(values) + 1.0 / 2000.0) / math.pi


@pytest.mark.parametrize("law", [1.0, scipy.stats.gamma(2, scale=0.5)])
def test_asynchronous_sgd_has_its_exact_stationary_mean_and_variance(law):
    """V = l h^2 n^2 R / (1 - l h^2 c^2 R) for gradients at past states (derived here)."""
    arrivals, eta, curvature, noise, dt, paths = 5.0, 0.1, 1.0, 0.5, 1.0 / 256.0, 6000
    problem = sdde.Problem(
        lambda t, x, d: 0.0, history=0.0,
        jumps=sdde.Jump(
            arrivals, lambda t, x, d, mark: -eta * (curvature * d[0] + noise * mark),
            delays=law, mark=scipy.stats.norm(),
        ),
    )  # fmt: skip
    solution = sdde.solve(problem, (0.0, 30.0), dt=dt, paths=paths, rng=21, save="final")
    square = _fundamental_square(arrivals * eta * curvature, law)
    exact = arrivals * eta**2 * noise**2 * square / (1 - arrivals * eta**2 * curvature**2 * square)
    x = solution.x[:, 0]
    kurtosis = float((x**4).mean() / (x**2).mean() ** 2)
    z = 5.0  # false alarm 6e-7
    # Straight lines between grid times lower E x(t - T)^2 by arrivals * dt / 6 times the mean
    # square of a jump: 4e-4 of it here, against 9e-2 allowed to chance.
    assert abs(x.mean()) < z * math.sqrt(exact / paths)
    assert abs(x.var() - exact) < z * exact * math.sqrt((kurtosis - 1.0) / paths)


def test_marks_add_a_compound_poisson_process():
    """Mean and variance of a sum of marks are rate times time times their moments."""
    problem = sdde.Problem(
        lambda t, x, d: 0.0, history=0.0,
        jumps=sdde.Jump(4.0, lambda t, x, d, mark: mark, mark=scipy.stats.gamma(2.0, scale=0.5)),
    )  # fmt: skip
    x = sdde.solve(problem, (0.0, 5.0), dt=0.25, paths=20_000, rng=3, save="final").x[:, 0]
    mean, second = 4.0 * 5.0 * 1.0, 4.0 * 5.0 * 1.5
    assert abs(x.mean() - mean) < 5.0 * math.sqrt(second / 20_000)  # false alarm 6e-7
    assert abs(x.var() - second) < 5.0 * second * math.sqrt(2.2 / 20_000)


def test_sweeping_rates_and_laws_does_not_recompile(monkeypatch):
    """Rates and laws are values."""
    from sdde.engine import compile as compiling

    def solve(rate, law):
        jump = sdde.Jump(rate, lambda t, x, d, mark: -0.1 * d[0], delays=law)
        problem = sdde.Problem(lambda t, x, d: 0.0, history=1.0, jumps=jump)
        return sdde.solve(problem, (0.0, 2.0), dt=0.1, paths=3, rng=1)

    solve(1.0, 0.5)
    monkeypatch.setattr(compiling, "_chunk", None)
    solve(2.0, scipy.stats.expon(scale=0.3))
    solve(0.0, MEASURED)


def test_a_rate_of_zero_brings_no_arrivals():
    """The limit of rare arrivals."""
    jump = sdde.Jump(0.0, lambda t, x, d, mark: 1.0)
    problem = sdde.Problem(lambda t, x, d: 0.0, history=1.0, jumps=jump)
    assert (sdde.solve(problem, (0.0, 9.0), dt=0.5, paths=5, rng=1).x == 1.0).all()


def test_a_rate_above_its_bound_is_refused():
    """Thinning with a bound that is exceeded would silently lose arrivals."""
    jump = sdde.Jump(lambda t, x, d: 1.0 + t, lambda t, x, d, mark: 0.1, longest_rate=2.0)
    problem = sdde.Problem(lambda t, x, d: 0.0, history=1.0, jumps=jump)
    with pytest.raises(sdde.ArgumentError, match="was exceeded by rate"):
        sdde.solve(problem, (0.0, 20.0), dt=0.1, paths=5, rng=1)


@pytest.mark.parametrize(
    ("arguments", "keywords", "match"),
    [
        ((-1.0, lambda: 0), {}, "rate = -1.0 is negative"),
        ((1.0, 3.0), {}, "effect = 3.0 cannot be called"),
        ((lambda t, x, d: 1.0, lambda: 0), {}, "longest_rate = None is missing"),
        ((1.0, lambda: 0), {"longest_rate": 2.0}, "rate is a number"),
        ((1.0, lambda: 0), {"delays": -1.0}, "can take values below 0"),
        ((1.0, lambda: 0), {"mark": "normal"}, "is not a law"),
    ],
)
def test_misuse_of_a_jump_is_refused(arguments, keywords, match):
    """Faults are named where they are made."""
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.Jump(*arguments, **keywords)


def test_wrong_effects_are_refused_before_compiling(monkeypatch):
    """An effect has one argument more than a drift; people will forget the mark."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    for effect, match in (
        (lambda t, x, d: 0.0, r"\(t, x, delayed, mark, \*args\)"),
        (lambda t, x, d, mark: [1.0, 2.0], r"jumps\[0\].effect returned shape \(2,\)"),
    ):
        problem = sdde.Problem(lambda t, x, d: -x, history=1.0, jumps=sdde.Jump(1.0, effect))
        with pytest.raises(sdde.ArgumentError, match=match):
            sdde.solve(problem, (0.0, 1.0), dt=0.1)


@pytest.mark.parametrize("stop", [0.5, 1.0, 2.2])
def test_an_extended_run_has_the_arrivals_of_one_run(stop):
    """Times between arrivals are drawn sixteen at a time, and a run may stop among them."""
    jumps = (
        sdde.Jump(30.0, lambda t, x, d, mark: -0.02 * d[0] * mark, delays=0.2, mark=1.5),
        sdde.Jump(11.0, lambda t, x, d, mark: 0.01 * d[0]),
    )
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=0.25, history=1.0, jumps=jumps)
    one = sdde.solve(problem, (0.0, 3.0), dt=0.05, rng=1, paths=70, save="final").x
    first = sdde.solve(problem, (0.0, stop), dt=0.05, rng=1, paths=70, save="final")
    np.testing.assert_array_equal(first.extend(3.0).x[:, -1], one[:, -1])
