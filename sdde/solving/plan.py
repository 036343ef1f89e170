"""From a problem, a time span and a time step to the numbers that the engine runs on.

Lags in steps, the depth of the ring, the history on the grid, tables of the laws that arrivals draw
from: everything that depends on values and not on code. Checks that need the start time are here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine import seeds
from sdde.engine.lags import all_delays, lag_of
from sdde.equation.delays import (
    Delay,
    DistributedDelay,
    RandomDelay,
    TimeDelay,
    longest_of,
)
from sdde.equation.problem import Problem, try_delay, try_functions
from sdde.solving import memory
from sdde.solving.saving import steps_between

Floats = NDArray[np.float64]
_MOST_HISTORY = 50_000_000  # numbers; 400 MB
_SPARE = 600  # rows of the ring beyond the longest delay
_MOST_ARRIVALS = 1e6  # in one step


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
    delays : array
        The problem's delays and the jumps' own, or the longest that they may be.
    lags, shares : arrays, shape (n_delays,)
        Whole steps of the problem's delays, and the share of a further step.
    past : array, shape (histories, rows, components)
        States at the start and at grid times before it; behind the components of the state, in the
        first row, what chains of averages begin with.
    rates, tables, starts : arrays
        Rates of exact arrivals, 0 for jumps that leap; tables one behind the other, and where each
        begins: of the delays that need one, then for each jump of its marks and, if it leaps at a
        constant rate, the rate.
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
    seeds.require_room(steps=n_steps + 1, channels=max(math.prod(shape), _channels(problem)))
    named = all_delays(problem)
    longest = [longest_of(delay) for _, delay in named]
    own = len(problem.delays)
    for place, ((name, delay), far) in enumerate(zip(named, longest, strict=True)):
        most = math.inf if place < own else n_steps + 1.0
        _require_ring(name, delay, far, min(far / dt, most), dt, math.prod(shape))
    places = [
        steps_between(0.0, delay, dt) if isinstance(delay, float) else (math.ceil(far / dt), 0.0)
        for delay, far in zip(problem.delays, longest, strict=False)
    ]
    lags = np.array([place[0] for place in places], dtype=np.int64)
    reach = max((int(lag) + 1 for lag in lags), default=0)
    far = max(longest[own:], default=0.0)
    drawn = math.ceil(min(far / dt, 1e15)) + 1 if far > 0.0 else 0
    _check_history(problem, t0, dt, n_steps)
    rows = 1 + max([reach, drawn, *(_rows_of_chain(d, dt) for d in problem.delays)])
    past = _past(problem, t0, dt, rows, math.prod(shape))
    state = np.array(past[0, 0])
    at = float(state) if state.ndim == 0 else state
    values = [
        try_delay(f"delays[{j}]", delay, t0, at, problem.args)
        for j, delay in enumerate(problem.delays)
    ]
    delayed = [problem.past.at(np.array([t0 - value]))[0, 0] for value in values]
    channels = try_functions(problem, t0, state, np.array(delayed).reshape(own, *shape))
    tables = _tables(problem, dt)
    _require_steps_between_arrivals(problem, dt)
    return Plan(
        state_shape=shape,
        channels=channels,
        n_steps=n_steps,
        deepest=max(reach, min(drawn, n_steps + 1)),
        delays=np.array(longest, dtype=np.float64),
        lags=lags,
        shares=np.array([place[1] for place in places], dtype=np.float64),
        past=_with_chains(problem, past.reshape(*past.shape[:2], -1), dt),
        rates=np.array(
            [0.0 if jump.leaping else jump.highest_rate for jump in problem.jumps], dtype=np.float64
        ),
        tables=np.concatenate([*tables, np.empty(0)]),
        starts=np.cumsum([0, *map(len, tables)]).astype(np.int64),
    )


def _require_ring(
    name: str, delay: Delay, far: float, steps: float, dt: float, dim: int
) -> None:  # fmt: skip
    """Refuse a delay of which not even one path fits into memory."""
    free = memory.available_memory()
    if 8.0 * (steps + _SPARE) * dim <= free:
        return
    fits = far / max(1.0, free / (16.0 * dim))
    raise checks.fail(
        name, delay, f"is {steps:.3g} steps of dt = {dt:g}, of which a path keeps the states",
        why=f"That needs {8e-9 * steps * dim:.3g} GB of memory; {memory.in_words(free)} are free.",
        remedy=f"Give a larger dt, for example dt = {float(f'{fits:.2g}')!r}, or a shorter delay.",
    )  # fmt: skip


def _require_steps_between_arrivals(problem: Problem, dt: float) -> None:
    """Refuse rates whose arrivals, drawn one by one, would keep one step busy for seconds."""
    for q, jump in enumerate(problem.jumps):
        if jump.leaping or jump.highest_rate * dt <= _MOST_ARRIVALS:
            continue
        name = "rate" if jump.longest_rate is None else "longest_rate"
        short = float(f"{_MOST_ARRIVALS / jump.highest_rate:.2g}")
        raise checks.fail(
            f"jumps[{q}].{name}", jump.highest_rate,
            f"means {jump.highest_rate * dt:.3g} arrivals in a step of dt = {dt:g}",
            why="Each is drawn and visited.",
            remedy=f"Use leaping = True, or dt = {short!r}.",
        )  # fmt: skip


def _channels(problem: Problem) -> int:
    """Return the most channels of one stream of random numbers that the jumps use."""
    own = len(problem.delays)
    delays = sum(own if j.own_delays is None else len(j.own_delays) for j in problem.jumps)
    return max(delays + own * len(problem.jumps), sum(len(j.mark_laws) for j in problem.jumps), own)


def _tables(problem: Problem, dt: float) -> list[Floats]:
    tables = [
        _delay_table(delay, dt, of_jump=place >= len(problem.delays))
        for place, (_, delay) in enumerate(all_delays(problem))
        if lag_of(delay).has_table
    ]
    for jump in problem.jumps:
        tables += [law.table() for law in jump.mark_laws]
        if jump.leaping and not callable(jump.rate):
            tables.append(np.array([jump.rate]))
    return tables


def _delay_table(delay: Any, dt: float, *, of_jump: bool) -> Floats:
    if isinstance(delay, RandomDelay):
        return delay.drawn.table()
    if delay.chain is None or of_jump:
        weights = delay.weights(dt)
        return np.concatenate([[float(len(weights))], weights])
    stages, rate = delay.chain
    return chain_table(stages, rate, dt)


def chain_table(stages: int, rate: float, dt: float) -> Floats:
    """Return the weights that lead a chain of averages through a step.

    Stage i of the chain is the average of the past with a gamma law of shape i. In a step each
    stage keeps part of itself and of those before it, exp(-b) b^m / m! for the one m before, b =
    rate * dt; of a state that moves on a straight line it takes up the incomplete integrals of its
    density, at the start (s / dt) and at the end (1 - s / dt).

    Returns
    -------
    array, shape (3 * stages,)
        The parts kept for m = 0, 1, ...; then for each stage the weights of start and end.
    """
    from scipy.special import gammainc, gammaln

    b = rate * dt
    before = np.arange(stages)
    kept = np.exp(before * np.log(b) - b - gammaln(before + 1.0))
    stage = np.arange(1, stages + 1)
    start = stage / b * gammainc(stage + 1, b)
    end = gammainc(stage, b) - start
    return np.concatenate([kept, np.stack([start, end], axis=1).ravel()])


def _stage(delay: DistributedDelay, stage: int) -> DistributedDelay:
    """Return the average that a stage of a chain is, with an end."""
    from scipy.stats import gamma

    assert delay.chain is not None
    law = gamma(stage, scale=1.0 / delay.chain[1])
    return DistributedDelay(law, longest=float(law.isf(1e-12)))


def _rows_of_chain(delay: Delay, dt: float) -> int:
    if not isinstance(delay, DistributedDelay) or delay.chain is None:
        return 0
    return math.ceil(_stage(delay, delay.chain[0]).reach / dt) + 1


def _with_chains(problem: Problem, past: Floats, dt: float) -> Floats:
    """Put the averages of the history that chains begin with behind the states."""
    columns = [past]
    for delay in problem.delays:
        if not isinstance(delay, DistributedDelay) or delay.chain is None:
            continue
        for stage in range(1, delay.chain[0] + 1):
            weights = _stage(delay, stage).weights(dt)
            rows = past[:, np.minimum(np.arange(len(weights)), past.shape[1] - 1)]
            average = np.einsum("r,hrd->hd", weights, rows)
            columns.append(np.broadcast_to(average[:, None], past.shape))
    return np.ascontiguousarray(np.concatenate(columns, axis=2))


def _check_history(problem: Problem, t0: float, dt: float, n_steps: int) -> None:
    """Refuse a history that ends too early or starts too late."""
    past = problem.past
    slack = 1e-9 * max(1.0, abs(t0))
    if past.latest < t0 - slack:
        raise checks.fail(
            "history", past.source, f"ends at t = {past.latest:g}, before the start at t = {t0:g}",
            remedy=f"Start at t_span[0] = {past.latest:g}, or give later samples.",
        )  # fmt: skip
    for name, delay in all_delays(problem):
        first = _earliest(delay, name, problem, t0, dt, n_steps, past.earliest + slack)
        if past.earliest > first + slack:
            raise checks.fail(
                "history", past.source,
                f"begins at t = {past.earliest:g}, but states are read back to t = {first:g}",
                why=f"{name} reaches back {t0 - first:g} before the start"
                + (" (a law without bound)." if _is_unbounded(delay) else "."),
                remedy=f"Give the history from {first:g} on, or a number, vector or function.",
            )  # fmt: skip


def _earliest(
    delay: Delay, name: str, problem: Problem, t0: float, dt: float, n_steps: int, known: float
) -> float:
    """Return the first time that a delay reads."""
    if isinstance(delay, DistributedDelay) and delay.chain is not None:
        return t0 - _stage(delay, delay.chain[0]).reach
    first = t0 - longest_of(delay)
    if not isinstance(delay, TimeDelay) or first >= known:
        return first
    # A delay that grows with time may never reach back before the start.
    most = min(n_steps, math.ceil((known + delay.longest - t0) / dt))
    times = [t0 + n * dt for n in range(most + 1) if t0 + n * dt - delay.longest < known]
    state = problem.past.at(np.array([t0]))[0, 0]
    return min(t - try_delay(name, delay, t, state, problem.args) for t in times)


def _is_unbounded(delay: Delay) -> bool:
    law = getattr(delay, "drawn", None) or getattr(delay, "law", None)
    return law is not None and math.isinf(law.highest)


def _past(problem: Problem, t0: float, dt: float, rows: int, dim: int) -> Floats:
    """Return the history on the grid, shape (histories, rows, *state_shape)."""
    if problem.past.kind != "constant" and rows * dim * problem.past.count > _MOST_HISTORY:
        raise checks.fail(
            "dt", dt, f"needs the history at {rows:,} times before the start",
            remedy="Give a constant history, delays with a bounded law, or a larger dt.",
        )  # fmt: skip
    return problem.past.rows(t0, dt, rows)
