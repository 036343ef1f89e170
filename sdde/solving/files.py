"""Solutions in files: NumPy archives with a JSON header, or netCDF through xarray. Data only.

What is kept is the numbers and how they were made; functions are not, so a loaded solution has no
problem. Nothing is ever unpickled.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import sdde
from sdde import checks
from sdde.errors import ArgumentError

_FORMAT = 1
_SUFFIXES = (".npz", ".nc")


def save(solution: Any, path: str | Path) -> None:
    """Write a solution to ``.npz`` or ``.nc``."""
    target = Path(path)
    if target.suffix not in _SUFFIXES:
        raise checks.fail(
            "path", str(path), "has no known suffix", remedy='For example path = "solution.npz".'
        )
    try:
        if target.suffix == ".nc":
            solution.to_xarray().to_netcdf(target)
            return
        header = {
            "format": _FORMAT,
            "sdde": sdde.__version__,
            "t_span": list(solution.t_span),
            "dt": solution.dt,
            "method": solution.method,
            "seed": str(solution.seed),  # may have more digits than a JSON reader keeps
        }
        with target.open("wb") as file:
            moments = () if solution.moments is None else solution.moments
            np.savez(
                file, header=np.array(json.dumps(header)), t=solution.t, x=solution.x,
                status=solution.status, end_time=solution.end_time,
                **dict(zip(("mean", "var"), moments, strict=False)),
            )  # fmt: skip
    except OSError as error:
        raise ArgumentError(
            f"path = {str(path)!r} cannot be written: {error}.\n"
            "  Name a file in a folder that exists and may be written to."
        ) from None


def load(path: str | Path) -> dict[str, Any]:
    """Read the fields of a solution from an ``.npz`` file written by `save`."""
    source = Path(path)
    if not source.is_file():
        raise checks.fail(
            "path", str(path), "is not a file",
            remedy='Write one with solution.save("solution.npz").',
        )  # fmt: skip
    try:
        with np.load(source, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            fields = {name: content[name] for name in ("t", "x", "status", "end_time")}
            if "mean" in content:
                fields["moments"] = (content["mean"], content["var"])
        known = header["format"] == _FORMAT
        fields |= {
            "t_span": tuple(float(end) for end in header["t_span"]),
            "dt": float(header["dt"]),
            "method": str(header["method"]),
            "seed": int(header["seed"]),
        }
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile):
        known = False
        fields = {}
    if not known:
        raise checks.fail(
            "path", str(path), "is not a solution written by Solution.save",
            remedy='Write one with solution.save("solution.npz").',
        )  # fmt: skip
    return fields
