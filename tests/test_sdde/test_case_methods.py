"""Tabulated answers about methods and about delays that are no numbers, through `sdde.solve`."""

import math

import numpy as np
import pytest
import scipy.stats as st

import sdde
from sdde import models
from tests.case_tables import Z, agree, at_step_zero, impulse, named


def errors(problem, t, exact, steps, **options):
    """Return the largest error at times `t` for each time step."""
    start = options.pop("start", 0.0)
    runs = [
        sdde.solve(problem, (start, max(t)), dt=dt, save=list(t), **options).x[0] for dt in steps
    ]
    return np.array([np.abs(run - exact).max() for run in runs])


@named("trapezoid_drift")
def test_the_bias_of_two_schemes(case):
    """Relative error of the variance: order 1 for Euler, order 2 for the trapezoidal drift."""
    p = case["params"]
    problem = models.delayed_ornstein_uhlenbeck(-p["b"], p["tau"], p["sigma"])
    exact = sdde.theory.DelaySystem(0.0, p["b"], p["tau"], noise=p["sigma"]).covariance()
    for key, method in (("em", "euler-maruyama"), ("heun", "heun")):
        for dt, bias in zip(p["h"], case["expected"][key], strict=True):
            r = impulse(problem, dt, 100.0, method=method)
            assert dt * (r @ r) / exact - 1.0 == pytest.approx(bias, abs=case["tolerance"])


@named("det_pantograph")
def test_a_delay_that_grows_with_time(case):
    """Order 1, and close to the series at small steps."""
    q, t = case["params"]["q"], case["expected"]["t"]
    delay = sdde.TimeDelay(lambda t, share: share * t, longest=(1.0 - q) * max(t))
    problem = sdde.Problem(
        lambda t, x, late, share: -late[0], delays=delay, history=1.0, args=(1.0 - q,)
    )
    steps = [2.0**-k for k in range(8, 13)]
    found = errors(problem, t, case["expected"]["x"], steps)
    assert found[-1] < 2e-4
    assert np.all(np.abs(np.log2(found[:-1] / found[1:]) - 1.0) < 0.05)


@named("det_state_dep")
def test_a_delay_that_depends_on_the_state(case):
    """Order 1 across the kink at t = 2, where the delayed time passes the start."""
    t = case["expected"]["t"]
    delay = sdde.StateDelay(lambda t, x: t - x + math.sqrt(2.0) - 1.0, longest=4.5)
    problem = sdde.Problem(
        lambda t, x, late: late[0] / (2.0 * np.sqrt(t)), delays=delay, history=1.0
    )
    steps = [2.0**-k for k in range(8, 13)]
    found = errors(problem, t, case["expected"]["x"], steps, start=1.0)
    assert found[-1] < 1e-3
    assert np.all(np.abs(np.log2(found[:-1] / found[1:]) - 1.0) < 0.25)


@named("stratonovich")
def test_the_mean_of_a_stratonovich_equation(case):
    """E x(1) = exp(c^2 / 2), which an unscaled predictor misses by far."""
    c, paths = case["params"]["c"], 100_000
    problem = sdde.Problem(
        lambda t, x, d, c: 0.0, lambda t, x, d, c: c * x, history=1.0, args=(c,),
        calculus="stratonovich",
    )  # fmt: skip
    x = sdde.solve(
        problem, (0, 1), dt=1 / 128, paths=paths, rng=4, method="euler-heun", save="final"
    ).x[:, 0]
    # One step multiplies the mean by 1 + c^2 h / 2: the scheme's own mean, without bias.
    exact = (1.0 + c * c / 256.0) ** 128
    assert abs(x.mean() - exact) < Z * x.std() / math.sqrt(paths)
    assert abs(exact - case["expected"]) < case["tolerance"] / 10.0


@named("em_explosion")
def test_euler_explodes_and_tamed_euler_does_not(case):
    """From x = 20 the cubic drift throws Euler's step further out each time."""
    p = case["params"]
    problem = sdde.Problem(lambda t, x, d: x - x * x * x, history=p["x0"])
    span = (0.0, p["n"] * p["h"])
    with pytest.warns(sdde.SolutionWarning, match="1 of 1 paths diverged"):
        lost = sdde.solve(problem, span, dt=p["h"])
    assert list(lost.status) == ["diverged"]
    tamed = sdde.solve(problem, span, dt=p["h"], method="tamed-euler", save="final")
    assert tamed.x[0, 0] == pytest.approx(case["expected"]["tamed"], abs=case["tolerance"])


@named("distributed_exp_kernel")
def test_a_delay_spread_over_the_past(case):
    """Linear chain: the variance of a system without delay."""
    p, paths = case["params"], 40_000
    delay = sdde.DistributedDelay(st.expon(scale=1.0 / p["k"]))
    problem = sdde.Problem(
        lambda t, x, late, a, b: a * x + b * late[0], p["sigma"], delays=delay, history=0.0,
        args=(p["a"], p["b"]),
    )  # fmt: skip
    found = at_step_zero(problem, 16.0, 1 / 16, np.var, paths=paths, seed=81)
    assert agree(found, np.array(case["expected"]), relative=0.05)


# ---- strong orders, on the same Brownian paths


STEPS = [2.0**-k for k in range(3, 8)]


def study_of(case):
    """Return the equation of a case, and the noise and settings of its study."""
    p = case["params"]
    problem = models.hayes(
        p["a"], p["b"], p["tau"], noise=p["s"], noise_instant=p["c"], noise_delayed=p["d"]
    )
    return problem, {"t_span": (0.0, p["T"]), "paths": 1000, "finest": 2.0**-10, "rng": 17}


@named("strong_em", "strong_milstein_nodelay", "strong_milstein_full")
def test_strong_orders(case):
    """Slopes against Milstein's scheme at a fine step: 1/2 and 1 are told apart."""
    problem, settings = study_of(case)
    method = "euler-maruyama" if case["id"].startswith("strong_em") else "milstein"
    found = sdde.convergence(problem, method, STEPS, reference="milstein", **settings)
    assert abs(found.orders[0].strong - case["expected"]) < case["tolerance"]


@named("strong_milstein_naive")
def test_a_milstein_scheme_that_forgets_the_past_has_order_one_half(case):
    """The control: the textbook correction alone, without the delayed iterated integral."""
    problem, settings = study_of(case)
    a, b, _, c, d, s = problem.args
    span, paths = settings["t_span"], settings["paths"]
    noise = sdde.Brownian(settings["rng"], settings["finest"])
    options = {"paths": paths, "noise": noise, "method": "milstein", "save": "final"}
    truth = sdde.solve(problem, span, dt=settings["finest"], **options).x[:, 0]
    found = []
    for dt in STEPS:
        steps, lag = round(span[1] / dt), round(1.0 / dt)
        w = noise.increments(dt, steps, paths)[:, :, 0].T
        x = np.ones((lag + steps + 1, paths))
        for n in range(lag, lag + steps):
            now, late = x[n], x[n - lag]
            g = c * now + d * late + s
            correction = 0.5 * g * c * (w[n - lag] ** 2 - dt)
            x[n + 1] = now + (a * now + b * late) * dt + g * w[n - lag] + correction
        found.append(math.sqrt(np.mean((x[-1] - truth) ** 2)))
    slope = np.polyfit(np.log(STEPS), np.log(found), 1)[0]
    assert abs(slope - case["expected"]) < case["tolerance"]
