"""Arrivals with delays of every kind, leaping, many laws: twins, exact laws, faults."""

import math

import numpy as np
import pytest
import scipy.stats

import sdde
from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law
from sdde.theory import DelaySystem, jump_cumulants, with_jumps, with_state_dependent_jumps
from tests import reference_delays as slow

LAW = scipy.stats.uniform(0.05, 0.4)
WINDOW = sdde.DistributedDelay(lambda s: 1.0 + s, longest=0.33)
MEMORY = sdde.DistributedDelay(scipy.stats.gamma(2, scale=0.1))


def drawn(law):
    table = as_law(law, "law", minimum=None).table()
    return lambda u: quantile(table, u)


def swing(t):
    return 0.1 + 0.05 * t


def slower(t, x):
    return 0.1 + 0.2 / (1.0 + x[0] * x[0])


def branching(t, x):
    """A branch on the state: the function is called, not read."""
    return 0.3 if x[1] > 0.5 else 0.02


def effect(t, x, delayed, mark):
    return (-0.2 * delayed[0][1] + 0.1 * mark, 0.1 * delayed[1][0] - 0.1 * x[0] * delayed[2][1])


def rate(t, x, delayed):
    return 3.0 + 2.0 * delayed[0][0] * delayed[0][0] / (1.0 + delayed[1][1] * delayed[1][1])


@pytest.mark.parametrize("leaping", [False, True])
def test_arrivals_with_delays_of_all_kinds_equal_their_plain_python_twin(leaping):
    """Two jumps, one with delays of its own; each draws from channels of its own."""
    delays = (
        sdde.TimeDelay(swing, 1.0),
        sdde.StateDelay(slower, 1.0),
        sdde.RandomDelay(LAW),
        MEMORY,
    )
    bound = None if leaping else 60.0
    jumps = (
        sdde.Jump(
            rate, effect, longest_rate=bound, mark=scipy.stats.norm(), leaping=leaping,
        ),
        sdde.Jump(
            9.0,
            lambda t, x, d, m: (0.05 * d[0][0] + 0.02 * d[3][1], 0.1 * d[1][1] - 0.1 * d[2][0]),
            delays=(WINDOW, sdde.StateDelay(branching, 1.0), LAW, sdde.TimeDelay(swing, 1.0)),
            leaping=leaping,
        ),
    )  # fmt: skip
    problem = sdde.Problem(
        lambda t, x, d: (-x[0] + d[3][1], -x[1] + d[0][0]), (0.2, 0.1), delays=delays,
        history=[0.6, 0.2], jumps=jumps,
    )  # fmt: skip
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.05, paths=3, rng=9)
    twin = slow.Twin(
        lambda t, x, d: (-x[0] + d[3][1], -x[1] + d[0][0]), lambda t, x, d: (0.2, 0.1),
        (
            slow.Time(swing), slow.State(slower), slow.Drawn(drawn(LAW)),
            slow.Chain(2, 10.0, [[0.6, 0.2]] * 2),
        ),
        lambda t: [0.6, 0.2], 0.0, 0.05, 9, 2,
        arrivals=[
            slow.Arrival(
                rate, effect, longest_rate=bound, marks=(drawn(scipy.stats.norm()),),
                leaping=leaping,
            ),
            slow.Arrival(
                9.0, jumps[1].effect, leaping=leaping,
                delays=(
                    slow.Sum(WINDOW.weights(0.05)), slow.State(branching), slow.Drawn(drawn(LAW)),
                    slow.Time(swing),
                ),
            ),
        ],
    )  # fmt: skip
    # Bit for bit but for the chain, whose incomplete gamma functions come from another series.
    np.testing.assert_allclose(solution.x[2], twin.run(20), rtol=1e-12, atol=1e-13)


def test_many_laws_of_one_jump_draw_numbers_of_their_own():
    """Eighty marks, and a second jump whose marks must not repeat theirs."""
    many = tuple(scipy.stats.norm() for _ in range(80))
    weights = np.zeros((2, 80))
    first = sdde.Jump(
        50.0, lambda t, x, d, mark, w: np.array([w[0] @ mark, 0.0]), mark=many, leaping=True
    )
    second = sdde.Jump(
        50.0, lambda t, x, d, mark, w: np.array([0.0, w[1] @ mark]), mark=many, leaping=True
    )

    def drift(t, x, d, w):
        return 0.0 * x

    def ends(i, j):
        w = weights.copy()
        w[0, i] = w[1, j] = 1.0
        problem = sdde.Problem(drift, history=[0.0, 0.0], jumps=(first, second), args=(w,))
        return sdde.solve(problem, (0.0, 1.0), dt=0.5, paths=2000, rng=3, save="final").x[:, 0]

    x = np.concatenate([ends(0, 16), ends(64, 64), ends(79, 15)], axis=1)
    correlation = np.corrcoef(x.T)
    off = np.abs(correlation[~np.eye(6, dtype=bool)])
    # 15 correlations of 2000 pairs: below 5 / sqrt(2000) but for a chance of 1e-5.
    assert off.max() < 5.0 / math.sqrt(2000)


