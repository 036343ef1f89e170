"""Blocks of paths on an executor: how large they are, and what travels.

To the workers goes the run without its history, whose values on the grid are in its plan; where
each path has a history of its own, with each block go those of its paths. Back come the arrays of
blocks, of moments a few nodes. Any cut gives the same numbers.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.problem import Problem
from sdde.solving.execute import Progress, Stops, reporter
from sdde.solving.executors import Crew, run_tasks
from sdde.solving.reducing import GROUP
from sdde.solving.running import Arrays, Block, Ready, Run
from sdde.solving.sketch import FAN, SIZE

Floats = NDArray[np.float64]
_STEPS = 200_000_000  # path-steps of one block at most: about half a second
_FEW_STEPS = 1_000_000  # and at least, so that sending it costs little
_NUMBERS = 2_000_000  # kept of one block: 16 MB
_EACH = 4  # blocks for each worker, so that all end at about the same time


def cut_blocks(ready: Ready, workers: int) -> list[tuple[int, int]]:
    """Return blocks (first path, end) of a run for so many workers."""
    steps, paths = max(1, ready.run.plan.n_steps * ready.run.dim), ready.run.paths
    wanted = max(-(-paths // (_EACH * workers)), _FEW_STEPS // steps)
    length = block_length(
        ready.run, ready.width, steps=_STEPS, numbers=_NUMBERS, wanted=wanted
    )  # fmt: skip
    return [(first, min(first + length, paths)) for first in range(0, paths, length)]


def block_length(
    run: Run, width: int, *, steps: int, numbers: int, wanted: int | None = None
) -> int:  # fmt: skip
    """Return how many paths make a block of at most so many steps and numbers kept.

    It is a multiple of `width`, or of what is reduced together; and at most `wanted`, if it can be.
    """
    each = max(1, run.plan.n_steps * run.dim)
    length = min(steps // each, numbers // max(1, run.kept), wanted or run.paths)
    if run.request is None:
        return width * max(1, length // width)
    # whole subtrees come back as one node
    quantiles = len(run.request.quantiles) > 0
    unit, fan = (SIZE, FAN) if quantiles and length >= SIZE else (GROUP, 2)
    while unit * fan <= length:
        unit *= fan
    return unit


class BlockWork:
    """Computes blocks of a run: sent to the workers, which find or compile its code once.

    Parameters
    ----------
    run : Run
    threads : int
        For each block.
    ready : Ready, optional
        The run as it is ready in this process.
    """

    def __init__(self, run: Run, threads: int, ready: Ready | None = None) -> None:
        self.run, self.threads, self.ready = run, threads, ready
        self.stops = Stops()

    def __reduce__(self) -> tuple[Any, ...]:
        plan = replace(self.run.plan, past=self.run.plan.past[:1])  # tasks bring more
        bare = replace(self.run, problem=_without_history(self.run.problem), plan=plan)
        return BlockWork, (bare, self.threads)

    def __call__(self, first: int, end: int, past: Floats | None = None) -> Arrays:
        """Return the arrays of the paths from `first` to `end`, with their own histories if any."""
        if self.ready is None:
            self.ready = Ready(self.run)
        ready = self.ready if past is None else self.ready.with_past(past)
        block = ready.room(first, end)
        with self.stops.flag() as stop:
            if not ready.fill(block, threads=self.threads, stop=stop):
                raise KeyboardInterrupt
        return block.arrays()


def _without_history(problem: Problem) -> Problem:
    """Return what the engine needs of a problem."""
    bare = copy.copy(problem)
    for name in ("history", "past"):
        object.__setattr__(bare, name, None)
    return bare


def fill_elsewhere(
    ready: Ready, block: Block, crew: Crew, *, threads: int, progress: Progress
) -> bool:
    """Compute the paths of a block on an executor; return False if Ctrl-C stopped it.

    Parameters
    ----------
    ready : Ready
    block : Block
        Of all paths.
    crew : Crew
    threads : int
        For each part.
    progress : bool or callable
    """
    report, close = reporter(progress, ready.run.paths)
    finished = 0

    def take(first: int, end: int, arrays: Arrays) -> None:
        nonlocal finished
        block.take(first, end, arrays)
        finished += end - first
        report(finished, ready.run.paths)

    try:
        return spread(ready, cut_blocks(ready, crew.size), take, crew, threads=threads)
    finally:
        close()


def spread(
    ready: Ready, spans: Iterable[tuple[int, int]], take: Callable[[int, int, Arrays], None],
    crew: Crew, *, threads: int,
) -> bool:  # fmt: skip
    """Compute blocks of paths on an executor; return False if Ctrl-C stopped it.

    Parameters
    ----------
    ready : Ready
    spans : iterable of (int, int)
        First path and end of each block.
    take : callable
        ``take(first, end, arrays)`` is called here for each, in the order in which they end.
    crew : Crew
    threads : int
        For each block.
    """
    work = BlockWork(ready.run, threads, ready)
    past = ready.run.plan.past
    tasks: Iterable[tuple[Any, ...]] = spans
    if len(past) > 1 and not crew.is_here:
        # Path p reads row p modulo the number of rows.
        tasks = (
            (first, end, np.roll(past[first:end], first % (end - first), axis=0))
            for first, end in spans
        )
    return run_tasks(
        crew, work, tasks, lambda task, arrays: take(task[0], task[1], arrays),
        stop=work.stops.stop,
    )  # fmt: skip
