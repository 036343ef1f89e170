"""Functions of time made of polynomials, one per panel: what the method of steps returns.

Each panel holds the values of a matrix-valued function at Chebyshev-Lobatto nodes; evaluation is
barycentric, integration by Gauss rules, both panel by panel, so that kinks at panel ends cost
nothing. Before time 0 the function is the history. Knows nothing about the equation it solves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .numerics import Floats, gauss, interpolation

DEGREE = 16  # of the polynomial on each panel
History = Callable[[Floats], Floats]  # times < 0, shape (n,) -> values, shape (n, rows, columns)


@lru_cache(maxsize=1)
def panel() -> tuple[Floats, Floats, Floats, Floats]:
    """Return nodes on [0, 1], barycentric weights, and the integration and derivative matrices.

    Row i of the integration matrix takes values at the nodes to the integral from 0 to node i.
    """
    k = np.arange(DEGREE + 1)
    x: Floats = (1.0 - np.cos(np.pi * k / DEGREE)) / 2.0
    weights: Floats = np.where(k % 2 == 0, 1.0, -1.0)
    weights[[0, -1]] *= 0.5
    points, masses = gauss(DEGREE)
    integral = np.stack([masses * at @ interpolation(x, weights, points * at) for at in x])
    gap = x[:, None] - x[None, :]
    np.fill_diagonal(gap, 1.0)
    derivative: Floats = weights[None, :] / weights[:, None] / gap
    np.fill_diagonal(derivative, 0.0)
    np.fill_diagonal(derivative, -derivative.sum(axis=1))
    return x, weights, integral, derivative


@dataclass(frozen=True, eq=False)
class Piecewise:
    """A matrix-valued function on [0, end], continued to negative times by its history.

    Attributes
    ----------
    breaks : ndarray, shape (panels + 1,)
        Ends of the panels, from 0.
    values : ndarray, shape (panels, DEGREE + 1, rows, columns)
        Values at the nodes of each panel.
    history : callable
        Values at negative times.
    """

    breaks: Floats
    values: Floats
    history: History

    def __call__(self, t: Floats) -> Floats:
        """Return values at `t`, shape ``t.shape + (rows, columns)``; right limits at jumps."""
        at = np.asarray(t, dtype=float)
        flat = at.ravel()
        out = np.empty((flat.size, *self.values.shape[2:]))
        past = flat < 0.0
        if past.any():
            out[past] = self.history(flat[past])
        out[~past] = self.inside(flat[~past])
        return out.reshape(*at.shape, *self.values.shape[2:])

    def inside(self, t: Floats, panels: int | None = None) -> Floats:
        """Return values at times in [0, end], reading the first `panels` panels only."""
        last = (len(self.values) if panels is None else max(panels, 1)) - 1
        index = np.clip(np.searchsorted(self.breaks, t, side="right") - 1, 0, last)
        x, weights, _, _ = panel()
        start = self.breaks[index]
        rows = interpolation(x, weights, (t - start) / (self.breaks[index + 1] - start))
        shape = self.values.shape[2:]
        flat = self.values.reshape(len(self.values), DEGREE + 1, -1)
        return np.einsum("np,npc->nc", rows, flat[index]).reshape(-1, *shape)

    def quadrature(self, until: float) -> tuple[Floats, Floats]:
        """Return nodes and weights exact for products of two panels' polynomials on [0, until]."""
        ends = np.append(self.breaks[self.breaks < until], until)
        x, w = gauss(DEGREE + 2)
        width = np.diff(ends)
        return (ends[:-1, None] + width[:, None] * x).ravel(), (width[:, None] * w).ravel()
