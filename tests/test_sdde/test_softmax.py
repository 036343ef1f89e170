"""Softmax regression: derivatives, optimum, gradient noise, and the compiled gradient of the event
loop.
"""

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression

from sdde import ArgumentError, cluster
from sdde.engine import streams


@pytest.fixture(scope="module")
def digits():
    return cluster.Softmax.digits(regularisation=1e-2, batch=16)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    inputs = np.hstack([rng.normal(size=(90, 3)), np.ones((90, 1))])
    return cluster.Softmax(
        inputs, rng.integers(3, size=90), regularisation=0.05, batch=5, start=0.1
    )


def test_gradient_and_hessian_are_the_derivatives_of_the_loss(small):
    """Central differences have error of order h^2; the functions are smooth with constants of
    order 1.
    """
    x = np.random.default_rng(1).normal(size=small.dim)
    h = 1e-5
    shifts = h * np.eye(small.dim)
    slope = [(small.loss(x + s) - small.loss(x - s)) / (2 * h) for s in shifts]
    np.testing.assert_allclose(small.gradient(x), slope, atol=1e-9)
    curvature = [(small.gradient(x + s) - small.gradient(x - s)) / (2 * h) for s in shifts]
    np.testing.assert_allclose(small.hessian(x), curvature, atol=1e-9)


def test_optimum_of_digits_is_that_of_scikit_learn(digits):
    """An independent solver of the same penalised problem: C = 1 / (samples * penalty)."""
    x, lowest = digits.optimum()
    assert np.abs(digits.gradient(x)).max() < 1e-11
    samples = len(digits.inputs)
    model = LogisticRegression(
        C=1.0 / (samples * digits.regularisation), fit_intercept=False, tol=1e-8, max_iter=2000
    ).fit(digits.inputs, digits.labels)
    theirs = model.coef_.T.ravel()
    np.testing.assert_allclose(theirs, x, atol=1e-5)
    assert 0.0 <= digits.loss(theirs) - lowest < 1e-9
    assert digits.accuracy(x) == model.score(digits.inputs, digits.labels)


def test_gradient_noise_is_the_covariance_of_sampled_gradients(small):
    """Traces of 40,000 sampled mini-batches against the formula; false alarms 1e-6."""
    x = np.random.default_rng(2).normal(size=small.dim)
    rng = np.random.default_rng(3)
    full = small.gradient(x)
    squares = np.array([
        np.sum((small.gradient(x, rng.integers(90, size=small.batch)) - full) ** 2)
        for _ in range(40_000)
    ])  # fmt: skip
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - np.trace(small.gradient_noise(x))) < 4.9 * error


def test_event_loop_descends_by_the_gradient_of_the_sampled_rows(small):
    """One worker, so each update is plain SGD on rows whose numbers are known; BLAS may reorder
    sums.
    """
    runs = cluster.simulate(
        small, cluster.AsyncSGD(), cluster.System(1.0, workers=1), learning_rate=0.2,
        updates=30, rng=4, records=31,
    )  # fmt: skip
    key, x = streams.key_of(4), small.start.copy()
    losses = [small.loss(x)]
    for job in range(30):
        steps = range(job * small.batch, (job + 1) * small.batch)
        u = np.array([streams.uniform(*key, 0, step, 0, streams.SAMPLING) for step in steps])
        x -= 0.2 * small.gradient(x, (u * len(small.inputs)).astype(int))
        losses.append(small.loss(x))
    np.testing.assert_allclose(runs.loss[0], np.array(losses) - small.optimum()[1], rtol=1e-9)


def test_runs_on_digits_do_not_depend_on_threads_and_learn(digits):
    """Matrix products are small enough to stay on one thread, so bits are the same."""
    system = cluster.System(scipy.stats.expon(), workers=8)
    options = {"learning_rate": 0.05, "updates": 1000, "runs": 3, "rng": 5, "records": 5}
    one = cluster.simulate(digits, cluster.AsyncSGD(), system, threads=1, **options)
    two = cluster.simulate(digits, cluster.AsyncSGD(), system, threads=2, **options)
    np.testing.assert_array_equal(one.loss, two.loss)
    assert np.all(one.loss[:, -1] < 0.5 * one.loss[:, 0])
    assert one.loss[0, 0] == pytest.approx(np.log(10) - digits.optimum()[1], rel=1e-12)


def test_quadratic_has_the_curvature_noise_and_start_of_the_regression(small):
    """Loss near the optimum is that of the quadratic: the remainder is of third order."""
    bowl = small.quadratic()
    best, lowest = small.optimum()
    assert bowl.dim == small.dim
    assert bowl.eigenvalues.sum() == pytest.approx(np.trace(small.hessian(best)))
    assert np.sum(bowl.noise**2) == pytest.approx(np.trace(small.gradient_noise(best)))
    vectors = np.linalg.eigh(small.hessian(best))[1]
    np.testing.assert_allclose(vectors @ bowl.start, small.start - best, atol=1e-12)
    step = 1e-3 * vectors @ np.ones(small.dim)
    excess = small.loss(best + step) - lowest
    assert excess == pytest.approx(0.5e-6 * bowl.eigenvalues.sum(), rel=1e-2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inputs", {"inputs": [[np.nan, 1.0], [1.0, 2.0]]}),
        ("labels", {"labels": [0]}),
        ("labels", {"labels": [0, -1]}),
        ("labels", {"labels": [0.0, 1.0]}),
        ("classes", {"classes": 1}),
        ("regularisation", {"regularisation": 0.0}),
        ("batch", {"batch": 0}),
        ("start", {"start": [1.0]}),
    ],
)
def test_bad_data_is_refused_by_name(name, arguments):
    """A regression that cannot be trained says which argument is wrong."""
    good = {"inputs": [[0.0, 1.0], [1.0, 2.0]], "labels": [0, 1]}
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        cluster.Softmax(**(good | arguments))
