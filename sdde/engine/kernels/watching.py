"""Watching paths while they run: functions of the state on the grid, their sums and extremes, and
the step in which one of them changes sign.

Row g of `values` holds the functions at grid index n + g, output f of lane l in column
``f * width + l``; between grid times they are straight lines. Output 0 is the hitting function if
there is one. Nothing here knows how the functions are computed.
"""

from numba import njit

INTEGRAL, MAXIMUM, MINIMUM, LAST = range(4)

_inline = njit(error_model="numpy", fastmath=False, forceinline=True)
_apart = njit(error_model="numpy", fastmath=False)  # not inlined: they run once in a chunk


@_apart
def begin_totals(values, hits, kinds, width, totals):
    """Start the reductions with the values at the first grid time."""
    for f in range(len(kinds)):
        for lane in range(width):
            start = 0.0 if kinds[f] == INTEGRAL else values[0, (hits + f) * width + lane]
            totals[f, lane] = start


@_inline
def _take_all(values, column, g, kind, width, dt, total):
    """Take one whole step of all lanes, which vector code does."""
    for lane in range(width):
        before, value = values[g - 1, column + lane], values[g, column + lane]
        kept = total[lane]
        if kind == INTEGRAL:
            total[lane] = kept + dt * (0.5 * (before + value))
        elif kind == MAXIMUM:
            total[lane] = value if value > kept or value != value else kept
        elif kind == MINIMUM:
            total[lane] = value if value < kept or value != value else kept
        else:
            total[lane] = value


@_inline
def _take_one(before, value, share, kind, dt, total):
    """Return the total of one lane after a share of a step."""
    if share < 1.0:
        value = before + share * (value - before)
    if kind == INTEGRAL:
        return total + share * dt * (0.5 * (before + value))
    replaces = kind == LAST or value != value
    replaces |= kind == MAXIMUM and value > total
    replaces |= kind == MINIMUM and value < total
    return value if replaces else total


@_apart
def add_up(values, hits, kinds, width, lanes, n, steps, dt, end, hit_at, hit_share, totals):
    """Take the values of the steps after index `n` into `totals`, for each lane up to its hit.

    `end` is the last grid index in the span and the share of a step by which the span goes on.
    """
    whole, beyond = end
    some_hit = False
    for lane in range(lanes):
        some_hit |= hit_at[lane] >= 0
    for f in range(len(kinds)):
        kind, column = kinds[f], (hits + f) * width
        for g in range(1, steps + 1):
            if n + g <= whole and not some_hit:
                _take_all(values, column, g, kind, width, dt, totals[f])
                continue
            for lane in range(lanes):
                if hit_at[lane] >= 0 and n + g > hit_at[lane]:
                    continue
                share = 1.0 if n + g <= whole else beyond
                if n + g == hit_at[lane]:
                    share = hit_share[lane]
                before, value = values[g - 1, column + lane], values[g, column + lane]
                totals[f, lane] = _take_one(before, value, share, kind, dt, totals[f, lane])


@_inline
def _any_change(values, width, steps):
    """Return whether the hitting function changes sign in some lane, in either direction."""
    changes = 0
    for g in range(1, steps + 1):
        for lane in range(width):
            before, value = values[g - 1, lane], values[g, lane]
            changes += (before < 0.0) & (value >= 0.0) | (before > 0.0) & (value <= 0.0)
    return changes > 0


@_apart
def find_hits(values, direction, width, lanes, n, steps, end, ended_at, hit_at, hit_share):
    """Find, in the lanes that still run, the first step after index `n` with a change of sign.

    `hit_at` receives the grid index at its end, `hit_share` the share of the step before the hit.
    """
    if not _any_change(values, width, steps):
        return
    whole, beyond = end
    for lane in range(lanes):
        before = values[0, lane]
        for g in range(1, steps + 1 if hit_at[lane] < 0 and ended_at[lane] < 0 else 0):
            value = values[g, lane]
            upward = before < 0.0 and value >= 0.0 and direction >= 0
            if upward or (before > 0.0 and value <= 0.0 and direction <= 0):
                share = before / (before - value)
                if n + g <= whole or share <= beyond:
                    hit_at[lane] = n + g
                    hit_share[lane] = share
                    break
            before = value


@_apart
def stop_lanes(ring, now, n, steps, width, lanes, hit_at, hit_share, stopped, led_to):
    """Hold lanes that have hit in the rows after index `n`, at row `now`.

    Where the hit is in these steps, `stopped` receives the state there, and `led_to` the state to
    which the step would have led.
    """
    slots, columns = ring.shape
    for lane in range(lanes):
        if hit_at[lane] < 0:
            continue
        first = max(1, hit_at[lane] - n)
        if hit_at[lane] > n:
            row = (now + first) % slots
            start = (now + first - 1) % slots
            for c in range(lane, columns, width):
                led_to[c] = ring[row, c]
                stopped[c] = ring[start, c] + hit_share[lane] * (ring[row, c] - ring[start, c])
        for g in range(first, steps + 1):
            row = (now + g) % slots
            for c in range(lane, columns, width):
                ring[row, c] = stopped[c]
