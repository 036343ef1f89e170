r"""Is a logged run what the theory assumes? Questions to a `Trace`, each answered with a number.

The theory replaces the arrivals of gradients by a Poisson process and takes workers to be alike,
steady and independent from cycle to cycle. Each claim gets a number, the range of it that is
accepted, and a verdict. The range is the wider of two: what chance allows when the claim is true
(it is refused then in at most 1 % of logs), and what is too small to matter, because a long log
betrays every deviation. Nothing here changes the trace.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sdde import checks
from sdde.cluster.trace_log import Trace
from sdde.errors import ArgumentError

Floats = NDArray[np.float64]

LEVEL = 0.01  # false alarms of each question
SHORT, LONG = 0.1, 5.0  # windows, in cycles
WINDOWS = 30  # fewest windows that tell a variance
BLOCKS = 20  # parts of the run between which a trend is sought
DISPERSION = (0.8, 1.25)  # indices of dispersion that do not matter
DISTANCE = 0.05  # distance of distribution functions that does not matter
SPREAD = 0.1  # relative differences between workers that do not matter
TREND = 0.05  # relative change over the run that does not matter
MEMORY = 0.1  # correlation of successive cycles that does not matter


@dataclass(frozen=True, slots=True)
class Finding:
    """One question to a trace and its answer.

    Attributes
    ----------
    claim : str
        What would have to be true.
    holds : bool or None
        The verdict; None if the log cannot tell.
    value : float
        The measured number; nan if the log cannot tell.
    accepted : tuple of float
        Range of values that pass in any case.
    p_value : float
        Probability of a value as far off if the claim is true; the claim also passes at 0.01 or
        more. nan where chance is already in the range.
    expected : float
        What theory expects of the value for this run; nan where it says nothing.
    meaning : str
        What the number is, or why there is none.
    """

    claim: str
    holds: bool | None
    value: float
    accepted: tuple[float, float]
    p_value: float
    expected: float
    meaning: str

    def __str__(self) -> str:
        verdict = {True: "yes", False: "no", None: "?"}[self.holds]
        if self.holds is None:
            return f"{verdict:<4}{self.claim:<42}{self.meaning}"
        expected = "" if math.isnan(self.expected) else f", expected {self.expected:.3g}"
        chance = "" if math.isnan(self.p_value) else f" or p >= {LEVEL:g} (is {self.p_value:.2g})"
        low, high = self.accepted
        return (
            f"{verdict:<4}{self.claim:<42}{self.value:>8.3g}  passes from {low:.3g} to {high:.3g}"
            f"{chance}{expected}: {self.meaning}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class TraceCheck:
    """How far a logged run is from what the theory assumes.

    Attributes
    ----------
    arrivals_within : Finding
        Index of dispersion (variance over mean) of the counts in windows of a tenth of a cycle; 1
        for Poisson.
    arrivals_over : Finding
        The same in windows of five cycles. Regular cycles make it small: there the Poisson picture
        is too noisy.
    gaps : Finding
        Largest distance between the distribution of gaps and the exponential one; expected is what
        independent workers with the measured cycles would give.
    alike : Finding
        Standard deviation of the workers' mean cycles over their mean.
    steady : Finding
        Relative change of the cycle time over the run along a robust line.
    independent : Finding
        Correlation of successive cycles of a worker.
    in_flight : Finding
        Mean staleness; workers - 1 if each worker always has one gradient in flight, whatever the
        law.
    """

    arrivals_within: Finding
    arrivals_over: Finding
    gaps: Finding
    alike: Finding
    steady: Finding
    independent: Finding
    in_flight: Finding

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the table."""
        return tuple(getattr(self, item.name) for item in fields(self))

    @property
    def near_poisson(self) -> bool | None:
        """Whether arrivals pass for Poisson on short and long windows and in their gaps."""
        verdicts = [self.arrivals_within.holds, self.arrivals_over.holds, self.gaps.holds]
        return False if False in verdicts else None if None in verdicts else True

    def __repr__(self) -> str:
        return "\n".join(["Trace check:", *(f"  {finding}" for finding in self.findings)])


