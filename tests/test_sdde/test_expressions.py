"""Expressions: NumPy's meaning, bit for bit where its own order of operations is known."""

import ast
import math
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from sdde import ArgumentError
from sdde.engine.expressions import Untraceable, parameters, trace
from sdde.engine.tracing.scalars import TracedArray

MATRIX = np.array([[0.3, -1.2, 0.7], [2.0, 0.0, -0.1], [-0.5, 1.5, 1.0]])
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 1e-300, 1e300]

# ---- random functions, as source text


def joined(form, *parts):
    return st.tuples(*parts).map(lambda texts: form.format(*texts))


def arithmetic(part):
    return joined("({} {} {})", part, st.sampled_from(["+", "-", "*", "/", "//", "%"]), part)


def exact_unary(part):
    names = "sqrt abs fabs floor ceil trunc rint sign square reciprocal negative positive deg2rad"
    return joined("np.{}({})", st.sampled_from(names.split()), part)


def condition(left, right):
    compared = joined(
        "({} {} {})", left, st.sampled_from([">", ">=", "<", "<=", "==", "!="]), right
    )
    tested = joined("np.{}({})", st.sampled_from(["isnan", "isinf", "isfinite", "signbit"]), left)
    both = joined("np.logical_{}({}, {})", st.sampled_from(["and", "or", "xor"]), compared, tested)
    return compared | tested | both | joined("~{}", compared)


NAMED = st.sampled_from(
    ["t", "x[0]", "x[-1]", "delayed[0][1]", "delayed[1,2]", "a", "b[1]", "W[0,1]"]
)
SCALAR = NAMED | st.sampled_from(["0.5", "2", "-3.0", "-0.0"]).map("np.float64({})".format)
ARRAY = st.sampled_from(
    ["x", "delayed[0]", "delayed[1]", "b", "W[1]", "x[::-1]", "np.array([x[1], t, 2])"]
)


def scalars(part):
    return (
        arithmetic(part)
        | exact_unary(part)
        | joined("np.{}({}, {})", st.sampled_from(["fmod", "copysign", "heaviside"]), part, part)
        | joined("np.where({}, {}, {})", condition(part, part), part, part)
        | joined("max({}, {})", part, part)
        | joined("abs({})", part)
    )


def arrays(part):
    mixed = part | SCALAR
    return (
        joined("({} {} {})", part, st.sampled_from(["+", "-", "*", "/", "//", "%"]), mixed)
        | exact_unary(part)
        | joined("np.where({}, {}, {})", condition(part, mixed), part, mixed)
        | joined("np.clip({}, {}, {})", part, st.sampled_from(["-0.5", "a"]), SCALAR)
        | joined("({})**{}", part, st.sampled_from(["0", "1", "2", "-1"]))
        | joined("np.{}({})", st.sampled_from(["cumsum", "cumprod", "flip"]), part)
        | joined("np.concatenate([({})[1:], ({})[:1]])", part, part)
        | joined(
            "({}[:, None] {} {}[None, :]).{}(axis={})",
            part.map("({})".format),
            st.sampled_from("+-*"),
            part.map("({})".format),
            st.sampled_from(["sum", "mean", "prod"]),
            st.sampled_from("01"),
        )
        | joined("np.stack([{}, {}]).{}(axis=0)", part, part, st.sampled_from(["sum", "var"]))
        | joined("({} - np.sum({}))", part, part)
    )


FUNCTIONS = joined(
    "{} * {}",
    st.recursive(ARRAY, arrays, max_leaves=8),
    st.recursive(SCALAR, scalars, max_leaves=6),
)
NUMBERS = st.lists(st.sampled_from(SPECIAL) | st.floats(-3.0, 3.0), min_size=14, max_size=14)


def made(text):
    space: dict[str, Any] = {"np": np, "W": MATRIX}
    exec(f"def drift(t, x, delayed, a, b):\n    return {text}", space)
    return space["drift"]


