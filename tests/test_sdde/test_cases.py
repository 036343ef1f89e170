"""Every tabulated answer that a simulation can give, through `sdde.solve`.

Linear equations are solved by their impulse response: the covariance of a recursion with noise is a
sum over it, so a run without noise gives the recursion's covariance to rounding, and Richardson's
extrapolation that of the equation. What chance decides is compared with exact values of the same
recursion; z = 5 is a false alarm of 6e-7 for each number.
"""

import math

import numpy as np
import pytest
import scipy.stats as st

import sdde
from sdde import models
from tests.case_tables import Z, agree, at_step_zero, extrapolated, impulse, limit, named


def linear(p, **more):
    """Return the linear equation of a case."""
    names = {"noise": "sigma", "offset": "drift", "noise_instant": "c", "noise_delayed": "d"}
    given = {name: p[key] for name, key in names.items() if key in p}
    if "s" in p:
        given["noise"] = p["s"]
    return models.hayes(p["a"], p["b"], p["tau"], **(given | more))


# ---- linear equations with additive noise


@named("lin_add_em_disc")
def test_the_variance_of_the_scheme_itself(case):
    """sigma^2 h sum r_n^2, with r the scheme's own response: right to 1e-9."""
    p = case["params"]
    end = 400.0 if abs(p["a"] + p["b"]) < 0.2 else 100.0
    for dt, exact in zip(p["h"], case["expected"], strict=True):
        r = impulse(linear(p), dt, end)
        assert p["sigma"] ** 2 * dt * (r @ r) == pytest.approx(exact, abs=case["tolerance"])


@named("lin_add_em_disc")
def test_simulated_variance_is_the_variance_of_the_scheme(case):
    """The same value by chance, so that the noise has the right size and place."""
    p, paths = case["params"], 20_000
    end = 300.0 if abs(p["a"] + p["b"]) < 0.2 else 60.0
    dt, exact = p["h"][0], case["expected"][0]
    x = sdde.solve(linear(p), (0.0, end), dt=dt, paths=paths, rng=3, save="final").x[:, 0]
    assert abs(x.var() - exact) < Z * exact * math.sqrt(2.0 / paths)


@named("lin_add_stat")
def test_stationary_autocovariance(case):
    """K(lag) of the equation is what the scheme's tends to."""
    p = case["params"]
    end = 400.0 if abs(p["a"] + p["b"]) < 0.2 else 100.0
    rows = []
    for k in range(7):
        dt = 2.0 ** -(k + 3)
        r = impulse(linear(p), dt, end + p["tau"])
        lags = [round(lag / dt) for lag in case["lags"]]
        count = round(end / dt)
        rows.append(np.array([dt * (r[:count] @ r[m : count + m]) for m in lags]))
    found = p["sigma"] ** 2 * extrapolated(rows)
    np.testing.assert_allclose(found, case["expected"], rtol=0.0, atol=case["tolerance"])


@named("lin_add_transient")
def test_transient_mean_and_variance(case):
    """Mean from the history, variance from the response, both in the limit of small steps."""
    p, t = case["params"], case["expected"]["t"]
    mean, _ = limit(linear(p, noise=0.0, history=1.0), t, 1 / 16, levels=8)
    np.testing.assert_allclose(mean, case["expected"]["mean"], rtol=0.0, atol=1e-9)
    rows = []
    for k in range(8):
        dt = 2.0 ** -(k + 4)
        squares = np.cumsum(impulse(linear(p), dt, max(t)) ** 2) * dt
        rows.append(squares[[round(time / dt) - 1 for time in t]])
    variance = p["sigma"] ** 2 * extrapolated(rows)
    np.testing.assert_allclose(variance, case["expected"]["var"], rtol=0.0, atol=1e-9)


