"""The best choice by exhaustive simulation: all numbers of workers and learning rates, zoomed.

A `Bench` turns a system into the tables that `regret_clusters` reads, and simulated squares into
expected losses and times with standard errors. Theory is not asked anywhere here.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments import regret_clusters
from sdde import cluster
from sdde.cluster.machine_tables import machines_of
from sdde.cluster.run_statistics import crossing
from sdde.equation.laws import as_law, as_laws

Floats = NDArray[np.float64]

POINTS = 240  # times of a curve
GROUPS = 16  # of runs, for standard errors
BEYOND = 1.4  # how far a curve goes beyond the time it is asked for
MARGIN = 0.1  # from divergence, in the learning rate: what the planner keeps, too
_WARM = (15.0, 25.0)  # mean cycles until a queue has settled


class Timed(NamedTuple):
    """A simulated time at a choice."""

    workers: int
    learning_rate: float
    time: float
    error: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean squares along `alpha` at `times`: from a start at one, and from unit noise.

    Arrays have the axes group, time, alpha.
    """

    times: Floats
    alpha: Floats
    squares: Floats
    variances: Floats | None
    runs: int

    def losses(self, bench: "Bench", rate: float, rows: Any = slice(None)) -> Floats:
        """Return the expected loss at some times, for each group and then for all (last row)."""
        wanted = rate * bench.eigenvalues
        squares, variances = self.squares[:, rows], self.variances
        noise = None if variances is None else variances[:, rows]
        whole = np.concatenate([squares, squares.mean(axis=0)[None]])
        loss = _at(self.alpha, whole, wanted) @ (0.5 * bench.eigenvalues * bench.start**2)
        if noise is not None:
            both = np.concatenate([noise, noise.mean(axis=0)[None]])
            kicks = 0.5 * bench.eigenvalues * (rate * bench.noise) ** 2
            loss = loss + _at(self.alpha, both, wanted) @ kicks
        return loss

    def time(self, bench: "Bench", workers: int, rate: float) -> Timed:
        """Return when the expected loss settles at the target, with its standard error."""
        losses = self.losses(bench, rate)
        mean = np.where(np.isnan(losses[-1]), np.inf, losses[-1])
        when = crossing(self.times, mean, bench.target, settle=True)
        if math.isnan(when):
            return Timed(workers, rate, math.inf, math.nan)
        index = max(int(np.searchsorted(self.times, when)), 1)
        share = (when - self.times[index - 1]) / (self.times[index] - self.times[index - 1])
        there = (1.0 - share) * losses[:-1, index - 1] + share * losses[:-1, index]
        around = np.array([0.95 * when, min(1.05 * when, self.times[-1])])
        early, late = np.interp(around, self.times, mean)
        slope = (early - late) / (around[1] - around[0])
        error = there.std(ddof=1) / math.sqrt(GROUPS) / slope if slope > 0.0 else math.inf
        return Timed(workers, rate, float(when), float(error))


def _at(alpha: Floats, values: Floats, wanted: Floats) -> Floats:
    """Interpolate the logarithms of squares cubically in the logarithm of alpha (last axis)."""
    if alpha.size == wanted.size and np.allclose(alpha, wanted, rtol=1e-12, atol=0.0):
        return values
    where, at = np.log(alpha), np.log(wanted)
    first = np.clip(np.searchsorted(where, at) - 2, 0, alpha.size - 4)
    nodes = first[:, None] + np.arange(4)
    basis = np.ones(nodes.shape)
    for i in range(4):
        for j in range(4):
            if i != j:
                gap = where[nodes[:, i]] - where[nodes[:, j]]
                basis[:, i] *= (at - where[nodes[:, j]]) / gap
    with np.errstate(all="ignore"):
        logs = np.log(np.maximum(values, 1e-300))
        found = np.exp(np.einsum("...wi,wi->...w", logs[..., nodes], basis))
    return np.where(np.isnan(found), np.inf, found)


