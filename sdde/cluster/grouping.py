"""How gradients become an update: groups of them, and what the update does. Compiled.

A group is a number of gradients, or enough from every worker, or a table with the gradients of
every worker that is refreshed worker by worker. Nothing here knows about time.
"""

from sdde.cluster import encoding as code
from sdde.cluster.compiling import compiled
from sdde.cluster.weighing import project, schedule_factor

# Entries of `Workspace.counts`.
GROUP = 0  # gradients in the group so far
SERVED = 1  # workers that the round has served, -1 while it still collects


@compiled
def clear_groups(work):
    """Forget all gradients, momentum and what was learned about them."""
    for array in (work.tail, work.free, work.velocity):
        array[:] = 0.0
    for table in (work.sums, work.surplus, work.squares):
        for i in range(table.shape[0]):
            for j in range(table.shape[1]):
                table[i, j] = 0.0
    for numbers in (work.members, work.more, work.again, work.done):
        numbers[:] = 0
    work.counts[GROUP], work.counts[SERVED] = 0, -1
    work.weights[0] = 0.0


@compiled
def collect(work, rules, worker, weight):
    """Join a weighed gradient to the group; return whether the group is complete."""
    step, counts = work.step, work.counts
    if rules.rounds:
        later = counts[SERVED] >= 0 and work.done[worker] == 1  # it counts for the next round
        sums, members = (work.surplus, work.more) if later else (work.sums, work.members)
        members[worker] += 1
        for i in range(step.shape[0]):
            sums[worker, i] += weight * step[i]
        if counts[SERVED] < 0:
            complete = True
            for count in members:
                complete &= count > 0
            if complete:
                counts[SERVED] = 0
        else:
            complete = not later
        work.again[worker] = 0 if complete else 1
        return complete
    if rules.balanced:
        work.members[worker] += 1
        for i in range(step.shape[0]):
            work.sums[worker, i] += weight * step[i]
        return _is_balanced(rules.size, work.members)
    counts[GROUP] += 1
    if counts[GROUP] == 1:
        work.weights[0] = weight
        for i in range(step.shape[0]):
            work.total[i] = weight * step[i]
    else:
        work.weights[0] += weight
        for i in range(step.shape[0]):
            work.total[i] += weight * step[i]
    return counts[GROUP] == rules.size


@compiled
def _is_balanced(size, members):
    """Tell whether the harmonic mean of the workers' counts has reached size / workers."""
    total = 0.0
    for count in members:
        if count == 0:
            return False
        total += 1.0 / count
    return members.shape[0] * members.shape[0] >= size * total


@compiled
def _join(out, sums, members):
    """Put the sum over the workers of their mean gradients into `out`."""
    out[:] = 0.0
    for w in range(members.shape[0]):
        for i in range(out.shape[0]):
            out[i] += sums[w, i] / members[w]


@compiled
def _end_group(work, rules, worker):
    """Put the group into `total`; return its divisor, and begin the next group."""
    sums, surplus, members, more = work.sums, work.surplus, work.members, work.more
    workers = members.shape[0]
    if rules.rounds:
        _join(work.total, sums, members)
        work.done[worker] = 1
        work.counts[SERVED] += 1
        if work.counts[SERVED] == workers:
            work.counts[SERVED] = -1
            for w in range(workers):
                members[w], more[w], work.done[w] = more[w], 0, 0
                for i in range(work.total.shape[0]):
                    sums[w, i], surplus[w, i] = surplus[w, i], 0.0
        return float(workers)
    if rules.balanced:
        _join(work.total, sums, members)
        for w in range(workers):
            members[w] = 0
            for i in range(work.total.shape[0]):
                sums[w, i] = 0.0
        return float(workers)
    work.counts[GROUP] = 0
    if rules.summed:
        return 1.0
    return max(work.weights[0], 1e-300) if rules.by_weight else float(rules.size)


@compiled
def update(work, rules, learning_rate, version, worker, limit):
    """Update the parameters by the group that `worker` completed; return whether all is sound."""
    x, total, velocity, behind = work.x, work.total, work.velocity, work.behind
    factor = learning_rate / _end_group(work, rules, worker)
    if rules.schedule != code.STEADY:
        factor *= schedule_factor(rules.schedule, rules.power, rules.offset, rules.breaks, version)
    if rules.momentum > 0.0:
        for i in range(x.shape[0]):
            velocity[i] = rules.momentum * velocity[i] + total[i]
            total[i] = velocity[i]
    sound = True
    for i in range(x.shape[0]):
        x[i] -= factor * total[i]
        sound &= abs(x[i]) <= limit
    if rules.projection != code.FREE:
        for i in range(x.shape[0]):
            behind[i] -= factor * total[i]
            sound &= abs(behind[i]) <= limit
        project(behind, x, rules.projection, rules.lazy, rules.low, rules.high)
    return sound
