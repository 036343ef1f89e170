"""Equations driven by arrivals: rates that remember, gradients that come late."""

import math
from typing import Any

from sdde import checks
from sdde.equation.jumps import Jump
from sdde.equation.laws import as_law
from sdde.equation.problem import Problem


def hawkes(
    base: float = 2.0, excitation: float = 0.6, decay: float = 1.5, delay: float = 1.0, *,
    longest_rate: float | None = None, history: float = 0.0,
) -> Problem:  # fmt: skip
    r"""Return a trace of past events that, after a delay, makes further events likelier.

    .. math:: dx(t) = -\gamma\,x(t)\,dt + dN(t),\qquad
              \text{rate of } N = \lambda_0 + k\,x(t-\tau)

    Each event adds 1 to the trace *x*, which decays; the trace some time ago excites events, as in
    a Hawkes process.

    Parameters
    ----------
    base : float, optional
        Rate :math:`\lambda_0` > 0 of spontaneous events, in 1/time.
    excitation : float, optional
        Gain *k* ≥ 0 in events per time for each unit of the trace.
    decay : float, optional
        Decay rate γ > 0 of the trace, in 1/time.
    delay : float, optional
        Delay τ ≥ 0 of the excitation.
    longest_rate : float, optional
        A rate that is never exceeded; a run in which it is exceeded is refused. By default 20
        standard deviations above the stationary mean rate, which needs k < γ.
    history : float, optional
        The trace up to the start, ≥ 0.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (γ, λ₀, k)``.

    Raises
    ------
    sdde.ArgumentError
        If a rate is not positive, the excitation, the delay or the history is negative, or no
        `longest_rate` is given for k ≥ γ.

    See Also
    --------
    sdde.theory.with_state_dependent_jumps : the exact moments of this equation.

    Notes
    -----
    Derived in this project, with *r* the solution of :math:`r'=-\gamma r+k\,r(t-\tau)` that starts
    at 1 from a past of 0:

    * The mean is stable if and only if k < γ, whatever the delay; then the stationary mean is
      :math:`m=\lambda_0/(\gamma-k)` and the rate of events is γm.
    * The stationary variance is :math:`(\lambda_0+km)\int_0^\infty r^2`; for the default arguments
      1.347432, with mean 2.222222.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.hawkes(2.0, 0.6, 1.5, 1.0)
    >>> sdde.solve(problem, (0.0, 20.0), dt=0.05, paths=4, rng=1).x.shape
    (4, 401)
    """
    rate = checks.positive("base", base, example=2.0)
    gain = checks.nonnegative("excitation", excitation, example=0.6)
    gamma = checks.positive("decay", decay, example=1.5)
    tau = checks.nonnegative("delay", delay, example=1.0)
    start = checks.nonnegative("history", history, example=0.0)
    if longest_rate is None:
        longest_rate = _bound(rate, gain, gamma, start)
    else:
        longest_rate = checks.positive("longest_rate", longest_rate, example=100.0)
    events = Jump(_intensity, _event, longest_rate=longest_rate)
    return Problem(_decay, delays=tau, history=start, jumps=events, args=(gamma, rate, gain))


def _bound(rate: float, gain: float, gamma: float, start: float) -> float:
    """Return a rate far above any that the stationary process or its start reaches.

    The spread taken is that without delay, which a delay only makes smaller.
    """
    if gain >= gamma:
        raise checks.fail(
            "excitation", gain, f"is not below decay = {gamma:g}",
            why="The rate of events then grows without bound.",
            remedy="Give longest_rate, for a run so short that the rate stays below it.",
        )  # fmt: skip
    mean = rate / (gamma - gain)
    spread = math.sqrt(gamma * mean / (2.0 * (gamma - gain)))
    return rate + gain * (start + mean + 20.0 * max(spread, 1.0))


