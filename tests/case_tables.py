"""The tables of known answers, and limits of a scheme as its time step goes to zero."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sdde

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
    before = rows
    for power in range(1, levels):
        before, weight = rows, 2.0**power
        rows = [(weight * fine - coarse) / (weight - 1.0) for coarse, fine in pairwise(before)]
    return rows[0], float(np.max(np.abs(rows[0] - before[-1])))
