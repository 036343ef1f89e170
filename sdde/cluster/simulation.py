"""Simulate asynchronous training event by event: from plain values to `Runs`.

Checks the arguments, writes laws as tables, and hands blocks of runs to threads that execute the
compiled event loop. Run number r of a seed is the same bits whatever the number of runs, threads or
records. How events follow each other is in `server`; what comes back is in `runs`.
"""

import itertools
import os
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster import rules as rule
from sdde.cluster.changing import Drifting, Replay
from sdde.cluster.encoding import Records, rules_of
from sdde.cluster.machine_tables import machines_of
from sdde.cluster.objective_kinds import check_objective, check_owners, measures_of
from sdde.cluster.run_blocks import RunWork, Simulated, joined, part_of
from sdde.cluster.run_statistics import Staleness
from sdde.cluster.run_storing import (
    keep_block,
    keep_most_updates,
    most_updates,
    open_runs,
    take_stored,
)
from sdde.cluster.runs import MOST_RECORDS, STATUS, Runs
from sdde.cluster.system import SharedLink, System
from sdde.engine.seeds import MAX_CHANNELS, MAX_PATHS, seed_of
from sdde.solving.executors import Crew, crew_of, crew_or_threads, run_tasks
from sdde.solving.memory import require_memory
from sdde.solving.stores import Store
from sdde.solving.storing import seed_in

Floats = NDArray[np.float64]

MOST_UPDATES = 10_000_000  # of a run that is told only to reach a loss
_SMALL = 64_000_000  # bytes that are taken for granted
_POLL = 0.1  # seconds between two looks at the progress of the threads


