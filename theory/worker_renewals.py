r"""Means of asynchronous SGD when every worker is a renewal process.

A worker reads, computes for a random time, and its gradient arrives just as it reads again; so its
own last gradients are in what it reads. With time in units of the mean cycle, *n* workers with
cycle law :math:`\varphi` (its transform) and :math:`\alpha = \eta\lambda`, the mean *m* obeys
exactly

.. math:: m'(t) = -\alpha n\,E\,b(t - S),

*b* the mean of *x* just after an arrival of the worker that reads. Its own arrivals are a renewal
process seen from one of its points, with renewal measure *U* in place of :math:`dy`; averaged over
the other workers, whose response to a kick is :math:`K'`,

.. math:: b = m - \alpha\,W * E\,b(\cdot - S),\qquad W(dy) = K'(y)\,\bigl(U(dy) - dy\bigr),

hence in transforms :math:`b = mH`, :math:`H = 1/(1 + \alpha\varphi W)`, and the kernel of the
mean is :math:`K = 1/(s + \alpha n\varphi H)`. A kick at an arrival is read at once by its worker,
and is answered by :math:`K_P = KH`. One worker of any law and memoryless workers come out exactly;
between them the error is of second order in :math:`\alpha`, where the paths of two workers cross.
Unequal workers enter as groups. Nothing here knows squares, noise or losses. Derived in this
project.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .arrivals import Arrivals
from .lattice import CELLS, GROWTH, SLOPE, integral, masses, restored, transformed
from .linear_fits import least_squares

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

PER_CYCLE = 16  # grid times in a mean cycle, for all but slow coordinates
_PHASE = 0.4  # radians that the fastest wave may turn in a grid time
_DECAYS = 10.0  # mean decays that the grid spans at least
_FREQUENCIES = np.geomspace(0.5, 1e3, 60)  # of waves, over which the fastest is looked for
MOST_GROUPS = 6  # groups of unlike workers that are told apart


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers in groups of equals; the unit of time is the number of workers over their rate.

    Attributes
    ----------
    laws : tuple of Law
        Cycle law of each group, in the user's unit.
    scales : tuple of float
        User's time of a law over the unit's time that stands for it.
    counts : tuple of int
        Workers in each group.
    rates : tuple of float
        Gradients per unit of time of one worker.
    unit : float
        The unit of time.
    """

    laws: tuple[Law, ...]
    scales: tuple[float, ...]
    counts: tuple[int, ...]
    rates: tuple[float, ...]
    unit: float

    @property
    def workers(self) -> int:
        """Number of workers."""
        return sum(self.counts)


