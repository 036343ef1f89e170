"""Whether a folder may hold code that this process runs: nobody else may be able to write to it.

The folder must belong to the user and be writable by nobody else, and so must every folder on the
way to it (or belong to the system): else another user could put a folder of theirs in its place.
Folders that all may write but where only owners may rename (``/tmp``) are safe ways. Nothing here
knows what is kept.
"""

import os
import stat
from pathlib import Path


def distrust(folder: Path) -> str:
    """Return why a folder that exists is not private to this user, or an empty string.

    Links are followed, and both where they lie and where they lead must be safe. On systems
    without owners of files there is nothing to check.
    """
    if not hasattr(os, "geteuid"):
        return ""
    own = os.geteuid()
    final = folder.resolve()
    status = final.stat()
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid != own:
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
    for way in (_ways(folder.absolute()) | {*final.parents}) - {final}:
        if fault := _unsafe_way(way, own):
            return f"lies behind {way}, which {fault}"
    return ""


def _ways(path: Path) -> set[Path]:
    """Return all folders and links that are passed on the way to a path as written."""
    passed: set[Path] = set()
    ahead = [path]
    while ahead:
        for part in (here := ahead.pop(), *here.parents):
            if part not in passed and part.is_symlink():
                ahead.append(Path(os.path.normpath(part.parent / part.readlink())))
            passed.add(part)
    return passed


def _unsafe_way(way: Path, own: int) -> str:
    status = way.lstat()
    if status.st_uid not in (0, own):
        return f"belongs to another user (number {status.st_uid})"
    open_to_all = status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode)
    if open_to_all and not status.st_mode & stat.S_ISVTX:
        return "can be written by all"
    return ""
