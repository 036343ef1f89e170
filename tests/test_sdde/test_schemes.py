"""Schemes: equality with plain Python twins, noise kinds, exact moments, refusals."""

import math
import warnings

import numpy as np
import pytest

import sdde
from sdde.engine.methods import METHODS
from sdde.engine.noise_classes import CLASSES, noise_class
from tests import reference_schemes as reference

EXPLICIT = ("euler-maruyama", "heun", "tamed-euler", "euler-heun")
SPAN = (0.5, 1.5)


def _calculus(method):
    return "stratonovich" if method == "euler-heun" else "ito"


def _twin(method, problem, drift, matrix, dt, path, channels, seed=3):
    steps = round((SPAN[1] - SPAN[0]) / dt)
    noise = sdde.Brownian(seed, finest=dt)
    moves = noise.increments(dt, steps, path + 1, channels)[path]

    def history(t):
        return np.atleast_1d(problem.past.at(np.array([t]))[0, 0])

    return reference.path(
        method, drift, matrix, problem.delays, history, SPAN[0], dt, moves, problem.args
    )


def _scalar_drift(t, x, d, a):
    return -a * x + sum(late / (1.0 + late * late) for late in d) + 0.1 * t


def _scalar_diffusion(t, x, d, a):
    return 0.1 + 0.2 * x + sum(0.1 * np.sin(late) for late in d)


@pytest.mark.parametrize("method", EXPLICIT)
@pytest.mark.parametrize("delays", [(0.004,), (0.33, 0.5)])
def test_a_scalar_path_equals_its_plain_python_twin(method, delays):
    """The twin is written from the formula, so the compiled loop is that formula."""
    problem = sdde.Problem(
        _scalar_drift, _scalar_diffusion, delays=delays, history=lambda t: 1.0 - 0.1 * t * t,
        args=(1.5,), calculus=_calculus(method),
    )  # fmt: skip
    twin = _twin(
        method, problem,
        lambda t, x, d, a: [_scalar_drift(t, x[0], d[:, 0], a)],
        lambda t, x, d, a: [[_scalar_diffusion(t, x[0], d[:, 0], a)]],
        0.01, 4, 1,
    )  # fmt: skip
    many = sdde.solve(problem, SPAN, dt=0.01, paths=5, rng=3, method=method)
    np.testing.assert_allclose(many.x[4], twin[:, 0], rtol=1e-12)
    alone = sdde.solve(problem, SPAN, dt=0.01, rng=3, method=method)
    np.testing.assert_array_equal(alone.x[0], many.x[0])


def _planar_drift(t, x, d, a):
    return np.array([a * (d[0][1] - x[0]), x[0] * (1.0 - x[1]) - d[1][1] + 0.1 * t])


def _planar_vector(t, x, d, a):
    return np.array([0.2 + 0.1 * x[0], 0.3 * d[0][0]])


def _planar_matrix(t, x, d, a):
    return np.array([[0.1 * x[0], 0.2, 0.0], [0.1 + 0.01 * t, 0.1 * x[1], 0.2 * d[1][0]]])


@pytest.mark.parametrize(
    ("method", "noise"),
    [
        ("euler-maruyama", "general"), ("heun", "diagonal"), ("heun", "general"),
        ("tamed-euler", "scalar"), ("euler-heun", "scalar"), ("euler-heun", "general"),
    ],
)  # fmt: skip
def test_a_system_path_equals_its_plain_python_twin(method, noise):
    """Components, delays and noise channels must not be mixed up."""
    diffusion = _planar_matrix if noise == "general" else _planar_vector
    matrix = diffusion if noise == "general" else reference.as_matrix(diffusion, noise)
    problem = sdde.Problem(
        _planar_drift, diffusion, delays=(0.2, 0.033), history=[1.0, 2.0], args=(2.0,),
        noise=noise, calculus=_calculus(method),
    )  # fmt: skip
    channels = {"diagonal": 2, "scalar": 1, "general": 3}[noise]
    twin = _twin(method, problem, _planar_drift, matrix, 0.02, 3, channels)
    many = sdde.solve(problem, SPAN, dt=0.02, paths=70, rng=3, method=method)
    np.testing.assert_allclose(many.x[3], twin, rtol=1e-11)
    alone = sdde.solve(problem, SPAN, dt=0.02, rng=3, method=method)
    np.testing.assert_array_equal(alone.x[0], many.x[0])


def _branching(t, x, d, a):
    return -a * x if x > 0.9 else 0.5 * d[0]


def _branching_noise(t, x, d, a):
    return np.array([0.3 * x if x > 1.0 else 0.2, 0.1 * d[0]])


