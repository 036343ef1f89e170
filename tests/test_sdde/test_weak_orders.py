"""Weak orders of every method and class of noise, from exact second moments, each within 0.12.

The moments of the schemes come from a recursion on linear equations (`tests.reference_moments`),
which is held against the solver once for every scheme; those of the equations from the theory of
delay systems. The matrices are such that the mean square of a system obeys the equation of a scalar
one. Tamed Euler is not linear: its moments are sums over all paths of two-point increments, which
match three moments and so keep order 1. Nothing here is random. Milstein's scheme with noise that
sees the past is in `test_method_orders`.
"""

import itertools
import math

import numpy as np
import pytest

import sdde
from sdde.engine.methods import METHODS
from sdde.engine.noise_classes import CLASSES, noise_class
from sdde.theory import DelaySystem
from tests import reference_moments as reference

DRIFT, DELAY = (-0.8, 0.2), 0.5  # in front of x and of the delayed x
STRENGTH, LATE = 0.5, 0.3
EYE, TURN = np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]])
SHEAR, LIFT = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.3, 0.0], [math.sqrt(0.91), 0.0]])
MATRICES = {  # the sum of all transpose(C) C is the square of the strength
    "commutative": STRENGTH * math.sqrt(0.5) * np.array([EYE, TURN]),
    "general": STRENGTH * np.array([SHEAR, LIFT]),
}


def linear(kind):
    """The equation of a class of noise, in the sense of Itô."""
    if kind in MATRICES:
        noise, start = MATRICES[kind], np.array([1.0, 0.5])
    else:
        noise = np.full((1, 1, 1), STRENGTH if kind in ("diagonal", "delayed") else 0.0)
        start = np.array([1.0])
    channels, dim = noise.shape[:2]
    return reference.Linear(
        DRIFT[0] * np.eye(dim), DRIFT[1] * np.eye(dim), noise,
        np.full_like(noise, LATE if kind == "delayed" else 0.0),
        np.full((channels, dim), float(kind == "additive")), DELAY, start,
    )  # fmt: skip


def exact(kind):
    """E |x(1)|^2 from the theory."""
    start = linear(kind).start
    noise = {"noise": 1.0} if kind == "additive" else {}
    if kind not in ("none", "additive"):
        noise = {"multiplicative": (STRENGTH, LATE if kind == "delayed" else 0.0)}
    system = DelaySystem(*DRIFT, DELAY, **noise)
    variance = 0.0 if kind == "none" else float(system.variance(1.0, history=1.0))
    return float(start @ start) * (variance + float(system.mean(1.0, history=1.0)) ** 2)


def problem(equation, calculus, **changes):
    """The equation as users write it."""

    def diffusion(t, x, d):
        return np.stack(equation.columns(x, d[0], 1.0), axis=1)

    arguments = {"diffusion": diffusion, "noise": "general"} | changes
    return sdde.Problem(
        lambda t, x, d: equation.drift(x, d[0]), delays=DELAY, history=equation.start,
        calculus=calculus, **arguments,
    )  # fmt: skip


def written(kind):
    """The problem with the diffusion and the keyword that belong to its class of noise."""
    equation = linear(kind)
    diffusion = {
        "none": None, "additive": 1.0, "diagonal": lambda t, x, d: STRENGTH * x,
        "delayed": lambda t, x, d: STRENGTH * x + LATE * d[0],
    }.get(kind, lambda t, x, d: np.stack([c @ x for c in equation.noise], axis=1))  # fmt: skip
    noise = kind if kind in MATRICES else "diagonal"
    return problem(equation, "ito", noise=noise, diffusion=diffusion)


def all_paths(values, weights, steps, channels, dt):
    """All paths of a discrete law for the increments, and the probability of each."""
    paths = np.array(list(itertools.product(values, repeat=steps * channels)))
    share = [math.prod(w) for w in itertools.product(weights, repeat=steps * channels)]
    moves = math.sqrt(dt) * paths.reshape(-1, steps, channels)
    return sdde.Brownian.from_increments(moves, dt), np.array(share)


