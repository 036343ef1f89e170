r"""Functions of time on an even grid, and their generating functions on a circle.

A function known at the times :math:`0, h, 2h, \dots` has the transform :math:`\sum_k f_k z^k`, with
:math:`z = e^{-sh}`. Evaluated on a circle by FFT, equations that convolve functions become
arithmetic, and functions of time come back by the inverse FFT. Derivatives become :math:`s \approx
\frac2h\frac{1-z}{1+z}` (trapezoidal rule), and a law puts its mass on the two neighbouring grid
times so that its mean is kept; both are right to second order in *h*. Where a function jumps at
zero its value there is the mean of both sides. Nothing here knows workers.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

CELLS = 640  # grid times that are kept
_LENGTH = 2 * CELLS
GROWTH = -math.log(1e-12) / _LENGTH  # per grid time, of the fastest function that can be restored
_LEFT = 1e-12  # size of what wraps around, which is also how much rounding grows at late times
POWERS: Floats = (_LEFT ** (1.0 / _LENGTH)) ** np.arange(CELLS)
_CIRCLE: Complexes = _LEFT ** (1.0 / _LENGTH) * np.exp(
    -2j * np.pi * np.arange(_LENGTH // 2 + 1) / _LENGTH
)
SLOPE: Complexes = 2.0 * (1.0 - _CIRCLE) / (1.0 + _CIRCLE)  # the Laplace variable times the step


def transformed(function: Floats) -> Complexes:
    """Return the generating functions of values along the last axis."""
    return np.fft.rfft(function * POWERS, _LENGTH, axis=-1)


def restored(transform: Complexes) -> Floats:
    """Return the values that have these generating functions."""
    return np.fft.irfft(transform, _LENGTH, axis=-1)[..., :CELLS] / POWERS


def halved(function: Floats) -> Floats:
    """Return the values with the first at half weight, as an integral from zero takes them."""
    out = np.array(function)
    out[..., 0] *= 0.5
    return out


def integral(function: Floats, step: Floats) -> Floats:
    """Return the integrals from zero to each grid time, of values that are mean values at jumps."""
    out = np.asarray(step * (np.cumsum(function, axis=-1) - 0.5 * function))
    out[..., 0] = 0.0
    return out


def correlation(first: Floats, second: Floats) -> Floats:
    """Return ``sum_k first[k] second[k + j]`` for each shift j >= 0."""
    return uncircled(np.conj(circled(first)) * circled(second))


def circled(function: Floats) -> Complexes:
    """Return transforms on the unit circle; products of them convolve."""
    return np.fft.rfft(function, _LENGTH, axis=-1)


def uncircled(transform: Complexes) -> Floats:
    """Return the values that have these transforms on the unit circle."""
    return np.fft.irfft(transform, _LENGTH, axis=-1)[..., :CELLS]


@lru_cache(maxsize=512)
def masses(law: Law, step: float) -> Floats:
    """Return the probabilities of the grid times, `step` in the unit of the law.

    Each value is shared between its two neighbours; what lies beyond the grid sits at its end.
    """
    points, weights = law.nodes()
    place = np.minimum(points / step, CELLS - 2.0)
    cell = np.floor(place + 1e-9).astype(int)
    share = np.maximum(place - cell, 0.0)
    weights = weights / weights.sum()
    out: Any = np.bincount(cell, weights * (1.0 - share), CELLS)
    return out + np.bincount(cell + 1, weights * share, CELLS)
