"""How many workers: the number that reaches a target loss soonest, and how sure that is.

For each number of workers the expected loss is solved over time and its settling time read off;
numbers are tried on a coarse grid and then around the best. The answer carries the table it came
from, the limits, and the conditions it rests on. Theory only: nothing here simulates.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sdde import checks
from sdde.cluster.methods import AsyncSGD as PlainMethod
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import Law, as_law, as_laws

from . import conditions
from .arrivals import exact_kind
from .async_sgd import AsyncSGD
from .conditions import Condition
from .cycle import cycle_law
from .plan_text import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_WORKERS = 1000  # tried when nobody says how many there are
NEAR = 1.1  # times the best time that still counts as good
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


@dataclass(frozen=True, eq=False)
class Plan:
    """The answer of `plan`.

    Attributes
    ----------
    workers : int or None
        The number of workers with the shortest time; None if no number reaches the target.
    learning_rate : float
        Given or chosen.
    method : object
        How the cluster trains.
    time_to_target : float
        Time after which the expected excess loss stays at or below the target; ``inf`` if never.
    range : tuple of int, or None
        Fewest and most workers that need at most 10 % longer.
    time_range : tuple of float, or None
        Shortest and longest time for the chosen number over the treatments of arrivals that apply:
        how much the answer depends on the approximation.
    limits : dict
        Numbers where something ends: ``max_workers`` (bounded expected loss), ``lowest_floor``,
        ``learning_rate_for_target``, ``link_saturation``.
    table : tuple of PlanRow
        All numbers that were tried.
    conditions : tuple of Condition
        What the answer rests on.
    objective, system, target_loss
        What was asked.
    arrivals : str
        Treatment of arrivals in the table.
    """

    workers: int | None
    learning_rate: float
    method: Any
    time_to_target: float
    range: tuple[int, int] | None
    time_range: tuple[float, float] | None
    limits: dict[str, float]
    table: tuple[PlanRow, ...]
    conditions: tuple[Condition, ...]
    objective: Quadratic
    system: System
    target_loss: float
    arrivals: str

    def explain(self) -> str:
        """Return the answer, its reasons and its assumptions in words."""
        return explain(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain numbers, text and lists, for JSON; ``None`` for infinity."""
        return {
            "workers": self.workers,
            "learning_rate": self.learning_rate,
            "method": repr(self.method),
            "time_to_target": _plain(self.time_to_target),
            "range": self.range,
            "time_range": self.time_range and [_plain(value) for value in self.time_range],
            "target_loss": self.target_loss,
            "arrivals": self.arrivals,
            "limits": {name: _plain(value) for name, value in self.limits.items()},
            "table": [
                {name: _plain(value) for name, value in row._asdict().items()} for row in self.table
            ],
            "conditions": [
                {
                    "claim": item.claim, "holds": item.holds, "margin": _plain(item.margin),
                    "assumptions": item.assumptions, "reference": item.reference,
                    "status": item.status,
                }
                for item in self.conditions
            ],
        }  # fmt: skip

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the time to the target against the number of workers.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        """
        from sdde.plots import plot_plan

        return plot_plan(self, ax)


def plan(
    objective: Any,
    system: System,
    *,
    target_loss: float,
    learning_rate: float | None = None,
    max_workers: int | None = None,
    methods: Any = None,
) -> Plan:
    r"""Return the number of workers that reaches a target loss soonest.

    For each number of workers *n* the expected excess loss over time is computed, with the damping
    :math:`\eta\lambda n`, the delay law of the system and the gradient noise; the time after which
    it stays at or below the target decides. More workers bring gradients faster, but staler: past a
    point they stop helping, then they make training diverge.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic, or anything with a method ``quadratic()``
        Eigenvalues, gradient noise and start. A softmax objective gives its own quadratic; a pair
        ``(quadratic, ...)`` is accepted, whose first entry counts.
    system : sdde.cluster.System
        Laws of compute time, communication and the server's own time.
    target_loss : float
        Expected excess loss (above the minimum) to reach, and keep.
    learning_rate : float, optional
        η; by default the best one for each number of workers.
    max_workers : int, optional
        Most workers to consider; by default those of the system, or 1000.
    methods : sequence of method values, optional
        Methods to choose from; by default plain asynchronous SGD.

    Returns
    -------
    Plan
        With ``workers = None`` if no number of workers reaches the target; `Plan.explain` says why.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable.

    Notes
    -----
    Arrivals are treated exactly for memoryless workers and for equal constant cycles, as evenly
    spaced for cycles with squared coefficient of variation below 0.5, otherwise as Poisson. With a
    list of unequal workers, *n* workers means the *n* fastest. Derived in this project; the loss is
    taken as quadratic all the way, which `sdde.compare` can judge by simulation.

    Examples
    --------
    >>> import sdde
    >>> objective = sdde.cluster.Quadratic(1.0, noise=0.1)
    >>> answer = sdde.theory.plan(
    ...     objective, sdde.cluster.System(1.0), target_loss=1e-3, learning_rate=0.02
    ... )
    >>> answer.workers, round(answer.time_to_target, 2)
    (19, 5.2)
    """
    quadratic = as_quadratic(objective)
    if not isinstance(system, System):
        raise checks.fail(
            "system", system, "is not a system",
            remedy="For example system = sdde.cluster.System(1.0).",
        )  # fmt: skip
    target = checks.positive("target_loss", target_loss, example=1e-3)
    eta = None
    if learning_rate is not None:
        eta = checks.positive("learning_rate", learning_rate, example=0.1)
    method = _one_method(methods)
    machines = _converted(system)
    listed = isinstance(system.compute_time, list | tuple)
    most = system.workers or MOST_WORKERS
    if max_workers is not None:
        wanted = checks.integer("max_workers", max_workers, lowest=1)
        most = min(wanted, most) if listed else wanted
    search = _Search(quadratic, machines, target, eta, most)
    search.run()
    best = search.best()
    rows = tuple(search.rows[count] for count in sorted(search.rows))
    limits = search.limits()
    if best is None:
        low = rows[0]
        model = search.model(low.workers, low.learning_rate)
        found = conditions.check(model, target_loss=target)
        return Plan(
            None, low.learning_rate, method, math.inf, None, None, limits, rows, found, quadratic,
            system, target, model.arrivals,
        )  # fmt: skip
    model = search.model(best.workers, best.learning_rate)
    near = [row.workers for row in rows if row.time_to_target <= NEAR * best.time_to_target]
    return Plan(
        best.workers, best.learning_rate, method, best.time_to_target, (min(near), max(near)),
        search.time_range(best), limits, rows, conditions.check(model, target_loss=target),
        quadratic, system, target, model.arrivals,
    )  # fmt: skip


def as_quadratic(objective: Any) -> Quadratic:
    """Return the quadratic of an objective."""
    found = objective if isinstance(objective, Quadratic) else None
    if found is None and callable(getattr(objective, "quadratic", None)):
        found = objective.quadratic()
        found = found[0] if isinstance(found, tuple) else found
    if not isinstance(found, Quadratic):
        raise checks.fail(
            "objective", objective, "is not an objective with a quadratic",
            remedy="For example objective = sdde.cluster.Quadratic([1.0, 0.1], noise=0.1).",
        )  # fmt: skip
    return found


def model_of(
    objective: Quadratic, system: System, *, workers: int, learning_rate: float,
    arrivals: str | None = None,
) -> AsyncSGD:  # fmt: skip
    """Return the model of a system with some number of workers, with the best treatment of
    arrivals.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
    system : sdde.cluster.System
        Of a list of unequal workers the fastest are taken.
    workers : int
    learning_rate : float
    arrivals : {"poisson", "regular", "exact"}, optional
        By default the most exact one that applies.
    """
    machines = system if _has_laws(system) else _converted(system)
    compute, communication = _workers_of(machines, workers)
    model = AsyncSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=workers, compute_time=compute,
        communication=communication, gradient_noise=objective.noise, arrivals="poisson",
    )  # fmt: skip
    kind = arrivals or best_treatment(model)
    return model if kind == "poisson" else model.replace(arrivals=kind)


def best_treatment(model: AsyncSGD) -> str:
    """Return the most exact treatment of arrivals that applies."""
    if exact_kind(model.stream) is not None:
        return "exact"
    return "regular" if model.stream.delay.squared_variation < _REGULAR else "poisson"


def _converted(system: System) -> System:
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


def _has_laws(system: System) -> bool:
    """Return whether `_converted` has been there already."""
    return isinstance(system.compute_time, Law) and system.update_time is None


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


def _one_method(methods: Any) -> Any:
    allowed = (PlainMethod(),) if methods is None else tuple(methods)
    if len(allowed) != 1 or not isinstance(allowed[0], PlainMethod):
        raise checks.fail(
            "methods", methods, "holds a method that plan does not cover",
            remedy="For example methods = [sdde.cluster.AsyncSGD()].",
        )  # fmt: skip
    return allowed[0]


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, int | np.integer) else value


class _Search:
    """Numbers of workers tried so far."""

    def __init__(
        self, objective: Quadratic, system: System, target: float, eta: float | None, most: int
    ) -> None:
        self.objective, self.system, self.target = objective, system, target
        self.eta, self.most = eta, most
        self.rows: dict[int, PlanRow] = {}

    def model(self, workers: int, eta: float, arrivals: str | None = None) -> AsyncSGD:
        return model_of(
            self.objective, self.system, workers=workers, learning_rate=eta, arrivals=arrivals
        )

    def run(self) -> None:
        """Try a coarse grid, then fill in around the best until its neighbours are known."""
        self.try_all(np.unique(np.geomspace(1, self.most, 20).round().astype(int)))
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
        for count in counts:
            if int(count) not in self.rows:
                self.rows[int(count)] = self.row(int(count))

    def row(self, workers: int) -> PlanRow:
        eta = self.eta if self.eta is not None else self.best_rate(workers)
        model = self.model(workers, eta)
        floor = model.loss_floor()
        reached = floor < self.target
        return PlanRow(
            workers, eta, float(model.damping.max()), model.update_rate, workers - 1.0,
            model.rate(), floor,
            model.time_to(self.target, self.objective.start) if reached else math.inf,
        )  # fmt: skip

    def best_rate(self, workers: int) -> float:
        """Return the learning rate with the shortest time for this number of workers."""
        model = self.model(workers, 1.0 / float(self.objective.eigenvalues.max()))
        limit = 0.95 * model.max_learning_rate()

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
        rows = [row for row in self.rows.values() if math.isfinite(row.time_to_target)]
        return min(rows, key=lambda row: (row.time_to_target, row.workers)) if rows else None

    def time_range(self, best: PlanRow) -> tuple[float, float]:
        """Return the shortest and longest time over the treatments of arrivals that apply."""
        times = [best.time_to_target]
        for kind in ("poisson", "regular"):
            model = self.model(best.workers, best.learning_rate, kind)
            if kind == "regular" and model.stream.delay.squared_variation >= _REGULAR:
                continue
            times.append(model.time_to(self.target, self.objective.start))
        return min(times), max(times)

    def limits(self) -> dict[str, float]:
        """Return the numbers where something ends."""
        best = self.best() or self.rows[min(self.rows)]
        model = self.model(best.workers, best.learning_rate)
        floors = [row.floor for row in self.rows.values()]
        found = {"lowest_floor": min(floors), "max_learning_rate": model.max_learning_rate()}
        if not isinstance(self.system.compute_time, list) and not isinstance(
            self.system.communication, list
        ):
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
        high = self.model(1, 1.0).max_learning_rate()
        for _ in range(60):  # the floor rises with the learning rate
            middle = 0.5 * (low + high)
            reached = self.model(1, middle).loss_floor() < 0.5 * self.target
            low, high = (middle, high) if reached else (low, middle)
        return low
