r"""Convolution on panels: functions as polynomials on equal pieces of time, integrals as small
matrices.

Time is cut into panels of one width; on each a function is known at Gauss-Legendre nodes. Then the
mean over a random delay, :math:`\int f(t-s)\,dG(s)`, and the convolution of two functions are sums
of matrices that depend only on how many panels apart two pieces lie. The matrices are the same for
every coefficient of an equation, so thousands of equations are solved side by side. Nothing here
knows which equations.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .cycle import Clipped, Cut, Mixture, Sum, is_composed

Floats = NDArray[np.float64]

ORDER = 12  # nodes per panel


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not depend on the law or the panel's width; positions run from 0 to 1 in a panel.

    Attributes
    ----------
    nodes, weights : numpy.ndarray
        Gauss-Legendre rule on [0, 1].
    integral : numpy.ndarray
        ``integral @ f`` are the integrals from the panel's start to each node.
    same, previous : numpy.ndarray, shape (order, order * order)
        ``kernel @ same`` is the matrix of the convolution with a kernel whose panel is `kernel`,
        over the part of the past that this panel covers up to the node's own position; `previous`
        for the rest.
    """

    nodes: Floats
    weights: Floats
    integral: Floats
    same: Floats
    previous: Floats


@lru_cache(maxsize=1)
def rules() -> Rules:
    """Return the rules, built once."""
    x, w = legendre.leggauss(ORDER)
    nodes, weights = (x + 1.0) / 2.0, w / 2.0
    inner, inner_weights = nodes, weights  # exact for the products of two panel polynomials below
    integral = np.empty((ORDER, ORDER))
    same = np.empty((ORDER, ORDER, ORDER))
    previous = np.empty((ORDER, ORDER, ORDER))
    for i, end in enumerate(nodes):
        at = end * inner
        integral[i] = end * inner_weights @ lagrange(at)
        same[:, i, :] = (lagrange(end - at).T * (end * inner_weights)) @ lagrange(at)
        rest = 1.0 - end
        at = end + rest * inner
        previous[:, i, :] = (lagrange(1.0 + end - at).T * (rest * inner_weights)) @ lagrange(at)
    return Rules(nodes, weights, integral, same.reshape(ORDER, -1), previous.reshape(ORDER, -1))


@lru_cache(maxsize=1)
def _to_coefficients() -> Floats:
    x, w = legendre.leggauss(ORDER)
    degrees = np.arange(ORDER)
    return (legendre.legvander(x, ORDER - 1) * w[:, None]).T * (degrees + 0.5)[:, None]


def coefficients(values: Floats) -> Floats:
    """Return the Legendre series on a panel, from -1 to 1, of values at its nodes."""
    return np.asarray(_to_coefficients() @ values)


def lagrange(position: Floats) -> Floats:
    """Return the matrix that takes node values to values at positions in [0, 1]."""
    return legendre.legvander(2.0 * np.asarray(position) - 1.0, ORDER - 1) @ _to_coefficients()


@lru_cache(maxsize=32)
def delay_operator(law: Law, width: float, panels: int) -> tuple[Floats, Floats]:
    """Return the mean over a delay as matrices, and the weight of the time before zero.

    Parameters
    ----------
    law : Law
        Law of the delay, in the unit of `width`.
    width : float
        Panel width.
    panels : int
        Number of panels from time zero.

    Returns
    -------
    operator : numpy.ndarray, shape (panels, order, order)
        ``sum_j operator[k - j] @ f[j]`` are the means of ``f(t - delay)`` at the nodes of panel
        `k`.
    before : numpy.ndarray, shape (panels, order)
        Probability that ``t - delay`` is negative.
    """
    operator = _operator(law, width, panels)
    return operator, 1.0 - np.cumsum(operator.sum(axis=2), axis=0)


class Past:
    """The mean over a delay, as far as it comes from panels before the present one.

    Parameters
    ----------
    operator : array, shape (panels, order, order)
        That of `delay_operator`; a bounded delay leaves its later matrices zero.
    """

    def __init__(self, operator: Floats) -> None:
        self._reach = int(np.flatnonzero(operator.any(axis=(1, 2)))[-1])
        later = operator[self._reach : 0 : -1].transpose(0, 2, 1)
        self._stack = np.ascontiguousarray(later).reshape(-1, ORDER)

    def __call__(self, values: Floats, panel: int) -> Floats:
        """Return it at the nodes of a panel, for values of shape (..., panels, order)."""
        first = max(0, panel - self._reach)
        known = values[..., first:panel, :].reshape(*values.shape[:-2], -1)
        return known @ self._stack[self._stack.shape[0] - known.shape[-1] :]


