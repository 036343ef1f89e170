"""One uniform number in, one draw out, for any law.

Reads the tables written by `equation.laws.Law.table`: constants, exponentials, measured values,
weighted values, and smooth laws as polynomials on cells of probability that halve towards 0 and 1.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sdde.engine.kernels.exponential import log_of_normal
from sdde.engine.kernels.vectorir import bits_of, float_of

_52, _FRACTION = np.uint64(52), np.uint64((1 << 52) - 1)
_HALF = np.uint64(0x3FE0000000000000)  # the bits of 0.5
_LEVELS = 53
_TERMS = 8


@njit(error_model="numpy", cache=True)
def quantile(table: NDArray[np.float64], u: float, first: int = 0) -> float:
    """Return the `u`-quantile, 0 < u < 1, of the law behind `table`, which starts at `first`."""
    kind = int(table[first])
    if kind == 0:
        return table[first + 1]
    if kind == 1:
        return table[first + 1] - table[first + 2] * log_of_normal(1.0 - u)
    size = int(table[first + 1])
    first += 2
    if kind == 2:
        return table[first + min(int(u * size), size - 1)]
    if kind == 4:
        low, high = 0, size - 1
        while low < high:
            middle = (low + high) // 2
            if table[first + middle] < u:
                low = middle + 1
            else:
                high = middle
        return table[first + size + low]
    side = 0 if u < 0.5 else 1
    bits = bits_of(u if side == 0 else 1.0 - u)  # 2**exponent times a fraction from 1/2 on
    exponent = int(bits >> _52) - 1022
    fraction = float_of((bits & _FRACTION) | _HALF)
    if exponent == 0:  # exactly one half
        fraction, exponent = 1.0, -1
    level = min(-exponent, _LEVELS) - 1
    position = (2.0 * fraction - 1.0) * size
    cell = min(int(position), size - 1)
    y = 2.0 * (position - cell) - 1.0
    base = first + ((side * _LEVELS + level) * size + cell) * _TERMS
    value = table[base + _TERMS - 1]
    for i in range(_TERMS - 2, -1, -1):
        value = value * y + table[base + i]
    return value
