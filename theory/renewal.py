r"""Mean square of a linear delay equation with random delays and Poisson arrivals.

One coordinate *x* receives gradients at the points of a Poisson process; each was computed at the
state one independent random delay ago. With time in units of the mean delay, damping *u* and
arrival strength :math:`\epsilon = u^2/n`,

.. math::

    y(t) = m(t)^2 + \epsilon \int_0^t K(t-r)^2\, E y(r - S)\, dr + \text{noise} \int_0^t K^2 ,

exactly: *K* and *m* are the kernel and the mean (`mean_curves`), *y* is the mean square of a start
at 1 that held until time zero. All dampings are marched together on panels; beyond the horizon the
slowest exponentials, roots of the characteristic equation of *y*, continue the curves for ever.
Nothing here knows about workers, learning rates or losses. Derived in this project.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mean_curves import MeanCurves, squared_waves, wave_integral
from .panels import ORDER, Past, delay_operator, rules

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

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
    """The mean squares for many dampings under one delay law of mean one.

    Parameters
    ----------
    means : MeanCurves
        Kernels and means.
    strength : array, shape (modes,)
        Arrival strengths ε; zero for additive noise alone.
    """

    def __init__(self, means: MeanCurves, strength: Floats) -> None:
        self.means = means
        self.strength = np.asarray(strength, dtype=float)

    @cached_property
    def square(self) -> Floats:
        """Mean squares at the nodes, shape (2, modes, panels, order): start, then noise."""
        additive = np.stack([self.means.mean**2, self._integral(self.means.kernel**2)])
        live = self.strength > 0
        if live.any():
            additive[:, live] = self._march_square(live, additive[:, live])
        return additive

    @cached_property
    def index(self) -> Floats:
        r"""The index :math:`\epsilon\int K^2`: below one the mean square stays bounded."""
        with np.errstate(invalid="ignore"):
            return np.where(self.strength > 0, self.strength * self.means.energy, 0.0)

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """Whether the mean square stays bounded."""
        return ~self.means.unstable & (self.index < 1.0)

    def _march_square(self, live: NDArray[np.bool_], additive: Floats) -> Floats:
        operator, before = delay_operator(self.means.law, self.means.width, self.means.panels)
        rule = rules()
        count, width = int(live.sum()), self.means.width
        squared = self.means.kernel[live] ** 2 * (self.strength[live] * width)[:, None, None]
        pieces = squared @ rule.same
        pieces[:, 1:] += squared[:, :-1] @ rule.previous
        pieces = pieces.reshape(count, self.means.panels, ORDER, ORDER)
        # Reversed and transposed, so that the sum over the past is one product with a slice.
        spread = np.ascontiguousarray(pieces[:, ::-1].transpose(0, 1, 3, 2))
        spread = spread.reshape(count, self.means.panels * ORDER, ORDER)
        behind = Past(operator)
        first = pieces[:, 0]
        solve = np.linalg.inv(np.eye(ORDER) - first @ operator[0]).transpose(0, 2, 1)
        square = np.empty((count, 2, self.means.panels, ORDER))
        delayed = np.empty_like(square)
        history = np.array([1.0, 0.0])[:, None]
        for k in range(self.means.panels):
            old = slice((self.means.panels - 1 - k) * ORDER, (self.means.panels - 1) * ORDER)
            known = behind(square, k) + history * before[k]
            right = additive[:, :, k].transpose(1, 0, 2) + known @ first.transpose(0, 2, 1)
            right = right + delayed[:, :, :k].reshape(count, 2, k * ORDER) @ spread[:, old]
            square[:, :, k] = right @ solve
            delayed[:, :, k] = known + square[:, :, k] @ operator[0].T
        return square.transpose(1, 0, 2, 3)

    # ---- integrals over the panels ------------------------------------------------------------

    def _integral(self, values: Floats) -> Floats:
        """Return the running integrals at the nodes."""
        rule = rules()
        whole = self.means.width * (values @ rule.weights)
        start = np.cumsum(whole, axis=-1) - whole
        return start[..., None] + self.means.width * (values @ rule.integral.T)

    def _weigh(self, values: Floats, exponent: Any) -> tuple[Any, Any]:
        """Return transforms up to the horizon at one exponent each, and those times t."""
        time = self.means.nodes.ravel()
        weights = np.tile(rules().weights * self.means.width, self.means.panels)
        factor = np.exp(-exponent[:, None] * time) * (values.reshape(len(values), -1) * weights)
        return factor.sum(axis=1), factor @ time

    # ---- beyond the horizon -------------------------------------------------------------------

    @cached_property
    def tail(self) -> Tail:
        """What continues the mean squares beyond the horizon."""
        s, c, d = self.means.slow
        exponents, start = squared_waves(s, d)
        level = np.zeros((2, len(s)))
        with np.errstate(all="ignore"):
            grown = np.exp(exponents * self.means.end)
            amplitudes = np.stack([start, squared_waves(s, c)[1] / exponents]) * grown
            level[NOISE] = np.where(self.bounded, self.means.energy / (1.0 - self.index), np.inf)
        amplitudes[:, ~self.means.live] = 0.0
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
        for column, some in ((0, pick), (1, pick & self.means.live & (s.imag != 0.0))):
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
        s, c, d = (part[pick] for part in self.means.slow)
        epsilon = self.strength[pick]
        kernel, mean = self.means.kernel[pick] ** 2, self.means.mean[pick] ** 2
        residue, square = squared_waves(s, c)[1], squared_waves(s, d)[1]
        pole, apart = poles[:, column], poles - poles[:, column, None]
        if column == 0:
            pole = pole.real

        def transforms(rows: Any, past: Any) -> tuple[Any, Any]:
            """Return D and its derivative, `past` the poles: the own pole must not cancel."""
            z, gap = pole[rows] + past, apart[rows] - past[:, None]
            kappa, moment = self._weigh(kernel[rows], z)
            kappa = kappa + wave_integral(residue[rows], gap, self.means.end)
            moment = moment + _wave_moment(residue[rows], gap, self.means.end)
            phi, slope = self.means.law.laplace(z), -np.asarray(self.means.law.laplace(z, power=1))
            e = epsilon[rows]
            value, slope = 1.0 - e * kappa * phi, e * (moment * phi - kappa * slope)
            return (np.real(value), np.real(slope)) if column == 0 else (value, slope)

        with np.errstate(all="ignore"):
            past = np.array(
                epsilon * residue[:, column] * self.means.law.laplace(pole), dtype=complex
            )
            past = np.real(past) if column == 0 else past
            low = np.maximum(0.0, -45.0 / self.means.end - np.real(pole))
            high = -np.real(pole)
            if column == 0:
                past = np.where((past > low) & (past < high), past, 0.5 * (low + high))
            left, last = np.arange(pole.size), np.full(pole.size, np.inf)
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
                move, size = np.abs(after - at), np.abs(after)
                stalled = (move <= 1e-12 * size) & (move >= 0.5 * last[left])  # by rounding
                done = stalled | (move <= 1e-14 * size)
                last[left] = move
                left = left[~done]
                if not left.size:
                    break
            every = np.arange(pole.size)
            value, slope = transforms(every, past)
            z = pole + past
            kappa = 1.0 / (epsilon * self.means.law.laplace(z))
            waves = wave_integral(square, apart - past[:, None], self.means.end)
            start = (
                self._weigh(mean, z)[0]
                + waves
                + epsilon * kappa * (1 - self.means.law.laplace(z)) / z
            )
            amplitudes = np.stack([start / slope, kappa / z / slope]) * np.exp(z * self.means.end)
        found = np.abs(value) < 1e-6  # what has died leaves no root in the bracket
        return np.where(found, z, pole) + 0j, np.where(found, amplitudes, 0.0) + 0j


def _wave_moment(amplitudes: Complexes, gap: Complexes, end: float) -> Complexes:
    """Return the same integrals weighted with time."""
    parts = amplitudes * np.exp(gap * end) * (1.0 / gap**2 - end / gap)
    return np.sum(np.where(amplitudes == 0.0, 0.0, parts), axis=1)
