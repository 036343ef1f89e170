"""Exact second moments of the schemes on linear equations, from the formulas of the schemes.

For dx = (A x + B x_late) dt + sum_k (C_k x + D_k x_late + s_k) dW_k a step is linear in the states
for given increments, so the second moments of all grid states follow a recursion. The expectation
over the increments of one step is a sum over three points each, which have the first five moments
of a Wiener increment: the square of no step has a higher power than the fourth. Areas have mean 0
given the increments and enter squared only, so two points serve.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np


class Linear(NamedTuple):
    """A linear equation with one delay and a constant history."""

    instant: np.ndarray  # A (dim, dim)
    late: np.ndarray  # B (dim, dim)
    noise: np.ndarray  # C (channels, dim, dim)
    noise_late: np.ndarray  # D (channels, dim, dim)
    noise_free: np.ndarray  # s (channels, dim)
    delay: float
    start: np.ndarray  # (dim,)

    def drift(self, x, late):
        return self.instant @ x + self.late @ late

    def columns(self, x, late, one):
        """The coefficient of each Wiener process."""
        parts = zip(self.noise, self.noise_late, self.noise_free, strict=True)
        return [c @ x + d @ late + np.multiply.outer(s, one) for c, d, s in parts]

    def in_stratonovich(self):
        """The same process with its noise in the sense of Stratonovich."""
        instant, late = self.instant.copy(), self.late.copy()
        for c, d in zip(self.noise, self.noise_late, strict=True):
            instant -= 0.5 * c @ c
            late -= 0.5 * c @ d
        return self._replace(instant=instant, late=late)


def _euler(e, h, x, late, after, one, w, area):
    return x + h * e.drift(x, late) + _sum(e.columns(x, late, one), w)


def _heun(e, h, x, late, after, one, w, area):
    guess = _euler(e, h, x, late, after, one, w, area)
    slope = 0.5 * (e.drift(x, late) + e.drift(guess, after))
    return x + h * slope + _sum(e.columns(x, late, one), w)


def _theta(theta):
    def step(e, h, x, late, after, one, w, area):
        known = x + (1.0 - theta) * h * e.drift(x, late) + _sum(e.columns(x, late, one), w)
        left = np.eye(len(e.start)) - theta * h * e.instant
        return np.linalg.solve(left, known + theta * h * e.late @ after)

    return step


def _euler_heun(e, h, x, late, after, one, w, area):
    begin = e.columns(x, late, one)
    end = e.columns(x + _sum(begin, w), after, one)
    return x + h * e.drift(x, late) + 0.5 * (_sum(begin, w) + _sum(end, w))


def _milstein(shift):
    """`shift` is 1 for Itô's and 0 for Stratonovich's integrals; no noise that sees the past."""

    def step(e, h, x, late, after, one, w, area):
        total = _euler(e, h, x, late, after, one, w, area)
        columns = e.columns(x, late, one)
        for early, column in enumerate(columns):
            for k, slope in enumerate(e.noise):
                integral = 0.5 * w[early] * w[k] + np.sign(k - early) * area
                integral -= 0.5 * shift * h * (early == k)
                total = total + integral * slope @ column
        return total

    return step


def _sum(columns, w):
    return sum(column * move for column, move in zip(columns, w, strict=True))


STEPS = {
    ("euler-maruyama", "ito"): _euler,
    ("heun", "ito"): _heun,
    ("theta", "ito"): _theta(0.5),
    ("implicit-euler", "ito"): _theta(1.0),
    ("euler-heun", "stratonovich"): _euler_heun,
    ("milstein", "ito"): _milstein(1),
    ("milstein", "stratonovich"): _milstein(0),
}


def second_moment(scheme, equation, h, steps, *, areas):
    """E |x|^2 after `steps` steps of length h.

    The mean square of an area is h^2 / 4; without `areas` all are at their mean, 0.
    """
    lag, dim, channels = round(equation.delay / h), len(equation.start), len(equation.noise)
    eye, none = np.eye(3 * dim + 1), np.zeros(3 * dim + 1)
    none[-1] = 1.0
    x, late, after = eye[:dim], eye[dim : 2 * dim], eye[2 * dim : 3 * dim]
    drawn = areas and channels > 1
    maps, weights = [], []
    for points in itertools.product((-1, 0, 1), repeat=channels):
        w = [math.sqrt(3.0 * h) * point for point in points]
        share = math.prod(1 / 6 if point else 2 / 3 for point in points)
        for area in (-0.5 * h, 0.5 * h) if drawn else (0.0,):
            maps.append(STEPS[scheme](equation, h, x, late, after, none, w, area))
            weights.append(share / (2 if drawn else 1))
    mean = np.tensordot(weights, maps, axes=1)
    begin = np.append(np.tile(equation.start, lag + 1 + steps), 1.0)  # states, then the number 1
    moments = np.outer(begin, begin)
    for n in range(lag, lag + steps):
        rows = [np.arange(k * dim, (k + 1) * dim) for k in (n, n - lag, n - lag + 1)]
        seen = np.concatenate([*rows, [len(begin) - 1]])
        new = np.arange((n + 1) * dim, (n + 2) * dim)
        inside = moments[np.ix_(seen, seen)]
        across = mean @ moments[seen]
        moments[new], moments[:, new] = across, across.T
        moments[np.ix_(new, new)] = sum(
            share * step @ inside @ step.T for share, step in zip(weights, maps, strict=True)
        )
    return float(np.trace(moments[np.ix_(new, new)]))
