"""Ready problems: every fact that a docstring states, checked against theory or simulation."""

import math
import re

import numpy as np
import pytest
import scipy.optimize
import scipy.stats as st

import sdde
from sdde import models
from sdde.theory import DelaySystem, linearize, with_jumps, with_state_dependent_jumps
from tests.case_tables import limit


def two(model, first, second):
    """Return two problems of one model."""
    return tuple(model(*args, **options) for args, options in (first, second))


EVERY = [
    two(models.delayed_ornstein_uhlenbeck, ((1.0, 0.5, 0.3), {}), ((1.2, 0.7, 0.2), {})),
    two(models.hayes, ((-4.0, -2.0, 1.0), {}), ((-3.0, 1.0, 0.8), {"noise": 0.1, "offset": 1.0})),
    two(models.geometric, ((-1.0, 0.5, 1.0), {}), ((0.0, 0.5, 0.9), {"noise_delayed": 0.5})),
    two(models.delayed_oscillator, ((0.4, 1.0, 1.0), {}), ((0.3, 2.0, 0.7), {"noise": 0.1})),
    two(models.mackey_glass, ((), {"delay": 2.0}), ((0.3, 0.2, 8.0, 1.5), {"noise": 0.1})),
    two(models.ikeda, ((), {}), ((-2.0, 1.1), {"noise": 0.2})),
    two(models.neural_loop, ((), {}), (([0.5, -1.5], 0.7), {"noise": 0.1})),
    two(models.hutchinson, ((), {}), ((1.3, 2.0, 0.6), {"noise": 0.1})),
    two(models.nicholson, ((), {}), ((20.0, 1.1, 2.0), {"crowding": 2.0, "noise": 0.1})),
    two(models.delayed_sir, ((), {}), ((3.0, 1.2, 0.7), {"turnover": 0.1, "noise": 0.1})),
    two(models.hawkes, ((), {}), ((1.0, 0.3, 2.0, 0.7), {})),
    two(models.async_sgd, ((), {}), ((2.0, 0.02, 6.0, 0.7), {"noise": 0.1})),
]


@pytest.mark.parametrize("pair", EVERY, ids=models.__all__)
def test_other_parameters_do_not_recompile(pair, monkeypatch):
    """Parameters are args, so that a sweep costs no compilation."""
    from sdde.engine import compile as compiling

    first, second = pair
    sdde.solve(first, (0.0, 1.0), dt=0.1, paths=3, rng=1)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(compiling, "_chunk", refuse)
    again = sdde.solve(second, (0.0, 1.0), dt=0.05, paths=4, rng=2)
    assert np.isfinite(again.x).all()


# ---- equilibria and where they lose stability


