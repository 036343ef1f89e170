"""Methods of distributed SGD: a plain-Python twin, and what is known exactly about them."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster
from tests.reference_methods import Cluster

EXPONENTIAL = scipy.stats.expon()
SHIFTED = scipy.stats.expon(1.0)

METHODS = {
    "synchronous": cluster.Synchronous(),
    "k-sync": cluster.KSync(3),
    "k-batch-sync": cluster.KBatchSync(3),
    "k-async": cluster.KAsync(3),
    "k-batch-async": cluster.KBatchAsync(3),
    "apsgd": cluster.APSGD(3),
    "sequential": cluster.SequentialSGD(),
    "ringleader": cluster.Ringleader(),
    "staleness budget": cluster.StalenessBudget(2),
    "actors, paced": cluster.ActorLearner(3, budget=2, publish=2),
    "actors, discarding": cluster.ActorLearner(2, budget=1, keep="discarding", publish=2),
    "malenia": cluster.Malenia(7),
    "fedbuff": cluster.FedBuff(3),
    "fedbuff by weight": cluster.FedBuff(3, by_weight=True),
    "stale synchronous": cluster.StaleSynchronous(1),
    "bulk synchronous": cluster.StaleSynchronous(0),
    "threshold": cluster.StalenessThreshold(4),
    "ringmaster with stops": cluster.Ringmaster(4, stop=True),
    "age": cluster.AgeThreshold(1.0),
    "age with stops": cluster.AgeThreshold(1.0, stop=True),
    "thinning": cluster.RandomThinning(0.4),
    "event-triggered": cluster.EventTriggered(1.0),
    "picky": cluster.Picky(0.3),
    "staleness-aware": cluster.StalenessAware(),
    "delay-adaptive": cluster.DelayAdaptive(),
    "delay-adaptive, full 2": cluster.DelayAdaptive(2),
    "concurrency-capped": cluster.ConcurrencyCapped(2.0, 3),
    "fleet": cluster.FLeet(),
    "tail-tau": cluster.TailTau(0.8, window=(2, 8)),
    "mind the step": cluster.MindTheStep(0.5),
    "mind the step, capped": cluster.MindTheStep(
        0.9, staleness=scipy.stats.poisson(4), cap=1.5
    ),
    "table": cluster.StalenessTable([1.0, 0.8, 0.1]),
    "distance-adaptive": cluster.DistanceAdaptive(0.002),
    "dc-asgd-c": cluster.DelayCompensated(0.3),
    "dc-asgd-a": cluster.DelayCompensated(0.5, decay=0.9),
    "momentum and clipping": cluster.Composed(momentum=0.7, clip=1.0),
    "power schedule": cluster.Composed(schedule=cluster.Schedule("power", power=0.6)),
    "log schedule": cluster.Composed(schedule=cluster.Schedule("log")),
    "loglog schedule": cluster.Composed(schedule=cluster.Schedule("loglog")),
    "falling in steps": cluster.Composed(schedule=cluster.Steps((20, 50), factor=0.3)),
    "falling along a cosine": cluster.Composed(schedule=cluster.Cosine(60, lowest=0.1)),
    "in a ball": cluster.Composed(projection=cluster.Ball(0.3, centre=0.4)),
    "in a box, lazily": cluster.Composed(
        cluster.Group(2), momentum=0.5, projection=cluster.Box(-0.1, 0.2, lazy=True)
    ),
    "many rules": cluster.Composed(
        cluster.Group(2, idle=True),
        admission=cluster.Fresh(3), rate=cluster.Inverse(), momentum=0.5, clip=2.0,
        compensation=cluster.Compensation(0.2), schedule=cluster.Schedule("power"),
    ),
}  # fmt: skip


def simulate(method, law, *, workers, eigenvalues=1.0, noise=0.0, alpha=0.05, **options):
    return cluster.simulate(
        cluster.Quadratic(eigenvalues, noise=noise), method, cluster.System(law, workers=workers),
        learning_rate=alpha, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_method_equals_its_plain_python_twin_bit_for_bit(name):
    """The twin follows the descriptions of the rules with objects and a heap."""
    law, workers, updates = scipy.stats.gamma(2, scale=0.5), 5, 80
    curvatures, noise = [0.5, 2.0, 1.0], [0.3, 0.2, 0.4]
    runs = cluster.simulate(
        cluster.Quadratic(curvatures, noise=noise), METHODS[name],
        cluster.System(law, workers=workers), learning_rate=0.08, updates=updates, rng=11,
        records=updates + 1,
    )  # fmt: skip
    twin = Cluster(
        METHODS[name].composed, curvatures=curvatures, noise=noise, start=[1.0] * 3, law=law,
        workers=workers, learning_rate=0.08, seed=11,
    ).run(updates)  # fmt: skip
    when, loss = zip(*twin.rows, strict=True)
    np.testing.assert_array_equal(runs.t[0, 1:], when)
    np.testing.assert_array_equal(runs.loss[0, 1:], loss)
    np.testing.assert_array_equal(runs.staleness.counts, np.bincount(twin.staleness))
    for array, attribute in (
        (runs.worker_counts, "applied"), (runs.discarded, "discarded"),
        (runs.cancelled, "cancelled"), (runs.idle_time, "idle"),
    ):  # fmt: skip
        np.testing.assert_array_equal(array[0], [getattr(w, attribute) for w in twin.workers])


def _time_per_update(method, law, *, seed=3, updates=4000, runs=8):
    ends = simulate(method, law, workers=8, updates=updates, runs=runs, rng=seed).end_time / updates
    return ends.mean(), ends.std(ddof=1) / math.sqrt(runs)


@pytest.mark.parametrize(
    ("method", "law", "exact"),
    [
        (cluster.KSync(4), EXPONENTIAL, sum(1 / i for i in range(5, 9))),
        (cluster.KAsync(4), EXPONENTIAL, sum(1 / i for i in range(5, 9))),
        (cluster.KBatchSync(4), EXPONENTIAL, 0.5),
        (cluster.KBatchAsync(4), EXPONENTIAL, 0.5),
        (cluster.KSync(4), SHIFTED, 1.0 + sum(1 / i for i in range(5, 9))),
        (cluster.KBatchAsync(4), SHIFTED, 1.0),
        (cluster.Synchronous(), EXPONENTIAL, sum(1 / i for i in range(1, 9))),
    ],
)
def test_time_of_an_update_is_that_of_order_statistics_and_renewals(method, law, exact):
    """Harmonic sums for order statistics, k T / workers for renewals; Student, alarms 1e-6.

    The first round of k-batch-async with shifted times starts together and is late by less than one
    mean time, 1/2000 of the 4000 updates.
    """
    value, error = _time_per_update(method, law)
    late = 2.0 / 4000 if isinstance(method, cluster.KBatchAsync) else 0.0
    assert abs(value - exact) < scipy.stats.t(7).isf(0.5e-6) * error + late


def _rounds_of_k_async(rng, k, workers, replicas, rounds):
    """Times of rounds in which the k first of all running computations are waited for."""
    left = 1.0 + rng.exponential(size=(replicas, workers))
    total = np.zeros(replicas)
    for _ in range(rounds):
        order = np.argsort(left, axis=1)
        wait = np.take_along_axis(left, order[:, k - 1 : k], axis=1)
        total += wait[:, 0]
        left = left - wait
        fresh = 1.0 + rng.exponential(size=(replicas, k))
        np.put_along_axis(left, order[:, :k], fresh, axis=1)
    return total / rounds


def _rounds_of_k_batch_sync(rng, k, workers, replicas, rounds):
    """Times of rounds that all workers begin anew and that end with the k-th result of any."""
    draws = 1.0 + rng.exponential(size=(replicas, rounds, workers, k))
    done = np.sort(draws.cumsum(axis=-1).reshape(replicas, rounds, -1), axis=-1)
    return done[:, :, k - 1].mean(axis=1)


@pytest.mark.parametrize(
    ("method", "rounds_of"),
    [(cluster.KAsync(4), _rounds_of_k_async), (cluster.KBatchSync(4), _rounds_of_k_batch_sync)],
)
def test_shifted_times_without_closed_form_agree_with_a_simulation_of_rounds(method, rounds_of):
    """Another program, of arrays and without events; both start together. False alarm 1e-6."""
    value, error = _time_per_update(method, SHIFTED, updates=1000, runs=40)
    other = rounds_of(np.random.default_rng(5), 4, 8, 40, 1000)
    both = math.hypot(error, other.std(ddof=1) / math.sqrt(len(other)))
    assert abs(value - other.mean()) < scipy.stats.t(39).isf(0.5e-6) * both


def test_synchronous_methods_have_no_staleness_and_idle_or_cancel():
    """All gradients of an update were computed at its parameters."""
    for method in (cluster.Synchronous(), cluster.KSync(3), cluster.KBatchSync(3)):
        runs = simulate(method, EXPONENTIAL, workers=6, updates=500, rng=1)
        assert runs.staleness.counts.tolist() == [runs.worker_counts.sum()]
    assert (
        simulate(cluster.KBatchSync(3), EXPONENTIAL, workers=6, updates=9, rng=1).idle_time.sum()
        == 0
    )


@pytest.mark.parametrize("stop", [False, True])
def test_no_gradient_is_staler_than_the_threshold(stop):
    """Dropping looks at arrivals, stopping at computations; both bound what is applied."""
    laws = [scipy.stats.expon(scale=i) for i in range(1, 9)]
    runs = simulate(cluster.Ringmaster(5, stop=stop), laws, workers=8, updates=20_000, rng=2)
    assert len(runs.staleness.counts) == 5
    assert bool(runs.discarded.sum() > 0) != stop
    assert bool(runs.cancelled.sum() > 0) == stop


def test_nobody_starts_more_than_the_lead_ahead_of_the_slowest():
    """Replayed from the trace: applied gradients of the reader less those of the slowest."""
    laws = [scipy.stats.expon(scale=i) for i in (1, 2, 4)]
    runs = simulate(cluster.StaleSynchronous(2), laws, workers=3, updates=2000, rng=3, trace=True)
    trace = runs.trace()
    order = np.argsort(trace["apply_time"], kind="stable")
    times, who = trace["apply_time"][order], trace["worker"][order]
    counts = np.array([np.cumsum(who == w) for w in range(3)])
    for read, worker in zip(trace["read_time"], trace["worker"], strict=True):
        done = np.searchsorted(times, read, side="right")
        have = counts[:, done - 1] if done else np.zeros(3)
        assert have[worker] - have.min() <= 2
    assert runs.idle_time[0, 0] > 0


def test_thinning_keeps_the_stated_share_and_slows_the_rate():
    """Each gradient is kept independently: binomial; false alarms 1e-6."""
    runs = simulate(cluster.RandomThinning(0.3), EXPONENTIAL, workers=4, updates=30_000, rng=4)
    applied, dropped = runs.worker_counts.sum(), runs.discarded.sum()
    assert scipy.stats.binomtest(int(applied), int(applied + dropped), 0.3).pvalue > 1e-6


def test_weights_of_tail_tau_have_mean_one():
    """The mid-point distribution keeps the mean weight; with the measured law exactly."""
    counts = np.bincount(np.random.default_rng(1).geometric(1 / 8, 600) - 1)
    from sdde.cluster.weighing import tail_weight

    late = np.repeat(np.arange(len(counts)), counts)
    table = np.zeros(601)
    for i, staleness in enumerate(late):
        assert tail_weight(table, 1.0, 0.0, i, staleness) == 1.0
    weights = [tail_weight(table, 1.0, 0.0, 600, staleness) for staleness in late]
    assert np.mean(weights) == pytest.approx(1.0, abs=1e-12)
    assert np.all(np.diff(weights) <= 0)
    assert min(weights) >= 0.0


def test_weights_of_mind_the_step_are_those_of_momentum_and_have_mean_one():
    """For the geometric law in closed form; with a cap the mean must still be one."""
    for workers, m in ((2, 0.3), (8, 0.5), (8, 0.9)):
        late, q = np.arange(40), 1.0 - 1.0 / workers
        rule = cluster.ImplicitMomentum(m, cap=1e9)
        np.testing.assert_allclose(
            rule.table(workers)[:40], workers * (1 - m) * (m / q) ** late, rtol=1e-6
        )
    poisson = scipy.stats.poisson(7.0)
    weights = cluster.ImplicitMomentum(0.8, staleness=poisson, cap=2.0).table(8)
    late = np.arange(len(weights))
    assert poisson.pmf(late) @ weights == pytest.approx(1.0, abs=1e-9)
    assert weights.max() == pytest.approx(2.0)
    inner = weights < 1.999
    shape = weights[inner] * poisson.pmf(late[inner]) / 0.8 ** late[inner]
    np.testing.assert_allclose(shape, shape[0], rtol=1e-9)


def test_weights_of_mind_the_step_give_its_momentum_in_the_mean():
    """Independent geometric staleness: mean parameters are those of heavy-ball descent, exactly.

    Master identity, by enumerating the mean recursion: E x_(k+1) - E x_k = m (E x_k - E x_(k-1)) -
    c (gradient), with staleness counted from a constant past.
    """
    n, m, alpha, updates = 4, 0.6, 0.3, 60
    late = np.arange(updates + 1)
    p = (1 / n) * (1 - 1 / n) ** late
    w = cluster.ImplicitMomentum(m, cap=1e9).table(n)[: updates + 1]
    mean = [1.0]
    for k in range(updates):
        past = [mean[max(k - s, 0)] for s in late]
        rest = 1.0 - p @ w  # what is staler than the table reads the start
        mean.append(mean[k] - alpha * ((p * w) @ past + rest * mean[0]))
    x, velocity = 1.0, 1.0  # of a ball that has always met the gradient of the start
    for k in range(updates):
        velocity = m * velocity + (1 - m) * x
        x -= alpha * velocity
        assert x == pytest.approx(mean[k + 1], abs=1e-9)


def test_apsgd_adds_what_k_batch_async_averages():
    """Binary fractions, so that the division is exact."""
    both = [
        simulate(method, EXPONENTIAL, workers=5, alpha=alpha, updates=50, rng=7)
        for method, alpha in ((cluster.APSGD(4), 1 / 64), (cluster.KBatchAsync(4), 1 / 16))
    ]
    np.testing.assert_array_equal(both[0].loss, both[1].loss)


def test_one_worker_makes_every_asynchronous_method_plain_sgd():
    """Nothing is ever stale, so weights are 1, corrections vanish and nothing is dropped."""
    plain = simulate(cluster.AsyncSGD(), EXPONENTIAL, workers=1, noise=0.5, updates=50, rng=5)
    for method in (
        cluster.StalenessAware(), cluster.DelayAdaptive(), cluster.FLeet(), cluster.Picky(1e-9),
        cluster.DelayCompensated(2.0, decay=0.95), cluster.Ringmaster(1), cluster.KSync(1),
        cluster.FedBuff(1), cluster.Malenia(1), cluster.StaleSynchronous(0),
        cluster.DistanceAdaptive(1e-3),
    ):  # fmt: skip
        runs = simulate(method, EXPONENTIAL, workers=1, noise=0.5, updates=50, rng=5)
        np.testing.assert_array_equal(runs.loss, plain.loss)
        np.testing.assert_array_equal(runs.t, plain.t)


def test_a_method_that_takes_nothing_ends_as_stalled():
    """The loop must not run for ever where every gradient is too short to be sent."""
    runs = simulate(cluster.EventTriggered(1e9), EXPONENTIAL, workers=2, updates=10, rng=6)
    assert runs.status[0] == "stalled"
    assert runs.updates[0] == 0


BAD = {
    "k": lambda: cluster.KSync(0),
    "limit": lambda: cluster.Ringmaster(0),
    "age": lambda: cluster.AgeThreshold(-1.0),
    "keep": lambda: cluster.RandomThinning(1.5),
    "amplitude": lambda: cluster.TailTau(2.0),
    "window": lambda: cluster.TailTau(window=5),
    "decay": lambda: cluster.DelayCompensated(1.0, decay=1.0),
    "cap": lambda: cluster.MindTheStep(0.5, cap=0.5),
    "staleness": lambda: cluster.MindTheStep(0.5, staleness=EXPONENTIAL),
    "batch": lambda: cluster.APSGD(0),
    "radius": lambda: cluster.Ball(0.0),
    "highest": lambda: cluster.Box([0.0, 1.0], [1.0, 1.0]),
    "summed": lambda: cluster.Composed(summed=True, by_weight=True),
    "projection": lambda: cluster.Composed(projection=1.0),  # type: ignore[arg-type]
    "centre": lambda: simulate(
        cluster.Composed(projection=cluster.Ball(1.0, centre=[0.0, 1.0])),
        EXPONENTIAL,
        workers=2,
        updates=1,
    ),
    "weights": lambda: cluster.StalenessTable([1.0, -1.0]),
    "momentum": lambda: cluster.Composed(momentum=1.0),
    "waiting": lambda: cluster.Composed(cluster.Fresh(2)),
    "kind": lambda: cluster.Schedule("cosine"),
    "method": lambda: simulate(cluster.KSync(9), EXPONENTIAL, workers=8, updates=1),
    "start": lambda: simulate(
        cluster.KSync(2), EXPONENTIAL, workers=8, updates=1, start="stationary"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_rules_that_make_no_sense_are_refused_by_name(name):
    """A method is checked when it is written down, or when the workers are known."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        BAD[name]()
