"""The driver: runs a chunk over blocks of paths, supplies noise, watches, and keeps what is saved.

One block holds `width` neighbouring paths. Its grid states go round in `ring`, which is deep enough
for the longest delay and for all the rows of one chunk, so chunks end where the noise buffer ends
and nowhere else: what is saved cannot change a path. Every 32 steps a path beyond the bounds turns
to nan, which nothing heals. The driver is compiled once; the model it runs and the noise are
addresses of machine code.
"""

import math

from numba import njit

from sdde.engine.kernels.calling import call_at
from sdde.engine.kernels.memory import floats_of
from sdde.engine.kernels.normals import fill, fill_steps
from sdde.engine.kernels.signatures import CHUNK, DIVERGED, DONE, INTERRUPTED, NOISE_FILL, WATCH
from sdde.engine.streams import ARRIVALS, NOISE, exponential

_call_chunk, _call_noise = call_at(CHUNK), call_at(NOISE_FILL)
_inline = njit(error_model="numpy", fastmath=False, forceinline=True)


@_inline
def _clear(ring):
    for row in ring:
        for k in range(len(row)):
            row[k] = 0.0


@_inline
def _begin(ring, past, lags, first, width):
    """Put the start and the states that fixed delays reach back to into the ring."""
    histories, known, dim = past.shape
    deepest = 0
    for lag in lags:
        deepest = max(deepest, lag + 1)
    for r in range(min(deepest + 1, len(ring))):
        row = ring[len(ring) - r if r > 0 else 0]
        for i in range(dim):
            for lane in range(width):
                own = (first + lane) % histories
                row[i * width + lane] = past[own, min(r, known - 1), i]


@_inline
def _watch(ring, now, n, steps, dim, width, limit, ended_at):
    """Look for lanes that have left the bounds, each time `WATCH` steps are done and at the end.

    Their states turn to nan from the first step beyond the bounds; `ended_at` notes that step.
    """
    slots, columns = ring.shape
    for start in range(0, steps, WATCH):
        count = min(WATCH, steps - start)
        row = now + start + count
        row -= slots if row >= slots else 0
        bad = 0
        for k in range(columns):
            bad += not abs(ring[row, k]) <= limit
        if bad > 0:
            first_row = now + start + 1
            _end_lanes(ring, first_row, n + start + 1, count, dim, width, limit, ended_at)


@_inline
def _end_lanes(ring, row, n, count, dim, width, limit, ended_at):
    """End the lanes that are out of bounds in the last of `count` rows, the first for index `n`."""
    slots = len(ring)
    last = ring[(row + count - 1) % slots]
    for lane in range(width):
        ends = False
        for i in range(dim):
            ends |= not abs(last[i * width + lane]) <= limit
        beyond = ended_at[lane] >= 0
        for g in range(count if ends else 0):
            states = ring[(row + g) % slots]
            for i in range(dim):
                beyond |= not abs(states[i * width + lane]) <= limit
            if beyond:
                if ended_at[lane] < 0:
                    ended_at[lane] = n + g
                for i in range(dim):
                    states[i * width + lane] = math.nan


@_inline
def _save_rows(ring, row, count, lanes, width, out, first, column):
    """Keep `count` rows of the ring that follow one another, as columns of `out`."""
    dim = out.shape[2]
    for lane in range(lanes):
        kept = out[first + lane]
        for i in range(dim):
            source = i * width + lane
            for k in range(count):
                kept[column + k, i] = ring[row + k, source]


@_inline
def _save_between(ring, row, share, lanes, width, out, first, column):
    """Keep the states a share of a step after a row of the ring."""
    dim = out.shape[2]
    after = row + 1 if row + 1 < len(ring) else 0
    for lane in range(lanes):
        for i in range(dim):
            value = ring[row, i * width + lane]
            value = value + share * (ring[after, i * width + lane] - value)
            out[first + lane, column, i] = value


