"""The section [objective] of a SYSTEM.toml: a spectrum, or its ends and a density, and the noise.

A density becomes one mode for each of its quantiles, or for each measured eigenvalue, that carries
the squared starts and squared noises of all directions it stands for: expected losses of equal
eigenvalues add. Numbers only; nothing here reads files.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import ArgumentError

Floats = NDArray[np.float64]

KNOWN = (
    "eigenvalues", "largest", "smallest", "density", "parameters", "noise", "noise_trace", "start",
    "initial_loss",
)  # fmt: skip
PARAMETERS = 100  # directions of a density, if nobody says how many
MODES = 64  # by which a density is represented
_OF_DENSITY = ("largest", "smallest", "density", "parameters")


def quadratic_of(shape: dict[str, Any], name: str) -> Any:
    """Return the quadratic that a section describes.

    Parameters
    ----------
    shape : dict
        The section, its keys already known to be in `KNOWN`.
    name : str
        Of the file, for messages.

    Returns
    -------
    sdde.cluster.Quadratic

    Raises
    ------
    sdde.ArgumentError
        If the section says too little, or the same thing twice.
    """
    from sdde.cluster import Quadratic

    given = [key for key in _OF_DENSITY if key in shape]
    if "eigenvalues" in shape:
        if given:
            raise _twice(name, "eigenvalues", given[0])
        values = checks.vector("eigenvalues", np.atleast_1d(shape["eigenvalues"]))
        count = np.ones(values.size)
    elif given:
        values, count = _spectrum(shape, name)
    else:
        raise ArgumentError(
            f"{name}: [objective] has neither eigenvalues, for example [1.0, 0.1], nor largest and "
            "smallest."
        )
    several = np.sqrt(count)  # squares of equal directions add
    return Quadratic(
        values, noise=several * _noise(shape, count, name), start=several * _start(
            shape, values, count, name
        ),
    )  # fmt: skip


def _spectrum(shape: dict[str, Any], name: str) -> tuple[Floats, Floats]:
    """Return eigenvalues, and how many directions each stands for."""
    density = shape.get("density", "log-uniform")
    total = checks.integer("parameters", shape.get("parameters", PARAMETERS), lowest=1)
    if isinstance(density, list):
        if "largest" in shape or "smallest" in shape:
            raise _twice(name, "the pairs of a measured density", "largest or smallest")
        try:
            pairs = np.asarray(density, dtype=float)
        except (TypeError, ValueError):
            pairs = np.empty((0, 0))
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not (pairs[:, 1] > 0.0).all():
            raise checks.fail(
                "density", density, "is not a list of pairs of an eigenvalue and a share > 0",
                remedy="For example density = [[1.0, 0.2], [0.1, 0.8]].",
            )  # fmt: skip
        return pairs[:, 0], total * pairs[:, 1] / pairs[:, 1].sum()
    checks.choice("density", density, ("uniform", "log-uniform"))
    for key in ("largest", "smallest"):
        if key not in shape:
            raise ArgumentError(f"{name}: [objective] has a density but no {key} eigenvalue.")
    largest = checks.positive("largest", shape["largest"], example=1.0)
    smallest = checks.positive("smallest", shape["smallest"], example=0.01)
    if smallest > largest:
        raise checks.fail("smallest", smallest, f"is above largest = {largest:g}")
    modes = min(total, MODES)
    spaced = np.linspace if density == "uniform" else np.geomspace
    values = spaced(smallest, largest, modes) if modes > 1 else np.array([largest])
    count = np.full(modes, 1.0 if total == modes else total / (modes - 1.0))
    if total > modes:  # quantiles at equal distances; the ends stand for half as many
        count[[0, -1]] *= 0.5
    return values, count


def _noise(shape: dict[str, Any], count: Floats, name: str) -> Any:
    if "noise_trace" not in shape:
        return np.asarray(checks.vector("noise", np.atleast_1d(shape.get("noise", 0.0))))
    if "noise" in shape:
        raise _twice(name, "noise", "noise_trace")
    trace = checks.nonnegative("noise_trace", shape["noise_trace"], example=0.1)
    return np.sqrt(trace / count.sum())


def _start(shape: dict[str, Any], values: Floats, count: Floats, name: str) -> Any:
    if "initial_loss" not in shape:
        return np.asarray(checks.vector("start", np.atleast_1d(shape.get("start", 1.0))))
    if "start" in shape:
        raise _twice(name, "start", "initial_loss")
    loss = checks.positive("initial_loss", shape["initial_loss"], example=1.0)
    return np.sqrt(2.0 * loss / np.sum(count * values))


def _twice(name: str, first: str, second: str) -> ArgumentError:
    return ArgumentError(f"{name}: [objective] has {first} and {second}; give one of them.")
