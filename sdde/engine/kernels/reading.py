"""Reading a path at any past time, by linear interpolation between the states kept.

Grid states since the start live in a ring, one row for each time; earlier ones in the array `past`,
row r for the time r steps before the start (its last row stands for everything before). Nothing
here knows why the state is read.
"""

import math

from numba import njit


@njit(forceinline=True, error_model="numpy", fastmath=False)
def locate(r, n, t0, dt):
    """Return the grid index at or before time `r`, and the share of the step beyond it.

    `n` is the index of the current state; `r` lies before it.
    """
    position = (r - t0) / dt
    below = min(math.floor(position), n - 1.0)
    return int(below), min(position - below, 1.0)


@njit(forceinline=True, error_model="numpy", fastmath=False)
def grid_state(ring, past, history, now, n, index, column, component):
    """Return one component at grid index `index` <= `n`; `now` is the ring's row of index `n`."""
    if index > 0:
        row = now - (n - index)
        if row < 0:
            row += ring.shape[0]
        return ring[row, column]
    return past[history, min(-index, past.shape[1] - 1), component]


@njit(forceinline=True, error_model="numpy", fastmath=False)
def state_at(ring, past, history, now, n, t0, dt, r, column, component):
    """Return one component at a time `r` before grid index `n`."""
    index, share = locate(r, n, t0, dt)
    before = grid_state(ring, past, history, now, n, index, column, component)
    after = grid_state(ring, past, history, now, n, index + 1, column, component)
    return before + share * (after - before)
