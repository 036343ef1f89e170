"""Products of a Hessian with vectors, without the matrix: by formula, or from two gradients.

The packaged objectives have formulas (for networks the derivative of backpropagation along a
direction), PyTorch modules differentiate twice, and functions of a user's own are differenced.
Plain NumPy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.cluster.logistic import Logistic
from sdde.cluster.network import Network
from sdde.cluster.objective import Objective
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.softmax import Softmax

Floats = NDArray[np.float64]
Product = Callable[[Floats], Floats]

_ROWS_AT_ONCE = 4096  # whose gradients are asked for in one call


class Derivatives(NamedTuple):
    """First and second derivatives of an objective over all its data.

    Attributes
    ----------
    gradient : callable
        Gradient at a point.
    product : callable
        For a point, the function that multiplies a vector by the Hessian there.
    """

    gradient: Callable[[Floats], Floats]
    product: Callable[[Floats], Product]


def derivatives(objective: Any) -> Derivatives:
    """Return the derivatives of any kind of objective."""
    match objective:
        case Quadratic():
            sizes = objective.eigenvalues
            return Derivatives(lambda x: sizes * x, lambda x: lambda v: sizes * v)
        case DenseQuadratic():
            matrix = objective.hessian
            return Derivatives(lambda x: matrix @ x, lambda x: lambda v: matrix @ v)
        case Objective():
            return _of_functions(objective)
        case _:
            make = _FORMULAS[type(objective)]
            return Derivatives(objective.gradient, lambda x: make(objective, x))


def _of_functions(objective: Objective) -> Derivatives:
    def gradient(x: Floats) -> Floats:
        return full_gradient(objective, x)

    second = objective.hessian_product
    if second is None:
        return Derivatives(gradient, lambda x: Differences(gradient, x))
    return Derivatives(
        gradient, lambda x: lambda v: np.asarray(second(x.copy(), v.copy()), dtype=float)
    )


def full_gradient(objective: Objective, x: Floats) -> Floats:
    """Return the gradient over all samples of an objective made of functions."""
    function, count = objective.gradient_function, objective.samples
    if not count:
        return np.asarray(function(x.copy()), dtype=float)
    if not objective.whole_batches:
        total = np.zeros(objective.dim)
        for sample in range(count):
            total += np.asarray(function(x.copy(), sample), dtype=float)
        return total / count
    total = np.zeros(objective.dim)
    for first in range(0, count, _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, count))
        total += len(rows) * np.asarray(function(x.copy(), rows), dtype=float)
    return total / count


class Differences:
    r"""Products from central differences of the gradient.

    .. math:: Hv \approx \lVert v\rVert \frac{g(x + h u) - g(x - h u)}{2h}, \qquad
              u = v / \lVert v\rVert

    The error is :math:`h^2 g^{(3)}/6` from the third derivative of the gradient and about
    :math:`\epsilon \lVert g\rVert / h` from rounding: smallest where h is the cube root of the
    precision :math:`\epsilon` of the gradient times the scale on which it changes. Neither is
    known, so the step is the power of two around which halving changes a product least.

    Attributes
    ----------
    step : float
        The step h.
    error : float
        Relative change of a product with a random vector when the step is halved.
    """

    def __init__(self, gradient: Callable[[Floats], Floats], x: Floats) -> None:
        self._gradient, self._x = gradient, x
        probe = np.random.default_rng(0).normal(size=x.size)
        probe /= np.linalg.norm(probe)
        scale = float(np.linalg.norm(x)) / np.sqrt(x.size) or 1.0
        lowest, highest = (1e-7 * min(scale, 1.0), 0.3 * max(scale, 1.0))
        steps = 2.0 ** np.arange(np.ceil(np.log2(lowest)), np.log2(highest) + 1.0)
        with np.errstate(all="ignore"):  # far from x it may overflow
            found = np.array([self._along(probe, h) for h in steps])
            change = np.linalg.norm(np.diff(found, axis=0), axis=1)
            both = change[1:] + change[:-1]  # one alone may be small by chance
        both[~np.isfinite(both)] = np.inf
        best = int(np.argmin(both))
        if not np.isfinite(both[best]):
            raise checks.fail(
                "gradient", "its values near x", "are not finite", remedy="Measure at another x."
            )
        self.step = float(steps[best + 1])
        size = float(np.linalg.norm(found[best + 1]))
        self.error = float(both[best]) / size if size > 0.0 else 0.0

    def _along(self, u: Floats, h: float) -> Floats:
        return (self._gradient(self._x + h * u) - self._gradient(self._x - h * u)) / (2.0 * h)

    def __call__(self, v: Floats) -> Floats:
        """Return the Hessian times `v`."""
        size = float(np.linalg.norm(v))
        return size * self._along(v / size, self.step) if size > 0.0 else np.zeros_like(v)


def product_error(product: Product, dim: int, rng: np.random.Generator) -> float:
    """Return the relative error of products as far as it can be seen.

    That is their asymmetry, over three pairs of random vectors, since a Hessian is symmetric; and
    for differences also what halving the step changes.
    """
    worst = product.error if isinstance(product, Differences) else 0.0
    for _ in range(3):
        u, v = rng.normal(size=(2, dim))
        right, left = product(v), product(u)
        size = np.linalg.norm(u) * np.linalg.norm(right) + np.linalg.norm(v) * np.linalg.norm(left)
        if size > 0.0:
            # u . Hv is by chance sqrt(dim) smaller than the product of the lengths.
            worst = max(worst, 2.0 * abs(u @ right - v @ left) / size * np.sqrt(dim))
    return float(worst)


def _softmax(objective: Softmax, x: Floats) -> Product:
    inputs, penalty = objective.inputs, objective.regularisation
    shares, _ = objective._probabilities(objective._weights(x), inputs)

    def product(v: Floats) -> Floats:
        slope = inputs @ v.reshape(inputs.shape[1], -1)
        change = shares * (slope - (shares * slope).sum(axis=1, keepdims=True))
        return (inputs.T @ change / len(inputs)).ravel() + penalty * v

    return product


def _logistic(objective: Logistic, x: Floats) -> Product:
    inputs, penalty = objective.inputs, objective.regularisation
    share = 0.5 * (1.0 + np.tanh(0.5 * objective._logits(x, inputs)))
    weight = share * (1.0 - share) / len(inputs)
    return lambda v: inputs.T @ (weight * (inputs @ v)) + penalty * v


def _factorisation(objective: MatrixFactorisation, x: Floats) -> Product:
    left, right = objective.factors(x)
    size = objective.target.size
    error = (left @ right.T - objective.target) / size

    def product(v: Floats) -> Floats:
        a, b = objective.factors(v)
        change = (a @ right.T + left @ b.T) / size
        return np.concatenate(
            [(change @ right + error @ b).ravel(), (change.T @ left + error.T @ a).ravel()]
        )

    return product


def _network(objective: Network, x: Floats) -> Product:
    """Differentiate backpropagation along a direction."""
    inputs, tanh = objective.inputs, objective.activation == "tanh"
    layers = objective.layers(x)
    reads, logs = objective._forward(x, inputs)
    shares = np.exp(logs)
    late = shares.copy()
    late[np.arange(len(late)), objective.labels] -= 1.0
    late /= len(inputs)
    slopes = [1.0 - read**2 if tanh else (read > 0.0).astype(float) for read in reads]
    errors = [late]  # what reaches the outputs of each layer, last layer first
    for (weights, _), slope in zip(layers[:0:-1], slopes[:0:-1], strict=True):
        errors.append(errors[-1] @ weights.T * slope)
    errors.reverse()

    def product(v: Floats) -> Floats:
        ways = objective.layers(v)
        moved = [np.zeros_like(inputs)]  # how far what each layer reads moves
        for (weights, _), (way, shift), read, slope in zip(
            layers[:-1], ways[:-1], reads[:-1], slopes[1:], strict=True
        ):
            moved.append((moved[-1] @ weights + read @ way + shift) * slope)
        (weights, _), (way, shift) = layers[-1], ways[-1]
        logits = moved[-1] @ weights + reads[-1] @ way + shift
        change = shares * (logits - (shares * logits).sum(axis=1, keepdims=True)) / len(inputs)
        parts = []
        for i in range(len(layers) - 1, -1, -1):
            parts += [
                change.sum(axis=0),
                (moved[i].T @ errors[i] + reads[i].T @ change).ravel(),
            ]
            if i > 0:
                back = errors[i] @ layers[i][0].T
                bend = -2.0 * reads[i] * moved[i] if tanh else 0.0
                change = (change @ layers[i][0].T + errors[i] @ ways[i][0].T) * slopes[i]
                change = change + back * bend
        return np.concatenate(parts[::-1]) + objective.regularisation * v

    return product


_FORMULAS: dict[type, Callable[[Any, Floats], Product]] = {
    Softmax: _softmax, Logistic: _logistic, MatrixFactorisation: _factorisation, Network: _network,
}  # fmt: skip
