"""A small multilayer perceptron that classifies: a non-convex objective on real data.

Everything here is plain NumPy: the loss, its gradient by backpropagation, accuracy. The event loop
has its own compiled gradient. Nothing here knows about workers or time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.classifier import Classifier
from sdde.cluster.samples import digits, samples_of, starting_point
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]

ACTIVATIONS = ("tanh", "relu")


@dataclass(frozen=True, eq=False)
class Network(Classifier):
    r"""Fully connected network with a softmax at its end, cross-entropy loss and an L2 penalty.

    With inputs :math:`a^{(0)}`, weights :math:`W_l` and biases :math:`b_l`,

    .. math:: a^{(l)} = \varphi(a^{(l-1)} W_l + b_l), \qquad
              f(x) = \frac1N \sum_s -\log \mathrm{softmax}(a^{(L-1)}_s W_L + b_L)_{y_s}
              + \frac\rho2 \lVert x\rVert^2 .

    A stochastic gradient averages `batch` samples drawn with replacement.

    Parameters
    ----------
    inputs : array (samples, features)
        Rows for training.
    labels : array of int (samples,)
        Class of each row, from 0.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : {"tanh", "relu"}
        Function :math:`\varphi` of the hidden layers.
    regularisation : float
        Penalty :math:`\rho` >= 0 on all parameters.
    batch : int
        Samples in one stochastic gradient.
    classes : int, optional
        Number of classes; the largest label plus one if not given.
    start : float or array (dim,), optional
        Parameters before the first update; random weights if not given.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Draws the random weights: uniform with variance ``2 / (in + out)`` for tanh, ``2 / in`` for
        relu; biases are zero.
    test : tuple (inputs, labels), optional
        Rows for the test loss and the test error.

    Attributes
    ----------
    samples : Samples
        The data; also as `inputs`, `labels` and `classes`.
    widths : tuple of int
        Widths of all layers, inputs and classes included.
    activation, regularisation, batch, start
        The arguments.

    Raises
    ------
    sdde.ArgumentError
        If shapes disagree, values are not finite, or a number is out of its range.

    Notes
    -----
    Parameters are flattened layer after layer: the weights row by row (one row for each unit that
    the layer reads), then the biases. The minimum is not known, so losses are recorded as they are.

    Examples
    --------
    >>> net = Network([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0], hidden=(3,))
    >>> net.widths, net.dim
    ((2, 3, 2), 17)
    >>> round(net.loss(np.zeros(17)), 6)  # log(2): no class is preferred
    0.693147
    """

    widths: tuple[int, ...]
    activation: str
    regularisation: float
    batch: int
    start: Floats

    def __init__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        *,
        hidden: Sequence[int] = (32,),
        activation: str = "tanh",
        regularisation: float = 0.0,
        batch: int = 16,
        classes: int | None = None,
        start: float | ArrayLike | None = None,
        rng: Any = 0,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        data = samples_of(inputs, labels, classes, test)
        if isinstance(hidden, str) or not isinstance(hidden, Sequence) or not len(hidden):
            raise checks.fail(
                "hidden", hidden, "is not a list of widths",
                why="Without a hidden layer this is softmax regression.",
                remedy="For example hidden = (32,), or Softmax(...).",
            )  # fmt: skip
        inner = tuple(checks.integer("hidden", width, lowest=1) for width in hidden)
        widths = (data.inputs.shape[1], *inner, data.classes)
        checks.choice("activation", activation, ACTIVATIONS)
        penalty = checks.nonnegative("regularisation", regularisation, example=1e-4)
        size = checks.integer("batch", batch, lowest=1, highest=2**32)
        if start is None:
            first = _random_weights(widths, activation, rng)
        else:
            first = starting_point(start, _dim(widths))
        for name, value in (
            ("samples", data), ("widths", widths), ("activation", activation),
            ("regularisation", penalty), ("batch", size), ("start", first),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        layers = "-".join(map(str, self.widths))
        return (
            f"Network({layers}, {self.activation}, {len(self.inputs)} samples, "
            f"regularisation={self.regularisation:g}, batch={self.batch})"
        )

    @staticmethod
    def digits(
        *,
        hidden: Sequence[int] = (32,),
        activation: str = "tanh",
        regularisation: float = 0.0,
        batch: int = 16,
        test: float = 0.25,
        rng: Any = 0,
    ) -> "Network":
        """Return a network on scikit-learn's packaged handwritten digits.

        1797 images of 8 by 8 pixels scaled to [0, 1], 10 classes.

        Parameters
        ----------
        hidden, activation, regularisation, batch
            As for the class.
        test : float
            Share of the images kept for testing, in [0, 1).
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Chooses the test images and draws the weights.

        Returns
        -------
        Network

        Raises
        ------
        sdde.ArgumentError
            If scikit-learn is not installed, or a number is out of its range.
        """
        seed = seed_of(rng)
        inputs, labels, kept = digits(test, seed, ones=False)
        return Network(
            inputs, labels, hidden=hidden, activation=activation, regularisation=regularisation,
            batch=batch, classes=10, rng=seed, test=kept,
        )  # fmt: skip

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return _dim(self.widths)

    def layers(self, x: ArrayLike) -> list[tuple[Floats, Floats]]:
        """Return weights ``(in, out)`` and biases ``(out,)`` of each layer, as views of `x`."""
        flat = checks.vector("x", x)
        if flat.size != self.dim:
            raise checks.fail("x", x, f"has {flat.size} values for {self.dim} parameters")
        parts, at = [], 0
        for rows, columns in pairwise(self.widths):
            weights = flat[at : at + rows * columns].reshape(rows, columns)
            at += rows * columns
            parts.append((weights, flat[at : at + columns]))
            at += columns
        return parts

    def _forward(self, x: ArrayLike, inputs: Floats) -> tuple[list[Floats], Floats]:
        """Return what each layer reads, and the logarithms of the class probabilities."""
        reads, layers = [inputs], self.layers(x)
        for i, (weights, bias) in enumerate(layers):
            out = reads[-1] @ weights + bias
            if i < len(layers) - 1:
                out = np.tanh(out) if self.activation == "tanh" else np.maximum(out, 0.0)
            reads.append(out)
        logits = reads.pop()
        top = logits.max(axis=1, keepdims=True)
        return reads, logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))

    def _logarithms(self, x: ArrayLike, inputs: Floats) -> Floats:
        return self._forward(x, inputs)[1]

    def loss(self, x: ArrayLike) -> float:
        """Return the loss over all training rows, penalty included."""
        fit = self._cross_entropy(x, self.inputs, self.labels)
        return float(fit + 0.5 * self.regularisation * np.sum(np.square(x)))

    def gradient(self, x: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the gradient averaged over the samples `rows` (all if not given), penalty
        included.
        """
        chosen = np.arange(len(self.inputs)) if rows is None else np.asarray(rows, dtype=int)
        reads, logs = self._forward(x, self.inputs[chosen])
        late = np.exp(logs)
        late[np.arange(len(chosen)), self.labels[chosen]] -= 1.0
        late /= len(chosen)
        parts = []
        for (weights, _), read in zip(reversed(self.layers(x)), reversed(reads), strict=True):
            parts += [late.sum(axis=0), (read.T @ late).ravel()]
            slope = 1.0 - read**2 if self.activation == "tanh" else (read > 0.0).astype(float)
            late = late @ weights.T * slope
        return np.concatenate(parts[::-1]) + self.regularisation * np.asarray(x, dtype=float)


def _dim(widths: tuple[int, ...]) -> int:
    return sum((a + 1) * b for a, b in pairwise(widths))


def _random_weights(widths: tuple[int, ...], activation: str, rng: Any) -> Floats:
    generator = np.random.default_rng(seed_of(rng))
    parts = []
    for rows, columns in pairwise(widths):
        variance = 2.0 / rows if activation == "relu" else 2.0 / (rows + columns)
        edge = np.sqrt(3.0 * variance)
        parts += [generator.uniform(-edge, edge, rows * columns), np.zeros(columns)]
    first = np.concatenate(parts)
    first.setflags(write=False)
    return first
