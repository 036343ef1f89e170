"""From a problem to a compiled chunk, made once for each shape of model and kept on disk.

The shape of a problem (`Layout`) decides the text of its chunk; its functions are inlined into it.
Values that may be swept (parameters, delays, rates, the time step) stay outside, in flat arrays
that the chunk receives. Nothing here runs a path.
"""

import math
import threading
from dataclasses import replace
from types import CellType, FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from sdde.engine import storage, streams
from sdde.engine.failures import compile_error, not_a_function
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.forms import LARGEST_WRITTEN, Forms, Functions, forms_of, functions_of
from sdde.engine.kernels import delaying, driver, elementary, increments, trigonometric
from sdde.engine.kernels.quantile import quantile
from sdde.engine.kernels.reading import state_at
from sdde.engine.kernels.widening import use_widest_vectors
from sdde.engine.lags import all_lags, lag_of
from sdde.engine.layout import JumpLayout, Layout, Parameter
from sdde.engine.methods import Method
from sdde.engine.template import chunk_source
from sdde.engine.tracing.operations import OPERATIONS
from sdde.equation.problem import Problem
from sdde.errors import CompileError

Floats = NDArray[np.float64]

_MANY = 64  # paths in a block: enough to fill vector registers, few enough for the cache
_FEW = 8  # the same when there are few paths
_FEW_LARGE = 16  # the same for large systems

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
    "use_widest_vectors": use_widest_vectors,
    "quantile": quantile,
    "uniform": streams.uniform,
    "exponential": streams.exponential,
    "ARRIVALS": streams.ARRIVALS,
    "ARRIVAL_DELAYS": streams.ARRIVAL_DELAYS,
    "MARKS": streams.MARKS,
    "DECISIONS": streams.DECISIONS,
    "STEP_DELAYS": streams.STEP_DELAYS,
    "poisson": streams.poisson,
    **{name: getattr(delaying, name) for name in delaying.CALLED},
    **_ELEMENTARY,
}

_models: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


class Model(NamedTuple):
    """A compiled chunk and the numbers of its flat parameters."""

    chunk: Any
    layout: Layout
    parameters: Floats


def width_for(dim: int, paths: int) -> int:
    """Return how many paths a block holds."""
    if dim > LARGEST_WRITTEN:  # the same for any number of paths: it decides the products' bits
        return _FEW_LARGE
    if paths == 1:
        return 1
    return _FEW if paths < _MANY // 2 else _MANY


def compile_model(
    problem: Problem, state_shape: tuple[int, ...], channels: int, method: Method, paths: int
) -> Model:
    """Return the chunk of `problem` for so many paths, compiling it if it is new."""
    width = width_for(math.prod(state_shape), paths)
    layout, parameters = describe(problem, state_shape, channels, method, width)
    functions = functions_of(problem)
    with _lock:
        try:
            # Whole numbers may be part of the text: indices, exponents, switches.
            whole = [arg for arg in problem.args if np.asarray(arg).dtype.kind != "f"]
            known: tuple[Any, ...] = (fingerprint(functions, whole), layout)
        except Unhashable:  # content that cannot be seen may change: the text decides
            forms = forms_of(problem, state_shape)
            known = (*functions.values(), chunk_source(layout, forms))
        if known not in _models:
            _models[known] = _compile(problem, layout, functions)
        return Model(_models[known], layout, parameters)


def compiled_driver() -> Any:
    """Return the driver, compiled once for each version of the engine."""
    return _own(driver.drive, driver.DRIVE)


def compiled_noise(width: int, kind: str = "plain") -> Any:
    """Return the function that fills the noise of blocks of `width` paths.

    `kind` is "plain" (drawn at the time step itself), "summed" (over finer steps, or mirrored) or
    "recorded".
    """
    if kind == "recorded":
        function = increments.recorded_of_paths
    elif kind == "summed":
        function = increments.summed_of_steps if width == 1 else increments.summed_of_paths
    else:
        function = driver.noise_of_steps if width == 1 else driver.noise_of_paths
    return _own(function, driver.NOISE_FILL)


def _own(function: FunctionType, signature: Any) -> Any:
    """Compile a function of the engine itself."""
    key = storage.key_of(function.__name__.encode())
    with _lock:
        if (key,) not in _models:
            _models[(key,)] = storage.compiled(function, signature, key)
        return _models[(key,)]


def describe(
    problem: Problem, state_shape: tuple[int, ...], channels: int, method: Method, width: int
) -> tuple[Layout, Floats]:
    """Return the shape of a problem's chunk and the values of its parameters."""
    dim = math.prod(state_shape)
    parameters, values = _flatten(problem.args)
    additive = None
    if problem.is_additive:
        additive = len(values)
        shape = (*state_shape, channels) if problem.has_noise_matrix else state_shape
        coefficients = np.broadcast_to(np.asarray(problem.diffusion, dtype=float), shape)
        values = np.concatenate([values, coefficients.ravel()])
    jumps = tuple(
        JumpLayout(
            varying_rate=callable(jump.rate),
            lags=None
            if jump.own_delays is None
            else tuple(lag_of(delay, of_jump=True) for delay in jump.own_delays),
            marks=len(jump.mark_laws),
            mark_vector=jump.has_mark_vector,
            leaping=jump.leaping,
        )
        for jump in problem.jumps
    )
    layout = Layout(
        dim=dim, scalar=state_shape == (), lags=tuple(map(lag_of, problem.delays)),
        channels=channels,
        additive=additive, parameters=parameters, jumps=jumps, method=method, width=width,
        matrix=problem.has_noise_matrix,
    )  # fmt: skip
    return layout, values


def _flatten(args: tuple[Any, ...]) -> tuple[tuple[Parameter, ...], Floats]:
    parameters, values = [], [np.empty(0)]
    offset = 0
    for arg in args:
        array = np.asarray(arg)
        kind = {"b": "bool", "i": "int"}.get(array.dtype.kind, "float")
        parameters.append(Parameter(kind, offset, array.shape))
        values.append(array.ravel().astype(np.float64))
        offset += array.size
    return tuple(parameters), np.concatenate(values)


def _compile(problem: Problem, layout: Layout, functions: Functions) -> Any:
    forms = forms_of(problem, () if layout.scalar else (layout.dim,))
    plain = replace(forms, in_lanes=False, with_tuples=False)
    if forms == plain:
        return _compile_as(layout, functions, plain)
    try:
        return _compile_as(layout, functions, forms)
    except CompileError:  # what Python does with many paths or a tuple, numba may not
        return _compile_as(layout, functions, plain)


def _compile_as(layout: Layout, functions: Functions, forms: Forms) -> Any:
    source = chunk_source(layout, forms)
    called = {name: functions[name] for name, read in forms.expressions.items() if read is None}
    try:
        key = storage.key_of(source.encode(), fingerprint(called))
    except Unhashable:
        key = None
    if key is not None and (key,) in _models:
        return _models[(key,)]
    space = {**_SPACE, **{name: lowered(name, function) for name, function in called.items()}}
    exec(compile(source, "<chunk>", "exec"), space)
    try:
        chunk = storage.compiled(space["chunk"], driver.CHUNK, key)
    except NumbaError as error:
        raise _blame(layout, forms, space, called, error) from None
    if key is not None:
        _models[(key,)] = chunk
    return chunk


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
