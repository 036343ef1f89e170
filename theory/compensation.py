r"""Delay compensation near a minimum: what a corrected stale gradient does to the delay equation.

Compensation adds to the stale gradient an estimate of its change since the read: with a curvature
estimate :math:`c\,h`, where *h* is the true curvature and *c* the quality of the estimate,

.. math:: x'(t) = -a\left[E\,x(t-S) + c\,(x(t) - E\,x(t-S))\right]
                = -a\left[c\,x(t) + (1-c)\,E\,x(t-S)\right] .

Perfect compensation (c = 1) removes the delay, c = 0 is plain asynchronous SGD, c > 1 slows down.
DC-ASGD estimates the curvature by :math:`\lambda_c\, g \odot g`, whose mean at a minimum is
:math:`\lambda_c` times the variance of the gradient's component. Nothing here simulates. Derived in
this project.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.laws import Law, as_law

from .bracket import root_between


@dataclass(frozen=True, eq=False)
class CompensatedDelay:
    r"""One coordinate with a delayed force, part of which is compensated.

    .. math:: x'(t) = -a\,[c\,x(t) + (1-c)\,E\,x(t-S)]

    Parameters
    ----------
    damping : float
        Damping *u*: force times mean delay, > 0; ``learning_rate * eigenvalue * workers``.
    quality : float
        *c* >= 0: estimated over true curvature; 1 compensates the delay exactly, to first order.
    law : law
        Law of the delay.

    Raises
    ------
    sdde.ArgumentError
        If `damping` is not positive, `quality` is negative or `law` is not a law of positive times.

    Notes
    -----
    Derived in this project, for the noise-free mean with the gradient linear in the parameters,
    where first order is exact. The estimate's own noise is left out.

    Examples
    --------
    >>> CompensatedDelay(1.4, 0.0).is_stable(), CompensatedDelay(1.7, 0.0).is_stable()
    (True, False)
    >>> CompensatedDelay(1.7, 0.5).is_stable(), round(CompensatedDelay(1.7, 1.0).rate(), 6)
    (True, 1.7)
    """

    damping: float
    quality: float
    law: Any = field(default=1.0)

    def __post_init__(self) -> None:
        store = object.__setattr__
        store(self, "damping", checks.positive("damping", self.damping, example=0.5))
        store(self, "quality", checks.nonnegative("quality", self.quality, example=0.5))
        delay = as_law(self.law, "law")
        if delay.mean <= 0.0:
            raise checks.fail("law", self.law, "has mean zero", remedy="For example law = 1.0.")
        store(self, "law", delay)

    def root(self) -> complex:
        r"""Return the dominant root of :math:`s + a c + a (1-c)\,\phi(s)`, times the mean delay.

        Where no root lies right of the point at which φ ceases to exist, that point.
        """
        from .delay_system import DelaySystem

        a = self.damping / self.law.mean
        if self.quality == 1.0:
            return complex(-self.damping)
        system = DelaySystem(-a * self.quality, -a * (1.0 - self.quality), self.law)
        found = np.ravel(system.roots(1))
        top = complex(found[0]) if found.size else complex(self.law.convergence_abscissa)
        return complex(top.real, abs(top.imag)) * self.law.mean

    def rate(self) -> float:
        """Return the decay rate times the mean delay; negative where the mean diverges."""
        return -self.root().real

    def is_stable(self) -> bool:
        """Return whether the mean converges."""
        return self.damping < self.stability_limit()

    def stability_limit(self) -> float:
        r"""Return the damping from which the mean diverges, for this quality and law.

        The crossing solves :math:`i\omega + a c + a(1-c)\phi(i\omega) = 0`; for a constant delay it
        is :math:`\arccos(-c/(1-c)) / \sqrt{1 - 2c}`. From c = 1/2 on the delayed part of the force
        is smaller than the instant one and no damping is unstable: ``inf``.
        """
        if self.quality >= 0.5:
            return math.inf
        if self.law.kind == "constant":
            c = self.quality
            return math.acos(-c / (1.0 - c)) / math.sqrt(1.0 - 2.0 * c)
        return self._crossing(self.law, self.quality)

    def _crossing(self, delay: Law, c: float) -> float:
        unit = 1.0 / delay.mean

        def bracket(w: float) -> complex:
            return c + (1.0 - c) * complex(delay.laplace(1j * w))

        grid = np.linspace(0.0, 60.0, 6001)[1:] * unit
        values = c + (1.0 - c) * np.asarray(delay.laplace(1j * grid))
        best = math.inf
        for i in np.flatnonzero(np.sign(values.real[:-1]) != np.sign(values.real[1:])):
            w = root_between(lambda w: bracket(w).real, float(grid[i]), float(grid[i + 1]))
            part = bracket(w).imag
            if part < 0.0:
                best = min(best, w / -part)
        return best * delay.mean


def dc_asgd_quality(compensation: float, eigenvalue: float, noise: float) -> float:
    r"""Return the quality of DC-ASGD's curvature estimate at a minimum.

    The estimate is :math:`\lambda_c E[g^2]`, and :math:`E[g^2] = \sigma^2` at the minimum, so
    :math:`c = \lambda_c \sigma^2 / h`.

    Parameters
    ----------
    compensation : float
        Strength :math:`\lambda_c` >= 0 of the compensation.
    eigenvalue : float
        Curvature *h* > 0.
    noise : float
        Standard deviation σ of the gradient's component.

    Returns
    -------
    float

    Notes
    -----
    Derived in this project. The estimate is right (c = 1) only where the squared gradient equals
    the curvature, as for a log-likelihood at the true parameters; elsewhere :math:`\lambda_c` has
    to be tuned.

    Examples
    --------
    >>> dc_asgd_quality(2.0, 0.5, 0.5)
    1.0
    """
    strength = checks.nonnegative("compensation", compensation)
    h = checks.positive("eigenvalue", eigenvalue)
    deviation = checks.nonnegative("noise", noise)
    return strength * deviation / h * deviation
