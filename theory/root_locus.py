"""The dominant root of s + a phi(s) = 0 as a function of the damping a, tabulated once for a law.

While a is small the dominant root is real; at the critical damping it meets a second real root and
leaves the axis as a pair. The pair is an analytic function of the square root of the distance from
there, so a coarse table with slopes, interpolated and polished by Newton steps, gives thousands of
roots at once. Starting values come from a Chebyshev collocation of the delay generator. Nothing
here knows about matrices, noise or workers.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from sdde.equation.laws import Law

from .numerics import Complexes, Floats, bracketed, chebyshev, interpolation

NODES = 48  # of the collocation that starts Newton's iteration
_STRETCH = 80  # frequencies that are looked at together
LARGEST_DAMPING = 100.0  # damping times mean delay beyond which no crossing is looked for


def reach(law: Law) -> float:
    """Return a length that holds all but a thousandth of the draws: enough for starting values."""
    return law.highest if math.isfinite(law.highest) else float(law.quantile(0.999))


def polish(law: Law, s: Complexes, damping: Floats, steps: int = 40) -> Complexes:
    """Return `s` after Newton's iteration on s + a phi(s); ``nan`` where it does not settle."""
    s = np.array(s, dtype=complex)
    moving = np.ones(s.shape, dtype=bool)
    last = np.full(s.shape, np.inf)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            at, a = s[moving], damping[moving]
            transform, moment = law.laplace_pair(at)
            value = at + a * transform
            move = value / (1.0 - a * moment)
            move = np.where(value == 0.0, 0.0, move)
            s[moving] = at - move
            size, scale = np.abs(move), np.abs(at)
            still = np.isfinite(move) & (size > 1e-15 * scale)
            still &= (size > 1e-12 * scale) | (size < 0.5 * last[moving])  # else only rounding
            last[moving] = size
            moving[moving] = still
            if not moving.any():
                break
        else:
            residual = np.abs(s + damping * law.laplace(s))
            s[moving & ~(residual < 1e-8 * (1.0 + np.abs(s)))] = np.nan
    return s


def crossing(law: Law) -> float:
    r"""Return the smallest damping with a root on the imaginary axis, ``inf`` if there is none.

    There :math:`\mathrm{Re}\,\phi(i\omega)=0`, :math:`\mathrm{Im}\,\phi(i\omega)<0` and
    :math:`a=\omega/|\phi(i\omega)|`. As :math:`a\ge\omega`, a crossing found at a ends the search
    at frequency a. No crossing is reported beyond damping times mean delay = 100.
    """
    unit = 1.0 / law.mean
    largest = LARGEST_DAMPING * unit
    best = math.inf
    fine = np.arange(1, 1001) * (0.05 * unit)
    coarse = fine[-1] * np.exp(np.arange(1, 270) * 0.02)
    frequency = np.concatenate([fine, coarse])

    def along(w: Any) -> Any:
        return np.real(law.laplace(1j * w))

    for first in range(0, frequency.size - 1, _STRETCH):
        if frequency[first] >= min(best, largest):
            break
        part = frequency[first : first + _STRETCH + 1]
        real = along(part)
        for i in np.flatnonzero(np.sign(real[:-1]) != np.sign(real[1:])):
            if part[i] >= min(best, largest):
                break
            omega = bracketed(lambda w: float(along(w)), float(part[i]), float(part[i + 1]))
            value = complex(law.laplace(1j * omega))
            if value.imag < 0.0 and omega / abs(value) < largest:
                best = min(best, omega / abs(value))
    return best