def inputs(numbers):
    values = np.array(numbers)
    return values[0], values[1:4], values[4:10].reshape(2, 3), (float(values[10]), values[11:14])


def assert_same_bits(got, expected):
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    assert got.shape == expected.shape
    same = (got == expected) & (np.signbit(got) == np.signbit(expected))
    assert (same | (np.isnan(got) & np.isnan(expected))).all(), (got, expected)


def read_at_all(drift):
    """The expressions, or None where NumPy would compute in bool or Python refuses to divide."""
    try:
        return trace(drift, state_shape=(3,), n_delays=2, args=(1.25, np.array([0.3, -2.0, 1.0])))
    except Untraceable as refusal:
        if "truth values" in refusal.reason or "ZeroDivision" in refusal.reason:
            return None
        raise


@settings(max_examples=150, deadline=None, derandomize=True)
@given(FUNCTIONS, NUMBERS)
def test_a_read_function_gives_the_bits_of_a_called_one(text, numbers):
    """Arithmetic, choices and sums: nan, infinity and the sign of zero included."""
    drift = made(text)
    t, x, delayed, args = inputs(numbers)
    expressions = read_at_all(drift)
    if expressions is None:
        return
    with np.errstate(all="ignore"):
        called = drift(t, x, delayed, *args)
    assert_same_bits(expressions.evaluate(t, x, delayed, parameters(args)), called)


def written(expressions):
    """The emitted text, as that of a function f(t, x, delayed, p, out, *extra)."""
    dim = max(1, math.prod(expressions.state_shape))
    count = len(expressions.outputs)
    extra = {
        name: [f"{name}[{k}]" for k in range(max(1, math.prod(shape)))]
        for name, shape in expressions.extra
    }
    source = expressions.emit_source(
        t="t",
        x=[f"x[{i}]" for i in range(dim)],
        delayed=[[f"delayed[{j * dim + i}]" for i in range(dim)] for j in range(2)],
        p="p",
        outputs=[f"out[{k}]" for k in range(count)],
        extra=extra,
    )
    names = ", ".join(["t", "x", "delayed", "p", "out", *extra])
    return f"def f({names}):\n" + "".join(f"    {line}\n" for line in source.lines)


class NumbersOfNumPy(ast.NodeTransformer):
    """Literals as np.float64, since Python's own floats raise where numba divides by zero."""

    def visit_Constant(self, node):
        if not isinstance(node.value, float):
            return node
        name = ast.Attribute(ast.Name("np", ast.Load()), "float64", ast.Load())
        return ast.Call(name, [node], [])