def _operator(law: Law, width: float, panels: int) -> Floats:
    source = law.source
    if isinstance(source, Sum):
        first = _operator(source.first, width, panels)
        second = _operator(source.second, width, panels)
        out = np.zeros_like(first)
        for apart in range(panels):
            out[apart:] += first[apart] @ second[: panels - apart]
        return out
    if isinstance(source, Mixture):
        out = np.zeros((panels, ORDER, ORDER))
        for share, part in zip(source.weights, source.laws, strict=True):
            out += share * _operator(part, width, panels)
        return out
    return _projected(*_atoms(law, width, panels), panels)


def _atoms(law: Law, width: float, panels: int) -> tuple[Floats, Floats]:
    """Return delays in panel widths and their probabilities, a fine quadrature of a continuous law.

    Nodes of a density sit inside panels and crowd towards the ends of the support, where it may
    jump or be infinite.
    """
    source, early, share = law, 0.0, 1.0
    longest = panels * width
    if isinstance(law.source, Clipped):
        source, early = law.source.law, law.source.by
    elif isinstance(law.source, Cut):
        source, share, longest = law.source.law, law.source.share, law.source.longest
    density = getattr(source.frozen, "pdf", None)
    if density is None or is_composed(source):
        values, mass = law.nodes()
        return values / width, mass
    lowest, highest = source.lowest - early, min(source.highest - early, longest)
    grade = width * 4.0 ** np.arange(0.0, -24.0, -1.0)
    cuts = np.concatenate([np.arange(panels + 1.0) * width, lowest + grade])
    if highest < panels * width:
        cuts = np.concatenate([cuts, highest - grade])
    start = max(lowest, 0.0)
    cuts = np.unique(np.concatenate([[start, highest], cuts[(cuts > start) & (cuts < highest)]]))
    rule = rules()
    values = (cuts[:-1, None] + np.diff(cuts)[:, None] * rule.nodes).ravel()
    mass = (np.diff(cuts)[:, None] * rule.weights).ravel() * density(values + early) / share
    whole = (source.cdf(highest + early) - source.cdf(start + early)) / share
    mass *= whole / mass.sum()
    if early > 0.0:
        values, mass = np.append(values, 0.0), np.append(mass, source.cdf(start + early))
    return values / width, mass


def _projected(delays: Floats, mass: Floats, panels: int) -> Floats:
    """Return the operator of finitely many delays, in panel widths.

    A shifted polynomial has a break inside a panel; it is replaced by the polynomial with the same
    first moments, so integrals over panels stay exact wherever the breaks lie. The matrix is a
    polynomial of the delay's place in its panel: of many delays only the Legendre moments in each
    panel count.
    """
    near = delays < panels
    delays, mass = delays[near], mass[near]
    whole = np.floor(delays).astype(int)
    part = delays - whole
    if part.size <= 2 * ORDER:
        here, there = _shifts(part)
        basis = np.eye(part.size)
    else:
        here, there = _shift_series()
        basis = legendre.legvander(2.0 * part - 1.0, len(here) - 1)
    moments = np.zeros((panels, len(here)))
    np.add.at(moments, whole, basis * mass[:, None])
    operator = moments @ here
    operator[1:] += moments[:-1] @ there
    return operator.reshape(panels, ORDER, ORDER)


def _shifts(part: Floats) -> tuple[Floats, Floats]:
    """Return the matrices of shifts by parts of a panel, shape (parts, order * order).

    The first holds what comes from as many panels ago as the delay holds, the second what comes
    from the panel before.
    """
    rule, found = rules(), []
    for first, last, shift in (
        (part, np.ones_like(part), -part),
        (np.zeros_like(part), part, 1.0 - part),
    ):
        at = first[:, None] + (last - first)[:, None] * rule.nodes
        here = lagrange(at) * ((last - first)[:, None] * rule.weights)[..., None]
        block = here.transpose(0, 2, 1) @ lagrange(at + shift[:, None]) / rule.weights[:, None]
        found.append(block.reshape(len(part), ORDER * ORDER))
    return found[0], found[1]


@lru_cache(maxsize=1)
def _shift_series() -> tuple[Floats, Floats]:
    """Return the same as Legendre series, found exactly: their degree is below ``2 * ORDER``."""
    count = 2 * ORDER
    x, w = legendre.leggauss(count)
    series = (legendre.legvander(x, count - 1) * w[:, None]).T * (np.arange(count) + 0.5)[:, None]
    here, there = _shifts((x + 1.0) / 2.0)
    return series @ here, series @ there
