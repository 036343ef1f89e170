"""Problems from and to SymPy: round trips, the same paths as hand-written functions, LaTeX."""

import numpy as np
import pytest
import sympy
from sympy import Abs, Function, Max, Min, Piecewise, Rational, exp, pi, sin, sqrt, symbols, tanh

import sdde
from sdde import models

X, Y = Function("x"), Function("y")
T, R, K, TAU, SIGMA = symbols("t r K tau sigma")


def at_random(problem, function, seed, n_delays=None):
    """Values of a problem's function at some random points, positive ones first."""
    rng = np.random.default_rng(seed)
    shape = problem.past.state_shape(0.0)
    n_delays = len(problem.delays) if n_delays is None else n_delays
    values = []
    for k in range(6):
        x = rng.uniform(0.2, 0.9, shape) if k < 3 else rng.normal(size=shape)
        late = rng.uniform(0.2, 0.9, (n_delays, *shape))
        values.append(np.array(function(rng.uniform(), x, late, *problem.args), dtype=float))
    return np.array(values)


def test_a_problem_from_expressions_has_the_paths_of_the_same_problem_in_python():
    """The two ways to say one equation."""
    written = sdde.Problem(
        lambda t, x, late, r, k: r * x * (1.0 - late[0] / k),
        lambda t, x, late, r, k: 0.1 * x, delays=0.9, history=0.5, args=(1.2, 2.0),
    )  # fmt: skip
    problem = sdde.Problem.from_sympy(
        R * X(T) * (1 - X(T - TAU) / K), 0.1 * X(T), state=X(T), history=0.5,
        parameters={R: 1.2, K: 2.0, TAU: 0.9},
    )  # fmt: skip
    assert problem.delays == (0.9,)
    one, other = (sdde.solve(p, (0, 5), dt=0.01, paths=3, rng=1).x for p in (written, problem))
    np.testing.assert_allclose(one, other, rtol=1e-10)


def test_systems_with_several_delays_and_every_kind_of_expression():
    """Choices, extrema, powers and constants mean in Python what they mean in SymPy."""
    drift = [
        R * X(T) * (1 - X(T - TAU)) + Max(Y(T - 2 * TAU), X(T), Rational(1, 3)),
        -Y(T) + sin(pi * X(T - TAU)) + Abs(Y(T)) ** Rational(1, 3)
        + Piecewise((exp(-T), (X(T) > 0) & (Y(T) < 1)), (tanh(T), Y(T) >= 2), (sqrt(2), True)),
    ]  # fmt: skip
    noise = [K * Min(X(T), 1), sympy.Mod(T, 1) + sympy.Heaviside(Y(T), Rational(1, 2))]
    problem = sdde.Problem.from_sympy(
        drift, noise, state=[X(T), Y(T)], history=[0.5, 0.1],
        parameters={"r": 1.2, TAU: 0.7, K: 0.3},
    )  # fmt: skip
    assert problem.delays == (1.4, 0.7)
    rng = np.random.default_rng(5)
    for _ in range(10):
        t, x, late = rng.uniform(0.0, 3.0), rng.normal(size=2), rng.normal(size=(2, 2))
        known = {R: 1.2, TAU: 0.7, K: 0.3}
        for state, i in ((X, 0), (Y, 1)):
            reads = {state(T): x[i], state(T - TAU): late[1, i], state(T - 2 * TAU): late[0, i]}
            known |= reads
        for function, expressions in ((problem.drift, drift), (problem.diffusion, noise)):
            exact = [float(e.xreplace(known).subs({T: t, **known})) for e in expressions]
            found = np.array(function(t, x, late, *problem.args), dtype=float)
            np.testing.assert_allclose(found, exact, rtol=1e-12)
    assert np.isfinite(sdde.solve(problem, (0, 3), dt=0.1, rng=1).x).all()


