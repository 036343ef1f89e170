"""Dominant roots for any delay law that a cluster produces, without a table for each.

Laws of SciPy keep a table of their own (`root_locus`). Sums, mixtures, cuts and shifts of them come
and go with the number of workers; their roots are read off the marched kernel instead. Nothing here
knows workers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.equation.laws import Law

from .characteristic import rightmost_roots
from .cycle import is_composed
from .mean_curves import mean_curves

Floats = NDArray[np.float64]


def dominant_roots(damping: Floats, law: Law) -> NDArray[np.complexfloating[Any, Any]]:
    """Return the dominant root of ``s + damping * laplace(s)`` for each damping; mean delay one."""
    if is_composed(law):
        return mean_curves(law, damping).slow[0]
    return rightmost_roots(damping, law)
