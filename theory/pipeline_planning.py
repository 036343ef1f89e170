"""How large a budget of staleness, how many generators, how many results in an update.

Each choice is followed through its timetable, its stream of results put into the loss theory, and
the time to a target read off; the answer says who is the bottleneck and what discarding would cost.
Theory only: no parameters are simulated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sdde import checks
from sdde.cluster.pipeline_methods import ActorLearner
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System

from .async_sgd import AsyncSGD
from .pipeline_flows import RESULTS, PipelineFlow, flow_of, machines_of
from .pipeline_schedule import Machines
from .planning import as_quadratic
from .side_by_side import times_to

BUDGETS = (0, 1, 2, 4, 8)
NEAR = 1.05  # times the best time that still counts as good
_SCAN = 6000  # results drawn for each choice


class PipelineRow(NamedTuple):
    """What theory predicts for one choice.

    Attributes
    ----------
    generators, results, budget : int
    keep : str
        ``"pacing"`` or ``"discarding"``.
    learning_rate : float
    time_to_target : float
        ``inf`` if never.
    throughput : float
        Results used per unit of time.
    mean_staleness : float
    bottleneck : str
    discarded : float
    """

    generators: int
    results: int
    budget: int
    keep: str
    learning_rate: float
    time_to_target: float
    throughput: float
    mean_staleness: float
    bottleneck: str
    discarded: float


@dataclass(frozen=True, eq=False)
class PipelinePlan:
    """The answer of `plan_pipeline`.

    Attributes
    ----------
    method : sdde.cluster.ActorLearner or None
        Budget, results in an update and how the budget is kept; None if nothing reaches the target.
    generators : int or None
    learning_rate : float
    time_to_target : float
    stability_margin : float
        One minus the learning rate over that from which training along the drawn timetable
        diverges.
    flow : PipelineFlow or None
        Throughput, staleness, bottleneck and sampling bias of the choice.
    if_discarding : PipelineFlow or None
        The same pipeline if it discarded instead of holding generators back: what that would do to
        the sample.
    enough_generators : int or None
        Fewest generators of those tried with at most 5 % more time.
    table : tuple of PipelineRow
        All that was tried.
    objective, system, target_loss
        What was asked.
    """

    method: ActorLearner | None
    generators: int | None
    learning_rate: float
    time_to_target: float
    stability_margin: float
    flow: PipelineFlow | None
    if_discarding: PipelineFlow | None
    enough_generators: int | None
    table: tuple[PipelineRow, ...] = field(repr=False)
    objective: Quadratic = field(repr=False)
    system: System = field(repr=False)
    target_loss: float

    def explain(self) -> str:
        """Return the answer, its reasons and its assumptions in words."""
        return _explain(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain numbers, text and lists, for JSON; ``None`` for infinity."""
        rows = [
            {name: _plain(value) for name, value in row._asdict().items()} for row in self.table
        ]
        return {
            "generators": self.generators, "learning_rate": self.learning_rate,
            "time_to_target": _plain(self.time_to_target),
            "stability_margin": _plain(self.stability_margin), "target_loss": self.target_loss,
            "flow": self.flow and self.flow.to_dict(),
            "if_discarding": self.if_discarding and self.if_discarding.to_dict(),
            "enough_generators": self.enough_generators, "table": rows,
        }  # fmt: skip


