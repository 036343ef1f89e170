"""Where work runs that users bring an executor for: processes, machines, a dask cluster.

Work is a callable that is sent once and remembered by its receiver, and tasks are short tuples of
plain values for it. Results are taken here as they come, in any order; a few tasks more than
there are workers are under way at any time, so that memory is bounded. Work of a lost worker is
done again. Nothing here knows what is computed.
"""

import asyncio
import concurrent.futures
import functools
import math
import pickle
import queue
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdde import checks
from sdde.engine.storage import engine_stamp
from sdde.errors import ArgumentError, SolutionWarning

Work = Callable[..., Any]
_BROKEN = (
    concurrent.futures.BrokenExecutor,
    concurrent.futures.CancelledError,
    asyncio.CancelledError,
)
_LARGE = 1_000_000  # bytes of work that a dask cluster is given once, not with each task
_LOOK = 0.5  # seconds between two looks at Ctrl-C where waiting cannot be interrupted
_PATIENCE = 30.0  # seconds without results after which it is asked whether there are workers
_COUNT_AGAIN = 2.0  # seconds after which a cluster's workers are counted again


@dataclass(eq=False)
class Crew:
    """An executor as the rest of the package sees it.

    Attributes
    ----------
    executor : object
        What the user gave.
    submit : callable
        ``submit(function, *args)`` returns a future.
    count : callable
        Returns how many tasks run at a time.
    is_here : bool
        Whether it runs in this process, so that nothing need be sent.
    """

    executor: Any
    submit: Callable[..., Any]
    count: Callable[[], int]
    is_here: bool

    @property
    def size(self) -> int:
        """How many tasks run at a time, at least 1."""
        return max(1, self.count())


def crew_of(executor: Any) -> Crew | None:
    """Check the argument `executor`; None stands for the threads of this process."""
    if executor is None:
        return None
    if isinstance(executor, concurrent.futures.Executor):
        threads = isinstance(executor, concurrent.futures.ThreadPoolExecutor)
        return Crew(executor, executor.submit, lambda: _workers_of(executor), threads)
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(executor, distributed.Client):
        if executor.asynchronous:
            raise checks.fail(
                "executor", executor, "is asynchronous",
                remedy="For example executor = dask.distributed.Client(address).",
            )  # fmt: skip
        submit = functools.partial(executor.submit, pure=False)
        return Crew(executor, submit, lambda: sum(executor.nthreads().values()), is_here=False)
    raise checks.fail(
        "executor", executor, "is neither a concurrent.futures.Executor nor a dask Client",
        remedy="For example executor = concurrent.futures.ProcessPoolExecutor(), or"
        " dask.distributed.Client().",
    )  # fmt: skip


@contextmanager
def crew_or_threads(crew: Crew | None, threads: int) -> Iterator[Crew]:
    """Give a crew, or else so many threads of this process for as long as they are needed."""
    if crew is not None:
        yield crew
        return
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        yield Crew(pool, pool.submit, lambda: threads, is_here=True)


def _workers_of(executor: Any) -> int:
    for name in ("_max_workers", "num_workers"):
        found = getattr(executor, name, None)
        if isinstance(found, int):
            return found
    from sdde.solving.execute import available_threads

    return available_threads()


# ---- sending


def packed(work: Work) -> bytes:
    """Return work as bytes that other processes can load, functions of scripts included."""
    try:
        import cloudpickle
    except ImportError:
        try:
            return pickle.dumps(work, protocol=5)
        except Exception as error:
            raise ArgumentError(
                f"executor needs the package cloudpickle to send the functions ({error}).\n"
                '  Run: python -m pip install "sdde[cluster]". Or define the functions in a module'
                " that the workers can import."
            ) from None
    try:
        return cloudpickle.dumps(work, protocol=5)
    except Exception as error:
        raise ArgumentError(
            f"executor cannot send the functions: {type(error).__name__}: {error}.\n"
            "  They refer to something that belongs to this process, an open file or a lock."
            " Create it inside the function."
        ) from error


@functools.lru_cache(8)
def _unpacked(work: bytes) -> Work:
    try:
        return pickle.loads(work)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(
            f"executor: a worker cannot load the functions: {type(error).__name__}: {error}.\n"
            "  Install or copy the module there; or, for a module of your own, call"
            " cloudpickle.register_pickle_by_value(module) here."
        ) from error


