"""Asks the compiler for the widest vectors that the processor has.

LLVM prefers half-width vectors on processors with AVX-512, a caution for programs that use them
rarely. A chunk does little else, and gains. The numbers are the same.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic


def _use_widest_vectors(typingctx: Any) -> Any:
    """Mark the function that is being compiled."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite knows no such attribute and its own `add` refuses; the text is LLVM's.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


use_widest_vectors: Any = intrinsic(_use_widest_vectors)
