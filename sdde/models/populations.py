"""Populations whose growth, births or infections come late."""

from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.problem import Problem


def hutchinson(
    rate: float = 1.0, capacity: float = 1.0, delay: float = 1.0, *, noise: float = 0.0,
    history: Any = 0.5,
) -> Problem:  # fmt: skip
    r"""Return the delayed logistic equation: crowding acts after a delay.

    .. math:: dx(t) = r\,x(t)\Bigl(1-\frac{x(t-\tau)}{K}\Bigr)dt + \sigma\,x(t)\,dW(t)

    Parameters
    ----------
    rate : float, optional
        Growth rate *r* > 0, in 1/time.
    capacity : float, optional
        Carrying capacity *K* > 0.
    delay : float, optional
        Delay τ ≥ 0.
    noise : float, optional
        Noise level σ ≥ 0 in proportion to the state, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start, positive.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (r, K, σ)``.

    Raises
    ------
    sdde.ArgumentError
        If the rate or the capacity is not positive, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project:

    * Without noise, equilibria are 0 (unstable) and *K*, which is stable if and only if
      :math:`r\tau<\pi/2`, where a Hopf bifurcation begins.
    * A path that starts positive stays positive.
    * In a stationary law with :math:`\mathbb E|\log x|<\infty` the mean is exactly
      :math:`K\bigl(1-\sigma^2/(2r)\bigr)`, whatever the delay: the mean of :math:`d\log x` is zero.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.hutchinson(1.2, noise=0.1)
    >>> sdde.solve(problem, (0.0, 60.0), dt=0.01, paths=3, rng=1).x.shape
    (3, 6001)
    """
    values = (
        checks.positive("rate", rate, example=1.0),
        checks.positive("capacity", capacity, example=1.0),
        checks.nonnegative("noise", noise, example=0.1),
    )
    tau = checks.nonnegative("delay", delay, example=1.0)
    return Problem(_logistic, _logistic_noise, delays=tau, history=history, args=values)


def nicholson(
    births: float = 8.0, deaths: float = 1.0, delay: float = 3.0, *, crowding: float = 1.0,
    noise: float = 0.0, history: Any = 1.0,
) -> Problem:  # fmt: skip
    r"""Return Nicholson's blowflies: eggs become adults after a delay, fewer of them in a crowd.

    .. math:: dx(t) = \Bigl(p\,x(t-\tau)\,e^{-x(t-\tau)/x_0} - \delta\,x(t)\Bigr)dt
              + \sigma\,x(t)\,dW(t)

    Parameters
    ----------
    births, deaths : float, optional
        Rates *p* > 0 and δ > 0, in 1/time.
    delay : float, optional
        Time τ ≥ 0 from egg to adult.
    crowding : float, optional
        The density :math:`x_0` > 0 at which births are largest.
    noise : float, optional
        Noise level σ ≥ 0 in proportion to the state, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start, positive.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (p, δ, x₀, σ)``.

    Raises
    ------
    sdde.ArgumentError
        If a rate or `crowding` is not positive, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project for the equation without noise:

    * Equilibria are 0, stable for p < δ, and for p > δ :math:`x_*=x_0\ln(p/\delta)`, where the
      slope of the births is :math:`b=\delta\,(1-\ln(p/\delta))`.
    * :math:`x_*` is stable at any delay for :math:`p\le e^2\delta`; beyond, if and only if
      :math:`\tau<\arccos(\delta/b)/\sqrt{b^2-\delta^2}`: 1.213366 for p = 20, δ = 1.
    * With the default arguments, x(3) = 2.8462974866295303 and x(30) = 1.9076262653038334.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.nicholson(20.0, delay=2.0, noise=0.1)
    >>> sdde.solve(problem, (0.0, 60.0), dt=0.01, paths=3, rng=1).x.shape
    (3, 6001)
    """
    values = (
        checks.positive("births", births, example=8.0),
        checks.positive("deaths", deaths, example=1.0),
        checks.positive("crowding", crowding, example=1.0),
        checks.nonnegative("noise", noise, example=0.1),
    )
    tau = checks.nonnegative("delay", delay, example=3.0)
    return Problem(_blowflies, _blowflies_noise, delays=tau, history=history, args=values)


