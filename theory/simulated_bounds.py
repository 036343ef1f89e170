"""What a simulated choice may be: as far from divergence as the plan must stay, by simulation.

Where clusters can be cloned the margin is that of the simulated growth, so a limit that theory puts
too high or too low misleads nobody; what chance could explain is left to theory. Under other
methods the margin is that of theory alone. Nothing here knows how long anything takes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .simulated_limits import Growth

_SLOW, _SMALL = 1.0, 0.3  # products of learning rate, eigenvalue (and workers) that never diverge
_SURE = 4.0  # standard errors from which a sign is believed: they come from few blocks
_NEAR = 2.0  # of a limit, within which that of theory is


@dataclass(frozen=True)
class Told:
    """Bounds that theory tells.

    Attributes
    ----------
    least, most : int
        Numbers of workers that may be chosen.
    largest_rate : callable or None
        Largest learning rate allowed at a number of workers; None if the rate is given.
    """

    least: int
    most: int
    largest_rate: Callable[[int], float] | None

    @property
    def is_free(self) -> bool:
        """Whether the learning rate is to be chosen."""
        return self.largest_rate is not None

    @property
    def seconds(self) -> float:
        """Nominal processor time that the answers have cost."""
        return 0.0

    def admitted(self, workers: int, rate: float) -> float | None:
        """Return the learning rate, or the largest one allowed below; None if none is."""
        if not self.least <= workers <= self.most:
            return None
        return rate if self.largest_rate is None else min(rate, self.largest_rate(workers))


@dataclass(eq=False)
class Grown:
    """Bounds that simulated growth tells, where gradients are applied as they arrive.

    Attributes
    ----------
    most : int
        Workers that may be chosen.
    told : Told
        What theory says.
    margin : float
        The mean square must fall at ``rate / (1 - margin)``.
    growth : Growth
    """

    most: int
    told: Told
    margin: float
    growth: Growth
    sure: dict[int, float] = field(default_factory=dict)  # the largest rate known to be allowed
    lost: dict[int, float] = field(default_factory=dict)  # the smallest known not to be
    caps: dict[int, float] = field(default_factory=dict)

    @property
    def least(self) -> int:
        """Fewest workers that may be chosen."""
        return self.told.least

    @property
    def is_free(self) -> bool:
        """Whether the learning rate is to be chosen."""
        return self.told.is_free

    @property
    def seconds(self) -> float:
        """Nominal processor time that the answers have cost."""
        return self.growth.seconds

    def admitted(self, workers: int, rate: float) -> float | None:
        """Return the learning rate, or the largest one allowed below; None if none is."""
        if not self.least <= workers <= self.most:
            return None
        if self.allows(workers, rate):
            return rate
        if not self.is_free:
            return None
        if workers not in self.caps:
            found = self.growth.largest_rate(workers, rate / (1.0 - self.margin), rough=True)
            cap, error = ((1.0 - self.margin) * value for value in (found.value, found.error))
            by_theory = self.told.admitted(workers, math.inf)
            if by_theory is not None and abs(by_theory - cap) < _NEAR * error:
                cap = by_theory
            self.caps[workers] = cap
        cap = self.caps[workers]
        return min(cap, rate) if math.isfinite(cap) else None

    def allows(self, workers: int, rate: float) -> bool:
        """Return whether the mean square falls at a learning rate larger by the margin.

        What is allowed is so at smaller rates; with a given rate, with fewer workers too.
        """
        if rate <= self.sure.get(workers, 0.0):
            return True
        if rate >= self.lost.get(workers, math.inf):
            return False
        if not self.is_free:
            if any(workers <= count for count in self.sure):
                return True
            if any(workers >= count for count in self.lost):
                return False
        beyond = rate / (1.0 - self.margin)
        alpha = beyond * self.growth.largest
        allowed = alpha < _SMALL and alpha * workers < _SLOW
        if not allowed:
            found = self.growth.rate(workers, beyond, rough=True)
            if abs(found.value) < _SURE * found.error:
                found = self.growth.rate(workers, beyond)
            allowed = found.value < 0.0
            if abs(found.value) < _SURE * found.error:
                allowed = self.told.admitted(workers, rate) == rate
        (self.sure if allowed else self.lost)[workers] = rate
        return allowed
