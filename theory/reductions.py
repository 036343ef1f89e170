r"""Methods as changes of the stream of gradients: fewer of them, other delays, smaller steps.

Dropping, thinning, grouping and weighting all leave the mean a delay equation; only the rate of
gradients, the law of their delay and the size of each step change. Each rule here maps one stream
to another; what a rule does to correlations between reads is left out, as everywhere in the Poisson
treatment. Derived in this project; nothing here knows the objective.
"""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, gammaln, xlogy

from sdde import checks
from sdde.cluster.rules import Chance, Composed, Fresh, Group, Young
from sdde.cluster.weights import Tail
from sdde.equation.laws import Law, as_law

from .arrivals import ArrivalKind, Arrivals, arrivals
from .bracket import root_between
from .cycle import compress, mixture, scaled, total, truncated, weighted
from .idle_groups import idle_rounds
from .schedules import tail_factors

Floats = NDArray[np.float64]

_DISPERSION = 0.6  # power of a cycle's squared variation in that of counts over one cycle


def stream_of(
    workers: int, compute_time: Any, communication: Any, kind: ArrivalKind, method: Any
) -> Arrivals:
    """Return the stream of a cluster and a method, from memory if asked for lately.

    Arguments as in `arrivals`, given as `Law` values.
    """
    try:
        return _stream(workers, _hashable(compute_time), _hashable(communication), kind, method)
    except TypeError:  # a method that cannot be hashed
        return reduced(arrivals(workers, compute_time, communication, kind), method)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _stream(
    workers: int, compute_time: Any, communication: Any, kind: ArrivalKind, method: Any
) -> Arrivals:
    return reduced(arrivals(workers, compute_time, communication, kind), method)


def reduced(stream: Arrivals, method: Any) -> Arrivals:
    """Return the stream of a method, given that of plain asynchronous SGD.

    Parameters
    ----------
    stream : Arrivals
        All gradients, applied as they come.
    method : method value from sdde.cluster, or None

    Raises
    ------
    sdde.ArgumentError
        If the method is not a change of the stream: synchronous and state-dependent methods.
    """
    rules = getattr(method, "composed", Composed() if method is None else None)
    if not isinstance(rules, Composed):
        raise _refusal(method, "is not a method", "sdde.cluster.AsyncSGD()")
    plain = (rules.schedule, rules.compensation, rules.clip) == (None,) * 3
    waiting = rules.waiting
    if (
        not plain or rules.momentum or not isinstance(waiting, Group) or waiting.cancel
        or not isinstance(rules.rate, Tail | None)
        or (rules.rate is not None and (rules.admission is not None or waiting.size != 1))
        or (waiting.idle and (rules.admission is not None or waiting.size is None))
    ):  # fmt: skip
        raise _refusal(
            method, "does not act on the stream of gradients alone", "sdde.cluster.KBatchAsync(4)"
        )
    if rules == Composed():
        return stream
    if stream.kind in ("exact", "renewal"):
        fault = f'has no moments of that kind (arrivals = "{stream.kind}")'
        raise _refusal(method, fault, "arrivals = 'poisson'")
    match rules.admission:
        case None:
            pass
        case Chance(keep):
            stream = thinned(stream, keep)
        case Young(age, stop=stop):
            stream = threshold_of_age(stream, age, stop=stop)
        case Fresh(limit, stop=stop):
            stream = threshold_of_staleness(stream, limit, stop=stop)
        case _:
            raise _refusal(
                method, "admits gradients by the state, which no stream describes",
                "sdde.theory.EventTriggeredSGD for a threshold on the norm",
            )  # fmt: skip
    if rules.rate is not None:
        return weighted_by_rank(stream, rules.rate.amplitude)
    size = stream.workers if waiting.size is None else waiting.size
    if size == 1:
        return stream
    return waited_for(stream, size) if waiting.idle else grouped(stream, size)


def _refusal(method: Any, fault: str, example: str) -> Exception:
    return checks.fail(
        "method", method, fault,
        why="The moments here cover gradients that are dropped, thinned or grouped independently of"
        " the parameters.",
        remedy=f"For example {example}, or sdde.cluster.simulate.",
    )  # fmt: skip


