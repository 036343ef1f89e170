"""Nonlinear feedback that comes late: blood cells, optical cavities, neurons."""

from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.problem import Problem


def mackey_glass(
    production: float = 0.2, decay: float = 0.1, power: float = 10.0, delay: float = 17.0, *,
    noise: float = 0.0, history: Any = 0.5,
) -> Problem:  # fmt: skip
    r"""Return the Mackey-Glass equation of a density whose production is regulated late.

    .. math:: dx(t) = \Bigl(\frac{\beta\,x(t-\tau)}{1+x(t-\tau)^n} - \gamma\,x(t)\Bigr)dt
              + \sigma\,x(t)\,dW(t)

    Parameters
    ----------
    production, decay : float, optional
        Rates β > 0 and γ > 0, in 1/time.
    power : float, optional
        Steepness *n* > 0 of the regulation.
    delay : float, optional
        Delay τ ≥ 0.
    noise : float, optional
        Noise level σ ≥ 0 in proportion to the state, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start, positive.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (β, γ, n, σ)``.

    Raises
    ------
    sdde.ArgumentError
        If a rate or the power is not positive, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project for the equation without noise:

    * Equilibria are 0 and, for β > γ, :math:`x_*=(\beta/\gamma-1)^{1/n}`, where the slope of the
      delayed term is :math:`b=\gamma\,\bigl(1-n(1-\gamma/\beta)\bigr)`.
    * For :math:`b<-\gamma` the equilibrium :math:`x_*` is stable if and only if
      :math:`\tau<\arccos(\gamma/b)/\sqrt{b^2-\gamma^2}`; for the default rates and power that is
      4.708196, where a Hopf bifurcation begins.
    * With the default arguments, x(17) = 0.9078608560458841, x(34) = 1.283593974435553 and
      x(170) = 0.9096542697462641.

    Examples
    --------
    >>> import sdde
    >>> solution = sdde.solve(sdde.models.mackey_glass(noise=0.01), (0, 300), dt=0.1, rng=1)
    >>> solution.x.shape
    (1, 3001)
    """
    values = (
        checks.positive("production", production, example=0.2),
        checks.positive("decay", decay, example=0.1),
        checks.positive("power", power, example=10.0),
        checks.nonnegative("noise", noise, example=0.01),
    )
    tau = checks.nonnegative("delay", delay, example=17.0)
    return Problem(_mackey_glass, _in_proportion, delays=tau, history=history, args=values)


def ikeda(
    strength: float = 2.0, delay: float = 2.0, *, noise: float = 0.0, history: Any = 0.1
) -> Problem:
    r"""Return the Ikeda equation of light that returns late into an optical cavity.

    .. math:: dx(t) = \bigl(-x(t) + \mu\sin x(t-\tau)\bigr)dt + \sigma\,dW(t)

    Time is in units of the medium's relaxation time.

    Parameters
    ----------
    strength : float, optional
        Feedback strength μ.
    delay : float, optional
        Round-trip time τ ≥ 0.
    noise : float, optional
        Noise level σ ≥ 0, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (μ,)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not a finite number, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project for the equation without noise:

    * Equilibria solve :math:`x=\mu\sin x`; 0 is one, and the only one for :math:`-1\le\mu\le1`,
      where no delay makes it unstable.
    * For μ > 1 the equilibrium 0 is unstable at any delay; for μ < -1 it is stable if and only if
      :math:`\tau<\arccos(1/\mu)/\sqrt{\mu^2-1}`, which is 1.209200 for μ = -2.
    * With the default arguments, x(2) = 0.18617839418056367 and x(20) = 1.9016829292422996.

    Examples
    --------
    >>> import sdde
    >>> solution = sdde.solve(sdde.models.ikeda(noise=0.1), (0, 40), dt=0.01, paths=10, rng=1)
    >>> solution.x.shape
    (10, 4001)
    """
    mu = checks.number("strength", strength, example=2.0)
    tau = checks.nonnegative("delay", delay, example=2.0)
    sigma = checks.nonnegative("noise", noise, example=0.1)
    return Problem(_ikeda, sigma, delays=tau, history=history, args=(mu,))


def neural_loop(
    weights: Any = (1.0, -2.0), delay: float = 1.0, *, noise: float = 0.0, history: Any = None
) -> Problem:
    r"""Return a ring of neurons, each driven late by the one before it.

    .. math:: dx_i(t) = \bigl(-x_i(t) + w_i\tanh x_{i-1}(t-\tau)\bigr)dt + \sigma\,dW_i(t)

    The first neuron is driven by the last. Time is in units of the membrane's time constant.

    Parameters
    ----------
    weights : sequence of float, optional
        Weight :math:`w_i` of the connection into each of the *n* neurons.
    delay : float, optional
        Delay τ ≥ 0 of each connection.
    noise : float, optional
        Noise level σ ≥ 0 of each neuron, per square root of time.
    history : vector, callable, (t, x) or Solution, optional
        The state up to the start; by default 0.1 for each neuron.

    Returns
    -------
    Problem
        The system of *n* neurons, with ``args = (weights,)``.

    Raises
    ------
    sdde.ArgumentError
        If `weights` is no vector of numbers, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project for the equation without noise. Zero is an equilibrium, whose
    characteristic equation :math:`(1+s)^n=P\,e^{-ns\tau}` has only the product *P* of the weights:

    * For :math:`|P|<1` zero is stable at any delay; for P > 1 it is unstable at any delay.
    * For P < -1 let :math:`\omega=\sqrt{|P|^{2/n}-1}`. Zero is stable if and only if
      :math:`\tau<(\pi/n-\arctan\omega)/\omega`; beyond begins an oscillation of frequency ω. Where
      the right side is not positive, zero is unstable at any delay. For the default weights that is
      0.785398 (π/4).

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.neural_loop([1.0, 1.0, -2.0], 2.0, noise=0.05)
    >>> sdde.solve(problem, (0.0, 50.0), dt=0.05, paths=4, rng=1).x.shape
    (4, 1001, 3)
    """
    w = checks.vector("weights", weights)
    tau = checks.nonnegative("delay", delay, example=1.0)
    sigma = checks.nonnegative("noise", noise, example=0.1)
    start = np.full(len(w), 0.1) if history is None else history
    return Problem(_neural_loop, np.full(len(w), sigma), delays=tau, history=start, args=(w,))


def _mackey_glass(
    t: float, x: float, delayed: Any, production: float, decay: float, power: float, noise: float
) -> float:
    return production * delayed[0] / (1.0 + delayed[0] ** power) - decay * x


def _in_proportion(
    t: float, x: float, delayed: Any, production: float, decay: float, power: float, noise: float
) -> float:
    return noise * x


def _ikeda(t: float, x: float, delayed: Any, strength: float) -> float:
    return -x + strength * np.sin(delayed[0])


def _neural_loop(t: float, x: Any, delayed: Any, weights: Any) -> Any:
    return -x + weights * np.tanh(np.roll(delayed[0], 1))
