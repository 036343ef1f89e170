"""Derivatives of traced functions: against central differences, operation by operation."""

import numpy as np
import pytest

from sdde.engine.expressions import Expressions, living, trace
from sdde.engine.tracing.derivatives import Calculus

FUNCTIONS = {
    "arithmetic": lambda t, x, d: [x[0] * d[0][1] - t / x[1], -x[0] + 3.0 * x[1] - 1.0],
    "powers": lambda t, x, d: [x[0] ** 3 + x[1] ** 0.5, x[0] ** x[1] + 2.0 ** d[0][0]],
    "inverse powers": lambda t, x, d: [x[0] ** -2.0, x[1] ** 1.7],
    "exponentials": lambda t, x, d: [np.exp(x[0]) + np.expm1(x[1]), np.exp2(x[0] * x[1])],
    "logarithms": lambda t, x, d: [np.log(x[0]) + np.log1p(x[1]), np.log2(x[0]) * np.log10(x[1])],
    "roots": lambda t, x, d: [np.sqrt(x[0] + x[1]), np.cbrt(x[0] * d[0][0])],
    "circular": lambda t, x, d: [np.sin(x[0]) * np.cos(x[1]), np.tan(0.5 * x[0])],
    "inverse circular": lambda t, x, d: [np.arcsin(x[0]) + np.arccos(x[1]), np.arctan(x[0] * t)],
    "arctan2": lambda t, x, d: [np.arctan2(x[0], x[1]), np.hypot(x[0], d[0][1])],
    "hyperbolic": lambda t, x, d: [np.sinh(x[0]) * np.cosh(x[1]), np.tanh(x[0] + d[0][0])],
    "inverse hyperbolic": lambda t, x, d: [
        np.arcsinh(x[0]) + np.arctanh(x[1]), np.arccosh(1.0 + x[0] + x[1])
    ],
    "absolute": lambda t, x, d: [abs(x[0] - 2.0), np.copysign(x[0], x[1] - 3.0)],
    "choices": lambda t, x, d: [np.where(x[0] > 0.1, x[1] ** 2, x[0]), np.clip(x[0], 0.0, 0.5)],
    "extremes": lambda t, x, d: [np.maximum(x[0], 2.0 * x[1]), np.minimum(x[0] ** 2, x[1])],
    "steps": lambda t, x, d: [np.floor(3.0 * x[0]) * x[1], np.sign(x[0]) + (x[0] > 0.2) * x[1]],
    "remainders": lambda t, x, d: [np.fmod(3.0 * x[0], 0.7), (2.0 * x[0]) % (0.3 + x[1])],
    "logaddexp": lambda t, x, d: [np.logaddexp(x[0], x[1]), np.logaddexp2(x[0], d[0][0])],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_agree_with_central_differences(name):
    """Every operation that has a derivative, by each input it reads."""
    function = FUNCTIONS[name]
    read = trace(function, state_shape=(2,), n_delays=1)
    calculus = Calculus(read.nodes)
    t, point = 0.8, np.array([0.37, 0.61, 0.29, 0.83])
    h = 1e-6

    def at(values):
        return np.asarray(function(t, values[:2], values[None, 2:]), dtype=float)

    labels = [("x", 0), ("x", 1), ("delayed", 0, 0), ("delayed", 0, 1)]
    for place, label in enumerate(labels):
        shift = h * np.eye(4)[place]
        expected = (at(point + shift) - at(point - shift)) / (2.0 * h)
        for i, out in enumerate(read.outputs):
            slope = calculus.slope(calculus.places[out], label)
            if slope is None:
                assert expected[i] == pytest.approx(0.0, abs=1e-8)
                continue
            nodes, kept = living(calculus.tape.nodes, (slope,))
            value = Expressions(nodes, kept, (), (2,), 1, 0).evaluate(t, point[:2], point[None, 2:])
            assert value == pytest.approx(expected[i], rel=1e-7, abs=1e-7)


def test_what_does_not_depend_on_an_input_has_no_derivative():
    """Sparse Jacobians stay sparse."""
    read = trace(lambda t, x, d: [x[0] * t, 1.0 + 0.0 * t], state_shape=(2,), n_delays=0)
    calculus = Calculus(read.nodes)
    first, second = (calculus.places[out] for out in read.outputs)
    assert calculus.slope(first, ("x", 1)) is None
    assert calculus.slope(second, ("x", 0)) is None
    assert calculus.slope(first, ("x", 0)) is not None
