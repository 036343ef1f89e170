r"""SymPy derivations of the closed forms that `characteristic`, `stationary` and `hitting` use.

Each function starts from the equation, not from the result, and returns what SymPy makes of it;
tests compare that with the numbers the package computes. SymPy is imported when a derivation is
asked for.
"""

from typing import Any, NamedTuple


class Derivation(NamedTuple):
    """What a derivation gives.

    Attributes
    ----------
    result : sympy expression or tuple of them
        The closed form.
    symbols : dict of str to sympy symbol
        The symbols in it.
    residual : sympy expression
        What is left of the starting equation when the result is put in; 0.
    """

    result: Any
    symbols: dict[str, Any]
    residual: Any


def stationary_covariance() -> Derivation:
    r"""Derive the covariance of dx = (a x + b x(t - tau)) dt + sigma dW at lags up to tau.

    For :math:`0<u<\tau` the lagged equation and the symmetry of K give
    :math:`K'(u)=aK(u)+bK(\tau-u)`; differentiating once more, :math:`K''=-(b^2-a^2)K`. Itô's
    formula for the variance gives :math:`K'(0+)=-\sigma^2/2`.

    Examples
    --------
    >>> from sdde.theory.symbolic import stationary_covariance
    >>> derived = stationary_covariance()
    >>> derived.residual
    0
    """
    import sympy as sp

    a, b = sp.symbols("a b", real=True)
    u, tau, sigma, omega = sp.symbols("u tau sigma omega", positive=True)
    start, sine = sp.symbols("K0 B", real=True)
    k = start * sp.cos(omega * u) + sine * sp.sin(omega * u)
    slope = k.diff(u)
    solved = sp.solve(
        [slope.subs(u, 0) + sigma**2 / 2, (a * k + b * k.subs(u, tau - u) - slope).subs(u, 0)],
        [start, sine], dict=True,
    )[0]  # fmt: skip
    k = k.subs(solved)
    residual = k.diff(u) - a * k - b * k.subs(u, tau - u)
    # The result solves the equation for the one omega with omega^2 = b^2 - a^2.
    residual = sp.expand_trig(sp.expand(sp.together(residual)))
    residual = sp.simplify(sp.numer(sp.together(residual)).subs(omega**2, b**2 - a**2))
    residual = sp.simplify(residual.subs(b, sp.sqrt(a**2 + omega**2)))
    names = {"a": a, "b": b, "tau": tau, "sigma": sigma, "omega": omega, "u": u}
    return Derivation(k, names, residual)


def delay_margin() -> Derivation:
    r"""Derive the delay at which s = a + b exp(-s tau) has a root on the imaginary axis.

    Real part: :math:`a+b\cos\omega\tau=0`; modulus: :math:`\omega^2+a^2=b^2`.
    """
    import sympy as sp

    a, b = sp.symbols("a b", real=True)
    omega = sp.sqrt(b**2 - a**2)
    tau = sp.acos(-a / b) / omega
    residual = sp.simplify(a + b * sp.cos(omega * tau))
    return Derivation(tau, {"a": a, "b": b}, residual)


def gamma_critical_damping() -> Derivation:
    r"""Derive the critical damping of a gamma delay of shape k and mean 1, and the rate there.

    :math:`s+u(1+s/k)^{-k}=0` at s = -r means :math:`u=r(1-r/k)^k`, which is largest at a double
    root.
    """
    import sympy as sp

    k, r = sp.symbols("k r", positive=True)
    damping = r * (1 - r / k) ** k
    rate = sp.solve(sp.simplify(damping.diff(r) / damping), r)[0]
    best = sp.simplify(damping.subs(r, rate))
    return Derivation((best, rate), {"k": k}, sp.simplify(damping.diff(r).subs(r, rate)))


