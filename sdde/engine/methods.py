"""Methods: schemes by name, and what is known about each.

A method is a scheme, which writes one time step, together with the orders it reaches for each class
of noise. Nothing here loops or compiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sdde import checks
from sdde.engine.schemes import explicit
from sdde.engine.schemes.steps import Step


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """A time-stepping scheme.

    Attributes
    ----------
    name : str
        What users type.
    write : callable
        Writes a step.
    strong_order : mapping
        Order of the mean-square error of paths for each class of noise: ``"additive"`` and
        ``"multiplicative"`` (the coefficient depends on the state).
    weak_order : float
        Order of the error of means of smooth functions of the state.
    """

    name: str
    write: Callable[[Step], None]
    strong_order: Mapping[str, float]
    weak_order: float


EULER_MARUYAMA = Method(
    name="euler-maruyama",
    write=explicit.euler_maruyama,
    strong_order=MappingProxyType({"additive": 1.0, "multiplicative": 0.5}),
    weak_order=1.0,
)

METHODS = {method.name: method for method in (EULER_MARUYAMA,)}


def method_named(name: str) -> Method:
    """Return the method that a user named."""
    return METHODS[checks.choice("method", name, METHODS)]