@dataclass(frozen=True, eq=False)
class Bench:
    """A system, an objective and a target, ready to be simulated."""

    objective: cluster.Quadratic
    system: cluster.System
    target: float
    seed: int
    together: bool = False  # start of the workers; the noise is always that of a stationary one

    @property
    def eigenvalues(self) -> Floats:
        """The curvatures."""
        return self.objective.eigenvalues

    @property
    def start(self) -> Floats:
        """The distances at the start."""
        return self.objective.start

    @property
    def noise(self) -> Floats:
        """The standard deviations of a gradient."""
        return self.objective.noise

    @cached_property
    def listed(self) -> bool:
        """Whether workers are unequal."""
        return isinstance(self.system.compute_time, list)

    @cached_property
    def has_phases_only(self) -> bool:
        """Whether unequal workers have nothing random but where in their cycles they begin."""
        return self.listed and all(law.kind == "constant" for law in self.laws)

    @cached_property
    def laws(self) -> tuple[Any, ...]:
        """The laws of computing, fastest first, or the one law."""
        laws = as_laws(self.system.compute_time, self.system.workers or 1, "compute_time")
        return tuple(sorted(laws, key=lambda law: law.mean)) if self.listed else laws

    @cached_property
    def link(self) -> Any:
        """The law of the shared link, or None."""
        shared = self.system.communication
        return None if shared is None else as_law(shared.law, "law")

    def tables(self, workers: int) -> tuple[Any, ...]:
        """Return what the compiled routines read of the machines."""
        laws = list(self.laws[:workers]) if self.listed else self.laws[0]
        machines = machines_of(cluster.System(laws), workers, stationary=True)
        tables, link = machines.tables, -1
        if self.link is not None:
            tables, link = np.concatenate([tables, self.link.table()]), len(machines.tables)
        return tables, machines.compute, machines.biased_compute, link

    def cycle(self, workers: int) -> float:
        """Return about the mean time between two gradients of a worker."""
        means = [law.mean for law in self.laws]
        mean = float(np.mean(means[:workers])) if self.listed else means[0]
        if self.link is None:
            return mean
        return max(mean + self.link.mean, workers * self.link.mean)

    def moments(
        self, workers: int, alpha: Floats, horizon: float, runs: tuple[int, int], seed: int
    ) -> tuple[Moments, float]:
        """Simulate runs of a number of workers; return the moments and the gradients computed."""
        tables, think, biased, link = self.tables(workers)
        grid = np.linspace(0.0, horizon, POINTS)
        rates = 1.0 / np.array([law.mean for law in self.laws[:workers]])
        rates = rates if self.listed else np.full(workers, rates[0])
        shares = np.cumsum(rates) / rates.sum()
        warm = np.zeros(2)
        if link >= 0 and not self.together:
            warm = np.array(_WARM) * self.cycle(workers)
        found, gradients, events = [], 0, 0
        for kicked in (False, True) if self.noise.any() else (False,):
            out = np.zeros((GROUPS, POINTS, alpha.size))
            done, arrived = regret_clusters.moments(
                tables, think, biased, link, 1, warm, self.together and not kicked, shares,
                alpha, grid, kicked, seed, np.array(runs), out,
            )  # fmt: skip
            out /= (runs[1] - runs[0]) / GROUPS
            if not kicked:
                gradients = arrived
            found.append(out)
            events += done
        flow = rates.sum() if link < 0 else gradients / ((runs[1] - runs[0]) * horizon)
        variances = found[1] * flow if len(found) > 1 else None
        result = Moments(grid, alpha, found[0], variances, runs[1] - runs[0])
        return result, float(events) * (120.0 + 0.6 * alpha.size) * 1e-9


def joined(parts: list[Moments]) -> Moments:
    """Return the moments of several blocks of runs together."""
    runs = np.array([part.runs for part in parts], float)
    share = runs / runs.sum()
    squares = np.tensordot(share, np.array([part.squares for part in parts]), axes=1)
    noise = [part.variances for part in parts if part.variances is not None]
    variances = np.tensordot(share, np.array(noise), axes=1) if noise else None
    return Moments(parts[0].times, parts[0].alpha, squares, variances, int(runs.sum()))


