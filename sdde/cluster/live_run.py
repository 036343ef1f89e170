"""A real asynchronous SGD run on dask workers, logged as a `Trace`.

A parameter server lives in one worker process (a dask actor), the workers' endless tasks in others;
the calling process only watches: it fetches the log a few times a second, so that an interruption
or the death of a process keeps what was logged. Wall-clock order decides the result, so a seed
fixes the mini-batches of each worker but not the run. What the run teaches is for the theory and
the simulator to say.
"""

import contextlib
import datetime
import importlib.util
import logging
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.parameter_server import ParameterServer, Record, Row, prepare, warm_up, work
from sdde.cluster.softmax import Softmax
from sdde.cluster.trace_log import Trace
from sdde.engine.streams import seed_of
from sdde.errors import SolutionWarning

Floats = NDArray[np.float64]
Status = Literal["done", "interrupted", "diverged", "lost"]

RECORDS = 200  # points of the loss history
POLL = 0.1  # seconds between two looks at the server
PATIENCE = 30.0  # seconds that a process may take to answer
REACH = 10.0  # seconds to reach a scheduler
_COLUMNS = (
    "worker", "read_time", "start_time", "apply_time", "read_version", "apply_version",
    "gradient_norm",
)  # fmt: skip
_INSTALL = 'pip install "sdde[cluster,ml]"'


@dataclass(frozen=True, slots=True, eq=False)
class LiveRun:
    """What a live run left behind.

    Attributes
    ----------
    trace : Trace
        One row per applied gradient, times in seconds on the server's clock from its start.
    updates : array of int (records,)
        Updates made at each record; about 200 records, the first at 0.
    t : array (records,)
        Time of each record.
    loss : array (records,)
        Loss over all data above its minimum (the loss itself if the objective does not know its
        optimum).
    x : array (dim,)
        Parameters at the end.
    status : str
        ``"done"``, ``"interrupted"`` (Ctrl-C), ``"diverged"`` or ``"lost"`` (the server or all
        workers died).
    lost_workers : tuple of int
        Workers that died on the way.
    objective : object
        What was minimised.
    workers, batch, seed : int
        Worker processes, samples per gradient, seed of the mini-batches.
    learning_rate : float
        Factor of every gradient.

    Examples
    --------
    >>> from sdde.cluster import live
    >>> run = live(workers=8, updates=6000)  # doctest: +SKIP
    >>> run.trace.staleness().mean(), run.loss[-1]  # doctest: +SKIP
    (6.995, 3.3e-05)
    """

    trace: Trace
    updates: NDArray[np.int64]
    t: Floats
    loss: Floats
    x: Floats
    status: Status
    lost_workers: tuple[int, ...]
    objective: Any
    workers: int
    batch: int
    seed: int
    learning_rate: float

    def __repr__(self) -> str:
        lost = f", lost workers {list(self.lost_workers)}" if self.lost_workers else ""
        return (
            f"LiveRun: {self.status}, {self.updates[-1]} updates in {self.t[-1]:.4g} s "
            f"by {self.workers} workers{lost}\n"
            f"  excess loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}, "
            f"learning_rate {self.learning_rate:g}, batch {self.batch}\n{self.trace!r}"
        )


