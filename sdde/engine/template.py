"""Writes the source of a chunk: some steps of one model for one block of paths.

A chunk loops over steps, and in each over paths. What happens inside comes from elsewhere: `reads`
finds the present and the delayed states, `evaluation` writes out or calls the user's functions, the
method's scheme combines them (`schemes`), `arrivals` adds the jumps. The text depends on the shape
of the model alone (`Layout`), never on values: delays, parameters, rates and the time step are
arguments of the chunk. Nothing here compiles.

States of a block are rows of `ring`, one row for each grid time: component i of lane l (a path of
the block) is column ``i * width + l``.
"""

from sdde.engine.forms import Forms
from sdde.engine.kernels.signatures import CHUNK
from sdde.engine.lags import LagWriter
from sdde.engine.layout import Layout
from sdde.engine.schemes.steps import ArrayStep, LaneStep
from sdde.engine.text import Text


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
        self.lags = LagWriter(self)
        # One path without jumps stays in registers from step to step.
        self.is_single = (
            layout.width == 1 and self.all_read and not layout.jumps and layout.has_fixed_lags
        )
        self.top.depth, self.step.depth, self.lane.depth = 1, 3 if self.is_single else 2, 3
        self.reads_end = False  # whether states at the end of the step are read
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
        layout.method.write(ArrayStep(self) if self.forms.in_lanes else LaneStep(self))
        return self._assemble(arrivals)

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

    def _assemble(self, arrivals: str) -> str:
        text = Text()
        text.add(f"def chunk({', '.join(CHUNK)}):")
        text.depth = 1
        text.add("use_widest_vectors()", "slots = ring.shape[0]")
        text.lines += self.top.lines
        (self._assemble_single if self.is_single else self._assemble_block)(text)
        if not self.is_single:
            self.lags.write_checks(text)
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
        self.lags.write_chains(text)
        for j, lag in enumerate(self.layout.lags):
            if lag.kind == "fixed":
                text.add(f"older{j} = newer{j}", f"newer{j} += 1")
                text.add(f"if newer{j} == slots: newer{j} = 0")
        text.add("now = after")

    def _assemble_single(self, text: Text) -> None:
        """Add a loop over stretches of steps in which no row index meets the ring's end."""
        delays = range(self.layout.delays)
        names = ("newer", "older", "next") if self.reads_end else ("newer", "older")
        rows = ["after", *(f"{name}{j}" for name in names for j in delays)]
        rows += ["now"] if self.layout.kept else []
        text.add("after = now + 1", "if after == slots: after = 0", "g = 0", "while g < steps:")
        text.depth = 2
        text.add(f"run = min(steps - g, {', '.join(f'slots - {row}' for row in rows)})")
        text.add("y_row = ring[after : after + run]", "z_row = z[g : g + run]")
        if self.layout.kept:
            text.add("x_row = ring[now : now + run]")
        for j in delays:
            for name in names:
                text.add(f"{name}_row{j} = ring[{name}{j} : {name}{j} + run]")
        text.add("for k in range(run):")
        text.depth = 3
        text.add("t = t0 + (n + g + k) * dt")
        text.lines += self.step.lines + self.lane.lines
        text.depth = 2
        text.add("g += run")
        for row in rows:
            text.add(f"{row} += run", f"if {row} == slots: {row} = 0")


def chunk_source(layout: Layout, forms: Forms) -> str:
    """Return the text of the function ``chunk`` of a model."""
    from sdde.engine.arrivals import arrivals_source

    writer = ChunkWriter(layout, forms)
    return writer.write(arrivals_source(writer) if layout.jumps else "")
