"""Second moments in time of linear delay equations with noise, from a known history.

Additive noise needs one integral of the fundamental solution; noise that depends on the state
needs the renewal equation of `mean_square` first. Knows nothing about stationarity.
"""

from itertools import pairwise

import numpy as np

from .coefficients import Coefficients
from .numerics import Floats, gauss, interpolation
from .piecewise import DEGREE, Piecewise, panel


def additive_variance(solution: Piecewise, noise: Floats, t: Floats) -> Floats:
    """Return the integral from 0 to t of K B B^T K^T, shape ``t.shape + (dim, dim)``."""
    times, where = np.unique(np.maximum(t, 0.0), return_inverse=True)
    end = max(float(times[-1]), 0.0) if times.size else 0.0
    breaks = np.unique(np.concatenate([solution.breaks[solution.breaks < end], times, [0.0, end]]))
    nodes, weights = Piecewise(breaks, solution.values, solution.history).quadrature(end)
    if not nodes.size:
        return np.zeros((*t.shape, len(noise), len(noise)))
    push = solution.inside(nodes) @ noise
    parts = weights[:, None, None] * (push @ np.swapaxes(push, -1, -2))
    panels = parts.reshape(len(breaks) - 1, -1, *parts.shape[1:]).sum(axis=1)
    total = np.concatenate([np.zeros((1, *parts.shape[1:])), np.cumsum(panels, axis=0)])
    return total[np.searchsorted(breaks, times)][where].reshape(*t.shape, *parts.shape[1:])


def renewal_variance(
    c: Coefficients, solution: Piecewise, mean: Piecewise, end: float, t: Floats
) -> Floats:
    """Return the covariance at `t` for noise that depends on the state; fixed delays only.

    Solves the renewal equation of `mean_square` for Q panel by panel, then folds Q with K.
    """
    dim, delays = len(c.instant), [law.mean for law in c.laws]
    breaks = np.append(solution.breaks[solution.breaks < end], end)
    passed = [solution.breaks, *(solution.breaks + delay for delay in delays)]
    edges = np.unique(np.concatenate(passed))
    edges = edges[np.append(True, np.diff(edges) > 1e-12 * end)]

    def kernel(u: Floats) -> Floats:
        total = np.zeros((len(u), dim * dim, dim * dim))
        reads = [solution(u), *(solution(u - delay) for delay in delays)]
        for k in range(c.noise.shape[1]):
            h = sum((g[k] @ r for g, r in zip(c.gains, reads, strict=True)), np.zeros((dim, dim)))
            total += np.einsum("nab,ncd->nacbd", h, h).reshape(len(u), dim * dim, dim * dim)
        return total

    def source(at: Floats) -> Floats:
        reads = [mean(at), *(mean(at - delay) for delay in delays)]
        g = np.broadcast_to(c.noise, (len(at), *c.noise.shape)).copy()
        for gain, read in zip(c.gains, reads, strict=True):
            g += np.einsum("kab,nb->nak", gain, read[..., 0])
        return (g @ np.swapaxes(g, -1, -2)).reshape(len(at), dim * dim)

    x, bary, _, _ = panel()
    values = np.zeros((len(breaks) - 1, DEGREE + 1, dim * dim, 1))
    noise = Piecewise(breaks, values, mean.history)
    for k, (low, high) in enumerate(pairwise(breaks)):
        times = low + (high - low) * x
        right = source(times)
        system = np.eye((DEGREE + 1) * dim * dim).reshape(DEGREE + 1, dim * dim, DEGREE + 1, -1)
        for i, at in enumerate(times):
            u, w = _pieces(breaks, edges, float(at))
            fold = w[:, None, None] * kernel(at - u)
            before = u < low
            if before.any():
                known = noise.inside(u[before], k)
                right[i] += np.einsum("nab,nb->a", fold[before], known[..., 0])
            if not before.all():
                rows = interpolation(x, bary, (u[~before] - low) / (high - low))
                system[i] -= np.einsum("nab,np->apb", fold[~before], rows)
        flat = (DEGREE + 1) * dim * dim
        solved = np.linalg.solve(system.reshape(flat, flat), right.ravel())
        values[k] = solved.reshape(DEGREE + 1, dim * dim, 1)

    out = []
    for at in np.maximum(t.ravel(), 0.0):
        u, w = _pieces(breaks, edges, float(at))
        push = solution(at - u)
        q = noise.inside(u)[..., 0].reshape(-1, dim, dim)
        out.append(np.einsum("n,nab,nbc,ndc->ad", w, push, q, push, optimize=True))
    return np.reshape(out, (*t.shape, dim, dim))


def _pieces(breaks: Floats, edges: Floats, at: float) -> tuple[Floats, Floats]:
    """Return Gauss nodes and weights on [0, at], cut at `breaks` and at `at` minus `edges`."""
    cuts = np.concatenate([breaks, at - edges, [0.0, at]])
    cuts = np.unique(cuts[(cuts >= 0.0) & (cuts <= at)])
    cuts = cuts[np.append(True, np.diff(cuts) > 1e-13 * (1.0 + at))]
    points, masses = gauss(14)
    width = np.diff(cuts)
    return (cuts[:-1, None] + width[:, None] * points).ravel(), (width[:, None] * masses).ravel()
