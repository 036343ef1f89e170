"""From a problem, a time span and a time step to the numbers that the engine runs on.

Lags in steps, the depth of the ring, the history on the grid, tables of the laws that arrivals draw
from: everything that depends on values and not on code. Checks that need the start time are here.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine import seeds
from sdde.equation.jumps import longest_draw
from sdde.equation.problem import Problem, try_functions
from sdde.solving.saving import steps_between

Floats = NDArray[np.float64]
_MOST_HISTORY = 50_000_000  # numbers; 400 MB


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """The numbers of one solve that do not depend on the number of paths.

    Attributes
    ----------
    state_shape : tuple
    channels : int
        The number of Wiener processes.
    n_steps : int
        Whole steps of `dt` that reach or pass the end.
    deepest : int
        How many steps back a path may be read.
    delays, lags, shares : arrays, shape (n_delays,)
        The delays, their whole steps, and the share of a further step.
    past : array, shape (histories, rows, dim)
        States at the start and at grid times before it.
    rates, tables, starts : arrays
        Rates of the jumps; the tables of their laws one behind the other, and where each begins.
    """

    state_shape: tuple[int, ...]
    channels: int
    n_steps: int
    deepest: int
    delays: Floats
    lags: NDArray[np.int64]
    shares: Floats
    past: Floats
    rates: Floats
    tables: Floats
    starts: NDArray[np.int64]


def plan(problem: Problem, t0: float, t1: float, dt: float) -> Plan:
    """Check what the start time decides, and lay out the numbers for the engine."""
    shape = problem.past.state_shape(t0)
    whole, beyond = steps_between(t0, t1, dt)
    n_steps = whole + (beyond > 0.0)
    seeds.require_room(steps=n_steps + 1, channels=math.prod(shape))
    places = [steps_between(0.0, delay, dt) for delay in problem.delays]
    lags = np.array([place[0] for place in places], dtype=np.int64)
    longest = _longest_drawn(problem)
    reach = max((int(lag) + 1 for lag in lags), default=0)
    drawn = math.ceil(min(longest / dt, 1e15)) + 1 if longest > 0.0 else 0
    _check_history(problem, t0, longest)
    past = _past(problem, t0, dt, 1 + max(reach, drawn), math.prod(shape))
    delayed = [problem.past.at(np.array([t0 - delay]))[0, 0] for delay in problem.delays]
    channels = try_functions(
        problem, t0, np.array(past[0, 0]), np.array(delayed).reshape(len(delayed), *shape)
    )
    tables = [law.table() for jump in problem.jumps for law in jump.laws]
    return Plan(
        state_shape=shape,
        channels=channels,
        n_steps=n_steps,
        deepest=max(reach, min(drawn, n_steps + 1)),
        delays=np.array(problem.delays, dtype=np.float64),
        lags=lags,
        shares=np.array([place[1] for place in places], dtype=np.float64),
        past=np.ascontiguousarray(past.reshape(*past.shape[:2], -1)),
        rates=np.array([jump.highest_rate for jump in problem.jumps], dtype=np.float64),
        tables=np.concatenate([*tables, np.empty(0)]),
        starts=np.cumsum([0, *map(len, tables)]).astype(np.int64),
    )


def _longest_drawn(problem: Problem) -> float:
    laws = [law for jump in problem.jumps for law in jump.delay_laws or ()]
    return max((longest_draw(law) for law in laws), default=0.0)


def _check_history(problem: Problem, t0: float, longest_drawn: float) -> None:
    """Refuse a history that ends too early or starts too late."""
    past = problem.past
    slack = 1e-9 * max(1.0, abs(t0))
    if past.latest < t0 - slack:
        raise checks.fail(
            "history", past.source, f"ends at t = {past.latest:g}, before the start at t = {t0:g}",
            remedy=f"Start at t_span[0] = {past.latest:g}, or give later samples.",
        )  # fmt: skip
    longest = max([longest_drawn, *problem.delays])
    if past.earliest > t0 - longest + slack:
        raise checks.fail(
            "history", past.source,
            f"begins at t = {past.earliest:g}, but states are read back to t = {t0 - longest:g}",
            why=f"The longest delay is {longest:g}"
            + (" (a law without bound)." if longest_drawn > max([0.0, *problem.delays]) else "."),
            remedy=f"Give the history from {t0 - longest:g} on, or a number, vector or function.",
        )  # fmt: skip


def _past(problem: Problem, t0: float, dt: float, rows: int, dim: int) -> Floats:
    """Return the history on the grid, shape (histories, rows, *state_shape)."""
    if problem.past.kind != "constant" and rows * dim * problem.past.count > _MOST_HISTORY:
        raise checks.fail(
            "dt", dt, f"needs the history at {rows:,} times before the start",
            remedy="Give a constant history, delays with a bounded law, or a larger dt.",
        )  # fmt: skip
    return problem.past.rows(t0, dt, rows)
