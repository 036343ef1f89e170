r"""Mean and mean square of a linear delay equation with random delays and Poisson arrivals.

One coordinate *x* receives gradients at the points of a Poisson process; each was computed at the
state one independent random delay ago. With time in units of the mean delay, damping *u* and
arrival strength :math:`\epsilon = u^2/n`,

.. math::

    K' = -u\,E K(t - S),\quad m = 1 - u\int_0^t K,\quad
    y(t) = m(t)^2 + \epsilon \int_0^t K(t-r)^2\, E y(r - S)\, dr + \text{noise} \int_0^t K^2 ,

exactly: *m* is the mean, *y* the mean square of a start at 1 that held until time zero. All
dampings are marched together on panels (`panels`) until the fast part has died; from there the
slowest exponentials, roots of the characteristic equations of *m* and of *y*, continue the curves
for ever. Nothing here knows about workers, learning rates or losses. Derived in this project.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .panels import ORDER, delay_operator, lagrange, rules
from .root_locus import polish

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

HORIZON = 40.0  # mean delays after which only the slowest exponentials are left
LONGEST = 160.0  # the same for laws whose tail is slower than that
_READABLE = 1e-8  # a kernel above this is far from rounding
_DEAD = 1e-17  # a squared exponential below this has no part in the continuation
START, NOISE = 0, 1


@dataclass(frozen=True, slots=True)
class Tail:
    """Exponentials that continue a curve beyond the horizon.

    Attributes
    ----------
    exponents : numpy.ndarray, shape (modes, 3)
        Complex exponents, in 1/time.
    amplitudes : numpy.ndarray, shape (2, modes, 3)
        Their values at the horizon, for the start and for the noise; zero where there is none.
    level : numpy.ndarray, shape (2, modes)
        What is left after them: zero for the start, the stationary variance for the noise; ``inf``
        where the mean square grows without bound.
    """

    exponents: Complexes
    amplitudes: Complexes
    level: Floats


class Renewal:
    """The curves for many dampings under one delay law of mean one.

    Parameters
    ----------
    law : Law
        Law of the delay, with mean one and a tail that is at least exponential.
    damping : array, shape (modes,)
        Dampings *u* > 0, dimensionless.
    strength : array, shape (modes,)
        Arrival strengths ε; zero for additive noise alone.
    """

    def __init__(self, law: Law, damping: Floats, strength: Floats) -> None:
        self.damping = np.asarray(damping, dtype=float)
        self.strength = np.asarray(strength, dtype=float)
        self.law = law
        self.width, self.panels, self._beat = _grid(law, float(self.damping.max()))
        self.end = self.width * self.panels
        self.kernel, self.mean = self._march_mean()

    @cached_property
    def square(self) -> Floats:
        """Mean squares at the nodes, shape (2, modes, panels, order): start, then noise."""
        additive = np.stack([self.mean**2, self._integral(self.kernel**2)])
        live = self.strength > 0
        if live.any():
            additive[:, live] = self._march_square(live, additive[:, live])
        return additive

    @cached_property
    def nodes(self) -> Floats:
        """Times of the nodes, shape (panels, order)."""
        return (np.arange(self.panels)[:, None] + rules().nodes) * self.width

    @cached_property
    def energy(self) -> Floats:
        r"""The integrals :math:`\int_0^\infty K^2`; ``inf`` where the mean is unstable."""
        inside = self.width * (self.kernel**2 @ rules().weights).sum(axis=1)
        s, c, _ = self.slow
        with np.errstate(all="ignore"):
            exponents, amplitudes = _products(s, c)
            tail = _wave_integral(amplitudes, exponents, self.end).real
        return np.where(self.unstable, np.inf, inside + np.where(self.live, tail, 0.0))

    @cached_property
    def slow(self) -> tuple[Complexes, Complexes, Complexes]:
        """Dominant roots, and their amplitudes in the kernel and in the mean."""
        s = self._roots()
        slope = -np.asarray(self.law.laplace(s, power=1), dtype=complex)
        with np.errstate(all="ignore"):
            c = np.asarray(1.0 / (1.0 + self.damping * slope), dtype=complex)
            d = np.asarray(-self.damping * c / s, dtype=complex)
        return s, c, d

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Whether anything is left of a mode at the horizon."""
        return np.exp(2.0 * self.slow[0].real * self.end) > _DEAD

    @cached_property
    def unstable(self) -> NDArray[np.bool_]:
        """Whether the mean of a mode does not converge."""
        return self.slow[0].real >= 0.0

    @cached_property
    def index(self) -> Floats:
        r"""The index :math:`\epsilon\int K^2`: below one the mean square stays bounded."""
        with np.errstate(invalid="ignore"):
            return np.where(self.strength > 0, self.strength * self.energy, 0.0)

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """Whether the mean square stays bounded."""
        return ~self.unstable & (self.index < 1.0)

    # ---- marching -----------------------------------------------------------------------------

    def _march_mean(self) -> tuple[Floats, Floats]:
        operator, _ = delay_operator(self.law, self.width, self.panels)
        rule = rules()
        modes, step = len(self.damping), self.damping * self.width
        behind = np.ascontiguousarray(operator[::-1].transpose(0, 2, 1)).reshape(-1, ORDER)
        implicit = np.eye(ORDER) + step[:, None, None] * (rule.integral @ operator[0])
        solve = np.linalg.inv(implicit).transpose(0, 2, 1)
        kernel = np.empty((modes, self.panels, ORDER))
        mean = np.empty_like(kernel)
        value, average = np.ones(modes), np.ones(modes)
        for k in range(self.panels):
            old = slice((self.panels - 1 - k) * ORDER, (self.panels - 1) * ORDER)
            past = kernel[:, :k].reshape(modes, k * ORDER) @ behind[old]
            right = value[:, None] - step[:, None] * (past @ rule.integral.T)
            kernel[:, k] = (right[:, None, :] @ solve)[:, 0]
            delayed = past + kernel[:, k] @ operator[0].T
            value = value - step * (delayed @ rule.weights)
            mean[:, k] = average[:, None] - step[:, None] * (kernel[:, k] @ rule.integral.T)
            average = average - step * (kernel[:, k] @ rule.weights)
        return kernel, mean

    def _march_square(self, live: NDArray[np.bool_], additive: Floats) -> Floats:
        operator, before = delay_operator(self.law, self.width, self.panels)
        rule = rules()
        count, width = int(live.sum()), self.width
        squared = self.kernel[live] ** 2 * (self.strength[live] * width)[:, None, None]
        pieces = squared @ rule.same
        pieces[:, 1:] += squared[:, :-1] @ rule.previous
        pieces = pieces.reshape(count, self.panels, ORDER, ORDER)
        # Reversed and transposed, so that the sum over the past is one product with a slice.
        spread = np.ascontiguousarray(pieces[:, ::-1].transpose(0, 1, 3, 2))
        spread = spread.reshape(count, self.panels * ORDER, ORDER)
        behind = np.ascontiguousarray(operator[::-1].transpose(0, 2, 1)).reshape(-1, ORDER)
        first = pieces[:, 0]
        solve = np.linalg.inv(np.eye(ORDER) - first @ operator[0]).transpose(0, 2, 1)
        square = np.empty((count, 2, self.panels, ORDER))
        delayed = np.empty_like(square)
        history = np.array([1.0, 0.0])[:, None]
        for k in range(self.panels):
            old = slice((self.panels - 1 - k) * ORDER, (self.panels - 1) * ORDER)
            known = square[:, :, :k].reshape(count, 2, k * ORDER) @ behind[old]
            known = known + history * before[k]
            right = additive[:, :, k].transpose(1, 0, 2) + known @ first.transpose(0, 2, 1)
            right = right + delayed[:, :, :k].reshape(count, 2, k * ORDER) @ spread[:, old]
            square[:, :, k] = right @ solve
            delayed[:, :, k] = known + square[:, :, k] @ operator[0].T
        return square.transpose(1, 0, 2, 3)

    def _roots(self) -> Complexes:
        """Return the dominant roots: read off the kernel before it dies, polished by Newton."""
        size = np.abs(self.kernel).max(axis=2)
        alive = (size > _READABLE) & (np.cumsum(size > 1e200, axis=1) == 0)
        last = self.panels - 1 - np.argmax(alive[:, ::-1], axis=1)
        stop = np.maximum((last + 1) * self.width, min(4.0 * self._beat, self.end))
        at = stop[:, None] + self._beat * np.array([-3.0, -2.0, -1.0, 0.0])
        k0, k1, k2, k3 = self._kernel_at(at).T
        scale = np.maximum(np.abs([k0, k1, k2, k3]).max(axis=0), 1e-300)
        with np.errstate(all="ignore"):
            ratio = k3 / k2
            determinant = k1 * k1 - k0 * k2
            p = (k1 * k2 - k0 * k3) / determinant
            q = (k1 * k3 - k2 * k2) / determinant
            half, spread = 0.5 * p, np.sqrt((0.25 * p * p + q).astype(complex))
            pair = np.where(np.abs(half + spread) >= np.abs(half - spread), half + spread,
                            half - spread)  # fmt: skip
            single = np.abs(determinant) < 1e-9 * scale**2
            s = np.log(np.where(single, ratio + 0j, pair)) / self._beat
            s = np.where(s.imag < 0.0, s.conj(), s)
        start = np.where(np.isfinite(s), s, -1.0 + 0j)
        found: Complexes = polish(self.law, start, self.damping)
        root = np.asarray(np.where(np.isnan(found), start, found), dtype=complex)
        root = np.where(np.imag(root) < 0.0, np.conj(root), root)
        return np.where(np.imag(root) < 1e-9 * np.abs(root), np.real(root) + 0j, root)

    def _kernel_at(self, time: Floats) -> Floats:
        """Return the kernel at times of shape (modes, count)."""
        panel = np.clip((time / self.width).astype(int), 0, self.panels - 1)
        basis = lagrange((time / self.width - panel).ravel()).reshape(*time.shape, ORDER)
        values = self.kernel[np.arange(len(time))[:, None], panel]
        return np.einsum("mtn,mtn->mt", values, basis)

    # ---- integrals over the panels ------------------------------------------------------------

    def _integral(self, values: Floats) -> Floats:
        """Return the running integrals at the nodes."""
        rule = rules()
        whole = self.width * (values @ rule.weights)
        start = np.cumsum(whole, axis=-1) - whole
        return start[..., None] + self.width * (values @ rule.integral.T)

    def _weigh(self, values: Floats, exponent: Any) -> tuple[Any, Any]:
        """Return transforms up to the horizon at one exponent each, and those times t."""
        time = self.nodes.ravel()
        weights = np.tile(rules().weights * self.width, self.panels)
        factor = np.exp(-exponent[:, None] * time) * (values.reshape(len(values), -1) * weights)
        return factor.sum(axis=1), factor @ time

    # ---- beyond the horizon -------------------------------------------------------------------

    @cached_property
    def tail(self) -> Tail:
        """What continues the mean squares beyond the horizon."""
        s, c, d = self.slow
        exponents, start = _products(s, d)
        level = np.zeros((2, len(s)))
        with np.errstate(all="ignore"):
            grown = np.exp(exponents * self.end)
            amplitudes = np.stack([start, _products(s, c)[1] / exponents]) * grown
            level[NOISE] = np.where(self.bounded, self.energy / (1.0 - self.index), np.inf)
        amplitudes[:, ~self.live] = 0.0
        level[START, ~self.bounded] = np.inf
        amplitudes[:, ~self.bounded] = 0.0
        pick = self.bounded & (self.strength > 0)
        if pick.any():  # near its limit the mean square outlives the mean
            ends = self.square[:, :, -1, -1]
            with np.errstate(invalid="ignore"):
                moving = (np.abs(ends[START]) > 1e-15) | (
                    np.abs(ends[NOISE] / level[NOISE] - 1) > 1e-13
                )
            pick &= moving
        poles = exponents.copy()
        for column, some in ((0, pick), (1, pick & self.live & (s.imag != 0.0))):
            if some.any():
                z, values = self._renewal_waves(some, poles[some], column)
                exponents[some, column], amplitudes[:, some, column] = z, values
                if column:  # the pair
                    exponents[some, 2], amplitudes[:, some, 2] = z.conj(), values.conj()
        return Tail(exponents, amplitudes, level)

    def _renewal_waves(
        self, pick: NDArray[np.bool_], poles: Complexes, column: int
    ) -> tuple[Complexes, Complexes]:
        r"""Return exponents and amplitudes of the mean square where arrivals multiply it.

        The transform of *y* is :math:`N/D` with :math:`D = 1-\epsilon\kappa\phi`, κ the transform
        of :math:`K^2`. Near each pole of κ (a sum of two dominant roots) lies one zero of *D*. The
        real one (`column` 0) lies between its pole and 0, where *D* falls from :math:`1 -` index to
        minus infinity; Newton's iteration on :math:`(z-\text{pole})D` finds it inside that bracket,
        and the complex ones from next to their poles.
        """
        s, c, d = (part[pick] for part in self.slow)
        epsilon = self.strength[pick]
        kernel, mean = self.kernel[pick] ** 2, self.mean[pick] ** 2
        residue, square = _products(s, c)[1], _products(s, d)[1]
        pole, apart = poles[:, column], poles - poles[:, column, None]
        if column == 0:
            pole = pole.real

        def transforms(rows: Any, past: Any) -> tuple[Any, Any]:
            """Return D and its derivative, `past` the poles: the own pole must not cancel."""
            z, gap = pole[rows] + past, apart[rows] - past[:, None]
            kappa, moment = self._weigh(kernel[rows], z)
            kappa = kappa + _wave_integral(residue[rows], gap, self.end)
            moment = moment + _wave_moment(residue[rows], gap, self.end)
            phi, slope = self.law.laplace(z), -np.asarray(self.law.laplace(z, power=1))
            e = epsilon[rows]
            value, slope = 1.0 - e * kappa * phi, e * (moment * phi - kappa * slope)
            return (np.real(value), np.real(slope)) if column == 0 else (value, slope)

        with np.errstate(all="ignore"):
            past = np.array(epsilon * residue[:, column] * self.law.laplace(pole), dtype=complex)
            past = np.real(past) if column == 0 else past
            low = np.maximum(0.0, -45.0 / self.end - np.real(pole))
            high = -np.real(pole)
            if column == 0:
                past = np.where((past > low) & (past < high), past, 0.5 * (low + high))
            left = np.arange(pole.size)
            for _ in range(60):
                at = past[left]
                value, slope = transforms(left, at)
                after = at - at * value / (value + at * slope)
                if column == 0:
                    right = value > 0.0
                    high[left] = np.where(right, at, high[left])
                    low[left] = np.where(right, low[left], at)
                    inside = (after > low[left]) & (after < high[left])
                    after = np.where(inside, after, 0.5 * (low[left] + high[left]))
                past[left] = after
                left = left[~(np.abs(after - at) <= 1e-14 * np.abs(after))]
                if not left.size:
                    break
            every = np.arange(pole.size)
            value, slope = transforms(every, past)
            z = pole + past
            kappa = 1.0 / (epsilon * self.law.laplace(z))
            waves = _wave_integral(square, apart - past[:, None], self.end)
            start = (
                self._weigh(mean, z)[0] + waves + epsilon * kappa * (1 - self.law.laplace(z)) / z
            )
            amplitudes = np.stack([start / slope, kappa / z / slope]) * np.exp(z * self.end)
        found = np.abs(value) < 1e-6  # what has died leaves no root in the bracket
        return np.where(found, z, pole) + 0j, np.where(found, amplitudes, 0.0) + 0j

    # ---- values at any time -------------------------------------------------------------------

    def mean_at(self, time: Floats) -> Floats:
        """Return the means at any times, shape (modes, times)."""
        inside = time < self.end
        out = np.empty((len(self.damping), time.size))
        panel = np.minimum((time[inside] / self.width).astype(int), self.panels - 1)
        basis = lagrange(time[inside] / self.width - panel)
        out[:, inside] = np.einsum("mtn,tn->mt", self.mean[:, panel], basis)
        if not inside.all():
            s, _, d = self.slow
            d = np.where(self.live, d, 0.0) * np.where(s.imag == 0.0, 1.0, 2.0)
            out[:, ~inside] = np.real(d[:, None] * np.exp(s[:, None] * time[~inside]))
        return out


