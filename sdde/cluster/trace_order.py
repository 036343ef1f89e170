"""How rows of a trace belong together, counted in linear time where they come in order."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def grouped(worker: Integers, clock: Floats) -> tuple[Integers, Floats, NDArray[np.bool_]]:
    """Return the order by worker and clock, the clock, and which rows go on with one's worker.

    Rows are in the order of arrival, so that of a worker's reads is nearly always right already;
    then small numbers are sorted in linear time.
    """
    small = len(worker) > 0 and 0 <= worker.min() <= worker.max() < 2**16
    order = np.argsort(worker.astype(np.uint16) if small else worker, kind="stable")
    same = worker[order][1:] == worker[order][:-1]
    if np.any((np.diff(clock[order]) < 0.0) & same):
        order = np.lexsort((clock, worker))
    return order, clock, same


def distinct(versions: Integers) -> int:
    """Return how many different versions there are; in the order of arrival they rarely go down."""
    steps = np.diff(versions)
    if len(versions) and (steps >= 0).all():
        return 1 + int(np.count_nonzero(steps))
    return len(np.unique(versions))
