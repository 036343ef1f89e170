r"""Workers in step, many of them: cycles of the recursion as polynomials of the update number.

With constant cycles every gradient is *n* - 1 updates old, :math:`x_{k+1} = x_k - \alpha
x_{k-n+1}`. From a past at 1 the solution within cycle *j* is a polynomial :math:`m_j` of the number
*i* of updates in it,

.. math:: m_j(i) = m_{j-1}(n) - \alpha\sum_{l=1}^{i} m_{j-1}(l), \qquad m_{-1} = 1,

and sums of polynomials over whole numbers are polynomials again. So values at a few places of a
cycle do, whatever the number of workers. The answer to a kick is the same solution *n* - 1 updates
later. Derived in this project.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST = 160  # workers from which polynomials through whole numbers are well conditioned
LARGEST_DAMPING = 4.0  # to which this many places resolve a cycle
_PLACES = 24


def mean_squares(alpha: Floats, workers: int, panels: int, chance: Floats) -> Floats:
    """Return mean squares from a start at 1 and from unit noise, averaged within cycles.

    Parameters
    ----------
    alpha : array, shape (modes,)
        Learning rate times eigenvalue; times `workers` at most `LARGEST_DAMPING`.
    workers : int
        At least `FEWEST`.
    panels : int
        Number of cycles.
    chance : array, shape (order, workers + 1)
        Probability of each number of updates at each node of a panel.

    Returns
    -------
    numpy.ndarray, shape (2, modes, panels, order)
    """
    places, values, sums = _places(workers)
    mean = np.empty((len(alpha), panels, _PLACES))
    spread = np.empty_like(mean)
    old = np.ones((len(alpha), _PLACES))
    spread[:, 0], total = places, float(workers) * np.ones(len(alpha))
    ends = values[-1]
    for j in range(panels):
        mean[:, j] = (old @ ends)[:, None] - alpha[:, None] * (old @ sums.T)
        old = mean[:, j]
        if j + 1 < panels:
            spread[:, j + 1] = total[:, None] + old**2 @ sums.T
            total = spread[:, j + 1] @ ends
    return np.stack([mean**2, spread]) @ (chance @ values).T


@lru_cache(maxsize=64)
def _places(workers: int) -> tuple[Floats, Floats, Floats]:
    """Return places in a cycle, and the matrices from values there to those at whole numbers and to
    the sums ``f(1) + ... + f(i)`` at the places themselves.
    """
    x, w = legendre.leggauss(_PLACES)
    degrees = np.arange(_PLACES)
    series = (legendre.legvander(x, _PLACES - 1) * w[:, None]).T * (degrees + 0.5)[:, None]
    whole = 2.0 * np.arange(workers + 1.0) / workers - 1.0
    basis = legendre.legvander(whole, _PLACES)
    sums = np.zeros((workers + 1, _PLACES))
    np.cumsum(basis[1:, :_PLACES], axis=0, out=sums[1:])
    orthogonal, triangular = np.linalg.qr(basis)
    summed = np.linalg.solve(triangular, orthogonal.T @ sums)  # exactly polynomials
    at_places = legendre.legvander(x, _PLACES) @ summed @ series
    return (x + 1.0) * (workers / 2.0), basis[:, :_PLACES] @ series, at_places
