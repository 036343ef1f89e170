"""Writes the part of a chunk that reads states: the present one and those at the delays.

A constant delay reads two neighbouring rows of the ring, `newer` and `older`, and goes the share of
a step from one to the other. At the end of the step both lie one row later, so the states at the
delays are known there too; only a delay shorter than the step reads the new row, which then holds a
prediction. Delays that change are read by `lags`. Nothing here evaluates functions or steps.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sdde.engine.template import ChunkWriter


class Point(NamedTuple):
    """The names of a time and of the states that functions are evaluated at."""

    t: str
    x: list[str]
    delayed: list[list[str]]  # [delay][component]
    suffix: str  # of names that depend on the point


def read_present(writer: "ChunkWriter") -> Point:
    """Read the present state and the states at the delays."""
    if writer.is_single:
        writer.top.add(*(f"x{i} = ring[now, {i}]" for i in range(writer.layout.dim)))
    else:
        writer.lane.add(*(f"x{i} = x_row[{writer.column(i)}]" for i in range(writer.layout.dim)))
    write_slots(writer)
    names = [f"x{i}" for i in range(writer.layout.dim)]
    writer.lags.write_rows(writer.step)
    return Point("t", names, _read_delays(writer, "newer", "older", "d"), "")


def read_end(writer: "ChunkWriter", predicted: list[str], *, again: bool = False) -> Point:
    """Read the states at the delays at the end of the step, whose row holds `predicted`."""
    if not again:
        write_end_slots(writer)
        writer.lags.write_end_rows(writer.step)
    return Point("t_end", predicted, _read_delays(writer, "next", "newer", "e"), "_end")


def _read_delays(writer: "ChunkWriter", newer: str, older: str, prefix: str) -> list[list[str]]:
    layout = writer.layout
    for j, lag in enumerate(layout.lags):
        if lag.kind != "fixed":
            names = [f"{prefix}{j}_{i}" for i in range(layout.dim)]
            (writer.lags.read if newer == "newer" else writer.lags.read_end)(j, names)
            continue
        for i in range(layout.dim):
            name, column = f"{prefix}{j}_{i}", writer.column(i)
            writer.lane.add(f"{name} = {newer}_row{j}[{column}]")
            writer.lane.add(f"{name} = {name} + share{j} * ({older}_row{j}[{column}] - {name})")
    return [[f"{prefix}{j}_{i}" for i in range(layout.dim)] for j in range(layout.delays)]


def write_slots(writer: "ChunkWriter") -> None:
    """Find the rows of the ring on both sides of each delay."""
    for j in writer.lags.fixed:
        writer.top.add(f"newer{j} = now - lags[{j}]", f"if newer{j} < 0: newer{j} += slots")
        writer.top.add(f"older{j} = newer{j} - 1", f"if older{j} < 0: older{j} += slots")
        writer.top.add(f"share{j} = shares[{j}]")
        if not writer.is_single:
            writer.step.add(f"newer_row{j} = ring[newer{j}]", f"older_row{j} = ring[older{j}]")


def write_end_slots(writer: "ChunkWriter") -> None:
    """Find the rows after the newer ones, and the time there."""
    for j in writer.lags.fixed:
        if writer.is_single:
            writer.top.add(f"next{j} = newer{j} + 1", f"if next{j} == slots: next{j} = 0")
        else:
            writer.step.add(f"next{j} = newer{j} + 1", f"if next{j} == slots: next{j} = 0")
            writer.step.add(f"next_row{j} = ring[next{j}]")
    writer.reads_end = True
    index = "n + g + k + 1" if writer.is_single else "n + g + 1"
    writer.step.add(f"t_end = t0 + ({index}) * dt")
