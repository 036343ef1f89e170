"""The two halves of a live run that live in other processes: the server of the parameters, and a
worker.

The server does with every gradient what the method says, the moment it arrives, and answers with
parameters, at once or after the next update; a worker computes on what it was given and sends. This
module is imported by the worker processes, so it needs NumPy only; it does not know which processes
they are or how they reach each other.
"""

import asyncio
import os
import platform
import signal
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.rules import Composed
from sdde.cluster.sampler import Sampler
from sdde.cluster.update_rule import UpdateRule

Floats = NDArray[np.float64]
Row = tuple[int, float, float, float, int, int, float, bool]
Record = tuple[int, float, Floats]

NICE = 5  # how much worker processes step back behind the server
BLOWN_UP = 1e12  # parameters of this norm will not come back


class Wait:
    """The answer to a worker that has to wait for the next update."""


WAIT = Wait()


class ParameterServer:
    """Holds the parameters, treats gradients as they arrive, and logs each.

    Parameters
    ----------
    start : array (dim,)
        First parameters.
    learning_rate : float
        Full learning rate.
    updates : int
        Updates to make before the run is done, counted from the very first.
    records : int
        Updates between two records of the parameters.
    method : Composed
        The rules; plain asynchronous SGD by default.
    crew : int
        Number of workers (dask keeps the word ``workers`` for itself).
    state : dict of str to array, optional
        What `state` returned in an earlier run that this one continues.
    """

    def __init__(
        self,
        start: Floats,
        *,
        learning_rate: float,
        updates: int,
        records: int,
        method: Composed | None = None,
        crew: int = 1,
        state: dict[str, Floats] | None = None,
    ) -> None:
        self._rule = UpdateRule(method or Composed(), start, learning_rate, crew)
        self._goal = updates
        self._every = records
        self._before = 0.0
        if state is not None:
            self._rule.restore(state)
            self._before = float(state["elapsed"])
        self._epoch = time.perf_counter() - self._before
        self._reads: dict[int, tuple[float, int, Floats]] = {}
        self._waiting: dict[int, int] = {}
        self._log: list[Row] = []
        self._records: list[Record] = [(self._rule.version, self._before, self._rule.x)]
        self._status = "running" if self._rule.version < updates else "done"

    @property
    def version(self) -> int:
        """Updates made."""
        return self._rule.version

    @property
    def status(self) -> str:
        """How the run stands."""
        return self._status

    def begin(self) -> None:
        """Set the clock, once every process is ready."""
        self._epoch = time.perf_counter() - self._before

    def _now(self) -> float:
        return time.perf_counter() - self._epoch

    def push(self, worker: int, gradient: Floats | None, started: float) -> Floats | Wait | None:
        """Treat a gradient (None: a first call); return parameters, None to stop, or `WAIT`."""
        now = self._now()
        if self._status == "running" and gradient is not None:
            kept, updated = self._treat(worker, gradient, started - self._epoch, now)
            if kept and not updated and self._rule.idle and self._status == "running":
                self._waiting[worker] = self._rule.version
                return WAIT
        return self._read(worker, now)

    def ask(self, worker: int) -> Floats | Wait | None:
        """Return parameters to a worker that had to wait, None to stop, or `WAIT` again."""
        if self._status == "running" and self._waiting.get(worker) == self._rule.version:
            return WAIT
        self._waiting.pop(worker, None)
        return self._read(worker, self._now())

    def _read(self, worker: int, now: float) -> Floats | None:
        if self._status != "running":
            return None
        self._reads[worker] = (now, self._rule.version, self._rule.x)
        return self._rule.x

    def _treat(
        self, worker: int, gradient: Floats, started: float, now: float
    ) -> tuple[bool, bool]:
        read_time, read_version, read = self._reads[worker]
        version = self._rule.version
        kept, updated = self._rule.receive(worker, gradient, read, read_version)
        size = float(np.sqrt(gradient @ gradient))
        read_time, started, applied = (round(moment, 6) for moment in (read_time, started, now))
        norm = float(f"{size:.6g}")
        made = version + 1 if kept else version
        self._log.append((worker, read_time, started, applied, read_version, made, norm, not kept))
        x = self._rule.x
        if updated and self._rule.version >= self._goal:
            self._status = "done"
        elif updated and not np.sqrt(x @ x) < BLOWN_UP:
            self._status = "diverged"
        if updated and (self._rule.version % self._every == 0 or self._status != "running"):
            self._records.append((self._rule.version, now, x))
        return kept, updated

    def collect(self, rows: int, records: int) -> tuple[list[Row], list[Record], str]:
        """Return the log and the records that the caller lacks, and how the run stands."""
        return self._log[rows:], self._records[records:], self._status

    def state(self) -> dict[str, Floats]:
        """Return all that a later run needs to continue this one, as arrays."""
        return {**self._rule.state(), "elapsed": np.array(self._now())}

    def stop(self) -> None:
        """Answer every worker with None from now on."""
        if self._status == "running":
            self._status = "stopped"
            if self._records[-1][0] != self._rule.version:
                self._records.append((self._rule.version, self._now(), self._rule.x))


