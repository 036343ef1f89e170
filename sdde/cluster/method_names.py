"""Methods of live runs by short names such as ``k-sync:4``, as the command line writes them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sdde import checks
from sdde.cluster import methods, weighted_methods
from sdde.cluster.dropping_methods import StalenessThreshold


class _Entry(NamedTuple):
    """How a method is made from the number behind its name."""

    make: Callable[..., Any]
    kind: type | None = None  # of the number, if one may follow
    example: float | None = None  # given where a number must follow


_METHODS = {
    "async": _Entry(methods.AsyncSGD),
    "sync": _Entry(methods.Synchronous),
    "k-sync": _Entry(methods.KSync, int, 4),
    "k-batch-sync": _Entry(methods.KBatchSync, int, 4),
    "k-async": _Entry(methods.KAsync, int, 4),
    "k-batch-async": _Entry(methods.KBatchAsync, int, 4),
    "staleness-threshold": _Entry(StalenessThreshold, int, 16),
    "dc-asgd": _Entry(weighted_methods.DelayCompensated, float, 0.04),
    "tail-tau": _Entry(weighted_methods.TailTau, float),
    "staleness-aware": _Entry(weighted_methods.StalenessAware),
    "delay-adaptive": _Entry(weighted_methods.DelayAdaptive, int),
}

NAMES = tuple(
    name if entry.example is None else f"{name}:{entry.example:g}"
    for name, entry in _METHODS.items()
)  # each with the number it needs


def method_named(text: str) -> Any:
    """Return the method that a name means, with the number behind a colon if there is one.

    Raises
    ------
    sdde.ArgumentError
        If the name is not known, or its number is missing, superfluous or out of range.

    Examples
    --------
    >>> method_named("k-sync:4"), method_named("tail-tau")
    (KSync(k=4), TailTau(amplitude=1.0, window=(10, 15)))
    """
    name, colon, written = text.partition(":")
    entry = _METHODS.get(name)
    if entry is None:
        raise checks.fail("method", text, "is not known", remedy=f"Known: {', '.join(NAMES)}.")
    if not colon:
        if entry.example is not None:
            raise checks.fail(
                "method", text, "needs a number", remedy=f"For example {name}:{entry.example:g}."
            )
        return entry.make()
    if entry.kind is None:
        raise checks.fail("method", text, "takes no number", remedy=f"Write {name}.")
    try:
        number = entry.kind(written)
    except ValueError:
        wanted = "a whole number" if entry.kind is int else "a number"
        raise checks.fail(
            "method", text, f"does not end in {wanted}",
            remedy=f"For example {name}:{entry.example or 1:g}.",
        ) from None  # fmt: skip
    return entry.make(number)


def name_of(method: Any) -> str | None:
    """Return the name that means a method, None if it has none.

    Examples
    --------
    >>> from sdde.cluster import KSync, TailTau
    >>> name_of(KSync(4)), name_of(TailTau()), name_of(TailTau(window=(2, 3)))
    ('k-sync:4', 'tail-tau', None)
    """
    for name, entry in _METHODS.items():
        if type(method) is not entry.make:
            continue
        if entry.example is None and method == entry.make():
            return name
        if entry.kind is not None:
            number = getattr(method, next(iter(method.__dataclass_fields__)))
            if method == entry.make(number):
                return f"{name}:{number!r}"
    return None
