"""Softmax regression with an L2 penalty: a convex objective on real data whose optimum is known
exactly.

The penalty makes the loss strictly convex, so the optimum, its curvature and the noise of a
mini-batch gradient there are well defined: the numbers from which theory predicts a run.
Everything here is plain NumPy; the event loop has its own compiled gradient. Nothing here knows
about workers or time.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.classifier import Classifier
from sdde.cluster.convex import local_quadratic, newton
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.samples import digits, samples_of, starting_point

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Softmax(Classifier):
    r"""Multinomial logistic regression with an L2 penalty on all parameters.

    With inputs :math:`a_s`, labels :math:`y_s` and parameters :math:`x`, a matrix of features by
    classes,

    .. math:: f(x) = \frac1N \sum_s \Bigl(\log \sum_c e^{a_s^\top x_c} - a_s^\top x_{y_s}\Bigr)
              + \frac\rho2 \lVert x\rVert^2 .

    A stochastic gradient averages `batch` samples drawn with replacement.

    Parameters
    ----------
    inputs : array (samples, features)
        Data; add a column of ones for a bias.
    labels : array of int (samples,)
        Class of each sample, from 0.
    regularisation : float
        Penalty :math:`\rho` > 0.
    batch : int
        Samples in one stochastic gradient.
    classes : int, optional
        Number of classes; the largest label plus one if not given.
    start : float or array (features * classes,)
        Parameters before the first update.
    test : tuple (inputs, labels), optional
        Rows for the test loss and the test error, with the same features.

    Attributes
    ----------
    samples : Samples
        The data; also as `inputs`, `labels` and `classes`.
    regularisation, batch, start
        The arguments.

    Raises
    ------
    sdde.ArgumentError
        If shapes disagree, values are not finite, or a number is out of its range.

    Notes
    -----
    Parameters are flattened row by row: entry ``feature * classes + label``.

    Examples
    --------
    >>> line = Softmax([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], [0, 0, 1], regularisation=0.1)
    >>> line.dim
    4
    >>> round(line.loss(np.zeros(4)), 6)  # log(2): no class is preferred
    0.693147
    >>> line.accuracy(line.optimum()[0])
    1.0
    """

    regularisation: float
    batch: int
    start: Floats

    def __init__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        *,
        regularisation: float = 1e-3,
        batch: int = 16,
        classes: int | None = None,
        start: float | ArrayLike = 0.0,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        data = samples_of(inputs, labels, classes, test)
        first = starting_point(start, data.inputs.shape[1] * data.classes)
        for name, value in (
            ("samples", data),
            ("regularisation", checks.positive("regularisation", regularisation, example=1e-3)),
            ("batch", checks.integer("batch", batch, lowest=1, highest=2**32)),
            ("start", first),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        samples, features = self.inputs.shape
        return (
            f"Softmax({samples} samples, {features} features, {self.classes} classes, "
            f"regularisation={self.regularisation:g}, batch={self.batch})"
        )

    @staticmethod
    def digits(
        *, regularisation: float = 1e-3, batch: int = 16, test: float = 0.0, rng: Any = 0
    ) -> "Softmax":
        """Return the regression on scikit-learn's packaged handwritten digits.

        1797 images of 8 by 8 pixels scaled to [0, 1], and a column of ones: 65 features, 10
        classes, 650 parameters, all zero at the start.

        Parameters
        ----------
        regularisation : float
            Penalty > 0.
        batch : int
            Samples in one stochastic gradient.
        test : float
            Share of the images kept for testing, in [0, 1).
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Chooses them.

        Returns
        -------
        Softmax

        Raises
        ------
        sdde.ArgumentError
            If scikit-learn is not installed, or a number is out of its range.
        """
        inputs, labels, kept = digits(test, rng, ones=True)
        return Softmax(
            inputs, labels, regularisation=regularisation, batch=batch, classes=10, test=kept
        )

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.inputs.shape[1] * self.classes

    def _weights(self, x: ArrayLike) -> Floats:
        flat = checks.vector("x", x)
        if flat.size != self.dim:
            raise checks.fail("x", x, f"has {flat.size} values for {self.dim} parameters")
        return flat.reshape(self.inputs.shape[1], self.classes)

    def _probabilities(self, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """Return class probabilities and the logarithms of their normalisers."""
        logits = inputs @ weights
        top = logits.max(axis=1, keepdims=True)
        shares = np.exp(logits - top)
        mass = shares.sum(axis=1, keepdims=True)
        return shares / mass, logits - top - np.log(mass)

    def _logarithms(self, x: ArrayLike, inputs: Floats) -> Floats:
        return self._probabilities(self._weights(x), inputs)[1]

    def loss(self, x: ArrayLike) -> float:
        """Return the loss over all data, penalty included (not the excess above the minimum)."""
        fit = self._cross_entropy(x, self.inputs, self.labels)
        return float(fit + 0.5 * self.regularisation * np.sum(np.square(x)))

    def gradient(self, x: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the gradient averaged over the samples `rows` (all if not given), penalty
        included.
        """
        weights = self._weights(x)
        chosen = np.arange(len(self.inputs)) if rows is None else np.asarray(rows, dtype=int)
        inputs = self.inputs[chosen]
        residual, _ = self._probabilities(weights, inputs)
        residual[np.arange(len(chosen)), self.labels[chosen]] -= 1.0
        return (inputs.T @ residual / len(chosen) + self.regularisation * weights).ravel()

    def hessian(self, x: ArrayLike) -> Floats:
        """Return the exact matrix of second derivatives of the loss over all data, (dim, dim)."""
        shares, _ = self._probabilities(self._weights(x), self.inputs)
        samples, features = self.inputs.shape
        result = np.empty((features, self.classes, features, self.classes))
        for a in range(self.classes):
            for b in range(a, self.classes):
                weight = shares[:, a] * ((a == b) - shares[:, b]) / samples
                block = (self.inputs * weight[:, None]).T @ self.inputs
                result[:, a, :, b] = result[:, b, :, a] = (block + block.T) / 2.0
        matrix = result.reshape(self.dim, self.dim)
        matrix[np.diag_indices(self.dim)] += self.regularisation
        return matrix

    def optimum(self) -> tuple[Floats, float]:
        """Return the parameters with the least loss, and that loss."""
        return self._optimum

    @cached_property
    def _optimum(self) -> tuple[Floats, float]:
        return newton(self)

    def gradient_noise(self, x: ArrayLike) -> Floats:
        """Return the covariance of one mini-batch gradient at `x`, (dim, dim)."""
        weights = self._weights(x)
        residual, _ = self._probabilities(weights, self.inputs)
        residual[np.arange(len(residual)), self.labels] -= 1.0
        each = (self.inputs[:, :, None] * residual[:, None, :]).reshape(len(residual), -1)
        centred = each - each.mean(axis=0)
        return centred.T @ centred / (len(each) * self.batch)

    def quadratic(self, at: ArrayLike | None = None) -> Quadratic:
        """Return the quadratic that this loss is near its optimum, in the eigenvectors of its
        curvature.

        Parameters
        ----------
        at : array (dim,), optional
            Where curvature and gradient noise are measured; the optimum if not given.

        Returns
        -------
        Quadratic
            Eigenvalues of the Hessian in ascending order, the standard deviation of the mini-batch
            gradient along each eigenvector, and the start relative to the optimum.
        """
        return local_quadratic(self, at)
