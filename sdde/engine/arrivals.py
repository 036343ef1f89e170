"""Writes the part of a chunk that handles arrivals: jumps at exact times inside a step.

After drift and noise have led all lanes through a step, jumps that leap add what their Poisson
number of arrivals adds, all seen from the beginning of the step. Then each lane with exact arrivals
in it is visited again, and these are handled in the order of time. Between the start of the step
and its end the state is read on the straight line to where drift and noise lead, plus what arrivals
have added so far. Nothing here compiles.

Random numbers of arrivals have the arrival's index in place of a step; each law of all jumps has a
channel of its own.
"""

from sdde.engine.lags import own_place, table_of_marks
from sdde.engine.layout import LARGEST_WRITTEN, Layout
from sdde.engine.template import ChunkWriter
from sdde.engine.text import Text, room


def arrivals_source(writer: ChunkWriter) -> str:
    """Return the lines, indented for the loop over steps; buffers go to the top of the chunk."""
    return str(_ArrivalWriter(writer).write())


def delay_channel(layout: Layout, q: int) -> int:
    """Return the channel of the random numbers of the first delay that jump `q` reads."""
    return sum(layout.delays if jump.lags is None else len(jump.lags) for jump in layout.jumps[:q])


def mark_channel(layout: Layout, q: int) -> int:
    """Return the channel of the random numbers of the first mark of jump `q`."""
    return sum(jump.marks for jump in layout.jumps[:q])


