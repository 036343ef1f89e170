"""Problems from SymPy expressions.

Expressions become ordinary Python functions of NumPy operations, which the engine reads like a
user's own. SymPy is imported when it is asked for. Nothing here steps or compiles.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.delays import StateDelay, TimeDelay

_EXAMPLE = "x, t = sympy.Function('x'), sympy.Symbol('t'); state = x(t)"


def problem_fields(
    drift: Any, diffusion: Any, state: Any, parameters: Mapping[Any, float] | None,
    longest: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Return drift, diffusion, delays and args of a problem given in SymPy expressions."""
    import sympy

    states, t, scalar = _states(state)
    right = _expressions("drift", drift, len(states), scalar=scalar)
    noise = None if diffusion is None else _diffusion(diffusion, len(states), scalar=scalar)
    everything = [*right, *([] if noise is None else np.ravel(np.array(noise, dtype=object)))]
    known = _parameters(parameters, everything, t)
    reads = _delays(everything, states, t, known)
    names = _names(known)
    texts: dict[Any, Any] = {s: n for s, n in zip(known, names, strict=True)}
    texts |= {s: "x" if scalar else f"x[{i}]" for i, s in enumerate(states)}
    delays = list(dict.fromkeys(reads.values()))
    for read, delay in reads.items():
        place = [s.func for s in states].index(read.func)
        texts[read] = f"delayed[{delays.index(delay)}]" + ("" if scalar else f"[{place}]")
    texts[t] = "t"
    written = {key: sympy.Symbol(text) for key, text in texts.items()}
    arguments = ["t", "x", "delayed", *names]
    made = {"drift": _function("drift", right[0] if scalar else right, written, arguments)}
    if noise is not None:
        constant = not any(e.free_symbols for e in np.ravel(np.array(noise, dtype=object)))
        made["diffusion"] = (
            np.array(noise, dtype=float)[()]
            if constant
            else _function("diffusion", noise, written, arguments)
        )
    values = [_delay_of(delay, states, t, known, written, longest) for delay in delays]
    return {**made, "delays": values, "args": tuple(known.values())}


def _states(state: Any) -> tuple[list[Any], Any, bool]:
    from sympy import Symbol
    from sympy.core.function import AppliedUndef

    scalar = not isinstance(state, list | tuple)
    states = [state] if scalar else list(state)
    for one in states:
        if (
            not isinstance(one, AppliedUndef)
            or len(one.args) != 1
            or not isinstance(one.args[0], Symbol)
        ):
            raise checks.fail(
                "state",
                one,
                "is not an unknown function of time",
                remedy=f"For example {_EXAMPLE}.",
            )
    times = {one.args[0] for one in states}
    if len(times) != 1 or len({one.func for one in states}) != len(states):
        raise checks.fail(
            "state", state, "does not hold different functions of one time",
            remedy="For example state = [x(t), y(t)].",
        )  # fmt: skip
    return states, times.pop(), scalar


def _expressions(name: str, value: Any, count: int, *, scalar: bool) -> list[Any]:
    listed: Any = [value] if scalar else value
    if not scalar and hasattr(value, "tolist"):  # a SymPy matrix or NumPy array
        listed = [item for row in value.tolist() for item in np.ravel(np.array(row, dtype=object))]
    if not isinstance(listed, list | tuple) or len(listed) != count:
        raise checks.fail(
            name, value, f"does not hold one expression for each of {count} states",
            remedy=f"For example {name} = [expression, expression] for two states.",
        )  # fmt: skip
    return [_expression(name if scalar else f"{name}[{i}]", e) for i, e in enumerate(listed)]


