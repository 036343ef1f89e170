"""Traces as Parquet files, by pyarrow: batch by batch, only the columns of a trace.

The header is kept in the metadata of the file; names of workers are stored once. Nothing here knows
what the columns mean.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.trace_building import Builder
from sdde.cluster.trace_columns import COLUMNS, Columns
from sdde.cluster.trace_formats import pyarrow_for

if TYPE_CHECKING:
    from sdde.cluster.trace_log import Trace

PIECE = 200_000  # rows in memory at once, beside the columns

_HEADER = b"sdde.header"


def read_parquet(
    file: Path, rename: dict[str, str]
) -> tuple[Columns, dict[str, str], tuple[str, ...]]:
    """Return columns, header and the names of the workers (empty if they are numbers)."""
    arrow, parquet = pyarrow_for(file)
    try:
        with parquet.ParquetFile(file) as source:
            schema = source.schema_arrow
            titles = {rename.get(title, title): title for title in schema.names}
            kept = [name for name in titles if name in COLUMNS]
            builder = Builder(kept, str(file))
            for batch in source.iter_batches(PIECE, columns=[titles[name] for name in kept]):
                for name in kept:
                    builder.add(name, _values(arrow, batch.column(titles[name]), name, builder))
    except (OSError, arrow.ArrowException) as error:
        raise checks.fail(
            "path", str(file), "cannot be read", why=str(error).splitlines()[0][:200],
            remedy="Is it a Parquet file, whole?",
        ) from None  # fmt: skip
    data, workers = builder.columns()
    return data, _header(schema.metadata), workers


def _header(metadata: dict[bytes, bytes] | None) -> dict[str, str]:
    try:
        found = json.loads((metadata or {}).get(_HEADER, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _values(arrow: Any, column: Any, name: str, builder: Builder) -> NDArray[Any]:
    """Return a column of a batch as numbers; names of workers become their positions."""
    kinds = arrow.types
    named = kinds.is_dictionary(column.type) or kinds.is_string(column.type)
    if name == "worker" and (named or kinds.is_large_string(column.type)):
        if column.null_count:
            raise checks.fail(name, None, "is missing in a row")
        coded = column if kinds.is_dictionary(column.type) else column.dictionary_encode()
        labels = np.array([builder.worker(str(label)) for label in coded.dictionary.to_pylist()])
        return labels[coded.indices.to_numpy(zero_copy_only=False)]
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "biuf":
        raise checks.fail(name, str(column.type), "is not a column of numbers")
    return values


def write_parquet(trace: "Trace", file: Path) -> None:
    """Write a trace, in pieces."""
    arrow, parquet = pyarrow_for(file)
    header = {_HEADER: json.dumps(dict(trace.header)).encode()}
    names = arrow.array(trace.worker_names, arrow.string()) if trace.worker_names else None

    def piece(start: int) -> Any:
        parts = {name: column[start : start + PIECE] for name, column in trace.data.items()}
        arrays = {name: arrow.array(column) for name, column in parts.items()}
        if names is not None:
            codes = arrow.array(parts["worker"].astype(np.int32))
            arrays["worker"] = arrow.DictionaryArray.from_arrays(codes, names)
        return arrow.table(arrays).replace_schema_metadata(header)

    with parquet.ParquetWriter(file, piece(0).schema) as out:
        for start in range(0, len(trace), PIECE):
            out.write_table(piece(start))
