"""What is said about a solution: what became of its paths, and a summary that fits one screen."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sdde.solving.solution import Solution

LIMIT = 1e12  # a state beyond this has diverged


def message_of(solution: "Solution") -> str:
    """Say what became of the paths."""
    counts, total, end = Counter(solution.status.tolist()), solution.paths, solution.t_span[1]
    if counts["done"] == total:
        who = "The path" if total == 1 else f"All {total} paths"
        return f"{who} reached t = {end:g}."
    parts = []
    if counts["hit"]:
        first, last = np.nanmin(solution.hit_time), np.nanmax(solution.hit_time)
        when = f"at t = {first:.6g}" + (f" to {last:.6g}" if last > first else "")
        parts.append(f"{counts['hit']} of {total} paths hit ({when}).")
        if counts["hit"] + counts["done"] == total:
            return parts[0]
    if counts["diverged"]:
        index = np.flatnonzero(solution.status == "diverged")
        first = index[np.argmin(solution.end_time[index])]
        parts.append(
            f"{counts['diverged']} of {total} paths diverged (first at t ="
            f" {solution.end_time[first]:.6g}, path {first}; |x| passed {LIMIT:.0e})."
        )
    if counts["interrupted"]:
        parts.append(
            f"{counts['interrupted']} of {total} paths were interrupted before t = {end:g}."
        )
    parts.append("  solution.status says which; solution.x holds nan after that time.")
    return "\n".join(parts)


def summary_of(solution: "Solution") -> str:
    """Describe a solution in a few lines."""
    counts, shape = Counter(solution.status.tolist()), solution.state_shape
    states = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    kind = f"a {shape[0]}-component" if shape else "a scalar"
    first, last = solution.t[0], solution.t[-1]
    streamed = ", statistics streamed" if solution.moments is not None else ""
    lines = [
        f"Solution: {solution.paths} path{'s' * (solution.paths != 1)} of {kind} equation",
        f"  t       {len(solution.times)} times from {first:g} to {last:g}, dt = {solution.dt:g}",
        f"  x       shape {solution.x.shape}, {solution.x.nbytes / 1e6:.3g} MB{streamed}",
        f"  status  {states}",
    ]
    if len(solution.evaluations):
        lines.append(f"  steps   adaptive, {solution.evaluations.mean():.4g} evaluations a path")
    if solution.functionals:
        lines.append(f"  each    {', '.join(solution.functionals)}")
    return "\n".join([*lines, f"  method  {solution.method}, seed {solution.seed}"])