def _expression(name: str, value: Any) -> Any:
    import sympy

    if isinstance(value, str):
        raise checks.fail(
            name, value, "is text", why="Text would have to be executed.",
            remedy="Give a SymPy expression, for example -r * x(t - tau).",
        )  # fmt: skip
    try:
        expression = sympy.sympify(value)
    except (sympy.SympifyError, TypeError):
        expression = None
    if not isinstance(expression, sympy.Expr):
        raise checks.fail(
            name, value, "is not a SymPy expression", remedy="For example -r * x(t - tau)."
        )
    if expression.has(sympy.I) or expression.has(sympy.nan, sympy.oo, sympy.zoo):
        raise checks.fail(
            name, value, "is not a finite real expression",
            remedy="Write real and imaginary parts as two states.",
        )  # fmt: skip
    return expression


def _diffusion(value: Any, count: int, *, scalar: bool) -> Any:
    """Return an expression, a list of them, or a list of rows."""
    if scalar:
        return _expression("diffusion", value)
    shape = getattr(value, "shape", None)
    rows = value.tolist() if shape is not None else value
    if isinstance(rows, list | tuple) and rows and isinstance(rows[0], list | tuple):
        if shape is not None and tuple(shape) == (count, 1):  # a SymPy column
            return _expressions("diffusion", [row[0] for row in rows], count, scalar=False)
        if len(rows) != count or len({len(row) for row in rows}) != 1:
            raise checks.fail(
                "diffusion",
                value,
                f"does not hold a row of equal length for each of {count} states",
            )
        return [
            [_expression(f"diffusion[{i}][{j}]", e) for j, e in enumerate(row)]
            for i, row in enumerate(rows)
        ]
    if not isinstance(rows, list | tuple):
        return [_expression("diffusion", value)] * count
    return _expressions("diffusion", rows, count, scalar=False)


def _parameters(parameters: Any, expressions: list[Any], t: Any) -> dict[Any, float]:
    """Return the value of each symbol; keys may be symbols or their names."""
    from sympy import Symbol

    free = set().union(*(e.free_symbols for e in expressions)) - {t}
    if not isinstance(parameters, Mapping | None):
        raise checks.fail(
            "parameters", parameters, "is not a mapping", remedy="For example {r: 1.2, tau: 1.0}."
        )
    by_name = {symbol.name: symbol for symbol in free}
    known = {}
    for key, value in (parameters or {}).items():
        symbol = by_name.get(key) if isinstance(key, str) else key
        if not isinstance(symbol, Symbol):
            raise checks.fail(
                "parameters", key, "is not a symbol of the equation",
                remedy=f"Known: {', '.join(sorted(by_name)) or 'none'}.",
            )  # fmt: skip
        known[symbol] = checks.number(f"parameters[{symbol}]", value)
    missing = sorted(symbol.name for symbol in free - set(known))
    if missing:
        raise checks.fail(
            "parameters", parameters, f"gives no value for {', '.join(missing)}",
            why="Each symbol but the time needs one; one with other assumptions is another symbol.",
            remedy=f"For example parameters = {{'{missing[0]}': 1.0}}.",
        )  # fmt: skip
    return known


def _delays(
    expressions: list[Any], states: list[Any], t: Any, known: dict[Any, float]
) -> dict[Any, Any]:
    """Return the delay of each delayed state that occurs, in an order that does not change."""
    from sympy import Derivative, Integral
    from sympy.core.function import AppliedUndef

    functions = {state.func for state in states}
    found: dict[Any, Any] = {}
    for expression in expressions:
        if expression.has(Derivative) or expression.has(Integral):
            raise checks.fail(
                "drift", expression, "holds a derivative or an integral",
                why="A right-hand side holds states, delayed states, time and parameters.",
            )  # fmt: skip
        for read in sorted(expression.atoms(AppliedUndef), key=str):
            if read in states or read in found:
                continue
            if read.func not in functions or len(read.args) != 1:
                raise checks.fail(
                    "drift", read, "is not a state", remedy="Put every unknown function in state."
                )
            delay = (t - read.args[0]).expand()
            if not delay.atoms(AppliedUndef) <= set(states):
                raise checks.fail(
                    "drift", read, "has a delay that depends on more than the present state",
                    remedy="Make that state, or the delay, a state of its own.",
                )  # fmt: skip
            if _is_constant(delay, t) and _value("delay", delay, known) < 0.0:
                raise checks.fail(
                    "drift", read, "reads the future", remedy="Write x(t - tau) with tau >= 0."
                )
            found[read] = delay
    return dict(sorted(found.items(), key=lambda item: str(item[1])))


