"""Accounts of one system: simulated numbers with errors, loss curves, and rows that compare them.

Plain values: what a comparison is made of. Nothing here simulates or predicts.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z = 4.5  # standard errors allowed: a false alarm once in 150,000 statements
MODEL = 0.10  # relative error allowed to the SDDE, which takes arrivals for a Poisson process
STEP = 0.03  # relative error allowed to SDDE paths: they have a time step
EXACT = 0.02  # relative error allowed where theory is exact and only the start-up differs


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
        Closed form with the plan's treatment of the arrivals, which may be more exact.
    runs : Estimate
        Discrete runs.
    model_error : float
        Relative error that `theory` is allowed to have, beyond `Z` standard errors.
    """

    workers: int
    quantity: str
    sdde: float
    paths: Estimate | None
    theory: float
    runs: Estimate
    model_error: float

    @property
    def difference(self) -> float:
        """Relative difference of the runs from theory; nan where one of them is not finite."""
        if not math.isfinite(self.runs.value) or not math.isfinite(self.theory):
            return math.nan
        return self.runs.value / self.theory - 1.0 if self.theory else self.runs.value

    @property
    def agrees(self) -> bool:
        """Whether paths lie close to the SDDE's closed form, and runs close to theory."""
        paths = self.paths is None or _close(self.paths, self.sdde, STEP)
        return paths and _close(self.runs, self.theory, self.model_error)


def _close(estimate: Estimate, expected: float, share: float) -> bool:
    if not math.isfinite(expected) or not math.isfinite(estimate.value):
        return not math.isfinite(expected) and not math.isfinite(estimate.value)
    return abs(estimate.value - expected) <= Z * estimate.error + share * abs(expected)


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
    times : array (times,)
    accounts : tuple of Account
        Closed form, SDDE paths, discrete runs, and runs of the real objective where there is one.
    staleness : array
        Measured law of the staleness: share of gradients with staleness 0, 1, ...
    predicted_staleness : array
    """

    workers: int
    times: Floats
    accounts: tuple[Account, ...]
    staleness: Floats
    predicted_staleness: Floats


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
    mean = losses.mean(axis=0)
    return Account(name, mean, losses.std(axis=0, ddof=1) / math.sqrt(len(losses)))
