"""Methods on real servers: the rules against the simulator, event by event; checkpoints."""

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster
from sdde.cluster.checkpoints import Checkpoint, read_checkpoint
from sdde.cluster.parameter_server import ParameterServer, Wait
from sdde.cluster.sampler import Sampler
from sdde.cluster.update_rule import UpdateRule, check_method

CURVATURES = np.array([1.0, 0.3, 2.0])
METHODS = [
    cluster.AsyncSGD(),
    cluster.Synchronous(),
    cluster.KSync(2),
    cluster.KBatchSync(3),
    cluster.KAsync(2),
    cluster.KBatchAsync(3),
    cluster.StalenessThreshold(3),
    cluster.StalenessAware(),
    cluster.DelayAdaptive(),
    cluster.FLeet(),
    cluster.FedBuff(2),
    cluster.TailTau(),
    cluster.DelayCompensated(0.5),
    cluster.DelayCompensated(0.5, decay=0.9),
    cluster.Composed(cluster.Group(2), momentum=0.7, clip=0.5),
    cluster.Composed(cluster.Group(2), rate=cluster.Inverse(), by_weight=True),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_rules_give_the_parameters_of_the_simulator(method):
    """Every gradient of a simulated run, in its order, at what its worker had read."""
    objective = cluster.Quadratic(CURVATURES)
    runs = cluster.simulate(
        objective, method, cluster.System(scipy.stats.expon(), workers=5), learning_rate=0.1,
        updates=120, rng=4, records=121, trace=True,
    )  # fmt: skip
    rule = UpdateRule(check_method(method, 5), objective.start, 0.1, 5)
    points = [rule.x]
    for _, worker, _, _, read_version, made, kind in runs.log:
        if kind == 2.0:
            continue
        read = points[int(read_version)]
        kept, updated = rule.receive(int(worker), CURVATURES * read, read, int(read_version))
        assert kept == (kind == 0.0)
        if updated:
            points.append(rule.x)
            assert len(points) - 1 == made
    losses = [objective.loss(x) for x in points]
    np.testing.assert_allclose(losses, runs.loss[0], rtol=1e-9)
    if isinstance(method, cluster.StalenessThreshold):
        assert runs.discarded.sum() > 0


@pytest.mark.parametrize(
    "method",
    [
        cluster.StaleSynchronous(2), cluster.Malenia(4), cluster.RandomThinning(0.5),
        cluster.Ringmaster(3, stop=True), cluster.Composed(schedule=cluster.Schedule("power")),
        cluster.KSync(6), "async",
    ],
    ids=repr,
)  # fmt: skip
def test_methods_that_a_server_cannot_follow_are_refused(method):
    """Not run as if they were something else."""
    with pytest.raises(ArgumentError, match=r"^method = "):
        check_method(method, 5)


def test_a_group_waits_and_its_workers_go_on_with_the_update():
    """K-async of two: the first worker waits, the second completes, both read the new version."""
    server = ParameterServer(
        np.array([1.0]), learning_rate=0.5, updates=5, records=1,
        method=cluster.KAsync(2).composed, crew=3,
    )  # fmt: skip
    for worker in range(3):
        assert server.push(worker, None, 0.0) == 1.0
    assert isinstance(server.push(0, np.array([1.0]), 0.0), Wait)
    assert isinstance(server.ask(0), Wait)
    assert server.push(1, np.array([3.0]), 0.0) == 0.0
    assert server.ask(0) == 0.0
    rows, records, status = server.collect(0, 0)
    assert [row[4:6] for row in rows] == [(0, 1), (0, 1)]
    assert (len(records), status) == (2, "running")
    server.stop()
    assert server.push(2, np.array([1.0]), 0.0) is None


def test_synchronous_rounds_drop_what_comes_too_late():
    """K-sync of one: the second gradient at the old parameters is dropped and logged as such."""
    server = ParameterServer(
        np.array([1.0]), learning_rate=0.5, updates=5, records=1, method=cluster.KSync(1).composed,
        crew=2,
    )  # fmt: skip
    for worker in range(2):
        server.push(worker, None, 0.0)
    assert server.push(0, np.array([1.0]), 0.0) == 0.5
    assert server.push(1, np.array([9.0]), 0.0) == 0.5
    rows, _, _ = server.collect(0, 0)
    assert [row[7] for row in rows] == [False, True]


@pytest.mark.parametrize(
    "method",
    [
        cluster.Composed(momentum=0.5), cluster.DelayCompensated(0.5, decay=0.9),
        cluster.TailTau(window=(1, 3)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_checkpoint_continues_where_the_server_was(method, tmp_path):
    """Ten gradients, the file, ten more: as twenty in one go; momentum, squares and law kept."""

    def feed(server, first, last):
        for step in range(first, last):
            worker = step % 2
            if server.ask(worker) is not None and worker not in server._reads:
                server.push(worker, None, 0.0)
            server.push(worker, server._reads[worker][2] * [1.0, 0.5] + 0.1 * step, 0.0)

    options = {
        "learning_rate": 0.1, "updates": 20, "records": 5, "method": method.composed, "crew": 2,
    }  # fmt: skip
    whole = ParameterServer(np.ones(2), **options)
    feed(whole, 0, 10)
    for worker in range(2):  # a restart makes all workers read
        whole.push(worker, None, 0.0)
    first = ParameterServer(np.ones(2), **options)
    feed(first, 0, 10)
    rows, records, _ = first.collect(0, 0)
    path, settings = tmp_path / "run.npz", {"method": repr(method)}
    Checkpoint(first.state(), rows, records, settings).write(path)
    kept = read_checkpoint(path, settings)
    assert kept.rows == rows
    assert [record[:2] for record in kept.records] == [record[:2] for record in records]
    second = ParameterServer(np.ones(2), **options, state=kept.state)
    for worker in range(2):
        second.push(worker, None, 0.0)
    feed(whole, 10, 20)
    feed(second, 10, 20)
    np.testing.assert_array_equal(second.state()["x"], whole.state()["x"])
    assert second.collect(0, 0)[2] == "done"
    assert second.collect(0, 0)[1][0][1] == kept.state["elapsed"]


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    """Missing, broken, holding code, or of other settings."""
    wrong = tmp_path / "wrong.npz"
    wrong.write_text("no archive")
    code = tmp_path / "code.npz"
    np.savez(code, state_x=np.array([{"a": 1}], dtype=object))
    server = ParameterServer(np.ones(2), learning_rate=0.1, updates=20, records=5)
    server.push(0, None, 0.0)
    server.push(0, np.ones(2), 0.0)
    rows, records, _ = server.collect(0, 0)
    good = tmp_path / "good.npz"
    Checkpoint(server.state(), rows, records, {"workers": "2"}).write(good)
    for path in (tmp_path / "missing.npz", wrong, code):
        with pytest.raises(ArgumentError, match=r"^resume = .* is not a checkpoint"):
            read_checkpoint(path, {})
    with pytest.raises(ArgumentError, match="was made with workers = 2, not 3"):
        read_checkpoint(good, {"workers": "3"})


def labelled():
    x = np.linspace(-1.0, 1.0, 12)
    return np.c_[x, np.ones(12)], (x > 0.2).astype(int)


@pytest.mark.parametrize(
    "objective",
    [
        cluster.Quadratic([1.0, 2.0], noise=0.1),
        cluster.DenseQuadratic([[1.0, 0.2], [0.2, 0.5]], noise=0.1),
        cluster.Softmax(*labelled(), batch=3),
        cluster.Logistic(*labelled(), batch=3),
        cluster.Network(*labelled(), hidden=(3,), batch=3),
        cluster.MatrixFactorisation.random(4, 3, 1, batch=3),
        cluster.strict_saddle(2, noise=0.1),
    ],
    ids=repr,
)
def test_sampled_gradients_average_to_the_gradient(objective):
    """Means of 4000 draws against the exact gradient; false alarms 1e-6 for each component."""
    x = np.array(objective.start) + 0.3
    if isinstance(objective, cluster.Quadratic):
        exact = objective.eigenvalues * x
    elif isinstance(objective, cluster.Objective):
        exact = objective.gradient_function(x)
    else:
        exact = objective.gradient(x)
    sampler = Sampler(objective, 0, batch=3, rng=np.random.default_rng(1))
    draws = np.array([sampler.gradient(x) for _ in range(4000)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - exact) < 5.5 * error + 1e-12).all()


def test_samples_of_functions_are_drawn_one_by_one_and_in_batches():
    """And a worker of a shared-out data set draws from its own rows only."""
    table = np.arange(5.0)
    one = cluster.Objective.from_callables(
        lambda x, i: x - table[i], lambda x: 0.0, 1, samples=5, batch=2, compile=False
    )
    many = cluster.Objective.from_callables(
        lambda x, rows: x - table[rows].mean(), lambda x: 0.0, 1, samples=5, batch=2,
        whole_batches=True, compile=False,
    )  # fmt: skip
    first, second = (
        Sampler(o, 0, batch=2, rng=np.random.default_rng(3)).gradient(np.zeros(1))
        for o in (one, many)
    )
    np.testing.assert_allclose(first, second)
    shared = cluster.Softmax(*labelled()).split(3, rng=1)
    sampler = Sampler(shared, 2, batch=4, rng=np.random.default_rng(1))
    assert set(sampler._rows) == set(np.flatnonzero(shared.samples.owners == 2))
