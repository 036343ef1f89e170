r"""Milstein's scheme with delayed iterated integrals.

With diffusion columns :math:`g_k(t,x,x_1,x_2,\dots)`, where :math:`x_j=x(t-\tau_j)`, the step is

.. math:: x+f\,h+\sum_kg_k\Delta W_k+\sum_{kl}(\partial_xg_k)\,g_l\,I_{lk}
          +\sum_j\sum_{kl}(\partial_{x_j}g_k)\,g_l(t-\tau_j)\,I^{\tau_j}_{lk}

with the integrals of `kernels/integrals`. The last sum is what makes order 1 when the noise sees
the past: over a step the delayed state moves like a Wiener process too, by
:math:`g_l(t-\tau_j)` times an increment of the past. Where *l = k* or the noise is commutative, the
first integrals are products of increments. The values of *g* at past steps are kept in the ring, 0
before the start, where the history moves smoothly.
"""

from typing import TYPE_CHECKING, NamedTuple

from sdde.engine.schemes.steps import LaneStep, Step

if TYPE_CHECKING:
    from sdde.engine.expressions import Expressions
    from sdde.engine.layout import Layout

PRESENT = -1  # in the place of a delay

Pair = tuple[int, int, int]  # delay or PRESENT, channel of the earlier leg, channel of the later


class Correction(NamedTuple):
    """The terms beyond Euler-Maruyama.

    Attributes
    ----------
    coefficients : Expressions or None
        One output for each term; None if there are none. Its further input ``late`` holds the
        values of the diffusion at each delay, one delay behind the other.
    terms : tuple of (component, Pair)
        What each output belongs to.
    """

    coefficients: "Expressions | None"
    terms: tuple[tuple[int, Pair], ...]

    @property
    def sees_past(self) -> bool:
        """Whether a delayed state enters."""
        return any(pair[0] != PRESENT for _, pair in self.terms)

    def integrals(self, *, commutative: bool) -> tuple[Pair, ...]:
        """Return the pairs whose integrals are not products of increments."""
        return tuple(
            sorted(
                {
                    pair
                    for _, pair in self.terms
                    if pair[0] != PRESENT or (pair[1] != pair[2] and not commutative)
                }
            )
        )


def correction(read: "Expressions", *, noise: str, dim: int, channels: int) -> Correction:
    """Return the terms of a diffusion that was read as expressions."""
    from sdde.engine.expressions import Expressions, living
    from sdde.engine.tracing.derivatives import Calculus

    calculus = Calculus(read.nodes)
    outputs = [calculus.places[k] for k in read.outputs]
    count = len(outputs)

    def place(i: int, k: int) -> int | None:
        """Return the position among the outputs of the coefficient of channel k in component i."""
        if noise == "diagonal":
            return i if i == k else None
        return i if noise == "scalar" else i * channels + k

    found: dict[tuple[int, Pair], int] = {}
    for i in range(dim):
        for k in range(channels):
            own = place(i, k)
            if own is None:
                continue
            for j in range(PRESENT, read.n_delays):
                for early in range(channels):
                    products = []
                    for a in range(dim):
                        other = place(a, early)
                        if other is None:
                            continue
                        label = ("x", a) if j == PRESENT else ("delayed", j, a)
                        factor = outputs[other]
                        if j != PRESENT:
                            factor = calculus.tape.input("late", j * count + other)
                        slope = calculus.slope(outputs[own], label)
                        products.append(calculus.multiply(slope, factor))
                    total = calculus.add(*products)
                    if total is not None and calculus.tape.value(total) != 0.0:
                        found[i, (j, early, k)] = total
    if not found:
        return Correction(None, ())
    nodes, kept = living(calculus.tape.nodes, tuple(found.values()))
    coefficients = Expressions(
        nodes, kept, (len(kept),), read.state_shape, read.n_delays, read.n_parameters,
        (("late", (read.n_delays * count,)),), read.fixed,
    )  # fmt: skip
    return Correction(coefficients, tuple(found))


def milstein(step: Step) -> None:
    """Write the step; without a correction it is Euler-Maruyama's."""
    assert isinstance(step, LaneStep)
    writer, layout, lane = step.writer, step.writer.layout, step.writer.lane
    f = step.drift()
    g = step.coefficients() if layout.channels else []
    found = Correction(None, ())
    if layout.channels and layout.additive is None:
        read = writer.expressions["diffusion"]
        assert read is not None
        found = correction(read, noise=layout.noise, dim=layout.dim, channels=layout.channels)
    lane.add(*(f"w{k} = root * {step.normal(k)}" for k in range(layout.channels)))
    if layout.kept:
        rows = [f"x_row[{writer.column(layout.dim + c)}]" for c in range(layout.kept)]
        lane.add(*(f"{row} = {value}" for row, value in zip(rows, g, strict=True)))
    added = _write_terms(step, found)
    new = []
    for i, x in enumerate(step.x):
        moves = [f"{f[i]} * dt", *_noise(layout, g, i)]
        new.append(f"{x} + ({' + '.join([*moves, *added[i]])})")
    step.finish(new)


def _noise(layout: "Layout", g: list[str], i: int) -> list[str]:
    if not layout.channels:
        return []
    if layout.noise == "diagonal":
        return [f"{g[i]} * w{i}"]
    if layout.noise == "scalar":
        return [f"{g[i]} * w0"]
    return [f"{g[i * layout.channels + k]} * w{k}" for k in range(layout.channels)]


def _write_terms(step: LaneStep, found: Correction) -> list[list[str]]:
    """Write the coefficients; return the texts of the terms of each component."""
    writer, layout = step.writer, step.writer.layout
    added: list[list[str]] = [[] for _ in range(layout.dim)]
    if found.coefficients is None:
        return added
    names = [f"c{q}" for q in range(len(found.terms))]
    late = [
        f"newer_row{j}[{writer.column(layout.dim + c)}]"
        for j in range(layout.delays)
        for c in range(layout.kept)
    ]
    source = found.coefficients.emit_source(
        t="t", x=step.start.x, delayed=step.start.delayed, p="p", outputs=names,
        extra={"late": late}, prefix="slope_",
    )  # fmt: skip
    writer.top.add(*source.once)
    writer.step.add(*source.per_step)
    writer.lane.add(*source.per_lane)
    for name, (i, pair) in zip(names, found.terms, strict=True):
        added[i].append(f"{name} * {_integral(step, pair)}")
    return added


def _integral(step: LaneStep, pair: Pair) -> str:
    """Return the text of an integral over the step."""
    layout, (delay, early, late) = step.writer.layout, pair
    if pair in layout.pairs:
        return f"(dt * {step.normal(layout.channels + layout.pairs.index(pair))})"
    assert delay == PRESENT
    if early != late or layout.stratonovich:
        return f"(0.5 * w{early} * w{late})"
    return f"(0.5 * (w{early} * w{early} - dt))"