class ServerActor:
    """A `ParameterServer` as a dask actor: one call at a time, and answers may wait for an update.

    Parameters
    ----------
    start, options
        As for `ParameterServer`.
    """

    def __init__(self, start: Floats, **options: Any) -> None:
        self._server = ParameterServer(start, **options)
        self._changed = asyncio.Event()

    async def begin(self) -> None:
        """Set the clock, once every process is ready."""
        self._server.begin()

    async def push(self, worker: int, gradient: Floats | None, started: float) -> Floats | None:
        """Treat a gradient; return parameters when the method lets the worker go on."""
        before = self._server.version, self._server.status
        answer = self._server.push(worker, gradient, started)
        if (self._server.version, self._server.status) != before:
            self._wake()
        while isinstance(answer, Wait):
            await self._changed.wait()
            answer = self._server.ask(worker)
        return answer

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def collect(self, rows: int, records: int) -> tuple[list[Row], list[Record], str]:
        """Return the log and the records that the caller lacks, and how the run stands."""
        return self._server.collect(rows, records)

    async def state(self) -> dict[str, Floats]:
        """Return all that a later run needs to continue this one."""
        return self._server.state()

    async def stop(self) -> None:
        """Answer every worker with None from now on."""
        self._server.stop()
        self._wake()


def work(
    server: Any, objective: Any, worker: int, *, seed: int, batch: int, version: int = 0
) -> int:
    """Compute stochastic gradients for `server` until it says stop; return how many."""
    rng = np.random.default_rng([seed, worker, version])
    sampler = Sampler(objective, worker, batch=batch, rng=rng)
    count = 0
    x = server.push(worker, None, 0.0).result()
    while x is not None:
        started = time.perf_counter()
        gradient = sampler.gradient(x)
        x = server.push(worker, gradient, started).result()
        count += 1
    return count


def warm_up(server: Any, objective: Any, *, batch: int) -> None:
    """Compute one gradient and reach the server once, so that no first time falls into the run."""
    sampler = Sampler(objective, 0, batch=batch, rng=np.random.default_rng(0))
    sampler.gradient(np.asarray(objective.start, dtype=float))
    server.collect(0, 0).result()


def prepare(server: str, *, embedded: bool, dask_worker: Any) -> str:
    """Make this dask worker ready and return the name of its machine.

    In an embedded cluster all processes share the caller's terminal and processors. Ctrl-C reaches
    each of them, but only the caller may act on it, or the log would die with the server. And the
    server, which has a machine of its own in a real cluster, goes first: where it has to wait for a
    processor, gradients pile up and are applied in bursts.

    Parameters
    ----------
    server : str
        Address of the dask worker that holds the parameters.
    embedded : bool
        Whether this process was started for the run.
    dask_worker : distributed.Worker
        This dask worker; dask fills it in.
    """
    if embedded:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if dask_worker.address != server and hasattr(os, "nice"):
            os.nice(NICE)
    return platform.node()