@named("lin_add_transient")
def test_simulated_transient_variance(case):
    """Against the exact variance of the scheme at the same times."""
    p, t, dt, paths = case["params"], case["expected"]["t"], 1 / 32, 20_000
    problem = linear(p, history=1.0)
    found = sdde.solve(problem, (0.0, max(t)), dt=dt, paths=paths, rng=5, save=t).var()
    squares = p["sigma"] ** 2 * np.cumsum(impulse(linear(p), dt, max(t)) ** 2) * dt
    exact = squares[[round(time / dt) - 1 for time in t]]
    assert np.all(np.abs(found - exact) < Z * exact * math.sqrt(2.0 / paths))


@named("matrix_oscillator")
def test_stationary_covariance_of_an_oscillator(case):
    """The response of the velocity's noise, extrapolated."""
    p = case["params"]
    (_, _), (k, damping) = p["A0"]
    late = -p["A1"][1][1]
    problem = models.delayed_oscillator(-damping, -k, p["tau"], delayed_damping=late)
    rows = []
    for level in range(6):
        dt = 2.0 ** -(level + 4)
        r = impulse(problem, dt, 100.0)
        rows.append(dt * (r**2).sum(axis=0))
    np.testing.assert_allclose(
        extrapolated(rows), case["expected"], rtol=0.0, atol=case["tolerance"]
    )


@named("nondivisible_delay")
def test_delays_off_the_grid_are_read_on_straight_lines(case):
    """To 1e-9 the tabulated variance of linear interpolation, and of a rounded delay if rounded."""
    p = case["params"]
    for row in case["expected"]:
        dt = row["h"]
        rounded = linear(p | {"tau": round(p["tau"] / dt) * dt})
        for problem, key in ((linear(p), "linear_interp"), (rounded, "rounded_delay")):
            r = impulse(problem, dt, 250.0)
            assert dt * (r @ r) == pytest.approx(row[key], abs=case["tolerance"])


# ---- equations without noise


@named("det_steps_wright0", "dde_ref")
def test_reference_solutions_without_noise(case):
    """Fourteen digits from Euler's method, by extrapolation."""
    equations = {
        "det_steps_wright0": (models.hayes(0.0, -1.0, 1.0), 1 / 16),
        "dde_ref_mackey_glass_tau17": (models.mackey_glass(), 1 / 8),
        "dde_ref_nicholson": (models.nicholson(), 1 / 16),
        "dde_ref_ikeda": (models.ikeda(), 1 / 16),
    }
    problem, dt = equations[case["id"]]
    found, change = limit(problem, case["expected"]["t"], dt, levels=8)
    assert change < 1e-11
    np.testing.assert_allclose(found, case["expected"]["x"], rtol=0.0, atol=case["tolerance"])


# ---- multiplicative noise


@named("moments_hayes", "moments_geom", "moments_pure_delay")
def test_transient_moments_with_multiplicative_noise(case):
    """Second moments of the scheme itself, known exactly at two time steps."""
    p, t = case["params"], case["expected"]["t"]
    problem = linear(p, history=lambda t: p["x0"] + p["x1"] * t)
    mean, _ = limit(problem.replace(diffusion=None), t, 1 / 16, levels=8)
    np.testing.assert_allclose(mean, case["expected"]["Ex"], rtol=0.0, atol=1e-9)
    paths = 100_000
    for dt, key in ((1 / 16, "1/16"), (1 / 64, "1/64")):
        x = sdde.solve(problem, (0.0, max(t)), dt=dt, paths=paths, rng=9, save=t).x
        first = sdde.solve(problem.replace(diffusion=None), (0.0, max(t)), dt=dt, save=t).x[0]
        for values, exact in ((x, first), (x**2, case["em_exact_at_h"][key]["Ex2"])):
            error = values.std(axis=0) / math.sqrt(paths)
            assert np.all(np.abs(values.mean(axis=0) - exact) < Z * error + 1e-12)


