r"""How fast and how far: rates, limits and best values of workers and learning rate.

Everything follows from two functions of the damping *u* under a delay law: the decay rate of the
mean (dominant characteristic root) and the energy :math:`I = \int_0^\infty K^2` of its fundamental
solution, in units of the mean delay. For Poisson arrivals the mean square stays bounded iff
:math:`\alpha u I(u) < 1`. Memoryless workers and workers in step have exact counterparts; limits
of workers behind a shared link and of those whose unequal cycles never vary follow from the order
of their arrivals. Formulas derived in this project; nothing here knows losses.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.system import SharedLink
from sdde.equation.laws import Law, as_law

from . import exact, fixed_cycles
from .arrivals import Arrivals, exact_kind, scales
from .bracket import root_between
from .characteristic import critical_damping, rightmost_roots, stability_limit
from .dominant import dominant_roots
from .mean_curves import mean_curves
from .reductions import stream_of
from .squares import DIRECT, gather
from .whole_roots import MOST_WORKERS, largest_count
from .worker_edges import apart, behind_link, is_within, memoryless
from .worker_renewals import crew_of, worker_renewals
from .worker_squares import worker_squares

if TYPE_CHECKING:
    from .async_sgd import AsyncSGD

Floats = NDArray[np.float64]

_FEW = 64  # dampings that are marched rather than looked up
_NEXT = 1.0 - 1e-9  # index of what the squares alone would take as divergent
_SURE = 0.8  # of the limit of workers in turn: below it no order of arrivals diverges
_MARGIN = (
    0.9  # of the diverging learning rate, where the fastest mean would have no bounded mean square
)


class BestDamping(NamedTuple):
    r"""The damping of the largest eigenvalue with the fastest overall decay, and that rate.

    Attributes
    ----------
    damping : float
        :math:`u = \eta\lambda_{\max} n`.
    rate : float
        Decay rate of the slowest coordinate times the mean delay.
    """

    damping: float
    rate: float


def best_damping(law: Any = 1.0, condition_number: float = 1.0) -> BestDamping:
    r"""Damping with the fastest asymptotic decay when curvatures span a range.

    The rate ρ(u) rises up to critical damping and falls afterwards, so the slowest coordinate is
    the one of the smallest or of the largest curvature, and the best *u* of the largest solves

    .. math:: \rho(u) = \rho(u / \kappa).

    Parameters
    ----------
    law : law
        Law of the delay.
    condition_number : float
        Largest over smallest eigenvalue, κ >= 1.

    Returns
    -------
    BestDamping

    Raises
    ------
    sdde.ArgumentError
        If `law` is not a law of positive times or `condition_number` is below one.

    Notes
    -----
    Derived in this project, for the noise-free mean. For large κ the best damping lies next to
    divergence, where the arrival noise alone makes the mean square grow;
    `AsyncSGD.best_learning_rate` keeps a distance from there.

    Examples
    --------
    >>> best = best_damping(1.0, 100.0)
    >>> round(best.damping, 5), round(best.rate, 6)
    (1.5367, 0.015609)
    """
    delay = as_law(law, "law")
    kappa = checks.number("condition_number", condition_number, example=10.0)
    if kappa < 1.0:
        raise checks.fail(
            "condition_number", condition_number, "is below 1", remedy="For example 10.0."
        )
    critical = critical_damping(delay)
    if kappa == 1.0:
        return BestDamping(float(critical.damping), float(critical.rate))

    def rho(u: float) -> float:
        return -float(rightmost_roots(np.array([u / delay.mean]), delay)[0].real) * delay.mean

    def lead(u: float) -> float:
        return rho(u) - rho(u / kappa)

    low, high = float(critical.damping), float(stability_limit(delay))
    if not math.isfinite(high):
        high = low * kappa  # there the smallest curvature is critical itself
    high *= 1.0 - 1e-12
    if lead(high) >= 0.0:
        return BestDamping(high, rho(high / kappa))
    u = root_between(lead, low * (1.0 + 1e-9), high)
    return BestDamping(u, rho(u / kappa))


def kernel_energy(law: Law, damping: Floats) -> Floats:
    r"""Return :math:`\int_0^\infty K^2` for a law of mean one; ``inf`` if unstable."""
    u = np.asarray(damping, dtype=float)
    if law.kind == "constant":
        with np.errstate(all="ignore"):
            return np.where(u < math.pi / 2, (1.0 + np.sin(u)) / (2.0 * u * np.cos(u)), np.inf)
    if law.kind == "exponential":
        return (1.0 + u) / (2.0 * u)
    return mean_curves(law, u).energy


def mean_rates(stream: Arrivals, alpha: Floats) -> Floats:
    """Return the decay rates of the means, in 1/time."""
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "in step":
        z, _ = exact.discrete_root(alpha, stream.workers - 1)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(np.abs(z)) * stream.rate, dtype=float)
    if kind == "memoryless":
        values = np.linalg.eigvals(mean_matrix(alpha, *stream.rates()))
        return np.asarray(-np.real(values).max(axis=-1), dtype=np.float64)
    if stream.kind == "renewal":
        parts = np.array_split(alpha, max(1, math.ceil(alpha.size / _FEW)))
        solved = [worker_renewals(stream, part) for part in parts]
        roots = np.concatenate([means.roots for means in solved])
        return np.asarray(-roots.real / solved[0].crew.unit, dtype=float)
    unit = scales(stream)
    damping = np.asarray(unit.damping(alpha), dtype=float)
    # Half a gap less for each number of workers: no law stays long enough to earn a table.
    passing = stream.kind == "regular" and unit.law.kind == "continuous" and damping.size <= _FEW
    roots = mean_curves(unit.law, damping).slow[0] if passing else dominant_roots(damping, unit.law)
    return np.asarray(-np.real(roots) / unit.time, dtype=float)


def mean_is_stable(stream: Arrivals, alpha: Floats) -> bool:
    r"""Return whether every mean converges.

    With a damping below one it does under every delay law of mean one: where :math:`\mathrm{Re}\,s
    \ge 0` a root would have :math:`|s| \le |s + u| = u\,|1 - \varphi(s)| \le u\,|s|`.
    """
    if stream.kind in ("exact", "renewal"):
        return bool(np.all(mean_rates(stream, alpha) > 0.0))
    unit = scales(stream)
    damping = unit.damping(_some(alpha))
    if damping[-1] < 1.0:
        return True
    return bool(np.isfinite(kernel_energy(unit.law, damping)).all())


def is_bounded(stream: Arrivals, alpha: Floats) -> bool:
    """Return whether every mean square stays bounded."""
    if _fixed(stream):
        return divergence_index(stream, float(alpha.max())) < 1.0
    if stream.kind == "regular":
        return float(alpha.max()) < 2.0 * stream.group and mean_is_stable(stream, alpha)
    if stream.kind == "exact":
        return mean_is_stable(stream, alpha) and mean_square_index(stream, alpha.max()) < 1.0
    if stream.kind == "renewal" and stream.queue:
        return divergence_index(stream, float(alpha.max())) < 1.0
    if stream.kind == "renewal":  # the largest decides
        nodes = gather(alpha, stream.kind)[0]  # their squares are asked for next, and kept
        squares = worker_squares(stream, nodes)
        index = float(squares.index[-1]) if squares.means.roots[-1].real < 0.0 else math.inf
        return is_within(crew_of(stream), float(nodes[-1]), index) and not squares.means.wild[-1]
    unit, some = scales(stream), _some(alpha)
    energy = kernel_energy(unit.law, unit.damping(some))
    return bool(np.isfinite(energy).all() and unit.strength(some[-1]) * energy[-1] < 1.0)


def _some(alpha: Floats) -> Floats:
    """Return the distinct values, in order; of many a few, with the largest, which decides."""
    distinct = np.unique(alpha)
    if distinct.size <= DIRECT:
        return distinct
    return distinct[np.linspace(0, distinct.size - 1, 12).astype(int)]


def mean_matrix(alpha: Floats, rates: Floats, counts: NDArray[Any]) -> Floats:
    """Return the matrices of the mean state and the mean copies of memoryless worker groups."""
    size = len(rates) + 1
    matrix = np.zeros((len(alpha), size, size))
    matrix[:, 0, 1:] = -alpha[:, None] * (rates * counts)
    matrix[:, 1:, 0] = rates
    matrix[:, range(1, size), range(1, size)] = -(1.0 + alpha)[:, None] * rates
    return matrix


def mean_square_index(stream: Arrivals, alpha: float) -> float:
    """Return the index that must stay below one, for the largest dimensionless learning rate."""
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "memoryless" and len(stream.cycles) == 1:
        return alpha / (2.0 + alpha) * alpha * stream.workers
    if kind == "memoryless":
        return alpha / largest_alpha(stream)
    if stream.kind == "renewal" and stream.queue:
        turns = exact.in_turn(stream.workers)
        return alpha / (turns if alpha < _SURE * turns else largest_alpha(stream))
    if cycles := _fixed(stream):
        reach = alpha * fixed_cycles.longest_reach(cycles)
        return reach if reach < 1.0 else alpha / fixed_cycles.largest_alpha(cycles)
    if stream.kind == "renewal":
        return _index_of_squares(stream, alpha)
    if stream.kind == "regular" and alpha >= 2.0 * stream.group:
        return math.inf  # a single update overshoots by more than it started from
    if kind == "in step" or stream.kind == "regular":
        return 0.0 if mean_is_stable(stream, np.array([alpha])) else math.inf
    unit = scales(stream)
    energy = float(kernel_energy(unit.law, np.array([unit.damping(alpha)]))[0])
    return unit.strength(alpha) * energy


def _index_of_squares(stream: Arrivals, alpha: float) -> float:
    """Return the index of workers as renewal processes; just below one up to the limit of few."""
    squares = worker_squares(stream, np.array([alpha]))
    stable = squares.means.roots[0].real < 0.0
    index = float(squares.index[0]) if stable else math.inf
    within = is_within(crew_of(stream), alpha, index)
    return min(index, _NEXT) if within else max(index, 1.0)


def kick_variance(stream: Arrivals, alpha: Floats) -> Floats:
    """Return the stationary mean square over the variance of one kick, for each coordinate."""
    nodes, shares = gather(alpha, stream.kind)
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "in step":
        value = exact.fixed_staleness_energy(nodes, stream.workers - 1)
    elif kind == "memoryless":
        matrix, force = exact.memoryless_moments(nodes, *stream.rates())
        value = -np.linalg.solve(matrix, force[..., None])[:, 0, 0]
    elif stream.kind == "renewal":
        value = worker_squares(stream, nodes).level
    else:
        unit = scales(stream)
        energy = kernel_energy(unit.law, unit.damping(nodes))
        value = unit.kicks * energy
        if stream.kind == "poisson":
            value = value / (1.0 - unit.strength(nodes) * energy)
    # The product with alpha is the smooth function that nodes interpolate.
    bounded = np.isfinite(value)
    found = shares[:, bounded] @ (value * nodes)[bounded] / alpha
    return np.where((shares[:, ~bounded] != 0.0).any(axis=1), np.inf, found)


def largest_alpha(stream: Arrivals, near: float = math.nan) -> float:
    """Return the dimensionless learning rate from which the mean square grows without bound.

    `near` is a guess, for workers as renewal processes.
    """
    n = stream.workers
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "in step":
        return exact.in_turn(n)
    if kind == "memoryless":
        if len(stream.cycles) == 1:
            return exact.equal_memoryless(n)
        return memoryless(*stream.rates())
    if stream.kind == "renewal" and stream.queue and stream.link:
        return behind_link(n, *stream.queue, stream.link.waiting_time, stream.cycles[0])
    if cycles := _fixed(stream):
        return fixed_cycles.largest_alpha(cycles)
    if stream.kind == "renewal":
        return apart(crew_of(stream), near)
    unit = scales(stream)
    limit = float(stability_limit(unit.law))
    per_damping = 1.0 / (unit.gain * unit.flow)
    if stream.kind == "regular":  # one update at a time can at most double back
        return min(limit * per_damping, 2.0 / unit.gain)

    def room(damping: float) -> float:
        """Return what is left to the limit: nearly linear in the damping, unlike the index."""
        energy = float(kernel_energy(unit.law, np.array([damping]))[0])
        return damping / (unit.strength(damping * per_damping) * energy) - damping

    high = min(limit * (1.0 - 1e-10), 2.0 * unit.flow + 1.0)  # the energy exceeds 1 / (2 u)
    if room(high) >= 0.0:
        return high * per_damping
    return root_between(room, 1e-6 * high, high) * per_damping


def _fixed(stream: Arrivals) -> tuple[float, ...]:
    """Return the cycles of unequal workers whose cycles never vary; nothing for others.

    Nothing, too, where a method has changed the stream.
    """
    plain = stream.rate == stream.pace and stream.group == 1 and stream.square == 1.0
    unequal = len(stream.cycles) > 1 and stream.kind in ("regular", "renewal") and plain
    if not unequal or any(law.kind != "constant" for law in stream.cycles):
        return ()
    return tuple(sorted(law.mean for law in stream.cycles))


def stream_with(model: "AsyncSGD", workers: int) -> Arrivals:
    """Return the arrivals of the same system with another number of equal workers."""
    for name in ("compute_time", "communication"):
        value = getattr(model, name)
        if isinstance(value, list | tuple):
            raise checks.fail(
                name, value, "lists the workers, so their number is fixed",
                why="What another worker would be like is not known.",
                remedy="Give one law for all workers, or choose among subsets of the list.",
            )  # fmt: skip
    return stream_of(workers, model.compute_time, model.communication, model.arrivals, model.method)


def max_workers(model: "AsyncSGD", near: int | None = None) -> float:
    """Return the largest number of workers with bounded expected loss; `near` is a guess."""
    alpha = float(model.learning_rate * model.eigenvalues.max())
    # A damping of one is stable under every law, so that is where the search begins.
    start = max(1, min(near or round(model.stream.group / alpha), MOST_WORKERS))
    return largest_count(
        lambda n: divergence_index(stream_with(model, n), alpha), start,
        smooth=model.stream.queue is not None,
    )  # fmt: skip


def divergence_index(stream: Arrivals, alpha: float) -> float:
    """Return a number that rises with `alpha` and the workers, below one iff losses are bounded."""
    kind = exact_kind(stream) if stream.kind == "exact" else None
    if kind == "memoryless" or stream.kind in ("poisson", "renewal") or _fixed(stream):
        return mean_square_index(stream, alpha)
    if kind is None:
        damping = float(scales(stream).damping(alpha))
        if damping < 1.0 and alpha < stream.group:
            return damping  # stable under every law
    return alpha / largest_alpha(stream)


def max_learning_rate(model: "AsyncSGD") -> float:
    """Return the learning rate from which the expected loss grows without bound."""
    return largest_alpha(model.stream) / float(model.eigenvalues.max())


def best_workers(model: "AsyncSGD") -> int:
    """Return the number of workers with the fastest asymptotic rate of the mean."""
    most = int(min(max_workers(model), MOST_WORKERS))
    alpha = model.learning_rate * np.array([model.eigenvalues.min(), model.eigenvalues.max()])
    if most == 0:
        return 1
    linked = isinstance(model.communication, SharedLink)
    if model.arrivals == "regular" and not linked and model.stream.delay.kind != "constant":
        near = best_workers(model.replace(arrivals="poisson"))  # half a worker less
        counts = np.arange(max(near - 1, 1), min(near + 3, most) + 1)
        return int(counts[np.argmax(rates_with(model, counts, alpha))])
    points = 9 if linked else 60
    counts = np.unique(np.geomspace(1, most, points).astype(int))
    while True:  # the rate rises up to its best and falls, or stays, afterwards
        rates = rates_with(model, counts, alpha)
        best = int(np.argmax(rates >= rates.max() * (1.0 - 1e-12)))
        low, high = int(counts[max(best - 1, 0)]), int(counts[min(best + 1, counts.size - 1)])
        if high - low + 1 <= counts.size and counts[-1] - counts[0] + 1 == counts.size:
            return int(counts[best])
        counts = np.unique(np.linspace(low, high, min(high - low + 1, points)).astype(int))


def rates_with(model: "AsyncSGD", counts: NDArray[Any], alpha: Floats) -> Floats:
    """Return the slowest mean rate over `alpha` for several numbers of workers."""
    plain = model.arrivals == "poisson" and not isinstance(model.communication, SharedLink)
    if plain and model.method is None:  # the delay law does not depend on the number of workers
        stream = stream_with(model, 1)
        return (
            mean_rates(stream, np.multiply.outer(counts, alpha).ravel())
            .reshape(counts.size, -1)
            .min(axis=1)
        )
    return np.array([mean_rates(stream_with(model, int(n)), alpha).min() for n in counts])


def best_learning_rate(model: "AsyncSGD") -> float:
    """Return the learning rate with the fastest asymptotic rate of the mean."""
    largest = float(model.eigenvalues.max())
    ratio = float(model.eigenvalues.min()) / largest
    limit = _MARGIN * largest_alpha(model.stream)

    def rate(alpha: float) -> float:
        return float(mean_rates(model.stream, alpha * np.array([ratio, 1.0])).min())

    grid = np.geomspace(limit * 1e-6, limit, 400)
    both = mean_rates(model.stream, np.concatenate([grid * ratio, grid])).reshape(2, -1)
    best = int(np.argmax(both.min(axis=0)))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    while high - low > 1e-12 * high:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if rate(left) < rate(right):
            low = left
        else:
            high = right
    return 0.5 * (low + high) / largest
