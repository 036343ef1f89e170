"""Measured orders: how errors fall with the time step, on the same Brownian paths.

Runs at several time steps are compared with a reference on the same paths: a run at a finer step,
or the exact solution. What comes out is the slope of the error, strong (path by path) and weak (of
a mean), with an interval from batches of paths. Knows nothing about how steps are made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine.methods import METHODS, method_named
from sdde.engine.noise_classes import noise_class
from sdde.engine.seeds import seed_of
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError
from sdde.solving.brownian import Brownian
from sdde.solving.plan import plan
from sdde.solving.solve import solve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
_GROUPS = 32  # batches of paths, from which intervals come
_RESOLVED = 3.0  # a weak error below so many standard errors is noise


class MeasuredOrder(NamedTuple):
    """Orders of one method, each with the ends of its interval.

    Attributes
    ----------
    method : str
        The time-stepping scheme.
    strong : float
        Slope of the strong error; nan where an error is zero or not finite.
    strong_interval : (float, float)
        Ends of its interval.
    weak : float
        Slope of the weak error; nan where less than two time steps show it above the noise.
    weak_interval : (float, float)
        Ends of its interval.
    declared : (float, float)
        Strong and weak order that the method declares for this class of noise; nan if none.
    """

    method: str
    strong: float
    strong_interval: tuple[float, float]
    weak: float
    weak_interval: tuple[float, float]
    declared: tuple[float, float]


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Convergence:
    """Errors of methods at several time steps, and the orders they show.

    Made by `sdde.convergence`.

    Attributes
    ----------
    methods : tuple of str
        The time-stepping schemes.
    dts : array, shape (steps,)
        Time steps, the coarsest first.
    strong_errors, strong_deviations : array, shape (methods, steps)
        Root mean square of the distance from the reference at the end, and its standard error.
    weak_errors, weak_deviations : array, shape (methods, steps)
        Mean of the functional minus that of the reference, and its standard error.
    orders : tuple of MeasuredOrder
        One for each method: slopes of log error against log time step.
    level : float
        Probability of the intervals.
    finest : float
        Time step of the reference run, or of the Brownian paths.
    reference : str
        What errors are measured against.
    t_span : (float, float)
        Start and end.
    paths : int
        How many paths.
    seed : int
        Repeats the study when passed as `rng`.
    """

    methods: tuple[str, ...]
    dts: Floats
    strong_errors: Floats
    strong_deviations: Floats
    weak_errors: Floats
    weak_deviations: Floats
    orders: tuple[MeasuredOrder, ...]
    level: float
    finest: float
    reference: str
    t_span: tuple[float, float]
    paths: int
    seed: int

    @property
    def table(self) -> str:
        """Errors and orders as lines of text."""
        lines = [f"{'method':<16}{'dt':>12}{'strong error':>14}{'weak error':>14}{'+-':>10}"]
        for k, order in enumerate(self.orders):
            for j, dt in enumerate(self.dts):
                lines.append(
                    f"{order.method:<16}{dt:>12.6g}{self.strong_errors[k, j]:>14.4g}"
                    f"{self.weak_errors[k, j]:>14.4g}{self.weak_deviations[k, j]:>10.2g}"
                )
            found = (order.strong, order.strong_interval), (order.weak, order.weak_interval)
            for kind, pair, declared in zip(
                ("strong order", "weak order"), found, order.declared, strict=True
            ):
                text = f"  {kind:<13}{_with_interval(*pair)}"
                lines.append(text if math.isnan(declared) else f"{text}, declared {declared:g}")
        return "\n".join(lines)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw strong and weak errors against the time step, with lines of order 1/2, 1 and 2.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from sdde.plots import plot_convergence

        return plot_convergence(self, ax)

    def __repr__(self) -> str:
        t0, t1 = self.t_span
        head = (
            f"Convergence: {self.paths} paths from t = {t0:g} to {t1:g}, against {self.reference};"
            f" intervals of {100 * self.level:g} %"
        )
        return f"{head}\n{self.table}"


def convergence(
    problem: Problem,
    methods: str | Sequence[str],
    dts: Sequence[float],
    *,
    t_span: tuple[float, float],
    paths: int = 2000,
    rng: Any = None,
    functional: Callable[[Floats], Any] | None = None,
    finest: float | None = None,
    reference: str | None = None,
    exact: Callable[[Brownian, int], Any] | None = None,
    level: float = 0.95,
    threads: int | None = None,
    executor: Any = None,
) -> Convergence:
    r"""Measure with which order methods converge on a problem.

    Every run sees the same Brownian paths, so that the error

    .. math:: e(h)=\sqrt{\mathbb E|x_h(T)-x(T)|^2}\quad\text{(strong)},\qquad
              \mathbb Ef(x_h)-\mathbb Ef(x)\quad\text{(weak)}

    is seen with few paths. Orders are slopes of log e(h) against log h (least squares).

    Parameters
    ----------
    problem : Problem
        The equation.
    methods : str or sequence of str
        Time-stepping schemes, as in `sdde.solve`.
    dts : sequence of float
        At least two time steps, each a whole multiple of `finest`.
    t_span : (float, float)
        Start and end; errors are measured at the end.
    paths : int, optional
        How many paths, at least 64.
    rng : None, int, SeedSequence or Generator, optional
        Where the randomness comes from; an int repeats the study.

    Returns
    -------
    Convergence
        Errors, orders with intervals, a table and a figure.

    Other Parameters
    ----------------
    functional : callable, optional
        ``functional(x)`` turns end states of shape ``(paths, *state_shape)`` into one number for
        each path, for the weak error. By default the sum of squares of the end state.
    finest : float, optional
        Time step of the reference run; by default a sixteenth of the smallest of `dts`.
    reference : str, optional
        The method of the reference run, one for all; by default each method's own.
    exact : callable, optional
        ``exact(noise, paths)`` gives the exact end states on the paths of a `Brownian`, shape
        ``(paths, *state_shape)``; then no reference is run.
    level : float, optional
        Probability of the intervals.
    threads : int, optional
        How many threads to use; all processors by default.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where paths are computed instead, as in `sdde.solve`; functionals are called here.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used; checked before anything is compiled.

    Notes
    -----
    Intervals come from leaving out one of 32 batches of paths at a time (the jackknife) and say how
    much the slope may owe to chance. They do not know that an order holds for small time steps
    only. The weak order uses the time steps whose error exceeds three standard errors. A reference
    run of the method itself sees no error that does not vanish with the time step, and makes slopes
    a little steeper the nearer `finest` is to `dts`.

    Jumps happen at the same times in every run.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.delayed_ornstein_uhlenbeck(1.0, 1.0, 0.5, history=1.0)
    >>> found = sdde.convergence(
    ...     problem, "euler-maruyama", [1 / 8, 1 / 16, 1 / 32], t_span=(0, 3), paths=500, rng=1
    ... )
    >>> low, high = found.orders[0].strong_interval
    >>> bool(0.8 < low < found.orders[0].strong < high < 1.2)
    True
    """
    problem = require_problem(problem)
    names = _names(methods)
    steps = _steps(dts)
    span = checks.time_span("t_span", t_span)
    count = checks.integer("paths", paths, lowest=2 * _GROUPS)
    probability = _level(level)
    small = _finest(finest, steps, with_reference=exact is None)
    _references(reference, exact)
    noise = Brownian(seed_of(rng), finest=small)
    used = names if reference is None else (*names, reference)
    for step in (*steps, small):
        noise.fine_steps(step)
        layout = plan(problem, *span, step)
        for name in used:
            method_named(name).check(problem, layout.state_shape, layout.channels, step)
    states = problem.past.state_shape(span[0])
    require_functional(functional, states, problem, span[0])
    shape = (count, *states)

    def run(method: str, dt: float) -> tuple[Floats, Floats]:
        ends = solve(
            problem, span, dt=dt, paths=count, rng=noise.seed, method=method, save="final",
            noise=noise, threads=threads, executor=executor,
        ).x[:, -1]  # fmt: skip
        return ends.reshape(count, -1), measured(functional, ends)

    truths = {}
    if exact is not None:
        ends = checks.array(
            "exact(noise, paths)",
            checks.answer("exact", exact, noise, count, signature="(noise, paths)"),
        )
        if ends.shape != shape:
            raise checks.fail(
                "exact(noise, paths)", ends, f"has shape {ends.shape}, expected {shape}",
                remedy="Return the end state of every path.",
            )  # fmt: skip
        truth = ends.reshape(count, -1), measured(functional, ends)
        truths = dict.fromkeys(names, truth)
    elif reference is not None:
        truths = dict.fromkeys(names, run(reference, small))
    studies = [_study(run, name, steps, truths.get(name) or run(name, small)) for name in names]
    strong, weak = (np.array([study[k] for study in studies]) for k in range(2))
    kind = noise_class(problem, states)
    orders = tuple(
        _orders(name, np.array(steps), strong[k], weak[k], probability, kind)
        for k, name in enumerate(names)
    )
    source = "the exact solution"
    if exact is None:
        source = f"{reference or 'each method itself'} at dt = {small:g}"
    return Convergence(
        methods=names, dts=np.array(steps),
        strong_errors=np.sqrt(strong.mean(axis=-1)), strong_deviations=_root_deviation(strong),
        weak_errors=weak.mean(axis=-1), weak_deviations=_deviation(weak), orders=orders,
        level=probability, finest=small, reference=source, t_span=span, paths=count,
        seed=noise.seed,
    )  # fmt: skip


# ---- arguments


def require_problem(problem: Any) -> Problem:
    """Return `problem` if it is one."""
    if not isinstance(problem, Problem):
        raise checks.fail(
            "problem", problem, "is not an sdde.Problem",
            remedy="For example problem = sdde.models.ikeda(noise=0.1).",
        )  # fmt: skip
    return problem


def require_functional(
    functional: Any, shape: tuple[int, ...], problem: Problem, t0: float
) -> None:
    """Call a functional on two paths that stay at the start, each state array of `shape`."""
    if functional is None:
        return
    checks.function("functional", functional, signature="(x)")
    x = np.broadcast_to(problem.past.at(np.array([t0]))[0, 0], (2, *shape)).copy()
    try:
        with np.errstate(all="ignore"):
            measured(functional, x)
    except ArgumentError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"functional failed: {type(error).__name__}: {error}.\n"
            f"  It was called with an array x of shape {x.shape}, paths first, and returns one"
            " number for each path.\n  For example functional = lambda x: x[:, 0] of a system."
        ) from error


def measured(functional: Callable[[Floats], Any] | None, x: Floats) -> Floats:
    """Return one number for each path: the functional's, or the sum of squares."""
    if functional is None:
        return (x.reshape(len(x), -1) ** 2).sum(axis=1)
    values = np.asarray(functional(x))
    if values.shape != (len(x),) or values.dtype.kind not in "biuf":
        raise checks.fail(
            "functional(x)", values, f"is no array of numbers of shape ({len(x)},)",
            why=f"x has shape {x.shape}, paths first.",
            remedy="For example functional = lambda x: x**2 of a scalar equation.",
        )  # fmt: skip
    return values.astype(np.float64)