def solved(law: Law, damping: Floats, strength: Floats) -> Renewal:
    """Return the curves, from memory if they were asked for lately."""
    return _solved(law, damping.tobytes(), strength.tobytes())


@lru_cache(maxsize=16)
def _solved(law: Law, damping: bytes, strength: bytes) -> Renewal:
    return Renewal(law, np.frombuffer(damping), np.frombuffer(strength))


def _grid(law: Law, largest: float) -> tuple[float, int, float]:
    """Return panel width, number of panels, and a time in which no wave makes half a turn."""
    end = HORIZON
    if math.isfinite(law.highest):
        end = max(end, min(2.0 * law.highest, LONGEST))
    else:
        end = max(end, min(HORIZON / max(-law.convergence_abscissa, 1e-9), LONGEST))
    width = 1.0
    if law.kind == "constant" or 0.25 <= law.lowest <= 1.0:
        width = law.lowest  # panels then end where the curves have kinks
    elif law.kind == "continuous" and math.isfinite(law.highest):
        width = law.highest / math.ceil(law.highest)
    if law.kind in ("measured", "discrete"):
        width = min(width, 0.5)
    # On the imaginary axis a root at w needs damping w / |phi(iw)|: the fastest wave that matters.
    frequency = np.geomspace(1e-2, 1.0, 40) * max(largest, 1.0)
    needed = frequency / np.maximum(np.abs(law.laplace(1j * frequency)), 1e-12)
    fastest = float(frequency[min(np.searchsorted(needed, largest), 39)])
    width /= max(1, math.ceil(fastest * width / 1.8))
    return width, math.ceil(end / width), min(1.0, 1.2 / fastest)


def _products(s: Complexes, f: Complexes) -> tuple[Complexes, Complexes]:
    """Return exponents and amplitudes of the square of a dominant wave, shape (modes, 3)."""
    real = s.imag == 0.0
    exponents = np.stack([2.0 * s.real + 0j, 2.0 * s, 2.0 * s.conj()], axis=1)
    absolute = np.abs(f) ** 2
    pair = np.where(real, 0.0, f**2)
    both = np.where(real, absolute, 2.0 * absolute) + 0j
    return exponents, np.stack([both, pair, pair.conj()], axis=1)


def _wave_integral(amplitudes: Complexes, gap: Complexes, end: float) -> Complexes:
    """Return the integrals beyond `end` of sums of waves with exponents `gap` (modes, waves)."""
    parts = np.where(amplitudes == 0.0, 0.0, amplitudes * np.exp(gap * end) / gap)
    return -np.sum(parts, axis=1)


def _wave_moment(amplitudes: Complexes, gap: Complexes, end: float) -> Complexes:
    """Return the same integrals weighted with time."""
    parts = amplitudes * np.exp(gap * end) * (1.0 / gap**2 - end / gap)
    return np.sum(np.where(amplitudes == 0.0, 0.0, parts), axis=1)
