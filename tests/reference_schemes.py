"""Slow twins of the schemes: plain Python, written from the formulas, one path at a time.

The increments are given; diffusions are matrices (components, Wiener processes) throughout.
"""

import math

import numpy as np
import scipy.optimize


def _whole(ratio):
    """A ratio as whole steps and the share of a further step."""
    if abs(ratio - round(ratio)) < 1e-9 * max(1.0, ratio):
        return round(ratio), 0.0
    return math.floor(ratio), ratio - math.floor(ratio)


class Past:
    """The states of one path on the grid, and between grid times on straight lines."""

    def __init__(self, history, t0, dt, delays):
        self.history, self.t0, self.dt = history, t0, dt
        self.places = [_whole(delay / dt) for delay in delays]
        self.states = [np.array(history(t0), dtype=float)]

    def grid(self, n):
        """The state at a grid index, which may lie before the start."""
        if n >= 0:
            return self.states[n]
        return np.array(self.history(self.t0 + n * self.dt), dtype=float)

    def delayed(self, n):
        """The states at the delays before grid index n, the last known or predicted one."""
        rows = []
        for whole, share in self.places:
            newer, older = self.grid(n - whole), self.grid(n - whole - 1)
            rows.append(newer + share * (older - newer))
        return np.array(rows).reshape(len(rows), len(self.states[0]))


def as_matrix(diffusion, noise):
    """A diffusion that returns one coefficient for each component, as a matrix."""

    def matrix(t, x, d, *args):
        g = np.asarray(diffusion(t, x, d, *args), dtype=float)
        return np.diag(g) if noise == "diagonal" else g[:, None]

    return matrix


def path(scheme, drift, diffusion, delays, history, t0, dt, increments, args=()):
    """All grid states of one path, shape (steps + 1, dim)."""
    past = Past(history, t0, dt, delays)

    def f(t, x, d):
        return np.asarray(drift(t, x, d, *args), dtype=float)

    def g(t, x, d):
        return np.asarray(diffusion(t, x, d, *args), dtype=float)

    for n, dw in enumerate(increments):
        t, x, d = t0 + n * dt, past.states[n], past.delayed(n)
        past.states.append(x)

        def later(guess, n=n):
            past.states[n + 1] = guess
            return t0 + (n + 1) * dt, guess, past.delayed(n + 1)

        past.states[n + 1] = SCHEMES[scheme](f, g, t, x, d, dt, dw, later)
    return np.array(past.states)


def _euler_maruyama(f, g, t, x, d, dt, dw, later):
    return x + f(t, x, d) * dt + g(t, x, d) @ dw


def _heun(f, g, t, x, d, dt, dw, later):
    noise = g(t, x, d) @ dw
    slope = f(t, x, d)
    end = f(*later(x + slope * dt + noise))
    return x + 0.5 * dt * (slope + end) + noise


def _tamed_euler(f, g, t, x, d, dt, dw, later):
    slope = f(t, x, d)
    return x + dt * slope / (1.0 + dt * np.linalg.norm(slope)) + g(t, x, d) @ dw


def _euler_heun(f, g, t, x, d, dt, dw, later):
    slope, start = f(t, x, d), g(t, x, d)
    end = g(*later(x + start @ dw))
    return x + slope * dt + 0.5 * (start + end) @ dw


SCHEMES = {
    "euler-maruyama": _euler_maruyama,
    "heun": _heun,
    "tamed-euler": _tamed_euler,
    "euler-heun": _euler_heun,
}


def implicit(theta, drift, delays, history, t0, dt, noise, args=()):
    """The theta scheme with its equation solved to the end; `noise(n, t, x, d)` is g dW."""
    past = Past(history, t0, dt, delays)
    for n in range(noise.steps):
        t, x, d = t0 + n * dt, past.states[n], past.delayed(n)
        known = x + noise(n, t, x, d)
        if theta < 1.0:
            known = known + (1.0 - theta) * dt * np.asarray(drift(t, x, d, *args))

        def residual(y, n=n, known=known):
            past.states[n + 1] = y
            end = drift(t0 + (n + 1) * dt, y, past.delayed(n + 1), *args)
            return y - known - theta * dt * np.asarray(end)

        past.states.append(x)
        y, info, flag, _ = scipy.optimize.fsolve(residual, x, xtol=1e-13, full_output=True)
        assert flag == 1 or np.abs(info["fvec"]).max() < 1e-12
        past.states[n + 1] = y
    return np.array(past.states)


def recorded_integral(moves, fine, lag, n, early, late):
    """The iterated integral over step n from fine increments (steps, channels) of one path.

    Between two neighbouring points both legs are straight lines. `lag` 0 is the Itô integral; its
    fine steps then add -dt/2 for two equal legs, left to the caller.
    """
    total = reached = 0.0
    for r in range(n * fine, (n + 1) * fine):
        before = moves[r - lag * fine, early] if r >= lag * fine else 0.0
        total += (reached + 0.5 * before) * moves[r, late]
        reached += before
    return total


def milstein(drift, diffusion, slopes, delays, history, t0, dt, moves, fine, *, strat=False):
    """Milstein's scheme on one path of fine increments (steps, channels).

    `slopes(t, x, d)` returns dg[i, k] / dx[a] and dg[i, k] / dd[j, a], shapes (i, k, a) and
    (i, k, j, a).
    """
    past = Past(history, t0, dt, delays)
    lags = [round(delay / dt) for delay in delays]
    steps, channels = len(moves) // fine, moves.shape[1]
    kept = []
    for n in range(steps):
        t, x, d = t0 + n * dt, past.states[n], past.delayed(n)
        g = np.asarray(diffusion(t, x, d))
        kept.append(g)
        dw = moves[n * fine : (n + 1) * fine].sum(axis=0)
        by_state, by_delayed = (np.asarray(s, dtype=float) for s in slopes(t, x, d))
        new = x + np.asarray(drift(t, x, d)) * dt + g @ dw
        for early in range(channels):
            for late in range(channels):
                present = recorded_integral(moves, fine, 0, n, early, late)
                if early == late and not strat:
                    present -= 0.5 * dt
                new = new + by_state[:, late] @ g[:, early] * present
                for j, lag in enumerate(lags):
                    if n < lag:
                        continue
                    if lag == 0:
                        new = new + by_delayed[:, late, j] @ g[:, early] * present
                        continue
                    area = recorded_integral(moves, fine, lag, n, early, late)
                    new = new + by_delayed[:, late, j] @ kept[n - lag][:, early] * area
        past.states.append(new)
    return np.array(past.states)
