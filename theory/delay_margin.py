r"""The largest delays a linear system tolerates: the first crossing of the imaginary axis.

All delays are stretched by one factor theta. A root :math:`i\omega` at stretch theta is an
eigenvalue :math:`i\omega` of :math:`M(v)=A_0+\sum_jA_j\phi_j(iv)` with :math:`v=\omega\theta`. So
the sweep is over the one number v: wherever an eigenvalue of M(v) meets the axis, at height omega >
0, the stretch :math:`\theta=v/\omega` is critical. Derived in this project; for one fixed delay and
scalar coefficients it gives :math:`\tau=\arccos(-a/b)/\sqrt{b^2-a^2}`. Knows nothing about noise.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from .numerics import Complexes
from .root_locus import reach
from .spectrum import Spectrum

STEP = 0.02  # of v times the longest delay
LARGEST_PHASE = 200.0  # v times the longest delay at which the sweep gives up


def critical_stretch(spectrum: Spectrum) -> float:
    """Return the factor on all delays at which stability is first lost.

    0 if the system is unstable without any delay, ``inf`` if no crossing is found.
    """
    without = spectrum.instant + sum(spectrum.delayed, np.zeros_like(spectrum.instant))
    if np.linalg.eigvals(without).real.max() >= 0.0:
        return 0.0
    longest = max((reach(law) for law in spectrum.laws), default=0.0)
    if longest == 0.0:
        return math.inf

    def eigenvalues(v: ArrayLike) -> Complexes:
        s = 1j * np.asarray(v, dtype=float)
        matrix = s[..., None, None] * np.eye(spectrum.dim) - spectrum.matrix(s)
        return np.asarray(np.linalg.eigvals(matrix), dtype=complex)

    size = spectrum.radius(0.0)
    shortest = min(law.mean for law in spectrum.laws if law.mean > 0.0)
    step = STEP / longest
    chunk, best, start = 512, math.inf, 0.0
    # A root is at most `size` in absolute value, so v = omega theta < size * best ends the search.
    while start < min(size * best, LARGEST_PHASE / shortest):
        v = start + step * np.arange(chunk + 1)
        unstable = (eigenvalues(v).real > 0.0).sum(axis=1)
        for i in np.flatnonzero(unstable[:-1] != unstable[1:]):
            low, high, below = float(v[i]), float(v[i + 1]), int(unstable[i])
            while high - low > 4e-16 * high:
                middle = (low + high) / 2.0
                if middle in (low, high):
                    break
                if int((eigenvalues(np.array(middle)).real > 0.0).sum()) == below:
                    low = middle
                else:
                    high = middle
            values = eigenvalues(np.array(high))
            omega = float(values[np.argmin(np.abs(values.real))].imag)
            if omega > 1e-9 * size:
                best = min(best, high / omega)
        start = float(v[-1])
    return best
