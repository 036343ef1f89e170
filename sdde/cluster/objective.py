"""Objectives of the user's own: a gradient and a loss as ordinary Python functions.

The functions are compiled by numba when a simulation first needs them and kept on disk by their
content. Randomness is added here, so that it has addresses like all other randomness: normal noise
on each component, or mini-batches of numbered samples. Nothing here knows about workers or time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import per_axis

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Objective:
    """A function to be minimised, given by its gradient and its loss.

    Build it with `from_callables`.

    Attributes
    ----------
    gradient_function, loss_function : callable
        What the user gave.
    dim : int
        Number of parameters.
    start : array (dim,)
        Parameters before the first update.
    noise : array (dim,)
        Standard deviation of the normal noise on each component of a gradient.
    samples, batch : int
        Number of samples, 0 if the gradient is not a mean over samples, and samples in one
        gradient.
    lowest : float
        Loss at the minimum.
    """

    gradient_function: Callable[..., Any]
    loss_function: Callable[..., Any]
    dim: int
    start: Floats
    noise: Floats
    samples: int
    batch: int
    lowest: float

    @staticmethod
    def from_callables(
        gradient: Callable[..., Any],
        loss: Callable[..., Any],
        dim: int,
        *,
        start: float | ArrayLike = 1.0,
        noise: float | ArrayLike = 0.0,
        samples: int | None = None,
        batch: int = 1,
        lowest: float = 0.0,
    ) -> "Objective":
        """Return an objective from Python functions that numba can compile.

        Parameters
        ----------
        gradient : callable
            ``gradient(x)`` returns an array ``(dim,)``; with `samples` given, ``gradient(x,
            sample)`` returns the gradient of one sample's loss, the samples counted from 0.
        loss : callable
            ``loss(x)`` returns the loss that is recorded, over all data.
        dim : int
            Number of parameters.
        start : float or array (dim,)
            Parameters before the first update.
        noise : float or array (dim,)
            Standard deviation >= 0 of normal noise on each component of a gradient.
        samples : int, optional
            Number of samples; a stochastic gradient averages `batch` of them, drawn with
            replacement.
        batch : int
            Samples in one gradient.
        lowest : float
            Loss at the minimum; `Runs` record the loss above it.

        Returns
        -------
        Objective

        Raises
        ------
        sdde.ArgumentError
            If a function cannot be called or returns the wrong shape at the start, or a number is
            out of its range.

        Examples
        --------
        >>> well = Objective.from_callables(
        ...     lambda x: 4.0 * x * (x * x - 1.0), lambda x: ((x * x - 1.0) ** 2).sum(), 1,
        ...     start=0.1, noise=0.01,
        ... )
        >>> well.dim, well.loss([1.0])
        (1, 0.0)
        """
        count = checks.integer("dim", dim, lowest=1)
        checks.function("gradient", gradient, signature="(x)")
        checks.function("loss", loss, signature="(x)")
        first = per_axis("start", start, count)
        spread = per_axis("noise", noise, count)
        if spread.min() < 0:
            raise checks.fail("noise", noise, "holds a negative value", remedy="noise = 0.1")
        number = 0 if samples is None else checks.integer("samples", samples, lowest=1)
        size = checks.integer("batch", batch, lowest=1)
        slope = np.asarray(gradient(first.copy(), 0) if number else gradient(first.copy()))
        if slope.shape != (count,):
            raise checks.fail(
                "gradient", gradient, f"returned shape {slope.shape}, expected ({count},)"
            )
        if np.ndim(loss(first.copy())) != 0:
            raise checks.fail("loss", loss, "did not return a number")
        for array in (first, spread):
            array.setflags(write=False)
        return Objective(
            gradient, loss, count, first, spread, number, size, checks.number("lowest", lowest)
        )

    def loss(self, x: ArrayLike) -> float:
        """Return the loss at `x` (not the excess above the minimum)."""
        return float(self.loss_function(checks.vector("x", x)))


def rosenbrock(dim: int = 2, *, noise: float = 0.0) -> Objective:
    r"""Return the Rosenbrock function scaled by 1/100: a curved valley with its minimum at ones.

    .. math:: f(x) = \sum_i (x_{i+1} - x_i^2)^2 + \tfrac1{100} (1 - x_i)^2

    Parameters
    ----------
    dim : int
        Number of parameters, at least 2.
    noise : float
        Standard deviation of the noise on each gradient component.

    Returns
    -------
    Objective
        Starting at 0 in every coordinate.

    Raises
    ------
    sdde.ArgumentError
        If `dim` is below 2 or `noise` negative.

    Examples
    --------
    >>> rosenbrock(3).loss([1.0, 1.0, 1.0])
    0.0
    """
    checks.integer("dim", dim, lowest=2)
    return Objective.from_callables(
        _rosenbrock_gradient, _rosenbrock_loss, dim, start=0.0, noise=noise
    )


def _rosenbrock_gradient(x):
    out = np.zeros(len(x))
    for i in range(len(x) - 1):
        gap = x[i + 1] - x[i] * x[i]
        out[i] += -4.0 * x[i] * gap - 0.02 * (1.0 - x[i])
        out[i + 1] += 2.0 * gap
    return out


def _rosenbrock_loss(x):
    total = 0.0
    for i in range(len(x) - 1):
        gap = x[i + 1] - x[i] * x[i]
        total += gap * gap + 0.01 * (1.0 - x[i]) * (1.0 - x[i])
    return total


def strict_saddle(dim: int = 2, *, noise: float = 0.0) -> Objective:
    r"""Return a double well that starts exactly at its saddle.

    .. math:: f(x) = \tfrac14 (x_1^2 - 1)^2 + \tfrac12 \sum_{i>1} x_i^2

    The saddle at 0 has curvature -1 along the first axis; the minima are at :math:`x_1 = \pm 1`.

    Parameters
    ----------
    dim : int
        Number of parameters, at least 1.
    noise : float
        Standard deviation of the noise on each gradient component; without noise nothing moves.

    Returns
    -------
    Objective

    Raises
    ------
    sdde.ArgumentError
        If `dim` is below 1 or `noise` negative.

    Examples
    --------
    >>> strict_saddle(2).loss([0.0, 0.0]), strict_saddle(2).loss([-1.0, 0.0])
    (0.25, 0.0)
    """
    return Objective.from_callables(_saddle_gradient, _saddle_loss, dim, start=0.0, noise=noise)


def _saddle_gradient(x):
    out = x.copy()
    out[0] = x[0] * (x[0] * x[0] - 1.0)
    return out


def _saddle_loss(x):
    total = 0.25 * (x[0] * x[0] - 1.0) ** 2
    for i in range(1, len(x)):
        total += 0.5 * x[i] * x[i]
    return total
