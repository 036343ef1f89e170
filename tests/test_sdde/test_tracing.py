"""User functions as people write them: read with NumPy's meaning."""

import functools
import math
from dataclasses import dataclass
from math import exp
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from numpy import concatenate, zeros
from numpy.linalg import norm

from sdde.engine.expressions import parameters, trace

WEIGHTS = np.array([[0.0, 1.2, -0.4], [0.3, 0.0, 0.8], [-0.6, 0.5, 0.0]])
SPEED = 0.7


class Case(NamedTuple):
    function: Any
    dim: int | None = None  # None: a scalar equation
    delays: int = 1
    args: tuple = ()
    allowance: float = 0.0  # relative; zero: bit for bit


# ---- scalar equations


def mackey_glass(t, x, delayed, beta, gamma, n):
    return beta * delayed[0] / (1.0 + delayed[0] ** n) - gamma * x


def mackey_glass_of_fixed_power(t, x, delayed):
    return 0.2 * delayed[0] / (1 + delayed[0] ** 10) - 0.1 * x


def hutchinson(t, x, delayed, r=1.5, capacity=2.0):
    return r * x * (1 - delayed[0] / capacity)


def nicholson(t, x, delayed, *args):
    birth, death, scale = args
    return birth * delayed[0] * np.exp(-delayed[0] / scale) - death * x


def two_delays(t, x, delayed):
    near, far = delayed
    return -x + np.tanh(near) - 0.5 * math.tanh(far)


def forced(t, x, delayed, *, amplitude=0.3):
    return -delayed[0] + amplitude * math.sin(2 * math.pi * t) + math.log1p(math.fabs(x))


def with_imported_exp(t, x, delayed):
    return exp(-x) - max(0.0, delayed[0]) + min(x, delayed[0], 1.0) + abs(x)


def with_local_imports(t, x, delayed):
    import math as m

    from numpy import sqrt

    return sqrt(m.fabs(x)) - m.atan2(x, 2.0) + m.hypot(x, delayed[0])


def piecewise(t, x, delayed):
    late = delayed[0]
    return np.where(late > 0.5, -1.0, np.where(late < -0.5, 1.0, -2.0 * late)) + (x > 0) * x


def saturating(t, x, delayed):
    return np.clip(-2.0 * delayed[0], -1.0, 1.0) + np.maximum(x, 0.0) - np.sign(x) * np.abs(x)


def checking_types(t, x, delayed):
    gain = 2.0 if isinstance(x, (int, float)) and np.ndim(x) == 0 else 100.0
    return -gain * float(x) + float(delayed[0])


def polynomial(t, x, delayed):
    return sum(c * x**k for k, c in enumerate([0.5, -1.0, 0.25, -0.125])) + np.polyval([1, 2], x)


def rational_powers(t, x, delayed):
    return np.sqrt(np.abs(x)) * 2.0 ** delayed[0] - np.power(np.abs(x) + 1.0, 1.3) + x**-2


def of_remainders(t, x, delayed):
    quotient, rest = divmod(x, 0.3)
    return rest - delayed[0] % 0.7 + quotient // 2 + t % 1.0 + math.fmod(x, 0.4)


def conditional_on_constants(t, x, delayed, mode="fast"):
    if mode == "fast":
        return -2.0 * x
    raise ValueError(mode)


def helper(value, gain=1.0):
    return gain * math.exp(-(value**2))


def calling_a_helper(t, x, delayed):
    return helper(x) - helper(delayed[0], gain=SPEED)


@numba.njit
def jitted_helper(value):
    return math.cos(value) + np.exp(-value)


@numba.njit
def jitted(t, x, delayed, gain):
    return -gain * jitted_helper(x) + delayed[0]


@functools.lru_cache
def coefficient(k):
    return 1.0 / (k + 1)


def using_a_cache(t, x, delayed):
    return -coefficient(2) * x


def make_closure(rate, shape):
    def drift(t, x, delayed):
        def response(v):
            return v**shape / (1.0 + v**shape)

        return rate * response(delayed[0]) - x

    return drift


def recursive(t, x, delayed):
    def power(k):
        return 1.0 if k == 0 else x * power(k - 1)

    return power(3) - x


# ---- systems


def lorenz(t, x, delayed, sigma, rho, beta):
    return np.array([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])


def network(t, x, delayed, gain):
    return -x + WEIGHTS @ np.tanh(gain * delayed[0]) + 0.1 * np.sin(t)


def network_of_given_weights(t, x, delayed, weights, bias):
    hidden = np.maximum(weights.dot(x) + bias, 0.0)
    return np.dot(weights.T, hidden) - np.inner(weights, delayed[0]) + delayed.sum(axis=0)


def two_layers(t, x, delayed):
    hidden = 1.0 / (1.0 + np.exp(-(WEIGHTS @ x)))
    return (hidden @ WEIGHTS - x).tolist()


