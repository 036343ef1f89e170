r"""Exact discrete-time results for three models of staleness: fixed, memoryless workers,
independent draws.

Each update is :math:`x \leftarrow x - \alpha(x_{\mathrm{stale}} + \xi)` with :math:`\alpha =
\eta\lambda`, one coordinate, gradient noise ξ in units of the curvature. *Memoryless workers* and
*independent geometric staleness* share the law of the staleness but not the second moment: their
limits differ, and each class says which it is. Derived in this project; nothing here knows
wall-clock times beyond one mean cycle.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

from . import exact
from .bracket import root_between
from .worker_limits import mean_matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FixedStaleness:
    r"""Every gradient is exactly `staleness` updates old: :math:`x_{k+1} = x_k - \alpha
    x_{k-\tau}`.

    Parameters
    ----------
    alpha : float
        Learning rate times eigenvalue, > 0.
    staleness : int
        τ >= 0; workers with one constant cycle have ``workers - 1``.

    Attributes
    ----------
    stability_limit : float
        :math:`2\sin\frac{\pi}{2(2\tau+1)}`: stable below it, in mean and mean square alike.
    fastest_alpha : float
        :math:`\tau^\tau/(\tau+1)^{\tau+1}`, where the error shrinks fastest, by τ/(τ+1) per update.

    Raises
    ------
    sdde.ArgumentError
        If `alpha` is not positive or `staleness` is negative.

    Notes
    -----
    Derived in this project; a second witness is the companion matrix of
    :math:`z^{\tau+1} - z^\tau + \alpha`.

    Examples
    --------
    >>> model = FixedStaleness(0.1, 5)
    >>> round(model.stability_limit, 6), round(model.variance(), 6)
    (0.28463, 0.089441)
    """

    alpha: float
    staleness: int
    stability_limit: float = field(init=False)
    fastest_alpha: float = field(init=False)

    def __post_init__(self) -> None:
        alpha = checks.positive("alpha", self.alpha, example=0.1)
        tau = checks.integer("staleness", self.staleness)
        store = object.__setattr__
        store(self, "alpha", alpha)
        store(self, "staleness", tau)
        store(self, "stability_limit", 2.0 * math.sin(math.pi / (2.0 * (2.0 * tau + 1.0))))
        store(self, "fastest_alpha", (tau / (tau + 1.0)) ** tau / (tau + 1.0))

    def root(self) -> complex:
        r"""Return the dominant root of :math:`z^{\tau+1} - z^\tau + \alpha`; of a pair the upper
        one.
        """
        return complex(exact.discrete_root(np.array([self.alpha]), self.staleness)[0][0])

    def contraction(self) -> float:
        """Return the factor by which the error shrinks in one update, asymptotically."""
        return abs(self.root())

    def rate(self) -> float:
        """Return the decay rate per update, minus the logarithm of `contraction`."""
        size = self.contraction()
        return math.inf if size == 0.0 else -math.log(size)

    def is_stable(self) -> bool:
        """Return whether the mean converges."""
        return self.alpha < self.stability_limit

    def is_mean_square_stable(self) -> bool:
        """Return whether the mean square stays bounded; the same as `is_stable` here."""
        return self.is_stable()

    def variance(self, noise: float = 1.0) -> float:
        r"""Return the stationary variance for gradient noise of standard deviation `noise`.

        .. math:: \frac{\alpha}{2}\,
                  \frac{\tan(\frac\pi4 + (\tau+\frac12)\arcsin\frac\alpha2)}
                  {\sqrt{1-\alpha^2/4}} \times \text{noise}^2

        ``inf`` from the stability limit on.
        """
        kick = self.alpha * checks.nonnegative("noise", noise)
        kicks = kick * kick
        energy = float(exact.fixed_staleness_energy(np.array([self.alpha]), self.staleness)[0])
        return kicks * energy if kicks else (0.0 if math.isfinite(energy) else math.nan)

    def mean(self, updates: int) -> Floats:
        """Return the mean after 0 to `updates` updates, from a past at 1."""
        count = checks.integer("updates", updates)
        return exact.fixed_staleness(np.array([self.alpha]), self.staleness, count)[0][0]


@dataclass(frozen=True, slots=True)
class MemorylessWorkers:
    r"""Workers with exponential cycles, each applying the gradient of what it really read.

    Parameters
    ----------
    alpha : float
        Learning rate times eigenvalue, > 0.
    workers : int or array
        Number of equal workers, or the rate of each worker (gradients per unit of time).

    Attributes
    ----------
    stability_limit : float
        Largest α with bounded mean square; for *n* equal workers the root of
        :math:`\alpha^2 n = 2 + \alpha`. The mean alone never diverges.
    fastest_alpha : float
        Where the mean decays fastest per cycle, for equal workers the smaller root of
        :math:`(1+\alpha)^2 = 4\alpha n` (beyond, the rate still grows slowly with α); ``nan`` for
        unequal ones.

    Raises
    ------
    sdde.ArgumentError
        If `alpha` is not positive, or `workers` is neither a count nor positive rates.

    Notes
    -----
    Derived in this project, from the moment equations of the state and the workers' copies.
    Independent staleness draws with the same geometric law are another model with smaller limits:
    `IndependentStaleness`.

    Examples
    --------
    >>> model = MemorylessWorkers(0.1, 4)
    >>> round(model.variance(), 6), round(model.stability_limit, 6)
    (0.067961, 0.84307)
    """

    alpha: float
    workers: Any
    stability_limit: float = field(init=False)
    fastest_alpha: float = field(init=False)
    _rates: Floats = field(init=False, repr=False)
    _counts: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        store(self, "alpha", checks.positive("alpha", self.alpha, example=0.1))
        if self.alpha > 1e100:
            raise checks.fail(
                "alpha", self.alpha, "is above 1e100", remedy="For example alpha = 0.1."
            )
        if checks.is_single(self.workers):
            n = checks.integer("workers", self.workers, lowest=1)
            store(self, "_rates", np.ones(1))
            store(self, "_counts", np.array([float(n)]))
            store(self, "stability_limit", (1.0 + math.sqrt(1.0 + 8.0 * n)) / (2.0 * n))
            fastest = 2.0 * n - 1.0 - math.sqrt((2.0 * n - 1.0) ** 2 - 1.0)
            store(self, "fastest_alpha", fastest)
            return
        rates = checks.vector("workers", self.workers)
        if rates.min() <= 0.0:
            raise checks.fail(
                "workers", self.workers, "holds a rate that is not positive",
                remedy="For example workers = [1.0, 1.0, 3.0].",
            )  # fmt: skip
        distinct, counts = np.unique(rates, return_counts=True)
        if distinct.size > 15:
            raise checks.fail(
                "workers", self.workers, f"holds {distinct.size} different rates",
                why="The moment equations grow with the square of that number; 15 is the most.",
                remedy="Round the rates to fewer values.",
            )  # fmt: skip
        store(self, "_rates", distinct)
        store(self, "_counts", counts.astype(float))
        store(self, "stability_limit", self._limit())
        store(self, "fastest_alpha", math.nan)

    def _limit(self) -> float:
        def growth(alpha: float) -> float:
            matrix, _ = exact.memoryless_moments(np.array([alpha]), self._rates, self._counts)
            return float(np.linalg.eigvals(matrix).real.max())

        high = 2.0
        while growth(high) < 0.0:
            high *= 2.0
        return root_between(growth, 1e-9, high)

    def root(self) -> complex:
        r"""Return the dominant root of the mean, in 1/time (one mean cycle for equal workers).

        For *n* equal workers :math:`s^2 + (1+\alpha)s + \alpha n = 0`; for rates :math:`\mu_i`
        :math:`s + \alpha\sum\mu_i^2/(s + \mu_i(1+\alpha)) = 0`.
        """
        values = np.linalg.eigvals(mean_matrix(np.array([self.alpha]), self._rates, self._counts))[
            0
        ]
        top = values[np.argmax(values.real)]
        return complex(top.real, abs(top.imag))

    def rate(self) -> float:
        """Return the decay rate of the mean, in 1/time (one mean cycle for equal workers)."""
        return -self.root().real

    def is_stable(self) -> bool:
        """Return whether the mean converges; it always does."""
        return self.rate() > 0.0

    def is_mean_square_stable(self) -> bool:
        """Return whether the mean square stays bounded."""
        return self.alpha < self.stability_limit

    def variance(self, noise: float = 1.0) -> float:
        r"""Return the stationary variance for gradient noise of standard deviation `noise`.

        For *n* equal workers :math:`\frac{\alpha(1+\alpha n)}{2+\alpha-\alpha^2 n}`; ``inf`` from
        the stability limit on.
        """
        sigma = checks.nonnegative("noise", noise)
        if not self.is_mean_square_stable():
            return math.inf
        matrix, force = exact.memoryless_moments(np.array([self.alpha]), self._rates, self._counts)
        value = -np.linalg.solve(matrix[0], force[0])[0]
        return float(value) * (self.alpha * sigma) ** 2


@dataclass(frozen=True, eq=False, slots=True)
class IndependentStaleness:
    r"""Each update draws its staleness afresh from one law, independently of everything.

    Parameters
    ----------
    alpha : float
        Learning rate times eigenvalue, > 0.
    pmf : array
        ``pmf[k]`` is the probability of staleness `k`; it is scaled to sum to one. At most 1,500
        values.

    Raises
    ------
    sdde.ArgumentError
        If `alpha` is not positive or `pmf` is not a law.

    Notes
    -----
    With *P* the generating function and :math:`\hat K(z) = z / (z - 1 + \alpha P(1/z))` the mean
    converges iff the poles of :math:`\hat K` lie inside the unit circle, and the mean square stays
    bounded iff also

    .. math:: \alpha^2 \frac{1}{2\pi} \int_{-\pi}^{\pi}
              \left(1 - |P|^2\right) |\hat K|^2 \, d\omega < 1 ,

    as only the part of a gradient that its mean over the law does not predict acts as noise.
    Derived in this project; the second witness is the recursion of the covariances.

    Examples
    --------
    >>> model = IndependentStaleness.geometric(0.5, 8)
    >>> model.is_stable(), round(model.stability_limit(), 3)
    (True, 0.513)
    """

    alpha: float
    pmf: Floats

    def __post_init__(self) -> None:
        law = checks.vector("pmf", self.pmf)
        if law.min() < 0.0 or law.sum() <= 0.0 or law.size > 1500:
            raise checks.fail(
                "pmf", self.pmf, "is not a law of staleness",
                why="It needs probabilities >= 0 with a positive sum, at most 1,500 of them.",
                remedy="For example pmf = [0.5, 0.3, 0.2].",
            )  # fmt: skip
        object.__setattr__(self, "alpha", checks.positive("alpha", self.alpha, example=0.1))
        object.__setattr__(self, "pmf", law / law.sum())

    @classmethod
    def geometric(cls, alpha: float, workers: int) -> "IndependentStaleness":
        """Return the model with the staleness law of memoryless workers, cut at 1e-10."""
        n = checks.integer("workers", workers, lowest=1)
        count = 1 if n == 1 else math.ceil(23.0 / -math.log1p(-1.0 / n))
        return cls(alpha, np.exp(np.arange(count) * math.log1p(-1.0 / n)) if n > 1 else np.ones(1))

    def contraction(self) -> float:
        """Return the factor by which the mean error shrinks in one update, asymptotically."""
        size = self.pmf.size
        companion = np.zeros((size, size))
        companion[0, 0] = 1.0
        companion[0] -= self.alpha * self.pmf
        companion[range(1, size), range(size - 1)] = 1.0
        return float(np.abs(np.linalg.eigvals(companion)).max())

    def rate(self) -> float:
        """Return the decay rate of the mean per update."""
        size = self.contraction()
        return math.inf if size == 0.0 else -math.log(size)

    def is_stable(self) -> bool:
        """Return whether the mean converges."""
        return self.alpha < self.mean_stability_limit()

    def mean_stability_limit(self) -> float:
        """Return the α from which the mean diverges, for this law of staleness."""

        def crossing(w: float) -> complex:
            z = np.exp(1j * w)
            return complex((1.0 - z) / np.polynomial.polynomial.polyval(1.0 / z, self.pmf))

        grid = np.linspace(1e-9, math.pi, 4 * self.pmf.size + 256)
        values = (1.0 - np.exp(1j * grid)) / np.polynomial.polynomial.polyval(
            np.exp(-1j * grid), self.pmf
        )
        best = values[-1].real if values[-1].real > 0.0 else math.inf
        for i in np.flatnonzero(np.sign(values.imag[:-1]) != np.sign(values.imag[1:])):
            at = root_between(lambda w: crossing(w).imag, float(grid[i]), float(grid[i + 1]))
            if crossing(at).real > 0.0:
                best = min(best, crossing(at).real)
        return float(best)

    def mean_square_index(self, alpha: float | None = None) -> float:
        """Return the index that is below 1 iff the mean square stays bounded, for `alpha`."""
        a = self.alpha if alpha is None else checks.positive("alpha", alpha, example=0.1)
        whole, predicted = _energies(a, self.pmf)
        return a**2 * (whole - predicted) if a < self.mean_stability_limit() else math.inf

    def is_mean_square_stable(self) -> bool:
        """Return whether the mean square stays bounded."""
        return self.mean_square_index() < 1.0

    def stability_limit(self) -> float:
        """Return the largest α with bounded mean square, for this law of staleness."""
        high = self.mean_stability_limit() * (1.0 - 1e-6)
        if self.mean_square_index(high) < 1.0:
            return self.mean_stability_limit()
        return root_between(lambda a: self.mean_square_index(a) - 1.0, 1e-6 * high, high)

    def variance(self, noise: float = 1.0) -> float:
        """Return the stationary variance for gradient noise of standard deviation `noise`."""
        sigma = checks.nonnegative("noise", noise)
        index = self.mean_square_index()
        if not index < 1.0:
            return math.inf
        return (self.alpha * sigma) ** 2 * _energies(self.alpha, self.pmf)[0] / (1.0 - index)


def _energies(alpha: float, pmf: Floats) -> tuple[float, float]:
    r"""Return :math:`\sum K_k^2`, and the same for the kernel averaged over the law."""
    count = 1 << max(14, (16 * pmf.size).bit_length())
    z = np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
    turned = pmf * np.exp(-1j * np.pi * np.arange(pmf.size) / count)
    law = np.fft.fft(turned, count)
    kernel = np.abs(z / (z - 1.0 + alpha * law)) ** 2
    return float(kernel.mean()), float((np.abs(law) ** 2 * kernel).mean())
