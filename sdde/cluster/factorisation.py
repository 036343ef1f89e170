"""Matrix factorisation: a non-convex objective whose minimum and saddles are known.

Everything here is plain NumPy; the event loop has its own compiled gradient. Nothing here knows
about workers or time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.samples import starting_point
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MatrixFactorisation:
    r"""Approximation of a matrix by a product of two thin ones, one entry at a time.

    With a target `M` of `n` rows and `m` columns and factors :math:`U` and :math:`V` of `rank`
    columns,

    .. math:: f(U, V) = \frac{1}{2 n m} \sum_{ij} \bigl((U V^\top)_{ij} - M_{ij}\bigr)^2 .

    A stochastic gradient averages `batch` entries drawn with replacement. By the theorem of Eckart
    and Young the least loss is half the sum of the squares of the singular values beyond `rank`,
    over :math:`n m`; the loss is recorded above it. The origin is a saddle.

    Parameters
    ----------
    target : array (rows, columns)
        The matrix `M`.
    rank : int
        Columns of the factors, at most the smaller side of the target.
    batch : int
        Entries in one stochastic gradient.
    start : float or array (dim,), optional
        Parameters before the first update; random if not given.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Draws the start: independent normal numbers of standard deviation 0.1.

    Attributes
    ----------
    target, rank, batch, start
        The arguments.
    lowest : float
        Loss at the minimum.

    Raises
    ------
    sdde.ArgumentError
        If the target is not a finite matrix, or a number is out of its range.

    Notes
    -----
    Parameters are flattened row by row: first `U`, then `V`.

    Examples
    --------
    >>> table = MatrixFactorisation([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], rank=1)
    >>> table.dim, bool(table.lowest < 1e-30)
    (5, True)
    >>> bool(table.loss([1.0, 2.0, 3.0, 1.0, 2.0]) < 1e-30)
    True
    """

    target: Floats
    rank: int
    batch: int
    start: Floats
    lowest: float

    def __init__(
        self,
        target: ArrayLike,
        rank: int,
        *,
        batch: int = 16,
        start: float | ArrayLike | None = None,
        rng: Any = 0,
    ) -> None:
        matrix = np.array(checks.array("target", target, ndim=2))
        if not matrix.size:
            raise checks.fail("target", target, "is empty")
        columns = checks.integer("rank", rank, lowest=1, highest=min(matrix.shape))
        size = checks.integer("batch", batch, lowest=1, highest=2**32)
        dim = sum(matrix.shape) * columns
        if start is None:
            first = 0.1 * np.random.default_rng(seed_of(rng)).normal(size=dim)
        else:
            first = starting_point(start, dim)
        rest = np.linalg.svd(matrix, compute_uv=False)[columns:]
        matrix.setflags(write=False)
        first.setflags(write=False)
        for name, value in (
            ("target", matrix), ("rank", columns), ("batch", size), ("start", first),
            ("lowest", float(0.5 * np.sum(rest**2) / matrix.size)),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        rows, columns = self.target.shape
        return f"MatrixFactorisation({rows} x {columns}, rank={self.rank}, batch={self.batch})"

    @staticmethod
    def random(
        rows: int = 30,
        columns: int = 20,
        rank: int = 3,
        *,
        residual: float = 0.0,
        batch: int = 16,
        rng: Any = 0,
    ) -> "MatrixFactorisation":
        """Return a random target of known rank.

        Parameters
        ----------
        rows, columns : int
            Shape of the target.
        rank : int
            Rank of the target, and columns of the factors.
        residual : float
            Standard deviation of independent noise on each entry.
        batch : int
            Entries in one stochastic gradient.
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Draws the target and the start.

        Returns
        -------
        MatrixFactorisation

        Raises
        ------
        sdde.ArgumentError
            If a number is out of its range.
        """
        n, m = checks.integer("rows", rows, lowest=1), checks.integer("columns", columns, lowest=1)
        r = checks.integer("rank", rank, lowest=1, highest=min(n, m))
        scatter = checks.nonnegative("residual", residual)
        seed = seed_of(rng)
        generator = np.random.default_rng(seed)
        target = generator.normal(size=(n, r)) @ generator.normal(size=(r, m))
        target += scatter * generator.normal(size=(n, m))
        return MatrixFactorisation(target, r, batch=batch, rng=generator)

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return sum(self.target.shape) * self.rank

    def factors(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """Return `U` (rows, rank) and `V` (columns, rank), as views of `x`."""
        flat = checks.vector("x", x)
        if flat.size != self.dim:
            raise checks.fail("x", x, f"has {flat.size} values for {self.dim} parameters")
        cut = len(self.target) * self.rank
        return flat[:cut].reshape(-1, self.rank), flat[cut:].reshape(-1, self.rank)

    def loss(self, x: ArrayLike) -> float:
        """Return the loss at `x` (not the excess above the minimum)."""
        left, right = self.factors(x)
        return float(0.5 * np.mean((left @ right.T - self.target) ** 2))

    def gradient(self, x: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the gradient averaged over entries of the target, counted row by row (all if not
        given).
        """
        left, right = self.factors(x)
        if rows is None:
            error = (left @ right.T - self.target) / self.target.size
            return np.concatenate([(error @ right).ravel(), (error.T @ left).ravel()])
        i, j = np.divmod(np.asarray(rows, dtype=int), self.target.shape[1])
        error = (np.sum(left[i] * right[j], axis=1) - self.target[i, j]) / len(i)
        out_left, out_right = np.zeros_like(left), np.zeros_like(right)
        np.add.at(out_left, i, error[:, None] * right[j])
        np.add.at(out_right, j, error[:, None] * left[i])
        return np.concatenate([out_left.ravel(), out_right.ravel()])
