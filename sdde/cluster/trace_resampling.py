"""Another log that the same machines could have left: a block bootstrap of the cycles.

Runs of successive cycles are drawn with replacement and laid end to end, worker by worker, and the
versions are counted anew. Successive cycles depend on each other, so blocks of them are drawn and
not single ones; workers have slow phases together, so all workers draw the same parts of the run.
Nothing here knows what is computed from the log.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from sdde import checks
from sdde.engine.seeds import seed_of

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TIMES = ("read_time", "start_time", "apply_time")


def resampled(trace: "Trace", rng: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns of a re-drawn log, and its header; see `Trace.resample`."""
    generator = np.random.default_rng(seed_of(rng))
    if "worker" in trace and ("read_time" in trace or "apply_time" in trace):
        data, length = _new_times(trace, generator)
    else:
        data, length = _new_rows(trace, generator)
    for column in data.values():
        column.flags.writeable = False  # so that the new trace need not copy it
    header = dict(trace.header) | {"resampled": f"in blocks of {length} cycles"}
    return data, header


def block_length(series: list[Floats]) -> int:
    r"""Return how many successive values belong together when the mean of series is resampled.

    The rule of Politis and White with the correction by Patton: the length that minimises the mean
    square error of the bootstrap's variance of the mean, :math:`(3 G^2 N / 2 g^2)^{1/3}` with
    :math:`G = \sum_k |k| R_k` and :math:`g = \sum_k R_k` over the autocovariances, tapered by a
    flat-top window behind the lag from which on they are no longer significant.

    Parameters
    ----------
    series : list of arrays
        Independent series of one kind, whose autocovariances are pooled.

    Returns
    -------
    int
        At least 1, at most ``min(3 sqrt(N), N / 3)``, with N the length of the longest series.
    """
    longest = max((len(part) for part in series), default=0)
    total = sum(len(part) for part in series)
    ceiling = math.ceil(min(3.0 * math.sqrt(longest), longest / 3.0))
    run = max(5, math.ceil(math.log10(max(longest, 1))))
    lags = min(math.ceil(math.sqrt(longest)) + 2 * run, longest - 1)
    if ceiling < 2 or lags <= run:
        return 1
    covariance = _autocovariance(series, lags)
    if covariance[0] <= 1e-18 * sum(float(np.sum(part**2)) for part in series) / total:
        return 1  # constant cycles
    correlation = np.abs(covariance[1:] / covariance[0])
    small = correlation < 2.0 * math.sqrt(math.log10(total) / total)
    quiet = np.convolve(small, np.ones(run), mode="valid") == run
    last = int(np.argmax(quiet)) if quiet.any() else lags - run
    if last == 0:
        return 1
    k = np.arange(1, min(2 * last, lags) + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - k / (2.0 * last))) * covariance[k]
    slope, level = 2.0 * float(k @ window), covariance[0] + 2.0 * float(window.sum())
    if level <= 0.0:
        return ceiling
    wanted = (1.5 * (slope / level) ** 2 * longest) ** (1.0 / 3.0)
    return int(np.clip(math.ceil(wanted), 1, ceiling))


def _autocovariance(series: list[Floats], lags: int) -> Floats:
    """Return pooled autocovariances at lags 0 to `lags`, each series centred at its own mean."""
    result, total = np.zeros(lags + 1), 0
    for part in series:
        size = fft.next_fast_len(len(part) + lags, real=True)
        power = np.abs(np.asarray(fft.rfft(part - part.mean(), size))) ** 2
        result += np.asarray(fft.irfft(power, size))[: lags + 1]
        total += len(part)
    return result / total


def _common_length(parts: list[Floats]) -> int:
    """Return the block length for workers, by their own cycles and by what they have in common."""
    parts = [part for part in parts if len(part)]
    own = block_length(parts)
    fewest = min((len(part) for part in parts), default=0)
    if len(parts) < 2 or fewest < 2:
        return own
    together = np.zeros(fewest)
    for part in parts:  # each worker's run, cut into equally many pieces
        begins = np.arange(fewest) * len(part) // fewest
        together += np.add.reduceat(part - part.mean(), begins) / len(part)
    scale = max(len(part) for part in parts) / fewest
    return max(own, math.ceil(scale * block_length([together])))


