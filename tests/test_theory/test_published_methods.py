"""Published methods: run times, step functions, bounds and thresholds against other derivations."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster, theory

SHIFTED = scipy.stats.expon(loc=1.0)
ERLANG = scipy.stats.gamma(4, scale=0.25)


@pytest.mark.parametrize(
    ("law", "variant", "expected", "kind"),
    [
        (scipy.stats.expon(), "k-sync", 0.634524, "exact"),
        (scipy.stats.expon(), "k-async", 0.634524, "exact"),
        (scipy.stats.expon(), "k-batch-sync", 0.5, "exact"),
        (scipy.stats.expon(), "k-batch-async", 0.5, "exact"),
        (SHIFTED, "k-sync", 1.634524, "exact"),
        (SHIFTED, "k-async", 1.634524, "upper bound"),
        (SHIFTED, "k-batch-async", 1.0, "exact"),
    ],
)
def test_time_of_an_update_with_eight_workers_and_four_batches(law, variant, expected, kind):
    """Harmonic numbers, the Erlang law and the renewal theorem."""
    value, found = theory.time_per_update(law, workers=8, k=4, variant=variant)
    assert value == pytest.approx(expected, abs=6e-7)
    assert found == kind


@pytest.mark.parametrize("law", [SHIFTED, ERLANG, np.array([1.0, 2.0, 2.0, 5.0])])
def test_order_statistics_agree_with_sampling(law):
    """A hundred thousand samples; 4.9 standard errors, false-alarm rate 1e-6 each."""
    rng = np.random.default_rng(8)
    draws = rng.choice(law, (100_000, 5)) if isinstance(law, np.ndarray) else law.rvs(
        (100_000, 5), random_state=rng
    )  # fmt: skip
    ranked = np.sort(draws, axis=1)
    for k in (1, 3, 5):
        column = ranked[:, k - 1]
        error = column.std() / math.sqrt(column.size)
        assert abs(theory.order_statistic_mean(law, k, 5) - column.mean()) < 4.9 * error


def test_asynchronous_speed_up():
    """P times the harmonic number for exponential times; less with a constant part."""
    assert theory.speed_up(scipy.stats.expon(), 8) == pytest.approx(8 * 761 / 280, rel=1e-12)
    assert theory.speed_up(SHIFTED, 8) == pytest.approx(14.87, abs=5e-3)
    assert theory.best_k_sync(scipy.stats.expon(), 8) == 1
    assert theory.best_k_sync(SHIFTED, 8) > 1


def log_log(k):
    return np.log(np.log(np.maximum(k, 16.0)))


@pytest.mark.parametrize(
    ("rate", "read", "decades"),
    [
        (lambda k: 1 / k, lambda k: k - 50, (0.0113, 0.0011, 0.0001)),
        (lambda k: 1 / k, lambda k: k - np.sqrt(k), (0.0218, 0.0069, 0.0022)),
        (lambda k: k**-0.75, lambda k: k - np.sqrt(k), (2.32, 2.31, 2.30)),
        (lambda k: 1 / k, lambda k: k / 2, (1.596, 1.596, 1.596)),
        (lambda k: 1 / (k * np.log(np.maximum(k, 3))), lambda k: k / 2, (0.0189, 0.0120, 0.0083)),
        (lambda k: 1 / (k * np.log(np.maximum(k, 3))), np.sqrt, (0.170, 0.136, 0.114)),
        (lambda k: 1 / (k * np.log(np.maximum(k, 3)) * log_log(k)), np.sqrt, (0.041, 0.027, 0.019)),
    ],
)
def test_staleness_errors_per_decade_show_which_sums_converge(rate, read, decades):
    """Increments over 4e3..4e4..4e5..4e6: constant or slowly falling ones diverge."""
    error = theory.staleness_error(rate, read, 4_000_000)
    ends = [error[4 * 10**power - 1] for power in (3, 4, 5, 6)]
    digits = 4 if decades[0] < 0.03 else 3 if decades[0] < 2 else 2
    np.testing.assert_allclose(np.diff(ends), decades, atol=0.75 * 10.0**-digits)


@pytest.mark.parametrize(
    ("growth", "lasting"),
    [("bounded", "1/k"), ("sublinear", "1/k"), ("linear", "1/(k log k)"),
     ("polynomial", "1/(k log k log log k)")],
)  # fmt: skip
def test_each_growth_of_delays_needs_its_own_learning_rates(growth, lasting):
    """Faster falling learning rates stay admissible; the next slower one is not."""
    order = ["1/k", "1/(k log k)", "1/(k log k log log k)"]
    for law in order:
        assert theory.admissible(growth, law).holds is (order.index(law) >= order.index(lasting))


def test_a_tail_shaped_rate_keeps_its_mean_exactly():
    """Mid-point distribution functions; the other two are off by the sum of squares."""
    law = theory.staleness_law(scipy.stats.expon(), 8).pmf
    factors = theory.tail_factors(law)
    assert factors @ law / law.sum() == pytest.approx(1.0, abs=1e-12)
    assert factors[0] > 1.0 > factors[-1] >= 0.0
    assert np.all(np.diff(factors) <= 0.0)
    inclusive = 1.0 + (1.0 - 2.0 * np.cumsum(law))
    assert inclusive @ law == pytest.approx(1.0 - np.sum(law**2), abs=1e-9)
    assert inclusive @ law == pytest.approx(0.9333, abs=5e-5)


@pytest.mark.parametrize("momentum", [0.3, 0.7])
def test_shaped_rates_act_as_heavy_ball_momentum(momentum):
    """With p(l) alpha(l) geometric the mean recursion is the heavy ball, step for step."""
    law = scipy.stats.poisson(3.0).pmf(np.arange(40))
    law /= law.sum()
    factors = theory.momentum_factors(law, momentum, cap=1e40)
    assert factors @ law == pytest.approx(1.0, rel=1e-9)
    kernel = 0.05 * law * factors
    np.testing.assert_allclose(kernel[1:] / kernel[:-1], momentum, rtol=1e-9)
    x = [1.0]  # x_{k+1} = x_k - sum_l kernel[l] x_{k-l}, with nothing before the start
    for k in range(30):
        x.append(x[-1] - sum(kernel[lag] * x[k - lag] for lag in range(k + 1)))
    ball, velocity = 1.0, 0.0
    for k in range(30):
        velocity = momentum * velocity - kernel[0] * ball
        ball += velocity
        assert x[k + 1] == pytest.approx(ball, rel=1e-9)


def test_momentum_factors_respect_their_cap():
    """The tail of 1/p grows without bound, so a cap is part of the rule."""
    law = scipy.stats.poisson(3.0).pmf(np.arange(30))
    factors = theory.momentum_factors(law, 0.5, cap=3.0)
    assert factors.max() <= 3.0
    assert factors @ law / law.sum() == pytest.approx(1.0, rel=1e-6)
    assert theory.implicit_momentum(16) == 15 / 16


def test_time_bounds_order_the_methods():
    """Choosing workers is never slower than waiting for all; equal workers make no difference."""
    numbers = {"smoothness": 2.0, "initial_loss": 3.0, "variance": 1.0, "target": 0.1}
    times = np.arange(1.0, 33.0)
    best = theory.optimal_time(times, **numbers)
    waiting = theory.minibatch_time(times, **numbers)
    own_data = theory.heterogeneous_time(times, **numbers)
    assert best.time < own_data.time < waiting.time
    assert 1 < best.workers < 32
    slower = theory.optimal_time(np.append(times, 1e6), **numbers)
    assert slower == best
    equal = np.full(8, 2.0)
    assert theory.optimal_time(equal, **numbers).time == pytest.approx(
        theory.minibatch_time(equal, **numbers).time
    )


@pytest.mark.parametrize(
    ("times", "limit", "workers"),
    [
        (np.ones(64), 113, 64),
        (np.arange(1.0, 65.0), 69, 24),
        (np.sqrt(np.arange(1.0, 65.0)), 113, 64),
    ],
)
def test_ringmaster_limit_minimises_its_bound(times, limit, workers):
    """The formula against scanning t(R) K(R) / R over all thresholds: within one per cent."""
    found = theory.ringmaster_limit(times, variance=1.0, target=0.01)
    assert (found.limit, found.workers) == (limit, workers)
    m = np.arange(1, 65)
    harmonic = m / np.cumsum(1.0 / times)

    def bound(threshold):
        return np.min(harmonic * (1 + threshold / m)) * (8 * threshold + 16 * 100) / threshold

    best = min(bound(r) for r in range(1, 400))
    assert bound(limit) < 1.01 * best
    assert theory.rennala_batch(1.0, 0.01) == 100


@pytest.mark.parametrize(("alpha", "staleness"), [(0.5, 0), (0.1, 10), (1e-3, 200)])
def test_escape_from_a_saddle_follows_its_polynomial(alpha, staleness):
    """The root against the companion matrix, and against marching the recursion."""
    factor = theory.escape_factor(alpha, staleness)
    assert factor > 1.0
    assert factor ** (staleness + 1) - factor**staleness == pytest.approx(alpha, rel=1e-9)
    x = [1.0] * (staleness + 1)
    for _ in range(40 * (staleness + 1)):
        x.append(x[-1] + alpha * x[-1 - staleness])
    assert x[-1] / x[-2] == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(
    ("updates", "batch", "first", "second"),
    [(1e5, 32, 55.9, 14.6), (1e6, 64, 125.0, 25.0), (1e7, 256, 197.6, 33.9)],
)
def test_worker_bounds_of_parallel_sgd(updates, batch, first, second):
    """Square and cube root of updates over batch."""
    bounds = theory.worker_bounds(updates, batch)
    assert bounds.first_order == pytest.approx(first, abs=0.05)
    assert bounds.second_order == pytest.approx(second, abs=0.05)


@pytest.mark.parametrize("quality", [0.0, 0.2, 0.45])
def test_compensation_raises_the_limit(quality):
    """Half of perfect compensation removes the limit; below it the crossing is a double witness."""
    model = theory.CompensatedDelay(0.5, quality)
    limit = model.stability_limit()
    assert limit >= math.pi / 2
    for share, sign in ((0.99, 1.0), (1.01, -1.0)):
        rate = theory.CompensatedDelay(share * limit, quality).rate()
        assert math.copysign(1.0, rate) == sign
    other = theory.CompensatedDelay(0.5, quality, np.array([1.0 - 1e-9, 1.0 + 1e-9]))
    assert other.stability_limit() == pytest.approx(limit, rel=1e-6)
    assert theory.CompensatedDelay(50.0, 0.5).is_stable()
    assert theory.CompensatedDelay(0.7, 1.0).rate() == 0.7


STREAMS = [
    (cluster.RandomThinning(0.25), 0.02, 0.1381),
    (cluster.RandomThinning(0.5), 0.02, 0.3438),
    (cluster.AgeThreshold(1.2), 0.01, 0.1962),
    (cluster.AgeThreshold(0.8), 0.01, 0.1009),
    (cluster.KBatchAsync(8), 0.05, 0.1867),
    (cluster.KBatchAsync(4), 0.05, 0.5894),
]


@pytest.mark.parametrize(("method", "alpha", "rate"), STREAMS)
def test_methods_change_the_stream_of_gradients(method, alpha, rate):
    """Rates for 24 Erlang-4 workers, computed once before by characteristic equations."""
    model = theory.AsyncSGD(
        1.0, learning_rate=alpha, workers=24, compute_time=ERLANG, method=method
    )
    assert model.rate() == pytest.approx(rate, abs=6e-5)
    assert model.is_mean_square_stable()
    assert model.loss(400.0) < 1e-6


def test_grouped_and_dropped_gradients_have_the_exact_roots():
    """Memoryless workers: polynomial roots, and a second-order delay equation."""
    grouped = theory.AsyncSGD(
        1.0, learning_rate=0.05, workers=20, compute_time=scipy.stats.expon(),
        method=cluster.KBatchAsync(4),
    )  # fmt: skip
    assert grouped.rate() == pytest.approx(0.489816129473, rel=1e-9)
    assert grouped.update_rate == pytest.approx(5.0)
    dropped = grouped.replace(workers=10, method=cluster.AgeThreshold(0.5))
    assert dropped.rate() == pytest.approx(0.206355924365, rel=1e-9)


def test_a_staleness_threshold_keeps_the_predicted_share_of_gradients():
    """The fixed-point rate against the simplest event count, memoryless workers."""
    rng, workers, limit = np.random.default_rng(9), 16, 12
    read, version, kept, events = [0] * workers, 0, 0, 120_000
    for w in rng.integers(0, workers, events):
        if version - read[w] < limit:
            version += 1
            kept += 1
        read[w] = version
    model = theory.AsyncSGD(
        1.0, learning_rate=0.05, workers=workers, compute_time=scipy.stats.expon(),
        method=cluster.StalenessThreshold(limit),
    )  # fmt: skip
    # The Poisson count of updates is an approximation; two per cent covers it here.
    assert model.update_rate / workers == pytest.approx(kept / events, rel=0.02)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: theory.order_statistic_mean(1.0, 9, 8), "k = 9 is above 8"),
        (lambda: theory.time_per_update(ERLANG, workers=8, k=4, variant="k-batch-sync"), "closed"),
        (lambda: theory.time_per_update(1.0, workers=8, k=4, variant="fast"), "is not known"),
        (lambda: theory.admissible("explosive", "1/k"), "is not known"),
        (lambda: theory.tail_factors([0.5, 0.5], 1.5), "amplitude = 1.5 is above 1"),
        (lambda: theory.momentum_factors([1.0], 1.0), "momentum = 1.0 is not below 1"),
        (lambda: theory.ringmaster_limit([1.0, 0.0], variance=1.0, target=0.1), "not positive"),
        (lambda: theory.escape_updates(0.1, 2, 0.5), "growth = 0.5 is not above 1"),
        (lambda: theory.CompensatedDelay(0.5, -1.0), "quality = -1.0 is negative"),
        (
            lambda: theory.AsyncSGD(
                1.0, learning_rate=0.1, workers=4, compute_time=1.0, method=cluster.KSync(2)
            ),
            "stream of gradients",
        ),
        (
            lambda: theory.AsyncSGD(
                1.0, learning_rate=0.1, workers=4, compute_time=1.0,
                method=cluster.EventTriggered(0.1),
            ),
            "by the state",
        ),
        (
            lambda: theory.AsyncSGD(
                1.0, learning_rate=0.1, workers=4, compute_time=1.0, arrivals="exact",
                method=cluster.KBatchAsync(2),
            ),
            "no moments of that kind",
        ),
    ],
)  # fmt: skip
def test_misuse_is_named(call, fault):
    """Messages carry the argument."""
    with pytest.raises(ArgumentError, match=fault):
        call()
