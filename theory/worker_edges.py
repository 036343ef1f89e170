r"""Where workers as renewal processes diverge: apart from each other, few of them, behind a link.

The squares of `worker_squares` have an edge that is right to about a hundredth for eight workers
and more, but up to a twentieth too low for two or three whose cycles vary little. So the edge of
few workers is corrected by what it is wrong by for workers of as many exponential stages as their
variation calls for, for which `stage_chain` has the exact one: linear in the squared variation
between whole numbers of stages, none for memoryless workers and for workers in step; and by what it
is wrong by for memoryless workers that are as unequal, up to a tenth too high, fading where cycles
vary less than those of four stages. Two or three very unequal workers whose cycles hardly vary keep
an error of up to a tenth; where these never vary, `fixed_cycles` is exact. Times of two
kinds, most alike and some several times as long, need no correction; it takes their edge as up to
two hundredths too high. Behind a shared link the order of arrivals decides (`link_order`,
`memoryless_link`). Derived in this project.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law, as_law

from . import exact, link_order, memoryless_link, stage_chain
from .arrivals import Arrivals
from .bracket import root_between
from .cycle import scaled
from .links import link_cycle
from .renewal_limits import largest_by_grids
from .worker_renewals import Crew, crew_of
from .worker_squares import squares_of

Floats = NDArray[np.float64]

FEWEST = 6  # workers up to which the edge is corrected
_STAGES = 4  # at most, of the exact edge
_IN_STEP = 0.05  # squared variation from which on workers are nearly in step
_RAISED = 1.08  # no edge of equal workers is corrected by more
_FAR = 0.5  # index below which no correction matters
_FULL = 1.5  # times as many workers as keep a link busy: it never rests


def memoryless(rates: Floats, counts: Floats) -> float:
    """Return the exact edge of memoryless workers, `counts` of each of some `rates`."""

    def growth(alpha: float) -> float:
        matrix, _ = exact.memoryless_moments(np.array([alpha]), rates, counts)
        return float(np.linalg.eigvals(matrix).real.max())

    high = 2.0
    while growth(high) < 0.0:
        high *= 2.0
    return root_between(growth, 1e-12, high)


def apart(crew: Crew, near: float = math.nan) -> float:
    """Return the edge of workers that share nothing; `near` is a guess."""
    factor = correction(crew)
    return largest_by_grids(crew, near / factor) * factor


def is_within(crew: Crew, alpha: float, index: float) -> bool:
    """Return whether alpha is below the edge, given the index of the squares there."""
    unequal = len(crew.laws) > 1
    if not 2 <= crew.workers <= FEWEST or index < (_FAR if unequal else 1.0):
        return index < 1.0

    def keeps(at: float) -> bool:
        return bool(squares_of(crew, np.array([at])).bounded[0])

    # The edge of equal workers is never lowered, and raised by little.
    return (unequal or keeps(alpha / _RAISED)) and keeps(alpha / correction(crew))


def correction(crew: Crew) -> float:
    """Return the edge of few workers over that of their squares."""
    if not 2 <= crew.workers <= FEWEST:
        return 1.0
    variations = [law.squared_variation for law in crew.laws]
    mean = float(np.average(variations, weights=crew.counts))
    places = [_IN_STEP, *(1.0 / k for k in range(_STAGES, 0, -1))]
    if mean <= places[0]:
        return 1.0
    unequal = 1.0
    if len(crew.laws) > 1:
        fully = min((mean - places[0]) / (places[1] - places[0]), 1.0)
        unequal += fully * (_of_rates(crew.rates, crew.counts) - 1.0)
    if mean >= 1.0:
        return unequal
    right = int(np.searchsorted(places, mean))
    share = (mean - places[right - 1]) / (places[right] - places[right - 1])
    low, high = (
        _of_stages(crew.workers, _STAGES + 1 - k) if 0 < k < _STAGES else 1.0
        for k in (right - 1, right)
    )
    return unequal * ((1.0 - share) * low + share * high)


@lru_cache(maxsize=64)
def _of_rates(rates: tuple[float, ...], counts: tuple[int, ...]) -> float:
    """Return the exact edge of memoryless workers of these rates over that of their squares."""
    from scipy import stats

    laws = tuple(as_law(stats.expon(scale=1.0 / rate), "law") for rate in rates)
    crew = Crew(laws, tuple(1.0 for _ in laws), counts, rates, 1.0)
    return memoryless(np.array(rates), np.array(counts, dtype=float)) / largest_by_grids(crew)


@lru_cache(maxsize=64)
def _of_stages(workers: int, stages: int) -> float:
    from scipy import stats

    law = as_law(stats.gamma(stages, scale=1.0 / stages), "law")
    crew = crew_of(Arrivals(workers, "renewal", float(workers), law, (law,)))
    return stage_chain.largest_alpha(workers, stages) / largest_by_grids(crew)


@lru_cache(maxsize=256)
def behind_link(workers: int, think: Law, link: Law, wait: float, cycle: Law) -> float:
    """Return the edge of workers that queue for a link.

    Parameters
    ----------
    workers : int
    think, link : Law
        Times of computing and of a transfer.
    wait : float
        Mean time at the link.
    cycle : Law
        Time of computing and at the link, as if independent between workers.
    """
    rests = max(1.0 - workers * link.mean / (think.mean + wait), 0.0)

    def alone(law: Law, count: int, near: float) -> float:
        crew = crew_of(Arrivals(count, "renewal", count / law.mean, law, (law,)))
        # A link that rests leaves few workers as they are apart; a full one puts them in order.
        return largest_by_grids(crew, near) * (1.0 + rests * (correction(crew) - 1.0))

    exactly = think.kind == "exponential"
    few = min(workers, memoryless_link.MOST if exactly else link_order.MANY)
    # Fewer workers with longer transfers: behind a full link only shares of the cycle matter;
    # where it rests they say what it is that sharing changes.
    longer, like = scaled(link, workers / few), cycle
    if few < workers:
        like, use = link_cycle(few, think, longer, 1)
        wait = use.waiting_time
    if exactly:
        edge = memoryless_link.largest_alpha(few, think.mean, longer)
    else:
        edge = link_order.largest_alpha(few, think, longer, wait, alone)
    if few == workers:
        return edge
    if workers * link.mean >= _FULL * (think.mean + link.mean):
        return edge * exact.in_turn(workers) / exact.in_turn(few)
    least = alone(like, few, math.nan)
    return edge * alone(cycle, workers, least * math.sqrt(few / workers)) / least
