"""solve(): check, plan, run blocks of paths, collect.

The order matters: every argument is checked before anything is compiled. The numbers of a path
depend on the seed and on its index alone.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine import seeds
from sdde.engine.compile import compile_model, compiled_driver, compiled_noise, content_of
from sdde.engine.kernels.signatures import AHEAD, DIVERGED, DONE, HIT, INTERRUPTED
from sdde.engine.methods import Method, method_named, series_terms
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError, SolutionWarning
from sdde.solving.bounds import Fault, fault_error
from sdde.solving.brownian import NOTHING, Brownian
from sdde.solving.checkpoint import Checkpoint
from sdde.solving.execute import Progress, available_threads, cut, run_jobs
from sdde.solving.known import known
from sdde.solving.moments import (
    Accumulator,
    Columns,
    Moments,
    Statistics,
    continue_request,
    cut_groups,
    plan_columns,
)
from sdde.solving.plan import Plan, plan
from sdde.solving.saving import SavedTimes, continue_saves, plan_saves, room_for, steps_between
from sdde.solving.solution import Solution
from sdde.solving.starting import warn_of_lost_order
from sdde.solving.watching import Functional, Hit, Watched, watch
from sdde.solving.wording import LIMIT

Floats = NDArray[np.float64]
_STATUS = {
    DONE: "done",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
    HIT: "hit",
}
_NOT_BEGUN = -1
_NO_KINDS = np.empty(0, dtype=np.int64)
_GROUP = 32  # steps of noise made at a time
_LONG_GROUP = 512  # the same for a single path


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
        How many threads to use; all processors by default.
    progress : bool or callable, optional
        True shows a progress bar (needs tqdm); a function is called as ``progress(finished,
        paths)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used; checked before anything is compiled.
    sdde.CompileError
        If a function of the problem cannot be compiled.

    Warns
    -----
    sdde.SolutionWarning
        If paths diverged, or Ctrl-C stopped the run; the solution says which paths ended and when.
        Also if the history jumps at the start and the method loses order by it.

    Notes
    -----
    The history is read at grid times, and every state between grid times on a straight line: at
    delays off the grid, at the delays of arrivals, at saved times. A path has diverged when, at a
    multiple of 32 steps, it is beyond 1e12 or nan; it is nan from the first step beyond.

    Functions without branches on the state are read as formulas, with own polynomials for
    exponentials, logarithms and the like (within 2 units in the last place); others are compiled as
    they stand. Systems of more than 16 components are computed with arrays, 16 paths at a time;
    their matrix products come from BLAS, whose last bits may differ between kinds of processors.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> solution = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=100, rng=1)
    >>> solution.x.shape
    (100, 501)
    """
    if not isinstance(problem, Problem):
        raise checks.fail(
            "problem", problem, "is not an sdde.Problem",
            remedy="Call sdde.solve(sdde.Problem(drift, ...), t_span, dt=...).",
        )  # fmt: skip
    t0, t1 = checks.time_span("t_span", t_span)
    step = checks.positive("dt", dt, example=0.01)
    count = checks.integer("paths", paths, lowest=1)
    scheme = method_named(method)
    most = available_threads() if threads is None else checks.integer("threads", threads, lowest=1)
    if not callable(progress):
        checks.flag("progress", progress)
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
    fine = 1 if noise is None else noise.fine_steps(step)
    request = save if isinstance(save, Moments) else None
    saves = plan_saves(save if request is None else request.times, t0, t1, step)
    content = content_of(problem)
    # A history that is a function may refer to what has changed.
    seen = None if callable(problem.past.source) else content
    layout = known(problem, "plan", (seen, t0, t1, step), lambda: plan(problem, t0, t1, step))
    scheme.check(problem, layout.state_shape, layout.channels, step)
    warn_of_lost_order(problem, scheme, t0, step)
    columns = None if request is None else plan_columns(request, saves)
    watched = watch(problem, t0, until, functionals)
    if noise is not None:
        noise.require_room(count, layout.n_steps * fine, layout.channels)
    seed = seeds.seed_of(rng) if noise is None or rng is not None else noise.seed
    run = _Run(
        problem, layout, saves, (t0, t1, step), scheme, seed, count, noise, fine, watched,
        request, columns,
    )  # fmt: skip
    run.start(content, most, progress)
    return _finished(run)


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
    most = available_threads() if threads is None else checks.integer("threads", threads, lowest=1)
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
    run = _Run(
        problem, layout, saves, (t0, end, step), method_named(solution.method), solution.seed,
        count, noise, fine, watched, request, columns, solution,
    )  # fmt: skip
    content = content_of(problem)
    run.start(content, most, progress)
    return _finished(run)


