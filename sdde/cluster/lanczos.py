"""Spectral measures by Lanczos' method: where the weight of a vector lies among eigenvalues.

From a vector and products with a symmetric matrix come nodes and weights that integrate
polynomials over the eigenvalues, weighted by the squared components of the vector along the
eigenvectors; random vectors make that the density of the spectrum (stochastic Lanczos quadrature).
Leading eigenvalues are SciPy's (ARPACK). Nothing here knows what the matrix is.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

Floats = NDArray[np.float64]
Product = Callable[[Floats], Floats]

_END = 1e-10  # relative size of what is left when a Krylov space is exhausted


def quadrature(
    product: Product, vector: Floats, steps: int, known: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    r"""Return the Gauss rule of a matrix and a vector, outside known eigenvectors.

    With eigenpairs :math:`(\lambda_i, v_i)` that are not known and a vector z,

    .. math:: \sum_i (v_i^\top z)^2 f(\lambda_i) \approx \sum_j w_j f(\theta_j),

    exactly for polynomials f of degree below twice the number of steps.

    Parameters
    ----------
    product : callable
        Multiplies a vector by the matrix.
    vector : array (dim,)
    steps : int
        Products at most.
    known : array (dim, k), optional
        Orthonormal eigenvectors that are left out.

    Returns
    -------
    nodes, weights, residuals : array
        At most `steps` each; weights sum to the squared length of what is left of the vector, and
        an eigenvalue lies within the residual of each node.

    Notes
    -----
    Lanczos' recursion with full reorthogonalisation; see T. Chen, T. Trogdon, S. Ubaru, "Analysis
    of stochastic Lanczos quadrature for spectrum approximation", arXiv:2105.06595.
    """
    outside = np.empty((vector.size, 0)) if known is None else known
    z = _without(vector, outside)
    length = float(np.linalg.norm(z))
    if length <= _END * float(np.linalg.norm(vector)):
        return np.empty(0), np.empty(0), np.empty(0)
    room = min(steps, vector.size - outside.shape[1])
    basis = np.empty((vector.size, room))
    diagonal, beside = [], []
    scale = 0.0
    for j in range(room):
        basis[:, j] = z / np.linalg.norm(z)
        z = product(basis[:, j])
        diagonal.append(float(basis[:, j] @ z))
        z = _without(_without(z, outside), basis[:, : j + 1])
        rest = float(np.linalg.norm(z))
        scale = max(scale, abs(diagonal[-1]), rest)
        if rest <= _END * scale:
            break
        beside.append(rest)
    count = len(diagonal)
    nodes, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside[: count - 1]))
    last = beside[count - 1] if len(beside) == count else 0.0
    return nodes, length**2 * vectors[0] ** 2, last * np.abs(vectors[-1])


def _without(z: Floats, basis: Floats) -> Floats:
    """Return what is orthogonal to the columns of `basis`; twice is enough."""
    for _ in range(2):
        z = z - basis @ (basis.T @ z)
    return z


def extreme(
    product: Product, dim: int, count: int, rng: np.random.Generator, *, largest: float | None
) -> tuple[Floats, Floats]:
    """Return the eigenvalues of one end of the spectrum that converge, and their eigenvectors.

    Parameters
    ----------
    product : callable
        Multiplies a vector by the matrix.
    dim, count : int
        Size of the matrix, and how many are wanted.
    rng : numpy.random.Generator
        Draws the first vector.
    largest : float or None
        None: the largest eigenvalues, descending. Otherwise the largest eigenvalue, and the
        smallest ones are returned, ascending.

    Returns
    -------
    eigenvalues (found,), eigenvectors (dim, found)
        Right to 1e-6 times the largest eigenvalue at both ends. The lower end is often crowded and
        is given up soon.
    """
    shift = 0.0 if largest is None else largest
    sign = 1.0 if largest is None else -1.0
    make: Any = LinearOperator  # its stub knows only the abstract class
    operator = make(
        (dim, dim), matvec=lambda v: shift * v.ravel() + sign * product(v.ravel()), dtype=np.float64
    )
    solve: Any = eigsh  # whose stub takes whole tolerances only
    try:
        values, vectors = solve(
            operator, count, which="LA", v0=rng.normal(size=dim), tol=1e-6,
            maxiter=50 if largest is None else 4, ncv=min(dim, max(4 * count, 40)),
        )  # fmt: skip
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    order = np.argsort(values)[::-1]
    return sign * (values[order] - shift), vectors[:, order]
