r"""Rows of noise with iterated integrals: what methods of order 1 need beyond the increments.

For a pair (lag, l, k) the integral over a step of length h is

.. math:: I = \int_t^{t+h}\bigl(W_l(s-\tau)-W_l(t-\tau)\bigr)\,dW_k(s),

without delay the ordinary iterated Itô integral. It is put together from the finest steps by Chen's
relation. Over one of them, the Brownian bridge of each Wiener process is a random Fourier series
with independent normal coefficients [1]_ (chapter 5.8), of which `terms` are drawn by address; the
two legs of I belong to the same or to different steps, and each leg keeps its coefficients whatever
pair it is in. What the cut series leaves out is linear in one leg's increment, which one more
normal number for each leg and step makes exact, or bilinear in the coefficients left out. Given the
earlier leg, the bilinear part is normal, of a variance that is nearly constant; drawing it with the
constant one leaves a mean-square error of h**2 / (24 (pi terms)**2), derived here, so that
``terms ~ h**-0.5`` keeps order 1. For legs in one step this is the simulation of [2]_.

A mirrored path has mirrored increments and the same integrals. For recorded increments nothing is
known between them, and the integral over a finest step is its mean given both increments. Nothing
here knows about equations.

References
----------
.. [1] P. Kloeden, E. Platen, "Numerical Solution of Stochastic Differential Equations", Springer
       (1992).
.. [2] J. Mrongowius, A. Rößler, "On the approximation and simulation of iterated stochastic
       integrals and the corresponding Lévy areas in terms of a multidimensional Brownian motion",
       Stochastic Analysis and Applications 40 (2022).
"""

import math

import numpy as np
from numba import njit

from sdde.engine.kernels.memory import floats_of
from sdde.engine.kernels.normals import fill, fill_steps
from sdde.engine.streams import AREAS, BRIDGES, DELAYED_AREAS, NOISE

_ROWS = 64  # finest steps drawn at a time, if so many fit into whole steps

_inline = njit(error_model="numpy", fastmath=False)


