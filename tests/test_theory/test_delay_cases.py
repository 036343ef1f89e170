"""Every tabulated answer about delay systems, through the public interface.

The tables hold values obtained by two independent methods each; their tolerance is part of the
case.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats as st

from sdde.theory import (
    DelaySystem,
    critical_damping,
    jump_cumulants,
    mean_hitting_time,
    rightmost_roots,
    stability_limit,
    with_jumps,
    with_state_dependent_jumps,
)

FOLDER = Path(__file__).parents[1] / "cases"


def cases(file, *categories):
    """Return the cases of some categories as test parameters."""
    table = json.loads((FOLDER / file).read_text(encoding="utf-8"))["cases"]
    chosen = [case for case in table if case["category"] in categories]
    assert chosen
    return [pytest.param(case, id=case["id"]) for case in chosen]


def sgd(*categories):
    """Return cases of asynchronous SGD that are about delay systems."""
    return pytest.mark.parametrize("case", cases("async_sgd.json", *categories))


def sdde(*categories):
    """Return cases of delay equations."""
    return pytest.mark.parametrize("case", cases("sdde.json", *categories))


def close(value, case, key=None):
    """Whether a value meets the case's own tolerance."""
    expected = case["expected"] if key is None else case["expected"][key]
    if "rel_tol" in case:
        return np.allclose(value, expected, rtol=case["rel_tol"], atol=1e-9)
    tolerance = case["tolerance"]
    tolerance = tolerance[key] if isinstance(tolerance, dict) else tolerance
    return np.allclose(value, expected, rtol=0.0, atol=tolerance)


def linear(p, **more):
    """Return the scalar system of a case with one fixed delay."""
    return DelaySystem(p["a"], p["b"], p["tau"], noise=p.get("sigma", 0.0), **more)


def pair(root):
    """Return [real part, absolute imaginary part]."""
    return [root.real, abs(root.imag)]


@sgd("root_fixed_delay")
def test_roots_with_a_fixed_delay(case):
    a, tau = case["inputs"]["a"], case["inputs"]["tau"]
    assert close(pair(complex(rightmost_roots(a, tau))), case)
    assert close(pair(DelaySystem(0.0, -a, tau).roots(1)[0]), case)


@sgd("variance_fixed_delay")
def test_stationary_variance_with_a_fixed_delay(case):
    p = case["inputs"]
    assert close(DelaySystem(0.0, -p["a"], p["tau"], noise=p["sigma"]).covariance(), case)


@sgd("erlang_stability")
def test_erlang_stability(case):
    assert close(stability_limit(st.gamma(case["inputs"]["r"])), case)


@sgd("erlang_critical")
def test_erlang_critical_damping(case):
    assert close(critical_damping(st.gamma(case["inputs"]["r"])), case)


@sgd("shifted_exponential_stability")
def test_shifted_exponential_stability(case):
    p = case["inputs"]
    law = st.expon(p["d"], p["m1"])
    assert close(stability_limit(law) / law.mean(), case)


@sgd("uniform_root")
def test_uniform_roots(case):
    p = case["inputs"]
    law = st.uniform(0.0, 2.0 * p["mean"])
    assert close(pair(complex(rightmost_roots(p["a"], law))), case)
    assert close(pair(DelaySystem(0.0, -p["a"], law).roots(1)[0]), case)


@sgd("uniform_stability")
def test_uniform_stability(case):
    assert close(stability_limit(st.uniform(0.0, 2.0)), case)


