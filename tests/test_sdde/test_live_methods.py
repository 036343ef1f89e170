"""Live runs of other methods and objectives, targets, checkpoints: on real processes.

Nothing here depends on how fast the machine is: only on what was logged, never on when.
"""

import logging
import os
import signal

import numpy as np
import pytest

import sdde
from sdde import cluster

pytest.importorskip("dask.distributed")


@pytest.fixture(scope="module")
def local():
    from dask.distributed import LocalCluster

    with LocalCluster(
        n_workers=4, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as running:  # fmt: skip
        yield running


def softmax(**options):
    x = np.linspace(-1.0, 1.0, 40)
    return cluster.Softmax(
        np.c_[x, np.ones(40)], (x > 0.2).astype(int), regularisation=0.1, batch=8, **options
    )


def live(local, objective=None, **options):
    settings = {"workers": 3, "updates": 40, "learning_rate": 0.1, "rng": 1}
    return cluster.live(
        softmax() if objective is None else objective, scheduler=local.scheduler_address,
        **(settings | options),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "group"),
    [
        (cluster.KSync(2), 2), (cluster.Synchronous(), 3), (cluster.KBatchAsync(2), 2),
        (cluster.StalenessThreshold(2), 1), (cluster.DelayCompensated(0.5, decay=0.9), 1),
        (cluster.TailTau(window=(1, 3)), 1),
    ],
    ids=repr,
)  # fmt: skip
def test_each_method_makes_its_updates_and_logs_its_groups(local, method, group):
    """Every update is made by the gradients of one group, and the loss falls."""
    run = live(local, method=method)
    trace = run.trace
    assert (run.status, run.method, run.updates[-1]) == ("done", method, 40)
    made = trace["apply_version"][trace.applied]
    np.testing.assert_array_equal(np.bincount(made.astype(int))[1:], group)
    if isinstance(method, cluster.KSync | cluster.Synchronous):
        assert (trace.staleness() == 0).all()
    if isinstance(method, cluster.StalenessThreshold):
        assert trace.staleness().max() < 2
    assert run.loss[-1] < 0.8 * run.loss[0]
    assert trace.header["method"] == repr(method)


@pytest.mark.parametrize("kind", ["quadratic", "network", "functions"])
def test_any_objective_trains(local, kind):
    """Numbers, rows shared out among workers, and functions from this very file."""
    inputs, labels = softmax().inputs, softmax().labels
    objective = {
        "quadratic": cluster.Quadratic([1.0, 0.5], noise=0.01),
        "network": cluster.Network(
            inputs, labels, hidden=(4,), test=(inputs[::2], labels[::2])
        ).split(3),
        "functions": cluster.Objective.from_callables(
            lambda x: 2.0 * x, lambda x: float(x @ x), 2, noise=0.01, compile=False
        ),
    }[kind]
    run = live(local, objective, updates=60)
    assert (run.status, run.trace.updates) == ("done", 60)
    assert run.loss[-1] < 0.7 * run.loss[0]
    if kind == "network":
        assert run.measures["accuracy"][-1] == objective.accuracy(run.x)
        assert set(run.measures) == {"accuracy", "test_loss", "test_accuracy"}


def test_a_run_stops_on_its_target(local):
    """Long before its last update, at a record that is at or below the target."""
    run = live(local, updates=10**6, until_loss=0.1)
    assert run.status == "reached"
    assert run.loss.min() <= 0.1
    assert run.updates[-1] < 10**6


def test_a_checkpoint_is_continued_by_another_run(local, tmp_path):
    """Log and history go on: versions, times and records are those of one long run."""
    path = tmp_path / "run.npz"
    method = cluster.Composed(momentum=0.5)
    first = live(local, method=method, updates=30, checkpoint=path)
    second = live(local, method=method, updates=70, resume=path, rng=2)
    assert (first.status, second.status) == ("done", "done")
    np.testing.assert_array_equal(second.trace["apply_version"], np.arange(1, 71))
    np.testing.assert_array_equal(second.trace["apply_time"][:30], first.trace["apply_time"])
    assert (np.diff(second.t) >= 0).all()
    assert second.updates[-1] == 70
    np.testing.assert_array_equal(second.updates[:31], first.updates)
    np.testing.assert_array_equal(second.loss[:31], first.loss)
    with pytest.raises(sdde.ArgumentError, match=r"^resume = .* was made with learning_rate = 0.1"):
        live(local, method=method, learning_rate=0.2, resume=path)


def test_a_group_that_can_no_longer_form_ends_the_run(local, tmp_path):
    """Synchronous rounds of all three workers, one of which dies: noticed, logged, not a hang."""
    victims = []

    def kill(fraction):
        if fraction > 0.0 and not victims:
            pids = {worker.worker_address: worker.pid for worker in local.workers.values()}
            victims.append(pids[sorted(pids)[1]])
            os.kill(victims[0], signal.SIGKILL)

    local.wait_for_workers(4, timeout=60)
    path = tmp_path / "run.npz"
    with pytest.warns(sdde.SolutionWarning, match="workers"):
        run = live(
            local, method=cluster.Synchronous(), updates=10**7, progress=kill, checkpoint=path
        )
    assert run.status == "lost"
    assert len(run.lost_workers) == 1
    local.wait_for_workers(4, timeout=60)
    resumed = live(
        local, method=cluster.Synchronous(), updates=int(run.updates[-1]) + 5, resume=path
    )
    assert resumed.status == "done"
    assert resumed.updates[-1] == run.updates[-1] + 5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("method", {"method": cluster.StaleSynchronous(1)}),
        ("method", {"method": "async"}),
        ("until_loss", {"until_loss": 0.0}),
        ("resume", {"resume": "nowhere.npz"}),
        ("workers", {"objective": softmax().split(2)}),
    ],
)
def test_misuse_is_refused_before_anything_starts(name, options):
    """One clear message each."""
    with pytest.raises(sdde.ArgumentError, match=rf"^{name} = "):
        cluster.live(**({"objective": softmax(), "workers": 3} | options))
