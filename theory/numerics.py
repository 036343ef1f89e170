"""Small numerical tools of the theory: Chebyshev nodes, interpolation, Gauss rules, roots.

Plain functions of numbers and arrays; nothing here knows about delays.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import lambertw

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


def chebyshev(count: int, length: float) -> tuple[Floats, Floats, Floats]:
    """Return nodes on [-length, 0] from 0 down, the differentiation matrix, barycentric weights."""
    k = np.arange(count + 1)
    x: Floats = np.cos(np.pi * k / count)
    weights: Floats = np.where(k % 2 == 0, 1.0, -1.0)
    weights[[0, -1]] *= 0.5
    gap = x[:, None] - x[None, :]
    np.fill_diagonal(gap, 1.0)
    derivative: Floats = weights[None, :] / weights[:, None] / gap
    np.fill_diagonal(derivative, 0.0)
    np.fill_diagonal(derivative, -derivative.sum(axis=1))
    return (x - 1.0) * (length / 2.0), derivative * (2.0 / length), weights


def interpolation(nodes: Floats, weights: Floats, at: Floats) -> Floats:
    """Return the matrix that takes values at `nodes` to the interpolant's values at `at`."""
    gap = np.asarray(at, dtype=float)[:, None] - nodes[None, :]
    exact = np.abs(gap) < 1e-280  # at a node, or so near that its inverse is no number
    gap[exact] = 1.0
    terms: Floats = weights / gap
    hit = exact.any(axis=1)
    terms[hit] = exact[hit]
    return terms / terms.sum(axis=1, keepdims=True)


@lru_cache(maxsize=16)
def gauss(count: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(count)
    return (x + 1.0) / 2.0, w / 2.0


def bracketed(f: Callable[[float], float], low: float, high: float) -> float:
    """Return a root of `f` between two points of opposite sign, to rounding."""
    root: Any = brentq(f, low, high, xtol=1e-300, rtol=np.float64(4.0 * np.finfo(float).eps))
    return float(root)


def lambert_w(z: Any, branch: Any = 0) -> Complexes:
    """Return the Lambert W function, also at its branch point -1/e where SciPy gives ``nan``."""
    at = np.asarray(z, dtype=complex)
    value: Complexes = np.asarray(lambertw(at, branch))
    at_branch_point = np.isnan(value) & (np.abs(at + np.exp(-1.0)) < 1e-15)
    return np.asarray(np.where(at_branch_point, -1.0, value), dtype=complex)
