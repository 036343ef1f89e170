"""Columns of a trace that grow piece by piece while a file is read.

Memory is that of the columns. Names of workers become numbers on the way.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.trace_columns import COLUMNS, Columns

Floats = NDArray[np.float64]

_WORDS = {"true": 1.0, "false": 0.0, "": np.nan}


class Builder:
    """Growing columns.

    Attributes
    ----------
    names : list of str
        The columns.
    workers : dict of str to int
        Names of workers and the numbers that stand for them.
    by_name : bool
        Whether workers have been seen to have names; then they are read as text.
    """

    def __init__(self, names: list[str], path: str) -> None:
        self.names, self.path = names, path
        self.parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        self.workers: dict[str, int] = {}
        self.by_name = False

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Append values to a column; those that do not fit its type wait to be refused."""
        wanted = COLUMNS[name]
        with np.errstate(invalid="ignore"):
            column = np.array(values, dtype=wanted)
        fits = wanted is np.float64 or np.array_equal(column, values)
        self.parts[name].append(column if fits else np.array(values))

    def worker(self, label: str) -> float:
        """Return the number of a worker's name."""
        return float(self.workers.setdefault(label, len(self.workers)))

    def columns(self) -> tuple[Columns, tuple[str, ...]]:
        """Return the columns, which nobody can change, and the names of the workers."""
        data: Columns = {}
        for name in self.names:
            parts = self.parts.pop(name)  # freed before the next column is joined
            data[name] = np.concatenate(parts) if parts else np.empty(0)
            data[name].flags.writeable = False
        return data, tuple(self.workers)

    def add_cells(self, rows: list[list[str]], lines: list[int]) -> None:
        """Append rows of text, fast if all cells are plain numbers; `lines` says where they stand.

        Raises
        ------
        sdde.ArgumentError
            If a cell is not what its column holds.
        """
        if not rows:
            return
        columns = list(zip(*rows, strict=True))
        try:
            table = [
                np.array([self.worker(cell.strip()) for cell in cells])
                if name == "worker" and self.by_name
                else np.array(cells, dtype=np.float64)
                for name, cells in zip(self.names, columns, strict=True)
            ]
        except (ValueError, OverflowError):
            table = list(self._careful(rows, lines).T)
        for name, values in zip(self.names, table, strict=True):
            self.add(name, values)

    def _careful(self, rows: list[list[str]], lines: list[int]) -> Floats:
        """Read rows cell by cell, and name the line of a faulty one."""
        place = self.names.index("worker") if "worker" in self.names else None
        if place is not None and not self.workers:
            named = [
                line
                for line, cells in zip(lines, rows, strict=True)
                if cells[place].strip() and not _is_number(cells[place])
            ]
            if named and self.parts["worker"]:
                raise checks.fail(
                    "path", self.path, f"mixes numbers and names of workers in line {named[0]}"
                )
            self.by_name = bool(named)
        table = np.empty((len(rows), len(self.names)))
        for row, line, cells in zip(table, lines, rows, strict=True):
            for i, (name, cell) in enumerate(zip(self.names, cells, strict=True)):
                text = cell.strip()
                if i == place and self.by_name:
                    row[i] = self.worker(text)
                else:
                    row[i] = _number(text, name, f"It stands in line {line} of {self.path}.")
        return table


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = _WORDS.get(cell.lower())
        value = float(cell) if value is None else value
    except ValueError:
        raise checks.fail(name, cell, "is not a number", why=where) from None
    if np.isnan(value) and COLUMNS[name] is not np.float64:
        raise checks.fail(name, cell, "is missing", why=where)
    return value


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
