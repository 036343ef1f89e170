"""What a real server does with each gradient that arrives: a method's rules in plain NumPy.

The same rules as in the event loop, written a second time for servers whose clock is real. Nothing
here knows about time, processes or files.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster import rules as rule
from sdde.cluster import weights as weight

Floats = NDArray[np.float64]

_RATES = (
    weight.Inverse, weight.Adaptive, weight.Capped, weight.Power, weight.Decay, weight.Tail,
    weight.Table, weight.InverseDistance,
)  # fmt: skip
_TINY = 1e-7  # keeps DC-ASGD-a from dividing by zero


def check_method(method: Any, workers: int) -> rule.Composed:
    """Return the rules of a method that a real server can follow.

    Raises
    ------
    sdde.ArgumentError
        If `method` is not a method, waits for more workers than there are, or has rules that need
        the simulator.
    """
    composed = getattr(method, "composed", None)
    if not isinstance(composed, rule.Composed):
        raise checks.fail("method", method, "is not a method", remedy="For example AsyncSGD().")
    waiting, admission = composed.waiting, composed.admission
    known = (
        isinstance(waiting, rule.Group)
        and (admission is None or (isinstance(admission, rule.Fresh) and not admission.stop))
        and (composed.rate is None or isinstance(composed.rate, _RATES))
        and composed.schedule is None and composed.projection is None
        and composed.budget is None and composed.publish == 1 and composed.memory is None
    )  # fmt: skip
    if not known:
        raise checks.fail(
            "method", method, "has rules that a live run does not follow",
            why="Live servers group, drop by staleness, weigh, compensate, clip and add momentum.",
            remedy="For example AsyncSGD(), KSync(2), KBatchAsync(2), StalenessThreshold(8), "
            "DelayCompensated(0.04) or TailTau(); simulate(...) runs the others.",
        )  # fmt: skip
    if isinstance(waiting, rule.Group) and waiting.idle and (waiting.size or 1) > workers:
        raise checks.fail(
            "method", method, f"waits for {waiting.size} of {workers} workers",
            why="Workers that wait for an update would wait for ever.",
            remedy=f"Give at most {workers}.",
        )  # fmt: skip
    return composed


class UpdateRule:
    """Parameters and what else a method keeps, changed by one gradient after the other.

    Parameters
    ----------
    method : Composed
        As returned by `check_method`.
    start : array (dim,)
        First parameters.
    learning_rate : float
        Full learning rate.
    workers : int
        Number of workers.

    Attributes
    ----------
    x : array (dim,)
        Parameters: a new array after each update, because workers may still read the old one.
    version : int
        Updates made.
    """

    def __init__(
        self, method: rule.Composed, start: Floats, learning_rate: float, workers: int
    ) -> None:
        group = method.waiting
        assert isinstance(group, rule.Group)
        self.x: Floats = np.array(start, dtype=np.float64)
        self.version = 0
        self.size = workers if group.size is None else group.size
        self.idle, self._cancel = group.idle, group.cancel
        self._method, self._workers, self._learning_rate = method, workers, learning_rate
        self._total = np.zeros_like(self.x)
        self._velocity = np.zeros_like(self.x)
        self._squares = np.zeros((workers, self.x.size)) if self._adaptive() else np.zeros((0, 0))
        self._weights, self._collected, self._taken = 0.0, 0, 0
        rate = method.rate
        room = int(workers * rate.window[1]) + 1 if isinstance(rate, weight.Tail) else 0
        self._tail = np.zeros(room)

    def _adaptive(self) -> bool:
        fix = self._method.compensation
        return fix is not None and fix.decay is not None

    def receive(
        self, worker: int, gradient: Floats, read: Floats, read_version: int
    ) -> tuple[bool, bool]:
        """Take a gradient of `worker` at the parameters `read`; say if kept, and if updated."""
        staleness = self.version - read_version
        admission = self._method.admission
        late = isinstance(admission, rule.Fresh) and staleness >= admission.limit
        if late or (self._cancel and staleness > 0):
            return False, False
        step = np.array(gradient, dtype=np.float64)
        longest = self._method.clip
        if longest is not None and (size := float(np.sqrt(step @ step))) > longest:
            step *= longest / size
        self._compensate(worker, step, read)
        share = self._weight(staleness, read)
        self._taken += 1
        self._collected += 1
        self._weights += share
        self._total += share * step
        if self._collected < self.size:
            return True, False
        self._update()
        return True, True

    def _compensate(self, worker: int, step: Floats, read: Floats) -> None:
        fix = self._method.compensation
        if fix is None:
            return
        factor: Any = fix.strength
        if fix.decay is not None:
            mean = fix.decay * self._squares[worker] + (1.0 - fix.decay) * step * step
            self._squares[worker] = mean
            factor = fix.strength / np.sqrt(mean + _TINY)
        step += factor * step * step * (self.x - read)

    def _weight(self, staleness: int, read: Floats) -> float:
        late, rate = float(staleness), self._method.rate
        match rate:
            case weight.Inverse():
                return 1.0 / max(1.0, late)
            case weight.Adaptive():
                full = float(rate.full or self._workers)
                return full / max(full, late)
            case weight.Capped():
                most = 1.0 / (4.0 * rate.smoothness * self._learning_rate)
                return 1.0 if late <= (rate.full or self._workers) else min(1.0, most / late)
            case weight.Power():
                return (1.0 + late) ** -rate.power
            case weight.Decay():
                t = self._workers + 1
                slope = 2.0 / t * math.log1p(t / 2.0) if rate.rate is None else rate.rate
                return math.exp(-slope * late)
            case weight.Table():
                return float(rate.weights[min(staleness, len(rate.weights) - 1)])
            case weight.InverseDistance():
                square, room = float(np.sum((self.x - read) ** 2)), rate.constant
                room /= self._learning_rate
                return 1.0 if square <= room else room / square
            case weight.Tail():
                return self._tail_weight(rate, staleness)
        return 1.0

    def _tail_weight(self, rate: weight.Tail, staleness: int) -> float:
        """Weigh by the measured law of the staleness, evenly while it is measured."""
        first, last = (self._workers * edge for edge in rate.window)
        if self._taken >= last:
            pmf = self._tail / self._tail.sum()
            place = min(staleness, len(pmf) - 1)
            below = float(pmf[:place].sum()) + 0.5 * float(pmf[place])
            return 1.0 + rate.amplitude * (1.0 - 2.0 * below)
        if self._taken >= first:
            self._tail[min(staleness, len(self._tail) - 1)] += 1.0
        return 1.0

    def _update(self) -> None:
        method, step = self._method, self._total
        if not method.summed:
            step = step / (max(self._weights, 1e-300) if method.by_weight else self.size)
        if method.momentum:
            step = self._velocity = method.momentum * self._velocity + step
        self.x = self.x - self._learning_rate * step
        self.version += 1
        self._total = np.zeros_like(self.x)
        self._weights, self._collected = 0.0, 0

    def state(self) -> dict[str, Floats]:
        """Return everything that the rest of the run depends on, as arrays.

        Gradients waiting in an unfinished group are left out: a resumed run computes them anew.
        """
        return {
            "x": self.x, "version": np.array(float(self.version)), "velocity": self._velocity,
            "squares": self._squares.copy(), "tail": self._tail.copy(),
            "taken": np.array(float(self._taken - self._collected)),
        }  # fmt: skip

    def restore(self, state: dict[str, Floats]) -> None:
        """Continue from a state.

        Raises
        ------
        ValueError
            If the state is that of another method or number of parameters or workers.
        """
        own = self.state()
        for name, value in own.items():
            if state[name].shape != value.shape:
                raise ValueError(f"{name} has shape {state[name].shape}, not {value.shape}")
        self.x, self._velocity = np.array(state["x"]), np.array(state["velocity"])
        self._squares, self._tail = np.array(state["squares"]), np.array(state["tail"])
        self.version, self._taken = int(state["version"]), int(state["taken"])
