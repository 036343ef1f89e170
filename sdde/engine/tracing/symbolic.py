"""A tape as SymPy expressions, for Jacobians, linearisation and printing.

SymPy is imported when asked for. Symbols are real, so a test for nan is false. Operations that
SymPy has no exact word for (rounding half to even) stay undefined functions of that name.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sdde.engine.tracing.tape import Node, constant_of


class Symbolic(NamedTuple):
    """The SymPy form of a traced function: its outputs in C order, and the symbols in them."""

    outputs: tuple[Any, ...]
    t: Any
    x: tuple[Any, ...]
    delayed: tuple[tuple[Any, ...], ...]  # [delay][component]
    parameters: tuple[Any, ...]
    extra: tuple[tuple[Any, ...], ...]  # [input][component]


def symbols_for(
    dim: int | None, n_delays: int, n_parameters: int, extra: Sequence[tuple[str, tuple[int, ...]]]
) -> Symbolic:
    """Return the symbols of a problem: x(t - tau_j) is one symbol, which SymPy differentiates by.

    ``dim`` is None for a scalar equation, whose state is written x instead of x_0.
    """
    import sympy

    def real(name: str) -> Any:
        return sympy.Symbol(name, real=True)

    states = ["x"] if dim is None else [f"x_{i}" for i in range(dim)]
    return Symbolic(
        (),
        real("t"),
        tuple(real(name) for name in states),
        tuple(tuple(real(f"{name}(t - tau_{j})") for name in states) for j in range(n_delays)),
        tuple(real(f"p_{k}") for k in range(n_parameters)),
        tuple(
            (real(name),) if shape == () else tuple(real(f"{name}_{k}") for k in range(shape[0]))
            for name, shape in extra
        ),
    )


def to_sympy(nodes: Sequence[Node], outputs: Sequence[int], symbols: dict[tuple, Any]) -> list[Any]:
    """Return the outputs of a tape; `symbols` maps input labels to SymPy symbols."""
    import sympy

    made: list[Any] = []
    operations = _operations()
    for node in nodes:
        value = constant_of(node)
        if isinstance(value, bool):
            made.append(sympy.true if value else sympy.false)
        elif value is not None:
            made.append(_exact(value))
        elif node.operation == "input":
            made.append(symbols[node.label])
        else:
            made.append(operations[node.operation](*(made[k] for k in node.operands)))
    return [made[k] for k in outputs]


def _exact(value: float) -> Any:
    import sympy

    if value != value or value in (float("inf"), float("-inf")):
        return sympy.nan if value != value else sympy.oo if value > 0 else -sympy.oo
    return sympy.Integer(int(value)) if value.is_integer() else sympy.Float(value)


def _operations() -> dict[str, Callable[..., Any]]:
    import sympy as sp

    def choose(condition: Any, yes: Any, no: Any) -> Any:
        return sp.Piecewise((yes, condition), (no, True))

    def truncated(a: Any) -> Any:
        return choose(a >= 0, sp.floor(a), sp.ceiling(a))

    def heaviside(a: Any, at_zero: Any) -> Any:
        return sp.Piecewise((0, a < 0), (at_zero, sp.Eq(a, 0)), (1, True))

    def log_of_sum(base: Any) -> Callable[..., Any]:
        return lambda a, b: sp.log(base**a + base**b) / sp.log(base)

    return {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a / b,
        "floor_divide": lambda a, b: sp.floor(a / b),
        "remainder": sp.Mod,
        "fmod": lambda a, b: a - b * truncated(a / b),
        "negative": lambda a: -a,
        "absolute": sp.Abs,
        "power": lambda a, b: a**b,
        "sqrt": sp.sqrt,
        "cbrt": lambda a: sp.sign(a) * sp.Abs(a) ** sp.Rational(1, 3),
        "exp": sp.exp,
        "exp2": lambda a: 2**a,
        "expm1": lambda a: sp.exp(a) - 1,
        "log": sp.log,
        "log2": lambda a: sp.log(a, 2),
        "log10": lambda a: sp.log(a, 10),
        "log1p": lambda a: sp.log(1 + a),
        "sin": sp.sin,
        "cos": sp.cos,
        "tan": sp.tan,
        "arcsin": sp.asin,
        "arccos": sp.acos,
        "arctan": sp.atan,
        "arctan2": sp.atan2,
        "sinh": sp.sinh,
        "cosh": sp.cosh,
        "tanh": sp.tanh,
        "arcsinh": sp.asinh,
        "arccosh": sp.acosh,
        "arctanh": sp.atanh,
        "hypot": lambda a, b: sp.sqrt(a**2 + b**2),
        "logaddexp": log_of_sum(sp.E),
        "logaddexp2": log_of_sum(sp.Integer(2)),
        "copysign": lambda a, b: choose(b >= 0, sp.Abs(a), -sp.Abs(a)),
        "floor": sp.floor,
        "ceil": sp.ceiling,
        "trunc": truncated,
        "rint": sp.Function("rint"),
        "sign": sp.sign,
        "heaviside": heaviside,
        "maximum": sp.Max,
        "minimum": sp.Min,
        "fmax": sp.Max,
        "fmin": sp.Min,
        "greater": sp.Gt,
        "greater_equal": sp.Ge,
        "less": sp.Lt,
        "less_equal": sp.Le,
        "equal": sp.Eq,
        "not_equal": sp.Ne,
        "isnan": lambda a: sp.false,
        "isinf": lambda a: sp.false,
        "isfinite": lambda a: sp.true,
        "logical_and": sp.And,
        "logical_or": sp.Or,
        "logical_xor": sp.Xor,
        "logical_not": sp.Not,
        "where": choose,
        "as_float": lambda c: choose(c, sp.Integer(1), sp.Integer(0)),
    }
