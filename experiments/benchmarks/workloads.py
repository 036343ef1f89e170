"""The equations that the benchmark solves, and how large: plain values that every contender reads.

The functions are what a user of `sdde` writes; given another library's array namespace they also
work on all paths at once, with the state's components as the first axis. Nothing here measures.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import sdde

Function = Callable[..., Any]

DENSE = -np.eye(32) + 0.3 / np.sqrt(32) * np.random.default_rng(3).uniform(-1.0, 1.0, (32, 32))
NETWORK = np.array([[0.0, 1.5, -0.5], [-0.5, 0.0, 1.5], [1.5, -0.5, 0.0]])


def linear(xp: Any) -> tuple[Function, Function | float]:
    """Return dx = -x(t - delay) dt + 0.1 dW."""
    return lambda t, x, delayed: -delayed[0], 0.1


def mackey_glass(xp: Any) -> tuple[Function, Function | float]:
    """Return the Mackey-Glass equation with multiplicative noise."""

    def drift(t: Any, x: Any, delayed: Any) -> Any:
        return 0.2 * delayed[0] / (1.0 + delayed[0] ** 10) - 0.1 * x

    return drift, lambda t, x, delayed: 0.05 * x


def dense(xp: Any) -> tuple[Function, Function | float]:
    """Return a dense matrix on the delayed state, additive noise."""
    matrix = xp.asarray(DENSE)
    return lambda t, x, delayed: matrix @ delayed[0], 0.1


def lorenz(xp: Any) -> tuple[Function, Function | float]:
    """Return the Lorenz equations whose middle component feels the first one late."""

    def drift(t: Any, x: Any, delayed: Any) -> Any:
        u, v, w = x
        return np.array([10.0 * (v - u), delayed[0][0] * (28.0 - w) - v, u * v - 8.0 / 3.0 * w])

    return drift, 0.1


def network(xp: Any) -> tuple[Function, Function | float]:
    """Return three neurons that hear each other late."""
    return lambda t, x, delayed: NETWORK @ np.tanh(delayed[0]) - x, 0.1


MIXING = np.array([[0.3, 0.1, -0.2], [0.1, 0.2, 0.1], [-0.1, 0.2, 0.3]])


def mixed(xp: Any) -> tuple[Function, Function | float]:
    """Return three components, each shaken in proportion to itself by three Wiener processes."""
    return lambda t, x, delayed: -delayed[0], lambda t, x, delayed: MIXING * x[:, None]


def coupled(dim: int) -> Callable[[Any], tuple[Function, Function | float]]:
    """Return a rule for `dim` components, each pulled by its own past and its neighbour's."""
    matrix = -np.eye(dim) + 0.3 * np.roll(np.eye(dim), 1, axis=1)

    def rule(xp: Any) -> tuple[Function, Function | float]:
        return lambda t, x, delayed: matrix @ delayed[0], 0.1

    return rule


def kicks(xp: Any) -> tuple[Function, Function | float]:
    """Return no motion between the jumps."""
    return lambda t, x, delayed: 0.0, 0.0


BOUND = 50.0  # of the rate of thinned arrivals, per unit of time


def crossing(work: "Workload") -> dict[str, Any]:
    """Return that noise is a matrix."""
    return {"noise": "general"}


def swinging(work: "Workload") -> dict[str, Any]:
    """Return a delay that swings with time below the longest one."""
    longest = work.lag * work.dt
    return {"delays": sdde.TimeDelay(lambda t: longest * (0.5 + 0.4 * np.sin(t)), longest)}


def stretching(work: "Workload") -> dict[str, Any]:
    """Return a delay that is longer where the state is far from zero."""
    longest = work.lag * work.dt

    def delay(t: Any, x: Any) -> Any:
        square = x * x
        return longest * (0.5 + 0.4 * square / (1.0 + square))

    return {"delays": sdde.StateDelay(delay, longest)}


def thinned(work: "Workload") -> dict[str, Any]:
    """Return arrivals inside steps, at a rate that depends on the state."""
    kick = work.kick

    def rate(t: Any, x: Any, delayed: Any) -> Any:
        square = x * x
        return BOUND * (square / (1.0 + square))

    def effect(t: Any, x: Any, delayed: Any, mark: Any) -> Any:
        return -kick * delayed[0]

    return {"jumps": sdde.Jump(rate, effect, longest_rate=BOUND)}


