"""Traces: what a real asynchronous run did, one row per gradient that reached the server.

A training loop logs when each worker read the parameters, when its gradient was applied, and which
versions of the parameters those were; from that come the law of the cycle time, the staleness and
the rate of updates that the simulator and the theory need. Every quantity says which columns it
needs, so a log that holds only durations or only staleness is good for what it can tell. Files are
read and written in `trace_reading` and `trace_writing`, the verdicts are in `trace_checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.system import System
from sdde.cluster.trace_columns import clean_columns, clean_header
from sdde.cluster.trace_order import distinct, grouped
from sdde.equation.laws import Law, as_law

if TYPE_CHECKING:
    from sdde.cluster.trace_checks import TraceCheck

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trace:
    r"""The log of an asynchronous training run: one row per gradient that reached the server.

    Rows are kept in the order of `apply_time`. All times are on one clock, in one unit (seconds in
    the logs that this package writes). A version is the number of updates made so far:
    `read_version` is that of the parameters a worker fetched, `apply_version` that of the
    parameters after its gradient was applied. A gradient that nobody overtook has staleness 0:

    .. math:: \text{staleness} = \text{apply version} - \text{read version} - 1.

    A discarded gradient makes no new version, so its `apply_version` is the server's version when
    it arrived.

    Parameters
    ----------
    data : mapping of str to 1-D array
        Columns of equal length. The full set is ``worker`` (whole numbers or names), ``read_time``,
        ``apply_time``, ``read_version``, ``apply_version``; optional are ``start_time`` (when the
        worker began to compute), ``loss``, ``gradient_norm`` and ``discarded``. Instead of times a
        log may hold ``compute_time`` (durations), instead of versions ``staleness``. Other columns
        are left out.
    header : mapping of str to str, optional
        How the log was made, kept in the header of its file.
    worker_names : tuple of str, optional
        Names of the workers if the column ``worker`` holds positions in this tuple; taken from that
        column if it holds names.

    Attributes
    ----------
    data : dict of str to array
        The columns, read-only.
    header : dict of str to str
        How the log was made.

    Raises
    ------
    sdde.ArgumentError
        If columns differ in length, hold no rows or no known column, or contradict each other.

    See Also
    --------
    sdde.cluster.TraceWriter : writes such a log from a training loop.
    sdde.cluster.packaged_trace : a recorded run with eight workers.

    Examples
    --------
    >>> from sdde.cluster import Trace
    >>> trace = Trace({"worker": [0, 1, 0, 1], "read_time": [0.0, 0.0, 1.0, 1.5],
    ...                "apply_time": [1.0, 1.5, 2.0, 3.0], "read_version": [0, 0, 1, 2],
    ...                "apply_version": [1, 2, 3, 4]})
    >>> trace.workers, trace.updates
    (2, 4)
    >>> trace.staleness()
    array([0, 1, 1, 1])
    >>> trace.cycle_time(worker=0)
    array([1.])
    """

    data: Mapping[str, Any]
    header: Mapping[str, str] = field(default_factory=dict)
    worker_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.data, Mapping):
            raise checks.fail(
                "data", self.data, "is not a mapping of column names to arrays",
                remedy='For example data = {"worker": [0, 1], "compute_time": [0.9, 1.1]}.',
            )  # fmt: skip
        columns, names = clean_columns(self.data, self.worker_names)
        header = clean_header(self.header)
        object.__setattr__(self, "data", columns)
        object.__setattr__(self, "header", header)
        object.__setattr__(self, "worker_names", names)

    # -- files ---------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, *, names: Mapping[str, str] | None = None) -> Trace:
        """Read a log from a file.

        Parameters
        ----------
        path : str or Path
            CSV (``.csv``), JSON Lines (``.jsonl``) or Parquet (``.parquet``); the first two also
            compressed, ``.gz`` or ``.xz``. A CSV file starts with comment lines ``# key: value``
            (optional) and the names of the columns. It is read in pieces: ten million rows need
            less than 2 GB.
        names : mapping of str to str, optional
            Columns that the file calls something else: ``{"pulled_at": "read_time"}``.

        Returns
        -------
        Trace

        Raises
        ------
        sdde.ArgumentError
            If the file is missing, of another type, or does not hold a trace.
        """
        from sdde.cluster.trace_reading import read_trace

        data, header, workers = read_trace(path, names=names)
        return cls(data, header=header, worker_names=workers)

    def write(self, path: str | Path) -> None:
        """Write the log to a file, in the format that its suffix names (see `read`).

        Parameters
        ----------
        path : str or Path
            ``.csv``, ``.jsonl`` (also with ``.gz`` or ``.xz``) or ``.parquet``.

        Raises
        ------
        sdde.ArgumentError
            If the suffix is not known, or Parquet is asked for where pandas and pyarrow are
            missing.
        """
        from sdde.cluster.trace_writing import write_trace

        write_trace(self, path)

    # -- columns -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))

    def __contains__(self, column: object) -> bool:
        return column in self.data

    def __getitem__(self, column: str) -> NDArray[Any]:
        self._need(f"trace[{column!r}]", column)
        return self.data[column]

    def _need(self, quantity: str, *columns: str) -> None:
        missing = [name for name in columns if name not in self.data]
        if missing:
            raise checks.fail(
                "trace", tuple(self.data), f"cannot tell {quantity}",
                why=f"That needs the column {' and '.join(missing)}, which this log lacks.",
                remedy="TraceWriter writes all columns; Trace.read(path, names=...) renames.",
            )  # fmt: skip

    def _code(self, worker: int | str) -> int:
        known = np.unique(self["worker"])
        if not isinstance(worker, str):
            worker = checks.integer("worker", worker, lowest=-checks.HIGHEST)
        if isinstance(worker, str) and worker in self.worker_names:
            worker = self.worker_names.index(worker)
        if isinstance(worker, str) or worker not in known:
            shown = self.worker_names or tuple(known[:8].tolist())
            raise checks.fail("worker", worker, "is not in the trace", remedy=f"Known: {shown}.")
        return int(worker)

    def _rows(self, worker: int | str | None) -> Any:
        return slice(None) if worker is None else self["worker"] == self._code(worker)

    # -- what the log tells --------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Number of workers that delivered at least one gradient."""
        self._need("the number of workers", "worker")
        return len(np.unique(self.data["worker"]))

    @property
    def applied(self) -> NDArray[np.bool_]:
        """Which rows were applied: all but the discarded ones."""
        return ~self.data["discarded"] if "discarded" in self else np.ones(len(self), dtype=bool)

    @property
    def updates(self) -> int:
        """Number of updates; gradients that share an `apply_version` made one update together."""
        if "apply_version" in self:
            return distinct(self.data["apply_version"][self.applied])
        return int(self.applied.sum())

    def compute_time(self, worker: int | str | None = None) -> Floats:
        """Return how long each gradient took, from the start of its computation to its application.

        That is ``apply_time - start_time`` where the log has `start_time` (sending the gradient is
        included, fetching the parameters is not), otherwise ``apply_time - read_time``; or the
        column `compute_time` of a log of durations.

        Parameters
        ----------
        worker : int or str, optional
            One worker; all by default.

        Returns
        -------
        array
            One duration per row.

        Raises
        ------
        sdde.ArgumentError
            If the log holds no durations or does not know the worker.
        """
        rows = self._rows(worker)
        if "compute_time" in self:
            return self.data["compute_time"][rows]
        begin = "start_time" if "start_time" in self else "read_time"
        self._need("compute times", begin, "apply_time")
        return self.data["apply_time"][rows] - self.data[begin][rows]

    def delay(self, worker: int | str | None = None) -> Floats:
        """Return the time from reading the parameters to applying the gradient, one value per row.

        Parameters
        ----------
        worker : int or str, optional
            One worker; all by default.

        Returns
        -------
        array
            One delay per row.
        """
        self._need("delays", "read_time", "apply_time")
        rows = self._rows(worker)
        return self.data["apply_time"][rows] - self.data["read_time"][rows]

    def cycle_time(self, worker: int | str | None = None) -> Floats:
        """Return the lengths of whole cycles: from one read of a worker to its next.

        Everything is in it: fetching, computing, sending, queueing, being applied. Without
        `read_time` a cycle runs from one application to the next. A log without workers or of
        durations only is taken to hold one cycle in each row (`delay`, `compute_time`).

        Parameters
        ----------
        worker : int or str, optional
            One worker; all by default, worker after worker.

        Returns
        -------
        array
            One length per finished cycle, in the order of time within each worker.

        Raises
        ------
        sdde.ArgumentError
            If the log has neither times nor durations, or no worker has two rows.
        """
        if "apply_time" not in self and "read_time" not in self:
            return self.compute_time(worker)
        if "worker" not in self:
            return self.delay(worker)
        lengths = (
            self.cycles()[1] if worker is None else self.cycles_by_worker()[self._code(worker)]
        )
        if not lengths.size:
            raise checks.fail(
                "trace", f"{len(self)} rows", "is too short",
                why="A cycle is seen once a worker has two rows, and none has.",
            )  # fmt: skip
        return lengths

    def cycles(self) -> tuple[Floats, Floats]:
        """Return when each finished cycle began and how long it took, worker after worker.

        Returns
        -------
        begin, length : array
            In the order of time within each worker.
        """
        order, clock, same = self._by_worker()
        length = np.diff(clock[order])
        return clock[order][:-1][same], length[same]

    def cycles_by_worker(self) -> dict[int, Floats]:
        """Return the lengths of the finished cycles of each worker.

        Returns
        -------
        dict of int to array
            By the number of the worker, in the order of time; empty arrays for workers with one
            row. In a log of durations every row is a cycle.
        """
        if "apply_time" not in self and "read_time" not in self:
            codes = np.unique(self["worker"]).tolist()
            return {code: self.compute_time(code) for code in codes}
        order, clock, same = self._by_worker()
        worker = self.data["worker"][order]
        parts = np.split(np.diff(clock[order]), np.flatnonzero(~same))
        parts = [part if i == 0 else part[1:] for i, part in enumerate(parts)]
        return dict(zip(np.unique(worker).tolist(), parts, strict=True))

    def _by_worker(self) -> tuple[Integers, Floats, NDArray[np.bool_]]:
        """Return rows by worker and time, the clock of cycles, and where a worker goes on."""
        name = "read_time" if "read_time" in self else "apply_time"
        self._need("cycles", "worker", name)
        clock = self.data[name]
        return grouped(self.data["worker"], clock)

    def staleness(self, worker: int | str | None = None) -> Integers:
        """Return how many updates of others each applied gradient missed: its age in updates.

        Parameters
        ----------
        worker : int or str, optional
            One worker; all by default.

        Returns
        -------
        array of int
            0 for a gradient that nobody overtook; one value per applied gradient.

        Raises
        ------
        sdde.ArgumentError
            If the log has neither versions nor staleness.
        """
        rows = np.zeros(len(self), dtype=bool)
        rows[self._rows(worker)] = True
        rows &= self.applied
        if "staleness" in self:
            return self.data["staleness"][rows]
        self._need("staleness", "read_version", "apply_version")
        return self.data["apply_version"][rows] - self.data["read_version"][rows] - 1

    def update_rate(self) -> float:
        """Return updates per unit of time, between the first and the last one.

        Returns
        -------
        float
            ``(updates - 1) / (last - first apply_time)``.

        Raises
        ------
        sdde.ArgumentError
            If there are fewer than two updates, or all at one time.
        """
        self._need("the rate of updates", "apply_time")
        times = self.data["apply_time"][self.applied]
        if self.updates < 2 or times[-1] <= times[0]:
            raise checks.fail("trace", f"{len(self)} rows", "is too short to tell a rate")
        return (self.updates - 1) / float(times[-1] - times[0])

    def law(self, worker: int | str | None = None) -> Law:
        """Return the law of the cycle time, every measured cycle equally likely.

        Parameters
        ----------
        worker : int or str, optional
            One worker; all by default.

        Returns
        -------
        Law
            A measured law: mean, variance, quantiles, Laplace transform.
        """
        return as_law(self.cycle_time(worker), "cycle_time")

    def system(self, *, alike: bool = True, replay: bool = False) -> System:
        """Return the machines of this run, for the simulator and the theory.

        Parameters
        ----------
        alike : bool
            True: one law of the cycle time for all workers. False: one law for each.
        replay : bool
            Take the recorded cycles of each worker in their order instead of drawing from their
            law: the same arrivals, on another objective or by another method. A worker stops after
            its last one.

        Returns
        -------
        System
            Its `compute_time` is the whole measured cycle, communication and queueing included, so
            both the rate of updates and the delays of this number of workers come out as measured.
        """
        checks.flag("alike", alike)
        if checks.flag("replay", replay):
            from sdde.cluster.trace_replay import replay_of

            self._need("whose cycles to replay", "worker")
            return replay_of(self)
        if alike or "worker" not in self:
            return System(self.cycle_time(), workers=self.workers if "worker" in self else None)
        return System([self.cycle_time(int(code)) for code in np.unique(self.data["worker"])])

    def resample(self, rng: Any = None) -> Trace:
        """Return another log that the same machines could have left: a block bootstrap.

        Runs of successive cycles are drawn with replacement and laid end to end, the same parts of
        the log for all workers, since slow phases are often common. The spread of a quantity over
        many such logs is its standard error.

        Parameters
        ----------
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator

        Returns
        -------
        Trace
            As many rows of each worker. Versions are counted anew as gradients arrive (in groups
            of the mean size where several made one update); loss and gradient norm are left out. A
            log of durations or of staleness is resampled by rows.

        Raises
        ------
        sdde.ArgumentError
            If the log holds neither cycles of workers nor durations nor staleness.

        Notes
        -----
        The length of a run follows [1]_ (circular blocks), from the autocorrelation of the workers'
        own cycles or of what they have in common, whichever asks for more; the header says it.

        References
        ----------
        .. [1] D. N. Politis, H. White, "Automatic block-length selection for the dependent
               bootstrap", Econometric Reviews 23 (2004) 53-70, with the correction by A. Patton,
               D. N. Politis and H. White, ibid. 28 (2009) 372-375.

        Examples
        --------
        >>> trace = sdde.cluster.packaged_trace()
        >>> means = [trace.resample(seed).cycle_time().mean() for seed in range(20)]
        >>> bool(np.std(means) < 0.05 * np.mean(means))
        True
        """
        from sdde.cluster.trace_resampling import resampled

        data, header = resampled(self, rng)
        return Trace(data, header=header, worker_names=self.worker_names)

    def check(self) -> TraceCheck:
        """Judge whether the run is what the theory assumes: Poisson-like, alike, steady.

        Returns
        -------
        TraceCheck
            A finding for each question, with a number and a verdict; printing it gives a table.
        """
        from sdde.cluster.trace_checks import check_trace

        return check_trace(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw arrivals, staleness, compute times and workers.

        Parameters
        ----------
        axes : sequence of four matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        array of matplotlib Axes
        """
        from sdde.plots import plot_trace

        return plot_trace(self, axes)

    def __repr__(self) -> str:
        from sdde.cluster.trace_text import describe

        return describe(self)
