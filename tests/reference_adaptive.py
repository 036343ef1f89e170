"""Slow twin of adaptive steps: plain Python, written from the description, one path at a time.

States are numbers. Operations stand in the same order as in the compiled loop, bit for bit.
"""

import math

from sdde.engine import streams


def milstein(f, g, slope, t, x, late, late_end, h, z):
    """One step of Milstein's scheme; `slope` is g dg/dx."""
    w = math.sqrt(h) * z
    correction = slope(t, x, late) * (0.5 * (w * w - h))
    return x + (f(t, x, late) * h + g(t, x, late) * w + correction)


def heun(f, g, slope, t, x, late, late_end, h, z):
    """One step with the trapezoidal drift."""
    w = (g(t, x, late) * math.sqrt(h)) * z
    start = f(t, x, late)
    predicted = x + (start * h + w)
    end = f(t + 1.0 * h, predicted, late_end(predicted))
    return x + (0.5 * (start + end) * h + w)


def adaptive_path(
    step, f, g, slope, delays, history, t0, dt, blocks, halvings, tolerance, relative, seed, path,
    mirrored=False,
):  # fmt: skip
    """States of one path at all finest grid times, and how many steps were computed."""
    k0, k1 = streams.key_of(seed)
    leaves, finest = 2**halvings, dt / 2**halvings
    root = math.sqrt(finest)
    states = {0: history}
    places = []
    for delay in delays:
        ratio = delay / finest
        near = abs(ratio - round(ratio)) <= 1e-9 * max(1.0, ratio)
        places.append((round(ratio), 0.0) if near else (math.floor(ratio), ratio % 1.0))
    source = path - path % 2 if mirrored else path
    sign = -1.0 if source != path else 1.0
    count, x, level = 0, history, halvings

    def late_at(index, x):
        rows = []
        for lag, share in places:
            if lag == 0:
                rows.append(x)
                continue
            newer, older = (states.get(k, history) for k in (index - lag, index - lag - 1))
            rows.append(newer + share * (older - newer))
        return rows

    for block in range(blocks):
        first = block * leaves
        sums = [0.0] * leaves + [
            sign * streams.normal(k0, k1, source, first + i, 0, streams.NOISE)
            for i in range(leaves)
        ]
        for k in range(leaves - 1, 0, -1):
            sums[k] = sums[2 * k] + sums[2 * k + 1]

        def take(x, inside, steps, first=first, sums=sums):
            index = first + inside
            z = sums[(leaves + inside) // steps] * (1.0 / math.sqrt(steps))
            return step(
                f, g, slope, t0 + index * finest, x, late_at(index, x),
                lambda predicted: late_at(index + steps, predicted), finest * steps, z,
            )  # fmt: skip

        def fill(x, end, inside, steps, first=first, sums=sums):
            index, total = first + inside, 0.0
            coefficient = g(t0 + index * finest, x, late_at(index, x))
            for s in range(1, steps):
                share = s / steps
                total += sums[leaves + inside + s - 1]
                beside = root * (total - share * sums[(leaves + inside) // steps])
                states[index + s] = x + share * (end - x) + coefficient * beside
            states[index + steps] = end

        inside, whole = 0, None
        while inside < leaves:
            steps = 2**level
            half = steps // 2
            if whole is None:
                whole = take(x, inside, steps)
                count += 1
            middle = take(x, inside, half)
            end = take(middle, inside + half, half)
            count += 2
            node = (leaves + inside) // steps
            beside = root * (sums[2 * node] - 0.5 * sums[node])
            index = first + inside
            coefficient = g(t0 + index * finest, x, late_at(index, x))
            between = x + 0.5 * (whole - x) + coefficient * beside
            allowed = tolerance + relative * max(abs(x), abs(end))
            error = abs(whole - end) / allowed
            if any(lag > 0 for lag, _ in places):
                error = max(error, abs(between - middle) / allowed)
            if error > 1.0 and level > 1:
                level, whole = level - 1, middle
                continue
            fill(x, middle, inside, half)
            fill(middle, end, inside + half, half)
            x, whole = end, None
            inside += steps
            if error < 0.25 and level < halvings and inside % (2 * steps) == 0:
                level += 1
    return states, count
