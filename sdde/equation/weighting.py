"""Weights of grid states in an integral over the past.

Between grid times a path is a straight line, so an integral of it against a kernel is a sum over
grid states: state m steps ago has the integral of the kernel times its hat function, which is 1
there and 0 at all other grid times. Knows nothing of delays or paths.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.laws import Law

Floats = NDArray[np.float64]
_NODES, _SHARES = np.polynomial.legendre.leggauss(10)
_EXACT = 1e-14  # of a cell's integral, relative to the largest
_HALVINGS = 40


def law_weights(law: Law, end: float, dt: float) -> Floats:
    """Return the weights for the density of `law` on [0, end]; they sum to 1."""
    if law.kind == "constant" or len(law.points):
        points = np.array([law.mean]) if law.kind == "constant" else law.points
        mass = np.ones(1) if law.kind == "constant" else law.weights
        keep = points <= end
        place = points[keep] / dt
        near = np.round(place)
        place = np.where(np.abs(place - near) <= 1e-9 * np.maximum(1.0, near), near, place)
        below = np.floor(place).astype(np.int64)
        weights = np.zeros(int(below.max()) + 2)
        np.add.at(weights, below, mass[keep] * (1.0 - (place - below)))
        np.add.at(weights, below + 1, mass[keep] * (place - below))
        return _trimmed(weights / weights.sum())
    edges = _edges(end, dt)
    share = np.asarray(law.cdf(edges), dtype=float)
    share[0] = 0.0  # an atom at 0 belongs to the first cell
    area = _integrals(lambda s, left: np.asarray(law.cdf(s), dtype=float)[None], edges)[0]
    # By parts: the integral of (s - left) / dt dF is its end value minus that of F ds / dt.
    width = np.diff(edges)
    beyond = (width * share[1:] - area) / dt
    weights = np.zeros(len(edges))
    weights[:-1] += np.diff(share) - beyond
    weights[1:] += beyond
    return _trimmed(weights / weights.sum())


def kernel_weights(kernel: Callable[..., Any], end: float, dt: float) -> Floats:
    """Return the weights for a kernel function on [0, end]."""
    edges = _edges(end, dt)

    def integrands(s: Floats, left: Floats) -> Floats:
        value = _called(kernel, s)
        beyond = (s - left) / dt
        return np.stack([value * (1.0 - beyond), value * beyond])

    before, after = _integrals(integrands, edges)
    weights = np.zeros(len(edges))
    weights[:-1] += before
    weights[1:] += after
    return _trimmed(weights)


def _edges(end: float, dt: float) -> Floats:
    steps = max(1, math.ceil(end / dt - 1e-9))
    edges = dt * np.arange(steps + 1.0)
    edges[-1] = end
    return edges


def _trimmed(weights: Floats) -> Floats:
    used = np.flatnonzero(weights)
    return weights[: used[-1] + 1] if len(used) else weights[:1]


def _called(kernel: Callable[..., Any], s: Floats) -> Floats:
    flat = s.ravel()
    try:
        values = np.asarray(kernel(flat), dtype=float)
    except Exception:  # a function of one number
        values = np.empty(0)
    if values.shape != flat.shape:
        try:
            values = np.array([float(kernel(float(age))) for age in flat])
        except Exception as error:
            raise checks.fail(
                "kernel", kernel, f"failed ({type(error).__name__}: {error})",
                why="A kernel takes the age alone and returns a number.",
                remedy="For example kernel = lambda s: np.exp(-s).",
            ) from error  # fmt: skip
    if not np.isfinite(values).all():
        raise checks.fail(
            "kernel", kernel, f"is not finite at age {flat[~np.isfinite(values)][0]:g}",
            remedy="Give a kernel that is finite on (0, longest).",
        )  # fmt: skip
    return values.reshape(s.shape)


def _integrals(function: Callable[[Floats, Floats], Floats], edges: Floats) -> Floats:
    """Integrate over each cell by Gauss and Legendre's rule, halving cells until two agree.

    `function` takes ages and the left edges of their cells, and returns one row for each integrand.
    """
    left, right = edges[:-1], edges[1:]
    cell = np.arange(len(left))

    def gauss(low: Floats, high: Floats, cell: NDArray[np.int64]) -> Floats:
        half = (high - low)[:, None] / 2.0
        s = (low + high)[:, None] / 2.0 + half * _NODES
        return (function(s, np.broadcast_to(left[cell][:, None], s.shape)) * half) @ _SHARES

    whole = gauss(left, right, cell)
    total = [np.zeros(len(left)) for _ in whole]
    scale = _EXACT * float(np.abs(whole).max(initial=0.0))
    low, high = left, right
    for halving in range(_HALVINGS + 1):
        middle = (low + high) / 2.0
        first, second = gauss(low, middle, cell), gauss(middle, high, cell)
        rough = (np.abs(first + second - whole) > scale).any(axis=0) & (halving < _HALVINGS)
        for row, found in zip(total, (first + second)[:, ~rough], strict=True):
            np.add.at(row, cell[~rough], found)
        if not rough.any():
            break
        low, high = (
            np.concatenate([low[rough], middle[rough]]),
            np.concatenate([middle[rough], high[rough]]),
        )
        whole = np.concatenate([first[:, rough], second[:, rough]], axis=1)
        cell = np.concatenate([cell[rough], cell[rough]])
    return np.stack(total)
