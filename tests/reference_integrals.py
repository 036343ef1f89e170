"""Slow twin of the iterated integrals: one pair, one finest step, from the formulas."""

import math

from sdde.engine import seeds, streams


def _number(seed, path, step, channel, stream):
    k0, k1 = seeds.key_of(seed)
    return streams.normal(k0, k1, path, step, channel, stream)


def _bridge(seed, path, step, channel, channels, terms):
    """The coefficients X, Y, and the sum of all X / r, of one Wiener process in one step."""
    if step < 0:
        return [0.0] * terms, [0.0] * terms, 0.0
    x, y = (
        [
            _number(seed, path, step, (2 * r - 1 + odd) * channels + channel, seeds.BRIDGES)
            for r in range(1, terms + 1)
        ]
        for odd in (0, 1)
    )
    rest = math.pi**2 / 6.0 - sum(1.0 / r**2 for r in range(1, terms + 1))
    total = math.sqrt(rest) * _number(seed, path, step, channel, seeds.BRIDGES)
    return x, y, total + sum(x[r - 1] / r for r in range(1, terms + 1))


def integral(seed, path, step, lag, early, late, channels, terms, delay=0):
    """The integral over a step of length 1; lag 0 is the present, `delay` the delay's place."""
    before, now = (
        0.0 if n < 0 else _number(seed, path, n, c, seeds.NOISE)
        for n, c in ((step - lag, early), (step, late))
    )
    if lag == 0 and early == late:
        return 0.5 * (now**2 - 1.0)
    x1, y1, s1 = _bridge(seed, path, step - lag, early, channels, terms)
    x2, y2, s2 = _bridge(seed, path, step, late, channels, terms)
    rest = math.pi**2 / 6.0 - sum(1.0 / r**2 for r in range(1, terms + 1))
    if lag == 0:
        place = min(early, late) * channels + max(early, late)
        last = _number(seed, path, step, place, seeds.AREAS) * (1.0 if early < late else -1.0)
    else:
        place = delay * channels**2 + early * channels + late
        last = _number(seed, path, step, place, seeds.DELAYED_AREAS)
    series = sum((x1[r - 1] * y2[r - 1] - y1[r - 1] * x2[r - 1]) / r for r in range(1, terms + 1))
    return (
        0.5 * before * now
        + (before * s2 - now * s1) / (math.sqrt(2.0) * math.pi)
        + series / (2.0 * math.pi)
        + math.sqrt(0.5 * rest) / math.pi * last
    )
