"""Writing traces: whole ones to a file, and row by row from the loop of a training run."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from sdde import checks
from sdde.cluster.trace_columns import COLUMNS
from sdde.cluster.trace_formats import file_format
from sdde.cluster.trace_log import Trace

PIECE = 200_000  # rows turned into text at once


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace in the format of the suffix."""
    file, kind, opener = file_format(path)
    if kind == "parquet":
        from sdde.cluster.trace_parquet import write_parquet

        write_parquet(trace, file)
        return
    with opener(file, "wt", encoding="utf-8", newline="") as out:
        out.write(_head(kind, trace.header, list(trace.data)))
        for rows in _pieces(trace):
            out.write("".join(_line(kind, list(trace.data), row) for row in rows))


def _pieces(trace: Trace) -> Iterator[Iterator[tuple[Any, ...]]]:
    for start in range(0, len(trace), PIECE):
        stop = start + PIECE
        columns = {name: column[start:stop].tolist() for name, column in trace.data.items()}
        if trace.worker_names:
            columns["worker"] = [trace.worker_names[code] for code in columns["worker"]]
        yield zip(*columns.values(), strict=True)


def _head(kind: str, header: Mapping[str, str], titles: list[str]) -> str:
    if kind == "jsonl":
        return json.dumps({"header": dict(header)}) + "\n" if header else ""
    return "".join(f"# {key}: {value}\n" for key, value in header.items()) + (
        ",".join(titles) + "\n"
    )


def _line(kind: str, titles: list[str], row: tuple[Any, ...]) -> str:
    if kind == "jsonl":
        cells = zip(titles, row, strict=True)
        return json.dumps({k: None if v != v else v for k, v in cells}) + "\n"
    plain = [int(cell) if isinstance(cell, bool) else cell for cell in row]
    if any(isinstance(cell, str) for cell in plain):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(plain)
        return text.getvalue()
    return ",".join(map(str, plain)) + "\n"


class TraceWriter:
    """Logs an asynchronous training run, row by row, from the loop of its server.

    Call `read` when a worker fetches the parameters and `apply` when its gradient arrives; the
    writer takes the times and counts the versions. A loop that has its own times and versions calls
    `row`. Rows reach the file at least once a second, so that a killed run leaves its log. Calls
    from several threads are safe.

    Parameters
    ----------
    path : str or Path
        ``.csv`` or ``.jsonl``, also with ``.gz`` or ``.xz`` (those are complete only once closed).
    header : mapping of str to object, optional
        How the run is made: workers, learning rate, batch; goes into the header.
    clock : callable, optional
        Returns the time; ``time.perf_counter`` counted from the creation of the writer by default.

    Raises
    ------
    sdde.ArgumentError
        If the file cannot be written in this format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sdde.cluster import Trace, TraceWriter
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.csv"
    >>> with TraceWriter(path, header={"learning rate": 0.1}) as log:
    ...     for worker in (0, 1):
    ...         log.read(worker)
    ...     log.apply(1, loss=2.5)
    ...     log.apply(0, loss=2.1)
    >>> Trace.read(path).staleness()
    array([0, 1])
    """

    def __init__(
        self,
        path: str | Path,
        *,
        header: Mapping[str, object] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        file, self._kind, opener = file_format(path)
        if self._kind == "parquet":
            raise checks.fail(
                "path", str(path), "cannot be written row by row",
                remedy="Write .csv or .jsonl; Trace.read(...).write(...) converts it.",
            )  # fmt: skip
        start = time.perf_counter()
        self._clock = clock or (lambda: time.perf_counter() - start)
        self._header = {str(key): str(value) for key, value in (header or {}).items()}
        self._out: TextIO | None = opener(file, "wt", encoding="utf-8", newline="")
        self._titles: list[str] = []
        self._reads: dict[int | str, dict[str, Any]] = {}
        self._lock = threading.RLock()
        self._flushed = time.monotonic()
        self.version = 0

    def read(self, worker: int | str) -> None:
        """Note that `worker` fetches the parameters now."""
        with self._lock:
            self._reads[worker] = {"read_time": self._clock(), "read_version": self.version}

    def start(self, worker: int | str) -> None:
        """Note that `worker` begins to compute now (optional; for all rows or for none)."""
        with self._lock:
            self._pending(worker)["start_time"] = self._clock()

    def apply(
        self,
        worker: int | str,
        *,
        loss: float | None = None,
        gradient_norm: float | None = None,
        discarded: bool | None = None,
    ) -> None:
        """Note that the gradient of `worker` is applied now, or discarded, and write its row.

        Parameters
        ----------
        worker : int or str
            The worker whose last `read` this gradient goes back to.
        loss, gradient_norm : float, optional
            Logged if given; give them in all rows or in none.
        discarded : bool, optional
            True if the server drops the gradient: no new version.

        Raises
        ------
        sdde.ArgumentError
            If this worker has not read since its last gradient.
        """
        with self._lock:
            pending = self._pending(worker)
            del self._reads[worker]
            version = self.version + (not discarded)
            values = {
                "worker": worker, **pending, "apply_time": self._clock(), "apply_version": version,
                "loss": loss, "gradient_norm": gradient_norm, "discarded": discarded,
            }  # fmt: skip
            self.row(**{name: value for name, value in values.items() if value is not None})
            self.version = version

    def row(self, **values: Any) -> None:
        """Write one row of the caller's own values.

        Parameters
        ----------
        **values
            Columns of `Trace` by name; the first row says which columns the file has.

        Raises
        ------
        sdde.ArgumentError
            If a column is not known, or the columns differ from those of the first row.
        """
        with self._lock:
            if self._out is None:
                raise checks.fail("TraceWriter", "closed", "cannot write any more")
            if not self._titles:
                if unknown := [name for name in values if name not in COLUMNS]:
                    raise checks.fail(
                        "column", unknown[0], "is not known", remedy=f"Known: {', '.join(COLUMNS)}."
                    )
                self._titles = [name for name in COLUMNS if name in values]
                self._out.write(_head(self._kind, self._header, self._titles))
            if set(values) != set(self._titles):
                raise checks.fail(
                    "columns", sorted(values), "differ from those of the first row",
                    remedy=f"Give {', '.join(self._titles)} in every row.",
                )  # fmt: skip
            ordered = tuple(_plain(values[name]) for name in self._titles)
            self._out.write(_line(self._kind, self._titles, ordered))
            if time.monotonic() - self._flushed > 1.0:
                self.flush()

    def flush(self) -> None:
        """Bring all rows to the file."""
        with self._lock:
            if self._out is not None:
                self._out.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the file; closing twice does no harm."""
        with self._lock:
            if self._out is not None:
                self._out.close()
                self._out = None

    def _pending(self, worker: int | str) -> dict[str, Any]:
        if worker not in self._reads:
            raise checks.fail(
                "worker", worker, "has not read the parameters since its last gradient",
                remedy="Call read(worker) when it fetches them.",
            )  # fmt: skip
        return self._reads[worker]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
