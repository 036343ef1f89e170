"""A store: numbered blocks of arrays, on disk or behind a URL, each there as a whole or not at all.

It is a zarr group. Arrays with a row for each path are zarr arrays with one chunk along the paths
for each block; whatever else a block holds is packed into bytes of its own. When all of a block is
written, so is its row of digests: without it the block does not exist, and a block that no longer
matches it is computed again. The header says what run this is, so that no other can mix with it.
Only numbers are ever read. Nothing here knows what a block means.
"""

import errno
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import ArgumentError, SolutionWarning, StoreError
from sdde.solving.locking import Lock

Arrays = Mapping[str, NDArray[Any]]
_FORMAT = 1
_HEADER, _DIGESTS, _REST = "sdde", "digests", "rest"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CODECS = ("BytesCodec", "Crc32cCodec")  # all that is ever written; others are not run
_CHUNK = 16_000_000  # bytes
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile)


class Rows(NamedTuple):
    """An array with a row for each path: the shape of a row, its type, what stands for nothing."""

    shape: tuple[int, ...]
    dtype: str
    fill: Any
    axes: tuple[str, ...] = ()


class Damaged(Exception):
    """A block whose content does not match its digests."""


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


def _zarr_store(place: Path | str, *, read_only: bool) -> Any:
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