def live(
    objective: Any = None,
    *,
    workers: int = 8,
    updates: int = 5000,
    learning_rate: float = 0.05,
    batch: int | None = None,
    scheduler: str | None = None,
    rng: Any = None,
    progress: bool | Callable[[float], None] = False,
) -> LiveRun:
    """Train with asynchronous SGD on real processes and log every gradient.

    Each worker fetches the parameters, computes a mini-batch gradient and sends it to the server,
    which applies it at once, ``x <- x - learning_rate * gradient``, and answers with fresh
    parameters. Workers never wait for each other; nothing sleeps.

    Parameters
    ----------
    objective : object, optional
        What to minimise: a `Softmax`, or anything with ``inputs`` (its samples), ``start``,
        ``gradient(x, rows)`` and ``loss(x)``, optionally ``optimum()`` and ``batch``. By default
        softmax regression on scikit-learn's digits with regularisation 0.01.
    workers : int
        Worker processes; one more holds the parameters.
    updates : int
        Gradients to apply.
    learning_rate : float
        Factor of every gradient, > 0.
    batch : int, optional
        Samples in one gradient, drawn with replacement; the objective's own `batch`, 2048 for the
        default objective.
    scheduler : str, optional
        Address of a running dask scheduler, ``"tcp://host:8786"``, whose workers can import this
        package; by default a cluster on this machine is started and stopped again.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Fixes which samples each worker draws. The order of arrivals is real and differs from run to
        run.
    progress : bool or callable
        True shows a bar (if tqdm is installed); a function is called with the finished fraction.

    Returns
    -------
    LiveRun
        The trace, the history of the loss, the parameters.

    Raises
    ------
    sdde.ArgumentError
        If an argument is out of range, dask or scikit-learn is not installed, or the scheduler
        cannot be reached or has too few workers.

    Warns
    -----
    sdde.SolutionWarning
        If worker processes died; the run goes on with the others.

    Notes
    -----
    Reads and applications are timed by the server, so no clocks need to agree; a gradient counts as
    applied, and the parameters as read, when the server has them in hand. ``start_time`` comes from
    the worker and is logged only if all processes are on one machine, where they share a clock. On
    a cluster started here the workers run at lower priority than the server, which would otherwise
    wait for a processor and apply gradients in bursts. In a script, call this under
    ``if __name__ == "__main__":``, because the processes import the script.

    Examples
    --------
    Two worker processes and a server on this machine, for some seconds:

    >>> from sdde.cluster import live
    >>> run = live(workers=2, updates=50, batch=64, rng=1)
    >>> run.status, run.trace.workers, run.trace.updates
    ('done', 2, 50)
    >>> bool(run.loss[-1] < run.loss[0])
    True
    """
    count = checks.integer("workers", workers, lowest=1)
    goal = checks.integer("updates", updates, lowest=1)
    rate = checks.positive("learning_rate", learning_rate, example=0.05)
    if batch is not None:
        batch = checks.integer("batch", batch, lowest=1)
    if not callable(progress):
        checks.flag("progress", progress)
    seed = seed_of(rng)
    default = objective is None
    if default:
        objective = Softmax.digits(regularisation=0.01, batch=batch or 2048)
    _require(objective)
    size = batch or checks.integer("objective.batch", getattr(objective, "batch", 32), lowest=1)
    with _connect(scheduler, count) as client, _report(progress) as report:
        watch = _Watch(client, embedded=scheduler is None, workers=count)
        watch.start(objective, rate, goal, seed=seed, batch=size)
        watch.follow(lambda done: report(done / goal))
    flags = {
        "--workers": count, "--updates": goal, "--learning-rate": rate, "--batch": size,
        "--seed": seed,
    }  # fmt: skip
    call = ", ".join(f"{flag[2:].replace('-', '_')}={value}" for flag, value in flags.items())
    header = {
        "command": "sdde live " + " ".join(f"{flag} {value}" for flag, value in flags.items())
        if default
        else f"sdde.cluster.live({objective!r}, {call.replace('seed', 'rng')})",
        "objective": repr(objective),
        "regularisation": getattr(objective, "regularisation", "none"),
        "status": watch.status,
        "workers": count,
        "learning_rate": rate,
        "batch": size,
        "time": "seconds on the clock of the server",
        "recorded": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, dask {watch.version}",
    }
    if watch.lost:
        header["lost_workers"] = ", ".join(map(str, watch.lost))
    return _collected(
        watch, objective, {key: str(value) for key, value in header.items()},
        workers=count, batch=size, seed=seed, learning_rate=rate,
    )  # fmt: skip


