"""Writes the source of a chunk: some steps of one model for one block of paths.

Functions that were read as expressions are written out line by line, which the compiler turns into
vector code over the paths; others are called by name. Around them come the method's step and the
reading of delayed states (`arrivals` adds the jumps). The text depends on the shape of the model
alone (`Layout`), never on values: delays, parameters, rates and the time step are arguments of the
chunk. Nothing here compiles.

States of a block are rows of `ring`, one row for each grid time: component i of lane l (a path of
the block) is column ``i * width + l``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sdde.engine.forms import Forms
from sdde.engine.methods import Method

NO_DELAYS_DRAWN = -1
_ARGUMENTS = (
    "ring, past, z, now, n, steps, lanes, first, histories, t0, dt, root, delays, lags, shares, p, "
    "keys, upcoming, counts, rates, tables, starts, flags"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A further argument of the user's functions: its place in the flat parameters, its type."""

    kind: str  # "float", "int" or "bool"
    offset: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JumpLayout:
    """The shape of a jump: counts of laws, not their values."""

    varying_rate: bool
    delays: int  # NO_DELAYS_DRAWN: the problem's own
    marks: int
    mark_vector: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """All that the text of a chunk depends on, except for the user's functions.

    `width` is the number of lanes in a row. `additive` is the place of the additive noise
    coefficients in the flat parameters, or None.
    """

    dim: int
    scalar: bool
    delays: int
    channels: int
    additive: int | None
    parameters: tuple[Parameter, ...]
    jumps: tuple[JumpLayout, ...]
    method: Method
    width: int


