"""Jumps: Poisson arrivals that add to the state.

A `Jump` says how often arrivals come, what each adds, and which random times and marks each draws.
It is a plain value; when arrivals happen and how the state is read is the engine's business.
"""

import dataclasses
import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from sdde import checks
from sdde.equation.delays import Delay, RandomDelay, own_delays
from sdde.equation.laws import Law, as_law


@dataclass(frozen=True, eq=False, slots=True)
class Jump:
    r"""Poisson arrivals, each of which adds to the state, possibly as seen some time ago.

    Adds to the equation the term

    .. math:: \int h\bigl(t, x(t-), x(t-T_1), \dots, M\bigr)\,dN(t)

    where *N* counts arrivals, and each arrival draws its own delays :math:`T_j` and mark *M*,
    independent of all else. Arrivals happen at exact times, not on the grid, unless `leaping`.

    Parameters
    ----------
    rate : float or callable
        Mean number of arrivals per unit of time, >= 0; or a function ``(t, x, delayed, *args)`` of
        the state just before, with `delayed` at the problem's delays. A function needs
        `longest_rate`, unless `leaping`. A rate below 0 or above its bound ends the run with an
        error.
    effect : callable
        ``effect(t, x, delayed, mark, *args)``, what an arrival adds to the state: `x` is the state
        just before, ``delayed[j]`` the state at `t` minus the arrival's j-th delay. Same shape as
        `x`.
    delays : delay, law or sequence of them, optional
        The arrival's delays, in the unit of `t_span`: a law (a number, a ``scipy.stats`` law or an
        array of measurements) is drawn afresh for each arrival, and `TimeDelay`, `StateDelay`,
        `RandomDelay` and `DistributedDelay` are taken at the arrival's time and state; a list or
        tuple holds one for each delay. None: the problem's delays.
    mark : law or sequence of laws, optional
        Law of `mark`; a list or tuple makes `mark` an array of independent draws. None: `mark` is
        0.0.
    longest_rate : float, optional
        A bound that a function `rate` never exceeds (arrivals are drawn at this rate and thinned).
    leaping : bool, optional
        Draw the number of arrivals of each time step from a Poisson law, with rate, delays and
        effects taken at the beginning of the step (tau-leaping). Faster where a step holds many
        arrivals; the law of the path is then exact only in the limit of small ``dt``.

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
    leaping: bool = False
    own_delays: tuple[Delay, ...] | None = field(init=False, repr=False)
    mark_laws: tuple[Law, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checks.function("effect", self.effect, signature="(t, x, delayed, mark, *args)")
        store = object.__setattr__
        checks.flag("leaping", self.leaping)
        if self.leaping and self.longest_rate is not None:
            raise checks.fail(
                "longest_rate", self.longest_rate, "is given, but leaping needs no bound",
                remedy="Leave longest_rate out, or leaping = True.",
            )  # fmt: skip
        if callable(self.rate) and not self.leaping:
            if self.longest_rate is None:
                raise checks.fail(
                    "longest_rate", None, "is missing, and rate is a function",
                    why="Arrivals are drawn at a constant rate and thinned, which needs a bound.",
                    remedy="Give the largest value that rate ever takes, for example"
                    " longest_rate = 10.0.",
                )  # fmt: skip
            bound = checks.positive("longest_rate", self.longest_rate, example=10.0)
            store(self, "longest_rate", bound)
        elif not callable(self.rate):
            store(self, "rate", checks.nonnegative("rate", self.rate, example=5.0))
            if self.longest_rate is not None:
                raise checks.fail(
                    "longest_rate", self.longest_rate, "is given, but rate is a number",
                    remedy="Leave longest_rate out.",
                )  # fmt: skip
        store(self, "own_delays", None if self.delays is None else own_delays(self.delays))
        store(self, "mark_laws", () if self.mark is None else _marks(self.mark))

    @property
    def has_mark_vector(self) -> bool:
        """Whether `mark` reaches the effect as an array."""
        return isinstance(self.mark, list | tuple)

    @property
    def delay_laws(self) -> tuple[Law, ...] | None:
        """The laws of those own delays that are drawn; None where the problem's are read."""
        if self.own_delays is None:
            return None
        return tuple(d.drawn for d in self.own_delays if isinstance(d, RandomDelay))

    @property
    def highest_rate(self) -> float:
        """The constant rate, or the bound of a rate that varies; ``inf`` if there is none."""
        if callable(self.rate):
            return math.inf if self.longest_rate is None else self.longest_rate
        return float(self.rate)

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


def _marks(value: Any) -> tuple[Law, ...]:
    if isinstance(value, list | tuple):
        return tuple(as_law(v, f"mark[{i}]", minimum=None) for i, v in enumerate(value))
    return (as_law(value, "mark", minimum=None),)