def in_python(text, functions):
    space = {"np": np, **{name: getattr(np, name) for name in functions}}
    tree = ast.fix_missing_locations(NumbersOfNumPy().visit(ast.parse(text)))
    exec(compile(tree, "<written>", "exec"), space)
    return space["f"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(FUNCTIONS, NUMBERS)
def test_the_written_lines_give_the_bits_of_evaluate(text, numbers):
    """The generated loop and its slow twin are two renderings of one tape."""
    expressions = read_at_all(made(text))
    if expressions is None:
        return
    t, x, delayed, args = inputs(numbers)
    p = parameters(args)
    out = np.empty(3)
    function = in_python(written(expressions), expressions.functions)
    with np.errstate(all="ignore"):
        function(t, x, delayed.ravel(), p, out)
    assert_same_bits(out, expressions.evaluate(t, x, delayed, p))


# ---- the tape


def read_scalar(function, **options):
    return trace(function, state_shape=(), n_delays=1, **options)


def test_equal_subexpressions_are_computed_once():
    """sin(x) appears four times in the function and once on the tape."""
    e = read_scalar(lambda t, x, d: np.sin(x) * np.sin(x) + math.sin(x) - np.sin(x + 0) * 0 * t)
    assert [node.operation for node in e.nodes].count("sin") == 2  # x + 0 is not x for -0.0


def test_commuted_operands_are_shared():
    """a + b and b + a have the same bits."""
    e = read_scalar(lambda t, x, d: (x + t) * (t + x))
    assert [node.operation for node in e.nodes].count("add") == 1


def test_what_is_not_returned_is_not_computed():
    """Dead code costs as much as living code in a loop."""

    def drift(t, x, delayed):
        unused = np.exp(delayed[0]) + t
        return -x if unused is not None else x

    e = read_scalar(drift)
    assert [node.operation for node in e.nodes] == ["input", "negative"]


def test_constants_are_computed_while_reading():
    """Arithmetic on numbers is NumPy's own, done once."""
    e = read_scalar(lambda t, x, d: x * np.sqrt(np.float64(2.0)) ** np.array([1, 2])[0])
    assert [node.operation for node in e.nodes] == ["input", "constant", "multiply"]


def test_inputs_that_the_result_depends_on_are_known():
    """Whether a diffusion is additive decides which methods apply."""
    e = trace(lambda t, x, d, a, b: [b * t, d[1][0]], state_shape=(2,), n_delays=2, args=(1.0, 2.0))
    assert (e.uses_t, e.uses_x, e.uses_delayed) == (True, False, True)
    assert e.delays_used == {1}
    assert e.inputs == {("t",), ("delayed", 1, 0), ("p", 1)}
    constant = trace(lambda t, x, d: np.full(2, 0.5), state_shape=(2,), n_delays=1)
    assert constant.inputs == set()


def test_lines_are_grouped_by_how_often_they_run():
    """Parameters are read outside the loops, the time once a step, the state for each path."""
    e = read_scalar(
        lambda t, x, d, w, k: np.exp(-k) * np.sin(w * t) - x * np.sqrt(k), args=(2.0, 3.0)
    )
    source = e.emit_source(t="t", x=["a0"], delayed=[["b0"]], p="p", outputs=["f0"], prefix="q")
    assert any("sqrt(" in line for line in source.once)
    assert any("exp(" in line for line in source.once)
    assert any("sin(" in line for line in source.per_step)
    assert not any("(" in line for line in source.per_lane)
    assert source.per_lane[-1].startswith("f0 = ")
    assert e.functions == {"exp", "sin", "sqrt"}


def test_many_lanes_are_evaluated_as_one_by_one():
    """The twin takes whole blocks of paths; sin and exp of arrays may differ in the last place."""
    e = trace(lambda t, x, d: x[::-1] * d[0] + t, state_shape=(2,), n_delays=1)
    rng = np.random.default_rng(3)
    x, d = rng.normal(size=(2, 5)), rng.normal(size=(1, 2, 5))
    together = e.evaluate(0.5, x, d)
    apart = np.stack([e.evaluate(0.5, x[:, k], d[:, :, k]) for k in range(5)], axis=1)
    assert_same_bits(together, apart)


# ---- arguments and shapes


def test_numbers_and_arrays_become_parameters_in_order():
    """The layout depends on the arguments alone, so drift and diffusion share one vector."""
    args = (2, "word", np.arange(4.0).reshape(2, 2), True, 0.5)
    np.testing.assert_array_equal(parameters(args), [2, 0, 1, 2, 3, 1, 0.5])
    e = read_scalar(lambda t, x, d, n, s, m, on, k: m[1, 0] * x + k * n if on else x, args=args)
    assert {label[1] for label in e.inputs if label[0] == "p"} == {0, 3, 6}
    assert e.fixed == (3,)


def test_a_count_is_part_of_the_expressions_and_says_so():
    """range(n) cannot be a run-time parameter; the caller must read again for another n."""
    e = read_scalar(lambda t, x, d, k, n: k * sum(x**i for i in range(n)), args=(0.5, 3))
    assert e.fixed == (1,)
    assert e.evaluate(0.0, 2.0, [0.0], [0.5, 3.0]) == 0.5 * 7


def test_marks_are_further_inputs():
    """The effect of a jump takes a mark between the delayed states and the arguments."""
    e = trace(
        lambda t, x, d, mark, k: x * mark[1] * k - mark[0],
        state_shape=(2,), n_delays=0, args=(2.0,), extra={"mark": (2,)},
    )  # fmt: skip
    got = e.evaluate(0.0, [1.0, 2.0], np.empty((0, 2)), [2.0], mark=[0.5, 3.0])
    np.testing.assert_array_equal(got, [5.5, 11.5])
    out = np.empty(2)
    function = in_python(written(e), e.functions)
    function(0.0, np.array([1.0, 2.0]), np.empty(0), np.array([2.0]), out, np.array([0.5, 3.0]))
    np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (lambda t, x, d: x[:2], (3,), "drift returned shape (2,), expected (3,)"),
        (lambda t, x, d: 0.5, (3,), "return np.full((3,), value)"),
        (lambda t, x, d: [x], (), "Return a number"),
    ],
)
def test_another_shape_is_refused_with_the_one_expected(function, shape, expected):
    """Broadcasting a wrong shape would hide a mistake."""
    with pytest.raises(ArgumentError) as caught:
        trace(function, state_shape=shape, n_delays=1)
    assert expected in str(caught.value)


