"""Logistic regression of two classes with an L2 penalty: strictly convex, its optimum known.

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
from sdde.cluster.samples import held_out, samples_of, starting_point

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Logistic(Classifier):
    r"""Binary logistic regression with an L2 penalty.

    With inputs :math:`a_s` and labels :math:`y_s \in \{0, 1\}`,

    .. math:: f(x) = \frac1N \sum_s \Bigl(\log(1 + e^{a_s^\top x}) - y_s\, a_s^\top x\Bigr)
              + \frac\rho2 \lVert x\rVert^2 .

    A stochastic gradient averages `batch` samples drawn with replacement.

    Parameters
    ----------
    inputs : array (samples, features)
        Rows for training; add a column of ones for a bias.
    labels : array of int (samples,)
        0 or 1 for each row.
    regularisation : float
        Penalty :math:`\rho` > 0.
    batch : int
        Samples in one stochastic gradient.
    start : float or array (features,)
        Parameters before the first update.
    test : tuple (inputs, labels), optional
        Rows for the test loss and the test error.

    Attributes
    ----------
    samples : Samples
        The data; also as `inputs` and `labels`.
    regularisation, batch, start
        The arguments.

    Raises
    ------
    sdde.ArgumentError
        If shapes disagree, values are not finite, or a number is out of its range.

    Examples
    --------
    >>> line = Logistic([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], [0, 0, 1], regularisation=0.1)
    >>> line.dim, round(line.loss([0.0, 0.0]), 6)  # log(2): no class is preferred
    (2, 0.693147)
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
        start: float | ArrayLike = 0.0,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        known = checks.array("labels", labels)
        if known.size and known.max() > 1:
            raise checks.fail(
                "labels", labels, "holds a class above 1", remedy="Softmax takes more classes."
            )
        data = samples_of(inputs, labels, 2, test)
        for name, value in (
            ("samples", data),
            ("regularisation", checks.positive("regularisation", regularisation, example=1e-3)),
            ("batch", checks.integer("batch", batch, lowest=1, highest=2**32)),
            ("start", starting_point(start, data.inputs.shape[1])),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        samples, features = self.inputs.shape
        return (
            f"Logistic({samples} samples, {features} features, "
            f"regularisation={self.regularisation:g}, batch={self.batch})"
        )

    @staticmethod
    def breast_cancer(
        *, regularisation: float = 1e-3, batch: int = 16, test: float = 0.0, rng: Any = 0
    ) -> "Logistic":
        """Return the regression on scikit-learn's packaged breast cancer data.

        569 tumours with 30 measurements, each scaled to mean 0 and variance 1 over all rows, and a
        column of ones: 31 parameters, all zero at the start. Label 1 means benign.

        Parameters
        ----------
        regularisation : float
            Penalty > 0.
        batch : int
            Samples in one stochastic gradient.
        test : float
            Share of the rows kept for testing, in [0, 1).
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Chooses them.

        Returns
        -------
        Logistic

        Raises
        ------
        sdde.ArgumentError
            If scikit-learn is not installed, or a number is out of its range.
        """
        try:
            from sklearn.datasets import load_breast_cancer
        except ImportError:
            raise checks.fail(
                "breast_cancer", "scikit-learn", "is not installed", remedy="pip install 'sdde[ml]'"
            ) from None
        table: Any = load_breast_cancer()
        scaled = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0)
        inputs, labels, kept = held_out(
            np.hstack([scaled, np.ones((len(scaled), 1))]), table.target, test, rng
        )
        return Logistic(inputs, labels, regularisation=regularisation, batch=batch, test=kept)

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.inputs.shape[1]

    def _logits(self, x: ArrayLike, inputs: Floats) -> Floats:
        flat = checks.vector("x", x)
        if flat.size != self.dim:
            raise checks.fail("x", x, f"has {flat.size} values for {self.dim} parameters")
        return inputs @ flat

    def _logarithms(self, x: ArrayLike, inputs: Floats) -> Floats:
        logits = self._logits(x, inputs)
        return -np.logaddexp(0.0, np.stack([logits, -logits], axis=1))

    def loss(self, x: ArrayLike) -> float:
        """Return the loss over all training rows, penalty included (not the excess above the
        minimum).
        """
        fit = self._cross_entropy(x, self.inputs, self.labels)
        return float(fit + 0.5 * self.regularisation * np.sum(np.square(x)))

    def gradient(self, x: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the gradient averaged over the samples `rows` (all if not given), penalty
        included.
        """
        chosen = slice(None) if rows is None else np.asarray(rows, dtype=int)
        inputs = self.inputs[chosen]
        residual = _sigmoid(self._logits(x, inputs)) - self.labels[chosen]
        return inputs.T @ residual / len(inputs) + self.regularisation * np.asarray(x, dtype=float)

    def hessian(self, x: ArrayLike) -> Floats:
        """Return the exact matrix of second derivatives of the loss over all data, (dim, dim)."""
        share = _sigmoid(self._logits(x, self.inputs))
        weighted = self.inputs * (share * (1.0 - share) / len(share))[:, None]
        return weighted.T @ self.inputs + self.regularisation * np.eye(self.dim)

    def optimum(self) -> tuple[Floats, float]:
        """Return the parameters with the least loss, and that loss."""
        return self._optimum

    @cached_property
    def _optimum(self) -> tuple[Floats, float]:
        return newton(self)

    def gradient_noise(self, x: ArrayLike) -> Floats:
        """Return the covariance of one mini-batch gradient at `x`, (dim, dim)."""
        residual = _sigmoid(self._logits(x, self.inputs)) - self.labels
        each = self.inputs * residual[:, None]
        centred = each - each.mean(axis=0)
        return centred.T @ centred / (len(each) * self.batch)

    def quadratic(self, at: ArrayLike | None = None) -> Quadratic:
        """Return the quadratic that this loss is near its optimum; see `Softmax.quadratic`.

        Parameters
        ----------
        at : array (dim,), optional
            Where curvature and gradient noise are measured; the optimum if not given.

        Returns
        -------
        Quadratic
        """
        return local_quadratic(self, at)


def _sigmoid(logits: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