@pytest.mark.parametrize("method", EXPLICIT)
def test_functions_that_are_called_serve_every_scheme(method):
    """What is no straight line is compiled as it stands, with a matrix of noise as well."""
    problem = sdde.Problem(
        _branching, _branching_noise, delays=0.1, history=1.0, args=(2.0,), noise="general",
        calculus=_calculus(method),
    )  # fmt: skip
    twin = _twin(
        method, problem,
        lambda t, x, d, a: [_branching(t, x[0], d[:, 0], a)],
        lambda t, x, d, a: [_branching_noise(t, x[0], d[:, 0], a)],
        0.02, 2, 2,
    )  # fmt: skip
    solution = sdde.solve(problem, SPAN, dt=0.02, paths=3, rng=3, method=method)
    np.testing.assert_allclose(solution.x[2], twin[:, 0], rtol=1e-12)


WEIGHTS = np.random.default_rng(1).normal(size=(20, 20)) / 5.0
LOADS = np.random.default_rng(2).normal(size=(20, 3)) / 5.0


def _large_drift(t, x, d):
    return WEIGHTS @ np.tanh(d[0]) - x


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("euler-maruyama", "matrix"), ("heun", "diagonal"), ("tamed-euler", "constant matrix"),
        ("euler-heun", "matrix"),
    ],
)  # fmt: skip
def test_large_systems_equal_their_plain_python_twin(method, kind):
    """Beyond 16 components functions are called with arrays of many paths."""

    def loads(t, x, d):
        out = np.zeros((20, 3))
        for k in range(3):
            out[:, k] = LOADS[:, k] * np.tanh(x)
        return out

    diffusion = {"diagonal": lambda t, x, d: 0.2 * x, "matrix": loads, "constant matrix": LOADS}
    problem = sdde.Problem(
        _large_drift, diffusion[kind], delays=0.1, history=np.linspace(0.1, 1.0, 20),
        noise="diagonal" if kind == "diagonal" else "general", calculus=_calculus(method),
    )  # fmt: skip
    matrix = {
        "diagonal": lambda t, x, d: np.diag(0.2 * x), "matrix": loads,
        "constant matrix": lambda t, x, d: LOADS,
    }  # fmt: skip
    channels = 20 if kind == "diagonal" else 3
    twin = _twin(method, problem, _large_drift, matrix[kind], 0.02, 2, channels)
    solution = sdde.solve(problem, SPAN, dt=0.02, paths=3, rng=3, method=method)
    np.testing.assert_allclose(solution.x[2], twin, rtol=1e-11)


@pytest.mark.parametrize("method", EXPLICIT)
def test_arrivals_come_on_top_of_every_scheme(method):
    """Without drift and with additive noise all schemes agree, so their jumps must."""
    jump = sdde.Jump(4.0, lambda t, x, d, mark: 0.5 - d[0], delays=[0.05])
    problem = sdde.Problem(lambda t, x, d: 0.0, 0.3, history=1.0, jumps=jump)
    runs = [
        sdde.solve(problem, (0.0, 2.0), dt=0.1, paths=9, rng=5, method=name).x
        for name in ("euler-maruyama", method)
    ]
    np.testing.assert_array_equal(*runs)


def test_matrix_noise_with_one_entry_in_each_row_is_diagonal_noise():
    """Two ways to write the same equation."""
    general = sdde.Problem(
        lambda t, x, d: -x, lambda t, x, d: np.diag(0.1 + 0.2 * x), history=[1.0, 2.0],
        noise="general",
    )  # fmt: skip
    diagonal = general.replace(diffusion=lambda t, x, d: 0.1 + 0.2 * x, noise="diagonal")
    one, other = (sdde.solve(p, (0.0, 1.0), dt=0.1, paths=3, rng=1).x for p in (general, diagonal))
    np.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize(("steps", "paths"), [(8, 200_000)])
def test_stratonovich_mean_is_exact(steps, paths):
    """For dx = 0.5 x o dW, E x(1) = exp(1/8); the scheme's own mean is (1 + h/8)**steps."""
    problem = sdde.Problem(
        lambda t, x, d: 0.0, lambda t, x, d: 0.5 * x, history=1.0, calculus="stratonovich"
    )
    end = sdde.solve(
        problem, (0.0, 1.0), dt=1.0 / steps, paths=paths, rng=4, method="euler-heun", save="final"
    ).x[:, 0]
    exact = (1.0 + 0.125 / steps) ** steps
    assert exact == pytest.approx(math.exp(0.125), rel=1e-3)
    assert abs(end.mean() - exact) < 5.0 * end.std() / math.sqrt(paths)  # false alarm 6e-7


