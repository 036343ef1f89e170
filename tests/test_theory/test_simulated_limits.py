"""Simulated losses and divergence limits: exact answers, plain runs, honest errors."""

import numpy as np
import pytest
import scipy.stats
from sdde.theory.accounts import Estimate
from sdde.theory.growth_of_runs import limit_of_plain_runs
from sdde.theory.noisy_roots import NoisyRoot
from sdde.theory.simulated_bounds import Grown, Told
from sdde.theory.simulated_limits import Growth, simulated_limit
from sdde.theory.simulated_losses import expected_losses

from sdde import cluster, theory
from sdde.cluster.linear_runs import LinearRuns

NOISY = cluster.Quadratic([0.2, 1.0], noise=[0.3, 0.1], start=[1.0, 2.0])
EXPONENTIAL = cluster.System(scipy.stats.expon())
LINK = cluster.System(scipy.stats.expon(), communication=cluster.SharedLink(0.2))


@pytest.mark.parametrize(("law", "workers"), [(scipy.stats.expon(), 6), (1.0, 5)])
def test_expected_losses_are_the_exact_ones(law, workers):
    """Theory is exact for memoryless workers and for workers in step.

    z below 4.5 at 8 times of the mean of 16 groups: false-alarm rate 5e-5, that of Student's t with
    15 degrees of freedom 4e-3; seeds fixed.
    """
    times = np.linspace(0.0, 12.0, 9)
    runs = LinearRuns(cluster.System(law), workers, 3)
    found, _ = expected_losses(NOISY, runs, 0.08, times, 6400)
    model = theory.AsyncSGD(
        NOISY.eigenvalues, learning_rate=0.08, workers=workers, compute_time=law,
        gradient_noise=NOISY.noise, arrivals="exact",
    )  # fmt: skip
    exact = np.asarray(model.loss(times, NOISY.start))
    error = found.std(axis=0, ddof=1) / 4.0
    assert (np.abs(found.mean(axis=0) - exact)[1:] < 4.5 * error[1:]).all()
    assert (error < 0.01 * exact).all()


@pytest.mark.parametrize(
    "system",
    [
        cluster.System([0.6, scipy.stats.gamma(4, scale=0.25), 1.7, scipy.stats.expon(scale=2.0)]),
        cluster.System(scipy.stats.gamma(2, scale=0.5), communication=0.4),
    ],
)
def test_expected_losses_are_those_of_runs_with_drawn_noise(system):
    """Means of 4000 noisy runs of the event loop at four times; z below 4.5, false-alarm 3e-5."""
    times = np.linspace(0.0, 12.0, 5)
    found, _ = expected_losses(NOISY, LinearRuns(system, 4, 3), 0.12, times, 1600)
    runs = cluster.simulate(
        NOISY, cluster.AsyncSGD(), system, learning_rate=0.12, workers=4, time=12.0, runs=4000,
        records=5, start="stationary", rng=8,
    ).loss  # fmt: skip
    error = np.hypot(runs.std(axis=0, ddof=1) / np.sqrt(4000), found.std(axis=0, ddof=1) / 4.0)
    assert (np.abs(runs.mean(axis=0) - found.mean(axis=0))[1:] < 4.5 * error[1:]).all()


@pytest.mark.parametrize(("law", "workers"), [(scipy.stats.expon(), 8), (1.0, 6), (1.0, 1)])
def test_clones_diverge_where_the_exact_second_moment_does(law, workers):
    """The limit from a guess that is 20 % off: within 4.5 standard errors, below 0.5 % each."""
    known = theory.AsyncSGD(
        1.0, learning_rate=0.01, workers=workers, compute_time=law, arrivals="exact"
    ).max_learning_rate()
    growth = Growth(cluster.System(law), 1.0, np.random.SeedSequence(2))
    found = growth.largest_rate(workers, 1.2 * known)
    assert abs(found.value - known) <= 4.5 * found.error + 1e-4 * known
    assert found.error < 0.005 * known


def test_the_most_workers_are_those_of_the_exact_second_moment():
    """Memoryless workers; a broken number of which the whole part does not diverge."""
    rate = 0.21
    exact = theory.AsyncSGD(
        1.0, learning_rate=rate, workers=2, compute_time=scipy.stats.expon(), arrivals="exact"
    ).max_workers()
    growth = Growth(EXPONENTIAL, 1.0, np.random.SeedSequence(3))
    found = growth.most_workers(rate, round(0.7 * exact), 400)
    assert exact - 4.5 * found.error < found.value < exact + 1 + 4.5 * found.error
    assert found.error < 0.01 * exact
    assert growth.most_workers(0.01, 5, 6).value == np.inf


