"""Machines that drift, fail, repeat recorded times and shelve their work: twin and exact facts."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster
from tests.reference_machines import Machines

GAMMA = scipy.stats.gamma(2, scale=0.5)
OUTAGES = cluster.Outages(scipy.stats.expon(scale=4.0), scipy.stats.uniform(0.2, 1.0))
RECORDED = [0.5, 0.25, 1.5, 0.75]
DRIFT = cluster.Drifting(GAMMA, [1.0, 5.0, 6.0, 12.0], [1.0, 3.0, 0.5, 1.0])

SYSTEMS = {
    "drifting": {"compute_time": DRIFT, "communication": 0.1},
    "replayed": {"compute_time": [cluster.Replay(RECORDED), GAMMA, cluster.Replay([1.0]), DRIFT]},
    "outages": {"compute_time": GAMMA, "outages": OUTAGES},
    "planned outages": {
        "compute_time": GAMMA,
        "outages": cluster.PlannedOutages([[], [(0.0, 3.0)], [(2.0, 4.0), (4.5, 9.0)], []]),
    },
    "no room": {"compute_time": GAMMA, "update_time": scipy.stats.expon(scale=0.4), "buffer": 0},
    "two shelves": {"compute_time": GAMMA, "update_time": 0.3, "buffer": 2},
    "all of it": {
        "compute_time": [DRIFT, cluster.Replay(RECORDED), GAMMA, GAMMA], "buffer": 1,
        "outages": OUTAGES, "update_time": scipy.stats.expon(scale=0.3), "communication": GAMMA,
    },
}  # fmt: skip
METHODS = {
    "plain": cluster.AsyncSGD(),
    "paced": cluster.ActorLearner(2, budget=2, publish=2),
    "discarding": cluster.ActorLearner(2, budget=1, keep="discarding"),
}


def simulate(system, method=None, *, updates, **options: Any):
    return cluster.simulate(
        cluster.Quadratic([1.0, 0.5], noise=0.3), method or cluster.AsyncSGD(), system,
        learning_rate=0.05, updates=updates, records=updates + 1, **{"rng": 8, **options},
    )  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("method", METHODS)
def test_every_machine_equals_its_plain_python_twin_bit_for_bit(name, method):
    """Times, losses, counts, idle and down times, to the last bit."""
    system, updates = cluster.System(**SYSTEMS[name], workers=4), 70
    runs = simulate(system, METHODS[method], updates=updates)
    twin = Machines(
        METHODS[method].composed, system=system, workers=4, curvatures=[1.0, 0.5],
        noise=[0.3, 0.3], start=[1.0, 1.0], learning_rate=0.05, seed=8,
    ).run(updates)  # fmt: skip
    when, loss = zip(*twin.rows, strict=True)
    np.testing.assert_array_equal(runs.t[0, 1:], when)
    np.testing.assert_array_equal(runs.loss[0, 1:], loss)
    np.testing.assert_array_equal(runs.staleness.counts, np.bincount(twin.staleness))
    for array, attribute in (
        (runs.worker_counts, "applied"), (runs.discarded, "discarded"), (runs.down_time, "down"),
        (runs.cancelled, "cancelled"), (runs.idle_time, "idle"),
    ):  # fmt: skip
        np.testing.assert_array_equal(array[0], [getattr(w, attribute) for w in twin.workers])


def test_recorded_times_come_back_in_their_order_and_stop():
    """One worker: the times of the updates are sums of what was recorded."""
    once = simulate(cluster.System(cluster.Replay(RECORDED, then="stop"), workers=1), updates=10)
    np.testing.assert_array_equal(once.t[0, 1:5], np.cumsum(RECORDED))
    assert once.status[0] == "stalled"
    assert (once.updates[0], once.end_time[0]) == (4, 3.0)
    again = simulate(cluster.System(cluster.Replay(RECORDED), workers=1), updates=10)
    np.testing.assert_array_equal(again.t[0, 1:], np.cumsum((RECORDED * 3)[:10]))


def test_a_simulated_run_is_repeated_by_a_replay_of_its_trace():
    """What a run records is what another needs: the same times and the same staleness."""
    first = simulate(cluster.System(GAMMA, workers=3), updates=200, trace=True)
    trace = first.trace()
    recorded = [cluster.Replay(trace.compute_time(w), then="stop") for w in range(3)]
    second = simulate(cluster.System(recorded), updates=190)
    np.testing.assert_allclose(second.t[0], first.t[0, :191], rtol=1e-12)
    np.testing.assert_allclose(second.loss[0], first.loss[0, :191], rtol=1e-9)


def test_a_speed_that_drifts_without_noise_is_read_at_the_start_of_each_job():
    """Constant times: t_(k+1) = t_k + factor(t_k), along a straight line."""
    drift = cluster.Drifting(2.0, [0.0, 10.0], lambda t: 1.0 + t / 10.0)
    runs = simulate(cluster.System(drift, workers=1), updates=6)
    t, expected = 0.0, []
    for _ in range(6):
        t += 2.0 * (1.0 + min(t, 10.0) / 10.0)
        expected.append(t)
    np.testing.assert_allclose(runs.t[0, 1:], expected, rtol=1e-14)


def test_outages_lose_the_work_under_way_and_nothing_else():
    """Constant times 1 and outages (2.5, 4), (4, 5): updates at 1, 2, then from 5 on."""
    planned = cluster.PlannedOutages([[(2.5, 4.0), (4.0 + 1e-9, 5.0)]])
    runs = simulate(cluster.System(1.0, outages=planned, workers=1), updates=4, trace=True)
    np.testing.assert_allclose(runs.t[0, 1:], [1.0, 2.0, 6.0, 7.0])
    assert runs.cancelled.tolist() == [[2]]
    assert runs.down_time[0, 0] == pytest.approx(2.5, abs=1e-8)
    lost = runs.log[runs.log[:, 6] == 2.0]
    assert lost[0, 3] == 2.5
    assert len(runs.trace()["worker"]) == 4


def test_the_share_of_time_down_is_that_of_a_renewal_process():
    """Down times over up and down times in the long run; false alarms 1e-6."""
    system = cluster.System(0.1, outages=cluster.Outages(scipy.stats.expon(scale=3.0), 1.0))
    shares = []
    for seed in range(40):
        runs = simulate(system, workers=4, updates=10_000, rng=seed)
        shares.append(runs.down_time.mean() / runs.end_time[0])
    shares = np.array(shares)
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    # The start is up: its bias decays within one cycle of the about 75 of a run.
    assert abs(shares.mean() - 0.25) < scipy.stats.t(39).isf(0.5e-6) * error + 0.25 / 75


def test_k_sync_waits_for_workers_that_are_down():
    """All four must deliver; the outage of one delays everybody."""
    planned = cluster.PlannedOutages([[], [], [], [(0.5, 10.0)]])
    runs = simulate(
        cluster.System(1.0, outages=planned, workers=4), cluster.Synchronous(), updates=3
    )
    np.testing.assert_allclose(runs.t[0, 1:], [11.0, 12.0, 13.0])
    assert runs.idle_time[0, 0] == pytest.approx(10.0)


def test_a_buffer_keeps_workers_busy_and_bounds_what_waits():
    """A saturated server: the rate is its own, and staleness is set by what waits and computes."""
    for buffer, most in ((None, 3), (0, 4), (2, 6)):
        system = cluster.System(0.5, update_time=1.0, buffer=buffer, workers=4)
        runs = simulate(system, updates=500)
        assert runs.end_time[0] == pytest.approx(500.5)
        assert runs.staleness.quantile(0.99) == most
    free = cluster.System(0.5, update_time=1.0, buffer=10_000, workers=4)
    runs = simulate(free, updates=100)
    assert runs.idle_time.sum() == 0
    assert runs.staleness.quantile(0.99) > 6


BAD = {
    "times": lambda: cluster.Drifting(1.0, [1.0, 1.0], [1.0, 2.0]),
    "factors": lambda: cluster.Drifting(1.0, [0.0, 1.0], [1.0, 0.0]),
    "durations": lambda: cluster.Replay([1.0, -1.0]),
    "then": lambda: cluster.Replay([1.0], then="end"),
    "up": lambda: cluster.Outages(0.0, 1.0),
    "down": lambda: cluster.Outages(1.0, scipy.stats.norm()),
    "intervals[0]": lambda: cluster.PlannedOutages([[(3.0, 1.0)]]),
    "intervals": lambda: cluster.PlannedOutages(3.0),  # type: ignore[arg-type]
    "buffer": lambda: cluster.System(1.0, buffer=-1),
    "outages": lambda: cluster.System(1.0, outages=3.0),
    "compute_time": lambda: cluster.System(scipy.stats.norm(1.0, 1.0)),
    "compute_time[1]": lambda: cluster.System([1.0, -1.0]),
    "workers": lambda: cluster.System(1.0, workers=0),
    "communication": lambda: cluster.System(1.0, communication=-0.1),
    "update_time": lambda: cluster.System(1.0, update_time="slow"),
    "start": lambda: simulate(
        cluster.System(cluster.Replay([1.0]), workers=2), updates=1, start="stationary"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_machines_that_make_no_sense_are_refused_by_name(name):
    """Negative times, unknown laws and empty plans are refused when they are written down."""
    with pytest.raises(ArgumentError) as caught:
        BAD[name]()
    assert str(caught.value).startswith(f"{name} = ")


def test_a_gradient_that_is_not_a_number_ends_a_run_as_diverged():
    """Recorded, not raised: the run says when, and its losses say infinity."""
    objective = cluster.Objective.from_callables(
        lambda x: np.where(x < 0.5, np.nan, x), lambda x: (x * x).sum(), 1
    )
    for method in (cluster.AsyncSGD(), cluster.KAsync(2), cluster.TailTau()):
        runs = cluster.simulate(
            objective, method, cluster.System(1.0, workers=2), learning_rate=0.1, updates=100,
            records=101,
        )  # fmt: skip
        assert runs.status[0] == "diverged"
        assert runs.updates[0] < 100
        assert math.isinf(runs.loss[0, runs.updates[0]])


def test_outages_that_end_every_computation_are_refused():
    """No gradient would ever arrive; where one worker's computations are short, some do."""
    outages = cluster.Outages(up=0.5, down=0.0)
    options = {"learning_rate": 0.1, "workers": 2, "updates": 5, "rng": 1}
    objective, method = cluster.Quadratic(1.0), cluster.AsyncSGD()
    with pytest.raises(ArgumentError, match="end every computation"):
        cluster.simulate(objective, method, cluster.System(1.0, outages=outages), **options)
    able = cluster.System([1.0, 0.4], outages=outages)
    runs = cluster.simulate(objective, method, able, **options)
    assert runs.updates_at[-1] == 5