def check_trace(trace: Trace) -> TraceCheck:
    """Put every question to the trace; the ones it cannot answer say why."""
    return TraceCheck(
        arrivals_within=_asked("arrivals are Poisson within a cycle", _dispersion, trace, SHORT),
        arrivals_over=_asked("arrivals are Poisson over many cycles", _dispersion, trace, LONG),
        gaps=_asked("gaps between arrivals are exponential", _gaps, trace),
        alike=_asked("workers are alike", _alike, trace),
        steady=_asked("the cycle time does not drift", _steady, trace),
        independent=_asked("successive cycles are independent", _independent, trace),
        in_flight=_asked("one gradient per worker is in flight", _in_flight, trace),
    )


Answer = tuple[float, tuple[float, float], float, float, str]


def _asked(claim: str, question: Callable[..., Answer], trace: Trace, *args: float) -> Finding:
    try:
        value, (low, high), p, expected, meaning = question(trace, *args)
    except ArgumentError as error:
        reason = next(iter(str(error).splitlines()[1:]), str(error)).strip()
        return Finding(claim, None, math.nan, (math.nan, math.nan), math.nan, math.nan, reason)
    holds = low <= value <= high or p >= LEVEL
    return Finding(claim, holds, value, (low, high), p, expected, meaning)


def _short(what: str, have: int, need: int) -> ArgumentError:
    return checks.fail("trace", f"{have} {what}", f"is too short, this needs {need}")


def _arrivals(trace: Trace) -> tuple[Floats, float]:
    """Return the times of arrivals and the mean cycle, workers / rate."""
    times = trace["apply_time"]
    if len(times) < WINDOWS or times[-1] <= times[0]:
        raise _short("arrivals", len(times), WINDOWS)
    return times, trace.workers * float(times[-1] - times[0]) / (len(times) - 1)


def _dispersion(trace: Trace, cycles: float) -> Answer:
    times, cycle = _arrivals(trace)
    window = cycles * cycle
    windows = int((times[-1] - times[0]) / window)
    if windows < WINDOWS:
        raise _short("windows", windows, WINDOWS)
    counts = np.bincount(
        np.minimum(((times - times[0]) / window).astype(np.int64), windows), minlength=windows
    )[:windows]
    index = float(counts.var(ddof=1) / counts.mean())
    # For Poisson counts (windows - 1) * index is close to chi-squared: Fisher's dispersion test.
    law, square = stats.chi2(windows - 1), (windows - 1) * index
    p = 2.0 * min(float(law.cdf(square)), float(law.sf(square)))
    return index, DISPERSION, p, 1.0, f"variance over mean of counts in {windows} windows"


def _gaps(trace: Trace) -> Answer:
    times, _ = _arrivals(trace)
    gaps = np.sort(np.diff(times))
    count = len(gaps)
    share = -np.expm1(-gaps / gaps.mean())
    rank = np.arange(count + 1) / count
    distance = float(max((rank[1:] - share).max(), (share - rank[:-1]).max()))
    # One per cent point for an exponential law whose mean is estimated from the same gaps, for any
    # count from about 5 on; the tests check it by simulation.
    root = math.sqrt(count)
    limit = 0.2 / count + 1.308 / (root + 0.26 + 0.5 / root)
    lengths = [part for part in trace.cycles_by_worker().values() if len(part)]
    expected = _superposition_distance(lengths) if len(lengths) == trace.workers else math.nan
    return distance, (0.0, max(limit, DISTANCE)), math.nan, expected, "Kolmogorov distance"


def _superposition_distance(lengths: list[Floats]) -> float:
    r"""Distance to the exponential of the gaps between the events of independent renewal processes.

    .. math:: P(\text{gap} > t) = \frac1\Lambda \sum_i \frac{1 - G_i(t)}{T_i} \prod_{j \ne i} (1 -
    G^e_j(t))

    with the cycle laws :math:`G_i` as measured, :math:`G^e_j` their residual laws, and
    :math:`\Lambda` the total rate.
    """
    means = np.array([part.mean() for part in lengths])
    if (means <= 0).any():
        return math.nan
    rate = float((1.0 / means).sum())
    t = np.linspace(0.0, 10.0, 501) / rate
    longer, residual = np.empty((2, len(lengths), len(t)))
    for i, part in enumerate(lengths):
        ordered = np.sort(part)
        rest = np.concatenate([np.cumsum(ordered[::-1])[::-1], [0.0]])
        above = np.searchsorted(ordered, t, side="right")
        longer[i] = (len(ordered) - above) / len(ordered)
        residual[i] = (rest[above] - t * (len(ordered) - above)) / (len(ordered) * means[i])
    before = np.cumprod(np.vstack([np.ones(len(t)), residual[:-1]]), axis=0)
    after = np.cumprod(np.vstack([np.ones(len(t)), residual[:0:-1]]), axis=0)[::-1]
    survival = (longer * before * after / means[:, None]).sum(axis=0) / rate
    return float(np.abs(survival - np.exp(-rate * t)).max())


