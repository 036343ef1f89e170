"""A store: numbered blocks of arrays, on disk or behind a URL, each there as a whole or not at all.

It is a zarr group. Arrays with a row for each path are zarr arrays with one chunk along the paths
for each block; whatever else a block holds is packed into bytes of its own. When all of a block is
written, so is its row of digests: without it the block does not exist, and a block that no longer
matches it is computed again. The header says what run this is, so that no other can mix with it.
Only numbers are ever read. Nothing here knows what a block means.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import SolutionWarning
from sdde.solving.locking import Lock
from sdde.solving.store_files import (
    FORMAT,
    UNREADABLE,
    checked,
    group_at,
    header_at,
    new_group,
    place_of,
    refusals,
    remove_leavings,
    require_same,
)

Arrays = Mapping[str, NDArray[Any]]
_DIGESTS, _REST = "digests", "rest"
_CHUNK = 16_000_000  # bytes


class Rows(NamedTuple):
    """An array with a row for each path: the shape of a row, its type, what stands for nothing."""

    shape: tuple[int, ...]
    dtype: str
    fill: Any
    axes: tuple[str, ...] = ()


class Damaged(Exception):
    """A block whose content does not match its digests."""


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
        wanted = json.loads(json.dumps({"format": FORMAT, **header, "rows": described}))
        with refusals(name, "cannot be written"):
            if isinstance(place, Path):
                place.mkdir(parents=True, exist_ok=True)
            lock = Lock(place, name) if isinstance(place, Path) else None
        try:
            with refusals(name, "cannot be written"):
                found = header_at(name, place)
                if found is None:
                    group = new_group(name, place, wanted)
                else:
                    require_same(name, found, wanted)
                    remove_leavings(place)
                    wanted = found
                    group = group_at(place, read_only=False)
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
        with refusals(name, "cannot be read"):
            header = None
            if not isinstance(place, Path) or place.is_dir():
                header = header_at(name, place)
            if header is None:
                raise checks.fail(
                    "path", name, "is not a store",
                    remedy='sdde.solve(..., store="runs.zarr") writes one.',
                )  # fmt: skip
            return cls(name, group_at(place, read_only=True), header, None)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Let others write."""
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
        with refusals(self.name, "cannot be written", self._progress):
            for name in self.rows:
                self._array(name)[first:end] = arrays[name]
            if rest:
                self.group.create_array(
                    f"{_REST}/{block}", data=packed, chunks=packed.shape, compressors=None,
                    overwrite=True,
                )  # fmt: skip
            digests = [_digest(arrays[name]) for name in sorted(self.rows)] + [_digest(packed)]
            self._array(_DIGESTS)[block] = np.stack(digests)

    def get(self, block: int, *, leaving: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
        """Return the arrays of a block, but those that are left out.

        Raises
        ------
        Damaged
            If it is not there, or not as it was written.
        """
        digests = self._digests_of(block)
        arrays = {
            name: self._read(name, block, digests[i])
            for i, name in enumerate(self.names)
            if name not in leaving
        }
        packed = arrays.pop(_REST)
        return {**arrays, **_unpacked(packed)}

    def get_rows(self, name: str, block: int) -> NDArray[Any]:
        """Return the rows of a block in one array."""
        return self._read(name, block, self._digests_of(block)[self.names.index(name)])

    def _digests_of(self, block: int) -> NDArray[np.uint8]:
        try:
            return np.asarray(self._array(_DIGESTS)[block])
        except UNREADABLE as error:
            raise Damaged(f"the digests of block {block} cannot be read: {error}") from None

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
                values = np.asarray(checked(self.group[f"{_REST}/{block}"])[:])
        except UNREADABLE as error:
            raise Damaged(f"block {block} of {name} cannot be read: {error}") from None
        if not (_digest(values) == digest).all():
            raise Damaged(f"block {block} of {name} is not as it was written")
        return values

    def _digests(self) -> NDArray[np.uint8]:
        array = self._array(_DIGESTS)
        try:
            return np.asarray(array[:])
        except UNREADABLE:
            pass
        digests = np.zeros(array.shape, dtype=np.uint8)
        for block in range(self.blocks):  # some can be read
            try:
                digests[block] = array[block]
            except UNREADABLE:
                digests[block] = 1  # written, and not good
        return digests

    def _progress(self) -> str:
        return f" ({len(self.written())} of {self.blocks} blocks)"

    # ---- values that belong to no block

    def keep_values(self, name: str, values: NDArray[Any]) -> None:
        """Write an array that is known from the beginning, if it is not there."""
        try:
            if np.array_equal(self.get_values(name), values):
                return
        except Damaged:
            pass
        with refusals(self.name, "cannot be written"):
            self.group.create_array(
                name, data=values, chunks=values.shape, compressors=None, overwrite=True,
                dimension_names=(name,), attributes={"sha256": _digest(values).tobytes().hex()},
            )  # fmt: skip

    def get_values(self, name: str) -> NDArray[Any]:
        """Return what `keep_values` wrote, or raise `Damaged`."""
        try:
            array = checked(self.group[name])
            values, digest = np.asarray(array[:]), array.attrs["sha256"]
        except UNREADABLE as error:
            raise Damaged(f"{name} cannot be read: {error}") from None
        if _digest(values).tobytes().hex() != digest:
            raise Damaged(f"{name} is not as it was written")
        return values

    # ---- arrays

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            array = checked(self.group[name])
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
            except UNREADABLE:
                with refusals(self.name, "cannot be written"):
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


# ---- bytes


def _digest(values: NDArray[Any]) -> NDArray[np.uint8]:
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


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