def _names(methods: Any) -> tuple[str, ...]:
    listed = (methods,) if isinstance(methods, str) else methods
    if not isinstance(listed, list | tuple) or not listed:
        raise checks.fail(
            "methods", methods, "does not name a method",
            remedy='For example methods = ["euler-maruyama"].',
        )  # fmt: skip
    return tuple(method_named(name).name for name in listed)


def _steps(dts: Any) -> list[float]:
    values = checks.vector("dts", dts)
    steps = sorted({checks.positive(f"dts[{i}]", v) for i, v in enumerate(values)}, reverse=True)
    if len(steps) < 2:
        raise checks.fail(
            "dts", dts, "holds less than two different time steps", why="A slope needs two.",
            remedy="For example dts = [1 / 8, 1 / 16, 1 / 32].",
        )  # fmt: skip
    return steps


def _level(level: Any) -> float:
    value = checks.number("level", level, example=0.95)
    if not 0.0 < value < 1.0:
        raise checks.fail(
            "level", level, "is not between 0 and 1", remedy="For example level = 0.95."
        )
    return value


def _finest(finest: Any, steps: list[float], *, with_reference: bool) -> float:
    if finest is None:
        return steps[-1] / 16.0 if with_reference else steps[-1]
    value = checks.positive("finest", finest, example=0.001)
    if with_reference and value >= steps[-1]:
        raise checks.fail(
            "finest", finest, f"is not below the smallest of dts = {steps[-1]:g}",
            why="The reference must be finer than what is measured.",
            remedy=f"For example finest = {steps[-1] / 16.0!r}.",
        )  # fmt: skip
    return value