def simulate(
    objective: Any,
    method: Any,
    system: System,
    *,
    learning_rate: float,
    workers: int | None = None,
    updates: int | None = None,
    time: float | None = None,
    until_loss: float | None = None,
    runs: int = 1,
    rng: Any = None,
    records: int = 200,
    start: str = "together",
    trace: bool = False,
    progress: bool = False,
    threads: int | None = None,
    executor: Any = None,
    store: Any = None,
) -> Runs:
    """Simulate training on a cluster, event by event.

    Every worker reads the parameters, computes a stochastic gradient at what it read, sends it, and
    begins again with what the parameters are then; the server applies gradients one after the
    other. The clock is virtual: only the laws of the system make time pass.

    Parameters
    ----------
    objective : Quadratic, Softmax, Network or Objective
        What is minimised.
    method : method
        How gradients become updates: `AsyncSGD`, `KSync`, ... or `Composed` of rules.
    system : System
        Laws of compute times, communication and the server's time.
    learning_rate : float
        Learning rate > 0.
    workers : int, optional
        Number of workers; taken from `system` if not given.
    updates : int, optional
        Stop a run after this many updates of the parameters.
    time : float, optional
        Stop a run at this time, in the unit of the system's laws.
    until_loss : float, optional
        Stop a run once its loss above the minimum is at or below this number, > 0. A quadratic is
        looked at after every update, a data set after every 100. Without `updates` and `time` a
        run gives up after 10 million updates.
    runs : int
        Number of independent runs.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Seed; recorded in the result.

    Returns
    -------
    Runs
        Loss against time and updates, staleness, counts per worker, how each run ended.

    Other Parameters
    ----------------
    records : int
        Number of recorded points, first and last included: equally spaced times if `time` is given,
        else equally spaced numbers of updates (at most every update).
    start : {"together", "stationary"}
        ``"together"``: all workers read and begin a job at time 0. ``"stationary"``: time 0 is a
        random instant of a long run, so first jobs are already under way; not with a shared link
        or a server that needs time, whose long-run state has no simple law.
    trace : bool
        Keep one row for each gradient, for `Runs.trace`.
    progress : bool
        Show a progress bar (needs tqdm).
    threads : int, optional
        Threads to use; all processors if not given. The result does not depend on it.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where blocks of runs are simulated instead, with the same result.
    store : str or Path, optional
        A folder, or a URL that fsspec understands, to which runs go block by block (needs zarr).
        The same call simulates only what is missing there; `rng` may be left out.

    Raises
    ------
    sdde.ArgumentError
        If an argument is of the wrong kind or out of range, or no stopping rule is given. Also if
        `store` belongs to other runs.
    sdde.StoreError
        If `store` is full, in use, or cannot be written; what it has is kept.

    See Also
    --------
    sdde.theory.AsyncSGD : what theory says about the same system.

    Notes
    -----
    Events at the same time are taken in the order of the workers' numbers, the server last. On a
    shared link transfers are served first come, first served, and so are gradients at a busy
    server; a worker whose gradient waits there is idle until it has been applied. A run whose
    parameters pass 1e12 times their start ends with status ``"diverged"``.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import cluster
    >>> system = cluster.System(scipy.stats.expon(), workers=8)
    >>> runs = cluster.simulate(
    ...     cluster.Quadratic(1.0), cluster.AsyncSGD(), system,
    ...     learning_rate=0.05, updates=20_000, rng=1,
    ... )
    >>> abs(runs.staleness.mean - 7) < 0.1
    True
    """
    check_objective(objective)
    if not isinstance(getattr(method, "composed", None), rule.Composed):
        raise checks.fail("method", method, "is not a method", remedy="For example AsyncSGD().")
    if not isinstance(system, System):
        raise checks.fail("system", system, "is not a System", remedy="For example System(1.0).")
    rate = checks.positive("learning_rate", learning_rate, example=0.05)
    count = system.worker_count(workers)
    check_owners(objective, count)
    number = checks.integer("runs", runs, lowest=1)
    points = checks.integer("records", records, lowest=2, highest=MOST_RECORDS)
    checks.flag("trace", trace)
    checks.flag("progress", progress)
    crew = crew_of(executor)
    if threads is None:
        threads = os.cpu_count() or 1
    most_threads = checks.integer("threads", threads, lowest=1)
    if updates is None and time is None and until_loss is None:
        raise checks.fail(
            "updates", None, "and time and until_loss are not given",
            why="A run needs a rule that ends it.", remedy="For example updates = 10_000.",
        )  # fmt: skip
    most = None if updates is None else checks.integer("updates", updates, lowest=1)
    horizon = None if time is None else checks.positive("time", time, example=10.0)
    target = None if until_loss is None else checks.positive("until_loss", until_loss, example=1e-3)
    composed = method.composed
    _check_start(start, composed)
    _check_buffer(system, composed)
    if composed.memory is not None:
        _check_memory(system, start)
    kept = points if most is None or horizon is not None else min(points, most + 1)
    _require_room(number, count, kept, len(measures_of(objective)))
    machines = machines_of(system, count, stationary=start == "stationary")
    rules = rules_of(composed, count, rate, objective.dim)
    if rng is None and store is not None:
        rng = seed_in(store)
    seed = seed_of(rng)
    job = _Job(number, most_threads, crew, progress)

    given = {
        "objective": objective, "method": method, "system": system, "learning_rate": rate,
        "workers": count, "updates": most, "time": horizon, "until_loss": target, "runs": number,
        "seed": seed, "records": points, "start": start, "trace": bool(trace),
    }  # fmt: skip
    with nullcontext() if store is None else open_runs(store, given) as kept:
        grid = np.linspace(0.0, horizon, points) if horizon is not None else None

        def work(updates: int | None, grid: Floats) -> RunWork:
            return RunWork(
                objective, machines, rules, rate, updates, horizon, target, grid, seed, trace
            )  # fmt: skip

        if most is None and horizon is None:
            # Nobody knows yet how long the runs are: run once for that, and again to record.
            most = None if kept is None else most_updates(kept)
            if most is None:
                first, _ = job.execute(work(MOST_UPDATES, np.zeros(1)))
                most = max(int(first.updates.max()), 1)
            if kept is not None:
                keep_most_updates(kept, most)
        if grid is None:
            grid = np.unique(np.linspace(0, most or 0, points).round())
        if kept is None:
            table, (histogram, log) = job.execute(work(most, grid))
        else:
            table, (histogram, log) = job.store(work(most, grid), kept)
    if horizon is None:
        when, numbers = table.at, grid
    else:  # after its end a run makes no more updates
        when, numbers = grid, np.where(np.isnan(table.at), table.updates[:, None], table.at)
    names = measures_of(objective)
    beside = table.measures.reshape(*table.loss.shape, -1)
    return Runs(
        objective=objective, method=method, system=system, workers=count, learning_rate=rate,
        start=start, seed=seed, t=when, updates_at=numbers.astype(np.int64),
        loss=table.loss, status=STATUS[table.status], end_time=table.end_time,
        updates=table.updates, staleness=Staleness(histogram), worker_counts=table.applied,
        discarded=table.discarded, cancelled=table.cancelled, idle_time=table.idle, log=log,
        down_time=table.down,
        measures={name: beside[:, :, i] for i, name in enumerate(names)},
        gradients_at=np.maximum(beside[:, :, -1], np.where(np.isnan(table.loss), np.nan, numbers)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Job:
    """How many runs, and where they are simulated."""

    runs: int
    threads: int
    crew: Crew | None
    progress: bool

    def execute(self, work: RunWork) -> tuple[Records, Simulated]:
        """Simulate all runs in blocks; return their records, staleness counts and the log."""
        blocks = min(self.runs, 8 * self.threads if self.crew is None else 4 * self.crew.size)
        edges = np.linspace(0, self.runs, blocks + 1).astype(int).tolist()
        tasks = list(itertools.pairwise(edges))
        records = work.room(self.runs, blocks)
        if self.crew is not None:
            return records, self._elsewhere(self.crew, work, tasks, records)
        parts = [part_of(records, *task, block) for block, task in enumerate(tasks)]
        with ThreadPoolExecutor(min(self.threads, blocks)) as pool, _bar(self) as bar:
            futures = [
                pool.submit(work.fill, part, *task) for part, task in zip(parts, tasks, strict=True)
            ]
            try:
                pending = set(futures)
                while pending:
                    _, pending = wait(pending, _POLL, FIRST_EXCEPTION)
                    if bar is not None:
                        bar.update(float(records.progress.sum()) - bar.n)
            except BaseException:
                records.stop[0] = True
                raise
            found = [future.result() for future in futures]
        work.raise_failure()
        return records, joined(found)

    def store(self, work: RunWork, kept: Store) -> tuple[Records, Simulated]:
        """Simulate what a store lacks, and return all that is in it."""
        missing = kept.missing()

        def take(task: tuple[Any, ...], result: Any) -> None:
            keep_block(kept, task[0], *result)
            if bar is not None:
                bar.update(task[1] - task[0])

        with _bar(self) as bar, ExitStack() as stack:
            if bar is not None:
                bar.update(self.runs - sum(b - a for a, b in map(kept.span, missing)))
            crew = stack.enter_context(crew_or_threads(self.crew, self.threads))
            if crew.is_here:
                work.ready()  # compiled once, before the threads want it
            if not run_tasks(crew, work, map(kept.span, missing), take):
                raise KeyboardInterrupt
        records = work.room(self.runs, 1)
        return records, joined(take_stored(kept, records))

    def _elsewhere(
        self, crew: Crew, work: RunWork, tasks: list[tuple[int, int]], records: Records
    ) -> Simulated:
        """Simulate all runs on an executor, into `records`."""
        found: dict[tuple[Any, ...], Simulated] = {}

        def take(task: tuple[Any, ...], result: Any) -> None:
            named, found[task] = result
            for name, rows in named.items():
                getattr(records, name)[task[0] : task[1]] = rows
            if bar is not None:
                bar.update(task[1] - task[0])

        with _bar(self) as bar:
            if not run_tasks(crew, work, tasks, take):
                raise KeyboardInterrupt
        return joined([found[task] for task in tasks])


def _bar(job: _Job) -> Any:
    if not job.progress:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise checks.fail(
            "progress",
            True,
            "needs tqdm",
            remedy="pip install 'sdde[progress]', or progress = False.",
        ) from None
    layout = "{l_bar}{bar}| {n:.1f}/{total} runs [{elapsed}<{remaining}]"
    return tqdm(total=job.runs, bar_format=layout)


def _require_room(runs: int, workers: int, records: int, measures: int) -> None:
    """Refuse counts beyond the addresses of random numbers, and tables beyond memory."""
    for name, value, most in (("runs", runs, MAX_PATHS), ("workers", workers, MAX_CHANNELS)):
        if value > most:
            raise checks.fail(
                name, value, "is more than the random numbers have addresses for",
                why="Numbers would repeat.", remedy=f"At most {name} = {most} with one seed.",
            )  # fmt: skip
    records_of_runs, of_workers = 8 * runs * records * (3 + measures), 8 * runs * 5 * workers
    if records_of_runs + of_workers > _SMALL:
        require_memory(
            {"the records": records_of_runs, "the counts of each worker": of_workers},
            f"runs = {runs} with {records} records of {workers} workers",
            {"the records": "Keep fewer: records=2, or fewer runs and further seeds.",
             "the counts of each worker": "Give fewer runs, and further seeds for more."},
        )  # fmt: skip


def _check_buffer(system: System, method: rule.Composed) -> None:
    waiting = method.waiting
    waits = not isinstance(waiting, rule.Group) or waiting.idle or waiting.cancel
    if system.buffer is not None and waits:
        raise checks.fail(
            "system", system, "has a buffer, but workers wait for updates with this method",
            why="A worker that waits has no use for a place where its work waits without it.",
            remedy="Leave out buffer, or use a method in which nobody waits.",
        )  # fmt: skip


def _check_memory(system: System, start: str) -> None:
    simple = not (
        isinstance(system.communication, SharedLink) or system.update_time is not None
        or system.outages is not None or system.buffer is not None
        or any(isinstance(item, Drifting | Replay) for item in system.compute_sources(1))
    )  # fmt: skip
    if not simple or start == "stationary":
        raise checks.fail(
            "system", system, "has more than compute times and links of the workers' own",
            why="On shared memory there is no server, and workers are taken to be steady.",
            remedy='For example System(1.0, communication=0.1), with start = "together".',
        )  # fmt: skip


def _check_start(start: str, method: rule.Composed) -> None:
    checks.choice("start", start, ("together", "stationary"))
    waits = method.waiting != rule.Group() or getattr(method.admission, "stop", False)
    waits = waits or method.budget is not None
    if start == "stationary" and waits:
        raise checks.fail(
            "start", start, "is not possible with this method",
            why="Where workers wait or stop, the long-run state has no simple law.",
            remedy='Use start = "together", and leave out the beginning of the records.',
        )  # fmt: skip
