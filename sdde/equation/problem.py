"""Problem: a stochastic delay differential equation as a plain value.

It holds the coefficients, delays, history, parameters and jumps after checking whatever can be
checked without running; `try_functions` calls the user's functions once at the start and says what
is wrong with their arguments or shapes. Nothing here compiles or steps.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.delays import (
    Delay,
    DistributedDelay,
    RandomDelay,
    StateDelay,
    TimeDelay,
    as_delays,
)
from sdde.equation.history import History, as_history
from sdde.equation.jumps import Jump, as_jumps
from sdde.errors import ArgumentError

if TYPE_CHECKING:
    from sdde.symbolic.to_expressions import Equations

Floats = NDArray[np.float64]
NOISES = ("diagonal", "scalar", "commutative", "general")
CALCULI = ("ito", "stratonovich")


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Problem:
    r"""A stochastic delay differential equation, in the sense of Itô or Stratonovich.

    .. math:: dx(t) = f\bigl(t, x(t), x(t-\tau_1), \dots\bigr)\,dt
              + g\bigl(t, x(t), x(t-\tau_1), \dots\bigr)\,dW(t) + \text{jumps}

    Parameters
    ----------
    drift : callable
        ``drift(t, x, delayed, *args)``. For a scalar equation `x` and each ``delayed[j]`` are
        numbers; for a system `x` has shape ``(dim,)`` and `delayed` shape ``(n_delays, dim)``.
        Returns the shape of `x`; tuples and lists are fine.
    diffusion : None, float, array or callable, optional
        The coefficient of the noise: None for none, a number or an array for additive noise, or a
        function with the signature of `drift`. In state units per square root of time.
    delays : float, delay or sequence of them, optional
        Delays :math:`\tau_j \ge 0` in the unit of `t_span`: numbers, `TimeDelay`, `StateDelay`,
        `RandomDelay` or `DistributedDelay`. A delay off the grid is read by linear interpolation;
        one shorter than ``dt`` reads between the present and the previous state; a delay of zero
        reads the present state.
    history : float, vector, callable, (callable, x0), (t, x) or Solution
        The state up to the start: a number makes the equation scalar, a vector makes it a system; a
        function of time, with the state at the start beside it if that is another one; samples,
        joined by straight lines; or an earlier solution, whose paths are continued.
    args : tuple, optional
        Further arguments of the functions: numbers or arrays of numbers. New values never
        recompile.
    noise : {"diagonal", "scalar", "commutative", "general"}, optional
        ``"diagonal"``: one Wiener process for each component. ``"scalar"``: one for all.
        ``"general"``: *m* Wiener processes, of which each may act on every component; `diffusion`
        has shape ``(dim, m)``, or ``(m,)`` for a scalar equation. ``"commutative"``: the same, with
        the promise that the columns :math:`g_k` satisfy
        :math:`(\partial_x g_k)\,g_l = (\partial_x g_l)\,g_k`, which spares `"milstein"` the
        simulation of Lévy areas.
    calculus : {"ito", "stratonovich"}, optional
        The sense of the stochastic integral. A delay > 0 adds no correction between the two, since
        the increments of *W* at different times are independent.
    jumps : Jump or sequence of Jump, optional
        Poisson arrivals that add to the state.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used.

    Notes
    -----
    Functions are called with exactly these arguments in this order, and must not have side effects:
    they are read once and compiled.

    Examples
    --------
    >>> import sdde
    >>> def drift(t, x, delayed, rate):
    ...     return -rate * delayed[0]
    >>> problem = sdde.Problem(drift, 0.5, delays=1.0, history=1.0, args=(0.8,))
    >>> problem.replace(args=(0.9,)).args
    (0.9,)
    """

    drift: Callable[..., Any]
    diffusion: Any = None
    _: KW_ONLY
    delays: Any = ()
    history: Any
    args: Any = ()
    noise: str = "diagonal"
    calculus: str = "ito"
    jumps: Any = ()
    past: History = field(init=False, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        checks.function("drift", self.drift)
        store(self, "delays", as_delays(self.delays))
        store(self, "past", as_history(self.history))
        store(self, "args", _args(self.args))
        checks.choice("noise", self.noise, NOISES)
        checks.choice("calculus", self.calculus, CALCULI)
        store(self, "jumps", as_jumps(self.jumps))
        if self.diffusion is not None and not callable(self.diffusion):
            store(self, "diffusion", _additive(self.diffusion, matrix=self.has_noise_matrix))

    @property
    def is_additive(self) -> bool:
        """Whether the noise is a number or an array, the same at all times and states."""
        return self.diffusion is not None and not callable(self.diffusion)

    @property
    def has_noise_matrix(self) -> bool:
        """Whether the diffusion has a coefficient for each component and each Wiener process."""
        return self.noise in ("commutative", "general")

    def replace(self, **changes: Any) -> "Problem":
        """Return a copy with some arguments changed.

        Parameters
        ----------
        **changes
            New values of arguments of `Problem`.

        Returns
        -------
        Problem
        """
        known = [f.name for f in dataclasses.fields(self) if f.init]
        for name in changes:
            checks.choice("argument", name, known)
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_sympy(
        cls, drift: Any, diffusion: Any = None, *, state: Any, history: Any,
        parameters: Mapping[Any, float] | None = None, longest: float | None = None,
        **options: Any,
    ) -> "Problem":  # fmt: skip
        """Build a problem from SymPy expressions.

        Parameters
        ----------
        drift : sympy expression or sequence of them
            Right-hand sides, one for each state, in ``x(t)``, ``x(t - tau)`` with any number of
            delays, time, and parameters. A delay may depend on time and the present state.
        diffusion : None, sympy expression, or sequence of them, optional
            Coefficients of the noise, in the same terms; a matrix for several Wiener processes in
            each component. An expression without symbols is additive noise.
        state : sympy function of time or sequence of them
            ``x(t)``, or ``[x(t), y(t)]`` for a system.
        history : float, vector, callable, (callable, x0), (t, x) or Solution
            The state up to the start.
        parameters : mapping, optional
            A value for each other symbol, or its name. Delays become `delays`, in the order of
            their names; all parameters become `args` in the order given here, so that new values
            never recompile.
        longest : float, optional
            A bound on delays that are not constant; needed if there are any.
        **options
            Further arguments of `Problem`, such as `noise`.

        Returns
        -------
        Problem

        Raises
        ------
        sdde.ArgumentError
            If an expression cannot be used, or a symbol has no value.

        Examples
        --------
        >>> import sdde, sympy
        >>> x, (t, r, tau) = sympy.Function("x"), sympy.symbols("t r tau")
        >>> problem = sdde.Problem.from_sympy(
        ...     r * x(t) * (1 - x(t - tau)), 0.1 * x(t), state=x(t), history=0.5,
        ...     parameters={r: 1.2, tau: 1.0},
        ... )
        >>> problem.delays, problem.args
        ((1.0,), (1.2, 1.0))
        """
        from sdde.symbolic.from_expressions import problem_fields

        fields = problem_fields(drift, diffusion, state, parameters, longest)
        return cls(**fields, history=history, **options)

    def to_sympy(self) -> "Equations":
        """Return the equation as SymPy expressions.

        Returns
        -------
        Equations
            Drift and diffusion in ``x(t)``, ``x(t - tau_0)``, time and parameters, which are named
            after the arguments of `drift`; their values; and LaTeX.

        Raises
        ------
        sdde.ArgumentError
            If a function cannot be read as expressions, because it branches on the state.

        Examples
        --------
        >>> import sdde
        >>> equations = sdde.models.hutchinson(1.2, noise=0.1).to_sympy()
        >>> equations.diffusion
        noise*x(t)
        """
        from sdde.symbolic.to_expressions import equations_of

        return equations_of(self)

    def _repr_latex_(self) -> str | None:
        """Return the equation for a notebook, or None where it cannot be read or is too long."""
        from sdde.symbolic.to_expressions import latex_of

        return latex_of(self)


def _args(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise checks.fail(
            "args", value, "is not a tuple", remedy=f"Write args = ({checks.shown(value)},)."
        )
    return tuple(_arg(f"args[{i}]", item) for i, item in enumerate(value))


def _arg(name: str, value: Any) -> Any:
    """Return a Python number, or an array that no caller can change."""
    try:
        raw = np.asarray(value)
    except ValueError:
        raw = np.asarray(None)
    if raw.dtype.kind not in "biuf":
        raise checks.fail(
            name, value, "is neither a number nor an array of numbers",
            why="args are passed to compiled code and may change without recompiling.",
            remedy="Let the function use other objects from where it is defined.",
        )  # fmt: skip
    if raw.ndim == 0:
        return raw.item()
    kept = np.array(raw, dtype=np.float64 if raw.dtype.kind == "f" else np.int64, order="C")
    kept.flags.writeable = False
    return kept


def _additive(value: Any, *, matrix: bool) -> Floats:
    result = checks.array("diffusion", value)
    if matrix and result.ndim not in (1, 2):
        raise checks.fail(
            "diffusion", value, f"has shape {result.shape}, expected (dim, m) or (m,)",
            why="One coefficient for each component and each Wiener process.",
            remedy='For one Wiener process per component: noise = "diagonal".',
        )  # fmt: skip
    if result.ndim > 1 and not matrix:
        raise checks.fail(
            "diffusion", value, f"has shape {result.shape}, expected () or (dim,)",
            why="One coefficient for each component of the state.",
            remedy='For a matrix (dim, m): noise = "general".' if result.ndim == 2 else "",
        )  # fmt: skip
    result.flags.writeable = False
    return result


def try_functions(problem: Problem, t: float, x: Floats, delayed: Floats) -> int:
    """Call the user's functions once in plain Python and refuse wrong arguments, shapes and values.

    Returns the number of Wiener processes.

    Parameters
    ----------
    problem : Problem
    t : float
        The start time.
    x : array, shape state_shape
    delayed : array, shape (n_delays, *state_shape)
    """
    state = float(x) if x.ndim == 0 else x
    x.flags.writeable = delayed.flags.writeable = False
    read = _Trial(t, x.shape, problem.args)
    read("drift", problem.drift, (t, state, delayed), x.shape)
    channels = _try_diffusion(problem, read, (t, state, delayed))
    for i, jump in enumerate(problem.jumps):
        _try_jump(f"jumps[{i}]", jump, read, (t, state, delayed))
    return channels


def _try_diffusion(problem: Problem, read: "_Trial", point: tuple[Any, Any, Any]) -> int:
    """Check the diffusion, and return the number of Wiener processes."""
    if problem.diffusion is None:
        return 0
    shape: tuple[int | None, ...] = read.shape
    if problem.has_noise_matrix:
        shape = (*read.shape, None)
    found = np.shape(problem.diffusion)
    if callable(problem.diffusion):
        found = read("diffusion", problem.diffusion, point, shape).shape
    elif not _fits(found, shape) and (problem.has_noise_matrix or found != ()):
        raise checks.fail(
            "diffusion", problem.diffusion,
            f"has shape {found}, expected {_shown_shape(shape)}",
            why=_explain_state(read.shape),
        )  # fmt: skip
    if problem.has_noise_matrix:
        return found[-1]
    return 1 if problem.noise == "scalar" else int(np.prod(read.shape))


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the one wanted, where None stands for any length above 0."""
    return len(found) == len(shape) and all(
        a == b or (b is None and a > 0) for a, b in zip(found, shape, strict=True)
    )


