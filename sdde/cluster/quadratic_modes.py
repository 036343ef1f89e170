"""A long spectrum as a few modes: neighbouring eigenvalues are replaced by one of their mean size.

The expected loss of modes with equal eigenvalues depends only on the sum of their squared starts
and of their squared noises, so a group of equal eigenvalues is one mode exactly; a group of
neighbouring ones nearly so. Plain values; knows nothing of workers.
"""

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.quadratic import Quadratic

Floats = NDArray[np.float64]


def condensed(objective: Quadratic, modes: int) -> Quadratic:
    """Return a quadratic of at most `modes` modes; see `sdde.theory.condense`."""
    checks.integer("modes", modes, lowest=2)
    if objective.dim <= modes:
        return objective
    order = np.argsort(objective.eigenvalues)
    size = objective.eigenvalues[order]
    start, noise = objective.start[order] ** 2, objective.noise[order] ** 2
    weight = _shares(size * start) + _shares(noise)
    groups = _cut(weight[:-1], modes - 1)
    bounds = [*groups, len(size) - 1]  # the last group is the largest eigenvalue alone
    eigenvalues, starts, noises = [], [], []
    for first, last in zip(bounds, [*bounds[1:], len(size)], strict=True):
        part = slice(first, last)
        mean = float(np.average(size[part], weights=weight[part] + 1e-12))
        eigenvalues.append(mean)
        starts.append(np.sqrt((size[part] * start[part]).sum() / mean))
        noises.append(np.sqrt(noise[part].sum()))
    return Quadratic(np.array(eigenvalues), noise=np.array(noises), start=np.array(starts))


def _shares(values: Floats) -> Floats:
    total = values.sum()
    return values / total if total > 0 else np.full(values.shape, 1.0 / values.size)


def _cut(weight: Floats, groups: int) -> list[int]:
    """Return where `groups` runs of about equal weight begin, each with at least one member."""
    done = np.cumsum(weight) / weight.sum()
    begins = [0]
    for share in np.arange(1, groups) / groups:
        place = int(np.searchsorted(done, share)) + 1
        place = max(place, begins[-1] + 1)
        if place < len(weight):
            begins.append(place)
    return begins
