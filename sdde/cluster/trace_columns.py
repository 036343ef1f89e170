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
_LARGEST_TIME = 1e100  # beyond that squares overflow
_LARGEST_COUNT = 2**53  # beyond that files of other programs do not hold whole numbers exactly
_BACKWARD = 0.01  # share of rows whose versions may contradict their times


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
    if names and "worker" in columns:
        names = _known_names(columns["worker"], names)
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
    rank = _order(columns)
    if rank is not None:
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
    """Return the column in its own type, or say what is wrong with it.

    A column that nobody can change, as readers make them, is taken as it is; others are copied.
    """
    if values.ndim != 1:
        raise checks.fail(name, values.shape, "is not one-dimensional")
    wanted = COLUMNS[name]
    if values.dtype.kind not in "biuf":
        raise checks.fail(name, values, "is not a column of numbers")
    real = values.dtype.kind == "f"
    if real and name not in _MAY_BE_MISSING and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        what = "a time" if wanted is np.float64 else "a whole number"
        raise checks.fail(name, values[row].item(), f"in row {row} is not {what}")
    limit = _LARGEST_TIME if wanted is np.float64 else _LARGEST_COUNT
    if name not in _MAY_BE_MISSING and len(values) and values.dtype.kind != "b":
        for extreme in (values.min().item(), values.max().item()):
            if abs(extreme) > limit:
                raise checks.fail(
                    name, extreme, "is out of range", remedy=f"At most {limit:g} either way."
                )
    if values.dtype == wanted and values.flags.owndata and not values.flags.writeable:
        return values
    column = np.array(values, dtype=wanted)
    if wanted is not np.float64 and not np.array_equal(column, values):
        row = int(np.flatnonzero(column != values)[0])
        raise checks.fail(name, values[row].item(), f"in row {row} is not a whole number")
    return column


def _known_names(worker: NDArray[Any], names: Sequence[str]) -> Sequence[str]:
    """Return the names of workers if each worker has one that a line of a file can hold."""
    for name in names:
        if not isinstance(name, str) or len(name.splitlines()) > 1 or name != name.strip():
            raise checks.fail(
                "worker", name, "is no name", why="It is no text, or holds a line break, or begins "
                "or ends with a space.", remedy='For example "worker 1".',
            )  # fmt: skip
    if len(worker) and not 0 <= worker.min() <= worker.max() < len(names):
        raise checks.fail("worker", int(worker.max()), f"has no name among {len(names)}")
    return names


def _order(columns: Columns) -> NDArray[np.int64] | None:
    """Return the order of rows by time, then by version, or None if they have it."""
    time, version = columns.get("apply_time"), columns.get("apply_version")
    if time is None or len(time) < 2:
        return None
    ordered = time[1:] >= time[:-1]
    if version is None:
        return None if ordered.all() else np.argsort(time, kind="stable")
    if ordered.all() and not ((version[1:] < version[:-1]) & (time[1:] == time[:-1])).any():
        return None
    return np.lexsort((version, time))


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
    _one_run(columns)


def _one_run(columns: Columns) -> None:
    """Refuse a log that holds rows twice, or several runs."""
    if "apply_version" in columns and "apply_time" in columns:
        version = columns["apply_version"]
        if "discarded" in columns:  # it found the version that the kept ones beside it will leave
            version = version + columns["discarded"]
        backward = int(np.count_nonzero(version[1:] < version[:-1]))
        if backward > max(1.0, _BACKWARD * len(version)):
            row = int(np.flatnonzero(version[1:] < version[:-1])[0]) + 1
            raise checks.fail(
                "apply_version", int(version[row]), f"is lower in row {row} than in the row before",
                why=f"So it is in {backward} of {len(version)} rows, in the order of apply_time: "
                "the log holds several runs, or its times come from several clocks.",
                remedy="Give each run a trace of its own, with the times of one clock.",
            )  # fmt: skip
    if not {"worker", "read_version", "apply_version", "apply_time"} <= set(columns):
        return
    time = columns["apply_time"]
    tied = np.flatnonzero(time[1:] == time[:-1])
    if not tied.size:
        return
    rows = np.unique(np.concatenate([tied, tied + 1]))
    table = np.stack([column[rows].astype(float) for column in columns.values()])
    table = np.nan_to_num(table[:, np.lexsort(table)], nan=-1.0)
    same = (table[:, 1:] == table[:, :-1]).all(axis=0)
    if same.any():
        twice = table[list(columns).index("apply_time"), 1:][same][0]
        raise checks.fail(
            "trace", f"{len(time)} rows", f"holds {int(same.sum())} of them twice",
            why=f"The first is a gradient of worker "
            f"{int(table[list(columns).index('worker'), 1:][same][0])} applied at {twice:g}.",
            remedy="Remove rows that were logged or merged twice.",
        )  # fmt: skip
