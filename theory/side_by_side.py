"""Times to a target for many learning rates at once.

A learning rate and an eigenvalue enter the equations as their product alone, so the loss curves of
a whole grid of learning rates are solved side by side for little more than the price of one.
Nothing here chooses among them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.quadratic import per_axis

from . import clock
from .async_sgd import AsyncSGD
from .loss_curve import LossCurve
from .loss_mixing import mixed
from .squares import gather, square_curves

Floats = NDArray[np.float64]

_TOGETHER = 400  # products of learning rate and eigenvalue solved side by side


def times_to(model: Any, rates: Floats, target: float, start: Any) -> Floats:
    """Return the time after which the expected loss stays at or below `target`, for each rate.

    Parameters
    ----------
    model : AsyncSGD, SynchronousSGD or CompensatedSGD
        Its own learning rate does not count.
    rates : array
        Learning rates below the largest one with bounded loss.
    target : float
        Expected excess loss.
    start : float or array
        Distance from the minimum along each eigenvector.
    """
    if not isinstance(model, AsyncSGD) or model.unweighted is not None:
        return np.array(
            [model.replace(learning_rate=float(eta)).time_to(target, start) for eta in rates]
        )
    lag, jitter = model.stream.lag, model.stream.jitter
    found = []
    for curve in curves(model, rates, start):
        time = curve.time_below(target, settle=True)
        found.append(clock.time_of(curve, time, target, lag=lag, jitter=jitter))
    return np.array(found)


def curves(model: AsyncSGD, rates: Floats, start: Any) -> list[LossCurve]:
    """Return the expected excess loss over time for each learning rate."""
    point = per_axis("start", start, model.eigenvalues.size)
    each = max(1, _TOGETHER // model.eigenvalues.size)
    found = []
    for first in range(0, rates.size, each):
        part = rates[first : first + each]
        nodes, shares = gather(
            np.multiply.outer(part, model.eigenvalues).ravel(), model.stream.kind
        )
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