def test_a_large_system_has_short_code_for_its_arrivals():
    """Components and marks are loops: the text does not grow with them beyond a line each."""
    from sdde.engine.compile import describe
    from sdde.engine.forms import forms_of
    from sdde.engine.methods import method_named
    from sdde.engine.template import chunk_source

    def length(dim):
        jump = sdde.Jump(
            1.0, lambda t, x, d, mark: -0.1 * d[0] + mark, mark=[float(i) for i in range(dim)]
        )
        problem = sdde.Problem(lambda t, x, d: -x, delays=1.0, history=np.ones(dim), jumps=jump)
        layout = describe(problem, (dim,), 0, method_named("euler-maruyama"), 16)[0]
        return len(chunk_source(layout, forms_of(problem, (dim,))).splitlines())

    assert length(400) == length(100)
    assert length(20) < 400


PATHS, DT = 6000, 1.0 / 64.0


def settled(problem, end=30.0, dt=DT, paths=PATHS, rng=21):
    return sdde.solve(problem, (0.0, end), dt=dt, paths=paths, rng=rng, save="final").x[:, 0]


def moments_agree(x, mean, variance, *, bias=0.0):
    """Whether mean and variance are within 5 standard errors (false alarm 6e-7 each)."""
    n, spread = len(x), float(((x - x.mean()) ** 4).mean() / x.var() ** 2)
    assert abs(x.mean() - mean) < 5.0 * math.sqrt(variance / n) + bias * abs(mean)
    assert abs(x.var() - variance) < (5.0 * math.sqrt((spread - 1.0) / n) + bias) * variance


def test_compound_poisson_noise_has_its_exact_cumulants():
    """Numbers beyond the second see the law of the marks, and the delay."""
    a, b, marks = -1.0, -0.5, scipy.stats.gamma(2.0, scale=0.5)
    kicks = sdde.Jump(4.0, lambda t, x, d, mark: mark, mark=marks)
    problem = sdde.Problem(
        lambda t, x, d: a * x + b * d[0], 0.4, delays=1.0, history=0.0, jumps=kicks
    )
    x = settled(problem, end=25.0, dt=1.0 / 128.0)
    cumulants = jump_cumulants(DelaySystem(a, b, 1.0, noise=0.4), 4.0, marks, highest=3)
    # Euler's steps of 1/128 change the cumulants by less than 1 %, see the next test.
    moments_agree(x, cumulants[0], cumulants[1], bias=0.01)
    third = ((x - x.mean()) ** 3).mean()
    error = np.std((x - x.mean()) ** 3) / math.sqrt(PATHS)
    assert abs(third - cumulants[2]) < 5.0 * error + 0.02 * cumulants[2]


def test_the_bias_of_the_steps_between_jumps_halves_with_them():
    """The scheme has a fundamental solution of its own: the bias allowed above is computed."""
    a, b = -1.0, -0.5
    exact = DelaySystem(a, b, 1.0, noise=1.0).covariance()

    def square(dt):
        lag = round(1.0 / dt)
        r = np.zeros(60 * lag)
        r[0] = 1.0
        for n in range(1, len(r)):
            r[n] = r[n - 1] * (1.0 + a * dt) + (b * dt * r[n - 1 - lag] if n > lag else 0.0)
        return dt * float(r @ r)

    bias = [square(dt) / exact - 1.0 for dt in (1.0 / 64.0, 1.0 / 128.0)]
    assert abs(bias[1]) < 0.01
    assert bias[0] / bias[1] == pytest.approx(2.0, abs=0.05)


def test_jumps_in_proportion_to_the_state_have_their_exact_moments():
    """An arrival adds g x(t-): the mean feels a + rate g, the second moment has a renewal form."""
    a, b, g, rate_, noise = -2.0, -0.5, -0.3, 3.0, 0.6
    jump = sdde.Jump(rate_, lambda t, x, d, mark: g * x)
    problem = sdde.Problem(
        lambda t, x, d: a * x + b * d[0], noise, delays=1.0, history=1.0, jumps=jump
    )
    system = with_jumps(DelaySystem(a, b, 1.0, noise=noise), rate_, instant=g)
    x = settled(problem, end=20.0, dt=1.0 / 256.0)
    moments_agree(x, 0.0, system.covariance(), bias=0.012)
    early = sdde.solve(problem, (0.0, 0.5), dt=1.0 / 256.0, paths=PATHS, rng=4, save="final").x[
        :, 0
    ]
    mean = float(system.mean([0.5], 1.0)[0])
    assert abs(early.mean() - mean) < 5.0 * early.std() / math.sqrt(PATHS) + 0.004 * abs(mean)


def test_a_rate_that_follows_the_delayed_state_has_its_exact_moments():
    """Hawkes-type: mean rate0 / (-a - k), variance rate times R0 of the equation with feedback."""
    a, k, rate0 = -1.5, 0.6, 2.0
    jump = sdde.Jump(lambda t, x, d: rate0 + k * d[0], lambda t, x, d, mark: 1.0, longest_rate=30.0)
    problem = sdde.Problem(lambda t, x, d: a * x, delays=1.0, history=2.0, jumps=jump)
    system = with_state_dependent_jumps(DelaySystem(a, 0.0, 1.0), rate0, delayed=k)
    x = settled(problem, end=25.0, dt=1.0 / 256.0)
    moments_agree(x, system.stationary_mean(), system.covariance(), bias=0.004)


