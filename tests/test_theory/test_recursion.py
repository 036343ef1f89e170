"""The recursion of a time-stepping scheme, solved exactly, against brute force."""

import numpy as np
import pytest
import scipy.linalg

from sdde.errors import ArgumentError
from sdde.theory import DelaySystem

PLANAR = DelaySystem(
    [[-1.0, 0.6], [-0.4, -0.8]],
    [[[-0.3, 0.2], [0.1, -0.5]], [[0.1, 0.0], [0.0, -0.2]]],
    [0.9, 0.5],
    noise=[0.4, 0.7],
)


def companion(system, dt, longest):
    """Return the matrix of one Euler-Maruyama step on the stacked past."""
    c, dim = system.coefficients, system.dim
    push = np.zeros((dim * (longest + 1), dim * (longest + 1)))
    push[dim:, :-dim] = np.eye(dim * longest)
    push[:dim, :dim] = np.eye(dim) + dt * c.instant
    for matrix, law in zip(c.delayed, c.laws, strict=True):
        back = dim * round(law.mean / dt)
        push[:dim, back : back + dim] += dt * matrix
    return push


def test_covariances_are_those_of_the_stacked_recursion():
    """A discrete Lyapunov equation on the whole past against sums over the unit circle."""
    dt = 0.1
    push = companion(PLANAR, dt, 9)
    noise = np.zeros_like(push)
    noise[:2, :2] = dt * np.diag([0.16, 0.49])
    exact = scipy.linalg.solve_discrete_lyapunov(push, noise)
    found = PLANAR.euler_maruyama(dt).covariance([0.0, 0.3])
    np.testing.assert_allclose(found[0], exact[:2, :2], atol=1e-13)
    np.testing.assert_allclose(found[1], exact[:2, 6:8], atol=1e-13)


@pytest.mark.parametrize("dt", [0.1, 0.45, 0.9])
def test_stability_is_that_of_the_stacked_recursion(dt):
    """The argument principle against eigenvalues, stable and unstable."""
    for strength in (0.5, 1.0, 2.0, 4.0):
        system = DelaySystem(-0.5, -strength, 0.9)
        radius = np.abs(np.linalg.eigvals(companion(system, dt, round(0.9 / dt)))).max()
        assert system.euler_maruyama(dt).is_stable() == (radius < 1.0)


@pytest.mark.parametrize(("scheme", "order"), [("euler_maruyama", 1), ("heun", 2)])
def test_the_bias_falls_with_the_order_of_the_scheme(scheme, order):
    """Halving the step divides the bias by 2 or 4."""
    system = DelaySystem(-0.5, -1.0, 1.0, noise=1.0)
    bias = [getattr(system, scheme)(1.0 / m).covariance() - system.covariance() for m in (16, 32)]
    assert np.log2(bias[0] / bias[1]) == pytest.approx(order, abs=0.1)


def test_a_recursion_that_explodes_has_infinite_variance():
    """The step is too long for the mean, or for the second moments only."""
    stiff = DelaySystem(-10.0, 1.0, 1.0, noise=1.0)
    assert stiff.euler_maruyama(0.25).covariance() == np.inf
    hayes = DelaySystem(-4.0, -2.0, 1.0, noise=1.0, multiplicative=(-1.3, -1.2))
    coarse = hayes.euler_maruyama(0.25)
    assert coarse.is_stable()
    assert not coarse.is_mean_square_stable()
    assert coarse.covariance() == np.inf


def test_the_largest_step_separates_stable_from_unstable_divisors():
    """On divisors of the delay; an unstable system has none."""
    hayes = DelaySystem(-4.0, -2.0, 1.0, multiplicative=(-1.3, -1.2))
    assert hayes.largest_dt() == pytest.approx(0.2)
    assert DelaySystem(-10.0, 2.0, 1.0, multiplicative=(1.0, 0.0)).largest_dt() == pytest.approx(
        1 / 6
    )
    assert DelaySystem(0.0, -1.6, 1.0).largest_dt() == 0.0
    assert 0.0 < DelaySystem(-2.0, [], []).largest_dt() <= 1.0


def test_misuse_is_named():
    """Lags off the grid, and what the trapezoidal drift cannot do."""
    system = DelaySystem(0.0, -1.0, 1.0, noise=1.0)
    with pytest.raises(ArgumentError, match="is not a multiple of dt"):
        system.euler_maruyama(0.25).covariance(0.3)
    with pytest.raises(ArgumentError, match=r"dt = 2\.0 exceeds a delay"):
        system.heun(2.0)
    with pytest.raises(ArgumentError, match=r"dt = 0\.0 is not positive"):
        system.euler_maruyama(0.0)
    with pytest.raises(ArgumentError, match="multiplicative"):
        DelaySystem(0.0, -1.0, 1.0, multiplicative=(0.1, 0.0)).heun(0.1)
