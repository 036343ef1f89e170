r"""Exact second moments of asynchronous SGD on a quadratic, for the two systems that allow them.

*Memoryless workers*: each worker finishes at its own exponential rate. The state and the copies
that workers hold form a Markov process; by symmetry the second moments within and between groups of
equal workers close on themselves.

*Workers in step*: equal constant cycles with distinct phases. Every gradient is exactly ``workers -
1`` updates old, so the update number *k* is all that matters, and the recursion :math:`x_{k+1} =
x_k - \alpha x_{k-n+1}` is solved cycle by cycle.

Both give the mean square from a start at 1 and from unit noise, per coordinate, as panels and
exponentials. Nothing here knows eigenvalues, losses or targets. Derived in this project.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from . import many_in_step
from .panels import ORDER, rules

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating[Any, Any]]

HORIZON = 40.0  # mean cycles marched before the slowest exponentials take over
_DEAD = 1e-17


def in_turn(workers: int) -> float:
    """Return the learning rate times eigenvalue from which workers that arrive in turn diverge."""
    return 2.0 * math.sin(math.pi / (2.0 * (2.0 * workers - 1.0)))


def equal_memoryless(workers: int) -> float:
    """Return the same for memoryless workers of one rate."""
    return (1.0 + math.sqrt(1.0 + 8.0 * workers)) / (2.0 * workers)


@dataclass(frozen=True, slots=True)
class SquareCurves:
    """Mean squares of many coordinates over time.

    Attributes
    ----------
    width : float
        Panel width.
    square : numpy.ndarray, shape (2, modes, panels, order)
        Mean squares at the nodes, from a start at 1 and from unit noise.
    exponents : numpy.ndarray, shape (modes, count)
        Exponents beyond the panels, in 1/time.
    amplitudes : numpy.ndarray, shape (2, modes, count)
        Their values where the panels end.
    level : numpy.ndarray, shape (2, modes)
        Limits at infinite time, ``inf`` where there is none.
    beats : int
        Updates per cycle where the curve moves in steps, else 0.
    """

    width: float
    square: Floats
    exponents: Complexes
    amplitudes: Complexes
    level: Floats
    beats: int = 0


def memoryless(alpha: Floats, rates: Floats, counts: Floats) -> SquareCurves:
    """Return the mean squares for groups of memoryless workers.

    Parameters
    ----------
    alpha : array, shape (modes,)
        Learning rate times eigenvalue.
    rates : array, shape (groups,)
        Gradients per unit of time of one worker in each group.
    counts : array, shape (groups,)
        Workers in each group.
    """
    unit = float(np.sum(counts) / np.sum(rates * counts))  # the mean cycle
    matrix, force = memoryless_moments(alpha, rates * unit, counts)
    size = matrix.shape[-1]
    start = np.ones(size)
    norm = float(np.abs(np.linalg.eigvals(matrix[[int(np.argmax(alpha))]])).max())
    width = 1.0 / max(1, math.ceil(norm / 4.0))
    panels = math.ceil(HORIZON / width)
    augmented = np.zeros((len(alpha), size + 1, size + 1))
    augmented[:, :size, :size], augmented[:, :size, size] = matrix, force
    to_nodes = _exponential(augmented[:, None] * (rules().nodes * width)[:, None, None])
    onward = _exponential(augmented * width)
    # Two columns: a start at 1 without noise, and noise without a start.
    state = np.zeros((len(alpha), size + 1, 2))
    state[:, :size, 0], state[:, size, 1] = start, 1.0
    square = np.empty((2, len(alpha), panels, ORDER))
    for k in range(panels):
        square[:, :, k] = (to_nodes[:, :, 0, :] @ state).transpose(2, 0, 1)
        state = onward @ state
    values, vectors = np.linalg.eig(matrix)
    bounded = np.real(values).max(axis=1) < 0.0
    level = np.zeros((2, len(alpha)))
    limit = np.zeros((len(alpha), size, 2))
    limit[bounded, :, 1] = -np.linalg.solve(matrix[bounded], force[bounded][..., None])[..., 0]
    level[1] = limit[:, 0, 1]
    level[:, ~bounded] = np.inf
    live = bounded & (np.exp(np.real(values).max(axis=1) * width * panels) > _DEAD)
    amplitudes = np.zeros((2, len(alpha), size), dtype=complex)
    parts = np.linalg.solve(vectors[live], (state[live, :size] - limit[live]).astype(complex))
    amplitudes[:, live] = (vectors[live, :1].transpose(0, 2, 1) * parts).transpose(2, 0, 1)
    return SquareCurves(
        width * unit, square, np.asarray(values / unit, dtype=complex), amplitudes, level
    )


def memoryless_moments(alpha: Floats, rates: Floats, counts: Floats) -> tuple[Floats, Floats]:
    r"""Return the matrix and the forcing of the moment equations, in the order below.

    With state *x* and copy :math:`y_g` of a worker of group *g*: :math:`E x^2`; :math:`E x y_g`;
    :math:`E y_g^2`; and :math:`E y_g y_h'` for two different workers, :math:`g \le h`.
    The forcing is for gradient noise of variance one in units of the eigenvalue's gradient, that is
    an update :math:`x \leftarrow x - \alpha y - \xi`, :math:`\mathrm{Var}\,\xi = 1`.
    """
    groups = len(rates)
    pairs = [(g, h) for g in range(groups) for h in range(g, groups)]
    where = {pair: 1 + 2 * groups + i for i, pair in enumerate(pairs)}
    size = 1 + 2 * groups + len(pairs)
    a = np.asarray(alpha, dtype=float)
    matrix = np.zeros((len(a), size, size))
    force = np.zeros((len(a), size))
    for g, (mu, count) in enumerate(zip(rates, counts, strict=True)):
        cross, own = 1 + g, 1 + groups + g
        matrix[:, 0, cross] += -2.0 * a * mu * count
        matrix[:, 0, own] += a**2 * mu * count
        force[:, 0] += mu * count
        for row in (cross, own):  # the worker itself arrives: its copy becomes the new state
            matrix[:, row, 0] += mu
            matrix[:, row, cross] += -2.0 * a * mu
            matrix[:, row, own] += a**2 * mu
            matrix[:, row, row] -= mu
            force[:, row] += mu
        for h, (other, others) in enumerate(zip(rates, counts, strict=True)):
            column = where[min(g, h), max(g, h)]
            matrix[:, cross, column] += -a * other * (others - (g == h))
    for (g, h), row in where.items():
        matrix[:, row, 1 + h] += rates[g]
        matrix[:, row, 1 + g] += rates[h]
        matrix[:, row, row] -= (1.0 + a) * (rates[g] + rates[h])
    return matrix, force


def _exponential(matrix: Floats) -> Floats:
    """Return matrix exponentials by scaling and squaring a Taylor series, all at once."""
    norm = float(np.abs(matrix).sum(axis=-1).max(initial=0.0))
    squarings = max(0, math.ceil(math.log2(max(norm, 1e-300))) + 3)
    small = matrix / 2.0**squarings
    result = np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape).copy()
    term = result
    for k in range(1, 15):  # a norm of 1/8 or less: 8**-15 / 15! is far below rounding
        term = term @ small / k
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return result


def in_step(alpha: Floats, workers: int, cycle: float = 1.0) -> SquareCurves:
    r"""Return the mean squares for workers with one constant cycle and random distinct phases.

    Within a cycle the number of updates is binomial, as phases are uniform; over whole cycles it is
    exactly `workers` each.
    """
    panels = int(HORIZON) if workers > 1 else int(4 * HORIZON)
    share = rules().nodes
    count = np.arange(workers + 1.0)
    choose = gammaln(workers + 1.0) - gammaln(count + 1.0) - gammaln(workers - count + 1.0)
    chance = np.exp(
        choose + xlogy(count, share[:, None]) + xlog1py(workers - count, -share[:, None])
    )
    few = workers < many_in_step.FEWEST
    if few or float(alpha.max()) * workers > many_in_step.LARGEST_DAMPING:
        square = _update_by_update(alpha, workers, panels, chance)
    else:
        square = many_in_step.mean_squares(alpha, workers, panels, chance)
    z, c = discrete_root(alpha, workers - 1)
    real = z.imag == 0.0
    stable = np.abs(z) < 1.0
    with np.errstate(all="ignore"):
        d = -alpha * c / (z - 1.0)
        log = np.log(z.astype(complex))
        waves = np.stack([2.0 * np.real(log) + 0j, 2.0 * log, 2.0 * log.conj()], axis=1)
        exponents: Complexes = workers * waves.astype(complex)
        ratio = np.exp(exponents / workers)
        grown = np.exp(exponents * panels)
        amplitudes = np.stack([_squares(d, real), _squares(c, real) / (ratio - 1.0)]) * grown
        level = np.stack([np.zeros(len(alpha)), fixed_staleness_energy(alpha, workers - 1)])
    level[:, ~stable] = np.inf
    live = stable & (np.exp(np.real(exponents[:, 0]) * panels) > _DEAD)
    amplitudes[:, ~live] = 0.0
    return SquareCurves(
        cycle,
        square,
        np.asarray(exponents / cycle, dtype=complex),
        amplitudes,
        level,
        beats=workers,
    )


def _update_by_update(alpha: Floats, workers: int, panels: int, chance: Floats) -> Floats:
    """Return the mean squares within cycles, from every single update."""
    mean, kernel = fixed_staleness(alpha, workers - 1, panels * workers)
    spread = np.concatenate([np.zeros((len(alpha), 1)), np.cumsum(kernel[:, :-1] ** 2, axis=1)], 1)
    index = (np.arange(panels)[:, None] * workers + np.arange(workers + 1)).ravel()
    blocks = np.stack([mean**2, spread])[:, :, index]
    return blocks.reshape(2, len(alpha), panels, workers + 1) @ chance.T


def _squares(f: Complexes, real: NDArray[np.bool_]) -> Complexes:
    """Return the amplitudes of the three exponentials in the square of a dominant one."""
    absolute = np.abs(f) ** 2
    pair = np.where(real, 0.0, f**2)
    return np.stack([np.where(real, absolute, 2.0 * absolute) + 0j, pair, pair.conj()], axis=1)


def fixed_staleness(alpha: Floats, staleness: int, updates: int) -> tuple[Floats, Floats]:
    r"""Solve :math:`x_{k+1} = x_k - \alpha x_{k-\tau}` for updates 0 to `updates`.

    Returns
    -------
    mean, kernel : numpy.ndarray, shape (modes, updates + 1)
        From a past at 1, and from a past at 0 with :math:`x_0 = 1`.
    """
    length = staleness + 1
    cycles = -(-updates // length)
    out = np.zeros((2, len(alpha), (cycles + 1) * length))
    out[0, :, :length] = 1.0
    out[1, :, length - 1] = 1.0
    for k in range(1, cycles + 1):  # a whole delay at once: it reads only the one before
        old = out[:, :, (k - 1) * length : k * length]
        out[:, :, k * length : (k + 1) * length] = old[:, :, -1:] - alpha[:, None] * np.cumsum(
            old, axis=2
        )
    return out[0, :, length - 1 :][:, : updates + 1], out[1, :, length - 1 :][:, : updates + 1]


def discrete_root(alpha: Floats, staleness: int) -> tuple[Complexes, Complexes]:
    r"""Return the dominant root of :math:`z^{\tau+1} - z^\tau + \alpha`, and its weight in the
    kernel.
    """
    from .characteristic import rightmost_roots

    tau = staleness
    alpha = np.asarray(alpha, dtype=float)
    if tau == 0:
        return 1.0 - alpha + 0j, np.ones(len(alpha), dtype=complex)
    critical = (tau / (tau + 1.0)) ** tau / (tau + 1.0)
    # The continuous equation with the delay half an update shorter is right to second order; below
    # and above the double root each keeps to its own side.
    delay = tau + 0.5
    ratio = np.exp(-1.0) / (critical * delay)
    z = np.exp(rightmost_roots(alpha * delay * ratio, 1.0) / delay)
    z = np.where(alpha < critical, np.maximum(np.real(z), tau / (tau + 1.0) + 1e-12) + 0j, z)
    with np.errstate(all="ignore"):
        for _ in range(60):
            value = z - 1.0 + alpha * z ** (-tau)
            slope = 1.0 - alpha * tau * z ** (-tau - 1)
            move = np.where(value == 0.0, 0.0, value / slope)
            z = z - move
            if np.abs(move).max() < 1e-15:
                break
        c = z / ((tau + 1.0) * z - tau)
    return np.asarray(z, dtype=complex), np.asarray(c, dtype=complex)


def fixed_staleness_energy(alpha: Floats, staleness: int) -> Floats:
    r"""Return :math:`\sum_k K_k^2`, the stationary variance over the variance of one kick.

    .. math:: \frac{\tan\left(\frac\pi4 + (\tau + \frac12)\arcsin\frac\alpha2\right)}
                   {2\alpha\sqrt{1-\alpha^2/4}}

    It is ``inf`` from the stability limit on.
    """
    a = np.asarray(alpha, dtype=float)
    limit = in_turn(staleness + 1)
    with np.errstate(all="ignore"):
        angle = math.pi / 4.0 + (staleness + 0.5) * np.arcsin(a / 2.0)
        value = np.tan(angle) / (2.0 * a * np.sqrt(1.0 - a**2 / 4.0))
    return np.where(a < limit, value, np.inf)
