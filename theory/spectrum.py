r"""Characteristic roots of a linear system with several fixed, random or distributed delays.

The roots are the zeros of :math:`\det\Delta(s)` with
:math:`\Delta(s)=sI-A_0-\sum_jA_j\phi_j(s)` and phi_j the Laplace transform of delay j. Eigenvalues
of a Chebyshev collocation of the generator of the solution semigroup start Newton's iteration on
the determinant; the argument principle counts the roots in the half-plane that was searched, so a
missed root is noticed and the collocation refined. Knows nothing about noise or time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.equation.laws import Law
from sdde.errors import Error

from .numerics import Complexes, Floats, chebyshev, interpolation
from .root_locus import reach

LARGEST_MATRIX = 1200  # order of the collocation beyond which the search gives up
LARGEST_RADIUS = 300.0  # bound on roots over the size of the matrices: no search beyond
_MOST_TURNING = 1e6  # size of a contour, in turns of delays, that is still followed
SAME = 1e-6  # relative distance below which two polished roots are one multiple root


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The characteristic matrix of x' = A0 x + sum_j Aj E x(t - Tj).

    Attributes
    ----------
    instant : ndarray, shape (dim, dim)
        A0.
    delayed : tuple of ndarray, each (dim, dim)
        Aj.
    laws : tuple of Law
        Laws of the delays Tj.
    """

    instant: Floats
    delayed: tuple[Floats, ...]
    laws: tuple[Law, ...]

    @property
    def dim(self) -> int:
        """Number of components of the state."""
        return self.instant.shape[0]

    @property
    def edge(self) -> float:
        """The real number right of which every transform is finite."""
        return max((law.convergence_abscissa for law in self.laws), default=-math.inf)

    def matrix(self, s: ArrayLike) -> Complexes:
        """Return Delta at each of `s`, shape (..., dim, dim)."""
        s = np.asarray(s, dtype=complex)
        total = np.array(s[..., None, None] * np.eye(self.dim) - self.instant, dtype=complex)
        for a, law in zip(self.delayed, self.laws, strict=True):
            total -= law.laplace(s)[..., None, None] * a
        return total

    def slope(self, s: ArrayLike) -> Complexes:
        """Return the derivative of Delta at each of `s`."""
        s = np.asarray(s, dtype=complex)
        total = np.array(np.ones_like(s)[..., None, None] * np.eye(self.dim), dtype=complex)
        for a, law in zip(self.delayed, self.laws, strict=True):
            total += law.laplace(s, power=1)[..., None, None] * a
        return total

    def radius(self, line: float) -> float:
        """Bound the absolute value of roots whose real part is at least `line`.

        A root is an eigenvalue of A0 + sum Aj phi_j(s), and there abs(phi_j(s)) <= phi_j(line).
        """
        bound = float(np.linalg.norm(self.instant, 2))
        for a, law in zip(self.delayed, self.laws, strict=True):
            bound += float(np.linalg.norm(a, 2)) * float(np.real(law.laplace(line)))
        return bound

    def _turns(self, corners: Sequence[complex]) -> int:
        """Count zeros of det Delta inside a polygon by the turns of its argument."""
        longest = sum(law.mean for law in self.laws) + max((reach(b) for b in self.laws), default=0)
        total = 0.0
        for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
            turning = float(np.abs(end - start)) * self.dim * longest
            if not turning < _MOST_TURNING:
                raise checks.fail(
                    "delays", [law.mean for law in self.laws], "are far from the system's times",
                    why=f"Coefficients of size {np.linalg.norm(self.instant, 2):.3g} belong to "
                    "times that are shorter by many powers of ten.",
                    remedy="Leave out what is fast, or take a delay that matters to it.",
                )  # fmt: skip
            pieces = 64 + math.ceil(turning)
            share = np.linspace(0.0, 1.0, pieces + 1)
            angle = np.zeros(0)
            for _ in range(60):
                value = np.linalg.det(self.matrix(start + (end - start) * share))
                angle = np.angle(value[1:] / value[:-1])
                coarse = np.abs(angle) > 0.7
                if not coarse.any():
                    break
                middle = (share[:-1] + share[1:])[coarse] / 2.0
                share = np.sort(np.concatenate([share, middle]))
            total += float(angle.sum())
        return round(total / (2.0 * math.pi))

    def count_right_of(self, line: float) -> int:
        """Count the roots with real part above `line`, with multiplicity.

        The line must not pass through a root.
        """
        size = self.radius(line) * 1.01 + 1e-3 + abs(line)
        corners = [line - 1j * size, size - 1j * size, size + 1j * size, line + 1j * size]
        return self._turns([complex(c) for c in corners])

    def _starts(self, order: int) -> Complexes:
        """Return the eigenvalues of the collocated generator, rightmost first."""
        length = max((reach(law) for law in self.laws), default=0.0)
        if length == 0.0:
            total = self.instant + sum(self.delayed, np.zeros_like(self.instant))
            return _eigenvalues(total)
        nodes, derivative, weights = chebyshev(order, length)
        generator = np.kron(derivative, np.eye(self.dim))
        first = np.zeros((self.dim, (order + 1) * self.dim))
        first[:, : self.dim] = self.instant
        for a, law in zip(self.delayed, self.laws, strict=True):
            values, mass = law.nodes()
            row = mass @ interpolation(nodes, weights, -np.minimum(values, length))
            first += np.kron(row[None, :], a)
        generator[: self.dim] = first
        return _eigenvalues(generator)

    def polish(self, start: Complexes, steps: int = 60) -> Complexes:
        """Return Newton's iterates on det Delta; ``nan`` where they do not settle."""
        s = np.array(start, dtype=complex)
        moving = np.ones(s.shape, dtype=bool)
        with np.errstate(all="ignore"):
            for _ in range(steps):
                at = s[moving]
                matrix = self.matrix(at)
                fit = np.isfinite(matrix).all(axis=(1, 2))
                matrix[~fit] = np.eye(self.dim)
                det = np.linalg.det(matrix)
                safe = np.where((det == 0.0)[:, None, None], np.eye(self.dim), matrix)
                ratio = np.trace(np.linalg.solve(safe, self.slope(at)), axis1=1, axis2=2)
                move = np.where(det == 0.0, 0.0, 1.0 / ratio)
                move[~fit] = np.nan
                s[moving] = at - move
                keep = np.isfinite(move) & (np.abs(move) > 4e-16 * (1.0 + np.abs(at)))
                moving[moving] = keep
                if not moving.any():
                    return s
            last = np.abs(self._newton_move(s[moving]))
            s[moving] = np.where(last < 1e-6 * (1.0 + np.abs(s[moving])), s[moving], np.nan)
        return s

    def _newton_move(self, s: Complexes) -> Complexes:
        ratio = np.linalg.solve(self.matrix(s), self.slope(s))
        return np.asarray(1.0 / np.trace(ratio, axis1=1, axis2=2), dtype=complex)

    def _distinct(self, start: Complexes, line: float) -> Complexes:
        """Polish, merge what fell into the same root, and repeat each root by its multiplicity."""
        half = start[start.imag >= -1e-9]
        s = self.polish(half)
        s = s[np.isfinite(s) & (s.real > line) & (s.imag > -1e-7 * (1.0 + np.abs(s)))]
        # A double real root comes out as a close pair: give the mirror image to the merging below.
        split = (np.abs(s.imag) < SAME * (1.0 + np.abs(s))) & (np.abs(s.imag) > 1e-13)
        s = np.concatenate([s, s[split].conj()])
        s = s[np.lexsort((-s.imag, -s.real))]
        found: list[complex] = []
        while len(s):
            near = np.abs(s - s[0]) < SAME * (1.0 + abs(s[0]))
            centre, size = complex(s[near].mean()), int(near.sum())
            s = s[~near]
            if size > 1:  # several starts in one place: a multiple root, or the same root twice
                radius = 20.0 * SAME * (1.0 + abs(centre))
                ring = np.exp(2j * math.pi * (np.arange(8) + 0.5) / 8.0) * radius
                size = max(1, self._turns([complex(c) for c in centre + ring]))
                centre = complex(centre.real) if abs(centre.imag) < 1e-12 else centre
                if size == 1:
                    centre = complex(self.polish(np.array([centre]))[0])
            if abs(centre.imag) <= 1e-9 * (1.0 + abs(centre)):
                found += [complex(centre.real)] * size
            else:
                found += [centre, centre.conjugate()] * size
        return np.array(found, dtype=complex)

    def right_of(self, line: float) -> Complexes:
        """Return every root with real part above `line`, rightmost first, with multiplicity."""
        wanted = self.count_right_of(line)
        order, found = 24, np.empty(0, dtype=complex)
        while (order + 1) * self.dim <= LARGEST_MATRIX:
            start = self._starts(order)
            near = start[start.real > line - 0.5 * (1.0 + abs(line))]
            found = self._distinct(near, line)
            if len(found) == wanted:
                return _sorted(found)
            order = order * 3 // 2
        raise Error(
            f"{wanted} characteristic roots lie right of {line:g}, {len(found)} were found."
        )

    def _low(self) -> float:
        """Return how far left roots are looked for: short of the edge, where transforms explode."""
        if not math.isfinite(self.edge):
            return -math.inf
        size = self.radius(0.0)
        if self.edge == 0.0:
            return 1e-6 * (1.0 + size)
        for share in np.linspace(0.02, 1.0, 50):
            low = self.edge * (1.0 - share)
            if self.radius(low) < LARGEST_RADIUS * size:
                return float(low)
        return 0.0

    def rightmost(self, count: int) -> Complexes:
        """Return the `count` rightmost roots; fewer if no more exist right of the edge."""
        if not self.laws:
            return _sorted(self._starts(0))[:count]
        low = self._low()
        order, before = 24, -1
        while (order + 1) * self.dim <= LARGEST_MATRIX:
            start = self._starts(order)
            found = _sorted(self._distinct(start[: 2 * count + 4 * self.dim + 4], low))
            line, inside = low, len(found)
            if inside > count:  # look for a gap after the last root that is wanted
                last = found[count - 1].real
                gaps = np.flatnonzero(found.real[count:] < last - 1e-4 * (1.0 + abs(last)))
                if len(gaps):
                    inside = count + int(gaps[0])
                    line = (found[inside - 1].real + found[inside].real) / 2.0
            elif inside == before and not math.isfinite(low):  # a spectrum of finitely many roots
                line = min(found.real, default=0.0) - 2.0 - 2.0 * self.radius(0.0)
            if math.isfinite(line) and self.count_right_of(line) == inside:
                return found[:count]
            order, before = order * 3 // 2, len(found)
        raise Error(f"the {count} rightmost characteristic roots were not resolved.")


def _eigenvalues(matrix: ArrayLike) -> Complexes:
    """Return the eigenvalues by falling real part."""
    values: Complexes = np.asarray(
        np.linalg.eigvals(np.asarray(matrix, dtype=float)), dtype=complex
    )
    return values[np.argsort(-values.real)]


def _sorted(roots: Complexes) -> Complexes:
    """Sort by falling real part; of a pair the member with positive imaginary part comes first."""
    order = np.lexsort((-roots.imag, np.abs(roots.imag), -np.round(roots.real, 10)))
    return roots[order]
