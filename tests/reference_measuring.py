"""Curvature and gradient noise the slow way: whole matrices from gradients and all samples."""

import numpy as np


def hessian(gradient, x, step=1e-5):
    """Return the Jacobian of the gradient by fourth-order differences, column by column."""
    columns = []
    for unit in np.eye(len(x)):
        near = gradient(x + step * unit) - gradient(x - step * unit)
        far = gradient(x + 2 * step * unit) - gradient(x - 2 * step * unit)
        columns.append((8.0 * near - far) / (12.0 * step))
    matrix = np.array(columns).T
    return (matrix + matrix.T) / 2.0


def covariance(one, samples, batch):
    """Return the covariance of the mean of `batch` samples drawn with replacement."""
    each = np.array([one(s) for s in range(samples)])
    centred = each - each.mean(axis=0)
    return centred.T @ centred / (samples * batch)