def test_one_of_several_shapes_is_enough():
    """General noise has as many columns as the user likes."""
    e = trace(
        lambda t, x, d: np.outer(x, [1, 2]), state_shape=(3,), n_delays=1,
        name="diffusion", shapes=[(3, None), (3,)],
    )  # fmt: skip
    assert e.shape == (3, 2)
    with pytest.raises(ArgumentError, match=r"expected \(3, noise_dim\) or \(3,\)"):
        trace(
            lambda t, x, d: x[:2], state_shape=(3,), n_delays=1,
            name="diffusion", shapes=[(3, None), (3,)],
        )  # fmt: skip


# ---- SymPy


def test_sympy_expressions_give_the_jacobians():
    """Linear stability needs the derivatives with respect to the present and the delayed state."""
    e = read_scalar(lambda t, x, d, b, g: b * d[0] / (1 + d[0] ** 10) - g * x, args=(0.2, 0.1))
    form = e.to_sympy()
    b, g = form.parameters
    late = form.delayed[0][0]
    assert sympy.simplify(form.outputs[0] - (b * late / (1 + late**10) - g * form.x[0])) == 0
    assert sympy.diff(form.outputs[0], form.x[0]) == -g
    slope = sympy.diff(form.outputs[0], late).subs({late: 1, b: sympy.Rational(1, 5)})
    assert slope == sympy.Rational(-2, 5)


# ---- what the user's code sees


def test_a_traced_array_looks_like_the_array_it_stands_for():
    """Code that asks for shape, dtype or type gets the answers of a float64 array."""
    seen = []

    def drift(t, x, delayed):
        seen.append((isinstance(x, np.ndarray), x.dtype, x.shape, len(x), (x > 0).dtype, x[0].ndim))
        assert isinstance(x, np.ndarray)
        return -x

    trace(drift, state_shape=(2,), n_delays=0)
    assert seen[0] == (True, np.dtype(float), (2,), 2, np.dtype(bool), 0)
    assert seen[0] == seen[-1]
    assert issubclass(TracedArray, np.ndarray)


def test_truth_values_of_constants_are_numpys():
    """Python's ``~True`` is -2, which is true again."""
    drift = made("x * np.where(~(np.float64(0.5) > np.float64(-3.0)), t, x[0])")
    t, x, delayed, args = inputs([0.25, 0.5, -1.0, 2.0] + [1.0] * 10)
    found = read_at_all(drift).evaluate(t, x, delayed, parameters(args))
    assert_same_bits(found, x * x[0])
