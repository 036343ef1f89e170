"""Multilevel estimates: exact moments, errors as promised, decay of variance, cost."""

import math

import numpy as np
import pytest

import sdde
from sdde import models


def square(x):
    return x * x


@pytest.mark.parametrize(
    ("problem", "exact", "tolerance"),
    [
        (models.geometric(0.0, -0.5, 1.0, noise_delayed=0.5), 0.1440451001364776, 0.003),
        (
            models.hayes(
                -4.0, -2.0, 1.0, offset=10.0, noise=1.1, noise_instant=-1.3, noise_delayed=-1.2,
                history=lambda t: 1.0 + t,
            ), 4.802560207442949, 0.1,
        ),
    ],
)  # fmt: skip
def test_exact_second_moments_are_met(problem, exact, tolerance):
    """Known second moments at t = 4; 5 standard errors: false alarm 6e-7."""
    found = sdde.multilevel(problem, square, tolerance, t_span=(0, 4), dt=1 / 8, rng=1)
    assert found.converged
    assert found.standard_error <= 1.01 * tolerance / math.sqrt(2.0)
    assert found.bias <= tolerance / math.sqrt(2.0)
    assert abs(found.estimate - exact) < 5.0 * found.standard_error + 2.0 * found.bias


def test_errors_are_as_large_as_asked_for():
    """Over 100 estimates the mean square error stays below the square of the tolerance.

    Half of it is left to chance: the sum of 100 squares of that variance reaches the whole with
    probability 1e-8 (chi-square), and the other half is left to the bias.
    """
    problem = models.geometric(0.0, -0.5, 1.0, noise_delayed=0.5)
    found = [
        sdde.multilevel(problem, square, 0.02, t_span=(0, 4), dt=1 / 8, rng=seed, pilot=200)
        for seed in range(100)
    ]
    errors = np.array([one.estimate for one in found]) - 0.1440451001364776
    assert np.mean(errors**2) < 0.02**2
    spread = math.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert abs(errors.std() - spread) < 5.0 * spread / math.sqrt(2.0 * 100)


@pytest.mark.parametrize(
    ("problem", "method", "decay"),
    [
        (models.hayes(-1.0, -1.0, 1.0, noise=0.5), "euler-maruyama", 2.0),
        (models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6), "euler-maruyama", 1.0),
        (models.geometric(-1.0, 0.5, 1.0, noise_delayed=0.6), "euler-maruyama", 1.0),
        (models.geometric(-1.0, 0.5, 1.0, noise_delayed=0.6), "milstein", 2.0),
    ],
)
def test_variances_of_corrections_fall_with_twice_the_strong_order(problem, method, decay):
    """Theory says 2 for additive and 1 for multiplicative noise; Milstein's scheme has 2 for both,
    also where the noise sees the past."""
    found = sdde.multilevel(
        problem, lambda x: x, 0.001, t_span=(0, 2), dt=1 / 8, rng=5, pilot=20_000, method=method
    )
    assert len(found.levels) >= 4
    assert abs(found.variance_decay - decay) < 0.2
    assert abs(found.weak_decay - 1.0) < 0.3


def test_levels_are_runs_on_the_same_paths_and_arrivals():
    """The correction, written out; arrivals of jumps must be shared too, or it would not shrink."""
    problem = models.async_sgd(noise=0.5)
    found = sdde.multilevel(
        problem, None, 0.5, t_span=(0, 3), dt=1 / 4, rng=9, pilot=128, threads=1
    )
    noise = sdde.Brownian(np.random.SeedSequence([9, 2, 0]), finest=1 / 16)
    fine, coarse = (
        sdde.solve(problem, (0, 3), dt=dt, paths=128, rng=noise.seed, noise=noise, save="final")
        for dt in (1 / 16, 1 / 8)
    )
    difference = fine.x[:, 0] ** 2 - coarse.x[:, 0] ** 2
    level = found.levels[2]
    assert (level.dt, level.paths) == (1 / 16, 128)
    assert level.mean == pytest.approx(difference.mean(), rel=1e-9, abs=1e-15)
    assert level.variance == pytest.approx(difference.var(ddof=1), rel=1e-9)
    assert level.cost == 128 * (48 + 24)
    assert level.variance < 0.1 * found.levels[0].variance
    assert found.cost == sum(one.cost for one in found.levels)
    again = sdde.multilevel(problem, None, 0.5, t_span=(0, 3), dt=1 / 4, rng=found.seed, pilot=128)
    assert again.levels == found.levels


def test_a_functional_may_see_the_whole_path():
    """The mean of x over [0, 2] of dx = -x(t-1) dt is 1 - 1/2 - ..., a sum of the closed form."""
    problem = models.hayes(0.0, -1.0, 1.0, noise=0.3)
    times = np.linspace(0.0, 2.0, 9)
    found = sdde.multilevel(
        problem, lambda x: x.mean(axis=1), 0.005, t_span=(0, 2), dt=1 / 4, rng=2, save=times
    )
    exact = sdde.theory.DelaySystem(0.0, -1.0, 1.0).mean(times, 1.0).mean()
    assert abs(found.estimate - exact) < 5.0 * found.standard_error + 2.0 * found.bias


def test_too_few_levels_are_reported():
    """A tolerance that the finest time step cannot meet is said, not hidden."""
    problem = models.hayes(-1.0, -1.0, 1.0, noise=0.5)
    found = sdde.multilevel(
        problem, lambda x: x, 0.004, t_span=(0, 2), dt=1 / 4, rng=5, max_levels=3, pilot=200
    )
    assert not found.converged
    assert found.bias > found.tolerance / math.sqrt(2.0)
    assert "not met" in repr(found)
    assert found.error == math.hypot(found.standard_error, found.bias)


def test_a_diverging_path_makes_the_estimate_nan():
    """Divergence is data; an estimate that left such paths out would be wrong."""
    problem = sdde.Problem(lambda t, x, d: x * x * x - x, 0.8, history=0.0)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        found = sdde.multilevel(problem, None, 0.1, t_span=(0, 6), dt=0.02, rng=4)
    assert math.isnan(found.estimate)
    assert not found.converged


def test_without_noise_nothing_is_left_to_chance():
    """A deterministic problem has no variance to share out."""
    found = sdde.multilevel(
        models.hayes(0.0, -1.0, 1.0), lambda x: x, 0.001, t_span=(0, 3), dt=1 / 8, rng=1, pilot=64
    )
    assert found.standard_error == 0.0
    assert abs(found.estimate + 1.0 / 6.0) < 2.0 * found.bias < 0.002
