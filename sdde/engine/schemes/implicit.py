r"""Schemes with an implicit drift, for stiff equations.

.. math:: y=x+\bigl((1-\theta)f(t,x,\dots)+\theta f(t+h,y,\dots)\bigr)h+g\,\Delta W

is solved by a fixed number of Newton's steps from Euler-Maruyama's prediction, with the exact
Jacobian. A linear drift needs one; each further one squares the error. The linear systems are
small and written out, without exchange of rows, and skip what is zero by structure.
"""

from typing import TYPE_CHECKING

from sdde.engine.schemes.steps import LaneStep, Step

if TYPE_CHECKING:
    from sdde.engine.expressions import Expressions

NEWTON_STEPS = 4

Matrix = list[list[str | None]]


def trapezoidal(step: Step) -> None:
    """Write the step for theta = 1/2."""
    _theta(step, 0.5)


def implicit_euler(step: Step) -> None:
    """Write the step for theta = 1."""
    _theta(step, 1.0)


def _theta(step: Step, theta: float) -> None:
    assert isinstance(step, LaneStep)
    lane, x = step.writer.lane, step.x
    f, w = step.drift(), step.noise()
    noise = [f" + {a}" if a else "" for a in w]
    rest = "" if theta == 1.0 else f" + {1.0 - theta!r} * dt * {{}}"
    known = [f"k{i}" for i in range(len(x))]
    for i, name in enumerate(known):
        lane.add(f"{name} = {x[i]}{rest.format(f[i])}{noise[i]}")
    step.predict([f"{x[i]} + (dt * {f[i]}{noise[i]})" for i in range(len(x))])
    jacobian = _with_jacobian(step)
    for turn in range(NEWTON_STEPS):
        slopes = _evaluate(step, jacobian, first=turn == 0)
        q = [f"q{i}" for i in range(len(x))]
        residual = [f"r{i}" for i in range(len(x))]
        lane.add(*(f"r{i} = {known[i]} + {theta!r} * dt * h{i} - {q[i]}" for i in range(len(x))))
        matrix: Matrix = []
        for i, row in enumerate(slopes):
            matrix.append([])
            for a, slope in enumerate(row):
                one = "1.0" if i == a else None
                text = one if slope is None else f"{one or ''} - {theta!r} * dt * {slope}"
                name = None if text is None else f"m{i}_{a}"
                if name is not None:
                    lane.add(f"{name} = {text}")
                matrix[-1].append(name)
        change = _solve(step, matrix, residual)
        values = [f"{q[i]} + {change[i]}" for i in range(len(x))]
        if turn == NEWTON_STEPS - 1:
            step.finish(values)
        else:
            step.predict(values)


def _with_jacobian(step: LaneStep) -> "tuple[Expressions, dict[tuple[int, int], int]]":
    """Return drift and Jacobian as one function, and the outputs of the entries that are not zero.

    Its further input ``share`` is how much of the new state each delayed state is.
    """
    from sdde.engine.expressions import Expressions, living
    from sdde.engine.tracing.derivatives import Calculus

    read = step.writer.expressions["drift"]
    assert read is not None
    calculus = Calculus(read.nodes)
    outputs = [calculus.places[k] for k in read.outputs]
    entries: dict[tuple[int, int], int] = {}
    for i, out in enumerate(outputs):
        for a in range(len(outputs)):
            total = calculus.add(
                calculus.slope(out, ("x", a)),
                *(
                    calculus.multiply(
                        calculus.slope(out, ("delayed", j, a)), calculus.tape.input("share", j)
                    )
                    for j in range(read.n_delays)
                ),
            )
            if total is not None:
                entries[i, a] = total
    nodes, kept = living(calculus.tape.nodes, (*outputs, *entries.values()))
    both = Expressions(
        nodes, kept, (len(kept),), read.state_shape, read.n_delays, read.n_parameters,
        (("share", (read.n_delays,)),), read.fixed,
    )  # fmt: skip
    return both, {key: len(outputs) + place for place, key in enumerate(entries)}


def _evaluate(
    step: LaneStep, jacobian: "tuple[Expressions, dict[tuple[int, int], int]]", *, first: bool
) -> Matrix:
    """Write drift and Jacobian at the end of the step; return the names of the entries."""
    both, entries = jacobian
    dim, end, writer = len(step.x), step.end, step.writer
    assert end is not None
    if first:
        writer.top.add(
            *(
                f"new{j} = 1.0 - share{j} if lags[{j}] == 0 else 0.0"
                for j in range(writer.layout.delays)
            )
        )
    names = [f"h{i}" for i in range(dim)] + [f"s{i}_{a}" for i, a in entries]
    source = both.emit_source(
        t=end.t, x=end.x, delayed=end.delayed, p="p", outputs=names,
        extra={"share": [f"new{j}" for j in range(writer.layout.delays)]}, prefix="newton_",
    )  # fmt: skip
    if first:
        writer.top.add(*source.once)
        writer.step.add(*source.per_step)
    writer.lane.add(*source.per_lane)
    return [[f"s{i}_{a}" if (i, a) in entries else None for a in range(dim)] for i in range(dim)]


def _solve(step: LaneStep, matrix: Matrix, right: list[str]) -> list[str]:
    """Write Gauss's elimination; return the names of the solution."""
    lane, dim = step.writer.lane, len(right)
    for i in range(dim):
        for row in range(i + 1, dim):
            if matrix[row][i] is None:
                continue
            lane.add(f"factor = {matrix[row][i]} / {matrix[i][i]}")
            for a in range(i + 1, dim):
                if matrix[i][a] is None:
                    continue
                name, old = f"m{row}_{a}", matrix[row][a]
                lane.add(f"{name} = {old or ''} - factor * {matrix[i][a]}")
                matrix[row][a] = name
            lane.add(f"{right[row]} = {right[row]} - factor * {right[i]}")
    for i in reversed(range(dim)):
        terms = [f" - {matrix[i][a]} * {right[a]}" for a in range(i + 1, dim) if matrix[i][a]]
        lane.add(f"{right[i]} = ({right[i]}{''.join(terms)}) / {matrix[i][i]}")
    return right
