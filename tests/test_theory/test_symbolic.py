"""Closed forms derived again by SymPy from their equations, against the numbers of the package."""

import math

import numpy as np
import pytest
import scipy.stats as st

from sdde.theory import (
    DelaySystem,
    critical_damping,
    mean_hitting_time,
    stability_limit,
    symbolic,
    with_jumps,
)


@pytest.mark.parametrize(
    "derivation",
    [
        symbolic.stationary_covariance,
        symbolic.delay_margin,
        symbolic.gamma_critical_damping,
        symbolic.gamma_stability_limit,
        symbolic.uniform_stability_limit,
        symbolic.poisson_mean_square_limit,
        symbolic.exponential_delay_variance,
        symbolic.mean_hitting_time,
    ],
)
def test_the_closed_form_solves_its_equation(derivation):
    """What is left of the starting equation is zero, as an identity."""
    assert derivation().residual == 0


def test_the_derived_covariance_is_the_one_computed():
    """At several lags, in the oscillating case."""
    form = symbolic.stationary_covariance()
    s, (a, b, tau, sigma) = form.symbols, (-0.5, -1.0, 1.3, 0.7)
    omega = math.sqrt(b * b - a * a)
    values = {s["a"]: a, s["b"]: b, s["tau"]: tau, s["sigma"]: sigma, s["omega"]: omega}
    system = DelaySystem(a, b, tau, noise=sigma)
    for lag in (0.0, 0.4, 1.3):
        exact = float(form.result.subs(values).subs(s["u"], lag))
        assert system.covariance(lag) == pytest.approx(exact, rel=1e-12)


def test_the_derived_limits_are_the_ones_computed():
    """Critical damping, stability limits, margins and the mean-square limit of workers."""
    k = 2.5
    law = st.gamma(k, scale=1.0 / k)
    best = symbolic.gamma_critical_damping()
    assert critical_damping(law) == pytest.approx(
        [float(part.subs(best.symbols["k"], k)) for part in best.result]
    )
    limit = symbolic.gamma_stability_limit()
    assert stability_limit(law) == pytest.approx(float(limit.result.subs(limit.symbols["k"], k)))
    uniform = float(symbolic.uniform_stability_limit().result)
    assert stability_limit(st.uniform(0.0, 2.0)) == pytest.approx(uniform)
    margin = symbolic.delay_margin()
    tau = float(margin.result.subs({margin.symbols["a"]: -1.0, margin.symbols["b"]: -2.0}))
    assert DelaySystem(-1.0, -2.0, 1.0).delay_margin() == pytest.approx(tau, rel=1e-13)
    poisson = symbolic.poisson_mean_square_limit()
    workers = float(poisson.result.subs(poisson.symbols["alpha"], 0.1))
    system = with_jumps(DelaySystem(0.0, 0.0, 1.0), workers, delayed=-0.1)
    assert system.mean_square_index() == pytest.approx(1.0, rel=1e-10)


def test_the_derived_variance_with_exponential_delay_is_the_one_computed():
    """(1 + a) / (2 a) for mean delay 1."""
    form = symbolic.exponential_delay_variance()
    exact = float(form.result.subs(form.symbols["a"], 0.72))
    assert DelaySystem(0.0, -0.72, st.expon(), noise=1.0).covariance() == pytest.approx(exact)


def test_the_derived_hitting_time_is_the_one_computed():
    """The integral of the derived slope from the level to the start."""
    form = symbolic.mean_hitting_time()
    s = form.symbols

    def slope(x):
        return float(form.result.subs({s["x"]: x, s["r"]: 0.5, s["sigma"]: 0.3}).evalf())

    nodes, weights = np.polynomial.legendre.leggauss(24)
    exact = 0.45 * sum(w * slope(0.55 + 0.45 * x) for x, w in zip(nodes, weights, strict=True))
    system = DelaySystem(-0.5, [], [], noise=0.3)
    assert mean_hitting_time(system, 0.1, 1.0) == pytest.approx(exact, rel=1e-9)
