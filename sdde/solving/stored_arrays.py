"""Arrays that stay in a store and are read where they are indexed, block by block.

A block is read as a whole and compared with its digest, so that damage is an error and never a
number. Rows that are not stored yet are nan (or what else stands for nothing).
"""

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from sdde.errors import StoreError
from sdde.solving.memory import require_memory
from sdde.solving.stores import Damaged, Store


class StoredArray(NDArrayOperatorsMixin):
    """An array of a store: paths first. What is indexed is read; `numpy.asarray` reads all of it.

    Parameters
    ----------
    store : Store
    name : str
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        rows = store.rows[name]
        self.shape = (int(store.header["total"]), *rows.shape)
        self.dtype = np.dtype(rows.dtype)
        self.fill = rows.fill
        self.there = set(store.written())

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of numbers."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers."""
        return self.size * self.dtype.itemsize

    @property
    def block_length(self) -> int:
        """Paths in a block."""
        return int(self.store.header["length"])

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"StoredArray({self.name!r} of {self.store.name!r}, shape {self.shape})"

    def rows(self, block: int) -> NDArray[Any]:
        """Return the rows of a block."""
        first, end = self.store.span(block)
        if block not in self.there:
            return np.full((end - first, *self.shape[1:]), self.fill, dtype=self.dtype)
        try:
            return self.store.get_rows(self.name, block)
        except Damaged as damage:
            raise StoreError(
                f"store = {self.store.name!r} is damaged: {damage}.\n"
                "  Make the call that wrote it again: it computes damaged blocks anew."
            ) from None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, *others = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[key]
        wanted = np.arange(len(self))[first]
        index = np.atleast_1d(wanted)
        if index.ndim > 1:
            return np.asarray(self)[key]
        inner = (slice(None), *others)
        parts = np.empty((len(index), *np.empty((0, *self.shape[1:]))[inner].shape[1:]), self.dtype)
        blocks = index // self.block_length
        for block in np.unique(blocks).tolist():
            here = np.flatnonzero(blocks == block)
            parts[here] = self.rows(block)[inner][index[here] - block * self.block_length]
        return parts[0] if np.ndim(wanted) == 0 else parts

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        require_memory(
            {"all paths": self.nbytes}, f"store = {self.store.name!r} read as a whole",
            {"all paths": "Index what you need, or take sdde.open_store, which reads in pieces."},
        )  # fmt: skip
        whole = np.empty(self.shape, dtype=self.dtype)
        for block in range(self.store.blocks):
            first, end = self.store.span(block)
            whole[first:end] = self.rows(block)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, StoredArray) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def mean(self, axis: int = 0) -> NDArray[Any]:
        """Return the mean over paths, read block by block."""
        return self._sum(lambda rows: rows, axis) / len(self)

    def var(self, axis: int = 0) -> NDArray[Any]:
        """Return the variance over paths (over their number), read block by block, twice."""
        mean = self.mean(axis)
        return self._sum(lambda rows: (rows - mean) ** 2, axis) / len(self)

    def _sum(self, of: Any, axis: int) -> NDArray[Any]:
        if axis != 0:
            raise TypeError("a stored array is reduced over its paths, axis = 0")
        total = np.zeros(self.shape[1:])
        for block in range(self.store.blocks):
            total += of(self.rows(block)).sum(axis=0)
        return total

    def dask(self) -> Any:
        """Return a dask array of one chunk for each block, which reads when it is computed."""
        import dask.array

        chunks: Any = (self.block_length, *self.shape[1:])
        return dask.array.from_array(self, chunks=chunks, asarray=True, meta=np.empty(0))
