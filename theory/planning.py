"""How many workers: the number that reaches a target loss soonest, and how sure that is.

For each number of workers the expected loss is solved over time and its settling time read off;
numbers are tried on a coarse grid and then around the best. The answer carries the table it came
from, the limits, and the conditions it rests on. Theory only: nothing here simulates.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.cluster.methods import AsyncSGD as PlainMethod
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from . import conditions
from .async_sgd import AsyncSGD
from .conditions import Condition
from .plan_search import PlanRow, Search, converted
from .plan_text import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .plan_checking import Checked

MOST_WORKERS = 1000  # tried when nobody says how many there are
NEAR = 1.1  # times the best time that still counts as good


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
        Numbers where something ends: ``max_workers`` (bounded expected loss),
        ``safe_workers`` (of those considered, with the margin), ``lowest_floor``,
        ``learning_rate_for_target``, ``link_saturation``.
    table : tuple of PlanRow
        All numbers that were tried.
    conditions : tuple of Condition
        What the answer rests on.
    objective, system, target_loss
        What was asked.
    arrivals : str
        Treatment of arrivals in the table; ``"rounds"`` for a synchronous method.
    alternatives : tuple
        For each other method asked for: the method, its number of workers (or None) and its time.
    checked : Checked or None
        With ``check="simulation"``: what simulation made of the choice of theory, its time, standard
        error and all choices that were simulated. Workers, learning rate, method and time of the
        plan are then the simulated ones.
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
    alternatives: tuple[tuple[Any, int | None, float], ...] = ()
    checked: "Checked | None" = None

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
            "alternatives": [
                {"method": repr(method), "workers": workers, "time_to_target": _plain(time)}
                for method, workers, time in self.alternatives
            ],
            "checked": self.checked and self.checked.to_dict(),
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
    margin: float = 0.1,
    check: str | None = None,
    rng: Any = None,
    budget: float = 4.0,
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
        Methods to choose from; by default plain asynchronous SGD. Also synchronous ones
        (``Synchronous``, ``KSync``, ``KBatchSync``, ``Rennala``) and those that drop, thin or group
        gradients (``KBatchAsync``, ``AgeThreshold``, ``StalenessThreshold``, ``Ringmaster``,
        ``RandomThinning``), each with its parameters fixed. With one learning rate for all they
        differ in noise floor too; leave it free for a fair comparison.
    margin : float, optional
        How far to stay from divergence: the learning rate is at most ``1 - margin`` times the
        largest one with bounded expected loss. 0 allows the edge itself, where losses have heavy
        tails and small errors of the description decide.
    check : {None, "simulation"}
        ``"simulation"`` refines the answer with the event simulator: the neighbourhood of the best
        choice of theory, and of other methods within 20 % of it, is searched again with simulated
        times. The plan keeps both answers (`Plan.checked`).
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Seed of the simulations.
    budget : float
        About how many seconds of one processor the simulations take, counted at fixed prices, so
        that the answer depends on `rng` and `budget` alone.

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
    (25, 2.47)
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
    away = checks.nonnegative("margin", margin, example=0.1)
    if away >= 1.0:
        raise checks.fail("margin", margin, "leaves no learning rate", remedy="margin = 0.1.")
    if check is not None:
        checks.choice("check", check, ("simulation",))
    seconds = checks.positive("budget", budget, example=4.0)
    candidates = _methods(methods)
    machines = converted(system)
    listed = isinstance(system.compute_time, list | tuple)
    most = system.workers or MOST_WORKERS
    if max_workers is not None:
        wanted = checks.integer("max_workers", max_workers, lowest=1)
        most = min(wanted, most) if listed else wanted
    searches = [Search(quadratic, machines, target, eta, most, away, one) for one in candidates]
    for one in searches:
        one.run()
    found = [one.best() for one in searches]
    times = [math.inf if row is None else row.time_to_target for row in found]
    choice = int(np.argmin(times))
    search, best = searches[choice], found[choice]
    others = tuple(
        (method, None if row is None else row.workers, time)
        for i, (method, row, time) in enumerate(zip(candidates, found, times, strict=True))
        if i != choice
    )
    rows = tuple(search.rows[count] for count in sorted(search.rows))
    limits = search.limits()
    shown = rows[0] if best is None else best
    model = search.model(shown.workers, shown.learning_rate)
    near = [] if best is None else [
        row.workers for row in rows
        if row.time_to_target <= NEAR * best.time_to_target and row.workers <= search.safe
    ]  # fmt: skip
    answer = Plan(
        None if best is None else best.workers, shown.learning_rate, candidates[choice],
        times[choice], (min(near), max(near)) if near else None,
        None if best is None else search.time_range(best), limits, rows,
        conditions.check(model, target_loss=target), quadratic, system, target,
        model.arrivals if isinstance(model, AsyncSGD) else "rounds", others,
    )  # fmt: skip
    if check is None or best is None:
        return answer
    from .plan_checking import refined

    return refined(answer, searches, rng=rng, budget=seconds)


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


def _methods(methods: Any) -> tuple[Any, ...]:
    if methods is None:
        return (PlainMethod(),)
    several = isinstance(methods, Iterable) and not isinstance(methods, str)
    found = tuple(methods) if several else ()
    if not found or not all(hasattr(method, "composed") for method in found):
        raise checks.fail(
            "methods", methods, "is not a sequence of methods",
            remedy="For example methods = [sdde.cluster.AsyncSGD(), sdde.cluster.KSync(4)].",
        )  # fmt: skip
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, int | np.integer) else value
