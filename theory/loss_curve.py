"""A loss over time: polynomials on panels first, a few exponentials for ever after.

Every exact or approximate second moment in this package ends as such a curve, so the questions
asked of it live here once: its value at any time, and when it falls below a target for the first
time or for good. Nothing here knows how the curve was computed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from .bracket import root_between
from .panels import coefficients, lagrange, rules

Floats = NDArray[np.float64]

_FINE = 0.04  # sampling of waves beyond the panels, in units of one over their frequency
_RISE = 1.001  # after a dip, relative to it
_MOST = 400_000  # samples of a wave train that dies slowly


class Dips(NamedTuple):
    """Minima of a curve before it falls below a target for good.

    Attributes
    ----------
    number : int
        How many are followed by a rise of a thousandth or more: in which wave the curve falls below
        the target.
    falls : float
        About when the curve would fall below the target for good if the last one were deeper or the
        next peak lower; ``inf`` without any.
    missing : float
        Factor by which that dip or peak is above the target.
    """

    number: int = 0
    falls: float = math.inf
    missing: float = math.inf


@dataclass(frozen=True, slots=True)
class LossCurve:
    """One curve.

    Attributes
    ----------
    width : float
        Width of a panel, in the user's unit of time.
    early : numpy.ndarray, shape (panels, order)
        Values at the nodes of the panels.
    floor : float
        Limit at infinite time; ``inf`` if the curve grows without bound.
    exponents, amplitudes : numpy.ndarray
        Complex exponentials beyond the panels, with their values where the panels end.
    beats : int
        0 for true exponentials. For `n` workers in step, the number *n* of updates in one panel:
        the count of updates within a panel is binomial, so a power of the update number is a power
        of a mean.
    """

    width: float
    early: Floats
    floor: float
    exponents: NDArray[np.complexfloating[Any, Any]]
    amplitudes: NDArray[np.complexfloating[Any, Any]]
    beats: int = 0

    @property
    def end(self) -> float:
        """Time at which the panels end."""
        return self.width * len(self.early)

    def __call__(self, time: Floats) -> Floats:
        """Return the values at times of any shape."""
        t = np.asarray(time, dtype=float)
        flat = t.ravel()
        out = np.empty(flat.shape)
        inside = flat < self.end
        panel = np.minimum((flat[inside] / self.width).astype(int), len(self.early) - 1)
        basis = lagrange(flat[inside] / self.width - panel)
        out[inside] = np.einsum("tn,tn->t", self.early[panel], basis)
        out[~inside] = self._late(flat[~inside] - self.end)
        return out.reshape(t.shape)

    def _late(self, after: Floats) -> Floats:
        if not math.isfinite(self.floor):
            return np.full(after.shape, np.inf)
        out = np.full(after.shape, self.floor)
        plain = (self.exponents.imag == 0.0) & (self.beats == 0)
        if plain.any():
            decay = np.exp(np.multiply.outer(after, self.exponents.real[plain]))
            out += np.einsum("te,e->t", decay, self.amplitudes.real[plain])
        exponents, amplitudes = self.exponents[~plain], self.amplitudes[~plain]
        if not exponents.size:
            return out
        step = max(1, 1_000_000 // exponents.size)  # bounds the temporary
        for start in range(0, after.size, step):
            part = after[start : start + step]
            if self.beats:
                whole = np.floor(part / self.width)
                share = part / self.width - whole
                power = np.exp(np.multiply.outer(whole * self.width, exponents))
                one = np.exp(exponents * self.width / self.beats) - 1.0
                waves = power * (1.0 + np.multiply.outer(share, one)) ** self.beats
            else:
                waves = np.exp(np.multiply.outer(part, exponents))
            out[start : start + step] += np.einsum("te,e->t", waves, amplitudes).real
        return out

    def _envelope(self, after: float) -> float:
        return self.floor + float(np.abs(self.amplitudes) @ np.exp(self.exponents.real * after))

    def time_below(self, target: float, *, settle: bool) -> float:
        """Return when the curve is first (or, if `settle`, for good) at or below `target`.

        Returns ``inf`` if that never happens.
        """
        if settle and not self.floor < target:
            return math.inf
        time, value = self._samples(target)
        return self._settled(time, value, target) if settle else self._first(time, value, target)

    def settles(self, target: float) -> tuple[float, "Dips"]:
        """Return when the curve is below `target` for good, and its dips until then."""
        if not self.floor < target:
            return math.inf, Dips()
        time, value = self._samples(target)
        settled = self._settled(time, value, target)
        shown = value[: np.searchsorted(time, settled)]
        above = np.flatnonzero(shown > target)
        later = np.maximum.accumulate(shown[::-1])[::-1]
        inner = (shown[1:-1] < shown[:-2]) & (shown[1:-1] <= shown[2:])
        places = 1 + np.flatnonzero(inner & (later[1:-1] > _RISE * shown[1:-1]))
        dips = Dips()
        if places.size:
            place = int(places[-1])
            lowest, after = float(shown[place]), float(later[place])
            if lowest > target:
                dips = Dips(places.size, float(time[place]), lowest / target)
            else:
                before = above[above < place]
                falls = float(time[before[-1]]) if before.size else 0.0
                dips = Dips(places.size, falls, after / target)
        return settled, dips

    def _first(self, time: Floats, value: Floats, target: float) -> float:
        above = value > target
        if above.all():
            return math.inf
        first = int(np.argmin(above))
        return self._crossing(float(time[first - 1]), float(time[first]), target) if first else 0.0

    def _settled(self, time: Floats, value: Floats, target: float) -> float:
        above = value > target
        last = int(np.flatnonzero(above)[-1]) if above.any() else -1
        peak = self._hidden_peak(time, value, target)
        if peak is not None and (last < 0 or peak > time[last]):
            return self._crossing(peak, float(time[np.searchsorted(time, peak)]), target)
        if last < 0:
            return 0.0
        if last + 1 == time.size:  # so slow that the end of the curve does not show its limit
            return math.inf
        return self._crossing(float(time[last]), float(time[last + 1]), target)

    def _crossing(self, low: float, high: float, target: float) -> float:
        """Return where the curve crosses `target` between a time above it and one below it."""
        value = self.between(low, high)

        def excess(t: float) -> float:
            return value(t) - target

        if excess(low) <= 0.0:
            return low
        if excess(high) > 0.0:
            return high
        return root_between(excess, low, high)

    def between(self, low: float, high: float) -> Callable[[float], float]:
        """Return the curve as a quick function of one time, from `low` to `high`."""
        panel = int(low / self.width)
        if high <= min(panel + 1, len(self.early)) * self.width:
            series = coefficients(self.early[panel]).tolist()

            def inside(t: float) -> float:
                x = 2.0 * (t / self.width - panel) - 1.0
                ahead = after = 0.0  # Clenshaw's recurrence for Legendre polynomials
                for k in range(len(series) - 1, 0, -1):
                    ahead, after = (
                        series[k] + (2 * k + 1) / (k + 1) * x * ahead - (k + 1) / (k + 2) * after,
                        ahead,
                    )
                return float(series[0] + x * ahead - 0.5 * after)

            return inside
        if low >= self.end and not self.beats and math.isfinite(self.floor):

            def late(t: float) -> float:
                waves = np.exp((t - self.end) * self.exponents)
                return self.floor + float((waves @ self.amplitudes).real)

            return late
        return lambda t: float(self(np.array([t]))[0])

    def _hidden_peak(self, time: Floats, value: Floats, target: float) -> float | None:
        """Return the last time of a local peak that exceeds `target` between two samples."""
        inner = (value[1:-1] >= value[:-2]) & (value[1:-1] >= value[2:])
        near = inner & (value[1:-1] <= target) & (value[1:-1] > 0.95 * target)
        for i in reversed(np.flatnonzero(near)):
            found: Any = minimize_scalar(
                lambda t: -float(self(np.array([t]))[0]),
                bounds=(float(time[i]), float(time[i + 2])), method="bounded",
            )  # fmt: skip
            if -float(found.fun) > target:
                return float(found.x)
        return None

    def _samples(self, target: float) -> tuple[Floats, Floats]:
        """Return times dense enough to see every crossing of `target`, and the curve there."""
        nodes = (np.arange(len(self.early))[:, None] + rules().nodes) * self.width
        late = self._late_times(target) if math.isfinite(self.floor) else np.empty(0)
        time = np.concatenate([[0.0], nodes.ravel(), late])
        value = np.concatenate([self(np.zeros(1)), self.early.ravel(), self(late)])
        return time, value

    def _late_times(self, target: float) -> Floats:
        """Return sampling times beyond the panels, up to where no wave can reach `target`."""
        level = self.floor + abs(target - self.floor)
        if self.amplitudes.size == 0 or self._envelope(0.0) <= level:
            return np.array([self.end, self.end + self.width])
        after = self.width
        while self._envelope(after) > level and after < 1e30 * self.width:
            after *= 2.0
        times = [np.zeros(1), np.geomspace(1e-2 * self.width, after, 500)]
        waves = self.exponents.imag != 0.0
        if waves.any():
            size, rate = np.abs(self.amplitudes[waves]), -self.exponents.real[waves]
            small = 1e-9 * max(level - self.floor, 1e-300)
            dead = np.log(np.maximum(size / small, 1.0)) / np.maximum(rate, 1e-300)
            until = min(after, float(dead.max()))
            fastest = float(np.abs(self.exponents.imag[waves][dead > 0]).max(initial=0.0))
            if fastest > 0.0:
                times.append(np.linspace(0.0, until, int(min(until * fastest / _FINE + 2, _MOST))))
        return self.end + np.unique(np.concatenate(times))
