"""What to say when a user's function cannot be compiled: which function, which line, and why.

Numba's messages are long and speak of its own insides; the cause is in one or two lines of them.
Nothing here knows why the function was to be compiled.
"""

import linecache
import re
from collections.abc import Callable
from typing import Any

from sdde.errors import CompileError

_NOISE = re.compile(r"\x1b\[[0-9;]*m")
_BORING = (
    "Failed in nopython mode", "File ", "During:", "There are", "- Of which", "Overload",
    "No implementation of function", "Known signatures", "* (", ">>>", "<source", "raised from",
    "Enable logging", "[1]", "- Resolution failure", "This error", "To see", "https",
)  # fmt: skip


def compile_error(name: str, function: Callable[..., Any], error: Exception) -> CompileError:
    """Return the error to raise for numba's `error` about a function of the user."""
    place = _place(error, function)
    return CompileError(
        f"{name} could not be compiled: {place}{_cause(error)}.\n"
        f"  {name} cannot be read as a formula, so it is compiled as it stands, which takes\n"
        "  numbers, arrays and NumPy functions only. Write branches on the state with np.where,\n"
        "  np.maximum or np.clip, or use simpler operations on that line."
    )


def not_a_function(name: str, function: Any) -> CompileError:
    """Return the error for a callable without code that could be compiled."""
    return CompileError(
        f"{name} = {function!r} could not be compiled: it is not an ordinary Python function.\n"
        "  It cannot be read as a formula either. Write it with def or lambda, branches on the"
        " state with np.where."
    )


def _place(error: Exception, function: Callable[..., Any]) -> str:
    """Return "line N, `source`, " for the innermost line of the user's file."""
    code = function.__code__
    spots = [getattr(error, "loc", None)]
    text = _NOISE.sub("", str(error))
    named = re.findall(r'File "([^"]+)", line (\d+)', text)
    lines = [int(line) for file, line in named if code.co_filename.endswith(file.lstrip("./"))]
    lines += [spot.line for spot in spots if spot is not None and spot.filename == code.co_filename]
    if not lines:
        return ""
    source = shown_line(linecache.getline(code.co_filename, lines[-1]).strip())
    return f"line {lines[-1]}, `{source}`: " if source else f"line {lines[-1]}: "


def shown_line(text: str) -> str:
    """Return a line of source, cut to fit a message."""
    return text if len(text) <= 80 else text[:77] + "..."


def _cause(error: Exception) -> str:
    """Return the telling line of numba's message."""
    lines = [line.strip() for line in _NOISE.sub("", str(error)).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_BORING) and line != "^"]
    first = telling[0] if telling else type(error).__name__
    return first.rstrip(".:") if len(first) <= 160 else first[:157] + "..."