def grouped(stream: Arrivals, size: int) -> Arrivals:
    r"""Return the stream when `size` gradients make one update by their mean.

    Each gradient then waits for up to ``size - 1`` others,
    :math:`\frac1K\sum_{i<K}(\Lambda/(\Lambda+s))^i` in transforms, and counts 1/K. Groups begin
    empty, so that updates lag by half a group. Over long times the number of gradients varies as
    much as the workers' cycles do, which evenly spaced arrivals leave out and `jitter` restores.
    """
    wait = scaled(_waits(size), 1.0 / stream.rate)
    lag = together(stream) + 0.5 * (size - 1.0) / stream.rate
    jitter = variation(stream) / stream.rate if stream.kind == "regular" else 0.0
    return replace(stream, delay=total(stream.delay, wait), group=size, lag=lag, jitter=jitter)


def together(stream: Arrivals) -> float:
    r"""Return by how much time gradients are late, in the long run, if all workers begin at once.

    By the renewal theorem a worker has delivered :math:`t/T + (c_2 - 1)/2` gradients by *t*, with
    :math:`c_2` the squared coefficient of variation of a cycle.
    """
    if not all(math.isfinite(law.variance) for law in stream.cycles):
        return 0.0
    lags = [0.5 * law.mean * (1.0 - law.squared_variation) for law in stream.cycles]
    return max(0.0, float(np.mean(lags)))


def waited_for(stream: Arrivals, size: int) -> Arrivals:
    """Return the stream when the first `size` workers wait for an update and the others go on.

    Every gradient is read at one update and used at another, so its delay is a whole number of
    rounds; rounds come evenly, whatever the kind of the arrivals (see `idle_groups`).
    """
    if stream.link is not None or len(stream.cycles) > 1:
        raise checks.fail(
            "method", f"KAsync({size})", "is planned for equal workers with links of their own",
            why="Whose remaining times are alike in law is known for those only.",
            remedy="For example method = sdde.cluster.KBatchAsync(4), or sdde.cluster.simulate.",
        )  # fmt: skip
    if size > stream.workers:
        raise checks.fail("k", size, f"exceeds the {stream.workers} workers")
    law = next(iter(stream.cycles))
    rounds = idle_rounds(law, stream.workers, size)
    ages = rounds.time * np.arange(1.0, rounds.staleness.size + 1.0)
    keep = rounds.staleness > 0.0
    lag = together(stream) + 0.5 * (1.0 - 1.0 / size) * rounds.time
    return replace(
        stream, kind="regular", rate=size / rounds.time, group=size, pace=1.0 / rounds.time,
        lag=lag, jitter=rounds.spread * rounds.time,
        delay=weighted(ages[keep], rounds.staleness[keep], (law, "rounds", size)),
    )  # fmt: skip


def weighted_by_rank(stream: Arrivals, amplitude: float) -> Arrivals:
    r"""Return the stream of gradients with weights :math:`1 + A(1 - 2F(\tau))` by staleness.

    Given a delay *S* the staleness is taken as a Poisson count of mean :math:`(n-1)S/T`; so the
    mean weight at *S* tilts the law of the delay, and the mean square weight adds to the noise.
    Where the staleness is always the same, the weight is 1.
    """
    law = stream.staleness()
    if law.var == 0.0 or amplitude == 0.0:
        return stream
    points, weights = compress(*stream.delay.nodes())
    weights = weights / weights.sum()
    factors = tail_factors(law.pmf, amplitude)
    mean, square = _mean_weights(factors, law.mean * points / float(points @ weights))
    share, power = float(weights @ mean), float(weights @ square)
    delay = weighted(points, weights * mean, (stream.delay, "weights"))
    return replace(stream, rate=share * stream.rate, delay=delay, square=power / share)


