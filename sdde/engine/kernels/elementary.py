"""The elementary functions of loops over paths, by NumPy's names.

The C library's functions stop LLVM from computing several paths at once, and their last bits depend
on its version. These are polynomials, at most 2 units in the last place from the exact value over
the whole range of double, with the values of IEEE 754 at zeros, infinities, nan and subnormal
numbers; the same argument gives the same bits in a scalar, in a vector and on any processor. One
exception to "the whole range": sine, cosine and tangent are nan beyond 2**47, where neighbouring
floats are 1/32 apart; `trigonometric.py` has scalar ones without that limit.
"""

from sdde.engine.kernels.exponential import (
    cosh,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    power,
    sinh,
    sqrt,
    tanh,
)
from sdde.engine.kernels.trigonometric import arctan
from sdde.engine.kernels.trigonometric import cos_near as cos
from sdde.engine.kernels.trigonometric import sin_near as sin
from sdde.engine.kernels.trigonometric import tan_near as tan

__all__ = [
    "arctan", "cos", "cosh", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "power",
    "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip
