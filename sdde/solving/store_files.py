"""The files of stores: where they lie, their header, and what the system refuses, in words.

A store is a zarr group in a folder or behind a URL. Its header is a text with a digest among the
attributes of the group, written at the beginning and never changed. Nothing here knows of blocks.
"""

import errno
import hashlib
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdde import checks
from sdde.errors import ArgumentError, SolutionWarning, StoreError

FORMAT = 1
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile)
_HEADER = "sdde"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CODECS = ("BytesCodec", "Crc32cCodec")  # all that is ever written; others are not run


def place_of(target: Any) -> Path | str:
    """Return where a store lies: a local path, or a URL that fsspec understands."""
    if isinstance(target, Path):
        return target
    if not isinstance(target, str) or not target:
        raise checks.fail(
            "store", target, "is neither a path nor a URL",
            remedy='For example store = "runs.zarr" or store = "s3://bucket/runs.zarr".',
        )  # fmt: skip
    if target.startswith("file://"):
        return Path(target.removeprefix("file://"))
    return target if "://" in target else Path(target).expanduser()


def zarr_store(place: Path | str, *, read_only: bool) -> Any:
    """Return zarr's way to a place."""
    try:
        from zarr.storage import FsspecStore, LocalStore
    except ImportError:
        raise ArgumentError(
            f"store = {str(place)!r} needs the package zarr, which is not installed.\n"
            "  Run: python -m pip install zarr."
        ) from None
    if isinstance(place, Path):
        return LocalStore(place, read_only=read_only)
    try:
        return FsspecStore.from_url(place, read_only=read_only)
    except (ImportError, ValueError) as error:
        raise ArgumentError(
            f"store = {place!r} cannot be opened: {error}.\n"
            "  URLs are read by fsspec, and most need a package of their own, for example s3fs."
        ) from None


def group_at(place: Path | str, *, read_only: bool) -> Any:
    """Open the zarr group at a place."""
    import zarr

    return zarr.open_group(
        zarr_store(place, read_only=read_only), mode="r" if read_only else "r+", zarr_format=3
    )


def header_at(name: str, place: Path | str) -> dict[str, Any] | None:
    """Return the header of a store, or None if nothing is there."""
    if isinstance(place, Path) and not any(place.iterdir()):
        return None
    zarr_store(place, read_only=True)  # refuses what is not installed
    try:
        kept = dict(group_at(place, read_only=True).attrs)[_HEADER]
        header = json.loads(kept["header"])
        whole = kept["digest"] == _text_digest(kept["header"])
    except FileNotFoundError:
        header, whole = None, True
    except UNREADABLE as error:
        raise StoreError(
            f"store = {name!r} has no header that can be read: {type(error).__name__}: {error}.\n"
            "  Name another place; or, if it was a store, remove it and begin again."
        ) from None
    if header is None and isinstance(place, Path):
        raise ArgumentError(
            f"store = {name!r} is a folder with other files in it.\n  Name a new folder."
        )
    if header is not None and (not whole or header.get("format") != FORMAT):
        raise StoreError(
            f"store = {name!r} has a header that was altered, or of another version.\n"
            "  Name another place, or remove it and begin again."
        )
    return header


def new_group(name: str, place: Path | str, header: dict[str, Any]) -> Any:
    """Begin a store, with its header."""
    import zarr

    text = json.dumps(header)
    attributes = {_HEADER: {"header": text, "digest": _text_digest(text)}}
    store = zarr_store(place, read_only=False)
    return zarr.create_group(store, zarr_format=3, attributes=attributes)


def remove_leavings(place: Path | str) -> None:
    """Remove the unfinished files of a run that was killed; the lock is held."""
    if isinstance(place, Path):
        for file in place.rglob("*.partial"):
            file.unlink(missing_ok=True)


def checked(array: Any) -> Any:
    """Return a zarr array, if it holds plain numbers and needs no code but ours to be read."""
    codecs = [type(codec).__name__ for codec in getattr(array.metadata, "codecs", ("?",))]
    if array.dtype.kind not in "iuf" or any(codec not in _CODECS for codec in codecs):
        raise ValueError("the array is not of plain numbers")
    return array


@contextmanager
def refusals(name: str, what: str, stored: Callable[[], str] = str) -> Iterator[None]:
    """Say in words what the system refused; `stored` says what is there already."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno not in _FULL:
            raise StoreError(f"store = {name!r} {what}: {reason}.") from error
        full = StoreError(
            f"store = {name!r} is full: {reason}.\n"
            f"  What was stored before is kept{stored()}. Make room, and make the same call"
            " again: it goes on from there."
        )
        full.errno = error.errno
        raise full from error


def require_same(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a store of another run, naming what differs."""
    if found["kind"] != wanted["kind"]:
        raise ArgumentError(
            f"store = {name!r} holds {found['kind']}, not {wanted['kind']}.\n  Name another place."
        )
    there, here = found["run"], wanted["run"]
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if differing:
        shown = [
            f"it has other {key}"
            if _is_hash(there.get(key)) or _is_hash(here.get(key))
            else f"{key} = {checks.shown(there.get(key))} there and {checks.shown(here.get(key))}"
            " here"
            for key in differing
        ]
        raise ArgumentError(
            f"store = {name!r} belongs to another run: {'; '.join(shown[:3])}.\n"
            "  A store goes on only with what it was begun with. Name another place, or make the"
            " same call."
        )
    changed = [key for key in wanted["made"] if found["made"].get(key) != wanted["made"][key]]
    if changed:
        warnings.warn(
            f"store = {name!r} was begun with another {' and '.join(changed)}.\n"
            "  What is missing is computed with these; last bits may differ between them.",
            SolutionWarning,
            stacklevel=5,
        )


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("sha256:")


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
