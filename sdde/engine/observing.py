"""Functions that are watched while paths run: how they are read, written and compiled.

A watched function has the signature of a drift and returns a number or a vector. All that are
watched in one run become one compiled function with the arguments of a chunk, which reads states
and delayed states as the chunk does, and writes values into its argument `z` instead of states into
the ring. Nothing here knows what is done with the values.
"""

import threading
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sdde.engine import machine
from sdde.engine.expressions import Expressions, Untraceable, trace
from sdde.engine.fingerprint import Unhashable, fingerprint
from sdde.engine.lags import delay_functions
from sdde.engine.layout import Functions, Layout
from sdde.engine.reads import read_present
from sdde.engine.template import ChunkWriter
from sdde.engine.text import Text, room
from sdde.equation.problem import Problem

if TYPE_CHECKING:
    from sdde.engine.forms import Forms

_LONGEST_LINE = 1000  # operations of one function; more take too long to compile

_known: dict[str, machine.Code] = {}
_lock = threading.Lock()


class ObserverWriter(ChunkWriter):
    """Writes the function that computes what is watched.

    Parameters
    ----------
    layout : Layout
        Of the problem's chunk.
    forms : Forms
        How each watched function enters.
    shapes : dict of str to tuple
        The watched functions, and shapes of their values.
    """

    def __init__(self, layout: Layout, forms: "Forms", shapes: dict[str, tuple[int, ...]]) -> None:
        bare = replace(layout, channels=1, additive=None, noise="diagonal", pairs=(), kept=0)
        super().__init__(bare, forms)
        self.shapes = shapes
        self.is_single = False
        self.all_read = None not in forms.expressions.values()
        self.step.depth, self.lane.depth = 2, 3

    def write(self, arrivals: str = "") -> str:
        """Return the source of ``chunk``, which writes values."""
        self._write_parameters()
        point = read_present(self)
        place = 0
        for name, shape in self.shapes.items():
            read = self.expressions[name]
            outputs = [f"{name}_{k}" for k in range(int(np.prod(shape)))]
            if read is not None:
                source = read.emit_source(
                    t=point.t, x=point.x, delayed=point.delayed, p="p", outputs=outputs,
                    prefix=f"{name}_v",
                )  # fmt: skip
                self.top.add(*source.once)
                self.step.add(*source.per_step)
                self.lane.add(*source.per_lane)
            else:
                self._write_called(name, outputs, shape)
            for k, output in enumerate(outputs):
                self.lane.add(f"z_row[{(place + k) * self.layout.width} + l] = {output}")
            place += len(outputs)
        return self._assemble(arrivals)

    def _write_called(self, name: str, outputs: list[str], shape: tuple[int, ...]) -> None:
        dim, delays = self.layout.dim, self.layout.delays
        state, late = f"x_{name}", f"d_{name}"
        if self.layout.scalar:
            state = "x0"
            self.top.add(f"{late} = {room(delays)}")
            self.lane.add(*(f"{late}[{j}] = d{j}_0" for j in range(delays)))
        else:
            self.top.add(f"{state} = {room(dim)}", f"{late} = {room(delays, dim)}")
            self.lane.add(*(f"{state}[{i}] = x{i}" for i in range(dim)))
            self.lane.add(
                *(f"{late}[{j}, {i}] = d{j}_{i}" for j in range(delays) for i in range(dim))
            )
        self.lane.add(f"all_{name} = {name}(t, {state}, {late}{self.more})")
        for k, output in enumerate(outputs):
            self.lane.add(f"{output} = all_{name}" + (f"[{k}]" if shape else ""))

    def _assemble_turn(self, text: Text) -> None:
        """Go to the next row, which is there already."""
        for j in self.lags.fixed:
            text.add(f"older{j} = newer{j}", f"newer{j} += 1")
            text.add(f"if newer{j} == slots: newer{j} = 0")
        text.add("now = after")


def compile_observer(
    problem: Problem, layout: Layout, functions: Functions, shapes: list[tuple[int, ...]]
) -> machine.Code:
    """Return the compiled function that writes the values of `functions`.

    Parameters
    ----------
    problem : Problem
    layout : Layout
        Of the problem's chunk.
    functions : dict
        Names ``watched0``, ... and what they stand for.
    shapes : list of tuple
        ``()`` or ``(length,)`` for each.
    """
    with _lock:
        used = functions | delay_functions(problem)
        shape = [getattr(layout, field.name) for field in fields(layout) if field.name != "method"]
        try:
            whole = [arg for arg in problem.args if np.asarray(arg).dtype.kind != "f"]
            key = machine.key_of(
                b"observer", fingerprint(used, whole), repr((shape, shapes)).encode()
            )
        except Unhashable:
            return _build(problem, layout, functions, shapes, None)
        if key not in _known:
            _known[key] = machine.load(key) or _build(problem, layout, functions, shapes, key)
        return _known[key]


def _build(
    problem: Problem, layout: Layout, functions: Functions, shapes: list[tuple[int, ...]],
    key: str | None,
) -> machine.Code:  # fmt: skip
    from sdde.engine import building
    from sdde.engine.forms import Forms, forms_of

    state_shape = () if layout.scalar else (layout.dim,)
    expressions = {
        name: read
        for name, read in forms_of(problem, state_shape).expressions.items()
        if name.startswith("delay")
    }
    for (name, function), shape in zip(functions.items(), shapes, strict=True):
        expressions[name] = _reading(function, problem, state_shape, shape)
    forms = Forms(expressions, in_lanes=False, with_tuples=False)
    text = ObserverWriter(layout, forms, dict(zip(functions, shapes, strict=True))).write()
    return building.build_text(text, layout, functions | delay_functions(problem), forms, key)


def _reading(
    function: Callable[..., Any], problem: Problem, state_shape: tuple[int, ...],
    shape: tuple[int, ...],
) -> Expressions | None:  # fmt: skip
    try:
        read = trace(
            function, state_shape=state_shape, n_delays=len(problem.delays), args=problem.args,
            name="function", shapes=[shape],
        )  # fmt: skip
    except Untraceable:
        return None
    return read if len(read.nodes) <= _LONGEST_LINE else None
