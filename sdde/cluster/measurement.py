"""What was measured of an objective at one point: curvature, gradient noise, and their errors.

A measurement stands in for the quadratic that the theory and the planner read. Plain values; how
they were measured is in `measuring`.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.quadratic_modes import condensed
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]

FLAT = 1e-7  # eigenvalues below this share of the largest count as zero
STEEPER = 1.01  # times the largest eigenvalue from which curvature on the way counts


class Rule(NamedTuple):
    """Nodes and weights of a spectral measure."""

    nodes: Floats
    weights: Floats


class Modes(NamedTuple):
    """The spectrum in two parts: eigenvectors that were found, and the rest as measures.

    Attributes
    ----------
    eigenvalues, errors : array (k,)
        Eigenvalues whose vectors are known, and bounds of their errors.
    noise, noise_errors, start : array (k,)
        Variance of a stochastic gradient along each vector, its standard error, and the squared
        distance of the start from the minimum along it.
    density : tuple of Rule
        The other eigenvalues, one rule for each random vector; weights sum to their number.
    noise_rules : tuple of Rule
        Variance of the gradient over the other eigenvalues, one rule for each draw.
    start_rule : Rule
        Squared distance of the start over the other eigenvalues.
    """

    eigenvalues: Floats
    errors: Floats
    noise: Floats
    noise_errors: Floats
    start: Floats
    density: tuple[Rule, ...]
    noise_rules: tuple[Rule, ...]
    start_rule: Rule


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """Curvature and gradient noise of an objective at one point, as `measure` found them.

    It is accepted wherever a quadratic is: ``sdde.theory.plan(measurement, system, ...)``.

    Attributes
    ----------
    dim : int
        Number of parameters.
    leading, leading_errors : array
        The largest eigenvalues of the Hessian, descending, and bounds of their numerical errors.
    trailing, trailing_errors : array
        The smallest ones that converged, ascending.
    steepest : float
        The largest eigenvalue here, half way to the start, and at the start.
    hessian_trace, hessian_trace_error : float
        Sum of all eigenvalues, and its standard error.
    gradient_norm : float
        Length of the gradient over all data.
    noise_trace, noise_trace_error : float
        Sum of the variances of the components of one stochastic gradient, and its standard error;
        0 where all samples were used.
    leading_noise, leading_noise_errors : array
        Variance of a stochastic gradient along each leading eigenvector.
    critical_batch, critical_batch_error : float
        Samples at which the noise of a gradient is as long as the gradient itself: trace of the
        covariance of one sample's gradient over the squared length of the gradient, the simple
        noise scale of McCandlish, Kaplan and Amodei (arXiv:1812.06162). Infinite at a minimum.
        Without samples it counts gradients.
    initial_loss : float
        Loss at the start above that at the point measured.
    predicted_loss : float
        What the second-order expansion at the point makes of it.
    product_error : float
        Relative error of products with the Hessian: their asymmetry, and where they are differences
        of gradients, what halving the step changes.
    products : int
        Number of products taken.
    warnings : tuple of str
        Where the quadratic will mislead, as far as it can be seen from here.
    modes : Modes
        The parts that `quadratic` is made of.
    """

    dim: int
    leading: Floats
    leading_errors: Floats
    trailing: Floats
    trailing_errors: Floats
    steepest: float
    hessian_trace: float
    hessian_trace_error: float
    gradient_norm: float
    noise_trace: float
    noise_trace_error: float
    leading_noise: Floats
    leading_noise_errors: Floats
    critical_batch: float
    critical_batch_error: float
    initial_loss: float
    predicted_loss: float
    product_error: float
    products: int
    warnings: tuple[str, ...]
    modes: Modes

    def quadratic(self, modes: int | None = 16, *, whole_way: bool = True) -> Quadratic:
        """Return the quadratic with this spectrum, noise and start.

        Parameters
        ----------
        modes : int or None
            Number of modes at most, as `sdde.theory.condense` makes them, the largest eigenvalue
            being kept as it is; None for all: the eigenvalues whose vectors are known, and the
            nodes of the measures of start and noise over the rest.
        whole_way : bool
            Where curvature is larger on the way from the start, add a mode of that curvature,
            without noise and at its minimum. It adds no loss, and limits learning rates and workers
            to those that are stable all the way.

        Returns
        -------
        Quadratic
            Directions without curvature or of negative curvature are left out; `warnings` says what
            that loses.

        Raises
        ------
        sdde.ArgumentError
            If there is no positive curvature.

        Notes
        -----
        A node of the measure of the noise becomes a mode that starts at its minimum, one of the
        start a mode without noise: expected losses of modes of equal curvature add. The rules are
        those of Gauss, so sums of smooth functions of the eigenvalue over all modes are right long
        before single small eigenvalues are.
        """
        return self._assembled(self.modes, modes, checks.flag("whole_way", whole_way))

    def _assembled(self, parts: Modes, modes: int | None, whole_way: bool) -> Quadratic:
        noise_nodes = [rule.nodes for rule in parts.noise_rules]
        noise_weights = [rule.weights / len(parts.noise_rules) for rule in parts.noise_rules]
        start = parts.start_rule
        eigenvalues = np.concatenate([parts.eigenvalues, start.nodes, *noise_nodes])
        starts = np.concatenate([parts.start, start.weights, *map(np.zeros_like, noise_weights)])
        noises = np.concatenate([parts.noise, np.zeros_like(start.nodes), *noise_weights])
        largest = float(eigenvalues.max())
        kept = eigenvalues > FLAT * largest
        if largest <= 0.0:
            raise checks.fail(
                "leading", float(self.leading[0]), "is not positive",
                why="Without positive curvature the loss has no minimum to converge to.",
                remedy="Measure nearer to a minimum.",
            )  # fmt: skip
        whole = Quadratic(
            eigenvalues[kept], noise=np.sqrt(noises[kept]), start=np.sqrt(starts[kept])
        )
        if whole_way and self.steepest > STEEPER * float(self.leading[0]):
            whole = Quadratic(
                np.append(whole.eigenvalues, self.steepest), noise=np.append(whole.noise, 0.0),
                start=np.append(whole.start, 0.0),
            )  # fmt: skip
        return whole if modes is None else condensed(whole, modes)

    def resample(
        self, rng: Any = None, modes: int | None = 16, *, whole_way: bool = True
    ) -> Quadratic:
        """Return another quadratic that the measurement could have meant, within its errors.

        Parameters
        ----------
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Draws.
        modes, whole_way
            As for `quadratic`.

        Returns
        -------
        Quadratic
            Eigenvalues and noises moved by normal numbers of their errors, the noise over the rest
            of the spectrum taken from draws with replacement. What was measured exactly stays.
        """
        generator = np.random.default_rng(seed_of(rng))
        parts = self.modes
        moved = parts.eigenvalues + parts.errors * generator.normal(size=parts.errors.size)
        noise = parts.noise + parts.noise_errors * generator.normal(size=parts.noise.size)
        noise = np.maximum(noise, 0.0)
        rules = parts.noise_rules
        if rules:
            total = self.noise_trace + self.noise_trace_error * generator.normal()
            rest = max(total - float(noise.sum()), 0.0)
            drawn = [rules[i] for i in generator.integers(len(rules), size=len(rules))]
            found = sum(float(rule.weights.sum()) for rule in drawn) / len(drawn)
            scale = rest / found if found > 0.0 else 0.0
            rules = tuple(Rule(rule.nodes, scale * rule.weights) for rule in drawn)
        return self._assembled(
            parts._replace(eigenvalues=moved, noise=noise, noise_rules=rules), modes,
            checks.flag("whole_way", whole_way),
        )  # fmt: skip

    def eigenvalues_below(self, value: float) -> tuple[float, float]:
        """Return how many eigenvalues lie at or below a value, and the standard error of that.

        Parameters
        ----------
        value : float

        Returns
        -------
        count, error : float
            Expected number; the error is nan with a single random vector.
        """
        place = checks.number("value", value)
        known = float(np.sum(self.modes.eigenvalues <= place))
        return _mean(
            [known + float(r.weights[r.nodes <= place].sum()) for r in self.modes.density], known
        )

    def density(self, values: ArrayLike, width: float | None = None) -> Floats:
        """Return the density of eigenvalues, each smeared into a normal bump.

        Parameters
        ----------
        values : array
            Where.
        width : float, optional
            Standard deviation of a bump; a hundredth of the largest eigenvalue if not given.

        Returns
        -------
        array
            Eigenvalues per unit of curvature; integrates to `dim`.
        """
        at = np.asarray(checks.array("values", values))
        spread = 0.01 * float(np.abs(self.modes.eigenvalues).max()) if width is None else width
        spread = checks.positive("width", spread)
        nodes, counts = self._counted()
        bumps = np.exp(-0.5 * ((at[..., None] - nodes) / spread) ** 2)
        return bumps @ counts / (spread * math.sqrt(2.0 * math.pi))

    def _counted(self) -> tuple[Floats, Floats]:
        """Return nodes and how many eigenvalues each stands for."""
        rules = self.modes.density
        known = self.modes.eigenvalues
        nodes = np.concatenate([known, *(rule.nodes for rule in rules)])
        counts = np.concatenate(
            [np.ones_like(known), *(rule.weights / len(rules) for rule in rules)]
        )
        return nodes, counts

    def explain(self) -> str:
        """Return what was found, with errors and warnings, in words."""
        shown = min(5, self.leading.size)
        lines = [
            f"{self.dim} parameters, {self.products} products with the Hessian "
            f"(relative error {self.product_error:.1g}).",
            "largest eigenvalues   " + _listed(self.leading[:shown], self.leading_errors),
        ]
        if self.trailing.size:
            lines.append(
                "smallest eigenvalues  " + _listed(self.trailing[:3], self.trailing_errors)
            )
        lines += [
            f"trace of the Hessian  {_with_error(self.hessian_trace, self.hessian_trace_error)}",
            f"gradient              length {self.gradient_norm:.3g}",
            f"gradient noise        trace {_with_error(self.noise_trace, self.noise_trace_error)}",
            f"critical batch        {_with_error(self.critical_batch, self.critical_batch_error)}",
            f"loss at the start     {self.initial_loss:.4g} above the loss here, "
            f"{self.predicted_loss:.4g} by the quadratic",
        ]
        return "\n".join(lines + [f"Warning: {text}" for text in self.warnings])

    def plot(self, ax: Any = None) -> Any:
        """Draw the spectrum: how many eigenvalues lie above each size.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(figsize=(6.0, 4.0), layout="constrained")[1]
        nodes, counts = self._counted()
        for sign, label in ((1.0, "positive"), (-1.0, "negative")):
            chosen = sign * nodes > FLAT * np.abs(nodes).max()
            if not chosen.any():
                continue
            order = np.argsort(sign * nodes[chosen])[::-1]
            size, count = (sign * nodes[chosen])[order], np.cumsum(counts[chosen][order])
            ax.step(size, count, where="post", label=label)
        ax.set(
            xscale="log", yscale="log", xlabel="size of eigenvalue",
            ylabel="eigenvalues of at least this size",
        )  # fmt: skip
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        return "Measurement:\n" + "\n".join(f"  {line}" for line in self.explain().splitlines())


def _mean(values: list[float], known: float) -> tuple[float, float]:
    """Return mean and standard error of independent estimates; what is known has none."""
    if not values:
        return known, 0.0
    error = math.nan if len(values) < 2 else float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)), error


def _with_error(value: float, error: float) -> str:
    return f"{value:.4g}" if not error > 0.0 else f"{value:.4g} +- {error:.2g}"


def _listed(values: Floats, errors: Floats) -> str:
    return ", ".join(_with_error(float(v), float(e)) for v, e in zip(values, errors, strict=False))