def _finished(run: "_Run") -> Solution:
    """Return the solution of a run that has ended, and warn of paths that have not."""
    t0, t1, dt = run.times
    shape = (len(run.saves), *run.plan.state_shape)
    solution = Solution(
        problem=run.problem, times=run.saves, x=run.x.reshape(len(run.x), *shape),
        status=run.status(), end_time=run.ended, t_span=(t0, t1), dt=dt, method=run.method.name,
        seed=run.seed, moments=run.statistics(), noise=run.noise, watched=run.watched,
        hit_time=run.hit_times, functionals=run.watched.by_name(run.results),
        checkpoint=run.checkpoint if run.checkpoint.is_kept and run.stop[0] == 0 else None,
    )  # fmt: skip
    if not np.all((run.codes == DONE) | (run.codes == HIT)):
        warnings.warn(solution.message, SolutionWarning, stacklevel=3)
    return solution


def _aligned(rows: int, columns: int) -> Floats:
    """Return zeros that begin at a whole number of 64 bytes, as vectors like it."""
    raw = np.zeros(rows * columns + 8)
    skip = (-(raw.ctypes.data // 8)) % 8
    return raw[skip : skip + rows * columns].reshape(rows, columns)


@dataclass(eq=False)
class _Run:
    """Arrays that the compiled code fills, and the call that fills them."""

    problem: Problem
    plan: Plan
    saves: SavedTimes
    times: tuple[float, float, float]  # t0, t1, dt
    method: Method
    seed: int
    paths: int
    noise: Brownian | None
    fine: int
    watched: Watched
    request: Moments | None = None
    columns: Columns | None = None
    earlier: Solution | None = None
    checkpoint: Checkpoint = field(init=False)
    moments: Accumulator | None = None
    done: int = 0  # times that an earlier run has saved

    def __post_init__(self) -> None:
        kept = 0 if self.request is not None else self.paths
        self.dim = math.prod(self.plan.state_shape)
        self.x = room_for(kept, len(self.saves), self.dim)
        self.codes = np.full(self.paths, _NOT_BEGUN, dtype=np.int8)
        self.ended = np.full(self.paths, self.times[0])
        self.hit_times = np.full(self.paths if self.watched.hits else 0, np.nan)
        self.kinds = self.watched.kinds if self.watched.functionals else _NO_KINDS
        self.results = np.full((self.paths, len(self.kinds)), np.nan)
        self.stop = np.zeros(1, dtype=np.int64)
        self.faults: list[Fault] = []
        own = seeds.key_of(self.seed)
        keys = own + (own if self.noise is None else seeds.key_of(self.noise.seed))
        self.keys = np.array(keys, dtype=np.uint64)

    def _begin(self, columns: int, width: int) -> int:
        """Make room for a checkpoint, and return the step at which to begin."""
        t0, t1, dt = self.times
        blocks = -(-self.paths // width)
        self.checkpoint = Checkpoint.empty(
            steps_between(t0, t1, dt)[0], self.paths, blocks, self.plan.deepest + 2,
            columns, len(self.plan.rates), len(self.kinds), self.x.size,
        )  # fmt: skip
        earlier = self.earlier
        if earlier is None or earlier.checkpoint is None:
            return 0
        if self.request is not None and len(self.request.lags):
            return 0  # pairs of times may lie on both sides
        given = earlier.checkpoint
        if not self.checkpoint.continues(given):
            return 0
        self.checkpoint = replace(
            self.checkpoint, tail=given.tail.copy(), marks=given.marks.copy(),
            numbers=given.numbers.copy(),
        )  # fmt: skip
        self.done = done = self.saves.place_after(given.step)[2]
        if self.request is None:
            self.x[:, :done] = earlier.x[:, :done].reshape(self.paths, done, self.dim)
        return given.step

    def start(self, content: bytes | None, threads: int, progress: Progress) -> None:
        """Compile, and run all paths or as many as Ctrl-C lets."""
        plan, watched = self.plan, self.watched
        saves = self.saves if self.columns is None else self.columns.all
        shape = (plan.state_shape, plan.channels, self.method, self.paths)
        model = known(
            self.problem, "model", (content, *shape),
            lambda: compile_model(self.problem, *shape, content),
        )  # fmt: skip
        width = model.layout.width
        brownian = self.noise
        drive, observe = compiled_driver(), model.chunk
        if watched.functions:
            from sdde.engine.observing import compile_observer

            observe = compile_observer(
                self.problem, model.layout, watched.functions, watched.shapes
            )
        pairs = np.array(model.layout.pairs, dtype=np.int64).reshape(-1, 3)
        kind = "plain" if brownian is None else brownian.kind
        noise = compiled_noise(width, "integrals" if len(pairs) else kind)
        drawn = len(pairs) > 0 and kind != "recorded"
        terms = series_terms(plan.delays, self.times[2] / self.fine) if drawn else 0
        mirrored = brownian is not None and brownian.antithetic
        recorded = NOTHING if brownian is None or brownian.recorded is None else brownian.recorded
        group = _LONG_GROUP if width == 1 else _GROUP
        slots = max(plan.deepest + 3 + (group if watched.functions else 0), group + 2)
        columns, outputs = plan.past.shape[2] * width, watched.hits + len(self.kinds)
        jumps, channels = len(plan.rates), model.layout.channels + len(pairs)
        row = columns + model.layout.kept * width
        begin = self._begin(row, width)
        kept = self.checkpoint
        span, index, column = saves.place_after(begin) if begin > 0 else (0, 0, 0)
        t0, t1, dt = self.times
        whole, beyond = steps_between(t0, t1, dt)
        direction = 0 if watched.until is None else watched.until.direction

        def compute(first: int, last: int, out: Floats) -> None:
            flags = np.zeros(4, dtype=np.int64)
            part = slice(first, last)
            blocks = slice(first // width, -(-last // width))
            drive(
                chunk=model.chunk.address, observe=observe.address, noise=noise.address,
                ring=_aligned(slots, row), z=_aligned(group, max(channels, 1) * width),
                values=_aligned(group + 1 if outputs else 0, outputs * width),
                upcoming=np.empty((jumps, width)), gaps=np.empty((jumps * width, AHEAD)),
                counts=np.empty((jumps, width), dtype=np.int64),
                totals=np.empty((len(self.kinds), width)),
                ended_at=np.empty(width, dtype=np.int64), hit_at=np.empty(width, dtype=np.int64),
                hit_share=np.zeros(width), stopped=np.empty(row), led_to=np.empty(row),
                first=first, last=last, channels=channels, n_steps=plan.n_steps,
                t0=t0, t1=t1, dt=dt, limit=LIMIT,
                delays=plan.delays, lags=plan.lags, shares=plan.shares, p=model.parameters,
                past=plan.past, keys=self.keys, rates=plan.rates, tables=plan.tables,
                starts=plan.starts, save_spans=saves.spans, save_shares=saves.shares,
                out=out, codes=self.codes[part], ended=self.ended[part],
                stop=self.stop, flags=flags,
                fine=self.fine, mirrored=mirrored, recorded=recorded, pairs=pairs, terms=terms,
                hits=watched.hits, direction=direction, whole=whole, beyond=beyond,
                kinds=self.kinds, results=self.results[part], hit_times=self.hit_times[part],
                begin=begin, keep_at=kept.step, span=span, index=index, column=column,
                tail=kept.tail[blocks], marks=kept.marks[part], numbers=kept.numbers[part],
            )  # fmt: skip
            if flags[0] != 0:
                self.faults.append(Fault.of(flags))
                self.stop[0] = 1

        def keep(first: int, last: int) -> None:
            compute(first, last, self.x[first:last])

        def reduce(first: int, last: int) -> None:
            out = np.empty((last - first, len(saves), self.dim))
            out[:, : self.done] = 0.0
            compute(first, last, out)
            if self.stop[0] == 0 and self.moments is not None:
                self.moments.add(first, out)

        if self.request is None or self.columns is None:
            jobs, run = cut(self.paths, width, plan.n_steps, threads), keep
        else:
            self.moments = Accumulator(self.request, self.columns, self.dim, self.done)
            jobs, run = cut_groups(self.paths, plan.n_steps, len(saves) * self.dim), reduce
        run_jobs(jobs, run, steps=plan.n_steps, threads=threads, stop=self.stop, progress=progress)
        if self.faults:
            raise fault_error(self.problem, min(self.faults))
        never = self.codes == _NOT_BEGUN
        self.codes[never] = INTERRUPTED
        if len(self.x) == self.paths:
            self.x[never] = np.nan

    def statistics(self) -> Statistics | None:
        """Return what was streamed, with that of the earlier run before it."""
        if self.moments is None:
            return None
        kept = self.moments.statistics(self.plan.state_shape)
        if self.done and self.earlier is not None and self.earlier.moments is not None:
            return kept.after(self.earlier.moments, self.done)
        return kept

    def status(self) -> NDArray[np.str_]:
        """Return the status of each path in words."""
        return np.array([_STATUS[code] for code in range(len(_STATUS))])[self.codes]
