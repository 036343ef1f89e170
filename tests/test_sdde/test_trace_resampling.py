"""A resampled trace: the block bootstrap tells standard errors, also of cycles that correlate."""

import numpy as np
import pytest

import sdde
from sdde.cluster import Trace, packaged_trace
from sdde.cluster.trace_resampling import block_length


def log_of(cycles, **extra):
    """Return the log of workers with these cycles, each computing half of it late."""
    table = []
    for worker, lengths in enumerate(cycles):
        begin = 0.1 * worker + np.concatenate([[0.0], np.cumsum(lengths)])
        table += [(worker, t, t + 0.5 * c) for t, c in zip(begin, lengths, strict=False)]
        table.append((worker, begin[-1], begin[-1] + 0.3))
    worker, read, apply = np.array(sorted(table, key=lambda row: row[2])).T
    seen = np.searchsorted(apply, read, side="right")
    versions = {"read_version": seen, "apply_version": np.arange(1, len(apply) + 1)}
    return Trace({"worker": worker.astype(int), "read_time": read, "apply_time": apply,
                  **versions, **extra})  # fmt: skip


def correlated(rng, size, memory):
    """Positive cycles with mean 10 and autocorrelation memory**lag."""
    steps = rng.normal(size=size) * np.sqrt(1.0 - memory**2)
    value = np.empty(size)
    value[0] = rng.normal()
    for i in range(1, size):
        value[i] = memory * value[i - 1] + steps[i]
    return 10.0 + value


def test_every_cycle_is_as_likely_and_keeps_its_own_delay():
    """Rows are only laid out anew: a cycle and the delay within it belong together."""
    trace = log_of([np.array([1.0, 2.0, 4.0, 8.0]), np.array([3.0, 5.0])])
    counts = dict.fromkeys([1.0, 2.0, 4.0, 8.0], 0)
    for seed in range(400):
        again = trace.resample(seed)
        cycles = again.cycles_by_worker()
        assert (len(cycles[0]), len(cycles[1])) == (4, 2)
        for code in (0, 1):
            np.testing.assert_allclose(again.delay(code)[:-1], 0.5 * cycles[code])
        for cycle in cycles[0].round(9).tolist():
            counts[cycle] += 1
    # Binomial(1600, 1/4): +- 5 standard deviations, false alarm below 3e-6.
    assert max(abs(n - 400) for n in counts.values()) < 5 * np.sqrt(1600 * 0.25 * 0.75)


def test_versions_are_those_of_the_new_order():
    """Slow reference: a server that counts, event by event."""
    rng = np.random.default_rng(3)
    trace = log_of(rng.exponential(size=(4, 30)) + 0.1).resample(7)
    events = sorted(
        [(t, 0, row) for row, t in enumerate(trace["apply_time"])]
        + [(t, 1, row) for row, t in enumerate(trace["read_time"])]
    )
    version = 0
    for _, reads, row in events:
        if reads:
            assert trace["read_version"][row] == version
        else:
            version += 1
            assert trace["apply_version"][row] == version


@pytest.mark.parametrize(("memory", "low", "high"), [(0.0, 0.9, 1.1), (0.8, 0.5, 1.1)])
def test_the_spread_over_resampled_logs_is_the_standard_error_of_the_mean_cycle(memory, low, high):
    """Against the exact variance of the mean of an autoregressive series.

    The mean over 20 logs of the bootstrap's variance over the exact one is 1.00 with deviation
    0.023 for independent cycles, and 0.78 with 0.076 at memory 0.8, where blocks of finite length
    lose the rest (12 repetitions with other seeds). False alarm rate about 1e-4.
    """
    rng = np.random.default_rng(11)
    count, workers = 400, 3
    k = np.arange(1, count)
    exact = (1.0 + 2.0 * ((1.0 - k / count) * memory**k).sum()) / (count * workers)
    found = []
    for _ in range(20):
        trace = log_of([correlated(rng, count, memory) for _ in range(workers)])
        means = [trace.resample(rng).cycle_time().mean() for _ in range(60)]
        found.append(np.var(means, ddof=1))
    assert low < np.mean(found) / exact < high


