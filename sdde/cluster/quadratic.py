"""The quadratic objective, as plain numbers that the simulator runs and the theory reads.

Near a minimum every smooth loss is quadratic; in the axes of its Hessian the coordinates decouple,
so a list of eigenvalues, the noise along each axis and the starting distance say everything.
Nothing here computes gradients or runs workers.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

_FLATTEST = 1e30  # largest over smallest eigenvalue


@dataclass(frozen=True, eq=False)
class Quadratic:
    r"""Excess loss of a quadratic objective, in the axes of its Hessian.

    .. math:: F(x) = \tfrac12 \sum_i \lambda_i x_i^2, \qquad
              g_i = \lambda_i x_i + \xi_i, \quad \mathrm{sd}\,\xi_i = \text{noise}_i

    Parameters
    ----------
    eigenvalues : float or array
        Curvatures λ > 0, one per coordinate; a number means one coordinate.
    noise : float or array
        Standard deviation of each component of a stochastic gradient; one number for all, or one
        each.
    start : float or array
        Where training starts, as a distance from the minimum along each axis.

    Attributes
    ----------
    eigenvalues, noise, start : numpy.ndarray
        The arguments as float64 arrays; `eigenvalues` and `start` have shape ``(dim,)``.

    Raises
    ------
    sdde.ArgumentError
        If an eigenvalue is not positive, a noise is negative, or lengths disagree.

    Examples
    --------
    >>> objective = Quadratic([1.0, 0.1], noise=0.1)
    >>> objective.dim, objective.initial_loss
    (2, 0.55)
    """

    eigenvalues: Any
    noise: Any = field(default=0.0, kw_only=True)
    start: Any = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        eigenvalues, noise = spectrum(self.eigenvalues, self.noise, "noise")
        start = per_axis("start", self.start, eigenvalues.size)
        for name, value in (("eigenvalues", eigenvalues), ("noise", noise), ("start", start)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.eigenvalues.size

    @property
    def initial_loss(self) -> float:
        """Loss at the start, above the minimum."""
        return float(0.5 * np.sum(self.eigenvalues * self.start**2))

    def loss(self, x: Any) -> float:
        """Return the loss at `x`, a distance from the minimum along each axis."""
        return float(0.5 * np.sum(self.eigenvalues * np.square(checks.vector("x", x))))

    def quadratic(self) -> "Quadratic":
        """Return the objective itself: it is its own local quadratic."""
        return self


def spectrum(
    eigenvalues: Any, noise: Any, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return curvatures > 0 and the noise along each axis, >= 0, called `name` in messages."""
    sizes = checks.several("eigenvalues", eigenvalues)
    if sizes.min() <= 0:
        raise checks.fail(
            "eigenvalues", eigenvalues, "holds a value that is not positive",
            why="Along a flat or falling axis the loss has no minimum to converge to.",
            remedy="For example eigenvalues = [1.0, 0.1].",
        )  # fmt: skip
    if sizes.max() / _FLATTEST > sizes.min():
        raise checks.fail(
            "eigenvalues", eigenvalues, f"spans more than a factor of {_FLATTEST:g}",
            why="Beside the largest the smallest are nothing but rounding.",
            remedy="Leave the smallest out.",
        )  # fmt: skip
    deviations = per_axis(name, noise, sizes.size)
    if deviations.min() < 0:
        raise checks.fail(
            name, noise, "holds a negative value", remedy=f"For example {name} = 0.1."
        )
    return sizes, deviations


def per_axis(name: str, value: Any, dim: int) -> NDArray[np.float64]:
    """Return `value` as a ``(dim,)`` array; one number stands for all axes."""
    numbers = checks.several(name, value)
    if numbers.size == 1:
        return np.full(dim, numbers[0])
    if numbers.size != dim:
        raise checks.fail(
            name, value, f"has {numbers.size} entries for {dim} coordinates",
            remedy=f"Give one number, or {dim}.",
        )  # fmt: skip
    return numbers
