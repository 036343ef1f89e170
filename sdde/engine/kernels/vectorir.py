"""Primitives that numba lacks: fused multiply-add and the bits of a float.

Each is one LLVM instruction, so a loop over expressions made of them still vectorises, and gives the
same bits for one value or eight. Nothing here knows what the numbers mean.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_F64 = ir.DoubleType()
_I64 = ir.IntType(64)


@intrinsic
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z rounded once (`llvm.fma`, which is never split in two)."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [
            context.cast(builder, value, kind, types.float64)
            for value, kind in zip(arguments, signature.args, strict=True)
        ]
        function = builder.module.declare_intrinsic(
            "llvm.fma", [_F64], ir.FunctionType(_F64, [_F64] * 3)
        )
        return builder.call(function, values)

    return types.float64(x, y, z), codegen


@intrinsic
def bits_of(typingctx: Any, x: Any) -> Any:
    """Return the 64 bits of a float as an unsigned integer."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _I64)

    return types.uint64(types.float64), codegen


@intrinsic
def float_of(typingctx: Any, bits: Any) -> Any:
    """Return the float whose 64 bits are given."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _F64)

    return types.float64(types.uint64), codegen
