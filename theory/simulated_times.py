"""How long a cluster takes to a target loss, by simulating it: one number, with its standard error.

The expected loss of a quadratic is that of the way down from the start plus that of the gradient
noise, so both are simulated side by side on the same machines, the noise in many copies: the mean
over runs is the same, and its error much smaller. The second file that runs the simulator; which
choices are worth it is decided elsewhere.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import cluster
from sdde.cluster.run_statistics import crossing
from sdde.equation.laws import as_law, as_laws
from sdde.errors import ArgumentError

from .condensing import condense

Floats = NDArray[np.float64]

MODES = 16  # of the spectrum that is simulated
_COPIES = 32  # coordinates with noise, at least
_RECORDS = 161
_FIRST = 32  # runs of the first batch; every further one doubles their number
_REACH = 1.5  # how far beyond the time looked for runs go on, to see whether the loss stays down
# Processor time of one gradient, in nanoseconds, as measured: of the event, and of a coordinate
# without and with noise. A plain number, so that a budget buys the same runs on every machine.
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
        return _start_of(self.machines, self.method)

    @cached_property
    def price(self) -> float:
        """Nominal processor time of one gradient, in seconds."""
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
        doubled, copies = self.simulated
        machines = fastest(self.machines, workers)
        losses, taken = [], 0
        for batch in range(level + 1):
            runs = cluster.simulate(
                doubled, self.method, machines, learning_rate=learning_rate, workers=workers,
                time=horizon, runs=_FIRST << max(batch - 1, 0), records=_RECORDS, start=self.start,
                rng=np.random.SeedSequence(self.seed, spawn_key=(part, batch)),
                executor=self.executor,
            )  # fmt: skip
            losses.append(runs.loss / copies)
            taken += int(runs.worker_counts.sum() + runs.discarded.sum())
        all_losses = np.concatenate(losses)
        time, error = settling(np.linspace(0.0, horizon, _RECORDS), all_losses, self.target)
        found = SimulatedTime(self.method, workers, learning_rate, time, error, len(all_losses))
        return found, float(taken)


def reach(time: float) -> float:
    """Return how long to simulate in order to measure a time."""
    return _REACH * time


def settling(times: Floats, losses: Floats, target: float) -> tuple[float, float]:
    """Return when the mean of losses (runs, times) settles below a target, and its standard error.

    The error is that of the mean loss at that time over the slope of the mean there.
    """
    mean = losses.mean(axis=0)
    time = crossing(times, mean, target, settle=True)
    if not time > 0.0:
        return (math.inf, math.nan) if math.isnan(time) else (0.0, 0.0)
    at = int(np.searchsorted(times, time))
    share = (time - times[at - 1]) / (times[at] - times[at - 1])
    there = (1.0 - share) * losses[:, at - 1] + share * losses[:, at]
    error = float(there.std(ddof=1)) / math.sqrt(len(losses))
    around = np.array([max(time - 0.05 * time, 0.0), min(1.05 * time, times[-1])])
    early, late = np.interp(around, times, mean)
    slope = (early - late) / (around[1] - around[0])
    return time, error / slope if slope > 0.0 else math.inf


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
