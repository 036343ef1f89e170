"""Theory against paths and runs: the only file here that imports the simulator.

One description of a system is answered three times: in closed form, by paths of the SDDE with
Poisson gradient arrivals, and by event-by-event runs. The three share no code beyond the
description, so agreement is evidence for each, and where they differ one sees what the SDDE leaves
out.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks, cluster
from sdde.errors import ArgumentError

from .accounts import EXACT, MODEL, Account, Case, Estimate, Row, averaged, crossing
from .async_sgd import AsyncSGD
from .condensing import condense
from .plan_search import model_of
from .planning import Plan, plan

Floats = NDArray[np.float64]

MODES = 16  # of the spectrum that paths and runs are made of


@dataclass(frozen=True)
class Comparison:
    """Closed form, SDDE paths and discrete runs of one plan, side by side.

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
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every row agrees within its tolerance."""
        return all(row.agrees for row in self.rows)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The rows as plain records."""
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
                "agrees": row.agrees,
            }
            for row in self.rows
        ]

    def __str__(self) -> str:
        from .comparison_page import terminal

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

        target = Path(path)
        try:
            target.write_text(page(self), encoding="utf-8")
        except OSError as error:
            raise ArgumentError(f"{path} cannot be written: {error}.") from None
        return target.resolve()


def compare(
    subject: Plan,
    *,
    runs: int = 200,
    paths: int = 200,
    workers: Iterable[int] | None = None,
    rng: Any = None,
    training: Any = None,
    trace: Any = None,
    name: str = "",
    progress: bool = False,
) -> Comparison:
    """Hold a plan's closed form against SDDE paths and event-by-event runs.

    Parameters
    ----------
    subject : sdde.theory.Plan
        From `sdde.theory.plan`: objective, system, learning rate and target loss.
    runs : int
        Discrete runs at each number of workers, at least 2.
    paths : int
        SDDE paths at each number of workers, at least 2.
    workers : iterable of int, optional
        Numbers of workers; by default half the planned number and the planned number.
    rng : None, int, SeedSequence or Generator
        Seed of paths and runs.
    training : sdde.cluster.Softmax, optional
        The real objective, whose runs are drawn beside the others.
    trace : sdde.cluster.Trace, optional
        The log of a real run, described in the report.
    name : str
        What is compared, for titles.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Comparison
        `table`, `figure()`, `to_html(path)`, `passed`.

    Raises
    ------
    sdde.ArgumentError
        If the plan found no number of workers that reaches its target, or a count is too small.

    Notes
    -----
    Has no formula of its own: `AsyncSGD` predicts, `sdde.solve` and the cluster simulate.
    Spectra of more than 16 eigenvalues are condensed (`sdde.theory.condense`) before anything runs.
    Discrete runs start stationary (see `sdde.cluster.simulate`), as the theory does. A row
    agrees if the simulated numbers lie within 4.5 standard errors plus a stated model error of the
    closed form: 2 % for the update rate and the mean staleness, which theory gives exactly, 10 %
    for losses and
    times, where the SDDE replaces the arrivals by a Poisson process.

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
    """
    if not isinstance(subject, Plan):
        raise checks.fail(
            "subject", subject, "is not a plan",
            remedy="For example subject = sdde.theory.plan(objective, system, target_loss=0.01).",
        )  # fmt: skip
    checks.integer("runs", runs, lowest=2)
    checks.integer("paths", paths, lowest=2)
    counts = _counts(subject, workers)
    generator = np.random.default_rng(rng)
    seed = int(generator.integers(2**62))
    rows: list[Row] = []
    cases: list[Case] = []
    steps = [(count, part) for count in counts for part in ("paths", "runs", "training")]
    if training is None:
        steps = [step for step in steps if step[1] != "training"]
    with _bar(len(steps), shown=progress) as advance:
        for count in counts:
            study = _Study(subject, count, runs=runs, paths=paths, seed=seed)
            accounts = [study.closed_form(study.sdde, "SDDE, closed form")]
            advance(f"{count} workers, SDDE paths")
            accounts.append(study.solve())
            accounts.append(study.closed_form(study.model, "closed form"))
            advance(f"{count} workers, discrete runs")
            accounts.append(study.simulate())
            if training is not None:
                advance(f"{count} workers, real objective")
                accounts.append(study.train(training))
            rows += study.rows(accounts)
            cases.append(study.case(accounts))
    settings = {"runs": runs, "paths": paths, "seed": seed}
    return Comparison(name, subject, tuple(rows), tuple(cases), trace, settings)


