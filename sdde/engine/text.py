"""Text of generated code: lines with an indentation, and arrays that the code makes for itself."""

import math

_ON_STACK = 1024  # numbers


def room(*shape: int) -> str:
    """Return the text that makes an array of floats: on the stack, unless it is large."""
    if math.prod(shape) <= _ON_STACK:
        return f"room{len(shape)}({', '.join(map(str, shape))})"
    return f"np.empty({shape})"


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
