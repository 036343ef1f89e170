"""Moments: mean and variance over paths, streamed, so that no path is stored.

Each job computes its paths into a buffer and hands over count, mean and sum of squared deviations;
these are merged in the order of the paths, so the result is the same for any number of threads.
Nothing here knows how paths are computed.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Floats = NDArray[np.float64]
GROUP = 64  # paths that are always reduced together, whatever the threads
_JOB = 4_000_000  # path-steps of one job
_BUFFER = 4_000_000  # numbers in the buffer of one job; 32 MB


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """What to keep of a solve instead of paths: mean and variance over paths at some times.

    Pass it as ``save=`` to `sdde.solve`; memory then depends on neither paths nor steps.

    Parameters
    ----------
    times : "all", "final", int or array of float
        Which times, as in ``save=`` of `sdde.solve`.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> kept = sdde.Moments([1.0, 2.0])
    >>> solution = sdde.solve(problem, (0.0, 2.0), dt=0.01, paths=1000, rng=1, save=kept)
    >>> solution.mean().shape, solution.x.shape
    ((2,), (0, 2))
    """

    times: Any = "final"

    def __post_init__(self) -> None:
        if isinstance(self.times, Moments):
            raise checks.fail("times", self.times, "are moments", remedy="times = [1.0, 2.0].")


def cut_groups(paths: int, steps: int, numbers: int) -> list[tuple[int, int]]:
    """Return jobs (first path, end) of whole groups; `numbers` are kept of each path."""
    fit = min(_JOB // max(1, steps), _BUFFER // max(1, numbers))
    length = GROUP * max(1, fit // GROUP)
    return [(first, min(first + length, paths)) for first in range(0, paths, length)]


@dataclass(eq=False)
class Accumulator:
    """Count, mean and sum of squared deviations of all paths up to some path, in order.

    Parameters
    ----------
    shape : tuple of int
        ``(times, dim)``.
    """

    shape: tuple[int, ...]
    count: int = 0
    waiting: dict[int, tuple[int, Floats, Floats]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.shape)
        self.squares = np.zeros(self.shape)

    def add(self, first: int, states: Floats) -> None:
        """Take the states of the paths from `first` on, shape ``(paths, times, dim)``."""
        count, mean, squares = 0, np.zeros(self.shape), np.zeros(self.shape)
        for begin in range(0, len(states), GROUP):
            part = states[begin : begin + GROUP]
            middle = part.mean(axis=0)
            spread = ((part - middle) ** 2).sum(axis=0)
            count, mean, squares = _merge(count, mean, squares, len(part), middle, spread)
        with self.lock:
            self.waiting[first] = (count, mean, squares)
            while self.count in self.waiting:
                self.count, self.mean, self.squares = _merge(
                    self.count, self.mean, self.squares, *self.waiting.pop(self.count)
                )

    def moments(self) -> tuple[Floats, Floats]:
        """Return mean and variance (over the number of paths); nan if no path was finished."""
        if self.count == 0:
            return np.full(self.shape, np.nan), np.full(self.shape, np.nan)
        return self.mean, self.squares / self.count


def _merge(
    count: int, mean: Floats, squares: Floats, more: int, other: Floats, spread: Floats
) -> tuple[int, Floats, Floats]:
    """Merge two samples (Chan, Golub and LeVeque's update)."""
    total = count + more
    shift = other - mean
    return (
        total,
        mean + shift * (more / total),
        squares + spread + shift * shift * (count * more / total),
    )