def _is_constant(delay: Any, t: Any) -> bool:
    from sympy.core.function import AppliedUndef

    return not delay.has(t) and not delay.atoms(AppliedUndef)


def _delay_of(
    delay: Any, states: list[Any], t: Any, known: dict[Any, float], written: dict[Any, Any],
    longest: float | None,
) -> Any:  # fmt: skip
    """Return a number, or a delay that varies with time or the state."""
    if _is_constant(delay, t):
        return _value("delay", delay, known)
    if longest is None:
        raise checks.fail(
            "longest", longest, f"is missing, and the delay {delay} varies",
            why="It sets how much of the past is kept.", remedy="For example longest = 2.0.",
        )  # fmt: skip
    arguments = [str(written[symbol]) for symbol in known]
    if delay.has(*states):
        return StateDelay(_function("delay", delay, written, ["t", "x", *arguments]), longest)
    return TimeDelay(_function("delay", delay, written, ["t", *arguments]), longest)


def _value(name: str, expression: Any, known: dict[Any, float]) -> float:
    return checks.number(name, float(expression.subs(known)))


def _names(known: dict[Any, float]) -> list[str]:
    """Return an argument's name for each parameter: its own where that can be one."""
    import keyword

    taken = {"t", "x", "delayed", "numpy"}
    names = []
    for k, symbol in enumerate(known):
        name = symbol.name
        if not name.isidentifier() or keyword.iskeyword(name) or name in taken:
            name = f"p_{k}"
        taken.add(name)
        names.append(name)
    return names


def _function(name: str, result: Any, written: dict[Any, Any], arguments: list[str]) -> Any:
    """Return a Python function whose text is the expressions."""
    printer = _printer()

    def text(item: Any) -> str:
        if isinstance(item, list):
            return f"({', '.join(map(text, item))},)"
        try:
            return str(printer.doprint(item.xreplace(written)))
        except NotImplementedError:
            raise checks.fail(
                name, item, "holds something without a number",
                remedy="Use functions that NumPy has, such as exp, sin, tanh, Max, Piecewise.",
            ) from None  # fmt: skip

    source = f"def {name}({', '.join(arguments)}):\n    return {text(result)}\n"
    space: dict[str, Any] = {"numpy": np}
    exec(compile(source, "<sympy>", "exec"), space)
    return space[name]


def _printer() -> Any:
    from functools import reduce

    from sympy.printing.numpy import NumPyPrinter

    class Printer(NumPyPrinter):
        """Write only operations that can be read as scalar expressions."""

        def _nested(self, function: str, args: Sequence[Any]) -> str:
            texts = [self._print(arg) for arg in args]
            return reduce(lambda a, b: f"{function}({a}, {b})", texts)

        def _print_Max(self, expr: Any) -> str:
            return self._nested("numpy.maximum", expr.args)

        def _print_Min(self, expr: Any) -> str:
            return self._nested("numpy.minimum", expr.args)

        def _print_And(self, expr: Any) -> str:
            return self._nested("numpy.logical_and", expr.args)

        def _print_Or(self, expr: Any) -> str:
            return self._nested("numpy.logical_or", expr.args)

        def _print_Piecewise(self, expr: Any) -> str:
            text = "numpy.nan"
            for value, condition in reversed(expr.args):
                if condition == True:  # noqa: E712
                    text = self._print(value)
                else:
                    text = f"numpy.where({self._print(condition)}, {self._print(value)}, {text})"
            return text

        def _print_Heaviside(self, expr: Any) -> str:
            return self._nested("numpy.heaviside", expr.args)

        def _print_Mod(self, expr: Any) -> str:
            return self._nested("numpy.remainder", expr.args)

    return Printer({"strict": True})
