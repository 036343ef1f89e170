"""Least squares for many small problems at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def least_squares(columns: Floats, *, rcond: float) -> Floats:
    """Return the coefficients with which all columns but the last come nearest to the last.

    Parameters
    ----------
    columns : array, shape (..., values, columns)
        Rows of zeros do not count.
    rcond : float
        Directions with singular values below `rcond` times the largest are left out.

    Returns
    -------
    numpy.ndarray, shape (..., columns - 1)
        The least ones where they are not unique.
    """
    triangle = np.asarray(np.linalg.qr(columns, mode="r"))
    inverse = np.linalg.pinv(triangle[..., :-1, :-1], rcond=rcond)
    return np.asarray(np.einsum("...ij,...j->...i", inverse, triangle[..., :-1, -1]))
