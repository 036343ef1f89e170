"""Linearisation of a traced problem against textbook equilibria and simulation-free derivatives."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import sdde
from sdde.errors import ArgumentError
from sdde.theory import linearize

TABLE = json.loads((Path(__file__).parents[1] / "cases" / "sdde.json").read_text(encoding="utf-8"))
HOPF = {case["id"]: case for case in TABLE["cases"] if case["id"].startswith("hopf")}


def mackey_glass(t, x, delayed, beta, gamma, n):
    return beta * delayed[0] / (1.0 + delayed[0] ** n) - gamma * x


def hutchinson(t, x, delayed, r):
    return r * x * (1.0 - delayed[0])


def ikeda(t, x, delayed, mu):
    return -x + mu * np.sin(delayed[0])


@pytest.mark.parametrize("drift", [mackey_glass, hutchinson, ikeda])
def test_hopf_delays_of_classical_models(drift):
    """Equilibrium, coefficients and critical delay, from the nonlinear drift alone."""
    case = HOPF[f"hopf_{drift.__name__}"]
    expected, tolerance = case["expected"], case["tolerance"]
    problem = sdde.Problem(drift, delays=1.0, history=0.5, args=tuple(case["params"].values()))
    system = linearize(problem, expected["x_eq"])
    c = system.coefficients
    assert c.instant[0, 0] == pytest.approx(expected["a"], abs=tolerance)
    assert c.delayed[0][0, 0] == pytest.approx(expected["b"], abs=tolerance)
    assert abs(c.offset[0, 0]) < tolerance
    assert system.delay_margin() == pytest.approx(expected["tau_c"], abs=tolerance)


def planar(t, x, delayed, k):
    return np.array([x[1], -np.sin(x[0]) - k * delayed[1, 1] + delayed[0, 0] ** 2])


def shaken(t, x, delayed, k):
    return np.array([0.1 * x[0] * delayed[0, 1], 0.3 + k * x[1]])


def test_a_planar_problem_with_two_delays_and_state_dependent_noise():
    """Every derivative against a central difference of the user's own functions."""
    problem = sdde.Problem(
        planar, shaken, delays=(0.5, 1.0), history=[0.0, 0.0], args=(0.4,), noise="diagonal"
    )
    point, h = np.array([0.3, -0.2]), 1e-6
    c = linearize(problem, point).coefficients

    def difference(function, where, component):
        values = []
        for sign in (1.0, -1.0):
            x, delayed = point.copy(), np.stack([point, point])
            (x if where is None else delayed[where])[component] += sign * h
            values.append(function(0.0, x, delayed, 0.4))
        return (values[0] - values[1]) / (2.0 * h)

    for j, where in enumerate((None, 0, 1)):
        slope = np.stack([difference(planar, where, i) for i in range(2)], axis=1)
        np.testing.assert_allclose([c.instant, *c.delayed][j], slope, atol=1e-9)
        shake = np.stack([difference(shaken, where, i) for i in range(2)], axis=1)
        np.testing.assert_allclose(c.gains[j][0], [shake[0], [0.0, 0.0]], atol=1e-9)
        np.testing.assert_allclose(c.gains[j][1], [[0.0, 0.0], shake[1]], atol=1e-9)
    both = np.stack([point, point])
    np.testing.assert_allclose(c.noise, np.diag(shaken(0.0, point, both, 0.4)))
    np.testing.assert_allclose(c.offset[:, 0], planar(0.0, point, both, 0.4))


def test_additive_noise_is_kept_and_a_linear_problem_is_itself():
    """The stationary variance of the linearisation of a linear problem is exact."""
    problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 1.0, delays=1.0, history=1.0)
    exact = (1.0 + math.sin(1.0)) / (2.0 * math.cos(1.0))
    assert linearize(problem, 0.0).covariance() == pytest.approx(exact, rel=1e-12)


def test_a_noise_matrix_is_kept_and_differentiated():
    """One gain for each Wiener process: the derivative of its column."""

    def matrix(t, x, d):
        return np.array([[0.1 * x[0], 0.2, 0.0], [0.3, 0.4 * d[0][0], x[0] * x[1]]])

    problem = sdde.Problem(
        lambda t, x, d: -d[0], matrix, delays=0.5, history=[1.0, 2.0], noise="general"
    )
    c = linearize(problem, [1.0, 2.0]).coefficients
    np.testing.assert_allclose(c.noise, [[0.1, 0.2, 0.0], [0.3, 0.4, 2.0]])
    np.testing.assert_allclose(c.gains[0][0], [[0.1, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(c.gains[1][1], [[0.0, 0.0], [0.4, 0.0]])
    np.testing.assert_allclose(c.gains[0][2], [[0.0, 0.0], [2.0, 1.0]])
    constant = problem.replace(diffusion=np.array([[0.1, 0.2], [0.3, 0.4]]))
    c = linearize(constant, [1.0, 2.0]).coefficients
    np.testing.assert_allclose(c.noise, [[0.1, 0.2], [0.3, 0.4]])
    strat = problem.replace(calculus="stratonovich")
    with pytest.raises(ArgumentError, match="sense of Itô"):
        linearize(strat, [1.0, 2.0])


def test_misuse_is_named():
    """Jumps and functions that cannot be read."""
    jump = sdde.Jump(1.0, lambda t, x, delayed, mark: -0.1 * x)
    problem = sdde.Problem(lambda t, x, delayed: -x, history=1.0, jumps=jump)
    with pytest.raises(ArgumentError, match="has jumps"):
        linearize(problem, 0.0)
    problem = sdde.Problem(lambda t, x, delayed: -np.sign(x) * np.sqrt(abs(x)), history=1.0)
    with pytest.raises(ArgumentError, match="derivative of drift"):
        linearize(problem, 0.0)


def test_delays_of_other_kinds_count_as_numbers_or_laws():
    """Time and state at the point; a draw and an average by the law's transform."""
    import scipy.stats

    law = scipy.stats.gamma(2, scale=0.5)

    def system(delay, diffusion=None):
        problem = sdde.Problem(
            lambda t, x, d: -0.4 * x - 1.2 * d[0], diffusion, delays=delay, history=1.0
        )
        return linearize(problem, 0.5, t=2.0)

    by_hand = sdde.theory.DelaySystem(-0.4, -1.2, law)
    for delay in (sdde.RandomDelay(law), sdde.DistributedDelay(law)):
        assert system(delay).abscissa() == pytest.approx(by_hand.abscissa(), abs=1e-10)
    by_hand = sdde.theory.DelaySystem(-0.4, -1.2, 1.25)
    for delay in (
        sdde.TimeDelay(lambda t: 0.25 + 0.5 * t, longest=2.0),
        sdde.StateDelay(lambda t, x: 1.0 + x * x, longest=2.0),
    ):
        assert system(delay).abscissa() == pytest.approx(by_hand.abscissa(), abs=1e-12)
    with pytest.raises(ArgumentError, match=r"delays\[0\] = .* is spread over the past by a func"):
        system(sdde.DistributedDelay(np.cos, longest=1.0))
    with pytest.raises(ArgumentError, match=r"and the noise depends on it"):
        system(sdde.DistributedDelay(law), lambda t, x, d: 0.1 * d[0])
