"""SymPy expressions from problems.

A problem's functions are read once, as the engine reads them, and written as expressions and as
LaTeX. SymPy is imported when it is asked for. Nothing here steps or compiles.
"""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde.equation.delays import DistributedDelay, StateDelay, TimeDelay
from sdde.errors import ArgumentError

if TYPE_CHECKING:
    from sdde.equation.problem import Problem


@dataclass(frozen=True, eq=False, slots=True)
class Equations:
    """A problem in SymPy expressions.

    Made by `Problem.to_sympy`.

    Attributes
    ----------
    t : sympy.Symbol
        The time.
    state : sympy expression or tuple of them
        ``x(t)``, or ``(x_0(t), x_1(t), ...)`` for a system.
    drift : sympy expression or tuple of them
        The coefficient of dt, in the state, the delayed states ``x(t - tau_0)``, time and
        parameters.
    diffusion : None, sympy expression or tuple of them
        The coefficient of dW.
    delays : tuple
        ``tau_0``, ``tau_1``, ... for constant and random delays; an expression for a delay that
        varies with time or state; the kernel ``k_0`` of an average over the past.
    values : dict
        Value of each parameter and each constant delay.
    jumps : tuple of (rate, effect)
        Expressions for each `Jump`; ``theta_0``, ... are its own delays, ``m`` its mark.
    latex : str
        The equation as LaTeX.
    """

    t: Any
    state: Any
    drift: Any
    diffusion: Any
    delays: tuple[Any, ...]
    values: dict[Any, float]
    jumps: tuple[tuple[Any, Any], ...]
    latex: str


_LONGEST = 12  # components that a notebook shows


def latex_of(problem: "Problem") -> str | None:
    """Return the equation for a notebook, or None where it cannot be read or is too long."""
    if sum(problem.past.state_shape(_start(problem))) > _LONGEST:
        return None
    try:
        return rf"$\displaystyle {equations_of(problem).latex}$"
    except ArgumentError:
        return None


def equations_of(problem: "Problem") -> Equations:
    """Read a problem's functions as SymPy expressions."""
    import sympy

    shape = problem.past.state_shape(_start(problem))
    dim = shape[0] if shape else None
    t = sympy.Symbol("t", real=True)
    names = ["x"] if dim is None else [f"x_{i}" for i in range(dim)]
    functions = [sympy.Function(name, real=True) for name in names]
    parameters = _named_parameters(problem)
    read = _Reader(problem, shape, t, functions, [s for s, _ in parameters])
    delays = tuple(
        read.delay(f"delays[{j}]", delay, f"tau_{j}") for j, delay in enumerate(problem.delays)
    )
    read.delays = delays
    drift = read("drift", problem.drift)
    diffusion = problem.diffusion
    if callable(diffusion):
        shapes = [(*shape, None)] if problem.has_noise_matrix else None
        diffusion = read("diffusion", diffusion, shapes=shapes)
    elif diffusion is not None:
        diffusion = read.constants(diffusion)
    jumps = tuple(_jump(read, i, jump) for i, jump in enumerate(problem.jumps))
    state = tuple(f(t) for f in functions)
    constants = [*parameters]
    constants += [
        (symbol, delay)
        for symbol, delay in zip(delays, problem.delays, strict=True)
        if isinstance(delay, float)
    ]
    return Equations(
        t=t, state=state[0] if dim is None else state, drift=drift, diffusion=diffusion,
        delays=delays, values=dict(constants), jumps=jumps,
        latex=_latex(problem, state, drift, diffusion, jumps, scalar=dim is None),
    )  # fmt: skip


class _Reader:
    """Reads functions of one problem with one set of symbols."""

    def __init__(
        self, problem: "Problem", shape: tuple[int, ...], t: Any, functions: list[Any],
        parameters: list[Any],
    ) -> None:  # fmt: skip
        self.problem, self.shape, self.t, self.functions = problem, shape, t, functions
        self.parameters = parameters
        self.delays: tuple[Any, ...] = ()

    def __call__(
        self, name: str, function: Any, *, delays: tuple[Any, ...] | None = None,
        mark: tuple[int, ...] | None = None, shapes: Any = None,
    ) -> Any:  # fmt: skip
        import sympy

        from sdde.engine.expressions import Untraceable, trace

        late = self.delays if delays is None else delays
        try:
            traced = trace(
                function, state_shape=self.shape, n_delays=len(late), args=self.problem.args,
                name=name, extra={} if mark is None else {"m": mark}, shapes=shapes,
            )  # fmt: skip
        except Untraceable as reason:
            raise ArgumentError(
                f"{name} cannot be read as expressions: {reason}.\n"
                "  Expressions have no branches on the state; write numpy.where instead of if."
            ) from None
        form = traced.to_sympy()
        replaced = {form.t: self.t}
        replaced |= {s: f(self.t) for s, f in zip(form.x, self.functions, strict=True)}
        for delay, row in zip(late, form.delayed, strict=True):
            replaced |= {s: self._past(f, delay) for s, f in zip(row, self.functions, strict=True)}
        replaced |= dict(zip(form.parameters, self.parameters, strict=True))
        outputs = [sympy.sympify(out).xreplace(replaced) for out in form.outputs]
        return _arranged(outputs, traced.shape)

    def delay(self, name: str, delay: Any, symbol: str) -> Any:
        """Return what stands for a delay: a symbol, an expression, or the kernel of an average."""
        import sympy

        if isinstance(delay, TimeDelay):
            late = delay.function
            return self(name, lambda t, x, d, *args: late(t, *args), delays=(), shapes=[()])
        if isinstance(delay, StateDelay):
            late = delay.function
            return self(name, lambda t, x, d, *args: late(t, x, *args), delays=(), shapes=[()])
        if isinstance(delay, DistributedDelay):
            return sympy.Function(symbol.replace("tau", "k").replace("theta", "k"), real=True)
        return sympy.Symbol(symbol, positive=True)

    def _past(self, state: Any, delay: Any) -> Any:
        import sympy

        if isinstance(delay, sympy.Expr):
            return state(self.t - delay)
        age = sympy.Symbol("u", positive=True)
        return sympy.Integral(delay(age) * state(self.t - age), (age, 0, sympy.oo))

    def constants(self, value: Any) -> Any:
        """Return an additive coefficient as SymPy numbers of the state's shape."""
        import sympy

        array = np.asarray(value, dtype=float)
        full = np.broadcast_to(array, self.shape) if array.ndim <= len(self.shape) else array
        numbers = [_plain(sympy.Float(float(v))) for v in full.ravel()]
        return _arranged(numbers, full.shape)


