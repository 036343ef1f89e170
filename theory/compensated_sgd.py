r"""DC-ASGD on a quadratic: gradients corrected by their own squares, along the whole way down.

The server applies :math:`g + \kappa\,(x - x_{\mathrm{read}})` with :math:`\kappa = \lambda_c g
\odot g`. Along each eigenvalue λ the mean then obeys

.. math:: m'(t) = -\eta\Lambda\,E\bigl[\lambda\,m(t-S)
                  + \bar\kappa(t-S)\,(m(t) - m(t-S))\bigr],

where :math:`\bar\kappa` is :math:`\lambda_c` times the mean squared gradient,
:math:`\sigma^2 + \lambda^2 E x^2`: far from the minimum the gradient itself, not its noise, decides
how much is compensated. Here :math:`\kappa` is replaced by that mean, arrivals are evenly spaced,
and the variance that gradient noise leaves is the one under the compensation at the minimum. The
equation is stepped on a grid (trapezoidal rule); nothing here simulates. Derived in this project.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import per_axis
from sdde.cluster.weights import Compensation

from .arrivals import scales
from .async_sgd import AsyncSGD

Floats = NDArray[np.float64]

_STEPS = 16  # of the grid in a mean delay
_LONGEST = 12.0  # mean delays; longer ones count as this
_HORIZON = 120  # mean delays after which a loss that has not settled is continued as it fell
_FLOOR = 1e-7  # added to the running mean square, as in the method
_QUIET = 6.0  # mean delays that the loss must stay below its target


@dataclass(frozen=True, eq=False)
class CompensatedSGD:
    """What theory says about ``sdde.cluster.DelayCompensated`` on a quadratic.

    Parameters
    ----------
    plain : AsyncSGD
        The same cluster without compensation.
    method : sdde.cluster.DelayCompensated
        Strength, and memory of the running mean square if there is one.

    Raises
    ------
    sdde.ArgumentError
        If the method is something else than a compensation.

    Notes
    -----
    Approximate, see the module. In 167 event simulations with constant strength (4 to 24 workers,
    strengths 0.5 to 4, targets reached in 1.4 to 60 cycles) the time to a target agreed within 10 %
    (median 2 %), in 183 with a running mean square within 14 % (median 3 %); the worst were reached
    within three cycles. Derived in this project.

    Examples
    --------
    >>> from sdde import cluster, theory
    >>> plain = theory.AsyncSGD(
    ...     1.0, learning_rate=0.05, workers=16, compute_time=1.0, gradient_noise=0.5,
    ...     arrivals="regular",
    ... )
    >>> model = theory.CompensatedSGD(plain, cluster.DelayCompensated(2.0))
    >>> bool(model.time_to(0.02) < plain.time_to(0.02))
    True
    """

    plain: AsyncSGD
    method: Any
    strength: float = field(init=False)
    memory: float | None = field(init=False)

    def __post_init__(self) -> None:
        checks.instance(
            "plain", self.plain, AsyncSGD, "an AsyncSGD",
            remedy="For example plain = theory.AsyncSGD(1.0, learning_rate=0.02, workers=8, "
            "compute_time=1.0).",
        )  # fmt: skip
        fix = getattr(getattr(self.method, "composed", None), "compensation", None)
        if not isinstance(fix, Compensation):
            raise checks.fail(
                "method", self.method, "is not a compensation",
                remedy="For example method = sdde.cluster.DelayCompensated(2.0).",
            )  # fmt: skip
        object.__setattr__(self, "strength", fix.strength)
        object.__setattr__(self, "memory", fix.decay)

    # ---- what it shares with the plain method ---------------------------------------------------

    @property
    def eigenvalues(self) -> Floats:
        """Curvatures."""
        return self.plain.eigenvalues

    @property
    def learning_rate(self) -> float:
        """Learning rate."""
        return self.plain.learning_rate

    @property
    def workers(self) -> int:
        """Number of workers."""
        return self.plain.workers

    @property
    def stream(self) -> Any:
        """Stream of gradients at the server."""
        return self.plain.stream

    @property
    def arrivals(self) -> str:
        """Treatment of arrivals."""
        return self.plain.arrivals

    @property
    def damping(self) -> Floats:
        """Dimensionless damping of each eigenvalue, as without compensation."""
        return self.plain.damping

    @property
    def update_rate(self) -> float:
        """Updates per unit of time."""
        return self.plain.update_rate

    @property
    def group(self) -> int:
        """Gradients in an update."""
        return 1

    def replace(self, **changes: Any) -> "CompensatedSGD":
        """Return a copy with some arguments of the plain model changed."""
        return replace(self, plain=self.plain.replace(**changes))

    # ---- at the minimum -------------------------------------------------------------------------

    def curvature(self, square: Floats) -> Floats:
        """Return the mean of the estimated curvature where the mean square gradient is `square`."""
        if self.memory is None:
            return self.strength * square
        return self.strength * square / np.sqrt(square + _FLOOR)

    @cached_property
    def ages(self) -> tuple[Floats, Floats]:
        """A few delays that stand for their law, in mean delays, and their weights."""
        points, weights = scales(self.stream).law.nodes()
        return _few(np.minimum(points, _LONGEST), weights)

    @cached_property
    def quality(self) -> Floats:
        """Estimated over true curvature at the minimum, for each eigenvalue."""
        return self.curvature(self.plain.gradient_noise**2) / self.eigenvalues

    def is_stable(self) -> bool:
        """Return whether the mean converges near the minimum along every eigenvalue."""
        unit = scales(self.stream)
        damping = np.asarray(unit.damping(self.learning_rate * self.eigenvalues))
        if self.learning_rate * float(self.eigenvalues.max()) >= 2.0:
            return False
        return all(
            _rightmost(*self.ages, u, c) < 0.0
            for u, c in zip(damping.tolist(), self.quality.tolist(), strict=True)
            if u * (1.0 - c) >= 1.0  # less is stable under every law
        )

    def is_mean_square_stable(self) -> bool:
        """Return whether the expected loss stays bounded near the minimum."""
        return self.is_stable()

    def overshoots(self, start: Floats) -> bool:
        """Return whether one gradient, noisy by three deviations, may correct by too much.

        The correction grows with the square of the gradient: what overshoots once grows without
        bound, however stable the minimum is.
        """
        gradient = self.eigenvalues * np.abs(start) + 3.0 * self.plain.gradient_noise
        if self.memory is None:
            estimate = self.strength * gradient**2
        else:
            estimate = self.strength * gradient / math.sqrt(1.0 - self.memory)
        return self.learning_rate * float(estimate.max(initial=0.0)) >= 2.0

    def max_learning_rate(self) -> float:
        """Return the learning rate from which the mean diverges."""
        high = 2.0 / float(self.eigenvalues.max())
        if self.replace(learning_rate=high * (1.0 - 1e-9)).is_stable():
            return high
        low = 0.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            stable = self.replace(learning_rate=middle).is_stable()
            low, high = (middle, high) if stable else (low, middle)
        return low

    def rate(self) -> float:
        """Return the decay rate of the slowest mean near the minimum, in 1/time."""
        unit = scales(self.stream)
        damping = np.asarray(unit.damping(self.learning_rate * self.eigenvalues))
        slowest = math.inf
        for u, c in zip(damping.tolist(), self.quality.tolist(), strict=True):
            slowest = min(slowest, -_rightmost(*self.ages, u, c))
        return slowest / unit.time

    def loss_floor(self) -> float:
        r"""Return the expected excess loss that remains for ever; ``inf`` if unbounded.

        The variance of the kernel by Parseval's theorem, :math:`\frac1\pi\int_0^\infty
        |i\omega + a(c + (1-c)\varphi(i\omega))|^{-2} d\omega`.
        """
        if not self.is_stable():
            return math.inf
        unit = scales(self.stream)
        damping = np.asarray(unit.damping(self.learning_rate * self.eigenvalues))
        x, w = np.polynomial.legendre.leggauss(400)
        angle = 0.25 * math.pi * (x + 1.0)
        energy, (points, weights) = np.empty(damping.size), self.ages
        for i, (u, c) in enumerate(zip(damping, self.quality, strict=True)):
            frequency = max(u, 1e-12) * np.tan(angle)
            delayed = np.exp(-1j * np.multiply.outer(frequency, points)) @ weights
            transfer = 1j * frequency + u * (c + (1.0 - c) * delayed)
            slope = max(u, 1e-12) / np.cos(angle) ** 2 * 0.25 * math.pi
            energy[i] = float(np.sum(w * slope / np.abs(transfer) ** 2)) / math.pi
        kicks = (self.learning_rate * self.plain.gradient_noise) ** 2 * unit.kicks
        return float(0.5 * np.sum(self.eigenvalues * kicks * energy))

    # ---- along the way --------------------------------------------------------------------------

    def loss(self, t: ArrayLike, start: ArrayLike = 1.0) -> Any:
        """Return the expected excess loss at times `t`."""
        time = checks.array("t", t)
        grid, values = self._march(start, float(time.max(initial=0.0)), None)
        value = np.interp(time, grid, values)
        return float(value) if time.ndim == 0 else value

    def time_to(self, loss: float, start: ArrayLike = 1.0) -> float:
        """Return when the expected excess loss stays at or below `loss`; ``inf`` if never."""
        target = checks.positive("loss", loss, example=1e-3)
        if not self.loss_floor() < target:
            return math.inf
        time, values = self._march(start, _HORIZON * scales(self.stream).time, target)
        above = np.flatnonzero(~(values <= target))
        if not above.size:
            return 0.0
        last = int(above[-1])
        if last + 1 < values.size:
            before, after = values[last], values[last + 1]
            if not math.isfinite(before):
                return math.inf
            share = math.log(before / target) / math.log(before / after)
            return float(time[last] + share * (time[last + 1] - time[last]))
        half = values.size // 2
        if not values[-1] < values[half]:
            return math.inf
        floor = self.loss_floor()
        decay = math.log((values[half] - floor) / (values[-1] - floor)) / (time[-1] - time[half])
        return float(time[-1] + math.log((values[-1] - floor) / (target - floor)) / decay)

    def _march(self, start: ArrayLike, end: float, target: float | None) -> tuple[Floats, Floats]:
        """Return a grid of times and the loss there, up to `end` or until it has settled."""
        unit = scales(self.stream)
        size = self.eigenvalues.size
        point = per_axis("start", start, size)
        # Kernel and mean side by side: the first is linear, with the compensation at the minimum.
        eigen = np.tile(self.eigenvalues, 2)
        noise = np.tile(self.plain.gradient_noise**2, 2)
        pull = self.learning_rate * unit.flow  # per mean delay
        fastest = pull * float(np.max(self.eigenvalues))
        step = 1.0 / math.ceil(_STEPS * max(1.0, fastest))
        points, weights = self.ages
        lags = np.maximum(points / step, 1.0)
        whole = np.floor(lags).astype(int)
        share = (lags - whole)[:, None]
        reach = max(int(whole.max()), round(1.0 / step)) + 2
        steps = math.ceil(end / unit.time / step) + 2
        path = np.zeros((reach + steps + 1, 2 * size))
        path[:reach, size:] = point
        path[reach - 1, :size] = 1.0
        stiff = np.zeros_like(path)  # estimated curvature along the path
        spread = np.zeros(size)
        losses = [float(0.5 * np.sum(self.eigenvalues * point**2))]
        kick = (self.learning_rate * self.plain.gradient_noise) ** 2 * unit.kicks

        cycle = round(1.0 / step)
        memory = 0.0 if self.memory is None else self.memory
        known = np.zeros((path.shape[0], size))  # running mean squares at the reads

        def estimated(at: int) -> Floats:
            """Return the estimated curvatures where gradients are read."""
            square = noise[size:] + self.eigenvalues**2 * (path[at, size:] ** 2 + spread)
            if self.memory is None:
                return self.strength * square
            before = known[at - cycle] if at >= reach else 0.0 * square  # the first gradient
            known[at] = memory * before + (1.0 - memory) * square
            return self.strength * square / np.sqrt(known[at] + _FLOOR)

        stiff[:, :size] = self.curvature(noise[:size])
        stiff[:reach, size:] = estimated(reach - 1)
        known[:reach] = known[reach - 1]
        if self.overshoots(point):
            return np.array([0.0, end]), np.array([losses[0], math.inf])
        column = weights[:, None]

        def terms(at: int) -> tuple[Floats, Floats]:
            """Return the delayed force and the coefficient of the present state."""
            old, older = at - whole, at - whole - 1
            read = (1.0 - share) * path[old] + share * path[older]
            estimate = (1.0 - share) * stiff[old] + share * stiff[older]
            force = (column * (eigen - estimate) * read).sum(axis=0)
            return force, (column * estimate).sum(axis=0)

        force, hold = terms(reach - 1)
        quiet = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(reach, reach + steps):
                force_new, hold_new = terms(i)
                now = path[i - 1] * (1.0 - 0.5 * step * pull * hold)
                now -= 0.5 * step * pull * (force + force_new)
                path[i] = now / (1.0 + 0.5 * step * pull * hold_new)
                spread = spread + 0.5 * step * kick * (
                    path[i - 1, :size] ** 2 + path[i, :size] ** 2
                )
                stiff[i, size:] = estimated(i)
                force, hold = force_new, hold_new
                losses.append(
                    float(0.5 * np.sum(self.eigenvalues * (path[i, size:] ** 2 + spread)))
                )
                if target is not None:
                    quiet = quiet + 1 if losses[-1] <= target else 0
                    if quiet * step > _QUIET or not losses[-1] < 1e6 * (1.0 + losses[0]):
                        break
        times: Any = np.arange(len(losses)) * step * unit.time
        return times, np.array(losses)


def _rightmost(points: Floats, weights: Floats, u: float, c: float) -> float:
    r"""Return the largest real part of a root of :math:`s + u(c + (1-c)\varphi(s))`.

    Newton's iteration from a grid of points in the strip where dominant roots lie.
    """
    real, imaginary = np.meshgrid(np.linspace(-3.0, 1.0, 9), np.linspace(0.0, 4.0, 9))
    s = np.maximum(u, 0.3) * real.ravel() + 1j * np.maximum(u, 1.0) * imaginary.ravel()
    with np.errstate(all="ignore"):
        for _ in range(30):
            parts = np.exp(-np.multiply.outer(s, points)) * weights
            value = s + u * (c + (1.0 - c) * parts.sum(axis=1))
            s = s - value / (1.0 - u * (1.0 - c) * (parts @ points))
        parts = np.exp(-np.multiply.outer(s, points)) * weights
        value = np.abs(s + u * (c + (1.0 - c) * parts.sum(axis=1)))
    found = s[np.isfinite(s) & (value < 1e-9 * (1.0 + np.abs(s)))]
    return float(np.real(found).max()) if found.size else -u


def _few(points: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return at most about twenty values with the same mass and mean in every group."""
    if points.size <= 20:
        return points, weights / weights.sum()
    order = np.argsort(points)
    points, weights = points[order], weights[order] / weights.sum()
    group = np.minimum((np.cumsum(weights) * 20).astype(int), 19)
    mass: Any = np.bincount(group, weights, 20)
    mean = np.bincount(group, weights * points, 20)
    keep = mass > 0.0
    return mean[keep] / mass[keep], mass[keep]
