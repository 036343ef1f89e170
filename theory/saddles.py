r"""Asynchronous parallel SGD near saddles: how fast it leaves, and how many workers the guarantees
allow.

Along a falling direction of curvature :math:`-\lambda` a delayed iteration grows by the root
:math:`r > 1` of :math:`z^{T+1} - z^T - \eta\lambda = 0` per step. Staleness slows the escape but
never prevents it. The guarantees for parallel SGD with *M* gradients per step bound the staleness,
hence the workers. Nothing here simulates.
"""

import math
from dataclasses import dataclass

import numpy as np

from sdde import checks


def escape_factor(alpha: float, staleness: int) -> float:
    r"""Return the factor by which the distance from a saddle grows in one update.

    It is the root :math:`r > 1` of :math:`z^{T+1} - z^T - \alpha = 0`, with :math:`\alpha =
    \eta\lambda`; in continuous time :math:`r = e^s` with :math:`s e^{sT} = \alpha`.

    Parameters
    ----------
    alpha : float
        Learning rate times the size of the negative curvature, > 0.
    staleness : int
        Updates *T* by which gradients are late, >= 0.

    Returns
    -------
    float

    Raises
    ------
    sdde.ArgumentError
        If `alpha` is not positive or `staleness` is negative.

    Notes
    -----
    Derived in this project, for one coordinate and fixed staleness.

    Examples
    --------
    >>> escape_factor(0.5, 0)
    1.5
    >>> round(escape_factor(0.1, 10), 5)
    1.05729
    """
    step = checks.positive("alpha", alpha, example=0.1)
    late = checks.integer("staleness", staleness)
    # r - 1 = alpha r**(-T): Newton on log r, whose defining function rises and is convex enough.
    s = math.log1p(step) / (1.0 + late * step / (1.0 + step))
    for _ in range(200):
        value = math.expm1(s) - step * math.exp(-late * s)
        slope = math.exp(s) + late * step * math.exp(-late * s)
        move = value / slope
        s = max(s - move, 0.5 * s)
        if abs(move) < 1e-16 * max(s, 1e-300):
            break
    return math.exp(s)


def escape_updates(alpha: float, staleness: int, growth: float) -> float:
    r"""Return the number of updates in which the distance from a saddle grows by a factor.

    Parameters
    ----------
    alpha : float
        Learning rate times the size of the negative curvature, > 0.
    staleness : int
        Updates by which gradients are late, >= 0.
    growth : float
        Factor to grow by, > 1, for example the basin's size over the noise.

    Notes
    -----
    Asymptotic: :math:`\ln(\text{growth})/\ln r`. Derived in this project.

    Examples
    --------
    >>> round(escape_updates(0.1, 0, 100.0), 1), round(escape_updates(0.1, 20, 100.0), 1)
    (48.3, 109.3)
    """
    factor = checks.positive("growth", growth, example=100.0)
    if factor <= 1.0:
        raise checks.fail("growth", growth, "is not above 1", remedy="For example growth = 100.0.")
    growing = math.log(escape_factor(alpha, staleness))
    return math.log(factor) / growing if growing > 0.0 else math.inf


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """Workers that two kinds of guarantee allow, constants and logarithms dropped.

    Attributes
    ----------
    first_order : float
        For a small gradient norm: the square root of updates over batch.
    second_order : float
        For leaving saddles too: its cube root.
    """

    first_order: float
    second_order: float


def worker_bounds(updates: float, batch: float) -> WorkerBounds:
    r"""Return how many workers parallel SGD tolerates in a run, by order of magnitude.

    With learning rate :math:`\sqrt{1/(MK)}` staleness *T* is harmless for the gradient norm while
    :math:`\eta M T \le 1`, and for second-order points while :math:`(\eta M)^2 T^3 \le 1`:
    :math:`T \le (K/M)^{1/2}` and :math:`T \le (K/M)^{1/3}`.

    Parameters
    ----------
    updates : float
        Updates *K* of the whole run, > 0.
    batch : float
        Gradients *M* in one update, > 0.

    Returns
    -------
    WorkerBounds

    Raises
    ------
    sdde.ArgumentError
        If an argument is not positive.

    Notes
    -----
    That workers up to :math:`\tilde O(K^{1/3}M^{-1/3})` keep the second-order guarantee is stated
    by Wang, Shen and Zhao (arXiv:1910.06000); the two inequalities are derived in this project.
    Guaranteed saddle escape costs a factor :math:`(K/M)^{1/6}` of the workers.

    Examples
    --------
    >>> bounds = worker_bounds(1e5, 32)
    >>> round(bounds.first_order, 1), round(bounds.second_order, 1)
    (55.9, 14.6)
    """
    ratio = checks.positive("updates", updates, example=1e5)
    ratio /= checks.positive("batch", batch, example=32.0)
    return WorkerBounds(float(np.sqrt(ratio)), float(np.cbrt(ratio)))
