"""Budgets of staleness, rounds of updates, actors and learners: what they promise."""

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster

HEAVY = scipy.stats.lognorm(1.5)
UNEQUAL = [scipy.stats.expon(scale=i) for i in range(1, 9)]


def simulate(method, law, *, updates=4000, workers=8, **options):
    system = cluster.System(law, workers=workers, **options)
    return cluster.simulate(
        cluster.Quadratic(1.0, noise=0.3), method, system, learning_rate=0.01, updates=updates,
        rng=3, trace=True,
    )  # fmt: skip


@pytest.mark.parametrize("budget", [0, 1, 3, 20])
@pytest.mark.parametrize(("k", "publish"), [(1, 1), (3, 1), (2, 2)])
def test_pacing_keeps_the_budget_without_dropping_anything(budget, k, publish):
    """The bound is hard, also where slow results are overtaken by many fast ones."""
    if budget < publish - 1:
        return
    method = cluster.ActorLearner(k, budget=budget, publish=publish)
    for law in (HEAVY, UNEQUAL):
        runs = simulate(method, law, updates=1500)
        assert len(runs.staleness.counts) <= budget + 1
        assert runs.discarded.sum() == runs.cancelled.sum() == 0
        assert runs.status[0] == "done"
        if budget <= 3:
            assert runs.idle_time.sum() > 0


@pytest.mark.parametrize("buffer", [0, 2])
def test_pacing_keeps_the_budget_with_a_slow_learner_and_a_buffer(buffer):
    """What waits in the buffer ages too."""
    method = cluster.ActorLearner(2, budget=3)
    runs = simulate(method, HEAVY, updates=1500, update_time=0.5, buffer=buffer)
    assert len(runs.staleness.counts) <= 4
    assert runs.status[0] == "done"


def test_a_wide_budget_is_no_budget():
    """Then nobody is ever held back, and the run is that of plain asynchronous SGD."""
    plain = simulate(cluster.AsyncSGD(), HEAVY, updates=500)
    paced = simulate(cluster.StalenessBudget(10**6), HEAVY, updates=500)
    np.testing.assert_array_equal(plain.log, paced.log)
    np.testing.assert_array_equal(plain.loss, paced.loss)
    assert paced.idle_time.sum() == 0


def test_pacing_samples_workers_more_evenly_than_discarding():
    """A dropping rule starves the slow; both keep the same budget."""
    paced = simulate(cluster.StalenessBudget(4), UNEQUAL)
    dropped = simulate(cluster.StalenessThreshold(5), UNEQUAL)
    assert len(paced.staleness.counts) <= 5
    assert len(dropped.staleness.counts) <= 5
    assert paced.sampling_weights[0, -1] > 2.0 * dropped.sampling_weights[0, -1]


def test_sequential_sgd_is_never_stale_and_takes_turns():
    """One job at a time: the run lasts as long as all jobs together."""
    runs = simulate(cluster.SequentialSGD(), HEAVY, workers=3, updates=900)
    assert runs.staleness.counts.tolist() == [900]
    assert runs.worker_counts.tolist() == [[300, 300, 300]]
    log = runs.log
    assert log[-1, 3] == pytest.approx(np.sum(log[:, 3] - log[:, 2]), rel=1e-12)


def test_actors_read_only_what_was_published():
    """Versions read are multiples of the interval of publication, and the newest such."""
    runs = simulate(cluster.ActorLearner(2, budget=9, publish=4), HEAVY, updates=800)
    trace = runs.trace()
    assert not np.any(trace["read_version"] % 4)
    order = np.argsort(trace["apply_time"], kind="stable")
    ended, made = trace["apply_time"][order], np.arange(1, len(order) + 1) // 2
    for read, version in zip(trace["read_time"], trace["read_version"], strict=True):
        done = int(np.searchsorted(ended, read, side="right"))
        assert version == (made[done - 1] if done else 0) // 4 * 4


def test_ringleader_updates_once_for_every_worker_in_each_round():
    """Rounds of 8 updates, one by each worker; nothing read is older than 2 n - 2 updates."""
    runs = simulate(cluster.Ringleader(), UNEQUAL, updates=800)
    assert runs.discarded.sum() == runs.idle_time.sum() == 0
    assert len(runs.staleness.counts) <= 2 * 8 - 1
    log = runs.log
    # An update follows the gradient after which its worker reads anew.
    reads = {}
    for _, worker, read_time, _, version, _, _ in log:
        reads.setdefault(int(worker), []).append((read_time, version))
    updated = []
    for worker, rows in reads.items():
        versions = sorted({int(version) for _, version in rows} - {0})
        updated += [(version, worker) for version in versions]
    updated.sort()
    assert [version for version, _ in updated] == list(range(1, len(updated) + 1))
    for first in range(0, len(updated) // 8 * 8, 8):
        assert len({worker for _, worker in updated[first : first + 8]}) == 8


def test_a_method_with_a_budget_and_bad_rules_is_refused():
    """Rules that contradict each other are refused by name."""
    bad = {
        "budget": [
            lambda: cluster.Composed(cluster.Lead(2), budget=1),
            lambda: cluster.ActorLearner(2, budget=0, publish=2),
            lambda: cluster.StalenessBudget(-1),
        ],
        "publish": [lambda: cluster.Composed(publish=0)],
        "keep": [lambda: cluster.ActorLearner(2, budget=1, keep="both")],
        "admission": [lambda: cluster.Composed(cluster.GradientTable(), admission=cluster.Near(1))],
        "system": [lambda: simulate(cluster.KAsync(2), HEAVY, buffer=1, update_time=0.1)],
        "start": [
            lambda: cluster.simulate(
                cluster.Quadratic(1.0), cluster.StalenessBudget(1),
                cluster.System(1.0, workers=2), learning_rate=0.1, updates=1, start="stationary",
            )
        ],
        "at[1]": [lambda: cluster.Steps((5, 5))],
        "updates": [lambda: cluster.Cosine(0)],
    }  # fmt: skip
    for name, makers in bad.items():
        for make in makers:
            with pytest.raises(ArgumentError) as caught:
                make()
            assert str(caught.value).startswith(f"{name} = ")
