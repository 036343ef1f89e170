"""Multilevel Monte Carlo: the mean of a functional from many coarse and few fine paths.

The mean at the finest time step is the mean at the coarsest plus corrections, each the difference
of two runs on the same Brownian paths; the finer the step, the smaller the variance of the
correction, and the fewer paths it needs. Knows nothing about how steps are made.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine.methods import method_named
from sdde.engine.seeds import seed_of
from sdde.equation.problem import Problem
from sdde.solving.brownian import Brownian
from sdde.solving.orders import measured, require_functional, require_problem
from sdde.solving.plan import plan
from sdde.solving.saving import plan_saves
from sdde.solving.solve import solve

Floats = NDArray[np.float64]
_FIRST_LEVELS = 3
_MOST_LEVELS = 60  # each halves the time step
_MOST_PATHS = 1e15  # of a level
_CLOSE = 1.01  # paths asked for beyond this factor are run
_LEAST_DECAY = 0.5  # of bias and variance, where the estimates say less


class Level(NamedTuple):
    """One level of a multilevel estimate.

    Attributes
    ----------
    dt : float
        Time step of the fine run; the coarse run has twice that.
    paths : int
        How many paths were run.
    mean : float
        Mean of the fine minus the coarse functional; of the functional at the first level.
    variance : float
        Variance of the same over paths.
    cost : int
        Time steps of all paths, both runs.
    """

    dt: float
    paths: int
    mean: float
    variance: float
    cost: int


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Multilevel:
    """A mean estimated on several levels of time steps, and how sure it is.

    Made by `sdde.multilevel`.

    Attributes
    ----------
    estimate : float
        The mean of the functional.
    standard_error : float
        Its standard deviation from the finite number of paths.
    bias : float
        Estimated size of the error from the finest time step.
    converged : bool
        Whether the errors meet the tolerance; False where the number of levels did not suffice.
    tolerance : float
        Root mean square error that was asked for.
    levels : tuple of Level
        Time step, paths, mean, variance and cost of each level.
    weak_decay, variance_decay : float
        Powers of the time step with which means and variances of the levels fall: weak order, and
        twice the strong order. nan with less than two corrections.
    seed : int
        Repeats the estimate when passed as `rng`.
    """

    estimate: float
    standard_error: float
    bias: float
    converged: bool
    tolerance: float
    levels: tuple[Level, ...]
    weak_decay: float
    variance_decay: float
    seed: int

    @property
    def error(self) -> float:
        """Estimated root mean square error: standard error and bias together."""
        return math.hypot(self.standard_error, self.bias)

    @property
    def cost(self) -> int:
        """Time steps of all paths on all levels."""
        return sum(level.cost for level in self.levels)

    def __repr__(self) -> str:
        lines = [
            f"Multilevel: {self.estimate:.6g} +- {self.standard_error:.2g}, bias about"
            f" {self.bias:.2g} (tolerance {self.tolerance:g}"
            f"{'' if self.converged else ', not met'})",
            f"{'dt':>12}{'paths':>10}{'mean':>13}{'variance':>12}{'cost':>12}",
        ]
        lines += [
            f"{level.dt:>12.6g}{level.paths:>10}{level.mean:>13.4g}{level.variance:>12.4g}"
            f"{level.cost:>12}"
            for level in self.levels
        ]
        lines.append(f"  means fall as dt^{self.weak_decay:.2f},"
                     f" variances as dt^{self.variance_decay:.2f}")  # fmt: skip
        return "\n".join(lines)


def multilevel(
    problem: Problem,
    functional: Callable[[Floats], Any] | None,
    tolerance: float,
    *,
    t_span: tuple[float, float],
    dt: float,
    method: str = "euler-maruyama",
    rng: Any = None,
    save: Any = "final",
    max_levels: int = 10,
    pilot: int = 1000,
    threads: int | None = None,
    executor: Any = None,
) -> Multilevel:
    r"""Estimate the mean of a functional of paths to a given tolerance.

    .. math:: \mathbb Ef(x_{h_L})=\mathbb Ef(x_{h_0})
              +\sum_{l=1}^{L}\mathbb E\bigl[f(x_{h_l})-f(x_{h_{l-1}})\bigr],\qquad h_l=2^{-l}h_0

    Each term has paths of its own, and both runs of a term see the same Brownian paths and the
    same arrivals of jumps.

    Parameters
    ----------
    problem : Problem
        The equation.
    functional : callable or None
        ``functional(x)`` turns end states of shape ``(paths, *state_shape)`` into one number for
        each path; with `save` given, states of shape ``(paths, times, *state_shape)``. None: the
        sum of squares.
    tolerance : float
        The root mean square error to reach, > 0: half of its square is left to chance and half to
        the time step.
    t_span : (float, float)
        Start and end.
    dt : float
        The coarsest time step.

    Returns
    -------
    Multilevel
        Estimate, standard error, bias, and what each level took.

    Other Parameters
    ----------------
    method : str, optional
        The time-stepping scheme, as in `sdde.solve`.
    rng : None, int, SeedSequence or Generator, optional
        Where the randomness comes from; an int repeats the estimate.
    save : "all", "final", int or array of float, optional
        Which states the functional sees, as in `sdde.solve`; the same times for every time step
        only if they are listed.
    max_levels : int, optional
        At most so many levels, at least 3.
    pilot : int, optional
        Paths of each level before its variance is known, at least 64.
    threads : int, optional
        How many threads to use; all processors by default.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where paths are computed instead, as in `sdde.solve`; functionals are called here.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used; checked before anything is compiled.

    Notes
    -----
    The method is Giles's [1]_: paths are shared out so that the variance of the estimate is met at
    the least number of time steps, and levels are added until the estimated bias, extrapolated from
    the means of the last levels, is small enough. Both are estimates. Where a path diverges, the
    estimate is nan and not converged.

    References
    ----------
    .. [1] M. Giles, "Multilevel Monte Carlo path simulation", Operations Research 56 (2008).

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6)
    >>> found = sdde.multilevel(problem, lambda x: x, 0.01, t_span=(0, 2), dt=0.25, rng=1)
    >>> found.converged, bool(abs(found.estimate - 0.5016) < 0.03)
    (True, True)
    """
    problem = require_problem(problem)
    target = checks.positive("tolerance", tolerance, example=0.01)
    span = checks.time_span("t_span", t_span)
    coarsest = checks.positive("dt", dt, example=0.1)
    scheme = method_named(method)
    most = checks.integer("max_levels", max_levels, lowest=_FIRST_LEVELS, highest=_MOST_LEVELS)
    first = checks.integer("pilot", pilot, lowest=64)
    steps = [coarsest / 2**k for k in range(most)]
    for step in steps:
        layout = plan(problem, *span, step)
        scheme.check(problem, layout.state_shape, layout.channels, step)
        seen = () if _is_final(save) else (len(plan_saves(save, *span, step)),)
        require_functional(functional, (*seen, *layout.state_shape), problem, span[0])
    seed = seed_of(rng)

    def sample(number: int, batch: int, paths: int) -> Floats:
        """Return the corrections of fresh paths of a level."""
        fresh = np.random.SeedSequence([seed, number, batch])
        noise = Brownian(fresh, finest=steps[number])

        def run(step: float) -> Floats:
            solution = solve(
                problem, span, dt=step, paths=paths, rng=noise.seed, method=scheme.name, save=save,
                noise=noise, threads=threads, executor=executor,
            )  # fmt: skip
            return measured(functional, solution.x[:, -1] if _is_final(save) else solution.x)

        fine = run(steps[number])
        return fine - run(steps[number - 1]) if number else fine

    lengths = [(span[1] - span[0]) / step for step in steps]
    costs = [math.ceil(n + (lengths[k - 1] if k else 0.0)) for k, n in enumerate(lengths)]
    levels = [_Sampled(sample, k, costs[k]) for k in range(_FIRST_LEVELS)]
    for level in levels:
        level.add(first)
    while True:
        _share_out(levels, target)
        weak, bias = _bias(levels)
        met = bias <= target / math.sqrt(2.0)
        if met or len(levels) == most or not math.isfinite(bias):
            break
        levels.append(_Sampled(sample, len(levels), costs[len(levels)]))
        levels[-1].add(first)
    made = tuple(level.result(steps[k]) for k, level in enumerate(levels))
    variance = sum(level.variance / level.paths for level in made)
    return Multilevel(
        estimate=sum(level.mean for level in made), standard_error=math.sqrt(variance), bias=bias,
        converged=bool(met), tolerance=target, levels=made, weak_decay=weak,
        variance_decay=_decay([level.variance for level in made[1:]]), seed=seed,
    )  # fmt: skip


@dataclass(eq=False)
class _Sampled:
    """Sums over the paths of a level that have been run."""

    sample: Callable[[int, int, int], Floats]
    number: int
    cost: int
    batches: int = 0
    values: list[Floats] = field(default_factory=list)

    def add(self, paths: int) -> None:
        """Run more paths, others than before."""
        self.values.append(self.sample(self.number, self.batches, paths))
        self.batches += 1

    @property
    def paths(self) -> int:
        return sum(map(len, self.values))

    @property
    def mean(self) -> float:
        return float(np.concatenate(self.values).mean())

    @property
    def variance(self) -> float:
        return float(np.concatenate(self.values).var(ddof=1))

    def result(self, dt: float) -> Level:
        return Level(dt, self.paths, self.mean, self.variance, self.cost * self.paths)


def _is_final(save: Any) -> bool:
    return isinstance(save, str) and save == "final"


def _share_out(levels: list[_Sampled], tolerance: float) -> None:
    """Run paths until the variance of the estimate is met at the least cost.

    Minimising sum N c subject to sum V / N = e^2 / 2 gives N = 2 e^-2 sqrt(V / c) sum sqrt(V c).
    """
    while True:
        roots = [math.sqrt(level.variance * level.cost) for level in levels]
        if not math.isfinite(sum(roots)):
            return
        scale = 2.0 / tolerance / tolerance * sum(roots)
        most = max(scale * root / level.cost for root, level in zip(roots, levels, strict=True))
        if not most < _MOST_PATHS:
            raise checks.fail(
                "tolerance", tolerance, f"would take {most:.2g} paths",
                remedy=f"For example tolerance = {tolerance * math.sqrt(most / 1e6):.2g}.",
            )  # fmt: skip
        asked = [
            math.ceil(scale * root / level.cost) for root, level in zip(roots, levels, strict=True)
        ]
        short = False
        for level, paths in zip(levels, asked, strict=True):
            if paths > _CLOSE * level.paths:
                level.add(paths - level.paths)
                short = True
        if not short:
            return


def _bias(levels: list[_Sampled]) -> tuple[float, float]:
    """Return the decay of the means of corrections, and the bias that it leaves.

    If means fall as 2^(-w l), those not computed sum up to the last one / (2^w - 1). Of the last
    levels, each extrapolated to the last, the largest counts, since a mean may vanish by chance.
    """
    means = [level.mean for level in levels[1:]]
    weak = _decay([abs(mean) for mean in means])
    power = max(weak, _LEAST_DECAY) if math.isfinite(weak) else _LEAST_DECAY
    last = [abs(mean) * 2.0 ** (-power * k) for k, mean in enumerate(reversed(means))][:3]
    return weak, max(last) / (2.0**power - 1.0)


def _decay(values: list[float]) -> float:
    """Return the power of the time step with which values of the levels fall (least squares)."""
    if len(values) < 2 or not all(math.isfinite(v) and v > 0.0 for v in values):
        return math.nan
    x = np.arange(len(values)) - (len(values) - 1) / 2.0
    return float(-(x @ np.log2(values)) / (x @ x))
