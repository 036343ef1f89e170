"""Initial history: the state a delay equation needs before it starts.

A problem with longest delay T reads its state on [t0 - T, t0] before the first step. Users give
that as a number or vector, a function of time (perhaps with another state at the start), samples,
or an earlier solution; each becomes a `History` that answers one question, the state at given
times. Nothing here knows about noise or stepping.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Floats = NDArray[np.float64]
_EXAMPLE = "history = 1.0, [1.0, 0.0], lambda t: np.cos(t), or samples (t, x)"


@runtime_checkable
class EarlierSolution(Protocol):
    """What an earlier solution must answer to serve as history."""

    t: Floats
    x: Floats

    def __call__(self, t: Any) -> Floats:
        """Return the state of every path at times `t`."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class History:
    """The state before and at the start.

    Attributes
    ----------
    kind : str
        ``"constant"``, ``"function"``, ``"samples"`` or ``"solution"``.
    source : object
        What the user gave, as arrays where it held numbers.
    start : array or None
        The state at the start, where it differs from what a function says.
    """

    kind: Literal["constant", "function", "samples", "solution"]
    source: Any
    start: Floats | None = None

    @property
    def earliest(self) -> float:
        """The first time at which the history is known; ``-inf`` for constants and functions."""
        if self.kind == "samples":
            return float(self.source[0][0])
        if self.kind == "solution":
            return float(self.source.t[0])
        return -math.inf

    @property
    def latest(self) -> float:
        """The last time at which the history is known; ``inf`` for constants and functions."""
        if self.kind == "samples":
            return float(self.source[0][-1])
        if self.kind == "solution":
            return float(self.source.t[-1])
        return math.inf

    @property
    def count(self) -> int:
        """Number of different histories: 1, or one for each path of an earlier solution."""
        return len(self.source.x) if self.kind == "solution" else 1

    def at(self, times: Floats) -> Floats:
        """Return the states at `times`, shape ``(count, len(times), *state_shape)``."""
        if self.kind == "constant":
            return np.broadcast_to(self.source, (1, len(times), *self.source.shape)).copy()
        if self.kind == "function":
            return np.stack([self._called(float(t)) for t in times])[None]
        if self.kind == "samples":
            return _interpolate(times, *self.source)[None]
        return np.asarray(self.source(times), dtype=np.float64)

    def rows(self, t0: float, dt: float, count: int) -> Floats:
        """Return the states at t0, t0 - dt, ..., shape ``(count of histories, count,
        *state_shape)``.

        The caller has checked that what it reads is known. A row that only serves to interpolate
        and lies before the first known time continues the line through the two rows after it.
        """
        if self.kind == "constant":
            return self.at(np.array([t0]))
        times = t0 - dt * np.arange(count, dtype=np.float64)
        states = self.at(np.clip(times, self.earliest, self.latest).astype(np.float64))
        if self.start is not None:
            states[:, 0] = self.start
        early = np.flatnonzero(times < self.earliest)
        if len(early) and early[0] > 0:
            first, inside = early[0], states[:, early[0] - 1]
            gap = times[first - 1] - self.earliest
            if gap > 1e-9 * dt:  # else the row before is known, and this one stays unread
                slope = (inside - states[:, first]) / gap
                states[:, first] = inside - slope * dt
        return states

    def state_shape(self, t0: float) -> tuple[int, ...]:
        """Return ``()`` for a scalar equation, ``(dim,)`` for a system, from the state at `t0`."""
        if self.kind == "constant":
            return self.source.shape
        if self.kind == "samples":
            return self.source[1].shape[1:]
        if self.kind == "solution":
            return self.source.x.shape[2:]
        shape = self._called(t0).shape
        if self.start is not None and self.start.shape != shape:
            raise checks.fail(
                "history[1]", self.start, f"has shape {self.start.shape}, expected {shape or '()'}",
                why="It is the state at the start, of the shape that history[0] returns.",
            )  # fmt: skip
        return shape

    def jump_at(self, t0: float, dt: float) -> Floats | None:
        """Return the step from the state just before `t0` to that at `t0`; None if there is none.

        Only functions can have one. A millionth of the states over the last `dt` is none.
        """
        if self.kind != "function":
            return None
        before, at = self._called(math.nextafter(t0, -math.inf)), self._called(t0)
        at = at if self.start is None else self.start
        size = max(np.abs(state).max() for state in (at, before, self._called(t0 - dt)))
        return at - before if np.any(np.abs(at - before) > 1e-6 * size) else None

    def _called(self, t: float) -> Floats:
        try:
            value = self.source(t)
        except Exception as error:
            raise checks.fail(
                "history", self.source, f"failed at t = {t:g} ({error})",
                why="A history function takes the time alone.", remedy=f"For example {_EXAMPLE}.",
            ) from error  # fmt: skip
        state = _state(f"history({t:g})", value)
        if state is None:
            raise checks.fail(
                f"history({t:g})", value, "is not a finite number or vector",
                remedy=f"For example {_EXAMPLE}.",
            )  # fmt: skip
        return state


def as_history(value: Any) -> History:
    """Turn what a user gave as `history` into a `History`."""
    if isinstance(value, History):
        return value
    if isinstance(value, EarlierSolution):
        return History("solution", value)
    if callable(value):
        return History("function", value)
    if isinstance(value, tuple) and len(value) == 2 and callable(value[0]):
        start = _state("history[1]", value[1])
        if start is None:
            raise checks.fail(
                "history[1]", value[1], "is not a state",
                why="history = (function, x0) gives the past and the state at the start.",
                remedy="For example history = (lambda t: 0.0, 1.0).",
            )  # fmt: skip
        return History("function", value[0], start)
    if isinstance(value, tuple) and len(value) == 2 and _is_vector(value[0]):
        return History("samples", _samples(*value))
    state = _state("history", value)
    if state is None:
        raise checks.fail(
            "history", value, "is not a state", why="history alone defines where paths start.",
            remedy=f"For example {_EXAMPLE}.",
        )  # fmt: skip
    return History("constant", state)


def _is_vector(value: Any) -> bool:
    return not checks.is_single(value) and np.asarray(value, dtype=object).ndim == 1


def _state(name: str, value: Any) -> Floats | None:
    """Return a finite number or non-empty vector as an array, None for anything else."""
    try:
        raw = np.asarray(value)
    except ValueError:
        return None
    if raw.dtype.kind not in "iuf" or raw.ndim > 1 or raw.size == 0:
        return None
    state = np.array(raw, dtype=np.float64)
    return state if np.isfinite(state).all() else None


def _samples(times: Any, states: Any) -> tuple[Floats, Floats]:
    t = checks.vector("history[0]", times)
    x = checks.array("history[1]", states)
    if np.any(np.diff(t) <= 0):
        raise checks.fail("history[0]", times, "does not increase", why="These are the times.")
    if x.ndim not in (1, 2) or len(x) != len(t):
        raise checks.fail(
            "history[1]", states, f"has shape {x.shape}, expected ({len(t)},) or ({len(t)}, dim)",
            why="history = (t, x) gives one state for each time.",
        )  # fmt: skip
    return t, x


def _interpolate(times: Floats, t: Floats, x: Floats) -> Floats:
    if x.ndim == 1:
        return np.interp(times, t, x)
    return np.stack([np.interp(times, t, column) for column in x.T], axis=-1)
