"""Methods: schemes by name, and what is known about each.

A method is a scheme, which writes one time step, together with the orders it reaches for each class
of noise and with what it needs of a problem. Nothing here loops or compiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sdde import checks
from sdde.engine.noise_classes import CLASSES, noise_class
from sdde.engine.schemes import explicit
from sdde.engine.schemes.steps import Step
from sdde.equation.problem import Problem


class Orders(NamedTuple):
    """Orders in the time step.

    `strong` is that of the mean-square error of a path, `weak` that of the error of means of smooth
    functions of the state.
    """

    strong: float
    weak: float


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """A time-stepping scheme.

    Attributes
    ----------
    name : str
        What users type.
    write : callable
        Writes a step.
    orders : mapping
        `Orders` for each class of noise (see `noise_classes`) that the method is meant for. They
        hold for delays of whole numbers of steps and smooth coefficients.
    calculi : tuple of str
        The senses of the stochastic integral that the method follows.
    """

    name: str
    write: Callable[[Step], None]
    orders: Mapping[str, Orders]
    calculi: tuple[str, ...] = ("ito",)

    def check(self, problem: Problem, state_shape: tuple[int, ...]) -> None:
        """Refuse problems for which the method would be wrong, naming another."""
        if problem.calculus not in self.calculi and callable(problem.diffusion):
            self._require_calculus(problem, state_shape)

    def _require_calculus(self, problem: Problem, state_shape: tuple[int, ...]) -> None:
        if noise_class(problem, state_shape) == "additive":
            return  # the two senses agree
        others = [method.name for method in METHODS.values() if problem.calculus in method.calculi]
        raise checks.fail(
            "method", self.name, f'does not follow calculus = "{problem.calculus}"',
            why="It would converge to the equation with another drift.",
            remedy=f"Methods that do: {', '.join(map(repr, others))}.",
        )  # fmt: skip


def _orders(strong: float, weak: float, **other: tuple[float, float]) -> Mapping[str, Orders]:
    """Return the same orders for all classes of noise except those given otherwise."""
    pairs = dict.fromkeys(CLASSES, (strong, weak)) | other
    return MappingProxyType({name: Orders(*pair) for name, pair in pairs.items()})


EULER_MARUYAMA = Method(
    name="euler-maruyama",
    write=explicit.euler_maruyama,
    orders=_orders(0.5, 1.0, none=(1.0, 1.0), additive=(1.0, 1.0)),
)
HEUN = Method(
    name="heun",
    write=explicit.heun,
    orders=_orders(0.5, 1.0, none=(2.0, 2.0), additive=(1.0, 2.0)),
)
TAMED_EULER = Method(
    name="tamed-euler",
    write=explicit.tamed_euler,
    orders=_orders(0.5, 1.0, none=(1.0, 1.0), additive=(1.0, 1.0)),
)
EULER_HEUN = Method(
    name="euler-heun",
    write=explicit.euler_heun,
    orders=_orders(1.0, 1.0, delayed=(0.5, 1.0), general=(0.5, 1.0)),
    calculi=("stratonovich",),
)

METHODS = {method.name: method for method in (EULER_MARUYAMA, HEUN, TAMED_EULER, EULER_HEUN)}


def method_named(name: str) -> Method:
    """Return the method that a user named."""
    return METHODS[checks.choice("method", name, METHODS)]