class RootLocus:
    """The table for one law; call it with dampings in 1/time to get dominant roots."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.edge = law.convergence_abscissa
        self.merging = self._merging()
        if self.merging is None:  # no real root: the locus starts where a pair enters Re s > 0
            self.origin, self.start = crossing(law), complex(np.nan)
            self._rates = np.zeros(1)
        else:
            self.origin, self.start = self.merging[1], complex(-self.merging[0])
            share = np.linspace(0.0, 1.0, 400)
            self._rates = self.merging[0] * (1.0 - (1.0 - share) ** 2)[:-1]
        self._dampings = self._rates / np.real(self._moment(self._rates))
        self._q, self._s, self._slope = np.empty(0), np.empty(0, complex), np.empty(0, complex)
        self._smooth = np.empty(0, dtype=bool)

    def _moment(self, rate: Floats | float, power: int = 0) -> Floats:
        return np.asarray(self.law.laplace(-np.asarray(rate, dtype=float), power=power))

    def _merging(self) -> tuple[float, float] | None:
        """Return (rate, damping) where two real roots merge, or None if there is no real root."""
        if self.edge == 0.0:
            return None

        def excess(rate: float) -> float:  # falls with the rate, as log M is convex
            with np.errstate(all="ignore"):
                value = 1.0 - rate * float(self._moment(rate, 1)) / float(self._moment(rate))
            return value if math.isfinite(value) else -1.0

        high = 1.0 / self.law.mean  # M'/M exceeds the mean, so the rate is below 1/mean
        if math.isfinite(self.edge):
            high = min(high, -self.edge * (1.0 - 1e-12))
        if excess(high) > 0.0:  # M stays finite at its edge: the real roots end there
            return high, high / float(self._moment(high))
        rate = bracketed(excess, 1e-9 * high, high)
        return rate, rate / float(self._moment(rate))

    def __call__(self, damping: Floats) -> Complexes:
        """Return the dominant root for each damping."""
        a = np.asarray(damping, dtype=float).ravel()
        out = np.zeros(a.shape, dtype=complex)
        low = (a < 0.0) | ((a <= self.origin) & (self.merging is not None))
        out[low] = self._real(a[low])
        high = a > self.origin
        if high.any():
            out[high] = self._pair(a[high])
        return out.reshape(np.shape(damping))

    def _real(self, a: Floats) -> Complexes:
        """Newton on the convex a M(r) - r from the left of its root: it never overshoots."""
        index = np.searchsorted(self._dampings, a, side="right") - 1
        rate = np.where(a < 0.0, 0.0, self._rates[np.maximum(index, 0)])
        moving = np.ones(a.shape, dtype=bool)
        for _ in range(60):
            at, b = rate[moving], a[moving]
            slope = b * self._moment(at, 1) - 1.0
            with np.errstate(all="ignore"):
                move = np.where(slope < 0.0, -(b * self._moment(at) - at) / slope, 0.0)
            rate[moving] = at + move
            moving[moving] = np.abs(move) > 1e-16 * np.abs(at)
            if not moving.any():
                break
        return -rate.astype(complex)

    def _pair(self, a: Floats) -> Complexes:
        if not math.isfinite(self.origin):
            return np.full(a.shape, complex(self.edge))
        q = np.sqrt(a / self.origin - 1.0)
        self._extend(float(q.max()))
        i = np.minimum(np.searchsorted(self._q, q, side="right") - 1, len(self._q) - 2)
        width = self._q[i + 1] - self._q[i]
        x = (q - self._q[i]) / width
        guess = np.asarray(
            (1.0 + 2.0 * x) * (1.0 - x) ** 2 * self._s[i]
            + x * (1.0 - x) ** 2 * width * self._slope[i]
            + x * x * (3.0 - 2.0 * x) * self._s[i + 1]
            - x * x * (1.0 - x) * width * self._slope[i + 1],
            dtype=complex,
        )
        smooth = self._smooth[i]
        s: Complexes = guess.copy()
        s[smooth] = polish(self.law, guess[smooth], a[smooth], steps=6)
        near = np.abs(s - guess) < 0.05 * (np.abs(guess) + self.origin)
        s[~near] = guess[~near]  # next to the double root Newton may throw a value far away
        rootless = ~(np.isfinite(self._s[i]) | np.isfinite(self._s[i + 1]))
        search = ~smooth & ~rootless
        s[search] = self._candidates(a[search])[:, 0]
        s[rootless | np.isnan(s)] = self.edge
        return np.asarray(s.real + 1j * np.abs(s.imag), dtype=complex)

    def _candidates(self, a: Floats, keep: int = 6) -> Complexes:
        """Return rightmost roots (upper half-plane) for each damping, ``nan`` padded."""
        length = reach(self.law)
        nodes, derivative, weights = chebyshev(NODES, length)
        values, mass = self.law.nodes()
        row = mass @ interpolation(nodes, weights, -np.minimum(values, length))
        generator = np.repeat(derivative[None], len(a), axis=0)
        generator[:, 0, :] = -a[:, None] * row
        start: Complexes = np.linalg.eigvals(generator).astype(complex)
        start[start.imag < 0.0] = -np.inf
        order = np.argsort(-start.real, axis=1)[:, :keep]
        start = np.take_along_axis(start, order, axis=1)
        s = polish(self.law, start, np.broadcast_to(a[:, None], start.shape), steps=25)
        s[~(np.isfinite(s) & (s.real > self.edge) & (s.imag >= -1e-9))] = np.nan
        rank = np.argsort(np.where(np.isnan(s.real), np.inf, -s.real), axis=1)
        return np.take_along_axis(s, rank, axis=1)

    def _extend(self, q_max: float) -> None:
        """Tabulate the dominant root up to `q_max`; marks intervals that a cubic represents."""
        if len(self._q) and self._q[-1] >= q_max:
            return
        last = max(4.0, 1.5 * q_max)
        near = np.linspace(0.0, 1.0, 41)
        far = np.exp(np.arange(1, math.ceil(math.log(last) / 0.04) + 1) * 0.04)
        q = np.concatenate([near, far])
        a = self.origin * (1.0 + q * q)
        s = self._candidates(a)[:, 0]
        s[0] = self.start if self.merging is not None else s[0]
        slope = np.empty(q.shape, dtype=complex)
        for k in range(len(q)):
            if k and np.isfinite(s[k - 1]):  # the same branch continued: it may lead here too
                ahead = np.array([s[k - 1] + slope[k - 1] * (q[k] - q[k - 1])])
                ahead = polish(self.law, ahead, a[k : k + 1], steps=25)
                if np.isfinite(ahead[0]) and not s[k].real >= ahead[0].real - 1e-12:
                    s[k] = ahead[0] if ahead[0].imag >= 0.0 else ahead[0].conjugate()
            slope[k] = self._slope_at(complex(s[k]), float(q[k]), float(a[k]))
        with np.errstate(all="ignore"):
            tangent = s[:-1] + 0.5 * (slope[:-1] + slope[1:]) * np.diff(q)
            self._smooth = np.abs(tangent - s[1:]) < 0.02 * (np.abs(s[1:] - s[:-1]) + self.origin)
        self._q, self._s, self._slope = q, s, slope

    def _slope_at(self, s: complex, q: float, a: float) -> complex:
        """Return ds/dq where a = origin (1 + q^2); at a double root the limit of it."""
        if not np.isfinite(s):
            return complex(np.nan)
        phi = complex(self.law.laplace(s))
        if q == 0.0 and self.merging is not None:
            return 1j * math.sqrt(2.0 * phi.real / complex(self.law.laplace(s, power=2)).real)
        first = complex(self.law.laplace(s, power=1))
        return -phi / (1.0 - a * first) * 2.0 * self.origin * q


@lru_cache(maxsize=64)
def locus_of(law: Law) -> RootLocus:
    """Return the table of a law, built once for each `Law` object."""
    return RootLocus(law)
