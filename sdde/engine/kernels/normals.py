"""Buffers of random numbers, many at a time: the same bits as the scalar functions of `streams`.

`fill` and `fill_uniforms` serve a block of paths (lanes run over paths), `fill_steps` and
`fill_uniform_steps` a single path (lanes run over pairs of steps). The vector code is written by
reading the scalar functions with `Lanes`, so there is one description of every number. Lanes come
in groups of 8, and of 16 or 32 where there are enough: several vectors at work hide the latency of
long chains of multiplications. Nothing here knows what the numbers are for.
"""

import types as python_types
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from sdde.engine.kernels.memory import floats_of, room1
from sdde.engine.kernels.vectorir import Lanes, lanes
from sdde.engine.streams import box_muller, exponentials, open_uniforms, words

_NARROW, _MEDIUM, _WIDE = 8, 16, 32
_ASIDE = 2 * _WIDE
_NOWHERE = -(1 << 62)
_U = np.uint64
_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()


def _emit(
    context: Any, builder: Any, transform: Any, count: int, address: Any, over_steps: bool
) -> Any:
    """Yield (first lane, even steps' numbers, odd steps' numbers) for `count` counters.

    Lane i belongs to path + i, or to pair + i if the lanes run over steps.
    """
    # AVX-512 has registers for 32 lanes at once, other instruction sets for 16.
    at_once = min(count, 32 if "+avx512f" in context.codegen().magic_tuple()[2] else 16)
    for start in range(0, count, at_once):
        k0, k1, path, pair, channel, stream = (
            Lanes.of_scalar(builder, value, at_once) for value in address
        )
        if over_steps:
            pair = pair.ramp(start)
        else:
            path = path.ramp(start)
        drawn = lanes(words)(k0, k1, path, pair, channel, stream)
        yield start, *(numbers.value for numbers in lanes(transform)(*drawn))


def _store(builder: Any, data: Any, position: Any, vector: Any) -> None:
    """Store a vector at `data[position:]`, which need not be aligned to more than 8 bytes."""
    place = builder.gep(data, [position])
    builder.store(vector, builder.bitcast(place, vector.type.as_pointer()), align=8)