@_inline
def _save(ring, now, n, lanes, width, saves, out, first, place):
    """Keep what is known at grid index `n` from a place (span, index in it, column) on.

    Return the next place. Span (step, every, count) stands for the grid indices step,
    step + every, ...; with a share they are read that share of a step later.
    """
    spans, shares = saves
    span, index, column = place
    slots = len(ring)
    while span < len(spans):
        step, every, count = spans[span]
        share = shares[span]
        step += index * every
        if step + (share > 0.0) > n:
            break
        row = now - (n - step)
        if row < 0:
            row += slots
        kept = 1
        if share > 0.0:
            _save_between(ring, row, share, lanes, width, out, first, column)
        else:
            if every == 1:
                kept = min(count - index, n - step + 1, slots - row)
            _save_rows(ring, row, kept, lanes, width, out, first, column)
        index += kept
        column += kept
        if index == count:
            span += 1
            index = 0
    return span, index, column


def noise_of_paths(z, n, steps, first, channels, k0, k1, fine, mirrored, recorded):
    """Fill all rows with normals for a block of paths, from step `n` on."""
    shape = (len(z), channels, z.shape[1] // channels)
    fill(floats_of(z, shape), n, first, k0, k1, NOISE)


def noise_of_steps(z, n, steps, path, channels, k0, k1, fine, mirrored, recorded):
    """Fill all rows with normals for a single path, from step `n` on."""
    fill_steps(z, n, path, k0, k1, NOISE)


def fill_noise(noise, z, n, steps, first, channels, k0, k1, fine, mirrored, recorded):
    """Fill rows with the noise at an address, for callers in Python."""
    _call_noise(noise, (z, n, steps, first, channels, k0, k1, fine, mirrored, recorded))


def drive(
    chunk, noise, ring, z, upcoming, counts, ended_at, first, last, channels, n_steps,
    t0, t1, dt, limit, delays, lags, shares, p, past, keys, rates, tables, starts,
    save_spans, save_shares, out, kept_from, codes, ended, stop, flags, fine, mirrored, recorded,
):  # fmt: skip
    """Run paths `first` to `last`, the first a whole number of blocks.

    Row 0 of `out` is path `kept_from`. The arguments are described in `signatures.DRIVE`.
    """
    histories, _, dim = past.shape
    slots, group, width = len(ring), len(z), len(ended_at)
    saves = (save_spans, save_shares)
    root = math.sqrt(dt)
    for block in range(first, last, width):
        lanes = min(width, last - block)
        if lanes < width:
            _clear(ring)  # lanes that no path uses may stay as they are
        _begin(ring, past, lags, block, width)
        for lane in range(width):
            ended_at[lane] = -1
        for q in range(len(rates)):
            for lane in range(lanes):
                counts[q, lane] = 0
                gap = exponential(keys[0], keys[1], block + lane, 0, q, ARRIVALS)
                upcoming[q, lane] = t0 + gap / rates[q]
        now, n, living = 0, 0, True
        place = _save(ring, now, n, lanes, width, saves, out, block - kept_from, (0, 0, 0))
        while n < n_steps and living and stop[0] == 0 and flags[0] == 0:
            steps = min(group, n_steps - n)
            if channels > 0:
                wanted = (
                    z, n, steps, block, channels, keys[2], keys[3], fine, mirrored, recorded,
                )  # fmt: skip
                _call_noise(noise, wanted)
            arguments = (
                ring, past, z, now, n, steps, lanes, block, histories, t0, dt, root,
                delays, lags, shares, p, keys, upcoming, counts, rates, tables, starts, flags,
            )  # fmt: skip
            _call_chunk(chunk, arguments)
            _watch(ring, now, n, steps, dim, width, limit, ended_at)
            living = False
            for lane in range(lanes):
                living |= ended_at[lane] < 0
            n += steps
            now = (now + steps) % slots
            place = _save(ring, now, n, lanes, width, saves, out, block - kept_from, place)
        for lane in range(lanes):
            path = block + lane
            kept = out[path - kept_from]
            for column in range(place[2], len(kept)):
                for i in range(out.shape[2]):
                    kept[column, i] = math.nan
            if ended_at[lane] >= 0:
                codes[path] = DIVERGED
                ended[path] = min(t0 + ended_at[lane] * dt, t1)
            elif n < n_steps:
                codes[path] = INTERRUPTED
                ended[path] = t0 + n * dt
            else:
                codes[path] = DONE
                ended[path] = t1
