"""Where blocks of paths run: a pool of threads, watched by the thread that called.

Work is cut into jobs of neighbouring paths, which write to places of their own; the compiled code
releases the interpreter's lock. Ctrl-C and a failing progress callback stop the rest at the next
chunk. Results do not depend on how the work is cut.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.errors import ArgumentError

Progress = bool | Callable[[int, int], Any]
_JOB = 20_000_000  # path-steps: about 50 ms, so that Ctrl-C and progress are prompt


class Stops:
    """Flags that compiled code watches, one for each piece of work that is under way."""

    def __init__(self) -> None:
        self._open: dict[int, NDArray[np.int64]] = {}

    @contextmanager
    def flag(self) -> Iterator[NDArray[np.int64]]:
        """Give the flag of a new piece of work: an array of one int, 1 to make it return soon."""
        own = np.zeros(1, dtype=np.int64)
        self._open[id(own)] = own
        try:
            yield own
        finally:
            del self._open[id(own)]

    def stop(self) -> None:
        """Make all work that is under way in this process return soon."""
        for own in list(self._open.values()):
            own[0] = 1


def available_threads() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cut(paths: int, width: int, steps: int, threads: int) -> list[tuple[int, int]]:
    """Return jobs (first path, end), each a whole number of blocks of `width` paths."""
    blocks = -(-paths // width)
    by_size = max(1, _JOB // max(1, steps * width))
    by_threads = max(1, blocks // (4 * threads)) if threads > 1 else blocks
    length = width * min(by_size, by_threads)
    return [(first, min(first + length, paths)) for first in range(0, paths, length)]


def run_jobs(
    jobs: list[tuple[int, int]], run: Callable[[int, int], None], *, steps: int,
    threads: int, stop: NDArray[np.int64], progress: Progress,
) -> bool:  # fmt: skip
    """Run all jobs and return True, or False after Ctrl-C.

    Parameters
    ----------
    jobs : list of (int, int)
        First path and end of each.
    run : callable
        Runs one job.
    steps : int
        Steps of each path.
    threads : int
        How many at a time.
    stop : array of one int
        Set to 1 to make running jobs return soon.
    progress : bool or callable
        True shows a bar; a callable receives finished and all paths.
    """
    total = jobs[-1][1] - jobs[0][0]
    if len(jobs) == 1 and total * steps <= _JOB and not progress:
        run(*jobs[0])  # over before anyone could interrupt
        return True
    report, close = reporter(progress, total)
    finished = 0
    with ThreadPoolExecutor(min(threads, len(jobs))) as pool:
        waiting = {pool.submit(run, *job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                future.result()
                first, end = waiting[future]
                finished += end - first
                report(finished, total)
        except KeyboardInterrupt:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)
            return False
        except BaseException:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            close()
    return True


def reporter(
    progress: Progress, total: int, unit: str = "path"
) -> tuple[Callable[[int, int], Any], Callable[[], None]]:
    """Return a function of finished and all paths that shows progress, and one that ends it."""
    if callable(progress):
        return progress, lambda: None
    if not progress:
        return lambda finished, total: None, lambda: None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ArgumentError(
            "progress = True needs the package tqdm, which is not installed.\n"
            "  Run: python -m pip install tqdm. Or give a function progress(finished, total)."
        ) from None
    bar = tqdm(total=total, unit=unit, unit_scale=True)

    def report(finished: int, total: int) -> None:
        bar.update(finished - bar.n)

    return report, bar.close
