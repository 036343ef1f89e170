"""Exact discrete models of staleness: closed forms against companion matrices and covariances."""

import math

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from sdde import ArgumentError, theory
from sdde.theory import FixedStaleness, IndependentStaleness, MemorylessWorkers


def companion(alpha, weights):
    """Return the matrix of x' = x - alpha sum_l weights[l] x_l on the last states."""
    size = len(weights)
    matrix = np.eye(size, k=-1)
    matrix[0, 0] = 1.0
    matrix[0] -= alpha * np.asarray(weights)
    return matrix


def fixed(staleness):
    return np.eye(staleness + 1)[staleness]


@pytest.mark.parametrize(
    ("staleness", "limit", "fastest"),
    [(0, 2.0, 1.0), (1, 1.0, 0.25), (2, 0.618034, 0.148148), (5, 0.284630, 0.066980),
     (10, 0.149460, 0.035049), (20, 0.076605, 0.017947), (50, 0.031104, 0.007285)],
)  # fmt: skip
def test_fixed_staleness_limits(staleness, limit, fastest):
    """Closed forms against spectral radii just inside and just outside."""
    model = FixedStaleness(0.5 * limit, staleness)
    assert model.stability_limit == pytest.approx(limit, abs=6e-7)
    assert model.fastest_alpha == pytest.approx(fastest, abs=6e-7)
    for alpha, stable in ((0.999 * limit, True), (1.001 * limit, False)):
        radius = np.abs(np.linalg.eigvals(companion(alpha, fixed(staleness)))).max()
        assert (radius < 1.0) == stable
        assert FixedStaleness(alpha, staleness).is_stable() is stable
    if staleness:
        at_best = FixedStaleness(model.fastest_alpha, staleness)
        # A double root is only resolved to half the digits.
        assert at_best.contraction() == pytest.approx(staleness / (staleness + 1.0), abs=1e-6)


@pytest.mark.parametrize("staleness", [0, 1, 5, 30])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_fixed_staleness_contraction_is_the_spectral_radius(staleness, share):
    """Newton on the polynomial against the eigenvalues of its companion matrix."""
    model = FixedStaleness(share * FixedStaleness(0.1, staleness).stability_limit, staleness)
    radius = np.abs(np.linalg.eigvals(companion(model.alpha, fixed(staleness)))).max()
    assert model.contraction() == pytest.approx(radius, rel=1e-9)


@pytest.mark.parametrize(
    ("alpha", "staleness", "expected"), [(0.1, 5, 0.0894405085092), (0.05, 10, 0.0433877192506)]
)
def test_fixed_staleness_variance_solves_the_lyapunov_equation(alpha, staleness, expected):
    """Closed form against a linear solve."""
    force = np.zeros((staleness + 1, staleness + 1))
    force[0, 0] = alpha**2
    lyapunov = solve_discrete_lyapunov(companion(alpha, fixed(staleness)), force)[0, 0]
    assert FixedStaleness(alpha, staleness).variance() == pytest.approx(expected, rel=1e-10)
    assert FixedStaleness(alpha, staleness).variance(2.0) == pytest.approx(4 * lyapunov, rel=1e-9)


def test_fixed_staleness_mean_follows_its_recursion():
    """The blockwise march against the recursion, number by number."""
    x = [1.0] * 4
    for _ in range(30):
        x.append(x[-1] - 0.2 * x[-4])
    np.testing.assert_allclose(FixedStaleness(0.2, 3).mean(30), x[3:], rtol=1e-13)


@pytest.mark.parametrize(
    ("workers", "alpha", "expected"),
    [(2, 0.3, 0.22641509434), (4, 0.1, 0.0679611650485), (8, 0.05, 0.0344827586207)],
)
def test_memoryless_variance(workers, alpha, expected):
    """The reduced moment equations against the covariance of all workers' copies."""
    assert MemorylessWorkers(alpha, workers).variance() == pytest.approx(expected, rel=1e-10)
    covariance = np.zeros((workers + 1, workers + 1))
    maps = []
    for worker in range(1, workers + 1):
        step = np.eye(workers + 1)
        step[0, worker] -= alpha
        step[worker] = step[0]
        kick = np.zeros(workers + 1)
        kick[[0, worker]] = alpha
        maps.append((step, np.outer(kick, kick)))
    for _ in range(4000):
        covariance = sum(a @ covariance @ a.T + b for a, b in maps) / workers
    assert covariance[0, 0] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("workers", "limit"), [(2, 1.2807764064), (4, 0.843070330817), (6, 2 / 3)])
