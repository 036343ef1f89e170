"""What is watched while paths run: a function that stops them, and functionals of whole paths.

These are plain values, checked at the start by one call in plain Python. How the functions are
compiled and their values gathered is the engine's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError

Floats = NDArray[np.float64]
KINDS = ("integral", "maximum", "minimum", "last")  # places are the engine's numbers
_SIGNATURE = "(t, x, delayed, *args)"


@dataclass(frozen=True, eq=False, slots=True)
class Hit:
    r"""When to stop a path: where a function of it changes sign.

    Pass it as ``until=`` to `sdde.solve`. A path stops at
    :math:`T=\inf\{t: g(t, x(t), x(t-\tau_1), \dots)\ \text{changes sign}\}`: its status is
    ``"hit"``, ``solution.hit_time`` holds *T*, and from then on it stays where it was,
    :math:`x(\min(t,T))`, the stopped process.

    Parameters
    ----------
    function : callable
        ``function(t, x, delayed, *args)`` returning a number, with the arguments of the drift.
    direction : {0, 1, -1}, optional
        Which changes count: both, from negative to positive, or from positive to negative.

    Raises
    ------
    sdde.ArgumentError
        If `function` cannot be called, or `direction` is not one of these.

    Notes
    -----
    The function is taken at grid times. A change of sign in a step is put where the straight line
    between its values is zero, and the state there on the straight line between the states: this
    has the order of Euler-Maruyama where the path is smooth. With noise, excursions within a step
    are not seen, so paths are stopped late by a time of order :math:`\sqrt{dt}`. A function that
    is zero at the start has not changed sign.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed, level: 1.0, history=0.0, args=(0.25,))
    >>> level = sdde.Hit(lambda t, x, delayed, level: x - level)
    >>> solution = sdde.solve(problem, (0.0, 2.0), dt=0.1, until=level)
    >>> solution.hit_time, solution.status
    (array([0.25]), array(['hit'], dtype='<U11'))
    """

    function: Callable[..., Any]
    direction: int = 0

    def __post_init__(self) -> None:
        checks.function("function", self.function)
        checks.integer("direction", self.direction, lowest=-1, highest=1)


@dataclass(frozen=True, eq=False, slots=True)
class Functional:
    r"""A number that each path yields as a whole: an integral, an extreme, or a last value.

    Pass some by name as ``functionals=`` to `sdde.solve`, whatever is saved; their values for each
    path are in ``solution.functionals``.

    Parameters
    ----------
    function : callable
        ``function(t, x, delayed, *args)`` returning a number or a vector, with the arguments of the
        drift.
    kind : {"integral", "maximum", "minimum", "last"}
        What is made of the function's values over time: their integral from the start, the largest,
        the smallest, or the one at the end.

    Raises
    ------
    sdde.ArgumentError
        If `function` cannot be called or `kind` is not known.

    Notes
    -----
    The function is taken at grid times and joined by straight lines, so the integral is the
    trapezoidal rule. A path that was stopped (`Hit`) counts up to its hit; one that diverged yields
    nan.

    Examples
    --------
    The time that paths spend above 1, and their largest value:

    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> above = sdde.Functional(lambda t, x, delayed: 1.0 * (x > 1.0), "integral")
    >>> largest = sdde.Functional(lambda t, x, delayed: x, "maximum")
    >>> solution = sdde.solve(
    ...     problem, (0.0, 5.0), dt=0.01, paths=100, rng=1, save="final",
    ...     functionals={"above": above, "largest": largest},
    ... )
    >>> solution.functionals["above"].shape
    (100,)
    """

    function: Callable[..., Any]
    kind: str

    def __post_init__(self) -> None:
        checks.function("function", self.function)
        checks.choice("kind", self.kind, KINDS)


@dataclass(frozen=True, eq=False, slots=True)
class Watched:
    """What one solve watches.

    Attributes
    ----------
    until : Hit or None
    functionals : dict of str to Functional
    shapes : list of tuple
        Shapes of the values: of the hitting function if there is one, then of the functionals.
    """

    until: Hit | None = None
    functionals: dict[str, Functional] = field(default_factory=dict)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions under the names by which they are compiled."""
        hit = [] if self.until is None else [self.until.function]
        rest = [functional.function for functional in self.functionals.values()]
        return {f"watched{i}": function for i, function in enumerate([*hit, *rest])}

    @property
    def kinds(self) -> NDArray[np.int64]:
        """The engine's number of the reduction of each value of the functionals."""
        sizes = [int(np.prod(shape)) for shape in self.shapes[self.hits :]]
        kinds = [KINDS.index(functional.kind) for functional in self.functionals.values()]
        return np.repeat(np.array(kinds, dtype=np.int64), np.array(sizes, dtype=np.int64))

    @property
    def hits(self) -> int:
        """The number of hitting functions, 0 or 1."""
        return int(self.until is not None)

    def by_name(self, results: Floats) -> dict[str, Floats]:
        """Return the columns of `results`, shape (paths, values), as one array by functional."""
        named, place = {}, 0
        for name, shape in zip(self.functionals, self.shapes[self.hits :], strict=True):
            size = int(np.prod(shape))
            named[name] = results[:, place : place + size].reshape(len(results), *shape)
            place += size
        return named


