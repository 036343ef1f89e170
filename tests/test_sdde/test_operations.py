"""Single operations: every ufunc, sums in NumPy's order, powers; also in numba and SymPy."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdde.engine.expressions import Expressions, trace
from sdde.engine.tracing.operations import OPERATIONS
from sdde.engine.tracing.tape import Tape
from sdde.engine.tracing.ufuncs import reduce

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 1e-300, 1e300]
ONE_NAMES = (
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log "
    "log2 log10 log1p sqrt cbrt floor ceil trunc rint absolute fabs sign square reciprocal "
    "negative positive conjugate deg2rad rad2deg radians degrees isnan isinf isfinite signbit "
    "logical_not"
)
ONE = ONE_NAMES.split()
TWO_NAMES = (
    "add subtract multiply divide true_divide floor_divide remainder mod fmod power float_power "
    "arctan2 hypot copysign heaviside maximum minimum fmax fmin logaddexp logaddexp2 greater "
    "greater_equal less less_equal equal not_equal logical_and logical_or logical_xor"
)
TWO = TWO_NAMES.split()


@pytest.mark.parametrize("name", ONE + TWO)
def test_every_ufunc_is_read_as_numpy_computes_it(name):
    """To 4 units in the last place: NumPy itself differs so much between its loops."""
    ufunc = getattr(np, name)
    first, second = (v.ravel() for v in np.meshgrid([*SPECIAL, 0.3, -0.7], [*SPECIAL, -0.4]))
    expressions = trace(
        lambda t, x, delayed: ufunc(*(x, delayed[0])[: ufunc.nin]),
        state_shape=first.shape,
        n_delays=1,
    )
    with np.errstate(all="ignore"):
        expected = ufunc(*(first, second)[: ufunc.nin]).astype(float)
    got = expressions.evaluate(0.0, first, second[None])
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(float).eps, atol=0)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_sums_add_in_numpy_s_order(data):
    """Pairwise in blocks along memory, whatever the layout; products and extremes as well."""
    shape = data.draw(st.lists(st.integers(1, 11), min_size=1, max_size=3).map(tuple))
    if len(shape) == 1:
        shape = (data.draw(st.integers(1, 300)),)
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    array = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, size=shape)
    traced = array.astype(object)
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in shape)
    order = data.draw(st.permutations(range(len(shape))))
    array, traced = array[steps].transpose(order), traced[steps].transpose(order)
    if data.draw(st.booleans()) and len(shape) < 3:
        wide = (array.shape[0], 4, *array.shape[1:])
        array, traced = (np.broadcast_to(v[:, None], wide) for v in (array, traced))
    axes = data.draw(st.none() | st.sets(st.integers(0, array.ndim - 1), min_size=1).map(tuple))
    for name in ("add", "multiply", "maximum"):
        tape = Tape()
        got = reduce(tape, name, traced, axes)
        expected = getattr(np, name).reduce(array, axis=axes)
        np.testing.assert_array_equal(np.asarray(got).astype(float), expected)


@pytest.mark.parametrize("exponent", [*range(2, 17), -1, -3, 0.5])
def test_a_literal_power_becomes_multiplications(exponent):
    """Repeated squaring, a few units in the last place from `power` and several times faster."""
    expressions = trace(lambda t, x, delayed: x**exponent, state_shape=(), n_delays=0)
    names = [node.operation for node in expressions.nodes]
    whole = int(abs(exponent))
    assert "power" not in names
    assert names.count("multiply") == max(0, whole.bit_length() + whole.bit_count() - 2)
    for x in (0.3, 1.7, 20.0):
        got = expressions.evaluate(0.0, x, [])
        np.testing.assert_allclose(got, x**exponent, rtol=16 * np.finfo(float).eps)


def test_the_written_lines_compile_under_numba_and_agree():
    """Every operation at once, in the compiler that the lines are written for."""
    names = [name for name in ONE + TWO if name not in ("logical_not", "power", "float_power")]

    def drift(t, x, delayed, p):
        values = [getattr(np, name)(*(x[0], x[1])[: getattr(np, name).nin]) for name in names]
        values += [x[0] ** p, np.where((x[0] > 0) & ~(x[1] > p) | (t > 0), x[0], -x[0])]
        values += [np.clip(x[0], x[1], 1.0), math.inf * t, np.nan_to_num(x[1]) ** 3]
        return np.array(values)

    count = len(names) + 5
    e = trace(drift, state_shape=(2,), n_delays=0, args=(1.5,), shapes=[(count,)])
    source = e.emit_source(
        t="t", x=["x[0]", "x[1]"], delayed=[], p="p", outputs=[f"out[{k}]" for k in range(count)]
    )
    space = {name: getattr(np, name) for name in e.functions}
    exec("def f(t, x, p, out):\n" + "".join(f"    {line}\n" for line in source.lines), space)
    compiled = numba.njit(error_model="numpy")(space["f"])
    for x in ([0.3, 0.7], [-0.0, 1.0], [2.5, -0.5], [math.nan, 1.0], [-1.0, math.inf]):
        out = np.empty(count)
        compiled(0.25, np.array(x), np.array([1.5]), out)
        np.testing.assert_allclose(
            out, e.evaluate(0.25, x, np.empty((0, 2)), [1.5]), rtol=1e-14, atol=0
        )


SYMPY_ONLY_NAMED = {"rint", "isnan", "isinf", "isfinite"}


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - SYMPY_ONLY_NAMED))
def test_every_operation_has_its_meaning_in_sympy(name):
    """The symbolic form is compared with numbers at ordinary points."""
    tape = Tape()
    arity = OPERATIONS[name].arity
    values = (0.3, 0.6, 0.8)[:arity] if name != "arccosh" else (1.3,)
    nodes = [tape.input("x", k) for k in range(arity)]
    flags = [tape.apply("greater", node, tape.constant(0.5)) for node in nodes]
    operands = flags[:1] + nodes[1:] if name in ("where", "as_float") else nodes
    out = tape.as_float(tape.apply(name, *operands))
    e = Expressions(tuple(tape.nodes), (out,), (), (arity,), 0, 0)
    form = e.to_sympy()
    got = float(form.outputs[0].subs(dict(zip(form.x, values, strict=True))))
    np.testing.assert_allclose(got, float(e.evaluate(0.0, values, [])), rtol=1e-13)
