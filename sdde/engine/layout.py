"""The shape of a chunk: all that its text depends on, except for the user's functions.

Values are never part of it: delays, parameters, rates and the time step are arguments of the chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdde.engine.lags import Lag, delay_functions
from sdde.equation.problem import Problem

if TYPE_CHECKING:
    from sdde.engine.methods import Method

Functions = dict[str, Callable[..., Any]]

LARGEST_WRITTEN = 16  # components; larger systems are computed with arrays
LONGEST_LINE = 1000  # operations of one function; more take too long to compile


@dataclass(frozen=True, slots=True)
class Parameter:
    """A further argument of the user's functions: its place in the flat parameters, its type."""

    kind: str  # "float", "int" or "bool"
    offset: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JumpLayout:
    """The shape of a jump: kinds of delays and counts of laws, not their values."""

    varying_rate: bool
    lags: tuple[Lag, ...] | None  # None: the problem's delays
    marks: int
    mark_vector: bool
    leaping: bool

    @property
    def tables(self) -> int:
        """How many tables the marks and a constant rate of a leaping jump have."""
        return self.marks + (self.leaping and not self.varying_rate)


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of a problem's chunk.

    `width` is the number of lanes in a row. `additive` is the place of the additive noise
    coefficients in the flat parameters, or None. `pairs` are the iterated integrals that follow the
    `channels` increments in a row of noise; `kept` numbers follow the state in a row of the ring.
    """

    dim: int
    scalar: bool
    lags: tuple[Lag, ...]
    channels: int
    additive: int | None
    parameters: tuple[Parameter, ...]
    jumps: tuple[JumpLayout, ...]
    method: "Method"
    width: int
    noise: str = "diagonal"
    stratonovich: bool = False
    pairs: tuple[tuple[int, int, int], ...] = ()
    kept: int = 0

    @property
    def matrix(self) -> bool:
        """Whether there is a coefficient for each component and each of the channels."""
        return self.noise in ("commutative", "general")

    @property
    def delays(self) -> int:
        """The number of the problem's delays."""
        return len(self.lags)

    @property
    def has_fixed_lags(self) -> bool:
        """Whether all of the problem's delays are numbers."""
        return all(lag.kind == "fixed" for lag in self.lags)


def functions_of(problem: Problem) -> Functions:
    """Return the user's functions under the names by which a chunk calls them."""
    functions = {"drift": problem.drift}
    if callable(problem.diffusion):
        functions["diffusion"] = problem.diffusion
    for q, jump in enumerate(problem.jumps):
        functions[f"effect{q}"] = jump.effect
        if callable(jump.rate):
            functions[f"rate{q}"] = jump.rate
    return functions | delay_functions(problem)