def _mean_weights(factors: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return mean and mean square of the factor at Poisson counts of these means."""
    mean, square = np.empty(counts.size), np.empty(counts.size)
    for i, count in enumerate(counts):
        reach = 8.0 * math.sqrt(count) + 12.0
        k = np.arange(max(0, int(count - reach)), int(count + reach) + 1)
        known = factors[np.minimum(k, factors.size - 1)]
        chance = np.exp(xlogy(k, count) - count - gammaln(k + 1.0))
        chance /= chance.sum()
        mean[i], square[i] = chance @ known, chance @ known**2
    return mean, square


@lru_cache(maxsize=256)
def _waits(size: int) -> Law:
    """Return the law of the wait for the rest of a group, in mean times between two gradients."""
    from scipy import stats

    waits = [as_law(0.0, "wait"), as_law(stats.expon(), "wait")]
    waits += [as_law(stats.gamma(i), "wait") for i in range(2, size)]
    return mixture(waits[:size], np.ones(size))


def variation(stream: Arrivals) -> float:
    """Return the mean squared variation of a cycle: of a long count, variance over mean."""
    return min(1.0, float(np.mean([law.squared_variation for law in stream.cycles])))


def thinned(stream: Arrivals, keep: float) -> Arrivals:
    """Return the stream of which each gradient is kept by chance."""
    rate = keep * stream.rate
    jitter = (1.0 - keep + keep * variation(stream)) / rate
    return replace(stream, rate=rate, jitter=jitter if stream.kind == "regular" else 0.0)


def threshold_of_age(stream: Arrivals, age: float, *, stop: bool) -> Arrivals:
    """Return the stream of gradients at most `age` old.

    If `stop`, a worker gives up at that age and reads again; otherwise it delivers in vain.
    """
    law, share = truncated(stream.delay, age)
    if not stop:
        return replace(stream, rate=share * stream.rate, delay=law)
    points, weights = stream.delay.nodes()
    shorter = float(np.minimum(points, age) @ weights / weights.sum())
    rate = stream.workers * share / shorter
    return replace(stream, rate=rate, delay=law, lag=together(stream))


def threshold_of_staleness(stream: Arrivals, limit: int, *, stop: bool) -> Arrivals:
    """Return the stream of gradients with fewer than `limit` updates since their read.

    The number of others' updates during a delay is taken as Poisson; as only admitted gradients are
    updates, their rate solves a fixed-point equation.
    """
    points, weights = stream.delay.nodes()
    weights = weights / weights.sum()
    others = (stream.workers - 1.0) / stream.workers if stream.workers > 1 else 0.0

    # Counts of others' updates vary less than Poisson counts where cycles vary little.
    spread = max(variation(stream) ** _DISPERSION, 1e-6)

    def outcome(rate: float) -> tuple[float, Floats]:
        """Return the rate of admitted gradients when updates come at `rate`."""
        kept = gammaincc((limit - 0.5) / spread + 0.5, others * rate * points / spread)
        if not stop or others == 0.0:
            return stream.rate * float(weights @ kept), kept
        # A cycle ends at its own length or at the limit-th update of the others.
        pace = others * rate
        spent = points * kept + limit / pace * gammainc(limit + 1.0, pace * points)
        return stream.workers * float(weights @ kept) / float(weights @ spent), kept

    low, high = 0.0, stream.rate * (1.0 if not stop else math.inf)
    if stop:
        high = 4.0 * stream.workers / max(stream.delay.lowest, 1e-3 * stream.delay.mean)
    if outcome(high)[0] < high:  # more admitted gradients make others staler: the excess falls
        high = root_between(lambda rate: outcome(max(rate, 1e-300))[0] - rate, low, high)
    rate, kept = outcome(high)
    delay = _tilted(stream.delay, weights * kept)
    jitter = variation(stream) / rate if stream.kind == "regular" else 0.0
    lag = together(stream) if stop else 0.0
    return replace(stream, rate=rate, delay=delay, lag=lag, jitter=jitter)


def _tilted(law: Law, weights: Floats) -> Law:
    points, _ = law.nodes()
    keep = weights > 0.0
    return weighted(points[keep], weights[keep], (law, "tilted"))
