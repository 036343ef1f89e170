"""Where a rising function crosses zero, when it can only be measured with errors.

Rough measurements close a bracket, better ones around its middle decide, and a straight line
through all that lie near the root is read at zero. Knows nothing of what is measured.
"""

import math
from collections.abc import Callable

import numpy as np

from .accounts import Estimate

ROUGH = 4  # times less work for a measurement while a bracket is closed
EVALUATIONS = 11.0  # measurements in good quality that a root takes, rough ones for what they are
_STEP = 1.12  # ratio of neighbours while a bracket is looked for
_CLOSE = 1.06  # ratio of its ends when it is closed
_AROUND = (-0.03, -0.01, 0.01, 0.03)  # of the middle of a bracket, and of the first root there
_NEAR = 1.12  # ratio within which the function is taken for a straight line
_FEW = 40.0  # up to here it is a curve over whole numbers, and the two beside a root decide
_TRIES = 24


class NoisyRoot:
    """The root of a function that rises, at places above zero.

    Parameters
    ----------
    measure : callable
        ``measure(place, rough)`` returns an `Estimate`, independent of all others.
    whole : bool
        Whether places are whole numbers; the root is a broken one all the same.
    most : float
        Largest place.
    """

    def __init__(
        self, measure: Callable[[float, bool], Estimate], *, whole: bool = False,
        most: float = math.inf,
    ) -> None:  # fmt: skip
        self.measure, self.whole, self.most = measure, whole, most
        self.seen: list[tuple[float, float, float, float]] = []  # place, value, error, weight

    def find(self, near: float) -> Estimate:
        """Return the root and its standard error, looked for from a place on.

        ``inf`` where the function is negative up to the largest place; ``nan`` where no root was
        found.
        """
        bracket = self._bracket(self._place(near))
        if bracket is None:
            below = self.seen[-1][0] == self.most and not self.seen[-1][1] > 0.0
            return Estimate(math.inf if below else math.nan, math.nan)
        middle = math.sqrt(bracket[0] * bracket[1])
        found = Estimate(math.nan, math.nan)
        for _ in range(2):
            for share in _AROUND:
                place = middle * (1.0 + share)
                if self.whole and middle < _FEW:  # the number below and the one above, by turns
                    place = math.floor(middle) + (share in _AROUND[::2])
                self._look(self._place(place), rough=False)
            found = self._line(middle)
            if math.isfinite(found.value):
                middle = float(np.clip(found.value, bracket[0] / _CLOSE, bracket[1] * _CLOSE))
        return found

    def _place(self, place: float) -> float:
        return float(min(max(round(place), 1), self.most)) if self.whole else place

    def _look(self, place: float, *, rough: bool) -> bool:
        """Measure at a place, and return whether the value is above zero."""
        found = self.measure(place, rough)
        weight = 1.0 / ROUGH if rough else 1.0
        self.seen.append((place, found.value, found.error, weight))
        return found.value > 0.0

    def _bracket(self, place: float) -> tuple[float, float] | None:
        """Return two places close to each other, with a value above zero at the second only."""
        ratio = max(_STEP, (place + 1.0) / place) if self.whole else _STEP
        above = self._look(place, rough=True)
        before = place
        for _ in range(_TRIES):
            before, place = place, self._place(place / ratio if above else place * ratio)
            if place == before:
                return None
            if self._look(place, rough=True) != above:
                break
            ratio = min(ratio**1.3, 2.0)
        else:
            return None
        low, high = min(before, place), max(before, place)
        while high > _CLOSE * low and not (self.whole and high - low <= 1.0):
            middle = self._place(math.sqrt(low * high))
            if self.whole:
                middle = min(max(middle, low + 1.0), high - 1.0)
            if self._look(middle, rough=True):
                high = middle
            else:
                low = middle
        return low, high

    def _line(self, middle: float) -> Estimate:
        """Return the root of a line through what was seen near the middle, and its error.

        Errors of neighbours are nearly equal, and known to a quarter only; so they are pooled.
        """
        low, high = middle / _NEAR, middle * _NEAR
        if self.whole and middle < _FEW:
            low, high = math.floor(middle), math.floor(middle) + 1.0
        near = np.array([row for row in self.seen if low <= row[0] <= high])
        places, values, errors, weight = near.T
        if not np.isfinite(values).all() or np.ptp(places) == 0.0:
            return Estimate(math.nan, math.nan)
        total = float(weight.sum())
        centre = float(weight @ places) / total
        moment = float(weight @ (places - centre) ** 2)
        slope = float(weight @ ((places - centre) * values)) / moment
        if not slope > 0.0:
            return Estimate(math.nan, math.nan)
        root = centre - float(weight @ values) / total / slope
        pooled = float(np.mean(weight * errors**2))
        return Estimate(
            root, math.sqrt(pooled * (1.0 / total + (root - centre) ** 2 / moment)) / slope
        )
