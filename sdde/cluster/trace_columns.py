"""Columns of a trace: their names and types, and the faults that no run can have made.

What a file or a user gives becomes arrays of the right type in the order of time; contradictions
are refused with the row that shows them. Nothing here computes anything from the columns.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Columns = dict[str, NDArray[Any]]

COLUMNS: dict[str, type] = {
    "worker": np.int64,
    "read_time": np.float64,
    "start_time": np.float64,
    "apply_time": np.float64,
    "read_version": np.int64,
    "apply_version": np.int64,
    "loss": np.float64,
    "gradient_norm": np.float64,
    "discarded": np.bool_,
    "compute_time": np.float64,
    "staleness": np.int64,
}
_TIMES = ("read_time", "start_time", "apply_time")
_MAY_BE_MISSING = ("loss", "gradient_norm")  # nan where a row has none


def clean_columns(data: Mapping[str, Any], names: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
    """Return read-only columns in the order of `apply_time`, and the names of the workers if they
    have any.
    """
    checks.instance(
        "worker_names", names, list | tuple, "a list of names",
        remedy='For example worker_names = ["a", "b"].',
    )  # fmt: skip
    columns: Columns = {}
    for name in COLUMNS:
        if name not in data:
            continue
        values = np.asarray(data[name])
        if name == "worker" and values.dtype.kind in "OUS":
            labels, values = np.unique(values.astype(str), return_inverse=True)
            names = tuple(str(label) for label in labels)
        columns[name] = _clean(name, values)
    sizes = {name: len(column) for name, column in columns.items()}
    if not columns:
        raise checks.fail(
            "columns", sorted(map(str, data)), "hold none that is known",
            remedy=f"Known: {', '.join(COLUMNS)}.",
        )  # fmt: skip
    if len(set(sizes.values())) > 1:
        raise checks.fail("columns", sizes, "differ in length")
    if not next(iter(sizes.values())):
        raise checks.fail("trace", sorted(columns), "holds no gradients")
    order = columns.get("apply_time")
    if order is not None and np.any(order[1:] < order[:-1]):
        rank = np.argsort(order, kind="stable")
        for name in columns:
            columns[name] = columns[name][rank]
    _consistent(columns)
    for column in columns.values():
        column.flags.writeable = False
    return columns, tuple(names)


def clean_header(header: Any) -> dict[str, str]:
    """Return a header as text without line breaks."""
    checks.instance("header", header, Mapping, "a mapping", remedy='For example {"run": "7"}.')
    clean = {
        " ".join(str(key).split()): " ".join(str(value).split()) for key, value in header.items()
    }
    for key in clean:
        if not key or ":" in key:
            raise checks.fail("header key", key, "is empty or holds a colon")
    return clean


def _clean(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return the column in its own type, or say what is wrong with it."""
    if values.ndim != 1:
        raise checks.fail(name, values.shape, "is not one-dimensional")
    wanted = COLUMNS[name]
    if values.dtype.kind not in "biuf":
        raise checks.fail(name, values, "is not a column of numbers")
    column = np.array(values, dtype=wanted)
    if wanted is not np.float64 and not np.array_equal(column, values):
        row = int(np.flatnonzero(column != values)[0])
        raise checks.fail(name, values[row].item(), f"in row {row} is not a whole number")
    if wanted is np.float64 and name not in _MAY_BE_MISSING and not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column))[0])
        raise checks.fail(name, column[row].item(), f"in row {row} is not a time")
    return column


def _consistent(columns: dict[str, NDArray[Any]]) -> None:
    """Refuse rows that no run can have made."""
    given = [name for name in _TIMES if name in columns]
    for earlier, later in itertools.pairwise(given):
        late = columns[earlier] > columns[later]
        if late.any():
            row = int(np.flatnonzero(late)[0])
            raise checks.fail(
                earlier, columns[earlier][row].item(), f"is after {later} in row {row}",
                why=f"{int(late.sum())} of {len(late)} rows; a gradient is read, then applied.",
                remedy="Take all times from one clock, for example the server's.",
            )  # fmt: skip
    for name in ("compute_time", "staleness", "read_version"):
        if name in columns and (columns[name] < 0).any():
            row = int(np.flatnonzero(columns[name] < 0)[0])
            raise checks.fail(name, columns[name][row].item(), f"in row {row} is negative")
    if "read_version" in columns and "apply_version" in columns:
        made = ~columns["discarded"] if "discarded" in columns else True
        wrong = columns["apply_version"] < columns["read_version"] + made
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise checks.fail(
                "apply_version", columns["apply_version"][row].item(),
                f"is too low in row {row}, read_version = {columns['read_version'][row]}",
                why="It counts the update of this row too, so it is at least read_version + 1.",
                remedy="If the log holds the version before the update, add 1 to apply_version.",
            )  # fmt: skip
