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
from sdde.cluster.quadratic import Quadratic

Floats = NDArray[np.float64]

_NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class Softmax:
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

    inputs: Floats
    labels: NDArray[np.int64]
    regularisation: float
    batch: int
    classes: int
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
    ) -> None:
        data = np.ascontiguousarray(checks.array("inputs", inputs, ndim=2))
        if data.size == 0:
            raise checks.fail("inputs", inputs, "is empty")
        known = _labels(labels, len(data), classes)
        count = int(known.max()) + 1 if classes is None else int(classes)
        if count < 2:
            raise checks.fail("classes", count, "is below 2", remedy="For example classes = 2.")
        first = np.zeros(data.shape[1] * count)
        if np.ndim(start) == 0:
            first += checks.number("start", start, example=0.0)
        else:
            first = checks.vector("start", start)
            if first.size != data.shape[1] * count:
                raise checks.fail(
                    "start",
                    start,
                    f"has {first.size} values for {data.shape[1] * count} parameters",
                )
        for array in (data, known, first):
            array.setflags(write=False)
        for name, value in (
            ("inputs", data),
            ("labels", known),
            ("regularisation", checks.positive("regularisation", regularisation, example=1e-3)),
            ("batch", checks.integer("batch", batch, lowest=1)),
            ("classes", count),
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
    def digits(*, regularisation: float = 1e-3, batch: int = 16) -> "Softmax":
        """Return the regression on scikit-learn's packaged handwritten digits.

        1797 images of 8 by 8 pixels scaled to [0, 1], and a column of ones: 65 features, 10
        classes, 650 parameters, all zero at the start.

        Parameters
        ----------
        regularisation : float
            Penalty > 0.
        batch : int
            Samples in one stochastic gradient.

        Returns
        -------
        Softmax

        Raises
        ------
        sdde.ArgumentError
            If scikit-learn is not installed, or a number is out of its range.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise checks.fail(
                "digits", "scikit-learn", "is not installed", remedy="pip install 'sdde[ml]'"
            ) from None
        images: Any = load_digits()
        pixels = np.hstack([images.data / 16.0, np.ones((len(images.data), 1))])
        return Softmax(pixels, images.target, regularisation=regularisation, batch=batch)

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

    def loss(self, x: ArrayLike) -> float:
        """Return the loss over all data, penalty included (not the excess above the minimum)."""
        weights = self._weights(x)
        _, logs = self._probabilities(weights, self.inputs)
        fit = -logs[np.arange(len(logs)), self.labels].mean()
        return float(fit + 0.5 * self.regularisation * np.sum(weights**2))

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
        # Damped Newton; the loss is strictly convex, so this cannot end elsewhere.
        x = np.zeros(self.dim)
        value = self.loss(x)
        for _ in range(_NEWTON_STEPS):
            slope = self.gradient(x)
            direction = np.linalg.solve(self.hessian(x), slope)
            decrement = float(slope @ direction)
            if decrement < 1e-26:
                break
            share = 1.0
            while (trial := self.loss(x - share * direction)) > value - 0.25 * share * decrement:
                share /= 2.0
                if share < 1e-8:  # the loss is flat to rounding: take the last full step
                    share, trial = 1.0, self.loss(x - direction)
                    break
            x, value = x - share * direction, trial
        x.setflags(write=False)
        return x, value

    def gradient_noise(self, x: ArrayLike) -> Floats:
        """Return the covariance of one mini-batch gradient at `x`, (dim, dim)."""
        weights = self._weights(x)
        residual, _ = self._probabilities(weights, self.inputs)
        residual[np.arange(len(residual)), self.labels] -= 1.0
        each = (self.inputs[:, :, None] * residual[:, None, :]).reshape(len(residual), -1)
        centred = each - each.mean(axis=0)
        return centred.T @ centred / (len(each) * self.batch)

    def accuracy(self, x: ArrayLike) -> float:
        """Return the share of all samples whose most probable class is their label."""
        guess = np.argmax(self.inputs @ self._weights(x), axis=1)
        return float(np.mean(guess == self.labels))

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
        best, _ = self.optimum()
        point = best if at is None else self._weights(at).ravel()
        eigenvalues, vectors = np.linalg.eigh(self.hessian(point))
        variances = np.einsum("ij,ij->j", vectors, self.gradient_noise(point) @ vectors)
        return Quadratic(
            eigenvalues,
            noise=np.sqrt(np.maximum(variances, 0.0)),
            start=vectors.T @ (self.start - best),
        )


def _labels(labels: ArrayLike, samples: int, classes: int | None) -> NDArray[np.int64]:
    raw = np.asarray(labels)
    if raw.ndim != 1 or raw.dtype.kind not in "iu":
        raise checks.fail(
            "labels",
            labels,
            "is not a list of whole numbers",
            remedy="For example labels = [0, 1, 1].",
        )
    if len(raw) != samples:
        raise checks.fail("labels", labels, f"has {len(raw)} entries for {samples} rows of inputs")
    if raw.min() < 0:
        raise checks.fail("labels", labels, "holds a negative class", why="Classes count from 0.")
    if classes is not None and raw.max() >= checks.integer("classes", classes, lowest=2):
        raise checks.fail("classes", classes, f"is too few for the label {raw.max()}")
    return raw.astype(np.int64)