class Exhaustive:
    """The search: a coarse grid, then finer ones around the best, with more and more runs."""

    def __init__(self, bench: Bench, rate: float | None, most: int, seconds: float) -> None:
        self.bench, self.rate, self.most, self.seconds = bench, rate, most, seconds
        self.spent = 0.0
        self.tried: dict[int, Timed] = {}
        self.rates: tuple[float, float] | None = None
        self.capped, self.caps = False, dict[int, float]()

    def run(self) -> list[Timed]:
        """Return the best choices that keep the margin, at the best numbers of workers."""
        while True:
            found = self.descended()
            best = found[0]
            if self.capped:
                return found
            if self.keeps_margin(best.workers, best.learning_rate):
                return [row for row in found if self.keeps_margin(row.workers, row.learning_rate)]
            # Fewer workers, or every learning rate below its limit, from the beginning.
            if self.rate is not None:
                self.most = self.most_keeping(best.workers - 1)
            self.capped = self.rate is None
            self.tried, self.rates = {}, None

    def keeps_margin(self, workers: int, rate: float) -> bool:
        """Return whether the mean square would not grow at a somewhat larger learning rate."""
        alpha = rate * float(self.bench.eigenvalues.max()) / (1.0 - MARGIN) * (1.0 - 1e-6)
        if alpha * workers < 1.0 and alpha < 0.3:
            return True
        return second_moment_growth(self.bench, workers, alpha, seed=self.bench.seed)[0] < 0.0

    def most_keeping(self, most: int) -> int:
        """Return the largest number of workers, up to `most`, that keeps the margin."""
        low, high = 1, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            kept = self.keeps_margin(middle, self.rate or 0.0)
            low, high = (middle, high) if kept else (low, middle)
        return low

    def cap(self, workers: int) -> float:
        """Return the largest learning rate, times eigenvalue, that keeps the margin."""
        if workers not in self.caps:
            limit, _ = largest_alpha(self.bench, workers, min(1.2, 1.7 / workers))
            self.caps[workers] = (1.0 - MARGIN) * limit
        return self.caps[workers]

    def descended(self) -> list[Timed]:
        """Return the best choices, best first: a coarse grid, zoomed twice."""
        counts = self.coarse()
        self.look(counts, BEYOND * self.first_time(), 64, 0.02)
        for precision in (0.01, 0.005):
            best = min(self.tried.values(), key=lambda row: row.time)
            if self.rate is None:
                self.rates = best.learning_rate / 2.5, best.learning_rate * 2.5
            known = sorted(self.tried)
            at = known.index(best.workers)
            low, high = known[max(at - 1, 0)], known[min(at + 1, len(known) - 1)]
            if precision < 0.01:
                low, high = max(low, best.workers - 12), min(high, best.workers + 12)
            counts = np.unique(np.linspace(low, high, 9).round().astype(int))
            self.look(counts, BEYOND * best.time, 128, precision)
        ranked = sorted(self.tried.values(), key=lambda row: row.time)
        return [row for row in ranked if row.time <= 1.03 * ranked[0].time][:3]

    def coarse(self) -> Any:
        """Return numbers of workers over the whole range."""
        return np.unique(np.geomspace(1, self.most, 13).round().astype(int))

    def first_time(self) -> float:
        """Return about the best time, from few numbers of workers and few runs."""
        horizon = 4.0 * self.bench.cycle(1)
        for _ in range(14):
            times, falling = [], False
            for count in self.coarse()[::2]:
                workers = int(count)
                found, price = self.bench.moments(
                    workers, self.nodes(workers), horizon, (0, 16), self.bench.seed
                )
                self.spent += price
                times.append(self.best_of(found, workers).time)
                falling |= self.rate is None or self.falls(found, self.rate)
            if math.isfinite(min(times)):
                return min(times)
            if not falling:
                break
            horizon *= 2.0
        raise RuntimeError("no number of workers reaches the target")

    def falls(self, found: Moments, rate: float) -> bool:
        """Return whether a loss still falls at the end: by more than 3 % in its last half."""
        loss = found.losses(self.bench, rate)[-1]
        return bool(loss[-20:].mean() < 0.97 * loss[POINTS // 2 - 20 : POINTS // 2].mean())

    def look(self, counts: Any, horizon: float, runs: int, precision: float) -> None:
        """Simulate some numbers of workers to a precision, as far as the time goes."""
        for count in counts:
            workers = int(count)
            alpha, parts, done = self.nodes(workers), [], 0
            size = runs
            while True:
                part, price = self.bench.moments(
                    workers, alpha, horizon, (done, done + size), self.bench.seed
                )
                self.spent += price
                parts.append(part)
                done += size
                best = self.best_of(joined(parts), workers)
                known = min((row.time for row in self.tried.values()), default=math.inf)
                sure = not best.error > precision * best.time
                if sure or best.time > 1.1 * known or price > 0.05 * self.seconds:
                    break
                size = done
            self.tried[workers] = best

    def nodes(self, workers: int) -> Floats:
        """Return the products of learning rate and eigenvalue that are simulated."""
        values = self.bench.eigenvalues
        if self.rate is not None:
            return self.rate * np.unique(values)
        top = min(2.0, math.sqrt(3.0 / workers))
        low, high = self.rates or (1e-3 * top / values.max(), top / values.max())
        low, high = low * values.min(), min(high * values.max(), top)
        steps = max(math.ceil(math.log(high / low) / 0.2), 6)
        return np.geomspace(low, high, steps + 1)

    def best_of(self, found: Moments, workers: int) -> Timed:
        """Return the time at the best learning rate."""
        if self.rate is not None:
            return found.time(self.bench, workers, self.rate)
        values = self.bench.eigenvalues
        low, high = found.alpha[0] / values.min(), found.alpha[-1] / values.max()
        if self.capped:
            high = max(min(high, self.cap(workers) / values.max()), low)
        best = Timed(workers, low, math.inf, math.nan)
        grid = np.geomspace(low, high, 25)
        for _ in range(3):
            rows = [found.time(self.bench, workers, float(rate)) for rate in grid]
            at = int(np.argmin([row.time for row in rows]))
            best = min(best, rows[at], key=lambda row: row.time)
            grid = np.geomspace(grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)], 9)
        return best


