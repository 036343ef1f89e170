"""One choice of workers and learning rate: what theory, SDDE paths and discrete runs say of it."""

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import cluster

from .accounts import (
    CURVE,
    LIMIT,
    LOSS,
    POISSON_STALENESS,
    RATE,
    STALENESS,
    TIME,
    Account,
    Case,
    Estimate,
    Row,
    averaged,
    crossing,
    overlap,
)
from .async_sgd import AsyncSGD
from .plan_models import model_for
from .renewal_counts import staleness_of
from .simulated_limits import simulated_limit

Floats = NDArray[np.float64]

SHOWN = (10, 30, 60)  # of 61 times, at which losses are compared singly
UNKNOWN = 40.0  # cycles that are looked at where no time to the target is known
OBJECTIVE_RUNS = 10  # of the real objective, which is slower
LONG_RUNS, LONG_UPDATES = 16, 4000  # for rate and staleness; updates in each run
WARM_UP = 10.0  # cycles before staleness is counted
LIMIT_GRADIENTS = 400_000  # spent on each learning rate near the divergence limit


class Study:
    """One choice: its models, its times, and the accounts of it.

    Parameters
    ----------
    objective : sdde.cluster.Quadratic
        Already condensed.
    system : sdde.cluster.System
    method : method value
    workers, learning_rate
        The choice.
    target : float
        Excess loss to reach.
    runs, paths, seed : int
    arrivals : str, optional
        Treatment of arrivals; by default the most exact that applies.
    """

    def __init__(
        self, objective: Any, system: Any, method: Any, *, workers: int, learning_rate: float,
        target: float, runs: int, paths: int, seed: int, arrivals: Any = None,
    ) -> None:  # fmt: skip
        self.objective, self.system, self.method = objective, system, method
        self.workers, self.learning_rate, self.target = workers, learning_rate, target
        self.runs, self.paths, self.seed = runs, paths, seed
        self.model = model_for(
            objective, system, method, workers=workers, learning_rate=learning_rate,
            arrivals=arrivals,
        )  # fmt: skip
        self.sdde: AsyncSGD | None = None
        if isinstance(self.model, AsyncSGD) and self.model.is_plain:
            self.sdde = self.model.replace(arrivals="poisson")
        self.start = _start_of(method)
        needed = [
            model.time_to(target, objective.start)
            for model in (self.model, self.sdde)
            if model is not None and math.isfinite(model.loss_floor())
        ]
        self.needed = needed[0] if needed else math.inf
        self.cycle = self._group() / self.model.update_rate
        known = [time for time in needed if math.isfinite(time)]
        end = 1.5 * max(known, default=UNKNOWN * self.cycle)
        self.times = np.linspace(0.0, max(end, 4.0 * self.cycle), 61)
        self.tame = math.isfinite(self.model.loss_floor())

    def _group(self) -> float:
        """Return about how many updates fall into one cycle of a worker."""
        if isinstance(self.model, AsyncSGD):
            return self.workers / self.model.stream.group
        return 1.0

    def _rng(self, part: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(self.workers, part))

    def _closed_form(self, model: Any) -> Account:
        loss = np.asarray(model.loss(self.times, self.objective.start))
        return Account("theory", loss, np.zeros_like(loss))

    @cached_property
    def theory(self) -> Account:
        """The model's expected loss."""
        return self._closed_form(self.model)

    @cached_property
    def paths_of_sdde(self) -> tuple[Account, Account] | None:
        """The SDDE with Poisson arrivals: closed form and paths; None where there is none."""
        if self.sdde is None or not math.isfinite(self.sdde.loss_floor()):
            return None
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
        losses = 0.5 * states**2 @ self.objective.eigenvalues
        return self._closed_form(self.sdde), averaged("SDDE paths", losses)

    def _simulate(self, objective: Any, runs: int, part: int) -> Any:
        return cluster.simulate(
            objective, self.method, self.system, learning_rate=self.learning_rate,
            workers=self.workers, time=float(self.times[-1]), runs=runs, rng=self._rng(part),
            records=len(self.times), start=self.start,
        )  # fmt: skip

    @cached_property
    def measured(self) -> Any:
        """Discrete runs of the quadratic."""
        return self._simulate(self.objective, self.runs, 2)

    @cached_property
    def simulated(self) -> Account:
        """Mean loss of the discrete runs."""
        return averaged("discrete runs", self.measured.loss_at(self.times))

    def train(self, training: Any) -> Account:
        """Return the mean loss of discrete runs of the real objective."""
        real = self._simulate(training, min(self.runs, OBJECTIVE_RUNS), 3)
        return averaged("real objective", real.loss_at(self.times))

    @cached_property
    def long_runs(self) -> tuple[Any, float]:
        """Runs of many cycles that train nothing, with their logs, and how long they are."""
        time = LONG_UPDATES / self.model.update_rate + 3.0 * WARM_UP * self.cycle
        made = cluster.simulate(
            cluster.Quadratic(1.0), self.method, self.system, learning_rate=1e-6,
            workers=self.workers, time=time, runs=LONG_RUNS, rng=self._rng(4), records=2,
            start=self.start, trace=True,
        )  # fmt: skip
        return made, time

    @cached_property
    def staleness(self) -> tuple[Floats, Estimate, float]:
        """Measured law of the staleness, its mean, and the error of the law as a distance.

        Gradients read after a warm-up count, and those of the last cycles do not: long cycles would
        be missing.
        """
        made, time = self.long_runs
        run, read, seen, version, kind = made.log[:, [0, 2, 4, 5, 6]].T
        inside = (read > WARM_UP * self.cycle) & (read < time - 2.0 * WARM_UP * self.cycle)
        inside &= kind == 0.0
        stale = (version - seen - 1.0)[inside].astype(int)
        counts = np.zeros((LONG_RUNS, int(stale.max(initial=0)) + 1))
        np.add.at(counts, (run[inside].astype(int), stale), 1.0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        means = shares @ np.arange(shares.shape[1])
        root = math.sqrt(LONG_RUNS)
        mean = Estimate(float(means.mean()), float(means.std(ddof=1)) / root)
        return shares.mean(axis=0), mean, 0.5 * float((shares.std(axis=0, ddof=1) / root).sum())

    @cached_property
    def limit(self) -> tuple[float, Estimate]:
        """Predicted and simulated learning rate from which the expected loss grows."""
        predicted = self.model.max_learning_rate()
        found = simulated_limit(
            float(self.objective.eigenvalues.max()), self.method, self.system,
            workers=self.workers, cycle=self.cycle, near=predicted, rng=self._rng(5),
            start=self.start, gradients=LIMIT_GRADIENTS,
        )  # fmt: skip
        return predicted, found

    def answer(self, part: str) -> None:
        """Do the work of one part, which is kept."""
        if part == "discrete runs":
            _ = self.simulated, self.staleness
        elif part == "SDDE paths":
            _ = self.paths_of_sdde
        else:
            _ = self.limit

    def case(self, training: Any = None) -> Case:
        """Return all loss curves and the laws of the staleness."""
        accounts = {"theory": self.theory, "runs": self.simulated}
        if self.paths_of_sdde is not None:
            accounts["sdde"], accounts["paths"] = self.paths_of_sdde
        if training is not None:
            accounts["objective"] = self.train(training)
        model = self.model
        law = np.asarray(staleness_of(model)[0].pmf) if isinstance(model, AsyncSGD) else None
        return Case(self.workers, self.learning_rate, self.times, accounts, self.staleness[0], law)

    def rows(self) -> list[Row]:
        """Return one row for each quantity that is compared."""
        rows = [
            self._row("updates per unit time", self.model.update_rate, self._rate(), RATE),
            *self._staleness_rows(),
        ]
        if self.tame:
            rows += self._loss_rows()
        rows.append(self._time_row())
        rows.append(self._row("largest learning rate", *self.limit, LIMIT))
        return rows

    def _rate(self) -> Estimate:
        return Estimate(*self.long_runs[0].update_rate())

    def _row(self, quantity: str, theory: float, runs: Estimate, tolerance: Any) -> Row:
        return Row(self.workers, quantity, math.nan, None, theory, runs, tolerance)

    def _staleness_rows(self) -> list[Row]:
        if not isinstance(self.model, AsyncSGD):
            return []
        law, mean, distance = self.staleness
        predicted, exact = staleness_of(self.model)
        shared = Estimate(overlap(law, np.asarray(predicted.pmf)), distance)
        allowed = STALENESS if exact else POISSON_STALENESS
        return [
            self._row("mean staleness", predicted.mean, mean, STALENESS),
            self._row("overlap of the staleness laws", 1.0, shared, allowed),
        ]

    def _loss_rows(self) -> list[Row]:
        theory, runs, sdde = self.theory, self.simulated, self.paths_of_sdde
        rows = []
        for at in SHOWN:
            closed, paths = (math.nan, None) if sdde is None else (
                float(sdde[0].loss[at]), Estimate(sdde[1].loss[at], sdde[1].error[at])
            )  # fmt: skip
            rows.append(
                Row(
                    self.workers, f"excess loss at t = {self.times[at]:.4g}", closed, paths,
                    float(theory.loss[at]), Estimate(runs.loss[at], runs.error[at]), LOSS,
                )
            )  # fmt: skip
        high = theory.loss > 2.0 * self.model.loss_floor()
        high[0] = False  # the start is the same by definition
        if high.any():
            ratio = runs.loss[high] / theory.loss[high]
            error = float(np.median(runs.error[high] / theory.loss[high]))
            rows.append(
                self._row("loss, median of runs / theory", 1.0,
                          Estimate(float(np.median(ratio)), error), CURVE)
            )  # fmt: skip
        return rows

    def _time_row(self) -> Row:
        closed, paths = math.nan, None
        if self.sdde is not None and self.paths_of_sdde is not None:
            closed = self.sdde.time_to(self.target, self.objective.start)
            paths = crossing(self.times, self.paths_of_sdde[1], self.target)
        return Row(
            self.workers, f"time to excess loss {self.target:.4g}", closed, paths,
            self.needed, crossing(self.times, self.simulated, self.target), TIME,
        )  # fmt: skip


def _start_of(method: Any) -> str:
    """Return the start that the simulator allows: stationary, or together where workers wait."""
    from sdde.cluster import Group

    rules = method.composed
    waits = rules.waiting != Group() or getattr(rules.admission, "stop", False) or rules.budget
    return "together" if waits else "stationary"
