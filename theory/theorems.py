r"""The literature's theorems as checkable conditions, each with its assumptions and the status of
our source.

Functions take the numbers a theorem speaks of and return `Condition` values. Status ``"paper"``
means read in the publication, ``"derived"`` worked out in this project, ``"unverified"`` known from
second hand: such a condition is shown for orientation and decides nothing. Nothing here simulates
or plans.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks

from .conditions import Condition, below
from .saddles import worker_bounds
from .schedules import admissible, tail_factors

_DASGD = "Zhou et al., Distributed asynchronous optimization with unbounded delays, ICML 2018"
_DC = "Zheng et al., Asynchronous SGD with delay compensation, ICML 2017"
_APSGD = "Wang, Shen, Zhao, arXiv:1910.06000"
_TAIL = "Bäckström, Papatriantafilou, Tsigas, ASAP.SGD, ICML 2022"
_SME = "An, Lu, Ying, arXiv:1805.08244"
_KOLOSKOVA = "Koloskova, Stich, Jaggi, arXiv:2206.08307"
_ARJEVANI = "Arjevani, Shamir, Srebro, ALT 2020, PMLR 117"
_DUTTA = "Dutta et al., AISTATS 2018, PMLR 84"
_RINGMASTER = "Maranjyan, Tyurin, Richtárik, arXiv:2501.16168"
_OURS = "derived in this project"


def unbounded_delays(growth: str, law: str) -> tuple[Condition, ...]:
    """Return the conditions for growing delays and falling learning rates (DASGD).

    Parameters
    ----------
    growth, law : str
        As in `sdde.theory.admissible`.

    Examples
    --------
    >>> [condition.holds for condition in unbounded_delays("linear", "1/k")]
    [False]
    >>> [condition.status for condition in unbounded_delays("polynomial", "1/(k log k log log k)")]
    ['derived', 'paper']
    """
    verdict = admissible(growth, law)
    found = [
        Condition(
            f"{growth} delays with learning rate {law}: {verdict.reason}", verdict.holds, math.nan,
            "errors of stale gradients add up as learning rate times the rates since the read",
            _OURS, "derived",
        )
    ]  # fmt: skip
    if growth == "polynomial" and verdict.holds:
        found.append(
            Condition(
                "polynomially growing delays are tolerated by a quasi-linear learning rate; "
                "almost sure convergence for variationally coherent losses, no rate known",
                True, math.nan, "as in the abstract; details were not read", _DASGD, "paper",
            )
        )  # fmt: skip
    return tuple(found)


def delay_compensation(damping: float, quality: float) -> tuple[Condition, ...]:
    """Return the conditions for compensated delays (DC-ASGD), constant delay.

    Parameters
    ----------
    damping : float
        Learning rate times curvature times workers.
    quality : float
        Estimated over true curvature.

    Examples
    --------
    >>> [condition.holds for condition in delay_compensation(2.0, 0.0)]
    [False]
    >>> [condition.holds for condition in delay_compensation(2.0, 0.6)]
    [True]
    """
    from .compensation import CompensatedDelay

    model = CompensatedDelay(damping, quality)
    limit = model.stability_limit()
    inside, margin = below(model.damping, limit)
    return (
        Condition(
            f"the compensated mean converges: damping {model.damping:.4g} < {limit:.4g}",
            inside, margin,
            "constant delay, gradient linear in the parameters, estimate without noise; "
            f"compensation is the idea of {_DC}",
            _OURS, "derived",
        ),
    )  # fmt: skip


def saddle_escape(workers: float, updates: float, batch: float) -> tuple[Condition, ...]:
    """Return the worker bounds of parallel SGD for first- and second-order points (APSGD).

    Parameters
    ----------
    workers : float
        Number of workers, taken as the largest staleness.
    updates, batch : float
        Updates of the whole run, gradients per update.

    Examples
    --------
    >>> [condition.holds for condition in saddle_escape(20, 1e5, 32)]
    [True, False]
    """
    count = checks.positive("workers", workers, example=8)
    bounds = worker_bounds(updates, batch)
    first, first_margin = below(count, bounds.first_order)
    second, second_margin = below(count, bounds.second_order)
    return (
        Condition(
            f"workers {count:g} < (updates / batch)^(1/2) = {bounds.first_order:.3g}: staleness is "
            "harmless for the gradient norm",
            first, first_margin, "constants dropped; staleness at most the number of workers",
            _OURS, "derived",
        ),
        Condition(
            f"workers {count:g} < (updates / batch)^(1/3) = {bounds.second_order:.3g}: saddles are "
            "left and the speed-up is linear",
            second, second_margin, "constants and logarithms dropped; consistent reads", _APSGD,
            "paper",
        ),
    )  # fmt: skip


def staleness_shaped(pmf: ArrayLike, amplitude: float = 1.0) -> tuple[Condition, ...]:
    r"""Return what a TAIL-τ learning rate does to the staleness terms of any bound.

    Parameters
    ----------
    pmf : array
        Law of the staleness.
    amplitude : float
        Of the shape.

    Examples
    --------
    >>> [condition.holds for condition in staleness_shaped([0.5, 0.3, 0.2])]
    [True, True]
    """
    factors = tail_factors(pmf, amplitude)
    law = np.asarray(pmf, dtype=float)
    law = law / law.sum()
    stale = np.arange(law.size)
    mean = float(stale @ law)
    weighted = float(stale @ (law * factors))
    return (
        Condition(
            f"the mean learning rate is kept: mean factor {float(factors @ law):.6g} = 1",
            math.isclose(float(factors @ law), 1.0, rel_tol=1e-9), math.nan,
            f"distribution function at the middle of each step; the shape is that of {_TAIL}",
            _OURS, "derived",
        ),
        Condition(
            "stale gradients weigh less: mean of staleness times factor "
            f"{weighted:.4g} <= {mean:.4g}",
            weighted <= mean * (1.0 + 1e-12), 1.0 - weighted / mean if mean else math.nan,
            "any factor that falls with staleness and keeps its mean (Chebyshev's association "
            "inequality)", _OURS, "derived",
        ),
    )  # fmt: skip


def modified_equation(alpha: float, workers: int) -> tuple[Condition, ...]:
    r"""Return stability of independent geometric staleness, in the mean and in the mean square.

    Parameters
    ----------
    alpha : float
        Learning rate times eigenvalue.
    workers : int
        Number of workers *n*; staleness is geometric with mean n - 1.

    Examples
    --------
    >>> [condition.holds for condition in modified_equation(0.6, 8)]
    [True, False]
    """
    from .staleness_models import IndependentStaleness

    model = IndependentStaleness.geometric(alpha, workers)
    mean = 2.0 * (2.0 * workers - 1.0)
    inside, margin = below(model.alpha, mean)
    square = model.stability_limit()
    bounded, square_margin = below(model.alpha, square)
    text = "staleness drawn afresh for each update; real memoryless workers have larger limits"
    return (
        Condition(
            f"the mean converges: learning rate times eigenvalue {model.alpha:.4g} < {mean:.4g}",
            inside, margin, f"{text}; the Langevin picture is that of {_SME}", _OURS, "derived",
        ),
        Condition(
            f"the mean square stays bounded: {model.alpha:.4g} < {square:.4g}", bounded,
            square_margin, text, _OURS, "derived",
        ),
    )  # fmt: skip


def delay_adaptive(
    learning_rate: float, smoothness: float, concurrency: int, variance: float, target: float
) -> tuple[Condition, ...]:
    r"""Return the conditions of delay-adaptive asynchronous SGD.

    Parameters
    ----------
    learning_rate, smoothness : float
        η and *L*.
    concurrency : int
        Most gradients in flight.
    variance, target : float
        σ² of one gradient, and the squared gradient norm to reach.

    Examples
    --------
    >>> [condition.holds for condition in delay_adaptive(0.1, 1.0, 8, 1.0, 0.01)]
    [True, True]
    """
    eta = checks.positive("learning_rate", learning_rate, example=0.1)
    size = checks.positive("smoothness", smoothness)
    flight = checks.integer("concurrency", concurrency, lowest=1)
    noise = checks.nonnegative("variance", variance)
    epsilon = checks.positive("target", target, example=1e-2)
    step, step_margin = below(eta, 0.25 / size * (1.0 + 1e-12))
    speed, speed_margin = below(float(flight), noise / epsilon * (1.0 + 1e-12))
    return (
        Condition(
            f"learning rate {eta:.4g} <= 1/(4 L) = {0.25 / size:.4g}", step, step_margin,
            "smooth loss, unbounded delays; beyond staleness = concurrency the rate falls below "
            "1/(4 L staleness) or the gradient is dropped",
            f"{_KOLOSKOVA}, theorem 8", "paper",
        ),
        Condition(
            f"linear speed-up: concurrency {flight} <= variance / target = {noise / epsilon:.4g}",
            speed, speed_margin,
            "from the rate variance / target^2 + concurrency / target of that theorem",
            _OURS, "derived",
        ),
    )  # fmt: skip


def fixed_delay(
    learning_rate: float, curvature: float, staleness: int, updates: int
) -> tuple[Condition, ...]:
    r"""Return the conditions for SGD with one fixed staleness on a quadratic.

    Parameters
    ----------
    learning_rate, curvature : float
        η and the largest eigenvalue.
    staleness, updates : int
        τ, and the number of updates made.

    Examples
    --------
    >>> [condition.holds for condition in fixed_delay(0.1, 1.0, 5, 1000)]
    [False, True, True]
    """
    from .staleness_models import FixedStaleness

    eta = checks.positive("learning_rate", learning_rate, example=0.1)
    top = checks.positive("curvature", curvature)
    tau = checks.integer("staleness", staleness)
    count = checks.integer("updates", updates, lowest=1)
    theirs = 1.0 / (20.0 * top * (tau + 1.0))
    needed = (tau + 1.0) * math.log(2.0 * (tau + 1.0))
    model = FixedStaleness(eta * top, tau)
    small, small_margin = below(eta, theirs * (1.0 + 1e-12))
    stable, stable_margin = below(eta * top, model.stability_limit)
    return (
        Condition(
            f"learning rate {eta:.4g} <= 1/(20 curvature (staleness + 1)) = {theirs:.4g}",
            small, small_margin, "quadratic; sufficient, far from necessary", _ARJEVANI, "paper",
        ),
        Condition(
            f"updates {count} >= (staleness + 1) log(2 (staleness + 1)) = {needed:.4g}",
            count >= needed, 1.0 - needed / count, "quadratic", _ARJEVANI, "paper",
        ),
        Condition(
            f"learning rate times curvature {eta * top:.4g} < {model.stability_limit:.4g}", stable,
            stable_margin, "quadratic; necessary and sufficient", _OURS, "derived",
        ),
    )  # fmt: skip


def waiting_for_k(
    learning_rate: float, smoothness: float, group: int, batch: int,
    *, noise_growth: float = 0.0, fresh: float = 0.0, drift: float = 0.0,
) -> tuple[Condition, ...]:  # fmt: skip
    r"""Return the conditions of K-sync and K-async SGD.

    Parameters
    ----------
    learning_rate, smoothness : float
        η and *L*.
    group, batch : int
        *K* mini-batches of *m* examples in an update.
    noise_growth : float
        :math:`M_G`: how the variance of one example grows with the squared gradient.
    fresh : float
        :math:`p_0`: lower bound on the share of fresh gradients.
    drift : float
        γ in [0, 1]: how much the gradient changes during the staleness, relative to its size.

    Examples
    --------
    >>> [condition.holds for condition in waiting_for_k(0.1, 1.0, 4, 1, fresh=0.125, drift=0.1)]
    [True, True, False]
    """
    eta = checks.positive("learning_rate", learning_rate, example=0.1)
    size = checks.positive("smoothness", smoothness)
    k = checks.integer("group", group, lowest=1)
    m = checks.integer("batch", batch, lowest=1)
    growth = checks.nonnegative("noise_growth", noise_growth) / (k * m)
    chance = checks.nonnegative("fresh", fresh)
    gamma = checks.nonnegative("drift", drift)
    sync, sync_margin = below(eta, 1.0 / (2.0 * size * (growth + 1.0)) * (1.0 + 1e-12))
    late, late_margin = below(eta, 1.0 / (2.0 * size * (growth + 1.0 / k)) * (1.0 + 1e-12))
    better, better_margin = below(gamma, 0.5 * chance)
    text = "strongly convex, smooth loss; variance at most sigma^2/m + (M_G/m) |gradient|^2"
    return (
        Condition("K-sync: learning rate small enough", sync, sync_margin, text,
                  f"{_DUTTA}, lemma 2", "paper"),
        Condition("K-async: learning rate small enough", late, late_margin,
                  f"{text}; gradients change by a share gamma <= 1 during their staleness",
                  f"{_DUTTA}, theorem 3", "paper"),
        Condition(f"K-async needs fewer updates than K-sync: p0/2 = {0.5 * chance:.4g} > gamma = "
                  f"{gamma:.4g}", better, better_margin,
                  "per update, not per second; p0 is 1/P for exponential times and nearly 0 for "
                  "nearly constant ones", _DUTTA, "paper"),
    )  # fmt: skip


def ringmaster(
    learning_rate: float, smoothness: float, limit: int, variance: float, target: float
) -> tuple[Condition, ...]:
    """Return the step condition of Ringmaster ASGD, known from second hand.

    Parameters
    ----------
    learning_rate, smoothness : float
        η and *L*.
    limit : int
        Staleness from which gradients are dropped.
    variance, target : float
        σ² of one gradient, and the squared gradient norm to reach.

    Examples
    --------
    >>> ringmaster(0.001, 1.0, 100, 1.0, 0.01)[0].status
    'unverified'
    """
    eta = checks.positive("learning_rate", learning_rate, example=0.1)
    size = checks.positive("smoothness", smoothness)
    count = checks.integer("limit", limit, lowest=1)
    noise = checks.nonnegative("variance", variance)
    epsilon = checks.positive("target", target, example=1e-2)
    most = 0.5 / size
    if count > 1:
        most = min(most, 0.5 / (size * (count - 1.0)))
    if noise > 0.0:
        most = min(most, epsilon / (4.0 * noise * size))
    inside, margin = below(eta, most * (1.0 + 1e-12))
    return (
        Condition(
            f"learning rate {eta:.4g} <= {most:.4g}", inside, margin,
            "smooth loss, one data set; the constants are second hand", _RINGMASTER, "unverified",
        ),
    )  # fmt: skip
