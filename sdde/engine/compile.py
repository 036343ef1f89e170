"""From a problem to a compiled chunk, made once for each shape of model and kept on disk.

The shape of a problem (`Layout`) decides the text of its chunk; its functions are inlined into it.
Values that may be swept (parameters, delays, rates, the time step) stay outside, in flat arrays
that the chunk receives. Nothing here runs a path.
"""

import math
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from sdde.engine import storage, streams
from sdde.engine.expressions import Expressions, Untraceable, trace
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.kernels import driver, elementary, trigonometric
from sdde.engine.kernels.quantile import quantile
from sdde.engine.kernels.reading import state_at
from sdde.engine.kernels.widening import use_widest_vectors
from sdde.engine.methods import Method
from sdde.engine.template import NO_DELAYS_DRAWN, JumpLayout, Layout, Parameter, chunk_source
from sdde.engine.tracing.operations import OPERATIONS
from sdde.equation.problem import Problem
from sdde.errors import CompileError

Floats = NDArray[np.float64]

_LARGEST_SYSTEM = 16  # components; larger ones are computed with arrays
_LONGEST_LINE = 1000  # operations of one function written out; more take too long to compile

# NumPy's functions under the names that expressions call them by, the package's own where it has
# them
_ELEMENTARY: dict[str, Any] = {
    name: getattr(elementary, name, None) or getattr(trigonometric, name, None) or getattr(np, name)
    for name, operation in OPERATIONS.items()
    if not operation.text
}

_models: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


class Model(NamedTuple):
    """A compiled chunk and the numbers of its flat parameters."""

    chunk: Any
    layout: Layout
    parameters: Floats


def compile_model(
    problem: Problem, state_shape: tuple[int, ...], method: Method, width: int
) -> Model:
    """Return the chunk of `problem` for blocks of `width` paths, compiling it if it is new."""
    layout, parameters = describe(problem, state_shape, method, width)
    functions = _functions(problem)
    with _lock:
        try:
            # Whole numbers may be part of the text: indices, exponents, switches.
            whole = [arg for arg in problem.args if np.asarray(arg).dtype.kind != "f"]
            known: tuple[Any, ...] = (fingerprint(functions, whole), layout)
        except Unhashable:  # content that cannot be seen may change: the text decides
            known = (*functions.values(), _source(problem, layout))
        if known not in _models:
            _models[known] = _compile(problem, layout, functions)
        return Model(_models[known], layout, parameters)


def compiled_driver() -> Any:
    """Return the driver, compiled once for each version of the engine."""
    return _own(driver.drive, driver.DRIVE)


def compiled_noise(width: int) -> Any:
    """Return the function that fills the noise of blocks of `width` paths."""
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
    problem: Problem, state_shape: tuple[int, ...], method: Method, width: int
) -> tuple[Layout, Floats]:
    """Return the shape of a problem's chunk and the values of its parameters."""
    dim = math.prod(state_shape)
    parameters, values = _flatten(problem.args)
    channels = 0 if problem.diffusion is None else 1 if problem.noise == "scalar" else dim
    additive = None
    if problem.is_additive:
        additive = len(values)
        coefficients = np.broadcast_to(np.asarray(problem.diffusion, dtype=float), state_shape)
        values = np.concatenate([values, coefficients.ravel()])
    jumps = tuple(
        JumpLayout(
            varying_rate=callable(jump.rate),
            delays=NO_DELAYS_DRAWN if jump.delay_laws is None else len(jump.delay_laws),
            marks=len(jump.mark_laws),
            mark_vector=jump.has_mark_vector,
        )
        for jump in problem.jumps
    )
    layout = Layout(
        dim=dim, scalar=state_shape == (), delays=len(problem.delays), channels=channels,
        additive=additive, parameters=parameters, jumps=jumps, method=method, width=width,
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


def _functions(problem: Problem) -> dict[str, Callable[..., Any]]:
    """Return the user's functions under the names by which the chunk calls them."""
    functions = {"drift": problem.drift}
    if callable(problem.diffusion):
        functions["diffusion"] = problem.diffusion
    for q, jump in enumerate(problem.jumps):
        functions[f"effect{q}"] = jump.effect
        if callable(jump.rate):
            functions[f"rate{q}"] = jump.rate
    return functions


def _expressions(problem: Problem, layout: Layout) -> dict[str, Expressions | None]:
    """Read each function as expressions; None where it must be called: it branches or is long."""
    own, state_shape = len(problem.delays), () if layout.scalar else (layout.dim,)
    result = {"drift": _read(problem, problem.drift, "drift", state_shape, own)}
    if callable(problem.diffusion):
        result["diffusion"] = _read(problem, problem.diffusion, "diffusion", state_shape, own)
    for q, jump in enumerate(problem.jumps):
        seen = own if jump.delay_laws is None else len(jump.delay_laws)
        mark = (len(jump.mark_laws),) if jump.has_mark_vector else ()
        result[f"effect{q}"] = _read(problem, jump.effect, "effect", state_shape, seen, mark=mark)
        if callable(jump.rate):
            result[f"rate{q}"] = _read(problem, jump.rate, "rate", state_shape, own)
    return result


def _read(
    problem: Problem,
    function: Any,
    kind: str,
    state_shape: tuple[int, ...],
    delays: int,
    *,
    mark: tuple[int, ...] | None = None,
) -> Expressions | None:
    if math.prod(state_shape) > _LARGEST_SYSTEM:
        return None
    try:
        read = trace(
            function, state_shape=state_shape, n_delays=delays, args=problem.args,
            extra=None if mark is None else {"mark": mark}, name=kind,
            shapes=[()] if kind == "rate" else None,
        )  # fmt: skip
    except Untraceable:
        return None
    return read if len(read.nodes) <= _LONGEST_LINE else None


def _source(problem: Problem, layout: Layout) -> str:
    return chunk_source(layout, _expressions(problem, layout))


def _compile(problem: Problem, layout: Layout, functions: dict[str, Callable[..., Any]]) -> Any:
    expressions = _expressions(problem, layout)
    source = chunk_source(layout, expressions)
    called = {name: functions[name] for name, read in expressions.items() if read is None}
    try:
        key = storage.key_of(source.encode(), fingerprint(called))
    except Unhashable:
        key = None
    if key is not None and (key,) in _models:
        return _models[(key,)]
    space: dict[str, Any] = {
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
    }
    space |= _ELEMENTARY
    space |= {name: _lowered(name, function) for name, function in called.items()}
    exec(compile(source, "<chunk>", "exec"), space)
    try:
        chunk = storage.compiled(space["chunk"], driver.CHUNK, key)
    except numba.core.errors.NumbaError as error:
        raise CompileError(f"{', '.join(called)} could not be compiled: {error}") from None
    if key is not None:
        _models[(key,)] = chunk
    return chunk


def _lowered(name: str, function: Callable[..., Any]) -> Any:
    """Return `function` as something numba inlines."""
    plain = getattr(function, "py_func", function)
    if not isinstance(plain, FunctionType):
        raise CompileError(
            f"{name} = {function!r} is not an ordinary Python function.\n"
            "  Only functions made by def or lambda can be compiled."
        )
    return numba.njit(forceinline=True, error_model="numpy", fastmath=False)(plain)
