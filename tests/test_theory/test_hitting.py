"""Hitting and settling times: against closed forms, modes and a plain Monte Carlo run."""

import math

import numpy as np
import pytest
import scipy.stats as st

from sdde.errors import ArgumentError
from sdde.theory import DelaySystem, mean_hitting_time


def test_an_overdamped_equation_settles_with_its_slow_mode():
    """t = (ln(x0 / level) + ln((a / r) / (1 - r tau))) / r, long after the start."""
    a, level = 0.2, 1e-4
    rate = -DelaySystem(0.0, -a, 1.0).abscissa()
    expected = (math.log(1.0 / level) + math.log(a / rate / (1.0 - rate))) / rate
    system = DelaySystem(0.0, -a, 1.0)
    assert system.hitting_time(level, 1.0) == pytest.approx(expected, rel=1e-10)
    assert system.settling_time(level, 1.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("delay", [1.0, st.gamma(3, scale=1 / 3), st.lognorm(0.3)])
def test_the_state_is_at_the_level_and_stays_inside_afterwards(delay):
    """Read off the solution itself, oscillating."""
    system = DelaySystem(0.0, -1.1, delay)
    hit, settled = system.hitting_time(0.2, 1.0), system.settling_time(0.05, 1.0)
    assert system.mean(hit, 1.0) == pytest.approx(0.2, abs=1e-10)
    assert np.all(system.mean(np.linspace(0.0, hit * 0.999, 200), 1.0) > 0.2)
    assert abs(system.mean(settled, 1.0)) == pytest.approx(0.05, abs=1e-10)
    assert np.all(np.abs(system.mean(np.linspace(settled * 1.001, settled + 9.0, 300), 1.0)) < 0.05)


def test_overshoot_hits_earlier_but_settles_later():
    """Why the two times must not be confused."""
    gentle, strong = DelaySystem(0.0, -0.4, 1.0), DelaySystem(0.0, -1.3, 1.0)
    assert strong.hitting_time(0.01, 1.0) < gentle.hitting_time(0.01, 1.0)
    assert strong.settling_time(0.01, 1.0) > gentle.settling_time(0.01, 1.0)


def test_systems_are_measured_by_their_norm():
    """Two equal components: the norm is the component times the square root of 2."""
    scalar = DelaySystem(0.0, -0.3, 1.0)
    both = DelaySystem(np.zeros((2, 2)), -0.3 * np.eye(2), 1.0)
    root = math.sqrt(2.0)
    assert both.hitting_time(0.1 * root, [1.0, 1.0]) == pytest.approx(scalar.hitting_time(0.1, 1.0))
    settled = scalar.settling_time(0.1, 1.0)
    assert both.settling_time(0.1 * root, [1.0, 1.0]) == pytest.approx(settled)


def test_levels_that_are_never_reached_and_systems_that_never_settle():
    """Overdamped from above never reaches a negative level; an unstable system never settles."""
    assert DelaySystem(0.0, -0.2, 1.0).hitting_time(-0.1, 1.0) == math.inf
    assert DelaySystem(0.0, -1.6, 1.0).settling_time(0.1, 1.0) == math.inf
    assert DelaySystem(0.0, -0.2, 1.0).settling_time(2.0, 1.0) == 0.0
    assert DelaySystem(0.0, -0.2, 1.0).hitting_time(1.0, 1.0) == 0.0
    assert DelaySystem(0.0, -1.6, 1.0).hitting_time(3.0, 1.0) < 200.0


def test_settling_is_around_the_stationary_mean():
    """With an offset the state settles elsewhere than at 0."""
    plain = DelaySystem(-1.0, -0.5, 1.0).settling_time(0.1, 1.0)
    moved = DelaySystem(-1.0, -0.5, 1.0, offset=3.0).settling_time(0.1, 3.0)
    assert moved == pytest.approx(plain, rel=1e-10)


def test_mean_hitting_time_is_near_a_simulation_with_delay():
    """The slow-mode formula is an approximation of a few per cent; 4000 plain paths, fixed seed."""
    a, noise, level, dt = 0.2, 0.1, 0.1, 0.01
    rng, lag = np.random.default_rng(5), 100
    past = np.ones((lag + 1, 4000))
    hit = np.full(4000, np.nan)
    for n in range(6000):
        now = past[n % (lag + 1)] + dt * -a * past[(n + 1) % (lag + 1)]
        now = now + noise * math.sqrt(dt) * rng.standard_normal(4000)
        hit = np.where(np.isnan(hit) & (now <= level), (n + 1) * dt, hit)
        past[(n + 1) % (lag + 1)] = now
        if not np.isnan(hit).any():
            break
    simulated = float(np.nanmean(hit))
    predicted = mean_hitting_time(DelaySystem(0.0, -a, 1.0, noise=noise), level, 1.0)
    assert predicted == pytest.approx(simulated, rel=0.04)


def test_without_noise_the_mean_hitting_time_is_the_hitting_time():
    """The two functions meet where the noise vanishes."""
    system = DelaySystem(0.0, -0.2, 1.0)
    assert mean_hitting_time(system, 0.01, 1.0) == system.hitting_time(0.01, 1.0)
    faint = DelaySystem(0.0, -0.2, 1.0, noise=1e-4)
    assert mean_hitting_time(faint, 0.1, 1.0) == pytest.approx(
        system.hitting_time(0.1, 1.0), rel=1e-4
    )


def test_misuse_is_named():
    """Oscillating systems have no slow mode; levels must lie on the way."""
    with pytest.raises(ArgumentError, match="has no slow real mode"):
        mean_hitting_time(DelaySystem(0.0, -1.0, 1.0, noise=0.1), 0.1, 1.0)
    with pytest.raises(ArgumentError, match=r"level = 2\.0 lies above start"):
        mean_hitting_time(DelaySystem(-1.0, [], [], noise=0.1), 2.0, 1.0)
    with pytest.raises(ArgumentError, match=r"level = 0\.0 is not positive"):
        DelaySystem(-1.0, [], []).settling_time(0.0, 1.0)