def plan_pipeline(
    objective: Any, system: System, *, target_loss: float, learning_rate: float | None = None,
    generators: Sequence[int] | None = None, results: Sequence[int] | None = None,
    budgets: Sequence[int] = BUDGETS, keep: str = "pacing", publish: int = 1, margin: float = 0.1,
) -> PipelinePlan:  # fmt: skip
    """Return how to run an actor-learner pipeline so that it reaches a target loss soonest.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic, or anything with a method ``quadratic()``
        Eigenvalues, noise of a single result's gradient, start.
    system : sdde.cluster.System
        ``compute_time``: law of the time of one result; ``communication``: of its transfer;
        ``update_time``: of one update; ``buffer``: room for finished results; ``workers``: most
        generators.
    target_loss : float
        Expected excess loss to reach, and keep.
    learning_rate : float, optional
        By default the best one for each choice.
    generators : sequence of int, optional
        Numbers to choose from; by default up to the workers of the system.
    results : sequence of int, optional
        Numbers of results in an update to choose from; by default up to the generators.
    budgets : sequence of int
        Budgets of staleness to choose from, in updates.
    keep : {"pacing", "discarding"}
        How a budget is kept: generators are held back, or stale results dropped.
    publish : int
        Updates from one publication of parameters to the next.
    margin : float
        How far to stay from divergence, as a share of the largest learning rate: of that along the
        drawn timetable, and of that with bounded expected loss in the delay equation.

    Returns
    -------
    PipelinePlan
        With ``method = None`` if no choice reaches the target.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable.

    Notes
    -----
    Budgets and results are tried with all generators; then fewer generators with the best of them.
    The loss follows the delay equation of the stream of updates, with the staleness of the drawn
    timetable for delay; its clock goes as unevenly as updates come. The pipeline is in full swing
    at time zero. The gradient of a result is taken to be the same in law
    whatever time it took, so what discarding does to the sample is reported, not charged. Derived
    in this project; tested against `sdde.cluster.simulate`.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import cluster, theory
    >>> system = cluster.System(scipy.stats.lognorm(1.0), workers=16, update_time=0.2, buffer=16)
    >>> plan = theory.plan_pipeline(
    ...     cluster.Quadratic([1.0, 0.2], noise=1.0, start=1.0), system, target_loss=0.02,
    ...     results=[4, 8], budgets=[1, 4],
    ... )
    >>> plan.method.budget, plan.flow.bottleneck
    (4, 'budget')
    """
    quadratic = as_quadratic(objective)
    target = checks.positive("target_loss", target_loss, example=0.01)
    eta = None
    if learning_rate is not None:
        eta = checks.positive("learning_rate", learning_rate, example=0.1)
    away = checks.nonnegative("margin", margin, example=0.1)
    if away >= 1.0:
        raise checks.fail("margin", margin, "leaves no learning rate", remedy="margin = 0.1.")
    counts = None if generators is None else _whole("generators", generators, 1)
    machines, most = machines_of(system, None if counts is None else counts[-1])
    if counts is None:
        counts = [most] if len(machines.generation) > 1 else _spread(most)
    sizes = _spread(most) if results is None else _whole("results", results, 1)
    limits = _whole("budgets", budgets, 0)
    checks.choice("keep", keep, ("pacing", "discarding"))
    checks.integer("publish", publish, lowest=1)
    if limits[-1] < publish - 1:
        raise checks.fail(
            "budgets", budgets, f"are all below publish - 1 = {publish - 1}",
            why="Parameters are that stale before they are published again.",
            remedy=f"For example budgets = [{publish}].",
        )  # fmt: skip
    search = _Search(quadratic, machines, target, eta, away)
    for size in sizes:
        for limit in limits:
            if limit >= publish - 1:
                search.add(most, ActorLearner(size, budget=limit, keep=keep, publish=publish))
    best = search.best()
    for count in counts[:-1] if len(machines.generation) == 1 else []:
        search.add(count, search.methods[best])
    return search.answer(system)


class _Search:
    """Choices tried so far."""

    def __init__(
        self, objective: Quadratic, machines: Machines, target: float, eta: float | None,
        margin: float,
    ) -> None:  # fmt: skip
        self.objective, self.machines, self.target = objective, machines, target
        self.eta, self.margin = eta, margin
        self.rows: list[PipelineRow] = []
        self.methods: list[ActorLearner] = []

    def best(self) -> int:
        return min(
            range(len(self.rows)),
            key=lambda i: (self.rows[i].time_to_target, self.rows[i].generators),
        )

    def add(self, generators: int, method: ActorLearner) -> None:
        flow = flow_of(self.machines, generators, method, results=_SCAN)
        self.methods.append(method)
        head = generators, method.k, method.budget, method.keep
        rate, time, _ = self.time(flow)
        row = PipelineRow(
            *head, rate, time, flow.throughput, flow.mean_staleness, flow.bottleneck, flow.discarded
        )
        self.rows.append(row)

    def time(self, flow: PipelineFlow) -> tuple[float, float, float]:
        """Return learning rate, time to the target and margin from divergence."""
        model = model_of_flow(self.objective, flow, self.eta or 1.0)
        drawn = flow.largest_alpha / float(self.objective.eigenvalues.max())
        limit = min(model.max_learning_rate(), drawn)
        if self.eta is not None:
            allowed = self.eta <= (1.0 - self.margin) * limit
            rates = np.array([self.eta])
        else:
            allowed, rates = True, (1.0 - self.margin) * limit * np.geomspace(1e-3, 1.0, 16)
        if not allowed:
            return float(rates[0]), math.inf, 1.0 - float(rates[0]) / drawn
        times = times_to(model, rates, self.target, self.objective.start)
        for _ in range(2 if self.eta is None and np.isfinite(times).any() else 0):
            at = int(np.argmin(times))
            rates = np.geomspace(rates[max(at - 1, 0)], rates[min(at + 1, rates.size - 1)], 7)
            times = times_to(model, rates, self.target, self.objective.start)
        at = int(np.argmin(times))
        return float(rates[at]), float(times[at]), 1.0 - float(rates[at]) / drawn

    def answer(self, system: System) -> PipelinePlan:
        at = self.best()
        row, method = self.rows[at], self.methods[at]
        rows = tuple(sorted(self.rows, key=lambda r: (r.time_to_target, r.generators)))
        asked = rows, self.objective, system, self.target
        if not math.isfinite(row.time_to_target):
            rate = self.eta if self.eta is not None else math.nan
            return PipelinePlan(None, None, rate, math.inf, math.nan, None, None, None, *asked)
        flow = flow_of(self.machines, row.generators, method, results=RESULTS)
        rate, time, margin = self.time(flow)
        dropping = ActorLearner(
            method.k, budget=method.budget, keep="discarding", publish=method.publish
        )
        other = flow_of(self.machines, row.generators, dropping, results=RESULTS)
        same = [
            r.generators for r, m in zip(self.rows, self.methods, strict=True)
            if m == method and r.time_to_target <= NEAR * row.time_to_target
        ]  # fmt: skip
        return PipelinePlan(
            method, row.generators, rate, time, margin, flow, other, min(same), *asked
        )


