"""What all classifiers share: their rows, sharing them out, and how well they guess the classes.

Plain NumPy, as the classifiers are. Nothing here knows about workers' speed or time.
"""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde.cluster.samples import Samples

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Classifier(ABC):
    """Rows with classes, and probabilities of the classes that depend on parameters."""

    samples: Samples

    @property
    def inputs(self) -> Floats:
        """Rows for training, (samples, features)."""
        return self.samples.inputs

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row."""
        return self.samples.labels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.samples.classes

    def split(self, workers: int, *, alpha: float | None = None, rng: Any = 0) -> Self:
        """Return the same objective with the rows shared out among workers.

        Each worker then draws its mini-batches from its own rows, of which all have equally many
        (to one). The loss stays that over all rows.

        Parameters
        ----------
        workers : int
            Number of workers, at most as many as rows.
        alpha : float, optional
            None deals the rows at random. A number > 0 lets the data differ: the classes of each
            worker are mixed by its own draw from a Dirichlet law with parameter `alpha` for each
            class (times its share of the rows, over the mean share); 100 is nearly even, with 0.1
            most rows of a worker come from two or three classes. Rows are handed out in turns,
            and a class that has run out is replaced by the others.
        rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
            Deals.

        Returns
        -------
        Logistic, Softmax or Network
            As the one it is called on.

        Raises
        ------
        sdde.ArgumentError
            If `workers` or `alpha` is out of range.

        Examples
        --------
        >>> from sdde.cluster import Softmax
        >>> rows, labels = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
        >>> pair = Softmax(rows, labels).split(2, alpha=1e-3, rng=2)
        >>> [pair.labels[pair.samples.rows_of(w)].tolist() for w in range(2)]
        [[1, 1], [0, 0]]
        """
        result = copy.copy(self)
        object.__setattr__(result, "samples", self.samples.shared_out(workers, alpha, rng))
        return result

    def accuracy(self, x: ArrayLike) -> float:
        """Return the share of the training rows whose most probable class is their label."""
        return self._accuracy(x, self.inputs, self.labels)

    def test_loss(self, x: ArrayLike) -> float:
        """Return the mean cross-entropy over the test rows, without penalty."""
        return self._cross_entropy(x, self.samples.test_inputs, self.samples.test_labels)

    def test_accuracy(self, x: ArrayLike) -> float:
        """Return the share of the test rows whose most probable class is their label."""
        return self._accuracy(x, self.samples.test_inputs, self.samples.test_labels)

    @abstractmethod
    def _logarithms(self, x: ArrayLike, inputs: Floats) -> Floats:
        """Return the logarithms of the class probabilities, (rows, classes)."""

    def _cross_entropy(self, x: ArrayLike, inputs: Floats, labels: NDArray[np.int64]) -> float:
        logs = self._logarithms(x, inputs)
        return float(-logs[np.arange(len(logs)), labels].mean())

    def _accuracy(self, x: ArrayLike, inputs: Floats, labels: NDArray[np.int64]) -> float:
        return float(np.mean(np.argmax(self._logarithms(x, inputs), axis=1) == labels))
