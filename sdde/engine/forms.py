"""How each of the user's functions enters a chunk: written out, or called with numbers or arrays.

A function that can be read as a short straight line is written out. The others are called: with
one path's numbers or arrays, or, in large systems, with the arrays of many paths at once where
trial calls show that this gives each path's own result (then matrix products serve all of them).
The choice depends on the problem alone, never on how many paths are run. Nothing here compiles a
chunk.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdde.engine.expressions import Expressions, Untraceable, trace
from sdde.engine.lags import all_delays
from sdde.engine.layout import LARGEST_WRITTEN, LONGEST_LINE, functions_of
from sdde.equation.delays import StateDelay
from sdde.equation.problem import Problem

_LONGEST_OF_LARGE = 256  # LONGEST_LINE with outputs, for large systems, whose arrays loop as fast
_TRIALS = 4
_LANES = 5


@dataclass(frozen=True, slots=True)
class Forms:
    """The form of each function of a problem.

    Attributes
    ----------
    expressions : dict
        For each function its expressions, or None where it is called by name.
    in_lanes : bool
        Drift and diffusion are called with arrays whose last axis runs over paths.
    with_tuples : bool
        Functions of a scalar equation receive `delayed` as a tuple, which the compiler likes better
        than an array.
    """

    expressions: dict[str, Expressions | None]
    in_lanes: bool
    with_tuples: bool


def forms_of(problem: Problem, state_shape: tuple[int, ...]) -> Forms:
    """Choose the form of each function."""
    expressions = dict(_readings(problem, state_shape))
    called = [
        function
        for name, function in functions_of(problem).items()
        if name in ("drift", "diffusion") and expressions[name] is None
    ]
    large = math.prod(state_shape) > LARGEST_WRITTEN
    return Forms(
        expressions=expressions,
        in_lanes=large and all(_serves_lanes(f, problem, state_shape[0]) for f in called),
        with_tuples=state_shape == () and all(_takes_tuples(f, problem) for f in called),
    )


def _readings(
    problem: Problem, state_shape: tuple[int, ...]
) -> Iterator[tuple[str, Expressions | None]]:
    own = len(problem.delays)
    for name, function in functions_of(problem).items():
        kind = name.rstrip("0123456789")
        delays, extra, shapes = own, None, None
        if kind == "effect":
            jump = problem.jumps[int(name.removeprefix(kind))]
            delays = own if jump.own_delays is None else len(jump.own_delays)
            extra = {"mark": (len(jump.mark_laws),) if jump.has_mark_vector else ()}
        elif kind in ("rate", "delay"):
            shapes = [()]
        elif kind == "diffusion" and problem.has_noise_matrix:
            shapes = [(*state_shape, None)]
        if kind == "delay":
            delay = all_delays(problem)[int(name.removeprefix(kind))][1]
            function, delays = _with_all_arguments(delay), 0
        if kind in ("drift", "diffusion") and math.prod(state_shape) > LARGEST_WRITTEN:
            yield name, None
            continue
        try:
            read = trace(
                function, state_shape=state_shape, n_delays=delays, args=problem.args,
                extra=extra, name=kind, shapes=shapes,
            )  # fmt: skip
        except Untraceable:
            yield name, None
            continue
        large = math.prod(state_shape) > LARGEST_WRITTEN
        length = len(read.nodes) + len(read.outputs) * large
        yield name, read if length <= (_LONGEST_OF_LARGE if large else LONGEST_LINE) else None


def _with_all_arguments(delay: Any) -> Callable[..., Any]:
    """Return the function of a delay with the arguments of a drift."""
    plain = getattr(delay.function, "py_func", delay.function)
    if isinstance(delay, StateDelay):
        return lambda t, x, delayed, *args: plain(t, x, *args)
    return lambda t, x, delayed, *args: plain(t, *args)


def _serves_lanes(function: Callable[..., Any], problem: Problem, dim: int) -> bool:
    """Return whether calls with many paths at once give each path's own result."""
    rng = np.random.default_rng(0)
    for trial in range(_TRIALS):
        scale = 10.0 ** (trial - 2)
        x = scale * rng.normal(size=(dim, _LANES))
        delayed = scale * rng.normal(size=(len(problem.delays), dim, _LANES))
        try:
            with np.errstate(all="ignore"):
                together = np.asarray(function(0.5 * trial, x, delayed, *problem.args))
                alone = [
                    np.asarray(function(0.5 * trial, x[:, k], delayed[:, :, k], *problem.args))
                    for k in range(_LANES)
                ]
        except Exception:
            return False
        separate = np.stack(alone, axis=-1)
        if together.shape != separate.shape:
            return False
        if not np.allclose(together, separate, rtol=1e-9, equal_nan=True):
            return False
    return True


def _takes_tuples(function: Callable[..., Any], problem: Problem) -> bool:
    """Return whether a tuple for `delayed` means the same as an array (``+`` would not)."""
    rng = np.random.default_rng(0)
    for trial in range(_TRIALS):
        x = float(rng.normal())
        delayed = rng.normal(size=len(problem.delays))
        results = []
        for late in (delayed, tuple(delayed.tolist())):
            try:
                with np.errstate(all="ignore"):
                    results.append(np.asarray(function(0.5 * trial, x, late, *problem.args)))
            except Exception:
                results.append(None)
        array, from_tuple = results
        if array is None or from_tuple is None or from_tuple.dtype.kind not in "biuf":
            return False
        if array.shape != from_tuple.shape or not np.array_equal(array, from_tuple, equal_nan=True):
            return False
    return True
