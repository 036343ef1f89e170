r"""Linear delay equations solved exactly in time, panel by panel: the method of steps.

The equation is :math:`X'(t)=A_0X(t)+\sum_jA_j\,E\,X(t-T_j)+b`, with fixed, measured or continuous
laws of the delays. Time is cut at every point where the solution has a kink (sums of delays) and
where its polynomial would be too coarse; on each panel the integrated equation is collocated, so
nothing is summed with alternating signs and long times are as accurate as short ones. A fixed delay
reads the solution at a point; a continuous law reads it through weights made from its distribution
function. Knows nothing about noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sdde import checks
from sdde.equation.laws import Law

from .numerics import Floats, gauss, interpolation
from .piecewise import DEGREE, History, Piecewise, panel

ORDER, LEAST_ORDER = 12, 7  # kinks beyond are below the polynomials' own error
MOST_KINKS = 200  # number of kinks from which on those beyond the least order are passed over
MOST_ATOMS = 64  # values of a measured law up to which each one is a delay with its own kinks
NARROW = 0.05  # width of a law over its mean below which panels are no longer shortened for it
GRADING = 0.25 ** np.arange(9.0, 0.0, -1.0)  # towards the start of a law, where densities are rough
_FARTHEST = 20_000  # steps that a solution is followed: some ten seconds


def kink_times(shifts: Sequence[float], origins: Sequence[float], end: float) -> Floats:
    """Return the times in (0, end) at which a solution has kinks: origins plus sums of shifts."""
    steps = sorted({s for s in shifts if s > 0.0})
    level, found = np.unique(np.asarray(origins, dtype=float)), [np.zeros(1)]
    for order in range(ORDER):
        if not steps or not level.size:
            break
        if order >= LEAST_ORDER and sum(map(len, found)) > MOST_KINKS:
            break
        level = _apart(np.add.outer(level, steps).ravel(), 1e-13 * end)
        level = level[level < end * (1.0 - 1e-13)]
        found.append(level)
    times = np.concatenate(found)
    return _apart(times[times >= 0.0], 1e-12 * end)


def _apart(times: Floats, least: float) -> Floats:
    """Sort, and drop what lies within `least` of its predecessor: equal but for rounding."""
    ordered = np.sort(times)
    return ordered[np.append(True, np.diff(ordered) > least)] if ordered.size else ordered


def mesh(kinks: Floats, end: float, longest: float, growth: float) -> Floats:
    """Return panel ends: the kinks, and pieces between them no longer than `longest`.

    Pieces are also no longer than `growth` times the time that has passed: early modes die out
    fast.
    """
    ends = np.append(kinks, end)
    first = float(ends[1] - ends[0])
    parts = []
    for a, b in pairwise(ends):
        start = float(a)
        while start < b:
            parts.append(start)
            room = min(longest, max(first, growth * start))
            start += float(b - start) / max(1, math.ceil((b - start) / room * (1.0 - 1e-9)))
            start = float(b) if b - start < 1e-12 * end else start
    return np.append(parts, end)


@dataclass(frozen=True, eq=False)
class PointReader:
    """Reads E X(t - T) of a law with few values: X at fixed distances."""

    matrix: Floats
    lags: Floats
    weights: Floats

    def kinks(self) -> list[float]:
        """Return the shifts by which a kink of the solution is passed on."""
        return [float(lag) for lag in self.lags] if len(self.lags) <= MOST_ATOMS else []


@dataclass(frozen=True, eq=False)
class SpreadReader:
    """Reads E X(t - T) of a continuous law through its distribution function."""

    matrix: Floats
    law: Law

    def kinks(self) -> list[float]:
        """Return the shifts by which a kink of the solution is passed on."""
        ends = [self.law.lowest, self.law.highest]
        return [end for end in ends if math.isfinite(end)]

    @property
    def scale(self) -> float:
        """Width of the middle half of the law."""
        return float(np.diff(self.law.quantile(np.array([0.25, 0.75])))[0])

    @property
    def reach(self) -> float:
        """The delay that is never exceeded, to rounding."""
        if math.isfinite(self.law.highest):
            return self.law.highest
        return float(self.law.frozen.isf(1e-16))

    def weights(self, times: Floats, start: float, end: float) -> Floats:
        """Return W with sum_j W[i, j] X_j = E[X(t_i - T); start < t_i - T < end] for one panel.

        Integrated by parts, so that only the distribution function is needed, which is smoother
        than the density; beyond the median its complement is used to keep small weights accurate.
        """
        x, bary, _, derivative = panel()
        first = self.law.lowest
        cuts = [-math.inf, first, *(first + self.scale * GRADING)]
        cuts += [self.law.highest] if math.isfinite(self.law.highest) else []
        cuts.append(math.inf)
        low = np.maximum(times - end, 0.0)
        high = times - start
        far = float(self.law.cdf(low.max())) > 0.5

        def mass(u: Floats) -> Floats:
            value = -self.law.frozen.sf(u) if far else self.law.frozen.cdf(u)
            return np.asarray(value, dtype=float)

        width = end - start

        def basis(u: Floats, t: Floats) -> Floats:
            return interpolation(x, bary, np.clip((t - u - start) / width, 0.0, 1.0))

        total = basis(high, times) * mass(high)[:, None] - basis(low, times) * mass(low)[:, None]
        points, masses = gauss(24)
        for a, b in pairwise(cuts):
            left, right = np.maximum(low, a), np.minimum(high, b)
            rows = np.flatnonzero(right > left)
            if not rows.size:
                continue
            size = (right - left)[rows]
            u = left[rows, None] + size[:, None] * points
            slope = basis(u.ravel(), np.repeat(times[rows], len(points))) @ derivative / width
            factor = (mass(u.ravel()).reshape(u.shape) * masses * size[:, None])[:, :, None]
            total[rows] += (factor * slope.reshape(*u.shape, -1)).sum(axis=1)
        total[high <= low] = 0.0
        return total

    def before(self, times: Floats, history: History) -> Floats:
        """Return E[history(t_i - T); T > t_i], shape (times, rows, columns)."""
        points, masses = gauss(12)
        share = 0.5 ** np.arange(1.0, 53.0)[:, None]
        tail = (share * (1.0 + points)).ravel() / 2.0  # probabilities (0, 1/2], halving towards 0
        weight = (share * masses).ravel() / 2.0
        out = []
        for t in times:
            above = float(self.law.frozen.sf(t))
            if above < 1e-300:
                out.append(np.zeros_like(history(np.array([-1.0]))[0]))
                continue
            far = self.law.frozen.isf(above * tail)
            near = self.law.frozen.ppf(float(self.law.cdf(t)) + above * tail)
            lag = np.concatenate([far, near]).astype(float)
            fit = np.isfinite(lag)
            values = history(np.minimum(t - lag[fit], -1e-300))
            out.append(np.einsum("n,nab->ab", above * np.tile(weight, 2)[fit], values))
        return np.stack(out)


def readers(delayed: Sequence[Floats], laws: Sequence[Law]) -> list[PointReader | SpreadReader]:
    """Return one reader for each delayed term."""
    result: list[PointReader | SpreadReader] = []
    for matrix, law in zip(delayed, laws, strict=True):
        if law.kind in ("continuous", "exponential"):
            result.append(SpreadReader(matrix, law))
        else:
            lags, weights = law.nodes()
            result.append(PointReader(matrix, lags, weights))
    return result


class Stepper:
    """Solves one linear delay equation for any start, history and end."""

    def __init__(self, instant: Floats, delayed: Sequence[Floats], laws: Sequence[Law]) -> None:
        self.instant = instant
        self.readers = readers(delayed, laws)
        self.shifts = [shift for reader in self.readers for shift in reader.kinks()]
        size = float(np.linalg.norm(instant, 2))
        size += sum(float(np.linalg.norm(matrix, 2)) for matrix in delayed)
        # A law narrower than this acts like a fixed delay, whose kinks have their own panel ends.
        spread = [r for r in self.readers if isinstance(r, SpreadReader)]
        spreads = [max(r.scale, NARROW * r.law.mean) for r in spread]
        self.longest = min([3.0 / size if size else math.inf, *spreads])
        self._weights: dict[tuple[int, float, float, float], Floats] = {}
        self._inverses: dict[float, Floats] = {}

    def _mesh(self, end: float, origins: Sequence[float]) -> Floats:
        kinks = kink_times(self.shifts, [0.0, *origins], end)
        rough = [r for r in self.readers if isinstance(r, SpreadReader)]
        graded = [r.law.lowest + r.scale * GRADING for r in rough]
        graded += [r.scale * GRADING for r in rough]
        if graded:
            extra = np.concatenate(graded)
            kinks = np.unique(np.concatenate([kinks, extra[extra < end]]))
        # Equal panels let the weights of a continuous law be used again and again.
        return mesh(kinks, end, min(self.longest, end), math.inf if rough else 0.5)

    def solve(
        self,
        end: float,
        start: Floats,
        history: History,
        *,
        origins: Sequence[float] = (),
        offset: Floats | None = None,
    ) -> Piecewise:
        """Return the solution on [0, end] with X(0) = start; `origins` are kinks of the history.

        Raises
        ------
        sdde.ArgumentError
            If `end` is further away than 20,000 of the longest steps.
        """
        if end > _FARTHEST * self.longest:
            raise checks.fail(
                "t", end, f"is more than {_FARTHEST} delays away",
                why=f"The solution is followed in steps of at most {self.longest:.3g}.",
                remedy="Far from the start use the stationary law, or abscissa() for the growth.",
            )  # fmt: skip
        breaks = self._mesh(end, origins)
        x, _, integral, _ = panel()
        rows, columns = start.shape
        values = np.zeros((len(breaks) - 1, DEGREE + 1, rows, columns))
        done = Piecewise(breaks, values, history)
        left = start
        for k, (low, high) in enumerate(pairwise(breaks)):
            times, width = low + (high - low) * x, high - low
            forcing = np.zeros((DEGREE + 1, rows, columns)) + (0.0 if offset is None else offset)
            for number, reader in enumerate(self.readers):
                if isinstance(reader, PointReader):
                    known = _read_points(reader, done, times, k)
                else:
                    known = self._read_spread(number, reader, done, times, k)
                forcing = forcing + reader.matrix @ known
            right = left[None] + width * np.einsum("ij,jab->iab", integral, forcing)
            inverse = self._inverse(round(width / breaks[-1], 14) * breaks[-1], width)
            values[k] = (inverse @ right.reshape(-1, columns)).reshape(-1, rows, columns)
            left = values[k, -1]
        return done

    def _inverse(self, key: float, width: float) -> Floats:
        """Return the inverse of the collocation matrix of a panel of this width, close to one."""
        if key not in self._inverses:
            x, bary, integral, _ = panel()
            dim = self.instant.shape[0]
            matrix = np.eye((DEGREE + 1) * dim) - width * np.kron(integral, self.instant)
            for number, reader in enumerate(self.readers):
                inner = np.zeros((DEGREE + 1, DEGREE + 1))
                if isinstance(reader, PointReader):
                    for lag, weight in zip(reader.lags, reader.weights, strict=True):
                        at = x - lag / width
                        own = at > 1e-11
                        inner[own] += weight * interpolation(x, bary, at[own])
                else:
                    inner = self._spread(number, reader, width * x, 0.0, width)
                matrix -= width * np.kron(integral @ inner, reader.matrix)
            self._inverses[key] = np.asarray(np.linalg.inv(matrix), dtype=float)
        return self._inverses[key]

    def _spread(
        self, number: int, reader: SpreadReader, times: Floats, start: float, end: float
    ) -> Floats:
        offset, width, own = float(times[0]) - start, end - start, float(times[-1] - times[0])
        key = (number, round(offset, 11), round(width, 11), round(own, 11))
        if key not in self._weights:
            self._weights[key] = reader.weights(times - start, 0.0, width)
        return self._weights[key]

    def _read_spread(
        self, number: int, reader: SpreadReader, done: Piecewise, times: Floats, k: int
    ) -> Floats:
        total = np.zeros((DEGREE + 1, *done.values.shape[2:]))
        for j in range(k):
            start, end = float(done.breaks[j]), float(done.breaks[j + 1])
            if times[0] - end > reader.reach or times[-1] - start < reader.law.lowest:
                continue
            weights = self._spread(number, reader, times, start, end)
            total += np.einsum("ij,jab->iab", weights, done.values[j])
        if times[0] < reader.reach:
            total = total + reader.before(times, done.history)
        return total


def _read_points(reader: PointReader, done: Piecewise, times: Floats, k: int) -> Floats:
    """Return E X(t_i - T) from the history and the panels before panel k."""
    low, width = done.breaks[k], times[-1] - times[0]
    at = times[:, None] - reader.lags
    # Rounding must not put a panel's end on the wrong side of the jump at time 0.
    before_zero = np.where(np.abs(at) < 1e-12 * done.breaks[-1], at.mean(axis=0) < 0.0, at < 0.0)
    known = ~before_zero & (at <= low + 1e-11 * width)
    weights = np.broadcast_to(reader.weights, at.shape)
    row = np.broadcast_to(np.arange(len(times))[:, None], at.shape)
    total = np.zeros((len(times), *done.values.shape[2:]))
    if before_zero.any():
        values = done.history(np.minimum(at[before_zero], -1e-300))
        np.add.at(total, row[before_zero], weights[before_zero][:, None, None] * values)
    if known.any():
        values = done.inside(np.clip(at[known], 0.0, low), k)
        np.add.at(total, row[known], weights[known][:, None, None] * values)
    return total
