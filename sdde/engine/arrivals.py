"""Writes the part of a chunk that handles arrivals: jumps at exact times inside a step.

After drift and noise have led all lanes through a step, each lane with arrivals in it is visited
again, and its arrivals are handled in the order of time. Between the start of the step and its end
the state is read on the straight line to where drift and noise lead, plus what arrivals have added
so far. Nothing here compiles.
"""

from sdde.engine.layout import NO_DELAYS_DRAWN, JumpLayout, Text
from sdde.engine.template import ChunkWriter

_LAWS = 64  # channels of random numbers kept for the laws of one jump


def arrivals_source(writer: ChunkWriter) -> str:
    """Return the lines, indented for the loop over steps; buffers go to the top of the chunk."""
    return str(_ArrivalWriter(writer).write())


class _ArrivalWriter:
    def __init__(self, writer: ChunkWriter) -> None:
        self.writer = writer
        self.layout = writer.layout
        self.text = Text()
        self.text.depth = 2

    def write(self) -> Text:
        """Write the loop over the lanes."""
        text, layout, column = self.text, self.layout, self.writer.column("i")
        jumps = range(len(layout.jumps))
        self.writer.top.add(
            *(f"{name} = np.empty({layout.dim})" for name in ("base", "total", "before"))
        )
        text.add("end = t0 + (n + g + 1) * dt", "for l in range(lanes):")
        text.depth += 1
        self._write_next(jumps)
        text.add("if not s <= end: continue", "path = first + l", "history = path % histories")
        text.add(f"for i in range({layout.dim}):")
        text.add(f"    base[i] = y_row[{column}]", "    total[i] = 0.0")
        text.add("while s <= end:")
        text.depth += 1
        text.add("share = (s - t) / dt", f"for i in range({layout.dim}):")
        start = f"x_row[{column}]"
        text.add(f"    before[i] = {start} + share * (base[i] - {start}) + total[i]")
        for q in jumps:
            text.add(f"{'el' * (q > 0)}if q == {q}:")
            text.depth += 1
            self._write_arrival(q)
            text.depth -= 1
        self._write_next(jumps)
        text.depth -= 1
        text.add(f"for i in range({layout.dim}):", f"    y_row[{column}] = base[i] + total[i]")
        return text

    def _write_next(self, jumps: range) -> None:
        """Find the earliest arrival of the lane: its time `s` and its jump `q`."""
        self.text.add("s = upcoming[0, l]", "q = 0")
        for q in jumps[1:]:
            self.text.add(f"if upcoming[{q}, l] < s:", f"    s, q = upcoming[{q}, l], {q}")

    def _write_arrival(self, q: int) -> None:
        text, layout = self.text, self.layout
        jump = layout.jumps[q]
        text.add(f"k = counts[{q}, l]", f"counts[{q}, l] = k + 1")
        text.add(
            f"upcoming[{q}, l] ="
            f" s + exponential(keys[0], keys[1], path, k + 1, {q}, ARRIVALS) / rates[{q}]"
        )
        own = [f"delays[{j}]" for j in range(layout.delays)]
        if jump.varying_rate:
            seen = self._write_seen(f"rate{q}", own)
            self._write_function(f"rate{q}", seen, ["rate"], None)
            text.add(f"if rate > rates[{q}]: flags[0] = {q + 1}")
            text.add(f"if uniform(keys[0], keys[1], path, k, {q}, DECISIONS) * rates[{q}] < rate:")
            text.depth += 1
        times = own if jump.delays == NO_DELAYS_DRAWN else self._drawn_times(q)
        seen = self._write_seen(f"effect{q}", times)
        mark = self._write_marks(q)
        outputs = [f"added{i}" for i in range(layout.dim)]
        self._write_function(f"effect{q}", seen, outputs, mark)
        text.add(*(f"total[{i}] += {name}" for i, name in enumerate(outputs)))
        if jump.varying_rate:
            text.depth -= 1

    def _drawn_times(self, q: int) -> list[str]:
        law = first_law(self.layout.jumps, q)
        return [
            f"quantile(tables[starts[{law + j}]:], uniform(keys[0], keys[1], path, k,"
            f" {_LAWS * q + j}, ARRIVAL_DELAYS))"
            for j in range(self.layout.jumps[q].delays)
        ]

    def _write_seen(self, name: str, times: list[str]) -> int:
        """Read the states at `s` minus each time into the buffer of function `name`."""
        text, column, dim = self.text, self.writer.column("i"), self.layout.dim
        self.writer.top.add(f"d_{name} = np.empty(({len(times)}, {dim}))")
        for j, time in enumerate(times):
            text.add(f"r = s - {time}", f"for i in range({dim}):", "    if r >= s: v = before[i]")
            text.add("    elif r >= t:")
            text.add(f"        v = x_row[{column}]")
            text.add("        v = v + (r - t) / (s - t) * (before[i] - v)")
            text.add("    else:")
            text.add(
                f"        v = state_at(ring, past, history, now, n + g, t0, dt, r, {column}, i)"
            )
            text.add(f"    d_{name}[{j}, i] = v")
        return len(times)

    def _write_marks(self, q: int) -> str:
        jump = self.layout.jumps[q]
        if jump.mark_vector:
            self.writer.top.add(f"mark{q} = np.empty({jump.marks})")
        law = first_law(self.layout.jumps, q) + max(jump.delays, 0)
        for j in range(jump.marks):
            target = f"mark{q}[{j}]" if jump.mark_vector else "mark"
            self.text.add(
                f"{target} = quantile(tables[starts[{law + j}]:],"
                f" uniform(keys[0], keys[1], path, k, {_LAWS * q + j}, MARKS))"
            )
        if jump.mark_vector:
            return f"mark{q}"
        return "mark" if jump.marks else "0.0"

    def _mark_reads(self, name: str, mark: str) -> list[str]:
        jump = self.layout.jumps[int(name.removeprefix("effect"))]
        return [f"{mark}[{j}]" for j in range(jump.marks)] if jump.mark_vector else [mark]

    def _write_function(self, name: str, seen: int, outputs: list[str], mark: str | None) -> None:
        layout, text = self.layout, self.text
        read = self.writer.expressions[name]
        components = range(layout.dim)
        if read is not None:
            source = read.emit_source(
                t="s",
                x=[f"before[{i}]" for i in components],
                delayed=[[f"d_{name}[{j}, {i}]" for i in components] for j in range(seen)],
                p="p",
                outputs=outputs,
                extra=None if mark is None else {"mark": self._mark_reads(name, mark)},
                prefix=f"{name}_",
            )
            text.add(*source.lines)
            return
        state, late = "before.copy()", f"d_{name}"
        if layout.scalar:
            state, late = "before[0]", f"d_{name}.reshape({seen})"
        call = f"{name}(s, {state}, {late}{'' if mark is None else f', {mark}'}{self.writer.more})"
        if layout.scalar or (len(outputs) == 1 and mark is None):
            text.add(f"{outputs[0]} = {call}")
            return
        text.add(f"all_{name} = {call}")
        text.add(*(f"{out} = all_{name}[{i}]" for i, out in enumerate(outputs)))


def first_law(jumps: tuple[JumpLayout, ...], q: int) -> int:
    """Return the place of the first law of jump `q` among the laws of all jumps."""
    return sum(max(jump.delays, 0) + jump.marks for jump in jumps[:q])
