r"""Divergence of memoryless workers that share a link: exactly, as a chain from update to update.

Workers compute for exponential times and queue for a link that passes one gradient at a time, each
for a time of any law. Just after an update *Q* of them are at the link and the others compute,
which nothing tells apart. So the second moments of the parameter, of what each place in the queue
holds, and of what one or two that compute hold, for each *Q*, map linearly to those just after the
next update: some join the end of the queue while the transfer lasts, the first one's gradient is
applied, and it computes again. Expected squares stay bounded iff the largest eigenvalue of
that map is below one. Derived in this project.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import newton
from scipy.sparse.linalg import eigs
from scipy.special import binom

from sdde.equation.laws import Law

from .exact import equal_memoryless, in_turn

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_EXACT: Any = 1e-7
_ROOT: Any = 1e-5  # the last step of the secant method: what is left is far smaller
MOST = 24  # workers: the map has about their third power over six rows


@lru_cache(maxsize=64)
def largest_alpha(workers: int, think: float, link: Law) -> float:
    """Return the learning rate times eigenvalue from which expected squares grow, to about 1e-6.

    Parameters
    ----------
    workers : int
        At most `MOST`, for the cost.
    think : float
        Mean time of a computation.
    link : Law
        Time of a transfer.
    """
    parts = matrices(workers, think, link)
    start = np.ones(parts[0].shape[0])

    def growth(alpha: float) -> float:
        """Return the growth in an update over alpha, which is nearly linear in alpha."""
        nonlocal start  # neighbours have nearly the same moments
        matrix = parts[0] + alpha * parts[1] + alpha**2 * parts[2]
        found: Any = eigs(matrix, k=1, which="LR", v0=start, tol=_EXACT)
        values, vectors = found
        start = vectors[:, 0].real
        return (float(values[0].real) - 1.0) / alpha

    # A guess: from workers that share nothing to workers in turn as the link fills.
    full, apart = in_turn(workers), equal_memoryless(workers)
    near = full + (apart - full) / (1.0 + 0.65 * (workers * link.mean / think) ** 3)
    found: Any = newton(growth, near, x1=1.03 * near, tol=_ROOT * near, rtol=_ROOT)
    return float(found)


def matrices(workers: int, think: float, link: Law) -> tuple[Any, Any, Any]:
    """Return the map's parts that are free of alpha, linear in it and quadratic."""
    moves, rows, columns, first, more = _structure(workers)
    weights = _joining(workers, think, link)[workers - first, more]
    joins = sparse.csr_matrix((weights, (rows, columns)), moves[0].shape[::-1])
    return moves[0] @ joins, moves[1] @ joins, moves[2] @ joins


@lru_cache(maxsize=32)
def _structure(workers: int) -> tuple[list[Any], Integers, Integers, Integers, Integers]:
    """Return how departures map, by powers of alpha, and between which moments joining leads.

    Of each such entry also how many are at the link when the transfer begins, and join.
    """
    layout = [_Layout(q, workers) for q in range(workers + 1)]
    before = np.cumsum([0] + [each.size for each in layout])
    entries = []
    for queue in range(workers):
        first = max(queue, 1)  # an idle link waits for one that computes
        for more in range(workers - first + 1):
            to = layout[first + more]
            entries.append(np.stack([
                before[first + more] + np.arange(to.size),
                before[queue] + layout[queue].sources(to),
                np.full(to.size, first), np.full(to.size, more),
            ]))  # fmt: skip
    moves = []
    for power in range(3):
        rows, columns, weights = [], [], []
        for queue in range(1, workers + 1):
            for row, column, weight in layout[queue].departure(layout[queue - 1], power):
                rows.append(before[queue - 1] + row)
                columns.append(before[queue] + column)
                weights.append(weight)
        shape = (before[workers], before[-1])
        moves.append(sparse.csr_matrix((weights, (rows, columns)), shape))
    return moves, *np.concatenate(entries, axis=1)


def _joining(workers: int, think: float, link: Law) -> Floats:
    """Return the probabilities that of *m* that compute *j* join during a transfer."""
    points, weights = link.nodes()
    count = np.arange(workers + 1)
    stay = np.exp(-np.multiply.outer(count, points / think))
    leave = (-np.expm1(-points / think)) ** count[:, None] * (weights / weights.sum())
    of, still = leave @ stay.T, count[:, None] - count
    return np.where(still >= 0, binom(count[:, None], count) * of[count, still], 0.0)


class _Layout:
    """Where the second moments with a queue of some length lie.

    Number 0 stands for the parameter, 1 to `queue` for places in the queue, and the next for one
    that computes; behind them is the product of two that compute.
    """

    def __init__(self, queue: int, workers: int) -> None:
        self.queue, self.apart = queue, workers - queue
        names = queue + 2
        self.first, self.second = np.triu_indices(names)
        self.index = np.zeros((names, names), dtype=np.int64)
        self.index[self.first, self.second] = np.arange(self.first.size)
        self.index[self.second, self.first] = np.arange(self.first.size)
        self.two = self.first.size
        self.size = self.two + 1

    def sources(self, to: "_Layout") -> Integers:
        """Return which moments become those of a longer queue, whose end has just joined."""
        one = self.queue + 1
        first, second = np.minimum(to.first, one), np.minimum(to.second, one)
        both = (first == one) & (to.first != to.second)
        return np.append(np.where(both, self.two, self.index[first, second]), self.two)

    def departure(self, to: "_Layout", power: int) -> list[tuple[int, int, float]]:
        """Return entries of the map when the first in the queue leaves, by powers of alpha.

        The parameter becomes x - alpha y, which the one that leaves reads and computes with.
        """
        one, rest = self.queue + 1, self.apart
        after = to.queue + 1
        out = []

        def product(a: int, b: int) -> list[tuple[int, float]]:
            """Return the product of two after the update; -1 stands for the new reading."""
            x, y = (a in (0, -1)), (b in (0, -1))
            if x and y:
                terms = {0: (self.index[0, 0], 1.0), 1: (self.index[0, 1], -2.0),
                         2: (self.index[1, 1], 1.0)}  # fmt: skip
                return [terms[power]]
            if x or y:
                other = b if x else a
                terms = {0: (self.index[0, other], 1.0), 1: (self.index[1, other], -1.0)}
                return [terms[power]] if power < 2 else []
            return [(self.index[a, b], 1.0)] if power == 0 else []

        def old(name: int) -> int:
            return 0 if name == 0 else name + 1  # everybody moves up by one place

        for row, (a, b) in enumerate(zip(to.first.tolist(), to.second.tolist(), strict=True)):
            if b < after:
                terms = [(product(old(a), old(b)), 1.0)]
            elif a < after:
                terms = [(product(old(a), one), rest), (product(old(a), -1), 1.0)]
            else:
                terms = [(product(one, one), rest), (product(-1, -1), 1.0)]
            whole = sum(weight for _, weight in terms)
            out += [
                (row, column, factor * weight / whole)
                for part, weight in terms if weight for column, factor in part
            ]  # fmt: skip
        if rest:
            pairs = 0.5 * rest * (rest - 1.0)
            if power == 0 and pairs:
                out.append((to.two, self.two, pairs / (pairs + rest)))
            out += [(to.two, c, f * rest / (pairs + rest)) for c, f in product(one, -1)]
        return out