def _shown_shape(shape: tuple[int | None, ...]) -> str:
    text = ", ".join("m" if length is None else str(length) for length in shape)
    return f"({text},)" if len(shape) == 1 else f"({text})"


def try_delay(name: str, delay: Delay, t: float, x: Any, args: tuple[Any, ...]) -> float:
    """Return a delay at a time and state; call its function in plain Python and check the value.

    For random and distributed delays the mean stands for all values.
    """
    if isinstance(delay, RandomDelay):
        return delay.drawn.mean
    if isinstance(delay, DistributedDelay):
        return delay.law.mean if delay.law is not None else 0.5 * delay.reach
    if not isinstance(delay, TimeDelay | StateDelay):
        return delay
    read = _Trial(t, np.shape(x), args)
    late = isinstance(delay, StateDelay)
    values, signature = ((t, x), "(t, x, *args)") if late else ((t,), "(t, *args)")
    value = float(read(f"{name}.function", delay.function, values, (), signature=signature))
    if not 0.0 <= value <= delay.longest:
        raise ArgumentError(
            f"{name} is {value:g} at t = {t:g}, expected between 0 and longest = {delay.longest:g}."
            "\n  The past is kept for longest. Give a larger longest, or a function that stays"
            " between."
        )
    return value


def _try_jump(name: str, jump: Jump, read: "_Trial", point: tuple[Any, Any, Any]) -> None:
    t, x, delayed = point
    if callable(jump.rate):
        value = float(read(f"{name}.rate", jump.rate, point, ()))
        if not 0.0 <= value <= jump.highest_rate:
            raise ArgumentError(
                f"{name}.rate returned {value:g} at t = {t:g}, expected between 0 and"
                f" longest_rate = {jump.highest_rate:g}.\n"
                "  Arrivals are drawn at longest_rate and thinned."
                if jump.longest_rate is not None
                else f"{name}.rate returned {value:g} at t = {t:g}, expected at least 0."
            )
    if jump.own_delays is not None:
        for j, delay in enumerate(jump.own_delays):
            try_delay(f"{name}.delays[{j}]", delay, t, x, read.args)
        delayed = np.broadcast_to(x, (len(jump.own_delays), *np.shape(x))).copy()
    means = np.array([law.mean for law in jump.mark_laws])
    mark = means if jump.has_mark_vector else float(means[0]) if len(means) else 0.0
    signature = "(t, x, delayed, mark, *args)"
    read(f"{name}.effect", jump.effect, (t, x, delayed, mark), read.shape, signature=signature)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One call of a user's function at the start, with errors that name it."""

    t: float
    shape: tuple[int, ...]
    args: tuple[Any, ...]

    def __call__(
        self, name: str, function: Callable[..., Any], values: tuple[Any, ...],
        shape: tuple[int | None, ...], *, signature: str = "(t, x, delayed, *args)",
    ) -> Floats:  # fmt: skip
        try:
            with np.errstate(all="ignore"):
                raw = function(*values, *self.args)
        except Exception as error:
            _check_arity(name, function, len(values) + len(self.args), len(self.args), signature)
            raise ArgumentError(
                f"{name} failed at t = {self.t:g}: {type(error).__name__}: {error}.\n"
                f"  It was called as {name}{signature} with the state at the start. "
                f"{_explain_state(self.shape)}"
            ) from error
        result = _as_floats(name, raw, self.t)
        if not _fits(result.shape, shape):
            matrix = result.ndim == 2 and name == "diffusion"
            raise ArgumentError(
                f"{name} returned shape {result.shape} at t = {self.t:g},"
                f" expected {_shown_shape(shape)}.\n"
                f"  {_explain_state(self.shape)}"
                + ('\n  For a matrix (dim, m) pass noise="general".' if matrix else "")
            )
        if not np.isfinite(result).all():
            raise ArgumentError(
                f"{name} returned {checks.shown(raw)} at t = {self.t:g}, which is not finite.\n"
                "  The equation cannot start there. Check history, args and divisions by zero."
            )
        return result


