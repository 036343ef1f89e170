"""sweep(): one problem at many parameter sets, in one labelled table.

A parameter set is one task: threads here or workers elsewhere take sets as they become free. Short
tasks are sent several at a time. Nothing here knows how paths are computed.
"""

import contextlib
import importlib.util
import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.engine import seeds as seeding
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError, SolutionWarning
from sdde.solving.brownian import Brownian
from sdde.solving.execute import Progress, Stops, available_threads, reporter
from sdde.solving.executors import Crew, crew_of, crew_or_threads, run_tasks
from sdde.solving.fitting import fitted
from sdde.solving.labels import coordinates, labelled
from sdde.solving.points import Found, Points, Table, as_points, found_of
from sdde.solving.running import Ready
from sdde.solving.solve import run_of, solution_of
from sdde.solving.stores import Store
from sdde.solving.storing import seed_in
from sdde.solving.sweep_storing import keep, open_sweep, take_stored
from sdde.solving.watching import Functional, Hit

if TYPE_CHECKING:
    import xarray

_ENOUGH = 0.3  # seconds of work that are worth a message to another process
_OVERRIDES = (
    "t_span", "dt", "paths", "rng", "method", "save", "until", "functionals", "noise",
)  # fmt: skip


def sweep(
    problem_of: Callable[..., Any],
    parameters: Any,
    t_span: tuple[float, float] | None = None,
    *,
    dt: float | None = None,
    paths: int = 1,
    rng: Any = None,
    seeds: str = "common",
    method: str = "euler-maruyama",
    save: Any = "final",
    until: Hit | None = None,
    functionals: Mapping[str, Functional] | None = None,
    noise: Brownian | None = None,
    threads: int | None = None,
    executor: Any = None,
    store: Any = None,
    progress: Progress = False,
) -> "xarray.Dataset":
    """Solve a problem at many parameter sets; the result is one labelled table.

    Parameters
    ----------
    problem_of : callable
        ``problem_of(**parameters)`` returns the `Problem` for one parameter set; or a pair of it
        and a dictionary with other values of the arguments below, ``(problem, {"dt": 0.001})``. It
        may also return results: a number, an array, a dictionary of these, or anything with
        ``to_xarray()``, such as the runs of `sdde.cluster.simulate`.
    parameters : dict, list of dict, or pandas.DataFrame
        A grid, ``{"rate": [0.5, 1.0], "delay": [0.1, 0.2]}``; or the parameter sets one by one.
    t_span : (float, float)
        Start and end, as in `sdde.solve`; left out where `problem_of` returns results.
    dt : float
        The time step.
    paths : int, optional
        How many paths for each parameter set.
    rng : None, int, SeedSequence or Generator, optional
        Where the randomness comes from; an int repeats the sweep.
    seeds : {"common", "independent"}, optional
        ``"common"``: all parameter sets see the same random numbers, so that differences between
        them are differences of the parameters. ``"independent"``: each has a seed of its own, made
        from `rng` and its place.

    Returns
    -------
    xarray.Dataset
        The arrays of ``Solution.to_xarray`` with an axis for each parameter of a grid in front, or
        the axis ``point`` for listed sets, and the parameters as coordinates; ``computed`` says
        which sets were computed.

    Other Parameters
    ----------------
    method, save, until, functionals, noise
        As in `sdde.solve`, but by default only the end is saved. All sets must save the same times.
    threads : int, optional
        How many parameter sets are solved at a time; all processors by default.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where they are solved instead, with the same numbers; `problem_of` is called there.
    store : str or Path, optional
        A folder, or a URL that fsspec understands, to which each parameter set goes when it is
        computed (needs zarr). The same call computes only what is missing there; `rng` may be left
        out. `sdde.open_store` opens it.
    progress : bool or callable, optional
        True shows a progress bar (needs tqdm); a function is called as ``progress(finished,
        sets)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used, a parameter set makes none that can, or the package xarray is
        not installed.
    sdde.CompileError
        If a function of a problem cannot be compiled.
    sdde.StoreError
        If `store` is full, in use, or cannot be written; what it has is kept.

    Warns
    -----
    sdde.SolutionWarning
        If paths diverged (``status`` says which), or Ctrl-C stopped the sweep: what is computed is
        returned, the rest is nan.

    See Also
    --------
    sdde.solve : the same for one parameter set; each result of a sweep is its, bit for bit.

    Notes
    -----
    Functions that differ in the values of ``args`` alone are compiled once. So pass what varies as
    ``args`` of the problem, or as delays and history; a number that a function closes over is part
    of its code.

    Examples
    --------
    >>> import sdde
    >>> def decay(t, x, delayed, rate):
    ...     return -rate * delayed[0]
    >>> def problem(rate, delay):
    ...     return sdde.Problem(decay, 0.3, delays=delay, history=1.0, args=(rate,))
    >>> table = sdde.sweep(
    ...     problem, {"rate": [0.5, 1.0], "delay": [0.1, 0.2, 0.4]}, (0, 10), dt=0.05, paths=50,
    ...     rng=1,
    ... )
    >>> dict(table.x.sizes)
    {'rate': 2, 'delay': 3, 'path': 50, 'time': 1}
    >>> table.x.var("path").sel(rate=1.0).dims
    ('delay', 'time')
    """
    _require_xarray()
    checks.function("problem_of", problem_of, signature="(**parameters)")
    points = as_points(parameters)
    _check_call(problem_of, points)
    checks.choice("seeds", seeds, ("common", "independent"))
    crew = crew_of(executor)
    most = available_threads() if threads is None else checks.integer("threads", threads, lowest=1)
    if not callable(progress):
        checks.flag("progress", progress)
    if noise is not None:
        checks.instance(
            "noise", noise, Brownian, "an sdde.Brownian",
            remedy="For example noise = sdde.Brownian(1, finest=0.01).",
        )  # fmt: skip
    given = {
        "t_span": t_span, "dt": dt, "paths": paths, "method": method, "save": save,
        "until": until, "functionals": functionals, "noise": noise,
    }  # fmt: skip
    if rng is None and store is not None:
        rng = seed_in(store)
    seed = seeding.seed_of(rng if noise is None or rng is not None else noise.seed)
    work = PointWork(problem_of, points, given, seed, seeds == "independent")
    table = Table(points)
    with contextlib.ExitStack() as stack:
        kept, missing = None, list(range(len(points)))
        if store is not None:
            kept = stack.enter_context(
                open_sweep(store, problem_of, points, given, seed, seeds)
            )  # fmt: skip
            missing = take_stored(kept, table)
        report, close = reporter(progress, len(points), "set")
        stack.callback(close)
        if crew is None and missing:
            work.threads = max(1, most // len(missing))
        report(len(points) - len(missing), len(points))
        if missing:
            threads = min(most, len(missing))
            crew = stack.enter_context(crew_or_threads(crew, threads))
            _gather(crew, work, missing, table, kept, report)
    _warn(table)
    made_by = {"seed": str(seed), "seeds": seeds, "method": method}
    return table.dataset(made_by if table.is_solved else {})


def _gather(
    crew: Crew, work: "PointWork", missing: list[int], table: Table, kept: Store | None,
    report: Callable[[int, int], Any],
) -> None:  # fmt: skip
    """Have parameter sets computed, and put what they yield into the table, and the store."""
    total, length = len(table.points), 1
    finished = total - len(missing)

    def tasks() -> Iterator[tuple[Any, ...]]:
        first = 0
        while first < len(missing):
            if crew.is_here:  # the user's function is called in one thread only
                yield ((missing[first], work.made(missing[first])),)
                first += 1
                continue
            count = max(1, min(length, (len(missing) - first) // (2 * crew.size)))
            yield tuple(missing[first : first + count])
            first += count

    def take(task: tuple[Any, ...], result: tuple[list[tuple[int, Found]], float]) -> None:
        nonlocal length, finished
        found, seconds = result
        for index, one in found:
            table.put(index, one)
            if kept is not None:
                keep(kept, index, one)
        length = max(1, int(_ENOUGH * len(found) / max(seconds, 1e-6)))
        finished += len(found)
        report(finished, total)

    run_tasks(crew, work.here if crew.is_here else work, tasks(), take, stop=work.stops.stop)


@dataclass(eq=False)
class PointWork:
    """Computes parameter sets.

    Attributes
    ----------
    problem_of : callable
    points : Points
    given : dict
        Arguments of `solve` for all sets.
    seed : int
    independent : bool
        Whether each set has a seed of its own.
    threads : int
        For each set.
    """

    problem_of: Callable[..., Any]
    points: Points
    given: dict[str, Any]
    seed: int
    independent: bool
    threads: int = 1

    def __post_init__(self) -> None:
        self.stops = Stops()

    def __call__(self, *indices: int) -> tuple[list[tuple[int, Found]], float]:
        """Return what some parameter sets yield, and the seconds that it took."""
        begin = time.perf_counter()
        found = [(index, self._found(index, self.made(index))) for index in indices]
        return found, time.perf_counter() - begin

    def here(self, task: tuple[int, Any]) -> tuple[list[tuple[int, Found]], float]:
        """Return the same for one set whose problem was made already."""
        return [(task[0], self._found(*task))], 0.0

    def made(self, index: int) -> Any:
        """Call the user's function; return arguments for `solve`, or results."""
        try:
            made, changes = self.problem_of(**self.points[index]), {}
        except ArgumentError as error:
            raise self._at(index, error) from error
        except Exception as error:
            failed = checks.fail(
                "problem_of", self.problem_of, f"failed ({type(error).__name__}: {error})",
                remedy="Give a function of the parameters by their names.",
            )  # fmt: skip
            raise self._at(index, failed) from error
        if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Problem):
            made, changes = made
            if not isinstance(changes, Mapping) or not set(changes) <= set(_OVERRIDES):
                raise checks.fail(
                    "problem_of", changes, "does not name arguments of sdde.solve",
                    why="It may return a problem and a dictionary of other arguments:"
                    f" {', '.join(_OVERRIDES)}.",
                    remedy='For example return problem, {"dt": 0.001}.',
                )  # fmt: skip
        if not isinstance(made, Problem):
            if self.given["t_span"] is not None:
                raise checks.fail(
                    "t_span", self.given["t_span"], "is given, and problem_of returned no problem",
                    why=f"It returned {checks.shown(made)} at {self.points.said(index)}.",
                    remedy="Return an sdde.Problem, or leave out t_span and dt.",
                )  # fmt: skip
            return found_of(made)
        seed = self.seed
        if self.independent:
            seed = seeding.seed_of(np.random.SeedSequence([self.seed, index]))
        arguments = self.given | {"rng": seed} | dict(changes)
        for name, example in (("t_span", "(0.0, 10.0)"), ("dt", "0.01")):
            if arguments[name] is None:
                raise checks.fail(
                    name, None, "is missing: problem_of returns a problem, which needs it",
                    remedy=f"For example {name} = {example}.",
                )  # fmt: skip
        return {"problem": made, **arguments}

    def _found(self, index: int, made: Any) -> Found:
        """Return what one parameter set yields."""
        if isinstance(made, Found):
            return made
        try:
            run = run_of(**made)
            run, most = fitted(run, self.threads)
            ready = Ready(run)
            block = ready.room(0, run.paths)
            with self.stops.flag() as stop:
                whole = ready.fill(block, threads=most, stop=stop)
        except ArgumentError as error:
            raise self._at(index, error) from error
        if not whole:
            raise KeyboardInterrupt
        solution = solution_of(run, block)
        return Found(labelled(solution), coordinates(solution), is_solved=True)

    def _at(self, index: int, error: ArgumentError) -> ArgumentError:
        return ArgumentError(f"At {self.points.said(index)}: {error}")


def _warn(table: Table) -> None:
    """Say once how many sets have diverged or are missing."""
    total, missing = len(table.points), int((~table.computed).sum())
    said = []
    if missing:
        said.append(f"{missing} of {total} parameter sets were interrupted; `computed` says which.")
    if table.is_solved:
        lost = (table.arrays["status"][1].reshape(total, -1) == "diverged").any(axis=1)
        if lost.any():
            first = table.points.said(int(np.flatnonzero(lost)[0]))
            said.append(
                f"Paths of {lost.sum()} of {total} parameter sets diverged (first at {first});"
                " `status` says which."
            )
    if said:
        warnings.warn("\n".join(said), SolutionWarning, stacklevel=3)


def _check_call(problem_of: Callable[..., Any], points: Points) -> None:
    try:
        signature = inspect.signature(problem_of)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**points[0])
    except TypeError as error:
        raise checks.fail(
            "problem_of", problem_of, f"cannot be called with {', '.join(points.names)} ({error})",
            why="It is called as problem_of(**parameters).",
        ) from None  # fmt: skip


def _require_xarray() -> None:
    if importlib.util.find_spec("xarray") is None:
        raise ArgumentError(
            "sdde.sweep needs the package xarray, which is not installed.\n"
            '  Run: python -m pip install "sdde[data]".'
        )
