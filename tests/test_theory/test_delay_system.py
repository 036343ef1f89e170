"""Transient and stationary laws of linear delay equations: second witnesses and invariants."""

import math

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.stats as st

from sdde.equation.laws import as_law
from sdde.errors import ArgumentError
from sdde.theory import DelaySystem

TWO_DELAYS = {
    "instant": [[-0.3, 1.0], [-1.0, -0.2]],
    "delayed": [[[0.0, 0.2], [-0.4, 0.0]], [[-0.3, 0.0], [0.1, -0.3]]],
    "delays": [1.0, 0.7368],
    "noise": [[1.0, 0.0], [0.5, 0.3]],
}


def step_sum(a, b, tau, t):
    """Return the fundamental solution from its alternating sum, in 120 digits."""
    with mpmath.workdps(120):
        a, b, tau, t = (mpmath.mpf(value) for value in (a, b, tau, t))
        terms = (
            (b * (t - k * tau)) ** k * mpmath.exp(a * (t - k * tau)) / mpmath.factorial(k)
            for k in range(int(t / tau) + 1)
        )
        return float(mpmath.fsum(terms))


@pytest.mark.parametrize(("a", "b", "tau"), [(0, -1, 1), (0, -1.5, 1), (-4, -2, 1), (0.2, -1, 0.3)])
def test_the_fundamental_solution_is_the_step_sum_also_at_long_times(a, b, tau):
    """The textbook sum cancels beyond thirty delays in doubles; the panels do not."""
    system = DelaySystem(a, b, tau)
    for t in (0.2, 0.9, 1.7, 12.3, 59.0):
        exact = step_sum(a, b, tau, t)
        assert system.fundamental(t) == pytest.approx(exact, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("shape", [1, 2, 4])
def test_an_erlang_delay_has_the_transient_of_its_chain(shape):
    """The chain of compartments is an ordinary equation, solved by a matrix exponential."""
    chain = np.diag([-0.2, *[-float(shape)] * shape])
    chain[0, -1] = -1.5
    chain[np.arange(1, shape + 1), np.arange(shape)] = shape
    system = DelaySystem(-0.2, -1.5, st.gamma(shape, scale=1.0 / shape), noise=0.7)
    t = np.array([0.1, 0.5, 1.0, 2.0, 5.0, 10.0])
    mean = [(scipy.linalg.expm(chain * s) @ np.ones(shape + 1))[0] for s in t]
    np.testing.assert_allclose(system.mean(t, 1.0), mean, atol=1e-12)
    push = [scipy.linalg.expm(chain * s)[0, 0] for s in t]
    np.testing.assert_allclose(system.fundamental(t), push, atol=1e-12)
    source = np.zeros_like(chain)
    source[0, 0] = 0.49
    stationary = scipy.linalg.solve_continuous_lyapunov(chain, -source)[0, 0]
    assert system.covariance() == pytest.approx(stationary, rel=1e-11)


@pytest.mark.parametrize("law", [st.gamma(2.5, scale=0.4), st.uniform(0.2, 1.5), st.lognorm(0.5)])
def test_a_continuous_delay_satisfies_its_equation(law):
    """Derivative against the average over the law, both taken from the returned solution."""
    system = DelaySystem(-0.1, -0.9, law)

    lags, weights = as_law(law, "law").nodes()
    for t in (0.5, 1.9, 6.0):
        past = weights @ system.mean(t - lags, 1.0)
        ahead, here, behind = system.mean([t + 1e-4, t, t - 1e-4], 1.0)
        assert (ahead - behind) / 2e-4 == pytest.approx(-0.1 * here - 0.9 * past, abs=1e-5)


def test_a_measured_delay_of_few_values_is_a_sum_of_fixed_ones():
    """Three measurements are three delays with a third of the weight each."""
    measured = DelaySystem(-0.2, -0.9, np.array([0.5, 1.0, 1.7]), noise=1.0)
    fixed = DelaySystem(-0.2, [-0.3] * 3, [0.5, 1.0, 1.7], noise=1.0)
    t = np.array([0.3, 0.9, 2.2, 7.0])
    np.testing.assert_allclose(measured.mean(t, 1.0), fixed.mean(t, 1.0), atol=1e-13)
    np.testing.assert_allclose(measured.roots(3), fixed.roots(3), atol=1e-12)
    assert measured.covariance() == pytest.approx(fixed.covariance(), rel=1e-10)


def test_the_history_is_a_function_a_vector_or_a_number():
    """A constant given in three ways is one history."""
    system = DelaySystem(**TWO_DELAYS)
    t = np.linspace(-0.5, 4.0, 10)
    constant = system.mean(t, [1.0, 1.0])
    np.testing.assert_array_equal(constant, system.mean(t, 1.0))
    np.testing.assert_array_equal(constant, system.mean(t, lambda s: [1.0, 1.0]))


@pytest.mark.parametrize("delay", [1.0, st.gamma(3, scale=0.3), st.uniform(0.4, 1.0)])
def test_a_mode_of_the_spectrum_stays_a_mode(delay):
    """A history exp(s t) with s a characteristic root continues as exp(s t) for ever."""
    system = DelaySystem([[-0.3, 1.0], [-1.0, -0.2]], [[-0.2, 0.1], [0.0, -0.3]], delay)
    root = system.roots(1)[0]
    kernel = np.linalg.svd(system.spectrum.matrix(root))[2][-1].conj()
    t = np.array([0.0, 0.3, 1.1, 4.0, 9.0])
    found = system.mean(t, lambda s: (kernel * np.exp(root * s)).real)
    np.testing.assert_allclose(found, (kernel * np.exp(root * t)[:, None]).real, atol=1e-9)


def test_the_mean_is_linear_in_the_history():
    """Doubling the start doubles the answer, and sums add up."""
    system, t = DelaySystem(-0.3, -0.8, 1.0), np.linspace(0.0, 9.0, 12)

    def bent(s):
        return math.cos(s)

    both = system.mean(t, lambda s: 2.0 + 3.0 * bent(s))
    np.testing.assert_allclose(
        both, 2.0 * system.mean(t, 1.0) + 3.0 * system.mean(t, bent), atol=1e-12
    )


def test_transient_variance_tends_to_the_stationary_one():
    """Method of steps against the delay Lyapunov matrix."""
    system = DelaySystem(**TWO_DELAYS)
    assert system.is_stable()
    late = 20.0 / -system.abscissa()
    np.testing.assert_allclose(system.variance(late), system.covariance(), atol=1e-12)


def spectral_integral(system, lag, component=(0, 0)):
    """Return R(lag) by plain quadrature of the spectral density up to 5000, a second witness."""
    i, j = component

    edges = np.concatenate([np.arange(0.0, 60.0, 0.2), np.geomspace(60.0, 5e3, 400)])
    x, w = np.polynomial.legendre.leggauss(10)
    half = np.diff(edges)[:, None] / 2.0
    omega = (edges[:-1, None] + half * (x + 1.0)).ravel()
    density = np.asarray(system.spectral_density(omega))
    density = density if density.ndim == 1 else density[:, i, j]
    return float(np.sum((half * w).ravel() * np.real(density * np.exp(1j * omega * lag)))) / math.pi


@pytest.mark.parametrize(
    "system",
    [
        DelaySystem(0.0, -1.0, 1.0, noise=1.0),
        DelaySystem(-2.0, 1.9, 1.0, noise=0.5),
        DelaySystem(0.0, -0.72, st.gamma(4, scale=0.25), noise=1.0),
        DelaySystem(0.0, -0.72, st.lognorm(0.5), noise=1.0),
        DelaySystem(-0.5, [-0.4, -0.3], [1.0, 1.6], noise=1.0),
    ],
    ids=["fixed", "hyperbolic", "gamma", "lognormal", "two delays"],
)
def test_stationary_variance_is_the_spectral_integral(system):
    """Closed form, delay Lyapunov matrix and time integrals against quadrature over frequencies."""
    assert system.covariance() == pytest.approx(spectral_integral(system, 0.0), abs=1e-4)


def test_matrix_covariance_is_the_spectral_integral():
    """Off-diagonal entries and lags included."""
    system = DelaySystem(**TWO_DELAYS)
    value = system.covariance([0.0, 0.5])
    for component in ((0, 0), (0, 1), (1, 1)):
        for k, lag in enumerate((0.0, 0.5)):
            wanted = spectral_integral(system, lag, component)
            assert value[k][component] == pytest.approx(wanted, abs=1e-4)


def test_covariances_by_three_methods_agree_to_rounding():
    """Delay Lyapunov matrix, fundamental solution and frequencies share no numerics."""
    from sdde.theory.stationary import (
        LyapunovMatrix,
        fundamental_covariance,
        spectral_covariance,
    )

    system = DelaySystem(**TWO_DELAYS)
    noise = system.coefficients.noise @ system.coefficients.noise.T
    lags = np.array([0.0, 0.6, 1.0, 4.0])
    one = LyapunovMatrix(system.spectrum).covariance(noise, lags)
    two = fundamental_covariance(system.spectrum, noise, lags, -system.abscissa())
    np.testing.assert_allclose(one, two, atol=1e-11)
    for k, lag in enumerate(lags):
        three = spectral_covariance(system.spectrum, noise, float(lag))
        np.testing.assert_allclose(one[k], three, atol=1e-9)


def test_closed_form_covariance_equals_the_lyapunov_matrix():
    """Trigonometric, degenerate and hyperbolic cases, and lags beyond the delay."""
    lags = np.array([0.0, 0.3, 1.0])
    for a, b in (
        (0.0, -1.0),
        (-1.0, -1.0),
        (-1.0, 0.5),
        (-2.0, 1.9),
        (-30.0, 2.0),
        (-1.0, -1.0001),
    ):
        scalar = DelaySystem(a, b, 1.0, noise=0.7)
        matrix = DelaySystem([[a, 0.0], [0.0, -1.0]], [[b, 0.0], [0.0, 0.0]], 1.0, noise=0.7)
        np.testing.assert_allclose(
            scalar.covariance(lags), matrix.covariance(lags)[:, 0, 0], rtol=1e-9, atol=1e-15
        )
        slope = a * scalar.covariance(0.0) + b * scalar.covariance(1.0)
        assert slope == pytest.approx(-0.49 / 2.0, rel=1e-10)


def test_negative_lags_transpose_the_covariance():
    """R(-l) is the transpose of R(l)."""
    system = DelaySystem(**TWO_DELAYS)
    forward, back = system.covariance([0.7, -0.7])
    np.testing.assert_allclose(forward.T, back, atol=1e-14)


def test_what_is_not_stationary_is_infinite():
    """Asking for a stationary law of an unstable system is not an error: the answer is inf."""
    system = DelaySystem(0.0, -1.6, 1.0, noise=1.0, offset=1.0)
    assert not system.is_stable()
    assert system.covariance() == math.inf
    assert system.spectral_density(1.0) == math.inf
    assert system.stationary_mean() == math.inf
    assert np.isinf(DelaySystem(np.eye(2), -np.eye(2), 0.5, noise=1.0).covariance()).all()


def test_heavy_tails_are_stable_without_a_rate():
    """No transform left of the axis: the abscissa is 0, yet the equation can be stable."""
    stable, unstable = (DelaySystem(0.0, -a, st.lognorm(0.5)) for a in (1.0, 2.5))
    assert stable.is_stable()
    assert stable.abscissa() == 0.0
    assert not unstable.is_stable()
    assert unstable.abscissa() > 0.0


@pytest.mark.parametrize("theta", [0.999, 1.001])
def test_the_delay_margin_separates_stable_from_unstable(theta):
    """For a system with two delays stretched together."""
    delayed = [[[-0.5, 0.3], [-0.2, -0.4]], [[-0.6, 0.0], [0.1, -0.5]]]
    instant, delays = [[-0.2, 0.5], [-0.5, -0.1]], np.array([1.0, 0.6])
    margin = DelaySystem(instant, delayed, list(delays)).delay_margin()
    stretched = DelaySystem(instant, delayed, list(delays * margin * theta))
    assert stretched.is_stable() == (theta < 1.0)


def test_delay_margins_at_the_extremes():
    """Stable for every delay, and unstable without any."""
    assert DelaySystem(-1.0, 0.5, 1.0).delay_margin() == math.inf
    assert DelaySystem(0.5, 0.5, 1.0).delay_margin() == 0.0
    assert DelaySystem(0.0, -1.0, st.expon()).delay_margin() == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, -1.0, -1.0), r"delays = -1\.0 can take values below 0"),
        ((0.0, -1.0, st.pareto(0.9)), "has mean inf"),
        ((0.0, [-1.0], [1.0, 2.0]), "does not hold one coefficient for each of 2 delays"),
        (([1.0, 2.0], -1.0, 1.0), "is neither a number nor a square matrix"),
        (([[0.0]], np.eye(2), 1.0), "has 2 rows, but instant has 1"),
        ((0.0, np.nan, 1.0), "not finite"),
    ],
)
def test_misuse_is_named(arguments, message):
    """The message starts with the argument and its value."""
    with pytest.raises(ArgumentError, match=message):
        DelaySystem(*arguments)


def test_misuse_of_methods_is_named():
    """Counts, histories and multiplicative noise of the wrong form."""
    system = DelaySystem(0.0, -1.0, 1.0)
    with pytest.raises(ArgumentError, match="count = 0 is below 1"):
        system.roots(0)
    with pytest.raises(ArgumentError, match="history"):
        system.mean(1.0, [1.0, 2.0])
    with pytest.raises(ArgumentError, match="does not hold 2 entries"):
        DelaySystem(0.0, -1.0, 1.0, multiplicative=(0.1,))
