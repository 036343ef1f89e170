r"""Mean squares of the coordinates of a cluster's quadratic, by the treatment its arrivals call
for.

One place chooses between the Poisson or evenly spaced renewal equation (`renewal`), workers as
renewal processes (`worker_squares`) and the exact systems (`exact`), and gathers thousands of
eigenvalues on a few dozen nodes. Nothing here knows losses or targets.
"""

import math

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from . import exact
from .arrivals import Arrivals, exact_kind, scales
from .mean_curves import mean_curves
from .renewal import Renewal
from .worker_squares import worker_squares

Floats = NDArray[np.float64]

DIRECT = 48  # distinct values that are solved one by one; more are gathered on nodes
_DIGITS = 32.0  # natural logarithm of the accuracy of nodes, about
_FEW_DIRECT, _FEW_DIGITS = 12, 12.0  # the same where a node costs more and is less accurate


def square_curves(stream: Arrivals, alpha: Floats) -> exact.SquareCurves:
    """Return the mean squares along coordinates with dimensionless learning rates `alpha`."""
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "in step":
        return exact.in_step(alpha, stream.workers, stream.cycles[0].mean)
    if kind == "memoryless":
        return exact.memoryless(alpha, *stream.rates())
    if stream.kind == "renewal":
        return worker_squares(stream, alpha).curves()
    unit = scales(stream)
    strength = unit.strength(alpha) if stream.kind == "poisson" else np.zeros(alpha.size)
    means = mean_curves(unit.law, unit.damping(alpha))
    solution = Renewal(means, strength)
    kicks = np.array([1.0, unit.kicks])[:, None, None]
    tail = solution.tail
    return exact.SquareCurves(
        means.width * unit.time, solution.square * kicks[..., None], tail.exponents / unit.time,
        tail.amplitudes * kicks, tail.level * kicks[..., 0],
    )  # fmt: skip


def gather(alpha: Floats, kind: str = "") -> tuple[Floats, Floats]:
    r"""Return nodes in place of many values, and the share of each value in each node.

    A sum of a smooth function over all values is then a sum over the nodes: interpolation at
    Chebyshev nodes in :math:`\log\alpha`, transposed. Few distinct values are their own nodes.
    """
    direct, digits = (_FEW_DIRECT, _FEW_DIGITS) if kind == "renewal" else (DIRECT, _DIGITS)
    distinct, inverse = np.unique(alpha, return_inverse=True)
    span = math.log(distinct[-1] / distinct[0])
    # A decaying exponential of exp(x) is analytic and bounded for |Im x| < pi/2.
    height = math.pi / max(span, 1e-9)
    count = max(direct, math.ceil(digits / math.log(height + math.hypot(1.0, height))))
    if distinct.size <= count:
        shares = np.zeros((alpha.size, distinct.size))
        shares[np.arange(alpha.size), inverse] = 1.0
        return distinct, shares
    # Extremes of a Chebyshev polynomial, so that the least and the largest value are nodes.
    nodes = -np.cos(np.pi * np.arange(count) / (count - 1))
    middle = 0.5 * math.log(distinct[-1] * distinct[0])
    at = np.clip((np.log(alpha) - middle) / (0.5 * span), -1.0, 1.0)
    basis = chebyshev.chebvander(nodes, count - 1) * (2.0 / (count - 1))
    for ends in (basis, basis.T):
        ends[[0, -1]] *= 0.5
    shares = chebyshev.chebvander(at, count - 1) @ basis.T
    points = np.exp(middle + 0.5 * span * nodes)
    points[[0, -1]] = distinct[[0, -1]]
    return points, shares
