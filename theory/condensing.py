"""A long spectrum as a few modes: neighbouring eigenvalues are replaced by one of their mean size.

The expected loss of modes with equal eigenvalues depends only on the sum of their squared starts
and of their squared noises, so a group of equal eigenvalues is one mode exactly; a group of
neighbouring ones nearly so. SDDE paths of a network with many parameters need no more. Knows
nothing of workers.
"""

from sdde import checks
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.quadratic_modes import condensed


def condense(objective: Quadratic, modes: int = 12) -> Quadratic:
    """Return a quadratic of at most `modes` modes with nearly the same expected loss.

    Groups of neighbouring eigenvalues carry equal shares of the loss, at the start and in the noise
    floor; the largest eigenvalue, which decides stability, is kept as it is.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
    modes : int
        Largest number of modes, at least 2.

    Returns
    -------
    sdde.cluster.Quadratic
        The objective itself if it has no more modes than that. The loss at the start is the same.

    Raises
    ------
    sdde.ArgumentError
        If `modes` is below 2.

    Notes
    -----
    Derived in this project: in linear theory the expected loss of a mode is
    ``0.5 * eigenvalue * (start**2 * m(t)**2 + noise**2 * v(t))`` with functions m and v of the
    eigenvalue alone, so it is additive in ``start**2`` and ``noise**2`` over equal eigenvalues.

    Examples
    --------
    >>> import numpy as np
    >>> from sdde.cluster import Quadratic
    >>> wide = Quadratic(np.linspace(0.1, 1.0, 500), noise=0.1, start=1.0)
    >>> few = condense(wide, 8)
    >>> few.dim, float(round(few.initial_loss / wide.initial_loss, 6))
    (8, 1.0)
    """
    checks.integer("modes", modes, lowest=2)
    checks.instance(
        "objective", objective, Quadratic, "a quadratic",
        remedy="For example objective = sdde.cluster.Quadratic([1.0, 0.5, 0.1]).",
    )  # fmt: skip
    return condensed(objective, modes)
