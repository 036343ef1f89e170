r"""Mean squares of asynchronous SGD when every worker is a renewal process.

Given the path of one worker up to an arrival, what is still random about it is when its next one
comes. If the gradient, read at :math:`t_k` as *X*, arrives at :math:`t_k + c`, then *x* at time
*t* is expected to be lower by α times

.. math:: h(c) = X\,\Psi(t-t_k-c) + D(c)\,\Omega(t-t_k-c) - \int_0^c D(w)\,G(t-t_k-w)\,dw ,

up to a constant, where *D(w)* is the change of *x* since the reading that is due to the others,
:math:`G = K_P\varphi`, :math:`\Psi = K_P/(1-\varphi)` and :math:`\Omega = G\,(1/(1-\varphi) - 1/s)`
(the last takes *D* as constant while renewals forget their start). Cycles are independent, so the
variances :math:`\mathrm{Var}_S\,h(S)` add up over all cycles of all workers, with unit rate *n*:

.. math:: y(t) = m(t)^2 + \alpha^2 n \int_0^t E\,\mathrm{Var}_S\,h(S)\,dt_k + \dots ,

and the first cycles, under way at time zero, add theirs. What :math:`(X, D)` is on average enters
as it is; what fluctuates, with the mean square *q* of readings and the correlation of
:math:`K_P` with itself, makes this a renewal equation for *y*. One worker of any law is exact, and
so is the floor of memoryless workers. *D* is projected on a few shapes, so that
everything is a convolution. Nothing here knows eigenvalues, losses or targets. Derived in this
project.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrivals import Arrivals
from .exact import SquareCurves
from .lattice import CELLS, correlation, halved, integral, restored, transformed
from .panels import rules
from .worker_renewals import Crew, WorkerRenewals, crew_of

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

HORIZON = 40  # units of time on panels, as wide as one unit
_STRIDE = 2  # grid times between which variances are interpolated
_SHAPES = 4
_HUGE = 1e300  # stands for what grows too fast
_SLOW = 1e-3  # alpha times damping below which x hardly changes within a cycle
_ROUNDING = 1e-13  # of the energy of a kernel
_DENSE = 6.0  # cycles within which changes since a reading are followed closely


def _shapes(time: Floats, root: complex, cycle: float) -> Floats:
    """Return functions that a change since a reading is made of: its own wave, and a cycle's."""
    fade = np.exp(min(root.real, -1e-3) * time)
    turn = root.imag * time if root.imag else abs(root.real) * time
    wave = (np.cos(turn), np.sin(turn)) if root.imag else (1.0, turn)
    part = time / cycle
    return np.stack(
        [1.0 - fade * wave[0], fade * wave[1], 1.0 - np.exp(-part), part * np.exp(-part)]
    )


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
        self.groups = [_Group(means, j) for j in range(len(crew.laws))]
        variances = [group.variance(np.zeros(means.alpha.size)) for group in self.groups]
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
        for halvings in (12, 40):
            exponent = np.where(self.bounded, self._exponent(variances, slowest, halvings), 0.0)
            variances = [group.variance(exponent) for group in self.groups]
        return variances, exponent

    def _exponent(self, variances: list[Floats], slowest: Floats, halvings: int) -> Floats:
        """Return the real zero of the denominator, or `slowest` where there is none above it."""
        means = self.means
        time = means.step * np.arange(CELLS)
        left = np.sum([np.cumsum(g.kick_square[:, ::-1], axis=1)[:, ::-1] for g in self.groups], 0)
        heard = left > _ROUNDING * left[:, :1]  # beyond it rounding would be blown up
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

        low, high = slowest.copy(), np.zeros(slowest.size)
        none = denominator(low) > 0.0
        for _ in range(halvings):
            middle = 0.5 * (low + high)
            right = denominator(middle) > 0.0
            low, high = np.where(right, low, middle), np.where(right, middle, high)
        return np.where(none, slowest, 0.5 * (low + high))

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
        for i in np.flatnonzero(self.bounded):
            amplitudes[:, i] = _fitted(
                self.on_grid[:, i] - level[:, i, None], means.step[i, 0], exponents[i]
            )
            late = nodes > (CELLS - 4) * means.step[i, 0]
            if late.any():
                waves = np.exp(np.multiply.outer(exponents[i], nodes[late] - HORIZON))
                square[:, i, late] = level[:, i, None] + (amplitudes[:, i] @ waves).real
        return SquareCurves(
            unit, square.reshape(2, -1, HORIZON, rules().nodes.size), exponents / unit,
            amplitudes, level,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Followed:
    """How changes since a reading enter, for one mode of one group.

    Attributes
    ----------
    ages : numpy.ndarray, shape (ages,)
        Grid times since the reading.
    shapes : numpy.ndarray, shape (shapes, ages)
    project : numpy.ndarray, shape (shapes, ages)
        ``project @ change`` are the parts of the shapes in a change.
    local : numpy.ndarray, shape (2, ages, times)
        Weights of E[X D] and E[D^2] at each age.
    """

    ages: NDArray[np.int64]
    shapes: Floats
    project: Floats
    local: Floats


class _Group:
    """What the random cycles of one group of equal workers add to the mean square."""

    def __init__(self, means: WorkerRenewals, group: int) -> None:
        self.means, self.group = means, group
        self.rate = means.crew.rates[group]
        phi = means.phi[group]
        kick = means.kick_transform[group]
        self.answer = restored(phi * kick)
        self.lasting = restored(kick / (1.0 - phi))
        self.limit = means.share[group] / means.alpha[:, None]
        self.passing = restored((1.0 / (1.0 - phi) - self.rate / means.slope) * phi * kick)
        self.kick_square = means.kick[group] ** 2
        self.kick_square[:, 0] = 0.5
        square = means.others[group] ** 2
        square[:, 0] = 0.5
        self.memory_of_squares = means.memory_in_time(group, square)
        self.under_way = restored(self.rate * (1.0 - phi) / means.slope)
        self.plain = self._variance_of_lasting(means.mass[group])
        self.follows = means.crew.workers > 1
        modes = means.alpha.size
        self.first = self._variance_of_lasting(self.under_way)
        self.cross = np.zeros((modes, _SHAPES + 1, _SHAPES + 1, CELLS))
        self.cross[:, 0, 0] = self.plain
        self.part = np.zeros((modes, _SHAPES, CELLS))  # of the mean's change in each shape
        self._followed: list[_Followed | None] = [None] * modes
        damping = means.alpha * means.crew.workers
        for i in np.flatnonzero(means.alpha * damping > _SLOW if self.follows else ()):
            self._follow(int(i))

    @cached_property
    def driven(self) -> Floats:
        """What the changes of the mean make of the random cycles, over time."""
        means = self.means
        parts = np.concatenate([means.reading[self.group][:, None], self.part], axis=1)
        total = np.zeros_like(means.phi[self.group])
        for a in range(_SHAPES + 1):
            for b in range(a, _SHAPES + 1):
                weight = 1.0 if a == b else 2.0
                source = transformed(halved(parts[:, a] * parts[:, b]))
                total += weight * source * transformed(halved(self.cross[:, a, b]))
        return np.asarray(means.step * restored(total))

    def _variance_of_lasting(self, mass: Floats) -> Floats:
        r"""Return :math:`\mathrm{Var}\,\Psi(t - C)` for times C with these probabilities."""
        left = 1.0 - np.cumsum(mass, axis=1) + 0.5 * mass
        after = self.lasting - self.limit
        square = after**2
        jump = 2.0 * self.lasting[:, :1] - self.limit
        after[:, :1], square[:, :1] = 0.5 * jump, 0.5 * jump**2
        chance = transformed(mass)
        second = restored(chance * transformed(square)) + self.limit**2 * left
        first = restored(chance * transformed(after)) - self.limit * left
        return np.asarray(second - first**2)

    def _follow(self, i: int) -> None:
        """Fill in the variances and projections of one mode with changes since a reading."""
        means, group = self.means, self.group
        step, cycle = float(means.step[i, 0]), 1.0 / self.rate
        mass, under_way = means.mass[group][i], self.under_way[i]
        inside = np.cumsum(mass)
        ages = _ages(int(np.searchsorted(inside, 1.0 - 1e-6)) + 2, int(_DENSE * cycle / step))
        width = np.diff(ages, prepend=0) * step
        past = np.arange(0, CELLS, _STRIDE) - ages[:, None]
        seen = past >= 0
        past = np.where(seen, past, 0)
        lasting, passing, answer = (
            np.where(seen, f[i][past], 0.0) for f in (self.lasting, self.passing, self.answer)
        )

        def gone(change: Floats) -> Floats:
            """Return h of a change D, in (..., age, time)."""
            lost = change[..., None] * answer
            lost[..., 1:, :] = 0.5 * (lost[..., 1:, :] + lost[..., :-1, :])
            return change[..., None] * passing - np.cumsum(lost * width[:, None], axis=-2)

        shapes = _shapes(ages * step, complex(means.roots[i]), cycle)
        chance = _shared(mass, ages)
        h = np.concatenate([lasting[None], gone(shapes)]).transpose(2, 0, 1)
        mean = h @ chance
        variance = (h * chance) @ h.transpose(0, 2, 1) - mean[:, :, None] * mean[:, None, :]
        self.cross[i] = _refined(variance.transpose(1, 2, 0))
        self.cross[i, 0, 0] = self.plain[i]
        left = np.sqrt(np.maximum(1.0 - inside[ages] + mass[ages], 1e-6) * np.maximum(width, step))
        project = np.linalg.pinv((shapes * left).T, rcond=1e-6) * left
        local = np.stack([2.0 * lasting * passing, passing**2]) * chance[:, None]
        self._followed[i] = _Followed(ages, shapes, project, local)
        # Changes of the mean since a reading, as far as the others make them.
        others = np.array(means.others[group][i])
        others[0] = 1.0
        keep = 1.0 - float(means.share[group][i, 0]) * 0.5 * (others[:-1] + others[1:])
        since = ages[:, None] - np.arange(CELLS)
        change = np.where(
            (since >= 0) & (since < ages[:, None]), keep[np.clip(since, 0, CELLS - 2)], 0.0
        )
        fall = np.diff(means.mean[i], append=means.mean[i, -1])
        behind = means.reading[group][i] - means.mean[i]
        for a in range(_SHAPES):
            shift = np.append((project[a] @ change)[1:], 0.0)
            self.part[i, a] = correlation(shift, fall)
            self.part[i, a] += behind * (project[a] @ (others[ages] - 1.0))
        # The first cycles, from the start that held until time zero.
        chance = _shared(under_way, ages)
        both, alone = lasting + gone(change[:, 1:] @ fall[:-1]), lasting
        extra = chance @ both**2 - (chance @ both) ** 2
        extra -= chance @ alone**2 - (chance @ alone) ** 2
        self.first[i] += _refined(extra)

    def variance(self, exponent: Floats) -> Floats:
        """Return the variance per arrival of what fluctuates, decaying with `exponent` <= 0."""
        out = self.plain.copy()
        for i, found in enumerate(self._followed):
            if found is None:
                continue
            project, ages = found.project, found.ages
            kick = halved(self.means.kick[self.group][i])
            ahead = np.arange(CELLS) * self.means.step[i, 0] * exponent[i]
            left = np.cumsum(kick[::-1] ** 2)[::-1]
            faded = np.where(left > _ROUNDING * left[0], np.exp(np.minimum(-ahead, 60.0)), 0.0)
            together = correlation(kick * faded, kick)
            together = together / together[0]
            apart = np.abs(np.subtract.outer(ages, ages))
            both = np.exp(ahead)[np.minimum.outer(ages, ages)] * together[apart]
            together = together[ages]
            both = both - together[:, None] - together + 1.0
            others = 1.0 - float(self.means.share[self.group][i, 0])
            linear = others * (project @ (together - 1.0))
            square = others * (project @ both @ project.T)
            # What is too rough for the shapes counts where it is read, not where it is summed.
            rest = others * np.stack([together - 1.0, np.diag(both)])
            rest[0] -= linear @ found.shapes
            rest[1] -= np.einsum("ac,ab,bc->c", found.shapes, square, found.shapes)
            out[i] += _refined(np.einsum("kc,kct->t", rest, found.local))
            out[i] += 2.0 * np.tensordot(linear, self.cross[i, 0, 1:], 1)
            out[i] += np.tensordot(square, self.cross[i, 1:, 1:], 2)
        return out


def _ages(longest: int, dense: int) -> NDArray[np.int64]:
    """Return even grid times: all up to `dense`, then ever fewer up to `longest`."""
    longest = min(max(longest, 8), CELLS - 2)
    near = np.arange(0, min(dense, longest) + _STRIDE, _STRIDE)
    if near[-1] >= longest:
        return near
    count = math.ceil(math.log(longest / near[-1]) / 0.15) + 1
    far = np.geomspace(near[-1], longest, count)[1:] / _STRIDE
    return np.unique(np.append(near, np.ceil(far).astype(int) * _STRIDE))


def _shared(mass: Floats, ages: NDArray[np.int64]) -> Floats:
    """Return probabilities on fewer grid times; what lies beyond sits on the last."""
    cell = np.minimum(np.searchsorted(ages, np.arange(CELLS), side="right") - 1, ages.size - 2)
    share = (np.arange(CELLS) - ages[cell]) / (ages[cell + 1] - ages[cell])
    share = np.minimum(share, 1.0)
    out = np.bincount(cell, mass * (1.0 - share), ages.size)
    out += np.bincount(cell + 1, mass * share, ages.size)
    out[-1] += max(0.0, 1.0 - out.sum())
    return out


def _refined(coarse: Floats) -> Floats:
    """Return values at all grid times from those at every second one, along the last axis."""
    out = np.empty((*coarse.shape[:-1], CELLS))
    out[..., ::_STRIDE] = coarse
    out[..., 1:-1:_STRIDE] = 0.5 * (coarse[..., :-1] + coarse[..., 1:])
    out[..., -1] = coarse[..., -1]
    return out


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


def _fitted(values: Floats, step: float, exponents: Complexes) -> Complexes:
    """Return amplitudes at the horizon of four exponentials that fit two curves around it."""
    last = min(int(HORIZON / step) + CELLS // 8, CELLS - 1)
    window = np.arange(max(last - CELLS // 4, 0), last)
    time = window * step - HORIZON
    slow, fast, pair = exponents[0].real, exponents[1].real, exponents[2]
    columns = [np.exp(slow * time), np.exp(fast * time)]
    if pair.imag != 0.0:
        columns += [np.exp(fast * time) * f(pair.imag * time) for f in (np.cos, np.sin)]
    out = np.zeros((2, 4), dtype=complex)
    for k, curve in enumerate(values[:, window]):
        size = np.abs(curve).max()
        if size < 1e-11 * np.abs(values[k]).max():
            continue
        weight = 1.0 / (np.abs(curve) + 1e-3 * size)
        scale = [np.abs(c * weight).max() for c in columns]
        matrix = np.stack([c * weight / s for c, s in zip(columns, scale, strict=True)], axis=1)
        found = np.linalg.lstsq(matrix, curve * weight, rcond=1e-6)[0] / scale
        out[k, :2] = found[:2]
        if pair.imag != 0.0:
            out[k, 2] = 0.5 * (found[2] - 1j * found[3])
            out[k, 3] = out[k, 2].conj()
    return out


def worker_squares(stream: Arrivals, alpha: Floats) -> WorkerSquares:
    """Return the mean squares of a stream, from memory if they were asked for lately."""
    return _worker_squares(crew_of(stream), np.asarray(alpha, dtype=float).tobytes())


@lru_cache(maxsize=16)
def _worker_squares(crew: Crew, alpha: bytes) -> WorkerSquares:
    return WorkerSquares(WorkerRenewals(crew, np.frombuffer(alpha)))
