"""A lock on a folder, so that two processes do not write one store at the same time.

It is the operating system's: it ends with the process, however that ends, and leaves no file.
Where a file system or a system has none, runs go on without: they write whole blocks, and equal
runs write equal ones.
"""

import contextlib
import os
import weakref
from pathlib import Path

from sdde.errors import StoreError

_held: "weakref.WeakSet[Lock]" = weakref.WeakSet()


class Lock:
    """The right to write a folder, until `release`.

    Raises
    ------
    sdde.StoreError
        If another run holds it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.descriptor: int | None = None
        try:
            import fcntl
        except ImportError:  # Windows
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StoreError(
                f"store = {name!r} is being written by another run.\n"
                "  Wait until it has ended, or name another place."
            ) from None
        except OSError:  # a file system without locks
            os.close(descriptor)
            return
        self.descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Let others write."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = None


def _let_go() -> None:
    """Close what a forked child has inherited: else it would hold the lock after its parent."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
