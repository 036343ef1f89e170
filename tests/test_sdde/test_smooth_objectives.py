"""Logistic regression, dense quadratics, matrix factorisation, coherent wells, plain functions."""

import math
import threading

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from sklearn.linear_model import LogisticRegression

from sdde import ArgumentError, cluster
from sdde.engine import streams
from tests.reference_objectives import (
    drawn_entries,
    drawn_rows,
    factorisation_gradient,
    logistic_gradient,
    normals,
)

ONE = cluster.System(1.0, workers=1)
SYSTEM = cluster.System(scipy.stats.expon(), workers=4)


def logistic(**options):
    rng = np.random.default_rng(0)
    inputs = np.hstack([rng.normal(size=(80, 3)), np.ones((80, 1))])
    labels = (inputs @ [1.0, -2.0, 0.5, 0.3] + rng.logistic(size=80) > 0).astype(int)
    settings = {
        "regularisation": 0.05,
        "batch": 5,
        "start": 0.1,
        "test": (inputs[60:], labels[60:]),
    }
    return cluster.Logistic(inputs[:60], labels[:60], **(settings | options))


def bowl():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 2))
    return cluster.DenseQuadratic(
        np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 0.7]]),
        covariance=0.04 * root @ root.T, start=[1.0, -1.0, 2.0],
    )  # fmt: skip


def descent(objective, gradient, steps, rate, seed=4):
    """Iterates of plain SGD with one worker, whose gradients `gradient(x, key, job)` gives."""
    key, x = streams.key_of(seed), np.array(objective.start)
    points = [x.copy()]
    for job in range(steps):
        x -= rate * np.array(gradient(x, key, job))
        points.append(x.copy())
    return points


def run_of(objective, steps, rate, seed=4):
    return cluster.simulate(
        objective, cluster.AsyncSGD(), ONE, learning_rate=rate, updates=steps, rng=seed,
        records=steps + 1,
    )  # fmt: skip


def test_logistic_gradient_and_hessian_are_the_derivatives_of_the_loss():
    """Central differences have error of order h^2."""
    objective = logistic()
    x = np.random.default_rng(1).normal(size=4)
    shifts = 1e-5 * np.eye(4)
    slope = [(objective.loss(x + s) - objective.loss(x - s)) / 2e-5 for s in shifts]
    np.testing.assert_allclose(objective.gradient(x), slope, atol=1e-9)
    curvature = [(objective.gradient(x + s) - objective.gradient(x - s)) / 2e-5 for s in shifts]
    np.testing.assert_allclose(objective.hessian(x), curvature, atol=1e-9)


def test_logistic_optimum_is_that_of_scikit_learn():
    """An independent solver of the same penalised problem: C = 1 / (samples * penalty)."""
    objective = cluster.Logistic.breast_cancer(regularisation=0.01)
    x, lowest = objective.optimum()
    assert np.abs(objective.gradient(x)).max() < 1e-11
    model = LogisticRegression(
        C=1.0 / (569 * 0.01), fit_intercept=False, tol=1e-10, max_iter=2000
    ).fit(objective.inputs, objective.labels)
    np.testing.assert_allclose(model.coef_[0], x, atol=1e-5)
    assert objective.accuracy(x) == model.score(objective.inputs, objective.labels)
    assert objective.loss(x) == lowest


def test_logistic_noise_is_the_covariance_of_sampled_gradients():
    """Traces of 20,000 sampled mini-batches against the formula; false alarms 1e-6."""
    objective = logistic()
    x, rng = np.array([0.3, -0.5, 0.2, 0.1]), np.random.default_rng(3)
    full = objective.gradient(x)
    squares = np.array([
        np.sum((objective.gradient(x, rng.integers(60, size=5)) - full) ** 2)
        for _ in range(20_000)
    ])  # fmt: skip
    error = squares.std() / math.sqrt(len(squares))
    assert abs(squares.mean() - np.trace(objective.gradient_noise(x))) < 4.9 * error


@pytest.mark.parametrize("batch", [5, 100])
def test_event_loop_trains_a_logistic_regression_by_its_twin(batch):
    """Rows by address; losses, accuracy and test results at every update."""
    objective = logistic(batch=batch)

    def twin(x, key, job):
        return logistic_gradient(objective, x, drawn_rows(objective, key, 0, 0, job))

    points = descent(objective, twin, 20, 0.5)
    runs = run_of(objective, 20, 0.5)
    expected = np.array([objective.loss(x) for x in points]) - objective.optimum()[1]
    np.testing.assert_allclose(runs.loss[0], expected, rtol=1e-9)
    for name in ("accuracy", "test_loss", "test_accuracy"):
        values = [getattr(objective, name)(x) for x in points]
        np.testing.assert_allclose(runs.measures[name][0], values, rtol=1e-9)