def watch(
    problem: Problem, t0: float, until: Hit | None, functionals: Mapping[str, Functional] | None
) -> Watched:
    """Check what a user wants watched, and call each function once at the start."""
    if until is not None and not isinstance(until, Hit):
        raise checks.fail(
            "until", until, "is not an sdde.Hit",
            remedy="For example until = sdde.Hit(lambda t, x, delayed: x - 1.0).",
        )  # fmt: skip
    named = {} if functionals is None else functionals
    if not isinstance(named, Mapping):
        raise checks.fail(
            "functionals", functionals, "is not a dictionary of names",
            remedy='For example functionals = {"largest": sdde.Functional(f, "maximum")}.',
        )  # fmt: skip
    for name, functional in named.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise checks.fail("functionals", name, "is not a name", remedy='For example "largest".')
        if not isinstance(functional, Functional):
            raise checks.fail(
                f"functionals[{name!r}]", functional, "is not an sdde.Functional",
                remedy='For example sdde.Functional(lambda t, x, delayed: x, "maximum").',
            )  # fmt: skip
    shapes = []
    if until is not None:
        shapes.append(_shape_of("until.function", until.function, problem, t0, (0,)))
    for name, functional in named.items():
        shapes.append(_shape_of(f"functionals[{name!r}]", functional.function, problem, t0, (0, 1)))
    return Watched(until, dict(named), shapes)


def _shape_of(
    name: str, function: Callable[..., Any], problem: Problem, t0: float, ndims: tuple[int, ...]
) -> tuple[int, ...]:
    start = problem.past.at(np.array([t0]))[0, 0]
    state = start if start.ndim else float(start)
    delayed = np.broadcast_to(start, (len(problem.delays), *start.shape)).copy()
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(function(t0, state, delayed, *problem.args))
    except Exception as error:
        raise ArgumentError(
            f"{name} failed at t = {t0:g}: {type(error).__name__}: {error}.\n"
            f"  It was called as {name}{_SIGNATURE} with the state at the start."
        ) from error
    if value.dtype.kind not in "biuf" or value.ndim not in ndims or value.size == 0:
        raise checks.fail(
            name, function, f"returned {checks.shown(value)} at t = {t0:g}",
            why="It must return a number." if ndims == (0,) else "It must return a number or a"
            " vector of numbers.",
        )  # fmt: skip
    if not np.isfinite(value).all():
        raise checks.fail(
            name, function, f"returned {checks.shown(value)} at t = {t0:g}, which is not finite",
            remedy="Check the function at the start, and divisions by zero in it.",
        )  # fmt: skip
    return value.shape
