"""solve(): check, plan, run blocks of paths, collect.

The order matters: every argument is checked before anything is compiled. The numbers of a path
depend on the seed and on its index alone.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine import seeds
from sdde.engine.compile import compile_model, compiled_driver, compiled_noise, content_of
from sdde.engine.kernels.signatures import DIVERGED, DONE, INTERRUPTED
from sdde.engine.methods import Method, method_named
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError, SolutionWarning
from sdde.solving.bounds import Fault, fault_error
from sdde.solving.brownian import NOTHING, Brownian
from sdde.solving.execute import Progress, available_threads, cut, run_jobs
from sdde.solving.known import known
from sdde.solving.moments import Accumulator, Moments, cut_groups
from sdde.solving.plan import Plan, plan
from sdde.solving.saving import SavedTimes, plan_saves
from sdde.solving.solution import LIMIT, Solution
from sdde.solving.starting import warn_of_lost_order

Floats = NDArray[np.float64]
_STATUS = {
    DONE: "done",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
}
_NOT_BEGUN = -1
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
        ``"tamed-euler"`` (drifts that grow fast); ``"euler-heun"`` (calculus of Stratonovich). The
        guide page on methods says which orders each reaches.
    save : "all", "final", int, array of float, or Moments, optional
        Which times to keep: all grid times, the end, every n-th grid time and the end, or the times
        listed. Times between grid times are read by linear interpolation.
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
    streamed = isinstance(save, Moments)
    saves = plan_saves(save.times if isinstance(save, Moments) else save, t0, t1, step)
    content = content_of(problem)
    # A history that is a function may refer to what has changed.
    seen = None if callable(problem.past.source) else content
    layout = known(problem, "plan", (seen, t0, t1, step), lambda: plan(problem, t0, t1, step))
    scheme.check(problem, layout.state_shape)
    warn_of_lost_order(problem, scheme, t0, step)
    if noise is not None:
        noise.require_room(count, layout.n_steps * fine, layout.channels)
    seed = seeds.seed_of(rng) if noise is None or rng is not None else noise.seed
    x = _allocate(0 if streamed else count, len(saves), math.prod(layout.state_shape))
    run = _Run(problem, layout, saves, (t0, t1, step), seed, count, x, noise, fine)
    run.start(scheme, content, most, progress)
    shape = (len(saves), *layout.state_shape)
    moments = None
    if streamed:
        mean, variance = run.moments.moments()
        moments = mean.reshape(shape), variance.reshape(shape)
    solution = Solution(
        problem=problem, times=saves, x=x.reshape(len(x), *shape), status=run.status(),
        end_time=run.ended, t_span=(t0, t1), dt=step, method=scheme.name, seed=seed,
        moments=moments, noise=noise,
    )  # fmt: skip
    if not np.all(run.codes == DONE):
        warnings.warn(solution.message, SolutionWarning, stacklevel=2)
    return solution


def _allocate(paths: int, times: int, dim: int) -> Floats:
    try:
        return np.empty((paths, times, dim))
    except (MemoryError, ValueError):
        raise ArgumentError(
            f"paths = {paths} with {times} saved times of {dim} components needs"
            f" {8e-9 * paths * times * dim:.3g} GB, more than there is.\n"
            '  Save fewer times, for example save="final" or save=100 (every 100 steps).'
        ) from None


def _aligned(rows: int, columns: int) -> Floats:
    """Return zeros that begin at a whole number of 64 bytes, as vectors like it."""
    raw = np.zeros(rows * columns + 8)
    skip = (-(raw.ctypes.data // 8)) % 8
    return raw[skip : skip + rows * columns].reshape(rows, columns)


class _Run:
    """Arrays that the compiled code fills, and the call that fills them."""

    def __init__(
        self, problem: Problem, plan: Plan, saves: SavedTimes,
        times: tuple[float, float, float], seed: int, paths: int, x: Floats,
        noise: Brownian | None, fine: int,
    ) -> None:  # fmt: skip
        self.problem, self.plan, self.saves, self.times, self.x = problem, plan, saves, times, x
        self.paths, self.noise, self.fine = paths, noise, fine
        self.codes = np.full(paths, _NOT_BEGUN, dtype=np.int8)
        self.ended = np.full(paths, times[0])
        self.moments = Accumulator(x.shape[1:])
        self.stop = np.zeros(1, dtype=np.int64)
        self.faults: list[Fault] = []
        own = seeds.key_of(seed)
        keys = own + (own if noise is None else seeds.key_of(noise.seed))
        self.keys = np.array(keys, dtype=np.uint64)

    def start(
        self, method: Method, content: bytes | None, threads: int, progress: Progress
    ) -> None:
        """Compile, and run all paths or as many as Ctrl-C lets."""
        plan, saves = self.plan, self.saves
        shape = (plan.state_shape, plan.channels, method, self.paths)
        model = known(
            self.problem, "model", (content, *shape),
            lambda: compile_model(self.problem, *shape, content),
        )  # fmt: skip
        width = model.layout.width
        brownian = self.noise
        drive = compiled_driver()
        noise = compiled_noise(width, "plain" if brownian is None else brownian.kind)
        mirrored = brownian is not None and brownian.antithetic
        recorded = NOTHING if brownian is None or brownian.recorded is None else brownian.recorded
        group = _LONG_GROUP if width == 1 else _GROUP
        slots = max(plan.deepest + 3, group + 2)

        dim, jumps, channels = plan.past.shape[2], len(plan.rates), model.layout.channels
        t0, t1, dt = self.times

        def compute(first: int, last: int, out: Floats, kept_from: int) -> None:
            flags = np.zeros(4, dtype=np.int64)
            drive(
                chunk=model.chunk.address, noise=noise.address,
                ring=_aligned(slots, dim * width), z=_aligned(group, max(channels, 1) * width),
                upcoming=np.empty((jumps, width)), counts=np.empty((jumps, width), dtype=np.int64),
                ended_at=np.empty(width, dtype=np.int64),
                first=first, last=last, channels=channels, n_steps=plan.n_steps,
                t0=t0, t1=t1, dt=dt, limit=LIMIT,
                delays=plan.delays, lags=plan.lags, shares=plan.shares, p=model.parameters,
                past=plan.past, keys=self.keys, rates=plan.rates, tables=plan.tables,
                starts=plan.starts, save_spans=saves.spans, save_shares=saves.shares,
                out=out, kept_from=kept_from, codes=self.codes, ended=self.ended,
                stop=self.stop, flags=flags,
                fine=self.fine, mirrored=mirrored, recorded=recorded,
            )  # fmt: skip
            if flags[0] != 0:
                self.faults.append(Fault.of(flags))
                self.stop[0] = 1

        def keep(first: int, last: int) -> None:
            compute(first, last, self.x, 0)

        def reduce(first: int, last: int) -> None:
            out = np.empty((last - first, *self.x.shape[1:]))
            compute(first, last, out, first)
            if self.stop[0] == 0:
                self.moments.add(first, out)

        if len(self.x) == self.paths:
            jobs, run = cut(self.paths, width, plan.n_steps, threads), keep
        else:
            numbers = math.prod(self.x.shape[1:])
            jobs, run = cut_groups(self.paths, plan.n_steps, numbers), reduce
        run_jobs(jobs, run, steps=plan.n_steps, threads=threads, stop=self.stop, progress=progress)
        if self.faults:
            raise fault_error(self.problem, min(self.faults))
        never = self.codes == _NOT_BEGUN
        self.codes[never] = INTERRUPTED
        if len(self.x) == self.paths:
            self.x[never] = np.nan

    def status(self) -> NDArray[np.str_]:
        """Return the status of each path in words."""
        return np.array([_STATUS[code] for code in range(3)])[self.codes]
