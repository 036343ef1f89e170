"""Dominant roots for any delay law that the cluster produces, without tabulating each one anew.

A law that is another one a little early (half the time between two updates) has nearly the other's
roots. They start Newton's iteration; below the double root the real branch is used directly.
Nothing here knows about workers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .characteristic import critical_damping, rightmost_roots
from .cycle import Clipped
from .root_locus import polish

Floats = NDArray[np.float64]


def dominant_roots(damping: Floats, law: Law) -> NDArray[np.complexfloating[Any, Any]]:
    """Return the dominant root of ``s + damping * laplace(s)`` for each damping, in 1/time."""
    if not isinstance(law.source, Clipped):
        return rightmost_roots(damping, law)
    near = law.source.law
    critical = critical_damping(law).damping / law.mean
    if critical == 0.0:
        return rightmost_roots(damping, law)
    roots = np.empty(damping.shape, dtype=complex)
    real = damping <= critical
    roots[real] = rightmost_roots(damping[real], law)
    if not real.all():
        ratio = critical_damping(near).damping / near.mean / critical
        start = rightmost_roots(damping[~real] * ratio, near)
        roots[~real] = polish(law, start, damping[~real], steps=40)
        lost = np.isnan(roots)
        if lost.any():
            roots[lost] = rightmost_roots(damping[lost], law)
    return roots
