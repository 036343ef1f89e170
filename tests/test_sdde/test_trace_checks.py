"""Verdicts on made-up runs whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from sdde.cluster import Trace
from sdde.cluster.trace_checks import _gaps, _superposition_distance

COLUMNS = ("worker", "read_time", "apply_time", "read_version", "apply_version")


def renewal(draw, workers, cycles, rng):
    """Return the trace of workers that read, compute for `draw(rng, cycles)` and start over."""
    ends = [rng.uniform() + np.cumsum(draw(rng, cycles)) for _ in range(workers)]
    stop = min(end[-1] for end in ends)
    rows = sorted((t, w, k) for w, end in enumerate(ends) for k, t in enumerate(end) if t <= stop)
    read = [(0.0, 0)] * workers
    table = []
    for version, (t, w, _) in enumerate(rows, start=1):
        table.append((w, read[w][0], t, read[w][1], version))
        read[w] = (t, version)
    return Trace(dict(zip(COLUMNS, np.array(table).T, strict=True)))


def exponential(rng, size):
    return rng.exponential(size=size)


def test_true_claims_are_refused_in_at_most_one_per_cent_of_logs():
    """Memoryless workers make every claim true; the bound is passed by chance once in a million."""
    rng = np.random.default_rng(11)
    refused: dict[str, int] = {}
    logs = 300
    for _ in range(logs):
        for finding in renewal(exponential, 4, 200, rng).check().findings:
            assert finding.holds is not None, finding
            refused[finding.claim] = refused.get(finding.claim, 0) + (not finding.holds)
    assert len(refused) == 7
    assert max(refused.values()) <= stats.binom.isf(1e-6 / 7, logs, 0.01), refused


def test_the_limit_of_the_gaps_is_their_one_per_cent_point():
    """With few gaps the practical range does not hide the statistic: 1 % of 4000 logs fail."""
    rng = np.random.default_rng(3)
    logs = 4000
    refused = 0
    for _ in range(logs):
        times = np.cumsum(rng.exponential(size=60))
        distance, (_, limit), *_ = _gaps(Trace({"worker": np.zeros(60, int), "apply_time": times}))
        refused += distance > limit
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], logs, 0.01)
    assert low <= refused <= high


def test_regular_workers_are_not_poisson():
    """Few workers with equal cycles: the counts hardly vary over long windows."""
    report = renewal(
        lambda rng, k: rng.normal(1.0, 0.01, k), 4, 500, np.random.default_rng(2)
    ).check()
    assert report.near_poisson is False
    assert report.arrivals_over.holds is False
    assert report.arrivals_over.value < 0.1
    assert report.gaps.holds is False
    assert report.alike.holds
    assert report.steady.holds


def test_many_workers_with_a_spread_of_cycles_look_poisson_within_a_cycle():
    """The approximation is local: gaps are exponential while long windows are too regular."""
    draw = lambda rng, k: rng.gamma(4.0, 0.25, k)  # noqa: E731
    report = renewal(draw, 32, 300, np.random.default_rng(4)).check()
    assert report.arrivals_within.holds
    assert report.gaps.holds
    assert report.arrivals_over.holds is False
    assert report.arrivals_over.value == pytest.approx(
        0.25, abs=0.15
    )  # squared variation of gamma(4)


def test_drift_unlike_workers_and_memory_are_seen():
    """Each fault is found by its own question; memory makes the others' p-values optimistic."""
    rng = np.random.default_rng(6)
    drifting = renewal(lambda g, k: g.gamma(9.0, 1 / 9, k) * np.linspace(1, 1.6, k), 4, 400, rng)
    rates = iter([1.0, 1.0, 1.0, 2.0])
    unlike = renewal(lambda g, k: g.gamma(9.0, next(rates) / 9, k), 4, 400, rng)

    def slow_changes(g, k):
        level = np.repeat(g.uniform(0.5, 1.5, k // 5 + 1), 5)[:k]
        return level * g.uniform(0.9, 1.1, k)

    correlated = renewal(slow_changes, 4, 400, rng)
    verdicts = [
        (report.steady.holds, report.alike.holds, report.independent.holds)
        for report in (drifting.check(), unlike.check())
    ]
    assert verdicts[0][:2] == (False, True)
    assert verdicts[1] == (True, False, True)
    assert correlated.check().independent.holds is False
    assert drifting.check().steady.value == pytest.approx(0.46, abs=0.1)  # 0.6 / 1.3 of the median


def test_discarded_work_shows_in_the_number_in_flight():
    """Two gradients in flight per worker double the staleness: the plan would be wrong."""
    trace = renewal(exponential, 4, 300, np.random.default_rng(8))
    assert trace.check().in_flight.holds
    double = Trace(dict(trace.data) | {"worker": trace["worker"] // 2})
    assert double.check().in_flight.holds is False


@pytest.mark.parametrize("workers", [2, 5, 16])
def test_the_expected_distance_of_gaps_is_exact_for_regular_workers(workers):
    """Cycles of length 1: P(gap > t) = (1 - t)**(workers - 1), straight from the phases."""
    t = np.linspace(0.0, 10.0, 501) / workers
    exact = np.where(t < 1, np.clip(1 - t, 0, None) ** (workers - 1), 0.0)
    expected = np.abs(exact - np.exp(-workers * t)).max()
    assert _superposition_distance([np.ones(3)] * workers) == pytest.approx(expected, abs=1e-12)


def test_the_expected_distance_of_gaps_vanishes_for_memoryless_workers():
    """Measured exponential cycles: only sampling noise of order 1 / sqrt(40000) remains."""
    lengths = list(np.random.default_rng(9).exponential(size=(4, 40_000)))
    assert _superposition_distance(lengths) < 5 / np.sqrt(40_000)


def test_one_worker_is_handled():
    """Sequential training: staleness 0, nobody to compare with."""
    trace = renewal(exponential, 1, 400, np.random.default_rng(10))
    report = trace.check()
    assert trace.staleness().max() == 0
    assert report.alike.holds is None
    assert report.in_flight.holds
    assert "nobody to compare with" in repr(report)


def test_rounds_with_late_gradients_between_kept_ones_are_one_run():
    """In a round of two a late gradient finds the version that the kept ones leave: one less."""
    rounds, time = 30, np.arange(90.0)
    trace = Trace({
        "worker": np.tile([0, 2, 1], rounds),
        "read_time": np.maximum(time - 5.0, 0.0), "apply_time": time,
        "read_version": np.maximum(np.repeat(np.arange(rounds), 3) - np.tile([0, 1, 0], rounds), 0),
        "apply_version": np.repeat(np.arange(rounds), 3) + np.tile([1, 0, 1], rounds),
        "discarded": np.tile([False, True, False], rounds),
    })  # fmt: skip
    assert trace.updates == rounds
