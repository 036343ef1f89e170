"""Laws of times and marks: any `scipy.stats` law, a number, or an array of measurements.

Users describe randomness in those three ways; here each becomes one `Law`, a plain value that
answers the same questions: mean, variance, quantiles, Laplace transform, and a table from which
compiled code
draws with one uniform number. Nothing here knows about workers, delays or random streams.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.errors import ArgumentError

Floats = NDArray[np.float64]
Kind = Literal["constant", "exponential", "measured", "continuous", "discrete"]

# Table kinds understood by engine/kernels/quantile.py.
CONSTANT, EXPONENTIAL, ATOMS, SMOOTH, WEIGHTED = 0.0, 1.0, 2.0, 3.0, 4.0
LEVELS = 53  # halvings of the probability towards 0 and towards 1: the resolution of a double
DEGREE = 7  # of the polynomial in each cell of a smooth table
# Where the Laplace transform of each family (scale 1) begins to exist; textbook facts.
_ABSCISSAS: dict[str, Callable[..., float]] = {
    "expon": lambda: -1.0,
    "gamma": lambda a: -1.0,
    "erlang": lambda a: -1.0,
    "chi2": lambda df: -0.5,
    "invgauss": lambda mu: -0.5 / mu**2,
    "weibull_min": lambda c: 0.0 if c < 1 else -1.0 if c == 1 else -math.inf,
    "lognorm": lambda s: 0.0,
    "pareto": lambda b: 0.0,
    "lomax": lambda c: 0.0,
}
_CLOSED = ("expon", "gamma", "erlang", "uniform")  # families with a closed transform
_BLOCK = 2_000_000  # values of a temporary: 16-32 MB
_MANY = 1000  # measurements that quadratures still take one by one
_EXAMPLE = "a number, scipy.stats.gamma(4, scale=0.25), or np.array([0.9, 1.1, 1.0])"


@dataclass(frozen=True, eq=False)
class Law:
    """The law of one random time or mark.

    Build it with `as_law`. Values are in whatever unit the user measures in.

    Attributes
    ----------
    kind : str
        ``"constant"``, ``"exponential"``, ``"measured"``, ``"continuous"`` or ``"discrete"``.
    mean, variance : float
        First moment and central second moment; the variance may be ``inf``.
    lowest, highest : float
        Ends of the support; ``highest`` may be ``inf``.
    source : object
        What the user gave.
    """

    kind: Kind
    mean: float
    variance: float
    lowest: float
    highest: float
    source: Any
    frozen: Any = field(default=None, repr=False)
    points: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    weights: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    # Closed Laplace transform (s, power) of a law composed of others; see `laplace`.
    transform: Callable[[NDArray[Any], int], NDArray[Any]] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Law({self.kind}, mean={self.mean:.6g}, variance={self.variance:.6g})"

    @property
    def squared_variation(self) -> float:
        """Variance over squared mean, dimensionless."""
        return self.variance / self.mean / self.mean if self.mean else math.inf

    def quantile(self, u: ArrayLike) -> Floats:
        """Return the value below which a share `u` of the draws lies."""
        share = np.asarray(u, dtype=float)
        if self.kind == "constant":
            return np.full(share.shape, self.mean)
        if self.kind == "measured":  # equal weights: the value number floor(u n)
            index = (share * len(self.points)).astype(int)
            return self.points[np.minimum(index, len(self.points) - 1)]
        if self.kind == "discrete":
            cumulative = np.cumsum(self.weights)
            index = np.searchsorted(cumulative, share * cumulative[-1], side="left")
            return self.points[np.minimum(index, len(self.points) - 1)]
        return np.asarray(self.frozen.ppf(share), dtype=float)

    def cdf(self, value: ArrayLike) -> Floats:
        """Return the probability of a draw at or below `value`."""
        at = np.asarray(value, dtype=float)
        if self.kind == "constant":
            return (at >= self.mean).astype(float)
        if self.kind in ("measured", "discrete"):
            cumulative = np.concatenate([[0.0], np.cumsum(self.weights)])
            return cumulative[np.searchsorted(self.points, at, side="right")] / cumulative[-1]
        return np.asarray(self.frozen.cdf(at), dtype=float)

    def laplace(self, s: ArrayLike, *, power: int = 0) -> NDArray[Any]:
        r"""Return the Laplace-Stieltjes transform :math:`E\,T^p e^{-sT}` for real or complex `s`.

        Power 0 is the transform itself, power 1 its derivative with the sign changed. Closed forms
        for constant, exponential, gamma and uniform laws; otherwise a quadrature over the quantile
        function (relative error about 1e-10 while ``abs(s)`` times the spread is moderate). It is
        finite where the real part of `s` exceeds `convergence_abscissa`, and on the imaginary axis;
        elsewhere ``inf``.
        """
        at: NDArray[Any] = np.asarray(s)
        at = at.astype(complex if np.iscomplexobj(at) else float)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            result = self._transform(at, power)
        outside = (np.real(at) <= self.convergence_abscissa) & (np.real(at) < 0.0)
        return np.where(outside, np.inf, result) if outside.any() else result

    def laplace_pair(self, s: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the transforms of power 0 and 1 at few arguments, for Newton's iteration."""
        closed = self.transform is not None or self.kind in ("constant", "exponential")
        values, weights = (np.empty(0), np.empty(0)) if closed else self.nodes()
        if closed or self._parameters[0] in _CLOSED or s.size * values.size > _BLOCK:
            return self.laplace(s), self.laplace(s, power=1)
        with np.errstate(over="ignore", invalid="ignore"):
            pair = np.exp(-np.multiply.outer(s, values)) @ np.stack([weights, weights * values], 1)
        outside = (np.real(s) <= self.convergence_abscissa) & (np.real(s) < 0.0)
        pair[outside] = np.inf
        return pair[..., 0], pair[..., 1]

    def _transform(self, s: NDArray[Any], power: int) -> NDArray[Any]:
        if self.transform is not None:
            return self.transform(s, power)
        if self.kind == "constant":
            return self.mean**power * np.exp(-s * self.mean)
        name, shapes, loc, scale = self._parameters
        if name in _CLOSED:
            # T = loc + scale * Z with the transform of Z known: expand (loc + scale Z)^power.
            shape = shapes[0] if shapes else 1.0
            moments = uniform_moments if name == "uniform" else gamma_moments
            known = moments(s * scale, shape, power)
            total = sum(
                math.comb(power, i) * loc ** (power - i) * scale**i * known[i]
                for i in range(power + 1)
            )
            return np.exp(-s * loc) * total
        values, weights = self.nodes()
        weights = weights * values**power
        flat = s.reshape(-1)
        out = np.empty(flat.shape, dtype=flat.dtype)
        step = max(1, _BLOCK // len(values))
        for start in range(0, flat.size, step):
            part = flat[start : start + step]
            out[start : start + step] = np.exp(-np.multiply.outer(part, values)) @ weights
        return out.reshape(s.shape)

    @cached_property
    def _parameters(self) -> tuple[str, tuple[float, ...], float, float]:
        if self.frozen is None or not hasattr(self.frozen, "dist"):
            return "", (), 0.0, 1.0
        shapes, loc, scale = self.frozen.dist._parse_args(*self.frozen.args, **self.frozen.kwds)
        return self.frozen.dist.name, tuple(map(float, shapes)), float(loc), float(scale)

    @cached_property
    def convergence_abscissa(self) -> float:
        """The real number to the right of which the Laplace transform is finite.

        ``-inf`` for bounded laws and Gaussian-like tails, 0 for tails heavier than exponential.
        Known for common families; for others judged from the slope of the tail down to 1e-14.
        """
        if math.isfinite(self.highest):
            return -math.inf
        name, shapes, _, scale = self._parameters
        if name in _ABSCISSAS:
            return _ABSCISSAS[name](*shapes) / scale
        tails = np.array([1e-8, 1e-11, 1e-14])
        if self.kind == "discrete":
            t = self.points[np.searchsorted(-np.cumsum(self.weights[::-1])[::-1], -tails) - 1]
        else:
            t = _tails(self.frozen, tails)[1]
        if not np.isfinite(t).all() or np.diff(t).min() <= 0:
            return 0.0
        first, last = 3.0 * math.log(10.0) / np.diff(t)
        if last < 0.93 * first:
            return 0.0
        return -math.inf if last > 1.07 * first else -float(last)

    def nodes(self) -> tuple[Floats, Floats]:
        """Return values and weights with ``sum(weights * f(values))`` close to ``E f``.

        Exact for constant and discrete laws and for up to 1000 measurements; more of those are
        condensed to two nodes a cell that keep its first four moments. For continuous laws
        Gauss-Legendre nodes of the quantile function on intervals of probability that halve
        towards both ends.
        """
        return self._nodes

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        if self.kind == "constant":
            return np.array([self.mean]), np.array([1.0])
        if self.kind == "measured" and len(self.points) > _MANY:
            return _condensed(self.points)
        if self.kind in ("measured", "discrete"):
            return self.points, self.weights / self.weights.sum()
        levels, weights = _octaves()
        x, w = _tails(self.frozen, levels).ravel(), np.tile(weights, 2)
        keep = np.isfinite(x)
        order = np.argsort(x[keep], kind="stable")
        return x[keep][order], w[keep][order] / w[keep].sum()

    def table(self) -> Floats:
        """Return the numbers from which ``engine.kernels.quantile.quantile(table, u)`` draws."""
        return self._table

    @cached_property
    def _table(self) -> Floats:
        if self.kind == "constant":
            return np.array([CONSTANT, self.mean])
        name, _, loc, scale = self._parameters
        if name == "expon":
            return np.array([EXPONENTIAL, loc, scale])
        if self.kind in ("measured", "discrete"):
            size = float(len(self.points))
            if np.all(self.weights == self.weights[0]):
                return np.concatenate([[ATOMS, size], self.points])
            cumulative = np.cumsum(self.weights) / self.weights.sum()
            cumulative[-1] = 1.0
            return np.concatenate([[WEIGHTED, size], cumulative, self.points])
        return _smooth_table(self.frozen, math.sqrt(self.variance))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw `size` independent values."""
        return self.quantile(rng.random(size))


@cache
def _gauss(count: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on [-1, 1]."""
    return np.polynomial.legendre.leggauss(count)


@cache
def _octaves() -> tuple[Floats, Floats]:
    """Return probabilities in (0, 1/2) and weights: Gauss rules on intervals that halve."""
    probabilities, weights = [], []
    for level in range(1, LEVELS):
        x, w = _gauss(32 if level < 8 else 12)
        low, high = 0.5 ** (level + 1), 0.5**level
        probabilities.append(low + (high - low) * (x + 1.0) / 2.0)
        weights.append(w * (high - low) / 2.0)
    return np.concatenate(probabilities), np.concatenate(weights)


def _tails(frozen: Any, v: Floats) -> Floats:
    """Return the quantiles at `v` and at ``1 - v``, shape (2, ...), without SciPy's warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.stack([np.asarray(frozen.ppf(v), float), np.asarray(frozen.isf(v), float)])


def gamma_moments(z: NDArray[Any], shape: float, power: int) -> list[NDArray[Any]]:
    """Return E Z^i exp(-z Z) for i = 0..power, Z gamma of this shape and scale 1."""
    rising = np.cumprod([1.0, *(shape + np.arange(power))])
    return [rising[i] * (1.0 + z) ** (-(shape + i)) for i in range(power + 1)]


def uniform_moments(z: NDArray[Any], _: float, power: int) -> list[NDArray[Any]]:
    """Return E Z^i exp(-z Z) for i = 0..power, Z uniform on [0, 1]."""
    small = np.abs(z) < 1.0
    some = bool(small.any())
    safe, near = np.where(small, 1.0, z), np.where(small, z, 0.0)
    known, large = [], -np.expm1(-safe) / safe
    for i in range(power + 1):
        if i:
            large = (i * large - np.exp(-safe)) / safe
        series, term = np.zeros_like(near), np.ones_like(near)
        for n in range(20 if some else 0):  # 1/20! is below rounding
            series = series + term / (n + i + 1)
            term = term * (-near) / (n + 1)
        known.append(np.where(small, series, large))
    return known


def _condensed(points: Floats) -> tuple[Floats, Floats]:
    """Condense sorted measurements: two nodes for each cell of 1/256 of their number and range."""
    size = len(points)
    place = (points - points[0]) / (points[-1] - points[0])
    cell = (np.arange(size) * 256 // size) * 257 + (place * 256).astype(int)
    values, weights = paired_nodes(points, np.full(size, 1.0 / size), cell)
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]


def paired_nodes(points: Floats, weights: Floats, group: NDArray[Any]) -> tuple[Floats, Floats]:
    """Replace each run of values with one group by two nodes with its mass and moments 1 to 3.

    With mean m, deviation s and skewness g of a group, and r = sqrt(g^2 + 4), the nodes are
    m + s (g +- r) / 2, with shares (1 -+ g / r) / 2 of its mass: its two-point Gauss rule, so a
    smooth expectation changes by the fourth power of the width of a group.
    """
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    sizes = np.diff(np.append(starts, group.size))

    def summed(values: Floats) -> Floats:
        return np.add.reduceat(values, starts)

    mass = summed(weights)
    mean = summed(weights * points) / mass
    away = points - np.repeat(mean, sizes)
    moment = weights * away**2
    deviation = np.sqrt(summed(moment) / mass)
    third = summed(moment * away) / mass
    skewness = np.divide(third, deviation**3, out=np.zeros_like(third), where=deviation > 0)
    root = np.sqrt(skewness**2 + 4.0)
    values = [mean + deviation * (skewness + sign * root) / 2.0 for sign in (-1.0, 1.0)]
    shares = [mass * (1.0 - sign * skewness / root) / 2.0 for sign in (-1.0, 1.0)]
    return np.concatenate(values), np.concatenate(shares)


def _smooth_table(frozen: Any, spread: float) -> Floats:
    """Tabulate a quantile function by polynomials on cells that halve towards both ends.

    Cells are refined until the polynomials reproduce the quantiles between their nodes to 1e-9 of
    the spread; laws with kinks (histograms) stop at 128 cells a level, where the misfit is local.
    """
    nodes = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
    to_powers = np.linalg.inv(np.vander(nodes, increasing=True))
    between = (nodes[1:] + nodes[:-1]) / 2.0
    at_between = np.vander(between, DEGREE + 1, increasing=True)
    top = 0.5 ** np.arange(1, LEVELS + 1)  # level k holds tail probabilities (top/2, top]
    for cells in (8, 32, 128):
        edges = np.arange(cells)
        share = (edges[:, None] + (nodes + 1.0) / 2.0) / cells
        v = top[:, None, None] / 2.0 * (1.0 + share)
        values = _tails(frozen, v)
        coefficients = values @ to_powers.T
        share = (edges[:, None] + (between + 1.0) / 2.0) / cells
        v = top[:8, None, None] / 2.0 * (1.0 + share)
        wanted = _tails(frozen, v)
        misfit = np.abs(coefficients[:, :8] @ at_between.T - wanted)
        scale = np.abs(wanted) + (spread if math.isfinite(spread) else 0.0)
        if np.nanmax(misfit / np.maximum(scale, 1e-300)) < 1e-9:
            break
    return np.concatenate([[SMOOTH, float(cells)], coefficients.ravel()])


def as_law(value: Any, name: str, *, minimum: float | None = 0.0) -> Law:
    """Turn what a user gave for a random time or mark into a `Law`.

    Parameters
    ----------
    value : float, scipy.stats law, 1-D array of measurements, or Law
        A number is a deterministic value.
    name : str
        The argument's name, for messages.
    minimum : float or None
        Smallest value that a draw may take; ``None`` for no bound (marks).

    Returns
    -------
    Law

    Raises
    ------
    sdde.ArgumentError
        If `value` is none of these, holds values that are not finite or below `minimum`, or has no
        mean.

    Examples
    --------
    >>> import scipy.stats
    >>> as_law(scipy.stats.expon(scale=2.0), "compute_time").mean
    2.0
    """
    if isinstance(value, Law):
        law = value
    elif hasattr(value, "ppf"):
        law = _from_scipy(value, name)
    else:
        law = _from_numbers(value, name)
    if minimum is not None and law.lowest < minimum:
        raise checks.fail(
            name,
            law.source,
            f"can take values below {minimum:g} (its lowest is {law.lowest:g})",
            remedy=f"Give {_EXAMPLE}.",
        )
    return law


def as_laws(value: Any, workers: int, name: str) -> tuple[Law, ...]:
    """Turn one law for all workers, or a list or tuple with one law per worker, into laws.

    Returns one law (shared by all), or exactly `workers` laws. A NumPy array is measurements of
    one law; a list or tuple is one entry per worker.
    """
    if not isinstance(value, list | tuple):
        return (as_law(value, name),)
    if len(value) != workers:
        raise checks.fail(
            name,
            value,
            f"lists {len(value)} laws for {workers} workers",
            why="A list or tuple holds one law per worker; measurements are a NumPy array.",
            remedy=f"Give {workers} laws, or one law for all.",
        )
    return tuple(as_law(item, f"{name}[{i}]") for i, item in enumerate(value))


def _from_numbers(value: Any, name: str) -> Law:
    if np.ndim(value) == 0 if not isinstance(value, Sequence) else False:
        if isinstance(value, bool | np.bool_ | str) or not np.isreal(value) or callable(value):
            raise checks.fail(name, value, "is not a law", remedy=f"Give {_EXAMPLE}.")
        try:
            constant = checks.number(name, value)
        except ArgumentError:
            raise checks.fail(name, value, "is not a law", remedy=f"Give {_EXAMPLE}.") from None
        return Law("constant", constant, 0.0, constant, constant, value)
    if isinstance(value, str):
        raise checks.fail(name, value, "is not a law", remedy=f"Give {_EXAMPLE}.")
    points = np.sort(checks.vector(name, value))
    weights = np.full(points.size, 1.0 / points.size)
    if points[0] == points[-1]:
        constant = float(points[0])
        return Law("constant", constant, 0.0, constant, constant, value)
    mean = float(points.mean())
    return Law(
        "measured", mean, float(points.var()), float(points[0]), float(points[-1]), value,
        points=points, weights=weights,
    )  # fmt: skip


def _from_scipy(value: Any, name: str) -> Law:
    if not hasattr(value, "dist") and hasattr(value, "freeze"):
        try:
            value = value.freeze()  # scipy.stats.expon means scipy.stats.expon()
        except TypeError:
            raise checks.fail(
                name, value, "lacks its shape parameters",
                remedy="For example scipy.stats.gamma(4, scale=0.25), not scipy.stats.gamma.",
            ) from None  # fmt: skip
    with np.errstate(all="ignore"):
        mean, variance = (float(m) for m in value.stats(moments="mv"))
        lowest, highest = (float(end) for end in value.support())
    if not math.isfinite(mean):
        raise checks.fail(
            name, value, f"has mean {mean:g}",
            why="A law without a finite mean has no rate, so nothing can be computed from it."
            if math.isinf(mean)
            else "Its parameters are outside their range.",
            remedy=f"Give {_EXAMPLE}.",
        )  # fmt: skip
    if math.isnan(variance):
        variance = math.inf
    expon = getattr(getattr(value, "dist", None), "name", "") == "expon"
    if (variance == 0.0 and lowest < highest) or (expon and math.isinf(variance)):
        raise checks.fail(
            name, value, f"has mean {mean:g}, and its variance is no number that a computer has",
            remedy="Give it in another unit, or as a number if it does not vary.",
        )  # fmt: skip
    if hasattr(value, "pmf"):
        return _from_discrete(value, mean, variance, lowest, highest, name)
    kind: Kind = "exponential" if expon and lowest == 0.0 else "continuous"
    return Law(kind, mean, variance, lowest, highest, value, frozen=value)


def _from_discrete(
    value: Any, mean: float, variance: float, lowest: float, highest: float, name: str
) -> Law:
    first = lowest if math.isfinite(lowest) else float(value.ppf(1e-15))
    last = highest if math.isfinite(highest) else float(value.isf(1e-15))
    if not math.isfinite(last - first) or last - first > 1e6:
        raise checks.fail(name, value, "has too many values to tabulate (more than 1e6)")
    points = np.arange(first, last + 1.0)
    weights = np.asarray(value.pmf(points), dtype=float)
    keep = weights > 0
    points, weights = points[keep], weights[keep] / weights[keep].sum()
    if len(points) == 1:
        return Law("constant", mean, 0.0, mean, mean, value)
    return Law(
        "discrete", mean, variance, lowest, highest, value,
        frozen=value, points=points, weights=weights,
    )  # fmt: skip
