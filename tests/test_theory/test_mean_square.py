"""Mean-square stability: exact index and exponent against time and semi-discretisation."""

import math

import numpy as np
import pytest
import scipy.stats as st

from sdde.errors import ArgumentError
from sdde.theory import DelaySystem, with_jumps

PLANAR = {
    "instant": [[-1.0, 0.6], [-0.4, -0.8]],
    "delayed": [[-0.3, 0.2], [0.1, -0.5]],
    "delays": 1.0,
    "multiplicative": ([[0.3, 0.0], [0.2, 0.4]], [[0.0, 0.3], [0.3, 0.0]]),
}


def second_moment_map(system, steps):
    """Return the matrix of Euler-Maruyama's second moments on the whole discretised history.

    Semi-discretisation: the state and its last `steps` values stacked, their covariance pushed by
    one step. Its spectral radius is the growth of second moments, without any renewal argument.
    """
    c, dim = system.coefficients, system.dim
    dt, size = c.laws[0].mean / steps, dim * (steps + 1)
    push = np.zeros((size, size))
    push[dim:, :-dim] = np.eye(size - dim)
    push[:dim, :dim] = np.eye(dim) + dt * c.instant
    push[:dim, -dim:] = dt * c.delayed[0]
    total = np.kron(push, push)
    for k in range(c.noise.shape[1]):
        shake = np.zeros((size, size))
        shake[:dim, :dim] = math.sqrt(dt) * c.gains[0][k]
        shake[:dim, -dim:] += math.sqrt(dt) * c.gains[1][k]
        total += np.kron(shake, shake)
    return total, dt


def growth(system, steps):
    """Return the exponent of the discretised second moments by power iteration."""
    matrix, dt = second_moment_map(system, steps)
    size = math.isqrt(len(matrix))
    vector = np.eye(size).ravel()
    for _ in range(400):
        image = matrix @ vector
        rate = np.linalg.norm(image) / np.linalg.norm(vector)
        vector = image / np.linalg.norm(image)
    return math.log(rate) / dt


@pytest.mark.parametrize(
    "system",
    [
        DelaySystem(-1.0, 0.5, 1.0, multiplicative=(0.6, 0.6)),
        DelaySystem(-0.5, -0.8, 1.0, multiplicative=(0.0, 0.9)),
        DelaySystem(**PLANAR),
    ],
    ids=["scalar", "delayed noise", "planar"],
)
def test_the_exponent_is_the_limit_of_semi_discretisation(system):
    """Richardson over two steps removes the first-order error of the discretisation."""
    coarse, fine = (10, 20) if system.dim == 1 else (5, 10)
    limit = 2.0 * growth(system, fine) - growth(system, coarse)
    assert system.mean_square_exponent() == pytest.approx(limit, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_index_and_exponent_agree_on_stability(scale):
    """The exponent is negative exactly where the index is below 1."""
    gains = tuple(scale * np.array(gain) for gain in PLANAR["multiplicative"])
    base = DelaySystem(**PLANAR | {"multiplicative": gains})
    critical = 1.0 / math.sqrt(base.mean_square_index())
    for factor in (0.999, 1.001):
        gains_at = tuple(critical * factor * gain for gain in gains)
        system = DelaySystem(**PLANAR | {"multiplicative": gains_at})
        assert system.is_mean_square_stable() == (factor < 1.0)
        assert (system.mean_square_exponent() < 0.0) == (factor < 1.0)


def test_the_exponent_is_the_growth_of_transient_second_moments():
    """The renewal equation in time, against its Laplace transform."""
    system = DelaySystem(-1.0, 0.5, 1.0, multiplicative=(1.0, 0.0))
    t = np.array([16.0, 18.0])
    moments = system.variance(t, 1.0) + system.mean(t, 1.0) ** 2
    rate = math.log(moments[1] / moments[0]) / 2.0
    assert system.mean_square_exponent() == pytest.approx(rate, abs=1e-7)


def test_two_equal_scalars_side_by_side_have_the_scalar_index():
    """The matrix route reduces to the closed form, with separate or common Wiener processes."""
    scalar = DelaySystem(-1.0, 0.5, 1.0, multiplicative=(0.6, 0.6)).mean_square_index()
    common = (0.6 * np.eye(2), 0.6 * np.eye(2))
    own = tuple(0.6 * np.eye(2)[:, :, None] * np.eye(2)[:, None, :] for _ in range(2))
    for gains in (common, own):
        both = DelaySystem(-np.eye(2), 0.5 * np.eye(2), 1.0, multiplicative=gains)
        assert both.mean_square_index() == pytest.approx(scalar, rel=1e-10)


def test_transient_covariance_of_a_planar_system_tends_to_the_stationary_one():
    """Renewal equation in time against the balance of noise power."""
    system = DelaySystem(**PLANAR, noise=np.array([0.5, 0.2]))
    assert system.is_mean_square_stable()
    late = 14.0 / -system.mean_square_exponent()
    assert late < 60.0
    np.testing.assert_allclose(system.variance(late), system.covariance(), rtol=1e-4)


def test_a_narrow_random_delay_is_nearly_a_fixed_delay():
    """The frequency integrals of random delays against the covariances of fixed ones."""
    fixed = DelaySystem(-1.0, 0.5, 1.0, multiplicative=(0.6, 0.6), noise=0.3)
    nearly = DelaySystem(-1.0, 0.5, st.uniform(0.99, 0.02), multiplicative=(0.6, 0.6), noise=0.3)
    assert nearly.mean_square_index() == pytest.approx(fixed.mean_square_index(), rel=1e-4)
    assert nearly.mean_square_exponent() == pytest.approx(fixed.mean_square_exponent(), rel=1e-3)
    assert nearly.covariance() == pytest.approx(fixed.covariance(), rel=1e-3)


def test_memoryless_delays_with_poisson_arrivals_have_a_closed_limit():
    """Exponential delay: alpha (1 + alpha n) < 2 for n arrivals per mean delay."""
    alpha = 0.3
    workers = (2.0 / alpha - 1.0) / alpha
    for factor in (1.0 - 1e-6, 1.0 + 1e-6):
        idle = DelaySystem(0.0, 0.0, st.expon())
        system = with_jumps(idle, factor * workers, delayed=-alpha)
        assert system.is_mean_square_stable() == (factor < 1.0)


def test_unstable_and_noiseless_systems():
    """Conventions: an unstable mean has index inf; without gains the exponent is twice the rate."""
    assert DelaySystem(0.0, -1.6, 1.0, multiplicative=(0.1, 0.0)).mean_square_index() == math.inf
    quiet = DelaySystem(0.0, -1.0, 1.0, noise=1.0)
    assert quiet.mean_square_index() == 0.0
    assert quiet.mean_square_exponent() == pytest.approx(2.0 * quiet.abscissa())
    loud = DelaySystem(0.0, -1.0, 1.0, noise=1.0, multiplicative=(0.0, 0.8))
    assert loud.covariance() == math.inf


def test_transient_moments_of_random_delays_are_refused():
    """They would need the joint law of states at random times."""
    system = DelaySystem(-1.0, 0.5, st.expon(), multiplicative=(0.2, 0.1))
    with pytest.raises(ArgumentError, match="holds a random delay"):
        system.variance(1.0)
    with pytest.raises(ArgumentError, match="holds a random delay"):
        system.euler_maruyama(0.1)
