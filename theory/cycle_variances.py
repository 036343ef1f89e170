r"""How much the random length of one cycle of a worker adds to the mean square.

A worker has read *X* at :math:`t_k`; its gradient arrives, and it reads again, at :math:`t_k + c`.
If :math:`f(w)` is the state a time *w* after the reading as the other workers leave it, *x* at time
:math:`t = t_k + T` is expected to be lower by α times

.. math:: h(c) = X K_P(T-c) + \int f(c+y)\,G(T-c-y)\,U(dy), \qquad G = \varphi K_P ,

with the renewal measure *U* (`worker_renewals`). With :math:`f = X + \sum_a d_a (e^{\sigma_a w} -
1)` and :math:`\Omega_a = (e^{\sigma_a\cdot}U) * G` this is

.. math:: h(c) = X\,\Psi(T-c) + \sum_a d_a\bigl(e^{\sigma_a c}\Omega_a(T-c) - \Omega_0(T-c)\bigr),
          \qquad \Psi = K_P + \Omega_0 ,

so its variance over cycles is made of convolutions. Exponents are those of the slowest wave of the
mean, and two of the order of a cycle; what *f* has besides, the jumps of single arrivals, counts
where it is read. Nothing here adds up workers. Derived in this project.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lattice import (
    CELLS,
    convolved,
    correlation,
    full_restored,
    full_transform,
    halved,
    restored,
    transformed,
)
from .worker_renewals import WorkerRenewals

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

ROUNDING = 1e-7  # of the energy of a kernel: beyond it growing weights blow rounding up
_SHAPES = 4
_FAST = (-1.0, -2.5)  # exponents of the order of a cycle
_SLOW = 1e-3  # alpha times damping below which x hardly changes within a cycle
_LATER = 1e-3  # weight of ages beyond all cycles, which later cycles see
_DENSE = 6.0  # cycles within which changes since a reading are looked at closely
_PAIRS = [(a, b) for a in range(_SHAPES + 2) for b in range(a, _SHAPES + 2)]


@dataclass(frozen=True, slots=True)
class _Basis:
    """Exponentials that changes since a reading are projected on, for one mode.

    Attributes
    ----------
    exponents : numpy.ndarray, shape (shapes + 2,)
        Of the functions Ψ, Ω of a constant, and Ω of each exponential.
    mixing : numpy.ndarray, shape (shapes + 1, shapes + 2)
        Takes these functions to what multiplies X and the real shapes.
    ages : numpy.ndarray, shape (ages,)
        Grid times since the reading.
    shapes, project : numpy.ndarray, shape (shapes, ages)
        Real shapes, and ``project @ change``, the parts of the shapes in a change.
    """

    exponents: Complexes
    mixing: Complexes
    ages: NDArray[np.int64]
    shapes: Floats
    project: Floats


class CycleVariances:
    """Variances of the cycles of one group of equal workers, for many modes.

    Parameters
    ----------
    means : WorkerRenewals
    group : int

    Attributes
    ----------
    kick_square : numpy.ndarray, shape (modes, cells)
        Square of the answer to a kick at an arrival.
    memory_of_squares : numpy.ndarray, shape (modes, cells)
        As `WorkerRenewals.memory_in_time`, for changes of the mean square.
    first : numpy.ndarray, shape (modes, cells)
        Variance over the rest of the first cycle, from a start at 1.
    """

    def __init__(self, means: WorkerRenewals, group: int) -> None:
        self.means, self.group = means, group
        self.rate = means.crew.rates[group]
        phi, kick = means.phi[group], means.kick_transform[group]
        self.answer_transform = phi * kick
        self.lasting = restored(kick / (1.0 - phi))
        self.limit = means.share[group] / means.alpha[:, None]
        self.kick_square = means.kick[group] ** 2
        self.kick_square[:, 0] = 0.5
        square = means.others[group] ** 2
        square[:, 0] = 0.5
        self.memory_of_squares = means.memory_in_time(group, square)
        self.under_way = restored(self.rate * (1.0 - phi) / means.slope)
        self.plain = self._variance_of_lasting(means.mass[group])
        self.first = self._variance_of_lasting(self.under_way)
        modes = means.alpha.size
        self.cross = np.zeros((modes, _SHAPES + 1, _SHAPES + 1, CELLS))
        self.cross[:, 0, 0] = self.plain
        self.part = np.zeros((modes, _SHAPES, CELLS))  # of the mean's change in each shape
        self.bases: list[_Basis | None] = [None] * modes
        damping = means.alpha * means.crew.workers
        moves = (means.alpha * damping > _SLOW) & ~means.wild & (means.crew.workers > 1)
        for i in np.flatnonzero(moves):
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

    def fluctuating(self, exponent: Floats) -> Floats:
        """Return the variance per arrival of what fluctuates, decaying with `exponent` <= 0.

        Changes of it since a reading are correlated with it as the answer to a kick is with itself;
        the worker's own part is left out.
        """
        out = self.plain.copy()
        for i, basis in enumerate(self.bases):
            if basis is None:
                continue
            project, ages = basis.project, basis.ages
            kick = halved(self.means.kick[self.group][i])
            ahead = np.arange(CELLS) * self.means.step[i, 0] * exponent[i]
            left = np.cumsum(kick[::-1] ** 2)[::-1]
            faded = np.where(left > ROUNDING * left[0], np.exp(np.minimum(-ahead, 60.0)), 0.0)
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
            rest[0] -= linear @ basis.shapes
            rest[1] -= np.einsum("ac,ab,bc->c", basis.shapes, square, basis.shapes)
            out[i] += self._where_read(i, ages, rest)
            out[i] += 2.0 * np.tensordot(linear, self.cross[i, 0, 1:], 1)
            out[i] += np.tensordot(square, self.cross[i, 1:, 1:], 2)
        return out

    def _where_read(self, i: int, ages: NDArray[np.int64], rest: Floats) -> Floats:
        """Return what E[X D] and E[D^2] at the end of a cycle add where nothing else sees them."""
        answer = restored(self.answer_transform[i])
        mass = self.means.mass[self.group][i]
        every = np.arange(CELLS)
        linear, square = (mass * np.interp(every, ages, each) for each in rest)
        return restored(
            transformed(linear) * transformed(2.0 * self.lasting[i] * answer)
            + transformed(square) * transformed(answer**2)
        )

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
        """Fill in what depends on changes since a reading, for one mode."""
        means, group = self.means, self.group
        step = float(means.step[i, 0])
        basis = self._basis(i)
        self.bases[i] = basis
        times = np.arange(CELLS) * step
        grown = np.exp(np.multiply.outer(basis.exponents, times))
        weighed = means.renewals[group][i] * grown[1:]
        functions = np.concatenate(
            [self.lasting[i][None] + 0j, convolved(weighed, restored(self.answer_transform[i]))]
        )
        seen = _Seen(functions, grown)
        raw = seen.covariances(means.mass[group][i])
        mixed = np.tensordot(basis.mixing, np.tensordot(basis.mixing, raw, (1, 1)), (1, 1))
        self.cross[i] = mixed.real
        self.cross[i, 0, 0] = self.plain[i]
        # Changes of the mean since a reading: as it falls, but without the worker's own arrivals.
        project, ages = basis.project, basis.ages
        others = np.array(means.others[group][i])
        others[0] = 1.0
        answer = 0.5 * (others[:-1] + others[1:])
        since = ages[:, None] - np.arange(1, CELLS)
        answered = np.where(since >= 0, answer[np.clip(since, 0, CELLS - 2)], 0.0)
        fall = np.diff(means.mean[i], append=means.mean[i, -1])
        arriving = means.arriving[group][i]
        own = means.alpha[i] * self.rate * step * 0.5 * (arriving + np.append(arriving[1:], 0.0))
        behind = means.reading[group][i] - means.mean[i]
        for a in range(_SHAPES):
            falls = project[a] @ (since >= 0)
            self.part[i, a] = correlation(np.append(falls, 0.0), fall)
            self.part[i, a] += correlation(np.append(project[a] @ answered, 0.0), own)
            self.part[i, a] += behind * (project[a] @ (others[ages] - 1.0))
        # The first cycles, from the start that held until time zero.
        change = project @ ((since >= 0) @ fall[:-1] + answered @ own[:-1])
        parts = np.append(1.0, change) @ basis.mixing
        self.first[i] = seen.variance(self.under_way[i], parts)

    def _basis(self, i: int) -> _Basis:
        """Return exponents, and the projection of changes on them, for one mode."""
        means = self.means
        step, cycle = float(means.step[i, 0]), 1.0 / self.rate
        root = complex(means.roots[i])
        slow = complex(min(root.real, -1e-3), root.imag)
        pair = [slow, slow.conjugate()] if root.imag else [slow, 2.0 * slow]
        exponents = np.array([0.0, 0.0, *pair, *(rate / cycle for rate in _FAST)], dtype=complex)
        mixing = np.zeros((_SHAPES + 1, _SHAPES + 2), dtype=complex)
        mixing[0, 0] = 1.0
        if root.imag:
            mixing[1, 2:4], mixing[2, 2:4] = 0.5, (-0.5j, 0.5j)
        else:
            mixing[1, 2], mixing[2, 3], mixing[2, 1] = 1.0, 1.0, -1.0
        mixing[3, 4] = mixing[4, 5] = 1.0
        mixing[[1, 3, 4], 1] = -1.0
        mass = means.mass[self.group][i]
        inside = np.cumsum(mass)
        longest = max(int(np.searchsorted(inside, 1.0 - 1e-6)) + 2, int(_DENSE * cycle / step))
        ages = _ages(longest, int(_DENSE * cycle / step))
        width = np.diff(ages, prepend=0) * step
        waves: Any = np.exp(np.multiply.outer(exponents, ages * step))
        shapes = (mixing[1:] @ waves).real
        left = np.maximum(1.0 - inside[ages] + mass[ages], _LATER)  # that a cycle is longer
        weight = np.sqrt(left * np.maximum(width, step))
        project = np.linalg.pinv((shapes * weight).T, rcond=1e-6) * weight
        return _Basis(exponents, mixing, ages, shapes, project)


class _Seen:
    r"""Functions :math:`e^{\sigma_a C} R_a(T - C)` of a random time C, for all T >= 0 of the grid.

    Parameters
    ----------
    functions : array, shape (functions, cells)
        The :math:`R_a`; the first one jumps at zero.
    grown : array, shape (functions, cells)
        The :math:`e^{\sigma_a c}`.
    """

    def __init__(self, functions: Complexes, grown: Complexes) -> None:
        self.first, self.second = (np.array([pair[k] for pair in _PAIRS]) for k in (0, 1))
        products = functions[self.first] * functions[self.second]
        products[0, 0] = 2.0 * functions[0, 0] ** 2  # the mean of squares on both sides of a jump
        self.count = len(functions)
        self.terms = full_transform(np.concatenate([products, functions]))
        self.growth = np.concatenate([grown[self.first] * grown[self.second], grown])

    def covariances(self, mass: Floats) -> Complexes:
        """Return their covariances over C with these probabilities."""
        moments = full_restored(full_transform(mass * self.growth) * self.terms)
        together, means = moments[: -self.count], moments[-self.count :]
        out = np.empty((self.count, self.count, CELLS), dtype=complex)
        out[self.first, self.second] = together - means[self.first] * means[self.second]
        out[self.second, self.first] = out[self.first, self.second]
        return out

    def variance(self, mass: Floats, parts: Complexes) -> Floats:
        """Return the variance of their sum, each times its part."""
        weights = np.where(self.first == self.second, 1.0, 2.0)
        weights = weights * parts[self.first] * parts[self.second]
        moments = full_transform(mass * self.growth) * self.terms
        sums = np.stack([weights @ moments[: -self.count], parts @ moments[-self.count :]])
        second, mean = full_restored(sums).real
        return second - mean**2


def _ages(longest: int, dense: int) -> NDArray[np.int64]:
    """Return grid times: every second up to `dense`, then ever fewer up to `longest`."""
    longest = min(max(longest, 8), CELLS - 2)
    near = np.arange(0, min(dense, longest) + 2, 2)
    if near[-1] >= longest:
        return near
    count = math.ceil(math.log(longest / near[-1]) / 0.15) + 1
    far = np.geomspace(near[-1], longest, count)[1:]
    return np.unique(np.append(near, np.ceil(far).astype(int)))
