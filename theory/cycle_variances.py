r"""How much the random length of one cycle of a worker adds to the mean square.

A worker has read *X* at :math:`t_k`; its gradient arrives, and it reads again, at :math:`t_k + c`.
If :math:`f(w)` is the state a time *w* after the reading as the other workers leave it, *x* at time
:math:`t = t_k + T` is expected to be lower by α times

.. math:: h(c) = X K_P(T-c) + \int f(c+y)\,G(T-c-y)\,U(dy), \qquad G = \varphi K_P ,

with the renewal measure *U* (`worker_renewals`). With :math:`f = X + \sum_a d_a (e^{\sigma_a w} -
1)` and :math:`\Omega_a = (e^{\sigma_a\cdot}U) * G` this is

.. math:: h(c) = X\,\Psi(T-c) + \sum_a d_a\bigl(e^{\sigma_a c}\Omega_a(T-c) - \Omega_0(T-c)\bigr),
          \qquad \Psi = K_P + \Omega_0 ,

so its variance over cycles is made of convolutions. The exponents are those of `cycle_shapes`; what
*f* has besides, the jumps of single arrivals, counts where it is read. Nothing here adds up
workers. Derived in this project.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cycle_shapes import SHAPES, Shapes, shapes_of
from .lattice import (
    CELLS,
    circled,
    correlation,
    halved,
    restored,
    transformed,
    uncircled,
)
from .worker_renewals import WorkerRenewals

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

ROUNDING = 1e-7  # of the energy of a kernel: beyond it growing weights blow rounding up
FIRST, SECOND = np.triu_indices(1 + SHAPES)  # pairs out of the reading and the shapes
_TWICE = np.where(FIRST == SECOND, 1.0, 2.0)
_A, _B = np.triu_indices(2 + SHAPES)  # pairs out of Psi, Omega_0 and the Omega of each shape
_BOTH = np.where(_A == _B, 1.0, 2.0)
_PLACE = np.zeros((2 + SHAPES, 2 + SHAPES), dtype=int)
_PLACE[_A, _B] = _PLACE[_B, _A] = np.arange(_A.size)
_GROWN = np.zeros((1 + SHAPES, 1 + SHAPES), dtype=int)
_GROWN[FIRST, SECOND] = _GROWN[SECOND, FIRST] = np.arange(FIRST.size)
_WITH = np.maximum(np.arange(2 + SHAPES) - 1, 0)  # the growth that goes with each function


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
    cross : numpy.ndarray, shape (modes, pairs, cells)
        Covariances, over cycles, of what the reading and the shapes of a change make, for the pairs
        ``(FIRST, SECOND)``.
    """

    def __init__(self, means: WorkerRenewals, group: int) -> None:
        self.means, self.group = means, group
        self.rate = means.crew.rates[group]
        phi, kick = means.phi[group], means.kick_transform[group]
        self.lasting = restored(kick / (1.0 - phi))
        self.limit = means.share[group] / means.alpha[:, None]
        self.kick_square = means.kick[group] ** 2
        self.kick_square[:, 0] = 0.5
        square = means.others[group] ** 2
        square[:, 0] = 0.5
        self.memory_of_squares = means.memory_in_time(group, square)
        self.answer = restored(phi * kick)
        self.cross = np.zeros((means.alpha.size, FIRST.size, CELLS))
        self.shapes = shapes_of(means, group)
        self._seen: dict[int, Seen] = {}
        for shapes in self.shapes:
            for k, i in enumerate(shapes.modes):
                seen = Seen.of(self, shapes, k)
                self.cross[i] = seen.covariances(means.mass[group][i])
                self._seen[int(i)] = seen
        self.cross[:, 0] = self._variance_of_lasting(means.mass[group])

    @cached_property
    def moving(self) -> NDArray[np.int64]:
        """The modes that have shapes."""
        return np.sort(np.concatenate([np.zeros(0, dtype=int), *(s.modes for s in self.shapes)]))

    # ---- the mean -----------------------------------------------------------------------------

    @cached_property
    def driven(self) -> Floats:
        """What the changes of the mean make of the random cycles, over time."""
        means, moving = self.means, self.moving
        reading = means.reading[self.group]
        total = transformed(halved(reading**2)) * transformed(halved(self.cross[:, 0]))
        if moving.size:
            parts = np.concatenate([reading[:, None], self._changes], axis=1)[moving]
            source = transformed(halved(parts[:, FIRST[1:]] * parts[:, SECOND[1:]]))
            source *= transformed(halved(self.cross[moving, 1:]))
            total[moving] += np.einsum("p,mpk->mk", _TWICE[1:], source)
        return np.asarray(means.step * restored(total))

    @cached_property
    def first(self) -> Floats:
        """Variances over the rest of the first cycle, from a start at 1, shape (modes, cells)."""
        means = self.means
        under_way = restored(self.rate * (1.0 - means.phi[self.group]) / means.slope)
        out = self._variance_of_lasting(under_way)
        for shapes in self.shapes:
            falls, answered = self._heard(shapes)
            fall, own = self._falls(shapes.modes)
            change = np.einsum("mak,mk->ma", falls, fall) + np.einsum("mak,mk->ma", answered, own)
            for i, parts in zip(shapes.modes, change, strict=True):
                out[i] = self._seen[int(i)].variance(under_way[i], np.append(1.0, parts))
        return out

    @cached_property
    def _changes(self) -> Floats:
        """Parts of the mean's change in each shape, shape (modes, shapes, cells).

        Since a reading the mean changes as it falls, but without the worker's own arrivals.
        """
        means, group = self.means, self.group
        out = np.zeros((means.alpha.size, SHAPES, CELLS))
        for shapes in self.shapes:
            modes = shapes.modes
            falls, answered = self._heard(shapes)
            fall, own = self._falls(modes)
            out[modes] = correlation(falls, fall[:, None]) + correlation(answered, own[:, None])
            others = np.array(means.others[group][modes])
            others[:, 0] = 1.0
            behind = means.reading[group][modes] - means.mean[modes]
            lost = np.einsum("maj,mj->ma", shapes.project, others[:, shapes.ages] - 1.0)
            out[modes] += behind[:, None] * lost[..., None]
        return out

    def _falls(self, modes: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return changes of the mean in each grid step, and the worker's own arrivals in it."""
        means, group = self.means, self.group
        mean, arriving = means.mean[modes], means.arriving[group][modes]
        fall = np.diff(mean, axis=1, append=mean[:, -1:])
        after = np.append(arriving[:, 1:], np.zeros((modes.size, 1)), axis=1)
        step = means.step[modes]
        return fall, means.alpha[modes, None] * self.rate * step * 0.5 * (arriving + after)

    def _heard(self, shapes: Shapes) -> tuple[Floats, Floats]:
        """Return parts of the shapes in a step of the mean, and in the others' answer to a kick,
        each at every grid time after the reading.
        """
        project = shapes.on_grid
        later = np.cumsum(project[..., ::-1], axis=-1)[..., ::-1]  # ages not before each time
        others = np.array(self.means.others[self.group][shapes.modes])
        others[:, 0] = 1.0
        answer = 0.5 * (others + np.append(others[:, 1:], np.zeros((len(others), 1)), axis=1))
        answer[:, -1] = 0.0
        out = np.zeros((2, *project.shape))
        out[0, ..., :-1] = later[..., 1:]
        out[1, ..., :-1] = correlation(answer[:, None], project)[..., 1:]
        return out[0], out[1]

    # ---- what fluctuates ----------------------------------------------------------------------

    def fluctuating(self, exponent: Floats) -> Floats:
        """Return the variance per arrival of what fluctuates, decaying with `exponent` <= 0.

        Changes of it since a reading are correlated with it as the answer to a kick is with itself;
        the worker's own part is left out.
        """
        out = self.cross[:, 0].copy()
        for shapes in self.shapes:
            modes, project, ages = shapes.modes, shapes.project, shapes.ages
            kick = halved(self.means.kick[self.group][modes])
            ahead = np.arange(CELLS) * (self.means.step[modes, 0] * exponent[modes])[:, None]
            left = np.cumsum(kick[:, ::-1] ** 2, axis=1)[:, ::-1]
            heard = left > ROUNDING * left[:, :1]
            faded = np.where(heard, np.exp(np.minimum(-ahead, 60.0)), 0.0)
            together = correlation(kick * faded, kick)
            together = together / together[:, :1]
            earlier, apart = np.minimum.outer(ages, ages), np.abs(np.subtract.outer(ages, ages))
            both = np.exp(ahead)[:, earlier] * together[:, apart]
            together = together[:, ages]
            both += 1.0 - together[:, :, None] - together[:, None]
            others = 1.0 - self.means.share[self.group][modes]
            linear = others * np.einsum("maj,mj->ma", project, together - 1.0)
            square = others[..., None] * (project @ both @ project.transpose(0, 2, 1))
            # What is too rough for the shapes counts where it is read, not where it is summed.
            rest = np.stack([together - 1.0, np.diagonal(both, axis1=1, axis2=2)]) * others
            rest[0] -= np.einsum("ma,maj->mj", linear, shapes.values)
            rest[1] -= np.einsum("maj,maj->mj", square @ shapes.values, shapes.values)
            weights = np.concatenate(
                [2.0 * linear, (square[:, _UPPER[0], _UPPER[1]]) * _TWICE[1 + SHAPES :]], axis=1
            )
            out[modes] += np.einsum("mp,mpk->mk", weights, self.cross[modes, 1:])
            out[modes] += self._where_read(modes, shapes.interpolated(rest))
        return out

    def _where_read(self, modes: NDArray[np.int64], rest: Floats) -> Floats:
        """Return what E[X D] and E[D^2] at the end of a cycle add where nothing else sees them."""
        chance = transformed(self.means.mass[self.group][modes] * rest)
        linear, square = self._answers
        return restored(chance[0] * linear[modes] + chance[1] * square[modes])

    @cached_property
    def _answers(self) -> tuple[Complexes, Complexes]:
        """Transforms of what a reading's own part and its square are answered by."""
        return transformed(2.0 * self.lasting * self.answer), transformed(self.answer**2)

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


_UPPER = np.triu_indices(SHAPES)


class Seen:
    r"""What a reading and the shapes of a change since make at a later time, for one mode.

    They are products :math:`e^{\sigma_a C} R_a(T - C)` of functions of the random time C at which
    the cycle ends, for all T >= 0 of the grid.

    Parameters
    ----------
    functions : array, shape (2 + shapes, cells)
        Ψ, which jumps at zero, :math:`\Omega_0` and the :math:`\Omega_a`; of a wave, its real and
        imaginary part.
    growth : array, shape (1 + shapes, cells)
        One, and the :math:`e^{\sigma_a c}`.
    start : array, shape (shapes,)
        How much of :math:`\Omega_0` is taken off each.
    turning : bool
        Whether the first two shapes are a wave.
    """

    def __init__(self, functions: Floats, growth: Floats, start: Floats, *, turning: bool) -> None:
        products = functions[_A] * functions[_B]
        products[0, 0] = 2.0 * functions[0, 0] ** 2  # the mean of squares on both sides of a jump
        self.terms = circled(np.concatenate([products, functions]))
        self.growth = growth[FIRST] * growth[SECOND]
        self.start, self.turning = start, turning

    @classmethod
    def of(cls, cycles: CycleVariances, shapes: Shapes, k: int) -> "Seen":
        """Return it for the mode at place `k` among those with the same grid."""
        i, growth = shapes.modes[k], shapes.growth[k]
        weighed = circled(cycles.means.renewals[cycles.group][i] * growth)
        functions = uncircled(weighed * circled(cycles.answer[i]))
        functions = np.concatenate([cycles.lasting[i][None], functions])
        return cls(functions, growth, shapes.start[k], turning=bool(shapes.turning[k]))

    def _moments(self, mass: Floats) -> tuple[Complexes, Complexes]:
        """Return the transforms of second and first moments over C with these probabilities."""
        chance = circled(mass * self.growth)
        product, plain = self.terms[: _A.size], self.terms[_A.size :]
        second = chance[_GROWN[_WITH[_A], _WITH[_B]]] * product
        first = chance[_GROWN[0, _WITH]] * plain
        if not self.turning:
            return second, first
        # The wave is (g + ih)(F + iG), and its parts gF - hG and hF + gG are functions 2 and 3.
        for x in (0, 1, 4, 5):
            g, h = chance[_GROWN[_WITH[x], 1]], chance[_GROWN[_WITH[x], 2]]
            real, imaginary = product[_PLACE[x, 2]], product[_PLACE[x, 3]]
            second[_PLACE[x, 2]] = g * real - h * imaginary
            second[_PLACE[x, 3]] = h * real + g * imaginary
        g, h = chance[1], chance[2]
        first[2], first[3] = g * plain[2] - h * plain[3], h * plain[2] + g * plain[3]
        gg, gh, hh = chance[_GROWN[1, 1]], chance[_GROWN[1, 2]], chance[_GROWN[2, 2]]
        real, mixed, imaginary = (product[_PLACE[a, b]] for a, b in ((2, 2), (2, 3), (3, 3)))
        second[_PLACE[2, 2]] = gg * real - 2.0 * gh * mixed + hh * imaginary
        second[_PLACE[2, 3]] = gh * (real - imaginary) + (gg - hh) * mixed
        second[_PLACE[3, 3]] = hh * real + 2.0 * gh * mixed + gg * imaginary
        return second, first

    def covariances(self, mass: Floats) -> Floats:
        """Return their covariances over C with these probabilities, for ``(FIRST, SECOND)``."""
        second, first = self._moments(mass)
        moments = uncircled(np.concatenate([second, first]))
        raw, means = moments[: _A.size], moments[_A.size :]
        raw = raw - means[_A] * means[_B]
        less = np.append(0.0, self.start)[:, None]
        a, b = np.where(FIRST, FIRST + 1, 0), np.where(SECOND, SECOND + 1, 0)
        out = raw[_PLACE[a, b]] - less[SECOND] * raw[_PLACE[a, 1]]
        return out - less[FIRST] * (raw[_PLACE[1, b]] - less[SECOND] * raw[_PLACE[1, 1]])

    def variance(self, mass: Floats, parts: Floats) -> Floats:
        """Return the variance of their sum, each times its part."""
        parts = np.concatenate([parts[:1], [-float(parts[1:] @ self.start)], parts[1:]])
        second, first = self._moments(mass)
        weights = _BOTH * parts[_A] * parts[_B]
        sums = np.stack(
            [np.einsum("p,pk->k", *each) for each in ((weights, second), (parts, first))]
        )
        square, mean = uncircled(np.array(sums))
        return square - mean**2