class _ArrivalWriter:
    def __init__(self, writer: ChunkWriter) -> None:
        self.writer = writer
        self.layout = writer.layout
        self.text = Text()
        self.text.depth = 2
        self.jumps = [q for q, jump in enumerate(self.layout.jumps) if not jump.leaping]
        self.leaps = [q for q, jump in enumerate(self.layout.jumps) if jump.leaping]

    def write(self) -> Text:
        """Write the loops over the lanes."""
        self.writer.top.add(
            *(f"{name} = {room(self.layout.dim)}" for name in ("base", "total", "before", "added"))
        )
        if self.leaps:
            self._write_leaps()
        if self.jumps:
            self._write_exact()
        return self.text

    def _write_exact(self) -> None:
        text, layout, column = self.text, self.layout, self.writer.column("i")
        # Lanes with arrivals are listed first: whether a lane has any cannot be foreseen, and a
        # wrong guess of the processor costs more than an arrival.
        self.writer.top.add(f"listed = {room(layout.width)}")
        text.add("end = t0 + (n + g + 1) * dt", "count = 0", "for l in range(lanes):")
        early = " | ".join(f"(upcoming[{q}, l] <= end)" for q in self.jumps)
        text.add("    listed[count] = l", f"    count += {early}", "for place in range(count):")
        text.depth += 1
        text.add("l = int(listed[place])")
        self._write_next()
        text.add("path = first + l", "history = path % histories")
        text.add(f"for i in range({layout.dim}):")
        text.add(f"    base[i] = y_row[{column}]", "    total[i] = 0.0")
        text.add("while s <= end:")
        text.depth += 1
        text.add("share = (s - t) / dt", f"for i in range({layout.dim}):")
        start = f"x_row[{column}]"
        text.add(f"    before[i] = {start} + share * (base[i] - {start}) + total[i]")
        for place, q in enumerate(self.jumps):
            text.add(f"{'el' * (place > 0)}if q == {q}:")
            text.depth += 1
            self._write_arrival(q)
            text.depth -= 1
        self._write_next()
        text.depth -= 1
        text.add(f"for i in range({layout.dim}):", f"    y_row[{column}] = base[i] + total[i]")
        text.depth -= 1

    def _write_next(self) -> None:
        """Find the earliest arrival of the lane: its time `s` and its jump `q`."""
        first, *others = self.jumps
        self.text.add(f"s = upcoming[{first}, l]", f"q = {first}")
        for q in others:
            self.text.add(f"if upcoming[{q}, l] < s:", f"    s, q = upcoming[{q}, l], {q}")

    def _write_arrival(self, q: int) -> None:
        text = self.text
        place = f"{q * self.layout.width} + l"
        text.add(f"k = counts[{q}, l]", f"counts[{q}, l] = k + 1")
        text.add(
            f"upcoming[{q}, l] = s + gap_before(gaps, {place}, keys, path, k + 1, {q}) / rates[{q}]"
        )
        varying = self.layout.jumps[q].varying_rate
        if varying:
            self._write_rate(q, f"(rate >= 0.0) & (rate <= rates[{q}])")
            text.add(f"if uniform(keys[0], keys[1], path, k, {q}, DECISIONS) * rates[{q}] < rate:")
            text.depth += 1
        self._write_addition(q)
        self._write_total("added[i]")
        text.depth -= varying

    def _write_leaps(self) -> None:
        """Add the arrivals of whole steps, seen from their beginning."""
        text, layout, column = self.text, self.layout, self.writer.column("i")
        text.add("s = t", "for l in range(lanes):")
        text.depth += 1
        text.add("path = first + l", "history = path % histories")
        text.add(f"for i in range({layout.dim}):")
        text.add(f"    before[i] = x_row[{column}]", f"    base[i] = y_row[{column}]")
        text.add("    total[i] = 0.0")
        for q in self.leaps:
            jump = layout.jumps[q]
            text.add(f"k = counts[{q}, l]")
            if jump.varying_rate:
                self._write_rate(q, "(rate >= 0.0) & (rate * dt < 1e15)")
            else:
                place = table_of_marks(layout, q) + jump.marks
                text.add(f"rate = tables[starts[{place}]]")
            # A path that has left all bounds draws nothing.
            text.add("rate = rate if (rate > 0.0) & (rate * dt < 1e15) else 0.0")
            text.add(
                f"arrived = poisson(keys[0], keys[1], path, n + g, {q}, ARRIVALS, rate * dt)",
                f"counts[{q}, l] = k + arrived",
            )
            if self._draws(q):
                text.add(f"while k < counts[{q}, l]:")
                text.depth += 1
                self._write_addition(q)
                self._write_total("added[i]")
                text.add("k += 1")
            else:
                text.add("if arrived > 0:")
                text.depth += 1
                self._write_addition(q)
                self._write_total("arrived * added[i]")
            text.depth -= 1
        text.add(f"for i in range({layout.dim}):", f"    y_row[{column}] = base[i] + total[i]")
        text.depth -= 1

    def _draws(self, q: int) -> bool:
        """Return whether the arrivals of one step may differ."""
        jump = self.layout.jumps[q]
        lags = self.layout.lags if jump.lags is None else jump.lags
        return jump.marks > 0 or any(lag.kind == "random" for lag in lags)

    def _write_rate(self, q: int, allowed: str) -> None:
        self.writer.lags.write_seen(
            self.text, f"rate{q}", self.layout.lags, 0, self._channel_of_rates(q)
        )
        self._write_function(f"rate{q}", self.layout.delays, ["rate"], None)
        self.text.add(
            f"if not ({allowed}):", f"    report_rate(rate, {q + 1}, path, s, before, flags)"
        )

    def _channel_of_rates(self, q: int) -> int:
        """Return the channel of random delays that a rate reads, after those of all effects."""
        return delay_channel(self.layout, len(self.layout.jumps)) + q * self.layout.delays

    def _write_addition(self, q: int) -> None:
        """Write what an arrival adds into `added`."""
        layout, lags = self.layout, self.layout.jumps[q].lags
        seen, first = (layout.lags, 0) if lags is None else (lags, own_place(layout, q))
        self.writer.lags.write_seen(self.text, f"effect{q}", seen, first, delay_channel(layout, q))
        mark = self._write_marks(q)
        self._write_function(
            f"effect{q}", len(seen), [f"added[{i}]" for i in range(layout.dim)], mark
        )

    def _write_total(self, term: str) -> None:
        self.text.add(f"for i in range({self.layout.dim}):", f"    total[i] += {term}")

    def _write_marks(self, q: int) -> str:
        jump = self.layout.jumps[q]
        table, channel = table_of_marks(self.layout, q), mark_channel(self.layout, q)
        if jump.mark_vector:
            self.writer.top.add(f"mark{q} = {room(jump.marks)}")
            self.text.add(
                f"for j in range({jump.marks}):",
                f"    mark{q}[j] = quantile(tables[starts[{table} + j]:],"
                f" uniform(keys[0], keys[1], path, k, {channel} + j, MARKS))",
            )
            return f"mark{q}"
        if jump.marks:
            self.text.add(
                f"mark = quantile(tables[starts[{table}]:],"
                f" uniform(keys[0], keys[1], path, k, {channel}, MARKS))"
            )
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
            state, late = "before[0]", f"floats_of(d_{name}, ({seen},))"
        call = f"{name}(s, {state}, {late}{'' if mark is None else f', {mark}'}{self.writer.more})"
        if layout.scalar or mark is None:
            text.add(f"{outputs[0]} = float({call})")
            return
        text.add(f"all_{name} = {call}")
        if layout.dim > LARGEST_WRITTEN:
            text.add(f"for i in range({layout.dim}):", f"    added[i] = all_{name}[i]")
            return
        text.add(*(f"{out} = all_{name}[{i}]" for i, out in enumerate(outputs)))
