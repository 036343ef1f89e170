"""The shape of a chunk: all that its text depends on, except for the user's functions.

Values are never part of it: delays, parameters, rates and the time step are arguments of the chunk.
"""

from dataclasses import dataclass

from sdde.engine.lags import Lag
from sdde.engine.methods import Method


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
    coefficients in the flat parameters, or None. With `matrix` noise there is a coefficient for
    each component and each of the `channels`, else one for each component.
    """

    dim: int
    scalar: bool
    lags: tuple[Lag, ...]
    channels: int
    additive: int | None
    parameters: tuple[Parameter, ...]
    jumps: tuple[JumpLayout, ...]
    method: Method
    width: int
    matrix: bool = False

    @property
    def delays(self) -> int:
        """The number of the problem's delays."""
        return len(self.lags)

    @property
    def has_fixed_lags(self) -> bool:
        """Whether all of the problem's delays are numbers."""
        return all(lag.kind == "fixed" for lag in self.lags)


class Text:
    """Lines of source with a current indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def add(self, *lines: str) -> None:
        """Add lines at the current indentation."""
        self.lines += [" " * (4 * self.depth) + line for line in lines]

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"
