"""Logs replayed in the simulator: the same arrivals again."""

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster


def simulate(system, **options):
    settings = {"learning_rate": 0.05, "updates": 400, "rng": 2, "trace": True, "records": 401}
    return cluster.simulate(
        cluster.Quadratic([1.0, 0.2], noise=0.1), cluster.AsyncSGD(), system, **(settings | options)
    )


def test_a_replayed_log_gives_the_same_arrivals_and_the_same_run():
    """Order, staleness and, with the same seed, losses; times to rounding of their differences."""
    laws = [scipy.stats.gamma(3, scale=s) for s in (0.2, 0.3, 0.5)]
    first = simulate(cluster.System(laws))
    again = simulate(first.trace().system(replay=True), rng=2)
    for name in ("worker", "read_version", "apply_version"):
        np.testing.assert_array_equal(again.trace()[name], first.trace()[name])
    np.testing.assert_allclose(again.trace()["apply_time"], first.trace()["apply_time"], rtol=1e-12)
    np.testing.assert_array_equal(again.loss, first.loss)


def test_a_replay_keeps_drift_that_a_law_would_lose():
    """Cycles grow along the log: replayed ones do too, drawn ones do not."""
    moments = np.cumsum(np.linspace(0.5, 1.5, 200))
    reads = np.concatenate([[0.0], moments[:-1]])
    log = cluster.Trace({
        "worker": np.zeros(200, int), "read_time": reads, "apply_time": moments,
        "read_version": np.arange(200), "apply_version": np.arange(1, 201),
    })  # fmt: skip
    replayed = simulate(log.system(replay=True), updates=200).trace()
    np.testing.assert_allclose(replayed["apply_time"], moments, rtol=1e-12)
    drawn = simulate(log.system(), updates=200).trace()
    early, late = np.split(drawn.cycle_time(), [100])
    assert abs(early.mean() - late.mean()) < 0.2  # 0.5 in the log; spread of a mean is 0.03


def test_the_packaged_run_is_replayed_with_its_staleness():
    """A real log of eight workers: mean staleness is that of the log, which is 7 but for the start.

    A worker stops after its last recorded cycle, so the replay ends where the log does.
    """
    log = cluster.packaged_trace()
    replayed = simulate(log.system(replay=True), updates=len(log) - 100).trace()
    assert replayed.workers == log.workers == 8
    assert abs(replayed.staleness().mean() - log.staleness().mean()) < 0.05
    assert replayed.update_rate() == pytest.approx(log.update_rate(), rel=0.02)


def test_a_log_without_workers_cannot_be_replayed():
    """Nobody knows whose times they are."""
    with pytest.raises(ArgumentError, match="cannot tell whose cycles to replay"):
        cluster.Trace({"compute_time": [1.0, 2.0]}).system(replay=True)
