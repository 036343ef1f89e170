"""Laws: what a user gives for a random time becomes the right moments, quantiles and transforms."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st

from sdde.engine.kernels.quantile import quantile
from sdde.equation.laws import as_law, as_laws
from sdde.errors import ArgumentError

LAWS = {
    "constant": 1.5,
    "exponential": st.expon(scale=2.0),
    "shifted exponential": st.expon(loc=1.0),
    "gamma": st.gamma(4, scale=0.25),
    "lognormal": st.lognorm(0.5),
    "pareto": st.pareto(2.5),
    "uniform": st.uniform(0, 2),
    "weibull": st.weibull_min(0.7),
    "inverse gaussian": st.invgauss(1.0),
    "beta": st.beta(2, 0.5),
    "normal mark": st.norm(),
    "histogram": st.rv_histogram(np.histogram(np.arange(10.0) ** 2, 5)),
    "measured": np.array([1.0, 2.0, 3.0, 3.0]),
    "poisson": st.poisson(3),
    "binomial": st.binom(5, 0.3),
}


@pytest.mark.parametrize("name", LAWS)
def test_compiled_draws_are_the_quantiles(name):
    """Compiled code draws from a table; it must be the same law as the user's."""
    law = as_law(LAWS[name], "delay", minimum=None)
    shares = np.random.default_rng(1).random(3000)
    drawn = np.array([quantile(law.table(), u) for u in shares])
    kinks = name == "histogram"  # its quantile function has corners, where the misfit is local
    np.testing.assert_allclose(
        drawn, law.quantile(shares), rtol=1e-4 if kinks else 1e-9, atol=1e-9 * law.variance**0.5
    )


@pytest.mark.parametrize("u", [2.0**-53, 0.5, 1.0 - 2.0**-53])
def test_the_ends_of_the_unit_interval_draw_finite_values(u):
    """Uniform numbers reach within 2^-53 of both ends."""
    for source in LAWS.values():
        assert np.isfinite(quantile(as_law(source, "x", minimum=None).table(), u))


@pytest.mark.parametrize("source", LAWS.values(), ids=LAWS.keys())
def test_nodes_integrate_to_the_mean(source):
    """Every quadrature over a law rests on these nodes."""
    law = as_law(source, "delay", minimum=None)
    values, weights = law.nodes()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights @ values == pytest.approx(law.mean, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("s", [0.3, 2.0, 0.4 + 3.0j])
@pytest.mark.parametrize(
    "name", ["gamma", "lognormal", "uniform", "shifted exponential", "weibull"]
)
def test_the_laplace_transform_is_the_integral_over_the_density(name, s):
    """SciPy's own quadrature over the density is an independent witness."""
    law, frozen = as_law(LAWS[name], "delay"), LAWS[name]
    parts = [
        scipy.integrate.quad(
            lambda x, part=part: part(np.exp(-s * x)) * frozen.pdf(x),
            law.lowest,
            min(law.highest, frozen.isf(1e-14)),
            limit=400,
            epsabs=1e-12,
        )[0]
        for part in (np.real, np.imag)
    ]
    np.testing.assert_allclose(complex(law.laplace(s)), complex(*parts), rtol=2e-8, atol=2e-9)


def test_the_transform_is_infinite_where_it_does_not_exist():
    """Heavy tails have no exponential moments, exponential tails have few."""
    assert as_law(st.expon(scale=0.5), "x").laplace(-2.5) == np.inf
    assert as_law(st.lognorm(1.0), "x").laplace(-0.01) == np.inf
    assert as_law(st.uniform(0, 1), "x").laplace(-3.0) == pytest.approx(np.expm1(3.0) / 3.0)
    assert as_law(st.lognorm(1.0), "x").convergence_abscissa == 0.0
    assert as_law(st.halfnorm(), "x").convergence_abscissa == -np.inf
    assert as_law(st.invgauss(1.0), "x").convergence_abscissa == pytest.approx(-0.5, rel=0.02)


def test_a_list_is_one_law_per_worker_and_an_array_is_measurements():
    """The two readings of several numbers must not be confused."""
    assert [law.mean for law in as_laws([1.0, 2.0], 2, "compute_time")] == [1.0, 2.0]
    assert [law.mean for law in as_laws(np.array([1.0, 2.0]), 2, "compute_time")] == [1.5]
    with pytest.raises(ArgumentError, match="lists 2 laws for 3 workers"):
        as_laws([1.0, 2.0], 3, "compute_time")


BAD = [
    "a", True, None, [], np.array([1.0, np.nan]), -1.0, st.cauchy(), st.gamma, lambda: 1, 1j,
    st.norm(), np.array([-1.0, 2.0]), {}, [[1, 2], [3, 4]], object(), np.inf, st.pareto(0.5),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[str(i) for i in range(len(BAD))])
def test_what_is_no_law_of_a_time_is_refused_with_its_name(bad):
    """Every fault names the argument and shows a remedy or the reason."""
    with pytest.raises(ArgumentError, match="compute_time = "):
        as_law(bad, "compute_time")


@pytest.mark.parametrize(
    "source",
    [
        2.0,
        st.expon(scale=2.0),
        st.gamma(2.5, loc=0.3, scale=0.4),
        st.uniform(0.2, 1.7),
        np.array([1.0, 2.0, 4.0]),
    ],
)
@pytest.mark.parametrize("power", [0, 1, 2])
def test_closed_transforms_agree_with_quadrature_over_the_quantiles(source, power):
    """Two routes to E T^p exp(-sT): closed forms and the nodes of the law."""
    law = as_law(source, "law")
    values, weights = law.nodes()
    for s in (0.0, 1e-3, 0.3 + 2.0j, 3.0 - 1.0j):
        wanted = np.sum(weights * values**power * np.exp(-s * values))
        assert abs(law.laplace(s, power=power) - wanted) < 1e-10


def test_the_transform_of_a_heavy_tailed_law_is_finite_on_the_imaginary_axis():
    """Stability is decided there, also for laws without an exponential moment."""
    law = as_law(st.lognorm(0.8), "law")
    assert abs(law.laplace(0.0) - 1.0) < 1e-12
    assert np.isfinite(law.laplace(1j * np.array([0.5, 2.0]))).all()
    assert np.isinf(law.laplace(-0.1))


@pytest.mark.parametrize("name", ["gamma", "lognormal", "pareto"])
def test_many_measurements_are_condensed_without_loss(name):
    """Thousands of logged cycle times must not make every quadrature slow, nor wrong."""
    points = LAWS[name].rvs(20_000, random_state=1)
    law = as_law(points, "compute_time")
    values, weights = law.nodes()
    assert len(values) <= 1100
    for s in (0.5, 3.0, 2.0 + 8.0j, -0.2):
        exact = np.exp(-s * points).mean()
        np.testing.assert_allclose(law.laplace(s), exact, rtol=1e-7, atol=1e-9)
    for power in range(4):
        np.testing.assert_allclose(weights @ values**power, (points**power).mean(), rtol=1e-10)
