"""Live runs: real processes on this machine, deaths and interruptions included.

Nothing here depends on how fast the machine is: only on what was logged, never on when.
"""

import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import sdde
from sdde.cluster import Softmax, live, live_run
from sdde.cluster.parameter_server import ParameterServer

dask = pytest.importorskip("dask")
pytest.importorskip("dask.distributed")
psutil = pytest.importorskip("psutil")

ROOT = Path(__file__).resolve().parents[2]


def children():
    """Processes of ours, without the tracker that Python's spawn keeps until the very end."""
    alive = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "resource_tracker" not in " ".join(child.cmdline()):
                alive.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return set(alive)


def line(batch=8):
    """Return a small objective: two classes of points on a line."""
    x = np.linspace(-1.0, 1.0, 40)
    return Softmax(np.c_[x, np.ones(40)], (x > 0.2).astype(int), regularisation=0.1, batch=batch)


@pytest.fixture(scope="module")
def run():
    pytest.importorskip("sklearn")
    before = children()
    result = live(workers=2, updates=60, batch=32, learning_rate=0.05, rng=3)
    assert children() <= before
    return result


@pytest.fixture(scope="module")
def cluster():
    from dask.distributed import LocalCluster

    with LocalCluster(
        n_workers=3, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as running:  # fmt: skip
        yield running


def test_every_applied_gradient_is_logged_in_order(run):
    """Versions count the updates one by one; each was read before it was applied."""
    trace = run.trace
    assert (run.status, run.lost_workers) == ("done", ())
    assert (len(trace), trace.updates, trace.workers) == (60, 60, 2)
    np.testing.assert_array_equal(trace["apply_version"], np.arange(1, 61))
    assert (trace["read_time"] <= trace["start_time"]).all()
    assert (trace["start_time"] <= trace["apply_time"]).all()
    assert (trace["gradient_norm"] > 0).all()
    assert trace.staleness().min() >= 0


def test_a_worker_reads_the_parameters_that_its_gradient_made(run):
    """Push and fetch are one exchange: the next cycle begins where the last one ended."""
    for worker in (0, 1):
        rows = run.trace["worker"] == worker
        for after, before in (("read_time", "apply_time"), ("read_version", "apply_version")):
            np.testing.assert_array_equal(run.trace[after][rows][1:], run.trace[before][rows][:-1])


def test_the_loss_history_ends_at_the_returned_parameters(run):
    """Excess loss: above the minimum of the digits, from the start to x."""
    objective = run.objective
    least = objective.optimum()[1]
    assert run.updates[0] == 0
    assert run.updates[-1] == 60
    assert run.loss[0] == objective.loss(objective.start) - least
    assert run.loss[-1] == objective.loss(run.x) - least
    assert 0 < run.loss[-1] < 0.8 * run.loss[0]
    assert (np.diff(run.t) >= 0).all()


def test_the_header_holds_the_command_and_the_settings(run):
    """The log alone must be enough to repeat the run and to plan from it."""
    header = run.trace.header
    assert header["command"] == (
        "sdde live --workers 2 --updates 60 --learning-rate 0.05 --batch 32 --seed 3"
    )
    assert float(header["learning_rate"]) == 0.05
    assert float(header["regularisation"]) == run.objective.regularisation
    assert "done, 60 updates" in repr(run)


def test_a_given_scheduler_runs_the_objective_of_the_user(cluster):
    """Progress ends at 1, the scheduler stays alive, and only its workers were used."""
    seen = []
    result = live(
        line(), workers=2, updates=40, learning_rate=0.1, rng=np.random.default_rng(1),
        scheduler=cluster.scheduler_address, progress=seen.append,
    )  # fmt: skip
    assert result.trace.updates == 40
    assert result.batch == 8
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert result.trace.header["command"].startswith("sdde.cluster.live(Softmax(")
    assert cluster.status.name == "running"


def test_too_many_workers_for_the_scheduler_are_refused(cluster):
    """Three dask workers with a thread each: the server's may be shared, a fourth is missing."""
    with pytest.raises(sdde.ArgumentError, match="workers = 4 exceeds the 3 threads"):
        live(line(), workers=4, updates=10, scheduler=cluster.scheduler_address)


def test_an_interruption_keeps_what_was_logged(cluster):
    """Ctrl-C in the calling process arrives as KeyboardInterrupt while it watches."""

    def interrupt(fraction):
        if fraction > 0:
            raise KeyboardInterrupt

    result = live(
        line(), workers=2, updates=10**7, scheduler=cluster.scheduler_address, progress=interrupt
    )
    assert result.status == "interrupted"
    assert 0 < len(result.trace) < 10**7
    assert result.updates[-1] == len(result.trace)


class Faulty:
    """An objective whose gradient fails."""

    inputs = np.zeros((4, 1))
    start = np.zeros(1)

    def gradient(self, x, rows):
        raise ZeroDivisionError("a fault of the objective")

    def loss(self, x):
        return 0.0


def test_an_error_of_the_objective_reaches_the_caller(cluster):
    """Not a hang, not a lost worker: the user's own exception."""
    with pytest.raises(ZeroDivisionError, match="a fault of the objective"):
        live(Faulty(), workers=2, updates=10, scheduler=cluster.scheduler_address)


def killer(cluster, place):
    """Return a progress function that kills one dask worker once gradients have come."""
    victims = []

    def kill(fraction):
        if fraction > 0.0 and not victims:
            pids = {worker.worker_address: worker.pid for worker in cluster.workers.values()}
            victims.append(pids[sorted(pids)[place]])
            os.kill(victims[0], signal.SIGKILL)

    return kill


def test_the_run_goes_on_when_a_worker_dies(cluster):
    """Its death is noticed, the other worker finishes, and a warning says who is missing."""
    cluster.wait_for_workers(3, timeout=60)
    with pytest.warns(sdde.SolutionWarning, match=r"workers \[0\] died"):
        result = live(
            line(batch=200), workers=2, updates=600,
            scheduler=cluster.scheduler_address, progress=killer(cluster, 1),
        )  # fmt: skip
    assert (result.status, result.lost_workers) == ("done", (0,))
    assert result.trace.updates == 600
    assert (result.trace["worker"][-100:] == 1).all()
    assert result.trace.header["lost_workers"] == "0"


def test_the_log_survives_the_death_of_the_server(cluster):
    """The parameters are gone, but what was fetched so far is returned, with a warning."""
    cluster.wait_for_workers(3, timeout=60)
    with pytest.warns(sdde.SolutionWarning, match="the server died"):
        result = live(
            line(), workers=2, updates=10**7,
            scheduler=cluster.scheduler_address, progress=killer(cluster, 0),
        )  # fmt: skip
    assert result.status == "lost"
    assert result.updates[-1] <= len(result.trace) < 10**7


def test_ctrl_c_in_a_terminal_ends_the_run_with_its_log(tmp_path):
    """The signal reaches every process of the group; only the first may act on it."""
    script = tmp_path / "training.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            import numpy as np
            from sdde.cluster import Softmax, live

            def tell(fraction):
                if fraction > 0:
                    print("running", flush=True)

            if __name__ == "__main__":
                x = np.linspace(-1.0, 1.0, 40)
                objective = Softmax(np.c_[x, np.ones(40)], (x > 0).astype(int), batch=8)
                run = live(objective, workers=2, updates=10**7, progress=tell)
                run.trace.write("run.csv")
                print(run.status, flush=True)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(script)], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        first = process.stdout.readline()
        if first:
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (first, process.returncode, err) == ("running\n", 0, "")
    assert out.splitlines()[-1] == "interrupted"
    assert sdde.cluster.Trace.read(tmp_path / "run.csv").updates > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"workers": 0}, "workers = 0"),
        ({"updates": 0}, "updates = 0"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0"),
        ({"batch": 0}, "batch = 0"),
        ({"progress": "yes"}, "progress = 'yes'"),
        ({"objective": object()}, "has no inputs"),
        ({"rng": -1}, "rng = -1"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "cannot be reached"),
        ({"scheduler": "nowhere"}, "cannot be reached"),
    ],
)
def test_misuse_is_refused_before_anything_starts(arguments, said, monkeypatch):
    """One clear message each."""
    monkeypatch.setattr(live_run, "REACH", 0.5)
    with pytest.raises(sdde.ArgumentError, match=said):
        live(**({"objective": line()} | arguments))
    assert dask.config.get("scheduler", None) is None  # what others compute is not sent there


