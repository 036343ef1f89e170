r"""Divergence from the order in which workers arrive, whatever the times between arrivals.

Expected squares grow in time iff they grow with the number of arrivals, so only the order decides.
Number the arrivals; the gradient of arrival *k* was read just after arrival :math:`k-S_k`, so
:math:`x_{k+1} = x_k - \alpha x_{k-a}` with *a* the age of the worker that arrives, and every state
is read exactly once: of the *n* ages that are pending one is chosen. Let :math:`\rho(l)` be what
:math:`E\,x_k x_{k-l}` is, over :math:`E\,x_k^2`, given that the worker of age *l* is still pending,
at the edge of stability. If it stays, one of another age *b* is chosen with some probability
:math:`J(b \mid l)`, and

.. math:: \rho(l+1) = \rho(l) - \alpha \sum_b J(b \mid l)\,\rho(|l-b|), \qquad
          2\sum_b p_b\,\rho(b) = \alpha\,\rho(0),

the second since :math:`E\,x_{k+1}^2 = E\,x_k^2`, with :math:`p_b` the probability that the worker
that arrives has age *b*: the law of the staleness. Both are linear in α, and the edge is the
smallest α with a solution.

This takes the product of two states that are pending to be independent of how long both stay; it is
exact for memoryless workers and for workers in turn. The choices of pairs are those of least
information that the law of the staleness allows: :math:`J(b\mid l) \propto u_l v_b` times the
probability that ages *l* and *b* are pending together, with *u* and *v* such that each age stays
and goes as often as it must. Derived in this project. Nothing here knows times.
"""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, eigs

Floats = NDArray[np.float64]

_DENSE = 40  # ages up to which all eigenvalues are found at once
_ROUNDS, _FEWER, _AGES = 40, 12, 150  # of fitting the choices, up to so many ages and beyond
_PACE = 0.7  # power of what is missing, by which choices are multiplied
_FITTED = 1e-5


def largest_alpha(staleness: Floats, workers: int) -> float:
    """Return the learning rate times eigenvalue from which expected squares grow.

    Parameters
    ----------
    staleness : array
        Probabilities of the staleness 0, 1, ..., of mean ``workers - 1``.
    workers : int
    """
    if workers == 1:
        return 2.0
    p = np.trim_zeros(staleness, "b")
    together = pair_choices(p, workers)
    chosen = together / np.maximum(together.sum(axis=1, keepdims=True), 1e-300)
    # Sums over l of what multiplies rho: rho(l) = rho(0) - alpha (sums @ rho)(l).
    sums = np.zeros_like(chosen)
    for age in range(p.size - 1):
        sums[age + 1, : p.size - age] = chosen[age, age:]
        sums[age + 1, 1 : age + 1] += chosen[age, age - 1 :: -1] if age else 0.0
    sums = np.cumsum(sums, axis=0)
    # The second condition gives rho(0), so that 1 / alpha is an eigenvalue.
    first = p @ sums
    first[0] += 0.5
    return 1.0 / _largest_real(first - sums)


def _largest_real(matrix: Floats) -> float:
    """Return the largest real eigenvalue."""
    if len(matrix) > _DENSE:
        start = np.ones(len(matrix))
        with contextlib.suppress(ArpackNoConvergence):
            found: Any = eigs(matrix, k=1, which="LR", v0=start, return_eigenvectors=False)
            value = complex(found[0])
            if abs(value.imag) < 1e-7 * abs(value):
                return value.real
    values: Any = np.linalg.eigvals(matrix)
    return float(values.real[np.abs(values.imag) < 1e-7 * np.abs(values)].max())


def pair_choices(p: Floats, workers: int) -> Floats:
    """Return the probabilities that age *l* is pending and stays while age *b* arrives.

    Parameters
    ----------
    p : array
        Probabilities of the staleness.
    workers : int

    Returns
    -------
    numpy.ndarray, shape (ages, ages)
        With *l* along the rows; rows sum to the probability of a staleness above *l*, columns to
        ``(workers - 1) p``.
    """
    pending = np.cumsum(p[::-1])[::-1]
    stays = np.append(pending[1:], 0.0)
    u, v = np.ones(p.size), p / pending
    out = np.zeros((p.size, p.size))
    for _ in range(_ROUNDS if p.size <= _AGES else _FEWER):  # these change the edge by 1e-4
        chance = np.minimum(np.multiply.outer(u, v), 1.0)
        either = chance + chance.T
        chance /= np.maximum(either, 1.0)
        kept = np.maximum(1.0 - either, 0.0)
        both = np.zeros_like(chance)
        both[0, 1:] = row = pending[1:].copy()  # of age b when another one has just arrived
        for a in range(p.size - 2):
            row = row[:-1] * kept[a, a + 1 : -1]
            both[a + 1, a + 2 :] = row
        both += both.T
        out = both * chance
        rows, columns = out.sum(axis=1), out.sum(axis=0)
        wanted = (workers - 1.0) * p
        if max(np.abs(rows - stays).max(), np.abs(columns - wanted).max()) < _FITTED:
            break
        u *= np.divide(stays, rows, out=np.ones(p.size), where=rows > 0.0) ** _PACE
        v *= np.divide(wanted, columns, out=np.ones(p.size), where=columns > 0.0) ** _PACE
    return out
