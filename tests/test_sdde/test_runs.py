"""Questions to simulated runs: loss at a time, times to a loss, endings, plots."""

import math

import matplotlib as mpl
import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster

mpl.use("Agg")


def simulate(eigenvalues=1.0, *, noise=0.0, law=1.0, workers=1, alpha=0.5, **options):
    return cluster.simulate(
        cluster.Quadratic(eigenvalues, noise=noise), cluster.AsyncSGD(), cluster.System(law),
        learning_rate=alpha, workers=workers, rng=1, **options,
    )  # fmt: skip


def test_records_cover_the_run_at_updates_or_at_times():
    """One worker with unit times: update k happens at time k and leaves x = 2^-k."""
    by_update = simulate(updates=10, records=6)
    np.testing.assert_array_equal(by_update.updates_at, [0, 2, 4, 6, 8, 10])
    np.testing.assert_array_equal(by_update.t, [[0, 2, 4, 6, 8, 10]])
    np.testing.assert_array_equal(by_update.loss[0], 0.5 * 0.25 ** np.array([0.0, 2, 4, 6, 8, 10]))
    by_time = simulate(time=5.0, records=11)
    np.testing.assert_array_equal(by_time.updates_at, [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]])
    np.testing.assert_array_equal(by_time.loss[0], 0.5 * 0.25 ** by_time.updates_at[0])
    assert by_update.end_time[0] == 10.0
    assert by_time.end_time[0] == 5.0


def test_loss_at_holds_its_value_between_updates_and_is_nan_after_the_end():
    """The parameters change only at updates; nobody knows what comes after the last."""
    runs = simulate(updates=3, records=4)
    values = runs.loss_at([0.0, 0.99, 1.0, 2.5, 3.0, 3.1])[0]
    np.testing.assert_array_equal(values[:5], 0.5 * 0.25 ** np.array([0, 0, 1, 2, 3]))
    assert math.isnan(values[5])


def test_a_run_stops_at_the_first_update_that_reaches_the_loss():
    """x halves each unit of time: 0.5 * 4^-k <= 1e-3 first at k = 5."""
    alone = simulate(until_loss=1e-3)
    assert alone.status[0] == "reached"
    assert alone.end_time[0] == 5.0
    assert alone.updates[0] == 5
    assert alone.loss[0, -1] == 0.5 * 4.0**-5
    within = simulate(until_loss=1e-3, time=4.5)
    assert within.status[0] == "done"
    longer = simulate(until_loss=1e-3, time=9.0, records=10)
    np.testing.assert_array_equal(np.isnan(longer.loss[0]), np.arange(10) > 5)


def test_divergence_is_a_status_and_an_infinite_loss():
    """Learning rate times curvature above 2 doubles x at each update; nothing raises."""
    runs = simulate(alpha=3.0, updates=1000, records=11)
    assert runs.status[0] == "diverged"
    assert runs.updates[0] == 40  # 2^40 > 1e12
    assert np.isinf(runs.loss_at(100.0)[0, 0])
    assert np.isinf(runs.mean_loss([100.0])[0][0])


def test_median_time_is_that_of_the_runs():
    """One worker, exponential cycles: the time to the fifth update has the Erlang law; alarms
    1e-6.
    """
    runs = simulate(law=scipy.stats.expon(), until_loss=1e-3, runs=4001)
    found = runs.time_to(1e-3, "median")
    median = scipy.stats.gamma(5).median()
    error = 0.5 / math.sqrt(4001) / scipy.stats.gamma(5).pdf(median)
    assert abs(found.value - median) < 4.9 * error
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.3)


def test_time_of_the_mean_loss_settles_after_the_last_excursion():
    """Two workers in step overshoot: the first passage comes before the last."""
    runs = simulate(workers=12, alpha=0.12, time=40.0, records=4001)
    target = 0.05
    first, last = runs.time_to(target, settle=False), runs.time_to(target)
    assert first.value < last.value
    mean, _ = runs.mean_loss()
    assert np.all(mean[runs.t > last.value + 0.01] <= target)
    assert mean[np.searchsorted(runs.t, last.value) - 1] > target
    assert math.isnan(last.low)
    assert math.isnan(runs.time_to(1e-30).value)


def test_bootstrap_interval_of_the_mean_time_covers_the_exact_time():
    """One memoryless worker: E x^2 decays at rate 1 - (1 - alpha)^2, so the time is known."""
    alpha, target = 0.2, 0.05
    exact = math.log(0.5 / target) / (1 - (1 - alpha) ** 2)
    hits = 0
    for seed in range(60):
        runs = cluster.simulate(
            cluster.Quadratic(1.0), cluster.AsyncSGD(),
            cluster.System(scipy.stats.expon(), workers=1), learning_rate=alpha,
            time=2 * exact, runs=400, records=100, rng=seed,
        )  # fmt: skip
        found = runs.time_to(target)
        hits += found.low <= exact <= found.high
    # At coverage 0.9, below the nominal 0.95 by the slack of the bootstrap: false alarms 1e-6.
    assert hits > scipy.stats.binom(60, 0.9).ppf(1e-6)


def test_plot_draws_runs_and_their_mean_on_given_axes():
    """The caller's axes are used and returned."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    runs = simulate(law=scipy.stats.expon(), workers=3, alpha=0.1, updates=50, runs=3)
    assert runs.plot(ax) is ax
    assert len(ax.lines) == 4
    plt.close(figure)


def test_bad_questions_are_refused():
    """A question without an answer says what is wrong with it."""
    runs = simulate(updates=3)
    with pytest.raises(ArgumentError, match=r"^loss = "):
        runs.time_to(-1.0)
    with pytest.raises(ArgumentError, match=r"^statistic = "):
        runs.time_to(0.1, "mode")
    with pytest.raises(ArgumentError, match=r"^times = "):
        runs.loss_at([-1.0])


def test_progress_does_not_change_the_runs(capsys):
    """The bar only watches."""
    shown = simulate(
        law=scipy.stats.expon(), workers=3, alpha=0.1, updates=500, runs=3, progress=True
    )
    silent = simulate(law=scipy.stats.expon(), workers=3, alpha=0.1, updates=500, runs=3)
    np.testing.assert_array_equal(shown.loss, silent.loss)
    assert "run" in capsys.readouterr().err


def test_the_table_holds_each_record_until_the_end_of_its_run():
    """Rows after the end would be empty, so there are none."""
    runs = simulate(law=scipy.stats.expon(), time=4.0, until_loss=1e-2, runs=5, records=9)
    table = runs.to_dataframe()
    assert list(table.columns) == ["run", "time", "updates", "gradients", "loss"]
    assert len(table) == np.isfinite(runs.loss).sum()
    row = table[(table.run == 3) & (table.time == 1.0)].iloc[0]
    assert row.loss == runs.loss[3, 2]
    assert row.updates == runs.updates_at[3, 2]


def test_fast_workers_weigh_more():
    """Exponential workers of mean 1 and 3: their shares are 3/4 and 1/4; false alarms 1e-6."""
    runs = cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(),
        cluster.System([scipy.stats.expon(), scipy.stats.expon(scale=3.0)]),
        learning_rate=0.01, updates=20_000, rng=5,
    )  # fmt: skip
    error = 2 * math.sqrt(0.75 * 0.25 / 20_000)
    assert np.all(np.abs(runs.sampling_weights[0] - [1.5, 0.5]) < 4.9 * error)
    assert runs.staleness.fresh == runs.staleness.pmf[0]
    assert runs.staleness.quantile(0.0) == 0
    with pytest.raises(ArgumentError, match=r"^q = "):
        runs.staleness.quantile(2.0)
