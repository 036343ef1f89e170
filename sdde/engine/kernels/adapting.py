"""The driver of adaptive steps: one path at a time, each with steps of its own.

A block is one largest step, 2^k finest ones. Its Brownian increments are drawn once, at their
addresses, and summed up in a binary tree, so that every dyadic step within it, taken or rejected,
sees the same Brownian path. States at all finest grid times back to the longest delay go round in
`ring`. Between the times of the path's own steps they follow a straight line plus the diffusion at
the beginning of the step times what the Brownian path does beside its own straight line.

An error estimate must see that too: where the drift depends on the delayed state alone, a step and
two half steps agree however coarse the states are that they read later. So the state that the whole
step gives for its midpoint is compared with the first half step as well.

The model is an ordinary chunk for one lane, asked for one step at a time. What it reads lies on
`desk`, a small ring made for it: two rows for each delay (last delay first; the states at the delay
at the end and at the beginning of a step), then the state, then the result.
"""

import math

from numba import njit

from sdde.engine.kernels.calling import call_at
from sdde.engine.kernels.signatures import CHUNK, DIVERGED, DONE, INTERRUPTED, NOISE_FILL

_call_chunk, _call_noise = call_at(CHUNK), call_at(NOISE_FILL)
_inline = njit(error_model="numpy", fastmath=False, forceinline=True)
_apart = njit(error_model="numpy", fastmath=False)

_GROW = 0.25  # a longer step is tried where the error is below this share of what is allowed


@_inline
def _add_up(tree, leaves, channels, turn):
    """Turn finest increments into sums: node k is the sum of nodes 2k and 2k + 1."""
    if turn:
        for k in range(leaves, 2 * leaves):
            for c in range(channels):
                tree[k, c] = -tree[k, c]
    for k in range(leaves - 1, 0, -1):
        for c in range(channels):
            tree[k, c] = tree[2 * k, c] + tree[2 * k + 1, c]


@_inline
def _lay_out(desk, ring, index, steps, delays, lags, shares):
    """Put the states at the delays, at the beginning and end of a step, on the desk."""
    slots, now = len(ring), len(desk) - 2
    for j in range(delays):
        if lags[j] == 0:
            continue  # no delay: the chunk reads the state itself
        for end in range(2):
            newer = ring[(index + end * steps - lags[j]) % slots]
            older = ring[(index + end * steps - lags[j] - 1) % slots]
            row = desk[now - 2 * (j + 1) + end]
            for i in range(len(row)):
                row[i] = newer[i] + shares[j] * (older[i] - newer[i])


@_inline
def _bridge(g, moves, i, form):
    """Return what the diffusion `g` makes of `moves` in component i; `form` as in `signatures`."""
    channels = len(moves)
    if form == 0:
        return g[i] * moves[i]
    if form == 1:
        return g[i] * moves[0]
    total = 0.0
    for c in range(channels):
        total += g[i * channels + c] * moves[c]
    return total


