"""How long a cluster takes to a target loss, by simulating it: one number, with its standard error.

The expected loss of a quadratic is that of the way down from the start plus that of the gradient
noise. Where workers wait for nobody, the two are simulated apart and no noise is drawn at all
(`simulated_losses`). Under other linear methods both are simulated side by side on the same
machines, the noise in many copies: the mean over runs is the same, and its error much smaller.
Which choices are worth it is decided elsewhere.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import cluster
from sdde.cluster.linear_runs import GROUPS, LinearRuns, serves
from sdde.cluster.run_statistics import crossing
from sdde.engine.seeds import seed_of
from sdde.equation.laws import as_law, as_laws
from sdde.errors import ArgumentError

from .condensing import condense
from .simulated_losses import expected_losses

Floats = NDArray[np.float64]

MODES = 16  # of the spectrum that the event loops simulate
ALPHAS = 64  # of the spectrum that linear recursions simulate: each costs little
_COPIES = 32  # coordinates with noise, at least
_RECORDS = 241
_FIRST = 2 * GROUPS  # runs at the lowest level; every further one doubles their number
_REACH = 1.5  # how far beyond the time looked for runs go on, to see whether the loss stays down
# Processor time of one gradient, in nanoseconds, as measured: of the event, and of a coordinate
# without and with noise. Plain numbers, so that a budget buys the same runs on every machine. First
# of linear recursions along arrivals, then of the event loops of the simulator.
_ARRIVAL, _PASSING, _SQUARE = 40.0, 50.0, 1.0
_EVENT, _QUEUE, _STILL, _NOISY = 150.0, 500.0, 2.0, 15.0


class SimulatedTime(NamedTuple):
    """Simulated time to the target at one choice of method, workers and learning rate.

    Attributes
    ----------
    method : object
    workers : int
    learning_rate : float
    time_to_target : float
        Time after which the mean loss over the runs stays at or below the target; ``inf`` if it
        did not settle within the simulated time.
    standard_error : float
    runs : int
        Runs behind these numbers.
    """

    method: Any
    workers: int
    learning_rate: float
    time_to_target: float
    standard_error: float
    runs: int


@dataclass(frozen=True, eq=False)
class Trial:
    """A cluster and an objective whose times to a target are simulated.

    Attributes
    ----------
    objective : sdde.cluster.Quadratic
    system : sdde.cluster.System
    method : method value
    target : float
    seed : int
        Equal seeds give all choices the same random numbers.
    executor : object, optional
        Where runs are simulated, as in `sdde.cluster.simulate`.
    """

    objective: cluster.Quadratic
    system: cluster.System
    method: Any
    target: float
    seed: int
    executor: Any = None

    @cached_property
    def is_recursion(self) -> bool:
        """Whether runs are linear recursions along arrivals that depend on nothing else."""
        return serves(self.method, self.machines)

    @cached_property
    def simulated(self) -> tuple[cluster.Quadratic, int]:
        """The quadratic that is simulated, and how many times the loss its loss is."""
        if not is_linear(self.method):
            return self.objective, 1
        return side_by_side(condense(self.objective, MODES))

    @cached_property
    def machines(self) -> cluster.System:
        """The system, its laws with tables that are made once."""
        return with_laws(self.system)

    @cached_property
    def start(self) -> str:
        """``"stationary"`` where the simulator can begin there, as the theory does."""
        if self.is_recursion:
            return "stationary"
        return _start_of(self.machines, self.method)

    @cached_property
    def price(self) -> float:
        """Nominal processor time of one gradient, in seconds."""
        if self.is_recursion:
            queue = self.machines.update_time is not None
            queue |= isinstance(self.machines.communication, cluster.SharedLink)
            size = min(ALPHAS, self.objective.dim)
            return 1e-9 * (_ARRIVAL + _PASSING * queue + _SQUARE * size)
        doubled, _ = self.simulated
        noisy = int(np.count_nonzero(doubled.noise))
        queue = self.start == "together"
        event = _QUEUE if queue else _EVENT
        return 1e-9 * (event + _STILL * (doubled.dim - noisy) + _NOISY * noisy)

    def time_at(
        self, workers: int, learning_rate: float, *, level: int, horizon: float, part: int = 0
    ) -> tuple[SimulatedTime, float]:
        """Return the time to the target from ``32 * 2**level`` runs, and the gradients it took.

        Runs end at `horizon`; other numbers for `part` give independent runs.
        """
        times = np.linspace(0.0, horizon, _RECORDS)
        number = _FIRST << level
        simulated = self._recursions if self.is_recursion else self._runs
        losses, taken = simulated(workers, learning_rate, times, number, part)
        time, error = settling(times, losses, self.target)
        return SimulatedTime(self.method, workers, learning_rate, time, error, number), float(taken)

    def _recursions(
        self, workers: int, learning_rate: float, times: Floats, number: int, part: int
    ) -> tuple[Floats, int]:
        """Return mean losses of groups of runs."""
        seed = seed_of(np.random.SeedSequence(self.seed, spawn_key=(part,)))
        runs = LinearRuns(fastest(self.machines, workers), workers, seed)
        return expected_losses(
            self._condensed, runs, learning_rate, times, number, executor=self.executor
        )

    @cached_property
    def _condensed(self) -> cluster.Quadratic:
        return condense(self.objective, ALPHAS)

    def _runs(
        self, workers: int, learning_rate: float, times: Floats, number: int, part: int
    ) -> tuple[Floats, int]:
        """Return mean losses of groups of runs of the event loop."""
        doubled, copies = self.simulated
        runs = cluster.simulate(
            doubled, self.method, fastest(self.machines, workers), learning_rate=learning_rate,
            workers=workers, time=float(times[-1]), runs=number, records=_RECORDS, start=self.start,
            rng=np.random.SeedSequence(self.seed, spawn_key=(part,)), executor=self.executor,
        )  # fmt: skip
        groups = runs.loss.reshape(GROUPS, -1, _RECORDS).mean(axis=1) / copies
        return groups, int(runs.worker_counts.sum() + runs.discarded.sum())


def reach(time: float) -> float:
    """Return how long to simulate in order to measure a time."""
    return _REACH * time


def settling(times: Floats, losses: Floats, target: float) -> tuple[float, float]:
    """Return when the mean of losses (groups, times) settles below a target, with standard error.

    The error is that of the jackknife: the spread of the times without one group each.
    """
    groups = len(losses)
    with np.errstate(all="ignore"):  # of what diverges
        mean = losses.mean(axis=0)
        without = (losses.sum(axis=0) - losses) / (groups - 1)
    time = _settled(times, mean, target)
    if not math.isfinite(time):
        return time, math.nan
    found = np.array([_settled(times, curve, target) for curve in without])
    if not np.isfinite(found).all():
        return time, math.inf
    return time, math.sqrt((groups - 1) / groups * float(np.sum((found - found.mean()) ** 2)))


def _settled(times: Floats, curve: Floats, target: float) -> float:
    """Return when a curve settles below a target; ``inf`` if it does not."""
    finite = np.where(np.isnan(curve), np.inf, curve)
    time = crossing(times, finite, target, settle=True)
    return math.inf if math.isnan(time) else max(time, 0.0)


def side_by_side(objective: cluster.Quadratic) -> tuple[cluster.Quadratic, int]:
    """Return a quadratic whose expected loss is a multiple of the given one's, with less variance.

    Where updates are linear in parameters and noise, and neither changes when gradients arrive, the
    expected loss is a sum of one part from the start and one from the noise. Each gets coordinates
    of its own, those of the noise repeated; the multiple is returned with it. Derived in this
    project.
    """
    still = np.zeros(objective.dim)
    heard = objective.noise > 0.0
    if not heard.any():
        return objective, 1
    copies = math.ceil(_COPIES / int(heard.sum()))
    first = math.sqrt(copies) * objective.start
    repeated = np.tile(objective.eigenvalues[heard], copies)
    return cluster.Quadratic(
        np.concatenate([objective.eigenvalues, repeated]),
        noise=np.concatenate([still, np.tile(objective.noise[heard], copies)]),
        start=np.concatenate([first, np.zeros(repeated.size)]),
    ), copies  # fmt: skip


def is_linear(method: Any) -> bool:
    """Return whether updates of a method are linear in parameters and noise, coordinate by
    coordinate, and their times do not depend on either.
    """
    rules = method.composed
    return (
        rules.compensation is None and rules.clip is None and rules.projection is None
        and rules.memory is None
        and not isinstance(rules.admission, cluster.Large | cluster.Near)
        and not isinstance(rules.rate, cluster.InverseDistance)
    )  # fmt: skip


def with_laws(system: cluster.System) -> cluster.System:
    """Return a system whose laws are ready to draw from; what changes in time stays as it is."""

    def ready(value: Any, name: str) -> Any:
        if isinstance(value, list | tuple):
            return [ready(item, name) for item in value]
        if isinstance(value, cluster.SharedLink):
            return replace(value, law=as_law(value.law, name))
        if value is None or isinstance(value, cluster.Drifting | cluster.Replay):
            return value
        return as_law(value, name)

    names = ("compute_time", "communication", "update_time")
    return replace(system, **{name: ready(getattr(system, name), name) for name in names})


def fastest(system: cluster.System, workers: int) -> cluster.System:
    """Return the system of the fastest workers of a list, or the system itself."""
    compute, links = system.compute_time, system.communication
    if not isinstance(compute, list | tuple) and not isinstance(links, list | tuple):
        return system
    count = system.workers or len(links)
    means = [law.mean for law in system.compute_laws(count)]
    means = means if len(means) > 1 else means * count
    if isinstance(links, list | tuple):
        also = as_laws(links, count, "communication")
        means = [mean + law.mean for mean, law in zip(means, also, strict=True)]
    chosen = sorted(np.argsort(means, kind="stable")[:workers])
    return replace(
        system, workers=workers,
        compute_time=[compute[i] for i in chosen] if isinstance(compute, list | tuple) else compute,
        communication=[links[i] for i in chosen] if isinstance(links, list | tuple) else links,
    )  # fmt: skip


def _start_of(system: cluster.System, method: Any) -> str:
    try:
        cluster.simulate(
            cluster.Quadratic(1.0), method, system, learning_rate=1e-3,
            workers=system.workers or 8, updates=1, start="stationary", rng=0,
        )  # fmt: skip
    except ArgumentError:
        return "together"
    return "stationary"
