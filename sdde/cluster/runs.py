"""`Runs`: what simulated training gave: loss against time and updates, staleness, counts, endings.

A plain value with questions: the mean loss at any time, the time to reach a loss with an interval,
the rate of updates, tables and figures. It knows how its runs were made only as a record, and never
runs anything.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.run_statistics import (
    Curve,
    Staleness,
    TimeTo,
    first_index,
    held,
    summary,
    time_of_mean,
    time_of_median,
)

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_RECORDS = 2**55  # of one run; memory is looked at next
STATUS = np.array(["done", "reached", "diverged", "stalled"])  # by the event loop's codes
_AXES = ("time", "updates", "gradients")
_RESAMPLING = 400  # tells the stream of the bootstrap from others of the same seed


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
    gradients_at : array (runs, records)
        Gradients that had reached the server by the records, dropped ones included; ``nan`` after a
        run has ended.
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
    gradients_at: Floats = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    down_time: Floats = field(default_factory=lambda: np.zeros((1, 0)), repr=False)

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
        return self._values("accuracy")

    @property
    def test_error(self) -> Floats:
        """Share of the test rows classified wrongly at the records, (runs, records)."""
        return self._values("test_error")

    def _values(self, name: str) -> Floats:
        """Return a recorded quantity, (runs, records)."""
        if name == "loss":
            return self.loss
        source = "test_accuracy" if name == "test_error" else name
        if source not in self.measures:
            known = ", ".join(["loss", *self.measures])
            raise checks.fail(
                "runs", name, "was not recorded", why=f"Recorded: {known}.",
                remedy="Objectives that classify record accuracy, and test results if they hold "
                "test rows: Network.digits(test=0.25).",
            )  # fmt: skip
        values = self.measures[source]
        return 1.0 - values if name == "test_error" else values

    def _places(self, against: str) -> tuple[Floats, Floats]:
        """Return where the records lie on an axis, (runs, records), and where each run ended."""
        checks.choice("against", against, _AXES)
        if against == "gradients":
            total = self.worker_counts.sum(axis=1) + self.discarded.sum(axis=1)
            return self.gradients_at, total.astype(float)
        raw, end = (self.t, self.end_time) if against == "time" else (self.updates_at, self.updates)
        return np.broadcast_to(raw, self.loss.shape).astype(float), end.astype(float)

    def records(self, of: str = "loss", against: str = "time") -> tuple[Floats, Floats]:
        """Return where the records lie on an axis and a quantity there, both (runs, records).

        Parameters
        ----------
        of, against : str
            As for `curve`.

        Returns
        -------
        places, values : arrays (runs, records)
            ``nan`` after a run has ended.
        """
        values = self._values(of)
        return np.where(np.isnan(values), np.nan, self._places(against)[0]), values

    def _at(self, of: str, against: str, asked: Floats) -> Floats:
        """Return a quantity of each run at places of an axis, as last recorded by then."""
        values, (places, ends) = self._values(of), self._places(against)
        lost = math.inf if of == "loss" else math.nan
        after = np.where(self.status == "diverged", lost, math.nan)
        rows = [held(places[r], values[r], asked, ends[r], after[r]) for r in range(len(self.loss))]
        return np.array(rows)

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
        asked = checks.several("times", times)
        if (asked < 0).any():
            raise checks.fail("times", times, "holds a negative time")
        return self._at("loss", "time", asked)

    def _grid(self, against: str) -> Floats:
        """Return the places of the records if all runs share them, or as many equally spaced ones
        until the first run ends.
        """
        if against != "gradients":
            raw = self.t if against == "time" else self.updates_at
            if raw.ndim == 1:
                return raw.astype(float)
        ends = self._places(against)[1]
        going = self.status != "diverged"
        last = ends[going].min() if going.any() else ends.max()
        return np.linspace(0.0, float(last), self.loss.shape[1])

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
        asked = self._grid("time") if times is None else checks.several("times", times)
        curve = summary(asked, self.loss_at(asked))
        return curve.mean, curve.error

    def curve(
        self, of: str = "loss", against: str = "time", *, at: ArrayLike | None = None
    ) -> Curve:
        """Return a recorded quantity over the runs: mean, standard error and quantiles.

        Parameters
        ----------
        of : str
            ``"loss"``, or a measure of the objective: ``"accuracy"``, ``"test_error"``,
            ``"test_loss"``, ``"test_accuracy"``.
        against : {"time", "updates", "gradients"}
            Axis; gradients count when they reach the server, dropped ones included.
        at : array (points,), optional
            Places on that axis; those of the records if the runs share them, else equally spaced
            ones until the first run ends.

        Returns
        -------
        Curve
            ``at``, ``mean``, ``error``, ``low``, ``median``, ``high``, each ``(points,)``.

        Examples
        --------
        >>> from sdde import cluster
        >>> runs = cluster.simulate(
        ...     cluster.Quadratic(1.0), cluster.KBatchAsync(2), cluster.System(1.0, workers=2),
        ...     learning_rate=0.5, updates=2, records=3,
        ... )
        >>> runs.curve(against="gradients").at.tolist()  # two gradients make an update
        [0.0, 2.0, 4.0]
        """
        checks.choice("against", against, _AXES)
        asked = self._grid(against) if at is None else checks.several("at", at)
        if (asked < 0).any():
            raise checks.fail("at", at, "holds a negative value")
        return summary(asked, self._at(of, against, asked))

    def concurrency(self) -> tuple[float, float]:
        """Return the mean number of workers that are busy with a gradient, computing or sending,
        and the standard error over the runs.
        """
        span = np.where(self.end_time > 0, self.end_time, np.nan)
        away = self.idle_time.sum(axis=1) + self.down_time.sum(axis=1)
        busy = self.workers - away / span
        error = busy.std(ddof=1) / math.sqrt(len(busy)) if len(busy) > 1 else math.nan
        return float(busy.mean()), float(error)

    def update_rate(self) -> tuple[float, float]:
        """Return applied gradients per unit of time, and the standard error over the runs."""
        rates = self.updates / np.where(self.end_time > 0, self.end_time, np.nan)
        error = rates.std(ddof=1) / math.sqrt(len(rates)) if len(rates) > 1 else math.nan
        return float(rates.mean()), float(error)

    def time_to(
        self,
        loss: float,
        statistic: str = "mean",
        settle: bool = True,
        *,
        of: str = "loss",
        against: str = "time",
    ) -> TimeTo:
        """Return when the loss is at or below a number, with a 95 % interval.

        Parameters
        ----------
        loss : float
            Loss above the minimum, > 0; or the target of another quantity.
        statistic : {"mean", "median"}
            The time of the mean loss over the runs, or the median over the runs of their own times.
        settle : bool
            From then on until the end of the records, or the first time.
        of : str
            Quantity, as for `curve`; an accuracy is reached from below.
        against : {"time", "updates", "gradients"}
            What is counted until then.

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
        checks.choice("against", against, _AXES)
        rising = of.endswith("accuracy")
        if rising:
            if target >= 1.0:
                raise checks.fail("loss", loss, "is no accuracy below 1", remedy="For example 0.9.")
            target = 1.0 - target
        rng = np.random.default_rng([self.seed, _RESAMPLING])
        values, (places, ends) = self._values(of), self._places(against)
        if statistic == "median":
            own = [
                self._own_time(r, places[r], 1.0 - values[r] if rising else values[r],
                               target, settle, ends[r], of)
                for r in range(len(values))
            ]  # fmt: skip
            return time_of_median(np.array(own), rng)
        grid = self._grid(against)
        means = self._at(of, against, grid)
        return time_of_mean(grid, 1.0 - means if rising else means, target, settle, rng)

    def _own_time(
        self, run: int, places: Floats, values: Floats, target: float, settle: bool, end: float,
        of: str,
    ) -> float:  # fmt: skip
        """Return the time of one run by its own records, inf if never."""
        below = values <= target
        stopped = of == "loss" and self.status[run] == "reached"
        if stopped and (settle or not below.any()):
            return end
        known = np.isfinite(places) & ~np.isnan(values)
        index = first_index(below[known], settle)
        return math.inf if index is None else float(places[known][index])

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
        """Return the records as a pandas table: run, time, updates, gradients, loss and measures.

        Returns
        -------
        pandas.DataFrame
            One row for each record until the run's end.

        Raises
        ------
        sdde.ArgumentError
            If pandas is not installed.
        """
        from sdde.cluster.run_tables import dataframe_of

        return dataframe_of(self)

    def to_xarray(self) -> Any:
        """Return the runs as an xarray dataset with axes run, record, worker and staleness.

        Returns
        -------
        xarray.Dataset
            Records (`time`, `updates`, `gradients`, `loss` and the measures), endings, counts of
            each worker, the histogram of staleness; how the runs were made in the attributes.

        Raises
        ------
        sdde.ArgumentError
            If xarray is not installed.
        """
        from sdde.cluster.run_tables import dataset_of

        return dataset_of(self)

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "loss",
        against: str = "time",
        run: int = 0,
        until: float | None = None,
    ) -> Any:
        """Draw the runs.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if not given.
        kind : str
            ``"loss"`` or another quantity of `curve`: the mean, and each run, or of 20 runs and
            more the median and the band of the middle 90 %. ``"staleness"``: its histogram and
            mean. ``"workers"``: what each worker does over time, from runs simulated with
            ``trace=True``.
        against : {"time", "updates", "gradients"}
            Axis of a quantity.
        run : int
            Whose workers are drawn.
        until : float, optional
            Until when workers are drawn; by default until about 30 gradients per worker.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from sdde.run_figures import plot_curve, plot_run_staleness, plot_workers

        if kind == "staleness":
            return plot_run_staleness(self, ax)
        if kind == "workers":
            return plot_workers(self, ax, run=run, until=until)
        return plot_curve(self, ax, of=kind, against=against)
