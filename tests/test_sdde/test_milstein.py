"""Milstein's scheme and the implicit ones: twins, exact solutions, refusals."""

import math

import numpy as np
import pytest

import sdde
from tests import reference_schemes as reference


def _drift(t, x, d):
    return np.array([0.3 * d[0][1] - x[0], np.sin(x[0]) - x[1] + 0.1 * t])


def _matrix(t, x, d):
    return np.array(
        [
            [0.2 * x[0] * x[1], 0.3 * np.sin(d[0][0]), 0.1],
            [0.1 + 0.2 * x[0], 0.3 * x[1], 0.2 * d[1][1] * x[0]],
        ]
    )


def _matrix_slopes(t, x, d):
    by_state = np.zeros((2, 3, 2))
    by_state[0, 0] = 0.2 * x[1], 0.2 * x[0]
    by_state[1, 0] = 0.2, 0.0
    by_state[1, 1] = 0.0, 0.3
    by_state[1, 2] = 0.2 * d[1][1], 0.0
    by_delayed = np.zeros((2, 3, 2, 2))
    by_delayed[0, 1, 0, 0] = 0.3 * np.cos(d[0][0])
    by_delayed[1, 2, 1, 1] = 0.2 * x[0]
    return by_state, by_delayed


def _vector(t, x, d):
    return np.array([0.2 * x[0] * x[1] + 0.1, 0.3 * x[1] + 0.2 * d[0][0]])


def _vector_slopes(noise):
    def slopes(t, x, d):
        by_state = np.array([[0.2 * x[1], 0.2 * x[0]], [0.0, 0.3]])
        by_delayed = np.zeros((2, 2, 2))
        by_delayed[1, 0, 0] = 0.2
        if noise == "scalar":
            return by_state[:, None], by_delayed[:, None]
        rows = np.eye(2)[:, :, None]
        return rows * by_state[:, None], rows[..., None] * by_delayed[:, None]

    return slopes


