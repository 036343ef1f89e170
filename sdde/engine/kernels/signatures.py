"""What the compiled loops are called with: names, kinds, and their layout in memory.

A kind is ``"i"`` (int64), ``"u"`` (uint64) or ``"f"`` (float64), or one of these or ``"b"`` (int8)
with a number of dimensions: ``"f2"`` is a C-contiguous matrix of floats. Nothing here compiles.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

# How a path ended.
DONE, DIVERGED, INTERRUPTED, HIT = 0, 1, 2, 3

AHEAD = 16  # times between arrivals that are drawn at once
WATCH = 32  # steps between looks for divergence, a divisor of every group of steps

# `lanes` are the paths of a block, the first of which is `first`; `counts` and `upcoming` hold each
# jump's arrivals so far and the time of the next, a row of `gaps` (jump * width + lane) the times
# between the next ones, in units of their mean.
CHUNK = {
    "ring": "f2", "past": "f3", "z": "f2",
    "now": "i", "n": "i", "steps": "i", "lanes": "i", "first": "i", "histories": "i",
    "t0": "f", "dt": "f", "root": "f",
    "delays": "f1", "lags": "i1", "shares": "f1", "p": "f1",
    "keys": "u1", "upcoming": "f2", "gaps": "f2", "counts": "i2",
    "rates": "f1", "tables": "f1", "starts": "i1",
    "flags": "i1",
}  # fmt: skip

# `fine` is how many finer steps one step sums; `recorded` holds increments that were written down.
# `pairs` are iterated integrals, which need `terms` of each bridge's series (`integrals`); they
# follow the increments in a row of `z`, and count among the channels.
NOISE_FILL = {
    "z": "f2", "n": "i", "steps": "i", "first": "i", "channels": "i", "k0": "u", "k1": "u",
    "fine": "i", "mirrored": "i", "recorded": "f3", "pairs": "i2", "lags": "i1", "terms": "i",
}  # fmt: skip

FILL_NOISE = {"noise": "i", **NOISE_FILL}

# `chunk`, `observe` and `noise` are addresses of machine code; `observe` has the arguments of a
# chunk, and writes values of functions into `z`. `ring` to `led_to` is room for one block, which
# decides its width (`ended_at`), how many steps are computed at a time (`z`), and the depth of the
# ring, whose rows have room behind the state for numbers that methods keep, 0 before the start.
# `keys` holds the key of arrivals, then that of the noise.
#
# Watched are `hits` hitting functions (0 or 1) and functionals of `kinds`, up to the grid index
# `whole` and a share `beyond` of the step after it. A run begins at grid index `begin`, with the
# place (span, index, column) among what is saved, and leaves at index `keep_at` (-1: nowhere) what
# the next begins with: rows of the ring (blocks, rows, columns); for each path the steps of
# divergence and hit and the counts of arrivals; the share of the step before the hit, the arrivals
# to come and the functionals.
DRIVE = {
    "chunk": "i", "observe": "i", "noise": "i", "ring": "f2", "z": "f2", "values": "f2",
    "upcoming": "f2", "gaps": "f2", "counts": "i2", "totals": "f2", "ended_at": "i1",
    "hit_at": "i1", "hit_share": "f1", "stopped": "f1", "led_to": "f1",
    "first": "i", "last": "i", "channels": "i", "n_steps": "i",
    "t0": "f", "t1": "f", "dt": "f", "limit": "f",
    "delays": "f1", "lags": "i1", "shares": "f1", "p": "f1", "past": "f3",
    "keys": "u1", "rates": "f1", "tables": "f1", "starts": "i1",
    "save_spans": "i2", "save_shares": "f1", "out": "f3", "codes": "b1",
    "ended": "f1", "stop": "i1", "flags": "i1", "fine": "i", "mirrored": "i", "recorded": "f3",
    "hits": "i", "direction": "i", "whole": "i", "beyond": "f", "kinds": "i1", "results": "f2",
    "hit_times": "f1",
    "begin": "i", "keep_at": "i", "span": "i", "index": "i", "column": "i",
    "tail": "f3", "marks": "i2", "numbers": "f2",
    "pairs": "i2", "terms": "i",
}  # fmt: skip

# One path at a time: `ring` holds states on the finest grid, `desk` what one step reads, `tree` the
# sums of the finest increments of one of `blocks` largest steps (row 2^levels + i: the i-th), `z`
# those of one step, `four` the state and where steps lead, `g` the diffusion at the beginning of a
# step (a row; without noise empty), which `observe` writes there, with the arguments of a chunk (0:
# it is constant). By `form` it is one coefficient for each component with its own process (0), with
# one process for all (1), or with all processes (2). `keys` is the key of the noise;
# `desk_lags` and `desk_shares` place the delays on the desk. Rows of `out` begin as nan.
DRIVE_ADAPTIVELY = {
    "chunk": "i", "noise": "i", "observe": "i", "ring": "f2", "desk": "f2", "tree": "f2", "z": "f2",
    "four": "f2", "g": "f2", "moves": "f2",
    "first": "i", "last": "i", "channels": "i", "blocks": "i", "levels": "i",
    "t0": "f", "finest": "f", "limit": "f", "tolerance": "f", "relative": "f",
    "delays": "f1", "desk_lags": "i1", "desk_shares": "f1", "lags": "i1", "shares": "f1", "p": "f1",
    "past": "f3", "keys": "u1", "upcoming": "f2", "gaps": "f2", "counts": "i2", "rates": "f1",
    "tables": "f1", "starts": "i1", "save_spans": "i2", "save_shares": "f1", "out": "f3",
    "codes": "b1", "ended": "f1", "evaluations": "i1", "stop": "i1", "flags": "i1",
    "fine": "i", "mirrored": "i", "recorded": "f3", "pairs": "i2", "form": "i",
}  # fmt: skip

_DTYPES = {"f": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64)}
_DTYPES["b"] = np.dtype(np.int8)
_NUMBERS = {"i": "q", "u": "Q", "f": "d"}


class Packer:
    """Lays out arguments for compiled code; an array is its address and its shape.

    Parameters
    ----------
    kinds : mapping
        Kinds of the arguments by name, in order.
    """

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self.kinds = [
            (name, _DTYPES[kind[0]] if kind[1:] else None, int(kind[1:] or 0))
            for name, kind in kinds.items()
        ]
        numbers = (_NUMBERS[k] if k in _NUMBERS else "Q" + int(k[1]) * "q" for k in kinds.values())
        self.layout = struct.Struct("=" + "".join(numbers))

    def __call__(self, values: Mapping[str, Any]) -> bytes:
        """Return the arguments as bytes; the caller keeps the arrays alive.

        Raises
        ------
        TypeError
            If an array is not of its kind: compiled code would read it as if it were.
        """
        numbers: list[Any] = []
        for name, dtype, dims in self.kinds:
            value = values[name]
            if dtype is None:
                numbers.append(value)
                continue
            if value.dtype != dtype or value.ndim != dims or not value.flags.c_contiguous:
                raise TypeError(f"{name} is {value.dtype} {value.shape}, expected {dtype}[{dims}]")
            numbers.append(value.ctypes.data)
            numbers += value.shape
        return self.layout.pack(*numbers)
