"""The driver: runs a chunk over blocks of paths, supplies noise, watches, and keeps what is saved.

One block holds `width` neighbouring paths. Its grid states go round in `ring`, which is deep enough
for the longest delay and for all the rows of one chunk, so chunks end where the noise buffer ends
and nowhere else: what is saved cannot change a path. Every 32 steps a path beyond the bounds turns
to nan, which nothing heals. The driver is compiled once; the model it runs, the noise and the
functions watched are addresses of machine code.

A run may begin where another stopped: at the last multiple of 32 steps the rows of the ring that
later steps read, and the counters of each path, are kept in arrays of the caller.
"""

import math

from numba import njit

from sdde.engine.kernels.arriving import draw_gaps, gap_before
from sdde.engine.kernels.calling import call_at
from sdde.engine.kernels.memory import floats_of
from sdde.engine.kernels.normals import fill, fill_steps
from sdde.engine.kernels.signatures import (
    CHUNK,
    DIVERGED,
    DONE,
    HIT,
    INTERRUPTED,
    NOISE_FILL,
    WATCH,
)
from sdde.engine.kernels.watching import add_up, begin_totals, find_hits, stop_lanes
from sdde.engine.streams import NOISE

_call_chunk, _call_noise = call_at(CHUNK), call_at(NOISE_FILL)
_inline = njit(error_model="numpy", fastmath=False, forceinline=True)
_apart = njit(error_model="numpy", fastmath=False)  # not inlined: run once for a block


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
def _any_ended(ended_at):
    """Return whether some lane has diverged."""
    last = -1
    for lane in range(len(ended_at)):
        last = max(last, ended_at[lane])
    return last >= 0


@_inline
def _any_runs(lanes, ended_at, hit_at):
    """Return whether some lane has neither diverged nor hit."""
    running = 0
    for lane in range(lanes):
        running += ended_at[lane] < 0 and hit_at[lane] < 0
    return running > 0


@_inline
def _watch(ring, now, n, steps, dim, width, limit, ended_at):
    """Look for lanes that have left the bounds, each time `WATCH` steps are done and at the end.

    Their states turn to nan from the first step beyond the bounds; `ended_at` notes that step.
    """
    slots, columns = len(ring), dim * width
    for start in range(0, steps, WATCH):
        count = min(WATCH, steps - start)
        row = now + start + count
        row -= slots if row >= slots else 0
        bad = 0
        for k in range(columns):
            bad += not abs(ring[row, k]) <= limit
        if bad > 0 or _any_ended(ended_at):
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
        for g in range(count if ends or beyond else 0):
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
    if width == 1 and ring.shape[1] == dim:  # rows of both lie one behind the other
        source = floats_of(ring[row:], (count * dim,))
        target = floats_of(out[first, column:], (count * dim,))
        for k in range(count * dim):
            target[k] = source[k]
        return
    for lane in range(lanes):
        kept = out[first + lane]
        for i in range(dim):
            source_column = i * width + lane
            for k in range(count):
                kept[column + k, i] = ring[row + k, source_column]


@_inline
def _save_between(ring, row, step, share, lanes, width, out, first, column, stops):
    """Keep the states a share of a step after a row of the ring, that of grid index `step`.

    `stops` are the indices at the ends of the steps in which lanes hit, the share of these steps
    before the hit, and the states to which they would have led.
    """
    hit_at, hit_share, led_to = stops
    dim = out.shape[2]
    after = row + 1 if row + 1 < len(ring) else 0
    for lane in range(lanes):
        for i in range(dim):
            value, target = ring[row, i * width + lane], ring[after, i * width + lane]
            if hit_at[lane] == step + 1 and share < hit_share[lane]:
                target = led_to[i * width + lane]
            elif hit_at[lane] == step + 1:
                value = target
            value = value + share * (target - value)
            out[first + lane, column, i] = value


@_apart
def _save(ring, now, n, lanes, width, saves, out, first, place, stops):
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
            _save_between(ring, row, step, share, lanes, width, out, first, column, stops)
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


