r"""Mean squares of asynchronous SGD when every worker is a renewal process.

Given the path of one worker up to an arrival, what is still random about it is when its next one
comes: a variance :math:`\mathrm{Var}_S\,h(S)` of what is expected of *x* at a later time, given the
length of the cycle (`cycle_variances`). Cycles are independent, so the variances of all cycles of
all *n* workers add up, and those of the first cycles, under way at time zero:

.. math:: y(t) = m(t)^2 + \alpha^2 n \int_0^t E\,\mathrm{Var}_S\,h(S)\,dt_k + \text{first cycles} .

Readings and their changes enter with their means as they are. What fluctuates has mean squares
:math:`q - b^2`, with :math:`q = y + W_2 * y'/n` the mean square just after an arrival (:math:`W_2`
as *W* of `worker_renewals`, for squares), and changes as the answer to a kick correlates with
itself; this makes a renewal equation for *y*. Gradient noise adds :math:`n\int K_P^2`. One worker
of any law is exact, and so is the floor of memoryless workers. Nothing here knows eigenvalues,
losses or targets. Derived in this project.
"""

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrivals import Arrivals
from .bracket import rising_zeros
from .cycle_variances import ROUNDING, CycleVariances
from .exact import SquareCurves
from .lattice import CELLS, halved, integral, restored, transformed
from .linear_fits import least_squares
from .panels import rules
from .worker_renewals import Crew, WorkerRenewals, crew_of, renewals_of

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

HORIZON = 40  # units of time on panels, as wide as one unit
_HUGE = 1e300  # stands for what grows too fast


