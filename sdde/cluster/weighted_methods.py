"""Asynchronous SGD with weights by staleness or with compensation, as plain values.

These methods apply every gradient as soon as it arrives, like `AsyncSGD`, but not each in full.
Like all methods they say by `composed` which rules they are made of. Nothing here computes.
"""

from dataclasses import dataclass, field
from typing import Any

from sdde import checks
from sdde.cluster import weights
from sdde.cluster.rules import Composed


@dataclass(frozen=True, slots=True)
class StalenessAware:
    """Asynchronous SGD with the learning rate divided by the staleness (by 1 if it is 0).

    Examples
    --------
    >>> StalenessAware()
    StalenessAware()
    """

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Inverse())


@dataclass(frozen=True, slots=True)
class DelayAdaptive:
    """Asynchronous SGD with the learning rate times ``full / max(full, staleness)``.

    Parameters
    ----------
    full : int or None
        Staleness up to which gradients count in full; None means the number of workers.

    References
    ----------
    .. [1] K. Mishchenko, F. Bach, M. Even, B. Woodworth, "Asynchronous SGD beats minibatch SGD
           under arbitrary delays", NeurIPS 2022 (arXiv:2206.07638).

    Examples
    --------
    >>> DelayAdaptive(8).full
    8
    """

    full: int | None = None

    def __post_init__(self) -> None:
        weights.Adaptive(self.full)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Adaptive(self.full))


@dataclass(frozen=True, slots=True)
class ConcurrencyCapped:
    """Asynchronous SGD at full learning rate up to a staleness, beyond it ``1 / (4 L staleness)``.

    Parameters
    ----------
    smoothness : float
        Largest curvature `L` of the objective, > 0.
    full : int or None
        Staleness up to which gradients count in full; None means the number of workers.

    References
    ----------
    .. [1] A. Koloskova, S. Stich, M. Jaggi, "Sharper convergence guarantees for asynchronous SGD
           for distributed and federated learning", NeurIPS 2022 (arXiv:2206.08307).

    Examples
    --------
    >>> ConcurrencyCapped(10.0).smoothness
    10.0
    """

    smoothness: float
    full: int | None = None

    def __post_init__(self) -> None:
        weights.Capped(self.smoothness, self.full)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Capped(self.smoothness, self.full))


@dataclass(frozen=True, slots=True)
class FLeet:
    r"""Asynchronous SGD with weights :math:`e^{-\beta\,\text{staleness}}`.

    Parameters
    ----------
    decay : float or None
        :math:`\beta` >= 0; None means :math:`\frac2t\log(1+\frac t2)` with `t` one more than the
        number of workers.

    Examples
    --------
    >>> FLeet(0.1).decay
    0.1
    """

    decay: float | None = None

    def __post_init__(self) -> None:
        weights.Decay(self.decay)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Decay(self.decay))


@dataclass(frozen=True, slots=True)
class TailTau:
    r"""Asynchronous SGD with weights :math:`1 + A(1 - 2F(\tau))` by the measured staleness.

    `F` is the mid-point distribution :math:`P(<\tau)+\tfrac12P(\tau)` of the staleness that the run
    itself showed in a window near its start; with it the mean weight over that window is exactly 1.

    Parameters
    ----------
    amplitude : float
        `A` in [0, 1].
    window : tuple of int
        Gradients per worker between which staleness is measured.

    References
    ----------
    .. [1] K. Bäckström, M. Papatriantafilou, P. Tsigas, "ASAP.SGD: instance-based adaptiveness to
           staleness in asynchronous SGD", ICML 2022.

    Examples
    --------
    >>> TailTau().amplitude
    1.0
    """

    amplitude: float = 1.0
    window: tuple[int, int] = field(default=(10, 15), kw_only=True)

    def __post_init__(self) -> None:
        weights.Tail(self.amplitude, window=self.window)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Tail(self.amplitude, window=self.window))


