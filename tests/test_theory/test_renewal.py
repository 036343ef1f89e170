"""The renewal equation's solution: against exact series, exact moment systems and other roots."""

import math

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad
from sdde.theory.exact import memoryless
from sdde.theory.mean_curves import MeanCurves
from sdde.theory.renewal import Renewal

from sdde import theory
from sdde.equation.laws import as_law

DAMPINGS = np.array([1e-3, 0.05, 0.3, 0.37, 0.8, 1.3])


def solve(law, damping=DAMPINGS, workers=16.0):
    return Renewal(MeanCurves(as_law(law, "law"), damping), damping**2 / workers)


def test_kernel_of_a_constant_delay_is_its_power_series():
    """K(t) = sum (-u)^k (t - k)_+^k / k!, exact."""
    solution = solve(1.0)
    for panel in (0, 1, 4, 9):
        t = solution.means.nodes[panel]
        for i, u in enumerate(DAMPINGS):
            terms = [
                (-u) ** k * np.maximum(t - k, 0.0) ** k / math.factorial(k) for k in range(1, 11)
            ]
            np.testing.assert_allclose(
                solution.means.kernel[i, panel], 1.0 + sum(terms), atol=1e-12
            )


@pytest.mark.parametrize(
    "law",
    [1.0, scipy.stats.expon(), scipy.stats.gamma(4, scale=0.25), scipy.stats.uniform(0.0, 2.0),
     scipy.stats.uniform(0.45, 1.1), np.array([0.37, 1.63]), scipy.stats.gamma(0.5, scale=2.0)],
)  # fmt: skip
def test_energy_is_the_spectral_integral(law):
    """Time domain against frequency domain: no code in common but the law's transform."""
    solution = solve(law, np.array([0.1, 0.5, 1.0]))
    delay = as_law(law, "law")

    def density(w, u):
        return 1.0 / abs(1j * w + u * complex(delay.laplace(1j * w))) ** 2 / math.pi

    for u, energy in zip(solution.means.damping, solution.means.energy, strict=True):
        inner = quad(density, 0.0, 40.0, args=(u,), limit=2000, points=[u, 1.0, 3.0])[0]
        outer = quad(lambda v, u=u: density(1.0 / v, u) / v**2, 1e-9, 1 / 40.0, limit=2000)[0]
        assert energy == pytest.approx(inner + outer, rel=1e-5)


def test_closed_forms_of_the_energy():
    """Constant delay (1 + sin u)/(2 u cos u), exponential delay (1 + u)/(2 u)."""
    u = DAMPINGS
    constant = (1.0 + np.sin(u)) / (2.0 * u * np.cos(u))
    np.testing.assert_allclose(solve(1.0).means.energy, constant, rtol=1e-12)
    np.testing.assert_allclose(
        solve(scipy.stats.expon()).means.energy, (1 + u) / (2 * u), rtol=1e-11
    )


@pytest.mark.parametrize("law", [1.0, scipy.stats.gamma(4, scale=0.25), scipy.stats.expon()])
def test_slow_roots_read_off_the_kernel_are_the_characteristic_roots(law):
    """The marched kernel against the root finder."""
    roots = theory.rightmost_roots(DAMPINGS, law)
    np.testing.assert_allclose(solve(law).means.slow[0], roots, rtol=1e-9)


@pytest.mark.parametrize("law", [1.0, scipy.stats.expon(), scipy.stats.uniform(0.4, 1.2),
                                 np.array([0.8, 1.0, 1.2])])  # fmt: skip
def test_marched_and_continued_mean_squares_meet_at_the_horizon(law):
    """Panels end where roots of the renewal equation take over; nothing forces them to agree."""
    solution = solve(law)
    tail, last = solution.tail, solution.means.nodes[-1, -1] - solution.means.end
    waves = np.einsum("ime,me->im", tail.amplitudes, np.exp(tail.exponents * last)).real
    marched = solution.square[:, :, -1, -1]
    np.testing.assert_allclose(tail.level[1] + waves[1], marched[1], rtol=1e-9)
    np.testing.assert_allclose(waves[0], marched[0], rtol=1e-6, atol=2e-15)


def test_a_mean_square_near_its_limit_outlives_the_mean():
    """At index 0.98 the mean is dead at the horizon while the mean square still falls."""
    solution = solve(scipy.stats.expon(), np.array([1.0]), workers=1.0 / 0.98)
    assert solution.index[0] == pytest.approx(0.98)
    assert not solution.means.live[0]
    ends = solution.square[:, 0, -1, -1]
    waves = solution.tail.amplitudes[:, 0, 0] * np.exp(
        solution.tail.exponents[0, 0] * (solution.means.nodes[-1, -1] - solution.means.end)
    )
    assert ends[0] > 0.1
    np.testing.assert_allclose(solution.tail.level[:, 0] + waves.real, ends, rtol=1e-8)


def test_stationary_mean_square_is_the_geometric_series_of_the_index():
    """y = I / (1 - epsilon I), from the level and, later, from a long march."""
    solution = solve(1.0, np.array([0.5]), workers=4.0)
    energy = (1.0 + math.sin(0.5)) / (2.0 * 0.5 * math.cos(0.5))
    expected = energy / (1.0 - 0.0625 * energy)
    assert solution.tail.level[1, 0] == pytest.approx(expected, rel=1e-11)
    assert solution.square[1, 0, -1, -1] == pytest.approx(expected, rel=1e-9)


def test_mean_square_without_delay_decays_as_a_scalar_moment():
    """With a delay of almost nothing y' = -(2a - a^2/rate) y, which is solved by hand."""
    a, rate = 0.01, 100.0
    solution = Renewal(MeanCurves(as_law(1.0, "law"), np.array([a])), np.array([a * a / rate]))
    t = solution.means.nodes.ravel()
    exact = np.exp(-(2 * a - a * a / rate) * t)
    # The delay itself changes the rate by a relative a, no more.
    np.testing.assert_allclose(solution.square[0, 0].ravel(), exact, rtol=2.5 * a)


def test_memoryless_moments_approach_the_renewal_equation_for_many_workers():
    """Two models of exponential cycles agree as alpha falls: error of order alpha."""
    errors = []
    for workers in (100, 200):
        alpha = np.array([0.5 / workers])
        exact = memoryless(alpha, np.array([1.0]), np.array([float(workers)]))
        approximate = solve(scipy.stats.expon(), 0.5 + 0.0 * alpha, float(workers))
        a, b = exact.square[0, 0].ravel()[:240], approximate.square[0, 0].ravel()[:240]
        assert exact.width == approximate.means.width
        errors.append(np.abs(a - b).max())
    assert errors[0] < 0.02
    assert errors[1] == pytest.approx(0.5 * errors[0], rel=0.05)
