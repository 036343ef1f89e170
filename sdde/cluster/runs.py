"""`Runs`: what simulated training gave: loss against time and updates, staleness, counts, endings.

A plain value with questions: the mean loss at any time, the time to reach a loss with an interval,
the rate of updates. It knows how its runs were made only as a record, and never runs anything.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STATUS = np.array(["done", "reached", "diverged", "stalled"])  # by the event loop's codes
_RESAMPLES = 400  # of the bootstrap: its intervals are good to a few per cent of their length
_LEVEL = 0.95


class TimeTo(NamedTuple):
    """A time and its 95 % interval; ``nan`` where the loss is never reached or runs are too few."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Staleness:
    """How many updates happened between a gradient's read and its use, over all runs.

    Attributes
    ----------
    counts : array of int
        Gradients with staleness 0, 1, 2, ...
    """

    counts: Integers

    @property
    def pmf(self) -> Floats:
        """Share of the gradients with staleness 0, 1, 2, ..."""
        return self.counts / max(int(self.counts.sum()), 1)

    @property
    def mean(self) -> float:
        """Mean staleness, in updates."""
        return float(self.pmf @ np.arange(len(self.counts)))

    @property
    def var(self) -> float:
        """Variance of the staleness, in updates squared."""
        return float(self.pmf @ (np.arange(len(self.counts)) - self.mean) ** 2)

    @property
    def fresh(self) -> float:
        """Share of the gradients that nothing overtook."""
        return float(self.pmf[0]) if len(self.counts) else math.nan

    def quantile(self, q: float) -> int:
        """Return the least staleness that a share `q` of the gradients does not exceed.

        Parameters
        ----------
        q : float
            In [0, 1].

        Returns
        -------
        int

        Examples
        --------
        >>> Staleness(np.array([1, 2, 1])).quantile(0.5)
        1
        """
        if checks.nonnegative("q", q, example=0.5) > 1:
            raise checks.fail("q", q, "is above 1", remedy="For example q = 0.5.")
        cumulative = np.cumsum(self.counts)
        return int(np.searchsorted(cumulative, q * cumulative[-1]))


