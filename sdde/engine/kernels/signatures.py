"""What the compiled loops are called with: names, kinds, and their layout in memory.

A kind is ``"i"`` (int64), ``"u"`` (uint64) or ``"f"`` (float64), or one of these or ``"b"`` (int8)
with a number of dimensions: ``"f2"`` is a C-contiguous matrix of floats. Nothing here compiles.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

# How a path ended.
DONE, DIVERGED, INTERRUPTED = 0, 1, 2

WATCH = 32  # steps between looks for divergence, a divisor of every group of steps

# `lanes` are the paths of a block, the first of which is `first`; `counts` and `upcoming` hold each
# jump's arrivals so far and the time of the next.
CHUNK = {
    "ring": "f2", "past": "f3", "z": "f2",
    "now": "i", "n": "i", "steps": "i", "lanes": "i", "first": "i", "histories": "i",
    "t0": "f", "dt": "f", "root": "f",
    "delays": "f1", "lags": "i1", "shares": "f1", "p": "f1",
    "keys": "u1", "upcoming": "f2", "counts": "i2", "rates": "f1", "tables": "f1", "starts": "i1",
    "flags": "i1",
}  # fmt: skip

# `fine` is how many finer steps one step sums; `recorded` holds increments that were written down.
NOISE_FILL = {
    "z": "f2", "n": "i", "steps": "i", "first": "i", "channels": "i", "k0": "u", "k1": "u",
    "fine": "i", "mirrored": "i", "recorded": "f3",
}  # fmt: skip

FILL_NOISE = {"noise": "i", **NOISE_FILL}

# `chunk` and `noise` are addresses of machine code; `ring` to `ended_at` is room for one block,
# which decides its width (`ended_at`), how many steps are computed at a time (`z`), and the depth
# of the ring. `keys` holds the key of arrivals, then that of the noise.
DRIVE = {
    "chunk": "i", "noise": "i", "ring": "f2", "z": "f2", "upcoming": "f2", "counts": "i2",
    "ended_at": "i1",
    "first": "i", "last": "i", "channels": "i", "n_steps": "i",
    "t0": "f", "t1": "f", "dt": "f", "limit": "f",
    "delays": "f1", "lags": "i1", "shares": "f1", "p": "f1", "past": "f3",
    "keys": "u1", "rates": "f1", "tables": "f1", "starts": "i1",
    "save_spans": "i2", "save_shares": "f1", "out": "f3", "kept_from": "i", "codes": "b1",
    "ended": "f1", "stop": "i1", "flags": "i1", "fine": "i", "mirrored": "i", "recorded": "f3",
}  # fmt: skip

_DTYPES = {"f": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64)}
_DTYPES["b"] = np.dtype(np.int8)
_NUMBERS = {"i": "q", "u": "Q", "f": "d"}


def layout_of(kinds: Mapping[str, str]) -> str:
    """Return the layout of arguments in memory: an array is its address and its shape."""
    return "=" + "".join(
        _NUMBERS[kind] if len(kind) == 1 else "Q" + int(kind[1]) * "q" for kind in kinds.values()
    )


def pack(kinds: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    """Return arguments laid out for compiled code; the caller keeps the arrays alive.

    Raises
    ------
    TypeError
        If an array is not of its kind: compiled code would read it as if it were.
    """
    numbers: list[Any] = []
    for name, kind in kinds.items():
        value = values[name]
        if len(kind) == 1:
            numbers.append(value)
            continue
        fits = value.dtype == _DTYPES[kind[0]] and value.ndim == int(kind[1])
        if not (fits and value.flags.c_contiguous):
            raise TypeError(f"{name} is {value.dtype} with shape {value.shape}, expected {kind}")
        numbers.append(value.ctypes.data)
        numbers += value.shape
    return struct.pack(layout_of(kinds), *numbers)
