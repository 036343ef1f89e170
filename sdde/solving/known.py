"""What an earlier solve found out about a problem: repeated solves need not find out again.

A problem never changes, but what its functions refer to may; so everything is kept with a hash of
the functions' content, and counts only while that is the same. The last finding of each sort is
kept as long as the problem is. Nothing here knows what is found.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sdde.equation.problem import Problem

T = TypeVar("T")
_findings: WeakKeyDictionary[Problem, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()


def known(problem: Problem, sort: str, key: tuple[Any, ...], find: Callable[[], T]) -> T:
    """Return what `find` found for this key the last time, or ask it.

    The first item of `key` is the content of the problem's functions; None: it cannot be seen, and
    nothing is kept.
    """
    if key[0] is None:
        return find()
    findings = _findings.setdefault(problem, {})
    kept = findings.get(sort)
    if kept is None or kept[0] != key:
        kept = findings[sort] = key, find()
    return kept[1]
