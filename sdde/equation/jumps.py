"""Jumps: Poisson arrivals that add to the state.

A `Jump` says how often arrivals come, what each adds, and which random times and marks each draws.
It is a plain value; when arrivals happen and how the state is read is the engine's business.
"""

import dataclasses
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.laws import Law, as_law


@dataclass(frozen=True, eq=False, slots=True)
class Jump:
    r"""Poisson arrivals, each of which adds to the state, possibly as seen some time ago.

    Adds to the equation the term

    .. math:: \int h\bigl(t, x(t-), x(t-T_1), \dots, M\bigr)\,dN(t)

    where *N* counts arrivals, and each arrival draws its own delays :math:`T_j` and mark *M*,
    independent of all else. Arrivals happen at exact times, not on the grid.

    Parameters
    ----------
    rate : float or callable
        Mean number of arrivals per unit of time, >= 0; or a function ``(t, x, delayed, *args)`` of
        the state just before, with `delayed` at the problem's delays. A function needs
        `longest_rate`.
    effect : callable
        ``effect(t, x, delayed, mark, *args)``, what an arrival adds to the state: `x` is the state
        just before, ``delayed[j]`` the state at `t` minus the arrival's j-th delay. Same shape as
        `x`.
    delays : law or sequence of laws, optional
        Delays drawn afresh for each arrival, in the unit of `t_span`: a number, a ``scipy.stats``
        law or an array of measurements; a list or tuple holds one law for each delay. None: the
        problem's delays.
    mark : law or sequence of laws, optional
        Law of `mark`; a list or tuple makes `mark` an array of independent draws. None: `mark` is
        0.0.
    longest_rate : float, optional
        A bound that a function `rate` never exceeds (arrivals are drawn at this rate and thinned).

    Raises
    ------
    sdde.ArgumentError
        If a rate or delay is negative, a law is unusable, or a function `rate` has no bound.

    Examples
    --------
    Asynchronous SGD on a quadratic: five gradients per unit of time, each computed at a state read
    a gamma-distributed time earlier, with gradient noise.

    >>> import scipy.stats, sdde
    >>> arrivals = sdde.Jump(
    ...     5.0, lambda t, x, delayed, mark, rate: -rate * (delayed[0] + mark),
    ...     delays=scipy.stats.gamma(4, scale=0.25), mark=scipy.stats.norm(0, 0.5),
    ... )
    >>> problem = sdde.Problem(
    ...     lambda t, x, delayed, rate: 0.0, history=1.0, jumps=arrivals, args=(0.1,)
    ... )
    """

    rate: Any
    effect: Any
    _: KW_ONLY
    delays: Any = None
    mark: Any = None
    longest_rate: float | None = None
    delay_laws: tuple[Law, ...] | None = field(init=False, repr=False)
    mark_laws: tuple[Law, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.function("effect", self.effect, signature="(t, x, delayed, mark, *args)")
        store = object.__setattr__
        if callable(self.rate):
            if self.longest_rate is None:
                raise checks.fail(
                    "longest_rate", None, "is missing, and rate is a function",
                    why="Arrivals are drawn at a constant rate and thinned, which needs a bound.",
                    remedy="Give the largest value that rate ever takes, for example"
                    " longest_rate = 10.0.",
                )  # fmt: skip
            bound = checks.positive("longest_rate", self.longest_rate, example=10.0)
            store(self, "longest_rate", bound)
        else:
            store(self, "rate", checks.nonnegative("rate", self.rate, example=5.0))
            if self.longest_rate is not None:
                raise checks.fail(
                    "longest_rate", self.longest_rate, "is given, but rate is a number",
                    remedy="Leave longest_rate out.",
                )  # fmt: skip
        laws = None if self.delays is None else _laws(self.delays, "delays", minimum=0.0)
        store(self, "delay_laws", laws)
        store(
            self, "mark_laws", () if self.mark is None else _laws(self.mark, "mark", minimum=None)
        )

    @property
    def has_mark_vector(self) -> bool:
        """Whether `mark` reaches the effect as an array."""
        return isinstance(self.mark, list | tuple)

    @property
    def laws(self) -> tuple[Law, ...]:
        """Laws of the delays, then of the marks."""
        return (*(self.delay_laws or ()), *self.mark_laws)

    @property
    def highest_rate(self) -> float:
        """The constant rate, or the bound of a rate that varies."""
        return float(self.rate) if self.longest_rate is None else self.longest_rate

    def replace(self, **changes: Any) -> "Jump":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def as_jumps(value: Any) -> tuple[Jump, ...]:
    """Return the jumps of a problem as a tuple."""
    jumps = (value,) if isinstance(value, Jump) else value
    if not isinstance(jumps, list | tuple) or not all(isinstance(jump, Jump) for jump in jumps):
        raise checks.fail(
            "jumps", value, "does not hold sdde.Jump values",
            remedy="For example jumps = (sdde.Jump(...),).",
        )  # fmt: skip
    return tuple(jumps)


def _laws(value: Any, name: str, *, minimum: float | None) -> tuple[Law, ...]:
    if isinstance(value, list | tuple):
        return tuple(as_law(v, f"{name}[{i}]", minimum=minimum) for i, v in enumerate(value))
    return (as_law(value, name, minimum=minimum),)


def longest_draw(law: Law) -> float:
    """Return the largest value that `law` can give with 53 random bits."""
    return float(np.max(law.quantile(np.array([1.0 - 2.0**-53]))))
