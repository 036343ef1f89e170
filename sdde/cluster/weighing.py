"""What the server does to one gradient: weigh it, clip it, correct it, join it to others. Compiled.

The codes and parameters of the rules are those of `encoding`. Nothing here knows about time.
"""

import math

from sdde.cluster import encoding as code
from sdde.cluster.compiling import compiled


@compiled
def norm_squared(g):
    """Return the squared Euclidean norm."""
    total = 0.0
    for i in range(g.shape[0]):
        total += g[i] * g[i]
    return total


@compiled
def distance_squared(x, reads, worker):
    """Return the squared distance of the parameters from what a worker read."""
    total = 0.0
    for i in range(x.shape[0]):
        total += (x[i] - reads[worker, i]) ** 2
    return total


@compiled
def clip(g, longest):
    """Shorten a gradient to a norm if it is longer."""
    total = norm_squared(g)
    if total > longest * longest:
        share = longest / math.sqrt(total)
        for i in range(g.shape[0]):
            g[i] *= share


@compiled
def compensate(g, x, reads, slot, worker, strength, decay, squares):
    """Add the first-order correction of a stale gradient, its outer square for the curvature."""
    for i in range(g.shape[0]):
        factor = strength
        if decay >= 0.0:
            mean = decay * squares[worker, i] + (1.0 - decay) * g[i] * g[i]
            squares[worker, i] = mean
            factor /= math.sqrt(mean + 1e-7)
        g[i] += factor * g[i] * g[i] * (x[i] - reads[slot, i])


@compiled
def weight_of(rate, a, b, table, staleness):
    """Return the weight that a rate rule gives to a staleness."""
    late = float(staleness)
    if rate == code.INVERSE:
        return 1.0 / max(1.0, late)
    if rate == code.ADAPTIVE:
        return a / max(a, late)
    if rate == code.CAPPED:
        return 1.0 if late <= a else min(1.0, b / late)
    if rate == code.POWER:
        return (1.0 + late) ** (-a)
    if rate == code.DECAY:
        return math.exp(-a * late)
    if rate == code.TABLE:
        return table[min(staleness, table.shape[0] - 1)]
    return 1.0


@compiled
def tail_weight(counts, amplitude, first, taken, staleness):
    """Return the weight by the measured distribution of the staleness, 1 while it is measured.

    Gradients from number `first` on are counted; the last of them turns the counts into mid-points
    P(<) + P(=) / 2, in place.
    """
    last = counts.shape[0] - 1
    if taken >= last:
        return 1.0 + amplitude * (1.0 - 2.0 * counts[min(staleness, last)])
    if taken >= first:
        counts[staleness] += 1.0
    if taken == last - 1:
        total, below = 0.0, 0.0
        for i in range(last + 1):
            total += counts[i]
        for i in range(last + 1):
            here = counts[i]
            counts[i] = (below + 0.5 * here) / total
            below += here
    return 1.0


@compiled
def schedule_factor(schedule, power, offset, breaks, version):
    """Return the factor of a learning-rate schedule at the update after `version` updates."""
    if schedule == code.STEPS:
        factor = 1.0
        for number in breaks:
            factor *= power if version >= number else 1.0
        return factor
    if schedule == code.COSINE:
        share = min(version, offset) / offset
        return power + (1.0 - power) * 0.5 * (1.0 + math.cos(math.pi * share))
    k, first = float(version + offset), float(offset)
    if schedule == code.POWER_LAW:
        return (first / k) ** power
    ratio = first * math.log(first) / (k * math.log(k))
    if schedule == code.LOGLOG:
        ratio *= math.log(math.log(first)) / math.log(math.log(k))
    return ratio


@compiled
def project(behind, x, projection, lazy, low, high):
    """Put the nearest point of the set into `x`, and into `behind` too unless it is lazy."""
    if projection == code.BOX:
        for i in range(x.shape[0]):
            x[i] = min(max(behind[i], low[i]), high[i])
    else:  # a ball: its centre, and its radius
        total = 0.0
        for i in range(x.shape[0]):
            total += (behind[i] - low[i]) ** 2
        share = 1.0 if total <= high[0] * high[0] else high[0] / math.sqrt(total)
        for i in range(x.shape[0]):
            x[i] = low[i] + share * (behind[i] - low[i]) if share < 1.0 else behind[i]
    if not lazy:
        for i in range(x.shape[0]):
            behind[i] = x[i]


@compiled
def admitted(rules, x, reads, slot, staleness, age, u):
    """Tell whether a gradient is worth computing; `u` decides where chance does."""
    if rules.admission == code.FRESH:
        return staleness < rules.limit
    if rules.admission == code.YOUNG:
        return age <= rules.limit
    if rules.admission == code.CHANCE:
        return u < rules.limit
    if rules.admission == code.NEAR:
        return distance_squared(x, reads, slot) <= rules.limit * rules.limit
    return True


@compiled
def weigh(rules, x, reads, slot, tail, taken, staleness):
    """Return the weight of a gradient by the rule of the method."""
    if rules.rate == code.EVEN:
        return 1.0
    if rules.rate == code.TAIL:
        return tail_weight(tail, rules.a, rules.b, taken, staleness)
    if rules.rate == code.INVERSE_DISTANCE:
        square = distance_squared(x, reads, slot)
        return 1.0 if square <= rules.a else rules.a / square
    return weight_of(rules.rate, rules.a, rules.b, rules.table, staleness)
