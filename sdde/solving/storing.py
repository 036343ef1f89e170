"""A run whose blocks go to a store one by one, and which goes on where another such run stopped.

Blocks are ranges of paths. What the store has is not computed again; what it lacks, or what is
damaged there, is computed and written as it comes, here or on an executor. At the end the results
are read back, so they are those of the store. Nothing here knows how a store keeps them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.engine.compile import width_for
from sdde.errors import ArgumentError, StoreError
from sdde.solving import memory
from sdde.solving.execute import Progress, reporter
from sdde.solving.executors import Crew
from sdde.solving.identity import identity_of, versions
from sdde.solving.labels import FUNCTIONAL
from sdde.solving.running import Arrays, Block, Ready, Run
from sdde.solving.spreading import block_length, spread
from sdde.solving.stored_arrays import StoredArray
from sdde.solving.stores import Damaged, Rows, Store

_STEPS = 200_000_000  # path-steps of one block at most: about half a second
_NUMBERS = 4_000_000  # kept of one block: 32 MB
_NAMES = {"codes": "status", "ended": "end_time", "hit_times": "hit_time"}  # in the store
_HELD = 0.5  # of the memory that is free; what is larger stays in the store


def seed_in(target: Any) -> int | None:
    """Return the seed of a store, so that a call without one goes on with it; None if none."""
    try:
        header = Store.for_reading(target).header
    except (ArgumentError, StoreError):
        return None
    return int(header["run"]["seed"]) if "seed" in header["run"] else None


def open_for(run: Run, target: Any) -> Store:
    """Open the store of a run, or make it, before anything is compiled."""
    length = block_length(run, width_for(run.dim, run.paths), steps=_STEPS, numbers=_NUMBERS)
    rows = _rows_of(run)
    header = {
        "kind": "paths" if run.request is None else "moments",
        "run": identity_of(run), "made": versions(), "total": run.paths, "length": length,
        "blocks": -(-run.paths // length),
    }  # fmt: skip
    store = Store.for_writing(target, header, rows)
    try:
        store.keep_values("time", run.saves.t)
    except BaseException:
        store.close()
        raise
    return store


def fill_store(
    ready: Ready, store: Store, crew: Crew | None, *, threads: int, progress: Progress
) -> bool:
    """Compute what the store lacks, and write it; return False if Ctrl-C stopped it."""
    missing = store.missing()
    total = ready.run.paths
    report, close = reporter(progress, total)
    finished = total - sum(end - first for first, end in map(store.span, missing))
    report(finished, total)

    def take(first: int, end: int, arrays: Arrays) -> None:
        nonlocal finished
        store.put(first // int(store.header["length"]), _to_store(ready.run, arrays))
        finished += end - first
        report(finished, total)

    spans = [store.span(block) for block in missing]
    try:
        if crew is not None:
            return spread(ready, spans, take, crew, threads=threads)
        for first, end in spans:
            block = ready.room(first, end)
            if not ready.fill(block, threads=threads):
                return False
            take(first, end, block.arrays())
    except KeyboardInterrupt:
        return False
    finally:
        close()
    return True


def results_in(ready: Ready, store: Store) -> tuple[Block, StoredArray | None]:
    """Return what is stored as one block, and the states apart if memory could hardly hold them."""
    run = ready.run
    apart = None
    if run.request is None and 8 * run.kept * run.paths > _HELD * memory.available_memory():
        apart = StoredArray(store, "x")
    block = ready.room(0, run.paths, with_states=apart is None)
    for number in store.written():
        first, end = store.span(number)
        try:
            arrays = store.get(number) if apart is None else store.get(number, leaving=("x",))
        except Damaged as damage:
            raise StoreError(
                f"store = {store.name!r} was damaged while it was in use: {damage}.\n"
                "  Make the same call again: it computes damaged blocks anew."
            ) from None
        block.take(first, end, _from_store(run, arrays))
    return block, apart


def _rows_of(run: Run) -> dict[str, Rows]:
    """Return what the store keeps with a row for each path."""
    rows = {
        "status": Rows((), "int8", -1, ("path",)),
        "end_time": Rows((), "float64", float("nan"), ("path",)),
    }
    if run.request is None:
        axes = ("path", "time", *("component",) * len(run.plan.state_shape))
        rows["x"] = Rows((len(run.saves), *run.plan.state_shape), "float64", float("nan"), axes)
    if run.watched.hits:
        rows["hit_time"] = Rows((), "float64", float("nan"), ("path",))
    for name, shape in _functionals(run).items():
        axes = ("path", *(f"{name}_component" for _ in shape))
        rows[FUNCTIONAL + name] = Rows(shape, "float64", float("nan"), axes)
    return rows


def _functionals(run: Run) -> dict[str, tuple[int, ...]]:
    shapes = run.watched.shapes[run.watched.hits :]
    return dict(zip(run.watched.functionals, shapes, strict=True))


def _to_store(run: Run, arrays: Arrays) -> Arrays:
    """Rename and reshape the arrays of a block for the store."""
    kept = {_NAMES.get(name, name): array for name, array in arrays.items() if name != "results"}
    if "x" in kept:
        kept["x"] = kept["x"].reshape(-1, len(run.saves), *run.plan.state_shape)
    if "results" in arrays:
        named = run.watched.by_name(arrays["results"])
        kept |= {FUNCTIONAL + name: np.ascontiguousarray(v) for name, v in named.items()}
    return kept


def _from_store(run: Run, kept: dict[str, NDArray[Any]]) -> Arrays:
    """Return what `_to_store` made of the arrays of a block."""
    back = {stored: name for name, stored in _NAMES.items()}
    arrays = {back.get(n, n): a for n, a in kept.items() if not n.startswith(FUNCTIONAL)}
    if "x" in arrays:
        arrays["x"] = arrays["x"].reshape(len(arrays["x"]), len(run.saves), run.dim)
    if run.watched.functionals:
        columns = [kept[FUNCTIONAL + name] for name in run.watched.functionals]
        arrays["results"] = np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1)
    return arrays