def in_place(t, x, delayed):
    out = np.empty_like(x)
    out[0] = x[1]
    out[1:] = -x[1:] + delayed[0, 1:]
    out[2] += 1.0
    return out


def in_place_zeros(t, x, delayed):
    out = np.zeros(3)
    for i in range(len(x)):
        out[i] = delayed[0][i] - x[i]
        for j in range(3):
            out[i] -= WEIGHTS[i, j] * x[j]
    out *= 2
    return out


def in_place_imported(t, x, delayed):
    out = zeros(x.shape, dtype=float)
    out[:2] = concatenate((x[1:2], [t]))
    out[-1] = norm(x)
    return out


def masked(t, x, delayed):
    rate = 2.0 * x
    rate[rate < 0] = 0
    return rate - np.where(np.isnan(x) | ~(x > -1), 1.0, delayed[0])


def as_tuple(t, x, delayed):
    position, velocity = x
    return velocity, -np.sin(position) - 0.1 * delayed[0][1]


def predator_prey(t, x, delayed, a, b):
    prey, hunters = x
    (late_prey, late_hunters), = delayed  # fmt: skip
    return [prey * (1 - prey) - a * prey * late_hunters, b * late_prey * hunters - hunters]


def kuramoto(t, x, delayed, coupling):
    differences = delayed[0][None, :] - x[:, None]
    return 1.0 + coupling / len(x) * np.sin(differences).sum(axis=1)


def ring(t, x, delayed):
    return np.roll(x, 1) - 2 * x + np.roll(x, -1) + np.diff(x, append=x[0]) * delayed[0].mean()


def many_sums(t, x, delayed):
    return np.sum(x) * x - np.mean(delayed[0]) + x.sum() + np.cumsum(x) + np.prod(x) + x.std()


def stacked(t, x, delayed):
    return (
        np.hstack([x[:1], np.stack([x[1], t])]) + np.vstack([x, x])[1] + np.ones(3) * np.full(3, t)
    )


def crossed(t, x, delayed):
    return np.cross(x, [0.0, 0.0, 1.0]) - np.vdot(x, x) * x + np.einsum("ij,j->i", WEIGHTS, x)


def outer(t, x, delayed, n):
    total = np.zeros(3)
    for k in range(1, n + 1):
        total = total + np.sin(k * x) / k
    return total @ np.outer(x, x) + np.trace(np.outer(x, x)) * np.eye(3)[0]


def selected(t, x, delayed, index):
    return x[index] - np.select([x > 1, x > 0], [1.0, x], default=-1.0)


def by_blocks(t, x, delayed):
    q, v = x[:2], x[2:]
    return np.concatenate([v, -np.square(q) - np.reciprocal(2 + v**2)])


def with_dictionary(t, x, delayed, settings={"k": 2.0, "f": np.tanh}):  # noqa: B006
    return -settings["k"] * settings["f"](x)


def max_over_components(t, x, delayed):
    return x - max(x) + min(x) + np.max(delayed) * np.array([1, 2, 3], dtype=np.float64)


def vectorized(t, x, delayed):
    return np.vectorize(lambda v: v * np.exp(-v))(x)


@np.vectorize
def soft_step(v):
    return 1.0 / (1.0 + math.exp(-v))


def decorated_by_vectorize(t, x, delayed):
    return soft_step(x) - x


def products_by_method(t, x, delayed):
    return WEIGHTS.dot(x) + WEIGHTS.T.dot(delayed[0]) + np.linalg.inv(np.eye(3) * 2.0) @ x


def running_in_place(t, x, delayed):
    out = np.ones_like(x)
    np.multiply(x, 2.0, out=out)
    out += delayed[0]
    out[::2] /= 3.0
    np.copyto(out[1:2], x[:1])
    return out.flatten().reshape(3)


class Pendulum:
    def __init__(self, length):
        self.length = length
        self.damping = 0.2

    def torque(self, angle):
        out = np.zeros(1)
        out[0] = -9.81 / self.length * math.sin(angle)
        return out[0]

    def __call__(self, t, x, delayed):
        return np.array([x[1], self.torque(x[0]) - self.damping * delayed[0, 1]])

    def drift(self, t, x, delayed):
        return self(t, x, delayed)


@dataclass(frozen=True, slots=True)
class Feedback:
    gain: float

    @property
    def doubled(self):
        return 2 * self.gain

    @staticmethod
    def response(v):
        return math.tanh(v)

    def __call__(self, t, x, delayed):
        return -self.doubled * self.response(delayed[0]) + x * 0


EXECUTED: dict[str, Any] = {"np": np}
exec("def drift(t, x, delayed):\n    return -np.sin(delayed[0]) * x", EXECUTED)  # as in a REPL

