r"""Wall-clock time of synchronous and asynchronous variants, for any law of a mini-batch's time.

*P* workers draw independent times *X* for one mini-batch; the server waits for *K* of them. Whether
it cancels the rest and whether early finishers idle gives four variants, named as by Dutta and
co-authors. Nothing here knows losses.
"""

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, psi

from sdde import checks
from sdde.equation.laws import Law, as_law

Floats = NDArray[np.float64]

_WIDE = 0.5**8  # probability of an interval, from which on it gets a finer rule
VARIANTS = ("k-sync", "k-batch-sync", "k-async", "k-batch-async")


def order_statistic_mean(law: Any, k: int, workers: int) -> float:
    r"""Return the mean of the `k`-th smallest of `workers` independent times.

    .. math:: E X_{K:P} = \int_0^1 Q(v)\,\frac{v^{K-1}(1-v)^{P-K}}{B(K, P-K+1)}\,dv

    with *Q* the quantile function; :math:`(H_P - H_{P-K})/\mu` for exponential times of rate μ.

    Parameters
    ----------
    law : law
        Time of one mini-batch on one worker.
    k : int
        Which of the sorted times, 1 to `workers`.
    workers : int
        Number of workers *P*.

    Returns
    -------
    float
        In the unit of `law`.

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of times, or `k` is not between 1 and `workers`.

    Notes
    -----
    The textbook density of an order statistic, integrated over the quantile function.

    Examples
    --------
    >>> import scipy.stats
    >>> round(order_statistic_mean(scipy.stats.expon(), 4, 8), 4)
    0.6345
    """
    time = as_law(law, "law")
    count = checks.integer("workers", workers, lowest=1)
    which = checks.integer("k", k, lowest=1, highest=count)
    if time.kind == "constant":
        return time.mean
    if time.kind == "exponential":
        return time.mean * _harmonics(count - which, count)
    if time.kind in ("measured", "discrete"):
        points, weights = time.nodes()
        below = np.concatenate([[0.0], np.cumsum(weights)])
        chance = betainc(which, count - which + 1.0, np.clip(below / below[-1], 0.0, 1.0))
        return float(points @ np.diff(chance))
    share, weights = _octaves()
    values = time.quantile(betaincinv(which, count - which + 1.0, share))
    return float(weights @ np.where(np.isfinite(values), values, 0.0))


@cache
def _octaves() -> tuple[Floats, Floats]:
    """Return probabilities and weights: Gauss rules on intervals that halve towards both ends."""
    levels = 0.5 ** np.arange(1.0, 46.0)
    edges = np.concatenate([[0.0], levels[::-1], 1.0 - levels[1:], [1.0]])
    points, weights = [], []
    for low, high in pairwise(edges):
        x, w = np.polynomial.legendre.leggauss(16 if high - low > _WIDE else 8)
        points.append(low + 0.5 * (high - low) * (x + 1.0))
        weights.append(0.5 * (high - low) * w)
    return np.concatenate(points), np.concatenate(weights)


def _harmonics(before: int, last: int) -> float:
    """Return the sum of 1 / i after `before` up to `last`."""
    if last - before <= 10**6:
        return float(np.sum(1.0 / np.arange(before + 1.0, last + 1.0)))
    return float(psi(last + 1.0) - psi(before + 1.0))


