"""User functions that are no straight line are refused, with the reason and the line."""

import math
import random
import time
from typing import Any

import numpy as np
import pytest
import scipy.special

from sdde.engine.expressions import Untraceable, trace

WEIGHTS = np.array([[0.0, 1.2, -0.4], [0.3, 0.0, 0.8], [-0.6, 0.5, 0.0]])
TABLE = np.linspace(0.0, 1.0, 11)
GENERATOR = np.random.default_rng(1)
STORED: list[Any] = []
BUFFER = np.zeros(3)
calls = 0


def counting(t, x, delayed):
    global calls
    calls += 1
    return -x * calls


def make_nonlocal():
    seen = 0.0

    def drift(t, x, delayed):
        nonlocal seen
        seen = seen + 1.0
        return -x

    return drift


class Remembering:
    def __call__(self, t, x, delayed):
        self.last = t
        return -x


class Oscillator:
    def __init__(self):
        self.stiffness = WEIGHTS[:2, :2]

    def __call__(self, t, x, delayed):
        out = np.zeros(2)
        out[:] = math.exp(-1.0) * self.stiffness @ x
        return out


def keeping(t, x, delayed):
    STORED.append(x)
    return -STORED[0]


def catching(t, x, delayed):
    try:
        return -x if x[0] > 0 else x
    except Exception:
        return 0 * x


def changing_its_argument(t, x, delayed):
    x[0] = 0.0
    return x


def unassigned(t, x, delayed):
    out = np.empty(3)
    out[0] = x[0]
    return out


def into_a_buffer(t, x, delayed):
    BUFFER[0] = x[0]
    return BUFFER


def adding_to_a_buffer(t, x, delayed):
    np.add(x, 1.0, out=BUFFER)
    return BUFFER


def until_small(t, x, delayed):
    while abs(x[0]) > 0.1:
        x = x / 2
    return x


def as_text(t, x, delayed):
    return float(f"{x[0]}") * x


def too_long(t, x, delayed):
    return sum(np.sin(k * x) for k in range(10_000))


def type_dependent(t, x, delayed):
    return x if type(x[0]) is np.float64 else 2 * x


REFUSED = {
    "branch": (lambda t, x, d: x if x[0] > 0 else -x, "branches on a traced value"),
    "and": (lambda t, x, d: x * (x[0] > 0 and x[1] > 0), "branches on a traced value"),
    "chained comparison": (lambda t, x, d: x * (0 < x[0] < 1), "branches on a traced value"),
    "loop on a value": (until_small, "branches on a traced value"),
    "branch, caught": (catching, "branches on a traced value"),
    "int": (lambda t, x, d: x * int(x[0]), "int() of a traced value"),
    "index": (lambda t, x, d: WEIGHTS[x[0]], "index"),
    "range": (lambda t, x, d: sum(x for _ in range(t)), "index or a count"),
    "round": (lambda t, x, d: x * round(x[0], 2), "np.rint"),
    "text": (as_text, "into text"),
    "special function": (lambda t, x, d: x * math.gamma(x[0]), "needs the number itself"),
    "complex": (lambda t, x, d: (x * 1j).real, "complex"),
    "single precision": (lambda t, x, d: x.astype(np.float32), "float32"),
    "chosen elements": (lambda t, x, d: x[x > 0], "chooses elements by value"),
    "positions": (lambda t, x, d: np.where(x > 0)[0], "finds positions"),
    "sort": (lambda t, x, d: np.sort(x), "numpy.sort has no straight-line form"),
    "interpolation": (lambda t, x, d: np.interp(x, TABLE, TABLE), "numpy.interp"),
    "linear solve": (lambda t, x, d: np.linalg.solve(WEIGHTS, x), "numpy.linalg.solve"),
    "special ufunc": (lambda t, x, d: scipy.special.expit(x), "the function expit"),
    "stacked matrices": (lambda t, x, d: (np.ones((2, 3, 3)) @ x)[0], "stacks of matrices"),
    "reduceat": (lambda t, x, d: np.add.reduceat(x, [0, 1, 2]), "add.reduceat"),
    "where of a ufunc": (lambda t, x, d: np.exp(x, where=x > 0), "where="),
    "arithmetic of conditions": (lambda t, x, d: x * ((x > 0) + (x < 1)), "truth values"),
    "numpy.random": (lambda t, x, d: x + np.random.normal(), "numpy.random"),  # noqa: NPY002
    "generator": (lambda t, x, d: x + GENERATOR.normal(), "random numbers"),
    "module random": (lambda t, x, d: x + random.random(), "random"),
    "clock": (lambda t, x, d: x * time.time(), "time"),
    "global": (counting, "stores the global calls"),
    "nonlocal": (make_nonlocal(), "stores the nonlocal seen"),
    "attribute": (Remembering(), "stores the attribute last"),
    "kept value": (keeping, "earlier call"),
    "its argument changed": (changing_its_argument, "read-only"),
    "unassigned": (unassigned, "never assigned"),
    "outer buffer": (into_a_buffer, "needs the number itself"),
    "out=": (adding_to_a_buffer, "made outside the function"),
    "too long": (too_long, "more than"),
    "exact type": (type_dependent, "its reading gives"),
    "no return": (lambda t, x, d: None, "return"),
    "user's own error": (lambda t, x, d: x + undefined, "NameError"),  # noqa: F821
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_function_without_a_straight_line_is_refused_with_the_reason(name):
    """A wrong reading would be worse than none; the reason tells the user what to write."""
    function, reason = REFUSED[name]
    STORED.clear()
    with pytest.raises(Untraceable) as caught:
        trace(function, state_shape=(3,), n_delays=1)
    assert reason in caught.value.reason


def test_a_refusal_names_the_line_of_the_user():
    """The line is what the user looks for first."""
    with pytest.raises(Untraceable) as caught:
        trace(until_small, state_shape=(3,), n_delays=1)
    assert caught.value.text == "while abs(x[0]) > 0.1:"
    assert caught.value.line == until_small.__code__.co_firstlineno + 1


def test_a_refusal_inside_executed_source_still_has_a_line_number():
    """Functions typed at a prompt have no source file."""
    space: dict[str, Any] = {}
    exec("def drift(t, x, delayed):\n    y = -x\n    return y if y > 0 else x", space)
    with pytest.raises(Untraceable) as caught:
        trace(space["drift"], state_shape=(), n_delays=0)
    assert (caught.value.line, caught.value.text) == (3, "")


def test_reading_leaves_the_user_s_objects_as_they_were():
    """The function is rebuilt elsewhere; globals, closures and objects keep their values."""
    oscillator = Oscillator()
    attributes, names = dict(vars(oscillator)), dict(globals())
    trace(oscillator, state_shape=(2,), n_delays=1)
    with pytest.raises(Untraceable):
        trace(counting, state_shape=(2,), n_delays=1)
    assert vars(oscillator) == attributes
    assert all(globals()[name] is value for name, value in names.items())
