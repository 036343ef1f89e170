"""Poisson jumps against an event-by-event simulation that has no time step."""

import math

import numpy as np
import pytest
import scipy.stats as st

from sdde.errors import ArgumentError
from sdde.theory import DelaySystem, jump_cumulants, with_jumps, with_state_dependent_jumps


def event_driven(rate, step, noise, delay, horizon, runs, rng):
    """Return final states of dx = -step (x((t - delay)-) + noise xi) dN, event by event."""
    out = np.empty(runs)
    for run in range(runs):
        count = rng.poisson(rate * horizon)
        times = np.sort(rng.uniform(0.0, horizon, count))
        states = np.zeros(count + 1)  # after each event
        read = np.searchsorted(times, times - delay(rng, count), side="left")
        xi = rng.standard_normal(count)
        for k in range(count):
            states[k + 1] = states[k] - step * (states[read[k]] + noise * xi[k])
        out[run] = states[-1]
    return out


@pytest.mark.parametrize(
    ("delay", "law"),
    [(lambda rng, n: np.ones(n), 1.0), (lambda rng, n: rng.exponential(size=n), st.expon())],
    ids=["fixed", "exponential"],
)
def test_the_variance_is_that_of_an_event_driven_simulation(delay, law):
    """Asynchronous SGD on a quadratic; false alarm once in 10^5 (4.5 standard errors)."""
    rate, step, noise, runs = 5.0, 0.2, 0.5, 4000
    states = event_driven(rate, step, noise, delay, 40.0, runs, np.random.default_rng(11))
    system = with_jumps(
        DelaySystem(0.0, 0.0, law), rate, delayed=-step, size=st.norm(scale=step * noise)
    )
    exact = system.covariance()
    kurtosis = np.mean(states**4) / np.mean(states**2) ** 2
    error = exact * math.sqrt((kurtosis - 1.0) / runs)
    assert abs(np.mean(states**2) - exact) < 4.5 * error


def test_first_two_cumulants_are_mean_and_variance_of_the_equivalent_system():
    """Campbell's theorem against the equation with Wiener noise."""
    system = DelaySystem(-1.0, -0.5, 1.0, noise=0.3, offset=0.2)
    size = st.gamma(2.0, scale=0.1)
    mean, variance = jump_cumulants(system, 3.0, size, highest=2)
    equivalent = with_jumps(system, 3.0, size=size)
    assert mean == pytest.approx(equivalent.stationary_mean(), rel=1e-10)
    assert variance == pytest.approx(equivalent.covariance(), rel=1e-10)


def test_jumps_with_a_matrix_gain():
    """Two equal components side by side have the scalar index."""
    scalar = with_jumps(DelaySystem(-2.0, 0.5, 1.0), 2.0, instant=0.3)
    both = with_jumps(
        DelaySystem(-2.0 * np.eye(2), 0.5 * np.eye(2), 1.0), 2.0, instant=0.3 * np.eye(2)
    )
    assert both.mean_square_index() == pytest.approx(scalar.mean_square_index(), rel=1e-10)
    assert both.abscissa() == pytest.approx(scalar.abscissa(), rel=1e-12)


def test_misuse_is_named():
    """Rates, sizes and unstable feedback."""
    system = DelaySystem(-1.0, 0.0, 1.0)
    with pytest.raises(ArgumentError, match=r"rate = 0\.0 is not positive"):
        with_jumps(system, 0.0)
    with pytest.raises(ArgumentError, match="needs a scalar system"):
        with_jumps(DelaySystem(-np.eye(2), np.eye(2) * 0.1, 1.0), 1.0, size=1.0)
    with pytest.raises(ArgumentError, match="gives a stationary rate of inf"):
        with_state_dependent_jumps(system, 1.0, delayed=1.5)
    assert np.isinf(jump_cumulants(DelaySystem(1.0, 0.0, 1.0), 1.0, 1.0)).all()


def test_a_coefficient_without_a_delay_is_refused():
    """A delay of zero is no delay; dropping its coefficient in silence would change the answer."""
    with pytest.raises(ArgumentError, match="use instant="):
        with_jumps(DelaySystem(0.0, 0.0, 0.0), 5.0, delayed=-0.1)
