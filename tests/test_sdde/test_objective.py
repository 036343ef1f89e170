"""Objectives given as Python functions, and the ready non-convex ones."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from sdde import ArgumentError, CompileError, cluster

SYSTEM = cluster.System(scipy.stats.expon(), workers=4)


def test_a_quadratic_written_as_functions_runs_like_the_ready_one():
    """The same numbers at the same addresses; only the order of the operations is the user's."""
    curvatures = np.array([0.5, 2.0])
    own = cluster.Objective.from_callables(
        lambda x: curvatures * x, lambda x: 0.5 * np.sum(curvatures * x * x), 2, noise=0.3
    )
    options = {"learning_rate": 0.1, "updates": 200, "rng": 3, "records": 201}
    ready = cluster.Quadratic(curvatures, noise=0.3)
    theirs = cluster.simulate(ready, cluster.AsyncSGD(), SYSTEM, **options)
    ours = cluster.simulate(own, cluster.AsyncSGD(), SYSTEM, **options)
    np.testing.assert_array_equal(ours.t, theirs.t)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-9)


def test_sampled_gradients_average_the_samples_drawn():
    """With one sample there is no randomness; with two, the mean over many runs is the full one."""
    targets = np.array([-1.0, 3.0])
    pair = cluster.Objective.from_callables(
        lambda x, i: x - targets[i], lambda x: 0.5 * ((x[0] - 1.0) ** 2), 1,
        start=0.0, samples=2, batch=2,
    )  # fmt: skip
    runs = cluster.simulate(
        pair, cluster.AsyncSGD(), cluster.System(1.0, workers=1), learning_rate=0.5, updates=1,
        runs=8000, rng=1,
    )  # fmt: skip
    # x after one step is -0.5, 0.5 or 1.5 with probabilities 1/4, 1/2, 1/4: loss 1.125 or 0.125.
    high = int(np.sum(runs.loss[:, -1] > 0.5))
    assert scipy.stats.binomtest(high, 8000, 0.25).pvalue > 1e-6
    np.testing.assert_allclose(np.unique(runs.loss[:, -1]), [0.125, 1.125])


@pytest.mark.parametrize("objective", [cluster.rosenbrock(4), cluster.strict_saddle(3)])
def test_ready_gradients_are_the_derivatives_of_their_losses(objective):
    """Against forward differences of the loss, with error of order 1e-7."""
    x = np.random.default_rng(2).normal(size=objective.dim)
    error = scipy.optimize.check_grad(objective.loss_function, objective.gradient_function, x)
    assert error < 1e-5


def test_noise_drives_the_iterates_away_from_a_strict_saddle():
    """At the saddle the gradient vanishes; with noise both minima are found, each half the time."""
    still = cluster.simulate(
        cluster.strict_saddle(), cluster.AsyncSGD(), SYSTEM, learning_rate=0.1, updates=300, rng=1
    )
    assert still.loss[0, -1] == 0.25
    runs = cluster.simulate(
        cluster.strict_saddle(noise=0.05), cluster.AsyncSGD(), SYSTEM, learning_rate=0.1,
        updates=600, runs=50, rng=1,
    )  # fmt: skip
    assert np.all(runs.loss[:, -1] < 0.05)


def test_a_gradient_that_is_not_a_number_ends_the_run_as_diverged():
    """nan is recorded as data and never raises."""
    broken = cluster.Objective.from_callables(
        lambda x: np.sqrt(x - 0.5), lambda x: float(x[0]), 1, start=1.0
    )
    runs = cluster.simulate(
        broken, cluster.AsyncSGD(), SYSTEM, learning_rate=0.4, updates=50, rng=1
    )
    assert runs.status[0] == "diverged"
    assert math.isinf(runs.loss_at(100.0)[0, 0])


def test_a_function_that_numba_cannot_compile_is_named():
    """The message says which function and why."""
    own = cluster.Objective.from_callables(
        lambda x: np.array([float(str(x[0]))]), lambda x: x[0], 1
    )
    with pytest.raises(CompileError, match=r"^gradient could not be compiled"):
        cluster.simulate(own, cluster.AsyncSGD(), SYSTEM, learning_rate=0.1, updates=1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dim", {"dim": 0}),
        ("gradient", {"gradient": 3}),
        ("gradient", {"gradient": lambda x: x[:1]}),
        ("loss", {"loss": lambda x: x}),
        ("noise", {"noise": -1.0}),
        ("start", {"start": [1.0, 2.0, 3.0]}),
        ("batch", {"batch": 0}),
        ("samples", {"samples": 0}),
    ],
)
def test_bad_functions_and_numbers_are_refused_by_name(name, arguments):
    """Checked when the objective is written down."""
    good = {"gradient": lambda x: x, "loss": lambda x: 0.5 * (x @ x), "dim": 2}
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        cluster.Objective.from_callables(**(good | arguments))
