"""Where a plan leaves what is known: few measurements, many more workers than measured, approximate
models, the neighbourhood of divergence.

Each warning is one sentence with its number. Nothing here chooses.
"""

import math
from typing import Any

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import System
from sdde.equation.laws import Law

from .async_sgd import AsyncSGD
from .plan_question import Question
from .plan_search import PlanRow

_FEW = 200  # measurements
_SPREAD = 1.1  # of the time over treatments of arrivals
_DISCRETE = 0.3  # learning rate times eigenvalue
_NEAR_EDGE = 0.7  # of the diverging learning rate
_HEAVY = 4.0  # squared coefficient of variation
_APPROXIMATE = {
    "KBatchAsync": "the wait for a group is taken as random and independent of what it waits for",
    "KAsync": "workers' remaining times at an update are taken as independent of each other",
    "StalenessThreshold": "updates of others during a computation are taken as a Poisson count",
    "Ringmaster": "updates of others during a computation are taken as a Poisson count",
    "TailTau": "staleness is taken as a Poisson count over a worker's own cycle",
    "RandomThinning": "gradients are taken to be kept evenly, with the variation of long counts",
    "DelayCompensated": "squared gradients are replaced by their means along the path",
}


def warnings_of(
    question: Question, objective: Any, system: Any, method: Any, shown: PlanRow,
    time_range: tuple[float, float] | None, measured_workers: int | None,
) -> tuple[str, ...]:  # fmt: skip
    """Return the sentences.

    Parameters
    ----------
    question : Question
    objective, system
        What the user gave.
    method : method value
        The recommended one.
    shown : PlanRow
        The recommended choice.
    time_range : tuple of float or None
        Over the treatments of arrivals.
    measured_workers : int or None
        Workers of the trace that the system was read from.
    """
    model = question.model(method, shown.workers, shown.learning_rate)
    found = [
        *_machines(question, system, model, shown.workers, measured_workers),
        *_objective(objective),
        *_choice(question, model, shown),
    ]
    name = type(method).__name__
    if name in _APPROXIMATE:
        found.append(f"The model of {name} is approximate: {_APPROXIMATE[name]}.")
    exact = isinstance(model, AsyncSGD) and model.arrivals == "exact"
    if time_range is not None and not exact and time_range[1] > _SPREAD * time_range[0]:
        last = f"{time_range[1]:.4g}" if math.isfinite(time_range[1]) else "never"
        found.append(
            f"Treatments of the arrivals disagree: {time_range[0]:.4g} to {last} for this choice; "
            "simulate it before relying on the time."
        )
    return tuple(found)


def _machines(
    question: Question, system: Any, model: Any, workers: int, measured: int | None
) -> list[str]:
    found = []
    if measured is not None and workers > measured:
        found.append(
            f"The trace holds {measured} workers, the plan {workers}: that a cycle takes as long "
            "with more of them is an extrapolation (shared links, memory and processors slow down)."
        )
    laws = question.system.compute_time
    for law in laws if isinstance(laws, list) else [laws]:
        found += _law(law)
        if found:
            break
    if isinstance(system, System):
        if system.outages is not None:
            found.append("Outages of workers are left out of the theory.")
        if system.buffer is not None:
            found.append("The server's buffer is left out of the theory.")
    link = model.stream.link if isinstance(model, AsyncSGD) else None
    if link is not None and not link.exact:
        found.append(
            "Waiting at the shared link or server is approximate: exact for exponential transfers, "
            "or constant times on both sides."
        )
    return found


def _law(law: Law) -> list[str]:
    found = []
    if law.kind == "measured" and law.points.size < _FEW:
        found.append(
            f"The compute time is known from {law.points.size} measurements; longer times than the "
            f"longest of them, {law.highest:.4g}, are not in the plan."
        )
    if law.kind == "continuous" and (
        law.convergence_abscissa == 0.0 or law.squared_variation > _HEAVY
    ):
        found.append(
            "The compute time has a heavy tail: rare long computations decide, and delays beyond "
            "160 mean cycles are cut."
        )
    return found


def _objective(objective: Any) -> list[str]:
    if isinstance(objective, Quadratic):
        return []
    if hasattr(objective, "warnings"):  # a measurement says itself where it misleads
        return list(objective.warnings)
    return [
        "The objective is replaced by its quadratic at the optimum: where curvature or gradient "
        "noise differ on the way there, the time differs too; compare with a simulation."
    ]


def _choice(question: Question, model: Any, shown: PlanRow) -> list[str]:
    found = []
    largest = shown.learning_rate * float(question.objective.eigenvalues.max())
    if isinstance(model, AsyncSGD):
        if model.arrivals != "exact" and largest > _DISCRETE:
            found.append(
                f"Learning rate times largest eigenvalue is {largest:.2g}: single updates matter, "
                "and the continuous-time treatment of arrivals is rough."
            )
        if model.arrivals == "poisson" and 1 < shown.workers < 8:
            found.append(
                f"{shown.workers} workers are few for taking arrivals as a Poisson process."
            )
    limit = float(model.max_learning_rate())
    if shown.learning_rate > _NEAR_EDGE * limit:
        found.append(
            f"The learning rate is {shown.learning_rate / limit:.2g} of the one from which "
            "training diverges: losses vary much from run to run."
        )
    return found
