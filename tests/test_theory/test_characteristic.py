"""Dominant roots, critical damping and stability limits against independent discretisations."""

import math

import numpy as np
import pytest
import scipy.stats as st

from sdde.equation.laws import as_law
from sdde.errors import ArgumentError
from sdde.theory import critical_damping, rightmost_roots, stability_limit

LAWS = {
    "constant": 1.0,
    "exponential": st.expon(),
    "Erlang-4": st.gamma(4, scale=0.25),
    "gamma 2.5": st.gamma(2.5, scale=0.4),
    "uniform": st.uniform(0, 2),
    "shifted uniform": st.uniform(0.5, 1),
    "shifted exponential": st.expon(0.5, 0.5),
    "Weibull": st.weibull_min(2.0, scale=1.0 / math.gamma(1.5)),
    "two clusters": np.array([0.1, 2.0, 2.0, 2.5]),
}


def roots_right_of(law, damping, line):
    """Count roots of s + a phi(s) with real part above `line` by the argument principle.

    There |s| = a |phi(s)| <= a phi(line), so a rectangle of that half-width holds all of them.
    """
    radius = damping * float(law.laplace(line)) + 1.0
    corners = [line - 1j * radius, radius - 1j * radius, radius + 1j * radius, line + 1j * radius]
    turns = 0.0
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        s = start + (end - start) * np.linspace(0.0, 1.0, 801)
        value = s + damping * law.laplace(s)
        turns += np.angle(value[1:] / value[:-1]).sum()
    return round(turns / (2.0 * math.pi))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.97, 1.05, 1.6, 3.0])
def test_no_root_lies_right_of_the_dominant_one(name, share):
    """A rate computed from the wrong branch would be too good to be true."""
    law = as_law(LAWS[name], "law")
    damping = share * critical_damping(law).damping / law.mean
    root = complex(rightmost_roots(damping, law))
    assert abs(root + damping * law.laplace(root)) < 1e-12
    margin = 1e-3 / law.mean
    assert roots_right_of(law, damping, root.real + margin) == 0
    if root.real - margin > law.convergence_abscissa:
        assert roots_right_of(law, damping, root.real - margin) in (1, 2)


@pytest.mark.parametrize("name", LAWS)
def test_many_dampings_at_once_equal_each_alone(name):
    """The table is an accelerator: it must not leave a trace in the numbers."""
    law = as_law(LAWS[name], "law")
    damping = np.geomspace(0.01, 3.0, 50) / law.mean
    together = rightmost_roots(damping, law)
    residual = np.abs(together + damping * law.laplace(together))
    assert residual.max() < 1e-12
    alone = [complex(rightmost_roots(a, as_law(LAWS[name], "law"))) for a in damping[::10]]
    np.testing.assert_allclose(together[::10], alone, atol=1e-10)


def test_the_lambert_branch_point_gives_the_double_root():
    """SciPy's lambertw is nan exactly at the critical damping, the most interesting one."""
    root = rightmost_roots(math.exp(-1.0) / 2.0, 2.0)
    assert root == pytest.approx(-0.5, abs=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_the_root_is_double_at_the_critical_damping(name):
    """Both the equation and its derivative vanish there."""
    law = as_law(LAWS[name], "law")
    damping, rate = critical_damping(law)
    s, a = -rate / law.mean, damping / law.mean
    assert abs(s + a * law.laplace(s)) < 1e-13 / law.mean
    assert abs(1.0 - a * law.laplace(s, power=1)) < 1e-10
    assert complex(rightmost_roots(a, law)).real == pytest.approx(s, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "exponential"])
def test_the_root_crosses_the_axis_at_the_stability_limit(name):
    """Two searches that share no code: along the axis, and along the locus."""
    law = as_law(LAWS[name], "law")
    limit = stability_limit(law) / law.mean
    below, above = rightmost_roots(np.array([1.0 - 1e-6, 1.0 + 1e-6]) * limit, law).real
    assert below < 0.0 < above
    assert roots_right_of(law, 0.999 * limit, 0.0) == 0
    assert roots_right_of(law, 1.001 * limit, 0.0) == 2


@pytest.mark.parametrize("shape", [1.5, 2.0, 3.0, 4.0, 8.0])
def test_gamma_closed_forms_agree_with_the_numerical_search(shape):
    """A gamma law shifted by a hair takes the numerical route."""
    exact, shifted = st.gamma(shape), st.gamma(shape, loc=1e-9)
    assert critical_damping(shifted) == pytest.approx(critical_damping(exact), rel=1e-7)
    assert stability_limit(shifted) == pytest.approx(stability_limit(exact), rel=1e-7)


def test_the_uniform_closed_form_agrees_with_the_numerical_search():
    """The closed form pi^2/4 holds for a start at 0 only, so a shift takes the other route."""
    assert stability_limit(st.uniform(1e-10, 2.0)) == pytest.approx(math.pi**2 / 4.0, rel=1e-8)


@pytest.mark.parametrize("shape", [0.5, 1.0])
def test_gamma_laws_of_shape_up_to_one_are_never_unstable(shape):
    """Their transform never turns by a right angle on the imaginary axis."""
    assert stability_limit(st.gamma(shape)) == math.inf


def test_heavy_tails_have_no_exponential_rate_but_a_stability_limit():
    """A lognormal law has no transform left of the axis: rate 0, stability by the crossing."""
    law = as_law(st.lognorm(0.5), "law")
    limit = stability_limit(law) / law.mean
    assert critical_damping(law) == (0.0, 0.0)
    stable, unstable = rightmost_roots(np.array([0.5, 1.1]) * limit, law)
    assert stable == 0.0
    assert unstable.real > 0.0
    assert abs(unstable + 1.1 * limit * law.laplace(unstable)) < 1e-12
    assert roots_right_of(law, 0.5 * limit, 0.0) == 0


def test_negative_damping_grows_with_a_real_root():
    """A push away from zero: s = |a| phi(s) has one positive root."""
    for law in LAWS.values():
        root = complex(rightmost_roots(-0.7, law))
        assert root.real > 0.0
        assert root.imag == 0.0
        assert abs(root - 0.7 * as_law(law, "law").laplace(root)) < 1e-13


def test_a_law_without_delay_is_an_ordinary_rate():
    """The limit of no delay is the ordinary differential equation."""
    np.testing.assert_array_equal(rightmost_roots([0.3, 2.0], 0.0), [-0.3, -2.0])


def test_misuse_is_named():
    """Messages start with the argument and its value."""
    with pytest.raises(ArgumentError, match=r"law = 0\.0 has mean 0"):
        stability_limit(0.0)
    with pytest.raises(ArgumentError, match=r"law = .* has mean inf"):
        critical_damping(st.pareto(0.9))
    with pytest.raises(ArgumentError, match=r"law = -1\.0 can take values below 0"):
        stability_limit(-1.0)
    with pytest.raises(ArgumentError, match="damping"):
        rightmost_roots([np.nan], 1.0)
