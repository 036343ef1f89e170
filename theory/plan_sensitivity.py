r"""How a plan depends on its inputs: elasticities of the time, and how the best workers move.

The elasticity of the time in an input *q* is :math:`d\log t/d\log q` at the planned choice: 2 means
that an input 1 % larger makes training 2 % longer. Central differences of 5 %; nothing here is
simulated.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sdde.cluster.quadratic import Quadratic
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import Law

from .cycle import scaled, weighted
from .plan_question import Question
from .synchronous import SynchronousSGD

_STEP = 1.05  # each way, for the elasticity
_MOVE = 1.25  # each way, for the best workers
_RUNG = 1.12  # of the ladder of workers around the planned number
_RUNGS = 6  # climbed each way


class Sensitivity(NamedTuple):
    """How time and workers depend on one input.

    Attributes
    ----------
    input : str
    time_elasticity : float
        Per cent of time for one per cent of the input, everything else as planned; ``inf`` where
        five per cent decide whether the target is reached at all.
    workers_if_lower, workers_if_higher : int or None
        Best number of workers with the input a fifth lower and a quarter higher, to the nearest
        rung of a ladder; None where none reaches the target.
    """

    input: str
    time_elasticity: float
    workers_if_lower: int | None
    workers_if_higher: int | None


def sensitivities(
    question: Question, method: Any, workers: int, eta: float
) -> tuple[Sensitivity, ...]:
    """Return the dependence of a planned choice on each input that matters to it."""
    found = []
    for name, change in _changes(question, eta):
        times = [_time(*change(factor), method, workers) for factor in (1.0 / _STEP, _STEP)]
        slope = math.inf
        if all(math.isfinite(time) and time > 0.0 for time in times):
            slope = math.log(times[1] / times[0]) / (2.0 * math.log(_STEP))
        fixed = question.eta is not None
        moved = [
            _best_workers(*change(factor), method, workers, fixed)
            for factor in (1.0 / _MOVE, _MOVE)
        ]
        found.append(Sensitivity(name, slope, *moved))
    return tuple(found)


def _time(question: Question, eta: float, method: Any, workers: int) -> float:
    model = question.model(method, workers, eta)
    smooth = {"whole": False} if isinstance(model, SynchronousSGD) else {}
    return float(model.time_to(question.target, question.objective.start, **smooth))


def _best_workers(
    question: Question, eta: float, method: Any, workers: int, fixed: bool
) -> int | None:
    """Return the best rung around the planned workers, at the damping that was planned."""
    damping = float(question.model(method, workers, eta).damping.max())

    def time(count: int) -> float:
        if not _least(method) <= count <= question.limits.most:
            return math.inf
        rate = eta
        if not fixed:
            rate = eta * damping / float(question.model(method, count, eta).damping.max())
        return question.try_one(method, count, rate).time

    best, shortest = workers, time(workers)
    for factor in (_RUNG, 1.0 / _RUNG):
        count = workers
        for _ in range(_RUNGS):
            ahead = count * factor
            count = math.ceil(max(ahead, count + 1)) if factor > 1.0 else int(min(ahead, count - 1))
            here = time(count)
            if math.isinf(here) and math.isinf(shortest):
                continue  # perhaps allowed further on
            if not here < shortest * (1.0 - 1e-3):
                break
            best, shortest = count, here
        if best != workers:
            break
    return best if math.isfinite(shortest) else None


def _least(method: Any) -> int:
    from .plan_methods import least_workers

    return least_workers(method)


def _changes(
    question: Question, eta: float
) -> list[tuple[str, Callable[[float], tuple[Question, float]]]]:
    """Return the inputs, each with a function that returns the question with it multiplied."""
    objective, system = question.objective, question.system
    values = objective.eigenvalues
    found: list[tuple[str, Callable[[float], tuple[Question, float]]]] = [
        ("learning rate", lambda f: (question, eta * f)),
        ("eigenvalues", lambda f: (_with(question, _quadratic(objective, values * f)), eta)),
    ]
    if values.max() > values.min():
        for name, edge in (("largest", values.max()), ("smallest", values.min())):

            def changed(f: float, edge: float = edge) -> tuple[Question, float]:
                moved = np.where(values == edge, values * f, values)
                return _with(question, _quadratic(objective, moved)), eta

            found.append((f"{name} eigenvalue", changed))
    if objective.noise.any():
        found.append((
            "gradient noise",
            lambda f: (_with(question, replace(objective, noise=objective.noise * f)), eta),
        ))  # fmt: skip
    found += [
        ("start", lambda f: (_with(question, replace(objective, start=objective.start * f)), eta)),
        ("target loss", lambda f: (_fresh(question, target=question.target * f), eta)),
        ("compute time", lambda f: (_computing(question, lambda law: scaled(law, f)), eta)),
    ]
    laws = system.compute_time if isinstance(system.compute_time, list) else [system.compute_time]
    if any(law.kind != "constant" for law in laws):
        found.append((
            "variability of compute time",
            lambda f: (_computing(question, lambda law: spread(law, f)), eta),
        ))  # fmt: skip
    if system.communication is not None:
        found.append(("communication time", lambda f: (_sending(question, f), eta)))
    return found


def spread(law: Law, factor: float) -> Law:
    """Return the law with its distance from the mean multiplied, cut at zero."""
    if law.kind == "constant":
        return law
    points, weights = law.nodes()
    moved = np.maximum(law.mean + factor * (points - law.mean), 1e-9 * law.mean)
    return weighted(moved, weights, (law, factor))


def _quadratic(objective: Quadratic, eigenvalues: Any) -> Quadratic:
    return Quadratic(eigenvalues, noise=objective.noise, start=objective.start)


def _fresh(question: Question, **changes: Any) -> Question:
    found = (
        "tried",
        "floors",
        "models",
        "curves",
        "edges",
        "highest",
        "alone",
        "quotients",
        "safe",
    )
    none: Any = {name: {} for name in found}
    return replace(question, **none, **changes)


def _with(question: Question, objective: Quadratic) -> Question:
    return _fresh(question, objective=objective)


def _computing(question: Question, change: Callable[[Law], Law]) -> Question:
    time = question.system.compute_time
    changed = [change(law) for law in time] if isinstance(time, list) else change(time)
    return _fresh(question, system=replace(question.system, compute_time=changed))


def _sending(question: Question, factor: float) -> Question:
    link = question.system.communication
    changed: Any
    if isinstance(link, SharedLink):
        changed = SharedLink(scaled(link.law, factor), capacity=link.capacity)
    elif isinstance(link, list):
        changed = [scaled(law, factor) for law in link]
    else:
        changed = scaled(link, factor)
    system: System = replace(question.system, communication=changed)
    return _fresh(question, system=system)
