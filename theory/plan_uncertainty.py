"""How sure a plan is, given that its inputs were measured with error.

What was measured is drawn again, as it could have been measured too: a log or an objective by its
own `resample`, measured times by drawing among them. Each draw is planned anew in the neighbourhood
of the plan, with its method; percentiles over the draws are the intervals. Nothing here is
simulated, and errors of the model itself are not in the intervals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.system import SharedLink, System

from .plan_inputs import as_quadratic, as_system
from .plan_methods import least_workers
from .plan_question import Limits, Point, Question
from .plan_search import converted
from .planning import Plan, plan

Floats = NDArray[np.float64]

_STEPS = (1.3, 1.12, 1.05)  # ratios of neighbouring choices, one after the other


@dataclass(frozen=True, eq=False)
class PlanInterval:
    """A plan with intervals.

    Attributes
    ----------
    plan : Plan
        The plan from the inputs as measured.
    level : float
        Share of the draws inside each interval.
    workers, learning_rate, time_to_target : tuple of float
        Intervals of the best number of workers, of the best learning rate, and of the time that the
        best choice takes.
    time_of_plan : tuple of float
        Interval of the time that the plan itself takes; ``inf`` where it never gets there.
    reached : float
        Share of the draws in which the plan itself reaches its target.
    regret : float
        Mean relative loss of time by keeping to the plan instead of the best choice, over the draws
        in which it reaches its target.
    draws : dict
        Values of all draws: ``workers``, ``learning_rate``, ``time_to_target``, ``time_of_plan``.
    resamples : int
        Number of draws.
    """

    plan: Plan
    level: float
    workers: tuple[float, float]
    learning_rate: tuple[float, float]
    time_to_target: tuple[float, float]
    time_of_plan: tuple[float, float]
    reached: float
    regret: float
    resamples: int
    draws: dict[str, Floats] = field(default_factory=dict, repr=False)

    def percentiles(self, quantity: str, shares: Any) -> Floats:
        """Return percentiles of a quantity over the draws.

        Parameters
        ----------
        quantity : {"workers", "learning_rate", "time_to_target", "time_of_plan"}
        shares : float or array
            In per cent.
        """
        checks.choice("quantity", quantity, self.draws)
        values = self.draws[quantity]
        return np.percentile(values, checks.array("shares", shares), method="nearest")

    def explain(self) -> str:
        """Return the intervals in words."""
        share = f"{100.0 * self.level:g} %"
        lines = [
            f"From {self.resamples} draws of the measured inputs, {share} intervals:",
            f"  best number of workers  {self.workers[0]:.0f} to {self.workers[1]:.0f}"
            f" (plan: {self.plan.workers})",
            f"  best learning rate      {self.learning_rate[0]:.4g} to {self.learning_rate[1]:.4g}"
            f" (plan: {self.plan.learning_rate:.4g})",
            f"  time of the best        {_shown(self.time_to_target)}",
            f"  time of the plan        {_shown(self.time_of_plan)}"
            f" (plan: {self.plan.time_to_target:.4g})",
            f"The plan reaches its target in {100.0 * self.reached:.3g} % of the draws, on average "
            f"{100.0 * self.regret:.2g} % later than the best choice of each.",
            "Errors of the model itself are not in these intervals.",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, for JSON; ``None`` for infinity."""
        names = ("workers", "learning_rate", "time_to_target", "time_of_plan")
        found: dict[str, Any] = {
            name: [value if math.isfinite(value) else None for value in getattr(self, name)]
            for name in names
        }
        return found | {
            "level": self.level, "resamples": self.resamples, "reached": self.reached,
            "regret": self.regret if math.isfinite(self.regret) else None,
        }  # fmt: skip


def _shown(ends: tuple[float, float]) -> str:
    return " to ".join(f"{end:.4g}" if math.isfinite(end) else "never" for end in ends)


