"""Where the mean loss of plain runs grows: for methods under which clusters cannot be cloned.

Runs at several learning rates share their events, so growth changes smoothly with the rate; the
root of the growth is interpolated. A mean over few runs misses rare large losses.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import cluster

from .accounts import Estimate

Floats = NDArray[np.float64]

FACTORS = (0.8, 0.9, 1.0, 1.1, 1.25)  # of the predicted limit, at first
CYCLES = 50.0  # length of a run, in mean cycles; a window for its growth is two fifths of that
GROUPS = 20  # of the jackknife
TRIES = 6
REFINED = 2  # further learning rates near the root


def limit_of_plain_runs(
    largest: float, method: Any, system: Any, *, workers: int, cycle: float, near: float,
    runs: int, rng: np.random.SeedSequence, start: str,
) -> Estimate:  # fmt: skip
    """Return the learning rate from which the mean loss of runs grows, with its standard error.

    Parameters
    ----------
    largest : float
        Largest eigenvalue.
    method, system
        As for `sdde.cluster.simulate`.
    workers : int
    cycle : float
        Mean cycle time of a worker.
    near : float
        Where to look first.
    runs : int
        Independent runs at each learning rate.
    rng : SeedSequence
    start : {"stationary", "together"}

    Returns
    -------
    Estimate
        ``nan`` if none was found within a factor of about ten.
    """
    growths: dict[float, Floats] = {}

    def grown(rate: float) -> Floats:
        if rate not in growths:
            made = cluster.simulate(
                cluster.Quadratic(largest), method, system, learning_rate=rate, workers=workers,
                time=CYCLES * cycle, runs=runs, rng=rng, records=101, start=start,
            )  # fmt: skip
            growths[rate] = _growth(made.loss_at(made.t if made.t.ndim == 1 else made.t[0]))
        return growths[rate]

    rates = [near * factor for factor in FACTORS]
    for _ in range(TRIES):
        signs = [grown(rate)[0] > 0.0 for rate in sorted(rates)]
        if signs[0]:
            rates.insert(0, 0.7 * min(rates))
        elif not signs[-1]:
            rates.append(1.4 * max(rates))
        else:
            break
    else:
        return Estimate(math.nan)
    for _ in range(REFINED):
        grown(float(_roots(growths)[0]))
    roots = _roots(growths)
    spread = math.sqrt((GROUPS - 1.0) / GROUPS * float(np.sum((roots[1:] - roots[1:].mean()) ** 2)))
    return Estimate(float(roots[0]), spread)


def _roots(growths: dict[float, Floats]) -> Floats:
    """Return where growth along a straight line is zero: of all runs, and less each group."""
    ordered = sorted(growths)
    above = next(i for i, rate in enumerate(ordered) if growths[rate][0] > 0.0)
    low, high = ordered[above - 1], ordered[above]
    if not np.isfinite(growths[high]).all():
        return np.full(GROUPS + 1, 0.5 * (low + high))
    share = growths[low] / (growths[low] - growths[high])
    return low + share * (high - low)


def _growth(losses: Floats) -> Floats:
    """Return the logarithmic growth of the mean loss between two windows, and with each group of
    runs left out.

    Windows hold the loss relative to the start; they are long enough for oscillations, whose
    period is some cycles, to average out.
    """
    points = losses.shape[1]
    early = losses[:, points // 5 : 3 * points // 5].mean(axis=1)
    late = losses[:, 3 * points // 5 :].mean(axis=1)
    groups = np.array_split(np.arange(len(losses)), GROUPS)
    keep = [np.ones(len(losses), dtype=bool) for _ in range(GROUPS + 1)]
    for mask, group in zip(keep[1:], groups, strict=True):
        mask[group] = False
    return np.array([_log_ratio(late[mask].mean(), early[mask].mean()) for mask in keep])


def _log_ratio(late: float, early: float) -> float:
    if not math.isfinite(late):
        return math.inf
    return math.log(late / early) if late > 0.0 and early > 0.0 else -math.inf