def test_a_split_logistic_regression_reads_the_rows_of_its_workers():
    """Synchronous rounds of two workers."""
    objective = logistic().split(2, alpha=0.1, rng=1)
    runs = cluster.simulate(
        objective, cluster.Synchronous(), cluster.System(1.0, workers=2), learning_rate=0.5,
        updates=1, rng=2,
    )  # fmt: skip
    key, x = streams.key_of(2), objective.start
    parts = [objective.gradient(x, drawn_rows(objective, key, 0, w, 0)) for w in range(2)]
    after = objective.loss(x - 0.5 * np.mean(parts, axis=0)) - objective.optimum()[1]
    assert runs.loss[0, -1] == pytest.approx(after, rel=1e-9)


def test_logistic_quadratic_is_the_loss_near_the_optimum():
    """The remainder is of third order."""
    objective = logistic()
    best, lowest = objective.optimum()
    flat = objective.quadratic()
    assert flat.eigenvalues.sum() == pytest.approx(np.trace(objective.hessian(best)))
    assert np.sum(flat.noise**2) == pytest.approx(np.trace(objective.gradient_noise(best)))
    step = 1e-4 * np.linalg.eigh(objective.hessian(best))[1] @ np.ones(4)
    excess = objective.loss(best + step) - lowest
    assert excess == pytest.approx(0.5e-8 * flat.eigenvalues.sum(), rel=1e-2)


def test_event_loop_descends_a_dense_quadratic_by_its_twin():
    """The Hessian times what was read, plus the noise factor times normals at addresses."""
    objective = bowl()
    factor = objective.noise_factor
    np.testing.assert_allclose(factor @ factor.T, objective.covariance, atol=1e-15)

    def twin(x, key, job):
        return objective.hessian @ x + factor @ normals(3, key, 0, 0, job)

    points = descent(objective, twin, 30, 0.2)
    runs = run_of(objective, 30, 0.2)
    np.testing.assert_allclose(runs.loss[0], [objective.loss(x) for x in points], rtol=1e-9)


def test_a_dense_quadratic_has_the_expected_loss_of_its_axes():
    """Correlated noise between axes does not enter; difference of two means of 4000 runs.

    False alarms 1e-6.
    """
    options = {"learning_rate": 0.3, "updates": 60, "runs": 4000, "records": 2}
    full = cluster.simulate(bowl(), cluster.AsyncSGD(), SYSTEM, rng=1, **options)
    axes = cluster.simulate(bowl().quadratic(), cluster.AsyncSGD(), SYSTEM, rng=2, **options)
    a, b = full.loss[:, -1], axes.loss[:, -1]
    error = math.sqrt((a.var() + b.var()) / 4000)
    assert abs(a.mean() - b.mean()) < 4.9 * error
    assert full.loss[0, 0] == pytest.approx(axes.loss[0, 0], rel=1e-12)


