"""Second moments in time of linear delay equations with noise, from a known history.

Additive noise needs one integral of the fundamental solution. Knows nothing about stationarity.
"""

import numpy as np

from .numerics import Floats
from .piecewise import Piecewise


def additive_variance(solution: Piecewise, noise: Floats, t: Floats) -> Floats:
    """Return the integral from 0 to t of K B B^T K^T, shape ``t.shape + (dim, dim)``."""
    times, where = np.unique(np.maximum(t, 0.0), return_inverse=True)
    end = max(float(times[-1]), 0.0) if times.size else 0.0
    breaks = np.unique(np.concatenate([solution.breaks[solution.breaks < end], times, [0.0, end]]))
    nodes, weights = Piecewise(breaks, solution.values, solution.history).quadrature(end)
    if not nodes.size:
        return np.zeros((*t.shape, len(noise), len(noise)))
    push = solution.inside(nodes) @ noise
    parts = weights[:, None, None] * (push @ np.swapaxes(push, -1, -2))
    panels = parts.reshape(len(breaks) - 1, -1, *parts.shape[1:]).sum(axis=1)
    total = np.concatenate([np.zeros((1, *parts.shape[1:])), np.cumsum(panels, axis=0)])
    return total[np.searchsorted(breaks, times)][where].reshape(*t.shape, *parts.shape[1:])
