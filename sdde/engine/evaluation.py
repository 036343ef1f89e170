"""Writes the part of a chunk that evaluates drift and diffusion for one path.

A function that was read as expressions is written out; others are called. Nothing here reads states
or steps.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdde.engine.reads import Point
from sdde.engine.text import room

if TYPE_CHECKING:
    from sdde.engine.template import ChunkWriter


def evaluate(writer: "ChunkWriter", name: str, point: Point) -> list[str]:
    """Write the value of drift or diffusion at a point; return the names of its components."""
    layout = writer.layout
    outputs = [f"{name}{point.suffix}{i}" for i in range(layout.dim)]
    if name == "diffusion" and layout.matrix:
        channels = range(layout.channels)
        outputs = [f"{name}{point.suffix}{i}_{k}" for i in range(layout.dim) for k in channels]
    read = writer.expressions[name]
    if read is not None:
        source = read.emit_source(
            t=point.t, x=point.x, delayed=point.delayed, p="p", outputs=outputs,
            prefix=f"{name}{point.suffix}_",
        )  # fmt: skip
        writer.top.add(*source.once)
        writer.step.add(*source.per_step)
        writer.lane.add(*source.per_lane)
    elif layout.scalar:
        _call_with_numbers(writer, name, point, outputs)
    else:
        _call_with_arrays(writer, name, point, outputs)
    return outputs


def _call_with_numbers(
    writer: "ChunkWriter", name: str, point: Point, outputs: Sequence[str]
) -> None:
    late = in_tuple([row[0] for row in point.delayed])
    if not writer.forms.with_tuples:
        buffer = f"d_{name}{point.suffix}"
        writer.top.add(f"{buffer} = {room(len(point.delayed))}")
        writer.lane.add(*(f"{buffer}[{j}] = {row[0]}" for j, row in enumerate(point.delayed)))
        late = buffer
    call = f"{name}({point.t}, {point.x[0]}, {late}{writer.more})"
    if not (name == "diffusion" and writer.layout.matrix):
        writer.lane.add(f"{outputs[0]} = {call}")
        return
    writer.lane.add(f"all_{name}{point.suffix} = {call}")
    writer.lane.add(*(f"{out} = all_{name}{point.suffix}[{k}]" for k, out in enumerate(outputs)))


def _call_with_arrays(
    writer: "ChunkWriter", name: str, point: Point, outputs: Sequence[str]
) -> None:
    dim, delays, full = writer.layout.dim, writer.layout.delays, f"{name}{point.suffix}"
    writer.top.add(f"x_{full} = {room(dim)}", f"d_{full} = {room(delays, dim)}")
    writer.lane.add(*(f"x_{full}[{i}] = {value}" for i, value in enumerate(point.x)))
    writer.lane.add(
        *(
            f"d_{full}[{j}, {i}] = {value}"
            for j, row in enumerate(point.delayed)
            for i, value in enumerate(row)
        )
    )
    writer.lane.add(f"all_{full} = {name}({point.t}, x_{full}, d_{full}{writer.more})")
    channels = writer.layout.channels if name == "diffusion" and writer.layout.matrix else 0
    for place, out in enumerate(outputs):
        index = f"{place // channels}, {place % channels}" if channels else place
        writer.lane.add(f"{out} = all_{full}[{index}]")


def in_tuple(names: Sequence[str]) -> str:
    """Return the text of a tuple of names."""
    return "(" + "".join(f"{name}, " for name in names) + ")"
