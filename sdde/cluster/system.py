"""What the machines do: compute times, communication, the server's own time. Plain values.

The simulator runs a `System`, the theory reads it; nothing here computes.
"""

from dataclasses import dataclass, field
from typing import Any

from sdde import checks
from sdde.cluster.changing import Drifting, Outages, PlannedOutages, Replay, base_law
from sdde.equation.laws import Law, as_law, as_laws


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link that all workers share: at most `capacity` transfers at a time, others queue (FIFO).

    Parameters
    ----------
    law : float, scipy.stats law, or array of measurements
        Time of one transfer, in the unit of the compute times.
    capacity : int
        Transfers that the link carries at once.

    Raises
    ------
    sdde.ArgumentError
        If the law allows negative times or `capacity` is below 1.

    Examples
    --------
    >>> SharedLink(0.1).capacity
    1
    """

    law: Any
    capacity: int = 1

    def __post_init__(self) -> None:
        as_law(self.law, "law")
        checks.integer("capacity", self.capacity, lowest=1)


@dataclass(frozen=True, slots=True)
class System:
    """The machines of an asynchronous training run.

    Parameters
    ----------
    compute_time : law, or list of laws (one per worker)
        Time that a worker needs for one gradient. A law is a number (deterministic), a
        `scipy.stats` law or a NumPy array of measurements; a list or tuple holds one law per
        worker. A `Drifting` or a `Replay` may stand in place of a law.
    communication : law, list of laws, SharedLink, or None
        Time to send a gradient and fetch parameters, on a link of each worker's own (a law) or on
        one link for all (`SharedLink`). ``None``: no time.
    update_time : law or None
        Time that the server needs for one update. ``None``: no time.
    workers : int, optional
        Number of workers; implied by a list of laws.
    buffer : int, optional
        Finished gradients that can wait at a busy server while their workers already go on; a
        worker that finds no room waits for it. ``None``: a worker waits until its own gradient has
        been applied.
    outages : Outages, PlannedOutages or None
        When workers are down. The computation under way is lost, on a worker's own link too; what
        is on a shared link or at the server is not.

    Raises
    ------
    sdde.ArgumentError
        If a law is not one, allows negative times or has mean zero, or if counts disagree.

    Examples
    --------
    >>> import scipy.stats
    >>> System(scipy.stats.gamma(4, scale=0.25), workers=8).workers
    8
    >>> System([1.0, 1.0, 2.0]).workers
    3
    """

    compute_time: Any
    communication: Any = field(default=None, kw_only=True)
    update_time: Any = field(default=None, kw_only=True)
    workers: int | None = field(default=None, kw_only=True)
    buffer: int | None = field(default=None, kw_only=True)
    outages: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        listed = len(self.compute_time) if isinstance(self.compute_time, list | tuple) else None
        if self.workers is not None:
            checks.integer("workers", self.workers, lowest=1)
            if listed is not None and listed != self.workers:
                raise checks.fail(
                    "workers", self.workers, f"disagrees with the {listed} laws in compute_time",
                    remedy=f"For example workers = {listed}.",
                )  # fmt: skip
        elif listed is not None:
            object.__setattr__(self, "workers", checks.integer("workers", listed, lowest=1))
        for law in self.compute_laws(listed or 1):
            if law.mean <= 0:
                raise checks.fail(
                    "compute_time", law.source, "has mean zero",
                    why="Such workers would deliver infinitely many gradients at once.",
                    remedy="For example compute_time = 1.0.",
                )  # fmt: skip
        if self.communication is not None and not isinstance(self.communication, SharedLink):
            links = len(self.communication) if isinstance(self.communication, list | tuple) else 1
            as_laws(self.communication, listed or self.workers or links, "communication")
        if self.update_time is not None:
            as_law(self.update_time, "update_time")
        if self.buffer is not None:
            checks.integer("buffer", self.buffer, lowest=0)
        if not isinstance(self.outages, Outages | PlannedOutages | None):
            raise checks.fail(
                "outages", self.outages, "is neither Outages nor PlannedOutages",
                remedy="For example outages = Outages(100.0, 5.0).",
            )  # fmt: skip

    def compute_laws(self, workers: int) -> tuple[Law, ...]:
        """Return one law for all workers, or exactly `workers` laws: where speeds drift, those at
        factor 1, and of recorded times, the law that they have.
        """
        value = self.compute_time
        if isinstance(value, list | tuple):
            value = [base_law(item, f"compute_time[{i}]") for i, item in enumerate(value)]
        elif isinstance(value, Drifting | Replay):
            value = base_law(value, "compute_time")
        return as_laws(value, workers, "compute_time")

    def compute_sources(self, workers: int) -> tuple[Any, ...]:
        """Return for each worker what stands for its compute time."""
        value = self.compute_time
        return tuple(value)[:workers] if isinstance(value, list | tuple) else (value,) * workers

    def communication_laws(self, workers: int) -> tuple[Law, ...] | None:
        """Return the laws of the workers' own links, or None without links or on a shared link."""
        if self.communication is None or isinstance(self.communication, SharedLink):
            return None
        return as_laws(self.communication, workers, "communication")

    def worker_count(self, workers: int | None) -> int:
        """Return the number of workers, from the argument `workers` or from the system itself."""
        if workers is None:
            if self.workers is None:
                raise checks.fail(
                    "workers", None, "is not known", why="The system does not say.",
                    remedy="For example workers = 8.",
                )  # fmt: skip
            return self.workers
        count = checks.integer("workers", workers, lowest=1)
        if isinstance(self.compute_time, list | tuple) and count > len(self.compute_time):
            raise checks.fail(
                "workers", workers, f"exceeds the {len(self.compute_time)} laws in compute_time"
            )
        return count
