r"""Asynchronous SGD on a quadratic: rate, stability, expected loss over time, time to a target.

Near a minimum the coordinates decouple. Along eigenvalue λ the dimensionless damping :math:`u =
\eta\lambda n` and the law of the delay decide everything: whether training converges, how fast, and
to which noise floor. This module turns a cluster into those numbers and adds the coordinates up;
the second moments themselves come from `renewal` (Poisson or evenly spaced arrivals),
`worker_squares` (workers as renewal processes) and `exact` (memoryless workers, workers in step).
All formulas are derived in this project; nothing here simulates.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.methods import AsyncSGD as PlainMethod
from sdde.cluster.quadratic import per_axis, spectrum
from sdde.cluster.system import SharedLink
from sdde.cluster.weights import Tail
from sdde.equation.laws import as_law

from . import clock, first_hitting, worker_limits
from .arrivals import ArrivalKind, Arrivals, exact_kind
from .exact import SquareCurves
from .loss_curve import LossCurve
from .loss_mixing import mixed
from .reductions import stream_of
from .squares import gather, square_curves
from .staleness import Staleness

Floats = NDArray[np.float64]
_LEAST_DAMPING = 1e-150  # its square is a number too


@dataclass(frozen=True, eq=False)
class AsyncSGD:
    r"""What theory says about a cluster that trains a quadratic asynchronously.

    Each of *n* workers repeats: fetch the parameters, compute a gradient, send it; the server
    applies :math:`x \leftarrow x - \eta g(x_{\mathrm{read}})` at once, with :math:`g_i = \lambda_i
    x_i + \xi_i`, :math:`\mathrm{Var}\,\xi_i = \sigma_i^2`. With Poisson arrivals of rate
    :math:`\Lambda` and an independent delay *S* for each gradient, the mean along eigenvalue λ
    obeys

    .. math:: m'(t) = -a\,E\,m(t - S), \qquad a = \eta\lambda\Lambda ,

    and the mean square a renewal equation with the arrival noise in it, both solved without further
    approximation.

    Parameters
    ----------
    eigenvalues : float or array
        Curvatures λ > 0 of the loss.
    learning_rate : float
        η > 0.
    workers : int
        Number of workers *n*.
    compute_time : law, or list of laws (one per worker)
        Time of one gradient: a number, a ``scipy.stats`` law, an array of measurements.
    communication : law, list of laws, sdde.cluster.SharedLink, or None
        Time to send and fetch, added to the computation; or one link for all workers.
    gradient_noise : float or array
        Standard deviation σ of each gradient component; one number for all, or one per eigenvalue.
    method : value from sdde.cluster, optional
        How the cluster trains; ``None`` is ``sdde.cluster.AsyncSGD()``. Also methods that drop,
        thin, group or weigh gradients independently of the parameters: ``KAsync``, ``KBatchAsync``,
        ``AgeThreshold``, ``StalenessThreshold``, ``Ringmaster``, ``RandomThinning``, ``TailTau``;
        not with exact arrivals.
    arrivals : {"poisson", "regular", "renewal", "exact"}
        How gradients arrive. ``"poisson"``: a Poisson process, each with an independent delay;
        right for memoryless or very variable cycles. ``"regular"``: evenly spaced, additive noise,
        each delay shorter by half the time between two updates; right for cycles that vary little.
        ``"renewal"``: each worker a renewal process whose own gradients are in what it reads; right
        for every law, few workers and large learning rates, and only for plain asynchronous SGD.
        ``"exact"``: no approximation, for exponential cycles (at most 15 different rates) or equal
        constant ones.

    Raises
    ------
    sdde.ArgumentError
        If an argument is unusable, or the exact treatment does not exist for these laws.

    See Also
    --------
    sdde.cluster.simulate : the same system, event by event.
    plan : the number of workers for a target loss.

    Notes
    -----
    All workers have read the starting point at time zero and are anywhere in their cycle (the
    stationary start of the simulator); where they wait for each other they begin together, which
    `loss` and `time_to` count as a lag. Losses are above the minimum, ``0.5 * sum(eigenvalue *
    x**2)``. Unequal workers enter through the sum of their rates and the rate-weighted mixture of
    their delays.

    Examples
    --------
    >>> import scipy.stats
    >>> from sdde import theory
    >>> model = theory.AsyncSGD(
    ...     [1.0, 0.5], learning_rate=0.02, workers=8, compute_time=scipy.stats.expon(),
    ...     arrivals="exact",
    ... )
    >>> model.update_rate, model.staleness.mean
    (8.0, 7.0)
    >>> round(model.time_to(0.01, 1.0), 3)
    18.998
    """

    eigenvalues: Any
    learning_rate: float = field(kw_only=True)
    workers: int = field(kw_only=True)
    compute_time: Any = field(kw_only=True)
    communication: Any = field(default=None, kw_only=True)
    gradient_noise: Any = field(default=0.0, kw_only=True)
    method: Any = field(default=None, kw_only=True)
    arrivals: ArrivalKind = field(default="poisson", kw_only=True)
    stream: Arrivals = field(init=False, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        values, noise = spectrum(self.eigenvalues, self.gradient_noise, "gradient_noise")
        store(self, "eigenvalues", values)
        store(self, "gradient_noise", noise)
        store(
            self, "learning_rate", checks.positive("learning_rate", self.learning_rate, example=0.1)
        )
        if self.learning_rate * values.min() < _LEAST_DAMPING:
            raise checks.fail(
                "learning_rate", self.learning_rate, "moves nothing in any time",
                why=f"Times the smallest eigenvalue it is below {_LEAST_DAMPING:g}.",
                remedy="For example learning_rate = 0.01.",
            )  # fmt: skip
        # Laws once converted keep their tables when the number of workers changes.
        store(self, "compute_time", _converted(self.compute_time, "compute_time"))
        store(self, "communication", _converted(self.communication, "communication"))
        stream = stream_of(
            self.workers, self.compute_time, self.communication, self.arrivals, self.method
        )
        store(self, "stream", stream)
        store(self, "workers", stream.workers)
        store(self, "arrivals", stream.kind)

    @property
    def is_plain(self) -> bool:
        """Whether every gradient is applied as it comes."""
        return self.method is None or self.method == PlainMethod()

    # ---- what the server sees -----------------------------------------------------------------

    @property
    def update_rate(self) -> float:
        """Updates per unit of time: applied gradients, over the group size where there is one."""
        return self.stream.rate / self.stream.group

    @cached_property
    def staleness(self) -> Staleness:
        """Law of the number of gradients of others that arrive between a read and its arrival."""
        return self.stream.staleness()

    @property
    def damping(self) -> Floats:
        r"""Dimensionless damping of each eigenvalue, :math:`u = \eta\lambda n` for plain SGD.

        In general η λ times applied gradients per mean delay, over the group size.
        """
        stream = self.stream
        flow = stream.rate * stream.delay.mean / stream.group
        return self.learning_rate * self.eigenvalues * flow

    # ---- the mean -----------------------------------------------------------------------------

    def rate(self) -> float:
        r"""Return the asymptotic decay rate of the slowest mean, in 1/time.

        It is :math:`-\max \mathrm{Re}\,s` over the characteristic roots of all eigenvalues;
        negative where the mean diverges. The expected noise-free loss falls at about twice this
        rate.
        """
        if self.stream.kind == "renewal":  # the squares of these have found their roots already
            some = gather(self.learning_rate * self.eigenvalues, "renewal")[0]
            return float(worker_limits.mean_rates(self.stream, some).min())
        # It rises with the damping up to critical damping and falls afterwards.
        some = np.unique(self.eigenvalues)[[0, -1]]
        return float(worker_limits.mean_rates(self.stream, self.learning_rate * some).min())

    @cached_property
    def rates(self) -> Floats:
        """Decay rate of the mean along each eigenvalue, in 1/time."""
        distinct, inverse = np.unique(self.eigenvalues, return_inverse=True)
        return worker_limits.mean_rates(self.stream, self.learning_rate * distinct)[inverse]

    def is_stable(self) -> bool:
        """Return whether the mean converges to the minimum along every eigenvalue."""
        return worker_limits.mean_is_stable(self.stream, self.learning_rate * self.eigenvalues)

    def mean_square_index(self) -> float:
        r"""Return how near the mean square is to growing without bound: it stays bounded below 1.

        For Poisson arrivals it is :math:`\alpha^2\Lambda\int_0^\infty K^2\,dt` of the largest
        eigenvalue, with :math:`\alpha = \eta\lambda` and *K* the fundamental solution; for evenly
        spaced arrivals 0 or ``inf``, as only the mean can diverge; for memoryless workers the share
        of the largest stable α; for workers as renewal processes the share of a stationary mean
        square that its own arrivals make, ``inf`` where the mean diverges; behind a shared link,
        and for unequal workers whose cycles never vary, the share of the largest stable α, or
        above it where that is far.
        """
        largest = float(self.learning_rate * self.eigenvalues.max())
        return worker_limits.mean_square_index(self.stream, largest)

    def is_mean_square_stable(self) -> bool:
        """Return whether the expected loss stays bounded: what training needs."""
        return worker_limits.is_bounded(self.stream, self.learning_rate * self.eigenvalues)

    # ---- the loss -----------------------------------------------------------------------------

    def loss(self, t: ArrayLike, start: ArrayLike = 1.0) -> Any:
        """Return the expected excess loss at times `t`.

        Parameters
        ----------
        t : float or array
            Times >= 0, in the unit of the laws.
        start : float or array
            Distance from the minimum along each eigenvector at time zero and before.

        Returns
        -------
        float or numpy.ndarray
            Expected loss above the minimum, shape of `t`; ``inf`` beyond about forty mean cycles
            where it grows without bound. As renewal processes, workers whose mean grows faster than
            by a third in a cycle have a loss of about 1e300 from the start.

        Raises
        ------
        sdde.ArgumentError
            If a time is negative or `start` does not fit.
        """
        time = checks.array("t", t)
        if time.size and time.min() < 0.0:
            raise checks.fail("t", t, "holds a negative time", remedy="Times count from the start.")
        curve = self.loss_curve(start)
        value = clock.losses(curve, time, lag=self.stream.lag, jitter=self.stream.jitter)
        if self.unweighted is not None:
            plain, until = self.unweighted
            value = clock.joined(plain.loss_curve(start), curve, until, time)
        return float(value) if time.ndim == 0 else value

    def loss_curve(self, start: ArrayLike = 1.0) -> LossCurve:
        """Return the expected excess loss as a curve that can be evaluated and searched."""
        point = per_axis("start", start, self.eigenvalues.size)
        return mixed(
            self._squares, *self._nodes, eigenvalues=self.eigenvalues, noise=self.gradient_noise,
            learning_rate=self.learning_rate, start=point,
        )  # fmt: skip

    def loss_floor(self) -> float:
        """Return the expected excess loss that remains for ever; ``inf`` if unbounded."""
        if not self.is_mean_square_stable():
            return math.inf
        alpha = self.learning_rate * self.eigenvalues
        variance = worker_limits.kick_variance(self.stream, alpha)
        kicks = (self.learning_rate * self.gradient_noise) ** 2
        heard = kicks > 0.0  # next to the limit the variance may be unbounded, without noise too
        return float(0.5 * np.sum((self.eigenvalues * kicks)[heard] * variance[heard]))

    def time_to(self, loss: float, start: ArrayLike = 1.0, *, settle: bool = True) -> float:
        """Return when the expected excess loss is at or below `loss`.

        Parameters
        ----------
        loss : float
            Target, above the minimum.
        start : float or array
            Distance from the minimum along each eigenvector at time zero.
        settle : bool
            Whether the loss must stay there from then on (the settling time), or may come back (the
            first hitting time, which is shorter where the parameters overshoot).

        Returns
        -------
        float
            Time in the unit of the laws; ``inf`` if the target is never reached, for example below
            the noise floor or where training diverges.

        Raises
        ------
        sdde.ArgumentError
            If `loss` is not positive.
        """
        target = checks.positive("loss", loss, example=1e-3)
        curve = self.loss_curve(start)
        time = curve.time_below(target, settle=checks.flag("settle", settle))
        if self.unweighted is not None:
            plain, until = self.unweighted
            return clock.joined_time(plain.loss_curve(start), curve, until, target, time)
        return clock.time_of(curve, time, target, lag=self.stream.lag, jitter=self.stream.jitter)

    mean_hitting_time = first_hitting.mean_hitting_time_of_slowest

    # ---- choosing -----------------------------------------------------------------------------

    def max_workers(self) -> float:
        """Return the largest number of workers with bounded expected loss at this learning rate.

        Returns
        -------
        float
            A whole number; 0 if even one worker diverges, ``inf`` if no number up to a billion
            does.
        """
        return worker_limits.max_workers(self)

    def max_learning_rate(self) -> float:
        """Return the learning rate from which the expected loss grows without bound."""
        return worker_limits.max_learning_rate(self)

    def best_workers(self) -> int:
        """Return the number of workers with the fastest asymptotic rate at this learning rate.

        Ties (rates that no longer grow) go to the smaller number. `plan` chooses for a target loss,
        which counts noise and overshoot too.
        """
        return worker_limits.best_workers(self)

    def best_learning_rate(self) -> float:
        """Return the learning rate with the fastest asymptotic rate for these workers.

        With one eigenvalue this is critical damping; with several, the smallest and the largest
        then decay equally fast, close to divergence when they are far apart.
        """
        return worker_limits.best_learning_rate(self)

    # ---- the same system for the solver -------------------------------------------------------

    def problem(self, start: ArrayLike = 1.0) -> Any:
        """Return the system as an `sdde.Problem`: gradients as Poisson arrivals with random delays.

        Parameters
        ----------
        start : float or array
            Distance from the minimum along each eigenvector, at time zero and before.

        Returns
        -------
        sdde.Problem
            Its state is the distance from the minimum; one coordinate for each eigenvalue. Up to
            eight eigenvalues have their gradient noise at the arrivals; more have it as a Wiener
            process with the same second moments.

        Raises
        ------
        sdde.ArgumentError
            If `start` does not fit.
        """
        from .async_problem import problem_of

        return problem_of(self, per_axis("start", start, self.eigenvalues.size))

    def replace(self, **changes: Any) -> "AsyncSGD":
        """Return a copy with some arguments changed."""
        return replace(self, **changes)

    # ---- inside -------------------------------------------------------------------------------

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        """Dimensionless learning rates that are solved, and each eigenvalue's shares in them."""
        return gather(self.learning_rate * self.eigenvalues, self.stream.kind)

    @cached_property
    def unweighted(self) -> "tuple[AsyncSGD, float] | None":
        """The model before weights begin, and when that is, where a method measures them first."""
        rule = getattr(getattr(self.method, "composed", None), "rate", None)
        if not isinstance(rule, Tail):
            return None
        cycle = self.stream.workers / self.stream.pace
        plain = self.replace(method=None)
        if exact_kind(plain.stream) is not None:
            plain = plain.replace(arrivals="exact")
        return plain, rule.window[1] * cycle

    @cached_property
    def _squares(self) -> SquareCurves:
        return square_curves(self.stream, self._nodes[0])


def _converted(value: Any, name: str) -> Any:
    if value is None:
        return None
    if isinstance(value, SharedLink):
        return SharedLink(as_law(value.law, name), capacity=value.capacity)
    if isinstance(value, list | tuple):
        return [as_law(item, f"{name}[{i}]") for i, item in enumerate(value)]
    return as_law(value, name)