class WorkerSquares:
    """Mean squares of many coordinates, from a start at 1 and from unit noise.

    Parameters
    ----------
    means : WorkerRenewals

    Attributes
    ----------
    index : numpy.ndarray, shape (modes,)
        The mean square stays bounded where the mean is stable and this is below one.
    level : numpy.ndarray, shape (modes,)
        Stationary mean square under unit noise; ``inf`` where there is none.
    """

    def __init__(self, means: WorkerRenewals) -> None:
        self.means, crew = means, means.crew
        self.flows = [c * r for c, r in zip(crew.counts, crew.rates, strict=True)]
        self.groups = [CycleVariances(means, j) for j in range(len(crew.laws))]
        variances = [group.fluctuating(np.zeros(means.alpha.size)) for group in self.groups]
        self._still = variances
        square = means.alpha**2
        step = means.step[:, 0]
        decay = np.exp(0.5 * CELLS * step * np.minimum(means.roots.real, 0.0))  # over a quarter
        self.index = square * np.sum(
            [f * step * _whole(v, decay) for f, v in zip(self.flows, variances, strict=True)],
            axis=0,
        )
        energy = [
            f * step * _whole(group.kick_square, decay)
            for f, group in zip(self.flows, self.groups, strict=True)
        ]
        with np.errstate(divide="ignore"):
            level = np.sum(energy, axis=0) / (1.0 - self.index)
        self.level = np.where(self.bounded, level, np.inf)

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """Whether the mean square stays bounded."""
        return (self.index < 1.0) & (self.means.roots.real < 0.0) & ~self.means.wild

    @cached_property
    def moving(self) -> tuple[list[Floats], Floats]:
        """Variances per arrival while the mean square decays, and the rate of that decay < 0.

        What fluctuates then was larger when it was read; the rate and the variances are found in
        turns.
        """
        slowest = 2.0 * np.minimum(self.means.roots.real, -1e-12) * (1.0 - 1e-3)
        variances, exponent = self._still, np.zeros(self.means.alpha.size)
        for near in (1e-4, 1e-10):
            exponent = np.where(self.bounded, self._exponent(variances, slowest, near), 0.0)
            variances = [group.fluctuating(exponent) for group in self.groups]
        return variances, exponent

    def _exponent(self, variances: list[Floats], slowest: Floats, near: float) -> Floats:
        """Return the real zero of the denominator, or `slowest` where there is none above it."""
        means = self.means
        time = means.step * np.arange(CELLS)
        left = np.sum([np.cumsum(g.kick_square[:, ::-1], axis=1)[:, ::-1] for g in self.groups], 0)
        heard = left > ROUNDING * left[:, :1]  # beyond it rounding would be blown up
        strengths = [
            f * means.alpha[:, None] ** 2 * means.step * halved(v)
            for f, v in zip(self.flows, variances, strict=True)
        ]
        memories = [group.memory_of_squares for group in self.groups]
        parts = [s / r for s, r in zip(means.share, means.crew.rates, strict=True)]

        def denominator(z: Floats) -> Floats:
            wave = np.exp(np.where(heard, -z[:, None] * time, -np.inf))
            out = np.ones(z.size)
            for v, w, part in zip(strengths, memories, parts, strict=True):
                q = 1.0 + part[:, 0] * z * np.sum(w * wave, axis=1)
                out -= np.sum(v * wave, axis=1) * q
            return out

        return rising_zeros(denominator, slowest, np.zeros(slowest.size), near=near)

    @cached_property
    def on_grid(self) -> Floats:
        """Mean squares at the grid times of each mode, shape (2, modes, cells)."""
        means = self.means
        strength = means.alpha[:, None] ** 2
        moving, _ = self.moving
        base = means.mean**2 - 1.0
        start, noise = np.ones_like(means.slope), np.ones_like(means.slope)
        fresh = np.zeros_like(base)
        for j, group in enumerate(self.groups):
            flow = self.flows[j]
            base = base + strength * (means.crew.counts[j] * group.first + flow * group.driven)
            reading = transformed(halved(1.0 - means.reading[j] ** 2))
            v = means.step * transformed(halved(moving[j]))
            base = base + strength * flow * restored(v * reading)
            own = means.share[j] / means.crew.rates[j] * means.slope
            behind = 1.0 + transformed(group.memory_of_squares) * own
            start -= strength * flow * v * behind
            v = means.step * transformed(halved(self._still[j]))
            noise -= strength * flow * v * behind
            fresh = fresh + flow * integral(group.kick_square, means.step)
        return np.stack(
            [1.0 + restored(transformed(base) / start), restored(transformed(fresh) / noise)]
        )

    def curves(self) -> SquareCurves:
        """Return the curves on common panels, continued by the slowest exponentials."""
        means, unit = self.means, self.means.crew.unit
        nodes = (np.arange(HORIZON)[:, None] + rules().nodes).ravel()
        square = np.stack([_interpolated(part, means.step[:, 0], nodes) for part in self.on_grid])
        square[:, means.wild] = _HUGE
        root, (_, slow) = means.roots, self.moving
        exponents = np.stack(
            [slow + 0j, 2.0 * root.real + 0j, 2.0 * root, 2.0 * root.conj()], axis=1
        )
        level = np.stack([np.where(self.bounded, 0.0, np.inf), self.level])
        amplitudes = np.zeros((2, *exponents.shape), dtype=complex)
        on = np.flatnonzero(self.bounded)
        if on.size:
            amplitudes[:, on] = _fitted(
                self.on_grid[:, on] - level[:, on, None], means.step[on, 0], exponents[on]
            )
        for i in on[(CELLS - 4) * means.step[on, 0] < HORIZON]:
            late = nodes > (CELLS - 4) * means.step[i, 0]
            waves: Any = np.exp(np.multiply.outer(exponents[i], nodes[late] - HORIZON))
            square[:, i, late] = level[:, i, None] + (amplitudes[:, i] @ waves).real
        return SquareCurves(
            unit, square.reshape(2, -1, HORIZON, rules().nodes.size), exponents / unit,
            amplitudes, level,
        )  # fmt: skip


