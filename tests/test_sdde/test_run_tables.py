"""Curves, targets of any quantity, tables and figures of simulated runs."""

import math

import matplotlib as mpl
import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster

mpl.use("Agg")


def simulate(method=None, *, law=1.0, workers=1, alpha=0.5, noise=0.0, **options):
    return cluster.simulate(
        cluster.Quadratic(1.0, noise=noise), method or cluster.AsyncSGD(), cluster.System(law),
        learning_rate=alpha, workers=workers, rng=1, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def learnt():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=120)
    inputs = 3.0 * np.eye(3)[labels] + rng.normal(size=(120, 3))
    net = cluster.Network(
        inputs[:80], labels[:80], hidden=(5,), batch=4, test=(inputs[80:], labels[80:])
    )
    return cluster.simulate(
        net, cluster.AsyncSGD(), cluster.System(scipy.stats.expon(), workers=4),
        learning_rate=0.2, updates=400, runs=6, rng=2, records=41, trace=True,
    )  # fmt: skip


def test_curves_against_time_updates_and_gradients_are_the_same_losses():
    """One worker with unit times and groups of three: update k at time 3 k, after 3 k gradients."""
    runs = simulate(cluster.KBatchAsync(3), updates=5, records=6)
    losses = 0.5 * 0.25 ** np.arange(6.0)
    np.testing.assert_array_equal(runs.gradients_at[0], 3.0 * np.arange(6))
    np.testing.assert_array_equal(runs.curve(at=[0, 2.9, 3, 15]).mean, losses[[0, 0, 1, 5]])
    np.testing.assert_array_equal(runs.curve(against="updates").at, np.arange(6))
    np.testing.assert_array_equal(runs.curve(against="updates").mean, losses)
    np.testing.assert_array_equal(runs.curve(against="gradients").mean, losses)
    assert runs.time_to(losses[2], against="updates").value == 2.0
    assert runs.time_to(losses[2], "median", against="gradients").value == 6.0
    assert runs.time_to(losses[2], "median").value == 6.0


def test_dropped_gradients_count_among_gradients():
    """Half of the gradients are thinned out: about twice as many arrive as are applied."""
    runs = simulate(cluster.RandomThinning(0.5), alpha=0.1, updates=2000, records=2)
    total = runs.worker_counts.sum() + runs.discarded.sum()
    assert runs.gradients_at[0, -1] == total
    assert abs(total - 4000) < 4.9 * math.sqrt(2000 * 0.5) / 0.5  # negative binomial


def test_a_curve_gives_mean_error_and_quantiles_over_the_runs():
    """Against NumPy on the records, which all runs share."""
    runs = simulate(noise=0.5, alpha=0.1, time=20.0, runs=40, records=11)
    curve = runs.curve()
    np.testing.assert_array_equal(curve.at, runs.t)
    np.testing.assert_allclose(curve.mean, runs.loss.mean(axis=0))
    np.testing.assert_allclose(curve.error, runs.loss.std(axis=0, ddof=1) / math.sqrt(40))
    ordered = np.sort(runs.loss, axis=0)
    for name, low, high in (("low", 1, 3), ("median", 18, 21), ("high", 36, 39)):
        assert (ordered[low] <= getattr(curve, name)).all()
        assert (getattr(curve, name) <= ordered[high]).all()


def test_times_to_an_accuracy_and_to_a_test_error(learnt):
    """An accuracy is reached from below; the times agree with the records of each run."""
    target = 0.8
    found = learnt.time_to(target, "median", of="accuracy", against="updates", settle=False)
    own = [learnt.updates_at[np.argmax(row >= target)] for row in learnt.accuracy]
    assert found.value == np.median(own)
    assert found.low <= found.value <= found.high
    mean = learnt.time_to(target, of="accuracy", settle=False)
    assert 0 < mean.low <= mean.value <= mean.high < learnt.end_time.min()
    error = learnt.time_to(0.2, "median", of="test_error", against="updates", settle=False)
    own = [learnt.updates_at[np.argmax(row <= 0.2)] for row in learnt.test_error]
    assert error.value == np.median(own)


