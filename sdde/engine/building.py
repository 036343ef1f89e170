"""The compiler's side of `compile`: text of a chunk in, machine code out.

Functions that could not be read as expressions are compiled as they stand and inlined; what the
compiler refuses is laid at the door of the function that it is in. Importing this file loads the
compiler, so it happens only for what was never compiled before. Nothing here runs a path.
"""

import warnings
from dataclasses import replace
from types import CellType, FunctionType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError

from sdde.engine import machine, storage, streams
from sdde.engine.failures import compile_error, not_a_function
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.forms import Forms, forms_of
from sdde.engine.kernels import (
    adapting,
    delaying,
    driver,
    elementary,
    increments,
    integrals,
    trigonometric,
)
from sdde.engine.kernels.arriving import gap_before
from sdde.engine.kernels.calling import TABLE, entry, signature_of
from sdde.engine.kernels.memory import floats_of, room1, room2, room3
from sdde.engine.kernels.quantile import quantile
from sdde.engine.kernels.reading import state_at
from sdde.engine.kernels.signatures import CHUNK, DRIVE, DRIVE_ADAPTIVELY, FILL_NOISE, NOISE_FILL
from sdde.engine.kernels.widening import use_widest_vectors
from sdde.engine.lags import all_lags
from sdde.engine.layout import Functions, Layout
from sdde.engine.machine import Code
from sdde.engine.template import chunk_source
from sdde.engine.tracing.operations import OPERATIONS
from sdde.equation.problem import Problem
from sdde.errors import CompileError