def _of_paths(transform: Any, count: int) -> Any:
    """Return an intrinsic storing the numbers of `count` paths for two steps.

    `even` and `odd` are positions in the flat buffer for the numbers of the even and the odd step;
    a negative one discards them.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        waste = cgutils.alloca_once(builder, _F64, size=ir.Constant(_I64, count))
        for start, *vectors in _emit(context, builder, transform, count, arguments[3:], False):
            offset = ir.Constant(_I64, start)
            for vector, position in zip(vectors, arguments[1:3], strict=True):
                kept = builder.icmp_signed(">=", position, ir.Constant(_I64, 0))
                place = builder.select(kept, builder.gep(data, [position]), waste)
                _store(builder, place, offset, vector)
        return context.get_dummy_value()

    def store(
        typingctx: Any, buffer: Any, even: Any, odd: Any,
        k0: Any, k1: Any, path: Any, pair: Any, channel: Any, stream: Any,
    ) -> Any:  # fmt: skip
        return types.void(buffer, *[types.int64] * 2, *[types.uint64] * 6), codegen

    return intrinsic(store)


def _of_steps(transform: Any, count: int) -> Any:
    """Return an intrinsic storing the numbers of 2 * `count` consecutive steps at `place`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        for start, even, odd in _emit(context, builder, transform, count, arguments[2:], True):
            half = even.type.count
            for part in range(2):  # lanes of both, alternately
                order = [part * half // 2 + i // 2 + (i % 2) * half for i in range(half)]
                mask = ir.Constant(ir.VectorType(_I32, half), order)
                position = builder.add(arguments[1], ir.Constant(_I64, 2 * start + part * half))
                _store(builder, data, position, builder.shuffle_vector(even, odd, mask))
        return context.get_dummy_value()

    def store(
        typingctx: Any, buffer: Any, place: Any,
        k0: Any, k1: Any, path: Any, pair: Any, channel: Any, stream: Any,
    ) -> Any:  # fmt: skip
        return types.void(buffer, types.int64, *[types.uint64] * 6), codegen

    return intrinsic(store)


# Bound by _kernel, for each kind of number, in the two loops below.
_wide: Any = None
_medium: Any = None
_narrow: Any = None


def _over_paths(z, first_step, first_path, k0, k1, stream):
    steps, channels, paths = z.shape
    flat = floats_of(z, (steps * channels * paths,))
    for pair in range(first_step >> 1, (first_step + steps + 1) >> 1):
        row = 2 * pair - first_step
        for c in range(channels):
            even = (row * channels + c) * paths if row >= 0 else _NOWHERE
            odd = ((row + 1) * channels + c) * paths if row + 1 < steps else _NOWHERE
            lane = 0
            while lane + _WIDE <= paths:
                i, j, path = even + lane, odd + lane, _U(first_path + lane)
                _wide(flat, i, j, _U(k0), _U(k1), path, _U(pair), _U(c), _U(stream))
                lane += _WIDE
            while lane + _MEDIUM <= paths:
                i, j, path = even + lane, odd + lane, _U(first_path + lane)
                _medium(flat, i, j, _U(k0), _U(k1), path, _U(pair), _U(c), _U(stream))
                lane += _MEDIUM
            while lane < paths:
                i, j, path = even + lane, odd + lane, _U(first_path + lane)
                _narrow(flat, i, j, _U(k0), _U(k1), path, _U(pair), _U(c), _U(stream))
                lane += _NARROW


def _over_steps(z, first_step, path, k0, k1, stream):
    steps, channels = z.shape
    end = (first_step + steps + 1) >> 1
    flat = floats_of(z, (steps * channels,))
    # Groups that fill the buffer exactly need no room aside, nor may they reach beyond it.
    whole = channels == 1 and first_step % 2 == 0 and steps % (2 * _NARROW) == 0
    aside = flat if whole else room1(_ASIDE)
    enough = _WIDE if whole else _WIDE // 2 + 1
    for c in range(channels):
        pair = first_step >> 1
        while pair < end:
            count = _WIDE if end - pair >= enough else _NARROW
            row = 2 * pair - first_step
            direct = channels == 1 and row >= 0 and row + 2 * count <= steps
            target, place = (flat, row) if direct else (aside, 0)
            if count == _WIDE:
                _wide(target, place, _U(k0), _U(k1), _U(path), _U(pair), _U(c), _U(stream))
            else:
                _narrow(target, place, _U(k0), _U(k1), _U(path), _U(pair), _U(c), _U(stream))
            if not direct:
                for i in range(max(0, -row), min(2 * count, steps - row)):
                    z[row + i, c] = aside[i]
            pair += count


def _kernel(name: str, doc: str, loop: Callable[..., None], group: Any, transform: Any) -> Any:
    """Compile a loop for one kind of number.

    The groups are bound as globals of a copy: as arguments of one shared loop they would be
    compiled anew at each level of calls. Nothing is cached here, as numba's cache would not notice
    a change in `streams`; the callers' compiled code is kept by `engine.storage`.
    """
    counts = {"_wide": _WIDE, "_medium": _MEDIUM, "_narrow": _NARROW}
    groups = {name: group(transform, count) for name, count in counts.items()}
    function = python_types.FunctionType(loop.__code__, {**globals(), **groups}, name)
    function.__qualname__, function.__doc__ = name, doc
    return njit(error_model="numpy", fastmath=False, nogil=True)(function)


fill = _kernel(
    "fill",
    """Fill z (steps, channels, paths), C-contiguous, the paths a multiple of 8, with normals.

    z[g, c, l] is `streams.normal` of path `first_path + l`, step `first_step + g` and channel c.
    """,
    _over_paths,
    _of_paths,
    box_muller,
)
fill_steps = _kernel(
    "fill_steps",
    "Fill z (steps, channels) with the normals of one path, from `first_step` on.",
    _over_steps,
    _of_steps,
    box_muller,
)
fill_uniforms = _kernel(
    "fill_uniforms",
    "Fill z as `fill` does, with `streams.uniform`.",
    _over_paths,
    _of_paths,
    open_uniforms,
)
fill_uniform_steps = _kernel(
    "fill_uniform_steps",
    "Fill z as `fill_steps` does, with `streams.uniform`.",
    _over_steps,
    _of_steps,
    open_uniforms,
)
# Sixteen numbers of consecutive steps, an even one first, at a place of a flat buffer.
store_uniforms = _of_steps(open_uniforms, _NARROW)
store_normals = _of_steps(box_muller, _NARROW)
store_exponentials = _of_steps(exponentials, _NARROW)