def test_concurrency_counts_busy_workers():
    """In synchronous rounds of exponential times a worker is busy for a share 1 / H_n of the time.

    The mean of 4 independent workers' maximum is H_4 = 25/12; false alarms 1e-6.
    """
    law = scipy.stats.expon()
    busy, error = simulate(
        cluster.Synchronous(), law=law, workers=4, alpha=0.1, updates=300, runs=60
    ).concurrency()
    assert abs(busy - 4.0 / (25.0 / 12.0)) < 4.9 * error
    assert simulate(law=law, workers=4, alpha=0.1, updates=50).concurrency()[0] == 4.0


def test_tables_hold_every_record(learnt):
    """The same numbers under the same names."""
    pd, xr = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    table = learnt.to_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert list(table) == [
        "run", "time", "updates", "gradients", "loss", "accuracy", "test_loss", "test_accuracy",
    ]  # fmt: skip
    assert len(table) == learnt.loss.size
    np.testing.assert_array_equal(table["gradients"], table["updates"])
    data = learnt.to_xarray()
    assert isinstance(data, xr.Dataset)
    np.testing.assert_array_equal(data["loss"], learnt.loss)
    np.testing.assert_array_equal(data["accuracy"].sel(run=2), learnt.accuracy[2])
    np.testing.assert_array_equal(data["applied"], learnt.worker_counts)
    np.testing.assert_array_equal(data["staleness_counts"], learnt.staleness.counts)
    assert dict(data.sizes) == {
        "run": 6, "record": 41, "worker": 4, "staleness": len(learnt.staleness.counts),
    }  # fmt: skip
    assert data.attrs["workers"] == 4


def test_figures_show_curves_staleness_and_workers(learnt):
    """What is drawn is what was recorded."""
    loss = learnt.plot()
    assert (loss.get_xlabel(), loss.get_yscale()) == ("time", "log")
    lines = learnt.plot(kind="test_error", against="updates").lines
    assert len(lines) == 7
    np.testing.assert_array_equal(lines[2].get_ydata(), learnt.test_error[2])
    np.testing.assert_array_equal(lines[-1].get_ydata(), learnt.curve("test_error", "updates").mean)
    many = simulate(noise=0.5, alpha=0.1, time=20.0, runs=40, records=11)
    band = many.plot()
    assert (len(band.lines), len(band.collections)) == (2, 1)
    np.testing.assert_array_equal(band.lines[0].get_ydata(), many.curve().median)
    stale = learnt.plot(kind="staleness")
    assert stale.patches[3].get_height() == learnt.staleness.pmf[3]
    workers = learnt.plot(kind="workers", run=1, until=5.0)
    rows = learnt.log[(learnt.log[:, 0] == 1) & (learnt.log[:, 2] < 5.0)]
    assert sum(len(c.get_paths()) for c in workers.collections) == len(rows)
    mpl.pyplot.close("all")


def test_diverged_runs_are_named_in_the_figure_and_infinite_in_the_curve():
    """Divergence is data."""
    runs = simulate(alpha=3.0, updates=1000, runs=3, records=11)
    assert runs.plot().get_title() == "3 of 3 runs diverged"
    assert math.isinf(runs.curve(against="updates").mean[-1])
    assert math.isnan(runs.time_to(1e-3).value)
    mpl.pyplot.close("all")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("against", lambda runs: runs.curve(against="epochs")),
        ("runs", lambda runs: runs.curve("accuracy")),
        ("at", lambda runs: runs.curve(at=[-1.0])),
        ("against", lambda runs: runs.time_to(0.1, against="epochs")),
        ("loss", lambda runs: runs.time_to(1.0, of="accuracy")),
        ("run", lambda runs: runs.plot(kind="workers")),
        ("runs", lambda runs: runs.plot(kind="nonsense")),
    ],
)
def test_questions_that_have_no_answer_are_refused(name, call):
    """The message says what would work."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        call(simulate(updates=5))
