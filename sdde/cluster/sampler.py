"""Stochastic gradients in plain NumPy, for processes that are real: any objective, any worker.

Nothing here knows about servers or time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.cluster.objective import Objective
from sdde.cluster.quadratic import Quadratic

Floats = NDArray[np.float64]


class Sampler:
    """Draws stochastic gradients as one worker.

    Parameters
    ----------
    objective : object
        Any objective, or anything with ``inputs`` (its samples) and ``gradient(x, rows)``.
    worker : int
        Whose rows are drawn, where data are shared out.
    batch : int
        Samples in one gradient.
    rng : numpy.random.Generator
    """

    def __init__(
        self, objective: Any, worker: int, *, batch: int, rng: np.random.Generator
    ) -> None:
        self._objective, self._batch, self._rng = objective, batch, rng
        if isinstance(objective, Quadratic | DenseQuadratic):
            self._rows = None
        elif isinstance(objective, Objective):
            self._rows = np.arange(objective.samples) if objective.samples else None
        elif isinstance(objective, MatrixFactorisation):
            self._rows = np.arange(objective.target.size)
        elif hasattr(objective, "samples"):
            self._rows = objective.samples.rows_of(worker)
        else:
            self._rows = np.arange(len(objective.inputs))

    def gradient(self, x: Floats) -> Floats:
        """Return a stochastic gradient at `x`."""
        objective, rng = self._objective, self._rng
        if isinstance(objective, Quadratic):
            return objective.eigenvalues * x + objective.noise * rng.normal(size=x.size)
        if isinstance(objective, DenseQuadratic):
            return objective.hessian @ x + objective.noise_factor @ rng.normal(size=x.size)
        rows = None if self._rows is None else rng.choice(self._rows, size=self._batch)
        if not isinstance(objective, Objective):
            return objective.gradient(x, rows)
        return self._of_functions(objective, x, rows) + objective.noise * rng.normal(size=x.size)

    def _of_functions(self, objective: Objective, x: Floats, rows: Any) -> Floats:
        if rows is None:
            return np.asarray(objective.gradient_function(x.copy()), dtype=float)
        if objective.whole_batches:
            return np.asarray(objective.gradient_function(x.copy(), rows), dtype=float)
        parts = [objective.gradient_function(x.copy(), int(row)) for row in rows]
        return np.mean(np.asarray(parts, dtype=float), axis=0)


def excess_loss(objective: Any, x: Floats) -> float:
    """Return the loss above the minimum, or the loss where the minimum is not known."""
    if hasattr(objective, "optimum"):
        return objective.loss(x) - objective.optimum()[1]
    return objective.loss(x) - getattr(objective, "lowest", 0.0)
