"""Accounts of one system: simulated numbers with errors, loss curves, and rows that compare them.

Plain values: what a comparison is made of. Nothing here simulates or predicts.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z = 4.5  # standard errors allowed: a false alarm once in 150,000 statements
STEP = 0.03  # relative error allowed to SDDE paths: they have a time step


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far simulated runs may be from theory, beyond chance.

    Attributes
    ----------
    quantity : str
        What is compared.
    share : float
        Relative error allowed to the theory, beyond `Z` standard errors of the runs.
    meaning : str
        Why the theory is allowed that much.
    """

    quantity: str
    share: float
    meaning: str


RATE = Tolerance(
    "update rate", 0.02,
    "theory is exact for workers with links of their own; a shared link is solved as a queue",
)  # fmt: skip
STALENESS = Tolerance(
    "staleness law", 0.02,
    "the mean is exact, and so is the law of equal independent workers; the overlap of two laws is "
    "1 where they are the same",
)  # fmt: skip
POISSON_STALENESS = Tolerance(
    "staleness law",
    0.10,
    "the mean is exact; the law takes the other workers for a Poisson stream",
)
LOSS = Tolerance(
    "loss curve",
    0.10,
    "at single times; the median over all times above twice the noise floor may be off by 3 %",
)
CURVE = Tolerance("loss curve", 0.03, LOSS.meaning)
TIME = Tolerance(
    "time to target",
    0.08,
    "arrivals are taken between a Poisson process and a regular stream, except where exact",
)
LIMIT = Tolerance(
    "divergence limit",
    0.05,
    "as for times; where workers wait for each other, a mean over few runs misses rare large "
    "losses too, and runs seem to diverge a little later than they do",
)
TOLERANCES = (RATE, STALENESS, LOSS, TIME, LIMIT)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A simulated number and its standard error."""

    value: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity: the SDDE in closed form and by paths, and theory against discrete runs.

    Attributes
    ----------
    workers : int
    quantity : str
    sdde : float
        Closed form of the SDDE with Poisson arrivals; nan where it does not speak of the quantity.
    paths : Estimate or None
        Paths of that SDDE.
    theory : float
        Closed form with the treatment of the arrivals that fits best.
    runs : Estimate
        Discrete runs.
    tolerance : Tolerance
        What `theory` is allowed, and of which quantity this row speaks.
    """

    workers: int
    quantity: str
    sdde: float
    paths: Estimate | None
    theory: float
    runs: Estimate
    tolerance: Tolerance

    @property
    def difference(self) -> float:
        """Relative difference of the runs from theory; nan where one of them is not finite."""
        if not math.isfinite(self.runs.value) or not math.isfinite(self.theory):
            return math.nan
        return self.runs.value / self.theory - 1.0 if self.theory else self.runs.value

    @property
    def beyond_chance(self) -> float:
        """Relative difference that is left when chance has taken its share; inf if only one of the
        two numbers is finite, nan if none is.
        """
        known = math.isfinite(self.runs.value), math.isfinite(self.theory)
        if not all(known):
            return math.inf if any(known) else math.nan
        left = max(0.0, abs(self.runs.value - self.theory) - Z * self.runs.error)
        return left / abs(self.theory) if self.theory else left

    @property
    def agrees(self) -> bool:
        """Whether paths lie close to the SDDE's closed form, and runs close to theory."""
        paths = self.paths is None or _close(self.paths, self.sdde, STEP)
        return paths and _close(self.runs, self.theory, self.tolerance.share)


def _close(estimate: Estimate, expected: float, share: float) -> bool:
    if not math.isfinite(expected) or not math.isfinite(estimate.value):
        return not math.isfinite(expected) and not math.isfinite(estimate.value)
    return bool(abs(estimate.value - expected) <= Z * estimate.error + share * abs(expected))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all rows of one quantity say together.

    Attributes
    ----------
    quantity : str
    agrees : bool
    rows : int
        How many rows there are.
    beyond_chance : float
        Largest relative difference of the runs from theory that chance does not explain.
    allowed : tuple of float
        Such differences that the rows are allowed.
    meaning : str
        Why theory is allowed that much.
    """

    quantity: str
    agrees: bool
    rows: int
    beyond_chance: float
    allowed: tuple[float, ...]
    meaning: str


def verdicts(rows: tuple[Row, ...]) -> tuple[Verdict, ...]:
    """Return one verdict for each quantity that rows speak of."""
    found = []
    for tolerance in TOLERANCES:
        part = [row for row in rows if row.tolerance.quantity == tolerance.quantity]
        if part:
            left = [row.beyond_chance for row in part if not math.isnan(row.beyond_chance)]
            found.append(
                Verdict(
                    tolerance.quantity, all(row.agrees for row in part), len(part),
                    max(left, default=math.nan), tuple(sorted({r.tolerance.share for r in part})),
                    tolerance.meaning,
                )
            )  # fmt: skip
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Account:
    """The mean excess loss against time, as one account gives it, with standard errors."""

    name: str
    loss: Floats
    error: Floats


@dataclass(frozen=True, slots=True)
class Case:
    """All accounts at one number of workers.

    Attributes
    ----------
    workers : int
    learning_rate : float
    times : array (times,)
    accounts : dict of str to Account
        ``"theory"``, ``"runs"``, and where they apply ``"sdde"`` (its closed form), ``"paths"``
        and ``"objective"`` (runs of the real objective).
    staleness : array
        Measured law of the staleness: share of gradients with staleness 0, 1, ...
    predicted_staleness : array or None
        None for methods that wait, whose law is not known here.
    """

    workers: int
    learning_rate: float
    times: Floats
    accounts: dict[str, Account]
    staleness: Floats
    predicted_staleness: Floats | None


def crossing(times: Floats, account: Account, target: float) -> Estimate:
    """Return when a mean loss settles at or below `target`, interpolated in the logarithm.

    The standard error is that of the loss over the slope of the curve there.
    """
    above = np.flatnonzero(~(account.loss <= target))
    if above.size == 0:
        return Estimate(float(times[0]))
    last = int(above[-1])
    if last + 1 >= len(times) or not np.isfinite(account.loss[last : last + 2]).all():
        return Estimate(math.nan)
    high, low = np.log(account.loss[last : last + 2])
    share = (high - math.log(target)) / (high - low)
    step = times[last + 1] - times[last]
    error = account.error[last + 1] / account.loss[last + 1] / (high - low) * step
    return Estimate(float(times[last] + share * step), float(error))


def averaged(name: str, losses: Floats) -> Account:
    """Return the mean over paths or runs (axis 0) and its standard error."""
    with np.errstate(invalid="ignore"):  # runs that diverged have infinite losses
        mean = losses.mean(axis=0)
        error = losses.std(axis=0, ddof=1) / math.sqrt(len(losses))
    return Account(name, mean, error)


def overlap(one: Floats, other: Floats) -> float:
    """Return the shared probability of two laws of whole numbers: 1 less their distance."""
    size = max(len(one), len(other))
    padded = [np.pad(law, (0, size - len(law))) for law in (one, other)]
    return float(np.minimum(*padded).sum())


def plain(value: Any) -> Any:
    """Return a number for JSON; None where it is not finite."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    return float(value) if math.isfinite(value) else None