def crew_of(stream: Arrivals) -> Crew:
    """Return the workers of a stream; many unlike ones are gathered, fastest first."""
    unit = stream.workers / stream.rate
    if len(stream.cycles) == 1:
        law = stream.cycles[0]
        return Crew((law,), (law.mean,), (stream.workers,), (1.0,), unit)
    groups: dict[tuple[Any, ...], list[Law]] = {}
    for law in sorted(stream.cycles, key=lambda each: each.mean):
        key = (law.kind, law.mean, law.variance, law.lowest, law.highest)
        groups.setdefault(key, []).append(law)
    parts = list(groups.values())
    while len(parts) > MOST_GROUPS:  # the two neighbours that differ least become one
        gaps = [b[0].mean / a[-1].mean for a, b in pairwise(parts)]
        at = int(np.argmin(gaps))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    laws = tuple(part[len(part) // 2] for part in parts)
    rates = tuple(unit * sum(1.0 / law.mean for law in part) / len(part) for part in parts)
    scales = tuple(law.mean * rate for law, rate in zip(laws, rates, strict=True))
    return Crew(laws, scales, tuple(len(part) for part in parts), rates, unit)


def worker_renewals(stream: Arrivals, alpha: Floats) -> "WorkerRenewals":
    """Return the means of a stream, from memory if they were asked for lately."""
    return renewals_of(crew_of(stream), alpha)


def renewals_of(crew: Crew, alpha: Floats) -> "WorkerRenewals":
    """Return the means of a crew, from memory if they were asked for lately."""
    return _worker_renewals(crew, np.asarray(alpha, dtype=float).tobytes())


@lru_cache(maxsize=8)
def _worker_renewals(crew: Crew, alpha: bytes) -> "WorkerRenewals":
    return WorkerRenewals(crew, np.frombuffer(alpha))


class WorkerRenewals:
    """Kernels and means of many coordinates.

    Parameters
    ----------
    crew : Crew
    alpha : array, shape (modes,)
        Learning rate times eigenvalue.

    Attributes
    ----------
    step : numpy.ndarray, shape (modes, 1)
        Time between grid points; slow coordinates have wider grids.
    mass, renewals, others, kick, reading, arriving : list of numpy.ndarray, shape (modes, cells)
        For each group: cycle law, renewal measure, response :math:`K'` of the other workers,
        response :math:`K_P` to a kick at an arrival, mean *b* at a reading, mean reading in what
        arrives.
    still : list of numpy.ndarray, shape (modes, cells)
        For each group: the memory of the other workers, :math:`K'` times renewals less their rate.
    mean : numpy.ndarray, shape (modes, cells)
        The mean *m* of a start at 1.
    wild : numpy.ndarray, shape (modes,)
        Whether the mean diverges so fast that nothing else here is right.
    share : list of numpy.ndarray, shape (modes, 1)
        Part that one worker of each group has in slow changes of the mean.
    """

    def __init__(self, crew: Crew, alpha: Floats) -> None:
        self.crew = crew
        self.alpha = np.asarray(alpha, dtype=float)
        u = self.alpha * crew.workers
        self.step = np.maximum(1.0 / PER_CYCLE, _DECAYS / u / CELLS)[:, None]
        self.step = np.minimum(self.step, _PHASE / _fastest(crew, u)[:, None])
        a, self.slope = self.alpha[:, None], SLOPE / self.step
        widths, which = np.unique(self.step[:, 0], return_inverse=True)
        groups = range(len(crew.laws))
        each = [
            np.stack([masses(law, w * scale) for w in widths])
            for law, scale in zip(crew.laws, crew.scales, strict=True)
        ]
        transforms = [transformed(mass) for mass in each]
        self.mass = [mass[which] for mass in each]
        self.phi = [phi[which] for phi in transforms]
        self.renewals = [restored(1.0 / (1.0 - phi))[which] for phi in transforms]
        # A first guess of the memory of the others: what it is for slow changes.
        spread = [0.5 + 0.5 * min(law.squared_variation, 2.0) for law in crew.laws]
        rough = [1.0 / (1.0 + a * phi * w) for phi, w in zip(self.phi, spread, strict=True)]
        self.others = []
        for j in groups:
            if crew.workers == 1:
                flat = np.ones((self.alpha.size, CELLS))
                flat[:, 0] = 0.5
                self.others.append(flat)
                continue
            fewer = [max(crew.counts[i] - (i == j), 0) for i in groups]
            gains: list[Any] = []
            for i in groups:
                left = [max(fewer[k] - (k == i), 0) for k in groups]
                kernel = restored(1.0 / self._denominator(rough, left) / self.step)
                gains.append(1.0 / (1.0 + a * self.phi[i] * self.memory(i, kernel)))
            self.others.append(restored(1.0 / self._denominator(gains, fewer) / self.step))
        self.still = [self.memory_in_time(j, self.others[j]) for j in groups]
        self.memories = [transformed(memory) for memory in self.still]
        gains = [1.0 / (1.0 + a * p * w) for p, w in zip(self.phi, self.memories, strict=True)]
        denominator = self._denominator(gains, list(crew.counts))
        # Zeros inside the circle: a mean that grows too fast to be restored, and what follows is
        # meaningless for it.
        turns = np.diff(np.unwrap(np.angle(denominator), axis=1)[:, [0, -1]], axis=1)[:, 0]
        self.wild = np.abs(turns) > 1.0
        self.kick_transform = [gain / denominator / self.step for gain in gains]
        self.kick = [restored(k) for k in self.kick_transform]
        flows = [count * rate for count, rate in zip(crew.counts, crew.rates, strict=True)]
        whole = np.sum([f * k for f, k in zip(flows, self.kick, strict=True)], axis=0)
        self.mean = 1.0 - a * integral(whole, self.step)
        self.mean[:, 0] = 1.0
        fall = transformed(self.mean - 1.0)
        self.reading, self.arriving = [], []
        for j in groups:
            arriving = gains[j] * (1.0 / (self.slope * self.step) + self.phi[j] * fall)
            b = 1.0 + restored(fall - a * self.memories[j] * arriving)
            b[:, 0] = 1.0
            self.reading.append(b)
            self.arriving.append(restored(arriving))
            self.arriving[-1][:, 0] = 1.0
        slow = [
            r / (1.0 + a * memory.sum(axis=1, keepdims=True))
            for r, memory in zip(crew.rates, self.still, strict=True)
        ]
        total = np.sum([c * s for c, s in zip(crew.counts, slow, strict=True)], axis=0)
        self.share = [s / total for s in slow]

    def memory(self, group: int, kernel: Floats) -> Complexes:
        """Return the transform of `kernel` times renewals less their rate."""
        return transformed(self.memory_in_time(group, kernel))

    def memory_in_time(self, group: int, kernel: Floats) -> Floats:
        """Return `kernel` times renewals less their rate, at the grid times."""
        product = kernel * self.renewals[group]
        product[:, 0] = self.renewals[group][:, 0]  # the atom meets the value after the jump
        return product - self.step * self.crew.rates[group] * kernel

    def _denominator(self, gains: list[Complexes], counts: list[int]) -> Complexes:
        total = np.sum(
            [
                count * rate * phi * gain
                for count, rate, phi, gain in zip(
                    counts, self.crew.rates, self.phi, gains, strict=True
                )
            ],
            axis=0,
        )
        return np.asarray(self.slope + self.alpha[:, None] * total)

    # ---- how it ends --------------------------------------------------------------------------

    @cached_property
    def roots(self) -> Complexes:
        r"""Dominant roots of :math:`s + \alpha n\varphi H`, upper half-plane, in 1/unit.

        Read off the kernel while it is far from rounding, then polished by the secant method on the
        sums over the grid.
        """
        whole = np.sum(self.kick, axis=0)
        guess = _waves(whole, self.step[:, 0])
        first, second = guess.copy(), guess * (1.0 + 1e-4) + 1e-7j * (np.imag(guess) != 0.0)
        left = np.arange(guess.size)
        value, after = self._characteristic(first, left), self._characteristic(second, left)
        with np.errstate(all="ignore"):
            for _ in range(12):
                move = after * (second[left] - first[left]) / (after - value)
                move = np.where(np.isfinite(move), move, 0.0)
                first[left], value = second[left], after
                second[left] -= move
                on = np.abs(move) > 1e-14 * np.abs(second[left])
                left, value = left[on], value[on]
                if not left.size:
                    break
                after = self._characteristic(second[left], left)
        rate = _decay(whole, self.step)
        near = np.isfinite(second) & (np.abs(second - guess) < 0.2 * (np.abs(guess) + 0.1))
        # A heavy tail has no root, or a meaningless one; the kernel's own decay always stands.
        near &= np.abs(np.real(second) - rate) < 0.3 * np.abs(rate) + 0.02
        root = np.where(near, second, rate + 1j * np.imag(guess))
        root = np.where(np.imag(root) < 0.0, np.conj(root), root)
        root = np.where(np.abs(np.imag(root)) < 1e-7 * np.abs(root), np.real(root) + 0j, root)
        return np.where(self.wild, GROWTH / self.step[:, 0] + 0j, root)

    def _characteristic(self, s: Complexes, modes: NDArray[np.int64]) -> Complexes:
        """Return the denominator of the kernel at one place for each of these modes."""
        step = self.step[modes, 0]
        place = np.maximum(s.real * step, -2.0) + 1j * s.imag * step
        wave = np.exp(np.multiply.outer(-place, np.arange(CELLS)))
        out = np.tanh(0.5 * s * step) * 2.0 / step
        with np.errstate(all="ignore"):
            for j, (mass, memory) in enumerate(zip(self.mass, self.still, strict=True)):
                phi = np.einsum("mk,mk->m", mass[modes], wave)
                memory = np.einsum("mk,mk->m", memory[modes], wave)
                flow = self.alpha[modes] * self.crew.counts[j] * self.crew.rates[j]
                out = out + flow * phi / (1.0 + self.alpha[modes] * phi * memory)
        return out


def _fastest(crew: Crew, damping: Floats) -> Floats:
    r"""Return frequencies beyond which no wave lives: :math:`\omega > u|\varphi(i\omega)|`."""
    last = min(int(np.searchsorted(_FREQUENCIES, damping.max())), _FREQUENCIES.size - 1)
    frequency = _FREQUENCIES[: last + 1]  # beyond it none lives under any law
    size = np.zeros(frequency.size)
    for law, scale, count, rate in zip(
        crew.laws, crew.scales, crew.counts, crew.rates, strict=True
    ):
        share = count * rate / crew.workers
        size += share * np.abs(law.laplace(1j * frequency * law.mean / scale / rate))
    needed = np.maximum.accumulate(frequency / np.maximum(size, 1e-12))
    return frequency[np.minimum(np.searchsorted(needed, damping), last)]


def _decay(kernel: Floats, step: Floats) -> Floats:
    """Return the slope of the logarithm of a kernel's size, < 0 where it dies out."""
    energy = kernel**2
    left = np.cumsum(energy[:, ::-1], axis=1)[:, ::-1]
    left = left / left[:, :1]
    first, last = (np.argmax(left < level, axis=1) for level in (1e-2, 1e-6))
    first = np.minimum(first, CELLS - 16)
    last = np.clip(last, first + 8, CELLS - 1)
    rows, quarter = np.arange(len(kernel)), CELLS // 4
    with np.errstate(all="ignore"):
        early = np.log(left[rows, last] / left[rows, first]) / (2.0 * (last - first))
        third = energy[:, 2 * quarter : 3 * quarter].sum(axis=1)
        late = np.log(energy[:, 3 * quarter :].sum(axis=1) / third) / (2.0 * quarter)
    return np.where(left[:, 3 * quarter] > 1e-6, late, early) / step[:, 0]


def _waves(kernels: Floats, step: Floats) -> Complexes:
    """Return the exponents of the slowest wave in each kernel.

    Three values *d* apart obey :math:`x_{k+2} = p x_{k+1} + q x_k` where one wave is left.
    """
    size = np.maximum.accumulate(np.abs(kernels)[:, ::-1], axis=1)[:, ::-1]
    last = np.count_nonzero(size > 1e-7 * size[:, :1], axis=1) - 1
    last = np.clip(last, 32, CELLS - 1)
    apart = np.maximum(np.minimum(np.round(0.5 / step).astype(int), last // 8), 1)
    place = last[:, None] - np.arange(10 * int(apart.max()) + 1)
    used = place >= np.maximum(last - 10 * apart, 2 * apart)[:, None]
    rows = np.arange(len(kernels))[:, None]
    x = np.stack(
        [kernels[rows, np.maximum(place - k * apart[:, None], 0)] for k in (1, 2, 0)], axis=2
    )
    scale = np.abs(x).max(axis=2, keepdims=True) + 1e-300
    p, q = least_squares(np.where(used[..., None], x / scale, 0.0), rcond=1e-9).T
    disc = np.sqrt(0.25 * p * p + q + 0j)
    pairs: Any = np.stack([0.5 * p + disc, 0.5 * p - disc])
    # A negative one would alternate from sample to sample, which nothing on this grid does.
    pairs = np.where((pairs.imag != 0.0) | (pairs.real > 0.0), pairs, 0.0)
    pair = np.take_along_axis(pairs, np.abs(pairs).argmax(axis=0)[None], axis=0)[0]
    known = np.isfinite(pair) & (pair != 0.0)
    z = np.log(np.where(known, pair, 1.0)) / (apart * step)
    z = z.real + 1j * np.where(np.abs(z.imag) > 1e-9 * np.abs(z), np.abs(z.imag), 0.0)
    return np.where(known, z, -1.0)
