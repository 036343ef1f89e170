"""Theory against paths and runs: the same system answered several times.

One description of a system is answered in closed form, by paths of the SDDE with Poisson gradient
arrivals, by event-by-event runs, and on request by a real run. They share no code beyond the
description, so agreement is evidence for each, and where they differ one sees what is left out.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdde import checks
from sdde.cluster import AsyncSGD as PlainMethod
from sdde.cluster import LiveRun, Quadratic, System
from sdde.engine.seeds import seed_of

from .accounts import Case, Row, Verdict, plain, verdicts
from .async_sgd import AsyncSGD
from .condensing import condense
from .live_account import LiveAccount, account, train
from .plan_models import neighbours
from .plan_search import model_of
from .planning import Plan, plan
from .study import Study

MODES = 16  # of the spectrum that paths and runs are made of


@dataclass(frozen=True)
class Comparison:
    """Closed form, SDDE paths and discrete runs of one plan and its neighbours, side by side.

    Attributes
    ----------
    name : str
        What was compared.
    plan : Plan
    rows : tuple of Row
        One per quantity and number of workers.
    cases : tuple of Case
        Loss curves and staleness at each number of workers.
    trace : sdde.cluster.Trace or None
        The log of the real run behind the comparison.
    live : LiveAccount or None
        A real run made for this comparison: ``steps`` from the plan to the run, and ``words``
        that say where the differences come from.
    settings : dict
        Paths, runs, seed: what is needed to make it again.

    Examples
    --------
    >>> import sdde
    >>> objective = sdde.cluster.Quadratic(1.0, noise=0.5, start=1.0)
    >>> plan = sdde.theory.plan(
    ...     objective, sdde.cluster.System(1.0), target_loss=0.02, learning_rate=0.05, max_workers=8
    ... )
    >>> comparison = sdde.compare(plan, runs=50, paths=50, rng=1)
    >>> comparison.passed
    True
    """

    name: str
    plan: Plan
    rows: tuple[Row, ...]
    cases: tuple[Case, ...]
    trace: Any = None
    live: LiveAccount | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every row agrees within its tolerance."""
        return all(row.agrees for row in self.rows)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict for the update rate, the staleness law, the loss curve, the time to the
        target and the divergence limit, each with its tolerance and what that means.
        """
        return verdicts(self.rows)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The rows as plain records; numbers may be ``nan`` and ``inf``."""
        return [
            {
                "workers": row.workers,
                "quantity": row.quantity,
                "sdde_closed_form": row.sdde,
                "sdde_paths": None if row.paths is None else row.paths.value,
                "sdde_error": None if row.paths is None else row.paths.error,
                "closed_form": row.theory,
                "discrete_runs": row.runs.value,
                "runs_error": row.runs.error,
                "tolerance": row.tolerance.share,
                "agrees": row.agrees,
            }
            for row in self.rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but curves as plain numbers and text for JSON; None for infinity."""

        def bare(value: Any) -> Any:
            return plain(value) if isinstance(value, float) else value

        live = self.live and {
            "steps": [
                {
                    "name": step.name, "dropped": step.dropped,
                    "update_rate": plain(step.update_rate), "staleness": plain(step.staleness),
                    "time_to_target": plain(step.needed.value), "error": plain(step.needed.error),
                }
                for step in self.live.steps
            ],
            "words": list(self.live.words),
            "staleness_overlap": plain(self.live.overlap),
        }  # fmt: skip
        return {
            "name": self.name,
            "passed": self.passed,
            "verdicts": [
                {
                    "quantity": verdict.quantity, "agrees": verdict.agrees, "rows": verdict.rows,
                    "beyond_chance": plain(verdict.beyond_chance),
                    "allowed": list(verdict.allowed), "meaning": verdict.meaning,
                }
                for verdict in self.verdicts
            ],
            "table": [{key: bare(value) for key, value in row.items()} for row in self.table],
            "live": live,
            "plan": self.plan.to_dict(),
            "settings": self.settings,
        }  # fmt: skip

    def __str__(self) -> str:
        from .comparison_text import terminal

        return terminal(self)

    def figure(self) -> Any:
        """Draw loss against time, time against workers, and staleness; return the figure."""
        from sdde.plots import plot_comparison

        return plot_comparison(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page and return its path.

        Raises
        ------
        sdde.ArgumentError
            If the file cannot be written.
        """
        from .comparison_page import page
        from .plan_page import write

        return write(path, page(self))


def compare(
    subject: Plan | AsyncSGD,
    *,
    runs: int = 200,
    paths: int = 200,
    workers: Iterable[int] | None = None,
    rng: Any = None,
    start: Any = 1.0,
    target_loss: float | None = None,
    training: Any = None,
    trace: Any = None,
    live: bool | LiveRun = False,
    name: str = "",
    progress: bool = False,
    command: str = "",
) -> Comparison:
    """Hold a plan and its neighbours against SDDE paths, event-by-event runs and a real run.

    Parameters
    ----------
    subject : sdde.theory.Plan or sdde.theory.AsyncSGD
        From `sdde.theory.plan`: objective, system, method, learning rate and target loss. A model
        is planned for first, at its learning rate.
    runs : int
        Discrete runs at each number of workers, at least 2.
    paths : int
        SDDE paths at each number of workers, at least 2.
    workers : iterable of int, optional
        Numbers of workers; by default the planned number (that of the model) and two neighbours
        that were considered, about half and one and a half times as many.
    rng : None, int, SeedSequence or Generator
        Seed of paths, runs and mini-batches.
    start : float or array
        Distance from the minimum at the start, for a model; a plan knows it.
    target_loss : float, optional
        Excess loss to reach, for a model; by default 2 % of the first.
    training : objective, optional
        The real objective, whose runs are drawn beside the others.
    trace : sdde.cluster.Trace, optional
        The log of a real run, described in the report.
    live : bool or sdde.cluster.LiveRun
        True trains `training` with real processes on this machine, at the smallest of the numbers
        of workers or that of the trace, for about twice the predicted time, and takes its
        difference from the plan apart. A run made earlier is taken as it is.
    name : str
        What is compared, for titles.
    progress : bool
        Show a progress bar.
    command : str
        The command to print for making the report again.

    Returns
    -------
    Comparison
        `verdicts`, `table`, `figure()`, `to_html(path)`, `passed`, `live`.

    Raises
    ------
    sdde.ArgumentError
        If the plan found no number of workers that reaches its target, a count is too small, or a
        live run has nothing to train.

    Notes
    -----
    Has no formula of its own: the plan's models predict, `sdde.solve` and the cluster simulate.
    Spectra of more than 16 eigenvalues are condensed (`sdde.theory.condense`) before anything runs.
    Discrete runs start stationary (see `sdde.cluster.simulate`), as the theory does, unless the
    method waits. Where the learning rate was free, each number of workers has its own.

    A row agrees if the simulated number lies within 4.5 standard errors (chance) plus a stated
    share (what the model may be wrong by) of the prediction: 2 % for the update rate and for mean
    and law of the staleness, which theory gives exactly for equal independent workers, 10 % for
    other laws of the staleness and for losses at single times, 3 % for the median over a loss
    curve, 8 % for times to the target, 5 % for the learning rate at which training diverges. SDDE
    paths may differ by 3 % from the closed form of the SDDE, as they have a time step.

    Examples
    --------
    >>> import sdde
    >>> objective = sdde.cluster.Quadratic(1.0, noise=0.5, start=1.0)
    >>> plan = sdde.theory.plan(
    ...     objective, sdde.cluster.System(1.0), target_loss=0.02, learning_rate=0.05, max_workers=8
    ... )
    >>> comparison = sdde.compare(plan, runs=50, paths=50, rng=1)
    >>> sorted({row["workers"] for row in comparison.table})
    [4, 8]
    >>> [verdict.quantity for verdict in comparison.verdicts if verdict.agrees]
    ['update rate', 'staleness law', 'loss curve', 'time to target', 'divergence limit']
    """
    checks.integer("runs", runs, lowest=2)
    checks.integer("paths", paths, lowest=2)
    middle = arrivals = None
    if isinstance(subject, AsyncSGD):
        middle, arrivals = subject.workers, subject.arrivals
        subject = _planned(subject, start, target_loss)
    elif not isinstance(subject, Plan):
        raise checks.fail(
            "subject", subject, "is not a plan",
            remedy="For example subject = sdde.theory.plan(objective, system, target_loss=0.01).",
        )  # fmt: skip
    if live is not False and training is None and not isinstance(live, LiveRun):
        raise checks.fail(
            "live", live, "has nothing to train",
            why="A described system holds constants of an objective, not the objective.",
            remedy="Give training, for example sdde.cluster.Softmax.digits(), or a trace.",
        )  # fmt: skip
    counts = _counts(subject, workers, middle)
    seed = seed_of(rng)
    objective = condense(subject.objective, MODES)
    rows: list[Row] = []
    cases: list[Case] = []
    with _bar(4 * len(counts) + (live is True), shown=progress) as advance:
        for count in counts:
            study = Study(
                objective, subject.system, subject.method, workers=count,
                learning_rate=rate_at(subject, count), target=subject.target_loss,
                arrivals=arrivals, runs=runs, paths=paths, seed=seed,
            )  # fmt: skip
            for part in ("discrete runs", "SDDE paths", "divergence limit"):
                advance(f"{count} workers, {part}")
                study.answer(part)
            rows += study.rows()
            advance(f"{count} workers, real objective" if training else f"{count} workers")
            cases.append(study.case(training))
        made = None
        if live is not False:
            advance("real run")
            made = _live(live, subject, objective, counts, trace, training, seed)
    settings = {"runs": runs, "paths": paths, "seed": seed, "command": command}
    return Comparison(name, subject, tuple(rows), tuple(cases), trace, made, settings)


def _planned(model: AsyncSGD, start: Any, target_loss: float | None) -> Plan:
    """Return the plan for the system of a model, at its learning rate."""
    objective = Quadratic(model.eigenvalues, noise=model.gradient_noise, start=start)
    target = 0.02 * objective.initial_loss if target_loss is None else target_loss
    return plan(
        objective,
        System(model.compute_time, workers=model.workers, communication=model.communication),
        target_loss=target,
        learning_rate=model.learning_rate,
        max_workers=2 * model.workers,
        methods=None if model.method is None else [model.method],
    )


def _counts(subject: Plan, workers: Iterable[int] | None, middle: int | None) -> list[int]:
    if workers is not None:
        counts = sorted({checks.integer("workers", count, lowest=1) for count in workers})
        if not counts:
            raise checks.fail(
                "workers", workers, "is empty", remedy="For example workers = [4, 8]."
            )
        return counts
    middle = subject.workers if middle is None else middle
    if middle is None:
        raise checks.fail(
            "subject", "a plan without workers", "reaches its target with no number of workers",
            remedy="Raise target_loss, or lower learning_rate; plan.explain() says which.",
        )  # fmt: skip
    return sorted({middle, *neighbours(subject, middle)})


def rate_at(subject: Plan, workers: int) -> float:
    """Return the plan's learning rate at a number of workers; interpolated between those tried."""
    rates = {row.workers: row.learning_rate for row in subject.table}
    if workers in rates:
        return rates[workers]
    known = np.array(sorted(rates))
    values = np.log([rates[int(count)] for count in known])
    return float(np.exp(np.interp(math.log(workers), np.log(known), values)))


def _live(
    live: Any, subject: Plan, objective: Quadratic, counts: list[int], trace: Any, training: Any,
    seed: int,
) -> LiveAccount:  # fmt: skip
    """Return the account of a live run, which is made if it is not given."""
    method = live.method if isinstance(live, LiveRun) else subject.method
    if method != PlainMethod():
        raise checks.fail(
            "live", method, "is a method whose difference from the plan is not taken apart",
            remedy="Compare a plan for sdde.cluster.AsyncSGD().",
        )  # fmt: skip
    if isinstance(live, LiveRun):
        workers, rate = live.workers, live.learning_rate
    else:
        traced = trace.workers if trace is not None and "worker" in trace else None
        workers = traced if traced in counts else min(counts)
        rate = rate_at(subject, workers)
    planned = model_of(objective, subject.system, workers=workers, learning_rate=rate)
    made = live
    if not isinstance(live, LiveRun):
        made = train(
            training, planned, target=subject.target_loss, start=objective.start,
            rng=np.random.SeedSequence(seed, spawn_key=(0, 1)),
        )  # fmt: skip
    return account(
        made, planned, objective, target=subject.target_loss,
        seed=np.random.SeedSequence(seed, spawn_key=(0, 2)),
    )  # fmt: skip


class _bar:
    """A progress bar over named steps, if asked for and tqdm is installed."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self.bar: Any = None
        if shown:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, leave=False)
            self.begun = False

    def __enter__(self) -> Any:
        return self._advance

    def _advance(self, label: str) -> None:
        if self.bar is not None:
            self.bar.update(1 if self.begun else 0)
            self.begun = True
            self.bar.set_description(label)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
