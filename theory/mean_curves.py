r"""Means of linear delay equations with random delays: the kernel, the mean, and how they end.

One coordinate is pulled back towards zero by gradients that were computed at the state one random
delay ago. With time in units of the mean delay and damping *u*,

.. math:: K' = -u\,E K(t - S),\quad m = 1 - u\int_0^t K,

exactly: *K* is the answer to a kick, *m* the mean of a start at 1 that held until time zero. All
dampings are marched together on panels (`panels`) until the fast part has died; from there the
slowest exponentials, roots of the characteristic equation, continue the curves for ever. Nothing
here knows about noise, workers, learning rates or losses. Derived in this project.
"""

import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .panels import ORDER, Past, delay_operator, lagrange, rules
from .root_locus import polish

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

HORIZON = 40.0  # mean delays after which only the slowest exponentials are left
LONGEST = 160.0  # the same for laws whose tail is slower than that
_READABLE = 1e-8  # a kernel above this is far from rounding
_FADED = 1e-3  # below this a kernel that does not end as an exponential leaves nothing to continue
_RARE = 1e-9  # probability of delays that need not fit in the horizon twice
_DEAD = 1e-17  # a squared exponential below this has no part in the continuation


class MeanCurves:
    """Kernel and mean for many dampings under one delay law of mean one.

    Parameters
    ----------
    law : Law
        Law of the delay, with mean one.
    damping : array, shape (modes,)
        Dampings *u* > 0, dimensionless.
    """

    def __init__(self, law: Law, damping: Floats) -> None:
        self.damping = np.asarray(damping, dtype=float)
        self.law = law
        self.width, self.panels, self._beat = _grid(law, float(self.damping.max()))
        self.end = self.width * self.panels
        self.kernel, self.mean = self._march()

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
            exponents, amplitudes = squared_waves(s, c)
            tail = wave_integral(amplitudes, exponents, self.end).real
        return np.where(self.unstable, np.inf, inside + np.where(self.live, tail, 0.0))

    @cached_property
    def slow(self) -> tuple[Complexes, Complexes, Complexes]:
        """Dominant roots, and their amplitudes in the kernel and in the mean.

        Under a law with a heavy tail the kernel of a fast mode ends as that tail, not as an
        exponential: then nothing of it is continued.
        """
        s = self._roots()
        slope = -np.asarray(self.law.laplace(s, power=1), dtype=complex)
        with np.errstate(all="ignore"):
            c = np.asarray(1.0 / (1.0 + self.damping * slope), dtype=complex)
            d = np.asarray(-self.damping * c / s, dtype=complex)
            times = self.nodes[-1]
            waves = (c[:, None] * np.exp(s[:, None] * times)).real
            waves *= np.where(s.imag == 0.0, 1.0, 2.0)[:, None]
            last = self.kernel[:, -1]
            size = np.abs(last).max(axis=1)
            matched = np.abs(waves - last).max(axis=1) <= 0.05 * size
        faded = ~matched & (size < _FADED)
        s[faded], c[faded], d[faded] = 0.5 * math.log(0.5 * _DEAD) / self.end, 0.0, 0.0
        return s, c, d

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Whether anything is left of a mode at the horizon."""
        return np.exp(2.0 * self.slow[0].real * self.end) > _DEAD

    @cached_property
    def unstable(self) -> NDArray[np.bool_]:
        """Whether the mean of a mode does not converge."""
        return self.slow[0].real >= 0.0

    def _march(self) -> tuple[Floats, Floats]:
        operator, _ = delay_operator(self.law, self.width, self.panels)
        rule = rules()
        modes, step = len(self.damping), self.damping * self.width
        behind = Past(operator)
        implicit = np.eye(ORDER) + step[:, None, None] * (rule.integral @ operator[0])
        solve = np.linalg.inv(implicit).transpose(0, 2, 1)
        kernel = np.empty((modes, self.panels, ORDER))
        mean = np.empty_like(kernel)
        value, average = np.ones(modes), np.ones(modes)
        for k in range(self.panels):
            past = behind(kernel, k)
            right = value[:, None] - step[:, None] * (past @ rule.integral.T)
            kernel[:, k] = (right[:, None, :] @ solve)[:, 0]
            delayed = past + kernel[:, k] @ operator[0].T
            value = value - step * (delayed @ rule.weights)
            mean[:, k] = average[:, None] - step[:, None] * (kernel[:, k] @ rule.integral.T)
            average = average - step * (kernel[:, k] @ rule.weights)
        return kernel, mean

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


def mean_curves(law: Law, damping: Floats) -> MeanCurves:
    """Return the curves, from memory if they were asked for lately."""
    return _mean_curves(law, damping.tobytes())


@lru_cache(maxsize=16)
def _mean_curves(law: Law, damping: bytes) -> MeanCurves:
    return MeanCurves(law, np.frombuffer(damping))


def _grid(law: Law, largest: float) -> tuple[float, int, float]:
    """Return panel width, number of panels, and a time in which no wave makes half a turn."""
    end = HORIZON
    if math.isfinite(law.highest):
        rare = law.quantile(np.array([1.0 - _RARE])).item()
        end = max(end, min(2.0 * rare, LONGEST))
    else:
        end = max(end, min(HORIZON / max(-law.convergence_abscissa, 1e-9), LONGEST))
    width = 1.0
    if law.kind == "constant" or 0.25 <= law.lowest <= 1.0:
        width = law.lowest  # panels then end where the curves have kinks
    elif law.kind == "continuous" and math.isfinite(law.highest):
        width = law.highest / math.ceil(law.highest)
    smooth = isinstance(law.source, Law) and law.source.kind == "continuous"  # its tail is cut
    if law.kind in ("measured", "discrete") and not smooth:
        width = min(width, 0.5)
    # On the imaginary axis a root at w needs damping w / |phi(iw)|: the fastest wave that matters.
    frequency = np.geomspace(1e-2, 1.0, 40) * max(largest, 1.0)
    needed = frequency / np.maximum(np.abs(law.laplace(1j * frequency)), 1e-12)
    fastest = float(frequency[min(np.searchsorted(needed, largest), 39)])
    width /= max(1, math.ceil(fastest * width / 1.8))
    return width, math.ceil(end / width), min(1.0, 1.2 / fastest)


def squared_waves(s: Complexes, f: Complexes) -> tuple[Complexes, Complexes]:
    """Return exponents and amplitudes of the square of a dominant wave, shape (modes, 3)."""
    real = s.imag == 0.0
    exponents = np.stack([2.0 * s.real + 0j, 2.0 * s, 2.0 * s.conj()], axis=1)
    absolute = np.abs(f) ** 2
    pair = np.where(real, 0.0, f**2)
    both = np.where(real, absolute, 2.0 * absolute) + 0j
    return exponents, np.stack([both, pair, pair.conj()], axis=1)


def wave_integral(amplitudes: Complexes, gap: Complexes, end: float) -> Complexes:
    """Return the integrals beyond `end` of sums of waves with exponents `gap` (modes, waves)."""
    parts = np.where(amplitudes == 0.0, 0.0, amplitudes * np.exp(gap * end) / gap)
    return -np.sum(parts, axis=1)