def test_tamed_euler_reaches_what_euler_maruyama_loses():
    """From x = 20 one step of Euler-Maruyama at h = 1/32 leaps beyond -200; taming holds it."""
    problem = sdde.Problem(lambda t, x, d: x - x**3, lambda t, x, d: 0.5 * x, history=20.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdde.SolutionWarning)
        lost = sdde.solve(problem, (0.0, 2.0), dt=1 / 32, paths=50, rng=1)
    assert (lost.status == "diverged").all()
    tamed = sdde.solve(problem, (0.0, 2.0), dt=1 / 32, paths=50, rng=1, method="tamed-euler")
    assert (tamed.status == "done").all()
    assert np.abs(tamed.x[:, -1]).max() < 3.0


@pytest.mark.parametrize(
    ("method", "calculus", "match"),
    [
        ("euler-maruyama", "stratonovich", "Methods that do: 'milstein', 'euler-heun'"),
        ("heun", "stratonovich", "does not follow calculus"),
        ("tamed-euler", "stratonovich", "another drift"),
        ("euler-heun", "ito", "Methods that do: 'euler-maruyama'"),
    ],
)
def test_a_scheme_of_the_other_calculus_is_refused(method, calculus, match, monkeypatch):
    """It would converge, to another equation; additive noise is the same in both."""
    problem = sdde.Problem(lambda t, x, d: -x, lambda t, x, d: x, history=1.0, calculus=calculus)
    still = [problem.replace(diffusion=g) for g in (0.1, lambda t, x, d: 0.1 + t, None)]
    for other in still:
        sdde.solve(other, (0.0, 0.2), dt=0.1, rng=1, method=method)
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(problem, (0.0, 1.0), dt=0.1, method=method)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"diffusion": np.ones((2, 3))}, r'has shape \(2, 3\), .*\n.*\n.*noise = "general"'),
        ({"diffusion": np.ones((3, 2)), "noise": "general"}, r"expected \(2, m\)"),
        ({"diffusion": 1.0, "noise": "general"}, r"has shape \(\), expected \(dim, m\)"),
        ({"diffusion": np.ones((2, 0)), "noise": "general"}, r"expected \(2, m\)"),
        ({"diffusion": lambda t, x, d: x, "noise": "general"}, r"\(2,\) at .* expected \(2, m\)"),
        ({"diffusion": lambda t, x, d: np.ones((2, 2))}, 'pass noise="general"'),
        ({"noise": "full"}, "noise = 'full' is not known"),
        ({"calculus": "strat"}, "calculus = 'strat' is not known"),
    ],
)
def test_misuse_of_noise_is_refused(changes, match, monkeypatch):
    """Shapes that do not fit, with the shape that does."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)

    def solve():
        problem = sdde.Problem(lambda t, x, d: -x, history=[1.0, 2.0], **changes)
        sdde.solve(problem, (0.0, 1.0), dt=0.1)

    with pytest.raises(sdde.ArgumentError, match=match):
        solve()


def test_every_method_declares_an_order_for_every_class_of_noise_it_takes():
    """Users choose methods by them; the measured orders are in `test_orders`."""
    assert METHODS["euler-maruyama"].orders["additive"] == (1.0, 1.0)
    assert METHODS["euler-maruyama"].orders["delayed"] == (0.5, 1.0)
    for method in METHODS.values():
        assert set(method.orders) <= set(CLASSES)
        assert all(0.0 < order.strong <= order.weak <= 2.0 for order in method.orders.values())


@pytest.mark.parametrize(
    ("diffusion", "changes", "expected"),
    [
        (None, {}, "none"),
        (0.3, {}, "additive"),
        (lambda t, x, d: [0.1 + t, 0.2], {}, "additive"),
        (lambda t, x, d: 0.1 * x, {}, "diagonal"),
        (lambda t, x, d: 0.1 * x[::-1], {}, "general"),
        (lambda t, x, d: 0.1 * x[::-1], {"noise": "scalar"}, "commutative"),
        (lambda t, x, d: x + d[0], {}, "delayed"),
        (lambda t, x, d: [[x[0], 0.0], [0.0, x[1]]], {"noise": "commutative"}, "commutative"),
        (lambda t, x, d: [[x[0], 0.0], [0.0, x[1]]], {"noise": "general"}, "general"),
        (lambda t, x, d: x if x[0] > 0.0 else 2.0 * x, {}, "delayed"),
        (lambda t, x, d: x if x[0] > 0.0 else 2.0 * x, {"delays": ()}, "general"),
    ],
)
def test_the_class_of_noise_is_read_from_the_functions(diffusion, changes, expected):
    """The order of a method depends on it."""
    arguments = {"delays": 0.5, "history": [1.0, 2.0]} | changes
    problem = sdde.Problem(lambda t, x, d: -x, diffusion, **arguments)
    assert noise_class(problem, (2,)) == expected
