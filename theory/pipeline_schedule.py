"""The timetable of an actor-learner pipeline: who works when, what is used, held back or dropped.

Results are drawn and followed one by one through generators, buffer and learner, by the rules of
`sdde.cluster.ActorLearner`; parameters and gradients do not occur. A timetable with a hard budget
of staleness has no closed form for general laws, so this is a recursion over drawn times, with
errors from batches. Nothing here knows objectives.
"""

import heapq
import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

Floats = NDArray[np.float64]

_BATCHES = 20
_FOLLOWED = 1500  # updates of the recursion that finds where training diverges
_BLOCK = 500  # times drawn together
_WARM = 0.1  # share of the updates that is left out at the beginning


@dataclass(frozen=True, slots=True)
class Machines:
    """Laws of a pipeline's machines.

    Attributes
    ----------
    generation : tuple of Law
        Time of one result, one law for each generator or one for all.
    transfer : Law or None
        Time to send a result and fetch parameters.
    learning : Law or None
        Time of one update.
    buffer : int
        Finished results that can wait for the learner; -1 if a generator waits with its own.
    """

    generation: tuple[Law, ...]
    transfer: Law | None
    learning: Law | None
    buffer: int


@dataclass(frozen=True, slots=True)
class Timetable:
    """What happened in a drawn timetable after its beginning was left out.

    Attributes
    ----------
    duration, updates : float, int
        Length in time and in updates.
    ages : numpy.ndarray
        For each result used: time from the publication of the parameters that it was made with to
        the end of its update.
    staleness : numpy.ndarray of int
        For each result used, in order: updates in between.
    lengths, used : numpy.ndarray
        Generation time of each finished result, and whether it was used.
    gaps : numpy.ndarray
        Times between updates.
    working, held, waiting : float
        Shares of the generators' time: busy, held back by the budget, waiting for the learner.
    learner_busy : float
        Share of the learner's time.
    rate_error : float
        Relative standard error of the update rate.
    """

    duration: float
    updates: int
    ages: Floats
    staleness: NDArray[np.int64]
    lengths: Floats
    used: NDArray[np.bool_]
    gaps: Floats
    working: float
    held: float
    waiting: float
    learner_busy: float
    rate_error: float


class _Draws:
    """Drawn times, a block at a time with one from each slice of probability, in random order."""

    def __init__(self, law: Law | None, rng: np.random.Generator) -> None:
        self.law, self.rng, self.left = law, rng, []

    def __call__(self) -> float:
        if self.law is None:
            return 0.0
        if not self.left:
            slices = (self.rng.permutation(_BLOCK) + self.rng.random(_BLOCK)) / _BLOCK
            self.left = self.law.quantile(slices).tolist()
        return self.left.pop()


class _Pipeline:
    """The state of a pipeline while its timetable is drawn."""

    def __init__(self, machines: Machines, generators: int, method: Any, seed: int) -> None:
        streams = iter(np.random.default_rng(seed).spawn(len(machines.generation) + 2))
        self.transfer = _Draws(machines.transfer, next(streams))
        self.learning = _Draws(machines.learning, next(streams))
        work = [_Draws(law, next(streams)) for law in machines.generation]
        self.work = work * generators if len(work) == 1 else work
        self.served, self.buffer = machines.learning is not None, machines.buffer
        self.method, self.paced = method, method.keep == "pacing"
        self.events: list[tuple[float, int]] = []  # ends; generator number `generators`: learner
        self.learner = generators
        self.versions, self.reads = [0] * generators, [0.0] * generators
        self.oldest: Counter[int] = Counter()  # versions of what is under way
        self.held: deque[int] = deque()
        self.since = [0.0] * generators
        self.queue: deque[tuple[int, int, float, float]] = deque()  # generator or -1 if shelved
        self.version = self.public = self.taken = self.outstanding = self.stored = 0
        self.published = {0: 0.0}
        self.busy, self.last = False, -1
        self.group: list[tuple[int, int]] = []
        self.ends: list[float] = []
        self.used: list[tuple[int, float, int]] = []  # version made, age, staleness
        self.finished: list[tuple[float, float, bool]] = []  # when, how long, used
        self.idle = {"held": 0.0, "waiting": 0.0, "learner": 0.0}

    def begin(self, who: int, now: float) -> None:
        self.versions[who], self.reads[who] = self.public, now
        self.oldest[self.public] += 1
        self.outstanding += 1
        heapq.heappush(self.events, (now + self.work[who]() + self.transfer(), who))

    def release(self, free: list[int], now: float) -> None:
        """Let generators begin that may."""
        if not self.paced:
            for who in free:
                self.begin(who, now)
            return
        for who in free:
            self.held.append(who)
            self.since[who] = now
        method = self.method
        while self.held:
            oldest = min(self.public, min(self.oldest, default=self.public))
            if self.taken + self.outstanding >= method.k * (oldest + method.budget + 1):
                return
            who = self.held.popleft()
            self.idle["held"] += now - self.since[who]
            self.begin(who, now)

    def take(self, item: tuple[int, int, float, float], now: float) -> list[int]:
        """Let the learner look at a result; return who goes on."""
        who, version, _, length = item
        self.outstanding -= 1
        self.oldest[version] -= 1
        if not self.oldest[version]:
            del self.oldest[version]
        staleness = self.version - version
        keep = self.paced or staleness <= self.method.budget
        self.finished.append((now, length, keep))
        free = [who] if who >= 0 else []
        if keep:
            self.taken += 1
            self.group.append((version, staleness))
            if len(self.group) == self.method.k:
                if free and (not self.served or self.buffer < 0):
                    self.last, free = who, []
                    self.since[who] = now
                if self.served:
                    self.busy, time = True, self.learning()
                    self.idle["learner"] += time
                    heapq.heappush(self.events, (now + time, self.learner))
                else:
                    free += self.update(now)
        if who < 0:  # there is a shelf again
            self.stored -= 1
            for place, (other, made, begun, took) in enumerate(self.queue):
                if other >= 0:
                    self.queue[place] = (-1, made, begun, took)
                    self.stored += 1
                    self.idle["waiting"] += now - self.since[other]
                    free.append(other)
                    break
        return free

    def update(self, now: float) -> list[int]:
        """End an update; return who goes on."""
        self.busy = False
        self.version += 1
        self.ends.append(now)
        for version, staleness in self.group:
            self.used.append((self.version, now - self.published[version], staleness))
        self.group.clear()
        if self.version % self.method.publish == 0:
            self.public = self.version
            self.published[self.version] = now
            oldest = min(self.oldest, default=self.public)
            while next(iter(self.published)) < oldest:  # nobody works with it any more
                del self.published[next(iter(self.published))]
        free = [self.last] if self.last >= 0 else []
        if free:
            self.idle["waiting"] += now - self.since[self.last]
        self.last = -1
        return free

    def run(self, updates: int) -> None:
        self.release(list(range(self.learner)), 0.0)
        while self.version < updates:
            now, who = heapq.heappop(self.events)
            free: list[int] = []
            if who == self.learner:
                free += self.update(now)
            else:
                item = (who, self.versions[who], self.reads[who], now - self.reads[who])
                if not self.busy:
                    free += self.take(item, now)
                elif self.stored < self.buffer:
                    self.queue.append((-1, *item[1:]))
                    self.stored += 1
                    free.append(who)
                else:
                    self.queue.append(item)
                    self.since[who] = now
            while self.queue and not self.busy:
                item = self.queue.popleft()
                if item[0] >= 0:
                    self.idle["waiting"] += now - self.since[item[0]]
                free += self.take(item, now)
            self.release(free, now)


