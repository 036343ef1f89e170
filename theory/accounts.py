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
EXACT = 0.02  # relative error allowed where theory is exact and only the start-up differs


@dataclass(frozen=True, slots=True)
class Estimate:
    """A simulated number and its standard error."""

    value: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity, answered three times.

    Attributes
    ----------
    workers : int
    quantity : str
    theory : float
        The closed form.
    paths, runs : Estimate or None
        SDDE paths and discrete runs; None where the account does not speak of the quantity.
    model_error : float
        Relative error that the closed form is allowed to have, beyond `Z` standard errors.
    """

    workers: int
    quantity: str
    theory: float
    paths: Estimate | None
    runs: Estimate | None
    model_error: float

    def difference(self, estimate: Estimate | None) -> float:
        """Return the relative difference of a simulated number from the closed form."""
        if estimate is None or not math.isfinite(estimate.value):
            return math.nan
        return estimate.value / self.theory - 1.0 if self.theory else estimate.value

    @property
    def agrees(self) -> bool:
        """Whether paths and runs lie within `Z` standard errors plus the model error of theory."""
        return all(self._close(one) for one in (self.paths, self.runs) if one is not None)

    def _close(self, estimate: Estimate) -> bool:
        if not math.isfinite(self.theory) or not math.isfinite(estimate.value):
            return math.isnan(estimate.value) == math.isnan(self.theory)
        allowed = Z * estimate.error + self.model_error * abs(self.theory)
        return abs(estimate.value - self.theory) <= allowed


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
