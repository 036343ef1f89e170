"""Sets that the parameters are projected onto after each update. Plain values.

Theorems about unbounded delays assume such a set. The start of a run is taken as it is. Nothing
here computes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """Parameters within a Euclidean distance of a centre.

    Parameters
    ----------
    radius : float
        Largest distance, > 0.
    centre : float or array (dim,)
        The centre; one number stands for all coordinates.
    lazy : bool
        Gradients move a point that is not projected, and workers read its projection (dual
        averaging); otherwise the projected point itself moves on.

    Examples
    --------
    >>> Ball(2.0, lazy=True).radius
    2.0
    """

    radius: float
    centre: Any = field(default=0.0, kw_only=True)
    lazy: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.positive("radius", self.radius, example=1.0)
        object.__setattr__(self, "centre", _coordinates("centre", self.centre))
        checks.flag("lazy", self.lazy)


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """Parameters between two bounds, each coordinate by itself.

    Parameters
    ----------
    lowest, highest : float or array (dim,)
        Bounds, lowest < highest; one number stands for all coordinates.
    lazy : bool
        Gradients move a point that is not projected, and workers read its projection (dual
        averaging); otherwise the projected point itself moves on.

    Examples
    --------
    >>> Box(-1.0, 1.0).highest
    1.0
    """

    lowest: Any
    highest: Any
    lazy: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        low, high = _coordinates("lowest", self.lowest), _coordinates("highest", self.highest)
        if np.ndim(low) and np.ndim(high) and len(low) != len(high):
            raise checks.fail("highest", self.highest, "has another length than lowest")
        if not np.all(np.less(low, high)):
            raise checks.fail(
                "highest", self.highest, "is not above lowest", remedy="Box(-1.0, 1.0)"
            )
        object.__setattr__(self, "lowest", low)
        object.__setattr__(self, "highest", high)
        checks.flag("lazy", self.lazy)


def _coordinates(name: str, value: ArrayLike) -> Any:
    """Return a number, or a read-only array with one number for each coordinate."""
    if checks.is_single(value):
        return checks.number(name, value, example=0.0)
    array = checks.vector(name, value)
    array.setflags(write=False)
    return array


Projection = Ball | Box
