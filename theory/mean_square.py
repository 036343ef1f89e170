r"""Mean-square stability of linear delay equations whose noise depends on the state.

Let :math:`g_k=B_k+C_{0k}x+\sum_jC_{jk}x(t-\tau_j)` be what multiplies Wiener process k and
:math:`Q=\sum_kE\,g_kg_k^T`. As x is its mean plus the fundamental solution K folded with the
noise, Q solves the renewal equation

.. math:: Q(t)=G(t)+\int_0^t\sum_kH_k(t-u)\,Q(u)\,H_k(t-u)^Tdu,\qquad
          H_k(u)=C_{0k}K(u)+\sum_jC_{jk}K(u-\tau_j),

with G from the mean alone. Its kernel maps covariances to covariances, so growth is decided by the
spectral radius of :math:`L_\gamma:Q\mapsto\int e^{-\gamma u}\sum_kH_kQH_k^Tdu`: the index is that
of L_0, and the exponent is the gamma where it equals 1. Derived in this project; for scalars
compare Mackey and Nechaeva (1995) and Appleby, Mao and Riedle (2009). The integrals are
stationary covariances of the same equation damped by :math:`e^{-\gamma t/2}`.
"""

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from sdde.equation.laws import as_law

from .coefficients import Coefficients
from .numerics import Complexes, Floats, bracketed
from .spectrum import Spectrum
from .stationary import Stationary, integrate_frequencies, spectral_covariance

if TYPE_CHECKING:
    from .delay_system import DelaySystem


def symmetric_basis(dim: int) -> Floats:
    """Return the symmetric unit matrices, shape (dim (dim + 1) / 2, dim, dim)."""
    pairs = list(combinations_with_replacement(range(dim), 2))
    basis = np.zeros((len(pairs), dim, dim))
    for k, (i, j) in enumerate(pairs):
        basis[k, i, j] = basis[k, j, i] = 1.0
    return basis


def coordinates(matrix: Floats) -> Floats:
    """Return the coordinates of symmetric matrices in that basis."""
    rows, columns = np.triu_indices(matrix.shape[-1])
    return matrix[..., rows, columns]


def noise_map(c: Coefficients, abscissa: float, growth: float = 0.0) -> Floats:
    """Return the matrix of L_growth in the symmetric basis; `growth` exceeds twice the abscissa."""
    basis = symmetric_basis(len(c.instant))
    if all(law.kind == "constant" for law in c.laws):
        images = _fixed(c, abscissa, growth, basis)
    else:
        images = _random(c, growth, basis)
    return np.stack([coordinates((m + m.T) / 2.0) for m in images], axis=1)


def _fixed(c: Coefficients, abscissa: float, growth: float, basis: Floats) -> list[Floats]:
    """Images of the basis by covariances of the damped equation at differences of delays."""
    half, dim = growth / 2.0, len(c.instant)
    falls = [math.exp(-half * law.mean) for law in c.laws]
    delayed = tuple(f * a for f, a in zip(falls, c.delayed, strict=True))
    damped = Spectrum(c.instant - half * np.eye(dim), delayed, c.laws)
    stationary = Stationary(damped, abscissa - half)
    delays = np.array([0.0, *(law.mean for law in c.laws)])
    gains = [f * gain for f, gain in zip([1.0, *falls], c.gains, strict=True)]
    used = [i for i, gain in enumerate(gains) if np.any(gain)]
    pairs = [(i, j) for i in used for j in used]
    images = []
    for unit in basis:
        lags = np.array([delays[j] - delays[i] for i, j in pairs])
        values = stationary.covariance(unit, lags)
        total = np.zeros((dim, dim))
        for (i, j), value in zip(pairs, values, strict=True):
            total += np.einsum("kab,bc,kdc->ad", gains[i], value, gains[j])
        images.append(total)
    return images


def _random(c: Coefficients, growth: float, basis: Floats) -> list[Floats]:
    """Images of the basis when each arrival draws its own delay, by integrals over frequencies."""
    spectrum = Spectrum(c.instant, c.delayed, c.laws)
    half = growth / 2.0
    laws = [as_law(0.0, "delay"), *c.laws]
    used = [i for i, gain in enumerate(c.gains) if np.any(gain)]
    images = []
    for unit in basis:
        own = spectral_covariance(spectrum, unit, shift=half)
        total = np.zeros_like(own)
        for i in used:  # the square of one draw: E x(t - T) x(t - T)^T
            share = float(np.real(laws[i].laplace(growth)))
            total += share * np.einsum("kab,bc,kdc->ad", c.gains[i], own, c.gains[i])
        for i in used:
            for j in used:
                if i != j:  # independent draws

                    def cross(omega: Floats, i: int = i, j: int = j) -> Complexes:
                        s = half + 1j * omega
                        h = np.linalg.inv(spectrum.matrix(s))
                        value = h @ unit @ np.conj(np.swapaxes(h, -1, -2))  # noqa: B023
                        read = laws[i].laplace(s) * np.conj(laws[j].laplace(s))
                        return np.asarray(read[:, None, None] * value, dtype=complex)

                    value = integrate_frequencies(spectrum, cross, shift=half)
                    total += np.einsum("kab,bc,kdc->ad", c.gains[i], value, c.gains[j])
        images.append(total)
    return images


