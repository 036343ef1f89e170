"""First hit of asynchronous SGD: against training in step and the noise-free time."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, theory
from sdde.theory import DelaySystem


def workers_in_step(damping, sigma, workers=100, **changes):
    """A cluster whose slowest coordinate has this damping and Wiener noise, mean delay one."""
    rate = damping / workers
    noise = sigma / (rate * math.sqrt(workers))
    kwargs = {"learning_rate": rate, "workers": workers, "compute_time": 1.0} | changes
    return theory.AsyncSGD(1.0, gradient_noise=noise, **kwargs)


@pytest.mark.parametrize(
    ("damping", "sigma", "predicted"), [(0.2, 0.1, 7.544), (0.2, 0.02, 8.908), (0.3, 0.1, 4.533)]
)
def test_many_small_steps_give_the_value_of_the_delay_equation(damping, sigma, predicted):
    """With a hundred million workers no step is seen: the integral to three decimals."""
    model = workers_in_step(damping, sigma, workers=10**8)
    assert model.mean_hitting_time(0.1) == pytest.approx(predicted, abs=1e-3)


@pytest.mark.parametrize("workers", [10, 100])
@pytest.mark.parametrize(("damping", "sigma"), [(0.2, 0.1), (0.2, 0.02), (0.3, 0.1)])
def test_mean_hitting_time_is_near_a_simulation_of_workers_in_step(damping, sigma, workers):
    """Fixed staleness, 2000 runs: 4.9 standard errors (1e-6 each) and 3 % for the model."""
    model = workers_in_step(damping, sigma, workers, arrivals="exact")
    rng, runs = np.random.default_rng(8), 2000
    past, hit = np.ones((workers, runs)), np.full(runs, np.nan)
    x, kick = np.ones(runs), model.learning_rate * model.gradient_noise[0]
    for k in range(100 * workers):
        gradient = past[k % workers]  # what the worker in turn read after its own last update
        x = x - model.learning_rate * gradient + kick * rng.standard_normal(runs)
        past[k % workers] = x
        hit = np.where(np.isnan(hit) & (x <= 0.1), (k + 1) / workers, hit)
        if not np.isnan(hit).any():
            break
    error = hit.std(ddof=1) / math.sqrt(runs)
    expected = model.mean_hitting_time(0.1)
    assert abs(hit.mean() - expected) < 4.9 * error + 0.03 * expected


@pytest.mark.parametrize("law", [1.0, scipy.stats.uniform(0.5, 1.0)])
def test_without_noise_it_is_the_hitting_time_of_the_delay_equation(law):
    """Exactly at zero noise; also where the coordinate oscillates."""
    for damping in (0.2, 1.2):
        model = workers_in_step(damping, 0.0, compute_time=law)
        assert model.mean_hitting_time(0.05) == pytest.approx(
            DelaySystem(0.0, -damping, law).hitting_time(0.05, 1.0), rel=1e-12
        )
    faint = workers_in_step(0.2, 1e-5).mean_hitting_time(0.05)
    assert faint == pytest.approx(DelaySystem(0.0, -0.2, 1.0).hitting_time(0.05, 1.0), rel=1e-3)


def test_the_slowest_coordinate_decides_and_groups_count_as_one():
    """The smaller curvature here; groups average their noise."""
    from sdde import cluster

    pair = theory.AsyncSGD(
        [1.0, 0.2], learning_rate=0.02, workers=10, compute_time=1.0, gradient_noise=[9.0, 0.5]
    )
    alone = pair.replace(eigenvalues=0.2, gradient_noise=0.5)
    assert pair.mean_hitting_time(0.1, [50.0, -1.0]) == alone.mean_hitting_time(0.1)
    grouped = alone.replace(method=cluster.KBatchAsync(2), learning_rate=0.04)
    # Twice the step on half the updates: equal drift and noise, only half a gap more delay.
    assert grouped.mean_hitting_time(0.1) == pytest.approx(alone.mean_hitting_time(0.1), rel=0.01)


@pytest.mark.parametrize(
    ("damping", "law", "level", "fault"),
    [
        (0.2, 1.0, 1.0, "level = 1.* is not below start"),
        (0.2, 1.0, 0.0, "level = 0.* is not positive"),
        (0.9, 1.0, 0.1, "no real slow mode"),
        (1.8, 1.0, 0.1, "no real slow mode"),
        (0.2, scipy.stats.lomax(3.0, scale=2.0), 0.1, "no real slow mode"),
    ],
)
def test_where_the_formula_does_not_apply_it_says_so(damping, law, level, fault):
    """Wrong levels, oscillation, divergence, heavy tails."""
    with pytest.raises(ArgumentError, match=fault):
        workers_in_step(damping, 0.1, compute_time=law).mean_hitting_time(level)
