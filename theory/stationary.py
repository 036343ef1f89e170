r"""Stationary covariances of linear delay equations driven by white noise.

For :math:`dx=(A_0x+\sum_jA_jx(t-\tau_j))dt+dM` with noise covariance Q per unit time,
:math:`R(\ell)=E\,x(t+\ell)x(t)^T=\int_0^\infty K(u+\ell)\,Q\,K(u)^Tdu`. Scalars with one fixed
delay have a closed form. Other fixed delays: R is the delay Lyapunov matrix, which solves a
boundary value problem on [0, longest delay], collocated here. Random delays: an integral over
frequencies. Callers make sure that the system is stable.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.sparse import block_diag, csr_matrix, identity, kron
from scipy.sparse.linalg import splu

from sdde.equation.laws import as_law

from .method_of_steps import Stepper, mesh
from .numerics import Complexes, Floats, gauss, interpolation
from .piecewise import DEGREE, Piecewise, panel
from .spectrum import Spectrum

MOST_KINKS = 24  # kinks of the covariance that get their own panel end
KINK_ORDER = 6
MOST_UNKNOWNS = 4000  # of the delay Lyapunov problem; larger systems integrate K instead
LONGEST_RUN = 200.0  # size of the coefficients over the decay rate up to which K is integrated


def scalar_covariance(a: float, b: float, delay: float, noise: float, lag: Floats) -> Floats:
    r"""Return the autocovariance of dx = (a x + b x(t - delay)) dt + noise dW at 0 <= lag <= delay.

    With :math:`\omega=\sqrt{b^2-a^2}`: :math:`K(u)=K(0)\cos\omega
    u-\frac{\sigma^2}{2\omega}\sin\omega u` and
    :math:`K(0)=\frac{\sigma^2}{2}\,\frac{(b/\omega)\sin\omega\tau-1}{a+b\cos\omega\tau}` (Küchler
    and Mensch 1992); for :math:`a^2>b^2` the same with hyperbolic functions, written here as a sum
    of two falling exponentials so that nothing cancels.
    """
    power = noise * noise
    if b == 0.0 or delay == 0.0:
        return power / (-2.0 * (a + b)) * np.exp((a + b) * lag)
    square = b * b - a * a
    if square < 0.0 and math.sqrt(-square) * delay > 1.0:
        rate = math.sqrt(-square)
        fall = math.exp(-rate * delay)
        ahead = power / 4.0 * (b * b / (rate - a) - b * fall)
        ahead /= rate * (a * fall + b * (1.0 + fall * fall) / 2.0)
        first = power / (2.0 * rate) + ahead * fall
        return first * np.exp(-rate * lag) + ahead * np.exp(-rate * (delay - lag))
    omega = np.sqrt(complex(square))
    at = np.append(np.asarray(lag, dtype=float), delay)
    cosine = np.cos(omega * at).real
    with np.errstate(all="ignore"):
        ratio = np.where(abs(omega) * at < 1e-8, at, (np.sin(omega * at) / omega).real)
    start = power / 2.0 * (b * ratio[-1] - 1.0) / (a + b * cosine[-1])
    return start * cosine[:-1] - power / 2.0 * ratio[:-1]


class LyapunovMatrix:
    """The delay Lyapunov matrix of a stable system with fixed delays, for any noise covariance.

    It satisfies R'(l) = A0 R(l) + sum_j Aj R(l - tau_j), R(-l) = R(l)^T and
    R'(0+) + R'(0+)^T + Q = 0 (derived in this project from the lagged equation).
    """

    def __init__(self, spectrum: Spectrum) -> None:
        self.dim = dim = spectrum.dim
        self.instant, self.delayed = spectrum.instant, spectrum.delayed
        self.lags = [law.mean for law in spectrum.laws]
        longest = max(self.lags)
        self.breaks = mesh(self._kinks(longest), longest, 3.0 / spectrum.radius(0.0), math.inf)
        nodes, _, integral, _ = panel()
        panels = len(self.breaks) - 1
        widths = np.diff(self.breaks)
        # Node k * DEGREE + i is node i of panel k; the last node of a panel is the next one's
        # first.
        count = panels * DEGREE + 1
        inner = self.breaks[:-1, None] + widths[:, None] * nodes[:-1]
        self.times = np.append(inner.ravel(), longest)
        rows = block_diag([width * integral[1:] for width in widths]).tocoo()
        column = rows.col - rows.col // (DEGREE + 1)  # shared end nodes
        sums = csr_matrix((rows.data, (rows.row + 1, column)), shape=(count, count))
        left = np.repeat(np.arange(panels) * DEGREE, DEGREE)
        change = identity(count).tolil()
        change[np.arange(1, count), left] = -1.0
        swap = csr_matrix(np.eye(dim * dim)[np.arange(dim * dim).reshape(dim, dim).T.ravel()])
        eye = np.eye(dim)
        system = kron(change.tocsr(), identity(dim * dim))
        system = system - kron(sums, np.kron(self.instant, eye))
        for a, lag in zip(self.delayed, self.lags, strict=True):
            behind, ahead = self._reading(lag, count)
            block = csr_matrix(np.kron(a, eye))
            system = system - kron(sums @ behind, block) - kron(sums @ ahead, block @ swap)
        system = system.tolil()
        system[: dim * dim] = self._boundary(count, swap)
        self._solver = splu(system.tocsc())

    def _kinks(self, longest: float) -> Floats:
        """Return lags at which R is not smooth: sums and differences of delays, low orders."""
        found, level = np.array([0.0, *self.lags]), np.array([0.0, *self.lags])
        for _ in range(KINK_ORDER):
            level = np.abs(np.add.outer(level, [*self.lags, *(-lag for lag in self.lags)]).ravel())
            level = level[level < longest]
            more = np.sort(np.concatenate([found, level]))
            more = more[np.append(True, np.diff(more) > 1e-12 * longest)]
            if len(more) > MOST_KINKS or len(more) == len(found):
                break
            found = more
        found = np.sort(found)
        found = found[np.append(True, np.diff(found) > 1e-12 * longest)]
        return found[found < longest * (1.0 - 1e-12)]

    def _rows(self, at: Floats, keep: Floats, count: int) -> csr_matrix:
        """Return the matrix that reads R at `at` from the node values, for the kept rows."""
        x, weights, _, _ = panel()
        which = np.flatnonzero(keep)
        at = np.clip(at[which], 0.0, self.breaks[-1])
        index = np.clip(np.searchsorted(self.breaks, at, "right") - 1, 0, len(self.breaks) - 2)
        start, width = self.breaks[index], np.diff(self.breaks)[index]
        data = interpolation(x, weights, (at - start) / width)
        row = np.repeat(which, DEGREE + 1)
        column = (index[:, None] * DEGREE + np.arange(DEGREE + 1)).ravel()
        return csr_matrix((data.ravel(), (row, column)), shape=(len(keep), count))

    def _reading(self, lag: float, count: int) -> tuple[csr_matrix, csr_matrix]:
        shifted = self.times - lag
        behind = shifted >= -1e-12 * self.breaks[-1]
        return self._rows(shifted, behind, count), self._rows(-shifted, ~behind, count)

    def _boundary(self, count: int, swap: csr_matrix) -> csr_matrix:
        """Return the rows of R'(0+) + R'(0+)^T + (R(0) - R(0)^T)."""
        dim = self.dim
        square, eye = identity(dim * dim), np.eye(dim)
        first = csr_matrix(([1.0], ([0], [0])), shape=(1, count))
        slope = kron(first, np.kron(self.instant, eye)).tocsr()
        for a, lag in zip(self.delayed, self.lags, strict=True):
            row = self._rows(np.array([lag]), np.array([True]), count)
            slope = slope + kron(row, csr_matrix(np.kron(a, eye)) @ swap)
        symmetric = (square + swap) @ slope
        return (symmetric + kron(first, square - swap)).tocsr()

    def solve(self, noise: Floats) -> Piecewise:
        """Return R on [0, longest delay] for noise covariance `noise`, shape (dim, dim)."""
        right = np.zeros(len(self.times) * self.dim**2)
        right[: self.dim**2] = -noise.ravel()
        nodes = self._solver.solve(right).reshape(-1, self.dim, self.dim)
        index = np.arange(len(self.breaks) - 1)[:, None] * DEGREE + np.arange(DEGREE + 1)

        def mirrored(lag: Floats) -> Floats:
            return np.swapaxes(whole(-lag), -1, -2)

        whole = Piecewise(self.breaks, nodes[index], mirrored)
        return whole

    def covariance(self, noise: Floats, lags: Floats) -> Floats:
        """Return R at lags >= 0, beyond the longest delay by the method of steps."""
        near = self.solve(noise)
        longest, end = float(self.breaks[-1]), float(lags.max(initial=0.0))
        if end <= longest:
            return near.inside(lags)
        laws = [as_law(lag, "delay") for lag in self.lags]
        edges = [*(self.breaks - longest), *(-self.breaks - longest)]
        far = Stepper(self.instant, self.delayed, laws).solve(
            end - longest, near.values[-1, -1], lambda t: near(t + longest), origins=edges
        )
        return far(lags - longest)


def fundamental_covariance(spectrum: Spectrum, noise: Floats, lags: Floats, rate: float) -> Floats:
    """Return R at lags >= 0 from products of the fundamental solution, which decays at `rate`."""
    dim = spectrum.dim
    end = 17.5 / rate  # two factors of exp(-17.5) are below rounding

    def none(t: Floats) -> Floats:
        return np.zeros((len(t), dim, dim))

    stepper = Stepper(spectrum.instant, spectrum.delayed, spectrum.laws)
    solution = stepper.solve(end + float(lags.max(initial=0.0)), np.eye(dim), none)
    out = []
    for lag in lags:
        shifted = solution.breaks - lag
        breaks = np.unique(np.concatenate([solution.breaks, shifted[shifted > 0.0]]))
        nodes, weights = Piecewise(breaks, solution.values, none).quadrature(end)
        now, later = solution.inside(nodes), solution.inside(nodes + lag)
        out.append(np.einsum("n,nij,jk,nlk->il", weights, later, noise, now, optimize=True))
    return np.stack(out)


def spectral_covariance(
    spectrum: Spectrum, noise: Floats, lag: float = 0.0, *, shift: float = 0.0
) -> Floats:
    r"""Return :math:`R(\ell)=\frac1{2\pi}\int e^{i\omega\ell}HQH^*d\omega`, H the inverse of Delta.

    A rational spectrum with the same leading terms at high frequency is subtracted and added back
    in closed form, so that what is left falls fast.
    """
    c = spectrum.radius(0.0) + abs(shift)
    a = spectrum.instant - shift * np.eye(spectrum.dim)
    odd = a @ noise - noise @ a.T
    even = a @ noise @ a.T - a @ a @ noise - noise @ a.T @ a.T + c * c * noise

    def integrand(omega: Floats) -> Complexes:
        h = np.linalg.inv(spectrum.matrix(shift + 1j * omega))
        value = h @ noise @ np.conj(np.swapaxes(h, -1, -2))
        base = 1.0 / (omega**2 + c * c)[:, None, None]
        rest = (even - 1j * omega[:, None, None] * odd) * base**2
        return np.asarray(value - noise * base - rest, dtype=complex)

    distance = abs(lag)
    fall = math.exp(-c * distance)
    known = noise * fall / (2.0 * c)
    known = known + even * fall * (1.0 + c * distance) / (4.0 * c**3)
    known = known + odd * math.copysign(distance, lag) * fall / (4.0 * c)
    return known + integrate_frequencies(spectrum, integrand, lag, shift=shift)


def integrate_frequencies(
    spectrum: Spectrum,
    integrand: Callable[[Floats], Complexes],
    lag: float = 0.0,
    *,
    shift: float = 0.0,
) -> Floats:
    """Return the real part of the integral of exp(i omega lag) f(omega) / pi over omega > 0.

    Panels shrink towards the characteristic roots next to the axis, where the integrand peaks, and
    are shorter than its oscillations; octaves are added until they no longer contribute.
    """
    lengths = [law.mean + 3.0 * math.sqrt(min(law.variance, law.mean**2)) for law in spectrum.laws]
    longest = max([abs(lag), *lengths])
    scale = spectrum.radius(0.0) + max((1.0 / law.mean for law in spectrum.laws), default=0.0)
    edges = {0.0, scale}
    for root in spectrum.rightmost(6):
        centre, width = abs(root.imag), max(abs(root.real - shift), 1e-9 * scale)
        edges |= {centre + side * width * 2.0**k for k in range(40) for side in (-1, 1)} | {centre}
    ends = np.array([*sorted(e for e in edges if 0.0 <= e < 10.0 * scale), 10.0 * scale])
    points, masses = gauss(16)

    def over(low: float, high: float) -> Floats:
        pieces = max(1, math.ceil((high - low) * longest / 6.0))
        size = (high - low) / pieces
        total = np.zeros((spectrum.dim, spectrum.dim))
        for first in range(0, pieces, 1000):
            left = low + size * np.arange(first, min(first + 1000, pieces))
            omega = (left[:, None] + size * points).ravel()
            weight = np.exp(1j * omega * lag) * np.tile(size * masses, len(left))
            total += np.einsum("n,nab->ab", weight, integrand(omega)).real
        return total

    total = sum((over(a, b) for a, b in pairwise(ends)), np.zeros(()))
    low = float(ends[-1])
    while low * longest < 2e5:
        part = over(low, 2.0 * low)
        total = total + part
        low *= 2.0
        if np.abs(part).max() < 1e-12 * np.abs(total).max():
            break
    return np.asarray(total, dtype=float) / math.pi


class Stationary:
    """Stationary covariances of one stable system, by the method that suits it."""

    def __init__(self, spectrum: Spectrum, abscissa: float) -> None:
        self.spectrum, self.abscissa = spectrum, abscissa
        self.fixed = all(law.kind == "constant" for law in spectrum.laws)
        self._lyapunov: LyapunovMatrix | None = None

    def covariance(self, noise: Floats, lags: Floats) -> Floats:
        """Return R at each lag, shape (lags, dim, dim), for noise covariance `noise`."""
        if not self.spectrum.laws:
            return self._without_delay(noise, lags)
        size = np.abs(lags)
        if self.spectrum.dim == 1 and len(self.spectrum.laws) == 1 and self.fixed:
            delay = self.spectrum.laws[0].mean
            if size.max(initial=0.0) <= delay:
                a, b = float(self.spectrum.instant[0, 0]), float(self.spectrum.delayed[0][0, 0])
                value = scalar_covariance(a, b, delay, math.sqrt(noise[0, 0]), size)
                return value[:, None, None]
        if self.fixed and self._unknowns() < MOST_UNKNOWNS:
            if self._lyapunov is None:
                self._lyapunov = LyapunovMatrix(self.spectrum)
            value = self._lyapunov.covariance(noise, size)
        elif self.abscissa < 0.0 and self.spectrum.radius(0.0) < -LONGEST_RUN * self.abscissa:
            rate = -self.abscissa
            value = fundamental_covariance(self.spectrum, noise, size, rate)
        else:
            value = np.stack([spectral_covariance(self.spectrum, noise, float(x)) for x in size])
        mirrored = np.swapaxes(value, -1, -2)
        return np.where((lags < 0.0)[:, None, None], mirrored, value)

    def _unknowns(self) -> int:
        lags = np.array([law.mean for law in self.spectrum.laws])
        ratio = lags / lags.min()
        kinks = 4 if np.allclose(ratio, np.round(ratio), atol=1e-9) else 8 * len(lags)
        pieces = max(kinks, self.spectrum.radius(0.0) * float(lags.max()) / 3.0)
        return int(pieces * DEGREE * self.spectrum.dim**2)

    def _without_delay(self, noise: Floats, lags: Floats) -> Floats:
        from scipy.linalg import expm, solve_continuous_lyapunov

        now = np.asarray(solve_continuous_lyapunov(self.spectrum.instant, -noise))
        value = [expm(self.spectrum.instant * abs(x)) @ now for x in lags]
        return np.stack([v if x >= 0.0 else v.T for v, x in zip(value, lags, strict=True)])
