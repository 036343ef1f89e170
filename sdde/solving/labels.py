"""A solution as named arrays with named axes, for files, xarray and pandas.

Nothing here knows how a solution was computed.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdde.errors import ArgumentError
from sdde.solving.stored_arrays import StoredArray

if TYPE_CHECKING:
    import pandas
    import xarray

    from sdde.solving.moments import Statistics
    from sdde.solving.solution import Solution

Labelled = dict[str, tuple[tuple[str, ...], NDArray[Any]]]
FUNCTIONAL = "functional_"  # begins the names of arrays that hold functionals


def labelled(solution: "Solution") -> Labelled:
    """Return the results of a solution by name, each with the names of its axes."""
    component = ("component",) * len(solution.state_shape)
    if solution.moments is None:
        arrays: Labelled = {"x": (("path", "time", *component), solution.x)}
    else:
        arrays = labelled_statistics(solution.moments, len(component))
    arrays |= {"status": (("path",), solution.status), "end_time": (("path",), solution.end_time)}
    if len(solution.hit_time):
        arrays["hit_time"] = (("path",), solution.hit_time)
    if len(solution.evaluations):
        arrays["evaluations"] = (("path",), solution.evaluations)
    for name, values in solution.functionals.items():
        axes = ("path", f"{name}_component")[: values.ndim]
        arrays[FUNCTIONAL + name] = (axes, values)
    return arrays


def labelled_statistics(kept: "Statistics", components: int) -> Labelled:
    """Return statistics by name; `components` is 1 for a system, 0 for a scalar equation."""
    along = ("time", *("component",) * components)
    arrays: Labelled = {"mean": (along, kept.mean), "var": (along, kept.var)}
    if kept.covariance is not None:
        other = ("other_component",) * components
        arrays["covariance"] = ((*along, *other), kept.covariance)
    if len(kept.quantiles):
        arrays["quantile"] = (("probability", *along), kept.quantiles)
    if len(kept.autocovariance):
        arrays["autocovariance"] = (("lag", *along), kept.autocovariance)
    return arrays


def coordinates(solution: "Solution") -> dict[str, NDArray[Any]]:
    """Return the values along the axes of a solution's arrays."""
    coords = {"path": np.arange(solution.paths), "time": solution.t}
    if solution.state_shape:
        coords["component"] = np.arange(solution.state_shape[0])
    if solution.moments is not None:
        request = solution.moments.request
        coords |= {"probability": request.quantiles} if len(request.quantiles) else {}
        coords |= {"lag": request.lags} if len(request.lags) else {}
    return coords


def to_xarray(solution: "Solution") -> "xarray.Dataset":
    """Return a solution as a labelled dataset."""
    try:
        import xarray
    except ImportError:
        raise ArgumentError(
            "solution.to_xarray() needs the package xarray, which is not installed.\n"
            "  Run: python -m pip install xarray."
        ) from None
    arrays: dict[str, Any] = dict(labelled(solution))
    if isinstance(solution.x, StoredArray):
        arrays["x"] = arrays["x"][0], solution.x.dask()
    return xarray.Dataset(
        arrays, coords=coordinates(solution),
        attrs={
            "t0": solution.t_span[0], "t1": solution.t_span[1], "dt": solution.dt,
            "method": solution.method, "seed": str(solution.seed),
        },
    )  # fmt: skip


def to_dataframe(solution: "Solution") -> "pandas.DataFrame":
    """Return a solution as a table."""
    try:
        import pandas
    except ImportError:
        raise ArgumentError(
            "solution.to_dataframe() needs the package pandas, which is not installed.\n"
            "  Run: python -m pip install pandas."
        ) from None
    times, paths = len(solution.t), solution.paths
    if solution.moments is None:
        columns: dict[str, Any] = {
            "path": np.repeat(np.arange(paths), times), "t": np.tile(solution.t, paths),
        }  # fmt: skip
        x = np.asarray(solution.x)
        return pandas.DataFrame(columns | _by_component("x", x, solution.state_shape))
    kept, shape = solution.moments, solution.state_shape
    columns = {"t": solution.t}
    columns |= _by_component("mean", kept.mean, shape) | _by_component("var", kept.var, shape)
    for share, values in zip(kept.request.quantiles, kept.quantiles, strict=True):
        columns |= _by_component(f"quantile {share:g}", values, shape)
    for lag, values in zip(kept.request.lags, kept.autocovariance, strict=True):
        columns |= _by_component(f"autocovariance {lag:g}", values, shape)
    return pandas.DataFrame(columns)


def _by_component(
    name: str, values: NDArray[np.float64], shape: tuple[int, ...]
) -> dict[str, NDArray[np.float64]]:
    if not shape:
        return {name: values.ravel()}
    return {f"{name}[{i}]": values[..., i].ravel() for i in range(shape[0])}
