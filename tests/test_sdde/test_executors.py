"""Blocks of work on executors: the numbers of one process, whatever happens to the workers."""

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import sdde
from sdde import cluster
from sdde.solving import executors, spreading
from sdde.solving.moments import plan_columns
from sdde.solving.reducing import GROUP, Accumulator
from sdde.solving.saving import plan_saves
from sdde.solving.sketch import SIZE, Sketch
from sdde.theory import simulated_times

ROOT = Path(__file__).resolve().parents[2]
TIMES = [0.5, 1.0, 3.0]
KEPT = {
    "x": TIMES,
    "moments": sdde.Moments(TIMES, [0.1, 0.5], covariance=True, lags=0.5),
    "mean": sdde.Moments(TIMES),
}


def problem(rate=0.8):
    return sdde.Problem(lambda t, x, late: -rate * late[0], 0.4, delays=[0.7], history=1.0)


def pair():
    return sdde.Problem(
        lambda t, x, late: -0.8 * late[0], 0.4, delays=[0.7], history=[1.0, 2.0],
        jumps=sdde.Jump(2.0, lambda t, x, late, mark: -0.1 * late[0]),
    )  # fmt: skip


WATCHED = {
    "until": sdde.Hit(lambda t, x, late: x[0] - 1.5),
    "functionals": {"largest": sdde.Functional(lambda t, x, late: x, "maximum")},
}


