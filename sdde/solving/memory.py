"""How much memory there is, and refusals of what would not fit, before anything is allocated.

Linux promises memory that it does not have, and ends the process that uses it; so a request is
compared with what is free now: in the machine, in the control groups of a container, and under the
limits of the shell. Nothing here knows what the memory is for.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sdde.errors import ArgumentError

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Return how many bytes this process can still use."""
    return max(0, min([_free(), *_left_in_groups(), *_left_by_limits()]))


def require_memory(needs: Mapping[str, int], subject: str, remedies: Mapping[str, str]) -> None:
    """Refuse what needs more memory than there is.

    Parameters
    ----------
    needs : dict of str to int
        Bytes, by what they are for.
    subject : str
        The argument at fault, as ``name = value``, and more words if need be.
    remedies : dict of str to str
        What to change, by the largest of the needs.

    Raises
    ------
    sdde.ArgumentError
        If the sum of the needs is more than what is free.
    """
    total, free = sum(needs.values()), available_memory()
    if total <= free:
        return
    most = max(needs, key=lambda name: needs[name])
    raise ArgumentError(
        f"{subject} needs {in_words(total)} of memory, of which {in_words(needs[most])} for {most};"
        f" {in_words(free)} are free.\n  {remedies[most]}"
    )


def in_words(size: int) -> str:
    """Return a number of bytes with a unit.

    Examples
    --------
    >>> in_words(3_200_000_000), in_words(700)
    ('3.2 GB', '700 bytes')
    """
    for unit, name in ((10**15, "PB"), (10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def _free() -> int:
    """Return what the machine could give."""
    try:
        for line in (_PROC / "meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    try:  # not Linux: count on half of what is built in
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 1 << 62


def _left_in_groups() -> Iterator[int]:
    """Yield what is left of the limits of each control group that this process is in."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = _GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = _GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            left = _left(base / group, *names)
            if left is not None:
                yield left


def _left(group: Path, limit: str, used: str, cached: str) -> int | None:
    """Return the bytes left to a control group, files that it only caches counted as free."""
    try:
        most = (group / limit).read_text().strip()
        if most == "max":
            return None
        taken = int((group / used).read_text())
        statistics = dict(
            line.split()[:2] for line in (group / "memory.stat").read_text().splitlines()
        )
        return int(most) - taken + int(statistics.get(cached, 0))
    except (OSError, ValueError):
        return None


def _left_by_limits() -> Iterator[int]:
    """Yield what ``ulimit -v`` leaves."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int((_PROC / "self" / "statm").read_text().split()[0])
            yield limit - pages * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return
