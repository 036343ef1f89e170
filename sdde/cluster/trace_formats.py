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


def pandas_for(path: object) -> Any:
    """Return the module pandas, or refuse `path` because pandas or pyarrow is missing."""
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module("pandas")
    except ImportError:
        raise checks.fail(
            "path", str(path), "needs pandas and pyarrow",
            remedy="pip install pandas pyarrow, or use .csv or .jsonl.",
        ) from None  # fmt: skip
