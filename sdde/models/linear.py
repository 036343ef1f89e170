"""Linear equations that react late."""

from typing import Any

from sdde import checks
from sdde.equation.problem import Problem


def delayed_ornstein_uhlenbeck(
    rate: float, delay: float, noise: float, *, history: Any = 0.0
) -> Problem:
    r"""Return the equation that is pulled back to zero by its state some time ago.

    .. math:: dx(t) = -a\,x(t-\tau)\,dt + \sigma\,dW(t)

    Parameters
    ----------
    rate : float
        Restoring rate *a* > 0, in 1/time.
    delay : float
        Delay τ ≥ 0, in the same unit of time.
    noise : float
        Noise level σ ≥ 0, in state units per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (rate,)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is negative or not finite, or `rate` is zero.

    See Also
    --------
    sdde.solve : simulates it.

    Notes
    -----
    Derived in this project, for a deterministic history φ:

    * The mean decays if and only if :math:`a\tau < \pi/2`, and without oscillating if and only if
      :math:`a\tau \le 1/e`.
    * The stationary variance, for :math:`a\tau < \pi/2`, is
      :math:`K(0) = \sigma^2\,\frac{1+\sin a\tau}{2a\cos a\tau}`, and the autocovariance up to one
      delay is :math:`K(u) = K(0)\cos au - \frac{\sigma^2}{2a}\sin au`, :math:`0\le u\le\tau`.
    * At any time the state is Gaussian, with variance :math:`\sigma^2\int_0^t r(s)^2\,ds`, where
      :math:`r(t)=\sum_k (-a)^k\,(t-k\tau)_+^k/k!` is the fundamental solution (the term *k* = 0 is
      1).
    * The Euler-Maruyama recursion with time step *h* has the stationary variance
      :math:`\sigma^2 h\sum_n r_n^2`, where :math:`r_n` is its own impulse response. For a = τ = σ =
      1 it is 1.7292 at h = 1/64, against 1.7041 of the equation.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.delayed_ornstein_uhlenbeck(rate=1.0, delay=0.5, noise=1.0)
    >>> sdde.solve(problem, (0.0, 10.0), dt=0.01, rng=1).x.shape
    (1, 1001)
    """
    a = checks.positive("rate", rate)
    tau = checks.nonnegative("delay", delay, example=0.5)
    sigma = checks.nonnegative("noise", noise, example=1.0)
    return Problem(_drift, sigma, delays=tau, history=history, args=(a,))


def _drift(t: float, x: float, delayed: Any, rate: float) -> float:
    return -rate * delayed[0]
