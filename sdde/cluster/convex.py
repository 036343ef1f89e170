"""What strictly convex objectives share: the optimum by Newton's method, and the quadratic that the
loss is near it.

Works on anything with `dim`, `start`, `loss`, `gradient`, `hessian` and `gradient_noise`. Plain
NumPy.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import Quadratic

Floats = NDArray[np.float64]

_NEWTON_STEPS = 100


def newton(objective: Any) -> tuple[Floats, float]:
    """Return the parameters with the least loss, and that loss, by damped Newton steps.

    The loss is strictly convex, so this cannot end elsewhere.
    """
    x = np.zeros(objective.dim)
    value = objective.loss(x)
    for _ in range(_NEWTON_STEPS):
        slope = objective.gradient(x)
        try:
            direction = np.linalg.solve(objective.hessian(x), slope)
        except np.linalg.LinAlgError:
            raise checks.fail(
                "regularisation", objective.regularisation, "is too small: the minimum is not one",
                why="In some direction the loss is flat to rounding.",
                remedy="For example regularisation = 1e-6.",
            ) from None  # fmt: skip
        decrement = float(slope @ direction)
        if decrement < 1e-26:
            break
        share = 1.0
        while (trial := objective.loss(x - share * direction)) > value - 0.25 * share * decrement:
            share /= 2.0
            if share < 1e-8:  # the loss is flat to rounding: take the last full step
                share, trial = 1.0, objective.loss(x - direction)
                break
        x, value = x - share * direction, trial
    x.setflags(write=False)
    return x, value


def local_quadratic(objective: Any, at: ArrayLike | None) -> Quadratic:
    """Return the quadratic that a loss is near its optimum, in the eigenvectors of its curvature.

    Parameters
    ----------
    objective : object
        Strictly convex, with `optimum`.
    at : array (dim,) or None
        Where curvature and gradient noise are measured; the optimum if None.

    Returns
    -------
    Quadratic
        Eigenvalues of the Hessian in ascending order, the standard deviation of the mini-batch
        gradient along each eigenvector, and the start relative to the optimum.
    """
    best, _ = objective.optimum()
    point = best if at is None else checks.vector("at", at)
    if point.size != objective.dim:
        raise checks.fail("at", at, f"has {point.size} values for {objective.dim} parameters")
    eigenvalues, vectors = np.linalg.eigh(objective.hessian(point))
    variances = np.einsum("ij,ij->j", vectors, objective.gradient_noise(point) @ vectors)
    return Quadratic(
        eigenvalues,
        noise=np.sqrt(np.maximum(variances, 0.0)),
        start=vectors.T @ (objective.start - best),
    )