def _as_floats(name: str, raw: Any, t: float) -> Floats:
    try:
        result = np.asarray(raw)
    except ValueError:  # rows of different lengths
        result = np.asarray(None)
    if result.dtype.kind not in "biuf":
        raise ArgumentError(
            f"{name} returned {checks.shown(raw)} at t = {t:g}, expected numbers.\n"
            "  It returns the shape of x; tuples and lists of numbers are fine."
        )
    return result.astype(np.float64)


def _check_arity(
    name: str, function: Callable[..., Any], given: int, args: int, signature: str
) -> None:
    try:
        parameters = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        parameters.bind(*range(given))
    except TypeError:
        listed = ", ".join(parameters.parameters)
        raise ArgumentError(
            f"{name}({listed}) cannot be called with {given} argument{'s' * (given != 1)}.\n"
            f"  It is called as {name}{signature}, and args holds {args} value{'s' * (args != 1)}."
            " Note the order: time first, then the state, then the delayed states."
        ) from None


def _explain_state(shape: tuple[int, ...]) -> str:
    if shape == ():
        return "history is a number, so the equation is scalar: x and each delayed[j] are numbers."
    return (
        f"The state has {shape[0]} component{'s' * (shape[0] != 1)} (from history):"
        f" x has shape {shape}, delayed has shape (n_delays, {shape[0]})."
    )
