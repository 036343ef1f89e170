"""Simulated clusters against a plain-Python twin, simpy, and exact results."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from sdde import ArgumentError, cluster
from tests.reference_cluster import events, simpy_sgd

EXPONENTIAL = scipy.stats.expon()
ERLANG = scipy.stats.gamma(4, scale=0.25)


def simulate(eigenvalues, system, *, noise=0.0, first=1.0, alpha=0.05, **options):
    return cluster.simulate(
        cluster.Quadratic(eigenvalues, noise=noise, start=first), cluster.AsyncSGD(), system,
        learning_rate=alpha, **options,
    )  # fmt: skip


MACHINES = {
    "exponential": {"compute": EXPONENTIAL},
    "constant, all at once": {"compute": 1.0},
    "one law per worker": {"compute": [EXPONENTIAL, ERLANG, 0.7, np.array([0.5, 1.5, 2.5])]},
    "own links": {"compute": ERLANG, "communication": scipy.stats.uniform(0.1, 0.2)},
    "shared link": {"compute": EXPONENTIAL, "link": 0.3, "capacity": 2},
    "slow server": {"compute": ERLANG, "update": scipy.stats.expon(scale=0.3)},
    "all of it": {"compute": 1.0, "link": EXPONENTIAL, "update": 0.1},
}


def machines(compute, link=None, capacity=1, communication=None, update=None):
    if link is not None:
        communication = cluster.SharedLink(link, capacity)
    return cluster.System(compute, communication=communication, update_time=update)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("eigenvalues", "noise"), [(1.5, 0.3), ([0.5, 1.0, 3.0], [0.0, 0.2, 0.5])])
def test_event_loop_equals_its_plain_python_twin_bit_for_bit(name, eigenvalues, noise):
    """The twin has a heap and lists instead of a tournament and arrays; not a bit may differ."""
    setting = MACHINES[name]
    runs = simulate(
        eigenvalues, machines(**setting), noise=noise, first=2.0, workers=4, updates=150, runs=3,
        records=151, rng=5,
    )  # fmt: skip
    rows = events(
        eigenvalues,
        noise,
        2.0,
        workers=4,
        learning_rate=0.05,
        seed=5,
        run=2,
        updates=150,
        **setting,
    )
    when, who, stale, loss = zip(*rows, strict=True)
    np.testing.assert_array_equal(runs.t[2, 1:], when)
    np.testing.assert_array_equal(runs.loss[2, 1:], loss)
    np.testing.assert_array_equal(runs.worker_counts[2], np.bincount(who, minlength=4))
    alone = simulate(
        eigenvalues, machines(**setting), noise=noise, first=2.0, workers=4, updates=150, rng=5
    )
    expected = events(
        eigenvalues, noise, 2.0, workers=4, learning_rate=0.05, seed=5, updates=150, **setting
    )
    np.testing.assert_array_equal(alone.staleness.counts, np.bincount([row[2] for row in expected]))
    assert stale[0] == 0


def test_a_run_is_the_same_alone_with_others_on_any_threads_and_however_recorded():
    """Random numbers have addresses, so nothing but (seed, run) may matter."""
    system = cluster.System(EXPONENTIAL, workers=6)
    many = simulate(1.0, system, noise=0.5, updates=300, runs=40, threads=3, rng=9, records=301)
    few = simulate(1.0, system, noise=0.5, updates=300, runs=7, threads=1, rng=9, records=4)
    np.testing.assert_array_equal(many.t[:7, ::100], few.t)
    np.testing.assert_array_equal(many.loss[:7, ::100], few.loss)
    by_time = simulate(1.0, system, noise=0.5, time=20.0, runs=7, rng=9, records=11)
    np.testing.assert_array_equal(by_time.loss, many.loss_at(by_time.t)[:7])


@pytest.mark.parametrize(
    "system",
    [
        cluster.System(EXPONENTIAL, workers=8),
        cluster.System(1.0, workers=8),
        cluster.System(scipy.stats.pareto(2.5), workers=8),
        cluster.System([scipy.stats.expon(scale=i) for i in (1, 2, 3, 4, 5, 6, 7, 8)]),
        cluster.System(ERLANG, communication=cluster.SharedLink(0.5), workers=8),
        cluster.System(ERLANG, update_time=EXPONENTIAL, workers=8),
    ],
)
def test_mean_staleness_is_the_number_of_workers_less_one(system):
    """Each cycle meets every other update once; only the first and last cycles are cut off."""
    updates = 200_000
    runs = simulate(1.0, system, updates=updates, rng=3, alpha=1e-3)
    # What is missing is the unfinished cycle of each worker at the end of the run.
    missing = 7.0 - runs.staleness.mean
    assert 0.0 <= missing <= 8 * len(runs.staleness.counts) / updates


def test_staleness_of_memoryless_workers_is_geometric():
    """Hotelling's statistic over 400 independent runs; false alarms 1e-6."""
    workers, updates, count, bins = 4, 60, 400, 10
    system = cluster.System(EXPONENTIAL, workers=workers)
    rows = np.zeros((count, bins))
    for seed in range(count):
        counts = simulate(1.0, system, updates=updates, rng=seed).staleness.counts
        width = min(len(counts), bins)
        rows[seed, :width] = counts[:width]
    # Update number k is made by a uniformly drawn worker: staleness s < k with the geometric law,
    # and exactly k for the first gradient of a worker.
    p = 1.0 / workers
    expected = np.zeros(bins)
    for k in range(updates):
        for s in range(min(k, bins)):
            expected[s] += p * (1 - p) ** s
        if k < bins:
            expected[k] += (1 - p) ** k
    gap = rows.mean(axis=0) - expected
    spread = np.cov(rows.T) / count
    squared = gap @ np.linalg.solve(spread, gap)
    scaled = squared * (count - bins) / ((count - 1) * bins)
    assert scaled < scipy.stats.f(bins, count - bins).isf(1e-6)


