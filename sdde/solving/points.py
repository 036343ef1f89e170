"""Parameter sets, and one labelled table of what each of them yields.

A grid is the product of lists of values; points are listed one by one. What one set yields are
arrays with named axes; the table puts the parameters' axes before these. Nothing here computes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import ArgumentError

if TYPE_CHECKING:
    import xarray

_LISTED = "point"  # the axis of sets that are listed
_COMPUTED = "computed"


class Found(NamedTuple):
    """What one parameter set yields: arrays with the names of their axes; values along axes."""

    arrays: dict[str, tuple[tuple[str, ...], NDArray[Any]]]
    coords: dict[str, NDArray[Any]]
    is_solved: bool = False  # by `solve`, with the settings of the sweep


@dataclass(frozen=True, eq=False, slots=True)
class Points:
    """Parameter sets in order.

    Attributes
    ----------
    names : tuple of str
        The parameters.
    axes : dict of str to sequence
        Values along each axis of the table: of the parameters of a grid.
    listed : tuple of dict or None
        The sets, if they were listed.
    """

    names: tuple[str, ...]
    axes: dict[str, Sequence[Any]]
    listed: tuple[dict[str, Any], ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """How many sets there are along each axis."""
        if self.listed is not None:
            return (len(self.listed),)
        return tuple(len(values) for values in self.axes.values())

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return (_LISTED,) if self.listed is not None else self.names

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.listed is not None:
            return self.listed[index]
        places = np.unravel_index(index, self.shape)
        return {
            name: self.axes[name][int(k)] for name, k in zip(self.names, places, strict=True)
        }  # fmt: skip

    def said(self, index: int) -> str:
        """Return a parameter set in words."""
        return ", ".join(f"{name} = {checks.shown(v)}" for name, v in self[index].items())

    def coords(self) -> dict[str, Any]:
        """Return the parameters as coordinates; what is neither number nor word by its text."""
        if self.listed is None:
            return {name: _labels(values) for name, values in self.axes.items()}
        return {
            name: ((_LISTED,), _labels([one[name] for one in self.listed])) for name in self.names
        }  # fmt: skip


def as_points(parameters: Any) -> Points:
    """Check the argument `parameters`: a grid, or a list of sets, or a table with one in a row."""
    example = 'parameters = {"rate": [0.5, 1.0], "delay": [0.1, 0.2]}'
    if hasattr(parameters, "to_dict") and hasattr(parameters, "columns"):
        parameters = parameters.to_dict("records")
    if isinstance(parameters, Mapping):
        axes = {}
        for name, values in parameters.items():
            _name(name)
            if isinstance(values, str | Mapping) or not hasattr(values, "__len__"):
                raise checks.fail(
                    f"parameters[{name!r}]", values, "is not a list of values",
                    remedy=f"For example {example}.",
                )  # fmt: skip
            axes[name] = values.tolist() if isinstance(values, np.ndarray) else list(values)
            if not axes[name]:
                raise checks.fail(f"parameters[{name!r}]", values, "is empty")
        if not axes:
            raise checks.fail("parameters", parameters, "is empty", remedy=f"{example}.")
        return Points(tuple(axes), axes, None)
    if not isinstance(parameters, list | tuple) or not parameters:
        raise checks.fail(
            "parameters", parameters, "is neither a grid nor a list of parameter sets",
            remedy=f"For example {example}, or [{{'rate': 0.5}}, {{'rate': 1.0}}].",
        )  # fmt: skip
    for place, one in enumerate(parameters):
        if not isinstance(one, Mapping) or not one or set(one) != set(parameters[0]):
            raise checks.fail(
                f"parameters[{place}]", one, "does not name the parameters of parameters[0]",
                remedy="Every set is a dictionary with the same names.",
            )  # fmt: skip
    for name in parameters[0]:
        _name(name)
    return Points(tuple(parameters[0]), {}, tuple(dict(one) for one in parameters))


def _name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise checks.fail("parameters", name, "is not the name of an argument")


def _labels(values: Sequence[Any]) -> NDArray[Any]:
    simple = all(isinstance(v, bool | int | float | np.number | np.bool_) for v in values)
    if simple or all(isinstance(v, str) for v in values):
        return np.array(values)
    return np.array([v if isinstance(v, str) else checks.shown(v) for v in values])


# ---- what one set yields


def found_of(value: Any) -> Found:
    """Return a result that is no problem as named arrays."""
    if hasattr(value, "to_xarray"):
        value = value.to_xarray()
    if hasattr(value, "to_dataset") and hasattr(value, "dims"):
        value = value.to_dataset(name=value.name or "value")
    if hasattr(value, "data_vars"):
        arrays = {str(k): (tuple(map(str, v.dims)), v.values) for k, v in value.data_vars.items()}
        return Found(arrays, {str(k): v.values for k, v in value.coords.items() if v.ndim == 1})
    if hasattr(value, "_asdict"):
        value = value._asdict()
    named = value if isinstance(value, Mapping) else {"value": value}
    arrays = {}
    for name, one in named.items():
        array = np.asarray(one)
        if array.dtype.kind not in "biufcU":
            raise ArgumentError(
                f"problem_of returned {checks.shown(value)}, expected a Problem, or results.\n"
                "  Results are a number, an array, a dictionary of these, or what has to_xarray()."
            )
        arrays[str(name)] = tuple(f"{name}_{k}" for k in range(array.ndim)), array
    return Found(arrays, {})


@dataclass(eq=False)
class Table:
    """Arrays of all parameter sets, filled as their results come.

    Attributes
    ----------
    points : Points
    """

    points: Points
    arrays: dict[str, tuple[tuple[str, ...], NDArray[Any]]] = field(default_factory=dict)
    coords: dict[str, NDArray[Any]] = field(default_factory=dict)
    first: int = -1
    is_solved: bool = False

    def __post_init__(self) -> None:
        self.computed = np.zeros(len(self.points), dtype=np.bool_)

    def put(self, index: int, found: Found) -> None:
        """Take what a parameter set yields."""
        if self.first < 0:
            self._begin(index, found)
        if found.arrays.keys() != self.arrays.keys():
            raise self._differs(index, "the names of the results", list(found.arrays))
        if found.coords.keys() != self.coords.keys():
            raise self._differs(index, "the axes with coordinates", list(found.coords))
        for name, values in found.coords.items():
            if not np.array_equal(values, self.coords[name]):
                raise self._differs(index, name, values)
        for name, (_, array) in found.arrays.items():
            rows = self.arrays[name][1]
            if rows.shape[1:] != array.shape:
                raise self._differs(index, f"the shape of {name}", array.shape)
            rows[index] = array
        self.computed[index] = True
        self.is_solved |= found.is_solved

    def _begin(self, index: int, found: Found) -> None:
        """Make room for as many results like the first."""
        used = {_COMPUTED, *found.arrays, *found.coords}
        used |= {dim for dims, _ in found.arrays.values() for dim in dims}
        taken = used & {*self.points.names, *self.points.dims}
        if taken:
            name = sorted(taken)[0]
            raise checks.fail(
                "parameters", name, "is also the name of a result or of its axis",
                remedy=f"Call the parameter otherwise, for example {name}_value.",
            )  # fmt: skip
        self.first, self.coords = index, dict(found.coords)
        for name, (dims, array) in found.arrays.items():
            kind = object if array.dtype.kind == "U" else array.dtype
            shape = (len(self.points), *array.shape)
            try:
                rows = np.zeros(shape, dtype=kind)
            except (MemoryError, ValueError):
                raise ArgumentError(
                    f"The results of {len(self.points)} parameter sets do not fit in memory:"
                    f" {name} has shape {shape}.\n"
                    '  Keep less of each, for example save=sdde.Moments("final").'
                ) from None
            self.arrays[name] = dims, rows

    def _differs(self, index: int, what: str, value: Any) -> ArgumentError:
        return ArgumentError(
            f"At {self.points.said(index)}, {what} = {checks.shown(value)} differs from that at"
            f" {self.points.said(self.first)}.\n"
            "  All parameter sets fill one table: list the times to save, save = [...], keep the"
            " number of paths, or return a few numbers from a function that solves itself."
        )

    def dataset(self, attrs: dict[str, Any]) -> "xarray.Dataset":
        """Return the table, nan (words: "interrupted") where no result has come."""
        import xarray

        points = self.points
        missing = ~self.computed
        data: dict[str, Any] = {_COMPUTED: (points.dims, self.computed.reshape(points.shape))}
        for name, (dims, rows) in self.arrays.items():
            values = rows
            if missing.any() and values.dtype.kind in "biu":
                values = values.astype(np.float64)
            if missing.any():
                values[missing] = "interrupted" if values.dtype.kind == "O" else np.nan
            if values.dtype.kind == "O":
                values = values.astype(str)
            data[name] = (*points.dims, *dims), values.reshape(*points.shape, *rows.shape[1:])
        return xarray.Dataset(data, coords=points.coords() | self.coords, attrs=attrs)
