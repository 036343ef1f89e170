r"""Scalar characteristic equations s + a phi(s) = 0: dominant roots, critical damping, stability.

They describe :math:`m'(t)=-a\,E\,m(t-T)`, the mean of a quantity that is pushed back by what it was
a random time T ago; phi is the Laplace transform of T's law. With one learning rate and n workers
a is the damping of asynchronous SGD. Three questions are answered here, all for arrays or at once:

* ``rightmost_roots(damping, law)``: the dominant root for each of many dampings, in milliseconds;
* ``critical_damping(law)``: ``(damping, rate)`` where oscillation starts, scaled to mean delay 1;
* ``stability_limit(law)``: the damping, scaled to mean delay 1, at which stability ends.

A law is a number, a `scipy.stats` law or an array of measurements; pass a `Law` made by
``as_law`` to reuse its table between calls. Systems with several delays or matrices are in
`delay_system`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.equation.laws import Law, as_law

from .numerics import lambert_w
from .root_locus import crossing, locus_of


class CriticalDamping(NamedTuple):
    """Where two real roots merge, in units of the mean delay.

    Attributes
    ----------
    damping : float
        Critical damping times mean delay, dimensionless.
    rate : float
        Decay rate there times mean delay, dimensionless.
    """

    damping: float
    rate: float


def rightmost_roots(damping: ArrayLike, law: Any = 1.0) -> NDArray[np.complex128]:
    r"""Return the dominant characteristic root for each damping.

    The dominant root is the root of

    .. math:: s + a\,\phi(s) = 0,\qquad \phi(s)=E\,e^{-sT}

    with the largest real part; of a complex pair the member with positive imaginary part.
    Solutions of :math:`m'(t)=-a\,E\,m(t-T)` behave like :math:`e^{st}` in the long run.

    Parameters
    ----------
    damping : array_like
        Dampings a in 1/time; negative ones push away from zero. Any shape.
    law : float, scipy.stats law, 1-D array of measurements, or Law
        Law of the delay T, with any mean, in the unit of time of `damping`.

    Returns
    -------
    ndarray of complex
        The roots, in 1/time, with the shape of `damping`.

    Raises
    ------
    sdde.ArgumentError
        If `damping` is not finite, or `law` is not a law of times with a finite mean.

    See Also
    --------
    critical_damping : where the root leaves the real axis.
    stability_limit : where it reaches the imaginary axis.

    Notes
    -----
    Constant delay: :math:`s=W_0(-a\tau)/\tau` (Lambert W), with the double root -1/tau at
    :math:`a\tau=1/e`; exponential delay: the quadratic :math:`s^2T+s+a=0`. For other laws the
    root is continued in the damping and polished by Newton's iteration (about 1e-13, and 1e-8 at
    a double root). While two real roots exist the dominant root is real, by Rouché's theorem
    [derived in this project]; beyond, the branch is chosen among the roots of a collocation of 49
    nodes.

    A law whose tail is heavier than exponential (lognormal, Pareto) has no transform left of the
    imaginary axis. A stable equation then decays slower than any exponential, there is no dominant
    root, and 0 is returned; roots with positive real part are returned as they are. More generally,
    where no root lies to the right of the edge of convergence, that edge is returned.

    References
    ----------
    .. [1] R. M. Corless, G. H. Gonnet, D. E. G. Hare, D. J. Jeffrey, D. E. Knuth, "On the Lambert W
           function", Advances in Computational Mathematics 5 (1996), 329-359.

    Examples
    --------
    >>> from sdde.theory import rightmost_roots
    >>> rightmost_roots([0.2, 1.0]).round(6) + 0.0
    array([-0.259171+0.j      , -0.318132+1.337236j])
    """
    a = checks.array("damping", damping)
    delay = as_law(law, "law")
    return _rightmost(a, delay)


def _rightmost(a: NDArray[np.float64], law: Law) -> NDArray[np.complex128]:
    if law.mean == 0.0:
        return -a.astype(complex)
    if law.kind == "constant":
        return lambert_w(-a * law.mean) / law.mean
    if law.kind == "exponential":
        root = np.sqrt((1.0 - 4.0 * a * law.mean).astype(complex))
        return np.asarray(-2.0 * a / (1.0 + root), dtype=complex)
    return locus_of(law)(a)


def critical_damping(law: Any) -> CriticalDamping:
    r"""Return the damping at which a delayed restoring force starts to oscillate, and its rate.

    It is the largest u for which :math:`s+u\,\phi(s)=0`, with the law scaled to mean 1, has a real
    root. Up to it the rate grows with u: it is the fastest decay without oscillation.

    .. math:: u^*=\max_r \frac{r}{M(r)},\qquad M(r)=E\,e^{rT/E T}

    Parameters
    ----------
    law : float, scipy.stats law, 1-D array of measurements, or Law
        Law of the delay. Only its shape matters, not its scale.

    Returns
    -------
    CriticalDamping
        ``(damping, rate)``, both times the mean delay, dimensionless. Both are 0 for tails
        heavier than exponential, which have no real root at any damping.

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times with a finite mean.

    Notes
    -----
    Constant delay: (1/e, 1). Gamma of shape k (Erlang, exponential):
    :math:`((k/(k+1))^{k+1},\,k/(k+1))`. Otherwise the maximum is found numerically. Derived in this
    project; `theory.symbolic` derives both closed forms again. For the exponential law the rate
    stays 1/2 beyond the critical damping, and for gamma laws of shape below 1 it still grows
    there.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde.theory import critical_damping
    >>> critical_damping(1.0)
    CriticalDamping(damping=0.36787944117144233, rate=1.0)
    >>> critical_damping(scipy.stats.expon(scale=3.0))
    CriticalDamping(damping=0.25, rate=0.5)
    """
    delay = _positive_law(law)
    if delay.kind == "constant":
        return CriticalDamping(math.exp(-1.0), 1.0)
    shape = gamma_shape(delay)
    if shape is not None:
        return CriticalDamping((shape / (shape + 1.0)) ** (shape + 1.0), shape / (shape + 1.0))
    merging = locus_of(delay).merging
    if merging is None:
        return CriticalDamping(0.0, 0.0)
    return CriticalDamping(merging[1] * delay.mean, merging[0] * delay.mean)


def stability_limit(law: Any) -> float:
    r"""Return the damping at which a delayed restoring force becomes unstable.

    It is the smallest u > 0 for which :math:`s+u\,\phi(s)=0`, with the law scaled to mean 1, has
    a root on the imaginary axis; the equation is stable exactly for :math:`0<u<u_{\max}`.

    Parameters
    ----------
    law : float, scipy.stats law, 1-D array of measurements, or Law
        Law of the delay. Only its shape matters, not its scale.

    Returns
    -------
    float
        Limit of damping times mean delay, dimensionless; ``inf`` if no damping is unstable.

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times with a finite mean.

    Notes
    -----
    Constant delay: pi/2. Gamma of shape k: :math:`k\tan\frac{\pi}{2k}/\cos^k\frac{\pi}{2k}`,
    infinite for k <= 1 (exponential included). Uniform on [0, 2]: pi^2/4. Derived in this
    project, with `theory.symbolic` as second witness. Otherwise the crossings
    :math:`\mathrm{Re}\,\phi(i\omega)=0` are searched; limits above 100 are reported as ``inf``.
    Heavy tails make no difference, as only the imaginary axis matters here.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde.theory import stability_limit
    >>> round(stability_limit(2.0), 6), round(stability_limit(scipy.stats.gamma(2)), 6)
    (1.570796, 4.0)
    >>> stability_limit(scipy.stats.expon())
    inf
    """
    delay = _positive_law(law)
    if delay.kind == "constant":
        return math.pi / 2.0
    shape = gamma_shape(delay)
    if shape is not None:
        if shape <= 1.0:
            return math.inf
        angle = math.pi / (2.0 * shape)
        return shape * math.tan(angle) / math.cos(angle) ** shape
    if _family(delay) == "uniform" and delay.lowest == 0.0:
        return math.pi**2 / 4.0
    return crossing(delay) * delay.mean


def gamma_shape(law: Law) -> float | None:
    """Return the shape of a gamma law that starts at 0, and None for any other law."""
    if _family(law) in ("expon", "gamma", "erlang") and law.lowest == 0.0:
        return law.mean / law.variance * law.mean
    return None


def _family(law: Law) -> str:
    return getattr(getattr(law.frozen, "dist", None), "name", "")


def _positive_law(law: Any) -> Law:
    delay = as_law(law, "law")
    if delay.mean <= 0.0:
        raise checks.fail(
            "law", law, "has mean 0", why="The result is in units of the mean delay.",
            remedy="For example law = 1.0.",
        )  # fmt: skip
    return delay