def _drawn(count: int, shares: Floats) -> Integers:
    """Return `count` positions: blocks that begin at these shares of a series, end to end."""
    if not count:
        return np.empty(0, np.int64)
    width = -(-count // len(shares))
    begins = np.minimum((shares * count).astype(np.int64), count - 1)
    return ((begins[:, None] + np.arange(width)).ravel()[:count]) % count


def _shares(parts: list[Floats], generator: np.random.Generator) -> tuple[Floats, int]:
    """Return where blocks begin, as shares of the run, and how many cycles the longest holds."""
    length = _common_length(parts)
    most = max(map(len, parts))
    return generator.random(max(1, -(-most // length))), length


def _new_times(trace: "Trace", generator: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Lay cycles end to end and count versions anew."""
    order, clock, same = trace._by_worker()
    rows = np.split(order, np.flatnonzero(~same) + 1)
    lengths = [np.diff(clock[part]) for part in rows]
    shares, length = _shares(lengths, generator)
    taken, start = np.empty(len(order), np.int64), np.empty(len(order))
    end = 0
    for part, cycle in zip(rows, lengths, strict=True):
        here = slice(end, end := end + len(part))
        chosen = _drawn(len(cycle), shares)
        taken[here] = np.append(part[chosen], part[-1])
        start[here] = clock[part[0]] + np.concatenate([[0.0], np.cumsum(cycle[chosen])])
    del order, rows, lengths
    data: dict[str, Any] = {"worker": trace.data["worker"][taken]}
    for name in _TIMES:
        if name in trace:
            data[name] = start + (trace.data[name] - clock)[taken]
    if "discarded" in trace:
        data["discarded"] = trace.data["discarded"][taken]
    if "apply_version" in trace and "apply_time" in trace:
        counted = _versions(data, trace.updates / max(1, int(trace.applied.sum())))
        data |= {name: column for name, column in counted.items() if name in trace}
        del counted
    elif "staleness" in trace:
        data["staleness"] = trace.data["staleness"][taken]
    return data, length


def _versions(data: dict[str, Any], share: float) -> dict[str, Integers]:
    """Count versions in the order of arrival; `share` is updates per applied gradient."""
    order = np.argsort(data["apply_time"], kind="stable")
    applied = ~data["discarded"] if "discarded" in data else np.ones(len(order), dtype=bool)
    before = np.empty(len(order), np.int64)  # gradients applied before each
    before[order] = np.cumsum(applied[order]) - applied[order]
    result = {"apply_version": _updates(before, share) + applied}
    if "read_time" in data:
        times = data["apply_time"][order][applied[order]]
        seen = np.searchsorted(times, data["read_time"], side="right")
        result["read_version"] = _updates(np.minimum(seen, before), share)
    return result


def _updates(gradients: Integers, share: float) -> Integers:
    return np.floor(gradients * share * (1.0 + 1e-12)).astype(np.int64)


def _new_rows(trace: "Trace", generator: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Draw rows of a log whose cycles cannot be told apart: each row counts as one."""
    columns: dict[str, Any] = {
        name: trace.data[name]
        for name in ("worker", "compute_time", "staleness", "discarded")
        if name in trace
    }
    if "read_time" in trace and "apply_time" in trace:
        columns["compute_time"] = trace.delay()
    if "read_version" in trace and "apply_version" in trace:
        made = trace.applied
        columns["staleness"] = trace.data["apply_version"] - trace.data["read_version"] - made
    value = columns.get("compute_time", columns.get("staleness"))
    if value is None:
        raise checks.fail(
            "trace", tuple(trace.data), "cannot be resampled",
            why="It holds neither cycles of workers nor durations nor staleness.",
        )  # fmt: skip
    if "worker" in columns:
        worker = columns["worker"]
        rows = [np.flatnonzero(worker == code) for code in np.unique(worker)]
    else:
        rows = [np.arange(len(trace))]
    parts = [value[part].astype(float) for part in rows]
    shares, length = _shares(parts, generator)
    taken = np.concatenate([part[_drawn(len(part), shares)] for part in rows])
    return {name: column[taken] for name, column in columns.items()}, length