def _collected(watch: "_Watch", objective: Any, header: dict[str, str], **settings: Any) -> LiveRun:
    columns = dict(zip(_COLUMNS, zip(*watch.rows, strict=True), strict=True))
    if not watch.one_clock:
        del columns["start_time"]
    least = objective.optimum()[1] if hasattr(objective, "optimum") else 0.0
    with np.errstate(all="ignore"):  # a run that diverged has a loss of inf or nan
        loss = [objective.loss(x) - least for _, _, x in watch.records]
    return LiveRun(
        trace=Trace({name: np.asarray(values) for name, values in columns.items()}, header),
        updates=np.array([update for update, _, _ in watch.records]),
        t=np.array([moment for _, moment, _ in watch.records]),
        loss=np.array(loss),
        x=watch.records[-1][2],
        status=watch.status,
        lost_workers=tuple(watch.lost),
        objective=objective,
        **settings,
    )


def _require(objective: Any) -> None:
    for name in ("inputs", "start", "gradient", "loss"):
        if not hasattr(objective, name):
            raise checks.fail(
                "objective", objective, f"has no {name}",
                why="A live run needs inputs (samples), start, gradient(x, rows) and loss(x).",
                remedy="For example objective = sdde.cluster.Softmax.digits(batch=256).",
            )  # fmt: skip


def _dask() -> Any:
    try:
        import dask.distributed
    except ImportError:
        raise checks.fail("live", "dask.distributed", "is not installed", remedy=_INSTALL) from None
    return dask.distributed


@contextlib.contextmanager
def _connect(scheduler: str | None, workers: int) -> Iterator[Any]:
    """Yield a client of the given scheduler, or of a cluster that lives as long as the run."""
    dask = _dask()
    if scheduler is not None:
        try:
            client = dask.Client(scheduler, timeout=REACH)
        except (OSError, ValueError, TypeError) as error:
            raise checks.fail(
                "scheduler", scheduler, "cannot be reached", why=str(error),
                remedy='For example scheduler = "tcp://127.0.0.1:8786" for `dask scheduler`.',
            ) from None  # fmt: skip
        with client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        dask.LocalCluster(
            n_workers=workers + 1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # None would take port 8787 all the same
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            memory_limit=0,
            local_directory=folder,
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def _report(progress: bool | Callable[[float], None]) -> Iterator[Callable[[float], None]]:
    if callable(progress):
        yield progress
        return
    if not progress or importlib.util.find_spec("tqdm") is None:
        yield lambda fraction: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=1.0, bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}") as bar:

        def advance(fraction: float) -> None:
            bar.update(fraction - bar.n)

        yield advance


