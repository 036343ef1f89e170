"""Reading traces: CSV, JSON Lines and Parquet files in, typed columns out.

A file is read in pieces that become arrays at once, so that memory is that of the columns and not
of the text. Clean pieces go through NumPy's parser; a piece that it refuses is read row by row,
which is slower and names the faulty line. Cells are numbers or names and are never evaluated.
Nothing here knows what the columns mean.
"""

import csv
import gzip
import importlib.resources
import itertools
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.trace_building import Builder
from sdde.cluster.trace_columns import COLUMNS, Columns
from sdde.cluster.trace_formats import file_format
from sdde.cluster.trace_log import Trace

PIECE = 200_000  # rows parsed at once: some 30 MB of text
_RECORDED = "live_digits_8_workers.csv.xz"


def packaged_trace() -> Trace:
    """Return the recorded run that ships with the package.

    Eight worker processes and a parameter server trained softmax regression on scikit-learn's
    digits with asynchronous SGD (`sdde.cluster.live`); the header says with which command.

    Returns
    -------
    Trace

    Examples
    --------
    >>> from sdde.cluster import packaged_trace
    >>> packaged_trace().workers
    8
    """
    file = importlib.resources.files("sdde") / "data" / _RECORDED
    with importlib.resources.as_file(file) as path:
        return Trace.read(path)


def read_trace(
    path: str | Path, *, names: Mapping[str, str] | None = None
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    """Return columns, header and the names of the workers (empty if they are numbers)."""
    file, kind, opener = file_format(path)
    if not file.is_file():
        raise checks.fail("path", str(path), "is not a file")
    rename = dict(names or {})
    if unknown := sorted(set(rename.values()) - set(COLUMNS)):
        raise checks.fail(
            "names", rename, f"gives {unknown[0]!r}, which is no column of a trace",
            remedy=f"Known: {', '.join(COLUMNS)}.",
        )  # fmt: skip
    if kind == "parquet":
        from sdde.cluster.trace_parquet import read_parquet

        return read_parquet(file, rename)
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as lines:
            return (_read_csv if kind == "csv" else _read_jsonl)(lines, str(path), rename)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise checks.fail(
            "path", str(path), f"cannot be read to its end ({error})",
            why="The file is damaged, or its writing was interrupted.",
            remedy="Logs that may be interrupted are safest as plain .csv.",
        ) from None  # fmt: skip


def _read_csv(
    lines: TextIO, path: str, rename: dict[str, str]
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    header: dict[str, str] = {}
    title_line = ""
    number = 0
    for title_line in lines:
        number += 1
        if not title_line.startswith("#"):
            break
        key, colon, value = title_line[1:].partition(":")
        if colon and key.strip():
            header[key.strip()] = value.strip()
    titles = [
        rename.get(title.strip(), title.strip()) for title in next(csv.reader([title_line]), [])
    ]
    if not set(titles) & set(COLUMNS):
        raise checks.fail(
            "path", path, f"has no column of a trace in line {number}",
            why=f"That line must name the columns; it says {checks.shown(title_line.strip())}.",
            remedy=f"Known: {', '.join(COLUMNS)}.",
        )  # fmt: skip
    kept = [title for title in titles if title in COLUMNS]
    if len(set(kept)) < len(kept):
        raise checks.fail("path", path, "names a column twice", why=f"Its columns: {titles}.")
    builder = Builder(kept, path)
    places = [titles.index(title) for title in kept]
    while piece := list(itertools.islice(lines, PIECE)):
        table = None if builder.by_name else _fast(piece, places)
        if table is None:
            builder.add_cells(*_cells(piece, places, len(titles), path=path, first=number + 1))
        else:
            for name, values in zip(kept, table.T, strict=True):
                builder.add(name, values)
        number += len(piece)
    data, workers = builder.columns()
    return data, header, workers


def _fast(piece: list[str], places: list[int]) -> NDArray[np.float64] | None:
    if not any(line.strip() and not line.startswith("#") for line in piece[:1] + piece[-1:]):
        return None  # NumPy warns about input without data
    try:
        return np.loadtxt(piece, delimiter=",", usecols=places, ndmin=2, dtype=np.float64)
    except ValueError:
        return None


def _cells(
    piece: list[str], places: list[int], width: int, *, path: str, first: int
) -> tuple[list[list[str]], list[int]]:
    """Return the cells of the rows that a piece holds, and the numbers of their lines."""
    rows, numbers = [], []
    last = first + len(piece) - 1
    for number, line in enumerate(piece, first):
        if line.startswith("#") or not line.strip():
            continue
        try:
            cells = next(csv.reader([line]))
        except csv.Error as error:
            raise checks.fail("path", path, f"is not CSV in line {number} ({error})") from None
        if len(cells) != width:
            if number == last and not line.endswith("\n"):
                continue  # a row cut short when its writer was killed
            raise checks.fail("path", path, f"has {len(cells)} cells in line {number}, not {width}")
        rows.append([cells[place] for place in places])
        numbers.append(number)
    return rows, numbers


def _read_jsonl(
    lines: TextIO, path: str, rename: dict[str, str]
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    header: dict[str, str] = {}
    builder: Builder | None = None
    titles: list[str] = []
    number = 0
    while piece := list(itertools.islice(lines, PIECE)):
        rows: list[list[Any]] = []
        numbers: list[int] = []
        for line in piece:
            number += 1
            record = _record(line, number, path)
            if record is None:
                continue
            if builder is None and isinstance(record.get("header"), dict):
                header = {str(key): str(value) for key, value in record["header"].items()}
                continue
            if builder is None:
                known = {rename.get(key, key): key for key in record}
                titles = [key for name, key in known.items() if name in COLUMNS]
                builder = Builder([name for name in known if name in COLUMNS], path)
            rows.append([record.get(title) for title in titles])
            numbers.append(number)
        if builder is not None:
            _add_values(builder, rows, numbers)
    if builder is None:
        raise checks.fail("path", path, "holds no gradients")
    data, workers = builder.columns()
    return data, header, workers


def _add_values(builder: Builder, rows: list[list[Any]], numbers: list[int]) -> None:
    """Append rows of JSON values: at once if all are numbers, otherwise as text."""
    if all(type(value) in (int, float) for row in rows for value in row):
        try:
            table = np.array(rows, dtype=np.float64).reshape(len(rows), len(builder.names))
        except OverflowError:
            table = None
        if table is not None:
            for name, values in zip(builder.names, table.T, strict=True):
                builder.add(name, values)
            return
    builder.add_cells([[_text(value) for value in row] for row in rows], numbers)


def _record(line: str, number: int, path: str) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        if not line.endswith("\n"):
            return None  # a row cut short when its writer was killed
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise checks.fail("path", path, f"is not JSON in line {number} ({reason})") from None
    if not isinstance(record, dict):
        raise checks.fail("path", path, f"does not hold an object in line {number}")
    return record


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