def perform(stamp: bytes, work: bytes, task: tuple[Any, ...]) -> Any:
    """Do one task in a worker.

    Parameters
    ----------
    stamp : bytes
        `engine_stamp` of the sender.
    work : bytes
        What `packed` returned.
    task : tuple
        Its arguments.
    """
    if stamp != engine_stamp():
        raise ArgumentError(
            "executor: a worker has another version of sdde, Python, NumPy or llvmlite.\n"
            "  Results would not be those of this process. Install the same versions there."
        )
    return _unpacked(work)(*task)


# ---- gathering


def run_tasks(
    crew: Crew, work: Work, tasks: Iterable[tuple[Any, ...]],
    take: Callable[[tuple[Any, ...], Any], None], *, stop: Callable[[], None] = lambda: None,
) -> bool:  # fmt: skip
    """Do all tasks and return True, or False after Ctrl-C.

    Parameters
    ----------
    crew : Crew
    work : callable
        ``work(*task)`` gives the result of a task.
    tasks : iterable of tuple
    take : callable
        ``take(task, result)`` is called here for each, in the order in which they end.
    stop : callable, optional
        Makes tasks in this process return soon.

    Warns
    -----
    sdde.SolutionWarning
        If the executor broke, and the rest was done in this process.
    """
    send = functools.partial(crew.submit, work) if crew.is_here else _sender(crew, packed(work))
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    waiting: dict[Any, tuple[Any, ...]] = {}
    rest, lost = iter(tasks), list[tuple[Any, ...]]()
    size, counted = crew.size, time.monotonic()
    broken: BaseException | None = None
    try:
        while True:
            if time.monotonic() - counted > _COUNT_AGAIN:
                size, counted = crew.size, time.monotonic()
            while broken is None and len(waiting) < 2 * size + 1:
                task = next(rest, None)
                if task is None:
                    break
                try:
                    future = send(*task)
                except concurrent.futures.BrokenExecutor as error:
                    broken = error
                    lost.append(task)
                    break
                except RuntimeError as error:
                    raise ArgumentError(
                        f"executor = {crew.executor!r} takes no work: {error}.\n"
                        "  Give one that has not been shut down."
                    ) from error
                waiting[future] = task
                future.add_done_callback(ended.put)
            if not waiting:
                break
            future = _next(ended, crew)
            task = waiting.pop(future)
            try:
                result = future.result()
            except _BROKEN as error:
                broken = error
                lost.append(task)
                continue
            take(task, result)
        if broken is not None:
            lost += rest
            warnings.warn(
                f"The executor lost its workers ({type(broken).__name__}: {broken}); the remaining"
                f" {len(lost)} blocks of work are done in this process, with the same results.",
                SolutionWarning, stacklevel=2,
            )  # fmt: skip
            for task in lost:
                take(task, work(*task))
    except KeyboardInterrupt:
        stop()
        _cancel(waiting)
        return False
    except BaseException:
        stop()
        _cancel(waiting)
        raise
    return True


def _sender(crew: Crew, work: bytes) -> Callable[..., Any]:
    """Return what sends a task of `work` away."""
    given: Any = work
    if len(work) > _LARGE and hasattr(crew.executor, "scatter"):
        given = crew.executor.scatter(work, broadcast=True, hash=False)
    stamp = engine_stamp()
    return lambda *task: crew.submit(perform, stamp, given, task)


def _next(ended: "queue.SimpleQueue[Any]", crew: Crew) -> Any:
    """Return the next future that ends; say so if nobody is there to make one end."""
    since = time.monotonic()
    while True:
        try:
            return ended.get(timeout=_LOOK)
        except queue.Empty:
            if time.monotonic() - since > _PATIENCE:
                since = math.inf
                if crew.count() == 0:
                    warnings.warn(
                        "The executor has no workers; waiting for some. Ctrl-C returns what is"
                        " done.",
                        SolutionWarning, stacklevel=2,
                    )  # fmt: skip


def _cancel(futures: Iterable[Any]) -> None:
    for future in futures:
        future.cancel()
