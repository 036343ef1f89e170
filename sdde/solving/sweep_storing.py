"""A sweep that goes to a store: one block for each parameter set, and no set computed twice.

What a set yields are arrays with named axes; they are packed with a short text that holds these
names. Nothing here knows how a set is computed.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.errors import StoreError
from sdde.solving.identity import versions
from sdde.solving.points import Found, Points, Table
from sdde.solving.stores import Damaged, Store

KIND = "a sweep"
_LAYOUT, _ARRAY, _COORDINATE = "layout", "array ", "coordinate "


def open_sweep(
    target: Any, problem_of: Any, points: Points, given: Mapping[str, Any], seed: int, seeds: str
) -> Store:
    """Open the store of a sweep, or make it."""
    run = {
        "parameters": _labels(points), "grid": points.listed is None, "seed": str(seed),
        "seeds": seeds, **{name: _plain(name, value) for name, value in given.items()},
        "values of the parameters": _hash(
            "parameters", [list(points[i].values()) for i in range(len(points))]
        ),
        "functions in problem_of": _hash("problem_of", problem_of),
    }  # fmt: skip
    header = {
        "kind": KIND, "run": run, "made": versions(), "total": len(points), "length": 1,
        "blocks": len(points),
    }  # fmt: skip
    return Store.for_writing(target, header, {})


def take_stored(store: Store, table: Table) -> list[int]:
    """Put what is stored into the table; return the sets that must be computed."""
    missing = store.missing()
    for index in sorted({*range(store.blocks)} - {*missing}):
        table.put(index, found_in(store, index))
    return missing


def keep(store: Store, index: int, found: Found) -> None:
    """Write what a parameter set yields."""
    arrays = {_ARRAY + name: array for name, (_, array) in found.arrays.items()}
    arrays |= {_COORDINATE + name: array for name, array in found.coords.items()}
    axes = {name: list(axes) for name, (axes, _) in found.arrays.items()}
    layout = json.dumps({"axes": axes, "is_solved": found.is_solved})
    store.put(index, arrays | {_LAYOUT: np.frombuffer(layout.encode(), dtype=np.uint8)})


def found_in(store: Store, index: int) -> Found:
    """Return what `keep` wrote."""
    try:
        kept = store.get(index)
    except Damaged as damage:
        raise StoreError(
            f"store = {store.name!r} is damaged: {damage}.\n"
            "  Make the call that wrote it again: it computes damaged sets anew."
        ) from None
    layout = json.loads(kept[_LAYOUT].tobytes())
    arrays = {
        name: (tuple(axes), kept[_ARRAY + name]) for name, axes in layout["axes"].items()
    }  # fmt: skip
    coords: dict[str, NDArray[Any]] = {
        name.removeprefix(_COORDINATE): array
        for name, array in kept.items()
        if name.startswith(_COORDINATE)
    }
    return Found(arrays, coords, bool(layout["is_solved"]))


def table_in(store: Store) -> Table:
    """Return the table of what a store holds, with the parameters as they were labelled."""
    run = store.header["run"]
    names = tuple(run["parameters"])
    if run["grid"]:
        points = Points(names, run["parameters"], None)
    else:
        rows = zip(*run["parameters"].values(), strict=True)
        points = Points(names, {}, tuple(dict(zip(names, row, strict=True)) for row in rows))
    table = Table(points)
    for index in store.written():
        table.put(index, found_in(store, index))
    return table


def _labels(points: Points) -> dict[str, list[Any]]:
    coords = points.coords()
    if points.listed is not None:
        coords = {name: values for name, (_, values) in coords.items()}
    return {name: values.tolist() for name, values in coords.items()}


def _plain(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return _hash(name, value)


def _hash(name: str, value: Any) -> str:
    try:
        return "sha256:" + fingerprint(value, itself=True).hex()
    except Unhashable as error:
        raise checks.fail(
            name, value, f"cannot be stored: {error}",
            why="A store must know its sweep again, and refuse any other.",
            remedy="Use plain functions of the parameters, without open files, locks or pointers.",
        ) from None  # fmt: skip
