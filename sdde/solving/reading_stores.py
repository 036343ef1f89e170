"""Opening a store to look at: labelled arrays that are read when they are computed.

It needs nothing but the store: no problem, no functions. A store that is not complete opens with
what it has. Nothing here writes.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks
from sdde.engine.kernels.signatures import DIVERGED, DONE, HIT
from sdde.errors import ArgumentError, SolutionWarning, StoreError
from sdde.solving.labels import labelled_statistics
from sdde.solving.moments import Moments, plan_columns
from sdde.solving.reducing import Accumulator
from sdde.solving.saving import plan_saves
from sdde.solving.stored_arrays import StoredArray
from sdde.solving.stores import Damaged, Store
from sdde.solving.sweep_storing import KIND, table_in

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

_STATUS = {-1: "missing", DONE: "done", DIVERGED: "diverged", HIT: "hit"}


def open_store(path: "str | Path") -> "xarray.Dataset":
    """Open what `sdde.solve` or `sdde.sweep` has stored.

    Parameters
    ----------
    path : str or Path
        The folder or URL that was given as ``store=``.

    Returns
    -------
    xarray.Dataset
        ``x`` over ``path``, ``time`` and, for a system, ``component``; ``status``, ``end_time``,
        ``hit_time`` and functionals (with ``functional_`` before their names) over ``path``: dask
        arrays with one chunk for each block, which are read, and compared with their digests, when
        they are computed. Where `sdde.Moments` were kept, the statistics instead of ``x``, over the
        paths up to the first that is missing. How it was made as attributes; ``complete`` says
        whether all is there, ``paths_stored`` how many paths are. The table of a sweep is read at
        once; ``computed`` says which parameter sets are there.

    Raises
    ------
    sdde.ArgumentError
        If there is no store, or a package is missing (zarr, xarray, dask).
    sdde.StoreError
        If it cannot be read; later, where a damaged block is computed.

    Warns
    -----
    sdde.SolutionWarning
        If paths are missing; they are nan, with the status ``"missing"``. The call that wrote the
        store completes it.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> _ = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=100, rng=1, store="runs.zarr")
    >>> runs = sdde.open_store("runs.zarr")
    >>> runs.x.shape, runs.attrs["seed"], runs.attrs["complete"]
    ((100, 501), '1', 1)
    >>> late = runs.x.sel(time=slice(4.0, None)).mean().compute()
    """
    try:
        import dask.array  # noqa: F401
        import xarray
    except ImportError as error:
        raise ArgumentError(
            f"sdde.open_store needs the package {error.name}, which is not installed.\n"
            '  Run: python -m pip install "sdde[data]".'
        ) from None
    store = Store.for_reading(path)
    if store.header["kind"] == KIND:
        return _sweep(store)
    if store.header["kind"] not in ("paths", "moments"):
        raise checks.fail(
            "path", str(path), f"holds {store.header['kind']}, not paths",
            remedy="Open it with the function that wrote it.",
        )  # fmt: skip
    return _dataset(store, xarray)


def _sweep(store: Store) -> "xarray.Dataset":
    table = table_in(store)
    computed, total = int(table.computed.sum()), len(table.points)
    if computed < total:
        warnings.warn(
            f"store = {store.name!r} has {computed} of {total} parameter sets; the others are"
            " missing.\n  The call that wrote it goes on with them.",
            SolutionWarning,
            stacklevel=3,
        )
    run = store.header["run"]
    return table.dataset(
        {"seed": run["seed"], "seeds": run["seeds"], "complete": int(computed == total)}
    )


def _dataset(store: Store, xarray: Any) -> "xarray.Dataset":
    run, written = store.header["run"], store.written()
    there = sum(end - first for first, end in map(store.span, written))
    try:
        time = store.get_values("time")
    except Damaged as damage:
        raise StoreError(
            f"store = {store.name!r}: {damage}.\n  Make the call that wrote it again: it mends it."
        ) from None
    arrays: dict[str, Any] = {}
    for name, rows in store.rows.items():
        lazy = StoredArray(store, name).dask()
        if name == "status":
            lazy = lazy.map_blocks(_in_words, dtype="<U9")
        arrays[name] = (rows.axes, lazy)
    coordinates: dict[str, Any] = {"path": np.arange(run["paths"]), "time": time}
    if run["state_shape"]:
        coordinates["component"] = np.arange(run["state_shape"][0])
    if run["moments"] is not None:
        statistics, further = _statistics(store, time, written)
        arrays |= labelled_statistics(statistics, len(run["state_shape"]))
        coordinates |= further
    if there < run["paths"]:
        warnings.warn(
            f"store = {store.name!r} has {there} of {run['paths']} paths; the others are missing."
            "\n  The call that wrote it goes on with them.",
            SolutionWarning,
            stacklevel=3,
        )
    attributes = {
        "t0": run["t_span"][0], "t1": run["t_span"][1], "dt": run["dt"], "method": run["method"],
        "seed": run["seed"], "complete": int(there == run["paths"]), "paths_stored": there,
        **{f"made_with_{name}": version for name, version in store.header["made"].items()},
    }  # fmt: skip
    return xarray.Dataset(arrays, coords=coordinates, attrs=attributes)


def _in_words(codes: Any) -> Any:
    words = np.full(codes.shape, "missing", dtype="<U9")
    for code, word in _STATUS.items():
        words[codes == code] = word
    return words


def _statistics(store: Store, time: Any, written: list[int]) -> tuple[Any, dict[str, Any]]:
    """Return the statistics of the paths up to a gap, and the coordinates of their axes."""
    run = store.header["run"]
    (t0, t1), asked, rule = run["t_span"], run["moments"], run["save"]
    times = time if isinstance(rule, str) and rule.startswith("sha256:") else rule
    request = Moments(
        times, asked["quantiles"], covariance=asked["covariance"], lags=asked["lags"]
    )  # fmt: skip
    columns = plan_columns(request, plan_saves(request.times, t0, t1, run["dt"]))
    shape = tuple(run["state_shape"])
    gathered = Accumulator(request, columns, int(np.prod(shape)))
    for block in written:
        first, end = store.span(block)
        try:
            gathered.take(first, end - first, store.get(block))
        except Damaged as damage:
            raise StoreError(
                f"store = {store.name!r} is damaged: {damage}.\n"
                "  Make the call that wrote it again: it computes damaged blocks anew."
            ) from None
    coordinates: dict[str, Any] = {}
    if len(request.quantiles):
        coordinates["probability"] = request.quantiles
    if len(request.lags):
        coordinates["lag"] = request.lags
    return gathered.statistics(shape), coordinates
