r"""The recursion that a time-stepping scheme makes of a linear delay equation, solved exactly.

Euler-Maruyama with step h turns the equation into
:math:`x_{n+1}=\sum_iM_ix_{n-i}+\sum_k(b_k+\sum_iG_{ik}x_{n-i})\xi_{nk}`, with delays off the grid
read by linear interpolation. Its covariances and its mean-square stability are integrals over the
unit circle of the inverse of :math:`zI-\sum_iM_iz^{-i}`, which the trapezoidal rule gives to
rounding. So a test of a simulation needs no allowance for its time step. Derived in this project.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.errors import Error

from .coefficients import Coefficients
from .mean_square import coordinates, spectral_radius, symmetric_basis
from .numerics import Complexes, Floats

MOST_POINTS = 2**22
_LONGEST = 10**6  # steps of a delay; the sums need several points for each
Taps = dict[int, Floats]  # steps back -> coefficient


class Recursion:
    """A linear recursion with delays and noise, as a time-stepping scheme makes it.

    Build it with `DelaySystem.euler_maruyama` or `DelaySystem.heun`.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> exact = DelaySystem(0.0, -1.0, 1.0, noise=1.0)
    >>> round(exact.covariance(), 5), round(exact.euler_maruyama(1 / 64).covariance(), 5)
    (1.70411, 1.72917)
    """

    def __init__(
        self,
        scalar: bool,
        dt: float,
        taps: Taps,
        noise: Floats,
        gains: Sequence[Taps],
        mean: Floats,
    ) -> None:
        self.scalar, self.dt, self.dim = scalar, dt, len(mean)
        self._taps, self._noise, self._gains, self._mean = taps, noise, gains, mean

    def _transfer(self, points: int) -> tuple[Complexes, Complexes]:
        """Return z on the unit circle and the inverse of z I - sum of taps there."""
        z = np.exp(2j * math.pi * np.arange(points) / points)
        total = z[:, None, None] * np.eye(self.dim)
        for back, matrix in self._taps.items():
            total = total - z[:, None, None] ** (-back) * matrix
        return z, np.asarray(np.linalg.inv(total), dtype=complex)

    def is_stable(self) -> bool:
        """Return whether the mean of the recursion forgets its history.

        All eigenvalues of the recursion lie inside the unit circle, counted by the argument
        principle.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(-10.0, 1.0, 1.0).euler_maruyama(0.25).is_stable()
        False
        """
        return self._is_stable

    @cached_property
    def _is_stable(self) -> bool:
        longest = max(self._taps)
        points = 64 * (longest + 2)
        while points <= MOST_POINTS:
            z = np.exp(2j * math.pi * np.arange(points + 1) / points)
            total = z[:, None, None] * np.eye(self.dim)
            for back, matrix in self._taps.items():
                total = total - z[:, None, None] ** (-back) * matrix
            det = np.linalg.det(total)
            if np.abs(det).min() == 0.0:
                return False
            angle = np.angle(det[1:] / det[:-1])
            if np.abs(angle).max() < 1.0:  # dim zeros of z^dim minus what is inside
                return round(float(angle.sum()) / (2.0 * math.pi)) == self.dim
            points *= 4
        return False  # an eigenvalue on the circle, to rounding

    def _folds(self, basis: Floats, reads: Sequence[Taps]) -> list[Floats]:
        """Return sum over n of H_n E H_n^T, H_n the impulse responses read by `reads`, summed."""
        points, before = 64 * (max(self._taps) + 2), None
        while points <= MOST_POINTS:
            z, h = self._transfer(points)
            seen = []
            for taps in reads:
                gain = np.zeros((points, self.dim, self.dim), dtype=complex)
                for back, matrix in taps.items():
                    gain += z[:, None, None] ** (-back) * matrix
                seen.append(gain @ h)
            now = np.stack([
                sum((np.einsum("nab,bc,ndc->ad", g, e, g.conj(), optimize=True).real for g in seen),
                    np.zeros((self.dim, self.dim))) / points
                for e in basis
            ])  # fmt: skip
            if before is not None and np.abs(now - before).max() <= 1e-13 * np.abs(now).max():
                return list(now)
            points, before = 2 * points, now
        raise Error("the recursion is too close to its stability limit to be summed.")

    @cached_property
    def _map(self) -> Floats:
        images = self._folds(symmetric_basis(self.dim), self._gains)
        return np.stack([coordinates(image) for image in images], axis=1)

    @property
    def _multiplicative(self) -> bool:
        return any(bool(np.any(m)) for taps in self._gains for m in taps.values())

    def mean_square_index(self) -> float:
        """Return the feedback of the variance on itself through the noise; below 1 is stable.

        ``inf`` if the mean of the recursion is unstable. The discrete counterpart of
        `DelaySystem.mean_square_index`.
        """
        if not self.is_stable():
            return math.inf
        return spectral_radius(self._map) if self._multiplicative else 0.0

    def is_mean_square_stable(self) -> bool:
        """Return whether second moments of the recursion stay bounded.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> hayes = DelaySystem(-4.0, -2.0, 1.0, multiplicative=(-1.3, -1.2))
        >>> [hayes.euler_maruyama(1.0 / m).is_mean_square_stable() for m in (3, 4, 5, 6)]
        [False, False, True, True]
        """
        return self.mean_square_index() < 1.0

    def covariance(self, lag: ArrayLike = 0.0) -> Any:
        """Return the recursion's own stationary covariance at given lags.

        Parameters
        ----------
        lag : array_like
            Lags in units of time, whole multiples of the step.

        Returns
        -------
        float or ndarray
            As `DelaySystem.covariance`, with all the bias that the step brings; ``inf`` where the
            recursion has no stationary variance.

        Raises
        ------
        sdde.ArgumentError
            If a lag is not a multiple of the step.
        """
        at = checks.array("lag", lag)
        steps = np.round(at / self.dt)
        if np.abs(steps * self.dt - at).max(initial=0.0) > 1e-9 * (
            1.0 + np.abs(at).max(initial=0.0)
        ):
            raise checks.fail("lag", lag, f"is not a multiple of dt = {self.dt:g}")
        shape = (*at.shape, self.dim, self.dim)
        if self.mean_square_index() >= 1.0:
            return self._shaped(np.full(shape, math.inf))
        g = self._noise.copy()
        for k, taps in enumerate(self._gains):
            g[:, k] += sum((m @ self._mean[:, 0] for m in taps.values()), np.zeros(self.dim))
        source = g @ g.T
        if self._multiplicative:
            matrix = self._map
            solved = np.linalg.solve(np.eye(len(matrix)) - matrix, coordinates(source))
            source = np.einsum("k,kab->ab", solved, symmetric_basis(self.dim))
        points, before = 64 * (max(self._taps) + 2 + int(np.abs(steps).max(initial=0.0))), None
        while points <= MOST_POINTS:
            z, h = self._transfer(points)
            density = h @ source @ np.conj(np.swapaxes(h, -1, -2))
            now = np.stack([
                np.einsum("n,nab->ab", z ** int(n), density).real / points for n in steps.ravel()
            ])  # fmt: skip
            if before is not None and np.abs(now - before).max() <= 1e-13 * np.abs(now).max():
                return self._shaped(now.reshape(shape))
            points, before = 2 * points, now
        raise Error("the recursion is too close to its stability limit to be summed.")

    def _shaped(self, value: Floats) -> Any:
        if not self.scalar:
            return value
        flat = value[..., 0, 0]
        return float(flat) if flat.ndim == 0 else flat


def _reading(delay: float, dt: float) -> dict[int, float]:
    """Return the weights of x_{n-i} that read x(t_n - delay) by linear interpolation."""
    steps = delay / dt
    if steps > _LONGEST:
        raise checks.fail(
            "dt", dt, f"is below a millionth of the delay {delay:g}",
            remedy=f"For example dt = {delay / 1000.0:g}.",
        )  # fmt: skip
    whole = (
        round(steps) if abs(steps - round(steps)) < 1e-9 * max(steps, 1.0) else math.floor(steps)
    )
    share = max(steps - whole, 0.0) if abs(steps - whole) > 1e-9 * max(steps, 1.0) else 0.0
    return {whole: 1.0 - share, whole + 1: share} if share else {whole: 1.0}


def _gather(dim: int, parts: Sequence[tuple[int, Floats]]) -> Taps:
    taps: Taps = {}
    for back, matrix in parts:
        taps[back] = taps.get(back, np.zeros((dim, dim))) + matrix
    return taps


def _fixed(c: Coefficients) -> list[float]:
    if any(law.kind != "constant" for law in c.laws):
        raise checks.fail(
            "delays", c.laws, "holds a random delay", why="The recursion needs fixed delays."
        )
    return [law.mean for law in c.laws]


def euler_maruyama(c: Coefficients, dt: float, mean: Floats) -> Recursion:
    """Return the Euler-Maruyama recursion; `mean` is the stationary mean, shape (dim, 1)."""
    dim, eye, root = len(c.instant), np.eye(len(c.instant)), math.sqrt(dt)
    reads = [_reading(delay, dt) for delay in _fixed(c)]
    parts = [(0, eye + dt * c.instant)]
    for a, read in zip(c.delayed, reads, strict=True):
        parts += [(back, dt * share * a) for back, share in read.items()]
    gains = []
    for k in range(c.noise.shape[1]):
        own = [(0, root * c.gains[0][k])]
        for gain, read in zip(c.gains[1:], reads, strict=True):
            own += [(back, root * share * gain[k]) for back, share in read.items()]
        gains.append(_gather(dim, own))
    return Recursion(c.scalar, dt, _gather(dim, parts), root * c.noise, gains, mean)


def heun(c: Coefficients, dt: float, mean: Floats) -> Recursion:
    """Return the recursion with trapezoidal drift and additive noise.

    The predictor is an Euler-Maruyama step; the drift is averaged over its two ends.
    """
    if c.multiplicative:
        raise checks.fail(
            "multiplicative", "(...)", "is not zero",
            why="The trapezoidal drift is meant for additive noise.",
            remedy="Use euler_maruyama(dt).",
        )  # fmt: skip
    dim, eye, root = len(c.instant), np.eye(len(c.instant)), math.sqrt(dt)
    delays = _fixed(c)
    if min(delays, default=math.inf) < dt * (1.0 - 1e-9):
        raise checks.fail(
            "dt", dt, "exceeds a delay", why="The drift at the end of a step must be known there."
        )
    average = eye + dt / 2.0 * c.instant
    parts = [(0, eye + dt * c.instant @ average)]
    for a, delay in zip(c.delayed, delays, strict=True):
        for back, share in _reading(delay, dt).items():
            parts.append((back, dt / 2.0 * share * (eye + dt * c.instant) @ a))
            parts.append((back - 1, dt / 2.0 * share * a))
    gains = [_gather(dim, [(0, np.zeros((dim, dim)))]) for _ in range(c.noise.shape[1])]
    return Recursion(c.scalar, dt, _gather(dim, parts), root * average @ c.noise, gains, mean)