@_apart
def _keep(
    ring, now, block, lanes, width, ended_at, hit_at, hit_share, counts, upcoming, totals, kept
):  # fmt: skip
    """Keep what the next run of these paths begins with."""
    tail, marks, numbers = kept
    slots, jumps = len(ring), len(upcoming)
    for r in range(tail.shape[1]):
        row = now - r if now >= r else now - r + slots
        for k in range(ring.shape[1]):
            tail[block // width, r, k] = ring[row, k]
    for lane in range(lanes):
        marks[block + lane, 0], marks[block + lane, 1] = ended_at[lane], hit_at[lane]
        numbers[block + lane, 0] = hit_share[lane]
        for q in range(jumps):
            marks[block + lane, 2 + q] = counts[q, lane]
            numbers[block + lane, 1 + q] = upcoming[q, lane]
        for f in range(len(totals)):
            numbers[block + lane, 1 + jumps + f] = totals[f, lane]


@_apart
def _resume(ring, block, lanes, width, ended_at, hit_at, hit_share, counts, upcoming, totals, kept):
    """Begin where another run of these paths stopped; row 0 of the ring becomes the present."""
    tail, marks, numbers = kept
    slots, jumps = len(ring), len(upcoming)
    for r in range(tail.shape[1]):
        for k in range(ring.shape[1]):
            ring[slots - r if r > 0 else 0, k] = tail[block // width, r, k]
    for lane in range(lanes):
        ended_at[lane], hit_at[lane] = marks[block + lane, 0], marks[block + lane, 1]
        hit_share[lane] = numbers[block + lane, 0]
        for q in range(jumps):
            counts[q, lane] = marks[block + lane, 2 + q]
            upcoming[q, lane] = numbers[block + lane, 1 + q]
        for f in range(len(totals)):
            totals[f, lane] = numbers[block + lane, 1 + jumps + f]


def noise_of_paths(
    z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):  # fmt: skip
    """Fill all rows with normals for a block of paths, from step `n` on."""
    shape = (len(z), channels, z.shape[1] // channels)
    fill(floats_of(z, shape), n, first, k0, k1, NOISE)


def noise_of_steps(
    z, n, steps, path, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):  # fmt: skip
    """Fill all rows with normals for a single path, from step `n` on."""
    fill_steps(z, n, path, k0, k1, NOISE)


def fill_noise(
    noise, z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):  # fmt: skip
    """Fill rows with the noise at an address, for callers in Python."""
    wanted = (
        z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms,
    )  # fmt: skip
    _call_noise(noise, wanted)


def drive(
    chunk, observe, noise, ring, z, values, upcoming, gaps, counts, totals, ended_at, hit_at,
    hit_share, stopped, led_to, first, last, channels, n_steps,
    t0, t1, dt, limit, delays, lags, shares, p, past, keys, rates, tables, starts,
    save_spans, save_shares, out, codes, ended, stop, flags, fine, mirrored, recorded,
    hits, direction, whole, beyond, kinds, results, hit_times,
    begin, keep_at, span, index, column, tail, marks, numbers,
    pairs, terms,
):  # fmt: skip
    """Run paths `first` to `last`, the first a whole number of blocks.

    All arrays with a row for each path begin with path `first`. The arguments are described in
    `signatures.DRIVE`.
    """
    histories, _, dim = past.shape
    slots, group, width, outputs = len(ring), len(z), len(ended_at), hits + len(kinds)
    saves, end, kept = (save_spans, save_shares), (whole, beyond), (tail, marks, numbers)
    stops = (hit_at, hit_share, led_to)
    root = math.sqrt(dt)
    for block in range(first, last, width):
        lanes = min(width, last - block)
        if lanes < width or ring.shape[1] > dim * width:
            _clear(ring)  # lanes that no path uses may stay as they are
        for lane in range(width):
            ended_at[lane] = hit_at[lane] = -1
        now, n, living, place = 0, begin, True, (span, index, column)
        if begin > 0:
            _resume(
                ring, block - first, lanes, width, ended_at, hit_at, hit_share, counts, upcoming,
                totals, kept,
            )  # fmt: skip
            for q in range(len(rates)):
                for lane in range(lanes):
                    draw_gaps(gaps, q * width + lane, keys, block + lane, counts[q, lane], q)
            for k in range(len(stopped)):
                stopped[k] = ring[0, k]
            living = _any_runs(lanes, ended_at, hit_at)
        else:
            _begin(ring, past, lags, block, width)
            for q in range(len(rates)):
                for lane in range(lanes):
                    counts[q, lane] = 0
                    gap = gap_before(gaps, q * width + lane, keys, block + lane, 0, q)
                    upcoming[q, lane] = t0 + gap / rates[q]
        if outputs > 0:
            asked = (
                ring, past, values, now, n, 1, lanes, block, histories, t0, dt, root,
                delays, lags, shares, p, keys, upcoming, gaps, counts, rates, tables, starts,
                flags,
            )  # fmt: skip
            _call_chunk(observe, asked)
            if begin == 0:
                begin_totals(values, hits, kinds, width, totals)
        place = _save(ring, now, n, lanes, width, saves, out, block - first, place, stops)
        drawn, filled = n, n  # the steps whose noise `z` holds
        is_kept = keep_at < 0
        while n < n_steps and living and stop[0] == 0 and flags[0] == 0:
            if n == keep_at:
                is_kept = True
                _keep(
                    ring, now, block - first, lanes, width, ended_at, hit_at, hit_share, counts,
                    upcoming, totals, kept,
                )  # fmt: skip
            if n == filled:
                steps = min(group, n_steps - n)
                drawn, filled = n, n + steps
                if channels > 0:
                    wanted = (
                        z, n, steps, block, channels, keys[2], keys[3], fine, mirrored, recorded,
                        pairs, lags, terms,
                    )  # fmt: skip
                    _call_noise(noise, wanted)
            steps = (keep_at if n < keep_at < filled else filled) - n
            arguments = (
                ring, past, z[n - drawn :], now, n, steps, lanes, block, histories, t0, dt, root,
                delays, lags, shares, p, keys, upcoming, gaps, counts, rates, tables, starts,
                flags,
            )  # fmt: skip
            _call_chunk(chunk, arguments)
            if outputs > 0:
                after = now + 1 if now + 1 < slots else 0
                asked = (
                    ring, past, values[1:], after, n + 1, steps, lanes, block, histories, t0, dt,
                    root, delays, lags, shares, p, keys, upcoming, gaps, counts, rates, tables,
                    starts, flags,
                )  # fmt: skip
                _call_chunk(observe, asked)
            if hits > 0:
                find_hits(
                    values, direction, width, lanes, n, steps, end, ended_at, hit_at, hit_share
                )
                stop_lanes(ring, now, n, steps, width, lanes, hit_at, hit_share, stopped, led_to)
            _watch(ring, now, n, steps, dim, width, limit, ended_at)
            for lane in range(lanes if hits > 0 else 0):
                if 0 <= ended_at[lane] <= hit_at[lane]:
                    hit_at[lane] = -1
            if outputs > 0:
                add_up(
                    values, hits, kinds, width, lanes, n, steps, dt, end, hit_at, hit_share, totals
                )
                for k in range(values.shape[1]):
                    values[0, k] = values[steps, k]
            living = _any_runs(lanes, ended_at, hit_at)
            n += steps
            now = (now + steps) % slots
            place = _save(ring, now, n, lanes, width, saves, out, block - first, place, stops)
        if not is_kept:
            _keep(
                ring, now, block - first, lanes, width, ended_at, hit_at, hit_share, counts,
                upcoming, totals, kept,
            )  # fmt: skip
        for lane in range(lanes):
            path = block + lane - first
            rows = out[path]
            for later in range(place[2], len(rows)):
                for i in range(out.shape[2]):
                    rows[later, i] = stopped[i * width + lane] if hit_at[lane] >= 0 else math.nan
            unknown = ended_at[lane] >= 0 or (hit_at[lane] < 0 and n < n_steps)
            for f in range(len(kinds)):
                results[path, f] = math.nan if unknown else totals[f, lane]
            if ended_at[lane] >= 0:
                codes[path] = DIVERGED
                ended[path] = min(t0 + ended_at[lane] * dt, t1)
            elif hit_at[lane] >= 0:
                codes[path] = HIT
                hit_times[path] = min(t0 + (hit_at[lane] - 1 + hit_share[lane]) * dt, t1)
                ended[path] = hit_times[path]
            elif n < n_steps:
                codes[path] = INTERRUPTED
                ended[path] = t0 + n * dt
            else:
                codes[path] = DONE
                ended[path] = t1
