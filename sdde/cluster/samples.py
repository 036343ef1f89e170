"""Labelled samples: training rows, test rows, and which worker holds which.

Softmax regression, logistic regression and networks are all trained on these. A worker draws its
mini-batches from the rows that it holds, or from all rows if they have not been shared out. Nothing
here knows about parameters or losses.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.engine.seeds import seed_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and their classes.

    Attributes
    ----------
    inputs : array (samples, features)
        Rows for training.
    labels : array of int (samples,)
        Class of each row, from 0.
    classes : int
        Number of classes.
    test_inputs, test_labels : arrays
        Rows kept for testing; empty if there are none.
    owners : array of int (samples,) or None
        The worker that holds each row; None if every worker sees all rows.
    """

    inputs: Floats
    labels: Integers
    classes: int
    test_inputs: Floats
    test_labels: Integers
    owners: Integers | None = None

    @property
    def workers(self) -> int | None:
        """Number of workers among whom the rows are shared out, None if they are not."""
        return None if self.owners is None else int(self.owners.max()) + 1

    def shared_out(self, workers: int, alpha: float | None, rng: Any) -> "Samples":
        """Return the same rows, shared out among workers: see `Softmax.split`."""
        count = checks.integer("workers", workers, lowest=1, highest=len(self.inputs))
        generator = np.random.default_rng(seed_of(rng))
        if alpha is None:
            owners = generator.permutation(np.arange(len(self.inputs)) % count)
        else:
            spread = checks.positive("alpha", alpha, example=0.5)
            owners = _dirichlet(self.labels, self.classes, count, spread, generator)
        owners.setflags(write=False)
        result = copy.copy(self)
        object.__setattr__(result, "owners", owners)
        return result

    def rows_of(self, worker: int) -> Integers:
        """Return the rows that a worker draws from."""
        if self.owners is None:
            return np.arange(len(self.inputs))
        return np.flatnonzero(self.owners == worker)

    def label_shares(self) -> Floats:
        """Return the share of each class among the rows of each worker, (workers, classes)."""
        owners = np.zeros(len(self.labels), np.int64) if self.owners is None else self.owners
        counts = np.zeros((int(owners.max()) + 1, self.classes))
        np.add.at(counts, (owners, self.labels), 1.0)
        return counts / counts.sum(axis=1, keepdims=True)


def samples_of(
    inputs: ArrayLike,
    labels: ArrayLike,
    classes: int | None,
    test: tuple[ArrayLike, ArrayLike] | None,
) -> Samples:
    """Check data given by a user.

    Parameters
    ----------
    inputs, labels : array
        Rows for training and their classes.
    classes : int or None
        Number of classes; None means the largest label plus one.
    test : tuple (inputs, labels) or None
        Rows for testing.

    Returns
    -------
    Samples

    Raises
    ------
    sdde.ArgumentError
        If shapes disagree, values are not finite, or a label is out of range.
    """
    data = np.ascontiguousarray(checks.array("inputs", inputs, ndim=2))
    if data.size == 0:
        raise checks.fail("inputs", inputs, "is empty")
    if classes is not None:
        checks.integer("classes", classes, lowest=1, highest=2**24)
    known = _labels("labels", labels, len(data), classes)
    count = int(known.max()) + 1 if classes is None else int(classes)
    if count < 2:
        raise checks.fail("classes", count, "is below 2", remedy="For example classes = 2.")
    if test is None:
        other, marks = np.empty((0, data.shape[1])), np.empty(0, np.int64)
    else:
        if not isinstance(test, tuple) or len(test) != 2:
            raise checks.fail(
                "test", test, "is not a pair", remedy="For example test = (inputs, labels)."
            )
        other = np.ascontiguousarray(checks.array("test", test[0], ndim=2))
        if not other.size or other.shape[1] != data.shape[1]:
            raise checks.fail(
                "test", test[0], f"has shape {other.shape}, expected (rows, {data.shape[1]})"
            )
        marks = _labels("test", test[1], len(other), count)
    for array in (data, known, other, marks):
        array.setflags(write=False)
    return Samples(data, known, count, other, marks)


