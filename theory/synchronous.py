r"""Synchronous SGD on a quadratic: rounds without staleness, each as long as the slowest awaited
worker.

In a round *K* gradients are computed at the same parameters and averaged, so along eigenvalue λ the
mean square obeys :math:`y' = (1-\eta\lambda)^2 y + \eta^2\sigma^2/K` per round. How long a round
takes is a question of order statistics (`runtimes`). It is the yardstick that asynchronous methods
have to beat. Derived in this project; nothing here simulates.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import per_axis, spectrum
from sdde.cluster.rules import Composed, Group
from sdde.equation.laws import Law, as_laws

from .cycle import cycle_law
from .loss_curve import LossCurve
from .panels import ORDER
from .round_times import wait_for

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SynchronousSGD:
    """What theory says about rounds that wait for some or all workers.

    Parameters
    ----------
    eigenvalues : float or array
        Curvatures λ > 0 of the loss.
    learning_rate : float
        η > 0.
    workers : int
        Number of workers.
    compute_time : law, or list of laws (one per worker)
        Time of one gradient.
    communication : law, list of laws, or None
        Time to send and fetch, on a link of each worker's own.
    gradient_noise : float or array
        Standard deviation σ of each gradient component.
    method : value from sdde.cluster
        ``Synchronous()`` (all workers), ``KSync(k)`` (the first `k`), ``KBatchSync(k)`` or
        ``Rennala(batch)`` (the first so many gradients).

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, the method is not synchronous, or it needs more workers.

    Notes
    -----
    Rounds are steps of gradient descent with a gradient averaged over the group, so a coordinate
    contracts by 1 - ηλ a round and its variance obeys the textbook recursion of SGD. A round lasts
    its mean time: a closed form where there is one (`time_per_update`), else a sum over a lattice
    of times. Put together, derived in this project.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import cluster, theory
    >>> model = theory.SynchronousSGD(
    ...     1.0, learning_rate=0.5, workers=4, compute_time=scipy.stats.expon(),
    ...     method=cluster.Synchronous(),
    ... )
    >>> round(model.round_time, 4), round(model.time_to(0.01), 4)
    (2.0833, 6.25)
    """

    eigenvalues: Any
    learning_rate: float = field(kw_only=True)
    workers: int = field(kw_only=True)
    compute_time: Any = field(kw_only=True)
    communication: Any = field(default=None, kw_only=True)
    gradient_noise: Any = field(default=0.0, kw_only=True)
    method: Any = field(kw_only=True)
    group: int = field(init=False)
    round_time: float = field(init=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        values, noise = spectrum(self.eigenvalues, self.gradient_noise, "gradient_noise")
        store(self, "eigenvalues", values)
        store(self, "gradient_noise", noise)
        store(
            self, "learning_rate", checks.positive("learning_rate", self.learning_rate, example=0.1)
        )
        workers = checks.integer("workers", self.workers, lowest=1)
        waiting = synchronous_group(self.method)
        if waiting is None:
            raise checks.fail(
                "method", self.method, "is not synchronous",
                remedy="For example method = sdde.cluster.KSync(4).",
            )  # fmt: skip
        size = workers if waiting.size is None else waiting.size
        if waiting.idle and size > workers:
            raise checks.fail("k", size, f"exceeds the {workers} workers")
        store(self, "group", size)
        cycles = worker_cycles(self.compute_time, self.communication, workers)
        store(self, "round_time", wait_for(cycles, workers, size, again=not waiting.idle))
        if self.round_time <= 0.0:
            raise checks.fail(
                "compute_time", self.compute_time, "makes rounds that take no time",
                why="Infinitely many would be over at once.",
                remedy="For example compute_time = 1.0.",
            )  # fmt: skip

    @property
    def damping(self) -> Floats:
        """Dimensionless damping of each eigenvalue, learning rate times eigenvalue."""
        return self.learning_rate * self.eigenvalues

    @property
    def update_rate(self) -> float:
        """Rounds per unit of time."""
        return 1.0 / self.round_time

    def rate(self) -> float:
        """Return the decay rate of the slowest mean, in 1/time."""
        factor = float(np.abs(1.0 - self.learning_rate * self.eigenvalues).max())
        return math.inf if factor == 0.0 else -math.log(factor) / self.round_time

    def is_stable(self) -> bool:
        """Return whether the mean, and with it the mean square, converges."""
        return self.rate() > 0.0

    def is_mean_square_stable(self) -> bool:
        """Return whether the expected loss stays bounded; the same as `is_stable` in rounds."""
        return self.is_stable()

    def max_learning_rate(self) -> float:
        """Return two over the largest eigenvalue, where training begins to diverge."""
        return 2.0 / float(self.eigenvalues.max())

    def loss_floor(self) -> float:
        """Return the expected excess loss that remains for ever; ``inf`` where it diverges."""
        return self._per_round(1.0).floor

    def loss(self, t: ArrayLike, start: ArrayLike = 1.0) -> Any:
        """Return the expected excess loss at times `t`, with rounds of their mean length."""
        time = checks.array("t", t)
        value = self._per_round(start)(np.floor(time / self.round_time * (1.0 + 1e-12)))
        return float(value) if time.ndim == 0 else value

    def time_to(self, loss: float, start: ArrayLike = 1.0, *, whole: bool = True) -> float:
        """Return when the expected excess loss stays at or below `loss`.

        Parameters
        ----------
        loss : float
            Target, above the minimum.
        start : float or array
            Distance from the minimum along each eigenvector at time zero.
        whole : bool
            Whether to count whole rounds; otherwise the curve through the rounds is read, which is
            smooth in every input.
        """
        target = checks.positive("loss", loss, example=1e-3)
        rounds = self._per_round(start).time_below(target, settle=True)
        if not checks.flag("whole", whole):
            return rounds * self.round_time
        return math.ceil(rounds * (1.0 - 1e-12)) * self.round_time if rounds < math.inf else rounds

    def replace(self, **changes: Any) -> "SynchronousSGD":
        """Return a copy with some arguments changed."""
        return replace(self, **changes)

    def _per_round(self, start: ArrayLike) -> LossCurve:
        """Return the loss after each round as a curve."""
        point = per_axis("start", start, self.eigenvalues.size)
        alpha = self.learning_rate * self.eigenvalues
        square = (1.0 - alpha) ** 2
        kicks = (self.learning_rate * self.gradient_noise) ** 2 / self.group
        stable = bool((square < 1.0).all())
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.where(kicks > 0.0, kicks / (1.0 - square), 0.0)
            exponents = np.maximum(np.log(square), -700.0) + 0j
        floor = float(0.5 * np.sum(self.eigenvalues * level)) if stable else math.inf
        amplitudes = 0.5 * self.eigenvalues * (point**2 - level) + 0j
        return LossCurve(1.0, np.empty((0, ORDER)), floor, exponents, amplitudes)


def worker_cycles(compute_time: Any, communication: Any, workers: int) -> tuple[Law, ...]:
    """Return the cycle law of all workers, or of each, on links of their own."""
    computes = as_laws(compute_time, workers, "compute_time")
    if communication is None:
        return computes
    links = as_laws(communication, workers, "communication")
    if len(computes) == len(links) == 1:
        return (cycle_law(computes[0], links[0]),)
    return tuple(
        cycle_law(computes[i % len(computes)], links[i % len(links)]) for i in range(workers)
    )


def synchronous_group(method: Any) -> Group | None:
    """Return the waiting rule of a synchronous method, or None."""
    rules = getattr(method, "composed", None)
    if not isinstance(rules, Composed) or not isinstance(rules.waiting, Group):
        return None
    waiting = rules.waiting
    everyone = waiting.size is None and waiting.idle
    plain = rules == Composed(waiting)
    return waiting if plain and (waiting.cancel or everyone) else None