@pytest.mark.parametrize("missing", ["dask.distributed", "sklearn.datasets"])
def test_a_missing_package_is_named_with_what_to_install(missing, monkeypatch):
    """The extras, not a traceback."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(sdde.ArgumentError, match=r"pip install .sdde\["):
        live(updates=10)


def test_a_diverging_run_stops_and_keeps_its_log():
    """Divergence is data: the server stops at the first parameters beyond 1e12."""
    server = ParameterServer(np.ones(2), learning_rate=1e7, updates=100, records=10)
    server.begin()
    assert server.push(0, None, 0.0) is not None
    assert server.push(0, np.ones(2), 0.0) is not None
    assert server.push(0, np.array([1e6, np.inf]), 0.0) is None
    rows, records, state = server.collect(0, 0)
    assert state == "diverged"
    assert [row[5] for row in rows] == [1, 2]
    assert [update for update, *_ in records] == [0, 2]
    assert server.push(1, np.ones(2), 0.0) is None


def test_updates_of_the_server_are_those_of_the_formula():
    """Two workers in turn: each gradient meets parameters that it was not computed on."""
    server = ParameterServer(np.array([1.0]), learning_rate=0.5, updates=3, records=1)
    first, second = server.push(0, None, 0.0), server.push(1, None, 0.0)
    third = server.push(0, first, 0.0)  # gradient x of the loss x**2 / 2
    assert server.push(1, second, 0.0) is not None
    assert server.push(0, third, 0.0) is None
    rows, records, state = server.collect(0, 0)
    assert state == "done"
    assert [x[0] for _, _, x in records] == [1.0, 0.5, 0.0, -0.25]
    assert [(row[0], row[4], row[5]) for row in rows] == [(0, 0, 1), (1, 0, 2), (0, 1, 3)]