def model_of_flow(objective: Quadratic, flow: PipelineFlow, learning_rate: float) -> AsyncSGD:
    """Return the loss theory of a pipeline's stream of results."""
    noise = objective.noise * math.sqrt(flow.noise_share / flow.method.k)
    model = AsyncSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=flow.generators,
        compute_time=flow.mean_age, gradient_noise=noise,
    )  # fmt: skip
    object.__setattr__(model, "stream", flow.stream)
    return model


def _whole(name: str, values: Any, lowest: int) -> list[int]:
    several = isinstance(values, Sequence) and not isinstance(values, str)
    several = several or (isinstance(values, np.ndarray) and values.ndim == 1)
    if not several or len(values) == 0:
        raise checks.fail(
            name, values, "is not a sequence of whole numbers", remedy=f"For example {name} = [4].",
        )  # fmt: skip
    found = {checks.integer(f"{name}[{i}]", value, lowest=lowest) for i, value in enumerate(values)}
    return sorted(found)


def _spread(most: int) -> list[int]:
    return np.unique(np.geomspace(1, most, 6).round().astype(int)).tolist()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _explain(plan: PipelinePlan) -> str:
    if plan.method is None or plan.flow is None:
        return (
            f"No choice tried keeps the expected loss at or below {plan.target_loss:g}. Use a"
            " smaller learning rate or more results in an update, or leave the learning rate free."
        )
    flow, method = plan.flow, plan.method
    lines = [
        f"{plan.generators} generators, {method.k} results in an update, staleness at most"
        f" {method.budget} updates ({method.keep}), learning rate {plan.learning_rate:.3g}: the"
        f" expected loss is {plan.target_loss:g} after {plan.time_to_target:.4g}.",
        f"Throughput {flow.throughput:.4g} results per unit of time (known to"
        f" {100 * flow.rate_error:.1f} %). The bottleneck: {_WHO[flow.bottleneck]}. The learner is"
        f" busy {100 * flow.learner_busy:.0f} % of the time; generators work"
        f" {100 * flow.working:.0f} %, are held back {100 * flow.held:.0f} % and wait for the"
        f" learner {100 * flow.waiting:.0f} %.",
        f"Mean staleness {flow.mean_staleness:.2f} updates. The learning rate could grow by a"
        f" factor {1.0 / (1.0 - plan.stability_margin):.2f} before training diverges.",
    ]
    if plan.enough_generators is not None and plan.enough_generators != plan.generators:
        lines.append(
            f"{plan.enough_generators} generators would need at most {100 * (NEAR - 1):.0f} % more"
            " time."
        )
    other = plan.if_discarding
    if flow.discarded > 0.0:
        lines.append(_bias_text("Discarding drops", flow))
    elif other is not None and other.discarded > 0.0:
        lines.append(_bias_text("Discarding instead of holding back would drop", other))
    lines.append(
        "Rests on: a quadratic objective; gradients whose law does not depend on how long a result"
        " took; times drawn independently from the laws given."
    )
    return "\n".join(lines)


_WHO = {
    "learner": "the learner; more generators will not help",
    "generators": "the generators; more or faster ones help",
    "budget": "the budget, which holds generators back behind slow results; a larger one helps the"
    " throughput",
}


def _bias_text(verb: str, flow: PipelineFlow) -> str:
    return (
        f"{verb} {100 * flow.discarded:.0f} % of the results and"
        f" {100 * flow.discarded_by_length[-1]:.0f} % of the slowest tenth: the used ones take"
        f" {flow.mean_ratio:.2f} times the mean generation time, so what takes long to generate is"
        " under-represented."
    )
