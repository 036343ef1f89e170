"""The driver: runs a chunk over blocks of paths, supplies noise, watches, and keeps what is saved.

One block holds `width` neighbouring paths. Its grid states go round in `ring`, which is deep enough
for the longest delay and for all the rows of one chunk, so chunks end where the noise buffer ends
and nowhere else: what is saved cannot change a path. A state that leaves the bounds becomes nan,
which nothing heals. The driver is compiled once; which model it runs is a function pointer.
"""

import math

import numpy as np
from numba import float64, int8, int64, njit, types, uint64, void

from sdde.engine.streams import ARRIVALS, NOISE, exponential, normal_pair

DONE, DIVERGED, INTERRUPTED = 0, 1, 2

_F1, _F2, _F3 = float64[::1], float64[:, ::1], float64[:, :, ::1]
_I1, _I2 = int64[::1], int64[:, ::1]

# ring, past, z | now, n, steps, lanes, first, histories | t0, dt, root | delays, lags, shares, p |
# keys, upcoming, counts, rates, tables, starts, flags
CHUNK = void(
    _F2, _F3, _F2, int64, int64, int64, int64, int64, int64, float64, float64, float64,
    _F1, _I1, _F1, _F1, uint64[::1], _F2, _I2, _F1, _F1, _I1, _I1,
)  # fmt: skip

# chunk | first, last, width, group, slots, channels, n_steps | t0, t1, dt, limit |
# delays, lags, shares, p, past | keys, rates, tables, starts | save_steps, save_shares, out, codes,
# ended | stop, flags
DRIVE = void(
    types.FunctionType(CHUNK), int64, int64, int64, int64, int64, int64, int64,
    float64, float64, float64, float64, _F1, _I1, _F1, _F1, _F3, uint64[::1], _F1, _F1, _I1,
    _I1, _F1, _F3, int8[::1], _F1, _I1, _I1,
)  # fmt: skip

_inline = njit(error_model="numpy", fastmath=False)


@_inline
def _fill(z, n, first, lanes, width, channels, keys):
    """Write the normals from the even step `n` on: row g, column channel * width + lane."""
    for g in range(0, len(z), 2):
        for channel in range(channels):
            for lane in range(lanes):
                a, b = normal_pair(keys[0], keys[1], first + lane, (n + g) // 2, channel, NOISE)
                z[g, channel * width + lane] = a
                z[g + 1, channel * width + lane] = b


@_inline
def _begin(ring, past, lags, first, lanes, width):
    """Put the start and the states that fixed delays reach back to into the ring."""
    histories, known, dim = past.shape
    deepest = 0
    for lag in lags:
        deepest = max(deepest, lag + 1)
    for r in range(min(deepest + 1, len(ring))):
        row = ring[-r]
        for i in range(dim):
            for lane in range(lanes):
                row[i * width + lane] = past[(first + lane) % histories, min(r, known - 1), i]


@_inline
def _leaves(row, dim, lanes, width, limit):
    """Return whether some state in a row is nan or beyond `limit`."""
    bad = 0
    for i in range(dim):
        for lane in range(lanes):
            bad += not abs(row[i * width + lane]) <= limit
    return bad > 0


@_inline
def _end_lanes(ring, now, n, steps, dim, lanes, width, limit, ended_at):
    """Turn the states of lanes that left the bounds into nan from then on, and note the step."""
    slots = len(ring)
    for g in range(1, steps + 1):
        row = ring[(now + g) % slots]
        for lane in range(lanes):
            bad = ended_at[lane] >= 0
            for i in range(dim):
                bad |= not abs(row[i * width + lane]) <= limit
            if bad:
                if ended_at[lane] < 0:
                    ended_at[lane] = n + g
                for i in range(dim):
                    row[i * width + lane] = math.nan


@_inline
def _save(ring, now, n, step, share, dim, lanes, width, out, first, column):
    """Keep the states at a grid index `step` <= `n`, or a share of the step beyond it."""
    slots = len(ring)
    before = now - (n - step)
    if before < 0:
        before += slots
    after = before + 1 if before + 1 < slots else 0
    for lane in range(lanes):
        for i in range(dim):
            value = ring[before, i * width + lane]
            if share > 0.0:
                value = value + share * (ring[after, i * width + lane] - value)
            out[first + lane, column, i] = value


def drive(
    chunk, first, last, width, group, slots, channels, n_steps, t0, t1, dt, limit,
    delays, lags, shares, p, past, keys, rates, tables, starts,
    save_steps, save_shares, out, codes, ended, stop, flags,
):  # fmt: skip
    """Run paths `first` to `last`, the first a whole number of blocks."""
    histories, _, dim = past.shape
    ring = np.zeros((slots, dim * width))
    z = np.zeros((group, max(channels, 1) * width))
    upcoming = np.empty((len(rates), width))
    counts = np.zeros((len(rates), width), dtype=np.int64)
    ended_at = np.empty(width, dtype=np.int64)
    root = math.sqrt(dt)
    for block in range(first, last, width):
        lanes = min(width, last - block)
        _begin(ring, past, lags, block, lanes, width)
        ended_at[:] = -1
        counts[:] = 0
        for q in range(len(rates)):
            for lane in range(lanes):
                gap = exponential(keys[0], keys[1], block + lane, 0, q, ARRIVALS)
                upcoming[q, lane] = t0 + gap / rates[q]
        now, n, column = 0, 0, 0
        while column < len(save_steps) and save_steps[column] == 0 and save_shares[column] == 0.0:
            _save(ring, now, n, 0, 0.0, dim, lanes, width, out, block, column)
            column += 1
        living = True
        while n < n_steps and living and stop[0] == 0:
            if channels > 0:
                _fill(z, n, block, lanes, width, channels, keys)
            steps = min(group, n_steps - n)
            chunk(
                ring, past, z, now, n, steps, lanes, block, histories, t0, dt, root,
                delays, lags, shares, p, keys, upcoming, counts, rates, tables, starts, flags,
            )  # fmt: skip
            for g in range(1, steps + 1):
                if _leaves(ring[(now + g) % slots], dim, lanes, width, limit):
                    _end_lanes(ring, now, n, steps, dim, lanes, width, limit, ended_at)
                    living = ended_at[:lanes].min() < 0
                    break
            n += steps
            now = (now + steps) % slots
            while (
                column < len(save_steps) and save_steps[column] + (save_shares[column] > 0.0) <= n
            ):
                _save(
                    ring, now, n, save_steps[column], save_shares[column], dim, lanes, width,
                    out, block, column,
                )  # fmt: skip
                column += 1
        for lane in range(lanes):
            path = block + lane
            out[path, column:] = math.nan
            if ended_at[lane] >= 0:
                codes[path] = DIVERGED
                ended[path] = min(t0 + ended_at[lane] * dt, t1)
            elif n < n_steps:
                codes[path] = INTERRUPTED
                ended[path] = t0 + n * dt
            else:
                codes[path] = DONE
                ended[path] = t1