@sdde("characteristic_roots")
def test_rightmost_roots(case):
    p = case["params"]
    if "A0" in p:
        roots = DelaySystem(p["A0"], [p["A1"], p["A2"]], p["tau"]).roots(6)
        roots = roots[roots.imag >= 0.0][:3]
    else:
        roots = linear(p).roots(5)
    assert close([pair(root) for root in roots], case)


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "stability_boundary") if c.id.startswith("tau_crit")]
)
def test_critical_delays(case):
    p = case["params"]
    system = DelaySystem(p["a"], p["b"], 1.0)
    assert close(system.delay_margin(), case, "tau_c")
    at_margin = DelaySystem(p["a"], p["b"], case["expected"]["tau_c"]).roots(1)[0]
    assert abs(at_margin.imag - case["expected"]["omega"]) < 1e-9


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "stability_boundary") if c.id.endswith("delay_crit")]
    + [c for c in cases("sdde.json", "stability_boundary") if c.id.startswith("gamma_delay")]
)  # fmt: skip
def test_critical_damping_of_distributed_delays(case):
    shape = case["params"].get("k")
    law = st.uniform(0.0, 2.0) if shape is None else st.gamma(shape, scale=1.0 / shape)
    expected = math.inf if case["expected"] is None else case["expected"]
    assert stability_limit(law) == pytest.approx(expected, abs=case["tolerance"])


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "stability_boundary") if c.id == "hayes_Dcurve"]
)
def test_points_on_the_hayes_curve_are_critical(case):
    for a, b in case["expected"]:
        if a < 0.0:  # stable without delay, so the curve is the margin
            assert DelaySystem(a, b, 1.0).delay_margin() == pytest.approx(1.0, abs=1e-12)
        assert DelaySystem(a, b, 1.0).abscissa() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "linear_additive") if "stat" in c.id]
)
def test_stationary_autocovariance(case):
    tau = case["params"]["tau"]
    system = linear(case["params"])
    values = system.covariance([0.0, tau / 2.0, tau])
    assert close(values, case)


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "linear_additive") if "transient" in c.id]
)
def test_transient_mean_and_variance(case):
    system, t = linear(case["params"]), case["expected"]["t"]
    assert np.allclose(system.mean(t, 1.0), case["expected"]["mean"], rtol=0.0, atol=1e-9)
    assert np.allclose(system.variance(t), case["expected"]["var"], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "linear_additive") if c.id.startswith("matrix")]
)
def test_stationary_covariance_of_a_matrix_system(case):
    p = case["params"]
    system = DelaySystem(p["A0"], p["A1"], p["tau"], noise=np.sqrt(p["Q"]))
    assert close(np.diag(system.covariance()), case)


@pytest.mark.parametrize(
    "case", [c for c in cases("sdde.json", "deterministic_dde") if "wright0" in c.id]
)
def test_the_wright_equation(case):
    value = DelaySystem(0.0, -1.0, 1.0).mean(case["expected"]["t"], 1.0)
    assert np.allclose(value, case["expected"]["x"], rtol=0.0, atol=case["tolerance"])


@sdde("distributed_delay")
def test_variance_with_an_exponential_kernel(case):
    p = case["params"]
    system = DelaySystem(p["a"], p["b"], st.expon(scale=1.0 / p["k"]), noise=p["sigma"])
    assert close(system.covariance(), case)


@sgd("hitting_time_noise_free")
def test_noise_free_hitting_times(case):
    p = case["inputs"]
    assert close(DelaySystem(0.0, -p["a"], p["tau"]).hitting_time(p["eps"], 1.0), case)


@sgd("hitting_time_ornstein_uhlenbeck")
def test_mean_hitting_time_without_delay(case):
    p = case["inputs"]
    system = DelaySystem(-p["a"], [], [], noise=p["sigma"])
    assert close(mean_hitting_time(system, p["b"], p["x0"]), case)


@sgd("poisson_mean_square")
def test_most_workers_with_poisson_arrivals(case):
    """Arrivals at rate n, each with a gradient one cycle old: the index is 1 at the limit."""
    alpha, workers = case["inputs"]["alpha"], case["expected"]
    for factor, stable in ((1.0 - 1e-7, True), (1.0 + 1e-7, False)):
        system = with_jumps(DelaySystem(0.0, 0.0, 1.0), factor * workers, delayed=-alpha)
        assert system.is_mean_square_stable() == stable


@sdde("em_discrete_exact")
def test_variance_of_the_recursion_itself(case):
    p = case["params"]
    if case["id"] == "nondivisible_delay":
        for row in case["expected"]:
            value = linear(p).euler_maruyama(row["h"]).covariance()
            assert value == pytest.approx(row["linear_interp"], abs=case["tolerance"])
            rounded = DelaySystem(0.0, p["b"], round(p["tau"] / row["h"]) * row["h"], noise=1.0)
            value = rounded.euler_maruyama(row["h"]).covariance()
            assert value == pytest.approx(row["rounded_delay"], abs=case["tolerance"])
    elif case["id"] == "trapezoid_drift_variance":
        system = DelaySystem(0.0, p["b"], p["tau"], noise=p["sigma"])
        exact = system.covariance()
        for scheme, recursion in (("em", system.euler_maruyama), ("heun", system.heun)):
            bias = [recursion(h).covariance() / exact - 1.0 for h in p["h"]]
            assert np.allclose(bias, case["expected"][scheme], rtol=0.0, atol=case["tolerance"])
    else:
        assert close([linear(p).euler_maruyama(h).covariance() for h in p["h"]], case)


@sdde("em_stability")
def test_smallest_number_of_steps_per_delay(case):
    p = case["params"]
    system = linear(p, multiplicative=(p["c"], p["d"]))
    assert system.largest_dt() == pytest.approx(p["tau"] / case["expected"])


