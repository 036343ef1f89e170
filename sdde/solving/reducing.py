"""Statistics gathered while paths are computed, by threads or in other processes, in any order.

Paths are reduced 64 at a time, and these groups merged in pairs: groups 0 and 1, 2 and 3, then both
pairs, and so on, as in a tournament. Where a group stands decides what it is merged with, so the
result is the same for any way to cut the work; what a block of paths leaves is a few nodes of the
tree, sent as plain arrays. Nothing here knows how paths are computed.
"""

import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.solving.moments import NEVER, Columns, Moments, Statistics
from sdde.solving.sketch import SIZE, Buffer, Pieces, Sketch

Floats = NDArray[np.float64]
GROUP = 64  # paths that are always reduced together, whatever the threads
_JOB = 4_000_000  # path-steps of one job
_BUFFER = 4_000_000  # numbers in the buffer of one job; 32 MB


def cut_groups(first: int, end: int, steps: int, numbers: int) -> list[tuple[int, int]]:
    """Return jobs (first path, end) of whole groups; `numbers` are kept of each path."""
    length = group_length(steps, numbers)
    return [(start, min(start + length, end)) for start in range(first, end, length)]


def group_length(steps: int, numbers: int) -> int:
    """Return how many paths one job reduces; `numbers` are kept of each."""
    fit = min(_JOB // max(1, steps), _BUFFER // max(1, numbers))
    return GROUP * max(1, fit // GROUP)


class Node(NamedTuple):
    """Sums over the groups from ``place * 2**level`` on, ``2**level`` of them at most."""

    level: int
    place: int
    paths: int
    mean: Floats
    products: list[Floats]  # sums of products of deviations


class Part(NamedTuple):
    """What neighbouring paths leave."""

    paths: int
    nodes: list[Node]
    pieces: Pieces | None


@dataclass(eq=False)
class Accumulator:
    """Statistics of all paths from one on, taken up in their order.

    Parameters
    ----------
    request : Moments
    columns : Columns
    dim : int
        Components.
    known : int
        Times, from the first on, that are known already and are left out.
    begin : int
        The first path, a multiple of `GROUP`.
    """

    request: Moments
    columns: Columns
    dim: int
    known: int = 0
    begin: int = 0
    nodes: list[Node] = field(default_factory=list)
    waiting: dict[int, Part] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.taken = self.begin
        self.places = self.columns.places[self.known :]
        later = self.columns.later[:, self.known :]
        # pairs of times a lag apart
        self.lag, self.time = np.nonzero(later != NEVER)
        self.pairs = self.places[self.time], later[self.lag, self.time]
        self.sketch = None
        if len(self.request.quantiles):
            self.sketch = Sketch(len(self.places) * self.dim, self.begin)

    def add(self, first: int, states: Floats) -> None:
        """Take the states of the paths from `first` on, shape ``(paths, times, dim)``."""
        nodes: list[Node] = []
        for start in range(0, len(states), GROUP):
            part = states[start : start + GROUP]
            mean = part.mean(axis=0)
            sums = [product.sum(axis=0) for product in self._products(part - mean)]
            self._put(nodes, Node(0, (first + start) // GROUP, len(part), mean, sums))
        pieces = None
        if self.sketch is not None:
            rows = states[:, self.places].reshape(len(states), -1)
            none = np.empty((0, rows.shape[1]))
            pieces = Pieces(rows, [], none, np.zeros(rows.shape[1], dtype=np.bool_))
        self._take(first, Part(len(states), nodes, pieces))

    def _take(self, first: int, part: Part) -> None:
        with self.lock:
            self.waiting[first] = part
            while self.taken in self.waiting:
                next_part = self.waiting.pop(self.taken)
                self.taken += next_part.paths
                for node in next_part.nodes:
                    self._put(self.nodes, node)
                if self.sketch is not None and next_part.pieces is not None:
                    self.sketch.take(next_part.pieces)

    def _put(self, nodes: list[Node], node: Node) -> None:
        """Append a node, and merge those that make a pair."""
        nodes.append(node)
        while len(nodes) > 1 and nodes[-1].place % 2 and nodes[-1].level == nodes[-2].level:
            right, left = nodes.pop(), nodes.pop()
            merged = self._merge(left, right)
            nodes.append(merged._replace(level=left.level + 1, place=left.place // 2))

    def _products(self, off: Floats) -> list[Floats]:
        """Return products of deviations, shape (paths, times, dim), whose sums are kept."""
        here = off[:, self.places]
        products = [here * here]
        if self.request.covariance:
            products.append(here[..., :, None] * here[..., None, :])
        if len(self.lag):
            products.append(off[:, self.pairs[0]] * off[:, self.pairs[1]])
        return products

    def _merge(self, left: Node, right: Node) -> Node:
        """Merge two samples (Chan, Golub and LeVeque's update, also for products)."""
        total = left.paths + right.paths
        shift = right.mean - left.mean
        share = left.paths * right.paths / total
        pairs = zip(left.products, right.products, self._products(shift[None]), strict=True)
        return left._replace(
            paths=total, mean=left.mean + shift * (right.paths / total),
            products=[a + b + product[0] * share for a, b, product in pairs],
        )  # fmt: skip

    # ---- as arrays

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was gathered as plain arrays, for `take`."""
        nodes = self.nodes
        found = {
            "nodes": np.array([node[:3] for node in nodes], dtype=np.int64).reshape(-1, 3),
            "means": np.array([node.mean for node in nodes]),
        }
        for k in range(len(nodes[0].products) if nodes else 0):
            found[f"products{k}"] = np.array([node.products[k] for node in nodes])
        if self.sketch is not None:
            before, buffers, after, has_nan = self.sketch.pieces()
            levels = [buffer[:2] for buffer in buffers]
            found |= {"before": before, "after": after, "has_nan": has_nan}
            found["levels"] = np.array(levels, dtype=np.int64).reshape(-1, 2)
            rows = [buffer.rows for buffer in buffers]
            found["buffers"] = np.array(rows).reshape(-1, SIZE, before.shape[1])
        return found

    def take(self, first: int, paths: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Take the `arrays` of the `paths` from `first` on, gathered elsewhere; in any order."""
        products = [arrays[name] for name in sorted(arrays) if name.startswith("products")]
        nodes = [
            Node(int(level), int(place), int(count), arrays["means"][i], [p[i] for p in products])
            for i, (level, place, count) in enumerate(arrays["nodes"])
        ]
        pieces = None
        if self.sketch is not None:
            named = zip(arrays["levels"], arrays["buffers"], strict=True)
            buffers = [Buffer(int(level), int(place), rows) for (level, place), rows in named]
            pieces = Pieces(arrays["before"], buffers, arrays["after"], arrays["has_nan"])
        self._take(first, Part(paths, nodes, pieces))

    def statistics(self, state_shape: tuple[int, ...]) -> Statistics:
        """Return what was gathered; nan if no path was finished."""
        times, dim = len(self.places), self.dim
        if self.nodes:
            whole = self.nodes[-1]
            for node in reversed(self.nodes[:-1]):
                whole = self._merge(node, whole)
            count, mean, products = whole.paths, whole.mean, whole.products
        else:
            none = np.full((1, len(self.columns.all), dim), np.nan)
            count, mean, products = 1, none[0], [p[0] for p in self._products(none)]
        shares = self.request.quantiles
        quantiles = np.empty((0, times * dim))
        if self.sketch is not None:
            quantiles = self.sketch.quantile(shares)
        lagged = np.full((len(self.request.lags), times, dim), np.nan)
        if len(self.lag):
            lagged[self.lag, self.time] = products[-1] / count
        return Statistics(
            request=self.request,
            mean=mean[self.places].reshape(times, *state_shape),
            var=(products[0] / count).reshape(times, *state_shape),
            covariance=(products[1] / count).reshape(times, *state_shape, *state_shape)
            if self.request.covariance
            else None,
            quantiles=quantiles.reshape(len(shares), times, *state_shape),
            autocovariance=lagged.reshape(len(lagged), times, *state_shape),
            rank_error=0.0 if self.sketch is None else self.sketch.rank_error,
        )
