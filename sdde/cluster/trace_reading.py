"""Reading traces: CSV, JSON Lines and Parquet files in, typed columns out.

A file is read in pieces that become arrays at once, so that memory is that of the columns and not
of the text. Clean pieces go through NumPy's parser; a piece that it refuses is read cell by cell,
which is slower and names the faulty line. Nothing here knows what the columns mean.
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
from sdde.cluster.trace_columns import COLUMNS, Columns
from sdde.cluster.trace_formats import file_format, pandas_for
from sdde.cluster.trace_log import Trace

PIECE = 200_000  # rows parsed at once: some 30 MB of text
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan}
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
        return _read_parquet(file, rename)
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as lines:
            return (_read_csv if kind == "csv" else _read_jsonl)(lines, str(path), rename)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise checks.fail(
            "path", str(path), f"cannot be read to its end ({error})",
            why="The file is damaged, or its writing was interrupted.",
            remedy="Logs that may be interrupted are safest as plain .csv.",
        ) from None  # fmt: skip


class _Builder:
    """Columns that grow piece by piece; names of workers become numbers on the way."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        self.workers: dict[str, int] = {}
        self.by_name = False  # once workers are seen to have names they are read as text

    def add(self, name: str, values: NDArray[np.float64]) -> None:
        wanted = COLUMNS[name]
        column = values.astype(wanted)
        self.parts[name].append(column if np.array_equal(column, values) else values)

    def worker(self, label: str) -> float:
        return float(self.workers.setdefault(label, len(self.workers)))

    def columns(self) -> tuple[Columns, tuple[str, ...]]:
        data: Columns = {}
        for name in self.names:
            parts = self.parts.pop(name)  # freed before the next column is joined
            data[name] = np.concatenate(parts) if parts else np.empty(0)
        return data, tuple(self.workers)


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
    builder = _Builder(kept)
    places = [titles.index(title) for title in kept]
    while piece := list(itertools.islice(lines, PIECE)):
        table = None if builder.by_name else _fast(piece, places)
        if table is None:
            table = _careful(piece, titles, builder, path=path, first=number + 1)
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


def _careful(
    piece: list[str], titles: list[str], builder: _Builder, *, path: str, first: int
) -> NDArray[np.float64]:
    """Read the lines of a piece cell by cell."""
    rows: list[tuple[int, list[str]]] = []
    last = first + len(piece) - 1
    for number, line in enumerate(piece, first):
        if line.startswith("#") or not line.strip():
            continue
        cells = next(csv.reader([line]))
        if len(cells) != len(titles):
            if number == last and not line.endswith("\n"):
                continue  # a row cut short when its writer was killed
            raise checks.fail(
                "path", path, f"has {len(cells)} cells in line {number}, not {len(titles)}"
            )
        kept = [c.strip() for title, c in zip(titles, cells, strict=True) if title in COLUMNS]
        rows.append((number, kept))
    return _table(rows, builder, path)


def _table(rows: list[tuple[int, list[str]]], builder: _Builder, path: str) -> NDArray[np.float64]:
    """Return the numbers that cells of text hold; names of workers become their positions."""
    place = builder.names.index("worker") if "worker" in builder.names else None
    if place is not None and not builder.workers:
        named = [number for number, cells in rows if cells[place] and not _is_number(cells[place])]
        if named and builder.parts["worker"]:
            raise checks.fail(
                "path", path, f"mixes numbers and names of workers in line {named[0]}"
            )
        builder.by_name = bool(named)
    table = np.empty((len(rows), len(builder.names)))
    for row, (number, cells) in zip(table, rows, strict=True):
        for i, (name, cell) in enumerate(zip(builder.names, cells, strict=True)):
            row[i] = (
                builder.worker(cell)
                if i == place and builder.by_name
                else _number(cell, name, f"It stands in line {number} of {path}.")
            )
    return table


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = _WORDS.get(cell.lower())
        value = float(cell) if value is None else value
    except ValueError:
        raise checks.fail(name, cell, "is not a number", why=where) from None
    if np.isnan(value) and COLUMNS[name] is not np.float64:
        raise checks.fail(name, cell, "is missing", why=where)
    return value


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_jsonl(
    lines: TextIO, path: str, rename: dict[str, str]
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    header: dict[str, str] = {}
    builder: _Builder | None = None
    number = 0
    while piece := list(itertools.islice(lines, PIECE)):
        rows: list[tuple[int, list[str]]] = []
        for line in piece:
            number += 1
            record = _record(line, number, path)
            if record is None:
                continue
            if builder is None and isinstance(record.get("header"), dict):
                header = {str(key): str(value) for key, value in record["header"].items()}
                continue
            record = {rename.get(key, key): value for key, value in record.items()}
            if builder is None:
                builder = _Builder([key for key in record if key in COLUMNS])
            rows.append((number, [_text(record.get(name)) for name in builder.names]))
        if builder is not None:
            for name, values in zip(builder.names, _table(rows, builder, path).T, strict=True):
                builder.add(name, values)
    if builder is None:
        raise checks.fail("path", path, "holds no gradients")
    data, workers = builder.columns()
    return data, header, workers


def _record(line: str, number: int, path: str) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        if not line.endswith("\n"):
            return None  # a row cut short when its writer was killed
        raise checks.fail("path", path, f"is not JSON in line {number} ({error})") from None
    if not isinstance(record, dict):
        raise checks.fail("path", path, f"does not hold an object in line {number}")
    return record


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _read_parquet(
    file: Path, rename: dict[str, str]
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    table = pandas_for(file).read_parquet(file)
    header = {str(key): str(value) for key, value in table.attrs.items()}
    data = {
        rename.get(str(title), str(title)): table[title].to_numpy()
        for title in table.columns
        if rename.get(str(title), str(title)) in COLUMNS
    }
    return data, header, ()
