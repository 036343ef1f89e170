"""A quadratic objective in any axes: a full Hessian, and gradient noise of any covariance.

`Quadratic` is the same in the axes of its Hessian. Plain values; nothing here runs workers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import Quadratic, per_axis, spectrum
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]

_ROUNDING = 1e-10  # relative asymmetry, and negative eigenvalues, that count as rounding


@dataclass(frozen=True, eq=False)
class DenseQuadratic:
    r"""Quadratic objective with a full Hessian.

    .. math:: F(x) = \tfrac12 x^\top H x, \qquad g = H x + \xi, \quad \xi \sim N(0, \Sigma)

    Parameters
    ----------
    hessian : array (dim, dim)
        Symmetric and positive definite.
    noise : float or array (dim,)
        Standard deviation of each component of a stochastic gradient, the components independent.
    covariance : array (dim, dim), optional
        Covariance :math:`\Sigma` of a stochastic gradient, instead of `noise`; symmetric, no
        negative eigenvalues.
    start : float or array (dim,)
        Where training starts, as a distance from the minimum.

    Attributes
    ----------
    hessian, covariance, start : numpy.ndarray
        As float64 arrays.

    Raises
    ------
    sdde.ArgumentError
        If a matrix is not symmetric or has an eigenvalue of the wrong sign, or shapes disagree.

    Examples
    --------
    >>> bowl = DenseQuadratic([[2.0, 1.0], [1.0, 2.0]], covariance=[[0.1, 0.1], [0.1, 0.1]])
    >>> bowl.loss([1.0, 1.0])
    3.0
    >>> bowl.quadratic().eigenvalues.round(12).tolist()
    [1.0, 3.0]
    >>> (bowl.quadratic().noise ** 2).round(12).tolist()  # along (1, -1) there is none
    [0.0, 0.2]
    """

    hessian: Floats
    covariance: Floats
    start: Floats

    def __init__(
        self,
        hessian: ArrayLike,
        *,
        noise: float | ArrayLike = 0.0,
        covariance: ArrayLike | None = None,
        start: float | ArrayLike = 1.0,
    ) -> None:
        curvature = _symmetric("hessian", hessian)
        lowest = float(np.linalg.eigvalsh(curvature)[0])
        if lowest <= 0:
            raise checks.fail(
                "hessian", hessian, f"has the eigenvalue {lowest:g}",
                why="Along a flat or falling axis the loss has no minimum to converge to.",
                remedy="For example hessian = [[2, 1], [1, 2]].",
            )  # fmt: skip
        dim = len(curvature)
        spread = per_axis("noise", noise, dim)
        if spread.min() < 0:
            raise checks.fail("noise", noise, "holds a negative value", remedy="noise = 0.1")
        if covariance is None:
            scatter = np.diag(spread**2)
        else:
            if spread.any():
                raise checks.fail("noise", noise, "is given beside covariance", remedy="Give one.")
            scatter = _symmetric("covariance", covariance, size=dim)
            values = np.linalg.eigvalsh(scatter)
            if values[0] < -_ROUNDING * max(values[-1], 1e-300):
                raise checks.fail(
                    "covariance", covariance, f"has the eigenvalue {values[0]:g}",
                    why="A variance along some direction would be negative.",
                    remedy="For example covariance = 0.01 * hessian.",
                )  # fmt: skip
        first = np.array(per_axis("start", start, dim))
        for name, array in (("hessian", curvature), ("covariance", scatter), ("start", first)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        return f"DenseQuadratic({self.dim} parameters)"

    @staticmethod
    def with_spectrum(
        eigenvalues: ArrayLike,
        *,
        noise: float | ArrayLike = 0.0,
        start: float | ArrayLike = 1.0,
        rng: Any = 0,
    ) -> "DenseQuadratic":
        """Return a quadratic with given eigenvalues along random orthogonal axes.

        Parameters
        ----------
        eigenvalues : array (dim,)
            Curvatures > 0.
        noise : float or array (dim,)
            Standard deviation of a stochastic gradient along each eigenvector.
        start : float or array (dim,)
            Where training starts, along each eigenvector.
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Draws the axes, uniformly over all rotations and reflections.

        Returns
        -------
        DenseQuadratic

        Raises
        ------
        sdde.ArgumentError
            If an eigenvalue is not positive, a noise is negative, or lengths disagree.

        Examples
        --------
        >>> bowl = DenseQuadratic.with_spectrum([1.0, 4.0], noise=0.1, rng=3)
        >>> float(round(np.linalg.det(bowl.hessian), 12))
        4.0
        """
        sizes, spread = spectrum(eigenvalues, noise, "noise")
        begin = per_axis("start", start, sizes.size)
        factor, upper = np.linalg.qr(
            np.random.default_rng(seed_of(rng)).normal(size=(sizes.size, sizes.size))
        )
        axes = factor * np.sign(np.diag(upper))  # makes the law of the axes uniform
        hessian, covariance = (axes * sizes) @ axes.T, (axes * spread**2) @ axes.T
        return DenseQuadratic(
            (hessian + hessian.T) / 2.0,
            covariance=(covariance + covariance.T) / 2.0,
            start=axes @ begin,
        )

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return len(self.hessian)

    @property
    def noise_factor(self) -> Floats:
        """A matrix ``B`` with ``B B^T`` the covariance, (dim, dim)."""
        values, vectors = np.linalg.eigh(self.covariance)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    def loss(self, x: ArrayLike) -> float:
        """Return the loss at `x`, which is 0 at its minimum."""
        point = checks.vector("x", x)
        return float(0.5 * point @ self.hessian @ point)

    def gradient(self, x: ArrayLike) -> Floats:
        """Return the gradient at `x`, without noise."""
        return self.hessian @ checks.vector("x", x)

    def quadratic(self) -> Quadratic:
        """Return the same objective in the axes of its Hessian.

        The noise along different axes may be correlated here and is independent there. The expected
        loss of a linear method does not feel the difference: it is a sum over the axes, and each
        feels its own noise only.

        Returns
        -------
        Quadratic
        """
        eigenvalues, vectors = np.linalg.eigh(self.hessian)
        variances = np.einsum("ij,ij->j", vectors, self.covariance @ vectors)
        return Quadratic(
            eigenvalues, noise=np.sqrt(np.maximum(variances, 0.0)), start=vectors.T @ self.start
        )


def _symmetric(name: str, value: ArrayLike, size: int | None = None) -> Floats:
    matrix = np.array(checks.array(name, value, ndim=2))
    count = len(matrix) if size is None else size
    if not count or matrix.shape != (count, count):
        raise checks.fail(
            name, value, f"has shape {matrix.shape}, expected ({count or 1}, {count or 1})"
        )
    if np.abs(matrix - matrix.T).max() > _ROUNDING * max(np.abs(matrix).max(), 1e-300):
        raise checks.fail(name, value, "is not symmetric", remedy=f"({name} + {name}.T) / 2")
    return (matrix + matrix.T) / 2.0
