r"""Divergence of a few equal workers whose cycles are sums of exponential stages: exactly.

The stages of all workers are a Markov chain, in which equal workers need not be told apart: a state
says how many are in each stage. For each state the second moments of the parameter *x* and of what
the workers hold (:math:`x^2`; *x* with the sum over a stage; pairs of stages; squares in a stage)
obey a closed linear system. Expected squares stay bounded iff no eigenvalue of it has a positive
real part. It grows fast with workers and stages, and serves to correct what is approximate for few
workers. Derived in this project.
"""

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigs

from .bracket import root_between
from .exact import equal_memoryless, in_turn

_SHIFT = 0.3  # of the inverse iteration, per mean cycle: right of all that matters


@lru_cache(maxsize=64)
def largest_alpha(workers: int, stages: int) -> float:
    """Return the learning rate times eigenvalue from which expected squares grow.

    Parameters
    ----------
    workers : int
    stages : int
        Of equal means, at least 2.
    """
    parts = generator(workers, stages)
    start = np.ones(parts[0].shape[0])

    def growth(alpha: float) -> float:
        matrix = (parts[0] + alpha * parts[1] + alpha**2 * parts[2]).tocsc()
        found: Any = eigs(matrix, k=1, sigma=_SHIFT, v0=start, return_eigenvectors=False)
        return float(found[0].real)

    return root_between(growth, 0.98 * in_turn(workers), 1.02 * equal_memoryless(workers))


def generator(workers: int, stages: int) -> tuple[Any, Any, Any]:
    """Return the system's parts that are free of alpha, linear in it and quadratic."""
    states = [
        tuple(np.bincount(each, minlength=stages).tolist())
        for each in itertools.combinations_with_replacement(range(stages), workers)
    ]
    place = {state: k for k, state in enumerate(states)}
    pairs = list(itertools.combinations_with_replacement(range(stages), 2))
    with_x = {s: 1 + s for s in range(stages)}
    pair = {both: 1 + stages + k for k, both in enumerate(pairs)}
    pair |= {(t, s): k for (s, t), k in pair.items()}
    square = {s: 1 + stages + len(pairs) + s for s in range(stages)}
    count = 1 + 2 * stages + len(pairs)
    entries: list[list[tuple[int, int, float]]] = [[], [], []]

    for state, here in place.items():
        for s, number in enumerate(state):
            if number == 0:
                continue
            after = list(state)
            after[s] -= 1
            after[(s + 1) % stages] += 1
            there, rate = place[tuple(after)] * count, float(stages)

            def add(
                to: int, source: int, weight: float, power: int = 0, there: int = there,
                here: int = here,
            ) -> None:  # fmt: skip
                entries[power].append((there + to, here * count + source, stages * weight))

            for k in range(count):
                entries[0].append((here * count + k, here * count + k, -rate * number))
            last = s == stages - 1
            # Those who stay in their stage; weights are rates: `number` may move.
            for t in range(stages):
                left = number - (t == s)
                add(with_x[t], with_x[t], left)
                add(square[t], square[t], left)
            for a, b in pairs:
                add(pair[a, b], pair[a, b], number - (a == s) - (b == s))
            if not last:
                add(0, 0, number)
                add(with_x[s + 1], with_x[s], 1.0)
                add(square[s + 1], square[s], 1.0)
                for t in range(stages):
                    if t != s:
                        add(pair[s + 1, t], pair[s, t], 1.0)
                add(pair[s, s + 1], pair[s, s], 2.0)
                continue
            # An arrival: x and what its worker holds become x - alpha y.
            for to in (0, with_x[0], square[0]):
                add(to, 0, number)
                add(to, with_x[s], -2.0, 1)
                add(to, square[s], 1.0, 2)
            for t in range(stages):
                twice = 1.0 + (t == s)
                add(with_x[t], pair[s, t], -twice, 1)
                add(pair[0, t], with_x[t], number - (t == s))
                add(pair[0, t], pair[s, t], -twice, 1)
    size = len(states) * count
    return tuple(
        sparse.csr_matrix(
            ([e[2] for e in part], ([e[0] for e in part], [e[1] for e in part])), (size, size)
        )
        for part in entries
    )  # type: ignore[return-value]
