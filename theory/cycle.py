"""The law of one worker's cycle: fetch, compute, send. Sums, mixtures, cuts and shifts of laws.

A cycle is the sum of a computation and a transfer; workers that differ mix their laws; a server
that drops late gradients cuts them. Each operation takes `Law` values and returns one: exact where
SciPy has the result (a shifted law, atoms), otherwise a few hundred weighted values that keep the
mass, mean, variance and third moment of every small group of outcomes, and halve towards both
tails. Nothing here knows what the laws are used for.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.equation.laws import Law, as_law, paired_nodes

Floats = NDArray[np.float64]
Transform = Callable[[NDArray[Any], int], Any]
_Parameters = tuple[tuple[float, ...], float, float]  # shapes, location, scale

_TAIL_LEVELS = 40  # halvings of the probability towards each end: 2**-48 is left as one group
_PARTS = 8  # of an octave of probability, for the wider of two laws that are added
_CENTRE = 240  # groups of equal probability in the middle; two values stand for each group


@dataclass(frozen=True, slots=True)
class Sum:
    """Source of a law that is the sum of two independent times."""

    first: Law
    second: Law


@dataclass(frozen=True, slots=True)
class Mixture:
    """Source of a law drawn from one of several laws."""

    laws: tuple[Law, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Source of the law of a time given that it is at most `longest`, which has probability
    `share`.
    """

    law: Law
    longest: float
    share: float


@dataclass(frozen=True, slots=True)
class Clipped:
    """Source of the law of ``max(T - by, 0)``."""

    law: Law
    by: float


def weighted(
    points: Floats, weights: Floats, source: object, transform: Transform | None = None
) -> Law:
    """Return the law of finitely many values, with weights that are scaled to sum to one.

    `transform` is the Laplace transform where it is known better than from the values.
    """
    parts = () if transform is None else _parts(source)
    if any(law.convergence_abscissa == 0.0 for law in parts):
        transform = None  # a heavy tail has no transform left of zero; its values do
    order = np.argsort(points, kind="stable")
    points, weights = points[order], weights[order] / weights.sum()
    mean = float(points @ weights)
    if points[0] == points[-1]:
        return as_law(float(points[0]), "law")
    variance = float(((points - mean) ** 2) @ weights)
    return Law(
        "discrete", mean, variance, float(points[0]), float(points[-1]), source,
        points=points, weights=weights, transform=transform,
    )  # fmt: skip


def _parts(source: object) -> tuple[Law, ...]:
    match source:
        case Sum(first, second):
            return first, second
        case Mixture(laws, _):
            return laws
        case Clipped(law, _):
            return (law,)
    return ()


def is_composed(law: Law) -> bool:
    """Return whether the law was made here out of others."""
    return law.kind == "discrete" and law.frozen is None


def compress(points: Floats, weights: Floats, *, parts: int = 0) -> tuple[Floats, Floats]:
    """Return fewer values with the same mass and first three moments in every group of neighbours.

    Groups hold equal probability in the middle and ever less towards the tails; each is replaced by
    its two-point Gauss rule, so a smooth expectation changes by the fourth power of a group's
    width. With `parts` there are fewer groups: that many in each of the first octaves.
    """
    order = np.argsort(points, kind="stable")
    points, weights = points[order], weights[order] / weights.sum()
    cumulative = np.cumsum(weights) - 0.5 * weights
    edges = np.searchsorted(cumulative, _edges(parts))
    group = np.zeros(points.size, dtype=int)
    np.add.at(group, edges[edges < points.size], 1)
    group = np.cumsum(group)
    values, shares = paired_nodes(points, weights, group)
    keep = shares > 0
    # Rounding may push a value of a narrow group just past the ends of the support.
    return np.clip(values[keep], points[0], points[-1]), shares[keep]


