"""Simulate asynchronous training event by event: from plain values to `Runs`.

Checks the arguments, writes laws as tables, and hands blocks of runs to threads that execute the
compiled event loop. Run number r of a seed is the same bits whatever the number of runs, threads or
records. How events follow each other is in `server`; what comes back is in `runs`.
"""

import math
import os
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.gradients import data_of, loss_interval
from sdde.cluster.methods import AsyncSGD
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.runs import STATUS, Runs, Staleness
from sdde.cluster.server import Machines, Plan, Records, run_block
from sdde.cluster.softmax import Softmax
from sdde.cluster.system import SharedLink, System
from sdde.engine import streams
from sdde.equation.laws import WEIGHTED, Law, as_law

Floats = NDArray[np.float64]

MOST_UPDATES = 10_000_000  # of a run that is told only to reach a loss
_POLL = 0.1  # seconds between two looks at the progress of the threads


def simulate(
    objective: Quadratic | Softmax,
    method: AsyncSGD,
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
    progress: bool = False,
    threads: int | None = None,
) -> Runs:
    """Simulate training on a cluster, event by event.

    Every worker reads the parameters, computes a stochastic gradient at what it read, sends it, and
    begins again with what the parameters are then; the server applies gradients one after the
    other. The clock is virtual: only the laws of the system make time pass.

    Parameters
    ----------
    objective : Quadratic or Softmax
        What is minimised.
    method : AsyncSGD
        How gradients become updates.
    system : System
        Laws of compute times, communication and the server's time.
    learning_rate : float
        Learning rate > 0.
    workers : int, optional
        Number of workers; taken from `system` if not given.
    updates : int, optional
        Stop a run after this many applied gradients.
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
    progress : bool
        Show a progress bar (needs tqdm).
    threads : int, optional
        Threads to use; all processors if not given. The result does not depend on it.

    Raises
    ------
    sdde.ArgumentError
        If an argument is of the wrong kind or out of range, or no stopping rule is given.

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
    if not isinstance(objective, Quadratic | Softmax):
        raise checks.fail(
            "objective",
            objective,
            "is not an objective",
            remedy="For example Quadratic([1.0, 10.0]).",
        )
    if not isinstance(method, AsyncSGD):
        raise checks.fail("method", method, "is not a method", remedy="For example AsyncSGD().")
    if not isinstance(system, System):
        raise checks.fail("system", system, "is not a System", remedy="For example System(1.0).")
    rate = checks.positive("learning_rate", learning_rate, example=0.05)
    count = system.worker_count(workers)
    number = checks.integer("runs", runs, lowest=1)
    points = checks.integer("records", records, lowest=2)
    checks.choice("start", start, ("together", "stationary"))
    checks.flag("progress", progress)
    if threads is None:
        threads = os.cpu_count() or 1
    crew = checks.integer("threads", threads, lowest=1)
    if updates is None and time is None and until_loss is None:
        raise checks.fail(
            "updates", None, "and time and until_loss are not given",
            why="A run needs a rule that ends it.", remedy="For example updates = 10_000.",
        )  # fmt: skip
    most = None if updates is None else checks.integer("updates", updates, lowest=1)
    horizon = None if time is None else checks.positive("time", time, example=10.0)
    target = None if until_loss is None else checks.positive("until_loss", until_loss, example=1e-3)
    machines = machines_of(system, count, start)
    seed = streams.seed_of(rng)
    streams.require_room(paths=number, channels=count)
    job = _Job(objective, machines, rate, horizon, target, number, seed, crew, progress)
    grid = np.linspace(0.0, horizon, points) if horizon is not None else None
    if most is None and horizon is None:
        # Nobody knows yet how long the runs are: run once for that, and again to record.
        first, _ = job.execute(MOST_UPDATES, np.zeros(1))
        most = max(int(first.updates.max()), 1)
    if grid is None:
        grid = np.unique(np.linspace(0, most or 0, points).round())
    table, histogram = job.execute(most, grid)
    if horizon is None:
        when, numbers = table.at, grid
    else:  # after its end a run makes no more updates
        when, numbers = grid, np.where(np.isnan(table.at), table.updates[:, None], table.at)
    return Runs(
        objective=objective, method=method, system=system, workers=count, learning_rate=rate,
        start=start, seed=seed, t=when, updates_at=numbers.astype(np.int64),
        loss=table.loss, status=STATUS[table.status], end_time=table.end_time,
        updates=table.updates, staleness=Staleness(histogram), worker_counts=table.counts,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Job:
    """All that two executions of the same runs share."""

    objective: Any
    machines: Machines
    learning_rate: float
    time: float | None
    until_loss: float | None
    runs: int
    seed: int
    threads: int
    progress: bool

    def execute(self, updates: int | None, grid: Floats) -> tuple[Records, NDArray[np.int64]]:
        """Simulate all runs in blocks on threads; return records and staleness counts."""
        plan = Plan(
            self.learning_rate,
            np.iinfo(np.int64).max if updates is None else updates,
            math.inf if self.time is None else self.time,
            -math.inf if self.until_loss is None else self.until_loss,
            loss_interval(self.objective),
            self.time is not None,
            grid,
            *streams.key_of(self.seed),
        )
        blocks = min(self.runs, 8 * self.threads)
        edges = np.linspace(0, self.runs, blocks + 1).astype(int)
        records = Records(
            np.full((self.runs, grid.size), np.nan),
            np.full((self.runs, grid.size), np.nan),
            np.zeros(self.runs, np.int64),
            np.zeros(self.runs),
            np.zeros(self.runs, np.int64),
            np.zeros((self.runs, len(self.machines.compute)), np.int64),
            np.zeros(blocks),
            np.zeros(1, np.bool_),
        )

        def work(block: int) -> NDArray[np.int64]:
            first, last = int(edges[block]), int(edges[block + 1])
            data = data_of(self.objective)  # with scratch of its own
            return run_block(data, self.machines, plan, records, first, last, block)

        with ThreadPoolExecutor(min(self.threads, blocks)) as pool, _bar(self) as bar:
            futures = [pool.submit(work, block) for block in range(blocks)]
            try:
                pending = set(futures)
                while pending:
                    _, pending = wait(pending, _POLL, FIRST_EXCEPTION)
                    if bar is not None:
                        bar.update(float(records.progress.sum()) - bar.n)
            except BaseException:
                records.stop[0] = True
                raise
            histograms = [future.result() for future in futures]
        total = np.zeros(max(len(part) for part in histograms), np.int64)
        for part in histograms:
            total[: len(part)] += part
        return records, np.trim_zeros(total, "b")


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


def machines_of(system: System, workers: int, start: str) -> Machines:
    """Write the laws of a system as tables for the event loop.

    Parameters
    ----------
    system : System
        The machines.
    workers : int
        How many of them work.
    start : {"together", "stationary"}
        Whether first jobs are whole or already under way.

    Returns
    -------
    Machines

    Raises
    ------
    sdde.ArgumentError
        If laws and workers disagree, or the start is not known for this system.
    """
    compute = _one_each(system.compute_laws(workers), workers)
    own = system.communication_laws(workers)
    links = None if own is None else _one_each(own, workers)
    shared = system.communication if isinstance(system.communication, SharedLink) else None
    update = None if system.update_time is None else as_law(system.update_time, "update_time")
    stationary = start == "stationary"
    if stationary and (shared is not None or update is not None):
        raise checks.fail(
            "start", start, "is not possible with a shared link or a server that needs time",
            why="Workers then queue, and the long-run state of the queue has no simple law.",
            remedy='Use start = "together", and leave out the beginning of the records.',
        )  # fmt: skip
    tables = _Tables()
    none = (0, 0)
    spans = np.array([tables.add(law) for law in compute])
    link_spans = np.array([none if links is None else tables.add(links[w]) for w in range(workers)])
    biased, link_biased = np.zeros_like(spans), np.zeros_like(spans)
    share = np.ones(workers)
    if stationary:
        biased = np.array([tables.add_biased(law) for law in compute])
        if links is not None:
            link_biased = np.array([tables.add_biased(law) for law in links])
            share = np.array(
                [c.mean / (c.mean + u.mean) for c, u in zip(compute, links, strict=True)]
            )
    return Machines(
        compute=spans, communication=link_spans,
        link=np.array(none if shared is None else tables.add(as_law(shared.law, "law"))),
        capacity=1 if shared is None else shared.capacity,
        update=np.array(none if update is None else tables.add(update)), stationary=stationary,
        biased_compute=biased, biased_communication=link_biased, compute_share=share,
        tables=tables.joined(),
    )  # fmt: skip


def _one_each(laws: tuple[Law, ...], workers: int) -> tuple[Law, ...]:
    return laws * workers if len(laws) == 1 else laws


class _Tables:
    """Quantile tables end to end, each law once."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []
        self._spans: dict[tuple[int, bool], tuple[int, int]] = {}
        self._size = 0

    def add(self, law: Law) -> tuple[int, int]:
        """Return the span of a law's table."""
        return self._span(law, law.table, biased=False)

    def add_biased(self, law: Law) -> tuple[int, int]:
        """Return the span of the law in which a value is met in proportion to its length."""
        return self._span(law, lambda: _biased_table(law), biased=True)

    def _span(self, law: Law, table: Any, *, biased: bool) -> tuple[int, int]:
        name = (id(law), biased)
        if name not in self._spans:
            part = table()
            self._parts.append(part)
            self._spans[name] = (self._size, self._size + len(part))
            self._size += len(part)
        return self._spans[name]

    def joined(self) -> Floats:
        """Return all tables in one array."""
        return np.concatenate(self._parts)


def _biased_table(law: Law) -> Floats:
    """Return the table of the law weighted by length, as weighted points.

    The points are the quadrature nodes of the law: exact for constants and measurements, and for
    smooth laws the uniform position within the job makes the residual time smooth again.
    """
    values, weights = law.nodes()
    mass = values * weights
    keep = mass > 0
    if not keep.any():
        return law.table()
    cumulative = np.cumsum(mass[keep]) / mass[keep].sum()
    cumulative[-1] = 1.0
    return np.concatenate([[WEIGHTED, float(len(cumulative))], cumulative, values[keep]])