@sdde("mean_square_stability")
def test_mean_square_index_and_exponent(case):
    p = case["params"]
    system = linear(p, multiplicative=(p["c"], p["d"]))
    index = system.mean_square_index()
    assert close(index, case, "kappa")
    assert close(1.0 / math.sqrt(index), case, "critical_scale")
    assert close(system.mean_square_exponent(), case, "gamma")
    assert system.is_mean_square_stable() == (case["expected"]["kappa"] < 1.0)


@sdde("moments_transient")
def test_transient_moments_with_multiplicative_noise(case):
    p = case["params"]
    if "tau" not in p:
        system = DelaySystem(p["c"] ** 2 / 2.0, [], [], multiplicative=(p["c"],))  # in Ito form
        assert close(system.mean(1.0, 1.0), case)
        return
    system = DelaySystem(
        p["a"], p["b"], p["tau"], noise=p["s"], multiplicative=(p["c"], p["d"]), offset=p["drift"]
    )

    def history(t):
        return p["x0"] + p["x1"] * t

    t = case["expected"]["t"]
    mean, variance = system.mean(t, history), system.variance(t, history)
    assert close(mean, case, "Ex")
    assert close(variance + mean**2, case, "Ex2")


@sdde("multiplicative_stationary")
def test_stationary_law_with_multiplicative_noise(case):
    p = case["params"]
    system = DelaySystem(
        p["a"], p["b"], p["tau"], noise=p["s"], multiplicative=(p["c"], p["d"]), offset=p["drift"]
    )
    found = [system.stationary_mean(), system.covariance(), system.mean_square_index()]
    expected = [case["expected"][key] for key in ("mean", "var", "kappa")]
    assert np.allclose(found, expected, rtol=0.0, atol=case["tolerance"])


@sdde("jumps")
def test_poisson_jumps(case):
    p, expected, tolerance = case["params"], case["expected"], case["tolerance"]
    found = {}
    if case["id"] == "jump_additive_compound":
        system = DelaySystem(p["a"], p["b"], p["tau"], noise=p["sigma"])
        size = st.norm(p["m1"], math.sqrt(p["v1"]))
        found = dict(
            zip(("mean", "var", "k3", "k4"), jump_cumulants(system, p["lam"], size), strict=True)
        )
        equivalent = with_jumps(system, p["lam"], size=size)
        assert equivalent.stationary_mean() == pytest.approx(expected["mean"], abs=tolerance)
        assert equivalent.covariance() == pytest.approx(expected["var"], abs=tolerance)
    elif case["id"] == "jump_mult":
        system = DelaySystem(p["a"], p["b"], p["tau"], multiplicative=(p["c"], 0.0))
        system = with_jumps(system, p["lam"], instant=p["g"])
        found = {"mean_exponent": system.abscissa(), "kappa": system.mean_square_index()}
    elif case["id"] == "jump_delayed_intensity":
        system = with_state_dependent_jumps(
            DelaySystem(p["a"], 0.0, p["tau"]), p["l0"], delayed=p["k"]
        )
        found = {"mean": system.stationary_mean(), "var": system.covariance()}
    else:
        found = asynchronous_sgd(p, p["tau"])
        for key, test in (
            ("eta_crit_mean", DelaySystem.is_stable),
            ("eta_crit_meansquare", DelaySystem.is_mean_square_stable),
        ):
            for factor in (1.0 - 1e-7, 1.0 + 1e-7):
                eta = expected[key] * factor
                idle = DelaySystem(0.0, 0.0, p["tau"])
                system = with_jumps(idle, p["lam"], delayed=-eta * p["h"])
                assert test(system) == (factor < 1.0)
    assert all(abs(found[key] - expected[key]) < tolerance for key in found)


def asynchronous_sgd(p, delay):
    """Return the stationary variance of a quadratic with gradients from a random past."""
    idle = DelaySystem(0.0, 0.0, delay)
    size = st.norm(scale=p["eta"] * p["nu"])
    return {"V": with_jumps(idle, p["lam"], delayed=-p["eta"] * p["h"], size=size).covariance()}


@sdde("random_delay")
def test_asynchronous_sgd_with_random_delays(case):
    law = st.expon() if case["params"]["delay"] == "exp" else st.uniform(0.0, 2.0)
    assert close(asynchronous_sgd(case["params"], law)["V"], case, "V")
    limit = case["expected"]["beta_crit_mean"]
    assert stability_limit(law) == pytest.approx(math.inf if limit is None else limit)