@dataclass(frozen=True, eq=False)
class Runs:
    """Simulated runs of one cluster on one objective.

    Loss is the excess above the minimum everywhere.

    Attributes
    ----------
    objective, method, system : values
        What was simulated.
    workers : int
        Number of workers.
    learning_rate : float
        The learning rate.
    start : str
        ``"together"`` or ``"stationary"``.
    seed : int
        Passing it as ``rng`` repeats the runs.
    t : array
        Times of the records: ``(records,)`` if recorded at given times, ``(runs, records)`` if
        recorded at given numbers of updates; ``nan`` after a run has ended.
    updates_at : array of int
        Updates made until the records: ``(records,)`` or ``(runs, records)``, the other way
        round.
    loss : array (runs, records)
        Loss at the records; ``nan`` after a run has ended, ``inf`` where it diverged.
    status : array of str (runs,)
        ``"done"``, ``"reached"`` (the loss asked for), ``"diverged"``, or ``"stalled"`` (the method
        dropped 10,000 gradients per worker in a row, or no worker will ever deliver again).
    end_time : array (runs,)
        When each run ended.
    updates : array of int (runs,)
        Updates of the parameters in each run.
    staleness : Staleness
        Histogram over all runs.
    worker_counts, discarded, cancelled : arrays of int (runs, workers)
        Gradients of each worker that were applied, that arrived and were dropped, and computations
        that were stopped before their end.
    idle_time : array (runs, workers)
        Time each worker spent waiting.
    down_time : array (runs, workers)
        Time each worker spent in outages that had ended.
    log : array (computations, 7)
        Run, worker, read time, end, version read, version made, and 0 for applied, 1 for dropped
        and 2 for stopped or lost; empty unless the runs were traced.
    measures : dict of str to array (runs, records)
        What the objective records beside the loss: ``"accuracy"`` (share of the training rows that
        are classified rightly), and where rows are kept for testing ``"test_loss"`` (without
        penalty) and ``"test_accuracy"``; ``nan`` after a run has ended or diverged.
    """

    objective: Any
    method: Any
    system: Any
    workers: int
    learning_rate: float
    start: str
    seed: int
    t: Floats
    updates_at: Integers
    loss: Floats
    status: NDArray[np.str_]
    end_time: Floats
    updates: Integers
    staleness: Staleness
    worker_counts: Integers
    discarded: Integers
    cancelled: Integers
    idle_time: Floats
    log: Floats = field(repr=False)
    measures: dict[str, Floats] = field(default_factory=dict, repr=False)
    down_time: Floats = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    def __repr__(self) -> str:
        kinds, counts = np.unique(self.status, return_counts=True)
        ended = ", ".join(f"{c} {k}" for k, c in zip(kinds, counts, strict=True))
        return (
            f"Runs({len(self.loss)} runs of {self.method!r}, {self.workers} workers, "
            f"learning_rate={self.learning_rate:g}: {ended})"
        )

    @property
    def accuracy(self) -> Floats:
        """Share of the training rows classified rightly at the records, (runs, records)."""
        return self._measure("accuracy")

    @property
    def test_error(self) -> Floats:
        """Share of the test rows classified wrongly at the records, (runs, records)."""
        return 1.0 - self._measure("test_accuracy")

    def _measure(self, name: str) -> Floats:
        if name not in self.measures:
            known = ", ".join(["loss", *self.measures])
            raise checks.fail(
                "runs", name, "was not recorded", why=f"Recorded: {known}.",
                remedy="Objectives that classify record accuracy, and test results if they hold "
                "test rows: Network.digits(test=0.25).",
            )  # fmt: skip
        return self.measures[name]

    def loss_at(self, times: ArrayLike) -> Floats:
        """Return the loss of each run at given times, as last recorded by then.

        Parameters
        ----------
        times : float or array (times,)
            Times >= 0, in the unit of the system's laws.

        Returns
        -------
        array (runs, times)
            Exact where every update is recorded, else as old as the last record; ``nan`` after a
            run has ended, ``inf`` after it diverged.
        """
        asked = checks.vector("times", np.atleast_1d(np.asarray(times)))
        if (asked < 0).any():
            raise checks.fail("times", times, "holds a negative time")
        result = np.empty((len(self.loss), asked.size))
        for r, row in enumerate(self.loss):
            t = self.t if self.t.ndim == 1 else self.t[r]
            known = np.isfinite(t) & ~np.isnan(row)
            index = np.searchsorted(t[known], asked, side="right") - 1
            late = asked > self.end_time[r]
            values = row[known][np.maximum(index, 0)]
            after = math.inf if self.status[r] == "diverged" else math.nan
            result[r] = np.where(late, after, values)
        return result

    def _times(self) -> Floats:
        """Return the record times, or as many equally spaced times until the first run ends."""
        if self.t.ndim == 1:
            return self.t
        going = self.status != "diverged"
        last = self.end_time[going].min() if going.any() else self.end_time.max()
        return np.linspace(0.0, float(last), self.t.shape[1])

    def mean_loss(self, times: ArrayLike | None = None) -> tuple[Floats, Floats]:
        """Return the mean over the runs of the loss, and its standard error.

        Parameters
        ----------
        times : float or array (times,), optional
            When; the record times if not given (equally spaced times until the first run ends, if
            the records are at numbers of updates).

        Returns
        -------
        mean, error : arrays (times,)
            ``nan`` where a run has ended, ``inf`` where one has diverged; the error of one run is
            ``nan``.
        """
        losses = self.loss_at(self._times() if times is None else times)
        with np.errstate(invalid="ignore"):
            mean = losses.mean(axis=0)
            if len(losses) == 1:
                return mean, np.full_like(mean, np.nan)
            return mean, losses.std(axis=0, ddof=1) / math.sqrt(len(losses))

    def update_rate(self) -> tuple[float, float]:
        """Return applied gradients per unit of time, and the standard error over the runs."""
        rates = self.updates / np.where(self.end_time > 0, self.end_time, np.nan)
        error = rates.std(ddof=1) / math.sqrt(len(rates)) if len(rates) > 1 else math.nan
        return float(rates.mean()), float(error)

    def time_to(self, loss: float, statistic: str = "mean", settle: bool = True) -> TimeTo:
        """Return when the loss is at or below a number, with a 95 % interval.

        Parameters
        ----------
        loss : float
            Loss above the minimum, > 0.
        statistic : {"mean", "median"}
            The time of the mean loss over the runs, or the median over the runs of their own times.
        settle : bool
            From then on until the end of the records, or the first time.

        Returns
        -------
        TimeTo
            ``(value, low, high)``. The interval is a percentile bootstrap over the runs. ``nan``
            where the loss is not reached; the interval of a single run is ``nan``.

        Notes
        -----
        The mean is interpolated (its logarithm linearly in time) between records, and can be told
        only until the first run ends: with ``until_loss`` runs end at their own times, so ask for
        the median. A run that has not reached the loss counts as infinitely late in the median.

        Examples
        --------
        >>> from sdde import cluster
        >>> runs = cluster.simulate(
        ...     cluster.Quadratic(1.0), cluster.AsyncSGD(), cluster.System(1.0, workers=1),
        ...     learning_rate=0.5, updates=10, records=11,
        ... )
        >>> runs.time_to(0.5 * 0.5**6, "median").value  # x = 1/8 after three updates
        3.0
        """
        target = checks.positive("loss", loss, example=1e-3)
        checks.choice("statistic", statistic, ("mean", "median"))
        checks.flag("settle", settle)
        rng = np.random.default_rng([self.seed, _RESAMPLES])
        count = len(self.loss)
        picks = rng.integers(count, size=(_RESAMPLES if count > 1 else 0, count))
        if statistic == "median":
            own = np.array([self._own_time(r, target, settle) for r in range(count)])
            value = _finite(np.median(own))
            samples = np.array([np.median(own[pick]) for pick in picks])
        else:
            times = self._times()
            losses = self.loss_at(times)
            value = _crossing(times, losses.mean(axis=0), target, settle)
            samples = np.array(
                [_crossing(times, losses[p].mean(axis=0), target, settle) for p in picks]
            )
            samples = np.where(np.isnan(samples), np.inf, samples)
        if not len(samples):
            return TimeTo(value, math.nan, math.nan)
        tail = (1.0 - _LEVEL) / 2.0
        low, high = np.quantile(samples, [tail, 1.0 - tail], method="nearest")
        return TimeTo(value, _finite(low), _finite(high))

    def _own_time(self, run: int, target: float, settle: bool) -> float:
        """Return the time of one run by its own records, inf if never."""
        t = self.t if self.t.ndim == 1 else self.t[run]
        below = self.loss[run] <= target
        if self.status[run] == "reached" and (settle or not below.any()):
            return float(self.end_time[run])
        known = np.isfinite(t) & ~np.isnan(self.loss[run])
        index = _first(below[known], settle)
        return math.inf if index is None else float(t[known][index])

    def trace(self, run: int = 0) -> "Trace":
        """Return the gradients of one run as a log like that of a real run.

        Parameters
        ----------
        run : int
            Number of the run.

        Returns
        -------
        Trace
            One row for each gradient that the server saw, applied or discarded.

        Raises
        ------
        sdde.ArgumentError
            If the runs were simulated without ``trace=True``, or there is no such run.

        Examples
        --------
        >>> from sdde import cluster
        >>> runs = cluster.simulate(
        ...     cluster.Quadratic(1.0), cluster.AsyncSGD(), cluster.System(1.0, workers=2),
        ...     learning_rate=0.1, updates=4, trace=True,
        ... )
        >>> runs.trace().staleness().tolist()
        [0, 1, 1, 1]
        """
        from sdde.cluster.trace_log import Trace

        number = checks.integer("run", run, highest=len(self.loss) - 1)
        if not len(self.log):
            raise checks.fail(
                "run", run, "has no trace", why="The runs were simulated without one.",
                remedy="simulate(..., trace=True)",
            )  # fmt: skip
        rows = self.log[(self.log[:, 0] == number) & (self.log[:, 6] < 2.0)]
        return Trace({
            "worker": rows[:, 1].astype(np.int64), "read_time": rows[:, 2],
            "apply_time": rows[:, 3], "read_version": rows[:, 4].astype(np.int64),
            "apply_version": rows[:, 5].astype(np.int64), "discarded": rows[:, 6] == 1.0,
        })  # fmt: skip

    @property
    def sampling_weights(self) -> Floats:
        """Share of each worker in the applied gradients times the number of workers, per run.

        All are 1 if every worker counts alike; where data differ between workers, the optimum moves
        toward those above 1. Shape ``(runs, workers)``.
        """
        total = np.maximum(self.worker_counts.sum(axis=1, keepdims=True), 1)
        return self.worker_counts * self.workers / total

    def to_dataframe(self) -> Any:
        """Return the records as a pandas table with columns run, time, updates and loss.

        Returns
        -------
        pandas.DataFrame
            One row for each record until the run's end.

        Raises
        ------
        sdde.ArgumentError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise checks.fail(
                "to_dataframe", "pandas", "is not installed", remedy="pip install 'sdde[data]'"
            ) from None
        shape = self.loss.shape
        run = np.broadcast_to(np.arange(shape[0])[:, None], shape)
        time = np.broadcast_to(self.t, shape)
        keep = ~np.isnan(self.loss)
        columns = {"run": run, "time": time, "updates": np.broadcast_to(self.updates_at, shape)}
        return pd.DataFrame({name: v[keep] for name, v in (columns | {"loss": self.loss}).items()})

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss against time: each run thin, their mean thick.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        shown = min(len(self.loss), 20)
        for r in range(shown):
            t = self.t if self.t.ndim == 1 else self.t[r]
            ax.plot(t, self.loss[r], color="0.75", linewidth=0.7)
        times = self._times()
        ax.plot(times, self.mean_loss(times)[0], color="C0", linewidth=1.8, label="mean")
        ax.set_yscale("log")
        ax.set_xlabel("time")
        ax.set_ylabel("loss above the minimum")
        ax.legend()
        return ax


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan


def _first(below: NDArray[np.bool_], settle: bool) -> int | None:
    """Return the first index that is below, or from which on all are."""
    if not below.any():
        return None
    if not settle:
        return int(np.argmax(below))
    if not below[-1]:
        return None
    return len(below) - int(np.argmin(below[::-1])) if not below.all() else 0


def _crossing(times: Floats, mean: Floats, target: float, settle: bool) -> float:
    known = ~np.isnan(mean)
    t, value = times[known], mean[known]
    index = _first(value <= target, settle)
    if index is None:
        return math.nan
    if index == 0 or not math.isfinite(value[index - 1]) or value[index] <= 0:
        return float(t[index])
    above, below = math.log(value[index - 1]), math.log(value[index])
    share = (above - math.log(target)) / (above - below) if above > below else 1.0
    return float(t[index - 1] + share * (t[index] - t[index - 1]))
