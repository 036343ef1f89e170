"""How many workers, which method, which learning rate: what reaches a target loss soonest.

For each choice the expected loss is solved over time and its settling time read off; methods,
workers and learning rates are searched. The answer carries the table it came from, what limits it,
how it depends on its inputs, and where it leaves what is known. Theory only: nothing here
simulates.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from . import conditions
from .async_sgd import AsyncSGD
from .conditions import Condition
from .method_choice import Found, search_all
from .method_search import NEAR
from .plan_cost import ParetoRow, pareto_front
from .plan_inputs import as_quadratic, as_system, limits_from
from .plan_limits import limits_of
from .plan_methods import candidates
from .plan_question import Point, Question
from .plan_search import PlanRow, converted, regular_below
from .plan_sensitivity import Sensitivity, sensitivities
from .plan_text import explain
from .plan_verdict import verdict_of
from .plan_warnings import warnings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .plan_checking import Checked


@dataclass(frozen=True, eq=False)
class Plan:
    """The answer of `plan`.

    Attributes
    ----------
    workers : int or None
        The number of workers with the shortest time; None if no choice reaches the target.
    learning_rate : float
        Given or chosen.
    method : object
        How the cluster trains.
    time_to_target : float
        Time after which the expected excess loss stays at or below the target; ``inf`` if never.
    cost : float
        Workers times that time times the cost of a worker per unit of time.
    range : tuple of int, or None
        Fewest and most workers that need at most 5 % longer, with the same method; a few more may,
        up to 2 %, or up to 10 % where the learning rate was chosen.
    learning_rate_range : tuple of float, or None
        Smallest and largest learning rate with which the chosen workers need at most 5 % longer;
        None where the learning rate was given.
    time_range : tuple of float, or None
        Shortest and longest time for the choice over the treatments of arrivals that apply: how
        much the answer depends on the approximation.
    limits : dict
        Numbers where something ends: ``max_workers`` (bounded expected loss),
        ``max_learning_rate``, ``safe_workers`` (of those considered, with the margin),
        ``lowest_floor``, ``learning_rate_for_target``, ``link_saturation``,
        ``transfer_limited_workers``.
    table : tuple of PlanRow
        All numbers of workers that were tried with the chosen method.
    conditions : tuple of Condition
        What the answer rests on.
    objective, system, target_loss
        What was asked; the system is that of a trace where one was given.
    arrivals : str
        Treatment of arrivals in the table; ``"rounds"`` for a synchronous method.
    alternatives : tuple
        For each other method asked for: the best of its kind, its number of workers (or None) and
        its time.
    methods : tuple of dict
        The best choice of every method asked for, fastest first: ``method``, ``workers``,
        ``learning_rate``, ``time_to_target``, ``cost``, ``note`` (why there is none).
    verdict : tuple of str
        Whether to go asynchronous, and whether more workers help, in a sentence each.
    warnings : tuple of str
        Where the plan leaves what is known.
    pareto : tuple of ParetoRow
        Choices that no other beats in both time and cost.
    checked : Checked or None
        With ``check="simulation"``: what simulation made of the choice of theory, its time,
        standard error, divergence limits and all choices that were simulated. Workers, learning
        rate, method, time and cost of the plan are then the simulated ones.
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
    cost: float = math.nan
    learning_rate_range: tuple[float, float] | None = None
    methods: tuple[dict[str, Any], ...] = ()
    verdict: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pareto: tuple[ParetoRow, ...] = ()
    checked: "Checked | None" = None
    question: Question | None = field(default=None, repr=False)

    @cached_property
    def sensitivity(self) -> tuple[Sensitivity, ...]:
        """How time and workers depend on each input; computed when first asked for."""
        if self.workers is None or self.question is None:
            return ()
        return sensitivities(self.question, self.method, self.workers, self.learning_rate)

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
            "cost": _plain(self.cost),
            "range": self.range,
            "learning_rate_range": self.learning_rate_range,
            "time_range": self.time_range and [_plain(value) for value in self.time_range],
            "target_loss": self.target_loss,
            "arrivals": self.arrivals,
            "verdict": list(self.verdict),
            "warnings": list(self.warnings),
            "alternatives": [
                {"method": repr(method), "workers": workers, "time_to_target": _plain(time)}
                for method, workers, time in self.alternatives
            ],
            "methods": [_record(row) for row in self.methods],
            "checked": self.checked and self.checked.to_dict(),
            "limits": {name: _plain(value) for name, value in self.limits.items()},
            "table": [_record(row._asdict()) for row in self.table],
            "pareto": [_record(row._asdict()) for row in self.pareto],
            "sensitivity": [_record(row._asdict()) for row in self.sensitivity],
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

    def to_html(self, path: str | Path, *, name: str = "", command: str = "") -> Path:
        """Write one self-contained page that a person can act on, and return its path.

        Parameters
        ----------
        path : str or Path
        name : str
            What was planned, for the title.
        command : str
            The command that makes the page again.

        Raises
        ------
        sdde.ArgumentError
            If the file cannot be written.
        """
        from .plan_page import page, write

        return write(path, page(self, name=name, command=command))


