"""A real run beside its predictions, and the difference taken apart, one assumption at a time.

Each step drops one assumption of the one before: the machines of the plan become those of the run,
the quadratic becomes the real objective, independent cycles become those recorded in their order,
and many simulated runs become the one real run. What a step changes is what its assumption costs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks, cluster

from .accounts import Account, Estimate, averaged, crossing, overlap
from .async_sgd import AsyncSGD
from .plan_search import model_of
from .renewal_counts import staleness_of

Floats = NDArray[np.float64]

RUNS = 10  # of the real objective
LONGER = 2.0  # than the time to the target is predicted to take
MOST_UPDATES = 20_000
POINTS = 121


@dataclass(frozen=True, slots=True)
class Step:
    """One account on the way from the plan to the real run.

    Attributes
    ----------
    name : str
    dropped : str
        Which assumption of the step before is not made here.
    update_rate : float
    staleness : float
        Mean staleness.
    needed : Estimate
        Time to the target loss.
    """

    name: str
    dropped: str
    update_rate: float
    staleness: float
    needed: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class LiveAccount:
    """A real run, its predictions and why they differ.

    Attributes
    ----------
    run : sdde.cluster.LiveRun
    steps : tuple of Step
        From the plan's prediction to the real run.
    words : tuple of str
        What each difference comes from.
    times : array (times,)
    curves : dict of str to Account
        Loss curves by the names of the steps.
    staleness : array
        Law of the staleness in the real run.
    overlap : float
        Probability that this law shares with the predicted one.
    """

    run: Any
    steps: tuple[Step, ...]
    words: tuple[str, ...]
    times: Floats
    curves: dict[str, Account]
    staleness: Floats
    overlap: float


def train(training: Any, planned: AsyncSGD, *, target: float, start: Any, rng: Any) -> Any:
    """Run the real thing for about twice the time that a model says it takes to the target."""
    needed = planned.time_to(target, start)
    if not math.isfinite(needed):
        raise checks.fail(
            "live", planned.workers, "is a number of workers that never reaches the target",
            remedy="Give workers with a finite time, or another target_loss.",
        )  # fmt: skip
    updates = math.ceil(LONGER * needed * planned.update_rate)
    return cluster.live(
        training, workers=planned.workers, updates=min(max(updates, 50), MOST_UPDATES),
        learning_rate=planned.learning_rate, rng=rng,
    )  # fmt: skip


def account(
    run: Any, planned: AsyncSGD, objective: Any, *, target: float, seed: np.random.SeedSequence
) -> LiveAccount:
    """Take the difference between a plan and a real run apart.

    Parameters
    ----------
    run : sdde.cluster.LiveRun
        Of plain asynchronous SGD.
    planned : AsyncSGD
        The plan's model at the run's workers and learning rate.
    objective : sdde.cluster.Quadratic
        What the plan takes the objective for.
    target : float
        Excess loss.
    seed : SeedSequence
        Of the simulated runs.
    """
    trace, workers, rate = run.trace, run.workers, run.learning_rate
    seen = model_of(objective, trace.system(), workers=workers, learning_rate=rate)
    times = np.linspace(0.0, float(run.t[-1]), POINTS)
    curves, steps = {}, []

    def predicted(name: str, dropped: str, model: AsyncSGD) -> None:
        loss = np.asarray(model.loss(times, objective.start))
        curves[name] = Account(name, loss, np.zeros_like(loss))
        needed = Estimate(model.time_to(target, objective.start))
        steps.append(Step(name, dropped, model.update_rate, model.staleness.mean, needed))

    def simulated(name: str, dropped: str, system: Any, **how: Any) -> None:
        runs = cluster.simulate(
            run.objective, run.method, system, learning_rate=rate, workers=workers,
            runs=RUNS, rng=seed, records=POINTS, **how,
        )  # fmt: skip
        curves[name] = averaged(name, runs.loss_at(times))
        steps.append(
            Step(
                name, dropped, runs.update_rate()[0], runs.staleness.mean,
                crossing(times, curves[name], target),
            )
        )  # fmt: skip

    end = float(times[-1])
    predicted("plan", "", planned)
    predicted("theory, own cycles", "the machines are those of the plan", seen)
    simulated(
        "objective, own law", "the loss is quadratic", trace.system(),
        time=end, start="stationary",
    )  # fmt: skip
    simulated(
        "objective, own order", "cycles are independent",
        trace.system(replay=True), time=end,
    )  # fmt: skip
    stale = np.bincount(trace.staleness())
    law = stale / stale.sum()
    own = Account("real run", np.interp(times, run.t, run.loss), np.zeros(POINTS))
    curves["real run"] = own
    steps.append(
        Step(
            "real run", "there are many runs", trace.update_rate(), float(trace.staleness().mean()),
            crossing(np.asarray(run.t), Account("", run.loss, np.zeros_like(run.loss)), target),
        )
    )  # fmt: skip
    words = _words(tuple(steps), run, planned, seen)
    shared = overlap(law, np.asarray(staleness_of(seen)[0].pmf))
    return LiveAccount(run, tuple(steps), words, times, curves, law, shared)


def _words(steps: tuple[Step, ...], run: Any, planned: AsyncSGD, seen: AsyncSGD) -> tuple[str, ...]:
    """Say what each step changed and why."""
    plan, machines, objective, order, real = steps
    mean, before = seen.stream.delay.mean, planned.stream.delay.mean
    check = run.trace.check()
    memory = check.independent.value
    said = [
        f"All together: planned {_time(plan)}, seen {_time(real)} ({_change(plan, real)}).",
        f"The machines: a cycle took {mean:.3g} on average where the plan has {before:.3g} "
        f"({_percent(mean / before)}), so the time becomes {_time(machines)} "
        f"({_change(plan, machines)}). The processes share the cores of "
        "one machine with each other and with everything else that runs there.",
        f"The objective: its loss is not quadratic on the way to the minimum, which changes the "
        f"time to {_time(objective)} ({_change(machines, objective)}).",
        f"The order of the cycles: successive cycles of a worker have a correlation of "
        f"{memory:.2g} (0 if independent), and what slows one down may slow all down; with the "
        f"recorded cycles in their order the time is {_time(order)} "
        f"({_change(objective, order)}).",
        f"What is left, {_change(order, real)}, is the chance of one run's mini-batches, the start "
        "of the processes, and the coarseness of the recorded losses.",
    ]
    if check.alike.holds is False:
        said.append(
            f"The workers were not alike (relative spread of their mean cycles "
            f"{check.alike.value:.2g}); the theory gives all of them one law."
        )
    return tuple(said)


def _time(step: Step) -> str:
    value, error = step.needed.value, step.needed.error
    if not math.isfinite(value):
        return "never within the run"
    return f"{value:.4g} ± {error:.1g}" if error else f"{value:.4g}"


def _change(before: Step, after: Step) -> str:
    old, new = before.needed.value, after.needed.value
    if not (math.isfinite(old) and math.isfinite(new)):
        return "not comparable"
    return _percent(new / old)


def _percent(ratio: float) -> str:
    if ratio >= 2.0:
        return f"{ratio:.3g} times as much"
    return f"{100.0 * (ratio - 1.0):+.1f} %"