_BARE: dict[str, Any] = {
    "error_model": "numpy", "fastmath": False, "nogil": True,
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip

# NumPy's functions under the names that expressions call them by, the package's own where it has
# them
_ELEMENTARY: dict[str, Any] = {
    name: getattr(elementary, name, None) or getattr(trigonometric, name, None) or getattr(np, name)
    for name, operation in OPERATIONS.items()
    if not operation.text
}

_SPACE: dict[str, Any] = {
    "__name__": __name__,
    "np": np,
    "state_at": state_at,
    "room1": room1,
    "room2": room2,
    "room3": room3,
    "floats_of": floats_of,
    "use_widest_vectors": use_widest_vectors,
    "quantile": quantile,
    "uniform": streams.uniform,
    "gap_before": gap_before,
    "ARRIVALS": streams.ARRIVALS,
    "ARRIVAL_DELAYS": streams.ARRIVAL_DELAYS,
    "MARKS": streams.MARKS,
    "DECISIONS": streams.DECISIONS,
    "STEP_DELAYS": streams.STEP_DELAYS,
    "poisson": streams.poisson,
    **{name: getattr(delaying, name) for name in delaying.CALLED},
    **_ELEMENTARY,
}


_ENTERED = {
    "drive": (driver, DRIVE),
    "fill_noise": (driver, FILL_NOISE),
    "drive_adaptively": (adapting, DRIVE_ADAPTIVELY),
}


def text_of(problem: Problem, layout: Layout) -> str:
    """Return the text of a problem's chunk."""
    return chunk_source(layout, forms_of(problem, () if layout.scalar else (layout.dim,)))


def build_chunk(problem: Problem, layout: Layout, functions: Functions, key: str | None) -> Code:
    """Compile the chunk of a problem, and keep it under `key` if there is one."""
    forms = forms_of(problem, () if layout.scalar else (layout.dim,))
    plain = replace(forms, in_lanes=False, with_tuples=False)
    if forms == plain:
        return _build_as(layout, functions, plain, key)
    try:
        return _build_as(layout, functions, forms, key)
    except CompileError:  # what Python does with many paths or a tuple, numba may not
        return _build_as(layout, functions, plain, key)


def build_own(name: str, key: str) -> Code:
    """Compile a function of the engine itself: one that Python enters, or one that makes noise."""
    if name in _ENTERED:
        home, kinds = _ENTERED[name]
        return build(entry(getattr(home, name), kinds), TABLE, key)
    homes = [home for home in (driver, increments, integrals) if name in vars(home)]
    function = vars(homes[0])[name]
    return build(function, signature_of(NOISE_FILL), key)


def build(function: FunctionType, signature: Any, key: str | None) -> Code:
    """Compile a function to machine code without a way in from Python; keep it under `key`."""
    storage.start_numba()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, about its own business
        compiled: Any = numba.njit(signature, **_BARE)(function)
    (result,) = compiled.overloads.values()
    library, name = result.library, result.fndesc.llvm_func_name
    if key is not None:
        machine.save(key, name, _imports(library), library._get_compiled_object())
    return Code(library.get_pointer_to_function(name), compiled)


def _imports(library: Any) -> list[str]:
    """Return the functions and variables that a compiled library expects from others."""
    module = library._final_module
    named = [*module.functions, *module.global_variables]
    return [
        item.name for item in named if item.is_declaration and not item.name.startswith("llvm.")
    ]


def _build_as(layout: Layout, functions: Functions, forms: Forms, key: str | None) -> Code:
    return build_text(chunk_source(layout, forms), layout, functions, forms, key)


def build_text(
    source: str, layout: Layout, functions: Functions, forms: Forms, key: str | None
) -> Code:
    """Compile the text of a function like a chunk, which calls what was not read."""
    called = {name: functions[name] for name, read in forms.expressions.items() if read is None}
    if key is None:
        try:
            key = machine.key_of(source.encode(), fingerprint(called))
        except Unhashable:
            pass
        else:
            if (code := machine.load(key)) is not None:
                return code
    space = {**_SPACE, **{name: lowered(name, function) for name, function in called.items()}}
    exec(compile(source, "<chunk>", "exec"), space)
    try:
        return build(space["chunk"], signature_of(CHUNK), key)
    except NumbaError as error:
        raise _blame(layout, forms, space, called, error) from None


def _blame(
    layout: Layout, forms: Forms, space: dict[str, Any], called: Functions, error: Exception
) -> CompileError:
    """Find the function that cannot be compiled by compiling each alone."""
    for name, function in called.items():
        try:
            space[name].compile(_signature(layout, forms, name))
        except NumbaError as own:
            return compile_error(name, getattr(function, "py_func", function), own)
    name, function = next(iter(called.items()))
    return compile_error(name, getattr(function, "py_func", function), error)


def _signature(layout: Layout, forms: Forms, name: str) -> tuple[Any, ...]:
    """Return the types of a called function's arguments."""
    number, kind = types.float64, name.rstrip("0123456789")
    delays, mark = layout.delays, []
    if kind == "effect":
        jump = layout.jumps[int(name.removeprefix(kind))]
        delays = layout.delays if jump.lags is None else len(jump.lags)
        mark = [number[::1] if jump.mark_vector else number]
    state, late = number, number[::1]
    stepped = kind in ("drift", "diffusion")
    if not layout.scalar:
        state, late = (number[:, ::1], number[:, :, ::1]) if forms.in_lanes and stepped else (
            number[::1], number[:, ::1]
        )  # fmt: skip
    elif forms.with_tuples and stepped:
        late = types.UniTuple(number, delays)
    each = {"float": number, "int": types.int64, "bool": types.boolean}
    further = [
        each[a.kind][(slice(None),) * (len(a.shape) - 1) + (slice(None, None, 1),)]
        if a.shape
        else each[a.kind]
        for a in layout.parameters
    ]
    if kind == "delay":
        by_state = all_lags(layout)[int(name.removeprefix(kind))].kind == "state"
        return (number, state, *further) if by_state else (number, *further)
    return (number, state, late, *mark, *further)


def lowered(name: str, function: Any) -> Any:
    """Return a user's function as something numba inlines, its plain Python helpers likewise."""
    plain = getattr(function, "py_func", function)
    if not isinstance(plain, FunctionType):
        raise not_a_function(name, function)
    return _lowered(plain, {})


def _lowered(plain: FunctionType, known: dict[FunctionType, Any]) -> Any:
    if plain in known:
        return known[plain]
    code = plain.__code__
    scope = dict(plain.__globals__)
    copy = FunctionType(code, scope, plain.__name__, plain.__defaults__, plain.__closure__)
    copy.__kwdefaults__ = plain.__kwdefaults__
    known[plain] = result = numba.njit(error_model="numpy", fastmath=False)(copy)
    for used in {*code.co_names} & scope.keys():
        if isinstance(scope[used], FunctionType):
            scope[used] = _lowered(scope[used], known)
    cells = []
    for cell in plain.__closure__ or ():
        content = cell.cell_contents
        helper = isinstance(content, FunctionType)
        cells.append(CellType(_lowered(content, known)) if helper else cell)
    if any(a is not b for a, b in zip(cells, plain.__closure__ or (), strict=True)):
        copy = FunctionType(code, scope, plain.__name__, plain.__defaults__, tuple(cells))
        known[plain] = result = numba.njit(error_model="numpy", fastmath=False)(copy)
    return result