def async_sgd(
    curvature: float = 1.0, learning_rate: float = 0.1, arrival_rate: float = 5.0,
    delay: Any = 1.0, *, noise: float = 0.5, history: Any = 1.0,
) -> Problem:  # fmt: skip
    r"""Return asynchronous SGD on a quadratic: gradients arrive at random, each computed some time
    ago.

    .. math:: dx(t) = -\eta\,\bigl(h\,x\bigl((t-T)-\bigr)+\nu\,\xi\bigr)\,dN(t)

    *N* counts arrivals at rate Λ; each arrival draws its own delay *T* and standard normal ξ.

    Parameters
    ----------
    curvature : float, optional
        Second derivative *h* > 0 of the loss.
    learning_rate : float, optional
        Learning rate η > 0.
    arrival_rate : float, optional
        Gradients Λ > 0 that arrive per unit of time: workers / mean cycle time.
    delay : law, optional
        Law of the time *T* ≥ 0 from the read of the parameters to the arrival of the gradient: a
        number, a ``scipy.stats`` law or an array of measurements.
    noise : float, optional
        Standard deviation ν ≥ 0 of a gradient.
    history : float, callable, (t, x) or Solution, optional
        The parameter up to the start, as a distance from the minimum.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (η, h, ν)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is negative or not a number, or the law of the delay is unusable.

    See Also
    --------
    sdde.theory.AsyncSGD : closed forms for many workers and many curvatures.
    sdde.cluster.simulate : the discrete system itself, without Poisson arrivals.

    Notes
    -----
    Derived in this project, with β = Ληh, *L* the Laplace transform of *T*, and
    :math:`R_0=\frac1\pi\int_0^\infty|i\omega+\beta L(i\omega)|^{-2}d\omega`, which is
    :math:`\frac{1+\sin\beta T}{2\beta\cos\beta T}` for a constant delay:

    * The mean is stable for a constant delay if and only if :math:`\beta T<\pi/2`, for a delay
      uniform on (0, 2T) if and only if :math:`\beta T<\pi^2/4`, for an exponential delay always.
    * Second moments are bounded if and only if the mean is stable and
      :math:`\Lambda\eta^2h^2R_0<1`; without delay that is ηh < 2. For Λ = 5 and h = T = 1 the mean
      is stable up to η = 0.31416, second moments up to η = 0.26205.
    * The stationary variance is
      :math:`V=\frac{\Lambda\eta^2\nu^2R_0}{1-\Lambda\eta^2h^2R_0}`, 0.0230121 for the default
      arguments.

    Examples
    --------
    >>> import scipy.stats, sdde
    >>> problem = sdde.models.async_sgd(1.0, 0.05, 8.0, scipy.stats.gamma(4, scale=0.25))
    >>> sdde.solve(problem, (0.0, 20.0), dt=0.05, paths=4, rng=1).x.shape
    (4, 401)
    """
    from scipy.stats import norm

    values = (
        checks.positive("learning_rate", learning_rate, example=0.1),
        checks.positive("curvature", curvature, example=1.0),
        checks.nonnegative("noise", noise, example=0.5),
    )
    rate = checks.positive("arrival_rate", arrival_rate, example=5.0)
    gradients = Jump(rate, _gradient, delays=as_law(delay, "delay"), mark=norm())
    return Problem(_rest, history=history, jumps=gradients, args=values)


def _decay(t: float, x: float, delayed: Any, decay: float, base: float, gain: float) -> float:
    return -decay * x


def _intensity(t: float, x: float, delayed: Any, decay: float, base: float, gain: float) -> float:
    return base + gain * delayed[0]


def _event(
    t: float, x: float, delayed: Any, mark: float, decay: float, base: float, gain: float
) -> float:
    return 1.0


def _rest(
    t: float, x: float, delayed: Any, learning_rate: float, curvature: float, noise: float
) -> float:
    return 0.0


def _gradient(
    t: float, x: float, delayed: Any, mark: float, learning_rate: float, curvature: float,
    noise: float,
) -> float:  # fmt: skip
    return -learning_rate * (curvature * delayed[0] + noise * mark)
