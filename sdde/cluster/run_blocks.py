"""Blocks of runs: what decides their numbers, and one call that simulates neighbouring runs.

The same work is done by threads here and by processes elsewhere; to these it is sent once. What
comes back are plain arrays.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.encoding import Machines, Plan, Records, Rules, empty_records

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
_STALENESS_ROOM, _LOG_ROOM = 1 << 16, 1 << 12
SHARED = ("progress", "stop")  # fields of records without a row for each run


class Simulated(NamedTuple):
    """What a block of runs leaves beside its records: staleness counts and the log."""

    histogram: Counts
    log: Floats


@dataclass(eq=False)
class RunWork:
    """Simulates blocks of runs.

    Attributes
    ----------
    objective : object
    machines, rules
        The system and the method as numbers.
    learning_rate : float
    updates : int or None
        Most updates of a run.
    time : float or None
        End of a run.
    until_loss : float or None
        Loss at which a run ends.
    grid : array
        Where records are made.
    seed : int
    trace : bool
        Whether computations are logged.
    """

    objective: Any
    machines: Machines
    rules: Rules
    learning_rate: float
    updates: int | None
    time: float | None
    until_loss: float | None
    grid: Floats
    seed: int
    trace: bool
    _ready: tuple[Any, ...] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": None}

    def ready(self) -> tuple[Any, Plan, Any]:
        """Return the objective, the plan and the event loop, compiled."""
        if self._ready is None:
            from sdde.cluster.gradients import compiled
            from sdde.cluster.server import event_loop
            from sdde.engine import streams

            target, key = compiled(self.objective), streams.key_of(self.seed)
            plan = Plan(
                learning_rate=self.learning_rate,
                updates=np.iinfo(np.int64).max if self.updates is None else self.updates,
                time=math.inf if self.time is None else self.time,
                until_loss=-math.inf if self.until_loss is None else self.until_loss,
                loss_interval=target.loss_interval, by_time=self.time is not None,
                diagonal=target.diagonal, log=self.trace, measures=len(target.measures),
                grid=self.grid, k0=key[0], k1=key[1],
            )  # fmt: skip
            loop = event_loop(self.rules, self.machines, plan, len(target.start))
            self._ready = target, plan, loop
        return self._ready

    def room(self, runs: int, blocks: int = 1) -> Records:
        """Return records that nobody has filled."""
        measures = len(self.ready()[0].measures)
        workers = len(self.machines.compute)
        return empty_records(runs, self.grid.size, workers, blocks, measures=measures)

    def fill(self, records: Records, first: int, end: int) -> Simulated:
        """Simulate the runs from `first` to `end` into records that begin with the first."""
        from sdde.cluster.workspace import empty_workspace

        target, plan, loop = self.ready()
        # Room for staleness and log is guessed; a block that needs more is run again, the same.
        staleness, rows = _STALENESS_ROOM, _LOG_ROOM if self.trace else 0
        memory = empty_workspace(self.machines, self.rules, len(target.start))
        while True:
            histogram = np.zeros(staleness, np.int64)
            log = np.empty((rows, 7))
            logged = loop(
                target.gradient, target.loss, target.numbers, np.empty(target.scratch),
                target.start, self.machines, self.rules, plan, records, memory, histogram, log,
                (first, end),
            )  # fmt: skip
            if not histogram[-1] and logged <= rows:
                return Simulated(np.trim_zeros(histogram, "b"), log[:logged])
            staleness *= 16 if histogram[-1] else 1
            rows = max(rows, logged)

    def raise_failure(self) -> None:
        """Raise what the user's functions raised, called back from compiled code."""
        callbacks = self.ready()[0].callbacks
        if callbacks is not None:
            callbacks.raise_failure()

    def __call__(self, first: int, end: int) -> tuple[dict[str, NDArray[Any]], Simulated]:
        """Return the records of the runs from `first` to `end` by name, and the rest."""
        records = self.room(end - first)
        found = self.fill(records, first, end)
        self.raise_failure()
        named = {k: v for k, v in records._asdict().items() if k not in SHARED}
        return named, found


def part_of(records: Records, first: int, end: int, block: int) -> Records:
    """Return the rows of some runs, and the place for the progress of their block."""
    rows = {k: v[first:end] for k, v in records._asdict().items() if k not in SHARED}
    return Records(**rows, progress=records.progress[block : block + 1], stop=records.stop)


def joined(parts: list[Simulated]) -> Simulated:
    """Return what blocks in the order of their runs leave together."""
    total = np.zeros(max(len(part.histogram) for part in parts), np.int64)
    for part in parts:
        total[: len(part.histogram)] += part.histogram
    return Simulated(total, np.concatenate([part.log for part in parts]))