def _plain(number: Any) -> Any:
    import sympy

    return sympy.Integer(int(number)) if float(number).is_integer() else number


def _arranged(outputs: list[Any], shape: tuple[int, ...]) -> Any:
    if shape == ():
        return outputs[0]
    if len(shape) == 1:
        return tuple(outputs)
    width = shape[1]
    return tuple(tuple(outputs[i * width : (i + 1) * width]) for i in range(shape[0]))


def _jump(read: _Reader, number: int, jump: Any) -> tuple[Any, Any]:
    import sympy

    rate = jump.rate
    if callable(rate):
        rate = read(f"jumps[{number}].rate", rate, shapes=[()])
    else:
        rate = _plain(sympy.Float(rate))
    own = None
    if jump.own_delays is not None:
        own = tuple(
            read.delay(f"jumps[{number}].delays[{j}]", delay, f"theta_{j}")
            for j, delay in enumerate(jump.own_delays)
        )
    mark = (len(jump.mark_laws),) if jump.has_mark_vector else ()
    return rate, read(f"jumps[{number}].effect", jump.effect, delays=own, mark=mark)


def _start(problem: "Problem") -> float:
    """Return a time at which the history is known."""
    latest = problem.past.latest
    return latest if np.isfinite(latest) else 0.0


def _named_parameters(problem: "Problem") -> list[tuple[Any, float]]:
    """Return symbols named after the drift's arguments, with their values."""
    import sympy

    try:
        names = list(inspect.signature(problem.drift).parameters)[3:]
    except (TypeError, ValueError):
        names = []
    result = []
    for k, arg in enumerate(problem.args):
        name = names[k] if k < len(names) and names[k].isidentifier() else f"p_{k}"
        if name in ("args", "t", "x"):
            name = f"p_{k}"
        array = np.asarray(arg, dtype=float)
        for index in np.ndindex(array.shape):
            label = "_".join([name, *map(str, index)])
            result.append((sympy.Symbol(label, real=True), float(array[index])))
    return result


def _latex(
    problem: "Problem", state: tuple[Any, ...], drift: Any, diffusion: Any,
    jumps: tuple[tuple[Any, Any], ...], *, scalar: bool,
) -> str:  # fmt: skip
    def of(value: Any, i: int) -> Any:
        return value if scalar else value[i]

    circle = r"\circ " if problem.calculus == "stratonovich" else ""
    lines = []
    for i, one in enumerate(state):
        terms = [(of(drift, i), "dt")]
        if diffusion is not None:
            gains = of(diffusion, i)
            if isinstance(gains, tuple):
                terms += [(gain, f"{circle}dW_{{{j}}}(t)") for j, gain in enumerate(gains)]
            else:
                alone = scalar or problem.noise == "scalar"
                terms.append((gains, circle + ("dW(t)" if alone else f"dW_{{{i}}}(t)")))
        terms += [(of(effect, i), f"dN_{{{k}}}(t)") for k, (_, effect) in enumerate(jumps)]
        written = [_term(factor, differential) for factor, differential in terms if factor != 0]
        lines.append(rf"d{_text(one)} &= {' + '.join(written) or '0'}")
    return r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}"


def _term(factor: Any, differential: str) -> str:
    if factor == 1:
        return differential
    text = _text(factor)
    if factor.is_Add or text.startswith("-"):
        text = rf"\left({text}\right)"
    return rf"{text}\,{differential}"


def _text(expression: Any) -> str:
    """Return LaTeX with names of several letters upright, as one word."""
    import sympy

    names = {
        symbol: r"\mathrm{" + symbol.name.replace("_", r"\_") + "}"
        for symbol in expression.free_symbols
        if len(symbol.name.partition("_")[0]) > 1 and not sympy.latex(symbol).startswith("\\")
    }
    return str(sympy.latex(expression, symbol_names=names, mul_symbol=r"\,"))
