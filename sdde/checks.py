"""Argument checks: one wording for each fault.

Each check takes the argument's name and value and returns a clean value, or raises `ArgumentError`
with the name, the value, the fault and a value that would work. Nothing here knows what the
arguments are for.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.errors import ArgumentError

HIGHEST = 2**62  # counts beyond do not fit the machine's integers with room to add

_LONGEST = 60
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)  # though Python counts them among the whole numbers
_BY_DIMENSION = {0: "1.0", 1: "[1.0, 2.0]", 2: "[[1.0, 0.0], [0.0, 1.0]]"}


def shown(value: object) -> str:
    """Return a short text of `value` for a message."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an object whose own text fails is no reason to hide what is wrong with it
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def fail(name: str, value: object, fault: str, *, why: str = "", remedy: str = "") -> ArgumentError:
    """Build the error ``name = value fault``, then why, then what to do."""
    lines = [f"{name} = {shown(value)} {fault}."]
    lines += [f"  {text}" for text in (why, remedy) if text]
    return ArgumentError("\n".join(lines))


def number(name: str, value: Any, *, example: object = 1.0) -> float:
    """Return a finite real number as float; booleans and text are refused."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise fail(name, value, "is not a number", remedy=f"For example {name} = {example!r}.")
    try:
        result = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        result = math.inf
    if not math.isfinite(result):
        raise fail(name, value, "is not finite", remedy=f"For example {name} = {example!r}.")
    return result


def positive(name: str, value: Any, *, example: object = 1.0) -> float:
    """Return a finite number greater than zero."""
    result = number(name, value, example=example)
    if result <= 0:
        raise fail(name, value, "is not positive", remedy=f"For example {name} = {example!r}.")
    return result


def nonnegative(name: str, value: Any, *, example: object = 0.0) -> float:
    """Return a finite number that is at least zero."""
    result = number(name, value, example=example)
    if result < 0:
        raise fail(name, value, "is negative", remedy=f"For example {name} = {example!r}.")
    return abs(result)  # -0.0 is 0.0, or dividing by it goes the wrong way


def integer(name: str, value: Any, *, lowest: int = 0, highest: int = HIGHEST) -> int:
    """Return an int in [lowest, highest]; whole floats are refused so that a slip is seen."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Integral):
        raise fail(
            name, value, "is not a whole number", remedy=f"For example {name} = {lowest or 1}."
        )
    result = int(value)
    if result < lowest:
        raise fail(name, value, f"is below {lowest}", remedy=f"For example {name} = {lowest}.")
    if result > highest:
        raise fail(name, value, f"is above {highest}", remedy=f"For example {name} = {highest}.")
    return result


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the allowed words."""
    words = tuple(allowed)
    if not isinstance(value, str) or value not in words:
        listed = ", ".join(repr(word) for word in words)
        raise fail(name, value, "is not known", remedy=f"Known: {listed}.")
    return value


def flag(name: str, value: Any) -> bool:
    """Return a bool; anything else is refused."""
    if not isinstance(value, bool | np.bool_):
        raise fail(name, value, "is neither True nor False", remedy=f"For example {name} = True.")
    return bool(value)


def function(name: str, value: Any, *, signature: str = "(t, x, delayed, *args)") -> Any:
    """Return `value` if it can be called."""
    if not callable(value):
        raise fail(name, value, "cannot be called", remedy=f"Give a function {name}{signature}.")
    return value


def instance(name: str, value: Any, kind: Any, what: str, *, remedy: str) -> Any:
    """Return `value` if it is of a kind; `what` says which, as in ``is not a problem``."""
    if not isinstance(value, kind):
        raise fail(name, value, f"is not {what}", remedy=remedy)
    return value


def is_single(value: Any) -> bool:
    """Return whether a value has no dimensions; ragged lists have."""
    try:
        return np.ndim(value) == 0
    except ValueError:
        return False


def array(name: str, value: Any, *, ndim: int | None = None) -> NDArray[np.float64]:
    """Return a finite float64 array, a copy that the caller may keep."""
    try:
        raw = np.asarray(value)
    except (TypeError, ValueError):  # ragged lists
        raw = np.empty(0, dtype=object)
    if raw.dtype.kind not in "iuf":
        raise fail(
            name, value, "is not an array of numbers", remedy=f"For example {name} = [1.0, 2.0]."
        )
    result = np.array(raw, dtype=np.float64)
    if ndim is not None and result.ndim != ndim:
        raise fail(
            name, value, f"has {result.ndim} dimensions, expected {ndim}",
            remedy=f"For example {name} = {_BY_DIMENSION.get(ndim, 'an array of that shape')}.",
        )  # fmt: skip
    if not np.isfinite(result).all():
        raise fail(
            name, value, "holds a value that is not finite",
            remedy=f"Give finite numbers. numpy.isfinite({name}) says where they are not.",
        )  # fmt: skip
    return result


def vector(name: str, value: Any) -> NDArray[np.float64]:
    """Return a non-empty finite 1-D float64 array."""
    result = array(name, value, ndim=1)
    if result.size == 0:
        raise fail(name, value, "is empty", remedy=f"For example {name} = [1.0, 2.0].")
    return result


def listed(value: Any) -> list[Any]:
    """Return what a sequence holds, and nothing for what is none (arrays of no dimension too)."""
    try:
        return list(value)
    except TypeError:
        return []


def answer(name: str, function: Any, *arguments: Any, signature: str) -> Any:
    """Return what a user's function returns, or say that it failed."""
    try:
        return function(*arguments)
    except Exception as error:
        raise fail(
            name, function, f"failed ({type(error).__name__}: {error})",
            remedy=f"Give a function {name}{signature}.",
        ) from error  # fmt: skip


def several(name: str, value: Any) -> NDArray[np.float64]:
    """Return one number, or a non-empty vector of them, as a finite 1-D float64 array."""
    return vector(name, np.atleast_1d(array(name, value)))


def time_span(name: str, value: Any) -> tuple[float, float]:
    """Return (t0, t1) with t0 < t1, both finite."""
    pair = [] if isinstance(value, str) else listed(value)
    if len(pair) != 2:
        raise fail(
            name, value, "is not a pair (start, end)", remedy=f"For example {name} = (0.0, 10.0)."
        )
    start = number(f"{name}[0]", pair[0], example=0.0)
    end = number(f"{name}[1]", pair[1], example=10.0)
    if not start < end:
        raise fail(
            name, (start, end), "does not go forward", remedy=f"For example {name} = (0.0, 10.0)."
        )
    return start, end