def test_growth_of_few_clones_has_no_bias():
    """At the exact limit of 8 memoryless workers the mean growth of 100 small populations is zero.

    z below 4.5, false-alarm rate 7e-6. The plain slope of 32 particles is 0.5 / 32 too low, 7
    standard errors of this mean.
    """
    limit = theory.AsyncSGD(
        1.0, learning_rate=0.01, workers=8, compute_time=scipy.stats.expon(), arrivals="exact"
    ).max_learning_rate()
    growth = Growth(EXPONENTIAL, 1.0, np.random.SeedSequence(3), gradients=40_000)
    found = np.array([growth.rate(8, limit).value for _ in range(100)])
    assert abs(found.mean()) < 4.5 * found.std(ddof=1) / 10.0
    assert found.std(ddof=1) / 10.0 < 0.5 / 32.0 / 7.0


def test_the_error_of_a_limit_is_that_of_independent_repetitions():
    """The spread of 24 repetitions against the stated error.

    The ratio of a right error lies in [0.62, 1.45] but for 1e-3 (chi squared, 23 degrees of
    freedom, and 5 % for the mean of the stated errors).
    """
    found = [
        Growth(LINK, 1.0, np.random.SeedSequence(seed), gradients=100_000).largest_rate(6, 0.4)
        for seed in range(24)
    ]
    spread = np.std([one.value for one in found], ddof=1)
    assert 0.62 < spread / np.mean([one.error for one in found]) < 1.45


@pytest.mark.parametrize(("whole", "root"), [(False, 0.37), (True, 7.4), (True, 83.2)])
def test_a_root_is_found_among_errors(whole, root):
    """A curve with drawn errors of 0.02: spread and mean of 200 roots against what is stated.

    The mean is within 4.5 standard errors, false-alarm rate 7e-6 each, plus 0.2 % for the curve.
    """
    rng = np.random.default_rng(5)

    def measure(place, rough):
        error = 0.04 if rough else 0.02
        value = np.log(place / root) + 0.5 * np.log(place / root) ** 2
        return Estimate(value + error * rng.standard_normal(), error)

    found = [NoisyRoot(measure, whole=whole, most=500).find(1.5 * root) for _ in range(200)]
    values = np.array([one.value for one in found])
    spread = values.std(ddof=1)
    assert abs(values.mean() - root) < 4.5 * spread / np.sqrt(200.0) + 0.002 * root
    assert 0.75 < spread / np.mean([one.error for one in found]) < 1.3


def test_what_never_rises_or_never_ends_has_no_root():
    """Negative up to the largest place; and rising from nowhere."""
    flat = NoisyRoot(lambda place, rough: Estimate(-1.0, 0.1), whole=True, most=50)
    assert flat.find(8).value == np.inf
    assert np.isnan(NoisyRoot(lambda place, rough: Estimate(1.0, 0.1)).find(8).value)


def test_a_limit_far_from_where_it_is_looked_for_is_found():
    """By clones and by plain runs; the predicted limit may be wrong by a factor."""
    exact = 2.0 * np.sin(np.pi / 14.0)
    for near in (0.1, 2.0):
        found = simulated_limit(
            1.0, cluster.AsyncSGD(), cluster.System(1.0), workers=4, cycle=1.0, near=near,
            rng=np.random.SeedSequence(1), start="stationary", gradients=100_000,
        )  # fmt: skip
        assert found.value == pytest.approx(exact, rel=0.02)
    for near in (0.4, 6.0):
        found = limit_of_plain_runs(
            1.0, cluster.AsyncSGD(), cluster.System(1.0), workers=1, cycle=1.0, near=near, runs=100,
            rng=np.random.SeedSequence(1), start="stationary",
        )  # fmt: skip
        assert found.value == pytest.approx(2.0, rel=0.02)


def test_bounds_by_growth_keep_their_margin():
    """Memoryless workers: exact limits at 8 workers, and at a given rate.

    Theory is told too high; where chance could explain a difference, it decides.
    """
    model = theory.AsyncSGD(
        1.0, learning_rate=0.21, workers=8, compute_time=scipy.stats.expon(), arrivals="exact"
    )
    growth = Growth(EXPONENTIAL, 1.0, np.random.SeedSequence(3))
    cap = 0.9 * model.max_learning_rate()
    free = Grown(50, Told(1, 50, lambda workers: 1.2 * cap), 0.1, growth)
    assert free.admitted(8, 0.8 * cap) == 0.8 * cap
    assert free.admitted(8, 1.3 * cap) == pytest.approx(cap, rel=0.03)
    assert free.admitted(51, 0.01) is None
    most = model.replace(learning_rate=0.21 / 0.9).max_workers()
    given = Grown(50, Told(1, 2 * most, None), 0.1, growth)
    assert given.admitted(most - 2, 0.21) == 0.21
    assert given.admitted(most + 8, 0.21) is None
    sure = Grown(50, Told(1, 50, lambda workers: 1.0001 * cap), 0.1, growth)
    assert sure.admitted(8, 1.3 * cap) == 1.0001 * cap
    told = Told(1, 9, lambda workers: 1.0 / workers)
    assert told.admitted(4, 0.5) == 0.25
    assert told.admitted(10, 0.5) is None
