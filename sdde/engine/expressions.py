"""Plain Python functions as straight-line scalar expressions.

`trace` calls the user's function with tracing scalars and returns `Expressions`: what the function
computes, scalar by scalar. It means exactly what NumPy computes with float64 (Python's ``math``
included: nan or infinity where ``math`` raises), or the function is refused with `Untraceable`.
Arithmetic, choices and sums have NumPy's bits. To rounding only agree matrix products, literal
powers, and elementary functions, whose last place NumPy itself computes differently in its several
loops; the sign of a nan is as unspecified as there, and so is ``(-inf) ** 0.5``. A function is read
twice, and what was read is compared with calls on numbers, so hidden state and random numbers are
found. Nothing here knows about compilation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdde.engine.tracing.arguments import (
    is_logical,
    is_whole,
    parameters,
    traced_args,
    traced_input,
)
from sdde.engine.tracing.form import Expressions, Shape, Source
from sdde.engine.tracing.scalars import TracedScalar, elements, lift
from sdde.engine.tracing.substitution import Substitution
from sdde.engine.tracing.tape import Node, Tape, Untraceable, raising_line
from sdde.errors import ArgumentError

__all__ = ["Expressions", "Source", "Untraceable", "parameters", "trace"]

_POINTS = 3  # calls on numbers that a reading is compared with


def trace(
    function: Callable[..., Any],
    *,
    state_shape: Shape,
    n_delays: int,
    args: Sequence[Any] = (),
    extra: Mapping[str, Shape] | None = None,
    name: str = "drift",
    shapes: Sequence[tuple[int | None, ...]] | None = None,
) -> Expressions:
    """Read a user's function as scalar expressions.

    Parameters
    ----------
    function : callable
        ``function(t, x, delayed, *extra, *args)`` in ordinary Python and NumPy.
    state_shape : tuple of int
        ``()`` for a scalar equation, else ``(dim,)``.
    n_delays : int
        Number of delays.
    args : sequence
        Extra arguments. Numbers and arrays become run-time parameters (see `parameters`);
        anything else is passed as it is.
    extra : mapping of str to tuple of int
        Names and shapes of inputs between `delayed` and `args`: ``{"mark": ()}``.
    name : str
        What the function is (drift, diffusion, effect, rate), for messages.
    shapes : sequence of tuples
        Allowed shapes of the result, None for any length; default: that of the state.

    Returns
    -------
    Expressions
        What the function computes.

    Raises
    ------
    Untraceable
        If the function cannot be read as a straight line; the caller compiles it otherwise.
    ArgumentError
        If the function returns another shape than those allowed.
    """
    logical = tuple(k for k, value in enumerate(args) if is_logical(value))
    whole = tuple(k for k, value in enumerate(args) if is_logical(value) or is_whole(value))
    given = (function, tuple(state_shape), n_delays, tuple(args), tuple(dict(extra or {}).items()))
    try:
        result = _read(*given, logical)
    except Untraceable:
        if whole == logical:
            raise
        result = _read(*given, whole)
    if _read(*given, result.fixed) != result:
        raise Untraceable("gives another result when read again: random numbers or hidden state")
    _compare_with_calls(result, function, args)
    allowed = shapes or [result.state_shape]
    if not any(_fits(result.shape, shape) for shape in allowed):
        raise ArgumentError(_wrong_shape(name, result, allowed))
    return result


def _read(
    function: Callable[..., Any],
    state_shape: Shape,
    n_delays: int,
    args: tuple[Any, ...],
    extra: tuple[tuple[str, Shape], ...],
    fixed: tuple[int, ...],
) -> Expressions:
    tape = Tape()
    components = range(state_shape[0] if state_shape else 1)
    try:
        t = TracedScalar(tape, tape.input("t"))
        x = traced_input(tape, state_shape, [("x", i) for i in components])
        late = [("delayed", j, i) for j in range(n_delays) for i in components]
        delayed = traced_input(tape, (n_delays, *state_shape), late)
        more = [
            traced_input(tape, shape, [(label, k) for k in range(int(np.prod(shape)))])
            for label, shape in extra
        ]
        stand_in = Substitution(tape)
        with np.errstate(all="ignore"):
            further = (*more, *traced_args(tape, args, fixed))
            value = stand_in.of(function)(t, x, delayed, *further)
            stand_in.refuse_stores()
            outputs, shape = _outputs(tape, value)
    except Untraceable as refusal:
        raise (tape.refusal or refusal) from None
    except Exception as error:
        if tape.refusal is not None:
            raise tape.refusal from None
        reason = f"{type(error).__name__}: {error}"
        raise Untraceable(reason, *raising_line(error.__traceback__)) from error
    if tape.refusal is not None:  # raised, and caught by the user's code
        raise tape.refusal
    nodes, outputs = living(tape.nodes, outputs)
    size = int(parameters(args).size)
    return Expressions(nodes, outputs, shape, state_shape, n_delays, size, extra, fixed)


def _outputs(tape: Tape, value: Any) -> tuple[tuple[int, ...], Shape]:
    if value is None:
        raise TypeError("the function returns None; is a return statement missing?")
    plain = elements(tape, value)
    if not isinstance(plain, np.ndarray):
        plain_shape: Shape = ()
        items = [plain]
    else:
        plain_shape, items = plain.shape, list(plain.flat)
    nodes = [tape.as_float(lift(tape, item)) for item in items]
    if any(tape.nodes[node].operation == "unassigned" for node in nodes):
        tape.refuse("returns an element of np.empty that was never assigned")
    return tuple(nodes), plain_shape


def living(
    nodes: Sequence[Node], outputs: Sequence[int]
) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    """Return the nodes that the outputs need, renumbered."""
    needed = set(outputs)
    for place in reversed(range(len(nodes))):
        if place in needed:
            needed.update(nodes[place].operands)
    places = {old: new for new, old in enumerate(sorted(needed))}
    kept = tuple(
        nodes[old]._replace(operands=tuple(places[k] for k in nodes[old].operands))
        for old in places
    )
    return kept, tuple(places[node] for node in outputs)


# ---- checking what was read


def _compare_with_calls(
    expressions: Expressions, function: Callable[..., Any], args: Sequence[Any]
) -> None:
    """Refuse a reading that disagrees with the function on numbers.

    The tolerance leaves room for another order of additions in a matrix product and for literal
    powers. Points at which the function raises are passed over, unless it raises at all of them.
    """
    plain = getattr(function, "py_func", function)
    rng = np.random.default_rng(20261120)
    p = parameters(args)
    failure: Exception | None = None
    compared = False
    for k in range(_POINTS):
        # the first points are positive, for functions with logarithms and roots
        def draw(shape: Shape, positive: bool = k < _POINTS - 1) -> Any:
            values = rng.uniform(0.2, 0.9, shape) if positive else rng.normal(size=shape)
            return values if np.ndim(values) else np.float64(values)

        t, x = draw(()), draw(expressions.state_shape)
        delayed = draw((expressions.n_delays, *expressions.state_shape))
        extra = {label: draw(shape) for label, shape in expressions.extra}
        inputs = [np.array(v) if np.ndim(v) else v for v in (x, delayed, *extra.values())]
        try:
            with np.errstate(all="ignore"):
                called = np.asarray(plain(t, *inputs, *args), dtype=float)
        except Exception as error:
            failure = error
            continue
        compared = True
        read = expressions.evaluate(t, x, delayed, p, **extra)
        if called.shape != read.shape or not _close(called, read):
            raise Untraceable(
                f"returned {called.tolist()} for t = {t}, x = {np.asarray(x).tolist()}, where its "
                f"reading gives {read.tolist()}"
            )
    if failure is not None and not compared:
        reason = f"{type(failure).__name__}: {failure}"
        raise Untraceable(reason, *raising_line(failure.__traceback__)) from failure


def _close(called: np.ndarray, read: np.ndarray) -> bool:
    return np.allclose(called, read, rtol=1e-7, atol=1e-9, equal_nan=True)


def _fits(shape: Shape, allowed: tuple[int | None, ...]) -> bool:
    return len(shape) == len(allowed) and all(
        want is None or want == got for got, want in zip(shape, allowed, strict=True)
    )


def _wrong_shape(name: str, result: Expressions, allowed: Sequence[tuple[int | None, ...]]) -> str:
    expected = " or ".join(str(shape).replace("None", "noise_dim") for shape in allowed)
    if not result.state_shape:
        state = "The equation is scalar (history is a number): x and each delayed[j] are numbers."
    else:
        state = f"The state has {result.state_shape[0]} components (from history)."
    remedy = "Return a number." if () in allowed else f"Return an array of shape {expected}."
    if result.shape == () and None not in allowed[0]:
        remedy = f"For the same value in each component return np.full({allowed[0]}, value)."
    return f"{name} returned shape {result.shape}, expected {expected}.\n  {state} {remedy}"