def time_per_update(law: Any, *, workers: int, k: int, variant: str) -> tuple[float, str]:
    r"""Return the expected wall-clock time of one update that uses *K* mini-batches.

    * k-sync: after the first *K* workers; the rest are cancelled and all start afresh.
    * k-batch-sync: after the first *K* mini-batches at the same parameters; nobody idles, the rest
      are cancelled.
    * k-async: after the first *K* workers; the rest go on, early finishers idle until the update.
    * k-batch-async: after the first *K* mini-batches; the rest go on, nobody idles.

    Parameters
    ----------
    law : law
        Time *X* of one mini-batch on one worker.
    workers : int
        Number of workers *P*.
    k : int
        Mini-batches per update *K*.
    variant : {"k-sync", "k-batch-sync", "k-async", "k-batch-async"}

    Returns
    -------
    time : float
        In the unit of `law`.
    kind : {"exact", "upper bound"}
        For ``"k-async"`` the value :math:`E X_{K:P}` is exact for exponential times, and an upper
        bound for times that are new-longer-than-used.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, or for ``"k-batch-sync"`` with times that are neither
        exponential nor constant, which have no closed form.

    Notes
    -----
    k-sync: :math:`E X_{K:P}`. k-batch-sync: :math:`K/(P\mu)` for exponential times (an Erlang law).
    k-batch-async: :math:`K\,E X/P` for every law, by the renewal theorem. Constant times are added
    here: they finish together, in rounds.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018, PMLR 84.

    Examples
    --------
    >>> import scipy.stats
    >>> time_per_update(scipy.stats.expon(loc=1.0), workers=8, k=4, variant="k-batch-async")
    (1.0, 'exact')
    """
    time = as_law(law, "law")
    count = checks.integer("workers", workers, lowest=1)
    checks.choice("variant", variant, VARIANTS)
    if variant.startswith("k-batch"):
        needed = checks.integer("k", k, lowest=1)
    else:
        needed = checks.integer("k", k, lowest=1, highest=count)
    if variant == "k-batch-async":
        return needed * time.mean / count, "exact"
    if variant == "k-batch-sync":
        if time.kind == "exponential":
            return needed * time.mean / count, "exact"
        if time.kind == "constant":
            return math.ceil(needed / count) * time.mean, "exact"
        raise checks.fail(
            "law", law, "has no closed time for k-batch-sync",
            why="The K-th of several interleaved renewal processes has a closed mean only for"
            " exponential or constant times.",
            remedy='variant = "k-sync" or "k-batch-async" work for every law; or simulate.',
        )  # fmt: skip
    value = order_statistic_mean(time, needed, count)
    exact = (
        variant == "k-sync"
        or time.kind == "exponential"
        or (time.kind == "constant" and needed == count)
    )
    return value, "exact" if exact else "upper bound"


def speed_up(law: Any, workers: int) -> float:
    r"""Return how many times more updates asynchronous SGD makes: :math:`P\,E X_{P:P} / E X`.

    Parameters
    ----------
    law : law
        Time of one mini-batch on one worker.
    workers : int
        Number of workers *P*.

    Returns
    -------
    float

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times or `workers` is below one.

    Notes
    -----
    About :math:`P \log P` for exponential times; exactly :math:`P H_P` there.

    References
    ----------
    .. [1] S. Dutta et al., AISTATS 2018, theorem 1.

    Examples
    --------
    >>> import scipy.stats
    >>> round(speed_up(scipy.stats.expon(), 8), 2)
    21.74
    """
    time: Law = as_law(law, "law")
    if time.mean <= 0.0:
        raise checks.fail("law", law, "has mean zero", remedy="For example law = 1.0.")
    return workers * order_statistic_mean(time, workers, workers) / time.mean


def best_k_sync(law: Any, workers: int) -> int:
    """Return how many workers to wait for, where the noise floor decides the number of updates.

    With the learning rate raised in proportion to *K* (same floor) the number of updates falls like
    1/*K*, so the time is proportional to :math:`E X_{K:P}/K`. The best *K* is 1 for exponential
    times and grows with a constant part of the time.

    Parameters
    ----------
    law : law
        Time of one mini-batch on one worker.
    workers : int
        Number of workers *P*.

    Returns
    -------
    int

    Notes
    -----
    Derived in this project from the error bound of Dutta and co-authors. Where the largest allowed
    learning rate decides instead, smaller *K* is better still.

    Examples
    --------
    >>> import scipy.stats
    >>> best_k_sync(scipy.stats.expon(), 8), best_k_sync(scipy.stats.expon(loc=1.0), 8)
    (1, 6)
    """
    count = checks.integer("workers", workers, lowest=1, highest=10_000)
    cost = [order_statistic_mean(law, k, count) / k for k in range(1, count + 1)]
    return int(np.argmin(cost)) + 1