@_inline
def _draw(rows, begin, first, width, k0, k1, stream):
    """Fill rows of normals for the finest steps from `begin` on; those before the start stay 0."""
    skip = min(max(0, -begin), len(rows))
    rows[:skip] = 0.0
    count = len(rows) - skip
    if count == 0:
        return
    if width == 1:
        fill_steps(rows[skip:], begin + skip, first, k0, k1, stream)
    else:
        shape = (count, rows.shape[1] // width, width)
        fill(floats_of(rows[skip:], shape), begin + skip, first, k0, k1, stream)


@_inline
def _replay(rows, begin, first, width, recorded):
    """Fill rows with recorded increments."""
    rows[:] = 0.0
    for r in range(max(0, -begin), len(rows)):
        for c in range(rows.shape[1] // width):
            for lane in range(min(width, len(recorded) - first)):
                rows[r, c * width + lane] = recorded[first + lane, begin + r, c]


@_inline
def _sum_bridges(bridges, columns, terms, tail):
    """Turn the first number of each leg into the sum of all X / r, of which it is the far part."""
    for g in range(len(bridges)):
        row = bridges[g]
        for k in range(columns):
            row[k] *= math.sqrt(tail)
        for r in range(1, terms + 1):
            x = (2 * r - 1) * columns
            for k in range(columns):
                row[k] += row[x + k] / r


@_inline
def _add_integral(area, early, early_bridge, late, late_bridge, a, b, columns, terms):
    """Add the integral over one finest step, except for the bilinear rest, lane by lane.

    `a` and `b` are the first columns of the earlier and of the later leg.
    """
    linear, bilinear = 1.0 / (math.sqrt(2.0) * math.pi), 0.5 / math.pi
    for i in range(len(area)):
        u, v = early[a + i], late[b + i]
        area[i] += 0.5 * u * v + linear * (u * late_bridge[b + i] - v * early_bridge[a + i])
    for r in range(1, terms + 1):
        x, y = (2 * r - 1) * columns, 2 * r * columns
        for i in range(len(area)):
            area[i] += (bilinear / r) * (
                early_bridge[x + a + i] * late_bridge[y + b + i]
                - early_bridge[y + a + i] * late_bridge[x + b + i]
            )


@_inline
def _add_up(row, moves, begin, fine):
    """Put increments over a step, divided by its root, at the beginning of a row."""
    columns = moves.shape[1]
    row[:columns] = 0.0
    for r in range(begin, begin + fine):
        for i in range(columns):
            row[i] += moves[r, i]
    if fine > 1:
        for i in range(columns):
            row[i] *= 1.0 / math.sqrt(fine)


@_inline
def _mirror(row, columns):
    """Give odd lanes the increments of the lane before with the other sign, and its integrals."""
    for i in range(0, columns, 2):
        row[i + 1] = -row[i]
    for i in range(columns, len(row), 2):
        row[i + 1] = row[i]


@_inline
def _bilinear_rest(terms):
    """Return how much of sum of 1 / r**2 the series leaves out, and the factor of the rest."""
    tail = math.pi * math.pi / 6.0
    for r in range(1, terms + 1):
        tail -= 1.0 / (r * r)
    return tail, math.sqrt(0.5 * tail) / math.pi


def noise_with_integrals(
    z, n, steps, first, channels, k0, k1, fine, mirrored, recorded, pairs, lags, terms
):  # fmt: skip
    """Fill rows with increments over the root of the step, then integrals over the step.

    A pair is (delay or -1, channel of the earlier leg, channel of the later leg). `terms` is 0 for
    recorded increments.
    """
    width = z.shape[1] // channels
    processes = channels - len(pairs)
    columns, square = processes * width, processes * processes
    batch = min(steps, max(1, _ROWS // fine))
    count = batch * fine
    legs = len(lags) + 1
    moves = np.empty((legs, count, columns))
    bridges = np.zeros((legs, count, columns * (2 * terms + 1)))
    late_rest = np.zeros((count, len(lags) * square * width))
    rest = np.zeros((count, square * width))
    tail, left_out = _bilinear_rest(terms)
    if terms == 0:
        left_out = 0.0
    partial, total, area = np.empty(width), np.empty(width), np.empty(width)
    for start in range(0, steps, batch):
        rows = min(batch, steps - start) * fine
        for leg in range(legs):
            begin = (n + start - (lags[leg - 1] if leg > 0 else 0)) * fine
            if terms == 0:
                _replay(moves[leg, :rows], begin, first, width, recorded)
            else:
                _draw(moves[leg, :rows], begin, first, width, k0, k1, NOISE)
                _draw(bridges[leg, :rows], begin, first, width, k0, k1, BRIDGES)
                _sum_bridges(bridges[leg, :rows], columns, terms, tail)
        if terms > 0 and len(lags) > 0:
            _draw(late_rest[:rows], (n + start) * fine, first, width, k0, k1, DELAYED_AREAS)
        if terms > 0 and processes > 1:
            _draw(rest[:rows], (n + start) * fine, first, width, k0, k1, AREAS)
        for g in range(rows // fine):
            row = z[start + g]
            _add_up(row, moves[0], g * fine, fine)
            for q in range(len(pairs)):
                delay, early, late = pairs[q]
                leg, a, b = delay + 1, early * width, late * width
                same = delay < 0 or lags[delay] == 0
                partial[:] = 0.0
                total[:] = 0.0
                for r in range(g * fine, (g + 1) * fine):
                    now, before = moves[0, r], moves[leg, r]
                    area[:] = 0.0
                    if same and early == late:
                        for i in range(width):
                            area[i] = 0.5 * (now[b + i] * now[b + i] - 1.0)
                    else:
                        _add_integral(
                            area, before, bridges[leg, r], now, bridges[0, r], a, b, columns, terms
                        )
                        if same:
                            place = (min(early, late) * processes + max(early, late)) * width
                            sign = left_out if early < late else -left_out
                            for i in range(width):
                                area[i] += sign * rest[r, place + i]
                        else:
                            place = (delay * square + early * processes + late) * width
                            for i in range(width):
                                area[i] += left_out * late_rest[r, place + i]
                    for i in range(width):
                        total[i] += partial[i] * now[b + i] + area[i]
                        partial[i] += before[a + i]
                for i in range(width):
                    row[columns + q * width + i] = total[i] / fine
            if mirrored and width > 1:
                _mirror(row, columns)
