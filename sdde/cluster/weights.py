"""How much a gradient counts: weights by staleness, schedules, compensation. Plain values.

The staleness of a gradient is the number of updates between its read and its use. A rate rule
turns it, or the distance moved meanwhile, into a weight on the learning rate; a schedule lets the
learning rate fall with time; a compensation changes the gradient itself. Nothing here computes.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.laws import Law, as_law


@dataclass(frozen=True, slots=True)
class Inverse:
    """Weight ``1 / max(1, staleness)``.

    Examples
    --------
    >>> Inverse()
    Inverse()
    """


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Weight ``m / max(m, staleness)``.

    Parameters
    ----------
    full : int or None
        Staleness `m` up to which gradients count in full; None means the number of workers.

    Examples
    --------
    >>> Adaptive(8).full
    8
    """

    full: int | None = None

    def __post_init__(self) -> None:
        if self.full is not None:
            checks.integer("full", self.full, lowest=1)


@dataclass(frozen=True, slots=True)
class Capped:
    """Full learning rate up to a staleness, beyond it at most ``1 / (4 smoothness staleness)``.

    Parameters
    ----------
    smoothness : float
        Largest curvature of the objective, > 0.
    full : int or None
        Staleness up to which gradients count in full; None means the number of workers.

    Examples
    --------
    >>> Capped(10.0).smoothness
    10.0
    """

    smoothness: float
    full: int | None = None

    def __post_init__(self) -> None:
        checks.positive("smoothness", self.smoothness, example=10.0)
        if self.full is not None:
            checks.integer("full", self.full, lowest=1)


@dataclass(frozen=True, slots=True)
class Power:
    """Weight ``(1 + staleness) ** -power``.

    Parameters
    ----------
    power : float
        Exponent >= 0.

    Examples
    --------
    >>> Power(0.5).power
    0.5
    """

    power: float

    def __post_init__(self) -> None:
        checks.nonnegative("power", self.power, example=0.5)


@dataclass(frozen=True, slots=True)
class Decay:
    r"""Weight :math:`e^{-\beta\,\text{staleness}}`.

    Parameters
    ----------
    rate : float or None
        :math:`\beta` >= 0; None means :math:`\frac2t\log(1+\frac t2)` with `t` one more than the
        number of workers.

    Examples
    --------
    >>> Decay(0.1).rate
    0.1
    """

    rate: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None:
            checks.nonnegative("rate", self.rate, example=0.1)


@dataclass(frozen=True, slots=True)
class Tail:
    r"""Weight :math:`1 + A(1 - 2F)`, with `F` the mid-point distribution of the measured staleness.

    The run itself is measured: the staleness of its first gradients gives :math:`F(\tau) =
    P(<\tau) + \tfrac12 P(\tau)`; until then the weight is 1. The mid-point keeps the mean weight
    at 1.

    Parameters
    ----------
    amplitude : float
        `A` in [0, 1].
    window : tuple of int
        Gradients per worker between which staleness is measured.

    Examples
    --------
    >>> Tail(1.0).window
    (10, 15)
    """

    amplitude: float = 1.0
    window: tuple[int, int] = field(default=(10, 15), kw_only=True)

    def __post_init__(self) -> None:
        if checks.nonnegative("amplitude", self.amplitude, example=1.0) > 1.0:
            raise checks.fail(
                "amplitude", self.amplitude, "is above 1",
                why="The stalest gradients would be followed uphill.",
                remedy="For example amplitude = 1.0.",
            )  # fmt: skip
        if not isinstance(self.window, tuple) or len(self.window) != 2:
            raise checks.fail("window", self.window, "is not a pair", remedy="window = (10, 15)")
        first = checks.integer("window[0]", self.window[0], lowest=0)
        checks.integer("window[1]", self.window[1], lowest=first + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Weights by staleness, the last one also for everything staler.

    Parameters
    ----------
    weights : array (staleness,)
        Weight of a gradient of staleness 0, 1, 2, ...; >= 0.

    Examples
    --------
    >>> Table([1.0, 0.5, 0.0]).weights.tolist()
    [1.0, 0.5, 0.0]
    """

    weights: Any

    def __post_init__(self) -> None:
        weights: NDArray[np.float64] = checks.vector("weights", self.weights)
        if (weights < 0).any():
            raise checks.fail("weights", self.weights, "holds a negative weight")
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)


@dataclass(frozen=True, slots=True)
class InverseDistance:
    """Learning rate ``min(learning_rate, constant / distance**2)``, the distance moved since the
    read.

    Parameters
    ----------
    constant : float
        > 0, in parameter units squared.

    Examples
    --------
    >>> InverseDistance(0.01).constant
    0.01
    """

    constant: float

    def __post_init__(self) -> None:
        checks.positive("constant", self.constant, example=0.01)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate that falls with the number `k` of the update, from 1 at the first.

    ``"power"``: ``(k / first) ** -power``; ``"log"``: like ``1 / (k log k)``; ``"loglog"``: like
    ``1 / (k log k log log k)``; with `k` counted from `first`.

    Parameters
    ----------
    kind : {"power", "log", "loglog"}
        How it falls.
    power : float
        Exponent of ``"power"``, > 0.
    first : int
        Number given to the first update; at least 1, 2 or 16 for the three kinds.

    Examples
    --------
    >>> Schedule("power").first
    1
    """

    kind: str
    power: float = field(default=1.0, kw_only=True)
    first: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        lowest = {"power": 1, "log": 2, "loglog": 16}
        checks.choice("kind", self.kind, lowest)
        checks.positive("power", self.power)
        if self.first is None:
            object.__setattr__(self, "first", lowest[self.kind])
        checks.integer("first", self.first, lowest=lowest[self.kind])


@dataclass(frozen=True, slots=True)
class Steps:
    """Learning rate multiplied by a factor at given numbers of updates.

    Parameters
    ----------
    at : tuple of int
        Increasing numbers of updates, >= 1, after which the rate falls.
    factor : float
        Factor in (0, 1].

    Examples
    --------
    >>> Steps((8000, 12_000)).factor
    0.1
    """

    at: tuple[int, ...]
    factor: float = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.at, tuple) or not self.at:
            raise checks.fail("at", self.at, "is not a tuple of numbers", remedy="at = (8000,)")
        last = 0
        for i, number in enumerate(self.at):
            last = checks.integer(f"at[{i}]", number, lowest=last + 1)
        if checks.positive("factor", self.factor, example=0.1) > 1:
            raise checks.fail("factor", self.factor, "is above 1", remedy="factor = 0.1")


@dataclass(frozen=True, slots=True)
class Cosine:
    r"""Learning rate that falls along half a cosine, from 1 to `lowest` in `updates` updates.

    Parameters
    ----------
    updates : int
        Updates until it is lowest, >= 1.
    lowest : float
        Share of the full rate at the end, in [0, 1].

    Examples
    --------
    >>> Cosine(10_000).lowest
    0.0
    """

    updates: int
    lowest: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        checks.integer("updates", self.updates, lowest=1)
        if checks.nonnegative("lowest", self.lowest) > 1:
            raise checks.fail("lowest", self.lowest, "is above 1", remedy="lowest = 0.0")


@dataclass(frozen=True, slots=True)
class Compensation:
    r"""Correct a stale gradient `g` by :math:`\lambda\,g\odot g\odot(x - x_{\text{read}})`.

    The outer product of the gradient stands for the curvature between the read and now.

    Parameters
    ----------
    strength : float
        :math:`\lambda_0` >= 0.
    decay : float or None
        None: :math:`\lambda = \lambda_0`. A number `m` in [0, 1): :math:`\lambda =
        \lambda_0/\sqrt{M + 10^{-7}}` with the running mean square :math:`M \leftarrow mM +
        (1-m)\,g\odot g` of each worker's gradients, updated before use.

    Examples
    --------
    >>> Compensation(2.0, decay=0.95).decay
    0.95
    """

    strength: float
    decay: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        checks.nonnegative("strength", self.strength, example=2.0)
        if self.decay is not None and checks.nonnegative("decay", self.decay, example=0.95) >= 1:
            raise checks.fail("decay", self.decay, "is not below 1", remedy="decay = 0.95")