@_inline
def _fill(ring, index, tree, leaf, steps, root, begin, end, g, form, moves, sums):
    """Put the states after index `index`, up to the end of a step, into the ring."""
    slots, dim, noisy = len(ring), ring.shape[1], len(g) > 0
    for c in range(len(moves)):
        sums[c] = 0.0
    for s in range(1, steps):
        row = ring[(index + s) % slots]
        share = s / steps
        for c in range(len(moves)):
            sums[c] += tree[leaf + s - 1, c]
            moves[c] = root * (sums[c] - share * tree[leaf // steps, c])
        for i in range(dim):
            row[i] = begin[i] + share * (end[i] - begin[i])
            if noisy:
                row[i] += _bridge(g, moves, i, form)
    row = ring[(index + steps) % slots]
    for i in range(dim):
        row[i] = end[i]


@_apart
def _save(ring, n, leaves, spans, shares, out, place):
    """Keep what is known at the end of block `n`; return the next (span, index in it, column)."""
    span, index, column = place
    slots = len(ring)
    while span < len(spans):
        step = spans[span, 0] + index * spans[span, 1]
        share = shares[span]
        if step + (share > 0.0) > n:
            break
        beyond = share * leaves
        whole = int(beyond)
        rest = beyond - whole
        before = ring[(step * leaves + whole) % slots]
        after = ring[(step * leaves + whole + 1) % slots]
        for i in range(out.shape[1]):
            value = before[i]
            if rest > 0.0:
                value += rest * (after[i] - value)
            out[column, i] = value
        column += 1
        index += 1
        if index == spans[span, 2]:
            span += 1
            index = 0
    return span, index, column


def drive_adaptively(
    chunk, noise, observe, ring, desk, tree, z, four, g, moves, first, last, channels, blocks,
    levels, t0, finest, limit, tolerance, relative, delays, desk_lags, desk_shares, lags, shares, p,
    past, keys, upcoming, gaps, counts, rates, tables, starts, save_spans, save_shares, out, codes,
    ended, evaluations, stop, flags, fine, mirrored, recorded, pairs, form,
):  # fmt: skip
    """Run paths `first` to `last`. The arguments are described in `signatures`."""
    histories, known, dim = past.shape
    slots, leaves, now = len(ring), 1 << levels, len(desk) - 2
    full, middle, end = four[1], four[2], four[3]
    moved, sums = moves[0], moves[1]
    root = math.sqrt(finest)
    reads = False  # whether states between the steps are ever read
    for j in range(len(lags)):
        reads |= lags[j] > 0
    for path in range(first, last):
        x = four[0]
        for r in range(slots - leaves):
            for i in range(dim):
                ring[-r % slots, i] = past[path % histories, min(r, known - 1), i]
        for i in range(dim):
            x[i] = past[path % histories, 0, i]
        place = _save(ring, 0, leaves, save_spans, save_shares, out[path], (0, 0, 0))
        block, level, count, diverged = 0, levels, 0, False
        while block < blocks and not diverged and stop[0] == 0:
            if channels > 0:
                source = path - path % 2 if mirrored else path
                wanted = (
                    tree[leaves:], block * leaves, leaves, source, channels, keys[0], keys[1],
                    fine, 0, recorded, pairs, desk_lags, 0,
                )  # fmt: skip
                _call_noise(noise, wanted)
                _add_up(tree, leaves, channels, source != path)
            inside = 0  # finest steps of the block that are done
            halved = False  # whether `full` holds what one step of this level leads to
            while inside < leaves and not diverged:
                steps = 1 << level
                half = steps // 2
                if observe != 0 and not halved:
                    index = block * leaves + inside
                    _lay_out(desk, ring, index, 0, len(lags), lags, shares)
                    for i in range(dim):
                        desk[now, i] = x[i]
                    asked = (
                        desk, past, g, now, 0, 1, 1, path, histories, t0 + index * finest, finest,
                        root, delays, desk_lags, desk_shares, p, keys, upcoming, gaps,
                        counts, rates, tables, starts, flags,
                    )  # fmt: skip
                    _call_chunk(observe, asked)
                # One whole step (0), then the same again as two halves (1 and 2).
                for part in range(1 if halved else 0, 3):
                    long = steps if part == 0 else half
                    offset = inside + (long if part == 2 else 0)
                    begin = x if part < 2 else middle
                    index = block * leaves + offset
                    _lay_out(desk, ring, index, long, len(lags), lags, shares)
                    for i in range(dim):
                        desk[now, i] = begin[i]
                    node = (leaves + offset) // long
                    scale = 1.0 / math.sqrt(long)
                    for c in range(channels):
                        z[0, c] = tree[node, c] * scale
                    dt = finest * long
                    arguments = (
                        desk, past, z, now, 0, 1, 1, path, histories, t0 + index * finest, dt,
                        math.sqrt(dt), delays, desk_lags, desk_shares, p, keys, upcoming, gaps,
                        counts, rates, tables, starts, flags,
                    )  # fmt: skip
                    _call_chunk(chunk, arguments)
                    count += 1
                    target = full if part == 0 else middle if part == 1 else end
                    for i in range(dim):
                        target[i] = desk[now + 1, i]
                node = (leaves + inside) // steps
                for c in range(len(moved)):
                    moved[c] = root * (tree[2 * node, c] - 0.5 * tree[node, c])
                error = 0.0
                for i in range(dim):
                    allowed = tolerance + relative * max(abs(x[i]), abs(end[i]))
                    own = abs(full[i] - end[i]) / allowed
                    error = own if not own <= error else error  # also where it is nan
                    if reads:
                        between = x[i] + 0.5 * (full[i] - x[i])
                        if g.shape[1] > 0:
                            between += _bridge(g[0], moved, i, form)
                        own = abs(between - middle[i]) / allowed
                        error = own if not own <= error else error
                if not error <= 1.0 and level > 1:
                    level -= 1
                    halved = True
                    for i in range(dim):
                        full[i] = middle[i]
                    continue
                halved = False
                index = block * leaves + inside
                _fill(
                    ring, index, tree, leaves + inside, half, root, x, middle, g[0], form,
                    moved, sums,
                )  # fmt: skip
                if observe != 0:
                    _lay_out(desk, ring, index + half, 0, len(lags), lags, shares)
                    for i in range(dim):
                        desk[now, i] = middle[i]
                    asked = (
                        desk, past, g, now, 0, 1, 1, path, histories,
                        t0 + (index + half) * finest, finest, root, delays, desk_lags,
                        desk_shares, p, keys, upcoming, gaps, counts, rates, tables, starts,
                        flags,
                    )  # fmt: skip
                    _call_chunk(observe, asked)
                _fill(
                    ring, index + half, tree, leaves + inside + half, half, root, middle, end,
                    g[0], form, moved, sums,
                )  # fmt: skip
                inside += steps
                bad = leaves  # finest steps of the block before the first state out of bounds
                for i in range(dim):
                    x[i] = end[i]
                    if not abs(middle[i]) <= limit:
                        bad = min(bad, inside - half)
                    elif not abs(x[i]) <= limit:
                        bad = min(bad, inside)
                    diverged |= not (abs(middle[i]) <= limit and abs(x[i]) <= limit)
                if error < _GROW and level < levels and inside % (2 * steps) == 0:
                    level += 1
                if diverged:
                    codes[path] = DIVERGED
                    ended[path] = t0 + (block * leaves + bad) * finest
                    for s in range(bad, leaves + 1):
                        for i in range(dim):
                            ring[(block * leaves + s) % slots, i] = math.nan
            block += 1
            place = _save(ring, block, leaves, save_spans, save_shares, out[path], place)
        evaluations[path] = count
        if not diverged:
            codes[path] = DONE if block == blocks else INTERRUPTED
            ended[path] = t0 + block * leaves * finest
