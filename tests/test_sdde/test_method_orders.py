"""Measured orders: strong ones on common noise, weak ones from exact moments, each within 0.12.

Strong: root mean square errors at the end over the same 1000 Brownian paths at all steps, against
Milstein's scheme at the finest. Weak: Wiener increments are replaced by two- or three-point laws
with the moments that the schemes' second moments depend on, over all paths of which the sum is
exact, so there is no statistical error; the exact moments come from the theory of delay systems.
"""

import functools
import itertools
import math

import numpy as np
import pytest

import sdde
from sdde.engine.methods import METHODS
from sdde.theory import DelaySystem

STEPS = tuple(2.0**-k for k in (3, 4, 5, 6))
FINEST = 2.0**-10
PATHS = 1000
TURN = np.array([[0.1, -0.6], [0.6, 0.1]])
SHEAR, LIFT = np.array([[0.0, 0.7], [0.0, 0.0]]), np.array([[0.2, 0.0], [0.7, 0.0]])


def _drift(t, x, d):
    return 0.5 * np.sin(d[0]) - x


EQUATIONS = {
    "additive": sdde.Problem(_drift, 0.5, delays=0.5, history=1.0),
    "diagonal": sdde.Problem(
        _drift, lambda t, x, d: 0.4 + 0.9 * np.sin(x), delays=0.5, history=1.0
    ),
    "delayed": sdde.Problem(
        _drift, lambda t, x, d: 0.3 * x + 0.8 * d[0], delays=0.25, history=1.0
    ),
    "commutative": sdde.Problem(
        _drift, lambda t, x, d: np.stack([0.5 * x, TURN @ x], axis=1), delays=0.5,
        history=[1.0, 0.5], noise="commutative",
    ),
    "general": sdde.Problem(
        _drift, lambda t, x, d: np.stack([SHEAR @ x, LIFT @ x], axis=1), delays=0.5,
        history=[1.0, 0.5], noise="general",
    ),
}  # fmt: skip


def _ends(kind, calculus, method, dt):
    problem = EQUATIONS[kind].replace(calculus=calculus)
    end = sdde.solve(
        problem, (0.0, 1.0), dt=dt, paths=PATHS, noise=sdde.Brownian(7, finest=FINEST),
        method=method, save="final",
    )  # fmt: skip
    return end.x[:, 0].reshape(PATHS, -1)


@functools.cache
def _reference(kind, calculus):
    return _ends(kind, calculus, "milstein", FINEST)


def _slope(steps, errors):
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def _strong_order(kind, calculus, ends_at):
    exact = _reference(kind, calculus)
    errors = [math.sqrt(np.mean(((ends_at(dt) - exact) ** 2).sum(axis=1))) for dt in STEPS]
    return _slope(STEPS, errors)


QUICK = {
    ("euler-maruyama", "additive"), ("euler-maruyama", "delayed"), ("euler-maruyama", "general"),
    ("milstein", "diagonal"), ("milstein", "delayed"), ("milstein", "general"),
    ("heun", "additive"), ("euler-heun", "commutative"), ("euler-heun", "general"),
}  # fmt: skip
CLAIMS = [
    pytest.param(name, kind, marks=() if (name, kind) in QUICK else pytest.mark.slow)
    for name, kind in itertools.product(METHODS, EQUATIONS)
]


@pytest.mark.parametrize(("name", "kind"), CLAIMS)
def test_the_strong_order_is_the_declared_one(name, kind):
    """Every method and class of noise that it takes; the spread over seeds is about 0.03."""
    method = METHODS[name]
    calculus = "ito" if "ito" in method.calculi else "stratonovich"
    measured = _strong_order(kind, calculus, lambda dt: _ends(kind, calculus, name, dt))
    assert abs(measured - method.orders[kind].strong) < 0.12


def test_milstein_without_the_delayed_integral_has_order_one_half():
    """The control: the scheme that uses the derivative by x alone, in NumPy on the same noise."""
    noise = sdde.Brownian(7, finest=FINEST)

    def naive(dt):
        w = noise.increments(dt, round(1.0 / dt), PATHS)[:, :, 0]
        lag = round(0.25 / dt)
        states = [np.ones(PATHS)] * (lag + 1)
        for n in range(w.shape[1]):
            x, late = states[-1], states[-1 - lag]
            g = 0.3 * x + 0.8 * late
            move = (0.5 * np.sin(late) - x) * dt + g * w[:, n]
            states.append(x + move + 0.5 * 0.3 * g * (w[:, n] ** 2 - dt))
        return states[-1][:, None]

    assert abs(_strong_order("delayed", "ito", naive) - 0.5) < 0.12