@dataclass(frozen=True, slots=True, eq=False)
class ImplicitMomentum:
    r"""Weight :math:`c\,m^{\tau}/p(\tau)` for staleness of law `p`, but never above a cap.

    Stale gradients act like momentum; with these weights (and no cap) like heavy-ball momentum `m`
    exactly, for independent staleness. The constant `c` makes the mean weight 1.

    Parameters
    ----------
    momentum : float
        `m` in [0, 1).
    staleness : law or None
        Law of whole numbers; an array of measured staleness counts as one. None: the geometric
        law of memoryless workers, whose mean is their number less one.
    cap : float
        Largest weight, >= 1: in the tails :math:`1/p` grows beyond all bounds.

    Examples
    --------
    >>> ImplicitMomentum(0.5).table(workers=4)[:3].round(4).tolist()
    [2.0, 1.3333, 0.8889]
    """

    momentum: float
    staleness: Any = field(default=None, kw_only=True)
    cap: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        if checks.nonnegative("momentum", self.momentum, example=0.5) >= 1:
            raise checks.fail("momentum", self.momentum, "is not below 1", remedy="momentum = 0.5")
        if self.staleness is not None:
            whole_law("staleness", self.staleness)
        if checks.number("cap", self.cap, example=5.0) < 1:
            raise checks.fail(
                "cap", self.cap, "is below 1", why="The mean weight is 1.", remedy="cap = 5.0"
            )

    def table(self, workers: int) -> NDArray[np.float64]:
        """Return the weights of staleness 0, 1, 2, ..., the last also for all that is staler."""
        if self.staleness is None:
            q = 1.0 - 1.0 / workers
            last = int(np.ceil(np.log(_RARE) / np.log(q))) if q else 0
            p = (1.0 - q) * q ** np.arange(last + 1)
        else:
            law = whole_law("staleness", self.staleness)
            last = int(law.highest if np.isfinite(law.highest) else law.quantile(1.0 - _RARE))
            if last > _MOST:
                raise checks.fail(
                    "staleness", self.staleness, f"reaches {last:.3g} updates",
                    remedy=f"Give a law that stays below {_MOST}.",
                )  # fmt: skip
            p = np.diff(law.cdf(np.arange(-1, last + 1)))
        with np.errstate(divide="ignore"):  # in logarithms: both factors leave the range of doubles
            shape = np.arange(last + 1) * math.log(self.momentum) if self.momentum else np.zeros(1)
            shape = np.pad(shape, (0, last + 1 - len(shape)), constant_values=-np.inf) - np.log(p)
        shape = np.where(np.isnan(shape), np.inf, shape)  # 0 / 0: never seen, so capped

        def weights(log_c: float) -> NDArray[np.float64]:
            return np.exp(np.minimum(log_c + shape, np.log(float(self.cap))))

        low, high = -800.0, 800.0
        for _ in range(200):  # bisection: the mean grows with c
            middle = 0.5 * (low + high)
            if weights(middle) @ p < p.sum():
                low = middle
            else:
                high = middle
        return weights(high)


AnySchedule = Schedule | Steps | Cosine


def whole_law(name: str, value: Any) -> Law:
    """Return a law of whole numbers >= 0, or refuse the value."""
    law = as_law(value, name)
    values, _ = law.nodes()
    if law.kind not in ("constant", "measured", "discrete") or np.any(values % 1):
        raise checks.fail(
            name, value, "is not a law of whole numbers", why="Staleness counts updates.",
            remedy="For example scipy.stats.geom(0.125, loc=-1).",
        )  # fmt: skip
    return law


_RARE = 1e-12  # share of the staleness beyond the tables
_MOST = 10_000_000  # updates that a table of staleness may reach

Rate = (
    Inverse | Adaptive | Capped | Power | Decay | Tail | Table | InverseDistance | ImplicitMomentum
)
