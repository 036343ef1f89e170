r"""First hitting and settling times of linear delay equations.

Without noise the times are read off the solution by the method of steps: the *hitting* time is
when a level is first reached, the *settling* time when the state is last outside it. An
underdamped equation overshoots, so its hitting time keeps falling with more damping while its
settling time does not. With noise the mean hitting time is exact without delay and a slow-mode
approximation with delay.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.integrate import quad
from scipy.special import erfcx

from sdde import checks
from sdde.errors import Error

from .numerics import Floats, bracketed
from .piecewise import DEGREE, Piecewise

if TYPE_CHECKING:
    from .delay_system import DelaySystem

SAMPLES = 2 * DEGREE + 1  # per panel when a level is looked for
Gap = Callable[[Piecewise, Floats], Floats]
MOST_STRETCHES = 12  # doublings of the horizon for delays without an exponential rate


def hitting_time(self: "DelaySystem", level: float, history: Any) -> float:
    """Return when the noise-free state first reaches a level.

    Parameters
    ----------
    level : float
        For a scalar equation the value to be reached, from either side; for a system the
        Euclidean norm of the state, from above.
    history : float, vector, or function of time
        State up to time 0.

    Returns
    -------
    float
        The time; 0 if the start is at the level, ``inf`` if it is never reached.

    Notes
    -----
    Exact, by the method of steps. An unstable system is followed until its growth is 1e16.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> round(DelaySystem(0.0, -0.2, 1.0).hitting_time(0.01, history=1.0), 6)
    17.926322
    """
    level = checks.number("level", level)

    def gap(solution: Piecewise, t: Floats) -> Floats:
        value = solution.inside(t)[..., 0]
        return value[:, 0] - level if self.dim == 1 else np.linalg.norm(value, axis=1) - level

    end = _horizon(self)
    for _ in range(MOST_STRETCHES):
        solution = self._mean_until(end, history)
        times = _samples(solution)
        values = gap(solution, times)
        if values[0] == 0.0:
            return 0.0
        crossed = np.flatnonzero(np.sign(values) != np.sign(values[0]))
        if crossed.size:
            k = int(crossed[0])
            return _refined(gap, solution, times[k - 1 : k + 1])
        if self.spectrum.edge != 0.0:
            return math.inf
        end *= 2.0
    raise Error(f"level = {level:g} is not reached before t = {end / 2.0:g}.")


def settling_time(self: "DelaySystem", level: float, history: Any) -> float:
    """Return when the noise-free state last leaves a band around its stationary mean.

    Parameters
    ----------
    level : float
        Half-width of the band, > 0: of the state of a scalar equation, of the Euclidean norm of a
        system.
    history : float, vector, or function of time
        State up to time 0.

    Returns
    -------
    float
        The time after which the state stays inside; 0 if it never leaves, ``inf`` if the system
        is unstable.

    Notes
    -----
    Exact, by the method of steps; the state is followed until it is sixteen orders below its start.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> system = DelaySystem(0.0, -1.0, 1.0)
    >>> round(system.hitting_time(0.1, 1.0), 6), round(system.settling_time(0.1, 1.0), 6)
    (0.9, 7.048999)
    """
    level = checks.positive("level", level)
    if not self.is_stable():
        return math.inf
    rest = np.reshape(self.stationary_mean(), (self.dim,))

    def excess(solution: Piecewise, t: Floats) -> Floats:
        return np.linalg.norm(solution.inside(t)[..., 0] - rest, axis=1) - level

    end = _horizon(self)
    for _ in range(MOST_STRETCHES):
        solution = self._mean_until(end, history)
        times = _samples(solution)
        outside = np.flatnonzero(excess(solution, times) > 0.0)
        if not outside.size:
            return 0.0
        k = int(outside[-1])
        if times[k] < 0.5 * end:
            return _refined(excess, solution, times[k : k + 2])
        end *= 2.0
    raise Error(f"the state does not settle within level = {level:g} before t = {end / 2.0:g}.")


def mean_hitting_time(system: "DelaySystem", level: float, start: float) -> float:
    r"""Return the mean time until a noisy scalar state first reaches a level from above.

    With r the decay rate of the slowest mode, :math:`c_0` its share of the start and
    :math:`k=\sqrt{2r}/\sigma`,

    .. math:: E\,T=\frac1r\int_{bk}^{c_0k}\sqrt{\tfrac\pi2}\,e^{y^2/2}\,
              \mathrm{erfc}\!\big(\tfrac{y}{\sqrt2}\big)\,dy.

    Parameters
    ----------
    system : DelaySystem
        Scalar and stable, with additive noise and a real dominant root (no oscillation).
    level : float
        The level b, in state units, below `start`.
    start : float
        The state up to time 0, constant.

    Returns
    -------
    float
        The mean time.

    Raises
    ------
    sdde.ArgumentError
        If the system does not meet these conditions.

    Notes
    -----
    Without delay the state is an Ornstein-Uhlenbeck process and the formula is exact. With delay
    it is an approximation derived in this project: the slowest mode is taken for an
    Ornstein-Uhlenbeck process of the full noise. Against simulations of
    :math:`dx=-ax(t-1)dt+\sigma dW` with a up to 0.3 it was at most 3 % off.

    Examples
    --------
    >>> from sdde.theory import DelaySystem, mean_hitting_time
    >>> round(mean_hitting_time(DelaySystem(-0.5, 0.0, 1.0, noise=0.1), 0.1, 1.0), 6)
    4.081572
    """
    level, start = checks.number("level", level), checks.number("start", start)
    if not hasattr(system, "coefficients"):
        raise checks.fail(
            "system", system, "is not a delay system",
            remedy="For example system = theory.DelaySystem(-1.0, 0.0, 1.0, noise=0.1).",
        )  # fmt: skip
    c = system.coefficients
    if system.dim > 1 or c.multiplicative or np.any(c.offset):
        raise checks.fail("system", system, "is not scalar with additive noise and zero offset")
    if level > start:
        raise checks.fail("level", level, f"lies above start = {start:g}")
    roots = system.roots(1)
    if not system.is_stable() or not len(roots) or roots[0].imag != 0.0:
        raise checks.fail(
            "system", system, "has no slow real mode",
            why="It is unstable, oscillates, or its delay has a tail heavier than exponential.",
            remedy="Simulate it with until=sdde.Hit(...).",
        )  # fmt: skip
    root = float(roots[0].real)
    slope = float(system.spectrum.slope(root).real[0, 0])
    total = float(c.instant[0, 0] + sum(float(a[0, 0]) for a in c.delayed))
    share = start * total / (root * slope)  # of a constant history; 1 without delay
    noise = math.sqrt(float(np.sum(c.noise**2)))
    if noise == 0.0:
        return system.hitting_time(level, start)
    scale = math.sqrt(-2.0 * root) / noise
    value: Any = quad(
        lambda y: math.sqrt(math.pi / 2.0) * float(erfcx(y / math.sqrt(2.0))),
        level * scale, share * scale, epsabs=0.0, epsrel=1e-12, limit=400,
    )  # fmt: skip
    return float(value[0]) / -root


def _refined(gap: Gap, solution: Piecewise, between: Floats) -> float:
    low, high = (float(end) for end in between)
    return bracketed(lambda t: float(gap(solution, np.array([t]))[0]), low, high)


def _horizon(system: "DelaySystem") -> float:
    """Return a time by which the state has changed by sixteen orders of magnitude."""
    longest = max((law.mean for law in system.coefficients.laws), default=0.0)
    rate = abs(system.abscissa())
    if system.spectrum.edge == 0.0 and rate == 0.0:
        return 50.0 * longest
    return 37.0 / max(rate, 1e-6 * system.spectrum.radius(0.0)) + 10.0 * longest


def _samples(solution: Piecewise) -> Floats:
    """Return times dense enough to see every crossing of a panel's polynomial but a graze."""
    share = np.arange(SAMPLES) / SAMPLES
    width = np.diff(solution.breaks)
    return np.append(
        (solution.breaks[:-1, None] + width[:, None] * share).ravel(), solution.breaks[-1]
    )