def _all_paths(steps, dt, *, points):
    """All paths of a discrete law with the moments of a Wiener increment, and their weights.

    Two points serve where the second moment of the scheme is quadratic in each increment, three
    (which match five moments) where it is of fourth degree.
    """
    values, weights = ((-1.0, 1.0), (0.5, 0.5))
    if points == 3:
        values, weights = (-math.sqrt(3.0), 0.0, math.sqrt(3.0)), (1 / 6, 2 / 3, 1 / 6)
    paths = np.array(list(itertools.product(values, repeat=steps)))
    share = np.array([math.prod(w) for w in itertools.product(weights, repeat=steps)])
    return math.sqrt(dt) * paths[:, :, None], share


def _weak_order(problem, method, exact, *, counts, points):
    errors = []
    for steps in counts:
        moves, share = _all_paths(steps, 1.0 / steps, points=points)
        noise = sdde.Brownian.from_increments(moves, 1.0 / steps)
        end = sdde.solve(
            problem, (0.0, 1.0), dt=1.0 / steps, paths=len(share), noise=noise, method=method,
            save="final",
        )  # fmt: skip
        errors.append(abs(share @ end.x[:, 0] ** 2 - exact))
    return _slope([1.0 / steps for steps in counts], errors)


@pytest.mark.parametrize("name", ["euler-maruyama", "heun", "tamed-euler", "theta", "milstein"])
def test_the_weak_order_with_additive_noise_is_the_declared_one(name):
    """E x(1)^2 of dx = (-0.6 x - 0.4 x(t - 1/2)) dt + dW: Gaussian, so two points are exact."""
    system = DelaySystem(-0.6, -0.4, 0.5, noise=1.0)
    exact = float(system.variance(1.0)) + float(system.mean(1.0, history=0.1)) ** 2
    problem = sdde.Problem(lambda t, x, d: -0.6 * x - 0.4 * d[0], 1.0, delays=0.5, history=0.1)
    measured = _weak_order(problem, name, exact, counts=(4, 8, 14), points=2)
    if name == "tamed-euler":  # not linear in the noise: its order, from the same paths
        assert measured > 0.88
        return
    assert abs(measured - METHODS[name].orders["additive"].weak) < 0.12


@pytest.mark.parametrize(
    ("name", "points", "c"),
    [("euler-maruyama", 2, 0.3), ("heun", 2, 0.8), ("theta", 2, 0.8), ("milstein", 3, 0.3)],
)
def test_the_weak_order_with_noise_that_sees_the_past_is_the_declared_one(name, points, c):
    """E x(1)^2 of dx = (-0.5 x + 0.3 x_late) dt + (c x + 0.4 x_late) dW.

    For each method a c at which these large steps are in the range of its order.
    """
    system = DelaySystem(-0.5, 0.3, 0.5, multiplicative=(c, 0.4))
    exact = float(system.variance(1.0, history=1.0)) + float(system.mean(1.0, history=1.0)) ** 2
    problem = sdde.Problem(
        lambda t, x, d: -0.5 * x + 0.3 * d[0], lambda t, x, d: c * x + 0.4 * d[0], delays=0.5,
        history=1.0,
    )  # fmt: skip
    counts = (4, 8, 14) if points == 2 else (4, 6, 10)
    measured = _weak_order(problem, name, exact, counts=counts, points=points)
    assert abs(measured - METHODS[name].orders["delayed"].weak) < 0.12


@pytest.mark.parametrize("name", ["euler-heun", "milstein"])
def test_the_weak_order_in_the_calculus_of_stratonovich(name):
    """E x(1)^2 = exp(2 c^2) for dx = c x o dW."""
    problem = sdde.Problem(
        lambda t, x, d: 0.0, lambda t, x, d: 0.4 * x, history=1.0, calculus="stratonovich"
    )
    exact = math.exp(2.0 * 0.16)
    measured = _weak_order(problem, name, exact, counts=(4, 6, 10), points=3)
    assert abs(measured - METHODS[name].orders["diagonal"].weak) < 0.12