@pytest.mark.parametrize(("workers", "alpha"), [(2, 0.3), (4, 0.1), (8, 0.05)])
def test_stationary_variance_of_memoryless_workers_is_exact(workers, alpha):
    """Exact moment equations against the event loop; false alarms 1e-6 each."""
    exact = alpha * (1 + alpha * workers) / (2 + alpha - alpha**2 * workers)
    value, error = _stationary(EXPONENTIAL, workers, alpha, 20.0)  # transients are e^-20 or less
    assert abs(value - exact) < scipy.stats.norm.isf(0.5e-6) * error


@pytest.mark.parametrize(("workers", "alpha"), [(6, 0.1), (11, 0.05)])
def test_stationary_variance_of_constant_times_is_that_of_fixed_staleness(workers, alpha):
    """Workers in step have staleness workers - 1 at every update; false alarms 1e-6 each."""
    tau = workers - 1
    angle = math.asin(alpha / 2)
    exact = (alpha / 2) * math.tan(math.pi / 4 + (tau + 0.5) * angle) / math.sqrt(1 - alpha**2 / 4)
    value, error = _stationary(1.0, workers, alpha, 40.0)  # transients below 1e-6
    assert abs(value - exact) < scipy.stats.norm.isf(0.5e-6) * error


def _stationary(law, workers, alpha, time, runs=20_000):
    """Mean square of x, from 0 and with noise variance 1, over independent runs; its error."""
    made = simulate(
        1.0, cluster.System(law), noise=1.0, first=0.0, alpha=alpha, workers=workers, time=time,
        runs=runs, rng=17, records=2,
    )  # fmt: skip
    square = 2.0 * made.loss[:, -1]
    return square.mean(), square.std(ddof=1) / math.sqrt(runs)


def _memoryless_mean_square(workers, alpha, noise, times):
    """E x(t)^2 by the closed moment equations of exponential workers with mean time 1.

    By symmetry of the workers, with y the read of one worker and y' that of another: the state
    (E x^2, E x y, E y^2, E y y'). At rate 1 a worker sets x <- x - alpha (y + noise xi), y <- x.
    """
    n = workers
    a = alpha
    m = np.zeros((4, 4))
    m[0] = [0.0, -2 * a * n, a * a * n, 0.0]  # n jumps of x^2 -> (x - a y)^2
    m[1] = [1.0, -2 * a - 1.0, a * a, -a * (n - 1)]  # own: (x - a y)^2; another's: (x - a y') y
    m[2] = [1.0, -2 * a, a * a - 1.0, 0.0]  # own jump: y^2 -> (x - a y)^2
    m[3] = 2 * np.array([0.0, 1.0, 0.0, -1.0 - a])  # either's jump: y y' -> (x - a y) y'
    source = a * a * noise * noise * np.array([n, 1.0, 1.0, 0.0])
    augmented = np.zeros((5, 5))
    augmented[:4, :4], augmented[:4, 4] = m, source
    first = np.array([1.0, 1.0, 1.0, 1.0, 1.0])
    return np.array([(scipy.linalg.expm(augmented * t) @ first)[0] for t in times])