def gamma_stability_limit() -> Derivation:
    r"""Derive the stability limit of a gamma delay of shape k and mean 1.

    At :math:`s=i\omega` the phase of :math:`(1+i\omega/k)^{-k}` must be a right angle:
    :math:`k\arctan(\omega/k)=\pi/2`.
    """
    import sympy as sp

    k, omega = sp.symbols("k omega", positive=True)
    crossing = sp.solve(k * sp.atan(omega / k) - sp.pi / 2, omega)[0]
    modulus = (1 + (omega / k) ** 2) ** (-k / 2)
    limit = (omega / modulus).subs(omega, crossing)
    return Derivation(limit, {"k": k}, sp.simplify(sp.tan(sp.pi / (2 * k)) - crossing / k))


def uniform_stability_limit() -> Derivation:
    r"""Derive the stability limit of a delay uniform on [0, 2].

    Times s, the equation is :math:`s^2+u(1-e^{-2s})/2=0`. At :math:`s=i\omega` its imaginary part
    vanishes at the first :math:`\omega=\pi/2`.
    """
    import sympy as sp

    u, omega = sp.symbols("u omega", positive=True)
    left = sp.expand(-(omega**2) + u * (1 - sp.exp(-2 * sp.I * omega)) / 2, complex=True)
    crossing = sp.pi / 2
    limit = sp.solve(sp.re(left).subs(omega, crossing), u)[0]
    return Derivation(limit, {}, sp.simplify(left.subs({omega: crossing, u: limit})))


def poisson_mean_square_limit() -> Derivation:
    r"""Derive how many workers Poisson arrivals with a fixed delay allow in mean square.

    With n workers, cycle time 1 and :math:`u=\alpha n` the fundamental solution of
    :math:`x'=-u\,x(t-1)` has :math:`\int r^2=\tan(\pi/4+u/2)/(2u)`, and second moments are bounded
    while :math:`\alpha^2n\int r^2<1`.
    """
    import sympy as sp

    alpha, n = sp.symbols("alpha n", positive=True)
    square = stationary_covariance()
    s = square.symbols
    power = square.result.subs(s["u"], 0).subs({s["a"]: 0, s["tau"]: 1, s["sigma"]: 1})
    power = power.subs({s["b"]: -alpha * n, s["omega"]: alpha * n})
    index = alpha**2 * n * power
    limit = (sp.pi / 2 - 2 * sp.atan(alpha / 2)) / alpha
    at_limit = sp.simplify(sp.expand_trig(index.subs(n, limit)) - 1)
    return Derivation(limit, {"alpha": alpha}, at_limit)


def exponential_delay_variance() -> Derivation:
    r"""Derive the variance of dx = -a x(t - T) dt + dW with T exponential of mean 1.

    With y the exponentially weighted past, x' = -a y and y' = x - y: a system without delay, whose
    covariance solves a Lyapunov equation.
    """
    import sympy as sp

    a = sp.symbols("a", positive=True)
    p, q, r = sp.symbols("p q r", real=True)
    matrix = sp.Matrix([[0, -a], [1, -1]])
    covariance = sp.Matrix([[p, q], [q, r]])
    left = matrix * covariance + covariance * matrix.T + sp.diag(1, 0)
    solved = sp.solve(list(left), [p, q, r], dict=True)[0]
    return Derivation(sp.simplify(solved[p]), {"a": a}, sp.simplify(left.subs(solved)).norm())


def mean_hitting_time() -> Derivation:
    r"""Derive the mean time in which an Ornstein-Uhlenbeck process falls to a level.

    The mean time T(x) from x solves :math:`\frac{\sigma^2}2T''-rxT'=-1`; the integrand of the
    formula is T' up to the factor k / r.
    """
    import sympy as sp

    x, r, sigma = sp.symbols("x r sigma", positive=True)
    k = sp.sqrt(2 * r) / sigma
    y = k * x
    slope = k / r * sp.sqrt(sp.pi / 2) * sp.exp(y**2 / 2) * sp.erfc(y / sp.sqrt(2))
    residual = sp.simplify(sigma**2 / 2 * slope.diff(x) - r * x * slope + 1)
    return Derivation(slope, {"x": x, "r": r, "sigma": sigma}, residual)