def test_memoryless_limit_is_the_root_of_its_quadratic(workers, limit):
    """alpha^2 n = 2 + alpha, and the same number as rates of single workers."""
    assert MemorylessWorkers(0.1, workers).stability_limit == pytest.approx(limit, rel=1e-9)
    listed = MemorylessWorkers(0.1, np.full(workers, 3.0))
    assert listed.stability_limit == pytest.approx(limit, rel=1e-9)
    assert listed.variance() == pytest.approx(MemorylessWorkers(0.1, workers).variance())
    assert MemorylessWorkers(1.001 * limit, workers).variance() == math.inf


def test_memoryless_rates():
    """The dominant root, critical damping, and six unequal workers."""
    root = MemorylessWorkers(0.05, 16).root()
    assert root.real == pytest.approx(-0.525, rel=1e-12)
    assert root.imag == pytest.approx(0.724137417898, rel=1e-10)
    model = MemorylessWorkers(0.05, 16)
    critical = MemorylessWorkers(model.fastest_alpha, 16)
    assert critical.rate() == pytest.approx((1 + critical.alpha) / 2, rel=1e-6)
    unequal = MemorylessWorkers(0.01, [0.5, 1, 1.5, 2, 3, 4])
    s, mu = unequal.root().real, np.array([0.5, 1, 1.5, 2, 3, 4])
    assert s == pytest.approx(-0.127185, abs=5e-7)
    assert s + 0.01 * np.sum(mu**2 / (s + mu * 1.01)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("workers", "limit"), [(2, 1.106), (4, 0.743), (8, 0.513), (16, 0.358)])
def test_independent_geometric_staleness_has_smaller_limits_than_real_workers(workers, limit):
    """Same law of staleness, another second moment."""
    model = IndependentStaleness.geometric(0.1, workers)
    assert model.stability_limit() == pytest.approx(limit, abs=6e-4)
    assert model.mean_stability_limit() == pytest.approx(2.0 * (2 * workers - 1), rel=1e-6)
    assert model.stability_limit() < MemorylessWorkers(0.1, workers).stability_limit
    # z^2 - (2 - (1 + alpha)/n) z + (1 - 1/n) = 0: a heavy ball with momentum 1 - 1/n.
    roots = np.roots([1.0, -(2.0 - 1.1 / workers), 1.0 - 1.0 / workers])
    assert model.contraction() == pytest.approx(np.abs(roots).max(), rel=1e-5)


def test_independent_staleness_variance_follows_the_covariance_recursion():
    """The spectral formula against iterating the covariances of the last four states."""
    law, alpha = np.array([0.3, 0.2, 0.1, 0.4]), 0.4
    c = np.zeros((4, 4))
    for _ in range(4000):
        mean = law @ c
        corner = c[0, 0] - 2 * alpha * mean[0] + alpha**2 * (law @ np.diag(c)) + alpha**2
        edge = c[0, :-1] - alpha * mean[:-1]
        shifted = np.empty_like(c)
        shifted[1:, 1:] = c[:-1, :-1]
        shifted[0, 1:] = shifted[1:, 0] = edge
        shifted[0, 0] = corner
        c = shifted
    assert IndependentStaleness(alpha, law).variance() == pytest.approx(c[0, 0], rel=1e-9)


@pytest.mark.parametrize("staleness", [0, 2, 10])
def test_a_certain_staleness_is_a_fixed_one(staleness):
    """The general model reduces to the special one."""
    special = FixedStaleness(0.08, staleness)
    general = IndependentStaleness(0.08, fixed(staleness))
    assert general.variance() == pytest.approx(special.variance(), rel=1e-9)
    assert general.stability_limit() == pytest.approx(special.stability_limit, rel=1e-9)
    assert general.contraction() == pytest.approx(special.contraction(), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: FixedStaleness(-0.1, 2), "alpha = -0.1 is not positive"),
        (lambda: FixedStaleness(0.1, -2), "staleness = -2 is below 0"),
        (lambda: MemorylessWorkers(0.1, 0), "workers = 0 is below 1"),
        (lambda: MemorylessWorkers(0.1, [1.0, -1.0]), "not positive"),
        (lambda: MemorylessWorkers(0.1, np.arange(1.0, 40.0)), "39 different rates"),
        (lambda: IndependentStaleness(0.1, [0.5, -0.5]), "is not a law"),
        (lambda: theory.escape_factor(0.0, 2), "alpha = 0.0 is not positive"),
    ],
)
def test_misuse_is_named(call, fault):
    """Messages carry the argument."""
    with pytest.raises(ArgumentError, match=fault):
        call()
