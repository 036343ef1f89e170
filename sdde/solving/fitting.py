"""Whether a run fits into memory, and how it can be made to: before anything is compiled.

Memory goes to the states that are kept, to a few numbers for each path, to the moments, and to the
past that delays read, of which every thread keeps its own for as many paths as it runs side by
side. Long pasts leave fewer threads, then fewer paths side by side, which changes no number; what
still does not fit is refused. Nothing here allocates.
"""

from dataclasses import replace

from sdde.engine.compile import width_for
from sdde.engine.layout import LARGEST_WRITTEN
from sdde.solving import memory
from sdde.solving.reducing import GROUP, group_length
from sdde.solving.running import Run
from sdde.solving.sketch import FAN, SIZE

_SMALL = 64_000_000  # bytes that are taken for granted: looking takes longer than a short run
_EACH = 53  # bytes of each path: how it ended, in code and word, and when
_STEPS = 520  # rows of the past beyond the longest delay, and of noise
_LANES = (64, 8, 1)
_STATES, _PATHS = "the states", "how each path ended"
_MOMENTS, _PAST = "the moments", "the past that delays read"


def fitted(run: Run, threads: int, block: int | None = None) -> tuple[Run, int]:
    """Return a run and the number of threads with which it fits.

    Parameters
    ----------
    run : Run
    threads : int
        At most so many.
    block : int, optional
        Numbers kept at a time, if results go to a store.

    Raises
    ------
    sdde.ArgumentError
        If it needs more memory than there is.
    """
    needs = _needs(run, threads, block)
    lanes = width_for(run.dim, run.paths)
    bound = run.dim * max(1, run.plan.channels)  # of what a method keeps of a past step
    if sum(needs.values()) + threads * _ring(run, lanes, bound) <= _SMALL:
        return run, threads
    _, kept = run.method.extras(run.problem, run.plan.state_shape, run.plan.channels)
    ring = _ring(run, lanes, kept)
    left = memory.available_memory() - sum(needs.values())
    narrower = [lanes] if run.dim > LARGEST_WRITTEN else [w for w in _LANES if w <= lanes]
    for width in narrower:
        ring = _ring(run, width, kept)
        if ring <= left:
            fewer = max(1, min(threads, left // max(1, ring)))
            return (run if width == lanes else replace(run, lanes=width)), fewer
    memory.require_memory(needs | {_PAST: ring}, _subject(run), _remedies(run))
    return run, 1


def _needs(run: Run, threads: int, block: int | None) -> dict[str, int]:
    """Return the bytes that a run keeps, by what they are for."""
    values = run.watched.hits + (len(run.watched.kinds) if run.watched.functionals else 0)
    states = run.kept * run.paths
    needs = {
        _STATES: 8 * (states if block is None else 3 * min(block, states)),
        _PATHS: (_EACH + 8 * values) * run.paths,
    }
    if run.request is None:
        return needs
    numbers = len(run.computed) * run.dim
    wide = run.dim if run.request.covariance else 1
    node = numbers * (2 + wide + len(run.request.lags))
    levels = max(1, (run.paths // GROUP).bit_length())
    buffer = min(run.paths, group_length(run.plan.n_steps, numbers)) * numbers
    needs[_MOMENTS] = 8 * ((levels + 2) * node + 3 * threads * buffer)
    if len(run.request.quantiles):
        depth, there = 1, run.paths // SIZE
        while there >= FAN:
            depth, there = depth + 1, there // FAN
        needs[_MOMENTS] += 8 * min(run.paths, SIZE * FAN * depth) * len(run.saves) * run.dim
    return needs


def _ring(run: Run, width: int, kept: int) -> int:
    """Return the bytes of the past of one thread; methods keep so many numbers beside a state."""
    plan = run.plan
    row = (plan.past.shape[2] + kept) * width
    return 8 * ((plan.deepest + _STEPS) * row + _STEPS * max(1, plan.channels) * width)


def _subject(run: Run) -> str:
    if run.request is not None:
        return f"paths = {run.paths} with moments at {len(run.computed)} times"
    parts = f" of {run.dim} components" if run.dim > 1 else ""
    return f"paths = {run.paths} with {len(run.saves)} saved times{parts}"


def _remedies(run: Run) -> dict[str, str]:
    spans = run.plan.deepest * run.times[2]
    return {
        _STATES: 'Save less: save="final", save=100 (every 100 steps), or save=sdde.Moments(...),'
        ' which keeps no paths.\n  Or give store="runs.zarr": then paths go to a folder, block by'
        " block.",
        _PATHS: "Give fewer paths, and further seeds for more.",
        _MOMENTS: "Ask for moments at fewer times, or without quantiles, covariances or lags.",
        _PAST: f"Delays reach back {run.plan.deepest} steps of dt, a time of {spans:.4g}. Give a"
        " larger dt, or shorter delays.",
    }