def plan(
    objective: Any,
    system: Any,
    *,
    target_loss: float,
    learning_rate: float | None = None,
    max_workers: int | None = None,
    methods: Any = None,
    margin: float = 0.1,
    max_transfer_rate: float | None = None,
    cost_per_worker_time: float = 1.0,
    max_cost: float | None = None,
    check: str | None = None,
    rng: Any = None,
    budget: float = 4.0,
    executor: Any = None,
) -> Plan:
    r"""Return the workers, learning rate and method that reach a target loss soonest.

    For each choice the expected excess loss over time is computed, with the damping
    :math:`\eta\lambda n`, the delay law of the system and the gradient noise; the time after which
    it stays at or below the target decides. More workers bring gradients faster, but staler: past a
    point they stop helping, then they make training diverge.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic, or anything with a method ``quadratic()``
        Eigenvalues, gradient noise and start. A softmax objective gives its own quadratic; a pair
        ``(quadratic, ...)`` is accepted, whose first entry counts.
    system : sdde.cluster.System or sdde.cluster.Trace
        Laws of compute time, communication and the server's own time, or the log of a real run.
    target_loss : float
        Expected excess loss (above the minimum) to reach, and keep.
    learning_rate : float, optional
        η; by default the best one for each choice.
    max_workers : int, optional
        Most workers to consider; by default those of the system, or 1000.
    methods : method, name, class, or a sequence of these, optional
        Methods to choose from. A value such as ``KBatchAsync(4)`` keeps its number; of a class or a
        name the number is searched too: ``"k-sync"``, ``"k-batch-sync"``, ``"k-async"``,
        ``"k-batch-async"``, ``"staleness-threshold"``, ``"ringmaster"``, ``"random-thinning"``,
        ``"tail-tau"``, ``"dc-asgd"``, besides ``"async"`` and ``"sync"``; ``"all"`` is every one of
        these. By default plain asynchronous SGD, waiting for all, and waiting for the best number.
    margin : float, optional
        How far to stay from divergence: the learning rate is at most ``1 - margin`` times the
        largest one with bounded expected loss. 0 allows the edge itself, where losses have heavy
        tails and small errors of the description decide.
    max_transfer_rate : float, optional
        Most gradients sent to the server per unit of time, all workers together.
    cost_per_worker_time : float, optional
        Cost of one worker for one unit of time.
    max_cost : float, optional
        Most that reaching the target may cost.
    check : {None, "simulation"}
        ``"simulation"`` refines the answer with the event simulator: the neighbourhood of the best
        choice of theory, and of other methods within 20 % of it, is searched again with simulated
        times. Plain asynchronous SGD keeps the margin from the divergence limit of the simulation,
        wherever theory has it. The plan keeps both answers, and both limits (`Plan.checked`).
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Seed of the simulations.
    budget : float
        About how many seconds of one processor the simulations take, counted at fixed prices, so
        that the answer depends on `rng` and `budget` alone.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where the simulations run, as in `sdde.cluster.simulate`; the answer is the same.

    Returns
    -------
    Plan
        With ``workers = None`` if no choice reaches the target; `Plan.explain` says why.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, or no method asked for has a model on these machines.

    Notes
    -----
    Arrivals are treated exactly for memoryless workers and for equal constant cycles, as evenly
    spaced for cycles with squared coefficient of variation below 0.5, otherwise as Poisson. With a
    list of unequal workers, *n* workers means the *n* fastest. With one learning rate for all,
    methods differ in noise floor too; leave it free for a fair comparison. Derived in this project;
    the loss is taken as quadratic all the way, which `sdde.compare` can judge by simulation.

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
    machines, measured = as_system(system)
    question = Question(
        as_quadratic(objective), converted(machines),
        checks.positive("target_loss", target_loss, example=1e-3),
        None if learning_rate is None
        else checks.positive("learning_rate", learning_rate, example=0.1),
        limits_from(
            machines, max_workers, margin, max_transfer_rate, cost_per_worker_time, max_cost
        ),
    )  # fmt: skip
    if check is not None:
        checks.choice("check", check, ("simulation",))
    seconds = checks.positive("budget", budget, example=4.0)
    found = search_all(question, candidates(methods))
    if not any(item.search for item in found):
        raise checks.fail(
            "methods", methods, "has no model on these machines", why=found[0].note,
            remedy="methods = [sdde.cluster.AsyncSGD()]",
        )  # fmt: skip
    answer = _answer(question, found, objective, machines, measured)
    if check is None or answer.workers is None:
        return answer
    from .plan_checking import refined

    return refined(answer, question, found, rng=rng, budget=seconds, executor=executor)


def _answer(
    question: Question, found: list[Found], objective: Any, system: System, measured: int | None
) -> Plan:
    chosen = min((item for item in found if item.search), key=lambda item: item.rank)
    search = chosen.search
    assert search is not None
    best = search.best()
    rows = tuple(search.rows[count] for count in sorted(search.rows))
    shown = rows[0] if best is None else best
    model = question.model(search.method, shown.workers, shown.learning_rate)
    near = [row.workers for row in search.near()]
    others = tuple(
        (item.method, None if item.point is None else item.point.workers, item.time)
        for item in found
        if item is not chosen
    )
    spread = None if best is None else _time_range(question, search.method, best)
    answer = Plan(
        None if best is None else best.workers, shown.learning_rate, search.method,
        math.inf if best is None else best.time_to_target,
        (min(near), max(near)) if near else None, spread, limits_of(search, shown), rows,
        conditions.check(model, target_loss=question.target), question.objective, system,
        question.target, getattr(model, "arrivals", "rounds"), others,
        math.inf if best is None else best.cost,
        None if best is None or question.eta is not None
        else _rate_range(question, search.method, best),
        _methods(found),
        warnings=warnings_of(
            question, objective, system, search.method, shown, spread, measured
        ),
        pareto=pareto_front(
            point for point in question.tried.values()
            if best is not None and point.time >= best.time_to_target
        ),
        question=question,
    )  # fmt: skip
    points = [
        item.point or Point(math.inf, 0, math.nan, item.method, math.inf)
        for item in found if not item.note or item.point
    ]  # fmt: skip
    points += [point for point in question.tried.values() if point.workers == 1]
    object.__setattr__(answer, "verdict", verdict_of(answer, points))
    return answer


def _methods(found: list[Found]) -> tuple[dict[str, Any], ...]:
    rows = []
    for item in sorted(found, key=lambda item: item.rank):
        point = item.point
        rows.append({
            "method": item.method,
            "workers": None if point is None else point.workers,
            "learning_rate": None if point is None else point.learning_rate,
            "time_to_target": item.time,
            "cost": math.inf if point is None else point.cost,
            "note": item.note,
        })  # fmt: skip
    return tuple(rows)


def _rate_range(question: Question, method: Any, best: PlanRow) -> tuple[float, float]:
    """Return the learning rates at which the best workers need at most 5 % longer."""
    ends = []
    for side in (-1.0, 1.0):
        inside, step = best.learning_rate, 1.3
        while step > 1.01:
            eta = inside * step**side
            if question.try_one(method, best.workers, eta).time <= NEAR * best.time_to_target:
                inside = eta
            else:
                step = math.sqrt(step)
        ends.append(inside)
    return ends[0], ends[1]


def _time_range(question: Question, method: Any, best: PlanRow) -> tuple[float, float]:
    """Return the shortest and longest time over the treatments of arrivals that apply."""
    times = [best.time_to_target]
    chosen = question.model(method, best.workers, best.learning_rate)
    for kind in ("poisson", "regular") if isinstance(chosen, AsyncSGD) else ():
        model = question.model(method, best.workers, best.learning_rate, kind)
        if kind == "regular" and model.stream.delay.squared_variation >= regular_below:
            continue
        times.append(float(model.time_to(question.target, question.objective.start)))
    return min(times), max(times)


def _record(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: repr(value) if hasattr(value, "composed") else _plain(value)
        for name, value in values.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, int | np.integer) else value
