"""What to say when a delay or a rate left its bounds during a run.

The compiled code notes the first such value of each job and stops; here it becomes an error that
names the argument, the time and the value.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine.lags import all_delays
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError


class Fault(NamedTuple):
    """A value out of bounds: in which path and when, and whose (see `fault_error`)."""

    path: int
    time: float
    place: int
    value: float

    @classmethod
    def of(cls, flags: NDArray[np.int64]) -> "Fault":
        """Read what compiled code noted."""
        time, value = flags[2:4].view(np.float64)
        return cls(int(flags[1]), float(time), int(flags[0]), float(value))


def fault_error(problem: Problem, fault: Fault) -> ArgumentError:
    """Return the error: place 1 + q is the rate of jump q, -(1 + J) the delay numbered J."""
    where = f"at t = {fault.time:.6g} in path {fault.path}"
    if fault.place > 0:
        return _rate_error(problem, fault, where)
    name, delay = all_delays(problem)[-1 - fault.place]
    if math.isnan(fault.value):
        return checks.fail(
            name, delay, f"was not a number {where}",
            remedy="Check its function for roots and logarithms of negative numbers.",
        )  # fmt: skip
    if fault.value < 0.0:
        return checks.fail(
            name, delay, f"was {fault.value:.6g} {where}, which is negative",
            why="The future cannot be read.",
            remedy="For example return np.maximum(delay, 0.0).",
        )  # fmt: skip
    return checks.fail(
        name, delay, f"was {fault.value:.6g} {where}, above longest = {delay.longest:g}",
        why="The past is kept for longest, so older states are gone.",
        remedy=f"Give a larger longest, for example longest = {_rounded_up(fault.value)!r}.",
    )  # fmt: skip


def _rate_error(problem: Problem, fault: Fault, where: str) -> ArgumentError:
    q = fault.place - 1
    jump = problem.jumps[q]
    if jump.longest_rate is None or not fault.value > jump.longest_rate:
        return checks.fail(
            f"jumps[{q}].rate", jump.rate, f"was {fault.value:.6g} {where}",
            why="A rate is a finite number of arrivals per unit of time, >= 0.",
            remedy="For example return np.maximum(rate, 0.0).",
        )  # fmt: skip
    return checks.fail(
        f"jumps[{q}].longest_rate", jump.longest_rate,
        f"was exceeded by rate, {fault.value:.6g} {where}",
        why="Arrivals are drawn at longest_rate and thinned, so the result would be wrong.",
        remedy=f"Give a larger one, for example longest_rate = {_rounded_up(fault.value)!r}.",
    )  # fmt: skip


def _rounded_up(value: float) -> float:
    """Return twice the value, rounded up to one digit."""
    if not 0.0 < value < 1e300:
        return value
    unit = 10.0 ** math.floor(math.log10(2.0 * value))
    return float(f"{math.ceil(2.0 * value / unit) * unit:.1g}")
