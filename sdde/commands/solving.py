"""``sdde solve``: simulate paths of a problem that a Python file defines."""

import argparse
from pathlib import Path
from typing import Any

from sdde.commands import parsing


def add(commands: Any) -> None:
    """Add the command."""
    solve = parsing.command(
        commands, "solve", "simulate paths of an sdde.Problem defined in a Python file", run
    )
    solve.add_argument("problem", metavar="PROBLEM", help="FILE.py:name or package.module:name")
    solve.add_argument(
        "--t-span", type=float, nargs=2, required=True, metavar=("T0", "T1"), help="start and end"
    )
    solve.add_argument("--dt", type=float, required=True, metavar="DT", help="time step")
    solve.add_argument("--paths", type=int, default=1, metavar="N", help="paths (default: 1)")
    solve.add_argument(
        "--method", default="euler-maruyama", metavar="NAME",
        help="euler-maruyama (default), heun, milstein, tamed-euler, theta, implicit-euler or "
        "euler-heun",
    )  # fmt: skip
    solve.add_argument(
        "--every", type=int, metavar="N", help="keep every N-th step (default: about 500 times)"
    )
    parsing.add_seed(solve)
    solve.add_argument(
        "--out", metavar="FILE", help="write times and paths to this file (.npz, .nc)"
    )
    solve.add_argument("--plot", metavar="FILE", help="draw the paths to this file")


def run(options: argparse.Namespace) -> int:
    """Solve, print, write."""
    import sdde
    from sdde.solving.files import solution_file

    if options.out:
        solution_file(options.out)
    start, end = options.t_span
    steps = round((end - start) / options.dt) if options.dt > 0 and end > start else 1
    solution = sdde.solve(
        _load(options.problem),
        (start, end),
        dt=options.dt,
        paths=options.paths,
        rng=options.seed,
        method=options.method,
        save=max(1, steps // 500) if options.every is None else options.every,
        progress=True,
    )
    print(solution)
    if options.out:
        solution.save(options.out)
        print(f"written: {options.out}")
    if options.plot:
        parsing.save_figure(options, solution.plot().figure, options.plot)
    return 0


def _load(where: str) -> Any:
    """Return the object that ``FILE.py:name`` or ``package.module:name`` names."""
    import importlib
    import runpy

    from sdde.equation.problem import Problem
    from sdde.errors import ArgumentError

    source, separator, name = where.rpartition(":")
    if not separator or not source or not name:
        raise ArgumentError(f"problem = {where!r} does not look like FILE.py:name.")
    if source.endswith(".py"):
        if not Path(source).is_file():
            raise ArgumentError(f"{source} is not a file.")
        space = runpy.run_path(source)
    else:
        try:
            space = vars(importlib.import_module(source))
        except ImportError as error:
            raise ArgumentError(f"{source} cannot be imported: {error}.") from None
    problem = space.get(name)
    if not isinstance(problem, Problem):
        raise ArgumentError(f"{source} holds no sdde.Problem named {name!r}.")
    return problem