def slope(dts, errors):
    return float(np.polyfit(np.log(dts), np.log(errors), 1)[0])


@pytest.mark.parametrize(("method", "calculus"), reference.STEPS)
def test_the_recursion_of_moments_is_that_of_the_solver(method, calculus):
    """An equation with every term, over all 729 paths of three-point increments."""
    rng = np.random.default_rng(1)
    equation = reference.Linear(
        *(0.5 * rng.normal(size=size) for size in ((2, 2), (2, 2), (2, 2, 2), (2, 2, 2), (2, 2))),
        DELAY, np.array([1.0, 0.5]),
    )  # fmt: skip
    if method == "milstein":
        equation = equation._replace(noise_late=np.zeros((2, 2, 2)))
    triple = math.sqrt(3.0)
    noise, share = all_paths((-triple, 0.0, triple), (1 / 6, 2 / 3, 1 / 6), 3, 2, 0.25)
    end = sdde.solve(
        problem(equation, calculus), (0.0, 0.75), dt=0.25, paths=len(share), noise=noise,
        method=method, save="final",
    ).x[:, 0]  # fmt: skip
    moment = reference.second_moment((method, calculus), equation, 0.25, 3, areas=False)
    assert share @ (end**2).sum(axis=1) == pytest.approx(moment, rel=1e-12)


CELLS = [
    (*scheme, kind)
    for scheme in reference.STEPS
    for kind in CLASSES
    if (scheme[0], kind) != ("milstein", "delayed")
]


def test_every_declared_order_has_its_test():
    """Here, but for Milstein's scheme with noise that sees the past; classes are recognised."""
    here = {(method, kind) for method, _, kind in CELLS} | {("tamed-euler", k) for k in CLASSES}
    declared = {(name, kind) for name, method in METHODS.items() for kind in method.orders}
    assert declared - here == {("milstein", "delayed")}
    for kind in CLASSES:
        assert noise_class(written(kind), linear(kind).start.shape) == kind


@pytest.mark.parametrize(("method", "calculus", "kind"), CELLS)
def test_the_weak_order_is_the_declared_one(method, calculus, kind):
    """E |x(1)|^2, areas included, at steps from 1/16 to 1/128."""
    equation = linear(kind) if calculus == "ito" else linear(kind).in_stratonovich()
    counts = (16, 32, 64, 128)
    found = [
        reference.second_moment((method, calculus), equation, 1.0 / n, n, areas=True)
        for n in counts
    ]
    measured = slope([1.0 / n for n in counts], np.abs(np.array(found) - exact(kind)))
    assert abs(measured - METHODS[method].orders[kind].weak) < 0.12


@pytest.mark.parametrize("kind", CLASSES)
def test_the_weak_order_of_tamed_euler_is_the_declared_one(kind):
    """E |x(1)|^2 over all paths, at most 65536; without noise there is one."""
    counts = {"none": (16, 32, 64, 128)}.get(kind, (4, 6, 8) if kind in MATRICES else (4, 8, 14))
    channels = len(linear(kind).noise)
    errors = []
    for n in counts:
        noise, share = None, np.ones(1)
        if kind != "none":
            noise, share = all_paths((-1.0, 1.0), (0.5, 0.5), n, channels, 1.0 / n)
        end = sdde.solve(
            written(kind), (0.0, 1.0), dt=1.0 / n, paths=len(share), noise=noise,
            method="tamed-euler", save="final",
        ).x[:, 0]  # fmt: skip
        errors.append(abs(share @ (end**2).reshape(len(share), -1).sum(axis=1) - exact(kind)))
    measured = slope([1.0 / n for n in counts], errors)
    assert abs(measured - METHODS["tamed-euler"].orders[kind].weak) < 0.12