def digits(test: float, rng: Any, *, ones: bool) -> tuple[Floats, Integers, Any]:
    """Return scikit-learn's packaged digits, scaled to [0, 1], with a share kept for testing.

    Parameters
    ----------
    test : float
        Share of the 1797 images kept for testing, in [0, 1).
    rng : None, int, SeedSequence or Generator
        Chooses them.
    ones : bool
        Add a column of ones.

    Returns
    -------
    inputs, labels, test
        `test` is a pair or None.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise checks.fail(
            "digits", "scikit-learn", "is not installed", remedy="pip install 'sdde[ml]'"
        ) from None

    images: Any = load_digits()
    pixels = images.data / 16.0
    if ones:
        pixels = np.hstack([pixels, np.ones((len(pixels), 1))])
    return held_out(pixels, images.target, test, rng)


def held_out(
    inputs: Floats, labels: Integers, test: float, rng: Any
) -> tuple[Floats, Integers, tuple[Floats, Integers] | None]:
    """Return data with a random share of the rows kept for testing.

    Parameters
    ----------
    inputs, labels : array
        All rows.
    test : float
        Share of the rows kept for testing, in [0, 1).
    rng : None, int, SeedSequence or Generator
        Chooses them.

    Returns
    -------
    inputs, labels, test
        `test` is a pair, or None if no row is kept.
    """
    share = checks.nonnegative("test", test, example=0.25)
    if share >= 1.0:
        raise checks.fail("test", test, "is not below 1", remedy="For example test = 0.25.")
    kept = round(share * len(inputs))
    if not kept:
        return inputs, labels, None
    order = np.random.default_rng(seed_of(rng)).permutation(len(inputs))
    held, rest = np.sort(order[:kept]), np.sort(order[kept:])
    return inputs[rest], labels[rest], (inputs[held], labels[held])


def starting_point(start: float | ArrayLike, dim: int) -> Floats:
    """Return `start` as an array ``(dim,)``; a number stands for all parameters."""
    if checks.is_single(start):
        first = np.full(dim, checks.number("start", start, example=0.0))
    else:
        first = np.array(checks.vector("start", start))
        if first.size != dim:
            raise checks.fail("start", start, f"has {first.size} values for {dim} parameters")
    first.setflags(write=False)
    return first


def _dirichlet(
    labels: Integers, classes: int, workers: int, alpha: float, rng: np.random.Generator
) -> Integers:
    """Give each worker equally many rows (to one), of classes mixed as its own Dirichlet draw.

    Rows are handed out in turns; where a class has run out, the shares of the others are scaled up.
    """
    prior = np.bincount(labels, minlength=classes) / len(labels)
    mix = rng.dirichlet(np.maximum(alpha * classes * prior, 1e-12), size=workers)
    left = [list(rng.permutation(np.flatnonzero(labels == c))) for c in range(classes)]
    owners = np.empty(len(labels), np.int64)
    for turn in range(len(labels)):
        worker = turn % workers
        stock = np.array([len(rows) for rows in left], float)
        shares = mix[worker] * (stock > 0)
        if not shares.sum() > 0:
            shares = stock
        kind = rng.choice(classes, p=shares / shares.sum())
        owners[left[kind].pop()] = worker
    return owners


def _labels(name: str, labels: ArrayLike, samples: int, classes: int | None) -> Integers:
    try:
        raw = np.asarray(labels)
    except ValueError:  # ragged lists
        raw = np.empty(0, dtype=object)
    if raw.ndim != 1 or raw.dtype.kind not in "iu":
        raise checks.fail(
            name,
            labels,
            "is not a list of whole numbers",
            remedy=f"For example {name} = [0, 1, 1].",
        )
    if len(raw) != samples:
        raise checks.fail(name, labels, f"has {len(raw)} entries for {samples} rows of inputs")
    if raw.min() < 0:
        raise checks.fail(name, labels, "holds a negative class", why="Classes count from 0.")
    if classes is not None and raw.max() >= checks.integer("classes", classes, lowest=2):
        raise checks.fail("classes", classes, f"is too few for the label {raw.max()}")
    return raw.astype(np.int64)