@pytest.mark.parametrize("calculus", ["ito", "stratonovich"])
@pytest.mark.parametrize("noise", ["diagonal", "scalar", "general"])
def test_a_milstein_path_equals_its_plain_python_twin(noise, calculus):
    """Derivatives by hand and integrals from recorded increments, at the finest step and above."""
    diffusion = _matrix if noise == "general" else _vector
    matrix = diffusion if noise == "general" else reference.as_matrix(diffusion, noise)
    slopes = _matrix_slopes if noise == "general" else _vector_slopes(noise)
    channels = {"general": 3, "diagonal": 2, "scalar": 1}[noise]
    delays, history = (0.5, 0.25), [1.0, 0.5]
    problem = sdde.Problem(
        _drift, diffusion, delays=delays, history=history, noise=noise, calculus=calculus
    )
    record = 0.25 * np.random.default_rng(1).normal(size=(9, 48, channels))
    given = sdde.Brownian.from_increments(record, 1 / 24)
    for fine, paths in ((1, 1), (3, 9)):
        dt = fine / 24
        twin = reference.milstein(
            _drift, matrix, slopes, delays, lambda t: history, 0.0, dt, record[paths - 1], fine,
            strat=calculus == "stratonovich",
        )  # fmt: skip
        got = sdde.solve(problem, (0.0, 2.0), dt=dt, paths=paths, noise=given, method="milstein")
        np.testing.assert_allclose(got.x[-1], twin, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("paths", [5, 70])
def test_a_path_does_not_depend_on_what_else_is_computed(paths):
    """Integrals too are functions of the path's own addresses."""
    problem = sdde.Problem(_drift, _matrix, delays=(0.5, 0.25), history=[1.0, 0.5], noise="general")
    span = {"t_span": (0.0, 2.0), "dt": 1 / 16, "method": "milstein"}
    many = sdde.solve(problem, paths=150, rng=2, threads=1, **span)
    few = sdde.solve(problem, paths=paths, rng=2, threads=2, **span)
    np.testing.assert_array_equal(few.x, many.x[:paths])
    alone = sdde.solve(problem, rng=2, **span)
    np.testing.assert_array_equal(alone.x[0], many.x[0])
    named = sdde.solve(problem, paths=5, noise=sdde.Brownian(2, finest=1 / 16), **span)
    np.testing.assert_array_equal(named.x, many.x[:5])


def test_a_delay_of_zero_is_the_equation_without_delay():
    """The delayed integrals become the ordinary ones."""

    def matrix(t, x, late):
        return np.array([[0.3 * late[1], 0.2], [0.4 * x[0], 0.3 * late[0] * x[1]]])

    plain = sdde.Problem(
        lambda t, x, d: -x, lambda t, x, d: matrix(t, x, x), history=[1.0, 0.5], noise="general"
    )
    late = plain.replace(diffusion=lambda t, x, d: matrix(t, x, d[0]), delays=0.0)
    one, other = (
        sdde.solve(p, (0.0, 1.0), dt=1 / 16, paths=9, rng=3, method="milstein").x
        for p in (plain, late)
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_milstein_with_additive_noise_is_euler_maruyama():
    """There is nothing to correct."""
    problem = sdde.Problem(lambda t, x, d: -d[0], 0.5, delays=0.3, history=1.0)
    one, other = (
        sdde.solve(problem, (0.0, 1.0), dt=0.07, paths=3, rng=3, method=name).x
        for name in ("milstein", "euler-maruyama")
    )
    np.testing.assert_allclose(one, other, rtol=1e-14)


class _Noise:
    """g dW of a run, for the implicit twin."""

    def __init__(self, diffusion, moves):
        self.diffusion, self.moves, self.steps = diffusion, moves, len(moves)

    def __call__(self, n, t, x, d):
        return np.asarray(self.diffusion(t, x, d)) * self.moves[n]


def _stiff(t, x, d):
    return np.array(
        [
            -50.0 * (x[0] - np.cos(x[1])) + d[0][1],
            x[0] - x[1] ** 3 - 2.0 * x[2] + d[1][0],
            20.0 * (d[0][0] - x[2]) + 0.1 * t,
        ]
    )


def _stiff_noise(t, x, d):
    return np.array([0.2, 0.1 * x[1], 0.1 * d[0][2]])


@pytest.mark.parametrize(("method", "theta"), [("theta", 0.5), ("implicit-euler", 1.0)])
@pytest.mark.parametrize("delays", [(0.03, 0.0), (0.4, 0.25)])
def test_an_implicit_path_solves_its_equation(method, theta, delays):
    """Newton's steps with the traced Jacobian reach what a library's solver reaches."""
    problem = sdde.Problem(_stiff, _stiff_noise, delays=delays, history=[1.0, 0.5, 0.2])
    moves = sdde.Brownian(4, finest=0.05).increments(0.05, 20, 3, 3)[2]
    twin = reference.implicit(
        theta, _stiff, delays, lambda t: [1.0, 0.5, 0.2], 0.0, 0.05, _Noise(_stiff_noise, moves)
    )
    many = sdde.solve(problem, (0.0, 1.0), dt=0.05, paths=3, rng=4, method=method)
    np.testing.assert_allclose(many.x[2], twin, rtol=1e-6, atol=1e-7)
    alone = sdde.solve(problem, (0.0, 1.0), dt=0.05, rng=4, method=method)
    np.testing.assert_array_equal(alone.x[0], many.x[0])


def test_a_stiff_drift_is_held_at_steps_where_explicit_ones_blow_up():
    """dx = -1000 (x - cos t) dt: h = 1/20 is 25 times what Euler-Maruyama bears."""
    problem = sdde.Problem(lambda t, x, d: -1000.0 * (x - np.cos(t)), 0.1, history=0.0)
    end = sdde.solve(problem, (0.0, 2.0), dt=0.05, paths=20, rng=1, method="implicit-euler")
    assert np.abs(end.x[:, 5:] - np.cos(end.t[5:])).max() < 0.1
    with pytest.warns(sdde.SolutionWarning, match="20 of 20 paths diverged"):
        sdde.solve(problem, (0.0, 2.0), dt=0.05, paths=20, rng=1)


def test_milstein_of_a_geometric_walk_is_its_polynomial():
    """dx = c x dW: the step is the factor 1 + c w + c^2 (w^2 - h) / 2, written out here."""
    problem = sdde.Problem(lambda t, x, d: 0.0, lambda t, x, d: 0.5 * x, history=1.0)
    w = sdde.Brownian(1, finest=0.1).increments(0.1, 10, 4)[:, :, 0]
    x = sdde.solve(problem, (0.0, 1.0), dt=0.1, paths=4, rng=1, method="milstein").x
    factors = 1.0 + 0.5 * w + 0.125 * (w * w - 0.1)
    np.testing.assert_allclose(x[:, 1:], factors.cumprod(axis=1), rtol=1e-12)


def _branching(t, x, d):
    return x if x > 0.0 else 2.0 * x


JUMP = sdde.Jump(1.0, lambda t, x, d, mark: 1.0)


@pytest.mark.parametrize(
    ("method", "changes", "match"),
    [
        ("milstein", {"diffusion": _branching}, "needs the derivative of diffusion"),
        ("theta", {"drift": _branching}, r"of drift, which(.|\n)*method = 'euler-maruyama'"),
        ("theta", {"history": np.ones(17)}, "at most 16 components"),
        ("milstein", {"jumps": JUMP}, "does not take jumps"),
        ("milstein", {"delays": 0.25}, r"dt = 0.1 does not divide delays\[0\] = 0.25"),
        ("milstein", {"delays": 0.25}, r"dt = 0.125 \(2 steps\) or dt = 0.0833\d* \(3 steps\)"),
        ("milstein", {"delays": 0.04}, r"work: dt = 0.04 \(1 step\)"),
        ("milstein", {"delays": 0.0, "calculus": "stratonovich"}, "is zero where the noise sees"),
        ("theta", {"calculus": "stratonovich"}, "does not follow calculus"),
    ],
)
def test_what_a_method_cannot_do_is_refused(method, changes, match, monkeypatch):
    """Each refusal names what to do instead, before anything is compiled."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    arguments = {
        "drift": lambda t, x, d: -x, "diffusion": lambda t, x, d: 0.1 * x * d[0], "delays": 0.5,
        "history": 1.0,
    }  # fmt: skip
    problem = sdde.Problem(**arguments | changes)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(problem, (0.0, 1.0), dt=0.1, method=method)


def test_delays_that_the_noise_does_not_see_may_lie_off_the_grid():
    """Only the noise needs the grid."""
    problem = sdde.Problem(lambda t, x, d: -d[0], lambda t, x, d: 0.2 * x, delays=0.25, history=1.0)
    end = sdde.solve(problem, (0.0, 1.0), dt=0.1, rng=1, method="milstein")
    assert math.isfinite(end.x[0, -1])


def test_hits_and_extensions_work_beside_what_the_method_keeps():
    """The ring holds past diffusions behind the state; runs that stop or go on must not mind."""
    problem = sdde.Problem(
        lambda t, x, d: -x + 0.5 * d[0], lambda t, x, d: 0.3 * x + 0.4 * d[0], delays=0.5,
        history=1.0,
    )  # fmt: skip
    settings = {"dt": 1 / 16, "rng": 1, "method": "milstein"}
    whole = sdde.solve(problem, (0.0, 4.0), paths=9, **settings)
    parts = sdde.solve(problem, (0.0, 1.0), paths=9, **settings).extend(4.0)
    np.testing.assert_array_equal(parts.x, whole.x)
    hits = [
        sdde.solve(
            problem, (0.0, 4.0), paths=n, until=sdde.Hit(lambda t, x, d: x - 0.8), **settings
        )
        for n in (1, 9)
    ]
    assert hits[0].hit_time[0] == hits[1].hit_time[0]
    for path, time in enumerate(hits[1].hit_time):
        before = whole.t < time
        assert (whole.x[path, before] > 0.8).all()
        np.testing.assert_array_equal(hits[1].x[path, before], whole.x[path, before])
