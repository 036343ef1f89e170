"""Delays: how late a state is read, as plain values.

A delay is a number, a function of time or state, a draw from a law, or a spread over the past. Each
knows how far back it may reach; how the past is kept and read is the engine's business.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.laws import Law, as_law
from sdde.equation.weighting import kernel_weights, law_weights

Floats = NDArray[np.float64]
MOST_STAGES = 12  # of a gamma law that is followed as a chain
_CUT = 1e-12  # probability of an unbounded law beyond the last grid time that it is spread over
_LOST = 1e-6  # probability beyond `longest` that is refused


@dataclass(frozen=True, eq=False, slots=True)
class TimeDelay:
    r"""A delay that is a given function of time.

    ``delayed[j]`` is :math:`x(t-\tau(t))`. Delays that grow with time (pantograph equations) are of
    this kind, with `longest` the delay at the end of the run.

    Parameters
    ----------
    function : callable
        ``function(t, *args)``, the delay >= 0 in the unit of `t_span`; `args` are the problem's.
    longest : float
        The largest value that the delay ever takes. It sets how much of the past is kept; a larger
        or negative value ends the run with an error.

    Raises
    ------
    sdde.ArgumentError
        If `function` cannot be called or `longest` is not positive.

    Examples
    --------
    The pantograph equation x'(t) = -x(t / 2), which reads the state at half the time:

    >>> import sdde
    >>> half = sdde.TimeDelay(lambda t: 0.5 * t, longest=2.0)
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], delays=half, history=1.0)
    >>> solution = sdde.solve(problem, (0.0, 4.0), dt=0.01)
    >>> round(float(solution(1.0)[0]), 2)
    0.23
    """

    function: Any
    longest: float

    def __post_init__(self) -> None:
        checks.function("function", self.function, signature="(t, *args)")
        object.__setattr__(self, "longest", checks.positive("longest", self.longest, example=2.0))


@dataclass(frozen=True, eq=False, slots=True)
class StateDelay:
    r"""A delay that depends on the present state, and perhaps on time.

    ``delayed[j]`` is :math:`x(t-\tau(t,x(t)))`; each path has its own delay.

    Parameters
    ----------
    function : callable
        ``function(t, x, *args)``, the delay >= 0 in the unit of `t_span`; `x` is the present state
        as `drift` sees it, `args` are the problem's.
    longest : float
        The largest value that the delay ever takes. It sets how much of the past is kept; a larger
        or negative value ends the run with an error.

    Raises
    ------
    sdde.ArgumentError
        If `function` cannot be called or `longest` is not positive.

    Examples
    --------
    A response that is slower when the state is far from rest:

    >>> import numpy as np, sdde
    >>> slower = sdde.StateDelay(lambda t, x: 1.0 + 0.5 * np.tanh(x * x), longest=1.5)
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.2, delays=slower, history=1.0)
    >>> sdde.solve(problem, (0.0, 4.0), dt=0.01, rng=1).x.shape
    (1, 401)
    """

    function: Any
    longest: float

    def __post_init__(self) -> None:
        checks.function("function", self.function, signature="(t, x, *args)")
        object.__setattr__(self, "longest", checks.positive("longest", self.longest, example=2.0))


@dataclass(frozen=True, eq=False, slots=True)
class RandomDelay:
    r"""A delay drawn afresh for each time step of each path (in a `Jump`, for each arrival).

    ``delayed[j]`` is :math:`x(t-T)` with *T* independent of all else. The drift then feels the past
    averaged over the law, as in :math:`\int x(t-s)\,F(ds)`, plus a fluctuation whose variance is
    proportional to ``dt`` and vanishes with it.

    Parameters
    ----------
    law : law
        Law of the delay, in the unit of `t_span`: a number, a ``scipy.stats`` law or an array of
        measurements.
    longest : float, optional
        A bound on the draws, which sets how much of the past is kept; a larger draw ends the run
        with an error. None: the largest value that can be drawn at all, for laws without bound the
        quantile at :math:`1-2^{-53}`.

    Raises
    ------
    sdde.ArgumentError
        If the law is unusable or can be negative, or more than a millionth of its draws exceed
        `longest`.

    Examples
    --------
    >>> import scipy.stats, sdde
    >>> delay = sdde.RandomDelay(scipy.stats.uniform(0.5, 1.0))
    >>> delay.longest
    1.5
    """

    law: Any
    longest: float | None = None
    drawn: Law = field(init=False, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        store(self, "drawn", as_law(self.law, "law", minimum=0.0))
        if self.longest is None:
            store(self, "longest", longest_draw(self.drawn))
        else:
            store(self, "longest", checks.positive("longest", self.longest, example=2.0))
            _refuse_lost(self.drawn, self.longest)


@dataclass(frozen=True, eq=False, slots=True)
class DistributedDelay:
    r"""A weighted average of the past instead of a single past state.

    .. math:: \text{delayed}[j](t)=\int_0^\infty k(s)\,x(t-s)\,ds

    Parameters
    ----------
    kernel : callable or law
        The kernel k(s), in 1/time, a function of the age s on [0, longest] that need not be
        positive or integrate to 1; or a law (a ``scipy.stats`` law, an array of measurements): its
        density.
    longest : float, optional
        Where the kernel ends. Needed with a function. With a law None takes all of it.

    Raises
    ------
    sdde.ArgumentError
        If the kernel is unusable, a function comes without `longest`, a law can be negative, or
        more than a millionth of it lies beyond `longest`.

    Notes
    -----
    The integral is exact for the straight lines between grid states: each grid state has a weight,
    the integral of the kernel times its hat function, computed once. A gamma law with whole shape
    (1 to 12; the exponential law is the first) and without shift or `longest` needs no past: its
    integral is the last of a chain of exponential averages [1]_, which follow the same straight
    lines exactly. Both derivations are textbook ones.

    References
    ----------
    .. [1] N. MacDonald, "Time Lags in Biological Models", Springer (1978): the linear chain trick.

    Examples
    --------
    >>> import scipy.stats, sdde
    >>> memory = sdde.DistributedDelay(scipy.stats.gamma(2, scale=0.5))
    >>> memory.chain
    (2, 2.0)
    >>> window = sdde.DistributedDelay(lambda s: 0.5, longest=2.0)
    >>> window.weights(1.0)
    array([0.25, 0.5 , 0.25])
    """

    kernel: Any
    longest: float | None = None
    law: Law | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        if callable(self.kernel) and not hasattr(self.kernel, "ppf"):
            if self.longest is None:
                raise checks.fail(
                    "longest", None, "is missing, and kernel is a function",
                    why="It says where the kernel ends.", remedy="For example longest = 2.0.",
                )  # fmt: skip
            store(self, "law", None)
            store(self, "longest", checks.positive("longest", self.longest, example=2.0))
            return
        law = as_law(self.kernel, "kernel", minimum=0.0)
        store(self, "law", law)
        if self.longest is not None:
            store(self, "longest", checks.positive("longest", self.longest, example=2.0))
            _refuse_lost(law, self.longest)

    @property
    def chain(self) -> tuple[int, float] | None:
        """Stages and rate of the chain of averages that stands for a gamma law; None for others."""
        return None if self.law is None or self.longest is not None else _stages(self.law)

    @property
    def reach(self) -> float:
        """The age at which the kernel ends or, for a law without end, 1e-12 of it is left."""
        if self.longest is not None:
            return self.longest
        assert self.law is not None
        return self.law.highest if math.isfinite(self.law.highest) else _far(self.law)

    def weights(self, dt: float) -> Floats:
        """Return the weights of the states 0, 1, 2, ... grid steps ago.

        Parameters
        ----------
        dt : float
            The time step.

        Returns
        -------
        array
        """
        if self.law is None:
            return kernel_weights(self.kernel, self.reach, dt)
        return law_weights(self.law, self.reach, dt)


Delay = float | TimeDelay | StateDelay | RandomDelay | DistributedDelay
KINDS = (TimeDelay, StateDelay, RandomDelay, DistributedDelay)


def as_delays(value: Any) -> tuple[Delay, ...]:
    """Return the delays of a problem as a tuple."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return tuple(_delay(f"delays[{i}]", item) for i, item in enumerate(value))
    return (_delay("delays", value),)


