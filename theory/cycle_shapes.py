r"""Exponentials that stand for how the mean changes since a worker's reading.

What a worker's next arrival meets is its reading and the change since. The change is projected on
four functions of the time *w* since the reading: the slowest wave of the mean and its square or its
partner, and two exponentials of the order of a cycle, less one where they start at one. Coordinates
with the same grid share the ages at which changes are looked at. Nothing here knows variances.
Derived in this project.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .lattice import CELLS
from .worker_renewals import WorkerRenewals

Floats = NDArray[np.float64]

SHAPES = 4
_FAST = (-1.0, -2.5)  # exponents of the order of a cycle
_SLOW = 1e-3  # alpha times damping below which x hardly changes within a cycle
_LATER = 1e-3  # weight of ages beyond all cycles, which later cycles see
_DENSE = 6.0  # cycles within which changes since a reading are looked at closely


@dataclass(frozen=True, eq=False)
class Shapes:
    r"""Shapes of the change since a reading, for coordinates with the same grid.

    Attributes
    ----------
    modes : numpy.ndarray, shape (modes,)
        Which coordinates.
    turning : numpy.ndarray, shape (modes,)
        Whether the slowest wave oscillates; the first two functions are then :math:`e^{\sigma
        w}\cos\omega w` and :math:`e^{\sigma w}\sin\omega w`.
    growth : numpy.ndarray, shape (modes, 1 + shapes, cells)
        One, and the functions, at the grid times.
    start : numpy.ndarray, shape (modes, shapes)
        Their values at zero, which the shapes are without.
    ages : numpy.ndarray, shape (ages,)
        Grid times since the reading.
    project : numpy.ndarray, shape (modes, shapes, ages)
        ``project @ change``: the parts of the shapes in a change.
    """

    modes: NDArray[np.int64]
    turning: NDArray[np.bool_]
    growth: Floats
    start: Floats
    ages: NDArray[np.int64]
    project: Floats

    @cached_property
    def values(self) -> Floats:
        """The shapes at the ages, shape (modes, shapes, ages)."""
        return self.growth[:, 1:][..., self.ages] - self.start[..., None]

    @cached_property
    def on_grid(self) -> Floats:
        """`project` at all grid times, zero between the ages, shape (modes, shapes, cells)."""
        out = np.zeros((*self.project.shape[:2], CELLS))
        out[..., self.ages] = self.project
        return out

    def interpolated(self, values: Floats) -> Floats:
        """Return functions of the ages at all grid times, constant beyond the last."""
        every = np.arange(CELLS)
        left = np.clip(np.searchsorted(self.ages, every, side="right") - 1, 0, self.ages.size - 2)
        width = self.ages[left + 1] - self.ages[left]
        share = np.minimum((every - self.ages[left]) / width, 1.0)
        return values[..., left] * (1.0 - share) + values[..., left + 1] * share


def shapes_of(means: WorkerRenewals, group: int) -> list[Shapes]:
    """Return the shapes for the coordinates that move within a cycle, one set for each grid."""
    damping = means.alpha * means.crew.workers
    moves = (means.alpha * damping > _SLOW) & ~means.wild & (means.crew.workers > 1)
    steps = means.step[:, 0]
    return [
        _shapes(means, group, np.flatnonzero(moves & (steps == step)))
        for step in np.unique(steps[moves])
    ]


def _shapes(means: WorkerRenewals, group: int, modes: NDArray[np.int64]) -> Shapes:
    rate = means.crew.rates[group]
    step, cycle = float(means.step[modes[0], 0]), 1.0 / rate
    slow, turn = np.minimum(means.roots[modes].real, -1e-3), means.roots[modes].imag
    turning = turn != 0.0
    time = np.arange(CELLS) * step
    growth = np.ones((modes.size, 1 + SHAPES, CELLS))
    wave = np.exp(np.multiply.outer(slow, time))
    angle = np.multiply.outer(turn, time)
    growth[:, 1] = wave * np.cos(angle)
    growth[:, 2] = wave * np.where(turning[:, None], np.sin(angle), wave)
    growth[:, 3:] = np.exp(np.multiply.outer(np.array(_FAST) * rate, time))
    mass = means.mass[group][modes[0]]
    inside = np.cumsum(mass)
    dense = int(_DENSE * cycle / step)
    ages = _ages(max(int(np.searchsorted(inside, 1.0 - 1e-6)) + 2, dense), dense)
    width = np.diff(ages, prepend=0) * step
    left = np.maximum(1.0 - inside[ages] + mass[ages], _LATER)  # that a cycle is longer
    weight = np.sqrt(left * np.maximum(width, step))
    start = growth[:, 1:, 0]
    shapes = (growth[:, 1:][..., ages] - start[..., None]) * weight
    project = np.linalg.pinv(shapes.transpose(0, 2, 1), rcond=1e-6) * weight
    return Shapes(modes, turning, growth, start, ages, np.asarray(project, dtype=float))


def _ages(longest: int, dense: int) -> NDArray[np.int64]:
    """Return grid times: every second up to `dense`, then ever fewer up to `longest`."""
    longest = min(max(longest, 8), CELLS - 2)
    near = np.arange(0, min(dense, longest) + 2, 2)
    if near[-1] >= longest:
        return near
    count = math.ceil(math.log(longest / near[-1]) / 0.15) + 1
    far = np.geomspace(near[-1], longest, count)[1:]
    return np.unique(np.append(near, np.ceil(far).astype(int)))
