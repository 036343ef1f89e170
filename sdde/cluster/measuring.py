"""Measuring an objective: leading and trailing curvature, the density between, gradient noise.

Only products with the Hessian and gradients of single samples are taken, so networks of many
parameters can be measured. In few dimensions all eigenvectors are found, and nothing is estimated
that can be computed.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.hessian_products import Derivatives, derivatives, product_error
from sdde.cluster.lanczos import extreme, quadrature
from sdde.cluster.measurement import FLAT, Measurement, Modes, Rule, _mean
from sdde.cluster.noise_probing import Noise, gradient_noise, samples_in_a_gradient
from sdde.cluster.objective_kinds import check_objective
from sdde.cluster.samples import starting_point
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]
Product = Callable[[Floats], Floats]

EXACT = 500  # parameters up to which all eigenvectors are computed
STILL = 0.01  # size of a gradient, against curvature times distance, that counts as zero
DIFFERENT = 0.2  # relative difference from the quadratic that is worth a warning
ROUNDING = 1e-20  # square of a gradient, against that of curvature times distance, that is zero
INEXACT = 1e-3  # relative error of products that is worth a warning
AT_THE_START = 400  # single gradients for a comparison of the noise
STEPS_ON_THE_WAY = 16  # products for the largest eigenvalue elsewhere


class _Counted:
    """A product that counts how often it is taken."""

    def __init__(self, product: Product) -> None:
        self._product, self.count = product, 0

    def __call__(self, v: Floats) -> Floats:
        self.count += 1
        return self._product(v)


def measure(
    objective: Any,
    x: ArrayLike,
    *,
    leading: int = 10,
    trailing: int = 3,
    probes: int = 6,
    steps: int = 48,
    gradients: int = 2000,
    start: ArrayLike | None = None,
    exact: bool | None = None,
    rng: Any = 0,
) -> Measurement:
    r"""Measure curvature and gradient noise of an objective at a point: what a plan needs of it.

    Near a minimum an asynchronous run sees the eigenvalues of the Hessian, the noise of its
    gradients along the eigenvectors and the distance of its start; the point should be near the
    minimum that training ends in. Elsewhere the numbers are those of that place, and `warnings`
    says so.

    Parameters
    ----------
    objective : objective
        Any of `sdde.cluster`: `Quadratic`, `DenseQuadratic`, `Logistic`, `Softmax`, `Network`,
        `MatrixFactorisation`, or an `Objective` of functions or of a PyTorch module.
    x : array (dim,)
        Where to measure.
    leading, trailing : int
        Number of eigenvalues wanted at the upper and the lower end.
    probes : int
        Random vectors for the density of the spectrum, and draws of the noise, at least 2.
    steps : int
        Products with the Hessian for each of them.
    gradients : int
        Gradients of single samples at most. With no more samples than this all are used, and the
        noise has no error.
    start : array (dim,), optional
        Where training will start; the objective's own start if not given.
    exact : bool, optional
        Whether to compute all eigenvectors, by one product for each parameter; by default up to 500
        parameters.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Draws vectors and samples.

    Returns
    -------
    Measurement
        Eigenvalues, noise, critical batch, errors, warnings; `Measurement.quadratic` is for the
        theory, `Measurement.resample` for its uncertainty.

    Raises
    ------
    sdde.ArgumentError
        If `x` has the wrong length, gradients there are not finite, or a number is out of range.

    See Also
    --------
    sdde.cluster.Softmax.quadratic : the same at the exact optimum.

    Notes
    -----
    Leading and trailing eigenvalues are ARPACK's. The rest of the spectrum is described by
    stochastic Lanczos quadrature [1]_: Gauss rules for random vectors outside the eigenvectors
    found. The same rules, begun from draws of the gradient noise and from the distance of the
    start, tell how noise and distance lie over the spectrum. Products with the Hessian are by
    formula for the packaged objectives and PyTorch modules, otherwise from central differences of
    the gradient over all data. Where the data are shared out among workers, the noise is that of
    a worker that sees all of them.

    References
    ----------
    .. [1] T. Chen, T. Trogdon, S. Ubaru, "Analysis of stochastic Lanczos quadrature for spectrum
           approximation", arXiv:2105.06595.

    Examples
    --------
    >>> from sdde.cluster import Logistic, measure
    >>> line = Logistic([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], [0, 0, 1], regularisation=1.0)
    >>> found = measure(line, line.optimum()[0])
    >>> found.leading.round(4).tolist(), found.quadratic().eigenvalues.round(4).tolist()
    ([1.5949, 1.0694], [1.5949, 1.0694])
    >>> float(round(found.noise_trace, 4)), float(round(found.initial_loss, 4))
    (0.0344, 0.0257)
    """
    check_objective(objective)
    dim = objective.dim
    point = np.array(checks.vector("x", x))
    if point.size != dim:
        raise checks.fail("x", x, f"has {point.size} values for {dim} parameters")
    begin = objective.start if start is None else starting_point(start, dim)  # pyright: ignore
    checks.integer("leading", leading, lowest=1)
    checks.integer("trailing", trailing, lowest=0)
    checks.integer("probes", probes, lowest=2)
    checks.integer("steps", steps, lowest=2)
    checks.integer("gradients", gradients, lowest=2)
    complete = dim <= EXACT if exact is None else checks.flag("exact", exact)
    complete = complete or leading + trailing + 2 > dim
    generator = np.random.default_rng(seed_of(rng))
    functions = derivatives(objective)
    slope = functions.gradient(point)
    if not np.isfinite(slope).all():
        raise checks.fail("x", x, "has a gradient that is not finite")
    plain = functions.product(point)
    inexact = product_error(plain, dim, generator)
    product = _Counted(plain)
    if complete:
        values, vectors, errors = _all(product, dim)
        top, bottom = min(leading, dim), min(trailing, dim)
    else:
        values, vectors, errors, top = _ends(product, dim, leading, trailing, generator)
        bottom = values.size - top
    noise = gradient_noise(
        objective, point, slope, vectors, gradients=gradients, draws=0 if complete else probes,
        rng=generator,
    )  # fmt: skip
    drawn = [] if complete else [
        _density(product, vectors, steps, generator) for _ in range(probes)
    ]  # fmt: skip
    density = tuple(rule for rule, _ in drawn)
    rules = () if complete else tuple(
        Rule(*quadrature(product, draw, steps, vectors)[:2]) for draw in noise.draws
    )  # fmt: skip
    rules = _scaled(rules, max(noise.trace - float(noise.along.sum()), 0.0))
    away = begin - point
    bend = product(away)
    still = float(np.linalg.norm(slope)) <= STILL * float(np.linalg.norm(bend + slope))
    start_known, start_rule = _start(product, values, vectors, away, bend + slope, still, steps)
    parts = Modes(
        values, errors, noise.along, noise.along_error, start_known, density, rules, start_rule
    )
    trace, trace_error = _mean(
        [float(values.sum() + rule.nodes @ rule.weights) for rule in density], float(values.sum())
    )
    low, low_errors = values[::-1][:bottom], errors[::-1][:bottom]
    if trailing and not bottom:  # crowded: the lowest node is as much as is known
        rule, error = min(drawn, key=lambda item: item[0].nodes[0])
        low, low_errors = rule.nodes[:1], np.array([error])
    batch = samples_in_a_gradient(objective)
    square = float(slope @ slope)
    if square <= ROUNDING * float(bend @ bend):
        square = 0.0
    size = batch / square if square > 0.0 else math.inf
    drop = float(objective.loss(begin) - objective.loss(point))
    predicted = float(slope @ away + 0.5 * away @ bend)
    ends = values[np.argsort(values)]
    steepest = float(ends[-1])
    if away.any():
        found = [functions.product(point + share * away) for share in (0.5, 1.0)]
        steepest = max([steepest, *(_steepest(one, generator, dim) for one in found)])
    return Measurement(
        dim, values[:top], errors[:top], low, low_errors, steepest,
        trace, trace_error, math.sqrt(square), noise.trace, noise.trace_error,
        noise.along[:top], noise.along_error[:top],
        size * noise.trace if noise.trace > 0.0 else 0.0,
        size * noise.trace_error if noise.trace_error > 0.0 else 0.0,
        drop, predicted, inexact, product.count,
        _warnings(
            objective, functions, point, begin, parts, ends, noise, slope, bend, still, inexact,
            (drop, predicted), steepest, min(gradients, AT_THE_START), generator,
        ), parts,
    )  # fmt: skip


def _all(product: Product, dim: int) -> tuple[Floats, Floats, Floats]:
    """Return all eigenvalues, descending, their vectors, and a bound of their errors."""
    matrix = np.array([product(unit) for unit in np.eye(dim)])
    skew = float(np.linalg.norm(matrix - matrix.T)) / 2.0
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return values[::-1], vectors[:, ::-1], np.full(dim, skew)


def _ends(
    product: Product, dim: int, leading: int, trailing: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, int]:
    """Return eigenvalues of both ends, descending, their vectors, residuals, how many lead."""
    values, vectors = extreme(product, dim, leading, rng, largest=None)
    top = values.size
    if not top:
        raise checks.fail(
            "leading", leading, "eigenvalues could not be found",
            why="ARPACK did not converge.", remedy="exact = True.",
        )  # fmt: skip
    if trailing:
        low, beside = extreme(product, dim, trailing, rng, largest=max(float(values[0]), 0.0))
        values = np.concatenate([values, low[::-1]])
        vectors = np.linalg.qr(np.hstack([vectors, beside[:, ::-1]]))[0]
    residuals = [
        float(np.linalg.norm(product(v) - value * v))
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return values, vectors, np.array(residuals), top


def _density(
    product: Product, known: Floats, steps: int, rng: np.random.Generator
) -> tuple[Rule, float]:
    """Return the rule of one random vector, with weights that sum to the number of eigenvalues, and
    a bound of the error of its lowest node.
    """
    dim, found = known.shape
    nodes, weights, residuals = quadrature(product, rng.normal(size=dim), steps, known)
    return Rule(nodes, weights * (dim - found) / weights.sum()), float(residuals[0])


def _scaled(rules: tuple[Rule, ...], total: float) -> tuple[Rule, ...]:
    """Return rules whose mean weight is as measured."""
    found = sum(float(rule.weights.sum()) for rule in rules)
    scale = total * len(rules) / found if found > 0.0 else 0.0
    return tuple(Rule(rule.nodes, scale * rule.weights) for rule in rules)


def _start(
    product: Product, values: Floats, vectors: Floats, away: Floats, slope: Floats, still: bool,
    steps: int,
) -> tuple[Floats, Rule]:  # fmt: skip
    """Return squared distances of the start from the minimum, along vectors and over the rest.

    `slope` is the gradient of the quadratic at the start. Where the point is no minimum, the one of
    the quadratic counts, which lies by `slope` over the eigenvalue away.
    """
    if still:
        return (away @ vectors) ** 2, Rule(*quadrature(product, away, steps, vectors)[:2])
    curved = np.abs(values) > FLAT * np.abs(values).max()
    known = np.where(curved, slope @ vectors / np.where(curved, values, 1.0), 0.0) ** 2
    nodes, weights, _ = quadrature(product, slope, steps, vectors)
    kept = nodes > FLAT * np.abs(values).max()
    return known, Rule(nodes[kept], weights[kept] / nodes[kept] ** 2)


def _steepest(product: Product, rng: np.random.Generator, dim: int) -> float:
    """Return the largest eigenvalue at some point, for which a single Krylov space is enough."""
    return float(quadrature(product, rng.normal(size=dim), STEPS_ON_THE_WAY)[0].max())


def _share_below(parts: Modes) -> float:
    """Return the share of the gradient noise along directions of negative curvature."""
    total = float(parts.noise.sum())
    below = float(parts.noise[parts.eigenvalues < 0.0].sum())
    for rule in parts.noise_rules:
        total += float(rule.weights.sum()) / len(parts.noise_rules)
        below += float(rule.weights[rule.nodes < 0.0].sum()) / len(parts.noise_rules)
    return below / total if total > 0.0 else 0.0


def _warnings(
    objective: Any, functions: Derivatives, x: Floats, begin: Floats, parts: Modes, ends: Floats,
    noise: Noise, slope: Floats, bend: Floats, still: bool, inexact: float,
    losses: tuple[float, float], steepest: float, gradients: int, rng: np.random.Generator,
) -> tuple[str, ...]:  # fmt: skip
    """Say where the quadratic will mislead, as far as it can be seen from here."""
    found = []
    lowest = min([float(ends[0]), *(float(rule.nodes.min()) for rule in parts.density)])
    largest = float(ends[-1])
    if lowest < -max(1e-6, inexact) * abs(largest):
        found.append(
            f"There is negative curvature: the smallest eigenvalue is {lowest:.3g}, "
            f"{-lowest / abs(largest):.2g} times the largest. The quadratic leaves out such "
            f"directions, which hold {_share_below(parts):.0%} of the gradient noise."
        )
    if not still:
        share = float(np.linalg.norm(slope) / max(float(np.linalg.norm(bend + slope)), 1e-300))
        found.append(
            f"The point is no minimum: the gradient is {share:.2g} times curvature times distance "
            "from the start. Losses count from the minimum of the quadratic, which lies elsewhere."
        )
    if inexact > INEXACT:
        found.append(
            f"Products with the Hessian are off by {inexact:.1g}: the loss is not smooth here, "
            "or its gradient is not exact."
        )
    if getattr(getattr(objective, "samples", None), "workers", None) is not None:
        found.append(
            "The data are shared out: gradients of different workers differ in mean, which the "
            "quadratic does not know."
        )
    away = begin - x
    if not away.any():
        return tuple(found)
    drop, predicted = losses
    if abs(predicted - drop) > DIFFERENT * abs(drop):
        found.append(
            f"From here to the start the loss rises by {drop:.3g}, by the quadratic it would be "
            f"{predicted:.3g}: times to reach a target from that start are off accordingly."
        )
    first = functions.gradient(begin)
    wrong = float(np.linalg.norm(first - slope - bend) / max(float(np.linalg.norm(bend)), 1e-300))
    if wrong > DIFFERENT:
        found.append(
            f"The Hessian changes on the way: the gradient at the start is {wrong:.0%} away from "
            "what curvature here says."
        )
    if steepest > (1.0 + DIFFERENT) * largest:
        found.append(
            f"Curvature is larger on the way: {steepest:.3g}, here {largest:.3g}. Learning rates "
            "that are stable here may diverge there."
        )
    there = gradient_noise(
        objective, begin, first, np.empty((x.size, 0)), gradients=gradients, draws=0, rng=rng
    ).trace
    if not (1.0 + DIFFERENT) ** -1 <= (there + 1e-300) / (noise.trace + 1e-300) <= 1.0 + DIFFERENT:
        found.append(
            f"Gradient noise changes on the way: its trace is {there:.3g} at the start, "
            f"{noise.trace:.3g} here."
        )
    return tuple(found)