def assert_same(found, expected):
    """Every number of two solutions, bit for bit."""
    np.testing.assert_array_equal(found.x, expected.x)
    for name in ("status", "end_time", "hit_time"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.functionals.keys() == expected.functionals.keys()
    for name, values in expected.functionals.items():
        np.testing.assert_array_equal(found.functionals[name], values)
    if expected.moments is not None:
        for name in ("mean", "var", "covariance", "quantiles", "autocovariance", "rank_error"):
            np.testing.assert_array_equal(
                getattr(found.moments, name), getattr(expected.moments, name), err_msg=name
            )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Small runs are worth sending, so that tests are short."""
    monkeypatch.setattr(spreading, "_FEW_STEPS", 100)


@pytest.fixture(scope="module")
def processes():
    pytest.importorskip("cloudpickle")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def dask_client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("kept", KEPT)
def test_processes_and_threads_give_the_numbers_of_one_process(processes, kept):
    """The numbers of a path depend on the seed and its index; moments on the paths alone."""
    run = {"dt": 0.05, "paths": 9000, "rng": 5, "save": KEPT[kept], **WATCHED}
    expected = sdde.solve(pair(), (0, 3), **run)
    assert set(expected.status) == {"done", "hit"}
    assert_same(sdde.solve(pair(), (0, 3), executor=processes, **run), expected)
    with ThreadPoolExecutor(2) as pool:
        assert_same(sdde.solve(pair(), (0, 3), executor=pool, **run), expected)


def test_a_solution_from_processes_can_be_continued(processes):
    """Its checkpoint comes back with it."""
    here = sdde.solve(pair(), (0, 2), dt=0.05, paths=70, rng=5)
    there = sdde.solve(pair(), (0, 2), dt=0.05, paths=70, rng=5, executor=processes)
    assert there.checkpoint is not None
    assert_same(there.extend(3.0), here.extend(3.0))


def test_shared_noise_and_earlier_solutions_travel(processes):
    """What a problem holds beside functions: recorded increments, and a state for each path."""
    first = sdde.solve(problem(), (0, 2), dt=0.05, paths=200, rng=5)
    noise = sdde.Brownian(7, finest=0.05, antithetic=True)
    further = sdde.Problem(lambda t, x, late: -late[0], 0.4, delays=[0.7], history=first)
    run = {"dt": 0.1, "paths": 200, "noise": noise}
    expected = sdde.solve(further, (2, 3), **run)
    assert_same(sdde.solve(further, (2, 3), executor=processes, **run), expected)


def test_a_lost_dask_worker_changes_nothing(dask_client):
    """One of two worker processes is killed half-way; its blocks are computed again."""
    pids = list(dask_client.run(os.getpid).values())
    run = {"dt": 0.01, "paths": 60_000, "rng": 3, "save": KEPT["moments"]}
    expected = sdde.solve(problem(), (0, 3), **run)
    killed = []

    def kill_one(finished, paths):
        if finished > 0.4 * paths and not killed:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(finished)

    found = sdde.solve(problem(), (0, 3), executor=dask_client, progress=kill_one, **run)
    assert killed[0] < 60_000
    assert_same(found, expected)


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_functions_of_a_script_travel(kind, tmp_path, request):
    """Lambdas, closures and functions of `__main__`, to processes that start afresh."""
    address = ""
    if kind == "dask":
        address = request.getfixturevalue("dask_client").scheduler.address
    script = tmp_path / "script.py"
    script.write_text(
        f"address = {address!r}\n"
        "import multiprocessing, numpy as np, sdde\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "slope = 0.3\n"
        "def drift(t, x, late, rate):\n"
        "    return -rate * late[0] + slope * np.sin(t)\n"
        "def noise_of(level):\n"
        "    return lambda t, x, late, rate: level * np.cos(x)\n"
        "if __name__ == '__main__':\n"
        "    made = sdde.Problem(drift, noise_of(0.2), delays=1.0, history=lambda t: 1.0 + t,\n"
        "                        args=(0.9,))\n"
        "    run = dict(dt=0.05, paths=300, rng=1, save='final')\n"
        "    if address:\n"
        "        from dask.distributed import Client\n"
        "        pool = Client(address)\n"
        "    else:\n"
        "        pool = ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))\n"
        "    with pool:\n"
        "        there = sdde.solve(made, (0, 2), executor=pool, **run)\n"
        "    assert np.array_equal(there.x, sdde.solve(made, (0, 2), **run).x)\n"
        "    print('same')\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr


class _Broken(ThreadPoolExecutor):
    """Breaks after some tasks, as a pool of processes does when one is killed."""

    left = 3

    def submit(self, function, /, *args):
        self.left -= 1
        if self.left >= 0:
            return super().submit(function, *args)
        if self.left == -1:
            broken = Future()
            broken.set_exception(BrokenError("a process ended"))
            return broken
        raise BrokenError("a process ended")


BrokenError = executors.concurrent.futures.BrokenExecutor


def test_what_a_broken_pool_leaves_is_done_here():
    """A pool that lost a process takes no more work; nobody else can rebuild it."""
    run = {"dt": 0.05, "paths": 2000, "rng": 5, "save": KEPT["moments"]}
    expected = sdde.solve(problem(), (0, 3), **run)
    with (
        _Broken(1) as pool,
        pytest.warns(sdde.SolutionWarning, match="The executor lost its workers"),
    ):
        found = sdde.solve(problem(), (0, 3), executor=pool, **run)
    assert_same(found, expected)


@pytest.mark.slow
def test_a_killed_process_of_a_pool_changes_nothing():
    """The same with a process that is really killed."""
    run = {"dt": 0.01, "paths": 60_000, "rng": 3, "save": TIMES}
    expected = sdde.solve(problem(), (0, 3), **run)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        pid = pool.submit(os.getpid).result()

        def kill_one(finished, paths):
            if paths > finished > 0.4 * paths:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        run |= {"executor": pool, "progress": kill_one}
        with pytest.warns(sdde.SolutionWarning, match="The executor lost its workers"):
            found = sdde.solve(problem(), (0, 3), **run)
    assert_same(found, expected)


@pytest.mark.parametrize("kept", ["x", "mean"])
def test_ctrl_c_keeps_the_blocks_that_have_come(kept):
    """As for threads: what is there stays, the rest is told apart."""
    run = {"dt": 0.05, "paths": 2000, "rng": 5, "save": KEPT[kept]}
    expected = sdde.solve(problem(), (0, 3), **(run | {"save": TIMES}))

    def press(finished, paths):
        if finished > 600:
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool, pytest.warns(sdde.SolutionWarning, match="interrupted"):
        found = sdde.solve(problem(), (0, 3), executor=pool, progress=press, **run)
    there = found.status == "done"
    assert 600 < there.sum() < 2000
    assert set(found.status[~there]) == {"interrupted"}
    if kept == "x":
        np.testing.assert_array_equal(found.x[there], expected.x[there])
        assert np.isnan(found.x[~there]).all()
    else:
        np.testing.assert_allclose(found.mean(), expected.x[there].mean(axis=0), rtol=1e-12)


def test_an_error_in_a_block_is_the_error_of_the_run(processes):
    """A delay that leaves its bounds, found by a worker."""
    delay = sdde.TimeDelay(lambda t: 0.5 + 0.4 * t, 0.8)
    grows = sdde.Problem(lambda t, x, late: -late[0], 0.1, delays=delay, history=1.0)
    for pool in (processes, ThreadPoolExecutor(2)):
        with pytest.raises(sdde.ArgumentError, match=r"above longest = 0\.8"):
            sdde.solve(grows, (0, 3), dt=0.1, paths=500, executor=pool)


def test_divergence_is_data_from_elsewhere_too(processes):
    """Nothing raises in a worker either."""
    explodes = sdde.Problem(lambda t, x, late: x * x * x, 0.5, history=1.0)
    run = {"dt": 0.05, "paths": 300, "rng": 2, "save": "final"}
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        expected = sdde.solve(explodes, (0, 2), **run)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        assert_same(sdde.solve(explodes, (0, 2), executor=processes, **run), expected)


def test_executors_that_cannot_work_are_refused(monkeypatch):
    """Before anything is compiled."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    with pytest.raises(sdde.ArgumentError, match="executor = 4 is neither a concurrent"):
        sdde.solve(problem(), (0, 3), dt=0.1, executor=4)


def test_an_executor_that_was_shut_down_is_refused():
    """With the reason it gives."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(sdde.ArgumentError, match="takes no work: cannot schedule"):
        sdde.solve(problem(), (0, 3), dt=0.1, executor=pool)


def test_a_worker_of_another_version_is_refused():
    """Its numbers might be others."""
    with pytest.raises(sdde.ArgumentError, match="another version of sdde"):
        executors.perform(b"other", b"", ())


def test_what_cannot_travel_is_named(monkeypatch):
    """By what refers to it, and what to do."""
    lock = threading.Lock()
    with pytest.raises(sdde.ArgumentError, match="cannot send the functions"):
        executors.packed(lambda: lock)
    with pytest.raises(sdde.ArgumentError, match="cannot load the functions: ModuleNotFound"):
        executors.perform(executors.engine_stamp(), b"cnot_there\nname\n.", ())
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(sdde.ArgumentError, match=r'pip install "sdde\[cluster\]"'):
        executors.packed(lambda: 1)
    assert pickle.loads(executors.packed(os.getpid)) is os.getpid


@pytest.mark.parametrize("cut", [[3, 5, 20, 51], [1, 2, 3, 4], [16, 32, 48], [40]])
def test_moments_do_not_depend_on_the_cut_or_the_order_of_blocks(cut):
    """Blocks are merged as one tournament, of which each block has played what it can."""
    paths = 52 * GROUP + 7
    states = np.random.default_rng(1).normal(size=(paths, 3, 2))
    saves = plan_saves([1.0, 2.0, 3.0], 0.0, 3.0, 0.5)
    request = sdde.Moments([1.0, 2.0, 3.0], [0.2, 0.9], covariance=True, lags=1.0)
    columns = plan_columns(request, saves)
    whole = Accumulator(request, columns, 2)
    whole.add(0, states)
    joined = Accumulator(request, columns, 2)
    edges = [0, *(GROUP * group for group in cut), paths]
    for first, end in reversed(list(itertools.pairwise(edges))):
        part = Accumulator(request, columns, 2, begin=first)
        middle = first + GROUP * ((end - first) // GROUP // 2)
        part.add(middle, states[middle:end])
        if middle > first:
            part.add(first, states[first:middle])
        joined.take(first, end - first, part.arrays())
    found, expected = joined.statistics((2,)), whole.statistics((2,))
    for name in ("mean", "var", "covariance", "quantiles", "autocovariance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.mean, states.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.var, states.var(axis=0), rtol=1e-12)


def test_a_block_of_whole_groups_comes_back_as_one_node():
    """So that what travels does not grow with the paths."""
    saves = plan_saves("final", 0.0, 3.0, 0.5)
    request = sdde.Moments("final")
    part = Accumulator(request, plan_columns(request, saves), 1, begin=16 * GROUP)
    part.add(16 * GROUP, np.random.default_rng(1).normal(size=(16 * GROUP, 1, 1)))
    assert part.arrays()["nodes"].tolist() == [[4, 1, 16 * GROUP]]


@pytest.mark.parametrize("edges", [[7], [SIZE, 3 * SIZE], [SIZE - 1, 4 * SIZE + 1, 30 * SIZE]])
def test_quantiles_do_not_depend_on_where_parts_were_sketched(edges):
    """Which buffers are merged is decided by where they stand among all."""
    data = np.random.default_rng(1).normal(size=(31 * SIZE + 11, 2))
    whole, joined = Sketch(2), Sketch(2)
    whole.add(data)
    for first, end in zip([0, *edges], [*edges, len(data)], strict=True):
        part = Sketch(2, first)
        part.add(data[first:end])
        joined.take(part.pieces())
    shares = np.linspace(0.0, 1.0, 11)
    np.testing.assert_array_equal(joined.quantile(shares), whole.quantile(shares))
    assert joined.rank_error == whole.rank_error > 0.0


def test_a_cluster_without_workers_is_waited_for_and_said(monkeypatch):
    """They may come, or somebody presses Ctrl-C."""
    monkeypatch.setattr(executors, "_PATIENCE", 0.1)
    monkeypatch.setattr(executors, "_LOOK", 0.1)
    results = {}
    with ThreadPoolExecutor(1) as pool:
        late = executors.Crew(pool, pool.submit, lambda: 0, is_here=True)
        with pytest.warns(sdde.SolutionWarning, match="has no workers"):
            executors.run_tasks(late, time.sleep, [(0.5,)], results.setdefault)
    assert list(results) == [(0.5,)]


# ---- clusters


def training(**changes):
    system = cluster.System(scipy.stats.expon(), communication=0.1, workers=4)
    settings = {"learning_rate": 0.05, "updates": 300, "runs": 23, "rng": 3, "records": 20}
    return {"system": system, **settings, **changes}


def assert_same_runs(found, expected):
    for name in (
        "t", "updates_at", "loss", "status", "end_time", "updates", "worker_counts", "discarded",
        "cancelled", "idle_time", "log", "down_time", "gradients_at",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.staleness.counts, expected.staleness.counts)
    assert found.measures.keys() == expected.measures.keys()
    for name, values in expected.measures.items():
        np.testing.assert_array_equal(found.measures[name], values)


CLUSTERS = {
    "plain": (cluster.Quadratic([1.0, 0.5], noise=0.2), cluster.AsyncSGD(), {}),
    "general": (cluster.Quadratic(1.0, noise=0.2), cluster.KSync(3), {"trace": True}),
    "by loss": (
        cluster.Quadratic(1.0), cluster.AsyncSGD(), {"until_loss": 0.01, "updates": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_are_simulated_elsewhere_with_the_same_numbers(name, processes):
    """Records, endings, staleness and the log of every run."""
    objective, method, changes = CLUSTERS[name]
    run = training(**changes)
    expected = cluster.simulate(objective, method, **run)
    assert_same_runs(cluster.simulate(objective, method, executor=processes, **run), expected)
    with ThreadPoolExecutor(3) as pool:
        assert_same_runs(cluster.simulate(objective, method, executor=pool, **run), expected)


def test_an_objective_of_plain_functions_travels(processes):
    """Closures that the simulator compiles, in processes of their own."""
    curvature = 0.7

    def gradient(x):
        return curvature * x

    def loss(x):
        return 0.5 * curvature * float((x * x).sum())

    objective = cluster.Objective.from_callables(gradient, loss, 2, start=[1.0, -1.0], noise=0.1)
    run = training(runs=5, updates=50)
    expected = cluster.simulate(objective, cluster.AsyncSGD(), **run)
    found = cluster.simulate(objective, cluster.AsyncSGD(), executor=processes, **run)
    assert_same_runs(found, expected)


def test_the_simulations_of_a_plan_may_run_elsewhere(processes):
    """`plan(check="simulation", executor=...)` judges by the same runs."""
    question = cluster.Quadratic(1.0, noise=0.1), cluster.System(1.0), cluster.AsyncSGD(), 0.02, 1
    at = {"workers": 4, "learning_rate": 0.05, "level": 1, "horizon": 60.0}
    here = simulated_times.Trial(*question).time_at(**at)
    assert np.isfinite(here[0].time_to_target)
    assert simulated_times.Trial(*question, executor=processes).time_at(**at) == here


@pytest.mark.slow
def test_a_real_ctrl_c_keeps_what_processes_have_sent(tmp_path):
    """The terminal sends it to the workers, too, which break the pool."""
    script = tmp_path / "script.py"
    script.write_text(
        "import warnings, numpy as np, sdde\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "made = sdde.Problem(lambda t, x, late: -late[0], 0.4, delays=[0.7], history=1.0)\n"
        "def ready(finished, paths, seen=[]):\n"
        "    seen.append(finished)\n"
        "    if len(seen) == 3:\n"
        "        print('ready', flush=True)\n"
        "if __name__ == '__main__':\n"
        "    warnings.simplefilter('ignore')\n"
        "    run = dict(dt=0.001, rng=1, save='final')\n"
        "    with ProcessPoolExecutor(2) as pool:\n"
        "        there = sdde.solve(\n"
        "            made, (0, 30), paths=100_000, executor=pool, progress=ready, **run)\n"
        "    kept = there.status == 'done'\n"
        "    assert set(there.status[~kept]) == {'interrupted'}, there\n"
        "    count = int(kept[:1664].sum())\n"
        "    here = sdde.solve(made, (0, 30), paths=count, **run)\n"
        "    assert np.array_equal(there.x[:count], here.x)\n"
        "    print(kept.sum() > 3000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert out == "True\n"