@named("hayes_stationary")
def test_stationary_moments_with_multiplicative_noise(case):
    """Mean and variance of the scheme's own stationary law."""
    p, dt, paths = case["params"], 1 / 16, 100_000
    system = sdde.theory.DelaySystem(
        p["a"], p["b"], p["tau"], noise=p["s"], multiplicative=(p["c"], p["d"]), offset=p["drift"]
    )
    x = sdde.solve(linear(p), (0.0, 16.0), dt=dt, paths=paths, rng=10, save="final").x[:, 0]
    assert abs(x.mean() - case["expected"]["mean"]) < Z * x.std() / math.sqrt(paths)
    spread = ((x - x.mean()) ** 2).std() / math.sqrt(paths)
    assert abs(x.var() - system.euler_maruyama(dt).covariance()) < Z * spread
    rows = [np.array(system.euler_maruyama(2.0**-k).covariance()) for k in range(4, 11)]
    assert extrapolated(rows) == pytest.approx(case["expected"]["var"], abs=case["tolerance"])


@named("delayed_iterated_integral")
def test_moments_of_the_delayed_iterated_integral(case):
    """The integral as the second component of a system whose noise sees the past."""
    h, paths, dt = case["params"]["h"], 100_000, 1 / 64
    problem = sdde.Problem(
        lambda t, x, late: (0.0, 0.0), lambda t, x, late: (1.0, late[0][0]), delays=h,
        history=[0.0, 0.0], noise="scalar",
    )  # fmt: skip
    x = sdde.solve(problem, (0.0, 2.0 * h), dt=dt, paths=paths, rng=6, save=[h, 2.0 * h]).x
    before, now, integral = x[:, 0, 0], x[:, 1, 0] - x[:, 0, 0], x[:, 1, 1]
    square = h * (h - dt) / 2.0  # exact for the sum over steps
    samples = (integral, integral**2, integral * before, integral * now * before)
    for values, exact, tabulated in zip(
        samples, (0.0, square, 0.0, square), case["expected"], strict=True
    ):
        assert abs(values.mean() - exact) < Z * values.std() / math.sqrt(paths)
        assert abs(exact - tabulated) < case["tolerance"]


# ---- superlinear drift


@named("double_well")
def test_stationary_moments_in_a_double_well(case):
    """E x^4 - E x^2 = sigma^2 / 2, and both values; two time steps remove the bias."""
    sigma, paths, batches = math.sqrt(case["params"]["sigma2"]), 20_000, 40
    problem = sdde.Problem(lambda t, x, d: x - x * x * x, sigma, history=0.0)
    samples = []
    for dt in (1 / 16, 1 / 32):
        x = sdde.solve(problem, (0.0, 20.0), dt=dt, paths=paths, rng=round(1 / dt), save="final")
        parts = np.array_split(x.x[:, 0], batches)
        samples.append(np.array([[np.mean(part**2), np.mean(part**4)] for part in parts]))
    values = 2.0 * samples[1] - samples[0]
    error = values.std(axis=0, ddof=1) / math.sqrt(batches)
    bias = 0.3 / 32**2 * 4  # what is left is of second order in dt
    assert np.all(error < 0.05)
    assert np.all(np.abs(values.mean(axis=0) - case["expected"]) < Z * error + bias)


# ---- jumps


@named("jump_additive_compound")
def test_cumulants_of_compound_poisson_noise(case):
    """Mean, variance and third cumulant; the fourth is too noisy to be seen here."""
    p, e = case["params"], case["expected"]
    law = st.norm(p["m1"], math.sqrt(p["v1"]))
    jumps = sdde.Jump(p["lam"], lambda t, x, late, m, *args: m, mark=law)
    problem = linear(p, history=e["mean"]).replace(jumps=jumps)

    def cumulants(x):
        return np.array([x.mean(), x.var(ddof=1), st.kstat(x, 3)])

    found = at_step_zero(problem, 16.0, 1 / 16, cumulants, paths=40_000, seed=71)
    assert agree(found, [e["mean"], e["var"], e["k3"]], relative=0.1)