def test_a_spectrum_comes_back_from_random_axes():
    """Eigenvalues, noise and start along the eigenvectors are those asked for."""
    objective = cluster.DenseQuadratic.with_spectrum(
        [0.5, 1.0, 4.0], noise=[0.1, 0.2, 0.3], start=[1.0, 2.0, 3.0], rng=5
    )
    flat = objective.quadratic()
    np.testing.assert_allclose(flat.eigenvalues, [0.5, 1.0, 4.0])
    np.testing.assert_allclose(flat.noise, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(np.abs(flat.start), [1.0, 2.0, 3.0])
    assert np.abs(objective.hessian[0, 1]) > 0.01
    other = cluster.DenseQuadratic.with_spectrum([0.5, 1.0, 4.0], rng=6)
    assert not np.allclose(other.hessian, objective.hessian)


def test_event_loop_factorises_a_matrix_by_its_twin():
    """Entries by address; the loss is above the minimum of Eckart and Young."""
    objective = cluster.MatrixFactorisation.random(5, 4, 2, residual=0.2, batch=3, rng=1)

    def twin(x, key, job):
        return factorisation_gradient(objective, x, drawn_entries(objective, key, 0, 0, job))

    points = descent(objective, twin, 40, 0.3)
    runs = run_of(objective, 40, 0.3)
    expected = np.array([objective.loss(x) for x in points]) - objective.lowest
    np.testing.assert_allclose(runs.loss[0], expected, rtol=1e-9)


def test_matrix_factorisation_knows_its_gradient_and_its_minimum():
    """Forward differences; an independent minimiser ends at the loss of Eckart and Young."""
    objective = cluster.MatrixFactorisation.random(5, 4, 2, residual=0.5, rng=1)
    x = np.random.default_rng(1).normal(size=objective.dim)
    assert scipy.optimize.check_grad(objective.loss, objective.gradient, x) < 1e-6
    np.testing.assert_allclose(objective.gradient(x, np.arange(20)), objective.gradient(x))
    found = scipy.optimize.minimize(
        objective.loss, x, jac=objective.gradient, options={"gtol": 1e-10}
    )
    assert objective.lowest > 0.01
    assert found.fun == pytest.approx(objective.lowest, rel=1e-9)


@pytest.mark.parametrize("objective", [cluster.log_well(3), cluster.star_well(5)])
def test_wells_are_variationally_coherent_and_not_convex(objective):
    """The gradient's product with x is positive at 2000 points; a chord lies below the function."""
    rng = np.random.default_rng(1)
    points = 3.0 * rng.normal(size=(2000, objective.dim))
    for x in points:
        assert objective.gradient_function(x) @ x > 0.0
    error = scipy.optimize.check_grad(objective.loss, objective.gradient_function, points[0])
    assert error < 1e-5
    middles = 0.5 * (points[:-1] + points[1:])
    losses = np.array([objective.loss(x) for x in points])
    chords = 0.5 * (losses[:-1] + losses[1:])
    assert any(objective.loss(x) > c for x, c in zip(middles, chords, strict=True))


@pytest.mark.parametrize("objective", [cluster.log_well(2), cluster.star_well(5)])
def test_asynchronous_training_finds_the_bottom_of_a_well(objective):
    """From far outside, without noise."""
    runs = cluster.simulate(
        objective, cluster.AsyncSGD(), SYSTEM, learning_rate=0.05, updates=2000, rng=1, records=2
    )
    assert runs.loss[0, -1] < 1e-9 * runs.loss[0, 0]


# -- plain Python functions ------------------------------------------------------------------------


def slopes(**options):
    curvatures = np.array([0.5, 2.0])
    return cluster.Objective.from_callables(
        lambda x: curvatures * x, lambda x: 0.5 * np.sum(curvatures * x * x), 2, noise=0.3,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("method", [cluster.AsyncSGD(), cluster.KSync(2)])
def test_plain_functions_give_the_bits_of_compiled_ones(method):
    """Events, noise and order are the same code; here the arithmetic is the same too."""
    options = {"learning_rate": 0.1, "updates": 100, "rng": 3, "records": 101, "runs": 3}
    native = cluster.simulate(slopes(), method, SYSTEM, **options)
    plain = cluster.simulate(slopes(compile=False), method, SYSTEM, **options)
    np.testing.assert_array_equal(plain.t, native.t)
    np.testing.assert_array_equal(plain.loss, native.loss)


@pytest.mark.parametrize("form", ["compiled rows", "plain rows", "plain samples"])
def test_samples_are_the_same_one_by_one_and_as_rows(form):
    """Three ways to write a mini-batch gradient, against the compiled one sample at a time."""
    table = np.random.default_rng(1).normal(size=(9, 2))
    middle = table.mean(axis=0)
    options = {"start": 2.0, "samples": 9, "batch": 3, "noise": 0.1}

    def loss(x):
        return 0.5 * np.sum((x - middle) ** 2)

    def of_rows(x, rows):
        total = np.zeros(2)
        for row in rows:
            total += x - table[row]
        return total / len(rows)

    one = cluster.Objective.from_callables(lambda x, i: x - table[i], loss, 2, **options)
    other = {
        "compiled rows": lambda: cluster.Objective.from_callables(
            of_rows, loss, 2, whole_batches=True, **options
        ),
        "plain rows": lambda: cluster.Objective.from_callables(
            lambda x, rows: x - table[rows].mean(axis=0), loss, 2, whole_batches=True,
            compile=False, **options,
        ),
        "plain samples": lambda: cluster.Objective.from_callables(
            lambda x, i: x - table[i], loss, 2, compile=False, **options
        ),
    }[form]()  # fmt: skip
    runs = [
        cluster.simulate(o, cluster.AsyncSGD(), SYSTEM, learning_rate=0.2, updates=50, rng=2)
        for o in (one, other)
    ]
    np.testing.assert_allclose(runs[1].loss, runs[0].loss, rtol=1e-9)


def test_plain_functions_may_be_anything_and_run_on_the_threads_of_the_simulation():
    """String arithmetic, state and threads: nothing that numba could compile."""
    seen = set()

    def gradient(x):
        seen.add(threading.current_thread().name)
        return [float(str(x[0]))]

    own = cluster.Objective.from_callables(
        gradient, lambda x: x[0] ** 2, 1, compile=False, measures={"size": lambda x: abs(x[0])}
    )
    runs = cluster.simulate(
        own, cluster.AsyncSGD(), ONE, learning_rate=0.5, updates=4, rng=1, records=5
    )
    np.testing.assert_array_equal(runs.measures["size"][0], 0.5 ** np.arange(5.0))
    assert runs.loss[0, -1] == 0.5**8
    assert len(seen) >= 2  # the check when it was written down, and the simulation


def test_an_exception_in_a_plain_function_reaches_the_caller():
    """The first one, not a crash of the compiled code."""

    def fails(x):
        if x[0] < 0.5:
            raise ZeroDivisionError("no data left")
        return x

    own = cluster.Objective.from_callables(fails, lambda x: x @ x, 1, compile=False)
    with pytest.raises(ZeroDivisionError, match="no data left"):
        cluster.simulate(
            own, cluster.AsyncSGD(), SYSTEM, learning_rate=0.3, updates=100, runs=3, rng=1
        )
    shape = cluster.Objective.from_callables(
        lambda x: x if x[0] == 1.0 else np.ones(3), lambda x: x @ x, 1, compile=False
    )
    with pytest.raises(ValueError, match="broadcast"):
        cluster.simulate(shape, cluster.AsyncSGD(), SYSTEM, learning_rate=0.3, updates=9, rng=1)


def test_plain_functions_follow_a_prescribed_staleness():
    """The recursion calls them too, and raises what they raise."""
    options = {"learning_rate": 0.1, "updates": 30, "rng": 1}
    late = cluster.PrescribedStaleness("bounded", 3)
    native = cluster.simulate_staleness(slopes(), late, **options)
    plain = cluster.simulate_staleness(slopes(compile=False), late, **options)
    np.testing.assert_array_equal(plain.loss, native.loss)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("labels", lambda: cluster.Logistic([[1.0]], [2])),
        ("regularisation", lambda: logistic(regularisation=0.0)),
        ("hessian", lambda: cluster.DenseQuadratic([[1.0, 2.0], [2.0, 1.0]])),
        ("hessian", lambda: cluster.DenseQuadratic([[1.0, 2.0], [0.0, 1.0]])),
        ("hessian", lambda: cluster.DenseQuadratic([[1.0, 2.0]])),
        ("noise", lambda: cluster.DenseQuadratic([[1.0]], noise=-1.0)),
        ("noise", lambda: cluster.DenseQuadratic([[1.0]], noise=1.0, covariance=[[1.0]])),
        ("covariance", lambda: cluster.DenseQuadratic([[1.0]], covariance=[[-1.0]])),
        ("covariance", lambda: cluster.DenseQuadratic([[1.0]], covariance=np.eye(2))),
        ("eigenvalues", lambda: cluster.DenseQuadratic.with_spectrum([1.0, 0.0])),
        ("rank", lambda: cluster.MatrixFactorisation(np.ones((2, 3)), 3)),
        ("target", lambda: cluster.MatrixFactorisation([[np.nan]], 1)),
        ("start", lambda: cluster.MatrixFactorisation(np.ones((2, 3)), 1, start=[1.0, 2.0])),
        ("points", lambda: cluster.star_well(0)),
        ("whole_batches", lambda: slopes(whole_batches=True)),
        ("compile", lambda: slopes(compile="no")),
        ("measures", lambda: slopes(measures={"size": np.sum})),
        (r"measures\['size'\]", lambda: slopes(compile=False, measures={"size": 3})),
    ],
)
def test_bad_objectives_are_refused_by_name(name, build):
    """Checked when the objective is written down."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        build()
