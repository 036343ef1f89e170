"""The learning rate with the shortest time to a target, for one number of workers.

The loss curves of a whole grid of learning rates are solved side by side: a learning rate and an
eigenvalue enter the equations as their product alone, so a grid costs little more than one rate.
Nothing here chooses the number of workers.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.quadratic import per_axis

from .async_sgd import AsyncSGD
from .loss_curve import LossCurve
from .loss_mixing import mixed
from .squares import gather, square_curves
from .synchronous import SynchronousSGD
from .worker_limits import divergence_index

Floats = NDArray[np.float64]

_FINE = 1.02  # ratio of neighbouring learning rates at which the search ends
_AROUND = 3.0  # factor in both directions that is searched where the best rate is expected
_TOGETHER = 400  # products of learning rate and eigenvalue solved side by side


def times_to(model: Any, rates: Floats, target: float, start: Any) -> Floats:
    """Return the time after which the expected loss stays at or below `target`, for each rate.

    Parameters
    ----------
    model : AsyncSGD or SynchronousSGD
        Its own learning rate does not count.
    rates : array
        Learning rates below the largest one with bounded loss.
    target : float
        Expected excess loss.
    start : float or array
        Distance from the minimum along each eigenvector.
    """
    if isinstance(model, SynchronousSGD):
        return np.array(
            [model.replace(learning_rate=float(eta)).time_to(target, start) for eta in rates]
        )
    return np.array(
        [curve.time_below(target, settle=True) for curve in curves(model, rates, start)]
    )


def curves(model: AsyncSGD, rates: Floats, start: Any) -> list[LossCurve]:
    """Return the expected excess loss over time for each learning rate."""
    point = per_axis("start", start, model.eigenvalues.size)
    each = max(1, _TOGETHER // model.eigenvalues.size)
    found = []
    for first in range(0, rates.size, each):
        part = rates[first : first + each]
        nodes, shares = gather(np.multiply.outer(part, model.eigenvalues).ravel())
        solved = square_curves(model.stream, nodes)
        blocks = shares.reshape(part.size, model.eigenvalues.size, nodes.size)
        found += [
            mixed(
                solved, nodes, block, eigenvalues=model.eigenvalues, noise=model.gradient_noise,
                learning_rate=float(eta), start=point,
            )
            for eta, block in zip(part, blocks, strict=True)
        ]  # fmt: skip
    return found


def best_rate(
    model: Any, target: float, start: Any, *, margin: float, near: float | None = None
) -> float:
    """Return the learning rate with the shortest time to a target, to about one per cent.

    Parameters
    ----------
    model : AsyncSGD or SynchronousSGD
        Its own learning rate does not count.
    target : float
        Expected excess loss.
    start : float or array
        Distance from the minimum along each eigenvector.
    margin : float
        How far to stay from divergence, as a share of the largest rate with bounded loss.
    near : float, optional
        Where the best rate is expected; four decades below the limit are searched without it.

    Returns
    -------
    float
        The smallest rate tried if no rate reaches the target.
    """
    limit = math.inf
    if near is None or not _is_safe(model, _AROUND * near / (1.0 - margin)):
        limit = (1.0 - margin) * model.max_learning_rate()
    if near is None or near >= limit:
        near, grid = None, np.geomspace(1e-4 * limit, limit, 17)
    else:
        grid = np.geomspace(near / _AROUND, min(_AROUND * near, limit), 9)
    times = times_to(model, grid, target, start)
    best = int(np.argmin(times))
    if near is not None:
        outside = best == 0 or (best == grid.size - 1 and grid[-1] < limit)
        if outside or not math.isfinite(times[best]):
            return best_rate(model, target, start, margin=margin)
    while grid[1] > _FINE * grid[0] and math.isfinite(times[best]):
        ends = slice(max(best - 1, 0), best + 2)
        known, found = grid[ends], times[ends]
        grid = np.geomspace(known[0], known[-1], 7)
        near_known = np.abs(grid[:, None] / known - 1.0).argmin(axis=1)
        old = np.isclose(grid, known[near_known], rtol=1e-9)
        times = found[near_known]
        times[~old] = times_to(model, grid[~old], target, start)
        best = int(np.argmin(times))
    return float(grid[best])


def _is_safe(model: Any, rate: float) -> bool:
    """Return whether the expected loss stays bounded, without looking for the limit."""
    largest = rate * float(model.eigenvalues.max())
    if isinstance(model, SynchronousSGD):
        return largest < 2.0
    return divergence_index(model.stream, largest) < 1.0