@named("jump_mult")
def test_a_jump_that_multiplies_the_state(case):
    """The mean grows with the tabulated exponent; the second moment as its index says."""
    p, e = case["params"], case["expected"]
    jumps = sdde.Jump(p["lam"], lambda t, x, late, m, *args: args[-1] * x)
    problem = sdde.Problem(
        lambda t, x, late, a, b, c, g: a * x + b * late[0], lambda t, x, late, a, b, c, g: c * x,
        delays=p["tau"], history=1.0, args=(p["a"], p["b"], p["c"], p["g"]), jumps=jumps,
    )  # fmt: skip
    system = sdde.theory.DelaySystem(p["a"], p["b"], p["tau"], multiplicative=(p["c"], 0.0))
    system = sdde.theory.with_jumps(system, p["lam"], instant=p["g"])
    assert system.abscissa() == pytest.approx(e["mean_exponent"], abs=case["tolerance"])
    exact = system.mean(2.0, 1.0), system.variance(2.0, 1.0) + system.mean(2.0, 1.0) ** 2

    def moments(x):
        return np.array([x.mean(), np.mean(x**2)])

    found = at_step_zero(problem, 2.0, 1 / 16, moments, paths=40_000, seed=73)
    assert agree(found, np.array(exact), relative=0.1)


@named("jump_delayed_intensity")
def test_a_rate_that_sees_the_past(case):
    """Mean and variance of the excited trace."""
    p = case["params"]
    problem = models.hawkes(p["l0"], p["k"], -p["a"], p["tau"], history=2.0)
    found = at_step_zero(
        problem, 20.0, 1 / 8, lambda x: np.array([x.mean(), x.var(ddof=1)]), paths=20_000, seed=75
    )
    assert agree(found, [case["expected"]["mean"], case["expected"]["var"]], relative=0.05)


@named("async_sgd_poisson", "async_sgd_random_delay")
def test_asynchronous_sgd(case):
    """The stationary variance, with a fixed delay and with one drawn for each gradient."""
    p = case["params"]
    laws = {"exp": st.expon(), "unif02": st.uniform(0.0, 2.0), None: p.get("tau")}
    problem = models.async_sgd(
        p["h"], p["eta"], p["lam"], laws[p.get("delay")], noise=p["nu"], history=0.0
    )
    found = at_step_zero(problem, 24.0, 1 / 8, np.var, paths=20_000, seed=77)
    assert agree(found, np.array(case["expected"]["V"]), relative=0.05)


# ---- orders


@named("mlmc")
def test_decay_of_the_variance_of_corrections(case):
    """Twice the strong order."""
    p = case["params"]
    problem = models.hayes(p["a"], p["b"], p["tau"], noise=p["s"])
    found = sdde.multilevel(
        problem, lambda x: x, 0.001, t_span=(0, p["T"]), dt=1 / 8, rng=5, pilot=20_000
    )
    assert abs(found.variance_decay - case["expected"]) < case["tolerance"]


# ---- where models begin to oscillate


@named("hopf")
def test_the_delay_at_which_a_model_begins_to_oscillate(case):
    """Equilibrium, linearisation and critical delay of the ready models."""
    p, e = case["params"], case["expected"]
    problem = {
        "hopf_mackey_glass": lambda: models.mackey_glass(p["beta"], p["gamma"], p["n"], 1.0),
        "hopf_hutchinson": lambda: models.hutchinson(p["r"]),
        "hopf_ikeda": lambda: models.ikeda(p["mu"], 1.0),
    }[case["id"]]()
    point = e["x_eq"]
    assert problem.drift(0.0, point, [point], *problem.args) == pytest.approx(0.0, abs=1e-15)
    system = sdde.theory.linearize(problem, point)
    expected = sdde.theory.DelaySystem(e["a"], e["b"], 1.0)
    assert system.delay_margin() == pytest.approx(e["tau_c"], abs=case["tolerance"])
    np.testing.assert_allclose(system.roots(3), expected.roots(3), atol=case["tolerance"])
    at_margin = sdde.theory.linearize(problem.replace(delays=e["tau_c"]), point)
    assert at_margin.abscissa() == pytest.approx(0.0, abs=1e-12)
