"""Slow twins of what is made of paths: hits and functionals.

Plain Python, written from the definitions, one path at a time, on the grid states of a path that
nothing stopped.
"""

import math


def _whole(ratio):
    """A ratio as whole steps and the share of a further step."""
    if abs(ratio - round(ratio)) < 1e-9 * max(1.0, ratio):
        return round(ratio), 0.0
    return math.floor(ratio), ratio - math.floor(ratio)


def values(function, states, delays, history, t0, dt):
    """A function of (t, x, delayed) at every grid time; scalar states, constant delays."""
    lags = [_whole(delay / dt) for delay in delays]

    def grid(n):
        return states[n] if n >= 0 else history(t0 - dt * -n)

    result = []
    for n, x in enumerate(states):
        late = [grid(n - lag) + s * (grid(n - lag - 1) - grid(n - lag)) for lag, s in lags]
        result.append(function(t0 + n * dt, x, late))
    return result


def hit(g, direction, t0, t1, dt):
    """Index at the end of the step in which values `g` change sign, share of it before, time."""
    whole, beyond = _whole((t1 - t0) / dt)
    for n in range(1, len(g)):
        before, after = g[n - 1], g[n]
        up, down = before < 0.0 <= after, before > 0.0 >= after
        if (up and direction >= 0) or (down and direction <= 0):
            share = before / (before - after)
            if n > whole and share > beyond:
                return None
            return n, share, min(t0 + (n - 1 + share) * dt, t1)
    return None


def state_at(states, stop, t0, dt, t):
    """The state at a time: straight lines, and where the path was once it has stopped."""
    n, share = _whole((t - t0) / dt)
    if stop is not None and (n + 1, share) >= stop[:2]:
        n, share = stop[0] - 1, stop[1]
    if share == 0.0:
        return states[n]
    return states[n] + share * (states[n + 1] - states[n])


def functional(kind, f, stop, t0, t1, dt):
    """The integral, extreme or last value of grid values `f` up to the stop or the end."""
    whole, beyond = _whole((t1 - t0) / dt)
    total = 0.0 if kind == "integral" else f[0]
    for n in range(1, len(f)):
        if stop is not None and n > stop[0]:
            break
        share = 1.0 if n <= whole else beyond
        if stop is not None and n == stop[0]:
            share = stop[1]
        before, after = f[n - 1], f[n]
        if share < 1.0:
            after = before + share * (after - before)
        if kind == "integral":
            total += share * dt * (0.5 * (before + after))
        elif kind == "last":
            total = after
        else:
            total = max(total, after) if kind == "maximum" else min(total, after)
    return total
