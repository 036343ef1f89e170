"""The model of a system with some number of workers under a method, and a row of a plan's table.

Nothing here searches, writes words or judges conditions.
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
from .compensated_sgd import CompensatedSGD
from .cycle import cycle_law
from .synchronous import SynchronousSGD

renewal_above = 0.003  # the same from which a time grid tells cycles from constant ones
regular_below = 0.5  # squared coefficient of variation below which cycles count as regular


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
    cost : float
        Workers times time times the cost of a worker per unit of time.
    transfer_rate : float
        Gradients sent to the server per unit of time.
    breaks : str
        The user's limit that this choice breaks: ``"margin"``, ``"transfer rate"``, ``"cost"``, or
        empty.
    """

    workers: int
    learning_rate: float
    damping: float
    update_rate: float
    staleness: float
    rate: float
    floor: float
    time_to_target: float
    cost: float = math.nan
    transfer_rate: float = math.nan
    breaks: str = ""


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
    arrivals : {"poisson", "regular", "renewal", "exact"}, optional
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
    checks.instance(
        "objective", objective, Quadratic, "a quadratic",
        remedy="For example objective = sdde.cluster.Quadratic([1.0, 0.1], noise=0.1).",
    )  # fmt: skip
    checks.instance(
        "system", system, System, "a system",
        remedy="For example system = sdde.cluster.System(1.0).",
    )  # fmt: skip
    machines = system if _has_laws(system) else converted(system)
    compute, communication = _workers_of(machines, workers)
    model = AsyncSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=workers, compute_time=compute,
        communication=communication, gradient_noise=objective.noise, arrivals="poisson",
        method=method,
    )  # fmt: skip
    kind = best_treatment(model) if arrivals is None else arrivals
    return model if isinstance(kind, str) and kind == "poisson" else model.replace(arrivals=kind)


def rounds_of(
    objective: Quadratic, system: System, *, workers: int, learning_rate: float, method: Any
) -> SynchronousSGD:
    """Return the model of a system that trains by a synchronous method."""
    machines = system if _has_laws(system) else converted(system)
    compute, communication = _workers_of(machines, workers)
    if isinstance(communication, SharedLink):
        raise checks.fail(
            "method", method, "is planned for workers with links of their own only",
            why="How long rounds take on a shared link, or at a slow server, is not known here.",
            remedy="For example method = sdde.cluster.AsyncSGD(), or simulate.",
        )  # fmt: skip
    return SynchronousSGD(
        objective.eigenvalues, learning_rate=learning_rate, workers=workers, method=method,
        compute_time=compute, communication=communication, gradient_noise=objective.noise,
    )  # fmt: skip


def compensated_of(
    objective: Quadratic, system: System, *, workers: int, learning_rate: float, method: Any
) -> CompensatedSGD:
    """Return the model of a system that trains by delay compensation."""
    plain = model_of(
        objective, system, workers=workers, learning_rate=learning_rate, arrivals="regular"
    )
    return CompensatedSGD(plain, method)


def best_treatment(model: AsyncSGD) -> str:
    """Return the most exact treatment of arrivals that applies."""
    if exact_kind(model.stream) is not None and model.is_plain:
        return "exact"
    if not model.is_plain:
        return "regular"  # with the variation of long counts put back by `jitter`
    if max(law.squared_variation for law in model.stream.cycles) > renewal_above:
        return "renewal"
    return "regular" if model.stream.delay.squared_variation < regular_below else "poisson"


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