def _counts(subject: Plan, workers: Iterable[int] | None) -> list[int]:
    if workers is not None:
        counts = sorted({checks.integer("workers", count, lowest=1) for count in workers})
        if not counts:
            raise checks.fail(
                "workers", workers, "is empty", remedy="For example workers = [4, 8]."
            )
        return counts
    if subject.workers is None:
        raise checks.fail(
            "subject", "a plan without workers", "reaches its target with no number of workers",
            remedy="Raise target_loss, or lower learning_rate; plan.explain() says which.",
        )  # fmt: skip
    return sorted({max(1, subject.workers // 2), subject.workers})


class _Study:
    """One number of workers: its model, its times, and the accounts of it."""

    def __init__(self, subject: Plan, workers: int, *, runs: int, paths: int, seed: int) -> None:
        self.plan, self.workers, self.runs, self.paths = subject, workers, runs, paths
        self.objective, self.system = condense(subject.objective, MODES), subject.system
        self.seed = np.random.SeedSequence(seed, spawn_key=(workers,))
        self.model = model_of(
            self.objective, self.system, workers=workers,
            learning_rate=subject.learning_rate, arrivals=subject.arrivals,
        )  # fmt: skip
        self.sdde = self.model.replace(arrivals="poisson")
        self.needed = self.model.time_to(subject.target_loss, self.objective.start)
        cycle = workers / self.model.update_rate
        self.sdde_needed = self.sdde.time_to(subject.target_loss, self.objective.start)
        known = [time for time in (self.needed, self.sdde_needed) if math.isfinite(time)]
        end = 1.5 * max(known, default=40.0 * cycle)
        self.times = np.linspace(0.0, max(end, 4.0 * cycle), 61)
        self.cycle = cycle

    def _rng(self, part: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed.entropy, spawn_key=(self.workers, part))

    def closed_form(self, model: AsyncSGD, name: str) -> Account:
        loss = np.asarray(model.loss(self.times, self.objective.start))
        return Account(name, loss, np.zeros_like(loss))

    def solve(self) -> Account:
        from sdde.solving.solve import solve

        steps = math.ceil(self.times[-1] / (self.cycle / 24.0) / 60.0) * 60
        solution = solve(
            self.sdde.problem(self.objective.start),
            (0.0, float(self.times[-1])),
            dt=float(self.times[-1]) / steps,
            paths=self.paths,
            rng=self._rng(1),
            save=steps // 60,
        )
        states = solution.x.reshape(self.paths, len(self.times), -1)
        return averaged("SDDE paths", 0.5 * states**2 @ self.objective.eigenvalues)

    def simulate(self) -> Account:
        self.measured = cluster.simulate(
            self.objective,
            cluster.AsyncSGD(),
            self.system,
            learning_rate=self.plan.learning_rate,
            workers=self.workers,
            time=float(self.times[-1]),
            runs=self.runs,
            rng=self._rng(2),
            records=len(self.times),
            start="stationary",
        )
        return averaged("discrete runs", self.measured.loss_at(self.times))

    def train(self, training: Any) -> Account:
        real = cluster.simulate(
            training,
            cluster.AsyncSGD(),
            self.system,
            learning_rate=self.plan.learning_rate,
            workers=self.workers,
            time=float(self.times[-1]),
            runs=min(self.runs, 10),
            rng=self._rng(3),
            records=len(self.times),
            start="stationary",
        )
        return averaged("real objective", real.loss_at(self.times))

    def case(self, accounts: list[Account]) -> Case:
        return Case(
            self.workers,
            self.times,
            tuple(accounts),
            np.asarray(self.measured.staleness.pmf),
            np.asarray(self.model.staleness.pmf),
        )

    def rows(self, accounts: list[Account]) -> list[Row]:
        sdde, paths, theory, runs = accounts[:4]
        workers, target = self.workers, self.plan.target_loss
        rows = [
            Row(
                workers, "updates per unit time", math.nan, None,
                self.model.update_rate, Estimate(*self.measured.update_rate()), EXACT,
            ),
            Row(
                workers, "mean staleness, start included", math.nan, None,
                self.mean_staleness(), Estimate(self.measured.staleness.mean), EXACT,
            ),
        ]  # fmt: skip
        for at in (10, 30, 60):
            rows.append(
                Row(
                    workers, f"excess loss at t = {self.times[at]:.4g}",
                    sdde.loss[at], Estimate(paths.loss[at], paths.error[at]),
                    theory.loss[at], Estimate(runs.loss[at], runs.error[at]), MODEL,
                )
            )  # fmt: skip
        if math.isfinite(self.needed):
            rows.append(
                Row(
                    workers, f"time to excess loss {target:.4g}",
                    self.sdde_needed,
                    crossing(self.times, paths, target),
                    self.needed, crossing(self.times, runs, target), MODEL,
                )
            )  # fmt: skip
        return rows

    def mean_staleness(self) -> float:
        """Return the expected mean staleness of all gradients of a run that starts stationary.

        Each update is counted once by each of the n - 1 other gradients in flight, so the
        staleness of K updates and of what is in flight at the end sums to K (n - 1); at the end
        each gradient has seen (n - 1) (1 + c) / 2 updates, c the squared coefficient of variation
        of a cycle. Derived in this project.
        """
        updates = self.model.update_rate * self.times[-1]
        seen = (1.0 + self.model.stream.delay.squared_variation) / 2.0
        return (self.workers - 1.0) * max(0.0, 1.0 - self.workers * seen / updates)


def target_of(description: Any, asked: float | None) -> float:
    """Return the target loss: as asked, as described, or 2 % of the loss at the start."""
    if asked is not None:
        return checks.positive("target_loss", asked, example=0.01)
    if description.target_loss is not None:
        return description.target_loss
    return 0.02 * description.objective.initial_loss


def compare_description(
    description: Any,
    *,
    target_loss: float | None = None,
    learning_rate: float | None = None,
    quick: bool = False,
    rng: Any = None,
    progress: bool = False,
) -> Comparison:
    """Plan and compare what a command was given; used by ``sdde compare``."""
    chosen = plan(
        description.objective,
        description.system,
        target_loss=target_of(description, target_loss),
        learning_rate=learning_rate or description.learning_rate,
        methods="async",
    )
    counts = None
    if chosen.workers is not None and description.workers is not None:
        counts = sorted({description.workers, chosen.workers})
    return compare(
        chosen,
        runs=20 if quick else 100,
        paths=20 if quick else 100,
        workers=counts,
        rng=rng,
        training=description.training,
        trace=description.trace,
        name=description.name,
        progress=progress,
    )


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
