"""Methods: schemes by name, and what is known about each.

A method is a scheme, which writes one time step, together with the orders it reaches for each class
of noise and with what it needs of a problem. Nothing here loops or compiles.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sdde import checks
from sdde.engine.layout import LARGEST_WRITTEN
from sdde.engine.noise_classes import CLASSES, diffusion_of, noise_class, written_out
from sdde.engine.schemes import explicit, implicit, milstein
from sdde.engine.schemes.steps import Step
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError


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
    differentiates : tuple of str
        The functions whose derivatives it needs: these must be readable as expressions.
    """

    name: str
    write: Callable[[Step], None]
    orders: Mapping[str, Orders]
    calculi: tuple[str, ...] = ("ito",)
    differentiates: tuple[str, ...] = ()

    def extras(
        self, problem: Problem, state_shape: tuple[int, ...], channels: int
    ) -> tuple[tuple[milstein.Pair, ...], int]:
        """Return the iterated integrals needed, and how many numbers each grid time keeps."""
        found = self._correction(problem, state_shape, channels)
        if found is None:
            return (), 0
        pairs = found.integrals(commutative=problem.noise in ("scalar", "commutative"))
        count = max(1, sum(state_shape))
        size = count * channels if problem.has_noise_matrix else count
        return pairs, size if found.sees_past else 0

    def _correction(
        self, problem: Problem, state_shape: tuple[int, ...], channels: int
    ) -> milstein.Correction | None:
        if "diffusion" not in self.differentiates or not callable(problem.diffusion):
            return None
        read = diffusion_of(problem, state_shape)
        if read is None:
            raise self._unreadable("diffusion", problem.diffusion, problem)
        dim = max(1, sum(state_shape))
        return milstein.correction(read, noise=problem.noise, dim=dim, channels=channels)

    def check(
        self, problem: Problem, state_shape: tuple[int, ...], channels: int, dt: float
    ) -> None:
        """Refuse problems for which the method would be wrong, naming another."""
        if self.name == EULER_MARUYAMA.name and problem.calculus == "ito":
            return
        if problem.calculus not in self.calculi and callable(problem.diffusion):
            self._require_calculus(problem, state_shape)
        if self.differentiates:
            self._require_constant_delays(problem)
        drift = "drift" in self.differentiates
        if drift and written_out(problem, problem.drift, "drift", state_shape) is None:
            raise self._unreadable("drift", problem.drift, problem)
        found = self._correction(problem, state_shape, channels)
        if found is not None and found.terms:
            self._check_correction(problem, found, dt)

    def _check_correction(self, problem: Problem, found: milstein.Correction, dt: float) -> None:
        if problem.jumps:
            raise checks.fail(
                "method", self.name, "does not take jumps together with this diffusion",
                why="A jump moves the diffusion inside a step, which costs half an order.",
                remedy=f"Use method = {_plain(problem)!r}.",
            )  # fmt: skip
        for j in sorted({pair[0] for _, pair in found.terms if pair[0] != milstein.PRESENT}):
            delay = float(problem.delays[j])
            if delay == 0.0 and problem.calculus == "stratonovich":
                raise checks.fail(
                    f"delays[{j}]", delay, "is zero where the noise sees it",
                    why="The sense of Stratonovich differs between x and a delayed state.",
                    remedy=f"Let diffusion read x instead of delayed[{j}].",
                )  # fmt: skip
            require_aligned(self.name, f"delays[{j}]", delay, dt, _plain(problem))

    def _require_calculus(self, problem: Problem, state_shape: tuple[int, ...]) -> None:
        if noise_class(problem, state_shape) == "additive":
            return  # the two senses agree
        others = [method.name for method in METHODS.values() if problem.calculus in method.calculi]
        raise checks.fail(
            "method", self.name, f'does not follow calculus = "{problem.calculus}"',
            why="It would converge to the equation with another drift.",
            remedy=f"Methods that do: {', '.join(map(repr, others))}.",
        )  # fmt: skip

    def _require_constant_delays(self, problem: Problem) -> None:
        for j, delay in enumerate(problem.delays):
            if not isinstance(delay, float):
                raise checks.fail(
                    "method", self.name, f"takes constant delays, and delays[{j}] is not one",
                    remedy=f"Use method = {_plain(problem)!r}.",
                )  # fmt: skip

    def _unreadable(self, name: str, function: object, problem: Problem) -> ArgumentError:
        return checks.fail(
            "method", self.name, f"needs the derivative of {name}, which cannot be read",
            why=f"Straight lines of at most {LARGEST_WRITTEN} components are differentiated, and"
            f" {checks.shown(function)} is none.",
            remedy=f"Write branches with np.where, or use method = {_plain(problem)!r}.",
        )  # fmt: skip


def require_aligned(method: str, name: str, delay: float, dt: float, other: str) -> None:
    """Refuse a delay that is not a whole number of steps, and name steps that divide it."""
    ratio = delay / dt
    if abs(ratio - round(ratio)) <= 1e-9 * max(1.0, ratio):
        return
    counts = [k for k in (math.floor(ratio), math.floor(ratio) + 1) if k > 0]
    near = " or ".join(f"dt = {delay / k!r} ({k} step{'s' * (k > 1)})" for k in counts)
    raise checks.fail(
        "dt", dt, f"does not divide {name} = {delay:g} (it holds {ratio:.3g} steps)",
        why=f'method="{method}" takes the noise of the past on the grid where the diffusion sees'
        " a delayed state.",
        remedy=f"Nearby values that work: {near}. method={other!r} takes any dt.",
    )  # fmt: skip


def series_terms(delays: Iterable[float], finest: float) -> int:
    """Return how many terms of the series of each bridge keep the order of `finest`.

    The unit of time is the shortest delay above zero, without one that of the user.
    """
    scale = min((delay for delay in delays if delay > 0.0), default=1.0)
    return max(1, math.ceil(0.25 * math.sqrt(min(scale / finest, 1e6))))


def _plain(problem: Problem) -> str:
    return "euler-maruyama" if problem.calculus == "ito" else "euler-heun"


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

MILSTEIN = Method(
    name="milstein",
    write=milstein.milstein,
    orders=_orders(1.0, 1.0),
    calculi=("ito", "stratonovich"),
    differentiates=("diffusion",),
)
THETA = Method(
    name="theta",
    write=implicit.trapezoidal,
    orders=_orders(0.5, 1.0, none=(2.0, 2.0), additive=(1.0, 2.0)),
    differentiates=("drift",),
)
IMPLICIT_EULER = Method(
    name="implicit-euler",
    write=implicit.implicit_euler,
    orders=_orders(0.5, 1.0, none=(1.0, 1.0), additive=(1.0, 1.0)),
    differentiates=("drift",),
)

METHODS = {
    method.name: method
    for method in (
        EULER_MARUYAMA, HEUN, MILSTEIN, TAMED_EULER, THETA, IMPLICIT_EULER, EULER_HEUN,
    )
}  # fmt: skip


def method_named(name: str) -> Method:
    """Return the method that a user named."""
    return METHODS[checks.choice("method", name, METHODS)]
