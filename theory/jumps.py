r"""Poisson arrivals as noise: the delay system with the same first two moments.

A jump process of rate lambda whose jumps are linear in the state has, for means and covariances, an
exact equivalent with Wiener noise: its average joins the drift, and its compensated part has the
covariance :math:`\lambda E[jj^T]` per unit time. Higher moments differ, and `jump_cumulants` gives
those of additive jumps. All formulas are derived in this project (Campbell's theorem and the Itô
isometry for compensated Poisson processes).
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.laws import as_law

from .coefficients import Coefficients
from .delay_system import DelaySystem
from .numerics import Floats
from .piecewise import Piecewise


def with_jumps(
    system: DelaySystem, rate: float, *, size: Any = 0.0, instant: Any = 0.0, delayed: Any = 0.0
) -> DelaySystem:
    r"""Add Poisson arrivals whose jumps are linear in the present and delayed state.

    .. math:: dx=\dots+\Big(g_0x(t-)+\sum_jg_j\,x((t-\tau_j)-)+J\Big)dN_\lambda

    Parameters
    ----------
    system : DelaySystem
        The equation between arrivals. Its delays are those of the jumps; a random delay is drawn
        afresh for each arrival.
    rate : float
        Arrivals per unit time, lambda > 0.
    size : float or law
        Law of J, drawn afresh for each arrival, in state units; scalar systems only, else 0.
    instant : float or matrix
        g0.
    delayed : float, matrix, or list of them
        gj, one for each delay of `system`.

    Returns
    -------
    DelaySystem
        An equation with Wiener noise that has the same mean and the same covariances at all
        times.

    Raises
    ------
    sdde.ArgumentError
        If `rate` is not positive, or shapes do not match.

    Notes
    -----
    Derived in this project. The drift gains :math:`\lambda g_0,\ \lambda g_j,\ \lambda EJ`; the
    noise gains a process :math:`\sqrt\lambda(g_0x+\sum g_jx_j+EJ)` and one of size
    :math:`\sqrt{\lambda\,\mathrm{Var}J}`.

    Examples
    --------
    Asynchronous SGD on a quadratic of curvature 1, learning rate 0.1, five arrivals per unit
    time, each gradient one unit of time old and noisy:

    >>> import scipy.stats
    >>> from sdde.theory import DelaySystem, with_jumps
    >>> idle = DelaySystem(0.0, 0.0, 1.0)
    >>> sgd = with_jumps(idle, 5.0, delayed=-0.1, size=scipy.stats.norm(scale=0.05))
    >>> round(sgd.covariance(), 6)
    0.023012
    """
    _check_system(system)
    rate = checks.positive("rate", rate)
    law = as_law(size, "size", minimum=None)
    c = system.coefficients
    own = _aligned(system, instant, delayed)
    if system.dim > 1 and (law.mean != 0.0 or law.variance != 0.0):
        raise checks.fail("size", size, "needs a scalar system, and this one has components")
    root = math.sqrt(rate)
    empty = np.zeros((1, system.dim, system.dim))
    gains = tuple(
        np.concatenate([old, root * g[None], empty]) for old, g in zip(c.gains, own, strict=True)
    )
    unit = np.ones((system.dim, 1))
    extra = [root * law.mean * unit, root * math.sqrt(law.variance) * unit]
    return DelaySystem.from_coefficients(
        replace(
            c,
            instant=c.instant + rate * own[0],
            delayed=tuple(a + rate * g for a, g in zip(c.delayed, own[1:], strict=True)),
            noise=np.concatenate([c.noise, *extra], axis=1),
            gains=gains,
            offset=c.offset + rate * law.mean,
        )
    )


def with_state_dependent_jumps(
    system: DelaySystem, rate: float, *, size: Any = 1.0, instant: float = 0.0, delayed: Any = 0.0
) -> DelaySystem:
    r"""Add arrivals whose rate is linear in the present and delayed state, as in a Hawkes process.

    .. math:: dx=\dots+J\,dN,\qquad \text{rate of }N=\lambda_0+k_0x(t-)+\sum_jk_j\,x((t-\tau_j)-)

    Parameters
    ----------
    system : DelaySystem
        The scalar equation between arrivals.
    rate : float
        lambda_0 > 0, arrivals per unit time.
    size : float or law
        Law of J, in state units.
    instant : float
        k0, per unit time and state unit.
    delayed : float or list of them
        kj, one for each delay of `system`.

    Returns
    -------
    DelaySystem
        An equation with additive Wiener noise that has the same mean and, once stationary, the same
        covariances. Exact while the rate stays positive.

    Raises
    ------
    sdde.ArgumentError
        If the system is not scalar, or its stationary rate is not positive.

    Notes
    -----
    Derived in this project: the noise power is :math:`E J^2` times the stationary rate.

    Examples
    --------
    >>> from sdde.theory import DelaySystem, with_state_dependent_jumps
    >>> hawkes = with_state_dependent_jumps(DelaySystem(-1.5, 0.0, 1.0), 2.0, delayed=0.6)
    >>> round(hawkes.stationary_mean(), 6), round(hawkes.covariance(), 6)
    (2.222222, 1.347432)
    """
    _check_system(system)
    rate = checks.positive("rate", rate)
    law = as_law(size, "size", minimum=None)
    if system.dim > 1:
        raise checks.fail("system", system, "is not scalar")
    c = system.coefficients
    own = _aligned(system, instant, delayed)
    fed = replace(
        c,
        instant=c.instant + law.mean * own[0],
        delayed=tuple(a + law.mean * k for a, k in zip(c.delayed, own[1:], strict=True)),
        offset=c.offset + law.mean * rate,
    )
    mean = DelaySystem.from_coefficients(fed).stationary_mean()
    arrivals = rate + float(sum(own, np.zeros((1, 1)))[0, 0]) * mean
    if not arrivals > 0.0 or math.isinf(arrivals):
        raise checks.fail(
            "rate", rate, f"gives a stationary rate of {arrivals:g}",
            why="The system with feedback must be stable, and its rate positive.",
        )  # fmt: skip
    power = math.sqrt(arrivals * (law.variance + law.mean * law.mean))
    if math.isinf(power):
        raise checks.fail(
            "size", size, "has a square beyond the largest number",
            remedy="Give it in another unit.",
        )  # fmt: skip
    return DelaySystem.from_coefficients(_with_channel(fed, power))


def jump_cumulants(system: DelaySystem, rate: float, size: Any, *, highest: int = 4) -> Floats:
    r"""Return the cumulants of the stationary law of a scalar system with additive Poisson jumps.

    .. math:: \kappa_n=\lambda\,E J^n\int_0^\infty r(u)^ndu,

    with r the fundamental solution; the Wiener noise adds its variance to the second, and the
    offset its mean to the first.

    Parameters
    ----------
    system : DelaySystem
        Scalar, stable, with additive noise.
    rate : float
        Arrivals per unit time.
    size : float or law
        Law of the jumps, in state units.
    highest : int
        Order of the last cumulant.

    Returns
    -------
    ndarray, shape (highest,)
        Mean, variance, third cumulant, and so on; all ``inf`` if the system is unstable.

    Raises
    ------
    sdde.ArgumentError
        If the system is not scalar or its noise depends on the state.

    Notes
    -----
    Campbell's theorem for shot noise (textbook), with r in place of the shape of a shot.

    Examples
    --------
    >>> from sdde.theory import DelaySystem, jump_cumulants
    >>> jump_cumulants(DelaySystem(-1.0, 0.0, 1.0), 2.0, 1.0).round(9)
    array([2.        , 1.        , 0.66666667, 0.5       ])
    """
    _check_system(system)
    rate = checks.positive("rate", rate)
    highest = checks.integer("highest", highest, lowest=1, highest=100)
    law = as_law(size, "size", minimum=None)
    c = system.coefficients
    if system.dim > 1 or c.multiplicative:
        raise checks.fail("system", system, "is not a scalar system with additive noise")
    if system.abscissa() >= 0.0:
        return np.full(highest, math.inf)
    solution = system._stepper.solve(
        37.0 / -system.abscissa(), np.eye(1), lambda t: np.zeros((len(t), 1, 1))
    )
    end = float(solution.breaks[-1])
    nodes, weights = Piecewise(solution.breaks, solution.values, solution.history).quadrature(end)
    r = solution.inside(nodes)[:, 0, 0]
    values, mass = law.nodes()
    orders = range(1, highest + 1)
    out = np.array([rate * (mass @ values**n) * (weights @ r**n) for n in orders])
    out[0] += float(c.offset[0, 0]) * float(weights @ r)
    if highest > 1:
        out[1] += float(np.sum(c.noise**2)) * float(weights @ r**2)
    return out


def _check_system(system: Any) -> None:
    checks.instance(
        "system", system, DelaySystem, "a delay system",
        remedy="For example system = theory.DelaySystem(-1.0, 0.0, 1.0).",
    )  # fmt: skip


def _aligned(system: DelaySystem, instant: Any, delayed: Any) -> list[Floats]:
    """Return one matrix for the present and one for each delay of the system."""
    dim, count = system.dim, len(system.coefficients.laws)
    terms = list(delayed) if isinstance(delayed, list | tuple) else [delayed]
    if not isinstance(delayed, list | tuple) and not np.any(delayed):
        terms = [0.0] * count
    if len(terms) != count:
        raise checks.fail(
            "delayed", delayed, f"does not hold one coefficient for each of {count} delays",
            remedy="Give a list with one for each. A delay of zero is none: use instant= instead.",
        )  # fmt: skip
    given = [("instant", instant), *((f"delayed[{i}]", term) for i, term in enumerate(terms))]
    result = []
    for name, value in given:
        array = checks.array(name, value)
        if array.ndim == 0 and (dim == 1 or array == 0.0):
            array = np.full((dim, dim), float(array))
        if array.shape != (dim, dim):
            raise checks.fail(name, value, f"has shape {array.shape}, expected ({dim}, {dim})")
        result.append(array)
    return result


def _with_channel(c: Coefficients, power: float) -> Coefficients:
    empty = np.zeros((1, 1, 1))
    noise = np.concatenate([c.noise, [[power]]], axis=1)
    return replace(c, noise=noise, gains=tuple(np.concatenate([g, empty]) for g in c.gains))
