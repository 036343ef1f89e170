"""Networks and data shared out among workers: gradients, measures, and the compiled twin."""

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster
from sdde.engine import streams
from tests.reference_objectives import drawn_rows, network_gradient

ONE = cluster.System(1.0, workers=1)


def data(seed=0, samples=60, features=5, classes=3):
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.normal(size=(classes, features))
    labels = rng.integers(classes, size=samples)
    return centres[labels] + rng.normal(size=(samples, features)), labels


def network(**options):
    inputs, labels = data()
    kept = (inputs[45:], labels[45:])
    settings = {"hidden": (6, 4), "batch": 5, "regularisation": 0.02, "rng": 3, "test": kept}
    return cluster.Network(inputs[:45], labels[:45], **(settings | options))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(7,), (6, 4), (3, 5, 2)])
def test_gradient_is_the_derivative_of_the_loss(activation, hidden):
    """Central differences have error of order h^2; relu has no kink within h of these points."""
    net = network(activation=activation, hidden=hidden)
    x = net.start + 0.1 * np.random.default_rng(1).normal(size=net.dim)
    h = 1e-6
    slope = [(net.loss(x + s) - net.loss(x - s)) / (2 * h) for s in h * np.eye(net.dim)]
    np.testing.assert_allclose(net.gradient(x), slope, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_is_that_of_the_slow_twin(activation):
    """Backpropagation written twice; sums are in another order."""
    net = network(activation=activation)
    rows = [3, 3, 11, 40]
    np.testing.assert_allclose(
        net.gradient(net.start, rows), network_gradient(net, net.start, rows), atol=1e-14
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("batch", [5, 100])
def test_event_loop_descends_by_the_gradient_of_the_rows_drawn(activation, batch):
    """A batch above 64 is processed in chunks; BLAS may reorder sums."""
    net = network(activation=activation, batch=batch)
    runs = cluster.simulate(
        net, cluster.AsyncSGD(), ONE, learning_rate=0.2, updates=10, rng=4, records=11
    )
    key, x = streams.key_of(4), net.start.copy()
    expected = {"loss": [net.loss(x)], "accuracy": [net.accuracy(x)]}
    expected |= {"test_loss": [net.test_loss(x)], "test_accuracy": [net.test_accuracy(x)]}
    for job in range(10):
        rows = drawn_rows(net, key, 0, 0, job)
        x -= 0.2 * np.array(network_gradient(net, x, rows))
        for name, values in expected.items():
            values.append(getattr(net, name)(x))
    np.testing.assert_allclose(runs.loss[0], expected.pop("loss"), rtol=1e-9)
    for name, values in expected.items():
        np.testing.assert_allclose(runs.measures[name][0], values, rtol=1e-9)
    np.testing.assert_array_equal(runs.test_error, 1.0 - runs.measures["test_accuracy"])
    np.testing.assert_array_equal(runs.accuracy, runs.measures["accuracy"])


@pytest.mark.parametrize("kind", ["network", "softmax"])
def test_workers_draw_from_the_rows_they_hold(kind):
    """Synchronous rounds of three workers, each with its own rows."""
    if kind == "network":
        objective = network().split(3, alpha=0.2, rng=5)
    else:
        objective = cluster.Softmax(*data(), batch=5).split(3, alpha=0.2, rng=5)
    runs = cluster.simulate(
        objective, cluster.Synchronous(), cluster.System(1.0, workers=3), learning_rate=0.3,
        updates=6, rng=2, records=7,
    )  # fmt: skip
    key, x = streams.key_of(2), objective.start.copy()
    least = objective.optimum()[1] if kind == "softmax" else 0.0
    losses = [objective.loss(x) - least]
    for job in range(6):
        parts = [objective.gradient(x, drawn_rows(objective, key, 0, w, job)) for w in range(3)]
        x -= 0.3 * np.mean(parts, axis=0)
        losses.append(objective.loss(x) - least)
    np.testing.assert_allclose(runs.loss[0], losses, rtol=1e-9)


def test_softmax_records_accuracy_and_test_results():
    """At the last record the parameters are known: one step of plain SGD."""
    inputs, labels = data()
    objective = cluster.Softmax(inputs[:40], labels[:40], test=(inputs[40:], labels[40:]))
    runs = cluster.simulate(objective, cluster.AsyncSGD(), ONE, learning_rate=0.5, updates=1, rng=1)
    rows = drawn_rows(objective, streams.key_of(1), 0, 0, 0)
    x = objective.start - 0.5 * objective.gradient(objective.start, rows)
    for name in ("accuracy", "test_loss", "test_accuracy"):
        assert runs.measures[name][0, -1] == pytest.approx(getattr(objective, name)(x), rel=1e-12)


def test_records_by_time_hold_the_same_measures():
    """Constant compute times, so time and updates are the same numbers."""
    options = {"learning_rate": 0.2, "rng": 4, "records": 11}
    by_time = cluster.simulate(network(), cluster.AsyncSGD(), ONE, time=10.0, **options)
    by_update = cluster.simulate(network(), cluster.AsyncSGD(), ONE, updates=10, **options)
    for name, values in by_update.measures.items():
        np.testing.assert_array_equal(by_time.measures[name], values)


def test_the_digits_are_learnt_and_bits_do_not_depend_on_threads():
    """97 % right on training rows and 92 % on test rows is far above the linear start of 10 %."""
    net = cluster.Network.digits(hidden=(24,), activation="relu").split(4, rng=1)
    system = cluster.System(scipy.stats.expon(), workers=4)
    options = {"learning_rate": 0.2, "updates": 3000, "runs": 2, "rng": 5, "records": 3}
    one = cluster.simulate(net, cluster.AsyncSGD(), system, threads=1, **options)
    two = cluster.simulate(net, cluster.AsyncSGD(), system, threads=2, **options)
    np.testing.assert_array_equal(one.loss, two.loss)
    assert one.accuracy[:, -1].min() > 0.97
    assert one.test_error[:, -1].max() < 0.08


@pytest.mark.parametrize("alpha", [None, 10.0, 0.1])
def test_rows_are_shared_out_evenly(alpha):
    """Every row has one owner, and nobody holds two more than another."""
    objective = cluster.Softmax(*data(samples=100)).split(8, alpha=alpha, rng=1)
    sizes = [len(objective.samples.rows_of(worker)) for worker in range(8)]
    assert sum(sizes) == 100
    assert max(sizes) - min(sizes) <= 1
    assert objective.samples.label_shares().sum(axis=1) == pytest.approx(1.0)


def test_a_small_alpha_lets_the_data_differ():
    """Mean square of the class shares: 1 / classes if even, 1 if each worker has one class."""

    def concentration(alpha):
        parts = cluster.Softmax.digits().split(10, alpha=alpha, rng=1).samples.label_shares()
        return np.mean(np.sum(parts**2, axis=1))

    assert concentration(None) < 0.12
    assert concentration(None) < concentration(1.0) < concentration(0.05)
    assert concentration(0.05) > 0.3  # about three classes to a worker


def test_data_for_other_workers_are_refused():
    """The remedy names both ways out."""
    shared = network().split(3)
    system = cluster.System(1.0, workers=4)
    with pytest.raises(ArgumentError, match=r"^workers = 4 does not fit data shared out among 3"):
        cluster.simulate(shared, cluster.AsyncSGD(), system, learning_rate=0.1, updates=1)


def test_measures_that_were_not_recorded_are_refused():
    """A quadratic classifies nothing."""
    runs = cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), ONE, learning_rate=0.1, updates=1
    )
    with pytest.raises(ArgumentError, match="'accuracy' was not recorded"):
        _ = runs.accuracy


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hidden", {"hidden": ()}),
        ("hidden", {"hidden": (0,)}),
        ("hidden", {"hidden": "wide"}),
        ("activation", {"activation": "sine"}),
        ("regularisation", {"regularisation": -1.0}),
        ("batch", {"batch": 0}),
        ("start", {"start": [1.0, 2.0]}),
        ("test", {"test": 0.25}),
        ("test", {"test": ([[1.0, 2.0]], [0])}),
        ("test", {"test": (np.ones((1, 5)), [0, 1])}),
        ("rng", {"rng": -1}),
    ],
)
def test_bad_networks_are_refused_by_name(name, options):
    """Checked when the objective is written down."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        network(**options)


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("workers", 46), ("alpha", 0.0)])
def test_bad_splits_are_refused_by_name(name, value):
    """More workers than rows would leave some without data."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        network().split(**({"workers": 3} | {name: value}))
    with pytest.raises(ArgumentError, match=r"^test = 1.0"):
        cluster.Network.digits(test=1.0)
