"""Searching over numbers of workers: the model at each number, and the time that it takes.

Numbers are tried on a coarse grid and then around the best, up to the number that still keeps its
margin from divergence. Nothing here writes words or judges conditions.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from sdde import checks
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import Law, as_law, as_laws

from .arrivals import exact_kind
from .async_sgd import AsyncSGD
from .cycle import cycle_law
from .synchronous import SynchronousSGD, synchronous_group

_REGULAR = 0.5  # squared coefficient of variation below which cycles count as regular


class PlanRow(NamedTuple):
    """What theory predicts for one number of workers.

    Attributes
    ----------
    workers : int
    learning_rate : float
    damping : float
        Of the largest eigenvalue.
    update_rate : float
    staleness : float
        Mean number of updates between read and use.
    rate : float
        Decay rate of the slowest mean, in 1/time; negative where it diverges.
    floor : float
        Expected excess loss that remains; ``inf`` where it grows without bound.
    time_to_target : float
        ``inf`` if never.
    """

    workers: int
    learning_rate: float
    damping: float
    update_rate: float
    staleness: float
    rate: float
    floor: float
    time_to_target: float


def model_of(
    objective: Quadratic, system: System, *, workers: int, learning_rate: float,
    arrivals: Any = None, method: Any = None,
) -> AsyncSGD:  # fmt: skip
    """Return the model of a system with some number of workers, most exact by default.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
    system : sdde.cluster.System
        Of a list of unequal workers the fastest are taken.
    workers : int
    learning_rate : float
    arrivals : {"poisson", "regular", "exact"}, optional
        By default the most exact one that applies.
    method : method value, optional
        How the cluster trains; plain asynchronous SGD by default.

    Returns
    -------
    AsyncSGD

    Notes
    -----
    Has no formula of its own; see `AsyncSGD`.

    Examples
    --------
    >>> from sdde.cluster import Quadratic, System
    >>> model_of(Quadratic(1.0), System(1.0), workers=8, learning_rate=0.02).arrivals
    'exact'
    """
    machines = system if _has_laws(system) else converted(system)
    compute, communication = _workers_of(machines, workers)
    model = AsyncSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=workers, compute_time=compute,
        communication=communication, gradient_noise=objective.noise, arrivals="poisson",
        method=method,
    )  # fmt: skip
    kind = arrivals or best_treatment(model)
    return model if kind == "poisson" else model.replace(arrivals=kind)


def rounds_of(
    objective: Quadratic, system: System, *, workers: int, learning_rate: float, method: Any
) -> SynchronousSGD:
    """Return the model of a system that trains by a synchronous method."""
    machines = system if _has_laws(system) else converted(system)
    compute, communication = machines.compute_time, machines.communication
    if isinstance(compute, list) or isinstance(communication, SharedLink | list):
        raise checks.fail(
            "method", method, "is planned for equal workers with links of their own only",
            why="Order statistics of unequal or queueing workers have no closed form here.",
            remedy="For example method = sdde.cluster.AsyncSGD(), or simulate.",
        )  # fmt: skip
    return SynchronousSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=workers, method=method,
        compute_time=compute, communication=communication, gradient_noise=objective.noise,
    )  # fmt: skip


def best_treatment(model: AsyncSGD) -> str:
    """Return the most exact treatment of arrivals that applies."""
    if exact_kind(model.stream) is not None and model.is_plain:
        return "exact"
    return "regular" if model.stream.delay.squared_variation < _REGULAR else "poisson"


def _has_laws(system: System) -> bool:
    """Return whether `_converted` has been there already."""
    return isinstance(system.compute_time, Law) and system.update_time is None


def converted(system: System) -> System:
    """Return the system with laws in place of numbers, and the server as a shared resource."""

    def laws(value: Any, name: str) -> Any:
        if isinstance(value, SharedLink):
            return SharedLink(as_law(value.law, name), capacity=value.capacity)
        if isinstance(value, list | tuple):
            return [as_law(item, f"{name}[{i}]") for i, item in enumerate(value)]
        return None if value is None else as_law(value, name)

    compute = laws(system.compute_time, "compute_time")
    communication = laws(system.communication, "communication")
    server = laws(system.update_time, "update_time")
    if server is None or server.mean == 0.0:
        return System(compute, communication=communication, workers=system.workers)
    if isinstance(communication, SharedLink):
        raise checks.fail(
            "update_time", system.update_time, "is given together with a shared link",
            why="Two queues in a row have no solution here.",
            remedy="Leave out the smaller of the two, or simulate.",
        )  # fmt: skip
    if isinstance(compute, list) or isinstance(communication, list):
        raise checks.fail(
            "update_time", system.update_time, "is given for unequal workers",
            why="The queue at the server is solved for equal workers only.",
            remedy="Leave update_time out, or simulate.",
        )  # fmt: skip
    think = cycle_law(compute, communication)
    return System(think, communication=SharedLink(server), workers=system.workers)


def _workers_of(system: System, workers: int) -> tuple[Any, Any]:
    """Return the laws of the fastest workers of a list, or the one law of all."""
    compute, communication = system.compute_time, system.communication
    if not isinstance(compute, list) and not isinstance(communication, list):
        return compute, communication
    count = system.workers or len(communication)
    computes = as_laws(compute, count, "compute_time")
    computes = computes if len(computes) > 1 else computes * count
    links = () if communication is None else as_laws(communication, count, "communication")
    links = links if len(links) != 1 else links * count
    means = [law.mean + (links[i].mean if links else 0.0) for i, law in enumerate(computes)]
    fastest = sorted(np.argsort(means, kind="stable")[:workers])
    chosen = [computes[i] for i in fastest]
    return chosen, [links[i] for i in fastest] if links else None


class Search:
    """Numbers of workers tried so far."""

    def __init__(
        self, objective: Quadratic, system: System, target: float, eta: float | None, most: int,
        margin: float, method: Any = None,
    ) -> None:  # fmt: skip
        self.objective, self.system, self.target = objective, system, target
        self.eta, self.margin, self.method = eta, margin, method
        waiting = synchronous_group(method)
        self.least = waiting.size or 1 if waiting is not None and waiting.idle else 1
        self.most = max(most, self.least)
        self.rows: dict[int, PlanRow] = {}
        self.safe = self.most_safe()

    def model(self, workers: int, eta: float, arrivals: Any = None) -> AsyncSGD | SynchronousSGD:
        """Return the model at a number of workers and a learning rate."""
        if synchronous_group(self.method) is not None:
            return rounds_of(
                self.objective, self.system, workers=workers, learning_rate=eta, method=self.method
            )
        return model_of(
            self.objective, self.system, workers=workers, learning_rate=eta, arrivals=arrivals,
            method=self.method,
        )  # fmt: skip

    def most_safe(self) -> int:
        """Return the most workers for which the learning rate keeps its margin; 0 if none."""
        if self.eta is None:
            return self.most
        low, high = (
            self.least - 1,
            self.most + 1,
        )  # the largest learning rate falls with the workers
        while high - low > 1:
            middle = (low + high) // 2
            limit = self.model(middle, self.eta).max_learning_rate()
            keeps = self.eta <= (1.0 - self.margin) * limit
            low, high = (middle, high) if keeps else (low, middle)
        return low if low >= self.least else 0

    def run(self) -> None:
        """Try a coarse grid, then fill in around the best until its neighbours are known."""
        counts = np.geomspace(self.least, self.most, 20).round().astype(int)
        self.try_all(np.unique([*counts, max(self.least, self.safe)]))
        while True:
            best = self.best()
            if best is None:
                return
            known = sorted(self.rows)
            at = known.index(best.workers)
            low = known[max(at - 1, 0)]
            high = known[min(at + 1, len(known) - 1)]
            new = [
                int(n) for n in np.unique(np.linspace(low, high, 9).round()) if n not in self.rows
            ]
            if not new:
                return
            self.try_all(new)

    def try_all(self, counts: Any) -> None:
        """Fill in the rows of some numbers of workers."""
        for count in counts:
            if int(count) not in self.rows:
                self.rows[int(count)] = self.row(int(count))

    def row(self, workers: int) -> PlanRow:
        """Return what theory says of one number of workers."""
        eta = self.eta if self.eta is not None else self.best_rate(workers)
        model = self.model(workers, eta)
        floor = model.loss_floor()
        reached = floor < self.target
        return PlanRow(
            workers, eta, float(model.damping.max()), model.update_rate,
            workers - 1.0 if isinstance(model, AsyncSGD) else 0.0,
            model.rate(), floor,
            model.time_to(self.target, self.objective.start) if reached else math.inf,
        )  # fmt: skip

    def best_rate(self, workers: int) -> float:
        """Return the learning rate with the shortest time for this number of workers."""
        model = self.model(workers, 1.0 / float(self.objective.eigenvalues.max()))
        limit = (1.0 - self.margin) * model.max_learning_rate()

        def time(eta: float) -> float:
            trial = model.replace(learning_rate=eta)
            if not trial.loss_floor() < self.target:
                return math.inf
            return trial.time_to(self.target, self.objective.start)

        grid = np.geomspace(1e-4 * limit, limit, 17)
        times = np.array([time(eta) for eta in grid])
        if not np.isfinite(times).any():
            return float(grid[0])
        for _ in range(3):
            best = int(np.argmin(times))
            low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
            grid = np.geomspace(low, high, 7)
            times = np.array([time(eta) for eta in grid])
        return float(grid[int(np.argmin(times))])

    def best(self) -> PlanRow | None:
        """Return the row with the shortest time; of equal ones the fewest workers."""
        rows = [
            row for row in self.rows.values()
            if math.isfinite(row.time_to_target) and row.workers <= self.safe
        ]  # fmt: skip
        return min(rows, key=lambda row: (row.time_to_target, row.workers)) if rows else None

    def time_range(self, best: PlanRow) -> tuple[float, float]:
        """Return the shortest and longest time over the treatments of arrivals that apply."""
        times = [best.time_to_target]
        for kind in ("poisson", "regular"):
            model = self.model(best.workers, best.learning_rate, kind)
            if isinstance(model, SynchronousSGD):
                break
            if kind == "regular" and model.stream.delay.squared_variation >= _REGULAR:
                continue
            times.append(model.time_to(self.target, self.objective.start))
        return min(times), max(times)

    def limits(self) -> dict[str, float]:
        """Return the numbers where something ends."""
        best = self.best() or self.rows[min(self.rows)]
        model = self.model(best.workers, best.learning_rate)
        floors = [row.floor for row in self.rows.values()]
        found = {
            "safe_workers": self.safe,
            "lowest_floor": min(floors),
            "max_learning_rate": model.max_learning_rate(),
        }
        listed = isinstance(self.system.compute_time, list) or isinstance(
            self.system.communication, list
        )
        if isinstance(model, AsyncSGD) and not listed:
            found["max_workers"] = model.max_workers()
        if self.objective.noise.any() and not min(floors) < self.target:
            found["learning_rate_for_target"] = self.rate_for_target()
        link = self.system.communication
        if isinstance(link, SharedLink):
            think = as_law(self.system.compute_time, "compute_time")
            transfer = as_law(link.law, "communication")
            found["link_saturation"] = link.capacity * (1.0 + think.mean / transfer.mean)
        return found

    def rate_for_target(self) -> float:
        """Return the learning rate at which one worker's noise floor is half the target."""
        low = 0.0
        high = self.model(self.least, 1.0).max_learning_rate()
        for _ in range(60):  # the floor rises with the learning rate
            middle = 0.5 * (low + high)
            reached = self.model(self.least, middle).loss_floor() < 0.5 * self.target
            low, high = (middle, high) if reached else (low, middle)
        return low