@lru_cache(maxsize=16)
def _edges(parts: int) -> Floats:
    """Return probabilities between groups: octaves of both tails, cut into ever fewer parts.

    Zero parts stand for the finest cut, with groups of equal probability in the middle.
    """
    if parts:
        steps = [(1, 5, parts), (5, 9, max(1, parts // 2)), (9, 15, 1), (15, 35, 0.5)]
        octaves = np.concatenate([np.arange(low, high, 1.0 / cut) for low, high, cut in steps])
        tail = 0.5**octaves
        return np.concatenate([tail[::-1], 1.0 - tail[1:]])
    octaves = np.concatenate([np.arange(96) / 16, np.arange(24, 4 * _TAIL_LEVELS) / 4])
    tail = 0.5**octaves / 16.0
    return np.concatenate([tail[::-1], np.linspace(1 / 16, 15 / 16, _CENTRE)[1:-1], 1.0 - tail])


@lru_cache(maxsize=64)
def _few(law: Law, parts: int) -> tuple[Floats, Floats]:
    """Return a law as few values."""
    return compress(*law.nodes(), parts=parts)


def shifted(law: Law, by: float) -> Law:
    """Return the law of ``max(T + by, 0)``."""
    if by == 0.0:
        return law
    if law.kind == "constant":
        return as_law(max(law.mean + by, 0.0), "law")
    if law.lowest + by >= 0.0 and (parameters := _location_scale(law)) is not None:
        return _moved(law, parameters, 1.0, by)
    points, weights = law.nodes()
    under = points + by < 0.0
    lost, mass = points[under] + by, weights[under] / weights.sum()

    def transform(s: NDArray[Any], power: int) -> NDArray[Any]:
        terms = [
            math.comb(power, i) * by ** (power - i) * law.laplace(s, power=i)
            for i in range(power + 1)
        ]
        value = np.exp(-s * by) * sum(terms)
        clipped = np.exp(-np.multiply.outer(s, lost)) @ (mass * lost**power)
        return value - clipped + (mass.sum() if power == 0 else 0.0)

    return weighted(np.maximum(points + by, 0.0), weights, Clipped(law, -by), transform)


def scaled(law: Law, by: float) -> Law:
    """Return the law of ``by * T`` for a positive number `by`."""
    if by == 1.0:
        return law
    if law.kind == "constant":
        return as_law(law.mean * by, "law")
    if (parameters := _location_scale(law)) is not None:
        return _moved(law, parameters, by, 0.0)
    source = law.source
    if isinstance(source, Sum):
        source = Sum(scaled(source.first, by), scaled(source.second, by))
    elif isinstance(source, Mixture):
        source = Mixture(tuple(scaled(part, by) for part in source.laws), source.weights)
    elif isinstance(source, Cut):
        source = Cut(scaled(source.law, by), source.longest * by, source.share)
    elif isinstance(source, Clipped):
        source = Clipped(scaled(source.law, by), source.by * by)
    points, weights = law.nodes()
    return weighted(
        points * by, weights, source,
        lambda s, power: by**power * np.asarray(law.laplace(s * by, power=power)),
    )  # fmt: skip


def _moved(law: Law, parameters: _Parameters, factor: float, by: float) -> Law:
    """Return the law of ``factor * T + by``, with the nodes of T: quantiles are dear."""
    shapes, loc, scale = parameters
    frozen = copy.copy(law.frozen)  # freezing anew takes SciPy ten times as long as all else here
    frozen.args, frozen.kwds = shapes, {"loc": loc * factor + by, "scale": scale * factor}
    to = as_law(frozen, "law")
    points, weights = law.nodes()
    to.__dict__["_nodes"] = (points * factor + by, weights)
    return to


def _location_scale(law: Law) -> _Parameters | None:
    """Return shapes, location and scale of a continuous SciPy law, or None."""
    dist = getattr(law.frozen, "dist", None)
    if law.kind not in ("continuous", "exponential") or dist is None:
        return None
    shapes, loc, scale = dist._parse_args(*law.frozen.args, **law.frozen.kwds)
    return shapes, float(loc), float(scale)


def total(first: Law, second: Law) -> Law:
    """Return the law of the sum of two independent times."""
    if first.kind == "constant":
        return shifted(second, first.mean)
    if second.kind == "constant":
        return shifted(first, second.mean)

    def transform(s: NDArray[Any], power: int) -> NDArray[Any]:
        terms = [
            math.comb(power, i) * first.laplace(s, power=i) * second.laplace(s, power=power - i)
            for i in range(power + 1)
        ]
        return np.asarray(sum(terms))

    widest = max(first.variance, second.variance)  # the narrower of the two needs fewer values
    shares = [math.sqrt(law.variance / widest) if widest < math.inf else 1.0
              for law in (first, second)]  # fmt: skip
    a, b = (
        _few(law, max(1, math.ceil(_PARTS * share)))
        for law, share in zip((first, second), shares, strict=True)
    )
    points = np.add.outer(a[0], b[0]).ravel()
    values, weights = compress(points, np.multiply.outer(a[1], b[1]).ravel())
    return weighted(values, weights, Sum(first, second), transform)


def mixture(laws: Sequence[Law], weights: Sequence[float] | Floats) -> Law:
    """Return the law of a time drawn from ``laws[i]``, with probabilities as `weights`."""
    if len(laws) == 1:
        return laws[0]
    shares = np.asarray(weights, dtype=float)
    shares = shares / shares.sum()
    pairs = [law.nodes() for law in laws]
    points = np.concatenate([pair[0] for pair in pairs])
    masses = np.concatenate([share * pair[1] for share, pair in zip(shares, pairs, strict=True)])
    if points.size > 2000:
        points, masses = compress(points, masses)
    return weighted(
        points, masses, Mixture(tuple(laws), tuple(map(float, shares))),
        lambda s, power: sum(
            share * np.asarray(law.laplace(s, power=power))
            for share, law in zip(shares, laws, strict=True)
        ),
    )  # fmt: skip


def truncated(law: Law, longest: float) -> tuple[Law, float]:
    """Return the law of T given T <= `longest`, and the probability of that.

    Raises
    ------
    sdde.ArgumentError
        If no draw is that short.
    """
    share = float(law.cdf(longest))
    if share == 0.0:
        raise checks.fail(
            "longest", longest, "is below every cycle time",
            why=f"The shortest possible cycle is {law.lowest:g}; all gradients would be dropped.",
            remedy=f"For example longest = {law.quantile(0.5).item():.3g}.",
        )  # fmt: skip
    if share == 1.0:
        return law, 1.0
    if law.kind in ("measured", "discrete"):
        points, weights = law.nodes()
        keep = points <= longest
        return weighted(points[keep], weights[keep], (law, longest)), share
    x, w = np.polynomial.legendre.leggauss(32)
    # Probability intervals that halve towards zero; the cut end is regular and needs no refinement.
    edges = np.concatenate([[0.0], 0.5 ** np.arange(40.0, -1.0, -1.0)])
    low, high = edges[:-1, None], edges[1:, None]
    level = (low + (high - low) * (x + 1.0) / 2.0).ravel()
    values, weights = law.quantile(share * level), ((high - low) * w / 2.0).ravel()
    return weighted(values, weights, Cut(law, longest, share)), share


def cycle_law(compute: Law, communication: Law | None) -> Law:
    """Return the law of one cycle of a worker with a link of its own."""
    return compute if communication is None else total(compute, communication)


def coefficient_of_variation(law: Law) -> float:
    """Return the standard deviation of a law over its mean."""
    return math.sqrt(law.squared_variation)