def test_slow_phases_that_workers_share_are_not_averaged_away():
    """All workers draw the same parts of the run; alone, 8 workers would seem 8 times as sure.

    The ratio is 0.86 with deviation 0.17 for one log (25 repetitions), hence 0.1 for the mean of
    three; without common blocks it is 0.35 times that. False alarm rate about 1e-3.
    """
    rng = np.random.default_rng(5)
    k = np.arange(1, 600)
    exact = np.sqrt((1.0 + 2.0 * ((1.0 - k / 600) * 0.9**k).sum()) / 600)
    ratios = []
    for _ in range(3):
        common = correlated(rng, 600, 0.9)
        trace = log_of([common + 0.2 * rng.normal(size=600) for _ in range(8)])
        means = [trace.resample(seed).cycle_time().mean() for seed in range(60)]
        ratios.append(np.std(means) / exact)
    assert 0.5 < np.mean(ratios) < 1.2


def test_blocks_are_as_long_as_the_rule_for_an_autoregressive_series_says():
    """There G / g = 2 r / (1 - r**2), with r the correlation of neighbours."""
    rng = np.random.default_rng(2)
    independent = [block_length([rng.normal(size=2000)]) for _ in range(20)]
    assert np.median(independent) <= 2
    found = [block_length([correlated(rng, 4000, 0.6)]) for _ in range(20)]
    wanted = (1.5 * 4000) ** (1 / 3) * (2 * 0.6 / (1 - 0.36)) ** (2 / 3)
    assert 0.7 * wanted < np.median(found) < 1.4 * wanted
    assert block_length([np.ones(500)]) == 1
    assert block_length([]) == 1


def test_a_resampled_trace_gives_a_system_and_repeats_with_its_seed():
    """This is what the planner does with it."""
    trace = packaged_trace()
    first, second = trace.resample(3), trace.resample(np.random.SeedSequence(3))
    np.testing.assert_array_equal(first["apply_time"], second["apply_time"])
    assert first.header["resampled"].startswith("in blocks of ")
    assert first.workers == first.system().workers == 8
    assert len(first) == len(trace)
    assert first.updates == trace.updates
    assert 0.8 < first.update_rate() / trace.update_rate() < 1.25
    assert abs(first.staleness().mean() - 7.0) < 0.5
    assert "loss" not in first


def test_groups_and_discarded_gradients_stay_groups_and_discarded():
    """As many updates come from as many gradients."""
    rng = np.random.default_rng(1)
    plain = log_of(rng.exponential(size=(3, 40)) + 0.1)
    applied = np.arange(len(plain))
    grouped = Trace({**plain.data, "apply_version": applied // 3 + 1,
                     "read_version": plain["read_version"] // 3})  # fmt: skip
    again = grouped.resample(1)
    assert again.updates == grouped.updates
    assert np.bincount(again["apply_version"])[1:-1].tolist() == [3] * (again.updates - 1)
    dropped = rng.random(len(plain)) < 0.2
    version = np.cumsum(~dropped)
    seen = np.minimum(plain["read_version"], version - ~dropped)
    thinned = Trace(
        {**plain.data, "discarded": dropped, "apply_version": version, "read_version": seen}
    )
    again = thinned.resample(2)
    assert 0 < again["discarded"].sum() < len(plain) // 2
    assert again.updates == again.applied.sum()


@pytest.mark.parametrize(
    "data",
    [
        {"compute_time": [1.0, 2.0, 3.0]},
        {"staleness": [0, 1, 2]},
        {"worker": [0, 0, 1], "compute_time": [1.0, 2.0, 3.0], "discarded": [0, 1, 0]},
        {"read_time": [0.0, 0.5], "apply_time": [1.0, 2.5], "read_version": [0, 0],
         "apply_version": [1, 2]},
        {"worker": [0, 1, 0], "apply_time": [1.0, 2.0, 3.0], "apply_version": [1, 2, 3]},
        {"worker": ["a", "b"], "read_time": [0.0, 0.0], "apply_time": [1.0, 2.0]},
    ],
)  # fmt: skip
def test_short_and_partial_logs_are_resampled_for_what_they_tell(data):
    """Whatever quantity a log tells, a resampled one tells too, from values that were there."""
    trace = Trace(data)
    again = trace.resample(4)
    assert again.worker_names == trace.worker_names
    for name in ("compute_time", "staleness", "cycle_time", "update_rate"):
        try:
            values = set(np.ravel(getattr(trace, name)()).tolist())
        except sdde.ArgumentError:
            continue
        if name != "update_rate":
            assert set(np.ravel(getattr(again, name)()).tolist()) <= values


def test_a_log_without_cycles_is_refused():
    """Nothing would vary, and the planner would be too sure."""
    with pytest.raises(sdde.ArgumentError, match="cannot be resampled"):
        Trace({"apply_time": [1.0, 2.0]}).resample(1)
    with pytest.raises(sdde.ArgumentError, match="is not a seed"):
        Trace({"compute_time": [1.0, 2.0]}).resample("x")
