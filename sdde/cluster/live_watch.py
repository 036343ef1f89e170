"""The caller's side of a live run: a cluster of dask workers, and an eye on what happens there.

Starts the server and the workers' endless tasks, fetches the log a few times a second, notices
deaths, writes checkpoints. It knows nothing of what the run is for.
"""

import contextlib
import importlib.util
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sdde import checks
from sdde.cluster.checkpoints import Checkpoint
from sdde.cluster.parameter_server import Record, Row, ServerActor, prepare, warm_up, work
from sdde.cluster.rules import Composed, Group
from sdde.errors import SolutionWarning

Status = Literal["done", "reached", "interrupted", "diverged", "lost"]

RECORDS = 200  # points of the loss history
POLL = 0.1  # seconds between two looks at the server
PATIENCE = 30.0  # seconds that a process may take to answer
KEEP = 5.0  # seconds between two checkpoints
_INSTALL = 'pip install "sdde[cluster,ml]"'


def _dask() -> Any:
    try:
        import dask.distributed
    except ImportError:
        raise checks.fail("live", "dask.distributed", "is not installed", remedy=_INSTALL) from None
    return dask.distributed


@contextlib.contextmanager
def connect(scheduler: str | None, workers: int, reach: float) -> Iterator[Any]:
    """Yield a client of the given scheduler, or of a cluster that lives as long as the run.

    It never becomes dask's default: what the caller computes elsewhere stays where it was, also
    when an address is refused and dask keeps a client that never connected.
    """
    dask = _dask()
    if scheduler is not None:
        try:
            client = dask.Client(scheduler, timeout=reach, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise checks.fail(
                "scheduler", scheduler, "cannot be reached", why=str(error),
                remedy='For example scheduler = "tcp://127.0.0.1:8786" for `dask scheduler`.',
            ) from None  # fmt: skip
        with client, client.as_current():
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
        dask.Client(cluster, set_as_default=False) as client,
        client.as_current(),
    ):
        yield client


@contextlib.contextmanager
def report_to(progress: bool | Callable[[float], None]) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows the finished fraction, as asked for."""
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


class Watch:
    """The caller's view of a run: starts the processes, fetches the log, notices deaths."""

    def __init__(self, client: Any, *, embedded: bool, workers: int) -> None:
        self.rows: list[Row] = []
        self.records: list[Record] = []
        self.status: Status = "lost"
        self.lost: list[int] = []
        self.version: str = client.get_versions()["client"]["packages"]["distributed"]
        self.checkpoint: tuple[Path, dict[str, str]] | None = None
        self.reached: Callable[[list[Record]], bool] = lambda records: False
        self._kept, self._needed = 0.0, 1
        self._base = 0, 0  # rows and records of the run that this one continues
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
        self,
        objective: Any,
        method: Composed,
        learning_rate: float,
        updates: int,
        *,
        seed: int,
        batch: int,
        earlier: Checkpoint | None = None,
    ) -> None:
        """Bring the server and the workers to life, and set the clock."""
        submit = self._client.submit
        waiting = method.waiting
        assert isinstance(waiting, Group)
        if waiting.idle:
            self._needed = waiting.size or len(self._homes)
        version = 0
        if earlier is not None:
            version = int(earlier.state["version"])
            self.rows = list(earlier.rows)
            self.records = [record for record in earlier.records if record[0] < version]
            self._base = len(self.rows), len(self.records)
        self._server = submit(
            ServerActor, np.asarray(objective.start, dtype=float), learning_rate=learning_rate,
            updates=updates, records=max(1, updates // RECORDS), method=method,
            crew=len(self._homes), state=None if earlier is None else earlier.state,
            actor=True, pure=False, workers=[self._server_home], allow_other_workers=False,
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
                work, self._server, shared, worker, seed=seed, batch=batch, version=version,
                pure=False,
                workers=[home], allow_other_workers=False,
            )
            for worker, home in enumerate(self._homes)
        ]  # fmt: skip

    def follow(self, report: Callable[[int], None]) -> None:
        """Fetch the log until the run is over; an early end keeps what is there."""
        try:
            while (state := self._fetch()) == "running" and self._alive():
                report(self._updates())
                if self.reached(self.records):
                    state = "reached"
                    break
                self._keep(always=False)
                self._pause()
            report(self._updates())
            self.status = state if state in ("done", "diverged", "reached") else "lost"
        except KeyboardInterrupt:
            self.status = "interrupted"
        except (OSError, RuntimeError):  # the server's process died (dask says either)
            self.status = "lost"
        if self.status != "lost" or self._server_lives():
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

    def _updates(self) -> int:
        return max((row[5] for row in self.rows[-len(self._homes) - 1 :]), default=0)

    def _server_lives(self) -> bool:
        try:
            return self._server_home in self._client.nthreads()
        except (OSError, RuntimeError):
            return False

    def _keep(self, *, always: bool) -> None:
        """Write a checkpoint if it is time."""
        now = time.perf_counter()
        if self.checkpoint is None or not (always or now - self._kept > KEEP):
            return
        self._kept = now
        path, settings = self.checkpoint
        state = self._server.state().result(timeout=PATIENCE)
        self._fetch()
        done = int(state["version"])
        rows = [row for row in self.rows if row[5] <= done]
        records = [record for record in self.records if record[0] <= done]
        Checkpoint(state, rows, records, settings).write(path)

    def _fetch(self) -> str:
        """Bring the new part of the log over; return how the run stands."""
        rows, records = self._base
        news = self._server.collect(len(self.rows) - rows, len(self.records) - records)
        more, points, state = news.result(timeout=PATIENCE)
        self.rows += more
        self.records += points
        return state

    def _alive(self) -> bool:
        """Note which processes died; False if nobody is left to go on."""
        present = self._client.nthreads()
        for worker, (home, task) in enumerate(zip(self._homes, self._tasks, strict=True)):
            if task.status == "error" and self._server_home in present:
                task.result()  # the objective failed: its error is the user's to see
            if home not in present and worker not in self.lost:
                self.lost.append(worker)
        return self._server_home in present and len(self._homes) - len(self.lost) >= self._needed

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
            self._keep(always=True)
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