ROUND_TRIPS = {
    "hayes": models.hayes(-4.0, -2.0, 1.0, noise=1.1, noise_delayed=-1.2, offset=10.0),
    "geometric": models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6),
    "delayed_ornstein_uhlenbeck": models.delayed_ornstein_uhlenbeck(1.0, 0.5, 0.3),
    "delayed_oscillator": models.delayed_oscillator(0.4, 1.0, 0.7, delayed_damping=0.3, noise=1.0),
    "mackey_glass": models.mackey_glass(noise=0.1),
    "ikeda": models.ikeda(noise=0.1),
    "neural_loop": models.neural_loop([1.0, 0.5, -2.0], noise=0.1),
    "hutchinson": models.hutchinson(1.2, noise=0.1),
    "nicholson": models.nicholson(crowding=2.0, noise=0.1),
    "delayed_sir": models.delayed_sir(turnover=0.1, noise=0.2),
    "general noise": sdde.Problem(
        lambda t, x, late, a: -x,
        lambda t, x, late, a: ((a * x[0], late[0][1], 1.0), (0.0, t, a * x[1])),
        delays=0.5, history=[1.0, 2.0], noise="general", args=(0.3,), calculus="stratonovich",
    ),
    "no noise": sdde.Problem(
        lambda t, x, late: np.cos(t) - late[0] * late[1], delays=(1.0, 0.4), history=1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_problem_survives_the_way_to_expressions_and_back(name):
    """Functions agree at random points; delays, parameters and kind of noise are kept."""
    problem = ROUND_TRIPS[name]
    equations = problem.to_sympy()
    again = sdde.Problem.from_sympy(
        equations.drift, equations.diffusion, state=equations.state, history=problem.history,
        parameters=equations.values, noise=problem.noise, calculus=problem.calculus,
    )  # fmt: skip
    assert again.delays == problem.delays
    for function in ("drift", "diffusion"):
        one, other = getattr(problem, function), getattr(again, function)
        if one is None:
            assert other is None
        elif callable(one):
            found, expected = at_random(again, other, 1), at_random(problem, one, 1)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        else:
            full = np.broadcast_to(one, again.past.state_shape(0.0))
            np.testing.assert_array_equal(other, full)


def test_expressions_survive_the_way_through_a_problem():
    """Nothing is lost or evaluated on the way."""
    drift = R * X(T) * (1 - X(T - TAU) / K) - X(T - TAU) ** 3
    problem = sdde.Problem.from_sympy(
        drift, SIGMA * X(T - TAU), state=X(T), history=0.5,
        parameters={R: 1.2, K: 2.0, TAU: 0.9, SIGMA: 0.1},
    )  # fmt: skip
    found = problem.to_sympy()
    names = {str(symbol): symbol for symbol in found.values}
    renamed = {
        names["r"]: R,
        names["K"]: K,
        names["sigma"]: SIGMA,
        found.delays[0]: TAU,
        found.t: T,
    }
    function = Function("x", real=True)
    back = {function(T): X(T), function(T - TAU): X(T - TAU)}
    assert sympy.expand(found.drift.subs(renamed).subs(back) - drift) == 0
    assert found.diffusion.subs(renamed).subs(back) == SIGMA * X(T - TAU)
    assert {str(symbol): value for symbol, value in found.values.items()} == {
        "r": 1.2, "K": 2.0, "sigma": 0.1, "tau": 0.9, "tau_0": 0.9,
    }  # fmt: skip


def test_new_values_of_symbols_do_not_recompile(monkeypatch):
    """Parameters are args."""
    from sdde.engine import compile as compiling

    problem = sdde.Problem.from_sympy(
        -R * X(T - TAU), SIGMA * X(T), state=X(T), history=1.0,
        parameters={R: 1.0, SIGMA: 0.2, TAU: 1.0},
    )  # fmt: skip
    sdde.solve(problem, (0, 1), dt=0.1, rng=1)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(compiling, "_chunk", refuse)
    other = sdde.Problem.from_sympy(
        -R * X(T - TAU), SIGMA * X(T), state=X(T), history=1.0,
        parameters={R: 0.5, SIGMA: 0.1, TAU: 0.7},
    )  # fmt: skip
    sdde.solve(other, (0, 1), dt=0.1, rng=1)
    sdde.solve(problem.replace(args=(0.7, 0.1, 1.0), delays=0.3), (0, 1), dt=0.1, rng=1)


def test_an_expression_without_symbols_is_additive_noise():
    """Methods know additive noise by it."""
    one = sdde.Problem.from_sympy(-X(T), sqrt(2) / 2, state=X(T), history=1.0)
    assert float(one.diffusion) == pytest.approx(0.5**0.5)
    both = {"state": [X(T), Y(T)], "history": [1.0, 1.0]}
    two = sdde.Problem.from_sympy([-X(T), -Y(T)], Rational(1, 4), **both)
    np.testing.assert_array_equal(two.diffusion, [0.25, 0.25])
    column = sympy.Matrix([[Rational(1, 4)], [2]])
    three = sdde.Problem.from_sympy(sympy.Matrix([-X(T), -Y(T)]), column, **both)
    np.testing.assert_array_equal(three.diffusion, [0.25, 2.0])


def test_names_that_cannot_be_arguments_are_replaced():
    """Greek keywords, primes and clashes must not break the written function."""
    symbols_ = symbols("lambda x' delayed t_0 numpy")
    drift = sum(symbols_) * X(T)
    problem = sdde.Problem.from_sympy(
        drift, state=X(T), history=1.0, parameters=dict(zip(symbols_, range(1, 6), strict=True))
    )
    assert problem.drift(0.0, 2.0, np.empty(0), *problem.args) == 30.0


def test_latex_of_a_notebook():
    """What a notebook shows."""
    assert models.delayed_ornstein_uhlenbeck(1.0, 0.5, 0.25)._repr_latex_() == (
        r"$\displaystyle \begin{aligned}dx{\left(t \right)} &= "
        r"\left(- \mathrm{rate}\,x{\left(t - \tau_{0} \right)}\right)\,dt"
        r" + 0.25\,dW(t)\end{aligned}$"
    )
    latex = models.delayed_sir(noise=0.1).to_sympy().latex
    assert latex.count("dW(t)") == 2
    assert r"dx_{1}{\left(t \right)} &=" in latex
    greek = sdde.Problem(lambda t, x, late, sigma_0: sigma_0 * x, history=1.0, args=(1.0,))
    assert r"\sigma_{0}\,x" in greek.to_sympy().latex
    equations = ROUND_TRIPS["general noise"].to_sympy()
    assert equations.latex.count(r"\circ dW_{1}(t)") == 2
    assert "dN_{0}(t)" in models.async_sgd().to_sympy().latex
    assert models.hawkes().to_sympy().latex.endswith(r"dt + dN_{0}(t)\end{aligned}")
    assert (
        sdde.Problem(lambda t, x, d: 0.0, history=1.0)
        .to_sympy()
        .latex.endswith("&= 0\\end{aligned}")
    )


def test_jumps_are_expressions_too():
    """Rate, effect, own delays and mark."""
    ((rate, effect),) = models.async_sgd().to_sympy().jumps
    assert rate == 5
    assert str(effect) == "-learning_rate*(curvature*x(t - theta_0) + m*noise)"
    ((rate, effect),) = models.hawkes().to_sympy().jumps
    assert str(rate) == "base + gain*x(t - tau_0)"
    assert effect == 1


def branching(t, x, delayed):
    return -x if x > 0.0 else x


def test_a_function_that_branches_has_no_expression():
    """It still runs; a notebook then shows its text."""
    problem = sdde.Problem(branching, history=1.0)
    large = sdde.Problem(lambda t, x, late: -x, history=np.ones(13))
    assert large._repr_latex_() is None  # would fill pages
    assert large.replace(history=np.ones(12))._repr_latex_().count("&=") == 12
    with pytest.raises(
        sdde.ArgumentError, match=r"drift cannot be read as expressions: .*branches"
    ):
        problem.to_sympy()
    assert problem._repr_latex_() is None


def test_delays_that_vary_are_expressions():
    """x(t / 2) and x(t - x(t)) in both directions; averages over the past as integrals."""
    drift = -R * X(T / 2) + X(T - SIGMA - X(T) ** 2)
    problem = sdde.Problem.from_sympy(
        drift, state=X(T), history=0.5, parameters={R: 0.5, SIGMA: 0.1}, longest=2.0
    )
    kinds = {type(delay) for delay in problem.delays}
    assert kinds == {sdde.TimeDelay, sdde.StateDelay}
    written = sdde.Problem(
        lambda t, x, late, r, s: -r * late[0] + late[1],
        delays=(
            sdde.TimeDelay(lambda t, r, s: 0.5 * t, 2.0),
            sdde.StateDelay(lambda t, x, r, s: s + x * x, 2.0),
        ), history=0.5, args=(0.5, 0.1),
    )  # fmt: skip
    one, other = (sdde.solve(p, (0, 2), dt=1 / 64).x for p in (problem, written))
    np.testing.assert_allclose(one, other, rtol=1e-12)
    for equations in (problem.to_sympy(), written.to_sympy()):
        r, s = (symbol for symbol in equations.values if symbol.name in ("r", "s", "sigma"))
        x = Function("x", real=True)
        t = equations.t
        expected = -r * x(t / 2) + x(t - s - x(t) ** 2)
        assert equations.drift.xreplace({sympy.Float(0.5): Rational(1, 2)}) - expected == 0
    memory = sdde.Problem(
        lambda t, x, late: -late[0], delays=sdde.DistributedDelay(lambda s: 1.0, 1.0), history=1.0
    )
    assert str(memory.to_sympy().drift) == "-Integral(k_0(u)*x(t - u), (u, 0, oo))"
    drawn = memory.replace(delays=sdde.RandomDelay(1.0))
    assert str(drawn.to_sympy().drift) == "-x(t - tau_0)"