def timetable(
    machines: Machines, generators: int, method: Any, *, updates: int, seed: int = 0
) -> Timetable:
    """Return a drawn timetable.

    Parameters
    ----------
    machines : Machines
    generators : int
        Number of generators.
    method : sdde.cluster.ActorLearner
        With a budget of at least ``publish - 1``: else nothing is used in the end.
    updates : int
        Length, at least 100.
    seed : int
        Of the drawn times; the same seed gives the same times whatever the method.
    """
    state = _Pipeline(machines, generators, method, seed)
    state.run(updates)
    ends = np.array(state.ends)
    first = int(_WARM * ends.size)
    begin, end = float(ends[first]), float(ends[-1])
    used = [row for row in state.used if row[0] > first + 1]
    finished = [row for row in state.finished if begin < row[0] <= end]
    gaps = np.diff(ends[first:])
    batches = np.array([part.mean() for part in np.array_split(gaps, _BATCHES)])
    whole = generators * end
    held, waiting = state.idle["held"] / whole, state.idle["waiting"] / whole
    return Timetable(
        end - begin, ends.size - first - 1, np.array([row[1] for row in used]),
        np.array([row[2] for row in used]), np.array([row[1] for row in finished]),
        np.array([row[2] for row in finished]), gaps, 1.0 - held - waiting, held, waiting,
        state.idle["learner"] / end,
        float(batches.std(ddof=1) / math.sqrt(_BATCHES) / batches.mean()),
    )  # fmt: skip


def largest_alpha(table: Timetable) -> float:
    """Return the learning rate times curvature from which training along this timetable diverges.

    The recursion of one coordinate without noise, update by update, with the parameters that each
    result was really made with; so it knows that stale updates come in rows. Good to 2 %.
    """
    count = min(table.updates, _FOLLOWED)
    size = table.staleness.size // table.updates
    reads = np.arange(count)[:, None] - table.staleness[: count * size].reshape(count, size)
    oldest = int(table.staleness.max())
    low, high = 0.5 / (oldest + 1.0), 2.5
    for points in (24, 12):
        alpha = np.geomspace(low, high, points)
        grows = _grows(alpha, reads + oldest, oldest)
        first = int(np.argmax(grows)) if grows.any() else points - 1
        low, high = float(alpha[max(first - 1, 0)]), float(alpha[first])
    return math.sqrt(low * high)


def _grows(alpha: Floats, reads: NDArray[np.int64], oldest: int) -> NDArray[np.bool_]:
    """Return whether the recursion is larger in its last quarter than in its first."""
    count = len(reads)
    x = np.ones((count + oldest + 1, alpha.size))
    with np.errstate(over="ignore", invalid="ignore"):
        for update in range(count):
            at = update + oldest
            x[at + 1] = x[at] - alpha * x[reads[update]].mean(axis=0)
        size = np.abs(x)
        early, late = size[: count // 4].max(axis=0), size[-(count // 4) :].max(axis=0)
    return ~(late < early)
