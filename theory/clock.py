r"""Losses along a clock that runs late and unevenly.

A curve computed for evenly spaced updates is read at the time that has passed by their count. That
time is late by a lag, and random: gamma distributed, with mean :math:`t` and variance
:math:`jt` where *j* is the jitter, so an exponential :math:`e^{-zt}` becomes
:math:`(1+zj)^{-t/j}`. Nothing here knows what the curve is of. Derived in this project.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bracket import root_between
from .loss_curve import LossCurve
from .numerics import gauss

Floats = NDArray[np.float64]

_NODES = 24  # probabilities at which the random time is taken


def losses(curve: LossCurve, time: Floats, *, lag: float, jitter: float) -> Floats:
    """Return the expected losses at times of the late and uneven clock."""
    late = np.maximum(time - lag, 0.0)
    if jitter == 0.0 or not math.isfinite(curve.floor):
        return curve(late)
    share, weights = gauss(_NODES)
    shape = np.maximum(late / jitter, 1e-9)[..., None]
    # Nodes crowd towards both ends of the probability, where the quantiles move fastest.
    at = 0.5 * (1.0 - np.cos(np.pi * share))
    weights = weights * 0.5 * np.pi * np.sin(np.pi * share)
    passed = _gamma_quantile(shape, at) * jitter
    return curve(passed) @ (weights / weights.sum())


def _gamma_quantile(shape: Floats, at: Floats) -> Floats:
    from scipy.special import gammaincinv

    return gammaincinv(shape, at)


def time_of(curve: LossCurve, time: float, target: float, *, lag: float, jitter: float) -> float:
    """Return when the expected loss is `target`, given the `time` of the even clock."""
    if not 0.0 < time < math.inf:
        return time
    if jitter == 0.0:
        return time + lag

    def excess(at: float) -> float:
        value: Any = losses(curve, np.array([at]), lag=0.0, jitter=jitter)
        return float(value[0]) - target

    # The mean decay up to the target says how much later an uneven clock gets there.
    start = float(curve(np.zeros(1))[0])
    decay = math.log(max(start / target, 1.0 + 1e-9)) / time * jitter
    guess = time * decay / math.log1p(decay)
    low, high = 0.8 * guess, 1.2 * guess
    for _ in range(12):
        if excess(low) >= 0.0:
            break
        low *= 0.8
    for _ in range(12):
        if excess(high) <= 0.0:
            break
        high *= 1.2
    if excess(low) < 0.0 or excess(high) > 0.0:
        return guess + lag
    return root_between(excess, low, high) + lag


def joined(first: LossCurve, second: LossCurve, until: float, time: Floats) -> Floats:
    """Return the losses of the first curve up to a time, then of the second from the same loss."""
    onward = _entry(first, second, until)
    late = second(np.maximum(time - until, 0.0) + onward)
    return np.where(time <= until, first(np.minimum(time, until)), late)


def joined_time(
    first: LossCurve, second: LossCurve, until: float, target: float, time: float
) -> float:
    """Return when the joined curves stay below a target, given the `time` of the second alone."""
    before = first(np.linspace(0.0, until, 401))
    above = np.flatnonzero(before > target)
    if not above.size:
        return 0.0
    if above[-1] < 400 and time < math.inf:  # it was there when the second curve took over
        last = until * above[-1] / 400

        def excess(at: float) -> float:
            return float(first(np.array([at]))[0]) - target

        return root_between(excess, last, last + until / 400)
    if math.isinf(time):
        return time
    return until + max(time - _entry(first, second, until), 0.0)


def _entry(first: LossCurve, second: LossCurve, until: float) -> float:
    """Return where the second curve has the loss that the first one reached."""
    level = float(first(np.array([until]))[0])
    entry = second.time_below(level, settle=True) if math.isfinite(level) else 0.0
    return entry if math.isfinite(entry) else 1e3 * until
