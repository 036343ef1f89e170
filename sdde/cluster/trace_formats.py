"""Which file format a trace has, by the suffix of its name, and how such a file is opened."""

import gzip
import importlib
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdde import checks

_FORMATS = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def file_format(path: str | Path) -> tuple[Path, str, Callable[..., Any]]:
    """Return the path, ``"csv"``, ``"jsonl"`` or ``"parquet"``, and what opens the file."""
    file = Path(path)
    suffixes = file.suffixes
    packed = suffixes[-1] if suffixes and suffixes[-1] in _OPENERS else ""
    kind = _FORMATS.get(Path(file.name.removesuffix(packed)).suffix)
    if kind is None or (kind == "parquet" and packed):
        raise checks.fail(
            "path", str(path), "has a suffix that is not known",
            remedy="Known: .csv and .jsonl, also followed by .gz or .xz, and .parquet.",
        )  # fmt: skip
    return file, kind, _OPENERS.get(packed, open)


def pyarrow_for(path: object) -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet, or refuse `path` because they are missing."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise checks.fail(
            "path", str(path), "needs pyarrow",
            remedy="pip install pyarrow, or use .csv or .jsonl.",
        ) from None  # fmt: skip
