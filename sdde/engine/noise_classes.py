"""How the noise of a problem enters, as far as it decides the order of a method.

Classes are ``"none"``, ``"additive"`` (the coefficient is free of the state), ``"diagonal"`` (each
component has its own Wiener process and a coefficient that depends on that component alone),
``"commutative"`` (one Wiener process, or a promise of the user), ``"delayed"`` (the coefficient
depends on a delayed state) and ``"general"``. A function that cannot be read is taken for the worst
that it may be. Nothing here compiles.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sdde.engine.layout import LARGEST_WRITTEN, LONGEST_LINE
from sdde.equation.problem import Problem

if TYPE_CHECKING:
    from sdde.engine.expressions import Expressions

CLASSES = ("none", "additive", "diagonal", "commutative", "delayed", "general")


def noise_class(problem: Problem, state_shape: tuple[int, ...]) -> str:
    """Return the class of a problem's noise."""
    if problem.diffusion is None:
        return "none"
    if problem.is_additive:
        return "additive"
    read = diffusion_of(problem, state_shape)
    if read is None:
        several = state_shape not in ((), (1,)) and problem.noise == "diagonal"
        return "delayed" if problem.delays else "general" if several else _declared(problem)
    if read.uses_delayed:
        return "delayed"
    if not read.uses_x:
        return "additive"
    if problem.noise == "diagonal" and not _is_diagonal(read):
        return "general"
    return _declared(problem)


def _declared(problem: Problem) -> str:
    return "commutative" if problem.noise == "scalar" else problem.noise


def diffusion_of(problem: Problem, state_shape: tuple[int, ...]) -> "Expressions | None":
    """Return the diffusion as expressions, or None where it is called and not written out."""
    shapes = [(*state_shape, None)] if problem.has_noise_matrix else None
    return written_out(problem, problem.diffusion, "diffusion", state_shape, shapes)


def written_out(
    problem: Problem, function: Callable[..., Any], name: str, state_shape: tuple[int, ...],
    shapes: Sequence[tuple[int | None, ...]] | None = None,
) -> "Expressions | None":  # fmt: skip
    """Return a function as expressions, or None where it is called and not written out."""
    from sdde.engine.expressions import Untraceable, trace

    if sum(state_shape) > LARGEST_WRITTEN:
        return None
    try:
        read = trace(
            function, state_shape=state_shape, n_delays=len(problem.delays), args=problem.args,
            name=name, shapes=shapes,
        )  # fmt: skip
    except Untraceable:
        return None
    return read if len(read.nodes) <= LONGEST_LINE else None


def _is_diagonal(read: "Expressions") -> bool:
    """Return whether each output depends on its own component of the state alone."""
    needs: list[frozenset[int]] = []
    for node in read.nodes:
        own = [int(node.label[1])] if node.operation == "input" and node.label[0] == "x" else []
        needs.append(frozenset(own).union(*(needs[k] for k in node.operands)))
    return all(needs[node] <= {i} for i, node in enumerate(read.outputs))
