"""Writes the reading of delays that change: with time, with the state, by chance, or as a sum.

A fixed delay lies the same number of steps back in every step; the template reads it. Here are the
others. At the beginning of a step they become rows and shares (delays of time alone) or one row of
states read for each lane, `late`, which the loop over lanes then takes like any other row. At an
arrival they become a time, or a sum. Nothing here compiles.

The delays of a problem and the own delays of its jumps are numbered in one row: J. Functions are
called ``delayJ``, bounds are ``delays[J]``, faults -(1 + J).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdde.engine.text import Text, room
from sdde.equation.delays import DistributedDelay, RandomDelay, StateDelay, TimeDelay
from sdde.equation.problem import Problem

if TYPE_CHECKING:
    from sdde.engine.layout import Layout
    from sdde.engine.template import ChunkWriter


@dataclass(frozen=True, slots=True)
class Lag:
    """The kind of a delay: ``"fixed"``, ``"time"``, ``"state"``, ``"random"``, ``"sum"`` or, with
    its number of stages, ``"chain"``.
    """  # fmt: skip

    kind: str = "fixed"
    stages: int = 0

    @property
    def has_function(self) -> bool:
        """Whether the delay is a function of the user's."""
        return self.kind in ("time", "state")

    @property
    def has_table(self) -> bool:
        """Whether numbers of the delay stand in the tables."""
        return self.kind in ("random", "sum", "chain")


def lag_of(delay: Any, *, of_jump: bool = False) -> Lag:
    """Return the kind of a delay; a jump's own average of the past is always a sum."""
    if isinstance(delay, TimeDelay):
        return Lag("time")
    if isinstance(delay, StateDelay):
        return Lag("state")
    if isinstance(delay, RandomDelay):
        return Lag("random")
    if isinstance(delay, DistributedDelay):
        if delay.chain is None or of_jump:
            return Lag("sum")
        return Lag("chain", delay.chain[0])
    return Lag()


def all_delays(problem: Problem) -> list[tuple[str, Any]]:
    """Return the problem's delays and then the jumps' own, with names for messages."""
    named: list[tuple[str, Any]] = [(f"delays[{j}]", d) for j, d in enumerate(problem.delays)]
    for q, jump in enumerate(problem.jumps):
        named += [(f"jumps[{q}].delays[{j}]", d) for j, d in enumerate(jump.own_delays or ())]
    return named


def delay_functions(problem: Problem) -> dict[str, Any]:
    """Return the user's functions of delays under the names by which a chunk calls them."""
    return {
        f"delay{place}": delay.function
        for place, (_, delay) in enumerate(all_delays(problem))
        if isinstance(delay, TimeDelay | StateDelay)
    }


def all_lags(layout: Layout) -> list[Lag]:
    """Return the kinds of the problem's delays and then of the jumps' own."""
    return [*layout.lags, *(lag for jump in layout.jumps for lag in jump.lags or ())]


def own_place(layout: Layout, q: int) -> int:
    """Return the number of the first own delay of jump `q`."""
    return len(layout.lags) + sum(len(jump.lags or ()) for jump in layout.jumps[:q])


def table_of_delay(layout: Layout, place: int) -> int:
    """Return the number of the table of a delay."""
    return sum(lag.has_table for lag in all_lags(layout)[:place])


def table_of_marks(layout: Layout, q: int) -> int:
    """Return the number of the first table of the marks of jump `q`."""
    before = sum(lag.has_table for lag in all_lags(layout))
    return before + sum(jump.tables for jump in layout.jumps[:q])


def chain_column(layout: Layout, j: int, stage: int) -> int:
    """Return the component, beyond those of the state, at which a stage of a chain begins."""
    before = sum(lag.stages for lag in layout.lags[:j])
    return layout.dim * (1 + before + stage)


