"""Rows of noise for methods that share a Brownian path between time steps.

Row g holds the increments of step ``n + g``, divided by the square root of the step: sums over the
`fine` finest steps in it, drawn by address or recorded by the user. A mirrored path takes those of
the path before it with the opposite sign. Nothing here knows about equations.
"""

import math

import numpy as np
from numba import njit

from sdde.engine.kernels.memory import floats_of
from sdde.engine.kernels.normals import fill, fill_steps
from sdde.engine.streams import NOISE

_ROWS = 64  # finest steps drawn at a time, an even number

_inline = njit(error_model="numpy", fastmath=False, forceinline=True)


@_inline
def _add_up(z, raw, begin, count, fine, mirrored, width):
    """Add `count` finest rows, of which the first is `begin` after the start of `z`."""
    columns = z.shape[1]
    for r in range(count):
        row, target = raw[r], z[(begin + r) // fine]
        for k in range(columns):
            target[k] += row[k]
    done = (begin + count) // fine  # rows of z that are complete
    for g in range(begin // fine, done):
        if fine > 1:
            for k in range(columns):
                z[g, k] *= 1.0 / math.sqrt(fine)
        if mirrored:
            for k in range(0, columns - columns % 2 if width > 1 else 0, 2):
                z[g, k + 1] = -z[g, k]


def summed_of_paths(
    z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):
    """Fill rows for a block of paths from normals at their addresses."""
    width = z.shape[1] // channels
    raw = np.empty((_ROWS, channels * width))
    z[:steps] = 0.0
    for begin in range(0, steps * fine, _ROWS):
        count = min(_ROWS, steps * fine - begin)
        rows = floats_of(raw, (count, channels, width))
        fill(rows, n * fine + begin, first, k0, k1, NOISE)
        _add_up(z, raw, begin, count, fine, mirrored, width)


def summed_of_steps(
    z, n, steps, path, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):
    """Fill rows for a single path from normals at their addresses."""
    raw = np.empty((_ROWS, channels))
    z[:steps] = 0.0
    for begin in range(0, steps * fine, _ROWS):
        count = min(_ROWS, steps * fine - begin)
        fill_steps(raw[:count], n * fine + begin, path, k0, k1, NOISE)
        _add_up(z, raw, begin, count, fine, mirrored, 1)


def recorded_of_paths(
    z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):
    """Fill rows from recorded increments (paths, finest steps, channels), of variance 1."""
    width = z.shape[1] // channels
    lanes = min(width, len(recorded) - first)
    z[:steps] = 0.0
    for g in range(steps):
        for lane in range(lanes):
            for c in range(channels):
                total = 0.0
                for r in range((n + g) * fine, (n + g + 1) * fine):
                    total += recorded[first + lane, r, c]
                z[g, c * width + lane] = total / math.sqrt(fine)