def _whole(function: Floats, decay: Floats) -> Floats:
    """Return sums over all time; beyond the grid the last quarter repeats, at most as `decay`."""
    third, fourth = (
        function[:, cut].sum(axis=1)
        for cut in (slice(CELLS // 2, 3 * CELLS // 4), slice(3 * CELLS // 4, CELLS))
    )
    with np.errstate(all="ignore"):
        ratio = np.where(np.abs(third) > 1e-12, fourth / third, 0.0)
    ratio = np.clip(ratio, 0.0, np.minimum(decay, 1.0 - 1e-6))
    return np.asarray(function.sum(axis=1) + fourth * ratio / (1.0 - ratio))


def _interpolated(values: Floats, step: Floats, time: Floats) -> Floats:
    """Return values at times between the grid times of each row, by cubics."""
    place = time / step[:, None]
    first = np.clip(place.astype(int) - 1, 0, CELLS - 4)
    x = place - first
    rows = np.arange(len(values))[:, None]
    weights = (
        -(x - 1.0) * (x - 2.0) * (x - 3.0) / 6.0,
        x * (x - 2.0) * (x - 3.0) / 2.0,
        -x * (x - 1.0) * (x - 3.0) / 2.0,
        x * (x - 1.0) * (x - 2.0) / 6.0,
    )
    return np.asarray(sum(w * values[rows, first + k] for k, w in enumerate(weights)))


def _fitted(values: Floats, step: Floats, exponents: Complexes) -> Complexes:
    """Return amplitudes at the horizon of four exponentials that fit curves around it.

    Parameters
    ----------
    values : array, shape (2, modes, cells)
    step : array, shape (modes,)
    exponents : array, shape (modes, 4)
        Two real ones and a pair.

    Returns
    -------
    numpy.ndarray, shape (2, modes, 4)
    """
    last = np.minimum((HORIZON / step).astype(int) + CELLS // 8, CELLS - 1)
    place = last[:, None] - np.arange(1, CELLS // 4 + 1)
    inside, place = place >= 0, np.maximum(place, 0)
    time = np.where(inside, place * step[:, None] - HORIZON, 0.0)
    curve = np.where(inside, values[:, np.arange(step.size)[:, None], place], 0.0)
    size = np.abs(curve).max(axis=-1, keepdims=True)
    heard = size[..., 0] >= 1e-11 * np.abs(values).max(axis=-1)
    weight = np.where(inside, 1.0 / (np.abs(curve) + 1e-3 * size + 1e-300), 0.0)
    slow, fast, turn = (e[:, None] for e in (*exponents[:, :2].real.T, exponents[:, 2].imag))
    wave = np.exp(fast * time)
    turning = wave * np.where(turn != 0.0, [np.cos(turn * time), np.sin(turn * time)], 0.0)
    columns = np.stack([np.exp(slow * time), wave, *turning], axis=-1)
    columns = columns * weight[..., None]
    scale = np.abs(columns).max(axis=-2, keepdims=True)
    scale = np.where(scale > 0.0, scale, 1.0)
    columns = np.concatenate([columns / scale, (curve * weight)[..., None]], axis=-1)
    found = least_squares(columns, rcond=1e-6) / scale[..., 0, :]
    out = np.concatenate([found[..., :2], np.empty_like(found[..., :2])], axis=-1).astype(complex)
    out[..., 2] = 0.5 * (found[..., 2] - 1j * found[..., 3])
    out[..., 3] = out[..., 2].conj()
    return np.where(heard[..., None], out, 0.0)


def worker_squares(stream: Arrivals, alpha: Floats) -> WorkerSquares:
    """Return the mean squares of a stream, from memory if they were asked for lately."""
    return squares_of(crew_of(stream), alpha)


def squares_of(crew: Crew, alpha: Floats) -> WorkerSquares:
    """Return the mean squares of a crew, from memory if they were asked for lately."""
    return _worker_squares(renewals_of(crew, alpha))


@lru_cache(maxsize=8)
def _worker_squares(means: WorkerRenewals) -> WorkerSquares:
    return WorkerSquares(means)
