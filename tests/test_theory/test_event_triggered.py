"""Sending only long gradients: against both simulations, the plain method and frozen training."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from sdde import ArgumentError, cluster, theory


def triggered(threshold, law, **changes):
    kwargs = {"learning_rate": 0.025, "workers": 16, "gradient_noise": 0.4, "compute_time": law}
    return theory.EventTriggeredSGD(1.0, threshold=threshold, **kwargs | changes)


@pytest.mark.parametrize("law", [1.0, scipy.stats.gamma(3, scale=1 / 3), scipy.stats.expon()])
def test_without_threshold_the_loss_is_that_of_plain_asynchronous_sgd(law):
    """The same Poisson model, solved as a renewal equation on panels there."""
    times = np.array([0.0, 0.5, 1.0, 2.5, 6.0, 20.0])
    model = triggered(0.0, law)
    plain = theory.AsyncSGD(
        1.0, learning_rate=0.025, workers=16, gradient_noise=0.4, compute_time=law
    )
    np.testing.assert_allclose(model.loss(times, 2.0), plain.loss(times, 2.0), rtol=5e-4)
    np.testing.assert_allclose(model.traffic(times), 16.0 * times, rtol=1e-12)


def test_an_unreachable_threshold_sends_nothing_and_moves_nothing():
    """Infinite, and finite but above every gradient."""
    times = np.array([0.0, 1.0, 10.0])
    for model in (triggered(math.inf, 1.0), triggered(1.5, 1.0, gradient_noise=0.0)):
        np.testing.assert_array_equal(model.loss(times), 0.5)
        np.testing.assert_array_equal(model.traffic(times), 0.0)
        assert model.sending_probability(3.0) == 0.0


def test_the_closure_agrees_with_poisson_arrivals_and_independent_delays():
    """1500 runs at ten times: 4.9 standard errors (1e-5 in all), 5 % for the Gaussian closure."""
    law, times, c = scipy.stats.gamma(3, scale=1 / 3), np.linspace(0.5, 8.0, 10), 0.5
    model = triggered(c, law)
    rng, runs, count = np.random.default_rng(4), 1500, 220
    losses, sent = np.empty((runs, 10)), np.empty((runs, 10))
    for run in range(runs):
        points = np.cumsum(rng.exponential(1 / 16, count))
        at = np.searchsorted(points, points - law.rvs(size=count, random_state=rng))
        x, total, noise = np.ones(count + 1), np.zeros(count + 1), rng.normal(0.0, 0.4, count)
        for k in range(count):
            gradient = x[at[k]] + noise[k]
            x[k + 1] = x[k] - 0.025 * gradient * (abs(gradient) >= c)
            total[k + 1] = total[k] + (abs(gradient) >= c)
        seen = np.searchsorted(points, times)
        losses[run], sent[run] = 0.5 * x[seen] ** 2, total[seen]
    for seen, predicted in ((losses, model.loss(times)), (sent, model.traffic(times))):
        error = seen.std(axis=0, ddof=1) / math.sqrt(runs)
        assert np.all(np.abs(seen.mean(axis=0) - predicted) < 4.9 * error + 0.05 * predicted)


def test_the_closure_agrees_with_the_simulated_cluster():
    """Six times, 4.9 standard errors (1e-5 in all), 10 % of the loss and 3 % of the traffic."""
    law, times = scipy.stats.expon(), np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    model = triggered(0.5, law)
    runs = cluster.simulate(
        cluster.Quadratic(1.0, noise=0.4), cluster.EventTriggered(0.5),
        cluster.System(law, workers=16), learning_rate=0.025, time=16.0, records=33, runs=3000,
        rng=5, start="stationary",
    )  # fmt: skip
    at = (2.0 * times).astype(int)
    np.testing.assert_allclose(runs.t[at], times)
    for seen, predicted, share in (
        (runs.loss[:, at], model.loss(times), 0.10),
        (runs.updates_at[:, at], model.traffic(times), 0.03),
    ):
        error = seen.std(axis=0, ddof=1) / math.sqrt(3000)
        assert np.all(np.abs(seen.mean(axis=0) - predicted) < 4.9 * error + share * predicted)


def test_traffic_is_the_sum_of_the_sending_probability():
    """Its slope is the rate of gradients times the chance of sending; a symmetric rule."""
    model, times = triggered(0.7, 1.0), np.linspace(0.0, 10.0, 2001)
    chance = model.sending_probability(times)
    summed = 16.0 * scipy.integrate.trapezoid(chance, times)
    assert model.traffic(10.0) == pytest.approx(summed, rel=1e-5)
    assert chance.min() > 0.0
    assert chance[0] == pytest.approx(
        scipy.stats.norm.sf(-0.3 / 0.4) + scipy.stats.norm.cdf(-1.7 / 0.4)
    )
    np.testing.assert_allclose(model.loss(times, -1.0), model.loss(times, 1.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"eigenvalue": -1.0}, "eigenvalue = -1"),
        ({"threshold": -0.5}, "threshold = -0.5"),
        ({"gradient_noise": -1.0}, "gradient_noise = -1"),
        ({"workers": 0}, "is below 1"),
        ({"compute_time": 0.0}, "has mean zero"),
    ],
)
def test_misuse_is_named(change, fault):
    """Before anything is computed."""
    with pytest.raises(ArgumentError, match=fault):
        triggered(0.5, 1.0).replace(**change)
    with pytest.raises(ArgumentError, match="negative time"):
        triggered(0.5, 1.0).loss(-1.0)
