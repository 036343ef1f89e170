"""Calls that would be right but for what a misuse changes in them."""

import numpy as np
import sympy

import sdde
from sdde import cluster
from sdde.solving.saving import plan_saves

X, Y = sympy.Function("x"), sympy.Function("y")
T, R, TAU = sympy.symbols("t r tau")


def decay(t, x, delayed):
    return -x


def late(t, x, delayed):
    return -delayed[0]


# noise that sees a delayed state
SEEING = {"drift": decay, "diffusion": lambda t, x, delayed: 0.3 * delayed[0], "delays": 0.25}


def problem(**changes):
    return sdde.Problem(**({"drift": decay, "history": 1.0} | changes))


def solve(changes=None, **more):
    given = {"t_span": (0.0, 1.0), "dt": 0.1} | more
    return sdde.solve(problem(**(changes or {})), **given)


def jump(**changes):
    return sdde.Jump(**({"rate": 1.0, "effect": lambda t, x, d, m: m} | changes))


def study(**changes):
    given = {"methods": "euler-maruyama", "dts": [0.1, 0.05], "t_span": (0, 1)} | changes
    return sdde.convergence(given.pop("problem", problem(diffusion=0.1)), **given)


def levels(**changes):
    given = {"functional": None, "tolerance": 0.1, "t_span": (0, 1), "dt": 0.1} | changes
    return sdde.multilevel(given.pop("problem", problem(diffusion=0.1)), **given)


FALLING = -X(T)


def symbolic(drift=FALLING, **changes):
    return sdde.Problem.from_sympy(drift, **({"state": X(T), "history": 1.0} | changes))


def solution():
    """Return three paths that nothing had to compute."""
    return sdde.Solution(
        problem=problem(), times=plan_saves("all", 0.0, 1.0, 0.1), x=np.zeros((3, 11)),
        status=np.array(["done"] * 3), end_time=np.ones(3), t_span=(0.0, 1.0), dt=0.1,
        method="euler-maruyama", seed=1,
    )  # fmt: skip


def recorded(*shape):
    """Return a record of increments."""
    return sdde.Brownian.from_increments(np.ones(shape), 0.1)


def simulate(**changes):
    given = {
        "objective": cluster.Quadratic([1.0]), "method": cluster.AsyncSGD(),
        "system": cluster.System(1.0), "learning_rate": 0.1, "workers": 2, "updates": 10,
    } | changes  # fmt: skip
    return cluster.simulate(**given)
