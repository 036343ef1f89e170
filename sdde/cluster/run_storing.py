"""Runs of a cluster that go to a store, block by block, and go on where they stopped.

A block is a range of runs: the rows of their records, the counts of staleness, the log. Nothing
here knows how runs are simulated.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.encoding import Records
from sdde.cluster.run_blocks import Simulated
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.errors import StoreError
from sdde.solving.identity import versions
from sdde.solving.stores import Damaged, Store

KIND = "runs of a cluster"
_BLOCKS = 64  # at most
_MOST, _RECORD = "most_updates", "record "


def open_runs(target: Any, given: Mapping[str, Any]) -> AbstractContextManager[Store]:
    """Open the store of a call of `simulate`, or make it; `given` holds its arguments."""
    run: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or isinstance(value, bool | int | float | str):
            run[name] = str(value) if name == "seed" else value
            continue
        try:
            run[name] = "sha256:" + fingerprint(value, itself=True).hex()
        except Unhashable as error:
            raise checks.fail(
                name, value, f"cannot be stored: {error}",
                why="A store must know its runs again, and refuse any others.",
                remedy="Use functions and data without open files, locks or pointers.",
            ) from None  # fmt: skip
    runs = given["runs"]
    length = -(-runs // _BLOCKS)
    header = {
        "kind": KIND, "run": run, "made": versions(), "total": runs, "length": length,
        "blocks": -(-runs // length),
    }  # fmt: skip
    return Store.for_writing(target, header, {})


def most_updates(store: Store) -> int | None:
    """Return how many updates the longest run has, if that is known."""
    try:
        return int(store.get_values(_MOST)[0])
    except Damaged:
        return None


def keep_most_updates(store: Store, most: int) -> None:
    """Write what `most_updates` returns."""
    store.keep_values(_MOST, np.array([most]))


def keep_block(
    store: Store, first: int, named: Mapping[str, NDArray[Any]], found: Simulated
) -> None:
    """Write a block that begins with a run."""
    arrays = {_RECORD + name: rows for name, rows in named.items()}
    store.put(first // int(store.header["length"]), arrays | found._asdict())


def take_stored(store: Store, records: Records) -> list[Simulated]:
    """Put all blocks into the records; return what they leave beside these."""
    parts = []
    for block in range(store.blocks):
        first, end = store.span(block)
        try:
            arrays = store.get(block)
        except Damaged as damage:
            raise StoreError(
                f"store = {store.name!r} was damaged while it was in use: {damage}.\n"
                "  Make the same call again: it computes damaged blocks anew."
            ) from None
        for name, rows in arrays.items():
            if name.startswith(_RECORD):
                getattr(records, name.removeprefix(_RECORD))[first:end] = rows
        parts.append(Simulated(arrays["histogram"], arrays["log"]))
    return parts
