"""A real asynchronous SGD run on dask workers, logged as a `Trace`.

A parameter server lives in one worker process (a dask actor), the workers' endless tasks in others;
the calling process only watches: it fetches the log a few times a second, so that an interruption
or the death of a process keeps what was logged. Wall-clock order decides the result, so a seed
fixes the mini-batches of each worker but not the run. What the run teaches is for the theory and
the simulator to say.
"""

import datetime
import os
import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.checkpoints import read_checkpoint
from sdde.cluster.live_watch import Status, Watch, connect, report_to
from sdde.cluster.method_names import name_of
from sdde.cluster.methods import AsyncSGD
from sdde.cluster.objective_kinds import KINDS, check_owners, measures_of
from sdde.cluster.parameter_server import Record
from sdde.cluster.sampler import excess_loss
from sdde.cluster.softmax import Softmax
from sdde.cluster.trace_log import Trace
from sdde.cluster.update_rule import check_method
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]
REACH = 10.0  # seconds to reach a scheduler
_KEYWORDS = {"--seed": "rng", "--target-loss": "until_loss"}  # of flags that are called otherwise
_COLUMNS = (
    "worker", "read_time", "start_time", "apply_time", "read_version", "apply_version",
    "gradient_norm", "discarded",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LiveRun:
    """What a live run left behind.

    Attributes
    ----------
    trace : Trace
        One row per applied gradient, times in seconds on the server's clock from its start.
    updates : array of int (records,)
        Updates made at each record; about 200 records, the first at 0.
    t : array (records,)
        Time of each record.
    loss : array (records,)
        Loss over all data above its minimum (the loss itself if the objective does not know its
        optimum).
    x : array (dim,)
        Parameters at the end.
    status : str
        ``"done"``, ``"reached"`` (the loss asked for), ``"interrupted"`` (Ctrl-C), ``"diverged"``
        or ``"lost"`` (the server died, or too few workers are left for the method).
    lost_workers : tuple of int
        Workers that died on the way.
    objective, method : object
        What was minimised, and how.
    workers, batch, seed : int
        Worker processes, samples per gradient, seed of the mini-batches.
    learning_rate : float
        Full learning rate.
    measures : dict of str to array (records,)
        What the objective knows beside the loss: accuracy, test loss, test accuracy.

    Examples
    --------
    >>> from sdde.cluster import live
    >>> run = live(workers=8, updates=6000)  # doctest: +SKIP
    >>> run.trace.staleness().mean(), run.loss[-1]  # doctest: +SKIP
    (6.995, 3.3e-05)
    """

    trace: Trace
    updates: NDArray[np.int64]
    t: Floats
    loss: Floats
    x: Floats
    status: Status
    lost_workers: tuple[int, ...]
    objective: Any
    workers: int
    batch: int
    seed: int
    learning_rate: float
    method: Any = field(default_factory=AsyncSGD)
    measures: dict[str, Floats] = field(default_factory=dict)

    def __repr__(self) -> str:
        lost = f", lost workers {list(self.lost_workers)}" if self.lost_workers else ""
        return (
            f"LiveRun: {self.status}, {self.updates[-1]} updates in {self.t[-1]:.4g} s "
            f"by {self.workers} workers{lost}\n"
            f"  excess loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}, "
            f"{self.method!r}, learning_rate {self.learning_rate:g}, batch {self.batch}\n"
            f"{self.trace!r}"
        )


def live(
    objective: Any = None,
    *,
    workers: int = 8,
    updates: int = 5000,
    learning_rate: float = 0.05,
    batch: int | None = None,
    scheduler: str | None = None,
    rng: Any = None,
    progress: bool | Callable[[float], None] = False,
    method: Any = None,
    until_loss: float | None = None,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
) -> LiveRun:
    """Train on real processes with asynchronous SGD or another method, and log every gradient.

    Each worker fetches the parameters, computes a mini-batch gradient and sends it to the server.
    In plain asynchronous SGD the server applies it at once, ``x <- x - learning_rate * gradient``,
    and answers with fresh parameters; workers never wait for each other, and nothing sleeps.

    Parameters
    ----------
    objective : object, optional
        What to minimise: any objective of this package, or anything with ``inputs`` (its samples),
        ``start``, ``gradient(x, rows)`` and ``loss(x)``, optionally ``optimum()`` and ``batch``. By
        default softmax regression on scikit-learn's digits with regularisation 0.01.
    workers : int
        Worker processes; one more holds the parameters.
    updates : int
        Updates of the parameters to make.
    learning_rate : float
        Factor of every gradient, > 0.
    batch : int, optional
        Samples in one gradient, drawn with replacement; the objective's own `batch`, 2048 for the
        default objective.
    scheduler : str, optional
        Address of a running dask scheduler, ``"tcp://host:8786"``, whose workers can import this
        package; by default a cluster on this machine is started and stopped again.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Fixes which samples each worker draws. The order of arrivals is real and differs from run to
        run.
    progress : bool or callable
        True shows a bar (if tqdm is installed); a function is called with the finished fraction.
    method : method, optional
        `AsyncSGD` by default. Also `KSync`, `KBatchSync`, `Synchronous`, `KAsync`, `KBatchAsync`,
        `StalenessThreshold`, `DelayCompensated`, `TailTau`, the other methods that weigh by
        staleness, and anything `Composed` of a group, a staleness limit, weights, compensation,
        clipping and momentum.
    until_loss : float, optional
        Stop once a record of the loss above the minimum is at or below this, > 0. Records are some
        updates apart and are looked at a few times a second, so the run goes a little further.
    checkpoint : str or Path, optional
        File ``.npz`` that is written every 5 seconds and at the end: the server's state and the
        log, as data only.
    resume : str or Path, optional
        Checkpoint of an earlier run to continue, with the same method, learning rate, workers and
        number of parameters. The log and the history go on where it ended.

    Returns
    -------
    LiveRun
        The trace, the history of the loss, the parameters.

    Raises
    ------
    sdde.ArgumentError
        If an argument is out of range, dask or scikit-learn is not installed, the method has rules
        that need the simulator, the checkpoint does not fit, or the scheduler cannot be reached or
        has too few workers.

    Warns
    -----
    sdde.SolutionWarning
        If worker processes died; the run goes on with the others, as long as there are enough for
        the groups of a method that waits.

    Notes
    -----
    Reads and applications are timed by the server, so no clocks need to agree; a gradient counts as
    applied, and the parameters as read, when the server has them in hand. ``start_time`` comes from
    the worker and is logged only if all processes are on one machine, where they share a clock. On
    a cluster started here the workers run at lower priority than the server, which would otherwise
    wait for a processor and apply gradients in bursts. A worker is not interrupted: where a method
    throws unfinished work away, as `KSync` does, the gradient is dropped when it arrives. In a
    script, call this under
    ``if __name__ == "__main__":``, because the processes import the script.

    Examples
    --------
    Two worker processes and a server on this machine, for some seconds:

    >>> from sdde.cluster import live
    >>> run = live(workers=2, updates=50, batch=64, rng=1)
    >>> run.status, run.trace.workers, run.trace.updates
    ('done', 2, 50)
    >>> bool(run.loss[-1] < run.loss[0])
    True
    """
    count = checks.integer("workers", workers, lowest=1)
    goal = checks.integer("updates", updates, lowest=1)
    rate = checks.positive("learning_rate", learning_rate, example=0.05)
    if batch is not None:
        batch = checks.integer("batch", batch, lowest=1)
    if not callable(progress):
        checks.flag("progress", progress)
    seed = seed_of(rng)
    default = objective is None
    if default:
        objective = Softmax.digits(regularisation=0.01, batch=batch or 2048)
    _require(objective)
    check_owners(objective, count)
    chosen = AsyncSGD() if method is None else method
    composed = check_method(chosen, count)
    target = None if until_loss is None else checks.positive("until_loss", until_loss, example=1e-3)
    size = batch or checks.integer("objective.batch", getattr(objective, "batch", 32), lowest=1)
    settings = {
        "method": repr(chosen), "learning_rate": repr(rate), "workers": str(count),
        "parameters": str(len(np.asarray(objective.start))),
    }  # fmt: skip
    if checkpoint is not None and not Path(checkpoint).parent.is_dir():
        raise checks.fail(
            "checkpoint", str(checkpoint), "lies in a folder that does not exist",
            remedy='For example checkpoint = "run.npz".',
        )  # fmt: skip
    earlier = None if resume is None else read_checkpoint(Path(resume), settings)
    with connect(scheduler, count, REACH) as client, report_to(progress) as report:
        watch = Watch(client, embedded=scheduler is None, workers=count)
        if checkpoint is not None:
            watch.checkpoint = Path(checkpoint), settings
        if target is not None:
            watch.reached = _Target(objective, target)
        watch.start(objective, composed, rate, goal, seed=seed, batch=size, earlier=earlier)
        watch.follow(lambda done: report(min(done / goal, 1.0)))
    flags: dict[str, object] = {
        "--workers": count, "--updates": goal, "--learning-rate": rate, "--batch": size,
        "--seed": seed,
    }  # fmt: skip
    name = name_of(chosen)
    if target is not None:
        flags["--target-loss"] = target
    if chosen != AsyncSGD():
        flags["--method"] = name
    if resume is not None:
        flags["--resume"] = shlex.quote(str(resume))
    words = {_KEYWORDS.get(flag, flag[2:].replace("-", "_")): flags[flag] for flag in flags}
    real = {"method": chosen, "resume": str(resume)}
    words |= {word: repr(real[word]) for word in real if word in words}
    call = ", ".join(f"{word}={value}" for word, value in words.items())
    header = {
        "command": "sdde live " + " ".join(f"{flag} {value}" for flag, value in flags.items())
        if default and name is not None
        else f"sdde.cluster.live({objective!r}, {call})",
        "objective": repr(objective),
        "method": repr(chosen),
        "regularisation": getattr(objective, "regularisation", "none"),
        "status": watch.status,
        "workers": count,
        "learning_rate": rate,
        "batch": size,
        "time": "seconds on the clock of the server",
        "recorded": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, dask {watch.version}",
    }
    if watch.lost:
        header["lost_workers"] = ", ".join(map(str, watch.lost))
    return _collected(
        watch, objective, {key: str(value) for key, value in header.items()},
        workers=count, batch=size, seed=seed, learning_rate=rate, method=chosen,
    )  # fmt: skip


class _Target:
    """Tells whether a record of the loss is at or below a target; looks at each record once."""

    def __init__(self, objective: Any, loss: float) -> None:
        self._objective, self._loss, self._seen = objective, loss, 0

    def __call__(self, records: list[Record]) -> bool:
        fresh, self._seen = records[self._seen :], len(records)
        with np.errstate(all="ignore"):
            return any(excess_loss(self._objective, x) <= self._loss for _, _, x in fresh)


def _collected(watch: Watch, objective: Any, header: dict[str, str], **settings: Any) -> LiveRun:
    columns = dict(zip(_COLUMNS, zip(*watch.rows, strict=True), strict=True))
    if not watch.one_clock:
        del columns["start_time"]
    if not any(columns["discarded"]):
        del columns["discarded"]
    points = [x for _, _, x in watch.records]
    with np.errstate(all="ignore"):  # a run that diverged has a loss of inf or nan
        loss = [excess_loss(objective, x) for x in points]
        measures = {
            name: np.array([_measure(objective, name)(x) for x in points])
            for name in measures_of(objective)
        }
    return LiveRun(
        trace=Trace({name: np.asarray(values) for name, values in columns.items()}, header),
        updates=np.array([update for update, _, _ in watch.records]),
        t=np.array([moment for _, moment, _ in watch.records]),
        loss=np.array(loss),
        x=watch.records[-1][2],
        status=watch.status,
        lost_workers=tuple(watch.lost),
        objective=objective,
        measures=measures,
        **settings,
    )


def _measure(objective: Any, name: str) -> Callable[[Floats], float]:
    own = getattr(objective, "measures", {})
    return own[name] if name in own else getattr(objective, name)


def _require(objective: Any) -> None:
    if isinstance(objective, KINDS):
        return
    for name in ("inputs", "start", "gradient", "loss"):
        if not hasattr(objective, name):
            raise checks.fail(
                "objective", objective, f"has no {name}",
                why="A live run needs an objective, or inputs (samples), start, gradient(x, rows) "
                "and loss(x).",
                remedy="For example objective = sdde.cluster.Softmax.digits(batch=256).",
            )  # fmt: skip