class LagWriter:
    """Writes the reading of the delays that are not fixed.

    Parameters
    ----------
    writer : ChunkWriter
        Its `top` receives buffers.
    """

    def __init__(self, writer: ChunkWriter) -> None:
        self.writer = writer
        self.layout = writer.layout

    def write_rows(self, text: Text) -> None:
        """Find what `value` takes, at the beginning of a step."""
        for j, lag in enumerate(self.layout.lags):
            if lag.kind == "chain":
                first = chain_column(self.layout, j, lag.stages - 1) * self.layout.width
                text.add(f"late{j} = x_row[{first} : {first + self.size}]")
            else:
                self._write_row(text, j, "t", "now", "x_row", "")

    def write_all_end_rows(self, text: Text) -> None:
        """Find what `value` takes, at the end of a step that all lanes have predicted."""
        for j, lag in enumerate(self.layout.lags):
            if lag.kind == "chain":
                self.writer.top.add(f"late{j}_end = {room(self.size)}")
                end = self._chain_end(j, "k", "y_row[k]")
                text.add(f"for k in range({self.size}):", f"    late{j}_end[k] = {end}")
            else:
                self._write_row(text, j, "t_end", "after", "y_row", "_end")

    def write_end_rows(self, text: Text) -> None:
        """Find what `read_end` takes, at the end of a step that each lane predicts for itself."""
        for j, lag in enumerate(self.layout.lags):
            if lag.kind == "time":
                self._write_row(text, j, "t_end", "after", "y_row", "_end")
            elif lag.kind == "sum":  # what is to be added is the prediction's part
                self._write_sum(text, j, "now", "_end", first=1)

    def value(self, j: int, name: str, column: str, mark: str = "") -> list[str]:
        """Return the lines that give `name` the value of one column at delay `j`."""
        if self.layout.lags[j].kind in ("fixed", "time"):
            return [
                f"{name} = newer_row{j}{mark}[{column}]",
                f"{name} = {name} + share{j}{mark} * (older_row{j}{mark}[{column}] - {name})",
            ]
        return [f"{name} = late{j}{mark}[{column}]"]

    def read(self, j: int, names: Sequence[str]) -> None:
        """Read the components at delay `j` for lane l."""
        for i, name in enumerate(names):
            self.writer.lane.add(*self.value(j, name, self.writer.column(i)))

    def read_end(self, j: int, names: Sequence[str]) -> None:
        """Read the components at delay `j` for lane l, whose prediction stands in `y_row`."""
        lane, lag = self.writer.lane, self.layout.lags[j]
        if lag.kind == "state":
            self._write_state(j, self.writer.step, lane, "t_end", "y_row", "_end")
            self._write_lags(f"lags{j}_end")
        if lag.kind in ("state", "random"):
            mark = "_end" if lag.kind == "state" else ""
            delay = f"bounded(lags{j}{mark}[l], delays[{j}])"
            lane.add(f"newer, older, share = split({delay}, dt, after, slots)")
        for i, name in enumerate(names):
            column = self.writer.column(i)
            if lag.kind == "time":
                lane.add(*self.value(j, name, column, "_end"))
            elif lag.kind == "sum":
                weight = f"tables[starts[{table_of_delay(self.layout, j)}] + 1]"
                lane.add(f"{name} = late{j}_end[{column}] + {weight} * y_row[{column}]")
            elif lag.kind == "chain":
                lane.add(f"{name} = {self._chain_end(j, column, f'y_row[{column}]')}")
            else:
                lane.add(f"{name} = ring[newer, {column}]")
                lane.add(f"{name} = {name} + share * (ring[older, {column}] - {name})")

    def write_checks(self, text: Text) -> None:
        """Check what lanes have read for themselves at the end of a step."""
        if self.writer.reads_end and not self.writer.forms.in_lanes:
            for j, lag in enumerate(self.layout.lags):
                if lag.kind == "state":
                    text.add(self._check(j, "t_end", "y_row", "_end"))

    def write_chains(self, text: Text) -> None:
        """Lead the chains of averages through a step whose end is known."""
        layout = self.layout
        for j, lag in enumerate(layout.lags):
            if lag.kind == "chain":
                text.add(
                    f"advance_chain(x_row, y_row, tables, starts[{table_of_delay(layout, j)}],"
                    f" {lag.stages}, {chain_column(layout, j, 0) * layout.width}, {self.size})"
                )

    @property
    def size(self) -> int:
        """The number of columns of the state."""
        return self.layout.dim * self.layout.width

    @property
    def fixed(self) -> list[int]:
        """The places of the delays that are numbers."""
        return [j for j, lag in enumerate(self.layout.lags) if lag.kind == "fixed"]

    def _write_row(self, text: Text, j: int, t: str, row: str, states: str, mark: str) -> None:
        """Find what `value` takes: `row` is the ring's, `states` its name."""
        lag, width = self.layout.lags[j], self.layout.width
        if lag.kind == "time":
            name = f"{j}{mark}"
            self._write_call(j, "lag", t, [], text, text, mark)
            text.add(
                f"lag = checked(lag, delays[{j}], {-1 - j}, first, {t}, flags)",
                f"newer{name}, older{name}, share{name} = split(lag, dt, {row}, slots)",
                f"newer_row{name}, older_row{name} = ring[newer{name}], ring[older{name}]",
            )
        elif lag.kind in ("state", "random"):
            drawn = f"{j}" if lag.kind == "random" else f"{j}{mark}"  # one draw serves both ends
            self.writer.top.add(f"late{j}{mark} = {room(self.size)}")
            if lag.kind == "state" or not mark:
                self._write_lags(f"lags{drawn}")
            if lag.kind == "state":
                self._write_states(j, text, t, states, mark)
            elif not mark:
                self._write_draws(j, text)
            if lag.kind == "state" or not mark:
                text.add(self._check(j, t, states, mark))
            text.add(
                f"read_lanes(ring, {row}, dt, lags{drawn}, delays[{j}], late{j}{mark},"
                f" {self.layout.dim}, {width})"
            )
        elif lag.kind == "sum":
            self._write_sum(text, j, row, mark)

    def _write_lags(self, name: str) -> None:
        """Make room for a delay of each lane; lanes that no path uses keep 0."""
        width = self.layout.width
        self.writer.top.add(f"{name} = {room(width)}", f"{name}[:] = 0.0")

    def _check(self, j: int, t: str, states: str, mark: str) -> str:
        layout = self.layout
        return (
            f"check_lanes(lags{j}{mark}, delays[{j}], {states}, {layout.dim}, {layout.width},"
            f" lanes, first, {t}, {-1 - j}, flags)"
        )

    def _write_sum(self, text: Text, j: int, row: str, mark: str, first: int = 0) -> None:
        self.writer.top.add(f"late{j}{mark} = {room(self.size)}")
        table = f"starts[{table_of_delay(self.layout, j)}]"
        text.add(f"sum_rows(ring, {row}, tables, {table}, {first}, late{j}{mark})")

    def _chain_end(self, j: int, column: str, end: str) -> str:
        """Return the text of the last stage of a chain at the end of a step."""
        lag, layout = self.layout.lags[j], self.layout
        first = chain_column(layout, j, 0) * layout.width
        return (
            f"chain_end(x_row, tables, starts[{table_of_delay(layout, j)}], {lag.stages},"
            f" {first} + {column}, {self.size}, x_row[{column}], {end})"
        )

    def _write_states(self, j: int, text: Text, t: str, states: str, mark: str) -> None:
        """Fill the buffer of lags with values of a function of the state."""
        lane = type(text)()
        lane.depth = text.depth + 1
        self._write_state(j, text, lane, t, states, mark)
        read = self.writer.expressions[f"delay{j}"]
        text.add(f"for l in range({self.layout.width if read is not None else 'lanes'}):")
        text.lines += lane.lines

    def _write_state(self, j: int, text: Text, lane: Text, t: str, states: str, mark: str) -> None:
        """Write the lag of lane l; what the time decides goes to `text`."""
        layout, column = self.layout, self.writer.column
        x = [f"{states}[{column(i)}]" for i in range(layout.dim)]
        if self.writer.expressions[f"delay{j}"] is None and not layout.scalar:
            self.writer.top.add(f"x_delay{j}{mark} = {room(layout.dim)}")
            lane.add(f"for i in range({layout.dim}):")
            lane.add(f"    x_delay{j}{mark}[i] = {states}[{column('i')}]")
        self._write_call(j, f"lags{j}{mark}[l]", t, x, text, lane, mark)

    def _write_draws(self, j: int, text: Text) -> None:
        table = table_of_delay(self.layout, j)
        text.add(  # uniform numbers side by side first, which the compiler makes many at a time
            f"for l in range({self.layout.width}):",
            f"    lags{j}[l] = uniform(keys[0], keys[1], first + l, n + g, {j}, STEP_DELAYS)",
            "for l in range(lanes):",
            f"    lags{j}[l] = quantile(tables, lags{j}[l], starts[{table}])",
            f"for l in range(lanes, {self.layout.width}):",
            f"    lags{j}[l] = 0.0",
        )

    def _write_call(
        self, place: int, target: str, t: str, x: list[str], text: Text, lane: Text, mark: str
    ) -> None:
        """Write the value of a delay's function: what the time decides to `text`."""
        read = self.writer.expressions[f"delay{place}"]
        if read is not None:
            source = read.emit_source(
                t=t, x=x or [""] * self.layout.dim, delayed=[], p="p", outputs=[target],
                prefix=f"delay{place}{mark}_",
            )  # fmt: skip
            self.writer.top.add(*source.once)
            text.add(*source.per_step)
            lane.add(*source.per_lane)
            return
        state = ""
        if x:
            state = f", {x[0]}" if self.layout.scalar else f", x_delay{place}{mark}"
        lane.add(f"{target} = float(delay{place}({t}{state}{self.writer.more}))")

    def write_seen(
        self, text: Text, name: str, lags: tuple[Lag, ...], first: int, channel: int
    ) -> None:
        """Read, at time `s` in a step, the states at each delay into the buffer of `name`.

        `before` holds the state at s. `first` is the number of the first delay, `channel` that of
        its random numbers.
        """
        layout, writer = self.layout, self.writer
        column = writer.column("i")
        writer.top.add(f"d_{name} = {room(len(lags), layout.dim)}")
        for j, lag in enumerate(lags):
            place, target = first + j, f"d_{name}[{j}, i]"
            table = f"starts[{table_of_delay(layout, place)}]" if lag.has_table else ""
            if lag.kind == "sum":
                text.add(
                    f"for i in range({layout.dim}):",
                    f"    {target} = sum_before(ring, past, history, now, n + g, t0, dt, s, tables,"
                    f" {table}, x_row[{column}], before[i], {column}, i)",
                )
                continue
            if lag.kind == "chain":
                self._write_seen_chain(text, target, place, lag)
                continue
            if lag.kind == "fixed":
                text.add(f"r = s - delays[{place}]")
            else:
                self._write_time(text, name, place, lag, f"{channel + j}", table)
            text.add(
                f"for i in range({layout.dim}):",
                "    if r >= s: v = before[i]",
                "    elif r >= t:",
                f"        v = x_row[{column}]",
                "        v = v + (r - t) / (s - t) * (before[i] - v)",
                "    else:",
                f"        v = state_at(ring, past, history, now, n + g, t0, dt, r, {column}, i)",
                f"    {target} = v",
            )

    def _write_time(
        self, text: Text, name: str, place: int, lag: Lag, channel: str, table: str
    ) -> None:
        """Write the time `r` that is read at an arrival."""
        layout = self.layout
        if lag.kind == "random":
            text.add(
                f"lag = quantile(tables[{table}:],"
                f" uniform(keys[0], keys[1], path, k, {channel}, ARRIVAL_DELAYS))"
            )
        else:
            x = [f"before[{i}]" for i in range(layout.dim)] if lag.kind == "state" else []
            read = self.writer.expressions[f"delay{place}"]
            if read is None and x and not layout.scalar:
                text.add(f"x_delay{place}_at_{name} = before.copy()")
            here = type(text)()
            here.depth = text.depth
            # Lines that the time decides must stand here too: the time is that of the arrival.
            self._write_call(place, "lag", "s", x, here, here, f"_at_{name}")
            text.lines += here.lines
        text.add(
            f"lag = checked(lag, delays[{place}], {-1 - place}, path, s, flags)"
            if lag.kind == "random"
            else f"lag = checked_at(lag, delays[{place}], {-1 - place}, path, s, before, flags)",
            "r = s - lag",
        )

    def _write_seen_chain(self, text: Text, target: str, j: int, lag: Lag) -> None:
        """Read a chain on the straight line to where the step leads without arrivals."""
        layout, column = self.layout, self.writer.column("i")
        last = chain_column(layout, j, lag.stages - 1) * layout.width
        text.add(
            f"for i in range({layout.dim}):",
            f"    v = x_row[{last} + {column}]",
            f"    {target} = v + (s - t) / dt * ({self._chain_end(j, column, 'base[i]')} - v)",
        )
