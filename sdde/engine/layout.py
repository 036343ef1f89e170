"""The shape of a chunk: all that its text depends on, except for the user's functions.

Values are never part of it: delays, parameters, rates and the time step are arguments of the chunk.
"""

from dataclasses import dataclass

from sdde.engine.methods import Method

NO_DELAYS_DRAWN = -1


@dataclass(frozen=True, slots=True)
class Parameter:
    """A further argument of the user's functions: its place in the flat parameters, its type."""

    kind: str  # "float", "int" or "bool"
    offset: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JumpLayout:
    """The shape of a jump: counts of laws, not their values."""

    varying_rate: bool
    delays: int  # NO_DELAYS_DRAWN: the problem's own
    marks: int
    mark_vector: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of a problem's chunk.

    `width` is the number of lanes in a row. `additive` is the place of the additive noise
    coefficients in the flat parameters, or None. With `matrix` noise there is a coefficient for
    each component and each of the `channels`, else one for each component.
    """

    dim: int
    scalar: bool
    delays: int
    channels: int
    additive: int | None
    parameters: tuple[Parameter, ...]
    jumps: tuple[JumpLayout, ...]
    method: Method
    width: int
    matrix: bool = False


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