def _references(reference: Any, exact: Any) -> None:
    if reference is not None:
        checks.choice("reference", reference, METHODS)
    if exact is None:
        return
    checks.function("exact", exact, signature="(noise, paths)")
    if reference is not None:
        raise checks.fail(
            "reference", reference, "is given, and so is exact", remedy="Leave one of them out."
        )


# ---- errors and slopes; the last axis holds batches of paths


def _study(
    run: Callable[[str, float], tuple[Floats, Floats]], name: str, steps: list[float],
    truth: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return mean squared and mean weak errors of each batch, each of shape (steps, batches)."""
    strong, weak = [], []
    for dt in steps:
        ends, values = run(name, dt)
        strong.append(_batches(((ends - truth[0]) ** 2).sum(axis=1)))
        weak.append(_batches(values - truth[1]))
    return np.array(strong), np.array(weak)


def _batches(values: Floats) -> Floats:
    """Return means of batches of neighbouring paths of equal size, weighted to average exactly."""
    parts = np.array_split(values, _GROUPS)
    weight = _GROUPS / len(values)
    return np.array([part.sum() * weight for part in parts])


def _deviation(batches: Floats) -> Floats:
    return batches.std(axis=-1, ddof=1) / math.sqrt(_GROUPS)


def _root_deviation(squares: Floats) -> Floats:
    """Return the standard error of the root of a mean."""
    root = np.sqrt(squares.mean(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(root > 0.0, _deviation(squares) / (2.0 * root), 0.0)


def _orders(
    name: str, steps: Floats, squares: Floats, means: Floats, level: float, kind: str
) -> MeasuredOrder:
    seen = np.abs(means.mean(axis=-1)) > _RESOLVED * _deviation(means)
    strong = _slope(steps, squares, level, power=0.5)
    weak = _slope(steps[seen], means[seen], level, power=1.0)
    known = method_named(name).orders.get(kind)
    declared = (math.nan, math.nan) if known is None else (known.strong, known.weak)
    return MeasuredOrder(name, *strong, *weak, declared)


def _slope(
    steps: Floats, batches: Floats, level: float, *, power: float
) -> tuple[float, tuple[float, float]]:
    """Return the slope of log |mean over batches|^power, and its jackknife interval."""
    from scipy.special import stdtrit

    total = batches.sum(axis=-1, keepdims=True)
    parts = np.abs(np.concatenate([total / _GROUPS, (total - batches) / (_GROUPS - 1)], axis=-1))
    if len(steps) < 2 or not np.all(np.isfinite(parts)) or np.any(parts == 0.0):
        return math.nan, (math.nan, math.nan)
    x = np.log(steps) - np.log(steps).mean()
    slopes = power * (x @ np.log(parts)) / (x @ x)
    left_out = slopes[1:]
    spread = math.sqrt((_GROUPS - 1) / _GROUPS * ((left_out - left_out.mean()) ** 2).sum())
    half = float(stdtrit(_GROUPS - 1, 0.5 + level / 2.0)) * spread
    slope = float(slopes[0])
    return slope, (slope - half, slope + half)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    if math.isnan(value):
        return "not seen above the noise"
    return f"{value:.2f}  ({interval[0]:.2f} to {interval[1]:.2f})"
