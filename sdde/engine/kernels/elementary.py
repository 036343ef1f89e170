"""The elementary functions of the engine, by NumPy's names.

The C library's functions stop LLVM from computing several paths at once, and their last bits depend on
its version. These are polynomials, at most 2 units in the last place from the exact value over the
whole range of double, with the values of IEEE 754 at zeros, infinities, nan and subnormal numbers; a
call with the same argument gives the same bits in a scalar, in a vector and on any processor with fused
multiply-add (others emulate it). An exception to "the whole range": in lanes, sine, cosine and tangent
are nan beyond |x| = 2**47; see `trigonometric.py`.
"""

from typing import Any

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
from sdde.engine.kernels.trigonometric import (
    arctan,
    cos,
    cos_near,
    sin,
    sin_near,
    tan,
    tan_near,
)

__all__ = [
    "IN_LANES", "arctan", "cos", "cosh", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2",
    "power", "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip

# What to call, by NumPy's name, inside a loop over paths that is to vectorise.
IN_LANES: dict[str, Any] = {
    "arctan": arctan,
    "cos": cos_near,
    "cosh": cosh,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "power": power,
    "sin": sin_near,
    "sinh": sinh,
    "sqrt": sqrt,
    "tan": tan_near,
    "tanh": tanh,
}
