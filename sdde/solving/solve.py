"""solve(): check, plan, run blocks of paths, collect.

The order matters: every argument is checked before anything is compiled. The numbers of a path
depend on the seed and on its index alone.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from sdde import checks
from sdde.engine import seeds
from sdde.engine.compile import content_of
from sdde.engine.kernels.signatures import DIVERGED, DONE, HIT, INTERRUPTED
from sdde.engine.methods import method_named
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError, SolutionWarning
from sdde.solving.brownian import Brownian
from sdde.solving.execute import Progress, available_threads
from sdde.solving.executors import Crew, crew_of
from sdde.solving.fitting import fitted
from sdde.solving.known import known
from sdde.solving.moments import Moments, continue_request, plan_columns
from sdde.solving.plan import plan
from sdde.solving.running import Block, Ready, Run
from sdde.solving.saving import continue_saves, plan_saves
from sdde.solving.solution import Solution
from sdde.solving.spreading import fill_elsewhere
from sdde.solving.starting import warn_of_lost_order
from sdde.solving.stored_arrays import StoredArray
from sdde.solving.storing import fill_store, open_for, results_in, seed_in
from sdde.solving.watching import Functional, Hit, watch

_STATUS = {
    DONE: "done",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
    HIT: "hit",
}


def solve(
    problem: Problem,
    t_span: tuple[float, float],
    *,
    dt: float,
    paths: int = 1,
    rng: Any = None,
    method: str = "euler-maruyama",
    save: Any = "all",
    until: Hit | None = None,
    functionals: Mapping[str, Functional] | None = None,
    noise: Brownian | None = None,
    threads: int | None = None,
    executor: Any = None,
    store: Any = None,
    progress: Progress = False,
) -> Solution:
    r"""Simulate paths of a stochastic delay differential equation.

    Parameters
    ----------
    problem : Problem
        The equation.
    t_span : (float, float)
        Start and end. Where the span is not a whole number of steps, the last step goes beyond its
        end, and the state at the end is read by linear interpolation.
    dt : float
        The time step, taken exactly as given, in the unit of `t_span`.
    paths : int, optional
        How many independent paths.
    rng : None, int, SeedSequence or Generator, optional
        Where the randomness comes from; an int repeats the same paths. Path *i* of a seed is the
        same bit for bit whatever the number of paths, the threads and the saved times.
    method : str, optional
        The time-stepping scheme: ``"euler-maruyama"``; ``"heun"`` (trapezoidal drift);
        ``"milstein"`` (order 1 for any noise, also where it sees the past); ``"tamed-euler"``
        (drifts that grow fast); ``"theta"`` and ``"implicit-euler"`` (stiff drifts);
        ``"euler-heun"`` (calculus of Stratonovich). The guide page on methods says which orders
        each reaches; a method refuses what it is wrong for and names another.
    save : "all", "final", int, array of float, or Moments, optional
        Which times to keep: all grid times, the end, every n-th grid time and the end, or the times
        listed. Times between grid times are read by linear interpolation.
    until : Hit, optional
        Stops a path where a function changes sign; it stays there from then on.
    functionals : dict of str to Functional, optional
        Integrals, extremes and last values of functions along each path, by name.
    noise : Brownian, optional
        Brownian paths that are the same at any `dt`; `rng` then serves the jumps alone, and may be
        left out.

    Returns
    -------
    Solution
        Times, states, and the status of each path.

    Other Parameters
    ----------------
    threads : int, optional
        How many threads to use; all processors by default. With `executor` those of each block, one
        by default.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where blocks of paths are computed instead: processes or machines of your choice, with the
        same numbers. It is left running.
    store : str or Path, optional
        A folder, or a URL that fsspec understands, to which results go block by block (needs
        zarr). The same call goes on where a run that was stopped or killed has ended, with the same
        bits as a run that was not, and reads the results where all are there; `rng` may be left
        out. `sdde.open_store` opens it.
    progress : bool or callable, optional
        True shows a progress bar (needs tqdm); a function is called as ``progress(finished,
        paths)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used; checked before anything is compiled. Also if `store` belongs
        to another run.
    sdde.CompileError
        If a function of the problem cannot be compiled.
    sdde.StoreError
        If `store` is full, in use, or cannot be written; what it has is kept.

    Warns
    -----
    sdde.SolutionWarning
        If paths diverged, or Ctrl-C stopped the run; the solution says which paths ended and when.
        Also if the history jumps at the start and the method loses order by it, and if blocks of
        `store` were damaged and are computed again.

    Notes
    -----
    The history is read at grid times, and every state between grid times on a straight line: at
    delays off the grid, at the delays of arrivals, at saved times. A path has diverged when, at a
    multiple of 32 steps, it is beyond 1e12 or nan; it is nan from the first step beyond.

    Functions without branches on the state are read as formulas, with own polynomials for
    exponentials, logarithms and the like (within 2 units in the last place); others are compiled as
    they stand. Systems of more than 16 components are computed with arrays, 16 paths at a time;
    their matrix products come from BLAS, whose last bits may differ between kinds of processors.

    With `store`, blocks of paths are written as they are finished, and read back at the end. States
    that would take more than half of the memory that is free stay there: ``solution.x`` then reads
    what is indexed. A longer run (`Solution.extend`) begins at the start.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> solution = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=100, rng=1)
    >>> solution.x.shape
    (100, 501)
    """
    crew = crew_of(executor)
    most = _threads(threads, crew)
    if not callable(progress):
        checks.flag("progress", progress)
    if rng is None and store is not None:
        rng = seed_in(store)
    run = run_of(
        problem, t_span, dt=dt, paths=paths, rng=rng, method=method, save=save, until=until,
        functionals=functionals, noise=noise,
    )  # fmt: skip
    warn_of_lost_order(problem, run.method, run.times[0], run.times[2])
    if store is not None:
        run = replace(run, is_stored=True)
        with open_for(run, store) as kept:
            run, most = fitted(run, most, block=int(kept.header["length"]) * run.kept)
            ready = Ready(run)
            fill_store(ready, kept, crew, threads=most, progress=progress)
            block, apart = results_in(ready, kept)
        return _warned(solution_of(run, block, apart=apart), block)
    run, most = fitted(run, most)
    ready = Ready(run)
    block = ready.room(0, run.paths)
    if crew is None:
        ready.fill(block, threads=most, progress=progress)
    else:
        fill_elsewhere(ready, block, crew, threads=most, progress=progress)
    return _warned(solution_of(run, block), block)


def run_of(
    problem: Problem, t_span: tuple[float, float], *, dt: float, paths: int = 1, rng: Any = None,
    method: str = "euler-maruyama", save: Any = "all", until: Hit | None = None,
    functionals: Mapping[str, Functional] | None = None, noise: Brownian | None = None,
) -> Run:  # fmt: skip
    """Check the arguments of `solve`, and return what decides the numbers."""
    (t0, t1), step, count = first_checks(problem, t_span, dt, paths, noise)
    scheme = method_named(method)
    fine = 1 if noise is None else noise.fine_steps(step)
    request = save if isinstance(save, Moments) else None
    saves = plan_saves(save if request is None else request.times, t0, t1, step)
    content = content_of(problem)
    # A history that is a function may refer to what has changed.
    seen = None if callable(problem.past.source) else content
    layout = known(problem, "plan", (seen, t0, t1, step), lambda: plan(problem, t0, t1, step))
    scheme.check(problem, layout.state_shape, layout.channels, step)
    columns = None if request is None else plan_columns(request, saves)
    watched = watch(problem, t0, until, functionals)
    if noise is not None:
        noise.require_room(count, layout.n_steps * fine, layout.channels)
    seed = seeds.seed_of(rng) if noise is None or rng is not None else noise.seed
    return Run(
        problem=problem, plan=layout, saves=saves, times=(t0, t1, step), method=scheme, seed=seed,
        paths=count, noise=noise, fine=fine, watched=watched, content=content, request=request,
        columns=columns,
    )  # fmt: skip


def first_checks(
    problem: Any, t_span: Any, dt: Any, paths: Any, noise: Any, *, call: str = "solve"
) -> tuple[tuple[float, float], float, int]:
    """Check what every way of solving is given first; return the span, the step and the paths."""
    if not isinstance(problem, Problem):
        raise checks.fail(
            "problem", problem, "is not an sdde.Problem",
            remedy=f"Call sdde.{call}(sdde.Problem(drift, ...), t_span, dt=...).",
        )  # fmt: skip
    span = checks.time_span("t_span", t_span)
    step = checks.positive("dt", dt, example=0.01)
    count = checks.integer("paths", paths, lowest=1)
    seeds.require_room(paths=count)
    if problem.past.count not in (1, count):
        raise checks.fail(
            "paths", paths, f"differs from the {problem.past.count} paths of the earlier solution",
            why="Each path continues a path of the solution given as history.",
            remedy=f"Use paths = {problem.past.count}.",
        )  # fmt: skip
    if noise is not None and not isinstance(noise, Brownian):
        raise checks.fail(
            "noise", noise, "is not an sdde.Brownian",
            remedy=f"For example noise = sdde.Brownian(1, finest={step!r}).",
        )  # fmt: skip
    return span, step, count


def _threads(threads: int | None, crew: Crew | None) -> int:
    if threads is None:
        return available_threads() if crew is None else 1
    return checks.integer("threads", threads, lowest=1)


def extend(
    solution: Solution, t1: float, save: Any, threads: int | None, progress: Progress
) -> Solution:
    """Continue each path of a solution to a later end; see `Solution.extend`."""
    problem, (t0, before), step = solution.problem, solution.t_span, solution.dt
    if problem is None:
        raise ArgumentError(
            "solution.extend needs the problem, and files keep no functions.\n"
            "  Load it with the problem: sdde.Solution.load(path, problem=problem)."
        )
    if len(solution.evaluations):
        raise ArgumentError(
            "solution.extend does not continue adaptive steps.\n"
            "  Call sdde.solve_adaptively again to the later end: its paths begin with these."
        )
    watched = solution.watched
    if bool(len(solution.hit_time)) != bool(watched.hits) or (
        list(solution.functionals) != list(watched.functionals)
    ):
        raise ArgumentError(
            "solution.extend needs the functions that were watched, and files keep none.\n"
            "  Load it with them: sdde.Solution.load(path, problem=..., until=...,"
            " functionals=...)."
        )
    end = checks.number("t1", t1, example=before + 1.0)
    if not end > before:
        raise checks.fail(
            "t1", t1, f"is not after the end at t = {before:g}", remedy=f"t1 = {before + 1.0:g}."
        )
    most = _threads(threads, None)
    if not callable(progress):
        checks.flag("progress", progress)
    saves = continue_saves(solution.times, end, save)
    request = columns = None
    if solution.moments is not None:
        request = continue_request(solution.moments.request, saves)
        columns = plan_columns(request, saves)
    layout = plan(problem, t0, end, step)
    noise, count = solution.noise, solution.paths
    fine = 1 if noise is None else noise.fine_steps(step)
    if noise is not None:
        noise.require_room(count, layout.n_steps * fine, layout.channels)
    run = Run(
        problem=problem, plan=layout, saves=saves, times=(t0, end, step),
        method=method_named(solution.method), seed=solution.seed, paths=count, noise=noise,
        fine=fine, watched=watched, content=content_of(problem), request=request, columns=columns,
    )  # fmt: skip
    run, most = fitted(run, most)
    ready, block = _continued(run, solution)
    ready.fill(block, threads=most, progress=progress)
    return _warned(solution_of(ready.run, block, solution), block)


def _continued(run: Run, earlier: Solution) -> tuple[Ready, Block]:
    """Return a run that begins where an earlier one stopped, if it can, and its block."""
    ready = Ready(run)
    block = ready.room(0, run.paths)
    given = earlier.checkpoint
    if given is None or not block.checkpoint.continues(given):
        return ready, block
    if run.request is not None and len(run.request.lags):
        return ready, block  # pairs of times may lie on both sides
    done = run.saves.place_after(given.step)[2]
    ready = Ready(replace(run, begin=given.step, done=done))
    block = ready.room(0, run.paths)
    own = block.checkpoint
    own.tail[:], own.marks[:], own.numbers[:] = given.tail, given.marks, given.numbers
    if run.request is None:
        block.x[:, :done] = earlier.x[:, :done].reshape(run.paths, done, run.dim)
    return ready, block


def solution_of(
    run: Run, block: Block, earlier: Solution | None = None, apart: StoredArray | None = None
) -> Solution:
    """Return the solution of a run that has ended, or that Ctrl-C has; states may be `apart`."""
    whole = block.is_whole
    block.close()
    statistics = None
    if block.moments is not None:
        statistics = block.moments.statistics(run.plan.state_shape)
        if run.done and earlier is not None and earlier.moments is not None:
            statistics = statistics.after(earlier.moments, run.done)
    t0, t1, dt = run.times
    shape = (len(run.saves), *run.plan.state_shape)
    return Solution(
        problem=run.problem, times=run.saves,
        x=block.x.reshape(len(block.x), *shape) if apart is None else cast("Any", apart),
        status=np.array([_STATUS[code] for code in range(len(_STATUS))])[block.codes],
        end_time=block.ended, t_span=(t0, t1), dt=dt, method=run.method.name, seed=run.seed,
        moments=statistics, noise=run.noise, watched=run.watched, hit_time=block.hit_times,
        functionals=run.watched.by_name(block.results),
        checkpoint=block.checkpoint if block.checkpoint.is_kept and whole else None,
    )  # fmt: skip


def _warned(solution: Solution, block: Block) -> Solution:
    """Warn of paths that have not ended well."""
    if not block.is_sound:
        warnings.warn(solution.message, SolutionWarning, stacklevel=3)
    return solution
