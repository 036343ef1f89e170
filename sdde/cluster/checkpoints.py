"""Checkpoints of a live run: what a server knew, in a file that holds data only.

An ``.npz`` archive of arrays and one JSON text, written under another name first, so that a crash
leaves the last whole one. Nothing in it is ever executed.
"""

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.parameter_server import Record, Row

Floats = NDArray[np.float64]

_STATE = ("x", "version", "velocity", "squares", "tail", "taken", "elapsed")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run so far.

    Attributes
    ----------
    state : dict of str to array
        What the server needs to continue.
    rows : list of Row
        The log.
    records : list of Record
        Parameters at the records.
    settings : dict of str to str
        Method, learning rate and workers, which a continued run must share.
    """

    state: dict[str, Floats]
    rows: list[Row]
    records: list[Record]
    settings: dict[str, str]

    def write(self, path: Path) -> None:
        """Write the file, replacing an older one at once."""
        arrays: dict[str, NDArray[Any]] = {
            f"state_{name}": np.asarray(self.state[name]) for name in _STATE
        }
        arrays["rows"] = np.array(self.rows, dtype=np.float64).reshape(-1, 8)
        arrays["record_updates"] = np.array([update for update, _, _ in self.records])
        arrays["record_times"] = np.array([moment for _, moment, _ in self.records])
        arrays["record_x"] = np.array([x for _, _, x in self.records])
        text = json.dumps(self.settings).encode()
        arrays["settings"] = np.frombuffer(text, dtype=np.uint8)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(fresh, path)


def read_checkpoint(path: Path, settings: dict[str, str]) -> Checkpoint:
    """Read a checkpoint and see that it belongs to a run with these settings.

    Raises
    ------
    sdde.ArgumentError
        If the file is missing or not a checkpoint, or was made with other settings.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        known = json.loads(data["settings"].tobytes())
        state = {name: data[f"state_{name}"] for name in _STATE}
        rows = [_row(values) for values in data["rows"].tolist()]
        times, points = data["record_times"].tolist(), data["record_x"]
        updates = data["record_updates"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise checks.fail(
            "resume", str(path), "is not a checkpoint of a live run", why=str(error),
            remedy='live(..., checkpoint="run.npz") writes one.',
        ) from None  # fmt: skip
    for name, value in settings.items():
        if known.get(name) != value:
            raise checks.fail(
                "resume", str(path), f"was made with {name} = {known.get(name)}, not {value}",
                remedy="Give the same, or begin anew.",
            )  # fmt: skip
    return Checkpoint(state, rows, list(zip(updates, times, points, strict=True)), known)


def _row(values: list[Any]) -> Row:
    worker, read, start, end, read_version, version, norm, dropped = values
    return (
        int(worker), read, start, end, int(read_version), int(version), norm, bool(dropped),
    )  # fmt: skip