def plan_interval(
    objective: Any,
    system: Any,
    *,
    resamples: int = 100,
    level: float = 0.9,
    rng: Any = None,
    progress: bool = False,
    **options: Any,
) -> PlanInterval:
    """Plan, and say how sure the answer is where inputs were measured with error.

    Parameters
    ----------
    objective, system
        As for `plan`. What has a method ``resample(rng)`` (measured objectives and logs of runs) is
        drawn again by it, and measured times (an array as a law) by drawing among them; everything
        else is taken as exact.
    resamples : int
        Number of draws, at least 2.
    level : float
        Share of the draws inside each interval, in (0, 1).
    rng : None, int, SeedSequence or Generator
        Seed of the draws.
    progress : bool
        Show a progress bar.
    **options
        Arguments of `plan`, of which ``target_loss`` is needed; not ``check``.

    Returns
    -------
    PlanInterval

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, nothing was measured with error, or the plan reaches no target.

    Notes
    -----
    A percentile bootstrap (textbook): it rests on nothing but the draws. In each draw workers and
    learning rate are searched again around the plan, with its method.

    Examples
    --------
    >>> import numpy as np
    >>> import sdde
    >>> times = np.random.default_rng(1).gamma(4.0, 0.25, size=300)
    >>> found = sdde.theory.plan_interval(
    ...     sdde.cluster.Quadratic(1.0, noise=0.1), sdde.cluster.System(times), target_loss=1e-2,
    ...     learning_rate=0.02, max_workers=64, resamples=20, rng=1,
    ... )
    >>> low, high = found.time_of_plan
    >>> bool(low < found.plan.time_to_target < high)
    True
    """
    count = checks.integer("resamples", resamples, lowest=2)
    share = checks.positive("level", level, example=0.9)
    if share >= 1.0:
        raise checks.fail("level", level, "is not below 1", remedy="level = 0.9")
    if options.get("check") is not None:
        raise checks.fail(
            "check", options["check"], "is not for intervals",
            why="They would be simulated anew in every draw.", remedy="Leave it out.",
        )  # fmt: skip
    seed = rng
    if rng is not None and not isinstance(rng, np.random.Generator | np.random.SeedSequence):
        seed = checks.integer("rng", rng)
    redraw = _redrawing(objective, system)
    answer = plan(objective, system, **options)
    if answer.workers is None or answer.question is None:
        raise checks.fail(
            "target_loss", answer.target_loss, "is reached by no choice",
            why="An interval needs a plan.", remedy="See plan(...).explain().",
        )  # fmt: skip
    generator = np.random.default_rng(seed)
    shown = checks.flag("progress", progress)
    rows = [_drawn(answer, *redraw(generator)) for _ in _bar(range(count), shown)]
    names = ("workers", "learning_rate", "time_to_target", "time_of_plan")
    draws: dict[str, Floats] = dict(zip(names, np.array(rows, dtype=float).T, strict=True))
    half = 0.5 * (1.0 - share)

    def ends(name: str) -> tuple[float, float]:
        low, high = np.quantile(draws[name], [half, 1.0 - half], method="nearest")
        return float(low), float(high)

    reached = np.isfinite(draws["time_of_plan"])
    late = draws["time_of_plan"][reached] / draws["time_to_target"][reached] - 1.0
    return PlanInterval(
        answer, share, ends("workers"), ends("learning_rate"), ends("time_to_target"),
        ends("time_of_plan"), float(reached.mean()),
        float(late.mean()) if late.size else math.inf, count, draws,
    )  # fmt: skip


def _redrawing(objective: Any, system: Any) -> Callable[[np.random.Generator], tuple[Any, Any]]:
    """Return a function that draws both inputs again, those without error as they are."""
    measured = callable(getattr(objective, "resample", None))
    logged = callable(getattr(system, "resample", None))
    source: Any = system
    times = isinstance(system, System) and _has_measured(system)
    if not (measured or logged or times):
        raise checks.fail(
            "system", system, "and objective hold nothing measured with error",
            why="Laws and constants that are known exactly have no interval.",
            remedy="Give a Trace, measured times as an array, or sdde.cluster.measure(...).",
        )  # fmt: skip

    def redraw(rng: np.random.Generator) -> tuple[Any, Any]:
        drawn = objective.resample(rng) if measured else objective
        if logged:
            return drawn, source.resample(rng)
        return drawn, _resampled(system, rng) if times else system

    return redraw


def _has_measured(system: System) -> bool:
    return any(isinstance(value, np.ndarray) for value in _parts(system))


def _parts(system: System) -> list[Any]:
    found: list[Any] = []
    for value in (system.compute_time, system.communication, system.update_time):
        if isinstance(value, list | tuple):
            found += value
        else:
            found.append(value.law if isinstance(value, SharedLink) else value)
    return found


def _resampled(system: System, rng: np.random.Generator) -> System:
    def again(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return rng.choice(value, value.size)
        if isinstance(value, list | tuple):
            return [again(item) for item in value]
        if isinstance(value, SharedLink):
            return SharedLink(again(value.law), capacity=value.capacity)
        return value

    return replace(
        system, compute_time=again(system.compute_time),
        communication=again(system.communication), update_time=again(system.update_time),
    )  # fmt: skip


def _drawn(answer: Plan, objective: Any, system: Any) -> tuple[float, float, float, float]:
    """Return the best choice near a plan and its time, and the time of the plan, in one draw."""
    known = answer.question
    assert known is not None
    assert answer.workers is not None
    machines, _ = as_system(system)
    limits: Limits = known.limits
    question = Question(
        as_quadratic(objective), converted(machines), known.target, known.eta, limits
    )
    model = question.model(answer.method, answer.workers, answer.learning_rate)
    itself = float(model.time_to(known.target, question.objective.start))
    least = least_workers(answer.method)

    def moved(point: Point, ratio: float) -> list[tuple[int, float]]:
        counts = {
            max(point.workers + 1, round(point.workers * ratio)),
            min(point.workers - 1, round(point.workers / ratio)),
        }
        pairs = [(n, point.learning_rate) for n in counts if least <= n <= limits.most]
        if known.eta is None:
            pairs += [(n, point.learning_rate * point.workers / n) for n, _ in tuple(pairs)]
            pairs += [(point.workers, point.learning_rate * r) for r in (ratio, 1.0 / ratio)]
        return pairs

    best = question.try_one(answer.method, answer.workers, answer.learning_rate)
    if not math.isfinite(best.time):
        best = question.best_rate(answer.method, answer.workers)
    for ratio in _STEPS:
        for _ in range(20):
            trials = [question.try_one(answer.method, *pair) for pair in moved(best, ratio)]
            ahead = min(trials, key=lambda p: p.time, default=best)
            if not ahead.time < best.time:
                break
            best = ahead
    return best.workers, best.learning_rate, best.time, itself


def _bar(steps: Any, shown: bool) -> Any:
    if not shown:
        return steps
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise checks.fail(
            "progress", True, "needs tqdm", remedy="pip install tqdm, or progress=False"
        ) from None
    return tqdm(steps, desc="draws")
