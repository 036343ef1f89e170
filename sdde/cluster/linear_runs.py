"""Runs of plain asynchronous SGD on a quadratic, for products of learning rate and eigenvalue.

Makes the tables and the memory for the compiled routines of `linear_loop`, in which no gradient
noise is drawn. Serves machines that are steady: laws that do not change, at most one queue. Knows
nothing of losses or targets.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.cluster import rules
from sdde.cluster.changing import Drifting, Replay
from sdde.cluster.encoding import Machines
from sdde.cluster.machine_tables import machines_of
from sdde.cluster.system import SharedLink, System
from sdde.cluster.timing import AHEAD
from sdde.engine.seeds import key_of
from sdde.equation.laws import as_law
from sdde.solving.execute import available_threads
from sdde.solving.executors import crew_of, crew_or_threads, run_tasks

Floats = NDArray[np.float64]

GROUPS = 16  # of runs, for standard errors
WARM = 15.0, 25.0  # mean cycles until a queue has settled


def serves(method: Any, system: System) -> bool:
    """Return whether such runs are linear recursions along arrivals of steady machines."""
    if method.composed != rules.Composed():
        return False
    shared, compute = isinstance(system.communication, SharedLink), system.compute_time
    sources = compute if isinstance(compute, list | tuple) else (compute,)
    return not (
        any(isinstance(item, Drifting | Replay) for item in sources)
        or system.outages is not None or system.buffer is not None
        or (shared and system.update_time is not None)
    )  # fmt: skip


class Squares(NamedTuple):
    """Mean squares of a parameter, for groups of runs.

    Attributes
    ----------
    values : array (groups, times, alphas)
        Squares from a start at one; of kicks the integrals of the squares until then.
    gradients : int
        Gradients that the runs computed.
    """

    values: Floats
    gradients: int


@dataclass(frozen=True, eq=False)
class LinearRuns:
    """A number of workers whose arrivals drive linear recursions.

    Attributes
    ----------
    system : System
        One that `serves`.
    workers : int
    seed : int
    """

    system: System
    workers: int
    seed: int

    @cached_property
    def machines(self) -> Machines:
        """The laws as tables: workers in their long-run state, and the queue they pass."""
        shared, update = self.system.communication, self.system.update_time
        link = shared if isinstance(shared, SharedLink) else None
        if link is None and update is not None:
            link = SharedLink(update)  # the server serves one at a time, first come, first served
        alone = replace(
            self.system, update_time=None,
            communication=None if isinstance(shared, SharedLink) else shared,
        )  # fmt: skip
        found = machines_of(alone, self.workers, stationary=True)
        if link is None:
            return found
        table = as_law(link.law, "law").table()
        return found._replace(
            tables=np.concatenate([found.tables, table]), link=len(found.tables),
            capacity=link.capacity,
        )  # fmt: skip

    @cached_property
    def cycles(self) -> Floats:
        """Mean times of a job of each worker, without what all share."""
        means = np.array([law.mean for law in self.system.compute_laws(self.workers)])
        own = self.system.communication_laws(self.workers)
        if own is not None:
            means = means + np.array([law.mean for law in own])
        return np.broadcast_to(means, self.workers)

    @cached_property
    def cycle(self) -> float:
        """About the mean time between two gradients of a worker; exact where nothing queues."""
        free = self.workers / float(np.sum(1.0 / self.cycles))
        if self.machines.link < 0:
            return free
        shared = self.system.communication
        law, capacity = self.system.update_time, 1
        if isinstance(shared, SharedLink):
            law, capacity = shared.law, shared.capacity
        mean = as_law(law, "law").mean
        return max(free + mean, self.workers * mean / capacity)

    @property
    def queues(self) -> bool:
        """Whether workers wait for each other somewhere."""
        return self.machines.link >= 0

    def squares(
        self, alpha: Floats, times: Floats, runs: int, *, kicked: bool, executor: Any = None
    ) -> Squares:
        """Simulate runs, a multiple of `GROUPS`; their sums do not depend on where they ran."""
        work = _Work(self, np.asarray(alpha, float), np.asarray(times, float), kicked)
        edges = np.linspace(0, runs, GROUPS + 1).astype(int).tolist()
        values, gradients = np.zeros((GROUPS, len(work.times), len(work.alpha))), 0

        def take(task: tuple[Any, ...], result: Any) -> None:
            nonlocal gradients
            values[edges.index(task[0])] = result[0] / (task[1] - task[0])
            gradients += result[1]

        threads = min(available_threads(), GROUPS)
        with crew_or_threads(crew_of(executor), threads) as crew:
            if crew.is_here:
                work.ready()  # compiled once, before the threads want it
            if not run_tasks(crew, work, list(pairwise(edges)), take):
                raise KeyboardInterrupt
        return Squares(values, gradients)

    @property
    def is_random(self) -> bool:
        """Whether more is random than where in their cycles workers begin."""
        laws = list(self.system.compute_laws(self.workers))
        laws += self.system.communication_laws(self.workers) or ()
        return self.queues or any(law.kind != "constant" for law in laws)

    def growth(
        self, alpha: float, *, particles: int, burn: int, periods: int
    ) -> tuple[Floats, int]:
        """Return the logarithm of the growth of the mean square in each mean cycle, by cloning, and
        the gradients that it took.

        Where only the phases of the workers are random nothing grows for ever but with the exponent
        that almost all phases share, and cloning would choose those that grow for a while; there it
        is the mean of the logarithms.
        """
        from sdde.cluster.linear_loop import clone_growth, loop

        logs, memory = np.zeros(periods), _Memory(self.machines, particles)
        gradients = loop(clone_growth)(
            self.machines, float(alpha), self.cycle, self.warm, burn, *key_of(self.seed),
            memory.key, memory.owner, memory.sending, memory.free, memory.times, memory.spare,
            memory.jobs, np.zeros(particles), np.zeros((particles, self.workers)),
            np.zeros(particles), np.zeros(particles), np.zeros(particles, np.int64),
            np.zeros(particles, np.int64), self.is_random, logs,
        )  # fmt: skip
        return logs, int(gradients)

    @property
    def warm(self) -> Floats:
        """Shortest and longest time for which a queue settles."""
        return np.array(WARM) * self.cycle


class _Memory:
    """What the event loop remembers of each of some clusters."""

    def __init__(self, machines: Machines, clusters: int) -> None:
        workers = len(machines.compute)
        leaves = 1 << (workers - 1).bit_length()
        self.key = np.zeros((clusters, 2 * leaves))
        self.owner = np.zeros((clusters, 2 * leaves), np.int64)
        self.sending = np.zeros((clusters, workers), np.int64)
        self.jobs = np.zeros((clusters, workers), np.int64)
        self.free = np.zeros((clusters, machines.capacity))
        self.times = np.zeros((clusters, AHEAD * workers))
        self.spare = np.zeros(AHEAD)


@dataclass(eq=False)
class _Work:
    """Simulates neighbouring runs, here or in another process."""

    runs: LinearRuns
    alpha: Floats
    times: Floats
    kicked: bool

    def ready(self) -> Any:
        """Return the routine, compiled."""
        from sdde.cluster.linear_loop import loop, mean_squares

        return loop(mean_squares)

    def __call__(self, first: int, end: int) -> tuple[Floats, int]:
        """Return the sums over the runs from `first` to `end`, and their gradients."""
        machines, size = self.runs.machines, len(self.alpha)
        memory = _Memory(machines, 1)
        rates = 1.0 / self.runs.cycles
        out = np.zeros((len(self.times), size))
        gradients = self.ready()(
            machines, self.alpha, self.times, np.cumsum(rates) / rates.sum(), self.kicked,
            self.runs.warm, *key_of(self.runs.seed), first, end, memory.key[0], memory.owner[0],
            memory.sending[0], memory.free[0], memory.times[0], memory.spare, memory.jobs[0],
            np.zeros(size), np.zeros(size), np.zeros((self.runs.workers, size)), out,
        )  # fmt: skip
        return out, int(gradients)
