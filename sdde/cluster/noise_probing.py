"""How much a stochastic gradient scatters: the trace of its covariance, and along directions.

Data are gone through sample by sample, all of them where that is affordable, so that the numbers
are those of the data and not estimates. Plain NumPy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.cluster.objective import Objective
from sdde.cluster.quadratic import Quadratic

Floats = NDArray[np.float64]


class Noise(NamedTuple):
    """Covariance of one stochastic gradient, by what was asked of it.

    Attributes
    ----------
    trace, trace_error : float
        Sum of the variances of all components, and its standard error.
    along, along_error : array (k,)
        Variances along k directions, and their standard errors.
    draws : array (draws, dim)
        Vectors with mean zero and this covariance.
    """

    trace: float
    trace_error: float
    along: Floats
    along_error: Floats
    draws: Floats


def gradient_noise(
    objective: Any,
    x: Floats,
    mean: Floats,
    directions: Floats,
    *,
    gradients: int,
    draws: int,
    rng: np.random.Generator,
) -> Noise:
    """Measure the covariance of a stochastic gradient.

    Parameters
    ----------
    objective : object
        Any kind of objective.
    x, mean : array (dim,)
        Where, and the gradient over all data there.
    directions : array (dim, k)
        Unit vectors.
    gradients : int
        Gradients of single samples at most; fewer samples than that are all used, and errors are 0.
    draws : int
        How many vectors with the same covariance to make.
    rng : numpy.random.Generator
        Chooses samples.

    Returns
    -------
    Noise
    """
    dim = x.size
    if isinstance(objective, DenseQuadratic):
        factor = objective.noise_factor
        along = np.einsum("ij,ij->j", directions, objective.covariance @ directions)
        vectors = rng.normal(size=(draws, dim)) @ factor.T
        return Noise(float(np.trace(objective.covariance)), 0.0, along, 0.0 * along, vectors)
    added = objective.noise if isinstance(objective, Quadratic | Objective) else np.zeros(dim)
    trace, along = float(np.sum(added**2)), added**2 @ directions**2
    vectors = rng.normal(size=(draws, dim)) * added
    one = single_gradient(objective, x)
    if one is None:
        return Noise(trace, 0.0, along, 0.0 * along, vectors)
    function, total = one
    batch = samples_in_a_gradient(objective)
    every = total <= gradients
    rows = np.arange(total) if every else rng.choice(total, gradients, replace=False)
    sizes, shares = np.empty(len(rows)), np.empty((len(rows), directions.shape[1]))
    mixed = np.zeros((draws, dim))
    for i, row in enumerate(rows):
        apart = function(int(row)) - mean
        sizes[i] = apart @ apart
        shares[i] = (apart @ directions) ** 2
        mixed += np.where(rng.random((draws, 1)) < 0.5, apart, -apart)
    # Rows are drawn without replacement, so the error vanishes when all are.
    left = np.sqrt((1.0 - len(rows) / total) / max(len(rows) - 1, 1)) / batch
    return Noise(
        trace + float(sizes.mean()) / batch,
        float(left * sizes.std()),
        along + shares.mean(axis=0) / batch,
        left * shares.std(axis=0),
        vectors + mixed / np.sqrt(len(rows) * batch),
    )


def single_gradient(objective: Any, x: Floats) -> tuple[Callable[[int], Floats], int] | None:
    """Return the gradient of one sample's loss at `x` and the number of samples; None without
    samples.
    """
    if isinstance(objective, Objective):
        function, count = objective.gradient_function, objective.samples
        if not count:
            return None
        if objective.whole_batches:
            return lambda row: np.asarray(function(x.copy(), np.array([row])), dtype=float), count
        return lambda row: np.asarray(function(x.copy(), row), dtype=float), count
    if isinstance(objective, Quadratic | DenseQuadratic):
        return None
    entries = isinstance(objective, MatrixFactorisation)
    count = objective.target.size if entries else len(objective.inputs)
    return lambda row: objective.gradient(x, [row]), count


def samples_in_a_gradient(objective: Any) -> int:
    """Return the samples that one stochastic gradient averages; 1 without samples."""
    if isinstance(objective, Objective) and not objective.samples:
        return 1
    return int(getattr(objective, "batch", 1))
