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


def hayes(
    instant: float, delayed: float, delay: float, *, offset: float = 0.0, noise: float = 0.0,
    noise_instant: float = 0.0, noise_delayed: float = 0.0, history: Any = 1.0,
) -> Problem:  # fmt: skip
    r"""Return the general scalar linear equation with one delay, in drift and noise.

    .. math:: dx(t) = \bigl(a\,x(t) + b\,x(t-\tau) + f\bigr)dt
              + \bigl(c\,x(t) + d\,x(t-\tau) + s\bigr)dW(t)

    Parameters
    ----------
    instant, delayed : float
        Coefficients *a* and *b* of the drift, in 1/time.
    delay : float
        Delay τ ≥ 0.
    offset : float, optional
        The constant *f* of the drift, in state units per time.
    noise : float, optional
        The constant *s* of the noise, in state units per square root of time.
    noise_instant, noise_delayed : float, optional
        Coefficients *c* and *d* of the noise, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (a, b, f, c, d, s)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not a finite number, or the delay is negative.

    See Also
    --------
    geometric : the same without the constants.
    sdde.theory.DelaySystem : the exact moments and stability of this equation.

    Notes
    -----
    Derived in this project; *r* is the solution of :math:`r'=ar+br(t-\tau)` that starts at 1 from
    a past of 0, :math:`R_0=\int_0^\infty r^2` and
    :math:`R_\tau=\int_0^\infty r(u)r(u+\tau)\,du`:

    * The mean is stable if and only if :math:`a+b<0` and either :math:`b\ge -|a|` or
      :math:`\tau<\arccos(-a/b)/\sqrt{b^2-a^2}` (for :math:`b<-|a|`).
    * Given that, second moments are bounded if and only if
      :math:`\kappa=(c^2+d^2)R_0+2cd\,R_\tau<1`.
    * Then the stationary mean is :math:`m=-f/(a+b)` and the stationary variance is
      :math:`R_0\,\frac{((c+d)m+s)^2}{1-\kappa}`.

    The test problem of the SciML documentation is ``hayes(-4, -2, 1, offset=10, noise=1.1,
    noise_instant=-1.3, noise_delayed=-1.2, history=lambda t: 1 + t)``: stationary mean 5/3,
    variance 2.0181262, κ = 0.3385773.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.hayes(-4.0, -2.0, 1.0, offset=10.0, noise=1.1)
    >>> sdde.solve(problem, (0.0, 20.0), dt=0.01, rng=1).x.shape
    (1, 2001)
    """
    values = (
        checks.number("instant", instant, example=-4.0),
        checks.number("delayed", delayed, example=-2.0),
        checks.number("offset", offset, example=0.0),
        checks.number("noise_instant", noise_instant, example=0.0),
        checks.number("noise_delayed", noise_delayed, example=0.0),
        checks.number("noise", noise, example=0.1),
    )
    tau = checks.nonnegative("delay", delay, example=1.0)
    return Problem(_affine, _affine_noise, delays=tau, history=history, args=values)


def geometric(
    instant: float, delayed: float, delay: float, *, noise_instant: float = 0.0,
    noise_delayed: float = 0.0, history: Any = 1.0,
) -> Problem:  # fmt: skip
    r"""Return the linear equation whose noise is proportional to the state, now and some time ago.

    .. math:: dx(t) = \bigl(a\,x(t) + b\,x(t-\tau)\bigr)dt
              + \bigl(c\,x(t) + d\,x(t-\tau)\bigr)dW(t)

    Parameters
    ----------
    instant, delayed : float
        Coefficients *a* and *b* of the drift, in 1/time.
    delay : float
        Delay τ ≥ 0.
    noise_instant, noise_delayed : float, optional
        Coefficients *c* and *d* of the noise, per square root of time.
    history : float, callable, (t, x) or Solution, optional
        The state up to the start.

    Returns
    -------
    Problem
        The scalar equation, with ``args = (a, b, c, d)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not a finite number, or the delay is negative.

    See Also
    --------
    hayes : the same with constants, and its stability.

    Notes
    -----
    Derived in this project:

    * On the first delay, with :math:`\Phi(t)=e^{(a-c^2/2)t+cW(t)}` and history φ,
      :math:`x(t)=\Phi(t)\bigl[\varphi(0)+(b-cd)\int_0^t\Phi^{-1}\varphi(s-\tau)\,ds
      +d\int_0^t\Phi^{-1}\varphi(s-\tau)\,dW\bigr]`.
    * For a = c = 0 and φ = 1 this is :math:`1+bt+dW(t)`, so that
      :math:`\mathbb E x(\tau)^2=(1+b\tau)^2+d^2\tau`.
    * Second moments decay if and only if the mean is stable and
      :math:`\kappa=(c^2+d^2)R_0+2cd\,R_\tau<1`, as in `hayes`.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6)
    >>> sdde.solve(problem, (0.0, 4.0), dt=0.01, paths=5, rng=1).x.shape
    (5, 401)
    """
    values = (
        checks.number("instant", instant, example=-1.0),
        checks.number("delayed", delayed, example=0.5),
        checks.number("noise_instant", noise_instant, example=0.6),
        checks.number("noise_delayed", noise_delayed, example=0.0),
    )
    tau = checks.nonnegative("delay", delay, example=1.0)
    return Problem(_linear, _linear_noise, delays=tau, history=history, args=values)