class Text:
    """Lines of source with a current indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def add(self, *lines: str) -> None:
        """Add lines at the current indentation."""
        self.lines += [" " * (4 * self.depth) + line for line in lines]

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


class ChunkWriter:
    """Writes one chunk.

    Parameters
    ----------
    layout : Layout
    forms : Forms
        How each of the user's functions enters the chunk.
    """

    def __init__(self, layout: Layout, forms: Forms) -> None:
        self.layout = layout
        self.forms = forms
        self.expressions = expressions = forms.expressions
        self.top = Text()  # runs once in a chunk
        self.step = Text()  # runs once in a step
        self.lane = Text()  # runs for each path
        stepped = [expressions[name] for name in ("drift", "diffusion") if name in expressions]
        self.all_read = None not in stepped
        # One path without jumps stays in registers from step to step.
        self.is_single = layout.width == 1 and self.all_read and not layout.jumps
        self.top.depth, self.step.depth, self.lane.depth = 1, 3 if self.is_single else 2, 3
        self.more = "".join(f", a{i}" for i in range(len(layout.parameters)))

    def column(self, component: int | str) -> str:
        """Return the text of a component's column for lane l."""
        if self.is_single:
            return f"k, {component}"
        if isinstance(component, int):
            return f"{component * self.layout.width} + l" if component else "l"
        return f"{component} * {self.layout.width} + l"

    def write(self, arrivals: str = "") -> str:
        """Return the source of ``chunk``; `arrivals` is the text that handles jumps."""
        layout = self.layout
        self._write_parameters()
        if self.forms.in_lanes:
            self._write_steps_of_all_lanes()
            return self._assemble(arrivals)
        values = self._write_reads()
        drift = self._write_function("drift", values)
        coefficients = [""] * layout.dim
        if layout.additive is not None:
            coefficients = [f"b{i}" for i in range(layout.dim)]
            self.top.add(*(f"b{i} = p[{layout.additive + i}]" for i in range(layout.dim)))
        elif layout.channels:
            coefficients = self._write_function("diffusion", values)
        new = [self._new_value(f"x{i}", drift[i], coefficients[i], i) for i in range(layout.dim)]
        if self.is_single:
            self.lane.add(*(f"y{i} = {value}" for i, value in enumerate(new)))
            self.lane.add(*(f"x{i} = y{i}" for i in range(layout.dim)))
            self.lane.add(*(f"y_row[{self.column(i)}] = x{i}" for i in range(layout.dim)))
        else:
            self.lane.add(*(f"y_row[{self.column(i)}] = {value}" for i, value in enumerate(new)))
        return self._assemble(arrivals)

    def _new_value(self, x: str, drift: str, coefficient: str, i: int) -> str:
        layout = self.layout
        if layout.channels == 0:
            return layout.method.plain_step.format(x=x, drift=drift)
        normal = f"z_row[{self.column(i if layout.channels > 1 else 0)}]"
        noise = f"({coefficient} * root) * {normal}"
        return layout.method.step.format(x=x, drift=drift, noise=noise)

    def _write_parameters(self) -> None:
        """Give the arguments back their types, for functions that are called."""
        if all(self.expressions.values()):
            return
        for i, parameter in enumerate(self.layout.parameters):
            start = parameter.offset
            if parameter.shape == ():
                value = f"p[{start}]"
                convert = {"float": value, "int": f"int({value})", "bool": f"{value} != 0.0"}
                self.top.add(f"a{i} = {convert[parameter.kind]}")
                continue
            size = 1
            for length in parameter.shape:
                size *= length
            value = f"p[{start}:{start + size}].reshape({parameter.shape})"
            suffix = ".astype(np.int64)" if parameter.kind == "int" else ""
            self.top.add(f"a{i} = {value}{suffix}")

    def _write_slots(self) -> None:
        """Find the rows of the ring on both sides of each delay."""
        for j in range(self.layout.delays):
            self.top.add(f"newer{j} = now - lags[{j}]", f"if newer{j} < 0: newer{j} += slots")
            self.top.add(f"older{j} = newer{j} - 1", f"if older{j} < 0: older{j} += slots")
            self.top.add(f"share{j} = shares[{j}]")
            if not self.is_single:
                self.step.add(f"newer_row{j} = ring[newer{j}]", f"older_row{j} = ring[older{j}]")

    def _write_reads(self) -> tuple[list[str], list[list[str]]]:
        """Read the present state and the states at the delays; return their names."""
        layout = self.layout
        if self.is_single:
            self.top.add(*(f"x{i} = ring[now, {i}]" for i in range(layout.dim)))
        else:
            self.lane.add(*(f"x{i} = x_row[{self.column(i)}]" for i in range(layout.dim)))
        self._write_slots()
        for j in range(layout.delays):
            for i in range(layout.dim):
                name, column = f"d{j}_{i}", self.column(i)
                self.lane.add(f"{name} = newer_row{j}[{column}]")
                self.lane.add(f"{name} = {name} + share{j} * (older_row{j}[{column}] - {name})")
        names = [[f"d{j}_{i}" for i in range(layout.dim)] for j in range(layout.delays)]
        return [f"x{i}" for i in range(layout.dim)], names

    def _write_function(self, name: str, values: tuple[list[str], list[list[str]]]) -> list[str]:
        """Write the value of drift or diffusion; return the names of its components."""
        x, delayed = values
        outputs = [f"{name}{i}" for i in range(self.layout.dim)]
        read = self.expressions[name]
        if read is not None:
            source = read.emit_source(
                t="t", x=x, delayed=delayed, p="p", outputs=outputs, prefix=f"{name}_"
            )
            self.top.add(*source.once)
            self.step.add(*source.per_step)
            self.lane.add(*source.per_lane)
        elif self.layout.scalar:
            late = in_tuple([row[0] for row in delayed])
            if not self.forms.with_tuples:
                self.top.add(f"d_{name} = np.empty({len(delayed)})")
                self.lane.add(*(f"d_{name}[{j}] = {row[0]}" for j, row in enumerate(delayed)))
                late = f"d_{name}"
            self.lane.add(f"{outputs[0]} = {name}(t, x0, {late}{self.more})")
        else:
            self._write_call_with_arrays(name, outputs)
        return outputs

    def _write_call_with_arrays(self, name: str, outputs: list[str]) -> None:
        dim, delays = self.layout.dim, self.layout.delays
        self.top.add(f"x_{name} = np.empty({dim})", f"d_{name} = np.empty(({delays}, {dim}))")
        self.lane.add(*(f"x_{name}[{i}] = x{i}" for i in range(dim)))
        self.lane.add(
            *(f"d_{name}[{j}, {i}] = d{j}_{i}" for j in range(delays) for i in range(dim))
        )
        self.lane.add(f"all_{name} = {name}(t, x_{name}, d_{name}{self.more})")
        self.lane.add(*(f"{out} = all_{name}[{i}]" for i, out in enumerate(outputs)))

    def _write_steps_of_all_lanes(self) -> None:
        """Call drift and diffusion once in a step, with arrays whose last axis runs over lanes."""
        layout = self.layout
        rows = f"({layout.dim}, {layout.width})"
        self.top.add(f"buffer = np.empty(({layout.delays}, {layout.dim}, {layout.width}))")
        self._write_slots()
        self.step.add(f"x = x_row.reshape({rows})")
        for j in range(layout.delays):
            self.step.add(f"d_row = buffer[{j}].reshape({layout.dim * layout.width})")
            count = f"{layout.dim * layout.width}"
            if layout.delays == 1:  # on the grid the row itself will do
                count = "(" + count + " if share0 > 0.0 else 0)"
            self.step.add(f"for k in range({count}):")
            self.step.add(f"    v = newer_row{j}[k]")
            self.step.add(f"    d_row[k] = v + share{j} * (older_row{j}[k] - v)")
        self.step.add("d = buffer")
        if layout.delays == 1:
            self.step.add("if share0 == 0.0:")
            self.step.add(f"    d = newer_row0.reshape((1, {layout.dim}, {layout.width}))")
        self.step.add(f"f = drift(t, x, d{self.more})")
        coefficient = f"p[{layout.additive} + i]"
        if layout.channels and layout.additive is None:
            self.step.add(f"s = diffusion(t, x, d{self.more})")
            coefficient = "s[i, l]"
        self.step.add(f"for i in range({layout.dim}):", f"    for l in range({layout.width}):")
        column = self.column("i")
        if layout.channels == 0:
            value = layout.method.plain_step.format(x=f"x_row[{column}]", drift="f[i, l]")
        else:
            normal = f"z_row[{column}]" if layout.channels > 1 else "z_row[l]"
            noise = f"({coefficient} * root) * {normal}"
            value = layout.method.step.format(x=f"x_row[{column}]", drift="f[i, l]", noise=noise)
        self.step.add(f"        y_row[{column}] = {value}")

    def _assemble(self, arrivals: str) -> str:
        text = Text()
        text.add(f"def chunk({_ARGUMENTS}):")
        text.depth = 1
        text.add("use_widest_vectors()", "slots = ring.shape[0]")
        text.lines += self.top.lines
        (self._assemble_single if self.is_single else self._assemble_block)(text)
        text.lines += arrivals.splitlines()
        if not self.is_single:
            self._assemble_turn(text)
        return str(text)

    def _assemble_block(self, text: Text) -> None:
        """Add the loop over steps, and in it the loop over lanes."""
        text.add("for g in range(steps):")
        text.depth = 2
        text.add("t = t0 + (n + g) * dt", "after = now + 1", "if after == slots: after = 0")
        text.add("x_row, y_row = ring[now], ring[after]")
        if self.layout.channels:
            text.add("z_row = z[g]")
        text.lines += self.step.lines
        if not self.forms.in_lanes:
            text.add(f"for l in range({self.layout.width if self.all_read else 'lanes'}):")
        text.lines += self.lane.lines

    def _assemble_turn(self, text: Text) -> None:
        """Turn the ring by one row."""
        for j in range(self.layout.delays):
            text.add(f"older{j} = newer{j}", f"newer{j} += 1")
            text.add(f"if newer{j} == slots: newer{j} = 0")
        text.add("now = after")

    def _assemble_single(self, text: Text) -> None:
        """Add a loop over stretches of steps in which no row index meets the ring's end."""
        delays = range(self.layout.delays)
        rows = ["after", *(f"newer{j}" for j in delays), *(f"older{j}" for j in delays)]
        text.add("after = now + 1", "if after == slots: after = 0", "g = 0", "while g < steps:")
        text.depth = 2
        text.add(f"run = min(steps - g, {', '.join(f'slots - {row}' for row in rows)})")
        text.add("y_row = ring[after : after + run]", "z_row = z[g : g + run]")
        for j in delays:
            text.add(f"newer_row{j} = ring[newer{j} : newer{j} + run]")
            text.add(f"older_row{j} = ring[older{j} : older{j} + run]")
        text.add("for k in range(run):")
        text.depth = 3
        text.add("t = t0 + (n + g + k) * dt")
        text.lines += self.step.lines + self.lane.lines
        text.depth = 2
        text.add("g += run")
        for row in rows:
            text.add(f"{row} += run", f"if {row} == slots: {row} = 0")


def in_tuple(names: Sequence[str]) -> str:
    """Return the text of a tuple of names."""
    return "(" + "".join(f"{name}, " for name in names) + ")"


def chunk_source(layout: Layout, forms: Forms) -> str:
    """Return the text of the function ``chunk`` of a model."""
    from sdde.engine.arrivals import arrivals_source

    writer = ChunkWriter(layout, forms)
    return writer.write(arrivals_source(writer) if layout.jumps else "")
