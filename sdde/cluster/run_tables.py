"""Runs as tables of other packages: pandas and xarray."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sdde import checks

if TYPE_CHECKING:
    from sdde.cluster.runs import Runs


def dataframe_of(runs: "Runs") -> Any:
    """Return one row for each record; see `Runs.to_dataframe`."""
    try:
        import pandas as pd
    except ImportError:
        raise checks.fail(
            "to_dataframe", "pandas", "is not installed", remedy="pip install 'sdde[data]'"
        ) from None
    keep = ~np.isnan(runs.loss)
    return pd.DataFrame({name: values[keep] for name, values in _records(runs).items()})


def _records(runs: "Runs") -> dict[str, Any]:
    shape = runs.loss.shape
    return {
        "run": np.broadcast_to(np.arange(shape[0])[:, None], shape),
        "time": np.broadcast_to(runs.t, shape),
        "updates": np.broadcast_to(runs.updates_at, shape),
        "gradients": runs.gradients_at,
        "loss": runs.loss,
        **runs.measures,
    }


def dataset_of(runs: "Runs") -> Any:
    """Return a labelled dataset; see `Runs.to_xarray`."""
    try:
        import xarray as xr
    except ImportError:
        raise checks.fail(
            "to_xarray", "xarray", "is not installed", remedy="pip install 'sdde[data]'"
        ) from None
    records = {name: values for name, values in _records(runs).items() if name != "run"}
    by_run = {"status": runs.status, "end_time": runs.end_time, "total_updates": runs.updates}
    by_worker = {
        "applied": runs.worker_counts, "discarded": runs.discarded, "cancelled": runs.cancelled,
        "idle_time": runs.idle_time, "sampling_weight": runs.sampling_weights,
    }  # fmt: skip
    return xr.Dataset(
        {name: (("run", "record"), values) for name, values in records.items()}
        | {name: (("run",), values) for name, values in by_run.items()}
        | {name: (("run", "worker"), values) for name, values in by_worker.items()}
        | {"staleness_counts": (("staleness",), runs.staleness.counts)},
        coords={
            "run": np.arange(len(runs.loss)),
            "worker": np.arange(runs.worker_counts.shape[1]),
            "staleness": np.arange(len(runs.staleness.counts)),
        },
        attrs={
            "objective": repr(runs.objective), "method": repr(runs.method),
            "system": repr(runs.system), "workers": runs.workers,
            "learning_rate": runs.learning_rate, "start": runs.start, "seed": str(runs.seed),
        },
    )  # fmt: skip
