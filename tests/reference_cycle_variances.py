"""Variances of one worker's random cycle, mode by mode and cycle by cycle: no transforms.

Sums over the grid times at which a cycle can end, with complex exponentials as they stand in the
formulas. Slow; it takes grids, kernels and ages as given and shares nothing else with the theory.
"""

import numpy as np


def exponents(cycles, shapes, k):
    """Return the complex exponents of the four shapes and their values at zero taken off."""
    means, i = cycles.means, shapes.modes[k]
    root = complex(min(means.roots[i].real, -1e-3), means.roots[i].imag)
    pair = [root, root.conjugate()] if root.imag else [root, 2.0 * root]
    return np.array([*pair, -1.0 * cycles.rate, -2.5 * cycles.rate])


def shape_mixing(turning):
    """Return what makes real shapes of ``exp(s w) - 1``, (shapes, exponentials)."""
    mixing = np.eye(4, dtype=complex)
    if turning:
        mixing[0, :2], mixing[1, :2] = 0.5, (-0.5j, 0.5j)
    return mixing


def seen_after(cycles, shapes, k, end):
    """Return what the reading and the shapes make at every time, given the end of the cycle."""
    means, i = cycles.means, shapes.modes[k]
    cells = means.mean.shape[1]
    time = np.arange(cells) * means.step[i, 0]
    renewals, answer = means.renewals[cycles.group][i], cycles.answer[i]
    flat = np.convolve(renewals, answer)[:cells]
    raw = []
    for exponent in exponents(cycles, shapes, k):
        wave = np.convolve(np.exp(exponent * time) * renewals, answer)[:cells]
        raw.append(np.exp(exponent * time[end]) * wave - flat)
    rows = np.concatenate([[cycles.lasting[i]], (shape_mixing(shapes.turning[k]) @ raw).real])
    out = np.zeros((5, cells))
    out[:, end:] = rows[:, : cells - end]
    return out


def covariances(cycles, shapes, k, chance):
    """Return Cov of all pairs over ends of the cycle with these probabilities, (5, 5, times)."""
    cells = chance.size
    first, second = np.zeros((5, cells)), np.zeros((5, 5, cells))
    for end in np.flatnonzero(chance):
        seen = seen_after(cycles, shapes, k, end)
        products = seen[:, None] * seen[None]
        products[0, 0, end] *= 2.0  # half before the jump, which is zero, half after it
        first += chance[end] * seen
        second += chance[end] * products
    return second - first[:, None] * first[None]


def change_of_mean(cycles, i, at, age):
    """Return how the mean changes in `age` grid steps after a reading, but for the own arrivals."""
    means, group = cycles.means, cycles.group
    others = np.array(means.others[group][i])
    others[0] = 1.0
    mean, arriving = means.mean[i], means.arriving[group][i]
    cells, step = mean.size, means.step[i, 0]
    total = (means.reading[group][i][at] - mean[at]) * (others[age] - 1.0)
    for j in range(at, min(at + age, cells - 1)):
        own = means.alpha[i] * cycles.rate * step * 0.5 * (arriving[j] + arriving[j + 1])
        ago = at + age - j
        total += mean[j + 1] - mean[j] + 0.5 * (others[ago - 1] + others[ago]) * own
    return total


def fluctuating(cycles, shapes, k, exponent, cross):
    """Return the variance per arrival of what fluctuates, from covariances (5, 5, times)."""
    means, i, group = cycles.means, shapes.modes[k], cycles.group
    kick = np.array(means.kick[group][i])
    kick[0] *= 0.5
    cells, step = kick.size, means.step[i, 0]
    left = np.cumsum(kick[::-1] ** 2)[::-1]
    alike = np.zeros(cells)
    for shift in range(cells):
        for j in range(cells - shift):
            if left[j] > 1e-7 * left[0]:
                alike[shift] += kick[j] * kick[j + shift] * np.exp(min(-j * step * exponent, 60.0))
    alike /= alike[0]
    ages, project = shapes.ages, shapes.project[k]
    values = shapes.values[k]
    both = np.empty((ages.size, ages.size))
    for p, a in enumerate(ages):
        for q, b in enumerate(ages):
            both[p, q] = np.exp(min(a, b) * step * exponent) * alike[abs(a - b)]
            both[p, q] += 1.0 - alike[a] - alike[b]
    others = 1.0 - means.share[group][i, 0]
    linear = others * project @ (alike[ages] - 1.0)
    square = others * project @ both @ project.T
    rough = others * (alike[ages] - 1.0) - linear @ values
    rougher = others * np.diag(both) - np.array([v @ square @ v for v in values.T])
    mass, answer = means.mass[group][i], cycles.answer[i]
    every = np.arange(cells)
    out = np.array(cross[0, 0])
    for a in range(4):
        out += 2.0 * linear[a] * cross[0, 1 + a]
        for b in range(4):
            out += square[a, b] * cross[1 + a, 1 + b]
    out += np.convolve(mass * np.interp(every, ages, rough), 2.0 * cycles.lasting[i] * answer)[
        :cells
    ]
    return out + np.convolve(mass * np.interp(every, ages, rougher), answer**2)[:cells]
