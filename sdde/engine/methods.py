"""Methods: one time step as an expression, and what is known about it.

A method is text that the chunk writer puts into the loop over paths, together with the orders it
reaches for each class of noise. Nothing here loops or compiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sdde import checks


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """A time-stepping scheme.

    Attributes
    ----------
    name : str
        What users type.
    step : str
        The new value of one component, with fields ``x`` (the value), ``drift``, ``noise``
        (diffusion times Wiener increment).
    plain_step : str
        The same without noise.
    strong_order : mapping
        Order of the mean-square error of paths for each class of noise: ``"additive"`` and
        ``"multiplicative"`` (the coefficient depends on the state).
    weak_order : float
        Order of the error of means of smooth functions of the state.
    """

    name: str
    step: str
    plain_step: str
    strong_order: Mapping[str, float]
    weak_order: float


# The sum in brackets leaves one addition on the chain from one state to the next.
EULER_MARUYAMA = Method(
    name="euler-maruyama",
    step="{x} + ({drift} * dt + {noise})",
    plain_step="{x} + {drift} * dt",
    strong_order=MappingProxyType({"additive": 1.0, "multiplicative": 0.5}),
    weak_order=1.0,
)

METHODS = {method.name: method for method in (EULER_MARUYAMA,)}


def method_named(name: str) -> Method:
    """Return the method that a user named."""
    return METHODS[checks.choice("method", name, METHODS)]
