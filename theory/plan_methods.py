"""Methods that a plan chooses from: fixed ones, and families whose parameter is searched too.

A family is a name or a class of `sdde.cluster`: `KBatchAsync(4)` is a method, ``"k-batch-async"``
and `KBatchAsync` stand for all of them. Nothing here knows an objective or a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdde import checks
from sdde.cluster import dropping_methods as dropping
from sdde.cluster import methods as plain
from sdde.cluster import weighted_methods as weighted
from sdde.cluster.rules import Composed, Group


@dataclass(frozen=True, slots=True)
class Family:
    """Methods that differ in one number.

    Attributes
    ----------
    name : str
    make : callable
        From the number to the method.
    parameter : str
        What the number is called.
    whole : bool
        Whether it is a whole number >= 1; otherwise it is positive.
    highest : float or None
        Largest value; None: as many as there are workers; ``inf``: any.
    starts : tuple of float
        Values from which a search begins; those of whole numbers are shares of the workers.
    scale : callable or None
        What the starting values are multiplied by, for an objective.
    """

    name: str
    make: Callable[[Any], Any]
    parameter: str
    whole: bool
    highest: float | None
    starts: tuple[float, ...]
    scale: Callable[[Any], float] | None = None

    def at(self, value: float, workers: int) -> tuple[Any, float]:
        """Return the method at a value, moved into its range for these workers, and that value."""
        top = float(workers) if self.highest is None else self.highest
        value = min(max(value, 1.0 if self.whole else 1e-12), top)
        value = float(round(value)) if self.whole else float(value)
        return self.make(int(value) if self.whole else value), value


_HALF = (0.1, 0.5)
FIXED = {"async": plain.AsyncSGD(), "sync": plain.Synchronous()}
FAMILIES = {
    family.name: family
    for family in (
        Family("k-sync", plain.KSync, "k", True, None, (0.25, 0.75)),
        Family("k-batch-sync", plain.KBatchSync, "k", True, np.inf, (0.25, 1.0)),
        Family("k-async", plain.KAsync, "k", True, None, _HALF),
        Family("k-batch-async", plain.KBatchAsync, "k", True, np.inf, _HALF),
        Family(
            "staleness-threshold", dropping.StalenessThreshold, "limit", True, np.inf, (0.5, 2.0)
        ),
        Family(
            "ringmaster", lambda limit: dropping.Ringmaster(limit, stop=True), "limit", True,
            np.inf, (0.5, 2.0),
        ),
        Family("random-thinning", dropping.RandomThinning, "keep", False, 1.0, (0.5,)),
        Family("tail-tau", weighted.TailTau, "amplitude", False, 1.0, (1.0,)),
        Family(
            "dc-asgd", weighted.DelayCompensated, "strength", False, np.inf, (0.1, 0.5),
            lambda objective: _curvature_per_square(objective),
        ),
    )
}  # fmt: skip
_CLASSES = {
    plain.AsyncSGD: "async", plain.Synchronous: "sync", plain.KSync: "k-sync",
    plain.KBatchSync: "k-batch-sync", plain.Rennala: "k-batch-sync", plain.KAsync: "k-async",
    plain.KBatchAsync: "k-batch-async", dropping.StalenessThreshold: "staleness-threshold",
    dropping.Ringmaster: "ringmaster", dropping.RandomThinning: "random-thinning",
    weighted.TailTau: "tail-tau", weighted.DelayCompensated: "dc-asgd",
}  # fmt: skip
NAMES = (*FIXED, *FAMILIES)
DEFAULT = ("async", "sync", "k-sync")


def candidates(methods: Any) -> tuple[Any, ...]:
    """Return the methods and families that a user asks for.

    Parameters
    ----------
    methods : None, str, method, class of methods, or a sequence of these
        None: plain asynchronous SGD, and waiting for all or for the first k. ``"all"``: every name.

    Raises
    ------
    sdde.ArgumentError
        If something else is among them.
    """
    if methods is None:
        return tuple(_one(name, methods) for name in DEFAULT)
    if isinstance(methods, str) and methods == "all":
        return tuple(_one(name, methods) for name in NAMES)
    single = isinstance(methods, str | type) or hasattr(methods, "composed")
    found = (methods,) if single else tuple(checks.listed(methods))
    if not found:
        raise _refusal(methods)
    return tuple(_one(item, methods) for item in found)


def _one(item: Any, methods: Any) -> Any:
    name = _CLASSES.get(item) if isinstance(item, type) else item
    if isinstance(name, str):
        if name in FIXED:
            return FIXED[name]
        if name in FAMILIES:
            return FAMILIES[name]
    elif item is not None and not isinstance(item, type) and hasattr(item, "composed"):
        return item
    raise _refusal(methods)


def _refusal(methods: Any) -> Exception:
    return checks.fail(
        "methods", methods, "is not a sequence of methods",
        why=f'Names are "all", {", ".join(NAMES)}.',
        remedy='For example methods = [sdde.cluster.AsyncSGD(), sdde.cluster.KSync(4), "k-async"].',
    )  # fmt: skip


def _curvature_per_square(objective: Any) -> float:
    """Return the largest eigenvalue over the mean square of its gradient at the start."""
    largest = int(np.argmax(objective.eigenvalues))
    size = float(objective.eigenvalues[largest])
    square = float(objective.noise[largest]) ** 2 + (size * float(objective.start[largest])) ** 2
    return size / max(square, 1e-300)


def is_compensated(method: Any) -> bool:
    """Return whether the method corrects stale gradients and does nothing else."""
    rules = getattr(method, "composed", None)
    fix = getattr(rules, "compensation", None)
    return fix is not None and rules == Composed(compensation=fix)


def is_synchronous(method: Any) -> bool:
    """Return whether no gradient of the method is stale."""
    rules = getattr(method, "composed", None)
    if not isinstance(rules, Composed) or not isinstance(rules.waiting, Group):
        return False
    return rules.waiting.cancel or (rules.waiting.size is None and rules.waiting.idle)


def least_workers(method: Any) -> int:
    """Return the fewest workers that a method needs."""
    waiting = getattr(getattr(method, "composed", None), "waiting", None)
    if isinstance(waiting, Group) and waiting.idle:
        return waiting.size or 1
    return 1