def delayed_oscillator(
    damping: float, stiffness: float, delay: float, *, delayed_damping: float = 0.0,
    delayed_stiffness: float = 0.0, noise: float = 0.0, history: Any = (0.0, 0.0),
) -> Problem:  # fmt: skip
    r"""Return a noisy oscillator whose damping or restoring force comes late.

    .. math:: \ddot x(t) + \gamma\dot x(t) + \gamma_1\dot x(t-\tau) + k\,x(t) + k_1\,x(t-\tau)
              = \sigma\,\xi(t)

    Parameters
    ----------
    damping, stiffness : float
        Coefficients γ (1/time) and *k* (1/time²) of the present state.
    delay : float
        Delay τ ≥ 0.
    delayed_damping, delayed_stiffness : float, optional
        Coefficients γ₁ and k₁ of the delayed state.
    noise : float, optional
        Level σ ≥ 0 of the white noise ξ that acts on the velocity.
    history : vector, callable, (t, x) or Solution, optional
        Position and velocity up to the start.

    Returns
    -------
    Problem
        The system (position, velocity), with ``args = (γ, k, γ₁, k₁)``.

    Raises
    ------
    sdde.ArgumentError
        If an argument is not a finite number, or the delay or the noise is negative.

    Notes
    -----
    Derived in this project:

    * The stationary law is Gaussian; position and velocity at one time are independent, since the
      derivative of the variance of the position is zero.
    * Without delayed forces the variances are :math:`\sigma^2/(2\gamma k)` of the position and
      :math:`\sigma^2/(2\gamma)` of the velocity (textbook).
    * For γ = 0.4, k = 1, γ₁ = 0.3, τ = σ = 1 they are 0.897920 and 1.107928.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.delayed_oscillator(0.4, 1.0, 1.0, delayed_damping=0.3, noise=1.0)
    >>> sdde.solve(problem, (0.0, 20.0), dt=0.01, rng=1).x.shape
    (1, 2001, 2)
    """
    values = (
        checks.number("damping", damping, example=0.4),
        checks.number("stiffness", stiffness, example=1.0),
        checks.number("delayed_damping", delayed_damping, example=0.3),
        checks.number("delayed_stiffness", delayed_stiffness, example=0.0),
    )
    tau = checks.nonnegative("delay", delay, example=1.0)
    sigma = checks.nonnegative("noise", noise, example=1.0)
    return Problem(_oscillator, [0.0, sigma], delays=tau, history=history, args=values)


def _drift(t: float, x: float, delayed: Any, rate: float) -> float:
    return -rate * delayed[0]


def _affine(
    t: float, x: float, delayed: Any, a: float, b: float, f: float, c: float, d: float, s: float
) -> float:
    return a * x + b * delayed[0] + f


def _affine_noise(
    t: float, x: float, delayed: Any, a: float, b: float, f: float, c: float, d: float, s: float
) -> float:
    return c * x + d * delayed[0] + s


def _linear(t: float, x: float, delayed: Any, a: float, b: float, c: float, d: float) -> float:
    return a * x + b * delayed[0]


def _linear_noise(
    t: float, x: float, delayed: Any, a: float, b: float, c: float, d: float
) -> float:
    return c * x + d * delayed[0]


def _oscillator(
    t: float, x: Any, delayed: Any, damping: float, stiffness: float, late_damping: float,
    late_stiffness: float,
) -> Any:  # fmt: skip
    late = late_damping * delayed[0][1] + late_stiffness * delayed[0][0]
    return x[1], -damping * x[1] - stiffness * x[0] - late
