r"""Learning rates against growing delays, and learning rates that depend on staleness.

*Growing delays.* With delay :math:`d_k` and learning rate :math:`\alpha_k` the errors of stale
gradients add up to :math:`E_N = \sum_{k\le N}\alpha_k\sum_{r=k-d_k}^{k-1}\alpha_r`; a pair is
admissible if :math:`\sum\alpha_k = \infty`, :math:`\sum\alpha_k^2 < \infty` and :math:`E_\infty <
\infty`.

*Staleness-shaped steps.* TAIL-τ gives fresh gradients more and stale ones less with the mean
unchanged; independent staleness acts as implicit momentum, and a shaped step can set that momentum.
Nothing here simulates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks

Floats = NDArray[np.float64]

GROWTHS = ("bounded", "sublinear", "linear", "polynomial")
LAWS = ("1/k", "1/(k log k)", "1/(k log k log log k)", "k^-0.75")


@dataclass(frozen=True, slots=True)
class Admissible:
    """Whether a pair of delay growth and learning-rate law keeps the staleness error summable.

    Attributes
    ----------
    holds : bool
        Whether all three sums behave.
    reason : str
        Which sum decides, and how it grows.
    """

    holds: bool
    reason: str


def admissible(growth: str, law: str) -> Admissible:
    r"""Return whether delays that grow so fast are harmless for learning rates that fall so fast.

    Parameters
    ----------
    growth : {"bounded", "sublinear", "linear", "polynomial"}
        Delays :math:`O(1)`, :math:`O(k^p)` with p < 1, :math:`O(k)`, :math:`O(k^q)` with any q (a
        gradient of update *k* read at :math:`k^{1/q}`).
    law : {"1/k", "1/(k log k)", "1/(k log k log log k)", "k^-0.75"}
        Learning rate of update *k*, up to a factor.

    Returns
    -------
    Admissible

    Raises
    ------
    sdde.ArgumentError
        If a word is not known.

    Notes
    -----
    Derived in this project with the working criterion of the module, for sublinear growth with any
    p < 1 (for ``"k^-0.75"`` p up to 1/2 is decisive: its error grows like log N at p = 1/2). That
    polynomially growing delays are tolerated by quasi-linear learning rates is stated by Zhou and
    co-authors (ICML 2018). The price is a horizon :math:`\sum\alpha_k` of log N, log log N or log
    log log N: practically frozen. For delays in practice see `sdde.cluster.DelayAdaptive` and
    thresholds.

    Examples
    --------
    >>> admissible("linear", "1/k").holds, admissible("linear", "1/(k log k)").holds
    (False, True)
    """
    checks.choice("growth", growth, GROWTHS)
    checks.choice("law", law, LAWS)
    level = GROWTHS.index(growth)
    if law == "k^-0.75":
        if level == 0:
            return Admissible(True, "errors add up to a finite sum of k^-1.5")
        return Admissible(
            False, "errors k^(p - 1.5) add up like log N at p = 1/2 and faster beyond"
        )
    slow = LAWS.index(law)
    errors = {
        (0, 0): "k^-2", (1, 0): "k^(p - 2)", (2, 0): "1/k", (3, 0): "log(k)/k",
        (0, 1): "(k log k)^-2", (1, 1): "k^(p - 2)", (2, 1): "1/(k log^2 k)", (3, 1): "1/(k log k)",
        (0, 2): "(k log k)^-2", (1, 2): "k^(p - 2)", (2, 2): "1/(k log^2 k)",
        (3, 2): "1/(k log k (log log k)^2)",
    }  # fmt: skip
    holds = level <= slow + 1
    what = "a finite sum" if holds else "no finite sum"
    return Admissible(holds, f"errors of size {errors[level, slow]} have {what}")


def staleness_error(
    rate: Callable[[Floats], Floats], read: Callable[[Floats], Floats], updates: int
) -> Floats:
    r"""Return the accumulated staleness error :math:`E_N` for N = 1 .. `updates`.

    .. math:: E_N = \sum_{k\le N}\alpha_k\sum_{r=s(k)}^{k-1}\alpha_r

    Parameters
    ----------
    rate : callable
        ``rate(k)`` -> learning rates, for an array of update numbers from 1 on.
    read : callable
        ``read(k)`` -> number :math:`s(k) < k` of the update whose result was read; rounded down, at
        least 1.
    updates : int
        Number of updates.

    Returns
    -------
    numpy.ndarray, shape (updates,)

    Raises
    ------
    sdde.ArgumentError
        If `updates` is below one or a function cannot be called.

    Notes
    -----
    A criterion derived in this project: schedules for which it converges pass `admissible`.

    Examples
    --------
    >>> error = staleness_error(lambda k: 1 / k, lambda k: k / 2, 40_000)
    >>> round(float(error[39_999] - error[3_999]), 3)
    1.596
    """
    count = checks.integer("updates", updates, lowest=1)
    checks.function("rate", rate, signature="(k)")
    checks.function("read", read, signature="(k)")
    k = np.arange(1.0, count + 1.0)
    alpha = _returned("rate", rate, k)
    total = np.concatenate([[0.0], np.cumsum(alpha)])
    first = np.clip(np.floor(_returned("read", read, k)), 1, k).astype(int)
    return np.cumsum(alpha * (total[:-1] - total[first - 1]))


def _returned(name: str, function: Callable[[Floats], Floats], k: Floats) -> Floats:
    """Return what a function says of all updates at once."""
    try:
        values = np.asarray(function(k))
    except Exception as error:
        raise checks.fail(
            name, function, f"failed ({type(error).__name__}: {error})",
            why="It is called once, with the array of all numbers of updates.",
        ) from error  # fmt: skip
    if values.dtype.kind not in "iuf" or values.shape not in ((), k.shape):
        raise checks.fail(
            name, function, f"returned {checks.shown(values)}",
            remedy="It returns one number for each number of an update.",
        )  # fmt: skip
    if not np.isfinite(values).all():
        raise checks.fail(name, function, "returned a value that is not finite")
    return np.broadcast_to(values, k.shape).astype(float)


def tail_factors(pmf: ArrayLike, amplitude: float = 1.0) -> Floats:
    r"""Return factors of the learning rate for each staleness, by TAIL-τ with the mean kept
    exactly.

    .. math:: \alpha(\tau)/\alpha_0 = 1 + A\,(1 - 2\bar F(\tau)), \qquad
              \bar F(\tau) = P(T < \tau) + \tfrac12 P(T = \tau)

    Parameters
    ----------
    pmf : array
        Measured law of the staleness.
    amplitude : float
        *A* in [0, 1]: 0 is constant, 1 gives fresh gradients up to twice the rate and the stalest
        none.

    Returns
    -------
    numpy.ndarray, shape (len(pmf),)

    Raises
    ------
    sdde.ArgumentError
        If `pmf` is not a law or `amplitude` is outside [0, 1].

    Notes
    -----
    The rule is that of Bäckström, Papatriantafilou and Tsigas (ASAP.SGD, ICML 2022). Taking the
    distribution function at the middle of each step is derived in this project: with the inclusive
    or exclusive one the mean factor is :math:`1 \mp A\sum p^2`, with the middle it is exactly 1.

    Examples
    --------
    >>> law = np.array([0.5, 0.25, 0.25])
    >>> tail_factors(law), float(tail_factors(law) @ law)
    (array([1.5 , 0.75, 0.25]), 1.0)
    """
    law = _law(pmf)
    size = checks.nonnegative("amplitude", amplitude)
    if size > 1.0:
        raise checks.fail(
            "amplitude", amplitude, "is above 1",
            why="Then the stalest gradients would be applied with the wrong sign.",
            remedy="For example amplitude = 1.0.",
        )  # fmt: skip
    return 1.0 + size * (1.0 - 2.0 * (np.cumsum(law) - 0.5 * law))


def momentum_factors(pmf: ArrayLike, momentum: float, *, cap: float = 5.0) -> Floats:
    r"""Return factors for each staleness that make staleness act as heavy-ball
    momentum.

    With independent staleness of law *p* the mean moves as

    .. math:: D_k - D_{k-1} = -p(0)\alpha(0)\nabla f(x_k)
              + \sum_l \left(p(l)\alpha(l) - p(l+1)\alpha(l+1)\right)\nabla f(x_{k-1-l}),

    so :math:`\alpha(l) \propto m^l / p(l)` is exactly momentum *m*.

    Parameters
    ----------
    pmf : array
        Law of the staleness.
    momentum : float
        *m* in (0, 1). Momentum 1, which cancels the sum, is undamped and refused.
    cap : float
        Largest factor; a cap is needed because 1/p grows in the tail.

    Returns
    -------
    numpy.ndarray, shape (len(pmf),)
        Scaled to mean 1 under `pmf` after the cap; zero where `pmf` is zero.

    Raises
    ------
    sdde.ArgumentError
        If `pmf` is not a law, `momentum` is not inside (0, 1), or `cap` is below 1.

    Notes
    -----
    Derived in this project, in the spirit of MindTheStep-AsyncPSGD (arXiv:1911.03444).

    Examples
    --------
    >>> law = 0.5 * 0.5 ** np.arange(4)
    >>> momentum_factors(law, 0.5)
    array([1., 1., 1., 1.])
    """
    law = _law(pmf)
    m = checks.positive("momentum", momentum, example=0.5)
    if m >= 1.0:
        raise checks.fail(
            "momentum", momentum, "is not below 1",
            why="Momentum 1 is undamped: the parameters would swing for ever.",
            remedy="For example momentum = 0.5.",
        )  # fmt: skip
    if checks.positive("cap", cap, example=5.0) < 1.0:
        raise checks.fail("cap", cap, "is below 1", remedy="For example cap = 5.0.")
    used = law > 0.0
    factors = np.zeros(law.size)
    factors[used] = np.exp(np.flatnonzero(used) * math.log(m) - np.log(law[used]))
    low, high = 0.0, 1.0 / float(np.min(factors[used]))
    if float(np.minimum(high * factors, cap) @ law) < 1.0:
        return np.where(used, cap / max(float(law[used].sum() * cap), 1.0), 0.0)
    for _ in range(200):  # the scale with mean 1 after the cap
        middle = 0.5 * (low + high)
        low, high = (
            (middle, high) if np.minimum(middle * factors, cap) @ law < 1.0 else (low, middle)
        )
    return np.minimum(high * factors, cap)


def implicit_momentum(workers: int) -> float:
    r"""Return the momentum that memoryless workers add by their staleness, :math:`1 - 1/n`.

    Parameters
    ----------
    workers : int
        Number of equal memoryless workers *n*.

    Notes
    -----
    Exact for the mean with independent geometric staleness and a linear gradient; the effective
    learning rate per update is then η/n. Derived in this project.

    Examples
    --------
    >>> implicit_momentum(8)
    0.875
    """
    return 1.0 - 1.0 / checks.integer("workers", workers, lowest=1)


def _law(pmf: Any) -> Floats:
    law = checks.vector("pmf", pmf)
    if law.min() < 0.0 or law.sum() <= 0.0:
        raise checks.fail(
            "pmf", pmf, "is not a law of staleness",
            why="It needs probabilities >= 0 with a positive sum.",
            remedy="For example pmf = [0.5, 0.3, 0.2].",
        )  # fmt: skip
    return law / law.sum()
