"""Solutions in files: NumPy archives or netCDF through xarray, with a JSON header. Data only.

What is kept is the numbers and how they were made, and what a longer run begins with; functions are
not, so a loaded solution has a problem only if it is given one. Nothing is ever unpickled.
"""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sdde
from sdde import checks
from sdde.errors import ArgumentError
from sdde.solving.brownian import Brownian
from sdde.solving.checkpoint import Checkpoint
from sdde.solving.labels import FUNCTIONAL, labelled, to_xarray
from sdde.solving.moments import Moments, Statistics

if TYPE_CHECKING:
    from sdde.solving.solution import Solution

_FORMAT = 2
_SUFFIXES = (".npz", ".nc")
_CHECKPOINT = ("tail", "marks", "numbers")


def solution_file(path: str | Path) -> Path:
    """Return the path of a file with a suffix that solutions can be written to."""
    target = Path(path)
    if target.suffix not in _SUFFIXES:
        raise checks.fail(
            "path", str(path), "has no known suffix", remedy='For example path = "solution.npz".'
        )
    return target


def save(solution: "Solution", path: str | Path) -> None:
    """Write a solution to ``.npz`` or ``.nc``."""
    target = solution_file(path)
    header, further = _header(solution), _further(solution)
    try:
        if target.suffix == ".nc":
            data = to_xarray(solution).assign_attrs(sdde=header)
            for name, array in further.items():
                data[name] = tuple(f"{name}_{axis}" for axis in range(array.ndim)), array
            data.to_netcdf(target)
            return
        arrays = {name: array for name, (_, array) in labelled(solution).items()}
        with target.open("wb") as file:
            np.savez(
                file, allow_pickle=False, header=np.array(header), time=solution.t, **arrays,
                **further,
            )  # fmt: skip
    except OSError as error:
        raise ArgumentError(
            f"path = {str(path)!r} cannot be written: {error}.\n"
            "  Name a file in a folder that exists and may be written to."
        ) from None


def _header(solution: "Solution") -> str:
    header = {
        "format": _FORMAT,
        "sdde": sdde.__version__,
        "t_span": list(solution.t_span),
        "dt": solution.dt,
        "method": solution.method,
        "seed": str(solution.seed),  # may have more digits than a JSON reader keeps
        "rule": solution.times.rule,
        "state_shape": list(solution.state_shape),
    }
    if solution.moments is not None:
        request = solution.moments.request
        header["moments"] = {
            "quantiles": request.quantiles.tolist(), "covariance": bool(request.covariance),
            "lags": request.lags.tolist(), "rank_error": solution.moments.rank_error,
        }  # fmt: skip
    if solution.noise is not None:
        noise = solution.noise
        header["noise"] = {
            "seed": str(noise.seed), "finest": noise.finest, "antithetic": bool(noise.antithetic)
        }  # fmt: skip
    if solution.checkpoint is not None:
        header["step"] = solution.checkpoint.step
    return json.dumps(header)


def _further(solution: "Solution") -> dict[str, Any]:
    """Return the arrays that only a longer run needs."""
    arrays: dict[str, Any] = {}
    if solution.checkpoint is not None:
        arrays |= {f"checkpoint_{name}": getattr(solution.checkpoint, name) for name in _CHECKPOINT}
    if solution.noise is not None and solution.noise.recorded is not None:
        arrays["recorded"] = solution.noise.recorded
    return arrays


def load(path: str | Path) -> dict[str, Any]:
    """Read the fields of a solution from a file written by `save`; `rule` and `t` make its times.

    Functions are not among them.
    """
    source = Path(path)
    if not source.is_file():
        raise checks.fail(
            "path", str(path), "is not a file",
            remedy='Write one with solution.save("solution.npz").',
        )  # fmt: skip
    try:
        header, arrays = (_from_netcdf if source.suffix == ".nc" else _from_archive)(source)
        if header["format"] == _FORMAT:
            return _fields(header, arrays)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile):
        pass
    raise checks.fail(
        "path", str(path), "is not a solution written by Solution.save",
        remedy='Write one with solution.save("solution.npz").',
    )  # fmt: skip


def _from_archive(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(source, allow_pickle=False) as content:
        return json.loads(str(content["header"])), {name: content[name] for name in content.files}


def _from_netcdf(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        import xarray
    except ImportError:
        raise ArgumentError(
            f"path = {str(source)!r} is netCDF, which needs the packages xarray and netCDF4.\n"
            "  Run: python -m pip install xarray netCDF4."
        ) from None
    with xarray.open_dataset(source) as data:
        arrays = {str(name): np.array(values.values) for name, values in data.variables.items()}
        return json.loads(data.attrs["sdde"]), arrays


def _fields(header: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a solution from a file's content."""
    shape = tuple(int(length) for length in header["state_shape"])
    moments, x = None, arrays.get("x")
    if "moments" in header:
        moments = _statistics(header, arrays)
        x = np.empty((0, len(arrays["time"]), *shape))
    fields = {
        "t": arrays["time"], "rule": header["rule"], "x": x, "moments": moments,
        "status": arrays["status"].astype(np.str_), "end_time": arrays["end_time"],
        "hit_time": arrays.get("hit_time", np.empty(0)),
        "evaluations": arrays.get("evaluations", np.empty(0)).astype(np.int64),
        "functionals": {
            name.removeprefix(FUNCTIONAL): values for name, values in arrays.items()
            if name.startswith(FUNCTIONAL)
        },
        "t_span": tuple(float(end) for end in header["t_span"]), "dt": float(header["dt"]),
        "method": str(header["method"]), "seed": int(header["seed"]),
        "noise": _noise(header["noise"], arrays) if "noise" in header else None,
    }  # fmt: skip
    if "step" in header:
        kept = (arrays[f"checkpoint_{name}"] for name in _CHECKPOINT)
        fields["checkpoint"] = Checkpoint(int(header["step"]), *kept)
    if x is None:
        raise KeyError("x")
    return fields


def _statistics(header: dict[str, Any], arrays: dict[str, Any]) -> Statistics:
    asked = header["moments"]
    times = header["rule"] if header["rule"] is not None else arrays["time"]
    request = Moments(
        times, asked["quantiles"], covariance=asked["covariance"], lags=asked["lags"]
    )  # fmt: skip
    none = np.empty((0, *arrays["mean"].shape))
    return Statistics(
        request, arrays["mean"], arrays["var"], arrays.get("covariance"),
        arrays.get("quantile", none), arrays.get("autocovariance", none),
        float(asked["rank_error"]),
    )  # fmt: skip


def _noise(made: dict[str, Any], arrays: dict[str, Any]) -> Brownian:
    noise = Brownian(int(made["seed"]), made["finest"], antithetic=made["antithetic"])
    if "recorded" in arrays:
        object.__setattr__(noise, "recorded", arrays["recorded"])
    return noise