class Store:
    """An open store. `open_store` and `create` make it; close it, or use it in a ``with``.

    Attributes
    ----------
    name : str
        As the user wrote it.
    header : dict
        What run this is: ``kind``, ``run`` (all that decides the numbers), ``made`` (versions),
        ``blocks``, ``length`` (rows of a block) and ``total`` (rows of all).
    """

    def __init__(self, name: str, group: Any, header: dict[str, Any], lock: Lock | None) -> None:
        self.name, self.group, self.header, self.lock = name, group, header, lock
        self.rows = {
            key: Rows(tuple(shape), dtype, fill, tuple(axes))
            for key, (shape, dtype, fill, axes) in header["rows"].items()
        }
        self.names = [*sorted(self.rows), _REST]
        self._arrays: dict[str, Any] = {}

    # ---- opening

    @classmethod
    def for_writing(cls, target: Any, header: dict[str, Any], rows: Mapping[str, Rows]) -> "Store":
        """Open a store of this run, or make it.

        Raises
        ------
        sdde.ArgumentError
            If what is there belongs to another run.
        sdde.StoreError
            If it is in use, or cannot be written.
        """
        place = place_of(target)
        name = str(target)
        described = {key: [list(r.shape), r.dtype, r.fill, list(r.axes)] for key, r in rows.items()}
        wanted = json.loads(json.dumps({"format": _FORMAT, **header, "rows": described}))
        with _refusals(name, "cannot be written"):
            if isinstance(place, Path):
                place.mkdir(parents=True, exist_ok=True)
            lock = Lock(place, name) if isinstance(place, Path) else None
        try:
            with _refusals(name, "cannot be written"):
                found = _header(name, place)
                if found is None:
                    group = _new_group(name, place, wanted)
                else:
                    _require_same(name, found, wanted)
                    _remove_leavings(place)
                    wanted = found
                    group = _group(place, read_only=False)
            store = cls(name, group, wanted, lock)
            store._prepare()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return store

    @classmethod
    def for_reading(cls, target: Any) -> "Store":
        """Open a store that exists."""
        place, name = place_of(target), str(target)
        with _refusals(name, "cannot be read"):
            header = None
            if not isinstance(place, Path) or place.is_dir():
                header = _header(name, place)
            if header is None:
                raise checks.fail(
                    "path", name, "is not a store",
                    remedy='sdde.solve(..., store="runs.zarr") writes one.',
                )  # fmt: skip
            return cls(name, _group(place, read_only=True), header, None)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.lock is not None:
            self.lock.release()

    # ---- shape

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return int(self.header["blocks"])

    def span(self, block: int) -> tuple[int, int]:
        """Return the first row of a block, and the row after its last."""
        length, total = int(self.header["length"]), int(self.header["total"])
        return block * length, min((block + 1) * length, total)

    # ---- blocks

    def written(self) -> list[int]:
        """Return the blocks that were written as a whole, whether or not they are still good."""
        digests = self._digests()
        return np.flatnonzero(digests.any(axis=(1, 2))).tolist()

    def missing(self) -> list[int]:
        """Return the blocks that must be computed, after a look at every number of the others."""
        bad = [block for block in self.written() if not self._is_good(block)]
        if bad:
            some = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            warnings.warn(
                f"store = {self.name!r}: {len(bad)} of {self.blocks} blocks are damaged ({some})."
                "\n  Their digests do not match; they are computed again.",
                SolutionWarning,
                stacklevel=4,
            )
        good = {*self.written()} - {*bad}
        return [block for block in range(self.blocks) if block not in good]

    def put(self, block: int, arrays: Arrays) -> None:
        """Write a block: its arrays, then the digests that make it count."""
        rest = {name: array for name, array in arrays.items() if name not in self.rows}
        packed = _packed(rest)
        first, end = self.span(block)
        with _refusals(self.name, "cannot be written", self):
            for name in self.rows:
                self._array(name)[first:end] = arrays[name]
            if rest:
                self.group.create_array(
                    f"{_REST}/{block}", data=packed, chunks=packed.shape, compressors=None,
                    overwrite=True,
                )  # fmt: skip
            digests = [_digest(arrays[name]) for name in sorted(self.rows)] + [_digest(packed)]
            self._array(_DIGESTS)[block] = np.stack(digests)

    def get(self, block: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of a block.

        Raises
        ------
        Damaged
            If it is not there, or not as it was written.
        """
        try:
            digests = np.asarray(self._array(_DIGESTS)[block])
        except _UNREADABLE as error:
            raise Damaged(str(error)) from None
        arrays = {name: self._read(name, block, digests[i]) for i, name in enumerate(self.names)}
        packed = arrays.pop(_REST)
        return {**arrays, **_unpacked(packed)}

    def get_rows(self, name: str, block: int) -> NDArray[Any]:
        """Return the rows of a block in one array."""
        try:
            digests = np.asarray(self._array(_DIGESTS)[block])
        except _UNREADABLE as error:
            raise Damaged(str(error)) from None
        return self._read(name, block, digests[self.names.index(name)])

    def _is_good(self, block: int) -> bool:
        try:
            self.get(block)
        except Damaged:
            return False
        return True

    def _read(self, name: str, block: int, digest: NDArray[np.uint8]) -> NDArray[Any]:
        """Return one array of a block as it was written, or raise `Damaged`."""
        first, end = self.span(block)
        try:
            if name != _REST:
                values = np.asarray(self._array(name)[first:end])
            elif (digest == _digest(_packed({}))).all():
                values = _packed({})
            else:
                values = np.asarray(_checked(self.group[f"{_REST}/{block}"])[:])
        except _UNREADABLE as error:
            raise Damaged(f"block {block} of {name} cannot be read: {error}") from None
        if not (_digest(values) == digest).all():
            raise Damaged(f"block {block} of {name} is not as it was written")
        return values

    def _digests(self) -> NDArray[np.uint8]:
        array = self._array(_DIGESTS)
        try:
            return np.asarray(array[:])
        except _UNREADABLE:
            pass
        digests = np.zeros(array.shape, dtype=np.uint8)
        for block in range(self.blocks):  # some can be read
            try:
                digests[block] = array[block]
            except _UNREADABLE:
                digests[block] = 1  # written, and not good
        return digests

    # ---- arrays

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            array = _checked(self.group[name])
            shape, dtype, _, _ = self._layout(name)
            if array.shape != shape or array.dtype != np.dtype(dtype):
                raise ValueError(f"{name} has another shape")
            self._arrays[name] = array
        return self._arrays[name]

    def _layout(self, name: str) -> tuple[tuple[int, ...], str, tuple[int, ...], Any]:
        """Return the shape, type, chunks and fill value of an array."""
        if name == _DIGESTS:
            shape = (self.blocks, len(self.names), 32)
            return shape, "uint8", (1, *shape[1:]), 0
        rows = self.rows[name]
        shape = (int(self.header["total"]), *rows.shape)
        length = min(int(self.header["length"]), shape[0])
        chunks = [length, *rows.shape]
        if len(chunks) > 1:  # long paths are cut along time, too
            row = length * int(np.prod(rows.shape[1:])) * np.dtype(rows.dtype).itemsize
            chunks[1] = max(1, min(rows.shape[0], _CHUNK // max(1, row)))
        return shape, rows.dtype, tuple(max(1, c) for c in chunks), rows.fill

    def _prepare(self) -> None:
        """Make the arrays that are not there, or cannot be used."""
        for name in (*self.rows, _DIGESTS):
            try:
                self._array(name)
            except _UNREADABLE:
                with _refusals(self.name, "cannot be written"):
                    self._create(name)

    def _create(self, name: str) -> None:
        from zarr.codecs import Crc32cCodec

        shape, dtype, chunks, fill = self._layout(name)
        axes = ("block", "array", "byte") if name == _DIGESTS else self.rows[name].axes
        self._arrays[name] = self.group.create_array(
            name, shape=shape, dtype=dtype, chunks=chunks, compressors=[Crc32cCodec()],
            fill_value=fill, dimension_names=axes or None, overwrite=True,
            config={"write_empty_chunks": True},
        )  # fmt: skip


# ---- files


def _group(place: Path | str, *, read_only: bool) -> Any:
    import zarr

    return zarr.open_group(
        _zarr_store(place, read_only=read_only), mode="r" if read_only else "r+", zarr_format=3
    )


def _header(name: str, place: Path | str) -> dict[str, Any] | None:
    """Return the header of a store, or None if nothing is there."""
    if isinstance(place, Path) and not any(place.iterdir()):
        return None
    _zarr_store(place, read_only=True)  # refuses what is not installed
    try:
        kept = dict(_group(place, read_only=True).attrs)[_HEADER]
        header = json.loads(kept["header"])
        whole = kept["digest"] == _text_digest(kept["header"])
    except FileNotFoundError:
        header, whole = None, True
    except _UNREADABLE as error:
        raise StoreError(
            f"store = {name!r} has no header that can be read: {type(error).__name__}: {error}.\n"
            "  Name another place; or, if it was a store, remove it and begin again."
        ) from None
    if header is None and isinstance(place, Path):
        raise ArgumentError(
            f"store = {name!r} is a folder with other files in it.\n  Name a new folder."
        )
    if header is not None and (not whole or header.get("format") != _FORMAT):
        raise StoreError(
            f"store = {name!r} has a header that was altered, or of another version.\n"
            "  Name another place, or remove it and begin again."
        )
    return header


def _new_group(name: str, place: Path | str, header: dict[str, Any]) -> Any:
    import zarr

    text = json.dumps(header)
    attributes = {_HEADER: {"header": text, "digest": _text_digest(text)}}
    store = _zarr_store(place, read_only=False)
    return zarr.create_group(store, zarr_format=3, attributes=attributes)


def _remove_leavings(place: Path | str) -> None:
    """Remove the unfinished files of a run that was killed; the lock is held."""
    if isinstance(place, Path):
        for file in place.rglob("*.partial"):
            file.unlink(missing_ok=True)


def _checked(array: Any) -> Any:
    """Return a zarr array, if it holds plain numbers and needs no code but ours to be read."""
    codecs = [type(codec).__name__ for codec in getattr(array.metadata, "codecs", ("?",))]
    if array.dtype.kind not in "iuf" or any(codec not in _CODECS for codec in codecs):
        raise ValueError("the array is not of plain numbers")
    return array


@contextmanager
def _refusals(name: str, what: str, store: Store | None = None) -> Iterator[None]:
    """Say in words what the system refused."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno not in _FULL:
            raise StoreError(f"store = {name!r} {what}: {reason}.") from error
        kept = "" if store is None else f" ({len(store.written())} of {store.blocks} blocks)"
        raise StoreError(
            error.errno,
            f"store = {name!r} is full: {reason}.\n"
            f"  What was stored before is kept{kept}. Make room, and make the same call again: it"
            " goes on from there",
        ) from error


def _require_same(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a store of another run, naming what differs."""
    if found["kind"] != wanted["kind"]:
        raise ArgumentError(
            f"store = {name!r} holds {found['kind']}, not {wanted['kind']}.\n  Name another place."
        )
    there, here = found["run"], wanted["run"]
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if differing:
        shown = [
            f"{key} differs"
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


# ---- bytes


def _digest(values: NDArray[Any]) -> NDArray[np.uint8]:
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _packed(arrays: Arrays) -> NDArray[np.uint8]:
    if not arrays:
        return np.empty(0, dtype=np.uint8)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    return np.frombuffer(file.getvalue(), dtype=np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    if not len(packed):
        return {}
    with np.load(io.BytesIO(packed.tobytes()), allow_pickle=False) as content:
        return {name: content[name] for name in content.files}