class _Watch:
    """The caller's view of a run: starts the processes, fetches the log, notices deaths."""

    def __init__(self, client: Any, *, embedded: bool, workers: int) -> None:
        self.rows: list[Row] = []
        self.records: list[Record] = []
        self.status: Status = "lost"
        self.lost: list[int] = []
        self.version: str = client.get_versions()["client"]["packages"]["distributed"]
        self._client = client
        homes = _places(client.nthreads(), workers)
        self._server_home, self._homes = homes[0], homes[1:]
        try:
            machines = client.run(
                prepare, self._server_home, embedded=embedded, workers=sorted(set(homes))
            )
        except ImportError as error:
            raise checks.fail(
                "scheduler", client.scheduler.address, "has workers that cannot import sdde",
                why=str(error), remedy="Install the same version of this package there.",
            ) from None  # fmt: skip
        self.one_clock = len(set(machines.values())) == 1
        self._tasks: list[Any] = []
        self._server: Any = None

    def start(
        self, objective: Any, learning_rate: float, updates: int, *, seed: int, batch: int
    ) -> None:
        submit = self._client.submit
        self._server = submit(
            ParameterServer, np.asarray(objective.start, dtype=float), learning_rate=learning_rate,
            updates=updates, records=max(1, updates // RECORDS), actor=True, pure=False,
            workers=[self._server_home], allow_other_workers=False,
        ).result(timeout=PATIENCE)  # fmt: skip
        shared = self._client.scatter(objective, workers=sorted(set(self._homes)), hash=False)
        ready = [
            submit(
                warm_up, self._server, shared, batch=batch, pure=False,
                workers=[home], allow_other_workers=False,
            )
            for home in self._homes
        ]  # fmt: skip
        self._client.gather(ready)
        self._server.begin().result(timeout=PATIENCE)
        self._tasks = [
            submit(
                work, self._server, shared, worker, seed=seed, batch=batch, pure=False,
                workers=[home], allow_other_workers=False,
            )
            for worker, home in enumerate(self._homes)
        ]  # fmt: skip

    def follow(self, report: Callable[[int], None]) -> None:
        """Fetch the log until the run is over; an early end keeps what is there."""
        try:
            while (state := self._fetch()) == "running" and self._alive():
                report(len(self.rows))
                self._pause()
            report(len(self.rows))
            self.status = state if state in ("done", "diverged") else "lost"
        except KeyboardInterrupt:
            self.status = "interrupted"
        except (OSError, RuntimeError):  # the server's process died (dask says either)
            self.status = "lost"
        if self.status != "lost":
            self._finish()
        if not self.rows:
            if self.status == "interrupted":
                raise KeyboardInterrupt
            raise RuntimeError("the server or all workers died before the first gradient")
        if self.lost or self.status == "lost":
            dead = f"workers {self.lost}" if self.lost else "the server"
            warnings.warn(
                f"{dead} died; {len(self.rows)} gradients are logged, status {self.status!r}",
                SolutionWarning, stacklevel=4,
            )  # fmt: skip

    def _fetch(self) -> str:
        """Bring the new part of the log over; return how the run stands."""
        news = self._server.collect(len(self.rows), len(self.records))
        rows, records, state = news.result(timeout=PATIENCE)
        self.rows += rows
        self.records += records
        return state

    def _alive(self) -> bool:
        """Note which processes died; False if nobody is left to go on."""
        present = self._client.nthreads()
        for worker, (home, task) in enumerate(zip(self._homes, self._tasks, strict=True)):
            if task.status == "error" and self._server_home in present:
                task.result()  # the objective failed: its error is the user's to see
            if home not in present and worker not in self.lost:
                self.lost.append(worker)
        return self._server_home in present and len(self.lost) < len(self._homes)

    def _pause(self) -> None:
        """Wait a moment, or less if a task ends."""
        living = [task for i, task in enumerate(self._tasks) if i not in self.lost]
        with contextlib.suppress(TimeoutError):
            _dask().wait(living, timeout=POLL, return_when="FIRST_COMPLETED")

    def _finish(self) -> None:
        """Stop the workers, fetch the rest of the log, and let every task come to its end."""
        with contextlib.suppress(OSError, RuntimeError):
            self._server.stop().result(timeout=PATIENCE)
            self._fetch()
            living = [task for i, task in enumerate(self._tasks) if i not in self.lost]
            _dask().wait(living, timeout=PATIENCE)


def _places(threads: dict[str, int], workers: int) -> list[str]:
    """Return the address of the server, then one address per worker, each on a free thread."""
    addresses = sorted(threads)
    free = [home for home in addresses[1:] for _ in range(threads[home])]
    if len(free) < workers and addresses:  # let workers share the server's process
        free += [addresses[0]] * threads[addresses[0]]
    if len(free) < workers:
        raise checks.fail(
            "workers", workers, f"exceeds the {len(free)} threads that the scheduler offers",
            why="Every worker occupies one thread of a dask worker for the whole run.",
            remedy="Start more dask workers, or "
            + (f"workers = {len(free)}." if free else "any at all."),
        )  # fmt: skip
    return [addresses[0], *free[:workers]]
