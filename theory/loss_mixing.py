"""The expected loss of a quadratic out of the mean squares along its coordinates.

Mean squares are solved at dimensionless learning rates (nodes) and shared by eigenvalues; here they
are weighed with curvature, start and noise, and added up. Nothing here knows how they were solved.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exact import SquareCurves
from .loss_curve import LossCurve

Floats = NDArray[np.float64]


def mixed(
    curves: SquareCurves, nodes: Floats, shares: Floats, *, eigenvalues: Floats, noise: Any,
    learning_rate: float, start: Floats,
) -> LossCurve:  # fmt: skip
    """Return the expected excess loss over time.

    Parameters
    ----------
    curves : SquareCurves
        Mean squares at the nodes.
    nodes, shares : arrays, shapes (nodes,) and (modes, nodes)
        Products of learning rate and eigenvalue, and the share of each mode in each of them.
    eigenvalues, noise, start : arrays, shape (modes,)
        Curvatures, deviations of the gradient noise and distances from the minimum.
    learning_rate : float
    """
    from_start = 0.5 * eigenvalues * start**2
    from_noise = 0.5 * (learning_rate * noise) ** 2
    weights = np.stack([from_start @ shares, from_noise @ shares])
    weights[1] *= nodes / learning_rate
    used = weights != 0.0
    early = np.einsum("im,imkn->kn", weights, curves.square, optimize=True)
    live = (curves.amplitudes != 0.0).any(axis=(0, 2))
    amplitudes = np.einsum("im,ime->me", weights[:, live], curves.amplitudes[:, live]).ravel()
    heard = np.abs(amplitudes) > 1e-20 * float(np.abs(amplitudes).max(initial=0.0))
    levels = curves.level[used]
    bounded = np.isfinite(levels).all()  # shares have both signs: their sum would mean nothing
    level = float(weights[used] @ levels) if bounded else np.inf
    return LossCurve(
        curves.width, early, level,
        curves.exponents[live].ravel()[heard], amplitudes[heard], curves.beats,
    )  # fmt: skip