HOPF = {
    "mackey_glass": (
        models.mackey_glass(), 1.0, math.acos(0.1 / -0.4) / math.sqrt(0.4**2 - 0.1**2), 4.708196
    ),
    "hutchinson": (models.hutchinson(1.3, 2.0), 2.0, math.pi / 2 / 1.3, 1.208305),
    "nicholson": (
        models.nicholson(20.0), math.log(20.0),
        math.acos(1.0 / (1.0 - math.log(20.0)))
        / math.sqrt((1.0 - math.log(20.0)) ** 2 - 1.0), 1.213366,
    ),
    "nicholson, other units": (
        models.nicholson(40.0, 2.0, crowding=3.0), 3.0 * math.log(20.0), None, 1.213366 / 2.0
    ),
    "ikeda": (models.ikeda(-2.0), 0.0, math.acos(-0.5) / math.sqrt(3.0), 1.209200),
    "neural loop of two": (models.neural_loop(), [0.0, 0.0], math.pi / 4, 0.785398),
    "neural loop of three": (
        models.neural_loop([1.0, 2.0, -1.0]), [0.0] * 3,
        (math.pi / 3 - math.atan(math.sqrt(2 ** (2 / 3) - 1))) / math.sqrt(2 ** (2 / 3) - 1),
        0.513125,
    ),
    "neural loop of one": (
        models.neural_loop([-2.0]), [0.0], math.acos(-0.5) / math.sqrt(3.0), 1.209200
    ),
    "delayed Ornstein-Uhlenbeck": (
        models.delayed_ornstein_uhlenbeck(2.0, 0.1, 1.0), 0.0, math.pi / 4, 0.785398
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOPF)
def test_delays_at_which_equilibria_lose_stability(name):
    """The docstring's formula, its number, and the roots of the linearised problem agree."""
    problem, equilibrium, formula, printed = HOPF[name]
    drift = problem.drift(0.0, np.array(equilibrium), np.array([equilibrium]), *problem.args)
    assert np.allclose(drift, 0.0, atol=1e-12)
    margin = linearize(problem, equilibrium).delay_margin()
    assert margin == pytest.approx(printed, abs=6e-7)
    if formula is not None:
        assert margin == pytest.approx(formula, abs=1e-9)


@pytest.mark.parametrize(
    ("problem", "point", "margin"),
    [
        (models.ikeda(0.9), 0.0, math.inf),
        (models.ikeda(-0.99), 0.0, math.inf),
        (models.ikeda(1.1), 0.0, 0.0),
        (models.neural_loop([1.0, -0.9]), [0.0, 0.0], math.inf),
        (models.neural_loop([2.0, 0.6]), [0.0, 0.0], 0.0),
        (models.neural_loop([2.5, 2.0, -2.0]), [0.0] * 3, 0.0),
        (models.nicholson(0.9), 0.0, math.inf),
        (models.nicholson(1.1), 0.0, 0.0),
        (models.nicholson(math.e**2 * 0.999), math.log(math.e**2 * 0.999), math.inf),
        (models.hutchinson(), 0.0, 0.0),
        (models.delayed_sir(0.9, 0.6, 3.0, turnover=0.4), [1.0, 0.0], math.inf),
        (models.delayed_sir(1.1, 0.6, 3.0, turnover=0.4), [1.0, 0.0], 0.0),
    ],
)
def test_equilibria_that_no_delay_can_change(problem, point, margin):
    """Stable at any delay, or unstable at any."""
    assert linearize(problem, point).delay_margin() == margin


def test_nicholson_equilibrium_can_be_unstable_just_beyond_its_bound():
    """For p a little above e^2 deaths some delay is too long."""
    births = math.e**2 * 1.001
    assert math.isfinite(linearize(models.nicholson(births), math.log(births)).delay_margin())


def test_the_endemic_equilibrium_of_the_epidemic():
    """(1/R, turnover (R - 1) / contacts), with R = contacts / (turnover + recovery)."""
    beta, gamma, mu = 2.4, 0.7, 0.1
    ratio = beta / (mu + gamma)
    point = np.array([1.0 / ratio, mu * (ratio - 1.0) / beta])
    problem = models.delayed_sir(beta, gamma, 1.0, turnover=mu)
    assert np.allclose(problem.drift(0.0, point, point[None], *problem.args), 0.0, atol=1e-15)


# ---- values without noise


@pytest.mark.parametrize(
    ("problem", "dt", "values"),
    [
        (
            models.mackey_glass(), 1 / 8,
            {17: 0.9078608560458841, 34: 1.283593974435553, 170: 0.9096542697462641},
        ),
        (models.nicholson(), 1 / 16, {3: 2.8462974866295303, 30: 1.9076262653038334}),
        (models.ikeda(), 1 / 16, {2: 0.18617839418056367, 20: 1.9016829292422996}),
    ],
)  # fmt: skip
def test_values_that_docstrings_give_to_fourteen_digits(problem, dt, values):
    """Euler's error has powers of dt that can be removed one by one."""
    found, change = limit(problem, list(values), dt, levels=7)
    assert change < 1e-11
    np.testing.assert_allclose(found, list(values.values()), rtol=0.0, atol=1e-12)


def test_the_final_size_of_an_epidemic():
    """ln(S / S0) = -(beta / gamma)(S0 + I0 - S) - beta tau I0."""
    beta, gamma, tau, s0, i0 = 2.0, 1.0, 0.75, 0.95, 0.05

    def misfit(s):
        return math.log(s / s0) + beta / gamma * (s0 + i0 - s) + beta * tau * i0

    final = scipy.optimize.brentq(misfit, 1e-9, s0 * (1.0 - 1e-12))
    problem = models.delayed_sir(beta, gamma, tau, history=(s0, i0))
    found, _ = limit(problem, [60.0], 0.125, levels=7)
    assert found[0, 0] == pytest.approx(final, abs=1e-9)


def test_the_share_of_susceptible_and_infected_has_no_noise():
    """Noise in the contact rate only moves people between the two."""
    problem = models.delayed_sir(2.0, 1.0, 0.5, turnover=0.2, noise=0.5)
    x = sdde.solve(problem, (0.0, 8.0), dt=0.01, paths=20, rng=3).x
    total, infected = x.sum(axis=2), x[:, :, 1]
    expected = (0.2 - 0.2 * total - infected)[:, :-1] * 0.01
    np.testing.assert_allclose(np.diff(total, axis=1), expected, rtol=0.0, atol=1e-14)
    assert x[:, -1, 1].std() > 1e-3


# ---- stationary laws; z = 5 everywhere: false alarm 6e-7 for each number


def extrapolated(problem, end, dt, statistics, *, paths, seed):
    """Return statistics of the end state at time step zero, and their standard errors.

    Two independent samples at dt and dt/2 remove the bias of first order; batches of paths give
    the error.
    """
    batches = 40
    values = []
    for k in range(2):
        x = sdde.solve(
            problem, (0.0, end), dt=dt / 2**k, paths=paths, rng=seed + k, save="final"
        ).x[:, 0]
        values.append(np.array([statistics(part) for part in np.array_split(x, batches)]))
    sample = 2.0 * values[1] - values[0]
    return sample.mean(axis=0), sample.std(axis=0, ddof=1) / math.sqrt(batches)


def mean_and_variance(x):
    return np.array([x.mean(axis=0), x.var(axis=0, ddof=1)])


def test_the_stationary_mean_of_the_noisy_logistic_equation():
    """The mean of d log x vanishes, so E x = K (1 - sigma^2 / (2 r)) whatever the delay."""
    problem = models.hutchinson(1.0, 2.0, 0.5, noise=0.4)
    value, error = extrapolated(problem, 40.0, 1 / 16, np.mean, paths=20_000, seed=5)
    assert error < 0.02
    assert abs(value - 2.0 * (1.0 - 0.16 / 2.0)) < 5.0 * error


def test_the_stationary_law_of_the_hayes_equation():
    """Mean -f/(a+b), variance R0 ((c+d) m + s)^2 / (1 - kappa)."""
    problem = models.hayes(
        -4.0, -2.0, 1.0, offset=10.0, noise=1.1, noise_instant=-1.3, noise_delayed=-1.2,
        history=lambda t: 1.0 + t,
    )  # fmt: skip
    value, error = extrapolated(problem, 12.0, 1 / 16, mean_and_variance, paths=20_000, seed=7)
    assert np.all(error < 0.15)
    assert np.all(np.abs(value - [5.0 / 3.0, 2.0181261926]) < 5.0 * error)
    system = DelaySystem(-4.0, -2.0, 1.0, noise=1.1, multiplicative=(-1.3, -1.2), offset=10.0)
    assert system.covariance() == pytest.approx(2.0181262, abs=5e-8)
    assert system.mean_square_index() == pytest.approx(0.3385773, abs=5e-8)


def test_the_geometric_equation_on_its_first_delay():
    """With b = -c = d = ... the closed form needs one Wiener path; here a = c = 0 and phi = 1."""
    problem = models.geometric(0.0, -0.5, 2.0, noise_delayed=0.5)
    end = sdde.solve(problem, (0.0, 2.0), dt=0.5, paths=40_000, rng=1, save="final").x[:, 0]
    z = (end - (1.0 - 0.5 * 2.0)) / (0.5 * math.sqrt(2.0))  # exactly normal at any dt
    assert st.kstest(z, "norm").pvalue > 1e-6
    assert abs((end**2).mean() - 0.5) < 5.0 * math.sqrt(2.0) * 0.5 / math.sqrt(len(end))


def test_the_geometric_equation_is_its_closed_form_path_by_path():
    """Euler's path converges to Phi [phi + (b - cd) int Phi^-1 phi ds + d int Phi^-1 phi dW]."""
    a, b, c, d, dt = -0.5, 0.8, 0.4, 0.7, 1 / 1024

    def history(t):
        return 1.0 + 0.5 * t

    problem = models.geometric(a, b, 1.0, noise_instant=c, noise_delayed=d, history=history)
    x = sdde.solve(problem, (0.0, 1.0), dt=dt, paths=200, rng=11).x
    plain = sdde.Problem(lambda t, x, late: 0.0, 1.0, history=0.0)
    w = sdde.solve(plain, (0.0, 1.0), dt=dt, paths=200, rng=11).x  # the same Wiener paths
    s = np.arange(1024) * dt
    phi = np.exp((a - c * c / 2) * s + c * w[:, :-1])
    past = history(s - 1.0)
    inside = history(0.0) + np.sum(past / phi * ((b - c * d) * dt + d * np.diff(w)), axis=1)
    exact = np.exp(a - c * c / 2 + c * w[:, -1]) * inside
    error = math.sqrt(np.mean((x[:, -1] - exact) ** 2))
    assert error < 0.05 * exact.std()  # strong order 1/2: about 0.6 sqrt(dt)


def test_the_stationary_law_of_the_oscillator():
    """Position and velocity are uncorrelated; the variances are those of the docstring."""

    def moments(x):
        return np.array([x[:, 0].var(ddof=1), x[:, 1].var(ddof=1), np.cov(x.T)[0, 1]])

    problem = models.delayed_oscillator(0.4, 1.0, 1.0, delayed_damping=0.3, noise=1.0)
    value, error = extrapolated(problem, 40.0, 1 / 16, moments, paths=10_000, seed=21)
    assert np.all(error < 0.1)
    assert np.all(np.abs(value - [0.8979199, 1.1079284, 0.0]) < 5.0 * error)
    system = DelaySystem([[0.0, 1.0], [-2.0, -0.3]], [], [], noise=[[0.0], [0.5]])
    exact = np.diag([0.25 / (2 * 0.3 * 2.0), 0.25 / (2 * 0.3)])
    np.testing.assert_allclose(system.covariance(), exact, atol=1e-12)


def test_the_stationary_law_of_delayed_excitation():
    """Mean 20/9 and variance 1.347432 of the default arguments, by theory and by simulation."""
    system = with_state_dependent_jumps(DelaySystem(-1.5, 0.0, 1.0), 2.0, delayed=0.6)
    exact = np.array([system.stationary_mean(), system.covariance()])
    np.testing.assert_allclose(exact, [2.222222, 1.347432], atol=5e-7)
    problem = models.hawkes()
    value, error = extrapolated(problem, 20.0, 1 / 8, mean_and_variance, paths=20_000, seed=31)
    assert np.all(error < 0.1)
    assert np.all(np.abs(value - exact) < 5.0 * error)


def test_delay_makes_the_spread_of_the_trace_smaller():
    """The default bound of the rate rests on this."""
    for share in (0.1, 0.5, 0.9, 0.99):
        for delay in (0.1, 1.0, 10.0):
            late = DelaySystem(-1.0, share, delay, noise=1.0).covariance()
            assert late < 0.5 / (1.0 - share)


def test_a_rate_of_events_that_grows_needs_a_bound():
    """Nothing bounds the rate when excitation beats decay."""
    with pytest.raises(sdde.ArgumentError, match=re.escape("excitation = 1.5 is not below decay")):
        models.hawkes(1.0, 1.5, 1.0)
    short = models.hawkes(1.0, 1.5, 1.0, longest_rate=200.0)
    assert np.isfinite(sdde.solve(short, (0.0, 1.0), dt=0.1, rng=1).x).all()


@pytest.mark.parametrize(
    ("delay", "seed"), [(1.0, 41), (st.uniform(0.0, 2.0), 43), (st.expon(), 45)]
)
def test_the_stationary_variance_of_asynchronous_sgd(delay, seed):
    """V = rate eta^2 nu^2 R0 / (1 - rate eta^2 h^2 R0), also for delays drawn afresh."""
    idle = DelaySystem(0.0, 0.0, delay)
    exact = with_jumps(idle, 5.0, delayed=-0.1, size=st.norm(scale=0.05)).covariance()
    if delay == 1.0:
        assert exact == pytest.approx(0.0230121, abs=5e-8)
    problem = models.async_sgd(delay=delay, history=0.0)
    value, error = extrapolated(problem, 24.0, 1 / 8, np.var, paths=20_000, seed=seed)
    assert error < 0.03 * exact
    assert abs(value - exact) < 5.0 * error


def test_the_stability_limits_of_asynchronous_sgd():
    """Rates 0.31416 (mean) and 0.26205 (second moments) for five arrivals per delay."""
    limits = ((0.2620, True, True), (0.2621, True, False), (0.3142, False, False))
    for rate, stable, bounded in limits:
        system = with_jumps(DelaySystem(0.0, 0.0, 1.0), 5.0, delayed=-rate)
        assert system.is_stable() == stable
        assert system.is_mean_square_stable() == bounded
    for factor, stable in ((0.999, True), (1.001, False)):
        system = DelaySystem(0.0, -factor * math.pi**2 / 4.0, st.uniform(0.0, 2.0))
        assert system.is_stable() == stable
        undelayed = with_jumps(DelaySystem(0.0, [], []), 5.0, instant=-2.0 * factor)
        assert undelayed.is_mean_square_stable() == stable


def test_second_moments_near_the_healthy_equilibrium():
    """sigma^2 R0 decides, R0 of r' = -(mu + gamma) r + beta r(t - tau)."""
    beta, gamma, mu, tau = 0.8, 0.7, 0.3, 1.5
    power = DelaySystem(-gamma - mu, beta, tau, noise=1.0).covariance()
    for factor, bounded in ((0.99, True), (1.01, False)):
        sigma = factor / math.sqrt(power)
        problem = models.delayed_sir(beta, gamma, tau, turnover=mu, noise=sigma)
        assert linearize(problem, [1.0, 0.0]).is_mean_square_stable() == bounded