def test_mean_loss_of_eight_memoryless_workers_is_exact_at_ten_times():
    """Moment equations written here against the event loop; false alarms 1e-6 over the ten."""
    times = np.arange(1.0, 11.0)
    system = cluster.System(EXPONENTIAL, workers=8)
    runs = simulate(1.0, system, noise=0.5, alpha=0.08, time=10.0, runs=20_000, records=11, rng=2)
    exact = 0.5 * _memoryless_mean_square(8, 0.08, 0.5, times)
    mean, error = runs.mean_loss(times)
    assert np.all(np.abs(mean - exact) < scipy.stats.norm.isf(0.5e-6 / 10) * error)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (cluster.AsyncSGD(), {}),
        (cluster.KAsync(3), {"k": 3, "idle": True}),
        (cluster.KBatchAsync(3), {"k": 3}),
        (cluster.StalenessThreshold(4), {"threshold": 4}),
    ],
)
def test_simpy_gives_the_same_laws_of_the_state_and_of_staleness(method, options):
    """An independent discrete-event library with its own numbers; false alarms 1e-6 each."""
    rng = np.random.default_rng(4)
    count, setting = 600, {"workers": 5, "alpha": 0.1, "noise": 0.5, "time": 6.0}
    ends, stale = [], []
    for _ in range(count):
        x, staleness = simpy_sgd(
            draw=lambda rng: rng.gamma(2.0, 0.5), rng=rng, **setting, **options
        )
        ends.append(0.5 * x * x)
        stale.append(np.mean(staleness))
    ours = [
        cluster.simulate(
            cluster.Quadratic(1.0, noise=0.5), method,
            cluster.System(scipy.stats.gamma(2, scale=0.5)), learning_rate=0.1,
            workers=5, time=6.0, rng=seed, records=2,
        )
        for seed in range(count)
    ]  # fmt: skip
    losses = [runs.loss[0, -1] for runs in ours]
    assert scipy.stats.ks_2samp(ends, losses).pvalue > 1e-6
    assert scipy.stats.ks_2samp(stale, [runs.staleness.mean for runs in ours]).pvalue > 1e-6


def test_staleness_of_unequal_workers_has_a_low_median_and_a_long_tail():
    """Mean times 1 to 8: an independent simulation of 1e5 updates gave median 3, 99 % at 55."""
    laws = [scipy.stats.expon(scale=i) for i in range(1, 9)]
    runs = simulate(1.0, cluster.System(laws), updates=100_000, rng=1, alpha=1e-3)
    share = np.cumsum(runs.staleness.pmf)
    assert np.searchsorted(share, 0.5) == 3
    assert abs(np.searchsorted(share, 0.99) - 55) <= 2


@pytest.mark.parametrize("law", [EXPONENTIAL, 1.0, ERLANG])
def test_update_rate_is_workers_over_the_mean_cycle(law):
    """Renewal theorem; from a stationary start the expectation is exact; false alarms 1e-6."""
    runs = simulate(
        1.0, cluster.System(law, communication=0.5), workers=5, time=40.0, runs=2000, rng=6,
        start="stationary",
    )  # fmt: skip
    rate, error = runs.update_rate()
    assert abs(rate - 5 / 1.5) < scipy.stats.norm.isf(0.5e-6) * error + 1e-12


def test_a_stationary_start_has_the_residual_law():
    """First arrivals of one worker against (1 - G) / mean; false alarms 1e-6."""
    law = scipy.stats.uniform(0.5, 1.0)
    runs = cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), cluster.System(law, workers=1),
        learning_rate=0.1, updates=1, runs=4000, rng=12, start="stationary",
    )  # fmt: skip

    def cdf(t):
        t = np.asarray(t)
        inside = np.clip(t, 0.5, 1.5) - 0.5
        return np.minimum(t, 0.5) + inside - inside**2 / 2

    assert scipy.stats.kstest(runs.t[:, 1], cdf).pvalue > 1e-6


BAD = {
    "objective": {"objective": 3},
    "method": {"method": "async"},
    "system": {"system": 1.0},
    "learning_rate": {"learning_rate": -0.1},
    "workers": {"workers": 0},
    "updates": {"updates": 0},
    "time": {"time": math.nan},
    "until_loss": {"until_loss": 0.0},
    "runs": {"runs": 1.5},
    "records": {"records": 1},
    "start": {"start": "now"},
    "threads": {"threads": 0},
    "rng": {"rng": "seed"},
    "progress": {"progress": 1},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_by_name(name):
    """Misuse names the argument before anything is compiled or run."""
    arguments = {
        "objective": cluster.Quadratic(1.0), "method": cluster.AsyncSGD(),
        "system": cluster.System(1.0, workers=2), "learning_rate": 0.1, "updates": 10,
    }  # fmt: skip
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        cluster.simulate(**(arguments | BAD[name]))


def test_a_run_without_an_end_is_refused():
    """Without a stopping rule the loop would never return."""
    with pytest.raises(ArgumentError, match="needs a rule that ends it"):
        simulate(1.0, cluster.System(1.0, workers=2))


def test_a_stationary_start_with_queues_is_refused():
    """The long-run state of a queue is not known, so it is not guessed."""
    system = cluster.System(1.0, communication=cluster.SharedLink(0.1), workers=2)
    with pytest.raises(ArgumentError, match=r"^start = "):
        simulate(1.0, system, updates=10, start="stationary")
