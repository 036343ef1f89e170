"""What schemes are written with: the pieces of one time step as text.

A scheme asks for the drift, the noise (diffusion times Wiener increments) and the states, at the
start of the step or at a predicted end, combines the texts, and says what the new state is. In
`LaneStep` there is a text for each component, inside the loop over paths. In `ArrayStep` functions
are called for many paths at once, and one text, in `i` and `l`, stands for all components and
paths.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sdde.engine.evaluation import evaluate
from sdde.engine.reads import Point, read_end, read_present, write_end_slots, write_slots
from sdde.engine.text import room

if TYPE_CHECKING:
    from sdde.engine.template import ChunkWriter


class Step(Protocol):
    """The pieces of a step; lists hold a text for each component, or one for all."""

    x: list[str]

    def drift(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the drift."""
        ...

    def noise(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the diffusion, times the increments of the step; empty texts without noise."""
        ...

    def predict(self, values: Sequence[str]) -> None:
        """Take `values` for the state at the end, where functions may then be evaluated."""
        ...

    def norm(self, values: Sequence[str]) -> str:
        """Return the Euclidean norm over the components."""
        ...

    def finish(self, values: Sequence[str]) -> None:
        """Make `values` the new state."""
        ...


class LaneStep:
    """A step of one path."""

    def __init__(self, writer: "ChunkWriter") -> None:
        self.writer = writer
        self.start = read_present(writer)
        self.end: Point | None = None
        self.x = self.start.x

    def _point(self, at_end: bool) -> Point:
        assert not at_end or self.end is not None
        return self.end if at_end and self.end is not None else self.start

    def drift(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the drift."""
        return evaluate(self.writer, "drift", self._point(at_end))

    def coefficients(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the diffusion: for each component, and with matrix noise each channel."""
        layout, top = self.writer.layout, self.writer.top
        if layout.additive is None:
            return evaluate(self.writer, "diffusion", self._point(at_end))
        count = layout.dim * (layout.channels if layout.matrix else 1)
        names = [f"b{i}" for i in range(count)]
        if not at_end:
            top.add(*(f"{name} = p[{layout.additive + i}]" for i, name in enumerate(names)))
        return names

    def normal(self, channel: int) -> str:
        """Return the text of a normal number."""
        return f"z_row[{self.writer.column(channel)}]"

    def noise(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the diffusion, times the increments of the step."""
        layout = self.writer.layout
        if layout.channels == 0:
            return [""] * layout.dim
        values = self.coefficients(at_end=at_end)
        if not layout.matrix:
            return [
                f"({value} * root) * {self.normal(i if layout.channels > 1 else 0)}"
                for i, value in enumerate(values)
            ]
        channels = range(layout.channels)
        if not at_end:
            self.writer.lane.add(*(f"w{k} = root * {self.normal(k)}" for k in channels))
        return [
            "(" + " + ".join(f"{values[i * layout.channels + k]} * w{k}" for k in channels) + ")"
            for i in range(layout.dim)
        ]

    def predict(self, values: Sequence[str]) -> None:
        """Take `values` for the state at the end."""
        writer = self.writer
        names = [f"q{i}" for i in range(len(values))]
        writer.lane.add(*(f"{name} = {v}" for name, v in zip(names, values, strict=True)))
        writer.lane.add(*(f"y_row[{writer.column(i)}] = {name}" for i, name in enumerate(names)))
        self.end = read_end(writer, names, again=self.end is not None)

    def norm(self, values: Sequence[str]) -> str:
        """Return the Euclidean norm over the components."""
        squares = " + ".join(f"{value} * {value}" for value in values)
        self.writer.lane.add(f"norm = sqrt({squares})")
        return "norm"

    def finish(self, values: Sequence[str]) -> None:
        """Make `values` the new state."""
        writer = self.writer
        rows = [f"y_row[{writer.column(i)}]" for i in range(len(values))]
        if writer.is_single:
            writer.lane.add(*(f"y{i} = {value}" for i, value in enumerate(values)))
            writer.lane.add(*(f"x{i} = y{i}" for i in range(len(values))))
            values = [f"x{i}" for i in range(len(values))]
        writer.lane.add(*(f"{row} = {value}" for row, value in zip(rows, values, strict=True)))


class ArrayStep:
    """A step of all the paths of a block, with arrays whose last axis runs over them."""

    def __init__(self, writer: "ChunkWriter") -> None:
        self.writer, self.step, layout = writer, writer.step, writer.layout
        self.rows = f"({layout.dim}, {layout.width})"
        self.column = writer.column("i")
        self.x = [f"x_row[{self.column}]"]
        writer.top.add(f"buffer = {room(layout.delays, layout.dim, layout.width)}")
        write_slots(writer)
        writer.lags.write_rows(self.step)
        self.step.add(f"x = floats_of(x_row, {self.rows})")
        self._read_delays("newer", "older", "")

    def _read_delays(self, newer: str, older: str, suffix: str) -> None:
        layout, step = self.writer.layout, self.step
        single = layout.delays == 1 and layout.has_fixed_lags
        for j, lag in enumerate(layout.lags):
            size = layout.dim * layout.width
            step.add(f"d_row = floats_of(buffer{suffix}[{j}], ({size},))")
            count = f"{size}"
            if single:  # on the grid the row itself will do
                count = "(" + count + " if share0 > 0.0 else 0)"
            step.add(f"for k in range({count}):")
            if lag.kind == "fixed":
                step.add(f"    v = {newer}_row{j}[k]")
                step.add(f"    d_row[k] = v + share{j} * ({older}_row{j}[k] - v)")
            else:
                lines = self.writer.lags.value(j, "v", "k", suffix)
                step.add(*(f"    {line}" for line in lines), "    d_row[k] = v")
        step.add(f"d{suffix} = buffer{suffix}")
        if single:
            step.add("if share0 == 0.0:")
            step.add(f"    d{suffix} = floats_of({newer}_row0, (1, {layout.dim}, {layout.width}))")

    def _evaluate(self, name: str, short: str, *, at_end: bool) -> str:
        suffix = "_end" if at_end else ""
        inputs = f"t{suffix}, x{suffix}, d{suffix}{self.writer.more}"
        self.step.add(f"{short}{suffix} = {name}({inputs})")
        return f"{short}{suffix}"

    def drift(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the drift."""
        return [f"{self._evaluate('drift', 'f', at_end=at_end)}[i, l]"]

    def noise(self, *, at_end: bool = False) -> list[str]:
        """Evaluate the diffusion, times the increments of the step."""
        layout, step, suffix = self.writer.layout, self.step, "_end" if at_end else ""
        if layout.channels == 0:
            return [""]
        normal = f"z_row[{self.column}]" if layout.channels > 1 else "z_row[l]"
        if not layout.matrix:
            coefficient = f"p[{layout.additive} + i]"
            if layout.additive is None:
                coefficient = f"{self._evaluate('diffusion', 's', at_end=at_end)}[i, l]"
            return [f"({coefficient} * root) * {normal}"]
        coefficient = f"p[{layout.additive} + i * {layout.channels} + k]"
        if layout.additive is None:
            coefficient = f"{self._evaluate('diffusion', 's', at_end=at_end)}[i, k, l]"
        sums = f"w{suffix}"
        self.writer.top.add(f"{sums} = np.empty({self.rows})")
        step.add(f"for i in range({layout.dim}):", f"    for l in range({layout.width}):")
        step.add("        v = 0.0", f"        for k in range({layout.channels}):")
        step.add(f"            v += {coefficient} * (root * z_row[{self.writer.column('k')}])")
        step.add(f"        {sums}[i, l] = v")
        return [f"{sums}[i, l]"]

    def predict(self, values: Sequence[str]) -> None:
        """Take `values` for the state at the end."""
        layout = self.writer.layout
        self.finish(values)
        self.writer.top.add(f"buffer_end = {room(layout.delays, layout.dim, layout.width)}")
        write_end_slots(self.writer)
        self.writer.lags.write_all_end_rows(self.step)
        self.step.add(f"x_end = floats_of(y_row, {self.rows})")
        self._read_delays("next", "newer", "_end")

    def norm(self, values: Sequence[str]) -> str:
        """Return the Euclidean norm over the components."""
        layout, step = self.writer.layout, self.step
        self.writer.top.add(f"norm = {room(layout.width)}")
        step.add("norm[:] = 0.0")
        step.add(f"for i in range({layout.dim}):", f"    for l in range({layout.width}):")
        step.add(f"        norm[l] += {values[0]} * {values[0]}")
        step.add(f"for l in range({layout.width}): norm[l] = sqrt(norm[l])")
        return "norm[l]"

    def finish(self, values: Sequence[str]) -> None:
        """Make `values` the new state."""
        layout, step = self.writer.layout, self.step
        step.add(f"for i in range({layout.dim}):", f"    for l in range({layout.width}):")
        step.add(f"        y_row[{self.column}] = {values[0]}")