MATRIX = np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.1, 0.0, 1.0]])
CASES = {
    "Mackey-Glass": Case(mackey_glass, args=(0.2, 0.1, 10)),
    "literal power": Case(mackey_glass_of_fixed_power, allowance=1e-14),
    "Hutchinson, defaults": Case(hutchinson),
    "Nicholson, star args": Case(nicholson, args=(6.0, 1.0, 0.5)),
    "two delays unpacked": Case(two_delays, delays=2, allowance=1e-15),
    "keyword-only default": Case(forced, allowance=1e-15),
    "from math import exp": Case(with_imported_exp, allowance=1e-15),
    "imports inside": Case(with_local_imports, allowance=1e-15),
    "nested where": Case(piecewise),
    "clip and maximum": Case(saturating),
    "isinstance and float": Case(checking_types),
    "polynomial": Case(polynomial, allowance=1e-14),
    "powers": Case(rational_powers, allowance=1e-14),
    "remainders": Case(of_remainders, allowance=1e-15),
    "branch on a default": Case(conditional_on_constants),
    "helper": Case(calling_a_helper, allowance=1e-14),
    "numba": Case(jitted, args=(0.5,), allowance=1e-14),
    "lru_cache": Case(using_a_cache),
    "closure": Case(make_closure(2.0, 4), allowance=1e-14),
    "closure over an array": Case((lambda w: lambda t, x, d: x @ w)(MATRIX), 3, allowance=1e-14),
    "recursion": Case(recursive),
    "lambda": Case(lambda t, x, delayed: -delayed[0]),
    "partial": Case(functools.partial(hutchinson, capacity=3.0)),
    "partial of positions": Case(functools.partial(mackey_glass, beta=0.2, gamma=0.1, n=2)),
    "callable object": Case(Feedback(0.7), allowance=1e-14),
    "executed source": Case(EXECUTED["drift"]),
    "Lorenz": Case(lorenz, 3, args=(10.0, 28.0, 8 / 3)),
    "network": Case(network, 3, args=(1.5,), allowance=1e-14),
    "network with weights": Case(
        network_of_given_weights, 3, 2, (MATRIX, np.array([0.1, -0.2, 0.3])), 1e-14
    ),
    "two layers": Case(two_layers, 3, allowance=1e-14),
    "empty_like": Case(in_place, 3),
    "zeros": Case(in_place_zeros, 3),
    "zeros, imported": Case(in_place_imported, 3, allowance=1e-15),
    "mask": Case(masked, 3),
    "tuple": Case(as_tuple, 2),
    "nested unpacking": Case(predator_prey, 2, args=(1.1, 0.9)),
    "Kuramoto": Case(kuramoto, 9, args=(0.8,)),
    "ring": Case(ring, 5),
    "sums": Case(many_sums, 17),
    "stacks": Case(stacked, 3),
    "cross and einsum": Case(crossed, 3, allowance=1e-14),
    "count as argument": Case(outer, 3, args=(3,), allowance=1e-13),
    "index as argument": Case(selected, 3, args=(np.array([2, 0, 1]),)),
    "blocks": Case(by_blocks, 4),
    "dictionary default": Case(with_dictionary, 3),
    "max over components": Case(max_over_components, 3),
    "np.vectorize": Case(vectorized, 3),
    "decorated by np.vectorize": Case(decorated_by_vectorize, 3, allowance=1e-15),
    "products by method": Case(products_by_method, 3, allowance=1e-14),
    "out and in-place operators": Case(running_in_place, 3),
    "object with methods": Case(Pendulum(2.0), 2, allowance=1e-14),
    "bound method": Case(Pendulum(2.0).drift, 2, allowance=1e-14),
    "empty sum": Case(lambda t, x, delayed: delayed[1:].sum() - x @ np.eye(2), 2),
    "no delay": Case(lambda t, x, delayed: -x, 2, 0),
    "flag as argument": Case(lambda t, x, delayed, on: -x if on else x, args=(True,)),
}


def read(case):
    shape = () if case.dim is None else (case.dim,)
    return trace(case.function, state_shape=shape, n_delays=case.delays, args=case.args)


def points(case, count=20):
    rng = np.random.default_rng(7)
    shape = () if case.dim is None else (case.dim,)
    for _ in range(count):
        x = rng.normal(size=shape)
        yield np.float64(rng.normal()), x if shape else np.float64(x), rng.normal(
            size=(case.delays, *shape)
        )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_function_as_people_write_it_is_read_with_its_meaning(name):
    """Read as NumPy computes it: bit for bit where no power or product is reordered."""
    case = CASES[name]
    expressions = read(case)
    function = getattr(case.function, "py_func", case.function)
    for t, x, delayed in points(case):
        with np.errstate(all="ignore"):
            called = np.asarray(function(t, x, delayed, *case.args), dtype=float)
        got = expressions.evaluate(t, x, delayed, parameters(case.args))
        assert got.shape == called.shape
        np.testing.assert_allclose(got, called, rtol=case.allowance, atol=case.allowance)
