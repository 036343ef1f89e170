"""The times between a jump's arrivals, sixteen at a time.

Each path keeps the next exponentials of each jump in a row of `gaps`; they are the numbers that
`streams.exponential` has at the arrivals' addresses. Nothing here knows what arrivals do.
"""

from numba import njit

from sdde.engine.kernels.normals import store_exponentials
from sdde.engine.kernels.signatures import AHEAD
from sdde.engine.streams import ARRIVALS


@njit(forceinline=True, error_model="numpy", fastmath=False)
def draw_gaps(gaps, place, keys, path, k, q):
    """Draw the sixteen among which arrival `k` is."""
    pair = (k - k % AHEAD) >> 1
    store_exponentials(gaps, place * AHEAD, keys[0], keys[1], path, pair, q, ARRIVALS)


@njit(forceinline=True, error_model="numpy", fastmath=False)
def gap_before(gaps, place, keys, path, k, q):
    """Return the exponential between arrivals k - 1 and k of a path's jump `q`.

    `place` is the row of `gaps` that belongs to the two. Arrivals are asked for in order.
    """
    if k % AHEAD == 0:
        draw_gaps(gaps, place, keys, path, k, q)
    return gaps[place, k % AHEAD]
