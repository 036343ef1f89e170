"""Adaptive time steps: each path takes steps of its own, on one Brownian path.

Checks, the numbers for the compiled loop (`kernels/adapting`), and its runs. Only what the loop can
do is let in: additive and diagonal noise, constant delays, methods of order 1.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine import seeds
from sdde.engine.compile import (
    Model,
    compile_model,
    compiled_adaptive_driver,
    compiled_noise,
    content_of,
)
from sdde.engine.kernels.signatures import AHEAD, DIVERGED, DONE, INTERRUPTED
from sdde.engine.layout import LARGEST_WRITTEN
from sdde.engine.methods import METHODS, Method, method_named
from sdde.engine.noise_classes import noise_class
from sdde.equation.problem import Problem
from sdde.errors import SolutionWarning
from sdde.solving.brownian import NOTHING, Brownian
from sdde.solving.execute import Progress, available_threads, cut, run_jobs
from sdde.solving.moments import Moments
from sdde.solving.plan import plan
from sdde.solving.saving import plan_saves, room_for, steps_between
from sdde.solving.solution import Solution
from sdde.solving.solve import first_checks
from sdde.solving.wording import LIMIT

Floats = NDArray[np.float64]
_CLASSES = ("none", "additive", "diagonal")
_MOST_HALVINGS = 20
_NOT_BEGUN = -1
_STATUS = {
    DONE: "done",
    DIVERGED: "diverged",
    INTERRUPTED: "interrupted",
    _NOT_BEGUN: "interrupted",
}


def solve_adaptively(
    problem: Problem,
    t_span: tuple[float, float],
    *,
    dt: float,
    tolerance: float,
    relative: float = 0.0,
    halvings: int = 10,
    paths: int = 1,
    rng: Any = None,
    method: str = "milstein",
    save: Any = "all",
    noise: Brownian | None = None,
    threads: int | None = None,
    progress: Progress = False,
) -> Solution:
    r"""Simulate paths with time steps that adapt to each path.

    Worth it where paths have bursts or short stiff stretches between long quiet ones. **No proof is
    known that steps chosen by an error estimate keep the order of a method for stochastic delay
    equations**, nor that the error falls with the tolerance in general; the tests measure that it
    does on examples. Compare two tolerances on the same `noise` before you trust a result.

    Parameters
    ----------
    problem : Problem
        The equation: additive noise, or diagonal noise that does not see the past; constant delays,
        no jumps, at most 16 components.
    t_span : (float, float)
        Start and end, as in `sdde.solve`.
    dt : float
        The largest time step, at most the shortest delay above zero.
    tolerance : float
        How far one step and two half steps may differ, for each component, in the unit of the
        state, > 0. It bounds the estimated error of one step, not that of the path.
    relative : float, optional
        Added to `tolerance`: this times the component's size.
    halvings : int, optional
        The smallest step is ``dt / 2**halvings``, 1 to 20; it is taken whatever its error.
    paths : int, optional
        How many independent paths.
    rng : None, int, SeedSequence or Generator, optional
        Where the randomness comes from. Path *i* of a seed is the same bit for bit whatever the
        number of paths, the threads, the saved times and the end of `t_span`.
    method : str, optional
        A scheme of strong order 1 for the problem's noise: for diagonal noise ``"milstein"``, or
        ``"euler-heun"`` in the calculus of Stratonovich; for additive noise any, ``"heun"`` above
        all.
    save : "all", "final", int n, or array of float, optional
        Which times to keep; ``"all"`` and n count steps of `dt`, the largest.
    noise : Brownian, optional
        Brownian paths to share with other runs; its ``finest`` must divide ``dt / 2**halvings``.

    Returns
    -------
    Solution
        `Solution.evaluations` says how often each path evaluated the scheme. A solution with
        adaptive steps cannot be extended; a longer run begins with the same numbers.

    Other Parameters
    ----------------
    threads : int, optional
        How many threads to use; all processors by default.
    progress : bool or callable, optional
        As in `sdde.solve`.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used or the problem is of another kind; before anything compiles.
    sdde.CompileError
        If a function of the problem cannot be compiled.

    Warns
    -----
    sdde.SolutionWarning
        If paths diverged, or Ctrl-C stopped the run.

    Notes
    -----
    Steps are ``dt / 2**k`` and begin at multiples of themselves. Each is taken whole and as two
    halves; the halves are kept if both agree within the tolerance, otherwise the first half is
    tried in their place. The Brownian path is that of ``sdde.Brownian(rng, dt / 2**halvings)``, and
    was there before any step was chosen: increments over all steps are sums of its finest ones, so
    that what a rejected step saw is seen again, and rejection changes no law. Step sizes depend on
    the noise within the step, though. Euler-Maruyama with multiplicative noise may then converge to
    a wrong limit, even without delays [1]_; so methods of order ½ are refused.

    Between the times of a path's own steps a state is a straight line plus the diffusion at the
    beginning of the step times the Brownian bridge. States at the delays are read there, on the
    grid of the smallest steps and on straight lines between. With delays, the state that the whole
    step gives for its midpoint must agree with the first half step too: where the drift depends on
    the delayed state alone, the ends of steps agree however coarse they are. The memory is that of
    the longest delay in the smallest steps.

    References
    ----------
    .. [1] J. G. Gaines, T. J. Lyons, "Variable step size control in the numerical solution of
           stochastic differential equations", SIAM J. Appl. Math. 57 (1997).

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(
    ...     lambda t, x, delayed: 4.0 * delayed[0] - x - x**3, 0.1, delays=1.0, history=0.1
    ... )
    >>> solution = sdde.solve_adaptively(
    ...     problem, (0, 5), dt=0.5, tolerance=1e-3, method="heun", rng=1
    ... )
    >>> solution.x.shape, bool(solution.evaluations[0] < 5 * 2**11)
    ((1, 11), True)
    """
    (t0, t1), step, count = first_checks(problem, t_span, dt, paths, noise, call="solve_adaptively")
    allowed = checks.positive("tolerance", tolerance, example=1e-3)
    share = checks.nonnegative("relative", relative)
    levels = checks.integer("halvings", halvings, lowest=1, highest=_MOST_HALVINGS)
    scheme = method_named(method)
    most = available_threads() if threads is None else checks.integer("threads", threads, lowest=1)
    if not callable(progress):
        checks.flag("progress", progress)
    leaves, finest = 1 << levels, math.ldexp(step, -levels)
    if isinstance(save, Moments):
        raise checks.fail(
            "save", save, "needs steps that are the same for all paths",
            remedy="Keep states (save = 10), or call sdde.solve.",
        )  # fmt: skip
    saves = plan_saves(save, t0, t1, step)
    _require_simple(problem, t0, step)
    _require_order(problem, scheme, t0)
    fine = 1 if noise is None else noise.fine_steps(finest)
    whole, beyond = steps_between(t0, t1, step)
    blocks = whole + (beyond > 0.0)
    layout = plan(problem, t0, t0 + blocks * step, finest)
    shape, dim = layout.state_shape, math.prod(layout.state_shape)
    scheme.check(problem, shape, layout.channels, finest)
    if noise is not None:
        noise.require_room(count, blocks * leaves * fine, layout.channels)
    seed = seeds.seed_of(rng) if noise is None else noise.seed

    model = compile_model(problem, shape, layout.channels, scheme, 1, content_of(problem))
    observe, coefficients = _diffusion(problem, model, layout.state_shape, layout.channels)
    form = 2 if problem.has_noise_matrix else 1 if problem.noise == "scalar" else 0
    fill = compiled_noise(1, "plain" if noise is None else noise.kind)
    drive = compiled_adaptive_driver()
    # Where the kernel puts the delays on its desk; a delay of 0 reads the state itself.
    lags = np.where(layout.delays > 0.0, 2 * np.arange(1, len(layout.lags) + 1), 0)
    x = room_for(count, len(saves), dim)
    x[:] = np.nan
    codes = np.full(count, _NOT_BEGUN, dtype=np.int8)
    ended, evaluations = np.full(count, t0), np.zeros(count, dtype=np.int64)
    stop = np.zeros(1, dtype=np.int64)
    recorded = NOTHING if noise is None or noise.recorded is None else noise.recorded
    keys = np.array(seeds.key_of(seed), dtype=np.uint64)

    def compute(first: int, last: int) -> None:
        channels = max(layout.channels, 1)
        drive(
            chunk=model.chunk.address, noise=fill.address, observe=observe,
            ring=np.zeros((layout.deepest + leaves + 2, dim)),
            desk=np.zeros((2 * len(lags) + 3, dim)), tree=np.zeros((2 * leaves, channels)),
            z=np.zeros((1, channels)), four=np.zeros((4, dim)), g=coefficients.copy(),
            moves=np.zeros((2, layout.channels)), first=first, last=last,
            channels=layout.channels, blocks=blocks, levels=levels, t0=t0, finest=finest,
            limit=LIMIT, tolerance=allowed, relative=share, delays=layout.delays,
            desk_lags=lags.astype(np.int64), desk_shares=np.zeros(len(lags)), lags=layout.lags,
            shares=layout.shares, p=model.parameters, past=layout.past, keys=keys,
            upcoming=np.empty((0, 1)), gaps=np.empty((0, AHEAD)),
            counts=np.empty((0, 1), dtype=np.int64), rates=layout.rates, tables=layout.tables,
            starts=layout.starts, save_spans=saves.spans, save_shares=saves.shares, out=x,
            codes=codes, ended=ended, evaluations=evaluations, stop=stop,
            flags=np.zeros(4, dtype=np.int64), fine=fine,
            mirrored=noise is not None and noise.antithetic, recorded=recorded,
            pairs=np.empty((0, 3), dtype=np.int64), form=form,
        )  # fmt: skip

    steps = blocks * leaves
    run_jobs(
        cut(count, 1, steps, most), compute, steps=steps, threads=most, stop=stop,
        progress=progress,
    )  # fmt: skip
    solution = Solution(
        problem=problem, times=saves, x=x.reshape(count, len(saves), *shape),
        status=np.array([_STATUS[int(code)] for code in codes]),
        end_time=np.where(codes == DONE, t1, np.minimum(ended, t1)), t_span=(t0, t1), dt=step,
        method=scheme.name, seed=seed, noise=noise, evaluations=evaluations,
    )  # fmt: skip
    if not np.all(codes == DONE):
        warnings.warn(solution.message, SolutionWarning, stacklevel=2)
    return solution


def _diffusion(
    problem: Problem, model: Model, state_shape: tuple[int, ...], channels: int
) -> tuple[int, Floats]:
    """Return the address of the compiled diffusion (0: it is constant), and a row for it."""
    shape = (*state_shape, channels) if problem.has_noise_matrix else state_shape
    if problem.diffusion is None:
        return 0, np.empty((1, 0))
    if problem.is_additive:
        values = np.broadcast_to(np.asarray(problem.diffusion, dtype=float), shape)
        return 0, np.array(values).reshape(1, -1)
    from sdde.engine.observing import compile_observer

    code = compile_observer(problem, model.layout, {"watched0": problem.diffusion}, [shape])
    return code.address, np.zeros((1, math.prod(shape)))


def _require_simple(problem: Problem, t0: float, dt: float) -> None:
    """Refuse jumps, delays that change or are shorter than a step, and large systems."""
    if problem.jumps:
        raise checks.fail(
            "problem", problem, "has jumps, which adaptive steps do not take",
            remedy="Use sdde.solve.",
        )  # fmt: skip
    for j, delay in enumerate(problem.delays):
        if not isinstance(delay, float):
            raise checks.fail(
                f"delays[{j}]", delay, "is not constant, which adaptive steps need",
                remedy="Use sdde.solve.",
            )  # fmt: skip
    shortest = min((d for d in problem.delays if isinstance(d, float) and d > 0.0), default=dt)
    if dt > shortest * (1.0 + 1e-9):
        raise checks.fail(
            "dt", dt, f"is longer than the shortest delay {shortest:g}",
            why="A step reads states that must be known.",
            remedy=f"dt = {shortest!r}.",
        )  # fmt: skip
    dim = math.prod(problem.past.state_shape(t0))
    if dim > LARGEST_WRITTEN:
        raise checks.fail(
            "problem", problem, f"has {dim} components, adaptive steps take {LARGEST_WRITTEN}",
            remedy="Use sdde.solve.",
        )  # fmt: skip


def _require_order(problem: Problem, method: Method, t0: float) -> None:
    """Refuse noise that needs iterated integrals, and methods of order 1/2."""
    noise = noise_class(problem, problem.past.state_shape(t0))
    if noise not in _CLASSES:
        raise checks.fail(
            "problem", problem, "has noise that is neither additive nor diagonal,"
            " or sees the past",
            why="Over a rejected step its iterated integrals would have to be kept.",
            remedy='Use sdde.solve(method="milstein").',
        )  # fmt: skip
    if method.orders[noise].strong < 1.0:
        good = [
            name for name, other in METHODS.items()
            if other.orders[noise].strong >= 1.0 and problem.calculus in other.calculi
        ]  # fmt: skip
        raise checks.fail(
            "method", method.name, f"is of strong order 1/2 for {noise} noise",
            why="Steps that depend on the noise within them may then lead to a wrong limit.",
            remedy=f"Use method = {' or '.join(map(repr, good))}, or sdde.solve.",
        )  # fmt: skip