def confirmed(
    bench: Bench, workers: int, rate: float, guess: float, *, seconds: float,
    precision: float = 0.005,
) -> tuple[Timed, Moments]:  # fmt: skip
    """Return the time of a choice to a precision, and its moments.

    The random numbers are those of the bench, the same for all choices.
    """
    alpha, horizon = rate * np.unique(bench.eigenvalues), BEYOND * guess
    parts, done, size, spent = [], 0, 256, 0.0
    while True:
        part, price = bench.moments(workers, alpha, horizon, (done, done + size), bench.seed)
        spent += price
        parts.append(part)
        done += size
        whole = joined(parts)
        found = whole.time(bench, workers, rate)
        if math.isinf(found.time) and horizon < 10.0 * guess:
            horizon, parts, done, size = 1.6 * horizon, [], 0, 256
            continue
        if not found.error > precision * found.time or spent + 2.0 * price > seconds:
            return found, whole
        size = done


def second_moment_growth(
    bench: Bench, workers: int, alpha: float, *, particles: int = 256, periods: int = 96,
    seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    """Return the growth of the mean square per mean cycle, and its standard error.

    By cloning (`regret_clusters.growth`): runs are weighed by what they add to the second moment,
    so that rare runs count as much as they must. Where only the phases are random, nothing grows
    for ever but with the exponent that almost all of them share: it is a mean over many phases,
    since cloning would choose those that grow for a while.
    """
    if bench.has_phases_only:
        particles, periods = 8 * particles, 4 * periods
    tables, think, biased, link = bench.tables(workers)
    cycle = bench.cycle(workers)
    warm = np.array(_WARM if link >= 0 else (0.0, 0.0)) * cycle
    logs = regret_clusters.growth(
        tables, think, biased, link, 1, warm, alpha, cycle, 30, periods, particles, seed,
        not bench.has_phases_only,
    )  # fmt: skip
    # The slope of a line: waves at both ends count less than in the mean.
    growth = np.polynomial.polynomial.polyfit(np.arange(periods), np.cumsum(logs), 1)[1]
    blocks = logs.reshape(8, -1).mean(axis=1)
    return float(growth), float(blocks.std(ddof=1) / math.sqrt(len(blocks)))


def largest_alpha(bench: Bench, workers: int, guess: float) -> tuple[float, float]:
    """Return the alpha from which the mean square grows, and its standard error.

    A bracket around a first guess is closed by bisection; a line through the growth near its root
    decides. Every growth has random numbers of its own. Where only phases are random, growth is
    known better and bends more, and the line is shorter.
    """
    seeds = itertools.count(1000 * bench.seed)
    halvings, beyond = (8, 0.006) if bench.has_phases_only else (3, 0.03)

    def at(alpha: float) -> tuple[float, float]:
        return second_moment_growth(bench, workers, alpha, seed=next(seeds))

    low, high = 0.85 * guess, 1.18 * guess
    while at(low)[0] > 0.0:
        low *= 0.8
    while at(high)[0] < 0.0:
        high *= 1.25
    for _ in range(halvings):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if at(middle)[0] > 0.0 else (middle, high)
    return root_of(np.geomspace((1.0 - beyond) * low, (1.0 + beyond) * high, 7), at)


def most_stable_workers(bench: Bench, rate: float, guess: int) -> tuple[float, float]:
    """Return the number of workers from which the mean square grows, a broken number, and its
    standard error.
    """
    alpha = rate * float(bench.eigenvalues.max())
    seeds = itertools.count(1000 * bench.seed)

    def at(workers: float) -> tuple[float, float]:
        return second_moment_growth(bench, round(workers), alpha, seed=next(seeds))

    low, high = max(round(0.85 * guess), 1), max(round(1.18 * guess), guess + 2)
    while low > 1 and at(low)[0] > 0.0:
        low = max(round(0.8 * low), 1)
    while at(high)[0] < 0.0:
        high = round(1.25 * high) + 1
    for _ in range(4):
        middle = round(0.5 * (low + high))
        if middle in (low, high):
            break
        low, high = (low, middle) if at(middle)[0] > 0.0 else (middle, high)
    counts = np.unique(np.linspace(max(low - 2, 1), high + 2, 7).round())
    return root_of(counts, at)


def root_of(places: Floats, at: Any) -> tuple[float, float]:
    """Return where a noisy function with errors crosses zero, by a line, and the error of that."""
    values = np.array([at(float(place)) for place in places])
    weight = 1.0 / np.maximum(values[:, 1], 1e-3)
    line = np.polynomial.polynomial.polyfit(places, values[:, 0], 1, w=weight)
    root = -line[0] / line[1]
    return float(root), float(1.0 / math.sqrt(np.sum(weight**2)) / abs(line[1]))