@pytest.mark.parametrize("law", [1.0, scipy.stats.expon(scale=0.5), scipy.stats.uniform(0.0, 2.0)])
def test_asynchronous_sgd_settles_at_its_exact_variance(law):
    """Gradients at states of past times, fixed or drawn: the same formula with R0 of the law."""
    arrivals, eta, curvature, noise = 4.0, 0.1, 1.0, 0.8
    jump = sdde.Jump(
        arrivals, lambda t, x, d, mark: -eta * (curvature * d[0] + noise * mark),
        delays=law, mark=scipy.stats.norm(),
    )  # fmt: skip
    problem = sdde.Problem(lambda t, x, d: 0.0, history=0.0, jumps=jump)
    x = settled(problem, end=40.0, dt=1.0 / 128.0)
    system = with_jumps(
        DelaySystem(0.0, 0.0, law), arrivals, size=scipy.stats.norm(0.0, eta * noise),
        delayed=-eta * curvature,
    )  # fmt: skip
    # Straight lines between grid times lower E x(t - T)^2 by a fraction of dt.
    moments_agree(x, 0.0, system.covariance(), bias=1.0 / 128.0)


def test_leaping_has_the_exact_moments_of_its_own_recursion():
    """Tau-leaping of dx = -x dt + dN, rate k x: means and variances obey a recursion in dt."""
    dt, k, steps, paths = 0.125, 0.8, 24, 20_000
    jump = sdde.Jump(lambda t, x, d: k * x, lambda t, x, d, mark: 1.0, leaping=True)
    problem = sdde.Problem(lambda t, x, d: -x, history=20.0, jumps=jump)
    x = sdde.solve(problem, (0.0, dt * steps), dt=dt, paths=paths, rng=5, save="final").x[:, 0]
    mean, variance = 20.0, 0.0
    for _ in range(steps):
        variance = (1.0 - dt + k * dt) ** 2 * variance + k * dt * mean
        mean *= 1.0 - dt + k * dt
    moments_agree(x, mean, variance)


def test_leaping_adds_as_many_arrivals_as_exact_times():
    """Large counts of a step come from a rejection method: many marks, mean and variance."""
    jump = sdde.Jump(
        400.0, lambda t, x, d, mark: mark, mark=scipy.stats.gamma(2.0, scale=0.5), leaping=True
    )
    problem = sdde.Problem(lambda t, x, d: 0.0, history=0.0, jumps=jump)
    x = sdde.solve(problem, (0.0, 2.0), dt=0.25, paths=5000, rng=3, save="final").x[:, 0]
    moments_agree(x, 800.0, 400.0 * 2.0 * 1.5)


@pytest.mark.parametrize(
    ("jump", "match"),
    [
        (
            sdde.Jump(lambda t, x, d: 1.0 - t, lambda t, x, d, m: 0.0, longest_rate=2.0),
            r"jumps\[0\].rate = .* was -\d.* at t = .* in path",
        ),
        (
            sdde.Jump(lambda t, x, d: 1.0 - t, lambda t, x, d, m: 0.0, leaping=True),
            r"jumps\[0\].rate = .* was -\d.* at t = .* in path",
        ),
        (
            sdde.Jump(lambda t, x, d: 1.0 + t, lambda t, x, d, m: 0.0, longest_rate=2.0),
            r"longest_rate = 2.0 was exceeded by rate, 2\.\d* at t = .*\n.*\n.*longest_rate = 5.0",
        ),
        (
            sdde.Jump(9.0, lambda t, x, d, m: 0.0, delays=sdde.TimeDelay(lambda t: t, longest=1.0)),
            r"jumps\[0\].delays\[0\] = TimeDelay.* above longest = 1",
        ),
    ],
)
def test_values_out_of_bounds_at_an_arrival_end_the_run(jump, match):
    """A rate below 0 or above its bound, or a delay beyond the past that is kept."""
    problem = sdde.Problem(lambda t, x, d: 0.0, history=1.0, jumps=jump)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(problem, (0.0, 20.0), dt=0.1, paths=5, rng=1)


@pytest.mark.parametrize(
    ("keywords", "match"),
    [
        ({"leaping": 1}, "leaping = 1 is neither True nor False"),
        ({"leaping": True, "longest_rate": 2.0}, "leaping needs no bound"),
        ({"delays": [sdde.RandomDelay(1.0), "late"]}, r"delays\[1\] = 'late' is not a law"),
        ({"mark": [1.0, "big"]}, r"mark\[1\] = 'big' is not a law"),
    ],
)
def test_misuse_of_leaping_and_own_delays_is_refused(keywords, match):
    """Faults are named where they are made."""
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.Jump(1.0, lambda t, x, d, mark: 0.0, **keywords)
