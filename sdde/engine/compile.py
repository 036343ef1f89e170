"""From a problem to machine code, made once for each shape of model and kept on disk.

The shape of a problem (`Layout`) decides the text of its chunk; its functions are written into it.
Values that may be swept (parameters, delays, rates, the time step) stay outside, in flat arrays
that the chunk receives. What was compiled before is found by the content of the functions, without
reading them and without loading the compiler (`building`). Nothing here runs a path.
"""

import functools
import math
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.engine import machine
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.kernels.signatures import DRIVE, DRIVE_ADAPTIVELY, FILL_NOISE
from sdde.engine.lags import lag_of
from sdde.engine.layout import (
    LARGEST_WRITTEN,
    Functions,
    JumpLayout,
    Layout,
    Parameter,
    functions_of,
)
from sdde.engine.methods import Method
from sdde.equation.problem import Problem

Floats = NDArray[np.float64]

_MANY = 64  # paths in a block: enough to fill vector registers, few enough for the cache
_FEW = 8  # the same when there are few paths
_FEW_LARGE = 16  # the same for large systems

_models: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


class Model(NamedTuple):
    """The machine code of a chunk and the numbers of its flat parameters."""

    chunk: machine.Code
    layout: Layout
    parameters: Floats


def width_for(dim: int, paths: int) -> int:
    """Return how many paths a block holds."""
    if dim > LARGEST_WRITTEN:  # the same for any number of paths: it decides the products' bits
        return _FEW_LARGE
    if paths == 1:
        return 1
    return _FEW if paths < _MANY // 2 else _MANY


def content_of(problem: Problem) -> bytes | None:
    """Return the hash of a problem's functions, or None if their content cannot be seen."""
    # Whole numbers may be part of the text: indices, exponents, switches.
    whole = [arg for arg in problem.args if np.asarray(arg).dtype.kind != "f"]
    try:
        return fingerprint(functions_of(problem), whole)
    except Unhashable:
        return None


def compile_model(
    problem: Problem, state_shape: tuple[int, ...], channels: int, method: Method, paths: int,
    content: bytes | None,
) -> Model:  # fmt: skip
    """Return the chunk of `problem` for so many paths, compiling it if it is new."""
    width = width_for(math.prod(state_shape), paths)
    layout, parameters = describe(problem, state_shape, channels, method, width)
    functions = functions_of(problem)
    with _lock:
        if content is None:  # what cannot be seen may change: the text decides
            return Model(_chunk_by_text(problem, layout, functions), layout, parameters)
        known: tuple[Any, ...] = (content, layout)
        if known not in _models:
            _models[known] = _chunk(problem, layout, functions, content)
        return Model(_models[known], layout, parameters)


def _chunk(problem: Problem, layout: Layout, functions: Functions, content: bytes) -> machine.Code:
    """Return a chunk from the cache on disk, or compile it."""
    shape = [getattr(layout, field.name) for field in fields(layout) if field.name != "method"]
    key = machine.key_of(content, repr((layout.method.name, shape)).encode())
    code = machine.load(key)
    if code is None:
        from sdde.engine import building

        code = building.build_chunk(problem, layout, functions, key)
    return code


def _chunk_by_text(problem: Problem, layout: Layout, functions: Functions) -> machine.Code:
    """Return the chunk of functions whose content cannot be seen."""
    from sdde.engine import building

    known = (*functions.values(), building.text_of(problem, layout))
    if known not in _models:
        _models[known] = building.build_chunk(problem, layout, functions, None)
    return _models[known]


def compiled_driver() -> machine.Entry:
    """Return the driver, compiled once for each version of the engine."""
    return _own("drive", lambda code: machine.Entry(code, DRIVE))


def compiled_adaptive_driver() -> machine.Entry:
    """Return the driver of adaptive steps."""
    return _own("drive_adaptively", lambda code: machine.Entry(code, DRIVE_ADAPTIVELY))


def compiled_noise(width: int, kind: str = "plain") -> machine.Code:
    """Return the function that fills the noise of blocks of `width` paths.

    `kind` is "plain" (drawn at the time step itself), "summed" (over finer steps, or mirrored),
    "recorded" or "integrals" (with iterated integrals, from any of these).
    """
    if kind == "integrals":
        return _own("noise_with_integrals", lambda code: code)
    name = {"plain": "noise", "summed": "summed", "recorded": "recorded"}[kind]
    single = width == 1 and kind != "recorded"
    return _own(f"{name}_of_steps" if single else f"{name}_of_paths", lambda code: code)


def noise_filler(width: int, kind: str = "plain") -> Callable[..., None]:
    """Return `compiled_noise` as a function of keywords, named as in `signatures.NOISE_FILL`."""
    fill = _own("fill_noise", lambda code: machine.Entry(code, FILL_NOISE))
    none = {"pairs": np.empty((0, 3), dtype=np.int64), "lags": np.empty(0, dtype=np.int64)}
    return functools.partial(fill, noise=compiled_noise(width, kind).address, terms=0, **none)


def _own(name: str, use: Callable[[machine.Code], Any]) -> Any:
    """Return a function of the engine itself."""
    with _lock:
        if (name,) not in _models:
            key = machine.key_of(name.encode())
            code = machine.load(key)
            if code is None:
                from sdde.engine import building

                code = building.build_own(name, key)
            _models[(name,)] = use(code)
        return _models[(name,)]


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
    pairs, kept = method.extras(problem, state_shape, channels)
    layout = Layout(
        dim=dim, scalar=state_shape == (), lags=tuple(map(lag_of, problem.delays)),
        channels=channels,
        additive=additive, parameters=parameters, jumps=jumps, method=method, width=width,
        noise=problem.noise, stratonovich=problem.calculus == "stratonovich", pairs=pairs,
        kept=kept,
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