def spectral_radius(matrix: Floats) -> float:
    """Return the largest absolute value of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max(initial=0.0))


def exponent(c: Coefficients, abscissa: float, edge: float) -> float:
    """Return the growth rate of second moments: where the spectral radius of the map is 1."""
    lowest = 2.0 * max(abscissa, edge)
    if not c.multiplicative:
        return lowest

    def excess(growth: float) -> float:
        return math.log(max(spectral_radius(noise_map(c, abscissa, growth)), 1e-300))

    scale = Spectrum(c.instant, c.delayed, c.laws).radius(0.0)
    scale += sum(float(np.sum(np.abs(gain) ** 2)) for gain in c.gains)
    high = lowest + scale
    while excess(high) > 0.0:
        high = lowest + 2.0 * (high - lowest)
    low = lowest + (high - lowest) / 16.0
    while excess(low) < 0.0:
        high, low = low, lowest + (low - lowest) / 16.0
        if low - lowest < 1e-8 * scale:  # the noise does not reach the slowest mode
            return lowest
    return bracketed(excess, low, high)


def balanced_noise(c: Coefficients, abscissa: float, mean: Floats) -> Floats | None:
    """Return the stationary Q of the renewal equation, or None if second moments do not settle."""
    total = sum(c.gains, np.zeros_like(c.gains[0]))
    g = c.noise + (total @ mean)[:, :, 0].T
    source = g @ g.T
    if not c.multiplicative:
        return source
    matrix = noise_map(c, abscissa)
    if spectral_radius(matrix) >= 1.0:
        return None
    solved = np.linalg.solve(np.eye(len(matrix)) - matrix, coordinates(source))
    return np.einsum("k,kab->ab", solved, symmetric_basis(len(c.instant)))


def mean_square_index(self: "DelaySystem") -> float:
    r"""Return the feedback of the state's variance on itself through the noise.

    Second moments stay bounded exactly when it is below 1 (given a stable mean). For a
    scalar with one fixed delay and noise :math:`(cx+d\,x(t-\tau))dW` it is

    .. math:: \kappa=(c^2+d^2)R_0+2cd\,R_\tau,

    with :math:`R_\ell=\int r(u)r(u+\ell)du` of the fundamental solution r.

    Returns
    -------
    float
        Dimensionless; 0 without multiplicative noise, ``inf`` if the mean is unstable.

    Notes
    -----
    In general the spectral radius of the map in `theory.mean_square`, derived in this project;
    the scalar criterion follows from the renewal argument of Appleby, Mao and Riedle (2009).

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> system = DelaySystem(-4.0, -2.0, 1.0, multiplicative=(-1.3, -1.2))
    >>> round(system.mean_square_index(), 6)
    0.338577
    """
    if not self.is_stable():
        return math.inf
    if not self.coefficients.multiplicative:
        return 0.0
    return spectral_radius(noise_map(self.coefficients, self.abscissa()))


def mean_square_exponent(self: "DelaySystem") -> float:
    r"""Return the long-run growth rate of second moments, in 1/time.

    It is the gamma at which the map of `theory.mean_square` damped by :math:`e^{-\gamma u}` has
    spectral radius 1; without multiplicative noise twice the abscissa.

    Returns
    -------
    float
        Negative if and only if the system is mean-square stable; 0 for a stable system
        with delays of tails heavier than exponential, which has no exponential rate.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> round(DelaySystem(0.0, -1.0, 1.0, multiplicative=(0.0, 0.8)).mean_square_exponent(), 6)
    0.037539
    """
    if self.spectrum.edge == 0.0 and self.is_mean_square_stable():
        return 0.0
    return exponent(self.coefficients, self.abscissa(), self.spectrum.edge)


def is_mean_square_stable(self: "DelaySystem") -> bool:
    """Return whether mean and second moments stay bounded and forget their history.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> DelaySystem(0.0, -1.0, 1.0, multiplicative=(0.0, 0.8)).is_mean_square_stable()
    False
    """
    return self.is_stable() and self.mean_square_index() < 1.0
