"""Checkable claims: what is claimed, whether it holds here, by what margin, and who says so.

A `Condition` is one inequality with its assumptions and its source, so that a plan can say how sure
it is and a reader can disagree. `check` lists those that concern asynchronous SGD on a quadratic;
the theorems of the literature are in `theorems`. Nothing here decides what to do.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdde import checks

from .characteristic import critical_damping, stability_limit

if TYPE_CHECKING:
    from .async_sgd import AsyncSGD
    from .compensated_sgd import CompensatedSGD
    from .synchronous import SynchronousSGD

Status = Literal["paper", "derived", "unverified"]

_DERIVED = "derived in this project"
_QUADRATIC = "quadratic loss near one minimum"


@dataclass(frozen=True, slots=True)
class Condition:
    """One claim and its verdict.

    Attributes
    ----------
    claim : str
        The claim in words, with its inequality.
    holds : bool
        Whether it holds here.
    margin : float
        Distance from the boundary relative to it: 1 far inside, 0 on it, negative outside; ``nan``
        where there is no natural scale.
    assumptions : str
        What is taken for granted.
    reference : str
        Who states it.
    status : {"paper", "derived", "unverified"}
        ``"paper"``: stated in the publication; ``"derived"``: derived in this project and checked
        numerically; ``"unverified"``: second hand, shown for orientation only.
    """

    claim: str
    holds: bool
    margin: float
    assumptions: str
    reference: str
    status: Status

    def __str__(self) -> str:
        mark = "yes" if self.holds else "NO"
        margin = "" if math.isnan(self.margin) else f", margin {self.margin:.2g}"
        return f"[{mark}{margin}] {self.claim} ({self.reference}; {self.status})"


def below(value: float, limit: float) -> tuple[bool, float]:
    """Return whether ``value < limit``, and the margin ``1 - value / limit``."""
    if math.isinf(limit):
        return not math.isinf(value), 1.0 if not math.isinf(value) else -math.inf
    if limit <= 0.0:
        return value < limit, -math.inf
    return value < limit, 1.0 - value / limit


def check(
    model: "AsyncSGD | SynchronousSGD | CompensatedSGD", *, target_loss: float | None = None
) -> tuple[Condition, ...]:
    """Return the conditions for a run on a quadratic.

    Parameters
    ----------
    model : AsyncSGD, SynchronousSGD or CompensatedSGD
        The cluster, objective and learning rate.
    target_loss : float, optional
        Expected excess loss to reach.

    Returns
    -------
    tuple of Condition
        In order: the mean converges; the expected loss stays bounded; no overshoot; the arrivals
        are as assumed; the target lies above the noise floor (if given).

    Examples
    --------
    >>> from sdde import theory
    >>> model = theory.AsyncSGD(1.0, learning_rate=0.02, workers=16, compute_time=1.0)
    >>> [condition.holds for condition in theory.conditions.check(model)]
    [True, True, True, True]
    """
    from .async_sgd import AsyncSGD
    from .compensated_sgd import CompensatedSGD
    from .synchronous import SynchronousSGD

    checks.instance(
        "model", model, (AsyncSGD, SynchronousSGD, CompensatedSGD), "a model of a cluster",
        remedy="For example model = theory.AsyncSGD(1.0, learning_rate=0.02, workers=8, "
        "compute_time=1.0).",
    )  # fmt: skip
    if target_loss is not None:
        target_loss = checks.positive("target_loss", target_loss, example=1e-3)
    if isinstance(model, CompensatedSGD):
        found = _compensated(model)
    else:
        found = _delayed(model) if isinstance(model, AsyncSGD) else _rounds(model)
    if target_loss is not None:
        floor = model.loss_floor()
        inside, margin = below(floor, target_loss)
        found.append(
            Condition(
                f"the target is above the noise floor: {floor:.4g} < {target_loss:.4g}", inside,
                margin, f"{_QUADRATIC}; gradient noise of constant variance", _DERIVED, "derived",
            )
        )  # fmt: skip
    return tuple(found)


def _rounds(model: "SynchronousSGD") -> list[Condition]:
    limit = model.max_learning_rate()
    inside, margin = below(model.learning_rate, limit)
    return [
        Condition(
            f"rounds converge: learning rate {model.learning_rate:.4g} < 2 / largest eigenvalue = "
            f"{limit:.4g}",
            inside, margin, f"{_QUADRATIC}; rounds last their mean time {model.round_time:.4g}",
            _DERIVED, "derived",
        )
    ]  # fmt: skip


def _compensated(model: "CompensatedSGD") -> list[Condition]:
    limit = model.max_learning_rate()
    inside, margin = below(model.learning_rate, limit)
    qualities = model.quality
    return [
        Condition(
            f"the compensated mean converges: learning rate {model.learning_rate:.4g} < "
            f"{limit:.4g}",
            inside, margin,
            f"{_QUADRATIC}; at the minimum estimated over true curvature is "
            f"{qualities.min():.3g} to {qualities.max():.3g}; squared gradients at their means",
            _DERIVED, "derived",
        ),
        arrival_condition(model.plain),
    ]  # fmt: skip


def _delayed(model: "AsyncSGD") -> list[Condition]:
    quadratic = f"{_QUADRATIC}; workers always have one gradient in flight"
    delay = model.stream.delay
    damping = float(model.damping.max())
    limit = float(stability_limit(delay))
    rate = model.rate()
    stable, margin = below(damping, limit)
    found = [
        Condition(
            "the mean converges: damping learning_rate * largest eigenvalue * workers = "
            f"{damping:.4g} < {limit:.4g}",
            rate > 0.0,
            margin if stable == (rate > 0.0) else math.nan,
            quadratic,
            _DERIVED,
            "derived",
        )
    ]
    index = model.mean_square_index()
    inside, margin = below(index, 1.0)
    found.append(
        Condition(
            f"the expected loss stays bounded: mean-square index {index:.4g} < 1",
            inside and rate > 0.0,
            margin,
            f"{quadratic}; arrivals treated as {model.arrivals!r}",
            _DERIVED,
            "derived",
        )
    )
    critical = critical_damping(delay).damping
    inside, margin = below(damping, critical * (1.0 + 1e-12))
    found.append(
        Condition(
            f"no overshoot: damping {damping:.4g} <= critical damping {critical:.4g}",
            inside,
            margin,
            f"{quadratic}; noise-free mean",
            _DERIVED,
            "derived",
        )
    )
    found.append(arrival_condition(model))
    return found


def arrival_condition(model: "AsyncSGD") -> Condition:
    """Return the condition that the arrivals are as the model assumes."""
    from .staleness import poisson_error

    if model.arrivals == "exact":
        return Condition(
            "arrivals and staleness are exact for these workers", True, 1.0,
            "every worker is memoryless, or all have the same constant cycle", _DERIVED, "derived",
        )  # fmt: skip
    if model.arrivals == "renewal":
        largest = float(model.learning_rate * model.eigenvalues.max())
        inside, margin = below(largest, 0.5)
        return Condition(
            "each worker is a renewal process, and no update moves far: learning rate times "
            f"largest eigenvalue {largest:.3g} < 0.5",
            inside, margin, "measured against event simulation; what is left out is of second order"
            " in that product", _DERIVED, "derived",
        )  # fmt: skip
    delay = model.stream.delay
    if model.arrivals == "regular":
        inside, margin = below(delay.squared_variation, 0.5)
        return Condition(
            "arrivals are near-regular: squared coefficient of variation of a cycle "
            f"{delay.squared_variation:.3g} < 0.5",
            inside, margin, "a rule of thumb from event simulation, not a theorem",
            _DERIVED, "derived",
        )  # fmt: skip
    error = poisson_error(delay, model.workers)
    inside, margin = below(error, 0.05)
    return Condition(
        f"arrivals are near Poisson: largest error of a window's empty chance {error:.2g} < 0.05",
        inside, margin,
        "short windows only; over windows longer than a cycle the number of arrivals varies with "
        "the cycle's own squared coefficient of variation",
        _DERIVED, "derived",
    )  # fmt: skip
