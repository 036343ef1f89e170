"""The two halves of a live run that live in other processes: the server of the parameters, and a
worker.

The server applies every gradient the moment it arrives and answers with fresh parameters; a worker
computes on what it was given and sends. Nobody waits for anybody else. This module is imported by
the worker processes, so it needs NumPy only; it does not know which processes they are or how they
reach each other.
"""

import os
import platform
import signal
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Row = tuple[int, float, float, float, int, int, float]
Record = tuple[int, float, Floats]

NICE = 5  # how much worker processes step back behind the server
BLOWN_UP = 1e12  # parameters of this norm will not come back


class ParameterServer:
    """Holds the parameters, applies gradients as they arrive, and logs each.

    Parameters
    ----------
    start : array (dim,)
        First parameters.
    learning_rate : float
        Factor of every gradient.
    updates : int
        Gradients to apply before the run is done.
    records : int
        Updates between two records of the parameters.
    """

    def __init__(self, start: Floats, *, learning_rate: float, updates: int, records: int) -> None:
        self._x = np.array(start, dtype=np.float64)
        self._learning_rate = learning_rate
        self._goal = updates
        self._every = records
        self._epoch = time.perf_counter()
        self._version = 0
        self._reads: dict[int, tuple[float, int]] = {}
        self._log: list[Row] = []
        self._records: list[Record] = [(0, 0.0, self._x.copy())]
        self._status = "running"

    def begin(self) -> None:
        """Set the clock to zero, once every process is ready."""
        self._epoch = time.perf_counter()

    def push(self, worker: int, gradient: Floats | None, started: float) -> Floats | None:
        """Apply a gradient (None: a first call); return new parameters, or None to stop."""
        now = time.perf_counter() - self._epoch
        if self._status == "running" and gradient is not None:
            self._apply(worker, gradient, started - self._epoch, now)
        if self._status != "running":
            return None
        self._reads[worker] = (now, self._version)
        return self._x

    def _apply(self, worker: int, gradient: Floats, started: float, now: float) -> None:
        read_time, read_version = self._reads[worker]
        # A new array, because the old one may still be on its way to a worker.
        self._x = self._x - self._learning_rate * gradient
        self._version += 1
        size = float(np.sqrt(gradient @ gradient))
        read_time, started, applied = (round(moment, 6) for moment in (read_time, started, now))
        norm = float(f"{size:.6g}")
        row = (worker, read_time, started, applied, read_version, self._version, norm)
        self._log.append(row)
        if self._version >= self._goal:
            self._status = "done"
        elif not np.sqrt(self._x @ self._x) < BLOWN_UP:
            self._status = "diverged"
        if self._version % self._every == 0 or self._status != "running":
            self._records.append((self._version, now, self._x))

    def collect(self, rows: int, records: int) -> tuple[list[Row], list[Record], str]:
        """Return the log and the records that the caller lacks, and how the run stands."""
        return self._log[rows:], self._records[records:], self._status

    def stop(self) -> None:
        """Answer every worker with None from now on."""
        if self._status == "running":
            self._status = "stopped"
            if self._records[-1][0] != self._version:
                moment = time.perf_counter() - self._epoch
                self._records.append((self._version, moment, self._x))


def work(server: Any, objective: Any, worker: int, *, seed: int, batch: int) -> int:
    """Compute mini-batch gradients for `server` until it says stop; return how many."""
    rng = np.random.default_rng([seed, worker])
    samples = len(objective.inputs)
    count = 0
    x = server.push(worker, None, 0.0).result()
    while x is not None:
        started = time.perf_counter()
        gradient = objective.gradient(x, rng.integers(samples, size=batch))
        x = server.push(worker, gradient, started).result()
        count += 1
    return count


def warm_up(server: Any, objective: Any, *, batch: int) -> None:
    """Compute one gradient and reach the server once, so that no first time falls into the run."""
    objective.gradient(objective.start, np.arange(batch) % len(objective.inputs))
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
