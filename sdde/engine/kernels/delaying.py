"""Loops over the paths of a block that read the past where each path has its own delay.

States of a block are rows of `ring`, one for each grid time, component i of lane l in column
``i * width + l``. A delay of a lane is split into whole steps and a share; weighted sums and chains
of averages take whole rows. `flags` keeps the first fault that is seen: what is at fault, the path,
the bits of the time and of the value. Nothing here knows where delays come from.
"""

from numba import njit

from sdde.engine.kernels.reading import state_at
from sdde.engine.kernels.vectorir import bits_of

TOLERANCE = 1e-9  # of the longest delay, for rounding in the function of a delay
GONE = 1e12  # a state beyond this has diverged, and its delay says nothing

# What chunks call.
CALLED = (
    "advance_chain", "bounded", "chain_end", "check_lanes", "checked", "checked_at", "read_lanes",
    "report_rate", "split", "sum_before", "sum_rows",
)  # fmt: skip

_inline = njit(forceinline=True, error_model="numpy", fastmath=False)


@_inline
def report(flags, fault, path, t, value):
    """Note a fault, unless there is one already."""
    if flags[0] == 0:
        flags[0] = fault
        flags[1] = path
        flags[2] = bits_of(t)
        flags[3] = bits_of(value)


@_inline
def is_outside(delay, longest):
    """Return whether a delay is negative, too long or nan."""
    return not ((delay >= -TOLERANCE * longest) & (delay <= longest + TOLERANCE * longest))


@_inline
def bounded(delay, longest):
    """Return a delay that can be read whatever it was: nan as 0."""
    delay = delay if delay > 0.0 else 0.0
    return delay if delay < longest else longest


@_inline
def checked(delay, longest, fault, path, t, flags):
    """Return a delay that can be read, and report one that could not."""
    if is_outside(delay, longest):
        report(flags, fault, path, t, delay)
    return bounded(delay, longest)


@_inline
def report_rate(rate, fault, path, t, state, flags):
    """Report a rate that is out of bounds, unless the state is not finite."""
    finite = True
    for i in range(len(state)):
        finite &= abs(state[i]) < GONE
    if finite:
        report(flags, fault, path, t, rate)


@_inline
def checked_at(delay, longest, fault, path, t, state, flags):
    """Do the same for a delay that depends on a state; one that is not finite reports nothing."""
    if is_outside(delay, longest):
        finite = True
        for i in range(len(state)):
            finite &= abs(state[i]) < GONE
        if finite:
            report(flags, fault, path, t, delay)
    return bounded(delay, longest)


@_inline
def split(delay, dt, now, slots):
    """Return the rows on both sides of a delay, and the share of the older one."""
    position = delay / dt
    whole = int(position)
    newer = now - whole
    newer += slots if newer < 0 else 0
    older = newer - 1
    older += slots if older < 0 else 0
    return newer, older, position - whole


@_inline
def check_lanes(lags, longest, x_row, dim, width, lanes, first, t, fault, flags):
    """Report the first lane in use whose state is finite and whose delay cannot be read."""
    off = 0
    for lane in range(width):
        off += is_outside(lags[lane], longest)
    if off > 0:
        for lane in range(lanes):
            finite = True
            for i in range(dim):
                finite &= abs(x_row[i * width + lane]) < GONE
            if finite and is_outside(lags[lane], longest):
                report(flags, fault, first + lane, t, lags[lane])


@_inline
def read_lanes(ring, now, dt, lags, longest, late, dim, width):
    """Fill the row `late` with the states of each lane at its own delay before row `now`."""
    slots = len(ring)
    for lane in range(width):
        newer, older, share = split(bounded(lags[lane], longest), dt, now, slots)
        for i in range(dim):
            v = ring[newer, i * width + lane]
            late[i * width + lane] = v + share * (ring[older, i * width + lane] - v)


@_inline
def sum_rows(ring, row, tables, start, first, late):
    """Fill the row `late` with the weighted sum of a row and those before it.

    The weight numbered `first` is that of `row`, the next one that of the row before, and so on.
    """
    slots, columns = len(ring), len(late)
    for k in range(columns):
        late[k] = 0.0
    for m in range(first, int(tables[start])):
        weight, states = tables[start + 1 + m], ring[row]
        for k in range(columns):
            late[k] += weight * states[k]
        row = row - 1 if row > 0 else slots - 1


@_inline
def sum_before(ring, past, history, now, n, t0, dt, s, tables, start, begin, present, column, i):
    """Return the weighted sum of component `i` at s, s - dt, s - 2 dt, ..., where s is in step n.

    `begin` is the component at the beginning of the step, `present` at s.
    """
    total = tables[start + 1] * present
    t = t0 + n * dt
    for m in range(1, int(tables[start])):
        r = s - m * dt
        if r < t:
            v = state_at(ring, past, history, now, n, t0, dt, r, column, i)
        else:
            v = begin
        total += tables[start + 1 + m] * v
    return total


@_inline
def advance_chain(x_row, y_row, tables, start, stages, first, size):
    """Lead a chain of averages through a step whose ends are rows; its columns begin at `first`.

    The state has `size` columns, each stage as many.

    Stage i + 1 at the end is the sum of weights times earlier stages at the start, plus those of
    the state at both ends.
    """
    for i in range(stages):
        before, after = tables[start + stages + 2 * i], tables[start + stages + 2 * i + 1]
        place = first + i * size
        for k in range(size):
            y_row[place + k] = before * x_row[k] + after * y_row[k]
        for j in range(i + 1):
            weight, source = tables[start + i - j], first + j * size
            for k in range(size):
                y_row[place + k] += weight * x_row[source + k]


@_inline
def chain_end(x_row, tables, start, stages, first, size, begin, end):
    """Return the last stage of one component's chain at the end of a step.

    Its column in the first stage is `first`; `begin` and `end` are the component at both ends.
    """
    place = start + stages + 2 * (stages - 1)
    total = tables[place] * begin + tables[place + 1] * end
    for j in range(stages):
        total += tables[start + stages - 1 - j] * x_row[first + j * size]
    return total
