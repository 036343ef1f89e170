"""Numbers found once by independent programs and derivations, found again by the simulator."""

import math

import numpy as np
import pytest
import scipy.stats
from numba import njit

from sdde import cluster
from sdde.cluster import encoding, weighing

SHIFTED = scipy.stats.expon(1.0)
K, P = 4, 8


def staleness(law, *, updates, runs=1):
    return cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), cluster.System(law, workers=P),
        learning_rate=1e-3, updates=updates, runs=runs, rng=4,
    ).staleness  # fmt: skip


def _cycles(rng, size):
    """Staleness of stationary cycles: what seven others deliver meanwhile, drawn one by one."""
    cycle = 1.0 + rng.exponential(size=size)
    count = np.zeros(size, int)
    for _ in range(P - 1):
        met = 1.0 + rng.gamma(1.0 + (rng.random(size) < 0.5))  # jobs met are weighed by length
        when = rng.random(size) * met
        while (inside := when <= cycle).any():
            count += inside
            when = np.where(inside, when + 1.0 + rng.exponential(size=size), when)
    return count


def test_staleness_of_nearly_constant_times_is_narrow_and_hardly_ever_zero():
    """1 + Exp(1), 8 workers: mean 7.000, deviation near 3.83, share of fresh gradients near 0.0009.

    Those are of a simulation of 1e5 updates. Another one, of independent cycles, gives the law to
    three digits; false alarms 1e-6 each, the error of the event loop's 8 million being smaller.
    """
    found = staleness(SHIFTED, updates=1_000_000, runs=8)
    assert found.mean == pytest.approx(7.0, abs=5e-4)
    assert math.sqrt(found.var) == pytest.approx(3.83, abs=0.03)
    other = _cycles(np.random.default_rng(1), 400_000)
    for share, value in (
        (found.fresh, other == 0), (found.pmf[:5].sum(), other < 5), (found.var, (other - 7.0) ** 2)
    ):  # fmt: skip
        error = value.std() / math.sqrt(len(value))
        assert abs(share - value.mean()) < 5.2 * error


@pytest.mark.parametrize(
    ("method", "law", "known"),
    [
        (cluster.KSync(K), scipy.stats.expon(), 0.6345),
        (cluster.KAsync(K), scipy.stats.expon(), 0.6345),
        (cluster.KBatchSync(K), scipy.stats.expon(), 0.5),
        (cluster.KBatchAsync(K), scipy.stats.expon(), 0.5),
        (cluster.KSync(K), SHIFTED, 1.6345),
        (cluster.KBatchSync(K), SHIFTED, 1.628),
        (cluster.KAsync(K), SHIFTED, 1.242),
        (cluster.KBatchAsync(K), SHIFTED, 1.0),
    ],
)
def test_time_per_update_of_the_four_variants(method, law, known):
    """Theory where there is any, else another simulation, right to 0.1 %; 5 deviations."""
    runs = cluster.simulate(
        cluster.Quadratic(1.0), method, cluster.System(law, workers=P), learning_rate=1e-3,
        updates=20_000, runs=8, rng=5,
    )  # fmt: skip
    each = runs.end_time / 20_000
    error = each.std(ddof=1) / math.sqrt(8)
    assert abs(each.mean() - known) < 5.0 * error + 1e-3 * known


def test_speed_up_of_asynchronous_over_synchronous_updates():
    """P E max / E X at 8 workers: 21.74 and 14.87, gradients applied one by one."""
    for law, known in ((scipy.stats.expon(), 21.74), (SHIFTED, 14.87)):
        rates = [
            cluster.simulate(
                cluster.Quadratic(1.0), method, cluster.System(law, workers=P), learning_rate=1e-3,
                updates=updates, rng=6,
            ).update_rate()[0]
            for method, updates in ((cluster.AsyncSGD(), 400_000), (cluster.Synchronous(), 50_000))
        ]  # fmt: skip
        # 50,000 maxima with a coefficient of variation below 0.5: a deviation of 0.2 %.
        assert rates[0] / rates[1] == pytest.approx(known, rel=0.01)


@pytest.mark.parametrize(("share", "mean"), [(1.0, 0.9333), (0.0, 1.0667), (0.5, 1.0)])
def test_mean_weights_of_the_tail_rule_for_geometric_staleness(share, mean):
    """Inclusive, exclusive and mid-point distribution, 8 workers; the package uses mid-points."""
    p = (1 / P) * (1 - 1 / P) ** np.arange(400)
    below = np.cumsum(p) - p
    assert p @ (1.0 + 1.0 - 2.0 * (below + share * p)) == pytest.approx(mean, abs=5e-5)
    if share == 0.5:
        counts = np.round(1e6 * p[:60]).astype(int)
        late = np.repeat(np.arange(60), counts)
        table = np.zeros(len(late) + 1)
        for i, value in enumerate(late):
            weighing.tail_weight(table, 1.0, 0.0, i, value)
        weights = [weighing.tail_weight(table, 1.0, 0.0, len(late), value) for value in range(60)]
        assert counts @ weights / counts.sum() == pytest.approx(1.0, abs=1e-12)


@njit
def _increments(schedule, offset, power, late, growth, first, decades):
    """Growth per decade of sum_k a_k sum_(r = s(k))^(k - 1) a_r, with the package's schedules."""
    none = np.zeros(1, np.int64)
    last = first * 10**decades
    total = np.zeros(last + 2)  # sums of all rates before
    out = np.zeros(decades)
    summed = 0.0
    for k in range(offset, last + 1):
        rate = weighing.schedule_factor(schedule, power, offset, none, k - offset)
        total[k + 1] = total[k] + rate
        begin = k - late
        if growth == 1:
            begin = k - int(k**0.5)
        elif growth == 2:
            begin = k - k // 2
        elif growth == 3:
            begin = int(k**0.5)
        if k > first:
            summed += rate * (total[k] - total[max(begin, offset)])
            for decade in range(decades):
                if k == first * 10 ** (decade + 1):
                    out[decade] = summed
                    summed = 0.0
    return out


@pytest.mark.parametrize(
    ("kind", "power", "growth", "known"),
    [
        ("power", 1.0, 0, [0.0113, 0.0011, 0.0001]),
        ("power", 1.0, 1, [0.0218, 0.0069, 0.0022]),
        ("power", 0.75, 1, [2.32, 2.31, 2.30]),
        ("power", 1.0, 2, [1.596, 1.596, 1.596]),
        ("log", 1.0, 2, [0.0189, 0.0120, 0.0083]),
        ("log", 1.0, 3, [0.170, 0.136, 0.114]),
        ("loglog", 1.0, 3, [0.041, 0.027, 0.019]),
    ],
)
def test_the_staleness_error_of_a_schedule_converges_only_for_delays_it_tolerates(
    kind, power, growth, known
):
    """Increments over three decades: bounded by 50, square root, half, and all but a square root.

    They fall where the sum converges, and stay where it grows like the logarithm.
    """
    codes = {"power": encoding.POWER_LAW, "log": encoding.LOG, "loglog": encoding.LOGLOG}
    schedule = cluster.Schedule(kind, power=power)
    first = int(schedule.first or 1)
    found = _increments(codes[kind], first, power, 50, growth, 4000, 3)
    # The package's factor is 1 at its first update; the numbers are of 1 / k and the like.
    scale = 1.0 if kind == "power" else 1.0 / (first * math.log(first))
    if kind == "loglog":
        scale /= math.log(math.log(first))
    np.testing.assert_allclose(found * scale**2, known, rtol=0.03, atol=5e-5)