def _alike(trace: Trace) -> Answer:
    parts = list(trace.cycles_by_worker().values())
    fewest = min(len(part) for part in parts)
    if len(parts) < 2 or fewest < 5:
        raise (
            checks.fail("trace", "1 worker", "has nobody to compare with")
            if len(parts) < 2
            else _short("cycles of a worker", fewest, 5)
        )
    sizes = np.array([len(part) for part in parts], dtype=float)
    means = np.array([part.mean() for part in parts])
    typical = float(means.mean())
    variances = np.maximum([part.var(ddof=1) for part in parts], (1e-9 * typical) ** 2)
    # Welch's analysis of variance: means are compared without assuming equal variances.
    weights = sizes / variances
    total = weights.sum()
    centre = (weights * means).sum() / total
    k = len(parts)
    correction = ((1.0 - weights / total) ** 2 / (sizes - 1.0)).sum()
    statistic = (weights * (means - centre) ** 2).sum() / (k - 1)
    statistic /= 1.0 + 2.0 * (k - 2) / (k * k - 1.0) * correction
    p = float(stats.f.sf(statistic, k - 1, (k * k - 1.0) / (3.0 * correction)))
    spread = float(means.std(ddof=1)) / typical
    return spread, (0.0, SPREAD), p, 0.0, "relative spread of the workers' means (Welch's test)"


def _steady(trace: Trace) -> Answer:
    begin, lengths = trace.cycles()
    if len(lengths) < 5 * BLOCKS:
        raise _short("cycles", len(lengths), 5 * BLOCKS)
    ordered = lengths[np.argsort(begin, kind="stable")]
    means = np.array([block.mean() for block in np.array_split(ordered, BLOCKS)])
    typical = float(np.median(means))
    slope = float(np.asarray(stats.theilslopes(means, np.arange(BLOCKS)))[0])
    change = slope * (BLOCKS - 1) / typical
    trend = np.asarray(stats.kendalltau(np.arange(BLOCKS), means))
    p = 1.0 if np.isnan(trend[1]) else float(trend[1])  # nan: all blocks are equal
    return change, (-TREND, TREND), p, 0.0, "relative change over the run (Mann-Kendall test)"


def _independent(trace: Trace) -> Answer:
    parts = [part for part in trace.cycles_by_worker().values() if len(part) > 1]
    pairs = sum(len(part) - 1 for part in parts)
    if pairs < WINDOWS:
        raise _short("pairs of cycles", pairs, WINDOWS)
    centred = [part - part.mean() for part in parts]
    power = sum(float(part @ part) for part in centred)
    product = sum(float(part[1:] @ part[:-1]) for part in centred)
    constant = power <= pairs * (1e-9 * float(parts[0].mean())) ** 2
    correlation = 0.0 if constant else product / power
    bias = len(parts) / pairs  # each worker's own mean takes about 1 / cycles off
    p = 2.0 * float(stats.norm.sf(abs(correlation + bias) * math.sqrt(pairs)))
    return correlation, (-MEMORY, MEMORY), p, 0.0, "correlation of a worker's successive cycles"


def _in_flight(trace: Trace) -> Answer:
    stale = trace.staleness()
    others = trace.workers - 1
    if not stale.size:
        raise _short("applied gradients", 0, 1)
    # The cycles that the end of the log cuts off miss about workers**2 overtakings in all.
    slack = 0.05 * trace.workers + 2.0 * trace.workers**2 / len(stale)
    accepted = (others - slack, others + slack)
    return float(stale.mean()), accepted, math.nan, float(others), "mean staleness"