def delayed_sir(
    contacts: float = 2.0, recovery: float = 1.0, delay: float = 1.0, *, turnover: float = 0.0,
    noise: float = 0.0, history: Any = (0.99, 0.01),
) -> Problem:  # fmt: skip
    r"""Return an epidemic with shares of susceptible and infected, infectious after a delay.

    .. math::
        dS &= \bigl(\mu - \mu S - \beta S\,I(t-\tau)\bigr)dt - \sigma S\,I(t-\tau)\,dW\\
        dI &= \bigl(\beta S\,I(t-\tau) - (\mu+\gamma)I\bigr)dt + \sigma S\,I(t-\tau)\,dW

    One Wiener process disturbs the contact rate. The recovered are the rest.

    Parameters
    ----------
    contacts : float, optional
        Contact rate β > 0, in 1/time.
    recovery : float, optional
        Recovery rate γ > 0, in 1/time.
    delay : float, optional
        Time τ ≥ 0 from infection to infecting others.
    turnover : float, optional
        Rate μ ≥ 0 of births and deaths, in 1/time.
    noise : float, optional
        Noise level σ ≥ 0 of the contact rate, per square root of time.
    history : vector, callable, (t, x) or Solution, optional
        Shares of susceptible and infected up to the start.

    Returns
    -------
    Problem
        The system (S, I) with one noise, ``args = (β, γ, μ, σ)``.

    Raises
    ------
    sdde.ArgumentError
        If a rate is not positive, or the turnover, the delay or the noise is negative.

    Notes
    -----
    Derived in this project, with :math:`R=\beta/(\mu+\gamma)`:

    * Equilibria without noise are (1, 0), stable if and only if R < 1 whatever the delay, and for
      R > 1 and μ > 0 :math:`(1/R,\ \mu(R-1)/\beta)`.
    * The share S + I follows :math:`d(S+I)=(\mu-\mu(S+I)-\gamma I)dt` on every path, without noise.
    * Without turnover and noise, an epidemic that starts from a constant past ends at the S that
      solves :math:`\ln(S/S_0)=-\frac\beta\gamma(S_0+I_0-S)-\beta\tau I_0`.
    * Near (1, 0), :math:`\mathbb EI^2` decays if and only if R < 1 and
      :math:`\sigma^2\int_0^\infty r^2<1`, where r is the fundamental solution of
      :math:`r'=-(\mu+\gamma)r+\beta r(t-\tau)`.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.delayed_sir(2.0, 1.0, 0.5, noise=0.2)
    >>> sdde.solve(problem, (0.0, 20.0), dt=0.01, paths=3, rng=1).x.shape
    (3, 2001, 2)
    """
    values = (
        checks.positive("contacts", contacts, example=2.0),
        checks.positive("recovery", recovery, example=1.0),
        checks.nonnegative("turnover", turnover, example=0.0),
        checks.nonnegative("noise", noise, example=0.1),
    )
    tau = checks.nonnegative("delay", delay, example=1.0)
    return Problem(
        _epidemic, _epidemic_noise, delays=tau, history=history, args=values, noise="scalar"
    )


def _logistic(
    t: float, x: float, delayed: Any, rate: float, capacity: float, noise: float
) -> float:
    return rate * x * (1.0 - delayed[0] / capacity)


def _logistic_noise(
    t: float, x: float, delayed: Any, rate: float, capacity: float, noise: float
) -> float:
    return noise * x


def _blowflies(
    t: float, x: float, delayed: Any, births: float, deaths: float, crowding: float, noise: float
) -> float:
    return births * delayed[0] * np.exp(-delayed[0] / crowding) - deaths * x


def _blowflies_noise(
    t: float, x: float, delayed: Any, births: float, deaths: float, crowding: float, noise: float
) -> float:
    return noise * x


def _epidemic(
    t: float, x: Any, delayed: Any, contacts: float, recovery: float, turnover: float, noise: float
) -> Any:
    infections = contacts * x[0] * delayed[0][1]
    return turnover - turnover * x[0] - infections, infections - (turnover + recovery) * x[1]


def _epidemic_noise(
    t: float, x: Any, delayed: Any, contacts: float, recovery: float, turnover: float, noise: float
) -> Any:
    infections = noise * x[0] * delayed[0][1]
    return -infections, infections