@dataclass(frozen=True, slots=True, eq=False)
class StalenessTable:
    """Asynchronous SGD with a weight for each staleness.

    Parameters
    ----------
    weights : array (staleness,)
        Weight of a gradient of staleness 0, 1, 2, ..., the last also for everything staler; >= 0.

    Examples
    --------
    >>> StalenessTable([1.0, 0.5, 0.0]).weights.tolist()
    [1.0, 0.5, 0.0]
    """

    weights: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", weights.Table(self.weights).weights)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.Table(self.weights))


@dataclass(frozen=True, slots=True, eq=False)
class MindTheStep:
    r"""Asynchronous SGD whose weights make the staleness act like a chosen momentum.

    Weights are :math:`\min(\text{cap}, c\,m^\tau/p(\tau))` for staleness of law `p`, with mean 1.

    Parameters
    ----------
    momentum : float
        Implicit momentum `m` in [0, 1).
    staleness : law or None
        Law of whole numbers, for example ``scipy.stats.poisson(7)``, or an array of measured
        staleness. None: the geometric law of memoryless workers.
    cap : float
        Largest weight, >= 1.

    Notes
    -----
    That weights :math:`m^\tau/p(\tau)` give heavy-ball momentum `m` in the mean holds for
    staleness that is independent of the past; the cap and the normalisation are choices made here.

    References
    ----------
    .. [1] K. Bäckström, M. Papatriantafilou, P. Tsigas, "MindTheStep-AsyncPSGD: adaptive
           asynchronous parallel stochastic gradient descent", IEEE BigData 2019 (arXiv:1911.03444).

    Examples
    --------
    >>> MindTheStep(0.5).cap
    5.0
    """

    momentum: float = 0.5
    staleness: Any = field(default=None, kw_only=True)
    cap: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        weights.ImplicitMomentum(self.momentum, staleness=self.staleness, cap=self.cap)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        rule = weights.ImplicitMomentum(self.momentum, staleness=self.staleness, cap=self.cap)
        return Composed(rate=rule)


@dataclass(frozen=True, slots=True)
class DistanceAdaptive:
    """Asynchronous SGD with learning rate ``min(learning_rate, constant / distance**2)``.

    The distance is that between the parameters now and those at which the gradient was computed.

    Parameters
    ----------
    constant : float
        > 0, in parameter units squared.

    References
    ----------
    .. [1] S. Dutta, G. Joshi, S. Ghosh, P. Dube, P. Nagpurkar, "Slow and stale gradients can win
           the race: error-runtime trade-offs in distributed SGD", AISTATS 2018 (PMLR 84).

    Examples
    --------
    >>> DistanceAdaptive(0.01).constant
    0.01
    """

    constant: float

    def __post_init__(self) -> None:
        checks.positive("constant", self.constant, example=0.01)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        return Composed(rate=weights.InverseDistance(self.constant))


@dataclass(frozen=True, slots=True)
class DelayCompensated:
    r"""Asynchronous SGD with each gradient corrected for what happened since its read.

    .. math:: x \leftarrow x - \eta\,\bigl(g + \lambda\, g\odot g\odot(x - x_{\text{read}})\bigr)

    Parameters
    ----------
    strength : float
        :math:`\lambda_0` >= 0.
    decay : float or None
        None: constant :math:`\lambda`. A number `m` in [0, 1): divided by the root of a running
        mean square of each worker's own gradients, with memory `m`.

    References
    ----------
    .. [1] S. Zheng, Q. Meng, T. Wang, W. Chen, N. Yu, Z.-M. Ma, T.-Y. Liu, "Asynchronous stochastic
           gradient descent with delay compensation", ICML 2017 (arXiv:1609.08326).

    Examples
    --------
    >>> DelayCompensated(2.0, decay=0.95).strength
    2.0
    """

    strength: float
    decay: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        weights.Compensation(self.strength, decay=self.decay)

    @property
    def composed(self) -> Composed:
        """The method as rules."""
        fix = weights.Compensation(self.strength, decay=self.decay)
        return Composed(compensation=fix)
