"""The tables of known answers, and limits of a scheme as its time step goes to zero.

What chance decides is compared at Z = 5 standard errors: a false alarm of 6e-7 for each number.
"""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sdde

Z = 5.0
FOLDER = Path(__file__).parent / "cases"


def table(file="sdde.json"):
    """Return all cases of a file."""
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))["cases"]


def named(*prefixes, file="sdde.json"):
    """Parametrise a test by the cases whose id begins with one of `prefixes`."""
    chosen = [case for case in table(file) if case["id"].startswith(prefixes)]
    assert chosen, prefixes
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in chosen])


def limit(problem, times, dt, *, levels=8, t0=0.0, **options):
    """Return the states at `times` for a time step of zero, and how sure they are.

    Solves without noise at dt, dt/2, dt/4, ... and removes one power of dt after the other
    (Richardson), as Euler's error allows where the time steps divide the delays. The second value
    is the change that the last level made.
    """
    rows = []
    for k in range(levels):
        step = dt / 2**k
        every = sdde.solve(problem, (t0, max(times)), dt=step, save=list(times), **options)
        rows.append(every.x[0])
    fine = extrapolated(rows)
    return fine, float(np.max(np.abs(fine - extrapolated(rows[:-1]))))


def extrapolated(rows):
    """Remove one power of dt after the other from values at dt, dt/2, dt/4, ..."""
    rows, power = list(rows), 1.0
    while len(rows) > 1:
        power *= 2.0
        rows = [(power * fine - coarse) / (power - 1.0) for coarse, fine in pairwise(rows)]
    return rows[0]


def impulse(problem, dt, end, **options):
    """Return the response at grid times to a unit step of the last component at the start."""
    dim = problem.past.state_shape(0.0)
    states = np.zeros((3, *dim))
    states[2] = 1.0 if dim == () else np.eye(*dim)[-1]
    late = max(problem.delays) + 3.0 * dt
    problem = problem.replace(diffusion=None, history=([-late, -dt, 0.0], states))
    return sdde.solve(problem, (0.0, end), dt=dt, **options).x[0]


def at_step_zero(problem, end, dt, statistics, *, paths, seed):
    """Return statistics extrapolated from dt and dt/2, and their errors from batches."""
    samples = []
    for k in range(2):
        x = sdde.solve(
            problem, (0.0, end), dt=dt / 2**k, paths=paths, rng=seed + k, save="final"
        ).x[:, 0]
        samples.append(np.array([statistics(part) for part in np.array_split(x, 40)]))
    values = 2.0 * samples[1] - samples[0]
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(40)


def agree(found, expected, *, relative):
    """Whether values agree within Z errors, and the errors are small enough to tell."""
    value, error = found
    scale = np.abs(expected)
    return np.all(error < relative * scale) and np.all(np.abs(value - expected) < Z * error)
