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
_DIGITS = 24.0  # natural logarithm of the accuracy of nodes, about: 1e-11 is seen
_BEYOND = 1.25  # times the largest value, near which mean squares may have a pole
_FEW_DIRECT, _FEW_DIGITS = 12, 12.0  # the same where a node costs more and is less accurate
_MANY, _MANY_DIGITS = 32, 10.0  # values of which errors average out: times change by about 1e-3


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
    Chebyshev nodes in :math:`\log\alpha - \log(c - \alpha)`, transposed. Mean squares have a pole
    where they begin to grow, and *c* is a little beyond the largest value: so the nodes crowd there
    too. Few distinct values are their own nodes.
    """
    distinct, inverse = np.unique(alpha, return_inverse=True)
    if distinct.size > 1:
        many = distinct.size >= _MANY
        nodes = nodes_between(float(distinct[0]), float(distinct[-1]), kind, many=many)
        if distinct.size > nodes.size:
            return nodes, shares_in(nodes, alpha)
    shares = np.zeros((alpha.size, distinct.size))
    shares[np.arange(alpha.size), inverse] = 1.0
    return distinct, shares


def nodes_between(least: float, largest: float, kind: str = "", *, many: bool = False) -> Floats:
    """Return nodes from the least to the largest value; both are among them.

    `many` is whether they serve sums over many different values only.
    """
    direct, digits = DIRECT, _DIGITS
    if kind == "renewal":
        direct, digits = _FEW_DIRECT, _MANY_DIGITS if many else _FEW_DIGITS
    # A decaying exponential of exp(x) is analytic and bounded for |Im x| < pi/2.
    height = math.pi / max(math.log(largest / least), 1e-9)
    count = max(direct, math.ceil(digits / math.log(height + math.hypot(1.0, height))))
    low, high = _stretched(np.array([least, largest]), largest)
    grown = np.exp(0.5 * (low + high) - 0.5 * (high - low) * _extremes(count))
    nodes = grown / (1.0 + grown / (_BEYOND * largest))
    nodes[[0, -1]] = least, largest
    return np.asarray(nodes)


def shares_in(nodes: Floats, alpha: Floats) -> Floats:
    """Return the share of each value in each of the nodes between which it lies."""
    count = nodes.size
    low, high = _stretched(nodes[[0, -1]], float(nodes[-1]))
    at = 2.0 * (_stretched(alpha, float(nodes[-1])) - low) / (high - low) - 1.0
    basis = chebyshev.chebvander(-_extremes(count), count - 1) * (2.0 / (count - 1))
    for ends in (basis, basis.T):
        ends[[0, -1]] *= 0.5
    return np.asarray(chebyshev.chebvander(np.clip(at, -1.0, 1.0), count - 1) @ basis.T)


def _stretched(alpha: Floats, largest: float) -> Floats:
    """Return the variable in which nodes are spread."""
    return np.asarray(np.log(alpha) - np.log1p(-alpha / (_BEYOND * largest)))


def _extremes(count: int) -> Floats:
    """Return where a Chebyshev polynomial is largest in size, the ends among them, from 1 down."""
    return np.asarray(np.cos(np.pi * np.arange(count) / (count - 1)))
