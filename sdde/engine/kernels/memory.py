"""Arrays that need no allocation: on the stack, or over memory that is there already.

Machine code that allocates needs the compiler's runtime in the process, and so the compiler's
import; code that keeps to these starts without. The memory of `room1` to `room3` belongs to the
function that asks, until it returns. Nothing here knows what the arrays hold.
"""

import math
from typing import Any

from llvmlite import ir
from numba import float64, int8, int64, njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import carray

_with_constants: Any = intrinsic(prefer_literal=True)

TYPES = {"f": float64, "i": int64, "u": uint64, "b": int8}


def _pointer_to(element: Any) -> Any:
    """Return an intrinsic that makes a pointer to elements out of an address."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    def pointer(typingctx: Any, address: Any) -> Any:
        return types.CPointer(element)(int64), codegen

    return intrinsic(pointer)


POINTERS = {f"{kind}_at": _pointer_to(element) for kind, element in TYPES.items()}
_floats_at = POINTERS["f_at"]


@njit(forceinline=True, error_model="numpy", fastmath=False)
def floats_of(array, shape):
    """Return the numbers of a contiguous float64 array in another shape."""
    return carray(_floats_at(array.ctypes.data), shape)


def _room(counts: tuple[Any, ...]) -> Any:
    """Return the signature and code of an array of a shape known when compiling, unset."""
    shape = [count.literal_value for count in counts]
    kind = types.Array(float64, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        size = ir.Constant(ir.IntType(64), max(1, math.prod(shape)))
        data = cgutils.alloca_once(builder, ir.DoubleType(), size=size)
        data.align = 64
        strides = [8 * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        result = make_array(kind)(context, builder)
        populate_array(
            result, data=data, shape=[context.get_constant(types.intp, n) for n in shape],
            strides=[context.get_constant(types.intp, n) for n in strides],
            itemsize=context.get_constant(types.intp, 8), meminfo=None,
        )  # fmt: skip
        return result._getvalue()

    return kind(*counts), codegen


@_with_constants
def room1(typingctx: Any, n: Any) -> Any:
    """Return a vector of floats on the stack; the length is a constant."""
    return _room((n,)) if isinstance(n, types.IntegerLiteral) else None


@_with_constants
def room2(typingctx: Any, m: Any, n: Any) -> Any:
    """Return a matrix of floats on the stack."""
    return _room((m, n)) if isinstance(n, types.IntegerLiteral) else None


@_with_constants
def room3(typingctx: Any, k: Any, m: Any, n: Any) -> Any:
    """Return an array of three dimensions on the stack."""
    return _room((k, m, n)) if isinstance(n, types.IntegerLiteral) else None