@dataclass(frozen=True, slots=True)
class Workload:
    """One equation and its size; `lag` and `every` count the steps of a delay and between saves."""

    name: str
    title: str
    rule: Callable[[Any], tuple[Function, Function | float]]
    paths: int
    steps: int
    lag: int
    dt: float
    start: float
    every: int
    dim: int = 0  # 0: scalar equation
    rate: float = 0.0  # Poisson arrivals per unit of time,
    kick: float = 0.0  # each adding -kick * x(t - delay)
    more: Callable[["Workload"], dict[str, Any]] | None = None  # further arguments of the problem

    @property
    def units(self) -> float:
        """What times are divided by: path-steps, or with jumps the expected events."""
        return self.paths * self.steps * (self.dt * self.rate if self.rate else 1.0)

    @property
    def span(self) -> tuple[float, float]:
        """Start and end of the run."""
        return 0.0, self.steps * self.dt

    @property
    def history(self) -> Any:
        """The constant state before the start."""
        return np.full(self.dim, self.start) if self.dim else self.start

    def problem(self) -> "sdde.Problem":
        """Return the equation for `sdde.solve`."""
        drift, diffusion = self.rule(np)
        delay = self.lag * self.dt
        if not self.rate:
            more = {} if self.more is None else self.more(self)
            arguments = {"delays": (delay,), "history": self.history} | more
            return sdde.Problem(drift, diffusion, **arguments)
        kick = self.kick
        jump = sdde.Jump(self.rate, lambda t, x, delayed, mark: -kick * delayed[0])
        return sdde.Problem(drift, delays=(delay,), history=self.history, jumps=(jump,))

    def short(self) -> "Workload":
        """Return a run over two delays (jumps: four), on which results are compared."""
        steps = (4 if self.rate else 2) * self.lag
        paths = min(self.paths, 2000)
        return replace(self, paths=paths, steps=steps, every=steps if self.every > 1 else 1)

    def quick(self) -> "Workload":
        """Return a tenth or so of the work."""
        if self.paths == 1:
            return replace(self, steps=self.steps // 4)
        return replace(self, paths=max(64, self.paths // 8))


WORKLOADS = (
    Workload("W1", "linear, 1 path", linear, 1, 100_000, 1000, 1e-3, 1.0, 1),
    Workload("W1L", "linear, 1 long path", linear, 1, 1_000_000, 1000, 1e-3, 1.0, 1),
    Workload("W2", "linear, many paths", linear, 10_000, 2000, 100, 0.01, 1.0, 100),
    Workload("W3", "Mackey-Glass, many paths", mackey_glass, 10_000, 2000, 170, 0.1, 0.9, 100),
    Workload("W4", "32 components, dense matrix", dense, 100, 2000, 100, 0.01, 1.0, 2000, 32),
    Workload(
        "W5", "Poisson kicks", kicks, 10_000, 10_000, 100, 0.01, 1.0, 10_000, rate=50.0, kick=0.01
    ),
    Workload("N3", "Lorenz, 3 components", lorenz, 2000, 2000, 100, 0.002, 1.0, 2000, 3),
    Workload("T3", "tanh network, 3 components", network, 2000, 2000, 100, 0.01, 0.5, 2000, 3),
    Workload(
        "G3", "noise matrix, 3 x 3", mixed, 2000, 2000, 100, 0.01, 1.0, 2000, 3, more=crossing
    ),
    Workload(
        "D1", "delay that swings with time", linear, 4000, 2000, 100, 0.01, 1.0, 2000, more=swinging
    ),
    Workload(
        "D2",
        "delay that depends on the state",
        linear,
        4000,
        2000,
        100,
        0.01,
        1.0,
        2000,
        more=stretching,
    ),
    Workload(
        "J1",
        "noise, and arrivals inside steps at a rate that depends on the state",
        linear,
        1000,
        2000,
        100,
        0.01,
        1.0,
        2000,
        kick=0.01,
        more=thinned,
    ),
)