def _delay(name: str, value: Any) -> Delay:
    if isinstance(value, KINDS):
        return value
    if hasattr(value, "ppf") or isinstance(value, np.ndarray | list | tuple):
        raise checks.fail(
            name, value, "is a law, which may mean two things",
            remedy="Write sdde.RandomDelay(law) for a delay drawn at each step, or"
            " sdde.DistributedDelay(law) for an average over the past.",
        )  # fmt: skip
    if callable(value):
        raise checks.fail(
            name, value, "is a function without a bound",
            remedy="Write sdde.TimeDelay(function, longest=...) or"
            " sdde.StateDelay(function, longest=...).",
        )  # fmt: skip
    return checks.nonnegative(name, value, example=1.0)


def own_delays(value: Any) -> tuple[Delay, ...]:
    """Return the delays of a jump: laws are drawn for each arrival."""
    several = isinstance(value, list | tuple)
    pairs = [(f"delays[{i}]", v) for i, v in enumerate(value)] if several else [("delays", value)]
    return tuple(
        item if isinstance(item, KINDS) else RandomDelay(as_law(item, name, minimum=0.0))
        for name, item in pairs
    )


def longest_of(delay: Delay) -> float:
    """Return how far back a delay may reach; 0 for a chain, which keeps no past."""
    if isinstance(delay, DistributedDelay):
        return 0.0 if delay.chain is not None else delay.reach
    if isinstance(delay, TimeDelay | StateDelay | RandomDelay):
        assert delay.longest is not None
        return delay.longest
    return delay


def longest_draw(law: Law) -> float:
    """Return the largest value that `law` can give with 53 random bits."""
    return float(np.max(law.quantile(np.array([1.0 - 2.0**-53]))))


def _refuse_lost(law: Law, longest: float) -> None:
    lost = 1.0 - float(law.cdf(longest))
    if lost > _LOST:
        raise checks.fail(
            "longest", longest, f"is exceeded by a share {lost:.2g} of the law",
            why="What lies beyond would be missing.",
            remedy="Give a larger longest, or leave it out.",
        )  # fmt: skip


def _far(law: Law) -> float:
    if law.frozen is not None:
        return float(law.frozen.isf(_CUT))
    return float(law.quantile(np.array(1.0 - _CUT)))


def _stages(law: Law) -> tuple[int, float] | None:
    name, shapes, loc, scale = law._parameters
    if name not in ("expon", "gamma", "erlang") or loc != 0.0:
        return None
    shape = shapes[0] if shapes else 1.0
    if shape != round(shape) or not 1 <= shape <= MOST_STAGES:
        return None
    return round(shape), 1.0 / scale
