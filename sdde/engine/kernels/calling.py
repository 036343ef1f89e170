"""Calls between pieces of machine code, and into them from Python.

Compiled functions call each other by address, so a model compiled later runs in a driver compiled
once. From Python a function is entered with one argument, the address of its arguments laid out as
`signatures.Packer` does. Nothing here knows what the functions do.
"""

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numba import int64, njit, types, void
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from sdde.engine.kernels.memory import POINTERS, TYPES
from sdde.engine.kernels.vectorir import float_of

TABLE = void(types.CPointer(int64))


def signature_of(kinds: Mapping[str, str]) -> Any:
    """Return numba's signature for arguments of the given kinds, without a result."""
    return void(*(_type_of(kind) for kind in kinds.values()))


def _type_of(kind: str) -> Any:
    element = TYPES[kind[0]]
    if len(kind) == 1:
        return element
    return types.Array(element, int(kind[1]), "C")


def call_at(kinds: Mapping[str, str]) -> Any:
    """Return an intrinsic ``call(address, arguments)`` of compiled functions of one signature."""
    signature = signature_of(kinds)

    def codegen(context: Any, builder: Any, outer: Any, values: Any) -> Any:
        given, convention = outer.args[1], context.call_conv
        arguments = [
            context.cast(builder, builder.extract_value(values[1], i), kind, signature.args[i])
            for i, kind in enumerate(given)
        ]
        kind = convention.get_function_type(signature.return_type, signature.args).as_pointer()
        status, _ = convention.call_function(
            builder, builder.inttoptr(values[0], kind), signature.return_type, signature.args,
            arguments,
        )  # fmt: skip
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    def call(typingctx: Any, address: Any, arguments: Any) -> Any:
        if len(arguments) != len(signature.args):
            raise TypeError(f"{len(arguments)} arguments, expected {len(signature.args)}")
        return void(int64, arguments), codegen

    return intrinsic(call)


def entry(function: FunctionType, kinds: Mapping[str, str]) -> FunctionType:
    """Return a function that takes the address of packed arguments and calls `function`."""
    slot, arguments = 0, []
    for kind in kinds.values():
        if len(kind) == 1:
            read = {"i": "slots[{}]", "u": "np.uint64(slots[{}])"}
            text = read.get(kind, "float_of(np.uint64(slots[{}]))").format(slot)
            slot += 1
        else:
            dims = int(kind[1])
            shape = "".join(f"slots[{slot + 1 + i}], " for i in range(dims))
            text = f"carray({kind[0]}_at(slots[{slot}]), ({shape}))"
            slot += 1 + dims
        arguments.append(text)
    source = (
        f"def {function.__name__}(table):\n    slots = carray(table, ({slot},))\n"
        f"    run({', '.join(arguments)})\n"
    )
    space: dict[str, Any] = {
        "__name__": __name__, "np": np, "carray": carray, "float_of": float_of,
        "run": njit(error_model="numpy", fastmath=False, forceinline=True)(function), **POINTERS,
    }  # fmt: skip
    exec(compile(source, "<entry>", "exec"), space)
    return space[function.__name__]
