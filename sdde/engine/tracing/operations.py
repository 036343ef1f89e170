"""The scalar operations that a traced function may consist of.

Each has a NumPy meaning (used to evaluate) and a Python text (used in generated loops). Names are
NumPy's: an operation without its own text is written as a call, ``tanh(v3)``, and whoever compiles
the text binds that name to NumPy's ufunc or to a faster routine. Nothing here knows about tapes,
arrays or SymPy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Operation(NamedTuple):
    """One scalar operation: how many operands, what it computes, how it is written."""

    arity: int
    compute: Callable[..., Any]
    text: str = ""  # a format of the operands' texts; empty: a call by name
    gives_bool: bool = False


def _maximum(a: Any, b: Any) -> Any:
    return np.where((a > b) | (a != a), a, b)


def _minimum(a: Any, b: Any) -> Any:
    return np.where((a < b) | (a != a), a, b)


def _fmax(a: Any, b: Any) -> Any:
    return np.where((a >= b) | (b != b), a, b)


def _fmin(a: Any, b: Any) -> Any:
    return np.where((a <= b) | (b != b), a, b)


def _as_float(a: Any) -> Any:
    return np.where(a, 1.0, 0.0)


_CALLED_NAMES = (
    "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh "
    "tanh arcsinh arccosh arctanh floor ceil trunc rint power arctan2 hypot copysign fmod "
    "logaddexp logaddexp2"
)
_CALLED = _CALLED_NAMES.split()

OPERATIONS: dict[str, Operation] = {
    **{name: Operation(getattr(np, name).nin, getattr(np, name)) for name in _CALLED},
    # np.power takes a shortcut for some exponents (a square root for 0.5), float_power never does
    "power": Operation(2, np.float_power),
    "add": Operation(2, np.add, "{0} + {1}"),
    "subtract": Operation(2, np.subtract, "{0} - {1}"),
    "multiply": Operation(2, np.multiply, "{0} * {1}"),
    "divide": Operation(2, np.divide, "{0} / {1}"),
    # numba's // and % of floats give NumPy's bits, zero and infinite divisors included
    "floor_divide": Operation(2, np.floor_divide, "{0} // {1}"),
    "remainder": Operation(2, np.remainder, "{0} % {1}"),
    "negative": Operation(1, np.negative, "-{0}"),
    "absolute": Operation(1, np.absolute, "abs({0})"),
    "sign": Operation(
        1,
        np.sign,
        "(1.0 if {0} > 0.0 else (-1.0 if {0} < 0.0 else (0.0 if {0} == 0.0 else {0})))",
    ),
    "heaviside": Operation(
        2,
        np.heaviside,
        "({0} if {0} != {0} else ({1} if {0} == 0.0 else (0.0 if {0} < 0.0 else 1.0)))",
    ),
    # of two equal zeros the second is taken, as x86's maxpd does and so NumPy there
    "maximum": Operation(2, _maximum, "({0} if ({0} > {1}) | ({0} != {0}) else {1})"),
    "minimum": Operation(2, _minimum, "({0} if ({0} < {1}) | ({0} != {0}) else {1})"),
    "fmax": Operation(2, _fmax, "({0} if ({0} >= {1}) | ({1} != {1}) else {1})"),
    "fmin": Operation(2, _fmin, "({0} if ({0} <= {1}) | ({1} != {1}) else {1})"),
    "greater": Operation(2, np.greater, "{0} > {1}", gives_bool=True),
    "greater_equal": Operation(2, np.greater_equal, "{0} >= {1}", gives_bool=True),
    "less": Operation(2, np.less, "{0} < {1}", gives_bool=True),
    "less_equal": Operation(2, np.less_equal, "{0} <= {1}", gives_bool=True),
    "equal": Operation(2, np.equal, "{0} == {1}", gives_bool=True),
    "not_equal": Operation(2, np.not_equal, "{0} != {1}", gives_bool=True),
    "isnan": Operation(1, np.isnan, "{0} != {0}", gives_bool=True),
    "isinf": Operation(1, np.isinf, "abs({0}) == 1e999", gives_bool=True),
    "isfinite": Operation(1, np.isfinite, "({0} - {0}) == 0.0", gives_bool=True),
    "logical_and": Operation(2, np.logical_and, "{0} & {1}", gives_bool=True),
    "logical_or": Operation(2, np.logical_or, "{0} | {1}", gives_bool=True),
    "logical_xor": Operation(2, np.logical_xor, "{0} != {1}", gives_bool=True),
    "logical_not": Operation(1, np.logical_not, "not {0}", gives_bool=True),
    "where": Operation(3, np.where, "({1} if {0} else {2})"),
    "as_float": Operation(1, _as_float, "(1.0 if {0} else 0.0)"),
}

LOGICAL = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})
COMPARISONS = frozenset({"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"})
COMMUTATIVE = frozenset({"add", "multiply", "equal", "not_equal", "logical_and", "logical_or"})
